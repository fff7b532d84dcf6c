"""Recording a class: only students whose record would change, with a gradebook that is opened once."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
from test_registrar import ID, ODD, answered, course, grades_of, hand_in, report_of

from autograder.recording import autograde, gradebook
from autograder.recording.warm import FeedbackExporter, warm_gradebook

__all__ = ["course"]  # a fixture
CLASS = ("ada", "bob", "cyd")


@pytest.fixture
def recorded(monkeypatch):
    """The students that nbgrader was asked to grade, in order."""
    students = []
    really = autograde.record_one

    def record_one(api, report):
        students.append(report.student)
        return really(api, report)

    monkeypatch.setattr(autograde, "record_one", record_one)
    return students


@pytest.fixture
def reports(course, recorded):
    """A class of three that has been recorded once."""
    for student in CLASS:
        hand_in(course, student)
    reports = [report_of(student) for student in CLASS]
    gradebook.record(course, reports)
    assert recorded == list(CLASS)
    recorded.clear()
    return reports


def open_book(course):
    from nbgrader.api import Gradebook

    return Gradebook(f"sqlite:///{course.root / 'gradebook.db'}")


def test_who_is_recorded_already_is_passed_over_and_still_counted(course, reports, recorded):
    told = []

    gradebook.record(course, reports, told.append)

    assert recorded == []
    assert told == list(CLASS)


def test_a_changed_report_is_recorded_and_no_other(course, reports, recorded):
    gradebook.record(course, [reports[0], report_of("bob", double=1.5), reports[2]])

    assert recorded == ["bob"]
    assert grades_of(course, "bob")["double"] == (1.5, False)
    assert grades_of(course, "ada")["double"] == (ODD, False)


def test_a_score_changed_in_the_gradebook_is_set_right(course, reports, recorded):
    with open_book(course) as book:
        book.find_grade("double", ID, ID, "cyd").auto_score = 60.0
        book.db.commit()

    gradebook.record(course, reports)

    assert recorded == ["cyd"]
    assert grades_of(course, "cyd")["double"] == (ODD, False)


def test_a_score_given_by_hand_stays_and_is_no_reason_to_record_again(course, reports, recorded):
    with open_book(course) as book:
        book.find_grade("why_double", ID, ID, "ada").manual_score = 4.0
        book.db.commit()

    gradebook.record(course, reports)

    assert recorded == []
    with open_book(course) as book:
        assert book.find_grade("why_double", ID, ID, "ada").manual_score == 4.0


def _answer_anew(course):
    import json

    path = course.submitted / "bob" / ID / f"{ID}.ipynb"
    path.write_text(json.dumps(answered(course, "Another thought.")))


def _lose_the_page(course):
    path = course.root / "autograded/bob" / ID / f"{ID}.ipynb"
    path.chmod(0o644)
    path.unlink()


def _spoil_the_note(course):
    (course.cache / "recorded" / ID / "bob.json").write_text("{")


def _hand_in_later(course):
    (course.submitted / "bob" / ID / "timestamp.txt").write_text("2026-01-02 03:04:05 UTC")


@pytest.mark.parametrize("change", [_answer_anew, _lose_the_page, _spoil_the_note, _hand_in_later])
def test_whatever_the_record_was_made_from_is_a_reason_to_record_again(course, reports, recorded, change):
    change(course)

    gradebook.record(course, reports)

    assert recorded == ["bob"]


def test_a_changed_configuration_is_a_reason_to_record_everybody_again(course, reports, recorded):
    path = course.root / "nbgrader_config.py"
    path.write_text(path.read_text() + "\nc.LimitOutput.max_lines = 500\n")

    gradebook.record(course, reports)

    assert recorded == list(CLASS)


def test_who_is_late_is_recorded_each_time_for_a_penalty_may_have_changed(course, recorded):
    with open_book(course) as book:
        book.update_or_create_assignment(ID, duedate="2020-01-01 00:00:00 UTC")
    folder = hand_in(course, timestamp_txt="2020-01-02 00:00:00 UTC")
    os.utime(folder)

    for _ in range(2):
        gradebook.record(course, [report_of()])

    assert recorded == ["ada", "ada"]


def test_who_could_not_be_recorded_is_tried_again(course, recorded, monkeypatch):
    hand_in(course)
    failing = {"success": False, "error": "ZeroDivisionError: no", "log": ""}
    with monkeypatch.context() as patch:
        patch.setattr(autograde, "record_one", lambda *arguments: failing)
        with pytest.raises(gradebook.CourseError, match="no"):
            gradebook.record(course, [report_of()])

    gradebook.record(course, [report_of()])

    assert recorded == ["ada"]
    assert grades_of(course)["double"] == (ODD, False)


def test_a_class_is_recorded_with_one_engine_and_leaves_nbgrader_as_it_was(course, monkeypatch):
    from nbgrader import api

    made = []
    really = api.create_engine
    monkeypatch.setattr(api, "create_engine", lambda *words, **options: made.append(words) or really(*words, **options))
    before = api.Gradebook.__init__, api.Gradebook.close
    for student in CLASS:
        hand_in(course, student)

    gradebook.record(course, [report_of(student) for student in CLASS])
    gradebook.feedback(course, ID)

    courses = 2  # nbgrader opens it for this course and for one named "default_course"
    assert len(made) == 2 * courses
    assert (api.Gradebook.__init__, api.Gradebook.close) == before


def test_a_warm_gradebook_shows_what_another_program_wrote_meanwhile(course):
    with warm_gradebook(), open_book(course) as book:
        assert book.students == []
        with warm_gradebook(), open_book(course) as other:
            other.add_student("zoe")
        book.db.rollback()
        assert [student.id for student in book.students] == ["zoe"]


def test_a_feedback_page_is_the_same_from_a_warm_template(course, reports):
    from bs4 import BeautifulSoup  # nbconvert reads each of its pages with it
    from nbconvert.exporters import HTMLExporter

    from autograder.recording import registrar, warm

    class Slow(HTMLExporter):
        """nbconvert's exporter, with our words in nbgrader's templates."""

        def _create_environment(self):
            environment = super()._create_environment()
            environment.loader = warm._Named(environment.loader)
            return environment

    def pages(exporter):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(registrar, "FeedbackExporter", exporter)
            gradebook.feedback(course, ID)
        written = [course.root / "feedback" / student / ID / f"{ID}.html" for student in CLASS]
        return [str(BeautifulSoup(path.read_text(), "html.parser")) for path in written]

    assert pages(FeedbackExporter) == pages(Slow)


@pytest.mark.parametrize(
    ("page", "described"),
    [
        ('<img src="a.png">', True),
        ("<IMG\n src='a.png' />", True),
        ('<img src="a.png" alt="a curve">', False),
        ('<img ALT="" src="a.png"/>', False),
        ('<img data-alt="x" src="salt.png">', True),
        ("<image>", False),
    ],
)
def test_a_picture_without_words_is_described_as_nbconvert_does(page, described):
    from autograder.recording.warm import with_descriptions

    found = with_descriptions(page)

    assert (found.count('alt="No description has been provided for this image"') == 1) is described
    assert (found == page) is not described


def test_a_report_that_differs_in_anything_is_recorded(course, reports, recorded):
    gradebook.record(course, [replace(reports[0], seed=8), reports[1]])

    assert recorded == ["ada"]
