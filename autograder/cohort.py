"""Cohort: a class of invented students with typical stories, made from a topic's own files.

The demo and the tests grade them. Nothing is drawn: the same topic gives the same parcels, byte for byte.
"""

from __future__ import annotations

import ast
import json
import random
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from autograder.authoring.build import render
from autograder.errors import AuthorError
from autograder.replacements import Mistake
from autograder.restyled import restyled
from autograder.sandbox.both.bundle import bundled_texts, parted_text
from autograder.stub import BEGIN, END, stub_of, to_stub
from autograder.topic import Topic

SLOW = 60.0  #: CPU seconds of a test; if it takes more, most of the class leaves its task open
#: last names, by the first
_LAST = {
    "amara": "Okafor", "bjorn": "Lund", "chen": "Wei", "dalia": "Haddad", "emil": "Novak", "farah": "Rahimi",
    "goran": "Petrovic", "hana": "Sato", "ivo": "Petrov", "jun": "Tanaka", "kofi": "Mensah", "lena": "Fischer",
    "mira": "Sen", "noor": "Aziz",
}  # fmt: skip


@dataclass(frozen=True)
class Member:
    """One invented student and the files handed in."""

    name: str  #: by which the course knows the student
    full: tuple[str, str]  #: first name and last name
    story: str  #: what the student did, in a few words
    files: dict[str, bytes]


def cohort(topic: Topic) -> list[Member]:
    """Return the invented class of an assignment, in the order of names."""
    module, notebook = f"{topic.module}.py", f"{topic.id}.ipynb"
    where = str(topic.solution_path)
    solution = topic.solution
    stub = stub_of(topic)
    slow = [task for task in topic.tasks if task.seconds >= SLOW]
    most = _left_open(solution, {name for task in slow for name in task.names}, where, topic.also)
    but = f"; left {' and '.join(task.number or task.id for task in slow)} open" if slow else ""
    handed_out = render(topic)[notebook]
    finished = _answered(handed_out)
    one, other, several = _mistakes(topic)

    def added(bundle: str, code: str) -> str:
        texts = parted_text(bundle, topic.modules)
        return bundled_texts({**texts, topic.module: texts[topic.module] + code})

    def student(name: str, story: str, code: str, lesson: bytes | None = finished, named: str = module) -> Member:
        main, *further = parted_text(code, topic.modules).items()
        files = {named: main[1].encode(), **{f"{name}.py": text.encode() for name, text in further}}
        return Member(
            name, (name.capitalize(), _LAST[name]), story, files if lesson is None else {**files, notebook: lesson}
        )

    def own(name: str, bundle: str) -> str:
        """The same code as that student would write it."""
        drawn = random.Random(name)
        for alternative in topic.alternatives:
            if bundle.count(alternative.find) == 1 and drawn.random() < 0.5:
                bundle = bundle.replace(alternative.find, alternative.replace)
        texts = parted_text(bundle, topic.modules)
        return bundled_texts({module: restyled(text, name) for module, text in texts.items()})

    return [
        student("amara", "solved everything, answered both questions", solution),
        student("bjorn", "has not started", stub, handed_out),
        student("chen", "did the first half", own("chen", _first_half(solution, where, topic.also))),
        student("dalia", f"one slip: {one.name}{but}", own("dalia", _wrong(most, [one]))),
        student("emil", f"a slip in every second task{but}", own("emil", _wrong(most, several))),
        student("farah", f"another slip: {other.name}", own("farah", _wrong(solution, [other])), handed_out),
        student("goran", "a parenthesis left open", added(own("goran", solution), "\n\nprint((1 + 2\n")),
        student("hana", "sleeps on import", added(own("hana", solution), "\n\nimport time\n\ntime.sleep(1_000_000)\n")),
        student("ivo", f"lost the notebook{but}", own("ivo", most), None),
        student("jun", f"a notebook cut in half{but}", own("jun", most), finished[: len(finished) // 2]),
        student("kofi", "reads the teacher's solution from the disk", added(stub, _thief(topic)), handed_out),
        student("lena", "ends the process with exit code 0", added(stub, _leaver(topic)), handed_out),
        student("mira", f"renamed the first function{but}", own("mira", _renamed(most, topic)), handed_out),
        student(
            "noor",
            f"handed in a browser's second copy of ivo's module{but}",
            own("ivo", most),
            finished,
            f"{topic.module} (1).py",
        ),
    ]


def _answered(notebook: bytes) -> bytes:
    """Write something into every written answer."""
    lesson = json.loads(notebook)
    for cell in lesson["cells"]:
        marks = cell["metadata"].get("nbgrader", {})
        if marks.get("solution"):
            cell["source"] = [f"About {marks['grade_id'].replace('_', ' ')}: because $f(x) \\neq x$, **in general**."]
    return json.dumps(lesson, indent=1).encode()


def _first_half(solution: str, where: str, also: tuple[str, ...]) -> str:
    """Leave the first half of the marked blocks solved, and the second half as it was handed out."""
    lines = solution.split("\n")
    fences = [number for number, line in enumerate(lines) if line.strip() in (BEGIN, END)]
    solved = set(fences[: 2 * (len(fences) // 4)])
    return to_stub("\n".join(line for number, line in enumerate(lines) if number not in solved), where, also)


def _left_open(solution: str, names: set[str], where: str, also: tuple[str, ...]) -> str:
    """Leave the marked blocks of these functions and classes as they were handed out, and solve all others."""
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
    return to_stub("\n".join(line for number, line in enumerate(lines) if number not in solved), where, also)


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
    """Code that reads the solution from its file. It passes if the wall has a hole."""
    path = str(topic.solution_path.resolve())
    return f"\n\ntry:\n    exec(open({path!r}).read())\nexcept OSError:\n    pass\n"


def _leaver(topic: Topic) -> str:
    """Code that ends its process with exit code 0, as if all tests had passed."""
    bound = "".join(f"{name} = _leave\n" for name in _names(topic))
    return f"\n\nimport os\n\n\ndef _leave(*args, **options):\n    os._exit(0)\n\n\n{bound}"


def _renamed(solution: str, topic: Topic) -> str:
    """Rename the first name that is defined, in the whole text."""
    rename: Callable[[str], str] = lambda name: re.sub(rf"\b{name}\b", f"my_{name}", solution)  # noqa: E731
    defined = [name for name in _names(topic) if re.search(rf"^(def|class) {name}\b", solution, re.MULTILINE)]
    return rename(defined[0]) if defined else solution
