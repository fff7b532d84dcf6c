"""Public tests: they teach. Small numbers that a student can follow on paper."""

import numpy as np
import pytest

from autograder import expect


@pytest.mark.task("unit_rows")
def test_three_four_has_length_five(student):
    """Each row is divided by its own length: (3, 4) has the length 5."""
    x = np.array([[3.0, 4.0], [0.0, -2.0], [8.0, 6.0]])

    rows = student.unit_rows(x)

    expect.close(rows, np.array([[0.6, 0.8], [0.0, -1.0], [0.8, 0.6]]), what="unit_rows")


@pytest.mark.task("unit_rows")
def test_the_argument_is_left_alone(student):
    """Code that calls a function does not expect it to change the argument."""
    x = np.array([[3.0, 4.0, 12.0]])
    before = x.copy()

    student.unit_rows(x)

    expect.unchanged(x, before, what="unit_rows")
