"""Verify: the gates that every assignment passes before a student sees it.

The stub gets no points and the solution gets all, under many seeds, behind the wall and without it, with the same
result for each test. Every known mistake fails its task, and every different right answer passes. In a full run, every
mutant of the solution is killed or known to be equivalent. The lesson runs. The tests that a mistake fails under
several seeds are its signature. known.json keeps the signatures (see known.py) and the state that was verified (see
verified.py).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from autograder.authoring import build, verified
from autograder.authoring.gates import SIGNATURE_SEEDS, Finding, Gates
from autograder.authoring.survivors import Hunt
from autograder.files import write_atomically
from autograder.grading.run.examiner_process import ExaminerProcess
from autograder.known import files_of, read_known, write_known
from autograder.sandbox.ladder import choose
from autograder.topic import Topic


@dataclass(frozen=True)
class Verdict:
    """The findings of a verification, and how much it tried."""

    findings: tuple[Finding, ...]
    tests: int
    hunt: Hunt | None  #: None if the mutants were not tried
    remarks: tuple[str, ...] = ()  #: what an author should look at, even if every gate holds


def verify(
    topic: Topic,
    *,
    is_full: bool = False,
    is_quick: bool = False,
    sample: random.Random | None = None,
    has_lesson: bool = True,
    allow_unisolated: bool = False,
    on_step: Callable[[str], None] = lambda _: None,
) -> Verdict:
    """Try every gate on a topic, write its known.json, and return the gates that did not hold.

    If a gate does not hold, known.json keeps its old content about mistakes, and no longer calls the topic verified.

    Args:
        is_full: also run the tests that train under all seeds, all tests on every alternative, and the mutants
        is_quick: try a mistake only in-process, with the cheapest test of its signature first, until one fails. Run the
            tests that train on one alternative of each task, and once in-process on the solution. Run the other tests
            of the solution in-process under only as many seeds as tests that train get. Try no cheat and no lesson, and
            do not write known.json
        sample: draws the mistakes and alternatives that a quick run tries, and the seeds under which the solution runs;
            tests that train then run only behind the wall. None for all
        has_lesson: False skips the lesson; known.json then does not call the topic verified
        on_step: called with a text that says what is being tried

    Raises:
        AuthorError: the topic's files break a rule
        SandboxError: no isolation works here
    """
    build.render(topic)
    build.refuse_broken_replacements(topic)
    wall = ExaminerProcess.behind_the_wall(topic, choose(allow_unisolated=allow_unisolated))
    bare = ExaminerProcess.in_process(topic)
    try:
        gates = Gates(topic, wall, bare, on_step, sample if is_quick else None)
        findings = [*gates.enough_mistakes(), *gates.forbidden_names(), *gates.stub()]
        findings += gates.solution(is_full=is_full)
        if not findings:
            findings = [*gates.alternatives(is_full=is_full, is_quick=is_quick)]
            if is_quick:
                findings += [*gates.each_mistake_fails(), *gates.signatures_are_there()]
            else:
                findings += [
                    *gates.draws(is_full=is_full),
                    *gates.mistakes(),
                    *gates.alone(),
                    *gates.costs(),
                    *gates.cheats(),
                ]
                if has_lesson:
                    findings += gates.lesson()
                if not findings:
                    write_atomically(topic.known_path, _known(topic, gates))
            if is_full:
                findings += gates.mutants()
        if not is_quick:
            _keep(topic, gates, is_verified=has_lesson and not findings)
        return Verdict(tuple(findings), len(gates.tests), gates.hunt, tuple(gates.remarks))
    finally:
        wall.close()
        bare.close()


def _keep(topic: Topic, gates: Gates, *, is_verified: bool) -> None:
    """Let known.json say that this state was verified in full, or that no state was."""
    if is_verified and (confirmed := verified.confirm(topic, gates.begun, gates.figures)):
        write_atomically(topic.known_path, confirmed)
        return
    if is_verified:
        gates.remarks.append("a file was changed while its gates were tried; verify it again")
    if verified.last_verified(topic):
        write_atomically(topic.known_path, verified.withdraw(topic))


def _known(topic: Topic, gates: Gates) -> bytes:
    """Return known.json; its content about tasks that cannot be graded here is kept."""
    before = read_known(topic)
    untried = {task.id for task in topic.tasks if not task.is_gradable}
    found = {(entry.mistake.task, entry.mistake.name): entry for entry in gates.signatures}
    found |= {
        (entry.mistake.task, entry.mistake.name): entry for entry in before.entries if entry.mistake.task in untried
    }
    keys = [(mistake.task, mistake.name) for mistake in topic.mistakes]
    collected = [test["test"] for test in gates.tests]
    kept = {test for test in before.tests if test not in collected} if untried else set()
    order = [*(before.tests if untried else ()), *collected]  # the tests that are left out keep their numbers
    return write_known(
        [found[key] for key in keys if key in found],
        tests=order,
        cheap=gates.cheap | (before.cheap & kept),
        slow=gates.slow | (before.slow & kept),
        seeds=SIGNATURE_SEEDS,
        files=files_of(topic) if not kept or before.changes is not None else "",
        changes={**{test: set(of) for test, of in (before.changes or {}).items() if test in kept}, **gates.changes},
    )
