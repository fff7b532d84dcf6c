"""Outage: the power fails while a program writes a file, so that only the first half of it is there.

For probes of hidden tests, as `spies` is: a training that goes on after a stop must also go on after such a one.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn


class Stop(Exception):
    """The power failed."""


def write_half(content: bytes, file: Any) -> NoReturn:
    """Write the first half of a file's content; then the power fails.

    Args:
        content: what the whole file would hold
        file: a path, or a binary file that is open for writing

    Raises:
        Stop: always
    """
    half = content[: len(content) // 2]
    if hasattr(file, "write"):
        file.write(half)
    else:
        Path(file).write_bytes(half)
    raise Stop


@contextmanager
def in_save(when: Callable[[], bool]) -> Iterator[None]:
    """Let the power fail in `torch.save` until the block ends.

    Args:
        when: called before each save; where it returns True, half of the file is written and Stop is raised
    """
    import torch

    save = torch.save

    def save_or_stop(obj: Any, f: Any, *args: Any, **kwargs: Any) -> None:
        if not when():
            save(obj, f, *args, **kwargs)
            return
        whole = io.BytesIO()
        save(obj, whole, *args, **kwargs)
        write_half(whole.getvalue(), f)

    torch.save = save_or_stop
    try:
        yield
    finally:
        torch.save = save
