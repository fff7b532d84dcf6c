"""Plain: make a text that somebody else wrote safe to show: nothing in it controls a terminal, a page or a log.

Code that shows it in Markdown, HTML or rich must also escape it for that.
"""

from __future__ import annotations

import re

from autograder.limits import LINE_LETTERS, SENTENCE_LETTERS

_ADDRESSES = re.compile(r" at 0x[0-9a-fA-F]{6,16}\b")
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-_])")
#: the third accent on a letter, and each further one: hundreds of accents would cover the lines above and below
_ACCENT = r"[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]"
_TOWERS = re.compile(f"({_ACCENT}{{2}}){_ACCENT}+")


def plain(text: str, longest: int = SENTENCE_LETTERS) -> str:
    """Return a text of a student's code on one line, without escapes, addresses in memory and control characters."""
    text = _ADDRESSES.sub("", _ESCAPES.sub("", text[: 8 * longest]))
    text = _printable(" ".join(text.split()), "\N{REPLACEMENT CHARACTER}")
    if not text.isascii():
        text = _TOWERS.sub(r"\1", text)
    return _cut(text, longest)


def one_line(text: str, longest: int = LINE_LETTERS) -> str:
    """Return a sentence or a name on one line, word for word, without control characters."""
    return _cut(_printable(" ".join(text.split()), "?"), longest)


def lines_of(text: str) -> str:
    """Return a text of several lines, such as an answer, without control characters."""
    return _printable(text, "", "\n\t")


def _printable(text: str, instead: str, kept: str = "") -> str:
    return "".join(letter if letter.isprintable() or letter in kept else instead for letter in text)


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 4].rstrip() + " ..."
