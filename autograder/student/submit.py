"""`autograder submit`: hand an assignment's folder in, as a zip or through nbgrader's exchange."""

from __future__ import annotations

import importlib.util
import io
import subprocess
import sys
import zipfile
from pathlib import Path

from autograder.errors import SubmissionError
from autograder.files import write_atomically
from autograder.grading.intake.parcel import Complaint
from autograder.limits import LOOK_SECONDS
from autograder.plain import plain
from autograder.student.look import assignment_id, found_in


def pack(folder: Path) -> Path:
    """Write <id>.zip beside the folder, with the modules that the grader finds in it, under their names, and the
    notebook: only these are examined and read.

    Raises:
        SubmissionError: there is no main module, or the zip cannot be written
    """
    topic_id = assignment_id(folder)
    target = folder.resolve().parent / f"{topic_id}.zip"
    try:
        files = {f"{name}.py": data for name, data in found_in(folder).texts.items()}
    except Complaint as complaint:
        raise SubmissionError(f"{folder}: {complaint}") from None
    notebook = folder / f"{topic_id}.ipynb"
    files |= {notebook.name: notebook.read_bytes()} if notebook.is_file() else {}
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(f"{topic_id}/{name}", data)
    try:
        write_atomically(target, packed.getvalue())
    except OSError as error:
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
