"""The untrusted side: load one student's module, serve the judge's requests, return plain values.

Nothing here is a secret and nothing here is believed: whatever this process says is checked on the other side.

    request  [nonce, freed handles, [op, target, name, args, kwargs, [grad mode, torch's random state, seed]]]
    reply    [nonce, "ok" | "error", value | error, changed arguments, torch's random state]
    callback [nonce, "callback", id, args, kwargs]  ->  [nonce, freed, ["answer" | "raise", value | [type, message]]]

A callback has the nonce of the request that it comes from. A target is a handle's number, or the name of what the
module's import left. A seed is [seed, the number that the objects of this test are numbered from].
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
from collections.abc import Callable
from contextlib import nullcontext, suppress
from types import CodeType, FunctionType
from typing import Any

import numpy as np

from autograder.sandbox import wire
from autograder.sandbox.gate import close_gate
from autograder.sandbox.worker_codec import Scope, WorkerCodec

_MODULE = 0  # the handle of the student's module
#: what the judge learns of a module at once, so that it need not ask for each by name; and how many of them
_NAMED, _MOST_NAMES = (FunctionType, type), 1000
#: what `default_rng()` is given for the system's entropy: code that draws without a seed has one mark, not many
_entropy = random.Random()


class Worker:
    """One connection's state: the module, the objects behind handles, the graphs behind tensors."""

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
        self.loaded: dict[str, Any] = {}  # functions and classes, as the module's import left them
        self.nonce = b""  # of the request under way
        self.torch_state = b""
        self.callbacks: dict[int, Callable[..., Any]] = {}
        self.probes: dict[str, CodeType] = {}  # by their source: one is asked for again and again

    def serve(self) -> None:
        """Answer requests until the judge hangs up."""
        while True:
            self.answer(self.codec.begin_decoding(self.receive()))

    def answer(self, request: Any) -> None:
        """Do what one request asks, and send the reply."""
        codec, outer = self.codec, self.codec.scope
        codec.scope = scope = Scope()
        nonce, freed, words = request
        self.nonce, outer_nonce = nonce, self.nonce
        op, target, name, args_tree, kwargs_tree, ambient = words
        for number in freed:
            self._free(number)
        try:
            args, kwargs = codec.decode(args_tree), codec.decode(kwargs_tree)
            scope.freeze()
            with self._ambient(*ambient):
                value = getattr(self, f"do_{op}")(target, name, args, kwargs)
            status: str = "ok"
        except (wire.Closed, wire.WireError):
            raise
        except BaseException as error:
            status, value = "error", describe(error, self.objects.get(_MODULE))
            error.__traceback__ = None
        codec.scope = scope
        codec.begin_encoding()
        try:
            tree = codec.encode(value)
            changes = self._changes(scope)
        except BaseException as error:
            codec.begin_encoding()
            status, tree, changes = "error", codec.encode(describe(error, None)), []
        buffers = codec.buffers
        codec.scope = outer
        try:
            wire.send(self.sock, wire.pack([nonce, status, tree, changes, self._torch_state()]), buffers)
        except ValueError as error:  # too large, or a text that is no text: nothing of it was sent
            codec.begin_encoding()
            wire.send(
                self.sock, wire.pack([nonce, "error", codec.encode(describe(error, None)), [], None]), []
            )
        self.nonce = outer_nonce

    def _changes(self, scope: Scope) -> list[Any]:
        changes = []
        for index in scope.changed():
            cell = scope.cells[index]
            hidden, scope.cells[index] = cell, None  # encode its contents, not an alias of itself
            changes.append([index, self.codec.encode(cell)])
            scope.cells[index] = hidden
        return changes

    # --- what a request may ask --------------------------------------------------------------------------------

    def do_load(self, _target: int, name: str, args: Any, _kwargs: Any) -> dict[str, Any]:
        """Import the student's module from its source; return its functions and classes by name."""
        source, allowed = args
        path = os.path.join(self.scratch, f"{name}.py")
        with open(path, "wb") as file:
            file.write(source)
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise ImportError(f"{name}.py is no module")
        module = importlib.util.module_from_spec(spec)
        close_gate(module, frozenset(allowed))
        self.objects[_MODULE] = sys.modules[name] = module
        spec.loader.exec_module(module)
        found = {known: value for known, value in vars(module).items() if isinstance(value, _NAMED)}
        self.loaded = dict(list(found.items())[:_MOST_NAMES])
        return self.loaded

    def do_get(self, target: int | str, name: str, _args: Any, _kwargs: Any) -> Any:
        return getattr(self._find(target), name)

    def do_set(self, target: int | str, name: str, args: Any, _kwargs: Any) -> None:
        setattr(self._find(target), name, args[0])

    def do_call(self, target: int | str, _name: str, args: Any, kwargs: Any) -> Any:
        return self._find(target)(*args, **kwargs)

    def do_operate(self, target: int | str, name: str, args: Any, _kwargs: Any) -> Any:
        """Apply an operator, by its name in `operator` or `builtins`, to a handle's object."""
        return _OPERATIONS[name](self._find(target), *args)

    def do_next(self, target: int | str, _name: str, _args: Any, _kwargs: Any) -> Any:
        """Return (True, item), or (False, None) at the end."""
        end = object()
        item = next(self._find(target), end)
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
        """Return the gradients of an output's leaves, given the output's."""
        torch = sys.modules["torch"]
        output, leaves = self.outputs[target]
        return list(torch.autograd.grad(output, leaves, args[0], retain_graph=True, allow_unused=True))

    def _find(self, target: int | str) -> Any:
        """Return what a request calls by a number or a name."""
        return self.loaded[target] if isinstance(target, str) else self.objects[target]

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
        codec = self.codec
        codec.begin_encoding()
        codec.use_aliases = False
        try:
            tree = [self.nonce, "callback", number, codec.encode(args), codec.encode(kwargs)]
        finally:
            codec.use_aliases = True
        wire.send(self.sock, wire.pack(tree), codec.buffers)
        while True:
            request = _nonce, _freed, words = codec.begin_decoding(self.receive())
            if words[0] not in ("answer", "raise"):
                self.answer(request)
                continue
            scope, codec.scope = codec.scope, Scope()
            status, value = words[0], codec.decode(words[1])
            codec.scope = scope
            if status == "answer":
                return value
            kind = getattr(builtins, value[0], RuntimeError)
            raise (
                kind(value[1])
                if isinstance(kind, type) and issubclass(kind, Exception)
                else RuntimeError(value[1])
            )

    def _free(self, number: int | list[int]) -> None:
        if isinstance(number, list):
            for held in (self.objects, self.outputs, self.leaves):
                for known in [known for known in held if number[0] <= abs(known) < number[1]]:
                    self._free(known)
            return
        value = self.objects.pop(number, None)
        self.numbers.pop(id(value), None)
        self.outputs.pop(number, None)
        self.leaves.pop(number, None)

    def _next(self) -> int:
        self.counter += 1
        return self.counter

    def _ambient(self, is_grad_enabled: bool, torch_state: bytes | None, begins: list[int] | None) -> Any:
        """Have the global state be the judge's: seeded anew, if a test begins."""
        torch = sys.modules.get("torch")
        seed, first_number = begins or (None, 0)
        self.counter = max(self.counter, first_number)
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

    def _torch_state(self) -> bytes | None:
        torch = sys.modules.get("torch")
        if torch is None:
            return None
        state: bytes = torch.get_rng_state().numpy().tobytes()
        if state == self.torch_state:
            return None
        self.torch_state = state
        return state


def describe(error: BaseException, module: Any) -> list[Any]:
    """Return what the judge learns of an exception: [type, builtin bases, message, function, line, text]."""
    function, line, text = "", 0, ""
    path = getattr(module, "__file__", None)
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if code.co_filename == path:
            function, line = code.co_qualname, trace.tb_lineno
        trace = trace.tb_next
    if isinstance(error, SyntaxError):
        line = error.lineno or 0
    try:
        message = str(error.msg if isinstance(error, SyntaxError) else error)[:2000]
    except BaseException:
        message = ""
    if line and path:
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                text = file.read().splitlines()[line - 1].strip()[:200]
        except (OSError, IndexError):
            text = ""
    kinds = [kind.__name__ for kind in type(error).__mro__ if getattr(builtins, kind.__name__, None) is kind]
    return [type(error).__name__, kinds, message, function, line, text]


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
    """Send what the student prints nowhere."""
    sink = io.TextIOWrapper(
        io.BufferedWriter(io.FileIO(os.open(os.devnull, os.O_WRONLY), "w")), encoding="utf-8"
    )
    sys.stdout = sys.stderr = sys.__stdout__ = sys.__stderr__ = sink  # type: ignore[misc]


def main(sock: socket.socket, scratch: str) -> None:
    """Serve one submission, and end the process with it."""
    quiet()
    sys.dont_write_bytecode = True
    np.random.bit_generator.randbits = _entropy.getrandbits  # type: ignore[attr-defined]  # there is no public way
    gc.enable()
    with suppress(wire.Closed, wire.WireError):
        Worker(sock, scratch).serve()
    os._exit(0)
