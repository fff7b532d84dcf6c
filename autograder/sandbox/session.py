"""One connection to one worker: requests under a budget, answers that are checked before they are values.

Trusted side. Nothing that a worker sends can do more here than become a plain value, a handle or an exception of a
known class; whatever else it sends ends the connection with a sentence.
"""

from __future__ import annotations

import secrets
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from autograder.sandbox import wire
from autograder.sandbox.allowance import MOST_BYTES_A_TEST, Allowance
from autograder.sandbox.changes import Changes
from autograder.sandbox.faults import Ended, LimitExceeded, ProtocolBroken, WorkerDied, student_error
from autograder.sandbox.handle import Handle
from autograder.sandbox.judge_codec import JudgeCodec, Scope, index_of
from autograder.sandbox.line import Line
from autograder.sandbox.objects import Freed, Objects
from autograder.sandbox.randomness import torch_state_lies_ahead
from autograder.sandbox.transcripts import NOT_THERE, THERE, Dialogue, Kind, Said, said
from autograder.sandbox.zygotes import WorkerProcess

_MAX_NESTED = 40  #: callbacks within callbacks


class Session:
    """A worker with one student's module in it, and everything that the judge knows of its objects."""

    def __init__(
        self,
        process: WorkerProcess,
        how_it_ended: Callable[[WorkerProcess], int | None],
        allowance: Allowance | None = None,
        changes: Changes | None = None,
        bytes_a_test: int = MOST_BYTES_A_TEST,
    ) -> None:
        self.process = process
        self.changes = changes or Changes()
        self._line = Line(process, how_it_ended, allowance or Allowance(seconds=3600.0), bytes_a_test)
        self.objects = Objects(self)
        self._codec = JudgeCodec(self)
        self._nested = 0
        self._torch_state = b""
        self._seed: tuple[int, int] | None = None  # for the next request, with the test's first number
        self._first_number = 0
        self._dialogue: Dialogue | None = None
        self._said = Said("request", b"")
        self._named: dict[str, Handle] = {}  # the module's functions and classes, as its import left them
        self._takes_torch_states = True

    # --- tests -------------------------------------------------------------------------------------------------

    def start_budget(self, what: str, seconds: float) -> None:
        """Give the worker `seconds` of CPU time from now on, for a test of `what`."""
        self._line.start_budget(what, seconds)
        self.objects.forget_test()
        self._dialogue = None

    def settle(self) -> None:
        """Charge the CPU time since the last time to the submission."""
        self._line.settle()

    def start_call(self) -> None:
        """The fixtures of this test are ready: what they gave away is of use in later tests too."""
        self.objects.keep_from_fixtures()

    def seed(self, seed: int, first_number: int = 0) -> None:
        """Have the global generators there seeded, before the next request is answered.

        Args:
            seed: for all of them
            first_number: what the objects of this test are numbered from, the same for every submission
        """
        self._seed, self._first_number = (seed, first_number), first_number
        self.objects.number_from(first_number)
        if torch := sys.modules.get("torch"):
            self._torch_state = torch.Generator().manual_seed(seed).get_state().numpy().tobytes()

    # --- requests ----------------------------------------------------------------------------------------------

    def request(
        self, op: str, target: int = 0, name: str = "", args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Ask the worker for one thing and return its value.

        Raises:
            StudentError (and a builtin exception with it): the student's code raised
            Ended: it died, ran over its budget, or broke the protocol
            CannotCross: an argument has no form on the wire (the test's fault)
        """
        if not self.process.is_alive and (self._dialogue is None or self._dialogue.is_replayed):
            self._line.end(WorkerDied, "your code ended the process in an earlier step of this test")
        codec, outer = self._codec, self._codec.scope
        codec.scope = scope = Scope(frozenset({name}) if name else self.objects.names_of(target))
        try:
            codec.begin_encoding()
            trees = self._encode_arguments(scope, args, kwargs or {})
            words = wire.pack([op, self.objects.name_of(target), name, *trees, self._ambient()])
            value = self._take_answer(self._say(words, codec.buffers), scope)
        finally:
            codec.scope = outer
        if op == "get":
            self.objects.note_name(value, name)
        return value

    def load(self, module: str, source: bytes, imports: tuple[str, ...]) -> None:
        """Import the student's module there. Raises: as `request`."""
        found = self.request("load", name=module, args=(source, list(imports)))
        for name, value in found.items() if type(found) is dict else ():
            if type(value) is Handle and type(name) is str:
                self._named[name] = value

    def get(self, name: str) -> Any:
        """Return what the student's module has under a name. Raises: as `request`."""
        known = self._named.get(name)
        self._look(name)
        if known is None:
            return self.request("get", name=name)
        self.objects.note_name(known, name, is_loaded=True)
        return known

    def set(self, name: str, value: Any) -> None:
        """Put something into the student's module. Raises: as `request`."""
        self._named.pop(name, None)
        if self._dialogue is not None:
            self._dialogue.is_spoiled = True  # for what a later test gets by this name is another thing now
        self.request("set", name=name, args=(value,))

    def _encode_arguments(self, scope: Scope, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
        """Encode a tuple and a dict, and name the argument that each mutable part belongs to."""
        positional: list[Any] = ["t"]
        for position, value in enumerate(args):
            scope.argument = str(position)
            positional.append(self._codec.encode(value, 1))
        scope.argument = ""
        scope.note(kwargs)
        named: list[Any] = ["d"]
        for keyword, value in kwargs.items():
            scope.argument = keyword
            named += [keyword, self._codec.encode(value, 1)]
        return [positional, named]

    # --- what is said ------------------------------------------------------------------------------------------

    def recall(self, dialogue: Dialogue) -> Any:
        """Say what was said to others in this test, as long as the answers are the same as theirs.

        Returns:
            the verdict of the test after these answers; None where that is not known. The test itself then has to
            run: what was said so far is repeated to it, and is not said again
        """
        self.objects.forget_names()
        try:
            while (known := dialogue.known) is not None:
                if known.kind == "look":
                    dialogue.went(known, b"", self._found(known.words.decode()))
                    continue
                nonce = secrets.token_bytes(8)
                try:
                    freed = [*self.objects.take_freed(), *known.freed]
                    self._send(nonce, freed, known.words, [memoryview(known.body)])
                    answer: wire.Frame | Ended = self._line.receive()
                except Ended as end:
                    answer = end
                dialogue.went(known, nonce, answer)
        finally:
            self._dialogue = dialogue
        if dialogue.verdict is not None:
            self.objects.free_since(self._first_number)
        return dialogue.verdict

    @property
    def is_as_new(self) -> bool:
        """Whether a test that begins now finds nothing on this side that an earlier one has left."""
        return self._takes_torch_states and not self.changes.outlast

    def _look(self, name: str) -> None:
        """Have the dialogue know of a look at what the module's import left: it decides what is said next."""
        dialogue, look = self._dialogue, Said("look", name.encode())
        if dialogue is None:
            return
        if dialogue.is_replayed:
            dialogue.note(look, self._found(name))
        elif dialogue.say_again(look) is None:
            self._end_of_dialogue()
        else:
            dialogue.hear_again()

    def _found(self, name: str) -> bytes:
        return THERE if name in self._named else NOT_THERE

    def _end_of_dialogue(self) -> NoReturn:
        self._line.end(Ended, "the test does not say the same after the same answers")

    def _say(self, words: bytes, buffers: list[memoryview], kind: Kind = "request") -> bytes:
        """Send a frame, unless that has been done, and return its nonce."""
        dialogue = self._dialogue
        if dialogue is None:
            self._send(nonce := secrets.token_bytes(8), self.objects.take_freed(), words, buffers)
            return nonce
        freed = self.objects.take_freed() if dialogue.is_replayed else ()
        self._said = said(kind, words, buffers, freed, self._first_number)
        if not dialogue.is_replayed:
            known = dialogue.say_again(self._said)
            return self._end_of_dialogue() if known is None else known
        self._send(nonce := secrets.token_bytes(8), freed, words, buffers)
        return nonce

    def _hear(self) -> wire.Frame:
        """Receive a frame, or the one that came when this was said before."""
        dialogue = self._dialogue
        if dialogue is None:
            return self._line.receive()
        if not dialogue.is_replayed:
            heard: wire.Frame = dialogue.hear_again()
            return heard
        frame = self._line.receive()
        dialogue.note(self._said, frame)
        return frame

    def _send(self, nonce: bytes, freed: Sequence[Freed], words: bytes, buffers: list[memoryview]) -> None:
        self._line.send(b"\x93" + wire.pack(nonce) + wire.pack(freed) + words, buffers)  # an array of three

    # --- answers -----------------------------------------------------------------------------------------------

    def _take_answer(self, nonce: bytes, scope: Scope) -> Any:
        codec = self._codec
        while True:
            frame = self._hear()
            started = time.thread_time()
            try:
                tree = codec.begin_decoding(frame)
                if type(tree) is list and len(tree) == 5 and tree[1] == "callback":
                    _nonce, _kind, number, args, kwargs = tree
                    call = (self.objects.callback(number), codec.decode(args), codec.decode(kwargs))
                else:
                    answered, status, value_tree, changes, torch_state = tree
                    if answered != nonce or status not in ("ok", "error"):
                        raise wire.WireError("an answer to another question")
                    value = codec.decode(value_tree)
                    self._apply(changes, scope)
                    self._take_torch_state(torch_state)
                    break
            except (
                wire.WireError,
                ValueError,
                TypeError,
                KeyError,
                IndexError,
                AttributeError,
                RuntimeError,
            ) as error:
                words = str(error) if isinstance(error, wire.WireError) else "a malformed answer"
                self._line.end(ProtocolBroken, f"your code answered with {words}; return plain values")
            self._call_back(*call)
            self._line.charge(time.thread_time() - started)
        if status == "ok":
            return value
        raise student_error(value)

    def _call_back(self, function: Any, args: Any, kwargs: Any) -> None:
        """Run a test's own function on values from the worker, and send back what it returns or raises."""
        codec, outer = self._codec, self._codec.scope
        codec.scope = Scope()
        try:
            if type(args) is not tuple or type(kwargs) is not dict:
                self._line.end(ProtocolBroken, "your code answered with a malformed call")
            if self._nested >= _MAX_NESTED:
                self._line.end(LimitExceeded, "your code and the test call each other without end")
            self._nested += 1
            try:
                value = function(*args, **kwargs)
                codec.begin_encoding()  # only now: the function may have asked the worker for something itself
                words = wire.pack(["answer", codec.encode(value)])
            except AssertionError:
                raise  # a test's own judgement, which the student's code must not swallow
            except Exception as error:
                codec.begin_encoding()
                words = wire.pack(["raise", codec.encode([type(error).__name__, str(error)[:2000]])])
            finally:
                self._nested -= 1
            self._say(words, codec.buffers, "answer")
        finally:
            codec.scope = outer

    def _apply(self, changes: Any, scope: Scope) -> None:
        """Write back what the student's code changed in its arguments."""
        for index, tree in changes:
            cell, value = scope.cells[index_of(index)], self._codec.decode(tree)
            self.changes.apply(
                scope.places[index], cell, value, is_students=id(cell) in self.objects.mirror_numbers
            )

    def _ambient(self) -> list[Any]:
        torch = sys.modules.get("torch")
        seed, self._seed = self._seed, None
        if torch is None:
            return [True, None, seed]
        state: bytes = torch.get_rng_state().numpy().tobytes()
        changed, self._torch_state = state != self._torch_state, state
        return [torch.is_grad_enabled(), state if changed else None, seed]

    def _take_torch_state(self, state: Any) -> None:
        """Draw on where the student's code stopped, if it got there by drawing or by `manual_seed`."""
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
            self._takes_torch_states = False  # looked at once: a search takes time
