"""Siblings: the modules beside the student's main module, written by the student or given, as `import` finds them.

Each of them sees the same world as the main module: the same packages are there, and the same are not.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Collection
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

from autograder.sandbox.both.standin import World


class Siblings:
    """Finds modules and packages of one folder by their names. An entry of `sys.meta_path`."""

    def __init__(
        self, folder: Path, names: Collection[str], world: World, prepare: Callable[[ModuleType], None]
    ) -> None:
        """Args:
        folder: where they are
        names: which of its modules are found
        world: the packages that are absent for them
        prepare: called with each module before it runs
        """
        self._folder = folder
        self._names = frozenset(names)
        self._world = world
        self._prepare = prepare

    def find_spec(self, name: str, _path: Any = None, _target: Any = None) -> ModuleSpec | None:
        """Return how to load a module of that name, None for any other."""
        if name not in self._names:
            return None
        package = self._folder / name / "__init__.py"
        path = package if package.is_file() else self._folder / f"{name}.py"
        loader = _Loader(name, str(path), self._world, self._prepare)
        return importlib.util.spec_from_file_location(name, path, loader=loader)

    def install(self) -> None:
        """Have `import` ask here first."""
        sys.meta_path.insert(0, self)

    def remove(self) -> None:
        """Undo `install`."""
        sys.meta_path.remove(self)


class _Loader(SourceFileLoader):
    def __init__(self, name: str, path: str, world: World, prepare: Callable[[ModuleType], None]) -> None:
        super().__init__(name, path)
        self._world = world
        self._prepare = prepare

    def exec_module(self, module: ModuleType) -> None:
        self._prepare(module)
        self._world.run(self.get_data(self.path), module)
