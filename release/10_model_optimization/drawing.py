"""The figures of the lesson. Given to you: each function draws numbers that the lesson has computed."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np

from dlcourse.figures import BLUE, GREEN, GREY, INK, ORANGE, RED, STEEL

COLOURS = (BLUE, ORANGE, GREEN, RED, STEEL)


def both_ends(exponents, errors, over, under):
    """The relative error of float16 by size of the number, and where its range ends."""
    _, ax = plt.subplots(figsize=(9.5, 3.4))
    ax.semilogy(exponents, errors, color=BLUE, lw=2)
    ax.axvspan(exponents[0], under, color=ORANGE, alpha=0.25, lw=0)
    ax.axvspan(over, exponents[-1], color=RED, alpha=0.25, lw=0)
    ax.text((exponents[0] + under) / 2, 0.02, "becomes 0", ha="center", color=INK)
    ax.text((over + exponents[-1]) / 2, 0.02, "becomes inf", ha="center", color=INK)
    ax.axvline(-14, color=GREY, ls=":")
    ax.text(-13.7, 0.25, "below: fewer and fewer bits", color=INK)
    ax.set(title="numbers near 2 to the power of e, in float16", xlabel="e", ylabel="largest relative error")
    plt.show()


def gradients(sizes, scale, report):
    """The sizes of gradients after scaling, beside the range of float16."""
    _, ax = plt.subplots(figsize=(9.5, 3.4))
    scaled = np.log2(sizes[sizes > 0] * scale)
    ax.hist(scaled, np.arange(-46, 30, 1), color=BLUE, alpha=0.85)
    ax.axvspan(-46, -25, color=ORANGE, alpha=0.2, lw=0, label="become 0")
    ax.axvspan(16, 30, color=RED, alpha=0.2, lw=0, label="become inf")
    lost, above = report["underflow"], report["overflow"]
    ax.set(title=f"gradients times {scale:g}: {lost:.1%} become 0, {above:.1%} become inf", xlim=(-46, 30))
    ax.set(xlabel="size of a gradient times the scale, as a power of 2", ylabel="gradients")
    ax.legend(loc="upper right")
    plt.show()


def scales(values, skipped):
    """The scale over the steps of a training, and the steps that were skipped."""
    _, ax = plt.subplots(figsize=(9.5, 3.2))
    ax.step(range(len(values)), values, where="post", color=BLUE, lw=2)
    ax.plot(skipped, [values[step] for step in skipped], "x", color=RED, ms=9, mew=2.5, label="skipped step")
    ax.set_yscale("log", base=2)
    ax.set(title="a scaler finds its scale", xlabel="step", ylabel="scale")
    ax.legend(loc="upper right")
    plt.show()


def small_steps(rows):
    """Weights over many small steps, in several precisions."""
    _, ax = plt.subplots(figsize=(9.5, 3.2))
    for (name, values), colour, width in zip(rows.items(), (ORANGE, BLUE, INK), (3, 3, 1.2), strict=True):
        ax.plot(values, color=colour, lw=width, label=name)
    ax.set(title="200 steps of 0.001, beginning at 1", xlabel="step", ylabel="weight")
    ax.legend()
    plt.show()


def differences(bars):
    """How far accumulation is from the big batch, for several networks."""
    _, ax = plt.subplots(figsize=(9.5, 2.6))
    drawn = ax.barh(list(bars), list(bars.values()), color=[BLUE, GREEN, ORANGE])
    ax.bar_label(drawn, fmt=" %.1e")
    ax.set(title="parameters after one step: four parts beside one batch", xlabel="largest difference", xscale="log")
    ax.set_xlim(1e-9, 1e1)
    ax.invert_yaxis()
    plt.show()


def pruned(weights, cut, amounts, curves):
    """Weights with the part that goes, and accuracy by the share of pruned weights."""
    _, axes = plt.subplots(1, 2, figsize=(11.5, 3.6))
    edges = np.linspace(-0.6, 0.6, 81)
    axes[0].hist(weights, edges, color=BLUE, label="kept")
    axes[0].hist(weights[abs(weights) <= cut], edges, color=ORANGE, label="the smaller half")
    axes[0].set(title="weights of a trained network", xlabel="weight", ylabel="number of weights")
    axes[0].legend()
    for (name, values), colour in zip(curves.items(), COLOURS, strict=False):
        axes[1].plot(amounts, values, "-o", ms=4, color=colour, lw=2, label=name)
    axes[1].axhline(0.1, color=GREY, ls=":")
    axes[1].text(0.0, 0.13, "guessing", color=INK)
    axes[1].set(title="digits never seen", xlabel="share of the weights that are 0", ylabel="accuracy", ylim=(0, 1.05))
    axes[1].legend(loc="lower left", bbox_to_anchor=(0.0, 0.18))
    plt.show()


def costs(rows):
    """Parameters, multiply-adds and accuracy of several networks, beside the first of them."""
    _, axes = plt.subplots(1, 3, figsize=(11.5, 2.5), sharey=True)
    titles = ("parameters", "multiply-adds of one image", "accuracy on digits never seen")
    names = list(rows)
    columns, formats = zip(*rows.values(), strict=True), (" {:,.0f}", " {:,.0f}", " {:.3f}")
    for ax, title, values, fmt in zip(axes, titles, columns, formats, strict=True):
        bars = ax.barh(names, values, color=COLOURS[: len(names)])
        ax.bar_label(bars, [fmt.format(value) for value in values])
        ax.set(title=title, xlim=(0, 1.35 * max(values)))
        ax.tick_params(axis="x", labelbottom=False, length=0)
    axes[0].set_ylabel("network")
    for ax, label in zip(axes, ("number", "number", "share"), strict=True):
        ax.set_xlabel(label)
    axes[0].invert_yaxis()
    plt.show()


def opinions(image, rows, name):
    """An image, and what a teacher says of it at two temperatures."""
    _, axes = plt.subplots(1, 3, figsize=(11, 2.9), width_ratios=[0.7, 1.3, 1.3])
    axes[0].imshow(image, cmap="gray_r", vmin=0, vmax=1)
    axes[0].set(title=f"a {name}", xticks=[], yticks=[])
    for ax, (title, values), colour in zip(axes[1:], rows.items(), (BLUE, ORANGE), strict=True):
        ax.bar(range(10), values, color=colour)
        ax.set(title=title, xlabel="digit", ylabel="probability", xticks=range(10), ylim=(0, 1.05))
    plt.show()


def accuracies(bars, title):
    """Bars of accuracies."""
    _, ax = plt.subplots(figsize=(9.5, 2.4))
    drawn = ax.barh(list(bars), list(bars.values()), color=COLOURS[: len(bars)])
    ax.bar_label(drawn, fmt=" %.3f")
    ax.set(title=title, xlabel="accuracy", xlim=(0, 1.12))
    ax.invert_yaxis()
    plt.show()


def memory(names, parts, kept):
    """What fills the memory for several settings, and what checkpoints leave of the activations."""
    _, axes = plt.subplots(1, 2, figsize=(11.5, 3.5), width_ratios=[1.6, 1])
    left = np.zeros(len(names))
    for (kind, values), colour in zip(parts.items(), COLOURS, strict=False):
        axes[0].barh(names, values, left=left, color=colour, label=kind)
        left += values
    axes[0].set(title="one training step of 12 blocks of GPT-2's size", xlabel="gigabytes", xlim=(0, 1.05 * left.max()))
    axes[0].invert_yaxis()
    axes[0].legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=4)
    axes[1].plot(list(kept), [value / 2**20 for value in kept.values()], "-o", color=BLUE, lw=2)
    axes[1].set(title="24 layers in segments", xlabel="segments", ylabel="megabytes kept", ylim=(0, None))
    plt.show()


def speeds(rows):
    """How many times as fast whole arrays are as loops."""
    _, ax = plt.subplots(figsize=(9.5, 2.3))
    bars = ax.barh(list(rows), list(rows.values()), color=BLUE)
    ax.bar_label(bars, fmt=" %.0f")
    ax.axvline(1, color=RED, ls=":")
    ax.set(title="whole arrays beside the loop", xlabel="times as fast", xscale="log")
    ax.set_xlim(0.7, 4 * max(rows.values()))
    ax.invert_yaxis()
    plt.show()


def trace(events, title):
    """A timeline of a profiler's events: one line for each depth of the calls. The longest ones have their names."""
    _, ax = plt.subplots(figsize=(11.5, 3.4))
    start = min(event[1] for event in events)
    whole = max(event[2] for event in events) - start
    for name, begin, end, depth in events:
        colour = COLOURS[sum(map(ord, name)) % 5]
        ax.barh(depth, (end - begin) / 1000, left=(begin - start) / 1000, height=0.85, color=colour, ec="white", lw=0.4)
        short = name.split(": ")[-1].removeprefix("aten::").removeprefix("Optimizer.step#")
        if end - begin > 0.011 * whole * (len(short) + 1):
            middle = ((begin + end) / 2 - start) / 1000
            ax.text(middle, depth, short, ha="center", va="center", color="white", size=8)
    ax.set(title=title, xlabel="milliseconds", ylabel="depth of the call", yticks=range(5))
    ax.invert_yaxis()
    plt.show()


def waiting(rows):
    """When a loader reads and a network works, with and without a thread that reads ahead."""
    _, axes = plt.subplots(len(rows), 1, figsize=(11, 1.6 * len(rows)), sharex=True)
    for ax, (title, (reads, works)) in zip(axes, rows.items(), strict=True):
        for line, (spans, colour) in enumerate(((reads, ORANGE), (works, BLUE))):
            for number, (begin, end) in enumerate(spans):
                ax.barh(line, 1000 * (end - begin), left=1000 * begin, height=0.8, color=colour, ec="white")
                ax.text(500 * (begin + end), line, str(number), ha="center", va="center", color="white", size=8)
        ax.set(title=title, yticks=[0, 1], yticklabels=["loader", "network"])
        ax.set_ylabel("who")
        ax.invert_yaxis()
    axes[-1].set(xlabel="milliseconds", xlim=(0, None))
    plt.show()


def rates(table, best):
    """Seconds for a batch, and samples per second, by batch size."""
    sizes = sorted(table)
    _, axes = plt.subplots(1, 2, figsize=(11, 3.2))
    axes[0].loglog(sizes, [1000 * table[size] for size in sizes], "-o", color=ORANGE, lw=2)
    axes[0].set(title="time of one batch", xlabel="batch size", ylabel="milliseconds")
    axes[1].semilogx(sizes, [size / table[size] for size in sizes], "-o", color=BLUE, lw=2)
    axes[1].axvline(best, color=GREEN, ls="--", label=f"best_batch_size: {best}")
    axes[1].set(title="samples per second", xlabel="batch size", ylabel="samples per second", ylim=(0, None))
    axes[1].legend(loc="upper left")
    plt.show()
