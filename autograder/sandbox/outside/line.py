"""Line: the connection to one worker, under the budget of the current test.

This is the trusted side. Frames go out and come in; the line does not know what they mean. If the worker ends, or a
budget is used up, the line ends with a sentence for the student.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

from autograder.limits import (
    ASLEEP_SECONDS,
    CALLS,
    FRAME_BYTES,
    GRACE_SECONDS,
    PATIENCE,
    READING_SECONDS,
    SCRATCH_FILES,
)
from autograder.sandbox.both import wire
from autograder.sandbox.both.limits import HEADER_BYTES
from autograder.sandbox.outside.allowance import Allowance
from autograder.sandbox.outside.ends import Ended, LimitExceeded, ProtocolBroken, WorkerDied
from autograder.sandbox.outside.zygotes import WorkerProcess

_TICK = 0.5  #: s between two looks at a worker that does not answer
#: seconds of waiting after which the line checks whether the worker computed meanwhile: within a test, and after one. A
#: check reads several files of /proc, so the short waits of fast tests are checked together
_LOOKED_INTO, _LOOKED_INTO_AFTERWARDS = 0.2, 0.02
_LOOK_EVERY = 512  #: answers after which the CPU time is checked, even if they come fast


class Line:
    """The connection to one worker. Every method raises `Ended` if the connection ends."""

    def __init__(
        self,
        process: WorkerProcess,
        how_it_ended: Callable[[WorkerProcess], int | None],
        allowance: Allowance,
        bytes_a_test: int,
    ) -> None:
        self.process = process
        self.allowance = allowance
        self._how_it_ended = how_it_ended
        self._receive = wire.Receiver(process.sock).receive
        self._bytes_a_test = self._bytes_left = bytes_a_test
        self._calls_left = CALLS
        self._what = ""
        self._budget = 30.0
        self._ends_all = False  # whether the budget is all that is left of the whole submission's
        self._ticks = self._idle_ticks = 0
        self._cpu_at_start = self._cpu_before = 0.0
        self._waited = 0.0  # seconds of waiting that are not checked yet
        self._busy_before = process.busy_seconds() or 0.0  # what they were at the last check
        self._looked_at = time.monotonic()  # what is older than a tick makes up for no waiting
        self._reading = 0.0  # CPU seconds of this process that went into answers and calls of this test

    # --- budget ------------------------------------------------------------------------------------------------

    def start_budget(self, what: str, seconds: float) -> None:
        """Give the worker `seconds` of CPU time from now on, for a test of the task `what`."""
        self.settle()
        self.process.share_core()
        self._what, self._ticks, self._reading = f"{what}: " if what else "", 0, 0.0
        self._budget = min(seconds, max(self.allowance.seconds, 0.1))
        self._ends_all = self._budget < seconds
        self._bytes_left, self._calls_left = self._bytes_a_test, CALLS

    @property
    def was_answered(self) -> bool:
        """Whether anything has come since the budget began."""
        return self._calls_left < CALLS

    def settle(self) -> None:
        """Charge the CPU time since the last call of this to the submission."""
        if self._waited > _LOOKED_INTO_AFTERWARDS or time.monotonic() - self._looked_at > _TICK:
            self._charge_idle()
        cpu = self.process.cpu_seconds() if self.process.is_alive else self._cpu_before
        self.allowance.seconds -= max(cpu - self._cpu_at_start, 0.0)
        self._cpu_at_start = self._cpu_before = cpu

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        """Count the time in here as spent on waiting for the worker."""
        self._waiting_since = time.monotonic()
        try:
            yield
        finally:
            self._count_waiting()
            if self._waited > _LOOKED_INTO:
                self._charge_idle()

    def _count_waiting(self) -> None:
        now = time.monotonic()
        self._waited += min(now - self._waiting_since, 2 * _TICK)  # if it was longer, this process itself was stopped
        self._waiting_since = now

    def _charge_idle(self) -> None:
        """Charge our waiting time to the submission, but not the time in which the worker computed or lacked a core."""
        if not self.process.is_alive:
            return
        waited, self._waited, self._looked_at = self._waited, 0.0, time.monotonic()
        busy, before = self.process.busy_seconds(), self._busy_before
        if busy is None:  # the system does not tell
            busy = before if self.process.is_asleep() else before + waited
        self._busy_before = busy
        self.allowance.idle -= max(waited - max(busy - before, 0.0), 0.0)

    def _more_time(self) -> float | None:
        """Return a later deadline while the worker computes, within its CPU time and our longest wait; else None.

        Time is counted in ticks in which this process was awake, so a machine that was suspended costs no mark.
        """
        self.process.leave_core()
        self._count_waiting()
        self._charge_idle()
        if self.allowance.idle <= 0:
            self.end(LimitExceeded, self.allowance.used_up())
        if self.process.has_filled_its_scratch(SCRATCH_FILES):
            most = f"{self.process.scratch_mb} MB of files, or {SCRATCH_FILES} of them"
            self.end(LimitExceeded, f"your code wrote more than {most}")
        cpu = self.process.cpu_seconds()
        is_asleep = cpu - self._cpu_before < 0.01 and self.process.is_asleep()
        self._idle_ticks = self._idle_ticks + 1 if is_asleep else 0
        self._ticks += 1
        self._cpu_before = cpu
        left = self._budget - (cpu - self._cpu_at_start)
        if (
            left <= 0
            or self._idle_ticks > ASLEEP_SECONDS / _TICK
            or self._ticks > (self._budget * PATIENCE + GRACE_SECONDS) / _TICK
        ):
            return None
        return time.monotonic() + min(_TICK, max(left, 0.02))

    def charge(self, seconds: float) -> None:
        """Count the CPU seconds of this process that it took to read an answer, and to do what the answer asked for."""
        self._reading += seconds
        if self._reading > self._budget + READING_SECONDS:
            said = f"your code keeps the test busy for more than {self._budget:g} s of CPU time"
            self.end(LimitExceeded, f"{said}; call its functions less, and with less")

    # --- frames ------------------------------------------------------------------------------------------------

    def send(self, header: bytes, buffers: list[memoryview]) -> None:
        """Send one frame."""
        try:
            self._idle_ticks = 0
            with self._waiting():
                deadline = time.monotonic() + min(_TICK, self._budget)
                wire.send(self.process.sock, header, buffers, deadline, extend=self._more_time)
        except wire.Late:
            self._end_of_budget()
        except wire.Closed:
            self._end_of_worker()

    def receive(self) -> wire.Frame:
        """Receive one frame."""
        self._calls_left -= 1
        if self._calls_left < 0:
            self.end(LimitExceeded, f"more than {CALLS} steps; does a loop never end?")
        if self._calls_left % _LOOK_EVERY == 0 and self._seconds_left() <= 0:
            self._end_of_budget()
        most = min(FRAME_BYTES, self._bytes_left, self.allowance.bytes)
        try:
            self._idle_ticks = 0
            with self._waiting():
                deadline = time.monotonic() + min(_TICK, self._budget)
                frame = self._receive(deadline, extend=self._more_time, max_bytes=most)
        except wire.Late:
            self._end_of_budget()
        except wire.Closed:
            self._end_of_worker()
        except wire.TooLarge:
            self.end_of_bytes()
        except wire.WireError as error:
            self.end(ProtocolBroken, f"your code answered with {error}, which no value of the task needs")
        size = len(frame.body) + len(frame.header)
        self._bytes_left -= size
        self.allowance.bytes -= size
        return frame

    def _seconds_left(self) -> float:
        return self._budget - (self.process.cpu_seconds() - self._cpu_at_start)

    # --- ends ------------------------------------------------------------------------------------------------------

    def end_of_bytes(self) -> NoReturn:
        """The worker has more to say than it may."""
        limits = f"{FRAME_BYTES >> 20} MB at once, or {self._bytes_a_test >> 20} MB in one test, "
        limits += f"or {HEADER_BYTES >> 20} MB of texts, bytes and lists"
        self.end(LimitExceeded, f"your code returned more than {limits}")

    def _end_of_budget(self) -> NoReturn:
        cpu = self.process.cpu_seconds() - self._cpu_at_start
        if cpu < 0.5 * self._budget:
            said = "your code waited for too long without computing; remove sleeps, input() and locks"
        elif self._ends_all:
            said = f"your code has used up the {self.allowance.total:g} s of CPU time of the whole submission"
        else:
            said = f"your code used more than {self._budget:g} s of CPU time; look for an endless or very slow loop"
        self.end(LimitExceeded, said)

    def _end_of_worker(self) -> NoReturn:
        """The connection is closed: find out why, and raise it."""
        code = self._how_it_ended(self.process)
        self.allowance.was_killed |= code == -9
        reasons: dict[int | None, str] = {
            0: "ended the process (exit, quit, sys.exit or os._exit); return a value instead",
            -11: "crashed the interpreter (segmentation fault)",
            -9: "was killed: it used too much memory or CPU time",
            -24: "used up all its CPU time",
            -6: "aborted the interpreter: it ran out of memory, most likely",
        }
        self.end(WorkerDied, f"your code {reasons.get(code, 'ended the process')}")

    def end(self, kind: type[Ended], said: str) -> NoReturn:
        """End the worker, for a reason that the student is told."""
        self.process.kill()
        raise kind(f"{self._what}{said}") from None
