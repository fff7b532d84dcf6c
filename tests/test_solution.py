"""`autograder solution`: a worked solution with explanations, after the deadline, and only for those who may see it."""

from __future__ import annotations

import datetime

import pytest
from click.testing import CliRunner
from factory import make_course

from autograder import dates
from autograder.authoring.solution import give_solution, solution_files
from autograder.cli import main
from autograder.errors import CourseError
from autograder.extensions import Extension, save
from autograder.people import Person
from autograder.people import save as save_people

ID = "01_tiny"
DUE = datetime.datetime.fromisoformat("2027-01-31T23:59:00+01:00")
HOUR, DAY = datetime.timedelta(hours=1), datetime.timedelta(days=1)


@pytest.fixture
def course(tmp_path):
    course = make_course(tmp_path)
    dates.write(course.assignments, {ID: DUE})
    for student in ("ada", "grace", "left"):
        (course.root / "feedback" / student / ID).mkdir(parents=True)
    save_people(course, [Person("ada"), Person("grace"), Person("left", state="left")])
    return course


def has_it(course, student):
    return (course.root / "feedback" / student / ID / "solution" / "solution.md").is_file()


def test_the_modules_are_whole_and_hold_no_marker(course):
    files = solution_files(course.topic(ID))

    module: dict[str, object] = {}
    exec(files["tiny.py"].decode(), module)
    assert module["double"](4) == 8
    assert "###" not in files["tiny.py"].decode()


def test_the_page_explains_each_task(course):
    topic = course.topic(ID)

    page = solution_files(topic)["solution.md"].decode()

    for task in topic.tasks:
        assert f"## {task.number} {task.title} ({task.points:g} points)" in page
    assert "return doubled_at_last" in page
    assert [mistake.hint for mistake in topic.mistakes if mistake.hint not in page] == []
    assert [other.name for other in topic.alternatives if f"Also right: {other.name}." not in page] == []


def test_no_hidden_test_is_told(course):
    topic = course.topic(ID)
    everything = b"\n".join(solution_files(topic).values()).decode()

    assert "number_nobody_knows" not in everything
    assert "test_the_factor_is_two" not in everything


def test_before_the_deadline_it_is_refused(course):
    with pytest.raises(CourseError, match=r"01_tiny: due Sunday 31 January 2027.*\(--early writes it all the same\)"):
        give_solution(course, ID, now=DUE - HOUR)

    assert not (course.root / "solutions").exists()


def test_without_a_date_nobody_knows_when_it_may_be_given(course):
    dates.write(course.assignments, {})

    with pytest.raises(CourseError, match="has no due date; a solution is for afterwards"):
        give_solution(course, ID, now=DUE + DAY)


def test_everybody_in_the_class_has_it_afterwards(course):
    given = give_solution(course, ID, now=DUE + HOUR)

    assert given.students == ("ada", "grace")
    assert [has_it(course, student) for student in ("ada", "grace", "left")] == [True, True, False]
    assert sorted(path.name for path in given.folder.iterdir()) == ["solution.md", "tiny.py"]


def test_a_student_with_more_time_waits_and_is_named(course):
    save(course, [Extension(ID, "ada", 2 * 24 * 60)])

    given = give_solution(course, ID, now=DUE + DAY)
    later = give_solution(course, ID, now=DUE + 3 * DAY)

    assert given.students == ("grace",)
    assert given.sentences()[-1] == "not for ada before Tuesday 2 February 2027, 23:59 (UTC+01:00)"
    assert later.students == ("ada", "grace")


def test_an_extension_that_comes_later_takes_it_out_of_the_folder_again(course):
    give_solution(course, ID, now=DUE + HOUR)
    save(course, [Extension(ID, "ada", 2 * 24 * 60)])

    give_solution(course, ID, now=DUE + HOUR)

    assert not has_it(course, "ada")


def test_early_means_for_the_teacher_alone(course, monkeypatch):
    monkeypatch.chdir(course.root)
    dates.write(course.assignments, {ID: datetime.datetime.now(datetime.UTC) + DAY})

    result = CliRunner().invoke(main, ["solution", ID, "--early"])

    assert result.output == f"{course.root / 'solutions' / ID}\n"
    assert not has_it(course, "ada")
    assert list((course.root / "feedback").rglob("solution.md")) == []
