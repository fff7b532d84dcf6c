"""Import the student's module beside a test file, by its path and under its own name."""

from __future__ import annotations

import builtins
import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import ModuleType

from autograder.explain import explain_import
from autograder.faults import Kind, Modules
from autograder.plain import plain
from autograder.sandbox.both.siblings import Siblings
from autograder.sandbox.both.standin import World, importer
from autograder.student.deadline import Deadline
from autograder.syntax import NOT_UTF8, is_utf16


class NotImported(Exception):
    """The student's module cannot be imported; the text is the sentence for the student."""

    fault_kind: Kind = "import_failed"


def module_path(test_file: Path) -> Path:
    """The module that a test file examines: softmax.py for test_softmax.py and for test_softmax_hidden.py."""
    name = test_file.stem.removeprefix("test_")
    path = test_file.with_name(f"{name}.py")
    return path if path.exists() else test_file.with_name(f"{name.removesuffix('_hidden')}.py")


@contextmanager
def imported(
    path: Path,
    *,
    also: Modules = (),
    given: Modules = (),
    patience: float | None = None,
    world: World | None = None,
) -> Iterator[ModuleType]:
    """Import the module at `path` with its folder first on sys.path; forget it and its neighbours after the block.

    Args:
        path: the student's main module
        also: the names of the student's further modules
        given: the names of given modules
        patience: CPU seconds that the import may take
        world: the packages that are absent for these modules

    Raises:
        NotImported: it is missing, is no valid Python, or raises
    """
    if not path.is_file():
        raise NotImported(_missing(path))
    for name in (path.stem, *also):
        if (file := path.with_name(f"{name}.py")).is_file() and is_utf16(file.read_bytes()):
            raise NotImported(f"{file.name} {NOT_UTF8}")
    folder, before, were_loaded = str(path.parent), list(sys.path), dict(sys.modules)
    for name in [name for name in were_loaded if name.partition(".")[0] in (*also, *given)]:
        del sys.modules[name]  # they belong to another world, or to another assignment
    sys.path.insert(0, folder)
    importlib.invalidate_caches()
    siblings = None
    if world is not None and world.packages and (also or given):
        siblings = Siblings(path.parent, (*also, *given), world, lambda module: _prepare(module, world))
        siblings.install()
    try:
        yield _import(path, also, patience, world)
    finally:
        if siblings:
            siblings.remove()
        sys.path[:] = before
        loaded = sys.modules.keys() - were_loaded.keys()
        for name in [name for name in loaded if _lies_in(path.parent, name)]:
            del sys.modules[name]
        sys.modules.update(
            (name, module) for name, module in were_loaded.items() if name.partition(".")[0] in (*also, *given)
        )
        sys.modules.pop(path.stem, None)
        if path.stem in were_loaded:
            sys.modules[path.stem] = were_loaded[path.stem]


def _missing(path: Path) -> str:
    others = [other.name for other in sorted(path.parent.glob("*.py")) if not other.name.startswith("test_")]
    there = f" There is {plain(others[0], 80)}: is it yours, under another name?" if len(others) == 1 else ""
    return f"{path.name} is missing: keep it beside its tests in {path.parent.name}/.{there}"


def _lies_in(folder: Path, name: str) -> bool:
    """True for a module directly in the folder or in a package there, but not for one in a .venv there."""
    top = name.partition(".")[0]
    file = getattr(sys.modules.get(top), "__file__", None)
    return file is not None and Path(file) in (folder / f"{top}.py", folder / top / "__init__.py")


def _prepare(module: ModuleType, world: World) -> None:
    """Let `import` in a module give stand-ins for absent packages."""
    given = importer(world, builtins.__import__)
    vars(module)["__builtins__"] = vars(builtins) | {"__import__": given}


def _import(path: Path, also: Modules, patience: float | None, world: World | None) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    try:
        with Deadline(None, (path.stem, *also), least=patience) if patience else nullcontext():
            if world is not None and world.packages:
                _prepare(module, world)
                world.execute(path.read_bytes(), module)
            else:
                spec.loader.exec_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise NotImported(explain_import(error, module=path.stem, also=also).sentence) from error
    return module
