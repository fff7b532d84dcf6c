"""The files of the large data sets: their folder, their download, and the message if they are missing.

A data set is read from a folder of yours. Nothing is fetched without `download=True`. Each file is compared with the
checksum of its publisher before it is unpacked.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

FOLDER_VARIABLE = "AUTOGRADER_DATA"  #: environment variable that names the folder of all data sets


@dataclass(frozen=True)
class Archive:
    """One packed file of a data set, and the files that are there after unpacking."""

    name: str
    md5: str
    unpacked: tuple[Path, ...]

    def is_unpacked(self) -> bool:
        return all(path.is_file() for path in self.unpacked)


def data_folder(folder: str | os.PathLike[str] | None) -> Path:
    """Return the folder that was given, else that of AUTOGRADER_DATA, else one in the user's cache."""
    if folder is not None:
        return Path(folder).expanduser()
    named = os.environ.get(FOLDER_VARIABLE)
    return Path(named).expanduser() if named else Path.home() / ".cache" / "autograder"


def torchvision_module(name: str, wanted_by: str) -> ModuleType:
    """Import torchvision, even without its compiled operators, and return one of its modules."""
    try:
        from dlcourse.vision import import_torchvision

        import_torchvision()
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{wanted_by}: {error.name} is not installed; run pip install 'autograder[torch]'",
            name=error.name,
        ) from error
    return importlib.import_module(name)


def must_unpack(name: str, folder: Path, archives: Sequence[Archive], *, download: bool) -> bool:
    """Return whether the archives are to be unpacked (and perhaps fetched) before anything can be read.

    Args:
        name: of the function that reads, for messages
        folder: the folder of the archives
        archives: all that the data set needs
        download: whether what is missing may be fetched

    Raises:
        FileNotFoundError: an archive is missing and may not be fetched
        ValueError: an archive is there but damaged
    """
    packed = [archive for archive in archives if not archive.is_unpacked()]
    if not packed:
        return False
    intact = torchvision_module("torchvision.datasets.utils", name).check_integrity
    for archive in packed:
        path = folder / archive.name
        if path.is_file() and not intact(str(path), archive.md5):
            raise ValueError(f"{path}: damaged or cut short (its MD5 is not {archive.md5}); delete it, get it again")
        if not path.is_file() and not download:
            raise FileNotFoundError(
                f"{name}: neither {archive.unpacked[0]} nor {path} is there; put the file there, say where it is "
                f"({name}(folder=...) or {FOLDER_VARIABLE}), or fetch it once with {name}(download=True)"
            )
    return True


def not_fetched(name: str, folder: Path, archives: Sequence[Archive], error: Exception) -> FileNotFoundError:
    """Return the error to raise if the network did not give the file."""
    files = ", ".join(archive.name for archive in archives)
    return FileNotFoundError(
        f"{name}: could not be fetched ({error}); try again, or get {files} by hand and put it in {folder}"
    )


def chosen(count: int, limit: int | None, seed: int, name: str) -> npt.NDArray[np.int64]:
    """Return which of `count` samples to take: all of them, or `limit` drawn by a seed."""
    if limit is None:
        return np.arange(count)
    if limit < 1:
        raise ValueError(f"{name}: limit is {limit}; ask for at least one sample, or for all with limit=None")
    return np.random.default_rng(seed).permutation(count)[:limit].astype(np.int64)


def need_split(split: str, name: str) -> None:
    if split not in ("train", "test"):
        raise ValueError(f"{name}: no split {split!r}; use 'train' or 'test'")


def as_asked(images: npt.NDArray[Any], labels: npt.NDArray[np.int64], *, tensors: bool) -> tuple[Any, Any]:
    """Return bytes 0..255 as float32 in [0, 1], with their labels, as arrays or as tensors."""
    numbers = images.astype(np.float32)
    numbers /= 255.0
    if not tensors:
        return numbers, labels
    torch = importlib.import_module("torch")
    return torch.from_numpy(numbers), torch.from_numpy(labels)
