"""One class through nbgrader's own commands, from release to feedback, with nothing replaced."""

import csv
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from factory import make_course

from autograder.authoring.build import build
from autograder.authoring.leak import leaks
from autograder.cohort import cohort
from autograder.grading.keep import store

pytestmark = pytest.mark.slow

ID = "01_tiny"
ROOT = Path(__file__).resolve().parent.parent
FETCHING = ("amara", "jun")  #: students who use the exchange; the others' folders are put into submitted/
STUDENTS_CONFIG = """
c = get_config()
c.CourseDirectory.course_id = "deep_learning"
c.Exchange.root = {exchange!r}
c.Exchange.cache = {cache!r}
"""


def nbgrader(folder: Path, *arguments: str, fails: bool = False) -> str:
    """Run a command as a person does, with a PATH without the virtual environment."""
    environment = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": str(folder / ".home"),
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "nbgrader", *arguments]
    run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert (run.returncode != 0) == fails, run.stdout + run.stderr
    return run.stdout + run.stderr


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """A class that went through every command, once; the tests look at the results."""
    root = tmp_path_factory.mktemp("journey")
    course = make_course(root / "course", manifest=("memory = 1024", "memory = 3072"))
    shutil.copy(ROOT / "nbgrader_config.py", course.root)
    topic = course.topic(ID)
    build(course)
    nbgrader(course.root, "generate_assignment", ID)
    nbgrader(course.root, "release_assignment", ID)
    for student in cohort(topic):
        if student.name in FETCHING:
            home = fetch(root / student.name, course)
            put(home / ID, student.files)
            nbgrader(home, "submit", ID, "--student", student.name)
        else:
            (course.submitted / student.name).mkdir(parents=True)
            put(course.submitted / student.name / ID, student.files)
    nbgrader(course.root, "collect", ID)
    before = handed_in(course)
    nbgrader(course.root, "autograde", ID)
    assert handed_in(course) == before
    nbgrader(course.root, "generate_feedback", ID)
    nbgrader(course.root, "export", "--to", "grades.csv")
    return course


def fetch(home, course):
    home.mkdir()
    text = STUDENTS_CONFIG.format(exchange=str(course.root / "exchange"), cache=str(home / "cache"))
    (home / "nbgrader_config.py").write_text(text)
    nbgrader(home, "fetch_assignment", ID)
    return home


def put(folder, files):
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def handed_in(course):
    return {path: path.read_bytes() for path in sorted(course.submitted.rglob("*")) if path.is_file()}


def grades(course):
    """Every student's grades in the gradebook: cell -> (automatic, by hand, needs a person)."""
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{course.root / 'gradebook.db'}") as book:
        return {
            submission.student.id: {
                grade.name: (grade.auto_score, grade.manual_score, grade.needs_manual_grade)
                for notebook in submission.notebooks
                for grade in notebook.grades
            }
            for submission in book.assignment_submissions(ID)
        }


def test_everybody_is_graded(course):
    assert sorted(grades(course)) == [student.name for student in cohort(course.topic(ID))]


def test_the_gradebook_holds_the_reports_to_the_last_digit(course):
    found = grades(course)

    for report in store.reports(course, ID):
        for task in report.tasks:
            assert found[report.student][task.task] == (task.score, None, False)


def test_all_reports_are_of_one_seed_and_none_is_broken(course):
    reports = store.reports(course, ID)

    assert {report.seed for report in reports} == {store.class_seed(course, ID)}
    assert {report.status for report in reports} == {"graded"}


@pytest.mark.parametrize(
    ("students", "score"),
    [(("amara", "ivo", "jun", "noor"), 90.0), (("bjorn", "goran", "hana", "kofi", "lena"), 0.0)],
)
def test_right_ones_have_all_points_and_cheats_none(course, students, score):
    found = {report.student: report.score for report in store.reports(course, ID)}

    assert {found[student] for student in students} == {score}


def test_half_done_and_mistaken_ones_lie_between(course):
    found = {report.student: report.score for report in store.reports(course, ID)}

    assert all(0 < found[student] < 90 for student in ("chen", "dalia", "emil", "farah", "mira"))


def test_the_module_travelled_through_the_exchange(course):
    handed = {student.name: student.files for student in cohort(course.topic(ID))}

    for student in FETCHING:
        assert (course.submitted / student / ID / "tiny.py").read_bytes() == handed[student]["tiny.py"]


def test_written_answers_wait_for_a_person_and_the_rest_is_settled(course):
    found = grades(course)

    assert found["amara"]["why_double"] == (None, None, True)
    assert found["jun"]["why_double"] == (None, None, True)
    assert found["bjorn"]["why_double"] == (0.0, None, False)
    assert found["ivo"]["why_double"] == (0.0, None, False)


def test_feedback_tells_nothing_hidden(course):
    topic = course.topic(ID)
    pages = sorted((course.root / "feedback").rglob("*.html"))

    assert len(pages) == len(cohort(topic))
    told = [leak for leak in leaks(topic, pages) if "docstring of the hidden test" not in leak.what]
    assert told == []  # students may read what a hidden test is about after it has failed (see told.py)
    assert leaks(topic, [course.release]) == []
    for name in re.findall(r"^def (\w+)", topic.hidden_tests_path.read_text(), re.MULTILINE):
        assert not [page for page in pages if name in page.read_text()]


def test_feedback_shows_score_and_hint(course):
    page = (course.root / "feedback/dalia" / ID / f"{ID}.html").read_text()

    assert "1.1 Double: 1 of 3 tests passed" in page
    assert "<strong>20.00</strong> of 60 points" in page
    assert "double: wrong value. Got 9, expected 6." in page


def test_the_export_has_every_total(course):
    with open(course.root / "grades.csv", newline="") as stream:
        exported = {row["student_id"]: float(row["score"]) for row in csv.DictReader(stream)}

    assert exported == {report.student: report.score for report in store.reports(course, ID)}


def test_the_gradebook_was_made_with_its_version_though_alembic_is_not_on_path(course):
    import sqlite3

    with sqlite3.connect(course.root / "gradebook.db") as book:
        assert len(book.execute("SELECT version_num FROM alembic_version").fetchall()) == 1


def test_grading_again_judges_nobody_twice_and_keeps_what_a_person_gave(course):
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{course.root / 'gradebook.db'}") as book:
        book.find_grade("why_double", ID, ID, "amara").manual_score = 4.5
        book.db.commit()
    kept = {path: path.stat().st_mtime_ns for path in (course.cache / "reports" / ID).iterdir()}

    nbgrader(course.root, "autograde", ID, "--force")

    assert {path: path.stat().st_mtime_ns for path in (course.cache / "reports" / ID).iterdir()} == kept
    assert grades(course)["amara"]["why_double"][1] == 4.5


def test_feedback_goes_back_to_a_student(course):
    nbgrader(course.root, "release_feedback", ID, "--student", "amara")
    home = course.root.parent / "amara"

    nbgrader(home, "fetch_feedback", ID)

    (page,) = (home / ID / "feedback").rglob("*.html")
    assert "<strong>60.00</strong> of 60 points" in page.read_text()


def test_an_unknown_assignment_is_one_sentence(course):
    said = nbgrader(course.root, "autograde", "01_tinny", fails=True)

    assert "no assignment '01_tinny'; did you mean 01_tiny?" in said
    assert "Traceback" not in said
