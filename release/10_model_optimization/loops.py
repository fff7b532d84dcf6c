"""Three loops for PF1, entry by entry: right, easy to read, and slow. Given to you; keep them to compare with.

normalise(images, mean, std)      each channel of each image minus its mean, over its standard deviation
class_means(x, labels, classes)   the mean row of each class
moving_average(x, width)          the mean of each window of `width` neighbours
"""

from __future__ import annotations

import numpy as np


def normalise(images, mean, std):
    """Return (images - mean) / std, channel by channel.

    Args:
        images: (N, C, H, W) float64
        mean, std: one number for each channel, (C,) float64

    Returns:
        (N, C, H, W) float64
    """
    N, C, H, W = images.shape
    out = np.zeros((N, C, H, W))
    for n in range(N):
        for c in range(C):
            for i in range(H):
                for j in range(W):
                    out[n, c, i, j] = (images[n, c, i, j] - mean[c]) / std[c]
    return out


def class_means(x, labels, classes):
    """Return the mean of the rows of each class; a class without rows gets a row of zeros.

    Args:
        x: (N, D) float64
        labels: (N,) int64, each from 0 to classes - 1
        classes: number of classes, int

    Returns:
        (classes, D) float64
    """
    N, D = x.shape
    sums, counts = np.zeros((classes, D)), np.zeros(classes)
    for n in range(N):
        counts[labels[n]] += 1
        for d in range(D):
            sums[labels[n], d] += x[n, d]
    for label in range(classes):
        for d in range(D):
            if counts[label] > 0:
                sums[label, d] /= counts[label]
    return sums


def moving_average(x, width):
    """Return the means of all windows of neighbours along each row.

    Args:
        x: (N, T) float64
        width: length of a window, int from 1 to T

    Returns:
        (N, T - width + 1) float64: entry [n, t] is the mean of x[n, t] up to x[n, t + width - 1]
    """
    N, T = x.shape
    out = np.zeros((N, T - width + 1))
    for n in range(N):
        for t in range(T - width + 1):
            for step in range(width):
                out[n, t] += x[n, t + step]
            out[n, t] /= width
    return out
