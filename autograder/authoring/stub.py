"""Turn the text of a worked solution into the stub that a student starts from. Pure: text in, text out.

A marked block is what stands between the two markers, each alone on its line and indented as the code:

    ### BEGIN SOLUTION
    ### END SOLUTION

In the body of a function it becomes `raise NotImplementedError("name: not started")`; at module level or in
a class body it becomes `NAME = None` for each name that it assigns. Everything else is kept to the letter.
Whatever resembles a marker and is none is an error, for a marker that goes unseen would hand out an answer.
"""

from __future__ import annotations

import ast
import difflib
import io
import itertools
import re
import tokenize

from autograder.authoring.block import Block, stand_in
from autograder.errors import AuthorError

BEGIN = "### BEGIN SOLUTION"
END = "### END SOLUTION"

_CURE = f"write exactly {BEGIN!r} or {END!r}, alone on its line"
_LOUD = re.compile(r"\b(BEGIN|END)[ \t_-]*(SOLUTION|ANSWER|HIDDEN|MARK[ \t_-]*SCHEME)")
_FENCES = ("begin", "end")
_SECRETS = ("solution", "answer", "hidden")
_FUSED = tuple(fence + secret for fence in _FENCES for secret in _SECRETS)
_LAYOUT = {getattr(tokenize, name) for name in ("NL", "NEWLINE", "INDENT", "DEDENT", "COMMENT", "ENDMARKER")}


def to_stub(text: str, where: str) -> str:
    """Return the stub of a solution.

    Args:
        text: the solution's source
        where: its path, for messages

    Raises:
        AuthorError: the source is not Python, or its markers break a rule; says file:line and the cure
    """
    text = _plain_newlines(text)
    tree = parse(text, where)
    blocks = _blocks(text, where)
    if not blocks:
        raise AuthorError(f"{where}:1: no solution is marked; put {BEGIN!r} and {END!r} around each answer")
    lines = text.split("\n")
    for block in reversed(blocks):
        lines_instead = stand_in(tree, block, blocks, where)
        after = block.end
        if not lines_instead:  # helpers that vanish leave no gap
            while after < len(lines) and not lines[after].strip():
                after += 1
        lines[block.begin - 1 : after] = lines_instead
    stub = "\n".join(lines)
    try:
        compile(stub, where, "exec", dont_inherit=True)
    except SyntaxError as error:
        raise AuthorError(
            f"{where}:{blocks[0].begin}: what is left of the file does not compile ({error.msg}, "
            f"line {error.lineno} of the stub); let each block hold whole statements"
        ) from None
    return stub


def solution_lines(text: str, where: str) -> tuple[tuple[int, str], ...]:
    """Return each line between markers with its number: what must never reach a student."""
    text = _plain_newlines(text)
    lines = text.split("\n")
    return tuple(
        (number, lines[number - 1])
        for block in _blocks(text, where)
        for number in range(block.begin + 1, block.end)
        if lines[number - 1].strip()
    )


def refuse_markers(text: str, where: str) -> None:
    """Refuse a marker in a file that students get as it is: nothing would strip what it fences.

    Raises:
        AuthorError: the text holds a marker of ours or of nbgrader's
    """
    for number, line in enumerate(text.split("\n"), start=1):
        if _LOUD.search(line):
            raise AuthorError(
                f"{where}:{number}: {line.strip()!r} holds a solution marker, but this file is handed out "
                "as it is; move the answer into the module"
            )


def parse(text: str, where: str) -> ast.Module:
    """Parse Python source of an assignment.

    Raises:
        AuthorError: it is not Python; says file:line
    """
    try:
        return ast.parse(text)
    except SyntaxError as error:
        raise AuthorError(f"{where}:{error.lineno or 1}: not Python ({error.msg}); mend that line") from None
    except ValueError as error:
        raise AuthorError(f"{where}:1: not Python ({error}); save it as plain UTF-8 text") from None


def _plain_newlines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _blocks(text: str, where: str) -> tuple[Block, ...]:
    """Find the marked blocks, refusing all that resembles a marker."""
    blocks: list[Block] = []
    opened: tokenize.TokenInfo | None = None
    previous = tokenize.NEWLINE
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        line, column = token.start
        if token.type != tokenize.COMMENT:
            _refuse_in_string(token, where)
            starts_line = previous in _LAYOUT and token.type not in _LAYOUT
            if opened and starts_line and column < opened.start[1]:
                raise AuthorError(
                    f"{where}:{line}: this line is indented less than the BEGIN of line {opened.start[0]}; "
                    f"close the block with {END!r} before it"
                )
        elif token.string == BEGIN and not token.line[:column].strip():
            if opened:
                raise AuthorError(
                    f"{where}:{line}: BEGIN inside the block begun on line {opened.start[0]}; "
                    f"close that one with {END!r} first"
                )
            opened = token
        elif token.string == END and not token.line[:column].strip():
            if not opened:
                raise AuthorError(f"{where}:{line}: END without BEGIN; add {BEGIN!r} above it")
            if column != opened.start[1]:
                raise AuthorError(
                    f"{where}:{line}: END is indented by {column}, its BEGIN on line {opened.start[0]} by "
                    f"{opened.start[1]}; indent both as the code between them"
                )
            blocks.append(Block(opened.start[0], line, column))
            opened = None
        elif _resembles(token.string):
            raise AuthorError(f"{where}:{line}: {token.string!r} resembles a marker and is none; {_CURE}")
        previous = token.type
    if opened:
        raise AuthorError(f"{where}:{opened.start[0]}: BEGIN without END; add {END!r} below the answer")
    return tuple(blocks)


def _refuse_in_string(token: tokenize.TokenInfo, where: str) -> None:
    found = _LOUD.search(token.string)
    if found:
        line = token.start[0] + token.string.count("\n", 0, found.start())
        raise AuthorError(f"{where}:{line}: {found[0]!r} stands in a text, where it marks nothing; reword it")


def _resembles(comment: str) -> bool:
    """Say whether a comment was probably meant as a marker: any case, any #, misspelt, turned round."""
    if _LOUD.search(comment):
        return True
    words = re.findall(r"[a-z]+", comment.lower())
    if len(words) == 1:
        return _near(words[0], ("solution",)) or _near(words[0], _FUSED, 0.9)
    pairs = list(itertools.pairwise(words))
    return (
        any(_near(a, _FENCES) and _near(b, _SECRETS) for a, b in pairs)
        or any(b in _FENCES and _near(a, _SECRETS) for a, b in pairs)
        or any(_near(word, _FUSED, 0.9) for word in words)
    )


def _near(word: str, meant: tuple[str, ...], ratio: float = 0.8) -> bool:
    return any(difflib.SequenceMatcher(None, word, target).ratio() >= ratio for target in meant)
