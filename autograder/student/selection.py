"""Which public tests a run takes: `pytest -k` also finds tasks and functions. It says so if a word fits none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest


def task_of(item: pytest.Item) -> str:
    """The task that a test belongs to; '' if there is none."""
    marker = item.get_closest_marker("task")
    return str(marker.args[0]) if marker and marker.args else ""


def forbidden_in(item: pytest.Item, of_task: Iterable[str]) -> tuple[str, ...]:
    """What the student's code may not use in a test: what the test's marker says, else what its task forbids."""
    marker = item.get_closest_marker("task")
    return tuple(marker.kwargs.get("forbid", of_task) if marker else of_task)


def task_card(item: pytest.Item) -> dict[str, Any]:
    """The table of a test's task in the topic.toml beside its file; {} if there is none."""
    tasks: dict[str, dict[str, Any]] = card_of(item.path.parent).get("tasks", {}) if task_of(item) else {}
    return tasks.get(task_of(item), {})


def modules_of(node: pytest.Item | pytest.Module) -> tuple[str, ...]:
    """The names of the student's modules that a test, or a file of tests, examines, the main one first."""
    from autograder.student import card
    from autograder.student.module import module_path

    return card.modules_of(card_of(node.path.parent), module_path(node.path).stem)


@lru_cache(maxsize=64)
def card_of(folder: Path) -> dict[str, Any]:
    """The topic.toml of a folder, read once in a run; {} if there is none."""
    from autograder.student.card import read_card

    return read_card(folder)


class Selection:
    """The hooks of a collection, and what it knows about tests and tasks afterwards."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.tests_of: dict[tuple[Path, str], int] = {}  # (test file, task) -> how many tests it has
        self._words: set[str] = set()  # what -k finds beside the names of tests

    def card(self, item: pytest.Item) -> dict[str, Any]:
        """The table of a test's task in the topic.toml beside its file; {} if there is none."""
        return task_card(item)

    def count(self, item: pytest.Item) -> int:
        """How many tests the task has in that file; 0 if only some of them were looked at."""
        some = any("::" in argument for argument in self.config.args)
        return 0 if some else self.tests_of.get((item.path, task_of(item)), 0)

    def tests_in(self, file: Path) -> int:
        """How many tests with a task a file has."""
        return sum(count for (path, _), count in self.tests_of.items() if path == file)

    def whole_files(self, items: Iterable[pytest.Item]) -> list[Path]:
        """The public tests of the topics of which a run of `items` tries every test."""
        if any("::" in argument for argument in self.config.args):
            return []
        from autograder.student.public_tests import find_public_tests

        chosen = Counter(item.path for item in items if task_of(item))
        files = [file for file, count in chosen.items() if count == self.tests_in(file)]
        return [file for file in files if find_public_tests(file.parent) == file]

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        """Let -k find the tests of a task or of a function, and count the tests before any is deselected."""
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
        """Say which tasks there are if no test fits the word of `pytest -k word`."""
        word: str = self.config.getoption("keyword", "")
        tasks = list(dict.fromkeys(task for _, task in self.tests_of))
        if word and tasks and not terminalreporter.stats.keys() - {"deselected"}:
            from difflib import get_close_matches

            meant = "".join(f" Did you mean {close}?" for close in get_close_matches(word, self._words, n=1))
            terminalreporter.write_line(f"No test fits -k {word}.{meant} The tasks are {', '.join(tasks)}.")
