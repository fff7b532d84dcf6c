"""Mark: the points of one student in one assignment, as the gradebook has them and a platform's roster needs them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mark:
    """The points of one student in one assignment."""

    student: str
    score: float
    max_score: float
    open: tuple[str, ...] = ()  #: what a person has not graded yet
    note: str = ""  #: such as "12 points late penalty"
