"""`autograder grade` stopped in every way: what is finished is kept, and the end is the same."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from factory import SOLUTION
from nbgrader.apps.api import NbGraderAPI
from test_registrar import course, hand_in, released, report_of

from autograder.course import Course
from autograder.grade import INTERRUPTED, grade
from autograder.grading import store
from autograder.recording import gradebook

__all__ = ["course", "released"]  # fixtures
ID = "01_tiny"
SIZE = 9
#: right or wrong, and slow enough to be caught at it
SLOW = SOLUTION.replace("return doubled_at_last", "sum(range(3_000_000))\n    return doubled_at_last")
WRONG = SLOW.replace("return x / 2", "return x * 2")


@pytest.fixture
def two_courses(course, tmp_path):
    """A class, twice: the same parcels, and the same seed."""
    for number in range(SIZE):
        folder = hand_in(course, f"s{number:02}")
        (folder / "tiny.py").write_text(f"{SLOW if number % 3 else WRONG}# {number}\n")
    store.class_seed(course, ID)
    shutil.copytree(course.root, tmp_path / "other")
    return course, Course(tmp_path / "other")


def start(course: Course) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}
    command = [sys.executable, "-m", "autograder.cli", "grade", ID, "--quiet", "--jobs", "1"]
    return subprocess.Popen(
        command, cwd=course.root, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def stop(run: subprocess.Popen[str], course: Course, count: int, number: signal.Signals) -> str:
    """Send a signal as soon as so many reports are kept; returns what was said on standard error."""
    deadline = time.monotonic() + 300
    while len(store.reports(course, ID)) < count and time.monotonic() < deadline:
        time.sleep(0.02)
    run.send_signal(number)
    return run.communicate(timeout=300)[1]


@pytest.mark.slow
def test_a_run_stopped_twice_ends_as_one_that_was_left_alone(two_courses):
    disturbed, _ = two_courses

    run = start(disturbed)
    said = stop(run, disturbed, 2, signal.SIGINT)
    first = store.reports(disturbed, ID)
    assert run.returncode == INTERRUPTED
    assert f"of {SIZE} are examined and kept; run it again to go on." in said
    assert "Traceback" not in said
    assert 2 <= len(first) < SIZE
    run = start(disturbed)
    stop(run, disturbed, len(first) + 2, signal.SIGKILL)
    assert run.returncode == -signal.SIGKILL
    second = store.reports(disturbed, ID)
    assert set(first) < set(second)  # and nothing was examined again: a report holds the seconds that it took
    for one in two_courses:
        assert start(one).communicate(timeout=600)[0] == f"{ID}: {SIZE} examined, 0 broken\n"
        gradebook.export(one, one.root / "grades.csv")

    assert set(second) < set(store.reports(disturbed, ID))
    exports = [(one.root / "grades.csv").read_text() for one in two_courses]
    assert exports[0] == exports[1]
    assert exports[0].count("\n") == SIZE + 1


def test_ctrl_c_while_nbgrader_records_stops_and_the_next_run_goes_on(course, monkeypatch, capsys):
    for student in ("ada", "bob", "cyd"):
        hand_in(course, student)
    really, asked = NbGraderAPI.autograde, []

    def autograde(self, assignment, student, **options):
        asked.append(student)
        return really(self, assignment, student, **options)

    def interrupt(self, assignment, student, **options):
        if student == "bob":  # as nbgrader tells it: it takes Ctrl-C for one student's fault
            return {"success": False, "error": "Traceback ...\nKeyboardInterrupt\n"}
        return really(self, assignment, student, **options)

    monkeypatch.setattr(
        "autograder.grade.examine_all", lambda *_, **__: [report_of(s) for s in ("ada", "bob", "cyd")]
    )
    with monkeypatch.context() as patch:
        patch.setattr(NbGraderAPI, "autograde", interrupt)
        code = grade(course, ID, (), None, is_quiet=True)
    said = capsys.readouterr().err
    monkeypatch.setattr(NbGraderAPI, "autograde", autograde)

    assert code == INTERRUPTED
    assert "Stopped: all are examined and kept, 1 of 3 are recorded; run it again to go on." in said
    assert grade(course, ID, (), None, is_quiet=True) == 0
    assert asked == ["bob", "cyd"]


def test_whoever_is_broken_is_told_as_it_comes_even_in_a_log(course, monkeypatch, capsys):
    hand_in(course)
    broken = report_of(outcome="broken")

    def examine_all(*_, on_report, **__):
        on_report(broken)
        return [broken]

    monkeypatch.setattr("autograder.grade.examine_all", examine_all)
    monkeypatch.setattr(gradebook, "record", lambda *_: None)

    assert grade(course, ID, (), None, is_quiet=True) == 1
    said = capsys.readouterr()
    assert "ada: a person has to look at double (double: wrong <b>value</b>.)" in " ".join(said.err.split())
    assert said.out == f"{ID}: 1 examined, 1 broken\n"
