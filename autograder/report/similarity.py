"""Similarity: whose modules resemble each other more than the stub explains. For a person to look at, no verdict.

copydetect (winnowing, as MOSS has it) turns a module into fingerprints of its tokens, in which names and comments
do not count. What the stub holds is taken out first. Its own option for that, and its choice of fingerprints by hash,
depend on the order of hashes, which Python draws anew for each process; here every fingerprint is kept, so the same
modules always give the same numbers.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

ALIKE = 0.8  #: the share of a module's own code that has to stand in the other one too
OWN = 150  #: tokens of own code below which two short answers say nothing
SHOWN = 12  #: pairs that are shown side by side, each with a student who was in none before
_LENGTH = 25  #: of a fingerprint, in letters of the filtered code: copydetect's noise threshold
_LARGEST = 80_000  #: letters of a module that are compared: twice a long answer; some texts take a lexer quadratic time


@dataclass(frozen=True)
class Part:
    """A piece of a module, as it stands there."""

    text: str
    is_shared: bool


@dataclass(frozen=True)
class Pair:
    """Two students whose modules are alike."""

    one: str
    other: str
    share_one: float  #: of the fingerprints of the first one's own code, those that the other one has too
    share_other: float
    one_parts: tuple[Part, ...] = ()  #: the whole module; empty for a pair that is not shown side by side
    other_parts: tuple[Part, ...] = ()

    @property
    def share(self) -> float:
        return min(self.share_one, self.share_other)


@dataclass(frozen=True)
class Comparison:
    """What a comparison of all modules found."""

    pairs: tuple[Pair, ...] = ()
    compared: int = 0  #: modules with enough code of their own
    median: float | None = None  #: the median share over all pairs: what is usual in this class
    why_not: str = ""  #: why nothing was compared

    @property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        """Students that are connected by pairs, the largest group first."""
        groups = _Groups()
        for pair in self.pairs:
            groups.joins(pair.one, pair.other)
        return tuple(
            sorted((tuple(sorted(group)) for group in groups.sets), key=lambda group: (-len(group), group))
        )


class _Groups:
    """Students joined pair by pair into groups."""

    def __init__(self) -> None:
        self.sets: list[set[str]] = []
        self.joined = 0  #: how often two groups became one

    def joins(self, one: str, other: str) -> bool:
        """Join two students; False where they already belong together."""
        mine = next((group for group in self.sets if one in group), {one})
        theirs = next((group for group in self.sets if other in group), {other})
        if mine is theirs:
            return False
        self.sets = [group for group in self.sets if group is not mine and group is not theirs]
        self.sets.append(mine | theirs)
        self.joined += 1
        return True


def compare(modules: Mapping[str, str], stub: str) -> Comparison:
    """Compare all modules with each other.

    Args:
        modules: each student's module
        stub: what all of them were given
    """
    try:
        from copydetect import CodeFingerprint, compare_files
        from copydetect.utils import get_token_coverage
    except ImportError:
        return Comparison(why_not="copydetect is not installed; pip install 'autograder[teacher]'")

    def fingerprint(text: str) -> Any:
        return CodeFingerprint("module.py", _LENGTH, 1, language="python", fp=io.StringIO(text[:_LARGEST]))

    given = fingerprint(stub).hashes
    prints: dict[str, Any] = {}
    for student, text in sorted(modules.items()):
        found = fingerprint(text)
        found.hashes -= given
        found.hash_idx = {key: places for key, places in found.hash_idx.items() if key not in given}
        found.token_coverage = get_token_coverage(found.hash_idx, _LENGTH, len(found.filtered_code))
        if found.token_coverage >= OWN:
            prints[student] = found
    shares, alike = [], []
    for one, other in combinations(prints, 2):
        mine, theirs = prints[one].hashes, prints[other].hashes
        shared = len(mine & theirs)
        shares.append(shared / max(len(mine), len(theirs)))
        if shares[-1] >= ALIKE:
            alike.append(Pair(one, other, shared / len(mine), shared / len(theirs)))
    alike.sort(key=lambda pair: (-pair.share, pair.one, pair.other))
    pairs, seen = [], _Groups()
    for pair in alike:
        if seen.joins(pair.one, pair.other) and seen.joined <= SHOWN:
            one, other = prints[pair.one], prints[pair.other]
            _, _, slices = compare_files(one, other)  # the slow part: where in the text they agree
            pair = replace(
                pair, one_parts=_parts(one.raw_code, slices[0]), other_parts=_parts(other.raw_code, slices[1])
            )
        pairs.append(pair)
    shares.sort()
    return Comparison(tuple(pairs), len(prints), shares[len(shares) // 2] if shares else None)


def _parts(text: str, slices: Any) -> tuple[Part, ...]:
    """Cut a module where what it shares begins and ends."""
    parts, at = [], 0
    for start, end in sorted((int(start), int(end)) for start, end in zip(*slices, strict=True)):
        start, end = max(start, at), max(end, at)
        if start > at:
            parts.append(Part(text[at:start], False))
        if end > start:
            parts.append(Part(text[start:end], True))
        at = max(at, end)
    if at < len(text):
        parts.append(Part(text[at:], False))
    return tuple(parts)
