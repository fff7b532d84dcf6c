"""Every process collects the same tests: pytest-xdist runs nothing if two of its processes differ."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
def test_another_process_collects_the_same_tests_at_another_second(request: pytest.FixtureRequest, draw: int) -> None:
    """It collects all tests under another PYTHONHASHSEED; this run has all of them, or those that were chosen."""
    here = [item.nodeid for item in request.session.items]
    other = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST", "COV"))}
    command = [sys.executable, "-m", "pytest", "-n", "0", "--collect-only", "-q", "--draw", str(draw)]

    run = subprocess.run(
        command,
        cwd=ROOT,
        env=clean | {"PYTHONHASHSEED": other},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )

    assert run.returncode == 0, run.stdout + run.stderr
    there = [line for line in run.stdout.splitlines() if "::" in line]
    assert len(there) == len(set(there)) >= len(here)
    assert [test for test in here if test not in set(there)] == []
    assert here == there or len(here) < len(there)
