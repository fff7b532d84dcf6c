"""rehearse.py: a lesson runs from top to bottom with the worked solution beside it."""

from __future__ import annotations

import json

import pytest
from factory import LESSON, make_topic

from autograder.authoring import rehearse as rehearse_module
from autograder.authoring.rehearse import rehearse
from autograder.errors import AuthorError

pytest.importorskip("nbclient")
pytest.importorskip("autograder.student.check")
pytestmark = pytest.mark.slow

FIGURE = "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()\nprint(tiny.double(21))\n"


def outputs(path):
    cells = json.loads(path.read_text())["cells"]
    return [output for cell in cells for output in cell.get("outputs", [])]


def test_the_solution_s_output_and_figures_come_out(tmp_path):
    topic = make_topic(tmp_path / "01_tiny", lesson=("# %% task", f"# %%\n{FIGURE}\n# %% task"))

    executed = outputs(rehearse(topic, tmp_path / "out"))

    assert any("image/png" in output.get("data", {}) for output in executed)
    assert any("42" in "".join(output.get("text", [])) for output in executed)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            "1 / 0",
            r"lesson\.py:15: this cell fails with the worked solution \(ZeroDivisionError: division by",
        ),
        ("import time; time.sleep(60)", r"lesson\.py:15: .*\(it took more than 3 s\)"),
    ],
)
def test_a_cell_that_fails_is_named_by_its_line(tmp_path, monkeypatch, code, message):
    monkeypatch.setattr(rehearse_module, "CELL_SECONDS", 3)
    assert "\n# %% task" in LESSON
    topic = make_topic(tmp_path / "01_tiny", lesson=("# %% task", f"# %%\n{code}\n\n# %% task"))

    with pytest.raises(AuthorError, match=message):
        rehearse(topic, tmp_path / "out")


@pytest.mark.parametrize(("begun", "found"), [("not started: double\n", 2), ("6\n", None)])
def test_figures_are_counted_where_the_lesson_also_says_what_is_not_written(tmp_path, monkeypatch, begun, found):
    topic = make_topic(tmp_path / "01_tiny")
    figure, text = {"data": {"image/png": "..."}}, {"output_type": "stream", "text": [begun]}

    def rehearse(topic, folder, *, is_done=True):
        outputs = [[figure], [figure, text]] if is_done else [[figure], [text]]
        folder.mkdir(parents=True)
        (folder / "x.ipynb").write_text(json.dumps({"cells": [{"outputs": some} for some in outputs] + [{}]}))
        return folder / "x.ipynb"

    monkeypatch.setattr(rehearse_module, "rehearse", rehearse)

    if found is None:
        with pytest.raises(AuthorError, match=r"lesson\.py: with the stub it never prints 'not started: '; wrap"):
            rehearse_module.figures_of(topic, tmp_path / "out")
    else:
        assert rehearse_module.figures_of(topic, tmp_path / "out") == found
