"""Diagnose: which known mistake fits the tests that failed?

The signature of a mistake is the set of its task's tests that it fails: computed by `autograder verify`, kept in
signatures.json beside the suite, never typed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from autograder.replacements import Mistake
from autograder.topic import Topic

#: a set of failing tests fits a signature if they share this part of what either holds
_FITS = 0.8


@dataclass(frozen=True)
class Signatures:
    """The failing tests of every known mistake of a topic."""

    entries: tuple[tuple[Mistake, frozenset[str]], ...] = ()


def read_signatures(topic: Topic) -> Signatures:
    """Read the computed signatures of a topic; none where they have not been computed yet."""
    try:
        kept = json.loads((topic.folder / "signatures.json").read_text(encoding="utf-8"))["signatures"]
        failing = {(entry["task"], entry["name"]): frozenset(entry["fails"]) for entry in kept}
    except (OSError, ValueError, TypeError, KeyError):
        return Signatures()
    return Signatures(
        tuple(
            (mistake, failing[mistake.task, mistake.name])
            for mistake in topic.mistakes
            if (mistake.task, mistake.name) in failing
        )
    )


def diagnose(task: str, failed: frozenset[str], signatures: Signatures) -> Mistake | None:
    """Return the known mistake that fits the failing tests of a task best, or None if none does.

    The fit is the Jaccard index of the two sets; the first of several equal ones is taken.
    """
    best, best_fit = None, 0.0
    for mistake, signature in signatures.entries:
        if mistake.task != task or not failed:
            continue
        fit = len(failed & signature) / len(failed | signature)
        if fit > best_fit:
            best, best_fit = mistake, fit
    return best if best_fit >= _FITS else None
