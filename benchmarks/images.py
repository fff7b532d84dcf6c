"""Images: what the solution of project 1 reaches on images that it has not seen, and in what time.

    python -m benchmarks.images            on eight drawings of as many shapes as its tests draw: the steps of its
                                           accuracy follow from this
    python -m benchmarks.images --whole    on as many shapes as CIFAR-10 has photographs
    python -m benchmarks.images --whole --source cifar10    on CIFAR-10, if you have its files

Run it in the course's folder, with OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import importlib.util
import statistics
import sys
import tempfile
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import numpy as np

from dlcourse.data import SHAPES10, shapes10

PROJECT = Path("assignments", "project_1_image_classification")
_AT_ONCE = 5000  #: how many shapes are drawn at once, so that the float images need little memory


@click.command()
@click.option("--seeds", default=8, show_default=True, help="How often to draw the data and train.")
@click.option("--train", default=1200, show_default=True, help="Images to train on.")
@click.option("--test", default=1000, show_default=True, help="Images to judge by.")
@click.option("--whole", is_flag=True, help="One run on 50,000 images, judged by 10,000.")
@click.option("--epochs", type=int, help="Epochs, if not the default of Config.")
@click.option("--source", type=click.Choice(["shapes", "cifar10"]), default="shapes", show_default=True)
@click.option(
    "--module", default=PROJECT / "image_classification.py", type=Path, help="Another answer than the solution."
)
def main(seeds: int, train: int, test: int, whole: bool, epochs: int | None, source: str, module: Path) -> None:
    """Train, and print accuracy and CPU seconds of each run, with their mean and spread."""
    if whole:
        seeds, train, test = 1, 50_000, 10_000
    answer = _module(module)
    options = {} if epochs is None else {"epochs": epochs}
    reached = []
    for seed in range(seeds):
        data = (
            _shapes(train, test, seed)
            if source == "shapes"
            else _module(PROJECT / "pictures.py").load(source, train, test)
        )
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "images.npz")
            np.savez(path, **data)
            start = time.process_time()
            results = answer.run(answer.Config(str(path), str(Path(folder, "out")), **options))
        reached.append(results.accuracy)
        click.echo(
            f"data {seed}: accuracy {results.accuracy:.4f}, on validation images {results.val_accuracy:.4f}, "
            f"{results.epochs} epochs, {results.parameters} parameters, {time.process_time() - start:.0f} CPU s"
        )
    if seeds > 1:
        click.echo(f"mean {statistics.mean(reached):.4f}, standard deviation {statistics.stdev(reached):.4f}")


def _shapes(train: int, test: int, seed: int) -> dict[str, Any]:
    """Return the five arrays that `run` reads."""
    data: dict[str, Any] = {"class_names": np.array(SHAPES10)}
    for number, (part, count) in enumerate({"train": train, "test": test}.items()):
        drawn = [shapes10(min(_AT_ONCE, count - start), (seed, number, start)) for start in range(0, count, _AT_ONCE)]
        raw = [(255 * images).round().astype(np.uint8).transpose(0, 2, 3, 1) for images, _ in drawn]
        data |= {f"{part}_images": np.concatenate(raw), f"{part}_labels": np.concatenate([y for _, y in drawn])}
    return data


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[path.stem] = importlib.util.module_from_spec(spec)  # dataclasses look it up there
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main()
