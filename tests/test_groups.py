"""Groups: one parcel for several students; each has a mark, and nobody loses what they handed in themselves."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from factory import SOLUTION, make_course

from autograder.classroom.class_report import class_report
from autograder.classroom.page import page
from autograder.cli import main
from autograder.course import Course
from autograder.errors import CourseError
from autograder.groups import groups, share
from autograder.people import Person, save
from autograder.recording import gradebook

ID = "01_tiny"
LONG = SOLUTION + "\n".join(f"\n\ndef helper_{n}(x):\n    return [x * {n} + y for y in range({n})]" for n in range(30))


@pytest.fixture
def course(tmp_path):
    return make_course(tmp_path)


def write(course, text):
    (course.root / "groups.txt").write_text(text, encoding="utf-8")


def hand_in(course, student, module=SOLUTION, day=1):
    folder = course.submitted / student / ID
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tiny.py").write_text(module)
    (folder / "timestamp.txt").write_text(f"2027-01-{day:02} 10:00:00 UTC")
    (folder / "submission_secret.txt").write_text(f"secret of {student}")


def module_of(course, student):
    return (course.submitted / student / ID / "tiny.py").read_text()


class TestTheFile:
    def test_a_line_for_an_assignment_comes_before_a_line_for_all(self, course):
        write(course, "# groups\n\nall: ada, grace\nall: alan, joan   # friends\n01_tiny: ada, eve\n")

        assert groups(course, ID) == (("ada", "eve"), ("alan", "joan"))
        assert groups(course, "02_other") == (("ada", "grace"), ("alan", "joan"))

    def test_a_course_without_it_has_no_groups(self, course):
        assert groups(course, ID) == ()
        assert share(course, ID) == []

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("ada, grace\n", "groups.txt:1: no group; write it as all: ada, grace"),
            ("all: ada\n", "groups.txt:1: no group"),
            ("all: ada, ada\n", "groups.txt:1: no group"),
            ("\n02_none: ada, grace\n", "groups.txt:2: no assignment '02_none'; name one, or write all"),
            ("all: ada, grace\nall: grace, joan\n", "groups.txt:2: 'grace' is in two groups"),
            ("all: ada, ../eve\n", "'../eve' is not in the class"),
        ],
    )
    def test_a_slip_is_named_with_its_line(self, course, text, message):
        write(course, text)

        with pytest.raises(CourseError, match=message):
            groups(course, ID)

    def test_a_name_that_is_not_in_the_class_is_named(self, course):
        save(course, [Person("ada")])
        write(course, "all: ada, grcae\n")

        with pytest.raises(CourseError, match="'grcae' is not in the class; see `autograder students list`"):
            groups(course, ID)


class TestSharing:
    def test_the_parcel_of_one_is_there_for_all(self, course):
        write(course, "all: ada, grace, joan\n")
        hand_in(course, "grace")

        said = share(course, ID)

        assert said == []
        assert module_of(course, "ada") == module_of(course, "joan") == SOLUTION
        secrets = {
            (course.submitted / name / ID / "submission_secret.txt").read_text() for name in ("ada", "grace", "joan")
        }
        assert len(secrets) == 3

    def test_a_second_time_touches_nothing(self, course):
        write(course, "all: ada, grace\n")
        hand_in(course, "grace")
        share(course, ID)
        before = {path: path.stat().st_mtime_ns for path in course.submitted.rglob("*")}

        share(course, ID)

        assert {path: path.stat().st_mtime_ns for path in course.submitted.rglob("*")} == before

    def test_a_later_hand_in_of_the_giver_reaches_all(self, course):
        write(course, "all: ada, grace\n")
        hand_in(course, "grace")
        share(course, ID)

        hand_in(course, "grace", "FACTOR = 3\n", day=2)
        share(course, ID)

        assert module_of(course, "ada") == "FACTOR = 3\n"

    def test_who_hands_in_alone_keeps_that_parcel_and_is_named(self, course):
        write(course, "all: ada, grace, joan\n")
        hand_in(course, "ada", "OWN = 1\n", day=1)
        hand_in(course, "grace", "LAST = 1\n", day=3)

        said = share(course, ID)

        assert (module_of(course, "ada"), module_of(course, "joan")) == ("OWN = 1\n", "LAST = 1\n")
        assert said == ["ada, grace are one group and each handed in: each parcel is graded on its own"]

    def test_what_a_member_hands_in_after_a_copy_is_the_member_s_own(self, course):
        write(course, "all: ada, grace\n")
        hand_in(course, "grace")
        share(course, ID)

        hand_in(course, "ada", "OWN = 1\n", day=4)
        share(course, ID)

        assert (module_of(course, "ada"), module_of(course, "grace")) == ("OWN = 1\n", SOLUTION)

    def test_a_copy_of_a_group_that_is_no_more_is_named(self, course):
        write(course, "all: ada, grace\n")
        hand_in(course, "grace")
        share(course, ID)

        write(course, "")

        assert share(course, ID) == [
            f"{course.submitted / 'ada' / ID}: a copy from a group that ada is no longer in; remove it"
        ]

    def test_links_and_pipes_are_not_copied(self, course):
        write(course, "all: ada, grace\n")
        hand_in(course, "grace")
        (course.submitted / "grace" / ID / "link.py").symlink_to("/etc/passwd")
        os.mkfifo(course.submitted / "grace" / ID / "pipe")

        share(course, ID)

        assert sorted(path.name for path in (course.submitted / "ada" / ID).iterdir()) == [
            "submission_secret.txt",
            "timestamp.txt",
            "tiny.py",
        ]


@pytest.mark.slow
def test_each_member_has_a_mark_and_the_class_report_sees_one_module(tmp_path, released, monkeypatch):
    shutil.copytree(released.root, tmp_path / "course", symlinks=True)
    course = Course(tmp_path / "course")
    monkeypatch.chdir(course.root)
    write(course, "01_tiny: ada, grace\n")
    hand_in(course, "grace", LONG)
    hand_in(course, "joan", LONG.replace("helper_", "own_"))

    result = CliRunner().invoke(main, ["grade", ID, "--allow-unisolated", "--json", "reports.json"])
    report = class_report(course, ID)

    assert result.exit_code == 0, result.output
    assert [entry["student"] for entry in json.loads(Path("reports.json").read_text())] == ["ada", "grace", "joan"]
    assert {mark.student: mark.score for mark in gradebook.marks(course, ID)} == dict.fromkeys(
        ("ada", "grace", "joan"), 90.0
    )
    assert {frozenset((pair.one, pair.other)) for pair in report.comparison.pairs} == {frozenset(("ada", "joan"))}
    assert report.groups == (("ada", "grace"),)
    assert "Groups, of which one member hands in: ada, grace." in page(report)
