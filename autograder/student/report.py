"""What a student reads after a run of the public tests: the progress of each task, and what to think about next.

Pure: a Progress in, lines or HTML out. The plugin prints it in a terminal; `check` shows it in a notebook.
"""

from __future__ import annotations

import html
import textwrap
from collections.abc import Collection, Iterable
from typing import Literal, NamedTuple

from autograder.plain import plain
from autograder.student.progress import Progress, TaskProgress
from autograder.student.trial import Trial

Look = Literal["title", "passed", "failed", "quiet", "text", "command"]
BAR = 10  #: cells of a bar
_GREEN, _RED = "#2e7d32", "#d32f2f"  # readable on white and on JupyterLab's dark page
_QUIET = "opacity:.7;margin:.4em 0"
_BOX = "margin:.2em 0 .4em 1em;padding:.2em .6em;border-left:3px solid #8886"
_ALL_PASS = "All of these tests pass. Hidden tests look further: read the docstrings once more."


class StyledLine(NamedTuple):
    """A line of the report, as spans of text, each with one look."""

    spans: tuple[tuple[str, Look], ...]


def lines(
    report: Progress, *, width: int = 80, ascii_only: bool = False, printed: bool = False, told: Collection[str] = ()
) -> list[StyledLine]:
    """Lay the report out for a terminal.

    Args:
        report: the progress of a topic
        width: the columns of the terminal
        ascii_only: draw bars without blocks
        printed: show what a failure printed, its sizes and its test
        told: the tests whose failure pytest has printed above; it is not told again
    """
    bars = width >= 60
    names = [f"{task.number} {task.title}".strip() for task in report.tasks]
    counts = [_count(task) for task in report.tasks]
    points = [_points(task) for task in report.tasks]
    room = width - 6 - max(map(len, counts)) - max(map(len, points)) - (BAR + 2 if bars else 0)
    longest = min(max(room, 12), max(map(len, names)))
    found = []
    for task, name, count, reach in zip(report.tasks, names, counts, points, strict=True):
        look = _look(task)
        spans: list[tuple[str, Look]] = [(f"  {_shorten(name, longest):<{longest}}  ", "text")]
        if bars:
            spans.append((bar(task.share, ascii_only=ascii_only) + "  ", look))
        spans.append((f"{count:<{max(map(len, counts))}}  {reach}".rstrip(), look))
        found.append(StyledLine(tuple(spans)))
        if printed and task is not report.next_task and _has_wrong_result(task):
            found += wrapped(task.first_fault.sentence, "failed", width, indent=6)  # type: ignore[union-attr]
    found.append(StyledLine(()))
    for text in _left_out(report):
        found += wrapped(text, "quiet", width)
    for text in report.warnings:
        found += wrapped(text, "failed", width)
    return found + _closing(report, width, printed=printed, told=told)


def _closing(report: Progress, width: int, *, printed: bool, told: Collection[str]) -> list[StyledLine]:
    task = report.next_task
    if task is None and not any(task.is_here for task in report.tasks):
        return []
    if task is None:
        return [*wrapped(_ALL_PASS, "passed", width), *_reach(report, width)]
    fault = task.first_fault
    assert fault is not None
    found = [StyledLine((("  Next: ", "title"), (f"{task.number} {task.title}".strip(), "text")))]
    if fault.test not in told:
        found += wrapped(fault.sentence, "failed", width, indent=4)
    if printed:
        found += wrapped(fault.sizes, "text", width, indent=4)
    if fault.test not in told:
        found += wrapped(fault.lesson, "text", width, indent=4)
    if printed:
        found += [StyledLine(((f"      {row}", "quiet"),)) for row in fault.code.splitlines()]
        if fault.place:
            found.append(StyledLine(((f"      {fault.place}", "quiet"),)))
    if printed and fault.printed:
        found.append(StyledLine((("    It printed:", "text"),)))
        found += [StyledLine(((f"      {row}", "quiet"),)) for row in _printed(fault)]
    found.append(StyledLine(((f"    {_next_command(task, fault)}", "command"),)))
    return found + _reach(report, width)


def _next_command(task: TaskProgress, fault: Trial) -> str:
    """The command for the test alone if it gave a wrong result, else for the task."""
    return fault.alone if fault.place and fault.outcome == "failed" else command(task)


def _has_wrong_result(task: TaskProgress) -> bool:
    return any(trial.outcome == "failed" and trial.place for trial in task.trials)


def _printed(fault: Trial) -> list[str]:
    """The last lines that a test printed, made harmless."""
    rows = [plain(row, 200) for row in fault.printed.splitlines()]
    return [row for row in rows if row][-10:]


def command(task: TaskProgress) -> str:
    """The command that runs that task alone."""
    return f"pytest -k {task.task}"


def _reach(report: Progress, width: int) -> list[StyledLine]:
    """Say what the points mean, if points are shown."""
    tasks = [task for task in report.tasks if task.is_here]
    if not all(task.points is not None and task.all_points and task.is_whole for task in tasks):
        return []
    reach = _number(sum(task.points or 0 for task in tasks))
    whole = _number(sum(task.all_points or 0 for task in tasks))
    text = f"Public tests reach {reach} of {whole} points; hidden tests decide the rest."
    return [StyledLine(()), *wrapped(text, "quiet", width)]


def _look(task: TaskProgress) -> Look:
    if task.is_done:
        return "passed"
    return "failed" if task.is_here and task.is_started and task.is_run else "quiet"


def _left_out(report: Progress) -> list[str]:
    """Say for each task that could not be tried here what it needs."""
    return [
        f"{task.number} {task.title}: {task.trials[0].sentence}.".strip() for task in report.tasks if not task.is_here
    ]


def _count(task: TaskProgress) -> str:
    if not task.is_here:
        return "not here"
    if not task.is_started:
        return "not started"
    if not task.is_run:
        return "not run"
    return f"{task.passed} of {len(task.trials)} test{'s' * (len(task.trials) != 1)}"


def _points(task: TaskProgress) -> str:
    if task.points is None or not task.is_whole or not task.is_here:
        return ""
    return f"{_number(task.share * task.points)} of {_number(task.points)} points"


def _number(points: float) -> str:
    return f"{points:.1f}".removesuffix(".0")


def bar(share: float, *, ascii_only: bool) -> str:
    """A bar that is full only if all is done, and empty only if nothing is."""
    cells = BAR if share >= 1 else min(BAR - 1, max(round(share * BAR), 1 if share > 0 else 0))
    full, empty = "#-" if ascii_only else "█░"
    return full * cells + empty * (BAR - cells)


def _shorten(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 3].rstrip() + "..."


def wrapped(text: str, look: Look, width: int, indent: int = 2) -> list[StyledLine]:
    """Break a text into lines of one look."""
    space = " " * indent
    fit = textwrap.TextWrapper(max(width - 1, 30), space, space, break_on_hyphens=False)
    return [StyledLine(((row, look),)) for row in fit.wrap(text)]


def can_write(text: str, encoding: str | None) -> bool:
    """True if a stream of that encoding can show the text."""
    try:
        text.encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def to_text(report: Progress, *, width: int = 80, ascii_only: bool = False) -> str:
    """The report as plain text."""
    rows = lines(report, width=width, ascii_only=ascii_only, printed=True)
    return "\n".join([report.title, *map(_text_of, rows)])


def to_html(report: Progress) -> str:
    """The report for a notebook, readable on a light and on a dark page; every text in it is escaped."""
    rows = "".join(_html_rows(report, task) for task in report.tasks)
    task, closing = report.next_task, f"<p>{_ALL_PASS}</p>" if any(t.is_here for t in report.tasks) else ""
    if task is not None and (fault := task.first_fault):
        closing = _html_next(task, fault)
    notes = [*_left_out(report), *report.warnings]
    warnings = "".join(f"<p>{_escaped(text)}</p>" for text in notes)
    reach = "".join(f"<p style='{_QUIET}'>{_escaped(_text_of(line))}</p>" for line in _reach(report, 200)[1:])
    table = f'<table style="margin:.4em 0;border-collapse:collapse;font-size:inherit;color:inherit">{rows}</table>'
    page = f"<b>{_escaped(report.title)}</b>{table}{warnings}{closing}{reach}"
    return f'<div style="font-size:14px;line-height:1.45;max-width:60em">{page}</div>'


def _html_next(task: TaskProgress, fault: Trial) -> str:
    said = [f"<b>Next: {_escaped(f'{task.number} {task.title}')}</b>"]
    said += [f'<span style="color:{_RED}">{_escaped(fault.sentence)}</span>']
    said += [_escaped(fault.sizes)] if fault.sizes else []
    said += [f"<i>{_escaped(fault.lesson)}</i>"] if fault.lesson else []
    closing = f"<p>{'<br>'.join(said)}</p>"
    if fault.code:
        closing += f"<pre style='{_BOX}'>{html.escape(fault.code)}</pre>"
    if fault.printed:
        closing += f"<p>It printed:</p><pre style='{_BOX}'>{_escaped(chr(10).join(_printed(fault)))}</pre>"
    place = f"{_escaped(fault.place)} &nbsp; " if fault.place else ""
    return f"{closing}<p style='{_QUIET}'>{place}<code>{_escaped(_next_command(task, fault))}</code></p>"


def _html_rows(report: Progress, task: TaskProgress) -> str:
    colour = {"passed": _GREEN, "failed": _RED}.get(_look(task), "#757575")
    bar = (
        f'<div style="width:8em;height:.7em;background:#8884"><div style="width:{task.share:.0%};height:100%;'
        f'background:{colour}"></div></div>'
    )
    cells: Iterable[str] = (_escaped(f"{task.number} {task.title}"), bar, _count(task), _points(task))
    row = "".join(f'<td style="text-align:left;padding:.1em .8em .1em 0">{cell}</td>' for cell in cells)
    if task is report.next_task or not _has_wrong_result(task):
        return f"<tr>{row}</tr>"
    sentence = _escaped(task.first_fault.sentence)  # type: ignore[union-attr]
    fault = f'<td colspan="4" style="text-align:left;padding:0 0 .4em 1.6em;color:{_RED}">{sentence}</td>'
    return f"<tr>{row}</tr><tr>{fault}</tr>"


def _text_of(line: StyledLine) -> str:
    return "".join(text for text, _ in line.spans)


def _escaped(text: str) -> str:
    return html.escape(text.strip())
