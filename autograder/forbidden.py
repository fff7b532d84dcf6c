"""Forbidden: how a task's `forbid` changes the world in which its tests run.

A whole package ("torch") is absent, and stand-ins replace it (sandbox/both/standin.py). A single function or class
("torch.utils.data.DataLoader") gets a trap (sandbox/both/traps.py). Tests with the same `forbid` share a world.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from importlib import metadata
from types import ModuleType
from typing import Any

_STAR = re.compile(rb"from[ \t]+([\w.]+)[ \t]+import[ \t]*\(?[ \t]*\*")

#: what a worker is told: packages with their versions, the names that `import *` binds, forbidden functions and classes
Words = tuple[dict[str, str], dict[str, list[str]], list[str]]


def packages_of(forbid: Iterable[str]) -> frozenset[str]:
    """Return the packages that are forbidden as a whole."""
    return frozenset(name for name in forbid if "." not in name)


def words_of(forbid: Iterable[str], source: bytes) -> Words:
    """Return what a worker is told about its world before it loads a module.

    Args:
        forbid: as in topic.toml
        source: the module's text; it is only searched for `from torch.nn import *`, to know which names that binds
    """
    packages = packages_of(forbid)
    stars = {name.decode() for name in _STAR.findall(source)} if packages else set()
    return (
        {name: _version(name) for name in sorted(packages)},
        {name: _names_in(name) for name in sorted(stars) if name.partition(".")[0] in packages},
        sorted(name for name in forbid if "." in name),
    )


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "0"


def _names_in(name: str) -> list[str]:
    """Return the names that `import *` takes from a module of a forbidden package, if the module is loaded here."""
    module: Any = sys.modules.get(name)
    if not isinstance(module, ModuleType):
        return []
    names = getattr(module, "__all__", None) or [word for word in vars(module) if not word.startswith("_")]
    return [word for word in names if not _is_foreign(getattr(module, word, None), name.partition(".")[0])]


def _is_foreign(value: Any, package: str) -> bool:
    """Whether a value is a module that a package's module has imported, such as math, or something from `typing`."""
    home = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None) or package
    return isinstance(home, str) and home.partition(".")[0] in sys.stdlib_module_names - {"builtins"}
