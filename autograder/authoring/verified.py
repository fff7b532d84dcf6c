"""Verified: the state of an assignment that was last verified in full, as its known.json keeps it.

    "verified": {"files": "6f1c", "lesson": "a02b", "known": "77e1", "engine": "93de", "left_out": [], "figures": 12},

Each digest names a state: `files` that of all files of the assignment except known.json, `lesson` that of the files
that its lesson runs, `known` that of the rest of known.json, and `engine` that of the code on which a verdict depends.
Packages of the course that these files import belong to the files. `left_out` lists the tasks that could not be graded
on that machine, and `figures` is the number of figures that the lesson drew. Only `verify` writes this line, and only
if every gate held.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterable
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
    """Return the files of the course's own packages that some of these files import; the engine is not one of them."""
    names = set(topic.tools)
    for path in paths:
        if path.suffix == ".py":
            names |= _imported(path.read_text(encoding="utf-8"))
    root = topic.folder.parent.parent
    folders = [root / name for name in sorted(names - {"autograder"}) if (root / name / "__init__.py").is_file()]
    return [
        path
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not _is_passing(path.relative_to(folder))
    ]


def _imported(text: str) -> set[str]:
    """Return the packages that a module or a lesson imports; none if it is not Python."""
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return set()
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found
