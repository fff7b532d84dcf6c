"""Integrity: what is unusual about the text of a module. These are complaints for a person, not verdicts.

Nothing here costs a point. What a task forbids is absent when its tests run (forbidden.py); that does not depend on
this.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator
from functools import lru_cache

from autograder.limits import MODULE_BYTES, TREE_DEPTH
from autograder.plain import plain
from autograder.syntax import encoding_of, takes_long, tree_of

#: modules that no task needs, and what code may do with them
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
_LARGE_TEXT, _LARGE_LIST = 4_000, 1_000  #: characters, and numbers, above which a literal may hold trained weights
_LONG_WORD, _LARGE_WORDS = 60, 1_000  #: characters of a text without spaces that may be data, and of all such texts


def complaints(source: bytes) -> Iterator[str]:
    """Give sentences about parts of a module that a teacher may want to look at."""
    if (encoding := encoding_of(source)) not in ("utf-8", "utf-8-sig"):
        yield f"The module is written in {plain(encoding, 40)}: what it does is not what an editor may show."
    if takes_long(source):
        yield "The module's text takes too long to read and was not read; a person has to look at it."
        return
    tree = _parsed(source)
    if tree is None:
        return
    if _is_deep(tree):
        yield f"The module nests more than {TREE_DEPTH} levels deep; a person has to look at it."
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
    listed = [item for node in nodes if isinstance(node, (ast.List, ast.Tuple, ast.Set)) for item in node.elts]
    if (numbers := sum(isinstance(item, ast.Constant) for item in listed)) > _LARGE_LIST:
        yield f"The module lists {numbers} numbers or texts; are these stored answers?"


def _size(value: object) -> int:
    """The length of a literal in the source."""
    if isinstance(value, (str, bytes)):
        return len(value)
    return value.bit_length() // 3 if isinstance(value, int) else 0


def _words(node: ast.AST) -> list[str] | list[bytes]:
    value = node.value if isinstance(node, ast.Constant) else ""
    if isinstance(value, int) and not isinstance(value, bool):
        return [f"{value:x}"]
    return value.split() if isinstance(value, (str, bytes)) else []


@lru_cache(maxsize=4)
def _parsed(source: bytes) -> ast.Module | None:
    if len(source) > MODULE_BYTES:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about invalid escapes of the student, on the teacher's terminal
            return tree_of(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _is_deep(tree: ast.AST) -> bool:
    level, depth = [tree], 0
    while level and depth <= TREE_DEPTH:
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
