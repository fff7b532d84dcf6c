"""Similarity: which modules resemble each other more than the stub explains. A person reads it; it is no verdict.

copydetect (winnowing, as in MOSS) turns a module into fingerprints of its tokens. Names and comments do not count, and
the parts of the stub are removed first. copydetect's own hashes differ from process to process. The hashes used here do
not, so the same modules always give the same numbers.

Time and memory are bounded for a thousand modules of any kind. Only the first letters of a module are compared, a
module that takes the lexer too long is left out, and if there are very many fingerprints, the same share is taken from
everybody.

This file is long because what is counted and what bounds it belong to one measure.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from time import process_time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autograder.limits import CLASS_COMPARED_SECONDS, COMPARED_LETTERS, COMPARED_SECONDS, FINGERPRINTS
from autograder.timed import OutOfTime, cpu_seconds

ALIKE = 0.8  #: the share of a module's own code that must be in the other module too
OWN = 150  #: tokens of own code; with fewer, two answers are too short to compare
SHOWN = 12  #: pairs that are shown side by side; each has a student who was in no pair before
LISTED = 2_000  #: pairs that are listed; beyond these only pairs that join somebody to a group
_LENGTH = 25  #: of a fingerprint, in letters of the filtered code: copydetect's noise threshold
_BLOCK = 4_096  #: fingerprints that are counted at once
_FACTOR = np.uint64(0x9E3779B97F4A7C15)  #: of the hash: odd, with bits in no order

Hashes = NDArray[np.uint64]


@dataclass(frozen=True)
class Passage:
    """A piece of a module, unchanged."""

    text: str
    is_shared: bool


@dataclass(frozen=True)
class Pair:
    """Two students whose modules are alike."""

    one: str
    other: str
    share_one: float  #: the share of the fingerprints of the first one's own code that the other one has too
    share_other: float
    one_parts: tuple[Passage, ...] = ()  #: the whole module; empty for a pair that is not shown side by side
    other_parts: tuple[Passage, ...] = ()

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
    alike: int = 0  #: pairs that are alike, of which `pairs` lists some
    left_out: tuple[str, ...] = ()  #: students whose module takes too long to compare

    @property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        """Students that are connected by pairs, the largest group first."""
        groups = _Groups()
        for pair in self.pairs:
            groups.joins(pair.one, pair.other)
        return tuple(sorted((tuple(sorted(group)) for group in groups.sets), key=lambda group: (-len(group), group)))


class _Groups:
    """Students joined pair by pair into groups."""

    def __init__(self) -> None:
        self._above: dict[str, str] = {}
        self.joined = 0  #: how often two groups became one

    def joins(self, one: str, other: str) -> bool:
        """Join two students; False where they already belong together."""
        mine, theirs = self._top(one), self._top(other)
        if mine == theirs:
            return False
        self._above[theirs] = mine
        self.joined += 1
        return True

    @property
    def sets(self) -> list[set[str]]:
        found: dict[str, set[str]] = {}
        for student in list(self._above):
            found.setdefault(self._top(student), set()).add(student)
        return list(found.values())

    def _top(self, student: str) -> str:
        """The student who represents a group; the path to that student is shortened."""
        way = []
        while (above := self._above.setdefault(student, student)) != student:
            way.append(student)
            student = above
        self._above.update(dict.fromkeys(way, student))
        return student


def compare(modules: Mapping[str, str], stub: str) -> Comparison:
    """Compare all modules with each other.

    Args:
        modules: each student's module
        stub: what all of them were given
    """
    try:
        import copydetect.utils  # noqa: F401
    except ImportError:
        return Comparison(why_not="copydetect is not installed; pip install 'autograder[teacher]'")
    begin = process_time()
    given = _hashes(_filtered(stub))
    prints: dict[str, Hashes] = {}
    left_out = []
    for student, text in sorted(modules.items()):
        left = CLASS_COMPARED_SECONDS - (process_time() - begin)
        try:
            with cpu_seconds(min(COMPARED_SECONDS, max(left, 0.001))):
                found = _hashes(_filtered(text))
        except OutOfTime:
            left_out.append(student)
            continue
        own = ~np.isin(found, given)
        if _coverage(own) >= OWN:
            prints[student] = np.unique(found[own])
    prints = _sampled(prints)
    students = list(prints)
    sizes = np.array([len(found) for found in prints.values()])
    shared = _shared(list(prints.values()))
    ones, others = np.triu_indices(len(students), 1)
    shares = shared[ones, others] / np.maximum(sizes[ones], sizes[others]) if len(students) > 1 else np.zeros(0)
    close = np.flatnonzero(shares >= ALIKE)
    close = close[np.argsort(-shares[close], kind="stable")]  # pairs come in the order of the names
    pairs: list[Pair] = []
    groups = _Groups()
    for one, other in zip(ones[close], others[close], strict=True):
        is_new = groups.joins(students[one], students[other])
        if not is_new and len(pairs) >= LISTED:
            continue
        parts = (
            _side_by_side(modules, students[one], students[other]) if is_new and groups.joined <= SHOWN else ((), ())
        )
        both = int(shared[one, other])
        pairs.append(Pair(students[one], students[other], both / int(sizes[one]), both / int(sizes[other]), *parts))
    return Comparison(
        tuple(pairs),
        len(students),
        float(np.sort(shares)[len(shares) // 2]) if len(shares) else None,
        alike=len(close),
        left_out=tuple(left_out),
    )


def _filtered(text: str) -> str:
    """The text as copydetect compares it: its tokens, each name one letter."""
    from copydetect.utils import filter_code

    return str(filter_code(text[:COMPARED_LETTERS], "module.py", "python")[0])


def _hashes(filtered: str) -> Hashes:
    """A hash of each piece of _LENGTH letters; shape (letters - _LENGTH + 1,)."""
    letters = np.frombuffer(filtered.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    count = max(len(letters) - _LENGTH + 1, 0)
    hashes = np.zeros(count, np.uint64)
    for offset in range(_LENGTH):
        hashes = (hashes + letters[offset : offset + count] + np.uint64(1)) * _FACTOR
        hashes ^= hashes >> np.uint64(29)
    return hashes


def _coverage(own: NDArray[np.bool_]) -> int:
    """How many letters of the filtered code are in a piece of their own."""
    steps = np.zeros(len(own) + _LENGTH, int)
    steps[:-_LENGTH] += own
    steps[_LENGTH:] -= own
    return int(np.count_nonzero(np.cumsum(steps)))


def _sampled(prints: Mapping[str, Hashes]) -> dict[str, Hashes]:
    """If there are too many fingerprints, keep those whose hash is a multiple of one number, the same for everybody."""
    every = sum(map(len, prints.values())) // FINGERPRINTS + 1
    kept = {student: found[found % np.uint64(every) == 0] for student, found in prints.items()}
    return {student: found for student, found in kept.items() if len(found)}


def _shared(prints: Sequence[Hashes]) -> NDArray[np.int64]:
    """How many fingerprints each two of n modules share; shape (n, n)."""
    total = np.zeros((len(prints), len(prints)), np.int64)
    if not prints:
        return total
    hashes = np.concatenate(prints)
    owners = np.repeat(np.arange(len(prints)), [len(found) for found in prints])
    order = np.argsort(hashes, kind="stable")
    hashes, owners = hashes[order], owners[order]
    columns = np.cumsum(np.concatenate(([0], hashes[1:] != hashes[:-1])))
    twice = np.bincount(columns)[columns] > 1  # a fingerprint of only one module is shared with nobody
    owners = owners[twice]
    columns = np.unique(columns[twice], return_inverse=True)[1]
    edges = np.searchsorted(columns, np.arange(0, len(columns) + _BLOCK, _BLOCK))
    for block, (start, end) in enumerate(pairwise(edges)):
        if start == end:
            break
        table = np.zeros((len(prints), _BLOCK), np.float32)
        table[owners[start:end], columns[start:end] - block * _BLOCK] = 1.0
        total += (table @ table.T).astype(np.int64)
    return total


def _side_by_side(modules: Mapping[str, str], one: str, other: str) -> tuple[tuple[Passage, ...], tuple[Passage, ...]]:
    """Two modules, cut at the ends of their common parts; nothing if that takes too long."""
    from copydetect import CodeFingerprint, compare_files

    texts = [modules[student][:COMPARED_LETTERS] for student in (one, other)]
    try:
        with cpu_seconds(5 * COMPARED_SECONDS):
            mine, theirs = (
                CodeFingerprint("module.py", _LENGTH, 1, language="python", fp=io.StringIO(text)) for text in texts
            )
            _, _, slices = compare_files(mine, theirs)
    except OutOfTime:
        return (), ()
    return _parts(texts[0], slices[0]), _parts(texts[1], slices[1])


def _parts(text: str, slices: Any) -> tuple[Passage, ...]:
    """Cut a module at the ends of its common parts."""
    parts, at = [], 0
    for start, end in sorted((int(start), int(end)) for start, end in zip(*slices, strict=True)):
        start, end = max(start, at), max(end, at)
        if start > at:
            parts.append(Passage(text[at:start], False))
        if end > start:
            parts.append(Passage(text[start:end], True))
        at = max(at, end)
    if at < len(text):
        parts.append(Passage(text[at:], False))
    return tuple(parts)
