"""The demo shows a whole class, makes it once, and changes nothing else."""

import io
import re
import shutil
from pathlib import Path
from urllib.parse import unquote

import pytest
from factory import make_course, make_topic
from rich.console import Console

from autograder import demo as room
from autograder.classroom.similarity import compare
from autograder.cohort import cohort
from autograder.course import Course
from autograder.demo import demo
from autograder.errors import CourseError
from autograder.grading.intake.submission import Submission
from autograder.grading.mark.judge import Judge
from autograder.restyled import restyled
from autograder.stub import stub_of

ID = "01_tiny"
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def repo(tmp_path_factory):
    course = make_course(tmp_path_factory.mktemp("repo"), manifest=("memory = 1024", "memory = 3072"))
    shutil.copy(ROOT / "nbgrader_config.py", course.root)
    return course


@pytest.fixture(scope="module")
def shown(repo):
    """What the first run printed."""
    return run(repo)


def run(repo):
    printed = io.StringIO()
    demo(repo, repo.root / "demo", (ID,), Console(file=printed, width=200))
    return printed.getvalue()


def test_the_class_is_the_same_each_time(repo):
    topic = repo.topic(ID)

    assert cohort(topic) == cohort(topic)
    assert len(cohort(topic)) >= 12
    assert len({student.name for student in cohort(topic)}) == len(cohort(topic))


def test_two_of_the_class_share_a_module_and_all_others_write_their_own(repo):
    topic = Course(ROOT).topic("01_neural_network_basics")
    modules = {
        student.name: next(text for name, text in student.files.items() if name.endswith(".py")).decode()
        for student in cohort(topic)
    }

    found = compare(modules, stub_of(topic))

    assert found.groups == (("ivo", "noor"),)
    assert found.median is not None
    assert found.median < 0.5


def test_the_same_code_in_another_style_still_earns_all_points(tmp_path):
    topic = make_course(tmp_path).topic(ID)
    with Judge(topic, seed=3) as judge:
        for name in ("chen", "dalia", "ivo"):
            code = restyled(topic.solution, name)
            report = judge.examine(Submission(name, ID, Path(name), code.encode()))
            assert report.score == report.max_score


def test_most_of_the_class_leave_open_what_takes_long(tmp_path):
    topic = make_topic(tmp_path / ID, manifest=('names = ["Halver"]', 'names = ["Halver"]\nseconds = 90'))

    solved = [student.name for student in cohort(topic) if any(b"x / 2" in file for file in student.files.values())]

    assert solved == ["amara", "farah", "goran", "hana"]
    assert cohort(topic)[8].story == "lost the notebook; left 1.2 open"


def test_a_folder_that_is_no_demo_is_left_alone(repo, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")

    with pytest.raises(CourseError, match="holds files that are no demo; move them away"):
        demo(repo, tmp_path, (ID,), Console(file=io.StringIO()))

    assert (tmp_path / "thesis.tex").read_text() == "years of work"


@pytest.mark.slow
def test_everybody_stands_in_the_table(repo, shown):
    for student in cohort(repo.topic(ID)):
        assert student.name in shown
    assert "double: wrong value. Got 9, expected 6." in shown


@pytest.mark.slow
def test_the_demo_has_an_exchange_and_students_with_names(repo, shown):
    from nbgrader.api import Gradebook

    assert (repo.root / "demo" / "exchange" / "deep_learning" / "outbound" / ID / "tiny.py").is_file()
    with Gradebook(f"sqlite:///{repo.root / 'demo' / 'gradebook.db'}") as book:
        names = {student.id: (student.first_name, student.last_name) for student in book.students}
    assert names == {student.name: student.full for student in cohort(repo.topic(ID))}
    summary = (repo.root / "demo" / "feedback" / "dalia" / ID / "summary.md").read_text()
    assert "- Student: Dalia Haddad (dalia)\n- Handed in: 2027-01-29 17:30 UTC\n" in summary


@pytest.mark.slow
def test_the_class_report_links_to_the_files_of_each_student(repo, shown):
    page = repo.root / "demo" / "class_report" / ID / "index.html"
    links = re.findall(r'<a href="(\.\./[^"]+)">', page.read_text())

    assert len(links) >= 4 * len(cohort(repo.topic(ID)))
    assert all((page.parent / unquote(link)).is_file() for link in links)


@pytest.mark.slow
def test_a_second_run_makes_nothing_and_shows_the_same(repo, shown, monkeypatch):
    monkeypatch.setattr(room, "_make", None)

    table = run(repo)

    assert table == shown[shown.index(table[:40]) :]


@pytest.mark.slow
def test_a_changed_assignment_is_made_anew(repo, shown, monkeypatch):
    made = []
    monkeypatch.setattr(room, "_make", lambda *arguments: made.append(arguments))
    path = repo.topic(ID).mistakes_path
    before = path.read_text()
    path.write_text(before + "\n# changed\n")

    run(repo)

    path.write_text(before)
    assert len(made) == 1


@pytest.mark.slow
def test_nothing_but_the_demo_is_written(repo, shown):
    assert {path.name for path in repo.root.iterdir()} == {"assignments", "nbgrader_config.py", "demo"}
