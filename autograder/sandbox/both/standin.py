"""Stand-ins: what a student's module finds instead of a package that its task forbids.

The tests of a task that forbids "torch" run in a world without torch. The module must still be imported, because its
other tasks may use torch in every line. So each name of the package is a class that stands in for it: as a base of
classes, a type for annotations and `isinstance`, a decorator, a default argument. While the module is imported, a call
of this class gives an object that does nothing. While a test runs, a call of the class, or a computation with such an
object, raises `ForbiddenUse`. A few functions that compute nothing (`torch.manual_seed`, `torch.no_grad`) do nothing at
any time.

This module is used in the worker, which does not have the package, and in a student's own folder, which may have it.

This file is long because a class has many uses, and each one that Python knows is a method here.
"""

from __future__ import annotations

import ast
import sys
from abc import ABCMeta
from collections.abc import Callable, Iterator, Mapping
from importlib.machinery import ModuleSpec
from types import FrameType, FunctionType, ModuleType
from typing import Any

#: functions that compute nothing, and what they return; None means an object that does nothing
_HARMLESS: dict[str, Any] = {
    "is_tensor": False, "is_storage": False, "is_grad_enabled": False, "is_inference_mode_enabled": False,
    "is_available": False, "is_built": False, "is_initialized": False, "device_count": 0, "get_num_threads": 1,
    "manual_seed": None, "manual_seed_all": None, "seed": None, "set_num_threads": None,
    "set_num_interop_threads": None, "set_default_dtype": None, "set_default_device": None,
    "set_printoptions": None, "use_deterministic_algorithms": None, "set_float32_matmul_precision": None,
    "set_detect_anomaly": None, "set_grad_enabled": None, "empty_cache": None, "device": None,
    "no_grad": None, "enable_grad": None, "inference_mode": None,
}  # fmt: skip
#: decorators that do not change what a function computes
_DECORATORS = frozenset({
    "no_grad", "enable_grad", "inference_mode", "set_grad_enabled", "script", "ignore", "export", "unused", "compile",
    "disable", "once_differentiable", "custom_fwd", "custom_bwd", "set_detect_anomaly", "allow_in_graph", "wrap",
})  # fmt: skip
_SPECIAL = ("__version__", "__all__", "__file__")


class ForbiddenUse(Exception):
    """The student's code uses something of a package that the test's task forbids; str() is its full name.

    Args:
        name: the full name of what was used, such as "torch.nn.Linear"
        function, line: where in the student's module it was used, if the traceback has no frame of that module
    """

    def __init__(self, name: str, function: str = "", line: int = 0) -> None:
        super().__init__(name)
        self.function, self.line = function, line


class ForbiddenCall(ForbiddenUse):
    """The student's code uses a function or class that the test's task forbids, of a package that it allows."""


class World:
    """The packages that are absent for one module, and whether the module is still being imported."""

    def __init__(self, packages: Mapping[str, str], stars: Mapping[str, list[str]] | None = None) -> None:
        """Args:
        packages: each absent package, with the version that its `__version__` gives
        stars: for a module such as "torch.nn": the names that `from torch.nn import *` binds
        """
        self.packages = dict(packages)
        self.stars = dict(stars or {})
        self.is_importing = True
        self.was_used = False  #: by the module, while it was imported
        self._known: dict[str, type] = {}

    def find(self, name: str) -> type:
        """Return the class that stands in for a full name such as "torch.nn.Module"; each time the same class."""
        if name not in self._known:
            last = name.rpartition(".")[2]
            bases = (Thing, Exception) if last.endswith(("Error", "Exception", "Warning")) else (Thing,)
            self._known[name] = Standing(last, bases, {
                "__module__": name.rpartition(".")[0] or name, "_standing": (self, name), "__path__": [],
                "__spec__": ModuleSpec(name, None, is_package=True),
            })  # fmt: skip
        return self._known[name]

    def holds(self, module: str) -> bool:
        return module.partition(".")[0] in self.packages

    def imported(self, name: str, fromlist: Any) -> type:
        """Return what an `import` statement gives for such a module."""
        self.was_used = True
        return self.find(name if fromlist else name.partition(".")[0])

    def use(self, name: str, place: tuple[str, int] = ("", 0)) -> None:
        """Note that `name` is used. Raises: ForbiddenUse, once the module has been imported."""
        if not self.is_importing:
            raise ForbiddenUse(name, *place)

    def install(self) -> None:
        """Give stand-ins to every import of such a package in the whole process. Only where it is not installed."""
        sys.meta_path.insert(0, _Finder(self))
        for name in self.packages:
            sys.modules[name] = self.find(name)  # type: ignore[assignment]

    def execute(self, source: bytes, module: ModuleType) -> None:
        """Run the main module's text, as `run` does; after that its tests may begin."""
        self.run(source, module)
        self.is_importing = False

    def run(self, source: bytes, module: ModuleType) -> None:
        """Run a module's text, which may use absent packages.

        If a statement at its top fails because an object does nothing, the statement is left out. It is not part of the
        functions that the tests of this world ask for.
        """
        namespace, path = vars(module), str(module.__file__)
        at_first = dict(namespace)
        try:
            exec(compile(source, path, "exec", dont_inherit=True), namespace)
        except Exception:
            if not self.was_used:
                raise
            namespace.clear()
            namespace.update(at_first)
            _execute_what_goes(source, path, namespace)


class Standing(ABCMeta):
    """The metaclass of all stand-ins for names. Their attributes are stand-ins too, and to call one is a use."""

    _standing: tuple[World, str]

    def __init__(cls, name: str, bases: tuple[type, ...], names: dict[str, Any], **_keywords: Any) -> None:
        super().__init__(name, bases, names)
        cls._place: tuple[str, int] = ("", 0)
        if "_standing" not in names and bases != () and bases != (_Nothing,):
            frame = _frame_of_class(sys._getframe(1))  # a class in the student's code: remember where it begins
            cls._place = (cls.__qualname__, frame.f_lineno if frame else 0)

    def __new__(mcs, name: str, bases: tuple[type, ...], names: dict[str, Any], **_keywords: Any) -> Standing:
        return super().__new__(mcs, name, bases, names)

    def __getattr__(cls, name: str) -> Any:
        if "_standing" not in vars(cls) and "_standing" not in dir(cls):
            raise AttributeError(name)
        world, full = cls._standing
        if name.startswith("__"):
            return _special(world, full, name)
        if name == "dtype" and "." in full:  # NumPy asks this of a type
            world.use(full)
        return world.find(f"{full}.{name}")

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        world, full = cls._standing
        last = full.rpartition(".")[2]
        is_students = "_standing" not in vars(cls)
        if not is_students and last in _DECORATORS and _is_decorating(args, kwargs):
            return args[0]
        if not is_students and last in _HARMLESS:
            value = _HARMLESS[last]
            return _bare(cls) if value is None else value
        world.use(full, cls._place)
        return _bare(cls)

    def __bool__(cls) -> bool:
        return True

    def __repr__(cls) -> str:
        return f"<{cls._standing[1]}, which is not there>" if hasattr(cls, "_standing") else super().__repr__()

    def __dir__(cls) -> list[str]:
        return sorted({*type.__dir__(cls)})


class _Nothing:
    """An object that does nothing while the module is imported; afterwards each use of it raises ForbiddenUse."""

    _standing: tuple[World, str]
    _place: tuple[str, int]

    def __getattr__(self, name: str) -> Any:
        world, full = _of(self)
        if name.startswith("__"):
            return _special(world, full, name)
        if name == "dtype":  # NumPy asks this of everything that it turns into an array or a type
            world.use(full, type(self)._place)
        return object.__new__(world.find(f"{full}.{name}"))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if _of(self)[1].rpartition(".")[2] in _DECORATORS and _is_decorating(args, kwargs):
            return args[0]
        return _used(self)

    def __enter__(self) -> Any:
        return self if _of(self)[1].rpartition(".")[2] in _HARMLESS else _used(self)

    def __exit__(self, *_error: object) -> None:
        return None

    def __iter__(self) -> Iterator[Any]:
        one = _used(self)
        return iter([one] * _asked_for(sys._getframe(1)))

    def __next__(self) -> Any:
        return _used(self)

    def __len__(self) -> int:
        return 1 if _used(self) is not None else 0

    def __bool__(self) -> bool:
        return _used(self) is not None

    def __int__(self) -> int:
        return len(self)

    def __index__(self) -> int:
        return len(self)

    def __float__(self) -> float:
        return float(len(self))

    def __complex__(self) -> complex:
        return complex(len(self))

    def __contains__(self, _item: object) -> bool:
        return _used(self) is None

    def __setitem__(self, _key: object, _value: object) -> None:
        _used(self)

    def __delitem__(self, _key: object) -> None:
        _used(self)

    def __format__(self, _form: str) -> str:
        return repr(self)

    def __repr__(self) -> str:
        return f"<an object of {_of(self)[1]}, which is not there>"

    def __array__(self, *_args: Any, **_kwargs: Any) -> Any:
        _used(self)
        import numpy as np

        return np.ones(1)


def _used(self: Any, *_args: Any, **_kwargs: Any) -> Any:
    """Use an object. While the module is imported, the result is another object that does nothing."""
    world, full = _of(self)
    place = type(self)._place if isinstance(self, _Nothing) else self._place
    world.use(full, place)
    return object.__new__(world.find(full))


def _of(self: Any) -> tuple[World, str]:
    standing: tuple[World, str] = (type(self) if isinstance(self, _Nothing) else self)._standing
    return standing


_OPERATORS = (
    "add", "sub", "mul", "truediv", "floordiv", "mod", "divmod", "pow", "matmul", "lshift", "rshift",
    "and", "xor", "or",
)  # fmt: skip
for _name in (
    *(f"{side}{name}" for name in _OPERATORS for side in ("", "r", "i") if (side, name) != ("i", "divmod")),
    "neg", "pos", "abs", "invert", "round", "trunc", "floor", "ceil", "lt", "le", "gt", "ge", "getitem",
):  # fmt: skip
    setattr(_Nothing, f"__{_name}__", _used)
for _name in (
    *(f"{side}{name}" for name in _OPERATORS for side in ("", "r") if name != "or"),
    "neg", "pos", "abs", "invert", "lt", "le", "gt", "ge", "iter", "len", "enter", "int", "float", "index",
):  # fmt: skip
    setattr(Standing, f"__{_name}__", _used)  # `|` keeps its meaning: `torch.Tensor | None` is a type


def _leave(_cls: type, *_error: object) -> None:
    return None


Standing.__exit__ = _leave  # type: ignore[attr-defined]


class Thing(_Nothing, metaclass=Standing):
    """The base class of all stand-ins."""

    def __new__(cls, *_args: Any, **_kwargs: Any) -> Any:
        world, full = cls._standing
        world.use(full, cls._place)
        return _bare(cls)

    def __init__(self, *_args: Any, **_kwargs: Any) -> None:
        world, full = _of(self)
        world.use(full, type(self)._place)

    def __init_subclass__(cls, **_keywords: Any) -> None:
        super().__init_subclass__()

    def __class_getitem__(cls, _item: object) -> Any:
        return cls


def _bare(cls: type) -> Any:
    return Exception.__new__(cls) if issubclass(cls, BaseException) else object.__new__(cls)


def _special(world: World, full: str, name: str) -> Any:
    """Return a special name that a module has; any other name with two underscores is absent."""
    if name == "__version__" and full in world.packages:
        return world.packages[full]
    if name == "__file__":
        return f"{full.replace('.', '/')}.py"
    if name == "__all__":
        return world.stars.get(full, [])
    raise AttributeError(name)


def _is_decorating(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    return len(args) == 1 and not kwargs and isinstance(args[0], (FunctionType, type, staticmethod, classmethod))


def _frame_of_class(frame: FrameType | None) -> FrameType | None:
    """Return the frame that runs a `class` statement, from a frame that this statement called."""
    while frame is not None and frame.f_code.co_filename == __file__:
        frame = frame.f_back
    return frame


def _asked_for(frame: FrameType) -> int:
    """Return how many items an iterating statement wants: two for `a, b = ...`, one if it does not say."""
    from dis import opname

    code, place = frame.f_code.co_code, frame.f_lasti
    if opname[code[place]] == "UNPACK_SEQUENCE":
        return code[place + 1]
    if opname[code[place]] == "UNPACK_EX":
        return code[place + 1]  # the names before the star; the names after it need EXTENDED_ARG
    return 1


def _execute_what_goes(source: bytes, path: str, namespace: dict[str, Any]) -> None:
    """Run the statements at the top of a module one by one, and skip those that fail."""
    tree = ast.parse(source, path)
    flags = 0
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            import __future__

            for alias in node.names:
                flags |= getattr(__future__, alias.name).compiler_flag
    for node in tree.body:
        alone = ast.Module([node], [])
        try:
            exec(compile(alone, path, "exec", flags, dont_inherit=True), namespace)
        except Exception:
            continue


class _Finder:
    """Finds every module of the absent packages."""

    def __init__(self, world: World) -> None:
        self._world = world

    def find_spec(self, name: str, _path: Any = None, _target: Any = None) -> ModuleSpec | None:
        return ModuleSpec(name, self, is_package=True) if self._world.holds(name) else None  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> Any:
        return self._world.find(spec.name)

    def exec_module(self, module: Any) -> None:
        return None


def real(name: str) -> Any:
    """Return a package that has been imported; None if it has not been, or if a stand-in is there instead."""
    module = sys.modules.get(name)
    return module if isinstance(module, ModuleType) else None


def importer(world: World, original: Callable[..., Any]) -> Callable[..., Any]:
    """Return an `__import__` that gives stand-ins for the absent packages."""

    def import_what_is_there(
        name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0
    ) -> Any:
        if not level and world.holds(name):
            return world.imported(name, fromlist)
        return original(name, globals, locals, fromlist, level)

    return import_what_is_there
