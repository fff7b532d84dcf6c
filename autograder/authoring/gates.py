"""Gates: what must hold before a student sees an assignment. Each gate yields a finding for each thing that is wrong.

verify.py says in which order they are tried, and what is kept of them. This file is long because all gates are here:
what one of them has run (tests, signatures, seeds) is what the next ones need.
"""

from __future__ import annotations

import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from autograder.authoring import verified
from autograder.authoring.cheats import cheats
from autograder.authoring.costs import CENTRAL, costs
from autograder.authoring.hollows import hollows, only_init
from autograder.authoring.rehearse import figures_of
from autograder.authoring.survivors import Hunt, Timed, as_table, hunt
from autograder.errors import AuthorError, AutograderError
from autograder.grading.run.examiner_process import ExaminerProcess, allowed_changes
from autograder.known import Signature, read_known, sign
from autograder.replacements import Alternative, Mistake
from autograder.sandbox.both.traps import resolve
from autograder.stub import stub_of
from autograder.topic import Topic

SEEDS = 20
DRAWN_SEEDS = 1  #: of these, in addition to the first, if only a sample is tried
DRAWN_MISTAKES, DRAWN_ALTERNATIVES = 12, 3
SIGNATURE_SEEDS = 3  #: seeds of a mistake's signature; a test that trains has one
#: seeds under which the solution's quick tests run in-process; a test that takes longer than _QUICK (s) gets fewer
DRAWS, DRAWS_IN_FULL, _QUICK = 100, 2000, 0.02
ALTERNATIVE_DRAWS, ALTERNATIVE_DRAWS_IN_FULL = 3, 20  #: the same for the tests of each different right answer's task
_FIRST_DRAW = 1000  #: seeds below this belong to the other gates
#: a test that takes longer than this (s) on the solution trains something or is large, and gets fewer seeds
_TRAINS, TRAINING_SEEDS = 0.3, 3
#: of so many mistakes of a task the tests that train also run in-process, to compare the modes; of the others only
#: the quick tests do: training everything twice is half of a verification
_TRAINED_TWICE = 3
_MISTAKES, _MISTAKES_OF_SEVERAL = 5, 8
#: the parts of a result that must depend on the submission and the seed alone
_DECIDED = ("outcome", "kind", "sentence", "changes")
#: drawn mistakes and alternatives in a small class
_CLASS = 6

Results = dict[str, dict[str, Any]]
_Edit = TypeVar("_Edit", Mistake, Alternative)


@dataclass(frozen=True)
class Finding:
    """One gate that did not hold."""

    gate: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.gate}: {self.sentence}"


class Gates:
    def __init__(
        self,
        topic: Topic,
        wall: ExaminerProcess,
        bare: ExaminerProcess,
        on_step: Callable[[str], None],
        sample: random.Random | None = None,
    ) -> None:
        self.topic = topic
        self.wall = wall
        self.bare = bare
        self.on_step = on_step
        self.sample = sample
        self.begun = verified.state(topic)
        self.figures = 0  #: figures that the lesson draws
        self.text = topic.solution
        self.tests = wall.collected()
        self.signatures: list[Signature] = []
        self.allowed: dict[int, dict[str, list[str]]] = {}  #: seed -> what the solution changes, as in a class
        self.remarks: list[str] = []
        self.cheap: set[str] = set()  #: the tests that a cheat passes
        self.slow: set[str] = set()  #: the tests that train, by their time on the solution
        self.seconds: dict[str, float] = {}  #: the time of each test on the solution
        self.hunt: Hunt | None = None
        self.changes: dict[str, set[str]] = {}  #: for each test, the arguments that the solution changes

    def forbidden_names(self) -> Iterator[Finding]:
        """Find names in `forbid` that do not exist, and so forbid nothing."""
        for task in self.topic.tasks:
            for name in task.forbid:
                if task.is_gradable and resolve(name) is None:
                    sentence = f"{task.id} forbids {name!r}, and there is no such thing; correct it in topic.toml"
                    yield Finding("what a task forbids exists", sentence)

    def enough_mistakes(self) -> Iterator[Finding]:
        for task in self.topic.tasks:
            found = sum(mistake.task == task.id for mistake in self.topic.mistakes)
            needed = _MISTAKES_OF_SEVERAL if len(task.names) > 1 else _MISTAKES
            if found < needed:
                sentence = f"{found} mistakes of {needed}; add [[change.mistake]] tables to mistakes.toml"
                yield Finding(f"{task.id} has enough known mistakes", sentence)

    def stub(self) -> Iterator[Finding]:
        self.on_step("the stub scores nothing")
        stub = stub_of(self.topic)
        for name, result in self._ask(self.wall, stub, 0).items():
            if result["outcome"] == "passed":
                yield Finding("the stub scores nothing", f"{name} passes on it; what does that test ask for?")

    def solution(self, *, is_full: bool) -> Iterator[Finding]:
        for seed in self._seeds():
            self.on_step(f"the solution passes, seed {seed + 1} of {SEEDS}")
            is_short = not is_full and seed >= TRAINING_SEEDS
            names = [test["test"] for test in self.tests if not (is_short and test["test"] in self.slow)]
            behind = self._ask(self.wall, self.text, seed, names)
            for name, result in behind.items():
                self.changes.setdefault(name, set()).update(result["changes"])
            yield from self._all_pass(behind, f"the solution passes behind the wall (seed {seed})")
            if seed < SIGNATURE_SEEDS:
                self.allowed[seed] = allowed_changes({name: of["changes"] for name, of in behind.items()})
            if seed < TRAINING_SEEDS:
                over = {name for name, result in behind.items() if result["seconds_alone"] > _TRAINS}
                self.slow = self.slow & over if seed else over
                self.seconds |= {name: result["seconds_alone"] for name, result in behind.items()}
            if not seed:
                yield from self._decided_by_seed(behind)
            trains = is_full or (not seed and not self.sample)  # in-process a test trains once, and in a sample never
            names = [name for name in names if trains or name not in self.slow]
            if names and (is_full or seed < TRAINING_SEEDS):  # under many more seeds in `draws`
                bare = self._ask(self.bare, self.text, seed, names)
                yield from self._same(behind, bare, f"solution, seed {seed}")

    def _seeds(self) -> list[int]:
        """Return the seeds under which the solution runs: all, or the first and some drawn ones."""
        if self.sample is None:
            return list(range(SEEDS))
        return [0, *sorted(self.sample.sample(range(TRAINING_SEEDS, SEEDS), DRAWN_SEEDS))]

    def _decided_by_seed(self, first: Results) -> Iterator[Finding]:
        """Run the quick tests of the first seed again, in the same examiner: the results must be the same."""
        names = [name for name in first if name not in self.slow]
        second = self._ask(self.wall, self.text, 0, names)
        for name in _different({name: first[name] for name in names}, second):
            sentence = f"{name} came out differently the second time; does it use a clock, a file, "
            sentence += "or a counter at the top of the test file?"
            yield Finding("a test is decided by its seed", sentence)

    def alternatives(self, *, is_full: bool, is_quick: bool) -> Iterator[Finding]:
        trained: set[str] = set()
        for number, alternative in self._drawn_of(self._tried(self.topic.alternatives), DRAWN_ALTERNATIVES):
            self.on_step(f"a different right answer passes: {alternative.task}, {alternative.name}")
            names = None if is_full else self._names(alternative.task)
            if is_quick and alternative.task in trained:
                names = [name for name in self._names(alternative.task) if name not in self.slow]
            trained.add(alternative.task)
            results = self._ask_as_judge(self._edited(alternative), number, names)
            gate = f"a different right answer passes ({alternative.task}: {alternative.name})"
            refused = list(self._all_pass(results, gate))
            yield from refused
            if not refused and not is_quick:
                draws = ALTERNATIVE_DRAWS_IN_FULL if is_full else ALTERNATIVE_DRAWS
                yield from self._drawn(self._edited(alternative), self._names(alternative.task), draws, gate)

    def draws(self, *, is_full: bool) -> Iterator[Finding]:
        """Run the solution's quick tests under many seeds: a test that fails under one in 500 can break a class."""
        draws = DRAWS_IN_FULL if is_full else DRAWS
        self.on_step(f"the solution passes under {draws} more seeds")
        started = time.monotonic()
        names = [test["test"] for test in self.tests]
        yield from self._drawn(self.text, names, draws, "the solution passes under any seed")
        self.remarks.append(f"{draws} more seeds of the quick tests took {time.monotonic() - started:.0f} s")

    def _drawn(self, text: str, names: list[str], draws: int, gate: str) -> Iterator[Finding]:
        """Run quick tests in-process under many seeds; a test that fails gives one finding."""
        part = {name: min(1.0, _QUICK / max(self.seconds[name], 1e-4)) for name in names if name not in self.slow}
        failed: set[str] = set()
        for draw in range(draws):
            due = [name for name, of in part.items() if draw < max(of * draws, 1) and name not in failed]
            if not due:
                return
            results = self._ask(self.bare, text, _FIRST_DRAW + draw, due)
            yield from self._all_pass(results, f"{gate} (seed {_FIRST_DRAW + draw})")
            failed |= {name for name, result in results.items() if result["outcome"] != "passed"}

    def each_mistake_fails(self) -> Iterator[Finding]:
        kept = {(mistake.task, mistake.name): fails for mistake, fails in read_known(self.topic).failing}
        for number, mistake in self._drawn_of(self._tried(self.topic.mistakes), DRAWN_MISTAKES):
            self.on_step(f"a mistake is caught: {mistake.task}, {mistake.name}")
            names = self._names(mistake.task)
            known = kept.get((mistake.task, mistake.name), frozenset()).intersection(names)
            first = sorted(known, key=lambda name: (self.seconds[name], name))[:1]
            others = [name for name in names if name not in first]
            parts = (first, [n for n in others if n not in self.slow], [n for n in others if n in self.slow])
            seed = number % SIGNATURE_SEEDS  # a seed under which the signature was computed
            if not any(self._fails(self._edited(mistake), seed, part) for part in parts):
                yield self._not_caught(mistake)

    def _fails(self, text: str, seed: int, names: list[str]) -> bool:
        results = self._ask(self.bare, text, seed, names, stops=True) if names else {}
        return any(result["outcome"] != "passed" for result in results.values())

    def signatures_are_there(self) -> Iterator[Finding]:
        known = {test["test"] for test in self.tests}
        kept = {
            (entry.mistake.task, entry.mistake.name): entry.signs.keys() for entry in read_known(self.topic).entries
        }
        for mistake in self._tried(self.topic.mistakes):
            fails = kept.get((mistake.task, mistake.name))
            if not fails or not fails <= known:
                sentence = f"not for {mistake.name!r}; refresh it: autograder verify {self.topic.id}"
                yield Finding("known.json is fresh", sentence)

    def mistakes(self) -> Iterator[Finding]:
        """Compute each mistake's signature in the same way as marks: behind the wall, with changes held back."""
        stuck: dict[str, list[str]] = {}
        compared: Counter[str] = Counter()
        for mistake in self._tried(self.topic.mistakes):
            self.on_step(f"a mistake is caught: {mistake.task}, {mistake.name}")
            text, names = self._edited(mistake), self._names(mistake.task)
            heard: dict[str, list[str]] = {}
            for seed in range(SIGNATURE_SEEDS):
                due = names if not seed else [name for name in names if name not in self.slow]
                behind = self._ask(self.wall, text, seed, due, changes=self.allowed[seed]) if due else {}
                if not seed:
                    compared[mistake.task] += 1
                    trains = compared[mistake.task] <= _TRAINED_TWICE
                    compare = {name: of for name, of in behind.items() if trains or name not in self.slow}
                    yield from self._agree(text, compare, mistake.name) if compare else ()
                for name, result in behind.items():
                    if result["outcome"] != "passed":
                        heard.setdefault(name, []).append(str(result["sentence"]))
                    if result["kind"] == "unusable":
                        stuck.setdefault(name, []).append(mistake.name)
            signs = {name: sign(said, 1 if name in self.slow else SIGNATURE_SEEDS) for name, said in heard.items()}
            if not any(of.share == 1 for of in signs.values()):
                yield self._not_caught(mistake)
            self.signatures.append(Signature(mistake, signs))
        for name, mistakes in stuck.items():
            made = list(dict.fromkeys(mistakes))
            self.remarks.append(
                f"{name} ends by an error of its own line, not by expect, for {len(made)} known mistakes "
                f"({'; '.join(made[:3])}); let it say what it misses"
            )

    def _agree(self, text: str, behind: Results, what: str) -> Iterator[Finding]:
        """Compare with the same in-process; if changes were held back, run again with them."""
        bare = self._ask(self.bare, text, 0, list(behind))
        differ = [name for name in bare if behind[name]["outcome"] != bare[name]["outcome"]]
        if differ:
            behind = behind | self._ask(self.wall, text, 0, differ)
        yield from self._same(behind, bare, what)

    def alone(self) -> Iterator[Finding]:
        """Examine a small class in two orders, and some of it alone: each submission must get the same every time."""
        draw = random.Random(self.topic.id)
        edits: list[Mistake | Alternative] = list(self._tried(self.topic.mistakes))
        edits += self._tried(self.topic.alternatives)
        texts = [self._edited(edit) for edit in draw.sample(edits, min(_CLASS, len(edits)))]
        names = [test["test"] for test in self.tests if test["test"] not in self.slow]
        self.on_step(f"a class of {len(texts)} gets what each gets alone")
        alone = self.wall.another()
        try:
            changes = allowed_changes(self.changes)
            first = [self._ask(self.wall, text, 0, names, changes=changes) for text in texts]
            runs = [[self._ask(self.wall, text, 0, names, changes=changes) for text in texts[::-1]][::-1]]
            runs.append([self._ask(alone, text, 0, names, changes=changes) for text in texts[-1:]])
        finally:
            alone.close()
        pairs = [pair for run in runs for pair in zip(first[-len(run) :], run, strict=True)]
        for name in sorted({name for known, other in pairs for name in _different(known, other)}):
            sentence = f"{name} comes out differently after other submissions; does its file keep something of theirs?"
            yield Finding("a mark follows from the submission alone", sentence)

    def costs(self) -> Iterator[Finding]:
        """Find central mistakes that cost less than a fifth of their function's part."""
        for cost in costs(self.topic, [(entry.mistake, entry.always) for entry in self.signatures]):
            if cost.is_too_low:
                functions = " and ".join(cost.functions)
                sentence = f"it costs {cost.share:.0%} of the tests of {functions}, not {CENTRAL:.0%}; give the tests "
                sentence += "that it fails more weight"
                gate = f"a central mistake costs enough ({cost.mistake.task}: {cost.mistake.name})"
                yield Finding(gate, sentence)

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

    def lesson(self) -> Iterator[Finding]:
        self.on_step("the lesson runs")
        folder = Path(tempfile.mkdtemp(prefix=f"{self.topic.id}-"))
        try:
            self.figures = figures_of(self.topic, folder)
            shutil.rmtree(folder, ignore_errors=True)
        except AuthorError as error:  # the folder is kept, because the sentence names the notebook in it
            yield Finding("the lesson runs", str(error))

    def mutants(self) -> Iterator[Finding]:
        tests = [Timed(test["test"], test["task"], test["test"] in self.slow) for test in self.tests]

        def fails(text: str, names: list[str]) -> bool:
            results = self._ask_as_judge(text, 0, names, stops=True) if names else {}
            return any(result["outcome"] == "failed" for result in results.values())

        self.hunt = hunt(self.topic, tests, fails, self.on_step)
        for mutant in self.hunt.survivors:
            gate = f"a mutant is killed (line {mutant.line}, {mutant.kind})"
            cure = f"add a test of {' or '.join(mutant.tasks)} that fails, or this to mistakes.toml:"
            yield Finding(gate, f"{mutant.description} and every test passes; {cure}\n\n{as_table(mutant)}\n")
        for entry in self.hunt.outdated:
            sentence = f"{entry.replace!r} is killed, or no mutant any more; remove its table from mistakes.toml"
            yield Finding("an equivalent mutant is one", sentence)

    def _tried(self, edits: tuple[_Edit, ...]) -> list[_Edit]:
        """Return the edits of tasks that can be graded here."""
        return [edit for edit in edits if self.topic.task(edit.task).is_gradable]

    def _drawn_of(self, edits: list[_Edit], count: int) -> list[tuple[int, _Edit]]:
        """Return edits with their numbers: all, or as many as the sample has."""
        numbered = list(enumerate(edits))
        if self.sample is None or len(numbered) <= count:
            return numbered
        return sorted(self.sample.sample(numbered, count), key=lambda pair: pair[0])

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
        changes: dict[str, list[str]] | None = None,
    ) -> Results:
        answer = examiner.ask(text.encode(), seed, tests, stops=stops, changes=changes)
        if answer is None:
            raise AutograderError(f"{self.topic.id}: the examiner crashed; run the suite with pytest to see why")
        return {result["test"]: result for result in answer["results"]}

    def _ask_as_judge(self, text: str, seed: int, tests: list[str] | None, *, stops: bool = False) -> Results:
        """Examine a module as the judge does: every argument is protected that the solution does not change."""
        return self._ask(self.wall, text, seed, tests, stops=stops, changes=allowed_changes(self.changes))

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


def _different(one: Results, other: Results) -> list[str]:
    """Return the tests with different results, but not those that went over a budget, because a clock decides that."""
    return [
        name
        for name in one
        if "limit" not in (one[name]["kind"], other[name]["kind"])
        and any(one[name][part] != other[name][part] for part in _DECIDED)
    ]


def _passed(answer: dict[str, Any] | None) -> set[str]:
    results = answer["results"] if answer else []
    return {result["test"] for result in results if result["outcome"] == "passed"}
