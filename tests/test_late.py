"""A late parcel loses what the policy says: in the gradebook, on the feedback page and in the export."""

import csv
import datetime
import shutil
from pathlib import Path

import pytest
from factory import make_course
from traitlets.config import Config

from autograder.authoring.release import release
from autograder.recording import gradebook
from autograder.recording.late import DAY, LatePolicy, penalty
from autograder.report import Report, TaskReport

ID = "01_tiny"
CONFIG = Path(__file__).resolve().parent.parent / "nbgrader_config.py"
DUE = datetime.datetime(2026, 11, 1, 12, 0)


@pytest.mark.parametrize(
    ("late", "lost"),
    [(0, 0), (600, 0), (601, 5), (DAY, 5), (DAY + 1, 10), (7 * DAY, 35), (30 * DAY, 40)],
    ids=["on time", "the grace", "after it", "a day", "a day begun", "a week", "capped"],
)
def test_each_day_begun_costs_points_up_to_the_cap(late, lost):
    assert penalty(80.0, late, points=5.0, percent=0.0, grace=600, cap=50.0) == lost


def test_per_cent_are_of_what_was_reached():
    assert penalty(60.0, 2 * DAY, points=0.0, percent=10.0) == pytest.approx(12.0)


def test_nobody_falls_below_zero():
    assert penalty(3.0, DAY, points=5.0, percent=0.0) == 3.0


def test_without_a_policy_nothing_is_lost():
    assert LatePolicy().late_submission_penalty("ada", 90.0, 100 * DAY) is None


def test_nbgraders_own_setting_still_works():
    policy = LatePolicy(config=Config({"LatePolicy": {"penalty_method": "zero"}}))

    assert policy.late_submission_penalty("ada", 90.0, 60.0) == 90.0


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """A course with a policy and a due date; ada is two days late, bob ten minutes, both with 75 points."""
    course = make_course(tmp_path_factory.mktemp("late"))
    shutil.copy(CONFIG, course.root)
    with open(course.root / "nbgrader_config.py", "a") as config:
        config.write("c.LatePolicy.points_per_day = 10\nc.LatePolicy.grace_minutes = 15\n")
    release(course)
    set_due_date(course)
    for student, late in (("ada", 2 * DAY), ("bob", 600)):
        hand_in(course, student, late)
    tasks = (TaskReport("double", 45.0, 60.0, (), ""), TaskReport("halve", 30.0, 30.0, (), ""))
    gradebook.record(course, [Report(student, ID, 7, "A", 0.1, (), tasks) for student in ("ada", "bob")])
    return course


def set_due_date(course):
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{course.root / 'gradebook.db'}") as book:
        book.update_or_create_assignment(ID, duedate=DUE)


def hand_in(course, student, late):
    folder = course.submitted / student / ID
    folder.mkdir(parents=True)
    (folder / "tiny.py").write_text("FACTOR = 2\n")
    moment = DUE + datetime.timedelta(seconds=late)
    (folder / "timestamp.txt").write_text(f"{moment:%Y-%m-%d %H:%M:%S} UTC")


@pytest.mark.slow
def test_the_export_names_the_penalty_and_takes_it_off(course):
    with open(gradebook.export(course, course.root / "grades.csv"), newline="") as stream:
        rows = {row["student_id"]: row for row in csv.DictReader(stream)}

    assert float(rows["ada"]["late_submission_penalty"]) == 20.0
    assert float(rows["ada"]["score"]) == 55.0
    assert float(rows["bob"]["late_submission_penalty"]) == 0.0
    assert float(rows["bob"]["score"]) == 75.0


@pytest.mark.slow
def test_the_feedback_page_says_what_was_lost(course):
    pages = gradebook.feedback(course, ID)

    said = (pages / "ada" / ID / f"{ID}.html").read_text()

    assert "Late submission penalty (Score: -20.00)" in said
    assert "(Score: 55.00 / 100.00)" in said
    assert "Late submission penalty" not in (pages / "bob" / ID / f"{ID}.html").read_text()
