"""`autograder watch`: each save of the module runs the public tests of the tasks that it changed.

All effects are here: files, keys, processes, the screen. touched.py decides which tasks a save concerns, report.py lays
the progress out, and standby.py runs the tests, in one process for each run.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path

from autograder.student.card import modules_of, read_card, text_of
from autograder.student.keys import Keys
from autograder.student.progress import Progress, TaskProgress
from autograder.student.public_tests import PublicRun, find_public_tests, main_module, tasks_of
from autograder.student.report import Look, StyledLine, bar, can_write, lines
from autograder.student.standby import COSTLY, Standby
from autograder.student.touched import is_python, touched, touched_by_tests

_LOOK = 0.05  #: seconds between two looks at the files
_KEYS = "h hint   n next task   a all tasks   Enter again   q quit"
_CLEAR = "\x1b[2J\x1b[3J\x1b[H"


def watch(folder: Path) -> int:
    """Watch an assignment's folder until q or Ctrl-C.

    Returns:
        0, or 2 if there is no assignment
    """
    tests = find_public_tests(folder)
    if tests is None:
        print(f"No assignment in {folder}: go into the folder of one, with its test_*.py in it.")
        return 2
    watcher = _Watcher(tests)
    try:
        with Keys() as keys:
            watcher.run(keys)
    except KeyboardInterrupt:
        pass
    finally:
        watcher.end()
    return 0


class _Watcher:
    def __init__(self, tests: Path) -> None:
        card = read_card(tests.parent)
        tasks = card.get("tasks", {})
        self._tests = tests
        self._modules = modules_of(card, main_module(tests))
        self._tasks = tasks_of(tests)
        self._names = {task: tasks.get(task, {}).get("names", [task]) for task in self._tasks}
        imports = [str(name) for name in card.get("imports", [])]
        self._packages = tuple(name for name in COSTLY if name.partition(".")[0] in imports)
        self._far: dict[str, TaskProgress] = {}  # task -> its progress in its last run
        self._current = self._tasks[0]
        paths = (*(tests.with_name(f"{name}.py") for name in self._modules), tests)
        self._stamps = {path: _stamp(path) for path in paths}
        self._seen: dict[Path, tuple[int, int] | None] = {}  # the stamps at the last look
        self._texts = {path: text_of(path) for path in self._stamps}  # the last texts that were valid Python
        self._waiting: Standby | None = None  # started after a run, so that it does not slow the run down
        self._running: Standby | None = None
        self._since = 0.0

    def run(self, keys: Keys) -> None:
        self._start([])
        while (key := keys.wait(_LOOK)) not in ("q", "Q", "\x03", "\x04"):
            saved = self._saved()
            if saved is not None:
                self._start(saved or [self._current])
            elif key in ("n", "N"):
                self._current = self._following()
                self._start([self._current])
            elif key in ("a", "A"):
                self._start([])
            elif key in ("\r", "\n", " "):
                self._start([self._current])
            elif key in ("h", "H"):
                self._hint()
            if self._running and (came := self._running.result()):
                self._running = None
                self._show(came)
            if not self._running and not self._waiting:
                self._waiting = Standby(self._tests, self._packages)

    def end(self) -> None:
        for process in (self._running, self._waiting):
            if process:
                process.end()

    def _saved(self) -> list[str] | None:
        """The tasks that a save concerns, [] if it concerns none; None if nothing was saved."""
        found: list[str] | None = None
        for path, before in self._stamps.items():
            stamp = _stamp(path)
            is_whole = stamp is not None and stamp[1] > 0 and self._seen.get(path) == stamp
            self._seen[path] = stamp
            if stamp == before or not is_whole:  # an editor is still writing, or replaces the file
                continue
            self._stamps[path] = stamp
            text = text_of(path)
            if not is_python(text):
                found = found or []
                continue
            was, before_all = self._texts[path], self._all_modules()
            self._texts[path] = text
            is_tests = path == self._tests
            tasks = touched_by_tests(was, text) if is_tests else touched(before_all, self._all_modules(), self._names)
            found = [*(found or []), *tasks]
        return None if found is None else [task for task in self._tasks if task in found]

    def _all_modules(self) -> str:
        return "\n".join(text for path, text in self._texts.items() if path != self._tests)

    def _start(self, tasks: list[str]) -> None:
        """Run the tests of these tasks, or of all if none is named; end a run that is still going on."""
        if self._running:
            self._running.end()
        self._running = self._waiting or Standby(self._tests, self._packages)
        self._waiting = None
        self._since = time.monotonic()
        self._running.start(tasks)
        self._clear()
        print(f"Running the tests of {', '.join(tasks) or 'all tasks'} ...", flush=True)

    def _show(self, came: PublicRun) -> None:
        from autograder.student.check import write

        took = time.monotonic() - self._since
        self._clear()
        if came.progress is None:
            print(came.sentence)
        else:
            self._note(came.progress)
            print(f"{came.progress.title}  ({time.strftime('%H:%M:%S')}, {took:.1f} s)")
            plain = not can_write("█░", sys.stdout.encoding)
            width = shutil.get_terminal_size().columns
            write(lines(came.progress, width=width, ascii_only=plain, printed=True))
            write([self._overall(plain)])
        self._say_keys()

    def _note(self, report: Progress) -> None:
        """Remember the progress of the tasks, and go on with those that are left."""
        self._far |= {task.task: task for task in report.tasks}
        if report.next_task:
            self._current = report.next_task.task
        elif self._current not in {task.task for task in report.tasks} and report.tasks:
            self._current = report.tasks[-1].task

    def _left(self) -> list[str]:
        return [task for task, far in self._far.items() if far.is_here and not far.is_done]

    def _following(self) -> str:
        """The next task after the current one that is not done; the current one if all are done."""
        at = self._tasks.index(self._current)
        left = self._left()
        return next((task for task in self._tasks[at + 1 :] + self._tasks[:at] if task in left), self._current)

    def _overall(self, plain: bool) -> StyledLine:
        here = [far for far in self._far.values() if far.is_here]
        done = sum(far.is_done for far in here)
        look: Look = "passed" if done == len(here) else "text"
        said = f"{done} of {len(here)} tasks pass their public tests"
        return StyledLine(((f"  {bar(done / max(len(here), 1), ascii_only=plain)}  {said}", look),))

    def _hint(self) -> None:
        from autograder.student.check import write
        from autograder.student.desk import hint_lines
        from autograder.student.hint import give

        width = shutil.get_terminal_size().columns
        write(hint_lines(give(self._tests.parent, self._tests, self._current), width=width))
        self._say_keys()

    def _say_keys(self) -> None:
        from autograder.student.check import write

        write([StyledLine(()), StyledLine(((f"  {_KEYS}", "quiet"),))])

    def _clear(self) -> None:
        if sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
            print(_CLEAR, end="")


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
