"""One task is examined again after a changed test: only its tests run, and a person sees every changed mark."""

from __future__ import annotations

import shutil

import pytest
from factory import HIDDEN, PUBLIC, SOLUTION, make_course

from autograder.authoring.build import build
from autograder.course import Course
from autograder.errors import CourseError
from autograder.grade import INTERRUPTED, grade
from autograder.grading.intake.collect import submissions
from autograder.grading.keep import store
from autograder.grading.keep.states import states
from autograder.grading.mark.judge import Judge
from autograder.grading.pool.fleet import examine_all
from autograder.grading.run.examiner_process import ExaminerProcess
from autograder.recording import gradebook

ID = "01_tiny"
MODULES = {
    "ada": SOLUTION,
    "bob": SOLUTION.replace("return x * FACTOR", "return int(x) * FACTOR"),  # right for whole numbers only
    "cyd": SOLUTION.replace("self.count += 1", "pass"),
}
#: a test of `double` that needs more than whole numbers
STRICTER = HIDDEN.replace(
    "    number_nobody_knows = int(rng.integers(10, 1000))\n",
    "    number_nobody_knows = float(rng.uniform(10, 1000))\n",
)
HALF = 40.0  #: the points of the two tests of `double` that bob still passes


@pytest.fixture(scope="module")
def examined_class(tmp_path_factory):
    """A class of three, with source/ built for `grade`, and examined once; tests work on copies."""
    course = make_course(tmp_path_factory.mktemp("class"))
    build(course, (ID,))
    for student, module in MODULES.items():
        folder = course.submitted / student / ID
        folder.mkdir(parents=True)
        (folder / "tiny.py").write_text(module)
    examine_all(course, submissions(course, course.topic(ID)), jobs=1)
    return course


@pytest.fixture
def course(examined_class, tmp_path):
    shutil.copytree(examined_class.root, tmp_path / "course")
    return Course(tmp_path / "course")


@pytest.fixture
def recorded(monkeypatch):
    """The reports that nbgrader gets to record: one list for each time."""
    given = []
    monkeypatch.setattr(gradebook, "check", lambda course, assignment: None)
    monkeypatch.setattr(gradebook, "record", lambda course, reports, tell: given.append(list(reports)))
    return given


@pytest.fixture
def asked(monkeypatch):
    """The tests that an examiner is asked to run: one set for each question, None for all of them."""
    questions = []
    really = ExaminerProcess.ask

    def ask(self, source, seed, tests=None, **options):
        questions.append(None if tests is None else set(tests))
        return really(self, source, seed, tests, **options)

    monkeypatch.setattr(ExaminerProcess, "ask", ask)
    return questions


def edit_tests(course, hidden=STRICTER):
    course.topic(ID).hidden_tests_path.write_text(hidden)


def scores(reports):
    return {report.student: [task.score for task in report.tasks] for report in reports}


def run(course, *tasks, **options):
    return grade(course, ID, (), None, jobs=1, tasks=tasks, **options)


def test_only_the_tests_of_the_task_run_again_and_all_marks_are_as_if_all_had(course, recorded, asked, capsys):
    edit_tests(course)

    code = run(course, "double", is_agreed=True)

    assert code == 0
    of_double = {
        "test_three_doubled_is_six",
        "test_a_drawn_number_is_doubled",
        "test_the_factor_is_two",
    }
    assert asked == [None, of_double, of_double, of_double]  # the solution in full, then the class
    in_full = examine_all(course, submissions(course, course.topic(ID)), jobs=1, seed=None, is_kept=False)
    assert scores(recorded[0]) == scores(in_full) == {"ada": [60, 30], "bob": [HALF, 30], "cyd": [60, 12]}
    assert [r.complaints for r in recorded[0]] == [r.complaints for r in in_full]
    assert [[t.hint for t in r.tasks] for r in recorded[0]] == [[t.hint for t in r.tasks] for r in in_full]


def test_it_shows_whose_mark_changes_from_what_to_what(course, recorded, capsys):
    edit_tests(course)
    capsys.readouterr()

    run(course, "double", is_agreed=True, is_quiet=True)

    said = capsys.readouterr().out
    (row,) = [line.split() for line in said.splitlines() if "double" in line]
    assert row == ["bob", "double", "60.00", "40.00", "90.00", "70.00"]
    assert "1 of 3 marks change: 0 up, 1 down." in said


def test_without_a_terminal_and_a_yes_nothing_is_recorded_and_the_old_reports_stay(course, recorded, capsys):
    before = store.reports(course, ID)
    edit_tests(course)

    code = run(course, "double")

    assert code == 1
    assert recorded == []
    assert store.reports(course, ID) == before
    assert "run it again with --yes" in capsys.readouterr().err


@pytest.mark.parametrize(("answer", "code", "times"), [("y", 0, 1), ("n", 1, 0)])
def test_at_a_terminal_it_asks(course, recorded, monkeypatch, answer, code, times):
    edit_tests(course)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda prompt: answer)

    assert run(course, "double") == code
    assert len(recorded) == times


def test_what_nobody_agreed_to_yet_is_not_examined_a_second_time(course, recorded, asked):
    edit_tests(course)
    run(course, "double")
    asked.clear()

    run(course, "double", is_agreed=True)

    assert asked == []
    assert scores(recorded[0])["bob"] == [HALF, 30]
    assert scores(store.reports(course, ID))["bob"] == [HALF, 30]
    assert run(course) == 0  # and the kept reports now fit the changed suite
    assert asked == []


def test_an_interrupted_regrade_goes_on_where_it_stood(course, recorded, monkeypatch):
    edit_tests(course)
    really, examined = Judge.examine, []

    def examine(self, work, kept, tasks):
        if len(examined) == 2:
            raise KeyboardInterrupt
        examined.append(work.student)
        return really(self, work, kept, tasks)

    monkeypatch.setattr(Judge, "examine", examine)
    assert run(course, "double", is_agreed=True) == INTERRUPTED
    done = set(examined)
    examined.clear()
    monkeypatch.setattr(
        Judge, "examine", lambda self, work, *rest: examined.append(work.student) or really(self, work, *rest)
    )

    run(course, "double", is_agreed=True)

    assert set(examined) == set(MODULES) - done
    assert scores(recorded[0]) == {"ada": [60, 30], "bob": [HALF, 30], "cyd": [60, 12]}


def test_another_tasks_changed_tests_are_named_and_nothing_is_run(course, recorded, asked):
    run(course)
    edit_tests(course, STRICTER.replace("Halver.count", "Halver.counted"))

    with pytest.raises(CourseError, match=r"the tests of halve have changed too .* add --regrade halve, or"):
        run(course, "double", is_agreed=True)

    assert asked == []
    assert run(course, "double", "halve", is_agreed=True) == 0


def test_a_submission_that_changed_too_is_examined_in_full(course, recorded, asked, capsys):
    edit_tests(course)
    (course.submitted / "cyd" / ID / "tiny.py").write_text(SOLUTION)

    run(course, "double", is_agreed=True)

    assert asked.count(None) == 2  # the solution, and this one
    assert scores(recorded[0])["cyd"] == [60, 30]
    out = capsys.readouterr().out
    assert "1 of 3 submissions have no current report and will be examined" in out
    assert "cyd" in out.partition("whose mark changes")[2]


def test_a_changed_solution_leaves_nothing_standing(course, recorded, asked):
    path = course.topic(ID).solution_path
    path.write_text(path.read_text().replace("return x / 2", "return x * 0.5"))

    run(course, "double", is_agreed=True)

    assert asked == [None] * 4


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tasks": ("doubel",)}, "no task 'doubel'; did you mean double"),
        ({"tasks": ("double",), "seed": 3}, "leave the names and --seed out"),
    ],
)
def test_misuse_says_what_to_do(course, recorded, options, words):
    with pytest.raises(CourseError, match=words):
        grade(course, ID, (), None, **options)


def parts(course, **files):
    for name, text in files.items():
        (course.assignments / ID / name.replace("__", ".")).write_text(text)
    state = states(course.topic(ID), repr(files))
    return {"common": state.common, **dict(state.tasks)}


HELPERS = """\
import math

import numpy as np

TABLE = {"x": 1}
EXACT, LOOSE = 0.0, 0.1


def close(x):
    return abs(x) < LOOSE


@pytest.fixture
def halver(student):
    return student.Halver()


"""
HELPED = (
    HIDDEN.replace("from autograder import expect\n", f"from autograder import expect\n{HELPERS}")
    .replace('drawn at random too."""\n', 'drawn at random too."""\n    assert close(0)\n')
    .replace("test_each_call_is_counted(student)", "test_each_call_is_counted(student, halver)")
)


@pytest.mark.parametrize(
    ("find", "put", "changed"),
    [
        ("int(rng.integers(10, 1000))", "int(rng.integers(10, 2000))", {"double"}),
        ("weight=1.5", "weight=1.25", {"halve"}),
        ("The count grows by one", "The count grows by 1", {"halve"}),
        ("return abs(x) < LOOSE", "return abs(x) <= LOOSE", {"double"}),  # a helper
        ("EXACT, LOOSE = 0.0, 0.1", "EXACT, LOOSE = 0.0, 0.2", {"double"}),  # what a helper uses
        ("return student.Halver()", "return student.Halver(1)", {"halve"}),  # a fixture
        ("@pytest.fixture\n", "@pytest.fixture(autouse=True)\n", {"common", "halve"}),
        ("import math\n", "import math as m\n", set()),  # an import that no test uses
        (
            "from autograder import expect\n",
            "from autograder import expect, expect as e\n",
            {"double", "halve"},
        ),
        ('TABLE = {"x": 1}', 'TABLE = {"x": 1}\nTABLE["x"] = 2', {"common"}),
        ("    halver_under_test.halve(6)\n", "    # once\n    halver_under_test.halve(6)\n", set()),
    ],
)
def test_a_change_in_a_test_file_is_a_change_of_the_tasks_that_use_it(tmp_path, find, put, changed):
    course = make_course(tmp_path, hidden=HELPED)
    assert find in HELPED
    before = parts(course)

    after = parts(course, test_tiny_hidden__py=HELPED.replace(find, put, 1))

    assert {name for name in before if before[name] != after[name]} == changed


def test_the_public_file_the_manifest_and_hints_belong_to_their_tasks_too(tmp_path):
    course = make_course(tmp_path)
    topic = course.topic(ID)
    manifest, mistakes = (topic.folder / "topic.toml").read_text(), topic.mistakes_path.read_text()
    before = parts(course)

    def changed(**files):
        after = parts(course, **files)
        parts(course, topic__toml=manifest, mistakes__toml=mistakes, test_tiny__py=PUBLIC)
        return {name for name in before if before[name] != after[name]}

    assert changed(test_tiny__py=PUBLIC.replace("halve(6), 3.0", "halve(6.0), 3.0")) == {"halve"}
    assert changed(topic__toml=manifest.replace("points = 60", "points = 59")) == {"double"}
    assert changed(topic__toml=manifest.replace("memory = 1024", "memory = 512")) == {"common"}
    assert changed(mistakes__toml=mistakes.replace("Each call adds one", "Every call adds one")) == {"halve"}
