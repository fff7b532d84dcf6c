"""Doctor: what isolation this machine offers to student code, and how nbgrader is set up in this course."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from autograder.course import find_course
from autograder.errors import CourseError
from autograder.sandbox.inside import harden
from autograder.sandbox.ladder import RUNGS, Rung, climb

_NAMES = {
    "A": "bubblewrap, own namespaces, Landlock, seccomp",
    "B": "without namespaces, for containers: own user, Landlock, seccomp",
    "C": "macOS: sandbox-exec",
    "D": "no isolation, limits only; on request, with --allow-unisolated",
}


def examine() -> tuple[list[str], int]:
    """Try every rung, and look at the course; return what to print, and 0 if a rung holds and the course is right."""
    rungs = [climb(isolation) for isolation in RUNGS[:3]]
    lines = [line for rung in rungs for line in _describe(rung)]
    lines.append(f"D  {_NAMES['D']}")
    best = next((rung for rung in rungs if rung.holds), None)
    if best is None:
        lines.append("Grading stops here: no rung holds.")
    else:
        lines.append(f"Grading uses rung {best.isolation}.")
    if best is None or best.isolation != "A":
        lines += [f"  to do: {advice}" for advice in _advice()]
    wrong, remarks = _of_course()
    return lines + wrong + remarks, 0 if best and not wrong else 1


def _of_course() -> tuple[list[str], list[str]]:
    """Say what is wrong with nbgrader in the course around this folder, and what is worth knowing."""
    try:
        course = find_course(Path.cwd())
    except CourseError:
        return [], []
    try:
        from autograder.recording.checkup import look

        return look(course)
    except ImportError as error:
        return [f"nbgrader cannot be loaded ({error}); pip install 'autograder[teacher]'"], []


def _describe(rung: Rung) -> Iterator[str]:
    state = "holds" if rung.holds else "cannot be used"
    yield f"{rung.isolation}  {_NAMES[rung.isolation]}: {state}"
    if rung.missing:
        yield f"     {rung.missing}"
    for attempt in rung.attempts:
        yield f"     a worker {'cannot' if attempt.is_held else 'CAN'} {attempt.what}"


def _advice() -> Iterator[str]:
    """Say what to install or set for rung A on this kind of machine."""
    if sys.platform == "darwin":
        yield "rung C is the best rung on macOS; for rung A, grade in a Linux virtual machine"
        return
    if not sys.platform.startswith("linux"):
        yield "grade in WSL2 or in a Linux virtual machine: Windows itself has no rung"
        return
    if _is_set("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"):
        yield (
            "Ubuntu 24.04 and newer forbid user namespaces to unknown programs: give bubblewrap an AppArmor profile "
            "with the line `userns,` (see docs/security.md), or `sudo sysctl "
            "kernel.apparmor_restrict_unprivileged_userns=0`"
        )
    if Path("/proc/sys/kernel/unprivileged_userns_clone").exists() and not _is_set(
        "/proc/sys/kernel/unprivileged_userns_clone"
    ):
        yield "user namespaces are off: `sudo sysctl kernel.unprivileged_userns_clone=1`"
    if Path("/.dockerenv").exists() or "KUBERNETES_SERVICE_HOST" in os.environ:
        yield (
            "this is a container, such as JupyterHub's: it offers rung B; for rung A start it with "
            "`--security-opt seccomp=unconfined --security-opt apparmor=unconfined`, or grade outside it"
        )
    if harden.landlock_abi() == 0:
        yield "put `landlock` into the kernel's lsm= list, or use Linux 5.13 or newer (6.2 for rung B)"
    yield "apt install bubblewrap libseccomp2 (dnf install bubblewrap libseccomp), pip install 'autograder[teacher]'"


def _is_set(path: str) -> bool:
    try:
        return Path(path).read_text().strip() == "1"
    except OSError:
        return False
