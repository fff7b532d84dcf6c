"""Public tests of the image classification project: small numbers, most of which fit on paper.

pytest test_image_classification.py -k report        only the tests with "report" in their names
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
# P1.1  Preprocessing
# ------------------------------------------------------------------------------------------------------------


@pytest.mark.task("preprocessing", weight=3)
def test_statistics_of_preprocessing_are_over_images_and_pixels(student):
    """Red is 0 in one image and 255 in the other, green is 51 everywhere: means 0.5 and 0.2, deviations 0.5 and 0."""
    x = np.zeros((2, 1, 3, 2), dtype=np.uint8)
    x[1, :, :, 0] = 255
    x[..., 1] = 51
    before = x.copy()

    mean, std = student.channel_statistics(x)

    expect.close(mean, np.array([0.5, 0.2]), "channel_statistics: mean", rtol=1e-6)
    expect.close(std, np.array([0.5, 0.0]), "channel_statistics: std", rtol=1e-6, atol=1e-7)
    expect.unchanged(x, before, "channel_statistics: x")


@pytest.mark.task("preprocessing", weight=3)
def test_preprocessing_moves_the_channels_and_scales_them(student):
    """An image of one row and two columns: 255 is 1, minus 0.5, divided by 0.25 is 2. Channels come before rows."""
    x = np.array([[[[255, 0, 51], [0, 255, 51]]]], dtype=np.uint8)  # (1, 1, 2, 3)
    mean, std = np.array([0.5, 0.0, 0.2]), np.array([0.25, 0.5, 0.0])
    kept = x.copy(), mean.copy(), std.copy()

    images = student.preprocess(x, mean, std)

    want = np.array([[[[2.0, -2.0]], [[0.0, 2.0]], [[0.0, 0.0]]]])  # (1, 3, 1, 2)
    expect.close(images, want, "preprocess", rtol=1e-5, atol=1e-6, dtype=np.float32)
    for now, before, name in zip((x, mean, std), kept, ("x", "mean", "std"), strict=True):
        expect.unchanged(now, before, f"preprocess: {name}")


# ------------------------------------------------------------------------------------------------------------
# P1.2  Augmentation
# ------------------------------------------------------------------------------------------------------------


@pytest.mark.task("augmentation", weight=4)
def test_augmentation_keeps_shape_and_range(student, rng):
    """Images of 20x16 pixels stay that large, and no value is beyond those of its image and 0."""
    x = rng.normal(size=(30, 3, 20, 16)).astype(np.float32) + rng.normal(size=(30, 1, 1, 1)).astype(np.float32)
    before = x.copy()

    images = student.augment(x, np.random.default_rng(0))

    expect.shape(images, x.shape, "augment")
    expect.dtype(images, np.float32, "augment")
    low = np.minimum(x.min(axis=(1, 2, 3)), 0)[:, None, None, None] - 1e-4
    high = np.maximum(x.max(axis=(1, 2, 3)), 0)[:, None, None, None] + 1e-4
    inside = bool(((images >= low) & (images <= high)).all())
    expect.is_true(inside, "augment: a value is beyond the smallest and the largest one of its image and 0.")
    expect.unchanged(x, before, "augment: x")


@pytest.mark.task("augmentation", weight=5)
def test_augmentation_draws_for_each_image(student, rng):
    """A red image 64 times: at least 8 variants come back, all of them red; the same rng gives the same ones again."""
    image = rng.normal(size=(1, 3, 16, 16)) * 0.3 + np.array([2.0, -2.0, -1.5])[:, None, None]
    x = np.repeat(image.astype(np.float32), 64, axis=0)

    images = student.augment(x, np.random.default_rng(3))
    again = student.augment(x, np.random.default_rng(3))

    expect.shape(images, x.shape, "augment")
    variants = len({image.tobytes() for image in images})
    expect.is_true(variants > 1, "augment: all images of a batch have the same draws.")
    expect.is_true(variants >= 8, "augment: one image, given 64 times, comes back in fewer than 8 variants.")
    is_red = (images[:, 0].mean(axis=(1, 2)) > 0.5) & (images[:, 1:].mean(axis=(2, 3)) < -0.3).all(axis=1)
    expect.is_true(bool(is_red.all()), "augment: a variant of a red image is not red.")
    expect.equal(again, images, "augment with the same rng")


# ------------------------------------------------------------------------------------------------------------
# P1.3  The network
# ------------------------------------------------------------------------------------------------------------


@probe
def look_at_a_network(student, n_classes, channels, sizes):
    torch.manual_seed(0)
    model = student.build_cnn(n_classes, in_channels=channels)
    with torch.no_grad():
        shapes = [tuple(model(torch.randn(n, channels, H, W)).shape) for n, H, W in sizes]
    return shapes, sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.task("network", weight=4)
def test_a_network_takes_images_of_every_size(student):
    """One network, and images of 32x32, 17x23 and 40x16 pixels: four images give (4, 10) scores each time."""
    sizes = [(4, 32, 32), (4, 17, 23), (4, 40, 16)]

    with expect.works("the network of build_cnn"):
        shapes, _ = look_at_a_network(student, 10, 3, sizes)

    expect.equal(shapes, [(4, 10)] * 3, "build_cnn: shapes of the scores")


@pytest.mark.task("network", weight=5)
def test_a_network_keeps_to_its_budget(student):
    """At most 250,000 parameters, for 10 classes and for 20 classes with 4 channels."""
    for n_classes, channels in ((10, 3), (20, 4)):
        with expect.works("the network of build_cnn"):
            shapes, count = look_at_a_network(student, n_classes, channels, [(2, 32, 32)])

        expect.equal(shapes, [(2, n_classes)], "build_cnn: shape of the scores")
        expect.is_true(count <= 250_000, "build_cnn: the network has more than 250,000 parameters.")
        expect.is_true(count > 0, "build_cnn: the network has no parameters.")


# ------------------------------------------------------------------------------------------------------------
# P1.4  Training
# ------------------------------------------------------------------------------------------------------------


@probe
def short_training(student, train, val, options):
    """Train a small model; note what it is given in each mode, and whether gradients were cleared between the steps."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(train[0][0].size, 3)
            self.given = []

        def forward(self, x):
            self.given.append((self.training, torch.is_grad_enabled(), x.detach().clone().numpy()))
            return self.layer(x.flatten(1))

    torch.manual_seed(0)
    model = Net().eval()
    config = student.Config("no file", "no folder", **options)
    with spies.watched() as notes:
        history = student.fit(model, train, val, config, np.random.default_rng(1))
    names = ("train_loss", "val_loss", "val_accuracy", "lr")
    history = {name: [float(value) for value in history[name]] for name in names if name in history}
    return history, model.given, model.training, any(notes.left_over), any(notes.squashed)


def _three_classes(rng, n):
    """Images of 2x3 pixels whose class is the brightest of the first three pixels."""
    x = rng.normal(size=(n, 1, 2, 3)).astype(np.float32)
    return x, x[:, 0, 0].argmax(axis=1)


@pytest.mark.task("training", weight=8)
def test_a_training_trains_and_validates_in_each_epoch(student, rng):
    """Each image once an epoch in a new order, gradients cleared, then all validation images in eval mode."""
    train, val = _three_classes(rng, 23), _three_classes(rng, 11)
    kept = [part.copy() for part in (*train, *val)]
    options = {"epochs": 4, "batch_size": 5, "lr": 0.05, "patience": 4, "augment": False}

    history, given, training, left_over, squashed = short_training(student, train, val, options)

    for name in ("train_loss", "val_loss", "val_accuracy", "lr"):
        expect.equal(len(history.get(name, ())), 4, f"fit(epochs=4): length of history[{name!r}]")
    expect.is_true(history["train_loss"][-1] < history["train_loss"][0], "fit: four epochs do not lower train_loss.")
    expect.is_true(max(history["lr"]) <= 0.05 * 1.000001, "fit: a learning rate is above config.lr.")
    expect.equal(training, False, "fit: model.training afterwards")
    batches = [images for mode, _, images in given if mode]
    expect.equal([len(images) for images in batches], [5, 5, 5, 5, 3] * 4, "fit: sizes of the batches in training")
    epoch = np.concatenate(batches[:5])
    expect.is_true(not np.array_equal(epoch, train[0]), "fit: the first epoch uses the images in their given order.")
    expect.equal(np.sort(epoch, axis=0), np.sort(train[0], axis=0), "fit: pixels of the first epoch, sorted")
    seen = [images for mode, _, images in given if not mode]
    expect.equal(sum(map(len, seen)), 44, "fit(epochs=4): validation images that the model saw in eval mode")
    expect.is_true(not any(grad for mode, grad, _ in given if not mode), "fit: the validation records gradients.")
    expect.is_true(not left_over, "fit: a backward pass began with the gradient of the last one.")
    expect.is_true(not squashed, "fit: cross_entropy gets probabilities, but it needs raw scores.")
    for now, before, name in zip((*train, *val), kept, ("images", "labels") * 2, strict=True):
        expect.unchanged(now, before, f"fit: {name}")


@probe
def scripted_training(student, losses, patience):
    """Train a model whose validation loss follows a script; return its weights after each epoch, and at the end."""

    class Scripted(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(2))
            self.register_buffer("steps", torch.zeros((), dtype=torch.long))  # one batch an epoch
            self.after = []

        def forward(self, x):
            if self.training:
                self.steps += 1
                return self.weight.expand(len(x), 2)
            self.after.append(self.weight.detach().clone().numpy())
            loss = torch.tensor(losses[int(self.steps) - 1])
            # two scores whose cross-entropy for class 0 is this loss
            return torch.stack([torch.zeros(()), torch.log(torch.expm1(loss))]).expand(len(x), 2)

    model = Scripted()
    x, y = np.zeros((6, 1, 1, 1), dtype=np.float32), np.zeros(6, dtype=np.int64)
    config = student.Config("", "", epochs=len(losses), batch_size=6, lr=0.1, patience=patience, augment=False)
    history = student.fit(model, (x, y), (x[:4], y[:4]), config, np.random.default_rng(0))
    return [float(loss) for loss in history["val_loss"]], model.after, model.weight.detach().numpy()


@pytest.mark.task("training", weight=7)
def test_a_training_stops_early_with_the_best_weights(student):
    """The losses fall until the second epoch. With a patience of 2, the fourth is the last, and the second is kept."""
    seen, after, weight = scripted_training(student, [0.9, 0.5, 0.8, 0.6, 0.4, 0.3], 2)

    expect.equal(len(seen), 4, "fit(patience=2): epochs until the training stops")
    expect.close(seen, [0.9, 0.5, 0.8, 0.6], "fit: val_loss", rtol=1e-4, lists=True)
    expect.equal(len(after), 4, "fit: calls of the model in eval mode, with four validation images")
    expect.is_true(not np.allclose(after[1], after[3]), "fit: the weights do not change from epoch to epoch.")
    expect.close(weight, after[1], "fit: weights at the end, beside those after the best epoch", rtol=0, atol=0)


# ------------------------------------------------------------------------------------------------------------
# P1.5  The report
# ------------------------------------------------------------------------------------------------------------


@pytest.mark.task("report", weight=4)
def test_a_report_counts_what_is_confused(student):
    """Seven images: a cat is taken for a dog twice, a dog for a cat once, and one cat, two dogs and a fox are right."""
    y = np.array([0, 0, 0, 1, 1, 1, 2])
    predicted = np.array([0, 1, 1, 0, 1, 1, 2])
    scores = np.eye(3)[predicted] * 4 - 1
    kept = scores.copy(), y.copy()

    report = student.evaluate_report(scores, y, ["cat", "dog", "fox"])

    want = np.array([[1, 2, 0], [1, 2, 0], [0, 0, 1]])
    expect.equal(report.get("confusion"), want, "evaluate_report: confusion", hint="rows are the true classes")
    expect.close(report.get("accuracy"), 4 / 7, "evaluate_report: accuracy")
    expect.equal(report.get("support"), np.array([3, 3, 1]), "evaluate_report: support")
    expect.equal(list(report.get("class_names", ())), ["cat", "dog", "fox"], "evaluate_report: class_names")
    pairs = [list(pair) for pair in report.get("confused", ())]
    expect.equal(pairs, [["cat", "dog", 2], ["dog", "cat", 1]], "evaluate_report: confused")
    expect.unchanged(scores, kept[0], "evaluate_report: scores")
    expect.unchanged(y, kept[1], "evaluate_report: y")


@pytest.mark.task("report", weight=4)
def test_precision_in_a_report_is_over_predictions_and_recall_over_labels(student):
    """Two of four predicted cats are cats: precision 1/2. Two of three cats are found: recall 2/3. Their F1 is 4/7."""
    y = np.array([0, 0, 0, 1, 1, 1, 1])
    predicted = np.array([0, 0, 1, 0, 0, 1, 1])
    scores = np.eye(2)[predicted]

    report = student.evaluate_report(scores, y, ("cat", "dog"))

    expect.close(report.get("precision"), np.array([1 / 2, 2 / 3]), "evaluate_report: precision")
    expect.close(report.get("recall"), np.array([2 / 3, 1 / 2]), "evaluate_report: recall")
    expect.close(report.get("f1"), np.array([4 / 7, 4 / 7]), "evaluate_report: f1")
    expect.close(report.get("macro_f1"), 4 / 7, "evaluate_report: macro_f1")


# ------------------------------------------------------------------------------------------------------------
# P1.6  Figures
# ------------------------------------------------------------------------------------------------------------


@probe
def lines_of_a_history(student, history):
    figure = student.plot_history(history)
    found = []
    for axes in figure.axes:
        lines = [np.asarray(line.get_xydata(), dtype=float) for line in axes.lines]
        legends = [legend for legend in (axes.get_legend(), *figure.legends) if legend is not None]
        texts = [text.get_text() for legend in legends for text in legend.get_texts()]
        found.append((lines, axes.get_xlabel(), axes.get_ylabel(), texts))
    return found


@pytest.mark.task("figures", weight=3)
def test_figures_of_a_history_show_both_losses(student):
    """Three epochs, at 1, 2 and 3: both losses share an axes with labels and a legend; the accuracy has its own."""
    history = {"train_loss": [1.5, 1.0, 0.5], "val_loss": [1.6, 1.2, 0.9], "val_accuracy": [0.3, 0.5, 0.7]}

    drawn = lines_of_a_history(student, history)

    epochs = np.array([1.0, 2.0, 3.0])
    places = {}
    for name, values in history.items():
        want = np.stack([epochs, values], axis=1)
        holds = [any(line.shape == want.shape and np.allclose(line, want) for line in lines) for lines, *_ in drawn]
        expect.is_true(any(holds), f"plot_history: no line shows {name} over the epochs 1, 2, 3.")
        places[name] = holds.index(True)
    expect.equal(places["val_loss"], places["train_loss"], "plot_history: number of the axes of val_loss")
    expect.is_true(places["val_accuracy"] != places["val_loss"], "plot_history: an accuracy is on the axes of a loss.")
    for place in set(places.values()):
        _, x_label, y_label, _ = drawn[place]
        expect.is_true(bool(x_label.strip() and y_label.strip()), "plot_history: an axis has no label.")
    expect.is_true(len(drawn[places["val_loss"]][3]) >= 2, "plot_history: the legend does not name both losses.")


@probe
def cells_of_a_confusion(student, confusion, names):
    figure = student.plot_confusion({"confusion": confusion, "class_names": names})
    axes = next((axes for axes in figure.axes if axes.images), None)
    if axes is None:
        return None
    figure.canvas.draw()
    ticks = [[tick.get_text() for tick in axis.get_ticklabels()] for axis in (axes.xaxis, axes.yaxis)]
    return np.asarray(axes.images[0].get_array(), dtype=float), axes.get_xlabel(), axes.get_ylabel(), ticks


@pytest.mark.task("figures", weight=3)
def test_figures_of_a_confusion_show_shares_of_rows(student):
    """Three of four cats are found: the row of cats has the colours of 3/4 and 1/4, with the class names as ticks."""
    drawn = cells_of_a_confusion(student, np.array([[3, 1], [0, 2]]), ["cat", "dog"])

    expect.is_true(drawn is not None, "plot_confusion: no axes has an image by imshow.")
    image, x_label, y_label, ticks = drawn
    expect.close(image, np.array([[0.75, 0.25], [0.0, 1.0]]), "plot_confusion: values of the image", rtol=1e-5)
    expect.is_true("predicted" in x_label.lower(), "plot_confusion: the horizontal label has no word predicted.")
    expect.is_true("true" in y_label.lower(), "plot_confusion: the vertical label has no word true.")
    for words, name in zip(ticks, ("horizontal", "vertical"), strict=True):
        shown = [word for word in words if word.strip()]
        expect.equal(shown, ["cat", "dog"], f"plot_confusion: names at the {name} axis")


@probe
def titles_of_mistakes(student, x, y, scores, names):
    figure = student.plot_mistakes(x, y, scores, names)
    return [
        (
            np.asarray(axes.images[0].get_array()),
            " ".join(axes.get_title(place) for place in ("left", "center", "right")),
        )
        for axes in figure.axes
        if axes.images
    ]


@pytest.mark.task("figures", weight=2)
def test_figures_of_mistakes_show_what_was_wrong(student):
    """Three images, and the middle one is a dog that was taken for a cat: it is drawn, with dog before cat."""
    x = np.arange(3 * 2 * 2 * 3, dtype=np.uint8).reshape(3, 2, 2, 3)
    y = np.array([0, 1, 1])
    scores = np.array([[2.0, 1.0], [3.0, 0.0], [0.0, 1.0]])

    drawn = titles_of_mistakes(student, x, y, scores, ["cat", "dog"])

    expect.equal(len(drawn), 1, "plot_mistakes: axes with an image")
    ((image, title),) = drawn
    expect.close(image.astype(float), x[1].astype(float), "plot_mistakes: the image, as it was given")
    in_order = 0 <= title.find("dog") < title.find("cat")
    expect.is_true(in_order, "plot_mistakes: the title does not hold the true name, and then the predicted one.")


# ------------------------------------------------------------------------------------------------------------
# P1.7  The whole project in one call
# ------------------------------------------------------------------------------------------------------------


@probe
def small_run(student, data, x):
    folder = tempfile.mkdtemp()
    path = os.path.join(folder, "images.npz")
    np.savez(path, **data)
    out = os.path.join(folder, "new", "out")
    results = student.run(student.Config(path, out, epochs=2, batch_size=16))
    names = ("report.json", "history.png", "confusion.png", "mistakes.png")
    missing = [name for name in names if not os.path.isfile(os.path.join(out, name))]
    written = None
    if "report.json" not in missing:
        with open(os.path.join(out, "report.json")) as file:
            written = json.load(file)
    numbers = {name: getattr(results, name) for name in ("accuracy", "val_accuracy", "epochs", "parameters")}
    return numbers, missing, written, np.asarray(student.predict(out, x))


def _small_data(rng, n, m):
    """Images of 16x17 pixels whose colour says the class, as the file of a run holds them."""
    data = {"class_names": np.array(["red", "green", "blue"])}
    for part, count in (("train", n), ("test", m)):
        labels = rng.integers(0, 3, size=count)
        images = rng.integers(0, 120, size=(count, 16, 17, 3))
        images[np.arange(count), :, :, labels] += 100
        data |= {f"{part}_images": images.astype(np.uint8), f"{part}_labels": labels}
    return data


@pytest.mark.task("run", weight=16)
def test_a_run_goes_from_raw_images_to_numbers_and_files(student, rng):
    """A small run: all files are there, the report says what the Results say, and predict gives the same accuracy."""
    data = _small_data(rng, 60, 25)

    results, missing, written, scores = small_run(student, data, data["test_images"])

    expect.equal(missing, [], "run: files that are missing in the folder")
    expect.is_true(type(written) is dict, "run: report.json holds no object.")
    expect.shape(scores, (25, 3), "predict")
    right = float((scores.argmax(axis=1) == data["test_labels"]).mean())
    expect.close(results["accuracy"], right, "run: accuracy, beside that of predict on the test images", rtol=1e-6)
    expect.equal(int(results["epochs"]), 2, "run(epochs=2): epochs")
    for name in ("accuracy", "val_accuracy", "epochs", "parameters"):
        expect.close(written.get(name), float(results[name]), f"run: {name} in report.json", rtol=1e-6)
    confusion = np.array(written.get("confusion"))
    expect.shape(confusion, (3, 3), "run: confusion in report.json")
    expect.equal(int(confusion.sum()), 25, "run: number of images in the confusion of report.json")


@probe
def refusals(student, faults):
    folder = tempfile.mkdtemp()
    path = os.path.join(folder, "images.npz")
    np.savez(path, train_images=np.zeros((4, 16, 16, 3), dtype=np.uint8))
    said = []
    for fault in faults:
        values = {"data": path, "out": os.path.join(folder, "out"), **fault}
        try:
            student.check_config(student.Config(**values))
        except ValueError as error:
            said.append(str(error))
        else:
            said.append(None)
    return said


@pytest.mark.task("run", weight=7)
def test_a_run_refuses_a_faulty_config_by_name(student):
    """A ValueError names the field; a config without a fault passes."""
    faults = [{}, {"epochs": 0}, {"lr": -0.1}, {"val_share": 0.9}, {"augment": 1}, {"data": "nowhere.npz"}]

    good, *said = refusals(student, faults)

    expect.equal(good, None, "check_config of a good config: its error")
    for fault, sentence in zip(faults[1:], said, strict=True):
        (name,) = fault
        expect.is_true(sentence is not None, f"check_config: a faulty {name} is not refused.")
        expect.is_true(name in sentence, f"check_config: the error of a faulty {name} does not name it.")
