"""The rungs agree: the solution and every mistake get the same marks on A, B and D. Rung C is tested as text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from autograder.course import Course
from autograder.grading.intake.submission import Submission
from autograder.grading.mark.judge import Judge
from autograder.report import Isolation
from autograder.sandbox.ladder import climb
from autograder.sandbox.rungs.launch import Limits, launch, seatbelt_profile
from autograder.sandbox.rungs.view import view_for

COURSE = Course(Path(__file__).parent.parent)
_FEW = 5  #: mistakes of an assignment that are tried, in addition to the solution


def sample(topic_id: str, few: int = _FEW) -> tuple[str, int]:
    """Return an assignment, and the step with which its mistakes are taken."""
    return topic_id, -(-len(COURSE.topic(topic_id).mistakes) // few)


#: `make test` tries a few mistakes of the first assignment; `make attacks` tries all of them, and a few of the others
FIRST, *OTHERS = COURSE.topic_ids()
SAMPLES = [
    pytest.param(*sample(FIRST), marks=pytest.mark.slow),
    pytest.param(FIRST, 1, marks=pytest.mark.attacks),
    *(pytest.param(*sample(topic_id), marks=pytest.mark.attacks) for topic_id in OTHERS),
]


@pytest.mark.parametrize(("topic_id", "step"), SAMPLES)
def test_a_mark_is_the_same_on_every_rung(topic_id: str, step: int) -> None:
    topic = COURSE.topic(topic_id)
    gradable = sum(task.points for task in topic.tasks if task.is_gradable)
    solution = topic.solution_path.read_text(encoding="utf-8")
    mistakes = topic.mistakes[::step]
    sources = [solution, *(solution.replace(mistake.find, mistake.replace, 1) for mistake in mistakes)]

    def marks(isolation: Isolation) -> list[tuple[float, ...]]:
        with Judge(topic, seed=3, only=isolation, allow_unisolated=isolation == "D") as judge:
            reports = [judge.examine(Submission("s", topic.id, None, source.encode())) for source in sources]
        assert {(report.isolation, report.status) for report in reports} == {(isolation, "graded")}
        return [tuple(task.score for task in report.tasks) for report in reports]

    rungs: list[Isolation] = [rung for rung in ("A", "B", "D") if rung == "D" or climb(rung).holds]
    of_each = {rung: marks(rung) for rung in rungs}

    assert sum(of_each["D"][0]) == gradable
    for rung in rungs:
        assert of_each[rung] == of_each["D"], rung


@pytest.fixture
def on_macos(tmp_path: Path) -> tuple[tuple[str, ...], str]:
    """Rung C's command line and its profile, as they would be on macOS."""
    plan = launch("C", view_for(("numpy",)), Limits(), warm=(), scratch=tmp_path)
    program, flag, profile, *rest = plan.command
    assert (program, flag, Path(rest[0]).name[:6]) == ("sandbox-exec", "-p", "python")
    return tuple(rest), profile


def test_rung_c_starts_an_interpreter_that_reads_no_site_packages(
    on_macos: tuple[tuple[str, ...], str],
) -> None:
    command, _ = on_macos

    assert command[1:5] == ("-P", "-s", "-S", "-B")
    assert command[5].endswith("packages/autograder/sandbox/inside/zygote.py")


def test_rung_c_denies_what_it_does_not_allow(on_macos: tuple[tuple[str, ...], str], tmp_path: Path) -> None:
    command, profile = on_macos
    rules = profile.splitlines()

    assert rules[:3] == ["(version 1)", "(deny default)", "(deny network*)"]
    writes = [rule for rule in rules if rule.startswith("(allow") and "file-write" in rule]
    assert writes == [
        f'(allow file-read* file-write* (subpath "{tmp_path}"))',
        '(allow file-write-data (literal "/dev/null"))',
    ]
    assert "(allow signal (target self))" in rules
    programs = [rule for rule in rules if "process-exec" in rule]
    assert programs == [f"(allow process-exec (literal {json.dumps(command[0])}))"]
    assert not [rule for rule in rules if rule.startswith("(allow network")]
    assert str(COURSE.assignments) not in profile
    assert profile.count("(") == profile.count(")")


def test_rung_cs_profile_quotes_odd_paths(tmp_path: Path) -> None:
    odd = '/opt/a "quoted") (allow default'

    profile = seatbelt_profile(Path("/usr/bin/python3"), [odd], [], tmp_path)

    assert json.dumps(odd) in profile
    assert "\n(allow default" not in profile
