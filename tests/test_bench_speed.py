"""The benchmark runs every way to its end and writes what it measured. The speed is not tested."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from factory import make_course

from autograder.course import Course
from autograder.grading.pool.fleet import examine_all
from benchmarks import parts as bench_parts
from benchmarks import speed
from benchmarks import ways as bench_ways

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
def test_every_way_is_measured_and_written_down(tmp_path, monkeypatch):
    course = make_course(tmp_path, manifest=("memory = 1024", "memory = 3072"))
    monkeypatch.setattr(bench_ways, "MANY", 3)
    monkeypatch.setattr(bench_ways, "FEW", 1)

    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "benchmarks.md").write_text(f"old numbers\n{speed._BY_HAND}what they mean\n")

    page = speed.bench_all(course, ["01_tiny"], [4], rounds=1).read_text()

    ways = [*bench_ways.ways(course.topic("01_tiny")), bench_ways.BARE]
    assert len(ways) == 6 + bool(importlib.util.find_spec("otter"))
    for name in ways:
        (row,) = [line for line in page.splitlines() if line.startswith(f"| {name} |")]
        assert all(float(number) >= 0 for number in re.findall(r"\d+\.\d+", row))
    classes = [line for line in page.splitlines() if line.startswith("| 4 |")]
    assert classes
    assert "old numbers" not in page
    assert page.endswith("what they mean\n")
    assert all(grown.endswith("| nothing |") for grown in classes)


def test_both_sides_of_the_wall_are_measured(tmp_path):
    make_course(tmp_path)
    command = [sys.executable, "-m", "benchmarks.inside", "01_tiny", "6"]

    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )

    examiner, worker, reading = done.stdout.splitlines()[-3:]
    for line, what in ((examiner, "examiner"), (worker, "worker"), (reading, "reading the text")):
        assert re.fullmatch(rf"{what}: [0-9.]+ CPU s a submission", line)


def test_a_class_is_right_and_no_two_are_the_same(tmp_path):
    topic = make_course(tmp_path).topic("01_tiny")

    parcels = bench_parts.class_of(topic, 20)

    assert len({parcel.source for parcel in parcels}) == 20
    assert {b"return x + x" in (parcel.source or b"") for parcel in parcels} == {True, False}
    assert all(report.score == report.max_score for report in examine_all(Course(tmp_path), parcels[:4]))
