"""Public tests of the autoencoder project: small models and small numbers, most of which fit on paper.

pytest test_autoencoder.py -k codes        only the tests with "codes" in their names
"""

import json
import os
import tempfile

import numpy as np
import pytest
import torch
from torch import nn

from autograder import expect, probe
from dlcourse import spies

# ------------------------------------------------------------------------------------------------------------
# P4.1  The network
# ------------------------------------------------------------------------------------------------------------


@probe
def shapes_of_a_network(student, shape, latent, n):
    model = student.Autoencoder(shape, latent).eval()
    x = torch.rand(n, *shape)
    with torch.no_grad():
        z = model.encode(x)
        return z, model.decode(z), model(x), sum(p.numel() for p in model.parameters())


@pytest.mark.task("network", weight=2)
@pytest.mark.parametrize(("shape", "latent"), [((1, 8, 8), 8), ((3, 5, 4), 2)])
def test_images_become_codes_and_images_again(student, shape, latent):
    """encode gives a few numbers for each image, decode gives images of the old shape, forward does both."""
    z, decoded, rebuilt, _ = shapes_of_a_network(student, shape, latent, 6)

    expect.shape(z, (6, latent), "Autoencoder.encode")
    expect.shape(decoded, (6, *shape), "Autoencoder.decode")
    expect.close(rebuilt, decoded, "Autoencoder.forward", rtol=1e-4, atol=1e-5)


@pytest.mark.task("network", weight=3)
def test_large_images_fit_the_budget(student):
    """Count the parameters for images of 28x28 pixels: at most 60,000."""
    *_, count = shapes_of_a_network(student, (1, 28, 28), 32, 2)

    expect.is_true(count <= 60_000, "Autoencoder((1, 28, 28), 32): it has more than 60,000 parameters.")
    expect.is_true(count > 0, "Autoencoder: it has no parameters.")


@probe
def decoded_extremes(student):
    torch.manual_seed(0)
    model = student.Autoencoder((1, 8, 8), 3)
    with torch.no_grad():
        return model.decode(torch.tensor([[0.0, 0.0, 0.0], [1e4, 1e4, -1e4], [-1e4, 1e4, 1e4]]))


@pytest.mark.task("network", weight=6)
def test_every_code_gives_an_image(student):
    """A pixel is between 0 and 1, also for a code far from all others."""
    images = decoded_extremes(student)

    expect.finite(images, "Autoencoder.decode")
    expect.between(float(images.min()), 0, 1, "Autoencoder.decode: darkest pixel")
    expect.between(float(images.max()), 0, 1, "Autoencoder.decode: brightest pixel")


# ------------------------------------------------------------------------------------------------------------
# P4.2  Training, and a baseline
# ------------------------------------------------------------------------------------------------------------


@probe
def errors_of_a_halving_model(student, x):
    class Half(nn.Module):
        def forward(self, x):
            return x / 2

    return student.reconstruction_error(Half(), x)


@pytest.mark.task("training", weight=2)
def test_the_error_of_each_image_is_a_mean_over_its_pixels(student):
    """A model that halves each pixel: the errors of 0.4 and 0.8 are 0.2 and 0.4, squared 0.04 and 0.16."""
    x = np.array([[[[0.4, 0.8]]], [[[0.0, 0.4]]]], dtype=np.float32)
    before = x.copy()

    errors = errors_of_a_halving_model(student, x)

    expect.close(errors, np.array([0.10, 0.02]), "reconstruction_error", rtol=1e-5)
    expect.unchanged(x, before, "reconstruction_error: x")


@pytest.mark.task("training", weight=3)
def test_images_on_a_line_need_one_number(student):
    """The training images lie on one line, so one component gives them back, and others only in part."""
    train = np.array([[0.0, 0.0], [0.6, 0.8], [0.3, 0.4]], dtype=np.float32).reshape(3, 1, 1, 2)
    x = np.array([[0.6, 0.8], [1.1, 0.05]], dtype=np.float32).reshape(2, 1, 1, 2)
    given = train.copy(), x.copy()

    codes, rebuilt = student.pca(train, x, 1)

    expect.shape(codes, (2, 1), "pca: codes")
    expect.close(np.abs(codes), np.array([[0.5], [0.2]]), "pca: sizes of the codes", atol=1e-6)
    want = np.array([[0.6, 0.8], [0.42, 0.56]]).reshape(2, 1, 1, 2)
    expect.close(rebuilt, want, "pca: reconstructions", atol=1e-6)
    expect.unchanged(train, given[0], "pca: train")
    expect.unchanged(x, given[1], "pca: x")


@probe
def short_training(student, x, options):
    """Train a small model; note what it is given, and whether gradients were cleared between the steps."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(6, 6)
            self.given = []

        def forward(self, x):
            self.given.append(x.detach().clone())
            return self.layer(x.flatten(1)).reshape(x.shape)

    torch.manual_seed(0)
    model = Net().eval()
    with torch.no_grad():
        before = float(((model(torch.from_numpy(x)) - torch.from_numpy(x)) ** 2).mean())
    model.given.clear()
    with spies.watched() as notes:
        history = student.fit(model, x, **options)
    given = [batch.numpy() for batch in model.given]
    return before, [float(value) for value in history], model.training, given, any(notes.left_over)


@pytest.mark.task("training", weight=4)
def test_a_training_lowers_the_error(student, rng):
    """One number for each epoch; each image once an epoch, in a new order; gradients are cleared; the error falls."""
    x = rng.uniform(size=(23, 1, 2, 3)).astype(np.float32)
    kept = x.copy()

    before, history, training, given, left_over = short_training(student, x, {"epochs": 4, "batch_size": 5, "lr": 0.05})

    expect.equal(len(history), 4, "fit(epochs=4): length of the history")
    expect.is_true(history[-1] < before, "fit: four epochs do not lower the error of a small model.")
    expect.equal(training, False, "fit: model.training afterwards")
    expect.equal([len(batch) for batch in given], [5, 5, 5, 5, 3] * 4, "fit: sizes of the batches")
    epoch = np.concatenate(given[:5])
    expect.is_true(not np.array_equal(epoch, x), "fit: the first epoch uses the images in their given order.")
    expect.equal(np.sort(epoch, axis=0), np.sort(x, axis=0), "fit: pixels of the first epoch, sorted")
    expect.is_true(not left_over, "fit: a backward pass began with the gradient of the last one.")
    expect.unchanged(x, kept, "fit: x")


@probe
def pull_of_the_target(student, x, noise):
    """The gradients of a factor of 1, of a model that multiplies each pixel by it, and the mean squared noise."""

    class Factor(nn.Module):
        def __init__(self):
            super().__init__()
            self.factor = nn.Parameter(torch.ones(()))
            self.pulls, self.squares = [], []
            self.factor.register_hook(lambda gradient: self.pulls.append(float(gradient)))

        def forward(self, x):
            self.squares.append(float(((x - 0.5) ** 2).mean()))
            return x * self.factor

    model = Factor()
    student.fit(model, x, epochs=2, batch_size=40, lr=0.0, noise=noise)
    return model.pulls, model.squares


@pytest.mark.task("training", weight=3)
def test_the_target_of_noisy_images_is_clean(student):
    """All images are grey. With noise, a model that gives back its input is wrong, and the loss must tell it so."""
    x = np.full((40, 1, 5, 4), 0.5, dtype=np.float32)

    pulls, squares = pull_of_the_target(student, x, 0.3)
    still, _ = pull_of_the_target(student, x, 0.0)

    expect.equal([len(pulls), len(still)], [2, 2], "fit(epochs=2) with one batch: backward passes")
    # 800 draws: five standard deviations of the mean of their squares are 5 * sqrt(2 / 800) = 0.25 of it
    for square in squares:
        expect.between(square / 0.09, 0.75, 1.25, "fit(noise=0.3): mean squared noise of a batch / 0.3 ** 2")
    expect.is_true(squares[0] != squares[1], "fit: two epochs have the same noise.")
    expect.is_true(
        min(pulls) > 1e-7,
        "fit: with noise the loss finds no fault in a model that gives back its noisy input.",
    )
    expect.close(still, [0.0, 0.0], "fit without noise: gradient of a perfect model", atol=1e-6, lists=True)


@probe
def training_with_a_stop(student, x, path):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(6, 6)
            self.calls, self.stop = 0, None

        def forward(self, x):
            if self.calls == self.stop:
                raise RuntimeError("the power failed")
            self.calls += 1
            return self.layer(x.flatten(1)).reshape(x.shape)

    path = os.path.join(tempfile.mkdtemp(), path)
    weights, calls = [], []
    for stop, checkpoint in ((None, None), (7, path), (None, path)):
        torch.manual_seed(1)
        model = Net()
        model.stop = stop
        try:
            student.fit(model, x, epochs=4, batch_size=5, lr=0.05, seed=3, checkpoint=checkpoint)
        except RuntimeError:
            if stop is None:
                raise
        weights.append(model.layer.weight.detach().numpy())
        calls.append(model.calls)
    return weights, calls


@pytest.mark.task("training", weight=2)
def test_a_training_that_stopped_goes_on(student, rng):
    """Three batches an epoch, and the power fails in the third epoch: six batches are left."""
    x = rng.uniform(size=(15, 1, 2, 3)).astype(np.float32)

    weights, calls = training_with_a_stop(student, x, "state")

    expect.equal(calls, [12, 7, 6], "fit: batches without a stop, until a stop, and after it")
    expect.close(weights[2], weights[0], "fit: weights after a stop", rtol=0, atol=0)


# ------------------------------------------------------------------------------------------------------------
# P4.3  A denoiser
# ------------------------------------------------------------------------------------------------------------


@pytest.mark.task("denoiser", weight=4)
def test_a_pair_is_a_noisy_image_and_a_clean_one(student, rng):
    """The noise of 20,000 pixels has the mean 0 and the standard deviation that you asked for; the target is clean."""
    x = np.full((200, 1, 10, 10), 0.5, dtype=np.float32)

    noisy, clean = student.noisy_pairs(x, 0.3, rng)

    expect.shape(noisy, (200, 1, 10, 10), "noisy_pairs: noisy images")
    expect.dtype(noisy, np.float32, "noisy_pairs: noisy images")
    # five standard deviations: 0.3 / sqrt(20,000) = 0.0021 for the mean, 0.0015 for the standard deviation
    expect.between(float((noisy - x).mean()), -0.011, 0.011, "noisy_pairs: mean of the noise")
    expect.between(float((noisy - x).std()), 0.2925, 0.3075, "noisy_pairs: standard deviation of the noise")
    half = np.full((200, 1, 10, 10), 0.5, dtype=np.float32)
    expect.equal(clean, half, "noisy_pairs: clean images")
    expect.unchanged(x, half, "noisy_pairs: x")


@probe
def denoised_by_doubling(student, x):
    class Double(nn.Module):
        def forward(self, x):
            return 2 * x

    return student.denoise(Double(), x)


@pytest.mark.task("denoiser", weight=2)
def test_a_denoised_image_is_an_image(student):
    """This model doubles each pixel. What leaves the range from 0 to 1 is clipped."""
    x = np.array([[[[0.2, 0.7]]], [[[-0.3, 0.5]]]], dtype=np.float32)
    before = x.copy()

    images = denoised_by_doubling(student, x)

    want = np.array([[[[0.4, 1.0]]], [[[0.0, 1.0]]]])
    expect.close(images, want, "denoise", rtol=1e-5, dtype=np.float32)
    expect.unchanged(x, before, "denoise: x")


@probe
def table_of_a_grey_model(student, x, rng):
    class Grey(nn.Module):
        def forward(self, x):
            return torch.full_like(x, 0.5)

    table = student.denoising_table(Grey(), x, [0.0, 0.2], rng)
    return [[float(number) for number in row] for row in table]


@pytest.mark.task("denoiser", weight=3)
def test_both_errors_are_measured_against_the_clean_images(student, rng):
    """A model that gives grey for everything has the error of grey, however much noise there is."""
    x = np.array([0.5, 0.1, 0.9, 0.5], dtype=np.float32).reshape(1, 1, 2, 2).repeat(500, axis=0)

    table = table_of_a_grey_model(student, x, rng)

    expect.equal([len(row) for row in table], [3, 3], "denoising_table: numbers in each row")
    expect.close([row[0] for row in table], [0.0, 0.2], "denoising_table: levels", rtol=1e-6, lists=True)
    expect.close([row[2] for row in table], [0.08, 0.08], "denoising_table: denoised", rtol=1e-4, lists=True)
    expect.close(table[0][1], 0.0, "denoising_table: noisy images without noise", atol=1e-7)
    # five standard deviations of a mean of 2,000 squares: 0.04 * sqrt(2 / 2,000) = 0.0013
    expect.between(table[1][1], 0.0336, 0.0464, "denoising_table: noisy images with noise of 0.2")


# ------------------------------------------------------------------------------------------------------------
# P4.4  What a code is worth
# ------------------------------------------------------------------------------------------------------------


@probe
def codes_of_a_simple_model(student, x):
    class Simple(nn.Module):
        def encode(self, x):
            return x.flatten(1)[:, :2] * 2

        def forward(self, x):
            return x

    return student.encode_images(Simple(), x)


@pytest.mark.task("codes", weight=4)
def test_codes_come_as_an_array(student):
    """This encoder doubles the first two pixels."""
    x = np.array([[[[0.1, 0.2, 0.9]]], [[[0.3, 0.4, 0.9]]]], dtype=np.float32)
    before = x.copy()

    codes = codes_of_a_simple_model(student, x)

    expect.close(codes, np.array([[0.2, 0.4], [0.6, 0.8]]), "encode_images", rtol=1e-5, dtype=np.float32)
    expect.unchanged(x, before, "encode_images: x")


@pytest.mark.task("codes", weight=4)
def test_neighbours_vote(student):
    """Six points on a line, one neighbour: the two in the middle are nearest to each other, and both go wrong."""
    codes = np.array([[0.0], [1.0], [3.0], [4.5], [10.0], [12.0]])
    labels = np.array([2, 2, 2, 7, 7, 7])
    before = codes.copy()

    accuracy = student.knn_accuracy(codes, labels, k=1)

    # neighbours: 1, 0, 4.5 (wrong), 3 (wrong), 12, 10
    expect.close(accuracy, 4 / 6, "knn_accuracy(k=1)")
    expect.unchanged(codes, before, "knn_accuracy: codes")


@pytest.mark.task("codes", weight=4)
def test_bytes_depend_on_the_dtype(student):
    """64 pixels of one byte against 8 numbers of four bytes: 2 times smaller. Pixels of four bytes: 8 times."""
    codes = np.zeros((10, 8), dtype=np.float32)

    small = student.compression_ratio(np.zeros((10, 8, 8), dtype=np.uint8), codes)
    large = student.compression_ratio(np.zeros((10, 1, 8, 8), dtype=np.float32), codes)

    expect.close(small, 2.0, "compression_ratio of uint8 images")
    expect.close(large, 8.0, "compression_ratio of float32 images")


# ------------------------------------------------------------------------------------------------------------
# P4.5  Pictures
# ------------------------------------------------------------------------------------------------------------


@probe
def words_of_a_latent_picture(student, codes, labels):
    figure = student.plot_latent(codes, labels)
    axes = figure.axes[0]
    points = [artist.get_offsets() for artist in axes.collections]
    points += [line.get_xydata() for line in axes.lines]
    legends = [legend for legend in (axes.get_legend(), *figure.legends) if legend is not None]
    texts = [text.get_text() for legend in legends for text in legend.get_texts()]
    return (
        np.concatenate([np.asarray(part, dtype=float).reshape(-1, 2) for part in points]),
        axes.get_xlabel(),
        axes.get_ylabel(),
        str(axes.get_aspect()),
        texts,
    )


@pytest.mark.task("pictures", weight=4)
def test_codes_are_points_in_a_plane(student):
    """All codes are drawn, first number to the right; both axes have a label, and the legend names the classes."""
    codes = np.array([[0.0, 5.0], [1.0, 4.0], [2.0, 3.0], [3.0, 1.0]])
    labels = np.array([3, 8, 3, 8])
    kept = codes.copy(), labels.copy()

    points, x_label, y_label, aspect, texts = words_of_a_latent_picture(student, codes, labels)

    expect.shape(points, (4, 2), "plot_latent: points")
    expect.close(points[np.argsort(points[:, 0])], codes, "plot_latent: points, from left to right")
    expect.is_true(bool(x_label.strip() and y_label.strip()), "plot_latent: an axis has no label.")
    expect.is_true(aspect in ("equal", "1.0", "1"), "plot_latent: a unit is not equally long on both axes.")
    for label in ("3", "8"):
        expect.is_true(any(label in text for text in texts), f"plot_latent: the legend has no entry {label}.")
    expect.unchanged(codes, kept[0], "plot_latent: codes")
    expect.unchanged(labels, kept[1], "plot_latent: labels")


@probe
def drawn_images(student, x, rebuilt):
    figure = student.plot_reconstructions(x, rebuilt)
    return [np.asarray(axes.images[0].get_array(), dtype=float) for axes in figure.axes if axes.images]


@pytest.mark.task("pictures", weight=2)
def test_originals_and_reconstructions_are_drawn(student):
    """Two images and two reconstructions make four pictures."""
    x = np.array([0.1, 0.2, 0.3, 0.4], dtype=np.float32).reshape(2, 1, 1, 2)

    images = drawn_images(student, x, x + 0.5)

    expect.equal(len(images), 4, "plot_reconstructions: axes with an image")
    want = np.array([[[0.1, 0.2]], [[0.3, 0.4]], [[0.6, 0.7]], [[0.8, 0.9]]])
    expect.close(np.stack(sorted(images, key=np.sum)), want, "plot_reconstructions: images", rtol=1e-5)


@probe
def walk_of_a_square_root(student, a, b, steps):
    class Root(nn.Module):
        def encode(self, x):
            return x.flatten(1) ** 2

        def decode(self, z):
            return z.sqrt().reshape(-1, 1, 1, 2)

        def forward(self, x):
            return self.decode(self.encode(x))

    return student.interpolate(Root(), a, b, steps)


@pytest.mark.task("pictures", weight=2)
def test_codes_are_mixed_and_not_images(student):
    """Codes here are squares: half of the way from 0 to 1 is the square root of one half, not one half."""
    a = np.array([[[0.0, 1.0]]], dtype=np.float32)
    b = np.array([[[1.0, 0.0]]], dtype=np.float32)
    kept = a.copy(), b.copy()

    images = walk_of_a_square_root(student, a, b, 3)

    half = 0.5**0.5
    want = np.array([[0.0, 1.0], [half, half], [1.0, 0.0]]).reshape(3, 1, 1, 2)
    expect.close(images, want, "interpolate", rtol=1e-5, atol=1e-6)
    expect.unchanged(a, kept[0], "interpolate: a")
    expect.unchanged(b, kept[1], "interpolate: b")


# ------------------------------------------------------------------------------------------------------------
# P4.6  Strangers
# ------------------------------------------------------------------------------------------------------------


@probe
def scores_of_a_dark_model(student, x):
    class Dark(nn.Module):
        def forward(self, x):
            return torch.zeros_like(x)

    return student.anomaly_scores(Dark(), x)


@pytest.mark.task("anomalies", weight=2)
def test_what_a_model_cannot_give_back_is_strange(student):
    """A model that only knows black finds bright images strange."""
    x = np.array([0.5, 0.1, 0.9, 0.3], dtype=np.float32).reshape(4, 1, 1, 1).repeat(3, axis=3)
    before = x.copy()

    scores = scores_of_a_dark_model(student, x)

    expect.shape(scores, (4,), "anomaly_scores")
    expect.equal(np.argsort(scores).tolist(), [1, 3, 0, 2], "anomaly_scores: images from usual to strange")
    expect.unchanged(x, before, "anomaly_scores: x")


@pytest.mark.task("anomalies", weight=2)
def test_pairs_are_counted(student):
    """Strange 0.9 and 0.4 against usual 0.1, 0.4 and 0.5: four and a half of six pairs are in order."""
    scores = np.array([0.1, 0.9, 0.4, 0.4, 0.5])
    is_strange = np.array([False, True, False, True, False])

    expect.close(student.roc_auc(scores, is_strange), 4.5 / 6, "roc_auc")


@pytest.mark.task("anomalies", weight=2)
def test_one_in_five_may_give_an_alarm(student):
    """Of five scores one may be above the threshold: the threshold is the second largest."""
    scores = np.array([3.0, 1.0, 5.0, 2.0, 4.0])
    before = scores.copy()

    expect.close(student.threshold_for(scores, 0.25), 4.0, "threshold_for(rate=0.25)")
    expect.close(student.threshold_for(scores, 0.0), 5.0, "threshold_for(rate=0)")
    expect.unchanged(scores, before, "threshold_for: scores")


# ------------------------------------------------------------------------------------------------------------
# P4.7  The whole project in one call
# ------------------------------------------------------------------------------------------------------------


@probe
def small_run(student, train, test):
    folder = tempfile.mkdtemp()
    data = os.path.join(folder, "images.npz")
    np.savez(data, train=train, test=test)
    out = os.path.join(folder, "new", "out")
    results = student.run(student.Config(data, out, latent=2, epochs=1))
    missing = [
        name
        for name in ("autoencoder.pt", "denoiser.pt", "results.json", "reconstructions.png", "latent.png")
        if not os.path.isfile(os.path.join(out, name))
    ]
    written = None
    if "results.json" not in missing:
        with open(os.path.join(out, "results.json")) as file:
            written = json.load(file)
    names = ("mse", "pca_mse", "compression", "noisy_mse", "denoised_mse")
    return {name: getattr(results, name) for name in names}, missing, written


@pytest.mark.task("run", weight=7)
def test_a_run_goes_from_raw_images_to_numbers_and_files(student, rng):
    """A small run: all files are there, and results.json says what the Results say."""
    train = rng.integers(0, 256, size=(60, 5, 4)).astype(np.uint8)
    test = rng.integers(0, 256, size=(21, 5, 4)).astype(np.uint8)

    results, missing, written = small_run(student, train, test)

    expect.equal(missing, [], "run: files that are missing in the folder")
    expect.close(results["compression"], 20 / 8, "run: compression")
    expect.is_true(type(written) is dict, "run: results.json holds no object.")
    for name in ("mse", "pca_mse", "compression"):
        expect.close(written.get(name), float(results[name]), f"run: {name} in results.json", rtol=1e-6)
    for name in ("noisy_mse", "denoised_mse"):
        want = [float(value) for value in results[name]]
        expect.equal(len(want), 2, f"run: numbers of {name}")
        expect.close(written.get(name), want, f"run: {name} in results.json", rtol=1e-6, lists=True)


@probe
def refusals(student, faults):
    folder = tempfile.mkdtemp()
    data = os.path.join(folder, "images.npz")
    images = np.zeros((5, 4, 4), dtype=np.uint8)
    np.savez(data, train=images, test=images)
    said = []
    for fault in faults:
        values = {"data": data, "out": os.path.join(folder, "out"), **fault}
        try:
            student.check_config(student.Config(**values))
        except ValueError as error:
            said.append(str(error))
        else:
            said.append(None)
    return said


@pytest.mark.task("run", weight=5)
def test_a_faulty_config_is_refused_by_name(student):
    """A ValueError names the field; a config without a fault passes."""
    faults = [{}, {"latent": 0}, {"noise": 2.0}, {"epochs": 0}, {"data": "nowhere.npz"}]

    good, *said = refusals(student, faults)

    expect.equal(good, None, "check_config of a good config: its error")
    for fault, sentence in zip(faults[1:], said, strict=True):
        (name,) = fault
        expect.is_true(sentence is not None, f"check_config: a faulty {name} is not refused.")
        expect.is_true(name in sentence, f"check_config: the error of a faulty {name} does not name it.")
