"""Marking policy: what a submission of the tiny topic is worth, and why."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from factory import SOLUTION, make_course

from autograder.errors import AutograderError
from autograder.grading.intake.submission import Submission
from autograder.grading.mark.judge import Judge, ManifestTest, mark
from autograder.grading.mark.told import WITHHELD
from autograder.grading.run.solution import load_solution
from autograder.report import Report, TestResult


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judge]:
    course = make_course(tmp_path_factory.mktemp("course"))
    with Judge(course.topic("01_tiny"), seed=11) as judge:
        yield judge


def examine(judge: Judge, source: str | None) -> Report:
    data = None if source is None else source.encode()
    return judge.examine(Submission("ada", judge.topic.id, Path("tiny.py"), data))


def test_the_solution_gets_every_point(judge: Judge) -> None:
    report = examine(judge, SOLUTION)

    assert (report.score, report.max_score, report.status) == (90.0, 90.0, "graded")
    assert [task.hint for task in report.tasks] == ["", ""]
    assert report.seed == 11
    assert report.isolation == "A"


def test_a_score_is_points_times_passed_weight(judge: Judge) -> None:
    report = examine(judge, SOLUTION.replace("self.count += 1", "pass"))

    halve = report.tasks[1]
    assert (halve.tests_passed, halve.tests_total) == (1, 2)
    assert halve.score == 30.0 * 1 / 2.5
    assert report.tasks[0].score == 60.0


def test_nothing_handed_in_gets_nothing_and_says_so(judge: Judge) -> None:
    report = examine(judge, None)

    assert report.score == 0.0
    assert report.status == "graded"
    assert report.complaints == ("tiny.py was not handed in",)


def test_a_text_that_cannot_be_read_is_for_a_person_and_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_source: bytes) -> None:
        raise RecursionError

    topic = make_course(tmp_path).topic("01_tiny")
    monkeypatch.setattr("autograder.grading.mark.integrity.complaints", fail)
    with Judge(topic, seed=11) as judge:
        report = examine(judge, SOLUTION)

    assert report.score == 90.0
    (complaint,) = report.complaints
    assert complaint == "The module's text could not be read (RecursionError); a person has to look at it."


def test_a_hidden_test_says_nothing_of_its_inputs(judge: Judge) -> None:
    source = SOLUTION.replace("return doubled_at_last", "assert x == 3, f'secret {x}'\n    return 6")

    double = examine(judge, source).tasks[0]

    assert double.hint.startswith("double raises an AssertionError for an input that the docstring allows.")
    assert "secret" not in double.hint


def test_a_skip_inside_a_submission_is_a_fail(judge: Judge) -> None:
    source = "import pytest\ndef double(x): pytest.skip('all well')\nFACTOR = 2\nclass Halver: pass\n"

    assert examine(judge, source).tasks[0].score == pytest.approx(20.0)


def test_a_worker_that_dies_costs_only_its_own_tests(judge: Judge) -> None:
    report = examine(judge, SOLUTION.replace("self.count += 1", "__import__('os')._exit(0)"))

    assert report.tasks[0].score == 60.0
    assert report.tasks[1].score == 0.0
    assert "ended the process" in report.tasks[1].hint


def test_every_test_may_have_a_worker_of_its_own(tmp_path: Path) -> None:
    course = make_course(tmp_path, manifest=("memory = 1024", 'memory = 1024\nworker = "test"'))
    source = SOLUTION.replace("return x * FACTOR", "calls.append(x)\n    return x * FACTOR if len(calls) < 2 else 0")

    with Judge(course.topic("01_tiny"), seed=11) as judge:
        report = examine(judge, source + "calls = []\n")

    assert report.score == 90.0


def test_an_import_that_is_not_offered_is_a_complaint(judge: Judge) -> None:
    report = examine(
        judge,
        "import matplotlib.pyplot as plt\n" + SOLUTION.replace("from __future__ import annotations", ""),
    )

    assert report.score == 90.0
    assert report.complaints == (
        "Line 1 imports matplotlib.pyplot, which this assignment does not offer; it offers numpy.",
    )


def test_a_cause_for_complaint_in_every_line_leaves_a_report_readable(judge: Judge) -> None:
    report = examine(judge, SOLUTION + "\neval" * 1000)

    assert report.complaints[-1] == "980 more complaints of this kind."
    assert len(report.complaints) == 21


def test_an_examiner_that_is_killed_is_started_again(judge: Judge) -> None:
    examine(judge, SOLUTION)
    process = judge._examiner._process
    assert process is not None
    process.kill()
    process.wait()

    after = examine(judge, SOLUTION)

    assert (after.score, after.status, after.complaints) == (90.0, "graded", ())


def test_a_second_crash_of_the_examiner_is_broken_and_the_next_is_examined(
    judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(judge._examiner, "ask", lambda *_args, **_options: None)
        broken = examine(judge, SOLUTION)
    after = examine(judge, SOLUTION)

    assert broken.status == "broken"
    assert "a person" in broken.complaints[0]
    assert after.score == 90.0


def test_a_test_that_the_solution_fails_marks_nobody(tmp_path: Path) -> None:
    course = make_course(tmp_path, hidden=("expect.equal(student.FACTOR, 2", "expect.equal(student.FACTOR, 3"))

    with Judge(course.topic("01_tiny"), seed=1) as judge:
        report = examine(judge, SOLUTION)

    assert report.status == "broken"
    assert "It costs you nothing" in report.tasks[0].hint
    assert report.tasks[1].score == 30.0


def test_a_suite_that_cannot_be_collected_is_an_error_of_the_author(tmp_path: Path) -> None:
    course = make_course(tmp_path, hidden="def test_(:\n")

    with (
        Judge(course.topic("01_tiny"), seed=1) as judge,
        pytest.raises(AutograderError, match="cannot be collected"),
    ):
        examine(judge, SOLUTION)


def test_a_report_survives_its_record(judge: Judge) -> None:
    report = examine(judge, SOLUTION.replace("x / 2", "x"))

    assert Report.from_record(report.to_record()) == report


def test_the_same_seed_gives_the_same_marks(judge: Judge) -> None:
    wrong = SOLUTION.replace("x * FACTOR", "x + 2")

    assert [task.to_json() for task in examine(judge, wrong).tasks] == [
        task.to_json() for task in examine(judge, wrong).tasks
    ]


def test_what_passes_without_an_answer_is_withheld_and_explains_nothing(judge: Judge) -> None:
    """The hint is what the first failed test says, and the diagnosis sees what really passed."""
    task = judge.topic.tasks[0]
    tests = [ManifestTest(name, task.id, 1.0, False, f"{name}: think") for name in ("test_shape", "test_value")]
    results = {
        "test_shape": {"outcome": "passed", "sentence": "", "seconds": 0.0},
        "test_value": {"outcome": "failed", "sentence": "wrong value", "kind": "mismatch", "seconds": 0.0},
    }
    seen = []

    def diagnose(task_id: str, judged: tuple[TestResult, ...]) -> None:
        seen.append([result.outcome for result in judged])

    report = mark(task, tests, results, diagnose, judge._teller, cheap=frozenset({"test_shape"}))

    assert (report.score, report.hint) == (0.0, "wrong value")
    assert seen == [["passed", "failed"]]
    assert [(result.outcome, result.sentence) for result in report.results] == [
        ("failed", "This test passes so far, and counts once another test of the task passes."),
        ("failed", "wrong value"),
    ]


def test_a_module_that_passes_only_what_asks_for_no_answer_is_told_so(judge: Judge) -> None:
    task = judge.topic.tasks[0]
    tests = [ManifestTest("test_shape", task.id, 1.0, True, "Shapes stay.")]
    results = {"test_shape": {"outcome": "passed", "sentence": "", "seconds": 0.0}}

    report = mark(task, tests, results, lambda *_: None, judge._teller, cheap=frozenset({"test_shape"}))

    assert (report.score, report.hint) == (0.0, WITHHELD)


def test_a_solution_may_define_a_dataclass(tmp_path):
    """With annotations as texts a dataclass looks up its own module, which has to be known."""
    config = "\n\nfrom dataclasses import dataclass\n\n\n@dataclass\nclass Config:\n    factor: int = 2\n"
    topic = make_course(tmp_path, solution=SOLUTION + config).topic("01_tiny")

    assert load_solution(topic).Config().factor == 2
    assert load_solution(topic) is not load_solution(topic)
