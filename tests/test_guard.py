"""nbgrader runs no cell of a student's notebook: by no command, by no button, under no configuration."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from factory import SOLUTION, make_course
from nbconvert.preprocessors import ExecutePreprocessor
from test_registrar import ID, answered, cell_of, course, grades_of, hand_in, report_of

from autograder.course import Course
from autograder.recording import connection, gradebook, guard
from autograder.stub import BEGIN, END

__all__ = ["course"]  # a fixture
pytestmark = pytest.mark.slow

OURS = (Path(__file__).resolve().parent.parent / "nbgrader_config.py").read_text()
STOCK = ["nbgrader.preprocessors.Execute", "nbgrader.preprocessors.SaveAutoGrades"]
OVERRIDE = {
    "Autograde": {
        "autograde_preprocessors": STOCK,
        "exclude_overwriting": {},
        "exporter_class": "nbconvert.exporters.NotebookExporter",
    },
    "Examine": {"enabled": False},
    "Preprocessor": {"enabled": False},
    "Exporter": {"preprocessors": STOCK[:1]},
}
AFTER = f"""
from nbgrader.preprocessors import Execute, SaveAutoGrades
c.Autograde.autograde_preprocessors = [Execute, SaveAutoGrades]
c.Autograde.exclude_overwriting = {{}}
c.Autograde.exporter_class = "nbconvert.exporters.NotebookExporter"
c.Examine.enabled = c.Preprocessor.enabled = False
c.Exporter.preprocessors = {STOCK[:1]}
"""
#: in the home folder: a setting that keeps nbgrader from loading the guard, and one that does not
NO_GUARD = {"Autograde": OVERRIDE["Autograde"]}
AT_HOME = {"Autograde": {"autograde_preprocessors": STOCK}}
#: name -> nbgrader_config.py, nbgrader_config.json in the course, nbgrader_config.json in ~/.jupyter
CONFIGS = {
    "empty": ("", None, None),
    "ours": (OURS, None, None),
    "ours, changed below": (OURS + AFTER, None, None),
    "ours, and JSON": (OURS, OVERRIDE, None),
    "JSON at home": ("", None, AT_HOME),
    "no guard at home": ("", None, NO_GUARD),
}
GRADE, AUTOGRADE, FORMGRADER = WAYS = ("autograder grade", "nbgrader autograde", "formgrader")
TRUE = [
    *((config, GRADE) for config in CONFIGS),
    ("empty", AUTOGRADE),
    ("empty", FORMGRADER),
    ("ours, changed below", AUTOGRADE),
    ("ours, and JSON", FORMGRADER),
    ("JSON at home", FORMGRADER),
]
#: cases that are safe without the guard, and without the wheel's file that loads it
REFUSED = [("no guard at home", FORMGRADER), ("not installed", AUTOGRADE), ("not installed", FORMGRADER)]
#: right for halve, wrong for double: 20 of 60 points and 30 of 30
MODULE = "\n".join(
    line for line in SOLUTION.replace("x * FACTOR", "x ** FACTOR").split("\n") if line.strip() not in (BEGIN, END)
)


def lay_trap(course: Course) -> None:
    """Hand in a notebook that writes a file when it is run, and prints full marks."""
    notebook = answered(course, "Because.")
    trap = f"open({str(course.root / 'it_ran')!r}, 'w').close()\n60.0"
    cell_of(notebook, "double")["source"] = trap
    notebook["cells"].insert(0, {**cell_of(notebook, "double"), "id": "trap", "metadata": {}})
    hand_in(course, notebook=notebook)
    (course.submitted / "ada" / ID / "tiny.py").write_text(
        f"{MODULE}\ntry:\n    open({str(course.root / 'it_ran')!r}, 'w').close()\nexcept OSError:\n    pass\n"
    )


def configure(course: Course, home: Path, config: str, json_here: object, json_at_home: object) -> None:
    (course.root / "nbgrader_config.py").write_text(config)
    (home / ".jupyter").mkdir(parents=True)
    for folder, settings in ((course.root, json_here), (home / ".jupyter", json_at_home)):
        if settings is not None:
            (folder / "nbgrader_config.json").write_text(json.dumps(settings))


@pytest.fixture(scope="module")
def graded(released, tmp_path_factory):
    """Each case, graded in a process that has not imported our package: the course, and the output."""
    cases, courses = {}, {}
    for config, way in TRUE + REFUSED:
        folder = tmp_path_factory.mktemp("guard")
        shutil.copytree(released.root, folder / "course")
        courses[f"{config}, {way}"] = made = Course(folder / "course")
        lay_trap(made)
        configure(made, folder / "home", *CONFIGS.get(config, CONFIGS["empty"]))
        cases[f"{config}, {way}"] = {
            "way": way,
            "root": str(made.root),
            "home": str(folder / "home"),
            "installed": config != "not installed",
        }
    here = Path(__file__).resolve().parent
    environment = os.environ | {"PYTHONPATH": str(here.parent), "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [sys.executable, str(here / "guarded.py"), json.dumps(cases)],
        env=environment, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    return {name: (courses[name], said) for name, said in json.loads(run.stdout).items()}


@pytest.mark.parametrize(("config", "way"), TRUE)
def test_marks_are_true_and_no_notebook_is_run_whatever_is_configured(graded, config, way):
    course, said = graded[f"{config}, {way}"]

    assert not (course.root / "it_ran").exists()
    assert grades_of(course)["double"] == (20.0, False), said
    assert grades_of(course)["halve"] == (30.0, False)
    assert grades_of(course)["why_double"] == (None, True)


@pytest.mark.parametrize(("config", "way"), REFUSED)
def test_where_the_guard_is_not_loaded_nbgrader_fails_rather_than_runs(graded, config, way):
    course, said = graded[f"{config}, {way}"]

    assert not (course.root / "it_ran").exists()
    assert "No such kernel named none-because-autograder-grade-examines-this" in said
    assert grades_of(course)["double"] == (None, True)


RUN_ALL = """c = get_config()
c.GenerateFeedback.preprocessors = ["nbconvert.preprocessors.ExecutePreprocessor", "nbgrader.preprocessors.GetGrades"]
c.GenerateFeedback.exporter_class = "nbconvert.exporters.HTMLExporter"
c.HTMLExporter.preprocessors = c.FeedbackExporter.preprocessors = ["nbconvert.preprocessors.ExecutePreprocessor"]
c.HTMLExporter.filters = {"markdown2html": "nbconvert.filters.markdown2html"}
c.ExecutePreprocessor.enabled = True
c.ExecutePreprocessor.kernel_name = "python3"
"""


def test_a_feedback_page_runs_nothing_and_shows_no_html_of_a_students_whatever_is_configured(course):
    lay_trap(course)
    (course.root / "nbgrader_config.py").write_text(RUN_ALL)
    notebook = course.submitted / "ada" / ID / f"{ID}.ipynb"
    notebook.write_text(notebook.read_text().replace("Because.", "Because <script>it</script>."))
    gradebook.record(course, [report_of()])

    page = gradebook.feedback(course, ID) / "ada" / ID / f"{ID}.html"

    assert not (course.root / "it_ran").exists()
    assert "Because &lt;" in page.read_text()
    assert "<script>it" not in page.read_text()


def test_nbgraders_own_feedback_does_not_run_it_either(course):
    lay_trap(course)
    gradebook.record(course, [report_of()])
    (course.root / "nbgrader_config.py").write_text(RUN_ALL)

    with connection.opened(course) as api:
        api.parent.config.GenerateFeedback.preprocessors = [ExecutePreprocessor]
        result = api.generate_feedback(ID, "ada")

    assert "a student's notebook, which nbgrader does not run" in result["log"]
    assert not (course.root / "it_ran").exists()


def test_a_course_that_has_nothing_of_ours_is_none_of_the_guards_business(tmp_path):
    (tmp_path / "source" / "ps1").mkdir(parents=True)

    assert guard.ours(tmp_path, "ps1") == ()


@pytest.mark.parametrize("pattern", [ID, "0*", "*", "01_[t]iny"])
@pytest.mark.parametrize("room", ["assignments", "source", "release"])
def test_an_assignment_is_ours_by_any_of_its_folders_and_under_any_pattern(tmp_path, pattern, room):
    (tmp_path / room / ID).mkdir(parents=True)
    (tmp_path / room / ID / "topic.toml").touch()

    assert guard.ours(tmp_path, pattern) == (ID,)


@pytest.mark.parametrize("room", ["submitted", "autograded"])
def test_a_notebook_from_a_students_folder_is_not_validated(tmp_path, monkeypatch, room):
    from nbgrader.validator import Validator

    course = make_course(tmp_path)
    folder = course.root / room / "ada" / ID
    folder.mkdir(parents=True)
    (folder / "x.ipynb").write_text('{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}')
    guard.install()

    with pytest.raises(guard.CourseError, match=rf"{room}/ada/{ID}: a student's notebook, which nbgrader"):
        Validator().validate(str(folder / "x.ipynb"))


def test_a_notebook_of_another_course_is_still_run(tmp_path):
    from nbgrader.validator import Validator

    (tmp_path / "x.ipynb").write_text(
        json.dumps(
            {
                "cells": [
                    {"cell_type": "code", "id": "a", "source": "open('it_ran', 'w').close()", "outputs": [],
                     "metadata": {}, "execution_count": None}
                ],
                "metadata": {"kernelspec": {"name": "python3", "display_name": "p"}},
                "nbformat": 4,
                "nbformat_minor": 5,
            }
        )
    )  # fmt: skip
    guard.install()

    Validator().validate(str(tmp_path / "x.ipynb"))

    assert (tmp_path / "it_ran").exists()
