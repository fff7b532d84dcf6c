"""Clock: CPU seconds of a call, for tests and lessons that compare two ways to compute the same."""

from __future__ import annotations

import time
from collections.abc import Callable

#: some kernels count a process's CPU time in steps of 4 or 10 ms: less than this is measured over several calls
_LEAST = 0.06
_MOST_CALLS = 1 << 16


def cpu_seconds(function: Callable[[], object], turns: int = 3) -> float:
    """Return the CPU seconds of one call of `function`: the smallest of some turns, never 0.

    Args:
        function: called without arguments, until the duration is long enough for the clock
        turns: how often to measure
    """
    calls, taken = 1, _seconds_of(function, 1)
    while taken < _LEAST and calls < _MOST_CALLS:
        calls *= 2 if taken <= 0 else min(max(round(1.5 * _LEAST / taken), 2), 64)
        taken = _seconds_of(function, calls)
    return max(min(taken, *(_seconds_of(function, calls) for _ in range(turns - 1))), 1e-9) / calls


def _seconds_of(function: Callable[[], object], calls: int) -> float:
    start = time.process_time()
    for _ in range(calls):
        function()
    return time.process_time() - start
