"""Words: what a student reads from a report, made once and written as text, Markdown or HTML. Pure.

About hidden tests it gives only the number that passed, and the hint. If the feedback of an assignment is "scores", it
gives neither. A cause is told once: what fails again for the same reason only points to it. Every text that came from a
student's code is on one line, without control characters, and escaped for the format that is written.

This file is long because text, Markdown and HTML are written side by side, so that they say the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
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
_NOT_IMPORTED = "No test of this task could run, because the module cannot be imported: see above."

Kind = Literal["title", "about", "total", "note", "head", "row", "task", "fault", "lesson", "more", "hint"]
_CELL = "\t"  #: between the cells of a row


class Words(NamedTuple):
    """One sentence or two, and what they are; the cells of a row of the table are separated by tabs."""

    kind: Kind
    text: str


@dataclass(frozen=True)
class HandedIn:
    """Whose work it is, and when it was handed in; empty if that is not known."""

    student: str = ""  #: the name as a person writes it, beside the name by which the course knows the student
    when: str = ""
    attempt: str = ""  #: such as "2 of 5", if the attempts are limited


def words(report: Report, topic: Topic, handed_in: HandedIn | None = None) -> tuple[Words, ...]:
    """Say how a submission went: whose it is, a table of the tasks, and what went wrong in each."""
    found = [Words("title", f"{topic.title}: what the tests say")]
    found += [Words("about", one_line(text)) for text in _about(report, handed_in or HandedIn())]
    found.append(
        Words(
            "total",
            f"{report.score:.2f} of {report.max_score:g} points by tests. Written questions are graded by hand.",
        )
    )
    if report.isolation == "D":
        found.append(Words("note", "This was examined without isolation."))
    found += [Words("note", one_line(text)) for text in report.complaints]
    found += _table(report, topic)
    for task, said in told(report, topic):
        if said and said[0].text != _NOT_IMPORTED:
            found += [Words("task", _name(task, topic)), *said]
    return tuple(found)


def _about(report: Report, handed_in: HandedIn) -> Iterable[str]:
    yield f"Student: {handed_in.student or report.student}"
    if handed_in.when:
        yield f"Handed in: {handed_in.when}"
    if handed_in.attempt:
        yield f"Attempt: {handed_in.attempt}"
    if report.python:
        yield f"Examined with Python {report.python}"


def _table(report: Report, topic: Topic) -> Iterable[Words]:
    is_told = topic.feedback == "hints"
    yield Words("head", _CELL.join(["Task", *(["Tests passed"] if is_told else []), "Points", "of"]))
    for task in report.tasks:
        is_open = bool(task.missing) or task.status == "broken"
        tests = "open" if is_open else f"{task.tests_passed} of {task.tests_total}"
        points = f"{topic.task(task.task).points:g}"
        score = "open" if is_open else f"{task.score:.2f}"
        yield Words("row", _CELL.join([_name(task, topic), *([tests] if is_told else []), score, points]))


def told(report: Report, topic: Topic) -> Iterable[tuple[TaskReport, tuple[Words, ...]]]:
    """Give each task with what a student may read about it. A cause that was told before is only pointed to."""
    before: dict[str, str] = {one_line(text): "" for text in report.complaints}  # a fault -> the task that told it
    unfinished: dict[str, str] = {}  # a name that an earlier task asks for, and that fails there -> that task
    for task in report.tasks:
        yield task, _said(task, topic, before, unfinished)
        before |= {fault: before.get(fault, _name(task, topic)) for fault in _faults(task)}
        if task.score < task.points:
            unfinished |= {name: _name(task, topic) for name in topic.task(task.task).names if name not in unfinished}


def said(task: TaskReport, topic: Topic, found: tuple[Words, ...] | None = None) -> str:
    """Write about one task as plain text, without its points, which a notebook shows beside it.

    Args:
        task: the task
        topic: its assignment
        found: what `told` gives about it; None if nothing was told before
    """
    found = _said(task, topic, {}, {}) if found is None else found
    count = f"{task.tests_passed} of {task.tests_total} tests passed" if topic.feedback == "hints" else ""
    lines = [f"{_name(task, topic)}: {count or 'the score, and what the public tests say'}"]
    return "\n".join([*lines, *(_FORMS[kind].format(text) for kind, text in found)])


def _name(task: TaskReport, topic: Topic) -> str:
    return topic.task(task.task).name


def _faults(task: TaskReport) -> dict[str, str]:
    """What went wrong in the public tests -> what to think about; each fault once."""
    found: dict[str, str] = {}
    for result in task.results:
        if result.outcome == "failed" and not result.is_hidden:
            found.setdefault(one_line(result.sentence), one_line(result.lesson))
    return found


def _said(
    task: TaskReport, topic: Topic, before: Mapping[str, str], unfinished: Mapping[str, str]
) -> tuple[Words, ...]:
    if task.missing:
        return (
            Words(
                "note",
                f"This task is {task.hint}. It costs you nothing: it stays open until it is graded on a machine that "
                "has it.",
            ),
        )
    if task.status == "broken":
        return (Words("note", BROKEN),)
    if task.results and all(result.kind == "import_failed" for result in task.results):
        return (Words("fault", _NOT_IMPORTED),)
    found: list[Words] = []
    faults = _faults(task)
    for sentence, lesson in list(faults.items())[:FAULTS]:
        if elsewhere := before.get(sentence, ""):
            found.append(Words("fault", f"The same as in {elsewhere}: correct that first."))
            continue
        found.append(Words("fault", sentence))
        if cause := unfinished.get(_names(sentence)):
            found.append(Words("lesson", f"{_names(sentence)} belongs to {cause}: correct that first."))
        elif lesson:
            found.append(Words("lesson", lesson))
    if len(faults) > FAULTS:
        found.append(Words("more", f"and {len(faults) - FAULTS} more, which `autograder check {task.task}` shows"))
    hint = one_line(task.hint)
    if topic.feedback == "hints" and hint and hint not in faults:
        found.append(Words("hint", f"Hint: {hint}"))
    return tuple(dict.fromkeys(found))


def _names(sentence: str) -> str:
    """The function or class with which a sentence about a fault begins; '' if it begins with another word."""
    found = re.match(r"([A-Za-z_]\w*)(?:\.\w+)?(?:: | raised | calls | ended )", sentence)
    return found[1] if found else ""


_FORMS: dict[Kind, str] = {
    "note": "{}", "fault": "- {}", "lesson": "  {}", "more": "- {}", "hint": "{}",
}  # fmt: skip
_MARKS: dict[Kind, str] = {
    "title": "# {}\n", "about": "- {}", "total": "\n**{}**\n", "note": "> {}\n", "task": "\n## {}\n",
    "fault": "- {}", "lesson": "  {}", "more": "- {}", "hint": "\n*{}*",
}  # fmt: skip
_TAGS: dict[Kind, str] = {
    "title": "<h1>{}</h1>", "about": '<p class="about">{}</p>', "total": '<p class="total">{}</p>',
    "note": '<p class="note">{}</p>', "task": "<h2>{}</h2>", "fault": '<p class="fault">{}</p>',
    "lesson": '<p class="lesson">{}</p>', "more": '<p class="lesson">{}</p>', "hint": '<p class="hint">{}</p>',
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
.about { color: var(--soft); margin: 0; } .total { margin-top: .75rem; }
table { border-collapse: collapse; width: 100%; margin: 1rem 0; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .3rem .5rem; border-bottom: 1px solid var(--line); vertical-align: top; }
th, td { overflow-wrap: normal; } td { white-space: nowrap; }
th:first-child, td:first-child { text-align: left; padding-left: 0; white-space: normal; }
th { color: var(--soft); font-weight: 500; }
code { font-family: ui-monospace, monospace; font-size: .9em; }
@media print { body { background: #fff; color: #000; } h2, .fault { break-after: avoid; } }
.note { border-left: .3rem solid var(--warm); padding-left: .75rem; }
.fault { margin-top: .5rem; font-weight: 500; } .lesson { color: var(--soft); }
.hint { border-left: .3rem solid var(--blue); padding-left: .75rem; margin-top: .5rem; }
"""


#: code between backticks, which Markdown shows as it is
_CODE = re.compile(r"(?<![`\\])`([^`]+)`(?!`)")
#: what Markdown reads as markup: inside a line, and at the beginning of one
_MARKUP = re.compile(
    r"[`|$]|\](?=[(\[:])|\\(?=[^\w\s])|<(?=[\w/!?])|&(?=#?\w+;)|~(?=~)|\*(?!\s)|(?<!\s)\*|(?<!\w)_|_(?!\w)"
)
_BEGINNING = re.compile(r"\[(?=[ xX]\])|#{1,6}(?=\s|$)|[+-](?=\s|$)|>|[=-]+(?=\s*$)|\d+(?=[.)](?:\s|$))")


def to_markdown(found: Iterable[Words]) -> str:
    """Write words as Markdown; nothing in them is read as markup but code between backticks."""
    rows: list[str] = []
    kind_before = ""
    for kind, text in found:
        if kind in ("head", "row"):
            cells = [_plain_markdown(cell) for cell in text.split(_CELL)]
            rows += ["", *_row(cells), "|---|" + "---:|" * (len(cells) - 1)] if kind == "head" else _row(cells)
        else:
            apart = [""] if kind_before == "row" and not _MARKS[kind].startswith("\n") else []
            rows += [*apart, _MARKS[kind].format(_plain_markdown(text))]
        kind_before = kind
    return re.sub(r"\n{3,}", "\n\n", "\n".join(rows)).rstrip("\n") + "\n"


def _row(cells: Iterable[str]) -> list[str]:
    return [f"| {' | '.join(cells)} |"]


def _plain_markdown(text: str) -> str:
    """Escape only what Markdown would read as markup, so that the text can be read as it is."""
    parts = _CODE.split(text)  # text, code, text, code, ..., text
    escaped = [_MARKUP.sub(r"\\\g<0>", part) if at % 2 == 0 else f"`{part}`" for at, part in enumerate(parts)]
    begins = _BEGINNING.match(escaped[0])
    if begins:
        mark = begins[0]
        escaped[0] = (f"\\{mark}" if not mark.isdigit() else f"{mark}\\") + escaped[0][len(mark) :]
    return "".join(escaped)


def _html(text: str) -> str:
    return "".join(
        escape(part) if at % 2 == 0 else f"<code>{escape(part)}</code>" for at, part in enumerate(_CODE.split(text))
    )


def to_html(found: Iterable[Words]) -> str:
    """Write words as an HTML page."""
    parts = list(found)
    title = next((text for kind, text in parts if kind == "title"), "Feedback")
    body: list[str] = []
    for kind, text in parts:
        if kind in ("head", "row"):
            tag = "th" if kind == "head" else "td"
            cells = "".join(f"<{tag}>{_html(cell)}</{tag}> " for cell in text.split(_CELL))
            body.append(("<table>\n" if kind == "head" else "") + f"<tr>{cells}</tr>")
            continue
        if body and body[-1].endswith("</tr>"):
            body.append("</table>")
        body.append(_TAGS[kind].format(_html(text)))
    if body and body[-1].endswith("</tr>"):
        body.append("</table>")
    content = "\n".join(body)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{escape(title)}</title>\n<style>\n{_STYLE}</style>\n</head>\n<body>\n<main>\n{content}\n</main>\n</body>\n</html>\n"
    )
