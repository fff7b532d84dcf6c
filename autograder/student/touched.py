"""Touched: the tasks that a change of the module, or of its public tests, concerns. Pure: texts in, tasks out.

A definition whose code changed concerns the tasks that name it. A definition that no task names is a helper; it
concerns the tasks of the code that uses it. Comments and blank lines do not count.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Mapping

from autograder.names import parts_of, users, variables
from autograder.syntax import task_of_mark

Definitions = dict[str, tuple[str, frozenset[str]]]  # name -> its code, and the names that it uses


def touched(before: str, after: str, names_of: Mapping[str, Collection[str]]) -> list[str]:
    """Return the tasks, in their order, that a change of the module from `before` to `after` concerns.

    Args:
        before: a module's text; one that is not valid Python defines nothing
        after: its new text
        names_of: task -> the names that it asks for, such as "softmax", "Adam" or "Adam.step"
    """
    tops = {task: {name.partition(".")[0] for name in names} for task, names in names_of.items()}
    named = set().union(*tops.values()) if tops else set()
    changed = _reach(*_changed(before, after), stop=named)
    return [task for task, names in tops.items() if names & changed]


def touched_by_tests(before: str, after: str) -> list[str]:
    """Return the tasks whose tests a change of the test file concerns."""
    old, new = definitions(before), definitions(after)
    tasks = _tasks_of_tests(after)
    changed = _reach({name for name in new if old.get(name) != new[name]}, new, stop=set(tasks))
    return list(dict.fromkeys(task for test, task in tasks.items() if test in changed))


def is_python(text: str) -> bool:
    """True for a text that Python can parse."""
    return _parsed(text) is not None


def definitions(text: str) -> Definitions:
    """Return what a module defines or imports at its top level."""
    tree = _parsed(text)
    lines = text.splitlines()
    return {
        name: ("".join(_code(node, lines) for node in nodes), variables(nodes))
        for name, nodes in (parts_of(tree).items() if tree else ())
    }


def _code(node: ast.stmt, lines: list[str]) -> str:
    """The code of a statement without its comments; with them if the code cannot be dumped.

    A sum of 500 terms is nested too deep, and a number may have more digits than Python writes.
    """
    try:
        return ast.dump(node)
    except (RecursionError, ValueError):
        return "\n".join(lines[node.lineno - 1 : node.end_lineno])


def _changed(before: str, after: str) -> tuple[set[str], Definitions]:
    """The names whose code differs, removed names too; and all definitions, with removed ones as they were."""
    old, new = definitions(before), definitions(after)
    names = {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}
    return names, old | new


def _reach(changed: set[str], known: Definitions, *, stop: Collection[str]) -> set[str]:
    """Add the names that use a changed helper, directly or not; do not go on from a name in `stop`."""
    return users(changed, {name: used for name, (_, used) in known.items()}, stop=stop)


def _tasks_of_tests(text: str) -> dict[str, str]:
    """Test -> its task, as @pytest.mark.task("...") above it says."""
    tree, found = _parsed(text), {}
    for node in tree.body if tree else []:
        if isinstance(node, ast.FunctionDef):
            for mark in node.decorator_list:
                if task := task_of_mark(mark):
                    found[node.name] = task
    return found


def _parsed(text: str) -> ast.Module | None:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
