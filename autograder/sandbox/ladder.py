"""The ladder: which rung of isolation is used here. Each rung is proved by a run; if none holds, grading stops."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from functools import cache

from autograder.errors import SandboxError
from autograder.report.model import Isolation
from autograder.sandbox.inside import harden
from autograder.sandbox.prove import Attempt, prove
from autograder.sandbox.rungs import seccomp

RUNGS: tuple[Isolation, ...] = ("A", "B", "C", "D")
_LANDLOCK_FOR_B = 3  #: from this version on it also covers truncate(2)


@dataclass(frozen=True)
class Rung:
    """The result of trying one rung on this machine."""

    isolation: Isolation
    missing: str  #: what it needs and the machine lacks; empty if it started
    attempts: tuple[Attempt, ...] = ()

    @property
    def holds(self) -> bool:
        return not self.missing and all(attempt.is_held for attempt in self.attempts)

    @property
    def reason(self) -> str:
        """Say why it cannot be used."""
        broken = [attempt.what for attempt in self.attempts if not attempt.is_held]
        return self.missing or f"a worker could {', '.join(broken)}"


def choose(*, allow_unisolated: bool = False, only: Isolation | None = None) -> Isolation:
    """Return the highest rung that holds here.

    Args:
        allow_unisolated: take D, which isolates nothing, if no other rung holds
        only: take this rung or none; for tests of the rungs

    Raises:
        SandboxError: none can be used
    """
    if only == "D" and allow_unisolated:
        return "D"
    reasons = []
    for isolation in RUNGS[:3] if only is None else (only,):
        rung = climb(isolation)
        if rung.holds:
            return isolation
        reasons.append(f"{isolation}: {rung.reason}")
    if allow_unisolated and only is None:
        return "D"
    raise SandboxError(
        f"sandbox: student code cannot be isolated here ({'; '.join(reasons)}); `autograder doctor` says what to "
        "install or set. --allow-unisolated grades without a wall: only code that you trust, and every report is "
        "then marked 'not isolated'"
    )


@cache
def climb(isolation: Isolation) -> Rung:
    """Try a rung: first what it needs, then what a worker on it can do."""
    missing = "it isolates nothing" if isolation == "D" else _what_is_missing(isolation)
    if missing:
        return Rung(isolation, missing)
    try:
        return Rung(isolation, "", tuple(prove(isolation)))
    except SandboxError as error:
        return Rung(isolation, str(error).removeprefix("sandbox: "))


def _what_is_missing(isolation: Isolation) -> str:
    if isolation == "C":
        if sys.platform != "darwin":
            return "it is for macOS"
        return "" if shutil.which("sandbox-exec") else "sandbox-exec is missing"
    if not sys.platform.startswith("linux"):
        return f"it needs Linux, this is {sys.platform}"
    if isolation == "A" and shutil.which("bwrap") is None:
        return "bubblewrap is not installed: apt install bubblewrap, or dnf install bubblewrap"
    needed = 1 if isolation == "A" else _LANDLOCK_FOR_B
    if harden.landlock_abi() < needed:
        kernel = "5.13" if needed == 1 else "6.2"
        return f"the kernel's Landlock is too old or off: Linux {kernel} or newer, with 'landlock' in its lsm= list"
    try:
        seccomp.build_filter(is_alone=False)
    except SandboxError as error:
        return str(error)
    return ""
