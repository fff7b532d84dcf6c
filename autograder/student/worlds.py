"""Worlds: the student's module in their own folder, if a test's task forbids a package or a function.

The stand-ins and traps are the same as behind the wall, so the same code gets the same sentence. The module is imported
again for each `forbid` of its tasks; a test gets the module of its own world. The tests can still use the package, to
compare with it: here only `import` in the module gives stand-ins, and a trap allows a test's own calls. So this only
helps honest students; the wall enforces the rule.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

from autograder.faults import Modules
from autograder.forbidden import words_of
from autograder.sandbox.both.standin import ForbiddenCall, World, real
from autograder.sandbox.both.traps import Trap, operators_of, resolve
from autograder.student.module import NotImported, imported

Forbid = tuple[str, ...]
_current: list[Forbid] = [()]  #: what is forbidden in the present test
_importing: list[Path] = []  #: the student's module, while it is imported


@contextmanager
def entered(forbid: Forbid, modules: Modules) -> Iterator[None]:
    """Keep `forbid` from the student's modules until the block ends."""
    _current.append(forbid)
    names = [name for name in forbid if "." in name]
    files = {f"{name}.py" for name in modules}

    def allows() -> bool:
        return bool(_importing) or not _is_asked_by(files)

    trap = Trap(names, allows)
    try:
        with _no_operators(names, allows):
            yield
    finally:
        trap.undo()
        _current.pop()


class StudentsModule(ModuleType):
    """The student's module as it is in the world of the present test."""

    def __init__(self, path: Path, also: Modules, given: Modules, patience: float | None) -> None:
        super().__init__(path.stem)
        vars(self).update(
            _path=path,
            _also=also,
            _given=given,
            _patience=patience,
            _stack=ExitStack(),
            _modules={},
            _errors={},
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self._here(), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._here(), name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._here(), name)

    def __dir__(self) -> list[str]:
        return dir(self._here())

    def __repr__(self) -> str:
        return repr(self._here())

    def _here(self) -> ModuleType:
        """Return the module itself. Raises: NotImported."""
        known, errors, forbid = self._modules, self._errors, _current[-1]
        if forbid in errors:
            raise errors[forbid]
        if forbid not in known:
            _importing.append(self._path)
            try:
                world = _world_of(
                    forbid, [self._path.with_name(f"{name}.py") for name in (self._path.stem, *self._also)]
                )
                known[forbid] = self._stack.enter_context(
                    imported(self._path, also=self._also, given=self._given, patience=self._patience, world=world)
                )
            except NotImported as error:
                errors[forbid] = error
                raise
            finally:
                _importing.pop()
        module: ModuleType = known[forbid]
        sys.modules[self._path.stem] = module
        return module


@contextmanager
def opened(
    path: Path, *, also: Modules = (), given: Modules = (), patience: float | None = None
) -> Iterator[StudentsModule]:
    """Import the module at `path` for the world of the present test, and for other worlds when they are needed.

    Args: as for `imported`

    Raises:
        NotImported: it is missing, is no valid Python, or raises
    """
    module = StudentsModule(path, also, given, patience)
    with vars(module)["_stack"]:
        module._here()
        yield module


def _world_of(forbid: Forbid, paths: list[Path]) -> World:
    source = b"\n".join(path.read_bytes() for path in paths if path.is_file())
    for name in words_of(forbid, source)[1]:
        with suppress(ImportError):
            importlib.import_module(name)  # to find out which names its `*` has
    packages, stars, _functions = words_of(forbid, source)
    return World(packages, stars)


def _is_asked_by(files: set[str]) -> bool:
    """Whether a call comes from a student's file, not from a test or a probe in a test file."""
    frame = sys._getframe(2)
    while frame is not None:
        name = frame.f_code.co_filename.replace("\\", "/").rpartition("/")[2]
        if name in files:
            return True
        if name.startswith("test_"):
            return False
        frame = frame.f_back  # type: ignore[assignment]
    return False


def _no_operators(names: list[str], allows: Any) -> Any:
    """Return a context in which the student's calls of forbidden operators of torch raise."""
    torch = real("torch")
    operators = {name: operators_of(name) for name in names}
    if torch is None or not any(operators.values()):
        return nullcontext()
    forbidden = {id(resolve(name)): name for name, found in operators.items() if found}
    bases = {
        operator.partition("::")[2].partition(".")[0]: name for name, found in operators.items() for operator in found
    }

    class Mode(torch.overrides.TorchFunctionMode):  # type: ignore[misc, name-defined]
        def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            name = forbidden.get(id(function)) or bases.get(getattr(function, "__name__", ""))
            if name and not allows():
                raise ForbiddenCall(name)
            return function(*args, **(kwargs or {}))

    return Mode()
