"""Topic and Task: read and validate one folder of assignments/.

The types at the first door: whatever follows (build, judge, report) takes a `Topic`, never a path or a dict.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from autograder import extras
from autograder.errors import AuthorError
from autograder.replacements import Alternative, Equivalent, Kind, Mistake, read_replacements
from autograder.table import line_of, place, read_toml, refuse_unknown_keys, value_of, words_of

_WORKERS = ("submission", "test")
#: the budgets of a worker: key -> its value where it is not given, the smallest, the largest, and what it counts
_BUDGETS = {
    "memory": (3072, 256, 1 << 20, "MB"),
    "files": (64, 1, 4096, "MB"),
    "processes": (64, 1, 4096, "processes and threads"),
    "answers": (1024, 1, 4096, "MB"),
}
_ID = re.compile(r"[a-z0-9]+(_[a-z0-9]+)*")


@dataclass(frozen=True)
class Task:
    """One graded task of a topic."""

    id: str  #: a word, such as "softmax": the pytest marker, the grade cell and the report use it
    number: str  #: its place in the course, such as "1.2"
    title: str
    names: tuple[str, ...]  #: what a student's module must define for it
    points: float  #: its share of the 90 points that tests grade
    seconds: float = 10.0  #: CPU seconds that one test may take in the student's code
    forbid: tuple[str, ...] = ()  #: what a module may not use, such as "torch.nn.functional.conv2d"
    extra: str = ""  #: a package such as "tensorflow" without which the task cannot be graded
    syllabus: tuple[str, ...] = ()  #: where the course's syllabus asks for it, in its words
    hints: tuple[
        str, ...
    ] = ()  #: what `autograder hint` says, each a step further; released, so never the answer

    @property
    def is_gradable(self) -> bool:
        """Whether what it takes to examine this task is installed here."""
        return not self.extra or extras.is_installed(self.extra)


@dataclass(frozen=True)
class Topic:
    """One assignment as its author wrote it."""

    folder: Path
    title: str
    summary: str
    module: str
    objectives: tuple[str, ...]
    imports: tuple[str, ...]  #: packages that a student's module may import beside the standard library
    memory: int  #: MB that a worker may use
    attempts: int = 0  #: how many different modules a student may have examined; 0 for any number
    feedback: str = "hints"  #: "hints", or "scores" where nothing is said of hidden tests but the score
    tasks: tuple[Task, ...] = field(default=())
    worker: str = "submission"  #: what one process serves: a "submission", or a single "test"
    files: int = _BUDGETS["files"][0]  #: MB that a worker may write
    processes: int = _BUDGETS["processes"][0]  #: threads and processes that a worker may have at once
    answers: int = _BUDGETS["answers"][0]  #: MB that a student's code may return in one test

    @property
    def id(self) -> str:
        """The folder's name: nbgrader's assignment id and the notebook's name."""
        return self.folder.name

    @property
    def solution_path(self) -> Path:
        return self.folder / f"{self.module}.py"

    @property
    def lesson_path(self) -> Path:
        return self.folder / "lesson.py"

    @property
    def public_tests_path(self) -> Path:
        return self.folder / f"test_{self.module}.py"

    @property
    def hidden_tests_path(self) -> Path:
        return self.folder / f"test_{self.module}_hidden.py"

    @property
    def mistakes_path(self) -> Path:
        return self.folder / "mistakes.toml"

    @property
    def points(self) -> float:
        """What the tests of this topic can give in all."""
        return sum(task.points for task in self.tasks)

    @property
    def extras(self) -> tuple[str, ...]:
        """What single tasks need beside `imports`, whether it is installed here or not."""
        return tuple(dict.fromkeys(task.extra for task in self.tasks if task.extra))

    @property
    def packages(self) -> tuple[str, ...]:
        """What a worker shows to a student's module here: `imports`, and the extras that are installed."""
        return (*self.imports, *(extra for extra in self.extras if extras.is_installed(extra)))

    @property
    def needs_torch(self) -> bool:
        return "torch" in self.imports

    def task(self, task_id: str) -> Task:
        """Return the task of that id; KeyError if there is none."""
        for task in self.tasks:
            if task.id == task_id:
                return task
        raise KeyError(task_id)

    @cached_property
    def mistakes(self) -> tuple[Mistake, ...]:
        """The known wrong answers, read on first use.

        Raises:
            AuthorError: mistakes.toml is malformed, names no task of this topic, or does not fit the solution
        """
        return tuple(Mistake(**entry) for entry in self._replacements("mistake"))

    @cached_property
    def alternatives(self) -> tuple[Alternative, ...]:
        """The different right answers, read on first use.

        Raises:
            AuthorError: as for `mistakes`
        """
        return tuple(Alternative(**entry) for entry in self._replacements("alternative"))

    @cached_property
    def equivalents(self) -> tuple[Equivalent, ...]:
        """The mutants that no test can fail, read on first use.

        Raises:
            AuthorError: as for `mistakes`
        """
        return tuple(Equivalent(**entry) for entry in self._replacements("equivalent"))

    def _replacements(self, kind: Kind) -> list[dict[str, str]]:
        solution = self.solution_path.read_text(encoding="utf-8")
        return read_replacements(self.mistakes_path, kind, solution, tuple(task.id for task in self.tasks))


def read_topic(folder: Path) -> Topic:
    """Read one folder of assignments/.

    Raises:
        AuthorError: a file is missing or topic.toml breaks a rule; says where, what, and what to do
    """
    path = folder / "topic.toml"
    table = read_toml(path)
    keys = {"title", "summary", "module", "objectives", "imports", "attempts", "feedback", "worker", "tasks"}
    refuse_unknown_keys(table, keys | _BUDGETS.keys(), str(path))
    title = value_of(table, "title", str, path)
    module = value_of(table, "module", str, path)
    if not _ID.fullmatch(module):
        raise AuthorError(f"{path}: module {module!r} is no module name; use small letters, digits and _")
    worker = value_of(table, "worker", str, path, default="submission")
    if worker not in _WORKERS:
        raise AuthorError(f'{path}: worker is {worker!r}; write "submission", or "test" for a process a test')
    tasks = table.get("tasks")
    if not isinstance(tasks, dict) or not tasks:
        raise AuthorError(f"{path}: no task; add a table such as [tasks.softmax] with points")
    attempts = value_of(table, "attempts", int, path, default=0)
    if attempts < 0:
        raise AuthorError(f"{path}: attempts is {attempts}; give a number such as 5, or 0 for any number")
    feedback = value_of(table, "feedback", str, path, default="hints")
    if feedback not in ("hints", "scores"):
        raise AuthorError(f'{path}: feedback is {feedback!r}; write "hints" or "scores"')
    topic = Topic(
        folder=folder,
        title=title,
        summary=value_of(table, "summary", str, path, default=""),
        module=module,
        objectives=words_of(table, "objectives", path),
        imports=words_of(table, "imports", path),
        memory=_budget(table, "memory", path),
        files=_budget(table, "files", path),
        processes=_budget(table, "processes", path),
        answers=_budget(table, "answers", path),
        attempts=attempts,
        feedback=feedback,
        tasks=tuple(_task(task_id, entry, path) for task_id, entry in tasks.items()),
        worker=worker,
    )
    for needed in (topic.solution_path, topic.lesson_path, topic.public_tests_path,
                   topic.hidden_tests_path, topic.mistakes_path):  # fmt: skip
        if not needed.is_file():
            raise AuthorError(f"{needed}: no such file; an assignment is six files, see CONTRIBUTING.md")
    return topic


def _budget(table: dict[str, Any], key: str, path: Path) -> int:
    usual, least, most, unit = _BUDGETS[key]
    where = line_of(path, key)
    amount = int(value_of(table, key, int, where, default=usual))
    if not least <= amount <= most:
        raise AuthorError(f"{where}: {key} is {amount}; give from {least} to {most} {unit}")
    return amount


def _task(task_id: str, entry: Any, path: Path) -> Task:
    where = f"{place(path, f'[tasks.{task_id}]')}: task {task_id!r}"
    if not _ID.fullmatch(task_id):
        raise AuthorError(f"{where}: no task id; use small letters, digits and _")
    if not isinstance(entry, dict):
        raise AuthorError(f"{where}: must be a table; write [tasks.{task_id}]")
    keys = {"number", "title", "names", "points", "seconds", "forbid", "extra", "hints", "syllabus"}
    refuse_unknown_keys(entry, keys, where)
    points = value_of(entry, "points", (int, float), where)
    if not 0 < points <= 100:
        raise AuthorError(f"{where}: points is {points}; give a number above 0 and up to 100")
    seconds = value_of(entry, "seconds", (int, float), where, default=10.0)
    if not 0 < seconds <= 3600:
        raise AuthorError(f"{where}: seconds is {seconds}; give CPU seconds above 0 and up to 3600")
    extra = value_of(entry, "extra", str, where, default="")
    if extra and not _ID.fullmatch(extra):
        raise AuthorError(f'{where}: extra {extra!r} is no package; name one, such as "tensorflow"')
    return Task(
        id=task_id,
        number=value_of(entry, "number", str, where, default=""),
        title=value_of(entry, "title", str, where),
        names=words_of(entry, "names", where),
        points=float(points),
        seconds=float(seconds),
        forbid=words_of(entry, "forbid", where) if "forbid" in entry else (),
        extra=extra,
        syllabus=words_of(entry, "syllabus", where) if "syllabus" in entry else (),
        hints=words_of(entry, "hints", where) if "hints" in entry else (),
    )
