"""Pictures of the lesson, so that the notebook shows what is drawn and not how. Given to you."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np

from dlcourse.figures import BLUE, GREEN, GREY, INK, ORANGE, RED

COLOURS = (GREY, ORANGE, GREEN, BLUE)


def series_and_cuts(series, cuts):
    """Draw series, one below the other, and where each is cut in time.

    Args:
        series: name -> (times, values, what an axis says)
        cuts: name -> (values for validation, values for the test)
    """
    _, axes = plt.subplots(len(series), 1, figsize=(10.5, 1.9 * len(series)))
    for ax, (name, (times, values, label)) in zip(axes, series.items(), strict=True):
        n_val, n_test = cuts[name]
        for part, colour in (
            ((0, -n_val - n_test), BLUE),
            ((-n_val - n_test - 1, -n_test), GREEN),
            ((-n_test - 1, None), ORANGE),
        ):
            ax.plot(times[slice(*part)], values[slice(*part)], color=colour, lw=1.1)
        ax.set(title=name, xlabel="time", ylabel=label)
    axes[0].legend(
        ["learn", "choose", "judge"], ncols=3, loc="upper left", bbox_to_anchor=(0.62, 1.3), handlelength=1.2
    )
    plt.show()


def bars(groups, title, xlabel, line=None):
    """Draw horizontal bars: groups is name of a group -> (name of a bar -> length)."""
    names = list(next(iter(groups.values())))
    colours = dict(zip(names, COLOURS[-len(names) :], strict=True))
    figure, axes = plt.subplots(1, len(groups), figsize=(11, 0.6 + 0.42 * len(names)), sharey=True)
    for ax, (group, lengths) in zip(axes, groups.items(), strict=True):
        found = ax.barh(list(lengths), list(lengths.values()), color=[colours[name] for name in lengths])
        ax.bar_label(found, fmt=" %.2f")
        ax.set(title=group, xlim=(0, 1.25 * max(*lengths.values(), line or 0)))
        if line is not None:
            ax.axvline(line, color=RED, ls=":", lw=1.3)
        ax.invert_yaxis()
    axes[0].invert_yaxis()
    axes[0].set_ylim(len(names) - 0.5, -0.5)
    figure.suptitle(title, fontsize=10.5)
    figure.supxlabel(xlabel, fontsize=9.5)
    plt.show()


def errors_by_step(errors, title, ylabel, level=None):
    """Draw one line for each name: an error for each step from 1 on; `level` is (height, name) of a dotted line."""
    _, ax = plt.subplots(figsize=(7, 3.3))
    for (name, values), colour in zip(errors.items(), (ORANGE, BLUE, GREEN), strict=False):
        ax.plot(range(1, len(values) + 1), values, "-o", ms=4, lw=2, color=colour, label=name)
    if level is not None:
        ax.axhline(level[0], color=RED, ls=":", lw=1.4, label=level[1])
    ax.set(title=title, xlabel="steps ahead", ylabel=ylabel)
    ax.set_ylim(0, None)
    ax.legend()
    plt.show()


def fan(times, past, future, middle, lower, upper, title, ylabel):
    """Draw a past, the forecast of what comes next with its interval, and what came."""
    _, ax = plt.subplots(figsize=(9.5, 3.6))
    n = len(past)
    ax.plot(times[:n], past, color=INK, lw=1.6, label="what is known")
    ax.fill_between(times[n:], lower, upper, color=BLUE, alpha=0.2, label="interval")
    ax.plot(times[n:], middle, color=BLUE, lw=2, label="forecast")
    ax.plot(times[n:], future, "o", color=ORANGE, ms=5, label="what came")
    ax.axvline((times[n - 1] + times[n]) / 2, color=GREY, lw=1)
    ax.set(title=title, xlabel="time", ylabel=ylabel)
    ax.legend(ncols=4, loc="upper left", bbox_to_anchor=(0, -0.2))
    plt.show()


def promises(levels, held):
    """Draw the share of values inside of intervals over the share that was promised; held is name -> shares."""
    _, ax = plt.subplots(figsize=(5.4, 4.2))
    ax.plot([0, 1], [0, 1], color=GREY, lw=1.2, label="what is promised")
    for (name, shares), colour in zip(held.items(), (BLUE, ORANGE, GREEN), strict=False):
        ax.plot(levels, shares, "-o", ms=4, lw=2, color=colour, label=name)
    ax.set(
        title="does an interval hold?",
        xlabel="level",
        ylabel="share of the future inside",
        xlim=(0.45, 1),
        ylim=(0.2, 1),
    )
    ax.legend(loc="lower right")
    plt.show()


def often_read(test, truth):
    """Draw what runs reach on their own test rows, against what they reach on many rows that nobody has seen."""
    _, ax = plt.subplots(figsize=(8.4, 4))
    low = min(*test, *truth) - 0.02
    ax.plot([low, 1.01], [low, 1.01], color=GREY, lw=1.2, label="test rows tell the truth")
    ax.plot(truth, test, "o", color=BLUE, ms=6, alpha=0.7, label="a seed each")
    best = int(np.argmax(test))
    ax.plot(truth[best], test[best], "o", color=RED, ms=10, mfc="none", mew=2, label="the best seed, by its test rows")
    ax.axhline(np.mean(test), color=BLUE, ls=":", lw=1.2, label="mean of all seeds")
    ax.set(
        title="read the test rows often, and choose",
        xlabel="accuracy on 2,000 unseen rows",
        ylabel="accuracy on test rows",
    )
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    plt.show()


def curves(histories, cut):
    """Draw validation losses of several runs, the later ones narrower; `cut` is where the power failed, in epochs."""
    _, ax = plt.subplots(figsize=(8, 3.4))
    for (name, losses), colour, width in zip(histories.items(), (GREY, BLUE), (7, 1.8), strict=False):
        ax.plot(range(1, len(losses) + 1), losses, color=colour, lw=width, label=name, solid_capstyle="round")
    ax.axvline(cut, color=RED, ls=":", lw=1.5, label="the power fails")
    ax.set(title="validation loss of two runs", xlabel="epoch", ylabel="cross-entropy")
    ax.set_ylim(0, None)
    ax.legend()
    plt.show()


def files_shown(paths):
    """Show PNG files side by side."""
    images = [plt.imread(path) for path in paths]
    figure, axes = plt.subplots(1, len(images), figsize=(11, 4.1), width_ratios=[im.shape[1] for im in images])
    for ax, image in zip(axes, images, strict=True):
        ax.imshow(image)
        ax.set_axis_off()
    figure.suptitle("figures of the run", fontsize=10.5)
    plt.show()
