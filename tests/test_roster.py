"""A platform's own roster gets marks; no name is guessed, and no student is lost."""

from __future__ import annotations

import csv
import io

import pytest

from autograder.errors import CourseError
from autograder.platforms.roster import CANVAS, GRADESCOPE, MOODLE, Filled, fill
from autograder.report.mark import Mark

# Canvas exports its gradebook like this: a column for each assignment, with its number, and read-only columns
CANVAS_CSV = """\
Student,ID,SIS User ID,SIS Login ID,Section,Tiny (4711),Other (4712),Current Score
,,,,,Manual Posting,,
    Points Possible,,,,,100.00,10.00,(read only)
"Lovelace, Ada",101,s1,ada,DL 1,,7.00,70
"Hopper, Grace",102,s2,grace@uni.example,DL 1,55.00,,0
"Student, Test",103,,8f3a,DL 1,,,
"""
# exports of Moodle: of its gradebook, and its worksheet of one assignment
MOODLE_CSV = """\
\ufeff"First name","Last name","ID number",Institution,"Email address","Assignment: Tiny (Real)","Last downloaded from this course"
Ada,Lovelace,s1,,ada@uni.example,-,1700000000
Grace,Hopper,s2,,grace@uni.example,-,1700000000
"""
MOODLE_WORKSHEET = """\
Identifier,"Full name","Email address",Status,Grade,"Maximum Grade","Grade can be changed","Feedback comments"
"Participant 7","Ada Lovelace",ada@uni.example,"Submitted for grading",,100.00,Yes,
"Participant 8","Grace Hopper",grace@uni.example,"Submitted for grading",50.00,100.00,No,
"""
GRADESCOPE_CSV = """\
First Name,Last Name,SID,Email,Sections
Ada,Lovelace,s1,ada@uni.example,DL 1
Grace,Hopper,s2,grace@uni.example,DL 1
"""
ADA, GRACE = Mark("ada", 87.456, 100.0), Mark("Grace", 100.0, 100.0, open=("why_double",))


def rows(filled: Filled) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(filled.text)))


class TestCanvas:
    def test_marks_stand_in_the_assignment_s_own_column(self) -> None:
        found = fill(CANVAS_CSV, CANVAS, [ADA, GRACE], "Tiny")

        assert found.column == "Tiny (4711)"
        by_name = {row["Student"]: row for row in rows(found)}
        assert by_name["Lovelace, Ada"]["Tiny (4711)"] == "87.46"
        assert by_name["Hopper, Grace"]["Tiny (4711)"] == "100"
        assert by_name["Student, Test"]["Tiny (4711)"] == ""

    def test_only_what_an_import_needs_goes_back(self) -> None:
        found = fill(CANVAS_CSV, CANVAS, [ADA], "Tiny")

        assert list(rows(found)[0]) == [
            "Student",
            "ID",
            "SIS User ID",
            "SIS Login ID",
            "Section",
            "Tiny (4711)",
        ]
        assert [row["Student"].strip() for row in rows(found)][:2] == ["", "Points Possible"]

    def test_a_new_column_says_how_many_points_can_be_had(self) -> None:
        found = fill(CANVAS_CSV, CANVAS, [ADA], "Brand new")

        above = next(row for row in rows(found) if "Points Possible" in row["Student"])
        assert above["Brand new"] == "100"

    def test_the_test_student_is_not_waited_for(self) -> None:
        assert fill(CANVAS_CSV, CANVAS, [ADA], "Tiny").blank == ("grace@uni.example",)


class TestMoodle:
    def test_the_gradebook_is_filled_by_the_address_or_what_stands_before_its_at(self) -> None:
        found = fill(MOODLE_CSV, MOODLE, [ADA, Mark("GRACE@uni.example", 3.0, 100.0)], "Tiny")

        assert [row["Assignment: Tiny (Real)"] for row in rows(found)] == ["87.46", "3"]

    def test_the_worksheet_of_an_assignment_gets_its_grades_and_what_is_open(self) -> None:
        text = MOODLE_WORKSHEET.replace(",No,", ",Yes,")

        found = fill(text, MOODLE, [ADA, GRACE], "Tiny")

        assert [row["Grade"] for row in rows(found)] == ["87.46", "100"]
        assert rows(found)[1]["Feedback comments"] == "Not graded yet: why_double."
        assert list(rows(found)[0]) == list(csv.DictReader(io.StringIO(text)).fieldnames or [])

    def test_a_grade_that_may_not_be_changed_stays_and_is_said(self) -> None:
        found = fill(MOODLE_WORKSHEET, MOODLE, [ADA, GRACE], "Tiny")

        assert [row["Grade"] for row in rows(found)] == ["87.46", "50.00"]
        assert found.locked == (GRACE,)
        assert found.filled == 1

    def test_semicolons_stay_semicolons(self) -> None:
        found = fill(MOODLE_CSV.replace(",", ";"), MOODLE, [ADA], "Tiny")

        assert ";87.46" in found.text


class TestGradescope:
    def test_marks_come_in_a_column_of_their_own(self) -> None:
        found = fill(GRADESCOPE_CSV, GRADESCOPE, [ADA, Mark("s2", 50.0, 100.0)], "Tiny")

        assert [row["Tiny"] for row in rows(found)] == ["87.46", "50"]
        assert [row["SID"] for row in rows(found)] == ["s1", "s2"]

    def test_a_full_name_is_found_in_two_columns(self) -> None:
        assert fill(GRADESCOPE_CSV, GRADESCOPE, [Mark("ada lovelace", 1.0, 2.0)], "Tiny").filled == 1


class TestNobodyIsLost:
    def test_who_is_on_no_roster_is_named_with_the_mark(self) -> None:
        stranger = Mark("eve", 12.0, 100.0)

        found = fill(CANVAS_CSV, CANVAS, [ADA, stranger], "Tiny")

        assert found.unmatched == (stranger,)

    def test_who_fits_two_people_is_not_guessed(self) -> None:
        twice = GRADESCOPE_CSV.replace("grace@uni.example", "ada@other.example")

        found = fill(twice, GRADESCOPE, [ADA], "Tiny")

        assert found.unmatched == (ADA,)
        assert found.filled == 0

    def test_two_marks_for_one_person_are_both_named(self) -> None:
        found = fill(GRADESCOPE_CSV, GRADESCOPE, [ADA, Mark("Ada", 1.0, 100.0)], "Tiny")

        assert len(found.unmatched) == 2

    def test_what_the_platform_wrote_goes_back_as_it_came(self) -> None:
        hostile = GRADESCOPE_CSV + '"=cmd|\' /C calc\'!A0","O\'Brien, ""Bo""",s3,bo@uni.example,\n'

        found = fill(hostile, GRADESCOPE, [ADA], "Tiny")

        assert rows(found)[2]["First Name"] == "=cmd|' /C calc'!A0"
        assert rows(found)[2]["Last Name"] == 'O\'Brien, "Bo"'


class TestRefusals:
    @pytest.mark.parametrize("text", ["", "\n", "just,some,columns\n1,2,3\n"])
    def test_no_roster_is_said_to_be_none(self, text: str) -> None:
        with pytest.raises(CourseError, match="no column of Canvas that names a student.*export it from there as CSV"):
            fill(text, CANVAS, [ADA], "Tiny")

    def test_a_column_that_is_named_has_to_be_there(self) -> None:
        with pytest.raises(CourseError, match="no column 'Quiz'; it has Student, ID"):
            fill(CANVAS_CSV, CANVAS, [ADA], "Tiny", column="Quiz")

    def test_two_columns_of_one_title_are_not_chosen_between(self) -> None:
        with pytest.raises(CourseError, match="2 columns are named 'Tiny'; name one exactly with --column"):
            fill(CANVAS_CSV.replace("Other (4712)", "Tiny (4712)"), CANVAS, [ADA], "Tiny")
