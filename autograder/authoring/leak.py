"""Search the files that students can get for secrets: answers, hidden tests, known mistakes, forgotten markers.

`build` copies nothing that it does not name. This search checks the result a second time, in text files, notebooks,
feedback pages and archives. It does not depend on how they were made.
"""

from __future__ import annotations

import ast
import builtins
import html
import io
import keyword
import re
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from autograder.stub import solution_lines, stub_of
from autograder.syntax import parse
from autograder.topic import Topic

SHORTEST = 12  #: a shorter line, such as `return x`, tells nothing
#: a shorter text may be in both by chance: a line of Python, such as `raise ValueError(`, in the engine and in a
#: solution; the end of a sentence, such as "that use it.", in a test's docstring and in any text
SHORTEST_SHARED = 32

#: words that belong to no program: a line of nothing else, such as `except (OSError, KeyError):`, tells nothing
_WORDS_OF_PYTHON = {*dir(builtins), *keyword.kwlist}

_MARKER = re.compile(r"(?:BEGIN|END) (?:SOLUTION|HIDDEN TESTS|MARK SCHEME)")
_JSON_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))")
_TAG = re.compile(r"<[^<>]*>")


@dataclass(frozen=True)
class Leak:
    """A secret in a file that students can read."""

    path: Path  #: the file; within an archive, the archive's path and the member's
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.what}"


@dataclass(frozen=True)
class Secret:
    """A line that must not leave assignments/."""

    text: str
    what: str
    is_code: bool = False  #: a line of Python that other Python may hold by chance
    is_name: bool = False  #: a name: found as a whole word only


def leaks(topic: Topic, paths: Iterable[Path]) -> list[Leak]:
    """Search files, and folders with all that is in them, for the secrets of a topic.

    Args:
        topic: the assignment with the secrets
        paths: what to search: source/, release/, a notebook, feedback, a zip, tar or wheel
    """
    wanted = secrets(topic)
    found: list[Leak] = []
    for path in paths:
        files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
        for file in files:
            for inner, text in _open(file, file.read_bytes()):
                found += _search(topic, inner, text, wanted, is_wheel=file.suffix == ".whl")
    return found


def secrets(topic: Topic) -> tuple[Secret, ...]:
    """Return each secret line of a topic that is not also in its stub, public tests or lesson."""
    solution = topic.solution
    public = [
        stub_of(topic),
        topic.public_tests_path.read_text(encoding="utf-8"),
        topic.lesson_path.read_text(encoding="utf-8"),
    ]
    found: dict[str, Secret] = {}
    for secret in (*_answers(topic, solution), *_hidden_tests(topic), *_mistakes(topic)):
        is_import = secret.is_code and re.match(r"(from [\w.]+ )?import ", secret.text)  # tells nothing
        if len(secret.text) >= SHORTEST and not is_import and not any(_find(secret, text) for text in public):
            found.setdefault(secret.text, secret)
    return tuple(found.values())


def _answers(topic: Topic, solution: str) -> Iterator[Secret]:
    for _, line in solution_lines(solution, str(topic.solution_path), topic.also):
        yield Secret(line.strip(), f"a line of the solution, {line.strip()!r}", is_code=True)
    for alternative in topic.alternatives:
        for line in alternative.replace.split("\n"):
            yield Secret(line.strip(), f"a line of another solution, {line.strip()!r}", is_code=True)


def _hidden_tests(topic: Topic) -> Iterator[Secret]:
    path = topic.hidden_tests_path
    text = path.read_text(encoding="utf-8")
    for node in parse(text, str(path)).body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test"):
            yield Secret(node.name, f"the name of the hidden test {node.name}", is_name=True)
            for number, line in enumerate((ast.get_docstring(node) or "").split("\n")):
                if number == 0 or len(line.strip()) >= SHORTEST_SHARED:
                    yield Secret(line.strip(), f"the docstring of the hidden test {node.name}")
    for line in text.split("\n"):
        if not line.startswith(("import ", "from ", "@pytest")):
            yield Secret(line.strip(), f"a line of the hidden tests, {line.strip()!r}", is_code=True)


def _mistakes(topic: Topic) -> Iterator[Secret]:
    for mistake in topic.mistakes:
        yield Secret(mistake.name, f"the name of a known mistake, {mistake.name!r}")
        for line in mistake.find.split("\n"):
            yield Secret(line.strip(), f"a line of the solution, {line.strip()!r}", is_code=True)


def _search(topic: Topic, path: Path, text: str, wanted: tuple[Secret, ...], *, is_wheel: bool) -> Iterator[Leak]:
    if path.name in (
        topic.hidden_tests_path.name,
        topic.mistakes_path.name,
        topic.known_path.name,
    ):
        yield Leak(path, 1, f"a file named {path.name}, which never leaves assignments/")
    for secret in wanted:
        if is_wheel and secret.is_code and _is_by_chance(secret.text):
            continue
        at = _find(secret, text)
        if at:
            yield Leak(path, text.count("\n", 0, at.start()) + 1, secret.what)
    if not is_wheel:  # a wheel holds stub.py, which names the markers
        for at in _MARKER.finditer(text):
            yield Leak(path, text.count("\n", 0, at.start()) + 1, f"a marker, {at[0]!r}")


def _is_by_chance(line: str) -> bool:
    """Tell whether a line of Python may be in the engine and in an answer without any link between them."""
    return len(line) < SHORTEST_SHARED or set(re.findall(r"[^\W\d]\w*", line)) <= _WORDS_OF_PYTHON


def _find(secret: Secret, text: str) -> re.Match[str] | None:
    if secret.text not in text:  # the most common case, and much faster than a pattern
        return None
    pattern = re.escape(secret.text)
    return re.search(rf"\b{pattern}\b" if secret.is_name else pattern, text)


def _open(path: Path, content: bytes) -> Iterator[tuple[Path, str]]:
    """Yield what a reader of the file can read: an archive's members, a notebook's cells as they show."""
    if zipfile.is_zipfile(io.BytesIO(content)):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for name in archive.namelist():
                yield from _open(path / name, archive.read(name))
        return
    if path.name.endswith((".tar", ".tar.gz", ".tgz")):
        with tarfile.open(fileobj=io.BytesIO(content)) as archive_:
            for member in archive_.getmembers():
                file = archive_.extractfile(member)
                if file:
                    yield from _open(path / member.name, file.read())
        return
    text = content.decode("utf-8", errors="replace").replace("\r\n", "\n")
    if path.suffix == ".ipynb":
        text = _JSON_ESCAPE.sub(_unescape, text)
    elif path.suffix in (".html", ".htm"):
        # Once with the tags, which may hold text, and once without: code is coloured word by word.
        yield path, html.unescape(text)
        text = html.unescape(_TAG.sub(lambda tag: "\n" * tag[0].count("\n"), text))
    yield path, text


def _unescape(escape: re.Match[str]) -> str:
    """Decode one escape of JSON, keeping the file's lines: an escaped line break becomes a blank."""
    if escape[1]:
        return chr(int(escape[1], 16))
    return {"n": " ", "t": "\t", "r": " "}.get(escape[2], escape[2])
