"""The draw of a run is given or new; the last lines say what should be verified again."""

from __future__ import annotations

from pathlib import Path

import pytest
from draw import VARIABLE, drawn, told
from factory import make_course

from autograder.authoring.verified import confirm, state
from autograder.known import write_known


class Config:
    """The part of pytest's configuration that a draw reads."""

    def __init__(self, given: int | None) -> None:
        self.given = given

    def getoption(self, name: str) -> int | None:
        assert name == "draw"
        return self.given


def test_the_command_line_comes_before_the_environment_and_both_before_chance(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(VARIABLE, "7")

    assert (drawn(Config(0)), drawn(Config(None))) == (0, 7)  # type: ignore[arg-type]


def test_without_either_it_is_another_number_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)

    assert len({drawn(Config(None)) for _ in range(20)}) > 1  # type: ignore[arg-type]


def test_a_process_of_xdist_has_the_draw_of_its_run() -> None:
    config = Config(1)
    config.workerinput = {"draw": 5}  # type: ignore[attr-defined]

    assert drawn(config) == 5  # type: ignore[arg-type]


def test_the_end_names_what_differs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    course = make_course(tmp_path)
    topic = course.topic("01_tiny")
    topic.known_path.write_bytes(write_known((), tests=["test_a"], cheap=(), slow=(), seeds=3, files="", changes={}))
    unverified = list(told(course, 3))
    topic.known_path.write_bytes(confirm(topic, state(topic), 0) or b"")
    verified = list(told(course, 3))
    monkeypatch.setattr("autograder.authoring.verified.engine", lambda: "another")
    older = list(told(course, 3))

    first = "assignments: the samples are those of pytest --draw 3"
    assert unverified == [
        first,
        "not as last verified, so tried with all mistakes: 01_tiny; run `make verify`",
    ]
    assert verified == [first]
    assert older == [first, "last verified with another engine or Python: 01_tiny; run `make verify`"]
