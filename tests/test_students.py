"""`autograder students`: the class comes from a platform's CSV, in four languages; who leaves keeps every mark."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from factory import make_course

from autograder.classroom.class_report import class_report
from autograder.cli import main
from autograder.course import Course
from autograder.errors import CourseError
from autograder.grading.intake.collect import submissions
from autograder.grading.pool.fleet import examine_all
from autograder.people import Person, gone, people, save
from autograder.platforms.export import export_marks
from autograder.platforms.roster import MOODLE, fill
from autograder.platforms.students import class_lines, enter, read_class, text_of
from autograder.recording import connection, gradebook
from autograder.report.mark import Mark

CANVAS = """\
Student,ID,SIS User ID,SIS Login ID,Section,Tiny (4711)
,,,,,Manual Posting
    Points Possible,,,,,100.00
"Lovelace, Ada",101,s1,ada@uni.example,DL 1,
"Hopper, Grace Brewster",102,s2,grace,DL 2,
"Student, Test",103,,8f3a,DL 1,
"""
#: what a platform exports, and the option --column where the platform has no login
EXPORTS = {
    "canvas": (CANVAS, ""),
    "canvas in French": (CANVAS.replace("Student,ID", "Étudiant,ID").replace(",Section,", ",Section,"), ""),
    "moodle": ("First name,Last name,Username\nAda,Lovelace,ada\nGrace Brewster,Hopper,grace\n", ""),
    "moodle in German": (
        "Vorname;Nachname;ID-Nummer;E-Mail-Adresse\nAda;Lovelace;s1;ada@uni.example\n"
        "Grace Brewster;Hopper;s2;grace@uni.example\n",
        "E-Mail-Adresse",
    ),
    "moodle in French": (
        "Prénom\tNom de famille\tNom d\N{RIGHT SINGLE QUOTATION MARK}utilisateur\tAdresse de courriel\n"
        "Ada\tLovelace\tada\tada@uni.example\nGrace Brewster\tHopper\tgrace\tgrace@uni.example\n",
        "",
    ),
    "moodle in Spanish": (
        "Nombre,Apellido(s),Nombre de usuario,Dirección de correo\nAda,Lovelace,ada,a@b.example\n"
        "Grace Brewster,Hopper,grace,g@b.example\n",
        "",
    ),
    "sakai": (
        'Student ID,Student Name,Role\nada,"Lovelace, Ada",Student\ngrace,"Hopper, Grace Brewster",Student\n'
        "prof,Alan Turing,Instructor\n",
        "",
    ),
    "gradescope": (
        "Name,SID,Email,Role,Sections\nAda Lovelace,1,ada@uni.example,Student,DL 1\n"
        "Grace Brewster Hopper,2,grace@uni.example,Student,DL 2\nAlan Turing,3,alan@uni.example,TA,\n",
        "Email",
    ),
}


@pytest.mark.parametrize("name", EXPORTS)
def test_each_platform_gives_the_same_two_students(name):
    text, column = EXPORTS[name]

    found, _ = read_class(text, column)

    assert [(person.student, person.first_name, person.last_name) for person in found] == [
        ("ada", "Ada", "Lovelace"),
        ("grace", "Grace Brewster", "Hopper"),
    ]


def test_canvas_gives_numbers_sections_and_addresses():
    found, column = read_class(CANVAS)

    assert column == "SIS Login ID"
    assert found[0] == Person("ada", "Ada", "Lovelace", "ada@uni.example", "101", "DL 1")


def test_a_whole_address_is_the_name_if_the_teacher_says_so():
    found, _ = read_class(EXPORTS["gradescope"][0], "Email", is_whole=True)

    assert [person.student for person in found] == ["ada@uni.example", "grace@uni.example"]


def test_a_column_may_be_named_in_english_or_as_it_is_written():
    german = EXPORTS["moodle in German"][0]

    assert read_class(german, "email address")[0] == read_class(german, "E-Mail-Adresse")[0]


def test_an_accent_of_its_own_and_a_composed_letter_are_the_same():
    found, _ = read_class("Username,First name,Last name\njose\u0301,Jose\u0301,Nu\u0301n\u0303ez\n")

    assert (found[0].student, found[0].last_name) == ("jos\u00e9", "N\u00fa\u00f1ez")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_a_spreadsheet_s_encodings_are_read(encoding):
    assert text_of("Vorname;Größe".encode(encoding)) == "Vorname;Größe"


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("", "", "the roster is empty"),
        ("First name,Email\nAda,a@b.c\n", "", "no known column of logins; say with --column .*: First name, Email"),
        ("First name,Email\nAda,a@b.c\n", "Login", "no column 'Login'; say with --column"),
        ("Username\n\n", "", "holds no student"),
        ("Username,Name\n,Ada\n", "", "line 2 has nothing in the column 'Username'"),
        ("Username\n../ada\n", "", "line 2: '../ada' cannot be a folder's name"),
        ("Username\na@x.org\na@y.org\n", "", "several students are a in the column 'Username'.*--whole-email"),
    ],
)
def test_a_roster_that_names_nobody_is_refused(text, column, message):
    with pytest.raises(CourseError, match=message):
        read_class(text, column)


@pytest.fixture
def course(tmp_path, released):
    shutil.copytree(released.root, tmp_path / "course", symlinks=True)
    return Course(tmp_path / "course")


def imported(course: Course, text: str, *options: str) -> str:
    file = course.root / "roster.csv"
    file.write_text(text, encoding="utf-8")
    result = CliRunner().invoke(main, ["students", "import", str(file), *options])
    assert result.exit_code == 0, result.output
    return result.output


def in_the_gradebook(course: Course) -> dict[str, tuple[str, str]]:
    with connection.opened(course) as api, api.gradebook as book:
        return {student.id: (student.first_name, student.last_name) for student in book.students}


@pytest.mark.slow
class TestTheClass:
    def test_names_are_in_the_list_and_in_the_gradebook(self, course, monkeypatch):
        monkeypatch.chdir(course.root)

        said = imported(course, CANVAS)

        assert said.splitlines() == [
            "2 students in the class, named as in the column 'SIS Login ID'",
            "new: ada, grace",
        ]
        assert in_the_gradebook(course) == {"ada": ("Ada", "Lovelace"), "grace": ("Grace Brewster", "Hopper")}
        assert (course.root / "students.csv").stat().st_mode & 0o007 == 0
        assert class_lines(course) == ["ada    Ada Lovelace  DL 1", "grace  Grace Brewster Hopper  DL 2"]
        assert class_lines(course, "DL 2") == ["grace  Grace Brewster Hopper  DL 2"]

    def test_who_is_no_longer_on_it_has_left_and_may_come_back(self, course, monkeypatch):
        monkeypatch.chdir(course.root)
        imported(course, CANVAS)

        without = imported(course, "\n".join(line for line in CANVAS.splitlines() if "Hopper" not in line))
        gone_now = gone(course)
        again = imported(course, CANVAS)

        assert "left, with all marks kept: grace" in without.splitlines()
        assert gone_now == {"grace"}
        assert "back: grace" in again.splitlines()
        assert gone(course) == set()
        assert set(in_the_gradebook(course)) == {"ada", "grace"}

    def test_one_section_more_sends_nobody_away(self, course, monkeypatch):
        monkeypatch.chdir(course.root)
        imported(course, CANVAS)

        imported(course, "Username,Section\nalan,DL 3\n", "--add")

        assert [person.student for person in people(course)] == ["ada", "alan", "grace"]
        assert gone(course) == set()

    def test_a_bad_csv_changes_nothing(self, course):
        (course.root / "roster.csv").write_text(CANVAS)
        enter(course, course.root / "roster.csv")
        before = (course.root / "students.csv").read_bytes()
        (course.root / "bad.csv").write_text("Username\nada\nada\n")

        with pytest.raises(CourseError, match="bad.csv: several students are ada"):
            enter(course, course.root / "bad.csv")

        assert (course.root / "students.csv").read_bytes() == before

    def test_a_student_who_left_keeps_the_mark_and_leaves_the_lists(self, course):
        topic = course.topic("01_tiny")
        for name in ("ada", "grace"):
            (course.submitted / name / topic.id).mkdir(parents=True)
            shutil.copy(topic.solution_path, course.submitted / name / topic.id)
        gradebook.record(course, examine_all(course, submissions(course, topic), allow_unisolated=True))
        save(course, [Person("ada", section="DL 1"), Person("grace", section="DL 2", state="left")])
        (course.root / "roster.csv").write_text("SID,Email,Name\n1,ada@uni.example,Ada\n")

        exported = export_marks(course, topic.id, "gradescope", course.root / "roster.csv")

        assert exported.is_whole
        assert any("have left, not on the roster" in said and "grace" in said for said in exported.sentences)
        assert {mark.student for mark in gradebook.marks(course, topic.id)} == {"ada", "grace"}
        assert [row.student for row in class_report(course, topic.id).rows] == ["ada"]
        assert [row.student for row in class_report(course, topic.id, section="DL 1").rows] == ["ada"]
        with pytest.raises(CourseError, match="no student in a section 'DL 9'"):
            class_report(course, topic.id, section="DL 9")

    def test_grading_leaves_those_who_have_left_alone(self, course, monkeypatch):
        monkeypatch.chdir(course.root)
        topic = course.topic("01_tiny")
        for name in ("ada", "grace"):
            (course.submitted / name / topic.id).mkdir(parents=True)
            shutil.copy(topic.solution_path, course.submitted / name / topic.id)
        save(course, [Person("ada"), Person("grace", state="left")])

        CliRunner().invoke(main, ["grade", topic.id, "--allow-unisolated", "--quiet", "--json", "reports.json"])

        assert [report["student"] for report in json.loads(Path("reports.json").read_text())] == ["ada"]


class TestTheFile:
    def test_it_is_read_as_it_was_written(self, tmp_path):
        course, person = make_course(tmp_path), Person("ada", "=Ada", "Lovelace", "a@b.c", "7", "DL, 1", "left")

        save(course, [person])

        assert people(course) == (Person("ada", "'=Ada", "Lovelace", "a@b.c", "7", "DL, 1", "left"),)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("name\nada\n", "has no column 'student'"),
            ("student,state\nada,away\n", "students.csv:2: state is 'away'; leave it empty, or write left"),
            ("student\nada\nada\n", "students.csv:3: 'ada' is there twice"),
        ],
    )
    def test_a_slip_in_it_is_named(self, tmp_path, text, message):
        course = make_course(tmp_path)
        (course.root / "students.csv").write_text(text)

        with pytest.raises(CourseError, match=message):
            people(course)

    def test_a_course_without_it_has_no_list(self, tmp_path):
        course = make_course(tmp_path)

        assert people(course) == ()
        with pytest.raises(CourseError, match="no class yet; run `autograder students import CSV`"):
            class_lines(course)


class TestMarksInOtherLanguages:
    @pytest.mark.parametrize("name", ["moodle in German", "moodle in French", "moodle in Spanish"])
    def test_a_roster_of_moodle_is_filled_in_its_own_language(self, name):
        text, _ = EXPORTS[name]

        found = fill(text, MOODLE, [Mark("ada", 90.0, 100.0), Mark("hopper, grace brewster", 50.0, 100.0)], "Tiny")

        assert found.filled == 2

    def test_a_folder_named_last_first_finds_first_and_last(self):
        found = fill("First name,Last name\nAda,Lovelace\n", MOODLE, [Mark("LOVELACE, Ada", 1.0, 2.0)], "Tiny")

        assert list(csv.DictReader(found.text.splitlines())) == [
            {"First name": "Ada", "Last name": "Lovelace", "Tiny": "1"}
        ]
