"""Rehearse a lesson: run its notebook from top to bottom, beside the worked solution or the stub."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from autograder.authoring.build import render
from autograder.authoring.notebook import read_lesson
from autograder.errors import AuthorError
from autograder.limits import CELL_SECONDS
from autograder.topic import Topic

_NOT_STARTED = "not started: "  #: what `attempt` and `check` print before a task is written


def rehearse(topic: Topic, folder: Path, *, is_done: bool = True) -> Path:
    """Run a lesson in a folder with all that students get, but with the solution instead of the stub.

    Args:
        topic: the assignment with the lesson
        folder: an empty or new folder
        is_done: False keeps the stub, as a student begins: all cells run except the checks, which are left out

    Returns:
        the path of the executed notebook, figures and all

    Raises:
        AuthorError: a cell fails or takes too long; says lesson.py:line of the cell, and the exception
    """
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    folder.mkdir(parents=True, exist_ok=True)
    for name, content in render(topic).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    path = folder / f"{topic.id}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    if is_done:
        for solution in topic.module_paths:
            (folder / solution.name).write_bytes(solution.read_bytes())
    else:
        for cell in notebook.cells:
            if cell.cell_type == "code" and "nbgrader" in cell.metadata:
                cell.source = "pass"
    client = NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        extra_arguments=["--log-level=ERROR"],
    )
    failure = ""
    try:
        client.execute(env=_environment())
    except CellExecutionError as error:
        failure = f"{error.ename}: {error.evalue}"
    except CellTimeoutError:
        failure = f"it took more than {CELL_SECONDS} s"
    except DeadKernelError:
        failure = "it killed the kernel"
    finally:
        nbformat.write(notebook, path)
    if failure:
        raise AuthorError(
            f"{topic.lesson_path}:{_line_of_last_cell(topic, notebook)}: this cell fails with the "
            f"{'worked solution' if is_done else 'stub'} ({failure}); correct it, or see {path}"
        )
    return path


def figures_of(topic: Topic, folder: Path) -> int:
    """Run a lesson with the solution and with the stub; return how many figures it draws with the solution.

    Raises:
        AuthorError: a cell fails or takes too long, or the lesson does not say what is not written yet
    """
    done = _outputs(rehearse(topic, folder / "done"))
    begun = _outputs(rehearse(topic, folder / "begun", is_done=False))
    if not any(_NOT_STARTED in output for output in begun):
        raise AuthorError(
            f"{topic.lesson_path}: with the stub it never prints {_NOT_STARTED!r}; wrap its experiments in "
            "`with attempt():`"
        )
    return sum("image/png" in output for output in done)


def _outputs(path: Path) -> list[str]:
    """Return each output of an executed notebook, as text."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [json.dumps(output) for cell in cells for output in cell.get("outputs", ())]


def _environment() -> dict[str, str]:
    """Return the environment of the kernel: that of this process, with this package first on the path."""
    package = str(Path(__file__).resolve().parents[2])
    return {**os.environ, "PYTHONPATH": os.pathsep.join([package, os.environ.get("PYTHONPATH", "")])}


def _line_of_last_cell(topic: Topic, notebook: Any) -> int:
    """Return the line of lesson.py where the code cell begins that ran last."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    ran = sum("iopub.execute_input" in cell.metadata.get("execution", {}) for cell in code)
    lesson = read_lesson(topic, topic.lesson_path.read_text(encoding="utf-8"))
    lines = [cell.line for cell in lesson if cell.kind == "code"]
    return lines[max(ran - 1, 0)]
