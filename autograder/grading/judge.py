"""Judge: Submission x Topic -> Report. All marking policy is here.

The judge drives one examiner process (examiner.py), which may crash without taking a mark with it. Before the first
submission the solution itself is examined: the tests that it passes are the manifest, and only they can cost a mark.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any

from autograder import extras
from autograder.authoring.cheats import cheap_tests
from autograder.course import Course
from autograder.errors import SandboxError
from autograder.faults import plain
from autograder.files import TEACHERS, write_atomically
from autograder.grading import integrity, store
from autograder.grading.diagnose import Signatures, diagnosis, read_signatures
from autograder.grading.examiner_process import ExaminerProcess, allowed_changes
from autograder.grading.imports import imports_outside
from autograder.grading.integrity import forbidden_calls
from autograder.grading.submission import Submission
from autograder.report import Isolation, Outcome, Report, TaskReport, TestResult
from autograder.sandbox.ladder import choose
from autograder.topic import Task, Topic

#: what a student may be told of a hidden test that failed for a reason that holds no input of the test
_TELLABLE = {
    "limit": "{sentence}",
    "died": "{sentence}",
    "import_failed": "{sentence}",
    "not_started": "Not started yet.",
    "missing_name": "A name of the stub is missing in the module; keep the names of the stub.",
    "raised": "Your code raises an error for an input that the docstring allows.",
}
_COMPLAINTS = 20  #: shown of what a module's text makes one complain about
_ELSE = "The public tests pass, a hidden one does not: read the docstring again, and try its edge cases."


@dataclass(frozen=True)
class ManifestTest:
    """One test that decides about marks, because the solution passes it under this seed."""

    test: str
    task: str
    weight: float
    is_hidden: bool
    lesson: str
    is_broken: bool = False  #: the solution fails it: nobody is marked by it until a person has looked
    changes: tuple[str, ...] = ()  #: the places among its arguments that the solution changes


class Judge:
    """Examines submissions of one topic under one seed. A context manager; not shared between threads."""

    def __init__(
        self,
        topic: Topic,
        *,
        seed: int,
        allow_unisolated: bool = False,
        only: Isolation | None = None,
        place: int | None = None,
    ) -> None:
        self.topic = topic
        self.seed = seed
        self.isolation: Isolation = choose(allow_unisolated=allow_unisolated, only=only)
        self._examiner = ExaminerProcess.behind_the_wall(topic, self.isolation, place=place)
        self._manifest: tuple[ManifestTest, ...] | None = None
        self._signatures: Signatures = read_signatures(topic)
        self._cheap = cheap_tests(topic)

    def examine(
        self, submission: Submission, kept: Report | None = None, tasks: frozenset[str] = frozenset()
    ) -> Report:
        """Return the report of one submission; a bad one gets a report like any other.

        Args:
            submission: what to examine
            kept: an earlier report on it, made as this one will be, whose results stand
            tasks: those that do not stand, and are examined again

        Raises:
            SandboxError: no isolation can be had here
            AuthorError: the topic's own files are wrong
        """
        manifest = self.manifest()
        standing: dict[str, TaskReport] = {}
        if kept is not None and kept.isolation == self.isolation:
            standing = {task.task: task for task in kept.tasks if task.task not in tasks}
        manifest = tuple(test for test in manifest if test.task not in standing)
        changes = allowed_changes({test.test: test.changes for test in self.manifest()})
        answer = self._ask(submission.source, changes, [test.test for test in manifest] if standing else None)
        said, forbidden, unread = self._read(submission.source)
        complaints = [*submission.complaints, *said]
        if answer is None:
            answer = {"results": [], "seconds": 0.0, "import_fault": ""}
            complaints.append("The examiner crashed on this submission twice; a person has to look at it.")
            results = {
                test.test: {"outcome": "broken", "sentence": "the examiner crashed"} for test in manifest
            }
        else:
            results = {result["test"]: result for result in answer["results"]}
        if answer["import_fault"]:
            complaints.append(answer["import_fault"])
        for test in manifest:
            if test.task in unread:
                results[test.test] = {"outcome": "broken", "sentence": "what it calls could not be read"}
        return Report(
            student=submission.student,
            assignment=self.topic.id,
            seed=self.seed,
            isolation=self.isolation,
            seconds=round(answer["seconds"] + _seconds(standing.values()), 4),
            complaints=tuple(dict.fromkeys(complaints)),
            tasks=tuple(
                standing[task.id]
                if task.id in standing
                else _forbid(
                    mark(
                        task,
                        [test for test in manifest if test.task == task.id],
                        results,
                        self._signatures,
                        self._cheap,
                    ),
                    forbidden.get(task.id, ""),
                )
                if task.is_gradable
                else not_gradable(task)
                for task in self.topic.tasks
            ),
        )

    def manifest(self) -> tuple[ManifestTest, ...]:
        """Return the tests that decide, from the examination of the solution itself (kept until something changes)."""
        if self._manifest is None:
            path = (
                _cache_of(self.topic)
                / f"{store.suite(self.topic)[:24]}-{store.engine()[:8]}-{self.seed}.json"
            )
            try:
                kept = json.loads(path.read_text(encoding="utf-8"))
                self._manifest = tuple(
                    ManifestTest(**(test | {"changes": tuple(test["changes"])})) for test in kept
                )
            except (OSError, ValueError, TypeError, KeyError):
                self._manifest = self._examine_solution()
                if any(test.is_broken for test in self._manifest):
                    return self._manifest  # not kept: what broke may be mended by the next run
                path.parent.mkdir(parents=True, exist_ok=True)
                text = json.dumps([vars(test) for test in self._manifest], indent=1)
                write_atomically(path, text.encode(), mode=TEACHERS)
        return self._manifest

    def _ask(
        self,
        source: bytes | None,
        changes: dict[str, list[str]] | None = None,
        tests: list[str] | None = None,
    ) -> dict[str, Any] | None:
        """Ask the examiner; once more where it or its zygote ended, for it may have been killed from outside."""
        answer = self._examiner.ask(source, self.seed, tests, changes=changes)
        if answer is None and not self._examiner.is_abandoned:
            answer = self._examiner.ask(source, self.seed, tests, changes=changes)
        return answer

    def _examine_solution(self) -> tuple[ManifestTest, ...]:
        answer = self._ask(self.topic.solution_path.read_bytes())
        if answer is None:
            raise SandboxError(
                f"{self.topic.id}: the examiner crashed on the solution; see `autograder verify`"
            )
        results = {result["test"]: result for result in answer["results"]}
        return tuple(
            ManifestTest(
                **test,
                is_broken=results[test["test"]]["outcome"] != "passed",
                changes=tuple(results[test["test"]]["changes"]),
            )
            for test in self._examiner.collected()
            if results[test["test"]]["kind"] != "skipped"
        )

    def _read(self, source: bytes | None) -> tuple[list[str], dict[str, str], frozenset[str]]:
        """Return what the text of a module says: complaints, and what each task says whose forbidden call it makes.

        And the tasks of which that cannot be told: whatever a text makes our reading of it do, the class goes on.
        """
        try:
            return (
                _the_first(list(self._complain(source))),
                forbidden_calls(source or b"", self.topic),
                frozenset(),
            )
        except Exception as error:
            said = (
                f"The module's text could not be read ({type(error).__name__}); a person has to look at it."
            )
            return [said], {}, frozenset(task.id for task in self.topic.tasks if task.forbid)

    def _complain(self, source: bytes | None) -> Iterable[str]:
        if source is None or len(source) > integrity.LARGEST_MODULE:
            return
        offers = (*self.topic.imports, *self.topic.extras)
        for line, name in imports_outside(integrity.text_of(source), (*offers, "autograder")):
            offered = ", ".join(offers)
            yield f"Line {line} imports {plain(name, 80)}, which this assignment does not offer; it offers {offered}."
        yield from integrity.complaints(source)

    def abandon(self) -> None:
        """End at once and for good, from any thread; a report that is under way is worth nothing."""
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
    signatures: Signatures,
    cheap: frozenset[str] = frozenset(),
) -> TaskReport:
    """Mark one task: points x passed weight / total weight over the manifest's tests; silence is a fail.

    Args:
        cheap: tests that code without any right answer passes too; they count once another test of the task passes
    """
    judged = tuple(_judge_test(test, results.get(test.test)) for test in tests)
    if all(result.outcome == "failed" or result.test in cheap for result in judged):
        judged = tuple(_discount(result) for result in judged)
    total = sum(result.weight for result in judged)
    passed = sum(result.weight for result in judged if result.outcome == "passed")
    score = task.points if passed == total and total else task.points * passed / total if total else 0.0
    known = diagnosis(task.id, judged, signatures)
    hint = (known.hint if known else "") or _first_fault(judged, results)
    return TaskReport(task=task.id, score=score, points=task.points, results=judged, hint=hint)


def not_gradable(task: Task) -> TaskReport:
    """Report a task whose extra is not installed here: no points lost, none given, none within reach."""
    return TaskReport(task.id, 0.0, 0.0, (), extras.sentence(task.extra), missing=task.extra)


def _the_first(complaints: list[str]) -> list[str]:
    """Keep a report readable: a module can give cause for a complaint in every line."""
    rest = len(complaints) - _COMPLAINTS
    return [*complaints[:_COMPLAINTS], *([f"{rest} more complaints of this kind."] if rest > 0 else [])]


def _seconds(tasks: Iterable[TaskReport]) -> float:
    """Return how long the tests of some tasks took."""
    return sum(result.seconds for task in tasks for result in task.results)


def _forbid(report: TaskReport, sentence: str) -> TaskReport:
    """Take a task's points for a call that it forbids."""
    return replace(report, score=0.0, hint=sentence) if sentence else report


def _discount(result: TestResult) -> TestResult:
    """Take back a cheap test that passed where nothing else did."""
    if result.outcome != "passed":
        return result
    sentence = f"This counts once something else of the task is right: {result.lesson}"
    return replace(result, outcome="failed", sentence=sentence)


def _judge_test(test: ManifestTest, result: dict[str, Any] | None) -> TestResult:
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
    )


def _first_fault(judged: tuple[TestResult, ...], results: dict[str, dict[str, Any]]) -> str:
    """Say the first fault: a public test's in full, of a hidden test's only what holds none of its inputs."""
    if any(result.outcome == "broken" for result in judged):
        return "This task could not be examined; a person will look at it. It costs you nothing."
    failed = [result for result in judged if result.outcome == "failed"]
    for result in failed:
        if not result.is_hidden:
            return result.sentence or result.lesson
    for result in failed:
        form = _TELLABLE.get(results.get(result.test, {}).get("kind", ""))
        if form:
            return form.format(sentence=result.sentence)
    return _ELSE if failed else ""


def _cache_of(topic: Topic) -> Any:
    return Course(topic.folder.parent.parent).cache / "manifests" / topic.id
