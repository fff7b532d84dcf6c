"""The pytest plugin of a student's folder: fixtures, the marker `task`, seeds. student/run.py reports.

Pytest loads it in every run if the package is installed. So it imports nothing slow, and does nothing to tests without
the marker. The judge replaces the fixture `student` by its proxy: if two plugins have a fixture of the same name, the
plugin that is registered later wins.

PYTEST_DONT_REWRITE: there is no assertion here, and a run that also names the plugin with `-p` would print a warning.
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
from autograder.student.selection import Selection, card_of, modules_of, task_card
from autograder.student.selection import forbidden_in as forbidden_in  # the judge takes both from here
from autograder.student.selection import task_of as task_of

if TYPE_CHECKING:
    from types import ModuleType

    import numpy as np


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("autograder", "a course's assignments")
    group.addoption("--autograder-seed", type=int, default=0, metavar="N", help="seed of all random draws (0)")
    group.addoption("--autograder-task", metavar="TASK,...", help="run the tests of these tasks alone")
    group.addoption("--autograder-trials", metavar="FILE", help="write each test's outcome there, as JSON")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "task(name, weight=1, forbid=..., tells=...): the graded task that a test belongs to, what is forbidden in it, "
        "and what students read if it fails",
    )
    if not config.pluginmanager.is_blocked("autograder-student-run"):
        selection = Selection(config)
        config.pluginmanager.register(selection, "autograder-student-selection")
        config.pluginmanager.register(StudentRun(config, selection), "autograder-student-run")


def pytest_collect_file(file_path: Path) -> None:
    """Before imports: run a topic's tests on one thread, which is faster for small arrays, and let Keras use torch.

    Raises:
        pytest.UsageError: a file there hides a package that the tests import
    """
    if file_path.name.startswith("test_") and (file_path.parent / "topic.toml").is_file():
        from autograder.student.card import hides_a_package

        if said := hides_a_package(file_path.parent):
            raise pytest.UsageError(said)
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        os.environ.setdefault("KERAS_BACKEND", "torch")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if task_of(item):
        seed_everything(ambient_seed(item))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    if task_of(item):
        seed_everything(ambient_seed(item))  # again, because a shared fixture may have drawn


@pytest.fixture(scope="session")
def seed(request: pytest.FixtureRequest) -> int:
    """A number drawn from the run's seed; nobody can compute the seed from it."""
    return secret_of(int(request.config.getoption("autograder_seed")))


@pytest.fixture
def rng(request: pytest.FixtureRequest, seed: int) -> np.random.Generator:
    """A separate generator for each test, made from the run's seed and the test's name."""
    return rng_of(request.node.name, seed)


@pytest.fixture(scope="module")
def student(request: pytest.FixtureRequest) -> Iterator[ModuleType]:
    """The module that the test file examines: softmax.py for test_softmax.py."""
    from autograder.student.card import given_modules
    from autograder.student.module import imported, module_path

    path = module_path(request.path)
    has_worlds = any(
        forbidden_in(item, task_card(item).get("forbid", ()))
        for item in request.session.items
        if item.path == request.path
    )
    if has_worlds:
        from autograder.student.worlds import opened
    else:
        opened = imported  # type: ignore[assignment]
    also, given = modules_of(request.node)[1:], given_modules(card_of(path.parent))
    with opened(path, also=also, given=given, patience=20.0) as module:  # the import of TensorFlow alone takes six
        yield module


@cache
def secret_of(seed: int) -> int:
    """Return the number on which all draws of a run depend: 63 bits, computed so slowly that nobody can try every seed.

    The student's code sees many draws. If it found the seed, it could compute the labels of a test set.
    """
    digest = hashlib.pbkdf2_hmac("sha256", b"autograder", str(seed).encode(), 20_000)
    return int.from_bytes(digest[:8], "big") >> 1


def rng_of(test: str, seed: int) -> np.random.Generator:
    """Return the generator of one test."""
    import numpy as np

    return np.random.default_rng([seed, zlib.crc32(test.encode())])


def ambient_seed(item: pytest.Item) -> int:
    """Return the seed of the global generators in one test: 32 bits, from which nobody can compute the run's seed."""
    secret = secret_of(int(item.config.getoption("autograder_seed")))
    digest = hashlib.blake2b(item.name.encode(), key=str(secret).encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big")


def seed_everything(seed: int) -> None:
    """Seed the global generators and switch gradients on, so that a test does not depend on earlier tests."""
    random.seed(seed)
    loaded: dict[str, Any] = {name: sys.modules.get(name) for name in ("numpy", "torch")}
    if loaded["numpy"]:
        loaded["numpy"].random.seed(seed)
    if torch := loaded["torch"]:
        # the same as torch.manual_seed, which also keeps the stack of each call for an unused GPU: 1 ms each
        torch.default_generator.manual_seed(seed)
        if torch.cuda.is_initialized():
            torch.cuda.manual_seed_all(seed)
        if torch.backends.mps.is_available():
            torch.mps.manual_seed(seed)
        torch.set_grad_enabled(True)
