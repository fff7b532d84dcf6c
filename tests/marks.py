"""The points that every known mistake of every assignment loses, as a table that two states of the course can compare.

cd tests && python -m marks write before.json      # from the last results of `autograder verify`
cd tests && python -m marks compare before.json after.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from autograder.authoring.costs import costs
from autograder.course import find_course
from autograder.known import read_known

Marks = dict[str, float]  #: "assignment / task / mistake" -> points lost of the task's points


def marks() -> Marks:
    """Return the points that each known mistake loses, rounded to a hundredth."""
    course = find_course(Path.cwd())
    return {
        f"{topic.id} / {cost.mistake.task} / {cost.mistake.name}": round(cost.points, 2)
        for topic in course.topics()
        for cost in costs(topic, read_known(topic).failing)
    }


def compare(before: Marks, after: Marks) -> list[str]:
    """Return a line for each mistake that is new, is gone, or has another cost."""
    lines = [f"new   {name}: {after[name]:.2f}" for name in after if name not in before]
    lines += [f"gone  {name}: {before[name]:.2f}" for name in before if name not in after]
    changed = [name for name in before if name in after and before[name] != after[name]]
    return [*lines, *(f"moved {name}: {before[name]:.2f} -> {after[name]:.2f}" for name in changed)]


def main(arguments: list[str]) -> int:
    """Write or compare tables of marks; return 1 if two differ."""
    match arguments:
        case ["write", path]:
            found = marks()
            Path(path).write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
            print(f"{len(found)} known mistakes")
            return 0
        case ["compare", before, after]:
            tables = [json.loads(Path(path).read_text(encoding="utf-8")) for path in (before, after)]
            lines = compare(*tables)
            print("\n".join(lines) or f"{len(tables[0])} known mistakes: every mark is the same")
            return 1 if lines else 0
    print(__doc__)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
