"""Integrity: what a module's text says about how it was written. Complaints for a person, not verdicts.

Only a call that a task forbids (`forbid` in topic.toml) costs something: the points of the task whose functions
reach it (reach.py, uses.py), with the line shown.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
import warnings
from collections.abc import Iterator
from functools import lru_cache

from autograder.faults import plain
from autograder.grading.reach import Module
from autograder.grading.uses import Names, Text
from autograder.topic import Topic

LARGEST_MODULE = 1 << 19  #: bytes of a module that are looked at; a larger one is not run at all
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
#: where torch has its functions once more; nobody needs them who does not look for another way
_BACK_DOORS = (
    "ops",
    "_C",
    "_VF",
    "_refs",
    "_decomp",
    "_prims",
    "nn.modules",
    "utils.data.dataloader",
    "utils.data._utils",
    "utils.data.sampler.BatchSampler",
)
_LONG_WORD, _LARGE_WORDS = (
    60,
    1_000,
)  #: characters of a text without a space that may be data, and of all of these
_DEEPEST = 200  #: levels of a syntax tree that are followed
_LINE_END = re.compile(r"\r\n|[\r\n]")  #: as Python counts lines


def complaints(source: bytes) -> Iterator[str]:
    """Give sentences about what a teacher may want to look at."""
    tree = _parsed(source)
    if tree is None:
        return
    if (encoding := _encoding(source)) not in ("utf-8", "utf-8-sig"):
        yield f"The module is written in {plain(encoding, 40)}: what it does is not what an editor may show."
    if _is_deep(tree):
        yield f"The module nests more than {_DEEPEST} levels deep; what it calls was not looked at."
    nodes = list(ast.walk(tree))
    for node in nodes:
        for name in _imported(node):
            if name in _SUSPECT:
                yield f"Line {_line(node)} imports {name}, which {_SUSPECT[name]}; no task needs it."
        name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
        if name in _SUSPECT_NAMES or (isinstance(node, ast.Name) and name in _SUSPECT_CALLS):
            yield f"Line {_line(node)} uses {name}; no task needs it."
        if isinstance(node, ast.Constant) and (size := _size(node.value)) > _LARGE_TEXT:
            yield f"Line {_line(node)} holds a literal of {size} characters; are these stored answers?"
        if isinstance(node, (ast.List, ast.Tuple)) and len(node.elts) > _LARGE_LIST:
            yield f"Line {_line(node)} holds a list of {len(node.elts)} numbers; are these stored answers?"
    long = [word for node in nodes for word in _words(node) if len(word) > _LONG_WORD]
    if (letters := sum(map(len, long))) > _LARGE_WORDS:
        yield f"The module holds {letters} characters of text without spaces; are these stored answers?"
    listed = [
        item for node in nodes if isinstance(node, (ast.List, ast.Tuple, ast.Set)) for item in node.elts
    ]
    if (numbers := sum(isinstance(item, ast.Constant) for item in listed)) > _LARGE_LIST:
        yield f"The module lists {numbers} numbers or texts; are these stored answers?"


def _size(value: object) -> int:
    """The length of a literal as it is written."""
    if isinstance(value, (str, bytes)):
        return len(value)
    return value.bit_length() // 3 if isinstance(value, int) else 0


def _words(node: ast.AST) -> list[str] | list[bytes]:
    value = node.value if isinstance(node, ast.Constant) else ""
    if isinstance(value, int) and not isinstance(value, bool):
        return [f"{value:x}"]
    return value.split() if isinstance(value, (str, bytes)) else []


def forbidden_calls(source: bytes, topic: Topic) -> dict[str, str]:
    """Return for each task whose own functions use what it forbids: a sentence with the line."""
    tasks = [task for task in topic.tasks if task.forbid]
    tree = _parsed(source) if tasks else None
    if tree is None or _is_deep(tree):
        return {}
    module = Module(tree)
    learnt = Text(tree)
    known = {forbid: Names(learnt, _with_doors(forbid)) for forbid in {task.forbid for task in tasks}}
    lines = ["", *_LINE_END.split(text_of(source))]
    found: dict[str, str] = {}
    for task in tasks:
        use = next(known[task.forbid].uses(module.reached(task.names)), None)
        if use:
            text = plain(lines[use.line], 80) if use.line < len(lines) else ""
            found[task.id] = (
                f"{task.id}: {plain(use.name, 80)} may not be used here (line {use.line}: {text})"
            )
    return found


def text_of(source: bytes) -> str:
    """Return a module's text as Python reads it, which may be written in another encoding than it is shown in."""
    try:
        return source.decode(_encoding(source), "replace")
    except UnicodeError:  # some encodings replace nothing
        return source.decode("utf-8", "replace")


def _encoding(source: bytes) -> str:
    try:
        encoding = tokenize.detect_encoding(io.BytesIO(source).readline)[0]
        "".encode(encoding)  # not all that it may name is an encoding of texts
        return encoding
    except (SyntaxError, LookupError, ValueError):
        return "utf-8"


def _with_doors(forbidden: tuple[str, ...]) -> frozenset[str]:
    """Return what is forbidden, and the doors at the back of its packages."""
    doors = {f"{call.partition('.')[0]}.{door}" for call in forbidden for door in _BACK_DOORS}
    return frozenset(doors.union(forbidden))


@lru_cache(maxsize=4)
def _parsed(source: bytes) -> ast.Module | None:
    if len(source) > LARGEST_MODULE:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the student's escapes, on the teacher's terminal
            return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _is_deep(tree: ast.AST) -> bool:
    level, depth = [tree], 0
    while level and depth <= _DEEPEST:
        level = [child for node in level for child in ast.iter_child_nodes(node)]
        depth += 1
    return bool(level)


def _line(node: ast.AST) -> int:
    return int(getattr(node, "lineno", 0))


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name.partition(".")[0] for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        return [node.module.partition(".")[0]]
    return []
