"""Traps: single functions and classes that a task forbids, of a package that it otherwise allows.

A name says little: `F.conv2d`, `nn.Conv2d`, `torch.ops.aten.convolution` and a partial of any of them end in one
operator. So a trap changes the function itself, under all its names and in every thread:

* a function or class written in Python: its code is replaced in place, as is that of private helpers in its file;
* an operator of torch: its kernel is replaced in torch's dispatcher, where every call of it ends. All convolutions
  count as one, because each of them can compute the others.

While the module is imported, forbidden functions still work, because other tasks may use them there. Then the traps
close, and nothing in the process keeps the original any more.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from types import FunctionType, ModuleType
from typing import Any

from autograder.sandbox.both.standin import ForbiddenCall, real

_LEFT_ALONE = {
    "__repr__",
    "__class_getitem__",
    "__init_subclass__",
    "__subclasshook__",
    "__setattr__",
    "__getattr__",
}
_CONVOLUTION = r"_?\w*conv(olution|\d|_depthwise|_transpose|_dilated|_tbc|_prepack|_pointwise)\w*"
#: where torch keeps the kernels that a worker can call; the only device is a CPU
_KEYS = ("CPU", "MkldnnCPU", "QuantizedCPU", "SparseCPU", "CompositeExplicitAutograd")
_LIKE = {"CompositeExplicitAutograd": "XLA"}  #: a device for which no kernels are installed


class Refusal:
    """What is called instead of a forbidden function."""

    def __init__(self, name: str, original: Callable[..., Any], allows: Callable[[], bool] | None) -> None:
        self.name = name
        self.original: Callable[..., Any] | None = original
        self.allows = allows

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        original = self.original
        if original is None or (self.allows is not None and not self.allows()):
            raise ForbiddenCall(self.name)
        return original(*args, **kwargs)


class Trap:
    """The traps of one process."""

    def __init__(self, names: Iterable[str], allows: Callable[[], bool] | None = None) -> None:
        """Set them, still open.

        Args:
            names: what is forbidden, such as "torch.utils.data.DataLoader"
            allows: says for each call whether it is allowed. It replaces `close` in a process whose other code may call
                the function. Operators are not trapped there
        """
        self._refusals: list[Refusal] = []
        self._codes: list[tuple[FunctionType, Any]] = []
        for name in names:
            found = resolve(name)
            if found is None:
                continue
            functions = list(functions_of(name, found))
            for function in functions:
                self._replace(function, name, allows)
            if allows is None:
                for operator in operators_of(name):
                    self._override(operator, name)

    def close(self) -> None:
        """Refuse every call from now on, and forget the originals."""
        for refusal in self._refusals:
            refusal.original = None

    def undo(self) -> None:
        """Give every function that is written in Python its own code back."""
        for function, code in self._codes:
            function.__code__ = code

    def _replace(self, function: FunctionType, name: str, allows: Callable[[], bool] | None) -> None:
        code = function.__code__
        if any(isinstance(part, Refusal) for part in code.co_consts):
            return
        copy = FunctionType(code, function.__globals__, function.__name__, function.__defaults__, function.__closure__)
        copy.__kwdefaults__ = function.__kwdefaults__
        refusal = Refusal(name, copy, allows)
        self._refusals.append(refusal)
        self._codes.append((function, code))
        parts = tuple(refusal if part == "the refusal" else part for part in _shim.__code__.co_consts)
        function.__code__ = _shim.__code__.replace(
            co_consts=parts, co_name=code.co_name, co_qualname=code.co_qualname, co_freevars=code.co_freevars
        )

    def _override(self, operator: str, name: str) -> None:
        torch = real("torch")
        space, _, base = operator.partition("::")
        has = torch._C._dispatch_has_kernel_for_dispatch_key
        for key in (key for key in _KEYS if has(operator, key)):
            like = torch._C._dispatch_key_parse(_LIKE.get(key, key))
            kernel = torch._C._dispatch_get_computed_kernel_for_dispatch_key(operator, like)
            refusal = Refusal(name, kernel.call_boxed, None)
            self._refusals.append(refusal)
            library = torch._C._dispatch_library("IMPL", space, key, __file__, 1)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about a kernel that is replaced
                library.impl(base, key, refusal, True)
            _keep(library)


def _shim(*args: Any, **kwargs: Any) -> Any:
    refusal: Any = "the refusal"
    return refusal(*args, **kwargs)


def _keep(thing: Any) -> None:
    """Keep an object as long as the process lives, in a place that no name leads to."""
    import ctypes

    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


def resolve(name: str) -> Any:
    """Return the object of a full name such as "torch.nn.utils"; None if there is no such object."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:count]))
        except ImportError:
            continue
        for part in parts[count:]:
            found = getattr(found, part, None)
        return found
    return None


def functions_of(name: str, found: Any) -> Iterator[FunctionType]:
    """Give the Python functions of a forbidden name: its own, and those that only serve it."""
    if isinstance(found, ModuleType):
        for module in _modules_in(found.__name__):
            for thing in list(vars(module).values()):
                if getattr(thing, "__module__", None) == module.__name__:
                    yield from _functions_in(thing)
        return
    yield from _functions_in(found)
    home = sys.modules.get(getattr(found, "__module__", None) or "")
    owner = sys.modules.get(name.rpartition(".")[0])
    if home is None or owner is None or home is owner or isinstance(found, type(len)):
        return
    public = {id(thing) for word, thing in vars(owner).items() if not word.startswith("_")}
    for thing in list(vars(home).values()):  # it has a file of its own, so the private helpers there serve it
        if getattr(thing, "__module__", None) == home.__name__ and id(thing) not in public:
            yield from _functions_in(thing)


def files_of(names: Iterable[str]) -> list[str]:
    """Return the files from which forbidden functions could be loaded again, under another name."""
    files: dict[str, None] = {}
    for name in names:
        found = resolve(name)
        homes: list[ModuleType] = []
        if isinstance(found, ModuleType):
            homes = list(_modules_in(found.__name__))
        elif next(functions_of(name, found), None) is not None:
            homes = [home for home in [sys.modules.get(getattr(found, "__module__", ""))] if home is not None]
        for home in homes:
            if file := getattr(home, "__file__", None):
                files |= dict.fromkeys((file, importlib.util.cache_from_source(file)))
    return list(files)


def operators_of(name: str) -> list[str]:
    """Return the operators of torch that a forbidden function or layer ends in, if they have kernels."""
    torch = real("torch")
    if torch is None or name.partition(".")[0] != "torch":
        return []
    word = name.rpartition(".")[2]
    is_layer = isinstance(resolve(name), type)
    if re.fullmatch(_CONVOLUTION, word.lower()):
        pattern = _CONVOLUTION
    elif is_layer or next(functions_of(name, resolve(name)), None) is not None:
        return []
    else:
        pattern = rf"_?{re.escape(word)}(_forward|_backward)?"
    has = torch._C._dispatch_has_kernel_for_dispatch_key
    return [
        operator
        for operator in torch._C._dispatch_get_all_op_names()
        if re.fullmatch(pattern, operator.partition("::")[2].partition(".")[0])
        and not has(operator, "CompositeImplicitAutograd")  # it calls other operators, which have traps themselves
    ]


def _is_computing(kind: type) -> bool:
    """Whether a class is a layer of torch. Building one computes nothing, and what it computes with is an operator."""
    torch = real("torch")
    return torch is not None and issubclass(kind, torch.nn.Module)


def _modules_in(package: str) -> Iterator[ModuleType]:
    for name, module in list(sys.modules.items()):
        if (name == package or name.startswith(f"{package}.")) and isinstance(module, ModuleType):
            yield module


def _functions_in(thing: Any) -> Iterator[FunctionType]:
    """Give a function itself, or the functions of a class, but not those it inherits or borrows, such as Enum's own."""
    if isinstance(thing, FunctionType):
        if thing.__globals__.get("__name__") == thing.__module__:
            yield thing
        if isinstance(inner := getattr(thing, "__wrapped__", None), FunctionType):
            yield from _functions_in(inner)
    elif isinstance(thing, type) and not _is_computing(thing):
        for word, member in list(vars(thing).items()):
            if word in _LEFT_ALONE:
                continue
            if isinstance(member, (staticmethod, classmethod)):
                member = member.__func__
            for function in (member.fget, member.fset) if isinstance(member, property) else (member,):
                if isinstance(function, FunctionType) and function.__globals__.get("__name__") == thing.__module__:
                    yield function
