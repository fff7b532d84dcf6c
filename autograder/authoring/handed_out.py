"""What a student's folder says of itself: topic.toml without secrets (the card), and the first page, README.md."""

from __future__ import annotations

import json
import string
from importlib import resources

from autograder import dates
from autograder.authoring.notebook import FULL_POINTS
from autograder.plan import checks, read_plan
from autograder.suite import SuiteTest, public_share
from autograder.topic import Topic


def card_of(topic: Topic, tests: tuple[SuiteTest, ...]) -> str:
    """Return the topic.toml that students get: the tasks with their points, hints and limits; `tests` is the suite."""
    lines = [
        f"# Made by `autograder build` from assignments/{topic.id}/; a change belongs there.",
        f"id = {_toml(topic.id)}",
        f"title = {_toml(topic.title)}",
        f"module = {_toml(topic.module)}",
        f"imports = {_toml(topic.imports)}",
        *([f"also = {_toml(topic.also)}"] if topic.also else []),
        *([f"files = {_toml(topic.files)}"] if topic.files else []),
    ]
    if moment := dates.due(topic.folder):
        lines.append(f"due = {moment.isoformat()}")
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
        if task.forbid:
            lines.append(f"forbid = {_toml(task.forbid)}")
        if task.extra:
            lines.append(f"extra = {_toml(task.extra)}")
        if task.hints:
            lines += ["hints = [", *(f"    {_toml(hint)}," for hint in task.hints), "]"]
    for item, tasks in checks(read_plan(topic.folder.parent), topic.tasks):
        lines += ["", "[[checklist]]", f"item = {_toml(item.words)}"]
        lines += [f"tasks = {_toml(tasks)}", f"enough = {item.enough}  # over all assignments"]
    return "\n".join(lines) + "\n"


def _toml(value: str | float | tuple[str, ...]) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, tuple):
        return f"[{', '.join(_toml(word) for word in value)}]"
    return str(int(value)) if value == int(value) else repr(value)


def first_page(topic: Topic) -> str:
    """Return the README.md that students get, as Markdown."""
    template = resources.files("autograder").joinpath("templates/student.md").read_text(encoding="utf-8")
    rows = [f"| {task.number} | {task.title} | {_code(task.names)} | {task.points:g} |" for task in topic.tasks]
    return string.Template(template).substitute(
        id=topic.id,
        title=topic.title,
        summary=topic.summary,
        module=topic.module,
        objectives="\n".join(f"* {objective}" for objective in topic.objectives),
        tasks="\n".join(rows),
        forbidden=_forbidden(topic),
        needed=_needed(topic),
        written=f"{FULL_POINTS - topic.points:g}",
        first_task=topic.tasks[0].id,
        due=_due(topic),
        attempts=f" You may hand in {topic.attempts} different versions." if topic.attempts else "",
    )


def _due(topic: Topic) -> str:
    moment = dates.due(topic.folder)
    return (
        f"Due **{dates.spoken(moment)}**. If your teacher gave you more time, your own date counts.\n\n"
        if moment
        else ""
    )


def _forbidden(topic: Topic) -> str:
    """Say in one paragraph what the tasks forbid; '' if they forbid nothing."""
    tasks: dict[tuple[str, ...], list[str]] = {}
    for task in topic.tasks:
        if task.forbid:
            tasks.setdefault(task.forbid, []).append(task.number)
    rules = [f"{', '.join(numbers)} without {_code(calls)}" for calls, numbers in tasks.items()]
    said = "To be written by yourself: {}. It is not there when the tests of these tasks run, here and when graded.\n"
    return f"\n{said.format('; '.join(rules))}" if rules else ""


def _needed(topic: Topic) -> str:
    """Say in one paragraph which packages single tasks need; '' if they need none."""
    needs = [f"{task.number} needs `{task.extra}`" for task in topic.tasks if task.extra]
    said = "{}. Install it with pip. On a machine without it, such a task is not gradable, which costs no point.\n"
    return f"\n{said.format(', '.join(needs))}" if needs else ""


def _code(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)
