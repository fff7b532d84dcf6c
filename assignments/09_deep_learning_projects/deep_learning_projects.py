"""Deep-learning projects: a forecast with an honest error, and a pipeline from a CSV file to a finished result.

P5.1 to P5.3 forecast a series of numbers. P5.4 to P5.6 are one pipeline for tables, from a file and a config to a
model, numbers, pictures and a card that a stranger can read; it goes on where it was stopped.

Series are NumPy arrays of float64, oldest value first. Letters: L values in a series, N rows, D features, K classes.

Rules for the whole file:
    * no function changes its arguments, except where its docstring says so (`fit` trains the model that it gets).
    * where several things are returned, a tuple or a list will do.
    * functions that train may set torch's global seed.
    * "in eval mode" means: without gradients, with the model and all its layers in eval mode.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import torch
from holdout import Holdout
from torch import nn
from torch.nn import functional as F

# ------------------------------------------------------------------------------------------------------------
# P5.1  Windows, and three baselines
# ------------------------------------------------------------------------------------------------------------


def make_windows(series, window, steps=1):
    """Cut a series into pairs: `window` values, and the `steps` values that come next.

        X[i] = series[i], ..., series[i + window - 1]
        Y[i] = series[i + window], ..., series[i + window + steps - 1]

    There is a pair for every i for which both are inside the series. X and Y are in new memory.

    Args:
        series: (L,) float64
        window, steps: int, 1 or above

    Returns:
        X: (n, window) float64, with n = L - window - steps + 1
        Y: (n, steps) float64

    Raises:
        ValueError: the series is too short for one pair
    """
    ### BEGIN SOLUTION
    n = len(series) - window - steps + 1
    if n < 1:
        raise ValueError(f"make_windows: {len(series)} values give no pair of {window} and {steps}")
    start = np.arange(n)[:, None]
    return series[start + np.arange(window)], series[start + window + np.arange(steps)]
    ### END SOLUTION


def time_split(series, n_val, n_test, context=0):
    """Cut a series in time: the oldest values to learn from, later ones to choose with, the last ones to judge with.

    The validation part has n_val values of its own, and the test part the n_test values at the end. Each of the two
    also holds the `context` values just before its own ones, so that its first value has a past to be forecast from.
    The training part holds neither.

    Args:
        series: (L,) float64
        n_val, n_test: int, 1 or above
        context: int, 0 or above

    Returns:
        train: (L - n_val - n_test,)
        val: (context + n_val,)
        test: (context + n_test,)

    Raises:
        ValueError: n_val or n_test is below 1, no value is left for training, context is below 0 or larger than the
            training part
    """
    ### BEGIN SOLUTION
    n_train = len(series) - n_val - n_test
    if min(n_val, n_test, n_train) < 1:
        raise ValueError(f"time_split: {len(series)} values give {n_train}, {n_val} and {n_test}; each needs one")
    if not 0 <= context <= n_train:
        raise ValueError(f"time_split: context is {context}; give 0 to {n_train}")
    return series[:n_train], series[n_train - context : n_train + n_val], series[n_train + n_val - context :]
    ### END SOLUTION


def seasonal_naive(history, steps, season=1):
    """Forecast that the last season comes again, as often as needed. With a season of 1: the last value for ever.

    Args:
        history: N pasts, each a row of values with the newest one last, (N, L) float64
        steps: how many values to forecast, int, 1 or above
        season: length of a season, int, 1 or above

    Returns:
        (N, steps) float64

    Raises:
        ValueError: a season is longer than the history
    """
    ### BEGIN SOLUTION
    length = history.shape[1]
    if season > length:
        raise ValueError(f"seasonal_naive: a season of {season} in a history of {length}")
    return history[:, length - season + np.arange(steps) % season]
    ### END SOLUTION


def linear_ar(train, history, steps, order):
    """Forecast with a linear autoregression: each value is a constant plus a weighted sum of the `order` values before.

    Constant and weights are those with the least squared error over all places of `train` that have `order` values
    before them. Steps after the first are recursive: a forecast is taken for the value that is not known yet. Nothing
    is learned from `history`.

    Args:
        train: (L,) float64, with more places than unknowns
        history: N pasts, (N, M) float64, with M at least `order`; only the last `order` values of a row count
        steps: how many values to forecast, int, 1 or above
        order: int, 1 or above

    Returns:
        (N, steps) float64
    """
    ### BEGIN SOLUTION
    X, Y = make_windows(train, order)
    weights = np.linalg.lstsq(_with_ones(X), Y[:, 0], rcond=None)[0]  # (order + 1,)
    known = history
    for _ in range(steps):
        known = np.column_stack([known, _with_ones(known[:, -order:]) @ weights])
    return known[:, -steps:]
    ### END SOLUTION


### BEGIN SOLUTION
def _with_ones(x):
    return np.column_stack([x, np.ones(len(x))])


### END SOLUTION


# ------------------------------------------------------------------------------------------------------------
# P5.2  A network that forecasts
# ------------------------------------------------------------------------------------------------------------


class Forecaster(nn.Module):
    """A network that reads a window of values and forecasts the next `steps` values at once (direct forecasts).

    It works in the units of the series, and scales inside: with its buffers mean and std,

        forward(x) = mean + std * network((x - mean) / std)

    where the network depends on the parameters alone. Its layers are yours; it is not linear, and each row is computed
    by itself. (A sum of a linear layer and a network with one hidden layer is a good start.)

    Attributes:
        window, steps: int
        mean, std: buffers, float32 tensors of shape (), 0 and 1 in a new model; `fit` sets them
    """

    def __init__(self, window, steps, hidden=32):
        """Make the layers: `window` values in, `steps` values out, about `hidden` units between them."""
        ### BEGIN SOLUTION
        super().__init__()
        self.window, self.steps = window, steps
        self.register_buffer("mean", torch.tensor(0.0))
        self.register_buffer("std", torch.tensor(1.0))
        self.line = nn.Linear(window, steps)
        self.bend = nn.Sequential(nn.Linear(window, hidden), nn.SiLU(), nn.Linear(hidden, steps))
        ### END SOLUTION

    def forward(self, x):
        """Windows (N, window) float32 -> forecasts (N, steps), both in the units of the series."""
        ### BEGIN SOLUTION
        x = (x - self.mean) / self.std
        return self.mean + self.std * (self.line(x) + self.bend(x))
        ### END SOLUTION


def fit(model, train, val, epochs=30, seed=0):
    """Train a Forecaster, in place, and keep the best of its epochs.

    1. Set model.mean and model.std to the mean and the standard deviation (divided by L) of `train`; if all values of
       train are equal, std is 1 (also where rounding makes the computed deviation 1e-17 instead of 0).
    2. In each epoch each window of `train` (as by make_windows) is used once, in a new random order, in mini-batches
       of at most 64: one call of model(batch) for each, in training mode, and the gradients cleared before the backward
       pass. The loss is your choice, and so are the optimiser and a schedule.
    3. After each epoch measure the mean absolute error over all windows and steps of `val`, in eval mode and in the
       units of the series.
    4. At the end the model has the parameters of the epoch with the smallest of these errors (the first one, if
       several are equal), and is in eval mode.

    `val` decides which epoch is kept, and nothing else. The same model, arguments and seed give the same parameters
    and errors, whatever the global random states are; another seed gives another order.

    With the defaults, on 500 values to learn from and 100 to choose with, a Forecaster(24, 6) has at most 0.92 times
    the mean absolute error of seasonal_naive on the future of a series of drawn.seasonal (season 12), and a
    Forecaster(6, 2) has at most 0.6 times that of linear_ar (order 6) on the future of a series of drawn.population. A
    training takes at most 15 CPU seconds.

    Args:
        model: a Forecaster, changed in place
        train: (L,) float64
        val: (M,) float64, as from time_split with a context of model.window
        epochs: int, 1 or above; you may choose another default
        seed: int, 0 or above

    Returns:
        the mean absolute error on `val` after each epoch, a list of `epochs` floats
    """
    ### BEGIN SOLUTION
    torch.manual_seed(seed)
    with torch.no_grad():
        model.mean.fill_(float(train.mean()))
        model.std.fill_(float(train.std()) if np.ptp(train) > 0 else 1.0)
    X, Y = (torch.from_numpy(part).float() for part in make_windows(train, model.window, model.steps))
    val_X, val_Y = make_windows(val, model.window, model.steps)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    errors, best = [], None
    for epoch in range(epochs):
        for group in optimizer.param_groups:  # rise for four epochs, then fall to almost nothing
            group["lr"] = 0.02 * min(1, (epoch + 1) / 4) * 0.5 * (1 + math.cos(math.pi * epoch / epochs))
        model.train()
        for batch in torch.randperm(len(X)).split(64):
            loss = F.mse_loss(model(X[batch]) / model.std, Y[batch] / model.std)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        error = float(np.abs(forecast(model, val_X, model.steps) - val_Y).mean())
        if error < min(errors, default=math.inf):
            best = {name: value.clone() for name, value in model.state_dict().items()}
        errors.append(error)
    model.load_state_dict(best)
    model.eval()
    return errors
    ### END SOLUTION


def forecast(model, history, steps):
    """Forecast any number of steps after each past, in eval mode; each layer is left in the mode in which it was.

    A model gives model.steps values at once: these are direct. If more are asked for, they are taken for values of the
    series, and the model goes on from there, again model.steps values at a time (recursive). If fewer are left to
    forecast than it gives, the rest is cut off.

    Args:
        model: a Forecaster, or another module with `window` and `steps`, that maps (N, window) float32 to (N, steps)
        history: N pasts, (N, L) float64, with L at least model.window; only the last model.window values count
        steps: how many values to forecast, int, 1 or above

    Returns:
        (N, steps) float64
    """
    ### BEGIN SOLUTION
    modes = [(layer, layer.training) for layer in model.modules()]
    model.eval()
    known = torch.from_numpy(history).float()
    found = 0
    with torch.no_grad():
        while found < steps:
            known = torch.cat([known, model(known[:, -model.window :])], dim=1)
            found += model.steps
    for layer, mode in modes:
        layer.training = mode
    start = history.shape[1]
    return known[:, start : start + steps].double().numpy()
    ### END SOLUTION


# ------------------------------------------------------------------------------------------------------------
# P5.3  How wrong will it be?
# ------------------------------------------------------------------------------------------------------------


def prediction_interval(model, calibration, history, level=0.9):
    """Forecast model.steps values with an interval that should hold a share `level` of them (split conformal).

    Take all M windows of `calibration` (as by make_windows). For each step by itself, sort the M absolute errors of the
    model's forecasts; the k-th smallest, with k = level * (M + 1) rounded up, is half the width of the interval for
    this step, on both sides of the forecast. No shape of the errors is assumed.

    Args:
        model: as for `forecast`
        calibration: a part of the series from which the model has not learned, (L,) float64
        history: N pasts, (N, L') float64, as for `forecast`
        level: float between 0 and 1

    Returns:
        lower: (N, model.steps) float64
        upper: (N, model.steps) float64

    Raises:
        ValueError: k is larger than M: the calibration part is too short for this level
    """
    ### BEGIN SOLUTION
    X, Y = make_windows(calibration, model.window, model.steps)
    errors = np.sort(np.abs(Y - forecast(model, X, model.steps)), axis=0)  # (M, steps)
    k = math.ceil(level * (len(errors) + 1) - 1e-9)
    if k > len(errors):
        raise ValueError(f"prediction_interval: {len(errors)} windows are too few for a level of {level}")
    middle, half = forecast(model, history, model.steps), errors[k - 1]
    return middle - half, middle + half
    ### END SOLUTION


def coverage(lower, upper, actual):
    """Return the share of actual values inside their intervals, for each step. An end of an interval is inside.

    Args:
        lower, upper, actual: (N, steps) float64

    Returns:
        (steps,) float64
    """
    ### BEGIN SOLUTION
    return ((lower <= actual) & (actual <= upper)).mean(axis=0)
    ### END SOLUTION


# ------------------------------------------------------------------------------------------------------------
# P5.4  Check what comes in
# ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Config:
    """All that a run of the pipeline depends on (this class is complete).

    Attributes:
        data: path of a CSV file, str or Path; the file exists
        out: path of the folder for all that a run writes, str or Path; it is no file, and it need not exist
        target: name of the column with the labels, str, not empty
        features: names of the columns to learn from, a tuple of str, none of them empty or twice or the target, at
            least one; None: all columns except the target
        val_share, test_share: which part of the rows is for validation and for the test, above 0 and at most 0.4
        hidden: about how many units the network has, int, 1 or above
        epochs: the most epochs that are trained, int, 1 or above
        batch_size: int, 1 or above
        patience: stop after this number of epochs without a better validation loss, int, 1 or above
        lr: largest learning rate, above 0
        seed: int, 0 or above
    """

    data: str | Path = "data/wine.csv"
    out: str | Path = "runs/wine"
    target: str = "cultivar"
    features: tuple[str, ...] | None = None
    val_share: float = 0.2
    test_share: float = 0.2
    hidden: int = 32
    epochs: int = 40
    batch_size: int = 32
    patience: int = 10
    lr: float = 0.02
    seed: int = 0


@dataclass(frozen=True)
class Table:
    """The rows of a CSV file as numbers (this class is complete).

    Attributes:
        features: names of the columns of x, a tuple
        classes: all different labels of the file, sorted, a tuple
        x: (N, D) float64
        y: (N,) int64: for each row the index of its label in `classes`
    """

    features: tuple[str, ...]
    classes: tuple[str, ...]
    x: np.ndarray
    y: np.ndarray


class Faults(ValueError):
    """All that is wrong, a sentence for each fault (this class is complete)."""

    def __init__(self, sentences):
        self.sentences = tuple(sentences)
        super().__init__("\n".join(self.sentences))


def validate(config):
    """Raise Faults if a field of a config has a value that is not allowed; the docstring of Config says what is.

    There is exactly one sentence for each faulty field, in the order of the fields in Config, and none for the others.
    A sentence begins with the name of the field and a colon, and contains the repr of its value.

    For an int field True, 3.0 and "3" are not allowed. For a float field an int is allowed, and True, "3", nan and
    infinity are not. A list is no tuple.

    Args:
        config: a Config

    Returns:
        None
    """
    ### BEGIN SOLUTION
    rules = {
        "data": (lambda v: _is_path(v) and os.path.isfile(v), "the path of a CSV file that exists"),
        "out": (lambda v: _is_path(v) and not os.path.isfile(v), "the path of a folder"),
        "target": (lambda v: isinstance(v, str) and v != "", "the name of a column"),
        "features": (lambda v: v is None or _are_names(v, config.target), "None, or a tuple of different columns"),
        "val_share": (lambda v: _is_float(v) and 0 < v <= 0.4, "a number above 0 and at most 0.4"),
        "test_share": (lambda v: _is_float(v) and 0 < v <= 0.4, "a number above 0 and at most 0.4"),
        "lr": (lambda v: _is_float(v) and v > 0, "a number above 0"),
        "seed": (lambda v: type(v) is int and v >= 0, "a whole number, 0 or above"),
    }
    whole = (lambda v: type(v) is int and v >= 1, "a whole number, 1 or above")
    sentences = []
    for field in fields(config):
        value = getattr(config, field.name)
        is_allowed, wanted = rules.get(field.name, whole)
        if not is_allowed(value):
            sentences.append(f"{field.name}: {value!r} is not allowed; give {wanted}")
    if sentences:
        raise Faults(sentences)
    ### END SOLUTION


### BEGIN SOLUTION
def _is_path(value):
    return isinstance(value, (str, os.PathLike))


def _is_float(value):
    return type(value) in (int, float) and math.isfinite(value)


def _are_names(value, target):
    if not isinstance(value, tuple) or not value or not all(isinstance(name, str) and name for name in value):
        return False
    return len(set(value)) == len(value) and target not in value


### END SOLUTION
def load_table(path, target="target", features=None):
    """Read a CSV file, or raise Faults with a sentence for each thing that is wrong with it: all of them at once.

    The first line names the columns; each further line is a row. Cells are separated by commas (module csv, UTF-8).
    Spaces at both ends of a cell do not count, and lines without any character are no rows. Columns that are neither
    the target nor a feature are not looked at. Lines are numbered as in an editor: the header is line 1.

    Each sentence begins as follows. What comes after the colon is your choice, where nothing is said about it:

        file: ...                  the file cannot be read, or has no header. There is no further sentence then.
        column NAME: ...           a feature or the target is not in the header, or is there twice. The other columns
                                   are checked as usual.
        rows: ...                  there is no row
        line 7: ...                the line has more or fewer cells than the header. Nothing else is said of it.
        line 7, column NAME: ...   a feature that is no number, is empty, nan or infinite; or a target that is empty.
                                   The sentence contains the cell as it is in the file.
        line 7: ...                in all of the used columns that are in the header once, the cells are the same as in
                                   an earlier line. The sentence contains the number of the first such line: "line 3".

    Args:
        path: str or Path
        target: name of the column with the labels
        features: names of the columns to learn from, a tuple; None: all columns except the target, as in the header

    Returns:
        a Table, with its rows in the order of the file and its columns in the order of `features`
    """
    ### BEGIN SOLUTION
    try:
        with open(path, newline="", encoding="utf-8") as file:
            reader = csv.reader(file)
            lines = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader if cells]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise Faults([f"file: {path} cannot be read ({error})"]) from error
    if not lines:
        raise Faults([f"file: {path} is empty; its first line must name the columns"])
    (_, header), *rows = lines
    names = tuple(dict.fromkeys(name for name in header if name != target)) if features is None else tuple(features)
    faults, places = [], {}
    for name in (*names, target):
        if header.count(name) == 1:
            places[name] = header.index(name)
        else:
            faults.append(f"column {name}: it is {'missing' if name not in header else 'there twice'}")
    if not rows:
        faults.append(f"rows: {path} has none")
    x, labels, first = [], [], {}
    for number, cells in rows:
        if len(cells) != len(header):
            faults.append(f"line {number}: it has {len(cells)} cells, and the header has {len(header)}")
            continue
        for name, place in places.items():
            if cells[place] == "" if name == target else not _is_number(cells[place]):
                wanted = "a label" if name == target else "a finite number"
                faults.append(f"line {number}, column {name}: {cells[place]!r} is not {wanted}")
        used = tuple(cells[place] for place in places.values())
        if used in first:
            faults.append(f"line {number}: it is the same as line {first[used]}")
        first.setdefault(used, number)
        x.append([cells[places[name]] for name in names if name in places])
        labels.append(cells[places[target]] if target in places else "")
    if faults:
        raise Faults(faults)
    classes = tuple(sorted(set(labels)))
    y = np.array([classes.index(label) for label in labels])
    return Table(names, classes, np.array(x, dtype=np.float64), y)
    ### END SOLUTION


### BEGIN SOLUTION
def _is_number(cell):
    try:
        return math.isfinite(float(cell))
    except ValueError:
        return False


### END SOLUTION


# ------------------------------------------------------------------------------------------------------------
# P5.5  The pipeline
# ------------------------------------------------------------------------------------------------------------

#: the steps of a run, in order, and the files in the folder `out` that each step leaves
STEPS = {
    "split": ("split.json",),
    "prepare": ("statistics.json",),
    "train": ("model.pt", "history.json"),
    "evaluate": ("metrics.json",),
    "present": ("figures/learning_curve.png", "figures/confusion.png", "card.md"),
}


@dataclass(frozen=True)
class Report:
    """What came out of a run (this class is complete).

    Attributes:
        data_digest: the SHA-256 of the bytes of the data file, in hexadecimal digits
        seed: of the config
        classes: of the table
        rows: how many rows are for training, validation and test, three ints
        epochs: how many epochs were trained
        best_epoch: the epoch with the lowest validation loss, the first one is 1
        val_loss: the validation loss of that epoch
        test_accuracy: the share of test rows whose class the model gets right
        majority_accuracy: the same for a model that always says the most frequent class of the training rows (the
            first of them in `classes`, if there are several)
        confusion: for each true class, how many test rows of it the model takes for each class, K rows of K ints
    """

    data_digest: str
    seed: int
    classes: tuple[str, ...]
    rows: tuple[int, int, int]
    epochs: int
    best_epoch: int
    val_loss: float
    test_accuracy: float
    majority_accuracy: float
    confusion: tuple[tuple[int, ...], ...]


def run_pipeline(config):
    """Go from a config and a CSV file to a model, numbers, figures and a card, in the folder `out`.

    First validate the config, then load the table: Faults are raised before `out` is made. Loading checks and reads all
    rows, and gives the names of all classes. Then come the steps of STEPS:

    split: draw which rows are for training, validation and test. Of N rows, val_share * N (rounded) are for validation
        and test_share * N (rounded) for the test. The seed, N and both shares decide, not what is in the rows.
            split.json         {"train": [...], "val": [...], "test": [...]}, row numbers from 0, each row in one part
        From here on the test rows are in a Holdout (see holdout.py).
    prepare: the mean and standard deviation (divided by the number of rows) of each feature, of the training rows
        alone. A feature that is constant there gets a standard deviation of 1 (also where rounding makes the computed
        deviation 1e-17 instead of 0).
            statistics.json    {"mean": [...], "std": [...]}
        All that the model is given is (x - mean) / std, float32.
    train: an nn.Module of your choice that gives K raw scores, with cross-entropy. In each epoch each training row is
        used once, in a new random order, in batches of batch_size (the last one may be smaller), with one call of
        loss.backward() and one step of an optimiser of torch for each batch. After each epoch measure the
        cross-entropy of the validation rows (their mean, in eval mode). Stop when `patience` epochs in a row had no
        lower one than the lowest before them.
            model.pt           the model of the epoch with the lowest validation loss (the first such), and what else
                               `predict` needs, by torch.save
            history.json       {"train_loss": [...], "val_loss": [...]}, a number for each epoch; the first is the mean
                               over all training rows, as it was during the epoch
    evaluate: call Holdout.read, for the first time and once, when the files of `train` are there. Measure.
            metrics.json       an object with the attributes of the Report as keys; tuples become lists
    present: figures that show the two losses of each epoch, and the confusion; and a card for a stranger.
            figures/learning_curve.png, figures/confusion.png
            card.md            a text that contains: the name of the data file (without folders), its digest, the
                               target, all classes, the three numbers of rows, the seed, and both accuracies with
                               three decimals

    Everything is decided by the config and the data: two runs in two folders, whatever the global random states and
    the folders' names are, give equal Reports, and files whose content is equal (the figures and model.pt: equal in
    what they show and predict). So a card holds no date and not the name of `out`. Another seed gives another split,
    other first weights and other orders.

    Nothing is written outside of `out`, and files there that belong to no run stay. No figure is shown, and none is
    left open. You may import matplotlib inside of your functions.

    The default values reach an accuracy of 0.90 on rows that nobody has seen, for 300 rows of drawn.table (a majority
    vote gets 0.40). It takes at most 20 CPU seconds.

    Args:
        config: a Config; the table has at least 20 rows

    Returns:
        a Report
    """
    ### BEGIN SOLUTION
    validate(config)
    table = load_table(config.data, config.target, config.features)
    out = Path(config.out)
    if not steps_done(config):
        for name in (*(name for names in STEPS.values() for name in names), "checkpoint.pt"):
            (out / name).unlink(missing_ok=True)  # of another run
        _write(out / "run.json", _identity(config).encode())
    work = {"split": _split, "prepare": _prepare, "train": _train, "evaluate": _evaluate, "present": _present}
    for step in list(STEPS)[len(steps_done(config)) :]:
        work[step](config, table, out)
    return _report(out)
    ### END SOLUTION


def predict(out, x):
    """Say how likely each class is for new rows, with what a complete run has left in its folder, and nothing else.

    Args:
        out: the folder of a run, str or Path
        x: features in the units and the order of the table, (N, D) float64, N at least 1

    Returns:
        (N, K) float: probabilities, in the order of the Report's classes; each row depends on that row of x alone
    """
    ### BEGIN SOLUTION
    saved = torch.load(Path(out) / "model.pt", weights_only=True)
    model = _network(*saved["sizes"])
    model.load_state_dict(saved["state"])
    with torch.no_grad():
        return model.eval()(_scaled(Path(out), x)).softmax(dim=1).numpy()
    ### END SOLUTION


### BEGIN SOLUTION
def _split(config, table, out):
    order = np.random.default_rng(config.seed).permutation(len(table.x)).tolist()
    n_test, n_val = (round(share * len(order)) for share in (config.test_share, config.val_share))
    parts = {"test": order[:n_test], "val": order[n_test : n_test + n_val], "train": order[n_test + n_val :]}
    _write_json(out / "split.json", parts)


def _prepare(config, table, out):
    train = table.x[_read_json(out / "split.json")["train"]]
    std = np.where(np.ptp(train, axis=0) > 0, train.std(axis=0), 1.0)
    _write_json(out / "statistics.json", {"mean": train.mean(axis=0).tolist(), "std": std.tolist()})


def _train(config, table, out):
    parts = _read_json(out / "split.json")
    (x, y), (val_x, val_y) = (
        (_scaled(out, table.x[rows]), torch.from_numpy(table.y[rows])) for rows in (parts["train"], parts["val"])
    )
    sizes = [x.shape[1], config.hidden, len(table.classes)]
    torch.manual_seed(config.seed)
    model = _network(*sizes)
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.lr, fused=True)
    history, best = {"train_loss": [], "val_loss": []}, None
    checkpoint = out / "checkpoint.pt"
    if checkpoint.exists():
        kept = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(kept["model"])
        optimizer.load_state_dict(kept["optimizer"])
        history, best = kept["history"], kept["best"]
    while not _is_over(history["val_loss"], config):
        torch.manual_seed(1_000_003 * config.seed + 1 + len(history["val_loss"]))  # an epoch draws the same, always
        paid = 0.0
        model.train()
        for batch in torch.randperm(len(x)).split(config.batch_size):
            loss = F.cross_entropy(model(x[batch]), y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            paid += loss.item() * len(batch)
        model.eval()
        with torch.no_grad():
            val_loss = F.cross_entropy(model(val_x), val_y).item()
        if val_loss < min(history["val_loss"], default=math.inf):
            best = {name: value.clone() for name, value in model.state_dict().items()}
        history["train_loss"].append(paid / len(x))
        history["val_loss"].append(val_loss)
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "history": history, "best": best}
        _write_torch(checkpoint, state)
    _write_torch(out / "model.pt", {"sizes": sizes, "state": best})
    _write_json(out / "history.json", history)


def _is_over(losses, config):
    return len(losses) >= config.epochs or (len(losses) and len(losses) - _best(losses) >= config.patience)


def _best(losses):
    """The epoch with the lowest loss, counted from 1."""
    return losses.index(min(losses)) + 1


def _evaluate(config, table, out):
    parts, history = _read_json(out / "split.json"), _read_json(out / "history.json")
    holdout = Holdout(table.x[parts["test"]], table.y[parts["test"]])
    K = len(table.classes)
    x, y = holdout.read()
    said = predict(out, x).argmax(axis=1)
    confusion = np.zeros((K, K), dtype=int)
    np.add.at(confusion, (y, said), 1)
    majority = np.bincount(table.y[parts["train"]], minlength=K).argmax()
    best = _best(history["val_loss"])
    report = Report(
        data_digest=_digest(config.data),
        seed=config.seed,
        classes=table.classes,
        rows=tuple(len(parts[name]) for name in ("train", "val", "test")),
        epochs=len(history["val_loss"]),
        best_epoch=best,
        val_loss=history["val_loss"][best - 1],
        test_accuracy=float((said == y).mean()),
        majority_accuracy=float((y == majority).mean()),
        confusion=tuple(map(tuple, confusion.tolist())),
    )
    _write_json(out / "metrics.json", asdict(report))


def _present(config, table, out):
    from matplotlib.figure import Figure

    report, history = _report(out), _read_json(out / "history.json")
    figure = Figure(figsize=(6, 4), dpi=80)
    axes = figure.add_subplot()
    for name, losses in history.items():
        axes.plot(range(1, report.epochs + 1), losses, label=name.replace("_", " "))
    axes.axvline(report.best_epoch, color="grey", linestyle=":", label="kept")
    axes.set(xlabel="epoch", ylabel="cross-entropy")
    axes.legend()
    _write_figure(out / "figures" / "learning_curve.png", figure)

    figure = Figure(figsize=(5, 4), dpi=80)
    axes = figure.add_subplot()
    axes.imshow(report.confusion, cmap="Blues", vmin=0)
    for row, counts in enumerate(report.confusion):
        for column, count in enumerate(counts):
            axes.text(column, row, count, ha="center", va="center")
    axes.set_xticks(range(len(report.classes)), report.classes)
    axes.set_yticks(range(len(report.classes)), report.classes)
    axes.set(xlabel="what the model says", ylabel="what it is")
    _write_figure(out / "figures" / "confusion.png", figure)

    train, val, test = report.rows
    card = f"""# A classifier for the column {config.target}

Data: {Path(config.data).name} (SHA-256 {report.data_digest})
Features: {", ".join(table.features)}
Classes: {", ".join(report.classes)}
Rows: {train} for training, {val} for validation, {test} for the test
Seed: {config.seed}

It was trained for {report.epochs} epochs; epoch {report.best_epoch} is kept. On the test rows, which were read once,
its accuracy is {report.test_accuracy:.3f}. The most frequent class alone has {report.majority_accuracy:.3f}.
"""
    _write(out / "card.md", card.encode())


def _network(d, hidden, K):
    return nn.Sequential(nn.Linear(d, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, K))


def _scaled(out, x):
    """The rows as a model gets them."""
    kept = _read_json(out / "statistics.json")
    return torch.from_numpy((x - np.array(kept["mean"])) / np.array(kept["std"])).float()


def _report(out):
    kept = _read_json(out / "metrics.json")
    confusion = tuple(map(tuple, kept.pop("confusion")))
    return Report(**{name: tuple(v) if isinstance(v, list) else v for name, v in kept.items()}, confusion=confusion)


def _digest(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def _identity(config):
    """A text that two runs share if their results are the same."""
    name = Path(config.data).name
    return json.dumps({**asdict(config), "out": "", "data": name, "digest": _digest(config.data)}, indent=1)


def _read_json(path):
    return json.loads(path.read_text())


def _write(path, content):
    """Write a file whole or not at all: a stop leaves what was there before."""
    os.makedirs(path.parent, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_bytes(content)
    os.replace(part, path)


def _write_json(path, value):
    _write(path, json.dumps(value, indent=1).encode())


def _write_torch(path, value):
    buffer = io.BytesIO()
    torch.save(value, buffer)
    _write(path, buffer.getvalue())


def _write_figure(path, figure):
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    _write(path, buffer.getvalue())


### END SOLUTION


# ------------------------------------------------------------------------------------------------------------
# P5.6  Go on where it stopped
# ------------------------------------------------------------------------------------------------------------


def steps_done(config):
    """Say which steps of the run of a config are finished in its folder.

    A step is finished if it and all steps before it have left all their files, whole, for this config and this content
    of the data file. (`out` itself is not part of what a run depends on: a folder may be moved.) Nothing is written.

    And run_pipeline goes on where it was stopped, at any point, also in the middle of writing a file:
        * the Report, split.json, statistics.json, history.json, metrics.json and card.md are exactly those of a run
          without a stop, and `predict` says the same
        * finished steps are not done again: their files are not written again, finished epochs of `train` are not
          trained again, and after `evaluate` the Holdout is not read. So a run of a complete folder only reads it.
        * if a file of a step is deleted, that step is done again, and those before it are not
        * a folder may hold the files of a run with another config or other data. Then all steps are done again.

    Args:
        config: a Config without faults

    Returns:
        the names of the finished steps, in order, a tuple
    """
    ### BEGIN SOLUTION
    out, done = Path(config.out), []
    kept = out / "run.json"
    if kept.exists() and kept.read_text() == _identity(config):
        for step, names in STEPS.items():
            if not all((out / name).exists() for name in names):
                break
            done.append(step)
    return tuple(done)
    ### END SOLUTION
