"""new.py: a new assignment works from the start; for a bad name there is a sentence."""

from __future__ import annotations

import importlib.util
import inspect
import types

import pytest
from factory import make_course

from autograder.authoring.build import build, render
from autograder.authoring.leak import leaks
from autograder.authoring.new import new
from autograder.course import Course
from autograder.errors import CourseError


@pytest.fixture
def course(tmp_path):
    course = Course(tmp_path)
    new(course, "12_dropout")
    return course


def run_tests(topic, solution):
    """Call every test of a topic on a solution's text as the student's module; return those that fail."""
    numpy = pytest.importorskip("numpy")
    pytest.importorskip("autograder.expect")
    student, reference = types.ModuleType("student"), types.ModuleType("reference")
    exec(solution, student.__dict__)
    exec(topic.solution_path.read_text(), reference.__dict__)
    failed = []
    for path in (topic.public_tests_path, topic.hidden_tests_path):
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        for name, test in inspect.getmembers(module, inspect.isfunction):
            if name.startswith("test_"):
                given = {"student": student, "reference": reference, "rng": numpy.random.default_rng(1)}
                try:
                    test(**{key: given[key] for key in inspect.signature(test).parameters})
                except (AssertionError, NotImplementedError):
                    failed.append(name)
    return failed


def test_six_files_are_written_in_the_new_name(course):
    folder = course.assignments / "12_dropout"

    assert sorted(path.name for path in folder.iterdir()) == [
        "dropout.py",
        "lesson.py",
        "mistakes.toml",
        "test_dropout.py",
        "test_dropout_hidden.py",
        "topic.toml",
    ]
    assert "new_topic" not in "".join(path.read_text() for path in folder.iterdir())
    assert course.topic("12_dropout").title == "Dropout"


def test_it_builds_and_leaks_nothing(course):
    topic = course.topic("12_dropout")

    build(course)

    assert set(render(topic)) == {
        "12_dropout.ipynb",
        "dropout.py",
        "test_dropout.py",
        "topic.toml",
        "README.md",
    }
    assert leaks(topic, [course.source]) == []


def test_the_solution_passes_and_the_stub_fails_everything(course):
    topic = course.topic("12_dropout")

    assert run_tests(topic, topic.solution_path.read_text()) == []
    assert len(run_tests(topic, render(topic)["dropout.py"].decode())) == 5


@pytest.mark.filterwarnings("ignore:invalid value")  # one mistake divides by zero
def test_each_mistake_fails_and_each_alternative_passes(course):
    topic = course.topic("12_dropout")
    solution = topic.solution_path.read_text()

    assert len(topic.mistakes) >= 5
    assert [m.name for m in topic.mistakes if not run_tests(topic, solution.replace(m.find, m.replace))] == []
    assert [a.name for a in topic.alternatives if run_tests(topic, solution.replace(a.find, a.replace))] == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "no name was given; write `autograder new 12_dropout`"),
        ("12 dropout", "'12 dropout' is no name for an assignment; use a number and small words"),
        ("12_Dropout", "is no name for an assignment"),
        ("12_", "is no name for an assignment"),
        ("../12_dropout", "is no name for an assignment"),
        ("12_dropout/", "is no name for an assignment"),
        ("12_random", "'random' is a name of Python's own; use a number"),
        ("12_lambda", "'lambda' is a name of Python's own"),
        ("12_torch", "a module named 'torch' would be mistaken"),
        ("12_hidden_markov", "a module named 'hidden_markov' would be mistaken"),
        ("12_test_time", "a module named 'test_time' would be mistaken"),
        ("12_dropout", "12_dropout: it exists already; choose another name"),
        ("13_dropout", "12_dropout: has a module 'dropout' already; choose another name"),
    ],
)
def test_a_bad_name_is_refused_and_nothing_is_written(course, name, message):
    before = sorted(course.assignments.rglob("*"))

    with pytest.raises(CourseError, match=message):
        new(course, name)
    assert sorted(course.assignments.rglob("*")) == before


def test_a_failure_half_way_leaves_nothing(tmp_path, monkeypatch):
    course = make_course(tmp_path)

    def broken(*_):
        raise OSError("disk full")

    monkeypatch.setattr("os.rename", broken)
    with pytest.raises(OSError, match="disk full"):
        new(course, "12_dropout")

    assert [path.name for path in course.assignments.iterdir()] == ["01_tiny"]
