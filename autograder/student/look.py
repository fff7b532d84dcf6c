"""Look at an assignment's folder as the grader will, and say what was found.

A fault of the student never raises an error here; a `Remark` says it.
"""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from autograder.errors import SubmissionError
from autograder.faults import NOT_ALLOWED
from autograder.grading.intake import parcel
from autograder.grading.intake.choice import Choice, choose
from autograder.grading.intake.parcel import Complaint
from autograder.imports import imports_outside
from autograder.limits import LOOK_SECONDS, MODULE_BYTES
from autograder.plain import plain
from autograder.portable import habits, newer_syntax
from autograder.student.answers import look_at_notebook
from autograder.student.card import given_files, given_modules, hides_a_package, modules_of, read_card, wanted_of
from autograder.student.public_tests import environment, find_public_tests, main_module, run_tasks, tasks_of
from autograder.student.remark import Remark
from autograder.syntax import NOT_UTF8, is_utf16, takes_long, text_of


def assignment_id(folder: Path) -> str:
    """The assignment's id as topic.toml says it, because the folder may have been renamed."""
    return str(read_card(folder).get("id") or folder.resolve().name)


def examine(folder: Path) -> list[Remark]:
    """Look at what the grader will find in an assignment's folder: the modules and the notebook.

    Raises:
        SubmissionError: it is not the folder of an assignment
    """
    return list(_remarks(folder))


def _remarks(folder: Path) -> Iterator[Remark]:
    tests = find_public_tests(folder)
    if tests is None:
        raise SubmissionError(f"{folder}: no assignment here; go into the folder of one, with its test_*.py")
    card = read_card(folder)
    modules = modules_of(card, main_module(tests))
    try:
        choice = found_in(folder)
    except Complaint as complaint:
        yield Remark("stop", f"The grader would say: {complaint}.")
        choice = None
    if choice is not None:
        yield from _look_at_modules(tests, card, modules, choice)
    yield from look_at_notebook(folder / f"{assignment_id(folder)}.ipynb")


def found_in(folder: Path) -> Choice:
    """Find the modules in the folder of an assignment as the grader does.

    Raises:
        Complaint: the grader would find no main module
    """
    tests = find_public_tests(folder)
    assert tests is not None
    wanted = wanted_of(read_card(folder), main_module(tests))
    try:
        return choose(list(parcel.capped(parcel.open_folder(folder))), wanted)
    except parcel.UNREADABLE as error:
        raise Complaint(f"a file that cannot be read ({plain(str(error), 200)})") from None


def _look_at_modules(tests: Path, card: dict[str, Any], modules: tuple[str, ...], choice: Choice) -> Iterator[Remark]:
    for said in choice.complaints:
        yield Remark("look", f"{said}.")
    if said := hides_a_package(tests.parent):
        yield Remark("look", said)
    for name in choice.missing:
        yield Remark("stop", f"{name}.py is missing: {_listed(modules)} are examined. Put it back under that name.")
    found = [remark for name, data in choice.texts.items() for remark in _look_at_module(name, data, card, modules)]
    yield from found
    if choice.missing or any(remark.level == "stop" for remark in found):
        return
    text = b"\n".join(choice.texts.values())
    if not takes_long(text):
        yield from _look_at_names(text_of(text), modules, card)
    with _as_the_grader_has_it(tests, card, choice) as copy:
        imported = list(_look_at_import(copy.parent, modules))
        yield from imported
        if not imported:
            yield from _look_at_what_is_forbidden(copy, card)


@contextlib.contextmanager
def _as_the_grader_has_it(tests: Path, card: dict[str, Any], choice: Choice) -> Iterator[Path]:
    """Give the test file of a folder that holds the chosen modules and what was handed out, and nothing else."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / assignment_id(tests.parent)
        folder.mkdir()
        for name in (tests.name, "topic.toml", *given_files(card)):
            source, target = tests.parent / name, folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, dirs_exist_ok=True)
            elif source.is_file():
                shutil.copyfile(source, target)
        for name, data in choice.texts.items():
            (folder / f"{name}.py").write_bytes(data)
        yield folder / tests.name


def _look_at_module(module: str, data: bytes, card: dict[str, Any], modules: tuple[str, ...]) -> Iterator[Remark]:
    name = f"{module}.py"
    if len(data) > MODULE_BYTES:
        yield Remark(
            "stop",
            f"{name} is larger than {MODULE_BYTES >> 10} KB, which the grader refuses: keep only code in it, no data.",
        )
        return
    if is_utf16(data):
        yield Remark("stop", f"{name} {NOT_UTF8}")
        return
    if takes_long(data):
        yield Remark("look", f"{name} takes too long to read and was not read; a person will look at it.")
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(data)
        text = importlib.util.decode_source(data)
    except (SyntaxError, ValueError, LookupError, RecursionError, MemoryError) as error:
        line = f" (line {error.lineno})" if isinstance(error, SyntaxError) and error.lineno else ""
        yield Remark("stop", f"{name} is not valid Python{line}: {plain(str(error), 120)}.")
        return
    yield Remark("fine", f"{name}: valid Python, {max(len(data) // 1000, 1)} kB.")
    for said in newer_syntax(text):
        yield Remark("look", f"{name}:{said}")
    yield from _look_at_imports(name, text, card, modules)
    for number, said in habits(tree):
        yield Remark("look", f"{name}:{number} {said}")


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


def _look_at_names(text: str, modules: tuple[str, ...], card: dict[str, Any]) -> Iterator[Remark]:
    """Find names of the stub that are missing, and names that are not written yet."""
    from autograder.student.touched import definitions

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
