"""Every assignment is a test case: its gates hold, and its lesson runs with the solution.

An assignment that differs from its last verified state is verified here with all its mistakes, and its lesson runs. For
every other assignment the stub and the solution are tried, with a drawn sample of mistakes and alternatives; one drawn
lesson runs. Each run has another sample; `pytest --draw NUMBER` repeats a sample.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from draw import DRAW

from autograder.authoring.rehearse import figures_of
from autograder.authoring.verified import difference, last_verified
from autograder.authoring.verify import verify
from autograder.course import Course
from autograder.topic import Topic

COURSE = Course(Path(__file__).parent.parent)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the lessons that differ from their last verified state, and one drawn lesson of the others."""
    if "lesson" in metafunc.fixturenames:
        topics = COURSE.topics(())
        due = {topic.id for topic in topics if difference(topic).lesson}
        others = [topic.id for topic in topics if topic.id not in due]
        due |= set(random.Random(metafunc.config.stash[DRAW]).sample(others, min(1, len(others))))
        metafunc.parametrize("lesson", sorted(due))


@pytest.mark.slow
@pytest.mark.parametrize("topic_id", COURSE.topic_ids())
def test_every_gate_holds(topic_id: str, draw: int) -> None:
    topic = COURSE.topic(topic_id)
    sample = None if difference(topic).files else random.Random(f"{topic_id} {draw}")

    verdict = verify(topic, is_quick=True, sample=sample)

    assert [str(finding) for finding in verdict.findings] == [], f"repeat it: pytest --draw {draw}"


@pytest.mark.slow
def test_the_lesson_runs_from_the_stub_to_the_solution(lesson: str, tmp_path: Path) -> None:
    assert draws_enough(COURSE.topic(lesson), figures_of(COURSE.topic(lesson), tmp_path))


@pytest.mark.parametrize("topic_id", COURSE.topic_ids())
def test_the_lesson_drew_figures_when_it_was_verified(topic_id: str) -> None:
    topic = COURSE.topic(topic_id)
    before = last_verified(topic)

    assert before is None or draws_enough(topic, before.figures)


def draws_enough(topic: Topic, figures: int) -> bool:
    return figures >= len(topic.tasks) // 2


@pytest.mark.parametrize("topic_id", COURSE.topic_ids())
def test_an_assignment_has_ninety_points_by_tests_and_ten_by_hand(topic_id: str) -> None:
    assert COURSE.topic(topic_id).points == 90.0
