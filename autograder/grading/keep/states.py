"""States: what the mark of one task depends on, for each task separately.

A test file is divided by names: the part of a task is its tests with the helpers, constants, fixtures and imports that
they use, directly or not. The rest (the solution, a fixture that every test gets) is common to all tasks. Comments and
the order of the tests do not count.
"""

from __future__ import annotations

import ast
import hashlib
import json
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from autograder import extras
from autograder.known import cheap_tests, known_of_task
from autograder.names import Definable, fixtures_too, reached
from autograder.suite import read_suite
from autograder.syntax import parse
from autograder.topic import Topic

#: functions that pytest or unittest calls for a whole module, by their names
_FOR_ALL = ("pytest", "setup", "teardown", "setUp", "tearDown")


@dataclass(frozen=True)
class States:
    """The state of an assignment's own files, divided by task."""

    common: str
    tasks: tuple[tuple[str, str], ...]  #: task id, digest


@lru_cache(maxsize=32)
def states(topic: Topic, suite: str) -> States:
    """Return the states of a topic's tasks; `suite` names the state of its files, which are read once for each state.

    Raises:
        AuthorError: a test file cannot be read, or one of its tests belongs to no task
    """
    task_of = {test.name: test.task for test in read_suite(topic)}
    parts: dict[str, list[str]] = {task.id: [] for task in topic.tasks}
    budgets = topic.memory, topic.disk, topic.processes, topic.answers
    common = [repr(topic.modules), repr(topic.shown), repr(budgets), topic.solution]
    for given in topic.files:
        common += [given, hashlib.sha256((topic.folder / given).read_bytes()).hexdigest()]
    common += list(parts)
    for path in (topic.public_tests_path, topic.hidden_tests_path):
        file = _File(parse(path.read_text(encoding="utf-8"), str(path)))
        common += [path.name, *file.common]
        for name in sorted(file.parts):
            if name in task_of:
                parts[task_of[name]] += [path.name, *file.closure(name)]
    for task in topic.tasks:
        parts[task.id] += [repr(task), extras.version(task.extra) if task.extra else ""]
    for test in sorted(cheap_tests(topic)):
        if test.partition("[")[0] in task_of:
            parts[task_of[test.partition("[")[0]]].append(f"cheap {test}")
    for task_id, line in _hints(topic):
        if task_id in parts:
            parts[task_id].append(line)
    return States(_digest(common), tuple((task, _digest(lines)) for task, lines in parts.items()))


def _hints(topic: Topic) -> Iterator[tuple[str, str]]:
    """Give what each task's hints depend on: its known mistakes, and the tests that each of them fails."""
    for change in tomllib.loads(topic.mistakes_path.read_text(encoding="utf-8")).get("change", ()):
        for mistake in change.get("mistake", ()):
            yield (
                change["task"],
                json.dumps([change["find"], *(mistake[key] for key in ("name", "hint", "replace"))]),
            )
    for task_id, lines in known_of_task(topic).items():
        yield from ((task_id, line) for line in lines)


class _File:
    """One test file: the source of each name at its top level, and the rest."""

    def __init__(self, tree: ast.Module) -> None:
        self.parts: dict[str, list[ast.stmt]] = {}
        self.common: list[str] = []
        for number, node in enumerate(tree.body):
            if number == 0 and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                continue  # the file's docstring
            names = list(_defined(node))
            if not names or _is_for_all(node, names):
                self.common.append(ast.unparse(node))
            for name in names:
                self.parts.setdefault(name, []).append(node)
        self._used = {name: fixtures_too(nodes) & self.parts.keys() for name, nodes in self.parts.items()}
        self._source = {name: [ast.unparse(node) for node in nodes] for name, nodes in self.parts.items()}

    def closure(self, name: str) -> Iterator[str]:
        """Give the source of a name and of all names that it uses, in the order of the names."""
        for one in sorted(reached([name], self._used)):
            yield from self._source[one]


def _defined(node: ast.stmt) -> Iterator[str]:
    """Give the names that a statement binds, if it does nothing else."""
    if isinstance(node, Definable):
        yield node.name
    elif isinstance(node, ast.Import):
        yield from ((alias.asname or alias.name).partition(".")[0] for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module != "__future__":
        yield from (alias.asname or alias.name for alias in node.names if alias.name != "*")
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        names = [one for target in targets for one in _plain_names(target)]
        yield from () if None in names else [name for name in names if name]


def _plain_names(target: ast.expr) -> Iterator[str | None]:
    """Give the names of an assignment's target; None for a part of another object, such as `x[0]`."""
    if isinstance(target, ast.Tuple | ast.List):
        for item in target.elts:
            yield from _plain_names(item)
    else:
        yield target.id if isinstance(target, ast.Name) else None


def _is_for_all(node: ast.stmt, names: list[str]) -> bool:
    """Whether a statement affects every test of the file, even a test that does not name it."""
    is_automatic = isinstance(node, Definable) and any(
        "autouse" in ast.unparse(decorator) for decorator in node.decorator_list
    )
    is_module = isinstance(node, ast.Import | ast.ImportFrom)
    return is_automatic or (not is_module and any(name.startswith(_FOR_ALL) for name in names))


def _digest(lines: Iterable[str]) -> str:
    return hashlib.sha256("\0".join(lines).encode("utf-8", "surrogateescape")).hexdigest()
