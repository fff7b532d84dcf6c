"""Mutants: the small slips that could stand in a worked solution, made by rule. Pure: a topic in, mutants out.

A mutant is the solution with one edit inside a marked block: another operator, a constant one off, an axis left out,
a statement dropped. A suite that lets one pass does not look there, unless the mutant computes the same thing.
Messages of errors and docstrings are left alone, and so is what a right input never reaches (`zip(strict=True)`).
"""

from __future__ import annotations

import ast
from dataclasses import dataclass

from autograder.authoring.mutations import edits_of
from autograder.authoring.stub import parse, solution_lines
from autograder.topic import Topic

_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True)
class Mutant:
    """A worked solution with one slip in it."""

    tasks: tuple[str, ...]  #: whose tests must catch it: the task that names it, or all that use a helper
    line: int  #: where the slip is
    kind: str  #: which rule made it, such as "comparison"
    description: str  #: what becomes what
    find: str  #: whole lines of the solution that stand there once
    replace: str  #: the same lines of the mutant
    text: str  #: the source of the mutant


def mutants(topic: Topic) -> list[Mutant]:
    """Return the mutants of a topic's solution, from its first line to its last, no two with the same code.

    Raises:
        AuthorError: the solution is not Python, or its markers break a rule
    """
    text = topic.solution_path.read_text(encoding="utf-8")
    where = str(topic.solution_path)
    tree = parse(text, where)
    marked = {number for number, _ in solution_lines(text, where)}
    users = _users(topic, tree)
    found: list[Mutant] = []
    for statement in tree.body:
        seen = {ast.dump(statement)}
        for edit in sorted(edits_of(statement, text)):
            first, last = _line_of(text, edit.start), _line_of(text, edit.end)
            if first not in marked or last not in marked:
                continue
            mutated = text[: edit.start] + edit.text + text[edit.end :]
            code = _code_instead(text, mutated, statement)
            if code is None or code in seen:
                continue
            seen.add(code)
            find, replace = _lines(text, mutated, first, last)
            description = f"{' '.join(text[edit.start : edit.end].split())!r} becomes {edit.text!r}"
            tasks = tuple(dict.fromkeys(task for name in _names(statement) for task in users[name]))
            everywhere = tuple(task.id for task in topic.tasks)
            found.append(Mutant(tasks or everywhere, first, edit.kind, description, find, replace, mutated))
    return found


def code_of(text: str) -> str:
    """Return a text that two sources share if and only if they are the same code."""
    return ast.dump(ast.parse(text))


def _code_instead(text: str, mutated: str, statement: ast.stmt) -> str | None:
    """Return the code that stands in the place of a top-level statement; None if it is no Python."""
    old, new = text.split("\n"), mutated.split("\n")
    decorators: list[ast.expr] = getattr(statement, "decorator_list", [])
    first = min([statement.lineno, *(decorator.lineno for decorator in decorators)])
    last = len(new) - (len(old) - (statement.end_lineno or statement.lineno))
    instead = "\n".join(new[first - 1 : last])
    try:
        compile(instead, "mutant", "exec", dont_inherit=True)
        return ast.dump(ast.parse(instead).body[0])
    except SyntaxError:
        return None


def _names(statement: ast.stmt) -> list[str]:
    """Return what a top-level statement defines."""
    if isinstance(statement, _Definition):
        return [statement.name]
    return [
        node.id
        for node in ast.walk(statement)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    ]


def _users(topic: Topic, tree: ast.Module) -> dict[str, tuple[str, ...]]:
    """Return for each top-level name the task that names it or, of a helper, the tasks that use it."""
    uses: dict[str, set[str]] = {}
    for statement in tree.body:
        loaded = {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}
        for name in _names(statement):
            uses.setdefault(name, set()).update(loaded - {name})
    owners = {name: task.id for task in topic.tasks for name in task.names}
    users = {}
    for name in uses:
        reach: dict[str, None] = {name: None}
        todo = [name] if name not in owners else []
        while todo:
            helper = todo.pop()
            for user in uses:
                if helper in uses[user] and user not in reach:
                    reach[user] = None
                    if user not in owners:
                        todo.append(user)
        tasks = {owners[user] for user in reach if user in owners}
        users[name] = tuple(task.id for task in topic.tasks if task.id in tasks)
    return users


def _lines(text: str, mutated: str, first: int, last: int) -> tuple[str, str]:
    """Return the edited lines and what they became, with as many lines above as make them stand there once."""
    old, new = text.split("\n"), mutated.split("\n")
    after = len(old) - last
    for start in range(first - 1, -1, -1):
        find = "\n".join(old[start:last]).strip()
        replace = "\n".join(new[start : len(new) - after]).strip()
        if text.count(find) == 1:
            break
    return find, replace


def _line_of(text: str, offset: int) -> int:
    return text.count("\n", 0, offset) + 1
