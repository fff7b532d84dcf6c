"""What a module's text says about how it was written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from factory import make_course

from autograder.integrity import complaints, forbidden_calls


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import ctypes", "Line 1 imports ctypes"),
        ("from gc import get_objects", "Line 1 imports gc"),
        ("import sys\nsys._getframe()", "Line 2 uses _getframe"),
        ("exec('1')", "Line 1 uses exec"),
        (f"W = '{'x' * 5000}'", "a literal of 5000 characters"),
        (f"W = {list(range(1500))}", "a list of 1500 numbers"),
    ],
)
def test_what_no_task_needs_is_a_complaint(source: str, words: str) -> None:
    assert any(words in complaint for complaint in complaints(source.encode()))


@pytest.mark.parametrize("source", ["model.eval()", "def f(:", "x = 1", "'\\d'"])
def test_honest_code_is_left_in_peace(source: str) -> None:
    assert list(complaints(source.encode())) == []


@pytest.mark.parametrize(
    "source",
    [
        "import torch\ntorch.nn.functional.conv2d(1)",
        "import torch.nn.functional as F\nF.conv2d(1)",
        "from torch.nn.functional import conv2d as c\nc(1)",
        "from torch import nn\nnn.functional.conv2d(1)",
    ],
)
def test_a_forbidden_call_is_found_under_every_name(tmp_path: Path, source: str) -> None:
    topic = make_course(tmp_path).topic("01_tiny")
    tasks = tuple(replace(task, forbid=("torch.nn.functional.conv2d",)) for task in topic.tasks[:1])

    found = forbidden_calls(source.encode(), replace(topic, tasks=tasks))

    assert "torch.nn.functional.conv2d may not be used here (line 2:" in found[tasks[0].id]
