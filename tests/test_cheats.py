"""Modules without a right answer: each can be imported, and has the names of the solution."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from factory import make_course

from autograder.authoring.cheats import CHEATS, PLAIN_CHEATS, cheats
from autograder.authoring.hollows import HOLLOWS, hollows, only_init

SOLUTION = '''"""Rows."""

import numpy as np


def double(x):
    """Double, in place."""
    ### BEGIN SOLUTION
    x *= 2
    return x, len(x), [float(x.sum()), "text"]
    ### END SOLUTION


FACTOR = 2


class Halver:
    """Halve."""

    def __init__(self):
        self.count = 3

    def halve(self, x):
        """Halve."""
        ### BEGIN SOLUTION
        return x / 2
        ### END SOLUTION
'''


def run(module: str) -> dict[str, Any]:
    namespace: dict[str, Any] = {"__name__": "tiny"}
    exec(compile(module, "tiny.py", "exec"), namespace)
    return namespace


@pytest.mark.parametrize("name", [*CHEATS, *PLAIN_CHEATS])
def test_a_cheat_has_the_names_of_the_solution(tmp_path: Path, name: str) -> None:
    module = dict(cheats(make_course(tmp_path, solution=SOLUTION).topic("01_tiny")))[name]

    namespace = run(module)

    assert callable(namespace["double"])
    assert hasattr(namespace["Halver"](), "halve")


@pytest.mark.parametrize("name", HOLLOWS)
def test_a_hollow_answers_in_the_right_shape_and_leaves_everything_alone(tmp_path: Path, name: str) -> None:
    namespace = run(dict(hollows(make_course(tmp_path, solution=SOLUTION).topic("01_tiny")))[name])
    x = np.array([1.5, 2.5])

    array, count, (total, text) = namespace["double"](x)

    assert (array.shape, array.dtype, type(count), type(total), text) == ((2,), x.dtype, int, float, "")
    assert x.tolist() == [1.5, 2.5]
    assert array.tolist() != [3.0, 5.0]


def test_of_a_class_a_hollow_has_only_what_init_decides(tmp_path: Path) -> None:
    topic = make_course(tmp_path, solution=SOLUTION).topic("01_tiny")

    for module in (next(hollows(topic))[1], only_init(topic)):
        halver = run(module)["Halver"]()

        assert halver.count == 3
        with pytest.raises(RuntimeError, match="only __init__ is right here"):
            halver.halve(2)
