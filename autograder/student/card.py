"""Card: the topic.toml of a student's folder, if it is there, and the modules that it names."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autograder.given import modules_among

#: packages that the engine, or a package that it uses, imports in a student's folder
_PACKAGES = ("numpy", "torch", "keras", "matplotlib", "pluggy", "_pytest", "rich", "click", "IPython")
_HARMLESS = {"test", "this"}  # of the standard library; nothing imports them

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


def hides_a_package(folder: Path) -> str:
    """Say that a file in an assignment's folder has the name of a package that the tests import; '' if none has.

    Python would import the file instead, also into pytest and into the engine.
    """
    card = read_card(folder)
    packages = {"autograder", "pytest", *_PACKAGES, *sys.stdlib_module_names, *_texts(card, "imports")} - _HARMLESS
    packages -= {*modules_of(card, str(card.get("module", ""))), *given_modules(card)}
    for path in sorted(folder.glob("*")):
        name = path.name.removesuffix(".py")
        is_module = (path / "__init__.py").is_file() if path.is_dir() else path.suffix == ".py"
        if is_module and name in packages:
            return f"{path.name} in {folder.resolve().name}/ hides the package {name}: give it another name."
    return ""


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
