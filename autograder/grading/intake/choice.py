"""Choice: which files of a parcel are the modules. The collector and `autograder submit` both ask here.

So `submit` says exactly what the grader will find. No code of a student runs; a text is only parsed.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field

from autograder.grading.intake import parcel
from autograder.grading.intake.parcel import Complaint, Entry, shown
from autograder.limits import COPIES, LOOKED_AT, MODULE_BYTES
from autograder.names import Definable, parts_of
from autograder.syntax import takes_long, tree_of

_ARCHIVES = (".zip", ".tar.gz", ".tgz")
_FOREIGN_ARCHIVES = (".rar", ".7z", ".tar", ".gz", ".bz2", ".xz", ".tar.bz2", ".tar.xz")
_IMPORT = (ast.Import, ast.ImportFrom)
_NOT_STARTED = ": not started"  #: build puts it into the body of each function of the stub


@dataclass(frozen=True)
class Wanted:
    """What is looked for in a parcel. A grader reads it from the assignment, and a student's folder from its card."""

    modules: tuple[str, ...]  #: the names of the modules, the main one first
    names: tuple[str, ...] = ()  #: what the tasks ask for, by its name at the top level of a module
    given: tuple[str, ...] = ()  #: the names of modules that were handed out; none of them is the student's


@dataclass
class Choice:
    """What was found: the text of each module, and sentences for the student and the teacher."""

    texts: dict[str, bytes] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)  #: further modules that were not found, and why
    complaints: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Read:
    """A Python file that may be the module, as far as its text tells."""

    entry: Entry
    data: bytes
    defined: frozenset[str]  #: names at its top level
    is_untouched: bool  #: whether it defines what a task asks for, and has written none of it


def choose(entries: Sequence[Entry], wanted: Wanted) -> Choice:
    """Choose the modules among the files of a parcel.

    Raises:
        Complaint: no file can be taken as the main module
    """
    main, *further = wanted.modules
    choice = Choice()
    choice.texts[main] = _module(entries, main, wanted, choice.complaints)
    for name in further:
        try:
            choice.texts[name] = _module(entries, name, wanted, choice.complaints)
        except Complaint as complaint:
            choice.missing[name] = str(complaint)
    return choice


def _module(entries: Sequence[Entry], name: str, wanted: Wanted, complaints: list[str]) -> bytes:
    """Choose one module: the file of that name, unless nothing is written in it and another file is worked on; else the
    only file that defines what the tasks ask for; else the only file with a similar name."""
    file = f"{name}.py"
    exact = _exact(entries, file, complaints)
    if exact is not None:
        data = parcel.checked(exact)
        if not _read(exact, data, wanted).is_untouched:
            return data
        worked = [read for read in _others(entries, name, wanted) if not read.is_untouched]
        if not worked:
            return data
        if len(worked) > 1:
            raise Complaint(
                f"nothing is written in {shown(exact.path)}, and {len(worked)} other files are worked on "
                f"({_names([read.entry for read in worked])}); hand in one file, named {file}"
            )
        complaints.append(
            f"nothing is written in {shown(exact.path)}, so {shown(worked[0].entry.path)} was taken as {file}; "
            f"hand in one file, named {file}"
        )
        return worked[0].data
    found = _others(entries, name, wanted)
    if len(found) == 1:
        complaints.append(f"{shown(found[0].entry.path)} was taken as {file}; use that name next time")
        return found[0].data
    raise Complaint(_nothing_found(entries, [read.entry for read in found], file))


def _exact(entries: Sequence[Entry], file: str, complaints: list[str]) -> Entry | None:
    """The file of that name that is nearest to the top; None if there is none."""
    named = sorted((entry for entry in entries if entry.name == file), key=_depth)
    if not named:
        return None
    top = [entry for entry in named if len(entry.path.parts) == len(named[0].path.parts)]
    if len(top) > COPIES:
        raise Complaint(f"{len(top)} files are named {file}; hand in one")
    if len(top) > 1 and len({parcel.checked(entry) for entry in top}) > 1:
        listed = " and ".join(shown(entry.path) for entry in top[:3])
        raise Complaint(f"{len(top)} different files are named {file} ({listed}); hand in one")
    if len(named) > len(top):
        taken = shown(named[0].path)
        complaints.append(f"{len(named)} files are named {file}; the one nearest the top, {taken}, was taken")
    return named[0]


def _others(entries: Sequence[Entry], name: str, wanted: Wanted) -> list[_Read]:
    """The files that may be the module: those that define all that is asked for, else those of a similar name.

    If something is written in one of them, those in which nothing is written are left out. Only the main module can be
    known by what it defines, because topic.toml does not say which module defines what.
    """
    taken = {*wanted.modules, *wanted.given} - {name}
    python = [entry for entry in entries if _is_python(entry) and _stem(entry) not in taken]
    alike = [entry for entry in python if _is_alike(entry, name)]
    is_main = name == wanted.modules[0] and wanted.names
    asked, found = [word.encode() for word in wanted.names], []
    looked = [*alike, *(entry for entry in python if entry not in alike and is_main)]
    for entry in sorted(looked, key=lambda entry: (entry not in alike, _depth(entry)))[:LOOKED_AT]:
        if entry.fault:
            if entry in alike:
                parcel.checked(entry)  # says what is wrong with it
            continue
        data = entry.read()
        if entry in alike or all(word in data for word in asked):
            found.append((entry, data))
        if len(found) >= COPIES:
            break
    read = [_read(entry, data, wanted) for entry, data in found]
    read = [one for one in read if not one.is_untouched] or read
    complete = [one for one in read if is_main and one.defined.issuperset(wanted.names)]
    chosen = complete or [one for one in read if one.entry in alike]
    for one in chosen:
        parcel.checked(one.entry)  # it may be too large
    return list({one.data: one for one in reversed(chosen)}.values())[::-1]  # the same text twice is one


def _read(entry: Entry, data: bytes, wanted: Wanted) -> _Read:
    parts: dict[str, list[ast.stmt]] = {}
    if len(data) <= MODULE_BYTES and not takes_long(data):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about invalid escapes of the student, on the teacher's terminal
                parts = parts_of(tree_of(data))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            parts = {}
    own = [node for name in wanted.names for node in parts.get(name, ()) if not isinstance(node, _IMPORT)]
    return _Read(entry, data, frozenset(parts), bool(own) and not any(map(_is_written, own)))


def _is_written(node: ast.stmt) -> bool:
    """False for a part of the stub: a function or class that raises "not started", a constant that is None."""
    if isinstance(node, Definable):
        texts = (part.value for part in ast.walk(node) if isinstance(part, ast.Constant))
        return not any(isinstance(text, str) and text.endswith(_NOT_STARTED) for text in texts)
    value = getattr(node, "value", None)
    return not (isinstance(value, ast.Constant) and value.value is None)


def _is_python(entry: Entry) -> bool:
    name = entry.name.lower()
    return name.endswith(".py") and not name.startswith("test_")


def _is_alike(entry: Entry, name: str) -> bool:
    """True for the name in other letters, as a part of a longer name, or with other signs between its words."""
    words = r"[ _.-]*".join(map(re.escape, name.split("_")))
    return bool(re.search(rf"(?<![^\W\d_]){words}(?![^\W\d_])", _stem(entry), re.IGNORECASE | re.ASCII))


def _stem(entry: Entry) -> str:
    return re.sub(r"\.py$", "", entry.name, flags=re.IGNORECASE)


def _depth(entry: Entry) -> tuple[int, str]:
    return len(entry.path.parts), str(entry.path)


def _nothing_found(entries: Sequence[Entry], copies: Sequence[Entry], wanted: str) -> str:
    if copies:
        return f"no {wanted}, but {len(copies)} copies ({_names(copies)}); hand in one file of that name"
    packed = [entry for entry in entries if entry.name.lower().endswith(_ARCHIVES + _FOREIGN_ARCHIVES)]
    others = [entry for entry in entries if _is_python(entry) or entry.name.lower().endswith(".ipynb")]
    if packed:
        return f"no {wanted}, only an archive inside the parcel ({_names(packed)}); hand in the file itself"
    if others:
        return f"no {wanted}; found {_names(others)}; hand in your module under that name"
    return f"no {wanted}; the parcel holds {_names(entries) or 'no file'}; hand in your module"


def _names(entries: Sequence[Entry]) -> str:
    first = ", ".join(shown(entry.path) for entry in entries[:5])
    return first + (f" and {len(entries) - 5} more" if len(entries) > 5 else "")
