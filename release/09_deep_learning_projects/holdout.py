"""Holdout: the test rows of a table, which a run may read once. Given to you.

Test rows say how good a model is only if nothing was chosen with their help. So they are put away when the rows are
split, and read when the model is finished.

    holdout = Holdout(x, y)
    features, labels = holdout.read()      a second read is a RuntimeError
"""

from __future__ import annotations


class Holdout:
    """Rows that can be read once."""

    def __init__(self, x, y):
        """Put rows away: their features (N, D) and their labels (N,)."""
        if len(x) != len(y):
            raise ValueError(f"Holdout: {len(x)} rows and {len(y)} labels")
        self._rows = (x, y)

    def read(self):
        """Return (x, y), the first time."""
        if self._rows is None:
            raise RuntimeError("Holdout: the test rows were read already; evaluate once, at the end")
        rows, self._rows = self._rows, None
        return rows
