"""One connection to one worker: requests under a budget, and answers that are checked before they become values.

This is the trusted side. What a worker sends can only become a plain value, a handle or an exception of a known class.
Anything else ends the connection with a sentence.

This file is long because a connection has one state, on which requests, answers and callbacks depend.
"""

from __future__ import annotations

import secrets
import sys
import time
from collections.abc import Callable
from typing import Any

from autograder.forbidden import packages_of, words_of
from autograder.limits import NESTED_CALLS, TEST_BYTES, UNSET_SECONDS
from autograder.sandbox.both import wire
from autograder.sandbox.both.randomness import torch_state_lies_ahead
from autograder.sandbox.outside.allowance import Allowance
from autograder.sandbox.outside.changes import Changes
from autograder.sandbox.outside.ends import LimitExceeded, ProtocolBroken, WorkerDied, student_error
from autograder.sandbox.outside.handle import Handle
from autograder.sandbox.outside.judge_codec import JudgeCodec, JudgeScope, index_of
from autograder.sandbox.outside.line import Line
from autograder.sandbox.outside.objects import Objects
from autograder.sandbox.outside.zygotes import WorkerProcess


class Session:
    """A worker with one student's module, and everything that the judge knows about its objects."""

    def __init__(
        self,
        process: WorkerProcess,
        how_it_ended: Callable[[WorkerProcess], int | None],
        allowance: Allowance | None = None,
        changes: Changes | None = None,
        bytes_a_test: int = TEST_BYTES,
        forbid: tuple[str, ...] = (),
    ) -> None:
        self._forbid = forbid
        self.absent = packages_of(forbid)  #: packages that the worker does not have
        self.process = process
        self.changes = changes or Changes()
        self._line = Line(process, how_it_ended, allowance or Allowance(seconds=UNSET_SECONDS), bytes_a_test)
        self.objects = Objects(self)
        self._codec = JudgeCodec(self)
        self._nested = 0
        self.called_last: frozenset[str] = frozenset()  #: names of the object that the last request of this test used
        self._torch_state = b""
        self._seed: int | None = None  # for the next request
        self._named: dict[str, Handle] = {}  # the module's functions and classes, as its import left them
        self._takes_torch_states = True

    # --- tests -------------------------------------------------------------------------------------------------

    def start_budget(self, what: str, seconds: float) -> None:
        """Give the worker `seconds` of CPU time from now on, for a test of the task `what`."""
        self._line.start_budget(what, seconds)
        self.objects.forget_test()
        self.called_last = frozenset()

    @property
    def was_answered(self) -> bool:
        """Whether the worker has sent anything since the budget began."""
        return self._line.was_answered

    def settle(self) -> None:
        """Charge the CPU time since the last call of this to the submission."""
        self._line.settle()

    def start_call(self) -> None:
        """Note that the fixtures of this test are ready: later tests may use the objects that they exchanged."""
        self.objects.keep_from_fixtures()

    def seed(self, seed: int) -> None:
        """Ask the worker to seed its global generators before it answers the next request."""
        self._seed = seed
        if torch := sys.modules.get("torch"):
            self._torch_state = torch.Generator().manual_seed(seed).get_state().numpy().tobytes()

    # --- requests ----------------------------------------------------------------------------------------------

    def request(self, op: str, target: int = 0, name: str = "", args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        """Ask the worker for one thing and return its value.

        Raises:
            StudentError (which is also a builtin exception): the student's code raised
            Ended: it died, ran over its budget, or broke the protocol
            CannotCross: an argument has no form on the wire (the test's fault)
        """
        if not self.process.is_alive:
            self._line.end(WorkerDied, "your code ended the process in an earlier step of this test")
        codec, outer = self._codec, self._codec.scope
        codec.scope = scope = JudgeScope(frozenset({name}) if name else self.objects.names_of(target))
        if not self._nested:
            self.called_last = scope.called
        try:
            codec.begin_encoding()
            trees = self._encode_arguments(scope, args, kwargs or {})
            nonce = self._send([op, target, name, *trees, self._ambient()], codec.buffers)
            value = self._take_answer(nonce, scope)
        finally:
            codec.scope = outer
        if op == "get":
            self.objects.note_name(value, name)
        return value

    def load(
        self, modules: tuple[str, ...], bundle: bytes, imports: tuple[str, ...], given: tuple[str, ...] = ()
    ) -> None:
        """Import the student's main module in the worker.

        Args:
            modules: the names of the student's modules, the main one first
            bundle: their texts
            imports: packages on offer
            given: names of given modules

        Raises: as `request`
        """
        main, *also = modules
        words = words_of(self._forbid, bundle)
        found = self.request("load", name=main, args=(bundle, also, list(given), list(imports), words))
        for name, value in found.items() if type(found) is dict else ():
            if type(value) is Handle and type(name) is str:
                self._named[name] = value

    def get(self, name: str) -> Any:
        """Return the value of a name in the student's module. Raises: as `request`."""
        known = self._named.get(name)
        if known is None:
            return self.request("get", name=name)
        self.objects.note_name(known, name)
        return known

    def set(self, name: str, value: Any) -> None:
        """Set a name in the student's module. Raises: as `request`."""
        self._named.pop(name, None)
        self.request("set", name=name, args=(value,))

    def _encode_arguments(self, scope: JudgeScope, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
        """Encode a tuple and a dict, None for an empty one, and name the argument that each mutable part belongs to."""
        positional: list[Any] = ["t"]
        for position, value in enumerate(args):
            scope.argument = str(position)
            positional.append(self._codec.encode(value, 1))
        scope.argument = ""
        if not kwargs:
            return [positional, None]
        scope.note(kwargs)
        named: list[Any] = ["d"]
        for keyword, value in kwargs.items():
            scope.argument = keyword
            named += [keyword, self._codec.encode(value, 1)]
        return [positional, named]

    def _send(self, words: list[Any], buffers: list[memoryview]) -> bytes:
        """Send a request, or the answer to a callback, and return its nonce."""
        nonce = secrets.token_bytes(8)
        self._line.send(wire.pack([nonce, self.objects.take_freed(), words]), buffers)
        return nonce

    # --- answers -----------------------------------------------------------------------------------------------

    def _take_answer(self, nonce: bytes, scope: JudgeScope) -> Any:
        codec = self._codec
        while True:
            try:
                frame = self._line.receive()
                started = time.thread_time()
                tree = codec.begin_decoding(frame)
                answered, status, *rest = tree
                if answered != nonce or status not in ("ok", "error", "large", "callback"):
                    raise wire.WireError("an answer to another question")
                if status == "callback":
                    number, args, kwargs = rest
                    call = (self.objects.callback(number), codec.decode(args), codec.decode(kwargs))
                else:
                    value_tree, changes, torch_state, bound_again = rest
                    for name in bound_again:
                        self._named.pop(name, None)
                    self._apply(changes, scope)
                    value = codec.decode(value_tree)
                    self._take_torch_state(torch_state)
                    break
            except MemoryError:
                self._line.end(LimitExceeded, "your code returned more than fits into memory")
            except Exception as error:  # any error while an answer is read is the student's fault
                words = str(error) if isinstance(error, wire.WireError) else "a malformed answer"
                self._line.end(ProtocolBroken, f"your code answered with {words}; return plain values")
            self._call_back(*call)
            self._line.charge(time.thread_time() - started)
        if status == "large":
            self._line.end_of_bytes()
        if status == "ok":
            return value
        raise student_error(value)

    def _call_back(self, function: Any, args: Any, kwargs: Any) -> None:
        """Run a test's own function on values from the worker, and send back what it returns or raises."""
        codec, outer = self._codec, self._codec.scope
        codec.scope = JudgeScope()
        try:
            if type(args) is not tuple or type(kwargs) is not dict:
                self._line.end(ProtocolBroken, "your code answered with a malformed call")
            if self._nested >= NESTED_CALLS:
                self._line.end(LimitExceeded, "your code and the test call each other without end")
            self._nested += 1
            try:
                value = function(*args, **kwargs)
                codec.begin_encoding()  # not earlier: the function itself may have sent requests to the worker
                words = ["answer", codec.encode(value)]
            except AssertionError:
                raise  # the judgement of the test, which the student's code must not catch
            except Exception as error:
                codec.begin_encoding()
                words = ["raise", codec.encode([type(error).__name__, str(error)[:2000]])]
            finally:
                self._nested -= 1
            self._send(words, codec.buffers)
        finally:
            codec.scope = outer

    def _apply(self, changes: Any, scope: JudgeScope) -> None:
        """Write back the changes of the student's code to its arguments; those held back are kept beside them."""
        for index, _tree in changes:
            cell = scope.cells[index_of(index)]
            is_students = id(cell) in self.objects.mirror_numbers
            if not is_students and not self.changes.may(scope.arguments[index]):
                scope.hold_back(cell)
        for index, tree in changes:
            cell, value = scope.cells[index], self._codec.decode(tree)
            is_students = id(cell) in self.objects.mirror_numbers
            if not self.changes.apply(scope.arguments[index], cell, value, is_students=is_students):
                scope.stand_in(cell, value)

    def _ambient(self) -> list[Any]:
        torch = sys.modules.get("torch")
        seed, self._seed = self._seed, None
        if torch is None:
            return [True, None, seed]
        state: bytes = torch.get_rng_state().numpy().tobytes()
        changed, self._torch_state = state != self._torch_state, state
        return [torch.is_grad_enabled(), state if changed else None, seed]

    def _take_torch_state(self, state: Any) -> None:
        """Continue with the random state in which the student's code ended, if draws or `manual_seed` lead to it."""
        torch = sys.modules.get("torch")
        if state is None or torch is None or not self._takes_torch_states:
            return
        if type(state) is not bytes:
            raise wire.WireError("a malformed random state")
        now: bytes = torch.get_rng_state().numpy().tobytes()
        if torch_state_lies_ahead(torch, now, state):
            torch.set_rng_state(torch.frombuffer(bytearray(state), dtype=torch.uint8))
            self._torch_state = state
        else:
            self._takes_torch_states = False  # no further state is tried: the search takes time
