"""One pytest run over public tests: failures in words, and at the end the progress of each task.

This file is long because these are the hooks of one pytest plugin, which share what they have seen.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import chdir, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from autograder.student.selection import Selection, forbidden_in, modules_of, task_of

if TYPE_CHECKING:
    from autograder.faults import Kind
    from autograder.student.deadline import Deadline
    from autograder.student.report import Look
    from autograder.student.trial import Outcome, Told, Trial

Status = tuple[str, str, tuple[str, dict[str, bool]]]  # the name by which pytest counts it, its letter, its word

_LEAST = 10.0  # CPU seconds that any test may take
_ROWS = 12  # lines of what a test printed that are shown
_ENDLESS = "Not run: another test of this task did not end."
_PYTESTS_OWN_LIST = "fE"  # the short summary that pytest writes unless -r is given
_STATUS: dict[str, Status] = {
    "not_started": ("not started", "-", ("NOT STARTED", {"yellow": True})),
    "not_run": ("not run", "x", ("NOT RUN", {"yellow": True})),
    "not_here": ("not gradable here", "s", ("NOT GRADABLE HERE", {"yellow": True})),
}
_MARKUP: dict[Look, dict[str, bool]] = {
    "title": {"bold": True},
    "passed": {"green": True},
    "failed": {"red": True},
    "quiet": {"light": True},
    "text": {},
    "command": {"cyan": True},
}


class StudentRun:
    """The hooks of one run. They change nothing about tests without the marker `task`."""

    def __init__(self, config: pytest.Config, selection: Selection) -> None:
        self.config = config
        self.selection = selection
        self.trials: list[Trial] = []
        self._unimportable: set[Path] = set()
        self._endless: set[tuple[Path, str]] = set()  # (test file, task) in which a test did not end
        self._told: set[str] = set()  # tests whose failure pytest prints
        self._shown: set[str] = set()  # tasks for which a test's code has been shown
        self._states: dict[Path, str] = {}  # test file -> the state of its folder before the first test
        self._waiting: Deadline | None = None
        self._is_debugged = bool(config.getoption("usepdb", False))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> None:
        """Note the state of each folder of which every test will run, under the usual seed."""
        files = [] if self.config.getoption("autograder_seed") else self.selection.whole_files(session.items)
        if files:
            from autograder.student.memory import state_of

            self._states = {file: state_of(file.parent) for file in files}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Run a test in its folder, so that relative paths lead to given files, and without what its task forbids."""
        if not task_of(item):
            return (yield)
        forbid = forbidden_in(item, self.selection.card(item).get("forbid", ()))
        with chdir(item.path.parent):
            return (yield from self._in_its_world(item, forbid))

    def _in_its_world(self, item: pytest.Item, forbid: tuple[str, ...]) -> Generator[None, Any, Any]:
        if not forbid:
            return (yield)
        from autograder.student.worlds import entered

        with entered(forbid, modules_of(item)):
            return (yield)

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, None, None]:
        """Skip a test whose task needs an extra that is not installed, before a fixture or the test uses it."""
        if missing := self._missing(item):
            from autograder import extras

            pytest.skip(extras.sentence(missing))
        if (item.path, task_of(item)) in self._endless:
            pytest.skip(_ENDLESS)
        with self._patience(item, _LEAST + 20):  # a fixture may import the module
            return (yield)

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, None, None]:
        """End a test that does not end by itself."""
        with self._patience(item, _LEAST):
            return (yield)

    def pytest_enter_pdb(self) -> None:
        """A person debugs the code: from now on no test has a time limit."""
        if self._waiting:
            self._waiting.end()
        self._is_debugged = True

    @contextmanager
    def _patience(self, item: pytest.Item, least: float) -> Iterator[None]:
        if not task_of(item) or self._is_debugged:
            yield
            return
        from autograder.student.deadline import Deadline

        self._waiting = Deadline(self.selection.card(item).get("seconds"), modules_of(item), least=least)
        with self._waiting:
            yield

    def _missing(self, item: pytest.Item) -> str:
        """Return the extra that an item's task needs and that is not installed here, or ''."""
        from autograder import extras

        extra = str(self.selection.card(item).get("extra", ""))
        return extra if extra and not extras.is_installed(extra) else ""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        told = self._tell(item, call) if task_of(item) else None
        report = yield
        is_broken = report.failed and not told  # by a fixture of the test file: its author needs pytest's report
        ended = report.when == "call" or (report.when == "setup" and not report.passed)
        if ended and task_of(item) and not is_broken:
            self._note(item, report, told)
        return report

    def _tell(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Told | None:
        """Put a failure into words, and keep only the frames of the student and of the test in its traceback."""
        if call.excinfo is None or call.excinfo.errisinstance(pytest.skip.Exception):
            return None
        from autograder.faults import is_students
        from autograder.student.trial import cut_to, lesson_of, tell

        error, modules = call.excinfo.value, modules_of(item)
        if call.when == "teardown" or (call.when == "setup" and not is_students(error, *modules)):
            return None
        first_line = (item.location[1] or 0) + 1
        told = tell(error, modules, lesson_of(getattr(item, "function", None)), item.path, first_line)
        if not self.config.getoption("fulltrace", False):
            cut_to(error, {str(item.path), *(str(item.path.with_name(f"{name}.py")) for name in modules)})
        return told

    def _note(self, item: pytest.Item, report: pytest.TestReport, told: Told | None) -> None:
        """Attach the trial to the report, and show its words instead of a traceback."""
        from autograder.student.trial import Explanation, Trial, lesson_of

        outcome: Outcome = "passed" if report.passed else "failed"
        sentence = "Skipped, which counts as not passed." if report.skipped else ""
        if report.skipped and (missing := self._missing(item)):
            from autograder import extras

            sentence, outcome = extras.sentence(missing), "not_here"
        elif report.skipped and (item.path, task_of(item)) in self._endless:
            sentence, outcome = _ENDLESS, "not_run"
        marker = item.get_closest_marker("task")
        trial = Trial(
            test=item.name,
            file=str(item.path),
            module=modules_of(item)[0],
            task=task_of(item),
            weight=float(marker.kwargs.get("weight", 1)) if marker else 1.0,
            outcome=self._outcome(item, told.fault.kind) if told else outcome,
            sentence=told.fault.sentence if told else sentence,
            lesson=told.lesson if told else lesson_of(getattr(item, "function", None)),
            task_tests=self.selection.count(item),
            printed=_ending(report.capstdout) if told else "",
            line=(item.location[1] or 0) + 1,
            sizes=told.sizes if told else "",
            code=told.code if told else "",
            place=told.place if told else "",
        )
        if told:
            report.when = "call"
            report.sections = [(title, _ending(text)) for title, text in report.sections]
            if self.config.getoption("tbstyle", "auto") in ("auto", "line"):
                report.longrepr = Explanation(trial, told.path, is_brief=trial.task in self._shown)  # type: ignore[assignment]
                self._shown.add(trial.task)
        vars(report)["autograder_trial"] = asdict(trial)

    def _outcome(self, item: pytest.Item, kind: Kind) -> Outcome:
        """Return the outcome of a failed test. If the module cannot be imported, only one test fails."""
        if kind == "import_failed":
            known = item.path in self._unimportable
            self._unimportable.add(item.path)
            return "not_run" if known else "failed"
        if kind == "limit":
            self._endless.add((item.path, task_of(item)))
        return "not_started" if kind == "not_started" else "failed"

    def pytest_report_teststatus(self, report: pytest.TestReport) -> Status | None:
        """Show that something is not written yet, instead of a failure."""
        trial = getattr(report, "autograder_trial", None)
        return _STATUS.get(trial["outcome"]) if trial else None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if trial := getattr(report, "autograder_trial", None):
            from autograder.student.trial import Trial

            self.trials.append(Trial(**trial))
            if report.failed and trial["outcome"] == "failed":
                self._told.add(trial["test"])

    @pytest.hookimpl(tryfirst=True)
    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Print one table for each topic that was tried."""
        if not self.trials or self.config.getoption("verbose", 0) < -1:
            return
        from autograder.student.progress import progress
        from autograder.student.report import can_write, lines

        if self.config.option.reportchars == _PYTESTS_OWN_LIST and self._are_all_ours(terminalreporter):
            terminalreporter.reportchars = ""  # the table says the same
        told = self._told if self.config.getoption("tbstyle", "auto") != "no" else ()
        writer: Any = terminalreporter._tw
        plain = not can_write("█░", getattr(writer._file, "encoding", None))
        for file in dict.fromkeys(trial.file for trial in self.trials):
            trials = [trial for trial in self.trials if trial.file == file]
            trials.sort(key=lambda trial: trial.line)  # with `pytest -n` they come in any order
            report = progress(trials, Path(file).parent, trials[0].module)
            terminalreporter.section(report.title)
            for line in lines(report, width=writer.fullwidth, ascii_only=plain, told=told):
                for text, look in line.spans:
                    writer.write(text, **_MARKUP[look])
                writer.line()

    def _are_all_ours(self, terminalreporter: Any) -> bool:
        ended = terminalreporter.stats.get("failed", []) + terminalreporter.stats.get("error", [])
        return all(hasattr(report, "autograder_trial") for report in ended)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        self._keep_own_warnings()
        if path := self.config.getoption("autograder_trials"):
            import json

            Path(path).write_text(json.dumps([asdict(trial) for trial in self.trials]), encoding="utf-8")
        self._remember()

    def _remember(self) -> None:
        """Keep what this run found in each folder of which every test has ended, for `autograder status`."""
        for file, state in self._states.items():
            trials = [trial for trial in self.trials if trial.file == str(file)]
            if len(trials) == self.selection.tests_in(file):
                from autograder.student.memory import remember

                remember(file.parent, state, trials)

    def _keep_own_warnings(self) -> None:
        """Leave out warnings of packages, which a student cannot change; those of a line of the folder stay."""
        terminal: Any = self.config.pluginmanager.get_plugin("terminalreporter")
        if not self.trials or terminal is None or "warnings" not in terminal.stats:
            return
        folders = {str(Path(trial.file).parent) for trial in self.trials}
        own = [
            report
            for report in terminal.stats["warnings"]
            if report.fslocation is None or str(Path(report.fslocation[0]).parent) in folders
        ]
        terminal.stats["warnings"] = own
        if not own:
            del terminal.stats["warnings"]


def _ending(text: str, most: int = 800) -> str:
    """The last lines of what a test printed: a print in a loop must not hide the sentence."""
    if len(text) <= most and text.count("\n") <= _ROWS:
        return text
    kept = text[-most:].rstrip("\n").split("\n")[-_ROWS:]
    kept = kept[1:] if len(kept) > 1 else kept  # the first may be half a line
    left_out = len(text) - len("\n".join(kept))
    return "\n".join([f"... {left_out} characters left out ...", *kept, ""])
