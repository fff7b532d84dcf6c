"""Line: the connection to one worker, under the budget of the test that is under way.

Trusted side. Frames go out and come in, whatever they mean; where the worker ends, or a budget is used up, the line
ends with a sentence for the student.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NoReturn

from autograder.sandbox import wire
from autograder.sandbox.allowance import Allowance
from autograder.sandbox.faults import Ended, LimitExceeded, ProtocolBroken, WorkerDied
from autograder.sandbox.zygotes import WorkerProcess

#: bytes of one answer as it comes
_MAX_FRAME = 256 << 20
#: a test may wait this much longer than its CPU seconds, for a machine that is busy with something else
_PATIENCE, _GRACE = 4.0, 5.0
#: and it may keep this process busy for so much longer than its CPU seconds, with answers to read and calls to make
_READING = 2.0
#: it is looked at this often (s), and given up after so long (s) asleep: an answer needs no sleep
_TICK, _IDLE = 0.5, 3.0
_MAX_CALLS = 200_000  #: answers and calls in one test
_LOOK_EVERY = 512  #: answers after which the CPU time is looked at, however fast they come
_SCRATCH_FILES = 4096


class Line:
    """One worker's connection. Every method raises `Ended` where it comes to its end."""

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
        self._calls_left = _MAX_CALLS
        self._what = ""
        self._budget = 30.0
        self._ends_all = False  # the budget is what is left of the whole submission's
        self._ticks = self._idle_ticks = 0
        self._cpu_at_start = self._cpu_before = 0.0
        self._reading = 0.0  # CPU seconds of ours that went into answers and calls of this test

    # --- budget ------------------------------------------------------------------------------------------------

    def start_budget(self, what: str, seconds: float) -> None:
        """Give the worker `seconds` of CPU time from now on, for a test of `what`."""
        self.settle()
        self.process.share_core()
        self._what, self._ticks, self._reading = f"{what}: " if what else "", 0, 0.0
        self._budget = min(seconds, max(self.allowance.seconds, 0.1))
        self._ends_all = self._budget < seconds
        self._bytes_left, self._calls_left = self._bytes_a_test, _MAX_CALLS

    def settle(self) -> None:
        """Charge the CPU time since the last time to the submission."""
        cpu = self.process.cpu_seconds() if self.process.is_alive else self._cpu_before
        self.allowance.seconds -= max(cpu - self._cpu_at_start, 0.0)
        self._cpu_at_start = self._cpu_before = cpu

    def _more_time(self) -> float | None:
        """Return a later deadline while the worker computes, within its CPU time and our patience; else None.

        Time is counted in ticks at which this process was awake itself: a machine that stood still costs no mark.
        """
        self.process.leave_core()
        if self.process.has_filled_its_scratch(_SCRATCH_FILES):
            most = f"{self.process.scratch_mb} MB of files, or {_SCRATCH_FILES} of them"
            self.end(LimitExceeded, f"your code wrote more than {most}")
        cpu = self.process.cpu_seconds()
        is_asleep = cpu - self._cpu_before < 0.01 and self.process.is_asleep()
        self._idle_ticks = self._idle_ticks + 1 if is_asleep else 0
        self._ticks += 1
        self._cpu_before = cpu
        left = self._budget - (cpu - self._cpu_at_start)
        if (
            left <= 0
            or self._idle_ticks > _IDLE / _TICK
            or self._ticks > (self._budget * _PATIENCE + _GRACE) / _TICK
        ):
            return None
        return time.monotonic() + min(_TICK, max(left, 0.02))

    def charge(self, seconds: float) -> None:
        """Count CPU seconds of ours that an answer's reading, and what it asked for, have taken."""
        self._reading += seconds
        if self._reading > self._budget + _READING:
            said = f"your code keeps the test busy for more than {self._budget:g} s of CPU time"
            self.end(LimitExceeded, f"{said}; call its functions less, and with less")

    # --- frames ------------------------------------------------------------------------------------------------

    def send(self, header: bytes, buffers: list[memoryview]) -> None:
        """Send one frame."""
        try:
            wire.send(
                self.process.sock, header, buffers, time.monotonic() + self._budget * _PATIENCE + _GRACE
            )
        except wire.Late:
            self._end_of_budget()
        except wire.Closed:
            self._end_of_worker()

    def receive(self) -> wire.Frame:
        """Receive one frame."""
        self._calls_left -= 1
        if self._calls_left < 0:
            self.end(LimitExceeded, f"more than {_MAX_CALLS} steps; does a loop never end?")
        if self._calls_left % _LOOK_EVERY == 0 and self._seconds_left() <= 0:
            self._end_of_budget()
        most = min(_MAX_FRAME, self._bytes_left, self.allowance.bytes)
        try:
            self._idle_ticks = 0
            deadline = time.monotonic() + min(_TICK, self._budget)
            frame = self._receive(deadline, extend=self._more_time, max_bytes=most)
        except wire.Late:
            self._end_of_budget()
        except wire.Closed:
            self._end_of_worker()
        except wire.TooLarge:
            limits = f"{_MAX_FRAME >> 20} MB at once, or {self._bytes_a_test >> 20} MB in one test"
            self.end(LimitExceeded, f"your code returned more than {limits}")
        except wire.WireError as error:
            self.end(ProtocolBroken, f"your code answered with {error}, which no value of the task needs")
        size = len(frame.body) + len(frame.header)
        self._bytes_left -= size
        self.allowance.bytes -= size
        return frame

    def _seconds_left(self) -> float:
        return self._budget - (self.process.cpu_seconds() - self._cpu_at_start)

    # --- ends ------------------------------------------------------------------------------------------------------

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
