"""The order of a test run, its draw, and its last lines: the draw, and the rungs on which attacks were tried."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from draw import DRAW, VARIABLE, drawn, told
from factory import make_course

from autograder.course import Course

#: letters of a test's name with its case, and of one value of a case
_LONGEST_ID, _LONGEST_VALUE = 250, 40
#: a user's cache for this run alone
CACHE = pytest.StashKey[str]()
_ATTACK = re.compile(r"test_an_attack_earns_nothing_and_harms_nobody\[([A-D])-")


def pytest_addoption(parser: pytest.Parser) -> None:
    words = f"draw the same sample of mistakes, alternatives and lessons again (or set {VARIABLE})"
    parser.addoption("--draw", type=int, metavar="NUMBER", help=words)


def pytest_configure(config: pytest.Config) -> None:
    config.stash[DRAW] = drawn(config)
    os.environ["XDG_CACHE_HOME"] = config.stash[CACHE] = tempfile.mkdtemp(prefix="autograder-cache-")


def pytest_unconfigure(config: pytest.Config) -> None:
    shutil.rmtree(config.stash[CACHE], ignore_errors=True)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Give each process of pytest-xdist the draw of this run."""
    node.workerinput["draw"] = node.config.stash[DRAW]


@pytest.fixture(scope="session")
def draw(pytestconfig: pytest.Config) -> int:
    """The number from which the samples of this run are drawn."""
    return pytestconfig.stash[DRAW]


@pytest.fixture(scope="session")
def released(tmp_path_factory: pytest.TempPathFactory) -> Course:
    """A course with one released assignment, made once in each process; tests work on copies."""
    from autograder.authoring.release import release

    course = make_course(tmp_path_factory.mktemp("released"))
    shutil.copy(Path(__file__).parent.parent / "nbgrader_config.py", course.root)
    release(course)
    return course


def pytest_make_parametrize_id(val: object) -> str | None:
    """Give a long text, number or row of bytes a short name: its beginning and its digest."""
    if not isinstance(val, str | bytes | int):
        return None
    text = val if isinstance(val, str) else val.hex() if isinstance(val, bytes) else f"{val:x}"
    if len(text) <= _LONGEST_VALUE:
        return None
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:6]
    return f"{text[:_LONGEST_VALUE].encode('unicode_escape').decode()}~{digest}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest tests, an assignment's gates and its lesson, at the beginning of both halves.

    Each of two workers begins with one half, so that neither has a long test alone at the end.
    """
    for item in items:
        if len(item.name) > _LONGEST_ID or not item.name.isprintable():
            raise pytest.UsageError(
                f"{item.location[0]}: a test's id is {item.name[:60]!r}...; give its cases ids=[...]"
            )
    long = [item for item in items if item.path.stem == "test_assignments"]
    short = [item for item in items if item.path.stem != "test_assignments"]
    middle = len(short) // 2
    items[:] = [*long[::2], *short[:middle], *long[1::2], *short[middle:]]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was drawn, if something was, and how many attacks were held on each rung."""
    reports = [report for found in terminalreporter.stats.values() for report in found]
    if any("test_every_gate_holds" in getattr(report, "nodeid", "") for report in reports):
        for line in told(Course(Path(__file__).parent.parent), terminalreporter.config.stash[DRAW]):
            terminalreporter.write_line(line)
    for outcome, words in (("passed", "held"), ("failed", "not held"), ("skipped", "not tried")):
        reports = terminalreporter.stats.get(outcome, [])
        rungs = Counter(found[1] for report in reports if (found := _ATTACK.search(report.nodeid)))
        for rung, count in sorted(rungs.items()):
            terminalreporter.write_line(f"rung {rung}: {count} attacks {words}")
