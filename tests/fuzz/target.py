"""The target of the fuzzer: for all that a worker may send, the judge's side gets a value or an error of the wall.

An input is a frame's header and body; the body follows the first `BODY`. It takes the way of an answer: into the
socket, out of the receiver, through the judge's codec, into changes of arguments and a random state. If it becomes a
value, that is compared with what a test expects.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import msgpack
import numpy as np
import torch

from autograder import expect
from autograder.sandbox.both import wire
from autograder.sandbox.outside.ends import Ended
from autograder.sandbox.outside.session import Session

BODY = b"\n--body--\n"
INPUTS = Path(__file__).parent / "inputs"
_NONCE = b"8 bytes."

_BODY = np.arange(4.0).tobytes()
#: answers of every kind that the codec knows, to start from
VALUES: tuple[Any, ...] = (
    None, 1, "x", ["l", 1, ["t", 2.0]], ["d", "k", 1], ["s", 1, 2], ["z", 1], ["i", "0x7fffffffffffffffff"],
    ["c", 1.0, 2.0], ["a", "f8", [2, 2], [0, 1], True, True], ["n", "f8", bytes(8)], ["y", "f8", 0], ["Y", "float32"],
    ["T", "float32", [2], [0], "cpu", False], ["T", "float64", [4], [0], "meta", False], ["S", 0, 1, None], ["E"],
    ["x", 0], ["v", 0, 8, [2], [8]], ["h", 3], ["P", 5, ["T", "float64", [4], [0], "cpu", False], None],
    ["O", 6, ["T", "float64", [4], [0], "cpu", False], [[7, [2], "float32"]]],
    ["g", '{"bit_generator": "PCG64", "state": {"state": 1, "inc": 3}, "has_uint32": 0, "uinteger": 0}'],
    ["G", bytes(16)],
)  # fmt: skip
CHANGES = [[0, ["a", "f8", [4], [0], True, True]], [1, ["l", 1]], [2, ["d", "k", 2]]]


def seeds() -> Iterator[bytes]:
    """Well-formed answers, for a fuzzer to start from."""
    for value in VALUES:
        yield msgpack.packb([_NONCE, "ok", value, [], None]) + BODY + _BODY
    yield msgpack.packb([_NONCE, "ok", None, CHANGES, bytes(5056)]) + BODY + _BODY
    yield msgpack.packb([_NONCE, "error", ["l", "E", ["l", "ValueError"], "m", "f", 1, "t"], [], None])
    yield msgpack.packb([b"", "callback", 1, ["t", 1], ["d"]])


class _Process(SimpleNamespace):
    """A fake worker: only the other end of a socket."""

    is_alive = True

    def kill(self) -> None:
        self.is_alive = False
        self.sock.close()

    def cpu_seconds(self) -> float:
        return 1e9  # a late frame is given up at once

    def busy_seconds(self) -> float:
        return 0.0

    def share_core(self) -> None:
        """It has no core of its own."""

    leave_core = share_core

    def is_asleep(self) -> bool:
        return True

    def has_filled_its_scratch(self, _files: int) -> bool:
        return False


def one_input(data: bytes) -> None:
    """Let the judge read one answer; raises an error that the wall does not expect."""
    header, _, body = data.partition(BODY)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        process = _Process(sock=ours)
        judge = Session(process, lambda _: 0)  # type: ignore[arg-type]
        judge.start_budget("fuzz", 1.0)
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        theirs.setblocking(False)
        with contextlib.suppress(OSError):
            theirs.sendall(struct.pack("<IQ", len(header), len(body)) + header + body)
            theirs.shutdown(socket.SHUT_WR)
        arguments = (
            np.arange(4.0),
            [1],
            {"k": 1},
            np.random.default_rng(1),
            torch.zeros(2),
            torch.Generator(),
            abs,
        )
        with mock.patch("secrets.token_bytes", return_value=_NONCE), contextlib.suppress(Ended):
            try:
                value = judge.request("get", name="x", args=arguments)
                for expected in (np.arange(4.0), torch.zeros(2), 1, [1.0]):
                    with contextlib.suppress(expect.Mismatch):
                        expect.close(value, expected, "x", lists=True)
                    with contextlib.suppress(expect.Mismatch):
                        expect.equal(value, expected, "x")
            except Exception as error:
                if not hasattr(error, "type_name") and not isinstance(error, wire.Closed):
                    raise
