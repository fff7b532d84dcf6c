"""Course: the folder of a course, and the topics in it."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path

from autograder.errors import CourseError
from autograder.topic import Topic, read_topic


@dataclass(frozen=True)
class Course:
    """A course folder, as nbgrader and the commands see it."""

    root: Path

    @property
    def assignments(self) -> Path:
        return self.root / "assignments"

    @property
    def source(self) -> Path:
        return self.root / "source"

    @property
    def release(self) -> Path:
        return self.root / "release"

    @property
    def submitted(self) -> Path:
        return self.root / "submitted"

    @property
    def cache(self) -> Path:
        """Files that the engine keeps, and that may be deleted: manifests, reports, the class's seed."""
        return self.root / ".autograder"

    def topic_ids(self) -> tuple[str, ...]:
        """The ids of all assignments, in the course's order."""
        return tuple(sorted(path.parent.name for path in self.assignments.glob("*/topic.toml")))

    def topic(self, topic_id: str) -> Topic:
        """Read one assignment.

        Raises:
            CourseError: there is no such assignment
            AuthorError: its files break a rule
        """
        known = self.topic_ids()
        if topic_id not in known:
            close = difflib.get_close_matches(topic_id, known, n=1, cutoff=0.3)
            meant = f"did you mean {close[0]}?" if close else f"the assignments are {', '.join(known) or 'none'}"
            raise CourseError(f"{self.assignments}: no assignment {topic_id!r}; {meant}")
        return read_topic(self.assignments / topic_id)

    def topics(self, ids: tuple[str, ...] = ()) -> tuple[Topic, ...]:
        """Read the assignments with these ids, or all of them."""
        return tuple(self.topic(topic_id) for topic_id in ids or self.topic_ids())


def find_course(start: Path) -> Course:
    """Return the course that the folder `start` is in.

    Raises:
        CourseError: neither it nor a folder above it holds assignments/ and nbgrader_config.py
    """
    for folder in (start, *start.parents):
        if (folder / "assignments").is_dir() and (folder / "nbgrader_config.py").is_file():
            return Course(folder)
    raise CourseError(
        f"{start}: not inside a course; go to the folder that holds assignments/ and nbgrader_config.py, "
        "or start a course with `autograder init`"
    )
