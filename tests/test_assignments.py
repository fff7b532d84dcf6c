"""Every assignment is a test case: its gates hold, and its lesson runs with the solution in place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from autograder.authoring.rehearse import rehearse
from autograder.authoring.verify import verify
from autograder.course import Course

COURSE = Course(Path(__file__).parent.parent)


@pytest.mark.slow
@pytest.mark.parametrize("topic_id", COURSE.topic_ids())
def test_every_gate_holds(topic_id: str) -> None:
    assert [str(finding) for finding in verify(COURSE.topic(topic_id), is_quick=True).findings] == []


@pytest.mark.slow
@pytest.mark.parametrize("topic_id", COURSE.topic_ids())
def test_the_lesson_runs_and_draws(topic_id: str, tmp_path: Path) -> None:
    notebook = json.loads(rehearse(COURSE.topic(topic_id), tmp_path).read_text(encoding="utf-8"))

    figures = sum(
        "image/png" in str(output) for cell in notebook["cells"] for output in cell.get("outputs", ())
    )
    assert figures >= len(COURSE.topic(topic_id).tasks) // 2


@pytest.mark.slow
@pytest.mark.parametrize("topic_id", COURSE.topic_ids())
def test_the_lesson_runs_before_anything_is_written(topic_id: str, tmp_path: Path) -> None:
    notebook = json.loads(
        rehearse(COURSE.topic(topic_id), tmp_path, is_done=False).read_text(encoding="utf-8")
    )

    assert "not started: " in str(notebook["cells"])


@pytest.mark.parametrize("topic_id", COURSE.topic_ids())
def test_an_assignment_has_ninety_points_by_tests_and_ten_by_hand(topic_id: str) -> None:
    assert COURSE.topic(topic_id).points == 90.0
