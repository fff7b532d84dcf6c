"""In any class, in any order, every submission gets exactly the report that it gets alone.

Classes are drawn at random; AUTOGRADER_ALONE_SEED draws the same classes again. `make attacks` draws larger ones.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from disguises import disguised
from examining import examine
from factory import make_course

from autograder.course import Course
from autograder.demo import DEFAULT as DEMONSTRATED
from autograder.grading.intake.submission import Submission
from autograder.grading.mark.judge import Judge
from autograder.grading.run.surroundings import Surroundings
from autograder.report import Report
from autograder.sandbox.ladder import choose
from autograder.sandbox.outside.zygotes import Zygote
from autograder.sandbox.rungs.launch import Limits
from autograder.topic import Topic
from benchmarks.parts import parts_of, scratch_course

pytest_plugins = ["pytester"]

SEED = int(os.environ.get("AUTOGRADER_ALONE_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)
ROOT = Path(__file__).resolve().parent.parent

# --- a suite that looks at identity, and keeps all that it can -------------------------------------------------------

MANIFEST = ('names = ["double", "FACTOR"]', 'names = ["double", "triple", "keep", "call", "fill", "FACTOR"]')
SOLUTION = '''
import numpy as np

FACTOR = 2

def double(x):
    """Twice x."""
    return x * FACTOR

def triple(x):
    """Three times x."""
    return x * 3

def keep(x):
    """What it is given."""
    return x

def call(function, x):
    """What a function returns."""
    return function(x)

def fill(x, value):
    """Fill an array in place, and return nothing."""
    x[...] = value

def tally(x, _heard=[]):
    """How often it was called."""
    _heard.append(x)
    return len(_heard)

class Halver:
    """Halve, and count."""
    def __init__(self): self.count = 0
    def halve(self, x):
        """Half of x."""
        self.count += 1
        return x / 2
'''
HIDDEN = '''
import functools
import numpy as np
import pytest
from autograder import expect, probe

task = pytest.mark.task("double")
KEPT, KNOWN = [], {}
BOARD = np.zeros(3)
RNG = np.random.default_rng(3)

@pytest.fixture(scope="module")
def halver(student):
    return student.Halver()

@pytest.fixture(scope="session")
def both(student):
    return student.double, student.triple

@pytest.fixture(scope="module")
def filled(student):
    x = np.arange(3.0)
    student.fill(x, 7.0)
    return x

@functools.cache
def drawn():
    return float(np.random.normal())

@task
def test_two_functions_are_two(student):
    """Two?"""
    assert student.double is not student.triple
    assert student.double is student.double

@task
def test_they_are_those_of_the_fixture(student, both):
    """The same?"""
    assert both[0] is student.double and both[1] is student.triple, "others"

@task
def test_what_goes_comes_back(student):
    """It?"""
    assert student.keep(student.triple) is student.triple
    assert student.keep(student.Halver) is student.Halver
    x = np.ones(2)
    assert student.keep(x) is x

@task
def test_values(student, reference, rng):
    """Values?"""
    for x in rng.integers(2, 9, size=3):
        expect.equal(student.double(int(x)), reference.double(int(x)), what="double")
        expect.equal(student.triple(int(x)), 3 * int(x), what="triple")

@task
def test_the_solution_is_new(student, reference):
    """New?"""
    assert student.double(4) == 8
    assert reference.tally(student.triple(1)) == 1, reference.tally.__defaults__

@task
def test_the_solution_goes_on(student, reference):
    """New?"""
    assert student.triple(1) == 3, reference.tally(0)

@task
def test_a_function_of_ours(student):
    """Ours?"""
    heard = []
    assert student.call(lambda x: heard.append(x) or x + 1, 3) == 4
    assert heard == [3]

@task
def test_a_function_of_ours_that_asks(student):
    """Ours?"""
    assert student.call(lambda x: student.double(x) + 1, 3) == 7

@task
def test_in_place(student, filled):
    """In place?"""
    x = np.zeros(2)
    assert student.fill(x, 5.0) is None
    assert x.sum() == 10 and filled.sum() == 21, (x, filled)

@task
def test_a_board_of_the_file(student):
    """The board?"""
    student.fill(BOARD, 1.0)
    expect.close(student.double(BOARD), np.full(3, 2.0), what="double")

@task
def test_a_draw_of_the_file(student):
    """A draw?"""
    x = float(RNG.normal())
    expect.close(student.double(x), 2 * x, what="double")
    assert x == pytest.approx(2.0409, abs=1e-3)

@task
def test_a_cache_of_the_file(student):
    """A draw?"""
    assert student.double(1) == 2
    assert drawn() == drawn(), "another"
    KEPT.append(drawn())
    assert len(KEPT) == 1

@task
def test_a_second_use_of_the_cache(student):
    """A draw?"""
    expect.close(np.float64(drawn()), student.double(drawn()) / 2, what="double")
    assert len(KEPT) <= 1 and KEPT != [0], drawn()

@task
def test_a_setting_that_a_failure_leaves(student):
    """A setting?"""
    old = np.seterr(all="raise")
    np.set_printoptions(precision=1)
    assert student.double(4) == 8, np.array([1.23456])
    np.seterr(**old)
    np.set_printoptions(precision=8)

@task
def test_a_setting_matters(student):
    """A setting?"""
    assert np.geterr()["divide"] == "warn"
    assert student.triple(1) == 3, np.array([1.23456])

@task
def test_a_name_that_is_set(student):
    """A name?"""
    KNOWN["factor"] = KNOWN.get("factor", 0) + student.FACTOR
    assert KNOWN["factor"] == 2
    student.FACTOR = 5
    assert student.double(1) in (2, 5)
    student.FACTOR = 2

@task
def test_an_object_of_the_fixture(student, halver):
    """An object?"""
    assert halver is not student.Halver()
    halver.halve(2)
    assert halver.count == 1

@task
def test_the_object_again(student, halver):
    """An object?"""
    assert halver.halve(4.0) == 2.0 and halver.count == 2

@task
def test_in_a_probe(student):
    """There?"""
    assert look(student) == [True, False, True]

@probe
def look(module):
    return [module.double is module.double, module.double is module.triple, callable(module.keep)]
'''
EDITS = {
    "wrong": ("return x * FACTOR", "return x + FACTOR"),
    "the other": ("return x * 3", "return x * 2"),
    "nothing": ("return function(x)", "return None"),
    "by halves": ("self.count += 1", "self.count += 2"),
    "a copy": ("return x\n", "return x.copy() if hasattr(x, 'copy') else x\n"),
    "another factor": ("FACTOR = 2", "FACTOR = 3"),
    "right": ("return x * FACTOR", "return x + x"),
    "an error": ("return x * 3", "raise KeyError(x)"),
    "no module": ("import numpy as np", "1 / 0"),
    "in place": ("return x * FACTOR", "\n    try: x *= 2\n    except TypeError: pass\n    return x"),
}
NAMES = frozenset({"double", "triple", "keep", "call", "fill", "Halver"})


@pytest.fixture(scope="module")
def topic(tmp_path_factory: pytest.TempPathFactory) -> Topic:
    course = make_course(tmp_path_factory.mktemp("course"), solution=SOLUTION, hidden=HIDDEN, manifest=MANIFEST)
    return course.topic("01_tiny")


@pytest.fixture(scope="module")
def zygote(topic: Topic) -> Iterator[Zygote]:
    with Zygote(choose(allow_unisolated=False), topic.shown, Limits(memory_mb=topic.memory)) as zygote:
        yield zygote


def drawn_class(
    base: str, edits: Sequence[tuple[str, str]], names: frozenset[str], size: int, draw: random.Random
) -> list[tuple[str, str]]:
    """Return modules with a name each: the solution, the solution with an edit, and both under transformations."""
    found = [("the solution", base)]
    while len(found) < size:
        find, new = draw.choice([("", ""), *edits])
        what, source = f"{new[:60]!r}", base.replace(find, new, 1) if find else base
        if draw.random() < 0.8:
            source, how = disguised(source, names, draw)
            what += f", {how}"
        found.append((what, source))
    draw.shuffle(found)
    return found


def test_what_a_submission_leaves_would_be_seen(
    pytester: pytest.Pytester, topic: Topic, zygote: Zygote, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The comparison of this file can fail: if changes are not undone, a second submission differs from the first."""
    with monkeypatch.context() as patch:
        patch.setattr(Surroundings, "restore", lambda _: None)
        first, second = examine(pytester, topic, zygote, [SOLUTION, SOLUTION])[1]
    assert first != second

    first, second = examine(pytester, topic, zygote, [SOLUTION, SOLUTION])[1]
    assert first == second


#: the arguments that the solution changes, as the judge sends them to an examiner
CHANGES = {"": ["setup fill:0"], "test_in_place": ["fill:0"], "test_a_board_of_the_file": ["fill:0"]}


@pytest.mark.parametrize("changes", [None, CHANGES], ids=["free", "protected"])
@pytest.mark.parametrize("size", [15, pytest.param(250, marks=pytest.mark.attacks)])
def test_a_suite_that_uses_identity(
    pytester: pytest.Pytester, topic: Topic, zygote: Zygote, size: int, changes: dict[str, list[str]] | None
) -> None:
    draw = random.Random(f"{SEED} identity {changes is None}")
    drawn = drawn_class(SOLUTION, list(EDITS.values()), NAMES, size, draw)

    def answers(sources: Sequence[str]) -> list[dict[str, Any]]:
        return examine(pytester, topic, zygote, sources, changes=changes)[1]

    alone = [answers([source])[0] for _, source in drawn]
    there = answers([source for _, source in drawn])
    back = answers([source for _, source in drawn[::-1]])[::-1]

    right = next(answer for (what, _), answer in zip(drawn, alone, strict=True) if what == "the solution")
    assert all(result["outcome"] == "passed" for result in right["results"])
    for (what, _), single, *others in zip(drawn, alone, there, back, strict=True):
        assert others == [single, single], f"{what}; AUTOGRADER_ALONE_SEED={SEED}"


# --- real assignments -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("assignment", "size", "alone"),
    [
        *((topic_id, 6, 0) for topic_id in DEMONSTRATED),
        *(pytest.param(topic_id, 30, 6, marks=pytest.mark.attacks) for topic_id in Course(ROOT).topic_ids()),
    ],
)
def test_a_real_assignment(assignment: str, size: int, alone: int) -> None:
    """A class in two orders, and some of its submissions alone; the first of each order is alone, too."""
    whole = Course(ROOT).topic(assignment)
    tasks = parts_of(whole)[0]
    draw = random.Random(f"{SEED} {assignment}")
    edits = [(e.find, e.replace) for e in (*whole.mistakes, *whole.alternatives) if e.task in tasks]
    names = frozenset(name for task in whole.tasks if task.id in tasks for name in task.names)
    text = whole.solution_path.read_text(encoding="utf-8")
    drawn = drawn_class(text, edits, names, size, draw)
    with scratch_course(whole, tasks) as course:
        topic = course.topic(assignment)

        def reports(of: Sequence[int]) -> dict[int, Report]:
            with Judge(topic, seed=SEED) as judge:
                return {place: without_times(judge.examine(parcel(place))) for place in of}

        def parcel(place: int) -> Submission:
            return Submission(f"s{place}", topic.id, None, drawn[place][1].encode())

        there = reports(range(size))
        back = reports(range(size)[::-1])
        singles = {place: reports([place])[place] for place in draw.sample(range(size), alone)}

    assert max(report.score for report in there.values()) == sum(task.points for task in topic.tasks)
    for place, (what, _) in enumerate(drawn):
        others = {back[place], singles.get(place, back[place])}
        assert others == {there[place]}, f"{what}; AUTOGRADER_ALONE_SEED={SEED}"


def without_times(report: Report) -> Report:
    tasks = tuple(
        replace(task, results=tuple(replace(result, seconds=0.0) for result in task.results)) for task in report.tasks
    )
    return replace(report, seconds=0.0, tasks=tasks)
