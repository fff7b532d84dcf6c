"""What the solution of 10_model_optimization reaches: the numbers behind the floors of its hidden tests.

    cd tests && python -m measure_optimization 12

For each seed it trains the expert of the hidden tests, prunes half of its weights, and distils a student with 100
labels. It prints each value's mean, standard deviation, and its mean minus five deviations (plus five for what is lost).
"""

from __future__ import annotations

import copy
import importlib
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

FOLDER = Path(__file__).resolve().parent.parent / "assignments" / "10_model_optimization"


def main() -> int:
    """Measure under as many seeds as asked for."""
    sys.path.insert(0, str(FOLDER))
    solution = importlib.import_module("model_optimization")
    suite = importlib.import_module("test_model_optimization_hidden")
    torch.set_num_threads(1)
    rows = [_measure(solution, suite, seed) for seed in range(int(sys.argv[1]) if len(sys.argv) > 1 else 8)]
    for name in rows[0]:
        values = np.array([row[name] for row in rows])
        mean, spread = values.mean(), values.std(ddof=1)
        bound = mean + 5 * spread if name.startswith("lost") else mean - 5 * spread
        print(f"{name:32} mean {mean:.4f}  deviation {spread:.4f}  five deviations away {bound:.4f}")
    print(f"asked for: lost at most {suite.DROP}, student at least {suite.DISTILLED_FLOOR}")
    return 0


def _measure(solution, suite, seed):  # type: ignore[no-untyped-def]
    expert, (x, y), (unseen, truth) = suite.expert.__wrapped__(seed)

    def share(model):  # type: ignore[no-untyped-def]
        with torch.no_grad():
            return float((model.eval()(torch.from_numpy(unseen)).argmax(dim=1).numpy() == truth).mean())

    found = {"expert": share(expert)}
    for scope in ("global", "layer"):
        thin = copy.deepcopy(expert)
        solution.magnitude_prune(thin, 0.5, scope)
        found[f"lost by pruning half ({scope})"] = found["expert"] - share(thin)
    networks = []
    for _ in range(2):
        torch.manual_seed(seed)
        networks.append(nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)))
    solution.distill(networks[0], expert, x, np.where(np.arange(len(y)) < 100, y, -100), seed=seed)
    found["student"] = share(networks[0])
    suite._train(networks[1], torch.from_numpy(x[:100]), torch.from_numpy(y[:100]), 100, seed, 0.0, 0.0)
    found["the same on 100 labels alone"] = share(networks[1])
    return found


if __name__ == "__main__":
    sys.exit(main())
