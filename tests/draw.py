"""The draw of a test run: the number from which its samples are drawn, the same in every process of the run."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator

import pytest

from autograder.authoring.verified import difference
from autograder.course import Course

DRAW = pytest.StashKey[int]()
VARIABLE = "AUTOGRADER_DRAW"


def drawn(config: pytest.Config) -> int:
    """Return the number from the command line or the environment, else a new number."""
    if hasattr(config, "workerinput"):  # a process of pytest-xdist
        return int(config.workerinput["draw"])
    given = config.getoption("draw")
    return int(os.environ.get(VARIABLE) or secrets.randbelow(1_000_000)) if given is None else given


def told(course: Course, number: int) -> Iterator[str]:
    """Give the lines at the end of a run: what was drawn, and which assignments `make verify` should see again."""
    yield f"assignments: the samples are those of pytest --draw {number}"
    changes = {topic.id: difference(topic) for topic in course.topics()}
    edited = [name for name, found in changes.items() if found.files]
    older = [name for name, found in changes.items() if found.engine and not found.files]
    if edited:
        yield f"not as last verified, so tried with all mistakes: {', '.join(edited)}; run `make verify`"
    if older:
        yield f"last verified with another engine or Python: {', '.join(older)}; run `make verify`"
