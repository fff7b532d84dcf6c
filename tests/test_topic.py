"""topic.py: what is read from the six files, and what is refused."""

from __future__ import annotations

import pytest
from factory import make_course, make_topic, write_files

from autograder.authoring import build
from autograder.authoring.verify import verify
from autograder.errors import AuthorError
from autograder.topic import read_topic

AGAIN = """[[change.mistake]]
name = "squared instead of doubled"
replace = "return x**2"
hint = "Doubling adds a number to itself."

[[change.alternative]]"""


def test_a_topic_is_read(tmp_path):
    topic = make_topic(tmp_path / "01_tiny")

    assert (topic.id, topic.module, topic.points, topic.needs_torch) == ("01_tiny", "tiny", 90, False)
    assert [(task.id, task.number, task.seconds) for task in topic.tasks] == [
        ("double", "1.1", 2.0),
        ("halve", "1.2", 10.0),
    ]
    assert topic.task("halve").names == ("Halver",)
    with pytest.raises(KeyError):
        topic.task("treble")


def test_mistakes_and_alternatives_are_kept_apart(tmp_path):
    topic = make_topic(tmp_path)

    assert [mistake.name for mistake in topic.mistakes] == [
        "squared instead of doubled",
        "never counted the calls",
    ]
    assert [(other.task, other.replace) for other in topic.alternatives] == [("double", "return x + x")]
    assert topic.mistakes[1].hint == "Each call adds one to the count."


def test_no_mistakes_at_all_is_an_empty_list(tmp_path):
    topic = make_topic(tmp_path, mistakes="")

    assert (topic.mistakes, topic.alternatives) == ((), ())


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        ({"manifest": None}, r"topic\.toml: no such file; `autograder new` writes the six files"),
        ({"hidden": None}, r"test_tiny_hidden\.py: no such file; `autograder new` writes the six files"),
        ({"manifest": ('title = "Tiny"', 'title = "Tiny')}, r"topic\.toml:1: not TOML"),
        ({"manifest": ('title = "Tiny"', "")}, r"topic\.toml: 'title' is missing; add it"),
        ({"manifest": ('title = "Tiny"', "title = 3")}, r"topic\.toml: 'title' is 3, of the wrong type"),
        (
            {"manifest": ("memory = 1024", "memory = true")},
            r"topic\.toml:6: 'memory' is True, of the wrong type",
        ),
        (
            {"manifest": ("memory", "processes = 0\nmemory")},
            r"topic\.toml:6: processes is 0; give from 1 to 4096",
        ),
        (
            {"manifest": ("memory = 1024", "disk = 5000")},
            r"topic\.toml:6: disk is 5000; give from 1 to 4096 MB",
        ),
        (
            {"manifest": ("memory = 1024", 'answers = "1 GB"')},
            r"topic\.toml:6: 'answers' is '1 GB', of the wrong",
        ),
        (
            {"manifest": ("memory", 'worker = "task"\nmemory')},
            r"topic\.toml: worker is 'task'; write \"submission\", or \"test\"",
        ),
        ({"manifest": ("memory", "memroy")}, r"topic\.toml: unknown key 'memroy'; the keys are"),
        ({"manifest": ('"tiny"', '"Tiny-1"')}, r"topic\.toml: module 'Tiny-1' is no module name"),
        ({"manifest": ('["numpy"]', '"numpy"')}, r"topic\.toml: 'imports' must be a list of texts"),
        ({"manifest": 'title = "a"\nmodule = "tiny"\n'}, r"topic\.toml: no task; add a table"),
        ({"manifest": ("[tasks.double]", '[tasks."dou ble"]')}, r"topic\.toml: task 'dou ble': no task id"),
        (
            {"manifest": ("points = 60", "points = 0")},
            r"topic\.toml:8: task 'double': points is 0; give a number",
        ),
        (
            {"manifest": ("points = 60", 'points = "60"')},
            r"topic\.toml:8: task 'double': 'points' is '60', of the",
        ),
        ({"manifest": ("seconds = 2", "seconds = -1")}, r"topic\.toml:8: task 'double': seconds is -1"),
        ({"manifest": ("points = 30", "point = 30")}, r"topic\.toml:15: task 'halve': unknown key 'point'"),
        (
            {"manifest": ("[tasks.double]", "tasks.treble = 3\n[tasks.double]")},
            r"topic\.toml: task 'treble': must be",
        ),
    ],
)
def test_a_broken_topic_toml_is_refused_with_its_place_and_a_cure(tmp_path, edit, message):
    write_files(tmp_path / "01_tiny", **edit)

    with pytest.raises(AuthorError, match=f"01_tiny/{message}"):
        read_topic(tmp_path / "01_tiny")


def test_a_file_that_is_not_utf_8_is_refused(tmp_path):
    write_files(tmp_path)
    (tmp_path / "topic.toml").write_bytes(b'title = "\xff"')

    with pytest.raises(AuthorError, match=r"topic\.toml: not UTF-8 text; save it as UTF-8"):
        read_topic(tmp_path)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            '[[changes]]\ntask = "double"\n',
            r"mistakes\.toml: unknown key 'changes'; the keys are change",
        ),
        (
            ("[[change.mistake]]", "[[change.mistakes]]"),
            r"mistakes\.toml:1: change 1: unknown key 'mistakes'; the keys are alternative, equivalent, find, mistake",
        ),
        (("[[change]]", "version = 1\n[[change]]"), r"mistakes\.toml: unknown key 'version'"),
        ('change = "none"', r"mistakes\.toml: 'change' must be a list of tables; write \[\[change\]\]"),
        ("change = [1]", r"mistakes\.toml: 'change' must be a list of tables"),
        (
            '[[change]]\nfind = "self.count += 1"\nmistake = 1',
            r"mistakes\.toml:1: change 1: 'mistake' must be a list of tables; write \[\[change\.mistake\]\]",
        ),
        (('task = "halve"\n', ""), r"mistakes\.toml:14: change 2: needs a text 'task'"),
        (
            ('hint = "Each', 'advice = "Each'),
            r"mistakes\.toml:18: mistake 2 \('never counted the calls'\): unknown key",
        ),
        (
            ('hint = "Each call adds one to the count."', ""),
            r"mistakes\.toml:18: .*: needs a text 'hint'; add it",
        ),
        (
            ('task = "halve"', 'task = "treble"'),
            r"mistakes\.toml:14: .*: no task 'treble' in topic\.toml; use one of",
        ),
        (
            ("self.count += 1", "self.count += 2"),
            r"mistakes\.toml:18: .*: 'find' is 0 times in the solution",
        ),
        (('find = "self.count += 1"', 'find = "self"'), r"mistakes\.toml:18: .*: 'find' is [0-9]+ times"),
        (
            ('replace = "pass"', 'replace = "self.count += 1"'),
            r"mistakes\.toml:18: .*: 'replace' is 'find' again",
        ),
        (
            ("[[change.alternative]]", AGAIN),
            r"mistakes\.toml:10: .*: this name is taken",
        ),
    ],
)
def test_a_broken_mistake_is_refused_with_its_line_and_a_cure(tmp_path, edit, message):
    topic = make_topic(tmp_path, mistakes=edit)

    with pytest.raises(AuthorError, match=message):
        _ = topic.mistakes


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (('replace = "pass"', 'replace = "pass ("'), r"mistakes\.toml:18: mistake 2 .*is not Python"),
        (('replace = "return x + x"', 'replace = "return ("'), r":10: alternative 1 .*is not Python"),
    ],
)
def test_what_makes_the_solution_no_python_is_refused_by_build_and_read_by_a_judge(tmp_path, edit, message):
    course = make_course(tmp_path, mistakes=edit)
    topic = course.topic("01_tiny")

    assert topic.mistakes
    assert topic.alternatives
    with pytest.raises(AuthorError, match=message):
        build.build(course)
    with pytest.raises(AuthorError, match=message):
        verify(topic)
    assert not course.source.exists()


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            ('replace = "return x + x"', 'replace = "return x + x"\nhint = "no"'),
            r":10: alternative 1 .*: unknown key",
        ),
        (('replace = "return x + x"', ""), r"mistakes\.toml:10: alternative 1 .*: needs a text 'replace'"),
    ],
)
def test_a_broken_alternative_is_refused_with_its_line_and_a_cure(tmp_path, edit, message):
    topic = make_topic(tmp_path, mistakes=edit)

    with pytest.raises(AuthorError, match=message):
        _ = topic.alternatives
