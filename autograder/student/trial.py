"""Trial: one run of one test on a student's module, and what the student is told about it."""

from __future__ import annotations

import os
import shlex
import textwrap
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from traceback import extract_tb
from types import TracebackType
from typing import Any, Literal, Protocol

from autograder.explain import explain
from autograder.faults import Fault, Modules, own_frames
from autograder.student.scene import code_of_test, sizes

#: "not_run": the module cannot be imported; "not_here": a package is missing that the task needs
Outcome = Literal["passed", "failed", "not_started", "not_run", "not_here"]
_OURS = f"{Path(__file__).parents[1]}{os.sep}"
_DEEPEST = 5  #: frames of the student's code that are shown, the innermost ones


@dataclass(frozen=True)
class Trial:
    """One run of one public test."""

    test: str
    file: str  #: the test file
    module: str  #: the student's module, without .py
    task: str
    weight: float
    outcome: Outcome
    sentence: str  #: what went wrong; '' if nothing did
    lesson: str  #: the test's docstring: what to think about
    task_tests: int  #: how many tests the task has in that file; 0 if only some were looked at
    printed: str = ""  #: the end of what a failing test printed
    line: int = 0  #: where the test begins in its file
    sizes: str = ""  #: the sizes of the arrays in the student's line that failed
    code: str = ""  #: the lines of the test up to the one that failed
    place: str = ""  #: that line, as file:line

    @property
    def alone(self) -> str:
        """The command that runs this test alone."""
        name = self.test if "[" not in self.test else shlex.quote(self.test)
        return f"pytest -k {name}"


class Terminal(Protocol):
    """The part of pytest's terminal writer that is used here."""

    fullwidth: int

    def line(self, s: str = "", **markup: bool) -> None: ...


class Explanation:
    """A failure as the student reads it; pytest prints it instead of its own traceback."""

    def __init__(self, trial: Trial, path: Sequence[str], *, is_brief: bool) -> None:
        self.trial = trial
        self.path = path
        self.is_brief = is_brief
        self.reprcrash = Crash(trial.place, trial.sentence)

    def toterminal(self, tw: Terminal) -> None:
        for text, markup in self._lines(max(tw.fullwidth - 1, 40)):
            tw.line(text, **markup)

    def __str__(self) -> str:
        return "\n".join(text for text, _ in self._lines(99))

    def _lines(self, width: int) -> Iterator[tuple[str, dict[str, bool]]]:
        """The sentence, what to think about, the frames of the student's code, the test, its command."""
        trial = self.trial
        yield from ((row, {"red": True}) for row in _rows(trial.sentence, width))
        yield from ((row, {}) for row in _rows(trial.sizes, width))
        yield from ((row, {}) for row in _rows(f"Think: {trial.lesson}" if trial.lesson else "", width))
        yield from ((f"  {row}", {}) for row in self.path)
        if not self.is_brief:
            for row in trial.code.splitlines():
                yield f"  {row}", {"bold": True} if row.startswith(">") else {"light": True}
        if trial.place:
            yield f"The test: {trial.place}", {"light": True}
            yield f"Run it alone: {trial.alone}", {"cyan": True}


def _rows(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, subsequent_indent="  ", break_on_hyphens=False)


@dataclass(frozen=True)
class Crash:
    """What --tb=line and JUnit need of a failure."""

    place: str
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}".removeprefix(": ")


@dataclass(frozen=True)
class Told:
    """What a student is told about a failure."""

    fault: Fault
    lesson: str
    path: tuple[str, ...]  #: the frames of the student's code, if there are several
    sizes: str
    code: str
    place: str


def tell(error: BaseException, modules: Modules, lesson: str, test_file: Path, first_line: int) -> Told:
    """Say what happened, where in the student's code, and in which line of the test.

    Args:
        error: what the test ended with
        modules: the names of the student's modules, the main one first
        lesson: the test's docstring, on one line; left out if it does not help with that error
        test_file: the file of the test
        first_line: the line where the test begins, for an error whose traceback has no line of the test
    """
    fault = explain(error, module=modules[0], also=modules[1:])
    if fault.kind == "import_failed":
        return Told(fault, "", (), "", "", "")
    frames = own_frames(error, *modules)
    path = []
    if len(frames) > 1:
        for frame in frames[-_DEEPEST:]:
            path += [f"{Path(frame.filename).name}:{frame.lineno} in {frame.name}", f"    {frame.line}"]
    on_the_way = extract_tb(error.__traceback__)
    asked = [frame.lineno or 0 for frame in on_the_way if frame.filename == str(test_file)]
    code = () if fault.kind == "not_started" else code_of_test(test_file, asked[0] if asked else 0)
    return Told(
        fault=fault,
        lesson="" if fault.kind == "missing_name" else lesson,
        path=tuple(path),
        sizes=sizes(error, modules) if fault.kind == "raised" else "",
        code="\n".join(code),
        place=f"{test_file.name}:{asked[-1] if asked else first_line}",
    )


def cut_to(error: BaseException, files: Collection[str]) -> None:
    """Drop our own frames, and the innermost ones outside `files`, so that only those of student and test are left.

    A debugger then opens in one of these frames, and a traceback shows only code that the student has written or read.
    """
    steps: list[TracebackType] = []
    trace = error.__traceback__
    while trace is not None:
        steps.append(trace)
        trace = trace.tb_next
    while steps and steps[-1].tb_frame.f_code.co_filename not in files:
        steps.pop()
    kept = [step for step in steps if not step.tb_frame.f_code.co_filename.startswith(_OURS)]
    for step, following in zip(kept, [*kept[1:], None], strict=False):
        step.tb_next = following


def lesson_of(function: Any) -> str:
    """A test's docstring on one line."""
    return " ".join((getattr(function, "__doc__", None) or "").split())
