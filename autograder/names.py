"""Names: the names that a Python file defines at its top level, and which of them use which others.

There is one graph for all code that follows names: to find the tasks that a change concerns (student/touched.py), the
tests on which a task's mark depends (states.py), the tasks that a mutant concerns (mutants.py), the functions that a
test uses (costs.py). It is pure, and only for trusted or harmless uses: no mark of a student depends on the spelling of
a name.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterable, Iterator, Mapping

Definable = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
_WORD = re.compile(r"\w+")


def bound(node: ast.stmt) -> list[str]:
    """Return the names that a top-level statement binds, also by `+=`, `for` or `with`."""
    if isinstance(node, Definable):
        return [node.name]
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [(alias.asname or alias.name).partition(".")[0] for alias in node.names]
    stored = (part for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store))
    return list(dict.fromkeys(part.id for part in stored))


def parts_of(tree: ast.Module) -> dict[str, list[ast.stmt]]:
    """Return each top-level name of a file with the statements that bind it, in their order."""
    parts: dict[str, list[ast.stmt]] = {}
    for node in tree.body:
        for name in bound(node):
            parts.setdefault(name, []).append(node)
    return parts


def variables(nodes: Iterable[ast.AST]) -> frozenset[str]:
    """Return the variables in some statements."""
    return frozenset(part.id for node in nodes for part in ast.walk(node) if isinstance(part, ast.Name))


def fixtures_too(nodes: Iterable[ast.AST]) -> frozenset[str]:
    """Return the variables, the arguments, and the texts that are names: so a test asks for fixtures."""
    return frozenset(_fixtures(nodes))


def words(nodes: Iterable[ast.AST]) -> frozenset[str]:
    """Return every variable, argument, attribute, and word of a text, except in docstrings."""
    found: set[str] = set()
    for node in nodes:
        docstrings = {id(first.value) for inner in ast.walk(node) for first in _docstring(inner)}
        for part in ast.walk(node):
            if isinstance(part, ast.Name):
                found.add(part.id)
            elif isinstance(part, ast.Attribute):
                found.add(part.attr)
            elif isinstance(part, ast.arg):
                found.add(part.arg)
            elif isinstance(part, ast.Constant) and isinstance(part.value, str) and id(part) not in docstrings:
                found.update(_WORD.findall(part.value))
    return frozenset(found)


def reached(start: Iterable[str], uses: Mapping[str, Collection[str]]) -> set[str]:
    """Return some names and all names that they use, directly or not."""
    found = set(start)
    waiting = [name for name in found if name in uses]
    while waiting:
        new = {name for name in uses[waiting.pop()] if name not in found}
        found |= new
        waiting += [name for name in new if name in uses]
    return found


def users(start: Iterable[str], uses: Mapping[str, Collection[str]], *, stop: Collection[str] = ()) -> set[str]:
    """Return some names and all names that use them, directly or not; do not go on from a name in `stop`."""
    found = set(start)
    waiting = [name for name in found if name not in stop]
    while waiting:
        used = waiting.pop()
        new = {name for name, its in uses.items() if used in its} - found
        found |= new
        waiting += [name for name in new if name not in stop]
    return found


def _fixtures(nodes: Iterable[ast.AST]) -> Iterator[str]:
    for part in (inner for node in nodes for inner in ast.walk(node)):
        if isinstance(part, ast.Name):
            yield part.id
        elif isinstance(part, ast.arg):
            yield part.arg
        elif isinstance(part, ast.Constant) and isinstance(part.value, str):
            yield part.value


def _docstring(node: ast.AST) -> list[ast.Expr]:
    """Return the first statement of a definition, if it is an expression: its docstring."""
    return [first for first in node.body[:1] if isinstance(first, ast.Expr)] if isinstance(node, Definable) else []
