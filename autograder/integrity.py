"""Integrity: what a module's text says about how it was written. Complaints for a person, not verdicts.

Only a call that a task forbids (`forbid` in topic.toml) costs something: that task's points, with the line shown.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator

from autograder.topic import Topic

#: modules that no task needs, and what somebody who imports them may be after
_SUSPECT = {
    "ctypes": "reaches into the interpreter's memory",
    "gc": "looks at objects that are not its own",
    "inspect": "looks at the frames of its callers",
    "socket": "opens connections",
    "subprocess": "starts programs",
    "signal": "changes how the process ends",
    "pickle": "unpacks objects",
    "marshal": "unpacks code",
}
_SUSPECT_NAMES = {"_getframe", "f_back", "f_locals", "tb_frame", "gi_frame", "__subclasses__", "_exit"}
_SUSPECT_CALLS = {"eval", "exec"}
_LARGE_TEXT, _LARGE_LIST = (
    4_000,
    1_000,
)  #: characters, and numbers, beyond which a literal may be embedded weights
_LARGEST = 1 << 20  #: bytes of a module that are looked at


def complaints(source: bytes) -> Iterator[str]:
    """Give sentences about what a teacher may want to look at."""
    tree = _parsed(source)
    if tree is None:
        return
    for node in ast.walk(tree):
        for name in _imported(node):
            if name in _SUSPECT:
                yield f"Line {_line(node)} imports {name}, which {_SUSPECT[name]}; no task needs it."
        name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
        if name in _SUSPECT_NAMES or (isinstance(node, ast.Name) and name in _SUSPECT_CALLS):
            yield f"Line {_line(node)} uses {name}; no task needs it."
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, (str, bytes))
            and len(node.value) > _LARGE_TEXT
        ):
            yield f"Line {_line(node)} holds a literal of {len(node.value)} characters; are these stored answers?"
        if isinstance(node, (ast.List, ast.Tuple)) and len(node.elts) > _LARGE_LIST:
            yield f"Line {_line(node)} holds a list of {len(node.elts)} numbers; are these stored answers?"


def forbidden_calls(source: bytes, topic: Topic) -> dict[str, str]:
    """Return for each task that forbids something which the module uses: a sentence with the line."""
    if not any(task.forbid for task in topic.tasks):
        return {}
    tree = _parsed(source)
    if tree is None:
        return {}
    aliases = _aliases(tree)
    found: dict[str, str] = {}
    lines = source.decode("utf-8", "replace").splitlines()
    for node in ast.walk(tree):
        name = _dotted(node, aliases) if isinstance(node, (ast.Attribute, ast.Name)) else ""
        for task in topic.tasks if name else ():
            if any(name == call or name.startswith(f"{call}.") for call in task.forbid):
                text = lines[_line(node) - 1].strip()[:80]
                found.setdefault(
                    task.id, f"{task.id}: {name} may not be used here (line {_line(node)}: {text})"
                )
    return found


def _parsed(source: bytes) -> ast.Module | None:
    if len(source) > _LARGEST:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the student's escapes, on the teacher's terminal
            return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _line(node: ast.AST) -> int:
    return int(getattr(node, "lineno", 0))


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name.partition(".")[0] for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        return [node.module.partition(".")[0]]
    return []


def _aliases(tree: ast.Module) -> dict[str, str]:
    """Return what each imported name stands for: {"F": "torch.nn.functional"}."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names[alias.asname or alias.name.partition(".")[0]] = (
                    alias.name if alias.asname else alias.name.partition(".")[0]
                )
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return names


def _dotted(node: ast.expr, aliases: dict[str, str]) -> str:
    """Return the full name of `F.conv2d`, as far as the imports tell; '' for anything else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name) or node.id not in aliases:
        return ""
    return ".".join([aliases[node.id], *reversed(parts)])
