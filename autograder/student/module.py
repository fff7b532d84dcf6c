"""Import the student's module that stands beside a test file, by its path and under its own name."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import ModuleType

from autograder.faults import Kind, explain_import, plain
from autograder.student.patience import Patience


class ImportFailed(Exception):
    """The student's module cannot be imported; the text is the sentence for the student."""

    fault_kind: Kind = "import_failed"


def module_path(test_file: Path) -> Path:
    """test_softmax.py and test_softmax_hidden.py both examine softmax.py."""
    name = test_file.stem.removeprefix("test_")
    path = test_file.with_name(f"{name}.py")
    return path if path.exists() else test_file.with_name(f"{name.removesuffix('_hidden')}.py")


@contextmanager
def imported(path: Path, *, patience: float | None = None) -> Iterator[ModuleType]:
    """Import the module at `path`, its folder first on sys.path, and forget it and its neighbours afterwards.

    With `patience` its import may take so many CPU seconds.

    Raises:
        ImportFailed: it is missing, is no valid Python, or raises
    """
    if not path.is_file():
        raise ImportFailed(_missing(path))
    folder, before, were_loaded = str(path.parent), list(sys.path), dict(sys.modules)
    sys.path.insert(0, folder)
    importlib.invalidate_caches()
    try:
        yield _import(path, patience)
    finally:
        sys.path[:] = before
        loaded = sys.modules.keys() - were_loaded.keys()
        for name in [name for name in loaded if _lies_in(path.parent, name)]:
            del sys.modules[name]
        sys.modules.pop(path.stem, None)
        if path.stem in were_loaded:
            sys.modules[path.stem] = were_loaded[path.stem]


def _missing(path: Path) -> str:
    others = [other.name for other in sorted(path.parent.glob("*.py")) if not other.name.startswith("test_")]
    there = f" There is {plain(others[0], 80)}: is it yours, under another name?" if len(others) == 1 else ""
    return f"{path.name} is missing: keep it beside its tests in {path.parent.name}/.{there}"


def _lies_in(folder: Path, name: str) -> bool:
    """True for a module directly in the folder or in a package there (.venv in it is another thing)."""
    top = name.partition(".")[0]
    file = getattr(sys.modules.get(top), "__file__", None)
    return file is not None and Path(file) in (folder / f"{top}.py", folder / top / "__init__.py")


def _import(path: Path, patience: float | None) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    try:
        with Patience(None, path.stem, least=patience) if patience else nullcontext():
            spec.loader.exec_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise ImportFailed(explain_import(error, module=path.stem).sentence) from error
    return module
