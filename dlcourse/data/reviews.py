"""Fifty thousand reviews of films from IMDB, in the folders in which they are published (Maas et al., 2011)."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from urllib.error import URLError

import numpy as np
import numpy.typing as npt

from dlcourse.data.files import (
    Archive,
    chosen,
    data_folder,
    must_unpack,
    need_split,
    not_fetched,
    torchvision_module,
)
from dlcourse.data.photos import Folder

URL = "https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz"
MD5 = "7c2ac02c03563afcf9b574c7e56c153a"
_KINDS = ("neg", "pos")  #: folders, by label


def imdb(
    split: str = "train",
    *,
    folder: Folder = None,
    download: bool = False,
    limit: int | None = None,
    seed: int = 0,
) -> tuple[list[str], npt.NDArray[np.int64]]:
    """Return reviews of films as their writers left them, with <br /> and all, and whether they liked the film.

    Args:
        split: "train" (25,000 reviews) or "test" (25,000 more, of other films)
        folder: the folder of aclImdb_v1.tar.gz, or of its content: the folder aclImdb with train/pos, train/neg,
            test/pos and test/neg, one file a review; left out, it is that of the environment variable
            AUTOGRADER_DATA, or ~/.cache/autograder
        download: whether to fetch the file (84 MB) if it is not there; without it nothing is ever fetched
        limit: how many reviews, drawn by the seed; None for all of them
        seed: which ones, 0 or above

    Returns:
        texts, a list of N strings; with limit=None by the names of their files, those of label 0 first, so shuffle
            them before you train
        labels, (N,) int64: 1 where the writer liked the film (7 to 10 of 10 stars), 0 where not (1 to 4)

    Raises:
        FileNotFoundError: the files are not there, and download is not allowed
        ValueError: a file is damaged or not UTF-8, a folder is empty, no such split, or limit is below 1
        ModuleNotFoundError: the archive has to be unpacked, and torchvision is not installed
    """
    need_split(split, "imdb")
    place = data_folder(folder).absolute()
    files, labels = _files(place, split, download)
    rows = chosen(len(files), limit, seed, "imdb")
    return [_text(files[row]) for row in rows], labels[rows]


def _files(folder: Path, split: str, download: bool) -> tuple[list[Path], npt.NDArray[np.int64]]:
    home = folder / "aclImdb"
    if not home.is_dir():
        archive = Archive(URL.rsplit("/", 1)[-1], MD5, (home / "README",))
        must_unpack("imdb", folder, [archive], download=download)
        utils = torchvision_module("torchvision.datasets.utils", "imdb")
        try:
            utils.download_and_extract_archive(URL, str(folder), filename=archive.name, md5=archive.md5)
        except URLError as error:
            raise not_fetched("imdb", folder, [archive], error) from error
    found: list[Path] = []
    labels: list[int] = []
    for label, kind in enumerate(_KINDS):
        reviews = sorted((home / split / kind).glob("*.txt"))
        if not reviews:
            raise ValueError(f"imdb: no review in {home / split / kind}; delete {home} and unpack the archive again")
        found += reviews
        labels += [label] * len(reviews)
    return found, np.array(labels, dtype=np.int64)


@lru_cache(maxsize=100_000)
def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: damaged, no UTF-8 at byte {error.start}; unpack the archive again") from error
