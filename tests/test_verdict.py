"""One list names all that a verdict depends on, and it is complete."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import autograder
from autograder.grading.keep import verdict
from autograder.grading.keep.verdict import VERDICT

PACKAGE = Path(autograder.__file__).parent
#: the modules that make a verdict: the judge, the examiner, the worker, the intake of parcels, and what tests use
ENTRANCES = (
    "grading/mark/judge.py", "grading/run/examiner.py", "grading/intake/collect.py", "sandbox/inside/zygote.py",
    "expect.py", "probe.py",
)  # fmt: skip
#: modules that these import, but on which no verdict depends
OTHERWISE = {
    "course.py": "where the folders of a course are",
    "files.py": "writes files in one step",
    "grading/keep/store.py": "keeps reports, and makes none",
    "student/run.py": "reports to a student; the examiner blocks it",
    "student/worlds.py": "the module in a student's own folder",
}


def imported(path: Path) -> Iterator[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    only_types = {
        id(inside)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inside in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in only_types:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def file_of(name: str) -> Path | None:
    if not name.startswith("autograder."):
        return None
    path = PACKAGE.joinpath(*name.split(".")[1:])
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


def reached() -> set[str]:
    """Every module that the entrances import, directly or not, except through those of OTHERWISE."""
    found: set[Path] = set()
    pending = [PACKAGE / name for name in ENTRANCES]
    while pending:
        path = pending.pop()
        if path in found or str(path.relative_to(PACKAGE)) in OTHERWISE:
            continue
        found.add(path)
        pending += [file for name in imported(path) if (file := file_of(name))]
    return {str(path.relative_to(PACKAGE)) for path in found}


def listed() -> set[str]:
    found = (PACKAGE / entry for entry in VERDICT)
    files = (file for path in found for file in (path.rglob("*.py") if path.is_dir() else [path]))
    return {str(file.relative_to(PACKAGE)) for file in files}


def test_the_list_holds_every_module_that_a_verdict_follows_from():
    ours = {name for name in reached() if not name.startswith("student/") or name == "student/selection.py"}
    ours = {name for name in ours if not name.endswith("__init__.py")}  # they hold only a docstring

    assert ours - listed() == set()


def test_each_entry_is_there_and_no_entry_is_idle():
    assert [entry for entry in VERDICT if not (PACKAGE / entry).exists()] == []
    rooms = {entry for entry in VERDICT if (PACKAGE / entry).is_dir()}
    single = {entry for entry in VERDICT if entry not in rooms} - {"grading/keep/verdict.py"}
    assert single - reached() == set()
    assert all(any(name.startswith(f"{room}/") for name in reached()) for room in rooms)


@pytest.mark.parametrize("name", sorted(OTHERWISE))
def test_what_is_left_out_is_really_imported(name):
    assert (PACKAGE / name).is_file()
    assert name not in listed()


@pytest.mark.parametrize(
    ("changed", "differs"),
    [
        ("sandbox/inside/worker.py", True),
        ("faults.py", True),
        ("doctor.py", False),
        ("classroom/page.py", False),
    ],
)
def test_a_change_of_the_engine_counts_and_one_of_a_page_does_not(tmp_path, monkeypatch, changed, differs):
    before, whole = verdict.engine.__wrapped__(), verdict.package.__wrapped__()
    copy = tmp_path / "autograder"
    for path in PACKAGE.rglob("*.py"):
        target = copy / path.relative_to(PACKAGE)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    monkeypatch.setattr(verdict, "_PACKAGE", copy)
    assert verdict.engine.__wrapped__() == before

    (copy / changed).write_text((copy / changed).read_text() + "# a comment\n")

    assert (verdict.engine.__wrapped__() != before) == differs
    monkeypatch.setattr(verdict, "engine", verdict.engine.__wrapped__)
    assert verdict.package.__wrapped__() != whole


def test_a_tool_without_a_version_of_its_own_is_named_by_its_files(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    folder = tmp_path / "tool_of_a_course"
    folder.mkdir()
    (folder / "__init__.py").write_text("x = 1\n")
    before = verdict.tool.__wrapped__("tool_of_a_course")

    (folder / "data.csv").write_text("1\n")

    assert verdict.tool.__wrapped__("tool_of_a_course") != before
    assert verdict.tool.__wrapped__("numpy") == __import__("numpy").__version__
