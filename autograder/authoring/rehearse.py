"""Rehearse a lesson: run its notebook from top to bottom, with the worked solution beside it or with the stub."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from autograder.authoring.build import render
from autograder.authoring.notebook import read_lesson
from autograder.errors import AuthorError
from autograder.topic import Topic

SECONDS = 120  #: a lesson runs from top to bottom in under two minutes; so long may one cell take at the most


def rehearse(topic: Topic, folder: Path, *, is_done: bool = True) -> Path:
    """Run a lesson in a folder, which gets all that students get, and the solution for the stub.

    Args:
        topic: whose lesson
        folder: an empty or new folder
        is_done: False leaves the stub, as a student begins: all cells run, but for the checks, which are left out

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
        (folder / name).write_bytes(content)
    path = folder / f"{topic.id}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    if is_done:
        (folder / f"{topic.module}.py").write_bytes(topic.solution_path.read_bytes())
    else:
        for cell in notebook.cells:
            if cell.cell_type == "code" and "nbgrader" in cell.metadata:
                cell.source = "pass"
    client = NotebookClient(
        notebook,
        timeout=SECONDS,
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
        failure = f"it took more than {SECONDS} s"
    except DeadKernelError:
        failure = "it killed the kernel"
    finally:
        nbformat.write(notebook, path)
    if failure:
        raise AuthorError(
            f"{topic.lesson_path}:{_line_of_last_cell(topic, notebook)}: this cell fails with the "
            f"{'worked solution' if is_done else 'stub'} ({failure}); mend it, or see {path}"
        )
    return path


def _environment() -> dict[str, str]:
    """Return the environment of the kernel: this one's, with this very package first on the path."""
    package = str(Path(__file__).resolve().parents[2])
    return {**os.environ, "PYTHONPATH": os.pathsep.join([package, os.environ.get("PYTHONPATH", "")])}


def _line_of_last_cell(topic: Topic, notebook: Any) -> int:
    """Return the line of lesson.py that begins the code cell which ran last."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    ran = sum("iopub.execute_input" in cell.metadata.get("execution", {}) for cell in code)
    lesson = read_lesson(topic, topic.lesson_path.read_text(encoding="utf-8"))
    lines = [cell.line for cell in lesson if cell.kind == "code"]
    return lines[max(ran - 1, 0)]
