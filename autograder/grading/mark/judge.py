"""Judge: Submission x Topic -> Report. All marking policy is here.

The judge drives one examiner process (examiner.py). If the examiner crashes, no mark is lost. A failed test costs a
mark only if the solution passes it under the same seed (manifest.py).

This file is long because marking policy must be read in one place.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from autograder import extras
from autograder.course import Course
from autograder.files import TEACHERS, write_atomically
from autograder.given import modules_among
from autograder.grading.intake.submission import Submission
from autograder.grading.keep import store
from autograder.grading.keep.verdict import engine
from autograder.grading.mark import integrity
from autograder.grading.mark.diagnose import Diagnosis, Group, failing, made_in, proves, suspects
from autograder.grading.mark.manifest import Manifest, ManifestTest
from autograder.grading.mark.told import BROKEN, NOTHING, WITHHELD, Fact, Teller, of_author, of_public
from autograder.grading.run.examiner_process import ExaminerProcess
from autograder.imports import imports_outside
from autograder.known import read_known
from autograder.limits import COMPLAINTS, MODULE_BYTES
from autograder.plain import plain
from autograder.report import Isolation, Outcome, Report, TaskReport, TestResult, Told
from autograder.sandbox.both.bundle import parted
from autograder.sandbox.ladder import choose
from autograder.syntax import takes_long, text_of
from autograder.topic import Task, Topic

_LATER = "{module}.py was imported once, and could not be imported again for a later test."


class Judge:
    """Examines submissions of one topic under one seed. A context manager; not shared between threads."""

    def __init__(
        self,
        topic: Topic,
        *,
        seed: int,
        allow_unisolated: bool = False,
        only: Isolation | None = None,
        seat: int | None = None,
    ) -> None:
        self.topic = topic
        self.seed = seed
        self.isolation: Isolation = choose(allow_unisolated=allow_unisolated, only=only)
        self._examiner = ExaminerProcess.behind_the_wall(topic, self.isolation, seat=seat)
        self._manifest: Manifest | None = None
        self._known = read_known(topic)
        self._made: dict[Group, dict[str, str] | None] = {}
        self._teller = Teller(topic)

    def examine(
        self, submission: Submission, kept: Report | None = None, tasks: frozenset[str] = frozenset()
    ) -> Report:
        """Return the report of one submission; a bad submission gets a report too.

        Args:
            submission: what to examine
            kept: an earlier report on it, made in the same way, whose results stay
            tasks: the tasks of `kept` that are examined again

        Raises:
            SandboxError: no isolation works here
            AuthorError: the topic's own files are wrong
        """
        manifest = self.manifest()
        standing: dict[str, TaskReport] = {}
        if kept is not None and kept.isolation == self.isolation:
            standing = {task.task: task for task in kept.tasks if task.task not in tasks}
        asked = [test.test for test in manifest.tests if test.task not in standing]
        answer = self._ask(submission.source, manifest.changes, asked if standing else None)
        complaints = [*submission.complaints, *self._read(submission.source)]
        if answer is None:
            answer = {"results": [], "seconds": 0.0, "import_fault": ""}
            complaints.append("The examiner crashed on this submission twice; a person has to look at it.")
            results = {test: {"outcome": "broken", "sentence": "the examiner crashed"} for test in asked}
            tests = manifest.tests
        else:
            results = {result["test"]: result for result in answer["results"]}
            tests = manifest.judged({test for test in asked if _may_be_broken(results.get(test))})
        if answer["import_fault"]:  # an import error after tests have run may quote their inputs
            is_first = all(result["kind"] == "import_failed" for result in answer["results"])
            said_later = _LATER.format(module=self.topic.module)
            complaints.append(answer["import_fault"] if is_first else said_later)
        return Report(
            student=submission.student,
            assignment=self.topic.id,
            seed=self.seed,
            isolation=self.isolation,
            python="{}.{}".format(*sys.version_info),
            seconds=round(answer["seconds"] + _seconds(standing.values()), 4),
            complaints=tuple(dict.fromkeys(complaints)),
            tasks=tuple(
                standing[task.id]
                if task.id in standing
                else mark(
                    task,
                    [test for test in tests if test.task == task.id],
                    results,
                    self._diagnose,
                    self._teller,
                    self._known.cheap,
                )
                if task.is_gradable
                else not_gradable(task)
                for task in self.topic.tasks
            ),
        )

    def manifest(self) -> Manifest:
        """Return the tests that can cost a mark; the first call may examine the solution."""
        if self._manifest is None:
            solution = self.topic.solution.encode()
            self._manifest = Manifest(
                self.topic,
                self._kept("manifest"),
                lambda tests: self._ask(solution, tests=tests),
                self._examiner.collected(),
                self._known,
            )
        return self._manifest

    def _diagnose(self, task_id: str, judged: tuple[TestResult, ...]) -> Diagnosis | None:
        """Return the known mistakes that are proven to explain a task's failing tests (see diagnose.py)."""
        failed = failing(judged)
        groups = suspects(task_id, failed, self._known) if failed else []
        proven = [
            group
            for group in groups
            if (made := self._results_of(task_id, group)) is not None and proves(failed, made, self._known.slow)
        ]
        if not proven:
            return None
        if len(proven[0]) > 1:  # if two pairs explain the same, neither is certain
            return Diagnosis(proven[0], are_both_made=True) if len(proven) == 1 else None
        return Diagnosis(tuple(mistake for group in proven for mistake in group))

    def _results_of(self, task_id: str, group: Group) -> dict[str, str] | None:
        """Return the tests of a task that known mistakes fail under this seed, and their sentences; kept on disk.

        Tests that train something are left out. None if the mistakes could not be examined.
        """
        if group not in self._made:
            names = "\0".join([task_id, *(mistake.name for mistake in group)])
            path = self._kept(hashlib.sha256(names.encode()).hexdigest()[:16])
            try:
                self._made[group] = {str(test): str(said) for test, said in json.loads(path.read_text("utf-8")).items()}
            except (OSError, ValueError, AttributeError):
                self._made[group] = made = self._make(task_id, group)
                if made is not None:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    write_atomically(path, json.dumps(made, ensure_ascii=False).encode(), mode=TEACHERS)
        return self._made[group]

    def _make(self, task_id: str, group: Group) -> dict[str, str] | None:
        source = made_in(self.topic.solution, group)
        manifest = self.manifest()
        tests = [test.test for test in manifest.tests if test.task == task_id and test.test not in self._known.slow]
        if not source or not tests:
            return None
        answer = self._ask(source.encode(), manifest.changes, tests)
        if answer is None:
            return None
        failed = {result["test"]: result["sentence"] for result in answer["results"] if result["outcome"] == "failed"}
        counting = manifest.judged(failed.keys())
        return {test.test: failed[test.test] for test in counting if test.test in failed and not test.is_broken}

    def _kept(self, what: str) -> Path:
        """Return the path of something that depends on the suite, the engine and the seed alone."""
        name = f"{store.suite(self.topic)[:24]}-{engine()[:8]}-{self.seed}-{what}.json"
        return Course(self.topic.folder.parent.parent).cache / "manifests" / self.topic.id / name

    def _ask(
        self,
        source: bytes | None,
        changes: dict[str, list[str]] | None = None,
        tests: list[str] | None = None,
    ) -> dict[str, Any] | None:
        """Ask the examiner; ask again if it or its zygote ended, because it may have been killed from outside."""
        answer = self._examiner.ask(source, self.seed, tests, changes=changes)
        if answer is None and not self._examiner.is_abandoned:
            answer = self._examiner.ask(source, self.seed, tests, changes=changes)
        return answer

    def _read(self, source: bytes | None) -> list[str]:
        """Return complaints about the text of a module. They are for a person, and cost no point."""
        try:
            return _the_first(list(self._complain(source)))
        except Exception as error:  # no text may stop the class
            return [f"The module's text could not be read ({type(error).__name__}); a person has to look at it."]

    def _complain(self, source: bytes | None) -> Iterable[str]:
        for module, text in parted(source or b"", self.topic.modules).items():
            where = f"{module}.py: " if module != self.topic.module else ""
            yield from (f"{where}{sentence}" for sentence in self._complain_of(text))

    def _complain_of(self, source: bytes) -> Iterable[str]:
        if len(source) > MODULE_BYTES:
            return
        offers = (*self.topic.imports, *self.topic.extras)
        own = (*self.topic.modules, *modules_among(self.topic.files))
        text = "" if takes_long(source) else text_of(source)
        for line, name in imports_outside(text, (*offers, *own, "autograder")):
            offered = ", ".join(offers)
            yield f"Line {line} imports {plain(name, 80)}, which this assignment does not offer; it offers {offered}."
        yield from integrity.complaints(source)

    def abandon(self) -> None:
        """End at once and for good, from any thread; a report in progress is lost."""
        self._examiner.abandon()

    def close(self) -> None:
        """End the examiner, its zygote and its workers."""
        self._examiner.close()

    def __enter__(self) -> Judge:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def mark(
    task: Task,
    tests: list[ManifestTest],
    results: dict[str, dict[str, Any]],
    diagnose: Callable[[str, tuple[TestResult, ...]], Diagnosis | None],
    teller: Teller,
    cheap: frozenset[str] = frozenset(),
) -> TaskReport:
    """Mark one task: points x passed weight / total weight over the manifest's tests; a test without a result fails.

    Args:
        diagnose: names the known mistake that explains the results of a task
        teller: says what a student may read about a hidden test
        cheap: tests that code without any right answer passes too; they count only if another test of the task passes
    """
    judged = tuple(_judge_test(task, test, results.get(test.test), teller) for test in tests)
    is_broken = any(result.outcome == "broken" for result in judged)
    is_forbidden = any(result.kind == "forbidden" for result in judged)  # this is more certain than any diagnosis
    known = None if is_broken or is_forbidden else diagnose(task.id, judged)
    hint = BROKEN if is_broken else _hint(judged, known)
    if all(result.outcome == "failed" or result.test in cheap for result in judged):
        judged = tuple(_withhold(result) for result in judged)
        hint = hint or WITHHELD
    total = sum(result.weight for result in judged)
    passed = sum(result.weight for result in judged if result.outcome == "passed")
    score = task.points if passed == total and total else task.points * passed / total if total else 0.0
    return TaskReport(
        task=task.id,
        score=score,
        points=task.points,
        results=judged,
        hint=hint,
        diagnosis=known.name if known else "",
    )


def not_gradable(task: Task) -> TaskReport:
    """Report a task whose extra is not installed here: it has 0 of 0 points."""
    return TaskReport(task.id, 0.0, 0.0, (), of_author(extras.sentence(task.extra)), missing=task.extra)


def _the_first(complaints: list[str]) -> list[str]:
    """Keep a report readable, because a module can cause a complaint in every line."""
    rest = len(complaints) - COMPLAINTS
    return [*complaints[:COMPLAINTS], *([f"{rest} more complaints of this kind."] if rest > 0 else [])]


def _may_be_broken(result: dict[str, Any] | None) -> bool:
    """Whether the solution must be asked about a test: it failed, and not because there is no function yet."""
    return result is None or (result["outcome"] != "passed" and result["kind"] not in ("not_started", "missing_name"))


def _seconds(tasks: Iterable[TaskReport]) -> float:
    """Return how long the tests of some tasks took."""
    return sum(result.seconds for task in tasks for result in task.results)


def _withhold(result: TestResult) -> TestResult:
    """Let a cheap test fail that passed while no other test of its task did; its words would explain nothing."""
    if result.outcome != "passed":
        return result
    return replace(result, outcome="failed", kind="withheld", sentence=WITHHELD, lesson="", told=WITHHELD)


def _judge_test(task: Task, test: ManifestTest, result: dict[str, Any] | None, teller: Teller) -> TestResult:
    outcome: Outcome = "broken" if test.is_broken else "failed" if result is None else result["outcome"]
    sentence = "" if outcome == "passed" else "the test was not run" if result is None else result["sentence"]
    if test.is_broken:
        sentence = "the solution itself fails this test under this seed"
    return TestResult(
        test=test.test,
        task=test.task,
        weight=test.weight,
        is_hidden=test.is_hidden,
        outcome=outcome,
        sentence=sentence,
        lesson=test.lesson,
        seconds=round(result.get("seconds", 0.0), 4) if result else 0.0,
        kind=str(result.get("kind", "")) if result and outcome == "failed" else "",
        told=_tell(task, test, sentence, result or {}, teller) if outcome == "failed" else NOTHING,
    )


def _tell(task: Task, test: ManifestTest, sentence: str, result: dict[str, Any], teller: Teller) -> Told:
    """Say what the student may read about a test that failed."""
    if not test.is_hidden:
        return of_public(sentence or test.lesson, is_hidden=test.is_hidden)
    about = teller.about_test(test.test, task)
    return teller.of_hidden(task, Fact.of(result, teller.names), test.lesson, test.tells, about)


def _hint(judged: tuple[TestResult, ...], known: Diagnosis | None) -> Told:
    """Give the hint of the proven mistake, else the first fault. Public tests come before hidden tests."""
    if known and known.hint:
        return of_author(known.hint)
    failed = sorted((result for result in judged if result.outcome == "failed"), key=lambda result: result.is_hidden)
    return failed[0].told if failed else NOTHING
