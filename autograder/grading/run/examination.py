"""The examination: the suite of one topic, run on every submission that the judge sends.

It is a plugin of pytest. Pytest collects the suite and sets up what tests need. This module replaces the run loop of
pytest, and also its three phases for plain tests, which do not need them (direct.py).

This file is long because one loop keeps what a submission has left of its budgets, and what has ended it.
"""

from __future__ import annotations

import base64
import contextlib
import gc
import json
import time
import unittest
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import IO, Any, cast

import pytest

from autograder.errors import SandboxError
from autograder.given import modules_among
from autograder.grading.run import timers
from autograder.grading.run.direct import PlainTest, read_plain
from autograder.grading.run.outcome import PHASES, TestProgress, result_of, worse
from autograder.grading.run.patience import ENDS, GivenUp, Patience
from autograder.grading.run.proxy import Examinee, Student
from autograder.grading.run.solution import load_solution
from autograder.grading.run.surroundings import Surroundings
from autograder.limits import IDLE_SECONDS, submission_seconds
from autograder.plugin import ambient_seed, forbidden_in, rng_of, secret_of, seed_everything, task_of
from autograder.sandbox.outside.ends import LimitExceeded
from autograder.sandbox.outside.zygotes import Zygote
from autograder.topic import Task, Topic

_SKIPPED = (pytest.skip.Exception, pytest.xfail.Exception, unittest.SkipTest)
_IN_SETUP = "setup "


class Examination:
    """A pytest plugin whose run loop is: for every submission, every test."""

    #: call plain tests directly, without pytest (see direct.py)
    is_direct = True

    def __init__(self, topic: Topic, zygote: Zygote | None, requests: IO[str], answers: IO[str]) -> None:
        self._topic = topic
        self._zygote = cast(Zygote, zygote)
        self._requests = requests
        self._answers = answers
        self._examinee: Examinee | None = None
        self._student: Any = None
        self._reference: ModuleType | None = None
        self._plain: dict[pytest.Item, PlainTest] = {}
        self._progress = TestProgress()
        self._patience = Patience(topic)
        self._idle = IDLE_SECONDS  #: seconds that the submission may still wait
        self._surroundings = Surroundings()
        self._is_over = self._is_in_use = False
        self._was_killed = False  #: a worker of the last run was killed, but not by us
        self._is_lost = False  #: the zygote is gone
        self._uncollected: list[str] = []
        self._allowed: dict[str, frozenset[str]] | None = None
        self._task_under_way = ""
        self._setups: dict[str, float] = {}  #: seconds of each shared fixture that this run has set up

    # --- fixtures that replace those of the student's folder -------------------------------------------------------

    @contextlib.contextmanager
    def lent(self) -> Iterator[Any]:
        """The submission's module, for the fixture `student`; it is in use as long as a fixture has it."""
        self._is_in_use = True
        yield self._student
        self._is_in_use = False

    def solution(self) -> ModuleType:
        """The solution, in this process; for the fixture `reference`."""
        if self._reference is None:
            self._reference = load_solution(self._topic)
        return self._reference

    # --- the run ---------------------------------------------------------------------------------------------------

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Leave out the tasks that cannot be graded here because a package is missing."""
        left_out = {task.id for task in self._topic.tasks if not task.is_gradable}
        items[:] = [item for item in items if task_of(item) not in left_out]
        # Students read all that a public test says, so these run first: the module knows no hidden input yet.
        items.sort(key=_is_hidden)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._uncollected.append(report.longreprtext.strip().splitlines()[-1])

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        is_empty = not session.items and any(task.is_gradable for task in self._topic.tasks)
        if self._uncollected or is_empty:
            said = "; ".join(self._uncollected) or "it holds no test"
            error = f"{self._topic.folder}: the suite cannot be collected: {said}"
            self._answer({"error": error, "kind": "AuthorError"})
            return True
        try:
            if self._zygote is not None:
                self._zygote.wait()
        except SandboxError as error:
            self._answer({"error": str(error), "kind": type(error).__name__})
            return True
        self._answer({"collected": [_describe(item) for item in session.items]})
        if self.is_direct:
            found = {item: read_plain(item) for item in session.items}
            self._plain = {item: plain for item, plain in found.items() if plain is not None}
        self._patience.learn(session.items)
        for module in {item.module for item in session.items if isinstance(item, pytest.Function)}:
            self._surroundings.note(vars(module))
        gc.collect()
        gc.freeze()  # these objects stay: the garbage collector need not look at them again
        for line in self._requests:
            request = json.loads(line)
            session.config.option.autograder_seed = request["seed"]
            items = [item for item in session.items if request["tests"] is None or item.name in request["tests"]]
            source = None if request["source"] is None else base64.b64decode(request["source"])
            self._allowed = None if request["changes"] is None else _by_test(request["changes"])
            answer = self._examine(items, source, stops=request["stops"])
            if self._is_lost:
                return True  # no answer is sent: the judge then starts another examiner
            self._answer(answer)
        return True

    def _examine(self, items: list[pytest.Item], source: bytes | None, *, stops: bool) -> dict[str, Any]:
        """Run some tests on a submission, and run those again in which changes were held back."""
        started = time.monotonic()
        self._idle = IDLE_SECONDS
        results, import_fault = self._run_all(items, source, stops=stops)
        if self._was_killed:  # perhaps the machine had no memory left, and has some now
            results, import_fault = self._run_all(items, source, stops=stops)
        held_back = [result["held_back"] for result in results]
        if any(held_back):
            self._allowed = None
            everything = any("setup" in phases for phases in held_back)
            again = [
                item
                for item, result in zip(items, results, strict=False)  # there are fewer results if it stopped
                if (everything or result["held_back"]) and result["kind"] not in ENDS
            ]
            second = {result["test"]: result for result in self._run_all(again, source, stops=stops)[0]}
            results = [worse(result, second.get(result["test"], result)) for result in results]
        return {
            "results": results,
            "seconds": time.monotonic() - started,
            "import_fault": import_fault,
        }

    def _run_all(
        self, items: list[pytest.Item], source: bytes | None, *, stops: bool
    ) -> tuple[list[dict[str, Any]], str]:
        if self._is_in_use:
            raise RuntimeError("the last submission's module is still in a fixture")
        self._patience.start()
        self._is_over = False
        self._setups.clear()
        results = []
        with self.opened(source) as import_fault:
            for item, after in zip(items, self._next_ones(items), strict=True):
                results.append(self._run(item, after))
                if stops and results[-1]["outcome"] != "passed":
                    self._is_over = True
                    if after is not None:
                        self._run(after, None)  # its result is not used: pytest tears down what the last test left
                    break
            self._was_killed = self._examinee is not None and self._examinee.allowance.was_killed
            fault = import_fault()
        self._surroundings.restore()
        self._reference = None  # the next submission gets a new one, which has computed nothing yet
        return results, fault

    def _next_ones(self, items: list[pytest.Item]) -> list[pytest.Item | None]:
        """Return for each test the next one that pytest runs, so that pytest tears down what that one does not need."""
        following: list[pytest.Item | None] = []
        after: pytest.Item | None = None
        for item in reversed(items):
            following.append(after)
            after = after if item in self._plain else item
        return following[::-1]

    @contextlib.contextmanager
    def opened(self, source: bytes | None) -> Iterator[Callable[[], str]]:
        """Let `student` be this module in the block; gives a function that says why it could not be imported."""
        topic = self._topic
        self._examinee = examinee = Examinee(
            self._zygote,
            module=topic.module,
            also=topic.also,
            given=modules_among(topic.files),
            source=source,
            imports=topic.packages,
            seconds=submission_seconds(task.seconds for task in topic.tasks),
            is_fresh=topic.worker == "test",
            bytes_a_test=topic.answers << 20,
            idle=self._idle,
        )
        self._student = Student(examinee)

        def give_up() -> None:
            examinee.close()  # otherwise its answer to this call would be taken for the answer to the next one
            raise LimitExceeded(f"{self._task_under_way}: what your code returned keeps the test busy without end")

        try:
            with timers.ringing(give_up):
                yield lambda: examinee.import_fault
        finally:
            examinee.close()
            examinee.changes.undo_all()
            self._idle = examinee.allowance.idle

    def _run(self, item: pytest.Item, following: pytest.Item | None) -> dict[str, Any]:
        """Run one test, and return its result."""
        started = time.monotonic()
        self._progress = TestProgress()
        earlier = sum(self._setups.get(name, 0.0) for name in getattr(item, "fixturenames", ()))
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        seconds = time.monotonic() - started
        return self._result(item, self._progress) | {"seconds": seconds, "seconds_alone": seconds + earlier}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> bool | None:
        """Run a plain test without pytest's phases, with the same verdict; leave any other test to pytest."""
        plain = self._plain.get(item)
        if plain is None or self._examinee is None:
            return None
        progress = self._progress
        try:
            try:
                task = self._make_ready(item)
                secret, seed = secret_of(item.config.option.autograder_seed), ambient_seed(item)
                arguments = {name: self._fixture(name, item, secret) for name in plain.fixtures}
                with self._watched(item, task, "call"):
                    self._examinee.start_call()
                    self._examinee.seed(seed)
                    seed_everything(seed)
                    plain.function(**plain.values, **arguments)
            finally:
                self._examinee.changes.undo()
        except (KeyboardInterrupt, pytest.exit.Exception):
            raise
        except _SKIPPED as error:
            progress.skipped = str(error) or "skipped"
        except BaseException as error:
            progress.error = error
        else:
            progress.passed = PHASES
        return True

    def _result(self, item: pytest.Item, progress: TestProgress) -> dict[str, Any]:
        """Return the result of a test, and note what it means for the next tests."""
        examinee = self._examinee
        result = result_of(item, progress, self._topic, was_answered=examinee is not None and examinee.was_answered)
        self._is_lost |= isinstance(progress.error, SandboxError)
        if result["kind"] in ENDS and not isinstance(progress.error, (GivenUp, MemoryError)):
            self._patience.note(item, cast(Examinee, examinee).called_last, result["sentence"])
        return result

    def _fixture(self, name: str, item: pytest.Item, secret: int) -> Any:
        """Return the value that pytest would give a test for one of our fixtures."""
        if name == "student":
            return self._student
        if name == "reference":
            return self.solution()
        return secret if name == "seed" else rng_of(item.name, secret)

    def _make_ready(self, item: pytest.Item) -> Task:
        """Prepare a worker in the world of a test, and return the test's task."""
        task = self._topic.task(task_of(item))
        self._patience.check(item)
        cast(Examinee, self._examinee).start(task.id, task.seconds, forbidden_in(item, task.forbid))
        return task

    @pytest.hookimpl(wrapper=True, trylast=True)  # within pytest's own, which rely on having begun
    def pytest_runtest_setup(self, item: pytest.Item) -> Iterator[None]:
        """Prepare a worker, with this test's budget and seed, before any fixture runs."""
        if self._is_over:
            raise GivenUp("an earlier test did not pass")
        if self._examinee is None:
            yield
            return
        task = self._make_ready(item)
        with self._watched(item, task, "setup"):
            self._examinee.seed(ambient_seed(item))
            yield
        self._examinee.changes.keep()

    @pytest.hookimpl(wrapper=True, trylast=True)  # within pytest's own, which rely on having begun
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        if self._examinee is None:
            yield
            return
        with self._watched(item, self._topic.task(task_of(item)), "call"):
            self._examinee.start_call()
            self._examinee.seed(ambient_seed(item))
            yield

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Iterator[None]:
        yield
        if self._examinee is not None:
            self._examinee.changes.undo()

    def _allowed_in(self, test: str) -> frozenset[str] | None:
        """Return the arguments that may be changed directly in a test, or in fixtures (""); None for all."""
        return None if self._allowed is None else self._allowed.get(test, frozenset())

    @contextlib.contextmanager
    def _watched(self, item: pytest.Item, task: Task, phase: str) -> Iterator[None]:
        """Protect arguments in one phase of a test, and end the phase if it takes far longer than its worker may."""
        examinee = cast(Examinee, self._examinee)
        mark = _IN_SETUP if phase == "setup" else ""
        examinee.changes.begin(self._allowed_in("" if mark else item.name))

        self._task_under_way = task.id
        try:
            with timers.running(task.seconds):
                yield
        finally:
            self._progress.changes |= {mark + argument for argument in examinee.changes.arguments}
            if examinee.changes.are_held_back:
                self._progress.are_held_back.add(phase)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
    ) -> Iterator[None]:
        """Let pytest remember that a fixture failed because its worker ended. For a BaseException pytest does not do
        so: it would never finish the fixture, and the next submission would fail because of it. Note also how long
        the setup of a shared fixture took."""
        started = time.monotonic()
        try:
            return (yield)
        except BaseException as error:
            if fixturedef.cached_result is None:
                fixturedef.cached_result = (None, fixturedef.cache_key(request), (error, error.__traceback__))  # type: ignore[arg-type]
            raise
        finally:
            if fixturedef.scope != "function":
                self._setups[fixturedef.argname] = time.monotonic() - started

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


def _by_test(changes: dict[str, list[str]]) -> dict[str, frozenset[str]]:
    """Return what may be changed in each test; under "" what may be changed in fixtures, without the mark "setup "."""
    of_tests = {test: frozenset(arguments) for test, arguments in changes.items()}
    return of_tests | {"": frozenset(argument.removeprefix(_IN_SETUP) for argument in changes.get("", ()))}


def _describe(item: pytest.Item) -> dict[str, Any]:
    marker = item.get_closest_marker("task")
    docstring = getattr(getattr(item, "function", None), "__doc__", "") or ""
    return {
        "test": item.name,
        "task": task_of(item),
        "weight": float(marker.kwargs.get("weight", 1)) if marker else 0.0,
        "is_hidden": _is_hidden(item),
        "lesson": " ".join(docstring.split()),
        "tells": str(marker.kwargs.get("tells", "")) if marker else "",
    }


def _is_hidden(item: pytest.Item) -> bool:
    return item.path.stem.endswith("_hidden")
