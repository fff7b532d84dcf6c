"""What is committed under source/ and release/ is what the assignments give."""

from __future__ import annotations

from pathlib import Path

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


@pytest.mark.slow
def test_release_is_fresh():
    pytest.importorskip("nbgrader")

    assert names(release.stale(COURSE)) == [], (
        "release/ is stale: run `make release` and commit what it changes"
    )


@pytest.mark.parametrize("topic_id", COURSE.topic_ids())
def test_nothing_secret_is_committed_where_students_look(topic_id, tmp_path):
    topic = COURSE.topic(topic_id)
    chapter = tmp_path / "course.md"  # its own part of docs/course.md
    chapter.write_text(syllabus.render((topic,)))

    found = leaks(topic, [COURSE.source / topic_id, COURSE.release / topic_id, chapter])

    assert [str(leak) for leak in found] == []
