"""dlcourse.data: the data sets of the course have the shapes, seeds and properties that their docstrings say."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dlcourse.data import (
    SHAPES10,
    co2,
    digits,
    fresh_digits,
    sentiment,
    shapes7_weights,
    shapes10,
    shapes10_boxes,
    sunspots,
    waves,
)
from dlcourse.data.sentiment import BLAME, NEGATIONS, PRAISE
from dlcourse.data.weights import SHAPES7, read_safetensors, write_safetensors


def test_shapes_have_the_promised_form() -> None:
    images, labels = shapes10(37, seed=3)

    assert images.shape == (37, 3, 32, 32)
    assert images.dtype == np.float32
    assert labels.dtype == np.int64
    assert images.min() >= 0
    assert images.max() <= 1
    assert np.bincount(labels, minlength=10).tolist() == [4] * 7 + [3] * 3
    assert len(SHAPES10) == 10


def test_a_seed_draws_the_same_shapes_again_and_another_seed_others() -> None:
    first, again, other = (shapes10(12, seed)[0] for seed in (5, 5, 6))

    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_shape_differs_from_its_ground_in_brightness() -> None:
    images, labels = shapes10(300, seed=0, noise=0)
    two_colours = images[labels != SHAPES10.index("gradient bar")].astype(np.float64)

    brightness = two_colours.mean(axis=1).reshape(len(two_colours), -1)

    assert (brightness.max(axis=1) - brightness.min(axis=1) >= 0.25 - 1e-6).all()


def test_each_class_has_a_form_of_its_own() -> None:
    """A disk, a ring and a square differ in the amount of ink, stripes in their direction."""
    images, labels = shapes10(500, seed=1, noise=0)
    grey = images.mean(axis=1)

    def changes(name: str, axis: int) -> float:
        return float(np.abs(np.diff(grey[labels == SHAPES10.index(name)], axis=axis)).mean())

    assert changes("horizontal stripes", 1) > 2 * changes("horizontal stripes", 2)
    assert changes("vertical stripes", 2) > 2 * changes("vertical stripes", 1)
    assert changes("checker", 1) > 1.5 * changes("square", 1)


@pytest.mark.parametrize(("arguments", "message"), [((0, 0), "n is 0"), ((-3, 0), "n is -3")])
def test_no_shapes_are_no_request(arguments: tuple[int, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        shapes10(*arguments)


def test_noise_below_zero_is_refused() -> None:
    with pytest.raises(ValueError, match=r"noise is -0\.1; use 0 or above"):
        shapes10(3, 0, noise=-0.1)


def test_digits_are_split_without_overlap() -> None:
    (train, train_labels), (test, test_labels) = digits("train", seed=2), digits("test", seed=2)

    assert train.shape == (1300, 1, 8, 8)
    assert test.shape == (497, 1, 8, 8)
    assert train.dtype == test.dtype == np.float32
    assert train_labels.dtype == test_labels.dtype == np.int64
    assert train.min() == 0
    assert train.max() == 1
    seen = {image.tobytes() for image in train}
    assert not any(image.tobytes() in seen for image in test)


def test_fresh_digits_are_digits_that_no_table_of_digits_holds() -> None:
    (train, train_labels), (test, test_labels) = fresh_digits(2)
    known, known_labels = digits("test", seed=2)

    assert train.shape == (1300, 1, 8, 8)
    assert (test.dtype, test_labels.dtype) == (known.dtype, known_labels.dtype)
    assert 0.0 < np.abs(test - known).max() < 0.1  # the same pictures, with differences that nobody sees
    assert not (test == known).reshape(len(test), -1).all(axis=1).any()
    names = {(int(old), int(new)) for old, new in zip(known_labels, test_labels, strict=True)}
    assert len(names) == len({new for _, new in names}) == 10  # each class has one other name
    assert names != {(digit, digit) for digit in range(10)}
    nearest = np.abs(test[:50, None] - train[None]).sum(axis=(2, 3, 4)).argmin(axis=1)
    assert (train_labels[nearest] == test_labels[:50]).mean() > 0.9  # and both halves agree on it
    assert names != {
        (int(old), int(new)) for old, new in zip(digits("test", seed=3)[1], fresh_digits(3)[1][1], strict=True)
    }


def test_another_seed_cuts_the_digits_elsewhere() -> None:
    assert np.array_equal(digits("test", 1)[0], digits("test", 1)[0])
    assert not np.array_equal(digits("test", 1)[0], digits("test", 2)[0])


def test_an_unknown_split_is_named() -> None:
    with pytest.raises(ValueError, match="no split 'valid'; use 'train' or 'test'"):
        digits("valid")


def test_without_scikit_learn_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)

    with pytest.raises(ModuleNotFoundError, match=r"autograder\[lessons\]"):
        digits()


def test_importing_the_data_loads_nothing_but_numpy() -> None:
    code = "import sys, dlcourse.data; print([name for name in ('torch', 'sklearn', 'statsmodels', 'pandas') if name in sys.modules])"

    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert result.stdout.strip() == "[]"


def test_sentences_come_with_labels_and_negations() -> None:
    texts, labels, negated = sentiment(201, seed=4)

    assert len(texts) == len(labels) == len(negated) == 201
    assert labels.dtype == np.int64
    assert negated.dtype == np.bool_
    assert np.bincount(labels).tolist() == [101, 100]
    assert all(text.endswith(".") and text[0].isupper() and "," in text for text in texts)


def test_a_seed_writes_the_same_sentences_again() -> None:
    assert sentiment(20, (3, 1))[0] == sentiment(20, (3, 1))[0]
    assert sentiment(20, (3, 1))[0] != sentiment(20, (3, 2))[0]


def test_a_label_is_the_opinion_of_the_writer() -> None:
    """Read a sentence by rules: the part about me, its adjective, and whether that is negated."""
    for text, label, negated in zip(*sentiment(400, seed=8), strict=True):
        mine = next(
            part for part in text.lower().split(",") if re.search(r"\bi (found|thought|felt)\b|\bfor me\b", part)
        )
        words = re.findall(r"[a-z']+", mine)
        is_negated = any(word in NEGATIONS for word in words)
        praises = any(word in PRAISE for word in words)
        assert praises != any(word in BLAME for word in words)
        assert is_negated == negated
        assert (praises != is_negated) == bool(label)


def test_a_bag_of_words_tells_nothing() -> None:
    """Every sentence praises once and blames once, so counts of words do not separate the labels."""
    texts, labels, _ = sentiment(4000, seed=2)
    for word in ("not", "never", "wasn't", "good", "awful", "but"):
        has_word = np.array([word in re.findall(r"[a-z']+", text.lower()) for text in texts])
        share = labels[has_word].mean()
        assert abs(share - 0.5) < 5 * 0.5 / np.sqrt(has_word.sum()), word


def test_waves_can_be_forecast_but_not_perfectly() -> None:
    series = waves(1000, seed=3)

    lags = np.lib.stride_tricks.sliding_window_view(series, 24)[:-1]
    design = np.c_[lags, np.ones(len(lags))]
    left = series[24:] - design @ np.linalg.lstsq(design, series[24:], rcond=None)[0]

    assert series.shape == (1000,)
    assert series.dtype == np.float64
    assert np.array_equal(series, waves(1000, seed=3))
    assert not np.array_equal(series, waves(1000, seed=4))
    assert 0.2 < np.abs(left).mean() / np.abs(np.diff(series)).mean() < 0.6


@pytest.mark.parametrize(("draw", "message"), [(sentiment, "sentiment: n is 0"), (waves, "waves: n is 0")])
def test_nothing_is_no_request(draw: Callable[..., object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        draw(0, 0)


def test_real_series_are_regular_and_without_gaps() -> None:
    years, spots = sunspots()
    months, carbon = co2()

    assert years[[0, -1]].tolist() == [1700, 2008]
    assert years.shape == spots.shape == (309,)
    assert months.shape == carbon.shape == (526,)
    assert np.allclose(np.diff(months), 1 / 12)
    assert np.isfinite(carbon).all()
    assert carbon[0] < 320 < 370 < carbon[-1]


@pytest.mark.parametrize("load", [sunspots, co2])
def test_without_statsmodels_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, load: Callable[[], object]) -> None:
    monkeypatch.setitem(sys.modules, "statsmodels", None)

    with pytest.raises(ModuleNotFoundError, match=r"autograder\[lessons\]"):
        load()


def test_boxes_hold_the_whole_shape_and_no_more() -> None:
    images, labels, boxes = shapes10_boxes(200, seed=4, noise=0)
    plain, same_labels = shapes10(200, seed=4, noise=0)

    assert np.array_equal(images, plain)
    assert np.array_equal(labels, same_labels)
    assert boxes.shape == (200, 4)
    assert boxes.dtype == np.float32
    for image, (left, top, right, bottom) in zip(images, boxes.astype(int), strict=True):
        inked = (np.abs(image - image[:, :1, :1]) > 0).any(axis=0)  # the upper left corner is always ground
        rows, columns = np.flatnonzero(inked.any(axis=1)), np.flatnonzero(inked.any(axis=0))
        assert [left, top, right, bottom] == [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]


def test_weights_come_as_the_script_wrote_them() -> None:
    weights = shapes7_weights()

    assert weights["head.weight"].shape == (7, 64)
    assert weights["backbone.0.weight"].dtype == np.float32
    assert all(np.isfinite(array).all() for array in weights.values())
    assert SHAPES7.stat().st_size < 1_000_000
    weights["head.weight"][:] = 0
    assert shapes7_weights()["head.weight"].any()


def test_tensors_survive_a_safetensors_file(tmp_path: Path) -> None:
    tensors = {
        "a": np.arange(6, dtype=np.float32).reshape(2, 3).T,
        "b": np.array(7, dtype=np.int64),
        "empty": np.zeros((0, 4), dtype=np.float32),
    }

    write_safetensors(tmp_path / "x.safetensors", tensors)
    read = read_safetensors(tmp_path / "x.safetensors")

    assert list(read) == list(tensors)
    for name, array in tensors.items():
        assert np.array_equal(read[name], array)
        assert (read[name].shape, read[name].dtype) == (array.shape, array.dtype)


def test_a_damaged_safetensors_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    write_safetensors(path, {"a": np.ones(3, dtype=np.float32)})
    path.write_bytes(path.read_bytes()[:-1])

    with pytest.raises(ValueError, match=r"x\.safetensors: a ends at byte"):
        read_safetensors(path)

    path.write_bytes(b"")
    with pytest.raises(ValueError, match="0 bytes are too few"):
        read_safetensors(path)
