"""The examination: the suite of one topic, run over every submission that is asked for.

A plugin of pytest's. pytest collects the suite and sets up what tests need; this has the place of its run loop, and of
its phases wherever a test is plain enough to do without them (direct.py).
"""

from __future__ import annotations

import base64
import contextlib
import gc
import importlib.util
import json
import signal
import time
import unittest
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import ModuleType
from typing import IO, Any, cast

import pytest

from autograder.errors import AutograderError, SandboxError
from autograder.faults import Budgets, StudentError, explain
from autograder.grading.direct import PlainTest, read_plain
from autograder.grading.proxy import Examinee, Student
from autograder.plugin import ambient_seed, rng_of, secret_of, seed_everything, task_of
from autograder.sandbox.faults import LimitExceeded
from autograder.sandbox.transcripts import Dialogue, Transcripts
from autograder.sandbox.zygotes import Zygote
from autograder.topic import Task, Topic

#: after so many tests of one task that ran over a budget or killed the worker, its other tests are not run
_PATIENCE = 2
_OURS = (AutograderError, MemoryError)
_PHASES = {"setup", "call", "teardown"}
_SKIPPED = (pytest.skip.Exception, pytest.xfail.Exception, unittest.SkipTest)
#: the whole of a submission may use this many CPU seconds, and so much more for each second of its tasks
_SECONDS, _SECONDS_A_SECOND = 60.0, 5.0
#: a phase of a test is ended after this many seconds of real time, and so much more for each second of its task
_WALL_SECONDS, _WALL_SECONDS_A_SECOND = 60.0, 10.0
_AGAIN = 3.0
_IN_SETUP = "setup "
#: kinds of failures that hang on more than what the student's code answers
_NOT_BY_ANSWERS = {"limit", "died", "import_failed", "ours"}


@dataclass
class _Progress:
    """One test under way: the phases that passed, and the first error."""

    passed: set[str] = field(default_factory=set)
    error: BaseException | None = None
    skipped: str = ""
    changes: set[str] = field(default_factory=set)
    are_held_back: set[str] = field(default_factory=set)  #: phases in which changes were not made
    dialogue: Dialogue | None = None  #: what a plain test that was run has said, to be kept
    known: dict[str, Any] | None = None  #: what came of one that was not: others heard the same answers


class Examination:
    """A pytest plugin whose run loop is: for every submission, every test."""

    #: call plain tests without pytest around them (see direct.py)
    is_direct = True
    #: take the verdict on answers that others gave before from what came of them (see transcripts.py)
    is_remembering = True

    def __init__(self, topic: Topic, zygote: Zygote | None, requests: IO[str], answers: IO[str]) -> None:
        self._topic = topic
        self._zygote = cast(Zygote, zygote)
        self._requests = requests
        self._answers = answers
        self._examinee: Examinee | None = None
        self._student: Any = None
        self._reference: ModuleType | None = None
        self._plain: dict[pytest.Item, PlainTest] = {}
        self._places: dict[pytest.Item, int] = {}
        self._transcripts, self._their_seed = Transcripts(), 0
        self._progress = _Progress()
        self._given_up: dict[str, list[str]] = {}
        self._is_over = self._is_in_use = False
        self._was_killed = False  #: a worker of the last run ended by a kill that was not ours
        self._is_lost = False  #: the zygote is gone
        self._uncollected: list[str] = []
        self._allowed: dict[str, frozenset[str]] | None = None
        self._task_under_way = ""

    # --- fixtures that stand in the place of the student's own -----------------------------------------------------

    @contextlib.contextmanager
    def lent(self) -> Iterator[Any]:
        """The submission's module, for the fixture `student`; in use as long as somebody has it."""
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
        """Leave out the tasks that cannot be graded here, for want of a package."""
        left_out = {task.id for task in self._topic.tasks if not task.is_gradable}
        items[:] = [item for item in items if task_of(item) not in left_out]

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
        if self.is_direct:
            found = {item: read_plain(item) for item in session.items}
            self._plain = {item: plain for item, plain in found.items() if plain is not None}
        self._places = {item: place for place, item in enumerate(session.items)}
        gc.collect()
        gc.freeze()  # what is here stays: no collection need look at it again
        for line in self._requests:
            request = json.loads(line)
            session.config.option.autograder_seed = request["seed"]
            if request["seed"] != self._their_seed:
                self._transcripts, self._their_seed = Transcripts(), request["seed"]
            items = [
                item for item in session.items if request["tests"] is None or item.name in request["tests"]
            ]
            source = None if request["source"] is None else base64.b64decode(request["source"])
            self._allowed = None if request["changes"] is None else _by_test(request["changes"])
            answer = self._examine(items, source, stops=request["stops"])
            if self._is_lost:
                return True  # without an answer: who asked starts another examiner
            self._answer(answer)
        return True

    def _examine(self, items: list[pytest.Item], source: bytes | None, *, stops: bool) -> dict[str, Any]:
        """Run some tests on a submission, and those that had changes held back once more."""
        started = time.monotonic()
        results, import_fault = self._run_all(items, source, stops=stops)
        if self._was_killed:  # perhaps by a machine without memory, which may have some now
            results, import_fault = self._run_all(items, source, stops=stops)
        held_back = [result["held_back"] for result in results]
        if any(held_back):
            self._allowed = None
            everything = any("setup" in phases for phases in held_back)
            again = [
                item
                for item, result in zip(items, results, strict=True)
                if result["outcome"] == "passed" and (everything or result["held_back"])
            ]
            second = {result["test"]: result for result in self._run_all(again, source, stops=False)[0]}
            results = [second.get(result["test"], result) for result in results]
        return {
            "results": results,
            "seconds": time.monotonic() - started,
            "import_fault": import_fault,
            "unsteady": self._transcripts.unsteady(),
        }

    def _run_all(
        self, items: list[pytest.Item], source: bytes | None, *, stops: bool
    ) -> tuple[list[dict[str, Any]], str]:
        if self._is_in_use:
            raise RuntimeError("the last submission's module is still in a fixture")
        self._given_up, self._is_over = {}, False
        results = []
        with self.opened(source) as import_fault:
            for item, after in zip(items, self._next_ones(items), strict=True):
                results.append(self._run(item, after))
                if stops and results[-1]["outcome"] != "passed":
                    self._is_over = True
                    if after is not None:
                        self._run(after, None)  # not tried: it lets pytest tear down what the last one left
                    break
            self._was_killed = self._examinee is not None and self._examinee.allowance.was_killed
            return results, import_fault()

    def _next_ones(self, items: list[pytest.Item]) -> list[pytest.Item | None]:
        """Return for each test the next one that pytest runs: it tears down what that one does not need."""
        following: list[pytest.Item | None] = []
        after: pytest.Item | None = None
        for item in reversed(items):
            following.append(after)
            after = after if item in self._plain else item
        return following[::-1]

    @contextlib.contextmanager
    def opened(self, source: bytes | None) -> Iterator[Callable[[], str]]:
        """Have `student` be this module for a while; gives a function that says why it could not be imported."""
        topic = self._topic
        self._examinee = examinee = Examinee(
            self._zygote,
            module=topic.module,
            source=source,
            imports=topic.packages,
            seconds=_SECONDS + _SECONDS_A_SECOND * sum(task.seconds for task in topic.tasks),
            is_fresh=topic.worker == "test",
            bytes_a_test=topic.answers << 20,
        )
        self._student = Student(examinee)

        def give_up(_number: int, _frame: Any) -> None:
            examinee.close()  # its answer to the call under way would be taken for the next one's
            raise LimitExceeded(
                f"{self._task_under_way}: what your code returned keeps the test busy without end"
            )

        previous = signal.signal(signal.SIGALRM, give_up)
        try:
            yield lambda: examinee.import_fault
        finally:
            signal.signal(signal.SIGALRM, previous)
            examinee.close()
            examinee.changes.undo_all()

    def _run(self, item: pytest.Item, following: pytest.Item | None) -> dict[str, Any]:
        """Run one test, and return what came of it."""
        started = time.monotonic()
        self._try(item, following)
        dialogue = self._progress.dialogue
        if dialogue is not None and self._differs(dialogue):
            self._transcripts.forget(self._key_of(item))
            self._try(item, following)  # once more, as if nothing of it were known
            dialogue = None
        result = self._progress.known or self._result(item, self._progress)
        is_sure = dialogue is not None and self._follows_from_answers(result)
        if dialogue is not None and is_sure and not self._transcripts.keep(dialogue, result):
            self._transcripts.forget(self._key_of(item))
        return result | {"seconds": time.monotonic() - started}

    def _differs(self, dialogue: Dialogue) -> bool:
        """Say whether a test that has run did not say all that it had said to others after the same answers."""
        examinee = cast(Examinee, self._examinee)
        return dialogue.differs or (examinee.is_alive and not dialogue.is_replayed)

    def _follows_from_answers(self, result: dict[str, Any]) -> bool:
        """Say whether the same answers will lead to this again: not where a worker ended, by itself or by a budget."""
        return cast(Examinee, self._examinee).is_alive and result["kind"] not in _NOT_BY_ANSWERS

    def _try(self, item: pytest.Item, following: pytest.Item | None) -> None:
        """Run a plain test without pytest's phases, to the same verdict; leave any other to pytest."""
        self._progress = progress = _Progress()
        plain = self._plain.get(item)
        if plain is None or self._examinee is None:
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            return
        try:
            try:
                self._make_ready(task := self._topic.task(task_of(item)))
                with self._watched(item, task, "call"):
                    self._examinee.start_call()
                    self._examinee.seed(ambient_seed(item), self._places[item])
                    dialogue = None
                    if self.is_remembering and plain.is_steady and self._examinee.is_as_new:
                        dialogue = self._transcripts.dialogue(self._key_of(item))
                    if dialogue is not None:
                        progress.known = self._examinee.recall(dialogue)
                    if progress.known is None:
                        progress.dialogue = dialogue
                        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            finally:
                self._examinee.changes.undo()
        except (KeyboardInterrupt, pytest.exit.Exception):
            raise
        except _SKIPPED as error:
            progress.skipped = str(error) or "skipped"
        except BaseException as error:
            progress.error = error
        else:
            progress.passed = _PHASES

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> bool | None:
        """Call the function of a plain test: within what pytest puts around every test, and no more."""
        plain = self._plain.get(item)
        if plain is None or self._examinee is None:
            return None
        secret = secret_of(item.config.option.autograder_seed)
        arguments = {name: self._fixture(name, item, secret) for name in plain.fixtures}
        seed_everything(ambient_seed(item))
        plain.function(**plain.values, **arguments)
        return True

    def _key_of(self, item: pytest.Item) -> tuple[str, frozenset[str] | None]:
        """Return what, beside the answers, the verdict on a plain test follows from."""
        return item.name, self._allowed_in(item.name)

    def _result(self, item: pytest.Item, progress: _Progress) -> dict[str, Any]:
        outcome, kind, sentence = "failed", "", ""
        if progress.error is not None:
            fault = explain(progress.error, module=self._topic.module, budgets=self._budgets_of(item))
            kind, sentence = fault.kind, fault.sentence
            self._is_lost |= isinstance(progress.error, SandboxError)
            if isinstance(progress.error, _OURS) and not isinstance(progress.error, StudentError):
                outcome, kind, sentence = (
                    "broken",
                    "ours",
                    f"{type(progress.error).__name__}: {progress.error}",
                )
            elif kind in ("limit", "died"):
                self._given_up.setdefault(task_of(item), []).append(sentence)
        elif progress.skipped:
            outcome, kind, sentence = "failed", "skipped", progress.skipped
        elif progress.passed == _PHASES:
            outcome = "passed"
        else:
            sentence = "the test did not run to its end"
        return {
            "test": item.name,
            "outcome": outcome,
            "kind": kind,
            "sentence": sentence,
            "changes": sorted(progress.changes),
            "held_back": sorted(progress.are_held_back),
        }

    def _budgets_of(self, item: pytest.Item) -> Budgets:
        topic = self._topic
        return Budgets(
            f"{task_of(item)}: ", f"{topic.memory} MB", f"{topic.files} MB", f"{topic.processes} at once"
        )

    def _fixture(self, name: str, item: pytest.Item, secret: int) -> Any:
        """Return what pytest would give a test as one of our fixtures."""
        if name == "student":
            return self._student
        if name == "reference":
            return self.solution()
        return secret if name == "seed" else rng_of(item.name, secret)

    def _make_ready(self, task: Task) -> None:
        """Have a worker that may use what a test of this task may."""
        given_up = self._given_up.get(task.id, [])
        if len(given_up) >= _PATIENCE:
            raise _GivenUp(given_up[-1])
        cast(Examinee, self._examinee).start(task.id, task.seconds)

    @pytest.hookimpl(wrapper=True, trylast=True)  # within pytest's own, which rely on having begun
    def pytest_runtest_setup(self, item: pytest.Item) -> Iterator[None]:
        """Have a worker ready, with this test's budget and seed, before any fixture runs."""
        if self._is_over:
            raise _GivenUp("an earlier test did not pass")
        if self._examinee is None:
            yield
            return
        task = self._topic.task(task_of(item))
        self._make_ready(task)
        with self._watched(item, task, "setup"):
            self._examinee.seed(ambient_seed(item), self._places[item])
            yield
        self._examinee.changes.keep()

    @pytest.hookimpl(wrapper=True, trylast=True)  # within pytest's own, which rely on having begun
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        if self._examinee is None:
            yield
            return
        with self._watched(item, self._topic.task(task_of(item)), "call"):
            self._examinee.start_call()
            self._examinee.seed(ambient_seed(item), self._places[item])
            yield

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Iterator[None]:
        yield
        if self._examinee is not None:
            self._examinee.changes.undo()

    def _allowed_in(self, test: str) -> frozenset[str] | None:
        """Return the places that may be changed at once in a test, or in fixtures (""); None for all."""
        return None if self._allowed is None else self._allowed.get(test, frozenset())

    @contextlib.contextmanager
    def _watched(self, item: pytest.Item, task: Task, phase: str) -> Iterator[None]:
        """Protect arguments in one phase of a test, and end it when it takes far longer than its worker may."""
        examinee = cast(Examinee, self._examinee)
        mark = _IN_SETUP if phase == "setup" else ""
        examinee.changes.begin(self._allowed_in("" if mark else item.name))

        self._task_under_way = task.id
        seconds = _WALL_SECONDS + _WALL_SECONDS_A_SECOND * task.seconds
        signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN)  # again, should a destructor swallow the first
        signal.setitimer(
            signal.ITIMER_PROF, seconds + 10 * _AGAIN
        )  # busy in C: only an end by the kernel helps
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.setitimer(signal.ITIMER_REAL, 0)
            self._progress.changes |= {mark + place for place in examinee.changes.places}
            if examinee.changes.are_held_back:
                self._progress.are_held_back.add(phase)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
    ) -> Iterator[None]:
        """Have pytest remember a fixture that a worker's end broke off: it forgets any BaseException of its own,
        never finishes such a fixture, and the next submission would fail by it."""
        try:
            return (yield)
        except BaseException as error:
            if fixturedef.cached_result is None:
                fixturedef.cached_result = (None, fixturedef.cache_key(request), (error, error.__traceback__))  # type: ignore[arg-type]
            raise

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
    """Return what may be changed in each test, and under "" in fixtures, whose places lose the mark that says so."""
    of_tests = {test: frozenset(places) for test, places in changes.items()}
    return of_tests | {"": frozenset(place.removeprefix(_IN_SETUP) for place in changes.get("", ()))}


class _GivenUp(BaseException):
    """A test that is not tried: its task has used up the examiner's patience; str() is the last sentence."""

    fault_kind = "limit"


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
