"""Imports: find the packages that a student's module imports although its topic does not allow them."""

from __future__ import annotations

import ast
import sys
import warnings
from collections.abc import Collection, Iterator

from autograder.syntax import tree_of

_IMPORTERS = {"__import__", "import_module"}


def imports_outside(source: str, allowed: Collection[str]) -> list[tuple[int, str]]:
    """Return (line, name) for each import that is neither allowed nor of the standard library.

    Args:
        source: a module's text; one that is not valid Python imports nothing
        allowed: packages, each with all its modules: "torch" allows torch.nn

    Returns:
        in the order of their lines; a relative import has the name ".", an import with a computed name "?"
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about invalid escapes in the student's text
            tree = tree_of(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    found = {(line, name) for line, name in _imports(tree) if not _is_allowed(name, allowed)}
    return sorted(found)


def _is_allowed(name: str, allowed: Collection[str]) -> bool:
    if name.split(".")[0] in sys.stdlib_module_names:
        return True
    return any(name == package or name.startswith(f"{package}.") for package in allowed)


def _imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, "." if node.level else str(node.module)
        elif isinstance(node, ast.Call) and _called(node.func) in _IMPORTERS:
            name = node.args[0] if node.args else None
            is_text = isinstance(name, ast.Constant) and isinstance(name.value, str)
            yield node.lineno, str(name.value) if is_text else "?"  # type: ignore[union-attr]


def _called(function: ast.expr) -> str:
    """'import_module' for import_module(...) and importlib.import_module(...)."""
    if isinstance(function, ast.Name):
        return function.id
    return function.attr if isinstance(function, ast.Attribute) else ""
