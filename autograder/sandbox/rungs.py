"""The rungs of isolation, from A (best) to D (none): each one a way to start a zygote.

A   bubblewrap, namespaces of its own for every worker, Landlock, seccomp, resource limits
D   a plain process with resource limits; marked "not isolated" in every report, and only on request
"""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from autograder.errors import SandboxError
from autograder.report.model import Isolation
from autograder.sandbox import harden, seccomp
from autograder.sandbox.view import View

_PACKAGES = "/box/packages"
_SCRATCH = "/scratch"
_NOBODY = 65534
_TUNED = {  # forks of a process this large are ten times cheaper with huge pages under malloc
    "PYTHONMALLOC": "malloc",
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    "LANG": "C.UTF-8",
}


@dataclass(frozen=True)
class Limits:
    """What one worker may use over its whole life."""

    cpu_seconds: int = 600
    memory_mb: int = 3072
    scratch_mb: int = 64


@dataclass(frozen=True)
class Launch:
    """How to start a zygote: a command, its environment, and the configuration to send it."""

    command: tuple[str, ...]
    environment: dict[str, str]
    config: dict[str, Any]


def launch(
    isolation: Isolation, view: View, limits: Limits, *, warm: tuple[str, ...], scratch: Path
) -> Launch:
    """Return how to start a zygote on a rung.

    Args:
        scratch: a folder of the host that may be written to; only rung D uses it
    """
    config: dict[str, Any] = {
        "isolation": isolation,
        "uid": _NOBODY,
        "warm": list(warm),
        "cpu_seconds": limits.cpu_seconds,
        "memory_mb": limits.memory_mb,
        "scratch_mb": limits.scratch_mb,
    }
    if isolation == "A":
        readable = [
            *(path for path in ("/usr", "/lib", "/lib64", "/etc") if os.path.exists(path)),
            str(view.prefix),
            "/box",
        ]
        config |= {
            "path": [*view.stdlib, _PACKAGES],
            "scratch": _SCRATCH,
            "seccomp": seccomp.build_filter().hex(),
            "readable": readable,
        }
        script = f"{_PACKAGES}/autograder/sandbox/zygote.py"
        return Launch((*_bubblewrap(view), str(view.python), "-I", "-S", "-B", script), {}, config)
    config |= {"path": list(sys.path), "scratch": str(scratch), "seccomp": ""}
    script = str(view.engine / "sandbox" / "zygote.py")
    return Launch(
        (sys.executable, "-I", "-B", script), {**_TUNED, "PATH": os.environ.get("PATH", "")}, config
    )


def _bubblewrap(view: View) -> list[str]:
    """Return bubblewrap's command line up to the program to run."""
    command = [
        "bwrap",
        "--unshare-ipc",
        "--unshare-pid",
        "--unshare-net",
        "--unshare-uts",
        "--unshare-cgroup-try",
    ]
    command += ["--die-with-parent", "--new-session", "--clearenv", "--cap-drop", "ALL"]
    if os.getuid() == 0:  # root sets the box up, and the zygote then becomes nobody
        command += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    else:
        command += ["--unshare-user"]
    prefix = str(view.prefix)
    for folder in dict.fromkeys(
        parent for path in ("/usr/lib", prefix, f"{_PACKAGES}/x") for parent in _ancestors(path)
    ):
        command += ["--perms", "0755", "--dir", folder]  # or nobody could not pass through
    for path in ("/lib", "/lib64", "/lib32"):
        if os.path.islink(path):
            command += ["--symlink", os.readlink(path), path]
        elif os.path.isdir(path):
            command += ["--ro-bind", path, path]
    for path in ("/usr/lib", "/usr/lib64", "/usr/share/zoneinfo", "/etc/ld.so.cache", "/etc/localtime"):
        if os.path.exists(path) and not os.path.islink(path):
            command += ["--ro-bind", path, path]
    if prefix == "/usr":
        command += ["--ro-bind", str(view.python), str(view.python)]
        if os.path.isdir("/usr/local/lib"):
            command += ["--ro-bind", "/usr/local/lib", "/usr/local/lib"]
    else:
        command += ["--ro-bind", prefix, prefix]
    for hidden in view.hidden:
        command += ["--tmpfs", str(hidden)]
    for package in view.packages:
        command += ["--ro-bind", str(package), f"{_PACKAGES}/{package.name}"]
    command += ["--ro-bind", str(view.engine), f"{_PACKAGES}/autograder"]
    command += [
        "--proc",
        "/proc",
        "--dev",
        "/dev",
        "--perms",
        "1777",
        "--tmpfs",
        "/tmp",
        "--perms",
        "0777",
        "--dir",
        _SCRATCH,
    ]
    for name, value in _TUNED.items():
        command += ["--setenv", name, value]
    return [*command, "--"]


def _ancestors(path: str) -> list[str]:
    return [str(parent) for parent in reversed(Path(path).parents)][1:]


@cache
def choose(*, allow_unisolated: bool = False) -> Isolation:
    """Return the highest rung that can be used here; it is then proved by running (see zygotes.py).

    Raises:
        SandboxError: none, and `allow_unisolated` is not given
    """
    missing = _what_is_missing_for_a()
    if missing is None:
        return "A"
    if allow_unisolated:
        return "D"
    raise SandboxError(
        f"sandbox: student code cannot be isolated here ({missing}); mend that, or give --allow-unisolated to grade "
        "without a wall (only code that you trust: every report is then marked 'not isolated')"
    )


def _what_is_missing_for_a() -> str | None:
    if not sys.platform.startswith("linux"):
        return f"isolation needs Linux, this is {sys.platform}"
    if shutil.which("bwrap") is None:
        return "bubblewrap is not installed: apt install bubblewrap, or dnf install bubblewrap"
    if harden.landlock_abi() < 1:
        return "the kernel has no Landlock: Linux 5.13 or newer, with 'landlock' in its lsm= list"
    try:
        seccomp.build_filter()
    except SandboxError as error:
        return str(error)
    return None
