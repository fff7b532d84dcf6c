"""The rooms of the package: which may import from which, so that data flows one way; and how large a module is."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import autograder
from autograder.cli import main

PACKAGE = Path(autograder.__file__).parent
#: every room, after all rooms that it may import from: data flows one way, without a circle. All may use the modules
#: beside the rooms in the package itself. The modules of sandbox/ are its door, above its other rooms
ROOMS = (
    "report",
    "sandbox/both",
    "sandbox/inside",
    "sandbox/rungs",
    "sandbox/outside",
    "sandbox",
    "grading/intake",
    "student",
    "grading/keep",
    "grading/run",
    "grading/mark",
    "grading/pool",
    "recording",
    "authoring",
    "classroom",
    "platforms",
)
#: code in the box, beside the student's code, imports from these rooms only
IN_THE_BOX = {"sandbox/inside", "sandbox/both"}
#: the modules of grading that a student's folder uses: they read a text or a parcel, and know no test and no answer
STUDENTS_USE = {f"autograder.grading.intake.{name}" for name in ("choice", "parcel", "written")}
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
    """Return the modules of a room, without those of the rooms in it."""
    return sorted(path for path in (PACKAGE / room).rglob("*.py") if room_of(path) == room)


def room_of(path: Path) -> str:
    """Return the room in which a file or folder is; '' for the package itself."""
    inside = path.relative_to(PACKAGE)
    return max((room for room in ROOMS if Path(room) in (inside, *inside.parents)), key=len, default="")


def rooms_used(room: str) -> set[str]:
    """Return the other rooms from which the modules of a room import."""
    names = {name for path in modules(room) for name in imported(path) if name.startswith("autograder.")}
    return {room_of(PACKAGE.joinpath(*name.split(".")[1:])) for name in names} - {"", room}


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_from_rooms_before_it(room):
    assert modules(room)
    assert rooms_used(room) <= set(ROOMS[: ROOMS.index(room)])


@pytest.mark.parametrize("room", sorted(IN_THE_BOX))
def test_what_runs_in_the_box_imports_only_what_both_sides_share(room):
    names = {name for path in modules(room) for name in imported(path) if name.startswith("autograder")}

    assert rooms_used(room) <= IN_THE_BOX
    assert all(room_of(PACKAGE.joinpath(*name.split(".")[1:])) for name in names)


def test_every_folder_is_a_room():
    folders = {path.parent.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("__init__.py")}

    assert folders - {"."} == {*ROOMS, "grading"}


def test_the_engine_knows_nothing_of_the_course():
    knowing = {path for path in PACKAGE.rglob("*.py") for name in imported(path) if name.startswith("dlcourse")}

    assert knowing == set()


def test_a_students_folder_needs_nothing_that_knows_an_answer():
    found = {name for path in modules("student") for name in imported(path)}

    assert {name for name in found if name.startswith("autograder.grading")} == STUDENTS_USE
    assert {name for name in found if name.startswith("autograder.sandbox")} == {
        "autograder.sandbox.both.siblings",
        "autograder.sandbox.both.standin",
        "autograder.sandbox.both.traps",
    }


def test_nbgrader_is_known_to_few():
    knowing = {
        path.relative_to(PACKAGE)
        for path in PACKAGE.rglob("*.py")
        if any(name.partition(".")[0] == "nbgrader" for name in imported(path))
    }

    assert {
        path for path in knowing if path.parts[0] not in KNOW_NBGRADER and path.as_posix() not in KNOW_NBGRADER
    } == set()
    assert knowing


@pytest.mark.parametrize("verb", sorted(main.commands))
def test_a_verb_has_a_whole_summary_on_one_line_and_an_example(verb):
    summary = main.commands[verb].get_short_help_str(limit=200)

    listed = main.get_help(click.Context(main, info_name="autograder", terminal_width=80)).splitlines()
    said = main.commands[verb].get_help(click.Context(main.commands[verb], info_name=verb))

    assert any(line.split() == [verb, *summary.split()] for line in listed)
    assert f"\n  Example: autograder {verb}" in said


def test_autograder_alone_gives_help_and_exits_with_0():
    from click.testing import CliRunner

    run = CliRunner().invoke(main, [])

    assert run.exit_code == 0
    assert run.output.startswith("Usage: ")
    assert "For students" in run.output


def test_the_help_lists_every_verb_once():
    text = main.get_help(click.Context(main, info_name="autograder"))

    verbs = [line.split()[0] for line in text.splitlines() if line[:2] == "  " and line[2:3].strip()]

    assert sorted(verb for verb in verbs if verb in main.commands) == sorted(main.commands)


def test_a_module_of_more_than_250_lines_says_why() -> None:
    silent = [
        path.relative_to(PACKAGE).as_posix()
        for path in sorted(PACKAGE.rglob("*.py"))
        if len((text := path.read_text(encoding="utf-8")).splitlines()) > 250
        and "file is long because" not in (ast.get_docstring(ast.parse(text)) or "").replace("\n", " ")
    ]

    assert not silent
