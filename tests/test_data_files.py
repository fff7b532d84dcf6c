"""The data sets in files: the real readers read small archives in the real format, without a network."""

from __future__ import annotations

import gzip
import hashlib
import io
import pickle
import sys
import tarfile
from collections.abc import Callable
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest

from dlcourse.data import cifar10, fashion_mnist, imdb, mnist, reviews
from dlcourse.data.files import data_folder

pytestmark = pytest.mark.skipif(find_spec("torchvision") is None, reason="torchvision is not installed")


def reader(kind: str) -> Any:
    """Return a class of torchvision.datasets; a test may set its checksums to those of its own small files."""
    from dlcourse.vision import import_torchvision

    return getattr(import_torchvision().datasets, kind)


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise URLError("no network here")

    monkeypatch.setattr("urllib.request.urlopen", refuse)


def md5(raw: bytes) -> str:
    return hashlib.md5(raw, usedforsecurity=False).hexdigest()


def assignment_module(assignment: str, name: str) -> Any:
    """Import one file of an assignment, as it is in assignments/."""
    path = Path(__file__).parent.parent / "assignments" / assignment / f"{name}.py"
    spec = spec_from_file_location(f"{assignment}_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = module_from_spec(spec)  # a dataclass looks it up there
    spec.loader.exec_module(module)
    return module


def packed(members: dict[str, bytes], into: Path) -> str:
    """Write a .tar.gz and return its checksum."""
    with tarfile.open(into, "w:gz") as tar:
        for name, raw in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(raw)
            tar.addfile(info, io.BytesIO(raw))
    return md5(into.read_bytes())


def bytes_of(rng: np.random.Generator, *shape: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return rng.integers(256, size=shape, dtype=np.uint8)


@pytest.fixture
def cifar_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """cifar-10-python.tar.gz with two batches of three images to train on, and four images to test on."""
    rng = np.random.default_rng(0)
    counts = {"data_batch_1": 3, "data_batch_2": 3, "test_batch": 4}
    parts = {
        name: pickle.dumps({"data": bytes_of(rng, count, 3072), "labels": list(range(count))})
        for name, count in counts.items()
    }
    parts["batches.meta"] = pickle.dumps({"label_names": ["airplane", "automobile"]})
    archive = tmp_path / "cifar-10-python.tar.gz"
    checksum = packed({f"cifar-10-batches-py/{name}": raw for name, raw in parts.items()}, archive)
    sums = [[name, md5(raw)] for name, raw in parts.items()]
    kind = reader("CIFAR10")
    monkeypatch.setattr(kind, "tgz_md5", checksum)
    monkeypatch.setattr(kind, "train_list", sums[:2])
    monkeypatch.setattr(kind, "test_list", sums[2:3])
    monkeypatch.setattr(kind, "meta", {**kind.meta, "md5": sums[3][1]})
    return tmp_path


def idx(array: np.ndarray[Any, np.dtype[np.uint8]]) -> bytes:
    """The IDX format: two zero bytes, 8 for uint8, the number of axes, each length as four bytes, then the entries."""
    lengths = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + lengths + array.tobytes()


def mnist_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> Path:
    rng = np.random.default_rng(1)
    raw = tmp_path / kind / "raw"
    raw.mkdir(parents=True)
    resources = []
    for part, count in (("train", 6), ("t10k", 4)):
        for what, array in (
            ("images-idx3", bytes_of(rng, count, 28, 28)),
            ("labels-idx1", np.arange(count, dtype=np.uint8)),
        ):
            path = raw / f"{part}-{what}-ubyte.gz"
            path.write_bytes(gzip.compress(idx(array)))
            resources.append((path.name, md5(path.read_bytes())))
    monkeypatch.setattr(reader(kind), "resources", resources)
    return tmp_path


@pytest.fixture
def imdb_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    members = {
        f"aclImdb/{split}/{kind}/{number}_{stars}.txt": f"{split} {kind} {number}: très bon<br />".encode()
        for split, count in (("train", 3), ("test", 2))
        for kind, stars in (("neg", 2), ("pos", 9))
        for number in range(count)
    }
    members["aclImdb/README"] = b"Large Movie Review Dataset"
    monkeypatch.setattr(reviews, "MD5", packed(members, tmp_path / "aclImdb_v1.tar.gz"))
    return tmp_path


def test_photographs_are_unpacked_and_come_with_channels_first(cifar_folder: Path) -> None:
    images, labels = cifar10("train", folder=cifar_folder)

    first = pickle.loads((cifar_folder / "cifar-10-batches-py" / "data_batch_1").read_bytes())["data"][0]
    assert images.shape == (6, 3, 32, 32)
    assert images.dtype == np.float32
    assert np.array_equal(images[0], first.reshape(3, 32, 32).astype(np.float32) / np.float32(255))
    assert labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert labels.dtype == np.int64
    assert cifar10("test", folder=cifar_folder)[0].shape == (4, 3, 32, 32)


def test_project_1_runs_on_photographs(cifar_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOGRADER_DATA", str(cifar_folder))
    pictures, solution = (assignment_module("project_1_image_classification", name) for name in
                          ("pictures", "image_classification"))  # fmt: skip

    data = pictures.load("cifar10")
    np.savez(cifar_folder / "photographs.npz", **data)
    out = cifar_folder / "out"
    results = solution.run(solution.Config(str(cifar_folder / "photographs.npz"), str(out), epochs=1))

    batches = [cifar_folder / "cifar-10-batches-py" / f"data_batch_{number}" for number in (1, 2)]
    rows = np.concatenate([pickle.loads(path.read_bytes())["data"] for path in batches])
    written = {image.tobytes() for image in rows.reshape(6, 3, 32, 32).transpose(0, 2, 3, 1)}
    assert {image.tobytes() for image in data["train_images"]} == written
    assert data["class_names"].tolist()[:2] == ["airplane", "automobile"]
    assert results.epochs == 1
    assert solution.predict(out, data["test_images"]).shape == (4, 10)


@pytest.mark.parametrize(("load", "kind"), [(mnist, "MNIST"), (fashion_mnist, "FashionMNIST")])
def test_images_of_one_channel_are_read_from_packed_files_and_from_unpacked_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, load: Callable[..., Any], kind: str
) -> None:
    folder = mnist_folder(tmp_path, monkeypatch, kind)

    images, labels = load("test", folder=folder)
    for path in (folder / kind / "raw").glob("*.gz"):
        path.unlink()
    train, _ = load("train", folder=folder)

    assert images.shape == (4, 1, 28, 28)
    assert train.shape == (6, 1, 28, 28)
    assert 0 <= images.min() < 0.1 < 0.9 < images.max() <= 1
    assert labels.tolist() == [0, 1, 2, 3]


def test_a_limit_draws_the_same_images_under_the_same_seed(cifar_folder: Path) -> None:
    everything, _ = cifar10(folder=cifar_folder)

    first, again, other = (cifar10(folder=cifar_folder, limit=4, seed=seed)[0] for seed in (3, 3, 5))

    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert {image.tobytes() for image in first} < {image.tobytes() for image in everything}


def test_what_is_given_is_the_callers_to_change(cifar_folder: Path) -> None:
    images, labels = cifar10(folder=cifar_folder)
    images += 1
    labels += 1

    again, labels_again = cifar10(folder=cifar_folder)

    assert again.max() <= 1
    assert labels_again.max() == 2


def test_tensors_come_where_they_are_asked_for(cifar_folder: Path) -> None:
    import torch

    images, labels = cifar10(folder=cifar_folder, tensors=True)

    assert (images.dtype, labels.dtype) == (torch.float32, torch.int64)
    assert tuple(images.shape) == (6, 3, 32, 32)


def test_reviews_come_as_they_were_written(imdb_folder: Path) -> None:
    texts, labels = imdb("train", folder=imdb_folder)

    assert texts[0] == "train neg 0: très bon<br />"
    assert labels.tolist() == [0, 0, 0, 1, 1, 1]
    some, their_labels = imdb("train", folder=imdb_folder, limit=4, seed=2)
    assert (some, their_labels.tolist()) == (
        imdb("train", folder=imdb_folder, limit=4, seed=2)[0],
        [int("pos" in text) for text in some],
    )
    assert len(imdb("test", folder=imdb_folder)[0]) == 4


@pytest.mark.parametrize("load", [cifar10, mnist, fashion_mnist, imdb])
def test_a_missing_file_is_named_with_ways_to_get_it(tmp_path: Path, load: Callable[..., Any]) -> None:
    name = load.__name__

    with pytest.raises(FileNotFoundError, match=rf"{name}: neither .* is there; .*{name}\(download=True\)"):
        load(folder=tmp_path)


@pytest.mark.parametrize("load", [cifar10, mnist, imdb])
def test_a_network_that_does_not_answer_is_named(tmp_path: Path, load: Callable[..., Any]) -> None:
    with pytest.raises(FileNotFoundError, match=rf"(?s){load.__name__}: could not be fetched .*no network here"):
        load(folder=tmp_path, download=True)


def test_a_damaged_archive_is_refused_before_it_is_opened(cifar_folder: Path) -> None:
    archive = cifar_folder / "cifar-10-python.tar.gz"
    archive.write_bytes(archive.read_bytes()[:-40])

    for download in (False, True):
        with pytest.raises(ValueError, match=r"cifar-10-python\.tar\.gz: damaged or cut short .*get it again"):
            cifar10(folder=cifar_folder, download=download)


def test_a_damaged_batch_is_refused_before_it_is_unpickled(cifar_folder: Path) -> None:
    cifar10("test", folder=cifar_folder)
    (cifar_folder / "cifar-10-batches-py" / "data_batch_1").write_bytes(b"cos\nsystem\n")

    with pytest.raises(ValueError, match=r"cifar10: a file in .*cifar-10-batches-py is damaged .*get it again"):
        cifar10("train", folder=cifar_folder)


def test_a_damaged_file_of_digits_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = mnist_folder(tmp_path, monkeypatch, "MNIST")
    mnist("test", folder=folder)
    path = folder / "MNIST" / "raw" / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:100])

    with pytest.raises(ValueError, match=r"mnist: a file in .*raw is damaged .*get it again"):
        mnist("train", folder=folder)


def test_damaged_reviews_are_named(imdb_folder: Path) -> None:
    imdb("test", folder=imdb_folder)
    path = imdb_folder / "aclImdb" / "train" / "pos" / "1_9.txt"
    path.write_bytes(b"tr\xe8s bon")

    with pytest.raises(ValueError, match=r"1_9\.txt: damaged, no UTF-8 at byte 2"):
        imdb("train", folder=imdb_folder)
    for path in (imdb_folder / "aclImdb" / "train" / "pos").iterdir():
        path.unlink()
    with pytest.raises(ValueError, match=r"imdb: no review in .*pos"):
        imdb("train", folder=imdb_folder)


def test_wrong_requests_are_refused(cifar_folder: Path) -> None:
    with pytest.raises(ValueError, match="cifar10: no split 'valid'; use 'train' or 'test'"):
        cifar10("valid", folder=cifar_folder)
    with pytest.raises(ValueError, match="cifar10: limit is 0; ask for at least one"):
        cifar10(folder=cifar_folder, limit=0)


def test_the_folder_may_be_said_once_for_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOGRADER_DATA", str(tmp_path))

    assert data_folder(None) == tmp_path
    assert data_folder("elsewhere") == Path("elsewhere")
    monkeypatch.delenv("AUTOGRADER_DATA")
    assert data_folder(None).parts[-2:] == (".cache", "autograder")
