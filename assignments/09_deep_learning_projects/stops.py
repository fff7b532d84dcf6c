"""Stops: cut the power of a run at a chosen place, and count what a run does. Given to you.

with watched(out) as notes:
    run_pipeline(config)
notes.batches           backward passes
notes.writes            names of the files below `out` that were opened for writing
notes.reads             for each read of a Holdout: which files were in `out` at that time

with watched(out, batch=7) as notes:     the power fails before the backward pass number 7 (the first is 0),
with watched(out, write=3) as notes:     in the middle of writing file number 3: it is left empty,
with watched(out, read=0) as notes:      or when a Holdout is read
    run_pipeline(config)
notes.is_stopped        True, if it came to that; the block ends without an error
"""

from __future__ import annotations

import builtins
import io
import os
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from holdout import Holdout


class Stop(BaseException):
    """The power fails."""


@dataclass
class Notes:
    """What a run did."""

    batches: int = 0
    writes: list[str] = field(default_factory=list)
    reads: list[list[str]] = field(default_factory=list)
    is_stopped: bool = False


@contextmanager
def watched(out, batch=None, write=None, read=None, draw=True, holdout=Holdout):
    """Watch what happens in the block, and stop it where it is asked for; `holdout` is the class that the run uses."""
    notes, out = Notes(), os.path.abspath(out)
    backward, open_file, save, read_rows = torch.Tensor.backward, builtins.open, torch.save, holdout.read

    def noted_backward(self, *args, **kwargs):
        if notes.batches == batch:
            raise Stop
        notes.batches += 1
        return backward(self, *args, **kwargs)

    def begin(file):
        """Note that a file is written; stop if it is the one."""
        path = os.path.abspath(os.fspath(file))
        if not path.startswith(out + os.sep):
            return
        notes.writes.append(os.path.relpath(path, out))
        if len(notes.writes) - 1 == write:
            if not os.path.isdir(path):  # module tempfile opens a folder
                open_file(path, "wb").close()
            raise Stop

    def noted_open(file, mode="r", *args, **kwargs):
        if isinstance(file, (str, os.PathLike)) and set(mode) & set("wax+"):
            begin(file)
        return open_file(file, mode, *args, **kwargs)

    def noted_save(obj, f, *args, **kwargs):
        if isinstance(f, (str, os.PathLike)):
            begin(f)
        return save(obj, f, *args, **kwargs)

    def noted_read(self):
        if len(notes.reads) == read:
            raise Stop
        notes.reads.append(sorted(files_in(out)))
        return read_rows(self)

    def savefig(self, fname, *args, **kwargs):
        if hasattr(fname, "write"):
            fname.write(b"not drawn")
        else:
            with noted_open(fname, "wb") as file:
                file.write(b"not drawn")

    torch.Tensor.backward, torch.save, holdout.read = noted_backward, noted_save, noted_read
    builtins.open = io.open = noted_open
    if not draw:
        from matplotlib.figure import Figure

        draw_figure, Figure.savefig = Figure.savefig, savefig
    try:
        yield notes
    except Stop:
        notes.is_stopped = True
    finally:
        torch.Tensor.backward, torch.save, holdout.read = backward, save, read_rows
        builtins.open = io.open = open_file
        if not draw:
            Figure.savefig = draw_figure


def files_in(folder):
    """Return the files below a folder, as paths from there."""
    found = []
    for at, _, names in os.walk(folder):
        found += [os.path.relpath(os.path.join(at, name), folder) for name in names]
    return found
