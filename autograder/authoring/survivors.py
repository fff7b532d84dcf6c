"""Survivors: the mutants of a solution that pass its suite.

A mutant is killed if a test of its tasks fails. A mutant that computes the same as the solution cannot be killed; the
author lists it as [[change.equivalent]] in mistakes.toml and gives the reason.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from autograder.authoring.mutants import Mutant, code_of, mutants
from autograder.replacements import Equivalent
from autograder.table import as_toml
from autograder.topic import Topic

#: says whether one of these tests fails on this source
Fails = Callable[[str, list[str]], bool]


@dataclass(frozen=True)
class Timed:
    """A test of the suite: its task, and how long it takes on the solution."""

    name: str
    task: str
    is_slow: bool


@dataclass(frozen=True)
class Hunt:
    """The result for all mutants of a topic."""

    killed: int
    survivors: tuple[Mutant, ...]  #: mutants that are neither killed nor listed
    equivalent: int  #: the number of listed mutants that pass, as they should
    outdated: tuple[Equivalent, ...]  #: listed, but no longer a mutant, or killed


def hunt(topic: Topic, tests: list[Timed], fails: Fails, on_step: Callable[[str], None] = lambda _: None) -> Hunt:
    """Run the tests of its tasks on each mutant, the slow tests only if the mutant passes the others.

    Raises:
        AuthorError: the solution or mistakes.toml breaks a rule
    """
    solution = topic.solution
    listed = {code_of(solution.replace(entry.find, entry.replace)): entry for entry in topic.equivalents}
    killed, survivors, confirmed = 0, [], set()
    gradable = {task.id for task in topic.tasks if task.is_gradable}
    found = []
    for mutant in mutants(topic):
        if gradable.isdisjoint(mutant.tasks):
            confirmed.add(code_of(mutant.text))  # as far as this machine can tell
        else:
            found.append(mutant)
    for number, mutant in enumerate(found, start=1):
        on_step(f"mutant {number} of {len(found)}, line {mutant.line}, {mutant.kind}")
        own = [test for test in tests if test.task in mutant.tasks]
        quick = [test.name for test in own if not test.is_slow]
        slow = [[test.name] for test in own if test.is_slow]
        if any(fails(mutant.text, names) for names in [quick, *slow]):
            killed += 1
        elif (code := code_of(mutant.text)) in listed:
            confirmed.add(code)
        else:
            survivors.append(mutant)
    outdated = tuple(entry for code, entry in listed.items() if code not in confirmed)
    return Hunt(killed, tuple(survivors), len(confirmed & set(listed)), outdated)


def as_table(mutant: Mutant) -> str:
    """Return the table for mistakes.toml that lists a mutant as equivalent; the author adds the reason."""
    return "\n".join(
        [
            "[[change]]",
            f"find = {as_toml(mutant.find)}",
            "",
            "[[change.equivalent]]",
            f"replace = {as_toml(mutant.replace)}",
            'reason = ""',
        ]
    )
