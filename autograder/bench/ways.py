"""Ways to examine the same submissions with the same tests: the bare functions, pytest, ours, and what others use."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import autograder
from autograder.bench.meter import Cost, meter
from autograder.bench.parts import class_of, scratch_course
from autograder.errors import AutograderError
from autograder.grading.fleet import cores, examine_all
from autograder.topic import Topic

#: how many submissions a way examines in one turn: few where each takes seconds
MANY, FEW = 20, 3

BARE = "the test functions alone"
IN_PROCESS = "pytest in one process, no isolation"
SANDBOXED = "autograder grade, sandboxed, one job"
ALL_CORES = "autograder grade, sandboxed, a job a core"
FRESH = "a fresh `python -m pytest` for each"
STOCK = "stock `nbgrader autograde`, the same tests in its cells"


def ways(topic: Topic, many: int = 0) -> dict[str, Callable[[], tuple[Cost, ...]]]:
    """Return every way to examine this topic, by its name; a call is one turn.

    The first returns two costs: of the test functions alone, and of pytest around them.

    Args:
        topic: the assignment, or a part of one
        many: how many submissions a quick way examines in a turn (MANY)
    """
    many = many or MANY
    found: dict[str, Callable[[], tuple[Cost, ...]]] = {
        IN_PROCESS: lambda: _in_process(topic, many),
        SANDBOXED: lambda: (_sandboxed(topic, many, 1),),
        ALL_CORES: lambda: (_sandboxed(topic, many, cores()),),
        FRESH: lambda: (_fresh_pytest(topic),),
    }
    if shutil.which("jupyter", path=str(Path(sys.executable).parent)):
        found[STOCK] = lambda: (_stock_nbgrader(topic),)
    return found


def _in_process(topic: Topic, many: int) -> tuple[Cost, Cost]:
    command = [sys.executable, "-P", "-m", "autograder.bench.alone", str(topic.folder), str(many)]
    with meter(1) as whole:
        done = subprocess.run(command, capture_output=True, text=True, env=_environment(), check=False)
    if done.returncode:
        raise AutograderError(f"bench: {done.stderr.strip().splitlines()[-1:]}")
    found = json.loads(done.stdout)
    return Cost(**found["alone"]), Cost(**found["pytest"], memory=whole[0].memory)


def _sandboxed(topic: Topic, many: int, jobs: int) -> Cost:
    with scratch_course(topic) as course:
        parcels = class_of(topic, many + jobs)
        examine_all(course, parcels[many:], jobs=jobs)  # the manifest, so that a turn does not pay for it
        with meter(many) as cost:
            examine_all(course, parcels[:many], jobs=jobs)
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
        with meter(FEW) as cost:
            for parcel in class_of(topic, FEW):
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
        for parcel in class_of(topic, FEW):
            handed = Path(folder, "submitted", parcel.student, topic.id)
            shutil.copytree(Path(folder, "release", topic.id), handed)
            (handed / f"{topic.module}.py").write_bytes(parcel.source or b"")
        with meter(FEW) as cost:
            _run([*nbgrader, "autograde", topic.id], folder)
    return cost[0]


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
