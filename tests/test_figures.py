"""figures.py: one look for all lessons, and a fast import."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from dlcourse import figures


def test_importing_the_colours_does_not_import_matplotlib() -> None:
    code = "import sys, dlcourse.figures; print('matplotlib' in sys.modules)"

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


def test_a_slider_that_is_moved_draws_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    interaction = pytest.importorskip("ipywidgets.widgets.interaction")
    shown: list[Any] = []
    monkeypatch.setattr(interaction, "display", shown.append)
    seen: list[tuple[int, str, str]] = []

    def draw(size: int = 3, colour: str = "red", title: str = "one") -> None:
        seen.append((size, colour, title))

    figures.explore(draw, size=(1, 9, 2), colour=["red", "blue"], title=str)
    size, colour, title, *_ = shown[0].children
    size.value, colour.value, title.value = 7, "blue", "two"

    assert seen == [(3, "red", "one"), (7, "red", "one"), (7, "blue", "one"), (7, "blue", "two")]


def test_without_ipywidgets_there_is_still_a_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    seen: list[int] = []

    def draw(size: int = 3) -> None:
        seen.append(size)

    figures.explore(draw, size=(1, 9, 2))

    assert seen == [3]


@pytest.mark.parametrize("is_there", [True, False], ids=["with ipywidgets", "without"])
def test_what_is_not_written_yet_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], is_there: bool
) -> None:
    if is_there:
        interaction = pytest.importorskip("ipywidgets.widgets.interaction")
        monkeypatch.setattr(interaction, "display", lambda widget: None)
    else:
        monkeypatch.setitem(sys.modules, "ipywidgets", None)

    def draw(size: int = 3) -> None:
        raise NotImplementedError("softmax: not started")

    figures.explore(draw, size=(1, 9, 2))

    assert capsys.readouterr().out.endswith("not started: softmax\n")
