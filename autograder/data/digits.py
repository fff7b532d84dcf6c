"""Handwritten digits: 1,797 real images of 8x8 pixels that scikit-learn carries in its wheel."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

TEST_SIZE = 497


def digits(split: str = "train", seed: int = 0) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
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
