"""Speed: what a submission costs, here and with other tools, measured side by side in one run.

The measure is CPU seconds, of a process and of every ended process below it. On a shared machine, wall seconds are only
a hint. Every way examines the same submissions with the same tests, in turns. The result of a way is the median over
the turns. Tasks that train are measured separately, because beside a training every overhead looks small.
"""

from __future__ import annotations

import platform
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from autograder.course import Course
from autograder.demo import DEFAULT
from autograder.files import write_atomically
from autograder.grading.pool.fleet import cores
from autograder.screen import progress_bar
from autograder.topic import Topic
from benchmarks import ways as bench_ways
from benchmarks.classes import Growth, growth
from benchmarks.meter import Spent
from benchmarks.parts import parts_of, scratch_course
from benchmarks.ways import BARE, IN_PROCESS, SANDBOXED, ways

_ROUNDS = 3
_TRAINED_WAYS = (IN_PROCESS, SANDBOXED)
_TRAINED_CLASS = 20  #: the largest class if a submission takes a quarter of a minute


@dataclass
class Part:
    """The measurements of some tasks of one assignment."""

    title: str
    costs: dict[str, list[Spent]] = field(default_factory=dict)  #: way -> its turns
    classes: list[Growth] = field(default_factory=list)


def bench_all(course: Course, ids: Sequence[str], sizes: Sequence[int], *, rounds: int = _ROUNDS) -> Path:
    """Measure some assignments in every way, and whole classes; write docs/benchmarks.md and return its path.

    The page is written again after each part, so a run that is stopped keeps what it has measured.
    """
    path = course.root / "docs" / "benchmarks.md"
    path.parent.mkdir(exist_ok=True)
    parts: list[Part] = []
    with progress_bar() as progress:
        step = progress.add_task("bench", total=None)

        def say(what: str) -> None:
            progress.update(step, description=what)

        for topic in course.topics(tuple(ids) or DEFAULT):
            quick, trained = parts_of(topic)
            if quick:
                title = f"{topic.id}, without {' and '.join(trained)}" if trained else topic.id
                parts.append(_measure(topic, quick, title, tuple(ways(topic)), sizes, rounds, say))
                _write(path, parts)
            if trained:
                title = f"{topic.id}, {' and '.join(trained)}: tests that train"
                small = (min(_TRAINED_CLASS, max(sizes)),) if sizes else ()
                parts.append(_measure(topic, trained, title, _TRAINED_WAYS, small, rounds, say))
                _write(path, parts)
    return path


def _write(path: Path, parts: list[Part]) -> None:
    """Write the page, and keep the text below its mark, which is written by hand."""
    by_hand = path.read_text(encoding="utf-8").partition(_BY_HAND)[2] if path.is_file() else ""
    text = _HEAD.format(machine=_machine()) + "\n".join(map(page, parts))
    write_atomically(path, (text + (f"\n{_BY_HAND}{by_hand}" if by_hand else "")).encode())


def _measure(
    topic: Topic,
    tasks: tuple[str, ...],
    title: str,
    names: tuple[str, ...],
    sizes: Sequence[int],
    rounds: int,
    say: Callable[[str], None],
) -> Part:
    part = Part(title)
    with scratch_course(topic, tasks) as scratch:
        small = scratch.topic(topic.id)
        many = 1 if names == _TRAINED_WAYS else bench_ways.FEW if topic.needs_torch else bench_ways.MANY
        for turn in range(rounds):
            for name in names:
                say(f"{title}, turn {turn + 1}: {name}")
                known = (BARE, name) if name == IN_PROCESS else (name,)
                for of_way, cost in zip(known, ways(small, many)[name](), strict=True):
                    part.costs.setdefault(of_way, []).append(cost)
        for size in sizes:
            for jobs in dict.fromkeys((1, cores())):
                say(f"{title}, a class of {size}, {jobs} at once")
                part.classes.append(growth(small, size, jobs))
    return part


# --- the page --------------------------------------------------------------------------------------------------------


def page(part: Part) -> str:
    """Return the tables of one part: the ways side by side, then the classes."""
    bare = statistics.median(cost.cpu for cost in part.costs[BARE])
    ours = statistics.median(cost.cpu for cost in part.costs[SANDBOXED])
    turns = len(part.costs[BARE])
    lines = [
        f"## {part.title}",
        "",
        f"{turns} turns: the median, and in brackets the lowest and the highest." if turns > 1 else "One turn.",
        "",
        "| a submission costs | CPU s | wall s | CPU, over the tests alone | CPU, over ours | most memory |",
        "|---|---|---|---|---|---|",
    ]
    for name, found in part.costs.items():
        cpu, wall = [cost.cpu for cost in found], [cost.wall for cost in found]
        middle = statistics.median(cpu)
        held = max(cost.memory for cost in found)
        lines.append(
            f"| {name} | {_spread(cpu)} | {_spread(wall)} | {middle / bare:.1f} x | {middle / ours:.1f} x | "
            f"{f'{held:.0f} MB' if held else ''} |"
        )
    if part.classes:
        lines += [
            "",
            "| class of | jobs | CPU s a submission | over the tests alone | wall s in all | examiners' memory at the "
            "100th (or 10th), at last | descriptors | left behind |",
            "|---|---|---|---|---|---|---|---|",
        ]
    for grown in part.classes:
        (first, last), (opened, open_still), each = grown.memory, grown.descriptors, grown.cpu / grown.size
        lines.append(
            f"| {grown.size} | {grown.jobs} | {each:.3f} | {each / bare:.1f} x | {grown.wall:.0f} | "
            f"{first:.0f} MB, {last:.0f} MB | {opened}, {open_still} | {grown.left or 'nothing'} |"
        )
    return "\n".join(lines) + "\n"


def _spread(values: list[float]) -> str:
    middle = f"{statistics.median(values):.3f}"
    return f"{middle} ({min(values):.3f}-{max(values):.3f})" if len(values) > 1 else middle


def _machine() -> str:
    return (
        f"{platform.system()} on {platform.machine()}, {cores()} cores, Python {platform.python_version()}, "
        f"{date.today().isoformat()}"
    )


_BY_HAND = "<!-- Written by hand from here on: `make bench` keeps it. -->\n"

_HEAD = """\
# Benchmarks

Written by `make bench`: {machine}.

All ways examine the same submissions with the same tests, on one thread each, in turns on one machine. The submissions
are right answers: for each task a student has the solution or a known alternative, drawn at random. CPU seconds are
those of all processes. A turn of `autograder grade` divides the start of its examiners among its few submissions,
which are the first of their class. A class also pays for the examination of the solution. Memory is that of all
processes at once; shared memory counts once. Other work on the machine changes wall seconds far more than CPU seconds.

"""
