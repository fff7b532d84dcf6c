"""Speed: what a submission costs, here and with what others use, measured side by side in one run.

    autograder bench [ID]        writes docs/benchmarks.md

CPU seconds count, of a process and of every process below it that has ended; wall seconds of a shared machine only
hint. Every way examines the same submissions with the same tests, in turns, and a way's number is the median over the
turns.
"""

from __future__ import annotations

import base64
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import autograder
from autograder.course import Course
from autograder.demo import DEFAULT
from autograder.errors import AutograderError
from autograder.files import write_atomically
from autograder.fleet import cores, examine_all
from autograder.screen import progress_bar
from autograder.submission import Submission
from autograder.topic import Topic

_ROUNDS = 3
#: how many submissions a way examines in one turn: few where each takes seconds
_MANY, _FEW = 20, 3


@dataclass(frozen=True)
class Cost:
    """What one submission cost, in one turn of one way."""

    cpu: float  #: s
    wall: float  #: s


@dataclass(frozen=True)
class Growth:
    """What a whole class cost."""

    size: int
    jobs: int
    cpu: float  #: s, all of it
    wall: float  #: s, all of it
    memory: tuple[
        float, float
    ]  #: MB that the examiners held at the 100th submission (or the first), and at the end
    left: int  #: processes and folders that the run left behind


def class_of(topic: Topic, size: int) -> list[Submission]:
    """Return a class of right answers, each a text of its own: wrong ones may loop, and would measure themselves."""
    text = topic.solution_path.read_bytes()
    return [
        Submission(f"s{number:04}", topic.id, topic.folder, b"%b\n# student %d\n" % (text, number))
        for number in range(size)
    ]


# --- the ways --------------------------------------------------------------------------------------------------------


def ways(topic: Topic) -> dict[str, Callable[[], tuple[Cost, ...]]]:
    """Return every way to examine this topic, by its name; a call is one turn.

    The first returns two costs: of the test functions alone, and of pytest around them.
    """
    found: dict[str, Callable[[], tuple[Cost, ...]]] = {
        _IN_PROCESS: lambda: _in_process(topic),
        _SANDBOXED: lambda: (_sandboxed(topic, 1),),
        _ALL_CORES: lambda: (_sandboxed(topic, cores()),),
        _FRESH: lambda: (_fresh_pytest(topic),),
    }
    if shutil.which("jupyter", path=str(Path(sys.executable).parent)):
        found[_STOCK] = lambda: (_stock_nbgrader(topic),)
    return found


_BARE = "the test functions alone"
_IN_PROCESS = "pytest in one process, no isolation"
_SANDBOXED = "autograder grade, sandboxed, one job"
_ALL_CORES = "autograder grade, sandboxed, a job a core"
_FRESH = "a fresh `python -m pytest` for each"
_STOCK = "stock `nbgrader autograde`, the same tests in its cells"


def _in_process(topic: Topic) -> tuple[Cost, Cost]:
    command = [sys.executable, "-P", "-m", "autograder.bench_speed", str(topic.folder), str(_MANY)]
    done = subprocess.run(command, capture_output=True, text=True, env=_environment(), check=False)
    if done.returncode:
        raise AutograderError(f"bench: {done.stderr.strip().splitlines()[-1:]}")
    found = json.loads(done.stdout)
    return Cost(**found["alone"]), Cost(**found["pytest"])


def _sandboxed(topic: Topic, jobs: int) -> Cost:
    with _scratch_course(topic) as course:
        parcels = class_of(topic, _MANY + jobs)
        examine_all(course, parcels[_MANY:], jobs=jobs)  # the manifest, so that a turn does not pay for it
        with _meter(_MANY) as cost:
            examine_all(course, parcels[:_MANY], jobs=jobs)
    return cost[0]


def _fresh_pytest(topic: Topic) -> Cost:
    with tempfile.TemporaryDirectory() as folder:
        for path in (topic.public_tests_path, topic.hidden_tests_path, topic.folder / "topic.toml"):
            shutil.copy(path, folder)
        solution = Path(folder, "solution", topic.solution_path.name)
        solution.parent.mkdir()
        shutil.copy(topic.solution_path, solution)
        Path(folder, "conftest.py").write_text(_REFERENCE.format(path=str(solution)), encoding="utf-8")
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "autograder.plugin",
            "-p",
            "no:cacheprovider",
            "--import-mode=importlib",
        ]
        with _meter(_FEW) as cost:
            for parcel in class_of(topic, _FEW):
                Path(folder, f"{topic.module}.py").write_bytes(parcel.source or b"")
                _run([*command, "."], folder)
    return cost[0]


def _stock_nbgrader(topic: Topic) -> Cost:
    """Have nbgrader run a notebook whose grade cells run the tests of one task each, and nothing of ours."""
    import nbformat

    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "source", topic.id)
        source.mkdir(parents=True)
        for path in (topic.public_tests_path, topic.hidden_tests_path, topic.folder / "topic.toml"):
            shutil.copy(path, source)
        hidden = source / "solution" / topic.solution_path.name
        hidden.parent.mkdir()
        shutil.copy(topic.solution_path, hidden)
        shutil.copy(topic.solution_path, source)
        reference = _REFERENCE.format(path="solution/" + hidden.name)
        (source / "conftest.py").write_text(reference, encoding="utf-8")
        notebook = nbformat.v4.new_notebook()
        for task in topic.tasks:
            options = [
                "-q",
                "-p",
                "autograder.plugin",
                "-p",
                "no:cacheprovider",
                "--bench-task",
                task.id,
                ".",
            ]
            cell = nbformat.v4.new_code_cell(f"import pytest\nassert pytest.main({options}) == 0")
            cell.metadata["nbgrader"] = {
                "grade": True, "grade_id": task.id, "locked": True, "points": task.points,
                "schema_version": 3, "solution": False, "cell_type": "code",
            }  # fmt: skip
            notebook.cells.append(cell)
        nbformat.write(notebook, source / f"{topic.id}.ipynb")
        nbgrader = [sys.executable, "-m", "nbgrader"]
        _run([*nbgrader, "generate_assignment", topic.id], folder)
        for parcel in class_of(topic, _FEW):
            handed = Path(folder, "submitted", parcel.student, topic.id)
            shutil.copytree(Path(folder, "release", topic.id), handed)
            (handed / f"{topic.module}.py").write_bytes(parcel.source or b"")
        with _meter(_FEW) as cost:
            _run([*nbgrader, "autograde", topic.id], folder)
    return cost[0]


_REFERENCE = """\
import importlib.util

import pytest


@pytest.fixture(scope="session")
def reference():
    spec = importlib.util.spec_from_file_location("reference_solution", {path!r})
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pytest_addoption(parser):
    parser.addoption("--bench-task", default="")


def pytest_collection_modifyitems(config, items):
    wanted = config.getoption("--bench-task")
    if wanted:
        items[:] = [item for item in items if item.get_closest_marker("task").args == (wanted,)]
"""


# --- measuring -------------------------------------------------------------------------------------------------------


@contextmanager
def _meter(count: int) -> Iterator[list[Cost]]:
    """Measure what happens within, of this process and of those that it started and that have ended."""
    cost: list[Cost] = []
    cpu, wall = _cpu(), time.perf_counter()
    yield cost
    cost.append(Cost((_cpu() - cpu) / count, (time.perf_counter() - wall) / count))


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


@contextmanager
def _scratch_course(topic: Topic) -> Iterator[Course]:
    with tempfile.TemporaryDirectory() as folder:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(topic.folder, Path(folder, "assignments", topic.id), ignore=ignored)
        yield Course(Path(folder))


@contextmanager
def _own_folder() -> Iterator[Path]:
    """Have all temporary files lie where nobody else has any."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o711)  # a worker without rights has its own folder in it
        usual, tempfile.tempdir = tempfile.tempdir, folder
        try:
            yield Path(folder)
        finally:
            tempfile.tempdir = usual


def _environment() -> dict[str, str]:
    home = str(Path(autograder.__file__).parent.parent)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"  # nbgrader calls alembic by name
    known = {"OMP_NUM_THREADS": "1", "PYTHONPATH": home, "PATH": path, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return os.environ | known


def _run(command: list[str], folder: str) -> None:
    done = subprocess.run(
        command, cwd=folder, env=_environment(), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise AutograderError(
            f"bench: {' '.join(command[2:])} ended with {done.returncode}: {done.stderr[-500:]}"
        )


def growth(topic: Topic, size: int, jobs: int) -> Growth:
    """Examine a class of `size`, and watch what it takes."""
    import psutil

    me, seen = psutil.Process(), []
    before = {child.pid for child in me.children(recursive=True)}

    def look(_report: object) -> None:
        held = 0
        for child in me.children(recursive=True):
            try:
                if "autograder.examiner" in child.cmdline():
                    held += child.memory_info().rss
            except psutil.Error:
                continue  # it has just ended
        seen.append(held / 2**20)

    with _scratch_course(topic) as course, _own_folder() as folder:
        with _meter(1) as cost:
            examine_all(course, class_of(topic, size), jobs=jobs, on_report=look)
        left = len({child.pid for child in me.children(recursive=True)} - before) + len(
            list(folder.iterdir())
        )
    first = seen[min(99, len(seen) - 1)]
    return Growth(size, jobs, cost[0].cpu, cost[0].wall, (first, seen[-jobs]), left)


# --- the page --------------------------------------------------------------------------------------------------------


def bench_all(course: Course, ids: Sequence[str], sizes: Sequence[int], *, rounds: int = _ROUNDS) -> Path:
    """Measure some assignments in every way, and whole classes; write docs/benchmarks.md and return its path."""
    parts = []
    with progress_bar() as progress:
        topics = course.topics(tuple(ids) or DEFAULT)
        step = progress.add_task(
            "bench", total=sum(rounds * len(ways(topic)) + len(sizes) for topic in topics)
        )
        for topic in topics:
            costs: dict[str, list[Cost]] = {}
            for turn in range(rounds):
                for name, way in ways(topic).items():
                    progress.update(step, description=f"{topic.id}, turn {turn + 1}: {name}")
                    names = (_BARE, name) if name == _IN_PROCESS else (name,)
                    for known, cost in zip(names, way(), strict=True):
                        costs.setdefault(known, []).append(cost)
                    progress.advance(step)
            classes = []
            for size in sizes:
                progress.update(step, description=f"{topic.id}, a class of {size}")
                classes.append(growth(topic, size, cores()))
                progress.advance(step)
            parts.append(_page(topic, costs, classes))
    path = course.root / "docs" / "benchmarks.md"
    path.parent.mkdir(exist_ok=True)
    write_atomically(path, (_HEAD + "\n".join(parts)).encode())
    return path


def _page(topic: Topic, costs: dict[str, list[Cost]], classes: list[Growth]) -> str:
    bare = statistics.median(cost.cpu for cost in costs[_BARE])
    ours = statistics.median(cost.cpu for cost in costs[_SANDBOXED])
    lines = [
        f"## {topic.id}",
        "",
        f"{platform.machine()}, {cores()} cores, Python {platform.python_version()}, {date.today().isoformat()}, "
        f"{len(next(iter(costs.values())))} turns; the lowest and the highest turn in brackets.",
        "",
        "| a submission costs | CPU s | wall s | CPU, over the tests alone | CPU, over ours |",
        "|---|---|---|---|---|",
    ]
    for name, found in costs.items():
        cpu = [cost.cpu for cost in found]
        wall = [cost.wall for cost in found]
        middle = statistics.median(cpu)
        lines.append(
            f"| {name} | {middle:.3f} ({min(cpu):.3f}-{max(cpu):.3f}) | {statistics.median(wall):.3f} | "
            f"{middle / bare:.1f} x | {middle / ours:.1f} x |"
        )
    if classes:
        lines += [
            "",
            "| class of | jobs | CPU s a submission | wall s in all | memory at first | at last | left behind |",
            "|---|---|---|---|---|---|---|",
        ]
    for grown in classes:
        first, last = grown.memory
        lines.append(
            f"| {grown.size} | {grown.jobs} | {grown.cpu / grown.size:.3f} | {grown.wall:.0f} | {first:.0f} MB | "
            f"{last:.0f} MB | {grown.left or 'nothing'} |"
        )
    return "\n".join(lines) + "\n"


_HEAD = """\
# Benchmarks

Written by `make bench` (`autograder bench`). All ways examine the same submissions (right answers, each a text of its
own) with the same tests, on one thread each, in turns on one machine. CPU seconds are those of all processes. A turn
of `autograder grade` shares the start of its examiners among its submissions; the solution's own examination is in the
classes only. A machine that others use too moves wall seconds far more than CPU seconds.

"""


# --- the process of `pytest in one process` ---------------------------------------------------------------------------


def main() -> int:
    """Examine a class in this process, and print the cost of a submission: the tests alone, and all of it."""
    import pytest

    from autograder.examiner import answer_requests, run
    from autograder.inprocess import OpenExamination

    class Timed(OpenExamination):
        cpu = wall = 0.0

        @pytest.hookimpl(wrapper=True)
        def pytest_pyfunc_call(self) -> Iterator[object]:
            cpu, wall = time.process_time(), time.perf_counter()
            try:
                return (yield None)
            finally:
                self.cpu += time.process_time() - cpu
                self.wall += time.perf_counter() - wall

    def hold(topic: Topic, _requests: object, answers: object) -> int:
        count = int(sys.argv[2])
        spent: list[tuple[float, float, float, float]] = []

        def requests() -> Iterator[str]:
            for parcel in class_of(topic, 1 + count):
                if parcel.student == "s0001":  # the first one warms up
                    spent.append((time.process_time(), time.perf_counter(), timed.cpu, timed.wall))
                source = base64.b64encode(parcel.source or b"").decode()
                yield json.dumps(
                    {"source": source, "seed": 0, "tests": None, "stops": False, "changes": None}
                )

        with open(os.devnull, "w") as nowhere:
            timed = Timed(topic, None, requests(), nowhere)  # type: ignore[arg-type]
            code = run(timed, topic)
        cpu, wall, alone_cpu, alone_wall = spent[0]
        found = {
            "alone": {"cpu": (timed.cpu - alone_cpu) / count, "wall": (timed.wall - alone_wall) / count},
            "pytest": {
                "cpu": (time.process_time() - cpu) / count,
                "wall": (time.perf_counter() - wall) / count,
            },
        }
        print(json.dumps(found), file=answers)  # type: ignore[call-overload]
        return code

    return answer_requests(Path(sys.argv[1]), hold)


if __name__ == "__main__":
    sys.exit(main())
