"""Classes: does the time of a class grow only with its size, does memory stay constant, is nothing left behind?"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from autograder.grading.pool.fleet import examine_all
from autograder.topic import Topic
from benchmarks.meter import meter
from benchmarks.parts import class_of, scratch_course

_FIRST = 100  #: the submission after which memory should not grow any more
_LOOK_EVERY = 10  #: submissions between two looks, because a look takes time itself


@dataclass(frozen=True)
class Growth:
    """What a whole class cost."""

    size: int
    jobs: int
    cpu: float  #: s, all of it
    wall: float  #: s, all of it
    memory: tuple[float, float]  #: MB of all examiners at the 100th submission (or the first look), and at the end
    descriptors: tuple[int, int]  #: open descriptors of this process and the examiners at these times
    left: int  #: processes and folders that the run left behind


def growth(topic: Topic, size: int, jobs: int) -> Growth:
    """Examine a class of `size`, and measure what it uses."""
    import psutil

    me = psutil.Process()
    seen: list[tuple[int, float, int]] = []
    before = {child.pid for child in me.children(recursive=True)}
    done, looking = 0, 0.0

    def look(_report: object) -> None:
        nonlocal done, looking
        done += 1
        if done % _LOOK_EVERY and done != size - jobs:
            return
        began = time.thread_time()
        held, descriptors = 0, me.num_fds()
        for child in me.children(recursive=True):
            try:
                if "autograder.grading.run.examiner" in child.cmdline():
                    held += child.memory_info().rss
                    descriptors += child.num_fds()
            except psutil.Error:
                continue  # it has just ended
        seen.append((done, held / 2**20, descriptors))
        looking += time.thread_time() - began

    with scratch_course(topic) as course, _own_folder() as folder:
        with meter(1) as cost:
            examine_all(course, class_of(topic, size), jobs=jobs, on_report=look)
        children = {child.pid for child in me.children(recursive=True)}
        left = len(children - before) + len(list(folder.iterdir()))
    at_work = [entry for entry in seen if entry[0] <= size - jobs] or seen  # later some have no work
    first = next((entry for entry in at_work if entry[0] >= _FIRST), at_work[0])
    last = at_work[-1]
    cpu = cost[0].cpu - looking
    return Growth(size, jobs, cpu, cost[0].wall, (first[1], last[1]), (first[2], last[2]), left)


@contextmanager
def _own_folder() -> Iterator[Path]:
    """Put all temporary files into a folder that nobody else uses."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o711)  # a worker without rights has its folder in it
        usual, tempfile.tempdir = tempfile.tempdir, folder
        try:
            yield Path(folder)
        finally:
            tempfile.tempdir = usual
