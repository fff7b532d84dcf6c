"""Diagnose: which known mistake fits the tests that failed, and what they said?

The signature of a mistake is the set of its task's tests that it fails, and in short what each of them says of it:
computed by `autograder verify`, kept in signatures.json and faults.json beside the suite, never typed. Sentences tell
mistakes apart that fail the same tests: "Got 12, expected 6" stands for another slip than "Got nan".
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from autograder.replacements import Mistake
from autograder.report import TestResult
from autograder.topic import Topic

_FITS = 0.8  #: a set of failing tests fits a signature if they share this part of what either holds
_WORDS = 0.4  #: this part of what those say has to be the same, numbers aside, where that is known
_APART = 0.02  #: mistakes that fit this nearly alike cannot be told apart
#: kinds of faults that say all there is to say: there is no answer whose mistake could be named
_NO_ANSWER = {"import_failed", "not_started", "missing_name", "died"}
_NUMBER = re.compile(r"(?<![A-Za-z_])[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?|\b(?:inf|nan)\b")
_RAISED = re.compile(r"( raised \w+): .*", re.DOTALL)  #: what an error says differs from release to release
_PLACE = re.compile(
    r" \(line \d+ of \w+\.py(?:: `[^`]*`)?\)"
)  #: where an error was raised, as faults.py says it
_GOT = re.compile(rf"Got ({_NUMBER.pattern}), expected ({_NUMBER.pattern})")
_PART = 6  #: letters of each of the three digests of a sentence


@dataclass(frozen=True)
class Signatures:
    """The failing tests of every known mistake of a topic."""

    entries: tuple[tuple[Mistake, frozenset[str]], ...] = ()
    #: (task, mistake) -> test -> what it says of that mistake, as `digest` has it; empty where it was not computed
    said: Mapping[tuple[str, str], Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Diagnosis:
    """The known mistake that fits; several where they cannot be told apart."""

    mistakes: tuple[Mistake, ...]

    @property
    def name(self) -> str:
        """What the teacher reads."""
        names = [mistake.name for mistake in self.mistakes]
        return names[0] if len(names) == 1 else f"one of: {'; '.join(names)}"

    @property
    def hint(self) -> str:
        """What the student reads: the hint on which all agree, or both of two; else nothing."""
        hints = list(dict.fromkeys(mistake.hint for mistake in self.mistakes))
        if len(hints) == 2:
            return f"One of two things. {hints[0]} Or: {hints[1]}"
        return hints[0] if len(hints) == 1 else ""


def read_signatures(topic: Topic) -> Signatures:
    """Read the computed signatures of a topic; none where they have not been computed yet."""
    try:
        kept = json.loads((topic.folder / "signatures.json").read_text(encoding="utf-8"))["signatures"]
        failing = {(entry["task"], entry["name"]): frozenset(entry["fails"]) for entry in kept}
    except (OSError, ValueError, TypeError, KeyError):
        return Signatures()
    entries = tuple(
        (mistake, failing[mistake.task, mistake.name])
        for mistake in topic.mistakes
        if (mistake.task, mistake.name) in failing
    )
    return Signatures(entries, _read_said(topic))


def digest(sentence: str) -> str:
    """Shorten what a test says to three digests: of its words, of how much is too much, and of the whole.

    A test with fixed inputs says the same to everybody who makes a mistake. One that draws them says other numbers in
    the same words, and often in the same proportion: half, twice, the other sign. Of an error only its
    kind counts: its line is the student's own, and NumPy's words for it change.
    """
    sentence = _RAISED.sub(r"\1", _PLACE.sub("", sentence))
    words = _NUMBER.sub("#", sentence)
    parts = (words, f"{words} {_proportion(sentence)}", sentence)
    return "".join(
        hashlib.sha256(part.encode("utf-8", "surrogateescape")).hexdigest()[:_PART] for part in parts
    )


def _proportion(sentence: str) -> str:
    """Return what was got in units of what was expected, roughly; or that there is no such thing."""
    found = _GOT.search(sentence)
    got, expected = (float(found[1]), float(found[2])) if found else (math.nan, math.nan)
    if not (math.isfinite(got) and math.isfinite(expected)) or expected == 0:
        return "none"
    return f"{got / expected:.1e}"


def write_said(said: Mapping[tuple[str, str], Mapping[str, str]]) -> bytes:
    """Return faults.json: a line for each mistake, its tests' sentences as `digest` has them."""
    lines = [
        f" {json.dumps([task, name, dict(sorted(tests.items()))], ensure_ascii=False)}"
        for (task, name), tests in said.items()
    ]
    return ("[\n" + ",\n".join(lines) + "\n]\n").encode()


def diagnosis(task: str, results: Iterable[TestResult], signatures: Signatures) -> Diagnosis | None:
    """Diagnose one task of a report; None also where nothing was begun that could be a mistake."""
    failed = [result for result in results if result.outcome == "failed"]
    if {result.kind for result in failed} <= _NO_ANSWER:
        return None
    return diagnose(task, {result.test: result.sentence for result in failed}, signatures)


def diagnose(task: str, failed: Mapping[str, str], signatures: Signatures) -> Diagnosis | None:
    """Return the known mistake that fits the failing tests of a task best, or None if none does.

    Args:
        task: the task that they belong to
        failed: each failing test, and the sentence that it ended with
        signatures: of the topic

    Mistakes that share at least 0.8 of all failing tests (the Jaccard index) are compared by what the tests say: a
    failing test counts 1 where it is shared, 1 more for each of its digests that are the same. Those within _APART of
    the best cannot be told apart.
    """
    return match(task, {test: digest(sentence) for test, sentence in failed.items()}, signatures)


def match(task: str, heard: Mapping[str, str], signatures: Signatures) -> Diagnosis | None:
    """Diagnose from digests: what `diagnose` does once it has shortened the sentences."""
    fits = [
        (fit, mistake)
        for mistake, signature in signatures.entries
        if mistake.task == task
        and (fit := _fit(heard, signature, signatures.said.get((task, mistake.name), {}))) > 0
    ]
    best = max((fit for fit, _ in fits), default=0.0)
    return Diagnosis(tuple(mistake for fit, mistake in fits if fit >= best - _APART)) if fits else None


@dataclass(frozen=True)
class Tally:
    """How a topic's known mistakes are named where each stands alone."""

    named: tuple[Mistake, ...]  #: rightly, and no other
    tied: tuple[Diagnosis, ...]  #: each group of mistakes that cannot be told apart, once
    wrong: tuple[Mistake, ...]  #: another one is named, or none

    @property
    def share(self) -> float:
        """The share that is named rightly."""
        tied = {mistake for group in self.tied for mistake in group.mistakes}
        total = len(self.named) + len(self.wrong) + len(tied)
        return len(self.named) / total if total else 1.0


def tally(signatures: Signatures) -> Tally:
    """Diagnose every known mistake from its own signature: which are named, and which look alike."""
    named, wrong, tied = [], [], {}
    for mistake, fails in signatures.entries:
        said = signatures.said.get((mistake.task, mistake.name), {})
        found = match(mistake.task, {test: said.get(test, "") for test in fails}, signatures)
        if found and found.mistakes == (mistake,):
            named.append(mistake)
        elif found and mistake in found.mistakes:
            tied[found.mistakes] = found
        else:
            wrong.append(mistake)
    return Tally(tuple(named), tuple(tied.values()), tuple(wrong))


def _fit(heard: Mapping[str, str], signature: frozenset[str], said: Mapping[str, str]) -> float:
    """Say how well the failing tests fit a signature: 0 if they do not, 1 if all is the same."""
    either = len(heard.keys() | signature)
    shared = heard.keys() & signature
    if not either or len(shared) / either < _FITS:
        return 0.0
    known = [test for test in shared if test in said]
    alike = [
        sum(heard[test][: _PART * parts] == said[test][: _PART * parts] for test in known)
        for parts in (1, 2, 3)
    ]
    if known and alike[0] / len(known) < _WORDS:
        return 0.0
    return (len(shared) + sum(alike)) / (4 * either)


def _read_said(topic: Topic) -> dict[tuple[str, str], dict[str, str]]:
    try:
        kept = json.loads((topic.folder / "faults.json").read_text(encoding="utf-8"))
        return {
            (task, name): {str(test): str(text) for test, text in tests.items()} for task, name, tests in kept
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
