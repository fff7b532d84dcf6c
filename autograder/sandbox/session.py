"""One connection to one worker: requests under a budget, answers that are checked before they are values.

Trusted side. Nothing that a worker sends can do more here than become a plain value, a handle or an exception of a
known class; whatever else it sends ends the connection with a sentence.
"""

from __future__ import annotations

import secrets
import sys
import time
import weakref
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from autograder.sandbox import wire
from autograder.sandbox.allowance import MOST_BYTES_A_TEST, Allowance
from autograder.sandbox.changes import Changes
from autograder.sandbox.codec import TORCH_DTYPES, CannotCross, Codec, size_of
from autograder.sandbox.faults import Ended, LimitExceeded, ProtocolBroken, WorkerDied, student_error
from autograder.sandbox.handle import Handle
from autograder.sandbox.randomness import torch_state_lies_ahead
from autograder.sandbox.zygotes import WorkerProcess

#: one answer, as it comes and as it stands here
_MAX_FRAME, _MAX_MEMORY = 256 << 20, 1 << 29
#: a test may wait this much longer than its CPU seconds, for a machine that is busy with something else
_PATIENCE, _GRACE = 4.0, 5.0
#: and it may keep this process busy for so much longer than its CPU seconds, with answers to read and calls to make
_READING = 2.0
#: it is looked at this often (s), and given up after so long (s) asleep: an answer needs no sleep
_TICK, _IDLE = 0.5, 3.0
_MAX_CALLS = 200_000  #: answers and calls in one test
_LOOK_EVERY = 512  #: answers after which the CPU time is looked at, however fast they come
#: what one worker may have us keep: parameters, and in one answer objects
_MAX_MIRRORS, _MAX_HANDLES = 20_000, 20_000
_SCRATCH_FILES = 4096
_MAX_NESTED = 40  #: callbacks within callbacks
_MAX_FREED = 100_000  #: objects that the worker is told with one request to forget


class Scope:
    """The mutable arguments of one call, by the order in which they were sent."""

    def __init__(self, called: frozenset[str] = frozenset()) -> None:
        """Args: called: the names under which the test has asked for the function that is called now."""
        self.cells: list[Any] = []
        self.numbers: dict[int, int] = {}  #: id of a cell -> its place in `cells`
        self.places: list[frozenset[str]] = []  #: of each cell: "function:argument"
        self.called = called
        self.argument = ""

    def note(self, cell: Any) -> None:
        """Remember an argument, or a part of one."""
        self.numbers[id(cell)] = len(self.cells)
        self.cells.append(cell)
        self.places.append(frozenset(f"{name}:{self.argument}" for name in self.called or {""}))


class JudgeCodec(Codec):
    """A codec that knows the judge's tables: arguments, handles, mirrors of parameters, callbacks."""

    deepest_in = wire.MAX_DEPTH // 2  # so that what came can be sent back within something else
    most_memory = _MAX_MEMORY

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.scope = Scope()
        self._decoders |= {
            "x": self._decode_alias,
            "v": self._decode_view,
            "h": self._decode_handle,
            "P": self._decode_parameter,
            "O": self._decode_output,
        }

    # --- out ---------------------------------------------------------------------------------------------------

    def note_out(self, value: Any) -> Any:
        index = self.scope.numbers.get(id(value))
        if index is not None:
            return ["x", index]
        self.scope.note(value)
        return None

    def encode_tensor(self, tensor: Any) -> Any:
        number = self.session.mirror_numbers.get(id(tensor))
        if number is not None:
            return ["P", number, super().encode_tensor(tensor.detach()), self._encode_grad(tensor)]
        if not tensor.requires_grad:
            return super().encode_tensor(tensor)
        number = self.session.note_argument(tensor)
        return [
            "A",
            number,
            super().encode_tensor(tensor.detach()),
            tensor.is_leaf,
            self._encode_grad(tensor),
        ]

    def _encode_grad(self, tensor: Any) -> Any:
        return super().encode_tensor(tensor.grad) if tensor.is_leaf and tensor.grad is not None else None

    def encode_other(self, value: Any) -> Any:
        if isinstance(value, Handle):
            return ["h", self.session.number_of(value)]
        if hasattr(value, "__probe__"):
            return ["h", 0]
        home = _public_home(value)
        if home is not None:
            return ["r", *home]
        if callable(value) and not hasattr(value, "parameters"):
            return ["k", self.session.note_callback(value), getattr(value, "__name__", "function")]
        raise CannotCross(
            f"a test passes a {type(value).__name__}, which cannot cross the wall; build it in a probe"
        )

    # --- in ----------------------------------------------------------------------------------------------------

    def begin_decoding(self, frame: wire.Frame) -> Any:
        self.handles_left = _MAX_HANDLES
        return super().begin_decoding(frame)

    def _decode_alias(self, items: list[Any], depth: int) -> Any:
        return self.scope.cells[_index(items[0])]

    def _decode_view(self, items: list[Any], depth: int) -> Any:
        index, offset, shape, strides = items
        cell = self.scope.cells[_index(index)]
        if type(cell) is not np.ndarray or not cell.flags.c_contiguous:
            raise wire.WireError("a view of what is no array")
        self.charge(cell.itemsize * size_of(shape, list(range(len(shape)))))
        return np.ndarray(shape, cell.dtype, cell, offset, strides)  # refuses what lies outside

    def _decode_handle(self, items: list[Any], depth: int) -> Handle:
        (number,) = items
        if type(number) is not int or number < 0:
            raise wire.WireError("a malformed handle")
        self.handles_left -= 1
        if self.handles_left < 0:
            raise wire.WireError("too many objects at once")
        return self.session.handle(number)

    def _decode_parameter(self, items: list[Any], depth: int) -> Any:
        number, tree, grad = items
        value = self._decode(tree, depth)
        if type(tree) is not list or tree[0] != "T":  # never an alias of an argument
            raise wire.WireError("a malformed parameter")
        mirror = self.session.mirror(number, value.shape, value.dtype, is_parameter=tree[-1] is True)
        mirror.data = value.data
        if grad is not None:
            mirror.grad = self._decode(grad, depth)
        return mirror

    def _decode_output(self, items: list[Any], depth: int) -> Any:
        from autograder.sandbox.autograd import attach

        number, tree, leaves = items
        if type(number) is not int or any(leaf[2] not in TORCH_DTYPES for leaf in leaves):
            raise wire.WireError("a malformed tensor")
        inputs = []
        for leaf_number, shape, dtype in leaves:
            known = self.session.arguments.get(leaf_number)
            if known is None and type(leaf_number) is int and leaf_number > 0:
                known = self.session.mirror(
                    leaf_number, tuple(shape), getattr(self._torch(), dtype), is_parameter=True
                )
            inputs.append(known)
        return attach(self._decode(tree, depth), inputs, self.session, number)


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
        self._bytes_a_test = bytes_a_test
        self.allowance = allowance or Allowance(seconds=3600.0)
        self.changes = changes or Changes()
        self._how_it_ended = how_it_ended
        self._receive_frame = wire.Receiver(process.sock).receive
        self._codec = JudgeCodec(self)
        self._handles: weakref.WeakValueDictionary[int, Handle] = weakref.WeakValueDictionary()
        self._freed: dict[int, None] = {}
        self._names: dict[int, frozenset[str]] = {}  # handle -> the names under which it was asked for
        self._callbacks: dict[int, Any] = {}
        self._callback_count = 0
        self._lasting: frozenset[int] = frozenset()  # callbacks of fixtures, which later tests may need
        self._nested = 0
        self.arguments: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()
        self.mirrors: dict[int, Any] = {}
        self.mirror_numbers: dict[int, int] = {}
        self._argument_numbers = 0
        self._torch_state = b""
        self._seed: int | None = None  # for the next request to carry
        self._named: dict[str, Handle] = {}  # the module's functions and classes, as its import left them
        self._takes_torch_states = True
        self._bytes_left = bytes_a_test
        self._calls_left = _MAX_CALLS
        self._what = ""
        self._budget = 30.0
        self._ends_all = False  # the budget is what is left of the whole submission's
        self._ticks = self._idle_ticks = 0
        self._cpu_at_start = 0.0
        self._cpu_before = 0.0
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
        for number in set(self._callbacks) - self._lasting:
            del self._callbacks[number]

    def start_call(self) -> None:
        """The fixtures of this test are ready: functions that they gave away may be called in later tests too."""
        self._lasting |= set(self._callbacks)

    def seed(self, seed: int) -> None:
        """Have the global generators there seeded, before the next request is answered."""
        self._seed = seed
        if torch := sys.modules.get("torch"):
            self._torch_state = torch.Generator().manual_seed(seed).get_state().numpy().tobytes()

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
            self._end(LimitExceeded(f"{self._what}your code wrote more than {most}"))
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
        if not self.process.is_alive:
            raise WorkerDied(f"{self._what}your code ended the process in an earlier step of this test")
        codec, outer = self._codec, self._codec.scope
        called = frozenset({name}) if name else self._names.get(target, frozenset())
        codec.scope = scope = Scope(called)
        try:
            codec.begin_encoding()
            trees = self._encode_arguments(scope, args, kwargs or {})
            freed, self._freed = list(self._freed), {}
            nonce = secrets.token_bytes(8)
            self._send([nonce, op, target, name, *trees, freed, self._ambient()], codec.buffers)
            value = self._take_answer(nonce, scope)
        finally:
            codec.scope = outer
        if op == "get":
            self._note_name(value, name)
        return value

    def load(self, module: str, source: bytes, imports: tuple[str, ...]) -> None:
        """Import the student's module there. Raises: as `request`."""
        found = self.request("load", name=module, args=(source, list(imports)))
        for name, value in found.items() if type(found) is dict else ():
            if type(value) is Handle:
                self._named[name] = value

    def get(self, name: str) -> Any:
        """Return what the student's module has under a name. Raises: as `request`."""
        known = self._named.get(name)
        if known is None:
            return self.request("get", name=name)
        self._note_name(known, name)
        return known

    def _note_name(self, value: Any, name: str) -> None:
        """Remember every name of an object: one function under two names may change what both may."""
        if type(value) is Handle:
            number = self.number_of(value)
            self._names[number] = self._names.get(number, frozenset()) | {name}

    def set(self, name: str, value: Any) -> None:
        """Put something into the student's module. Raises: as `request`."""
        self._named.pop(name, None)
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

    def _send(self, tree: Any, buffers: list[memoryview]) -> None:
        try:
            wire.send(self.process.sock, tree, buffers, time.monotonic() + self._budget * _PATIENCE + _GRACE)
        except wire.Late:
            self._end(LimitExceeded(self._over_budget()))
        except wire.Closed:
            self._end_of_worker()

    def _receive(self) -> wire.Frame:
        self._calls_left -= 1
        if self._calls_left < 0:
            self._end(LimitExceeded(f"{self._what}more than {_MAX_CALLS} steps; does a loop never end?"))
        if self._calls_left % _LOOK_EVERY == 0 and self._seconds_left() <= 0:
            self._end(LimitExceeded(self._over_budget()))
        most = min(_MAX_FRAME, self._bytes_left, self.allowance.bytes)
        try:
            self._idle_ticks = 0
            deadline = time.monotonic() + min(_TICK, self._budget)
            frame = self._receive_frame(deadline, extend=self._more_time, max_bytes=most)
        except wire.Late:
            self._end(LimitExceeded(self._over_budget()))
        except wire.Closed:
            self._end_of_worker()
        except wire.TooLarge:
            limits = f"{_MAX_FRAME >> 20} MB at once, or {self._bytes_a_test >> 20} MB in one test"
            self._end(LimitExceeded(f"{self._what}your code returned more than {limits}"))
        except wire.WireError as error:
            self._end(
                ProtocolBroken(
                    f"{self._what}your code answered with {error}, which no value of the task needs"
                )
            )
        size = len(frame.body) + frame.header_size
        self._bytes_left -= size
        self.allowance.bytes -= size
        return frame

    def _seconds_left(self) -> float:
        return self._budget - (self.process.cpu_seconds() - self._cpu_at_start)

    def _take_answer(self, nonce: bytes, scope: Scope) -> Any:
        codec = self._codec
        while True:
            frame = self._receive()
            started = time.thread_time()
            try:
                tree = codec.begin_decoding(frame)
                if type(tree) is list and len(tree) == 5 and tree[1] == "callback":
                    _nonce, _kind, number, args, kwargs = tree
                    call = (self._callback(number), codec.decode(args), codec.decode(kwargs))
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
                self._end(ProtocolBroken(f"{self._what}your code answered with {words}; return plain values"))
            self._call_back(*call)
            self._reading += time.thread_time() - started
            if self._reading > self._budget + _READING:
                said = f"your code keeps the test busy for more than {self._budget:g} s of CPU time"
                self._end(LimitExceeded(f"{self._what}{said}; call its functions less, and with less"))
        if status == "ok":
            return value
        raise student_error(value)

    def _call_back(self, function: Any, args: Any, kwargs: Any) -> None:
        """Run a test's own function on values from the worker, and send back what it returns or raises."""
        codec, outer = self._codec, self._codec.scope
        codec.scope = Scope()
        try:
            if type(args) is not tuple or type(kwargs) is not dict:
                self._end(ProtocolBroken(f"{self._what}your code answered with a malformed call"))
            if self._nested >= _MAX_NESTED:
                self._end(LimitExceeded(f"{self._what}your code and the test call each other without end"))
            self._nested += 1
            try:
                value = function(*args, **kwargs)
                codec.begin_encoding()  # only now: the function may have asked the worker for something itself
                tree, status = codec.encode(value), "answer"
            except AssertionError:
                raise  # a test's own judgement, which the student's code must not swallow
            except Exception as error:
                codec.begin_encoding()
                tree, status = codec.encode([type(error).__name__, str(error)[:2000]]), "raise"
            finally:
                self._nested -= 1
            self._send([b"", status, tree], codec.buffers)
        finally:
            codec.scope = outer

    def _apply(self, changes: Any, scope: Scope) -> None:
        """Write back what the student's code changed in its arguments."""
        for index, tree in changes:
            cell, value = scope.cells[_index(index)], self._codec.decode(tree)
            self.changes.apply(scope.places[index], cell, value, is_students=id(cell) in self.mirror_numbers)

    # --- ends --------------------------------------------------------------------------------------------------

    def _over_budget(self) -> str:
        cpu = self.process.cpu_seconds() - self._cpu_at_start
        if cpu < 0.5 * self._budget:
            return f"{self._what}your code waited for too long without computing; remove sleeps, input() and locks"
        if self._ends_all:
            whole = f"the {self.allowance.total:g} s of CPU time of the whole submission"
            return f"{self._what}your code has used up {whole}"
        used = f"your code used more than {self._budget:g} s of CPU time"
        return f"{self._what}{used}; look for an endless or very slow loop"

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
        self._end(WorkerDied(f"{self._what}your code {reasons.get(code, 'ended the process')}"))

    def _end(self, reason: Ended) -> NoReturn:
        self.process.kill()
        raise reason from None

    # --- what belongs together ---------------------------------------------------------------------------------

    def handle(self, number: int) -> Handle:
        """Return the handle of that number: one object there is one object here."""
        known = self._handles.get(number)
        if known is None:
            known = self._handles[number] = Handle(self, number)
            if number:
                weakref.finalize(known, _FreeLater(self), number)
        self._freed.pop(number, None)
        return known

    def number_of(self, handle: Handle) -> int:
        session, number = object.__getattribute__(handle, "_wall")
        if session is not self:
            raise WorkerDied("an object of an earlier step is lost: your code ended the process that held it")
        return int(number)

    def note_callback(self, function: Any) -> int:
        for number, known in self._callbacks.items():
            if known is function:
                return number
        self._callback_count += 1
        self._callbacks[self._callback_count] = function
        return self._callback_count

    def _callback(self, number: Any) -> Callable[..., Any]:
        """Return a function of this test; one of an earlier test only says so."""
        if type(number) is not int or not 0 < number <= self._callback_count:
            raise wire.WireError("a call of no function")
        known: Callable[..., Any] = self._callbacks.get(number, _of_an_earlier_test)
        return known

    def note_argument(self, tensor: Any) -> int:
        """Return the number (below zero) of a tensor of the test's that needs a gradient."""
        self._argument_numbers -= 1
        number = self._argument_numbers
        self.arguments[number] = tensor
        weakref.finalize(tensor, _FreeLater(self), number)
        return number

    def mirror(self, number: Any, shape: Any, dtype: Any, *, is_parameter: bool) -> Any:
        """Return the judge's stand-in for a leaf tensor of the worker's: gradients land in it."""
        torch = sys.modules["torch"]
        if type(number) is not int:
            raise wire.WireError("a malformed parameter")
        known = self.mirrors.get(number)
        if known is None:
            size_of(list(shape), list(range(len(shape))))
            empty = torch.empty((), dtype=dtype).expand(
                tuple(shape)
            )  # no memory until its values are asked for
            known = torch.nn.Parameter(empty) if is_parameter else empty.detach().requires_grad_(True)
            if len(self.mirrors) >= _MAX_MIRRORS:
                raise wire.WireError("too many parameters")
            self.mirrors[number] = known
            self.mirror_numbers[id(known)] = number
        return known

    def free(self, number: int) -> None:
        """Tell the worker, with the next request, that something is not needed any more."""
        if len(self._freed) < _MAX_FREED:
            self._freed[number] = None
        self._names.pop(number, None)

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


class _FreeLater:
    """A reference to a session that keeps nothing alive."""

    def __init__(self, session: Session) -> None:
        self._session = weakref.ref(session)

    def __call__(self, number: int) -> None:
        session = self._session()
        if session is not None:
            session.free(number)


def _of_an_earlier_test(*_args: Any, **_kwargs: Any) -> Any:
    raise RuntimeError("this function was an argument of an earlier call; do not keep it")


def _index(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise wire.WireError("a malformed reference")
    return value


def _public_home(value: Any) -> tuple[str, str] | None:
    """Return module and name of a public function or class of NumPy or torch, which the worker has too."""
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if (
        not isinstance(module, str)
        or not isinstance(name, str)
        or module.partition(".")[0] not in ("numpy", "torch")
    ):
        return None
    return (module, name) if getattr(sys.modules.get(module), name, None) is value else None
