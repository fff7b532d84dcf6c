"""Public tests of the best practices: small cases, most of which fit on paper.

pytest test_best_practices.py -k auc        only the tests with "auc" in their names
"""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from autograder import expect, probe


def _rows(part, what):
    """Row numbers as a sorted list."""
    expect.is_true(isinstance(part, np.ndarray) and part.dtype.kind == "i", f"{what}: a part is no integer array.")
    return sorted(part.tolist())


def _together(parts):
    """All row numbers of some parts, sorted."""
    return sorted(number for part in parts for number in part)


# ------------------------------------------------------------------------------------------------------------
# 8.1  Splits that can be trusted
# ------------------------------------------------------------------------------------------------------------


@pytest.mark.task("splits", weight=3)
def test_ten_rows_in_three_parts(student):
    """Each row is in exactly one part; sizes are counts or fractions; the seed decides."""
    y = np.array([0, 1, 0, 1, 0, 1, 0, 1, 0, 1])
    before = y.copy()

    for sizes in ((6, 3, 1), (0.6, 0.3, 0.1)):
        parts = student.train_val_test_split(y, sizes, rng=np.random.default_rng(0))
        again = student.train_val_test_split(y, sizes, rng=np.random.default_rng(0))
        found = [_rows(part, "train_val_test_split") for part in parts]
        expect.equal([len(part) for part in found], [6, 3, 1], "train_val_test_split: rows of the parts")
        expect.equal(_together(found), list(range(10)), "train_val_test_split: all rows")
        for one, other in zip(parts, again, strict=True):
            expect.equal(other, one, "train_val_test_split with the same seed")
    expect.unchanged(y, before, "train_val_test_split: y")


@pytest.mark.task("splits", weight=3)
def test_a_rare_class_is_in_each_part(student):
    """With stratify each class is divided by itself: four rare rows in halves and quarters are two, one and one."""
    y = np.array([0] * 20 + [1] * 4)

    parts = student.train_val_test_split(y, (0.5, 0.25, 0.25), stratify=True, rng=np.random.default_rng(1))

    for part, rare, common, name in zip(parts, (2, 1, 1), (10, 5, 5), ("train", "val", "test"), strict=True):
        counts = np.bincount(y[_rows(part, "train_val_test_split")], minlength=2)
        expect.equal(counts.tolist(), [common, rare], f"train_val_test_split(stratify=True): classes in {name}")


@pytest.mark.task("splits", weight=3)
def test_a_group_stays_together(student):
    """All rows of a group are in the same part."""
    groups = np.array([3, 3, 8, 8, 5, 5, 1, 1, 9, 9])
    y = np.zeros(10, dtype=int)

    parts = student.train_val_test_split(y, (6, 2, 2), groups=groups, rng=np.random.default_rng(2))

    found = [_rows(part, "train_val_test_split") for part in parts]
    expect.equal(_together(found), list(range(10)), "train_val_test_split(groups): all rows")
    for one, other in ((0, 1), (0, 2), (1, 2)):
        both = set(groups[found[one]]) & set(groups[found[other]])
        expect.is_true(not both, "train_val_test_split(groups): a group is in two parts.")


@pytest.mark.task("splits", weight=3)
def test_each_row_is_validated_once(student):
    """In k folds each row is in one val, and train has all the others."""
    folds = student.kfold(np.zeros(7, dtype=int), 3, rng=np.random.default_rng(3))

    expect.equal(len(folds), 3, "kfold: number of folds")
    vals = [_rows(val, "kfold") for _, val in folds]
    expect.equal(_together(vals), list(range(7)), "kfold: rows of all val")
    expect.equal(sorted(map(len, vals)), [2, 2, 3], "kfold: rows of the folds")
    for (train, _), val in zip(folds, vals, strict=True):
        expect.equal(sorted(_rows(train, "kfold") + val), list(range(7)), "kfold: rows of train and val together")


@probe
def standardised(student, train, other):
    """Fit on train; transform both, and go back."""
    scaler = student.Standardizer()
    same = scaler.fit(train) is scaler
    there = scaler.transform(train), scaler.transform(other)
    return same, there, scaler.inverse_transform(there[1]), scaler.mean, scaler.std


@pytest.mark.task("splits", weight=3)
def test_the_standardizer_knows_the_training_rows_alone(student):
    """The mean is 2 and the deviation 1 in the first column; a constant column becomes 0."""
    train, other = np.array([[1.0, 5], [3, 5]]), np.array([[4.0, 6], [0, 5]])
    before = train.copy(), other.copy()

    same, (own, there), back, mean, std = standardised(student, train, other)

    expect.is_true(same, "Standardizer.fit: it does not return the Standardizer.")
    expect.close(mean, np.array([2.0, 5]), "Standardizer.mean")
    expect.close(std, np.array([1.0, 1]), "Standardizer.std")
    expect.close(own, np.array([[-1.0, 0], [1, 0]]), "Standardizer.transform of the training rows")
    expect.close(there, np.array([[2.0, 1], [-2, 0]]), "Standardizer.transform of other rows")
    expect.close(back, before[1], "Standardizer.inverse_transform")
    expect.unchanged(train, before[0], "Standardizer.fit: x")
    expect.unchanged(other, before[1], "Standardizer.transform: x")


# ------------------------------------------------------------------------------------------------------------
# 8.2  Metrics
# ------------------------------------------------------------------------------------------------------------

TRUE = np.array([0, 0, 0, 1, 1, 2])
SAID = np.array([0, 0, 1, 1, 1, 0])


@pytest.mark.task("metrics", weight=3)
def test_rows_of_the_matrix_are_true_classes(student):
    """Of three rows of class 0, two are right and one was taken for class 1."""
    y_true, y_pred = TRUE.copy(), SAID.copy()

    counts = student.confusion_matrix(y_true, y_pred)
    weighted = student.confusion_matrix(y_true, y_pred, sample_weight=np.array([0.5, 1, 1, 1, 1, 2.5]))

    expect.close(counts, np.array([[2, 1, 0], [0, 2, 0], [1, 0, 0]]), "confusion_matrix", dtype=np.int64)
    expect.close(weighted, np.array([[1.5, 1, 0], [0, 2, 0], [2.5, 0, 0]]), "confusion_matrix with weights")
    expect.unchanged(y_true, TRUE, "confusion_matrix: y_true")
    expect.unchanged(y_pred, SAID, "confusion_matrix: y_pred")


@pytest.mark.task("metrics", weight=3)
def test_precision_looks_at_columns(student):
    """Class 1: three rows are called 1 and two of them are; both rows of class 1 are found. Class 2 is never said."""
    precision, recall, f1 = student.precision_recall_f1(TRUE, SAID, average=None)

    expect.close(precision, np.array([2 / 3, 2 / 3, 0]), "precision_recall_f1 (precision)")
    expect.close(recall, np.array([2 / 3, 1, 0]), "precision_recall_f1 (recall)")
    expect.close(f1, np.array([2 / 3, 4 / 5, 0]), "precision_recall_f1 (F1)")


@pytest.mark.task("metrics", weight=2)
@pytest.mark.parametrize(
    ("average", "want"),
    [
        ("macro", (4 / 9, 5 / 9, (2 / 3 + 4 / 5) / 3)),
        ("weighted", ((3 * 2 / 3 + 2 * 2 / 3) / 6, (2 + 2) / 6, (3 * 2 / 3 + 2 * 4 / 5) / 6)),
        ("micro", (4 / 6, 4 / 6, 4 / 6)),
    ],
)
def test_averages_of_three_classes(student, average, want):
    """macro is the mean of the classes, weighted counts their rows, micro adds up all rows first."""
    found = student.precision_recall_f1(TRUE, SAID, average=average)

    for got, wanted, name in zip(found, want, ("precision", "recall", "F1"), strict=True):
        expect.close(got, wanted, f"precision_recall_f1(average={average!r}) ({name})")


@pytest.mark.task("metrics", weight=3)
def test_the_auc_counts_pairs(student):
    """Of four pairs two are in the right order, one is wrong and one is a tie: two and a half of four."""
    y_true, scores = np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.4, 0.3])
    before = y_true.copy(), scores.copy()

    area = student.roc_auc(y_true, scores)

    expect.close(area, 2.5 / 4, "roc_auc", hint="a tie is half a pair")
    expect.unchanged(y_true, before[0], "roc_auc: y_true")
    expect.unchanged(scores, before[1], "roc_auc: scores")


@pytest.mark.task("metrics", weight=2)
def test_the_true_class_is_among_the_best(student):
    """The true class has the largest, the second and the third score; a tie counts against the row."""
    scores = np.array([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2], [0.5, 0.3, 0.2], [1.0, 1.0, 1.0]])
    labels = np.array([0, 1, 2, 0])

    expect.close(student.top_k(labels, scores, 1), 1 / 4, "top_k(k=1)")
    expect.close(student.top_k(labels, scores, 2), 2 / 4, "top_k(k=2)")
    expect.close(student.top_k(labels, scores, 3), 1.0, "top_k(k=3)")


@pytest.mark.task("metrics", weight=2)
def test_the_mean_explains_nothing(student):
    """r2 is 1 without errors, 0 for the mean, and below 0 for something worse."""
    y = np.array([1.0, 2, 3])

    expect.close(student.r2(y, y.copy()), 1.0, "r2 without errors")
    expect.close(student.r2(y, np.array([2.0, 2, 2])), 0.0, "r2 of the mean")
    expect.close(student.r2(y, np.array([3.0, 2, 1])), -3.0, "r2 of the opposite")
    with expect.refused(ValueError, "r2 of shapes that would broadcast"):
        student.r2(y, np.array([[1.0], [2], [3]]))


# ------------------------------------------------------------------------------------------------------------
# 8.3  Early stopping
# ------------------------------------------------------------------------------------------------------------


@probe
def watched_training(student, values, options, is_model=False):
    """Give the values to an EarlyStopping; the only weight of the model is the number of the epoch."""
    stopper = student.EarlyStopping(**options)
    model = nn.Linear(1, 1)
    weight = model.weight
    said = []
    for epoch, value in enumerate(values):
        with torch.no_grad():
            weight.fill_(float(epoch))
        said.append(stopper.step(value, model) if is_model else stopper.step(value))
        if said[-1]:
            break
    return said, stopper.best, stopper.best_epoch, stopper.stopped, float(weight.detach()), model.weight is weight


@pytest.mark.task("early_stopping", weight=3)
def test_two_bad_epochs_in_a_row(student):
    """With patience 2 it stops in the second epoch in a row that is not better than the best one."""
    said, best, best_epoch, stopped, *_ = watched_training(
        student, [0.9, 0.7, 0.8, 0.6, 0.65, 0.62, 0.1], {"patience": 2}
    )

    expect.equal(said, [False, False, False, False, False, True], "EarlyStopping.step in each epoch")
    expect.close(best, 0.6, "EarlyStopping.best")
    expect.equal(best_epoch, 3, "EarlyStopping.best_epoch")
    expect.equal(stopped, True, "EarlyStopping.stopped")


@pytest.mark.task("early_stopping", weight=3)
def test_a_little_better_is_not_better(student):
    """With min_delta a value must be better than the best by more than that; in mode max larger is better."""
    said, best, best_epoch, *_ = watched_training(
        student, [0.5, 0.55, 0.75, 0.8, 0.78, 0.9], {"patience": 2, "min_delta": 0.1, "mode": "max"}
    )

    expect.equal(said, [False] * 4 + [True], "EarlyStopping(mode='max', min_delta=0.1).step in each epoch")
    expect.close(best, 0.75, "EarlyStopping.best")
    expect.equal(best_epoch, 2, "EarlyStopping.best_epoch")


@pytest.mark.task("early_stopping", weight=4)
@pytest.mark.parametrize("restores", [True, False])
def test_the_best_weights_come_back(student, restores):
    """At the stop the model gets the weights of the best epoch: a copy, since the weights themselves move on."""
    *_, weight, is_same = watched_training(
        student, [3.0, 1.0, 2.0, 2.5], {"patience": 2, "restore_best": restores}, is_model=True
    )

    want = 1.0 if restores else 3.0
    expect.close(weight, want, "EarlyStopping: the weight after the stop", hint="it is the number of its epoch here")
    expect.is_true(is_same, "EarlyStopping: the model has other parameter objects, which its optimiser does not know.")


# ------------------------------------------------------------------------------------------------------------
# 8.4  Learning rates
# ------------------------------------------------------------------------------------------------------------


def _rates(schedule, steps, *args):
    return np.array([float(schedule(args[0], step, *args[1:])) for step in steps])


@pytest.mark.task("schedules", weight=2)
def test_a_rate_that_halves(student):
    """Three steps with 8, three with 4, and so on, each computed from the first rate."""
    expect.close(_rates(student.step_lr, range(7), 8.0, 3, 0.5), np.array([8.0, 8, 8, 4, 4, 4, 2]), "step_lr")


@pytest.mark.task("schedules", weight=2)
def test_half_a_wave(student):
    """From 3 to 1: the ends are reached exactly, the middle is the mean, and the end is kept."""
    want = np.array([3.0, 2 + math.sqrt(0.5), 2, 2 - math.sqrt(0.5), 1, 1])

    expect.close(_rates(student.cosine_lr, (0, 1, 2, 3, 4, 9), 3.0, 4, 1.0), want, "cosine_lr")


@pytest.mark.task("schedules", weight=2)
def test_the_first_step_of_a_warm_up_is_not_lost(student):
    """A quarter, a half, three quarters, all; then half a wave down."""
    want = np.array([1.0, 2, 3, 4, 4, 2, 0])

    expect.close(_rates(student.warmup_cosine, (0, 1, 2, 3, 4, 6, 8), 4.0, 4, 8), want, "warmup_cosine")


@pytest.mark.task("schedules", weight=2)
def test_up_and_down_again(student):
    """Of twenty steps, the peak is at step 9: half of twenty, minus 1."""
    want = np.array([0.1, 1.0, 0.001, 0.001])

    expect.close(_rates(student.one_cycle, (0, 9, 19, 25), 1.0, 20, 0.5, 10, 100), want, "one_cycle")


@probe
def tried_rates(student):
    """A range test of a model with one weight, whose loss is w ** 2."""
    model = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        model.weight.fill_(4.0)
    batch = torch.ones(1, 1), torch.zeros(1, 1)
    rates, losses, suggestion = student.lr_range_test(model, [batch], F.mse_loss, 0.01, 1.0, 3)
    return list(map(float, rates)), list(map(float, losses)), float(suggestion), float(model.weight)


@pytest.mark.task("schedules", weight=3)
def test_each_step_has_a_larger_rate(student):
    """Each step multiplies the rate by ten; a step takes 2 * rate of the weight away, and the loss is its square."""
    rates, losses, suggestion, weight = tried_rates(student)

    expect.close(np.array(rates), np.array([0.01, 0.1, 1.0]), "lr_range_test (rates)")
    first, second = 16.0, (4 * 0.98) ** 2
    expect.close(
        np.array(losses), np.array([first, second, (4 * 0.98 * 0.8) ** 2]), "lr_range_test (losses)", rtol=1e-5
    )
    expect.between(suggestion, 0.01, 1.0, "lr_range_test (suggestion)")
    expect.close(weight, 4.0, "lr_range_test: the weight afterwards", hint="the model must be as it was")


# ------------------------------------------------------------------------------------------------------------
# 8.5  Hyper-parameter search
# ------------------------------------------------------------------------------------------------------------


@probe
def drawn(student, n, seed):
    """Many draws from one generator."""
    rng = np.random.default_rng(seed)
    return [float(student.log_uniform(1e-4, 1.0, rng)) for _ in range(n)]


@pytest.mark.task("search", weight=2)
def test_half_of_the_draws_are_below_the_middle_of_the_exponents(student, seed):
    """Between 0.0001 and 1 the middle exponent is that of 0.01: half of the draws are below it."""
    draws = np.array(drawn(student, 400, seed))

    expect.is_true(bool((draws >= 1e-4).all() and (draws <= 1).all()), "log_uniform: a draw is out of its range.")
    # 400 draws: the share has a standard deviation of 0.025
    expect.between((draws < 0.01).mean(), 0.36, 0.64, "log_uniform: share of draws below the middle exponent")


SPACE = {
    "lr": ("log_uniform", 1e-4, 1.0),
    "layers": ("int", 1, 3),
    "batch": ("choice", [16, 32]),
    "optimizer": ("choice", [{"name": "sgd", "momentum": ("uniform", 0.0, 0.9)}, {"name": "adam"}]),
    "model": {"width": ("int", 8, 8), "act": "relu"},
}


@pytest.mark.task("search", weight=3)
def test_a_space_is_a_tree(student, rng):
    """Each rule is drawn, a constant stays, and an option that was not chosen leaves no key."""
    configs = [student.sample(SPACE, rng) for _ in range(40)]

    for config in configs:
        expect.is_true(isinstance(config, dict), "sample: it returns no dict.")
        expect.equal(sorted(config), sorted(SPACE), "sample: keys")
        expect.is_true(config["layers"] in (1, 2, 3) and config["batch"] in (16, 32), "sample: a value is no option.")
        expect.equal(config["model"], {"width": 8, "act": "relu"}, "sample: a nested space")
        chosen = config["optimizer"]
        expect.is_true(isinstance(chosen, dict) and "name" in chosen, "sample: an option that is a dict is not drawn.")
        if chosen["name"] == "sgd":
            expect.equal(sorted(chosen), ["momentum", "name"], "sample: keys of the chosen option")
            expect.between(chosen["momentum"], 0.0, 0.9, "sample: momentum")
        else:
            expect.equal(chosen, {"name": "adam"}, "sample: the other option")


@pytest.mark.task("search", weight=2)
def test_the_best_of_twenty(student):
    """Each trial is kept, the best of them is returned, and the same seed gives the same search."""
    runs = []
    for _ in range(2):
        seeds = []

        def objective(config, seed, seeds=seeds):
            seeds.append(seed)
            return -abs(config["x"] - 0.3)

        found = student.random_search({"x": ("uniform", 0.0, 1.0)}, objective, 20, np.random.default_rng(5))
        runs.append((found["config"], found["value"], [tuple(trial) for trial in found["trials"]], seeds))
    config, value, trials, seeds = runs[0]

    expect.equal(len(trials), 20, "random_search: number of trials")
    expect.is_true(len(set(seeds)) == 20, "random_search: two trials have the same seed.")
    expect.close(value, max(own for _, own in trials), "random_search: the best value")
    expect.close(-abs(config["x"] - 0.3), value, "random_search: the value of the best configuration")
    expect.is_true(runs[0] == runs[1], "random_search: the same seed gives another search.")


@pytest.mark.task("search", weight=2)
def test_the_guard_counts(student):
    """A reading gives the share of right labels; the second one is refused, and does not ask for predictions."""
    x, y = np.array([[1.0], [2.0], [3.0], [4.0]]), np.array([0, 1, 0, 1])
    asked = []

    def predict(rows):
        asked.append(len(rows))
        return np.array([0, 1, 1, 1])

    guard = student.GuardedTestSet(x, y)
    expect.equal(guard.reads, 0, "GuardedTestSet.reads before")
    expect.close(guard.evaluate(predict), 0.75, "GuardedTestSet.evaluate")
    expect.equal(guard.reads, 1, "GuardedTestSet.reads after")
    with expect.refused(RuntimeError, "GuardedTestSet: a second reading"):
        guard.evaluate(predict)
    expect.equal(asked, [4], "GuardedTestSet: calls of predict")


@probe
def tuned(student, x, y, n, seed):
    """Tune a network that always gives one class, and note the order of fits and readings of the test set."""
    notes = []

    class Guard:
        def evaluate(self, predict):
            notes.append("test")
            return float((np.asarray(predict(np.zeros((4, 1)))) == 1).mean())

    def fit(config, seed):
        notes.append("fit")
        return lambda rows: np.full(len(rows), config["says"])

    space = {"says": ("choice", [0, 1, 2])}
    found = student.tune(space, fit, (x, y), Guard(), n, np.random.default_rng(seed))
    return notes, found["config"], float(found["val"]), float(found["test"])


@pytest.mark.task("search", weight=3)
def test_the_test_set_is_read_once_at_the_end(student):
    """Twelve fits, then one reading: the validation set chooses the class 1, which most of its rows have."""
    notes, config, val, test = tuned(student, np.zeros((5, 1)), np.array([1, 1, 1, 0, 2]), 12, 3)

    expect.equal(notes, ["fit"] * 12 + ["test"], "tune: order of fits and readings of the test set")
    expect.equal(config, {"says": 1}, "tune: the best configuration")
    expect.close(val, 3 / 5, "tune: share on the validation set")
    expect.close(test, 1.0, "tune: share on the test set")


# ------------------------------------------------------------------------------------------------------------
# 8.6  Diagnostics
# ------------------------------------------------------------------------------------------------------------


@probe
def examined(student, name, kind, seed):
    """Apply a diagnosis to a network of this kind, and say whether the network stayed as it was."""
    torch.manual_seed(seed)
    layers = [nn.Linear(6, 20), nn.ReLU(), nn.Linear(20, 20), nn.ReLU(), nn.Linear(20, 3)]
    if kind == "softmax":
        layers.append(nn.Softmax(dim=1))
    model = nn.Sequential(*layers)
    x, y = torch.randn(16, 6), torch.arange(16) % 3
    with torch.no_grad():
        if kind == "confident":
            model[4].weight.mul_(100)
        if kind == "dead":
            model[0].bias[:5] = -100.0
        if kind == "vanishing":
            model[2].weight.mul_(1e-3)
            model[4].weight.mul_(1e-3)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    found = getattr(student, name)(model, x) if name == "dead_relu_fraction" else getattr(student, name)(model, x, y)
    is_same = all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    return found, is_same and model.training


def _found(student, name, kind):
    found, is_same = examined(student, name, kind, 0)
    expect.is_true(is_same, f"{name}: the model is not as it was before (parameters and mode).")
    return found


@pytest.mark.task("diagnostics", weight=2)
def test_a_new_network_should_know_nothing(student):
    """Three classes: the loss should be about log 3; a network that is sure of itself before training is not ok."""
    loss, expected, is_ok = _found(student, "check_initial_loss", "healthy")
    *_, is_confident_ok = _found(student, "check_initial_loss", "confident")

    expect.close(expected, math.log(3), "check_initial_loss (expected)")
    expect.between(loss, 0.8, 1.4, "check_initial_loss (loss)")
    expect.equal(bool(is_ok), True, "check_initial_loss (is_ok) of a healthy network")
    expect.equal(bool(is_confident_ok), False, "check_initial_loss (is_ok) of a network with huge scores")


@pytest.mark.task("diagnostics", weight=2)
def test_sixteen_rows_by_heart(student):
    """A healthy network learns one batch by heart; one with a softmax in front of the loss cannot."""
    losses, is_ok = _found(student, "overfit_one_batch", "healthy")
    _, is_softmax_ok = _found(student, "overfit_one_batch", "softmax")

    expect.equal(len(losses), 200, "overfit_one_batch: number of losses")
    expect.between(losses[0], 0.8, 1.4, "overfit_one_batch: the first loss")
    expect.equal(bool(is_ok), True, "overfit_one_batch (is_ok) of a healthy network")
    expect.equal(bool(is_softmax_ok), False, "overfit_one_batch (is_ok) with a softmax in the network")


@pytest.mark.task("diagnostics", weight=2)
def test_five_units_of_twenty_say_nothing(student):
    """Five units of the first layer have a bias of -100, so they are 0 for every row."""
    found = _found(student, "dead_relu_fraction", "dead")

    expect.equal(sorted(found), ["1", "3"], "dead_relu_fraction: names of the layers")
    expect.close(found["1"], 5 / 20, "dead_relu_fraction of the first ReLU", rtol=1e-5)
    expect.close(found["3"], 0.0, "dead_relu_fraction of the second ReLU", atol=1e-6)


@pytest.mark.task("diagnostics", weight=2)
def test_a_gradient_that_does_not_arrive(student):
    """Small weights at the end leave little of the gradient for the first layer."""
    norms, label = _found(student, "gradient_flow", "healthy")
    _, faulty = _found(student, "gradient_flow", "vanishing")

    names = ["0.bias", "0.weight", "2.bias", "2.weight", "4.bias", "4.weight"]
    expect.equal(sorted(norms), names, "gradient_flow: names of the parameters")
    expect.equal(label, "healthy", "gradient_flow (label) of a healthy network")
    expect.equal(faulty, "vanishing", "gradient_flow (label) of a network with small weights")


@probe
def one_update(student, lr):
    """One step of a layer with known weights and gradients."""
    model = nn.Linear(2, 2)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[3.0, 0.0], [0.0, 4.0]]))
        model.bias.copy_(torch.tensor([0.0, 0.0]))
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    ratios, label = student.update_ratio(model, optimizer, torch.tensor([[0.0, 0.0], [2.0, 1.5]]), torch.tensor([0, 0]))
    return {name: float(ratio) for name, ratio in ratios.items()}, label, model.weight.detach()


@pytest.mark.task("diagnostics", weight=2)
def test_an_update_beside_its_weight(student):
    """The second row has two equal scores, so its gradient is half a row, divided by two rows: 0.5 and 0.375."""
    ratios, label, weight = one_update(student, 0.02)
    _, small, _ = one_update(student, 0.00002)

    expect.equal(sorted(ratios), ["weight"], "update_ratio: names of the parameters")
    size = math.sqrt(2 * (0.5**2 + 0.375**2))
    expect.close(ratios["weight"], 0.02 * size / 5, "update_ratio", rtol=1e-3)
    expect.equal((label, small), ("healthy", "too small"), "update_ratio (labels)")
    expect.close(weight[0, 0].item(), 3.01, "update_ratio: a weight after the step", rtol=1e-5)


# ------------------------------------------------------------------------------------------------------------
# 8.7  Bug hunt
# ------------------------------------------------------------------------------------------------------------


@probe
def fixed(student, name, weights, args, options):
    """Call a fix with small networks whose weights are given; return its result and the weights afterwards."""
    models = []
    for weight, bias in weights:
        model = nn.Linear(weight.shape[1], weight.shape[0])
        with torch.no_grad():
            model.weight.copy_(weight)
            model.bias.copy_(bias)
        models.append(model)
    found = getattr(student, name)(*models, *args, **options)
    return found, [model.weight.detach() for model in models]


ZERO_2 = (torch.zeros(2, 1), torch.zeros(2))


@pytest.mark.task("bug_hunt", weight=1)
def test_fix_1_takes_raw_scores(student):
    """At zero weights the first loss is log 2, and a step of 1 moves the weights by half of the input."""
    losses, (weight,) = fixed(student, "fix_1", [ZERO_2], (torch.ones(1, 1), torch.tensor([1]), 2, 1.0), {})

    expect.close(losses[0], math.log(2), "fix_1: the first loss", rtol=1e-5)
    expect.close(losses[1], math.log(1 + math.exp(-2)), "fix_1: the second loss", rtol=1e-5)
    expect.is_true(bool(weight[1] > 0), "fix_1: the model that was given did not learn.")


@pytest.mark.task("bug_hunt", weight=1)
def test_fix_2_keeps_rows_with_their_labels(student):
    """The label of each row is its number, before and after the shuffle."""
    x, y = np.arange(7.0).reshape(7, 1), np.arange(7)

    batches = student.fix_2(x, y, 3, np.random.default_rng(1))

    expect.equal([len(labels) for _, labels in batches], [3, 3, 1], "fix_2: rows of the batches")
    for rows, labels in batches:
        expect.close(rows[:, 0], labels.astype(float), "fix_2: rows, beside their labels")
    expect.equal(sorted(np.concatenate([labels for _, labels in batches]).tolist()), list(range(7)), "fix_2: all rows")


@pytest.mark.task("bug_hunt", weight=1)
def test_fix_3_forgets_the_last_gradient(student):
    """The second batch is zero, so its gradient in the weight is zero: the weight has the change of one step."""
    batches = [(torch.ones(1, 1), torch.tensor([1])), (torch.zeros(1, 1), torch.tensor([0]))]

    _, (weight,) = fixed(student, "fix_3", [ZERO_2], (batches, 1.0), {})

    expect.close(weight, torch.tensor([[-0.5], [0.5]]), "fix_3: the weight after two batches", rtol=1e-5)


@probe
def evaluated(student):
    """Evaluate a network with a dropout that drops everything in train mode."""
    model = nn.Sequential(nn.Dropout(1.0), nn.Linear(1, 2))
    with torch.no_grad():
        model[1].weight.copy_(torch.tensor([[-1.0], [1.0]]))
        model[1].bias.zero_()
    x, y = torch.tensor([[1.0], [-1.0], [2.0], [-2.0]]), torch.tensor([1, 0, 1, 1])
    return float(student.fix_4(model.train(), x, y)), model.training and model[0].training


@pytest.mark.task("bug_hunt", weight=1)
def test_fix_4_evaluates_in_eval_mode(student):
    """Three of four rows are right if nothing is dropped; afterwards the network is in train mode again."""
    accuracy, is_training = evaluated(student)

    expect.close(accuracy, 0.75, "fix_4: accuracy", rtol=1e-6)
    expect.is_true(is_training, "fix_4: the network is not in the mode in which it was.")


@pytest.mark.task("bug_hunt", weight=1)
def test_fix_5_leaves_validation_rows_alone(student):
    """An augmented row is negative: all training rows are, and no validation row is."""
    x = np.arange(1.0, 9)[:, None]

    x_train, y_train, x_val, y_val = student.fix_5(
        x, np.arange(1, 9), 5, lambda rows, rng: -rows, np.random.default_rng(0)
    )

    expect.equal((len(x_train), len(x_val)), (5, 3), "fix_5: rows of both parts")
    expect.close(x_train[:, 0], -y_train.astype(float), "fix_5: training rows, beside their labels")
    expect.close(x_val[:, 0], y_val.astype(float), "fix_5: validation rows, beside their labels")


@pytest.mark.task("bug_hunt", weight=1)
def test_fix_6_trains_the_encoder(student):
    """Both the encoder and the head change."""
    encoder = torch.tensor([[2.0]]), torch.zeros(1)
    head = torch.tensor([[1.0], [-1.0]]), torch.zeros(2)

    loss, (first, second) = fixed(student, "fix_6", [encoder, head], (torch.ones(1, 1), torch.tensor([1]), 0.5), {})

    expect.close(loss, math.log(1 + math.exp(4)), "fix_6: the loss", rtol=1e-5)
    expect.is_true(not torch.equal(second, head[0]), "fix_6: the head did not change.")
    expect.is_true(not torch.equal(first, encoder[0]), "fix_6: the encoder did not change: where does its graph end?")


@pytest.mark.task("bug_hunt", weight=1)
def test_fix_7_compares_each_row_with_its_target(student):
    """The network says 1 and 3, the targets are 1 and 3: there is no error."""
    line = torch.tensor([[2.0]]), torch.tensor([-1.0])
    x, y = torch.tensor([[1.0], [2.0]]), torch.tensor([1.0, 3.0])

    losses, _ = fixed(student, "fix_7", [line], (x, y, 1, 0.1), {})

    expect.close(losses[0], 0.0, "fix_7: the first loss", hint="look at the shapes of what is subtracted")


@pytest.mark.task("bug_hunt", weight=1)
def test_fix_8_has_one_rate_for_an_epoch(student):
    """Three epochs of four batches: the rates are 0.4, 0.2 and 0.1."""
    batches = [(torch.ones(1, 1), torch.tensor([1]))] * 4

    rates, _ = fixed(student, "fix_8", [ZERO_2], (batches, 3, 0.4, 0.5), {})

    expect.close(np.array(rates), np.array([0.4, 0.2, 0.1]), "fix_8: rates", rtol=1e-6)


CURVES = {
    "diverged": ([1.0, 0.9, 0.8, 1.0, 2.0, 4.0, 9.0, 20.0, 90.0, math.nan], [1.0] * 10),
    "suspicious": ([2.0, 1.5, 1.2, 1.0, 0.9, 0.85, 0.82, 0.8, 0.8, 0.8], [0.3] * 10),
    "not learning": ([1.1] * 10, [1.1] * 10),
    "unstable": ([2.0, 0.9, 1.9, 0.8, 1.7, 0.6, 1.6, 0.7, 1.8, 0.7], [1.0] * 10),
    "overfitting": ([2.0, 1.5, 1.0, 0.7, 0.5, 0.3, 0.2, 0.1, 0.05, 0.02], [2.0, 1.6, 1.2, 1, 1, 1.2, 1.4, 1.6, 1.8, 2]),
    "unfinished": ([2.0 * 0.8**t for t in range(10)], [2.2 * 0.8**t for t in range(10)]),
    "healthy": ([2.0, 1.2, 0.8, 0.6, 0.5, 0.4, 0.4, 0.4, 0.4, 0.4], [2.0, 1.3, 0.9, 0.7, 0.6, 0.5, 0.5, 0.5, 0.5, 0.5]),
}  # fmt: skip


@pytest.mark.task("bug_hunt", weight=0.5)
@pytest.mark.parametrize(
    "label", ["diverged", "suspicious", "not learning", "unstable", "overfitting", "unfinished", "healthy"]
)
def test_a_curve_has_a_name(student, label):
    """Draw the two curves of the test on paper, and go through the rules from the top."""
    train, val = CURVES[label]

    expect.equal(student.diagnose({"train": train, "val": val}), label, "diagnose")


# ------------------------------------------------------------------------------------------------------------
# 8.8  Deployment
# ------------------------------------------------------------------------------------------------------------


@probe
def exported(student):
    """Export a network whose class nobody else knows, and load it."""
    import os
    import tempfile

    class Doubled(nn.Module):
        def __init__(self):
            super().__init__()
            self.drop = nn.Dropout(0.5)
            self.line = nn.Linear(3, 2)

        def forward(self, x):
            return 2 * self.line(self.drop(x))

    torch.manual_seed(0)
    model, x = Doubled(), torch.randn(5, 3)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.pt2")
        student.export_model(model, x[:4], path)
        is_training = model.training and model.drop.training
        loaded = torch.export.load(path).module()
    outs = []
    with torch.no_grad():
        for rows in (x, x[:1]):
            try:
                outs.append(loaded(rows))
            except Exception:  # a file for one number of rows alone
                outs.append(None)
        return *outs, model.eval()(x), is_training


@pytest.mark.task("deployment", weight=4)
def test_an_export_needs_no_class(student):
    """The file alone computes what the network computes in eval mode, for five rows and for one."""
    five, one, want, is_training = exported(student)

    for out in (five, one):
        expect.is_true(out is not None, "export_model: the file refuses another number of rows than the example had.")
    expect.close(five, want, "export_model: scores of five rows", rtol=1e-5, atol=1e-6)
    expect.close(one, want[:1], "export_model: scores of one row", rtol=1e-5, atol=1e-6)
    expect.is_true(is_training, "export_model: the model is not in the mode in which it was.")


@probe
def predictor(student, images, mean, std, high):
    """Predict with a network that returns the mean of each of two channels."""

    class Means(nn.Module):
        def forward(self, x):
            return x.mean(dim=(2, 3))

    return student.InferenceModel(Means(), (2, 1, 2), mean=mean, std=std, high=high).predict(images)


@pytest.mark.task("deployment", weight=3)
def test_the_preprocessing_belongs_to_the_model(student):
    """The scores are (0.5 - 0.5) / 0.25 = 0 for the first channel and (1 - 0.5) / 0.5 = 1 for the second."""
    images = np.array([[[[8, 8]], [[16, 16]]]], dtype=np.uint8)
    before = images.copy()

    labels, probabilities = predictor(student, images, [0.5, 0.5], [0.25, 0.5], 16)

    expect.close(labels, np.array([1]), "InferenceModel.predict (labels)", dtype=np.int64)
    share = math.e / (1 + math.e)
    want = np.array([[1 - share, share]])
    expect.close(probabilities, want, "InferenceModel.predict (probabilities)", rtol=1e-5, dtype=np.float32)
    expect.unchanged(images, before, "InferenceModel.predict: images")


@pytest.mark.task("deployment", weight=2)
@pytest.mark.parametrize(
    ("images", "error"),
    [
        (np.zeros((1, 2, 1, 2)), TypeError),
        (np.zeros((2, 1, 2), dtype=np.uint8), ValueError),
        (np.full((1, 2, 1, 2), 17, dtype=np.uint8), ValueError),
    ],
    ids=["floats", "no batch axis", "a pixel that is too large"],
)
def test_what_is_no_image_is_refused(student, images, error):
    """Another dtype is a TypeError; another shape or a pixel above `high` is a ValueError."""
    with expect.refused(error, "InferenceModel.predict"):
        predictor(student, images, 0.5, 0.5, 16)


@pytest.mark.task("deployment", weight=2)
def test_the_largest_weight_becomes_127(student):
    """Each row has its own scale; a row of zeros has the scale 1."""
    weight = torch.tensor([[1.0, -0.5], [0.0, 0.0], [-2.54, 0.127]])

    q, scale = student.quantise_weight(weight)

    expect.close(scale, torch.tensor([1 / 127, 1.0, 0.02]), "quantise_weight (scale)", rtol=1e-5)
    want = torch.tensor([[127, -64], [0, 0], [-127, 6]], dtype=torch.int8)
    expect.dtype(q, torch.int8, "quantise_weight (q)")
    expect.close(q.int()[[0, 1, 2], [0, 0, 1]], want.int()[[0, 1, 2], [0, 0, 1]], "quantise_weight (q)")


@probe
def small_copy(student, x):
    """Quantise a network with one hidden layer; return outputs and the dtypes of both matrices."""
    torch.manual_seed(2)
    model = nn.Sequential(nn.Linear(4, 30), nn.ReLU(), nn.Linear(30, 3))
    small = student.quantise(model)
    kinds = [str(value.dtype) for value in small.state_dict().values() if value.dim() == 2 and value.shape[1] > 1]
    with torch.no_grad():
        return small(x), model(x), kinds, isinstance(model[0], nn.Linear)


@pytest.mark.task("deployment", weight=3)
def test_a_quantised_network_computes_almost_the_same(student, rng):
    """The matrices are int8, the outputs are close to those of the model, and the model itself stays as it is."""
    x = torch.from_numpy(rng.normal(size=(6, 4))).float()

    out, want, kinds, is_there = small_copy(student, x)

    expect.is_true(kinds == ["torch.int8", "torch.int8"], "quantise: the matrices in the state_dict are not int8.")
    expect.close(out, want, "quantise: outputs", rtol=0.05, atol=0.05)
    expect.is_true(is_there, "quantise: the model itself was changed.")


@pytest.mark.task("deployment", weight=2)
def test_confidence_beside_accuracy(student):
    """Two rows with 0.9, both right, miss by 0.1; two rows with 0.7, one right, miss by 0.2: the mean is 0.15."""
    probabilities = np.array([[0.9, 0.1], [0.1, 0.9], [0.7, 0.3], [0.7, 0.3]])

    expect.close(student.ece(probabilities, np.array([0, 1, 0, 1]), bins=5), 0.15, "ece")


@pytest.mark.task("deployment", weight=2)
def test_the_temperature_of_ten_rows(student):
    """Each row has the scores 4 and 0, and eight of ten are right: 4 / T should be log(0.8 / 0.2) = log 4."""
    logits = np.tile([4.0, 0.0], (10, 1))

    found = student.fit_temperature(logits, np.array([0] * 8 + [1] * 2))

    expect.close(found, 4 / math.log(4), "fit_temperature", rtol=0.01)
