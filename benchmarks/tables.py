"""Tables: write what was measured into a page of docs/, between the two marks of its place."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from autograder.files import write_atomically

DOCS = Path(__file__).parent.parent / "docs"


def write_table(page: str, name: str, lines: Iterable[str]) -> None:
    """Replace the text between `<!-- name -->` and `<!-- end of name -->`.

    Raises:
        ValueError: the page has no such place, or several
    """
    path, first, last = DOCS / page, f"<!-- {name} -->", f"<!-- end of {name} -->"
    place = re.compile(f"{re.escape(first)}.*?{re.escape(last)}", re.DOTALL)
    text = "\n".join([first, "", *lines, "", last])
    whole, count = place.subn(lambda _: text, path.read_text(encoding="utf-8"))
    if count != 1:
        raise ValueError(f"{path}: {first} ... {last} is there {count} times; it has to be there once")
    write_atomically(path, whole.encode())
