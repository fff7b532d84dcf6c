"""Allowance: what one whole submission may use, over all its tests and workers, and whether it was disturbed."""

from __future__ import annotations

from dataclasses import dataclass

#: what one submission may send in all, and what one test may
MOST_BYTES, MOST_BYTES_A_TEST = 4 << 30, 1 << 30


@dataclass
class Allowance:
    """What is left of a submission's budget."""

    seconds: float  #: CPU seconds
    bytes: int = MOST_BYTES
    was_killed: bool = False  #: a worker was killed, but not by us: by the kernel, by itself, or by a person

    def __post_init__(self) -> None:
        self.total = self.seconds

    def used_up(self) -> str:
        """Say what is used up, '' if nothing is."""
        if self.seconds <= 0:
            return f"your code has used up the {self.total:g} s of CPU time of the whole submission"
        if self.bytes <= 0:
            return f"your code has used up the {MOST_BYTES >> 20} MB that a whole submission may return"
        return ""
