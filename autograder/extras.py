"""Extras: packages that single tasks need, and that a machine may lack.

A task with `extra = "tensorflow"` in topic.toml is examined where the package of that name is installed. Elsewhere it
is neither passed nor failed: its points are left out of what can be reached, and whoever reads says why.
"""

from __future__ import annotations

import importlib.util
from functools import cache
from importlib import metadata


@cache
def is_installed(extra: str) -> bool:
    """Say whether the package that an extra is named after can be imported here."""
    return importlib.util.find_spec(extra) is not None


def sentence(extra: str) -> str:
    """Say what is missing, in the same words everywhere."""
    return f"not gradable here: install the {extra} extra"


def version(extra: str) -> str:
    """Name what is installed for an extra; '' where it is not."""
    if not is_installed(extra):
        return ""
    names = metadata.packages_distributions().get(extra, [])
    return " ".join([extra, *(metadata.version(name) for name in dict.fromkeys(names))])
