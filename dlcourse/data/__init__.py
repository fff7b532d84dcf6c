"""Data sets of the course, one call each, as NumPy arrays: images (N, C, H, W) float32, labels (N,) int64.

    digits(split, seed)      real: scikit-learn's handwritten digits, 8x8, one channel
    fresh_digits(seed)       the same digits with noise and renamed classes: for tests
    shapes10(n, seed)        drawn: ten kinds of coloured shapes, 32x32, three channels, as many as you ask for
    shapes10_boxes(n, seed)  the same images with the box of each shape
    shapes7_weights()        the weights of a small network that knows the first seven of these shapes
    sentiment(n, seed)       drawn: sentences about films whose label depends on the order of the words
    waves(n, seed)           drawn: a series of numbers that can be forecast, but not perfectly
    sunspots(), co2()        real: two series that statsmodels carries
    cifar10(split), mnist(split), fashion_mnist(split)    real images, from the files that their authors publish
    imdb(split)              real reviews of films, from the files that their authors publish

Nothing is downloaded unless you say so (`cifar10(download=True)`), and importing this package needs NumPy alone.
"""

from __future__ import annotations

from dlcourse.data.digits import digits, fresh_digits
from dlcourse.data.photos import CIFAR10_CLASSES, FASHION_CLASSES, cifar10, fashion_mnist, mnist
from dlcourse.data.reviews import imdb
from dlcourse.data.sentiment import sentiment
from dlcourse.data.series import co2, sunspots, waves
from dlcourse.data.shapes import SHAPES10, shapes10, shapes10_boxes
from dlcourse.data.weights import shapes7_weights

__all__ = [
    "CIFAR10_CLASSES",
    "FASHION_CLASSES",
    "SHAPES10",
    "cifar10",
    "co2",
    "digits",
    "fashion_mnist",
    "fresh_digits",
    "imdb",
    "mnist",
    "sentiment",
    "shapes7_weights",
    "shapes10",
    "shapes10_boxes",
    "sunspots",
    "waves",
]
