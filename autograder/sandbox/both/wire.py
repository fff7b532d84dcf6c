"""Frames over a socket: a msgpack header and raw buffers. Each has a largest size, and a frame has a deadline.

    frame = header length (u32) | body length (u64) | header (msgpack) | body (raw buffers, one after the other)

The header is a tree of None, bool, int, float, str, bytes and arrays. It has no maps and no extension types, so nothing
in it can construct an object. The codec decides what the arrays mean.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgpack

from autograder.sandbox.both.limits import BODY_BYTES, HEADER_BYTES, ITEMS

_PREFIX = struct.Struct("<IQ")

#: bytes to ask of the socket at once, so that a small frame arrives whole
_AT_ONCE, _LARGE_AT_ONCE = 1 << 12, 1 << 20


class WireError(Exception):
    """The other side broke the protocol: a frame too large, malformed, or not the answer to the question."""


class TooLarge(WireError):
    """A frame that is larger than what is left of its sender's budget."""


class CannotSend(ValueError):
    """A value of more bytes than a frame may have; nothing of it was sent."""


class Closed(Exception):
    """The other side is gone."""


class Late(Exception):
    """The deadline passed before the frame was whole."""


class Frame(NamedTuple):
    """One received frame: a header, and the buffers that it describes."""

    header: memoryview
    body: memoryview

    def tree(self) -> Any:
        """Return the tree of the header. Raises: WireError."""
        try:
            return msgpack.unpackb(
                self.header,
                strict_map_key=True,
                max_ext_len=0,
                max_map_len=0,
                max_array_len=ITEMS,
                use_list=True,
            )
        except Exception as error:  # msgpack raises a dozen kinds, all of which mean the same
            raise WireError(f"a malformed header ({type(error).__name__})") from None


def pack(tree: Any) -> bytes:
    """Return a tree as the bytes of a header."""
    packed: bytes = msgpack.packb(tree)
    return packed


def send(
    sock: socket.socket,
    header: bytes,
    buffers: Sequence[memoryview],
    deadline: float | None = None,
    *,
    extend: Callable[[], float | None] | None = None,
) -> int:
    """Send one frame and return its size in bytes.

    Args:
        extend: called when the deadline has passed; returns a later deadline, or None to give up

    Raises:
        Late: the other side does not read it before the deadline (of time.monotonic)
        Closed: the other side is gone
        CannotSend: larger than a frame may be
    """
    size = sum(map(len, buffers))
    if len(header) > HEADER_BYTES or size > BODY_BYTES:
        raise CannotSend(f"a value of {len(header) + size} bytes is too large to pass")
    parts = [memoryview(_PREFIX.pack(len(header), size) + header), *filter(len, buffers)]
    clock = _Clock(deadline, extend)
    while parts:
        _arm(sock, clock.deadline)
        try:
            sent = sock.sendmsg(parts[:64])
        except TimeoutError:
            if clock.give_up():
                raise Late from None
            continue
        except OSError:
            raise Closed from None
        if sent == _PREFIX.size + len(header) + size:  # nearly always the case
            break
        while parts and sent >= len(parts[0]):
            sent -= len(parts.pop(0))
        if sent:
            parts[0] = parts[0][sent:]
    return len(header) + size


class Receiver:
    """The receiving end of a connected stream socket. It keeps what has arrived of the frame after this one."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._arrived = bytearray()

    def receive(
        self,
        deadline: float | None = None,
        *,
        extend: Callable[[], float | None] | None = None,
        max_bytes: int = HEADER_BYTES + BODY_BYTES,
    ) -> Frame:
        """Receive one frame.

        Args:
            deadline: for the whole frame, by time.monotonic; None waits for ever (the worker does this)
            extend: called when the deadline has passed; returns a later deadline, or None to give up
            max_bytes: what is left of the sender's budget

        Raises:
            Late, Closed, WireError
        """
        clock = _Clock(deadline, extend)
        self._fill(_PREFIX.size, clock)
        header_size, body_size = _PREFIX.unpack_from(self._arrived)
        if header_size > HEADER_BYTES or body_size > BODY_BYTES:
            raise WireError(f"a frame of {header_size + body_size} bytes")
        if header_size + body_size > max_bytes:
            raise TooLarge(f"a frame of {header_size + body_size} bytes")
        start = _PREFIX.size + header_size
        end = start + body_size
        if len(self._arrived) < end:
            self._fill(start, clock)
            self._fill(end, clock)
        frame, self._arrived = self._arrived, self._arrived[end:]
        whole = memoryview(frame).toreadonly()
        return Frame(whole[_PREFIX.size : start], whole[start:end])

    def _fill(self, size: int, clock: _Clock) -> None:
        """Read until at least this many bytes of the frame are here."""
        data = self._arrived  # grows with what arrives: a false length allocates nothing
        while len(data) < size:
            _arm(self._sock, clock.deadline)
            try:
                chunk = self._sock.recv(max(_AT_ONCE, min(size - len(data), _LARGE_AT_ONCE)))
            except TimeoutError:
                if clock.give_up():
                    raise Late from None
                continue
            except OSError:
                raise Closed from None
            if not chunk:
                raise Closed
            data += chunk
            if len(data) < size and clock.give_up():  # a sender of single bytes is late too
                raise Late


class _Clock:
    """A deadline that may be moved, for example while the sender still has CPU time left."""

    def __init__(self, deadline: float | None, extend: Callable[[], float | None] | None) -> None:
        self.deadline = deadline
        self.extend = extend

    def give_up(self) -> bool:
        """Whether the deadline has passed and is not moved."""
        if self.deadline is None or time.monotonic() < self.deadline:
            return False
        later = self.extend() if self.extend else None
        self.deadline = later if later is not None else self.deadline
        return later is None


def _arm(sock: socket.socket, deadline: float | None) -> None:
    timeout = None if deadline is None else max(deadline - time.monotonic(), 1e-4)
    if timeout != sock.gettimeout():
        sock.settimeout(timeout)
