"""Following: students hand in one by one, and then a class within a minute, and `autograder follow` answers.

python -m benchmarks.following [--size 200] [--within 60] [--id ID]        in the folder of the course; it writes the
table of docs/follow.md

A hand-in is what `nbgrader submit` leaves in the exchange, with a right answer of its own. CPU seconds are those of
the program and of all processes below it.
"""

from __future__ import annotations

import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import click

from autograder.authoring.release import release
from autograder.course import Course, find_course
from autograder.files import write_atomically
from autograder.grading.keep.answered import answers
from autograder.grading.pool.fleet import cores
from autograder.topic import Topic
from benchmarks.parts import class_of, scratch_course

_BEGIN, _END = "<!-- Written by `make bench-follow`. -->\n", "<!-- By hand from here on. -->\n"
_IDLE_SECONDS = 20
_ALONE = 10, 60.0  #: hand-ins that come one by one, and the seconds within which they come
_PATIENCE = 1800  #: seconds without an end after which the benchmark gives up


@dataclass(frozen=True)
class Measured:
    """What following a class cost."""

    topic: str
    size: int
    lost: int
    twice: int
    waits: tuple[float, ...]  #: seconds from arrival to answer
    arriving: float  #: s, from the first to the last hand-in
    wall: float  #: s, from the first hand-in to the last answer
    cpu: float  #: s
    idle: float  #: CPU seconds a second before the first hand-in
    memory: tuple[float, float]  #: MB before the first hand-in and after the last answer
    load: tuple[float, float]  #: what else wanted a core: the machine's load average before and after


def open_exchange(course: Course) -> Path:
    """Make the exchange of a course as `nbgrader release_assignment` makes it; return its inbound folder."""
    root = course.root / "exchange"
    for name, mode in (("inbound", 0o733), ("outbound", 0o755), ("feedback", 0o711)):
        folder = root / "deep_learning" / name
        folder.mkdir(parents=True)
        folder.chmod(mode)
    root.chmod(0o777)
    return root / "deep_learning" / "inbound"


def hand_in(course: Course, topic_id: str, module: str, student: str, source: bytes, number: int) -> Path:
    """Leave in the exchange what `nbgrader submit` leaves there, in the same order."""
    said = f"2026-11-29 {20 + number // 3600}:{number // 60 % 60:02}:{number % 60:02}.000000 UTC"
    folder = course.root / "exchange/deep_learning/inbound" / f"{student}+{topic_id}+{said}+{number:04}"
    folder.mkdir()
    (folder / f"{module}.py").write_bytes(source)
    shutil.copy(course.release / topic_id / f"{topic_id}.ipynb", folder)
    (folder / "timestamp.txt").write_text(said)
    (folder / "submission_secret.txt").write_text(secret_of(student, number))
    folder.chmod(0o777)
    return folder


def secret_of(student: str, number: int) -> str:
    """The secret by which nbgrader finds the page of a hand-in."""
    return f"{student}-{number}".ljust(128, "x")


def measure(topic: Topic, size: int, within: float) -> Measured:
    """Let a class hand in within so many seconds, and measure."""
    with scratch_course(topic) as course:
        shutil.copy(topic.folder.parent.parent / "nbgrader_config.py", course.root)
        release(course)
        open_exchange(course)
        log = course.root / "log.txt"
        with log.open("w") as stream:
            program = subprocess.Popen(
                [sys.executable, "-m", "autograder.cli", "follow", topic.id],
                cwd=course.root, stdout=stream, stderr=stream, env=os.environ | {"PYTHONUNBUFFERED": "1"},
            )  # fmt: skip
        try:
            return _measure(course, topic, size, within, program, log)
        finally:
            program.terminate()
            program.wait()


def _measure(
    course: Course, topic: Topic, size: int, within: float, program: subprocess.Popen[bytes], log: Path
) -> Measured:
    _until(lambda: "follows" in log.read_text(), program, log)
    before, load_before = _used(program.pid), os.getloadavg()[0]
    time.sleep(_IDLE_SECONDS)
    rested = _used(program.pid)
    began = time.time()
    for number, submission in enumerate(class_of(topic, size)):
        time.sleep(max(0.0, began + number * within / size - time.time()))
        hand_in(course, topic.id, topic.module, submission.student, submission.source or b"", number)
    arriving = time.time() - began
    _until(lambda: log.read_text().count(": answered ") >= size, program, log)
    after = _used(program.pid)
    time.sleep(2)  # a second answer would come now
    found = list(answers(course, topic.id))
    said = Counter(re.findall(r"^(\S+): answered", log.read_text(), re.MULTILINE))
    pages = len(list((course.root / "exchange/deep_learning/feedback").glob("*.html")))
    return Measured(
        topic.id,
        size,
        lost=size - min(len(found), pages // 2),  # a page of nbgrader's and a summary for each
        twice=sum(count > 1 for count in said.values()),
        waits=tuple(sorted(one.answered - one.arrived for one in found)),
        arriving=arriving,
        wall=max(one.answered for one in found) - began,
        cpu=after[0] - rested[0],
        idle=(rested[0] - before[0]) / _IDLE_SECONDS,
        memory=(before[1], after[1]),
        load=(load_before, os.getloadavg()[0]),
    )


def _until(is_true: Any, program: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + _PATIENCE
    while not is_true():
        if program.poll() is not None or time.monotonic() > until:
            raise SystemExit(log.read_text()[-2000:])
        time.sleep(0.2)


def _used(pid: int) -> tuple[float, float]:
    """Return the CPU seconds and the MB of a process, and of all processes below it, the ended ones included."""
    import psutil

    cpu = held = 0.0
    process = psutil.Process(pid)
    for one in (process, *process.children(recursive=True)):
        try:
            cpu += sum(one.cpu_times()[:4])
            held += one.memory_full_info().pss
        except psutil.Error:
            continue  # a worker that has just ended; its zygote counts its seconds
    return cpu, held / 2**20


def table(rows: list[Measured]) -> str:
    """Return the table of docs/follow.md."""
    lines = [
        f"{cores()} cores, {date.today().isoformat()}. Wall seconds depend on what else the machine does. The load",
        "average says how many processes wanted a core, before and after; those of this program count in the second.",
        "",
        "| assignment | hand-ins | arrived within | lost | answered twice | answered after: median, 95 %, longest | "
        "last answer after | CPU s each | idle CPU | memory: before, after | load: before, after |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        late = row.waits[int(0.95 * (len(row.waits) - 1))]
        lines.append(
            f"| {row.topic} | {row.size} | {row.arriving:.0f} s | {row.lost} | {row.twice} | "
            f"{statistics.median(row.waits):.1f}, {late:.1f}, {row.waits[-1]:.1f} s | {row.wall:.0f} s | "
            f"{row.cpu / row.size:.2f} | {100 * row.idle:.1f} % | {row.memory[0]:.0f}, {row.memory[1]:.0f} MB | "
            f"{row.load[0]:.1f}, {row.load[1]:.1f} |"
        )
    return "\n".join(lines) + "\n"


@click.command()
@click.option("--id", "ids", multiple=True, default=["01_neural_network_basics"], metavar="ID", help="An assignment.")
@click.option("--size", default=200, show_default=True, help="How many hand in.")
@click.option("--within", default=60.0, show_default=True, help="Seconds within which all hand in.")
def main(ids: tuple[str, ...], size: int, within: float) -> None:
    """Let a few hand in one by one, and a class within a minute; measure how `autograder follow` answers."""
    course = find_course(Path.cwd())
    text = table([measure(course.topic(name), *case) for name in ids for case in (_ALONE, (size, within))])
    click.echo(text)
    path = course.root / "docs" / "follow.md"
    head, _, rest = path.read_text(encoding="utf-8").partition(_BEGIN)
    write_atomically(path, f"{head}{_BEGIN}\n{text}\n{_END}{rest.partition(_END)[2]}".encode())


if __name__ == "__main__":
    main()
