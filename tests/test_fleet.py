"""Several judges examine a class: nothing is lost and nothing is done twice, however the run ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from factory import SOLUTION, make_course, make_topic

from autograder.errors import SandboxError
from autograder.grading.intake.submission import Submission
from autograder.grading.keep import store
from autograder.grading.mark.judge import Judge
from autograder.grading.pool import fleet
from autograder.grading.pool.crew import Work
from autograder.grading.pool.fleet import examine_all
from autograder.report import Report

WRONG = SOLUTION.replace("return x / 2", "return x * 2")


@pytest.fixture
def course(tmp_path):
    return make_course(tmp_path)


def a_class(count):
    """Every third module is wrong; each has a different text."""
    return [
        Submission(f"s{number:02}", "01_tiny", None, f"{SOLUTION if number % 3 else WRONG}# {number}\n".encode())
        for number in range(count)
    ]


def children():
    return {child.pid for child in psutil.Process().children(recursive=True)}


def test_the_costliest_assignment_begins_and_the_cheap_one_fills_the_wait_for_its_solution(course):
    cheap = course.topic("01_tiny")
    dear = make_topic(course.assignments / "04_dear", manifest=("seconds = 2", "seconds = 90"))
    todo = [Work(number, a_class(4)[number], [cheap, dear][number // 2], 7) for number in range(4)]

    ordered = [(work.topic.id, work.number) for work in fleet._longest_first(course, todo)]

    assert ordered == [("04_dear", 2), ("01_tiny", 0), ("01_tiny", 1), ("04_dear", 3)]


def test_a_run_that_goes_on_tells_what_was_kept_before_it_begins(course):
    examine_all(course, a_class(2))
    heard = []

    examine_all(
        course,
        a_class(3),
        on_report=lambda r: heard.append(r.student),
        on_begin=lambda: heard.append("begin"),
    )

    assert heard == ["s00", "s01", "begin", "s02"]


def test_reports_come_in_order_and_are_the_same_for_any_number_of_judges(course):
    alone = examine_all(course, a_class(7), jobs=1, is_kept=False)
    heard = []
    together = examine_all(course, a_class(7), jobs=3, is_kept=False, on_report=heard.append)

    assert [report.student for report in together] == [f"s{number:02}" for number in range(7)]
    assert sorted(report.student for report in heard) == sorted(report.student for report in together)
    for one, other in zip(alone, together, strict=True):
        assert [task.score for task in one.tasks] == [task.score for task in other.tasks]
    assert {report.score for report in together} == {78.0, 90.0}


def test_what_is_kept_is_not_examined_again(course, monkeypatch):
    examine_all(course, a_class(4))
    examined = []
    really = Judge.examine
    monkeypatch.setattr(Judge, "examine", lambda self, work: examined.append(work.student) or really(self, work))

    examine_all(course, a_class(6))

    assert sorted(examined) == ["s04", "s05"]


def test_an_interrupted_run_keeps_what_is_done_and_leaves_no_process(course):
    before, heard = children(), []

    def hear(report):
        heard.append(report.student)
        if len(heard) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        examine_all(course, a_class(12), jobs=2, on_report=hear)

    assert children() <= before
    kept = {report.student for report in store.reports(course, "01_tiny")}
    assert set(heard) <= kept
    assert len(kept) < 12
    reports = examine_all(course, a_class(12), jobs=2)
    assert [report.score for report in reports] == [78.0 if number % 3 == 0 else 90.0 for number in range(12)]


def test_a_killed_run_goes_on_where_it_stood(course):
    program = (
        "import sys; sys.path.insert(0, sys.argv[2])\n"
        "from pathlib import Path\n"
        "from autograder.course import Course\n"
        "from autograder.grading.pool.fleet import examine_all\n"
        "from test_fleet import a_class\n"
        "examine_all(Course(Path(sys.argv[1])), a_class(40), jobs=2)\n"
    )
    command = [sys.executable, "-c", program, str(course.root), os.path.dirname(__file__)]
    run = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})
    deadline = time.monotonic() + 120
    while len(store.reports(course, "01_tiny")) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    run.send_signal(signal.SIGKILL)
    run.wait()
    done = {report.student: report for report in store.reports(course, "01_tiny")}
    assert 3 <= len(done) < 40

    examined = []
    with pytest.MonkeyPatch.context() as patch:
        really = Judge.examine
        patch.setattr(Judge, "examine", lambda self, work: examined.append(work.student) or really(self, work))
        reports = examine_all(course, a_class(40), jobs=2)

    assert not set(examined) & set(done)
    assert len(examined) + len(done) == 40
    assert [report.score for report in reports] == [78.0 if number % 3 == 0 else 90.0 for number in range(40)]


def test_a_judge_that_cannot_be_had_ends_the_run_in_its_own_words(course, monkeypatch):
    def refuse(self, work):
        raise SandboxError("no wall here")

    monkeypatch.setattr(Judge, "examine", refuse)
    before = children()

    with pytest.raises(SandboxError, match="no wall here"):
        examine_all(course, a_class(3), jobs=2)

    assert children() <= before


def test_the_slowest_of_last_time_goes_first(course, monkeypatch):
    parcels = a_class(3)
    for parcel, seconds in zip(parcels, (0.1, 9.0, 3.0), strict=True):
        report = Report(parcel.student, "01_tiny", 1, "A", seconds, (), ())
        store.save(course, course.topic("01_tiny"), parcel, report)
    examined = []
    really = Judge.examine
    monkeypatch.setattr(Judge, "examine", lambda self, work: examined.append(work.student) or really(self, work))

    examine_all(course, parcels, jobs=1, seed=5)

    assert examined == ["s01", "s02", "s00"]
