"""The wire under attack: for any bytes that arrive, the judge gets a value or an error of the wall."""

from __future__ import annotations

import ast
import contextlib
import json
import os
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import autograder
from autograder.sandbox.both import wire
from autograder.sandbox.both.codec import Codec
from autograder.sandbox.both.randomness import go_on, numpy_generator
from autograder.sandbox.outside.ends import Ended, LimitExceeded, ProtocolBroken
from autograder.sandbox.outside.judge_codec import JudgeCodec
from autograder.sandbox.outside.session import Session

PLAIN = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=9)
)
TAGS = st.sampled_from([*"ltszdicanTyYSEgGxvhPOkrA", "f8", "b1", "U3", "float32", "meta", "cpu"])
TREES = st.recursive(PLAIN | TAGS, lambda inner: st.lists(inner, max_size=6), max_leaves=25)
TAGGED = st.builds(lambda tag, items: [tag, *items], TAGS, st.lists(TREES, max_size=6))


class FakeProcess:
    """A fake worker: only the other end of a socket."""

    is_alive = True
    pid = os.getpid()

    def __init__(self) -> None:
        self.sock, self.theirs = socket.socketpair()

    def cpu_seconds(self) -> float:
        return 0.0

    busy_seconds = cpu_seconds

    def share_core(self) -> None:
        """It has no core of its own."""

    leave_core = share_core

    def is_asleep(self) -> bool:
        return True

    def has_filled_its_scratch(self, _files: int) -> bool:
        return False

    def kill(self) -> None:
        self.is_alive = False
        self.sock.close()
        self.theirs.close()


def session() -> tuple[Session, FakeProcess]:
    process = FakeProcess()
    judge = Session(process, lambda _: 0)  # type: ignore[arg-type]
    judge.start_budget("task", 1.0)
    return judge, process


def answer(frame: Callable[[bytes], bytes]) -> Any:
    """Ask a fake worker for one thing; it has sent `frame(nonce)` by the time that the judge reads."""
    judge, process = session()
    send = wire.send

    def send_and_be_answered(sock: Any, header: bytes, *rest: Any, **named: Any) -> int:
        size = send(sock, header, *rest, **named)
        process.theirs.sendall(frame(msgpack.unpackb(header)[0]))
        return size

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wire, "send", send_and_be_answered)
        return judge.request("get", name="x")


def framed(tree: Any, body: bytes = b"") -> wire.Frame:
    return wire.Frame(memoryview(wire.pack(tree)), memoryview(body))


def packed(tree: Any, body: bytes = b"", *, claims: int | None = None) -> bytes:
    header: bytes = msgpack.packb(tree)
    return struct.pack("<IQ", len(header), len(body) if claims is None else claims) + header + body


@settings(max_examples=400, deadline=None)
@given(tree=TREES | TAGGED, body=st.binary(max_size=64))
def test_any_tree_is_a_value_or_a_wire_error(tree: Any, body: bytes) -> None:
    for codec in (Codec(), JudgeCodec(session()[0])):
        with contextlib.suppress(wire.WireError):
            codec.decode(codec.begin_decoding(framed(tree, body)))


@settings(max_examples=200, deadline=None)
@given(
    value=TREES | TAGGED,
    changes=TREES,
    state=PLAIN,
    status=st.sampled_from(["ok", "error", "callback", 1, None]),
)
def test_any_answer_is_a_value_an_error_or_the_end(value: Any, changes: Any, state: Any, status: Any) -> None:
    try:
        answer(lambda nonce: packed([nonce, status, value, changes, state, []]))
    except (Ended, Exception) as error:
        assert isinstance(error, Ended) or hasattr(error, "type_name")  # noqa: PT017


@settings(max_examples=100, deadline=None)
@given(data=st.binary(min_size=12, max_size=200))
def test_any_bytes_end_in_words(data: bytes) -> None:
    left, right = socket.socketpair()
    with left, right:
        right.sendall(data)
        right.shutdown(socket.SHUT_WR)
        receiver = wire.Receiver(left)
        with pytest.raises((wire.WireError, wire.Closed)):  # noqa: PT012
            receiver.receive(time.monotonic() + 5)
            receiver.receive(time.monotonic() + 5)


@pytest.mark.parametrize(
    "tree",
    [
        ["n", "f8", 10**12],
        ["G", 10**12],
        ["i", "f" * 100_000],
        ["a", "f8", [1 << 40, 0, 1 << 40], [0, 1, 2], True, True, "more"],
        ["a", "f8", [1 << 39], [0], True, True],
        ["a", "U65536", [1 << 20], [0], True, True],
        ["s", *(["c", float(i), -i / 1000003] for i in range(5000))],
        ["s", *(["i", hex(i * ((1 << 61) - 1) + (1 << 70))] for i in range(5000))],
        ["l", *(["h", i] for i in range(1, 30_000))],
        ["h", -1],
        ["x", 0],
        ["v", 0, 0, [1], [8]],
    ],
    ids=lambda tree: f"{tree[0]}{str(tree[1])[:12]}",
)
def test_what_costs_too_much_is_refused_at_once(tree: Any) -> None:
    codec = JudgeCodec(session()[0])
    started = time.monotonic()

    with pytest.raises(wire.WireError):
        codec.decode(codec.begin_decoding(framed(tree)))

    assert time.monotonic() - started < 30


def test_a_view_is_no_larger_than_an_answer_may_be() -> None:
    codec = JudgeCodec(session()[0])
    codec.scope.note(np.zeros(1))

    with pytest.raises(wire.WireError):
        codec.decode(codec.begin_decoding(framed(["v", 0, 0, [1 << 29], [0]])))


@pytest.mark.parametrize(
    ("frame", "kind"),
    [
        (lambda nonce: packed([nonce, "ok", 1, [], None], claims=1 << 40), ProtocolBroken),
        (lambda nonce: packed([b"00000000", "ok", 1, [], None, []]), ProtocolBroken),
        (lambda nonce: packed([nonce, "ok", 1, [[0, 5]], None, []]), ProtocolBroken),
        (lambda nonce: packed([nonce, "ok", 1, [], 10**12, []]), None),
        (lambda nonce: packed(["", "callback", 7, ["t"], ["d"]]), ProtocolBroken),
        (lambda nonce: packed([nonce, "ok", 1, [], None, []])[:15], LimitExceeded),
    ],
    ids=["oversized", "another's nonce", "a change of nothing", "a state", "a call of nothing", "truncated"],
)
def test_a_lying_frame_ends_the_worker(frame: Callable[[bytes], bytes], kind: type[Ended] | None) -> None:
    if kind is None:  # if torch is not loaded, there is no state
        with contextlib.suppress(ProtocolBroken):
            answer(frame)
        return
    with pytest.raises(kind):
        answer(frame)


@pytest.mark.parametrize("position", [-1, 625, 10**7])
def test_a_generator_never_reads_beyond_its_array(position: int) -> None:
    state = {"bit_generator": "MT19937", "state": {"key": [1] * 624, "pos": position}}

    with pytest.raises(wire.WireError):
        numpy_generator(state)


@pytest.mark.parametrize("kind", ["PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64"])
def test_a_generator_goes_on_only_where_draws_lead(kind: str) -> None:
    make = getattr(np.random, kind)
    here, ahead, elsewhere = (np.random.Generator(make(seed)) for seed in (3, 3, 4))
    ahead.random(5000)

    go_on(here, numpy_generator(json.loads(json.dumps(ahead.bit_generator.state, default=lambda a: a.tolist()))))

    assert here.random() == ahead.random()
    with pytest.raises(wire.WireError, match="no draw leads to"):
        go_on(here, elsewhere)


@pytest.mark.parametrize("kind", [np.random.PCG64, np.random.PCG64DXSM])
def test_a_generator_does_not_go_where_only_a_jump_leads(kind: Any) -> None:
    here, wound, back = (np.random.Generator(kind(3)) for _ in range(3))
    state = wound.bit_generator.state
    state["state"]["state"] = 0  # the next numbers are known
    wound.bit_generator.state = state
    here.random(10)

    for elsewhere in (wound, back, np.random.Generator(kind(3).jumped())):
        with pytest.raises(wire.WireError, match="no draw leads to"):
            go_on(here, elsewhere)


FORBIDDEN = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "multiprocessing"}


def test_no_pickle_anywhere() -> None:
    package = Path(autograder.__file__).parent
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            assert not {name.partition(".")[0] for name in names} & FORBIDDEN, path
            is_load = isinstance(node, ast.Attribute) and node.attr == "load" and ast.unparse(node.value) == "torch"
            assert not is_load, f"{path}: torch.load"
