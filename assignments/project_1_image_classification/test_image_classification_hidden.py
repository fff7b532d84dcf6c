"""Hidden tests of the image classification project: labels, unseen images and formulas stay with the judge."""

import contextlib
import itertools
import json
import os
import shutil
import tempfile

import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support
from torch import nn
from torch.optim import optimizer as optimizers

from autograder import expect, probe
from dlcourse import outage, spies
from dlcourse.data import shapes10

#: The first of four steps of the accuracy on unseen shapes: half of the points are for it. The command
#: `python -m benchmarks.images` measures the solution: over 5 drawings its mean is 0.976, with a standard deviation of
#: 0.002. On one drawing each, a network with a hidden layer and no convolution has 0.57, one with two small
#: convolutions 0.69, and the solution with a tenth of its learning rate 0.70.
FIRST_STEP = 0.55


# ------------------------------------------------------------------------------------------------------------
# P1.1  Preprocessing
# ------------------------------------------------------------------------------------------------------------


@pytest.mark.task("preprocessing", weight=3)
def test_statistics_are_those_of_all_pixels_together(student, rng):
    """channel_statistics: one mean and one deviation of each channel, over all pixels of all images together."""
    x = rng.integers(0, 90, size=(7, 5, 6, 4)) + rng.integers(0, 160, size=(7, 1, 1, 4))
    x = x.astype(np.uint8)
    before = x.copy()

    mean, std = student.channel_statistics(x)

    pixels = x.reshape(-1, 4) / 255
    expect.close(mean, pixels.mean(axis=0), "channel_statistics: mean", rtol=1e-5)
    expect.close(std, pixels.std(axis=0), "channel_statistics: std", rtol=1e-4)
    expect.unchanged(x, before, "channel_statistics: x")


@pytest.mark.task("preprocessing", weight=3)
def test_every_image_is_treated_in_the_same_way(student, rng):
    """preprocess: the given mean and std are used, and the result for one image does not depend on the others."""
    x = rng.integers(0, 256, size=(6, 5, 14, 2)).astype(np.uint8)[:, :, ::2]  # not contiguous
    mean, std = rng.uniform(size=2), rng.uniform(0.1, 0.5, size=2)
    before = x.copy()

    images, alone = student.preprocess(x, mean, std), student.preprocess(x[2:3], mean, std)

    want = ((x / 255 - mean) / std).transpose(0, 3, 1, 2)
    expect.close(images, want, "preprocess", rtol=1e-4, atol=1e-5, dtype=np.float32)
    expect.close(alone, want[2:3], "preprocess of a single image", rtol=1e-4, atol=1e-5, dtype=np.float32)
    expect.unchanged(x, before, "preprocess: x")


@pytest.mark.task("preprocessing")
def test_statistics_of_many_images_are_exact(student, rng):
    """channel_statistics: all images count, however many, and a constant channel has exactly the deviation 0."""
    x = rng.integers(0, 120, size=(1200, 16, 18, 6)).astype(np.uint8)
    x[600:, ..., 0] += 100
    x[..., 1:5] = 201, 77, 13, 254
    x[..., 5] = 128 + (rng.random(size=(1200, 16, 18)) < 0.02)

    mean, std = student.channel_statistics(x)

    pixels = x.reshape(-1, 6).astype(np.float64)
    want = pixels.std(axis=0) / 255
    expect.close(mean, pixels.mean(axis=0) / 255, "channel_statistics of many images: mean", rtol=1e-4)
    expect.close(std, want, "channel_statistics of many images: std", rtol=1e-2, atol=1e-6)
    is_zero = np.asarray(std)[1:5] == 0
    expect.is_true(bool(is_zero.all()), "channel_statistics: the deviation of a constant channel is not exactly 0.")


@pytest.mark.task("preprocessing")
def test_a_weak_channel_is_divided_by_its_deviation(student, rng):
    """preprocess: only a channel whose deviation is 0 is divided by 1: a small deviation is not 0."""
    x = (128 + rng.integers(0, 2, size=(4, 5, 6, 2))).astype(np.uint8)
    mean, std = np.array([0.5, 128 / 255]), np.array([0.2, 0.5 / 255])

    images = student.preprocess(x, mean, std)

    want = ((x / 255 - mean) / std).transpose(0, 3, 1, 2)
    expect.close(images, want, "preprocess of a channel with a small deviation", rtol=1e-3, atol=1e-3)


@pytest.mark.task("preprocessing", weight=2)
def test_a_constant_channel_gives_no_strange_numbers(student, rng):
    """A constant channel has the deviation 0 and is divided by 1, so it is 0 everywhere after preprocess."""
    x = rng.integers(0, 256, size=(9, 7, 11, 3)).astype(np.uint8)
    x[..., 1] = 77

    mean, std = student.channel_statistics(x)
    images = student.preprocess(x, np.asarray(mean), np.asarray(std))
    darker = student.preprocess(x // 2, np.array([0.1, 77 / 255, 0.3]), np.array([0.2, 0.0, 0.3]))

    expect.finite(images, "preprocess of a constant channel")
    expect.close(images[:, 1], np.zeros((9, 7, 11)), "preprocess of a constant channel, with its statistics", atol=1e-5)
    want = np.full((9, 7, 11), (38 - 77) / 255)
    expect.close(darker[:, 1], want, "preprocess of a channel with the deviation 0", rtol=1e-4)


# ------------------------------------------------------------------------------------------------------------
# P1.2  Augmentation
# ------------------------------------------------------------------------------------------------------------


@pytest.mark.task("augmentation", weight=5)
def test_stripes_keep_their_direction(student, rng, seed):
    """augment: no image gets another class: stripes keep their direction, and what is above stays above."""
    N, side = 64, 32
    phase = rng.uniform(size=(N, 1, 1, 1))
    wave = np.where((np.arange(side)[:, None] / 6 + phase) % 1 < 0.5, 1.0, -1.0)  # (N, 1, side, 1)
    across = np.broadcast_to(wave, (N, 3, side, side)).astype(np.float32).copy()
    upright = across.transpose(0, 1, 3, 2).copy()
    bright_top = np.ones((N, 3, side, side), dtype=np.float32)
    bright_top[:, :, side // 2 :] = -1

    draws = np.random.default_rng([seed, 1])
    across, upright, bright_top = (student.augment(x, draws) for x in (across, upright, bright_top))

    for images in (across, upright, bright_top):
        expect.shape(images, (N, 3, side, side), "augment")
    for images, along in ((across, 2), (upright, 3)):
        steps = {axis: np.abs(np.diff(images, axis=axis)).mean(axis=(1, 2, 3)) for axis in (2, 3)}
        kept = bool((steps[along] > steps[5 - along]).all())
        expect.is_true(kept, "augment: stripes change their direction, and with it their class.")
    upper, lower = bright_top[:, :, : side // 2], bright_top[:, :, side // 2 :]
    kept = bool((upper.mean(axis=(1, 2, 3)) > lower.mean(axis=(1, 2, 3))).all())
    expect.is_true(kept, "augment: what is above in an image does not stay above.")


@pytest.mark.task("augmentation", weight=3)
def test_an_image_stays_what_it_was_and_in_its_place(student, rng):
    """augment: the labels do not move, so each image is a variant of the image in its place, and of no other."""
    noise = rng.normal(scale=0.2, size=(3, 18, 24))
    corners = np.array([[i & 1, i >> 1 & 1, i >> 2 & 1] for i in range(8)]) * 4.0 - 2.0
    order = rng.permutation(np.tile(np.arange(8), 6))
    x = np.broadcast_to(corners[order][:, :, None, None], (48, 3, 18, 24)).astype(np.float32).copy()
    x += noise.astype(np.float32)

    images = student.augment(x, np.random.default_rng(int(rng.integers(1000))))

    expect.shape(images, x.shape, "augment")
    sight = (np.abs(images) > 0.05).any(axis=1).mean(axis=(1, 2))  # (48,)
    expect.is_true(bool((sight >= 0.5).all()), "augment: less than half of an image stays in sight.")
    seen = np.sign(np.sum(images, axis=(2, 3), dtype=np.float64))
    expect.is_true(
        bool((seen == np.sign(corners[order])).all()),
        "augment: an image is not a variant of the image in its place, or is mixed with another one.",
    )
    kinds = len({image.tobytes() for image in images})  # of eight different images, six times each
    expect.is_true(kinds > 8, "augment: no image has variants.")


@pytest.mark.task("augmentation")
def test_no_image_is_moved_far(student, rng):
    """augment: no image is shifted by more than a quarter of its height or width, in neither direction."""
    for H, W in ((24, 32), (96, 64), (160, 20), (18, 150)):
        x = np.zeros((96, 3, H, W), dtype=np.float32)
        x[:, :, H // 2 - 2 : H // 2 + 2, W // 2 - 2 : W // 2 + 2] = 1  # a square in the middle, and its mirror image

        images = student.augment(x, np.random.default_rng(int(rng.integers(1000))))

        expect.shape(images, x.shape, "augment")
        for axis, side in ((2, H), (3, W)):
            weight = np.abs(np.asarray(images, dtype=np.float64)).sum(axis=(1, 5 - axis))  # (96, side)
            seen = weight.sum(axis=1) > 1  # a cut-out may hide the square
            middle = (weight @ (np.arange(side) + 0.5))[seen] / weight.sum(axis=1)[seen]
            is_near = np.abs(middle - side / 2) <= side / 4 + 3
            expect.is_true(bool(is_near.all()), "augment: an image is shifted by more than a quarter of its side.")


@pytest.mark.task("augmentation")
def test_small_images_stay_in_sight_and_in_range(student, rng):
    """augment: images may have any height and width, and only 0 may come in from outside."""
    for H, W in ((3, 2), (5, 4), (6, 40)):
        x = rng.uniform(0.2, 0.4, size=(40, 2, H, W)).astype(np.float32)

        images = student.augment(x, np.random.default_rng(int(rng.integers(1000))))

        expect.shape(images, x.shape, "augment of small images")
        expect.dtype(images, np.float32, "augment of small images")
        sight = (np.abs(images) > 0.05).any(axis=1).mean(axis=(1, 2))  # (40,)
        expect.is_true(bool((sight >= 0.5).all()), "augment: less than half of a small image stays in sight.")
        high = x.max(axis=(1, 2, 3))[:, None, None, None] + 1e-4
        inside = bool(((images >= -1e-4) & (images <= high)).all())
        expect.is_true(inside, "augment: a value is beyond the smallest and the largest one of its image and 0.")


@pytest.mark.task("augmentation")
def test_each_image_has_its_own_mirror(student, rng):
    """augment: each image has its own draws: it is not one draw that mirrors a whole batch, or none of it."""
    x = np.zeros((16, 3, 16, 20), dtype=np.float32)
    x[:, :, :, :10] = 1  # bright on the left

    shares = []
    for _ in range(12):
        images = np.asarray(student.augment(x, np.random.default_rng(int(rng.integers(10**6)))), dtype=np.float64)
        expect.shape(images, x.shape, "augment")
        is_mirrored = images[..., 10:].sum(axis=(1, 2, 3)) > images[..., :10].sum(axis=(1, 2, 3))
        shares.append(float(is_mirrored.mean()))

    is_one_draw = set(shares) == {0.0, 1.0}
    expect.is_true(not is_one_draw, "augment: one draw decides whether all images of a batch are mirrored.")


@pytest.mark.task("augmentation", weight=2)
def test_other_images_do_not_matter(student, rng):
    """augment: the result for an image depends on the image and the draws, and on no other image."""
    x = rng.normal(size=(12, 2, 16, 21)).astype(np.float32)
    other = x.copy()
    other[5:] = rng.normal(size=(7, 2, 16, 21)) * 3

    images, beside = (student.augment(part, np.random.default_rng(8)) for part in (x, other))
    one = student.augment(x[:1], np.random.default_rng(8))

    expect.equal(beside[:5], images[:5], "augment: images whose neighbours in the batch have changed")
    expect.shape(one, (1, 2, 16, 21), "augment of a single image")


@probe
def draws_of_augment(student, x):
    """Augment under several global states; note whether these are touched, and whether memory is shared."""
    found = []
    is_touched = False
    for number in range(2):
        np.random.seed(number)
        torch.manual_seed(number)
        before = np.random.get_state()[1].tobytes(), torch.get_rng_state().numpy().tobytes()
        found.append(student.augment(x, np.random.default_rng(4)))
        after = np.random.get_state()[1].tobytes(), torch.get_rng_state().numpy().tobytes()
        is_touched = is_touched or before != after
    is_shared = bool(np.shares_memory(found[0], x) or np.shares_memory(found[0], found[1]))
    small = x[:, :, :4, :5].copy()
    is_shared = is_shared or bool(np.shares_memory(student.augment(small, np.random.default_rng(4)), small))
    return found[0], found[1], student.augment(x, np.random.default_rng(5)), is_touched, is_shared


@pytest.mark.task("augmentation", weight=2)
def test_all_draws_come_from_the_rng(student, rng):
    """augment: all draws come from rng, the global random states are not touched, and the images are in new memory."""
    x = rng.normal(size=(16, 1, 17, 16)).astype(np.float32)

    first, second, other, is_touched, is_shared = draws_of_augment(student, x)

    expect.equal(second, first, "augment with the same rng, under other global random states")
    expect.is_true(not np.array_equal(other, first), "augment: another rng gives the same images.")
    expect.is_true(not is_touched, "augment: it changes a global random state.")
    expect.is_true(not is_shared, "augment: the images share memory with x, or with those of another call.")


# ------------------------------------------------------------------------------------------------------------
# P1.3  The network
# ------------------------------------------------------------------------------------------------------------


@probe
def scores_of_networks(student, seeds):
    """The scores of new networks, and those after all parameters moved a little (none is 0) and grew."""
    new, grown = [], []
    for seed in seeds:
        torch.manual_seed(seed)
        model = student.build_cnn(10).eval()
        x = torch.randn(6, 3, 20, 18)
        with torch.no_grad():
            new.append(model(x))
            last = new[-1]
            for parameter in model.parameters():
                parameter += 0.05 * torch.randn(parameter.shape)
            for _ in range(6):
                for parameter in model.parameters():
                    parameter *= 4
                scores = model(x)
                if not bool(torch.isfinite(scores).all()):  # a deep network has grown beyond all numbers
                    break
                last = scores
        grown.append(last)
    return torch.stack(new), torch.stack(grown)


@pytest.mark.task("network", weight=5)
def test_scores_are_raw(student, rng):
    """build_cnn: scores are raw: no softmax, no log_softmax, and nothing else that limits their range or signs."""
    with expect.works("the network of build_cnn"):
        new, grown = scores_of_networks(student, rng.integers(0, 1000, size=4).tolist())

    expect.finite(new, "build_cnn: scores")
    sums = new.sum(dim=2)
    is_softmax = bool((new >= 0).all()) and torch.allclose(sums, torch.ones_like(sums), atol=1e-4)
    expect.is_true(not is_softmax, "build_cnn: the scores are the probabilities of a softmax.")
    logs = torch.logsumexp(new, dim=2)
    is_log = torch.allclose(logs, torch.zeros_like(logs), atol=1e-4)
    expect.is_true(not is_log, "build_cnn: the scores are those of a log_softmax.")
    expect.is_true(bool((grown < 0).any()), "build_cnn: no score is negative.")
    expect.is_true(bool((grown > 0).any()), "build_cnn: no score is positive.")
    is_free = bool(grown.max() > 100) and bool(grown.min() < -100)
    expect.is_true(is_free, "build_cnn: something limits the range of the scores.")


@probe
def modes_of_a_network(student):
    torch.manual_seed(4)
    model = student.build_cnn(5)
    sizes = [(1, 16, 16), (1, 32, 32), (2, 17, 31), (7, 16, 33)]
    trained = [tuple(model.train()(torch.randn(n, 3, H, W)).shape) for n, H, W in sizes]
    x = torch.randn(7, 3, 19, 24)
    model.eval()
    with torch.no_grad():
        two = tuple(student.build_cnn(2)(x).shape)
        return trained, model(x), model(x), model(x[3:4]), two


@pytest.mark.task("network", weight=3)
def test_a_batch_of_a_network_may_have_one_image(student):
    """build_cnn: a batch may hold one image, in training mode too, and in eval mode the other images change nothing."""
    with expect.works("the network of build_cnn"):
        trained, scores, again, alone, two = modes_of_a_network(student)

    expect.equal(two, (7, 2), "build_cnn(2): shape of the scores")
    expect.equal(trained, [(1, 5), (1, 5), (2, 5), (7, 5)], "build_cnn, training mode: shapes of the scores")
    expect.close(again, scores, "build_cnn, eval mode: scores of the same images, a second time", rtol=0, atol=0)
    expect.close(alone, scores[3:4], "build_cnn, eval mode: scores of a single image", rtol=1e-3, atol=1e-4)


@probe
def influences(student, channels):
    """Which channels change the scores, and how many parameters have no gradient."""
    torch.manual_seed(6)
    model = student.build_cnn(6, channels).eval()
    x = torch.randn(8, channels, 24, 20)
    with torch.no_grad():
        for parameter in model.parameters():  # some begin at 0, and what is behind them has no influence yet
            parameter += 0.05 * torch.randn(parameter.shape)
    scores = model(x)
    (scores * torch.randn(scores.shape)).sum().backward()
    idle = sum(p.requires_grad and (p.grad is None or not bool(p.grad.any())) for p in model.parameters())
    changed = []
    with torch.no_grad():
        for channel in range(channels):
            other = x.clone()
            other[:, channel] = torch.randn(8, 24, 20) * 2 + 1
            changed.append(not torch.allclose(model(other), scores, rtol=1e-4, atol=1e-7))
    return changed, idle, bool((scores.std(dim=0) > 0).all())


@pytest.mark.task("network", weight=2)
@pytest.mark.parametrize("channels", [1, 4])
def test_all_channels_and_parameters_have_an_influence(student, channels):
    """build_cnn: each channel of the image has an influence on the scores, and each parameter has one too."""
    with expect.works("the network of build_cnn"):
        changed, idle, differs = influences(student, channels)

    expect.is_true(differs, "build_cnn: other images get the same scores.")
    expect.equal(changed, [True] * channels, "build_cnn: whether each channel has an influence on the scores")
    expect.equal(idle, 0, "build_cnn: parameters without an influence on the scores")


@probe
def networks_of_seeds(student):
    found = []
    for number, seed in enumerate((1, 1, 2)):
        torch.manual_seed(seed)
        np.random.seed(number)
        model = student.build_cnn(3)
        found.append(torch.cat([p.detach().flatten() for p in model.parameters()]).numpy())
    torch.manual_seed(2)
    pair = [torch.cat([p.detach().flatten() for p in student.build_cnn(3).parameters()]) for _ in range(2)]
    return found, torch.equal(*pair)


@pytest.mark.task("network")
def test_weights_come_from_the_global_generator(student):
    """build_cnn: after the same torch.manual_seed two networks are equal, and without it they differ."""
    with expect.works("the network of build_cnn"):
        (one, same, other), twins = networks_of_seeds(student)

    expect.close(same, one, "build_cnn: parameters after the same seed", rtol=0, atol=0)
    expect.is_true(not np.allclose(other, one), "build_cnn: two seeds give the same parameters.")
    expect.is_true(not twins, "build_cnn: two networks after one seed are equal.")


# ------------------------------------------------------------------------------------------------------------
# P1.4  Training
# ------------------------------------------------------------------------------------------------------------


@probe
def watched_training(student, train, val, options, seed):
    """Train a small model; note what it gets and gives in each mode, and the learning rate of each step."""

    import numbers

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(train[0][0].size, 4)
            self.inner = nn.Dropout(0.0)
            self.notes, self.gradients = [], []

        def forward(self, x):
            scores = self.inner(self.layer(x.flatten(1)))
            if self.training and scores.requires_grad:
                scores.register_hook(lambda gradient: self.gradients.append(gradient.detach().clone().numpy()))
            modes = (self.training, self.inner.training, torch.is_grad_enabled())
            self.notes.append((modes, x.detach().clone().numpy(), scores.detach().clone().numpy()))
            return scores

    torch.manual_seed(0)
    model = Net().eval()
    start = model.layer.weight.detach().clone().numpy()
    rates = []
    hook = optimizers.register_optimizer_step_pre_hook(
        lambda optimizer, args, kwargs: rates.append([float(group["lr"]) for group in optimizer.param_groups])
    )
    try:
        with spies.watched() as notes:
            config = student.Config("no file", "no folder", **options)
            history = student.fit(model, train, val, config, np.random.default_rng(seed))
    finally:
        hook.remove()
    names = ("train_loss", "val_loss", "val_accuracy", "lr")
    is_plain = all(isinstance(value, numbers.Real) for name in names for value in history.get(name, ()))
    history = {name: [float(value) for value in history[name]] for name in names if name in history}
    weights = start, model.layer.weight.detach().numpy()
    seen = notes.left_over, notes.squashed, model.inner.training, model.gradients, is_plain
    return history, model.notes, rates, weights, *seen


def _cross_entropy(scores, labels):
    scores = scores.astype(np.float64)
    top = scores.max(axis=1)
    logs = np.log(np.exp(scores - top[:, None]).sum(axis=1)) + top
    return logs - scores[np.arange(len(labels)), labels]


def _numbered(rng, n):
    """Images whose first pixel is their number, and labels of four classes."""
    x = rng.normal(size=(n, 1, 2, 3)).astype(np.float32)
    x[:, 0, 0, 0] = np.arange(n) / 10
    return x, rng.integers(0, 4, size=n)


def _numbers(images):
    return np.rint(images[:, 0, 0, 0] * 10).astype(int)


@pytest.mark.task("training", weight=5)
def test_each_epoch_uses_each_training_image_once(student, rng):
    """fit: each epoch uses each image once, in a new random order, then all validation images in eval mode."""
    train, val = _numbered(rng, 22), _numbered(rng, 9)
    kept = [part.copy() for part in (*train, *val)]
    options = {"epochs": 3, "batch_size": 4, "lr": 0.02, "patience": 3, "augment": False}

    watch = watched_training(student, train, val, options, 5)
    history, notes, rates, (start, end), left_over, squashed, still, _, is_plain = watch

    for name in ("train_loss", "val_loss", "val_accuracy", "lr"):
        expect.equal(len(history.get(name, ())), 3, f"fit(epochs=3): length of history[{name!r}]")
    trained = [(modes, images, scores) for modes, images, scores in notes if modes[0]]
    expect.equal([len(images) for _, images, _ in trained], [4, 4, 4, 4, 4, 2] * 3, "fit: sizes of the batches")
    expect.is_true(all(modes[1] for modes, *_ in trained), "fit: a layer is not in training mode while it trains.")
    epochs = [np.concatenate([_numbers(images) for _, images, _ in trained[6 * e : 6 * e + 6]]) for e in range(3)]
    for epoch in epochs:
        expect.equal(np.sort(epoch), np.arange(22), "fit: images used in an epoch, sorted")
    orders = {tuple(epoch.tolist()) for epoch in epochs} | {tuple(range(22))}
    expect.equal(len(orders), 4, "fit: different orders of three epochs and of the given images")
    given = np.concatenate([images for _, images, _ in trained[:6]])
    expect.equal(given[np.argsort(epochs[0])], train[0], "fit without augment: images of the first epoch")
    expect.equal(len(rates), 18, "fit: steps of the optimiser, with 18 batches")
    expect.is_true(not any(left_over), "fit: a backward pass began with the gradient of the last one.")
    expect.is_true(not any(squashed), "fit: cross_entropy gets probabilities, but it needs raw scores.")
    expect.is_true(not np.allclose(end, start), "fit: the parameters never changed.")
    expect.equal(still, False, "fit: whether a layer is in training mode afterwards")
    expect.is_true(is_plain, "fit: the history holds something else than floats, such as tensors.")
    for now, before, name in zip((*train, *val), kept, ("images", "labels") * 2, strict=True):
        expect.unchanged(now, before, f"fit: {name}")


@pytest.mark.task("training", weight=4)
def test_the_history_says_what_was_measured(student, rng):
    """fit: the history holds means over all images, of training and of validation, where the last batch is smaller."""
    train, val = _numbered(rng, 22), _numbered(rng, 301)
    options = {"epochs": 3, "batch_size": 5, "lr": 0.02, "patience": 3, "augment": False}

    history, notes, *_ = watched_training(student, train, val, options, 6)

    for name in ("train_loss", "val_loss", "val_accuracy"):
        expect.equal(len(history.get(name, ())), 3, f"fit(epochs=3): length of history[{name!r}]")
    epochs, was_training = [], False
    for (training, inner, grad), images, scores in notes:
        if training and not was_training:
            epochs.append(([], []))
        was_training = training
        expect.is_true(training or not (inner or grad), "fit: validation is not in eval mode, or records gradients.")
        expect.is_true(bool(epochs), "fit: the model is called in eval mode before the first epoch.")
        epochs[-1][0 if training else 1].append((_numbers(images), scores, images))
    expect.equal(len(epochs), 3, "fit(epochs=3): times that training follows a validation, or the start")
    for number, (first, second) in enumerate(epochs):
        for part, name, (x, y) in ((first, "train", train), (second, "val", val)):
            seen = np.concatenate([numbers for numbers, *_ in part]) if part else np.zeros(0, dtype=int)
            expect.equal(np.sort(seen), np.arange(len(y)), f"fit: images of {name} that an epoch uses, sorted")
            given = np.concatenate([images for *_, images in part])
            expect.equal(given, x[seen], f"fit: images of {name}, as the model gets them")
            scores = np.concatenate([scores for _, scores, _ in part])
            loss = float(_cross_entropy(scores, y[seen]).mean())
            expect.close(history[f"{name}_loss"][number], loss, f"fit: {name}_loss", rtol=1e-3, atol=1e-5)
        right = float((scores.argmax(axis=1) == val[1][seen]).mean())
        expect.close(history["val_accuracy"][number], right, "fit: val_accuracy", rtol=1e-5)


@pytest.mark.task("training", weight=2)
def test_the_loss_is_the_plain_mean_cross_entropy(student, rng):
    """fit: what is made small is the mean cross-entropy of the batch, without label smoothing or weights of classes."""
    train, val = _numbered(rng, 22), _numbered(rng, 5)
    options = {"epochs": 2, "batch_size": 8, "lr": 0.02, "patience": 2, "augment": False}

    _, notes, *_, gradients, _ = watched_training(student, train, val, options, 7)

    trained = [(images, scores) for modes, images, scores in notes if modes[0]]
    expect.equal(len(gradients), len(trained), "fit: backward passes through the scores, beside batches")
    for gradient, (images, scores) in zip(gradients, trained, strict=True):
        scores = scores.astype(np.float64)
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        rows = _numbers(images)
        want = powers / powers.sum(axis=1, keepdims=True) - np.eye(4)[train[1][rows]]
        want /= len(rows)
        expect.close(gradient, want, "fit: gradient of the loss by the scores", rtol=1e-3, atol=1e-5)


@pytest.mark.task("training", weight=3)
def test_the_learning_rate_follows_a_schedule(student, rng):
    """fit: the learning rate is large once and small at the end, and never above the one of the config."""
    train, val = _numbered(rng, 9), _numbered(rng, 4)
    one = {"epochs": 2, "batch_size": 40, "lr": 0.0, "patience": 2, "augment": False}
    _, _, steps, (start, end), *_ = watched_training(student, train, val, one, 2)
    expect.equal(len(steps), 2, "fit: steps of two epochs, with a batch larger than all images")
    for epochs in (8, 20):
        options = {"epochs": epochs, "batch_size": 4, "lr": 0.01, "patience": epochs, "augment": False}
        history, _, rates, *_ = watched_training(student, train, val, options, 2)

        expect.equal(len(rates), 3 * epochs, f"fit: steps of {epochs} epochs of three batches")
        largest = [max(step) for step in rates]
        expect.is_true(max(largest) <= 0.01 * 1.00001, "fit: the learning rate of a step is above config.lr.")
        expect.is_true(max(largest) >= 0.005 * 0.99999, "fit: no step has half of config.lr or more.")
        expect.is_true(largest[-1] <= 0.001 * 1.00001, "fit: the last step has more than a tenth of config.lr.")
        want = [largest[3 * e + 2] for e in range(epochs)]
        expect.close(history.get("lr"), want, "fit: lr", rtol=1e-5, atol=1e-12, lists=True)
    expect.close(end, start, "fit(lr=0): parameters", rtol=0, atol=0)


@probe
def augmented_training(student, train, val):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(train[0][0].size, 2)
            self.given = []

        def forward(self, x):
            self.given.append((self.training, x.detach().clone().numpy()))
            return self.layer(x.flatten(1))

    found = []
    for number, seed in enumerate((3, 3, 4)):
        torch.manual_seed(0)
        model = Net()
        np.random.seed(number)
        torch.manual_seed(number)
        config = student.Config("", "", epochs=2, batch_size=8, lr=0.01, patience=2, augment=True)
        student.fit(model, train, val, config, np.random.default_rng(seed))
        nothing = np.zeros((0, *train[0].shape[1:]), dtype=np.float32)
        found.append([
            np.concatenate([nothing, *(x for mode, x in model.given if mode is training)]) for training in (True, False)
        ])  # fmt: skip
    return found


@pytest.mark.task("training", weight=5)
def test_only_training_images_are_augmented(student, rng):
    """fit: with augment on, training images vary from epoch to epoch, by the rng, and validation images never do."""
    train = rng.normal(size=(40, 1, 16, 16)).astype(np.float32), rng.integers(0, 2, size=40)
    val = rng.normal(size=(9, 1, 16, 16)).astype(np.float32), rng.integers(0, 2, size=9)

    (given, seen), (again, _), (other, _) = augmented_training(student, train, val)

    expect.equal(len(seen), 18, "fit(epochs=2): validation images that the model saw")
    known = {image.tobytes() for image in val[0]}
    expect.is_true(all(image.tobytes() in known for image in seen), "fit: validation images are augmented.")
    expect.equal(len(given), 80, "fit(epochs=2): training images that the model saw")
    known = {image.tobytes() for image in train[0]}
    changed = sum(image.tobytes() not in known for image in given)
    expect.is_true(changed >= 8, "fit: with config.augment the training images are not augmented.")
    one, two = ({image.tobytes() for image in part} - known for part in (given[:40], given[40:]))
    expect.is_true(len(two - one) >= 4, "fit: two epochs have the same variants of the images.")
    expect.equal(again, given, "fit with the same rng: training images")
    expect.is_true(not np.array_equal(other, given), "fit: another rng gives the same training images.")


@probe
def scripted_trainings(student, scripts, seed):
    """Train models whose validation loss follows a script: with and without a stop in the epoch of the script."""

    class Scripted(nn.Module):
        def __init__(self, losses, stop):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(2))
            self.register_buffer("steps", torch.zeros((), dtype=torch.long))  # two batches an epoch
            self.losses, self.stop, self.after, self.calls = losses, stop, [], 0

        def forward(self, x):
            if self.training:
                if self.calls == self.stop:
                    raise outage.Stop
                self.calls += 1
                self.steps += 1
                return self.weight.expand(len(x), 2)
            state = self.weight.detach().clone().numpy(), int(self.steps)
            if not self.after or self.after[-1][1] != state[1]:  # validation may have several batches
                self.after.append(state)
            loss = torch.tensor(self.losses[int(self.steps) // 2 - 1])
            return torch.stack([torch.zeros(()), torch.log(torch.expm1(loss))]).expand(len(x), 2)

    x, y = np.zeros((7, 1, 1, 1), dtype=np.float32), np.array([0, 0, 1, 0, 0, 1, 0])
    val = np.zeros((3, 1, 1, 1), dtype=np.float32), np.zeros(3, dtype=np.int64)
    found = []
    for losses, patience, stop in scripts:
        path = None if stop is None else os.path.join(tempfile.mkdtemp(), "state")
        config = student.Config("", "", epochs=len(losses), batch_size=4, lr=0.1, patience=patience, augment=False)
        if stop is not None:
            with contextlib.suppress(outage.Stop):
                student.fit(Scripted(losses, stop), (x, y), val, config, np.random.default_rng(seed), path)
        calls = []
        for _ in range(1 if stop is None else 2):  # the second time all is done
            model = Scripted(losses, None)
            history = student.fit(model, (x, y), val, config, np.random.default_rng(seed), checkpoint=path)
            calls.append(model.calls)
            seen = [float(loss) for loss in history.get("val_loss", ())]
            found.append(
                (seen, model.after, model.weight.detach().numpy(), int(model.steps), model.calls, model.training)
            )
    return found


SCRIPTS = [
    ([0.8, 0.7, 0.75, 0.6, 0.65, 0.62, 0.5, 0.55], 3, 7, 8),  # never three in a row: all epochs, the seventh is kept
    ([0.5, 0.5, 0.5, 0.4], 2, 1, 3),  # equal is no progress
    ([0.9, 0.3, 0.8, 0.4, 0.2], 1, 2, 3),  # a patience of one
    ([0.3, 0.9, 0.8, 0.7, 0.6], 4, 1, 5),  # falls again, but not below the best
    ([0.5, 0.49998, 0.49996, 0.49994, 0.49992], 2, 5, 5),  # a small progress is progress
]


@pytest.mark.task("training")
@pytest.mark.parametrize("number", [0, 1, 2, 3, 4])
def test_the_best_epoch_decides(student, number):
    """fit: progress is a loss below all before; without it for too long, the training stops; the best state is kept."""
    losses, patience, best, epochs = SCRIPTS[number]

    ((seen, after, weight, steps, *_),) = scripted_trainings(student, [(losses, patience, None)], 1)

    expect.equal(len(seen), epochs, "fit: epochs until the training stops")
    expect.close(seen, losses[:epochs], "fit: val_loss", rtol=1e-4, lists=True)
    expect.equal(len(after), epochs, "fit: epochs with a validation")
    expect.close(
        weight, after[best - 1][0], "fit: parameters at the end, beside those of the best epoch", rtol=0, atol=0
    )
    expect.equal(steps, after[best - 1][1], "fit: a buffer at the end, beside that of the best epoch")


@pytest.mark.task("training", weight=3)
def test_the_best_state_survives_a_stop(student):
    """fit with a checkpoint: the best state, and how long there was no progress, are taken from the file too."""
    losses = [0.6, 0.4, 0.5, 0.45, 0.44, 0.3]

    whole, resumed, finished = scripted_trainings(student, [(losses, 3, None), (losses, 3, 7)], 2)

    expect.equal(len(whole[0]), 5, "fit(patience=3): epochs until the training stops")
    for (seen, _, weight, steps, _, is_training), when in (
        (resumed, "after a stop"),
        (finished, "complete, a second time"),
    ):
        expect.close(seen, whole[0], f"fit, {when}: val_loss", rtol=0, atol=0, lists=True)
        expect.close(weight, whole[2], f"fit, {when}: parameters", rtol=0, atol=0)
        expect.equal(steps, whole[3], f"fit, {when}: a buffer of the model")
        expect.equal(is_training, False, f"fit, {when}: whether the model is in training mode afterwards")
    expect.equal(resumed[4], 4, "fit: batches after a stop in the fourth of five epochs of two batches")
    expect.equal(finished[4], 0, "fit: batches of a training that was complete")


@probe
def stopped_training(student, train, val, stop):
    """Train a model with dropout and batch norm without a stop, with one, and once more; count its batches."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(
                nn.Flatten(), nn.Linear(256, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Dropout(0.3), nn.Linear(6, 3)
            )
            self.calls, self.limit, self.state = 0, None, b""

        def forward(self, x):
            if self.training:
                if self.calls == self.limit:
                    raise outage.Stop
                if not self.calls:
                    self.state = torch.get_rng_state().numpy().tobytes()
                self.calls += 1
            return self.body(x)

    def flat(model):
        return np.concatenate([value.double().numpy().ravel() for value in model.state_dict().values()])

    def told(history):
        return [
            float(value) for name in ("train_loss", "val_loss", "val_accuracy", "lr") for value in history.get(name, ())
        ]

    config = student.Config("", "", epochs=5, batch_size=8, lr=0.02, patience=5, augment=True)
    path = os.path.join(tempfile.mkdtemp(), "state")
    found, calls, states = {}, {}, {}
    plan = [("whole", 4, None, None), ("again", 4, None, None), ("other", 5, None, None)]
    plan += [("stopped", 4, stop, path), ("resumed", 4, None, path), ("finished", 4, None, path)]
    for number, (name, seed, limit, checkpoint) in enumerate(plan):
        torch.manual_seed(8)
        model = Net()
        model.limit = limit
        torch.manual_seed(100 + number)
        np.random.seed(100 + number)
        try:
            history = student.fit(model, train, val, config, np.random.default_rng(seed), checkpoint)
        except outage.Stop:
            calls[name] = "stopped"
        else:
            found[name], calls[name] = (told(history), flat(model)), model.calls
        states[name] = model.state
    is_seeded = states["whole"] == states["again"], states["whole"] != states["other"]
    return found, calls, os.path.isfile(path), is_seeded


@pytest.fixture(scope="module")
def stopped(student, seed):
    rng = np.random.default_rng([seed, 3])
    train, val = ((rng.normal(size=(n, 1, 16, 16)).astype(np.float32), rng.integers(0, 3, size=n)) for n in (30, 11))
    return stopped_training(student, train, val, 10)  # four batches an epoch: in the middle of the third one


@pytest.mark.task("training", weight=2)
def test_the_rng_decides_a_training(stopped):
    """fit: model, arguments and rng decide weights and history, dropout too; another rng gives another training."""
    found, _, _, (is_same, is_other) = stopped

    expect.close(found["again"][0], found["whole"][0], "fit: history with the same rng", rtol=0, atol=0, lists=True)
    expect.close(found["again"][1], found["whole"][1], "fit: weights with the same rng", rtol=0, atol=0)
    expect.is_true(not np.allclose(found["other"][1], found["whole"][1]), "fit: two rngs give the same weights.")
    expect.is_true(is_same, "fit: torch's generator is not seeded when the first batch comes.")
    expect.is_true(is_other, "fit: torch's generator gets the same seed from two rngs.")


@pytest.mark.task("training", weight=5)
def test_a_stopped_training_goes_on_where_it_was(stopped):
    """fit with a checkpoint: after a stop it goes on with the next epoch, and ends as if there had been no stop."""
    found, calls, is_there, _ = stopped

    expect.is_true(calls["stopped"] == "stopped" and is_there, "fit: a stop in the third epoch leaves no checkpoint.")
    expect.equal(calls["resumed"], 12, "fit: batches after a stop in the third of five epochs of four batches")
    expect.equal(calls["finished"], 0, "fit: batches when all epochs are done")
    for name, when in (("resumed", "after a stop"), ("finished", "all epochs done")):
        expect.close(found[name][0], found["whole"][0], f"fit, {when}: history", rtol=0, atol=0, lists=True)
        expect.close(found[name][1], found["whole"][1], f"fit, {when}: weights", rtol=0, atol=0)


# ------------------------------------------------------------------------------------------------------------
# P1.5  The report
# ------------------------------------------------------------------------------------------------------------


def _labels(rng, n, classes, absent=(), unpredicted=()):
    """Labels and scores: some classes have no image, some are never predicted."""
    y = rng.choice([c for c in range(classes) if c not in absent], size=n)
    scores = rng.normal(size=(n, classes))
    scores[np.arange(n), y] += 1.0
    scores[:, list(unpredicted)] = -50.0
    return y, scores


@pytest.mark.task("report", weight=4)
@pytest.mark.parametrize("absent", [(), (2,)])
def test_a_report_agrees_with_the_definitions(student, rng, absent):
    """evaluate_report: the confusion has true classes as rows; precision, recall and F1 follow their definitions."""
    y, scores = _labels(rng, 150, 6, absent=absent, unpredicted=(1, 2) if absent else ())
    names = [f"class {letter}" for letter in "uvwxyz"]
    kept = y.copy(), scores.copy()

    report = student.evaluate_report(scores, y, names)

    predicted = scores.argmax(axis=1)
    want = confusion_matrix(y, predicted, labels=range(6))
    shares = precision_recall_fscore_support(y, predicted, labels=range(6), zero_division=0)
    expect.equal(report.get("confusion"), want, "evaluate_report: confusion")
    for name, values in zip(("precision", "recall", "f1"), shares, strict=False):
        expect.close(report.get(name), values, f"evaluate_report: {name}", rtol=1e-6, atol=1e-9)
    expect.equal(report.get("support"), want.sum(axis=1), "evaluate_report: support")
    expect.close(report.get("accuracy"), float((predicted == y).mean()), "evaluate_report: accuracy")
    expect.close(report.get("macro_f1"), float(shares[2].mean()), "evaluate_report: macro_f1", rtol=1e-6)
    pairs = int(np.count_nonzero(want - np.diag(want.diagonal())))
    expect.equal(len(list(report.get("confused", ()))), pairs, "evaluate_report: number of confused pairs")
    expect.unchanged(y, kept[0], "evaluate_report: y")
    expect.unchanged(scores, kept[1], "evaluate_report: scores")


@pytest.mark.task("report", weight=4)
def test_confused_pairs_are_in_order(student, rng):
    """evaluate_report: the pairs with most images come first, of equals the one in the upper row, then further left."""
    pairs = [(0, 1), (3, 2), (1, 0), (2, 3), (3, 0), (0, 3), (2, 2), (1, 1)]
    counts = [2, 4, 2, 1, 4, 1, 9, 1]
    y, predicted = (np.repeat([pair[i] for pair in pairs], counts) for i in (0, 1))
    order = rng.permutation(len(y))
    y, predicted = y[order], predicted[order]
    names = ["one", "two", "three", "four"]

    report = student.evaluate_report(np.eye(4)[predicted], y, tuple(names))
    right = student.evaluate_report(np.eye(4)[y], y, names)

    want = [["four", "one", 4], ["four", "three", 4], ["one", "two", 2], ["two", "one", 2], ["one", "four", 1],
            ["three", "four", 1]]  # fmt: skip
    found = [list(pair) for pair in report.get("confused", ())]
    expect.equal(list(report.get("class_names", ())), names, "evaluate_report: class_names")
    expect.equal(len(found), 6, "evaluate_report: number of confused pairs")
    expect.equal(found, want, "evaluate_report: confused")
    expect.equal(list(right.get("confused", ["missing"])), [], "evaluate_report: confused, if all is right")


@pytest.mark.task("report", weight=3)
def test_the_first_of_equal_scores_is_predicted(student):
    """evaluate_report: the first of equal scores counts, scores may be of any size, and one image is enough."""
    scores = np.array(
        [[1.0, 1.0, 0.0], [-900.0, -900.0, -900.0], [0.0, 2.0, 2.0], [1000.0, -1000.0, 1000.0], [800.0, 900.0, 0.0]]
    )
    y = np.array([1, 0, 1, 2, 1])

    report = student.evaluate_report(scores, y, ["a", "b", "c"])
    one = student.evaluate_report(scores[:1].astype(np.float32), y[:1], ["a", "b", "c"])

    want = np.array([[1, 0, 0], [1, 2, 0], [1, 0, 0]])
    expect.equal(report.get("confusion"), want, "evaluate_report: confusion, with equal scores")
    expect.close(report.get("precision"), np.array([1 / 3, 1.0, 0.0]), "evaluate_report: precision, with a 0 / 0")
    expect.equal(one.get("confusion"), np.array([[0, 0, 0], [1, 0, 0], [0, 0, 0]]), "evaluate_report of one image")
    expect.close(one.get("f1"), np.zeros(3), "evaluate_report of one image: f1")
    expect.close(one.get("accuracy"), 0.0, "evaluate_report of one image: accuracy")


# ------------------------------------------------------------------------------------------------------------
# P1.6  Figures
# ------------------------------------------------------------------------------------------------------------


@probe
def looked_at(student, name, *given):
    """All that a test asks of a figure: its lines, images, texts and places, and what pyplot holds."""
    import matplotlib.pyplot as plt

    open_before, shown = plt.get_fignums(), []
    show = plt.show
    plt.show = lambda *args, **options: shown.append(1)
    try:
        figure = getattr(student, name)(*given)
    finally:
        plt.show = show
    is_closed = plt.get_fignums() == open_before
    plt.close("all")
    figure.canvas.draw()
    found = []
    for axes in figure.axes:
        box = axes.get_position()
        legends = [legend for legend in (axes.get_legend(), *figure.legends) if legend is not None]
        found.append({
            "lines": [np.asarray(line.get_xydata(), dtype=float) for line in axes.lines],
            "images": [np.asarray(image.get_array()) for image in axes.images],
            "limits": [[float(end) for end in image.get_clim()] for image in axes.images],
            "texts": [([float(at) for at in text.get_position()], text.get_text()) for text in axes.texts],
            "titles": [axes.get_title(place) for place in ("left", "center", "right")],
            "labels": [axes.get_xlabel(), axes.get_ylabel()],
            "ticks": [[tick.get_text() for tick in axis.get_ticklabels()] for axis in (axes.xaxis, axes.yaxis)],
            "legend": [text.get_text() for legend in legends for text in legend.get_texts()],
            "place": [float(box.y0), float(box.x0)],
        })  # fmt: skip
    return found, is_closed, len(shown)


def _well_behaved(name, is_closed, shown):
    expect.equal(shown, 0, f"{name}: calls of plt.show")
    expect.is_true(is_closed, f"{name}: pyplot holds a further open figure afterwards.")


@pytest.mark.task("figures", weight=2)
@pytest.mark.parametrize("epochs", [1, 5])
def test_curves_are_over_epochs_from_one(student, rng, epochs):
    """plot_history: both losses are on one axes with a legend, the accuracy on another, over epochs from 1 on."""
    history = {name: rng.uniform(size=epochs).tolist() for name in ("train_loss", "val_loss", "val_accuracy")}
    kept = {name: list(values) for name, values in history.items()}

    found, is_closed, shown = looked_at(student, "plot_history", history)

    places = {}
    for name, values in history.items():
        want = np.stack([np.arange(1, epochs + 1), values], axis=1)
        holds = [any(line.shape == want.shape and np.allclose(line, want) for line in one["lines"]) for one in found]
        expect.is_true(any(holds), f"plot_history: no line shows {name} over the epochs.")
        places[name] = holds.index(True)
    expect.is_true(places["train_loss"] == places["val_loss"], "plot_history: the two losses are on different axes.")
    expect.is_true(places["val_accuracy"] != places["val_loss"], "plot_history: an accuracy is on the axes of a loss.")
    for place in set(places.values()):
        named = all(label.strip() for label in found[place]["labels"])
        expect.is_true(named, "plot_history: an axis has no label.")
    named = len(set(found[places["val_loss"]]["legend"])) >= 2
    expect.is_true(named, "plot_history: the legend does not name both losses.")
    expect.equal(history, kept, "plot_history: history afterwards")
    _well_behaved("plot_history", is_closed, shown)


@pytest.mark.task("figures", weight=4)
def test_cells_of_a_confusion_say_share_and_number(student, rng):
    """plot_confusion: the colour of a cell is its share of the row, its text is the number of images."""
    confusion = rng.integers(1, 60, size=(12, 12))
    confusion[2] = 0  # a class without images
    confusion[0] *= 90
    confusion[1, 3] = 0
    names = ["apple tree in blossom", "bee", "cow", "dune", *(f"number {number}" for number in range(8))]
    before = confusion.copy()

    found, is_closed, shown = looked_at(student, "plot_confusion", {"confusion": confusion, "class_names": names})

    held = [one for one in found if one["images"]]
    expect.is_true(bool(held), "plot_confusion: no axes has an image by imshow.")
    cells = next((one for one in held if one["images"][0].shape == (12, 12)), held[0])
    want = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    image = np.asarray(cells["images"][0], dtype=float)
    expect.close(image, want, "plot_confusion: values of the image", rtol=1e-5, atol=1e-8)
    expect.close(cells["limits"][0], [0.0, 1.0], "plot_confusion: first and last value of the colours", lists=True)
    texts = {(round(at[1]), round(at[0])): text for at, text in cells["texts"] if text.strip()}
    for (row, column), count in np.ndenumerate(confusion):
        text = texts.get((row, column), "0")
        expect.is_true(text.strip() == str(count), "plot_confusion: the text of a cell is not its number of images.")
    expect.is_true("predicted" in cells["labels"][0].lower(), "plot_confusion: horizontal label without predicted.")
    expect.is_true("true" in cells["labels"][1].lower(), "plot_confusion: vertical label without true.")
    for words, axis in zip(cells["ticks"], ("horizontal", "vertical"), strict=True):
        expect.equal([word for word in words if word.strip()], names, f"plot_confusion: names at the {axis} axis")
    expect.unchanged(confusion, before, "plot_confusion: confusion")
    _well_behaved("plot_confusion", is_closed, shown)


@pytest.mark.task("figures", weight=2)
@pytest.mark.parametrize(("wrong", "right"), [(15, 9), (5, 4), (0, 3)])
def test_the_most_certain_mistakes_come_first(student, rng, wrong, right):
    """plot_mistakes: of the wrong predictions, the most certain ones come first, with both names in the title."""
    n, names = wrong + right, ["ape of the mountains", "bus of the town", "cup of tea"]
    x = rng.integers(0, 256, size=(n, 6, 5, 3)).astype(np.uint8)
    y = rng.integers(0, 3, size=n)
    predicted = y.copy()
    bad = rng.permutation(n)[:wrong]
    predicted[bad] = (y[bad] + rng.integers(1, 3, size=wrong)) % 3
    lead = rng.permutation(np.linspace(0.2, 4.0, n))
    scores = np.zeros((n, 3))
    scores[np.arange(n), predicted] = lead
    scores += rng.normal(scale=20, size=(n, 1))  # a softmax does not see this
    kept = x.copy(), y.copy(), scores.copy()

    found, is_closed, shown = looked_at(student, "plot_mistakes", x, y, scores, names)

    drawn = [one for one in found if one["images"]]
    expect.equal(len(drawn), min(wrong, 12), "plot_mistakes: axes with an image")
    drawn.sort(key=lambda one: (-round(one["place"][0], 1), one["place"][1]))  # from the top, then from the left
    order = sorted(bad.tolist(), key=lambda index: (-lead[index], index))[:12]
    for one, index in zip(drawn, order, strict=True):
        image = one["images"][0].astype(float)
        expect.is_true(image.shape == x[index].shape, "plot_mistakes: an image is not (H, W, 3).")
        is_right = np.allclose(image, x[index]) or np.allclose(image, x[index] / 255, atol=1e-6)
        expect.is_true(is_right, "plot_mistakes: an image is not in its place, or has other colours.")
        title = " ".join(one["titles"])
        true, guess = title.find(names[y[index]]), title.find(names[predicted[index]])
        expect.is_true(true >= 0 and guess >= 0, "plot_mistakes: a title does not hold both names.")
        expect.is_true(true < guess, "plot_mistakes: the name of the true class does not come first in a title.")
    for now, before, name in zip((x, y, scores), kept, ("x", "y", "scores"), strict=True):
        expect.unchanged(now, before, f"plot_mistakes: {name}")
    _well_behaved("plot_mistakes", is_closed, shown)


@pytest.mark.task("figures")
def test_equally_certain_mistakes_are_in_order(student, rng):
    """plot_mistakes: of equals, the image with the smaller index comes first, and scores may be of any size."""
    x = rng.integers(0, 256, size=(15, 6, 5, 3)).astype(np.uint8)
    y = np.zeros(15, dtype=np.int64)
    scores = np.tile([1000.0, 1002.0, -1000.0], (15, 1))  # all are wrong, and equally certain
    scores[7:9] += [0.0, 2.0, 0.0]

    found, *_ = looked_at(student, "plot_mistakes", x, y, scores, ["ape", "bus", "cup"])

    drawn = [one for one in found if one["images"]]
    expect.equal(len(drawn), 12, "plot_mistakes: axes with an image")
    drawn.sort(key=lambda one: (-round(one["place"][0], 1), one["place"][1]))  # from the top, then from the left
    for one, index in zip(drawn, [7, 8, 0, 1, 2, 3, 4, 5, 6, 9, 10, 11], strict=True):
        image = one["images"][0].astype(float)
        is_right = image.shape == (6, 5, 3) and (
            np.allclose(image, x[index]) or np.allclose(image, x[index] / 255, atol=1e-6)
        )
        expect.is_true(is_right, "plot_mistakes: of equally certain mistakes, the one with the smaller index is first.")


# ------------------------------------------------------------------------------------------------------------
# P1.7  The whole project in one call
# ------------------------------------------------------------------------------------------------------------


@probe
def config_refusals(student, faults):
    folder = tempfile.mkdtemp()
    path = os.path.join(folder, "images.npz")
    np.savez(path, train_images=np.zeros((4, 16, 16, 3), dtype=np.uint8))
    said = []
    for fault in faults:
        values = {"data": path, "out": os.path.join(folder, "out"), **fault}
        values["out"] = {"the data file": path, "a folder": folder}.get(values["out"], values["out"])
        values["data"] = {"a folder": folder}.get(values["data"], values["data"])
        try:
            student.check_config(student.Config(**values))
        except ValueError as error:
            said.append(str(error))
        except NotImplementedError:
            raise
        except Exception:
            said.append("")
        else:
            said.append(None)
    return said


@pytest.mark.task("run", weight=2)
def test_each_fault_of_a_config_is_named(student):
    """check_config: a ValueError names the field, for values out of range and of another type; others pass."""
    good = [
        {}, {"epochs": 1}, {"batch_size": 1}, {"patience": 1}, {"seed": 0}, {"seed": 10**6}, {"lr": 1}, {"lr": 1e-5},
        {"val_share": 0.5}, {"val_share": 0.01}, {"augment": False}, {"lr": 2.5}, {"batch_size": 10**6},
        {"epochs": 2, "patience": 100}, {"out": "a folder"},
    ]  # fmt: skip
    bad = [
        {"seed": True}, {"patience": True}, {"batch_size": True}, {"val_share": float("nan")},
        {"epochs": 0}, {"epochs": 2.0}, {"epochs": True}, {"epochs": "3"}, {"batch_size": 0}, {"batch_size": None},
        {"patience": 0}, {"patience": 1.0}, {"seed": -1}, {"seed": 1.5}, {"lr": 0.0}, {"lr": float("nan")},
        {"lr": float("inf")}, {"lr": True}, {"lr": "0.1"}, {"val_share": 0.0}, {"val_share": 0.51},
        {"val_share": -0.1}, {"val_share": "0.1"}, {"augment": 0}, {"augment": "yes"}, {"augment": None},
        {"data": "missing.npz"}, {"out": "the data file"}, {"data": "a folder"}, {"data": None}, {"out": None},
    ]  # fmt: skip
    for name in ("epochs", "batch_size", "patience", "seed"):
        bad += [{name: value} for value in (True, False, 3.0, "3", None, -1, [3])]
    for name in ("lr", "val_share"):
        bad += [{name: value} for value in (True, False, "0.1", None, 0, -0.1, np.nan, np.inf, -np.inf, [0.1])]
    bad += [{"augment": value} for value in (1, 1.0, "True", [])]

    said = config_refusals(student, good + bad)

    for config, text in zip(good, said, strict=False):
        name = next(iter(config), "nothing special")
        expect.equal(text, None, f"check_config of an allowed config ({name}): its error")
    for config, text in zip(bad, said[len(good) :], strict=True):
        (name,) = config
        expect.is_true(text is not None, f"check_config: a value of {name} that is not allowed passes.")
        expect.is_true(name in text, f"check_config: a ValueError for a faulty {name} does not name it.")


@probe
def bad_data(student, files):
    """Run with faulty data files; note whether each is refused by name, and what was trained and written."""
    told, written, steps = [], [], []
    hook = optimizers.register_optimizer_step_pre_hook(lambda *given: steps.append(1))
    try:
        for held in files:
            folder = tempfile.mkdtemp()
            data = os.path.join(folder, "d.npz")
            np.savez(data, **held)
            try:
                student.run(student.Config(data, os.path.join(folder, "out"), epochs=1))
            except ValueError as error:
                told.append("data" in str(error))
            except NotImplementedError:
                raise
            except Exception:
                told.append(False)
            else:
                told.append(False)
            written.append(os.path.exists(os.path.join(folder, "out")))
        try:
            student.run(student.Config(data, os.path.join(folder, "out"), epochs=0))
        except ValueError as error:
            told.append("epochs" in str(error))
        else:
            told.append(False)
    finally:
        hook.remove()
    return told, len(steps), any(written)


@pytest.mark.task("run", weight=2)
def test_a_faulty_data_file_is_refused(student, rng):
    """run: an array that is missing or of another kind, or a label that does not fit, is an error that names data."""
    good = _small_data(rng, 12, 6)
    changes = [
        {"train_images": None}, {"test_labels": None}, {"class_names": None},
        {"train_images": good["train_images"].astype(np.float32)}, {"test_images": good["test_images"][0]},
        {"train_labels": good["train_labels"][:-1]}, {"train_labels": good["train_labels"].astype(np.float64)},
        {"test_labels": good["test_labels"].astype(np.int64)}, {"train_labels": good["train_labels"].astype(np.int64)},
    ]  # fmt: skip
    changes[-2]["test_labels"][0] = 3
    changes[-1]["train_labels"][0] = -1
    for part in ("train", "test"):
        images, labels = good[f"{part}_images"], good[f"{part}_labels"].astype(np.int64)
        high, low = labels.copy(), labels.copy()
        high[-1], low[-1] = 3, -1
        wrong = [labels[:-1], labels.astype(np.float32), labels[:, None], labels > 0, high, low]
        changes += [{f"{part}_labels": of} for of in wrong]
        changes += [{f"{part}_images": of} for of in (None, images[..., 0], images / 255, images.astype(np.int64))]
    changes += [{"class_names": of} for of in (np.arange(3), good["class_names"][:, None])]
    files = [{name: of for name, of in (good | change).items() if of is not None} for change in changes]

    told, steps, is_written = bad_data(student, files)

    expect.equal(
        told, [True] * (len(files) + 1), "run: whether faulty data files, and a faulty config, are refused by name"
    )
    expect.equal(steps, 0, "run with faulty data: steps of an optimiser")
    expect.is_true(not is_written, "run: with faulty data it makes the folder out.")


def _small_data(rng, n, m):
    """Images whose colour says the class, and mistakes in some labels."""
    data = {"class_names": np.array(["red", "green", "blue"])}
    for part, count in (("train", n), ("test", m)):
        labels = rng.integers(0, 3, size=count)
        images = rng.integers(0, 120, size=(count, 16, 18, 3))
        images[np.arange(count), :, :, labels] += rng.integers(0, 60, size=(count, 1, 1))
        data |= {f"{part}_images": images.astype(np.uint8), f"{part}_labels": labels.astype(np.uint8)}
    return data


@probe
def several_runs(student, data, other_test, x, stop):
    """Run small configs in several folders, with and without a stop; count the steps of the optimisers."""

    count, limit = [0], [None]

    def look(*given):
        if count[0] == limit[0]:
            raise outage.Stop
        count[0] += 1

    def held(folder):
        places = sorted(os.path.join(at, name) for at, _, names in os.walk(folder) for name in names)
        contents = []
        for place in places:
            with open(place, "rb") as file:
                contents.append(file.read())
        return places, contents

    is_changed = False
    root = tempfile.mkdtemp()
    paths = {"data": os.path.join(root, "images.npz"), "tampered": os.path.join(root, "tampered.npz")}
    np.savez(paths["data"], **data)
    np.savez(paths["tampered"], **{**data, **other_test})
    here = os.path.join(root, "here")
    os.mkdir(here)
    old = os.getcwd()
    os.chdir(here)
    found = {}
    hook = optimizers.register_optimizer_step_pre_hook(look)
    try:
        plan = [
            ("whole", "data", "a", {}, None),
            ("tampered", "tampered", "b", {}, None),
            ("stopped", "data", "c", {}, stop),
            ("resumed", "data", "c", {}, None),
            ("finished", "data", "c", {}, None),
            ("other", "data", "b", {"seed": 5}, None),
            ("back", "data", "b", {}, None),
        ]
        for number, (name, file, folder, changes, at) in enumerate(plan):
            torch.manual_seed(number)
            np.random.seed(number)
            count[0], limit[0] = 0, at
            out = os.path.join(root, folder)
            options = {"epochs": 3, "batch_size": 10, "lr": 0.01, "patience": 3, "val_share": 0.29, "seed": 2}
            options |= changes
            try:
                results = student.run(student.Config(paths[file], out, augment=True, **options))
                numbers = [float(getattr(results, key)) for key in ("accuracy", "val_accuracy", "epochs", "parameters")]
                steps = count[0]
                before = held(out)
                found[name] = numbers, steps, np.asarray(student.predict(out, x))
                is_changed = is_changed or held(out) != before
            except outage.Stop:
                found[name] = None
            if name == "other":
                found["aside"] = np.asarray(student.predict(os.path.join(root, "a"), x))
        listing = sorted(
            os.path.relpath(os.path.join(at, name), root) for at, _, names in os.walk(root) for name in names
        )
        with open(os.path.join(root, "c", "report.json")) as file:
            written = json.load(file)
        pictures = []
        for name in ("history.png", "confusion.png", "mistakes.png"):
            with open(os.path.join(root, "c", name), "rb") as file:
                pictures.append(file.read(4) == b"\x89PNG")
        moved = os.path.join(root, "moved")
        shutil.move(os.path.join(root, "c"), moved)
        for path in paths.values():
            os.remove(path)
        before = held(moved)
        scores = [np.asarray(student.predict(moved, part)) for part in (x, x[1:2], data["test_images"])]
        is_changed = is_changed or held(moved) != before
    finally:
        hook.remove()
        os.chdir(old)
    outside = [name for name in listing if name.split(os.sep)[0] not in ("a", "b", "c") and not name.endswith(".npz")]
    size = sum(parameter.numel() for parameter in student.build_cnn(3, 3).parameters())
    return found, outside, written, pictures, scores, is_changed, size


@pytest.fixture(scope="module")
def runs(student, seed):
    rng = np.random.default_rng([seed, 6])
    data, other = _small_data(rng, 57, 26), _small_data(rng, 3, 9)
    other = {name: of for name, of in other.items() if name.startswith("test")}
    x = rng.integers(0, 256, size=(6, 16, 18, 3)).astype(np.uint8)
    # 16.53 is rounded, so 17 images are for validation, and 40 to learn from: four batches an epoch, and the stop is in
    # the second one
    return *several_runs(student, data, other, x, 6), data


def _same_run(run, whole, what):
    expect.is_true(run is not None, "run: it was stopped before its end.")
    expect.close(run[0], whole[0], f"run, {what}: Results", rtol=1e-6, atol=0, lists=True)
    expect.close(run[2], whole[2], f"run, {what}: scores of predict", rtol=1e-5, atol=1e-6)


@pytest.mark.task("run", weight=2)
def test_a_run_is_decided_by_its_config(runs):
    """run: the config decides the Results and the predictions, not the folder, and not what is in it."""
    found, *_ = runs
    whole = found["whole"]

    expect.is_true(whole is not None, "run: it was stopped before its end.")
    expect.equal(whole[1], 12, "run: steps of three epochs of four batches, after validation images are held out")
    _same_run(found["back"], whole, "after a run with another config in the folder")
    expect.equal(found["other"][1], 12, "run with another config in a used folder: steps")
    expect.is_true(not np.allclose(found["other"][2], whole[2]), "run: two seeds give the same network.")


@pytest.mark.task("run", weight=3)
def test_a_stopped_run_goes_on(runs):
    """run: after a stop, epochs that are done are not trained again, and the end is the same; a complete run rests."""
    found, *_ = runs
    whole, resumed, finished = found["whole"], found["resumed"], found["finished"]

    expect.is_true(found["stopped"] is None, "run: it went on after an error in a step.")
    expect.equal(resumed[1], 8, "run: steps after a stop in the second of three epochs of four batches")
    expect.equal(finished[1], 0, "run, already complete: steps")
    _same_run(resumed, whole, "after a stop")
    _same_run(finished, whole, "already complete")


@pytest.mark.task("run", weight=9)
def test_test_images_decide_nothing(runs):
    """run: nothing but the evaluation depends on the test images: no statistics, no choice of an epoch."""
    found, *_ = runs
    whole, tampered = found["whole"], found["tampered"]

    expect.is_true(tampered is not None and whole is not None, "run: it was stopped before its end.")
    expect.close(tampered[2], whole[2], "run: scores of predict, with other test images", rtol=1e-5, atol=1e-6)
    expect.close(tampered[0][1], whole[0][1], "run: val_accuracy, with other test images", rtol=1e-6)


@pytest.mark.task("run", weight=4)
def test_the_numbers_of_a_run_are_true(runs):
    """run: the numbers are those of the saved network, and the files say what the Results say."""
    found, outside, written, pictures, (_, _, scores), _, size, data = runs
    accuracy, val_accuracy, epochs, parameters = found["finished"][0]

    y = data["test_labels"].astype(np.int64)
    predicted = scores.argmax(axis=1)
    expect.close(accuracy, float((predicted == y).mean()), "run: accuracy, beside that of predict", rtol=1e-6)
    share = val_accuracy * 17
    expect.close(share, float(round(share)), "run: val_accuracy, times the number of validation images", rtol=1e-4)
    expect.equal([int(epochs), int(parameters)], [3, size], "run: epochs and parameters")
    expect.equal(outside, [], "run: files outside of the folder out")
    expect.equal(pictures, [True] * 3, "run: whether the figures are PNG files")
    expect.is_true(type(written) is dict, "run: report.json holds no object.")
    want = confusion_matrix(y, predicted, labels=range(3))
    expect.equal(np.array(written.get("confusion")), want, "run: confusion in report.json")
    shares = precision_recall_fscore_support(y, predicted, labels=range(3), zero_division=0)
    for name, values in zip(("precision", "recall", "f1"), shares, strict=False):
        expect.close(written.get(name), values, f"run: {name} in report.json", rtol=1e-6, lists=True)
    expect.close(written.get("accuracy"), accuracy, "run: accuracy in report.json", rtol=1e-6)


@pytest.mark.task("run", weight=4)
def test_predict_needs_nothing_but_the_folder(runs):
    """predict: the folder is enough, also in another place, and the result for one image is that of the image alone."""
    found, _, _, _, (scores, alone, _), is_changed, _, _ = runs

    expect.shape(scores, (6, 3), "predict")
    expect.close(scores, found["whole"][2], "predict, after the folder was moved", rtol=1e-5, atol=1e-6)
    expect.close(alone, scores[1:2], "predict for a single image", rtol=1e-3, atol=1e-4)
    expect.close(found["aside"], found["whole"][2], "predict, after a run in another folder", rtol=1e-5, atol=1e-6)
    expect.is_true(not is_changed, "predict: it adds, removes or changes files of the folder.")


@probe
def images_of_a_run(student, data, options):
    """Run once; note what the network as a whole gets in training mode, whatever its class."""
    from torch.nn.modules import module as modules

    depth, given = [0], []

    def enter(module, inputs):
        x = inputs[0] if inputs else None
        if not depth[0] and module.training and torch.is_tensor(x) and x.ndim == 4:  # a loss is a module too
            given.append(x.detach().clone().numpy())
        depth[0] += 1

    def leave(*_):
        depth[0] -= 1

    folder = tempfile.mkdtemp()
    path, out = os.path.join(folder, "images.npz"), os.path.join(folder, "out")
    np.savez(path, **data)
    hooks = [
        modules.register_module_forward_pre_hook(enter),
        modules.register_module_forward_hook(leave, always_call=True),
    ]
    try:
        results = student.run(student.Config(path, out, **options))
    finally:
        for hook in hooks:
            hook.remove()
    scores = np.asarray(student.predict(out, data["train_images"]))
    return given, float(results.val_accuracy), scores, int(results.epochs)


def _rows_of(images, raw):
    """Which raw images these are: the order of the pixels stays, whatever was subtracted and divided; or -1."""
    keys = [np.argsort(image[..., 0].ravel(), kind="stable").tobytes() for image in raw]
    order = {key: row for row, key in enumerate(keys)}
    return [order.get(np.argsort(image[0].ravel(), kind="stable").tobytes(), -1) for image in images]


@pytest.mark.task("run")
def test_the_validation_accuracy_is_that_of_the_network_that_is_kept(student, rng):
    """run: val_accuracy is that of the final model, which is the best epoch's; epochs says how many were trained."""
    for seed in range(4):  # in a single run, another epoch may be right as often
        data = _small_data(rng, 60, 8)
        data["train_labels"] = rng.integers(0, 3, size=60).astype(np.uint8)  # the first epoch is often the best
        options = {"epochs": 20, "batch_size": 10, "lr": 0.02, "patience": 6, "val_share": 0.5, "augment": False}

        given, val_accuracy, scores, epochs = images_of_a_run(student, data, options | {"seed": seed})

        expect.is_true(bool(given), "run: no network is trained.")
        rows = _rows_of(np.concatenate(given).astype(np.float64), data["train_images"])
        held_out = [row for row in range(60) if row not in rows]
        expect.equal(len(held_out), 30, "run(val_share=0.5): images, of 60, that the network never learns")
        trained = sum(map(len, given)) / 30
        expect.close(float(epochs), trained, "run: epochs, with a training that may stop early", atol=1e-6)
        right = (scores.argmax(axis=1) == data["train_labels"])[held_out]
        expect.close(val_accuracy, float(right.mean()), "run: val_accuracy, beside that of predict", atol=1e-6)


@pytest.mark.task("run", weight=4)
def test_a_run_learns_from_images_that_are_preprocessed_and_not_held_out(student, rng):
    """run: validation images are drawn at random, and the mean and deviation are those of the other ones alone."""
    data = _small_data(rng, 50, 8)
    data["train_images"] = (data["train_images"] * np.linspace(0.2, 1, 50)[:, None, None, None]).astype(np.uint8)
    options = {"epochs": 1, "batch_size": 8, "val_share": 0.3, "augment": False}

    given, *_ = images_of_a_run(student, data, options)

    expect.equal(sum(map(len, given)), 35, "run(val_share=0.3): training images that the network gets in an epoch")
    images = np.concatenate(given).astype(np.float64)
    expect.shape(images, (35, 3, 16, 18), "run: what the network gets")
    # the order of the pixels of an image is that of the raw image, whatever was subtracted and divided
    keys = [np.argsort(image[0].ravel(), kind="stable").tobytes() for image in images]
    raw = [np.argsort(image[..., 0].ravel(), kind="stable").tobytes() for image in data["train_images"]]
    expect.is_true(set(keys) <= set(raw), "run: what the network gets is no image of the training images.")
    rows = sorted(raw.index(key) for key in keys)
    expect.equal(len(set(rows)), 35, "run: different training images in an epoch")
    at_random = rows not in (list(range(35)), list(range(15, 50)))
    expect.is_true(at_random, "run: the images for validation are those of one end of the file, not drawn at random.")
    expect.close(images.mean(axis=(0, 2, 3)), np.zeros(3), "run: mean of the channels in an epoch", atol=1e-3)
    expect.close(images.std(axis=(0, 2, 3)), np.ones(3), "run: deviation of the channels in an epoch", rtol=1e-3)


@probe
def runs_of_other_configs(student, data, changes):
    """Run in one folder, each time with one more field changed; note the steps, and whether the files are new."""
    root = tempfile.mkdtemp()
    path, out = os.path.join(root, "images.npz"), os.path.join(root, "out")
    np.savez(path, **data)
    options = {"epochs": 1, "batch_size": 10, "lr": 0.01, "patience": 3, "val_share": 0.3, "augment": True, "seed": 1}
    pictures = [os.path.join(out, name) for name in ("history.png", "confusion.png", "mistakes.png")]
    steps, found = [], []
    hook = optimizers.register_optimizer_step_pre_hook(lambda *given: steps.append(1))
    try:
        for change in changes:
            options |= change
            for picture in pictures:
                if os.path.exists(picture):
                    with open(picture, "wb") as file:
                        file.write(b"old")
            steps.clear()
            results = student.run(student.Config(path, out, **options))
            is_new = []
            for picture in pictures:
                with open(picture, "rb") as file:
                    is_new.append(file.read(4) == b"\x89PNG")
            with open(os.path.join(out, "report.json")) as file:
                told = json.load(file)
            found.append((len(steps), all(is_new), told.get("epochs") == results.epochs))
    finally:
        hook.remove()
    return found


@pytest.mark.task("run")
def test_files_of_another_config_are_not_used(student, rng):
    """run: each field of a config counts: the files of a run with another config are not used, but replaced."""
    changes = [{}, {"lr": 0.02}, {"augment": False}, {"patience": 4}, {"batch_size": 7}, {"val_share": 0.5},
               {"epochs": 2}]  # fmt: skip

    found = runs_of_other_configs(student, _small_data(rng, 20, 6), changes)

    for change, want, (steps, is_new, is_told) in zip(changes, [2, 2, 2, 2, 2, 2, 4], found, strict=True):
        name = next(iter(change), "nothing")
        expect.equal(steps, want, f"run in a folder of another config ({name} is changed): steps")
        expect.is_true(is_new, "run: the figures of a run with another config are not replaced.")
        expect.is_true(is_told, "run: the report.json of a run with another config is not replaced.")


@probe
def interrupted_runs(student, data, x):
    """Run without a stop, with one in the middle of a written file, and with one before the first figure."""

    from matplotlib.figure import Figure

    root = tempfile.mkdtemp()
    path = os.path.join(root, "images.npz")
    np.savez(path, **data)
    options = {"epochs": 3, "batch_size": 10, "lr": 0.01, "patience": 3, "val_share": 0.3, "seed": 3}
    draw, saves = Figure.savefig, itertools.count(1)

    def draw_nothing(*args, **kwargs):
        raise outage.Stop

    names = ("report.json", "history.png", "confusion.png", "mistakes.png")
    found = {}
    for name in ("whole", "written", "drawn"):
        out = os.path.join(root, name)
        config = student.Config(path, out, **options)
        is_cut = name == "written"
        Figure.savefig = draw_nothing if name == "drawn" else draw
        try:
            if name != "whole":
                with contextlib.suppress(outage.Stop), outage.in_save(lambda cut=is_cut: cut and next(saves) == 3):
                    student.run(config)
        finally:
            Figure.savefig = draw
        try:
            results = student.run(config)
            numbers = [float(getattr(results, key)) for key in ("accuracy", "val_accuracy", "epochs", "parameters")]
            is_there = all(os.path.isfile(os.path.join(out, file)) for file in names)
            found[name] = numbers, is_there, np.asarray(student.predict(out, x))
        except NotImplementedError:
            raise
        except Exception:
            found[name] = None
    return found


@pytest.mark.task("run")
def test_a_run_may_stop_at_any_point(student, rng):
    """run: it may be stopped at any point, also while a file is written, and the next run still comes to the end."""
    x = rng.integers(0, 256, size=(5, 16, 18, 3)).astype(np.uint8)

    found = interrupted_runs(student, _small_data(rng, 24, 8), x)

    whole = found["whole"]
    expect.is_true(whole is not None, "run: it ends with an error.")
    for name, when in (("written", "while a file is written"), ("drawn", "before the figures are written")):
        again = found[name]
        expect.is_true(again is not None, f"run: after a stop {when}, a second run ends with an error.")
        expect.is_true(again[1], f"run: after a stop {when}, a second run leaves files out.")
        expect.close(again[0], whole[0], f"run, after a stop {when}: Results", rtol=1e-6, atol=0, lists=True)
        expect.close(again[2], whole[2], f"run, after a stop {when}: scores of predict", rtol=1e-5, atol=1e-6)


@probe
def run_without_mistakes(student, data):
    """Run, call all predictions right, and run again with these labels: there is no mistake to show."""
    root = tempfile.mkdtemp()
    path = os.path.join(root, "images.npz")
    for name in ("first", "second"):
        np.savez(path, **data)
        out = os.path.join(root, name)
        results = student.run(student.Config(path, out, epochs=1, batch_size=32, val_share=0.01, seed=4))
        scores = np.asarray(student.predict(out, data["test_images"]))
        data = {**data, "test_labels": scores.argmax(axis=1)}
    return scores, float(results.accuracy), os.path.isfile(os.path.join(out, "mistakes.png"))


@pytest.mark.task("run")
def test_a_run_may_have_little_to_show(student, rng):
    """run: at least one image is held out, a class may have no image, and mistakes.png is there without a mistake."""
    data = _small_data(rng, 24, 7) | {"class_names": np.array(["red", "green", "blue", "grey", "pink"])}

    scores, accuracy, is_there = run_without_mistakes(student, data)

    expect.shape(scores, (7, 5), "predict, with five names and three classes that have images")
    expect.close(accuracy, 1.0, "run: accuracy, where all test images are predicted right", rtol=1e-6)
    expect.is_true(is_there, "run: there is no mistakes.png if there is no mistake.")


@probe
def a_whole_run(student, data, unseen):
    folder = tempfile.mkdtemp()
    path, out = os.path.join(folder, "images.npz"), os.path.join(folder, "out")
    np.savez(path, **data)
    student.run(student.Config(path, out))
    return np.asarray(student.predict(out, unseen))


@pytest.fixture(scope="module")
def unseen(student, seed):
    """The scores of unseen shapes, by a run with the default config, and their labels."""

    order = np.random.default_rng([seed, 9]).permutation(10)  # weights that were learned elsewhere know another order

    def raw(n, number):
        x, y = shapes10(n, (seed, number))
        return (255 * x).round().astype(np.uint8).transpose(0, 2, 3, 1).copy(), order[y]

    data = {"class_names": np.array([f"kind {number}" for number in range(10)])}
    for part, n, number in (("train", 1200, 1), ("test", 100, 2)):
        data[f"{part}_images"], data[f"{part}_labels"] = raw(n, number)
    x, labels = raw(1000, 3)
    return a_whole_run(student, data, x), labels


def _share_right(unseen):
    scores, labels = unseen
    expect.shape(scores, (len(labels), 10), "predict")
    return float((scores.argmax(axis=1) == labels).mean())


@pytest.mark.task("run", weight=9)
def test_a_run_reaches_the_level_of_a_perceptron(unseen):
    """run: with the default config, the network beats chance by far on images that no one has seen."""
    expect.at_least(_share_right(unseen), FIRST_STEP, "run: accuracy on unseen shapes")


@pytest.mark.task("run", weight=3)
@pytest.mark.parametrize("step", [0.75, 0.88, 0.94])
def test_a_run_reaches_more_than_a_perceptron(unseen, step):
    """run: with the default config, the network is right on most images that no one has seen."""
    expect.at_least(_share_right(unseen), step, "run: accuracy on unseen shapes")
