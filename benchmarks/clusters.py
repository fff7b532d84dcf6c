"""Clusters: the same class with two judges of this process, and on two local workers of Dask, in turns.

    python -m benchmarks.clusters [ID] [SIZE]        # writes the table into docs/benchmarks.md

The seconds hold the start of everything: judges, or scheduler and workers.
"""

from __future__ import annotations

import statistics
import sys
from datetime import date
from pathlib import Path

from autograder.course import Course
from autograder.grading.pool.fleet import examine_all
from autograder.topic import Topic
from benchmarks.meter import meter
from benchmarks.parts import class_of, parts_of, scratch_course
from benchmarks.tables import write_table

ROOT = Path(__file__).parent.parent
TURNS = 3


def with_judges(course: Course, topic: Topic, size: int) -> None:
    """Examine a class with two judges."""
    examine_all(course, class_of(topic, size), jobs=2, is_kept=False)


def on_workers(course: Course, topic: Topic, size: int) -> None:
    """Examine a class on two local workers of Dask."""
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as graders:
        examine_all(course, class_of(topic, size), cluster=graders.scheduler_address, is_kept=False)


WAYS = {"`--jobs 2`": with_judges, "`--dask`, two local workers": on_workers}


def main() -> None:
    """Measure both ways in turns, and write the table."""
    name = sys.argv[1] if len(sys.argv) > 1 else "01_neural_network_basics"
    size = int(sys.argv[2]) if len(sys.argv) > 2 else 200
    topic = Course(ROOT).topic(name)
    found: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
    with scratch_course(topic, parts_of(topic)[0]) as course:
        small = course.topic(name)
        for _ in range(TURNS):
            for way, examine in WAYS.items():
                with meter(size) as cost:
                    examine(course, small, size)
                found[way].append((cost[0].cpu, cost[0].wall))
                print(way, found[way][-1], file=sys.stderr)
    rows = [
        f"A class of {size} of {name}, without tests that train, in {TURNS} turns: medians, measured by "
        f"`python -m benchmarks.clusters {name} {size}` on {date.today()}.",
        "",
        "| way | CPU s a submission | wall s a submission |",
        "|---|---|---|",
    ]
    for way, turns in found.items():
        cpu, wall = (statistics.median(turn[side] for turn in turns) for side in (0, 1))
        rows.append(f"| {way} | {cpu:.3f} | {wall:.3f} |")
    write_table("benchmarks.md", "cluster", rows)


if __name__ == "__main__":
    main()
