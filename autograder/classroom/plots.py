"""Plots: draw SVG for a page. Text in, text out; every label is escaped.

A drawing is 360 units wide, the width of a phone, so that its letters can be read there. Its colours come from the
page's style sheet, so they change with its light and dark mode. A table beside each plot shows the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from autograder.classroom.summary import Item, TaskSummary

WIDTH = 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 34, 8, 22, 40


def bins(values: Sequence[float], most: float, count: int = 10) -> list[tuple[float, float, int]]:
    """Sort values from 0 to `most` into bins of equal width: (from, to, how many); the last one holds `most` too."""
    step = (most or 1.0) / count
    numbers = [0] * count
    for value in values:
        numbers[min(max(int(value / step), 0), count - 1)] += 1
    return [(index * step, (index + 1) * step, number) for index, number in enumerate(numbers)]


def nice(value: float) -> float:
    """Return the next of 1, 2, 5, 10, 20, ... that is not below a value."""
    unit = 10.0 ** math.floor(math.log10(value)) if value > 0 else 1.0
    return next(unit * step for step in (1, 2, 5, 10) if unit * step >= value or step == 10)


def histogram(
    values: Sequence[float],
    most: float,
    *,
    name: str,
    title: str,
    axis: str,
    marks: Sequence[float] = (),
) -> str:
    """Draw how often values occur.

    Args:
        values: from 0 to `most`
        name: a word that no other drawing of the page has
        title: what a screen reader says about it
        axis: what the values are
        marks: values that are drawn as a line each; the second one is dashed
    """
    height = 210
    floor, span = height - _BOTTOM, WIDTH - _LEFT - _RIGHT
    found = bins(values, most)
    top = max((number for _, _, number in found), default=0) or 1
    parts, counts = [], []
    for index, (start, end, number) in enumerate(found):
        left, wide = _LEFT + index * span / len(found), span / len(found)
        tall = (floor - _TOP) * number / top
        parts.append(
            f'<rect class="bar" x="{left + 1:.1f}" y="{floor - tall:.1f}" width="{wide - 2:.1f}" height="{tall:.1f}">'
            f"<title>{start:.3g} to {end:.3g}: {number}</title></rect>"
        )
        if number:
            counts.append(_text(left + wide / 2, floor - tall - 4, str(number), "middle", "count"))
    for start in [entry[0] for entry in found[::2]] + [found[-1][1]]:
        parts.append(_text(_LEFT + span * start / (most or 1), floor + 15, f"{start:.3g}", "middle"))
    parts.append(f'<line class="axis" x1="{_LEFT}" y1="{floor}" x2="{WIDTH - _RIGHT}" y2="{floor}"/>')
    for number, value in enumerate(marks):
        x = _LEFT + span * min(value / (most or 1), 1.0)
        parts.append(f'<line class="mark m{number}" x1="{x:.1f}" y1="{_TOP - 18}" x2="{x:.1f}" y2="{floor}"/>')
    parts += [*counts, _text(_LEFT + span / 2, height - 8, axis, "middle")]  # a line must not cross a number out
    spoken = ", ".join(f"{start:.3g} to {end:.3g}: {number}" for start, end, number in found if number)
    return _svg(name, title, spoken or "no values", height, parts)


def task_bars(tasks: Sequence[TaskSummary], *, name: str, title: str) -> str:
    """Draw for each task who has all points, some and none, and the mean share as a mark."""
    row, span = 46, WIDTH - 16
    parts = []
    for index, task in enumerate(tasks):
        top = index * row + 18
        parts.append(_text(8, top - 5, _short(f"{task.number} {task.title}".strip(), 42), "start"))
        if not task.decided or task.mean is None:
            parts.append(_text(8, top + 14, "nobody has a verdict", "start"))
            continue
        parts.append(_text(WIDTH - 8, top - 5, f"{task.mean:.0%}", "end"))
        some = task.decided - task.full - task.none
        left = 8.0
        for kind, number, words in (
            ("full", task.full, "all points"),
            ("part", some, "some"),
            ("none", task.none, "none"),
        ):
            wide = span * number / task.decided
            if not number:
                continue
            parts.append(
                f'<rect class="{kind}" x="{left:.1f}" y="{top}" width="{max(wide - 1, 1):.1f}" height="18">'
                f"<title>{words}: {number}</title></rect>"
            )
            if wide > 14:
                parts.append(_text(left + wide / 2, top + 13, str(number), "middle", f"on-{kind}"))
            left += wide
        x = 8 + span * task.mean
        parts.append(
            f'<path class="mean" d="M{x:.1f} {top + 19} l5 7 h-10 z"><title>mean {task.mean:.0%}</title></path>'
        )
    spoken = "; ".join(f"{task.title}: mean {task.mean:.0%}" for task in tasks if task.mean is not None)
    return _svg(name, title, spoken, len(tasks) * row + 6, parts)


def item_scatter(items: Sequence[Item], *, name: str, title: str) -> str:
    """Draw each test by the share that passes it and its discrimination: a square is public, a circle hidden."""
    height = 270
    floor, span, tall = height - _BOTTOM, WIDTH - _LEFT - _RIGHT, height - _BOTTOM - _TOP
    known = [item for item in items if item.difficulty is not None and item.discrimination is not None]
    low = min([0.0, *(item.discrimination or 0.0 for item in known)])
    low = math.floor(low * 2) / 2

    def point(item: Item) -> tuple[float, float]:
        return _LEFT + span * (item.difficulty or 0.0), floor - tall * ((item.discrimination or 0.0) - low) / (1 - low)

    parts = []
    zero = floor - tall * (0.1 - low) / (1 - low)
    parts.append(f'<rect class="zone" x="{_LEFT}" y="{zero:.1f}" width="{span}" height="{floor - zero:.1f}"/>')
    for step in range(round((1 - low) * 2) + 1):
        value = low + step / 2
        y = floor - tall * (value - low) / (1 - low)
        parts.append(f'<line class="grid" x1="{_LEFT}" y1="{y:.1f}" x2="{WIDTH - _RIGHT}" y2="{y:.1f}"/>')
        parts.append(_text(_LEFT - 4, y + 4, f"{value:.1f}", "end"))
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts.append(_text(_LEFT + span * share, floor + 15, f"{share:.0%}", "middle" if share < 1 else "end"))
    at_points: dict[tuple[float, float, bool], list[Item]] = {}
    for item in known:
        at_points.setdefault((*point(item), item.is_hidden), []).append(item)
    for (x, y, is_hidden), found in sorted(at_points.items(), key=lambda entry: -len(entry[1])):
        radius = min(3 + 1.4 * math.sqrt(len(found)), 16)
        names = ", ".join(item.test for item in found[:6]) + (", ..." if len(found) > 6 else "")
        about = f"{found[0].difficulty:.0%} pass, r = {found[0].discrimination:.2f}"
        said = f"<title>{len(found)} tests ({about}): {escape(names)}</title>"
        if is_hidden:
            parts.append(f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}">{said}</circle>')
        else:
            corner = f'x="{x - radius:.1f}" y="{y - radius:.1f}"'
            parts.append(f'<rect class="dot" {corner} width="{2 * radius:.1f}" height="{2 * radius:.1f}">{said}</rect>')
    parts.append(_text(_LEFT + span / 2, height - 8, "share that passes (right: easy)", "middle"))
    parts.append(_text(_LEFT, 12, "discrimination r (up: tells strong from weak)", "start"))
    low_ones = sum((item.discrimination or 0) < 0.1 for item in known)
    spoken = f"{len(known)} tests with a discrimination, {low_ones} of them below 0.1"
    return _svg(name, title, spoken, height, parts)


def _svg(name: str, title: str, spoken: str, height: float, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:g}" role="img" aria-labelledby="{name}-title {name}-desc">'
        f'<title id="{name}-title">{escape(title)}</title><desc id="{name}-desc">{escape(spoken)}</desc>'
        f"{''.join(parts)}</svg>"
    )


def _text(x: float, y: float, words: str, anchor: str, kind: str = "") -> str:
    style = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{style}>{escape(words)}</text>'


def _short(words: str, most: int) -> str:
    return words if len(words) <= most else words[: most - 3].rstrip() + "..."
