"""What a student reads after a run of the public tests: how far each task is, and what to think about next.

Pure: a Progress in, lines or HTML out. The plugin prints it in a terminal, `check` shows it in a notebook.
"""

from __future__ import annotations

import html
import textwrap
from collections.abc import Iterable
from typing import Literal, NamedTuple

from autograder.faults import plain
from autograder.progress import Progress, TaskProgress
from autograder.trial import Trial

Look = Literal["title", "passed", "failed", "quiet", "text", "command"]
BAR = 10  #: cells of a bar
_ALL_PASS = "All of these tests pass. Hidden tests look further: read the docstrings once more."


class Line(NamedTuple):
    """A line of the report, as spans of text that look alike."""

    spans: tuple[tuple[str, Look], ...]


def lines(
    report: Progress, *, width: int = 80, ascii_only: bool = False, printed: bool = False
) -> list[Line]:
    """Lay the report out for a terminal of that many columns; `printed` adds what the next test printed."""
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
        found.append(Line(tuple(spans)))
    found.append(Line(()))
    for text in _left_out(report):
        found += _wrapped(text, "quiet", width)
    for text in report.warnings:
        found += _wrapped(text, "failed", width)
    return found + _closing(report, width, printed=printed)


def _closing(report: Progress, width: int, *, printed: bool) -> list[Line]:
    task = report.next_task
    if task is None and not any(task.is_here for task in report.tasks):
        return []
    if task is None:
        return [*_wrapped(_ALL_PASS, "passed", width), *_reach(report, width)]
    fault = task.first_fault
    assert fault is not None
    found = [Line((("  Next: ", "title"), (f"{task.number} {task.title}".strip(), "text")))]
    found += _wrapped(fault.sentence, "failed", width, indent=4)
    found += _wrapped(fault.lesson, "text", width, indent=4)
    if printed and fault.printed:
        found.append(Line((("    It printed:", "text"),)))
        found += [Line(((f"      {row}", "quiet"),)) for row in _printed(fault)]
    found.append(Line(((f"    {command(task)}", "command"),)))
    return found + _reach(report, width)


def _printed(fault: Trial) -> list[str]:
    """The last lines that a test printed, made harmless."""
    rows = [plain(row, 200) for row in fault.printed.splitlines()]
    return [row for row in rows if row][-10:]


def command(task: TaskProgress) -> str:
    """What to type to run that task alone."""
    return f"pytest -k {task.task}"


def _reach(report: Progress, width: int) -> list[Line]:
    """Say what the points mean, where points are shown."""
    tasks = [task for task in report.tasks if task.is_here]
    if not all(task.points is not None and task.all_points and task.is_whole for task in tasks):
        return []
    reach = _number(sum(task.points or 0 for task in tasks))
    whole = _number(sum(task.all_points or 0 for task in tasks))
    text = f"Public tests reach {reach} of {whole} points; hidden tests decide the rest."
    return [Line(()), *_wrapped(text, "quiet", width)]


def _look(task: TaskProgress) -> Look:
    if task.is_done:
        return "passed"
    return "failed" if task.is_here and task.is_started else "quiet"


def _left_out(report: Progress) -> list[str]:
    """Say of each task that could not be tried here what it takes."""
    return [
        f"{task.number} {task.title}: {task.trials[0].sentence}.".strip()
        for task in report.tasks
        if not task.is_here
    ]


def _count(task: TaskProgress) -> str:
    if not task.is_here:
        return "not here"
    if not task.is_started:
        return "not started"
    return f"{task.passed} of {len(task.trials)} test{'s' * (len(task.trials) != 1)}"


def _points(task: TaskProgress) -> str:
    if task.points is None or not task.is_whole or not task.is_here:
        return ""
    return f"{_number(task.share * task.points)} of {_number(task.points)} points"


def _number(points: float) -> str:
    return f"{points:.1f}".removesuffix(".0")


def bar(share: float, *, ascii_only: bool) -> str:
    """A bar that is full only where all is done, and not empty where something is."""
    cells = BAR if share >= 1 else min(BAR - 1, max(round(share * BAR), 1 if share > 0 else 0))
    full, empty = "#-" if ascii_only else "█░"
    return full * cells + empty * (BAR - cells)


def _shorten(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 3].rstrip() + "..."


def _wrapped(text: str, look: Look, width: int, indent: int = 2) -> list[Line]:
    space = " " * indent
    fit = textwrap.TextWrapper(max(width - 1, 30), space, space, break_on_hyphens=False)
    return [Line(((row, look),)) for row in fit.wrap(text)]


def can_write(text: str, encoding: str | None) -> bool:
    """True where a stream of that encoding can show the text."""
    try:
        text.encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def to_text(report: Progress, *, width: int = 80, ascii_only: bool = False) -> str:
    """The report as plain text."""
    rows = lines(report, width=width, ascii_only=ascii_only, printed=True)
    return "\n".join([report.title, *("".join(text for text, _ in row.spans) for row in rows)])


def to_html(report: Progress) -> str:
    """The report for a notebook; every text in it is escaped."""
    rows = "".join(_html_row(task) for task in report.tasks)
    task, closing = report.next_task, f"<p>{_ALL_PASS}</p>" if any(t.is_here for t in report.tasks) else ""
    if task is not None and (fault := task.first_fault):
        closing = (
            f"<p><b>Next: {_escaped(f'{task.number} {task.title}')}</b><br>"
            f"{_escaped(fault.sentence)}<br><i>{_escaped(fault.lesson)}</i></p>"
        )
        if fault.printed:
            closing += f"<p>It printed:</p><pre>{_escaped(chr(10).join(_printed(fault)))}</pre>"
    warnings = "".join(f"<p>{_escaped(text)}</p>" for text in [*_left_out(report), *report.warnings])
    return f"<div><b>{_escaped(report.title)}</b><table>{rows}</table>{warnings}{closing}</div>"


def _html_row(task: TaskProgress) -> str:
    colour = {"passed": "#2e7d32", "failed": "#c62828"}.get(_look(task), "#757575")
    bar = (
        f'<div style="width:8em;height:.7em;background:#8884"><div style="width:{task.share:.0%};height:100%;'
        f'background:{colour}"></div></div>'
    )
    cells: Iterable[str] = (_escaped(f"{task.number} {task.title}"), bar, _count(task), _points(task))
    return "<tr>" + "".join(f'<td style="text-align:left">{cell}</td>' for cell in cells) + "</tr>"


def _escaped(text: str) -> str:
    return html.escape(text.strip())
