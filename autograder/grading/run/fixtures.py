"""The fixtures of an examination. Pytest wants functions for a whole session; these ask the examination that runs."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture(scope="session")
def student(request: pytest.FixtureRequest) -> Iterator[Any]:
    """The submission's module, behind the wall."""
    with _examination(request).lent() as module:
        yield module


@pytest.fixture(scope="session")
def reference(request: pytest.FixtureRequest) -> ModuleType:
    """The solution, here in the trusted process."""
    solution: ModuleType = _examination(request).solution()
    return solution


def _examination(request: pytest.FixtureRequest) -> Any:
    return request.config.pluginmanager.get_plugin("examination")
