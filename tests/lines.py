"""Lines: count the lines of the repository that people write, and those that commands write.

    cd tests && python -m lines [COMMIT]

Prints a table of the files of the working tree, or of a commit: a row for each folder, its files and its lines.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parent.parent
#: folders that commands write: build and release
GENERATED = ("source", "release")
TEXT = {".py", ".md", ".toml", ".json", ".ipynb", ".html", ".sh", ".yml", ".css", ".js", ".tcl", ".txt", ""}


def part_of(path: PurePosixPath) -> str:
    """Return the row in which a file is counted."""
    first = path.parts[0]
    if first in GENERATED or path.name in ("known.json", "signatures.json", "faults.json"):
        return "generated: source, release, known.json"
    if first == "autograder":
        return f"autograder/{path.parts[1]}" if len(path.parts) > 2 else "autograder, beside the rooms"
    return first if len(path.parts) > 1 else "top level"


def table(commit: str = "") -> list[tuple[str, int, int]]:
    """Return (row, files, lines) for a commit, or for the working tree if `commit` is ''."""
    listed = ["git", "ls-tree", "-r", "--name-only", commit] if commit else ["git", "ls-files"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    files: Counter[str] = Counter()
    lines: Counter[str] = Counter()
    for name in names:
        path = PurePosixPath(name)
        if path.suffix not in TEXT:
            continue
        if commit:
            shown = ["git", "show", f"{commit}:{name}"]
            content = subprocess.run(shown, cwd=ROOT, capture_output=True, check=True).stdout
        else:
            content = (ROOT / name).read_bytes()
        files[part_of(path)] += 1
        lines[part_of(path)] += content.count(b"\n")
    return sorted((row, files[row], lines[row]) for row in files)


def main() -> None:
    found = table(sys.argv[1] if sys.argv[1:] else "")
    found.append(("all", sum(files for _, files, _ in found), sum(lines for *_, lines in found)))
    for row, files, lines in found:
        print(f"{row:<42}{files:>6}{lines:>9}")


if __name__ == "__main__":
    main()
