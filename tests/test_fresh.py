"""The committed source/ and release/ are what the assignments give."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pages
import pytest

from autograder.authoring import build, release, syllabus
from autograder.authoring.leak import leaks
from autograder.course import Course

COURSE = Course(Path(__file__).parent.parent)


def names(paths):
    return [path.relative_to(COURSE.root).as_posix() for path in paths]


def test_source_is_fresh():
    assert names(build.stale(COURSE)) == [], "source/ is stale: run `make build` and commit what it changes"


def test_the_page_of_the_course_is_fresh():
    assert names(syllabus.stale(COURSE)) == [], "docs/course.md is stale: run `make build` and commit it"


def test_what_pages_take_from_elsewhere_is_fresh():
    assert names(pages.stale()) == [], "a page is stale: run `make docs` and commit what it changes"


def test_a_page_that_lost_the_place_of_a_part_is_said(tmp_path, monkeypatch):
    page = tmp_path / "page.md"
    page.write_text("No number is here.\n")
    monkeypatch.setattr(pages, "PARTS", {page: {r"\d+": lambda: "7"}})

    with pytest.raises(ValueError, match=r"page\.md.* is there 0 times"):
        pages.stale()


@pytest.mark.slow
def test_release_is_fresh():
    pytest.importorskip("nbgrader")

    assert names(release.stale(COURSE)) == [], "release/ is stale: run `make release` and commit what it changes"


def test_what_commands_write_is_marked_as_generated():
    listed = subprocess.run(
        ["git", "ls-files", "source", "release", "docs", "assignments"],
        cwd=COURSE.root, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    said = subprocess.run(
        ["git", "check-attr", "--stdin", "linguist-generated"],
        cwd=COURSE.root, input=listed, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    generated = {line.partition(": ")[0] for line in said.splitlines() if line.endswith(": set")}

    assert generated == {
        name
        for name in listed.splitlines()
        if name.startswith(("source/", "release/"))
        or name.endswith("/known.json")
        or name in ("docs/course.md", "docs/verification.md", "docs/bench_attacks.md")
    }


@pytest.mark.parametrize("topic_id", COURSE.topic_ids())
def test_nothing_secret_is_committed_where_students_look(topic_id, tmp_path):
    topic = COURSE.topic(topic_id)
    chapter = tmp_path / "course.md"  # its own part of docs/course.md
    chapter.write_text(syllabus.render((topic,)))

    found = leaks(topic, [COURSE.source / topic_id, COURSE.release / topic_id, chapter])

    assert [str(leak) for leak in found] == []
