"""Build source/ from assignments/: the files that students may see, each made by a line of `render`.

Nothing is made by deletion. What `render` does not name cannot reach source/, so a leak needs a written line.
"""

from __future__ import annotations

import json
import string
import symtable
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import TypeVar

from autograder.authoring import syllabus
from autograder.authoring.notebook import FULL_POINTS, to_notebook
from autograder.authoring.stub import refuse_markers, solution_lines, to_stub
from autograder.course import Course
from autograder.errors import AuthorError
from autograder.files import write_atomically
from autograder.suite import SuiteTest, public_share, read_suite
from autograder.topic import Topic

_T = TypeVar("_T")


def render(topic: Topic) -> dict[str, bytes]:
    """Return all that students get of a topic, name to content. Pure: reads the six files, writes nothing.

    Raises:
        AuthorError: one of the six files breaks a rule; says file:line and the cure
    """
    _refuse_strays(topic)
    tests = read_suite(topic)
    stub = to_stub(_read(topic.solution_path), str(topic.solution_path))
    _check_names(topic, stub)
    public_tests = _read(topic.public_tests_path)
    refuse_markers(public_tests, str(topic.public_tests_path))
    lesson = _read(topic.lesson_path)
    hints = "\n".join(hint for task in topic.tasks for hint in task.hints)
    for path, text in (
        (topic.public_tests_path, public_tests),
        (topic.lesson_path, lesson),
        (topic.folder / "topic.toml", hints),
    ):
        _refuse_answers(topic, path, text)
    files = {
        f"{topic.id}.ipynb": to_notebook(topic, lesson),
        f"{topic.module}.py": stub,
        f"test_{topic.module}.py": public_tests,
        "topic.toml": _public_manifest(topic, tests),
        "README.md": _first_page(topic),
    }
    for name in files:
        if "hidden" in name:
            raise AuthorError(
                f"{topic.folder / 'topic.toml'}: {name!r} is for students and named like a hidden test; "
                "choose another id or module name"
            )
    return {name: text.replace("\r\n", "\n").encode() for name, text in files.items()}


def build(course: Course, ids: tuple[str, ...] = ()) -> list[Path]:
    """Write source/<id>/ of those assignments, or of all with docs/course.md; return the paths that changed.

    All are rendered before the first is written, so that a fault in one leaves everything as it was.

    Raises:
        AuthorError: an assignment's files break a rule
        CourseError: there is no such assignment
    """
    rendered = {topic.id: render(topic) for topic in course.topics(ids)}
    changed: list[Path] = []
    for topic_id, files in rendered.items():
        changed += write_folder(course.source / topic_id, files)
    return changed if ids else changed + syllabus.write(course)


def stale(course: Course, ids: tuple[str, ...] = ()) -> list[Path]:
    """Return what `make build` would write or remove, and folders of source/ that no assignment explains."""
    paths: list[Path] = []
    for topic in course.topics(ids):
        paths += differences(course.source / topic.id, render(topic))
    if not ids and course.source.is_dir():
        paths += [path for path in sorted(course.source.iterdir()) if path.name not in course.topic_ids()]
    return paths if ids else paths + syllabus.stale(course)


def write_folder(folder: Path, files: dict[str, bytes]) -> list[Path]:
    """Make a folder hold exactly those files, each replaced in one step; return the paths that changed."""
    changed = differences(folder, files)
    folder.mkdir(parents=True, exist_ok=True)
    for path in changed:
        if path.name in files and path.parent == folder:
            write_atomically(path, files[path.name])
        else:
            path.unlink()
    for path in sorted((path for path in folder.rglob("*") if path.is_dir()), reverse=True):
        path.rmdir()
    return changed


def differences(folder: Path, files: dict[str, bytes]) -> list[Path]:
    """Return what must be written (missing or other) and what must go (in no list), sorted."""
    present = {path for path in folder.rglob("*") if not path.is_dir() or path.is_symlink()}
    wanted = {folder / name: content for name, content in files.items()}
    outdated = {path for path in wanted if path not in present or path.read_bytes() != wanted[path]}
    return sorted(outdated | (present - set(wanted)))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise AuthorError(f"{path}: not UTF-8 text; save it as UTF-8") from None


def _refuse_strays(topic: Topic) -> None:
    known = {
        topic.folder / "topic.toml",
        topic.solution_path,
        topic.lesson_path,
        topic.public_tests_path,
        topic.hidden_tests_path,
        topic.mistakes_path,
        topic.folder / "signatures.json",  # computed by `make verify`: which tests each mistake fails
        topic.folder / "faults.json",  # computed with it: what those tests say of it, in short
    }
    for path in sorted(topic.folder.iterdir()):
        if path not in known and not path.name.startswith((".", "__pycache__")):
            raise AuthorError(f"{path}: an assignment is six files and this is none of them; move it away")


def _check_names(topic: Topic, stub: str) -> None:
    """Refuse a task whose names a student would not find in the stub."""
    symbols = symtable.symtable(stub, str(topic.solution_path), "exec").get_symbols()
    defined = {symbol.get_name() for symbol in symbols if symbol.is_assigned()}
    for task in topic.tasks:
        for name in task.names:
            if name.split(".")[0] not in defined:
                raise AuthorError(
                    f"{topic.solution_path}:1: the stub does not define {name!r} of the task {task.id!r}; "
                    "keep its signature and docstring outside the markers"
                )


def _refuse_answers(topic: Topic, path: Path, text: str) -> None:
    """Refuse a public file that repeats three lines of the solution in a row, and so gives it away."""
    where = str(topic.solution_path)
    answer = [line.strip() for _, line in solution_lines(_read(topic.solution_path), where)]
    rows = {row for row in _in_threes(answer) if len("".join(row)) >= 40}
    lines = [(number, line.lstrip("# ").rstrip()) for number, line in enumerate(text.split("\n"), start=1)]
    filled = [(number, line) for number, line in lines if line]
    for (number, first), (_, second), (_, third) in _in_threes(filled):
        if (first, second, third) in rows:
            raise AuthorError(
                f"{path}:{number}: three lines in a row as in the solution, from {first!r} on; "
                "students would read the answer: compute it another way"
            )


def _in_threes(items: Sequence[_T]) -> Iterator[tuple[_T, _T, _T]]:
    return zip(items, items[1:], items[2:], strict=False)


def _public_manifest(topic: Topic, tests: tuple[SuiteTest, ...]) -> str:
    lines = [
        f"# Made by `make build` from assignments/{topic.id}/; a change belongs there.",
        f"id = {_toml(topic.id)}",
        f"title = {_toml(topic.title)}",
        f"module = {_toml(topic.module)}",
        f"imports = {_toml(topic.imports)}",
    ]
    for task in topic.tasks:
        lines += [
            "",
            f"[tasks.{task.id}]",
            f"number = {_toml(task.number)}",
            f"title = {_toml(task.title)}",
            f"names = {_toml(task.names)}",
            f"points = {_toml(task.points)}",
            f"seconds = {_toml(task.seconds)}",
            f"public_points = {_toml(round(task.points * public_share(tests, task.id), 4))}",
        ]
        if task.extra:
            lines.append(f"extra = {_toml(task.extra)}")
        if task.hints:
            lines += ["hints = [", *(f"    {_toml(hint)}," for hint in task.hints), "]"]
    return "\n".join(lines) + "\n"


def _toml(value: str | float | tuple[str, ...]) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, tuple):
        return f"[{', '.join(_toml(word) for word in value)}]"
    return str(int(value)) if value == int(value) else repr(value)


def _first_page(topic: Topic) -> str:
    template = resources.files("autograder").joinpath("templates/student.md").read_text(encoding="utf-8")
    rows = [
        f"| {task.number} | {task.title} | {_code(task.names)} | {task.points:g} |" for task in topic.tasks
    ]
    return string.Template(template).substitute(
        id=topic.id,
        title=topic.title,
        summary=topic.summary,
        module=topic.module,
        objectives="\n".join(f"* {objective}" for objective in topic.objectives),
        tasks="\n".join(rows),
        forbidden=_forbidden(topic),
        written=f"{FULL_POINTS - topic.points:g}",
        first_task=topic.tasks[0].id,
        attempts=f" You may hand in {topic.attempts} different versions." if topic.attempts else "",
    )


def _forbidden(topic: Topic) -> str:
    """Say which calls cost a task's points, in one paragraph; nothing where none does."""
    tasks: dict[tuple[str, ...], list[str]] = {}
    for task in topic.tasks:
        if task.forbid:
            tasks.setdefault(task.forbid, []).append(task.number)
    rules = [f"{', '.join(numbers)} without {_code(calls)}" for calls, numbers in tasks.items()]
    said = "To be written by yourself: {}. A call of it, also by way of a helper, costs the task's points.\n"
    return f"\n{said.format('; '.join(rules))}" if rules else ""


def _code(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)
