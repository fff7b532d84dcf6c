"""Surroundings: what a test can change in the examiner's process. It is restored before the next submission.

A test that fails in the middle may leave a setting of NumPy or torch changed, or a list at the top of its file with a
value of the student in it. A mark must not depend on the submissions that were examined before.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from autograder.sandbox.both.wire import WireError
from autograder.sandbox.outside.changes import way_back

WayBack = Callable[[], None]
#: how many levels of values within values are noted at the top of a file
_DEEPEST = 8


class Surroundings:
    """The settings of this process, and the values at the top of some files, as they were noted."""

    def __init__(self) -> None:
        self._ways_back: list[WayBack] = [*_settings(), *_settings_of_torch()]
        self._seen: dict[int, Any] = {}

    def note(self, names: dict[str, Any]) -> None:
        """Note the names of a file and their values, which `restore` restores.

        Args:
            names: a module's namespace
        """
        kept = dict(names)
        for name, value in kept.items():
            if not name.startswith("__"):
                self._note_value(value, names["__name__"], 0)

        def back() -> None:
            if names.keys() != kept.keys() or any(names[name] is not value for name, value in kept.items()):
                names.clear()
                names.update(kept)

        self._ways_back.append(back)

    def restore(self) -> None:
        """Restore everything."""
        for way in self._ways_back:
            way()

    def _note_value(self, value: Any, module: str, depth: int) -> None:
        if id(value) in self._seen or depth > _DEEPEST:
            return
        if hasattr(type(value), "cache_clear") and getattr(value, "__module__", "") == module:
            self._ways_back.append(value.cache_clear)
        if type(value) is set:
            self._ways_back.append(_way_back_of_set(value))
        parts = value.values() if isinstance(value, dict) else value
        if isinstance(value, (list, tuple, set, frozenset, dict)):
            self._seen[id(value)] = value
            for part in parts:
                self._note_value(part, module, depth + 1)
        try:
            if (way := way_back(value)) is not None:
                self._seen[id(value)] = value
                self._ways_back.append(way)
        except WireError:  # it is read-only
            return


def _way_back_of_set(value: set[Any]) -> WayBack:
    kept = set(value)

    def back() -> None:
        value.clear()
        value.update(kept)

    return back


def _settings() -> list[WayBack]:
    errors, printing = np.geterr(), np.get_printoptions()
    filters, environment = list(warnings.filters), dict(os.environ)
    folder, deepest = os.getcwd(), sys.getrecursionlimit()

    def back() -> None:
        np.seterr(**errors)
        np.set_printoptions(**printing)
        if list(warnings.filters) != filters:
            warnings.resetwarnings()
            warnings.filters[:] = filters  # type: ignore[index]
        if dict(os.environ) != environment:
            os.environ.clear()
            os.environ.update(environment)
        os.chdir(folder)
        sys.setrecursionlimit(deepest)

    return [back]


def _settings_of_torch() -> list[WayBack]:
    torch = sys.modules.get("torch")
    if torch is None:
        return []
    dtype, threads = torch.get_default_dtype(), torch.get_num_threads()
    is_strict = torch.are_deterministic_algorithms_enabled()

    def back() -> None:
        torch.set_default_dtype(dtype)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        if torch.are_deterministic_algorithms_enabled() != is_strict:
            torch.use_deterministic_algorithms(is_strict)

    return [back]
