"""The limits: each is in one place, and limits for the same thing agree."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import autograder
from autograder import limits
from autograder.course import Course
from autograder.grading.run.examiner import limits_of
from autograder.sandbox.both import limits as of_both
from autograder.sandbox.rungs.launch import Limits
from autograder.topic import Task, Topic

PACKAGE = Path(autograder.__file__).parent
COURSE = Course(PACKAGE.parent)
HOMES = {PACKAGE / "limits.py", PACKAGE / "sandbox" / "both" / "limits.py"}
#: the names of bounds; `_BYTES = b"..."` is none, so the value must also be a number
BOUND = re.compile(
    r"_?(MAX|MOST|LONGEST|DEEPEST|FARTHEST|PATIENCE)(_.*)?|.*_?(BYTES|SECONDS|LETTERS|PIXELS|MEMBERS|FILES)"
)
#: bounds on what the engine itself shows or tries, not on anything from a submission
OWN = {
    ("student/scene.py", "_MOST_NAMES"),
    ("student/scene.py", "_MOST_ROWS"),
    ("student/hint.py", "_MOST_SENTENCES"),
    ("student/trial.py", "_DEEPEST"),
    # no mark depends on these, and limits.py is a part of what a verdict depends on
    ("recording/take.py", "TAKEN_BYTES"),
    ("recording/warm.py", "_MOST"),
    ("recording/door.py", "ABANDONED_SECONDS"),
    ("recording/door.py", "SETTLED_SECONDS"),
    ("follow.py", "ROOM_BYTES"),
    ("follow.py", "RETRY_SECONDS"),
    ("grading/run/surroundings.py", "_DEEPEST"),
    ("authoring/verified.py", "_LETTERS"),
}


def numbers_of(path: Path) -> Iterator[str]:
    """Give the names at the top of a module whose values are numbers."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value:
            parts = [part for part in ast.walk(node.value) if isinstance(part, ast.Constant | ast.Name)]
            if all(isinstance(part, ast.Constant) and isinstance(part.value, int | float) for part in parts):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                yield from (name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name))


def test_every_limit_is_in_one_of_two_modules():
    elsewhere = {
        (path.relative_to(PACKAGE).as_posix(), name)
        for path in PACKAGE.rglob("*.py")
        if path not in HOMES
        for name in numbers_of(path)
        if BOUND.fullmatch(name)
    }

    assert elsewhere == OWN


@pytest.mark.parametrize("path", sorted(HOMES), ids=["outside", "both"])
def test_every_limit_says_its_unit_or_reason(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    defined = [line for line in lines if re.match(r"[A-Z_]+(, [A-Z_]+)* = ", line)]

    assert len(defined) > 10
    assert [line for line in defined if not re.search(r"  #: \w.{8,}", line)] == []


def test_what_one_answer_may_hold_fits_into_a_test_and_a_test_into_a_submission():
    assert of_both.HEADER_BYTES < limits.FRAME_BYTES <= of_both.BODY_BYTES
    assert limits.FRAME_BYTES < limits.TEST_BYTES < limits.SUBMISSION_BYTES


def test_what_fits_into_a_parcel_is_read_in_full():
    assert limits.MODULE_BYTES < limits.PARCEL_BYTES < limits.STREAM_BYTES
    assert limits.NOTEBOOK_BYTES == limits.PARCEL_BYTES
    assert limits.COMPARED_LETTERS < limits.MODULE_BYTES


def test_a_topic_that_sets_nothing_has_the_usual_limits():
    usual = {name: field.default for name, field in Topic.__dataclass_fields__.items()}

    assert usual["processes"] == limits.PROCESSES == Limits().processes
    assert usual["answers"] << 20 == limits.TEST_BYTES
    assert Limits().memory_mb == limits.MEMORY_MB
    assert Limits().scratch_mb == limits.SCRATCH_MB
    assert Task.seconds == limits.TEST_SECONDS


@pytest.mark.parametrize("topic_id", COURSE.topic_ids())
def test_the_kernel_ends_no_worker_before_its_submission_is_over_its_budget(topic_id):
    topic = COURSE.topic(topic_id)

    budget = limits.submission_seconds(task.seconds for task in topic.tasks)

    assert limits_of(topic).cpu_seconds > budget + limits.GRACE_SECONDS
    assert budget > max(task.seconds for task in topic.tasks)


def test_a_task_of_half_an_hour_is_not_cut_off_after_ten_minutes():
    assert limits.worker_seconds(limits.submission_seconds([1800.0])) > 1800
