"""Restyled: the same code as another person would write it, so that an invented class is not one module many times.

An inner expression gets a name of its own, in some lines and not in others. What is computed first is still computed
first, so the code does what it did.
"""

from __future__ import annotations

import ast
import random

_NAMES = ("part", "step", "inner", "first", "value", "found", "temporary", "piece")


def restyled(code: str, person: str) -> str:
    """Return the code of a module in the style of a person: the same person always writes the same."""
    tree = _Writer(person).visit(ast.parse(code))
    return f"{ast.unparse(ast.fix_missing_locations(tree))}\n"


class _Writer(ast.NodeTransformer):
    def __init__(self, person: str) -> None:
        self._drawn = random.Random(person)
        self._name = self._drawn.choice(_NAMES)
        self._depth = 0

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self._depth += 1
        self.generic_visit(node)
        self._depth -= 1
        return node

    def visit_Return(self, node: ast.Return) -> ast.AST | list[ast.stmt]:
        return self._parted(node)

    def visit_Assign(self, node: ast.Assign) -> ast.AST | list[ast.stmt]:
        return self._parted(node)

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        self.generic_visit(node)
        if not self._depth or _is_short(node.test) or self._drawn.random() < 0.4:
            return node
        name = f"{self._name}_{node.lineno}"
        node.test, test = ast.Name(name, ast.Load()), node.test
        return [ast.Assign([ast.Name(name, ast.Store())], test), node]

    def visit_For(self, node: ast.For) -> ast.AST | list[ast.stmt]:
        self.generic_visit(node)
        if not self._depth or _is_short(node.iter) or self._drawn.random() < 0.4:
            return node
        name = f"{self._name}_{node.lineno}"
        node.iter, iterated = ast.Name(name, ast.Load()), node.iter
        return [ast.Assign([ast.Name(name, ast.Store())], iterated), node]

    def _parted(self, node: ast.Return | ast.Assign) -> ast.AST | list[ast.stmt]:
        """Give the part that is computed first a name, or the whole value, or leave the line as it is."""
        how = self._drawn.choice(("whole", "inner", "inner", "as it is"))
        if not self._depth or node.value is None or how == "as it is":
            return node
        name = f"{self._name}_{node.lineno}"
        if how == "whole" and isinstance(node, ast.Return) and not _is_short(node.value):
            node.value, value = ast.Name(name, ast.Load()), node.value
            return [ast.Assign([ast.Name(name, ast.Store())], value), node]
        before: list[ast.stmt] = []
        for number, (owner, field) in enumerate(reversed(_first_parts(node.value))):  # the innermost comes first
            if self._drawn.random() < 0.6:
                part = ast.Name(f"{name}_{number}", ast.Store())
                before.append(ast.Assign([part], getattr(owner, field)))
                setattr(owner, field, ast.Name(part.id, ast.Load()))
        return [*before, node]


def _first_parts(value: ast.expr) -> list[tuple[ast.AST, str]]:
    """The inner expressions that are computed before all else in a value, each as an object and its field."""
    found: list[tuple[ast.AST, str]] = []
    while True:
        field = {ast.BinOp: "left", ast.Compare: "left", ast.Attribute: "value", ast.Subscript: "value",
                 ast.Call: "func", ast.UnaryOp: "operand"}.get(type(value))  # fmt: skip
        if field is None:
            return found
        inner = getattr(value, field)
        if field != "func" and not _is_short(inner):
            found.append((value, field))
        value = inner


def _is_short(value: ast.expr) -> bool:
    """Whether nobody would give it a name: a name, a number, an attribute of a name."""
    return isinstance(value, ast.Name | ast.Constant) or (
        isinstance(value, ast.Attribute) and isinstance(value.value, ast.Name)
    )
