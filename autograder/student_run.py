"""One pytest run over public tests: failures in words, and at the end how far each task is."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from autograder.faults import Kind
    from autograder.student_report import Look
    from autograder.trial import Outcome, Trial

Status = tuple[str, str, tuple[str, dict[str, bool]]]  # what pytest counts it as, its letter, its word

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


def task_of(item: pytest.Item) -> str:
    """The task that a test belongs to, or ''."""
    marker = item.get_closest_marker("task")
    return str(marker.args[0]) if marker and marker.args else ""


class StudentRun:
    """The hooks of one run. They leave tests without the marker `task` alone."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.tests_of: dict[tuple[Path, str], int] = {}  # (test file, task) -> how many tests it has
        self.trials: list[Trial] = []
        self._unimportable: set[Path] = set()
        self._extras: dict[Path, dict[str, str]] = {}  # test file -> task -> the extra that it needs

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        """Let `pytest -k softmax` find every test of the task, and count them before any is deselected."""
        if task := task_of(item):
            item.extra_keyword_matches.add(task)
            self.tests_of[item.path, task] = self.tests_of.get((item.path, task), 0) + 1

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        if only := self.config.getoption("autograder_task"):
            self.config.hook.pytest_deselected(items=[item for item in items if task_of(item) != only])
            items[:] = [item for item in items if task_of(item) == only]

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Leave out a task whose extra is not installed, before a fixture or the test asks for it."""
        if missing := self._missing(item):
            from autograder import extras

            pytest.skip(extras.sentence(missing))

    def _missing(self, item: pytest.Item) -> str:
        """Return the extra that an item's task needs and that is not installed here, or ''."""
        from autograder import extras
        from autograder.progress import read_card

        if item.path not in self._extras:
            tasks = read_card(item.path.parent).get("tasks", {})
            self._extras[item.path] = {task: str(card.get("extra", "")) for task, card in tasks.items()}
        extra = self._extras[item.path].get(task_of(item), "")
        return extra if extra and not extras.is_installed(extra) else ""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        ended = report.when == "call" or (report.when == "setup" and not report.passed)
        if ended and task_of(item):
            self._note(item, call, report)
        return report

    def _note(self, item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport) -> None:
        """Put the failure in words, and hang the trial on the report, with which it travels."""
        from autograder.faults import is_students
        from autograder.student_module import module_path
        from autograder.trial import Trial, cut_to, lesson_of, words

        module, lesson = module_path(item.path), lesson_of(getattr(item, "function", None))
        outcome: Outcome = "passed" if report.passed else "failed"
        sentence, printed = "Skipped, which counts as not passed." if report.skipped else "", ""
        if report.skipped and (missing := self._missing(item)):
            from autograder import extras

            sentence, outcome = extras.sentence(missing), "not_here"
        if report.failed and call.excinfo:
            error = call.excinfo.value
            if report.when == "setup" and not is_students(error, module.stem):
                return  # a fixture of the test file is broken: its author needs pytest's own words
            said = words(error, module.stem, lesson, item.path, (item.location[1] or 0) + 1)
            lesson = said.lesson
            sentence, outcome = said.fault.sentence, self._outcome(said.fault.kind, module)
            if self.config.getoption("tbstyle", "auto") in ("auto", "line"):
                report.longrepr = said  # type: ignore[assignment]
            report.when = "call"
            printed = _ending(report.capstdout, 800)
            report.sections = [(title, _ending(text)) for title, text in report.sections]
            cut_to(error, {str(module), str(item.path)})
        marker = item.get_closest_marker("task")
        some = any("::" in argument for argument in self.config.args)
        vars(report)["autograder_trial"] = asdict(
            Trial(
                test=item.name,
                file=str(item.path),
                module=module.stem,
                task=task_of(item),
                weight=float(marker.kwargs.get("weight", 1)) if marker else 1.0,
                outcome=outcome,
                sentence=sentence,
                lesson=lesson,
                task_tests=0 if some else self.tests_of.get((item.path, task_of(item)), 0),
                printed=printed,
            )
        )

    def _outcome(self, kind: Kind, module: Path) -> Outcome:
        """A module that cannot be imported is one failure; its other tests did not run."""
        if kind == "import_failed":
            known = module in self._unimportable
            self._unimportable.add(module)
            return "not_run" if known else "failed"
        return "not_started" if kind == "not_started" else "failed"

    def pytest_report_teststatus(self, report: pytest.TestReport) -> Status | None:
        """Show what is not written yet as such, and not as a failure."""
        trial = getattr(report, "autograder_trial", None)
        return _STATUS.get(trial["outcome"]) if trial else None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if trial := getattr(report, "autograder_trial", None):
            from autograder.trial import Trial

            self.trials.append(Trial(**trial))

    @pytest.hookimpl(tryfirst=True)
    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Write one table for each topic that was tried."""
        if not self.trials or self.config.getoption("verbose", 0) < -1:
            return
        from autograder.progress import progress
        from autograder.student_report import can_write, lines

        if self.config.option.reportchars == _PYTESTS_OWN_LIST and self._are_all_ours(terminalreporter):
            terminalreporter.reportchars = ""  # the table says it
        writer: Any = terminalreporter._tw
        plain = not can_write("█░", getattr(writer._file, "encoding", None))
        for file in dict.fromkeys(trial.file for trial in self.trials):
            trials = [trial for trial in self.trials if trial.file == file]
            report = progress(trials, Path(file).parent, trials[0].module)
            terminalreporter.section(report.title)
            for line in lines(report, width=writer.fullwidth, ascii_only=plain):
                for text, look in line.spans:
                    writer.write(text, **_MARKUP[look])
                writer.line()

    def _are_all_ours(self, terminalreporter: Any) -> bool:
        ended = terminalreporter.stats.get("failed", []) + terminalreporter.stats.get("error", [])
        return all(hasattr(report, "autograder_trial") for report in ended)

    def pytest_sessionfinish(self) -> None:
        if path := self.config.getoption("autograder_trials"):
            import json

            Path(path).write_text(json.dumps([asdict(trial) for trial in self.trials]), encoding="utf-8")


def _ending(text: str, most: int = 2000) -> str:
    """The end of what a test printed: a print in a loop must not bury the sentence."""
    return text if len(text) <= most else f"... {len(text) - most} characters left out ...\n{text[-most:]}"
