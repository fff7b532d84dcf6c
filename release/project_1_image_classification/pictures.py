"""The images of the lesson, and how it draws them. You need not read this file, and you hand in nothing of it."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np

from dlcourse.data import CIFAR10_CLASSES, SHAPES10, cifar10, shapes10
from dlcourse.figures import BLUE, GREY, ORANGE, RED, STEEL


def load(source="shapes", n_train=1200, n_test=1000):
    """Return the five arrays that `run` reads: see its docstring.

    Args:
        source: "shapes" for images that are drawn here, or "cifar10" for photographs, if you have their files (see
            dlcourse.data.cifar10)
        n_train, n_test: how many images
    """
    if source == "shapes":
        parts, names = (shapes10(n_train, seed=1), shapes10(n_test, seed=2)), SHAPES10
    else:
        parts, names = (cifar10("train", limit=n_train), cifar10("test", limit=n_test)), CIFAR10_CLASSES
    data = {"class_names": np.array(names)}
    for part, (images, labels) in zip(("train", "test"), parts, strict=True):
        data[f"{part}_images"] = (255 * images).round().astype(np.uint8).transpose(0, 2, 3, 1).copy()
        data[f"{part}_labels"] = labels
    return data


def for_the_eye(images):
    """Preprocessed images (N, C, H, W) as colours (N, H, W, C): 0 is grey, and three deviations are black or white."""
    return np.clip(0.5 + images.transpose(0, 2, 3, 1) / 6, 0, 1)


def draw_images(images, titles, title="", columns=10):
    """Draw colour images, (N, H, W, 3), in rows, each below its title."""
    rows = -(-len(images) // columns)
    _, grid = plt.subplots(rows, columns, figsize=(0.98 * columns, 1.25 * rows + 0.3), squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, image, name in zip(grid.flat, images, titles, strict=False):
        axes.imshow(image)
        axes.set_title(name.replace(" ", "\n") if len(name) > 9 else name, fontsize=7.5, loc="center")
    plt.suptitle(title)
    plt.show()


def draw_histograms(before, after):
    """Draw how often each value of a channel occurs, before and after `preprocess`, beside each other."""
    _, (left, right) = plt.subplots(1, 2, figsize=(9, 2.9))
    for channel, (name, colour) in enumerate({"red": RED, "green": "#3c9d6b", "blue": BLUE}.items()):
        options = {"histtype": "step", "color": colour, "label": name, "density": True, "linewidth": 1.5}
        for axes, values in ((left, before[..., channel].ravel()), (right, after[:, channel].ravel())):
            low, high = float(values.min()), float(values.max())
            half = (high - low) / 510  # half a step of a byte, so that each bin holds eight of the 256 steps
            axes.hist(values, bins=np.linspace(low - half, high + half, 33), **options)
    left.set(xlabel="value of a raw pixel", ylabel="density", title="Raw images")
    right.set(xlabel="value after preprocess", title="Mean 0, standard deviation 1 in each channel")
    right.axvline(0, color=STEEL, linestyle=":")
    left.legend(loc="upper center")
    plt.show()


def draw_parameters(model, n_classes, budget=250_000):
    """Draw how many parameters each layer of a model has, and what a linear layer on all 32x32 places would have."""
    counts = {}
    for name, module in model.named_modules():
        own = sum(parameter.numel() for parameter in module.parameters(recurse=False))
        if own:
            counts[f"{name} {type(module).__name__}"] = own
    total = sum(counts.values())
    counts["all of them"] = total
    counts[f"one linear layer, 64 channels of 32x32 to {n_classes} classes"] = 64 * 32 * 32 * n_classes
    colours = [BLUE] * (len(counts) - 2) + [ORANGE, GREY]
    _, axes = plt.subplots(figsize=(8, 0.9 + 0.27 * len(counts)))
    bars = axes.barh(list(counts), list(counts.values()), color=colours)
    axes.bar_label(bars, fmt="{:,.0f}", padding=3, fontsize=8)
    axes.axvline(budget, color=RED, linestyle="--", label="budget")
    axes.set(xscale="log", xlabel="parameters", xlim=(5, 8e6))
    axes.invert_yaxis()
    axes.legend(loc="upper right")
    plt.show()


def draw_curves(histories, title):
    """Draw the losses of several trainings, {name: history}: training as dashes, validation as a line."""
    _, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2))
    for (name, history), colour in zip(histories.items(), (ORANGE, BLUE), strict=False):
        epochs = np.arange(len(history["val_loss"])) + 1
        left.plot(epochs, history["train_loss"], "--", color=colour, label=f"{name}, training")
        left.plot(epochs, history["val_loss"], color=colour, label=f"{name}, validation")
        right.plot(epochs, history["val_accuracy"], color=colour, label=name)
    left.set(xlabel="epoch", ylabel="cross-entropy", ylim=(0, None), title=title)
    right.set(xlabel="epoch", ylabel="accuracy on validation images", ylim=(0, 1))
    left.legend(fontsize=8)
    right.legend(loc="lower right", fontsize=8)
    plt.show()


def draw_shares(report):
    """Draw precision and recall of each class, the class with the worst recall first."""
    order = np.argsort(report["recall"], kind="stable")
    names = [report["class_names"][index] for index in order]
    _, axes = plt.subplots(figsize=(8, 3.2))
    places = np.arange(len(names))
    axes.bar(places - 0.2, report["precision"][order], 0.38, color=BLUE, label="precision")
    axes.bar(places + 0.2, report["recall"][order], 0.38, color=ORANGE, label="recall")
    axes.axhline(report["accuracy"], color=STEEL, linestyle="--", label="accuracy of all")
    axes.set_xticks(places, names, rotation=30, ha="right")
    axes.set(ylabel="share", ylim=(0, 1.25), title="Classes from the worst recall to the best")
    axes.legend(loc="upper left", ncols=3, fontsize=8)
    plt.show()
