"""The untrusted side: load one student's module, serve the judge's requests, return plain values.

This process has no secret, and nothing that it says is believed: the other side checks all of it.

    request  [nonce, freed handles, [op, target, name, args, kwargs, [grad mode, torch's random state, seed]]]
    reply    [nonce, "ok" | "error" | "large", value | error, changed arguments, torch's random state,
              names bound again]
    callback [nonce, "callback", id, args, kwargs]  ->  [nonce, freed, ["answer" | "raise", value | [type, message]]]

A callback has the nonce of the request that it belongs to. A target is the number of a handle. Requests and callbacks
nest: the judge answers a callback before it reads anything else, so each thread waits for its turn to send (turns.py).

This file is long because requests, callbacks and replies nest: one object serves them all.
"""

from __future__ import annotations

import builtins
import gc
import importlib
import importlib.util
import io
import operator
import os
import random
import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

from autograder.sandbox.both import wire
from autograder.sandbox.both.bundle import parted
from autograder.sandbox.both.forgotten import forgotten_self
from autograder.sandbox.both.limits import NAMES
from autograder.sandbox.both.siblings import Siblings
from autograder.sandbox.both.standin import ForbiddenUse, World, real
from autograder.sandbox.both.traps import Trap
from autograder.sandbox.inside.gate import close_gate
from autograder.sandbox.inside.turns import Turns
from autograder.sandbox.inside.worker_codec import Exposed, WorkerCodec, WorkerScope

_MODULE = 0  # the handle of the student's module
#: what `default_rng()` gets instead of the system's entropy, so that code that draws without a seed always gets one
#: mark
_entropy = random.Random()


class Worker:
    """The state of one connection: the module, the objects of handles, the graphs of tensors."""

    def __init__(self, sock: socket.socket, scratch: str) -> None:
        self.sock = sock
        self.receive = wire.Receiver(sock).receive
        self.scratch = scratch
        self.codec = WorkerCodec(self)
        self.objects: dict[int, Any] = {}
        self.numbers: dict[int, int] = {}  # id(object) -> handle
        self.leaves: dict[int, Any] = {}
        self.outputs: dict[int, tuple[Any, list[Any]]] = {}
        self.counter = 0
        self.known: dict[str, Any] = {}  # functions and classes of the module, as the judge knows them
        self.turns = Turns()
        self.torch_state = b""
        self.callbacks: dict[int, Callable[..., Any]] = {}
        self.files: dict[str, str] = {}  # the student's modules: path -> name
        self.probes: dict[str, CodeType] = {}  # source -> code: the judge asks for the same probe many times

    def serve(self) -> None:
        """Answer requests until the judge closes the connection."""
        while True:
            frame = self.receive()
            with self.turns.held:
                request = self.codec.begin_decoding(frame)
                self._begin(request)
            self.answer(request)

    def _begin(self, request: Any) -> None:
        """Decode one request, in the thread that has received it, and make it the current request."""
        nonce, freed, words = request
        for number in freed:
            self._free(number)
        codec = self.codec
        codec.scope = scope = WorkerScope()
        try:
            words[3:5] = codec.decode(words[3]), {} if words[4] is None else codec.decode(words[4])
            scope.freeze()
        except wire.WireError:
            raise
        except BaseException as error:
            words[0], words[3] = "raise", (error,)
        request.append(scope)
        self.turns.begin(nonce)

    def answer(self, request: Any) -> None:
        """Do what one request asks, and send the reply."""
        codec = self.codec
        nonce, _freed, (op, target, name, args, kwargs, ambient), scope = request
        try:
            with self._ambient(*ambient):
                value = getattr(self, f"do_{op}")(target, name, args, kwargs)
            status: str = "ok"
        except (wire.Closed, wire.WireError):
            raise
        except BaseException as error:
            status, value = "error", describe(error, self.files)
            error.__traceback__ = None
        with self.turns.mine(nonce):
            codec.scope = scope
            codec.begin_encoding()
            try:
                changes = self._changes(scope)  # before the answer, because the judge needs the changes to read it
                tree = codec.encode(value)
            except BaseException as error:
                codec.begin_encoding()
                status, tree, changes = "error", codec.encode(describe(error)), []
            bound_again = self._bound_again()
            reply = [nonce, status, tree, changes, self._torch_state(), bound_again]
            try:
                wire.send(self.sock, wire.pack(reply), codec.buffers)
            except wire.CannotSend:
                wire.send(self.sock, wire.pack([nonce, "large", None, [], None, bound_again]), [])
            except ValueError as error:  # a text that cannot be encoded: nothing of it was sent
                codec.begin_encoding()
                tree = codec.encode(describe(error))
                wire.send(self.sock, wire.pack([nonce, "error", tree, [], None, bound_again]), [])
            self.turns.end(nonce)

    def _changes(self, scope: WorkerScope) -> list[Any]:
        changes = []
        # a value that holds others is sent after them: the judge then knows how they have changed
        for index in sorted(scope.changed(), key=lambda index: type(scope.cells[index]) in (list, dict)):
            cell = scope.cells[index]
            hidden, scope.cells[index] = cell, None  # encode its contents, not an alias of itself
            changes.append([index, self.codec.encode(cell)])
            scope.cells[index] = hidden
        return changes

    # --- what a request may ask --------------------------------------------------------------------------------

    def do_load(self, _target: int, name: str, args: Any, _kwargs: Any) -> dict[str, Any]:
        """Import the student's main module from a bundle; return its functions and classes by name."""
        bundle, also, given, allowed, (packages, stars, functions) = args
        modules = parted(bundle, (name, *also))
        self.files = {os.path.join(self.scratch, f"{module}.py"): f"{module}.py" for module in modules}
        for path, text in zip(self.files, modules.values(), strict=True):
            with open(path, "wb") as file:
                file.write(text)
        path, source = next(iter(self.files)), modules[name]
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise ImportError(f"{name}.py is no module")
        module = importlib.util.module_from_spec(spec)
        world = World(packages, stars)
        world.install()
        trap = Trap(functions)
        siblings = (*also, *given)

        def prepare(module: ModuleType) -> None:
            close_gate(module, frozenset(allowed), frozenset((name, *siblings)), world)

        if siblings:
            Siblings(Path(self.scratch), siblings, world, prepare).install()
        prepare(module)
        self.objects[_MODULE] = sys.modules[name] = module
        world.execute(source, module)
        trap.close()
        names = _namespace_of(module).items()
        found = [(known, value) for known, value in names if type(known) is str and _is_named(value)]
        self.known = dict(found[:NAMES])
        return {name: Exposed(value) for name, value in self.known.items()}

    def do_raise(self, _target: int, _name: str, args: Any, _kwargs: Any) -> None:
        """Raise the error with which reading a request has failed."""
        raise args[0]

    def do_get(self, target: int, name: str, _args: Any, _kwargs: Any) -> Any:
        return getattr(self.objects[target], name)

    def do_set(self, target: int, name: str, args: Any, _kwargs: Any) -> None:
        setattr(self.objects[target], name, args[0])

    def do_call(self, target: int, _name: str, args: Any, kwargs: Any) -> Any:
        return self.objects[target](*args, **kwargs)

    def do_operate(self, target: int, name: str, args: Any, _kwargs: Any) -> Any:
        """Apply an operator, named as in `operator` or `builtins`, to the object of a handle."""
        return _OPERATIONS[name](self.objects[target], *args)

    def do_next(self, target: int, _name: str, _args: Any, _kwargs: Any) -> Any:
        """Return (True, item), or (False, None) at the end."""
        end = object()
        item = next(self.objects[target], end)
        return (False, None) if item is end else (True, item)

    def do_probe(self, _target: int, name: str, args: Any, kwargs: Any) -> Any:
        """Run a test's probe beside the module."""
        (source, modules), args = args[:2], args[2:]
        namespace: dict[str, Any] = {"__name__": "probe"}
        for alias, path in modules.items():
            namespace[alias] = importlib.import_module(path)
        if source not in self.probes:
            self.probes[source] = compile(source, "<probe>", "exec")
        exec(self.probes[source], namespace)
        return namespace[name](self.objects[_MODULE], *args, **kwargs)

    def do_backward(self, target: int, _name: str, args: Any, _kwargs: Any) -> Any:
        """Return the gradients of an output's leaves, from the gradient of the output."""
        torch = sys.modules["torch"]
        output, leaves = self.outputs[target]
        return list(torch.autograd.grad(output, leaves, args[0], retain_graph=True, allow_unused=True))

    # --- what belongs together ---------------------------------------------------------------------------------

    def handle(self, value: Any) -> int:
        """Return the number under which the judge knows an object."""
        if value is self.objects.get(_MODULE):
            return _MODULE
        number = self.numbers.get(id(value))
        if number is None:
            number = self._next()
            self.numbers[id(value)] = number
            self.objects[number] = value
        return number

    def leaf_number(self, tensor: Any) -> int:
        for number, leaf in self.leaves.items():
            if leaf is tensor:
                return number
        number = self._next()
        self.leaves[number] = tensor
        return number

    def remember_output(self, tensor: Any, leaves: list[Any]) -> int:
        number = self._next()
        self.outputs[number] = (tensor, leaves)
        return number

    def callback(self, number: int, name: str) -> Callable[..., Any]:
        """Return a function that asks the judge to call the test's own."""
        if number not in self.callbacks:

            def ask(*args: Any, **kwargs: Any) -> Any:
                return self._ask(number, args, kwargs)

            ask.__name__ = ask.__qualname__ = name
            self.callbacks[number] = ask
        return self.callbacks[number]

    def _ask(self, number: int, args: Any, kwargs: Any) -> Any:
        codec, call = self.codec, object()
        with self.turns.call(call) as nonce:
            codec.begin_encoding()
            codec.use_aliases = False
            try:
                tree = [nonce, "callback", number, codec.encode(args), codec.encode(kwargs)]
            finally:
                codec.use_aliases = True
            wire.send(self.sock, wire.pack(tree), codec.buffers)
        while True:
            with self.turns.mine(call):
                frame = self.receive()
                request = codec.begin_decoding(frame)
                _nonce, freed_there, words = request
                if words[0] in ("answer", "raise"):
                    for freed in freed_there:
                        self._free(freed)
                    codec.scope = WorkerScope()
                    status, value = words[0], codec.decode(words[1])
                    self.turns.end(call)
                    break
                self._begin(request)
            self.answer(request)
        if status == "answer":
            return value
        kind = getattr(builtins, value[0], RuntimeError)
        raise (kind(value[1]) if isinstance(kind, type) and issubclass(kind, Exception) else RuntimeError(value[1]))

    def _free(self, number: int) -> None:
        value = self.objects.pop(number, None)
        self.numbers.pop(id(value), None)
        self.outputs.pop(number, None)
        self.leaves.pop(number, None)

    def _next(self) -> int:
        self.counter += 1
        return self.counter

    def _ambient(self, is_grad_enabled: bool, torch_state: bytes | None, seed: int | None) -> Any:
        """Set the global state to the judge's; seed it again if a test begins."""
        torch = real("torch")
        if seed is not None:
            random.seed(seed)
            np.random.seed(seed)
            _entropy.seed(seed)
        if torch is None:
            return nullcontext()
        if seed is not None:
            torch.default_generator.manual_seed(seed)  # nothing here has a GPU (see plugin.seed_everything)
            self.torch_state = torch.get_rng_state().numpy().tobytes()
        if torch_state is not None:
            self.torch_state = torch_state
            torch.set_rng_state(torch.frombuffer(bytearray(torch_state), dtype=torch.uint8))
        return torch.set_grad_enabled(is_grad_enabled)

    def _bound_again(self) -> list[str]:
        """Return the names whose values differ now from those that the judge knows."""
        if not self.known:
            return []
        names = _namespace_of(self.objects[_MODULE])
        if not any(map(operator.is_not, map(names.get, self.known), self.known.values())):  # nearly always, and at once
            return []
        found = [name for name, value in self.known.items() if names.get(name) is not value]
        for name in found:
            del self.known[name]
        return found

    def _torch_state(self) -> bytes | None:
        torch = real("torch")
        if torch is None:
            return None
        state: bytes = torch.get_rng_state().numpy().tobytes()
        if state == self.torch_state:
            return None
        self.torch_state = state
        return state


def _namespace_of(module: ModuleType) -> dict[Any, Any]:
    """Return the names of a module and their values, even if its code has changed its class."""
    found: dict[Any, Any] = vars(ModuleType)["__dict__"].__get__(module)
    return found


def _is_named(value: Any) -> bool:
    """Whether a value is a function or a class, which is always sent as an object; no code of the value runs."""
    kind = type(value)
    return kind is FunctionType or (issubclass(kind, type) and not issubclass(value, np.generic))


def describe(error: BaseException, files: Mapping[str, str] | None = None) -> list[Any]:
    """Return what the judge is told about an exception: [type, builtin bases, message, function, line, text, file].

    Args:
        error: what was raised
        files: the student's modules: path -> name
    """
    try:
        return _described(error, files or {})
    except BaseException:  # even the name of its class cannot be read
        return ["Exception", [], "", "", 0, "", ""]


#: read through `type`, since a class may say something false about itself
_name_of, _mro_of = vars(type)["__name__"].__get__, vars(type)["__mro__"].__get__


def _described(error: BaseException, files: Mapping[str, str]) -> list[Any]:
    function, line, text = "", 0, ""
    path = next(iter(files), "")
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if code.co_filename in files:
            path, function, line = code.co_filename, code.co_qualname, trace.tb_lineno
        trace = trace.tb_next
    if isinstance(error, ForbiddenUse) and not line:
        function, line = error.function, error.line
    if isinstance(error, SyntaxError):
        line = error.lineno or 0
        path = error.filename if error.filename and error.filename in files else path
    try:
        message = str(error.msg if isinstance(error, SyntaxError) else error)[:2000] + forgotten_self(error)
    except BaseException:
        message = ""
    if line and path:
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                text = file.read().splitlines()[line - 1].strip()[:200]
        except (OSError, IndexError):
            text = ""
    kinds = [name for kind in _mro_of(type(error)) if getattr(builtins, name := _name_of(kind), None) is kind]
    return [_name_of(type(error)), kinds, message, function, line, text, files.get(path, "")]


def _reflected(name: str) -> Callable[[Any, Any], Any]:
    operate = getattr(operator, name)
    return lambda a, b: operate(b, a)


_OPERATIONS: dict[str, Callable[..., Any]] = {
    **{name: getattr(operator, name) for name in (
        "add", "sub", "mul", "truediv", "floordiv", "mod", "matmul", "pow", "neg", "pos", "abs", "invert",
        "and_", "or_", "xor", "lt", "le", "gt", "ge", "getitem", "setitem", "delitem", "contains",
    )},
    **{f"r{name}": _reflected(name) for name in (
        "add", "sub", "mul", "truediv", "floordiv", "mod", "matmul", "pow", "and_", "or_", "xor",
    )},
    **{f"i{name}": getattr(operator, f"i{name}") for name in ("add", "sub", "mul", "truediv", "matmul", "pow")},
    "len": len, "iter": iter, "bool": bool, "float": float, "int": int, "repr": repr, "str": str, "dir": dir,
    "enter": lambda manager: type(manager).__enter__(manager),
    "exit": lambda manager: type(manager).__exit__(manager, None, None, None),
}  # fmt: skip


def quiet() -> None:
    """Throw away what the student's code prints."""
    sink = io.TextIOWrapper(io.BufferedWriter(io.FileIO(os.open(os.devnull, os.O_WRONLY), "w")), encoding="utf-8")
    sys.stdout = sys.stderr = sys.__stdout__ = sys.__stderr__ = sink  # type: ignore[misc]


def main(sock: socket.socket, scratch: str) -> None:
    """Serve one submission, then end the process."""
    quiet()
    sys.dont_write_bytecode = True
    np.random.bit_generator.randbits = _entropy.getrandbits  # type: ignore[attr-defined]  # there is no public way
    gc.enable()
    with suppress(wire.Closed, wire.WireError):
        Worker(sock, scratch).serve()
    os._exit(0)
