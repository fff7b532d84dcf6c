"""The gate for imports: a package that the assignment does not offer becomes a placeholder.

If a student leaves `import matplotlib.pyplot as plt` at the top, every task that never draws keeps its marks, because
only a use of the placeholder raises. The gate gives a clear sentence; it is not the wall. The worker cannot see the
packages that are not offered.
"""

from __future__ import annotations

import builtins
import sys
from types import ModuleType
from typing import Any, NoReturn

from autograder.sandbox.both.standin import World, importer


class Placeholder:
    """A value instead of a package that is not offered: any use of it raises ImportError."""

    def __init__(self, name: str, offered: str) -> None:
        self._name = name
        self._offered = offered

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Placeholder(f"{self._name}.{name}", self._offered)

    def _refuse(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise ImportError(f"{self._name} is not offered in this assignment: use {self._offered}")

    __call__ = __iter__ = __getitem__ = __mro_entries__ = __enter__ = __add__ = __mul__ = __matmul__ = _refuse


def close_gate(module: ModuleType, offered: frozenset[str], siblings: frozenset[str], world: World) -> None:
    """Give a module, before it runs, an `import` statement that finds only the packages on offer, and its siblings.

    Packages that are absent in this world, because a task forbids them, become stand-ins (standin.py).
    """
    known = offered | siblings | sys.stdlib_module_names
    words = "NumPy" if offered == {"numpy"} else ", ".join(sorted(offered)) or "the standard library"

    def gated_import(name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0) -> Any:
        top = name.partition(".")[0]
        if level or top in known:
            return builtins.__import__(name, globals, locals, fromlist, level)
        return Placeholder(name if fromlist else top, words)

    module.__dict__["__builtins__"] = vars(builtins) | {"__import__": importer(world, gated_import)}
