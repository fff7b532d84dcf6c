"""The manifest: when the solution is examined, with what, and what follows for a mark."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from factory import HIDDEN, MISTAKES, SOLUTION, make_course

from autograder.grading.intake.submission import Submission
from autograder.grading.mark.judge import Judge
from autograder.known import files_of, write_known
from autograder.report import Report
from autograder.topic import Topic

#: a module that fails one hidden test of each task
WRONG = SOLUTION.replace("self.count += 1", "pass").replace("FACTOR = 2", "FACTOR = 2.0 + 1e-5")
FAILED = {"test_each_call_is_counted", "test_the_factor_is_two", "test_a_drawn_number_is_doubled",
          "test_three_doubled_is_six"}  # fmt: skip


def verified(topic: Topic) -> Topic:
    """Write a known.json as `verify` does, without mistakes."""
    tests = ["test_three_doubled_is_six", "test_half_of_six_is_three", "test_a_drawn_number_is_doubled",
             "test_the_factor_is_two", "test_each_call_is_counted"]  # fmt: skip
    topic.known_path.write_bytes(
        write_known((), tests=tests, cheap=(), slow=(), seeds=3, files=files_of(topic), changes={})
    )
    return topic


class Watched(Judge):
    """A judge that notes what it asks about the solution."""

    def __init__(self, topic: Topic, seed: int = 11) -> None:
        super().__init__(topic, seed=seed)
        self.asked: list[list[str] | None] = []

    def _ask(self, source: bytes | None, changes: Any = None, tests: Any = None) -> Any:
        if source == self.topic.solution.encode() and changes is None:
            self.asked.append(tests)
        return super()._ask(source, changes, tests)


def examine(judge: Judge, source: str) -> Report:
    return judge.examine(Submission("ada", judge.topic.id, Path("tiny.py"), source.encode()))


@pytest.fixture
def topic(tmp_path: Path) -> Topic:
    return verified(make_course(tmp_path).topic("01_tiny"))


@pytest.fixture
def judge(topic: Topic) -> Iterator[Watched]:
    with Watched(topic) as judge:
        yield judge


def test_a_right_module_needs_no_examination_of_the_solution(judge: Watched) -> None:
    assert examine(judge, SOLUTION.replace("x * FACTOR", "x + x")).score == 90
    assert judge.asked == []


def test_the_solution_is_asked_once_about_each_test_that_someone_failed(judge: Watched) -> None:
    first, second = examine(judge, WRONG), examine(judge, WRONG)

    assert [set(tests or ()) for tests in judge.asked] == [FAILED]
    assert first.score == second.score < 90
    assert first.status == "graded"


def test_another_judge_and_a_later_run_do_not_ask_again(judge: Watched) -> None:
    examine(judge, WRONG)

    with Watched(judge.topic) as later:
        examine(later, WRONG)

    assert later.asked == []


def test_what_is_not_written_yet_asks_nothing(judge: Watched) -> None:
    stub = SOLUTION.replace("doubled_at_last = _secret_helper(x)", 'raise NotImplementedError("double: not started")')

    assert examine(judge, stub).score < 90
    assert judge.asked == []


@pytest.mark.parametrize("source", [SOLUTION, WRONG, SOLUTION.replace("x / 2", "x"), "double = 3", "1 +"])
def test_a_report_is_the_same_when_the_whole_solution_is_examined_first(tmp_path: Path, source: str) -> None:
    reports = []
    for name in ("shipped", "examined"):
        topic = make_course(tmp_path / name).topic("01_tiny")
        with Watched(verified(topic) if name == "shipped" else topic) as judge:
            reports.append(examine(judge, source))
            assert (None in judge.asked) is (name == "examined")

    one, other = (
        [(result.test, result.outcome, result.told) for task in report.tasks for result in task.results]
        for report in reports
    )
    assert one == other
    assert reports[0].score == reports[1].score


@pytest.mark.parametrize("edited", ["solution", "hidden", "public"])
def test_after_an_edit_the_whole_solution_is_examined(topic: Topic, edited: str) -> None:
    paths = {"solution": topic.solution_path, "hidden": topic.hidden_tests_path, "public": topic.public_tests_path}
    paths[edited].write_text(paths[edited].read_text() + "\n\nUNUSED = 1\n")

    with Watched(topic) as judge:
        assert examine(judge, SOLUTION).score == 90

    assert judge.asked == [None]


def test_a_test_that_the_solution_fails_costs_nothing_and_a_right_answer_keeps_it(tmp_path: Path) -> None:
    hidden = HIDDEN.replace("expect.equal(student.FACTOR, 2,", "expect.equal(student.FACTOR, 3,")
    topic = verified(make_course(tmp_path, hidden=hidden, mistakes=MISTAKES).topic("01_tiny"))

    with Watched(topic) as judge:
        as_the_solution = examine(judge, SOLUTION)
        otherwise = examine(judge, SOLUTION.replace("FACTOR = 2", "FACTOR = 3").replace("x * FACTOR", "2 * x"))
    with Watched(topic) as later:
        again = examine(later, SOLUTION)

    assert as_the_solution.status == again.status == "broken"
    assert otherwise.status == "graded"
    assert otherwise.score == 90
    assert later.asked == [["test_the_factor_is_two"]]  # not kept, because the cause may be repaired


def test_a_test_that_is_skipped_for_the_solution_counts_for_nobody(tmp_path: Path) -> None:
    hidden = HIDDEN.replace("    halver_under_test = ", "    pytest.skip('no such device')\n    halver_under_test = ")
    topic = verified(make_course(tmp_path, hidden=hidden).topic("01_tiny"))

    with Watched(topic) as judge:
        assert examine(judge, SOLUTION).score == 90
        assert examine(judge, SOLUTION.replace("self.count += 1", "pass")).score == 90


def test_a_damaged_file_is_made_again(judge: Watched) -> None:
    examine(judge, WRONG)
    for path in judge._kept("manifest").parent.iterdir():
        path.write_bytes(b'{"tests": [{}]}')

    with Watched(judge.topic) as later:
        assert examine(later, SOLUTION).score == 90
