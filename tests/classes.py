"""Make reports of invented classes without an examination."""

from __future__ import annotations

from autograder.course import Course
from autograder.grading.intake.submission import Submission
from autograder.grading.keep import store
from autograder.report import Report, TaskReport, TestResult, Told
from autograder.topic import Topic

#: name -> task, weight, hidden: the suite of the tiny topic in factory.py
SUITE = {
    "test_three_doubled_is_six": ("double", 1.0, False),
    "test_a_drawn_number_is_doubled": ("double", 1.0, True),
    "test_the_factor_is_two": ("double", 1.0, True),
    "test_half_of_six_is_three": ("halve", 1.0, False),
    "test_each_call_is_counted": ("halve", 1.5, True),
}
POINTS = {"double": 60.0, "halve": 30.0}


def report(
    student: str,
    failed: tuple[str, ...] = (),
    *,
    kind: str = "mismatch",
    sentence: str = "double: wrong value. Got 9, expected 6.",
    broken: tuple[str, ...] = (),
    complaints: tuple[str, ...] = (),
    hint: str = "",
    diagnosis: str = "",
    isolation: str = "A",
    seed: int = 7,
    seconds: float = 0.5,
) -> Report:
    """Make the report on a student of the tiny topic who fails these tests."""
    tasks = []
    for task, points in POINTS.items():
        results = tuple(
            TestResult(
                test=test,
                task=of,
                weight=weight,
                is_hidden=is_hidden,
                outcome="broken" if test in broken else "failed" if test in failed else "passed",
                sentence=sentence if test in failed else "",
                lesson=f"The lesson of {test}.",
                seconds=0.01,
                kind=kind if test in failed else "",
            )
            for test, (of, weight, is_hidden) in SUITE.items()
            if of == task
        )
        total = sum(result.weight for result in results)
        passed = sum(result.weight for result in results if result.outcome == "passed")
        named = diagnosis if any(result.outcome == "failed" for result in results) else ""
        tasks.append(TaskReport(task, points * passed / total, points, results, Told(hint), named))
    return Report(student, "01_tiny", seed, isolation, seconds, complaints, tuple(tasks))  # type: ignore[arg-type]


def keep(course: Course, topic: Topic, *reports: Report, source: bytes = b"") -> None:
    """Keep reports as `autograder grade` does, and what the students handed in."""
    for made in reports:
        folder = course.submitted / made.student / topic.id
        submission = Submission(made.student, topic.id, folder, source or None)
        store.save(course, topic, submission, made)
