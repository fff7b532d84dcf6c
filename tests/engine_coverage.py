"""Engine coverage: which lines of the engine the tests run. `make coverage` writes a chapter of docs/verification.md.

    coverage run -m pytest ..., coverage combine      as in the Makefile
    cd tests && python -m engine_coverage             the chapter

Processes that tests start are measured too, but not what runs in the box, because nothing can be written there. So the
numbers of sandbox/inside show only what tests call without a box.
"""

from __future__ import annotations

import datetime
import re
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import coverage

from autograder.authoring.verification import page_of, with_chapter
from autograder.course import find_course
from autograder.files import write_atomically

TITLE = "Coverage of the engine"
_LEAST = 0.8  #: the share of a module's lines; a module with less is listed
_HEAD = """\
Written by `make coverage` on {day}, a part of `make verify`. The tests run {share:.1%} of the {lines} lines of the
engine. Processes that tests start are measured, except for those in the box: `sandbox/inside` shows only what tests
call without a box.

| room | lines | run |
|---|---|---|
"""

Lines = dict[str, tuple[int, int]]  #: module -> its lines, and how many of them no test runs


def measured(data_file: Path, root: Path) -> Lines:
    """Return what a combined data file says about each module of the engine."""
    tool = coverage.Coverage(data_file=str(data_file), config_file=str(root / "pyproject.toml"))
    tool.load()
    found: Lines = {}
    for path in sorted((root / "autograder").rglob("*.py")):
        name = path.relative_to(root / "autograder").as_posix()
        if not name.startswith("templates/"):
            _, statements, _, missing, _ = tool.analysis2(str(path))
            found[name] = (len(statements), len(missing))
    return found


def chapter(lines: Lines, day: datetime.date) -> str:
    """Return the chapter: the rooms, and the modules of which tests run only a small part."""
    rooms: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for name, counts in lines.items():
        rooms[name.rpartition("/")[0] or "autograder"].append(counts)
    text = _HEAD.format(day=day.isoformat(), share=_share(lines.values()), lines=sum(of for of, _ in lines.values()))
    for room, counts in sorted(rooms.items()):
        text += f"| {room} | {sum(of for of, _ in counts)} | {_share(counts):.0%} |\n"
    little = [f"`{name}` ({_share([counts]):.0%})" for name, counts in lines.items() if _share([counts]) < _LEAST]
    return text + (f"\nOf these modules the tests run less than {_LEAST:.0%}: {', '.join(little)}.\n" if little else "")


def _share(counts: Iterable[tuple[int, int]]) -> float:
    pairs = list(counts)
    lines, missing = (sum(pair[place] for pair in pairs) for place in (0, 1))
    return 1.0 if not lines else 1 - missing / lines


def main() -> int:
    course = find_course(Path.cwd())
    lines = measured(course.root / ".coverage", course.root)
    path = page_of(course)
    text = chapter(lines, datetime.date.today())
    write_atomically(path, with_chapter(path.read_text(encoding="utf-8"), TITLE, text).encode())
    found = re.search(r"[0-9.]+%", text)
    print(f"the tests run {found[0] if found else '?'} of the engine's lines; see {path.relative_to(course.root)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
