"""Checklist: which lines of the course's checklist the public tests of a student's assignments show. Pure.

Each assignment's topic.toml names the lines that its tasks help to show. A line may need tasks of several assignments.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from autograder.student.progress import Progress
from autograder.student.report import StyledLine


def checklist(found: Iterable[tuple[dict[str, Any], Progress | None]]) -> list[StyledLine]:
    """Return the checklist as lines, each ticked or with the number of tasks that are done.

    Args:
        found: the topic.toml of each assignment, and its progress; None if its tests could not run

    Returns:
        no line if no topic.toml has a checklist
    """
    enough: dict[str, int] = {}
    done: dict[str, int] = {}
    for card, progress in found:
        passed = {task.task for task in progress.tasks if task.is_here and task.is_done} if progress else set()
        for words, tasks, needed in _items(card):
            enough[words] = needed
            done[words] = done.get(words, 0) + len(passed & tasks)
    lines = [StyledLine(()), StyledLine((("  Checklist: what your public tests show", "title"),))] if enough else []
    for words, needed in enough.items():
        if done[words] >= needed:
            lines.append(StyledLine(((f"  [x] {words}", "passed"),)))
        else:
            lines.append(StyledLine(((f"  [ ] {words}", "text"), (f"  {done[words]} of {needed} tasks", "quiet"))))
    return lines


def _items(card: dict[str, Any]) -> Iterable[tuple[str, set[str], int]]:
    """Give the items of a topic.toml; what a student has damaged counts as not there."""
    entries = card.get("checklist", [])
    for entry in entries if isinstance(entries, list) else ():
        match entry:
            case {"item": str(words), "tasks": list(tasks), "enough": int(needed)}:
                yield words, {str(task) for task in tasks}, needed
