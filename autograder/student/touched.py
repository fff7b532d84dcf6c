"""Touched: which tasks does a change of the module, or of its public tests, concern? Pure: texts in, tasks out.

A definition whose code changed concerns the tasks that name it. What no task names is a helper, and concerns the
tasks of whatever uses it. Comments and blank lines change nothing.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Mapping

Definitions = dict[str, tuple[str, frozenset[str]]]  # name -> its code, and the names that it uses


def touched(before: str, after: str, names_of: Mapping[str, Collection[str]]) -> list[str]:
    """Return the tasks, in their order, that a change of the module from `before` to `after` concerns.

    Args:
        before: a module's text; one that is not valid Python defines nothing
        after: its new text
        names_of: task -> what it asks for, such as "softmax", "Adam" or "Adam.step"
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
    found: Definitions = {}
    for node in tree.body if tree else []:
        used = frozenset(part.id for part in ast.walk(node) if isinstance(part, ast.Name))
        code = ast.dump(node)
        for name in _bound(node):
            earlier = found.get(name, ("", frozenset()))  # x = 1, then x += 1: both count
            found[name] = (earlier[0] + code, earlier[1] | used)
    return found


def _changed(before: str, after: str) -> tuple[set[str], Definitions]:
    """The names whose code differs, those that went too; and what uses what now, or did before it went."""
    old, new = definitions(before), definitions(after)
    names = {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}
    return names, old | new


def _reach(changed: set[str], known: Definitions, *, stop: Collection[str]) -> set[str]:
    """Add whatever uses a changed helper, directly or not; do not go on from a name in `stop`."""
    reached, open_names = set(changed), [name for name in changed if name not in stop]
    while open_names:
        helper = open_names.pop()
        users = {name for name, (_, used) in known.items() if helper in used} - reached
        reached |= users
        open_names += [name for name in users if name not in stop]
    return reached


def _bound(node: ast.stmt) -> set[str]:
    """The names that a top-level statement gives a meaning."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
    return {
        part.id for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)
    }


def _tasks_of_tests(text: str) -> dict[str, str]:
    """Test -> its task, as @pytest.mark.task("...") above it says."""
    tree, found = _parsed(text), {}
    for node in tree.body if tree else []:
        if isinstance(node, ast.FunctionDef):
            for mark in node.decorator_list:
                if task := task_of_mark(mark):
                    found[node.name] = task
    return found


def task_of_mark(mark: ast.expr) -> str:
    """The task of a decorator @pytest.mark.task("..."), or '' of any other."""
    if isinstance(mark, ast.Call) and mark.args and isinstance(mark.args[0], ast.Constant):
        return str(mark.args[0].value) if ast.unparse(mark.func).endswith("mark.task") else ""
    return ""


def _parsed(text: str) -> ast.Module | None:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
