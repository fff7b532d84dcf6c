"""Fault: what went wrong in a student's code, as one sentence. It is the same in the student's folder and the judge."""

from __future__ import annotations

import difflib
import linecache
import re
import sys
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

#: what Python raises when a worker's budget ends: a class, a part of its text, what it means, and which budget
_ENDS: tuple[tuple[type[Exception], str, str, Cause], ...] = (
    (MemoryError, "", "used more memory than this assignment allows", "memory"),
    (OSError, "No space left on device", "wrote more to files than a test may", "files"),
    (OSError, "File too large", "wrote more to files than a test may", "files"),
    (RuntimeError, "can't start new thread", "started more threads than a test may", "processes"),
)

NOT_ALLOWED = "which this task does not allow"  #: this is in every sentence about what a task forbids
#: exceptions of a world in which something is forbidden (sandbox/both/standin.py), and what a student should do
_FORBIDDEN = {"ForbiddenUse": "write it with NumPy", "ForbiddenCall": "write it yourself"}
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

#: what Python says of something that the grader does not have, and what to do; "{}" is the student's function
_NOT_IN_THE_GRADER: tuple[tuple[str, str], ...] = (
    (r"BdbQuit\b", "{} stops for a debugger, and nobody is there: remove breakpoint() and set_trace()"),
    (r"EOFError: EOF when reading a line|OSError: pytest: reading from stdin", "{} waits for input(): remove it"),
    (
        r"\w+: (Torch not compiled with CUDA|Found no NVIDIA|No CUDA GPUs)",
        "{} asks for a GPU, and there is none here: remove .cuda(), or use device = 'cuda' if "
        "torch.cuda.is_available() else 'cpu'",
    ),
    (
        r"InductorError\b|BackendCompilerFailed\b|\w+: .*TORCHDYNAMO_VERBOSE",
        "{} uses torch.compile, which needs a compiler, and the grader has none: leave it out",
    ),
    (
        r"PermissionError: \[Errno 13\] Permission denied$",
        "{} does what the grader does not allow. Does it start other processes? Then write num_workers=0",
    ),
)
_TOO_MANY = re.compile(r"(?:\w+\.)*(\w+\.\w+)\(\) takes (\d+) positional arguments? but (\d+) (?:was|were) given")
_VERSION = "{}.{}".format(*sys.version_info)

_NO_ATTRIBUTE = re.compile(r"module '[\w.]+' has no attribute '(\w+)'.*")
_NOT_STARTED = re.compile(r"([\w.]+): not started")
_SIGNATURE = re.compile(r"Input operand \d has a mismatch in its core dimension \d, with gufunc signature \S+ ")
_FROM_A_HALF = re.compile(
    r"cannot import name '\w+' from (?:partially initialized module )?'(\w+)'|"
    r"(?:partially initialized )?module '(\w+)' has no attribute"
)
_OF_NONE = re.compile(r".*\bNoneType\b.*")
_OF_AN_OBJECT = re.compile(r"'(\w+)' object has no attribute '(\w+)'.*")
_NOT_SEVERAL = re.compile(r"(?:object of type )?'(\w+)' (?:object is not (?:subscriptable|iterable)|has no len\(\))")
#: an answer that cannot be taken apart into the values that a docstring promises: who says it, and what is wrong
_APART: tuple[tuple[str, str, str], ...] = (
    ("TypeError", r"cannot unpack non-iterable NoneType object", "several values and got None: is a return missing?"),
    ("TypeError", r"cannot unpack non-iterable (\w+) object", "several values and got a single {}{}"),
    ("ValueError", r"not enough values to unpack \(\D+ (\d+), got (\d+)\)", "{} values and got {}{}"),
    ("ValueError", r"too many values to unpack \(expected (\d+)\)", "{} values and got more{}"),
    ("ValueError", r"zip\(\) argument \d+ is (?:shorter|longer) than", "another number of values than it got{}"),
)
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


@dataclass(frozen=True)
class Budgets:
    """What a test may use, in words; empty if nothing limits the code, as in a student's own folder."""

    task: str = ""  #: such as "softmax: "
    memory: str = ""  #: such as "1024 MB"
    files: str = ""
    processes: str = ""


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


def explain(error: BaseException, *, module: str, also: Modules = (), budgets: Budgets | None = None) -> Fault:
    """Say in one sentence what `error` means to the student who wrote `module`.

    Args:
        error: what a test, or the import of the module, ended with
        module: the name of the student's main module, without .py
        also: the names of the student's further modules
        budgets: what the test may use
    """
    modules = (module, *also)
    if kind := _declared_kind(error):
        sentence = plain(text_of(error))
        return Fault(kind, sentence, cause=_cause_of(kind, sentence))
    if isinstance(error, Mismatch):
        return Fault("mismatch", plain(error.sentence), quality=error.quality)
    if name := not_started(error):
        return Fault("not_started", f"{plain(name)}: not started yet.")
    if name := missing_name(error):
        return Fault("missing_name", _missing_sentence(name, error, module))
    if cure := _FORBIDDEN.get(type_name(error)):
        return Fault("forbidden", _forbidden_sentence(error, modules, cure))
    sentence = _raised_sentence(error, modules, budgets or Budgets())
    cause, function = _raised_cause(error), _function(error, modules)
    name = type_name(error) if type_name(error) in KNOWN_ERRORS else ""
    if cause or function or place_of(error, *modules):
        return Fault("raised", sentence, cause, name, function)
    if used := _used(error):
        return Fault("mismatch", used, error=name)
    if apart := _apart(error):
        return Fault("mismatch", apart, error=name)
    # No line of the student raised it, and the solution passes this test, so it is caused by what the code returned.
    # An assertion is the test's own verdict. Any other error may mean that the test asks for more than the docstring.
    return Fault("mismatch" if _is_verdict(error) else "unusable", sentence, error=name)


def explain_import(error: BaseException, *, module: str, also: Modules = ()) -> Fault:
    """Say in one sentence why the student's main module could not be imported."""
    modules = (module, *also)
    if _declared_kind(error):
        return Fault("import_failed", plain(f"{module}.py could not be imported: {text_of(error)}"))
    if isinstance(error, SyntaxError) and (file := _unreadable(error, modules)):
        if isinstance(error, StudentError):
            said, place = error.message, place_of(error, *modules)
        else:
            said, place = error.msg, _at_line(error.lineno or 0, error.text or "", file)
        return Fault("import_failed", f"{file} is not valid Python {_VERSION}: {plain(said)}{place}.")
    if of := _imports_itself(error, modules):
        return Fault("import_failed", f"{of}{place_of(error, *modules)}.")
    if type_name(error) == "SystemExit":
        ends = f"{module}.py ends the program when it is imported{place_of(error, *modules)}."
        return Fault("import_failed", ends)
    said = f"{type_name(error)}: {plain(_message(error))}".rstrip(": ")
    return Fault("import_failed", f"{module}.py cannot be imported. It raised {said}{place_of(error, *modules)}.")


def is_no_answer(error: BaseException) -> bool:
    """True for an error that says nothing about an answer: not started, not found, a limit."""
    if isinstance(error, Mismatch) or _declared_kind(error):
        return True
    return bool(not_started(error) or missing_name(error))


def is_students(error: BaseException, *modules: str) -> bool:
    """True for an error that a student's code caused, even if other code raised it."""
    if is_no_answer(error) or isinstance(error, StudentError) or type_name(error) in _FORBIDDEN:
        return True
    return bool(own_frames(error, *modules))


def not_started(error: BaseException) -> str:
    """Return the name of the function whose stub raised `error`; '' if no stub did."""
    if not isinstance(error, NotImplementedError):
        return ""
    found = _NOT_STARTED.fullmatch(_message(error).strip())
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
    return [frame for frame in _frames(error.__traceback__) if _own_file(frame.filename, modules)]


def _own_file(path: str, modules: Modules) -> str:
    """Return the file's name if it is one of the student's modules; '' for any other file."""
    name = _base(path)
    return name if name.removesuffix(".py") in modules and name.endswith(".py") else ""


def _frames(trace: TracebackType | None) -> list[traceback.FrameSummary]:
    """Summarise the innermost 200 frames of a traceback (a recursion has a thousand)."""
    return list(traceback.extract_tb(trace, limit=-200))


def _declared_kind(error: BaseException) -> Kind | None:
    """The kind that an error of the sandbox, such as a limit, gives itself."""
    kind = getattr(error, "fault_kind", None)
    return kind if kind in get_args(Kind) else None


def _cause_of(kind: Kind, sentence: str) -> Cause:
    """The cause that a sentence of the sandbox means."""
    return next((cause for of, part, cause in _CAUSES if of == kind and part in sentence), "")


def names_an_end(sentence: str) -> bool:
    """Whether a sentence says that a budget or the process ended, also while the module was imported."""
    return any(part in sentence for _kind, part, _cause in _CAUSES)


def _raised_cause(error: BaseException) -> Cause:
    """The cause, if an exception says that a budget or the program ended."""
    if type_name(error) == "SystemExit":
        return "exited"
    if isinstance(error, RecursionError):
        return "recursion"
    for kind, text, _words, budget in _ENDS:
        if isinstance(error, kind) and text in _message(error):
            return budget
    return ""


def _is_verdict(error: BaseException) -> bool:
    """True for a plain `assert` or `pytest.fail` in a test."""
    return isinstance(error, AssertionError) or "OutcomeException" in [kind.__name__ for kind in type(error).__mro__]


def _base(path: str) -> str:
    return re.split(r"[\\/]", path)[-1]


def _message(error: BaseException) -> str:
    return error.message if isinstance(error, StudentError) else text_of(error) + forgotten_self(error)


def text_of(error: BaseException) -> str:
    """Return str(error); '' if a student's class makes it fail."""
    try:
        text = str(error)
    except Exception:
        return ""
    return text if type(text) is str else ""


def _forbidden_sentence(error: BaseException, modules: Modules, cure: str) -> str:
    """Say what was used, where, and what to do; if no line of the student is known, a probe used it."""
    main = f"{modules[0]}.py"
    function = _function(error, modules) or plain(getattr(error, "function", ""), 80)
    line = 0 if own_frames(error, *modules) else getattr(error, "line", 0)
    place = place_of(error, *modules) or _at_line(line, "", main)
    user = function or (main if place else "A test of this task")
    return f"{user} uses {plain(_message(error), 80)}{place}, {NOT_ALLOWED}: {cure}."


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


def _raised_sentence(error: BaseException, modules: Modules, budgets: Budgets) -> str:
    module, function, place = modules[0], _function(error, modules), place_of(error, *modules)
    if type_name(error) == "SystemExit":
        return f"{function or module} ended the program with sys.exit(){place}."
    for kind, text, words, budget in _ENDS:
        if isinstance(error, kind) and text in _message(error):
            most = getattr(budgets, budget)
            return f"{budgets.task}{function or module} {words}{f', {most}' if most else ''}{place}."
    if isinstance(error, RecursionError):
        return f"{function or module} calls itself without end{place}."
    said = f"{type_name(error)}: {plain(_plainly(_message(error)))}".rstrip(": ")
    if cure := _cure(said, function or module):
        return f"{cure}{place}."
    if function or place:
        return f"{function or 'The test'} {'raised' if function else 'ended with'} {said}{place}."
    if _is_verdict(error):
        return f"The test ended with {said}."
    if (found := _TOO_MANY.match(_message(error))) and int(found[3]) == int(found[2]) + 1:
        return f"{plain(_message(error))}: is self its first parameter?"
    return _unusable(error) or f"The test could not go on with what your code gave it: {said}."


def _cure(said: str, who: str) -> str:
    """Say what to do about an error that comes from what the grader does not have; '' for any other error."""
    return next((cure.format(who) for form, cure in _NOT_IN_THE_GRADER if re.match(form, said)), "")


def _imports_itself(error: BaseException, modules: Modules) -> str:
    """Say that a module imports itself, or that two import each other; '' if none does."""
    if not isinstance(error, ImportError | AttributeError):
        return ""
    found = _FROM_A_HALF.match(_message(error).strip())
    name = found[1] or found[2] if found else ""
    if name not in modules:
        return ""
    file = _place(error, modules)[2]
    if file == f"{name}.py":
        return f"{file} imports itself: leave that import out, because all that {file} defines is there by its own name"
    return f"{name}.py and {file} import each other, and neither is complete then: import in one of them only"


def _unreadable(error: SyntaxError, modules: Modules) -> str:
    """The student's file that is not valid Python; '' if it is another file."""
    if isinstance(error, StudentError):
        return _place(error, modules)[2] if error.line else ""
    return _own_file(error.filename or "", modules)


def _plainly(message: str) -> str:
    """Say what does not fit in a matrix product, without NumPy's own notation."""
    return _SIGNATURE.sub("the inner sizes do not fit ", message)


def _unusable(error: BaseException) -> str:
    """Say what is missing in a result with which the test could not go on; '' if that is not known."""
    message = _message(error).strip()
    if type_name(error) in ("AttributeError", "TypeError") and _OF_NONE.fullmatch(message):
        return f"The test got None and cannot go on with it: is a return missing? ({plain(message)})"
    if type_name(error) == "AttributeError" and (found := _OF_AN_OBJECT.fullmatch(message)):
        return f"{found[1]} has no attribute {found[2]!r}, which the test asks for: read what its docstring names."
    if type_name(error) == "KeyError":
        said = f"The test asks for the entry {plain(message, 80)}, and your code gave none"
        return f"{said}: read what the docstring names."
    if type_name(error) == "TypeError" and (found := _NOT_SEVERAL.fullmatch(message)):
        return f"The test needs several values and got a single {found[1]}: read what the docstring says under Returns."
    return ""


def name_use(error: BaseException, what: str, hint: str) -> None:
    """Note on an error which use of a student's answer raised it; the innermost note counts."""
    if not hasattr(error, _USE):
        setattr(error, _USE, (what, hint))


def _used(error: BaseException) -> str:
    """Say which use of an answer failed and how; '' if no test named one, or if the test decided."""
    noted = getattr(error, _USE, None)
    if type(noted) is not tuple or _is_verdict(error):
        return ""
    what, hint = noted
    message = _message(error)
    if type_name(error) in ("AttributeError", "TypeError") and _OF_NONE.fullmatch(message.strip()):
        return plain(f"{what}: the test got None: {hint or 'is a return missing?'}")
    said = _apart(error) or f"{what} ends with {type_name(error)}: {_plainly(message)}".rstrip(": ")
    return plain(said) + (f": {hint}" if hint else "" if said.endswith(".") else ".")


def _apart(error: BaseException) -> str:
    """Say that an answer has another number of values than the docstring promises; '' for any other error."""
    rest = ": read what the docstring says under Returns."
    for name, form, words in _APART:
        if type_name(error) == name and (found := re.match(form, _message(error))):
            return f"The test expects {words.format(*found.groups(), rest)}"
    return ""


def _own_frame(error: BaseException, modules: Modules) -> traceback.FrameSummary | None:
    """The innermost frame in the student's modules."""
    return next(reversed(own_frames(error, *modules)), None)


def _function(error: BaseException, modules: Modules) -> str:
    if isinstance(error, StudentError):
        return plain(error.function, 80)
    frame = _own_frame(error, modules)
    return plain(frame.name, 80) if frame and frame.name != "<module>" else ""


def place_of(error: BaseException, *modules: str) -> str:
    """' (line 41 of softmax.py: `code`)'; '' if no line of the student is known."""
    return _at_line(*_place(error, modules))


def _place(error: BaseException, modules: Modules) -> tuple[int, str, str]:
    """The line of the student that raised an error, its text and its file."""
    if isinstance(error, StudentError):
        line, text, file = error.line, error.text, _own_file(error.file, modules)
    else:
        frame = _own_frame(error, modules)
        line = (frame.lineno or 0) if frame else 0
        text = linecache.getline(frame.filename, line) if frame else ""
        file = _base(frame.filename) if frame else ""
    return line, text, file or f"{modules[0]}.py"


def _at_line(line: int, text: str, file: str) -> str:
    if not line:
        return ""
    code = plain(text, 120).replace("`", "'")
    return f" (line {line} of {file}: `{code}`)" if code else f" (line {line} of {file})"
