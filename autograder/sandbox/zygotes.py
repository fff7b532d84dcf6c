"""The trusted owner of a zygote: start it, prove the wall, spawn workers, learn how they ended."""

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
from pathlib import Path
from types import TracebackType

from autograder.errors import SandboxError
from autograder.report.model import Isolation
from autograder.sandbox import core
from autograder.sandbox.rungs import Limits, launch
from autograder.sandbox.view import view_for

_START_SECONDS = 120.0
_GONE = SandboxError("sandbox: the zygote is gone; run the command again")
_CPU_CLOCK = 2  # of a process: the CPU time of all its threads (clock_getcpuclockid)
#: packages that take seconds to import: once here, not once a worker
_WARM = ("torch", "keras", "tensorflow")


class WorkerProcess:
    """One worker: its connection, and a hold on the process that no reused pid can confuse."""

    def __init__(
        self, sock: socket.socket, pidfd: int | None, pid_inside: int, scratch: str = "", scratch_mb: int = 64
    ) -> None:
        self.sock = sock
        self.pidfd = pidfd
        self.pid_inside = pid_inside
        self.pid = _pid_here(pidfd) if pidfd is not None else pid_inside
        self.is_alive = True
        self._shares_our_core = False
        self.scratch = scratch  #: its folder on the host, on the rungs where it has one
        self.scratch_mb = scratch_mb  #: MB that it may write

    def cpu_seconds(self) -> float:
        """Return the CPU time that all its threads have used; 0 where the system does not tell."""
        try:
            return time.clock_gettime(~self.pid << 3 | _CPU_CLOCK)
        except (OSError, AttributeError):  # it has ended; or not a Linux
            return 0.0

    def share_core(self) -> None:
        """Have it run on this thread's core from now on, for an exchange of many short messages (see core.py)."""
        if self.is_alive and not self._shares_our_core:
            self._shares_our_core = True
            core.share_core(self.pid)

    def leave_core(self) -> None:
        """Have it, and this thread, run anywhere: a long computation should not wait for one core."""
        if self._shares_our_core:
            self._shares_our_core = False
            core.leave_core(self.pid if self.is_alive else None)

    def is_asleep(self) -> bool:
        """Say whether it waits for something, or has stopped itself, rather than for a CPU."""
        fields = self._stat()
        return bool(fields) and fields[0] in (b"S", b"T")

    def _stat(self) -> list[bytes]:
        try:
            with open(f"/proc/{self.pid}/stat", "rb") as file:
                return file.read().rpartition(b")")[2].split()
        except OSError:
            return []

    def kill(self) -> None:
        """End it, and with it everything in its PID namespace; harmless if it has ended."""
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
                select.select([self.pidfd], [], [], 2.0)  # until it has ended, or it goes on writing
            os.close(self.pidfd)
        if self.scratch:
            with contextlib.suppress(RecursionError):
                shutil.rmtree(self.scratch, ignore_errors=True)
            if os.path.lexists(self.scratch):  # deeper than Python can go
                with contextlib.suppress(OSError):
                    subprocess.run(["rm", "-rf", "--", self.scratch], check=False)

    def has_filled_its_scratch(self, files: int) -> bool:
        """Say whether it has written more than it may, where the folder itself has no limit."""
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


class Zygote:
    """A warm process on one rung, with one topic's packages in view. A context manager."""

    def __init__(self, isolation: Isolation, imports: tuple[str, ...], limits: Limits) -> None:
        self.isolation = isolation
        self._limits = limits
        self._scratch = tempfile.TemporaryDirectory(prefix="autograder-")
        warm = tuple(name for name in imports if name in _WARM)
        plan = launch(isolation, view_for(imports), limits, warm=warm, scratch=Path(self._scratch.name))
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, tempfile.TemporaryFile() as errors:
            self._process = subprocess.Popen(
                [*plan.command, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env=plan.environment,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )
            theirs.close()
            self._control.settimeout(_START_SECONDS)
            try:
                self._control.send(json.dumps(plan.config).encode())
                ready = self._control.recv(64)
            except OSError:
                ready = b""
            if ready != b"ready":
                self.close()
                errors.seek(0)
                words = errors.read(4000).decode(errors="replace").strip().splitlines()
                raise SandboxError(
                    f"sandbox: rung {isolation} does not start here ({words[-1] if words else 'no answer'}); "
                    "`autograder doctor` says what to install or set"
                )

    @property
    def pid(self) -> int:
        """Its process, or on rung A bubblewrap's around it."""
        return self._process.pid

    def spawn(self) -> WorkerProcess:
        """Fork a hardened worker.

        Raises:
            SandboxError: it could not be hardened, or the zygote is gone
        """
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                socket.send_fds(self._control, [b'{"op": "spawn"}'], [theirs.fileno()])
                message, descriptors, _flags, _address = socket.recv_fds(self._control, 1 << 16, 1)
                answer = json.loads(message)
            except (OSError, ValueError):
                ours.close()
                raise _GONE from None
        if "error" in answer:
            ours.close()
            raise SandboxError(
                f"sandbox: a worker could not be isolated ({answer['error']}); see `autograder doctor`"
            )
        pidfd = descriptors[0] if descriptors else None
        return WorkerProcess(ours, pidfd, answer["pid"], answer["scratch"], self._limits.scratch_mb)

    def how_it_ended(self, worker: WorkerProcess) -> int | None:
        """Return a worker's exit code, or minus the signal that ended it; None if it cannot be told.

        Raises:
            SandboxError: the zygote is gone, and its workers with it: no fault of a student's
        """
        try:
            self._control.send(json.dumps({"op": "reap", "pid": worker.pid_inside}).encode())
            code = json.loads(self._control.recv(1 << 16))["code"]
        except (OSError, ValueError, KeyError):
            raise _GONE from None
        return code if isinstance(code, int) else None

    def close(self) -> None:
        """End the zygote and every worker."""
        self._control.close()
        self._process.kill()
        self._process.wait()
        self._scratch.cleanup()

    def __enter__(self) -> Zygote:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _pid_here(pidfd: int) -> int:
    with open(f"/proc/self/fdinfo/{pidfd}") as file:
        for line in file:
            if line.startswith("Pid:"):
                return int(line.split()[1])
    return -1
