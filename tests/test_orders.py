"""A teacher's commands in odd orders: each ends in the right state, or in a sentence that says what to do."""

from __future__ import annotations

import datetime
import json
import shutil
from dataclasses import replace

import pytest
from factory import make_course
from test_registrar import ID, ODD, answered, course, grades_of, hand_in, report_of

from autograder import doctor
from autograder.authoring.release import release
from autograder.course import Course
from autograder.errors import CourseError
from autograder.grade import grade
from autograder.recording import autograde, checkup, connection, gradebook, steps

__all__ = ["course"]  # a fixture
pytestmark = pytest.mark.slow

DUE = datetime.datetime(2027, 1, 31, 23, 59)
LATE = "2027-02-02 00:00:00 UTC"


def book_of(course):
    from nbgrader.api import Gradebook

    return Gradebook(f"sqlite:///{course.root / 'gradebook.db'}")


def give(course, points, cell="why_double", student="ada"):
    """Grade a cell by hand, as the formgrader does."""
    with book_of(course) as book:
        grade = book.find_grade(cell, ID, ID, student)
        grade.manual_score, grade.needs_manual_grade = points, False
        book.db.commit()


def given(course, cell="why_double", student="ada"):
    with book_of(course) as book:
        grade = book.find_grade(cell, ID, ID, student)
        return grade.manual_score, grade.needs_manual_grade


def open_cells(course):
    return {mark.student: mark.open for mark in gradebook.marks(course, ID)}


# A due date before the release


@pytest.fixture(scope="module")
def dated_once(released, tmp_path_factory):
    """A course as it is cloned, whose gradebook knows a due date and nothing else (`nbgrader db assignment add`)."""
    folder = tmp_path_factory.mktemp("dated") / "course"
    shutil.copytree(released.root, folder)
    made = Course(folder)
    (folder / "gradebook.db").unlink()
    with book_of(made) as book:
        book.update_or_create_assignment(ID, duedate=DUE)
    return made


@pytest.fixture
def dated(dated_once, tmp_path):
    shutil.copytree(dated_once.root, tmp_path / "course")
    return Course(tmp_path / "course")


def fail_as_before(course):
    """What an earlier grading left in such a course: a student, and a submission without cells."""
    with book_of(course) as book:
        book.add_student("ada")
        book.add_submission(ID, "ada")


def test_a_date_before_the_release_is_found_before_anybody_is_examined(dated, monkeypatch):
    hand_in(dated)
    monkeypatch.setattr("autograder.grade.examine_all", None)  # a call of it would fail

    with pytest.raises(
        CourseError,
        match=rf"the due date 2027-01-31 23:59 UTC, but .* run `autograder release {ID}`, which keeps",
    ):
        grade(dated, ID, (), None)

    with book_of(dated) as book:
        assert (book.students, book.find_assignment(ID).submissions) == ([], [])


def test_nbgraders_own_button_finds_it_too_and_enters_nobody(dated):
    hand_in(dated)

    with connection.opened(dated) as api:
        result = api.autograde(ID, "*")

    assert f"run `autograder release {ID}`" in result["error"]
    with book_of(dated) as book:
        assert (book.students, book.find_assignment(ID).submissions) == ([], [])


@pytest.mark.parametrize("before", [lambda course: None, fail_as_before], ids=["a date", "a failed grading"])
def test_the_one_command_ends_in_the_right_state_and_keeps_the_date(dated, before):
    hand_in(dated, timestamp_txt=LATE)
    before(dated)
    files = {path: path.read_bytes() for path in (dated.release / ID).iterdir()}

    release(dated, (ID,))

    assert {path: path.read_bytes() for path in (dated.release / ID).iterdir()} == files
    gradebook.check(dated, ID)
    gradebook.record(dated, [report_of()])
    assert grades_of(dated)["double"] == (ODD, False)
    with book_of(dated) as book:
        assert book.find_assignment(ID).duedate == DUE
        assert book.find_submission(ID, "ada").total_seconds_late > 0


def test_nbgraders_generate_repairs_it_too(dated):
    fail_as_before(dated)

    with connection.opened(dated) as api:
        result = api.generate_assignment(ID, force=True)

    assert result["success"], result["error"]
    gradebook.check(dated, ID)


def test_a_generate_that_fails_leaves_what_was_released(course, monkeypatch):
    from nbgrader.preprocessors import SaveCells

    monkeypatch.setattr(SaveCells, "preprocess", lambda self, nb, resources: 1 / 0)
    files = {path: path.read_bytes() for path in (course.release / ID).iterdir()}

    with connection.opened(course) as api:
        result = api.generate_assignment(ID, force=True)

    assert not result["success"]
    assert {path: path.read_bytes() for path in (course.release / ID).iterdir()} == files


def test_doctor_finds_it_and_says_what_is_missing(dated, monkeypatch):
    monkeypatch.chdir(dated.root)
    monkeypatch.setattr(doctor, "climb", lambda isolation: doctor.Rung(isolation, ""))

    lines, code = doctor.examine()

    assert code == 1
    assert any(f"run `autograder release {ID}`" in line for line in lines)
    assert any("exchange: there is no such folder" in line for line in lines)


# Grading before a release, or with another one


@pytest.mark.parametrize("do", [gradebook.check, lambda course, _: gradebook.record(course, [report_of()])])
def test_a_grading_before_any_release_makes_no_gradebook(tmp_path, do):
    course = make_course(tmp_path)

    with pytest.raises(CourseError, match=rf"is missing; run `autograder release {ID}`"):
        do(course, ID)

    assert not (course.root / "gradebook.db").exists()


def test_a_gradebook_with_other_points_than_the_release_is_found_first(course):
    path = course.release / ID / f"{ID}.ipynb"
    path.write_text(path.read_text().replace('"points": 60', '"points": 50'))

    with pytest.raises(
        CourseError,
        match=rf"double has 50 points, and in the gradebook it has 60 points; run `autograder release {ID}`",
    ):
        gradebook.check(course, ID)


def test_another_question_after_marks_were_recorded_is_refused_with_what_to_do(course):
    hand_in(course)
    gradebook.record(course, [report_of()])
    edit(course, "lesson.py", 'question="why_halve"', 'question="why_third"')

    with pytest.raises(CourseError, match="put these back, or release the change as a new assignment"):
        release(course, (ID,))

    gradebook.check(course, ID)


def edit(course, name, find, replace):
    path = course.assignments / ID / name
    text = path.read_text()
    assert find in text
    path.write_text(text.replace(find, replace))


# What a person gave


def test_what_a_person_gave_a_late_student_stays_given(course):
    with book_of(course) as book:
        book.update_or_create_assignment(ID, duedate=DUE)
    hand_in(course, notebook=answered(course, "Because."), timestamp_txt=LATE)
    gradebook.record(course, [report_of()])
    assert open_cells(course) == {"ada": ("why_double",)}
    give(course, 4.5)

    for report in (report_of(), report_of(double=1.5)):
        gradebook.record(course, [report])

        assert given(course) == (4.5, False)
        assert open_cells(course) == {"ada": ()}


@pytest.mark.parametrize(("points", "halve", "is_open"), [(8, 2, False), (4, 6, True)], ids=["more", "too few"])
def test_after_a_change_of_points_what_a_person_gave_stays_given_if_it_still_fits(course, points, halve, is_open):
    hand_in(course, notebook=answered(course, "Because."))
    gradebook.record(course, [report_of()])
    give(course, 4.5)
    edit(course, "lesson.py", 'question="why_double" points=5', f'question="why_double" points={points}')
    edit(course, "lesson.py", 'question="why_halve" points=5', f'question="why_halve" points={halve}')

    release(course, (ID,))
    gradebook.record(course, [report_of()])

    assert given(course) == (4.5, is_open)


@pytest.mark.parametrize("changed", ["answer", "module"])
def test_who_hands_in_something_else_is_looked_at_again(course, changed):
    folder = hand_in(course, notebook=answered(course, "Because."))
    gradebook.record(course, [report_of()])
    give(course, 4.5)
    give(course, 60.0, cell="double")

    if changed == "answer":
        (folder / f"{ID}.ipynb").write_text(json.dumps(answered(course, "Because not.")))
    else:
        (folder / "tiny.py").write_text("def double(x):\n    return x + x\n")
    gradebook.record(course, [report_of(double=1.5)])

    assert given(course) == (4.5, changed == "answer")
    assert given(course, "double") == (60.0, changed == "module")


def test_a_score_by_hand_on_a_tested_cell_stays_whatever_a_changed_test_says(course):
    hand_in(course)
    gradebook.record(course, [report_of(outcome="broken")])
    give(course, 33.0, cell="double")

    for report in (report_of(outcome="broken"), report_of(double=1.5)):
        gradebook.record(course, [replace(report, seed=len(report.tasks[0].results) + int(report.score))])

        assert given(course, "double") == (33.0, False)
        assert gradebook.marks(course, ID)[0].score == 33.0 + 30.0


def test_a_grading_that_fails_leaves_grades_and_page_as_they_were(course, monkeypatch):
    hand_in(course, notebook="")
    hand_in(course, "bob")
    gradebook.record(course, [report_of()])
    page = course.root / "autograded/ada" / ID / f"{ID}.ipynb"
    before = page.read_bytes(), grades_of(course)
    monkeypatch.setattr(steps, "write_outputs", lambda *words: 1 / 0)

    with pytest.raises(CourseError, match=r"ada \(ZeroDivisionError.*bob \(ZeroDivisionError"):
        gradebook.record(course, [report_of(double=1.5), report_of("bob")])

    assert (page.read_bytes(), grades_of(course)) == before
    assert [mark.student for mark in gradebook.marks(course, ID)] == ["ada"]


def test_a_student_who_was_removed_from_the_gradebook_comes_back(course):
    hand_in(course)
    gradebook.record(course, [report_of()])
    with book_of(course) as book:
        book.remove_student("ada")

    gradebook.record(course, [report_of()])

    assert grades_of(course)["double"] == (ODD, False)


def test_a_score_that_nbgrader_has_wrong_is_said(course, monkeypatch):
    hand_in(course)
    record_one = autograde.record_one
    monkeypatch.setattr(autograde, "record_one", lambda api, _: record_one(api, report_of(double=2.0)))

    with pytest.raises(CourseError, match=r"ada: nbgrader recorded 2 for double, and the report says 0\.3"):
        gradebook.record(course, [report_of()])


# Configurations that cannot be used


@pytest.mark.parametrize(
    "text",
    [
        "raise ValueError('no')",
        "c = get_config(",
        "c = get_config()\nc.LimitOutput.max_lines = 'x'\nc.CourseDirectory.db_url = 3",
    ],
)
def test_a_configuration_that_fails_stops_the_grading(course, text):
    (course.root / "nbgrader_config.py").write_text(text)

    with pytest.raises(CourseError, match=r"nbgrader_config\.py: cannot be used \(.+\); correct it"):
        gradebook.check(course, ID)


def test_a_configuration_that_means_another_course_stops_the_grading(course, tmp_path):
    (course.root / "nbgrader_config.py").write_text(f"c = get_config()\nc.CourseDirectory.root = '{tmp_path}'\n")

    with pytest.raises(CourseError, match=f"nbgrader would record in {tmp_path}, since .* add the line"):
        gradebook.check(course, ID)


@pytest.mark.parametrize(
    ("is_installed", "said"), [(True, "examine by the judge too"), (False, "fail, since they would run")]
)
def test_doctor_says_that_a_course_lacks_our_configuration(course, monkeypatch, is_installed, said):
    (course.root / "nbgrader_config.py").write_text("")
    monkeypatch.setattr(checkup, "is_guarded", lambda: is_installed)

    (fault,), _ = checkup.look(course)

    assert said in fault
    assert "configure(c, Path(__file__).resolve().parent)" in fault


def test_doctor_has_nothing_against_a_course_as_it_should_be(course):
    hand_in(course)
    gradebook.record(course, [report_of()])
    (course.root / "exchange").mkdir()
    before = checkup.look(course)
    with book_of(course) as book:
        book.update_or_create_student("ada", first_name="Ada", last_name="Lovelace")

    assert before[0] == []
    assert ["students without a name in the gradebook: 1;" in remark for remark in before[1]] == [True]
    assert checkup.look(course) == ([], [])


def test_feedback_counts_its_pages_first(course):
    hand_in(course)
    gradebook.record(course, [report_of()])
    told = []

    gradebook.feedback(course, ID, told.append, told.append)

    assert told == [1, "ada"]
