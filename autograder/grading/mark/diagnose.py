"""Diagnose: which known mistake did a student make? A mistake is named only if that is proven.

Many mistakes fail the same tests with the same messages, and an unknown mistake may fail the tests of a known one. So
there are two steps. First, the signatures in known.json (the tests that each mistake fails, and a digest of their
messages) give the suspects: a few mistakes, or pairs of them. Then each suspect is made in the solution and examined
under the class's seed. It is proven if it fails the same tests with the same messages, if the numbers are the same too
in nearly all of them, and if these numbers say enough: "Got -1.127, expected 0.2278" comes from one mistake, "no error"
from many.

A false hint is worse than none. If nothing is proven, no mistake is named, and the student reads what the failing test
is about.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from autograder.known import Known, Signature, gist, numbers_of, words_of
from autograder.replacements import Mistake
from autograder.report import TestResult

SINGLES, PAIRS = 8, 4  #: the most suspects of a task that are examined
#: the share of the failing tests whose messages must agree in every number: two ways to write a mistake may round
#: differently
_ALIKE = 0.75
#: how much evidence an equal message is, by the digits in it: three or more, some, none; and the sum that is needed
_MANY_DIGITS, _DIGITS, _WORDS, _ENOUGH = 2.0, 1.0, 0.5, 1.5
#: kinds of faults without an answer, so that no mistake in it can be named; the fault itself says everything
_NO_ANSWER = {"import_failed", "not_started", "missing_name", "died"}
_GOT = re.compile(r"Got (.*?), expected", re.DOTALL)


@dataclass(frozen=True)
class Diagnosis:
    """The known mistakes that are proven: one; several that cannot be told apart; or two that were both made."""

    mistakes: tuple[Mistake, ...]
    are_both_made: bool = False

    @property
    def name(self) -> str:
        """What the teacher reads."""
        names = [mistake.name for mistake in self.mistakes]
        if self.are_both_made:
            return f"both of: {'; '.join(names)}"
        return names[0] if len(names) == 1 else f"one of: {'; '.join(names)}"

    @property
    def hint(self) -> str:
        """What the student reads: the hint that all of them share, or two hints; else nothing."""
        hints = list(dict.fromkeys(mistake.hint for mistake in self.mistakes))
        if len(hints) == 2 and self.are_both_made:
            return f"Two things. {hints[0]} And: {hints[1]}"
        if len(hints) == 2:
            return f"One of two things. {hints[0]} Or: {hints[1]}"
        return hints[0] if len(hints) == 1 else ""


Group = tuple[Mistake, ...]  #: mistakes that are made at once: one, or two


def failing(results: Iterable[TestResult]) -> dict[str, str]:
    """Return the failing tests and their sentences; none if the student has written nothing that could be a mistake."""
    failed = [result for result in results if result.outcome == "failed"]
    if {result.kind for result in failed} <= _NO_ANSWER:
        return {}
    return {result.test: result.sentence for result in failed}


def suspects(task: str, failed: Mapping[str, str], known: Known) -> list[Group]:
    """Return the suspects for the failing tests of a task, the likeliest first: single mistakes, else pairs.

    Args:
        task: the task that the tests belong to
        failed: each failing test, and its sentence
        known: what known.json says of the topic
    """
    heard = {test: words_of(sentence) for test, sentence in failed.items()}
    own = [entry for entry in known.entries if entry.mistake.task == task and entry.signs]
    singles = [entry for entry in own if _explains(heard, (entry,), known.slow)]
    if singles or not heard:
        singles.sort(key=lambda entry: -len(entry.always & heard.keys()))
        return [(entry.mistake,) for entry in singles[:SINGLES]]
    parts = [entry for entry in own if _is_part(heard, entry, known.slow)]
    pairs = [pair for pair in itertools.combinations(parts, 2) if _explains(heard, pair, known.slow)]
    pairs.sort(key=lambda pair: len(pair[0].always & pair[1].always))
    return [(one.mistake, other.mistake) for one, other in pairs[:PAIRS]]


def proves(seen: Mapping[str, str], made: Mapping[str, str], slow: frozenset[str] = frozenset()) -> bool:
    """Whether a mistake that was made in the solution is the student's mistake.

    Args:
        seen: the student's failing tests and their sentences
        made: those of the mistake, under the same seed
        slow: tests that are left out, because the mistake was not examined with them
    """
    seen = {test: gist(sentence) for test, sentence in seen.items() if test not in slow}
    made = {test: gist(sentence) for test, sentence in made.items() if test not in slow}
    if not seen or seen.keys() != made.keys():
        return False
    if any(words_of(seen[test]) != words_of(made[test]) for test in seen):
        return False
    alike = [seen[test] for test in seen if seen[test] == made[test]]
    return len(alike) >= _ALIKE * len(seen) and sum(map(evidence, set(alike))) >= _ENOUGH


def evidence(said: str) -> float:
    """Return how much it proves that a test says exactly the same about two modules."""
    got = _GOT.search(said)
    digits = sum(len(re.sub(r"e.*|\D", "", number).strip("0")) for number in numbers_of(got[1])) if got else 0
    return _MANY_DIGITS if digits >= 3 else _DIGITS if digits else _WORDS


def made_in(solution: str, group: Group) -> str:
    """Return the solution with these mistakes in it, or "" if they cannot be made together."""
    for mistake in group:
        if solution.count(mistake.find) != 1:
            return ""
        solution = solution.replace(mistake.find, mistake.replace)
    return solution


def _explains(heard: Mapping[str, str], entries: tuple[Signature, ...], slow: frozenset[str]) -> bool:
    """Whether some mistakes together fail exactly the tests that failed, and each of several has a test of its own."""
    ever = {test for entry in entries for test in entry.signs}
    if not heard.keys() - slow <= ever:
        return False
    if len(entries) == 1:
        return _is_part(heard, entries[0], slow)
    one, other = (entry.signs.keys() for entry in entries)
    return bool((one - other) & heard.keys() and (other - one) & heard.keys()) and all(
        _says(heard[test], [entry for entry in entries if test in entry.signs], test) for test in heard.keys() & ever
    )


def _is_part(heard: Mapping[str, str], entry: Signature, slow: frozenset[str]) -> bool:
    """Whether all tests failed that a mistake always fails, most of them with the messages known for it."""
    always = entry.always - slow
    if not always <= heard.keys() or not entry.signs.keys() & heard.keys():
        return False
    return sum(_says(heard[test], [entry], test) for test in always) >= _ALIKE * len(always)


def _says(words: str, entries: Iterable[Signature], test: str) -> bool:
    """Whether the message of a test is one that is known for one of some mistakes, or no message is known for them."""
    return any(entry.signs[test].words in ("", words) for entry in entries)
