"""Core: let this process and one worker take turns on one core of the machine.

They never compute at the same time. To wake a process on another core costs four times as much as to switch to it on
the same core. A test of NumPy functions does little else: this was 25-30 % of a submission's CPU time. Each of several
examiners has a seat, which is a number, so that no two choose one core while another is idle. No result depends on
this: if a system does not know of cores, or forbids the choice, each process runs on any core.
"""

from __future__ import annotations

import contextlib
import ctypes
import os

_ALL = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
_chosen: set[int] = set()


def take_seat(number: int) -> None:
    """Choose the core that this process uses when it shares one with a worker."""
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
