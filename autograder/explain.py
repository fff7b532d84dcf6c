"""Explain: what an error means to the student, in one sentence. It is the same in their folder and in the judge.

This file is long because each kind of error has its sentence here.
"""

from __future__ import annotations

import difflib
import re
import sys
from dataclasses import dataclass

from autograder.faults import (
    CURES,
    KNOWN_ERRORS,
    NOT_ALLOWED,
    Cause,
    Fault,
    Mismatch,
    Modules,
    StudentError,
    at_line,
    cause_of,
    found_at,
    function_of,
    is_verdict,
    kind_of,
    message_of,
    missing_name,
    not_started,
    noted_use,
    own_file,
    own_frames,
    place_of,
    text_of,
    type_name,
)
from autograder.plain import plain

#: what Python raises when a worker's budget ends: a class, a part of its text, what it means, and which budget
_ENDS: tuple[tuple[type[Exception], str, str, Cause], ...] = (
    (MemoryError, "", "used more memory than this assignment allows", "memory"),
    (OSError, "No space left on device", "wrote more to files than a test may", "files"),
    (OSError, "File too large", "wrote more to files than a test may", "files"),
    (RuntimeError, "can't start new thread", "started more threads than a test may", "processes"),
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


@dataclass(frozen=True)
class Budgets:
    """What a test may use, in words; empty if nothing limits the code, as in a student's own folder."""

    task: str = ""  #: such as "softmax: "
    memory: str = ""  #: such as "1024 MB"
    files: str = ""
    processes: str = ""


def explain(error: BaseException, *, module: str, also: Modules = (), budgets: Budgets | None = None) -> Fault:
    """Say in one sentence what `error` means to the student who wrote `module`.

    Args:
        error: what a test, or the import of the module, ended with
        module: the name of the student's main module, without .py
        also: the names of the student's further modules
        budgets: what the test may use
    """
    modules = (module, *also)
    if kind := kind_of(error):
        sentence = plain(text_of(error))
        return Fault(kind, sentence, cause=cause_of(kind, sentence))
    if isinstance(error, Mismatch):
        return Fault("mismatch", plain(error.sentence), quality=error.quality)
    if name := not_started(error):
        return Fault("not_started", f"{plain(name)}: not started yet.")
    if name := missing_name(error):
        return Fault("missing_name", _missing_sentence(name, error, module))
    if cure := CURES.get(type_name(error)):
        return Fault("forbidden", _forbidden_sentence(error, modules, cure))
    sentence = _raised_sentence(error, modules, budgets or Budgets())
    cause, function = _raised_cause(error), function_of(error, modules)
    name = type_name(error) if type_name(error) in KNOWN_ERRORS else ""
    if cause or function or place_of(error, *modules):
        return Fault("raised", sentence, cause, name, function)
    if used := _used(error):
        return Fault("mismatch", used, error=name)
    if apart := _apart(error):
        return Fault("mismatch", apart, error=name)
    # No line of the student raised it, and the solution passes this test, so it is caused by what the code returned.
    # An assertion is the test's own verdict. Any other error may mean that the test asks for more than the docstring.
    return Fault("mismatch" if is_verdict(error) else "unusable", sentence, error=name)


def explain_import(error: BaseException, *, module: str, also: Modules = ()) -> Fault:
    """Say in one sentence why the student's main module could not be imported."""
    modules = (module, *also)
    if kind_of(error):
        return Fault("import_failed", plain(f"{module}.py could not be imported: {text_of(error)}"))
    if isinstance(error, SyntaxError) and (file := _unreadable(error, modules)):
        if isinstance(error, StudentError):
            said, place = error.message, place_of(error, *modules)
        else:
            said, place = error.msg, at_line(error.lineno or 0, error.text or "", file)
        return Fault("import_failed", f"{file} is not valid Python {_VERSION}: {plain(said)}{place}.")
    if of := _imports_itself(error, modules):
        return Fault("import_failed", f"{of}{place_of(error, *modules)}.")
    if type_name(error) == "SystemExit":
        ends = f"{module}.py ends the program when it is imported{place_of(error, *modules)}."
        return Fault("import_failed", ends)
    said = f"{type_name(error)}: {plain(message_of(error))}".rstrip(": ")
    return Fault("import_failed", f"{module}.py cannot be imported. It raised {said}{place_of(error, *modules)}.")


def _raised_cause(error: BaseException) -> Cause:
    """The cause, if an exception says that a budget or the program ended."""
    if type_name(error) == "SystemExit":
        return "exited"
    if isinstance(error, RecursionError):
        return "recursion"
    for kind, text, _words, budget in _ENDS:
        if isinstance(error, kind) and text in message_of(error):
            return budget
    return ""


def _forbidden_sentence(error: BaseException, modules: Modules, cure: str) -> str:
    """Say what was used, where, and what to do; if no line of the student is known, a probe used it."""
    main = f"{modules[0]}.py"
    function = function_of(error, modules) or plain(getattr(error, "function", ""), 80)
    line = 0 if own_frames(error, *modules) else getattr(error, "line", 0)
    place = place_of(error, *modules) or at_line(line, "", main)
    user = function or (main if place else "A test of this task")
    return f"{user} uses {plain(message_of(error), 80)}{place}, {NOT_ALLOWED}: {cure}."


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
    module, function, place = modules[0], function_of(error, modules), place_of(error, *modules)
    if type_name(error) == "SystemExit":
        return f"{function or module} ended the program with sys.exit(){place}."
    for kind, text, words, budget in _ENDS:
        if isinstance(error, kind) and text in message_of(error):
            most = getattr(budgets, budget)
            return f"{budgets.task}{function or module} {words}{f', {most}' if most else ''}{place}."
    if isinstance(error, RecursionError):
        return f"{function or module} calls itself without end{place}."
    said = f"{type_name(error)}: {plain(_plainly(message_of(error)))}".rstrip(": ")
    if cure := _cure(said, function or module):
        return f"{cure}{place}."
    if function or place:
        return f"{function or 'The test'} {'raised' if function else 'ended with'} {said}{place}."
    if is_verdict(error):
        return f"The test ended with {said}."
    if (found := _TOO_MANY.match(message_of(error))) and int(found[3]) == int(found[2]) + 1:
        return f"{plain(message_of(error))}: is self its first parameter?"
    return _unusable(error) or f"The test could not go on with what your code gave it: {said}."


def _cure(said: str, who: str) -> str:
    """Say what to do about an error that comes from what the grader does not have; '' for any other error."""
    return next((cure.format(who) for form, cure in _NOT_IN_THE_GRADER if re.match(form, said)), "")


def _imports_itself(error: BaseException, modules: Modules) -> str:
    """Say that a module imports itself, or that two import each other; '' if none does."""
    if not isinstance(error, ImportError | AttributeError):
        return ""
    found = _FROM_A_HALF.match(message_of(error).strip())
    name = found[1] or found[2] if found else ""
    if name not in modules:
        return ""
    file = found_at(error, modules)[2]
    if file == f"{name}.py":
        return f"{file} imports itself: leave that import out, because all that {file} defines is there by its own name"
    return f"{name}.py and {file} import each other, and neither is complete then: import in one of them only"


def _unreadable(error: SyntaxError, modules: Modules) -> str:
    """The student's file that is not valid Python; '' if it is another file."""
    if isinstance(error, StudentError):
        return found_at(error, modules)[2] if error.line else ""
    return own_file(error.filename or "", modules)


def _plainly(message: str) -> str:
    """Say what does not fit in a matrix product, without NumPy's own notation."""
    return _SIGNATURE.sub("the inner sizes do not fit ", message)


def _unusable(error: BaseException) -> str:
    """Say what is missing in a result with which the test could not go on; '' if that is not known."""
    message = message_of(error).strip()
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


def _used(error: BaseException) -> str:
    """Say which use of an answer failed and how; '' if no test named one, or if the test decided."""
    noted = noted_use(error)
    if noted is None or is_verdict(error):
        return ""
    what, hint = noted
    message = message_of(error)
    if type_name(error) in ("AttributeError", "TypeError") and _OF_NONE.fullmatch(message.strip()):
        return plain(f"{what}: the test got None: {hint or 'is a return missing?'}")
    said = _apart(error) or f"{what} ends with {type_name(error)}: {_plainly(message)}".rstrip(": ")
    return plain(said) + (f": {hint}" if hint else "" if said.endswith(".") else ".")


def _apart(error: BaseException) -> str:
    """Say that an answer has another number of values than the docstring promises; '' for any other error."""
    rest = ": read what the docstring says under Returns."
    for name, form, words in _APART:
        if type_name(error) == name and (found := re.match(form, message_of(error))):
            return f"The test expects {words.format(*found.groups(), rest)}"
    return ""
