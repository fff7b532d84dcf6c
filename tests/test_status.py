"""`autograder status`: one line for each assignment, in any state."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_check import MODULE, TESTS

import autograder
from autograder.student import status as status_module
from autograder.student.check import status_command
from autograder.student.memory import recall


@pytest.fixture
def course(tmp_path, monkeypatch) -> Path:
    """Four assignments: finished, begun, not begun, and one that cannot be imported; and a folder of notes."""
    monkeypatch.setenv("PYTHONPATH", str(Path(autograder.__file__).parents[1]))
    monkeypatch.setenv("NO_COLOR", "1")
    finished = MODULE.replace('raise NotImplementedError("halve: not started")', "return x / 2")
    stub = MODULE.replace("return x + x", 'raise NotImplementedError("double: not started")')
    modules = {"01_done": finished, "02_begun": MODULE, "03_stub": stub, "04_broken": "def double(x:\n"}
    for name, module in modules.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "test_sums.py").write_text(TESTS)
        (tmp_path / name / "sums.py").write_text(module)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "test_of_my_own.py").write_text("def test_nothing():\n    pass\n")
    return tmp_path


def test_every_assignment_has_its_line(course, capsys):
    assert status_command(course) == 0

    assert capsys.readouterr().out.splitlines() == [
        "  01_done    ██████████ 100%  all public tests pass",
        "  02_begun   █████░░░░░  50%  next: halve  (pytest -k halve)",
        "  03_stub    ░░░░░░░░░░   0%  next: double  (pytest -k double)",
        "  04_broken  ░░░░░░░░░░   0%  next: double  (pytest -k double)",
    ]


def test_the_checklist_is_ticked_by_what_the_public_tests_show(course, capsys):
    items = {"01_done": [("Doubles", ["double"], 2), ("Both", ["double", "halve"], 2)],
             "02_begun": [("Doubles", ["double"], 2), ("Halves", ["halve"], 1)]}  # fmt: skip
    for name, entries in items.items():
        lines = [f'[[checklist]]\nitem = "{item}"\ntasks = {tasks}\nenough = {few}' for item, tasks, few in entries]
        (course / name / "topic.toml").write_text("\n".join(lines))
    (course / "03_stub" / "topic.toml").write_text('checklist = [3, {item = "?"}]')  # a student's damage

    status_command(course)

    assert capsys.readouterr().out.splitlines()[5:] == [
        "  Checklist: what your public tests show",
        "  [x] Doubles",
        "  [x] Both",
        "  [ ] Halves  0 of 1 tasks",
    ]


def test_in_an_assignment_it_is_about_that_one(course, capsys):
    assert status_command(course / "02_begun") == 0

    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("  02_begun  █████")


def test_without_an_assignment_it_says_where_to_go(tmp_path, capsys):
    assert status_command(tmp_path) == 2

    assert "No assignment in" in capsys.readouterr().out


def lines_of(folder, capsys) -> list[str]:
    assert status_command(folder) == 0
    return capsys.readouterr().out.splitlines()


def the_tests_run(monkeypatch, is_allowed: bool) -> list[Path]:
    """The folders whose tests ran; an error if one runs that may not."""
    ran: list[Path] = []
    run = status_module.run_public_tests

    def noted(folder: Path) -> object:
        assert is_allowed, folder
        ran.append(folder)
        return run(folder)

    monkeypatch.setattr(status_module, "run_public_tests", noted)
    return ran


def test_what_has_not_changed_is_not_run_again(course, capsys, monkeypatch):
    before = lines_of(course, capsys)

    the_tests_run(monkeypatch, is_allowed=False)

    assert lines_of(course, capsys) == before


@pytest.mark.parametrize(
    ("file", "text"),
    [("sums.py", MODULE + "\n"), ("test_sums.py", TESTS + "\n"), ("table.csv", "1"), ("topic.toml", "tasks = {}")],
)
def test_a_change_of_any_file_runs_that_assignment_alone(course, capsys, monkeypatch, file, text):
    before = lines_of(course, capsys)
    (course / "02_begun" / file).write_text(text)
    ran = the_tests_run(monkeypatch, is_allowed=True)

    assert lines_of(course, capsys) == before
    assert ran == [course / "02_begun"]


def test_notebooks_and_caches_do_not_count(course, capsys, monkeypatch):
    lines_of(course, capsys)
    (course / "01_done" / "01_done.ipynb").write_text("{}")
    (course / "01_done" / ".ipynb_checkpoints").mkdir()
    (course / "01_done" / ".ipynb_checkpoints" / "sums.py").write_text("x")

    the_tests_run(monkeypatch, is_allowed=False)

    lines_of(course, capsys)


@pytest.mark.parametrize(
    ("arguments", "is_kept"), [([], True), (["-k", "double"], False), (["--autograder-seed=3"], False)]
)
def test_only_a_whole_run_of_pytest_is_remembered(course, arguments, is_kept):
    folder = course / "02_begun"
    assert recall(folder) is None

    subprocess.run([sys.executable, "-m", "pytest", "-q", *arguments], cwd=folder, capture_output=True, check=False)

    assert (recall(folder) is not None) is is_kept


@pytest.mark.parametrize("damage", [b"", b"[]", b'{"state": 1}', b"\xff"])
def test_a_damaged_memory_costs_only_a_run(course, capsys, damage):
    before = lines_of(course, capsys)
    for path in (Path(os.environ["XDG_CACHE_HOME"]) / "autograder" / "status").glob("*.json"):
        path.write_bytes(damage)

    assert lines_of(course, capsys) == before


def test_without_a_cache_that_can_be_written_it_works(course, capsys, monkeypatch, tmp_path):
    (tmp_path / "a_file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "a_file"))

    assert lines_of(course / "01_done", capsys) == ["  01_done  ██████████ 100%  all public tests pass"]
