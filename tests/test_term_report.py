"""The report of a term: marks before reports, who is shown, what a total counts, and the page in a browser."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from shutil import copytree

import pytest
from browser import chromium  # noqa: F401
from classes import keep, report
from click.testing import CliRunner
from factory import make_course
from playwright.sync_api import Browser

from autograder.classroom import term
from autograder.classroom.term import Term
from autograder.classroom.term_report import term_report, write_term_report
from autograder.cli import main
from autograder.course import Course
from autograder.errors import CourseError
from autograder.people import Person
from autograder.report.mark import Mark

TITLES = {"01_tiny": "Tiny", "02_more": "More", "03_later": "Later"}
HOSTILE = "<script>document.title = 'taken'</script>"


def gathered(*, people: tuple[Person, ...] = (), away: frozenset[str] = frozenset()) -> Term:
    """Two assignments: ada has a mark and an older report in 01, bob only a report, and eve a broken one."""
    return term.summarise(
        TITLES,
        {"01_tiny": (Mark("ada", 88.25, 100.0, open=("why",)),), "02_more": (Mark("ada", 100.0, 100.0),)},
        {"01_tiny": (report("ada"), report("bob"), report("eve", broken=("test_half_of_six_is_three",)))},
        people,
        away,
    )


def test_a_mark_counts_before_a_report_and_what_is_missing_counts_as_zero() -> None:
    found = gathered()

    assert {row.student: [cell and cell.score for cell in row.cells] for row in found.rows} == {
        "ada": [88.25, 100.0],
        "bob": [90.0, None],
        "eve": [78.0, None],
    }
    assert {row.student: row.total for row in found.rows}["bob"] == 90.0
    assert [(column.assignment, column.handed_in, column.points) for column in found.columns] == [
        ("01_tiny", 3, 100.0),
        ("02_more", 1, 100.0),
    ]
    assert found.waiting == ("03_later",)
    assert found.open == ("ada", "eve")
    assert found.points == 200.0


def test_a_broken_report_needs_a_person_whatever_the_gradebook_has() -> None:
    broken = report("eve", broken=("test_half_of_six_is_three",))

    found = term.summarise(TITLES, {"01_tiny": (Mark("eve", 50.0, 100.0),)}, {"01_tiny": (broken,)}, (), frozenset())

    assert found.open == ("eve",)


def test_everybody_of_the_class_is_shown_and_nobody_who_has_left() -> None:
    class_list = (Person("bob", "Bob", "Bär", section="B"), Person("zoe", "Zoë", "Zang"))

    found = gathered(people=class_list, away=frozenset({"eve"}))

    assert [(row.student, row.name, row.section) for row in found.rows] == [
        ("ada", "ada", ""),
        ("bob", "Bob Bär", "B"),
        ("zoe", "Zoë Zang", ""),
    ]
    assert found.rows[2].cells == (None, None)


def test_the_tables_hold_every_number() -> None:
    rows = list(csv.DictReader(io.StringIO(term.to_csv(gathered()))))

    assert rows[1] == {
        "student": "bob", "name": "bob", "section": "", "01_tiny": "90.0", "02_more": "", "total": "90.0",
        "max_score": "200.0",
    }  # fmt: skip
    assert json.loads(term.to_json(gathered()))["rows"][0]["cells"][0]["is_open"] is True


@pytest.fixture
def course(tmp_path: Path) -> Course:
    """A course of two assignments, the first one graded for a class."""
    course = make_course(tmp_path, "01_tiny")
    copytree(course.assignments / "01_tiny", course.assignments / "02_more")
    keep(course, course.topic("01_tiny"), report("ada"), report(HOSTILE), report("zoe", ("test_three_doubled_is_six",)))
    return course


def test_before_anything_is_graded_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(CourseError, match="nothing is graded yet; run `autograder grade ID` first"):
        term_report(make_course(tmp_path, "01_tiny"))


def test_the_verb_without_an_assignment_writes_it_and_links_to_the_class_reports(
    course: Course, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(course.root)

    for words in (["report", "01_tiny"], ["report"]):
        result = CliRunner().invoke(main, words)
        assert result.exit_code == 0, result.output

    pages = course.root / "class_report"
    assert result.output.split() == [str(pages / name) for name in ("index.html", "term.json", "term.csv")]
    assert '<a href="01_tiny/index.html">01_tiny</a>' in (pages / "index.html").read_text()
    assert (pages / "index.html").stat().st_mode & 0o007 == 0  # for teachers only


def test_the_page_fits_a_phone_runs_no_text_of_a_student_and_sorts(
    course: Course,
    chromium: Browser,  # noqa: F811
) -> None:
    (path, *_) = write_term_report(course)
    page = chromium.new_page(viewport={"width": 390, "height": 800})
    page.goto(path.as_uri())

    assert page.title() == "The term: all assignments"
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.locator("th", has_text=HOSTILE).count() == 1
    assert page.get_by_text("Not graded yet: 02_more.").is_visible()
    page.get_by_role("button", name="total").click()
    lowest_last = page.locator("table.heat tbody tr th").all_inner_texts()
    page.get_by_role("button", name="total").click()
    assert page.locator("table.heat tbody tr th").all_inner_texts()[0] == lowest_last[-1] == "zoe"
