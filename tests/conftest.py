"""What a test run says at its end: on which rung the attacks were tried."""

from __future__ import annotations

import re
from collections import Counter

import pytest

_ATTACK = re.compile(r"test_an_attack_earns_nothing_and_harms_nobody\[([A-D])-")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many attacks were held on each rung."""
    for outcome, words in (("passed", "held"), ("failed", "not held"), ("skipped", "not tried")):
        reports = terminalreporter.stats.get(outcome, [])
        rungs = Counter(found[1] for report in reports if (found := _ATTACK.search(report.nodeid)))
        for rung, count in sorted(rungs.items()):
            terminalreporter.write_line(f"rung {rung}: {count} attacks {words}")
