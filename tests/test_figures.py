"""figures.py: one look for all lessons, and light to import."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from autograder import figures


def test_importing_the_colours_does_not_import_matplotlib() -> None:
    code = "import sys, autograder.figures; print('matplotlib' in sys.modules)"

    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert printed == "False\n"


def test_the_style_and_the_colour_maps_are_known_to_matplotlib_afterwards() -> None:
    matplotlib = pytest.importorskip("matplotlib")

    with matplotlib.rc_context():
        figures.use_style()
        figures.use_style()  # as when a student runs the first cell again

        assert matplotlib.rcParams["axes.edgecolor"] == figures.STEEL
    low, high = matplotlib.colormaps["between"]([0.0, 1.0])
    assert [matplotlib.colors.to_hex(colour) for colour in (low, high)] == [figures.BLUE, figures.ORANGE]


@pytest.mark.parametrize("shape", [(5, 7), (3, 5, 7)], ids=["grey", "colour"])
def test_an_image_is_drawn_upright_and_without_ticks(shape: tuple[int, ...]) -> None:
    figure = pytest.importorskip("matplotlib.figure").Figure()
    axes = figure.subplots()

    figures.show(axes, np.zeros(shape), "a title", cmap="gray")

    assert axes.images[0].get_size() == (5, 7)
    assert axes.get_title() == "a title"
    assert list(axes.get_xticks()) == []
