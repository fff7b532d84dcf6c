"""The rules that make mutants: each takes a node of the syntax tree and gives edits of the text.

This file is long because it is a list: one method for each rule, and one table for each family of names.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import NamedTuple

from autograder.spans import Spans

_COMPARISONS: dict[type[ast.cmpop], tuple[str, tuple[str, ...]]] = {
    ast.Lt: ("<", ("<=", ">=")),
    ast.LtE: ("<=", ("<", ">")),
    ast.Gt: (">", (">=", "<=")),
    ast.GtE: (">=", (">", "<")),
    ast.Eq: ("==", ("!=",)),
    ast.NotEq: ("!=", ("==",)),
    ast.In: ("in", ("not in",)),
    ast.NotIn: ("not in", ("in",)),
    ast.Is: ("is", ("is not",)),
    ast.IsNot: ("is not", ("is",)),
}
_ARITHMETIC: dict[type[ast.operator], tuple[str, str]] = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "*"),
    ast.Mod: ("%", "*"),
    ast.Pow: ("**", "*"),
    ast.MatMult: ("@", "*"),
    ast.BitAnd: ("&", "|"),
    ast.BitOr: ("|", "&"),
    ast.BitXor: ("^", "|"),
    ast.LShift: ("<<", ">>"),
    ast.RShift: (">>", "<<"),
}
_KEEPS_LEFT = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Pow)
_KEEPS_RIGHT = (ast.Add, ast.Mult)
_PAIRS = (
    "max min", "argmax argmin", "maximum minimum", "amax amin", "any all", "floor ceil", "zeros ones",
    "zeros_like ones_like", "sum mean", "var std", "sin cos", "train eval", "rand randn", "vstack hstack",
)  # fmt: skip
_OTHER_NAME = dict(pair.split() for pair in _PAIRS) | dict(pair.split()[::-1] for pair in _PAIRS)
_OTHER_BUILTIN = {"max", "min", "any", "all"}
_WRAPPERS = {"abs", "absolute", "sqrt", "square", "exp", "log", "tanh", "sorted", "reversed"}
_COPIES = {"copy", "clone", "detach"}
_TRANSPOSES = {"T", "mT"}
#: functions whose first two arguments can be swapped
_COMMUTATIVE = {"max", "min", "maximum", "minimum", "add", "multiply", "equal", "logical_and", "logical_or"}
#: methods that take -1 for "the rest": what they do with -2 depends on the library
_RESHAPES = {"reshape", "view", "unflatten"}
#: keywords for checks that a right input always passes
_CHECKS = {"strict"}


class Edit(NamedTuple):
    """A piece of text that replaces another one; edits are sorted by their places."""

    start: int
    end: int
    text: str
    kind: str


def edits_of(statement: ast.stmt, text: str) -> Iterator[Edit]:
    """Return every edit that a rule makes in a top-level statement of a source."""
    maker = _Maker(statement, text)
    for node in _judged(statement):
        for rule in _RULES.get(type(node), ()):
            yield from rule(maker, node)


def _judged(node: ast.AST) -> Iterator[ast.AST]:
    """Walk over a tree, without the parts that no test looks at: annotations, texts, and messages of errors."""
    yield node
    if isinstance(node, ast.JoinedStr | ast.Raise | ast.Assert):
        return
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list"):
            continue
        if isinstance(node, ast.keyword) and node.arg in _CHECKS:
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _judged(child)


class _Maker:
    """Makes the edits of one top-level statement: each method is a rule for one kind of node."""

    def __init__(self, statement: ast.stmt, text: str) -> None:
        self._text = text
        self._spans = Spans(text)
        self._bound: dict[str, int] = {}
        self._last: set[ast.AST] = set()
        self._whatever_is_left: set[ast.AST] = set()
        for node in ast.walk(statement):
            for name in _bound(node):
                self._bound[name] = self._bound.get(name, 0) + 1
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                self._last.add(node.body[-1])
            if isinstance(node, ast.Call) and _name_of(node) in _RESHAPES:
                negated = (part for part in ast.walk(node) if isinstance(part, ast.UnaryOp))
                self._whatever_is_left |= {part.operand for part in negated}

    def compare(self, node: ast.Compare) -> Iterator[Edit]:
        for operator, (left, right) in zip(node.ops, pairwise([node.left, *node.comparators]), strict=True):
            symbol, others = _COMPARISONS[type(operator)]
            for other in others:
                yield Edit(*self._spans.between(left, right, symbol), other, "comparison")

    def arithmetic(self, node: ast.BinOp) -> Iterator[Edit]:
        symbol, other = _ARITHMETIC[type(node.op)]
        place = self._spans.between(node.left, node.right, symbol)
        yield Edit(*place, other, "arithmetic")
        left, right = self._spans.sides(node, place)
        if isinstance(node.op, _KEEPS_LEFT):
            yield Edit(*self._spans.of(node), left, "operand dropped")
        if isinstance(node.op, _KEEPS_RIGHT):
            yield Edit(*self._spans.of(node), right, "operand dropped")

    def logic(self, node: ast.BoolOp) -> Iterator[Edit]:
        symbol, other = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        for left, right in pairwise(node.values):
            yield Edit(*self._spans.between(left, right, symbol), other, "boolean operator")
        if len(node.values) == 2:
            left, right = node.values
            for side in self._spans.sides(node, self._spans.between(left, right, symbol)):
                yield Edit(*self._spans.of(node), side, "operand dropped")

    def sign(self, node: ast.UnaryOp) -> Iterator[Edit]:
        if not isinstance(node.op, ast.UAdd):
            start, end = self._spans.of(node)
            symbol = "not" if isinstance(node.op, ast.Not) else "-"
            yield Edit(start, end, self._text[start + len(symbol) : end].strip(), "sign")

    def constant(self, node: ast.Constant) -> Iterator[Edit]:
        value = node.value
        others: tuple[object, ...] = ()
        if isinstance(value, bool):
            others = (not value,)
        elif isinstance(value, int) and node not in self._whatever_is_left:
            others = (value + 1, value - 1) if value else (1,)
        elif isinstance(value, float):
            others = (2 * value, 0.0) if value == 1 else (2 * value,) if value else (1.0,)
        for other in others:
            yield Edit(*self._spans.of(node), repr(other), "constant")

    def condition(self, node: ast.If | ast.While | ast.IfExp) -> Iterator[Edit]:
        for value in ("False",) if isinstance(node, ast.While) else ("True", "False"):
            yield Edit(*self._spans.of(node.test), value, "condition")

    def filter(self, node: ast.comprehension) -> Iterator[Edit]:
        for test in node.ifs:
            yield Edit(*self._spans.of(test), "True", "condition")

    def slice(self, node: ast.Slice) -> Iterator[Edit]:
        for bound in (node.lower, node.upper):
            if bound is not None:
                yield from self._one_off(bound)

    def _one_off(self, bound: ast.expr) -> Iterator[Edit]:
        if not any(isinstance(part, ast.Constant) for part in (bound, getattr(bound, "operand", None))):
            for step in ("+ 1", "- 1"):
                yield Edit(*self._spans.of(bound), f"{self._spans.operand(bound)} {step}", "off by one")

    def call(self, node: ast.Call) -> Iterator[Edit]:
        name = _name_of(node)
        start, end = self._spans.of(node)
        if name in (_OTHER_NAME if isinstance(node.func, ast.Attribute) else _OTHER_BUILTIN):
            stop = self._spans.of(node.func)[1]
            yield Edit(stop - len(name), stop, _OTHER_NAME[name], "other function")
        if name in _WRAPPERS and len(node.args) == 1 and not node.keywords:
            yield Edit(start, end, self._spans.operand(node.args[0]), "call dropped")
        if name in _COPIES and isinstance(node.func, ast.Attribute) and not node.args:
            yield Edit(self._spans.of(node.func.value)[1], end, "", "copy dropped")
        if name == "range" and node.args:
            yield from self._one_off(node.args[min(1, len(node.args) - 1)])
            if len(node.args) == 1:
                start_at_one = f"1, {self._spans.operand(node.args[0])}"
                yield Edit(*self._spans.of(node.args[0]), start_at_one, "off by one")
        if name not in _COMMUTATIVE:
            yield from self._swaps(node.args, "arguments swapped")
        for keyword in node.keywords:
            if keyword.arg is not None and keyword.arg not in _CHECKS:
                yield self._without(keyword)

    def _without(self, keyword: ast.keyword) -> Edit:
        """Drop a keyword argument, with the comma before it or, if there is none, after it."""
        start, end = self._spans.of(keyword)
        before = self._text[:start].rstrip()
        if before.endswith(","):
            return Edit(len(before) - 1, end, "", "keyword dropped")
        comma = re.match(r"\s*,\s*", self._text[end:])
        return Edit(start, end + (comma.end() if comma else 0), "", "keyword dropped")

    def _swaps(self, parts: list[ast.expr], kind: str) -> Iterator[Edit]:
        for left, right in pairwise(parts):
            if not isinstance(left, ast.Starred) and not isinstance(right, ast.Starred):
                (start, stop), (begin, end) = self._spans.of(left), self._spans.of(right)
                swapped = self._text[begin:end] + self._text[stop:begin] + self._text[start:stop]
                yield Edit(start, end, swapped, kind)

    def transpose(self, node: ast.Attribute) -> Iterator[Edit]:
        if node.attr in _TRANSPOSES:
            yield Edit(self._spans.of(node.value)[1], self._spans.of(node)[1], "", "transpose dropped")

    def returned(self, node: ast.Return) -> Iterator[Edit]:
        if isinstance(node.value, ast.Tuple):
            yield from self._swaps(node.value.elts, "returned order")

    def statement(self, node: ast.stmt) -> Iterator[Edit]:
        is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        names = [name for part in ast.walk(node) for name in _bound(part)]
        is_first_value = isinstance(node, ast.Assign) and any(self._bound[name] == 1 for name in names)
        is_last_return = isinstance(node, ast.Return) and node in self._last
        if not (is_text or is_first_value or is_last_return):
            yield Edit(*self._spans.of(node), "pass", "statement dropped")

    def context(self, node: ast.With) -> Iterator[Edit]:
        if all(item.optional_vars is None for item in node.items):
            start, end = self._spans.of(node)[0], self._spans.of(node.items[-1].context_expr)[1]
            yield Edit(start, end, "if True", "context dropped")

    def assigned(self, node: ast.AugAssign) -> Iterator[Edit]:
        symbol, other = _ARITHMETIC[type(node.op)]
        for new in (f"{other}=", "="):
            yield Edit(*self._spans.between(node.target, node.value, f"{symbol}="), new, "arithmetic")


def _name_of(node: ast.Call) -> str:
    """Return the name that is called, without the object before the dot."""
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def _bound(node: ast.AST) -> list[str]:
    """Return the name that a node gives a value to."""
    if isinstance(node, ast.arg):
        return [node.arg]
    return [node.id] if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) else []


_DROPPED = (ast.Expr, ast.Assign, ast.AugAssign, ast.Return, ast.Raise, ast.Break, ast.Continue, ast.Delete)
_RULES: dict[type, tuple[Callable[..., Iterator[Edit]], ...]] = {
    ast.Compare: (_Maker.compare,),
    ast.BinOp: (_Maker.arithmetic,),
    ast.BoolOp: (_Maker.logic,),
    ast.UnaryOp: (_Maker.sign,),
    ast.Constant: (_Maker.constant,),
    ast.If: (_Maker.condition,),
    ast.While: (_Maker.condition,),
    ast.IfExp: (_Maker.condition,),
    ast.comprehension: (_Maker.filter,),
    ast.Slice: (_Maker.slice,),
    ast.Call: (_Maker.call,),
    ast.Attribute: (_Maker.transpose,),
    ast.With: (_Maker.context,),
    **dict.fromkeys(_DROPPED, (_Maker.statement,)),
    ast.Return: (_Maker.statement, _Maker.returned),
    ast.AugAssign: (_Maker.statement, _Maker.assigned),
}
