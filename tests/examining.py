"""Examining: run an examination in the process of a test, to see from within which tests it took as plain."""

from __future__ import annotations

import io
import json
from base64 import b64encode
from collections.abc import Sequence
from typing import Any

import numpy  # noqa: F401 - pytester forgets what a run imports, and NumPy can be imported only once
import pytest

from autograder import expect  # noqa: F401 - likewise, and two copies of ours would not know each other
from autograder.grading.run.examination import Examination
from autograder.grading.run.examiner import _Hire, pytest_arguments
from autograder.sandbox.outside.zygotes import Zygote
from autograder.topic import Topic


def examine(
    pytester: pytest.Pytester,
    topic: Topic,
    zygote: Zygote,
    sources: Sequence[str | None],
    *,
    seeds: Sequence[int] = (5,),
    changes: dict[str, list[str]] | None = None,
    stops: bool = False,
    is_direct: bool = True,
) -> tuple[Examination, list[dict[str, Any]]]:
    """Examine some sources, one after the other, under each of some seeds.

    Returns:
        the examination, and all its answers, without times
    """
    requests = [
        {
            "source": None if source is None else b64encode(source.encode()).decode(),
            "seed": seed, "tests": None, "stops": stops, "changes": changes,
        }
        for seed in seeds
        for source in sources
    ]  # fmt: skip
    answers = io.StringIO()
    examination = Examination(topic, zygote, iter(map(json.dumps, requests)), answers)  # type: ignore[arg-type]
    examination.is_direct = is_direct
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
        pytester.inline_run(*pytest_arguments(topic), plugins=[_Hire(examination)])
    _collected, *said = map(json.loads, answers.getvalue().splitlines())
    assert len(said) == len(requests)
    for answer in said:
        del answer["seconds"]
        for result in answer["results"]:
            del result["seconds"], result["seconds_alone"]
    return examination, said


def outcomes(said: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Return the outcome of each test of each examination."""
    return [{result["test"]: result["outcome"] for result in answer["results"]} for answer in said]
