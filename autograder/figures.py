"""The look that the figures of all lessons share: colours, colour maps and one style.

    from autograder.figures import BLUE, ORANGE, use_style

    use_style()
    plt.plot(x, y, color=BLUE)
    plt.imshow(states, cmap="between")

Importing this module needs nothing; `use_style` and `show` need matplotlib.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLUE = "#2c6fbb"  #: the first of two classes
ORANGE = "#e07b28"  #: the second
GREEN = "#3c9d6b"
RED = "#b5364b"
INK = "#2d3340"  #: text and outlines
GREY = "#b9bfca"  #: what stands in the background
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
    """Give all figures from now on the style of the lessons, and matplotlib the colour maps by their names."""
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
        title: what stands above it
        options: for `imshow`
    """
    axes.imshow(image.transpose(1, 2, 0) if image.ndim == 3 else image, **options)
    axes.set(title=title, xticks=[], yticks=[])
