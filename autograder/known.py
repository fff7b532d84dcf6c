"""Known: what `autograder verify` found out about an assignment, kept in its known.json.

    {"seeds": 3,
     "tests": ["test_a", "test_b[3]", ...],       the number of a test below is its place in this list
     "slow": [7],                                 tests that train something: under one seed only
     "cheap": [1],                                tests that code without any right answer passes
     "files": "6f1c",                             the digest of the suite and the solution with which this was found
     "changes": {"7": ["step:0"]},                the arguments that the solution changes in a test, if there are any
     "mistakes": [["softmax", "the axis is ignored", "0:Xy3k 1 5:a9Zq/2"], ...]}

The third text of a mistake lists the tests that it fails. Each entry is the number of a test. If the test's message is
the same under every seed, its digest follows after a colon. If the test does not fail under all seeds, the number of
seeds under which it fails follows after a slash. No person edits this file. Without the file no mistake is known, and
no test is cheap.

A line "verified" at the top says which state was last verified in full (see authoring/verified.py). No mark depends on
it.

This file is long because what is written and how it is read stand side by side.
"""

from __future__ import annotations

import hashlib
import json
import re
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autograder.faults import KNOWN_ERRORS
from autograder.replacements import Mistake
from autograder.topic import Topic

_NUMBER = re.compile(r"(?<![A-Za-z_])[-+]?(?:\d+(?:\.\d+)?|\.\d+)(?:e[-+]?\d+)?|\b(?:inf|nan)\b")
#: the place where an error was raised, in the words of faults.py
_PLACE = re.compile(r" \(line \d+ of \w+\.py(?:: `[^`]*`)?\)")
#: sentences that hold a text or a name of the student, and what is kept of them
_OWN_WORDS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"^\S+ raised (\w+)(?:[:.].*)?$", re.DOTALL), r"raised \1"),
    (re.compile(r"^The test ended with (\w+)(?:[:.].*)?$", re.DOTALL), r"the test: \1"),
    (re.compile(r"^The test could not go on with what your code gave it: (\w+)(?:[:.].*)?$", re.DOTALL),
     r"the test: \1"),
    (re.compile(r"^The test got None and cannot go on with it.*", re.DOTALL), "the test: None"),
    (re.compile(r"^\S+ has no attribute ('\w+'), which the test asks for.*", re.DOTALL), r"no attribute \1"),
    (re.compile(r"^(?:\S+: )?\S+ (calls itself without end|ended the program|used more memory|wrote more to files|"
                r"started more threads).*", re.DOTALL), r"\1"),
    (re.compile(r"(: wrong kind of error\. Got \w+) \(.*?\), expected", re.DOTALL), r"\1, expected"),
    (re.compile(r"(: wrong text in the error\. Got) '.*?', expected ('.*?' in it)", re.DOTALL),
     r"\1 another, expected \2"),
)  # fmt: skip
_ERROR = re.compile(r"^(raised|the test:) (\w+)$|(wrong kind of error\. Got )(\w+)")
_ENTRY = re.compile(r"(\d+)(?::([\w-]+))?(?:/(\d+))?")


@dataclass(frozen=True)
class Sign:
    """How one test fails because of a mistake."""

    share: float = 1.0  #: the share of seeds under which the test fails
    words: str = ""  #: the digest of its message; "" if that is not known or not always the same


@dataclass(frozen=True)
class Signature:
    """The tests that a known mistake fails."""

    mistake: Mistake
    signs: Mapping[str, Sign]

    @property
    def always(self) -> frozenset[str]:
        """The tests that it fails under every seed."""
        return frozenset(test for test, sign in self.signs.items() if sign.share == 1)


@dataclass(frozen=True)
class Known:
    """The contents of known.json."""

    entries: tuple[Signature, ...] = ()
    cheap: frozenset[str] = frozenset()
    slow: frozenset[str] = frozenset()
    seeds: int = 0
    tests: tuple[str, ...] = ()
    #: for each test the arguments that the solution changes; None if the suite or the solution was edited since
    changes: Mapping[str, tuple[str, ...]] | None = None

    @property
    def failing(self) -> tuple[tuple[Mistake, frozenset[str]], ...]:
        """Each mistake, and the tests that it always fails."""
        return tuple((entry.mistake, entry.always) for entry in self.entries)


def gist(sentence: str) -> str:
    """Return what a test says, without the student's own words: names of helpers, texts of errors, lines of code."""
    said = _PLACE.sub("", sentence)
    for pattern, kept in _OWN_WORDS:
        said = pattern.sub(kept, said)
    return _ERROR.sub(_known_error, said)


def words_of(sentence: str) -> str:
    """Return the digest of a sentence's gist, without numbers. 24 bits suffice for the few hundred of a task."""
    said = _NUMBER.sub("#", gist(sentence)).encode("utf-8", "surrogateescape")
    return urlsafe_b64encode(hashlib.sha256(said).digest()[:3]).decode()


def numbers_of(text: str) -> list[str]:
    """Return the numbers in a text, as they are written."""
    return _NUMBER.findall(text)


def sign(sentences: Sequence[str], seeds: int) -> Sign:
    """Return the sign of a test that gave these sentences under some of the seeds."""
    words = {words_of(sentence) for sentence in sentences}
    return Sign(len(sentences) / seeds, words.pop() if len(words) == 1 else "")


def read_known(topic: Topic) -> Known:
    """Read a topic's known.json; nothing is known if it is missing or cannot be read."""
    try:
        kept = json.loads(topic.known_path.read_text(encoding="utf-8"))
        tests, seeds = [str(test) for test in kept["tests"]], int(kept["seeds"])
        signs = {(task, name): _signs(text, tests, seeds) for task, name, text in kept["mistakes"]}
        cheap, slow = (frozenset(tests[number] for number in kept[key]) for key in ("cheap", "slow"))
    except (OSError, ValueError, TypeError, KeyError, IndexError, ZeroDivisionError):
        return Known()
    entries = tuple(
        Signature(mistake, signs[mistake.task, mistake.name])
        for mistake in topic.mistakes
        if (mistake.task, mistake.name) in signs
    )
    return Known(entries, cheap, slow, seeds, tuple(tests), _changes(topic, kept, tests))


def files_of(topic: Topic) -> str:
    """Name the state of an assignment's own files: its suite, solution and given files."""
    digest = hashlib.sha256()
    for path in topic.own_files:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _changes(topic: Topic, kept: dict[str, Any], tests: Sequence[str]) -> dict[str, tuple[str, ...]] | None:
    try:
        if kept["files"] != files_of(topic):
            return None
        return {tests[int(number)]: tuple(map(str, of)) for number, of in kept["changes"].items()}
    except (OSError, ValueError, TypeError, LookupError, AttributeError):
        return None


def cheap_tests(topic: Topic) -> frozenset[str]:
    """Return the tests that code without any right answer passes, without reading mistakes.toml."""
    try:
        kept = json.loads(topic.known_path.read_text(encoding="utf-8"))
        return frozenset(kept["tests"][number] for number in kept["cheap"])
    except (OSError, ValueError, TypeError, KeyError, IndexError):
        return frozenset()


def known_of_task(topic: Topic) -> dict[str, list[str]]:
    """Return for each task the texts on which its hints depend, without reading mistakes.toml."""
    try:
        kept = json.loads(topic.known_path.read_text(encoding="utf-8"))
        found: dict[str, list[str]] = {}
        for task, name, text in kept["mistakes"]:
            signs = {kept["tests"][int(number)]: rest for number, *rest in _ENTRY.findall(text)}
            found.setdefault(task, []).append(json.dumps([name, signs], sort_keys=True))
        return found
    except (OSError, ValueError, TypeError, KeyError, IndexError):
        return {}


def said(topic: Topic) -> bytes:
    """Return the bytes of known.json on which a mark may depend; nothing if the file is missing."""
    try:
        return without_line("verified", topic.known_path.read_bytes())
    except OSError:
        return b""


def with_line(key: str, value: object, known: bytes) -> bytes:
    """Return known.json with a line at its top; an old line with the same key is replaced."""
    head, rest = without_line(key, known).split(b"\n", 1)
    return head + f"\n {json.dumps(key)}: {json.dumps(value)},\n".encode() + rest


def without_line(key: str, known: bytes) -> bytes:
    """Return known.json without the line with that key at its top."""
    return re.sub(rb"^ " + json.dumps(key).encode() + rb": .*,\n", b"", known, count=1, flags=re.MULTILINE)


def write_known(
    entries: Iterable[Signature],
    *,
    tests: Sequence[str],
    cheap: Iterable[str],
    slow: Iterable[str],
    seeds: int,
    files: str,
    changes: Mapping[str, Iterable[str]],
) -> bytes:
    """Return known.json.

    Args:
        entries: the known mistakes, and the tests that they fail
        tests: all tests of the suite, in its order; other tests that entries name are added
        cheap: the tests that code without a right answer passes
        slow: the tests that were run under one seed only
        seeds: the number of seeds under which all others were run
        files: the state of the assignment's own files (`files_of`)
        changes: for each test the arguments that the solution changes
    """
    entries = tuple(entries)
    listed = tuple(dict.fromkeys([*tests, *(test for entry in entries for test in entry.signs), *cheap, *slow]))
    numbers = {test: number for number, test in enumerate(listed)}
    lines = [
        json.dumps([entry.mistake.task, entry.mistake.name, _text(entry, numbers, seeds)], ensure_ascii=False)
        for entry in entries
    ]
    head = {
        "seeds": seeds,
        "tests": listed,
        "slow": sorted(numbers[test] for test in slow),
        "cheap": sorted(numbers[test] for test in cheap),
        "files": files,
        "changes": {str(numbers[test]): sorted(of) for test in listed if (of := changes.get(test))},
    }
    parts = [f" {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in head.items()]
    mistakes = ",\n".join(f"  {line}" for line in lines)
    return ("{\n" + ",\n".join(parts) + f',\n "mistakes": [\n{mistakes}\n ]\n}}\n').encode()


def _text(entry: Signature, numbers: Mapping[str, int], seeds: int) -> str:
    words = []
    for test, of in sorted(entry.signs.items(), key=lambda pair: numbers[pair[0]]):
        often = "" if of.share == 1 else f"/{max(round(of.share * seeds), 1)}"
        words.append(f"{numbers[test]}{f':{of.words}' if of.words else ''}{often}")
    return " ".join(words)


def _signs(text: str, tests: Sequence[str], seeds: int) -> dict[str, Sign]:
    found = (_ENTRY.fullmatch(word) for word in text.split())
    return {
        tests[int(match[1])]: Sign(int(match[3]) / seeds if match[3] else 1.0, match[2] or "")
        for match in found
        if match
    }


def _known_error(found: re.Match[str]) -> str:
    before, name = (found[1], found[2]) if found[1] else (found[3].rstrip(), found[4])
    return f"{before} {name if name in (*KNOWN_ERRORS, 'None') else 'an error'}"
