"""Memory: what the last whole run of a folder's public tests found, so that `autograder status` need not run them.

Each folder has one file in the user's cache. It holds the trials and the state of all on which they depend: the files
in the folder, this package, the packages that the module may import, and Python. It may be deleted at any time. If it
cannot be read or written, the tests are run.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from autograder.files import write_atomically
from autograder.student.card import packages_of, read_card
from autograder.student.trial import Trial

_OURS = Path(__file__).parents[1]


def state_of(folder: Path) -> str:
    """Name the state of all on which a run of the public tests in `folder` depends.

    A file counts by its name, size and time. Notebooks and hidden files do not count, because no test reads them.
    """
    digest = hashlib.sha256(sys.version.encode())
    packages = ("pytest", *packages_of(read_card(folder)))
    found = [*_files(folder), *_OURS.rglob("*.py"), *filter(None, map(_origin, packages))]
    for path in sorted(set(found)):
        with suppress(OSError):
            seen = path.stat()
            digest.update(f"\0{path}\0{seen.st_size}\0{seen.st_mtime_ns}".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def remember(folder: Path, state: str, trials: Sequence[Trial]) -> None:
    """Keep the trials of a run that tried every public test in `folder`, and that began in this state."""
    record = {"state": state, "trials": [asdict(trial) for trial in trials]}
    with suppress(OSError):
        path = _path_of(folder)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(record).encode("utf-8", "surrogateescape"))


def recall(folder: Path) -> list[Trial] | None:
    """Return the trials of the last whole run; None if there was none, or if something has changed since."""
    try:
        record = json.loads(_path_of(folder).read_bytes())
        return [Trial(**trial) for trial in record["trials"]] if record["state"] == state_of(folder) else None
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _path_of(folder: Path) -> Path:
    from platformdirs import user_cache_path

    name = hashlib.sha256(str(folder.resolve()).encode("utf-8", "surrogateescape")).hexdigest()[:24]
    return user_cache_path("autograder", appauthor=False) / "status" / f"{name}.json"


def _files(folder: Path) -> Iterator[Path]:
    for top, inside, names in os.walk(folder):
        inside[:] = [name for name in inside if not name.startswith((".", "__pycache__"))]
        yield from (Path(top, name) for name in names if not name.startswith(".") and not name.endswith(".ipynb"))


def _origin(package: str) -> Path | None:
    """The file of an installed package; None if it is not installed."""
    with suppress(ImportError, ValueError, AttributeError):
        found = importlib.util.find_spec(package)
        return Path(found.origin) if found and found.origin else None
    return None
