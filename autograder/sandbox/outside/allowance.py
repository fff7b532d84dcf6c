"""Allowance: what one whole submission may use, over all its tests and workers, and whether a worker was killed."""

from __future__ import annotations

from dataclasses import dataclass

from autograder.limits import IDLE_SECONDS, SUBMISSION_BYTES


@dataclass
class Allowance:
    """What is left of a submission's budget."""

    seconds: float  #: CPU seconds
    bytes: int = SUBMISSION_BYTES
    idle: float = IDLE_SECONDS  #: seconds of waiting
    was_killed: bool = False  #: a worker was killed, but not by us: by the kernel, by itself, or by a person

    def __post_init__(self) -> None:
        self.total = self.seconds

    def used_up(self) -> str:
        """Say what is used up; '' if nothing is."""
        if self.seconds <= 0:
            return f"your code has used up the {self.total:g} s of CPU time of the whole submission"
        if self.idle <= 0:
            return (
                f"your code has waited for {IDLE_SECONDS:g} s without computing, over all tests of the submission; "
                "remove sleeps, input() and locks"
            )
        if self.bytes <= 0:
            return f"your code has used up the {SUBMISSION_BYTES >> 20} MB that a whole submission may return"
        return ""
