"""A student reads the same in every format, and no text in it runs."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest
from classes import SUITE, keep, report
from factory import make_course
from mistune import html as rendered

from autograder.course import Course
from autograder.recording.summary import write_summaries
from autograder.report import Report
from autograder.report.words import HandedIn, said, to_html, to_markdown, words
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
    texts = " ".join(text for _, text in found).replace("`a`", "a")  # code is shown as code
    assert bare(to_html(found)) == " ".join(texts.split())


def test_nothing_that_a_student_wrote_is_read_as_markup(topic: Topic, hostile: Report) -> None:
    found = words(hostile, topic)

    for page in (to_html(found), str(rendered(to_markdown(found)))):
        assert re.findall(r"<(?:script|a|img|b|strong)\b", page.replace("<strong>0.00 of 90", "")) == []
        assert set(re.findall(r"<code>.*?</code>", page)) == {"<code>a</code>"}
        assert "\x1b" not in page


def test_hidden_tests_are_counted_and_not_named(topic: Topic) -> None:
    hidden = tuple(test for test, (_, _, is_hidden) in SUITE.items() if is_hidden)
    found = words(report("ada", hidden, sentence="a secret sentence", hint="Think of zero."), topic)

    text = to_markdown(found)
    assert "| 1.1 Double | 1 of 3 | 20.00 | 60 |" in text
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


def test_markdown_can_be_read_as_it_is(topic: Topic) -> None:
    made = report("ada", tuple(SUITE), sentence="double raised ValueError: x_1[3] * 2 (line 5 of tiny.py: `y = x_1`).")

    assert (
        to_markdown(words(made, topic, HandedIn("Ada Byron (ada)", "2026-11-29 20:00 UTC", "2 of 5")))
        == """\
# Tiny: what the tests say

- Student: Ada Byron (ada)
- Handed in: 2026-11-29 20:00 UTC
- Attempt: 2 of 5

**0.00 of 90 points by tests. Written questions are graded by hand.**

| Task | Tests passed | Points | of |
|---|---:|---:|---:|
| 1.1 Double | 0 of 3 | 0.00 | 60 |
| 1.2 Halve | 0 of 2 | 0.00 | 30 |

## 1.1 Double

- double raised ValueError: x_1[3] * 2 (line 5 of tiny.py: `y = x_1`).
  The lesson of test_three_doubled_is_six.

## 1.2 Halve

- The same as in 1.1 Double: correct that first.
"""
    )


def test_an_import_that_fails_is_told_once(topic: Topic) -> None:
    sentence = "tiny.py cannot be imported. It raised ValueError."
    made = report("ada", tuple(SUITE), kind="import_failed", sentence=sentence, complaints=(sentence,), hint=sentence)

    text = to_markdown(words(made, topic))

    assert text.count(sentence) == 1
    assert "## " not in text
    assert all("see above" in said(task, topic) for task in made.tasks)  # a notebook has a cell for each task


def test_a_task_that_fails_because_an_earlier_one_does_says_so(topic: Topic) -> None:
    made = report("ada", ("test_three_doubled_is_six", "test_half_of_six_is_three"))
    halve = made.tasks[1]
    results = tuple(
        replace(result, sentence="double: not started yet.") if result.outcome == "failed" else result
        for result in halve.results
    )

    text = to_markdown(words(replace(made, tasks=(made.tasks[0], replace(halve, results=results))), topic))

    assert "- double: not started yet.\n  double belongs to 1.1 Double: correct that first." in text


def test_the_python_that_examined_is_named(topic: Topic) -> None:
    assert "Examined with Python 3.11" in to_html(words(replace(report("ada"), python="3.11"), topic))


def test_they_lie_beside_the_pages_of_nbgrader(tmp_path: Path) -> None:
    course: Course = make_course(tmp_path)
    keep(course, course.topic("01_tiny"), report("ada"), report("nobody"))
    (tmp_path / "feedback" / "ada" / "01_tiny").mkdir(parents=True)

    written = write_summaries(course, "01_tiny")

    assert [path.name for path in written] == ["summary.html", "summary.md"]
    assert "90.00 of 90 points by tests" in written[0].read_text()
