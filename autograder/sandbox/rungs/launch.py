"""The rungs of isolation, from A (best) to D (none). Each is a way to start a zygote.

A   bubblewrap, namespaces of its own for every worker, Landlock, seccomp, resource limits
B   no namespaces, for containers: a user for each worker (if root starts it), Landlock, seccomp, resource limits
C   macOS: sandbox-exec with a profile, resource limits
D   a plain process with resource limits; marked "not isolated" in every report, and only on request
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autograder.limits import MEMORY_MB, PROCESSES, SCRATCH_MB, UNSET_SECONDS
from autograder.report.model import Isolation
from autograder.sandbox.rungs import seccomp
from autograder.sandbox.rungs.view import View

_PACKAGES = "/box/packages"
_GIVEN = "/box/given"
_SCRATCH = "/scratch"
_NOBODY = 65534
#: nothing is imported from the current folder, the user's packages or our environment; the environment is set below
_ALONE = ("-P", "-s")
_TUNED = {  # forks of a process this large are ten times cheaper with huge pages under malloc
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    "LANG": "C.UTF-8",
    "PYTHONHASHSEED": "0",  # a set of texts has the same order in every process
}


@dataclass(frozen=True)
class Limits:
    """What one worker may use in its whole life."""

    cpu_seconds: int = UNSET_SECONDS
    memory_mb: int = MEMORY_MB
    scratch_mb: int = SCRATCH_MB
    processes: int = PROCESSES  #: processes and threads


@dataclass(frozen=True)
class Launch:
    """How to start a zygote: a command, its environment, and the configuration to send it."""

    command: tuple[str, ...]
    environment: dict[str, str]
    config: dict[str, Any]


def launch(
    isolation: Isolation,
    view: View,
    limits: Limits,
    *,
    warm: tuple[str, ...],
    scratch: Path,
    given: Path | None = None,
) -> Launch:
    """Return how to start a zygote on a rung.

    Args:
        scratch: a new folder of the host; all rungs except A put the folders of the workers into it
        given: a folder of the host; each worker's own folder has a link to each file in it, which it may only read
    """
    config: dict[str, Any] = {
        "isolation": isolation,
        "uid": _NOBODY,
        "warm": list(warm),
        "cpu_seconds": limits.cpu_seconds,
        "memory_mb": limits.memory_mb,
        "scratch_mb": limits.scratch_mb,
        "processes": limits.processes,
        "given": str(given or ""),
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
            "seccomp": seccomp.build_filter(is_alone=True).hex(),
            "readable": readable,
            "listable": [],
            "given": _GIVEN if given else "",
        }
        script = f"{_PACKAGES}/autograder/sandbox/inside/zygote.py"
        return Launch((*_bubblewrap(view, given), str(view.python), *_ALONE, "-S", "-B", script), {}, config)
    if isolation == "D":
        config |= {"path": list(sys.path), "scratch": str(scratch), "seccomp": ""}
        script = str(view.package / "sandbox" / "inside" / "zygote.py")
        return Launch((sys.executable, *_ALONE, "-B", script), {**_TUNED, "PATH": os.environ.get("PATH", "")}, config)
    scratch.chmod(0o711)
    packages = _packages_of(view, scratch)
    readable, listable = view.openly()
    readable += [str(given)] if given else []
    script = str(packages / "autograder" / "sandbox" / "inside" / "zygote.py")
    python = (str(view.python), *_ALONE, "-S", "-B", script)
    config |= {"path": [*view.stdlib, str(packages)], "scratch": str(scratch), "seccomp": ""}
    if isolation == "B":
        config |= {
            "seccomp": seccomp.build_filter(is_alone=False).hex(),
            "readable": readable,
            "listable": [*listable, str(packages)],
            "may_search": any(_is_closed_to_others(path) for path in [*readable, script]),
        }
        return Launch(python, dict(_TUNED), config)
    profile = seatbelt_profile(view.python, [*readable, str(packages)], listable, scratch)
    return Launch(("sandbox-exec", "-p", profile, *python), {"LANG": "C.UTF-8", "PYTHONHASHSEED": "0"}, config)


def _bubblewrap(view: View, given: Path | None) -> list[str]:
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
    if os.getuid() == 0:  # root prepares the box, and the zygote then becomes nobody
        command += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    else:
        command += ["--unshare-user"]
    prefix = str(view.prefix)
    for folder in dict.fromkeys(
        parent for path in ("/usr/lib", prefix, f"{_PACKAGES}/x") for parent in _ancestors(path)
    ):
        command += ["--perms", "0755", "--dir", folder]  # otherwise nobody could not enter it
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
    for folder in dict.fromkeys(place.partition("/")[0] for place in view.packages if "/" in place):
        command += ["--perms", "0755", "--dir", f"{_PACKAGES}/{folder}"]
    for place, package in view.packages.items():
        command += ["--ro-bind", str(package), f"{_PACKAGES}/{place}"]
    command += ["--ro-bind", str(view.package), f"{_PACKAGES}/autograder"]
    if given:
        command += ["--ro-bind", str(given), _GIVEN]
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


def _packages_of(view: View, scratch: Path) -> Path:
    """Make a folder of links to the packages on offer, for rungs whose workers see the host's file system."""
    folder = scratch / "packages"
    folder.mkdir()
    for place, package in view.packages.items():
        (folder / place).parent.mkdir(exist_ok=True)
        (folder / place).symlink_to(package)
    (folder / "autograder").symlink_to(view.package)
    return folder


def _is_closed_to_others(path: str) -> bool:
    return any(not folder.stat().st_mode & 0o001 for folder in Path(path).parents)


def seatbelt_profile(python: Path, readable: list[str], listable: list[str], scratch: Path) -> str:
    """Return rung C's profile for sandbox-exec: read the packages on offer, write the scratch folder, nothing else."""

    def paths(kind: str, names: list[str]) -> str:
        return " ".join(f"({kind} {json.dumps(name)})" for name in names)

    system = [
        "/usr/lib",
        "/System/Library",
        "/System/Volumes/Preboot",
        "/Library/Apple",
        "/private/var/db/dyld",
    ]
    devices = ["/dev/null", "/dev/urandom", "/dev/random"]
    return "\n".join(
        (
            "(version 1)",
            "(deny default)",
            "(deny network*)",
            f"(allow process-exec {paths('literal', [str(python)])})",
            "(allow process-fork)",
            "(allow signal (target self))",
            "(allow sysctl-read)",
            "(allow file-read-metadata)",
            f"(allow file-read* {paths('subpath', [*system, *readable])} {paths('literal', devices + listable)})",
            f"(allow file-read* file-write* {paths('subpath', [str(scratch)])})",
            '(allow file-write-data (literal "/dev/null"))',
        )
    )
