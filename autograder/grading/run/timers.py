"""Timers: end a test that takes far longer than its worker may, such as one that reads an endless iterator.

A worker has its own budgets. These timers are for the trusted side, in the examiner.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator

from autograder.limits import WALL_SECONDS, WALL_SECONDS_A_SECOND

_AGAIN = 3.0  #: seconds until the alarm rings again


@contextlib.contextmanager
def ringing(give_up: Callable[[], None]) -> Iterator[None]:
    """Call `give_up`, which raises, each time a timer runs out in the block."""
    previous = signal.signal(signal.SIGALRM, lambda _number, _frame: give_up())
    try:
        yield
    finally:
        signal.signal(signal.SIGALRM, previous)


@contextlib.contextmanager
def running(task_seconds: float) -> Iterator[None]:
    """Run the timer of one phase of a test whose task allows `task_seconds` of CPU time."""
    seconds = WALL_SECONDS + WALL_SECONDS_A_SECOND * task_seconds
    signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN)  # again, because a destructor may swallow the first
    signal.setitimer(signal.ITIMER_PROF, seconds + 10 * _AGAIN)  # if it is busy in C, only the kernel can end it
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
