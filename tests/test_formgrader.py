"""A teacher's and a student's work in the browser: formgrader, assignment list and lesson, all of them real."""

import json
from shutil import copytree

import pytest
from browser import chromium  # noqa: F401 (a fixture)
from factory import SOLUTION, make_course
from lab import PATIENCE, STUDENT, Desk, Formgrader, furnish, lab
from playwright.sync_api import expect

from autograder.authoring.release import release
from autograder.grade import grade
from autograder.stub import BEGIN, END

pytestmark = pytest.mark.slow

ID = "01_tiny"
ANSWER = "Because two of a kind are better than one."
#: names of students that a button must not take for an option, a pattern, or a part of an address
ODD_NAMES = ("ada lovelace", "o'hara", "a+b&c", "名前", "[a-z]*")
COMMENT = "True of cake; what of bills?"
#: `double` squares, which is wrong; `halve` is right
MODULE = "\n".join(
    line for line in SOLUTION.replace("x * FACTOR", "x ** FACTOR").split("\n") if line.strip() not in (BEGIN, END)
)


@pytest.fixture
def course(tmp_path):
    course = make_course(tmp_path / "course", manifest=("memory = 1024", "memory = 3072"))
    furnish(course)
    release(course)
    for name in ODD_NAMES:  # they came from a platform's download
        copytree(course.release / ID, course.submitted / name / ID)
        (course.submitted / name / ID / "tiny.py").write_text(MODULE, encoding="utf-8")
    return course


def test_a_day_in_the_browser_from_release_to_feedback(course, chromium):  # noqa: F811
    desk_folder = course.root / "desk" / ID
    of_student = {"of": STUDENT, "path": f"manage_submissions/{ID}"}
    with lab(course) as url:
        # The teacher releases; the student fetches, works, sees the progress, and hands in.
        teacher = Formgrader(chromium.new_page(), url)
        expect(teacher.row(ID).locator(".status")).to_have_text("draft")
        expect(teacher.press("release", ID).locator(".status")).to_have_text("released")
        student = Desk(chromium.new_page(), url)
        student.press("Fetch", then="Submit")
        (desk_folder / "tiny.py").write_text(MODULE, encoding="utf-8")
        cells = student.open_lesson(f"desk/{ID}/{ID}.ipynb")
        expect(cells.filter(has_text='check("double")')).to_contain_text("Got 9, expected 6", timeout=PATIENCE)
        student.write(cells.filter(has_text="YOUR ANSWER HERE").first, ANSWER)
        student.press("Submit", then="Fetch Feedback")

        # The teacher collects and grades, by button and by hand.
        shown = teacher.press("collect", ID).locator(".num-submissions")
        expect(shown).to_have_text(f"{1 + len(ODD_NAMES)}")
        row = teacher.press("autograde", **of_student)
        expect(row.locator(".score")).to_have_text(f"{score_of(course):g} / 100")
        expect(row.locator(".status")).to_have_text("needs manual grading")
        teacher.open_submission(ID, STUDENT)
        expect(teacher.page.locator(".nbgrader_cell", has=teacher.page.locator("#why_double"))).to_contain_text(ANSWER)
        teacher.fill("why_double", "4.5")
        teacher.fill("why_double-comment", COMMENT)
        total = score_of(course) + 4.5
        row = teacher.row(STUDENT, f"gradebook/{ID}/{ID}")
        expect(row.locator(".score")).to_have_text(f"{total:g} / 100")
        expect(row.locator(".written-score")).to_have_text("4.5 / 10")

        # Grading again keeps what a person wrote.
        expect(teacher.press("autograde", **of_student).locator(".score")).to_have_text(f"{total:g} / 100")
        teacher.open_submission(ID, STUDENT)
        expect(teacher.page.locator("#why_double")).to_have_value("4.5")
        expect(teacher.page.locator("#why_double-comment")).to_have_value(COMMENT)

        # Students with odd names are graded by the same button.
        for name in ODD_NAMES:
            row = teacher.press("autograde", of=name, path=f"manage_submissions/{ID}")
            expect(row.locator(".score")).to_have_text(f"{score_of(course):g} / 100")

        # Feedback goes back, and the student reads it.
        teacher.press("generate-feedback", **of_student)
        teacher.press("release-feedback", **of_student)
        student.press("Fetch Feedback", then="(view feedback)")
    (page,) = (desk_folder / "feedback").rglob("*.html")
    told = chromium.new_page()
    told.goto(page.as_uri())
    for words in (f"Score: {total:.2f} / 100.00", ANSWER, COMMENT, "Got 9, expected 6"):
        expect(told.locator("body")).to_contain_text(words)


def score_of(course):
    """What `autograder grade --json` says about the student's parcel."""
    path = course.root / "marks.json"
    grade(course, ID, (course.submitted / STUDENT / ID,), path, is_quiet=True)
    (report,) = json.loads(path.read_text(encoding="utf-8"))
    return report["score"]
