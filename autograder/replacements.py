"""Replacements in a solution, as mistakes.toml lists them: known mistakes, other right answers, equivalent mutants."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from autograder.errors import AuthorError
from autograder.table import places, read_toml, refuse_unknown_keys

Kind = Literal["mistake", "alternative", "equivalent"]
#: the texts that a table of each kind needs, and those that it may have
_KEYS: dict[Kind, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "mistake": (("task", "name", "find", "replace", "hint"), ()),
    "alternative": (("task", "name", "find", "replace"), ()),
    "equivalent": (("find", "replace", "reason"), ("task",)),
}


@dataclass(frozen=True)
class Mistake:
    """A known wrong answer: a replacement in the solution, and the hint that it earns."""

    task: str
    name: str
    find: str
    replace: str
    hint: str


@dataclass(frozen=True)
class Alternative:
    """A different right answer: a replacement in the solution that must still pass."""

    task: str
    name: str
    find: str
    replace: str


@dataclass(frozen=True)
class Equivalent:
    """A mutant of the solution that computes the same, so that no test can fail it (see mutants.py)."""

    find: str
    replace: str
    reason: str
    task: str = ""


def read_replacements(path: Path, kind: Kind, solution: str, tasks: tuple[str, ...]) -> list[dict[str, str]]:
    """Read the tables of one kind, and check each against the solution.

    Raises:
        AuthorError: the file is malformed, names no task of `tasks`, or does not fit the solution
    """
    table = read_toml(path)
    refuse_unknown_keys(table, set(_KEYS), str(path))
    entries = table.get(kind, [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise AuthorError(f"{path}: {kind!r} must be a list of tables; write [[{kind}]]")
    seen: set[tuple[str, str]] = set()
    at = places(path, f"[[{kind}]]")
    for number, entry in enumerate(entries):
        is_named = "name" in _KEYS[kind][0]
        name = f" ({entry.get('name', 'without a name')!r})" if is_named else ""
        where = f"{at[number] if number < len(at) else path}: {kind} {number + 1}{name}"
        _check_texts(entry, kind, tasks, where)
        _check_fit(entry, solution, where)
        identity = (entry["task"], entry["name"]) if is_named else (entry["find"], entry["replace"])
        if identity in seen:
            said = f"this name is taken; give each {kind} of a task a name of its own"
            raise AuthorError(f"{where}: {said if is_named else 'this stands here twice; remove one'}")
        seen.add(identity)
    return entries


def _check_texts(entry: dict[str, Any], kind: Kind, tasks: tuple[str, ...], where: str) -> None:
    needed, optional = _KEYS[kind]
    refuse_unknown_keys(entry, {*needed, *optional}, where)
    for key in (*needed, *(key for key in optional if key in entry)):
        if not isinstance(entry.get(key), str):
            raise AuthorError(f"{where}: needs a text {key!r}; add it")
    if "task" in entry and entry["task"] not in tasks:
        raise AuthorError(f"{where}: no task {entry['task']!r} in topic.toml; use one of {', '.join(tasks)}")
    if not entry.get("reason", "given").strip():
        raise AuthorError(f"{where}: 'reason' is empty; say why no right test can fail it")


def _check_fit(entry: dict[str, str], solution: str, where: str) -> None:
    count = solution.count(entry["find"])
    if count != 1:
        raise AuthorError(f"{where}: 'find' stands {count} times in the solution; make it stand exactly once")
    if entry["find"] == entry["replace"]:
        raise AuthorError(f"{where}: 'replace' is 'find' again; write what the student writes")
    try:
        compile(solution.replace(entry["find"], entry["replace"]), where, "exec", dont_inherit=True)
    except SyntaxError as error:
        raise AuthorError(
            f"{where}: the replaced solution is not Python ({error.msg}, line {error.lineno}); "
            "mend 'replace', its indentation too"
        ) from None
