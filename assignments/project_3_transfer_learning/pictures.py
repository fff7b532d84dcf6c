"""Pictures of the lesson, so that the notebook shows what is drawn and not how. Given to you."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np

from dlcourse.figures import BLUE, GREEN, GREY, INK, ORANGE, show

COLOURS = (GREY, ORANGE, BLUE, GREEN)


def rows_of_images(rows, title):
    """Draw images in rows: rows is name of a row -> (images, (N, 3, H, W), and a text for each)."""
    count = max(len(images) for images, _ in rows.values())
    _, grid = plt.subplots(len(rows), count, figsize=(1.25 * count, 1.6 * len(rows) + 0.5), squeeze=False)
    for row, (name, (images, texts)) in zip(grid, rows.items(), strict=True):
        for axes in row:
            axes.axis("off")
        for axes, image, text in zip(row, images, texts, strict=False):
            show(axes, np.clip(image, 0, 1), text.replace(" ", "\n"))
            axes.axis("on")
            axes.title.set_fontsize(8)
        row[0].set_ylabel(name)
    plt.suptitle(title, fontsize=10.5)
    plt.show()


def filters(banks, title):
    """Draw banks of colour filters below each other: name -> (F, 3, KH, KW)."""
    _, grid = plt.subplots(len(banks), 16, figsize=(10, 0.75 * len(banks) + 0.5))
    for row, (name, bank) in zip(grid, banks.items(), strict=True):
        reach = np.abs(bank).max()
        for axes, kernel in zip(row, bank, strict=False):
            show(axes, 0.5 + kernel / (2 * reach))
        row[0].set_ylabel(name, rotation=0, ha="right", va="center")
    plt.suptitle(title, fontsize=10.5)
    plt.show()


def lines(curves, title, xlabel, ylabel, **settings):
    """Draw one line for each name: name -> values for 0, 1, 2, and so on."""
    _, axes = plt.subplots(figsize=(6.8, 3.2))
    for (name, values), colour in zip(curves.items(), (ORANGE, BLUE, GREEN), strict=False):
        axes.plot(range(len(values)), values, color=colour, lw=2, label=name)
    axes.set(title=title, xlabel=xlabel, ylabel=ylabel, **settings)
    axes.legend(loc="best")
    plt.show()


def rates_in_time(rates, schedule, title):
    """Draw which stage learns when, and how fast: rates of the stages, and how many learn in each epoch."""
    table = np.zeros((len(rates), len(schedule)))
    for epoch, free in enumerate(schedule):
        table[len(rates) - free :, epoch] = rates[len(rates) - free :]
    _, axes = plt.subplots(figsize=(7.5, 2.6))
    drawn = axes.imshow(
        np.log10(np.where(table > 0, table, np.nan)),
        aspect="auto",
        cmap="depth",
        vmin=-4,
        vmax=-2,
        interpolation="none",
    )
    names = [f"convolution {number + 1}" for number in range(len(rates) - 1)] + ["head"]
    for number, rate in enumerate(rates):
        axes.text(len(schedule) - 0.3, number, f" {rate:.2g}", va="center", color=INK)
    axes.set(title=title, xlabel="epoch (white: frozen; the numbers are the rates)", yticks=range(len(rates)))
    axes.set_yticklabels(names)
    axes.figure.colorbar(drawn, ax=axes, ticks=[-4, -3, -2], label="log10 of the rate", pad=0.1)
    plt.show()


def bars(groups, title, xlabel, floor=None):
    """Draw bars in groups: name of a bar -> (name of a group -> length)."""
    names = list(next(iter(groups.values())))
    high = 0.8 / len(groups)
    _, axes = plt.subplots(figsize=(7, 0.9 + 0.5 * len(names)))
    for number, ((bar, lengths), colour) in enumerate(zip(groups.items(), COLOURS[1:], strict=False)):
        places = np.arange(len(names)) + (number - (len(groups) - 1) / 2) * high
        drawn = axes.barh(places, [lengths[name] for name in names], height=high, color=colour, label=bar)
        axes.bar_label(drawn, fmt=" %.2f", fontsize=8.5)
    if floor is not None:
        axes.axvline(floor[0], color=INK, ls=":", lw=1.2, label=floor[1])
    axes.set(title=title, xlabel=xlabel, yticks=range(len(names)), yticklabels=names, xlim=(0, 1.1))
    axes.invert_yaxis()
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    plt.show()
