"""Fault: what went wrong in a student's code, and what an exception tells about it. explain.py makes the sentence.

This file is long because all that an exception tells is read here.
"""

from __future__ import annotations

import linecache
import re
import traceback
from dataclasses import dataclass
from types import ModuleType, TracebackType
from typing import Literal, get_args

from autograder.plain import plain
from autograder.sandbox.both.forgotten import forgotten_self

Kind = Literal[
    "not_started", "missing_name", "mismatch", "raised", "forbidden", "unusable", "limit", "died", "import_failed",
]  # fmt: skip
#: how a budget or a process ended, one word for each way; "" if none ended
Cause = Literal[
    "", "cpu", "all_cpu", "waited", "busy", "bytes", "steps", "files", "memory", "processes", "recursion",
    "exited", "crashed", "killed", "aborted", "protocol", "all_waited", "large", "not_run",
]  # fmt: skip
#: the classes of exceptions that a student may read about a hidden test; any other is "an error"
KNOWN_ERRORS = (
    "ArithmeticError", "AssertionError", "AttributeError", "AxisError", "EOFError", "FloatingPointError",
    "ImportError", "IndexError", "KeyError", "LinAlgError", "LookupError", "ModuleNotFoundError", "NameError",
    "NotImplementedError", "OSError", "OverflowError", "RuntimeError", "StopIteration", "TypeError",
    "UnboundLocalError", "UnicodeDecodeError", "UnicodeEncodeError", "ValueError", "ZeroDivisionError",
)  # fmt: skip
Modules = tuple[str, ...]  #: names of a student's modules, without .py

NOT_ALLOWED = "which this task does not allow"  #: this is in every sentence about what a task forbids
#: exceptions of a world in which something is forbidden (sandbox/both/standin.py), and what a student should do
CURES = {"ForbiddenUse": "write it with NumPy", "ForbiddenCall": "write it yourself"}
#: a part of a sentence of the line to a worker (sandbox/outside/line.py), and its cause; the first that fits counts
_CAUSES: tuple[tuple[Kind, str, Cause], ...] = (
    ("limit", "this test was not run", "not_run"),
    ("limit", "waited for too long", "waited"),
    ("limit", "without computing, over all tests", "all_waited"),
    ("limit", "of CPU time of the whole submission", "all_cpu"),
    ("limit", "keeps the test busy", "busy"),
    ("limit", "s of CPU time", "cpu"),
    ("limit", "your code wrote more", "files"),
    ("limit", "more than fits into memory", "large"),
    ("limit", "your code returned more", "bytes"),
    ("limit", "steps; does a loop", "steps"),
    ("died", "your code answered with", "protocol"),
    ("died", "ended the process (exit", "exited"),
    ("died", "crashed the interpreter", "crashed"),
    ("died", "was killed", "killed"),
    ("died", "used up all its CPU time", "cpu"),
    ("died", "aborted the interpreter", "aborted"),
)

_NO_ATTRIBUTE = re.compile(r"module '[\w.]+' has no attribute '(\w+)'.*")
_NOT_STARTED = re.compile(r"([\w.]+): not started")
_USE = "fault_use"  #: the attribute of an error that says in which use of an answer it came up


@dataclass(frozen=True)
class Quality:
    """A number that was reached, and the number that was asked for."""

    value: float
    asked: float
    is_floor: bool = True  #: whether `asked` is the least value that passes; else it is the greatest


@dataclass(frozen=True)
class Fault:
    """One fault of a student's code.

    The sentence may hold words that the student's code chose (an exception's text, the name of a helper). The fields
    below it hold none, except `function`, which must be compared with the names in the stub.
    """

    kind: Kind
    sentence: str
    cause: Cause = ""
    error: str = ""  #: the class of the exception, one of KNOWN_ERRORS; "" for any other
    function: str = ""  #: the function in which it was raised, by its name in the student's code
    quality: Quality | None = None


class Mismatch(AssertionError):
    """A value is not what the test expects; `sentence` says what the student should read.

    Args:
        sentence: what is wrong, in words
        quality: the number that was missed, if it may be told about a hidden test too
    """

    def __init__(self, sentence: str, quality: Quality | None = None) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.quality = quality


class StudentError(Exception):
    """An exception that a student's code raised in another process.

    The proxy raises classes derived from this one and from a builtin exception, so that both
    `except ValueError` and `isinstance(error, StudentError)` hold.
    """

    type_name: str = "Exception"  #: the name of the class in the student's code
    message: str = ""
    function: str = ""  #: the student's function in which it was raised
    line: int = 0  #: its line in the student's module; 0 if it is not known
    text: str = ""  #: the text of that line in the module
    file: str = ""  #: the name of the module's file; '' for the main one


def is_no_answer(error: BaseException) -> bool:
    """True for an error that says nothing about an answer: not started, not found, a limit."""
    if isinstance(error, Mismatch) or kind_of(error):
        return True
    return bool(not_started(error) or missing_name(error))


def is_students(error: BaseException, *modules: str) -> bool:
    """True for an error that a student's code caused, even if other code raised it."""
    if is_no_answer(error) or isinstance(error, StudentError) or type_name(error) in CURES:
        return True
    return bool(own_frames(error, *modules))


def not_started(error: BaseException) -> str:
    """Return the name of the function whose stub raised `error`; '' if no stub did."""
    if not isinstance(error, NotImplementedError):
        return ""
    found = _NOT_STARTED.fullmatch(message_of(error).strip())
    return found[1] if found else ""


def missing_name(error: BaseException) -> str:
    """Return the name that a test or its probe did not find in the student's module; '' if there is none."""
    if not isinstance(error, AttributeError):
        return ""
    if isinstance(error, StudentError):  # if no line of the student is known, a probe asked
        found = _NO_ATTRIBUTE.fullmatch(error.message)
        return found[1] if found and not error.line else ""
    owner, frames = error.obj, _frames(error.__traceback__)
    if isinstance(owner, ModuleType):
        asked_by = _base(frames[-1].filename) if frames else ""
        return str(error.name) if asked_by.startswith(f"test_{owner.__name__}") else ""
    return str(error.name) if hasattr(type(owner), "__probe__") else ""


def type_name(error: BaseException) -> str:
    """The name of the class of `error`, as the student knows it."""
    if isinstance(error, StudentError):
        return plain(error.type_name, 80)
    return plain(type(error).__name__, 80)


def own_frames(error: BaseException, *modules: str) -> list[traceback.FrameSummary]:
    """The frames of `error` in the student's own modules, outermost first."""
    return [frame for frame in _frames(error.__traceback__) if own_file(frame.filename, modules)]


def own_file(path: str, modules: Modules) -> str:
    """Return the file's name if it is one of the student's modules; '' for any other file."""
    name = _base(path)
    return name if name.removesuffix(".py") in modules and name.endswith(".py") else ""


def _frames(trace: TracebackType | None) -> list[traceback.FrameSummary]:
    """Summarise the innermost 200 frames of a traceback (a recursion has a thousand)."""
    return list(traceback.extract_tb(trace, limit=-200))


def kind_of(error: BaseException) -> Kind | None:
    """The kind that an error of the sandbox, such as a limit, gives itself."""
    kind = getattr(error, "fault_kind", None)
    return kind if kind in get_args(Kind) else None


def cause_of(kind: Kind, sentence: str) -> Cause:
    """The cause that a sentence of the sandbox means."""
    return next((cause for of, part, cause in _CAUSES if of == kind and part in sentence), "")


def names_an_end(sentence: str) -> bool:
    """Whether a sentence says that a budget or the process ended, also while the module was imported."""
    return any(part in sentence for _kind, part, _cause in _CAUSES)


def is_verdict(error: BaseException) -> bool:
    """True for a plain `assert` or `pytest.fail` in a test."""
    return isinstance(error, AssertionError) or "OutcomeException" in [kind.__name__ for kind in type(error).__mro__]


def _base(path: str) -> str:
    return re.split(r"[\\/]", path)[-1]


def message_of(error: BaseException) -> str:
    """Return what an exception says, and the name of a forgotten `self`."""
    return error.message if isinstance(error, StudentError) else text_of(error) + forgotten_self(error)


def text_of(error: BaseException) -> str:
    """Return str(error); '' if a student's class makes it fail."""
    try:
        text = str(error)
    except Exception:
        return ""
    return text if type(text) is str else ""


def name_use(error: BaseException, what: str, hint: str) -> None:
    """Note on an error which use of a student's answer raised it; the innermost note counts."""
    if not hasattr(error, _USE):
        setattr(error, _USE, (what, hint))


def noted_use(error: BaseException) -> tuple[str, str] | None:
    """Return the note of `name_use`, if there is one: a use of the answer, and a hint."""
    noted = getattr(error, _USE, None)
    return noted if type(noted) is tuple else None


def _own_frame(error: BaseException, modules: Modules) -> traceback.FrameSummary | None:
    """The innermost frame in the student's modules."""
    return next(reversed(own_frames(error, *modules)), None)


def function_of(error: BaseException, modules: Modules) -> str:
    """The innermost function of the student in which `error` was raised; '' if none is known."""
    if isinstance(error, StudentError):
        return plain(error.function, 80)
    frame = _own_frame(error, modules)
    return plain(frame.name, 80) if frame and frame.name != "<module>" else ""


def place_of(error: BaseException, *modules: str) -> str:
    """' (line 41 of softmax.py: `code`)'; '' if no line of the student is known."""
    return at_line(*found_at(error, modules))


def found_at(error: BaseException, modules: Modules) -> tuple[int, str, str]:
    """The line of the student that raised an error, its text and its file."""
    if isinstance(error, StudentError):
        line, text, file = error.line, error.text, own_file(error.file, modules)
    else:
        frame = _own_frame(error, modules)
        line = (frame.lineno or 0) if frame else 0
        text = linecache.getline(frame.filename, line) if frame else ""
        file = _base(frame.filename) if frame else ""
    return line, text, file or f"{modules[0]}.py"


def at_line(line: int, text: str, file: str) -> str:
    """' (line 41 of softmax.py: `code`)', without the code if `text` is empty; '' for line 0."""
    if not line:
        return ""
    code = plain(text, 120).replace("`", "'")
    return f" (line {line} of {file}: `{code}`)" if code else f" (line {line} of {file})"
