"""leak.py: each kind of secret, planted in each kind of file, is found; a clean release is clean."""

from __future__ import annotations

import html
import io
import json
import tarfile
import zipfile

import pytest
from factory import make_course, make_topic

from autograder.authoring.build import build, render
from autograder.authoring.leak import leaks, secrets

ANSWER = "doubled_at_last = _secret_helper(x)"
SECRETS = {
    "a line of the solution": ANSWER,
    "a line of another solution": "return x + x",
    "the name of the hidden test test_the_factor_is_two": "test_the_factor_is_two",
    "the docstring of the hidden test": "Doubling works for any number, drawn at random too.",
    "a line of the hidden tests": "number_nobody_knows = int(rng.integers(10, 1000))",
    "the name of a known mistake": "squared instead of doubled",
    "a marker": "### BEGIN SOLUTION",
    "a marker, 'END HIDDEN TESTS'": "### END HIDDEN TESTS",
}


@pytest.fixture
def topic(tmp_path):
    return make_topic(tmp_path / "01_tiny")


def found(topic, path):
    return [(leak.path, leak.line, leak.what) for leak in leaks(topic, [path])]


def zipped(members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return buffer.getvalue()


def test_a_built_assignment_is_clean(tmp_path):
    course = make_course(tmp_path)
    build(course)

    assert leaks(course.topic("01_tiny"), [course.source]) == []


@pytest.mark.parametrize(("what", "text"), SECRETS.items())
def test_every_kind_of_secret_is_found_with_its_line(topic, tmp_path, what, text):
    path = tmp_path / "handout.py"
    path.write_text(f"import numpy\n\nif True:\n    {text}\n")

    assert [(leak.path, leak.line) for leak in leaks(topic, [path]) if leak.what.startswith(what)] == [(path, 4)]


def test_a_line_that_also_stands_where_students_see_it_is_no_secret(tmp_path):
    line = "return x * FACTOR"
    topic = make_topic(tmp_path / "01_tiny", lesson=("print(", f'"""{line}"""\n    print('))

    assert line not in {secret.text for secret in secrets(topic)}
    assert ANSWER in {secret.text for secret in secrets(topic)}


def test_short_lines_tell_nothing(topic):
    assert not any(len(secret.text) < 12 for secret in secrets(topic))


def test_a_hidden_name_is_found_as_a_whole_word_only(tmp_path):
    hidden = "test_three_doubled_is"  # the beginning of a public test's name
    topic = make_topic(tmp_path / "01_tiny", hidden=("test_the_factor_is_two", hidden))
    path = tmp_path / "handout.txt"

    path.write_text("test_three_doubled_is_six")
    assert found(topic, path) == []
    path.write_text(f"see {hidden}.")
    assert found(topic, path) == [(path, 1, f"the name of the hidden test {hidden}")]


@pytest.mark.parametrize("indent", [1, None])
def test_cells_and_outputs_of_a_notebook_are_read_as_they_show(tmp_path, indent):
    quoted = 'expect.equal(student.FACTOR, 2, what="FACTOR")'
    umlaut = "Zürich \\ naïve is a line of the answer"
    topic = make_topic(tmp_path / "01_tiny", solution=("FACTOR = 2", f"FACTOR = 2  # {umlaut}"))
    cell = {
        "cell_type": "code",
        "source": ["x\n", quoted],
        "outputs": [{"text": f"1\n{ANSWER}\n2 # {umlaut}"}],
    }
    path = tmp_path / "lesson.ipynb"
    path.write_text(json.dumps({"cells": [cell]}, indent=indent))

    whats = " ".join(leak.what for leak in leaks(topic, [path]))

    assert "a line of the hidden tests" in whats
    assert "doubled_at_last" in whats


def test_coloured_and_escaped_code_of_a_feedback_page_is_found(topic, tmp_path):
    path = tmp_path / "feedback.html"
    coloured = "".join(f"<span\nclass='n'>{html.escape(part)}</span>" for part in ANSWER.split(" "))
    coloured = coloured.replace("</span><", "</span> <")
    path.write_text(f"<pre>\n{coloured}\n</pre><p title='test_the_factor_is_two'>&#39;self.count += 1&#39;</p>")

    whats = " ".join(leak.what for leak in leaks(topic, [path]))

    assert "the name of the hidden test" in whats
    assert "self.count" in whats


def test_coloured_code_in_one_line_is_found(topic, tmp_path):
    path = tmp_path / "feedback.html"
    path.write_text('<pre>\n<span class="n">self</span><span class="o">.</span>count <b>+=</b> 1</pre>')

    assert found(topic, path) == [(path, 2, "a line of the solution, 'self.count += 1'")]


def test_archives_are_opened_however_deep(topic, tmp_path):
    inner = zipped({"pkg/tiny.py": f"x = 1\n{ANSWER}\n"})
    path = tmp_path / "course.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        info = tarfile.TarInfo("inner.zip")
        info.size = len(inner)
        archive.addfile(info, io.BytesIO(inner))

    assert found(topic, path)[0][:2] == (path / "inner.zip" / "pkg" / "tiny.py", 2)


def test_a_wheel_may_hold_a_line_that_is_in_any_program(topic, tmp_path):
    by_chance = "except (FileNotFoundError, PermissionError, KeyError):"
    secret = "except (FileNotFoundError, PermissionError, LookupFailed):"
    with topic.hidden_tests_path.open("a") as file:
        file.write(f"try:\n    pass\n{by_chance}\n    pass\n{secret}\n    pass\n")
    wheel = tmp_path / "autograder-0.1.0-py3-none-any.whl"

    wheel.write_bytes(zipped({"autograder/stub.py": f"try:\n    pass\n{by_chance}\n    pass\n"}))
    assert found(topic, wheel) == []
    wheel.write_bytes(zipped({"autograder/stub.py": f"try:\n    pass\n{secret}\n    pass\n"}))
    assert found(topic, wheel)


def test_a_wheel_with_an_assignment_in_it_is_found_and_the_engine_s_own_code_is_not(topic, tmp_path):
    wheel = tmp_path / "autograder-0.1.0-py3-none-any.whl"
    engine = "BEGIN = '### BEGIN SOLUTION'\nself.count += 1\nreturn x * FACTOR\n"

    wheel.write_bytes(zipped({"autograder/stub.py": engine}))
    assert found(topic, wheel) == []

    for path in (topic.solution_path, topic.hidden_tests_path, topic.mistakes_path):
        wheel.write_bytes(zipped({"autograder/stub.py": engine, f"extra/{path.name}": path.read_text()}))
        assert found(topic, wheel), path.name


@pytest.mark.parametrize("name", ["test_tiny_hidden.py", "mistakes.toml", "known.json"])
def test_a_secret_file_is_found_by_its_name_alone(topic, tmp_path, name):
    folder = tmp_path / "release"
    folder.mkdir()
    (folder / name).write_text("")

    assert found(topic, folder) == [(folder / name, 1, f"a file named {name}, which never leaves assignments/")]


def test_compiled_python_and_broken_archives_are_searched_as_they_are(topic, tmp_path):
    path = tmp_path / "tiny.pyc"
    path.write_bytes(b"\xff\x00test_the_factor_is_two\x00\xfe")

    assert [what for _, _, what in found(topic, path)] == ["the name of the hidden test test_the_factor_is_two"]


def test_a_leak_reads_as_a_place_and_a_sentence(topic, tmp_path):
    path = tmp_path / "a.py"
    path.write_text(ANSWER)

    assert str(leaks(topic, [path])[0]) == f"{path}:1: a line of the solution, {ANSWER!r}"


def test_no_file_that_students_get_holds_a_secret_by_its_making(topic):
    everything = b"\n".join(render(topic).values()).decode()

    assert not [secret.text for secret in secrets(topic) if secret.text in everything]


def test_the_engine_may_hold_the_end_of_a_sentence_by_chance_and_no_long_line(tmp_path):
    first, end = "Doubling works for any number,", "that use it."
    long = "drawn at random too, and for each sum of those"
    topic = make_topic(
        tmp_path / "01_tiny",
        hidden=(
            "Doubling works for any number, drawn at random too.",
            f"{first}\n    {long}\n    {end}\n    ",
        ),
    )
    for text in (first, long, end):
        (tmp_path / "engine.whl").write_bytes(zipped({"engine.py": text}))
        assert (found(topic, tmp_path / "engine.whl") == []) is (text == end)
