"""Pictures and a small network of the lesson, so that the notebook shows what is drawn and not how. Given to you."""

from __future__ import annotations

import importlib.util
import io

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from dlcourse.figures import BLUE, GREEN, GREY, INK, ORANGE, RED


def has(*names):
    """Whether all these libraries are installed; if not, say which one is missing."""
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        print(f"not installed here: {', '.join(missing)}. Try: pip install {' '.join(missing)}")
    return not missing


class ShapeNet(nn.Module):
    """A small convolutional network for images of 32 x 32 pixels in ten classes."""

    def __init__(self):
        super().__init__()
        first = [nn.Conv2d(3, 16, 5, padding=2), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)]
        second = [nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)]
        third = [nn.Conv2d(32, 48, 3, padding=1), nn.BatchNorm2d(48), nn.ReLU()]
        self.body = nn.Sequential(*first, *second, *third)
        self.head = nn.Linear(48, 10)

    def forward(self, x):
        """Images (N, 3, 32, 32) -> logits (N, 10)."""
        return self.head(self.body(x).mean(dim=(2, 3)))


def train_epoch(model, x, labels, optimizer, batch=50):
    """Train for one epoch; return the mean loss."""
    model.train(True)
    losses = []
    for rows in torch.randperm(len(x)).split(batch):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x[rows]), labels[rows])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return float(np.mean(losses))


def measure(model, x, labels):
    """Return loss, accuracy and predictions in eval mode."""
    model.eval()
    with torch.no_grad():
        logits = model(x)
    found = logits.argmax(dim=1)
    return F.cross_entropy(logits, labels).item(), (found == labels).float().mean().item(), found


def grad_cam(model, image):
    """Where does ShapeNet look? Return the class that it sees, and the map of Grad-CAM, (8, 8)."""
    model.eval()
    maps = model.body(image[None])  # (1, 48, 8, 8)
    maps.retain_grad()
    logits = model.head(maps.mean(dim=(2, 3)))
    found = int(logits.argmax())
    logits[0, found].backward()
    weights = maps.grad.mean(dim=(2, 3), keepdim=True)
    return found, F.relu((weights * maps).sum(dim=1))[0].detach()


def two_readings(twice, once, stop):
    """Draw the points of a resumed run: once as they are in the files, and once as a purged run is read."""
    _, axes = plt.subplots(1, 2, figsize=(10, 3.2), sharey=True)
    titles = ("resumed without resume_step", "resumed with resume_step")
    for ax, points, title, colour in zip(axes, (twice, once), titles, (ORANGE, BLUE), strict=True):
        steps, values = zip(*points, strict=True)
        ax.plot(steps, values, "-o", ms=4, lw=1.6, color=colour)
        ax.axvline(stop, color=RED, ls=":", lw=1.4, label="the last checkpoint")
        ax.set(title=title, xlabel="epoch", ylabel="validation loss", yscale="log")
    axes[0].legend()
    plt.show()


def norms_of_layers(histograms):
    """Draw the root mean square of the gradients of each layer, from the histograms of a logger."""
    _, ax = plt.subplots(figsize=(7, 3.2))
    names = [tag for tag in histograms if tag.startswith("gradients/") and tag.endswith("weight")]
    names = [tag for tag in names if "body.1." not in tag and "body.5." not in tag and "body.9." not in tag]
    for tag, colour in zip(names, (BLUE, GREEN, ORANGE, RED), strict=False):
        events = histograms[tag]
        size = [np.sqrt(squares / count) for _, count, _, _, _, squares in events]
        ax.plot([event[0] for event in events], size, "-o", ms=4, color=colour, label=tag.removeprefix("gradients/"))
    ax.set(title="size of the gradients", xlabel="epoch", ylabel="root mean square", yscale="log")
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    plt.show()


def picture_shown(picture, title):
    """Show one picture of a logger."""
    _, ax = plt.subplots(figsize=(10, 1.6))
    ax.imshow(picture, interpolation="nearest")
    ax.set(title=title, xticks=[], yticks=[])
    plt.show()


def best_and_last(rows):
    """Draw, for each run, its best and its last accuracy: rows are (name, best, last)."""
    _, ax = plt.subplots(figsize=(7, 3))
    names, best, last = zip(*rows, strict=True)
    place = np.arange(len(names))
    ax.barh(place - 0.2, best, 0.38, color=BLUE, label="best, as the summary has it")
    ax.barh(place + 0.2, last, 0.38, color=GREY, label="last")
    ax.set_yticks(place, names)
    ax.invert_yaxis()
    ax.set(title="four runs, read from their own files", xlabel="validation accuracy")
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    plt.show()


def samples_with_boxes(samples, names, mean, std):
    """Draw images with the edge of their mask and their boxes; a sample is what a pipeline returns."""
    figure, axes = plt.subplots(1, len(samples), figsize=(1.5 * len(samples), 2))
    for ax, sample, name in zip(axes, samples, names, strict=True):
        image = sample["image"]
        image = image / 255 if image.dtype == np.uint8 else image * np.array(std) + np.array(mean)
        ax.imshow(image.clip(0, 1))
        if np.ptp(sample["mask"]):
            ax.contour(sample["mask"] > 0, levels=[0.5], colors=["white"], linewidths=1)
        for x1, y1, x2, y2 in (tuple(box)[:4] for box in sample["bboxes"]):
            ax.add_patch(plt.Rectangle((x1 - 0.5, y1 - 0.5), x2 - x1, y2 - y1, ec="black", fc="none", lw=1.6))
        ax.set(yticks=[], xticks=[])
        ax.set_title(name, fontsize=8.5)
    figure.suptitle("the mask has a white edge, the box is black", fontsize=9.5)
    plt.show()


def few_images(results, counts):
    """Draw the accuracy of three ways to begin, for each number of images of a class."""
    _, ax = plt.subplots(figsize=(7.5, 3.2))
    colours = dict(zip(results, (BLUE, GREEN, GREY), strict=True))
    for at, (name, rows) in enumerate(results.items()):
        place = np.arange(len(counts)) + 0.26 * (at - 1)
        bars = ax.bar(place, [np.mean(row) for row in rows], 0.24, color=colours[name], label=name)
        ax.bar_label(bars, fmt="%.2f", fontsize=8, padding=8)
        for x, row in zip(place, rows, strict=True):
            ax.plot([x] * len(row), row, "o", ms=3, color=INK)
    ax.set_xticks(range(len(counts)), [f"{count} images of each class" for count in counts])
    ax.set(title="four new classes", ylabel="accuracy on unseen images", ylim=(0, 1.12))
    ax.axhline(0.25, color=RED, ls=":", lw=1.2, label="chance")
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    plt.show()


def figures_shown(figures, title, width=11):
    """Show several Figures side by side: each is saved, and its picture is drawn."""
    pictures = []
    for figure in figures:
        file = io.BytesIO()
        figure.savefig(file, format="png", dpi=160, bbox_inches="tight")
        pictures.append(plt.imread(io.BytesIO(file.getvalue())))
    ratios = [picture.shape[1] / picture.shape[0] for picture in pictures]
    shown, axes = plt.subplots(
        1, len(pictures), figsize=(width, width / sum(ratios) + 0.35), width_ratios=ratios, squeeze=False
    )
    for ax, picture in zip(axes[0], pictures, strict=True):
        ax.imshow(picture)
        ax.set_axis_off()
    shown.suptitle(title, fontsize=10.5)
    plt.show()
