"""Turns: which thread of a worker may speak to the judge now, if the student's code has several threads.

The judge asks one thing at a time. While it waits for the reply to a request, it reads calls of the test's own
functions, and answers each call before it reads on. So requests and calls nest like brackets, and only the innermost
one may send or receive. Every other thread waits for its turn.

This is the untrusted side: code that breaks this order harms only itself.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Turns:
    """The requests and calls that are open, outermost first."""

    def __init__(self) -> None:
        self.held = threading.Condition()  #: held by the thread that encodes, sends or decodes
        self._open: list[object] = []  # for a request its nonce; for a call any object that is not bytes

    def begin(self, nonce: bytes) -> None:
        """Open a request, whose code runs from now on; the caller must hold `held`."""
        self._open.append(nonce)
        self.held.notify_all()

    def end(self, turn: object) -> None:
        """Close the innermost request or call; the caller must hold `held`."""
        assert self._open[-1] is turn
        self._open.pop()
        self.held.notify_all()

    @contextmanager
    def mine(self, turn: object) -> Iterator[None]:
        """Wait until this request or call is the innermost, and let no other thread in meanwhile."""
        with self.held:
            self.held.wait_for(lambda: self._open[-1] is turn)
            yield

    @contextmanager
    def call(self, call: object) -> Iterator[bytes]:
        """Wait until a request is the innermost, and open a call in it; gives the nonce of that request."""
        with self.held:
            self.held.wait_for(lambda: bool(self._open) and type(self._open[-1]) is bytes)
            nonce = self._open[-1]
            assert isinstance(nonce, bytes)
            self._open.append(call)
            try:
                yield nonce
            except BaseException:
                self._open.pop()  # nothing was sent
                self.held.notify_all()
                raise
