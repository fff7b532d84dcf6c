"""Code that changes its arguments and returns them: the test sees the returned value, and the argument as it was."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from examining import examine
from factory import make_course

from autograder.authoring.gates import Gates
from autograder.grading.run.examiner_process import ExaminerProcess
from autograder.sandbox.ladder import choose
from autograder.sandbox.outside.zygotes import Zygote
from autograder.sandbox.rungs.launch import Limits
from autograder.topic import Topic

pytest_plugins = ["pytester"]

MANIFEST = (
    'names = ["double", "FACTOR"]',
    'names = ["double", "FACTOR", "relu", "parts", "named", "update", "tail"]',
)
SOLUTION = '''
import numpy as np

FACTOR = 2

def double(x):
    """Twice x."""
    return 2 * x

def relu(x):
    """The positive part of an array."""
    return np.maximum(x, 0)

def parts(xs):
    """The positive part of each array of a list."""
    return [np.maximum(x, 0) for x in xs]

def named(xs):
    """The positive part of each array of a dictionary."""
    return {name: np.maximum(x, 0) for name, x in xs.items()}

def tail(x):
    """The positive part of all but the first."""
    return np.maximum(x[1:], 0)

def update(w, g):
    """Take a step, in place, and return w."""
    w -= g
    return w

class Halver:
    """Halve."""
    def __init__(self): self.count = 0
    def halve(self, x): self.count += 1; return x / 2
'''
HIDDEN = '''
import numpy as np
import pytest
from autograder import expect

task = pytest.mark.task("double")
X = [-1.0, 2.0, -3.0]

@task
def test_relu_expected_before(student):
    """Which?"""
    x = np.array(X)
    expected = np.maximum(x, 0)
    expect.close(student.relu(x), expected, what="relu")

@task
def test_relu_expected_after(student):
    """Which?"""
    x = np.array(X)
    y = student.relu(x)
    expect.close(y, np.maximum(x, 0), what="relu")

@task
def test_relu_leaves_its_input(student):
    """Unchanged?"""
    x = np.array(X)
    student.relu(x)
    expect.close(x, np.array(X), what="x")

@task
def test_relu_is_new(student):
    """New?"""
    x = np.array(X)
    assert not np.shares_memory(student.relu(x), x)

@task
def test_relu_twice(student):
    """Twice?"""
    x = np.array(X)
    expect.close(student.relu(-student.relu(x)), np.zeros(3), what="relu")

@task
def test_parts(student):
    """Parts?"""
    xs = [np.array(X), np.array([-4.0])]
    expected = [np.maximum(x, 0) for x in xs]
    for mine, right in zip(student.parts(xs), expected, strict=True):
        expect.close(mine, right, what="parts")

@task
def test_named(student):
    """Named?"""
    xs = {"a": np.array(X), "b": (np.array([-4.0]), [np.array([-5.0, 5.0])])}
    flat = {"a": xs["a"], "b": xs["b"][0], "c": xs["b"][1][0]}
    expected = {name: np.maximum(x, 0) for name, x in flat.items()}
    mine = student.named(flat)
    for name in expected:
        expect.close(mine[name], expected[name], what=name)

@task
def test_tail(student):
    """Tail?"""
    expect.close(student.tail(np.array(X)), np.array([2.0, 0.0]), what="tail")

@task
def test_update(student):
    """Step?"""
    w = np.array(X)
    back = student.update(w, np.ones(3))
    assert back is w
    expect.close(w, np.array([-2.0, 1.0, -4.0]), what="w")
'''
#: the arguments that the solution changes
CHANGES = {"test_update": ["update:0"]}
IN_PLACE = {
    "relu": ("return np.maximum(x, 0)\n\ndef parts", "x[x < 0] = 0\n    return x\n\ndef parts"),
    "parts": ("return [np.maximum(x, 0) for x in xs]", "for x in xs: x[x < 0] = 0\n    return xs"),
    "parts of another list": (
        "return [np.maximum(x, 0) for x in xs]", "for x in xs: x[x < 0] = 0\n    return [*xs]",
    ),
    "parts put in": (
        "return [np.maximum(x, 0) for x in xs]",
        "for n, x in enumerate(xs): xs[n] = np.maximum(x, 0)\n    return xs",
    ),
    "parts put in and changed": (
        "return [np.maximum(x, 0) for x in xs]",
        "xs[0][xs[0] < 0] = 0\n    xs[1] = np.maximum(xs[1], 0)\n    return xs",
    ),
    "named": (
        "return {name: np.maximum(x, 0) for name, x in xs.items()}",
        "for x in xs.values(): x[x < 0] = 0\n    return xs",
    ),
    "named put in": (
        "return {name: np.maximum(x, 0) for name, x in xs.items()}",
        "for name in xs: xs[name] = np.maximum(xs[name], 0)\n    return xs",
    ),
    "tail": ("return np.maximum(x[1:], 0)", "x[x < 0] = 0\n    return x[1:]"),
}  # fmt: skip
#: the tests that ask for an unchanged input, which such code rightly fails
RIGHTLY_FAILED = {"relu": {"test_relu_leaves_its_input", "test_relu_is_new"}}


@pytest.fixture(scope="module")
def topic(tmp_path_factory: pytest.TempPathFactory) -> Topic:
    course = make_course(tmp_path_factory.mktemp("course"), solution=SOLUTION, hidden=HIDDEN, manifest=MANIFEST)
    return course.topic("01_tiny")


@pytest.fixture(scope="module")
def zygote(topic: Topic) -> Iterator[Zygote]:
    with Zygote(choose(allow_unisolated=False), topic.shown, Limits(memory_mb=topic.memory)) as zygote:
        yield zygote


def results_of(
    pytester: pytest.Pytester, topic: Topic, zygote: Zygote, source: str, changes: dict[str, list[str]] | None
) -> dict[str, tuple[str, str]]:
    _, (answer,) = examine(pytester, topic, zygote, [source], changes=changes)
    return {result["test"]: (result["outcome"], result["sentence"]) for result in answer["results"]}


@pytest.mark.parametrize("name", IN_PLACE)
def test_what_is_changed_in_place_and_returned_is_what_the_test_gets(
    pytester: pytest.Pytester, topic: Topic, zygote: Zygote, name: str
) -> None:
    source = SOLUTION.replace(*IN_PLACE[name])
    assert source != SOLUTION

    protected = results_of(pytester, topic, zygote, source, CHANGES)
    free = results_of(pytester, topic, zygote, source, None)

    assert protected == free
    failed = {test for test, (outcome, _) in protected.items() if outcome != "passed"}
    assert failed == RIGHTLY_FAILED.get(name, set())


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (("return np.maximum(x, 0)\n\ndef parts", "x[:] = 7; return x\n\ndef parts"), "Got 7, expected 0"),
        (("return np.maximum(x, 0)\n\ndef parts", "x[:] = 0; return x\n\ndef parts"), "Got 0, expected 2"),
        (("return np.maximum(x, 0)\n\ndef parts", "x[:] = 0; return np.zeros(3)\n\ndef parts"), "Got 0, expected 2"),
    ],
)
def test_a_sentence_shows_what_was_returned(
    pytester: pytest.Pytester, topic: Topic, zygote: Zygote, edit: tuple[str, str], sentence: str
) -> None:
    results = results_of(pytester, topic, zygote, SOLUTION.replace(*edit), CHANGES)

    for test in ("test_relu_expected_before", "test_relu_expected_after"):
        assert results[test][0] == "failed", test
        assert sentence in results[test][1]


def test_code_that_fills_its_input_with_an_easy_one_gets_nothing_for_it(
    pytester: pytest.Pytester, topic: Topic, zygote: Zygote
) -> None:
    source = SOLUTION.replace(IN_PLACE["relu"][0], "x[:] = 0; return x\n\ndef parts")

    free = results_of(pytester, topic, zygote, source, None)
    protected = results_of(pytester, topic, zygote, source, CHANGES)

    assert free["test_relu_expected_after"][0] == "passed"
    assert protected["test_relu_expected_after"][0] == "failed"


def test_a_known_mistake_is_examined_as_a_submission_is(tmp_path: Any) -> None:
    """For the signature of a mistake and for the mark of a submission, arguments are protected in the same way."""
    topic = make_course(tmp_path, solution=SOLUTION, hidden=HIDDEN, manifest=MANIFEST).topic("01_tiny")
    wall = ExaminerProcess.behind_the_wall(topic, choose(allow_unisolated=False))
    try:
        gates = Gates(topic, wall, wall, lambda _: None)
        gates.changes = {"test_update": {"update:0"}}
        source = SOLUTION.replace(IN_PLACE["relu"][0], "x[:] = 0; return x\n\ndef parts")

        results = gates._ask_as_judge(source, 0, None)
        solved = gates._ask(wall, gates.text, 0)
    finally:
        wall.close()

    assert results["test_relu_expected_after"]["outcome"] == "failed"
    assert solved["test_update"]["changes"] == ["update:0"]
