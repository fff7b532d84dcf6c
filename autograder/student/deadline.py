"""Deadline: end an endless loop in a student's own folder, and say in which line it was.

A thread interrupts the main thread as Ctrl-C does, which works on every system. It cannot end a call into C. It counts
CPU seconds, so a busy machine ends nobody's work; if code sleeps, it waits ten times as long.
"""

from __future__ import annotations

import _thread
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType

from autograder.faults import Kind, Modules, own_frames, place_of

_LOOK = 0.25  #: seconds between two looks at the clock
_SLEEPS = 10
_TIMES = 3.0  #: how many times slower than the grader's a student's machine may be


class StillRunning(Exception):
    """A test did not end; the text is the sentence for the student."""

    fault_kind: Kind = "limit"


class Deadline:
    """Let the block run for a time. Then end it with StillRunning."""

    def __init__(self, seconds: object, modules: Modules, *, least: float) -> None:
        """Take topic.toml's CPU seconds for one test, the student's modules, and the fewest seconds to wait."""
        given = float(seconds) if isinstance(seconds, int | float) else 0.0
        self.seconds = max(least, _TIMES * given)
        self._modules = modules
        self._ended = threading.Event()
        self._is_over = False
        self._restored: signal.Handlers | int | Callable[..., object] | None = None

    def __enter__(self) -> None:
        can_interrupt = threading.current_thread() is threading.main_thread()
        if not can_interrupt or sys.gettrace() is not None:  # a debugger waits for a person
            return
        if signal.getsignal(signal.SIGINT) not in (None, signal.default_int_handler):
            # SIGINT may be ignored (a script started it with &), or a library may exit on it
            self._restored = signal.signal(signal.SIGINT, signal.default_int_handler)
        threading.Thread(target=self._watch, daemon=True).start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()
        if self._restored is not None:
            signal.signal(signal.SIGINT, self._restored)
        if self._is_over and isinstance(error, KeyboardInterrupt):
            frames = own_frames(error, *self._modules)
            function = frames[-1].name if frames and frames[-1].name != "<module>" else self._modules[0]
            said = f"{function} was still running after {self.seconds:.0f} seconds{place_of(error, *self._modules)}"
            raise StillRunning(f"{said}: is there a loop without an end?").with_traceback(trace) from None

    def end(self) -> None:
        """Wait no longer."""
        self._ended.set()

    def _watch(self) -> None:
        worked, since = time.process_time(), time.monotonic()
        while not self._ended.wait(1.0 if self._is_over else _LOOK):
            worked_long = time.process_time() - worked > self.seconds
            if worked_long or time.monotonic() - since > _SLEEPS * self.seconds:
                self._is_over = True
                _interrupt()


def _interrupt() -> None:
    """Do to the main thread what Ctrl-C does; on systems with signals this also ends a sleep."""
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    else:
        _thread.interrupt_main()
