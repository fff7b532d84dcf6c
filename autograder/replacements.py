"""Replacements in a solution that mistakes.toml lists: known mistakes, other right answers, equivalent mutants.

They are grouped by the text that they replace. So if a line of the solution changes, one line here changes:

    [[change]]
    task = "softmax"
    find = "x.max(axis=axis, keepdims=True)"

    [[change.mistake]]
    name = "shifted by the global maximum"
    replace = "x.max()"
    hint = "Shift each row by its own maximum."
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from autograder.errors import AuthorError
from autograder.sandbox.both.bundle import texts_in
from autograder.table import places, read_toml, refuse_unknown_keys

Kind = Literal["mistake", "alternative", "equivalent"]
#: the key of a mistake whose value is not a text
_CENTRAL = "central"
#: the texts that a table of each kind needs in addition to the `find` of its change
_KEYS: dict[Kind, tuple[str, ...]] = {
    "mistake": ("name", "replace", "hint"),
    "alternative": ("name", "replace"),
    "equivalent": ("replace", "reason"),
}


@dataclass(frozen=True)
class Mistake:
    """A known wrong answer: a replacement in the solution, and its hint."""

    task: str
    name: str
    find: str
    replace: str
    hint: str
    is_central: bool = False  #: it breaks the main idea of its function, and must cost a fifth of its part (costs.py)


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


def read_replacements(path: Path, kind: Kind, solution: str, tasks: tuple[str, ...]) -> list[dict[str, Any]]:
    """Read the tables of one kind, each with the `task` and the `find` of its change, and check them.

    Raises:
        AuthorError: the file is malformed, names no task of `tasks`, or does not fit the solution
    """
    return [entry for _, entry in _read(path, kind, solution, tasks)]


def refuse_what_is_not_python(path: Path, solution: str, tasks: tuple[str, ...]) -> None:
    """Compile the solution with each replacement: a second or two, which only `build` and `verify` take.

    Raises:
        AuthorError: a replaced solution is not Python; or as for `read_replacements`
    """
    for kind in get_args(Kind):
        for where, entry in _read(path, kind, solution, tasks):
            _compile(solution.replace(entry["find"], entry["replace"]), where)


def _read(path: Path, kind: Kind, solution: str, tasks: tuple[str, ...]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give the tables of one kind, each with where it is in the file."""
    table = read_toml(path)
    refuse_unknown_keys(table, {"change"}, str(path))
    at = iter(places(path, f"[[change.{kind}]]"))
    number = 0
    seen: set[tuple[str, str]] = set()
    for change, where_change in _changes(path, table, tasks):
        for entry in _tables(change, kind, where_change):
            number += 1
            name = f" ({entry.get('name', 'without a name')!r})" if "name" in _KEYS[kind] else ""
            where = f"{next(at, path)}: {kind} {number}{name}"
            _check_texts(entry, kind, where)
            entry = {"task": change.get("task", ""), "find": change["find"], **entry}
            if kind != "equivalent" and not entry["task"]:
                raise AuthorError(f"{where_change}: needs a text 'task'; add it")
            _check_fit(entry, solution, where)
            identity = (entry["task"], entry["name"]) if name else (entry["find"], entry["replace"])
            if identity in seen:
                said = f"this name is taken; give each {kind} of a task a name of its own"
                raise AuthorError(f"{where}: {said if name else 'this is listed twice; remove one'}")
            seen.add(identity)
            yield where, entry


def _changes(path: Path, table: dict[str, Any], tasks: tuple[str, ...]) -> Iterator[tuple[dict[str, Any], str]]:
    """Give each change, and where it is in the file."""
    at = places(path, "[[change]]")
    for number, change in enumerate(_tables(table, "change", str(path))):
        where = f"{at[number] if number < len(at) else path}: change {number + 1}"
        refuse_unknown_keys(change, {"task", "find", *_KEYS}, where)
        for key in ("find", *(["task"] if "task" in change else [])):
            if not isinstance(change.get(key), str):
                raise AuthorError(f"{where}: needs a text {key!r}; add it")
        if "task" in change and change["task"] not in tasks:
            known = ", ".join(tasks)
            raise AuthorError(f"{where}: no task {change['task']!r} in topic.toml; use one of {known}")
        yield change, where


def _tables(table: dict[str, Any], key: str, where: str) -> list[dict[str, Any]]:
    found = table.get(key, [])
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        header = key if key == "change" else f"change.{key}"
        raise AuthorError(f"{where}: {key!r} must be a list of tables; write [[{header}]]")
    return found


def _check_texts(entry: dict[str, Any], kind: Kind, where: str) -> None:
    refuse_unknown_keys(entry, {*_KEYS[kind], *([_CENTRAL] if kind == "mistake" else [])}, where)
    if not isinstance(entry.get(_CENTRAL, False), bool):
        raise AuthorError(f"{where}: {_CENTRAL!r} is {entry[_CENTRAL]!r}; write {_CENTRAL} = true, or leave it out")
    for key in _KEYS[kind]:
        if not isinstance(entry.get(key), str):
            raise AuthorError(f"{where}: needs a text {key!r}; add it")
    if not entry.get("reason", "given").strip():
        raise AuthorError(f"{where}: 'reason' is empty; say why no right test can fail it")


def _check_fit(entry: dict[str, str], solution: str, where: str) -> None:
    count = solution.count(entry["find"])
    if count != 1:
        raise AuthorError(f"{where}: 'find' is {count} times in the solution; write a text that is there exactly once")
    if entry["find"] == entry["replace"]:
        raise AuthorError(f"{where}: 'replace' is 'find' again; write what the student writes")


def _compile(replaced: str, where: str) -> None:
    try:
        for text in texts_in(replaced):
            compile(text, where, "exec", dont_inherit=True)
    except SyntaxError as error:
        raise AuthorError(
            f"{where}: the replaced solution is not Python ({error.msg}, line {error.lineno}); "
            "correct 'replace', its indentation too"
        ) from None
