"""The rooms of the package: who may import whom, so that data flows one way."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import autograder
from autograder.cli import main

PACKAGE = Path(autograder.__file__).parent
#: room -> the rooms that it may import from; all may use what lies beside them in the package itself
MAY_USE = {
    "data": set(),
    "report": {"grading", "authoring"},  # the class report reads kept reports, and knows what a stub holds
    "sandbox": {"report"},
    "student": {"grading"},
    "grading": {"report", "sandbox", "authoring", "student"},
    "authoring": {"grading", "sandbox"},
    "recording": {"grading", "report", "platforms"},
    "platforms": {"grading", "report", "recording", "authoring"},
    "bench": {"grading", "report", "sandbox", "authoring"},
}
#: of grading, a student's folder uses what reads a text or a parcel, and nothing that knows a test or an answer
STUDENTS_USE = {"autograder.grading.imports", "autograder.grading.parcel"}
#: nbgrader takes seconds to import and knows only these rooms
KNOW_NBGRADER = {"recording", "authoring/release.py"}


def imported(path: Path) -> Iterator[str]:
    """Give the full name of everything that a module imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            deeper = {child.name for child in (PACKAGE.parent / node.module.replace(".", "/")).glob("*")}
            for alias in node.names:
                is_module = f"{alias.name}.py" in deeper or alias.name in deeper
                yield f"{node.module}.{alias.name}" if is_module else node.module


def modules(room: str) -> list[Path]:
    return sorted((PACKAGE / room).rglob("*.py"))


@pytest.mark.parametrize("room", MAY_USE)
def test_a_room_imports_only_from_the_rooms_it_may(room):
    found = {name for path in modules(room) for name in imported(path) if name.startswith("autograder.")}

    used = {name.split(".")[1] for name in found} & MAY_USE.keys()

    assert modules(room)
    assert used - {room} <= MAY_USE[room]


def test_every_room_is_listed():
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}

    assert rooms == MAY_USE.keys()


def test_a_students_folder_needs_nothing_that_knows_an_answer():
    found = {name for path in modules("student") for name in imported(path)}

    assert {name for name in found if name.startswith("autograder.grading")} == STUDENTS_USE


def test_nbgrader_is_known_to_few():
    knowing = {
        path.relative_to(PACKAGE)
        for path in PACKAGE.rglob("*.py")
        if any(name.partition(".")[0] == "nbgrader" for name in imported(path))
    }

    assert {
        path
        for path in knowing
        if path.parts[0] not in KNOW_NBGRADER and path.as_posix() not in KNOW_NBGRADER
    } == set()
    assert knowing


def test_the_help_lists_every_verb_once():
    text = main.get_help(click.Context(main, info_name="autograder"))

    verbs = [line.split()[0] for line in text.splitlines() if line[:2] == "  " and line[2:3].strip()]

    assert sorted(verb for verb in verbs if verb in main.commands) == sorted(main.commands)
