"""Keys: read single keys of a terminal without waiting for Enter, on POSIX and on Windows."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any


class Keys:
    """While it is open, `wait` returns the key that was pressed. Without a terminal there is never a key."""

    def __init__(self) -> None:
        self._before: Any = None
        self._is_open = sys.stdin is not None and sys.stdin.isatty()

    def __enter__(self) -> Keys:
        if self._is_open and sys.platform != "win32":
            import termios
            import tty

            self._before = termios.tcgetattr(sys.stdin)
            tty.setcbreak(sys.stdin)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before is not None and sys.platform != "win32":
            import termios

            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, self._before)

    def wait(self, seconds: float) -> str:
        """Return the key that is pressed within `seconds`, else ''."""
        if not self._is_open:
            time.sleep(seconds)
            return ""
        return _windows_key(seconds) if sys.platform == "win32" else _posix_key(seconds)


def _posix_key(seconds: float) -> str:
    import os
    import select

    ready, _, _ = select.select([sys.stdin], [], [], seconds)
    return os.read(sys.stdin.fileno(), 1).decode("ascii", "ignore") or "q" if ready else ""


def _windows_key(seconds: float) -> str:
    import msvcrt

    until = time.monotonic() + seconds
    keyboard: Any = msvcrt
    while not keyboard.kbhit():
        if time.monotonic() >= until:
            return ""
        time.sleep(0.02)
    return str(keyboard.getwch())
