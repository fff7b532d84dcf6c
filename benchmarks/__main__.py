"""Measure what a submission costs, here and with other tools; write docs/benchmarks.md. python -m benchmarks [--id ID]
[--classes 10,100] [--turns 3]        in the folder of the course

speed.py      the rounds and the page    parts.py      what is measured
ways.py       the ways to examine it     classes.py    whole classes
tables.py     a table into a page of docs/
meter.py      seconds and memory         alone.py      the process of the test functions alone
inside.py     a submission's seconds on each side of the wall
clusters.py   a class with two judges, and on two workers of Dask
wholes.py     a whole submission of each assignment
installs.py   how long each set of extras takes to install, and its size
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from autograder.course import find_course
from autograder.errors import AutograderError
from benchmarks.speed import bench_all


@click.command()
@click.option("--id", "ids", multiple=True, metavar="ID", help="An assignment to measure (01 and 04).")
@click.option("--classes", default="10,100", metavar="N,N", help="Sizes of whole classes to examine (10,100).")
@click.option("--turns", default=3, metavar="N", show_default=True, help="How often to try each way.")
def main(ids: tuple[str, ...], classes: str, turns: int) -> None:
    """Measure what a submission costs, here and with other tools; write docs/benchmarks.md."""
    try:
        sizes = [int(size) for size in classes.split(",") if size]
    except ValueError:
        raise click.BadParameter("numbers with commas between them, such as 10,100", param_hint="--classes") from None
    try:
        click.echo(bench_all(find_course(Path.cwd()), ids, sizes, rounds=turns))
    except AutograderError as error:
        click.echo(f"benchmarks: {error}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
