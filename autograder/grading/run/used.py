"""Used: the functions and classes of the student's module that a test uses, read from the test's code."""

from __future__ import annotations

import dis
import inspect
from collections.abc import Iterator
from types import CodeType, FunctionType
from typing import Any

import pytest

from autograder.grading.run.direct import fixture_functions
from autograder.topic import Topic

#: the name of the student's module in tests, helpers and probes
_STUDENT = "student"


def names_used(item: pytest.Item, topic: Topic) -> frozenset[str]:
    """Return the names of the student's module that a test uses, as far as its code shows.

    A name counts everywhere in the test: as an attribute or a text, in helpers, probes and fixtures of its file, and
    among its parametrised values.
    """
    known = {name for task in topic.tasks for name in task.names}
    found = set(_texts_in(getattr(getattr(item, "callspec", None), "params", {}))) & known
    seen: set[Any] = set()
    functions = [getattr(item, "function", None), *fixture_functions(item)]
    while functions:
        function = inspect.unwrap(functions.pop())
        if not isinstance(function, FunctionType) or function in seen:
            continue
        seen.add(function)
        for code in _codes_of(function.__code__):
            found |= known.intersection({*_attributes_in(code), *_texts_in(code.co_consts)})
            functions += [
                value
                for name in code.co_names
                if isinstance(value := function.__globals__.get(name), FunctionType)
                and inspect.unwrap(value).__globals__ is function.__globals__
            ]
    return frozenset(found)


def _codes_of(code: CodeType) -> Iterator[CodeType]:
    yield code
    for part in code.co_consts:
        if isinstance(part, CodeType):
            yield from _codes_of(part)


def _attributes_in(code: CodeType) -> Iterator[str]:
    """Give the names that a function's code takes from `student`; if it has no such variable, all names in it.

    So `x.double()` of a tensor does not count as a use of the student's function `double`.
    """
    if _STUDENT not in (*code.co_varnames, *code.co_freevars, *code.co_cellvars):
        yield from code.co_names
        return
    owner = ""
    for step in dis.get_instructions(code):
        if step.opname in ("LOAD_ATTR", "LOAD_METHOD") and owner == _STUDENT:
            yield str(step.argval)
        owner = str(step.argval) if step.opname.startswith(("LOAD_FAST", "LOAD_DEREF")) else ""


def _texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from _texts_in(list(value.values()))
    elif isinstance(value, (list, tuple, set, frozenset)):
        for part in value:
            yield from _texts_in(part)
