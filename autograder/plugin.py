"""The pytest plugin of a student's folder: fixtures, the marker `task`, seeds. Reports: student/run.py.

Pytest loads it in every run wherever the package is installed, so it imports nothing costly and does nothing
to tests without the marker. The judge replaces the fixture `student` by its proxy: of two plugins with
fixtures of one name, the one that is registered later wins.

PYTEST_DONT_REWRITE: nothing here asserts, and a run that also names the plugin by `-p` would otherwise warn.
"""

from __future__ import annotations

import hashlib
import os
import random
import sys
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from autograder.student.run import StudentRun
from autograder.student.selection import Selection
from autograder.student.selection import task_of as task_of  # the judge asks it of us

if TYPE_CHECKING:
    from types import ModuleType

    import numpy as np


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("autograder", "a course's assignments")
    group.addoption(
        "--autograder-seed", type=int, default=0, metavar="N", help="seed of all random draws (0)"
    )
    group.addoption("--autograder-task", metavar="TASK,...", help="run the tests of these tasks alone")
    group.addoption("--autograder-trials", metavar="FILE", help="write each test's outcome there, as JSON")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "task(name, weight=1): the graded task that a test belongs to")
    if not config.pluginmanager.is_blocked("autograder-student-run"):
        selection = Selection(config)
        config.pluginmanager.register(selection, "autograder-student-selection")
        config.pluginmanager.register(StudentRun(config, selection), "autograder-student-run")


def pytest_collect_file(file_path: Path) -> None:
    """Keep a topic's tests to one thread, faster for small arrays, and Keras to torch; it precedes their imports."""
    if (file_path.parent / "topic.toml").is_file():
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        os.environ.setdefault("KERAS_BACKEND", "torch")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if task_of(item):
        seed_everything(ambient_seed(item))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    if task_of(item):
        seed_everything(ambient_seed(item))  # again: a shared fixture may have drawn


@pytest.fixture(scope="session")
def seed(request: pytest.FixtureRequest) -> int:
    """A number drawn from the run's seed, from which nobody finds the seed again."""
    return secret_of(int(request.config.getoption("autograder_seed")))


@pytest.fixture
def rng(request: pytest.FixtureRequest, seed: int) -> np.random.Generator:
    """A generator of its own for each test, drawn from the run's seed and the test's name."""
    return rng_of(request.node.name, seed)


@pytest.fixture(scope="module")
def student(request: pytest.FixtureRequest) -> Iterator[ModuleType]:
    """The module that the test file examines: softmax.py for test_softmax.py."""
    from autograder.student.module import imported, module_path

    with imported(module_path(request.path), patience=20.0) as module:  # TensorFlow alone takes six
        yield module


@cache
def secret_of(seed: int) -> int:
    """Return what all draws of a run hang on: 63 bits, computed so slowly that trying every seed is no way.

    The student's code sees many draws, and with them it could regenerate the labels of a test set.
    """
    digest = hashlib.pbkdf2_hmac("sha256", b"autograder", str(seed).encode(), 20_000)
    return int.from_bytes(digest[:8], "big") >> 1


def rng_of(test: str, seed: int) -> np.random.Generator:
    """Return the generator of one test."""
    import numpy as np

    return np.random.default_rng([seed, zlib.crc32(test.encode())])


def ambient_seed(item: pytest.Item) -> int:
    """Return the seed of the global generators in one test: 32 bits, and no way back from them."""
    secret = secret_of(int(item.config.getoption("autograder_seed")))
    digest = hashlib.blake2b(item.name.encode(), key=str(secret).encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big")


def seed_everything(seed: int) -> None:
    """Set the global generators and gradients on, so that a test sees the same whatever ran before it."""
    random.seed(seed)
    loaded: dict[str, Any] = {name: sys.modules.get(name) for name in ("numpy", "torch")}
    if loaded["numpy"]:
        loaded["numpy"].random.seed(seed)
    if torch := loaded["torch"]:
        # as torch.manual_seed, which notes for a GPU that nobody uses yet where it was called from: 1 ms a time, kept
        torch.default_generator.manual_seed(seed)
        if torch.cuda.is_initialized():
            torch.cuda.manual_seed_all(seed)
        if torch.backends.mps.is_available():
            torch.mps.manual_seed(seed)
        torch.set_grad_enabled(True)
