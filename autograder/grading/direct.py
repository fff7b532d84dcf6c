"""Direct: read what pytest collected of a test, so that the examiner can call its function without pytest around it.

Pytest's own protocol (three phases, each through a dozen hooks, each with a report) costs more than most tests do. A
plain test needs nothing of it: a function that takes our own fixtures and parametrised values. Anything else, such as
a fixture of the test file, a mark like `skipif` or a set-up function, stays with pytest.

`_fixtures_of` reads what is private to pytest, and nothing else of the engine does: where a new pytest has it no more,
no test is plain, the examiner is slower and as right as before, and tests/test_direct.py fails.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import CodeType, FunctionType
from typing import Any

import pytest

#: our fixtures, and the modules that define them; an examination's come before the plugin's
OURS = {
    "student": "autograder.grading.fixtures",
    "reference": "autograder.grading.fixtures",
    "seed": "autograder.plugin",
    "rng": "autograder.plugin",
}
_MARKS = {"task", "parametrize"}
#: who asks for these may judge by something else than the answers
_CLOCKS = {
    "time", "timeit", "datetime", "perf_counter", "process_time", "thread_time", "monotonic", "secrets", "urandom",
}  # fmt: skip
_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_PARAMETRISED = "get_direct_param_fixture_func"  #: what pytest calls its stand-in for a parametrised value


@dataclass(frozen=True)
class PlainTest:
    """A test function, the parametrised values of one case, and the names of our fixtures that it takes."""

    function: Callable[..., Any]
    values: Mapping[str, Any]
    fixtures: tuple[str, ...]
    is_steady: bool  #: its verdict follows from the answers alone, not from when they came


def read_plain(item: pytest.Item) -> PlainTest | None:
    """Return what it takes to call a test as pytest would; None if that takes pytest."""
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
    fixtures = tuple(sorted(wanted - values.keys()))
    return PlainTest(function, values, fixtures, _names_in(function).isdisjoint(_CLOCKS))


def _names_in(function: Any) -> set[str]:
    """Return every name that a function uses, and those that functions of its own file use for it."""
    names: set[str] = set()
    seen: set[Any] = set()
    codes = [function.__code__]
    while codes:
        code = codes.pop()
        if code in seen:
            continue
        seen.add(code)
        names.update(code.co_names)
        codes += [part for part in code.co_consts if isinstance(part, CodeType)]
        helpers = [function.__globals__.get(name) for name in code.co_names]
        codes += [
            helper.__code__
            for helper in helpers
            if isinstance(helper, FunctionType) and helper.__globals__ is function.__globals__
        ]
    return names


def _arguments_of(function: Callable[..., Any]) -> set[str] | None:
    """Return the names that a test function has to be given; None if it cannot be called by names."""
    parameters = inspect.signature(function).parameters.values()
    if any(parameter.kind not in _BY_NAME for parameter in parameters):
        return None
    return {parameter.name for parameter in parameters if parameter.default is parameter.empty}


def _fixtures_of(item: pytest.Function) -> dict[str, tuple[str, str]] | None:
    """Return module and function behind each fixture that a test would get; None where pytest does not tell."""
    try:
        definitions = item._fixtureinfo.name2fixturedefs
        functions = {name: known[-1].func for name, known in definitions.items()}
        return {name: (found.__module__, found.__name__) for name, found in functions.items()}
    except (AttributeError, IndexError):
        return None
