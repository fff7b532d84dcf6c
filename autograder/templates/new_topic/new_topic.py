"""New topic: rows of length one."""

import numpy as np


def unit_rows(x):
    """Scale each row to a Euclidean length of one.

    A row of zeros has no direction and stays as it is. The argument is not changed.

    Args:
        x: rows, (N, D) float64

    Returns:
        the scaled rows, (N, D) float64
    """
    ### BEGIN SOLUTION
    length = np.sqrt((x**2).sum(axis=1, keepdims=True))  # (N, 1)
    return x / np.where(length == 0, 1.0, length)
    ### END SOLUTION
