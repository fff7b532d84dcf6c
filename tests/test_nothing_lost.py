"""The disk is full in the middle of a class: the run ends with a sentence, and the next run continues from there."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from factory import SOLUTION, make_course

from autograder.course import Course
from autograder.errors import CourseError, SandboxError
from autograder.grading.intake.submission import Submission
from autograder.grading.keep import store
from autograder.grading.pool.fleet import examine_all

PARCELS = [Submission(f"s{n}", "01_tiny", Path("tiny.py"), f"{SOLUTION}# {n}\n".encode()) for n in range(4)]


def no_room(*_arguments: Any, **_options: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_ends_the_run_and_the_next_one_judges_only_what_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    course = make_course(tmp_path)
    real, saved = store.write_atomically, []

    def write(path: Path, content: bytes, *, mode: int) -> None:
        saved.append(path)
        (no_room if len(saved) == 3 else real)(path, content, mode=mode)

    monkeypatch.setattr(store, "write_atomically", write)
    with pytest.raises(CourseError, match="No space left on device.*; make room and run this again"):
        examine_all(course, PARCELS, jobs=1, seed=5)
    kept = {report.student for report in store.reports(course, "01_tiny")}
    after = len(saved)
    reports = examine_all(course, PARCELS, jobs=1, seed=5)

    assert len(kept) == 2
    assert len(saved) - after == 2
    assert [(report.student, report.score, report.status) for report in reports] == [
        (parcel.student, 90.0, "graded") for parcel in PARCELS
    ]


@pytest.mark.parametrize("name", ["mkdtemp", "TemporaryFile"])
def test_without_room_for_scratch_nobody_is_graded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    course: Course = make_course(tmp_path)
    monkeypatch.setattr(tempfile, name, no_room)

    with pytest.raises(SandboxError, match="no scratch folder can be made .No space left on device.; make room"):
        examine_all(course, PARCELS[:1], jobs=1, seed=5)

    assert not store.reports(course, "01_tiny")
