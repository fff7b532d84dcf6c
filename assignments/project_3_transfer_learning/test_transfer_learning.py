"""Public tests of the transfer project: small models and small numbers, most of which fit on paper.

pytest test_transfer_learning.py -k freeze        only the tests with "freeze" in their names
"""

import json
import os
import tempfile

import numpy as np
import pytest
import torch
from torch import nn

from autograder import expect, probe
from dlcourse.data import shapes7_weights, shapes10

# ------------------------------------------------------------------------------------------------------------
# P3.1  Load what fits
# ------------------------------------------------------------------------------------------------------------


@probe
def loaded_into_a_small_model(student):
    """A model with three layers, and a state of another one."""
    model = nn.ModuleDict({"first": nn.Linear(2, 3), "second": nn.Linear(3, 3), "head": nn.Linear(3, 2)})
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(-1.0)
    state = {
        "first.weight": torch.full((3, 2), 4.0),
        "first.bias": torch.full((3,), 5.0),
        "head.weight": torch.full((7, 3), 6.0),
        "head.bias": torch.full((7,), 6.0),
        "extra.weight": torch.full((2, 2), 6.0),
    }
    report = student.load_pretrained(model, state)
    named = [sorted(getattr(report, name)) for name in ("loaded", "missing", "unexpected", "held_back")]
    shapes = {name: [list(shape) for shape in pair] for name, pair in dict(report.other_shape).items()}
    return named, shapes, {name: float(value.mean()) for name, value in model.state_dict().items()}


@pytest.mark.task("loading", weight=6)
def test_each_name_is_reported(student):
    """Two names are loaded, two are missing, one is unexpected, two have another shape."""
    (loaded, missing, unexpected, held_back), shapes, _ = loaded_into_a_small_model(student)

    expect.equal(loaded, ["first.bias", "first.weight"], "load_pretrained: loaded")
    expect.equal(missing, ["second.bias", "second.weight"], "load_pretrained: missing")
    expect.equal(unexpected, ["extra.weight"], "load_pretrained: unexpected")
    expect.equal(held_back, [], "load_pretrained: held_back")
    want = {"head.weight": [[7, 3], [2, 3]], "head.bias": [[7], [2]]}
    expect.equal(shapes, want, "load_pretrained: other_shape")


@pytest.mark.task("loading", weight=4)
def test_what_fits_is_copied(student):
    """The first layer has the values of the state. All others keep their own."""
    *_, values = loaded_into_a_small_model(student)

    want = {"first.weight": 4.0, "first.bias": 5.0}
    for name, value in values.items():
        expect.close(value, want.get(name, -1.0), f"load_pretrained: values of {name}")


# ------------------------------------------------------------------------------------------------------------
# P3.2  A new head, and a frozen backbone
# ------------------------------------------------------------------------------------------------------------


@probe
def head_for_three_classes(student):
    model = student.ShapeNet(7)
    returned = student.modify_head(model, 3)
    model.eval()
    with torch.no_grad():
        scores = model(torch.rand(4, 3, 8, 8))
    return tuple(scores.shape), returned is model, sum(p.numel() for p in model.head.parameters())


@pytest.mark.task("freezing", weight=3)
def test_a_new_head_gives_scores_for_new_classes(student):
    """64 features and 3 classes: 64 * 3 weights and 3 biases."""
    shape, is_model, count = head_for_three_classes(student)

    expect.equal(shape, (4, 3), "modify_head(ShapeNet(7), 3): shape of the scores of four images")
    expect.equal(count, 195, "modify_head(ShapeNet(7), 3): parameters of the head")
    expect.equal(is_model, True, "modify_head: whether it returns the model")


@probe
def frozen_shape_net(student):
    torch.manual_seed(0)
    model = student.ShapeNet(3)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    student.freeze(model)
    learning = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    model.train()
    model(torch.rand(6, 3, 8, 8)).sum().backward()
    moved = [name for name, value in model.state_dict().items() if not torch.equal(value, before[name])]
    return learning, moved, model.training


@pytest.mark.task("freezing", weight=7)
def test_freeze_leaves_the_head_alone_to_learn(student):
    """Only the head learns. A pass in training mode moves no statistics of a frozen batch norm."""
    learning, moved, training = frozen_shape_net(student)

    expect.equal(sorted(learning), ["head.bias", "head.weight"], "freeze: parameters that require a gradient")
    expect.equal(moved, [], "freeze: buffers that a pass in training mode changes")
    expect.equal(training, True, "freeze, then model.train(): model.training")


# ------------------------------------------------------------------------------------------------------------
# P3.3  A rate for each depth, and an order of thawing
# ------------------------------------------------------------------------------------------------------------


@probe
def rates_of_a_shape_net(student):
    model = student.ShapeNet(3)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = student.param_groups(model, lr=0.1, decay=0.5)
    return [[names[id(parameter)], float(group["lr"])] for group in groups for parameter in group["params"]]


@pytest.mark.task("rates", weight=4)
def test_each_stage_has_half_of_the_rate_of_the_next_one(student):
    """The head has 0.1, and the convolutions before it 0.05, 0.025 and 0.0125, each with its batch norm."""
    found = rates_of_a_shape_net(student)

    expect.equal(len(found), len({name for name, _ in found}), "param_groups: how many parameters are in the groups")
    want = {"head": 0.1}
    for place, rate in ((0, 0.0125), (4, 0.025), (8, 0.05)):
        want |= {f"backbone.{place}": rate, f"backbone.{place + 1}": rate}
    names = ["backbone.0.weight", "backbone.4.weight", "backbone.8.weight", "head.weight", "head.bias"]
    names += [f"backbone.{place}.{kind}" for place in (1, 5, 9) for kind in ("weight", "bias")]
    expect.equal(sorted(name for name, _ in found), sorted(names), "param_groups: parameters in the groups")
    for name, rate in found:
        expect.close(rate, want[name.rpartition(".")[0]], f"param_groups(lr=0.1, decay=0.5): rate of {name}")


@pytest.mark.task("rates", weight=3)
def test_stages_thaw_one_after_the_other(student):
    """Two epochs for the head alone, two for the last two stages, and then all three."""
    found = [student.schedule_unfreeze(epoch, n_stages=3, wait=2) for epoch in range(8)]

    expect.equal(found, [1, 1, 2, 2, 3, 3, 3, 3], "schedule_unfreeze(n_stages=3, wait=2) of the epochs 0 to 7")


# ------------------------------------------------------------------------------------------------------------
# P3.4  Another domain
# ------------------------------------------------------------------------------------------------------------


@probe
def adapted_layer(student, images):
    layer = nn.BatchNorm2d(2)
    with torch.no_grad():
        layer.weight.fill_(3.0)
    model = nn.Sequential(layer).train()
    returned = student.adabn(model, images)
    kept = float(layer.weight.detach().mean()), float(layer.bias.detach().abs().sum()), model.training
    return layer.running_mean.numpy(), layer.running_var.numpy(), kept, returned is model


@pytest.mark.task("domains", weight=5)
def test_statistics_are_those_of_the_images(student):
    """Two images with two channels of two places: the means are 2 and 0.5, and the variances 2 and 0."""
    images = np.array([0, 2, 0.5, 0.5, 2, 4, 0.5, 0.5], dtype=np.float32).reshape(2, 2, 1, 2)
    before = images.copy()

    mean, var, (weight, bias, training), is_model = adapted_layer(student, images)

    expect.close(mean, np.array([2.0, 0.5]), "adabn: running_mean", rtol=1e-5)
    # divided by n or by n - 1, that is by 4 or by 3
    expect.between(float(var[0]), 2.0, 8 / 3, "adabn: running_var of the first channel")
    expect.close(float(var[1]), 0.0, "adabn: running_var of the second channel", atol=1e-6)
    expect.close([weight, bias], [3.0, 0.0], "adabn: weight and bias of the batch norm", lists=True)
    expect.equal(training, True, "adabn of a model in training mode: model.training")
    expect.equal(is_model, True, "adabn: whether it returns the model")
    expect.unchanged(images, before, "adabn: images")


@probe
def right_in_the_dark(student, weights, images, x, y):
    """The share of images that are right before and after the network of the course was adapted."""
    model = student.ShapeNet(7)
    model.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    model.eval()
    shares = []
    for is_adapted in (False, True):
        if is_adapted:
            student.adabn(model, images)
        with torch.no_grad():
            found = model.eval()(torch.from_numpy(x)).argmax(dim=1).numpy()
        shares.append(float((found == y).mean()))
    return shares


@pytest.mark.task("domains", weight=4)
def test_dark_images_are_read_again(student, seed):
    """These images have lost most of their contrast. The network sees nothing in them until it is adapted."""
    (images, _), (x, y) = shapes10(200, [seed, 1]), shapes10(300, [seed, 2])
    known = y < 7
    dark = (0.15 * images).astype(np.float32)

    before, after = right_in_the_dark(student, shapes7_weights(), dark, (0.15 * x[known]).astype(np.float32), y[known])

    expect.at_most(before, 0.60, "share of dark images that are right before adabn")
    expect.at_least(after, 0.90, "share of dark images that are right after adabn")


# ------------------------------------------------------------------------------------------------------------
# P3.5  Is transfer worth it?
# ------------------------------------------------------------------------------------------------------------


@pytest.mark.task("comparison", weight=3)
def test_a_few_images_of_each_class_are_drawn(student):
    """Two of each of three classes, none of them twice."""
    labels = np.array([4, 9, 4, 4, 9, 1, 1, 9, 1])
    before = labels.copy()

    chosen = student.few_per_class(labels, 2, 0)

    expect.shape(chosen, (6,), "few_per_class(size=2) of three classes")
    expect.equal(len(set(chosen.tolist())), 6, "few_per_class: different indices")
    expect.equal(sorted(labels[chosen].tolist()), [1, 1, 4, 4, 9, 9], "few_per_class: labels that were drawn")
    expect.unchanged(labels, before, "few_per_class: labels")


@probe
def short_training(student, way, x, y):
    """Two epochs of three batches; what has changed since the state, and how many steps an optimiser took."""
    from torch.optim.optimizer import register_optimizer_step_pre_hook

    torch.manual_seed(1)
    state = student.ShapeNet(5).state_dict()
    with torch.no_grad():
        for name, value in state.items():
            if name.endswith("running_mean"):
                value.add_(0.25)
    kept = {name: value.clone() for name, value in state.items()}
    steps = []
    hook = register_optimizer_step_pre_hook(lambda *_: steps.append(1))
    try:
        model = student.learn(way, state, x, y, 3, epochs=2, batch_size=5)
    finally:
        hook.remove()
    changed = [
        name
        for name, value in model.state_dict().items()
        if name.startswith("backbone.") and not torch.equal(value, kept[name])
    ]
    is_kept = all(torch.equal(value, kept[name]) for name, value in state.items())
    return changed, len(steps), tuple(model.head.weight.shape), model.training, is_kept


@pytest.mark.task("comparison", weight=12)
def test_a_linear_probe_trains_a_head_alone(student, rng):
    """Of twelve images in batches of five, two epochs make six steps. The backbone stays as it is in the state."""
    x = rng.uniform(size=(12, 3, 8, 8)).astype(np.float32)
    y = np.arange(12) % 3
    kept = x.copy(), y.copy()

    changed, steps, shape, training, is_kept = short_training(student, "linear_probe", x, y)

    expect.equal(changed, [], "learn('linear_probe'): what differs from the backbone of the state")
    expect.equal(steps, 6, "learn: steps of the optimiser")
    expect.equal(shape, (3, 64), "learn: shape of the weights of the head")
    expect.equal(training, False, "learn: model.training afterwards")
    expect.equal(is_kept, True, "learn: whether the state is as it was")
    expect.unchanged(x, kept[0], "learn: x")
    expect.unchanged(y, kept[1], "learn: y")


@probe
def small_comparison(student, weights, train, labels, test, test_labels):
    folder = tempfile.mkdtemp()
    paths = [os.path.join(folder, name) for name in ("weights.pt", "images.npz")]
    torch.save({name: torch.from_numpy(value) for name, value in weights.items()}, paths[0])
    np.savez(paths[1], train=train, train_labels=labels, test=test, test_labels=test_labels)
    options = {"epochs": 1, "sizes": (1, 2), "n_seeds": 2}
    table = student.compare(student.Config(*paths, os.path.join(folder, "out"), **options))
    return [
        (
            str(row.way),
            int(row.size),
            np.asarray(row.predictions),
            [float(value) for value in row.accuracies],
            float(row.mean),
            float(row.std),
        )
        for row in table
    ]


@pytest.mark.task("comparison", weight=12)
def test_a_comparison_has_a_row_for_each_way_and_size(student, rng):
    """Three ways and two sizes make six rows. Each holds the accuracies of two seeds, their mean and their spread."""
    train, test = (rng.integers(0, 256, size=(n, 8, 8, 3)).astype(np.uint8) for n in (12, 9))
    labels, test_labels = np.array([7, 3, -5, 12] * 3), np.array([7, 3, -5, 12, 3, 3, 7, 12, -5])

    table = small_comparison(student, shapes7_weights(), train, labels, test, test_labels)

    pairs = [(way, size) for size in (1, 2) for way in ("fine_tune", "linear_probe", "scratch")]
    expect.equal(sorted((way, size) for way, size, *_ in table), sorted(pairs), "compare: ways and sizes of the rows")
    for way, size, predictions, accuracies, mean, std in table:
        what = f"compare: row of {way}, size {size}"
        expect.shape(predictions, (2, 9), f"{what}, predictions")
        right = [float((row == test_labels).mean()) for row in predictions]
        expect.close(accuracies, right, f"{what}, accuracies", lists=True)
        expect.close(mean, sum(right) / 2, f"{what}, mean")
        expect.close(std, abs(right[0] - right[1]) / 2**0.5, f"{what}, std of two numbers", atol=1e-6)


@probe
def lines_of_a_picture(student, rows):
    table = [
        student.Row(way, size, np.zeros((2, 1), dtype=int), [mean, mean], mean, std) for way, size, mean, std in rows
    ]
    figure = student.plot_comparison(table)
    axes = figure.axes[0]
    legends = [legend for legend in (axes.get_legend(), *figure.legends) if legend is not None]
    return (
        [np.asarray(line.get_xydata(), dtype=float) for line in axes.lines],
        axes.get_xlabel(),
        axes.get_ylabel(),
        [text.get_text() for legend in legends for text in legend.get_texts()],
    )


@pytest.mark.task("comparison", weight=8)
def test_means_are_drawn_over_the_sizes(student):
    """Two ways with two sizes: two lines through the means. Axes have labels, and the legend names the ways."""
    rows = [("scratch", 10, 0.6, 0.1), ("scratch", 2, 0.4, 0.05)]
    rows += [("fine_tune", 2, 0.7, 0.1), ("fine_tune", 10, 0.9, 0.02)]

    lines, x_label, y_label, texts = lines_of_a_picture(student, rows)

    for way, means in (("scratch", [0.4, 0.6]), ("fine_tune", [0.7, 0.9])):
        want = np.array([[2.0, means[0]], [10.0, means[1]]])
        is_there = any(line.shape == (2, 2) and np.allclose(line, want) for line in lines)
        expect.is_true(is_there, f"plot_comparison: no line goes through the means of {way}, from size 2 to size 10.")
        is_named = any(way in text.replace(" ", "_") for text in texts)
        expect.is_true(is_named, f"plot_comparison: the legend does not name {way}.")
    is_absent = not any("linear_probe" in text.replace(" ", "_") for text in texts)
    expect.is_true(is_absent, "plot_comparison: the legend names a way that the table does not have.")
    expect.is_true(bool(x_label.strip() and y_label.strip()), "plot_comparison: an axis has no label.")


# ------------------------------------------------------------------------------------------------------------
# P3.6  The whole project in one call
# ------------------------------------------------------------------------------------------------------------


@probe
def small_run(student, weights, train, labels, test, test_labels):
    folder = tempfile.mkdtemp()
    paths = [os.path.join(folder, name) for name in ("weights.pt", "images.npz")]
    torch.save({name: torch.from_numpy(value) for name, value in weights.items()}, paths[0])
    np.savez(paths[1], train=train, train_labels=labels, test=test, test_labels=test_labels)
    out = os.path.join(folder, "new", "out")
    results = student.run(student.Config(*paths, out, epochs=2))
    names = ("model.pt", "results.json", "confusion.png")
    missing = [name for name in names if not os.path.isfile(os.path.join(out, name))]
    written = None
    if "results.json" not in missing:
        with open(os.path.join(out, "results.json")) as file:
            written = json.load(file)
    told = (
        [int(label) for label in results.classes],
        float(results.accuracy),
        [float(value) for value in results.recall],
    )
    alone = [int(np.asarray(student.predict(out, test[k : k + 1]))[0]) for k in range(len(test))]
    return told, missing, written, np.asarray(student.predict(out, test)), alone


@pytest.mark.task("run", weight=13)
def test_a_run_goes_from_raw_images_to_numbers_and_files(student, seed):
    """A small run: all files are there, results.json says what Results say, and predict agrees with both."""
    x, y = shapes10(90, [seed, 1])
    order = np.concatenate(
        [np.flatnonzero(y == label)[part] for part in (slice(4), slice(4, 9)) for label in (6, 7, 8, 9)]
    )
    images = (255 * x[order]).astype(np.uint8).transpose(0, 2, 3, 1)
    names = np.array([200, 30, 10, 20], dtype=np.uint8)[y[order] - 6]
    train, test = slice(16), slice(16, 36)

    told, missing, written, found, alone = small_run(
        student, shapes7_weights(), images[train], names[train], images[test], names[test]
    )

    classes, accuracy, recall = told
    expect.equal(missing, [], "run: files that are missing in the folder")
    expect.equal(classes, [10, 20, 30, 200], "run: classes")
    truth = names[test]
    expect.shape(found, truth.shape, "predict")
    expect.equal(alone, found.tolist(), "predict, one image at a time")
    expect.close(accuracy, float((found == truth).mean()), "run: accuracy, beside that of predict")
    want = [float((found[truth == label] == label).mean()) for label in (10, 20, 30, 200)]
    expect.close(recall, want, "run: recall, beside that of predict", lists=True)
    expect.is_true(type(written) is dict, "run: results.json holds no object.")
    expect.equal(written.get("classes"), classes, "run: classes in results.json")
    expect.close(written.get("accuracy"), accuracy, "run: accuracy in results.json")
    expect.close(written.get("recall"), recall, "run: recall in results.json", lists=True)


@probe
def stopped_run(student, weights, images, labels):
    """Run three epochs of two batches: in one go, and with a stop before the fourth step; count the steps."""
    from torch.optim.optimizer import register_optimizer_step_pre_hook

    class Stop(Exception):
        pass

    folder = tempfile.mkdtemp()
    paths = [os.path.join(folder, name) for name in ("weights.pt", "images.npz")]
    torch.save({name: torch.from_numpy(value) for name, value in weights.items()}, paths[0])
    np.savez(paths[1], train=images, train_labels=labels, test=images, test_labels=labels)
    steps, found = [], []

    def count(*_):
        if len(found) == 1 and len(steps) == 3:
            found.append(None)
            raise Stop
        steps.append(1)

    hook = register_optimizer_step_pre_hook(count)
    try:
        for name in ("whole", "stopped", "stopped"):
            out = os.path.join(folder, name)
            steps.clear()
            try:
                student.run(student.Config(*paths, out, epochs=3, batch_size=6))
            except Stop:
                continue
            found.append((len(steps), np.asarray(student.predict(out, images))))
    finally:
        hook.remove()
    return found


@pytest.mark.task("run", weight=10)
def test_a_run_goes_on_after_a_stop(student, seed):
    """Of three epochs the first is complete when the run is stopped. A second call makes the other two, and no more."""
    x, y = shapes10(60, [seed, 3])
    chosen = np.concatenate([np.flatnonzero(y == label)[:4] for label in (7, 8, 9)])
    images = (255 * x[chosen]).astype(np.uint8).transpose(0, 2, 3, 1)

    found = stopped_run(student, shapes7_weights(), images, y[chosen])

    expect.equal(len(found), 3, "run: calls that ended or were stopped, out of three")
    (steps, predictions), is_stopped, (later, again) = found[0], found[1] is None, found[2]
    expect.is_true(is_stopped, "run: it went on after an error in a step.")
    expect.is_true(0 <= 3 + later - steps <= 1, "run, after a stop in the second epoch: the first one is made again.")
    expect.equal(again, predictions, "run, after a stop: predictions")


@probe
def refusals(student, faults):
    folder = tempfile.mkdtemp()
    path = os.path.join(folder, "a file")
    with open(path, "w") as file:
        file.write("check_config does not look into files")
    said = []
    for fault in faults:
        values = {"weights": path, "data": path, "out": os.path.join(folder, "out"), **fault}
        try:
            student.check_config(student.Config(**values))
        except ValueError as error:
            said.append(str(error))
        else:
            said.append(None)
    return said


@pytest.mark.task("run", weight=6)
def test_a_faulty_config_is_refused_by_name(student):
    """A ValueError names the field; a config without a fault passes."""
    faults = [{}, {"epochs": 0}, {"lr": -1.0}, {"sizes": ()}, {"n_seeds": 1}, {"weights": "nowhere.pt"}]

    good, *said = refusals(student, faults)

    expect.equal(good, None, "check_config of a good config: its error")
    for fault, sentence in zip(faults[1:], said, strict=True):
        (name,) = fault
        expect.is_true(sentence is not None, f"check_config: a faulty {name} is not refused.")
        expect.is_true(name in sentence, f"check_config: the error of a faulty {name} does not name it.")
