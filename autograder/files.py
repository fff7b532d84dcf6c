"""Files that are written in one step: a reader finds the old content or the new one, never half of it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

#: modes: of files that everybody may read, and of files for the teacher's group
PUBLIC, TEACHERS = 0o644, 0o640


def write_atomically(path: Path, content: bytes, *, mode: int = PUBLIC) -> None:
    """Write a file in one step.

    Raises:
        OSError: it cannot be written; the old file is still there
    """
    temporary = written_beside(path, content, mode=mode)
    try:
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def written_beside(path: Path, content: bytes, *, mode: int = PUBLIC) -> Path:
    """Write a new file in the folder of `path`, ready to be moved or linked to that name."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
        temporary.chmod(mode)
    except BaseException:
        temporary.unlink()
        raise
    return temporary
