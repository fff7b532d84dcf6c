"""build.py: source/ holds exactly what render names, byte for byte."""

from __future__ import annotations

import ast
import os
import tomllib

import pytest
from factory import PUBLIC, make_course, make_topic

from autograder.authoring.build import build, render, stale, write_folder
from autograder.errors import AuthorError

ANSWER = "FACTOR = 2\ndef _secret_helper(x):\n    return x * FACTOR\n"
NEWLINE = "\n"
FILES = {"01_tiny.ipynb", "tiny.py", "test_tiny.py", "topic.toml", "README.md"}


def snapshot(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_five_files_are_rendered_and_none_is_hidden(tmp_path):
    files = render(make_topic(tmp_path / "01_tiny"))

    assert set(files) == FILES
    assert files["test_tiny.py"] == PUBLIC.encode()
    assert b"NotImplementedError" in files["tiny.py"]
    ast.parse(files["tiny.py"])


def test_the_public_manifest_holds_what_a_student_may_know(tmp_path):
    manifest = tomllib.loads(render(make_topic(tmp_path / "01_tiny"))["topic.toml"].decode())

    assert {key: manifest[key] for key in ("title", "module", "imports")} == {
        "title": "Tiny",
        "module": "tiny",
        "imports": ["numpy"],
    }
    assert manifest["tasks"] == {
        "double": {
            "number": "1.1",
            "title": "Double",
            "names": ["double", "FACTOR"],
            "points": 60,
            "seconds": 2,
            "public_points": 20,
        },
        "halve": {
            "number": "1.2",
            "title": "Halve",
            "names": ["Halver"],
            "points": 30,
            "seconds": 10,
            "public_points": 12,
        },
    }


def test_titles_with_quotes_and_umlauts_survive_the_manifest(tmp_path):
    title = 'Say "ü" \\ twice\t\x7f'
    quoted = 'title = "Say \\"ü\\" \\\\ twice\\t\\u007f"'
    topic = make_topic(tmp_path / "01_tiny", manifest=('title = "Tiny"', quoted))

    assert topic.title == title
    assert tomllib.loads(render(topic)["topic.toml"].decode())["title"] == title


def test_the_first_page_says_how_to_start(tmp_path):
    page = render(make_topic(tmp_path / "01_tiny"))["README.md"].decode()

    assert page.startswith("# Tiny\n\nDouble a number, and halve it again.\n\n* say what doubling does\n")
    assert "    jupyter lab 01_tiny.ipynb\n" in page
    assert "    autograder check\n" in page
    assert "| 1.1 | Double | `double`, `FACTOR` | 60 |" in page
    assert "other 10 points" in page


def test_build_writes_what_render_says_and_a_second_time_nothing(tmp_path):
    course = make_course(tmp_path)

    first, second = build(course), build(course)

    assert {path.name for path in first} == FILES
    assert second == []
    assert snapshot(course.source / "01_tiny") == render(course.topic("01_tiny"))
    assert all(path.stat().st_mode & 0o777 == 0o644 for path in first)


def test_a_change_is_stale_until_built_and_only_its_file_is_written(tmp_path):
    course = make_course(tmp_path)
    build(course)
    solution = course.topic("01_tiny").solution_path
    solution.write_text(solution.read_text().replace("Double a number.", "Double any number."))
    stub = course.source / "01_tiny" / "tiny.py"

    assert stale(course) == [stub]
    assert build(course) == [stub]
    assert stale(course) == []


def test_what_is_no_longer_rendered_is_removed(tmp_path):
    course = make_course(tmp_path)
    build(course)
    folder = course.source / "01_tiny"
    (folder / "answers").mkdir()
    (folder / "answers" / "tiny.py").write_text("FACTOR = 2")
    (folder / "test_tiny_hidden.py").write_text("")

    changed = build(course)

    assert sorted(path.name for path in changed) == ["test_tiny_hidden.py", "tiny.py"]
    assert snapshot(folder) == render(course.topic("01_tiny"))
    assert not (folder / "answers").exists()


def test_a_folder_of_source_without_an_assignment_is_stale_and_left_to_a_person(tmp_path):
    course = make_course(tmp_path)
    build(course)
    old = course.source / "00_old"
    old.mkdir()

    assert stale(course) == [old]
    assert build(course) == []
    assert old.exists()


def test_a_fault_in_one_assignment_leaves_all_of_source_as_it_was(tmp_path):
    course = make_course(tmp_path)
    make_topic(course.assignments / "02_tiny", lesson="# %%\n")

    with pytest.raises(AuthorError, match=r"02_tiny/lesson\.py"):
        build(course)
    assert not course.source.exists()


def test_a_write_that_breaks_off_leaves_the_old_file_whole(tmp_path, monkeypatch):
    write_folder(tmp_path / "out", {"a.txt": b"old"})

    def broken(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", broken)
    with pytest.raises(OSError, match="disk full"):
        write_folder(tmp_path / "out", {"a.txt": b"new"})

    assert snapshot(tmp_path / "out") == {"a.txt": b"old"}


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        ({"lesson": ("# %% task", f"# %%\n{ANSWER}# %% task")}, r"lesson\.py:16: three lines in a row as in"),
        (
            {"lesson": ("# A number", f"# {ANSWER.replace(NEWLINE, NEWLINE + '# ')}A")},
            r"lesson\.py:3: three lines",
        ),
        ({"public": ("import pytest", f"{ANSWER}import pytest")}, r"test_tiny\.py:3: three lines in a row"),
        (
            {"public": ("import pytest", "# BEGIN SOLUTION\nimport pytest")},
            r"test_tiny\.py:3: .* solution marker",
        ),
        (
            {"solution": ("class Halver:", "class Third:")},
            r"tiny\.py:1: the stub does not define 'Halver' of the task",
        ),
        (
            {"solution": ("FACTOR = 2", "TWO = 2")},
            r"tiny\.py:1: the stub does not define 'FACTOR' of the task 'double'",
        ),
        ({"solution": ("    ### END SOLUTION", "    ### END")}, r"tiny\.py:[0-9]+: .*BEGIN"),
    ],
)
def test_a_fault_in_a_file_is_refused_with_its_line(tmp_path, edit, message):
    with pytest.raises(AuthorError, match=message):
        render(make_topic(tmp_path / "01_tiny", **edit))


def test_a_seventh_file_is_refused(tmp_path):
    topic = make_topic(tmp_path / "01_tiny")
    (topic.folder / "__pycache__").mkdir()
    (topic.folder / ".ipynb_checkpoints").mkdir()
    topic.known_path.write_text("{}")
    render(topic)
    (topic.folder / "notes.txt").write_text("")

    with pytest.raises(AuthorError, match=r"notes\.txt: not one of the assignment's files; name it in topic"):
        render(topic)


def test_a_file_that_is_not_utf_8_is_refused(tmp_path):
    topic = make_topic(tmp_path / "01_tiny")
    topic.lesson_path.write_bytes(b"# \xff")

    with pytest.raises(AuthorError, match=r"lesson\.py: not UTF-8 text; save it as UTF-8"):
        render(topic)


def test_nothing_that_is_handed_out_is_named_like_a_hidden_test(tmp_path):
    with pytest.raises(AuthorError, match=r"topic\.toml: '01_hidden\.ipynb' is for students and named like a hidden"):
        render(make_topic(tmp_path / "01_hidden"))
