"""Plan: the course as a whole, as assignments/plan.toml says it: before, how long, when, the syllabus, the checklist.

The file is optional. It names tasks by their numbers in topic.toml, such as "2.4". An assignment itself depends on
nothing in it, so an assignment can move to another course.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autograder.errors import AuthorError
from autograder.table import refuse_unknown_keys, value_of, words_of

if TYPE_CHECKING:
    from autograder.topic import Task, Topic

FILE = "plan.toml"
KEYS = frozenset({"prerequisites", "hours", "timetables", "syllabus", "checklist"})


@dataclass(frozen=True)
class Concept:
    """A part of the syllabus."""

    name: str
    tasks: tuple[str, ...]  #: the numbers of the tasks that grade it
    why_not: str = ""  #: why no task grades it


@dataclass(frozen=True)
class Chapter:
    """Concepts of the syllabus that belong together."""

    title: str
    concepts: tuple[Concept, ...]


@dataclass(frozen=True)
class Timetable:
    """Which assignments belong to which day or week."""

    title: str
    slots: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True)
class ChecklistItem:
    """One line of the checklist at the end of the course."""

    words: str
    tasks: tuple[str, ...]  #: the numbers of the tasks that show it
    enough: int  #: so many of them have to be done


@dataclass(frozen=True)
class Plan:
    """The plan of a course; an empty one if the course has no plan.toml."""

    path: Path = Path(FILE)
    prerequisites: tuple[str, ...] = ()
    hours: dict[str, float] = field(default_factory=dict)  #: of each assignment
    timetables: tuple[Timetable, ...] = ()
    syllabus: tuple[Chapter, ...] = ()
    checklist: tuple[ChecklistItem, ...] = ()


def read_plan(assignments: Path) -> Plan:
    """Read the plan of a course.

    Args:
        assignments: the folder assignments/ of the course

    Raises:
        AuthorError: the file breaks a rule; says where and what to do
    """
    path = assignments / FILE
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Plan()
    except (OSError, ValueError) as error:
        raise AuthorError(f"{path}: cannot be read ({error}); correct it") from error
    refuse_unknown_keys(found, KEYS, str(path))
    hours = value_of(found, "hours", dict, path, default={})
    return Plan(
        path=path,
        prerequisites=words_of(found, "prerequisites", path),
        hours={name: float(value_of(hours, name, (int, float), f"{path}: [hours]")) for name in hours},
        timetables=tuple(_timetable(entry, path) for entry in value_of(found, "timetables", list, path, default=[])),
        syllabus=tuple(_chapter(entry, path) for entry in value_of(found, "syllabus", list, path, default=[])),
        checklist=tuple(_item(entry, path) for entry in value_of(found, "checklist", list, path, default=[])),
    )


def refuse_what_is_not_there(plan: Plan, topics: Iterable[Topic]) -> None:
    """Refuse a plan that names an assignment or a task which the course does not have, or leaves an assignment out.

    Raises:
        AuthorError: says what is not there
    """
    topics = tuple(topics)
    ids = [topic.id for topic in topics]
    numbers = [task.number for topic in topics for task in topic.tasks if task.number]
    named = {number for chapter in plan.syllabus for concept in chapter.concepts for number in concept.tasks}
    named |= {number for item in plan.checklist for number in item.tasks}
    for number in sorted(named):
        if numbers.count(number) != 1:
            there = "no task has" if number not in numbers else "several tasks have"
            raise AuthorError(f"{plan.path}: {there} the number {number!r}; correct it here or in a topic.toml")
    tables = [("[hours]", list(plan.hours))] if plan.hours else []
    tables += [
        (f"timetable {table.title!r}", [name for _, slot in table.slots for name in slot]) for table in plan.timetables
    ]
    for where, names in tables:
        for name in dict.fromkeys((*names, *ids)):
            if name not in ids:
                raise AuthorError(f"{plan.path}: {where}: no assignment {name!r}; the assignments are {', '.join(ids)}")
            if name not in names:
                raise AuthorError(f"{plan.path}: {where} leaves out {name}; add it")


def checks(plan: Plan, tasks: Sequence[Task]) -> list[tuple[ChecklistItem, tuple[str, ...]]]:
    """Return the items of the checklist that these tasks help to show, each with the ids of those tasks."""
    found = [(item, tuple(task.id for task in tasks if task.number in item.tasks)) for item in plan.checklist]
    return [(item, ids) for item, ids in found if ids]


def _timetable(entry: Any, path: Path) -> Timetable:
    table = _table(entry, "timetables", {"title", "slots"}, path)
    title = value_of(table, "title", str, f"{path}: [[timetables]]")
    slots = value_of(table, "slots", list, f"{path}: [[timetables]] {title!r}")
    for slot in slots:
        if not isinstance(slot, list) or not slot or not all(isinstance(word, str) for word in slot):
            raise AuthorError(f'{path}: [[timetables]] {title!r}: write a slot as ["Day 1", "01_first_steps"]')
    return Timetable(title, tuple((slot[0], tuple(slot[1:])) for slot in slots))


def _chapter(entry: Any, path: Path) -> Chapter:
    table = _table(entry, "syllabus", {"title", "concepts"}, path)
    title = value_of(table, "title", str, f"{path}: [[syllabus]]")
    where = f"{path}: [[syllabus]] {title!r}"
    concepts = value_of(table, "concepts", dict, where)
    return Chapter(title, tuple(_concept(name, concepts, where) for name in concepts))


def _concept(name: str, concepts: dict[str, Any], where: str) -> Concept:
    if isinstance(concepts[name], str) and concepts[name]:
        return Concept(name, (), concepts[name])
    tasks = words_of(concepts, name, where)
    if not tasks:
        raise AuthorError(f"{where}: {name!r} has no task; name the numbers of tasks, or write why no task grades it")
    return Concept(name, tasks)


def _item(entry: Any, path: Path) -> ChecklistItem:
    table = _table(entry, "checklist", {"item", "tasks", "enough"}, path)
    words = value_of(table, "item", str, f"{path}: [[checklist]]")
    where = f"{path}: [[checklist]] {words!r}"
    tasks = words_of(table, "tasks", where)
    enough = value_of(table, "enough", int, where, default=len(tasks))
    if not 1 <= enough <= len(tasks):
        raise AuthorError(f"{where}: {enough} of {len(tasks)} tasks cannot be enough; give from 1 to all of them")
    return ChecklistItem(words, tasks, enough)


def _table(entry: Any, key: str, known: set[str], path: Path) -> dict[str, Any]:
    if not isinstance(entry, dict):
        raise AuthorError(f"{path}: {key!r} must be tables; write [[{key}]]")
    refuse_unknown_keys(entry, known, f"{path}: [[{key}]]")
    return entry
