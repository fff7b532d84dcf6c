"""A class is examined while processes are killed, the disk is full and memory runs out: nothing is lost or changed."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest
from factory import SOLUTION, make_course

from autograder.course import Course
from autograder.grading.intake.submission import Submission
from autograder.grading.keep import store
from autograder.grading.pool.fleet import examine_all
from autograder.report import Report

pytestmark = pytest.mark.slow
_CLASS = 40
_FAULTS = {
    0: ("return x / 2", "return x / 3"),
    1: ("return doubled_at_last", "return [bytearray(1 << 26) for _ in range(10**6)]"),
    2: ("return x / 2", "[open(f'f{n}', 'wb').write(bytes(1 << 24)) for n in range(99)]; return x / 2"),
}


@pytest.fixture
def course(tmp_path: Path) -> Iterator[Course]:
    return make_course(tmp_path)


def a_class() -> list[Submission]:
    """Some right modules, some wrong ones, some that use up all memory or disk; each has a different text."""
    parcels = []
    for number in range(_CLASS):
        source = SOLUTION.replace(*_FAULTS.get(number % 8, ("", "")))
        parcels.append(Submission(f"s{number:02}", "01_tiny", None, f"{source}# {number}\n".encode()))
    return parcels


def marks(reports: list[Report]) -> list[tuple[str, str, float, tuple[float, ...]]]:
    """The parts of reports that a teacher uses."""
    return [
        (report.student, report.status, report.score, tuple(task.score for task in report.tasks)) for report in reports
    ]


class Killer(threading.Thread):
    """Kills one process below this one at random moments: an examiner, bubblewrap, a zygote or a worker.

    Between two kills something must be `heard`: on a slow machine it would else kill whatever starts, again and again.
    """

    def __init__(self, seed: int, kills: int, heard: Sequence[str]) -> None:
        super().__init__(daemon=True)
        self._heard, self._heard_before = heard, -1
        self._others = {process.pid for process in psutil.Process().children(recursive=True)}
        self._chance = random.Random(seed)
        self._left = kills
        self._over = threading.Event()
        self.killed: list[str] = []

    def run(self) -> None:
        while self._left and not self._over.wait(self._chance.uniform(1.0, 3.0)):
            below = {process.pid: process for process in psutil.Process().children(recursive=True)}
            ours = sorted(below.keys() - self._others)
            if ours and len(self._heard) > self._heard_before:
                victim = below[self._chance.choice(ours)]
                try:
                    words = " ".join(victim.cmdline())
                    victim.kill()
                except psutil.Error:
                    continue
                self.killed.append("examiner" if "autograder.grading.run.examiner" in words else "zygote or worker")
                self._heard_before = len(self._heard)
                self._left -= 1

    def __enter__(self) -> Killer:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        self.join()


@pytest.mark.parametrize("seed", [1, 2])
def test_marks_do_not_depend_on_what_is_killed(course: Course, seed: int) -> None:
    undisturbed = examine_all(course, a_class(), jobs=2, seed=5, is_kept=False)
    heard: list[str] = []

    with Killer(seed, kills=6, heard=heard) as killer:
        disturbed = examine_all(
            course, a_class(), jobs=2, seed=5, on_report=lambda report: heard.append(report.student)
        )
    resumed = examine_all(course, a_class(), jobs=2, seed=5)  # examines broken submissions again, if there are any

    assert killer.killed
    assert sorted(heard) == [parcel.student for parcel in a_class()]
    assert len(store.reports(course, "01_tiny")) == _CLASS
    wrong = [
        (mine, other)
        for mine, other in zip(marks(disturbed), marks(undisturbed), strict=True)
        if mine != other and mine[1] != "broken"  # a broken task costs nobody a mark
    ]
    assert not wrong
    assert marks(resumed) == marks(undisturbed)
    assert len({report.score for report in undisturbed}) == 1 + len(_FAULTS)
