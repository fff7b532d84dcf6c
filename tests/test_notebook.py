"""notebook.py: lessons become notebooks that nbgrader accepts, with the same bytes each time."""

from __future__ import annotations

import json

import pytest
from factory import LESSON, make_topic

from autograder.authoring.notebook import read_lesson, to_notebook
from autograder.errors import AuthorError


@pytest.fixture
def topic(tmp_path):
    return make_topic(tmp_path / "01_tiny")


def cells_of(topic, lesson=LESSON):
    cells = json.loads(to_notebook(topic, lesson))["cells"]
    return [{**cell, "source": "".join(cell["source"])} for cell in cells]


def graded(topic):
    found = [cell for cell in cells_of(topic) if "nbgrader" in cell["metadata"]]
    return {cell["metadata"]["nbgrader"]["grade_id"]: cell for cell in found}


def test_text_code_and_magics_become_plain_cells(topic):
    title, setup, experiment, *_ = cells_of(topic)

    assert (title["cell_type"], title["source"]) == ("markdown", "# Tiny\nA number, doubled.")
    assert setup["source"].startswith("%load_ext autoreload\n%autoreload 2\n")
    assert (experiment["metadata"], experiment["outputs"]) == ({}, [])


def test_a_grade_cell_is_locked_and_carries_the_points_of_its_task(topic):
    cell = graded(topic)["double"]

    assert cell["source"] == 'check("double")'
    assert cell["metadata"]["nbgrader"] == {
        "schema_version": 3,
        "grade": True,
        "solution": False,
        "locked": True,
        "task": False,
        "grade_id": "double",
        "points": 60,
        "cell_type": "code",
    }


def test_a_written_question_is_locked_and_followed_by_an_empty_answer(topic):
    cells = graded(topic)
    names = list(cells)

    question, answer = cells["why_halve_question"], cells["why_halve"]

    assert names.index("why_halve") == names.index("why_halve_question") + 1
    assert question["source"] == "Why would anyone halve it again?"
    assert question["metadata"]["nbgrader"]["locked"]
    assert not question["metadata"]["nbgrader"]["grade"]
    assert answer["source"] == "YOUR ANSWER HERE"
    assert answer["metadata"]["nbgrader"]["grade"]
    assert answer["metadata"]["nbgrader"]["solution"]
    assert answer["metadata"]["nbgrader"]["points"] == 5


def test_nbgrader_and_nbformat_accept_the_notebook(topic):
    nbformat = pytest.importorskip("nbformat")
    validator = pytest.importorskip("nbgrader.nbgraderformat").MetadataValidator()

    notebook = nbformat.reads(to_notebook(topic, LESSON), as_version=4)

    nbformat.validate(notebook)
    validator.validate_nb(notebook)


def test_the_bytes_are_the_same_each_time(topic):
    assert to_notebook(topic, LESSON) == to_notebook(topic, LESSON)
    assert to_notebook(topic, LESSON.replace("\n", "\r\n")) == to_notebook(topic, LESSON)


def test_cell_ids_are_unique_and_a_new_cell_changes_no_other_id(topic):
    twice = "# %%\nprint(1)\n\n# %%\nprint(1)\n"
    before = [cell["id"] for cell in cells_of(topic)]

    after = [cell["id"] for cell in cells_of(topic, LESSON.replace("# %% task", twice + "\n# %% task", 1))]

    assert len(set(after)) == len(after) == len(before) + 2
    assert set(before) <= set(after)


DRAWING = "figure, axes = plt.subplots()\n" + "".join(f"axes.plot([{n}], [{n}])\n" for n in range(12)) + "plt.show()"


@pytest.mark.parametrize(
    ("head", "text", "is_hidden"),
    [
        ("# %%", DRAWING, True),
        ("# %% drawing=false", DRAWING, False),
        ("# %%", "plt.plot([1])\nplt.show()", False),
        ("# %% drawing=true", "plt.plot([1])\nplt.show()", True),
        ("# %%", "\n".join(f"x{n} = {n}" for n in range(30)) + "\nplt.show()", False),
    ],
    ids=["long", "told not to", "short", "told to", "much else"],
)
def test_the_code_of_a_figure_is_collapsed(topic, head, text, is_hidden):
    lesson = f"{LESSON}\n{head}\n{text}\n"

    cells = json.loads(to_notebook(topic, lesson))["cells"]

    assert cells[-1]["metadata"] == ({"jupyter": {"source_hidden": True}} if is_hidden else {})


def test_points_that_are_no_whole_number_stay_exact(tmp_path):
    topic = make_topic(tmp_path, manifest=("points = 30", "points = 30.5"), lesson=("points=5", "points=4.5"))

    points = {name: cell["metadata"]["nbgrader"].get("points") for name, cell in graded_of(topic).items()}

    assert points["halve"] == 30.5
    assert points["why_double"] == 4.5


def graded_of(topic):
    cells = cells_of(topic, topic.lesson_path.read_text())
    return {c["metadata"]["nbgrader"]["grade_id"]: c for c in cells if "nbgrader" in c["metadata"]}


def test_cells_know_their_lines_and_markers_in_texts_are_none(topic):
    lesson = LESSON.replace("with attempt():", 'text = """\n# %% no cell\n"""\nwith attempt():')

    lines = [cell.line for cell in read_lesson(topic, lesson)]

    assert lines[:4] == [1, 5, 11, 18]


@pytest.mark.parametrize(
    ("find", "replace", "message"),
    [
        ("# %% [markdown]\n# # Tiny", "# # Tiny", r"lesson\.py:1: there is text before the first cell"),
        ("# # Tiny", "# Tiny", r"lesson\.py:1: the first cell is no title"),
        ("import tiny", "import tiny (", r"lesson\.py:9: not Python"),
        ("# A number", "# ### BEGIN SOLUTION", r"lesson\.py:3: .* holds a solution marker"),
        (
            '# %% task="double"',
            '# %% taks="double"',
            r"lesson\.py:15: cannot use 'taks' here; a cell takes task=",
        ),
        ('# %% task="double"', "# %% task=double", r"lesson\.py:15: cannot use 'task=double' here"),
        ('# %% task="double"', "# %% task=3", r"lesson\.py:15: task is 3; use small letters"),
        (
            '# %% task="double"',
            '# %% task="treble"',
            r"lesson\.py:15: no task 'treble' in topic\.toml; use one of",
        ),
        ('# %% task="double"', '# %% [markdown] task="double"', r"lesson\.py:15: cannot use 'task' here"),
        ('# %% task="double"', "# %%", r"lesson\.py:1: task 'double' has no grade cell; add a cell"),
        (
            '# %% task="halve"',
            '# %% task="double"',
            r"lesson\.py:18: a second grade cell for 'double', after line 15",
        ),
        (
            'check("double")',
            'check("double")\nprint(1)',
            r"lesson\.py:15: a grade cell holds exactly check\(\"double",
        ),
        ('check("double")', "check('double')", r"lesson\.py:15: a grade cell holds exactly check"),
        (
            'question="why_halve" points=5',
            'question="why_halve"',
            r"lesson\.py:24: a written question needs both",
        ),
        ('question="why_halve" points=5', "points=5", r"lesson\.py:24: a written question needs both"),
        ('question="why_halve"', 'question="Why?"', r"lesson\.py:24: question is 'Why\?'; use small letters"),
        (
            'question="why_halve"',
            'question="double"',
            r"lesson\.py:24: the name 'double' is taken; name the question",
        ),
        ('question="why_halve"', 'question="why_double"', r"lesson\.py:24: the name 'why_double' is taken"),
        ('"why_halve" points=5', '"why_halve" points=0', r"lesson\.py:24: a written question for 0 points"),
        ('"why_halve" points=5', '"why_halve" points="5"', r"lesson\.py:24: points is '5'; give a number"),
        (
            '"why_halve" points=5',
            '"why_halve" points=6',
            r"lesson\.py:24: the written questions give 11 points and the",
        ),
        ("# %% [markdown] question", "# %% [raw] question", r"lesson\.py:21: a raw cell; use"),
    ],
)
def test_a_broken_lesson_is_refused_with_its_line_and_a_cure(topic, find, replace, message):
    assert find in LESSON
    with pytest.raises(AuthorError, match=message):
        to_notebook(topic, LESSON.replace(find, replace, 1))


def test_an_empty_lesson_is_refused(topic):
    with pytest.raises(AuthorError, match=r"lesson\.py:1: there is text before the first cell"):
        to_notebook(topic, "")
