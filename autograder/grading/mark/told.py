"""Told: what a student is told about the hidden tests. It cannot contain a word of the student's code.

A student's code sees the inputs of hidden tests, and chooses its answers, exceptions and names freely. So nothing that
it sent may come back as text. The functions here take values of a few fixed kinds (a member of one of our lists, a name
of the stub, a rounded number) and what the author wrote (topic.toml, docstrings, hints). They return a `Told`, which
nothing else in the package makes. What a worker said goes to the log: `TestResult.sentence`.

The student's code still decides which of these sentences is shown. docs/security.md says how many bits this gives.

This file is long because all that a student can be told of a hidden test must be seen at once.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, get_args

from autograder.faults import KNOWN_ERRORS, Cause, Kind
from autograder.limits import IDLE_SECONDS
from autograder.report.model import Told
from autograder.stub import stub_of
from autograder.suite import task_of
from autograder.syntax import tree_of
from autograder.topic import Task, Topic

NOTHING = Told("")
#: of a test that code without any right answer passes too
WITHHELD = Told("This test passes so far, and counts once another test of the task passes.")
BROKEN = Told("This task could not be examined; a person will look at it. It costs you nothing.")
_LARGEST = 99.99  #: a quality beyond this is shown as this

_BY_KIND: dict[str, str] = {
    "not_started": "Not started yet.",
    "missing_name": "A name of the stub is missing in the module; keep the names of the stub.",
    "import_failed": "The module could not be imported.",
    "forbidden": "Your code uses what this task does not allow: the first page of the assignment names it.",
    "raised": "{where} {error} for an input that the docstring allows.",
    "unusable": "A hidden test could not go on with what your code returned: compare its type and its parts with "
    "what the docstring says.",
    "limit": "{task}: your code went over a budget of a hidden test.",
    "died": "{task}: your code ended the process in a hidden test.",
}
_BY_CAUSE: dict[Cause, str] = {
    "cpu": "{task}: your code used more than {seconds:g} s of CPU time in a hidden test; look for an endless or very "
    "slow loop.",
    "all_cpu": "{task}: your code has used up the CPU time of the whole submission.",
    "waited": "{task}: your code waited for too long without computing; remove sleeps, input() and locks.",
    "all_waited": "{task}: your code has waited for {idle:g} s without computing, over all tests of the submission; "
    "remove sleeps, input() and locks.",
    "not_run": "{task}: a hidden test was not run, because two tests of the same function went over a budget or lost "
    "their process before it.",
    "large": "{task}: what your code returned is too large for a hidden test; return less.",
    "busy": "{task}: your code keeps a hidden test busy for too long; call its functions less, and with less.",
    "bytes": "{task}: your code returned more than {answers} MB in a hidden test.",
    "steps": "{task}: a hidden test took too many steps with your code; does a loop never end?",
    "files": "{task}: your code wrote more than {files} MB of files, or too many of them.",
    "memory": "{task}: your code used more than {memory} MB of memory in a hidden test.",
    "processes": "{task}: your code started more than {processes} threads or processes.",
    "recursion": "{task}: your code calls itself without end in a hidden test.",
    "exited": "{task}: your code ended the program (exit, quit, sys.exit or os._exit); return a value instead.",
    "crashed": "{task}: your code crashed the interpreter (segmentation fault) in a hidden test.",
    "killed": "{task}: your code was killed in a hidden test: it used too much memory or CPU time.",
    "aborted": "{task}: your code aborted the interpreter in a hidden test: it ran out of memory, most likely.",
    "protocol": "{task}: your code answered a hidden test with something that no value of the task needs.",
}
_LESSON = "A hidden test that fails is about this: {lesson}"
_DOCSTRING = "A hidden test of {name} fails. Its docstring begins: {sentence} Read all of it again."
_TASK = "A hidden test fails: read {docstrings} again, and try the edge cases."

_NUMBER = re.compile(r"\d+(?:[.,]\d+)*|\d")
_NUMBER_WORDS = re.compile(
    r"\b(?:eleven|twelve|\w+teen|(?:twen|thir|for|fif|six|seven|eigh|nine)ty|dozens?|hundreds?|thousands?|millions?)\b"
)
_QUOTED = re.compile(r"`([^`]+)`|\"([^\"]+)\"|(?<!\w)'([^']+)'(?!\w)|\[([^\[\]]+)\]")


@dataclass(frozen=True)
class Fact:
    """The outcome of one hidden test, read from an examiner's answer. No field is free text."""

    kind: str = ""  #: one of `faults.Kind`, or ""
    cause: Cause = ""
    error: str = ""  #: one of `faults.KNOWN_ERRORS`, or ""
    function: str = ""  #: one of the names that the stub defines, or ""
    quality: tuple[float, float, bool] | None = None

    @classmethod
    def of(cls, result: Mapping[str, Any], names: Iterable[str]) -> Fact:
        """Read an examiner's answer on one test; a value that is in none of our lists is left out.

        Args:
            result: the answer
            names: what the stub defines
        """
        kind, cause, error = result.get("kind"), result.get("cause"), result.get("error")
        function, quality = result.get("function"), result.get("quality")
        return cls(
            kind=next((known for known in get_args(Kind) if known == kind), ""),
            cause=next((known for known in get_args(Cause) if known == cause), ""),
            error=next((known for known in KNOWN_ERRORS if known == error), ""),
            function=next((known for known in names if known == function), ""),
            quality=(float(quality[0]), float(quality[1]), bool(quality[2])) if quality else None,
        )


@dataclass(frozen=True)
class Teller:
    """Says what students may read about a topic's hidden tests."""

    topic: Topic

    def of_hidden(self, task: Task, fact: Fact, lesson: str, tells: str = "", about: str = "") -> Told:
        """Say what a student may read about a hidden test that failed.

        Args:
            task: the task that it belongs to
            fact: its outcome
            lesson: its docstring
            tells: the sentence that its author chose instead (the marker's `tells`); one of the stub's docstrings
            about: the function or class that it examines, if that is known
        """
        parts = [self._fault(task, fact), self._lesson(task, lesson, tells, about)]
        return Told(" ".join(part for part in parts if part))

    def _fault(self, task: Task, fact: Fact) -> str:
        if fact.quality is not None:
            return _missed(*fact.quality)
        form = _BY_CAUSE.get(fact.cause) or _BY_KIND.get(fact.kind, "")
        topic = self.topic
        return form.format(
            task=task.id,
            seconds=task.seconds,
            answers=topic.answers,
            files=topic.disk,
            memory=topic.memory,
            processes=topic.processes,
            idle=IDLE_SECONDS,
            where=f"{fact.function} raises" if fact.function else "Your code raises",
            error=f"{_article(fact.error)} {fact.error}" if fact.error else "an error",
        )

    def _lesson(self, task: Task, lesson: str, tells: str, about: str) -> str:
        if tells or (lesson and self.is_tellable(lesson, task)):
            return _LESSON.format(lesson=tells or lesson)
        sentence = self.docstrings.get(about, "")
        if sentence:
            return _DOCSTRING.format(name=about, sentence=sentence)
        few = len(task.names) <= 3
        names = " and of ".join(task.names)
        return _TASK.format(docstrings=f"the docstring of {names}" if few else "the docstrings of this task")

    def is_tellable(self, lesson: str, task: Task) -> bool:
        """Whether a hidden test's docstring may be told: all that could be an input in it is also in the stub of its
        task.

        This means every number, in digits or as a word from eleven on, and every text in quotes or brackets.
        """
        stub = self.stubs[task.id]
        known = {*_NUMBER.findall(stub), *_NUMBER_WORDS.findall(stub.lower())}
        words = [*_NUMBER.findall(lesson), *_NUMBER_WORDS.findall(lesson.lower())]
        quoted = ["".join(found) for found in _QUOTED.findall(lesson)]
        return known.issuperset(words) and all(text in stub for text in quoted)

    @cached_property
    def stub(self) -> str:
        """The module as students get it."""
        return stub_of(self.topic)

    @cached_property
    def _definitions(self) -> tuple[tuple[str, ast.FunctionDef | ast.ClassDef], ...]:
        return tuple(_definitions(tree_of(self.stub)))

    @cached_property
    def stubs(self) -> dict[str, str]:
        """task -> the definitions that it asks for, as students get them."""
        sources = {name: ast.unparse(node) for name, node in self._definitions}
        return {
            task.id: "\n".join(sources.get(name, "") for name in (*task.names, *map(_head, task.names)))
            for task in self.topic.tasks
        }

    @cached_property
    def docstrings(self) -> dict[str, str]:
        """Qualified name -> the first sentence of its docstring in the stub."""
        return {
            name: sentence
            for name, node in self._definitions
            if (sentence := _first_sentence(ast.get_docstring(node) or ""))
        }

    @cached_property
    def names(self) -> frozenset[str]:
        """The qualified names of the functions, classes and methods of the stub."""
        return frozenset(name for name, _node in self._definitions)

    def about_test(self, test: str, task: Task) -> str:
        """Return the function or class that a hidden test examines: a name of its task, or "" if that is not clear.

        Args:
            test: its name, with the case in brackets, which may name the function
            task: the task that it belongs to
        """
        name, _, case = test.partition("[")
        words = re.findall(r"\w+", case)
        return self.about.get(name, "") or next((known for known in task.names if known in words), "")

    @cached_property
    def about(self) -> dict[str, str]:
        """Hidden test function -> the first name of its task that the test takes from the module, if there is one."""
        text = self.topic.hidden_tests_path.read_text(encoding="utf-8")
        functions = {node.name: node for node in tree_of(text).body if isinstance(node, ast.FunctionDef)}
        found = {}
        for name, node in functions.items():
            task_id = task_of(node)
            if not task_id:
                continue
            own = list(map(_head, self.topic.task(task_id).names))
            asked = [*_asked(node), *(word for called in _called(node, functions) for word in _asked(called))]
            found[name] = next((word for word in asked if word in own), own[0] if len(own) == 1 else "")
        return found


def of_public(sentence: str, *, is_hidden: bool) -> Told:
    """Tell all that a public test says: its inputs are known, and it ran before any hidden test.

    Raises:
        ValueError: the test is hidden
    """
    if is_hidden:
        raise ValueError("a hidden test's sentence is for the log")
    return Told(sentence)


def of_author(text: str) -> Told:
    """Tell what an author wrote for students: the hint of a known mistake."""
    return Told(text)


def _missed(value: float, asked: float, is_floor: bool) -> str:
    """Say which quality was reached, with two decimals, rounded away from the value that is asked for."""
    value = max(min(value, _LARGEST), -_LARGEST)
    shown = round(value, 2)
    if round(asked, 2) == shown and value != asked:
        shown += -0.01 if is_floor else 0.01
    wanted = f"at {'least' if is_floor else 'most'} {asked:.4g}"
    return f"A quality that is asked for is missed: your code reaches {shown:.2f}, and {wanted} is asked for."


def _head(name: str) -> str:
    """Return the first part of a qualified name: Halver of Halver.halve."""
    return name.partition(".")[0]


def _article(word: str) -> str:
    return "an" if word[:1] in "AEIOU" and not word.startswith("Uni") else "a"


def _definitions(tree: ast.Module) -> Iterable[tuple[str, ast.FunctionDef | ast.ClassDef]]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name, node
        if isinstance(node, ast.ClassDef):
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef):
                    yield f"{node.name}.{inner.name}", inner


def _first_sentence(docstring: str) -> str:
    paragraph = " ".join(docstring.split("\n\n", 1)[0].split())
    return re.split(r"(?<=[.!?])\s", paragraph, maxsplit=1)[0]


def _asked(node: ast.AST) -> Iterable[str]:
    """Give the names that a test, or its helper, takes from the student's module, in the order of the source."""
    for part in ast.walk(node):
        if isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name) and part.value.id == "student":
            yield part.attr
        elif isinstance(part, ast.Call) and ast.unparse(part.func) == "getattr" and len(part.args) > 1:
            name = part.args[1]
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                yield name.value


def _called(node: ast.AST, functions: Mapping[str, ast.FunctionDef]) -> Iterable[ast.FunctionDef]:
    """Give the helpers of the test file that a test calls."""
    for part in ast.walk(node):
        if isinstance(part, ast.Name) and part.id in functions and functions[part.id] is not node:
            yield functions[part.id]
