"""Dates: when assignments are due, as assignments/dates.toml says it, and how a date is read and told.

The file has one line for each assignment, `01_first_steps = 2030-01-31T23:59:00+01:00`. `autograder due` writes it. It
is apart from the assignments, because they stay the same next year and the dates do not.
"""

from __future__ import annotations

import datetime
import tomllib
from collections.abc import Mapping
from pathlib import Path

from autograder.errors import AuthorError
from autograder.files import write_atomically

FILE = "dates.toml"
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
           "November", "December")  # fmt: skip
_HEAD = "# When assignments are due. Written by `autograder due`; nothing else of an assignment depends on it.\n"


def dates(assignments: Path) -> dict[str, datetime.datetime]:
    """Return the due date of each assignment that has one, with its offset from UTC.

    Raises:
        AuthorError: the file is damaged
    """
    path = assignments / FILE
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise AuthorError(f"{path}: cannot be read ({error}); correct it") from error
    for name, moment in found.items():
        if not isinstance(moment, datetime.datetime):
            raise AuthorError(f"{path}: {name} is {moment!r}, no date; write 2030-01-31T23:59:00+01:00")
    return {name: _aware(moment) for name, moment in sorted(found.items())}


def due(assignment: Path) -> datetime.datetime | None:
    """Return when the assignment in this folder of assignments/ is due."""
    return dates(assignment.parent).get(assignment.name)


def write(assignments: Path, found: Mapping[str, datetime.datetime]) -> Path:
    """Write the file; return its path."""
    path = assignments / FILE
    lines = [f"{name} = {moment.isoformat()}\n" for name, moment in sorted(found.items())]
    write_atomically(path, (_HEAD + "".join(lines)).encode())
    return path


def read_date(text: str) -> datetime.datetime:
    """Return the moment that a person means; a day alone ends at 23:59, and without an offset local time is meant.

    Raises:
        AuthorError: it is no date
    """
    text = text.strip()
    try:
        day = datetime.date.fromisoformat(text)
    except ValueError:
        pass
    else:
        return _aware(datetime.datetime.combine(day, datetime.time(23, 59)))
    try:
        return _aware(datetime.datetime.fromisoformat(text))
    except ValueError:
        raise AuthorError(f'{text!r} is no date; write "2030-01-31 23:59", or "2030-01-31T23:59+01:00"') from None


def spoken(moment: datetime.datetime) -> str:
    """Return a date in words, such as "Thursday 31 January 2030, 23:59 (UTC+01:00)"."""
    offset = moment.strftime("%z")
    zone = "UTC" if moment.utcoffset() == datetime.timedelta(0) else f"UTC{offset[:3]}:{offset[3:5]}"
    day = f"{_DAYS[moment.weekday()]} {moment.day} {_MONTHS[moment.month - 1]} {moment.year}"
    return f"{day}, {moment:%H:%M} ({zone})"


def left(moment: datetime.datetime, now: datetime.datetime) -> str:
    """Return how long it is until a date, in words: "in 3 days", "in 5 hours", "2 days ago"."""
    seconds = (moment - now).total_seconds()
    amount, unit = abs(seconds) / 86400, "day"
    if amount < 2:
        amount, unit = abs(seconds) / 3600, "hour"
    if amount < 1:
        amount, unit = abs(seconds) / 60, "minute"
    words = f"{int(amount)} {unit}{'' if int(amount) == 1 else 's'}"
    return f"in {words}" if seconds >= 0 else f"{words} ago"


def in_utc(moment: datetime.datetime) -> datetime.datetime:
    """Return a moment as nbgrader's gradebook keeps it: in UTC, without saying so."""
    return moment.astimezone(datetime.UTC).replace(tzinfo=None)


def from_utc(moment: datetime.datetime) -> datetime.datetime:
    """Return a moment of nbgrader's gradebook, in local time."""
    return moment.replace(tzinfo=datetime.UTC).astimezone()


def _aware(moment: datetime.datetime) -> datetime.datetime:
    return moment if moment.tzinfo is not None else moment.astimezone()
