"""Which public tests a run takes: `pytest -k` finds tasks and functions, and answers a word that fits none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


def task_of(item: pytest.Item) -> str:
    """The task that a test belongs to, or ''."""
    marker = item.get_closest_marker("task")
    return str(marker.args[0]) if marker and marker.args else ""


class Selection:
    """The hooks of a collection, and what it knows of tests and tasks afterwards."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.tests_of: dict[tuple[Path, str], int] = {}  # (test file, task) -> how many tests it has
        self._words: set[str] = set()  # what -k finds beside the names of tests
        self._cards: dict[Path, dict[str, dict[str, Any]]] = {}

    def card(self, item: pytest.Item) -> dict[str, Any]:
        """The table of a test's task in the topic.toml beside its file; {} where there is none."""
        from autograder.student.progress import read_card

        if item.path not in self._cards:
            self._cards[item.path] = read_card(item.path.parent).get("tasks", {})
        return self._cards[item.path].get(task_of(item), {})

    def count(self, item: pytest.Item) -> int:
        """How many tests the task has in that file; 0 where only some of them were looked at."""
        some = any("::" in argument for argument in self.config.args)
        return 0 if some else self.tests_of.get((item.path, task_of(item)), 0)

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        """Let -k find the tests of a task or of a function, and count them before any is deselected."""
        if task := task_of(item):
            code = getattr(getattr(item, "function", None), "__code__", None)
            names = self.card(item).get("names", [])
            asked = {str(name) for name in names if code and name in code.co_names}
            item.extra_keyword_matches.update({task, *asked})
            self._words.update({task, *asked})
            self.tests_of[item.path, task] = self.tests_of.get((item.path, task), 0) + 1

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        if only := self.config.getoption("autograder_task"):
            wanted = only.split(",")
            self.config.hook.pytest_deselected(items=[item for item in items if task_of(item) not in wanted])
            items[:] = [item for item in items if task_of(item) in wanted]

    @pytest.hookimpl(tryfirst=True)
    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Answer a `pytest -k word` that no test fits."""
        word: str = self.config.getoption("keyword", "")
        tasks = list(dict.fromkeys(task for _, task in self.tests_of))
        if word and tasks and not terminalreporter.stats.keys() - {"deselected"}:
            from difflib import get_close_matches

            meant = "".join(f" Did you mean {close}?" for close in get_close_matches(word, self._words, n=1))
            terminalreporter.write_line(f"No test fits -k {word}.{meant} The tasks are {', '.join(tasks)}.")
