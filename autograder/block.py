"""One marked block of a solution, and the lines that replace it in the stub."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import lru_cache

from autograder.errors import AuthorError

_Scope = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True)
class Block:
    """One marked block: the lines of its two markers, and how far they are indented."""

    begin: int
    end: int
    indent: int


@dataclass(frozen=True)
class _Walked:
    """What is computed once from a file's syntax tree, for all its blocks."""

    suites: tuple[list[ast.stmt], ...]  #: outermost first
    statements: tuple[ast.stmt, ...]
    parents: dict[ast.AST, ast.AST]


def stand_in(tree: ast.Module, block: Block, blocks: tuple[Block, ...], where: str) -> list[str]:
    """Return the lines that replace a block.

    Args:
        tree: the solution's syntax tree
        block: the block to replace
        blocks: all blocks of the file
        where: the file's path, for messages

    Raises:
        AuthorError: the block is empty, cuts a statement in two, or hides a docstring
    """
    walked = _walked(tree)
    suite, inside = _statements(walked, block, where)
    ancestors = _ancestors(inside[0], walked.parents)
    _refuse_cuts(walked, block, inside, ancestors, where)
    owner = ancestors[0]
    if isinstance(owner, _Scope | ast.Module) and suite[0] in inside and ast.get_docstring(owner) is not None:
        raise AuthorError(f"{where}:{block.begin}: the docstring is inside the block; move BEGIN below it")
    indent = " " * block.indent
    scopes = [node for node in ancestors if isinstance(node, _Scope)]
    if scopes and not isinstance(scopes[0], ast.ClassDef):
        name = ".".join(scope.name for scope in reversed(scopes))
        return [f'{indent}raise NotImplementedError("{name}: not started")']
    names = [f"{indent}{name} = None" for name in _assigned(inside)]
    would_be_empty = all(_is_in(statement, blocks) for statement in suite) and not isinstance(owner, ast.Module)
    return names or ([f"{indent}pass"] if would_be_empty else [])


@lru_cache(maxsize=1)
def _walked(tree: ast.Module) -> _Walked:
    """Walk a tree once for all blocks of its file."""
    nodes = tuple(ast.walk(tree))  # breadth first
    found = (getattr(node, field, None) for node in nodes for field in ("body", "orelse", "finalbody"))
    return _Walked(
        suites=tuple(suite for suite in found if isinstance(suite, list)),
        statements=tuple(node for node in nodes if isinstance(node, ast.stmt)),
        parents={child: node for node in nodes for child in ast.iter_child_nodes(node)},
    )


def _statements(walked: _Walked, block: Block, where: str) -> tuple[list[ast.stmt], list[ast.stmt]]:
    """Return the outermost suite that has statements in the block, and those statements."""
    for suite in walked.suites:
        inside = [statement for statement in suite if _is_in(statement, (block,))]
        if not inside:
            continue
        if inside[0].col_offset != block.indent:
            raise AuthorError(
                f"{where}:{block.begin}: BEGIN is indented by {block.indent}, the code below it by "
                f"{inside[0].col_offset}; indent the markers as the code"
            )
        if not all(isinstance(statement, ast.Pass) for statement in inside):
            return suite, inside
    raise AuthorError(f"{where}:{block.begin}: the block is empty; put at least one whole statement into it")


def _refuse_cuts(walked: _Walked, block: Block, inside: list[ast.stmt], ancestors: list[ast.AST], where: str) -> None:
    """Refuse a block that holds a part of a statement, or parts of two branches."""
    whole = {node for statement in inside for node in ast.walk(statement)}
    for node in walked.statements:
        is_touched = _first_line(node) < block.end and (node.end_lineno or node.lineno) > block.begin
        if is_touched and node not in whole and node not in ancestors:
            raise AuthorError(
                f"{where}:{block.begin}: the block cuts the statement of line {node.lineno} in two; "
                "let it hold whole statements of one branch"
            )


def _ancestors(node: ast.AST, parents: dict[ast.AST, ast.AST]) -> list[ast.AST]:
    found = []
    while node in parents:
        node = parents[node]
        found.append(node)
    return found


def _is_in(statement: ast.stmt, blocks: tuple[Block, ...]) -> bool:
    last = statement.end_lineno or statement.lineno
    return any(block.begin < _first_line(statement) and last < block.end for block in blocks)


def _first_line(statement: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(statement, "decorator_list", [])
    return min([statement.lineno, *(decorator.lineno for decorator in decorators)])


def _assigned(statements: list[ast.stmt]) -> list[str]:
    """Return the simple names that statements assign in their own scope, in order, each once."""
    names: dict[str, None] = {}
    todo: list[ast.AST] = list(reversed(statements))
    while todo:
        node = todo.pop()
        if isinstance(node, _Scope | ast.Lambda):
            continue
        targets = node.targets if isinstance(node, ast.Assign) else []
        if isinstance(node, ast.AnnAssign) and node.value is not None:
            targets = [node.target]
        for target in targets:
            for part in ast.walk(target):
                if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
                    names[part.id] = None
        todo.extend(reversed(list(ast.iter_child_nodes(node))))
    return list(names)
