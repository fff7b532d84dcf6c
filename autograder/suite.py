"""The tests of a topic, read from their source without running them: task, weight and lesson of each."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

from autograder.errors import AuthorError
from autograder.syntax import parse, task_of_mark
from autograder.topic import Topic

_FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class SuiteTest:
    """One test function of a topic."""

    name: str
    task: str
    weight: float  #: of all its cases together: a parametrised test counts once for each case
    line: int
    lesson: str  #: its docstring
    is_hidden: bool
    cases: int = 1  #: cases of a parametrised test; each has the same part of the weight
    tells: str = ""  #: what a student reads about a hidden test that failed, instead of its lesson


def read_suite(topic: Topic) -> tuple[SuiteTest, ...]:
    """Read the public and the hidden tests of a topic, and check them against its tasks.

    Raises:
        AuthorError: a test has no task, no docstring or a name twice; a task has no public or no hidden test,
            or its public tests weigh less than 30 % or more than 50 %; says file:line
    """
    public = _read_file(topic, is_hidden=False)
    hidden = _read_file(topic, is_hidden=True)
    seen: dict[str, str] = {}
    for test in public + hidden:
        where = f"{_path(topic, test.is_hidden)}:{test.line}"
        if test.name in seen:
            raise AuthorError(f"{where}: {test.name} is defined already at {seen[test.name]}; rename one of them")
        seen[test.name] = where
    for task in topic.tasks:
        for tests, kind in ((public, "public"), (hidden, "hidden")):
            if not any(test.task == task.id for test in tests):
                raise AuthorError(
                    f"{_path(topic, kind == 'hidden')}:1: task {task.id!r} has no {kind} test; "
                    f"mark one with @pytest.mark.task({task.id!r})"
                )
    for task in topic.tasks:
        _check_share(topic, task.id, public + hidden)
    return public + hidden


def task_of(test: ast.FunctionDef) -> str:
    """Return the task that a test function is marked for; '' if it is not marked."""
    return next(filter(None, map(task_of_mark, test.decorator_list)), "")


def public_share(tests: tuple[SuiteTest, ...], task_id: str) -> float:
    """Return the part of a task's weight that its public tests have, 0 to 1."""
    total = sum(test.weight for test in tests if test.task == task_id)
    return sum(test.weight for test in tests if test.task == task_id and not test.is_hidden) / total


def _check_share(topic: Topic, task_id: str, tests: tuple[SuiteTest, ...]) -> None:
    share = public_share(tests, task_id)
    if not 0.3 - 1e-9 <= share <= 0.5 + 1e-9:
        first = next(test.line for test in tests if test.task == task_id)
        raise AuthorError(
            f"{topic.public_tests_path}:{first}: the public tests of task {task_id!r} carry {share:.0%} of "
            "its weight; bring it between 30 % and 50 % with more tests or weight="
        )


def _path(topic: Topic, is_hidden: bool) -> Path:
    return topic.hidden_tests_path if is_hidden else topic.public_tests_path


def _read_file(topic: Topic, *, is_hidden: bool) -> tuple[SuiteTest, ...]:
    path = _path(topic, is_hidden)
    tree = parse(path.read_text(encoding="utf-8"), str(path))
    _check_imports(topic, tree, path, is_hidden)
    tests = []
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
            raise AuthorError(f"{path}:{node.lineno}: {node.name} is a test class; write plain test functions")
        if not isinstance(node, _FunctionNode):
            continue
        is_test = node.name.startswith("test")
        if not is_hidden and (is_test or _is_fixture(node)):
            _refuse_reference(node, path)
        if is_test:
            tests.append(_read_test(topic, tree, node, path, is_hidden))
    return tuple(tests)


def _read_test(topic: Topic, tree: ast.Module, node: _FunctionNode, path: Path, is_hidden: bool) -> SuiteTest:
    where = f"{path}:{node.lineno}: {node.name}"
    marks = [mark for mark in node.decorator_list if _mark_name(mark) == "task"]
    if len(marks) != 1:
        raise AuthorError(f'{where} carries {len(marks)} task markers; write one @pytest.mark.task("...") above it')
    task, weight, tells = _read_mark(marks[0], where)
    if tells and not is_hidden:
        raise AuthorError(f"{where} is public and has tells=; students read all of it: take that out")
    known = [task.id for task in topic.tasks]
    if task not in known:
        raise AuthorError(f"{where} is marked for the task {task!r}, not in topic.toml; use one of {', '.join(known)}")
    lesson = ast.get_docstring(node)
    if not lesson:
        raise AuthorError(f"{where} has no docstring; say in one sentence what the student should think about")
    cases = 1
    for mark in node.decorator_list:
        if _mark_name(mark) == "parametrize":
            cases *= _count_cases(tree, mark, where)
    return SuiteTest(node.name, task, weight * cases, node.lineno, lesson, is_hidden, cases, tells)


def _read_mark(mark: ast.expr, where: str) -> tuple[str, float, str]:
    """Return the task, the weight and the `tells` of a marker."""
    cure = 'write @pytest.mark.task("softmax") or @pytest.mark.task("softmax", weight=2)'
    if (
        not isinstance(mark, ast.Call)
        or len(mark.args) != 1
        or {key.arg for key in mark.keywords} - {"weight", "forbid", "tells"}
    ):
        raise AuthorError(f"{where} has a malformed task marker; {cure}")
    task = _literal(mark.args[0])
    named = {key.arg: key.value for key in mark.keywords}
    weight = _literal(named["weight"]) if "weight" in named else 1
    if "forbid" in named and not isinstance(_literal(named["forbid"]), list):
        raise AuthorError(f"{where}: forbid is {ast.unparse(named['forbid'])}; write a list of names, or []")
    tells = _literal(named["tells"]) if "tells" in named else ""
    if not isinstance(task, str):
        raise AuthorError(f"{where} names its task by {ast.unparse(mark.args[0])}, not by a text; {cure}")
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight <= 100:
        raise AuthorError(f"{where} has the weight {ast.unparse(named['weight'])}; give a number above 0")
    if not isinstance(tells, str):
        raise AuthorError(f"{where} tells {ast.unparse(named['tells'])}; give a text of the stub's docstrings")
    return task, float(weight), " ".join(tells.split())


def _count_cases(tree: ast.Module, mark: ast.expr, where: str) -> int:
    """Count the cases of a parametrize marker: a list, a range, or a constant of the file with one of these."""
    cases: ast.expr | None = None
    if isinstance(mark, ast.Call):
        named = {key.arg: key.value for key in mark.keywords}
        cases = mark.args[1] if len(mark.args) > 1 else named.get("argvalues")
    constants = {ast.unparse(node.targets[0]): node.value for node in tree.body if isinstance(node, ast.Assign)}
    count = _length(cases, constants)
    if count is None:
        raise AuthorError(f"{where} is parametrised by something that cannot be counted; write its cases as a list")
    return count


def _length(node: ast.expr | None, constants: dict[str, ast.expr]) -> int | None:
    """Return the length of a list, as far as the source shows; None if only a run would show it."""
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        return None if any(isinstance(item, ast.Starred) for item in node.elts) else len(node.elts)
    if isinstance(node, ast.Dict):
        return None if None in node.keys else len(node.keys)
    if isinstance(node, ast.Name) and node.id in constants:
        return _length(constants[node.id], {name: value for name, value in constants.items() if name != node.id})
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        parts = _length(node.left, constants), _length(node.right, constants)
        return None if parts[0] is None or parts[1] is None else parts[0] + parts[1]
    if isinstance(node, ast.Call) and ast.unparse(node.func) in ("sorted", "list", "tuple") and node.args:
        return _length(node.args[0], constants)
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "range":
        bounds = [bound for bound in map(_literal, node.args) if isinstance(bound, int)]
        return len(range(*bounds)) if len(bounds) == len(node.args) else None
    return None


def _check_imports(topic: Topic, tree: ast.Module, path: Path, is_hidden: bool) -> None:
    for node in ast.walk(tree):
        modules: list[str] = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [node.module or ""]
        for module in modules:
            if module in topic.modules:
                cure = "use the fixture `student`" + (" or `reference`" if is_hidden else "")
            elif module in (topic.public_tests_path.stem, topic.hidden_tests_path.stem):
                cure = "a test file stands alone: copy the helper"
            else:
                continue
            raise AuthorError(f"{path}:{getattr(node, 'lineno', 1)}: imports {module}; {cure}")


def _refuse_reference(node: _FunctionNode, path: Path) -> None:
    arguments = node.args.posonlyargs + node.args.args + node.args.kwonlyargs
    if any(argument.arg == "reference" for argument in arguments):
        raise AuthorError(
            f"{path}:{node.lineno}: {node.name} uses the fixture `reference`, which students do not have; "
            "compute the expected value in the test, or move the test to the hidden file"
        )


def _is_fixture(node: _FunctionNode) -> bool:
    return any("fixture" in ast.unparse(decorator) for decorator in node.decorator_list)


def _mark_name(decorator: ast.expr) -> str:
    """Return "task" of `@pytest.mark.task(...)`; empty for any other decorator."""
    function = decorator.func if isinstance(decorator, ast.Call) else decorator
    name = ast.unparse(function)
    return name.rpartition("mark.")[2] if "mark." in name else ""


def _literal(node: ast.expr) -> object:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return None
