"""What nbgrader finds when it grades a student: the released notebook with the answers, and the examined module."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nbformat
from nbconvert.exporters import NotebookExporter
from nbgrader.converters import base

from autograder.course import Course
from autograder.errors import CourseError
from autograder.grading.intake.collect import collect_in_place
from autograder.recording.answers import lay
from autograder.sandbox.both.bundle import parted
from autograder.topic import Topic

COPIED = ("timestamp.txt", "submission_secret.txt")  #: nbgrader's own files in a parcel


class PristineExporter(NotebookExporter):  # type: ignore[misc]
    """Give nbgrader the released notebook with the student's answers, instead of the student's notebook."""

    def from_filename(self, filename: str, resources: Any = None, **kw: Any) -> Any:
        if not self.parent._sanitizing:
            return super().from_filename(filename, resources=resources, **kw)
        course = Course(Path(self.parent.coursedir.root))
        notebook, complaints = lay(released(course, resources["nbgrader"]["assignment"]), Path(filename))
        notebook["metadata"]["autograder"] = {"complaints": list(complaints)}
        resources["metadata"] = {"name": Path(filename).stem, "path": str(Path(filename).parent)}
        return self.from_notebook_node(nbformat.reads(json.dumps(notebook), as_version=4), resources=resources, **kw)


def released(course: Course, assignment: str) -> dict[str, Any]:
    """Read the released notebook of an assignment, as JSON.

    Raises:
        CourseError: there is none
    """
    path = course.release / assignment / f"{assignment}.ipynb"
    try:
        notebook: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        why = "is missing" if isinstance(error, FileNotFoundError) else f"cannot be read ({error})"
        raise CourseError(f"{path}: {why}; run `autograder release {assignment}`") from error
    return notebook


class PlainCopy(base.BaseConverter):  # type: ignore[misc]
    """Copy nbgrader's own files out of a parcel, and the examined module; nbgrader's own copy would follow links."""

    def init_assignment(self, assignment_id: str, student_id: str) -> None:
        parcel = Path(self._format_source(assignment_id, student_id))
        folder = Path(self._format_dest(assignment_id, student_id))
        folder.mkdir(parents=True, exist_ok=True)
        for name in COPIED:
            file = parcel / name
            if not file.is_symlink() and file.is_file() and file.stat().st_size <= 1000:
                _replace_file(folder / name, file.read_bytes())
        topic = Course(Path(self.coursedir.root)).topic(assignment_id)
        source = collect_in_place(parcel, topic).source
        for name, text in parted(source, topic.modules).items() if source is not None else ():
            _replace_file(folder / f"{name}.py", text)


def not_overwritten(topic: Topic) -> list[str]:
    """Return what nbgrader must not copy out of source/: a student's modules, and given files, which nobody reads."""
    return [*(path.name for path in topic.module_paths), *topic.files]


def _replace_file(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)  # nbgrader makes the files that it wrote read-only
    path.write_bytes(content)
