"""Find a probe's source in its file, remove what does not run, and list the names that it takes from outside."""

from __future__ import annotations

import ast
import copy
import dis
import functools
import linecache
from types import CodeType
from typing import Any

_LOADS = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")
_STORES = ("STORE_NAME", "STORE_GLOBAL")
_OF_EVERY_MODULE = {"__name__", "__classdict__", "__conditional_annotations__"}


def stripped(code: CodeType) -> str | None:
    """Return the `def` that made `code`, without decorators, docstrings, annotations; None if it is gone."""
    for node in ast.walk(_parsed("".join(linecache.getlines(code.co_filename)))):
        if isinstance(node, ast.FunctionDef) and node.name == code.co_name:
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            if first == code.co_firstlineno:
                node = copy.deepcopy(node)
                node.decorator_list = []
                return ast.unparse(_Stripper().visit(node))
    return None


@functools.lru_cache(maxsize=4)
def _parsed(text: str) -> ast.Module:
    try:
        return ast.parse(text)
    except SyntaxError:
        return ast.Module(body=[], type_ignores=[])


def outside_names(source: str) -> list[str]:
    """Return every name that the source looks up outside itself, builtins included, sorted."""
    return sorted(_names_of(compile(source, "<probe>", "exec")))


class _Stripper(ast.NodeTransformer):
    """Drop docstrings and annotations of the function and of all that it defines."""

    def visit_FunctionDef(self, node: Any) -> Any:
        self.generic_visit(node)
        node.returns = None
        return _without_docstring(node)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_ClassDef(self, node: ast.ClassDef) -> Any:
        for index, statement in enumerate(node.body):
            if not isinstance(statement, ast.AnnAssign):  # a dataclass needs its annotations, which are its fields
                node.body[index] = self.visit(statement)
        return _without_docstring(node)

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.stmt:
        self.generic_visit(node)
        if node.value is None:
            return ast.copy_location(ast.Pass(), node)
        return ast.copy_location(ast.Assign(targets=[node.target], value=node.value), node)


def _without_docstring(node: Any) -> Any:
    if ast.get_docstring(node, clean=False) is not None:
        node.body = node.body[1:] or [ast.Pass()]
    return node


def _names_of(code: CodeType) -> set[str]:
    steps = list(dis.get_instructions(code))
    stored = {step.argval for step in steps if step.opname in _STORES}
    loaded = {step.argval for step in steps if step.opname in _LOADS}
    names = {str(name) for name in loaded - stored - _OF_EVERY_MODULE}
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= _names_of(constant)
    return names
