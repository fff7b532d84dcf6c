"""Core: have this process and one worker take turns on one core of the machine.

They never compute at the same time. To wake the other on another core costs four times as much as to switch to it
here, and a test of NumPy functions does little else: 25-30 % of a submission's CPU time was that. Of several examiners
each has a place, so that no two choose one core while another is idle. Nothing depends on it: where a system does not
know of cores, or forbids the choice, all run where they like.
"""

from __future__ import annotations

import contextlib
import ctypes
import os

_ALL = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
_chosen: set[int] = set()


def take_place(number: int) -> None:
    """Have this process use a core of its own, of those that there are, when it shares one."""
    _chosen.clear()
    _chosen.update(sorted(_ALL)[number % len(_ALL) :][:1] if _ALL else ())


def share_core(pid: int) -> None:
    """Keep another process, and the calling thread, on the core where this one is now."""
    with contextlib.suppress(OSError, AttributeError):
        core = _chosen or {ctypes.CDLL(None).sched_getcpu()} & _ALL or _ALL
        os.sched_setaffinity(pid, core)
        os.sched_setaffinity(0, core)


def leave_core(pid: int | None = None) -> None:
    """Let the calling thread, and another process, run on any core again."""
    for process in (0, pid):
        with contextlib.suppress(OSError, AttributeError):
            if process is not None:
                os.sched_setaffinity(process, _ALL)
