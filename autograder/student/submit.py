"""`autograder submit`: look at a folder as the grader will, say what was found, and hand it in.

What is looked at never raises for what a student did; a `Finding` says it. A parcel is handed in unless the grader
would take nothing from it.
"""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from autograder.errors import SubmissionError
from autograder.faults import plain
from autograder.grading.imports import imports_outside
from autograder.grading.parcel import MODULE_BYTES
from autograder.student.progress import read_card
from autograder.student.public_tests import environment, find_public_tests

_NO_ANSWER = ("", "YOUR ANSWER HERE")
_PATIENCE = 120  #: seconds for the import of a module, and for nbgrader


@dataclass(frozen=True)
class Finding:
    """One thing about a parcel: fine, worth a look, or what makes it worthless."""

    level: Literal["fine", "look", "stop"]
    sentence: str


def assignment_id(folder: Path) -> str:
    """The assignment's id: what topic.toml says, whatever the folder is called by now."""
    return str(read_card(folder).get("id") or folder.resolve().name)


def examine(folder: Path) -> list[Finding]:
    """Look at the module and the notebook of an assignment's folder.

    Raises:
        SubmissionError: it is no assignment
    """
    tests = find_public_tests(folder)
    if tests is None:
        raise SubmissionError(f"{folder}: no assignment here; go into the folder of one, with its test_*.py")
    card = read_card(folder)
    module = folder / f"{tests.stem.removeprefix('test_')}.py"
    found = list(_look_at_module(module, card))
    if not any(finding.level == "stop" for finding in found):
        found += _look_at_import(module)
    return [*found, *_look_at_notebook(folder / f"{assignment_id(folder)}.ipynb")]


def _look_at_module(module: Path, card: dict[str, Any]) -> Iterator[Finding]:
    name = module.name
    if not module.is_file():
        yield Finding("stop", f"{name} is missing: it alone is examined. Put it back under that name.")
        return
    data = module.read_bytes()
    if len(data) > MODULE_BYTES:
        yield Finding(
            "stop",
            f"{name} is larger than {MODULE_BYTES // 1000} kB, which the grader refuses: keep code in it, no data.",
        )
        return
    try:
        tree = ast.parse(data)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = f" (line {error.lineno})" if isinstance(error, SyntaxError) and error.lineno else ""
        yield Finding("stop", f"{name} is not valid Python{line}: {plain(str(error), 120)}.")
        return
    yield Finding("fine", f"{name}: valid Python, {max(len(data) // 1000, 1)} kB.")
    yield from _look_at_imports(name, data.decode("utf-8", "replace"), card)
    yield from _look_at_names(name, tree, card)


def _look_at_imports(name: str, text: str, card: dict[str, Any]) -> Iterator[Finding]:
    tasks = card.get("tasks", {})
    extras = [str(task["extra"]) for task in tasks.values() if "extra" in task]
    allowed = [*map(str, card.get("imports", [])), *extras]
    outside = imports_outside(text, ["autograder", *allowed]) if "imports" in card else []
    for line, package in outside:
        yield Finding(
            "look",
            f"{name}:{line} imports {plain(package, 80)}, which is not there when it is graded "
            f"(there are the standard library, {', '.join(allowed)}).",
        )


def _look_at_names(name: str, tree: ast.Module, card: dict[str, Any]) -> Iterator[Finding]:
    """Which names of the stub are gone, and which are not written yet?"""
    from autograder.student.touched import definitions

    text = ast.unparse(tree)
    known = definitions(text)
    missing, stubs, asked = [], [], 0
    for task in card.get("tasks", {}).values():
        for full in map(str, task.get("names", [])):
            asked += 1
            top = full.partition(".")[0]
            if top not in known:
                missing.append(full)
            elif ": not started" in known[top][0]:
                stubs.append(full)
    for full in dict.fromkeys(missing):
        yield Finding("look", f"{full} is gone from {name}: its tests will fail. Keep the names of the stub.")
    if stubs:
        names = list(dict.fromkeys(stubs))
        more = f" and {len(names) - 6} more" if len(names) > 6 else ""
        yield Finding("look", f"Not written yet: {', '.join(names[:6])}{more}.")
    elif asked and not missing:
        yield Finding("fine", "Every function and class that the tasks ask for is there.")


def _look_at_import(module: Path) -> Iterator[Finding]:
    """Import it in a process of its own, as a worker will."""
    code = (
        "import sys; from pathlib import Path\n"
        "from autograder.student.module import ImportFailed, imported\n"
        "try:\n"
        "    with imported(Path(sys.argv[1]), patience=20.0): pass\n"
        "except ImportFailed as error: sys.stderr.write('\\n' + str(error)); sys.exit(3)\n"
    )
    command = [sys.executable, "-c", code, str(module.resolve())]
    try:
        run = subprocess.run(
            command, cwd=module.parent, env=environment(), stdin=subprocess.DEVNULL, capture_output=True,
            timeout=_PATIENCE, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        yield Finding("stop", f"{module.name} was still being imported after {_PATIENCE} seconds.")
        return
    if run.returncode == 3:
        said = run.stderr.decode("utf-8", "replace").rstrip().rpartition("\n")[2]
        yield Finding("stop", plain(said))
    elif run.returncode:
        yield Finding(
            "stop", f"{module.name} ends the program when it is imported (exit code {run.returncode})."
        )


def _look_at_notebook(path: Path) -> Iterator[Finding]:
    """Are the written answers there? They are read by a person, out of this notebook alone."""
    if not path.is_file():
        yield Finding("look", f"{path.name} is missing: your written answers stand in it.")
        return
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        answers = [cell for cell in cells if _is_answer(cell)]
        empty = [
            str(cell["metadata"]["nbgrader"]["grade_id"])
            for cell in answers
            if "".join(cell["source"]).strip() in _NO_ANSWER
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        yield Finding("look", f"{path.name} is no notebook any more: your written answers cannot be read.")
        return
    if not answers:
        yield Finding("look", f"{path.name} holds none of the cells for written answers: were they deleted?")
    for answer in empty:
        yield Finding("look", f"{path.name}: the written question '{plain(answer, 60)}' has no answer yet.")
    if answers and not empty:
        yield Finding("fine", f"{path.name}: {len(answers)} written answers.")


def _is_answer(cell: dict[str, Any]) -> bool:
    marks = cell["metadata"].get("nbgrader", {})
    return bool(marks.get("grade") and marks.get("solution"))


def pack(folder: Path) -> Path:
    """Write <id>.zip beside the folder: the module and the notebook, which is all that is examined and read."""
    tests = find_public_tests(folder)
    assert tests is not None
    topic_id = assignment_id(folder)
    target = folder.resolve().parent / f"{topic_id}.zip"
    names = [f"{tests.stem.removeprefix('test_')}.py", f"{topic_id}.ipynb"]
    descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=".", suffix=".zip")
    try:
        with (
            os.fdopen(descriptor, "wb") as stream,
            zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive,
        ):
            for name in names:
                if (folder / name).is_file():
                    archive.write(folder / name, f"{topic_id}/{name}")
        Path(temporary).chmod(0o644)
        os.replace(temporary, target)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise SubmissionError(
            f"{target}: cannot be written ({error.strerror}); make room or rights there"
        ) from None
    return target


def has_exchange(folder: Path) -> bool:
    """True where nbgrader is installed and set up for the folder's parent: then that is the way."""
    if importlib.util.find_spec("nbgrader") is None:
        return False
    from jupyter_core.paths import jupyter_config_path

    places = [folder.resolve().parent, *map(Path, jupyter_config_path())]
    return any((place / "nbgrader_config.py").is_file() for place in places)


def to_exchange(folder: Path) -> str:
    """Hand in through nbgrader's exchange.

    Returns:
        '' where it took the folder, else what nbgrader said
    """
    command = [sys.executable, "-m", "nbgrader", "submit", assignment_id(folder)]
    try:
        run = subprocess.run(
            command, cwd=folder.resolve().parent, capture_output=True, text=True, errors="replace",
            timeout=_PATIENCE, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"no answer within {_PATIENCE} seconds"
    if run.returncode == 0:
        return ""
    said = [
        row for row in run.stderr.splitlines() if "ERROR" in row or "Error" in row
    ] or run.stderr.splitlines()
    return plain(said[-1] if said else f"exit code {run.returncode}", 200)
