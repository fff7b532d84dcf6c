"""What `run` of project_2_sentiment_analysis reaches: the numbers behind the floors of its hidden tests.

    cd tests && python -m measure_sentiment 8               the solution
    cd tests && python -m measure_sentiment 8 folder        the module of this folder, such as a student's

For each draw of the data it goes through a whole run of the default config, on both grammars of the hidden tests. It
prints each value's mean, standard deviation, smallest value, and its mean minus five deviations.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import torch

FOLDER = Path(__file__).resolve().parent.parent / "assignments" / "project_2_sentiment_analysis"


def main() -> int:
    """Measure under as many seeds as asked for."""
    sys.path[:0] = [*sys.argv[2:3], str(FOLDER)]
    student = importlib.import_module("sentiment_analysis")
    suite = importlib.import_module("test_sentiment_analysis_hidden")
    torch.set_num_threads(1)
    rows = []
    for seed in range(int(sys.argv[1]) if len(sys.argv) > 1 else 8):
        rows.append(_measure(student, suite, seed))
        print(f"seed {seed}: " + ", ".join(f"{name} {value:.4f}" for name, value in rows[-1].items()), flush=True)
    for name in rows[0]:
        values = np.array([row[name] for row in rows])
        mean, spread = values.mean(), values.std(ddof=1)
        print(
            f"{name:28} mean {mean:.4f}  deviation {spread:.4f}  smallest {values.min():.4f}  "
            f"five deviations below {mean - 5 * spread:.4f}"
        )
    print(f"asked for: {suite.ALL} and {suite.NEGATED} on sentiment, {suite.STEPS} on longer sentences")
    return 0


def _measure(student, suite, seed):  # type: ignore[no-untyped-def]
    found = {}
    for name, drawn, noise in (("longer", suite._longer, 0.06), ("sentiment", suite.sentiment, 0.0)):
        predicted, truth, negated, seconds, size, _ = suite._judged(student, drawn, noise, seed)
        found[name] = float((predicted == truth).mean())
        found[f"{name}, negated"] = float((predicted[negated] == truth[negated]).mean())
        found[f"{name}, CPU seconds"] = seconds
        found[f"{name}, parameters"] = float(size)
    return found


if __name__ == "__main__":
    sys.exit(main())
