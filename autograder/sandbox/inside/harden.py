"""The calls of the kernel by which a process gives up its own rights, through ctypes. Linux only.

Sources: unshare(2), mount(2), capset(2), prctl(2), landlock(7), seccomp(2), setrlimit(2). Each function either does all
that it says or raises OSError. If one fails in a worker, the worker never loads a module.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import struct
from collections.abc import Iterable

from autograder.sandbox.both.limits import OPEN_FILES, PROCESSES

CLONE_NEWNS = 0x00020000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_CAPBSET_DROP = 1, 4, 22, 24
(
    _PR_SET_KEEPCAPS,
    _PR_SET_CHILD_SUBREAPER,
    _PR_SET_NO_NEW_PRIVS,
    _PR_CAP_AMBIENT,
    _PR_CAP_AMBIENT_CLEAR_ALL,
) = 8, 36, 38, 47, 4
_CAP_DAC_READ_SEARCH = 2
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 2, 4, 8
_SYS_LANDLOCK_CREATE, _SYS_LANDLOCK_ADD, _SYS_LANDLOCK_RESTRICT = (
    444,
    445,
    446,
)  # the same on every architecture
_LANDLOCK_EXECUTE, _LANDLOCK_WRITE, _LANDLOCK_READ_FILE, _LANDLOCK_READ_DIR = 1, 2, 4, 8
_LANDLOCK_TRUNCATE = 1 << 14


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return result


def _prctl(*arguments: int) -> None:
    padded = (*arguments, 0, 0, 0, 0)[:5]
    _check(_libc().prctl(*(ctypes.c_ulong(argument) for argument in padded)), f"prctl {arguments[0]}")


def hide_from_siblings() -> None:
    """Let no process of the same user read this one's memory or descriptors."""
    _prctl(_PR_SET_DUMPABLE, 0)


def adopt_orphans() -> None:
    """Become the parent of every descendant process whose own parent ends."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent() -> None:
    """Let the kernel kill this process when the thread that started it ends."""
    _prctl(_PR_SET_PDEATHSIG, 9)


def become(uid: int) -> None:
    """Give up root for good, and become a user that owns nothing."""
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def become_another(uid: int, *, may_search: bool) -> None:
    """Give up root and every capability, and become a user that only this worker has.

    Args:
        may_search: keep CAP_DAC_READ_SEARCH, for an interpreter in a folder that others cannot enter, such as /root;
            Landlock still decides which files may be read
    """
    if may_search:
        _prctl(_PR_SET_KEEPCAPS, 1)
    become(uid)
    if may_search:
        kept = 1 << _CAP_DAC_READ_SEARCH
        _check(_libc().capset(*_capabilities(kept)), "capset")


def no_more_than(tasks: int) -> int:
    """Return the limit of processes and threads under which this user may start `tasks` more."""
    uid, count = os.getuid(), 0
    for name in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if name.isdigit() and os.stat(f"/proc/{name}").st_uid == uid:
                count += len(os.listdir(f"/proc/{name}/task"))
    return count + tasks


def enter_namespaces() -> None:
    """Enter new user, mount and IPC namespaces and, for the next child, a new PID namespace; needs no privilege."""
    uid, gid = os.getuid(), os.getgid()
    _prctl(_PR_SET_DUMPABLE, 1)  # or /proc/self/uid_map would belong to root
    _check(_libc().unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWPID), "unshare")
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def mount_scratch(path: str, megabytes: int) -> None:
    """Mount an empty file system in memory, of a capped size."""
    flags = _MS_NOSUID | _MS_NODEV | _MS_NOEXEC
    data = f"size={megabytes}m,nr_inodes=4096,mode=0700".encode()
    _check(_libc().mount(b"none", path.encode(), b"tmpfs", ctypes.c_ulong(flags), data), f"mount {path}")


def drop_capabilities(*, but_search: bool = False) -> None:
    """Drop every capability from every set; `but_search` keeps the one that `become_another` may need."""
    libc = _libc()
    for capability in range(64):
        libc.prctl(_PR_CAPBSET_DROP, ctypes.c_ulong(capability), 0, 0, 0)  # EINVAL: after the last; EPERM: no right
    libc.prctl(_PR_CAP_AMBIENT, ctypes.c_ulong(_PR_CAP_AMBIENT_CLEAR_ALL), 0, 0, 0)
    _check(libc.capset(*_capabilities(1 << _CAP_DAC_READ_SEARCH if but_search else 0)), "capset")


def _capabilities(kept: int) -> tuple[bytes, bytes]:
    return struct.pack("<Ii", 0x20080522, 0), struct.pack("<6I", kept, kept, 0, 0, 0, 0)


def limit_resources(*, cpu_seconds: int, memory_mb: int, scratch_mb: int, tasks: int = PROCESSES) -> None:
    """Set hard limits. PID 1 of a namespace ignores SIGXCPU, so the hard CPU limit (SIGKILL) follows soon after."""
    for limit, soft, hard in (
        (resource.RLIMIT_CPU, cpu_seconds, cpu_seconds + 1),
        (resource.RLIMIT_AS, memory_mb << 20, memory_mb << 20),
        (resource.RLIMIT_FSIZE, scratch_mb << 20, scratch_mb << 20),
        (resource.RLIMIT_NOFILE, OPEN_FILES, OPEN_FILES),
        (resource.RLIMIT_NPROC, tasks, tasks),
        (resource.RLIMIT_CORE, 0, 0),
    ):
        resource.setrlimit(limit, (soft, hard))
    if hasattr(resource, "RLIMIT_SIGPENDING"):  # timers count too, all of one user together
        resource.setrlimit(resource.RLIMIT_SIGPENDING, (tasks, tasks))


def landlock_abi() -> int:
    """Return the version of Landlock that the kernel offers; 0 if it offers none."""
    version: int = _libc().syscall(_SYS_LANDLOCK_CREATE, None, ctypes.c_size_t(0), 1)
    return max(version, 0)


def restrict_files(readable: Iterable[str], writable: Iterable[str], listable: Iterable[str] = ()) -> int:
    """Allow reading below some paths, writing below others and listing below others; no TCP, no signals to others.

    Returns:
        the version of Landlock used (from 4 on: no TCP; from 6 on: no signals to and no abstract sockets of other
        processes)
    """
    abi = landlock_abi()
    if abi < 1:
        raise OSError(38, "the kernel has no Landlock")
    libc = _libc()
    rights = (1 << 13) - 1 | (1 << 13 if abi >= 2 else 0) | (_LANDLOCK_TRUNCATE if abi >= 3 else 0)
    rights |= 1 << 15 if abi >= 5 else 0
    attributes = struct.pack("<QQQ", rights, 3 if abi >= 4 else 0, 3 if abi >= 6 else 0)
    attributes = attributes[: 8 if abi < 4 else 16 if abi < 6 else 24]
    rules = _check(libc.syscall(_SYS_LANDLOCK_CREATE, attributes, ctypes.c_size_t(len(attributes)), 0), "landlock")
    read = _LANDLOCK_READ_FILE | _LANDLOCK_READ_DIR
    for paths, allowed in (
        (listable, _LANDLOCK_READ_DIR),
        (readable, read),
        (writable, rights & ~_LANDLOCK_EXECUTE),
    ):
        for path in paths:
            if not os.path.exists(path):
                continue
            folder = os.open(path, os.O_PATH | os.O_CLOEXEC)
            file_rights = _LANDLOCK_WRITE | _LANDLOCK_READ_FILE | (rights & _LANDLOCK_TRUNCATE)
            access = allowed if os.path.isdir(path) else allowed & file_rights
            _check(
                libc.syscall(_SYS_LANDLOCK_ADD, rules, 1, struct.pack("<Qi", access, folder), 0),
                f"landlock {path}",
            )
            os.close(folder)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _check(libc.syscall(_SYS_LANDLOCK_RESTRICT, rules, 0), "landlock")
    os.close(rules)
    return abi


def all_but(hidden: Iterable[str], readable: Iterable[str], listable: Iterable[str]) -> tuple[list[str], list[str]]:
    """Return which paths a process may read and which it may list, so that it cannot read the hidden files."""
    hidden = {os.path.realpath(path) for path in hidden}
    above = {folder for path in hidden for folder in _folders_above(path)}
    left, listed = [], list(listable)
    pending = [os.path.realpath(path) for path in readable]
    while pending:
        path = pending.pop()
        if path in above and os.path.isdir(path):
            listed.append(path)
            pending += [entry.path for entry in os.scandir(path) if not entry.is_symlink()]
        elif path not in hidden:
            left.append(path)
    return left, listed


def _folders_above(path: str) -> list[str]:
    found = []
    while path != os.path.dirname(path):
        path = os.path.dirname(path)
        found.append(path)
    return found


def filter_system_calls(program: bytes) -> None:
    """Load a seccomp filter; seccomp.py builds it outside."""
    buffer = ctypes.create_string_buffer(program, len(program))
    description = struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(buffer))
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _check(_libc().prctl(_PR_SET_SECCOMP, ctypes.c_ulong(2), description, 0, 0), "seccomp")
