"""A student reads the same in every format, and no text in it runs."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import pytest
from classes import SUITE, keep, report
from factory import make_course
from mistune import html as rendered

from autograder.course import Course
from autograder.recording.summary import write_summaries
from autograder.report import Report
from autograder.report.words import said, to_html, to_markdown, words
from autograder.topic import Topic

HOSTILE = "<script>alert(1)</script> [x](javascript:alert) `a` **b** _c_ $d$ | # \x1b[2J\n- e & &lt;"


@pytest.fixture(scope="module")
def topic(tmp_path_factory: pytest.TempPathFactory) -> Topic:
    return make_course(tmp_path_factory.mktemp("course")).topic("01_tiny")


@pytest.fixture
def hostile() -> Report:
    return report("ada", tuple(SUITE), sentence=HOSTILE, complaints=(HOSTILE,), hint=f"Hint of {HOSTILE}")


def bare(page: str) -> str:
    """The text of a page, without its head and its tags."""
    body = page.partition("<body>")[2] or page
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", body)).split())


def test_markdown_and_html_say_the_same(topic: Topic, hostile: Report) -> None:
    found = words(hostile, topic)

    assert bare(str(rendered(to_markdown(found)))) == bare(to_html(found))
    assert bare(to_html(found)) == " ".join(" ".join(text for _, text in found).split())


def test_nothing_that_a_student_wrote_is_read_as_markup(topic: Topic, hostile: Report) -> None:
    found = words(hostile, topic)

    for page in (to_html(found), str(rendered(to_markdown(found)))):
        assert re.findall(r"<(?:script|a|code|img)\b", page) == []
        assert "\x1b" not in page


def test_hidden_tests_are_counted_and_not_named(topic: Topic) -> None:
    hidden = tuple(test for test, (_, _, is_hidden) in SUITE.items() if is_hidden)
    found = words(report("ada", hidden, sentence="a secret sentence", hint="Think of zero."), topic)

    text = to_markdown(found)
    assert "1 of 3 tests passed" in text
    assert "Hint: Think of zero" in text
    assert "secret" not in text
    assert not any(test in text or f"lesson of {test}" in text for test in hidden)


def test_a_broken_task_is_open_and_costs_nothing(topic: Topic) -> None:
    found = words(report("ada", broken=("test_the_factor_is_two",)), topic)

    assert any(text.startswith("This task could not be judged") for _, text in found)


def test_a_notebook_s_cell_says_the_same_sentences(topic: Topic) -> None:
    made = report("ada", ("test_three_doubled_is_six",), hint="Twice, not thrice.")
    texts = [text for kind, text in words(made, topic) if kind in ("fault", "lesson", "hint")]

    cell = "\n".join(said(task, topic) for task in made.tasks)

    assert all(text in cell for text in texts)


def test_they_lie_beside_the_pages_of_nbgrader(tmp_path: Path) -> None:
    course: Course = make_course(tmp_path)
    keep(course, course.topic("01_tiny"), report("ada"), report("nobody"))
    (tmp_path / "feedback" / "ada" / "01_tiny").mkdir(parents=True)

    written = write_summaries(course, "01_tiny")

    assert [path.name for path in written] == ["summary.html", "summary.md"]
    assert "90 of 90 points by tests" in written[0].read_text()
