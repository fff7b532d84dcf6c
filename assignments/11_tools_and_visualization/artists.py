"""Readers of figures: what do the artists of a figure hold? Given to you.

Each reader takes what a function returned, and gives plain values; None if it is no Figure or if nothing is drawn.
"""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backend_bases import MouseEvent
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PathCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure


def drawn(figure):
    """Draw a figure, and return its first axes."""
    if not isinstance(figure, Figure) or not figure.axes:
        return None
    FigureCanvasAgg(figure).draw()
    first, *_ = figure.axes
    return first


def curves(figure):
    """Read lines: those with a label, the labels and the scale of the axes, and the legend."""
    ax = drawn(figure)
    if ax is None:
        return None
    lines = {line.get_label(): line for line in ax.lines if not str(line.get_label()).startswith("_")}
    return {
        "lines": {name: [np.array(line.get_data()[k], dtype=float) for k in (0, 1)] for name, line in lines.items()},
        "labels": (ax.get_xlabel(), ax.get_ylabel()),
        "scale": (ax.get_xscale(), ax.get_yscale()),
        "legend": legend_of(ax),
    }


def legend_of(ax: Axes):
    """The texts of a legend; [] without one."""
    legend = ax.get_legend()
    return [text.get_text() for text in legend.get_texts()] if legend and legend.get_visible() else []


def cells(figure):
    """Read a matrix: texts and colours from top to bottom and from left to right, as one sees them."""
    ax = drawn(figure)
    if ax is None:
        return None
    texts = [(text, ax.transData.transform(text.get_position())) for text in ax.texts if text.get_text()]
    texts.sort(key=lambda pair: (-round(pair[1][1]), round(pair[1][0])))
    values = []
    for _, (x, y) in texts:
        event = MouseEvent("motion_notify_event", figure.canvas, x, y)
        under = [np.ravel(artist.get_cursor_data(event)) for artist in (*ax.images, *ax.collections)]
        found = [float(value[0]) for value in under if value.size and value[0] is not None]
        values.append(found[0] if found else np.nan)
    return {
        "texts": [text.get_text() for text, _ in texts],
        "values": np.array(values),
        "columns": _names(ax.get_xticklabels(), 0),
        "rows": _names(ax.get_yticklabels(), 1)[::-1],
        "labels": (ax.get_xlabel(), ax.get_ylabel()),
    }


def _names(labels, axis):
    """The texts of ticks, in the order of the picture."""
    seen = [label for label in labels if label.get_text() and label.get_visible()]
    seen.sort(key=lambda label: label.get_window_extent().get_points()[:, axis].mean())
    return [label.get_text() for label in seen]


def pictures(figure):
    """Read a grid of images: for each its title, values, limits and number of ticks; and the form of the grid."""
    if drawn(figure) is None:
        return None
    axes = [ax for ax in figure.axes if ax.get_visible() and ax.images]
    others = [ax for ax in figure.axes if ax not in axes and ax.get_label() != "<colorbar>"]
    spots = [ax.get_position() for ax in axes]
    tops = [round(-spot.y1, 3) for spot in spots]
    places = list(zip(tops, [round(spot.x0, 3) for spot in spots], strict=True))
    return {
        "titles": [ax.get_title() for ax in axes],
        "arrays": [np.ma.getdata(ax.images[0].get_array()) for ax in axes],
        "limits": [tuple(map(float, ax.images[0].get_clim())) for ax in axes],
        "ticks": sum(ax.axison * (len(ax.get_xticks()) + len(ax.get_yticks())) for ax in axes),
        "in order": places == sorted(places),
        "in the first row": tops.count(min(tops, default=0)),
        "left over": sum(bool(ax.get_visible() and ax.axison) for ax in others),
    }


def points(figure):
    """Read points: where they are, their colours, and the names and colours of the legend."""
    ax = drawn(figure)
    if ax is None:
        return None
    where, colours = [np.zeros((0, 2))], [np.zeros((0, 3))]
    for dots in (of for of in ax.collections if isinstance(of, PathCollection)):
        spots = np.ma.getdata(dots.get_offsets())
        where.append(spots)
        colours.append(np.broadcast_to(dots.get_facecolor()[:, :3], (len(spots), 3)))
    for line in (of for of in ax.lines if of.get_marker() not in (None, "None", "", " ")):
        spots = np.stack(line.get_data(), axis=1)
        where.append(spots)
        colours.append(np.tile(to_rgba(line.get_markerfacecolor())[:3], (len(spots), 1)))
    legend = ax.get_legend()
    handles = [_colour(handle) for handle in legend.legend_handles] if legend else []
    return {
        "points": np.concatenate(where),
        "colours": np.concatenate(colours),
        "legend": legend_of(ax),
        "legend's colours": handles,
        "aspect": ax.get_aspect() in ("equal", 1),
    }


def _colour(handle):
    for name in ("get_markerfacecolor", "get_facecolor", "get_color"):
        if hasattr(handle, name):
            colour = getattr(handle, name)()
            return tuple(float(part) for part in to_rgba(colour[0] if np.ndim(colour) == 2 else colour)[:3])
    return None


def layers(figure):
    """Read images that lie above each other in the first axes."""
    ax = drawn(figure)
    if ax is None:
        return None
    return {
        "arrays": [np.ma.getdata(image.get_array()) for image in ax.images],
        "limits": [tuple(map(float, image.get_clim())) for image in ax.images],
        "alphas": [image.get_alpha() for image in ax.images],
        "places": [tuple(map(float, image.get_extent())) for image in ax.images],
        "upright": [image.origin for image in ax.images],
        "ticks": ax.axison * (len(ax.get_xticks()) + len(ax.get_yticks())),
    }


def left_behind(draw):
    """Call draw() while two figures are open; return a sentence for each trace that it leaves in pyplot."""
    import matplotlib
    import matplotlib.pyplot as plt

    before = dict(matplotlib.rcParams)
    matplotlib.rcdefaults()  # an earlier call may have changed the settings already
    plt.close("all")
    first, second = plt.figure(), plt.figure()
    plt.figure(first.number)
    opened, settings, shown, saved = plt.get_fignums(), dict(matplotlib.rcParams), [], []
    keep = plt.show, Figure.show, Figure.savefig
    plt.show = Figure.show = lambda *_args, **_kwargs: shown.append(1)
    Figure.savefig = lambda *_args, **_kwargs: saved.append(1)
    try:
        figure = draw()
    finally:
        plt.show, Figure.show, Figure.savefig = keep
        now = plt.get_fignums()
        current = plt.gcf().number if now else None
        changed = [name for name, value in settings.items() if matplotlib.rcParams[name] != value]
        matplotlib.rcParams.update(before)
        plt.close("all")
    found = {
        "it does not return a Figure": not isinstance(figure, Figure),
        "it returns a figure that was open before": figure is first or figure is second,
        "it shows the figure": bool(shown),
        "it saves the figure": bool(saved),
        "it leaves a new figure open": bool(set(now) - set(opened)),
        "it closes a figure that was open before": bool(set(opened) - set(now)),
        "it makes another figure the current one": opened == now and current != first.number,
        "it changes the settings of Matplotlib": bool(changed),
    }
    return [sentence for sentence, is_so in found.items() if is_so]
