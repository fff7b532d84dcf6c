"""What a task forbids, in a student's own folder: the sentence and the marks are the same as behind the wall."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from test_forbidden import _BEFORE, _BEFORE_BATCH, HONEST, MANIFEST, PUBLIC, SOLUTION, with_double

from autograder.student.look import examine
from autograder.student.public_tests import run_public_tests

CHEATS = """
def double(x): return torch.add(x, x)
def windows(x): return torch.conv2d(x[None, None], torch.ones(1, 1, 2, 2))[0, 0]
def batch(tensors): return _collate(tensors)
"""
OWN_CALLS = '''

@pytest.mark.task("windows")
def test_a_test_may_convolve(student):
    """The test's own calls are let through."""
    assert float(torch.conv2d(torch.ones(1, 1, 2, 2), torch.ones(1, 1, 2, 2))) == 4
    assert torch.utils.data.default_collate([1]).tolist() == [1]


@pytest.mark.task("double", forbid=[])
def test_a_test_may_lift_it(student):
    """Here torch is there."""
    assert student.torch.add(1, 1) == 2 and student.torch is torch
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "topic.toml").write_text(MANIFEST)
    (tmp_path / "test_tiny.py").write_text(PUBLIC + OWN_CALLS)
    (tmp_path / "tiny.py").write_text(SOLUTION + _BEFORE + _BEFORE_BATCH + CHEATS)
    return tmp_path


def outcomes(folder: Path) -> dict[str, tuple[str, str]]:
    run = run_public_tests(folder)
    assert run.progress is not None, run.sentence
    return {trial.test: (trial.outcome, trial.sentence) for task in run.progress.tasks for trial in task.trials}


def test_a_forbidden_use_fails_with_the_sentence_of_the_grader(folder: Path) -> None:
    found = outcomes(folder)

    assert found["test_double"][1].startswith("double uses torch.add (line ")
    assert found["test_double"][1].endswith("which this task does not allow: write it with NumPy.")
    assert "windows uses torch.nn.functional.conv2d (line " in found["test_windows"][1]
    assert "batch uses torch.utils.data.default_collate (line " in found["test_batch"][1]
    passed = {test for test, (outcome, _) in found.items() if outcome == "passed"}
    assert passed == {"test_halve", "test_a_test_may_convolve", "test_a_test_may_lift_it"}


@pytest.mark.parametrize("name", ["a module full of torch", "a look at the type", "a parameter called torch"])
def test_an_honest_module_passes(folder: Path, name: str) -> None:
    (folder / "tiny.py").write_text(HONEST[name])

    assert {outcome for outcome, _ in outcomes(folder).values()} == {"passed"}


def test_one_test_alone_and_a_debugger_find_the_module(folder: Path) -> None:
    (folder / "tiny.py").write_text(with_double("breakpoint()\nreturn 2 * x"))

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-k", "test_double", "-p", "no:cacheprovider"],
        cwd=folder, input="p x\nc\n", capture_output=True, text=True, timeout=120,
    )  # fmt: skip

    assert "array([1., 2.])" in done.stdout
    assert "1 passed" in done.stdout


def test_submit_says_it(folder: Path) -> None:
    said = [finding.sentence for finding in examine(folder) if finding.level == "look"]

    assert any("1.1 Double: double uses torch.add (line " in sentence for sentence in said)
    assert any("1.3 Windows: windows uses torch.nn.functional.conv2d" in sentence for sentence in said)
