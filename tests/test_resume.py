"""`autograder grade` is stopped in every way: finished reports are kept, and the final result is the same."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from factory import SOLUTION
from test_registrar import course, hand_in, report_of

from autograder.authoring.build import build
from autograder.course import Course
from autograder.grade import INTERRUPTED, grade
from autograder.grading.keep import store
from autograder.recording import autograde, gradebook

__all__ = ["course"]  # a fixture
ID = "01_tiny"
SIZE = 9
#: right or wrong, and slow enough to be interrupted
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
    """Send a signal as soon as this many reports are kept; returns the text on standard error."""
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
    assert set(first) < set(second)  # nothing was examined again, because a report holds the seconds that it took
    for one in two_courses:
        assert start(one).communicate(timeout=600)[0] == f"{ID}: {SIZE} examined, 0 broken\n"
        gradebook.export(one, one.root / "grades.csv")

    assert set(second) < set(store.reports(disturbed, ID))
    exports = [(one.root / "grades.csv").read_text() for one in two_courses]
    assert exports[0] == exports[1]
    assert exports[0].count("\n") == SIZE + 1


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, INTERRUPTED), (signal.SIGKILL, -signal.SIGKILL)])
def test_nothing_of_a_stopped_run_goes_on_in_the_middle_of_a_long_test(course, tmp_path, monkeypatch, number, code):
    """Each test may take ten minutes here, and ends within a moment."""
    topic = course.assignments / ID / "topic.toml"
    topic.write_text(topic.read_text().replace("seconds = 2\n", "seconds = 600\n"))
    build(course)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    (hand_in(course, "ada") / "tiny.py").write_text(
        SOLUTION.replace("return doubled", "sum(range(10**12))\n    return doubled")
    )
    run = start(course)
    wait_until(lambda: any(is_worker(process) for process in psutil.Process(run.pid).children(recursive=True)))
    started = psutil.Process(run.pid).children(recursive=True)
    assert list(scratch.iterdir()) != []
    run.send_signal(number)
    run.communicate(timeout=60)

    assert run.returncode == code
    wait_until(lambda: not any(process.is_running() for process in started))
    assert list(scratch.iterdir()) == []


def is_worker(process: psutil.Process) -> bool:
    """Whether a process is one that computes: a worker in the middle of its long test."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return "zygote" in " ".join(process.cmdline()) and process.cpu_times().user > 0.5
    return False


def wait_until(is_so: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_ctrl_c_while_nbgrader_records_stops_and_the_next_run_goes_on(course, monkeypatch, capsys):
    for student in ("ada", "bob", "cyd"):
        hand_in(course, student)
    really, asked = autograde.record_one, []

    def noted(api, report):
        asked.append(report.student)
        return really(api, report)

    def interrupt(api, report):
        if report.student == "bob":  # like nbgrader, which takes Ctrl-C for one student's fault
            return {"success": False, "error": "Traceback ...\nKeyboardInterrupt\n"}
        return really(api, report)

    monkeypatch.setattr("autograder.grade.examine_all", lambda *_, **__: [report_of(s) for s in ("ada", "bob", "cyd")])
    with monkeypatch.context() as patch:
        patch.setattr(autograde, "record_one", interrupt)
        code = grade(course, ID, (), None, is_quiet=True)
    said = capsys.readouterr().err
    monkeypatch.setattr(autograde, "record_one", noted)

    assert code == INTERRUPTED
    assert "Stopped: all are examined and kept; 1 of 3 are recorded; run it again to go on." in said
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
