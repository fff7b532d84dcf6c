"""What a module's text says about how it was written."""

from __future__ import annotations

import gc
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from factory import make_course

from autograder.grading.mark.integrity import complaints
from autograder.grading.mark.judge import Judge
from autograder.syntax import text_of, tree_of


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import ctypes", "Line 1 imports ctypes"),
        ("from gc import get_objects", "Line 1 imports gc"),
        ("import sys\nsys._getframe()", "Line 2 uses _getframe"),
        ("exec('1')", "Line 1 uses exec"),
        (f"W = '{'x' * 5000}'", "a literal of 5000 characters"),
        (f"W = {list(range(1500))}", "a list of 1500 numbers"),
        (f"W = {[list(range(100))] * 15}", "lists 1500 numbers or texts"),
        (f"LABELS = '{'0123456789' * 179}'", "1790 characters of text without spaces"),
        (
            f"LABELS = [{', '.join(repr('0123456789' * 8) for _ in range(15))}]",
            "1200 characters of text without",
        ),
        (f"LABELS = 0x{'1234567890abcdef' * 100}", "1600 characters of text without spaces"),
    ],
)
def test_what_no_task_needs_is_a_complaint(source: str, words: str) -> None:
    assert any(words in complaint for complaint in complaints(source.encode()))


@pytest.mark.parametrize("source", ["model.eval()", "def f(:", "x = 1", "'\\d'"])
def test_honest_code_is_left_in_peace(source: str) -> None:
    assert list(complaints(source.encode())) == []


@pytest.mark.parametrize(
    "source",
    [
        "x = f'" + "{a}" * 120_000 + "'",
        "# coding: punycode\n" + "x" * 400_000 + "-a",
        "# coding: utf-7\nx = f'" + "+AHs-a+AH0-" * 40_000 + "'",
        "x = [" + "{}," * 20_000 + "]" + "#" * 400_000,
    ],
    ids=["one f-string", "punycode", "utf-7", "many braces"],
)
def test_a_text_that_takes_long_to_read_is_for_a_person(tmp_path: Path, source: str) -> None:
    topic = make_course(tmp_path).topic("01_tiny")
    started = time.process_time()

    with Judge(topic, seed=1) as judge:
        said = judge._read(source.encode())

    assert any("takes too long to read" in complaint for complaint in said)
    assert time.process_time() - started < 6


def test_a_text_of_usual_size_with_many_braces_is_read() -> None:
    source = "".join(f"a{n} = f'{{x}} {{y}}'\n" for n in range(1_500)) + "exec('1')"

    assert list(complaints(source.encode())) == ["Line 1501 uses exec; no task needs it."]


@pytest.mark.parametrize("encoding", ["unicode_escape", "utf-7", "latin-1"])
def test_another_encoding_is_a_complaint(encoding: str) -> None:
    source = f"# coding: {encoding}\nx = 1\n".encode()

    assert any("The module is written in" in complaint for complaint in complaints(source))


def test_an_encoding_that_does_not_exist_is_none() -> None:
    assert list(complaints(b"# coding: no-such\n")) == []
    assert text_of(b"# coding: idna\n\xff") == "# coding: idna\n\N{REPLACEMENT CHARACTER}"


def test_a_text_that_is_too_deep_to_be_followed_is_a_complaint() -> None:
    source = f"def double(x): return {' + '.join('x' * 2000)}"

    assert any("nests more than 200 levels" in complaint for complaint in complaints(source.encode()))


def test_many_threads_may_parse_at_once():
    """Judges of a class are threads of one process. If ast.parse is interrupted by a collection of garbage, another
    thread may parse meanwhile; Python 3.11 then raises SystemError."""
    text = "\n".join(f"def f{number}(x):\n    return [x + {number} for x in (1, (2, (3, x)))]" for number in range(300))
    before, pause = gc.get_threshold(), lambda *_: time.sleep(0.0005)
    gc.callbacks.append(pause)
    gc.set_threshold(200)
    try:
        with ThreadPoolExecutor(4) as pool:
            trees = list(pool.map(lambda _: tree_of(text), range(60)))
    finally:
        gc.set_threshold(*before)
        gc.callbacks.remove(pause)

    assert {len(tree.body) for tree in trees} == {300}
