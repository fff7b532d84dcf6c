"""Turn the text of a worked solution into the stub that a student starts from. Pure: text in, text out.

A marked block is the code between the two markers. Each marker is alone on its line and indented like the code:

    ### BEGIN SOLUTION
    ### END SOLUTION

In the body of a function it becomes `raise NotImplementedError("name: not started")`; at module level or in
a class body it becomes `NAME = None` for each name that it assigns. Everything else stays exactly the same. A line that
resembles a marker but is none is an error, because a misspelt marker would otherwise give an answer to students.
"""

from __future__ import annotations

import difflib
import io
import itertools
import re
import tokenize
from pathlib import Path

from autograder.block import Block, stand_in
from autograder.errors import AuthorError
from autograder.sandbox.both.bundle import bundled_texts, parted_text
from autograder.syntax import parse
from autograder.topic import Topic

BEGIN = "### BEGIN SOLUTION"
END = "### END SOLUTION"

_CURE = f"write exactly {BEGIN!r} or {END!r}, alone on its line"
_LOUD = re.compile(r"\b(BEGIN|END)[ \t_-]*(SOLUTION|ANSWER|HIDDEN|MARK[ \t_-]*SCHEME)")
_FENCES = ("begin", "end")
_SECRETS = ("solution", "answer", "hidden")
_FUSED = tuple(fence + secret for fence in _FENCES for secret in _SECRETS)
_LAYOUT = {getattr(tokenize, name) for name in ("NL", "NEWLINE", "INDENT", "DEDENT", "COMMENT", "ENDMARKER")}


def to_stub(text: str, where: str, also: tuple[str, ...] = ()) -> str:
    """Return the stub of a solution.

    Args:
        text: the solution's source, or the bundle of its modules
        where: the path of its main module, for messages
        also: the names of its further modules

    Raises:
        AuthorError: the source is not Python, or its markers break a rule; says file:line and what to do
    """
    path = Path(where)
    modules = parted_text(_plain_newlines(text), (path.stem, *also))
    stubs = {name: _to_stub(source, str(path.with_name(f"{name}.py"))) for name, source in modules.items()}
    return bundled_texts(stubs)


def stub_of(topic: Topic) -> str:
    """Return the stub that students get of an assignment, as a bundle of its modules. Raises: as `to_stub`."""
    return to_stub(topic.solution, str(topic.solution_path), topic.also)


def _to_stub(text: str, where: str) -> str:
    """Return the stub of one module."""
    tree = parse(text, where)
    blocks = _blocks(text, where)
    if not blocks:
        raise AuthorError(f"{where}:1: no solution is marked; put {BEGIN!r} and {END!r} around each answer")
    lines = text.split("\n")
    for block in reversed(blocks):
        lines_instead = stand_in(tree, block, blocks, where)
        after = block.end
        if not lines_instead:  # helpers that disappear leave no gap
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


def solution_lines(text: str, where: str, also: tuple[str, ...] = ()) -> tuple[tuple[int, str], ...]:
    """Return each line between markers with its number in the text. These lines must never reach a student.

    Args:
        text, where, also: as for `to_stub`
    """
    found: list[tuple[int, str]] = []
    path, above = Path(where), 0
    for name, source in parted_text(_plain_newlines(text), (path.stem, *also)).items():
        lines = source.split("\n")
        for block in _blocks(source, str(path.with_name(f"{name}.py"))):
            inside = range(block.begin + 1, block.end)
            found += [(above + number, lines[number - 1]) for number in inside if lines[number - 1].strip()]
        above += len(lines) + 1  # plus the line that begins the next module
    return tuple(found)


def refuse_markers(text: str, where: str) -> None:
    """Refuse a marker in a file that students get unchanged: nothing would remove the answer between markers.

    Raises:
        AuthorError: the text holds a marker of ours or of nbgrader's
    """
    for number, line in enumerate(text.split("\n"), start=1):
        if _LOUD.search(line):
            raise AuthorError(
                f"{where}:{number}: {line.strip()!r} holds a solution marker, but this file is handed out "
                "as it is; move the answer into the module"
            )


def _plain_newlines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _blocks(text: str, where: str) -> tuple[Block, ...]:
    """Find the marked blocks, and refuse every line that resembles a marker but is none."""
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
        raise AuthorError(f"{where}:{line}: {found[0]!r} is in a text, where it marks nothing; reword it")


def _resembles(comment: str) -> bool:
    """Whether a comment was probably meant as a marker: any case, any number of #, misspelt, in the wrong order."""
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
