"""Roster: fill marks into the CSV that a learning platform exports, in the form that it imports. Pure.

The platform's own cells stay unchanged. The columns that name people are tried one after the other, in English, German,
French and Spanish. A name must match the whole cell, in upper or lower case, in any Unicode form, as "Last, First" or
"First Last"; of an e-mail address the part before the @ is enough. A student who matches two people or nobody is named,
and nothing is guessed.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import compress

from autograder.errors import CourseError
from autograder.platforms.headers import as_spoken, folded, in_english
from autograder.report.mark import Mark


@dataclass(frozen=True)
class Platform:
    """How a platform writes its roster."""

    name: str
    people: tuple[str, ...]  #: columns that name a student, the most reliable first
    kept: tuple[str, ...]  #: columns that its import needs; if this is empty, all are kept
    above: tuple[str, ...] = ()  #: how a line above the people begins, such as "Points Possible"


CANVAS = Platform(
    "Canvas",
    ("SIS Login ID", "SIS User ID", "Integration ID", "ID", "Student"),
    ("Student", "ID", "SIS User ID", "SIS Login ID", "Integration ID", "Root Account", "Section"),
    ("points possible", "manual posting", "student, test"),
)
MOODLE = Platform(
    "Moodle",
    ("Username", "ID number", "Email address", "Full name", "First name Last name"),
    ("Username", "First name", "Last name", "ID number", "Email address"),
)
GRADESCOPE = Platform("Gradescope", ("SID", "Email", "Name", "First Name Last Name"), ())
PLATFORMS = {"canvas": CANVAS, "moodle": MOODLE, "gradescope": GRADESCOPE}


@dataclass(frozen=True)
class Filled:
    """A roster with marks in it, and the people and marks that found no partner."""

    text: str
    column: str  #: the column with the marks
    filled: int
    unmatched: tuple[Mark, ...]  #: graded, but nobody of that name is on the roster, or several are
    blank: tuple[str, ...]  #: on the roster, without a mark
    locked: tuple[Mark, ...]  #: matched, but the platform says that this grade may not be changed
    out_of: float | None  #: the points that the platform gives, if the roster says so


def fill(text: str, platform: Platform, marks: Iterable[Mark], title: str, column: str = "") -> Filled:
    """Fill marks into a roster.

    Args:
        text: what the platform exported, as CSV
        platform: which one it is
        marks: of one assignment
        title: the assignment's, for the column that is looked for, or made
        column: the column to fill instead

    Raises:
        CourseError: this is no such roster
    """
    dialect, written, lines = _read(text, platform)
    header = in_english(written)
    is_worksheet = platform is MOODLE and {"Identifier", "Grade"} <= set(header)
    at = _place(written, header, column or ("Grade" if is_worksheet else title), must_exist=bool(column))
    if at is None:
        written, header, at = [*written, title], [*header, title], len(header)
        lines = [[*line, ""] for line in lines]
    people = [line for line in lines if not is_above(line, platform)]
    found, unmatched = _match(people, header, platform, list(marks))
    locked = []
    for number, mark in found.items():
        line = people[number]
        if is_worksheet and _of(line, header, "Grade can be changed").lower() == "no":
            locked.append(mark)
            continue
        line[at] = _number(mark.score)
        if is_worksheet and mark.open and "Feedback comments" in header:
            line[header.index("Feedback comments")] = f"Not graded yet: {', '.join(mark.open)}."
    out_of = _points(lines, header, platform, at, marks=found.values())
    is_kept = [is_worksheet or not platform.kept or name in platform.kept for name in header]
    is_kept[at] = True
    stream = io.StringIO()
    writer = csv.writer(stream, delimiter=dialect, lineterminator="\r\n")
    writer.writerows(compress(line, is_kept) for line in (written, *lines))
    return Filled(
        text=stream.getvalue(),
        column=written[at],
        filled=len(found) - len(locked),
        unmatched=tuple(unmatched),
        out_of=out_of,
        blank=tuple(_name(line, header, platform) for number, line in enumerate(people) if number not in found),
        locked=tuple(locked),
    )


def _points(
    lines: list[list[str]], header: Sequence[str], platform: Platform, at: int, marks: Iterable[Mark]
) -> float | None:
    """Return how many points a roster gives; a new column of Canvas gets its points in the line above the people."""
    said = [_of(line, header, "Maximum Grade") for line in lines]
    for line in lines:
        if is_above(line, platform) and line[0].strip().lower() == "points possible":
            line[at] = line[at].strip() or _number(max((mark.max_score for mark in marks), default=0.0))
            said.append(line[at])
    try:
        return next((float(text) for text in said if text), None)
    except ValueError:
        return None


def _read(text: str, platform: Platform) -> tuple[str, list[str], list[list[str]]]:
    """Read a CSV: what separates its cells, its header and its lines, each as long as the header."""
    text = text.removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}")
    first = text.splitlines()[0] if text.strip() else ""
    dialect = max(",;\t", key=first.count)
    lines = [line for line in csv.reader(io.StringIO(text), delimiter=dialect) if any(line)]
    header = [name.strip() for name in lines[0]] if lines else []
    if not any(_names(in_english(header), name) for name in platform.people):
        wanted = ", ".join(platform.people)
        raise CourseError(
            f"roster: no column of {platform.name} that names a student ({wanted}); export it from there as CSV"
        )
    return dialect, header, [(line + [""] * len(header))[: len(header)] for line in lines[1:]]


def _place(written: Sequence[str], header: Sequence[str], title: str, *, must_exist: bool) -> int | None:
    """Find the column of an assignment; platforms add their own number or kind to its title."""
    wanted = folded(title)
    plain = [re.sub(r"\s*\((?:\d+|real|points|punkte|réel|points réels)\)$", "", folded(name)) for name in written]
    plain = [re.sub(r"^(?:assignment|aufgabe|devoir|tarea): ?", "", name) for name in plain]
    found = [number for number, names in enumerate(zip(written, header, strict=True)) if wanted in map(folded, names)]
    found = found or [number for number, name in enumerate(plain) if name == wanted]
    if len(found) > 1:
        raise CourseError(f"roster: {len(found)} columns are named {title!r}; name one exactly with --column")
    if must_exist and not found:
        raise CourseError(f"roster: no column {title!r}; it has {', '.join(written)}")
    return found[0] if found else None


def _match(
    people: list[list[str]], header: Sequence[str], platform: Platform, marks: list[Mark]
) -> tuple[dict[int, Mark], list[Mark]]:
    """Find each mark's line; a line takes one mark, a mark one line."""
    found: dict[int, Mark] = {}
    left = marks
    for is_short in (False, True):
        for column in platform.people:
            names = _names(header, column)
            if not names or (is_short and "mail" not in column.lower() and "login" not in column.lower()):
                continue
            lines: dict[str, list[int]] = {}
            for number, line in enumerate(people):
                key = _key(" ".join(line[header.index(name)] for name in names), is_short=is_short)
                if key:
                    lines.setdefault(key, []).append(number)
            claims: dict[int, list[Mark]] = {}
            for mark in left:
                fits = lines.get(_key(mark.student), [])
                if len(fits) == 1 and fits[0] not in found:
                    claims.setdefault(fits[0], []).append(mark)
            found |= {number: claim[0] for number, claim in claims.items() if len(claim) == 1}
            left = [mark for mark in left if mark not in found.values()]
    return found, left


def _key(name: str, *, is_short: bool = False) -> str:
    name = folded(as_spoken(name))
    return name.partition("@")[0] if is_short else name


def _names(header: Sequence[str], column: str) -> list[str]:
    """The columns that make a name: "First name Last name" are two of them."""
    if column in header:
        return [column]
    parts = re.findall(r"(?:First|Last) [Nn]ame", column)
    return parts if parts and all(part in header for part in parts) else []


def _of(line: Sequence[str], header: Sequence[str], column: str) -> str:
    return line[header.index(column)].strip() if column in header else ""


def _name(line: Sequence[str], header: Sequence[str], platform: Platform) -> str:
    for column in platform.people:
        if names := _names(header, column):
            text = " ".join(_of(line, header, name) for name in names).strip()
            if text:
                return text
    return ",".join(line)


def is_above(line: Sequence[str], platform: Platform) -> bool:
    """Whether a line is not about a student, such as Canvas's line "Points Possible"."""
    text = line[0].strip().lower()
    return bool(platform.above) and (not text or text.startswith(platform.above))


def _number(value: float) -> str:
    return f"{round(value, 2):g}" if abs(value) < 1e5 else f"{value:.2f}"
