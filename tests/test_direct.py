"""A plain test that is called directly gets the verdict that pytest would give; pytest runs any other test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from examining import examine, outcomes
from factory import SOLUTION, make_course

from autograder.grading.run import direct
from autograder.grading.run.examination import _by_test
from autograder.sandbox.ladder import choose
from autograder.sandbox.outside.zygotes import Zygote
from autograder.sandbox.rungs.launch import Limits
from autograder.topic import Topic

pytest_plugins = ["pytester"]

PLAIN = '''
import unittest
import numpy as np
import pytest
from autograder import expect, probe

CASES = [1, 2]
task = pytest.mark.task("double")

@task
def test_plain_all_fixtures(student, reference, rng, seed):
    """What?"""
    x = float(rng.normal())
    assert student.double(x) == reference.double(x), (x, seed)

@task
@pytest.mark.parametrize("x", CASES)
@pytest.mark.parametrize(("y", "z"), [(1, 2), (3, 4)], ids=["low", "high"])
def test_plain_cases(student, x, y, z):
    """What?"""
    assert student.double(x + y + z) == 2 * (x + y + z)

@task
def test_plain_global_draws(student):
    """What?"""
    assert student.double(np.random.normal()) > 0, np.random.normal()

@task
def test_plain_comparison(student):
    """What?"""
    assert [student.double(1), 5] == [2, 6]

@task
def test_plain_expectation(student):
    """What?"""
    expect.equal(student.double(3), 6, what="double")

@task
def test_plain_skip(student):
    """What?"""
    pytest.skip("no time")

@task
def test_plain_unittest_skip():
    """What?"""
    raise unittest.SkipTest("nor here")

@task
def test_plain_xfail():
    """What?"""
    pytest.xfail("known")

@task
def test_plain_fail(student):
    """What?"""
    pytest.fail(str(student.double(1)))

@task
def test_plain_raises(student):
    """What?"""
    with pytest.raises(TypeError):
        student.double(None)

@task
def test_plain_default_argument(student, x=3):
    """What?"""
    assert student.double(x) == 6

@task
def test_plain_argument_in_place(student):
    """What?"""
    x = np.ones(3)
    student.double(x)
    assert x.sum() == 3
'''

ELSE = '''
@pytest.fixture(scope="module")
def shared(student):
    return student.double(4)

@pytest.fixture
def own():
    return 4

@task
def test_else_shared(shared):
    """What?"""
    assert shared == 8

@task
@pytest.mark.parametrize("own", [1, 2], indirect=True)
def test_else_indirect(student, own):
    """What?"""
    assert own == 4

@task
@pytest.mark.parametrize("x", [1, pytest.param(2, marks=pytest.mark.xfail)])
def test_else_marked_case(student, x):
    """What?"""
    assert student.double(x) == 2

@task
@pytest.mark.skipif(True, reason="never")
def test_else_skipped(student):
    """What?"""

@task
def test_else_of_pytest(student, monkeypatch, request):
    """What?"""
    assert request.node.name

@task
async def test_else_async(student):
    """What?"""

@task
def test_plain_after_all(student, rng):
    """What?"""
    assert student.double(rng.integers(3, 9)) < 0
'''

SOURCES = {
    "the solution": SOLUTION,
    "another right answer": SOLUTION + "# mine\n",
    "a wrong answer": SOLUTION.replace("return x * FACTOR", "return 3 * x"),
    "an error": SOLUTION.replace("return x * FACTOR", "raise KeyError(x)"),
    "a module that does not import": "import nowhere",
    "nothing": None,
    "an end": SOLUTION.replace("return x * FACTOR", "import os; os._exit(0)"),
    "a loop": SOLUTION.replace("return x * FACTOR", "\n    while True: pass"),
    "a change in place": SOLUTION.replace(
        "return x * FACTOR", "\n    try: x *= 2\n    except TypeError: return 2 * x\n    return x"
    ),
}


@pytest.fixture(scope="module")
def topic(tmp_path_factory: pytest.TempPathFactory) -> Topic:
    course = make_course(
        tmp_path_factory.mktemp("course"), hidden=PLAIN + ELSE, manifest=("seconds = 2", "seconds = 0.3")
    )
    return course.topic("01_tiny")


@pytest.fixture(scope="module")
def zygote(topic: Topic) -> Iterator[Zygote]:
    with Zygote(choose(allow_unisolated=False), topic.shown, Limits(memory_mb=topic.memory)) as zygote:
        yield zygote


def test_both_ways_give_the_same_verdicts(pytester: pytest.Pytester, topic: Topic, zygote: Zygote) -> None:
    sources = tuple(SOURCES.values())
    examination, at_once = examine(pytester, topic, zygote, sources)
    other, by_pytest = examine(pytester, topic, zygote, sources, is_direct=False)

    assert at_once == by_pytest
    plain = {item.name for item in examination._plain}
    assert (len(plain), other._plain) == (19, {})
    assert [name for name in plain if "else" in name] == ["test_else_marked_case[1]"]  # that has no mark
    assert {outcome for found in outcomes(at_once) for outcome in found.values()} == {"passed", "failed"}
    kinds = {result["kind"] for answer in at_once for result in answer["results"]}
    assert kinds >= {"", "raised", "mismatch", "skipped", "died", "limit", "import_failed"}


def test_both_ways_protect_arguments_alike(pytester: pytest.Pytester, topic: Topic, zygote: Zygote) -> None:
    sources = (SOURCES["a change in place"], SOLUTION)
    _, at_once = examine(pytester, topic, zygote, sources, changes={"": []})
    _, by_pytest = examine(pytester, topic, zygote, sources, changes={"": []}, is_direct=False)

    assert at_once == by_pytest


def test_what_a_fixture_may_change_a_test_itself_may_not() -> None:
    allowed = _by_test({"": ["setup step:0"], "test_it": ["setup step:0", "fit:1"]})

    assert allowed[""] == {"step:0"}
    assert "step:0" not in allowed["test_it"]
    assert "fit:1" in allowed["test_it"]


def test_a_run_that_stops_early_stops_at_the_same_test(pytester: pytest.Pytester, topic: Topic, zygote: Zygote) -> None:
    sources = (SOURCES["a wrong answer"], SOURCES["an end"], SOLUTION)
    _, at_once = examine(pytester, topic, zygote, sources, stops=True)
    _, by_pytest = examine(pytester, topic, zygote, sources, stops=True, is_direct=False)

    assert at_once == by_pytest


def test_a_pytest_that_does_not_tell_its_fixtures_makes_no_test_plain(
    pytester: pytest.Pytester, topic: Topic, zygote: Zygote, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(direct, "_fixtures_of", lambda _item: None)

    examination, said = examine(pytester, topic, zygote, (SOLUTION,))

    assert examination._plain == {}
    assert "passed" in outcomes(said)[0].values()
