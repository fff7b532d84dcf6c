"""Hidden tests: they probe. Edges, random numbers, short rows; nothing that the docstring does not say."""

import numpy as np
import pytest

from autograder import expect


@pytest.mark.task("unit_rows")
def test_drawn_rows_have_the_reference_values(student, reference, rng):
    """Think about which axis of the table is a row: try it with more rows than columns."""
    x = rng.normal(size=(7, 3))

    expect.close(student.unit_rows(x), reference.unit_rows(x), what="unit_rows")


@pytest.mark.task("unit_rows")
def test_a_row_of_zeros_stays(student):
    """Think about a row without a direction, and about what a division does to it."""
    x = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 2.0]])

    expect.close(student.unit_rows(x), np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 1.0]]), what="unit_rows")


@pytest.mark.task("unit_rows")
def test_short_rows_become_as_long_as_others(student, rng):
    """Think about rows that are very short, but not zero."""
    directions = rng.normal(size=(4, 5))

    rows = student.unit_rows(1e-9 * directions)

    expect.close(np.sqrt((rows**2).sum(axis=1)), np.ones(4), what="the lengths of unit_rows")
