"""costs.py: what a known mistake costs, as a share of the tests that use its function."""

from __future__ import annotations

from pathlib import Path

import pytest
from factory import MISTAKES, PUBLIC, make_topic

from autograder.authoring.costs import as_table, costs
from autograder.errors import AuthorError

#: the public test of `double` counts twice, so that more hidden tests can be added
HEAVIER = PUBLIC.replace('task("double")', 'task("double", weight=2)')
BOTH = '''

@pytest.mark.task("double", weight=1.5)
def test_both_names_agree(student):
    """The factor says what doubling does."""
    expect.equal(student.double(1), student.FACTOR, what="double")
'''


def test_the_share_counts_only_tests_that_use_the_function(tmp_path: Path) -> None:
    topic = make_topic(
        tmp_path,
        public=HEAVIER,
        hidden=(
            '@pytest.mark.task("halve", weight=1.5)',
            BOTH.strip() + '\n\n\n@pytest.mark.task("halve", weight=1.5)',
        ),
    )
    squared = topic.mistakes[0]

    (cost,) = costs(topic, [(squared, ["test_a_drawn_number_is_doubled", "test_both_names_agree"])])

    # the helper is used by double alone: tests of weights 2 (public), 1 and 1.5 use it; the test of FACTOR does not
    assert cost.functions == ("double",)
    assert cost.share == pytest.approx(2.5 / 4.5)
    assert cost.points == pytest.approx(60 * 2.5 / 5.5)


def test_a_parametrised_test_shares_its_weight_among_the_names_of_its_cases(tmp_path: Path) -> None:
    cases = '''@pytest.mark.parametrize("name", ["double", "FACTOR"])
@pytest.mark.task("double")
def test_there_is_something(student, name):
    """Each name of the stub is there."""
    getattr(student, name)


@pytest.mark.task("double")
def test_the_factor_is_two'''
    topic = make_topic(
        tmp_path, public=HEAVIER, hidden=('@pytest.mark.task("double")\ndef test_the_factor_is_two', cases)
    )

    (cost,) = costs(topic, [(topic.mistakes[0], ["test_there_is_something[double]"])])

    # double has the public test, the drawn number, and half of the two cases
    assert cost.share == pytest.approx(1 / 4)


@pytest.mark.parametrize(("fails", "is_too_low"), [(["test_each_call_is_counted"], False), ([], True)])
def test_a_central_mistake_costs_a_fifth(tmp_path: Path, fails: list[str], is_too_low: bool) -> None:
    central = MISTAKES.replace('replace = "pass"', 'replace = "pass"\ncentral = true')
    topic = make_topic(tmp_path, mistakes=central)

    (cost,) = costs(topic, [(topic.mistakes[1], fails)])

    assert cost.is_too_low is is_too_low
    assert ("TOO LOW" in as_table([cost])) is is_too_low


def test_central_is_a_truth_value(tmp_path: Path) -> None:
    topic = make_topic(
        tmp_path,
        public=HEAVIER,
        mistakes=MISTAKES.replace('replace = "pass"', 'replace = "pass"\ncentral = "yes"'),
    )

    with pytest.raises(AuthorError, match=r"'central' is 'yes'; write central = true"):
        _ = topic.mistakes
