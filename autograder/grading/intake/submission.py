"""Submission: what one student handed in for one assignment, opened and unchanged."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Submission:
    """One parcel. Even a bad parcel becomes a submission: `complaints` says what was wrong with it."""

    student: str
    assignment: str
    origin: Path  #: the folder, file or archive that it came from
    source: bytes | None  #: the modules as handed in, as a bundle (sandbox/both/bundle.py); None without the main one
    complaints: tuple[str, ...] = ()  #: sentences for the student and the teacher, such as "no module ..."
