"""`autograder submit`: look at a folder as the grader will, say what was found, and hand it in.

A fault of the student never raises an error here; a `Remark` says it. A parcel is handed in unless the grader would
find no module in it.
"""

from __future__ import annotations

import ast
import contextlib
import importlib.util
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
from autograder.faults import NOT_ALLOWED
from autograder.grading.intake.written import read_cells, text_of_cell
from autograder.imports import imports_outside
from autograder.limits import ANSWER_LETTERS, LOOK_SECONDS, MODULE_BYTES
from autograder.plain import plain
from autograder.student.card import given_modules, modules_of, read_card, whole_text
from autograder.student.public_tests import environment, find_public_tests, main_module, run_tasks, tasks_of
from autograder.syntax import takes_long

_NO_ANSWER = ("", "YOUR ANSWER HERE")


@dataclass(frozen=True)
class Remark:
    """One remark about a parcel: it is fine, or the student should look at it, or it stops the submission."""

    level: Literal["fine", "look", "stop"]
    sentence: str


def assignment_id(folder: Path) -> str:
    """The assignment's id as topic.toml says it, because the folder may have been renamed."""
    return str(read_card(folder).get("id") or folder.resolve().name)


def examine(folder: Path) -> list[Remark]:
    """Look at the module and the notebook of an assignment's folder.

    Raises:
        SubmissionError: it is not the folder of an assignment
    """
    tests = find_public_tests(folder)
    if tests is None:
        raise SubmissionError(f"{folder}: no assignment here; go into the folder of one, with its test_*.py")
    card = read_card(folder)
    modules = modules_of(card, main_module(tests))
    found = [remark for name in modules for remark in _look_at_module(folder / f"{name}.py", card, modules)]
    if not any(remark.level == "stop" for remark in found):
        if not takes_long(whole_text(folder, modules).encode()):
            found += _look_at_names(folder, modules, card)
        found += _look_at_import(folder, modules)
    if not any(remark.level == "stop" for remark in found):
        found += _look_at_what_is_forbidden(tests, card)
    return [*found, *_look_at_notebook(folder / f"{assignment_id(folder)}.ipynb")]


def _look_at_module(module: Path, card: dict[str, Any], modules: tuple[str, ...]) -> Iterator[Remark]:
    name = module.name
    if not module.is_file():
        examined = "it alone is examined" if len(modules) == 1 else f"{_listed(modules)} are examined"
        yield Remark("stop", f"{name} is missing: {examined}. Put it back under that name.")
        return
    data = module.read_bytes()
    if len(data) > MODULE_BYTES:
        yield Remark(
            "stop",
            f"{name} is larger than {MODULE_BYTES >> 10} KB, which the grader refuses: keep only code in it, no data.",
        )
        return
    if takes_long(data):
        yield Remark("look", f"{name} takes too long to read and was not read; a person will look at it.")
        return
    try:
        ast.parse(data)
        text = importlib.util.decode_source(data)
    except (SyntaxError, ValueError, LookupError, RecursionError, MemoryError) as error:
        line = f" (line {error.lineno})" if isinstance(error, SyntaxError) and error.lineno else ""
        yield Remark("stop", f"{name} is not valid Python{line}: {plain(str(error), 120)}.")
        return
    yield Remark("fine", f"{name}: valid Python, {max(len(data) // 1000, 1)} kB.")
    yield from _look_at_imports(name, text, card, modules)


def _listed(modules: tuple[str, ...]) -> str:
    names = [f"{name}.py" for name in modules]
    return f"{', '.join(names[:-1])} and {names[-1]}" if names[1:] else names[0]


def _look_at_imports(name: str, text: str, card: dict[str, Any], modules: tuple[str, ...]) -> Iterator[Remark]:
    tasks = card.get("tasks", {})
    extras = [str(task["extra"]) for task in tasks.values() if "extra" in task]
    allowed = [*map(str, card.get("imports", [])), *extras]
    known = ["autograder", *allowed, *modules, *given_modules(card)]
    outside = imports_outside(text, known) if "imports" in card else []
    for line, package in outside:
        yield Remark(
            "look",
            f"{name}:{line} imports {plain(package, 80)}, which is missing when it is graded "
            f"(available: the standard library, {', '.join(allowed)}).",
        )


def _look_at_names(folder: Path, modules: tuple[str, ...], card: dict[str, Any]) -> Iterator[Remark]:
    """Find names of the stub that are missing, and names that are not written yet."""
    from autograder.student.touched import definitions

    known = definitions(whole_text(folder, modules))
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
        yield Remark(
            "look",
            f"{full} is missing in {_listed(modules)}: its tests will fail. Keep the names of the stub.",
        )
    if stubs:
        names = list(dict.fromkeys(stubs))
        more = f" and {len(names) - 6} more" if len(names) > 6 else ""
        yield Remark("look", f"Not written yet: {', '.join(names[:6])}{more}.")
    elif asked and not missing:
        yield Remark("fine", "Every function and class that the tasks ask for is there.")


def _look_at_import(folder: Path, modules: tuple[str, ...]) -> Iterator[Remark]:
    """Import the main module in a separate process, as a worker will."""
    module = folder / f"{modules[0]}.py"
    code = (
        "import sys; from pathlib import Path\n"
        "from autograder.student.module import NotImported, imported\n"
        "try:\n"
        "    with imported(Path(sys.argv[1]), also=tuple(sys.argv[2:]), patience=20.0): pass\n"
        "except NotImported as error: sys.stderr.write('\\n' + str(error)); sys.exit(3)\n"
    )
    command = [sys.executable, "-c", code, str(module.resolve()), *modules[1:]]
    try:
        run = subprocess.run(
            command, cwd=module.parent, env=environment(), stdin=subprocess.DEVNULL, capture_output=True,
            timeout=LOOK_SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        yield Remark("stop", f"{module.name} was still being imported after {LOOK_SECONDS} seconds.")
        return
    if run.returncode == 3:
        said = run.stderr.decode("utf-8", "replace").rstrip().rpartition("\n")[2]
        yield Remark("stop", plain(said))
    elif run.returncode:
        yield Remark("stop", f"{module.name} ends the program when it is imported (exit code {run.returncode}).")


def _look_at_what_is_forbidden(tests: Path, card: dict[str, Any]) -> Iterator[Remark]:
    """Run the public tests of the tasks that forbid something, to see whether the code uses it."""
    tasks = [task for task in tasks_of(tests) if card.get("tasks", {}).get(task, {}).get("forbid")]
    run = run_tasks(tests, tasks) if tasks else None
    for task in run.progress.tasks if run and run.progress else ():
        if said := next((trial.sentence for trial in task.trials if NOT_ALLOWED in trial.sentence), ""):
            yield Remark("look", f"{task.number} {task.title}: {said}".strip())


def _look_at_notebook(path: Path) -> Iterator[Remark]:
    """Find out whether the written answers are there. A person reads them, in this notebook only."""
    if not path.is_file():
        yield Remark("look", f"{path.name} is missing: your written answers are in it.")
        return
    cells, fault = read_cells(path)
    if fault:
        yield Remark("look", f"{plain(fault, 200)}. Your written answers are in it.")
        return
    answers = [cell for cell in cells if _is_answer(cell)]
    empty = [
        str(cell["metadata"]["nbgrader"].get("grade_id"))
        for cell in answers
        if text_of_cell(cell).strip() in _NO_ANSWER
    ]
    if not answers:
        yield Remark("look", f"{path.name} holds none of the cells for written answers: were they deleted?")
    for answer in empty:
        yield Remark("look", f"{path.name}: the written question '{plain(answer, 60)}' has no answer yet.")
    if answers and not empty:
        yield Remark("fine", f"{path.name}: {len(answers)} written answers.")
    for cell in answers:
        if len(text_of_cell(cell)) > ANSWER_LETTERS:
            name = plain(str(cell["metadata"]["nbgrader"].get("grade_id")), 60)
            yield Remark("look", f"{path.name}: the answer to '{name}' is cut after {ANSWER_LETTERS} letters.")


def _is_answer(cell: dict[str, Any]) -> bool:
    metadata = cell.get("metadata")
    marks = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    return isinstance(marks, dict) and bool(marks.get("grade") and marks.get("solution"))


def pack(folder: Path) -> Path:
    """Write <id>.zip beside the folder, with the modules and the notebook: only these are examined and read."""
    tests = find_public_tests(folder)
    assert tests is not None
    topic_id = assignment_id(folder)
    target = folder.resolve().parent / f"{topic_id}.zip"
    modules = modules_of(read_card(folder), main_module(tests))
    names = [*(f"{name}.py" for name in modules), f"{topic_id}.ipynb"]
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
        raise SubmissionError(f"{target}: cannot be written ({error.strerror}); make room or rights there") from None
    return target


def has_exchange(folder: Path) -> bool:
    """True if nbgrader is installed and set up for the folder's parent; then its exchange is used."""
    if importlib.util.find_spec("nbgrader") is None:
        return False
    from jupyter_core.paths import jupyter_config_path

    folders = [folder.resolve().parent, *map(Path, jupyter_config_path())]
    return any((folder / "nbgrader_config.py").is_file() for folder in folders)


def to_exchange(folder: Path) -> str:
    """Hand in through nbgrader's exchange.

    Returns:
        '' if nbgrader took the folder, else its message
    """
    command = [sys.executable, "-m", "nbgrader", "submit", assignment_id(folder)]
    try:
        run = subprocess.run(
            command, cwd=folder.resolve().parent, capture_output=True, text=True, errors="replace",
            timeout=LOOK_SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"no answer within {LOOK_SECONDS} seconds"
    if run.returncode == 0:
        return ""
    said = [row for row in run.stderr.splitlines() if "ERROR" in row or "Error" in row] or run.stderr.splitlines()
    return plain(said[-1] if said else f"exit code {run.returncode}", 200)
