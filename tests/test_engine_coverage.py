"""The chapter on coverage says which part of each room the tests run, and which modules they hardly run."""

from __future__ import annotations

import datetime
import shutil
from pathlib import Path

import coverage
from engine_coverage import chapter, measured

ROOT = Path(__file__).parent.parent


def test_lines_that_ran_are_counted_in_each_module(tmp_path: Path) -> None:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "autograder" / "report").mkdir(parents=True)
    (tmp_path / "autograder" / "templates").mkdir()
    for name in ("report/mark.py", "other.py", "templates/x.py"):
        (tmp_path / "autograder" / name).write_text('"""A docstring."""\na = 1\nb = 2\nc = 3\n')
    data = coverage.CoverageData(str(tmp_path / ".coverage"))
    data.add_lines({str(tmp_path / "autograder" / "report" / "mark.py"): [2, 3]})
    data.write()

    assert measured(tmp_path / ".coverage", tmp_path) == {"other.py": (3, 3), "report/mark.py": (3, 1)}


def test_the_chapter_sums_the_rooms_and_names_what_is_hardly_run() -> None:
    lines = {"cli.py": (10, 0), "report/a.py": (60, 6), "report/b.py": (30, 24)}

    text = chapter(lines, datetime.date(2026, 3, 1))

    assert "on 2026-03-01, a part of `make verify`. The tests run 70.0% of the 100 lines" in text
    assert "\n| autograder | 10 | 100% |\n| report | 90 | 67% |\n" in text
    assert text.endswith("\nOf these modules the tests run less than 80%: `report/b.py` (20%).\n")
