"""States: what the mark of one task follows from, apart from every other task.

A test file is taken apart by names: a task's part is its tests with the helpers, constants, fixtures and imports that
they use, directly or not. What cannot be told apart so (the solution, a fixture that every test gets) is common to all
tasks. Comments and the order of the tests belong to nobody.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import json
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from autograder import extras
from autograder.authoring.cheats import cheap_tests
from autograder.authoring.stub import parse
from autograder.suite import read_suite
from autograder.topic import Topic

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
#: what pytest or unittest calls for a whole module, by its name
_FOR_ALL = ("pytest", "setup", "teardown", "setUp", "tearDown")


@dataclass(frozen=True)
class States:
    """The state of an assignment's own files, taken apart."""

    common: str
    tasks: tuple[tuple[str, str], ...]  #: task id, digest


@lru_cache(maxsize=32)
def states(topic: Topic, suite: str) -> States:
    """Return the states of a topic's tasks; `suite` names the state of its files, which are read once for each.

    Raises:
        AuthorError: a test file cannot be read or has no place for one of its tests
    """
    task_of = {test.name: test.task for test in read_suite(topic)}
    parts: dict[str, list[str]] = {task.id: [] for task in topic.tasks}
    budgets = topic.memory, topic.files, topic.processes, topic.answers
    common = [topic.module, repr(topic.packages), repr(budgets), topic.solution_path.read_text("utf-8")]
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
    """Give what each task's hints follow from: its known mistakes, and the tests that each of them fails."""
    for mistake in tomllib.loads(topic.mistakes_path.read_text(encoding="utf-8")).get("mistake", ()):
        yield mistake["task"], json.dumps([mistake["name"], mistake["hint"]])
    with contextlib.suppress(
        OSError, ValueError, TypeError, KeyError
    ):  # not computed yet: there are no hints
        kept = json.loads((topic.folder / "signatures.json").read_text(encoding="utf-8"))
        yield from [(signature["task"], json.dumps(signature)) for signature in kept["signatures"]]
    with contextlib.suppress(OSError, ValueError, TypeError, LookupError):
        said = json.loads((topic.folder / "faults.json").read_text(encoding="utf-8"))
        yield from [(entry[0], json.dumps(entry)) for entry in said]


class _File:
    """One test file: the source of what each name at its top level stands for, and what is left."""

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
        self._used = {name: set(_used(nodes)) & set(self.parts) for name, nodes in self.parts.items()}
        self._source = {name: [ast.unparse(node) for node in nodes] for name, nodes in self.parts.items()}

    def closure(self, name: str) -> Iterator[str]:
        """Give the source of a name and of all that it uses, in the order of names."""
        found, waiting = set(), {name}
        while waiting:
            found.add(one := waiting.pop())
            waiting |= self._used[one] - found
        for one in sorted(found):
            yield from self._source[one]


def _defined(node: ast.stmt) -> Iterator[str]:
    """Give the names that a statement binds, if binding them is all that it does."""
    if isinstance(node, _FUNCTIONS):
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
    """Give the names of an assignment's target; None for a place inside of something else."""
    if isinstance(target, ast.Tuple | ast.List):
        for item in target.elts:
            yield from _plain_names(item)
    else:
        yield target.id if isinstance(target, ast.Name) else None


def _is_for_all(node: ast.stmt, names: list[str]) -> bool:
    """Whether every test of the file feels it without naming it."""
    is_automatic = isinstance(node, _FUNCTIONS) and any(
        "autouse" in ast.unparse(decorator) for decorator in node.decorator_list
    )
    is_module = isinstance(node, ast.Import | ast.ImportFrom)
    return is_automatic or (not is_module and any(name.startswith(_FOR_ALL) for name in names))


def _used(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Give every name that stands there: variables, arguments (fixtures), and texts, for fixtures named by one."""
    for node in (inner for outer in nodes for inner in ast.walk(outer)):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def _digest(lines: Iterable[str]) -> str:
    return hashlib.sha256("\0".join(lines).encode("utf-8", "surrogateescape")).hexdigest()
