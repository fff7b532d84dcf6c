"""check("softmax") in a notebook, `autograder check softmax` in a terminal: how far is this task?

`import autograder` loads this file, so slow imports are inside the functions that need them.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from types import TracebackType

    from autograder.student.progress import Progress
    from autograder.student.public_tests import PublicRun
    from autograder.student.report import StyledLine

_ANSI = {"title": "1", "passed": "32", "failed": "31", "quiet": "2", "text": "", "command": "36"}


def check(task: str | None = None) -> Checked:
    """Run the public tests of one task, or of all, on the module beside the notebook.

    The module is read from its file each time, in a separate process. Leave the call on the last line of a cell,
    because the notebook shows what it returns.
    """
    from pathlib import Path

    from autograder.student.public_tests import run_public_tests

    return Checked(run_public_tests(Path.cwd(), task))


def check_command(task: str | None, folder: Path) -> int:
    """Print how many tests the module in `folder` passes.

    Returns:
        0 if all tests pass, 1 if one does not, 2 if there is nothing to run
    """
    import shutil
    import sys

    from autograder.student.public_tests import run_public_tests
    from autograder.student.report import can_write, lines

    run = run_public_tests(folder, task)
    if run.progress is None:
        print(run.sentence)
        return 2 if run.is_misuse else 1
    width, plain = shutil.get_terminal_size().columns, not can_write("█░", sys.stdout.encoding)
    print(run.progress.title)
    write(lines(run.progress, width=width, ascii_only=plain, printed=True))
    return 0 if run.progress.next_task is None else 1


def status_command(folder: Path) -> int:
    """Print the progress of every assignment in `folder`, each as soon as it is known.

    Only the tests of an assignment that has changed since its last whole run are run.

    Returns:
        0, or 2 if there is no assignment
    """
    import sys

    from autograder.student.report import can_write
    from autograder.student.status import assignments, status

    found = assignments(folder)
    if not found:
        print(f"No assignment in {folder}: go to the folder that holds your assignments, or into one of them.")
        return 2
    is_terminal = sys.stdout.isatty()

    def say_running(assignment: Path) -> None:
        if is_terminal:
            print(f"  {assignment.name}: its public tests run ...", end="", flush=True)

    for line in status(found, ascii_only=not can_write("█░", sys.stdout.encoding), on_run=say_running):
        if is_terminal:
            print("\r\x1b[K", end="")
        write([line])
    return 0


class Checked:
    """The outcome of a check, as the notebook or the prompt shows it."""

    def __init__(self, run: PublicRun) -> None:
        self._run = run

    @property
    def progress(self) -> Progress | None:
        """The progress of each task; None if no test could be run."""
        return self._run.progress

    def __repr__(self) -> str:
        from autograder.student.report import to_text

        return to_text(self._run.progress) if self._run.progress else self._run.sentence

    def _repr_html_(self) -> str:
        import html

        from autograder.student.report import to_html

        if self._run.progress:
            return to_html(self._run.progress)
        return f"<pre>{html.escape(self._run.sentence)}</pre>"


class attempt:  # it reads as a statement: with attempt(): ...
    """Let a lesson go on if a function is not written yet: show "not started: softmax" and no traceback."""

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, NotImplementedError):
            return False
        name = str(error).partition(": not started")[0]
        print(f"not started: {name or 'this function'}")
        return True


def write(found: Iterable[StyledLine]) -> None:
    """Print lines as they come, in colours if they go to a terminal."""
    import os
    import sys

    colours = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    for line in found:
        text = "".join(_coloured(text, _ANSI[look] if colours else "") for text, look in line.spans)
        print(text, flush=True)


def _coloured(text: str, code: str) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if code else text
