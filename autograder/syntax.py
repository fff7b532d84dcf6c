"""Syntax: parse the Python texts of authors, read the marker of a test's task, and find the encoding of a module."""

from __future__ import annotations

import ast
import io
import re
import threading
import tokenize

from autograder.errors import AuthorError
from autograder.limits import BRACES_TIMES_BYTES

_USUAL = re.compile(r"utf-?8(-sig)?|ascii|(iso-)?8859-\d+|latin-1|cp125\d", re.IGNORECASE)
#: Python 3.11 counts the depth of a tree for all threads together: if two of them parse, it may raise SystemError
_PARSING = threading.Lock()


def tree_of(source: str | bytes) -> ast.Module:
    """Parse Python source as ast.parse does, in one thread at a time: judges of a class share a process.

    Raises:
        SyntaxError, ValueError: it is not Python
    """
    with _PARSING:
        return ast.parse(source)


def parse(text: str, where: str) -> ast.Module:
    """Parse Python source of an assignment.

    Raises:
        AuthorError: it is not Python; says file:line
    """
    try:
        return tree_of(text)
    except SyntaxError as error:
        raise AuthorError(f"{where}:{error.lineno or 1}: not Python ({error.msg}); correct that line") from None
    except ValueError as error:
        raise AuthorError(f"{where}:1: not Python ({error}); save it as plain UTF-8 text") from None


def task_of_mark(mark: ast.expr) -> str:
    """Return the task of a decorator @pytest.mark.task("..."); '' for any other decorator."""
    if isinstance(mark, ast.Call) and mark.args and isinstance(mark.args[0], ast.Constant):
        return str(mark.args[0].value) if ast.unparse(mark.func).endswith("mark.task") else ""
    return ""


def takes_long(source: bytes) -> bool:
    """Whether Python might take too long to read a text; then a person has to read it.

    In an unusual encoding, even decoding may take long (punycode), or a letter may mean another one (utf-7).
    """
    return not _USUAL.fullmatch(encoding_of(source)) or source.count(b"{") * len(source) > BRACES_TIMES_BYTES


def text_of(source: bytes) -> str:
    """Return a module's text as Python reads it, if it is written in one of the usual encodings."""
    encoding = encoding_of(source)
    return source.decode(encoding if _USUAL.fullmatch(encoding) else "utf-8", "replace")


#: what to say about a module that is_utf16
NOT_UTF8 = "is saved as UTF-16, which Python cannot read: save it as UTF-8 in your editor."


def is_utf16(source: bytes) -> bool:
    """Whether an editor, or `>` in Windows PowerShell, has saved a text as UTF-16, with its mark or without."""
    return source.startswith((b"\xff\xfe", b"\xfe\xff")) or (len(source) > 3 and 0 in source[:2] and any(source[:2]))


def encoding_of(source: bytes) -> str:
    """Return the encoding that a module's text names; "utf-8" if it names none that Python knows."""
    try:
        encoding = tokenize.detect_encoding(io.BytesIO(source).readline)[0]
        "".encode(encoding)  # some of the names that it accepts are not encodings of texts
        return encoding
    except (SyntaxError, LookupError, ValueError):
        return "utf-8"
