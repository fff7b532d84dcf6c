"""Submission: what one student handed in for one assignment, opened and unchanged."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Submission:
    """One parcel. It always exists, however bad: what was wrong with it stands in `complaints`."""

    student: str
    assignment: str
    origin: Path  #: the folder, file or archive that it came from
    source: bytes | None  #: the module as handed in, None where there was none
    complaints: tuple[str, ...] = ()  #: sentences for the student and the teacher, such as "no module ..."
