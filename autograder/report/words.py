"""Words: what a student reads from a report, made once and written as text, Markdown or HTML. Pure.

About hidden tests it gives only the number that passed, and the hint. If the feedback of an assignment is "scores", it
gives neither. Every text that came from a student's code is on one line, without control characters, and escaped for
the format that is written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape
from typing import Literal, NamedTuple

from autograder.plain import one_line
from autograder.report.model import Report, TaskReport
from autograder.topic import Topic

FAULTS = 5  #: how many different faults of one task are shown
BROKEN = (
    "This task could not be judged. This is a fault of the grader, not of your code. It costs you nothing: "
    "a person will look at it."
)
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~$&])")

Kind = Literal["title", "total", "note", "task", "fault", "lesson", "more", "hint"]


class Words(NamedTuple):
    """One sentence or two, and what they are."""

    kind: Kind
    text: str


def words(report: Report, topic: Topic) -> tuple[Words, ...]:
    """Say how a submission went, task by task."""
    found = [Words("title", f"{topic.title}: what the tests say")]
    found.append(
        Words(
            "total",
            f"{report.score:.4g} of {report.max_score:g} points by tests. Written questions are graded by hand.",
        )
    )
    if report.isolation == "D":
        found.append(Words("note", "This was examined without isolation."))
    found += [Words("note", one_line(text)) for text in report.complaints]
    for task in report.tasks:
        found += task_words(task, topic)
    return tuple(found)


def task_words(task: TaskReport, topic: Topic) -> tuple[Words, ...]:
    """Say how a task went: its points, what failed of the public tests, the hint."""
    about = topic.task(task.task)
    heading = f"{about.number} {about.title}".strip()
    if task.missing:
        return (
            Words("task", f"{heading}: not graded here"),
            Words(
                "note",
                f"This task is {task.hint}. It costs you nothing: it stays open until it is graded on a machine that "
                "has it.",
            ),
        )
    if task.status == "broken":
        return Words("task", f"{heading}: open"), Words("note", BROKEN)
    return (
        Words("task", f"{heading}: {_count(task, topic)}{task.score:.4g} of {task.points:g} points"),
        *_faults(task, topic),
    )


def said(task: TaskReport, topic: Topic) -> str:
    """Say the same about one task as plain text, without its points, which a notebook shows beside it."""
    about = topic.task(task.task)
    heading = f"{about.number} {about.title}".strip()
    lines = [f"{heading}: {_count(task, topic).rstrip(', ') or 'the score, and what the public tests say'}"]
    return "\n".join([*lines, *(_FORMS[kind].format(text) for kind, text in _faults(task, topic))])


def _count(task: TaskReport, topic: Topic) -> str:
    is_told = topic.feedback == "hints"
    return f"{task.tests_passed} of {task.tests_total} tests passed, " if is_told else ""


def _faults(task: TaskReport, topic: Topic) -> tuple[Words, ...]:
    faults: dict[str, str] = {}  # what went wrong -> what to think about; each fault once
    for result in task.results:
        if result.outcome == "failed" and not result.is_hidden:
            faults.setdefault(one_line(result.sentence), one_line(result.lesson))
    found = []
    for sentence, lesson in list(faults.items())[:FAULTS]:
        found.append(Words("fault", sentence))
        if lesson:
            found.append(Words("lesson", lesson))
    if len(faults) > FAULTS:
        found.append(Words("more", f"and {len(faults) - FAULTS} more, which `autograder check {task.task}` shows"))
    hint = one_line(task.hint)
    if topic.feedback == "hints" and hint and Words("fault", hint) not in found:
        found.append(Words("hint", f"Hint: {hint}"))
    return tuple(found)


_FORMS: dict[Kind, str] = {
    "title": "{}", "total": "{}", "note": "{}", "task": "{}",
    "fault": "- {}", "lesson": "  {}", "more": "- {}", "hint": "{}",
}  # fmt: skip
_MARKS: dict[Kind, str] = {
    "title": "# {}\n", "total": "**{}**\n", "note": "> {}\n", "task": "## {}\n",
    "fault": "- {}", "lesson": "  {}", "more": "- {}", "hint": "\n*{}*\n",
}  # fmt: skip
_TAGS: dict[Kind, str] = {
    "title": "<h1>{}</h1>", "total": '<p class="total">{}</p>', "note": '<p class="note">{}</p>',
    "task": "<h2>{}</h2>", "fault": '<p class="fault">{}</p>', "lesson": '<p class="lesson">{}</p>',
    "more": '<p class="lesson">{}</p>', "hint": '<p class="hint">{}</p>',
}  # fmt: skip
_STYLE = """\
:root { --paper: #fbfaf7; --ink: #1c2430; --soft: #515b6b; --line: #c9ccd2; --blue: #1f5f95; --warm: #a63c06; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #12161c; --ink: #e7eaef; --soft: #aab4c3; --line: #364050; --blue: #8ec4ef; --warm: #ffb27d; } }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 46rem; margin: 0 auto; padding: 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; line-height: 1.2; } h2 { font-size: 1.1rem; margin: 1.5rem 0 .25rem; padding-top: .75rem; }
h2 { border-top: 1px solid var(--line); }
p { margin: .25rem 0; } .total { font-weight: 600; }
.note { border-left: .3rem solid var(--warm); padding-left: .75rem; }
.fault { margin-top: .5rem; font-family: ui-monospace, monospace; font-size: .9rem; } .lesson { color: var(--soft); }
.hint { border-left: .3rem solid var(--blue); padding-left: .75rem; margin-top: .5rem; }
"""


def to_markdown(found: Iterable[Words]) -> str:
    """Write words as Markdown; nothing in them is read as markup."""
    return "\n".join(_MARKS[kind].format(_MARKDOWN.sub(r"\\\1", text)) for kind, text in found) + "\n"


def to_html(found: Iterable[Words]) -> str:
    """Write words as an HTML page."""
    parts = list(found)
    title = next((text for kind, text in parts if kind == "title"), "Feedback")
    body = "\n".join(_TAGS[kind].format(escape(text)) for kind, text in parts)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{escape(title)}</title>\n<style>\n{_STYLE}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )
