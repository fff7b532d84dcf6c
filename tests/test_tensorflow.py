"""Tasks that need TensorFlow are graded: `make test-tensorflow` runs this in a venv with TensorFlow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from autograder import extras
from autograder.course import Course
from autograder.grading.intake.submission import Submission
from autograder.grading.mark.judge import Judge
from autograder.grading.run.examiner_process import ExaminerProcess
from autograder.replacements import Alternative, Mistake
from autograder.sandbox.ladder import choose

TOPIC = Course(Path(__file__).parent.parent).topic("03_frameworks_tensorflow_pytorch")
SOLUTION = TOPIC.solution_path.read_text(encoding="utf-8")
TASK = TOPIC.task("tf_train_step")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not extras.is_installed("tensorflow"), reason=extras.sentence("tensorflow")),
]


@pytest.fixture(scope="module")
def examiner() -> Iterator[ExaminerProcess]:
    process = ExaminerProcess.behind_the_wall(TOPIC, choose())
    yield process
    process.close()


def outcomes(examiner: ExaminerProcess, edit: Mistake | Alternative | None, seed: int) -> set[str]:
    """How the tests of the task end for the solution, or for one of its variations."""
    source = SOLUTION.replace(edit.find, edit.replace) if edit else SOLUTION
    names = [test["test"] for test in examiner.collected() if test["task"] == TASK.id]
    assert len(names) >= 3
    answer = examiner.ask(source.encode(), seed, names)
    assert answer is not None
    return {result["outcome"] for result in answer["results"]}


def test_a_solution_gets_the_points_and_a_stub_none() -> None:
    stub = SOLUTION.replace(
        "    with tf.GradientTape() as tape:", '    raise NotImplementedError("no")\n    with tape:'
    )
    with Judge(TOPIC, seed=1) as judge:
        marks = [
            next(
                task
                for task in judge.examine(Submission("ada", TOPIC.id, Path("x"), text.encode())).tasks
                if task.task == TASK.id
            )
            for text in (SOLUTION, stub)
        ]

    assert [(task.score, task.points, task.status) for task in marks] == [
        (TASK.points, TASK.points, "graded"),
        (0.0, TASK.points, "graded"),
    ]


@pytest.mark.parametrize("seed", range(5))
def test_the_solution_passes_under_any_seed(examiner: ExaminerProcess, seed: int) -> None:
    assert outcomes(examiner, None, seed) == {"passed"}


@pytest.mark.parametrize(
    "edit", [edit for edit in TOPIC.alternatives if edit.task == TASK.id], ids=lambda edit: edit.name
)
def test_a_different_right_answer_passes(examiner: ExaminerProcess, edit: Alternative) -> None:
    assert outcomes(examiner, edit, 1) == {"passed"}


@pytest.mark.parametrize("edit", [edit for edit in TOPIC.mistakes if edit.task == TASK.id], ids=lambda edit: edit.name)
def test_a_mistake_is_caught(examiner: ExaminerProcess, edit: Mistake) -> None:
    assert "failed" in outcomes(examiner, edit, 1)
