"""The gates of `autograder verify`: each holds on a good topic, and each fails when it should."""

from __future__ import annotations

import datetime
import tomllib
from pathlib import Path

import pytest
from factory import HIDDEN, MISTAKES, Edit, make_course, make_topic

from autograder.authoring import verify as gates
from autograder.authoring.mutants import Mutant
from autograder.authoring.stub import to_stub
from autograder.authoring.survivors import Hunt, as_table
from autograder.authoring.verification import record, row
from autograder.authoring.verify import Finding, Verdict, verify
from autograder.course import Course
from autograder.errors import AuthorError
from autograder.grading.examiner_process import ExaminerProcess
from autograder.sandbox.ladder import choose
from autograder.topic import Topic

MISTAKE = (
    '\n[[mistake]]\ntask = "{}"\nname = "one more, {}"\nfind = "{}"\nreplace = "{} + {}"\nhint = "Less."\n'
)
ENOUGH = MISTAKES + "".join(
    MISTAKE.format(task, number, line, line, number)
    for task, line, count in (("double", "return x * FACTOR", 7), ("halve", "return x / 2", 4))
    for number in range(1, count + 1)
)
EQUIVALENT = """
[[equivalent]]
task = "halve"
find = "self.count += 1"
replace = "self.count = 1"
reason = "Nobody halves twice."
"""


@pytest.fixture
def few_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gates, "SEEDS", 3)


def found(tmp_path: Path, *, is_full: bool = False, is_quick: bool = False, **edits: Edit) -> list[str]:
    """What verify finds in the tiny topic, with mistakes enough, after these edits."""
    topic = make_course(tmp_path, **({"mistakes": ENOUGH} | edits)).topic("01_tiny")
    return [str(finding) for finding in verify(topic, is_full=is_full, is_quick=is_quick).findings]


@pytest.mark.usefixtures("few_seeds")
class TestGates:
    def test_every_gate_holds_on_a_good_topic(self, tmp_path: Path) -> None:
        assert found(tmp_path, is_full=True, mistakes=ENOUGH + EQUIVALENT) == []
        assert (tmp_path / "assignments" / "01_tiny" / "signatures.json").is_file()

    def test_signatures_that_are_not_there_are_not_fresh(self, tmp_path: Path) -> None:
        findings = found(tmp_path, is_quick=True)

        assert findings
        assert all("refresh it: autograder verify 01_tiny" in finding for finding in findings)
        assert found(tmp_path) == []
        assert found(tmp_path, is_quick=True) == []

    def test_too_few_mistakes_are_counted(self, tmp_path: Path) -> None:
        assert found(tmp_path, mistakes=MISTAKES) == [
            "double has enough known mistakes: 1 mistakes of 8; add [[mistake]] tables to mistakes.toml",
            "halve has enough known mistakes: 1 mistakes of 5; add [[mistake]] tables to mistakes.toml",
        ]

    def test_a_test_that_the_stub_passes_is_found(self, tmp_path: Path) -> None:
        edit = ("expect.equal(student.FACTOR, 2, what=", "expect.equal(2, 2, what=")

        assert found(tmp_path, hidden=edit) == [
            "the stub scores nothing: test_the_factor_is_two passes on it; what does that test ask for?"
        ]

    def test_a_seed_under_which_the_solution_fails_is_found(self, tmp_path: Path) -> None:
        hidden = HIDDEN.replace("two(student)", "two(student, request)").replace(
            "FACTOR, 2", "FACTOR, 2 + (request.config.option.autograder_seed == 1)"
        )

        (finding,) = found(tmp_path, hidden=hidden)

        assert finding.startswith(
            "the solution passes behind the wall (seed 1): test_the_factor_is_two failed"
        )

    def test_a_test_that_counts_its_runs_is_found(self, tmp_path: Path) -> None:
        edit = (
            "    expect.equal(student.FACTOR, 2",
            "    RUNS.append(student.double(len(RUNS)))\n    expect.equal(student.FACTOR, 2",
        )
        counting = HIDDEN.replace(*edit).replace("import pytest", "import pytest\nRUNS = []")

        assert found(tmp_path, hidden=counting) == [
            "a test is decided by its seed and the answers: test_the_factor_is_two hangs on something else: "
            "a clock, a file, a counter at the top of the test file?"
        ]

    def test_a_test_that_behaves_differently_in_the_two_modes_is_found(self, tmp_path: Path) -> None:
        edit = (
            "expect.equal(student.FACTOR",
            'assert not hasattr(student, "__file__")\n    expect.equal(student.FACTOR',
        )

        findings = found(tmp_path, hidden=edit)

        assert len(findings) == 3
        assert all(
            "test_the_factor_is_two passed behind the wall (), failed in-process" in line for line in findings
        )

    @pytest.mark.parametrize("is_quick", [False, True])
    def test_a_mistake_that_is_not_caught_is_found(self, tmp_path: Path, is_quick: bool) -> None:
        mistakes = ENOUGH.replace('replace = "pass"', 'replace = "self.count = 1"')

        findings = found(tmp_path, is_quick=is_quick, mistakes=mistakes)

        assert [finding for finding in findings if not finding.startswith("signatures.json")] == [
            "a mistake is caught (halve: never counted the calls): every test passes; add one that fails"
        ]

    def test_a_right_answer_that_is_refused_is_found(self, tmp_path: Path) -> None:
        mistakes = ENOUGH.replace('replace = "return x + x"', 'replace = "return x + x + 0.0"')

        findings = found(tmp_path, mistakes=mistakes)

        gate = "a different right answer passes (double: adds the number to itself): "
        assert findings
        assert all(finding.startswith(gate) for finding in findings)

    def test_a_mutant_that_survives_is_shown_with_its_table(self, tmp_path: Path) -> None:
        (finding,) = found(tmp_path, is_full=True)

        gate, table = finding.split("\n\n")
        assert gate == (
            "a mutant is killed (line 38, arithmetic): '+=' becomes '=' and every test passes; "
            "add a test of halve that fails, or this to mistakes.toml:"
        )
        assert tomllib.loads(table)["equivalent"] == [
            {"find": "self.count += 1", "replace": "self.count = 1", "reason": ""}
        ]

    def test_an_equivalent_mutant_that_is_killed_is_none(self, tmp_path: Path) -> None:
        killed = EQUIVALENT.replace("self.count = 1", "self.count += 2")

        assert found(tmp_path, is_full=True, mistakes=ENOUGH + EQUIVALENT + killed) == [
            "an equivalent mutant is one: 'self.count += 2' is killed, or no mutant any more; "
            "remove its table from mistakes.toml"
        ]

    def test_mutants_are_left_out_of_a_short_verification(self, tmp_path: Path) -> None:
        assert found(tmp_path) == []


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (('reason = "Nobody halves twice."', 'reason = " "'), "equivalent 1: 'reason' is empty; say why"),
        (('reason = "Nobody halves twice."', ""), "equivalent 1: needs a text 'reason'"),
        (('task = "halve"\nfind', 'task = "treble"\nfind'), "equivalent 1: no task 'treble' in topic.toml"),
        (
            ('replace = "self.count = 1"', 'replace = "self.count ="'),
            "equivalent 1: the replaced solution is not Python",
        ),
        ((EQUIVALENT, EQUIVALENT + EQUIVALENT), "equivalent 2: this stands here twice; remove one"),
    ],
)
def test_a_broken_equivalent_is_refused(tmp_path: Path, edit: tuple[str, str], message: str) -> None:
    topic = make_topic(tmp_path, mistakes=(MISTAKES + EQUIVALENT).replace(*edit))

    with pytest.raises(AuthorError, match=message):
        _ = topic.equivalents


def test_an_equivalent_needs_no_task(tmp_path: Path) -> None:
    topic = make_topic(tmp_path, mistakes=MISTAKES + EQUIVALENT.replace('task = "halve"\n', ""))

    assert [(entry.task, entry.replace) for entry in topic.equivalents] == [("", "self.count = 1")]


@pytest.mark.parametrize("text", ['say("x")', "two\nlines", r"a\b", "both ''' and \"", "ends with '\n'"])
def test_a_table_says_what_it_was_made_from(text: str) -> None:
    table = as_table(Mutant(("double",), 1, "constant", "", text, text + "!", ""))

    (entry,) = tomllib.loads(table)["equivalent"]
    assert (entry["find"], entry["replace"]) == (text, text + "!")


def test_an_examination_may_stop_at_the_first_failure(tmp_path: Path) -> None:
    topic = make_topic(tmp_path)
    text = topic.solution_path.read_text(encoding="utf-8")
    examiner = ExaminerProcess.behind_the_wall(topic, choose(allow_unisolated=False))
    try:
        stopped = examiner.ask(to_stub(text, "tiny.py").encode(), 0, stops=True)
        whole = examiner.ask(text.encode(), 0, stops=True)
    finally:
        examiner.close()

    assert stopped is not None
    assert whole is not None
    assert [result["outcome"] for result in stopped["results"]] == ["failed"]
    assert [result["outcome"] for result in whole["results"]] == ["passed"] * 5


class TestRecord:
    VERDICT = Verdict((), 5, Hunt(14, (), 1, ()))

    @pytest.fixture
    def topic(self, tmp_path: Path) -> Topic:
        make_topic(tmp_path / "assignments" / "02_tiny")
        return make_course(tmp_path).topic("01_tiny")

    def test_a_row_says_what_was_tried(self, topic: Topic) -> None:
        line = row(topic, self.VERDICT, datetime.date(2026, 3, 1))

        assert line == "| 01_tiny | 2026-03-01 | 20 | 5 | 2 | 1 | all hold | 14 | 1 | 2026-03-01 |"

    def test_a_row_says_how_many_gates_do_not_hold(self, topic: Topic) -> None:
        line = row(topic, Verdict((Finding("a gate", "open"),), 5, None), datetime.date(2026, 3, 1))

        assert line == "| 01_tiny | 2026-03-01 | 3 | 5 | 2 | 1 | 1 missed | - | - | - |"

    def test_a_short_run_keeps_what_the_last_full_one_found_of_mutants(self, topic: Topic) -> None:
        full = row(topic, self.VERDICT, datetime.date(2026, 3, 1))

        line = row(topic, Verdict((), 6, None), datetime.date(2026, 4, 1), full)

        assert line == "| 01_tiny | 2026-04-01 | 3 | 6 | 2 | 1 | all hold | 14 | 1 | 2026-03-01 |"

    def test_the_rows_of_other_assignments_are_kept(self, topic: Topic, tmp_path: Path) -> None:
        course = Course(tmp_path)
        path = record(course, course.topic("02_tiny"), self.VERDICT)
        record(course, topic, self.VERDICT)
        once = path.read_bytes()
        record(course, course.topic("02_tiny"), self.VERDICT)

        assert path.read_bytes() == once
        assert [line[2:9] for line in once.decode().splitlines()[-2:]] == ["01_tiny", "02_tiny"]
