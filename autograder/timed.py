"""Timed: a bound on the CPU time of a step that reads a student's text."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class OutOfTime(Exception):
    """The step took more CPU time than it was given."""


@contextmanager
def cpu_seconds(limit: float) -> Iterator[None]:
    """Raise OutOfTime in this block once the process has computed for `limit` seconds.

    A signal ends the block, so it also ends a regular expression. Only the main thread receives signals: in another
    thread OutOfTime is raised at once.

    Args:
        limit: CPU seconds of the whole process, without the time in the kernel

    Raises:
        OutOfTime: the time is over, or this is not the main thread
    """
    if threading.current_thread() is not threading.main_thread():
        raise OutOfTime

    def stop(*_: Any) -> None:
        raise OutOfTime

    before = signal.signal(signal.SIGVTALRM, stop)
    # The signal comes again and again, because an exception that is raised within a destructor is lost.
    signal.setitimer(signal.ITIMER_VIRTUAL, limit, 0.05)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
