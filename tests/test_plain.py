"""One module makes other people's texts safe to show."""

from __future__ import annotations

from pathlib import Path

import pytest

import autograder
from autograder.limits import LINE_LETTERS, SENTENCE_LETTERS
from autograder.plain import lines_of, one_line, plain

PACKAGE = Path(autograder.__file__).parent
EVIL = "a\x1b[31mred\x1b[0m\x07\u202e\n b\tc"


def test_what_a_students_code_says_loses_escapes_and_addresses():
    assert plain(f"<f at 0x7f0123456789> {EVIL}") == "<f> ared\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER} b c"
    assert plain("z" + "\u0301" * 100) == "z" + "\u0301" * 2


def test_a_sentence_keeps_its_words():
    assert one_line("it is at 0x7f0123456789\n  here") == "it is at 0x7f0123456789 here"
    assert one_line(EVIL) == "a?[31mred?[0m??  b c".replace("  ", " ")


def test_an_answer_keeps_its_lines():
    assert lines_of(EVIL) == "a[31mred[0m\n b\tc"


@pytest.mark.parametrize(("clean", "longest"), [(plain, SENTENCE_LETTERS), (one_line, LINE_LETTERS)])
def test_a_long_text_is_cut_and_says_so(clean, longest):
    text = clean("word " * longest)

    assert len(text) <= longest
    assert text.endswith(" ...")
    assert clean("x" * longest) == "x" * longest


@pytest.mark.parametrize("clean", [plain, one_line, lines_of])
def test_no_character_steers_what_shows_it(clean):
    every = "".join(map(chr, [*range(0x2100), *range(0xFE00, 0x10000)])).replace("\ud800", "")

    shown = "".join(clean(every[start : start + 50]) for start in range(0, len(every), 50))

    assert [letter for letter in shown if not letter.isprintable() and letter not in "\n\t"] == []


def test_there_is_no_other_cleaner():
    found = {path.name for path in PACKAGE.rglob("*.py") if "isprintable" in path.read_text(encoding="utf-8")}

    assert found == {"plain.py"}
