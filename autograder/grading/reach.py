"""Reach: which statements of a module have a part in its functions, by the names that they use.

A module's text only: `conv2d_forward` reaches `_helper` if it says `_helper`, and the statement that made `_helper`.
Whatever writes into the module by other ways (`setattr`, `globals()`, `exec`) has a part in everything. Experiments
below `if __name__ == "__main__":`, and statements that name nothing, have a part in nothing.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_EVERYTHING = "*"
#: what writes into a module, or looks into it, under a name that is a text
_BY_TEXT = {"globals", "locals", "vars", "setattr", "exec", "eval", "__dict__", "modules"}
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_SCOPES = (*_DEFINITIONS, ast.Lambda)
Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


@dataclass(frozen=True)
class Statement:
    """A statement at the top of a module."""

    node: ast.AST
    binds: frozenset[str]  #: the names that it gives a meaning, or _EVERYTHING
    names: frozenset[str]  #: the names that it uses


class Module:
    """The statements of one module, and how they hang together."""

    def __init__(self, tree: ast.Module) -> None:
        found = list(_statements(tree.body))
        at_the_top = {id(node) for node in tree.body}
        defined = {
            node.name: number
            for number, (node, _) in enumerate(found)
            if isinstance(node, _DEFINITIONS) and id(node) in at_the_top
        }
        self._statements = [
            Statement(node, binds, _names(node))
            for number, (node, binds) in enumerate(found)
            if not (
                isinstance(node, ast.ImportFrom) and all(defined.get(name, -1) > number for name in binds)
            )
        ]
        self._binding: dict[str, list[int]] = {}
        for number, statement in enumerate(self._statements):
            for name in statement.binds:
                self._binding.setdefault(name, []).append(number)

    def reached(self, names: Iterable[str]) -> list[ast.AST]:
        """Return the statements that have a part in what these names stand for, in the order of the text."""
        pending, known = [*names, _EVERYTHING], set[str]()
        found: set[int] = set()
        while pending:
            name = pending.pop()
            if name in known:
                continue
            known.add(name)
            for number in self._binding.get(name, ()):
                if number not in found:
                    found.add(number)
                    pending.extend(self._statements[number].names)
        return [self._statements[number].node for number in sorted(found)]


def _statements(body: Iterable[ast.stmt]) -> Iterator[tuple[ast.AST, frozenset[str]]]:
    """Give each statement at the top, those of its blocks one by one, with the names that it binds."""
    for node in body:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                made = _made_global(node)
                yield node, frozenset({node.name, *made})
                for inner in ast.walk(node) if made else ():
                    yield from (item for item in _imported(inner) if item[1] <= made)
            case ast.ImportFrom():
                yield from _imported(node)
            case ast.If() if _is_main(node.test):
                yield from _statements(node.orelse)
            case (
                ast.If() | ast.While() | ast.Try() | ast.With() | ast.For() | ast.AsyncWith() | ast.AsyncFor()
            ):
                yield from _heads(node)
                for block in ("body", "orelse", "finalbody"):
                    yield from _statements(getattr(node, block, ()))
                for handler in getattr(node, "handlers", ()):
                    yield from _statements(handler.body)
            case ast.Match():
                for case in node.cases:
                    yield from _statements(case.body)
            case ast.Expr() | ast.Assign() | ast.AnnAssign() | ast.AugAssign():
                yield node, _bound(node)


def _imported(node: ast.AST) -> Iterator[tuple[ast.ImportFrom, frozenset[str]]]:
    """Give each name that `from ... import ...` binds, as a statement of its own."""
    if not isinstance(node, ast.ImportFrom):
        return
    for alias in node.names:
        alone = ast.ImportFrom(node.module, [alias], node.level)
        yield ast.copy_location(alone, node), frozenset({alias.asname or alias.name})


def _heads(node: ast.stmt) -> Iterator[tuple[ast.AST, frozenset[str]]]:
    """Give what a block's first line binds: the target of a `for`, the names of a `with`."""
    if isinstance(node, (ast.For, ast.AsyncFor)):
        yield node.iter, _stored(node.target)
    for item in node.items if isinstance(node, (ast.With, ast.AsyncWith)) else ():
        yield item.context_expr, _stored(item.optional_vars) if item.optional_vars else frozenset()


def _bound(node: ast.Expr | ast.Assign | ast.AnnAssign | ast.AugAssign) -> frozenset[str]:
    if _said(node) & _BY_TEXT:
        return frozenset({_EVERYTHING})
    if isinstance(node, ast.Expr):  # `kernels.append(...)`, `register(...)`
        roots = {_root(inner.func) for inner in ast.walk(node) if isinstance(inner, ast.Call)}
        return frozenset(roots - {""}) | _stored(node)
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return frozenset().union(*(_stored(target) for target in targets), _stored(node))


def _stored(node: ast.AST) -> frozenset[str]:
    """Return the names that are assigned within a node: Net for `Net.forward = ...` too."""
    found = {
        inner.id
        for inner in ast.walk(node)
        if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store)
    }
    found |= {
        _root(inner)
        for inner in ast.walk(node)
        if isinstance(inner, (ast.Attribute, ast.Subscript)) and isinstance(inner.ctx, ast.Store)
    }
    return frozenset(found - {""})


def _root(node: ast.AST) -> str:
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def _made_global(node: ast.AST) -> set[str]:
    return {name for inner in ast.walk(node) if isinstance(inner, ast.Global) for name in inner.names}


def _is_main(test: ast.expr) -> bool:
    """`__name__ == "__main__"`."""
    return isinstance(test, ast.Compare) and isinstance(test.left, ast.Name) and test.left.id == "__name__"


def _said(node: ast.AST) -> set[str]:
    """Every name and attribute that a node says."""
    found = {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}
    return found | {inner.attr for inner in ast.walk(node) if isinstance(inner, ast.Attribute)}


def _names(node: ast.AST) -> frozenset[str]:
    """Return the names that a statement takes from the module, those in texts too where it looks up by text."""
    names = _free(node)
    if _said(node) & _BY_TEXT:
        texts = (inner.value for inner in ast.walk(node) if isinstance(inner, ast.Constant))
        names |= {text for text in texts if isinstance(text, str) and text.isidentifier()}
    return frozenset(names)


def _free(node: ast.AST) -> set[str]:
    """Return the names that a node uses and that no function within it makes its own."""
    if isinstance(node, ast.Name):
        return {node.id}
    found = set[str]().union(*(_free(child) for child in ast.iter_child_nodes(node)), set())
    return found - _own(node) if isinstance(node, Function) else found


def _own(function: Function) -> set[str]:
    """Return a function's parameters, and what it assigns itself."""
    arguments = function.args
    own = {argument.arg for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)}
    own |= {argument.arg for argument in (arguments.vararg, arguments.kwarg) if argument}
    body = function.body if isinstance(function.body, list) else [function.body]
    pending: list[ast.AST] = list(body)
    passed_on = set[str]()
    while pending:
        node = pending.pop()
        if isinstance(node, (ast.Global, ast.Nonlocal)):
            passed_on |= set(node.names)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            own.add(node.name)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            own.add(node.id)
        if not isinstance(node, _SCOPES):
            pending.extend(ast.iter_child_nodes(node))
    return own - passed_on
