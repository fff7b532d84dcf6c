"""Gradescope zip: everything that a Gradescope container needs to examine one assignment. Never publish it."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

from autograder.authoring import build
from autograder.course import Course
from autograder.errors import CourseError
from autograder.files import TEACHERS, write_atomically
from autograder.grading.keep import store
from autograder.grading.keep.engine import engine_files, requirements
from autograder.platforms.gradescope import SETTINGS

_SCRIPTS = Path(__file__).parents[1] / "templates" / "gradescope"
_THEN = (1980, 1, 1, 0, 0, 0)  #: the same course gives the same bytes


def write_zip(course: Course, topic_id: str, path: Path | None = None, *, allow_unisolated: bool = False) -> Path:
    """Write the zip that is uploaded as a Gradescope autograder; returns its path.

    Args:
        path: where to; else exports/<id>/gradescope.zip in the course
        allow_unisolated: let containers without any isolation examine; there a submission can read the solution

    Raises:
        AuthorError: the assignment's files break a rule
        CourseError: it cannot be written
    """
    topic = course.topic(topic_id)
    build.render(topic)
    settings = {
        "assignment": topic.id,
        "seed": store.class_seed(course, topic.id),
        "allow_unisolated": allow_unisolated,
    }
    files = {
        "setup.sh": (_SCRIPTS / "setup.sh").read_bytes(),
        "run_autograder": (_SCRIPTS / "run_autograder").read_bytes(),
        "requirements.txt": requirements(topic, for_judge=True).encode(),
        SETTINGS: json.dumps(settings).encode(),
        "course/nbgrader_config.py": b"# nbgrader is not used here; this file marks a course's folder\n",
    }
    for name, file in topic.all_files.items():
        files[f"course/assignments/{topic.id}/{name}"] = file.read_bytes()
    files |= {f"engine/{name}": content for name, content in engine_files(topic).items()}
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, _THEN)
            is_script = name in ("setup.sh", "run_autograder")
            entry.external_attr = (0o755 if is_script else 0o644) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    path = path or course.root / "exports" / topic.id / "gradescope.zip"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, stream.getvalue(), mode=TEACHERS)
    except OSError as error:
        raise CourseError(f"{path}: cannot be written ({error.strerror}); give another --out") from error
    return path
