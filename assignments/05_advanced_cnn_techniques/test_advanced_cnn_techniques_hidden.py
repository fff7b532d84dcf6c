"""Hidden tests of the advanced techniques: PyTorch and torchvision are the oracles, in the judge."""

import collections
import copy
import importlib
import time

import numpy as np
import pytest
import torch
import torch.nn.modules.module as modules
import torch.optim.optimizer as optimizers
from torch import nn
from torch.nn import functional as F

from autograder import expect, probe
from dlcourse import spies
from dlcourse.data import shapes7_weights, shapes10, shapes10_boxes
from dlcourse.vision import import_torchvision

# ------------------------------------------------------------------------------------------------------------
# 5.1  Data augmentation
#
# Bounds on random draws are five and a half standard deviations wide, or at the level 1e-7 of Kolmogorov and Smirnov:
# a right answer misses one of them less than once in a million runs.
# ------------------------------------------------------------------------------------------------------------


def _ks_distance(sample, cdf):
    """The largest distance of the sample's distribution from a continuous one."""
    ordered = np.sort(sample)
    steps = np.arange(len(ordered) + 1) / len(ordered)
    at = cdf(ordered)
    return float(max(np.max(steps[1:] - at), np.max(at - steps[:-1])))


def _follows(sample, cdf, what, sentence):
    bound = np.sqrt(np.log(2 / 1e-7) / 2 / len(sample))
    expect.is_true(_ks_distance(np.asarray(sample), cdf) <= bound, f"{what}: {sentence}")


def _uniform(low, high):
    return lambda values: np.clip((values - low) / (high - low), 0, 1)


def _share_is(share, p, n, what):
    reach = 5.5 * np.sqrt(p * (1 - p) / n)
    expect.between(share, max(p - reach, 0.0), min(p + reach, 1.0), what)


def _transforms():
    import_torchvision()
    return importlib.import_module("torchvision.transforms.v2.functional")


@pytest.mark.task("augmentation", weight=2)
@pytest.mark.parametrize("p", [0.25, 0.5, 0.8])
def test_each_image_is_mirrored_on_its_own(student, rng, p):
    """random_hflip mirrors columns only, each image (and its box) by a coin of its own; x and boxes stay."""
    n = 3000
    x = rng.uniform(size=(n, 2, 3, 4)).astype(np.float32).transpose(0, 1, 3, 2)  # (n, 2, 4, 3)
    boxes = rng.uniform(0, 1, size=(n, 4)) + np.array([0, 0, 1.5, 2.5])
    before, boxes_before = x.copy(), boxes.copy()

    images, moved = student.random_hflip(x, rng, p, boxes)

    expect.shape(images, x.shape, "random_hflip: images")
    flipped = (images == before[..., ::-1]).all(axis=(1, 2, 3))
    same = (images == before).all(axis=(1, 2, 3))
    expect.is_true(bool((flipped ^ same).all()), "random_hflip: an image is neither the old one nor its mirror image.")
    _share_is(flipped.mean(), p, n, f"random_hflip(p={p}): share of mirrored images")
    agree = (flipped[1:] == flipped[:-1]).mean()
    _share_is(agree, p * p + (1 - p) ** 2, n / 2, f"random_hflip(p={p}): share of neighbours treated alike")
    old = boxes_before
    mirrored = np.c_[3 - old[:, 2], old[:, 1], 3 - old[:, 0], old[:, 3]]
    expect.close(moved, np.where(flipped[:, None], mirrored, old), "random_hflip: boxes")
    expect.unchanged(x, before, "random_hflip: x")
    expect.unchanged(boxes, boxes_before, "random_hflip: boxes")


def _counts_vary(counts, n, p, what):
    """Expect counts of n independent draws each: their variance is n * p * (1 - p)."""
    variance = n * p * (1 - p)
    fourth = variance * (1 + 3 * (n - 2) * p * (1 - p))  # fourth central moment of a binomial distribution
    reach = 5.5 * np.sqrt((fourth - variance**2) / len(counts))
    spread = float(np.mean((np.asarray(counts) - n * p) ** 2))
    expect.between(spread, max(variance - reach, 0.0), variance + reach, what)


@probe
def mirrored_counts(student, x, times):
    """How many images of a batch are mirrored, many times."""
    rng = np.random.default_rng(8)
    return [int((student.random_hflip(x, rng, 0.5)[:, 0, 0, 0] == 1).sum()) for _ in range(times)]


@pytest.mark.task("augmentation")
def test_how_many_are_mirrored_is_chance_as_well(student):
    """random_hflip: the coins are independent, so all images of a batch may be mirrored, or none."""
    x = np.tile([0.0, 1.0], (6, 1, 1, 1))

    counts = mirrored_counts(student, x, 400)

    _counts_vary(counts, 6, 0.5, "random_hflip: variance of the number of mirrored images in a batch of 6")


@pytest.mark.task("augmentation")
def test_never_and_always_are_probabilities_too(student, rng):
    """random_hflip: p may be 0 or 1, and the result is always in new memory, with the dtypes that came in."""
    x = rng.uniform(size=(30, 3, 2, 5))
    boxes = np.tile([1.0, 0, 2, 2], (30, 1))
    before = x.copy(), boxes.copy()

    never, still = student.random_hflip(x, rng, 0.0, boxes)
    always, moved = student.random_hflip(x, rng, p=1.0, boxes=boxes)
    twice, back = student.random_hflip(always, rng, p=1.0, boxes=moved)

    expect.close(never, before[0], "random_hflip(p=0)")
    expect.close(still, before[1], "random_hflip(p=0): boxes")
    want = _transforms().horizontal_flip(torch.from_numpy(before[0])).numpy()
    expect.close(always, want, "random_hflip(p=1)")
    expect.close(moved, np.tile([3.0, 0, 4, 2], (30, 1)), "random_hflip(p=1): boxes")
    expect.close(twice, before[0], "random_hflip(p=1), twice")
    expect.close(back, before[1], "random_hflip(p=1), twice: boxes")
    alone, kept = student.random_hflip(x, rng, 1.0), student.random_hflip(x, rng, 0.0)
    expect.close(alone, want, "random_hflip(p=1) without boxes")
    expect.close(kept, before[0], "random_hflip(p=0) without boxes")
    expect.dtype(student.random_hflip(x, rng, 0.5, boxes.astype(np.float32))[1], np.float32, "random_hflip: boxes")
    for images, moved_boxes, what in (
        (never, still, "random_hflip(p=0)"),
        (always, moved, "random_hflip(p=1)"),
    ):
        expect.no_alias(images, x, what)
        expect.no_alias(moved_boxes, boxes, f"{what}: boxes")
    expect.unchanged(x, before[0], "random_hflip: x")
    expect.unchanged(boxes, before[1], "random_hflip: boxes")


@pytest.mark.task("augmentation", weight=2)
def test_each_place_of_the_window_is_equally_likely(student, rng):
    """random_crop: draw row and column of each image's window separately; all places are equally likely."""
    x = rng.uniform(0.1, 1, size=(3000, 1, 3, 5)).astype(np.float32)
    before = x.copy()

    images = student.random_crop(x, 2, rng)

    expect.shape(images, x.shape, "random_crop")
    padded = np.pad(before, ((0, 0), (0, 0), (2, 2), (2, 2)))
    fits = np.array(
        [
            (images == padded[:, :, top : top + 3, left : left + 5]).all(axis=(1, 2, 3))
            for top in range(5)
            for left in range(5)
        ]
    )  # (25, 3000)
    counts = fits.sum(axis=1)
    expect.is_true(counts.sum() == 3000, "random_crop: an image is no window of the padded image.")
    for axis, name in ((1, "row"), (0, "column")):
        for place, count in enumerate(counts.reshape(5, 5).sum(axis=axis)):
            _share_is(count / 3000, 1 / 5, 3000, f"random_crop: share of windows from {name} {place}")
        place = fits.reshape(5, 5, 3000).any(axis=axis).argmax(axis=0)
        agree = (place[1:] == place[:-1]).mean()
        _share_is(agree, 1 / 5, 1500, f"random_crop: share of neighbours in the batch with the same {name}")
    for place, count in enumerate(counts):
        _share_is(count / 3000, 1 / 25, 3000, f"random_crop: share of windows from {divmod(place, 5)}")
    expect.unchanged(x, before, "random_crop: x")


@pytest.mark.task("augmentation")
def test_a_crop_treats_all_channels_alike(student, rng):
    """random_crop: all channels of an image share one window, and the result is new also without a border."""
    x = np.repeat(rng.uniform(size=(50, 1, 6, 4)), 3, axis=1)

    images, same = student.random_crop(x, 3, rng), student.random_crop(x, 0, rng)

    expect.shape(images, x.shape, "random_crop")
    expect.close(images, np.repeat(images[:, :1], 3, axis=1), "random_crop of three equal channels")
    expect.close(same, x, "random_crop(pad=0)")
    expect.no_alias(same, x, "random_crop(pad=0)")


def _factors(images, x):
    """The factors b and c of each image, from two of its pixels that were not clipped: at [0, 0, 0] and [0, 0, 1]."""
    slope = (images[:, 0, 0, 1] - images[:, 0, 0, 0]) / (x[:, 0, 0, 1] - x[:, 0, 0, 0])
    shift = images[:, 0, 0, 0] - slope * x[:, 0, 0, 0]
    b = slope + shift / x.mean(axis=(1, 2, 3))  # slope = b * c and shift = (1 - c) * b * mean
    return b, slope / b


def _images_with_two_calm_pixels(rng, n):
    x = rng.uniform(0, 1, size=(n, 3, 4, 5))
    x[:, 0, 0, 0], x[:, 0, 0, 1] = 0.4, 0.55
    return x


@pytest.mark.task("augmentation", weight=2)
def test_jitter_follows_its_formula(student, rng):
    """color_jitter: follow the formula of the docstring: one mean for each image, one clip at the end; x stays."""
    x = _images_with_two_calm_pixels(rng, 200)
    before = x.copy()

    images = student.color_jitter(x, rng, 0.3, 0.4)

    expect.shape(images, x.shape, "color_jitter")
    b, c = (factor[:, None, None, None] for factor in _factors(images, before))
    mean = (b * before).mean(axis=(1, 2, 3), keepdims=True)
    want = np.clip(mean + c * (b * before - mean), 0, 1)
    expect.close(images, want, "color_jitter", rtol=1e-6, atol=1e-8)
    expect.unchanged(x, before, "color_jitter: x")


@pytest.mark.task("augmentation", weight=2)
def test_factors_of_jitter_are_uniform_and_independent(student, rng):
    """color_jitter: b and c are drawn separately for each image, uniform over the whole of their ranges."""
    x = _images_with_two_calm_pixels(rng, 2400)

    b, c = _factors(student.color_jitter(x, rng, brightness=0.3, contrast=0.5), x)
    b_default, c_default = _factors(student.color_jitter(x, rng), x)

    _follows(b, _uniform(0.7, 1.3), "color_jitter(brightness=0.3)", "b is not uniform from 0.7 to 1.3.")
    _follows(c, _uniform(0.5, 1.5), "color_jitter(contrast=0.5)", "c is not uniform from 0.5 to 1.5.")
    _follows(b_default, _uniform(0.8, 1.2), "color_jitter", "by default b is not uniform from 0.8 to 1.2.")
    _follows(c_default, _uniform(0.8, 1.2), "color_jitter", "by default c is not uniform from 0.8 to 1.2.")
    for sample, reach, name in ((b, 0.3, "b"), (c, 0.5, "c"), (b_default, 0.2, "b"), (c_default, 0.2, "c")):
        what = f"color_jitter: {name} from 1 - {reach} to 1 + {reach}, as two pixels of an image show it"
        near = 0.015 * reach  # that none of 2,400 comes within 0.75 % of the range to its end: 1e-8
        expect.between(sample.min(), 1 - reach - 1e-6, 1 - reach + near, f"{what}: the smallest")
        expect.between(sample.max(), 1 + reach - near, 1 + reach + 1e-6, f"{what}: the largest")
    for sample, name in ((b, "b"), (c, "c"), (b_default, "b"), (c_default, "c")):
        is_own = len(np.unique(sample.round(9))) > 2320
        expect.is_true(is_own, f"color_jitter: several images have the same {name}.")
    for one, other in ((b, c), (b_default, c_default)):
        correlation = float(np.corrcoef(one, other)[0, 1])
        expect.between(correlation, -0.115, 0.115, "color_jitter: correlation of b and c")


@pytest.mark.task("augmentation")
def test_jitter_can_be_switched_off(student, rng):
    """color_jitter: a width of 0 means a factor of exactly 1, the other factor works on, and the result is new."""
    x = _images_with_two_calm_pixels(rng, 40)
    before = x.copy()

    b, c = _factors(student.color_jitter(x, rng, brightness=0, contrast=0.4), before)
    b2, c2 = _factors(student.color_jitter(x, rng, brightness=0.4, contrast=0), before)
    same = student.color_jitter(x, rng, 0, 0)

    expect.close(b, np.ones(40), "color_jitter(brightness=0): b", rtol=1e-6)
    expect.close(c2, np.ones(40), "color_jitter(contrast=0): c", rtol=1e-6)
    expect.between(c.std(), 0.1, 0.4, "color_jitter(brightness=0): spread of c")
    expect.between(b2.std(), 0.1, 0.4, "color_jitter(contrast=0): spread of b")
    expect.close(same, before, "color_jitter(brightness=0, contrast=0)", rtol=1e-6)
    expect.no_alias(same, x, "color_jitter(brightness=0, contrast=0)")


@pytest.mark.task("augmentation", weight=2)
def test_each_square_is_equally_likely(student, rng):
    """cutout: one square for each image, in all channels; all places inside the image are equally likely; x stays."""
    x = rng.uniform(0.1, 1, size=(2400, 2, 5, 6)).astype(np.float32)
    before = x.copy()

    images = student.cutout(x, 3, rng)

    expect.shape(images, x.shape, "cutout")
    fits = np.zeros((3, 4, 2400), dtype=bool)
    for top in range(3):
        for left in range(4):
            want = before.copy()
            want[:, :, top : top + 3, left : left + 3] = 0
            fits[top, left] = (images == want).all(axis=(1, 2, 3))
    table = fits.sum(axis=2)
    expect.is_true(
        table.sum() == 2400,
        "cutout: an image is not the old one with a whole square of zeros in all channels.",
    )
    for axis, name in ((1, "row"), (0, "column")):
        n = len(table.sum(axis=axis))
        for place, count in enumerate(table.sum(axis=axis)):
            _share_is(count / 2400, 1 / n, 2400, f"cutout: share of squares from {name} {place}")
        place = fits.any(axis=axis).argmax(axis=0)
        agree = (place[1:] == place[:-1]).mean()
        _share_is(agree, 1 / n, 1200, f"cutout: share of neighbours in the batch with the same {name}")
    for place, count in enumerate(table.ravel()):
        _share_is(count / 2400, 1 / 12, 2400, f"cutout: share of squares at {divmod(place, 4)}")
    expect.unchanged(x, before, "cutout: x")


@pytest.mark.task("augmentation")
def test_the_smallest_and_the_largest_square_fit(student, rng):
    """cutout: size may be 0, or as large as the image is high; the result is in new memory."""
    x = rng.uniform(0.1, 1, size=(40, 1, 3, 5))

    before = x.copy()

    same, full = student.cutout(x, 0, rng), student.cutout(x, 3, rng)

    expect.close(same, before, "cutout(size=0)")
    expect.no_alias(same, x, "cutout(size=0)")
    expect.shape(full, before.shape, "cutout of the full height")
    expect.equal((full == 0).all(axis=2).sum(axis=(1, 2)), np.full(40, 3), "cutout(size=H): columns of zeros")
    expect.unchanged(x, before, "cutout: x")


@pytest.mark.task("augmentation", weight=2)
@pytest.mark.parametrize("alpha", [0.3, 2.0])
def test_shares_of_mixup_follow_a_beta_distribution(student, rng, alpha):
    """mixup: each image draws its lam from Beta(alpha, alpha) and a random partner; its label gets the same two."""
    y = np.eye(400)
    x = 0.5 * y.reshape(400, 1, 20, 20)
    x_before, y_before = x.copy(), y.copy()

    images, labels = student.mixup(x, y, alpha, rng)

    expect.shape(images, x.shape, "mixup: images")
    expect.close(2 * images.reshape(400, 400), labels, "mixup: images against labels", rtol=1e-9)
    expect.close(labels.sum(axis=1), np.ones(400), "mixup: sum of a label")
    share, alone = np.diagonal(labels), (labels > 0).sum(axis=1) == 1
    expect.is_true(bool(((labels > 0).sum(axis=1) <= 2).all()), "mixup: an image has more than one partner.")
    expect.is_true(alone.mean() < 0.1, "mixup: images have no partner, or only themselves.")
    draws = np.sort(rng.beta(alpha, alpha, size=200_000))
    _follows(
        share[~alone],
        lambda values: np.searchsorted(draws, values) / len(draws),
        f"mixup(alpha={alpha})",
        "the shares do not follow Beta(alpha, alpha).",
    )
    spread = (draws - 0.5) ** 2  # its mean is the variance of Beta(alpha, alpha)
    reach = 5.5 * spread.std() / np.sqrt(len(share[~alone]))
    expect.between(
        ((share[~alone] - 0.5) ** 2).mean(),
        spread.mean() - reach,
        spread.mean() + reach,
        f"mixup(alpha={alpha}): mean square of a share's distance from one half",
    )
    others = np.where(np.eye(400, dtype=bool), 0, labels)[~alone].argmax(axis=1)
    expect.is_true(len(np.unique(others)) > 200, "mixup: most images have the same few partners.")
    ahead = (others - np.flatnonzero(~alone)) % 400
    expect.is_true(np.bincount(ahead).max() < 20, "mixup: partners are not random.")
    is_own = len(np.unique(share[~alone].round(12))) > 0.9 * len(others)
    expect.is_true(is_own, "mixup: several images have the same share.")
    near = (others < 200) == (np.flatnonzero(~alone) < 200)
    _share_is(near.mean(), 0.5, len(near), "mixup: share of partners from an image's own half of the batch")
    again = np.where(np.eye(400, dtype=bool), 0, student.mixup(x, y, alpha, rng)[1])[~alone].argmax(axis=1)
    expect.is_true(int((again == others).sum()) < 20, "mixup: in the next call images have the same partners.")
    expect.unchanged(x, x_before, "mixup: x")
    expect.unchanged(y, y_before, "mixup: y")


@probe
def what_chance_depends_on(student, x, y):
    """Run each function twice from the same state and once from another; watch NumPy's global state."""
    ways = {
        "random_hflip": lambda rng: student.random_hflip(x, rng),
        "random_crop": lambda rng: student.random_crop(x, 3, rng),
        "color_jitter": lambda rng: student.color_jitter(x, rng),
        "cutout": lambda rng: student.cutout(x, 2, rng),
        "mixup": lambda rng: student.mixup(x, y.astype(np.float64), 0.7, rng)[0],
        "mixup (labels)": lambda rng: student.mixup(x.astype(np.float64), y, 0.7, rng)[1],
        "batches": lambda rng: np.concatenate([images for images, _ in student.batches(x, y, 7, rng)]),
    }
    found = {}
    for name, way in ways.items():
        np.random.seed(1)
        before = np.random.get_state()[1].copy()
        state = np.random.get_state()[2]
        rng = np.random.default_rng(5)
        first, later = way(rng), way(rng)
        np.random.seed(2)
        again = way(np.random.default_rng(5))
        np.random.seed(1)
        way(np.random.default_rng(6))
        now = np.random.get_state()
        quiet = bool((now[1] == before).all() and now[2] == state)
        same = bool(np.array_equal(first, again))
        moves = not np.array_equal(first, later)
        found[name] = same, moves, quiet, first.dtype.name
    return found


@pytest.mark.task("augmentation", weight=2)
def test_all_chance_comes_from_the_generator(student, rng):
    """All chance comes from rng, which goes on from call to call; images and labels each keep their own dtype."""
    x = rng.uniform(size=(40, 3, 6, 5)).astype(np.float32)
    y = rng.uniform(size=(40, 3)).astype(np.float32)

    for name, (same, moves, quiet, kind) in what_chance_depends_on(student, x, y).items():
        expect.is_true(same, f"{name}: two generators in the same state gave different images.")
        expect.is_true(moves, f"{name}: a second call with the same generator gave the same images.")
        expect.is_true(quiet, f"{name}: it touches NumPy's global random state.")
        expect.equal(kind, "float32", f"{name}: dtype of what it returns, given float32")


@probe
def two_epochs(student, x, y, training):
    """Collect two passes of batches with an augmentation that leaves a trace, and what became of the generator."""
    rng = np.random.default_rng(3)
    start = rng.bit_generator.state
    sizes, given = [], []

    def augment(images, generator):
        sizes.append(len(images))
        given.append(generator is rng)
        return images + 1000

    passes = []
    for _ in range(2):
        got = list(student.batches(x, y, 8, rng, augment, training))
        passes.append(
            (
                np.concatenate([g[0] for g in got]),
                np.concatenate([g[1] for g in got]),
                [len(g[1]) for g in got],
            )
        )
    plain = list(student.batches(x, y, 9, np.random.default_rng(3)))
    lengths = [len(g[1]) for g in plain]
    images = np.concatenate([g[0] for g in plain])
    single = [len(g[1]) for g in student.batches(x, y, 100, np.random.default_rng(3), None, training)]
    return passes, sizes, all(given), rng.bit_generator.state == start, (images, lengths, single)


@pytest.mark.task("augmentation", weight=2)
def test_training_batches_hold_each_image_once(student, rng):
    """batches in training: all images once, in a new random order at each call, each with its label; augment once."""
    x, y = np.arange(27.0).reshape(27, 1, 1, 1), rng.permutation(27)
    before = x.copy(), y.copy()

    passes, sizes, given, _, (plain, thirds, single) = two_epochs(student, x, y, True)

    for images, labels, lengths in passes:
        order = images.ravel() - 1000
        expect.close(np.sort(order), np.arange(27.0), "batches: the images of a pass, sorted")
        expect.equal(labels, before[1][order.astype(int)], "batches: labels of its images")
        expect.dtype(labels, np.int64, "batches: labels")
        expect.equal(lengths, [8, 8, 8, 3], "batches: their sizes")
        expect.is_true(not np.array_equal(order, np.sort(order)), "batches: in training nothing is shuffled.")
        # in a random order of 27 about one image is followed by its neighbour, and a third stay in their batch
        expect.is_true(
            int((np.diff(order) == 1).sum()) <= 12 and not (order // 8 == np.arange(27) // 8).all(),
            "batches: in training images keep their neighbours, or their batch.",
        )
    expect.is_true(not np.array_equal(passes[0][1], passes[1][1]), "batches: two passes have the same order.")
    expect.equal(sizes, [8, 8, 8, 3] * 2, "batches: sizes of what augment received")
    expect.equal(given, True, "batches: whether augment received the generator itself")
    expect.close(np.sort(plain.ravel()), np.arange(27.0), "batches without augment: the images of a pass, sorted")
    expect.equal(thirds, [9, 9, 9], "batches of 9 of 27 images: their sizes")
    expect.equal(single, [27], "batches of 100 of 27 images: their sizes")
    expect.unchanged(x, before[0], "batches: x")
    expect.unchanged(y, before[1], "batches: y")


@pytest.mark.task("augmentation", weight=2)
def test_validation_is_never_augmented(student, rng):
    """batches in validation: images and labels in their order, untouched, and rng is never used."""
    x, y = rng.uniform(size=(27, 1, 2, 1)), rng.permutation(27)

    passes, sizes, _, untouched, (*_, single) = two_epochs(student, x, y, False)

    for images, labels, lengths in passes:
        expect.close(images, x, "batches of validation: images")
        expect.equal(labels, y, "batches of validation: labels")
        expect.equal(lengths, [8, 8, 8, 3], "batches of validation: their sizes")
    expect.equal(single, [27], "batches of validation, of 100 of 27 images: their sizes")
    expect.equal(sizes, [], "batches of validation: what augment received")
    expect.equal(untouched, True, "batches of validation: the generator is as it was")


@pytest.mark.task("augmentation", weight=2)
def test_a_change_must_not_make_a_six_a_nine(student):
    """keeps_label: go through all classes of the data set; one class that is broken forbids the change."""
    breaking = [
        ("digits", "hflip"),
        ("digits", "half_turn"),
        ("digits", "quarter_turn"),
        ("shapes10", "quarter_turn"),
    ]
    for dataset in ("digits", "shapes10"):
        for change in ("hflip", "half_turn", "quarter_turn", "shift", "brighter"):
            got = student.keeps_label(dataset, change)
            expect.equal(got, (dataset, change) not in breaking, f"keeps_label({dataset!r}, {change!r})")


# ------------------------------------------------------------------------------------------------------------
# 5.2  Batch normalisation
# ------------------------------------------------------------------------------------------------------------

# shape, momentum, eps: batches of four, so that biased and unbiased variances differ; every axis its own size
NORMS = [((4, 3), 0.1, 1e-5), ((4, 3, 5, 2), 0.3, 1e-2), ((2, 5), 1.0, 1e-3), ((1, 2, 3, 4), 0.0, 1e-5)]


def _oracle(shape, momentum, eps, gamma, beta):
    """PyTorch's layer in float64."""
    layer = (nn.BatchNorm1d if len(shape) == 2 else nn.BatchNorm2d)(shape[1], eps, momentum).double()
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(gamma))
        layer.bias.copy_(torch.from_numpy(beta))
    return layer


@probe
def layer_with(student, momentum, eps, gamma, beta):
    """Make a layer, and give it its gamma and beta in place, as an optimiser does."""
    bn = student.BatchNorm(len(gamma), momentum, eps)
    bn.gamma[...] = gamma
    bn.beta[...] = beta
    return bn


def _layer(student, rng, shape, momentum, eps):
    """The student's layer with random gamma and beta, and the oracle with the same ones."""
    gamma, beta = rng.uniform(0.5, 2, size=shape[1]), rng.normal(size=shape[1])
    return layer_with(student, momentum, eps, gamma, beta), _oracle(shape, momentum, eps, gamma, beta)


def _draw_x(rng, shape):
    scale = np.arange(1, shape[1] + 1).reshape(1, -1, *[1] * (len(shape) - 2))
    return rng.normal(size=shape) * scale + 3 * scale


@pytest.mark.task("batch_norm", weight=2)
@pytest.mark.parametrize(("shape", "momentum", "eps"), NORMS)
def test_training_agrees_with_pytorch(student, rng, shape, momentum, eps):
    """BatchNorm.forward in training: which variance is for the output, which for running_var? Mind eps and momentum."""
    bn, oracle = _layer(student, rng, shape, momentum, eps)

    for _ in range(3):
        x = _draw_x(rng, shape)
        before = x.copy()
        out, _ = bn.forward(x)
        want = oracle(torch.from_numpy(before)).detach().numpy()
        expect.close(out, want, "BatchNorm.forward", rtol=1e-7, atol=1e-9, dtype=np.float64)
        expect.close(bn.running_mean, oracle.running_mean.numpy(), "BatchNorm.running_mean", rtol=1e-9)
        expect.close(bn.running_var, oracle.running_var.numpy(), "BatchNorm.running_var", rtol=1e-9)
        expect.unchanged(x, before, "BatchNorm.forward: x")
        expect.no_alias(out, x, "BatchNorm.forward")


@pytest.mark.task("batch_norm", weight=2)
@pytest.mark.parametrize(("shape", "momentum", "eps"), NORMS)
def test_gradients_agree_with_pytorch(student, rng, shape, momentum, eps):
    """BatchNorm.backward in training: mean and variance depend on x too; sum over all axes but the channel's."""
    bn, oracle = _layer(student, rng, shape, momentum, eps)
    x, dout = _draw_x(rng, shape), rng.normal(size=shape)
    before = dout.copy()
    leaf = torch.tensor(x, requires_grad=True)
    oracle(leaf).backward(torch.from_numpy(before))

    _, cache = bn.forward(x)
    dx, dgamma, dbeta = bn.backward(dout, cache)

    expect.close(dx, leaf.grad.numpy(), "BatchNorm.backward: dx", rtol=1e-6, atol=1e-9, dtype=np.float64)
    expect.close(dgamma, oracle.weight.grad.numpy(), "BatchNorm.backward: dgamma", rtol=1e-7)
    expect.close(dbeta, oracle.bias.grad.numpy(), "BatchNorm.backward: dbeta", rtol=1e-7)
    expect.unchanged(dout, before, "BatchNorm.backward: dout")


@pytest.mark.task("batch_norm", weight=4)
@pytest.mark.parametrize("shape", [(5, 3), (3, 4, 2, 5)])
def test_eval_agrees_with_pytorch(student, rng, shape):
    """BatchNorm in eval mode: the running statistics are constants, forward and backward, and are not updated."""
    bn, oracle = _layer(student, rng, shape, 0.2, 0.03)
    for _ in range(2):
        x = _draw_x(rng, shape)
        bn.forward(x)
        oracle(torch.from_numpy(x))
    mean, var = np.array(bn.running_mean), np.array(bn.running_var)
    x, dout = _draw_x(rng, shape), rng.normal(size=shape)
    leaf = torch.tensor(x, requires_grad=True)
    want = oracle.eval()(leaf)
    oracle.zero_grad()
    want.backward(torch.from_numpy(dout))
    before = x.copy(), dout.copy()

    bn.eval()
    out, cache = bn.forward(x)
    dx, dgamma, dbeta = bn.backward(dout, cache)
    single, _ = bn.forward(before[0][1:2].copy())

    expect.close(out, want.detach().numpy(), "BatchNorm.forward in eval mode")
    expect.close(single, want.detach().numpy()[1:2], "BatchNorm.forward of a single example in eval mode")
    expect.close(bn.running_mean, mean, "BatchNorm.running_mean after eval", rtol=1e-12)
    expect.close(bn.running_var, var, "BatchNorm.running_var after eval", rtol=1e-12)
    expect.close(dx, leaf.grad.numpy(), "BatchNorm.backward in eval mode: dx")
    expect.close(dgamma, oracle.weight.grad.numpy(), "BatchNorm.backward in eval mode: dgamma")
    expect.close(dbeta, oracle.bias.grad.numpy(), "BatchNorm.backward in eval mode: dbeta")
    expect.no_alias(out, x, "BatchNorm.forward in eval mode")
    expect.unchanged(x, before[0], "BatchNorm.forward in eval mode: x")
    expect.unchanged(dout, before[1], "BatchNorm.backward in eval mode: dout")


@pytest.mark.task("batch_norm")
def test_a_new_layer_starts_like_pytorchs(student):
    """BatchNorm: look at the first values, the defaults and the mode of a new layer; train() and eval() return it."""
    bn, x = student.BatchNorm(3), np.array([[1.0, 2, 1e-3], [3, 2, 2e-3]])
    for name, value in (("gamma", 1.0), ("beta", 0.0), ("running_mean", 0.0), ("running_var", 1.0)):
        expect.close(getattr(bn, name), np.full(3, value), f"BatchNorm.{name} of a new layer", dtype=np.float64)
    expect.equal(bn.training, True, "BatchNorm.training of a new layer")

    out, _ = bn.forward(x)

    oracle = nn.BatchNorm1d(3).double()
    expect.close(out, oracle(torch.from_numpy(x)).detach().numpy(), "BatchNorm.forward")
    expect.close(bn.running_var, oracle.running_var.numpy(), "BatchNorm.running_var")
    expect.equal(bn.eval().training, False, "BatchNorm.eval().training")
    expect.equal(bn.train().training, True, "BatchNorm.train().training")


@pytest.mark.task("batch_norm")
def test_a_constant_channel_becomes_beta(student):
    """BatchNorm: where a channel has no variance, eps keeps forward and backward finite."""
    bn = layer_with(student, 0.1, 1e-5, np.ones(2), np.array([0.5, -1.0]))

    out, cache = bn.forward(np.full((3, 2), 7.0))
    dx, _, _ = bn.backward(np.array([[1.0, 2], [0, 0], [0, 0]]), cache)

    expect.close(out, np.tile([0.5, -1.0], (3, 1)), "BatchNorm.forward of constants")
    want = np.array([[2 / 3, 4 / 3], [-1 / 3, -2 / 3], [-1 / 3, -2 / 3]]) / np.sqrt(1e-5)
    expect.close(dx, want, "BatchNorm.backward for constants", rtol=1e-6)


@pytest.mark.task("batch_norm")
def test_caches_outlive_other_calls(student, rng):
    """BatchNorm: a cache holds all that its own forward used; other forwards and another mode change nothing."""
    bn, oracle = _layer(student, rng, (4, 3), 0.1, 1e-5)
    x, dout = rng.normal(size=(4, 3)), rng.normal(size=(4, 3))
    leaf = torch.tensor(x, requires_grad=True)
    oracle(leaf).backward(torch.from_numpy(dout))

    _, cache = bn.forward(x)
    bn.forward(rng.normal(size=(6, 3)))
    bn.eval().forward(rng.normal(size=(2, 3)))
    bn.backward(rng.normal(size=(4, 3)), cache)
    dx, dgamma, _ = bn.backward(dout, cache)

    expect.close(dx, leaf.grad.numpy(), "BatchNorm.backward, later on: dx", rtol=1e-6)
    expect.close(dgamma, oracle.weight.grad.numpy(), "BatchNorm.backward, later on: dgamma")


@probe
def backward_of_eval_after_training(student, x, dout, seeds):
    """Forward in eval mode, then further training, then the backward that belongs to eval mode."""
    bn = student.BatchNorm(3)
    bn.forward(x)
    out, cache = bn.eval().forward(x)
    bn.train()
    for seed in seeds:
        bn.forward(np.random.default_rng(seed).normal(5, 3, size=(6, 3)))
    return out, bn.backward(dout, cache)


@pytest.mark.task("batch_norm", weight=2)
def test_a_cache_of_eval_mode_outlives_further_training(student, rng):
    """BatchNorm.backward in eval mode uses the running statistics that its forward used, not those of now."""
    x, dout = rng.normal(size=(4, 3)), rng.normal(size=(4, 3))
    oracle, leaf = nn.BatchNorm1d(3).double(), torch.tensor(x, requires_grad=True)
    oracle(torch.from_numpy(x))
    want = oracle.eval()(leaf)
    oracle.zero_grad()
    want.backward(torch.from_numpy(dout))

    out, (dx, dgamma, _) = backward_of_eval_after_training(student, x, dout, [1, 2, 3])

    expect.close(out, want.detach().numpy(), "BatchNorm.forward in eval mode")
    expect.close(dx, leaf.grad.numpy(), "BatchNorm.backward of eval mode, after training went on: dx")
    expect.close(dgamma, oracle.weight.grad.numpy(), "BatchNorm.backward of eval mode, after training: dgamma")


@probe
def parameters_of_a_layer(student, x):
    """Change the parameters in place, as an optimiser does, and see what the layer then computes."""
    bn = student.BatchNorm(3)
    bn.forward(x)
    parameters = bn.parameters()
    own = len(parameters) == 2 and parameters[0] is bn.gamma and parameters[1] is bn.beta
    is_itself = bn.eval() is bn and bn.train() is bn
    other = student.BatchNorm(3)
    for parameter in parameters:
        parameter += 2
    return type(parameters).__name__, own, is_itself, bn.forward(x)[0], other.forward(x)[0]


@pytest.mark.task("batch_norm")
def test_only_gamma_and_beta_are_learned(student, rng):
    """BatchNorm.parameters: the layer's own gamma and beta, read at each forward; train and eval return the layer."""
    x = rng.normal(size=(4, 3))

    kind, own, is_itself, out, other = parameters_of_a_layer(student, x)

    expect.equal(kind, "list", "BatchNorm.parameters: its type")
    expect.is_true(own, "BatchNorm.parameters: it is not the list of the layer's own gamma and beta.")
    expect.is_true(is_itself, "BatchNorm: train() or eval() does not return the layer itself.")
    plain = nn.BatchNorm1d(3).double()(torch.from_numpy(x)).detach().numpy()
    expect.close(out, 3 * plain + 2, "BatchNorm.forward after a change of its parameters")
    expect.close(other, plain, "BatchNorm.forward of another layer")


@pytest.mark.task("batch_norm", weight=2)
def test_what_has_no_meaning_is_refused(student, rng):
    """BatchNorm.forward: the docstring says when it raises ValueError, and that nothing is updated then."""
    bn = student.BatchNorm(2)

    for shape in ((1, 2), (1, 2, 1, 1), (4, 2, 3), (2,), (3, 2, 2, 2, 2)):
        with expect.refused(ValueError, f"BatchNorm.forward of {shape}"):
            bn.forward(rng.normal(size=shape))
    expect.close(bn.running_mean, np.zeros(2), "BatchNorm.running_mean after an error")
    expect.close(bn.running_var, np.ones(2), "BatchNorm.running_var after an error")
    bn.eval()
    out, _ = bn.forward(np.array([[1.0, 2]]))
    expect.close(out, np.array([[1.0, 2]]) / np.sqrt(1 + 1e-5), "BatchNorm.forward of one example in eval mode")
    with expect.refused(ValueError, "BatchNorm.forward of (4, 2, 3) in eval mode"):
        bn.forward(rng.normal(size=(4, 2, 3)))


@pytest.mark.task("batch_norm")
def test_views_are_normalised_as_well(student, rng):
    """BatchNorm.forward: the channel is the second axis, however the numbers are laid out in memory."""
    x = rng.normal(size=(2, 5, 3, 4)).transpose(2, 1, 3, 0)  # (3, 5, 4, 2)

    out, _ = student.BatchNorm(5).forward(x)

    want = nn.BatchNorm2d(5).double()(torch.from_numpy(x.copy())).detach().numpy()
    expect.close(out, want, "BatchNorm.forward of a view")


# ------------------------------------------------------------------------------------------------------------
# 5.3  Dropout
# ------------------------------------------------------------------------------------------------------------


@pytest.mark.task("dropout", weight=2)
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_p_is_the_probability_to_be_dropped(student, rng, p):
    """Dropout.forward: each entry is dropped with probability p; those that stay are divided by what is left of 1."""
    x = rng.choice([-1.0, 1.0], size=(80, 5, 6, 5)) * rng.uniform(1, 2, size=(80, 5, 6, 5))
    before = x.copy()

    out, _ = student.Dropout(p, rng).forward(x)

    expect.shape(out, x.shape, "Dropout.forward")
    expect.dtype(out, np.float64, "Dropout.forward")
    dropped = out == 0
    expect.close(out[~dropped], before[~dropped] / (1 - p), f"Dropout({p}): entries that stay")
    _share_is(dropped.mean(), p, x.size, f"Dropout({p}): share of zeros")
    for axis in range(4):
        ahead, behind = (np.take(dropped, range(*ends), axis) for ends in ((1, x.shape[axis]), (0, x.shape[axis] - 1)))
        agree = (ahead == behind).mean()
        _share_is(agree, p * p + (1 - p) ** 2, ahead.size / 3, f"Dropout({p}): share of neighbours treated alike")
    expect.unchanged(x, before, "Dropout.forward: x")


@probe
def dropped_counts(student, p, shape, times):
    """How many ones of an array are dropped, many times."""
    layer = student.Dropout(p, np.random.default_rng(8))
    return [int((layer.forward(np.ones(shape))[0] == 0).sum()) for _ in range(times)]


@pytest.mark.task("dropout")
def test_how_many_are_dropped_is_chance_as_well(student):
    """Dropout: entries are dropped independently, so that the number of zeros varies from forward to forward."""
    counts = dropped_counts(student, 0.3, (2, 3), 400)

    _counts_vary(counts, 6, 0.3, "Dropout(0.3): variance of the number of zeros among 6 entries")


@pytest.mark.task("dropout")
def test_an_entry_of_zero_was_not_dropped(student, rng):
    """Dropout.backward: an entry that was 0 before may have stayed; remember what was drawn, not what came out."""
    layer, dout = student.Dropout(0.5, rng), rng.uniform(1, 2, size=(30, 40))

    _, cache = layer.forward(np.zeros((30, 40)))
    dx = layer.backward(dout, cache)

    expect.shape(dx, (30, 40), "Dropout.backward")
    stays = dx != 0
    expect.close(dx[stays], 2 * dout[stays], "Dropout.backward for zeros: entries that stay")
    expect.is_true(
        stays.any(), "Dropout.backward: after entries of 0 no gradient passes, although half of them stayed."
    )
    expect.is_true(
        not stays.all(), "Dropout.backward: after entries of 0 every gradient passes, although half were dropped."
    )


@pytest.mark.task("dropout", weight=2)
def test_the_ends_of_the_range_are_allowed(student, rng):
    """Dropout: p may be 0 or 1 (then all is zero), and anything outside [0, 1] is a ValueError."""
    x, dout = rng.normal(size=(7, 9)), rng.normal(size=(7, 9))
    before = dout.copy()

    none, all_ = student.Dropout(0.0, rng), student.Dropout(1.0, rng)
    out, cache = none.forward(x)
    zeros, mask = all_.forward(x)

    expect.close(out, x, "Dropout(0)")
    expect.close(none.backward(dout, cache), before, "Dropout(0).backward")
    expect.close(zeros, np.zeros_like(x), "Dropout(1)")
    expect.close(all_.backward(dout, mask), np.zeros_like(x), "Dropout(1).backward")
    expect.close(all_.eval().forward(x)[0], x, "Dropout(1) in eval mode")
    expect.unchanged(dout, before, "Dropout.backward: dout")
    for p in (-0.1, 1.5):
        with expect.refused(ValueError, f"Dropout({p})"):
            student.Dropout(p)


@pytest.mark.task("dropout", weight=6)
def test_the_mask_belongs_to_its_forward(student, rng):
    """Dropout: each forward pass draws again, and each backward uses the draws of its own forward; dout stays."""
    layer = student.Dropout(0.5, rng)
    dout = rng.normal(size=(8, 3, 5))
    before = dout.copy()

    first, cache = layer.forward(np.ones((8, 3, 5)))
    second, other = layer.forward(np.ones((8, 3, 5)))
    layer.eval().forward(np.ones((8, 3, 5)))

    expect.is_true(not np.array_equal(first, second), "Dropout: two forwards dropped the same entries.")
    for _ in range(2):
        expect.close(layer.backward(dout, cache), before * first, "Dropout.backward of the first forward")
        expect.unchanged(dout, before, "Dropout.backward: dout")
    expect.close(layer.backward(dout, other), before * second, "Dropout.backward of the second forward")


@pytest.mark.task("dropout")
def test_eval_is_the_identity_both_ways(student, rng):
    """Dropout in eval mode: x and its gradient pass as they are; in training mode entries are dropped again."""
    x, dout = rng.normal(size=(20, 30)), rng.normal(size=(20, 30))
    layer = student.Dropout(0.8, rng)
    expect.equal(layer.training, True, "Dropout.training of a new layer")

    out, cache = layer.eval().forward(x)

    expect.close(out, x, "Dropout.forward in eval mode")
    expect.close(layer.backward(dout, cache), dout, "Dropout.backward in eval mode")
    again, _ = layer.train().forward(x)
    expect.close(layer.backward(dout, cache), dout, "Dropout.backward of eval mode, after train()")
    _share_is((again == 0).mean(), 0.8, 600, "Dropout after train(): share of zeros")
    expect.equal(layer.p, 0.8, "Dropout.p")


@probe
def chance_of_dropout(student, x):
    """Draw from equal generators, from none, and in eval mode; watch NumPy's global state."""
    np.random.seed(4)
    start = np.random.get_state()
    one = student.Dropout(0.5, np.random.default_rng(1)).forward(x)[0]
    fresh = [student.Dropout().forward(x)[0], student.Dropout(0.5, None).forward(x)[0]]
    now = np.random.get_state()
    quiet = bool((start[1] == now[1]).all() and start[2] == now[2])
    np.random.seed(5)
    two = student.Dropout(0.5, np.random.default_rng(1)).forward(x)[0]
    np.random.seed(4)
    again = student.Dropout().forward(x)[0]
    rng = np.random.default_rng(2)
    state = rng.bit_generator.state
    layer = student.Dropout(0.5, rng)
    is_itself = layer.eval() is layer
    layer.forward(x)
    drawn_in_eval = rng.bit_generator.state != state
    is_itself &= layer.train() is layer
    layer.forward(x)
    in_training = rng.bit_generator.state != state
    return one, two, [*fresh, again], quiet, drawn_in_eval, in_training, is_itself, student.Dropout().p


@pytest.mark.task("dropout", weight=3)
def test_dropout_draws_from_its_generator_only(student):
    """Dropout: chance comes from rng, or from a fresh seed without it; eval mode draws nothing, and is the layer."""
    found = chance_of_dropout(student, np.ones((30, 40)))
    one, two, fresh, quiet, in_eval, in_training, is_itself, p = found

    expect.close(two, one, "Dropout with generators in the same state")
    expect.is_true(quiet, "Dropout: it touches NumPy's global random state.")
    for first, second in ((0, 1), (0, 2), (1, 2)):
        expect.is_true(
            not np.array_equal(fresh[first], fresh[second]),
            "Dropout without rng: two new layers drop the same entries.",
        )
    # drawn afresh in each run: bounds that no mask of p = 0.5 misses, not even one that all examples share
    share = float(np.mean([layer == 0 for layer in fresh]))
    expect.between(share, 0.25, 0.75, "Dropout(): share of zeros")
    expect.equal(in_eval, False, "Dropout in eval mode: whether it draws from the generator")
    expect.equal(in_training, True, "Dropout in training mode: whether it draws from the generator")
    expect.is_true(is_itself, "Dropout: train() or eval() does not return the layer itself.")
    expect.equal(p, 0.5, "Dropout().p")


# ------------------------------------------------------------------------------------------------------------
# 5.4  Freeze, replace, and learn at two speeds
# ------------------------------------------------------------------------------------------------------------


@probe
def frozen_model(student, head, x):
    """Freeze a model with similar names, batch norms of three kinds and one in its head, train it, look at it."""
    torch.manual_seed(0)

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc_in = nn.Linear(12, 6)
            self.norm = nn.BatchNorm1d(6)
            self.fc2 = nn.Linear(6, 8)
            self.flat = nn.BatchNorm2d(2)
            self.deep = nn.ModuleDict({"inner": nn.Sequential(nn.BatchNorm3d(2), nn.ReLU())})
            self.fc = nn.Linear(8, 3)
            self.top = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Dropout(0.5), nn.Linear(5, 2))

        def forward(self, x):
            x = self.fc2(self.norm(self.fc_in(x)).relu())
            x = self.flat(x.reshape(-1, 2, 2, 2))
            x = self.deep["inner"](x.reshape(-1, 2, 2, 1, 2)).reshape(-1, 8)
            return self.top(self.fc(x))

    model = Model().train()
    for parameter in model.get_submodule(head).parameters():
        parameter.requires_grad = False
    returned = student.freeze_backbone(model, head)
    learning = sorted(name for name, parameter in model.named_parameters() if parameter.requires_grad)
    modes = {name: module.training for name, module in model.named_modules()}
    before = {name: value.clone() for name, value in model.state_dict().items()}
    asking = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(asking or [torch.zeros(1)], lr=0.1)
    for _ in range(2 if asking else 0):
        model(torch.from_numpy(x)).square().sum().backward()
        optimizer.step()
    moved = sorted(name for name, value in model.state_dict().items() if not torch.equal(value, before[name]))
    gradients = sorted(name for name, parameter in model.named_parameters() if parameter.grad is not None)
    return learning, modes, moved, gradients, returned is model


@pytest.mark.task("freezing", weight=2)
@pytest.mark.parametrize("head", ["fc", "top", "top.3"])
def test_training_moves_nothing_but_the_head(student, rng, head):
    """freeze_backbone: the backbone's parameters and batch norms (1d, 2d, 3d) stop; all of the head goes on."""
    x = rng.normal(size=(7, 12)).astype(np.float32)

    learning, modes, moved, gradients, returned = frozen_model(student, head, x)

    of_head = {"fc": ["fc.bias", "fc.weight"], "top.3": ["top.3.bias", "top.3.weight"]}.get(
        head, [f"top.{layer}.{kind}" for layer in (0, 1, 3) for kind in ("bias", "weight")]
    )
    expect.equal(learning, of_head, f"freeze_backbone(head={head!r}): parameters that require a gradient")
    expect.equal(gradients, of_head, f"freeze_backbone(head={head!r}): parameters with a gradient after training")
    statistics = [f"top.1.{kind}" for kind in ("num_batches_tracked", "running_mean", "running_var")]
    want = sorted(of_head + (statistics if head == "top" else []))
    expect.equal(moved, want, f"freeze_backbone(head={head!r}): what two steps of training changed")
    expect.equal(modes[""], True, "freeze_backbone: model.training")
    expect.equal(modes[head], True, f"freeze_backbone: training of the head {head!r}")
    if head == "top":
        expect.equal([modes["top.1"], modes["top.2"]], [True, True], "freeze_backbone: training of the head's layers")
    for name in ("norm", "flat", "deep.inner.0"):
        expect.equal(modes[name], False, f"freeze_backbone: training of the batch norm {name!r}")
    expect.equal(returned, True, "freeze_backbone: whether it returns the model")


@probe
def thawed_head(student):
    """Freeze a model that was frozen as a whole, in eval mode, with the default name of the head."""
    net = student.ShapeNet(4).eval()
    for parameter in net.parameters():
        parameter.requires_grad = False
    student.freeze_backbone(net)
    return [p.requires_grad for p in net.head.parameters()], net.training, net.head.training


@pytest.mark.task("freezing")
def test_a_frozen_head_is_thawed(student):
    """freeze_backbone: the head's parameters require a gradient afterwards; modes of head and model stay."""
    asks, training, head_training = thawed_head(student)

    expect.equal(asks, [True, True], "freeze_backbone: requires_grad of the head's parameters")
    expect.equal([training, head_training], [False, False], "freeze_backbone: modes of a model in eval mode")


@probe
def replaced_heads(student, x):
    """Replace nested heads of several makes; compare what is around them."""
    found = []
    for head, bias, dtype in (
        ("body.cls.2", True, "float64"),
        ("body.cls.2", False, "float32"),
        ("out", True, "float32"),
    ):
        torch.manual_seed(3)
        inner = collections.OrderedDict(
            flat=nn.Flatten(), cls=nn.Sequential(nn.Linear(6, 4), nn.Dropout(0.1), nn.Linear(4, 5, bias=bias))
        )
        parts = collections.OrderedDict(body=nn.Sequential(inner), out=nn.Linear(5, 7))
        model = nn.Sequential(parts).to(getattr(torch, dtype))
        if head == "body.cls.2":
            model = nn.Sequential(collections.OrderedDict(body=model.body))
        for number, part in enumerate(model.modules()):
            part.training = number % 2 == 0
        for number, (name, parameter) in enumerate(model.named_parameters()):
            parameter.requires_grad = number % 2 == 0 and not name.startswith(head + ".")
        old = dict(model.named_parameters())
        asked = {name: parameter.requires_grad for name, parameter in old.items()}
        values = {name: parameter.detach().clone() for name, parameter in old.items()}
        parts = dict(model.named_modules())
        modes = {name: part.training for name, part in parts.items()}
        known = model.get_submodule(head).weight.detach().clone()
        returned = student.replace_head(model, 9, head)
        new = model.get_submodule(head)
        twin = student.replace_head(copy.deepcopy(model), 9, head).get_submodule(head)
        kept = all(
            value is old.get(name) and value.requires_grad == asked[name] and torch.equal(value, values[name])
            for name, value in model.named_parameters()
            if not name.startswith(head + ".")
        )
        kept &= all(part.training == modes.get(name) for name, part in model.named_modules() if name != head)
        kept_modules = [name for name, part in model.named_modules() if part is not parts.get(name)]
        try:
            out = model.eval()(torch.from_numpy(x).to(getattr(torch, dtype)))
        except RuntimeError:  # the sizes or the dtype of the new head, which the test looks at before the scores
            out = torch.empty(0)
        weights = new.weight.detach()
        found.append(
            (
                isinstance(new, nn.Linear), tuple(weights.shape), new.bias is not None, str(weights.dtype),
                tuple(out.shape), kept, kept_modules, returned is model, float(weights.std()),
                all(parameter.requires_grad for parameter in new.parameters()),
                float(torch.isin(weights, known).float().mean()), len(old),
                len(list(model.named_parameters())), torch.equal(weights, twin.weight),
            )
        )  # fmt: skip
    return found


@pytest.mark.task("freezing", weight=2)
def test_a_new_head_is_like_the_old_one_but_for_its_classes(student, rng):
    """replace_head: a new random nn.Linear with the old one's features, bias and dtype; all else in the model stays."""
    found = replaced_heads(student, rng.normal(size=(3, 2, 3)))

    for case, (head, features, bias, dtype) in zip(
        found,
        [("body.cls.2", 4, True, "torch.float64"), ("body.cls.2", 4, False, "torch.float32"),
         ("out", 5, True, "torch.float32")],
        strict=True,
    ):  # fmt: skip
        (
            is_linear,
            shape,
            has_bias,
            got_dtype,
            out,
            kept,
            changed,
            returned,
            spread,
            asks,
            copied,
            before,
            after,
            is_repeated,
        ) = case
        what = f"replace_head(model, 9, {head!r})"
        expect.equal(is_linear, True, f"{what}: whether the new head is an nn.Linear")
        expect.equal(shape, (9, features), f"{what}: shape of its weight")
        expect.equal(has_bias, bias, f"{what}: whether it has a bias")
        expect.equal(got_dtype, dtype, f"{what}: dtype of its weight")
        expect.equal(out, (3, 9), f"{what}: shape of the scores")
        expect.is_true(
            kept, f"{what}: other parameters of the model were replaced or changed, or modes of other layers."
        )
        expect.equal(changed, [head], f"{what}: modules that were replaced")
        expect.equal(after, before, f"{what}: number of parameter tensors")
        expect.equal(returned, True, f"{what}: whether it returns the model")
        expect.is_true(spread > 1e-3, f"{what}: its weights are all the same.")
        expect.is_true(copied < 0.3, f"{what}: its weights are those of the old head; draw new ones.")
        expect.is_true(not is_repeated, f"{what}: two new heads have the same weights.")
        expect.equal(asks, True, f"{what}: whether all its parameters require a gradient")


@probe
def rates_of_parameters(student, frozen, head):
    """The rates at which each parameter is in the groups, also after the groups were read once."""
    torch.manual_seed(0)
    model = nn.ModuleDict(
        {
            "stem": nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)),
            "tied": nn.Linear(4, 4),
            "head": nn.Sequential(nn.Linear(4, 2, bias=False), nn.Linear(2, 2)),
            "header": nn.Linear(2, 2),
            "twin": nn.Linear(2, 2, bias=False),
        }
    )
    model["stem"].add_module("again", model["tied"])
    model["twin"].weight = model["header"].weight
    for name, parameter in model.named_parameters():
        parameter.requires_grad = not any(name.startswith(prefix) for prefix in frozen)
    asks = sorted(name for name, parameter in model.named_parameters() if parameter.requires_grad)
    groups = student.param_groups(model, 0.3, 0.02, head)
    if not isinstance(groups, list) or not all(isinstance(group, dict) for group in groups):
        return {}, [], asks, False
    sizes = [len(list(group["params"])) for group in groups]
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    rates = {}
    for group in groups:
        for parameter in group["params"]:
            name = names.get(id(parameter), "one that is not the model's")
            rates.setdefault(name, []).append(group.get("lr"))
    asks = sorted(name for name, parameter in model.named_parameters() if parameter.requires_grad)
    return rates, sizes, asks, isinstance(groups, list)


@pytest.mark.task("freezing")
@pytest.mark.parametrize("head", ["head", "head.1"])
@pytest.mark.parametrize("frozen", [[], ["stem.0"], ["stem", "tied"], ["head."], ["stem", "tied", "header"]])
def test_each_learning_parameter_stands_in_one_group(student, frozen, head):
    """param_groups: each parameter that requires a gradient once, with its rate; no frozen one, no empty group."""
    rates, sizes, asks, is_list = rates_of_parameters(student, frozen, head)

    names = [
        "stem.0.weight",
        "stem.0.bias",
        "stem.1.weight",
        "stem.1.bias",
        "stem.again.weight",
        "stem.again.bias",
    ]
    names += ["head.0.weight", "head.1.weight", "head.1.bias", "header.weight", "header.bias"]
    want = {
        name: [0.3 if name.startswith(head + ".") else 0.02]
        for name in names
        if not any(name.startswith(prefix) for prefix in frozen)
    }
    expect.is_true(is_list, "param_groups: the groups are no list of dicts.")
    expect.equal(rates, want, "param_groups: rates of each parameter")
    expect.is_true(all(size > 0 for size in sizes), "param_groups: a group is empty.")
    expect.equal(asks, sorted(want), "param_groups: parameters that require a gradient afterwards")


# ------------------------------------------------------------------------------------------------------------
# 5.5  Transfer learning, compared
# ------------------------------------------------------------------------------------------------------------

# Over 14 draws of 30 images with noise 0.25 the reference reaches (mean, standard deviation of one draw):
#     linear_probe 0.940 (0.016), fine_tune 0.935 (0.028), scratch 0.632 (0.094); on the training images 0.97 to 1.00.
# The floors are for means of three draws and lie four standard deviations of such a mean below it; the last one, for
# training images, only asks whether a way was trained at all.
PROBE_FLOOR, GAIN_FLOOR, TUNE_FLOOR, FIT_FLOOR = 0.90, 0.08, 0.85, 0.75
# The docstrings promise CPU seconds; a machine may be half as fast as the one they were measured on.
SLOW_MACHINE = 2


def _given_state():
    return {name: torch.from_numpy(array) for name, array in shapes7_weights().items()}


def _held_out(n, seed):
    """n images of each of the three classes that the given weights have never seen, sorted by class."""
    images, labels = shapes10(10 * n, seed, noise=0.25)
    chosen = np.concatenate([np.flatnonzero(labels == label) for label in (7, 8, 9)])
    return images[chosen], labels[chosen] - 7


@probe
def scores_of_three_ways(student, state, x, y, unseen, seed):
    """Compare, and return what each network says of unseen and of known images, its weights and its place in memory."""
    start = time.process_time()
    nets = student.compare_transfer(state, x, y, seed=seed)
    seconds = time.process_time() - start
    found = {}
    with torch.no_grad():
        for way, net in nets.items():
            scores = net(torch.from_numpy(unseen)), net(torch.from_numpy(x))
            tensors = {name: value.clone() for name, value in net.state_dict().items()}
            places = [value.data_ptr() for value in net.state_dict().values() if value.numel()]
            modes = [part.training for part in net.modules()]
            found[way] = *scores, tensors, modes, isinstance(net, student.ShapeNet), places
    return found, [value.data_ptr() for value in state.values() if value.numel()], seconds


@pytest.fixture(scope="module")
def three_comparisons(student, seed):
    """Three draws of ten images a class: predictions on unseen images, and all that is needed to judge them."""
    found = []
    for draw in range(3):
        x, y = _held_out(10, (seed, 10 + draw))
        unseen, labels = _held_out(100, (seed, 20 + draw))
        state = _given_state()
        nets, places, seconds = scores_of_three_ways(student, state, x, y, unseen, (seed + draw) % 1000)
        found.append((nets, places, y, labels, state, seconds))
    return found


def _mean_accuracy(comparisons, way, on_unseen):
    rates = []
    for nets, _, y, labels, *_ in comparisons:
        scores, truth = (nets[way][0], labels) if on_unseen else (nets[way][1], y)
        expect.shape(scores, (len(truth), 3), f"compare_transfer: scores of {way}")
        rates.append(float((scores.argmax(dim=1).numpy() == truth).mean()))
    return float(np.mean(rates))


@pytest.mark.task("transfer", weight=2)
def test_a_linear_probe_needs_thirty_images(three_comparisons):
    """compare_transfer: the docstring says what share of unseen images the linear probe must get right."""
    share = _mean_accuracy(three_comparisons, "linear_probe", True)

    expect.at_least(
        share,
        PROBE_FLOOR,
        "compare_transfer: linear_probe, share of unseen images that are right",
    )


@pytest.mark.task("transfer", weight=2)
def test_transfer_beats_a_start_from_scratch(three_comparisons):
    """compare_transfer: the docstring says by how much the linear probe must beat the network from scratch."""
    probed = _mean_accuracy(three_comparisons, "linear_probe", True)
    scratch = _mean_accuracy(three_comparisons, "scratch", True)

    expect.at_least(probed - scratch, GAIN_FLOOR, "compare_transfer: gain of linear_probe over scratch")


@pytest.mark.task("transfer", weight=4)
def test_fine_tuning_forgets_little(three_comparisons):
    """compare_transfer: the docstring says what share fine_tune must get right; large steps destroy what is known."""
    share = _mean_accuracy(three_comparisons, "fine_tune", True)

    expect.at_least(
        share,
        TUNE_FLOOR,
        "compare_transfer: fine_tune, share of unseen images that are right",
    )


@pytest.mark.task("transfer")
@pytest.mark.parametrize("way", ["scratch", "linear_probe", "fine_tune"])
def test_each_way_learns_its_training_images(three_comparisons, way):
    """compare_transfer: the docstring says what share of its training images each way must get right."""
    share = _mean_accuracy(three_comparisons, way, False)

    expect.at_least(
        share,
        FIT_FLOOR,
        f"compare_transfer: {way}, share of training images that are right",
    )


@pytest.mark.task("transfer")
def test_a_comparison_takes_seconds(three_comparisons):
    """compare_transfer: the docstring says how long a call may take; what never changes can be computed once."""
    slowest = max(seconds for *_, seconds in three_comparisons)

    expect.at_most(slowest, 15 * SLOW_MACHINE, "compare_transfer: CPU seconds of a call", asked=15)


@pytest.mark.task("transfer", weight=4)
def test_only_the_head_of_a_probe_is_new(three_comparisons):
    """compare_transfer: the probe's backbone is the given one, running statistics included; the others' are not."""
    for nets, *_ in three_comparisons:
        for name, given in _given_state().items():
            if not name.startswith("backbone.") or name.endswith("num_batches_tracked"):
                continue
            expect.equal(nets["linear_probe"][2][name], given, f"compare_transfer: {name} of linear_probe")
            for way in ("scratch", "fine_tune"):
                expect.shape(nets[way][2][name], tuple(given.shape), f"compare_transfer: {name} of {way}")
                same = torch.equal(nets[way][2][name], given)
                expect.is_true(not same, f"compare_transfer: {name} of {way} is still the given one.")


@pytest.mark.task("transfer")
def test_no_two_networks_share_a_tensor(three_comparisons):
    """compare_transfer: three ShapeNets in eval mode; none shares a tensor with another or with state, which stays."""
    for nets, places, _, _, state, _ in three_comparisons:
        expect.equal(sorted(nets), ["fine_tune", "linear_probe", "scratch"], "compare_transfer: its keys")
        everywhere = [*places, *(place for net in nets.values() for place in net[5])]
        expect.is_true(
            len(set(everywhere)) == len(everywhere),
            "compare_transfer: networks share tensors, or use those of state.",
        )
        for name, given in _given_state().items():
            expect.unchanged(state[name], given, f"compare_transfer: state[{name!r}]")
        for way, (_, _, _, modes, is_shape_net, _) in nets.items():
            expect.equal(modes, [False] * len(modes), f"compare_transfer: training of {way} and its layers")
            expect.equal(is_shape_net, True, f"compare_transfer: whether {way} is a ShapeNet")


@probe
def watched_comparison(student, state, x, y, num_classes, plan):
    """Compare under several seeds, for some epochs; note rates, left-over gradients, images and resulting weights."""
    rates, left_over, squashed, runs = {}, [], [], []
    known, visits, strangers = torch.from_numpy(x).flatten(1), [], []

    def look(module, inputs):
        if isinstance(module, nn.Conv2d) and module.in_channels == 3 and inputs:
            rows = inputs[0].detach().flatten(1)
            apart = (rows[:, None] - known).abs().amax(dim=2)  # (images of the batch, known images)
            strangers.append(float(apart.amin(dim=1).max()))
            visits[-1] += torch.bincount(apart.argmin(dim=1), minlength=len(known))

    def note(optimizer, args, kwargs):
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                rates.setdefault(id(parameter), (parameter, group["lr"]))

    hook = optimizers.register_optimizer_step_pre_hook(note)
    try:
        for number, (seed, epochs) in enumerate(plan):
            torch.manual_seed(50 + number)
            np.random.seed(50 + number)
            torch.rand(number)
            given = {k: v * 0 + 0.5 for k, v in state.items()} if number == 3 else state
            visits.append(torch.zeros(len(x), dtype=torch.int64))
            eye = modules.register_module_forward_pre_hook(look)
            try:
                with spies.watched() as notes:
                    nets = student.compare_transfer(given, x, y, num_classes, epochs, seed)
            finally:
                eye.remove()
            left_over += notes.left_over
            squashed += notes.squashed
            runs.append({way: {k: v.clone() for k, v in net.state_dict().items()} for way, net in nets.items()})
            if number == 0:
                by_name = {
                    way: {name: rates[id(p)][1] for name, p in net.named_parameters() if id(p) in rates}
                    for way, net in nets.items()
                }
                shapes = {way: tuple(net(torch.from_numpy(x[:2])).shape) for way, net in nets.items()}
    finally:
        hook.remove()
    learned = {way: [name for name, _ in net.named_parameters()] for way, net in nets.items()}
    return (
        runs,
        by_name,
        shapes,
        left_over,
        squashed,
        ([row.tolist() for row in visits], max(strangers, default=0.0)),
        learned,
    )


@pytest.fixture(scope="module")
def short_comparisons(student, seed):
    """Some epochs on 14 images of four classes, from weights whose head has seven; watched from all sides."""
    x, y = shapes10(14, (seed, 40))
    y = y % 4
    before = x.copy(), y.copy()
    plan = [(5, 2), (5, 2), (6, 2), (5, 2), (5, 10)]  # seed, epochs
    found = watched_comparison(student, _given_state(), x, y, 4, plan)
    expect.unchanged(x, before[0], "compare_transfer: x")
    expect.unchanged(y, before[1], "compare_transfer: y")
    return found


@pytest.mark.task("transfer")
def test_the_seed_decides_all_three(short_comparisons):
    """compare_transfer: the seed alone decides all three networks, and num_classes how many scores they give."""
    runs, _, shapes, *_ = short_comparisons

    for way in ("scratch", "linear_probe", "fine_tune"):
        expect.equal(shapes[way], (2, 4), f"compare_transfer(num_classes=4): shape of the scores of {way}")
        first, again, other = (run[way]["head.weight"] for run in runs[:3])
        expect.close(again, first, f"compare_transfer: head of {way} under the same seed", rtol=1e-4, atol=1e-6)
        expect.is_true(not torch.allclose(other, first), f"compare_transfer: two seeds give the same {way}.")


@pytest.mark.task("transfer", weight=2)
def test_scratch_knows_nothing_of_the_given_weights(short_comparisons):
    """compare_transfer: the network from scratch never sees state, so that other weights in it change nothing."""
    runs, *_ = short_comparisons

    for name, value in runs[0]["scratch"].items():
        expect.close(runs[3]["scratch"][name], value, f"compare_transfer: {name} of scratch", rtol=1e-3, atol=1e-5)


@pytest.mark.task("transfer")
def test_what_is_trained_is_trained_in_every_epoch(short_comparisons):
    """compare_transfer: scratch and fine_tune train all their parameters, the linear probe its head, in each epoch."""
    runs, *_, learned = short_comparisons

    for way, names in learned.items():
        for name in names:
            if way != "linear_probe" or name.startswith("head."):
                same = torch.equal(runs[0][way][name], runs[4][way][name])
                expect.is_true(not same, f"compare_transfer: {name} of {way} is the same after more epochs.")


@pytest.mark.task("transfer")
def test_images_are_seen_as_they_are_and_equally_often(short_comparisons):
    """compare_transfer: an epoch goes through all images, without augmentation, and epochs says how often."""
    *_, (rows, strangest), _ = short_comparisons

    expect.is_true(
        strangest < 1e-4,
        "compare_transfer: a network is given images that are not those of x: no augmentation here.",
    )
    expect.is_true(
        all(min(visits) == max(visits) for visits in rows),
        "compare_transfer: some images of x are used more often than others.",
    )
    if any(rows[0]):
        expect.is_true(
            sum(rows[4]) >= 1.8 * sum(rows[0]),
            "compare_transfer: with five times the epochs the images are hardly used more often.",
        )


@pytest.mark.task("transfer", weight=10)
def test_the_backbone_learns_more_slowly(short_comparisons):
    """compare_transfer: fine_tune trains the backbone too, at a lower learning rate than the head."""
    _, rates, *_ = short_comparisons

    tuned = rates["fine_tune"]
    if tuned:  # without an optimiser of torch there is nothing to read
        head = min(rate for name, rate in tuned.items() if name.startswith("head."))
        slowest = max((rate for name, rate in tuned.items() if name.startswith("backbone.")), default=0.0)
        expect.is_true(
            0 < slowest < head,
            f"compare_transfer: fine_tune learns its backbone at {slowest}, its head at {head}.",
        )


@pytest.mark.task("transfer", weight=2)
def test_each_step_of_a_comparison_starts_clean(short_comparisons):
    """compare_transfer: clear the gradients before each step, and give the loss raw scores."""
    _, _, _, left_over, squashed, *_ = short_comparisons

    expect.is_true(not any(left_over), "compare_transfer: a backward pass began with the gradient of the last one.")
    expect.is_true(not any(squashed), "compare_transfer: cross-entropy does the softmax itself; give it raw scores.")


# ------------------------------------------------------------------------------------------------------------
# 5.6  Boxes
# ------------------------------------------------------------------------------------------------------------


def _draw_boxes(rng, n, side=20.0):
    corner = rng.uniform(-side, side, size=(n, 2))
    return np.concatenate([corner, corner + rng.uniform(0.5, side, size=(n, 2))], axis=1)


@pytest.mark.task("boxes", weight=2)
def test_iou_agrees_with_torchvision(student, rng):
    """box_iou: boxes that do not overlap share 0; coordinates are continuous, so a width is x2 - x1; a and b stay."""
    a, b = _draw_boxes(rng, 23), np.asfortranarray(_draw_boxes(rng, 31))
    before = a.copy(), b.copy()

    iou = student.box_iou(a, b)

    want = import_torchvision().ops.box_iou(torch.from_numpy(a), torch.from_numpy(b)).numpy()
    expect.close(iou, want, "box_iou", rtol=1e-9, dtype=np.float64)
    tiny = student.box_iou(a / 1e5, b / 1e5)
    expect.close(tiny, want, "box_iou of boxes a hundred-thousandth as large", rtol=1e-9, atol=1e-12)
    expect.unchanged(a, before[0], "box_iou: a")
    expect.unchanged(b, before[1], "box_iou: b")


@pytest.mark.task("boxes")
def test_boxes_without_area_share_nothing(student):
    """box_iou: 0 where the union has no area; and a or b may hold no boxes."""
    point, line, box = [1.0, 1, 1, 1], [0.0, 0, 2, 0], [0.0, 0, 2, 2]
    boxes = np.array([point, line, box])

    iou = student.box_iou(boxes, boxes)

    expect.close(iou, np.diag([0.0, 0, 1]), "box_iou of a point, a line and a square")
    expect.shape(student.box_iou(np.zeros((0, 4)), boxes), (0, 3), "box_iou without boxes in a")
    expect.shape(student.box_iou(boxes, np.zeros((0, 4))), (3, 0), "box_iou without boxes in b")


@pytest.mark.task("boxes", weight=2)
@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.75])
def test_suppression_agrees_with_torchvision(student, rng, threshold):
    """nms: from the highest score down, compare with kept boxes alone (of the same class); indices are int64."""
    boxes, scores = _draw_boxes(rng, 60, 8.0), rng.permutation(np.linspace(-1, 1, 60))
    labels = rng.integers(3, size=60)
    before = boxes.copy(), scores.copy(), labels.copy()
    nms, tensors = import_torchvision().ops.nms, [torch.from_numpy(a.copy()) for a in (boxes, scores)]

    kept = student.nms(boxes, scores, threshold)
    by_class = student.nms(boxes, scores, threshold, labels)

    expect.equal(kept, nms(*tensors, threshold).numpy(), f"nms with threshold {threshold}")
    expect.dtype(kept, np.int64, "nms")
    # class by class: torchvision's batched_nms moves the classes apart, but not far enough for boxes left of 0
    of_class = [np.flatnonzero(labels == label) for label in range(3)]
    want = np.concatenate([of[nms(tensors[0][of], tensors[1][of], threshold).numpy()] for of in of_class])
    expect.equal(by_class, want[np.argsort(-scores[want])], f"nms with labels and threshold {threshold}")
    for now, old, name in zip((boxes, scores, labels), before, ("boxes", "scores", "labels"), strict=True):
        expect.unchanged(now, old, f"nms: {name}")


@pytest.mark.task("boxes", weight=2)
def test_only_a_greater_overlap_suppresses(student):
    """nms: only an IoU that is greater than the threshold suppresses, whatever the threshold."""
    halves = np.array([[0.0, 0, 2, 1], [0, 0, 1, 1], [5, 5, 6, 6]])
    scores = np.array([0.9, 0.8, 0.7])

    expect.equal(student.nms(halves, scores, 0.5), np.array([0, 1, 2]), "nms with an IoU of 0.5 and a threshold of 0.5")
    expect.equal(student.nms(halves, scores, 0.49), np.array([0, 2]), "nms with an IoU of 0.5 and a threshold of 0.49")
    expect.equal(student.nms(halves, scores), np.array([0, 1, 2]), "nms with its default threshold")
    closer = np.array([[0.0, 0, 11, 1], [0, 0, 6, 1], [5, 5, 6, 6]])
    expect.equal(student.nms(closer, scores), np.array([0, 2]), "nms with an IoU of 6 / 11 and its default threshold")
    expect.equal(student.nms(halves, scores, 0.0), np.array([0, 2]), "nms with a threshold of 0")
    twins = np.tile(halves[:1], (2, 1))
    expect.equal(student.nms(twins, scores[:2], 1.0), np.array([0, 1]), "nms of twins with a threshold of 1")


@pytest.mark.task("boxes", weight=2)
def test_chains_ties_and_nothing(student):
    """nms: a box that was dropped drops no other; of equal scores the lower index comes first; N may be 0."""
    chain = np.array([[0.0, 0, 10, 10], [4, 0, 14, 10], [8, 0, 18, 10]])
    apart = np.array([[0.0, 0, 1, 1], [50, 0, 51, 1], [0, 50, 1, 51], [50, 50, 51, 51]])

    kept = student.nms(chain, np.array([0.9, 0.8, 0.7]), 0.3)
    ties = student.nms(apart, np.array([0.5, 0.9, 0.5, 0.5]))
    twins = student.nms(np.tile(chain[:1], (5, 1)), np.full(5, 0.3))
    corners = np.stack(np.meshgrid(np.arange(9.0), np.arange(9.0)), axis=-1).reshape(-1, 2) * 10
    many = student.nms(np.concatenate([corners, corners + 5], axis=1), np.repeat([0.2, 0.7, 0.4], 27))
    nothing = student.nms(np.zeros((0, 4)), np.zeros(0))
    no_labels = student.nms(np.zeros((0, 4)), np.zeros(0), 0.5, np.zeros(0, dtype=np.int64))

    expect.equal(kept, np.array([0, 2]), "nms of a chain of three")
    expect.equal(ties, np.array([1, 0, 2, 3]), "nms of boxes with equal scores")
    expect.equal(twins, np.array([0]), "nms of five equal boxes with equal scores")
    expect.equal(many, np.r_[27:54, 54:81, 0:27], "nms of 81 boxes with three different scores")
    expect.shape(nothing, (0,), "nms without boxes")
    expect.dtype(nothing, np.int64, "nms without boxes")
    expect.shape(no_labels, (0,), "nms without boxes, with labels")


@pytest.mark.task("boxes")
def test_classes_far_from_the_origin_stay_apart(student, rng):
    """nms with labels: boxes of different classes never meet, however large or far from 0 they are."""
    boxes = np.array([[-5e4, -5e4, 5e4, 5e4], [-5e4, -5e4, 5e4, 4.9e4], [-4.9e4, -5e4, 5e4, 5e4]])

    kept = student.nms(boxes, np.array([0.2, 0.9, 0.5]), 0.5, np.array([7, 8, 7]))

    expect.equal(kept, np.array([1, 2]), "nms with labels of huge boxes")


@pytest.mark.task("boxes", weight=2)
def test_offsets_agree_with_torchvision(student, rng):
    """encode: shifts of the centre in units of the anchor's size, and logarithms of the ratio of sizes."""
    boxes, anchors = _draw_boxes(rng, 17), np.asfortranarray(_draw_boxes(rng, 17))
    before = boxes.copy(), anchors.copy()
    coder = import_torchvision().models.detection._utils.BoxCoder((1.0, 1.0, 1.0, 1.0))
    tensors = torch.from_numpy(boxes), torch.from_numpy(anchors.copy())

    offsets = student.encode(boxes, anchors)

    want = coder.encode_single(*tensors).numpy()
    expect.close(offsets, want, "encode", rtol=1e-9, dtype=np.float64)
    expect.unchanged(boxes, before[0], "encode: boxes")
    expect.unchanged(anchors, before[1], "encode: anchors")


@pytest.mark.task("boxes", weight=2)
def test_decoding_undoes_encoding(student, rng):
    """decode is the inverse of encode, for all offsets; its arguments stay as they are."""
    anchors, offsets = _draw_boxes(rng, 19), rng.normal(size=(19, 4))
    before = anchors.copy(), offsets.copy()
    coder = import_torchvision().models.detection._utils.BoxCoder((1.0, 1.0, 1.0, 1.0))

    boxes = student.decode(offsets, anchors)

    want = coder.decode_single(torch.from_numpy(before[1].copy()), torch.from_numpy(before[0].copy())).numpy()
    expect.close(boxes, want, "decode", rtol=1e-9, dtype=np.float64)
    expect.close(student.encode(boxes, anchors), offsets, "encode(decode(offsets))", rtol=1e-7, atol=1e-9)
    expect.close(student.decode(np.zeros((19, 4)), anchors), anchors, "decode of zeros")
    huge = np.array([[-400.0, 3, 800, 5], [1, -90, 2, 700]])
    anchors_of_them = np.array([[0.0, 0, 2, 800], [-60, 3, 900, 4]])
    back = student.decode(student.encode(huge, anchors_of_them), anchors_of_them)
    expect.close(back, huge, "decode(encode(boxes)) of boxes hundreds of times their anchor", rtol=1e-9)
    expect.unchanged(offsets, before[1], "decode: offsets")
    expect.unchanged(anchors, before[0], "decode: anchors")


@pytest.mark.task("boxes", weight=2)
@pytest.mark.parametrize(
    ("shape", "stride", "scales", "ratios"),
    [
        ((3, 4), 8, [4.0, 9.0], [0.5, 1.0, 3.0]),
        ((2, 1), 5, [3.0], [2.0, 0.25]),
        ((1, 3), 16, [8, 16, 32], [1]),
    ],
)
def test_anchors_come_in_their_order(student, shape, stride, scales, ratios):
    """make_anchors: rows, columns, scales, ratios in this order; ratio is height / width, and the area is scale**2."""
    anchors = student.make_anchors(shape, stride, scales, ratios)

    want = []
    for i in range(shape[0]):
        for j in range(shape[1]):
            for scale in scales:
                for ratio in ratios:
                    w, h = scale * ratio**-0.5, scale * ratio**0.5
                    x, y = (j + 0.5) * stride, (i + 0.5) * stride
                    want.append([x - w / 2, y - h / 2, x + w / 2, y + h / 2])
    expect.close(anchors, np.array(want), "make_anchors", rtol=1e-9, dtype=np.float64)


# ------------------------------------------------------------------------------------------------------------
# 5.7  Average precision and a tiny detector
# ------------------------------------------------------------------------------------------------------------


def _shared(a, b):
    """IoU of two boxes, the long way."""
    width, height = (min(a[k + 2], b[k + 2]) - max(a[k], b[k]) for k in (0, 1))
    inter = max(width, 0) * max(height, 0)
    area = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return inter / (area - inter) if area > inter else 0.0


def _average_precision(dets, gts, iou):
    """The definition, one detection after another."""
    taken, hits = set(), []
    for row in sorted(range(len(dets)), key=lambda k: (-dets[k, 1], k)):
        free = [g for g in range(len(gts)) if gts[g, 0] == dets[row, 0] and g not in taken]
        best = max(free, key=lambda g: _shared(dets[row, 2:], gts[g, 1:]), default=None)
        hit = best is not None and _shared(dets[row, 2:], gts[best, 1:]) >= iou
        hits.append(hit)
        if hit:
            taken.add(best)
    precision = [sum(hits[: k + 1]) / (k + 1) for k in range(len(hits))]
    return sum(max(precision[k:]) / len(gts) for k in range(len(hits)) if hits[k])


@pytest.mark.task("detector", weight=2)
@pytest.mark.parametrize("iou", [0.3, 0.5, 0.8])
def test_average_precision_agrees_with_its_definition(student, rng, iou):
    """average_precision: by falling score, each detection takes the best free true box of its image, if it fits."""
    gts = np.c_[rng.choice([3.0, 7, 8, 100], size=12), 12 * rng.uniform(size=(12, 2)), np.zeros((12, 2))]
    gts[:, 3:] = gts[:, 1:3] + rng.uniform(4, 8, size=(12, 2))
    dets = np.c_[np.zeros(40), rng.permutation(40) / 20 - 1, np.zeros((40, 4))]  # scores need not be probabilities
    for row, source in enumerate(rng.integers(12, size=40)):
        dets[row, 0] = gts[source, 0]
        dets[row, 2:] = gts[source, 1:] + rng.normal(scale=0.7, size=4)
    dets[::5, 0] = 5.0  # an image without any object
    before = dets.copy(), gts.copy()

    value = student.average_precision(dets, gts, iou)

    expect.close(value, float(_average_precision(*before, iou)), f"average_precision(iou={iou})", rtol=1e-9)
    expect.unchanged(dets, before[0], "average_precision: dets")
    expect.unchanged(gts, before[1], "average_precision: gts")


@pytest.mark.task("detector", weight=2)
def test_a_box_is_found_once(student):
    """average_precision: a true box can be taken once; the next detection looks at those that are still free."""
    gts = np.array([[0.0, 0, 0, 10, 10], [0, 3, 0, 13, 10], [1, 0, 0, 10, 10]])
    twice = np.array([[1.0, 0.9, 0, 0, 10, 10], [1, 0.8, 0, 0, 10, 10], [0, 0.7, 0, 0, 10, 10]])
    second_best = np.array([[0.0, 0.9, 0, 0, 10, 10], [0, 0.8, 1, 0, 11, 10]])

    expect.close(student.average_precision(twice, gts), 1 / 3 + 2 / 9, "average_precision of a box found twice")
    expect.close(student.average_precision(second_best, gts), 2 / 3, "average_precision where the better box is taken")
    choice = np.array([[0.0, 0.9, 3, 0, 13, 10], [0, 0.8, -3, 0, 7, 10]])
    expect.close(student.average_precision(choice, gts), 2 / 3, "average_precision where two boxes fit well enough")
    elsewhere = np.array([[2.0, 0.9, 0, 0, 10, 10]])
    expect.close(student.average_precision(elsewhere, gts), 0.0, "average_precision of a box in another image")


@pytest.mark.task("detector", weight=2)
def test_limits_of_average_precision(student):
    """average_precision: `iou` itself is enough, equal scores keep their order, and there may be no rows at all."""
    gts = np.array([[0.0, 0, 0, 2, 1]])
    half = np.array([[0.0, 0.9, 0, 0, 1, 1]])
    ties = np.array([[0.0, 0.5, 0, 0, 2, 1], [0, 0.5, 5, 5, 6, 6]])

    expect.close(student.average_precision(half, gts), 1.0, "average_precision at an IoU of exactly 0.5")
    expect.close(student.average_precision(half, gts, 0.51), 0.0, "average_precision(iou=0.51) at an IoU of 0.5")
    expect.close(student.average_precision(ties, gts), 1.0, "average_precision where the hit comes first of two equals")
    many = np.tile([[5.0, 0.5, 0, 0, 2, 1]], (60, 1))
    many[20, 0] = 0
    expect.close(student.average_precision(many, gts), 1 / 21, "average_precision of sixty equal scores")
    expect.close(student.average_precision(ties[::-1], gts), 0.5, "average_precision where the hit comes second of two")
    expect.close(student.average_precision(np.zeros((0, 6)), gts), 0.0, "average_precision without detections")
    expect.close(student.average_precision(half, np.zeros((0, 5))), 0.0, "average_precision without true boxes")
    expect.close(student.average_precision(np.zeros((0, 6)), np.zeros((0, 5))), 0.0, "average_precision of nothing")


@pytest.mark.task("detector", weight=2)
def test_precision_is_made_to_fall(student):
    """average_precision: at each recall the best precision at that recall or any higher one counts."""
    gts = np.array([[0.0, 0, 0, 4, 4], [1, 0, 0, 4, 4], [2, 0, 0, 4, 4]])
    dets = np.array([[9.0, 0.9, 0, 0, 4, 4], [0, 0.8, 0, 0, 4, 4], [1, 0.7, 0, 0, 4, 4], [9, 0.6, 0, 0, 4, 4]])

    expect.close(student.average_precision(dets, gts), 2 / 3 * 2 / 3, "average_precision")


# Over 20 seeds the reference names 1.000 of the shapes (standard deviation 0.001), with a mean IoU of 0.813 (0.005). A
# box of the mean place and size has a mean IoU of about 0.6, and follows no shape.
CLASS_FLOOR, IOU_FLOOR, FOLLOWS_FLOOR = 0.80, 0.55, 0.4


@probe
def detections_after_training(student, x, y, boxes, unseen, seed):
    """Train with the default number of epochs, detect, and compare with what the model itself says."""
    start = time.process_time()
    model = student.train_detector(x, y, boxes, seed=seed)
    seconds = time.process_time() - start
    modes = [part.training for part in model.modules()]
    found = student.detect(model, unseen)
    with torch.no_grad():
        scores, own = model.eval()(torch.from_numpy(unseen))
    return found, scores, own, modes, isinstance(model, student.TinyDetector), seconds


@pytest.fixture(scope="module")
def trained_detector(student, seed):
    """Detections on 400 unseen images after training on 1,000; the true labels and boxes stay here."""
    x, y, boxes = shapes10_boxes(1000, (seed, 60))
    order = np.argsort(y, kind="stable")
    unseen, labels, truth = shapes10_boxes(400, (seed, 61))
    found = detections_after_training(student, x[order], y[order], boxes[order], unseen, seed % 1000)
    return *found, labels, truth


@pytest.mark.task("detector", weight=2)
def test_unseen_shapes_are_named(trained_detector):
    """train_detector: the docstring says what share of the shapes it must name; shuffle, and return it in eval mode."""
    (labels, _, _), _, _, modes, is_own, _, truth, _ = trained_detector

    expect.accuracy(labels, truth, CLASS_FLOOR, "train_detector, labels of unseen images")
    expect.equal(modes, [False] * len(modes), "train_detector: training of the model and its layers")
    expect.equal(is_own, True, "train_detector: whether it returns a TinyDetector")


@pytest.mark.task("detector")
def test_a_training_takes_seconds(trained_detector):
    """train_detector: the docstring says how long it may take; count layers, channels and epochs."""
    *_, seconds, _, _ = trained_detector

    expect.at_most(seconds, 30 * SLOW_MACHINE, "train_detector: CPU seconds of a training", asked=30)


@pytest.mark.task("detector", weight=6)
def test_unseen_shapes_are_found(trained_detector):
    """train_detector: the docstring says how well boxes must overlap with the true ones, and follow them in x and y."""
    (_, _, boxes), *_, truth = trained_detector

    expect.shape(boxes, (400, 4), "detect: boxes")
    expect.finite(boxes, "detect: boxes")
    overlap = np.mean([_shared(one.tolist(), other.tolist()) for one, other in zip(boxes, truth, strict=True)])
    expect.at_least(overlap, IOU_FLOOR, "train_detector: mean IoU on unseen images")
    centres, true_centres = ((sides[:, :2] + sides[:, 2:]) / 2 for sides in (boxes, truth))
    for axis, name in enumerate("xy"):
        is_still = float(centres[:, axis].std()) < 1e-6
        follows = 0.0 if is_still else float(np.corrcoef(centres[:, axis], true_centres[:, axis])[0, 1])
        expect.at_least(
            follows,
            FOLLOWS_FLOOR,
            f"train_detector: correlation with the true centres in {name}",
        )


@pytest.mark.task("detector", weight=4.5)
def test_detections_are_what_the_model_says(trained_detector):
    """detect: classes, probabilities (softmax of the model's raw scores) and boxes, in the dtypes of the docstring."""
    (labels, probabilities, boxes), scores, own, *_ = trained_detector

    expect.equal(labels, scores.argmax(dim=1).numpy(), "detect: labels")
    expect.close(
        probabilities,
        scores.softmax(dim=1).amax(dim=1).numpy(),
        "detect: probabilities",
        rtol=1e-4,
        atol=1e-5,
    )
    expect.close(boxes, own.numpy(), "detect: boxes", rtol=1e-4, atol=1e-3)
    for value, dtype, name in ((labels, np.int64, "labels"), (probabilities, np.float32, "probabilities"),
                               (boxes, np.float32, "boxes")):  # fmt: skip
        expect.dtype(value, dtype, f"detect: {name}")
    expect.is_true(
        not torch.allclose(scores.exp().sum(dim=1), torch.ones(400), atol=1e-3)
        and not torch.allclose(scores.sum(dim=1), torch.ones(400), atol=1e-3),
        "TinyDetector: its scores are probabilities. Leave the softmax to the loss.",
    )


@probe
def detections_in_both_modes(student, x):
    """Detect with a model with batch norm and dropout, all at once and one by one, from both modes."""
    torch.manual_seed(2)

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm2d(3)
            self.drop = nn.Dropout(0.5)
            self.out = nn.Linear(48, 9)
            self.recorded = []

        def forward(self, x):
            out = self.out(self.drop(self.norm(x).flatten(1)[:, :48]))
            self.recorded.append(out.requires_grad)
            return out[:, :5], out[:, 5:]

    model = Model()
    with torch.no_grad():
        want = [value.numpy() for value in model.eval()(torch.from_numpy(x.copy()))]
    found = []
    for training in (True, False):
        model.train(training)
        whole = student.detect(model, x)
        single = student.detect(model, x[2:3])
        found.append((whole, single, model.training, model.norm.training))
    touched = int(model.norm.num_batches_tracked) + sum(p.grad is not None for p in model.parameters())
    records = [torch.is_grad_enabled()]
    with torch.no_grad():
        student.detect(model, x)
        records.append(torch.is_grad_enabled())
    torch.set_grad_enabled(True)
    return want, found, touched, any(model.recorded), records


@pytest.mark.task("detector", weight=4.5)
def test_detections_do_not_depend_on_mode_or_company(student, rng):
    """detect: eval mode, no gradients recorded, image by image the same; then model and recording as before."""
    x = rng.uniform(size=(11, 3, 5, 4)).astype(np.float32)
    before = x.copy()

    (scores, boxes), found, touched, recorded, records = detections_in_both_modes(student, x)

    for (whole, single, mode, inner), training in zip(found, (True, False), strict=True):
        expect.equal(whole[0], scores.argmax(axis=1), "detect: labels")
        expect.close(whole[2], boxes, "detect: boxes", rtol=1e-4, atol=1e-5)
        expect.equal(single[0], scores[2:3].argmax(axis=1), "detect: label of a single image")
        expect.close(single[2], boxes[2:3], "detect: box of a single image", rtol=1e-4, atol=1e-5)
        expect.close(single[1], whole[1][2:3], "detect: probability of a single image", rtol=1e-4, atol=1e-5)
        expect.equal([mode, inner], [training, training], "detect: modes of the model and its layers afterwards")
    expect.equal(touched, 0, "detect: batch norms that counted, and gradients that appeared")
    expect.is_true(not recorded, "detect: what the model computes records gradients; use torch.no_grad().")
    what = "detect: whether gradients are recorded afterwards, as before, and within torch.no_grad()"
    expect.equal(records, [True, False], what)
    expect.unchanged(x, before, "detect: x")


@probe
def boxes_of_wild_weights(student, x):
    """What detectors in both modes give whose weights are far from what training would give; and for one image."""
    scores, boxes = [], []
    for seed in range(8):
        torch.manual_seed(seed)
        model = student.TinyDetector(3).train(seed >= 4)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * (0.2, 0.5, 1.0, 2.0)[seed % 4])
            for one, several in zip(model(torch.from_numpy(x)), (scores, boxes), strict=True):
                several.append(one)
            single = [tuple(one.shape) for one in model.eval()(torch.from_numpy(x[:1]))]
    return torch.cat(scores), torch.cat(boxes), single


@pytest.mark.task("detector", weight=2)
def test_a_box_is_a_box_whatever_the_weights(student, rng):
    """TinyDetector.forward: x1 <= x2 and y1 <= y2 whatever the layers give; raw scores; one image is a batch too."""
    scores, boxes, single = boxes_of_wild_weights(student, rng.uniform(size=(20, 3, 32, 32)).astype(np.float32))

    expect.shape(boxes, (160, 4), "TinyDetector: boxes")
    wrong = int((boxes[:, :2] > boxes[:, 2:]).any(dim=1).sum())
    expect.is_true(wrong == 0, f"TinyDetector: {wrong} of 160 boxes have x1 > x2 or y1 > y2.")
    expect.equal(single, [(1, 3), (1, 4)], "TinyDetector(3) of a single image: shapes of scores and boxes")
    is_bounded = bool((scores >= 0).all()) or bool((scores.abs() <= 1).all())
    expect.is_true(not is_bounded, "TinyDetector: its scores are bounded, whatever the weights are. Return them raw.")


@probe
def watched_detector(student, x, y, boxes):
    """Train briefly under several seeds; note left-over gradients, unmoved parameters, all weights."""
    left_over, squashed, rows, starts, orders = [], [], [], [], []
    known, visits, strangers = torch.from_numpy(x).flatten(1), torch.zeros(len(x), dtype=torch.int64), []

    def look(module, inputs, named, found):
        if isinstance(module, student.TinyDetector) and torch.is_grad_enabled():
            if len(starts) == len(rows):
                starts.append(torch.cat([parameter.detach().flatten() for parameter in module.parameters()]))
                orders.append([])
            images = [*inputs, *named.values()][0].detach()
            apart = (images.flatten(1)[:, None] - known).abs().amax(dim=2)
            strangers.append(float(apart.amin(dim=1).max()))
            visits.add_(torch.bincount(apart.argmin(dim=1), minlength=len(known)))
            orders[-1] += apart.argmin(dim=1).tolist()

    for number, (seed, epochs) in enumerate(((4, 1), (4, 1), (9, 1), (4, 2))):
        torch.manual_seed(70 + number)
        np.random.seed(70 + number)
        eye = modules.register_module_forward_hook(look, with_kwargs=True)
        try:
            with spies.watched() as notes:
                model = student.train_detector(x, y, boxes, 6, epochs, seed)
        finally:
            eye.remove()
        left_over += notes.left_over
        squashed += notes.squashed
        rows.append([parameter.detach().clone() for parameter in model.parameters()])
    classes = model(torch.from_numpy(x[:2]))[0].shape[1]
    model.train().zero_grad()
    scores, places = model(torch.from_numpy(x))
    (F.cross_entropy(scores, torch.from_numpy(y)) + (places * torch.randn_like(places)).mean()).backward()
    # a bias in front of a batch norm has no gradient but rounding, and may stay where it is
    pulled = [p.grad is None or float(p.grad.abs().max()) > 1e-5 for p in model.parameters()]
    pairs = zip(rows[0], rows[3], pulled, strict=True)
    unmoved = sum(is_pulled and torch.equal(one, other) for one, other, is_pulled in pairs)
    flat = [torch.cat([value.flatten() for value in row]).numpy() for row in rows]
    is_augmented = max(strangers, default=1.0) > 1e-4
    is_seen = len(starts) == len(rows)
    same_start = is_seen and torch.equal(starts[0], starts[2])
    same_order = is_seen and not is_augmented and orders[0] == orders[2]
    return (
        same_start,
        same_order,
        flat,
        left_over,
        squashed,
        unmoved,
        len(rows[0]),
        classes,
        [] if is_augmented else visits.tolist(),
    )


@pytest.mark.task("detector", weight=5)
def test_a_detector_is_trained_with_care(student, seed):
    """train_detector: clean gradients, all parameters and images, as many epochs and classes as asked, the seed."""
    x, y, boxes = shapes10_boxes(60, (seed, 62))
    y = y % 6
    before = x.copy(), y.copy(), boxes.copy()

    same_start, same_order, *found = watched_detector(student, x, y, boxes)
    rows, left_over, squashed, unmoved, count, classes, visits = found
    first, again, other, longer = rows

    expect.is_true(not any(left_over), "train_detector: a backward pass began with the gradient of the last one.")
    expect.is_true(not any(squashed), "train_detector: cross-entropy does the softmax itself; give it raw scores.")
    expect.is_true(count > 0 and unmoved == 0, f"train_detector: {unmoved} of {count} parameters never changed.")
    expect.close(again, first, "train_detector: parameters under the same seed", rtol=1e-4, atol=1e-5)
    expect.is_true(not np.allclose(other, first), "train_detector: two seeds give the same detector.")
    expect.is_true(not same_start, "train_detector: two seeds give the same initial values.")
    expect.is_true(not same_order, "train_detector: two seeds give the same order of the images.")
    expect.is_true(not np.allclose(longer, first), "train_detector: a second epoch changes nothing.")
    if visits:  # augmented images cannot be told apart
        expect.is_true(min(visits) == max(visits), "train_detector: some images are used more often than others.")
    expect.equal(classes, 6, "train_detector(num_classes=6): scores of an image")
    for now, old, name in zip((x, y, boxes), before, ("x", "y", "boxes"), strict=True):
        expect.unchanged(now, old, f"train_detector: {name}")


# ------------------------------------------------------------------------------------------------------------
# 5.8  Grad-CAM
# ------------------------------------------------------------------------------------------------------------


def _cam(net, layer, x, classes):
    """The formula, with a network of the reference that may be taken apart."""
    front, back = net.backbone[: layer + 1], net.backbone[layer + 1 :]
    with torch.no_grad():
        maps = front(x)
    maps.requires_grad_()
    scores = net.head(back(maps).mean(dim=(2, 3)))
    (slopes,) = torch.autograd.grad(scores[torch.arange(len(x)), classes].sum(), maps)
    return (slopes.mean(dim=(2, 3), keepdim=True) * maps.detach()).sum(dim=1).clamp(min=0)


def _net(reference):
    net = reference.ShapeNet(7)
    net.load_state_dict(_given_state())
    return net.eval()


@probe
def maps_of_the_given_network(student, state, layer, x, classes, by_name, training, quiet):
    """Ask for the maps of a network with the given weights."""
    net = student.ShapeNet(7)
    net.load_state_dict(state)
    net.train(training)
    if quiet:
        for parameter in net.parameters():
            parameter.requires_grad = False
        with torch.no_grad():
            maps = student.grad_cam(net, layer if by_name else net.get_submodule(layer), x, classes)
            stays = not torch.is_grad_enabled()
    else:
        stays = True
        maps = student.grad_cam(net, layer if by_name else net.get_submodule(layer), x, classes)
    moved = [name for name, value in net.state_dict().items() if not torch.equal(value, state[name])]
    asks = [parameter.requires_grad for parameter in net.parameters()]
    moved += [] if stays else ["torch.no_grad() of the caller"]
    return maps, maps.requires_grad, moved, asks


@pytest.mark.task("grad_cam", weight=2)
@pytest.mark.parametrize(
    ("layer", "by_name", "training", "quiet"),
    [(10, True, False, False), (10, False, True, False), (6, True, False, True), (8, True, True, True),
     (3, False, False, False), (0, True, False, True)],
)  # fmt: skip
def test_maps_agree_with_the_formula(student, reference, layer, by_name, training, quiet):
    """grad_cam: follow the formula with the raw score, in eval mode, also where parameters are frozen or in no_grad."""
    images, _ = shapes10(5, (layer, 77))
    x = torch.from_numpy(images)[:, :, 2:30, 4:24].contiguous()  # (5, 3, 28, 20)
    classes = torch.tensor([6, 0, 3, 3, 1])

    maps, asks, moved, learning = maps_of_the_given_network(
        student, _given_state(), f"backbone.{layer}", x, classes, by_name, training, quiet
    )

    want = _cam(_net(reference), layer, x, classes)
    scale = float(want.max())
    expect.close(maps, want, "grad_cam", rtol=1e-3, atol=1e-5 * max(scale, 1e-3))
    expect.equal(asks, False, "grad_cam: requires_grad of the maps")
    expect.equal(moved, [], "grad_cam: weights, statistics and modes that changed")
    expect.equal(learning, [not quiet] * len(learning), "grad_cam: requires_grad of the parameters afterwards")


@pytest.mark.task("grad_cam")
def test_one_class_for_all_images(student, reference):
    """grad_cam: an int is the class of all images, and an image's map does not depend on the others; x stays."""
    x = torch.from_numpy(shapes10(4, 78)[0])
    before = x.clone()

    maps, _, _, _ = maps_of_the_given_network(student, _given_state(), "backbone.10", x, 5, True, True, False)
    alone, _, _, _ = maps_of_the_given_network(
        student, _given_state(), "backbone.10", x[1:2].clone(), 5, True, True, False
    )

    want = _cam(_net(reference), 10, x, torch.tensor([5] * 4))
    expect.close(maps, want, "grad_cam(class_idx=5)", rtol=1e-3, atol=1e-5 * float(want.max()))
    expect.close(alone, want[1:2], "grad_cam of a single image", rtol=1e-3, atol=1e-5 * float(want.max()))
    expect.unchanged(x, before, "grad_cam: x")


@probe
def traces(student, x, fails):
    """Ask for the maps of a model in mixed modes, with gradients, a hook and a ReLU in place; list what changed."""
    torch.manual_seed(1)
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.ReLU(inplace=True), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3),
    )  # fmt: skip
    model.train()
    model[2].eval()
    model[0].weight.grad = torch.full_like(model[0].weight, 2.0)
    model[0].bias.requires_grad = False
    model[7].register_forward_hook(lambda module, inputs, output: None)
    x = x.clone().requires_grad_()
    modes = [module.training for module in model.modules()]
    failed = False
    maps = None
    try:
        maps = student.grad_cam(model, "0", x[:, :1] if fails else x, 2)
    except NotImplementedError:
        raise
    except Exception:
        failed = True
    hooks = sum(
        len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks) + len(m._backward_pre_hooks)
        for m in model.modules()
    )
    gradients = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
    asks = [p.requires_grad for p in model.parameters()]
    state = [model[0].weight.detach(), model[0].bias.detach(), model[2].running_var, model[7].weight.detach()]
    now = [module.training for module in model.modules()]
    return maps, failed, hooks, gradients, asks, now == modes, x.grad is None, state


@pytest.mark.task("grad_cam", weight=2)
@pytest.mark.parametrize("fails", [False, True])
def test_a_look_changes_nothing(student, rng, fails):
    """grad_cam: modes, hooks, grad and requires_grad are as they were, each of them, also if the forward fails."""
    x = torch.from_numpy(rng.normal(size=(3, 2, 6, 7)).astype(np.float32))

    maps, failed, hooks, gradients, asks, same_modes, x_is_clean, _ = traces(student, x, fails)

    expect.equal(failed, fails, "grad_cam: whether it raised an error (here: a channel too few)")
    if not fails:
        expect.shape(maps, (3, 4, 5), "grad_cam: maps")
    expect.equal(hooks, 1, "grad_cam: hooks on the model, one of which was there before")
    expect.is_true(same_modes, "grad_cam: a module is not in the mode in which it came.")
    expect.is_true(gradients[0] is not None, "grad_cam: a gradient that was there before is gone.")
    expect.close(gradients[0], torch.full((4, 2, 3, 3), 2.0), "grad_cam: a gradient that was there before")
    left = sum(gradient is not None for gradient in gradients[1:])
    expect.equal(left, 0, "grad_cam: parameters that received a gradient")
    expect.equal(asks, [True, False, True, True, True, True], "grad_cam: requires_grad of the parameters")
    expect.is_true(x_is_clean, "grad_cam: x received a gradient.")


@pytest.mark.task("grad_cam", weight=2)
def test_a_relu_in_place_does_not_spoil_the_maps(student, rng):
    """grad_cam: A is what the layer gave, before the next layer writes over it."""
    x = torch.from_numpy(rng.normal(size=(3, 2, 6, 7)).astype(np.float32))

    maps, _, _, _, _, _, _, (kernel, bias, var, head) = traces(student, x, False)

    features = F.conv2d(x, kernel, bias)  # (3, 4, 4, 5)
    share = head[2] / torch.sqrt(var + 1e-5) / 20  # batch norm scales, the mean over 20 places divides
    slopes = (features > 0).float().mean(dim=(2, 3)) * share  # (3, 4)
    want = (slopes[:, :, None, None] * features).sum(dim=1).clamp(min=0)
    expect.close(maps, want, "grad_cam", rtol=1e-3, atol=1e-6)


@probe
def map_of_the_image_itself(student, x):
    """Ask for the map of a layer whose output is the very image, and look at the image afterwards."""
    torch.manual_seed(4)
    model = nn.Sequential(nn.Identity(), nn.Conv2d(2, 3, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 4))
    for parameter in model.parameters():
        parameter.requires_grad = False
    maps = student.grad_cam(model, model[0], x, 1)
    return maps, x.requires_grad, x.grad is None, model[4].weight, model[1].weight


@pytest.mark.task("grad_cam")
def test_a_layer_may_hand_on_the_image_itself(student, rng):
    """grad_cam: x is as it was afterwards, also if the layer's output is x itself: no gradient asked for."""
    x = torch.from_numpy(rng.normal(size=(2, 2, 5, 4)).astype(np.float32))
    before = x.clone()

    maps, asks, is_clean, head, kernel = map_of_the_image_itself(student, x)

    leaf = before.clone().requires_grad_()
    (F.conv2d(leaf, kernel).mean(dim=(2, 3)) @ head[1]).sum().backward()
    want = (leaf.grad.mean(dim=(2, 3), keepdim=True) * before).sum(dim=1).clamp(min=0)
    expect.close(maps, want, "grad_cam", rtol=1e-3, atol=1e-6)
    expect.equal([asks, is_clean], [False, True], "grad_cam: x.requires_grad, and whether x.grad is None")
    expect.unchanged(x, before, "grad_cam: x")


@pytest.mark.task("grad_cam", weight=2)
def test_the_network_looks_at_the_shape(student):
    """grad_cam: the highest point of a map should mostly be on the shape; check signs, class and orientation."""
    images, labels, boxes = shapes10_boxes(150, 79)
    known = labels < 7
    x, y, boxes = torch.from_numpy(images[known]), torch.from_numpy(labels[known]), boxes[known]

    maps, _, _, _ = maps_of_the_given_network(student, _given_state(), "backbone.10", x, y, True, False, False)

    expect.shape(maps, (len(x), 8, 8), "grad_cam: maps")
    large = F.interpolate(maps[:, None].float(), size=(32, 32), mode="bilinear")[:, 0].flatten(1)
    row, column = (large.argmax(dim=1) // 32).numpy() + 0.5, (large.argmax(dim=1) % 32).numpy() + 0.5
    inside = (boxes[:, 0] <= column) & (column <= boxes[:, 2]) & (boxes[:, 1] <= row) & (row <= boxes[:, 3])
    expect.between(inside.mean(), 0.75, 1.0, "grad_cam: share of images whose highest point lies on the shape")
