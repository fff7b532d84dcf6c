"""Scene: details of a failure in the student's own folder: sizes in the student's line, and the lines of the test.

It is used only on the student's own machine. Values are looked at, never called.
"""

from __future__ import annotations

import ast
import linecache
import re
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from types import FrameType
from typing import Any

from autograder.faults import Modules
from autograder.plain import plain

_MOST_NAMES = 5  #: values of one line that are shown
_MOST_ROWS = 7  #: lines of a test that are shown, its last ones
_NAME = re.compile(r"(?<![\w.])[^\W\d]\w*(?:\.[^\W\d]\w*)?")


def sizes(error: BaseException, modules: Modules) -> str:
    """Say how large the arrays are in the student's line that raised `error`; '' if there are none.

    "x is (2, 2), W is (3, 2), b is (3,)" says more about a product that does not fit than NumPy's own message.
    """
    place = _own_place(error, modules)
    if place is None:
        return ""
    frame, line = place
    said: dict[str, str] = {}
    for name in _NAME.findall(linecache.getline(frame.f_code.co_filename, line)):
        shown, value = _value(frame, name)
        if value is not _ABSENT and (size := _size(value)):
            said[shown] = f"{shown} is {size}"
    has_array = any(text.endswith(")") for text in said.values())
    said_first = list(said.values())[:_MOST_NAMES]
    return f"There {', '.join(said_first)}." if has_array else ""


def code_of_test(file: Path, line: int) -> tuple[str, ...]:
    """The lines of a test up to and including that line, which is marked with '>', without the docstring."""
    try:
        text = file.read_text(encoding="utf-8")
        statement = _statement(text, line)
    except (OSError, ValueError, SyntaxError):
        return ()
    if statement is None:
        return ()
    first, last = statement
    rows = list(enumerate(text.splitlines(), 1))[first - 1 : last]
    rows = [(number, row) for number, row in rows if row.strip()]
    indent = min((len(row) - len(row.lstrip()) for _, row in rows), default=0)
    return tuple(f"{'>' if number >= line else ' '} {row[indent:]}" for number, row in rows[-_MOST_ROWS:])


@lru_cache(maxsize=8)
def _tests(text: str) -> tuple[ast.FunctionDef, ...]:
    return tuple(node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef))


def _statement(text: str, line: int) -> tuple[int, int] | None:
    """The first line of a test's body and the last one of the statement at `line`."""
    for test in _tests(text):
        body = test.body[1:] if ast.get_docstring(test) is not None else test.body
        for node in body:
            end = node.end_lineno or node.lineno
            if node.lineno <= line <= end:
                is_block = isinstance(node, ast.For | ast.While | ast.If | ast.With | ast.Try)
                return body[0].lineno, line if is_block else end
    return None


class _Absent:
    pass


_ABSENT = _Absent()


def _value(frame: FrameType, name: str) -> tuple[str, Any]:
    """The value of a local name, or of an attribute that an object itself holds; no code of the student runs."""
    base, _, attribute = name.partition(".")
    value = frame.f_locals.get(base, _ABSENT)
    if not attribute or value is _ABSENT or _size(value):
        return base, value  # for W.T, the size of W is shown
    try:
        return name, object.__getattribute__(value, "__dict__").get(attribute, _ABSENT)
    except AttributeError:
        return name, _ABSENT


def _size(value: Any) -> str:
    """The size of a value: '(2, 3)' for an array or a tensor, a number or None as it is, '' for anything else."""
    from autograder import values

    if value is None:
        return "None"
    if values.is_array(value) or values.is_tensor(value):
        return str(values.shape_of(value))
    if type(value) in (int, float, bool):
        return values.show_number(value)
    if type(value) in (list, tuple):
        return plain(f"a {type(value).__name__} of {len(value)}")
    return ""


def _own_place(error: BaseException, modules: Modules) -> tuple[FrameType, int] | None:
    """The innermost frame of the student's modules in the traceback of `error`, and its line."""
    found, files = None, {f"{name}.py" for name in modules}
    for frame, line in _steps(error):
        if re.split(r"[\\/]", frame.f_code.co_filename)[-1] in files:
            found = frame, line
    return found


def _steps(error: BaseException) -> Iterator[tuple[FrameType, int]]:
    trace = error.__traceback__
    for _ in range(sys.getrecursionlimit() + 100):
        if trace is None:
            return
        yield trace.tb_frame, trace.tb_lineno
        trace = trace.tb_next
