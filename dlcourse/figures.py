"""The look that the figures of all lessons share: colours, colour maps and one style.

    from dlcourse.figures import BLUE, ORANGE, use_style

    use_style()
    plt.plot(x, y, color=BLUE)
    plt.imshow(states, cmap="between")

Importing this module needs nothing; `use_style` and `show` need matplotlib, and `explore` uses ipywidgets if it can.
"""

from __future__ import annotations

from functools import wraps
from inspect import signature
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes

BLUE = "#2c6fbb"  #: the first of two classes
ORANGE = "#e07b28"  #: the second
GREEN = "#3c9d6b"
RED = "#b5364b"
INK = "#2d3340"  #: text and outlines
GREY = "#b9bfca"  #: the background
STEEL = "#8a90a0"  #: axes

COLOUR_MAPS = {
    "between": (BLUE, "#f7f7f5", ORANGE),  #: low against high, or one class against the other
    "height": ("#ffffff", "#dfe8f2", "#9db8d6"),  #: a surface below lines
    "depth": ("#ffffff", "#dfe8f2", "#9db8d6", BLUE, INK),  #: a quantity from nothing to much
}

STYLE: dict[Any, Any] = {
    "figure.dpi": 110,
    "figure.constrained_layout.use": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.labelcolor": INK,
    "axes.edgecolor": STEEL,
    "font.size": 9.5,
    "legend.frameon": False,
}


def use_style() -> None:
    """Give all later figures the style of the lessons, and register the colour maps in matplotlib."""
    import matplotlib
    from matplotlib.colors import LinearSegmentedColormap

    matplotlib.rcParams.update(STYLE)
    for name, colours in COLOUR_MAPS.items():
        matplotlib.colormaps.register(LinearSegmentedColormap.from_list(name, colours), force=True)


def show(axes: Axes, image: Any, title: str = "", **options: Any) -> None:
    """Draw an image without ticks.

    Args:
        axes: where to draw
        image: grey, (H, W), or in colour, (3, H, W), as an array
        title: the text above it
        options: for `imshow`
    """
    axes.imshow(image.transpose(1, 2, 0) if image.ndim == 3 else image, **options)
    axes.set(title=title, xticks=[], yticks=[])


def explore(draw: Callable[..., object], **choices: tuple[float, float, float] | list[Any] | type[str]) -> None:
    """Draw a figure again whenever the reader moves a slider; without ipywidgets draw it once.

    If draw needs a function that is not written yet, its name is shown, as by `attempt`.

    Args:
        draw: makes the figure and shows it; its defaults are where the sliders begin
        choices: for an argument of draw the (lowest, highest, step) of a number, a list of all its values, or
            `str` for a line of text
    """
    from autograder.student.check import attempt

    @wraps(draw)
    def drawn(**values: Any) -> None:
        with attempt():
            draw(**values)

    try:
        import ipywidgets
    except ImportError:
        drawn()
        return
    start = {name: parameter.default for name, parameter in signature(draw).parameters.items()}
    sliders = {}
    for name, choice in choices.items():
        options: dict[str, Any] = {"value": start[name], "continuous_update": False}
        if isinstance(choice, type):
            sliders[name] = ipywidgets.Text(layout={"width": "95%"}, **options)
        elif isinstance(choice, list):
            sliders[name] = ipywidgets.SelectionSlider(options=choice, **options)
        else:
            kind = ipywidgets.IntSlider if all(isinstance(end, int) for end in choice) else ipywidgets.FloatSlider
            sliders[name] = kind(min=choice[0], max=choice[1], step=choice[2], **options)
    ipywidgets.interact(drawn, **sliders)
