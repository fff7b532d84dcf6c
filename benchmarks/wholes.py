"""Wholes: the CPU seconds of a whole submission, tests that train included, for every assignment.

    python -m benchmarks.wholes              # writes the table into docs/benchmarks.md
    python -m benchmarks.wholes ID           # prints the row of one assignment

Each row is the second examination of the solution in a warm examiner, each assignment in a process of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import date
from pathlib import Path

from autograder.course import Course
from autograder.suite import read_suite
from benchmarks.inside import seconds_of
from benchmarks.tables import write_table

ROOT = Path(__file__).parent.parent


def main() -> None:
    """Measure one assignment, or all of them and write the table."""
    course = Course(ROOT)
    if len(sys.argv) > 1:
        topic = course.topic(sys.argv[1])
        source = topic.solution_path.read_bytes()
        found = seconds_of(topic, [source, source + b"# again\n"])
        print(json.dumps({"examiner": found["examiner"][-1], "worker": found["worker"][-1]}))
        return
    rows = []
    for topic in course.topics():
        if not all(task.is_gradable for task in topic.tasks):
            left_out = ", ".join(task.id for task in topic.tasks if not task.is_gradable)
            print(f"{topic.id}: without {left_out}, whose packages are not installed", file=sys.stderr)
        ran = subprocess.run([sys.executable, "-m", "benchmarks.wholes", topic.id], capture_output=True, check=True)
        worker, examiner = (json.loads(ran.stdout.splitlines()[-1])[side] for side in ("worker", "examiner"))
        count = len(read_suite(topic))
        rows.append(f"| {topic.id} | {count} | {worker + examiner:.1f} | {worker:.1f} | {examiner:.1f} |")
        print(rows[-1])
    head = [
        f"Measured by `python -m benchmarks.wholes` on {date.today()}.",
        "",
        "| assignment | test functions | CPU s | of them in the worker | and in the examiner |",
        "|---|---|---|---|---|",
    ]
    write_table("benchmarks.md", "wholes", [*head, *rows])


if __name__ == "__main__":
    main()
