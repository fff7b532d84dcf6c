"""CONTRIBUTING.md: the walk through a new assignment works as it is written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from autograder.build import build, render, stale
from autograder.course import Course
from autograder.leak import leaks
from autograder.new import new

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(language):
    return [body for kind, body in FENCE.findall(PAGE) if kind == language]


def listed(heading):
    """Return the names that a listing of the page gives for a folder."""
    page = "\n".join(blocks("text"))
    named = set(re.findall(r"(?:autograder|tests)/[\w/]+\.py", page))
    named |= {f"autograder/{path}" for path in re.findall(r"(?<![\w/])sandbox/\w+\.py", page)}

    assert len(named) > 30
    assert [path for path in sorted(named) if not (ROOT / path).is_file()] == []
