"""suite.py: what a test file says about its tests, read without running it."""

from __future__ import annotations

import pytest
from factory import make_topic

from autograder.errors import AuthorError
from autograder.suite import public_share, read_suite

MARK = '@pytest.mark.task("double")\ndef test_three_doubled_is_six(student):'


def cases(decorator: str, *, constant: str = "") -> tuple[str, str]:
    return (
        MARK,
        f"{constant}\n{decorator}\n@pytest.mark.task('double')\ndef test_three_doubled_is_six(student):",
    )


def test_tests_are_read_with_task_weight_and_lesson(tmp_path):
    tests = read_suite(make_topic(tmp_path))

    assert [(test.name, test.task, test.weight, test.is_hidden) for test in tests] == [
        ("test_three_doubled_is_six", "double", 1.0, False),
        ("test_half_of_six_is_three", "halve", 1.0, False),
        ("test_a_drawn_number_is_doubled", "double", 1.0, True),
        ("test_the_factor_is_two", "double", 1.0, True),
        ("test_each_call_is_counted", "halve", 1.5, True),
    ]
    assert tests[0].lesson == "Twice a number is the number added to itself."
    assert public_share(tests, "double") == pytest.approx(1 / 3)
    assert public_share(tests, "halve") == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("decorator", "constant"),
    [
        ('@pytest.mark.parametrize("n", [1, 2])', ""),
        ('@pytest.mark.parametrize("n", argvalues=(1, 2))', ""),
        ('@pytest.mark.parametrize("n", range(3, 7, 2))', ""),
        ('@pytest.mark.parametrize("n", CASES)', "CASES = [1, 2]"),
        ('@pytest.mark.parametrize("n", ONE + [2])', "ONE = [1]"),
        ('@pytest.mark.parametrize("n", sorted(CASES))', "CASES = {'a': 1, 'b': 2}"),
        ('@pytest.mark.parametrize("n", CASES)', "CASES = {'a': 1, 'b': 2}"),
    ],
)
def test_a_parametrised_test_weighs_once_a_case(tmp_path, decorator, constant):
    topic = make_topic(tmp_path, public=cases(decorator, constant=constant))

    tests = read_suite(topic)

    assert tests[0].weight == 2.0


def test_helpers_fixtures_and_other_markers_are_no_tests(tmp_path):
    fixture = "@pytest.fixture\ndef number():\n    return 3\n\n"
    extra = fixture + "def _help(reference):\n    return 1\n\n@pytest.mark.slow\n"
    topic = make_topic(tmp_path, public=(MARK, extra + MARK))

    assert len(read_suite(topic)) == 5


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        ({"public": ('@pytest.mark.task("double")\n', "")}, r"test_tiny\.py:7: .* carries 0 task markers"),
        (
            {"public": (MARK, '@pytest.mark.task("halve")\n' + MARK)},
            r"test_tiny\.py:9: .* carries 2 task markers",
        ),
        (
            {"public": ('task("double")', 'task("treble")')},
            r"test_tiny\.py:8: .*'treble', not in topic\.toml; use",
        ),
        ({"public": ('task("double")', "task")}, r"test_tiny\.py:8: .* malformed task marker; write"),
        (
            {"public": ('task("double")', 'task("double", wieght=2)')},
            r"test_tiny\.py:8: .* malformed task marker",
        ),
        (
            {"public": ('task("double")', "task(NAME)")},
            r"test_tiny\.py:8: .* names its task by NAME, not by a text",
        ),
        (
            {"public": ('task("double")', 'task("double", weight=0)')},
            r"test_tiny\.py:8: .* has the weight 0; give",
        ),
        (
            {"public": ('task("double")', 'task("double", weight=W)')},
            r"test_tiny\.py:8: .* has the weight W; give",
        ),
        (
            {"public": ('"""Twice a number is the number added to itself."""', "")},
            r"test_tiny\.py:8: .* no docstring",
        ),
        (
            {"hidden": ("test_the_factor_is_two", "test_three_doubled_is_six")},
            r"hidden\.py:15: .* is defined already at .*test_tiny\.py:8; rename",
        ),
        (
            {"hidden": ("test_the_factor_is_two", "test_a_drawn_number_is_doubled")},
            r"hidden\.py:15: .* is defined already at .*hidden\.py:8; rename",
        ),
        (
            {"public": ('task("halve")', 'task("double")')},
            r"test_tiny\.py:1: task 'halve' has no public test; mark one",
        ),
        (
            {"hidden": ('"halve", weight=1.5', '"double"')},
            r"hidden\.py:1: task 'halve' has no hidden test; mark one",
        ),
        (
            {"hidden": ("weight=1.5", "weight=4")},
            r"test_tiny\.py:14: the public tests of task 'halve' carry 20%",
        ),
        (
            {"hidden": ("weight=1.5", "weight=0.5")},
            r"test_tiny\.py:14: the public tests of task 'halve' carry 67%",
        ),
        (
            {"public": ("student)", "student, reference)")},
            r"test_tiny\.py:8: .* uses the fixture `reference`",
        ),
        (
            {"public": (MARK, "@pytest.fixture()\ndef want(reference):\n    pass\n\n" + MARK)},
            r"test_tiny\.py:8: want uses the fixture `reference`",
        ),
        (
            {"public": ("import pytest", "import pytest, tiny")},
            r"test_tiny\.py:3: imports tiny; use the fixture",
        ),
        (
            {"hidden": ("import pytest", "from test_tiny import x")},
            r"hidden\.py:3: imports test_tiny; a test file",
        ),
        (
            {"public": (MARK, f"class TestDouble:\n    pass\n{MARK}")},
            r"test_tiny\.py:7: TestDouble is a test class",
        ),
        ({"public": ("import pytest", "import (")}, r"test_tiny\.py:3: not Python"),
        (
            {"public": cases('@pytest.mark.parametrize("n", draw())')},
            r"test_tiny\.py:10: .* is parametrised by something that cannot be counted",
        ),
        (
            {"public": cases('@pytest.mark.parametrize("n", [1] + A)', constant="A = A")},
            r"py:10: .* cannot be counted",
        ),
        ({"public": cases('@pytest.mark.parametrize("n", [*A])')}, r"test_tiny\.py:10: .* cannot be counted"),
    ],
)
def test_a_broken_suite_is_refused_with_its_line_and_a_cure(tmp_path, edit, message):
    topic = make_topic(tmp_path, **edit)

    with pytest.raises(AuthorError, match=message):
        read_suite(topic)
