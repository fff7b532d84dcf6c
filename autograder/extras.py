"""Extras: packages that single tasks need, and that may be missing on a machine.

A task with `extra = "tensorflow"` in topic.toml is examined if the package of that name is installed. Otherwise it is
neither passed nor failed: its points do not count in the total, and every report says why.
"""

from __future__ import annotations

import importlib.util
from functools import cache
from importlib import metadata


@cache
def is_installed(extra: str) -> bool:
    """Whether the package with the name of an extra can be imported here.

    A folder of that name is not enough: W&B keeps its runs in a folder `wandb` beside the student's module.
    """
    spec = importlib.util.find_spec(extra)
    return spec is not None and spec.origin is not None


def sentence(extra: str) -> str:
    """Say what is missing, in the same words everywhere."""
    return f"not gradable here: install the {extra} extra"


def version(extra: str) -> str:
    """Return the version of an extra that is installed; '' if it is not installed."""
    if not is_installed(extra):
        return ""
    names = metadata.packages_distributions().get(extra, [])
    return " ".join([extra, *(metadata.version(name) for name in dict.fromkeys(names))])
