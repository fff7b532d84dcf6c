"""Verified: the state of an assignment that was last verified in full, as its known.json keeps it.

    "verified": {"files": "6f1c", "lesson": "a02b", "known": "77e1", "engine": "93de", "left_out": [], "figures": 12},

Each digest names a state: `files` that of all files of the assignment except known.json, `lesson` that of the files
that its lesson runs, `known` that of the rest of known.json, and `engine` that of the code on which a verdict depends.
Modules of the course's packages that these files import, directly or by one another, belong to the files. `left_out`
lists the tasks that could not be graded on that machine, and `figures` is the number of figures that the lesson drew.
Only `verify` writes this line, and only if every gate held.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from autograder.grading.keep.verdict import engine
from autograder.known import said, with_line, without_line
from autograder.topic import Topic

_LETTERS = 24  #: letters of a digest
_LINE = "verified"


@dataclass(frozen=True)
class State:
    """What a verification depends on: digests, and the tasks that were left out."""

    files: str
    lesson: str
    known: str
    engine: str
    left_out: tuple[str, ...] = ()
    figures: int = 0  #: figures that the lesson drew in its last run


@dataclass(frozen=True)
class Difference:
    """How an assignment differs from what was last verified in full."""

    files: bool
    lesson: bool
    engine: bool


def state(topic: Topic) -> State:
    """Return the state of an assignment, of its lesson, and of the engine."""
    paths = [
        path
        for path in topic.folder.rglob("*")
        if path.is_file() and path != topic.known_path and not _is_passing(path.relative_to(topic.folder))
    ]
    secret = (topic.hidden_tests_path, topic.mistakes_path)
    return State(
        files=_digest(topic, paths),
        lesson=_digest(topic, [path for path in paths if path not in secret]),
        known=hashlib.sha256(said(topic)).hexdigest()[:_LETTERS],
        engine=engine()[:_LETTERS],
        left_out=tuple(task.id for task in topic.tasks if not task.is_gradable),
    )


def last_verified(topic: Topic) -> State | None:
    """Return the state that was last verified in full; None if known.json names none."""
    try:
        kept = json.loads(topic.known_path.read_text(encoding="utf-8"))[_LINE]
        return State(
            files=str(kept["files"]),
            lesson=str(kept["lesson"]),
            known=str(kept["known"]),
            engine=str(kept["engine"]),
            left_out=tuple(kept["left_out"]),
            figures=int(kept["figures"]),
        )
    except (OSError, ValueError, TypeError, KeyError):
        return None


def difference(topic: Topic) -> Difference:
    """Compare an assignment with its last verified state; a task that was left out only then is a difference."""
    before, now = last_verified(topic), state(topic)
    if before is None:
        return Difference(files=True, lesson=True, engine=True)
    has_more = not set(before.left_out) <= set(now.left_out)
    return Difference(
        files=(before.files, before.known) != (now.files, now.known) or has_more,
        lesson=before.lesson != now.lesson,
        engine=before.engine != now.engine,
    )


def confirm(topic: Topic, begun: State, figures: int) -> bytes | None:
    """Return known.json with the line that says: in this state every gate held.

    Args:
        topic: the assignment whose known.json was just computed
        begun: the state when the verification began
        figures: how many figures the lesson drew

    Returns:
        the new content; None if a file was edited while the gates were tried
    """
    now = replace(state(topic), figures=figures)
    if replace(begun, known=now.known, figures=figures) != now:
        return None
    return with_line(_LINE, asdict(now), topic.known_path.read_bytes())


def withdraw(topic: Topic) -> bytes:
    """Return known.json without that line."""
    return without_line(_LINE, topic.known_path.read_bytes())


def _is_passing(path: Path) -> bool:
    """Whether a file belongs to a tool only, such as a cache."""
    return any(part.startswith((".", "__pycache__")) for part in path.parts)


def _digest(topic: Topic, paths: Iterable[Path]) -> str:
    paths = sorted(paths)
    digest = hashlib.sha256()
    for path in [*paths, *_packages(topic, paths)]:
        name = path.relative_to(topic.folder.parent.parent).as_posix()
        digest.update(f"\0{name}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:_LETTERS]


def _packages(topic: Topic, paths: Iterable[Path]) -> list[Path]:
    """Return the files of the course's own packages on which these files depend; the engine is not one of them.

    They are the modules that are imported, directly or by one another, and what is no Python in their folders: weights
    and tables, which a module reads by a path. A module that is imported by a text that holds its name is not found.
    """
    root = topic.folder.parent.parent
    new = set(topic.tools) | _imported(paths, root)
    names, found = set[str](), set[Path]()
    while new:
        names |= new
        files = {file for name in new if name.partition(".")[0] != "autograder" for file in _files(root, name)} - found
        found |= files
        new = _imported(files, root) - names
    return sorted(found)


def _files(root: Path, name: str) -> set[Path]:
    """Return the files that the import of `name` runs, and the data beside them; none if it is not the course's own."""
    folder, found = root, set[Path]()
    for part in name.split("."):
        module, folder = folder / f"{part}.py", folder / part
        start = folder / "__init__.py"
        if not start.is_file() and not (found and folder.is_dir()):
            return found | {module} if found and module.is_file() else found
        found |= {start, *_data(folder)} if start.is_file() else set(_data(folder))
    return found


def _data(folder: Path) -> Iterator[Path]:
    """Give what is no Python in the folder of a package, and in those of its folders that are no packages."""
    for path in folder.iterdir():
        if _is_passing(Path(path.name)):
            continue
        if path.is_dir() and not (path / "__init__.py").is_file():
            yield from _data(path)
        elif path.is_file() and path.suffix != ".py":
            yield path


def _imported(paths: Iterable[Path], root: Path) -> set[str]:
    """Return the modules that Python files among these may import, each by its whole name.

    `from a import b` may import the module a.b or a name in a, so both are named. A file that is not Python has none.
    """
    found = set()
    for path in paths:
        for node in ast.walk(_tree(path)):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                above = path.relative_to(root).parts[: -node.level] if node.level else ()
                name = ".".join([*above, *filter(None, [node.module])])
                found |= {name} | {f"{name}.{alias.name}" for alias in node.names}
    return found


def _tree(path: Path) -> ast.Module:
    """Read a file as Python; what is no Python has an empty tree."""
    try:
        return ast.parse(path.read_text(encoding="utf-8") if path.suffix == ".py" else "")
    except SyntaxError:
        return ast.parse("")
