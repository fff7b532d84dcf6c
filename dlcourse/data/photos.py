"""CIFAR-10, MNIST and Fashion-MNIST, read by torchvision's own readers from the files that their authors publish."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import numpy.typing as npt

from dlcourse.data.files import (
    Archive,
    as_asked,
    chosen,
    data_folder,
    must_unpack,
    need_split,
    not_fetched,
    torchvision_module,
)

CIFAR10_CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
FASHION_CLASSES = (
    "T-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip

Folder = str | os.PathLike[str] | None


def cifar10(
    split: str = "train",
    *,
    folder: Folder = None,
    download: bool = False,
    limit: int | None = None,
    seed: int = 0,
    tensors: bool = False,
) -> tuple[Any, Any]:
    """Return photographs of ten kinds of things in 32x32 pixels (Krizhevsky, 2009).

    Args:
        split: "train" (50,000 images) or "test" (10,000)
        folder: the folder of cifar-10-python.tar.gz, or of its content, cifar-10-batches-py; left out, it is
            that of the environment variable AUTOGRADER_DATA, or ~/.cache/autograder
        download: whether to fetch the file (163 MB) if it is not there; without it nothing is ever fetched
        limit: how many images, drawn by the seed; None for all of them, in the order of the files
        seed: which ones, 0 or above
        tensors: True to return torch tensors, False to return arrays

    Returns:
        images, (N, 3, 32, 32) float32 in [0, 1]
        labels, (N,) int64 in 0..9; CIFAR10_CLASSES[label] is the name

    Raises:
        FileNotFoundError: the files are not there, and download is not allowed
        ValueError: a file is damaged, or there is no such split, or limit is below 1
        ModuleNotFoundError: torchvision is not installed
    """
    return _load("cifar10", "CIFAR10", split, folder, download, limit, seed, tensors)


def mnist(
    split: str = "train",
    *,
    folder: Folder = None,
    download: bool = False,
    limit: int | None = None,
    seed: int = 0,
    tensors: bool = False,
) -> tuple[Any, Any]:
    """Return handwritten digits in 28x28 pixels (LeCun, Cortes and Burges, 1998).

    Args:
        split: "train" (60,000 images) or "test" (10,000)
        folder: it holds MNIST/raw, and that the four files such as train-images-idx3-ubyte.gz, packed or not; else
            as for cifar10
        download: whether to fetch the files (11 MB) if they are not there
        limit, seed, tensors: as for cifar10

    Returns:
        images, (N, 1, 28, 28) float32 in [0, 1], white on black
        labels, (N,) int64 in 0..9: the digit

    Raises:
        FileNotFoundError, ValueError, ModuleNotFoundError: as for cifar10
    """
    return _load("mnist", "MNIST", split, folder, download, limit, seed, tensors)


def fashion_mnist(
    split: str = "train",
    *,
    folder: Folder = None,
    download: bool = False,
    limit: int | None = None,
    seed: int = 0,
    tensors: bool = False,
) -> tuple[Any, Any]:
    """Return pieces of clothing in 28x28 pixels (Xiao, Rasul and Vollgraf, 2017): the form of MNIST, but harder.

    Args:
        split: "train" (60,000 images) or "test" (10,000)
        folder: it holds FashionMNIST/raw with the four files; else as for mnist
        download: whether to fetch the files (30 MB) if they are not there
        limit, seed, tensors: as for cifar10

    Returns:
        images, (N, 1, 28, 28) float32 in [0, 1], white on black
        labels, (N,) int64 in 0..9; FASHION_CLASSES[label] is the name

    Raises:
        FileNotFoundError, ValueError, ModuleNotFoundError: as for cifar10
    """
    return _load("fashion_mnist", "FashionMNIST", split, folder, download, limit, seed, tensors)


def _load(
    name: str,
    reader: str,
    split: str,
    folder: Folder,
    download: bool,
    limit: int | None,
    seed: int,
    tensors: bool,
) -> tuple[Any, Any]:
    need_split(split, name)
    images, labels = _read(name, reader, split, data_folder(folder).absolute(), download)
    rows = chosen(len(labels), limit, seed, name)
    return as_asked(images[rows], labels[rows], tensors=tensors)


@lru_cache(maxsize=2)
def _read(
    name: str, reader: str, split: str, folder: Path, download: bool
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Read one split by torchvision's reader, as bytes (N, C, H, W); the last two are kept in memory."""
    kind = getattr(torchvision_module("torchvision.datasets", name), reader)
    place, archives = _ARCHIVES[reader](kind, folder)
    is_packed = must_unpack(name, place, archives, download=download)
    unpacked = archives[0].unpacked[0].parent
    try:
        data = kind(str(folder), train=split == "train", download=is_packed)
        images, labels = np.asarray(data.data), np.asarray(data.targets, dtype=np.int64)
    except (URLError, RuntimeError, ValueError, AssertionError, EOFError) as error:
        if not all(archive.is_unpacked() or (place / archive.name).is_file() for archive in archives):
            raise not_fetched(name, place, archives, error) from error
        sentence = f"{name}: a file in {unpacked} is damaged ({error}); delete {unpacked}, get it again"
        raise ValueError(sentence) from error
    if images.ndim == 3:
        return images[:, np.newaxis], labels  # (N, 1, H, W)
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2)), labels


def _of_cifar10(kind: Any, folder: Path) -> tuple[Path, list[Archive]]:
    parts = [name for name, _ in [*kind.train_list, *kind.test_list]] + [kind.meta["filename"]]
    unpacked = tuple(folder / kind.base_folder / part for part in parts)
    return folder, [Archive(kind.filename, kind.tgz_md5, unpacked)]


def _of_mnist(kind: Any, folder: Path) -> tuple[Path, list[Archive]]:
    raw = folder / kind.__name__ / "raw"
    return raw, [Archive(name, md5, (raw / name.removesuffix(".gz"),)) for name, md5 in kind.resources]


_ARCHIVES: dict[str, Callable[[Any, Path], tuple[Path, list[Archive]]]] = {
    "CIFAR10": _of_cifar10,
    "MNIST": _of_mnist,
    "FashionMNIST": _of_mnist,
}
