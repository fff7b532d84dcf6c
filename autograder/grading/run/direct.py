"""Direct: read what pytest has collected about a test, so that the examiner can call the test function directly.

Pytest's own protocol (three phases, each with a dozen hooks and a report) costs more than most tests do. A plain test
does not need it: this is a function that takes only our own fixtures and parametrised values. Pytest runs any other
test, for example one with a fixture of the test file, a mark like `skipif` or a set-up function.

`_functions_by_fixture` reads a private attribute of pytest; nothing else in the engine does. If a new pytest no longer
has it, no test is plain: the examiner gives the same results but is slower, and tests/test_direct.py fails.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

#: our fixtures, and the modules that define them; those of an examination come before the plugin's
OURS = {
    "student": "autograder.grading.run.fixtures",
    "reference": "autograder.grading.run.fixtures",
    "seed": "autograder.plugin",
    "rng": "autograder.plugin",
}
_MARKS = {"task", "parametrize"}
_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_PARAMETRISED = "get_direct_param_fixture_func"  #: what pytest calls its stand-in for a parametrised value


@dataclass(frozen=True)
class PlainTest:
    """A test function, the parametrised values of one case, and the names of our fixtures that it takes."""

    function: Callable[..., Any]
    values: Mapping[str, Any]
    fixtures: tuple[str, ...]


def read_plain(item: pytest.Item) -> PlainTest | None:
    """Return what is needed to call a test as pytest would; None if only pytest can run it."""
    if not isinstance(item, pytest.Function) or item.cls is not None:
        return None
    function = item.function
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        return None
    if hasattr(function, "__wrapped__") or {mark.name for mark in item.iter_markers()} - _MARKS:
        return None
    homes = _fixtures_of(item)
    if homes is None:
        return None
    values = dict(item.callspec.params) if hasattr(item, "callspec") else {}
    for name in item.fixturenames:
        if name in values:
            if homes.get(name, ("", ""))[1] != _PARAMETRISED:
                return None
        elif name != "request" and homes.get(name) != (OURS.get(name), name):
            return None
    wanted = _arguments_of(function)
    if wanted is None or not wanted <= values.keys() | OURS.keys():
        return None
    return PlainTest(function, values, tuple(sorted(wanted - values.keys())))


def _arguments_of(function: Callable[..., Any]) -> set[str] | None:
    """Return the names of a test function's arguments; None if they cannot be passed by name."""
    parameters = inspect.signature(function).parameters.values()
    if any(parameter.kind not in _BY_NAME for parameter in parameters):
        return None
    return {parameter.name for parameter in parameters if parameter.default is parameter.empty}


def fixture_functions(item: pytest.Item) -> list[Any]:
    """Return the functions of the fixtures that a test would get; none if pytest does not tell."""
    return list((_functions_by_fixture(item) or {}).values())


def _fixtures_of(item: pytest.Item) -> dict[str, tuple[str, str]] | None:
    """Return the module and function of each fixture that a test would get; None if pytest does not tell."""
    functions = _functions_by_fixture(item)
    if functions is None:
        return None
    try:
        return {name: (found.__module__, found.__name__) for name, found in functions.items()}
    except AttributeError:
        return None


def _functions_by_fixture(item: pytest.Item) -> dict[str, Any] | None:
    try:
        definitions = item._fixtureinfo.name2fixturedefs  # type: ignore[attr-defined]
        return {name: known[-1].func for name, known in definitions.items()}
    except (AttributeError, IndexError):
        return None
