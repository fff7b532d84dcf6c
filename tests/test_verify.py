"""The gates of `autograder verify`: each holds on a good topic, and each fails when it should."""

from __future__ import annotations

import datetime
import tomllib
from pathlib import Path

import pytest
from factory import HIDDEN, MISTAKES, Edit, make_course, make_topic

from autograder.authoring import gates
from autograder.authoring.gates import Finding
from autograder.authoring.mutants import Mutant
from autograder.authoring.survivors import Hunt, as_table
from autograder.authoring.verification import record, row, with_chapter
from autograder.authoring.verify import Verdict, verify
from autograder.course import Course
from autograder.errors import AuthorError
from autograder.grading.run.examiner_process import ExaminerProcess
from autograder.sandbox.ladder import choose
from autograder.stub import to_stub
from autograder.topic import Topic

MISTAKE = (
    '\n[[change]]\ntask = "{}"\nfind = "{}"\n\n[[change.mistake]]\nname = "one more, {}"\n'
    'replace = "{} + {}"\nhint = "Less."\n'
)
ENOUGH = MISTAKES + "".join(
    MISTAKE.format(task, line, number, line, number)
    for task, line, count in (("double", "return x * FACTOR", 7), ("halve", "return x / 2", 4))
    for number in range(1, count + 1)
)
EQUIVALENT = """
[[change]]
task = "halve"
find = "self.count += 1"

[[change.equivalent]]
replace = "self.count = 1"
reason = "Nobody halves twice."
"""


@pytest.fixture
def few_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seeds in (("SEEDS", 3), ("DRAWS", 3), ("DRAWS_IN_FULL", 3), ("ALTERNATIVE_DRAWS_IN_FULL", 3)):
        monkeypatch.setattr(gates, name, seeds)


def found(
    tmp_path: Path, *, is_full: bool = False, is_quick: bool = False, has_lesson: bool = False, **edits: Edit
) -> list[str]:
    """What verify finds in the tiny topic, with enough mistakes, after these edits."""
    topic = make_course(tmp_path, **({"mistakes": ENOUGH} | edits)).topic("01_tiny")
    verdict = verify(topic, is_full=is_full, is_quick=is_quick, has_lesson=has_lesson)
    return [str(finding) for finding in verdict.findings]


@pytest.mark.usefixtures("few_seeds")
class TestGates:
    def test_every_gate_holds_on_a_good_topic(self, tmp_path: Path) -> None:
        assert found(tmp_path, is_full=True, has_lesson=True, mistakes=ENOUGH + EQUIVALENT) == []
        assert (tmp_path / "assignments" / "01_tiny" / "known.json").is_file()

    def test_signatures_that_are_not_there_are_not_fresh(self, tmp_path: Path) -> None:
        findings = found(tmp_path, is_quick=True)

        assert findings
        assert all("refresh it: autograder verify 01_tiny" in finding for finding in findings)
        assert found(tmp_path) == []
        assert found(tmp_path, is_quick=True) == []

    def test_a_test_that_the_solution_fails_under_a_rare_seed_is_found(self, tmp_path: Path) -> None:
        edit = ("number_nobody_knows = int(rng.integers(10, 1000))",
                "number_nobody_knows = int(rng.integers(10, 1000))\n    assert seed_of(rng) != 1001")  # fmt: skip
        hidden = HIDDEN.replace(*edit).replace(
            "from autograder import expect\n",
            "from autograder import expect\nfrom autograder.plugin import rng_of, secret_of\n\n\n"
            "def seed_of(rng):\n"
            "    first = rng.bit_generator.seed_seq.entropy[0]\n"
            "    return next((seed for seed in (1000, 1001, 1002) if secret_of(seed) == first), 0)\n",
        )

        findings = found(tmp_path, hidden=hidden)

        gate = "the solution passes under any seed (seed 1001): test_a_drawn_number_is_doubled"
        assert sum(finding.startswith(gate) for finding in findings) == 1

    def test_a_test_that_ends_by_an_error_of_its_own_for_a_mistake_is_remarked(self, tmp_path: Path) -> None:
        edit = ("expect.equal(halver_under_test.count, 1", "expect.equal(halver_under_test.count + 0, 1")
        mistakes = ENOUGH.replace('replace = "pass"', 'replace = "self.count = None"')
        topic = make_course(tmp_path, hidden=edit, mistakes=mistakes).topic("01_tiny")

        verdict = verify(topic)

        assert verdict.findings == ()
        assert any(
            remark.startswith("test_each_call_is_counted ends by an error of its own line")
            for remark in verdict.remarks
        )

    def test_too_few_mistakes_are_counted(self, tmp_path: Path) -> None:
        assert found(tmp_path, mistakes=MISTAKES) == [
            "double has enough known mistakes: 1 mistakes of 8; add [[change.mistake]] tables to mistakes.toml",
            "halve has enough known mistakes: 1 mistakes of 5; add [[change.mistake]] tables to mistakes.toml",
        ]

    @pytest.mark.parametrize("name", ["torch.nn.functional.conv_2d", "troch", "torch.Tensor.softmx"])
    def test_a_forbidden_thing_that_does_not_exist_is_found(self, tmp_path: Path, name: str) -> None:
        manifest = ("points = 60", f'points = 60\nforbid = ["{name}"]')

        assert (
            f"what a task forbids exists: double forbids {name!r}, and there is no such thing; correct it in topic.toml"
            in found(tmp_path, manifest=manifest)
        )

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

        assert finding.startswith("the solution passes behind the wall (seed 1): test_the_factor_is_two failed")

    def test_a_test_that_counts_its_runs_is_found(self, tmp_path: Path) -> None:
        edit = (
            "    expect.equal(student.FACTOR, 2",
            "    assert next(RUNS) != 2, 'the second run'\n    expect.equal(student.FACTOR, 2",
        )
        counting = HIDDEN.replace(*edit).replace("import pytest", "import itertools, pytest\nRUNS = itertools.count()")

        assert found(tmp_path, hidden=counting)[0] == (
            "a test is decided by its seed: test_the_factor_is_two came out differently the second time; "
            "does it use a clock, a file, or a counter at the top of the test file?"
        )

    def test_a_test_that_keeps_something_of_a_submission_is_found(self, tmp_path: Path) -> None:
        """An object in the test file counts the wrong answers of all submissions."""
        counting = HIDDEN.replace("import pytest\n", "import pytest\nclass Counter:\n    wrong = 0\n", 1).replace(
            "    number_nobody_knows =",
            "    Counter.wrong += student.double(30) != 60\n"
            "    assert student.double(30) == 60, f'wrong answer {Counter.wrong}'\n"
            "    number_nobody_knows =",
        )

        assert found(tmp_path, hidden=counting) == [
            "a mark follows from the submission alone: test_a_drawn_number_is_doubled comes out differently after "
            "other submissions; does its file keep something of theirs?"
        ]

    def test_a_test_that_behaves_differently_in_the_two_modes_is_found(self, tmp_path: Path) -> None:
        edit = (
            "expect.equal(student.FACTOR",
            'assert not hasattr(student, "__file__")\n    expect.equal(student.FACTOR',
        )

        findings = found(tmp_path, hidden=edit)

        assert len(findings) == 3
        assert all("test_the_factor_is_two passed behind the wall (), failed in-process" in line for line in findings)

    @pytest.mark.parametrize("is_quick", [False, True])
    def test_a_mistake_that_is_not_caught_is_found(self, tmp_path: Path, is_quick: bool) -> None:
        mistakes = ENOUGH.replace('replace = "pass"', 'replace = "self.count = 1"')

        findings = found(tmp_path, is_quick=is_quick, mistakes=mistakes)

        assert [finding for finding in findings if not finding.startswith("known.json")] == [
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

        gate, _, table = finding.partition("\n\n")
        assert gate == (
            "a mutant is killed (line 38, arithmetic): '+=' becomes '=' and every test passes; "
            "add a test of halve that fails, or this to mistakes.toml:"
        )
        assert tomllib.loads(table)["change"] == [
            {"find": "self.count += 1", "equivalent": [{"replace": "self.count = 1", "reason": ""}]}
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
        (('task = "halve"\nfind', 'task = "treble"\nfind'), "no task 'treble' in topic.toml"),
        ((EQUIVALENT, EQUIVALENT + EQUIVALENT), "equivalent 2: this is listed twice; remove one"),
    ],
)
def test_a_broken_equivalent_is_refused(tmp_path: Path, edit: tuple[str, str], message: str) -> None:
    topic = make_topic(tmp_path, mistakes=(MISTAKES + EQUIVALENT).replace(*edit))

    with pytest.raises(AuthorError, match=message):
        _ = topic.equivalents


def test_an_equivalent_that_is_not_python_is_refused(tmp_path: Path) -> None:
    broken = EQUIVALENT.replace('replace = "self.count = 1"', 'replace = "self.count ="')

    with pytest.raises(AuthorError, match="equivalent 1: the replaced solution is not Python"):
        verify(make_topic(tmp_path, mistakes=MISTAKES + broken))


def test_an_equivalent_needs_no_task(tmp_path: Path) -> None:
    topic = make_topic(tmp_path, mistakes=MISTAKES + EQUIVALENT.replace('task = "halve"\n', ""))

    assert [(entry.task, entry.replace) for entry in topic.equivalents] == [("", "self.count = 1")]


@pytest.mark.parametrize("text", ['say("x")', "two\nlines", r"a\b", "both ''' and \"", "ends with '\n'"])
def test_a_table_says_what_it_was_made_from(text: str) -> None:
    table = as_table(Mutant(("double",), 1, "constant", "", text, text + "!", ""))

    (change,) = tomllib.loads(table)["change"]
    assert (change["find"], change["equivalent"][0]["replace"]) == (text, text + "!")


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

    def test_a_chapter_is_replaced_and_stays_when_a_row_is_written(self, topic: Topic, tmp_path: Path) -> None:
        course = Course(tmp_path)
        path = record(course, topic, self.VERDICT)
        table = path.read_text()
        page = with_chapter(with_chapter(table, "Coverage", "Half.\n"), "Speed", "Fast.\n")
        path.write_text(with_chapter(page, "Coverage", "All.\n"))

        record(course, topic, self.VERDICT)

        assert path.read_text() == f"{table}\n## Speed\n\nFast.\n\n## Coverage\n\nAll.\n"


SHARED = '''

@pytest.fixture(scope="module")
def trained(student):
    time.sleep(0.5)
    return student.double(4)


@pytest.mark.task("double")
def test_a_shared_training_is_right(trained):
    """Eight."""
    expect.equal(trained, 8, what="double")


@pytest.mark.task("double")
def test_a_shared_training_is_an_integer(trained):
    """Whole."""
    expect.equal(type(trained), int, what="double")
'''


def test_a_test_takes_what_its_shared_fixtures_take_whoever_sets_them_up(tmp_path: Path) -> None:
    """Else the tests behind one training would count as quick, and the training would run under every seed."""
    topic = make_topic(
        tmp_path / "01_tiny", hidden=(HIDDEN, HIDDEN.replace("import pytest", "import time\nimport pytest") + SHARED)
    )
    examiner = ExaminerProcess.in_process(topic)
    try:
        answer = examiner.ask(topic.solution.encode(), 0)
    finally:
        examiner.close()

    assert answer is not None
    alone = {result["test"]: result["seconds_alone"] for result in answer["results"] if result["outcome"] == "passed"}
    own = {result["test"]: result["seconds"] for result in answer["results"]}
    assert {name for name, seconds in alone.items() if seconds >= 0.5} == {
        "test_a_shared_training_is_right",
        "test_a_shared_training_is_an_integer",
    }
    assert own["test_a_shared_training_is_right"] >= 0.5 > own["test_a_shared_training_is_an_integer"]
    assert len(alone) == 7
