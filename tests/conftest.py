"""The order of a test run, and what it says at its end: on which rung the attacks were tried."""

from __future__ import annotations

import re
from collections import Counter

import pytest

_ATTACK = re.compile(r"test_an_attack_earns_nothing_and_harms_nobody\[([A-D])-")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest tests, an assignment's gates and its lesson, at the head of both halves.

    With two workers each begins with one half, so that neither is left alone with a long one at the end.
    """
    long = [item for item in items if item.path.stem == "test_assignments"]
    short = [item for item in items if item.path.stem != "test_assignments"]
    middle = len(short) // 2
    items[:] = [*long[::2], *short[:middle], *long[1::2], *short[middle:]]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many attacks were held on each rung."""
    for outcome, words in (("passed", "held"), ("failed", "not held"), ("skipped", "not tried")):
        reports = terminalreporter.stats.get(outcome, [])
        rungs = Counter(found[1] for report in reports if (found := _ATTACK.search(report.nodeid)))
        for rung, count in sorted(rungs.items()):
            terminalreporter.write_line(f"rung {rung}: {count} attacks {words}")
