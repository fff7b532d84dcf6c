"""Hidden tests of the projects: futures, labels and formulas stay with the judge."""

import os
import tempfile
from datetime import date

import drawn
import numpy as np
import pytest
import stops
import torch
from torch import nn

from autograder import expect, probe
from dlcourse import spies

# Over four draws of data and seed the solution reaches (mean, standard deviation): error as a multiple of
# seasonal_naive's 0.76 (0.01), of linear_ar's 0.29 (0.01), accuracy on unseen rows 0.997 (0.003).
ERROR_OF_SEASONS, ERROR_OF_LINES, ACCURACY = 0.92, 0.6, 0.90
ALL_STEPS = ("split", "prepare", "train", "evaluate", "present")


def _windows(series, window, steps):
    """Brute force, one window after the other."""
    starts = range(len(series) - window - steps + 1)
    X = np.array([series[i : i + window] for i in starts])
    return X, np.array([series[i + window : i + window + steps] for i in starts])


# ------------------------------------------------------------------------------------------------------------
# P5.1  Windows, and three baselines
# ------------------------------------------------------------------------------------------------------------


@pytest.mark.task("windows", weight=2)
def test_each_window_is_there_and_the_last_one_too(student, rng):
    """make_windows: a pair for every place at which window and steps are inside the series, the last one included."""
    for length, window, steps in ((23, 5, 3), (9, 4, 1), (7, 3, 4), (12, 1, 6)):
        series = rng.normal(size=length)
        X, Y = student.make_windows(series, window, steps)

        want = _windows(series, window, steps)
        expect.close(X, want[0], "make_windows: X", dtype=np.float64)
        expect.close(Y, want[1], "make_windows: Y", dtype=np.float64)
    X, Y = student.make_windows(series, 3)
    expect.close(Y, _windows(series, 3, 1)[1], "make_windows without steps: Y")


@probe
def windows_in_memory(student, series):
    X, Y = student.make_windows(series, 3, 2)
    first = X.copy(), Y.copy()
    series += 1
    kept = bool((first[0] == X).all() and (first[1] == Y).all())
    before = series.copy()
    X[:], Y[:] = 7, 8
    return kept and bool((X == 7).all() and (Y == 8).all()), bool((series == before).all())


@pytest.mark.task("windows")
def test_windows_are_new_memory(student, rng):
    """make_windows: X and Y are in new memory, so changing one place changes no other."""
    kept, series_kept = windows_in_memory(student, rng.normal(size=11))

    expect.is_true(kept and series_kept, "make_windows: its windows share memory with the series, or with each other.")


@pytest.mark.task("windows", weight=2)
def test_what_is_too_short_is_refused(student, rng):
    """A series that is too short for one pair or one season, and a split that leaves nothing, are a ValueError."""
    series = rng.normal(size=8)
    with expect.refused(ValueError, "make_windows of a series that is too short"):
        student.make_windows(series, 6, 3)
    with expect.refused(ValueError, "seasonal_naive with a season longer than the history"):
        student.seasonal_naive(series[None], 2, 9)
    for case in ((0, 2, 0), (2, 0, 0), (4, 4, 0), (2, 3, -1), (2, 3, 4), (-1, 2, 0)):
        with expect.refused(ValueError, "time_split with a number out of range"):
            student.time_split(series, *case)


@pytest.mark.task("windows", weight=3)
def test_parts_are_in_the_order_of_time(student, rng):
    """time_split: the parts follow each other without a gap, and a context reaches back in both of the later ones."""
    for length, n_val, n_test in ((20, 4, 7), (31, 9, 2), (3, 1, 1)):
        series = rng.normal(size=length)
        n_train = length - n_val - n_test
        for context in {0, 1, n_train}:
            parts = student.time_split(series, n_val, n_test, context)

            want = series[:n_train], series[n_train - context : n_train + n_val], series[n_train + n_val - context :]
            expect.equal(len(parts), 3, "time_split: number of parts")
            for got, part, name in zip(parts, want, ("train", "val", "test"), strict=True):
                expect.close(got, part, f"time_split: {name}")


@pytest.mark.task("windows", weight=3)
def test_seasons_come_again_in_step(student, rng):
    """seasonal_naive: a step has the value of one season before, also if the season comes again several times."""
    for length, steps, season in ((10, 9, 4), (6, 2, 6), (7, 5, 5), (5, 11, 3)):
        history = rng.normal(size=(3, length))
        before = history.copy()

        values = student.seasonal_naive(history, steps, season)

        known = history.copy()
        for _ in range(steps):
            known = np.concatenate([known, known[:, -season : known.shape[1] - season + 1]], axis=1)
        expect.close(values, known[:, length:], "seasonal_naive")
        expect.unchanged(history, before, "seasonal_naive: history")


def _autoregression(train, history, steps, order):
    X, Y = _windows(train, order, 1)
    solution = np.linalg.lstsq(np.hstack([X, np.ones((len(X), 1))]), Y[:, 0], rcond=None)[0]
    known = [list(row) for row in history]
    for row in known:
        for _ in range(steps):
            row.append(float(np.dot(solution[:-1], row[-order:]) + solution[-1]))
    return np.array([row[-steps:] for row in known])


@pytest.mark.task("windows", weight=4)
def test_an_autoregression_is_least_squares(student, rng):
    """linear_ar: constant and weights by least squares over all places of train, and later steps are recursive."""
    for order, steps in ((3, 5), (1, 2), (4, 1)):
        train = 20 + np.cumsum(rng.normal(size=60)) * 0.3 + rng.normal(size=60)
        history = 20 + rng.normal(size=(4, order + 3))
        kept = train.copy(), history.copy()

        values = student.linear_ar(train, history, steps, order)

        want = _autoregression(train, history, steps, order)
        expect.close(values, want, "linear_ar", rtol=1e-6, atol=1e-6)
        alone = student.linear_ar(train, history[2:3, 3:], steps, order)
        expect.close(alone, want[2:3], "linear_ar of one row with only its last values", rtol=1e-6, atol=1e-6)
        expect.unchanged(train, kept[0], "linear_ar: train")
        expect.unchanged(history, kept[1], "linear_ar: history")


# ------------------------------------------------------------------------------------------------------------
# P5.2  A network that forecasts
# ------------------------------------------------------------------------------------------------------------


@probe
def looks_of_a_forecaster(student, x, other, mean, std):
    torch.manual_seed(2)
    model = student.Forecaster(7, 3).eval()
    with torch.no_grad():
        plain = model(x)
        bend = float((model(x) + model(other) - 2 * model((x + other) / 2)).abs().max())
        alone = model(x[1:2])
        differs = float((plain - model(other)).abs().max())
        model.mean.fill_(mean)
        model.std.fill_(std)
        scaled = model(mean + std * x)
        mixed = []
        model.train()
        for batch in (x, torch.cat([x[:2], 3 * other[2:] + 5])):
            torch.manual_seed(4)
            mixed.append(model(batch)[:2])
    names = sorted(name for name, _ in model.named_buffers())
    return plain, bend, alone, differs, scaled, [name for name in ("mean", "std") if name in names], mixed


@pytest.mark.task("forecasting", weight=3)
def test_a_forecaster_is_a_curve_in_any_units(student, rng):
    """Forecaster: it is not linear, each row is computed by itself, and its buffers mean and std undo each other."""
    x, other = (torch.from_numpy(rng.normal(size=(5, 7)).astype(np.float32)) for _ in range(2))
    mean, std = float(rng.uniform(2, 30)), float(rng.uniform(2, 9))

    plain, bend, alone, differs, scaled, buffers, mixed = looks_of_a_forecaster(student, x, other, mean, std)

    expect.equal(buffers, ["mean", "std"], "Forecaster: which of mean and std are buffers")
    expect.is_true(differs > 1e-4, "Forecaster: other windows get the same forecasts.")
    expect.is_true(bend > 1e-4, "Forecaster: it is linear.")
    expect.close(alone, plain[1:2], "Forecaster of one row", rtol=1e-4, atol=1e-5)
    said = "Forecaster in training mode, with other rows beside these two"
    expect.close(mixed[1], mixed[0], said, rtol=1e-4, atol=1e-3)
    expect.close(scaled, mean + std * plain, "Forecaster in other units", rtol=1e-4, atol=1e-3)


@probe
def a_watched_training(student, train, val, epochs, seed):
    """Train; note the windows of each training batch, the mode, what the model makes of val, and the parameters."""
    torch.manual_seed(3)
    model = student.Forecaster(4, 2).eval()
    batches, modes = [], []

    def look(module, inputs):
        if torch.is_grad_enabled():
            batches.append(inputs[0].detach().clone())
            modes.append(all(layer.training for layer in module.modules()))

    hook = model.register_forward_pre_hook(look)
    with spies.watched() as notes:
        errors = student.fit(model, train, val, epochs=epochs, seed=seed)
    hook.remove()
    X, Y = torch.tensor(val).unfold(0, 6, 1).float().split([4, 2], dim=1)
    with torch.no_grad():
        reached = float((model.eval()(X) - Y).abs().mean())
    weights = torch.cat([p.detach().flatten() for p in model.parameters()]).numpy()
    units = float(model.mean), float(model.std)
    given = [batch.numpy() for batch in batches]
    return [float(error) for error in errors], reached, weights, given, modes, any(notes.left_over), units


def _by_rows(rows):
    """Rows in the order of their entries."""
    return rows[np.lexsort(rows.T[::-1])]


@pytest.mark.task("forecasting", weight=4)
def test_each_epoch_uses_each_window_once(student, rng):
    """fit: in each epoch each window of train once, in a new random order, in training mode, gradients cleared."""
    train, val = 5 + rng.normal(size=104), 5 + rng.normal(size=30)
    kept = train.copy(), val.copy()

    _, _, _, given, modes, left_over, _ = a_watched_training(student, train, val, 3, 0)

    X, _ = _windows(train, 4, 2)
    expect.is_true(len(given) >= 6, "fit: with 99 windows there are batches of more than 64.")
    rows = np.concatenate(given)
    expect.shape(rows, (3 * len(X), 4), "fit(epochs=3): all windows that the model gets in training")
    epochs = rows.reshape(3, len(X), 4)
    for epoch in epochs:
        expect.close(_by_rows(epoch.astype(np.float64)), _by_rows(X), "fit: windows of one epoch, sorted", rtol=1e-5)
        expect.is_true(not np.allclose(epoch, X), "fit: an epoch uses the windows in the order of time.")
    expect.is_true(not np.array_equal(epochs[0], epochs[1]), "fit: two epochs have the same order.")
    expect.is_true(all(modes), "fit: in training a layer is not in training mode.")
    expect.is_true(not left_over, "fit: a backward pass began with the gradient of the last one.")
    expect.unchanged(train, kept[0], "fit: train")
    expect.unchanged(val, kept[1], "fit: val")


@pytest.mark.task("forecasting", weight=4)
def test_nothing_is_learned_from_later_values(student, rng):
    """fit: val decides which epoch is kept and nothing else, neither mean and std nor the parameters of an epoch."""
    train, val = 5 + rng.normal(size=60), 5 + rng.normal(size=76)
    val[-7:] += 20  # 71 windows; the last ones have other errors than the first 64
    other = 40 - 3 * val

    one = a_watched_training(student, train, val, 1, 0)
    two = a_watched_training(student, train, other, 1, 0)

    hint = "the mean and the standard deviation of train alone"
    expect.close(list(one[6]), [train.mean(), train.std()], "fit: mean and std", rtol=1e-5, lists=True, hint=hint)
    expect.close(two[2], one[2], "fit(epochs=1) with another val: parameters", rtol=0, atol=0)
    for errors, reached, *_ in (one, two):
        expect.close(
            errors[0], reached, "fit(epochs=1): mean absolute error on val, in the units of the series", rtol=1e-3
        )


@probe
def a_training_by_epochs(student, train, val, epochs, is_flat):
    """Train; note what the model says of each training batch, modes without gradients, and parameters of epochs."""

    class Watched(student.Forecaster):
        def forward(self, x):
            found = super().forward(x)
            if torch.is_grad_enabled():
                said.append(found.detach().clone())
            elif said:
                modes.append(any(layer.training for layer in self.modules()))
                states[len(said)] = torch.cat([p.detach().flatten() for p in self.parameters()])
                if is_flat:
                    return torch.full_like(found, 7.0)
            return found

    said, modes, states = [], [], {}
    torch.manual_seed(3)
    model = Watched(4, 2)
    errors = [float(error) for error in student.fit(model, train, val, epochs=epochs, seed=2)]
    kept = torch.cat([p.detach().flatten() for p in model.parameters()])
    first = [bool((state == kept).all()) for state in states.values()]
    return errors, [batch.numpy() for batch in said], any(modes), first


@pytest.mark.task("forecasting", weight=2)
def test_later_epochs_learn_nothing_from_val(student, rng):
    """fit: val changes no epoch, neither an early one nor a late one, and an epoch without progress ends nothing."""
    train = 30 + 6.0 * (-1) ** np.arange(40) + 0.3 * rng.normal(size=40)  # up and down
    slow = 30 + 6.0 * (-1) ** (np.arange(40) // 6) + 0.3 * rng.normal(size=40)

    errors, one, is_training, _ = a_training_by_epochs(student, train, slow, 25, False)
    _, other, *_ = a_training_by_epochs(student, train, train[:30].copy(), 25, False)

    expect.equal(len(errors), 25, "fit(epochs=25): number of errors")
    expect.equal(len(one), len(other), "fit(epochs=25) with another val: number of training batches")
    expect.close(np.concatenate(one), np.concatenate(other), "fit with another val: what it says in training", rtol=0)
    expect.is_true(not is_training, "fit: without gradients a layer is in training mode.")


@pytest.mark.task("forecasting")
def test_of_equal_epochs_the_first_is_kept(student, rng):
    """fit: if the errors of several epochs are equal, the first of these epochs is kept, and no epoch is left out."""
    errors, _, _, is_kept = a_training_by_epochs(student, 5 + rng.normal(size=40), np.full(12, 5.0), 60, True)

    expect.equal(len(errors), 60, "fit(epochs=60) where no epoch is better than the first one: number of errors")
    expect.close(errors, [2.0] * 60, "fit of a model that always says 7, where val is 5: errors", lists=True)
    expect.equal(is_kept.index(True) if True in is_kept else None, 0, "fit: which of equal epochs is kept, from 0")


@pytest.mark.task("forecasting", weight=3)
def test_the_best_epoch_is_kept(student, rng):
    """fit: where learning makes val worse, the model ends with the parameters of an early epoch, not of the last."""
    train = 30 + 6.0 * (-1) ** np.arange(150) + 0.3 * rng.normal(size=150)  # up and down
    slow = 30 + 6.0 * (-1) ** (np.arange(60) // 6) + 0.3 * rng.normal(size=60)  # six times up, six times down

    errors, reached, *_ = a_watched_training(student, train, slow, 12, 1)

    expect.equal(len(errors), 12, "fit(epochs=12): number of errors")
    expect.close(reached, min(errors), "fit: mean absolute error on val afterwards", rtol=1e-3, hint="the best epoch's")


@pytest.mark.task("forecasting", weight=2)
def test_a_training_follows_from_its_seed(student, rng):
    """fit: the same seed gives the same parameters and errors, and another seed another order."""
    train, val = rng.normal(size=80), rng.normal(size=30)

    one = a_watched_training(student, train, val, 2, 5)
    draw_globally(student)
    same, other = (a_watched_training(student, train, val, 2, seed) for seed in (5, 6))

    expect.close(same[2], one[2], "fit: parameters of the same seed", rtol=0, atol=0)
    expect.close(same[0], one[0], "fit: errors of the same seed", rtol=0, atol=0, lists=True)
    expect.is_true(not np.array_equal(other[3][0], one[3][0]), "fit: two seeds give the same first batch.")


@probe
def draw_globally(student):
    np.random.seed(17)
    torch.manual_seed(17)
    torch.rand(3)


@pytest.mark.task("forecasting")
def test_a_constant_series_can_be_learned(student):
    """fit: if all values of train are equal, std is one, and nothing is infinite."""
    errors, _, weights, *_, units = a_watched_training(student, np.full(43, 0.1), np.full(20, 0.6), 2, 0)

    # the standard deviation of 43 times 0.1 is not 0 as it is computed, but 1e-17
    expect.close(list(units), [0.1, 1.0], "fit: mean and std of equal values", rtol=1e-6, lists=True)
    expect.finite(np.array(errors), "fit: errors")
    expect.finite(weights, "fit: parameters")


@probe
def used_for_forecasts(student, history, steps, weights, call):
    """Use a model with dropout and mixed modes, and note how it is left; `call` says for what."""

    class Net(nn.Module):
        window, steps = 3, 2

        def __init__(self):
            super().__init__()
            self.line = nn.Linear(3, 2)
            self.drop, self.calm = nn.Dropout(0.5), nn.Dropout(0.5)
            self.graph = []
            with torch.no_grad():
                self.line.weight.copy_(weights)
                self.line.bias.fill_(0.25)

        def forward(self, x):
            self.graph.append(torch.is_grad_enabled())
            return self.calm(self.drop(self.line(x)))

    torch.manual_seed(0)
    model = Net().train()
    model.calm.eval()
    if call == "forecast":
        found = student.forecast(model, history, steps)
    else:
        found = student.prediction_interval(model, *history)
    modes = model.training, model.drop.training, model.calm.training
    return found, modes, any(model.graph), len(model.graph)


def _recursive(history, steps, weights):
    known = history.astype(np.float64)
    while known.shape[1] < history.shape[1] + steps:
        known = np.hstack([known, known[:, -3:] @ weights.T + 0.25])
    return known[:, history.shape[1] : history.shape[1] + steps]


@pytest.mark.task("forecasting", weight=4)
def test_steps_are_direct_and_then_recursive(student, rng):
    """forecast: as many steps at a time as the model gives, in eval mode, and the rest is cut off."""
    weights = rng.uniform(-0.5, 0.5, size=(2, 3))
    history = rng.normal(size=(4, 6))
    kept = history.copy()
    tensor = torch.from_numpy(weights)

    for steps in (1, 2, 5, 8):
        found, modes, has_graph, _ = used_for_forecasts(student, history, steps, tensor, "forecast")

        want = _recursive(history, steps, weights)
        expect.close(found, want, "forecast", rtol=1e-4, atol=1e-5, dtype=np.float64)
        expect.equal(modes, (True, True, False), "forecast: modes of the layers afterwards")
        expect.is_true(not has_graph, "forecast: it computes gradients.")
    alone, *_ = used_for_forecasts(student, history[1:2, 3:], 4, tensor, "forecast")
    expect.close(alone, _recursive(history[1:2], 4, weights), "forecast of one row", rtol=1e-4, atol=1e-5)
    expect.unchanged(history, kept, "forecast: history")


@probe
def trained_and_asked(student, train, val, history, sizes, seed):
    """Train on one series; return forecasts, and intervals with the validation part for calibration."""
    torch.manual_seed(seed)
    model = student.Forecaster(*sizes)
    student.fit(model, train, val, seed=seed)
    return student.forecast(model, history, sizes[1]), student.prediction_interval(model, val, history)


def _asked(student, draw, sizes, n_val, n_future, seed):
    """Train and ask; return the future, what the baselines know, forecasts and intervals."""
    window, steps = sizes
    series = draw(500 + n_val + n_future, [seed, window])
    train, val, test = series[:500], series[500 - window : 500 + n_val], series[500 + n_val - window :]
    history, future = _windows(test, window, steps)
    return train, history, future, *trained_and_asked(student, train, val, history, sizes, seed % 1000)


@pytest.fixture(scope="module")
def seasonal(student, seed):
    # so long that the share of the future inside the intervals varies little: 0.907 on average, with a spread of 0.013
    return _asked(student, drawn.seasonal, (24, 6), 1500, 1500, seed)


@pytest.mark.task("forecasting", weight=3)
def test_seasons_are_forecast_better_than_by_the_last_one(seasonal):
    """fit with the defaults: on the future of a seasonal series the error is below that of seasonal_naive."""
    _, history, future, forecasts, _ = seasonal

    naive = history[:, 12:18]
    share = np.abs(forecasts - future).mean() / np.abs(naive - future).mean()
    expect.at_most(float(share), ERROR_OF_SEASONS, "fit: error on the future, as a multiple of seasonal_naive's")


@pytest.mark.task("forecasting", weight=3)
def test_a_curve_is_forecast_better_than_by_a_line(student, seed):
    """fit with the defaults: on the future of a population the error is far below that of linear_ar."""
    train, history, future, forecasts, _ = _asked(student, drawn.population, (6, 2), 100, 600, seed)

    line = _autoregression(train, history, 2, 6)
    share = np.abs(forecasts - future).mean() / np.abs(line - future).mean()
    expect.at_most(float(share), ERROR_OF_LINES, "fit: error on the future, as a multiple of linear_ar's")


# ------------------------------------------------------------------------------------------------------------
# P5.3  How wrong will it be?
# ------------------------------------------------------------------------------------------------------------


def _interval(calibration, history, level, weights):
    X, Y = _windows(calibration, 3, 2)
    errors = np.sort(np.abs(Y - _recursive(X, 2, weights)), axis=0)
    k = int(np.ceil(level * (len(errors) + 1)))
    middle = _recursive(history, 2, weights)
    return middle - errors[k - 1], middle + errors[k - 1]


@pytest.mark.task("intervals", weight=3)
def test_each_step_has_a_width_of_its_own(student, rng):
    """prediction_interval: the errors of each step by themselves, of all windows, the one at place k after sorting."""
    weights = rng.uniform(-0.5, 0.5, size=(2, 3))
    tensor = torch.from_numpy(weights)
    for length, level in ((27, 0.83), (40, 0.9), (16, 0.57)):
        calibration = rng.standard_t(2, size=length) + 1
        history = rng.normal(size=(3, 5))

        (lower, upper), modes, has_graph, _ = used_for_forecasts(
            student, (calibration, history, level), 2, tensor, "prediction_interval"
        )

        want = _interval(calibration, history, level, weights)
        expect.close(lower, want[0], "prediction_interval: lower", rtol=1e-4, atol=1e-5)
        expect.close(upper, want[1], "prediction_interval: upper", rtol=1e-4, atol=1e-5)
        expect.equal(modes, (True, True, False), "prediction_interval: modes of the layers afterwards")
        expect.is_true(not has_graph, "prediction_interval: it computes gradients.")


@pytest.mark.task("intervals", weight=2)
def test_too_few_errors_are_refused(student, rng):
    """prediction_interval: a place beyond the largest error is a ValueError; the largest error itself is allowed."""
    weights = rng.uniform(-0.5, 0.5, size=(2, 3))
    tensor, history = torch.from_numpy(weights), rng.normal(size=(2, 3))
    calibration = rng.normal(size=13)  # nine windows

    (_, upper), *_ = used_for_forecasts(student, (calibration, history, 0.85), 2, tensor, "prediction_interval")
    expect.close(upper, _interval(calibration, history, 0.85, weights)[1], "prediction_interval: upper", rtol=1e-4)
    with expect.refused(ValueError, "prediction_interval with too few windows for its level"):
        used_for_forecasts(student, (calibration, history, 0.93), 2, tensor, "prediction_interval")


@pytest.mark.task("intervals", weight=2)
def test_shares_are_counted_for_each_step(student, rng):
    """coverage: for each step the share of values inside, where an end of an interval is inside."""
    actual = rng.integers(0, 6, size=(41, 3)).astype(np.float64)
    lower = rng.integers(0, 4, size=(41, 3)).astype(np.float64)
    upper = lower + rng.integers(0, 3, size=(41, 3))
    kept = [array.copy() for array in (lower, upper, actual)]

    shares = student.coverage(lower, upper, actual)

    pairs = zip(lower.T, upper.T, actual.T, strict=True)
    want = [np.mean([low <= value <= up for low, up, value in zip(*step, strict=True)]) for step in pairs]
    expect.close(shares, np.array(want), "coverage", dtype=np.float64)
    expect.close(student.coverage(lower[:1], upper[:1], lower[:1]), np.ones(3), "coverage of one row")
    for array, before in zip((lower, upper, actual), kept, strict=True):
        expect.unchanged(array, before, "coverage: an argument")


@pytest.mark.task("intervals", weight=2)
def test_the_interval_holds_in_the_future(seasonal):
    """prediction_interval: about nine of ten values of the future are inside, and the intervals are not trivial."""
    train, _, future, _, (lower, upper) = seasonal

    expect.shape(lower, future.shape, "prediction_interval: lower")
    expect.shape(upper, future.shape, "prediction_interval: upper")
    held = float(((lower <= future) & (future <= upper)).mean())
    width = float((upper - lower).mean())
    expect.finite(width, "prediction_interval: mean width")
    expect.at_least(held, 0.80, "prediction_interval: share of the future inside, at the default level")
    expect.at_most(held, 0.97, "prediction_interval: share of the future inside, at the default level")
    expect.is_true(width < np.ptp(train), "prediction_interval: the intervals are wider than the whole series.")


# ------------------------------------------------------------------------------------------------------------
# P5.4  Check what comes in
# ------------------------------------------------------------------------------------------------------------


@probe
def said_of_each(student, changes):
    """For each change of a good config: the sentences of its Faults, or None."""
    folder = tempfile.mkdtemp()
    data = os.path.join(folder, "rows.csv")
    with open(data, "w") as file:
        file.write("a,target\n1,x\n")
    said = []
    for change in changes:
        values = {"data": data, "out": os.path.join(folder, "out"), **change}
        if values["out"] == "the data file":
            values["out"] = data
        if values["data"] == "the folder":
            values["data"] = folder
        try:
            student.validate(student.Config(**values))
        except student.Faults as faults:
            said.append([str(sentence) for sentence in faults.sentences])
        except ValueError:
            said.append([])
        else:
            said.append(None)
    return said


@pytest.mark.task("checks", weight=3)
def test_each_field_is_checked(student):
    """validate: one sentence for a faulty field, which begins with its name and shows its value; good values pass."""
    good = [
        {}, {"val_share": 0.4}, {"test_share": 0.4}, {"test_share": 1e-3}, {"hidden": 1}, {"epochs": 1},
        {"batch_size": 1}, {"patience": 1},
        {"lr": 1}, {"lr": 1e-9}, {"seed": 0}, {"seed": 10**9}, {"features": ("a",)}, {"features": ("a", "b")},
        {"features": None}, {"target": "x y"},
    ]  # fmt: skip
    bad = [
        {"data": "nowhere.csv"}, {"data": 7}, {"data": "the folder"}, {"out": "the data file"}, {"out": None},
        {"target": ""}, {"target": None}, {"features": ()}, {"features": ["a"]}, {"features": ("a", "a")},
        {"features": ("a", "target"), "target": "target"}, {"features": ("a", "")}, {"features": ("a", 3)},
        {"features": "ab"}, {"val_share": 0}, {"val_share": 0.41}, {"val_share": float("nan")}, {"val_share": "0.2"},
        {"test_share": -0.1}, {"test_share": 0.5}, {"test_share": True}, {"test_share": None}, {"hidden": 0},
        {"hidden": 8.0}, {"epochs": 0}, {"epochs": True}, {"epochs": "3"}, {"batch_size": 0}, {"batch_size": 2.5},
        {"patience": 0}, {"patience": None}, {"lr": 0}, {"lr": -1.0}, {"lr": float("inf")}, {"lr": float("nan")},
        {"lr": False}, {"lr": "1"}, {"seed": -1}, {"seed": 1.0}, {"seed": True},
        {"data": None}, {"features": ("a", ["b"])}, {"features": ("", "", "target", "target"), "target": "target"},
        {"hidden": True}, {"batch_size": True}, {"patience": True}, {"val_share": True},
    ]  # fmt: skip

    said = said_of_each(student, good + bad)

    for change, sentences in zip(good, said, strict=False):
        name = next(iter(change), "nothing special")
        expect.equal(sentences, None, f"validate of an allowed config ({name}): what it raises")
    for change, sentences in zip(bad, said[len(good) :], strict=True):
        name = next(iter(change))
        expect.is_true(sentences is not None, f"validate: a value of {name} that is not allowed passes.")
        told = [sentence.split(":")[0] for sentence in sentences]
        expect.equal(told, [name], f"validate: names before the colons, with a faulty {name}")
        shown = change[name] not in ("the folder", "the data file")
        is_shown = not shown or repr(change[name]) in sentences[0]
        expect.is_true(is_shown, f"validate: the sentence about {name} does not contain the repr of its value.")


@pytest.mark.task("checks", weight=2)
def test_all_faulty_fields_are_told_in_order(student):
    """validate: all faults at once, in the order of the fields in Config."""
    everything = {
        "seed": -3, "lr": 0.0, "patience": 0, "batch_size": 0, "epochs": 0, "hidden": 0, "test_share": 0.9,
        "val_share": 0.0, "features": (), "target": "", "out": None, "data": "nowhere.csv",
    }  # fmt: skip
    some = {"seed": 1.5, "hidden": -1, "test_share": "x"}

    all_said, some_said = said_of_each(student, [everything, some])

    for said, change in ((all_said, everything), (some_said, some)):
        expect.is_true(said is not None, "validate: a config with several faults passes.")
        told = [sentence.split(":")[0] for sentence in said]
        expect.equal(told, list(change)[::-1], "validate of several faults: names before the colons")


@probe
def tables_of(student, cases):
    """For each (text, options): the Table as plain values, or the sentences of its Faults."""
    from pathlib import Path

    folder = tempfile.mkdtemp()
    found = []
    for number, (text, options) in enumerate(cases):
        path = os.path.join(folder, f"{number}.csv")
        if text is not None:
            with open(path, "wb") as file:
                file.write(text if isinstance(text, bytes) else text.encode())
        try:
            table = student.load_table(Path(path) if number % 2 else path, **options)
        except student.Faults as faults:
            found.append([str(sentence) for sentence in faults.sentences])
        except ValueError:
            found.append([])
        else:
            found.append((tuple(table.features), tuple(table.classes), table.x, table.y))
    return found


def _expect_places(found, cases, wanted):
    for said, (what, *_), want in zip(found, cases, wanted, strict=True):
        expect.is_true(type(said) is list, f"load_table: {what} is not refused.")
        places = sorted(sentence.split(":")[0] for sentence in said)
        expect.equal(places, sorted(want), f"load_table, {what}: places before the colons")


@pytest.mark.task("checks", weight=2)
def test_cells_and_labels_are_read_as_they_are(student, rng):
    """load_table: columns in the order of features, labels sorted as texts, and other columns are not looked at."""
    cells = rng.normal(size=(4, 2)).round(3)
    lines = [
        f"{one},nonsense,{label}, {two} " for (one, two), label in zip(cells, ("9", "10", " 10", "9 "), strict=True)
    ]
    text = "\n".join(["left,id,kind, right ", *lines[:2], "", *lines[2:], ""])
    unused = "v,id,id,target\n1,2,3,u\n2,2,3,w\n"
    quoted = 'v,target\n1,"a, b"\n2,"c"\n1.0,"a, b"\n3,d\u00e9j\u00e0\n'

    some, alone, twice = tables_of(
        student,
        [
            (text, {"target": "kind", "features": ("right", "left")}),
            (quoted, {"features": None}),
            (unused, {"features": ("v",)}),
        ],
    )

    expect.is_true(type(some) is tuple and type(alone) is tuple, "load_table: a good file is refused.")
    expect.is_true(type(twice) is tuple, "load_table: a file is refused because an unused column is there twice.")
    expect.equal(some[0], ("right", "left"), "load_table: features")
    expect.equal(some[1], ("10", "9"), "load_table: classes")
    expect.close(some[2], cells[:, ::-1], "load_table: x", dtype=np.float64)
    expect.equal(some[3], np.array([1, 0, 0, 1]), "load_table: y")
    expect.equal(alone[1], ("a, b", "c", "d\u00e9j\u00e0"), "load_table: classes of labels in quotes")
    expect.equal(alone[3], np.array([0, 1, 0, 2]), "load_table: y, where two different cells are the same number")


@pytest.mark.task("checks", weight=3)
def test_each_fault_of_a_file_has_its_place(student):
    """load_table: each fault has a sentence that begins with its place, whatever other faults there are."""
    every = "a,b,b,target\n1,x,2,u\nnan,,2,\n inf,0,0,u\n\n1,y,3,u\n1,2,u\n"
    cases = [
        ("a file that is not there", None, {}),
        ("a file without any character", "", {}),
        ("a header without rows", "a,target\n", {}),
        ("a file with empty lines only", "\n\n", {}),
        ("a missing target", "a,b\n1,2\n3,4\n", {}),
        ("two missing columns, and a cell", "a,target\nx,u\n2,v\n", {"features": ("a", "b", "c")}),
        ("a file with many faults", every, {}),
        ("cells without a number", "a,b,target\n 1,,u\ntrue,2,v\n-inf,1e3,v\n", {}),
        ("a faulty line that comes twice", "a,target\nx,u\n2,v\nx,u\n1 2,v\n", {}),
        ("a line with too many cells", "a,target\n1,u\n2,v,w\n3,u,\n", {}),
        ("a line of empty cells, and one of spaces", "a,target\n1,u\n,\n2,v\n  \n", {}),
        ("a file that is not UTF-8", b"a,target\n1,caf\xe9\n2,v\n", {}),
    ]
    wanted = [
        ["file"], ["file"], ["rows"], ["file"], ["column target"], ["column b", "column c", "line 2, column a"],
        ["column b", "line 3, column a", "line 3, column target", "line 4, column a", "line 6", "line 7"],
        ["line 2, column b", "line 3, column a", "line 4, column a"],
        ["line 2, column a", "line 4", "line 4, column a", "line 5, column a"],
        ["line 3", "line 4"], ["line 3, column a", "line 3, column target", "line 5"], ["file"],
    ]  # fmt: skip

    found = tables_of(student, [case[1:] for case in cases])

    _expect_places(found, cases, wanted)
    shown = {sentence.split(":")[0]: sentence for sentence in found[7]}
    for place, cell in (("line 3, column a", "true"), ("line 4, column a", "-inf")):
        is_there = cell in shown[place].split(":", 1)[1]
        expect.is_true(is_there, "load_table: a sentence about a cell does not contain the cell.")


@pytest.mark.task("checks", weight=2)
def test_rows_that_come_twice_are_found(student):
    """load_table: a row is a duplicate if the cells of all used columns are those of an earlier line, near or far."""
    text = "id,a,b,target\n1,5,6,u\n2,5,7,u\n3, 5,6,u\n4,5,6,v\n5,5,6,u\n6,5,7,u\n"
    cases = [
        ("a file with an unused column", text, {"features": ("b", "a")}),
        ("rows apart", text, {"features": ("b",)}),
    ]

    found = tables_of(student, [case[1:] for case in cases] + [(text, {})])

    wanted = [["line 4", "line 6", "line 7"], ["line 4", "line 6", "line 7"]]
    _expect_places(found[:2], cases, wanted)
    expect.is_true(type(found[2]) is tuple, "load_table: rows that differ in one used column are refused.")
    for sentences in found[:2]:
        after = {sentence.split(":")[0]: sentence.split(":", 1)[1] for sentence in sentences}
        first = ["line 2" in after["line 4"], "line 2" in after["line 6"], "line 3" in after["line 7"]]
        expect.equal(first, [True] * 3, "load_table: whether the sentence about a duplicate names the first such line")


# ------------------------------------------------------------------------------------------------------------
# P5.5 and P5.6  The pipeline, and a run that goes on
# ------------------------------------------------------------------------------------------------------------


@probe
def play(student, tables, moves):
    """Make a folder of tables, and run configs, one after the other; return notes of each run as plain values.

    A move is a dict: data (number of a table), out (name of a folder), options (of the Config), and if it is asked for:
    stop (where, for stops.watched), delete (files to remove before), seeds (global states before). Figures are not
    drawn, because that takes longer than all the rest; files of them are written.
    """
    import json
    from dataclasses import asdict

    root = tempfile.mkdtemp()
    left = {
        "split": ("split.json",), "prepare": ("statistics.json",), "train": ("model.pt", "history.json"),
        "evaluate": ("metrics.json",), "present": ("figures/learning_curve.png", "figures/confusion.png", "card.md"),
    }  # fmt: skip

    def stamp(path):
        if not os.path.exists(path):
            return None
        facts = os.stat(path)
        return facts.st_ino, facts.st_mtime_ns, facts.st_size

    found = []
    for move in moves:
        data, out = os.path.join(root, "rows.csv"), os.path.join(root, move["out"])
        x, labels = tables[move["data"]]
        drawn.write_table(data, x, labels)
        for name in move.get("delete", ()):
            if os.path.exists(os.path.join(out, name)):
                os.remove(os.path.join(out, name))
        files = stops.files_in(out)
        stamps = {name: stamp(os.path.join(out, name)) for name in files}
        config = student.Config(data, out, target="target", **move["options"])
        note = {"before": tuple(student.steps_done(config)), "made": sorted(stops.files_in(out)) != sorted(files)}
        torch.manual_seed(move.get("seeds", 0))
        np.random.seed(move.get("seeds", 0))
        report = None
        with stops.watched(out, draw=False, holdout=student.Holdout, **move.get("stop", {})) as notes:
            report = student.run_pipeline(config)
        note |= {"batches": notes.batches, "writes": len(notes.writes), "reads": [list(names) for names in notes.reads]}
        note["stopped"] = notes.is_stopped
        note["done"] = tuple(student.steps_done(config))
        note["kept"] = [
            step
            for step, names in left.items()
            if all(n in stamps and stamps[n] == stamp(os.path.join(out, n)) for n in names)
        ]
        if not notes.is_stopped:
            note["report"] = json.loads(json.dumps(asdict(report)))
            for name in ("split.json", "statistics.json", "history.json", "metrics.json", "card.md"):
                path, short = os.path.join(out, name), name.split(".")[0]
                note[short] = None
                if os.path.exists(path):
                    with open(path, encoding="utf-8") as file:
                        note[short] = file.read() if short == "card" else json.load(file)
            note["said"] = np.asarray(student.predict(out, x), dtype=np.float64)
        found.append(note)
    return found


def _rows(rng, n=40):
    return drawn.table(n, int(rng.integers(1 << 30)))


def _numbers(labels):
    return np.unique(labels, return_inverse=True)[1]


def _changed(rows, numbers):
    """Other features and labels in some rows; all classes stay."""
    x, labels = rows[0].copy(), list(rows[1])
    x[numbers] = x[numbers] * 1.7 + 3
    for number in numbers:
        labels[number] = drawn.CLASSES[(drawn.CLASSES.index(labels[number]) + 1) % 3]
    return x, labels


SMALL = {"epochs": 3, "hidden": 8, "batch_size": 8, "patience": 9}


@pytest.fixture(scope="module")
def runs(student, seed):
    """Runs of one table in several folders, and with another seed."""
    rng = np.random.default_rng([seed, 1])
    rows = _rows(rng)
    options = SMALL | {"seed": int(rng.integers(10_000, 90_000)), "val_share": 0.16, "test_share": 0.29}
    moves = [  # of 40 rows these shares are 6.4 and 11.6
        {"data": 0, "out": "one", "options": options},
        {"data": 0, "out": "deep/two", "options": options, "seeds": 5},
        {"data": 0, "out": "three", "options": options | {"seed": options["seed"] + 1}},
    ]
    return play(student, [rows], moves), rows, options


SAME = ("report", "split", "statistics", "history", "metrics", "card")


def _expect_same(note, whole, what):
    for name in SAME:
        expect.is_true(note[name] is not None, f"run_pipeline, {what}: the file of {name} is missing.")
        expect.equal(note[name], whole[name], f"run_pipeline, {what}: {name}")
    expect.close(note["said"], whole["said"], f"run_pipeline, {what}: what predict says", rtol=0, atol=1e-12)


@pytest.mark.task("pipeline", weight=4)
def test_a_run_follows_from_its_config(runs):
    """run_pipeline: config and data decide everything, not the folder and not the global random states."""
    (one, two, three), *_ = runs

    _expect_same(two, one, "a second time, in another folder")
    expect.is_true(three["split"] != one["split"], "run_pipeline: two seeds give the same split.")
    expect.is_true(three["history"] != one["history"], "run_pipeline: two seeds give the same training.")


@pytest.mark.task("pipeline", weight=3)
def test_test_rows_change_nothing_before_the_end(student, runs):
    """run_pipeline: with other values in the test rows, split, statistics, training and model are the same."""
    (one, *_), rows, options = runs
    tampered = _changed(rows, one["split"]["test"])

    (note,) = play(student, [tampered], [{"data": 0, "out": "a", "options": options}])

    for name in ("split", "statistics", "history"):
        expect.equal(note[name], one[name], f"run_pipeline with other test rows: {name}")
    learned = one["split"]["train"] + one["split"]["val"]
    said, hint = "run_pipeline with other test rows: predict of the other rows", "the test rows were used in training"
    expect.close(note["said"][learned], one["said"][learned], said, rtol=0, atol=1e-12, hint=hint)
    test = one["split"]["test"]
    counts = np.zeros((3, 3), dtype=int)  # the confusion itself is looked at by another test: either way round will do
    np.add.at(counts, (_numbers(tampered[1])[test], note["said"][test].argmax(axis=1)), 1)
    is_counted = note["report"]["confusion"] in (counts.tolist(), counts.T.tolist())
    expect.is_true(is_counted, "run_pipeline: the test rows do not count.")


@pytest.mark.task("pipeline", weight=3)
def test_validation_rows_are_not_trained_on(student, runs):
    """run_pipeline: with other values in the validation rows, statistics and training losses are the same."""
    (one, *_), rows, options = runs
    tampered = _changed(rows, one["split"]["val"])

    (note,) = play(student, [tampered], [{"data": 0, "out": "a", "options": options}])

    expect.equal(note["statistics"], one["statistics"], "run_pipeline with other validation rows: statistics")
    losses = note["history"]["train_loss"], one["history"]["train_loss"]
    expect.close(*losses, "run_pipeline with other validation rows: train_loss", rtol=1e-6, lists=True)
    expect.is_true(
        note["history"]["val_loss"] != one["history"]["val_loss"], "run_pipeline: val_loss ignores val rows."
    )


@pytest.mark.task("pipeline", weight=3)
def test_the_holdout_is_read_once_and_last(runs):
    """run_pipeline: the Holdout is read once, when the model and its history are there, and nothing is measured yet."""
    (one, two, _), *_ = runs

    for note in (one, two):
        expect.equal(len(note["reads"]), 1, "run_pipeline: reads of the Holdout")
        there = note["reads"][0]
        expect.is_true("model.pt" in there, "run_pipeline: the Holdout is read before model.pt is there.")
        expect.is_true("history.json" in there, "run_pipeline: the Holdout is read before history.json is there.")
        expect.is_true("metrics.json" not in there, "run_pipeline: metrics.json is there before the Holdout is read.")


@pytest.mark.task("pipeline", weight=3)
def test_the_numbers_of_a_report_are_true(runs):
    """Report: rows, digest, both accuracies and the confusion follow from the split and from what predict says."""
    (one, *_), (x, labels), options = runs
    y, report, split = _numbers(labels), one["report"], one["split"]

    expect.equal(report["rows"], [22, 6, 12], "Report.rows")
    expect.equal([len(split[name]) for name in ("train", "val", "test")], [22, 6, 12], "split.json: rows of the parts")
    numbers = sorted(split["train"] + split["val"] + split["test"])
    expect.equal(numbers, list(range(40)), "split.json: all row numbers, sorted")
    expect.equal(report["classes"], sorted(set(labels)), "Report.classes")
    expect.equal(report["seed"], options["seed"], "Report.seed")
    expect.close(one["said"].sum(axis=1), np.ones(40), "predict: sums of the rows", rtol=1e-5)
    said, truth = one["said"][split["test"]].argmax(axis=1), y[split["test"]]
    confusion = np.zeros((3, 3), dtype=int)
    np.add.at(confusion, (truth, said), 1)
    expect.equal(report["confusion"], confusion.tolist(), "Report.confusion")
    expect.close(report["test_accuracy"], float((said == truth).mean()), "Report.test_accuracy")
    majority = np.bincount(y[split["train"]], minlength=3).argmax()
    expect.close(report["majority_accuracy"], float((truth == majority).mean()), "Report.majority_accuracy")
    expect.equal(one["metrics"], report, "metrics.json beside the Report")
    train = x[split["train"]]
    expect.close(one["statistics"]["mean"], train.mean(axis=0), "statistics.json: mean", lists=True)
    expect.close(one["statistics"]["std"], train.std(axis=0), "statistics.json: std", lists=True)


@probe
def digests_and_cards(student, x, labels, options):
    """A run, and what a reader needs to judge its card and figures."""
    import hashlib
    from dataclasses import asdict

    from matplotlib import pyplot
    from PIL import Image

    root = tempfile.mkdtemp()
    data, out = os.path.join(root, "measured.csv"), os.path.join(root, "new", "out")
    drawn.write_table(data, x, labels)
    os.makedirs(out)
    with open(os.path.join(out, "notes.txt"), "w") as file:
        file.write("mine")
    shown = []
    show, pyplot.show = pyplot.show, lambda *args, **kwargs: shown.append(1)
    before = list(pyplot.get_fignums())
    old, here = os.getcwd(), os.path.join(root, "here")
    os.mkdir(here)
    os.chdir(here)
    try:
        report = student.run_pipeline(student.Config(data, out, target="target", **options))
    finally:
        pyplot.show = show
        os.chdir(old)
    is_open = list(pyplot.get_fignums()) != before
    colours = []
    for name in ("learning_curve", "confusion"):
        with Image.open(os.path.join(out, "figures", f"{name}.png")) as image:
            colours.append((image.format, len(image.convert("RGB").getcolors(1 << 24))))
    with open(data, "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()
    with open(os.path.join(out, "card.md"), encoding="utf-8") as file:
        card = file.read()
    outside = [name for name in stops.files_in(root) if not name.startswith(os.path.join("new", "out"))]
    has_notes = os.path.exists(os.path.join(out, "notes.txt"))
    return digest, card, colours, outside, has_notes, is_open or bool(shown), asdict(report)


@pytest.mark.task("pipeline", weight=3)
def test_the_card_says_where_the_numbers_come_from(student, seed):
    """run_pipeline: the card names data, digest, target, classes, rows, seed and accuracies; figures show something."""
    rng = np.random.default_rng([seed, 2])
    x, labels = _rows(rng, 50)
    options = SMALL | {"seed": 70_131, "epochs": 2}

    digest, card, colours, outside, has_notes, is_open, report = digests_and_cards(student, x, labels, options)

    expect.equal(report["data_digest"], digest, "Report.data_digest")
    words = ["measured.csv", digest, "target", *drawn.CLASSES, "30", "10", "70131"]
    words += [f"{report[name]:.3f}" for name in ("test_accuracy", "majority_accuracy")]
    names = ["the data file", "its digest", "the target", *["a class"] * 3, *["a number of rows"] * 2, "the seed"]
    names += ["the test accuracy", "the majority accuracy"]
    for word, name in zip(words, names, strict=True):
        expect.is_true(word in card, f"card.md: it does not contain {name}.")
    today = date.today()
    has_date = any(today.strftime(form) in card for form in ("%Y-%m-%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y"))
    expect.is_true(not has_date, "card.md: it contains a date, so a run of tomorrow has another card.")
    for kind, count in colours:
        expect.equal(kind, "PNG", "run_pipeline: format of a figure")
        expect.is_true(count > 2, "run_pipeline: a figure shows nothing.")
    expect.equal(outside, ["measured.csv"], "run_pipeline: files outside of out")
    expect.is_true(has_notes, "run_pipeline: it removes a file that belongs to no run.")
    expect.is_true(not is_open, "run_pipeline: a figure is shown, or left open.")


@probe
def a_watched_run(student, x, labels, options):
    """A run; note the first input of a network for each batch, its scores, and whether gradients were cleared."""
    import json

    root = tempfile.mkdtemp()
    data, out = os.path.join(root, "rows.csv"), os.path.join(root, "out")
    drawn.write_table(data, x, labels)
    first, batches, modes, calm, last, scores = [], [], [], [], [], []

    def look(module, inputs):
        if torch.is_grad_enabled() and inputs and torch.is_tensor(inputs[0]) and not first:
            first.append(inputs[0].detach().clone())
            modes.append(all(layer.training for layer in module.modules()))
        if not torch.is_grad_enabled() and batches:
            calm.append(not any(layer.training for layer in module.modules()))

    def listen(module, inputs, output):
        if torch.is_grad_enabled() and torch.is_tensor(output):
            last[:] = [output.detach().double().numpy()]

    def on_backward():
        batches.extend(first)
        scores.extend(last)
        first.clear()

    eye = nn.modules.module.register_module_forward_pre_hook(look)
    ear = nn.modules.module.register_module_forward_hook(listen)
    try:
        with spies.watched(on_backward) as notes, stops.watched(out, draw=False, holdout=student.Holdout):
            student.run_pipeline(student.Config(data, out, target="target", **options))
    finally:
        eye.remove()
        ear.remove()
    written = []
    for name in ("statistics.json", "history.json"):
        with open(os.path.join(out, name), encoding="utf-8") as file:
            written.append(json.load(file))
    batches = [batch.numpy() for batch in batches]
    return batches, scores, any(notes.left_over), (modes, calm), student.predict(out, x), written


@pytest.mark.task("pipeline", weight=3)
def test_each_epoch_uses_each_training_row_once(student, seed):
    """run_pipeline: batches of training rows in a new random order, scaled, in training mode, gradients cleared."""
    x, labels = _rows(np.random.default_rng([seed, 3]), 45)
    x[:, 4] = 0.1  # a column without any information; its deviation is not exactly 0 as it is computed

    batches, _, left_over, modes, said, (statistics, _) = a_watched_run(student, x, labels, SMALL)

    expect.equal([len(batch) for batch in batches], [8, 8, 8, 3] * 3, "run_pipeline: sizes of the batches")
    epochs = np.concatenate(batches).reshape(3, 27, -1)
    expect.shape(epochs, (3, 27, 5), "run_pipeline: rows that the network gets in three epochs")
    expect.close(_by_rows(epochs[1]), _by_rows(epochs[0]), "run_pipeline: rows of two epochs, sorted", rtol=1e-5)
    expect.is_true(not np.array_equal(epochs[0], epochs[1]), "run_pipeline: two epochs have the same order.")
    expect.close(epochs[0].mean(axis=0), np.zeros(5), "run_pipeline: means of what the network gets", atol=1e-3)
    expect.close(statistics["std"][4], 1.0, "statistics.json: std of a constant feature")
    expect.close(
        epochs[0].std(axis=0),
        np.array([1.0, 1, 1, 1, 0]),
        "run_pipeline: deviations of what the network gets",
        atol=1e-3,
    )
    expect.is_true(all(modes[1]), "run_pipeline: without gradients a layer is in training mode.")
    expect.is_true(all(modes[0]), "run_pipeline: in training a layer is not in training mode.")
    expect.is_true(not left_over, "run_pipeline: a backward pass began with the gradient of the last one.")
    expect.finite(np.asarray(said), "predict with a constant column")


@pytest.mark.task("pipeline")
def test_the_training_loss_is_the_mean_over_rows(student, seed):
    """run_pipeline: the training loss of an epoch is the mean over all training rows, as it was during the epoch."""
    x, labels = _rows(np.random.default_rng([seed, 7]), 45)

    batches, scores, *_, (statistics, history) = a_watched_run(student, x, labels, SMALL)

    expect.equal([len(batch) for batch in batches], [8, 8, 8, 3] * 3, "run_pipeline: sizes of the batches")
    scaled = (x - np.array(statistics["mean"])) / np.array(statistics["std"])
    y, costs = _numbers(labels), []
    for batch, score in zip(batches, scores, strict=True):
        expect.shape(score, (len(batch), 3), "run_pipeline: scores of a batch")
        rows = np.abs(batch[:, None] - scaled).max(axis=2).argmin(axis=1)  # which row of the table each of them is
        costs.append(np.logaddexp.reduce(score, axis=1) - score[np.arange(len(rows)), y[rows]])
    want = np.concatenate(costs).reshape(3, 27).mean(axis=1)
    expect.close(history["train_loss"], want, "history.json: train_loss", rtol=1e-4, lists=True)


@pytest.mark.task("pipeline", weight=3)
def test_a_run_stops_and_keeps_its_best_epoch(student, seed):
    """run_pipeline: it stops after patience epochs without a lower validation loss, and keeps the lowest."""
    rng = np.random.default_rng([seed, 4])
    x, labels = _rows(rng, 60)
    labels = [labels[i] for i in rng.permutation(60)]  # nothing to be learned, much to be learned by heart
    options = {"epochs": 50, "patience": 4, "batch_size": 8, "hidden": 32, "lr": 0.02}

    (note,) = play(student, [(x, labels)], [{"data": 0, "out": "a", "options": options}])

    losses, report = note["history"]["val_loss"], note["report"]
    best = int(np.argmin(losses)) + 1
    expect.equal(report["best_epoch"], best, "Report.best_epoch")
    expect.equal(report["epochs"], min(50, best + 4), "Report.epochs", hint="patience counts from the best epoch")
    lengths = [len(losses), len(note["history"]["train_loss"])]
    expect.equal(lengths, [report["epochs"]] * 2, "history.json: numbers of losses")
    expect.close(report["val_loss"], min(losses), "Report.val_loss")
    val, y = note["split"]["val"], _numbers(labels)
    measured = -np.log(np.clip(note["said"][val, y[val]], 1e-12, None)).mean()
    expect.close(
        float(measured), min(losses), "predict: cross-entropy of the validation rows", rtol=1e-3, hint="best epoch"
    )


@pytest.mark.task("pipeline")
def test_of_equal_epochs_the_first_is_the_best(student, seed):
    """run_pipeline: with a learning rate of almost nothing all epochs are equal, and the first is the best one."""
    rows = _rows(np.random.default_rng([seed, 12]))
    options = SMALL | {"epochs": 8, "patience": 3, "lr": 1e-30}

    (note,) = play(student, [rows], [{"data": 0, "out": "a", "options": options}])

    best = int(np.argmin(note["history"]["val_loss"])) + 1
    expect.equal(note["report"]["best_epoch"], best, "Report.best_epoch, where several epochs are equal")
    expect.equal(note["report"]["epochs"], min(8, best + 3), "Report.epochs, where several epochs are equal")


@pytest.mark.task("pipeline", weight=2)
def test_the_majority_is_that_of_training_rows(student, runs):
    """Report.majority_accuracy: the most frequent class of the training rows, and the first in `classes` of several."""
    (one, *_), (x, _), options = runs
    sizes = [len((one["split"] or {}).get(name, ())) for name in ("train", "val", "test")]
    expect.equal(sizes, [22, 6, 12], "split.json: rows of train, val and test, for 40 rows and shares of 0.16 and 0.29")
    train, val, test = (list(one["split"][name]) for name in ("train", "val", "test"))
    train = [train[0], *sorted(train[1:])]
    if min(train) != train[0]:
        train.insert(1, train.pop(train.index(min(train))))

    for counts in ((2, 11, 9), (2, 10, 10)):  # the most frequent class of all rows is another one
        numbers = np.zeros(40, dtype=int)
        numbers[train] = np.repeat([2, 1, 0], counts[::-1])
        numbers[val] = 2
        numbers[test] = np.repeat([0, 1, 2], [7, 2, 3])
        labels = [drawn.CLASSES[number] for number in numbers]
        (note,) = play(student, [(x, labels)], [{"data": 0, "out": "a", "options": options | {"epochs": 1}}])

        split = note["split"]
        majority = np.bincount(numbers[split["train"]], minlength=3).argmax()
        want = float((numbers[split["test"]] == majority).mean())
        hint = "of the training rows; of several classes, the first one in `classes`"
        expect.close(note["report"]["majority_accuracy"], want, "Report.majority_accuracy", hint=hint)


@probe
def first_and_last_weights(student, x, labels, options):
    """A run; the parameters of all layers that are used, in the first and in the last batch of the training."""
    root = tempfile.mkdtemp()
    data, out = os.path.join(root, "rows.csv"), os.path.join(root, "out")
    drawn.write_table(data, x, labels)
    first, last = {}, {}

    def look(module, inputs):
        if torch.is_grad_enabled():
            for parameter in module.parameters():
                last[id(parameter)] = parameter.detach().flatten().clone().numpy()
                first.setdefault(id(parameter), last[id(parameter)])

    eye = nn.modules.module.register_module_forward_pre_hook(look)
    try:
        with stops.watched(out, draw=False, holdout=student.Holdout):
            student.run_pipeline(student.Config(data, out, target="target", **options))
    finally:
        eye.remove()
    return np.concatenate(list(first.values())), np.concatenate(list(last.values()))


@pytest.mark.task("pipeline", weight=2)
def test_seed_size_and_rate_of_the_config_are_used(student, seed):
    """run_pipeline: another seed gives other first weights, hidden decides the size, and lr how far weights move."""
    rows = _rows(np.random.default_rng([seed, 13]))
    options = SMALL | {"epochs": 2}

    one, _ = first_and_last_weights(student, *rows, options)
    two, _ = first_and_last_weights(student, *rows, options | {"seed": 1})
    large, _ = first_and_last_weights(student, *rows, options | {"hidden": 64})
    slow = first_and_last_weights(student, *rows, options | {"lr": 1e-30})

    expect.is_true(not np.array_equal(one, two), "run_pipeline: two seeds give the same first weights.")
    expect.is_true(len(large) > len(one), "run_pipeline: a larger value of hidden gives no larger network.")
    is_slow = np.abs(slow[1] - slow[0]).max() < 1e-6
    expect.is_true(is_slow, "run_pipeline: with a learning rate of almost nothing the weights move.")


@probe
def refused_runs(student, cases):
    """For each (text, options): the places before the colons of the Faults, and whether out was made."""
    found = []
    for text, options in cases:
        root = tempfile.mkdtemp()
        data, out = os.path.join(root, "rows.csv"), os.path.join(root, "out")
        with open(data, "w", encoding="utf-8") as file:
            file.write(text)
        try:
            student.run_pipeline(student.Config(data, out, target="kind", **options))
        except student.Faults as faults:
            found.append(([sentence.split(":")[0] for sentence in faults.sentences], os.path.exists(out)))
        except ValueError:
            found.append(([], os.path.exists(out)))
        else:
            found.append((None, True))
    return found


@pytest.mark.task("pipeline", weight=2)
def test_faults_come_before_any_work(student):
    """run_pipeline: faults of the config, and of the table with its target and features, come before out is made."""
    rows = "".join(f"{n},{n * n % 7}.5,{'uv'[n % 2]}\n" for n in range(24))
    cases = [
        ("a,b,kind\n" + rows, {"epochs": 0, "lr": 0}),
        ("a,b,kind\n" + rows + "x,1,u\n", {}),
        ("a,b,other\n" + rows, {"features": ("a", "b")}),
        ("a,b,kind\n" + rows, {"features": ("a", "c")}),
    ]

    found = refused_runs(student, cases)

    wanted = [["epochs", "lr"], ["line 26, column a"], ["column kind"], ["column c"]]
    expect.equal([places for places, _ in found], wanted, "run_pipeline: places before the colons of its Faults")
    expect.is_true(not any(made for _, made in found), "run_pipeline: with faults it makes the folder out.")


@probe
def a_default_run(student, x, labels, unseen, features):
    """The defaults; then predict, from a folder that was moved, for some rows and for one of them."""
    from pathlib import Path

    data, out, moved = (Path(tempfile.mkdtemp()) / name for name in ("rows.csv", "out", "moved"))
    drawn.write_table(data, x, labels)
    with stops.watched(out, draw=False, holdout=student.Holdout):
        student.run_pipeline(student.Config(data, out, target="target", features=features))
    os.remove(data)
    os.rename(out, moved)
    before = unseen.copy()
    said = student.predict(moved, unseen)
    return said, student.predict(moved, unseen[3:4]), bool((unseen == before).all())


@pytest.mark.task("pipeline", weight=4)
def test_the_model_is_good_on_rows_that_nobody_has_seen(student, seed):
    """predict: with the defaults, in the units of the table, right on unseen rows; each row by itself."""
    rng = np.random.default_rng([seed, 5])
    x, labels = _rows(rng, 300)
    unseen, truth = _rows(rng, 600)
    columns = [2, 0, 1]

    said, alone, is_unchanged = a_default_run(
        student, x, labels, unseen[:, columns].copy(), tuple(drawn.COLUMNS[c] for c in columns)
    )

    expect.shape(said, (600, 3), "predict")
    expect.close(alone, said[3:4], "predict of one row", rtol=1e-4, atol=1e-6)
    expect.is_true(is_unchanged, "predict: it changes x.")
    expect.accuracy(said.argmax(axis=1), _numbers(truth), ACCURACY, "run_pipeline, then predict: unseen rows")


# ------------------------------------------------------------------------------------------------------------
# P5.6  Go on where it stopped
# ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cut(student, seed):
    """A whole run; and runs that are stopped in a batch or while they write a file, each with a second one."""
    rows = _rows(np.random.default_rng([seed, 6]))
    whole = {"data": 0, "out": "whole", "options": SMALL | {"epochs": 2}}
    (first,) = play(student, [rows], [whole])
    places = np.unique(np.linspace(0, first["writes"] - 1, 14).round().astype(int)).tolist()
    stops_at = [{"batch": 4}, *({"write": place} for place in places if place >= 0)]
    moves = [whole]
    for number, stop in enumerate(stops_at):
        moves += [whole | {"out": f"cut{number}", "stop": stop}, whole | {"out": f"cut{number}", "seeds": 3}]
    return first, play(student, [rows], moves)


@pytest.mark.task("resume", weight=5)
def test_a_stop_in_a_file_does_no_harm(cut):
    """run_pipeline: stopped in the middle of writing any file, it goes on, and everything is as without the stop."""
    whole, (_, *notes) = cut

    for stopped, later in zip(notes[::2], notes[1::2], strict=True):
        expect.is_true(stopped["stopped"], "run_pipeline: a run in a new folder does less than the one before it.")
        expect.is_true(stopped["done"] != ALL_STEPS, "steps_done: a step with half a file is called finished.")
        _expect_same(later, whole, "after a stop in a file")
        expect.equal(later["done"], ALL_STEPS, "steps_done after the end")


@pytest.mark.task("resume", weight=3)
def test_finished_work_is_not_done_again(cut):
    """run_pipeline: after a stop, finished steps are not written again, and finished epochs are not trained again."""
    whole, (_, *notes) = cut

    for stopped, later in zip(notes[::2], notes[1::2], strict=True):
        expect.equal(later["before"], stopped["done"], "steps_done, asked twice")
        expect.equal(later["kept"], list(stopped["done"]), "run_pipeline: steps whose files are not written again")
        # the epoch in which it was stopped may be lost: three batches of eight of 24 rows
        again = stopped["batches"] + later["batches"] - whole["batches"]
        expect.between(again, 0, 3, "run_pipeline: batches that are trained twice, with three batches an epoch")
        if "evaluate" in stopped["done"]:
            expect.equal(len(later["reads"]), 0, "run_pipeline, after evaluate: reads of the Holdout")


@pytest.mark.task("resume", weight=4)
def test_only_what_is_missing_is_done(student, seed):
    """run_pipeline: a stop when the Holdout is read, and a deleted file, cost only the steps from there on."""
    rows = _rows(np.random.default_rng([seed, 7]))
    move = {"data": 0, "out": "a", "options": SMALL}
    moves = [
        move | {"stop": {"read": 0}}, move, move | {"delete": ["card.md"]}, move | {"delete": ["metrics.json"]},
        move | {"stop": {"batch": 0}, "delete": ["statistics.json"]},
    ]  # fmt: skip

    at_read, whole, no_card, no_metrics, no_statistics = play(student, [rows], moves)

    expect.equal(at_read["done"], ALL_STEPS[:3], "steps_done after a stop when the Holdout was read")
    expect.equal(
        [whole["batches"], len(whole["reads"])], [0, 1], "run_pipeline, next: batches, and reads of the Holdout"
    )
    expect.equal(no_card["before"], ALL_STEPS[:4], "steps_done without card.md")
    expect.equal([no_card["batches"], len(no_card["reads"])], [0, 0], "run_pipeline without card.md: batches, reads")
    expect.equal(no_metrics["before"], ALL_STEPS[:3], "steps_done without metrics.json")
    expect.equal(
        [no_metrics["batches"], len(no_metrics["reads"])], [0, 1], "run_pipeline without metrics.json: batches, reads"
    )
    for note, kept in ((no_card, ALL_STEPS[:4]), (no_metrics, ALL_STEPS[:3])):
        is_kept = all(step in note["kept"] for step in kept)
        expect.is_true(is_kept, "run_pipeline: it writes files of finished steps again.")
        _expect_same(note, whole, "after a file was deleted")
    expect.equal(no_statistics["before"], ("split",), "steps_done without statistics.json")


@pytest.mark.task("resume", weight=3)
def test_the_best_epoch_may_be_before_the_stop(student, seed):
    """run_pipeline: after a stop the best epoch may be one from before it, and patience goes on counting from there."""
    rng = np.random.default_rng((seed, 10))
    x, labels = _rows(rng, 60)
    labels = [labels[i] for i in rng.permutation(60)]  # learned by heart: the best epoch is an early one
    move = {"data": 0, "out": "a", "options": {"epochs": 30, "patience": 6, "batch_size": 12, "hidden": 32}}

    (whole,) = play(student, [(x, labels)], [move])
    cut = 3 * (whole["report"]["best_epoch"] + 3) + 1  # in the fourth epoch after the best one
    _, later = play(student, [(x, labels)], [move | {"stop": {"batch": cut}}, move])

    _expect_same(later, whole, "stopped after its best epoch")


@pytest.mark.task("resume", weight=2)
def test_a_long_training_goes_on_exactly(student, seed):
    """run_pipeline: after a stop in a late epoch everything goes on, also a schedule that does its work late."""
    rows = _rows(np.random.default_rng([seed, 14]))
    whole = {"data": 0, "out": "whole", "options": SMALL | {"epochs": 24, "patience": 24, "lr": 1e-3}}
    moves = [whole, whole | {"out": "cut", "stop": {"batch": 3 * 6 + 1}}, whole | {"out": "cut"}]

    first, _, later = play(student, [rows], moves)

    _expect_same(later, first, "stopped in the seventh of 24 epochs")


@probe
def asked_without_each_file(student, x, labels, options):
    """Run once; then the finished steps without each of the files."""
    import shutil

    root = tempfile.mkdtemp()
    data, out = os.path.join(root, "rows.csv"), os.path.join(root, "out")
    drawn.write_table(data, x, labels)
    with stops.watched(out, draw=False, holdout=student.Holdout):
        student.run_pipeline(student.Config(data, out, target="target", **options))
    names = [name for files in student.STEPS.values() for name in files]
    found = {}
    for number, name in enumerate(names):
        copied = os.path.join(root, str(number))
        shutil.copytree(out, copied)
        os.remove(os.path.join(copied, *name.split("/")))
        found[name] = len(tuple(student.steps_done(student.Config(data, copied, target="target", **options))))
    return found


@pytest.mark.task("resume", weight=2)
def test_each_file_of_a_step_counts(student, seed):
    """steps_done: without one of its files a step is not finished, whichever file it is."""
    done = asked_without_each_file(student, *_rows(np.random.default_rng([seed, 15])), SMALL)

    wanted = {
        "split.json": 0, "statistics.json": 1, "model.pt": 2, "history.json": 2, "metrics.json": 3,
        "figures/learning_curve.png": 4, "figures/confusion.png": 4, "card.md": 4,
    }  # fmt: skip
    for name, count in wanted.items():
        expect.equal(done.get(name), count, f"steps_done without {name}: number of steps")


@pytest.mark.task("resume", weight=2)
def test_a_stopped_training_of_other_data_is_not_used(student, seed):
    """run_pipeline: a training that was stopped is not continued with other data under the same name."""
    rows = _rows(np.random.default_rng([seed, 16]))
    move = {"data": 0, "out": "a", "options": SMALL}
    moves = [move | {"data": 1, "stop": {"batch": 7}}, move, move | {"out": "new"}]

    _, later, fresh = play(student, [rows, (rows[0] * 1.5 + rows[0] ** 2, rows[1])], moves)

    expect.equal(later["batches"], fresh["batches"], "run_pipeline in the folder of other data: batches")
    _expect_same(later, fresh, "in the folder of other data that was stopped")


@pytest.mark.task("resume", weight=8)
def test_the_files_of_another_run_are_not_used(student, seed):
    """steps_done and run_pipeline: a folder with another config, or other data under the same name, is done again."""
    rng = np.random.default_rng([seed, 8])
    rows = _rows(rng)
    other = rows[0] * 1.5, rows[1]
    move = {"data": 0, "out": "a", "options": SMALL}
    longer = SMALL | {"epochs": 4}
    moves = [
        move, move | {"options": longer}, move | {"options": longer, "data": 1},
        move | {"options": longer | {"lr": 0.02}, "stop": {"batch": 5}}, move, move | {"options": longer, "out": "new"},
    ]  # fmt: skip

    whole, more, other_data, faster, back, fresh = play(student, [rows, other], moves)

    for note, what in (
        (more, "more epochs"),
        (other_data, "other data"),
        (faster, "another lr"),
        (back, "the first one"),
    ):
        expect.equal(note["before"], (), f"steps_done in the folder of another run: {what}")
    expect.equal(more["batches"], fresh["batches"], "run_pipeline in the folder of another config: batches")
    _expect_same(more, fresh, "in the folder of another config")
    _expect_same(back, whole, "in the folder of another config that was stopped")
    mean = 1.5 * np.array(more["statistics"]["mean"])
    expect.close(other_data["statistics"]["mean"], mean, "run_pipeline in the folder of other data: mean", lists=True)
    expect.equal(len(other_data["reads"]), 1, "run_pipeline in the folder of other data: reads of the Holdout")


@probe
def asked_with_other_fields(student, x, labels, options, changes):
    """Run once; then the finished steps for each changed config, and for the same one in a folder that was moved."""
    root = tempfile.mkdtemp()
    data, out, moved = (os.path.join(root, name) for name in ("rows.csv", "out", "moved"))
    drawn.write_table(data, x, labels)
    with stops.watched(out, draw=False, holdout=student.Holdout):
        student.run_pipeline(student.Config(data, out, target="target", **options))
    asked = [student.Config(data, out, target="target", **{**options, **change}) for change in changes]
    done = [len(tuple(student.steps_done(config))) for config in asked]
    os.rename(out, moved)
    return done, tuple(student.steps_done(student.Config(data, moved, target="target", **options)))


@pytest.mark.task("resume")
def test_each_field_of_a_config_counts(student, seed):
    """steps_done: a run depends on each field of its config but `out`, so with another value no step is finished."""
    changes = [
        {"features": drawn.COLUMNS[:3]}, {"val_share": 0.21}, {"test_share": 0.21}, {"hidden": 9}, {"epochs": 2},
        {"batch_size": 9}, {"patience": 8}, {"lr": 0.015}, {"seed": 1},
    ]  # fmt: skip

    done, moved = asked_with_other_fields(student, *_rows(np.random.default_rng([seed, 11])), SMALL, changes)

    for change, count in zip(changes, done, strict=True):
        (name,) = change
        expect.equal(count, 0, f"steps_done in the folder of a run with another {name}: number of steps")
    expect.equal(moved, ALL_STEPS, "steps_done in a folder that was moved")


@probe
def asked_before(student, x, labels):
    root = tempfile.mkdtemp()
    data, out = os.path.join(root, "rows.csv"), os.path.join(root, "out")
    drawn.write_table(data, x, labels)
    done = student.steps_done(student.Config(data, out, target="target"))
    return tuple(done), type(done) is tuple, os.path.exists(out)


@pytest.mark.task("resume")
def test_to_ask_is_not_to_begin(student, seed, cut):
    """steps_done: nothing is written, and there need not be a folder."""
    done, is_tuple, is_made = asked_before(student, *_rows(np.random.default_rng([seed, 9])))

    expect.is_true(is_tuple, "steps_done: it does not return a tuple.")
    expect.equal(done, (), "steps_done without a folder")
    expect.is_true(not is_made, "steps_done: it makes the folder out.")
    expect.is_true(not any(note["made"] for note in cut[1]), "steps_done: it writes or removes a file.")
