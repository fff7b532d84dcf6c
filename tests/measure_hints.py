"""Measure how well hints fit: make every known mistake under a seed that no signature has used, and diagnose it.

    cd tests && python -m measure_hints [--seed 7] [--pairs 5] [--sample N] [ID ...]

It prints three tables: for known mistakes; for mistakes whose entry was removed, as if nobody had listed them; and for
two mistakes of a task at once. Tests that train are left out. A hint counts as wrong if it belongs to another mistake
and says something else. If no mistake is named, the student reads a public test's sentence, or what the failing hidden
test is about.
"""

from __future__ import annotations

import argparse
import random
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

from autograder.course import find_course
from autograder.grading.mark.diagnose import made_in
from autograder.grading.mark.judge import Judge, ManifestTest, mark
from autograder.known import Known
from autograder.replacements import Mistake
from autograder.report import TaskReport
from autograder.topic import Topic

KINDS = ("named", "in a tie", "public sentence", "lesson", "empty", "wrong", "passes")
Found = Counter[str]


class Measure:
    """One topic's judge, under a seed."""

    def __init__(self, topic: Topic, judge: Judge) -> None:
        self.topic, self.judge, self.known = topic, judge, judge._known
        self.solution = topic.solution_path.read_text(encoding="utf-8")
        self.changes = judge.manifest().changes

    def tests(self, task: str) -> list[ManifestTest]:
        return [test for test in self.judge.manifest().tests if test.task == task and test.test not in self.known.slow]

    def report(self, group: tuple[Mistake, ...], known: Known) -> TaskReport | None:
        """Examine some mistakes together, like a class, with the tests of their task."""
        task, source = group[0].task, made_in(self.solution, group)
        tests = self.tests(task)
        if not source or not tests:
            return None
        answer = self.judge._ask(source.encode(), self.changes, [test.test for test in tests])
        assert answer is not None
        self.judge._known = known
        results = {result["test"]: result for result in answer["results"]}
        return mark(self.topic.task(task), tests, results, self.judge._diagnose, self.judge._teller, known.cheap)

    def kind(self, group: tuple[Mistake, ...], known: Known) -> str:
        """Say what a student who made these mistakes reads."""
        report = self.report(group, known)
        if report is None or all(result.outcome == "passed" for result in report.results):
            return "passes"
        hints = {made.hint for made in group}
        told = {made.hint for made in self.topic.mistakes if made.task == group[0].task and made.hint in report.hint}
        if report.diagnosis and told:
            if not hints & told:
                return "wrong"
            return "named" if told <= hints else "in a tie"
        if any(result.outcome == "failed" and not result.is_hidden for result in report.results):
            return "public sentence"
        return "empty" if "try the edge cases" in report.hint else "lesson"

    def without(self, mistake: Mistake) -> Known:
        """What would be known if nobody had listed this mistake."""
        entries = tuple(entry for entry in self.known.entries if entry.mistake != mistake)
        return replace(self.known, entries=entries)


def table(title: str, found: dict[str, Found]) -> str:
    """Return a table in Markdown, with a line for the sum."""
    rows = found | {"all": sum(found.values(), Counter())}
    lines = [
        f"\n## {title}\n",
        f"| assignment | tried | {' | '.join(KINDS)} |",
        f"|---|---|{'---|' * len(KINDS)}",
    ]
    lines += [
        f"| {name} | {sum(row.values())} | {' | '.join(str(row[kind]) for kind in KINDS)} |"
        for name, row in rows.items()
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ids", nargs="*")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--pairs", type=int, default=5, help="of each task")
    parser.add_argument("--sample", type=int, default=0, help="mistakes of each assignment; 0 for all")
    options = parser.parse_args()
    alone: dict[str, Found] = {}
    unlisted: dict[str, Found] = {}
    both: dict[str, Found] = {}
    draw = random.Random(options.seed)
    started = time.process_time()
    for topic in find_course(Path.cwd()).topics(tuple(options.ids)):
        alone[topic.id], unlisted[topic.id], both[topic.id] = Counter(), Counter(), Counter()
        mistakes = [made for made in topic.mistakes if topic.task(made.task).is_gradable]
        if options.sample:
            mistakes = draw.sample(mistakes, min(options.sample, len(mistakes)))
        with Judge(topic, seed=options.seed) as judge:
            measure = Measure(topic, judge)
            for made in mistakes:
                alone[topic.id][measure.kind((made,), measure.known)] += 1
                unlisted[topic.id][measure.kind((made,), measure.without(made))] += 1
            for task in topic.tasks:
                own = [made for made in mistakes if made.task == task.id]
                pairs = [
                    (one, other) for one in own for other in own
                    if one is not other and made_in(measure.solution, (one, other))
                ]  # fmt: skip
                for pair in draw.sample(pairs, min(options.pairs, len(pairs))):
                    both[topic.id][measure.kind(pair, measure.known)] += 1
    print(table("Each known mistake", alone))
    print(table("Each with its own entry taken away", unlisted))
    print(table("Two of a task at once", both))
    print(f"\n{time.process_time() - started:.0f} s here, and the examiners' time.")


if __name__ == "__main__":
    main()
