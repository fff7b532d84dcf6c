"""shapes10: coloured shapes on coloured ground, drawn from a seed, in ten classes.

Made so that a linear model gets few of them right, a multi-layer perceptron about half and a small
convolutional network nearly all: place, size and both colours are random, only the form tells the class.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

SIZE = 32  #: height and width of an image, px
RADIUS = (8.0, 12.0)  #: half the width of a shape, px
SHIFT = 4.0  #: the centre of a shape lies at most this far from that of the image, in x and in y, px
CONTRAST = 0.25  #: least difference in brightness (mean over the channels) between shape and ground


def _disk(u: Array, v: Array, phase: Array) -> Array:
    return _number(np.hypot(u, v) <= 1)


def _ring(u: Array, v: Array, phase: Array) -> Array:
    return _number(np.abs(np.hypot(u, v) - 0.78) <= 0.22)


def _square(u: Array, v: Array, phase: Array) -> Array:
    return _patch(u, v, 0.85)


def _triangle(u: Array, v: Array, phase: Array) -> Array:
    return _number((v <= 0.85) & (v >= 2 * np.abs(u) - 0.95))


def _cross(u: Array, v: Array, phase: Array) -> Array:
    return _patch(u, v, 1.0) * _number(np.minimum(np.abs(u), np.abs(v)) <= 0.28)


def _horizontal_stripes(u: Array, v: Array, phase: Array) -> Array:
    return _patch(u, v, 0.95) * _band(v, phase)


def _vertical_stripes(u: Array, v: Array, phase: Array) -> Array:
    return _patch(u, v, 0.95) * _band(u, phase)


def _checker(u: Array, v: Array, phase: Array) -> Array:
    return _patch(u, v, 0.95) * np.abs(_band(u, phase) - _band(v, phase))


def _dots(u: Array, v: Array, phase: Array) -> Array:
    across, down = ((axis + 0.95) % 0.633 - 0.317 for axis in (u, v))
    return _patch(u, v, 0.95) * _number(np.hypot(across, down) <= 0.2)


def _gradient_bar(u: Array, v: Array, phase: Array) -> Array:
    return _number((np.abs(u) <= 1) & (np.abs(v) <= 0.45)) * (u + 1) / 2


def _patch(u: Array, v: Array, half: float) -> Array:
    return _number(np.maximum(np.abs(u), np.abs(v)) <= half)


def _band(u: Array, phase: Array) -> Array:
    """Stripes of 0 and 1 across u, about three of each to a shape."""
    return _number((u * 1.6 + phase) % 1 < 0.5)


def _number(inside: npt.NDArray[np.bool_]) -> Array:
    return inside.astype(np.float64)


_DRAW: dict[str, Callable[[Array, Array, Array], Array]] = {
    "disk": _disk,
    "ring": _ring,
    "square": _square,
    "triangle": _triangle,
    "cross": _cross,
    "horizontal stripes": _horizontal_stripes,
    "vertical stripes": _vertical_stripes,
    "checker": _checker,
    "dots": _dots,
    "gradient bar": _gradient_bar,
}

SHAPES10: tuple[str, ...] = tuple(_DRAW)  #: the names of the classes, by label


def shapes10(
    n: int, seed: int | Sequence[int], *, noise: float = 0.08
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Draw n images of ten kinds of shapes; the same n and seed always draw the same images.

    Args:
        n: how many images, 1 or above; the classes come equally often (to within one), in random order
        seed: which images: an int, 0 or above, or several of them
        noise: standard deviation of the noise on each pixel, 0 or above

    Returns:
        images, (n, 3, 32, 32) float32 in [0, 1]
        labels, (n,) int64 in 0..9; SHAPES10[label] is the name

    Raises:
        ValueError: n below 1 or noise below 0
    """
    images, labels, _ = shapes10_boxes(n, seed, noise=noise)
    return images, labels


def shapes10_boxes(
    n: int, seed: int | Sequence[int], *, noise: float = 0.08
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Draw the images of shapes10, and return the box of each shape.

    Args:
        n, seed, noise: as for shapes10

    Returns:
        images and labels: those of shapes10
        boxes, (n, 4) float32: corners (x1, y1, x2, y2) in pixels of the smallest box around all that is drawn;
            pixel k reaches from k to k + 1, so a shape in columns 3, 4 and 5 has x1 = 3 and x2 = 6

    Raises:
        ValueError: n below 1 or noise below 0
    """
    if n < 1:
        raise ValueError(f"shapes10: n is {n}; ask for at least one image")
    if noise < 0:
        raise ValueError(f"shapes10: noise is {noise}; use 0 or above")
    rng = np.random.default_rng(seed=seed)
    labels = rng.permutation(np.arange(n) % len(SHAPES10))
    radius = rng.uniform(*RADIUS, size=(n, 1, 1))
    centre = (SIZE - 1) / 2 + rng.uniform(-SHIFT, SHIFT, size=(2, n, 1, 1))
    phase = rng.uniform(size=(n, 1, 1))
    pixel = np.arange(SIZE, dtype=np.float64)
    u = np.broadcast_to((pixel - centre[0]) / radius, (n, SIZE, SIZE))
    v = np.broadcast_to((pixel[:, np.newaxis] - centre[1]) / radius, (n, SIZE, SIZE))
    ink = np.empty((n, SIZE, SIZE))
    for label, draw in enumerate(_DRAW.values()):
        of_class = labels == label
        ink[of_class] = draw(u[of_class], v[of_class], phase[of_class])
    ground, colour = _two_colours(n, rng)
    images = ground + (colour - ground) * ink[:, np.newaxis]  # (n, 3, 32, 32)
    images += rng.normal(scale=noise, size=images.shape)
    return np.clip(images, 0, 1).astype(np.float32), labels.astype(np.int64), _boxes_around(ink > 0)


def _boxes_around(inked: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    """Return the corners (x1, y1, x2, y2) of what is inked, (n, 4), for masks (n, SIZE, SIZE)."""
    columns, rows = np.any(inked, axis=1), np.any(inked, axis=2)  # (n, SIZE) each
    first = [axis.argmax(axis=1) for axis in (columns, rows)]
    last = [SIZE - axis[:, ::-1].argmax(axis=1) for axis in (columns, rows)]
    return np.stack([*first, *last], axis=1).astype(np.float32)


def _two_colours(n: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Draw n pairs of colours, (n, 3, 1, 1) each, redrawing those that are about equally bright."""
    pair = rng.uniform(size=(2, n, 3))
    while (close := np.abs((pair[0] - pair[1]).mean(axis=1)) < CONTRAST).any():
        pair[:, close] = rng.uniform(size=(2, int(close.sum()), 3))
    return pair[0, :, :, np.newaxis, np.newaxis], pair[1, :, :, np.newaxis, np.newaxis]
