"""Verify: the gates that every assignment passes before a student sees it.

The stub scores nothing, the solution everything, under many seeds, behind the wall and without it, test by test the
same; every known mistake fails its own task, every different right answer passes; in full, every mutant of the solution
is killed or known to be equivalent. The tests that a mistake fails are its signature, written to signatures.json, and
what they say of it, in short, to faults.json.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from autograder.authoring import build
from autograder.authoring.cheats import cheap_tests, cheats
from autograder.authoring.hollows import hollows, only_init
from autograder.authoring.stub import to_stub
from autograder.authoring.survivors import Hunt, Timed, as_table, hunt
from autograder.errors import AutograderError
from autograder.files import write_atomically
from autograder.grading.diagnose import digest, read_signatures, write_said
from autograder.grading.examiner_process import ExaminerProcess, allowed_changes
from autograder.replacements import Alternative, Mistake
from autograder.sandbox.ladder import choose
from autograder.topic import Topic

SEEDS = 20
#: a test that takes longer than this (s) on the solution trains something or something large: it gets fewer seeds
_TRAINS, TRAINING_SEEDS = 0.3, 3
_MISTAKES, _MISTAKES_OF_SEVERAL = 5, 8

Results = dict[str, dict[str, Any]]
_Edit = TypeVar("_Edit", Mistake, Alternative)


@dataclass(frozen=True)
class Finding:
    """One gate that did not hold."""

    gate: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.gate}: {self.sentence}"


@dataclass(frozen=True)
class Verdict:
    """What a verification found, and how much it tried."""

    findings: tuple[Finding, ...]
    tests: int
    hunt: Hunt | None  #: None where the mutants were not tried


def verify(
    topic: Topic,
    *,
    is_full: bool = False,
    is_quick: bool = False,
    allow_unisolated: bool = False,
    on_step: Callable[[str], None] = lambda _: None,
) -> Verdict:
    """Try every gate on a topic, refresh its signatures, and return what did not hold.

    Args:
        is_full: run the tests that train under all seeds too, all tests on an alternative, and the mutants
        is_quick: try a mistake in-process only, with the cheapest test of its signature first, until one fails; let
            one alternative of each task train, and the solution train once in-process, where it otherwise passes
            under as many seeds as when it trains; try no cheat, and look at signatures.json without writing it
        on_step: hears what is being tried

    Raises:
        AuthorError: the topic's files break a rule
        SandboxError: no isolation can be had here
    """
    build.render(topic)
    wall = ExaminerProcess.behind_the_wall(topic, choose(allow_unisolated=allow_unisolated))
    bare = ExaminerProcess.in_process(topic)
    try:
        gates = _Gates(topic, wall, bare, on_step)
        findings = [*gates.enough_mistakes(), *gates.stub()]
        findings += gates.solution(is_full=is_full, is_quick=is_quick)
        if not findings:
            findings = [*gates.alternatives(is_full=is_full, is_quick=is_quick)]
            if is_quick:
                findings += [*gates.each_mistake_fails(), *gates.signatures_are_there()]
            else:
                findings += [*gates.mistakes(), *gates.cheats()]
                if not findings:
                    said = _said(topic, gates)
                    write_atomically(topic.folder / "signatures.json", _signatures(topic, gates))
                    write_atomically(topic.folder / "faults.json", said)
            if is_full:
                findings += gates.mutants()
        return Verdict(tuple(findings), len(gates.tests), gates.hunt)
    finally:
        wall.close()
        bare.close()


class _Gates:
    def __init__(
        self, topic: Topic, wall: ExaminerProcess, bare: ExaminerProcess, on_step: Callable[[str], None]
    ) -> None:
        self.topic = topic
        self.wall = wall
        self.bare = bare
        self.on_step = on_step
        self.text = topic.solution_path.read_text(encoding="utf-8")
        self.tests = wall.collected()
        self.signatures: list[tuple[Mistake, dict[str, str]]] = []  #: each failing test, and what it says
        self.cheap: set[str] = set()  #: the tests that a cheat passes
        self.slow: set[str] = set()  #: the tests that train, as the solution shows
        self.seconds: dict[str, float] = {}  #: what each test took on the solution
        self.hunt: Hunt | None = None

    def enough_mistakes(self) -> Iterator[Finding]:
        for task in self.topic.tasks:
            found = sum(mistake.task == task.id for mistake in self.topic.mistakes)
            needed = _MISTAKES_OF_SEVERAL if len(task.names) > 1 else _MISTAKES
            if found < needed:
                sentence = f"{found} mistakes of {needed}; add [[mistake]] tables to mistakes.toml"
                yield Finding(f"{task.id} has enough known mistakes", sentence)

    def stub(self) -> Iterator[Finding]:
        self.on_step("the stub scores nothing")
        stub = to_stub(self.text, str(self.topic.solution_path))
        for name, result in self._ask(self.wall, stub, 0).items():
            if result["outcome"] == "passed":
                yield Finding("the stub scores nothing", f"{name} passes on it; what does that test ask for?")

    def solution(self, *, is_full: bool, is_quick: bool) -> Iterator[Finding]:
        for seed in range(SEEDS):
            self.on_step(f"the solution passes, seed {seed + 1} of {SEEDS}")
            is_short = not is_full and seed >= TRAINING_SEEDS
            names = [test["test"] for test in self.tests if not (is_short and test["test"] in self.slow)]
            behind = self._ask(self.wall, self.text, seed, names)
            yield from self._all_pass(behind, f"the solution passes behind the wall (seed {seed})")
            if seed < TRAINING_SEEDS:
                over = {name for name, result in behind.items() if result["seconds"] > _TRAINS}
                self.slow = self.slow & over if seed else over
                self.seconds |= {name: result["seconds"] for name, result in behind.items()}
            if not seed:
                yield from self._steady([name for name in names if name not in self.slow])
            if is_quick:
                names = [name for name in names if seed < TRAINING_SEEDS and not (seed and name in self.slow)]
            if names:
                bare = self._ask(self.bare, self.text, seed, names)
                yield from self._same(behind, bare, f"solution, seed {seed}")

    def _steady(self, names: list[str]) -> Iterator[Finding]:
        """Run tests of the first seed once more: what they say must follow from the seed and from what they hear."""
        for name in self._answer(self.wall, self.text, 0, names)["unsteady"]:
            sentence = (
                f"{name} hangs on something else: a clock, a file, a counter at the top of the test file?"
            )
            yield Finding("a test is decided by its seed and the answers", sentence)

    def alternatives(self, *, is_full: bool, is_quick: bool) -> Iterator[Finding]:
        trained: set[str] = set()
        for number, alternative in enumerate(self._tried(self.topic.alternatives)):
            self.on_step(f"a different right answer passes: {alternative.task}, {alternative.name}")
            names = None if is_full else self._names(alternative.task)
            if is_quick and alternative.task in trained:
                names = [name for name in self._names(alternative.task) if name not in self.slow]
            trained.add(alternative.task)
            results = self._ask(self.wall, self._edited(alternative), number, names)
            yield from self._all_pass(
                results, f"a different right answer passes ({alternative.task}: {alternative.name})"
            )

    def each_mistake_fails(self) -> Iterator[Finding]:
        kept = {(mistake.task, mistake.name): fails for mistake, fails in read_signatures(self.topic).entries}
        for number, mistake in enumerate(self._tried(self.topic.mistakes)):
            self.on_step(f"a mistake is caught: {mistake.task}, {mistake.name}")
            names = self._names(mistake.task)
            known = kept.get((mistake.task, mistake.name), frozenset()).intersection(names)
            first = sorted(known, key=lambda name: (self.seconds[name], name))[:1]
            others = [name for name in names if name not in first]
            parts = (first, [n for n in others if n not in self.slow], [n for n in others if n in self.slow])
            if not any(self._fails(self._edited(mistake), number, part) for part in parts):
                yield self._not_caught(mistake)

    def _fails(self, text: str, seed: int, names: list[str]) -> bool:
        results = self._ask(self.bare, text, seed, names, stops=True) if names else {}
        return any(result["outcome"] != "passed" for result in results.values())

    def signatures_are_there(self) -> Iterator[Finding]:
        known = {test["test"] for test in self.tests}
        kept = {(mistake.task, mistake.name): fails for mistake, fails in read_signatures(self.topic).entries}
        for mistake in self._tried(self.topic.mistakes):
            fails = kept.get((mistake.task, mistake.name))
            if not fails or not fails <= known:
                sentence = f"not for {mistake.name!r}; refresh it: autograder verify {self.topic.id}"
                yield Finding("signatures.json is fresh", sentence)

    def mistakes(self) -> Iterator[Finding]:
        for number, mistake in enumerate(self._tried(self.topic.mistakes)):
            self.on_step(f"a mistake is caught: {mistake.task}, {mistake.name}")
            names = self._names(mistake.task)
            behind = self._ask(self.wall, self._edited(mistake), number, names)
            yield from self._same(
                behind, self._ask(self.bare, self._edited(mistake), number, names), mistake.name
            )
            failed = {
                name: str(result["sentence"])
                for name, result in behind.items()
                if result["outcome"] != "passed"
            }
            if not failed:
                yield self._not_caught(mistake)
            self.signatures.append((mistake, failed))

    def cheats(self) -> Iterator[Finding]:
        """Find the tests that code without any right answer passes (see cheats.py)."""
        solved = self._ask(self.wall, self.text, 0)
        changes = allowed_changes({name: result["changes"] for name, result in solved.items()})
        for name, module in cheats(self.topic):
            self.on_step(f"a cheat gets nothing: {name}")
            answer = self.wall.ask(module.encode(), 0, changes=changes)
            if answer is None:
                yield Finding("a cheat gets nothing", f"the examiner crashed on the cheat that {name}")
                continue
            self.cheap |= _passed(answer)
        self.cheap |= self._passed_by_hollows(changes)
        for task in self.topic.tasks:
            own = [test["test"] for test in self.tests if test["task"] == task.id]
            if own and all(test in self.cheap for test in own):
                sentence = "each of its tests is passed by code without a right answer; ask for values too"
                yield Finding(f"a cheat gets nothing ({task.id})", sentence)

    def _passed_by_hollows(self, changes: dict[str, list[str]]) -> set[str]:
        """Return the tests that only look at types and shapes (see hollows.py)."""
        names = [test["test"] for test in self.tests if test["test"] not in self.slow]
        passed: set[str] = set()
        for name, module in hollows(self.topic):
            self.on_step(f"a hollow gets nothing: {name}")
            passed |= _passed(self.wall.ask(module.encode(), 0, names, changes=changes))
        return passed - _passed(self.wall.ask(only_init(self.topic).encode(), 0, names, changes=changes))

    def mutants(self) -> Iterator[Finding]:
        tests = [Timed(test["test"], test["task"], test["test"] in self.slow) for test in self.tests]

        def fails(text: str, names: list[str]) -> bool:
            results = self._ask(self.wall, text, 0, names, stops=True) if names else {}
            return any(result["outcome"] == "failed" for result in results.values())

        self.hunt = hunt(self.topic, tests, fails, self.on_step)
        for mutant in self.hunt.survivors:
            gate = f"a mutant is killed (line {mutant.line}, {mutant.kind})"
            cure = f"add a test of {' or '.join(mutant.tasks)} that fails, or this to mistakes.toml:"
            yield Finding(gate, f"{mutant.description} and every test passes; {cure}\n\n{as_table(mutant)}\n")
        for entry in self.hunt.outdated:
            sentence = (
                f"{entry.replace!r} is killed, or no mutant any more; remove its table from mistakes.toml"
            )
            yield Finding("an equivalent mutant is one", sentence)

    def _tried(self, edits: tuple[_Edit, ...]) -> list[_Edit]:
        """Return those of tasks that can be graded here."""
        return [edit for edit in edits if self.topic.task(edit.task).is_gradable]

    def _names(self, task: str) -> list[str]:
        return [test["test"] for test in self.tests if test["task"] == task]

    @staticmethod
    def _not_caught(mistake: Mistake) -> Finding:
        gate = f"a mistake is caught ({mistake.task}: {mistake.name})"
        return Finding(gate, "every test passes; add one that fails")

    def _ask(
        self,
        examiner: ExaminerProcess,
        text: str,
        seed: int,
        tests: list[str] | None = None,
        *,
        stops: bool = False,
    ) -> Results:
        answer = self._answer(examiner, text, seed, tests, stops=stops)
        return {result["test"]: result for result in answer["results"]}

    def _answer(
        self,
        examiner: ExaminerProcess,
        text: str,
        seed: int,
        tests: list[str] | None,
        *,
        stops: bool = False,
    ) -> dict[str, Any]:
        answer = examiner.ask(text.encode(), seed, tests, stops=stops)
        if answer is None:
            raise AutograderError(
                f"{self.topic.id}: the examiner crashed; run the suite with pytest to see why"
            )
        return answer

    def _edited(self, edit: Mistake | Alternative) -> str:
        return self.text.replace(edit.find, edit.replace)

    def _all_pass(self, results: Results, gate: str) -> Iterator[Finding]:
        for name, result in results.items():
            if result["outcome"] != "passed":
                yield Finding(gate, f"{name} {result['outcome']}: {result['sentence']}")

    def _same(self, behind: Results, bare: Results, what: str) -> Iterator[Finding]:
        for name in bare:
            if behind[name]["outcome"] != bare[name]["outcome"]:
                sentence = f"{name} {behind[name]['outcome']} behind the wall ({behind[name]['sentence']}), "
                sentence += f"{bare[name]['outcome']} in-process ({bare[name]['sentence']})"
                yield Finding(f"both modes agree ({what})", sentence)


def _passed(answer: dict[str, Any] | None) -> set[str]:
    results = answer["results"] if answer else []
    return {result["test"] for result in results if result["outcome"] == "passed"}


def _signatures(topic: Topic, gates: _Gates) -> bytes:
    """Return signatures.json; what it said of tasks that cannot be graded here, it says again."""
    fails = {(mistake.task, mistake.name): list(failed) for mistake, failed in gates.signatures}
    untried = {task.id for task in topic.tasks if not task.is_gradable}
    for mistake, failed in read_signatures(topic).entries:
        if mistake.task in untried:
            fails[mistake.task, mistake.name] = sorted(failed)
    entries = [
        {"task": mistake.task, "name": mistake.name, "fails": fails[mistake.task, mistake.name]}
        for mistake in topic.mistakes
        if (mistake.task, mistake.name) in fails
    ]
    collected = {test["test"] for test in gates.tests}
    cheap = gates.cheap | ((cheap_tests(topic) - collected) if untried else set())
    kept = {"signatures": entries, "cheap": sorted(cheap)}
    return (json.dumps(kept, indent=1, ensure_ascii=False) + "\n").encode()


def _said(topic: Topic, gates: _Gates) -> bytes:
    """Return faults.json; what it said of tasks that cannot be graded here, it says again."""
    kept = read_signatures(topic).said
    untried = {task.id for task in topic.tasks if not task.is_gradable}
    heard = {
        (mistake.task, mistake.name): {test: digest(sentence) for test, sentence in failed.items()}
        for mistake, failed in gates.signatures
    }
    keys = [(mistake.task, mistake.name) for mistake in topic.mistakes]
    return write_said(
        {
            key: heard.get(key) or kept[key]
            for key in keys
            if key in heard or (key[0] in untried and key in kept)
        }
    )
