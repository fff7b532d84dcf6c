"""Write into README.md and docs/security.md what depends on the course, the attacks and docs/bench_attacks.md.

    make docs

Each number that a page takes from elsewhere has a rule here; a table is between two comments of the page.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from attacks.corpus import ATTACKS, as_table

from autograder.authoring.syllabus import overview
from autograder.course import Course
from autograder.files import write_atomically
from autograder.plan import read_plan

COURSE = Course(Path(__file__).parent.parent)
PLAN = read_plan(COURSE.assignments)
README, SECURITY = COURSE.root / "README.md", COURSE.root / "docs" / "security.md"
TABLE = "<!-- {0}: written by `make docs` -->\n\n{1}\n\n<!-- end of {0} -->"


def fresh(path: Path) -> str:
    """Return a page as it should be.

    Raises:
        ValueError: the page has no place for one of its parts
    """
    text = path.read_text(encoding="utf-8")
    for pattern, part in PARTS[path].items():
        text, count = re.subn(pattern, lambda _, part=part: part(), text, flags=re.DOTALL)  # type: ignore[misc]
        if count != 1:
            raise ValueError(f"{path}: {pattern!r} is there {count} times; it has to be there once")
    return text


def stale() -> list[Path]:
    """Return the pages that are not as they should be."""
    return [path for path in PARTS if path.read_text(encoding="utf-8") != fresh(path)]


def _between(name: str) -> str:
    return re.escape(TABLE).replace(r"\{0\}", name).replace(r"\{1\}", ".*?")


def _attacks() -> str:
    return str(len(ATTACKS))


def _assignments() -> str:
    attacked = sorted({attack.topic_id.partition("_")[0] for attack in ATTACKS})
    is_row = [int(number) for number in attacked] == list(range(1, len(attacked) + 1))
    listed = f"{attacked[0]} to {attacked[-1]}" if is_row else f"{', '.join(attacked[:-1])} and {attacked[-1]}"
    return f"assignments {listed}"


def _course() -> str:
    return TABLE.format("assignments", "\n".join(overview(COURSE.topics(), PLAN, page="docs/course.md")))


def _corpus() -> str:
    return TABLE.format("attacks", as_table())


def _fallen(place: int) -> Callable[[], str]:
    """Give the number of cheats that fool a grader of docs/bench_attacks.md, by its column in the last row."""
    page = COURSE.root / "docs" / "bench_attacks.md"
    return lambda: re.findall(r"falls to (\d+) of", page.read_text(encoding="utf-8"))[place]


#: what is replaced in each page, and by what
PARTS: dict[Path, dict[str, Callable[[], str]]] = {
    README: {
        _between("assignments"): _course,
        r"\d+(?= hostile submissions)": _attacks,
        r"(?<=falls to )\d+(?= of them\.)": _fallen(0),
        r"(?<=with its tests in cells, falls to )\d+": _fallen(1),
    },
    SECURITY: {
        _between("attacks"): _corpus,
        r"(?<=All )\d+(?= take)": _attacks,
        r"(?<=run against )assignments [\d, ]+(?:and|to) \d+": _assignments,
    },
}


def main() -> None:
    """Write the pages, and print which ones changed."""
    for path in stale():
        write_atomically(path, fresh(path).encode())
        print(path.relative_to(COURSE.root))


if __name__ == "__main__":
    main()
