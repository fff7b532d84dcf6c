"""The examiner: a process of its own that holds the tests, the reference and the seed, and runs pytest over them.

    python -m autograder.examiner FOLDER --isolation A

It collects the suite once. Then, for every request (one JSON line on standard input) it runs the tests against that
submission behind the wall and answers with one JSON line. It never imports student code.

    request  {"source": base64 or null, "seed": int, "tests": names to run, or null for all,
              "stops": whether to end with the first test that does not pass}
    answer   {"results": [{"test", "outcome", "kind", "sentence", "seconds"}], "seconds", "import_fault"}
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import importlib.util
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import IO, Any, cast

import pytest

from autograder.errors import AutograderError
from autograder.faults import explain
from autograder.plugin import task_of
from autograder.proxy import Examinee, Student
from autograder.report.model import Isolation
from autograder.sandbox.codec import CannotCross
from autograder.sandbox.rungs import Limits
from autograder.sandbox.zygotes import Zygote
from autograder.topic import Topic, read_topic

#: after so many tests of one task that ran over a budget or killed the worker, its other tests are not run
_PATIENCE = 2
#: plugins of pytest's and ours that only cost time here, or speak to a person
_UNUSED = (
    "cacheprovider",
    "unraisableexception",
    "threadexception",
    "faulthandler",
    "terminal",
    "autograder-student-run",
)
_OURS = (AutograderError, CannotCross, MemoryError)


@dataclass
class _Progress:
    """One test under way: the phases that passed, and the first error."""

    passed: set[str] = field(default_factory=set)
    error: BaseException | None = None
    skipped: str = ""


class Examination:
    """A pytest plugin whose run loop is: for every submission, every test."""

    def __init__(self, topic: Topic, zygote: Zygote | None, requests: IO[str], answers: IO[str]) -> None:
        self._topic = topic
        self._zygote = cast(Zygote, zygote)
        self._requests = requests
        self._answers = answers
        self._examinee: Examinee | None = None
        self._student: Any = None
        self._reference: ModuleType | None = None
        self._progress = _Progress()
        self._given_up: dict[str, list[str]] = {}
        self._is_over = False
        self._uncollected: list[str] = []

    # --- fixtures that stand in the place of the student's own -----------------------------------------------------

    @pytest.fixture(scope="session")
    def student(self) -> Any:
        """The submission's module, behind the wall."""
        return self._student

    @pytest.fixture(scope="session")
    def reference(self) -> ModuleType:
        """The solution, here in the trusted process."""
        if self._reference is None:
            self._reference = load_solution(self._topic)
        return self._reference

    # --- the run ---------------------------------------------------------------------------------------------------

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._uncollected.append(report.longreprtext.strip().splitlines()[-1])

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if self._uncollected or not session.items:
            said = "; ".join(self._uncollected) or "it holds no test"
            error = f"{self._topic.folder}: the suite cannot be collected: {said}"
            self._answer({"error": error, "kind": "AuthorError"})
            return True
        self._answer({"collected": [_describe(item) for item in session.items]})
        for line in self._requests:
            request = json.loads(line)
            session.config.option.autograder_seed = request["seed"]
            items = [
                item for item in session.items if request["tests"] is None or item.name in request["tests"]
            ]
            source = None if request["source"] is None else base64.b64decode(request["source"])
            self._given_up = {}
            self._is_over = False
            started = time.monotonic()
            with self.opened(source) as import_fault:
                answer = {
                    "results": self._run_all(items, stops=request["stops"]),
                    "seconds": time.monotonic() - started,
                    "import_fault": import_fault(),
                }
            self._answer(answer)
        return True

    @contextlib.contextmanager
    def opened(self, source: bytes | None) -> Iterator[Callable[[], str]]:
        """Have `student` be this module for a while; gives a function that says why it could not be imported."""
        topic = self._topic
        self._examinee = examinee = Examinee(
            self._zygote, module=topic.module, source=source, imports=topic.imports
        )
        self._student = Student(examinee)
        try:
            yield lambda: examinee.import_fault
        finally:
            examinee.close()

    def _run_all(self, items: list[pytest.Item], *, stops: bool) -> list[dict[str, Any]]:
        results = []
        for item, after in zip(items, [*items[1:], None], strict=False):
            results.append(self._run(item, after))
            if stops and after is not None and results[-1]["outcome"] != "passed":
                self._is_over = True
                self._run(after, None)  # not tried: it only lets pytest tear down what the last one left
                break
        return results

    def _run(self, item: pytest.Item, following: pytest.Item | None) -> dict[str, Any]:
        self._progress = _Progress()
        started = time.monotonic()
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        progress = self._progress
        outcome, kind, sentence = "failed", "", ""
        if progress.error is not None:
            fault = explain(progress.error, module=self._topic.module)
            kind, sentence = fault.kind, fault.sentence
            if isinstance(progress.error, _OURS):
                outcome, kind, sentence = (
                    "broken",
                    "ours",
                    f"{type(progress.error).__name__}: {progress.error}",
                )
            elif kind in ("limit", "died"):
                self._given_up.setdefault(task_of(item), []).append(sentence)
        elif progress.skipped:
            outcome, kind, sentence = "failed", "skipped", progress.skipped
        elif progress.passed == {"setup", "call", "teardown"}:
            outcome = "passed"
        else:
            sentence = "the test did not run to its end"
        return {
            "test": item.name,
            "outcome": outcome,
            "kind": kind,
            "sentence": sentence,
            "seconds": time.monotonic() - started,
        }

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Have a worker ready, with this test's budget and seed, before any fixture runs."""
        if self._is_over:
            raise _GivenUp("an earlier test did not pass")
        if self._examinee is None:
            return
        task = self._topic.task(task_of(item))
        given_up = self._given_up.get(task.id, [])
        if len(given_up) >= _PATIENCE:
            raise _GivenUp(given_up[-1])
        self._examinee.start(task.id, task.seconds)
        self._examinee.seed(int(item.config.getoption("autograder_seed")))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> None:
        if self._examinee is not None:
            self._examinee.seed(int(item.config.getoption("autograder_seed")))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
        report = cast(pytest.TestReport, (yield))
        error = call.excinfo.value if call.excinfo else None
        if report.passed and error is None and not hasattr(report, "wasxfail"):
            self._progress.passed.add(call.when)
        elif report.skipped or hasattr(report, "wasxfail"):
            self._progress.skipped = str(error) or "skipped"
        elif self._progress.error is None:
            self._progress.error = error
        return report  # type: ignore[return-value]

    def _answer(self, value: dict[str, Any]) -> None:
        self._answers.write(json.dumps(value) + "\n")
        self._answers.flush()


class _GivenUp(BaseException):
    """A test that is not tried: its task has used up the examiner's patience; str() is the last sentence."""

    fault_kind = "limit"


class _Hire:
    """Registers the examination last, so that its fixtures win over the plugin's."""

    def __init__(self, examination: Examination) -> None:
        self._examination = examination

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        config.option.tbstyle = "native"  # nobody reads the traceback, and pytest's own takes 50 ms to write
        config.pluginmanager.register(self._examination, "examination")


def load_solution(topic: Topic) -> ModuleType:
    """Import a topic's solution, under a name of its own."""
    spec = importlib.util.spec_from_file_location(f"reference_{topic.module}", topic.solution_path)
    if spec is None or spec.loader is None:
        raise AutograderError(f"{topic.solution_path}: cannot be imported")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _describe(item: pytest.Item) -> dict[str, Any]:
    marker = item.get_closest_marker("task")
    docstring = getattr(getattr(item, "function", None), "__doc__", "") or ""
    return {
        "test": item.name,
        "task": task_of(item),
        "weight": float(marker.kwargs.get("weight", 1)) if marker else 0.0,
        "is_hidden": item.path.stem.endswith("_hidden"),
        "lesson": " ".join(docstring.split()),
    }


def pytest_arguments(topic: Topic) -> list[str]:
    """Return the command line under which a topic's suite is collected, untouched by any file around it."""
    arguments = [str(topic.public_tests_path), str(topic.hidden_tests_path)]
    arguments += ["-c", os.devnull, f"--rootdir={topic.folder}", "--noconftest", "--import-mode=importlib"]
    for plugin in _UNUSED:
        arguments += ["-p", f"no:{plugin}"]
    return [*arguments, "-p", "autograder.plugin", "--capture=no"]


def answer_requests(folder: Path, hold: Callable[[Topic, IO[str], IO[str]], int]) -> int:
    """Read a topic and have `hold` examine what comes in on standard input, undisturbed by what tests print."""
    answers = os.fdopen(os.dup(1), "w")
    requests = os.fdopen(os.dup(0), "r")
    os.dup2(2, 1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.dont_write_bytecode = True
    for name in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS"):
        os.environ.pop(name, None)
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    try:
        topic = read_topic(folder)
        if topic.needs_torch:
            import torch

            torch.set_num_threads(1)
        return hold(topic, requests, answers)
    except AutograderError as error:
        answers.write(json.dumps({"error": str(error), "kind": type(error).__name__}) + "\n")
        answers.flush()
        return 2


def run(examination: Examination, topic: Topic) -> int:
    """Run pytest with an examination in the place of its loop."""
    return int(pytest.main(pytest_arguments(topic), plugins=[_Hire(examination)]))


def main() -> int:
    parser = argparse.ArgumentParser(prog="autograder.examiner")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--isolation", required=True)
    options = parser.parse_args()

    def hold(topic: Topic, requests: IO[str], answers: IO[str]) -> int:
        with Zygote(
            cast(Isolation, options.isolation), topic.imports, Limits(memory_mb=topic.memory)
        ) as zygote:
            return run(Examination(topic, zygote, requests, answers), topic)

    return answer_requests(options.folder, hold)


if __name__ == "__main__":
    sys.exit(main())
