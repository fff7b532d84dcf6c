"""Ways to examine the same submissions with the same tests: the bare functions, pytest, this package, other tools."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from autograder.errors import AutograderError
from autograder.grading.pool.fleet import cores, examine_all
from autograder.topic import Topic
from benchmarks.meter import Spent, meter
from benchmarks.parts import class_of, scratch_course

#: how many submissions a way examines in one turn: few if each takes seconds
MANY, FEW = 20, 3
#: options of pytest, as anybody would use it for the suite
_OPTIONS = ("-q", "-p", "autograder.plugin", "-p", "no:cacheprovider", "--import-mode=importlib")

BARE = "the test functions alone"
IN_PROCESS = "pytest in one process, no isolation"
SANDBOXED = "autograder grade, sandboxed, one job"
ALL_CORES = "autograder grade, sandboxed, a job a core"
FRESH = "a fresh `python -m pytest` for each"
STOCK = "stock `nbgrader autograde`, the same tests in its cells"
OTTER = "`otter run`, the same tests in its files"


def ways(topic: Topic, many: int = 0) -> dict[str, Callable[[], tuple[Spent, ...]]]:
    """Return every way to examine this topic, by its name; a call is one turn.

    The first way returns two costs: of the test functions alone, and of the whole run of pytest.

    Args:
        topic: the assignment, or a part of one
        many: how many submissions a quick way examines in a turn (MANY)
    """
    many = many or MANY
    found: dict[str, Callable[[], tuple[Spent, ...]]] = {
        IN_PROCESS: lambda: _in_process(topic, many),
        SANDBOXED: lambda: (_sandboxed(topic, many, 1),),
        ALL_CORES: lambda: (_sandboxed(topic, many, cores()),),
        FRESH: lambda: (_fresh_pytest(topic),),
    }
    if shutil.which("jupyter", path=str(Path(sys.executable).parent)):
        found[STOCK] = lambda: (_stock_nbgrader(topic),)
    if importlib.util.find_spec("otter"):
        found[OTTER] = lambda: (_otter(topic),)
    return found


def _in_process(topic: Topic, many: int) -> tuple[Spent, Spent]:
    command = [sys.executable, "-P", "-m", "benchmarks.alone", str(topic.folder), str(many)]
    with meter(1) as whole:
        done = subprocess.run(command, capture_output=True, text=True, env=_environment(), check=False)
    if done.returncode:
        raise AutograderError(f"bench: {done.stderr.strip().splitlines()[-1:]}")
    found = json.loads(done.stdout)
    return Spent(**found["alone"]), Spent(**found["pytest"], memory=whole[0].memory)


def _sandboxed(topic: Topic, many: int, jobs: int) -> Spent:
    with scratch_course(topic) as course:
        parcels = class_of(topic, many + jobs)
        examine_all(course, parcels[many:], jobs=jobs)  # make the manifest first, so that no turn pays for it
        with meter(many) as cost:
            examine_all(course, parcels[:many], jobs=jobs)
    return cost[0]


def _stage(topic: Topic, folder: Path) -> None:
    """Put the suite into a folder for a pytest without our plugin, which knows only the marker of tasks."""
    for path in (topic.public_tests_path, topic.hidden_tests_path, topic.folder / "topic.toml"):
        shutil.copy(path, folder)
    shutil.copy(topic.solution_path, folder / "reference_solution.py")
    (folder / "conftest.py").write_text(_CONFTEST, encoding="utf-8")


def _fresh_pytest(topic: Topic) -> Spent:
    with tempfile.TemporaryDirectory() as folder:
        _stage(topic, Path(folder))
        with meter(FEW) as cost:
            for parcel in class_of(topic, FEW):
                Path(folder, f"{topic.module}.py").write_bytes(parcel.source or b"")
                _run([sys.executable, "-m", "pytest", *_OPTIONS, "."], folder)
    return cost[0]


def _stock_nbgrader(topic: Topic) -> Spent:
    """Let stock nbgrader run a notebook without our parts; each grade cell runs the tests of one task."""
    import nbformat

    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "source", topic.id)
        source.mkdir(parents=True)
        _stage(topic, source)
        shutil.copy(topic.solution_path, source)
        notebook = nbformat.v4.new_notebook()
        for task in topic.tasks:
            cell = nbformat.v4.new_code_cell(_tests_of(task.id))
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


def _otter(topic: Topic) -> Spent:
    """Let Otter run a notebook with the student's code and a test file for each task, without its container.

    Its marks are checked, because its exit code is 0 even if tests fail.
    """
    import nbformat

    with tempfile.TemporaryDirectory() as folder:
        _stage(topic, Path(folder))
        Path(folder, "tests").mkdir()
        for task in topic.tasks:
            test = _OTTER_TEST.format(name=task.id, points=task.points, body=_tests_of(task.id).replace("\n", "\n    "))
            Path(folder, "tests", f"{task.id}.py").write_text(test, encoding="utf-8")
        files = sorted(path.name for path in Path(folder).iterdir() if path.is_file())
        otter = [sys.executable, "-m", "otter"]
        _run([*otter, "generate", "-t", "tests", "-o", "autograder.zip", "--no-environment", *files], folder)
        for parcel in class_of(topic, FEW):
            write = f"%%writefile {topic.module}.py\n{(parcel.source or b'').decode()}"
            cells = [nbformat.v4.new_code_cell(write)]
            metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
            notebook = nbformat.v4.new_notebook(cells=cells, metadata=metadata)
            nbformat.write(notebook, Path(folder, f"{parcel.student}.ipynb"))
            Path(folder, parcel.student).mkdir()
        with meter(FEW) as cost:
            for parcel in class_of(topic, FEW):
                command = ["run", "-a", "autograder.zip", "-o", parcel.student, f"{parcel.student}.ipynb"]
                _run([*otter, *command], folder)
        for parcel in class_of(topic, FEW):
            results = json.loads(Path(folder, parcel.student, "results.json").read_text(encoding="utf-8"))
            marks = {test["name"]: test.get("score") for test in results["tests"]}
            if not all(marks.get(task.id) == task.points for task in topic.tasks):
                raise AutograderError(f"bench: otter refused a right answer: {marks}")
    return cost[0]


def _tests_of(task: str) -> str:
    """Return the statements that run the tests of one task in the folder of the suite."""
    return f"import pytest\nassert pytest.main({[*_OPTIONS, '--bench-task', task, '.']}) == 0"


def _environment() -> dict[str, str]:
    home = str(Path(__file__).parent.parent)  # the folder of this package and of the engine
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"  # nbgrader calls alembic by name
    known = {"OMP_NUM_THREADS": "1", "PYTHONPATH": home, "PATH": path, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    stock = {"JUPYTER_NO_CONFIG": "1"}  # otherwise nbgrader would load our guard, which runs nothing
    return os.environ | known | stock


def _run(command: list[str], folder: str) -> None:
    done = subprocess.run(command, cwd=folder, env=_environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise AutograderError(f"bench: {' '.join(command[2:])} ended with {done.returncode}: {done.stderr[-500:]}")


_CONFTEST = """\
import importlib.util
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def reference():
    path = Path(__file__).with_name("reference_solution.py")
    spec = importlib.util.spec_from_file_location("reference_solution", path)
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
_OTTER_TEST = """\
from otter.test_files import test_case

OK_FORMAT = False
name = {name!r}
points = {points!r}


@test_case(points={points!r})
def test_of_the_task():
    {body}
"""
