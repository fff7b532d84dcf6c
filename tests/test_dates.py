"""Due dates and extensions: students read them, nbgrader keeps them, and a late penalty follows them."""

from __future__ import annotations

import datetime
import json
import shutil
import tomllib

import pytest
from click.testing import CliRunner
from factory import make_course, make_topic

from autograder import dates
from autograder.authoring.build import render, stale
from autograder.classroom.class_report import class_report
from autograder.classroom.page import page
from autograder.cli import main
from autograder.course import Course
from autograder.errors import AuthorError, CourseError
from autograder.extensions import Extension, extensions, save
from autograder.grading.intake.collect import submissions
from autograder.grading.pool.fleet import examine_all
from autograder.people import Person
from autograder.people import save as save_people
from autograder.recording import connection, gradebook
from autograder.recording.extended import due_lines, extension_lines, grant, set_due, withdraw
from autograder.student.check import status_command

ID = "01_tiny"
DUE = datetime.datetime.fromisoformat("2027-01-31T23:59:00+01:00")
WORDS = "Sunday 31 January 2027, 23:59 (UTC+01:00)"


class TestWords:
    def test_a_date_is_told_with_its_day_and_its_zone(self):
        assert dates.spoken(DUE) == WORDS
        assert dates.spoken(DUE.astimezone(datetime.UTC)) == "Sunday 31 January 2027, 22:59 (UTC)"

    @pytest.mark.parametrize(
        ("hours", "words"),
        [(72, "in 3 days"), (47, "in 47 hours"), (1, "in 1 hour"), (0.5, "in 30 minutes"), (-72, "3 days ago")],
    )
    def test_the_time_that_is_left_is_told_in_the_unit_that_fits(self, hours, words):
        assert dates.left(DUE, DUE - datetime.timedelta(hours=hours)) == words

    @pytest.mark.parametrize("text", ["2027-01-31", "2027-01-31 23:59", " 2027-01-31T23:59 "])
    def test_without_a_zone_the_time_of_the_machine_is_meant(self, text):
        moment = dates.read_date(text)

        assert moment.tzinfo is not None
        assert moment.replace(tzinfo=None) == datetime.datetime(2027, 1, 31, 23, 59)

    def test_a_zone_that_is_given_counts(self):
        assert dates.read_date("2027-01-31T23:59+01:00") == DUE

    def test_no_date_is_said_to_be_none(self):
        with pytest.raises(AuthorError, match="'next friday' is no date; write \"2030-01-31 23:59\""):
            dates.read_date("next friday")

    def test_the_length_of_an_extension_is_told(self):
        assert Extension(ID, "ada", 2 * 1440 + 65).words == "2 days 1 hour 5 minutes"


class TestWhatStudentsRead:
    def test_the_first_page_and_the_card_say_the_date(self, tmp_path):
        topic = make_topic(tmp_path / ID)
        before = render(topic)
        dates.write(tmp_path, {ID: DUE})

        files = render(topic)

        assert f"Due **{WORDS}**." in files["README.md"].decode()
        assert tomllib.loads(files["topic.toml"].decode())["due"] == DUE
        assert "Due" not in before["README.md"].decode()
        assert {name for name in files if files[name] != before[name]} == {"README.md", "topic.toml"}

    def test_status_says_how_long_it_is(self, tmp_path, capsys):
        topic = make_topic(tmp_path / "assignments" / ID)
        dates.write(topic.folder.parent, {ID: datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=3.5)})
        folder = tmp_path / "home" / ID
        folder.mkdir(parents=True)
        for name, content in render(topic).items():
            (folder / name).write_bytes(content)

        status_command(folder.parent)

        assert "due in 3 days" in capsys.readouterr().out

    @pytest.mark.parametrize("text", ["01_tiny = 3\n", "01_tiny =\n", '01_tiny = "2027-01-31"\n'])
    def test_a_damaged_file_of_dates_is_named(self, tmp_path, text):
        (tmp_path / "dates.toml").write_text(text)

        with pytest.raises(AuthorError, match="dates.toml: "):
            dates.dates(tmp_path)


@pytest.fixture
def course(tmp_path, released):
    shutil.copytree(released.root, tmp_path / "course", symlinks=True)
    return Course(tmp_path / "course")


def hand_in(course: Course, student: str, moment: datetime.datetime) -> None:
    folder = course.submitted / student / ID
    folder.mkdir(parents=True)
    shutil.copy(course.topic(ID).solution_path, folder)
    (folder / "timestamp.txt").write_text(f"{dates.in_utc(moment):%Y-%m-%d %H:%M:%S} UTC")


def grade(course: Course) -> dict[str, float]:
    """Examine and record the class as `grade` does; return each student's points."""
    gradebook.record(course, examine_all(course, submissions(course, course.topic(ID)), allow_unisolated=True))
    return {mark.student: mark.score for mark in gradebook.marks(course, ID)}


def with_policy(course: Course) -> Course:
    with open(course.root / "nbgrader_config.py", "a") as config:
        config.write("c.LatePolicy.points_per_day = 10\n")
    return course


@pytest.mark.slow
class TestDue:
    def test_the_command_sets_it_for_students_and_for_nbgrader(self, course, monkeypatch):
        monkeypatch.chdir(course.root)

        result = CliRunner().invoke(main, ["due", ID, "2027-01-31T23:59+01:00"])

        assert result.output.splitlines() == [
            f"{ID}: due {WORDS} (dates.toml)",
            f"students read it after `autograder release {ID}`",
        ]
        assert dates.due(course.topic(ID).folder) == DUE
        assert due_lines(course, ()) == [f"{ID}: due {WORDS}"]
        assert [path.name for path in stale(course, (ID,))] == ["README.md", "topic.toml"]

    def test_a_release_enters_a_date_that_was_written_by_hand(self, course):
        from autograder.authoring.release import release

        dates.write(course.assignments, {ID: DUE})

        release(course)

        assert due_lines(course, ()) == [f"{ID}: due {WORDS}"]
        assert WORDS in (course.release / ID / "README.md").read_text()

    def test_another_date_of_the_gradebook_is_said(self, course):
        set_due(course, ID, DUE)
        dates.write(course.assignments, {ID: DUE + datetime.timedelta(days=1)})

        (line,) = due_lines(course, ())

        assert "; the gradebook has " in line
        assert line.endswith(f", until `autograder release {ID}`")

    def test_it_is_removed(self, course):
        set_due(course, ID, DUE)

        set_due(course, ID, None)

        assert due_lines(course, ()) == [f"{ID}: no due date"]

    def test_an_extension_keeps_it_from_being_removed(self, course):
        set_due(course, ID, DUE)
        grant(course, ID, "ada", datetime.timedelta(days=1))

        with pytest.raises(CourseError, match=r"extensions depend on this date \(ada\); remove them first"):
            set_due(course, ID, None)


@pytest.mark.slow
class TestExtension:
    def test_it_is_given_before_the_student_hands_in_and_saves_the_penalty(self, course):
        with_policy(course)
        set_due(course, ID, DUE)
        from autograder.authoring.release import release

        release(course)
        said = grant(course, ID, "ada", datetime.timedelta(days=2))
        for student in ("ada", "bob"):
            hand_in(course, student, DUE + datetime.timedelta(days=1, hours=1))

        points = grade(course)

        assert said == [f"{ID}: ada has 2 days more, until Tuesday 2 February 2027, 23:59 (UTC+01:00)"]
        assert points["ada"] == points["bob"] + 20
        assert extension_lines(course) == said

    def test_given_after_the_mark_it_takes_the_penalty_back(self, course):
        with_policy(course)
        set_due(course, ID, DUE)
        hand_in(course, "ada", DUE + datetime.timedelta(hours=1))
        before = grade(course)["ada"]

        said = grant(course, ID, "ada", DUE + datetime.timedelta(days=1))
        with_extension = grade(course)["ada"]
        withdraw(course, ID, "ada")
        again = grade(course)["ada"]

        assert said[-1] == f"the penalty is computed again by `autograder grade {ID}`"
        assert (with_extension, again) == (before + 10, before)

    def test_one_that_was_given_in_python_is_shown_and_removed(self, course):
        set_due(course, ID, DUE)
        hand_in(course, "ada", DUE)
        grade(course)
        with connection.opened(course) as api, api.gradebook as book:
            book.grant_extension(ID, "ada", hours=3)

        shown = extension_lines(course, ID)
        withdraw(course, ID, "ada")

        assert shown == [f"{ID}: ada has 3 hours more, until Monday 1 February 2027, 02:59 (UTC+01:00)"]
        assert extension_lines(course) == []

    @pytest.mark.parametrize(
        ("student", "given", "message"),
        [
            ("eve", datetime.timedelta(days=1), "'eve' is not in the class; `autograder students list`"),
            ("ada", datetime.timedelta(0), f"{ID}: due {WORDS.split(',')[0]}.*give a time after that"),
            ("ada", DUE - datetime.timedelta(days=1), "give a time after that"),
        ],
    )
    def test_a_slip_is_refused(self, course, student, given, message):
        set_due(course, ID, DUE)
        save_people(course, [Person("ada")])

        with pytest.raises(CourseError, match=message):
            grant(course, ID, student, given)

        assert extensions(course) == ()

    def test_without_a_due_date_there_is_nothing_to_extend(self, course):
        with pytest.raises(CourseError, match=f"has no due date; set one with `autograder due {ID} DATE`"):
            grant(course, ID, "ada", datetime.timedelta(days=1))

    def test_the_commands_set_show_and_remove(self, course, monkeypatch):
        monkeypatch.chdir(course.root)
        set_due(course, ID, DUE)
        run = CliRunner().invoke

        given = run(main, ["extension", "set", ID, "ada", "--until", "2027-02-01T12:00+01:00"])
        shown = run(main, ["extension", "show", ID])
        removed = run(main, ["extension", "remove", ID, "ada"])
        none = run(main, ["extension", "show"])

        assert given.output == shown.output
        assert "ada has 12 hours 1 minute more, until Monday 1 February 2027, 12:00" in shown.output
        assert removed.output == f"{ID}: ada has no extension any more\n"
        assert none.output == "nobody has an extension\n"

    def test_the_class_report_shows_both_dates(self, course):
        set_due(course, ID, DUE)
        save(course, [Extension(ID, "ada", 1440), Extension(ID, "grace", 60)])
        save_people(course, [Person("ada"), Person("grace", state="left")])
        hand_in(course, "ada", DUE)
        grade(course)

        report = class_report(course, ID)

        assert report.due == WORDS
        assert report.extended == {"ada": "Monday 1 February 2027, 23:59 (UTC+01:00)"}
        assert "ada has time until Monday 1 February 2027" in page(report)


def test_a_damaged_file_of_extensions_is_named(tmp_path):
    course = make_course(tmp_path)
    (course.root / "extensions.csv").write_text("assignment,student\n01_tiny,ada\n")

    with pytest.raises(CourseError, match="extensions.csv: cannot be read .*; it needs assignment,student,minutes"):
        extensions(course)


def test_a_date_changes_no_verdict(tmp_path):
    from autograder.grading.keep import store

    topic = make_topic(tmp_path / ID)
    before = store.suite(topic)

    dates.write(tmp_path, {ID: DUE})

    assert store.suite(topic) == before
    assert json.dumps(sorted(path.name for path in topic.own_files)).count("dates") == 0
