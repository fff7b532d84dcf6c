"""Build source/ from assignments/: the files that students may see. A line of `render` makes each file.

No file is made by deleting parts of a folder. A file that `render` does not name cannot reach source/.
"""

from __future__ import annotations

import symtable
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from autograder.authoring import syllabus
from autograder.authoring.handed_out import card_of, first_page
from autograder.authoring.notebook import to_notebook
from autograder.course import Course
from autograder.errors import AuthorError
from autograder.files import write_atomically
from autograder.replacements import refuse_what_is_not_python
from autograder.sandbox.both.bundle import parted_text
from autograder.stub import refuse_markers, solution_lines, stub_of
from autograder.suite import SuiteTest, read_suite
from autograder.topic import Topic, read_text

_T = TypeVar("_T")


def render(topic: Topic) -> dict[str, bytes]:
    """Return all that students get of a topic: name -> content. Pure: reads the six files, writes nothing.

    Raises:
        AuthorError: one of the six files breaks a rule; says file:line and what to do
    """
    _refuse_strays(topic)
    tests = read_suite(topic)
    stub = stub_of(topic)
    stubs = parted_text(stub, topic.modules)
    _check_names(topic, stubs[topic.module])
    _check_tells(topic, tests, stub)
    public_tests = read_text(topic.public_tests_path)
    refuse_markers(public_tests, str(topic.public_tests_path))
    lesson = read_text(topic.lesson_path)
    given = {file: (topic.folder / file).read_bytes() for file in topic.files}
    helpers = [(topic.folder / file, content) for file, content in given.items() if file.endswith(".py")]
    hints = "\n".join(hint for task in topic.tasks for hint in task.hints)
    for path, text in (
        (topic.public_tests_path, public_tests),
        (topic.lesson_path, lesson),
        (topic.folder / "topic.toml", hints),
        *((path, content.decode("utf-8", "replace")) for path, content in helpers),
    ):
        _refuse_answers(topic, path, text)
    files = {
        f"{topic.id}.ipynb": to_notebook(topic, lesson),
        **{f"{name}.py": text for name, text in stubs.items()},
        f"test_{topic.module}.py": public_tests,
        "topic.toml": card_of(topic, tests),
        "README.md": first_page(topic),
    }
    for name in files:
        if "hidden" in name:
            raise AuthorError(
                f"{topic.folder / 'topic.toml'}: {name!r} is for students and named like a hidden test; "
                "choose another id or module name"
            )
    return {name: text.replace("\r\n", "\n").encode() for name, text in files.items()} | given


def build(course: Course, ids: tuple[str, ...] = ()) -> list[Path]:
    """Write source/<id>/ of these assignments, or of all and docs/course.md; return the paths that changed.

    All are rendered before the first is written, so a fault in one of them changes nothing.

    Raises:
        AuthorError: an assignment's files break a rule
        CourseError: there is no such assignment
    """
    topics = course.topics(ids)
    rendered = {topic.id: render(topic) for topic in topics}
    for topic in topics:
        refuse_broken_replacements(topic)
    changed: list[Path] = []
    for topic_id, files in rendered.items():
        changed += write_folder(course.source / topic_id, files)
    return changed if ids else changed + syllabus.write(course)


def refuse_broken_replacements(topic: Topic) -> None:
    """Refuse a mistakes.toml if a replacement makes the solution invalid Python.

    Raises:
        AuthorError: says file:line and what to do
    """
    tasks = tuple(task.id for task in topic.tasks)
    refuse_what_is_not_python(topic.mistakes_path, topic.solution, tasks)


def stale(course: Course, ids: tuple[str, ...] = ()) -> list[Path]:
    """Return what `autograder build` would write or remove, and folders of source/ that belong to no assignment."""
    paths: list[Path] = []
    for topic in course.topics(ids):
        paths += differences(course.source / topic.id, render(topic))
    if not ids and course.source.is_dir():
        paths += [path for path in sorted(course.source.iterdir()) if path.name not in course.topic_ids()]
    return paths if ids else paths + syllabus.stale(course)


def write_folder(folder: Path, files: dict[str, bytes]) -> list[Path]:
    """Make a folder hold exactly these files, each replaced in one step; return the paths that changed."""
    changed = differences(folder, files)
    folder.mkdir(parents=True, exist_ok=True)
    for path in changed:
        name = path.relative_to(folder).as_posix()
        if name in files:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, files[name])
        else:
            path.unlink()
    for path in sorted((path for path in folder.rglob("*") if path.is_dir()), reverse=True):
        if not any(path.iterdir()):
            path.rmdir()
    return changed


def differences(folder: Path, files: dict[str, bytes]) -> list[Path]:
    """Return the files that must be written (missing or different) or removed (not in the list), sorted."""
    present = {path for path in folder.rglob("*") if not path.is_dir() or path.is_symlink()}
    wanted = {folder / name: content for name, content in files.items()}
    outdated = {path for path in wanted if path not in present or path.read_bytes() != wanted[path]}
    return sorted(outdated | (present - set(wanted)))


def _refuse_strays(topic: Topic) -> None:
    known = set(topic.all_files.values())
    folders = {topic.folder / file.split("/")[0] for file in topic.files}
    for path in sorted(topic.folder.iterdir()):
        if path not in known | folders and not path.name.startswith((".", "__pycache__")):
            raise AuthorError(
                f"{path}: not one of the assignment's files; name it in topic.toml (files = [...] for what is handed "
                "out as it is, also = [...] for a module that students write), or move it away"
            )


def _check_names(topic: Topic, stub: str) -> None:
    """Refuse a task with a name that is not in the stub."""
    symbols = symtable.symtable(stub, str(topic.solution_path), "exec").get_symbols()
    defined = {symbol.get_name() for symbol in symbols if symbol.is_assigned() or symbol.is_imported()}
    for task in topic.tasks:
        for name in task.names:
            if name.split(".")[0] not in defined:
                raise AuthorError(
                    f"{topic.solution_path}:1: the stub does not define {name!r} of the task {task.id!r}; "
                    "keep its signature and docstring outside the markers"
                )


def _check_tells(topic: Topic, tests: Iterable[SuiteTest], stub: str) -> None:
    """Refuse a hidden test whose `tells` is not in the stub."""
    known = " ".join(stub.split())
    for test in tests:
        if test.tells and test.tells not in known:
            raise AuthorError(
                f"{topic.hidden_tests_path}:{test.line}: {test.name} tells {test.tells!r}, which the stub does not "
                "say; repeat a sentence of a docstring, word for word"
            )


def _refuse_answers(topic: Topic, path: Path, text: str) -> None:
    """Refuse a public file that repeats three lines of the solution in a row, and so gives the answer away."""
    where = str(topic.solution_path)
    answer = [line.strip() for _, line in solution_lines(topic.solution, where, topic.also)]
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
