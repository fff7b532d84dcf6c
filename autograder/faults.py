"""Fault: what went wrong in a student's code, as one sentence, the same in their folder and in the judge."""

from __future__ import annotations

import difflib
import linecache
import re
import traceback
from dataclasses import dataclass
from types import ModuleType, TracebackType
from typing import Literal, get_args

Kind = Literal["not_started", "missing_name", "mismatch", "raised", "limit", "died", "import_failed"]
LONGEST = 500  #: characters of a student's text that a sentence may carry

#: what Python raises where a worker's budget ends: a class, a part of its text, what it means, and which budget
_ENDS = (
    (MemoryError, "", "used more memory than this assignment allows", "memory"),
    (OSError, "No space left on device", "wrote more to files than a test may", "files"),
    (OSError, "File too large", "wrote more to files than a test may", "files"),
    (RuntimeError, "can't start new thread", "started more threads than a test may", "processes"),
)

_ADDRESSES = re.compile(r" at 0x[0-9a-fA-F]{6,16}\b")
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-_])")
#: a third accent, and each further one, on a letter: hundreds of them would cover the lines above and below
_ACCENT = r"[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]"
_TOWERS = re.compile(f"({_ACCENT}{{2}}){_ACCENT}+")
_NO_ATTRIBUTE = re.compile(r"module '[\w.]+' has no attribute '(\w+)'.*")
_NOT_STARTED = re.compile(r"([\w.]+): not started")
_SIGNATURE = re.compile(
    r"Input operand \d has a mismatch in its core dimension \d, with gufunc signature \S+ "
)
_OF_NONE = re.compile(r".*\bNoneType\b.*")
_OF_AN_OBJECT = re.compile(r"'(\w+)' object has no attribute '(\w+)'.*")


@dataclass(frozen=True)
class Fault:
    """One fault of a student's code."""

    kind: Kind
    sentence: str


@dataclass(frozen=True)
class Budgets:
    """What a test may use, in words; empty where nothing holds the code to it, as in a student's own folder."""

    task: str = ""  #: such as "softmax: "
    memory: str = ""  #: such as "1024 MB"
    files: str = ""
    processes: str = ""


class Mismatch(AssertionError):
    """A value is not what the test expects; `sentence` says what the student should read."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


class StudentError(Exception):
    """An exception that a student's code raised in another process.

    The proxy raises classes derived from this one and from a builtin exception, so that both
    `except ValueError` and `isinstance(error, StudentError)` hold.
    """

    type_name: str = "Exception"  #: the class as the student wrote it
    message: str = ""
    function: str = ""  #: the student's function in which it was raised
    line: int = 0  #: its line in the student's module, 0 where it is not known
    text: str = ""  #: that line, as it stands in the module


def explain(error: BaseException, *, module: str, budgets: Budgets | None = None) -> Fault:
    """Say in one sentence what `error` means to the student who wrote `module`.

    Args:
        error: what a test, or the import of the module, ended with
        module: the name of the student's module, without .py
        budgets: what the test may use
    """
    if kind := _declared_kind(error):
        return Fault(kind, plain(text_of(error)))
    if isinstance(error, Mismatch):
        return Fault("mismatch", plain(error.sentence))
    if name := not_started(error):
        return Fault("not_started", f"{plain(name)}: not started yet.")
    if name := missing_name(error):
        return Fault("missing_name", _missing_sentence(name, error, module))
    return Fault("raised", _raised_sentence(error, module, budgets or Budgets()))


def explain_import(error: BaseException, *, module: str) -> Fault:
    """Say in one sentence why the student's module could not be imported."""
    if _declared_kind(error):
        return Fault("import_failed", plain(f"{module}.py could not be imported: {text_of(error)}"))
    if isinstance(error, SyntaxError) and _base(error.filename or "") == f"{module}.py":
        place = _at_line(error.lineno or 0, error.text or "", module)
        return Fault("import_failed", f"{module}.py is not valid Python: {plain(error.msg)}{place}.")
    if type_name(error) == "SystemExit":
        ends = f"{module}.py ends the program when it is imported{place_of(error, module)}."
        return Fault("import_failed", ends)
    said = f"{type_name(error)}: {plain(_message(error))}".rstrip(": ")
    return Fault(
        "import_failed", f"{module}.py cannot be imported. It raised {said}{place_of(error, module)}."
    )


def is_no_answer(error: BaseException) -> bool:
    """True for an error that tells nothing of the student's code: not started, not found, a limit."""
    if isinstance(error, Mismatch) or _declared_kind(error):
        return True
    return bool(not_started(error) or missing_name(error))


def is_students(error: BaseException, module: str) -> bool:
    """True for an error that a student's code caused, whichever code raised it."""
    return is_no_answer(error) or isinstance(error, StudentError) or bool(own_frames(error, module))


def not_started(error: BaseException) -> str:
    """Return the name of the function whose stub raised `error`, or ''."""
    if not isinstance(error, NotImplementedError):
        return ""
    found = _NOT_STARTED.fullmatch(_message(error).strip())
    return found[1] if found else ""


def missing_name(error: BaseException) -> str:
    """Return the name that a test, or a probe of it, asked of the student's module in vain, or ''."""
    if not isinstance(error, AttributeError):
        return ""
    if isinstance(error, StudentError):  # without a line of the student's it was a probe that asked
        found = _NO_ATTRIBUTE.fullmatch(error.message)
        return found[1] if found and not error.line else ""
    owner, frames = error.obj, _frames(error.__traceback__)
    if isinstance(owner, ModuleType):
        asked_by = _base(frames[-1].filename) if frames else ""
        return str(error.name) if asked_by.startswith(f"test_{owner.__name__}") else ""
    return str(error.name) if hasattr(type(owner), "__probe__") else ""


def plain(text: str, longest: int = LONGEST) -> str:
    """Make a student's text safe to show on one line: no escapes, no addresses, no control characters, not endless."""
    text = _ADDRESSES.sub("", _ESCAPES.sub("", text[: 8 * longest]))
    text = " ".join(text.split())
    text = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
    if not text.isascii():
        text = _TOWERS.sub(r"\1", text)
    return text if len(text) <= longest else text[: longest - 4].rstrip() + " ..."


def type_name(error: BaseException) -> str:
    """The class of `error` as the student knows it."""
    if isinstance(error, StudentError):
        return plain(error.type_name, 80)
    return plain(type(error).__name__, 80)


def own_frames(error: BaseException, module: str) -> list[traceback.FrameSummary]:
    """The frames of `error` that lie in the student's own module, outermost first."""
    return [frame for frame in _frames(error.__traceback__) if _base(frame.filename) == f"{module}.py"]


def _frames(trace: TracebackType | None) -> list[traceback.FrameSummary]:
    """Summarise the innermost 200 frames of a traceback (a recursion has a thousand)."""
    return list(traceback.extract_tb(trace, limit=-200))


def _declared_kind(error: BaseException) -> Kind | None:
    """The kind that the sandbox's own errors, such as a limit that was hit, say they are."""
    kind = getattr(error, "fault_kind", None)
    return kind if kind in get_args(Kind) else None


def _base(path: str) -> str:
    return re.split(r"[\\/]", path)[-1]


def _message(error: BaseException) -> str:
    return error.message if isinstance(error, StudentError) else text_of(error)


def text_of(error: BaseException) -> str:
    """Return str(error), or '' where a student's class has made it fail."""
    try:
        text = str(error)
    except Exception:
        return ""
    return text if type(text) is str else ""


def _missing_sentence(name: str, error: BaseException, module: str) -> str:
    names = [known for known in _names_of(getattr(error, "obj", None)) if not known.startswith("_")]
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.7)
    meant = f" There is {plain(close[0], 80)}." if close else ""
    found = f"{plain(name, 80)}: not found in {module}.py.{meant}"
    return f"{found} Did you rename it? Keep the names of the stub."


def _names_of(owner: object) -> list[str]:
    try:
        return [name for name in dir(owner) if type(name) is str]
    except Exception:
        return []


def _raised_sentence(error: BaseException, module: str, budgets: Budgets) -> str:
    function, place = _function(error, module), place_of(error, module)
    if type_name(error) == "SystemExit":
        return f"{function or module} ended the program with sys.exit(){place}."
    for kind, text, words, budget in _ENDS:
        if isinstance(error, kind) and text in _message(error):
            most = getattr(budgets, budget)
            return f"{budgets.task}{function or module} {words}{f', {most}' if most else ''}{place}."
    if isinstance(error, RecursionError):
        return f"{function or module} calls itself without end{place}."
    said = f"{type_name(error)}: {plain(_plainly(_message(error)))}".rstrip(": ")
    if function or place:
        return f"{function or 'The test'} {'raised' if function else 'ended with'} {said}{place}."
    return _unusable(error) or f"The test ended with {said}."


def _plainly(message: str) -> str:
    """Say what does not fit in a matrix product, without NumPy's own notation."""
    return _SIGNATURE.sub("the inner sizes do not fit ", message)


def _unusable(error: BaseException) -> str:
    """Say what is missing of a result that the test could not go on with, or ''."""
    message = _message(error).strip()
    if type_name(error) in ("AttributeError", "TypeError") and _OF_NONE.fullmatch(message):
        return f"The test got None and cannot go on with it: is a return missing? ({plain(message)})"
    if type_name(error) == "AttributeError" and (found := _OF_AN_OBJECT.fullmatch(message)):
        return f"{found[1]} has no attribute {found[2]!r}, which the test asks for: read what its docstring names."
    return ""


def _own_frame(error: BaseException, module: str) -> traceback.FrameSummary | None:
    """The innermost frame in the student's module."""
    return next(reversed(own_frames(error, module)), None)


def _function(error: BaseException, module: str) -> str:
    if isinstance(error, StudentError):
        return plain(error.function, 80)
    frame = _own_frame(error, module)
    return plain(frame.name, 80) if frame and frame.name != "<module>" else ""


def place_of(error: BaseException, module: str) -> str:
    """' (line 41 of softmax.py: `code`)', or '' where no line of the student's is known."""
    if isinstance(error, StudentError):
        line, text = error.line, error.text
    else:
        frame = _own_frame(error, module)
        line = (frame.lineno or 0) if frame else 0
        text = linecache.getline(frame.filename, line) if frame else ""
    return _at_line(line, text, module)


def _at_line(line: int, text: str, module: str) -> str:
    if not line:
        return ""
    code = plain(text, 120).replace("`", "'")
    return f" (line {line} of {module}.py: `{code}`)" if code else f" (line {line} of {module}.py)"
