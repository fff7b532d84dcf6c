"""`autograder grade` on the command line: the JSON contract, exit codes, bad input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from factory import SOLUTION, make_course

REPOSITORY = Path(__file__).parent.parent

REPORT = {
    "student": str, "assignment": str, "status": str, "score": float, "max_score": float, "seed": int,
    "isolation": str, "python": str, "seconds": float, "complaints": list, "tasks": list,
}  # fmt: skip
TASK = {"task": str, "score": float, "points": float, "tests_passed": int, "tests_total": int, "hint": str}


def run(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "COLUMNS": "200"}
    command = [sys.executable, "-m", "autograder.cli", *arguments]
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    make_course(tmp_path)
    return tmp_path


def test_the_json_is_the_contract(root: Path) -> None:
    solution = root / "tiny.py"
    solution.write_text(SOLUTION)

    done = run(root, "grade", "01_tiny", str(solution), "--json", "out.json", "--seed", "5")

    assert done.returncode == 0, done.stderr
    (report,) = json.loads((root / "out.json").read_text())
    assert {key: type(value) for key, value in report.items()} == REPORT
    assert all({key: type(value) for key, value in task.items()} == TASK for task in report["tasks"])
    assert (report["score"], report["max_score"], report["seed"], report["status"]) == (
        90.0,
        90.0,
        5,
        "graded",
    )
    assert [task["task"] for task in report["tasks"]] == ["double", "halve"]


def test_folder_file_and_archives_are_taken_alike(root: Path) -> None:
    folder = root / "parcel"
    folder.mkdir()
    (folder / "tiny.py").write_text(SOLUTION)
    with zipfile.ZipFile(root / "bob.zip", "w") as archive:
        archive.write(folder / "tiny.py", "tiny.py")
    with tarfile.open(root / "eve.tar.gz", "w:gz") as tar:
        tar.add(folder / "tiny.py", "tiny.py")

    done = run(root, "grade", "01_tiny", "parcel", "parcel/tiny.py", "bob.zip", "eve.tar.gz", "--json", "out.json")

    assert done.returncode == 0, done.stderr
    assert [report["score"] for report in json.loads((root / "out.json").read_text())] == [90.0] * 4


BAD = {
    "syntax error": ("tiny.py", b"def double(:\n"),
    "raises at import": ("tiny.py", b"raise SystemError('no')\n"),
    "ends at import": ("tiny.py", b"import os\nos._exit(0)\n"),
    "not text": ("tiny.py", b"\xff\xfe\x00\x01"),
    "empty": ("tiny.py", b""),
    "empty archive": ("tiny.zip", b""),
    "truncated archive": ("tiny.tar.gz", b"\x1f\x8b\x08\x00"),
    "wrong types": ("tiny.py", b"def double(x): return 'six'\nFACTOR = 'two'\nHalver = 7\n"),
    "renamed": ("tiny.py", SOLUTION.replace("def double", "def doubled").encode()),
}


def test_bad_submissions_get_a_sentence_and_the_others_their_marks(root: Path) -> None:
    paths = []
    for number, (name, content) in enumerate(BAD.values()):
        folder = root / f"s{number}"
        folder.mkdir()
        (folder / name).write_bytes(content)
        paths.append(str(folder / name))
    good = root / "tiny.py"
    good.write_text(SOLUTION)

    done = run(root, "grade", "01_tiny", *paths, str(good), "--json", "out.json")

    reports = json.loads((root / "out.json").read_text())
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert len(reports) == len(BAD) + 1
    assert reports[-1]["score"] == 90.0
    for what, report in zip(BAD, reports, strict=False):
        assert report["status"] == "graded", what
        assert report["score"] < 90.0, what
        assert report["complaints"] or report["tasks"][0]["hint"], what


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("grade", "01_tni"), "did you mean 01_tiny"),
        (("grade", "01_tiny", "nowhere.zip"), "nowhere.zip"),
        (("grade", "01_tiny", "tiny.py", "--json", "no/such/folder/out.json"), "no such folder"),
        (("grade", "01_tiny"), "autograder release 01_tiny"),
        (("build", "07_none"), "no assignment"),
        (("new", "Bad Name"), "Bad Name"),
    ],
)
def test_misuse_is_one_sentence_and_exit_code_two(root: Path, arguments: tuple[str, ...], words: str) -> None:
    (root / "tiny.py").write_text(SOLUTION)

    done = run(root, *arguments)

    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_malformed_topic_is_named_by_file_and_line(root: Path) -> None:
    path = root / "assignments" / "01_tiny" / "topic.toml"
    path.write_text(path.read_text() + "\n[tasks.double\n")

    done = run(root, "build")

    assert done.returncode == 2
    assert f"topic.toml:{len(path.read_text().splitlines())}" in done.stderr


def test_without_bubblewrap_the_next_rung_is_taken_and_written_down(root: Path) -> None:
    (root / "tiny.py").write_text(SOLUTION)
    bare = {"PATH": str(root), "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-m", "autograder.cli", "grade", "01_tiny", "tiny.py", "--json", "out.json"]

    done = subprocess.run(command, cwd=root, env=bare, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert json.loads((root / "out.json").read_text())[0]["isolation"] == "B"


def test_what_lies_where_the_teacher_stands_is_not_imported(root: Path) -> None:
    (root / "tiny.py").write_text(SOLUTION)
    for name in ("numpy.py", "pytest.py", "json.py", "conftest.py", "sitecustomize.py"):
        (root / name).write_text("raise SystemExit('shadowed')\n")
    (root / "pytest.ini").write_text("[pytest]\naddopts = --collect-only\n")
    command = [
        sys.executable,
        "-P",
        "-m",
        "autograder.cli",
        "grade",
        "01_tiny",
        "tiny.py",
        "--json",
        "out.json",
    ]

    done = subprocess.run(
        command,
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert json.loads((root / "out.json").read_text())[0]["score"] == 90.0


def test_outside_a_course_a_command_says_where_to_go(tmp_path: Path) -> None:
    done = run(tmp_path, "build")

    assert done.returncode == 2
    assert "not inside a course" in done.stderr
