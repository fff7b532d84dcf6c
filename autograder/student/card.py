"""Card: the topic.toml of a student's folder, if it is there, and the modules that it names."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autograder.given import modules_among

if TYPE_CHECKING:
    from autograder.grading.intake.choice import Wanted


def read_card(folder: Path) -> dict[str, Any]:
    """Read the topic.toml beside public tests; {} if it is missing or damaged."""
    try:
        card = tomllib.loads((folder / "topic.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    tasks = card.get("tasks", {})
    return card if isinstance(tasks, dict) and all(isinstance(task, dict) for task in tasks.values()) else {}


def modules_of(card: dict[str, Any], main: str) -> tuple[str, ...]:
    """Return the names of the modules that the student writes; `main` is the name of the main module."""
    return (main, *_texts(card, "also"))


def given_modules(card: dict[str, Any]) -> tuple[str, ...]:
    """Return the names of the modules among the given files."""
    return modules_among(_texts(card, "files"))


def packages_of(card: dict[str, Any]) -> tuple[str, ...]:
    """Return the packages that the student's module may import, the extras of single tasks too."""
    tasks = card.get("tasks", {}).values()
    return (*_texts(card, "imports"), *(str(task["extra"]) for task in tasks if "extra" in task))


def given_files(card: dict[str, Any]) -> tuple[str, ...]:
    """Return the paths of the given files and folders."""
    return _texts(card, "files")


def wanted_of(card: dict[str, Any], main: str) -> Wanted:
    """Return what the grader looks for in what a student hands in."""
    from autograder.grading.intake.choice import Wanted

    tops = (str(name).partition(".")[0] for task in card.get("tasks", {}).values() for name in _texts(task, "names"))
    return Wanted(modules_of(card, main), tuple(dict.fromkeys(tops)), given_modules(card))


def whole_text(folder: Path, modules: tuple[str, ...]) -> str:
    """Return the texts of a student's modules, one below the other, to search them for names; '' for a missing one."""
    return "\n".join(text_of(folder / f"{name}.py") for name in modules)


def text_of(path: Path) -> str:
    """Return the text of a student's file; '' if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _texts(card: dict[str, Any], key: str) -> tuple[str, ...]:
    found = card.get(key, [])
    return tuple(str(word) for word in found) if isinstance(found, list) else ()
