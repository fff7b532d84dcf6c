"""`autograder status`: one line for each assignment, in any state."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_check import MODULE, TESTS

import autograder
from autograder.student.check import status_command


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


def test_in_an_assignment_it_is_about_that_one(course, capsys):
    assert status_command(course / "02_begun") == 0

    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("  02_begun  █████")


def test_without_an_assignment_it_says_where_to_go(tmp_path, capsys):
    assert status_command(tmp_path) == 2

    assert "No assignment in" in capsys.readouterr().out
