"""Cohort: a class of invented students, each with a story that graders meet; made of a topic's own files.

The demo and the tests grade them. Nothing is drawn: the same topic gives the same parcels, byte for byte.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from autograder.authoring.build import render
from autograder.authoring.stub import BEGIN, END, to_stub
from autograder.errors import AuthorError
from autograder.replacements import Mistake
from autograder.topic import Topic

SLOW = 60.0  #: CPU seconds of a test from which on most of the class leaves its task open


@dataclass(frozen=True)
class Student:
    """One invented student and the files handed in."""

    name: str
    story: str  #: what the student did, in a few words
    files: dict[str, bytes]


def cohort(topic: Topic) -> list[Student]:
    """Return the invented class of an assignment, in the order of names."""
    module, notebook = f"{topic.module}.py", f"{topic.id}.ipynb"
    where = str(topic.solution_path)
    solution = topic.solution_path.read_text(encoding="utf-8")
    stub = to_stub(solution, where)
    slow = [task for task in topic.tasks if task.seconds >= SLOW]
    most = _left_open(solution, {name for task in slow for name in task.names}, where)
    but = f"; left {' and '.join(task.number or task.id for task in slow)} open" if slow else ""
    handed_out = render(topic)[notebook]
    finished = _answered(handed_out)
    one, other, several = _mistakes(topic)

    def student(
        name: str, story: str, code: str, lesson: bytes | None = finished, named: str = module
    ) -> Student:
        files = {named: code.encode()}
        return Student(name, story, files if lesson is None else {**files, notebook: lesson})

    return [
        student("amara", "solved everything, answered both questions", solution),
        student("bjorn", "has not started", stub, handed_out),
        student("chen", "did the first half", _first_half(solution, where)),
        student("dalia", f"one slip: {one.name}{but}", _wrong(most, [one])),
        student("emil", f"a slip in every second task{but}", _wrong(most, several)),
        student("farah", f"another slip: {other.name}", _wrong(solution, [other]), handed_out),
        student("goran", "a parenthesis left open", f"{solution}\n\nprint((1 + 2\n"),
        student("hana", "sleeps on import", f"{solution}\n\nimport time\n\ntime.sleep(1_000_000)\n"),
        student("ivo", f"lost the notebook{but}", most, None),
        student("jun", f"a notebook cut in half{but}", most, finished[: len(finished) // 2]),
        student("kofi", "reads the teacher's solution from the disk", stub + _thief(topic), handed_out),
        student("lena", "ends the process with exit code 0", stub + _leaver(topic), handed_out),
        student("mira", f"renamed the first function{but}", _renamed(most, topic), handed_out),
        student("noor", f"handed in a browser's second copy{but}", most, finished, f"{topic.module} (1).py"),
    ]


def _answered(notebook: bytes) -> bytes:
    """Write something into every written answer."""
    lesson = json.loads(notebook)
    for cell in lesson["cells"]:
        marks = cell["metadata"].get("nbgrader", {})
        if marks.get("solution"):
            cell["source"] = [
                f"About {marks['grade_id'].replace('_', ' ')}: because $f(x) \\neq x$, **in general**."
            ]
    return json.dumps(lesson, indent=1).encode()


def _first_half(solution: str, where: str) -> str:
    """Leave the first half of the marked blocks solved, and the second half as it was handed out."""
    lines = solution.split("\n")
    fences = [number for number, line in enumerate(lines) if line.strip() in (BEGIN, END)]
    solved = set(fences[: 2 * (len(fences) // 4)])
    return to_stub("\n".join(line for number, line in enumerate(lines) if number not in solved), where)


def _left_open(solution: str, names: set[str], where: str) -> str:
    """Leave the marked blocks of those functions and classes as they were handed out, and solve all others."""
    inside: set[int] = set()
    for node in ast.parse(solution).body:
        if getattr(node, "name", None) in names:
            inside.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines = solution.split("\n")
    fences = [number for number, line in enumerate(lines) if line.strip() in (BEGIN, END)]
    pairs = zip(fences[::2], fences[1::2], strict=True)
    solved = {fence for begin, end in pairs if begin + 1 not in inside for fence in (begin, end)}
    if len(solved) == len(fences):
        return solution
    return to_stub("\n".join(line for number, line in enumerate(lines) if number not in solved), where)


def _mistakes(topic: Topic) -> tuple[Mistake, Mistake, list[Mistake]]:
    """Choose the first known mistake, the last one, and the first of every second task."""
    if not topic.mistakes:
        raise AuthorError(f"{topic.mistakes_path}: no known mistake, and the class makes some; add one")
    first: dict[str, Mistake] = {}
    for mistake in topic.mistakes:
        first.setdefault(mistake.task, mistake)
    ordered = [first[task.id] for task in topic.tasks if task.id in first]
    return ordered[0], topic.mistakes[-1], ordered[::2]


def _wrong(solution: str, mistakes: Iterable[Mistake]) -> str:
    for mistake in mistakes:
        solution = solution.replace(mistake.find, mistake.replace)
    return solution


def _names(topic: Topic) -> list[str]:
    return [name for task in topic.tasks for name in task.names if name.isidentifier()]


def _thief(topic: Topic) -> str:
    """Code that takes the solution where it lies, and passes where the wall has a hole."""
    path = str(topic.solution_path.resolve())
    return f"\n\ntry:\n    exec(open({path!r}).read())\nexcept OSError:\n    pass\n"


def _leaver(topic: Topic) -> str:
    """Code that ends its process in good health, as if all had passed."""
    bound = "".join(f"{name} = _leave\n" for name in _names(topic))
    return f"\n\nimport os\n\n\ndef _leave(*args, **options):\n    os._exit(0)\n\n\n{bound}"


def _renamed(solution: str, topic: Topic) -> str:
    """Give the first name that is defined another name, wherever it stands."""
    rename: Callable[[str], str] = lambda name: re.sub(rf"\b{name}\b", f"my_{name}", solution)  # noqa: E731
    defined = [name for name in _names(topic) if re.search(rf"^(def|class) {name}\b", solution, re.MULTILINE)]
    return rename(defined[0]) if defined else solution
