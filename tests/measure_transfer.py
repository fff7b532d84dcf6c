"""Measure what the solution of project 3 reaches, for the floors of its tests: mean, deviation and least of some draws.

    cd tests && python -m measure_transfer [draws]

The draws are those of the hidden tests, with a data seed that no test has. A floor is for a mean over several draws, so
its distance is printed in deviations of that mean.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from dlcourse.data import shapes7_weights, shapes10

SEED = 20_000  #: data seed
#: what is measured -> (the floor, over how many draws a test takes the mean)
FLOORS = {
    "linear_probe": (0.80, 5), "fine_tune": (0.80, 5), "gain over scratch": (0.10, 5), "seen, scratch": (0.80, 5),
    "seen, linear_probe": (0.80, 5), "seen, fine_tune": (0.80, 5), "run": (0.90, 3), "run, another domain": (0.85, 1),
    "adabn, dark": (0.90, 1), "adabn, inverted": (0.90, 1),
}  # fmt: skip


def main() -> None:
    sys.path.insert(0, str(Path(__file__).parents[1] / "assignments" / "project_3_transfer_learning"))
    import transfer_learning as tl

    torch.set_num_threads(1)
    state = {name: torch.from_numpy(value) for name, value in shapes7_weights().items()}
    found: dict[str, list[float]] = {name: [] for name in FLOORS}
    for draw in range(int(sys.argv[1]) if len(sys.argv) > 1 else 8):
        _learn(tl, state, draw, found)
        _run(tl, state, draw, found)
        _adapt(tl, state, draw, found)
    for name, values in found.items():
        floor, draws = FLOORS[name]
        mean, spread = float(np.mean(values)), float(np.std(values, ddof=1))
        far = f"{(mean - floor) / (spread / draws**0.5):.1f}" if spread else "infinite"
        print(f"{name:20} mean {mean:.3f}, deviation {spread:.3f}, least {min(values):.3f}; floor {floor}: {far}")


def _shapes(per_class: int, seed: object) -> tuple[np.ndarray, np.ndarray]:
    x, y = shapes10(10 * per_class, seed, noise=0.15)  # type: ignore[arg-type]
    return x[y >= 7], y[y >= 7] - 7


def _share(model, x: np.ndarray, y: np.ndarray) -> float:  # type: ignore[no-untyped-def]
    with torch.no_grad():
        return float((model(torch.from_numpy(x)).argmax(dim=1).numpy() == y).mean())


def _learn(tl, state, draw: int, found: dict[str, list[float]]) -> None:  # type: ignore[no-untyped-def]
    (x, y), (unseen, truth) = _shapes(5, [SEED, 6, draw]), _shapes(60, [SEED, 7, draw])
    shares = {}
    for way in tl.WAYS:
        model = tl.learn(way, state, x, y, 3, seed=draw)
        shares[way] = _share(model, unseen, truth)
        found[f"seen, {way}"].append(_share(model, x, y))
    found["linear_probe"].append(shares["linear_probe"])
    found["fine_tune"].append(shares["fine_tune"])
    found["gain over scratch"].append(shares["linear_probe"] - shares["scratch"])


def _run(tl, state, draw: int, found: dict[str, list[float]]) -> None:  # type: ignore[no-untyped-def]
    (x, y), (unseen, truth) = _shapes(10, [SEED, 12, draw]), _shapes(80, [SEED, 13, draw])
    for name, offset, factor in (("run", 0.0, 1.0), ("run, another domain", 0.0, 0.1)):
        with tempfile.TemporaryDirectory() as folder:
            weights, data, out = (str(Path(folder) / name) for name in ("weights.pt", "data.npz", "out"))
            torch.save(state, weights)
            train, test = (
                (255 * (offset + factor * images)).round().astype(np.uint8).transpose(0, 2, 3, 1)
                for images in (x, unseen)
            )
            np.savez(data, train=train, train_labels=y, test=test, test_labels=truth)
            found[name].append(tl.run(tl.Config(weights, data, out)).accuracy)


def _adapt(tl, state, draw: int, found: dict[str, list[float]]) -> None:  # type: ignore[no-untyped-def]
    (images, _), (x, y) = shapes10(200, [SEED, 2, draw]), shapes10(400, [SEED, 3, draw])
    for name, offset, factor in (("adabn, dark", 0.0, 0.15), ("adabn, inverted", 0.5, -0.3)):
        model = tl.ShapeNet(7)
        tl.load_pretrained(model, state)
        tl.adabn(model.eval(), (offset + factor * images).astype(np.float32))
        found[name].append(_share(model, (offset + factor * x[y < 7]).astype(np.float32), y[y < 7]))


if __name__ == "__main__":
    main()
