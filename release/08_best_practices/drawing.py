"""The figures of the lesson. Given to you: each function draws numbers that the lesson has computed."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np

from dlcourse.figures import BLUE, GREEN, GREY, INK, ORANGE, RED


def leak(shares, rare):
    """Bars of accuracies for three ways to split, and how many rare rows are in the test part."""
    _, axes = plt.subplots(1, 2, figsize=(11, 3.4))
    bars = axes[0].barh(list(shares), list(shares.values()), color=[ORANGE, BLUE, GREEN])
    axes[0].bar_label(bars, fmt=" %.2f")
    axes[0].set(title="how good is the network?", xlabel="accuracy", xlim=(0, 1.12))
    axes[0].invert_yaxis()
    bins = np.arange(-0.5, 9.5)
    for (name, counts), colour in zip(rare.items(), (ORANGE, BLUE), strict=True):
        axes[1].hist(counts, bins=bins, color=colour, alpha=0.75, label=name, rwidth=0.85)
    axes[1].set(title="200 splits of 500 rows", xlabel="rows of the rare class in test", ylabel="splits")
    axes[1].legend()
    plt.show()


def threshold(negative, positive, cut, numbers, curve, point, area):
    """Two kinds of scores with a threshold, and the place of the threshold on the ROC curve."""
    _, axes = plt.subplots(1, 2, figsize=(11, 3.6), width_ratios=[1.5, 1])
    bins = np.linspace(-4, 7, 56)
    axes[0].hist(negative, bins, color=BLUE, alpha=0.7, label=f"{len(negative)} negative rows")
    axes[0].hist(positive, bins, color=ORANGE, alpha=0.8, label=f"{len(positive)} positive rows")
    axes[0].axvline(cut, color=INK, lw=2)
    axes[0].set(title=numbers, xlabel="score", ylabel="rows")
    axes[0].legend()
    axes[1].plot(*curve, color=INK, lw=2)
    axes[1].plot([0, 1], [0, 1], color=GREY, ls=":")
    axes[1].plot(*point, "o", color=RED, ms=9)
    axes[1].set(title=f"ROC curve, area {area:.3f}", aspect="equal")
    axes[1].set(xlabel="share of negative rows above", ylabel="share of positive rows above")
    plt.show()


def stopping(train, val, best, stop, scores):
    """Two curves with the best epoch and the stop; and the accuracies of three sets of weights."""
    _, axes = plt.subplots(1, 2, figsize=(11, 3.5), width_ratios=[1.7, 1])
    axes[0].plot(train, color=BLUE, lw=2, label="training loss")
    axes[0].plot(val, color=ORANGE, lw=2, label="validation loss")
    axes[0].axvline(best, color=GREEN, ls="--", label=f"best epoch: {best}")
    axes[0].axvline(stop, color=RED, ls=":", label=f"stop: {stop}")
    axes[0].set(title="100 digits, a fifth of them with a wrong label", xlabel="epoch", ylabel="loss")
    axes[0].set_ylim(0, 1.1 * max(val))
    axes[0].legend()
    bars = axes[1].bar(list(scores), list(scores.values()), color=[GREEN, RED, INK], width=0.6)
    axes[1].bar_label(bars, fmt="%.3f")
    axes[1].set(title="digits never seen", ylabel="accuracy", xlabel="weights of", ylim=(0, 1.05))
    plt.show()


def schedules(curves, rates, losses, suggestion):
    """Four schedules, and a range test."""
    _, axes = plt.subplots(1, 2, figsize=(11, 3.5))
    for (name, values), colour in zip(curves.items(), (BLUE, ORANGE, GREEN, RED), strict=True):
        axes[0].plot(values, color=colour, lw=2, label=name)
    axes[0].set(title="four schedules of 100 steps", xlabel="step", ylabel="learning rate", ylim=(0, 1.35))
    axes[0].legend(ncols=2, loc="upper right")
    axes[1].semilogx(rates, losses, color=BLUE, lw=2)
    axes[1].axvline(suggestion, color=GREEN, ls="--", label=f"suggestion: {suggestion:.2g}")
    axes[1].set(title="range test: a larger rate in each step", xlabel="learning rate", ylabel="loss")
    axes[1].set_ylim(0, 1.3 * losses[0])
    axes[1].legend(loc="lower left")
    plt.show()


def search(trials, best, uniform, logarithmic):
    """Where two kinds of draws fall, and the trials of a search."""
    _, axes = plt.subplots(1, 2, figsize=(11, 3.5))
    bins = np.geomspace(1e-4, 10, 31)
    for draws, colour, name in ((uniform, ORANGE, "uniform"), (logarithmic, BLUE, "log-uniform")):
        axes[0].hist(draws, bins, color=colour, alpha=0.75, label=name)
    axes[0].set(title="1,000 rates from 0.0001 to 10", xlabel="learning rate", ylabel="draws", xscale="log")
    axes[0].legend(loc="upper left")
    for optimizer, colour in (("sgd", BLUE), ("adam", ORANGE)):
        own = [
            (config["optimizer"]["lr"], value) for config, value in trials if config["optimizer"]["name"] == optimizer
        ]
        axes[1].plot(*zip(*own, strict=True), "o", color=colour, ms=6, label=optimizer)
    axes[1].plot(*best, "*", color=INK, ms=16, mec="white", label="the best trial")
    axes[1].set(title="30 trials", xlabel="learning rate", ylabel="validation accuracy", xscale="log", ylim=(0, 1.05))
    axes[1].legend(loc="upper left")
    plt.show()


def diagnostics(norms, dead, ratios):
    """Gradients by layer, dead units and update ratios by rate."""
    _, axes = plt.subplots(1, 3, figsize=(12, 3.5))
    for (name, values), colour in zip(norms.items(), (BLUE, ORANGE), strict=True):
        axes[0].semilogy(range(1, len(values) + 1), values, "-o", color=colour, ms=4, lw=2, label=name)
    axes[0].set(title="gradients of nine layers", xlabel="layer", ylabel="norm of the gradient")
    axes[0].legend(loc="lower right")
    axes[1].semilogx(list(dead), list(dead.values()), "-o", color=RED, lw=2)
    axes[1].set(title="after 20 steps of SGD", xlabel="learning rate", ylabel="part of dead units", ylim=(-0.03, 1.05))
    axes[2].loglog(list(ratios), list(ratios.values()), "-o", color=BLUE, lw=2)
    axes[2].axhline(1e-3, color=GREEN, ls="--", label="rule of thumb: 0.001")
    axes[2].set(title="one step of SGD", xlabel="learning rate", ylabel="update / weight (median)")
    axes[2].legend(loc="upper left")
    plt.show()


def hunt(panels):
    """One small figure for each fault: curves of the broken code and of the fix, or two bars with a spread."""
    _, axes = plt.subplots(2, 4, figsize=(12.5, 5.6))
    for ax, (title, (kind, broken, fixed, label)) in zip(axes.flat, panels.items(), strict=True):
        if kind == "curve":
            ax.plot(broken, color=ORANGE, lw=2, label="broken")
            ax.plot(fixed, color=BLUE, lw=2, label="fixed")
            ax.set(xlabel="step", ylabel=label)
            top = max(max(fixed), broken[0])
            if max(broken) > 4 * top:
                ax.set_ylim(0, 4 * top)
        else:
            for place, values, colour in ((0, broken, ORANGE), (1, fixed, BLUE)):
                ax.plot(np.linspace(place - 0.2, place + 0.2, len(values)), values, "o", color=colour, ms=5)
            ax.set_xticks([0, 1], ["broken", "fixed"])
            ax.set(xlabel="", ylabel=label, xlim=(-0.5, 1.5))
        ax.set_title(title)
    axes[0, 0].legend()
    plt.show()


def calibration(before, after, names):
    """Reliability diagrams: accuracy in each bin of confidence."""
    _, axes = plt.subplots(1, 2, figsize=(10, 3.9))
    for ax, (confidence, is_right), name, colour in zip(axes, (before, after), names, (ORANGE, BLUE), strict=True):
        for low in np.linspace(0, 0.9, 10):
            inside = (confidence > low) & (confidence <= low + 0.1)
            if np.any(inside):
                ax.bar(low + 0.05, is_right[inside].mean(), 0.092, color=colour, alpha=0.3 + 0.7 * inside.mean())
        ax.plot([0, 1], [0, 1], color=INK, ls=":", lw=1.4)
        ax.set(title=name, xlabel="confidence", ylabel="share of right rows", xlim=(0, 1), ylim=(0, 1))
    plt.show()
