"""Page: a class report, or that of a term, as one HTML file that needs no network and no other file. Pure.

The template escapes everything that it gets; the drawings escape their own labels.
"""

from __future__ import annotations

from base64 import b64encode
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path
from statistics import fmean, median
from typing import Any

from autograder.classroom import plots
from autograder.classroom.similarity import ALIKE
from autograder.classroom.summary import FEWEST, Cell, ClassReport, Item
from autograder.classroom.term import Term

RUNGS = {
    "A": "bubblewrap: own namespaces, Landlock, system-call filter",
    "B": "Landlock and system-call filter, without namespaces",
    "C": "macOS sandbox-exec",
    "D": "not isolated",
}
_SECTIONS = (
    ("attention", "For a person"),
    ("scores", "Scores"),
    ("tasks", "Tasks"),
    ("misconceptions", "Misconceptions"),
    ("stuck", "Who is stuck where"),
    ("items", "Tests"),
    ("time", "Time"),
    ("how", "Isolation and seed"),
    ("notes", "Notes"),
    ("alike", "Alike"),
)


#: sorts a table by the column that is clicked; the page allows no other script (its Content-Security-Policy)
_SCRIPT = """
for (const table of document.querySelectorAll('table.sortable'))
  for (const title of table.tHead.rows[0].cells) {
    const button = document.createElement('button');
    button.type = 'button';
    button.append(...title.childNodes);
    title.append(button);
    button.addEventListener('click', () => {
      const up = title.getAttribute('aria-sort') === 'descending' || (!title.ariaSort && title.cellIndex === 0);
      const value = row => row.cells[title.cellIndex].dataset.sort ?? row.cells[title.cellIndex].innerText;
      const compare = (a, b) => value(a).localeCompare(value(b), undefined, {numeric: true});
      const number = (a, b) => isNaN(value(a)) || isNaN(value(b)) ? compare(a, b) : value(a) - value(b);
      for (const other of table.tHead.rows[0].cells) other.removeAttribute('aria-sort');
      title.setAttribute('aria-sort', up ? 'ascending' : 'descending');
      const rows = [...table.tBodies[0].rows].sort((a, b) => up ? number(a, b) : number(b, a));
      table.tBodies[0].append(...rows);
    });
  }
"""
Links = Mapping[str, Sequence[tuple[str, str]]]  #: student -> a word and an address for each file


def page(report: ClassReport, links: Links | None = None) -> str:
    """Return the page of a class.

    Args:
        report: what is shown
        links: the files of each student that the page links to
    """
    from markupsafe import Markup  # comes with jinja2, which students need not have

    graded, rows = report.graded, report.rows
    scores, seconds = [row.score for row in graded], [row.seconds for row in rows]
    counts = Counter(row.isolation for row in rows)
    middle = median(scores) if scores else 0.0
    mean = fmean(scores) if scores else 0.0
    text: str = _template("class_report.html").render(
        report=report,
        links=links or {},
        rows_of={row.student: number for number, row in enumerate(rows, 1)},
        mean=mean,
        median=middle,
        broken=[row for row in rows if row.status != "graded"],
        rungs=sorted(counts),
        counts=counts,
        rung_words=RUNGS,
        seeds=sorted({row.seed for row in rows}),
        score_bins=plots.bins(scores, report.points),
        scores_svg=Markup(
            plots.histogram(
                scores,
                report.points,
                name="scores-plot",
                title="Students by points",
                axis="points",
                marks=(mean, middle),
            )
        ),
        tasks_svg=Markup(
            plots.task_bars(report.tasks, name="tasks-plot", title="Who has all, some or no points of a task")
        ),
        items_svg=Markup(
            plots.item_scatter(report.items, name="items-plot", title="Difficulty and discrimination of the tests")
        ),
        time_svg=Markup(
            plots.histogram(
                seconds,
                plots.nice(max(seconds, default=0.0)),
                name="time-plot",
                title="Students by the time of their examination",
                axis="seconds",
            )
        ),
        median_seconds=median(seconds) if seconds else 0.0,
        longest=max(seconds, default=0.0),
        limited=[row for row in rows if any(cell.limits for cell in row.cells)],
        noted=[row for row in rows if row.complaints],
        odd=[item for item in report.items if is_odd(item)],
        few=len(graded) < FEWEST,
        fewest=FEWEST,
        alike=ALIKE,
    )
    return text


def is_odd(item: Item) -> bool:
    """Whether a teacher should read a test again: broken, separating no students, or too hard for nearly all."""
    is_flat = item.discrimination is not None and item.discrimination < 0.1
    return item.broken > 0 or is_flat or (item.difficulty is not None and item.difficulty < 0.2)


def term_page(term: Term, links: Mapping[str, str]) -> str:
    """Return the page of a whole term.

    Args:
        term: what is shown
        links: the addresses of class reports, by assignment
    """
    text: str = _template("term_report.html").render(term=term, links=links)
    return text


@cache
def _template(name: str) -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent.parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    environment.globals.update(
        share=_share,
        number=_number,
        heat=_heat,
        shade=_shade,
        shown=_shown,
        sections=_SECTIONS,
        script=Markup(_SCRIPT),
        script_hash=Markup(f"sha256-{b64encode(sha256(_SCRIPT.encode()).digest()).decode()}"),
    )
    return environment.get_template(name)


def _share(value: float | None) -> str:
    return "none" if value is None else f"{100 * value:.0f} %"


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.2f}"


def _heat(cell: Cell) -> str:
    """Return the class of a cell of the heat table."""
    if cell.status != "graded":
        return "hb" if cell.status == "broken" else "hx"
    return _shade(cell.score / cell.points if cell.points else 0.0)


def _shade(share: float) -> str:
    """Return the class of a share of points."""
    return "h0" if share == 0 else "h4" if share == 1 else "h1" if share < 0.5 else "h2" if share < 0.8 else "h3"


def _shown(cell: Cell) -> str:
    """Return the words of a cell, which never says anything by colour alone. 0 and 100 mean exactly none and all."""
    if cell.status != "graded":
        return "?" if cell.status == "broken" else "-"
    share = 100 * cell.score / cell.points if cell.points else 0.0
    rounded = round(share) if share in (0, 100) else min(max(round(share), 1), 99)
    return f"{rounded}{' t' if cell.limits else ''}"
