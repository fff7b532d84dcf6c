"""Meter: the seconds and the largest memory of a block, in this process and all processes below it."""

from __future__ import annotations

import resource
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

_EVERY = 0.1  #: s between two looks


@dataclass(frozen=True)
class Spent:
    """What one submission cost, in one turn of one way."""

    cpu: float  #: s
    wall: float  #: s
    memory: float = 0.0  #: MB of all processes below this one together; shared pages count once


@contextmanager
def meter(count: int) -> Iterator[list[Spent]]:
    """Append the cost of each of `count` submissions that are examined within."""
    cost: list[Spent] = []
    watch = _Watch()
    cpu, wall = _cpu(), time.perf_counter()
    watch.start()
    try:
        yield cost
    finally:
        watch.is_over.set()
        watch.join()
    used = _cpu() - cpu - watch.cpu + sum(watch.boxed.values())
    cost.append(Spent(used / count, (time.perf_counter() - wall) / count, watch.most / 2**20))


class _Watch(threading.Thread):
    """Looks at the processes below this one, and measures what the looks cost.

    bubblewrap does not wait for the processes that it starts, so no parent counts the CPU time in a box. It is read
    here.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.is_over = threading.Event()
        self.most = self.cpu = 0.0
        self.boxed: dict[int, float] = {}  #: zygote -> CPU s of it and its workers when last seen

    def run(self) -> None:
        import psutil

        me = psutil.Process()
        while not self.is_over.wait(_EVERY):
            below = me.children(recursive=True)
            self.most = max(self.most, sum(map(_held, below)))
            for process in below:
                with suppress(psutil.Error):
                    if process.parent().name() == "bwrap" and process.name() != "bwrap":
                        times = process.cpu_times()
                        workers = [worker.cpu_times() for worker in process.children()]
                        self.boxed[process.pid] = sum(times[:4]) + sum(sum(one[:2]) for one in workers)
        self.cpu = time.thread_time()


def _held(process: object) -> float:
    """Return the bytes of a process, with its part of shared memory; 0 if it has ended."""
    with suppress(OSError), open(f"/proc/{getattr(process, 'pid', 0)}/smaps_rollup") as file:
        for line in file:
            if line.startswith("Pss:"):
                return float(line.split()[1]) * 1024
    return 0.0


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)
