"""`autograder hint`: each call gives one more hint, from files in the student's folder, and never an answer."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest
from factory import make_course
from test_check import MODULE, TESTS

from autograder.authoring.build import render
from autograder.course import Course
from autograder.errors import AuthorError
from autograder.student.desk import hint_command
from autograder.student.hint import give, ladder

COURSE = Course(Path(__file__).parent.parent)
CARD = """
[tasks.double]
number = "1.1"
title = "Doubling"
names = ["double"]
hints = ["Add.", "To itself.", "Try 2."]
"""


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    (tmp_path / "topic.toml").write_text(CARD)
    (tmp_path / "test_sums.py").write_text(TESTS)
    (tmp_path / "sums.py").write_text(MODULE)
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": ["# Sums\n", "\n", "## 1.1 Twice\n", "Twice."]},
        {
            "cell_type": "code",
            "metadata": {"nbgrader": {"grade_id": "double"}},
            "source": ['check("double")'],
        },
    ]
    (tmp_path / f"{tmp_path.name}.ipynb").write_text(json.dumps({"cells": cells}))
    return tmp_path


def test_each_call_goes_a_step_further(folder, capsys):
    def said() -> str:
        assert hint_command("double", folder) == 0
        return capsys.readouterr().out

    assert said().splitlines() == [
        "  1.1 Doubling: hint 1 of 3",
        "    Add.",
        "    In the lesson, read '1.1 Twice'.",
        "    Read the docstring of double (line 2 of sums.py) again, word by word: it",
        "    says all that any test asks.",
        "    For the next hint: `autograder hint double`.",
    ]
    second = said()
    assert "    To itself.\n    What the public tests of this task say:\n      - Two & two.\n" in second
    assert "Try 2" not in second
    assert "    Try 2.\n  That was the last one." in said()
    assert "hint 3 of 3" in said()


def test_a_task_without_hints_of_its_own_has_those_of_its_tests(folder):
    first, second = (give(folder, folder / "test_sums.py", "halve") for _ in range(2))

    assert first.hints[0].listed == ("One <each>.",)
    assert first.is_last
    assert second == first


def test_it_points_to_what_is_not_begun_and_else_to_every_function_of_the_task():
    begun = 'def a():\n    """A."""\n\n\ndef b():\n    """B."""\n'
    half = begun + '    raise NotImplementedError("pair: not started")\n'
    card = {"names": ["a", "b"]}

    def said(module: str) -> str:
        return ladder("pair", card, {"sums.py": module}, "", "")[0].sentences[0]

    assert said(half).startswith("Read the docstring of b (line 5 of sums.py) again")
    assert said(begun).startswith("Read the docstrings of a (line 1 of sums.py) and b (line 5 of sums.py) again")


def test_without_a_task_it_is_about_the_one_that_comes_next(folder, capsys):
    (folder / "sums.py").write_text(MODULE.replace("x + x", "x"))

    assert hint_command(None, folder) == 0
    assert capsys.readouterr().out.startswith("  1.1 Doubling: hint 1 of 3\n")


def test_what_is_broken_costs_no_hint(folder, capsys):
    (folder / "sums.py").write_text("def double(x:\n")
    (folder / f"{folder.name}.ipynb").write_text("{")
    (folder / ".autograder").mkdir()
    (folder / ".autograder" / "hints.json").write_text("[1")

    assert hint_command("double", folder) == 0
    assert "    Add.\n" in capsys.readouterr().out


def test_an_unknown_task_is_misuse(folder, tmp_path, capsys):
    assert hint_command("doubel", folder) == 2
    assert "Did you mean 'double'?" in capsys.readouterr().out

    assert hint_command(None, tmp_path / "nowhere") == 2
    assert "No assignment in" in capsys.readouterr().out


def test_the_public_part_of_a_topic_holds_its_hints(tmp_path):
    course = make_course(tmp_path, manifest=("points = 30", 'points = 30\nhints = ["Half of \\"it\\"."]'))

    card = tomllib.loads(render(course.topic("01_tiny"))["topic.toml"].decode())

    assert card["tasks"]["halve"]["hints"] == ['Half of "it".']
    assert "hints" not in card["tasks"]["double"]


def test_a_hint_that_repeats_the_solution_is_refused(tmp_path):
    lines = ["doubled_at_last = _secret_helper(x)", "return doubled_at_last", "self.count += 1"]
    course = make_course(tmp_path, manifest=("points = 30", f"points = 30\nhints = {json.dumps(lines)}"))

    with pytest.raises(AuthorError, match="three lines in a row as in the solution"):
        render(course.topic("01_tiny"))


@pytest.mark.parametrize("topic_id", COURSE.topic_ids())
def test_every_task_has_hints_in_words(topic_id):
    for task in COURSE.topic(topic_id).tasks:
        assert len(task.hints) >= 2, f"{task.id}: `autograder hint` needs two hints or more"
        for hint in task.hints:
            assert hint.endswith((".", "?")), f"{task.id}: a hint is made of sentences: {hint}"
            assert len(hint) <= 300, f"{task.id}: a hint is two or three sentences: {hint}"
            assert not re.search(r"\b(np|torch|F|nn|tf)\.\w+|\w+ [-+*/]?= \w+[\[(.]", hint), f"{task.id}: code: {hint}"
