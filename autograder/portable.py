"""Portable: what works on a student's machine and not where it is graded, as far as a module's text tells. Pure."""

from __future__ import annotations

import ast
import io
import sys
import tokenize
import warnings
from collections.abc import Iterator

OLDEST = (3, 11)  #: the oldest Python that may grade: `requires-python` in pyproject.toml
_STRING_BEGINS, _STRING_ENDS = (getattr(tokenize, f"FSTRING_{word}", -1) for word in ("START", "END"))  # from 3.12 on

_NO_GPU = (
    "asks for a GPU, and the grader has none: write device = 'cuda' if torch.cuda.is_available() else 'cpu', and "
    ".to(device)."
)
_NO_COMPILER = "uses torch.compile, which needs a compiler, and the grader has none: leave it out."
_NOBODY = "waits for a person, and nobody is there when it is graded: remove it."
_NO_WORKERS = "starts other processes to load data, which the grader does not allow: write num_workers=0."


def newer_syntax(text: str) -> Iterator[str]:
    """Say which line of a valid module the oldest Python that may grade cannot read: "7 ..."."""
    if sys.version_info[:2] <= OLDEST:
        return
    version = ".".join(map(str, OLDEST))
    rest = f"needs a newer Python than {version}, and the grader may have {version}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(text, feature_version=OLDEST)
    except SyntaxError as error:
        yield f"{error.lineno} {rest}: {str(error.msg)[:1].lower()}{str(error.msg)[1:]}."
        return
    if line := _newer_string(text):
        yield f"{line} {rest}: inside the braces of an f-string, use other quotes, no backslash and no comment."


def _newer_string(text: str) -> int:
    """The line of the first f-string that only Python 3.12 and newer can read; 0 if there is none."""
    quotes: list[str] = []
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            inside = quotes and token.type in (tokenize.STRING, _STRING_BEGINS, tokenize.COMMENT)
            if inside and (token.type == tokenize.COMMENT or _quote(token.string) in quotes or "\\" in token.string):
                return token.start[0]
            if token.type == _STRING_BEGINS:
                quotes.append(_quote(token.string))
            elif token.type == _STRING_ENDS:
                quotes.pop()
    except (tokenize.TokenError, SyntaxError):
        return 0
    return 0


def _quote(string: str) -> str:
    """The quotes with which a text begins: ', three of them, or the same of the other kind."""
    bare = string.lstrip("rRbBfFuUtT")
    return bare[:3] if bare[:3] in ("'''", '"""') else bare[:1]


def habits(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Give each line that asks for what the grader does not have, and a sentence about it.

    What stands in an `if` is left out: it may ask first whether it is there.
    """
    found: dict[tuple[int, str], None] = {}
    for node in _unconditional(tree):
        if said := _asks_for(node):
            found.setdefault((getattr(node, "lineno", 0), said), None)
    yield from found


def _unconditional(node: ast.AST) -> Iterator[ast.AST]:
    pending = [node]
    while pending:
        node = pending.pop(0)
        if isinstance(node, ast.If | ast.IfExp | ast.Try):
            continue
        yield node
        pending += ast.iter_child_nodes(node)


def _asks_for(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute) and ast.unparse(node) == "torch.compile":
        return _NO_COMPILER
    if not isinstance(node, ast.Call):
        return ""
    called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    if called in ("breakpoint", "input", "set_trace") and (called == "set_trace" or isinstance(node.func, ast.Name)):
        return _NOBODY
    keywords = {word.arg: word.value for word in node.keywords}
    workers = keywords.get("num_workers")
    if called == "DataLoader" and isinstance(workers, ast.Constant) and workers.value:
        return _NO_WORKERS
    values = [value.value for value in (*node.args, *keywords.values()) if isinstance(value, ast.Constant)]
    devices = [value for value in values if isinstance(value, str) and value.partition(":")[0] in ("cuda", "mps")]
    is_device = called in ("to", "device") or "device" in keywords
    if (called == "cuda" and isinstance(node.func, ast.Attribute)) or (is_device and devices):
        return _NO_GPU
    return ""
