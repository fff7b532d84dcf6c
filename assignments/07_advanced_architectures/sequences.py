"""Data for 7.8, drawn from a seed: rows of tokens to be turned round, and short clips of moving shapes. Given to you.

reversals(n, T, seed)      rows of T tokens, and the same rows from back to front
moving_shapes(n, seed)     clips of 6 frames of 12x12 pixels, in four classes
"""

from __future__ import annotations

import numpy as np

VOCAB = 11  #: ids 1 to 10 are tokens, 0 is padding
CLIPS = ("box to the right", "box to the left", "cross to the right", "cross to the left")
FRAMES, SIDE = 6, 12


def reversals(n, T=8, seed=0):
    """Draw n rows of T tokens, and turn each of them round.

    Returns:
        ids: (n, T) int64 in 1..10, and targets: (n, T) int64, targets[:, t] = ids[:, T - 1 - t]
    """
    ids = np.random.default_rng(seed).integers(1, VOCAB, size=(n, T))
    return ids, ids[:, ::-1].copy()


def moving_shapes(n, seed=0):
    """Draw n clips: a box or a cross of 5x5 pixels moves one pixel a frame, to the right or to the left.

    One frame shows which shape it is, and little of where it goes; the order of the frames shows that.

    Returns:
        clips: (n, 6, 1, 12, 12) float32 around 0 to 1, with noise
        labels: (n,) int64: the index of the class in CLIPS
    """
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n) % len(CLIPS))
    box, cross = np.ones((5, 5)), np.zeros((5, 5))
    box[1:4, 1:4] = 0
    cross[2], cross[:, 2] = 1, 1
    clips = rng.normal(scale=0.15, size=(n, FRAMES, 1, SIDE, SIDE))
    for clip, label in zip(clips, labels, strict=True):
        top, left = rng.integers(0, SIDE - 4), rng.integers(0, SIDE - 3 - FRAMES)
        for t in range(FRAMES):
            column = left + (t if label % 2 == 0 else FRAMES - 1 - t)
            clip[t, 0, top : top + 5, column : column + 5] += box if label < 2 else cross
    return clips.astype(np.float32), labels
