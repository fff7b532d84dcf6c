"""What can happen behind the wall, as exceptions on the trusted side.

    BaseException
    └── Ended               the worker is gone; no test may catch it by `pytest.raises(Exception)`
        ├── WorkerDied      it exited, crashed or was killed
        ├── LimitExceeded   it ran over a budget
        ├── ProtocolBroken  it sent what no honest worker sends
        └── ImportFailed    the module cannot be loaded at all

What the student's code raises arrives as a `StudentError` that is also an instance of the builtin class it had there.
"""

from __future__ import annotations

import builtins
from functools import cache
from typing import Any

from autograder.faults import StudentError

#: some of these cannot be made from a text; the last two would silently end a loop in the test
_NEVER_RAISED_HERE = {"UnicodeDecodeError", "UnicodeEncodeError", "UnicodeTranslateError", "ExceptionGroup",
                      "StopIteration", "StopAsyncIteration"}  # fmt: skip


class Ended(BaseException):
    """A worker has ended; str() is a sentence for the student."""

    fault_kind = "died"


class WorkerDied(Ended):
    """The process is gone."""


class LimitExceeded(Ended):
    """A budget is used up."""

    fault_kind = "limit"


class ProtocolBroken(Ended):
    """The worker did not speak the protocol."""


class ImportFailed(Ended):
    """The module does not import, so nothing in it can be examined."""

    fault_kind = "import_failed"


def student_error(description: Any) -> StudentError:
    """Return the exception that a worker described; nothing but the text of a description is believed."""
    fields = [*description, *[None] * 7][:7] if type(description) is list else [None] * 7
    type_name, kinds, message, function, line, text, file = fields
    error = _class_for(_first_builtin(kinds))(_text(message, 2000))
    error.type_name = _text(type_name, 80) or "Exception"
    error.message = _text(message, 2000)
    error.function = _text(function, 200)
    error.line = line if type(line) is int and 0 < line < 1_000_000 else 0
    error.text = _text(text, 200)
    error.file = _text(file, 200)
    return error


def _first_builtin(kinds: Any) -> str:
    for name in kinds if type(kinds) is list else ():
        kind = getattr(builtins, name, None) if type(name) is str and name not in _NEVER_RAISED_HERE else None
        if isinstance(kind, type) and issubclass(kind, Exception) and kind.__name__ == name:
            return kind.__name__
    return "Exception"


@cache
def _class_for(name: str) -> type[StudentError]:
    base = getattr(builtins, name)
    return type(name, (StudentError,) if base is Exception else (StudentError, base), {})


def _text(value: Any, limit: int) -> str:
    return value[:limit] if isinstance(value, str) else ""
