"""A known mistake is named if it is proven; a tie is called a tie; a mistake that does not fit is not named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from factory import SOLUTION, make_course

from autograder.authoring import gates
from autograder.authoring.verify import verify
from autograder.grading.intake.submission import Submission
from autograder.grading.mark.diagnose import Diagnosis, evidence, failing, made_in, proves, suspects
from autograder.grading.mark.judge import Judge
from autograder.known import Known, Sign, Signature, gist, read_known, sign, words_of, write_known
from autograder.replacements import Mistake
from autograder.report import TaskReport, TestResult
from autograder.topic import Topic

TESTS = ("test_a", "test_b", "test_c", "test_d", "test_e")


def mistake(name: str, hint: str = "Think again.") -> Mistake:
    return Mistake("double", name, "x", "y", hint)


def known(*entries: tuple[Mistake, dict[str, str]], slow: tuple[str, ...] = ()) -> Known:
    """Known mistakes, and what each failing test says about them."""
    signatures = tuple(
        Signature(made, {test: sign([said], 1) for test, said in fails.items()}) for made, fails in entries
    )
    return Known(signatures, slow=frozenset(slow), seeds=1)


def says(sentence: str, *tests: str) -> dict[str, str]:
    return dict.fromkeys(tests or TESTS, sentence)


def names(groups: list[tuple[Mistake, ...]]) -> list[list[str]]:
    return [[made.name for made in group] for group in groups]


class TestGist:
    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("_mine raised ValueError: no (line 3 of a.py: `x`).", "helper2 raised ValueError: yes (line 9 of a.py)."),
            ("f raised MyError: secret.", "g raised YourError."),
            ("The test could not go on with what your code gave it: KeyError: 'loss'.",
             "The test could not go on with what your code gave it: KeyError: 'losses'."),
            ("f: wrong kind of error. Got KeyError (mine), expected ValueError.",
             "f: wrong kind of error. Got KeyError (yours, too), expected ValueError."),
            ("f: wrong text in the error. Got 'a', expected 'axis' in it.",
             "f: wrong text in the error. Got 'b, c', expected 'axis' in it."),
            ("Mine has no attribute 'w', which the test asks for: read what its docstring names.",
             "Net has no attribute 'w', which the test asks for: read what its docstring names."),
            ("double: _go calls itself without end.", "double: h calls itself without end (line 3 of a.py: `h()`)."),
        ],
    )  # fmt: skip
    def test_names_texts_and_lines_of_a_students_own_make_no_difference(self, one: str, other: str) -> None:
        assert gist(one) == gist(other)

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("f raised ValueError: no.", "f raised KeyError: no."),
            ("f: wrong kind of error. Got KeyError (x), expected ValueError.",
             "f: wrong kind of error. Got TypeError (x), expected ValueError."),
            ("f: wrong value. Got 1, expected 2.", "f: wrong shape. Got 1, expected 2."),
        ],
    )  # fmt: skip
    def test_what_tells_mistakes_apart_stays(self, one: str, other: str) -> None:
        assert words_of(one) != words_of(other)

    def test_numbers_are_no_words(self) -> None:
        assert words_of("f: wrong value. Got 1, expected 2.") == words_of("f: wrong value. Got nan, expected -1e-3.")


class TestSuspects:
    def test_words_tell_mistakes_apart_that_fail_the_same_tests(self) -> None:
        found = suspects(
            "double",
            says("double: wrong dtype. Got int, expected float."),
            known(
                (mistake("squared"), says("double: wrong value. Got 9, expected 6.")),
                (mistake("whole"), says("double: wrong dtype. Got int, expected float.")),
            ),
        )

        assert names(found) == [["whole"]]

    def test_a_test_more_is_another_mistake(self) -> None:
        assert suspects("double", says("Got 9."), known((mistake("squared"), says("Got 9.", *TESTS[:4])))) == []

    def test_a_test_less_is_another_mistake(self) -> None:
        assert suspects("double", says("Got 9.", *TESTS[:4]), known((mistake("squared"), says("Got 9.")))) == []

    def test_a_test_that_fails_by_chance_may_pass(self) -> None:
        signs = {test: Sign(1.0, words_of("Got 9.")) for test in TESTS[:4]} | {TESTS[4]: Sign(1 / 3, "")}
        by_chance = Known((Signature(mistake("rounded"), signs),), seeds=3)

        assert names(suspects("double", says("Got 9.", *TESTS[:4]), by_chance)) == [["rounded"]]
        assert names(suspects("double", says("Got 9."), by_chance)) == [["rounded"]]

    def test_a_test_that_trains_may_end_otherwise(self) -> None:
        found = known((mistake("squared"), says("Got 9.", *TESTS[:4])), slow=("test_e",))

        assert names(suspects("double", says("Got 9."), found)) == [["squared"]]

    def test_a_mistake_of_another_task_is_no_suspect(self) -> None:
        assert suspects("halve", says("Got 9."), known((mistake("squared"), says("Got 9.")))) == []

    def test_nothing_failed_so_there_is_no_suspect(self) -> None:
        assert suspects("double", {}, known((mistake("squared"), says("Got 9.")))) == []

    def test_two_mistakes_that_cover_all_are_suspects_together(self) -> None:
        found = suspects(
            "double",
            says("Got 9.", *TESTS[:3]) | says("No copy.", *TESTS[3:]),
            known(
                (mistake("squared"), says("Got 9.", *TESTS[:3])),
                (mistake("in place"), says("No copy.", *TESTS[3:])),
                (mistake("another"), says("Nothing.", "test_e")),
            ),
        )

        assert names(found) == [["squared", "in place"]]

    def test_two_that_leave_a_test_unexplained_are_not(self) -> None:
        parts = known(
            (mistake("squared"), says("Got 9.", *TESTS[:2])),
            (mistake("in place"), says("No copy.", *TESTS[3:])),
        )

        assert suspects("double", says("Got 9.", *TESTS[:3]) | says("No copy.", *TESTS[3:]), parts) == []

    @pytest.mark.parametrize("kind", ["import_failed", "not_started", "missing_name", "died"])
    def test_no_answer_is_no_mistake(self, kind: str) -> None:
        results = [TestResult(test, "double", 1.0, False, "failed", "Got 9.", "", 0.0, kind=kind) for test in TESTS]

        assert failing(results) == {}


class TestProof:
    def test_the_same_numbers_prove(self) -> None:
        said = says("double: wrong value. Got 1.218, expected 0.3.")

        assert proves(said, said)

    def test_other_numbers_do_not(self) -> None:
        seen = says("double: wrong value. Got 1.218, expected 0.3.")

        assert not proves(seen, says("double: wrong value. Got 1.219, expected 0.3."))

    def test_one_number_of_five_may_round_apart(self) -> None:
        seen = says("double: wrong value. Got 1.218, expected 0.3.")

        assert proves(seen, seen | {"test_a": "double: wrong value. Got 1.219, expected 0.3."})

    def test_other_tests_do_not(self) -> None:
        seen = says("double: wrong value. Got 1.218, expected 0.3.")

        assert not proves(seen, {test: seen[test] for test in TESTS[:4]})
        assert not proves({test: seen[test] for test in TESTS[:4]}, seen)

    def test_words_alone_prove_little(self) -> None:
        assert evidence("double: no error. Got a result, expected ValueError.") == 0.5
        assert evidence("double: wrong shape. Got (2, 3), expected (3, 2).") == 1.0
        assert evidence("double: wrong value. Got 0.25, expected 0.5.") == 1.0
        assert evidence("double: wrong value. Got -1.127, expected 0.2278.") == 2.0
        said = says("double: no error. Got a result, expected ValueError.", *TESTS[:2])
        assert not proves(said, said)

    def test_a_test_that_trains_proves_nothing(self) -> None:
        said = says("double: wrong value. Got 1.218, expected 0.3.", "test_a")

        assert not proves(said, said, frozenset({"test_a"}))


class TestSaying:
    def test_a_tie_names_all_and_gives_the_hint_on_which_all_agree(self) -> None:
        found = Diagnosis((mistake("squared"), mistake("added three"), mistake("third")))

        assert (found.name, found.hint) == ("one of: squared; added three; third", "Think again.")

    def test_two_hints_are_both_given(self) -> None:
        assert (
            Diagnosis((mistake("one", "Look left."), mistake("two", "Look right."))).hint
            == "One of two things. Look left. Or: Look right."
        )

    def test_three_hints_are_none(self) -> None:
        assert Diagnosis(tuple(mistake(name, f"Look {name}.") for name in "abc")).hint == ""

    def test_two_mistakes_at_once_have_both_hints(self) -> None:
        found = Diagnosis((mistake("one", "Look left."), mistake("two", "Look right.")), are_both_made=True)

        assert (found.name, found.hint) == ("both of: one; two", "Two things. Look left. And: Look right.")


def test_two_mistakes_in_one_place_cannot_be_made_at_once() -> None:
    one, other = Mistake("double", "a", "x * 2", "x", ""), Mistake("double", "b", "x * 2 + 1", "x + 1", "")

    assert made_in("def f(x): return x * 2 + 1", (one,)) == "def f(x): return x + 1"
    assert made_in("def f(x): return x * 2 + 1", (one, other)) == ""


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    topic = make_course(tmp_path).topic("01_tiny")
    squared, counted = topic.mistakes
    entries = (
        Signature(squared, {"test_b[é]": Sign(1.0, words_of("Got nan.")), "test_a": Sign(2 / 3, "")}),
        Signature(counted, {"test_a": Sign()}),
    )
    topic.known_path.write_bytes(
        write_known(
            entries, tests=["test_a", "test_b[é]"], cheap=["test_a"], slow=["test_c"], seeds=3, files="", changes={}
        )
    )

    found = read_known(topic)

    assert [(entry.mistake, dict(entry.signs)) for entry in found.entries] == [
        (entry.mistake, dict(entry.signs)) for entry in entries
    ]
    assert (found.cheap, found.slow, found.seeds) == ({"test_a"}, {"test_c"}, 3)
    assert found.failing == ((squared, frozenset({"test_b[é]"})), (counted, frozenset({"test_a"})))


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"tests": [], "seeds": 1, "slow": [4], "cheap": [], "mistakes": []}']
)
def test_a_file_that_is_none_knows_nothing(tmp_path: Path, text: str) -> None:
    topic = make_course(tmp_path).topic("01_tiny")
    topic.known_path.write_text(text)

    assert read_known(topic) == Known()


MISTAKES = """\
[[change]]
task = "double"
find = "return x * FACTOR"

[[change.mistake]]
name = "squared instead of doubled"
replace = "return x ** FACTOR"
hint = "Doubling adds a number to itself."

[[change]]
task = "double"
find = "FACTOR = 2"

[[change.mistake]]
name = "a factor of three"
replace = "FACTOR = 2.5"
hint = "Twice is two times."

[[change]]
task = "halve"
find = "return x / 2"

[[change.mistake]]
name = "multiplies"
replace = "return 2.375 * x"
hint = "To halve is to divide by two."

[[change]]
task = "halve"
find = "self.count += 1"

[[change.mistake]]
name = "counts far too much"
replace = "self.count += 12345"
hint = "Each call counts once."
"""


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judge]:
    topic = make_course(tmp_path_factory.mktemp("course"), mistakes=MISTAKES).topic("01_tiny")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gates.Gates, "enough_mistakes", lambda _: iter(()))
        for name in ("SEEDS", "DRAWS"):
            patch.setattr(gates, name, 3)
        assert verify(topic, has_lesson=False).findings == ()
    with Judge(topic, seed=11) as judge:
        yield judge


class TestInTheJudge:
    """From the mistakes file to the student's hint, behind the wall."""

    def double(self, judge: Judge, source: str) -> TaskReport:
        return judge.examine(Submission("ada", "01_tiny", Path("tiny.py"), source.encode())).tasks[0]

    def test_a_known_mistake_is_named_however_it_is_written(self, judge: Judge) -> None:
        found = self.double(judge, SOLUTION.replace("return doubled_at_last", "return x * x"))

        assert found.diagnosis == "squared instead of doubled"
        assert found.hint == "Doubling adds a number to itself."

    def test_one_that_fails_the_same_tests_with_other_numbers_is_not(self, judge: Judge) -> None:
        found = self.double(judge, SOLUTION.replace("return doubled_at_last", "return x * x + 1"))

        assert found.diagnosis == ""
        assert found.hint == "double: wrong value. Got 10, expected 6."

    def test_two_at_once_are_both_named(self, judge: Judge) -> None:
        source = SOLUTION.replace("self.count += 1", "self.count += 12345").replace("x / 2", "2.375 * x")

        found = judge.examine(Submission("ada", "01_tiny", Path("tiny.py"), source.encode())).tasks[1]

        assert found.diagnosis == "both of: multiplies; counts far too much"
        assert found.hint == "Two things. To halve is to divide by two. And: Each call counts once."

    def test_the_same_wrong_type_everywhere_proves_no_number(self, judge: Judge) -> None:
        source = SOLUTION.replace("FACTOR = 2", "FACTOR = 2.5").replace("return x * FACTOR", "return x ** FACTOR")

        assert self.double(judge, source).diagnosis == ""

    def test_what_a_mistake_says_under_a_seed_is_kept(self, judge: Judge) -> None:
        self.double(judge, SOLUTION.replace("return doubled_at_last", "return x * x"))
        with Judge(judge.topic, seed=11) as other:
            other.manifest().complete()
            other._make = None  # type: ignore[assignment,method-assign]  # not asked again
            found = self.double(other, SOLUTION.replace("return doubled_at_last", "return x * x"))

        assert found.diagnosis == "squared instead of doubled"


def test_without_known_json_nothing_is_named(tmp_path: Path) -> None:
    topic: Topic = make_course(tmp_path).topic("01_tiny")

    with Judge(topic, seed=11) as judge:
        report = judge.examine(
            Submission("ada", "01_tiny", Path("tiny.py"), SOLUTION.replace("x * FACTOR", "x ** FACTOR").encode())
        )

    assert report.tasks[0].diagnosis == ""
    assert report.tasks[0].hint == "double: wrong value. Got 9, expected 6."
