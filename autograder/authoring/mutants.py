"""Mutants: the solution with one small mistake, made by rules. Pure: a topic in, mutants out.

A mutant has one edit inside a marked block: another operator, a constant that is one larger or smaller, a missing axis,
a missing statement. If a mutant passes the suite, no test checks this place, unless the mutant computes the same.
Messages of errors and docstrings are not edited, nor is code that only wrong inputs reach (`zip(strict=True)`).
"""

from __future__ import annotations

import ast
from dataclasses import dataclass

from autograder.authoring.mutations import edits_of
from autograder.names import bound, parts_of, users, variables
from autograder.stub import solution_lines
from autograder.syntax import parse
from autograder.topic import Topic


@dataclass(frozen=True)
class Mutant:
    """A worked solution with one small mistake."""

    tasks: tuple[str, ...]  #: whose tests must fail it: the task that names the code, or all that use it
    line: int  #: the line of the edit
    kind: str  #: the rule that made it, such as "comparison"
    description: str  #: the old code and the new code
    find: str  #: whole lines of the solution, which are in it exactly once
    replace: str  #: the same lines of the mutant
    text: str  #: the source of the mutant


def mutants(topic: Topic) -> list[Mutant]:
    """Return the mutants of a topic's solution, from its first line to its last; no two have the same code.

    Raises:
        AuthorError: the solution is not Python, or its markers break a rule
    """
    text = topic.solution
    where = str(topic.solution_path)
    tree = parse(text, where)
    marked = {number for number, _ in solution_lines(text, where, topic.also)}
    concerned = _users(topic, tree)
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
            tasks = tuple(dict.fromkeys(task for name in bound(statement) for task in concerned[name]))
            everywhere = tuple(task.id for task in topic.tasks)
            found.append(Mutant(tasks or everywhere, first, edit.kind, description, find, replace, mutated))
    return found


def code_of(text: str) -> str:
    """Return a text that is equal for two sources if and only if they are the same code."""
    return ast.dump(ast.parse(text))


def _code_instead(text: str, mutated: str, statement: ast.stmt) -> str | None:
    """Return the code that replaces a top-level statement; None if it is not Python."""
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


def _users(topic: Topic, tree: ast.Module) -> dict[str, tuple[str, ...]]:
    """Return for each top-level name the task that names it or, for a helper, the tasks that use it."""
    uses = {name: variables(nodes) for name, nodes in parts_of(tree).items()}
    owners = {name: task.id for task in topic.tasks for name in task.names}
    found = {}
    for name in uses:
        tasks = {owners[user] for user in users([name], uses, stop=owners) if user in owners}
        found[name] = tuple(task.id for task in topic.tasks if task.id in tasks)
    return found


def _lines(text: str, mutated: str, first: int, last: int) -> tuple[str, str]:
    """Return the edited lines, old and new, with enough lines above that the old ones are in the text only once."""
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
