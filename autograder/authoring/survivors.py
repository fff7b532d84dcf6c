"""Survivors: which mutants of a solution does its suite let pass?

A mutant is killed when a test of its own tasks fails. One that computes the same as the solution cannot be; its author
lists it as [[equivalent]] in mistakes.toml and says why.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from autograder.authoring.mutants import Mutant, code_of, mutants
from autograder.replacements import Equivalent
from autograder.topic import Topic

#: whether one of these tests fails on this source
Fails = Callable[[str, list[str]], bool]


@dataclass(frozen=True)
class Timed:
    """A test of the suite: its task, and how long it takes on the solution."""

    name: str
    task: str
    is_slow: bool


@dataclass(frozen=True)
class Hunt:
    """What became of the mutants of a topic."""

    killed: int
    survivors: tuple[Mutant, ...]  #: neither killed nor listed
    equivalent: int  #: listed, and rightly so
    outdated: tuple[Equivalent, ...]  #: listed, but no mutant any more, or killed by now


def hunt(
    topic: Topic, tests: list[Timed], fails: Fails, on_step: Callable[[str], None] = lambda _: None
) -> Hunt:
    """Run the tests of its tasks on each mutant, the slow ones only where the others let it pass.

    Raises:
        AuthorError: the solution or mistakes.toml breaks a rule
    """
    solution = topic.solution_path.read_text(encoding="utf-8")
    listed = {code_of(solution.replace(entry.find, entry.replace)): entry for entry in topic.equivalents}
    killed, survivors, confirmed = 0, [], set()
    gradable = {task.id for task in topic.tasks if task.is_gradable}
    found = []
    for mutant in mutants(topic):
        if gradable.isdisjoint(mutant.tasks):
            confirmed.add(code_of(mutant.text))  # as far as can be told here
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
    """Return the table of mistakes.toml that lists a mutant as equivalent, its reason still to be written."""
    return "\n".join(
        [
            "[[equivalent]]",
            f"find = {_toml(mutant.find)}",
            f"replace = {_toml(mutant.replace)}",
            'reason = ""',
        ]
    )


def _toml(text: str) -> str:
    """Write a text for TOML: as it is where it can be, with escapes where not."""
    if not any(sign in text for sign in '"\\\n'):
        return f'"{text}"'
    is_plain = "'''" not in text and not text.endswith("'") and not text.startswith("\n")
    return f"'''{text}'''" if is_plain else json.dumps(text, ensure_ascii=False)
