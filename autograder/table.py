"""Read the TOML tables of an assignment. Each fault is an AuthorError: where, what, and what to do."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Set
from pathlib import Path
from typing import Any

from autograder.errors import AuthorError


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file of an assignment."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise AuthorError(f"{path}: no such file; `autograder new` writes the six files of an assignment") from None
    except UnicodeDecodeError:
        raise AuthorError(f"{path}: not UTF-8 text; save it as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"at line (\d+)", str(error))
        where = f"{path}:{line[1]}" if line else str(path)
        raise AuthorError(f"{where}: not TOML ({error}); correct that line") from None


def place(path: Path, header: str) -> str:
    """Return path:line of the first table with that header; the path alone if there is none."""
    return next(iter(places(path, header)), str(path))


def places(path: Path, header: str) -> list[str]:
    """Return path:line of every table with that header, in their order."""
    lines = path.read_text(encoding="utf-8").split("\n")
    return [f"{path}:{number}" for number, line in enumerate(lines, 1) if line.split("#")[0].strip() == header]


def line_of(path: Path, key: str) -> str:
    """Return path:line of a key at the top of the file; the path alone if the key is not there."""
    lines = path.read_text(encoding="utf-8").split("\n")
    found = [number for number, words in enumerate(lines, start=1) if words.split("=")[0].strip() == key]
    return f"{path}:{found[0]}" if found else str(path)


def value_of(table: dict[str, Any], key: str, kind: Any, where: Any, *, default: Any = None) -> Any:
    """Return the value of a key, which must be of this kind; a key without a default must be there."""
    value = table.get(key, default)
    if value is None:
        raise AuthorError(f"{where}: {key!r} is missing; add it")
    if not isinstance(value, kind) or isinstance(value, bool):
        raise AuthorError(f"{where}: {key!r} is {value!r}, of the wrong type; `autograder new` writes an example")
    return value


def words_of(table: dict[str, Any], key: str, where: Any) -> tuple[str, ...]:
    """Return a list of texts; an empty one if the key is not there."""
    value = table.get(key, [])
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise AuthorError(f'{where}: {key!r} must be a list of texts; write {key} = ["..."]')
    return tuple(value)


def refuse_unknown_keys(table: dict[str, Any], known: Set[str], where: str) -> None:
    """Refuse keys that nothing reads: usually a key is misspelt."""
    for key in sorted(set(table) - known):
        raise AuthorError(f"{where}: unknown key {key!r}; the keys are {', '.join(sorted(known))}")


def as_toml(text: str) -> str:
    """Return a text in TOML: as a literal if that is possible, else with escapes."""
    if not any(sign in text for sign in '"\\\n'):
        return f'"{text}"'
    is_plain = "'''" not in text and not text.endswith("'") and not text.startswith("\n")
    return f"'''{text}'''" if is_plain else json.dumps(text, ensure_ascii=False)
