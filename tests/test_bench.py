"""The table of cheats and graders: its boxes hold, and its verdicts are right."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from attacks.attack import FAMILIES
from attacks.bench import CHEATS, Outcome, with_ours, with_pytest

pytestmark = pytest.mark.skipif(shutil.which("bwrap") is None, reason="there is no box for the stock graders")


@pytest.fixture
def course() -> Iterator[Path]:
    """A folder that is not under /tmp, which the box hides."""
    root = Path(tempfile.mkdtemp(prefix="bench-", dir="/var/tmp"))
    (root / "home").mkdir()
    yield root
    shutil.rmtree(root)


def cheat(word: str) -> str:
    (code,) = (code for _, what, code in CHEATS if word in what)
    return code


def test_stock_pytest_falls_to_a_patched_comparison(course: Path) -> None:
    outcome = with_pytest(course, cheat("comparisons"))

    assert (outcome.cheat, outcome.honest) == (1.0, 1.0)
    assert str(outcome) == "**full marks**"


def test_a_box_lets_nothing_out(course: Path) -> None:
    outside = course.with_name(f"{course.name}-outside")

    outcome = with_pytest(course, f"try: open({str(outside)!r}, 'w').write('x')\nexcept OSError: pass")

    assert not outside.exists()
    assert str(outcome) == "held"


def test_here_the_same_cheat_earns_nothing_and_the_next_student_everything(course: Path) -> None:
    assert str(with_ours(course, cheat("comparisons"))) == "held"


def test_harm_is_said_in_words() -> None:
    assert str(Outcome(0.5, 0.0, True, False, "")) == (
        "**50% of the marks**, **the next student loses marks**, **the course is changed**"
    )
    assert str(Outcome(0.0, 0.0, False, True, "")) == "**the run never ends**"
    assert str(Outcome(0.0, 1.0, False, False, "")) == "held"


def test_the_cheats_come_from_every_family() -> None:
    assert {family for family, _, _ in CHEATS} == set(FAMILIES)
    assert len(CHEATS) >= 20
