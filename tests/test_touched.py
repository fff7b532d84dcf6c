"""The tasks that a save concerns, from the texts of a module before and after."""

from __future__ import annotations

import pytest

from autograder.student.touched import touched, touched_by_tests

NAMES = {"relu": ["relu", "relu_backward"], "softmax": ["softmax"], "optimizers": ["Adam", "RATE"]}
MODULE = """
import numpy as np
from math import exp

RATE = 0.1


def relu(x):
    return np.maximum(x, 0)


def relu_backward(dout, x):
    return dout * gate(x)


def gate(x):
    return positive(x)


def positive(x):
    return x > 0


def softmax(x):
    e = exp(x)
    return e / relu(e)


class Adam:
    def step(self):
        return 1


def forgotten():
    return 2
"""


@pytest.mark.parametrize(
    ("old", "new", "tasks"),
    [
        ("np.maximum(x, 0)", "np.maximum(x, 1)", ["relu"]),
        ("return 1", "return 3", ["optimizers"]),
        ("RATE = 0.1", "RATE = 0.2", ["optimizers"]),
        ("return positive(x)", "return not positive(x)", ["relu"]),
        ("x > 0", "x >= 0", ["relu"]),
        ("import numpy as np", "import numpy.core as np", ["relu"]),
        ("from math import exp", "from cmath import exp", ["softmax"]),
        ("return 2", "return 4", []),
        ("def relu(x):", "# why?\n\ndef relu(x):", []),
        ("def positive(x):\n    return x > 0\n", "", ["relu"]),
        ("def softmax(x)", "def softmax(x, axis=1)", ["softmax"]),
        ("return 1", "return (", ["relu", "softmax", "optimizers"]),
    ],
    ids=[
        "a function", "a method", "a constant", "a helper", "a helper of a helper", "an import", "a name imported",
        "what nobody uses", "a comment", "a helper that is gone", "a signature", "no longer Python",
    ],
)  # fmt: skip
def test_a_change_concerns(old, new, tasks):
    assert old in MODULE

    assert touched(MODULE, MODULE.replace(old, new, 1), NAMES) == tasks


def test_a_function_that_is_asked_for_does_not_drag_in_those_that_call_it():
    assert touched(MODULE, MODULE.replace("np.maximum(x, 0)", "x"), NAMES) == ["relu"]


def test_a_helper_of_two_tasks_concerns_both():
    module = MODULE.replace("e / relu(e)", "e / positive(e)")

    assert touched(module, module.replace("x > 0", "x < 0"), NAMES) == ["relu", "softmax"]


def test_a_name_that_two_tasks_ask_for_concerns_both():
    names = {"forward": ["relu"], "backward": ["relu", "relu_backward"]}

    assert touched(MODULE, MODULE.replace("(x, 0)", "(x, 2)"), names) == ["forward", "backward"]


TESTS = """
import pytest

ONE = 1

def _helper(x):
    return x + ONE

@pytest.mark.task("relu", weight=2)
def test_a(student):
    assert student.relu(1) == 1

@pytest.mark.task("softmax")
def test_b(student):
    assert student.softmax(1) == _helper(0)

def test_without_a_task():
    pass
"""


@pytest.mark.parametrize(
    ("old", "new", "tasks"),
    [
        ("relu(1)", "relu(2)", ["relu"]),
        ("ONE = 1", "ONE = 2", ["softmax"]),
        ("import pytest", "import pytest  # again", []),
        ("pass", "return", []),
    ],
)
def test_a_change_of_the_tests_concerns(old, new, tasks):
    assert touched_by_tests(TESTS, TESTS.replace(old, new)) == tasks
