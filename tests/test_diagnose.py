"""A known mistake is named where it stands alone; a tie says so; nothing is named that does not fit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from autograder.course import Course
from autograder.grading.diagnose import (
    Signatures,
    Tally,
    diagnose,
    diagnosis,
    digest,
    read_signatures,
    tally,
    write_said,
)
from autograder.replacements import Mistake
from autograder.report import TestResult

COURSE = Course(Path(__file__).resolve().parent.parent)
TESTS = ("test_a", "test_b", "test_c", "test_d", "test_e")


def mistake(name: str, hint: str = "Think again.") -> Mistake:
    return Mistake("double", name, "x", "y", hint)


def signatures(*entries: tuple[Mistake, dict[str, str]]) -> Signatures:
    """Known mistakes, and what each failing test says of them."""
    return Signatures(
        tuple((known, frozenset(said)) for known, said in entries),
        {
            (known.task, known.name): {test: digest(text) for test, text in said.items()}
            for known, said in entries
        },
    )


def says(sentence: str, *tests: str) -> dict[str, str]:
    return dict.fromkeys(tests or TESTS, sentence)


class TestMatching:
    def test_the_same_tests_fail_and_the_sentences_tell_the_mistakes_apart(self) -> None:
        known = signatures(
            (mistake("squared"), says("Got 9, expected 6.")),
            (mistake("tripled"), says("Got 12, expected 6.")),
        )

        found = diagnose("double", says("Got 12, expected 6."), known)

        assert found is not None
        assert found.name == "tripled"

    def test_drawn_numbers_differ_and_the_words_still_tell(self) -> None:
        known = signatures(
            (mistake("no bias"), says("linear: wrong value. Got 0.25, expected -1.5e-03.")),
            (mistake("flat"), says("linear: wrong shape. Got (2,), expected (2, 1).")),
        )

        found = diagnose("double", says("linear: wrong value. Got 7, expected 0.125."), known)

        assert found is not None
        assert found.name == "no bias"

    def test_of_an_error_its_kind_counts_not_its_line_or_its_words(self) -> None:
        raised = "double raised TypeError: no + for str, {} (line {} of tiny.py: `{}`)."
        known = signatures(
            (mistake("a text"), says(raised.format("really", 7, "return x + '2'"))),
            (mistake("squared"), says("double: wrong value. Got 9, expected 6.")),
        )

        found = diagnose("double", says(raised.format("sorry", 30, "y = x + two")), known)

        assert found is not None
        assert found.name == "a text"

    def test_one_test_more_or_less_of_five_is_the_same_mistake(self) -> None:
        known = signatures((mistake("squared"), says("Got 9.", *TESTS)))

        found = diagnose("double", says("Got 9.", *TESTS[:4]), known)

        assert found is not None
        assert found.name == "squared"

    def test_two_tests_less_of_five_are_another_one(self) -> None:
        known = signatures((mistake("squared"), says("Got 9.", *TESTS)))

        assert diagnose("double", says("Got 9.", *TESTS[:3]), known) is None

    def test_the_same_tests_with_other_words_are_another_mistake(self) -> None:
        known = signatures((mistake("squared"), says("double: wrong value. Got 9, expected 6.")))

        assert diagnose("double", says("double: wrong dtype. Got float64, expected int."), known) is None

    def test_a_mistake_of_another_task_is_not_looked_at(self) -> None:
        known = signatures((mistake("squared"), says("Got 9.")))

        assert diagnose("halve", says("Got 9."), known) is None

    def test_nothing_failed_so_nothing_is_named(self) -> None:
        assert diagnose("double", {}, signatures((mistake("squared"), says("Got 9.")))) is None

    def test_without_kept_sentences_the_tests_alone_decide(self) -> None:
        known = Signatures(((mistake("squared"), frozenset(TESTS)),))

        found = diagnose("double", says("whatever it says"), known)

        assert found is not None
        assert found.name == "squared"

    @pytest.mark.parametrize("kind", ["import_failed", "not_started", "missing_name", "died"])
    def test_no_answer_is_no_mistake(self, kind: str) -> None:
        known = signatures((mistake("squared"), says("Got 9.")))
        results = [
            TestResult(test, "double", 1.0, False, "failed", "Got 9.", "", 0.0, kind=kind) for test in TESTS
        ]

        assert diagnosis("double", results, known) is None


class TestTies:
    def test_a_tie_names_all(self) -> None:
        known = signatures((mistake("squared"), says("Got 9.")), (mistake("added three"), says("Got 9.")))

        found = diagnose("double", says("Got 9."), known)

        assert found is not None
        assert found.name == "one of: squared; added three"

    def test_a_hint_on_which_all_agree_is_given_once(self) -> None:
        known = signatures(*[(mistake(name), says("Got 9.")) for name in ("one", "two", "three")])

        found = diagnose("double", says("Got 9."), known)

        assert found is not None
        assert found.hint == "Think again."

    def test_two_hints_are_both_given(self) -> None:
        known = signatures(
            (mistake("one", "Look left."), says("Got 9.")), (mistake("two", "Look right."), says("Got 9."))
        )

        found = diagnose("double", says("Got 9."), known)

        assert found is not None
        assert found.hint == "One of two things. Look left. Or: Look right."

    def test_three_hints_are_none(self) -> None:
        known = signatures(*[(mistake(name, f"Look {name}."), says("Got 9.")) for name in ("a", "b", "c")])

        found = diagnose("double", says("Got 9."), known)

        assert found is not None
        assert found.hint == ""


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    said = {("double", "squared"): {"test_a": digest("Got 9."), "test_b[é]": digest("Got nan.")}}

    written = json.loads(write_said(said))

    assert written == [["double", "squared", said["double", "squared"]]]


@pytest.fixture(scope="module")
def tallies() -> dict[str, Tally]:
    return {topic.id: tally(read_signatures(topic)) for topic in COURSE.topics()}


class TestShippedMistakes:
    """Every known mistake of the course, diagnosed from its own signature: cheap, since no suite is run."""

    def test_nine_in_ten_are_named_where_they_stand_alone(self, tallies: dict[str, Tally]) -> None:
        named = sum(len(found.named) for found in tallies.values())
        tied = sum(
            len({mistake for group in found.tied for mistake in group.mistakes}) for found in tallies.values()
        )

        assert named / (named + tied) >= 0.9

    def test_none_is_named_wrongly(self, tallies: dict[str, Tally]) -> None:
        assert {topic: found.wrong for topic, found in tallies.items() if found.wrong} == {}
