"""The trusted owner of a zygote: it starts the zygote, spawns workers, and finds out how they ended.

This file is long because it holds a worker as well: only its zygote can make it and say how it ended.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO

from autograder.errors import SandboxError
from autograder.limits import ZYGOTE_SECONDS
from autograder.report.model import Isolation
from autograder.sandbox.outside import core
from autograder.sandbox.rungs.launch import Limits, launch
from autograder.sandbox.rungs.view import requires, view_for

_GONE = SandboxError("sandbox: the zygote is gone; run the command again")
_CPU_CLOCK = 2  # the clock of a process: the CPU time of all its threads (clock_getcpuclockid)
#: packages that take seconds to import: the zygote imports them once, not every worker
_WARM = ("torch", "keras", "tensorflow", "albumentations", "seaborn")


class WorkerProcess:
    """One worker: its connection, and a pidfd, which still names the right process if its pid is used again."""

    def __init__(
        self, sock: socket.socket, pidfd: int | None, pid_inside: int, scratch: str = "", scratch_mb: int = 64
    ) -> None:
        self.sock = sock
        self.pidfd = pidfd
        self.pid_inside = pid_inside
        self.pid = _pid_here(pidfd) if pidfd is not None else pid_inside
        self.is_alive = True
        self._shares_our_core = False
        self.scratch = scratch  #: its folder on the host, on the rungs that give it one
        self.scratch_mb = scratch_mb  #: MB that it may write

    def cpu_seconds(self) -> float:
        """Return the CPU time that all its threads have used; 0 if the system does not tell."""
        try:
            return time.clock_gettime(~self.pid << 3 | _CPU_CLOCK)
        except (OSError, AttributeError):  # it has ended, or this is not Linux
            return 0.0

    def busy_seconds(self) -> float | None:
        """Return the seconds in which its threads computed, or they or this thread waited for a core; None if unknown.

        Only the difference of two values has a meaning.
        """
        try:
            threads = os.listdir(f"/proc/{self.pid}/task")
            delays = [_delay_of(f"/proc/{self.pid}/task/{thread}") for thread in threads]
            return self.cpu_seconds() + sum(delays) + _delay_of("/proc/thread-self")
        except (OSError, ValueError, IndexError):
            return None

    def share_core(self) -> None:
        """Let it run on this thread's core from now on, for an exchange of many short messages (see core.py)."""
        if self.is_alive and not self._shares_our_core:
            self._shares_our_core = True
            core.share_core(self.pid)

    def leave_core(self) -> None:
        """Let it and this thread run on any core: a long computation should not wait for one core."""
        if self._shares_our_core:
            self._shares_our_core = False
            core.leave_core(self.pid if self.is_alive else None)

    def is_asleep(self) -> bool:
        """Whether it waits for something other than a CPU, or has stopped itself."""
        fields = self._stat()
        return bool(fields) and fields[0] in (b"S", b"T")

    def _stat(self) -> list[bytes]:
        try:
            with open(f"/proc/{self.pid}/stat", "rb") as file:
                return file.read().rpartition(b")")[2].split()
        except OSError:
            return []

    def kill(self) -> None:
        """End it and everything in its PID namespace; does nothing if it has ended."""
        if not self.is_alive:
            return
        self.is_alive = False
        self.leave_core()
        self.sock.close()
        with contextlib.suppress(OSError):
            if self.pidfd is None:
                os.kill(self.pid, signal.SIGKILL)
            else:
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        if self.pidfd is not None:
            if self.scratch:
                select.select([self.pidfd], [], [], 2.0)  # wait until it has ended, because until then it may write
            os.close(self.pidfd)
        if self.scratch:
            _open_folders(self.scratch)
            with contextlib.suppress(RecursionError):
                shutil.rmtree(self.scratch, ignore_errors=True)
            if os.path.lexists(self.scratch):  # nested deeper than Python can follow
                with contextlib.suppress(OSError):
                    subprocess.run(["rm", "-rf", "--", self.scratch], check=False)

    def has_filled_its_scratch(self, files: int) -> bool:
        """Whether it has written more than it may, if its folder has no limit of its own."""
        if not self.scratch:
            return False
        size = count = 0
        for folder, folders, names in os.walk(self.scratch):
            count += len(folders) + len(names)
            for name in names:
                with contextlib.suppress(OSError):
                    size += os.lstat(os.path.join(folder, name)).st_size
            if count > files or size > self.scratch_mb << 20:
                return True
        return False


def _open_folders(root: str) -> None:
    """Let this user delete what is in closed folders below `root` (os.mkdir(path, 0) closes one)."""
    for folder, folders, _ in os.walk(root):
        for name in folders:
            path = os.path.join(folder, name)
            if not os.path.islink(path):
                with contextlib.suppress(OSError):
                    os.chmod(path, 0o700)


def _delay_of(thread: str) -> float:
    """Return the seconds in which a thread could have run, and waited for a core."""
    with open(f"{thread}/schedstat", "rb") as file:
        return int(file.read().split()[1]) / 1e9


class Zygote:
    """A warm process on one rung that sees the packages of one topic. A context manager."""

    def __init__(
        self,
        isolation: Isolation,
        imports: tuple[str, ...],
        limits: Limits,
        given: Mapping[str, Path] | None = None,
    ) -> None:
        """Start it, and do not wait until it is warm.

        Args:
            isolation: the rung
            imports: the packages on offer
            limits: what each worker may use
            given: the files that each worker finds in its folder: relative path there -> file here
        """
        self.isolation = isolation
        self._imports = imports
        self._limits = limits
        self._given = dict(given or {})
        self._siblings: dict[frozenset[str], Zygote] = {}  #: with fewer packages; started when needed
        self._scratch = tempfile.TemporaryDirectory(prefix="autograder-")
        warm = tuple(name for name in imports if name in _WARM)
        scratch = Path(self._scratch.name)
        files = _copied(self._given, scratch / "given") if self._given else None
        plan = launch(isolation, view_for(imports), limits, warm=warm, scratch=scratch, given=files)
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._errors: IO[bytes] | None = tempfile.TemporaryFile()  # noqa: SIM115 (open until it is warm)
        with theirs:
            self._process = subprocess.Popen(
                [*plan.command, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env=plan.environment,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._errors,
            )
        self._control.settimeout(ZYGOTE_SECONDS)
        with contextlib.suppress(OSError):  # it is gone: `wait` says so
            self._control.send(json.dumps(plan.config).encode())

    def wait(self) -> None:
        """Wait until it is warm; `spawn` does so, too.

        Raises:
            SandboxError: it does not start on its rung
        """
        if self._errors is None:
            return
        try:
            ready = self._control.recv(64)
        except OSError:
            ready = b""
        if ready != b"ready":
            self._process.kill()
            self._process.wait()
            self._errors.seek(0)
            words = self._errors.read(4000).decode(errors="replace").strip().splitlines()
            raise SandboxError(
                f"sandbox: rung {self.isolation} does not start here ({words[-1] if words else 'no answer'}); "
                "`autograder doctor` says what to install or set"
            )
        self._errors.close()
        self._errors = None

    @property
    def pid(self) -> int:
        """The pid of its process; on rung A, of the bubblewrap process around it."""
        return self._process.pid

    def without(self, packages: frozenset[str]) -> Zygote:
        """Return a zygote whose workers have none of these packages, and no package that requires one of them.

        It is started when it is first asked for, and perhaps not yet warm.
        """
        left = tuple(name for name in self._imports if not requires(name, packages))
        if left == self._imports:
            return self
        if packages not in self._siblings:
            self._siblings[packages] = Zygote(self.isolation, left, self._limits, self._given)
        return self._siblings[packages]

    def spawn(self, trapped: tuple[str, ...] = ()) -> WorkerProcess:
        """Fork a hardened worker.

        Args:
            trapped: functions and classes whose source files the worker must not read (see traps.py)

        Raises:
            SandboxError: the worker could not be hardened, or the zygote is gone or does not start
        """
        self.wait()
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                request = json.dumps({"op": "spawn", "trapped": trapped}).encode()
                socket.send_fds(self._control, [request], [theirs.fileno()])
                message, descriptors, _flags, _address = socket.recv_fds(self._control, 1 << 16, 1)
                answer = json.loads(message)
            except (OSError, ValueError):
                ours.close()
                raise _GONE from None
        if "error" in answer:
            ours.close()
            raise SandboxError(f"sandbox: a worker could not be isolated ({answer['error']}); see `autograder doctor`")
        pidfd = descriptors[0] if descriptors else None
        return WorkerProcess(ours, pidfd, answer["pid"], answer["scratch"], self._limits.scratch_mb)

    def how_it_ended(self, worker: WorkerProcess) -> int | None:
        """Return a worker's exit code, or minus the signal that ended it; None if it cannot be told.

        Raises:
            SandboxError: the zygote and its workers are gone; this is not the student's fault
        """
        try:
            self._control.send(json.dumps({"op": "reap", "pid": worker.pid_inside}).encode())
            code = json.loads(self._control.recv(1 << 16))["code"]
        except (OSError, ValueError, KeyError):
            raise _GONE from None
        return code if isinstance(code, int) else None

    def close(self) -> None:
        """End the zygote and every worker."""
        for sibling in self._siblings.values():
            sibling.close()
        self._control.close()
        self._process.kill()
        self._process.wait()
        if self._errors is not None:
            self._errors.close()
        self._scratch.cleanup()

    def __enter__(self) -> Zygote:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _copied(files: Mapping[str, Path], folder: Path) -> Path:
    """Copy files into a new folder that every user may read, because a worker may run as another user."""
    for name, path in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, folder / name)
        (folder / name).chmod(0o444)
    for inside in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
        inside.chmod(0o755)
    return folder


def _pid_here(pidfd: int) -> int:
    with open(f"/proc/self/fdinfo/{pidfd}") as file:
        for line in file:
            if line.startswith("Pid:"):
                return int(line.split()[1])
    return -1
