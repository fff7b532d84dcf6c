"""Topic and Task: read and validate one folder of assignments/.

Types are checked here: all later code (build, judge, report) takes a `Topic`, never a path or a dict.

This file is long because each rule of topic.toml is here, with the sentence that its author reads.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from autograder import extras
from autograder.errors import AuthorError
from autograder.given import modules_among, read_given
from autograder.limits import MEMORY_MB, PROCESSES, SCRATCH_MB, SUBMISSION_BYTES, TEST_BYTES, TEST_SECONDS
from autograder.replacements import Alternative, Equivalent, Kind, Mistake, read_replacements
from autograder.sandbox.both.bundle import bundled_texts
from autograder.table import line_of, place, read_toml, refuse_unknown_keys, value_of, words_of

_WORKERS = ("submission", "test")
#: the budgets of a worker: key -> its usual value, the smallest, the largest, and what it counts
_BUDGETS = {
    "memory": (MEMORY_MB, 256, 1 << 20, "MB"),
    "disk": (SCRATCH_MB, 1, 4096, "MB"),
    "processes": (PROCESSES, 1, 4096, "processes and threads"),
    "answers": (TEST_BYTES >> 20, 1, SUBMISSION_BYTES >> 20, "MB"),
}
#: the keys of topic.toml, and those of a task's table
KEYS = frozenset(
    "title summary module objectives imports attempts feedback worker tools also files tasks".split()
) | _BUDGETS.keys()  # fmt: skip
TASK_KEYS = frozenset("number title names points seconds forbid extra hints".split())
_ID = re.compile(r"[a-z0-9]+(_[a-z0-9]+)*")


@dataclass(frozen=True)
class Task:
    """One graded task of a topic."""

    id: str  #: a word, such as "softmax": the pytest marker, the grade cell and the report use it
    number: str  #: its place in the course, such as "1.2"
    title: str
    names: tuple[str, ...]  #: what a student's module must define for it
    points: float  #: its points, of those that tests grade
    seconds: float = TEST_SECONDS  #: CPU seconds that one test may take in the student's code
    forbid: tuple[str, ...] = ()  #: what a module must not use, such as "torch.nn.functional.conv2d"
    extra: str = ""  #: a package such as "tensorflow" without which the task cannot be graded
    hints: tuple[str, ...] = ()  #: of `autograder hint`; released, so never the answer

    @property
    def name(self) -> str:
        """Its number and title, as every page names it."""
        return f"{self.number} {self.title}".strip()

    @property
    def is_gradable(self) -> bool:
        """Whether the extra that this task needs is installed here."""
        return not self.extra or extras.is_installed(self.extra)


@dataclass(frozen=True)
class Topic:
    """One assignment as its author wrote it."""

    folder: Path
    title: str
    summary: str
    module: str
    objectives: tuple[str, ...]
    imports: tuple[str, ...]  #: packages that a student's module may import in addition to the standard library
    memory: int  #: MB that a worker may use
    tools: tuple[str, ...] = ()  #: packages that the suite uses in the box; a student's module cannot import them
    attempts: int = 0  #: how many different modules of a student are examined; 0 for any number
    feedback: str = "hints"  #: "hints", or "scores" if students read only the score of hidden tests
    tasks: tuple[Task, ...] = field(default=())
    worker: str = "submission"  #: what one process serves: a "submission", or a single "test"
    disk: int = _BUDGETS["disk"][0]  #: MB that a worker may write to files
    processes: int = _BUDGETS["processes"][0]  #: threads and processes that a worker may have at once
    answers: int = _BUDGETS["answers"][0]  #: MB that a student's code may return in one test
    also: tuple[str, ...] = ()  #: further modules that a student writes, which the main one imports
    files: tuple[str, ...] = ()  #: relative paths of the given files (see given.py)

    @property
    def id(self) -> str:
        """The folder's name; it is also nbgrader's assignment id and the notebook's name."""
        return self.folder.name

    @property
    def solution_path(self) -> Path:
        return self.folder / f"{self.module}.py"

    @property
    def modules(self) -> tuple[str, ...]:
        """The names of the modules that a student writes, the main one first."""
        return (self.module, *self.also)

    @property
    def module_paths(self) -> tuple[Path, ...]:
        """The solution's modules, the main one first."""
        return tuple(self.folder / f"{name}.py" for name in self.modules)

    @property
    def solution(self) -> str:
        """The worked solution's modules, as a bundle (sandbox/both/bundle.py).

        Raises:
            AuthorError: one of them is not UTF-8 text
        """
        return bundled_texts({path.stem: read_text(path) for path in self.module_paths})

    @property
    def own_files(self) -> tuple[Path, ...]:
        """Every file on which a mark or a hint depends, except known.json, which depends on these files."""
        return (
            self.folder / "topic.toml",
            *self.module_paths,
            self.public_tests_path,
            self.hidden_tests_path,
            self.mistakes_path,
            *(self.folder / file for file in self.files),
        )

    @property
    def all_files(self) -> dict[str, Path]:
        """Every file of the assignment that exists, by its path below the folder."""
        paths = (*self.own_files, self.lesson_path, self.known_path)
        return {path.relative_to(self.folder).as_posix(): path for path in paths if path.is_file()}

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
    def known_path(self) -> Path:
        """What `autograder verify` computes and keeps (see known.py); never released."""
        return self.folder / "known.json"

    @property
    def points(self) -> float:
        """The points that the tests of this topic can give in total."""
        return sum(task.points for task in self.tasks)

    @property
    def extras(self) -> tuple[str, ...]:
        """The packages that single tasks need in addition to `imports`, installed here or not."""
        return tuple(dict.fromkeys(task.extra for task in self.tasks if task.extra))

    @property
    def packages(self) -> tuple[str, ...]:
        """The packages that a student's module can import on this machine: `imports`, and the installed extras."""
        return (*self.imports, *(extra for extra in self.extras if extras.is_installed(extra)))

    @property
    def shown(self) -> tuple[str, ...]:
        """The packages in the box: `packages`, and the `tools` of the suite."""
        return (*self.packages, *self.tools)

    @property
    def needs_torch(self) -> bool:
        return "torch" in self.imports

    def task(self, task_id: str) -> Task:
        """Return the task with that id. Raises: KeyError, if there is none."""
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
        entries = self._replacements("mistake")
        return tuple(Mistake(is_central=entry.pop("central", False), **entry) for entry in entries)

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

    def _replacements(self, kind: Kind) -> list[dict[str, Any]]:
        return read_replacements(self.mistakes_path, kind, self.solution, tuple(task.id for task in self.tasks))


def read_topic(folder: Path) -> Topic:
    """Read one folder of assignments/.

    Raises:
        AuthorError: a file is missing or topic.toml breaks a rule; says where, what, and what to do
    """
    path = folder / "topic.toml"
    table = read_toml(path)
    refuse_unknown_keys(table, KEYS, str(path))
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
        tools=words_of(table, "tools", path),
        memory=_budget(table, "memory", path),
        disk=_budget(table, "disk", path),
        processes=_budget(table, "processes", path),
        answers=_budget(table, "answers", path),
        attempts=attempts,
        feedback=feedback,
        tasks=tuple(_task(task_id, entry, path) for task_id, entry in tasks.items()),
        worker=worker,
        also=_also(table, module, path),
    )
    topic = replace(topic, files=read_given(path, words_of(table, "files", path), _taken(topic)))
    _check_modules(topic, path)
    for needed in (*topic.module_paths, topic.lesson_path, topic.public_tests_path,
                   topic.hidden_tests_path, topic.mistakes_path):  # fmt: skip
        if not needed.is_file():
            raise AuthorError(f"{needed}: no such file; `autograder new` writes the six files of an assignment")
    return topic


def _also(table: dict[str, Any], module: str, path: Path) -> tuple[str, ...]:
    """Read the names of the further modules."""
    names = words_of(table, "also", path) if "also" in table else ()
    for name in names:
        if not _ID.fullmatch(name):
            raise AuthorError(f"{path}: also names {name!r}, no module name; use small letters, digits and _")
        if name in (module, "lesson") or name.startswith("test_"):
            raise AuthorError(f"{path}: also names {name!r}, which is another module already; choose another name")
    if len(set(names)) < len(names):
        raise AuthorError(f"{path}: also names a module twice; name each once")
    return names


def _check_modules(topic: Topic, path: Path) -> None:
    """Refuse modules that `import` would not find, because a package has the same name."""
    packages = sys.stdlib_module_names | {*topic.imports, *topic.tools, *topic.extras, "autograder"}
    for key, names in (("also", topic.also), ("files", modules_among(topic.files))):
        for name in packages.intersection(names):
            where = line_of(path, key)
            raise AuthorError(f"{where}: {key} names {name!r}, which is a package already; choose another name")


def _taken(topic: Topic) -> set[str]:
    """Return the names in the folders of the assignment and the student that no given file may have."""
    own = {*topic.own_files, topic.lesson_path, topic.known_path}
    return {*(path.name for path in own), f"{topic.id}.ipynb", "README.md"}


def read_text(path: Path) -> str:
    """Return the text of one of an author's files. Raises: AuthorError, if it is not UTF-8."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise AuthorError(f"{path}: not UTF-8 text; save it as UTF-8") from None


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
    refuse_unknown_keys(entry, TASK_KEYS, where)
    points = value_of(entry, "points", (int, float), where)
    if not 0 < points <= 100:
        raise AuthorError(f"{where}: points is {points}; give a number above 0 and up to 100")
    seconds = value_of(entry, "seconds", (int, float), where, default=TEST_SECONDS)
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
        hints=words_of(entry, "hints", where) if "hints" in entry else (),
    )
