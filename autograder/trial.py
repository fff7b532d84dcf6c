"""Trial: one test of a student's module, tried once, with what the student is told about it."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from pathlib import Path
from traceback import extract_tb
from types import TracebackType
from typing import Any, Literal, Protocol

from autograder.faults import Fault, explain, own_frames

#: not run: the module cannot be imported; not here: a package is missing that the task needs
Outcome = Literal["passed", "failed", "not_started", "not_run", "not_here"]
_DEEPEST = 5  #: frames of the student's code that are shown, the innermost ones


@dataclass(frozen=True)
class Trial:
    """One public test, tried once."""

    test: str
    file: str  #: the test file
    module: str  #: the student's module, without .py
    task: str
    weight: float
    outcome: Outcome
    sentence: str  #: what went wrong, '' where nothing did
    lesson: str  #: the test's docstring: what to think about
    task_tests: int  #: how many tests the task has in that file, 0 where only some were looked at
    printed: str = ""  #: the end of what a failing test printed


class Terminal(Protocol):
    """The part of pytest's terminal writer that is used here."""

    fullwidth: int

    def line(self, s: str = "", **markup: bool) -> None: ...


class Words:
    """A failure as the student reads it; pytest prints it in place of its own traceback."""

    def __init__(self, fault: Fault, lesson: str, place: str, path: list[str]) -> None:
        self.fault = fault
        self.lesson = lesson
        self.place = place
        self.path = path
        self.reprcrash = Crash(place, fault.sentence)

    def toterminal(self, tw: Terminal) -> None:
        for row in _rows(self.fault.sentence, tw):
            tw.line(row, red=True)
        for row in _rows(f"Think: {self.lesson}" if self.lesson else "", tw):
            tw.line(row)
        for row in self.path:
            tw.line(f"  {row}")
        if self.place:
            tw.line(f"The test: {self.place}", light=True)

    def __str__(self) -> str:
        think = [f"Think: {self.lesson}"] if self.lesson else []
        test = [f"The test: {self.place}"] if self.place else []
        return "\n".join([self.fault.sentence, *think, *self.path, *test])


def _rows(text: str, tw: Terminal) -> list[str]:
    return textwrap.wrap(text, max(tw.fullwidth - 1, 40), subsequent_indent="  ", break_on_hyphens=False)


@dataclass(frozen=True)
class Crash:
    """What --tb=line and JUnit ask of a failure."""

    place: str
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}".removeprefix(": ")


def words(error: BaseException, module: str, lesson: str, test_file: Path, first_line: int) -> Words:
    """Say what happened, where in the student's code it did, and which line of the test asked.

    Args:
        error: what the test ended with
        module: the student's module, without .py
        lesson: the test's docstring, on one line; left out where it has nothing to say to that error
        test_file: where the test stands
        first_line: the test's own line, where no line of it is on the way to the error
    """
    fault = explain(error, module=module)
    frames = own_frames(error, module)
    path = []
    if len(frames) > 1:
        for frame in frames[-_DEEPEST:]:
            path += [f"{module}.py:{frame.lineno} in {frame.name}", f"    {frame.line}"]
    if fault.kind == "import_failed":
        return Words(fault, "", "", [])
    if fault.kind == "missing_name":
        lesson = ""
    asked = [frame.lineno for frame in extract_tb(error.__traceback__) if frame.filename == str(test_file)]
    return Words(fault, lesson, f"{test_file.name}:{asked[-1] if asked else first_line}", path)


def cut_to(error: BaseException, files: set[str]) -> None:
    """Drop the innermost frames that lie outside `files`, so that a debugger opens in one of these."""
    last: TracebackType | None = None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename in files:
            last = trace
        trace = trace.tb_next
    if last is not None:
        last.tb_next = None


def lesson_of(function: Any) -> str:
    """A test's docstring on one line."""
    return " ".join((getattr(function, "__doc__", None) or "").split())
