"""autograder.data: the data sets of the course keep their shapes, their seeds and their promises."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from autograder.data import SHAPES10, digits, shapes10


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
    """A disk, a ring and a square differ by how much ink they use, stripes by their direction."""
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


def test_importing_the_data_loads_neither_torch_nor_scikit_learn() -> None:
    code = (
        "import sys, autograder.data; print([name for name in ('torch', 'sklearn') if name in sys.modules])"
    )

    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert result.stdout.strip() == "[]"
