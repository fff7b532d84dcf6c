"""CONTRIBUTING.md: the steps to a new assignment work as they are written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from autograder.authoring.build import build, render, stale
from autograder.authoring.leak import leaks
from autograder.authoring.new import new
from autograder.course import Course

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(language):
    return [body for kind, body in FENCE.findall(PAGE) if kind == language]


def listed(heading):
    """Return the names that a listing of the page gives for a folder."""
    (listing,) = (block for block in blocks("text") if block.startswith(heading))
    return sorted(line.split()[0] for line in listing.splitlines()[1:])


@pytest.fixture
def walked(tmp_path):
    """A course in which the page's commands were run, up to `make build`."""
    course = Course(tmp_path)
    steps = {
        "make new topic=12_dropout": lambda: new(course, "12_dropout"),
        "make build": lambda: build(course),
    }
    for block in blocks("sh")[:2]:
        for command in block.splitlines():
            steps[command]()
    return course


def test_the_walk_writes_the_files_that_the_page_lists(walked):
    assert sorted(path.name for path in (walked.assignments / "12_dropout").iterdir()) == listed(
        "assignments/12_dropout/"
    )
    assert sorted(path.name for path in (walked.source / "12_dropout").iterdir()) == listed("source/12_dropout/")


def test_the_walk_ends_with_a_clean_and_fresh_source(walked):
    assert stale(walked) == []
    assert leaks(walked.topic("12_dropout"), [walked.source]) == []
    assert render(walked.topic("12_dropout"))


def test_every_command_is_a_verb_of_the_makefile():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    commands = [line for block in blocks("sh") for line in block.splitlines()]

    assert commands == [
        "make new topic=12_dropout",
        "make build",
        "make verify topic=12_dropout",
        "make release",
        "make test",
    ]
    assert all(re.search(rf"^{command.split()[1]}:.*##", makefile, re.MULTILINE) for command in commands)


@pytest.mark.parametrize("language", ["python", "toml"])
def test_every_example_stands_in_the_files_that_the_walk_writes(walked, language):
    files = "\n".join(path.read_text() for path in (walked.assignments / "12_dropout").iterdir())
    examples = [part for block in blocks(language) for part in block.rstrip("\n").split("\n\n")]

    assert examples
    assert [part for part in examples if part not in files] == []


def test_every_module_that_the_page_names_is_there():
    page = "\n".join(blocks("text"))
    named = set(re.findall(r"(?:autograder|tests)/[\w/]+\.py", page))
    named |= {f"autograder/{path}" for path in re.findall(r"(?<![\w/])sandbox/\w+\.py", page)}

    assert len(named) > 30
    assert [path for path in sorted(named) if not (ROOT / path).is_file()] == []
