"""Hidden tests of the advanced techniques: PyTorch and torchvision are the oracles, in the judge."""

import collections
import importlib

import numpy as np
import pytest
import torch
import torch.optim.optimizer as optimizers
from torch import nn
from torch.nn import functional as F

from autograder import expect, probe, spies
from autograder.data import shapes7_weights, shapes10, shapes10_boxes
from autograder.vision import import_torchvision


@probe
def calls_of_torch(student, name, arguments, x):
    """Run a layer forward and backward in both modes, and list the functions of torch that it calls."""
    with spies.calls_of_torch() as called:
        layer = getattr(student, name)(*arguments)
        out, cache = layer.forward(x)
        layer.backward(out, cache)
        layer.eval().forward(x)
    return sorted(called)


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
    """Columns change places, rows and channels do not, and each image has its own coin with the given p."""
    x = rng.uniform(size=(500, 2, 3, 4)).astype(np.float32).transpose(0, 1, 3, 2)  # (500, 2, 4, 3)
    boxes = rng.uniform(0, 1, size=(500, 4)) + np.array([0, 0, 1.5, 2.5])
    before, boxes_before = x.copy(), boxes.copy()

    images, moved = student.random_hflip(x, rng, p, boxes)

    expect.shape(images, x.shape, "random_hflip: images")
    flipped = (images == before[..., ::-1]).all(axis=(1, 2, 3))
    same = (images == before).all(axis=(1, 2, 3))
    expect.is_true(
        bool((flipped ^ same).all()), "random_hflip: an image is neither the old one nor its mirror image."
    )
    _share_is(flipped.mean(), p, 500, f"random_hflip(p={p}): share of mirrored images")
    agree = (flipped[1:] == flipped[:-1]).mean()
    _share_is(agree, p * p + (1 - p) ** 2, 250, f"random_hflip(p={p}): share of neighbours treated alike")
    want = np.where(
        flipped[:, None], np.c_[3 - boxes[:, 2], boxes[:, 1], 3 - boxes[:, 0], boxes[:, 3]], boxes
    )
    expect.close(moved, want, "random_hflip: boxes")
    expect.unchanged(x, before, "random_hflip: x")
    expect.unchanged(boxes, boxes_before, "random_hflip: boxes")


@pytest.mark.task("augmentation")
def test_never_and_always_are_probabilities_too(student, rng):
    """With p = 0 nothing happens, with p = 1 everything, and twice mirrored is as before; new memory each time."""
    x = rng.uniform(size=(30, 3, 2, 5))
    boxes = np.tile([1.0, 0, 2, 2], (30, 1))

    never, still = student.random_hflip(x, rng, 0.0, boxes)
    always, moved = student.random_hflip(x, rng, p=1.0, boxes=boxes)
    twice, back = student.random_hflip(always, rng, p=1.0, boxes=moved)

    expect.close(never, x, "random_hflip(p=0)")
    expect.close(still, boxes, "random_hflip(p=0): boxes")
    want = _transforms().horizontal_flip(torch.from_numpy(x)).numpy()
    expect.close(always, want, "random_hflip(p=1)")
    expect.close(moved, np.tile([3.0, 0, 4, 2], (30, 1)), "random_hflip(p=1): boxes")
    expect.close(twice, x, "random_hflip(p=1), twice")
    expect.close(back, boxes, "random_hflip(p=1), twice: boxes")
    expect.dtype(
        student.random_hflip(x, rng, 0.5, boxes.astype(np.float32))[1], np.float32, "random_hflip: boxes"
    )
    expect.no_alias(never, x, "random_hflip(p=0)")
    expect.no_alias(still, boxes, "random_hflip(p=0): boxes")


@pytest.mark.task("augmentation", weight=2)
def test_each_place_of_the_window_is_equally_likely(student, rng):
    """Rows and columns are drawn apart from each other, for each image, and both ends are possible."""
    x = rng.uniform(0.1, 1, size=(3000, 1, 3, 5)).astype(np.float32)
    before = x.copy()

    images = student.random_crop(x, 2, rng)

    expect.shape(images, x.shape, "random_crop")
    padded = np.pad(before, ((0, 0), (0, 0), (2, 2), (2, 2)))
    counts = [
        (images == padded[:, :, top : top + 3, left : left + 5]).all(axis=(1, 2, 3)).sum()
        for top in range(5)
        for left in range(5)
    ]
    expect.is_true(sum(counts) == 3000, "random_crop: an image is no window of the padded image.")
    for place, count in enumerate(counts):
        _share_is(count / 3000, 1 / 25, 3000, f"random_crop: share of windows from {divmod(place, 5)}")
    expect.unchanged(x, before, "random_crop: x")


@pytest.mark.task("augmentation")
def test_a_crop_treats_all_channels_alike(student, rng):
    """One window for all channels of an image; without a border the image stays, in new memory."""
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
    """One mean for all channels, brightness before contrast, and one clip at the very end."""
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
    """Each image has its own two factors, anywhere between 1 - r and 1 + r, with a default r of 0.2."""
    x = _images_with_two_calm_pixels(rng, 600)

    b, c = _factors(student.color_jitter(x, rng, brightness=0.3, contrast=0.5), x)
    b_default, c_default = _factors(student.color_jitter(x, rng), x)

    _follows(b, _uniform(0.7, 1.3), "color_jitter(brightness=0.3)", "b is not uniform from 0.7 to 1.3.")
    _follows(c, _uniform(0.5, 1.5), "color_jitter(contrast=0.5)", "c is not uniform from 0.5 to 1.5.")
    _follows(b_default, _uniform(0.8, 1.2), "color_jitter", "by default b is not uniform from 0.8 to 1.2.")
    _follows(c_default, _uniform(0.8, 1.2), "color_jitter", "by default c is not uniform from 0.8 to 1.2.")
    for sample, reach, name in ((b, 0.3, "b"), (c, 0.5, "c"), (b_default, 0.2, "b"), (c_default, 0.2, "c")):
        what = f"color_jitter: {name} from 1 - {reach} to 1 + {reach}, as two pixels of an image show it"
        expect.between(sample.min(), 1 - reach - 1e-6, 1.0, f"{what}: the smallest")
        expect.between(sample.max(), 1.0, 1 + reach + 1e-6, f"{what}: the largest")
    for one, other in ((b, c), (b_default, c_default)):
        correlation = float(np.corrcoef(one, other)[0, 1])
        expect.between(correlation, -0.23, 0.23, "color_jitter: correlation of b and c")


@pytest.mark.task("augmentation")
def test_jitter_can_be_switched_off(student, rng):
    """A width of zero means a factor of exactly one; the other factor goes on."""
    x = _images_with_two_calm_pixels(rng, 40)

    b, c = _factors(student.color_jitter(x, rng, brightness=0, contrast=0.4), x)
    b2, c2 = _factors(student.color_jitter(x, rng, brightness=0.4, contrast=0), x)
    same = student.color_jitter(x, rng, 0, 0)

    expect.close(b, np.ones(40), "color_jitter(brightness=0): b", rtol=1e-6)
    expect.close(c2, np.ones(40), "color_jitter(contrast=0): c", rtol=1e-6)
    expect.between(c.std(), 0.1, 0.4, "color_jitter(brightness=0): spread of c")
    expect.between(b2.std(), 0.1, 0.4, "color_jitter(contrast=0): spread of b")
    expect.close(same, x, "color_jitter(brightness=0, contrast=0)", rtol=1e-6)
    expect.no_alias(same, x, "color_jitter(brightness=0, contrast=0)")


@pytest.mark.task("augmentation", weight=2)
def test_each_square_is_equally_likely(student, rng):
    """The square never hangs over the border, and every place where it fits is possible, for rows and columns apart."""
    x = rng.uniform(0.1, 1, size=(2400, 2, 5, 6)).astype(np.float32)
    before = x.copy()

    images = student.cutout(x, 3, rng)

    expect.shape(images, x.shape, "cutout")
    counts = []
    for top in range(3):
        for left in range(4):
            want = before.copy()
            want[:, :, top : top + 3, left : left + 3] = 0
            counts.append((images == want).all(axis=(1, 2, 3)).sum())
    expect.is_true(
        sum(counts) == 2400,
        "cutout: an image is not the old one with a whole square of zeros in all channels.",
    )
    for place, count in enumerate(counts):
        _share_is(count / 2400, 1 / 12, 2400, f"cutout: share of squares at {divmod(place, 4)}")
    expect.unchanged(x, before, "cutout: x")


@pytest.mark.task("augmentation")
def test_the_smallest_and_the_largest_square_fit(student, rng):
    """Size 0 leaves the image as it is; the full height leaves only its columns to choose."""
    x = rng.uniform(0.1, 1, size=(40, 1, 3, 5))

    same, full = student.cutout(x, 0, rng), student.cutout(x, 3, rng)

    expect.close(same, x, "cutout(size=0)")
    expect.no_alias(same, x, "cutout(size=0)")
    expect.shape(full, x.shape, "cutout of the full height")
    expect.equal((full == 0).all(axis=2).sum(axis=(1, 2)), np.full(40, 3), "cutout(size=H): columns of zeros")


@pytest.mark.task("augmentation", weight=2)
@pytest.mark.parametrize("alpha", [0.3, 2.0])
def test_shares_of_mixup_follow_a_beta_distribution(student, rng, alpha):
    """Each image draws its own share from Beta(alpha, alpha), and its label is mixed with the very same share."""
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
    others = np.where(np.eye(400, dtype=bool), 0, labels)[~alone].argmax(axis=1)
    expect.is_true(len(np.unique(others)) > 200, "mixup: most images have the same few partners.")
    ahead = (others - np.flatnonzero(~alone)) % 400
    expect.is_true(np.bincount(ahead).max() < 20, "mixup: partners are not random.")
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
        "mixup": lambda rng: student.mixup(x, y, 0.7, rng)[0],
        "mixup (labels)": lambda rng: student.mixup(x, y, 0.7, rng)[1],
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
    """The same generator state gives the same images, the next call gives others; float32 stays float32."""
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
    return passes, sizes, all(given), rng.bit_generator.state == start, (images, lengths)


@pytest.mark.task("augmentation", weight=2)
def test_training_batches_hold_each_image_once(student, rng):
    """Shuffle anew in each pass, keep each label with its image, and augment batch by batch."""
    x, y = np.arange(27.0).reshape(27, 1, 1, 1), rng.permutation(27)

    passes, sizes, given, _, (plain, thirds) = two_epochs(student, x, y, True)

    for images, labels, lengths in passes:
        order = images.ravel() - 1000
        expect.close(np.sort(order), np.arange(27.0), "batches: the images of a pass, sorted")
        expect.equal(labels, y[order.astype(int)], "batches: labels of its images")
        expect.equal(lengths, [8, 8, 8, 3], "batches: their sizes")
        expect.is_true(not np.array_equal(order, np.sort(order)), "batches: in training nothing is shuffled.")
    expect.is_true(not np.array_equal(passes[0][1], passes[1][1]), "batches: two passes have the same order.")
    expect.equal(sizes, [8, 8, 8, 3] * 2, "batches: sizes of what augment received")
    expect.equal(given, True, "batches: whether augment received the generator itself")
    expect.close(
        np.sort(plain.ravel()), np.arange(27.0), "batches without augment: the images of a pass, sorted"
    )
    expect.equal(thirds, [9, 9, 9], "batches of 9 of 27 images: their sizes")


@pytest.mark.task("augmentation", weight=2)
def test_validation_is_never_augmented(student, rng):
    """In validation two passes are equal, images are as they came, and the generator has drawn nothing."""
    x, y = rng.uniform(size=(27, 1, 2, 1)), rng.permutation(27)

    passes, sizes, _, untouched, _ = two_epochs(student, x, y, False)

    for images, labels, lengths in passes:
        expect.close(images, x, "batches of validation: images")
        expect.equal(labels, y, "batches of validation: labels")
        expect.equal(lengths, [8, 8, 8, 3], "batches of validation: their sizes")
    expect.equal(sizes, [], "batches of validation: what augment received")
    expect.equal(untouched, True, "batches of validation: the generator is as it was")


@pytest.mark.task("augmentation", weight=2)
def test_a_change_must_not_make_a_six_a_nine(student):
    """Go through all classes of the data set: a single one that is broken forbids the change."""
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


def _layer(student, rng, shape, momentum, eps):
    """The student's layer with random gamma and beta, and the oracle with the same ones."""
    gamma, beta = rng.uniform(0.5, 2, size=shape[1]), rng.normal(size=shape[1])
    bn = student.BatchNorm(shape[1], momentum, eps)
    bn.gamma, bn.beta = gamma.copy(), beta.copy()
    return bn, _oracle(shape, momentum, eps, gamma, beta)


def _draw_x(rng, shape):
    scale = np.arange(1, shape[1] + 1).reshape(1, -1, *[1] * (len(shape) - 2))
    return rng.normal(size=shape) * scale + 3 * scale


@pytest.mark.task("batch_norm", weight=2)
@pytest.mark.parametrize(("shape", "momentum", "eps"), NORMS)
def test_training_agrees_with_pytorch(student, rng, shape, momentum, eps):
    """Biased variance in the output, unbiased in the running one; eps inside the root; three steps in a row."""
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
    """In training the batch's mean and variance carry gradients too; sums run over all axes but the channel's."""
    bn, oracle = _layer(student, rng, shape, momentum, eps)
    x, dout = _draw_x(rng, shape), rng.normal(size=shape)
    before = dout.copy()
    leaf = torch.tensor(x, requires_grad=True)
    oracle(leaf).backward(torch.from_numpy(dout))

    _, cache = bn.forward(x)
    dx, dgamma, dbeta = bn.backward(dout, cache)

    expect.close(dx, leaf.grad.numpy(), "BatchNorm.backward: dx", rtol=1e-6, atol=1e-9, dtype=np.float64)
    expect.close(dgamma, oracle.weight.grad.numpy(), "BatchNorm.backward: dgamma", rtol=1e-7)
    expect.close(dbeta, oracle.bias.grad.numpy(), "BatchNorm.backward: dbeta", rtol=1e-7)
    expect.unchanged(dout, before, "BatchNorm.backward: dout")


@pytest.mark.task("batch_norm", weight=2)
@pytest.mark.parametrize("shape", [(5, 3), (3, 4, 2, 5)])
def test_eval_agrees_with_pytorch(student, rng, shape):
    """Running statistics in, no statistics out; each example is treated as if it were alone."""
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

    bn.eval()
    out, cache = bn.forward(x)
    dx, dgamma, dbeta = bn.backward(dout, cache)
    single, _ = bn.forward(x[1:2])

    expect.close(out, want.detach().numpy(), "BatchNorm.forward in eval mode")
    expect.close(single, want.detach().numpy()[1:2], "BatchNorm.forward of a single example in eval mode")
    expect.close(bn.running_mean, mean, "BatchNorm.running_mean after eval", rtol=1e-12)
    expect.close(bn.running_var, var, "BatchNorm.running_var after eval", rtol=1e-12)
    expect.close(dx, leaf.grad.numpy(), "BatchNorm.backward in eval mode: dx")
    expect.close(dgamma, oracle.weight.grad.numpy(), "BatchNorm.backward in eval mode: dgamma")
    expect.close(dbeta, oracle.bias.grad.numpy(), "BatchNorm.backward in eval mode: dbeta")


@pytest.mark.task("batch_norm")
def test_a_new_layer_starts_like_pytorchs(student):
    """Ones and zeros, a momentum of 0.1, an eps of 1e-5, training mode; train() and eval() return the layer."""
    bn, x = student.BatchNorm(3), np.array([[1.0, 2, 1e-3], [3, 2, 2e-3]])
    for name, value in (("gamma", 1.0), ("beta", 0.0), ("running_mean", 0.0), ("running_var", 1.0)):
        expect.close(
            getattr(bn, name), np.full(3, value), f"BatchNorm.{name} of a new layer", dtype=np.float64
        )
    expect.equal(bn.training, True, "BatchNorm.training of a new layer")

    out, _ = bn.forward(x)

    oracle = nn.BatchNorm1d(3).double()
    expect.close(out, oracle(torch.from_numpy(x)).detach().numpy(), "BatchNorm.forward")
    expect.close(bn.running_var, oracle.running_var.numpy(), "BatchNorm.running_var")
    expect.equal(bn.eval().training, False, "BatchNorm.eval().training")
    expect.equal(bn.train().training, True, "BatchNorm.train().training")


@pytest.mark.task("batch_norm")
def test_a_constant_channel_becomes_beta(student):
    """No variance at all: eps keeps the division finite."""
    bn = student.BatchNorm(2)
    bn.beta = np.array([0.5, -1.0])

    out, cache = bn.forward(np.full((3, 2), 7.0))
    dx, _, _ = bn.backward(np.array([[1.0, 2], [0, 0], [0, 0]]), cache)

    expect.close(out, np.tile([0.5, -1.0], (3, 1)), "BatchNorm.forward of constants")
    want = np.array([[2 / 3, 4 / 3], [-1 / 3, -2 / 3], [-1 / 3, -2 / 3]]) / np.sqrt(1e-5)
    expect.close(dx, want, "BatchNorm.backward for constants", rtol=1e-6)


@pytest.mark.task("batch_norm")
def test_caches_outlive_other_calls(student, rng):
    """A cache belongs to its own forward: another batch, another mode, a second backward must not matter."""
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


@pytest.mark.task("batch_norm")
def test_a_cache_of_eval_mode_outlives_further_training(student, rng):
    """The running statistics move on; the gradient is that of the ones which the forward used."""
    x, dout = rng.normal(size=(4, 3)), rng.normal(size=(4, 3))
    oracle, leaf = nn.BatchNorm1d(3).double(), torch.tensor(x, requires_grad=True)
    oracle(torch.from_numpy(x))
    want = oracle.eval()(leaf)
    oracle.zero_grad()
    want.backward(torch.from_numpy(dout))

    out, (dx, dgamma, _) = backward_of_eval_after_training(student, x, dout, [1, 2, 3])

    expect.close(out, want.detach().numpy(), "BatchNorm.forward in eval mode")
    expect.close(dx, leaf.grad.numpy(), "BatchNorm.backward of eval mode, after training went on: dx")
    expect.close(
        dgamma, oracle.weight.grad.numpy(), "BatchNorm.backward of eval mode, after training: dgamma"
    )


@probe
def parameters_of_a_layer(student, x):
    """Change the parameters in place, as an optimiser does, and see what the layer then computes."""
    bn = student.BatchNorm(3)
    bn.forward(x)
    parameters = bn.parameters()
    own = len(parameters) == 2 and parameters[0] is bn.gamma and parameters[1] is bn.beta
    other = student.BatchNorm(3)
    for parameter in parameters:
        parameter += 2
    return type(parameters).__name__, own, bn.forward(x)[0], other.forward(x)[0]


@pytest.mark.task("batch_norm")
def test_only_gamma_and_beta_are_learned(student, rng):
    """Running statistics are followed, not trained; and what an optimiser changes in place is what the layer uses."""
    x = rng.normal(size=(4, 3))

    kind, own, out, other = parameters_of_a_layer(student, x)

    expect.equal(kind, "list", "BatchNorm.parameters: its type")
    expect.is_true(own, "BatchNorm.parameters: it is not the list of the layer's own gamma and beta.")
    plain = nn.BatchNorm1d(3).double()(torch.from_numpy(x)).detach().numpy()
    expect.close(out, 3 * plain + 2, "BatchNorm.forward after a change of its parameters")
    expect.close(other, plain, "BatchNorm.forward of another layer")


@pytest.mark.task("batch_norm", weight=2)
def test_what_has_no_meaning_is_refused(student, rng):
    """One value in a channel has no variance, and other axes no meaning: ValueError, and nothing is updated."""
    bn = student.BatchNorm(2)

    for shape in ((1, 2), (1, 2, 1, 1), (4, 2, 3), (2,)):
        with expect.refused(ValueError, f"BatchNorm.forward of {shape}"):
            bn.forward(rng.normal(size=shape))
    expect.close(bn.running_mean, np.zeros(2), "BatchNorm.running_mean after an error")
    expect.close(bn.running_var, np.ones(2), "BatchNorm.running_var after an error")
    out, _ = bn.eval().forward(np.array([[1.0, 2]]))
    expect.close(
        out, np.array([[1.0, 2]]) / np.sqrt(1 + 1e-5), "BatchNorm.forward of one example in eval mode"
    )


@pytest.mark.task("batch_norm")
def test_views_are_normalised_as_well(student, rng):
    """A transposed array has its numbers elsewhere in memory, and the same channels."""
    x = rng.normal(size=(2, 5, 3, 4)).transpose(2, 1, 3, 0)  # (3, 5, 4, 2)

    out, _ = student.BatchNorm(5).forward(x)

    want = nn.BatchNorm2d(5).double()(torch.from_numpy(x.copy())).detach().numpy()
    expect.close(out, want, "BatchNorm.forward of a view")


@pytest.mark.task("batch_norm")
def test_batch_norm_is_written_with_numpy(student, rng):
    """NumPy alone, as the first lines of the module say."""
    for shape in ((4, 3), (4, 3, 2, 5)):
        called = calls_of_torch(student, "BatchNorm", [3], rng.normal(size=shape))
        expect.is_true(
            not called, f"BatchNorm: write it with NumPy alone. It called torch: {', '.join(called)}."
        )


# ------------------------------------------------------------------------------------------------------------
# 5.3  Dropout
# ------------------------------------------------------------------------------------------------------------


@pytest.mark.task("dropout", weight=2)
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_p_is_the_probability_to_be_dropped(student, rng, p):
    """The share of zeros is p, the rest is divided by 1 - p, and each entry decides for itself."""
    x = rng.choice([-1.0, 1.0], size=(80, 5, 6, 5)) * rng.uniform(1, 2, size=(80, 5, 6, 5))
    before = x.copy()

    out, _ = student.Dropout(p, rng).forward(x)

    expect.shape(out, x.shape, "Dropout.forward")
    expect.dtype(out, np.float64, "Dropout.forward")
    dropped = out == 0
    expect.close(out[~dropped], before[~dropped] / (1 - p), f"Dropout({p}): entries that stay")
    _share_is(dropped.mean(), p, x.size, f"Dropout({p}): share of zeros")
    for axis in range(4):
        ahead, behind = (
            np.take(dropped, range(*ends), axis) for ends in ((1, x.shape[axis]), (0, x.shape[axis] - 1))
        )
        agree = (ahead == behind).mean()
        _share_is(
            agree, p * p + (1 - p) ** 2, ahead.size / 3, f"Dropout({p}): share of neighbours treated alike"
        )
    expect.unchanged(x, before, "Dropout.forward: x")


@pytest.mark.task("dropout", weight=2)
def test_the_ends_of_the_range_are_allowed(student, rng):
    """p = 0 drops nothing and p = 1 everything, without a nan; beyond that it is no probability."""
    x, dout = rng.normal(size=(7, 9)), rng.normal(size=(7, 9))

    none, all_ = student.Dropout(0.0, rng), student.Dropout(1.0, rng)
    out, cache = none.forward(x)
    zeros, mask = all_.forward(x)

    expect.close(out, x, "Dropout(0)")
    expect.close(none.backward(dout, cache), dout, "Dropout(0).backward")
    expect.close(zeros, np.zeros_like(x), "Dropout(1)")
    expect.close(all_.backward(dout, mask), np.zeros_like(x), "Dropout(1).backward")
    expect.close(all_.eval().forward(x)[0], x, "Dropout(1) in eval mode")
    for p in (-0.1, 1.5):
        with expect.refused(ValueError, f"Dropout({p})"):
            student.Dropout(p)


@pytest.mark.task("dropout", weight=2)
def test_the_mask_belongs_to_its_forward(student, rng):
    """Two forwards have two masks; each backward takes its own, however late it comes."""
    layer = student.Dropout(0.5, rng)
    dout = rng.normal(size=(8, 3, 5))

    first, cache = layer.forward(np.ones((8, 3, 5)))
    second, other = layer.forward(np.ones((8, 3, 5)))
    layer.eval().forward(np.ones((8, 3, 5)))

    expect.is_true(not np.array_equal(first, second), "Dropout: two forwards dropped the same entries.")
    for _ in range(2):
        expect.close(layer.backward(dout, cache), dout * first, "Dropout.backward of the first forward")
    expect.close(layer.backward(dout, other), dout * second, "Dropout.backward of the second forward")


@pytest.mark.task("dropout")
def test_eval_is_the_identity_both_ways(student, rng):
    """What is not dropped is not scaled either, in values and in gradients; train() brings the chance back."""
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
    fresh = [student.Dropout().forward(x)[0] for _ in range(2)]
    now = np.random.get_state()
    quiet = bool((start[1] == now[1]).all() and start[2] == now[2])
    np.random.seed(5)
    two = student.Dropout(0.5, np.random.default_rng(1)).forward(x)[0]
    np.random.seed(4)
    again = student.Dropout().forward(x)[0]
    rng = np.random.default_rng(2)
    state = rng.bit_generator.state
    layer = student.Dropout(0.5, rng).eval()
    layer.forward(x)
    drawn_in_eval = rng.bit_generator.state != state
    layer.train().forward(x)
    return one, two, [*fresh, again], quiet, drawn_in_eval, rng.bit_generator.state != state


@pytest.mark.task("dropout", weight=2)
def test_dropout_draws_from_its_generator_only(student):
    """Equal generators give equal masks, layers without one have fresh seeds, and evaluation uses up no chance."""
    one, two, fresh, quiet, in_eval, in_training = chance_of_dropout(student, np.ones((30, 40)))

    expect.close(two, one, "Dropout with generators in the same state")
    expect.is_true(quiet, "Dropout: it touches NumPy's global random state.")
    for first, second in ((0, 1), (0, 2), (1, 2)):
        expect.is_true(
            not np.array_equal(fresh[first], fresh[second]),
            "Dropout without rng: two new layers drop the same entries.",
        )
    _share_is((fresh[0] == 0).mean(), 0.5, 1200, "Dropout(): share of zeros")
    expect.equal(in_eval, False, "Dropout in eval mode: whether it draws from the generator")
    expect.equal(in_training, True, "Dropout in training mode: whether it draws from the generator")


@pytest.mark.task("dropout")
def test_dropout_is_written_with_numpy(student, rng):
    """NumPy alone, as the first lines of the module say."""
    called = calls_of_torch(student, "Dropout", [0.5], rng.normal(size=(4, 3)))

    expect.is_true(not called, f"Dropout: write it with NumPy alone. It called torch: {', '.join(called)}.")


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
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    for _ in range(2):
        model(torch.from_numpy(x)).square().sum().backward()
        optimizer.step()
    moved = sorted(name for name, value in model.state_dict().items() if not torch.equal(value, before[name]))
    gradients = sorted(name for name, parameter in model.named_parameters() if parameter.grad is not None)
    return learning, modes, moved, gradients, returned is model


@pytest.mark.task("freezing", weight=2)
@pytest.mark.parametrize("head", ["fc", "top", "top.3"])
def test_training_moves_nothing_but_the_head(student, rng, head):
    """Names may begin alike, batch norms come in three kinds, and a batch norm in the head goes on."""
    x = rng.normal(size=(7, 12)).astype(np.float32)

    learning, modes, moved, gradients, returned = frozen_model(student, head, x)

    of_head = {"fc": ["fc.bias", "fc.weight"], "top.3": ["top.3.bias", "top.3.weight"]}.get(
        head, [f"top.{layer}.{kind}" for layer in (0, 1, 3) for kind in ("bias", "weight")]
    )
    expect.equal(learning, of_head, f"freeze_backbone(head={head!r}): parameters that require a gradient")
    expect.equal(
        gradients, of_head, f"freeze_backbone(head={head!r}): parameters with a gradient after training"
    )
    statistics = [f"top.1.{kind}" for kind in ("num_batches_tracked", "running_mean", "running_var")]
    want = sorted(of_head + (statistics if head == "top" else []))
    expect.equal(moved, want, f"freeze_backbone(head={head!r}): what two steps of training changed")
    expect.equal(modes[""], True, "freeze_backbone: model.training")
    expect.equal(modes[head], True, f"freeze_backbone: training of the head {head!r}")
    if head == "top":
        expect.equal(
            [modes["top.1"], modes["top.2"]], [True, True], "freeze_backbone: training of the head's layers"
        )
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
    """Whatever was frozen before: the head learns from here on; its mode is not ours to change."""
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
        old = dict(model.named_parameters())
        modules = dict(model.named_modules())
        known = model.get_submodule(head).weight.detach().clone()
        returned = student.replace_head(model, 9, head)
        new = model.get_submodule(head)
        kept = all(
            value is old[name] for name, value in model.named_parameters() if not name.startswith(head + ".")
        )
        kept_modules = [name for name, part in model.named_modules() if part is not modules.get(name)]
        out = model.eval()(torch.from_numpy(x).to(getattr(torch, dtype)))
        weights = new.weight.detach()
        found.append(
            (
                type(new).__name__, tuple(weights.shape), new.bias is not None, str(weights.dtype), tuple(out.shape),
                kept, kept_modules, returned is model, float(weights.std()), new.weight.requires_grad,
                float(torch.isin(weights, known).float().mean()), len(old),
                len(list(model.named_parameters())),
            )
        )  # fmt: skip
    return found


@pytest.mark.task("freezing", weight=2)
def test_a_new_head_is_like_the_old_one_but_for_its_classes(student, rng):
    """Read the old layer: its features, its bias, its dtype. Nothing beside it changes."""
    found = replaced_heads(student, rng.normal(size=(3, 2, 3)))

    for case, (head, features, bias, dtype) in zip(
        found,
        [("body.cls.2", 4, True, "torch.float64"), ("body.cls.2", 4, False, "torch.float32"),
         ("out", 5, True, "torch.float32")],
        strict=True,
    ):  # fmt: skip
        (
            kind,
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
        ) = case
        what = f"replace_head(model, 9, {head!r})"
        expect.equal(kind, "Linear", f"{what}: class of the new head")
        expect.equal(shape, (9, features), f"{what}: shape of its weight")
        expect.equal(has_bias, bias, f"{what}: whether it has a bias")
        expect.equal(got_dtype, dtype, f"{what}: dtype of its weight")
        expect.equal(out, (3, 9), f"{what}: shape of the scores")
        expect.is_true(kept, f"{what}: other parameters of the model were replaced too.")
        expect.equal(changed, [head], f"{what}: modules that were replaced")
        expect.equal(after, before, f"{what}: number of parameter tensors")
        expect.equal(returned, True, f"{what}: whether it returns the model")
        expect.is_true(spread > 1e-3, f"{what}: its weights are all the same.")
        expect.is_true(copied < 0.3, f"{what}: its weights are those of the old head; draw new ones.")
        expect.equal(asks, True, f"{what}: requires_grad of its weight")


@probe
def rates_of_parameters(student, frozen, head):
    """The rates at which each parameter stands in the groups, also after the groups were read once."""
    torch.manual_seed(0)
    model = nn.ModuleDict(
        {
            "stem": nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)),
            "tied": nn.Linear(4, 4),
            "head": nn.Sequential(nn.Linear(4, 2, bias=False), nn.Linear(2, 2)),
            "header": nn.Linear(2, 2),
        }
    )
    model["stem"].add_module("again", model["tied"])
    for name, parameter in model.named_parameters():
        parameter.requires_grad = not any(name.startswith(prefix) for prefix in frozen)
    groups = student.param_groups(model, 0.3, 0.02, head)
    sizes = [len(list(group["params"])) for group in groups]
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    rates = {}
    for group in groups:
        for parameter in group["params"]:
            rates.setdefault(names[id(parameter)], []).append(group["lr"])
    torch.optim.Adam(groups)
    frozen_now = [p.requires_grad for p in model.parameters()]
    return rates, sizes, frozen_now, [sorted(group)[:2] for group in groups], type(groups).__name__


@pytest.mark.task("freezing")
@pytest.mark.parametrize("head", ["head", "head.1"])
@pytest.mark.parametrize("frozen", [[], ["stem.0"], ["stem", "tied"], ["head."], ["stem", "tied", "header"]])
def test_each_learning_parameter_stands_in_one_group(student, frozen, head):
    """Frozen ones have no place in an optimiser, shared ones only one, and names that begin alike are not the same."""
    rates, sizes, _, _, kind = rates_of_parameters(student, frozen, head)

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
    expect.equal(rates, want, "param_groups: rates of each parameter")
    expect.is_true(all(size > 0 for size in sizes), "param_groups: a group is empty.")
    expect.equal(kind, "list", "param_groups: its type")


# ------------------------------------------------------------------------------------------------------------
# 5.5  Transfer learning, compared
# ------------------------------------------------------------------------------------------------------------

# Over 14 draws of 30 images with noise 0.25 the reference reaches (mean, standard deviation of one draw):
#     linear_probe 0.940 (0.016), fine_tune 0.935 (0.028), scratch 0.632 (0.094); on the training images 0.97 to 1.00.
# The floors are for means of three draws and lie four standard deviations of such a mean below it; the last one, for
# training images, only asks whether a way was trained at all.
PROBE_FLOOR, GAIN_FLOOR, TUNE_FLOOR, FIT_FLOOR = 0.90, 0.08, 0.85, 0.75


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
    nets = student.compare_transfer(state, x, y, seed=seed)
    found = {}
    with torch.no_grad():
        for way, net in nets.items():
            scores = net(torch.from_numpy(unseen)), net(torch.from_numpy(x))
            tensors = {name: value.clone() for name, value in net.state_dict().items()}
            places = [value.data_ptr() for value in net.state_dict().values() if value.numel()]
            found[way] = *scores, tensors, net.training, type(net) is student.ShapeNet, places
    return found, [value.data_ptr() for value in state.values() if value.numel()]


@pytest.fixture(scope="module")
def three_comparisons(student, seed):
    """Three draws of ten images a class: predictions on unseen images, and all that is needed to judge them."""
    found = []
    for draw in range(3):
        x, y = _held_out(10, (seed, 10 + draw))
        unseen, labels = _held_out(100, (seed, 20 + draw))
        state = _given_state()
        nets, places = scores_of_three_ways(student, state, x, y, unseen, (seed + draw) % 1000)
        found.append((nets, places, y, labels, state))
    return found


def _mean_accuracy(comparisons, way, on_unseen):
    rates = []
    for nets, _, y, labels, _ in comparisons:
        scores, truth = (nets[way][0], labels) if on_unseen else (nets[way][1], y)
        expect.shape(scores, (len(truth), 3), f"compare_transfer: scores of {way}")
        rates.append(float((scores.argmax(dim=1).numpy() == truth).mean()))
    return float(np.mean(rates))


@pytest.mark.task("transfer", weight=2)
def test_a_linear_probe_needs_thirty_images(three_comparisons):
    """What was learned on seven shapes also describes three others: only the last layer is missing."""
    share = _mean_accuracy(three_comparisons, "linear_probe", True)

    expect.between(
        share, PROBE_FLOOR, 1.0, "compare_transfer: linear_probe, share of unseen images that are right"
    )


@pytest.mark.task("transfer", weight=2)
def test_transfer_beats_a_start_from_scratch(three_comparisons):
    """Thirty images are too few to learn to see, but enough to learn three new words."""
    probed = _mean_accuracy(three_comparisons, "linear_probe", True)
    scratch = _mean_accuracy(three_comparisons, "scratch", True)

    expect.between(probed - scratch, GAIN_FLOOR, 1.0, "compare_transfer: gain of linear_probe over scratch")


@pytest.mark.task("transfer", weight=2)
def test_fine_tuning_forgets_little(three_comparisons):
    """Small steps in the backbone: large ones would destroy on thirty images what many images taught."""
    share = _mean_accuracy(three_comparisons, "fine_tune", True)

    expect.between(
        share, TUNE_FLOOR, 1.0, "compare_transfer: fine_tune, share of unseen images that are right"
    )


@pytest.mark.task("transfer", weight=2)
@pytest.mark.parametrize("way", ["scratch", "linear_probe", "fine_tune"])
def test_each_way_learns_its_training_images(three_comparisons, way):
    """A comparison is fair only if every way was trained to the end."""
    share = _mean_accuracy(three_comparisons, way, False)

    expect.between(share, FIT_FLOOR, 1.0, f"compare_transfer: {way}, share of training images that are right")


@pytest.mark.task("transfer", weight=2)
def test_only_the_head_of_a_probe_is_new(three_comparisons):
    """Forty epochs later the backbone is still the given one, running statistics included; the others moved."""
    for nets, _, _, _, _ in three_comparisons:
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
    """Copies, not references: training one network must not change another, nor the given state."""
    for nets, places, _, _, state in three_comparisons:
        expect.equal(sorted(nets), ["fine_tune", "linear_probe", "scratch"], "compare_transfer: its keys")
        everywhere = [*places, *(place for net in nets.values() for place in net[5])]
        expect.is_true(
            len(set(everywhere)) == len(everywhere),
            "compare_transfer: networks share tensors, or use those of state.",
        )
        for name, given in _given_state().items():
            expect.unchanged(state[name], given, f"compare_transfer: state[{name!r}]")
        for way, (_, _, _, training, is_shape_net, _) in nets.items():
            expect.equal(training, False, f"compare_transfer: {way}.training")
            expect.equal(is_shape_net, True, f"compare_transfer: whether {way} is a ShapeNet")


@probe
def watched_comparison(student, state, x, y, num_classes, seeds):
    """Compare for two epochs under several seeds; note rates, left-over gradients and resulting weights."""
    rates, left_over, squashed, runs = {}, [], [], []

    def note(optimizer, args, kwargs):
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                rates.setdefault(id(parameter), (parameter, group["lr"]))

    hook = optimizers.register_optimizer_step_pre_hook(note)
    try:
        for number, seed in enumerate(seeds):
            torch.manual_seed(50 + number)
            np.random.seed(50 + number)
            torch.rand(number)
            given = state if number < 3 else {k: v * 0 + 0.5 for k, v in state.items()}
            with spies.watched() as notes:
                nets = student.compare_transfer(given, x, y, num_classes, 2, seed)
            left_over += notes.left_over
            squashed += notes.squashed
            runs.append(
                {way: {k: v.clone() for k, v in net.state_dict().items()} for way, net in nets.items()}
            )
            if number == 0:
                by_name = {
                    way: {name: rates[id(p)][1] for name, p in net.named_parameters() if id(p) in rates}
                    for way, net in nets.items()
                }
                shapes = {way: tuple(net(torch.from_numpy(x[:2])).shape) for way, net in nets.items()}
    finally:
        hook.remove()
    return runs, by_name, shapes, left_over, squashed


@pytest.fixture(scope="module")
def short_comparisons(student, seed):
    """Two epochs on 14 images of four classes, from weights whose head has seven; watched from all sides."""
    x, y = shapes10(14, (seed, 40))
    y = y % 4
    before = x.copy(), y.copy()
    found = watched_comparison(student, _given_state(), x, y, 4, [5, 5, 6, 5])
    expect.unchanged(x, before[0], "compare_transfer: x")
    expect.unchanged(y, before[1], "compare_transfer: y")
    return found


@pytest.mark.task("transfer")
def test_the_seed_decides_all_three(short_comparisons):
    """The same seed gives the same networks whatever was drawn before, and another seed gives others."""
    runs, _, shapes, *_ = short_comparisons

    for way in ("scratch", "linear_probe", "fine_tune"):
        expect.equal(shapes[way], (2, 4), f"compare_transfer(num_classes=4): shape of the scores of {way}")
        first, again, other = (run[way]["head.weight"] for run in runs[:3])
        expect.close(
            again, first, f"compare_transfer: head of {way} under the same seed", rtol=1e-4, atol=1e-6
        )
        expect.is_true(not torch.allclose(other, first), f"compare_transfer: two seeds give the same {way}.")


@pytest.mark.task("transfer")
def test_scratch_knows_nothing_of_the_given_weights(short_comparisons):
    """With other given weights and the same seed, the network from scratch is the same."""
    runs, *_ = short_comparisons

    for name, value in runs[0]["scratch"].items():
        expect.close(
            runs[3]["scratch"][name], value, f"compare_transfer: {name} of scratch", rtol=1e-3, atol=1e-5
        )


@pytest.mark.task("transfer", weight=2)
def test_the_backbone_learns_more_slowly(short_comparisons):
    """Fine-tuning takes small steps where much is known, and large ones where nothing is; gradients start clean."""
    _, rates, _, left_over, squashed = short_comparisons

    tuned = rates["fine_tune"]
    if tuned:  # without an optimiser of torch there is nothing to read
        head = min(rate for name, rate in tuned.items() if name.startswith("head."))
        slowest = max((rate for name, rate in tuned.items() if name.startswith("backbone.")), default=0.0)
        expect.is_true(
            0 < slowest < head,
            f"compare_transfer: fine_tune learns its backbone at {slowest}, its head at {head}.",
        )
    expect.is_true(
        not any(left_over), "compare_transfer: a backward pass began with the gradient of the last one."
    )
    expect.is_true(
        not any(squashed), "compare_transfer: cross-entropy does the softmax itself; give it raw scores."
    )


# ------------------------------------------------------------------------------------------------------------
# 5.6  Boxes
# ------------------------------------------------------------------------------------------------------------


def _draw_boxes(rng, n, side=20.0):
    corner = rng.uniform(-side, side, size=(n, 2))
    return np.concatenate([corner, corner + rng.uniform(0.5, side, size=(n, 2))], axis=1)


@pytest.mark.task("boxes", weight=2)
def test_iou_agrees_with_torchvision(student, rng):
    """Continuous coordinates, no pixel more; width and height of the intersection are cut off at zero one by one."""
    a, b = _draw_boxes(rng, 23), np.asfortranarray(_draw_boxes(rng, 31))
    before = a.copy(), b.copy()

    iou = student.box_iou(a, b)

    want = import_torchvision().ops.box_iou(torch.from_numpy(a), torch.from_numpy(b)).numpy()
    expect.close(iou, want, "box_iou", rtol=1e-9, dtype=np.float64)
    tiny = student.box_iou(a / 1000, b / 1000)
    expect.close(tiny, want, "box_iou of boxes a thousandth as large", rtol=1e-9, atol=1e-12)
    expect.unchanged(a, before[0], "box_iou: a")
    expect.unchanged(b, before[1], "box_iou: b")


@pytest.mark.task("boxes")
def test_boxes_without_area_share_nothing(student):
    """A point with itself is 0 / 0: call it 0. And no boxes at all give an empty matrix."""
    point, line, box = [1.0, 1, 1, 1], [0.0, 0, 2, 0], [0.0, 0, 2, 2]
    boxes = np.array([point, line, box])

    iou = student.box_iou(boxes, boxes)

    expect.close(iou, np.diag([0.0, 0, 1]), "box_iou of a point, a line and a square")
    expect.shape(student.box_iou(np.zeros((0, 4)), boxes), (0, 3), "box_iou without boxes in a")
    expect.shape(student.box_iou(boxes, np.zeros((0, 4))), (3, 0), "box_iou without boxes in b")


@pytest.mark.task("boxes", weight=2)
@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.75])
def test_suppression_agrees_with_torchvision(student, rng, threshold):
    """Go down the scores, and compare only with boxes that were kept: a suppressed box suppresses no other."""
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
    """An IoU of exactly the threshold is not greater than it, also where the threshold is 0 or 1."""
    halves = np.array([[0.0, 0, 2, 1], [0, 0, 1, 1], [5, 5, 6, 6]])
    scores = np.array([0.9, 0.8, 0.7])

    expect.equal(
        student.nms(halves, scores, 0.5), np.array([0, 1, 2]), "nms with an IoU of 0.5 and a threshold of 0.5"
    )
    expect.equal(
        student.nms(halves, scores, 0.49), np.array([0, 2]), "nms with an IoU of 0.5 and a threshold of 0.49"
    )
    expect.equal(student.nms(halves, scores), np.array([0, 1, 2]), "nms with its default threshold")
    expect.equal(student.nms(halves, scores, 0.0), np.array([0, 2]), "nms with a threshold of 0")
    twins = np.tile(halves[:1], (2, 1))
    expect.equal(student.nms(twins, scores[:2], 1.0), np.array([0, 1]), "nms of twins with a threshold of 1")


@pytest.mark.task("boxes", weight=2)
def test_chains_ties_and_nothing(student):
    """A suppresses B, so B cannot suppress C; of equals the first comes first; of nothing nothing is kept."""
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
    """A trick that moves the classes apart by a fixed distance fails where boxes are large or negative."""
    boxes = np.array([[-5e4, -5e4, 5e4, 5e4], [-5e4, -5e4, 5e4, 4.9e4], [-4.9e4, -5e4, 5e4, 5e4]])

    kept = student.nms(boxes, np.array([0.2, 0.9, 0.5]), 0.5, np.array([7, 8, 7]))

    expect.equal(kept, np.array([1, 2]), "nms with labels of huge boxes")


@pytest.mark.task("boxes", weight=2)
def test_offsets_agree_with_torchvision(student, rng):
    """Everything is measured by the anchor: the shift by its size, the size as a logarithm of the ratio."""
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
    """Random offsets become boxes and offsets again; no offset at all is the anchor itself."""
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
    """Rows, columns, scales, ratios, from the slowest to the fastest; the ratio is height over width, at equal area."""
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
    """Detections compete for the boxes of their own image, in the order of their scores."""
    gts = np.c_[rng.choice([3.0, 7, 8, 100], size=12), 12 * rng.uniform(size=(12, 2)), np.zeros((12, 2))]
    gts[:, 3:] = gts[:, 1:3] + rng.uniform(4, 8, size=(12, 2))
    dets = np.c_[np.zeros(40), rng.permutation(40) / 40, np.zeros((40, 4))]
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
    """A second detection of a box that is taken is a false alarm, unless another free box fits it."""
    gts = np.array([[0.0, 0, 0, 10, 10], [0, 3, 0, 13, 10], [1, 0, 0, 10, 10]])
    twice = np.array([[1.0, 0.9, 0, 0, 10, 10], [1, 0.8, 0, 0, 10, 10], [0, 0.7, 0, 0, 10, 10]])
    second_best = np.array([[0.0, 0.9, 0, 0, 10, 10], [0, 0.8, 1, 0, 11, 10]])

    expect.close(
        student.average_precision(twice, gts), 1 / 3 + 2 / 9, "average_precision of a box found twice"
    )
    expect.close(
        student.average_precision(second_best, gts), 2 / 3, "average_precision where the better box is taken"
    )
    choice = np.array([[0.0, 0.9, 3, 0, 13, 10], [0, 0.8, -3, 0, 7, 10]])
    expect.close(
        student.average_precision(choice, gts), 2 / 3, "average_precision where two boxes fit well enough"
    )
    elsewhere = np.array([[2.0, 0.9, 0, 0, 10, 10]])
    expect.close(
        student.average_precision(elsewhere, gts), 0.0, "average_precision of a box in another image"
    )


@pytest.mark.task("detector", weight=2)
def test_limits_of_average_precision(student):
    """An IoU of exactly the threshold is a hit, equal scores keep their order, and nothing is nothing."""
    gts = np.array([[0.0, 0, 0, 2, 1]])
    half = np.array([[0.0, 0.9, 0, 0, 1, 1]])
    ties = np.array([[0.0, 0.5, 0, 0, 2, 1], [0, 0.5, 5, 5, 6, 6]])

    expect.close(student.average_precision(half, gts), 1.0, "average_precision at an IoU of exactly 0.5")
    expect.close(
        student.average_precision(half, gts, 0.51), 0.0, "average_precision(iou=0.51) at an IoU of 0.5"
    )
    expect.close(
        student.average_precision(ties, gts), 1.0, "average_precision where the hit comes first of two equals"
    )
    many = np.tile([[5.0, 0.5, 0, 0, 2, 1]], (60, 1))
    many[20, 0] = 0
    expect.close(student.average_precision(many, gts), 1 / 21, "average_precision of sixty equal scores")
    expect.close(
        student.average_precision(ties[::-1], gts), 0.5, "average_precision where the hit comes second of two"
    )
    expect.close(
        student.average_precision(np.zeros((0, 6)), gts), 0.0, "average_precision without detections"
    )
    expect.close(
        student.average_precision(half, np.zeros((0, 5))), 0.0, "average_precision without true boxes"
    )
    expect.close(
        student.average_precision(np.zeros((0, 6)), np.zeros((0, 5))), 0.0, "average_precision of nothing"
    )


@pytest.mark.task("detector")
def test_precision_is_made_to_fall(student):
    """Precision 1/2 at the first hit, 2/3 at the second: at every recall up to there 2/3 can be had."""
    gts = np.array([[0.0, 0, 0, 4, 4], [1, 0, 0, 4, 4], [2, 0, 0, 4, 4]])
    dets = np.array(
        [[9.0, 0.9, 0, 0, 4, 4], [0, 0.8, 0, 0, 4, 4], [1, 0.7, 0, 0, 4, 4], [9, 0.6, 0, 0, 4, 4]]
    )

    expect.close(student.average_precision(dets, gts), 2 / 3 * 2 / 3, "average_precision")


# Over 20 seeds the reference names 1.000 of the shapes (standard deviation 0.001), with a mean IoU of 0.813 (0.005). A
# box of the mean place and size has a mean IoU of about 0.6, and follows no shape.
CLASS_FLOOR, IOU_FLOOR, FOLLOWS_FLOOR = 0.80, 0.55, 0.4


@probe
def detections_after_training(student, x, y, boxes, unseen, seed):
    """Train with the default number of epochs, detect, and compare with what the model itself says."""
    model = student.train_detector(x, y, boxes, seed=seed)
    found = student.detect(model, unseen)
    with torch.no_grad():
        scores, own = model(torch.from_numpy(unseen))
    return found, scores, own, model.training, type(model) is student.TinyDetector


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
    """The images come sorted by class: shuffle them, and let the loss ask for both, what and where."""
    (labels, _, _), _, _, training, is_own, truth, _ = trained_detector

    expect.accuracy(labels, truth, CLASS_FLOOR, "train_detector, labels of unseen images")
    expect.equal(training, False, "train_detector: model.training")
    expect.equal(is_own, True, "train_detector: whether it returns a TinyDetector")


@pytest.mark.task("detector", weight=2)
def test_unseen_shapes_are_found(trained_detector):
    """A box that never moves has a mean IoU of about 0.6: yours must follow the shape, in x and in y."""
    (_, _, boxes), _, _, _, _, _, truth = trained_detector

    expect.shape(boxes, (400, 4), "detect: boxes")
    expect.finite(boxes, "detect: boxes")
    overlap = np.mean(
        [_shared(one.tolist(), other.tolist()) for one, other in zip(boxes, truth, strict=True)]
    )
    expect.between(overlap, IOU_FLOOR, 1.0, "train_detector: mean IoU on unseen images")
    centres, true_centres = ((sides[:, :2] + sides[:, 2:]) / 2 for sides in (boxes, truth))
    for axis, name in enumerate("xy"):
        is_still = float(centres[:, axis].std()) < 1e-6
        follows = 0.0 if is_still else float(np.corrcoef(centres[:, axis], true_centres[:, axis])[0, 1])
        expect.between(
            follows, FOLLOWS_FLOOR, 1.0, f"train_detector: correlation with the true centres in {name}"
        )


@pytest.mark.task("detector")
def test_detections_are_what_the_model_says(trained_detector):
    """Labels are the classes with the highest scores, probabilities their softmax, and boxes are handed on."""
    (labels, probabilities, boxes), scores, own, _, _, _, _ = trained_detector

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
    records = torch.is_grad_enabled()
    torch.set_grad_enabled(True)
    return want, found, touched, any(model.recorded), records


@pytest.mark.task("detector")
def test_detections_do_not_depend_on_mode_or_company(student, rng):
    """Predict in eval mode and without gradients, and put the model back into the mode it came in."""
    x = rng.uniform(size=(11, 3, 5, 4)).astype(np.float32)
    before = x.copy()

    (scores, boxes), found, touched, recorded, records = detections_in_both_modes(student, x)

    for (whole, single, mode, inner), training in zip(found, (True, False), strict=True):
        expect.equal(whole[0], scores.argmax(axis=1), "detect: labels")
        expect.close(whole[2], boxes, "detect: boxes", rtol=1e-4, atol=1e-5)
        expect.equal(single[0], scores[2:3].argmax(axis=1), "detect: label of a single image")
        expect.close(single[2], boxes[2:3], "detect: box of a single image", rtol=1e-4, atol=1e-5)
        expect.close(single[1], whole[1][2:3], "detect: probability of a single image", rtol=1e-4, atol=1e-5)
        expect.equal(
            [mode, inner], [training, training], "detect: modes of the model and its layers afterwards"
        )
    expect.equal(touched, 0, "detect: batch norms that counted, and gradients that appeared")
    expect.is_true(not recorded, "detect: what the model computes records gradients; use torch.no_grad().")
    expect.is_true(records, "detect: afterwards nothing records gradients any more.")
    expect.unchanged(x, before, "detect: x")


@probe
def boxes_of_wild_weights(student, x):
    """Boxes of detectors whose weights are far from what training would give."""
    found = []
    for seed in range(8):
        torch.manual_seed(seed)
        model = student.TinyDetector(3).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * (0.2, 0.5, 1.0, 2.0)[seed % 4])
            found.append(model(torch.from_numpy(x))[1])
    return torch.cat(found)


@pytest.mark.task("detector")
def test_a_box_is_a_box_whatever_the_weights(student, rng):
    """x1 is never beyond x2: compute the corners from something that cannot be wrong."""
    boxes = boxes_of_wild_weights(student, rng.uniform(size=(20, 3, 32, 32)).astype(np.float32))

    expect.shape(boxes, (160, 4), "TinyDetector: boxes")
    wrong = int((boxes[:, :2] > boxes[:, 2:]).any(dim=1).sum())
    expect.is_true(wrong == 0, f"TinyDetector: {wrong} of 160 boxes have x1 > x2 or y1 > y2.")


@probe
def watched_detector(student, x, y, boxes):
    """Train briefly under several seeds; note left-over gradients, unmoved parameters, all weights."""
    left_over, squashed, rows = [], [], []
    for number, (seed, epochs) in enumerate(((4, 1), (4, 1), (9, 1), (4, 2))):
        torch.manual_seed(70 + number)
        np.random.seed(70 + number)
        with spies.watched() as notes:
            model = student.train_detector(x, y, boxes, 6, epochs, seed)
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
    return flat, left_over, squashed, unmoved, len(rows[0]), classes


@pytest.mark.task("detector", weight=2)
def test_a_detector_is_trained_with_care(student, seed):
    """Clean gradients, no forgotten parameter, epochs that count, and a seed that decides everything."""
    x, y, boxes = shapes10_boxes(60, (seed, 62))
    y = y % 6
    before = x.copy(), y.copy(), boxes.copy()

    rows, left_over, squashed, unmoved, count, classes = watched_detector(student, x, y, boxes)
    first, again, other, longer = rows

    expect.is_true(
        not any(left_over), "train_detector: a backward pass began with the gradient of the last one."
    )
    expect.is_true(
        not any(squashed), "train_detector: cross-entropy does the softmax itself; give it raw scores."
    )
    expect.is_true(
        count > 0 and unmoved == 0, f"train_detector: {unmoved} of {count} parameters never changed."
    )
    expect.close(again, first, "train_detector: parameters under the same seed", rtol=1e-4, atol=1e-5)
    expect.is_true(not np.allclose(other, first), "train_detector: two seeds give the same detector.")
    expect.is_true(not np.allclose(longer, first), "train_detector: a second epoch changes nothing.")
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
    """Slopes of the score, not of a probability; their mean over all places; in eval mode, also where all is frozen."""
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
    expect.equal(
        learning, [not quiet] * len(learning), "grad_cam: requires_grad of the parameters afterwards"
    )


@pytest.mark.task("grad_cam")
def test_one_class_for_all_images(student, reference):
    """An int asks for the same class everywhere; an image's map does not depend on the images beside it."""
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
        len(m._forward_hooks)
        + len(m._forward_pre_hooks)
        + len(m._backward_hooks)
        + len(m._backward_pre_hooks)
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
    """Modes, hooks, gradients and requires_grad are as they were, each for itself, also where the forward fails."""
    x = torch.from_numpy(rng.normal(size=(3, 2, 6, 7)).astype(np.float32))

    maps, failed, hooks, gradients, asks, same_modes, x_is_clean, _ = traces(student, x, fails)

    expect.equal(failed, fails, "grad_cam: whether it raised an error (here: a channel too few)")
    if not fails:
        expect.shape(maps, (3, 4, 5), "grad_cam: maps")
    expect.equal(hooks, 1, "grad_cam: hooks on the model, one of which was there before")
    expect.is_true(same_modes, "grad_cam: a module is not in the mode in which it came.")
    expect.close(
        gradients[0], torch.full_like(gradients[0], 2.0), "grad_cam: a gradient that was there before"
    )
    left = sum(gradient is not None for gradient in gradients[1:])
    expect.equal(left, 0, "grad_cam: parameters that received a gradient")
    expect.equal(asks, [True, False, True, True, True, True], "grad_cam: requires_grad of the parameters")
    expect.is_true(x_is_clean, "grad_cam: x received a gradient.")


@pytest.mark.task("grad_cam", weight=2)
def test_a_relu_in_place_does_not_spoil_the_maps(student, rng):
    """The maps are those of the layer itself, before the next layer writes over them."""
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
    model = nn.Sequential(
        nn.Identity(), nn.Conv2d(2, 3, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 4)
    )
    for parameter in model.parameters():
        parameter.requires_grad = False
    maps = student.grad_cam(model, model[0], x, 1)
    return maps, x.requires_grad, x.grad is None, model[4].weight, model[1].weight


@pytest.mark.task("grad_cam")
def test_a_layer_may_hand_on_the_image_itself(student, rng):
    """What the layer gives is then the caller's own tensor: it must not begin to ask for a gradient."""
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
    """The pointing game: in most images the highest point of the map lies inside the box of the shape."""
    images, labels, boxes = shapes10_boxes(150, 79)
    known = labels < 7
    x, y, boxes = torch.from_numpy(images[known]), torch.from_numpy(labels[known]), boxes[known]

    maps, _, _, _ = maps_of_the_given_network(
        student, _given_state(), "backbone.10", x, y, True, False, False
    )

    expect.shape(maps, (len(x), 8, 8), "grad_cam: maps")
    large = F.interpolate(maps[:, None].float(), size=(32, 32), mode="bilinear")[:, 0].flatten(1)
    row, column = (large.argmax(dim=1) // 32).numpy() + 0.5, (large.argmax(dim=1) % 32).numpy() + 0.5
    inside = (boxes[:, 0] <= column) & (column <= boxes[:, 2]) & (boxes[:, 1] <= row) & (row <= boxes[:, 3])
    expect.between(
        inside.mean(), 0.75, 1.0, "grad_cam: share of images whose highest point lies on the shape"
    )
