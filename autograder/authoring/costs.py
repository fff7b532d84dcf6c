"""Costs: how many points each known mistake loses, as a share of its function's part of the task.

A task's points are divided by the weights of its tests, and the number of tests says little about what matters. So the
cost of each mistake is computed: the weight of the tests that it fails, divided by the weight of all tests that use the
function with the mistake. A mistake that breaks the main idea of the function (`central = true` in mistakes.toml) must
cost at least a fifth of that part.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from autograder.names import bound, parts_of, reached, users, words
from autograder.replacements import Mistake
from autograder.suite import SuiteTest, read_suite
from autograder.syntax import parse
from autograder.topic import Task, Topic

#: the least share of its function's part that a central mistake costs
CENTRAL = 0.2


@dataclass(frozen=True)
class Cost:
    """What one mistake costs."""

    mistake: Mistake
    functions: tuple[str, ...]  #: the names of its task in which it is made, or which use the helper where it is made
    points: float  #: the points of the task that are lost
    share: float  #: 0 to 1: the lost part of the weight of all tests that use these functions

    @property
    def is_too_low(self) -> bool:
        """Whether the mistake breaks the main idea of its function, but costs less than a fifth of its part."""
        return self.mistake.is_central and self.share < CENTRAL - 1e-9


def costs(topic: Topic, failing: Iterable[tuple[Mistake, Iterable[str]]]) -> list[Cost]:
    """Return the cost of each mistake.

    Args:
        topic: the assignment with the suite
        failing: mistakes, each with the tests of its task that it fails; cases are in brackets ("test_sum[3]")

    Raises:
        AuthorError: a file of the topic breaks a rule
    """
    suite = {test.name: test for test in read_suite(topic)}
    solution = topic.solution
    tree = parse(solution, str(topic.solution_path))
    uses = _uses_of_tests(topic)
    found = []
    for mistake, fails in failing:
        task = topic.task(mistake.task)
        functions = _functions_of(mistake, task, solution, tree)
        own = {name: test for name, test in suite.items() if test.task == task.id}
        lost = _lost(own, fails)
        part = {
            name: test.weight * min(1.0, sum(uses[name].get(function, 0.0) for function in functions))
            for name, test in own.items()
        }
        taken = sum(min(weight, part[name]) for name, weight in lost.items())
        found.append(
            Cost(
                mistake,
                functions,
                task.points * sum(lost.values()) / sum(test.weight for test in own.values()),
                taken / (sum(part.values()) or 1.0),
            )
        )
    return found


def as_table(found: Iterable[Cost]) -> str:
    """Return the costs as lines of text, the cheapest mistakes of each task first."""
    lines = []
    for cost in sorted(found, key=lambda cost: (cost.mistake.task, cost.share)):
        mark = "TOO LOW" if cost.is_too_low else "central" if cost.mistake.is_central else ""
        lines.append(
            f"{cost.share:6.1%} {cost.points:6.2f} points  {mark:8}{cost.mistake.task}: {cost.mistake.name} "
            f"({', '.join(cost.functions)})"
        )
    return "\n".join(lines)


def _lost(own: Mapping[str, SuiteTest], fails: Iterable[str]) -> dict[str, float]:
    """Return the lost weight of each test function: the weight of its failing cases."""
    failed: dict[str, int] = {}
    for case in fails:
        name = case.partition("[")[0]
        if name in own:
            failed[name] = failed.get(name, 0) + 1
    return {name: own[name].weight * count / own[name].cases for name, count in failed.items()}


def _uses_of_tests(topic: Topic) -> dict[str, dict[str, float]]:
    """Return for each test: name of the student's module -> the part of the test's weight that belongs to it.

    The whole weight of a test belongs to each name that it uses, also through helpers and fixtures. If a test is
    parametrised over names, its weight is divided among them.
    """
    known = {name for task in topic.tasks for name in task.names}
    uses: dict[str, dict[str, float]] = {}
    for path in (topic.public_tests_path, topic.hidden_tests_path):
        tree = parse(path.read_text(encoding="utf-8"), str(path))
        uses_of = {name: words(nodes) for name, nodes in parts_of(tree).items()}
        cases: dict[str, frozenset[str]] = {}
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                uses_of[node.name] = words([node.args, *body])
                cases[node.name] = words(mark for mark in node.decorator_list if "parametrize" in ast.unparse(mark))
        for name in (name for name in cases if name.startswith("test")):
            own = reached(uses_of[name], uses_of)
            listed = reached(cases[name], uses_of)
            if endings := [word for word in own if word.startswith("_")]:  # f"{name}_backward"
                listed |= {word + ending for word in listed for ending in endings}
            listed &= known  # a case uses one of them, even if the body has all of them in one table
            uses[name] = dict.fromkeys(own & known, 1.0) | dict.fromkeys(listed, 1 / (len(listed) or 1))
    return uses


def _functions_of(mistake: Mistake, task: Task, solution: str, tree: ast.Module) -> tuple[str, ...]:
    """Return the names of a task in which a mistake is made, or which use the helper where it is made."""
    line = solution.count("\n", 0, solution.index(mistake.find)) + 1
    last = line + mistake.find.count("\n")
    uses = {name: words(nodes) for name, nodes in parts_of(tree).items()}
    made_in = {
        name
        for node in tree.body
        if node.lineno <= last and line <= (node.end_lineno or node.lineno)
        for name in bound(node)
    }
    if own := made_in.intersection(task.names):
        return tuple(sorted(own))
    return tuple(sorted(users(made_in, uses).intersection(task.names))) or task.names
