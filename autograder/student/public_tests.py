"""Find the public tests in a student's folder and run them in a separate process."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from autograder.limits import PUBLIC_RUN_SECONDS
from autograder.plain import plain
from autograder.student.card import hides_a_package, read_card
from autograder.student.progress import Progress, progress
from autograder.student.trial import Trial

_TASK = re.compile(r"""mark\.task\(\s*["'](\w+)["']""")
#: no tracebacks, which nobody reads here and which take long to write; and without two plugins that each collect all
#: garbage at the end
QUICKLY = (
    "-q", "--tb=native", "-p", "autograder.plugin", "-p", "no:cacheprovider",
    "-p", "no:unraisableexception", "-p", "no:threadexception",
)  # fmt: skip


@dataclass(frozen=True)
class PublicRun:
    """The result of a run: the progress of the tasks, or a sentence that says why there is none."""

    progress: Progress | None
    sentence: str = ""
    is_misuse: bool = False  #: nothing was run, because there is no such task, or no test


def run_public_tests(folder: Path, task: str | None = None) -> PublicRun:
    """Run the public tests in `folder`, of one task or of all. A fault of the student never raises."""
    tests = find_public_tests(folder)
    if tests is None:
        return _misuse(f"No tests in {folder}: open the folder of an assignment, with its test_*.py in it.")
    if said := refusal(tests, task):
        return _misuse(said)
    return run_tasks(tests, [task] if task else [])


def run_tasks(tests: Path, tasks: Sequence[str]) -> PublicRun:
    """Run the public tests of these tasks in a separate process; of all tasks if the list is empty."""
    folder = tests.parent
    if said := hides_a_package(folder):
        return PublicRun(None, said)
    module = main_module(tests)
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "trials.json"
        try:
            done = subprocess.run(
                [sys.executable, "-m", "pytest", *arguments(tests, report, tasks)],
                cwd=folder,
                env=environment(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=PUBLIC_RUN_SECONDS,
            )
        except subprocess.TimeoutExpired:
            text = f"{module}.py was still running after {PUBLIC_RUN_SECONDS} seconds: is there a loop without an end?"
            return PublicRun(None, text)
        return what_came(tests, report, done.returncode, done.stdout + done.stderr)


def refusal(tests: Path, task: str | None) -> str:
    """Say that there is no such task, and list the tasks; '' if the task exists."""
    tasks = tasks_of(tests)
    if task is None or task in tasks:
        return ""
    close = get_close_matches(task, tasks, n=1)
    meant = f"Did you mean {close[0]!r}? " if close else ""
    return f"There is no task {plain(task, 80)!r} here. {meant}The tasks are {', '.join(tasks)}."


def what_came(tests: Path, report: Path, code: int, output: bytes) -> PublicRun:
    """Read the report of a run that has ended; if there is no report, say how the run ended."""
    module = main_module(tests)
    if said := hides_a_package(tests.parent):
        return PublicRun(None, said)
    if trials := _read(report):
        return PublicRun(progress(trials, tests.parent, module))
    return PublicRun(None, _without_trials(module, code, output))


def find_public_tests(folder: Path) -> Path | None:
    """The test file of the folder's topic: the file for topic.toml's module, else the first test file."""
    named = folder / f"test_{read_card(folder).get('module')}.py"
    if named.is_file():
        return named
    found = sorted(path for path in folder.glob("test_*.py") if not path.stem.endswith("_hidden"))
    return next((path for path in found if tasks_of(path)), None)


def main_module(tests: Path) -> str:
    """The name of the module that a test file examines: softmax for test_softmax.py."""
    return tests.stem.removeprefix("test_")


def tasks_of(tests: Path) -> list[str]:
    """The tasks of a test file, in its order."""
    return list(dict.fromkeys(_TASK.findall(tests.read_text(encoding="utf-8", errors="replace"))))


def arguments(tests: Path, report: Path, tasks: Sequence[str]) -> list[str]:
    """The arguments with which pytest runs the public tests of these tasks, or of all, and writes a report."""
    only = [f"--autograder-task={','.join(tasks)}"] if tasks else []
    return [
        *QUICKLY, "-o", "addopts=", f"--rootdir={tests.parent}", f"--autograder-trials={report}", *only, tests.name,
    ]  # fmt: skip


def environment() -> dict[str, str]:
    """The environment without the variables of other tools: pytest's options, the notebook's figures."""
    kept = {key: value for key, value in os.environ.items() if key != "PYTEST_ADDOPTS"}
    return kept | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "MPLBACKEND": "Agg", "PYTHONIOENCODING": "utf-8"}


def _read(report: Path) -> Sequence[Trial]:
    try:
        return [Trial(**entry) for entry in json.loads(report.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError):
        return []


def _without_trials(module: str, code: int, output: bytes) -> str:
    """Say why a run wrote no report: the module ended the process, or the tests could not be read."""
    rows = [plain(row, 200) for row in output.decode("utf-8", "replace").splitlines()]
    last = "\n".join(["", *(f"  {row}" for row in rows if row)][-12:])
    return f"The tests ended early (exit code {code}): does {module}.py end the program, or crash?{last}"


def _misuse(sentence: str) -> PublicRun:
    return PublicRun(None, sentence, is_misuse=True)
