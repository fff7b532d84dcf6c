"""Handwritten digits: 1,797 real images of 8x8 pixels that scikit-learn carries in its wheel."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

TEST_SIZE = 497
_NOISE = 0.02  #: a third of a grey level, so that no pixel is what it was and every digit reads as before

_Half = tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]


def digits(split: str = "train", seed: int = 0) -> _Half:
    """Return one half of scikit-learn's handwritten digits, shuffled and split by a seed.

    The same seed always cuts the same way, and the two halves of one seed share no image.

    Args:
        split: "train" (1,300 images) or "test" (497 images)
        seed: which of the possible cuts, 0 or above

    Returns:
        images, (N, 1, 8, 8) float32 in [0, 1]
        labels, (N,) int64 in 0..9

    Raises:
        ValueError: no such split
        ModuleNotFoundError: scikit-learn is not installed
    """
    if split not in ("train", "test"):
        raise ValueError(f"digits: no split {split!r}; use 'train' or 'test'")
    try:
        from sklearn.datasets import load_digits
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "digits: scikit-learn is not installed; run pip install 'autograder[lessons]'", name=error.name
        ) from error
    bunch = load_digits()
    order = np.random.default_rng(seed).permutation(len(bunch.target))
    chosen = order[:TEST_SIZE] if split == "test" else order[TEST_SIZE:]
    images = (bunch.images[chosen, np.newaxis] / 16.0).astype(np.float32)  # (N, 1, 8, 8)
    return images, bunch.target[chosen].astype(np.int64)


def fresh_digits(seed: int) -> tuple[_Half, _Half]:
    """Return digits that nobody can know by heart, with a little noise on each pixel and renamed classes.

    The same ten kinds of pictures, split as `digits` splits them; which of them is called 3 depends on the seed.

    Args:
        seed: decides the cut, the noise and the names, 0 or above

    Returns:
        ((images, labels) to learn from, (images, labels) to be tried on), each of the shapes that `digits` returns
    """
    rng = np.random.default_rng([seed, 10])
    names = rng.permutation(10)

    def fresh(split: str) -> _Half:
        images, labels = digits(split, seed)
        noisy = images + rng.normal(scale=_NOISE, size=images.shape)
        return np.clip(noisy, 0.0, 1.0).astype(np.float32), names[labels]

    return fresh("train"), fresh("test")
