"""Transcripts: what was said across the wall in a test, so that the same answers need not be judged twice.

A test learns of the student's code only what the worker answers. Where every answer is, byte for byte, one that led to
a verdict before, so do they all again: the student's code runs as ever, but its answers are compared instead of
decoded, and the test's own code need not run. Most of a class answers most tests in one of a few ways.

A `Step` is what this side says next, after certain answers: a frame, or at the end a verdict. A `Dialogue` goes along
the steps of one test. An answer that is not known there ends that: the test itself runs, is given what was said so far,
and goes on from there; what it says then is a new way through the steps.

Trusted side, and of use to nobody beyond the wall: an answer is known by its digest, and whoever gives an answer that
passed has given a right one. What is not sure to come out the same is not kept: the end of a worker, a fault of ours, a
test whose words differ from those it said after the same answers. A verdict is taken from here only when two runs of
the test have come to it by the same way.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Literal

from autograder.sandbox.faults import Ended
from autograder.sandbox.wire import Frame

#: how an answer of a worker's begins: an array of five, of which the first is a nonce of 8 bytes (see worker.py)
_START = b"\x95\xc4\x08"
_WORDS = len(_START) + 8
_CALLBACK = b"\xa8callback"
#: runs of a test that have to come to a verdict by the same way before it is believed
_RUNS = 2
#: bytes of all that is kept, and of one test's; what a step costs beside its words
_MOST, _MOST_A_TEST, _A_STEP = 24 << 20, 1 << 20, 600


#: a request of this side's, its answer to a callback, or a look at what the import of the student's module left
Kind = Literal["request", "answer", "look"]
#: what such a look finds: whether there is a function or class of that name
THERE, NOT_THERE = b"there", b"not there"


@dataclass(frozen=True, slots=True)
class Said:
    """What this side says, or for a look the name that it looks for."""

    kind: Kind
    words: bytes
    body: bytes = b""
    freed: tuple[int, ...] = ()  #: objects of this test that the worker may forget from here on


@dataclass(slots=True)
class Step:
    """Where a dialogue stands after certain answers."""

    said: Said | None = None  #: what comes next
    verdict: Any = None  #: or how it ended
    runs: int = 0  #: of the test itself, that ended here
    after: dict[bytes, Step] = field(default_factory=dict)  #: digest of the answer to it -> where that leads


class Transcripts:
    """What was said in the tests of one suite, under one seed."""

    def __init__(self) -> None:
        self._first: dict[tuple[str, Hashable], Step] = {}
        self._unsteady: set[tuple[str, Hashable]] = set()
        self._left = _MOST

    def dialogue(self, test: tuple[str, Hashable]) -> Dialogue | None:
        """Return a new dialogue of a test; None if it does not say the same after the same answers.

        Args:
            test: its name, and what else its verdict follows from
        """
        return None if test in self._unsteady else Dialogue(self._first.setdefault(test, Step()))

    def unsteady(self) -> list[str]:
        """Return the names of tests whose words or verdict were not the same after the same answers."""
        return sorted({name for name, _ in self._unsteady})

    def forget(self, test: tuple[str, Hashable]) -> None:
        """Keep nothing of a test any more."""
        self._unsteady.add(test)
        self._first.pop(test, None)

    def keep(self, dialogue: Dialogue, verdict: Any) -> bool:
        """Keep a dialogue that has come to its end, if there is room; say whether another way to end is known."""
        if dialogue.is_spoiled or dialogue.size > _MOST_A_TEST:
            return True
        step = dialogue.first
        for said, answer in dialogue.heard_of:
            if step.said is None and step.verdict is None:
                if self._left < 0:
                    return True
                step.said = said
                self._left -= len(said.words) + len(said.body) + _A_STEP
            elif step.said is None or not _same(step.said, said):
                return False
            if answer not in step.after:
                if self._left < 0:
                    return True
                step.after[answer] = Step()
                self._left -= _A_STEP
            step = step.after[answer]
        if step.said is not None or step.verdict not in (None, verdict):
            return False
        step.verdict = verdict
        step.runs += 1
        return True


class Dialogue:
    """One test under way: first along known steps, then, if they end, as the test itself has it."""

    def __init__(self, first: Step) -> None:
        self.first = first
        self.heard_of: list[tuple[Said, bytes]] = []  #: what was said, and the digest of the answer
        self.size = 0
        self.is_spoiled = False  #: it may not come out the same again
        self._step: Step | None = first
        self._open: list[bytes] = []  # nonces of the requests without an answer so far
        self._log: list[tuple[Said, bytes, Frame | bytes | Ended]] = []  # for the test itself to hear again
        self._replayed = 0
        self.differs = False  #: the test did not say again what it had said after the same answers

    # --- along known steps -----------------------------------------------------------------------------------------

    @property
    def known(self) -> Said | None:
        """What is to be said next, as far as that is known."""
        return self._step.said if self._step is not None else None

    @property
    def verdict(self) -> Any:
        """How the test ends after these answers; None if that is not sure."""
        step = self._step
        return step.verdict if step is not None and step.runs >= _RUNS else None

    def went(self, said: Said, nonce: bytes, answer: Frame | bytes | Ended) -> None:
        """Go one step on: `said` was sent, and this came back; or a look found this."""
        self._log.append((said, nonce, answer))
        step, self._step = self._step, None
        if said.kind == "request":
            self._open.append(nonce)
        if isinstance(answer, Ended) or step is None:
            return
        if isinstance(answer, bytes):
            self._step = step.after.get(answer)
            return
        header = bytes(answer.header)
        if self._open and header.startswith(_START + self._open[-1]):
            if not header.startswith(_CALLBACK, _WORDS):
                self._open.pop()
            self._step = step.after.get(_digest(header, answer.body))

    # --- as the test itself has it ---------------------------------------------------------------------------------

    @property
    def is_replayed(self) -> bool:
        """Whether the test has heard all that was said before it ran."""
        return self._replayed == len(self._log)

    def say_again(self, said: Said) -> bytes | None:
        """Compare what the test says with what was said for it; return the nonce of that, None if it differs."""
        known, nonce, _answer = self._log[self._replayed]
        if not _same(known, said):
            self.differs = True
            self._replayed = len(self._log)
            return None
        return nonce

    def hear_again(self) -> Any:
        """Return the answer that came. Raises: Ended, if the worker came to its end instead."""
        said, _nonce, answer = self._log[self._replayed]
        self._replayed += 1
        if isinstance(answer, Ended):
            raise answer
        self.note(said, answer)
        return answer

    def note(self, said: Said, answer: Frame | bytes) -> None:
        """Remember what the test said, and what it heard; or what a look found."""
        self.size += len(said.words) + len(said.body) + _A_STEP
        if self.is_spoiled or self.size > _MOST_A_TEST:
            return
        if isinstance(answer, bytes):
            self.heard_of.append((said, answer))
            return
        header = bytes(answer.header)
        if not header.startswith(_START):  # its words would begin elsewhere
            self.is_spoiled = True
            return
        self.heard_of.append((said, _digest(header, answer.body)))


def said(kind: Kind, words: bytes, buffers: Sequence[memoryview], freed: Sequence[Any], since: int) -> Said:
    """Return a frame of this side's as it is kept; `since` is the number of the test's first object."""
    own = tuple(number for number in freed if type(number) is int and abs(number) > since)
    return Said(kind, words, b"".join(buffers), own)


def _same(one: Said, other: Said) -> bool:
    return one.words == other.words and one.kind == other.kind and one.body == other.body


def _digest(header: bytes, body: memoryview) -> bytes:
    """Return what an answer is known by: who found two answers of one digest could have a wrong one pass."""
    found = sha256(b"%d:" % len(header) + header[_WORDS:])
    found.update(body)
    return found.digest()
