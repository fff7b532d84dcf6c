"""Deep learning best practices: splits, metrics, early stopping, learning rates, search, diagnostics, deployment.

8.1, 8.2, 8.5, `ece` and `fit_temperature` are NumPy, the formulas of 8.4 are plain Python, the rest is PyTorch.
Letters: N rows, D columns, C classes, k folds.

Rules for the whole file:
    * no function changes its arguments, except where its docstring says so, and no result shares memory with them.
    * all chance comes from `rng`, a np.random.Generator: two generators of one seed give the same result, another seed
      gives another result. torch's and NumPy's global generators decide nothing.
    * labels are whole numbers from 0 to C - 1 in integer arrays.
    * where several things are returned, a tuple or a list will do. Numbers are Python or NumPy numbers.
    * how you compute something is free. Loops over rows are quick enough, except where a docstring says what is not.
"""

from __future__ import annotations

import copy
import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

# ------------------------------------------------------------------------------------------------------------
# 8.1  Splits that can be trusted
# ------------------------------------------------------------------------------------------------------------


def train_val_test_split(y, sizes, stratify=False, groups=None, rng=None):
    """Divide the rows 0 ... N - 1 at random into three parts: train, validation and test. Each row is in exactly one.

    The *share* of a part is the number of rows that it should get: its count, or its fraction times N. With stratify
    there is a share for each class by itself: the class's number of rows, times the part's part of the whole.

        without groups: a part gets its share, rounded down or up as you like; with stratify this is so for each
            class. A count without stratify is met exactly.
        with groups: all rows of a group are in the same part. Groups have different sizes, so a part may miss its
            share by at most twice the rows of the largest group; with stratify, of each class by at most twice the
            rows of the largest group in this class.
        with stratify, train has at least one row of each class, also of a class with one row or with one group.

    Args:
        y: labels, (N,) integer array
        sizes: of train, validation and test: three ints that add up to N, or three floats that add up to 1. That of
            train is above 0, the others are 0 or above
        stratify: whether each class is divided by itself, bool
        groups: None, or (N,) integer array: rows with the same number belong together (such as photos of one person)
        rng: np.random.Generator; None: a new one

    Returns:
        train, val, test: integer arrays of row numbers, each in any order

    Raises:
        ValueError: sizes are not three, one of them is below 0, or they do not add up (fractions: within 1e-6); or,
            with stratify and groups, a group has rows of two classes
    """
    ### BEGIN SOLUTION
    n = len(y)
    whole = n if all(isinstance(size, (int, np.integer)) for size in sizes) else 1.0
    if len(sizes) != 3 or min(sizes) < 0 or abs(sum(sizes) - whole) > 1e-6:
        raise ValueError(f"sizes {sizes} are no three parts of {whole}")
    parts = np.array(sizes, dtype=float) / whole
    return _deal(y if stratify else np.zeros(n, dtype=int), parts, groups, rng, feeds_first=stratify)
    ### END SOLUTION


### BEGIN SOLUTION
def _deal(strata, parts, groups, rng, feeds_first=False):
    """Deal groups, in random order and stratum by stratum, to the part that still wants most rows of the stratum."""
    rng = np.random.default_rng() if rng is None else rng
    n = len(strata)
    _, groups = np.unique(np.arange(n) if groups is None else groups, return_inverse=True)
    members = np.split(np.argsort(groups, kind="stable"), np.cumsum(np.bincount(groups))[:-1])
    if any(len(np.unique(strata[rows])) > 1 for rows in members):
        raise ValueError("a group has rows of two classes")
    of_stratum = {stratum: [] for stratum in np.unique(strata)}
    for rows in members:
        of_stratum[strata[rows[0]]].append(rows)
    dealt = [[] for _ in parts]
    wanted = parts * n
    for own in of_stratum.values():
        missing = parts * sum(len(rows) for rows in own)
        for turn, number in enumerate(rng.permutation(len(own))):
            rows = own[number]
            most = np.flatnonzero(missing > missing.max() - 1e-9)  # of equal ones, the part that is emptier altogether
            part = most[np.argmax(wanted[most] + 1e-6 * rng.random(len(most)))]
            if feeds_first and turn == 0:
                part = 0
            dealt[part].append(rows)
            missing[part] -= len(rows)
            wanted[part] -= len(rows)
    return tuple(np.concatenate(rows) if rows else np.zeros(0, dtype=int) for rows in dealt)


### END SOLUTION


def kfold(y, k, stratify=False, groups=None, rng=None):
    """Divide the rows at random into k folds, and let each of them be the validation set once.

    The rows of a fold: N / k, rounded down or up; with stratify this is so for each class instead of the whole. With
    groups, all rows of a group are in the same fold, and a fold may miss its N / k by at most twice the rows of the
    largest group; with stratify, of each class, by at most twice the rows of the largest group in this class. No
    fold is empty.

    Args:
        y: labels, (N,) integer array
        k: number of folds, int
        stratify, groups, rng: as in train_val_test_split

    Returns:
        k pairs (train, val) of integer arrays of row numbers, each in any order: each row is in exactly one val, and
        train has all rows that are not in the val of its pair

    Raises:
        ValueError: k is below 2, or above the number of rows (with groups: of groups); or, with stratify and groups, a
            group has rows of two classes
    """
    ### BEGIN SOLUTION
    if not 2 <= k <= len(y if groups is None else np.unique(groups)):
        raise ValueError(f"{k} folds do not fit these rows")
    strata = y if stratify else np.zeros(len(y), dtype=int)
    folds = _deal(strata, np.full(k, 1 / k), groups, rng)
    return [(np.setdiff1d(np.arange(len(y)), fold), fold) for fold in folds]
    ### END SOLUTION


class Standardizer:
    """Shift and scale columns so that those of the *training* rows have mean 0 and standard deviation 1.

    All that it knows comes from the rows that fit was given: transform learns nothing. A second fit forgets the first.

    Attributes, after fit:
        mean: (D,) float array
        std: (D,) float array, by 1 / N (not 1 / (N - 1)). A column whose entries are all equal has the std 1 here, so
            that it becomes 0; this also holds where rounding makes the computed deviation 1e-17 instead of 0
    """

    def fit(self, x):
        """Learn mean and std of x, (N, D) float32 or float64, and return the Standardizer itself."""
        ### BEGIN SOLUTION
        rows = np.asarray(x, dtype=np.float64)
        self.mean = rows.mean(axis=0)
        self.std = np.where(rows.max(axis=0) == rows.min(axis=0), 1.0, rows.std(axis=0))
        return self
        ### END SOLUTION

    def transform(self, x):
        """Return (x - mean) / std as a new array with the shape and dtype of x, (M, D).

        Raises:
            RuntimeError: fit was not called before
        """
        ### BEGIN SOLUTION
        _need_fit(self)
        return ((x - self.mean) / self.std).astype(x.dtype)
        ### END SOLUTION

    def inverse_transform(self, z):
        """Return what transform made z from, as a new array with the shape and dtype of z, (M, D).

        Raises:
            RuntimeError: fit was not called before
        """
        ### BEGIN SOLUTION
        _need_fit(self)
        return (z * self.std + self.mean).astype(z.dtype)
        ### END SOLUTION


### BEGIN SOLUTION
def _need_fit(scaler):
    if not hasattr(scaler, "mean"):
        raise RuntimeError("Standardizer: call fit with the training rows first")


### END SOLUTION


# ------------------------------------------------------------------------------------------------------------
# 8.2  Metrics
# ------------------------------------------------------------------------------------------------------------
#
# sample_weight is None, which means 1 for each row, or an (N,) array of numbers from 0: a row of weight 2 counts as if
# it were there twice.


def confusion_matrix(y_true, y_pred, n_classes=None, sample_weight=None):
    """Count, for each pair of classes, how many rows of the one were taken for the other.

    Args:
        y_true: labels, (N,) integer array
        y_pred: predicted labels, (N,) integer array
        n_classes: C, int; None: the largest label in either array, plus 1
        sample_weight: None, or (N,)

    Returns:
        (C, C) array: entry [i, j] is the number of rows of class i that were predicted as j: int64, or the sum of their
        weights: float64

    Raises:
        ValueError: y_true, y_pred and sample_weight have different lengths
    """
    ### BEGIN SOLUTION
    if len(y_true) != len(y_pred) or (sample_weight is not None and len(sample_weight) != len(y_true)):
        raise ValueError("labels, predictions and weights have different lengths")
    if n_classes is None:
        n_classes = int(max(y_true.max(), y_pred.max())) + 1
    counts = np.zeros((n_classes, n_classes), dtype=np.int64 if sample_weight is None else np.float64)
    np.add.at(counts, (y_true, y_pred), 1 if sample_weight is None else sample_weight)
    return counts
    ### END SOLUTION


def precision_recall_f1(y_true, y_pred, average="macro", n_classes=None, sample_weight=None):
    """Compute precision, recall and their harmonic mean F1 of C classes.

    Of class c: precision is the share of rows predicted as c that are c, recall is the share of rows of c that are
    predicted as c, and F1 is 2 * precision * recall / (precision + recall). Each 0 / 0 is 0, without a warning.

    Args:
        y_true, y_pred, n_classes, sample_weight: as in confusion_matrix
        average: what is returned:
            None: the three of each class
            "macro": the mean of each over all C classes (a class without any row counts too, with 0)
            "weighted": the mean of each over the classes, weighted by the rows of each class in y_true
            "micro": one precision, recall and F1 of all classes together: hits, false alarms and misses of all
                classes are added up first
            "binary": those of class 1; C is 2, also if no row has or gets this class

    Returns:
        precision, recall, f1: three numbers, or three (C,) float arrays if average is None

    Raises:
        ValueError: another average; "binary" with more than two classes; or different lengths
    """
    ### BEGIN SOLUTION
    counts = confusion_matrix(y_true, y_pred, n_classes, sample_weight).astype(float)
    hits, said, real = counts.diagonal(), counts.sum(axis=0), counts.sum(axis=1)
    if average == "micro":
        hits, said, real = hits.sum(keepdims=True), said.sum(keepdims=True), real.sum(keepdims=True)
    scores = _ratio(hits, said), _ratio(hits, real), _ratio(2 * hits, said + real)
    if average is None:
        return scores
    if average == "macro" or average == "micro":
        return tuple(float(score.mean()) for score in scores)
    if average == "weighted":
        return tuple(float(_ratio((score * real).sum(), real.sum())) for score in scores)
    if average == "binary" and len(counts) <= 2:
        return tuple(float(score[-1]) if len(counts) == 2 else 0.0 for score in scores)
    raise ValueError(f"average={average!r} of {len(counts)} classes")
    ### END SOLUTION


### BEGIN SOLUTION
def _ratio(above, below):
    """Divide; 0 / 0 is 0."""
    below = np.asarray(below, dtype=float)
    return np.where(below == 0, 0.0, above / np.where(below == 0, 1.0, below))


### END SOLUTION


def roc_auc(y_true, scores, sample_weight=None):
    """Compute the area under the ROC curve: how likely a positive row has a higher score than a negative one.

    It is the share of all pairs of a positive and a negative row in which the positive row has the higher score; a tie
    counts one half. With weights a pair counts as the product of its two weights. Comparing all pairs is too slow for
    many rows: 40,000 rows must take less than one second and less than 1 GB (sort them).

    Args:
        y_true: 0 or 1, (N,) integer array
        scores: (N,) float array, any finite numbers
        sample_weight: None, or (N,)

    Returns:
        a number from 0 to 1

    Raises:
        ValueError: y_true has one class only, or the lengths differ
    """
    ### BEGIN SOLUTION
    weights = np.ones(len(y_true)) if sample_weight is None else np.asarray(sample_weight, dtype=float)
    if not len(y_true) == len(scores) == len(weights):
        raise ValueError("labels, scores and weights have different lengths")
    if len(np.unique(y_true)) != 2:
        raise ValueError("the AUC needs rows of both classes")
    _, place = np.unique(scores, return_inverse=True)  # equal scores have one place
    positive = np.bincount(place, weights * (y_true == 1))
    negative = np.bincount(place, weights * (y_true == 0))
    below = np.cumsum(negative) - negative
    return float((positive * (below + negative / 2)).sum() / (positive.sum() * negative.sum()))
    ### END SOLUTION


def top_k(y_true, scores, k, sample_weight=None):
    """Compute the share of rows whose true class is among the k classes with the highest scores.

    A score that ties with that of the true class counts as higher, so that a network which gives all classes the same
    score gets nothing for it: the row counts if fewer than k *other* classes have a score as high or higher.

    Args:
        y_true: labels, (N,) integer array
        scores: (N, C) float array
        k: int from 1 to C
        sample_weight: None, or (N,): the share is that of the weights

    Returns:
        a number from 0 to 1
    """
    ### BEGIN SOLUTION
    own = scores[np.arange(len(y_true)), y_true]
    rivals = (scores >= own[:, None]).sum(axis=1) - 1
    return float(np.average(rivals < k, weights=sample_weight))
    ### END SOLUTION


def r2(y_true, y_pred, sample_weight=None):
    """Compute the coefficient of determination: 1 minus the squared error, divided by that of the mean of y_true.

    With weights all sums are weighted, the mean as well. If all y_true are equal, the result is 1 for predictions
    without any error, otherwise 0.

    Args:
        y_true: (N,) float array
        y_pred: (N,) float array
        sample_weight: None, or (N,)

    Returns:
        a number, at most 1; it is below 0 if the mean is the better prediction

    Raises:
        ValueError: the shapes differ, such as (N,) and (N, 1)
    """
    ### BEGIN SOLUTION
    if y_true.shape != y_pred.shape:
        raise ValueError(f"shapes {y_true.shape} and {y_pred.shape} would broadcast")
    weights = np.ones(len(y_true)) if sample_weight is None else sample_weight
    error = (weights * (y_true - y_pred) ** 2).sum()
    spread = (weights * (y_true - np.average(y_true, weights=weights)) ** 2).sum()
    if y_true.min() == y_true.max():
        return 1.0 if error == 0 else 0.0
    return float(1 - error / spread)
    ### END SOLUTION


# ------------------------------------------------------------------------------------------------------------
# 8.3  Early stopping
# ------------------------------------------------------------------------------------------------------------


class EarlyStopping:
    """Watch a validation score, say when to stop, and remember the best weights.

    A value is an *improvement* if it is better than the best so far by more than min_delta: in mode "min" it is below
    best - min_delta, in mode "max" above best + min_delta. The first finite value is an improvement. nan, inf and -inf
    never are. An epoch without an improvement leaves `best` as it is, also if its value is a little better.

    Attributes:
        best: the value of the last improvement, float; None before the first
        best_epoch: number of the epoch of that improvement (the first call of step is epoch 0), int; None before
        stopped: whether it has said that training should stop, bool
    """

    def __init__(self, patience=10, min_delta=0.0, mode="min", restore_best=True):
        """Begin with no epoch seen.

        Args:
            patience: stop after so many epochs *in a row* without an improvement, int from 1
            min_delta: by how much a value must be better, float from 0
            mode: "min" (a loss) or "max" (an accuracy)
            restore_best: whether the model gets its best weights back when training stops

        Raises:
            ValueError: a patience below 1, a min_delta below 0, or another mode
        """
        ### BEGIN SOLUTION
        if patience < 1 or min_delta < 0 or mode not in ("min", "max"):
            raise ValueError(f"patience={patience}, min_delta={min_delta}, mode={mode!r}")
        self.patience, self.min_delta, self.mode, self.restore_best = patience, min_delta, mode, restore_best
        self.reset()
        ### END SOLUTION

    def reset(self):
        """Forget all epochs and all weights, so that another training can begin."""
        ### BEGIN SOLUTION
        self.best = self.best_epoch = self._weights = None
        self.stopped = False
        self._epoch = self._waited = 0
        ### END SOLUTION

    def step(self, value, model=None):
        """Take in the score of one epoch, and say whether training should stop.

        At an improvement the weights of the model are remembered, also without restore_best: a copy of all parameters
        and buffers. When it says stop, with restore_best, the model gets those of the best epoch back (see restore).

        Args:
            value: the score of this epoch, float
            model: None, or the nn.Module that is trained: the same one in each call

        Returns:
            True in the epoch in which training should stop, otherwise False

        Raises:
            RuntimeError: it has stopped already, and reset was not called
        """
        ### BEGIN SOLUTION
        if self.stopped:
            raise RuntimeError("EarlyStopping: training has stopped; call reset before the next one")
        gain = math.inf if self.best is None else self.best - value if self.mode == "min" else value - self.best
        if math.isfinite(value) and gain > self.min_delta:
            self.best, self.best_epoch, self._waited = float(value), self._epoch, 0
            if model is not None:
                self._weights = copy.deepcopy(model.state_dict())
        else:
            self._waited += 1
        self._epoch += 1
        self.stopped = self._waited >= self.patience
        if self.stopped and self.restore_best and model is not None:
            self.restore(model)
        return self.stopped
        ### END SOLUTION

    def restore(self, model):
        """Write the remembered weights into the parameters and buffers of model, which stay the same tensors.

        It can be called at any time and any number of times, before a stop too. What is remembered stays as it is
        when the model is trained on. Without remembered weights it does nothing.
        """
        ### BEGIN SOLUTION
        if self._weights is not None:
            model.load_state_dict(self._weights)
        ### END SOLUTION


# ------------------------------------------------------------------------------------------------------------
# 8.4  Learning rates
# ------------------------------------------------------------------------------------------------------------
#
# A schedule is a formula: the rate of a step follows from the number of the step alone, which begins with 0.


def step_lr(base_lr, step, step_size, gamma=0.1):
    """Multiply the rate by gamma after every `step_size` steps: base_lr for the first step_size steps, and so on.

    Args:
        base_lr: the first rate, float
        step: int from 0
        step_size: int from 1
        gamma: float

    Returns:
        the rate, float
    """
    ### BEGIN SOLUTION
    return base_lr * gamma ** (step // step_size)
    ### END SOLUTION


def cosine_lr(base_lr, step, total, min_lr=0.0):
    """Go from base_lr at step 0 to min_lr at step `total` along half a cosine wave, and stay there.

    Half way, at step total / 2, the rate is the mean of both.

    Args:
        base_lr: the first rate, float
        step: int from 0; at `total` and above the rate is min_lr
        total: int from 1
        min_lr: the last rate, float

    Returns:
        the rate, float
    """
    ### BEGIN SOLUTION
    part = min(step / total, 1.0)
    return min_lr + (base_lr - min_lr) * (1 + math.cos(math.pi * part)) / 2
    ### END SOLUTION


def warmup_cosine(base_lr, step, warmup, total, min_lr=0.0):
    """Rise in a straight line for `warmup` steps, then fall as in cosine_lr.

    The steps 0, 1, ..., warmup - 1 have the rates 1 / warmup, 2 / warmup, ..., 1 times base_lr: the first step is not
    lost. Half a cosine wave goes from base_lr at step `warmup` to min_lr at step `total`, and stays there.

    Args:
        base_lr: the largest rate, float
        step: int from 0
        warmup: int from 0 (no rise) to total - 1
        total: int
        min_lr: the last rate, float

    Returns:
        the rate, float
    """
    ### BEGIN SOLUTION
    if step < warmup:
        return base_lr * (step + 1) / warmup
    return cosine_lr(base_lr, step - warmup, total - warmup, min_lr)
    ### END SOLUTION


def one_cycle(max_lr, step, total, pct_start=0.3, div=25.0, final_div=1e4):
    """Rise to max_lr and fall to almost nothing, both along half a cosine wave (Smith, 2018).

    There are `total` steps, 0 to total - 1. The first rate is max_lr / div. The peak, max_lr, is at the place
    pct_start * total - 1, which may be between two steps. The rate of step total - 1, and of each later one, is
    max_lr / (div * final_div). (So does torch.optim.lr_scheduler.OneCycleLR.)

    Args:
        max_lr: the largest rate, float
        step: int from 0
        total: int from 10
        pct_start: part of the steps that rise, float from 0.2 to 0.8
        div, final_div: floats above 1

    Returns:
        the rate, float
    """
    ### BEGIN SOLUTION
    first = max_lr / div
    peak = pct_start * total - 1
    if step <= peak:
        return cosine_lr(first, step, peak, max_lr)
    return cosine_lr(max_lr, step - peak, total - 1 - peak, first / final_div)
    ### END SOLUTION


def lr_range_test(model, batches, loss_fn, low=1e-5, high=10.0, steps=100):
    """Try rates from low to high, one in each step of plain SGD, and suggest one (Smith, 2017).

    Step i takes the batch i % len(batches), and has the rate low * (high / low) ** (i / (steps - 1)). The loss of a
    step is that of its batch before the update. The test ends after `steps` steps, or at the first loss that is nan,
    inf, or above four times the smallest loss so far; that loss is the last of the result. The model, with all its
    layers, is in train mode meanwhile.

    The rule of the suggestion is your choice, if it works: plain SGD with the suggested rate, on the same batches,
    takes the loss of a small network to less than half of the first loss in 100 steps, if this network can learn its
    task with a rate between low and high. It is one number from low to high.

    At the end the model is as it was: parameters, buffers and the mode of each layer; and the .grad of each parameter.

    Args:
        model: nn.Module
        batches: list of pairs (x, y) of tensors
        loss_fn: loss_fn(model(x), y) is a scalar tensor
        low, high: the first rate and the last, floats
        steps: int from 2

    Returns:
        rates: of the steps that were taken, (S,) float array or list
        losses: of these steps, (S,) float array or list
        suggestion: float
    """
    ### BEGIN SOLUTION
    trial = copy.deepcopy(model).train()
    rates, losses = [], []
    for i in range(steps):
        x, y = batches[i % len(batches)]
        rates.append(low * (high / low) ** (i / (steps - 1)))
        loss = loss_fn(trial(x), y)
        losses.append(loss.item())
        if not losses[-1] <= 4 * min(losses):
            break
        trial.zero_grad()
        loss.backward()
        with torch.no_grad():
            for parameter in trial.parameters():
                if parameter.grad is not None:
                    parameter -= rates[-1] * parameter.grad
    smooth, kept = [], 0.0
    for i, loss in enumerate(losses):
        kept = 0.8 * kept + 0.2 * loss
        smooth.append(kept / (1 - 0.8 ** (i + 1)))
    best = int(np.argmin(np.nan_to_num(smooth, nan=math.inf)))
    return np.array(rates), np.array(losses), max(rates[best] / 10, low)
    ### END SOLUTION


# ------------------------------------------------------------------------------------------------------------
# 8.5  Hyper-parameter search
# ------------------------------------------------------------------------------------------------------------


def log_uniform(low, high, rng):
    """Draw a float from low to high whose logarithm is uniformly distributed; 0 < low < high."""
    ### BEGIN SOLUTION
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
    ### END SOLUTION


def sample(space, rng):
    """Draw one configuration from a space.

    Args:
        space: dict. Its values say how the value of the same key is drawn:
            ("uniform", low, high): a float from low to high, uniform
            ("log_uniform", low, high): as in log_uniform
            ("int", low, high): an int from low to high, *both included*, each as likely as the others
            ("choice", options): one of a list of options, each as likely as the others. If the chosen option is a dict,
                it is a space, and a configuration of it is drawn
            a dict: a space by itself, and a configuration of it is drawn
            anything else (a number, a text, a list, another tuple): a constant, taken as it is
        rng: np.random.Generator

    Returns:
        a new dict with the keys of space. It shares nothing with space: a caller may change it, also its lists
    """
    ### BEGIN SOLUTION
    return {key: _drawn(rule, rng) for key, rule in space.items()}
    ### END SOLUTION


### BEGIN SOLUTION
def _drawn(rule, rng):
    if isinstance(rule, dict):
        return sample(rule, rng)
    kind = rule[0] if isinstance(rule, tuple) and rule else None
    if kind == "uniform":
        return float(rng.uniform(rule[1], rule[2]))
    if kind == "log_uniform":
        return log_uniform(rule[1], rule[2], rng)
    if kind == "int":
        return int(rng.integers(rule[1], rule[2], endpoint=True))
    if kind == "choice":
        option = rule[1][rng.integers(len(rule[1]))]
        return sample(option, rng) if isinstance(option, dict) else copy.deepcopy(option)
    return copy.deepcopy(rule)


### END SOLUTION


def random_search(space, objective, n, rng):
    """Draw n configurations, try each of them once, and keep the best.

    Each trial gets a configuration of its own and a seed of its own, both from rng; with high probability all seeds
    differ. What the objective does with its configuration does not change what is kept of it. An objective that returns
    nan has failed: such a trial is kept in the list, but never is the best. Of equal values the first is the best.

    Args:
        space: as in sample
        objective: objective(config, seed) -> a float: the larger the better. seed is an int from 0 to 2**31 - 1
        n: number of trials, int from 1
        rng: np.random.Generator

    Returns:
        dict with (at least) the keys
            "config": the best configuration, or None if all trials failed
            "value": its value, float, or None
            "trials": list of the pairs (config, value) of all trials in their order
    """
    ### BEGIN SOLUTION
    trials, best = [], (None, None)
    for _ in range(n):
        config, seed = sample(space, rng), int(rng.integers(2**31))
        value = float(objective(copy.deepcopy(config), seed))
        trials.append((config, value))
        if not math.isnan(value) and (best[1] is None or value > best[1]):
            best = copy.deepcopy(config), value
    return {"config": best[0], "value": best[1], "trials": trials}
    ### END SOLUTION


class GuardedTestSet:
    """A test set that counts how often it is read, and refuses to be read too often.

    Attributes:
        reads: number of readings so far, int
    """

    def __init__(self, x, y, budget=1):
        """Keep copies of the rows and their labels: what becomes of x and y later changes nothing.

        Args:
            x: (N, ...) array
            y: labels, (N,) integer array
            budget: how many readings are allowed, int from 1
        """
        ### BEGIN SOLUTION
        self._x, self._y = np.array(x), np.array(y)
        self._budget = budget
        self.reads = 0
        ### END SOLUTION

    def evaluate(self, predict):
        """Return the share of rows that `predict` names correctly. This is one reading, also if predict fails.

        Args:
            predict: function; given a copy of x it returns labels, (N,)

        Raises:
            RuntimeError: the budget is used up; then predict is not called, and reads stays as it is
            ValueError: predict returned another shape than (N,)
        """
        ### BEGIN SOLUTION
        if self.reads >= self._budget:
            raise RuntimeError(f"GuardedTestSet: all {self._budget} readings are used up")
        self.reads += 1
        predicted = np.asarray(predict(self._x.copy()))
        if predicted.shape != self._y.shape:
            raise ValueError(f"predict returned the shape {predicted.shape}")
        return float((predicted == self._y).mean())
        ### END SOLUTION


def tune(space, fit, val, test, n, rng):
    """Choose hyper-parameters by random search on the validation set, then read the test set once.

    The value of a trial is the share of right labels on the validation set. The trial with the best one is tested (the
    first of equals): the predict function that it has made already, without another fit.

    Args:
        space: as in sample
        fit: fit(config, seed) -> predict; predict(x) -> labels, (len(x),). Each trial has a seed of its own
        val: pair (x, y) of arrays
        test: a GuardedTestSet, or another object with the method evaluate(predict) -> float. It is called once, after
            all n fits
        n: number of trials, int from 1; fit is called n times
        rng: np.random.Generator

    Returns:
        dict with (at least) the keys "config" (that of the best trial), "val" (its share on the validation set) and
        "test" (its share on the test set)
    """
    ### BEGIN SOLUTION
    x, y = val
    fitted = []

    def objective(config, seed):
        fitted.append(fit(config, seed))
        return (np.asarray(fitted[-1](x.copy())) == y).mean()

    found = random_search(space, objective, n, rng)
    values = [value for _, value in found["trials"]]
    best = fitted[int(np.argmax(values))]
    return {"config": found["config"], "val": found["value"], "test": float(test.evaluate(best))}
    ### END SOLUTION


# ------------------------------------------------------------------------------------------------------------
# 8.6  Diagnostics
# ------------------------------------------------------------------------------------------------------------
#
# The loss of a network is its mean cross-entropy: F.cross_entropy(model(x), y), with scores (N, C). All functions but
# update_ratio leave the model as they found it: parameters, buffers, the .grad of each parameter, the mode of each
# layer, and no hook stays. The limits below are rules of thumb; what is healthy or faulty in a test is far from them.


def check_initial_loss(model, x, y, tolerance=0.3):
    """Compare the loss of a new network with that of one that gives all C classes the same probability.

    Args:
        model: a network before training; it is used in eval mode
        x: a batch, tensor
        y: its labels, (N,) int64 tensor
        tolerance: how far the two may be apart, float

    Returns:
        loss: the loss of the model, float
        expected: log C, float
        is_ok: whether they differ by at most the tolerance, bool (a loss that is nan is not ok)
    """
    ### BEGIN SOLUTION
    trial = copy.deepcopy(model).eval()
    with torch.no_grad():
        scores = trial(x)
    loss, expected = F.cross_entropy(scores, y).item(), math.log(scores.shape[1])
    return loss, expected, abs(loss - expected) <= tolerance
    ### END SOLUTION


def overfit_one_batch(model, x, y, steps=200):
    """Train a copy of a network on one small batch: if it cannot learn that by heart, something is broken.

    Optimiser and rate are your choice. A healthy network with a few layers gets the loss of some 16 rows below 0.05 in
    200 steps; one whose scores go through a softmax before the loss, or that cannot see its input, never does.

    Args:
        model: nn.Module; it stays as it is, a copy is trained
        x: a batch, tensor
        y: its labels, (N,) int64 tensor
        steps: int from 1

    Returns:
        losses: that of the batch before each step, a list of `steps` floats
        is_ok: whether the last of them is at most 0.05, bool
    """
    ### BEGIN SOLUTION
    trial = copy.deepcopy(model).train()
    optimizer = torch.optim.Adam(trial.parameters(), lr=0.01)
    losses = []
    for _ in range(steps):
        loss = F.cross_entropy(trial(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses, losses[-1] <= 0.05
    ### END SOLUTION


def dead_relu_fraction(model, x):
    """Say, for each nn.ReLU of a network, which part of its units never says anything.

    A unit is an index of axis 1 of the layer's output: a column of (N, U), a channel of (N, U, H, W). It is dead if it
    is 0 for *all* rows of the batch (and at all places of its channel).

    Args:
        model: nn.Module; it is used in eval mode
        x: a batch, tensor

    Returns:
        dict: name of the layer, as in model.named_modules() -> part of its units that are dead, float from 0 to 1
    """
    ### BEGIN SOLUTION
    trial = copy.deepcopy(model).eval()
    found = {}

    def watch(name):
        def look(layer, inputs, out):
            is_dead = (out == 0).transpose(0, 1).flatten(1).all(dim=1)  # (U,)
            found[name] = is_dead.float().mean().item()

        return look

    for name, layer in trial.named_modules():
        if isinstance(layer, nn.ReLU):
            layer.register_forward_hook(watch(name))
    with torch.no_grad():
        trial(x)
    return found
    ### END SOLUTION


def gradient_flow(model, x, y):
    """Measure the gradient of the loss in each parameter, and say whether it gets from the end to the beginning.

    The label compares two norms: that of the first parameter with two or more axes (the weight of the first layer), and
    that of the last such parameter, both in the order of model.named_parameters():
        "exploding": a gradient of any parameter has a nan or inf, or the first norm is above 1000 times the last
        "vanishing": the first norm is below 0.001 times the last
        "healthy": neither

    Args:
        model: nn.Module, all of whose parameters require a gradient; it is used in train mode
        x: a batch, tensor
        y: its labels, (N,) int64 tensor

    Returns:
        norms: dict: name of each parameter -> Euclidean norm of its gradient, float; 0 for a parameter without gradient
        label: "healthy", "vanishing" or "exploding"
    """
    ### BEGIN SOLUTION
    trial = copy.deepcopy(model).train()
    trial.zero_grad()
    F.cross_entropy(trial(x), y).backward()
    norms = {
        name: 0.0 if parameter.grad is None else parameter.grad.norm().item()
        for name, parameter in trial.named_parameters()
    }
    weights = [norms[name] for name, parameter in trial.named_parameters() if parameter.dim() >= 2]
    if not all(math.isfinite(norm) for norm in norms.values()) or weights[0] > 1e3 * weights[-1]:
        return norms, "exploding"
    return norms, "vanishing" if weights[0] < 1e-3 * weights[-1] else "healthy"
    ### END SOLUTION


def update_ratio(model, optimizer, x, y):
    """Take one training step, and say how much it changes each weight, compared with the weight itself.

    The step is a usual one: the loss of the batch, cleared gradients, backward, optimizer.step(). The model stays
    changed, and in the mode in which it is. Judge by the median of the ratios:
        "too small": below 0.00001          "too large": above 0.1          "healthy": between (0.001 is usual)

    Args:
        model: nn.Module
        optimizer: a torch.optim.Optimizer of the model's parameters
        x: a batch, tensor
        y: its labels, (N,) int64 tensor

    Returns:
        ratios: dict: name of each parameter with two or more axes -> norm of its change divided by its norm before,
            float; 0 if it did not change, inf if it did and was 0 before
        label: "too small", "healthy" or "too large"
    """
    ### BEGIN SOLUTION
    before = {name: p.detach().clone() for name, p in model.named_parameters() if p.dim() >= 2}
    optimizer.zero_grad()
    F.cross_entropy(model(x), y).backward()
    optimizer.step()
    ratios = {}
    for name, parameter in model.named_parameters():
        if name in before:
            change = (parameter.detach() - before[name]).norm().item()
            size = before[name].norm().item()
            ratios[name] = 0.0 if change == 0 else change / size if size else math.inf
    median = float(np.median(list(ratios.values())))
    return ratios, "too small" if median < 1e-5 else "too large" if median > 0.1 else "healthy"
    ### END SOLUTION


# ------------------------------------------------------------------------------------------------------------
# 8.7  Bug hunt
# ------------------------------------------------------------------------------------------------------------
#
# broken.py, beside this file, has broken_1 ... broken_8: the code of the functions below, each with one fault. Find it,
# and write the repaired function here. A fix does what its docstring says, in each detail; its text is free. Models and
# optimisers work as in broken.py: torch.optim.SGD without momentum. Where a model is trained, it is the one that was
# given, in the mode in which it is.


def fix_1(model, x, y, epochs, lr):
    """Train a classifier on one full batch with the cross-entropy of its raw scores.

    Symptom: the loss never gets below 0.74 with three classes, and learning is slow.

    Args:
        model: gives raw scores, (N, C)
        x, y: rows, tensor; labels, (N,) int64 tensor
        epochs: number of steps, int
        lr: learning rate, float

    Returns:
        the loss before each step, a list of floats
    """
    ### BEGIN SOLUTION
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    losses = []
    for _ in range(epochs):
        loss = F.cross_entropy(model(x), y)  # it takes raw scores, and has the softmax inside
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses
    ### END SOLUTION


def fix_2(x, y, batch_size, rng):
    """Shuffle rows with their labels, and cut them into batches.

    Symptom: the loss stays at log C, whatever the network is; without shuffling it falls.

    Args:
        x, y: arrays, (N, ...) and (N,)
        batch_size: int from 1; the last batch may be smaller
        rng: np.random.Generator: decides the order

    Returns:
        list of pairs (x of the batch, y of the batch); each row is in exactly one batch, with its own label
    """
    ### BEGIN SOLUTION
    order = rng.permutation(len(x))
    batches = [order[start : start + batch_size] for start in range(0, len(x), batch_size)]
    return [(x[batch], y[batch]) for batch in batches]
    ### END SOLUTION


def fix_3(model, batches, lr):
    """Take one step of SGD for each batch, with the gradient of this batch alone.

    Symptom: the loss falls at first, then swings ever more.

    Args:
        model: gives raw scores, (N, C)
        batches: list of pairs (x, y) of tensors
        lr: learning rate, float

    Returns:
        the loss of each batch before its step, a list of floats
    """
    ### BEGIN SOLUTION
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    losses = []
    for x, y in batches:
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses
    ### END SOLUTION


def fix_4(model, x, y):
    """Compute the accuracy of a network as it would be in use.

    Dropout drops nothing and batch norm uses its running statistics, which stay as they are. Afterwards each layer is
    in the mode in which it was before.

    Symptom: the accuracy is another one each time, and depends on what else is in the batch.

    Args:
        model: gives raw scores, (N, C)
        x, y: rows, tensor; labels, (N,) int64 tensor

    Returns:
        the share of right rows, float
    """
    ### BEGIN SOLUTION
    modes = [(layer, layer.training) for layer in model.modules()]
    model.eval()
    with torch.no_grad():
        predicted = model(x).argmax(dim=1)
    for layer, mode in modes:
        layer.training = mode
    return (predicted == y).float().mean().item()
    ### END SOLUTION


def fix_5(x, y, n_train, augment, rng):
    """Split rows at random, and augment the training rows alone.

    Symptom: the validation score is worse than in use, and another one with each augmentation.

    Args:
        x, y: arrays, (N, ...) and (N,)
        n_train: number of training rows, int below N
        augment: augment(x, rng) -> as many changed rows, in the same order; it is called once, with the training rows
        rng: np.random.Generator: decides the split, and is handed to augment

    Returns:
        x_train, y_train, x_val, y_val: the augmented training rows and their labels, and all other rows as they are
    """
    ### BEGIN SOLUTION
    order = rng.permutation(len(x))
    train, val = order[:n_train], order[n_train:]
    return augment(x[train], rng), y[train], x[val], y[val]
    ### END SOLUTION


def fix_6(encoder, head, x, y, lr):
    """Train an encoder and the head on top of it together: one step of SGD on the cross-entropy.

    Symptom: the loss falls, but not as far as it should. The weights of the encoder never change.

    Args:
        encoder: gives features, (N, D)
        head: gives raw scores for features, (N, C)
        x, y: rows, tensor; labels, (N,) int64 tensor
        lr: learning rate, float

    Returns:
        the loss before the step, float
    """
    ### BEGIN SOLUTION
    optimizer = torch.optim.SGD([*encoder.parameters(), *head.parameters()], lr=lr)
    loss = F.cross_entropy(head(encoder(x)), y)  # the features stay tensors of the graph
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()
    ### END SOLUTION


def fix_7(model, x, y, epochs, lr):
    """Train a regression on one full batch with the mean squared error.

    Symptom: the network learns to give the mean of all targets, whatever its input is.

    Args:
        model: gives one number for each row, (N, 1)
        x, y: rows, tensor; targets, (N,) float tensor
        epochs: number of steps, int
        lr: learning rate, float

    Returns:
        the loss before each step, a list of floats
    """
    ### BEGIN SOLUTION
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    losses = []
    for _ in range(epochs):
        loss = F.mse_loss(model(x)[:, 0], y)  # both (N,)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses
    ### END SOLUTION


def fix_8(model, batches, epochs, lr, gamma):
    """Train with a rate that is multiplied by gamma after each epoch.

    All steps of an epoch have the same rate, those of the first epoch have lr.

    Symptom: training stands still after a few epochs, although gamma is close to 1.

    Args:
        model: gives raw scores, (N, C)
        batches: list of pairs (x, y) of tensors, the same in each epoch
        epochs: int
        lr: the first rate, float
        gamma: float

    Returns:
        the rate of each epoch, a list of floats
    """
    ### BEGIN SOLUTION
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=gamma)
    rates = []
    for _ in range(epochs):
        rates.append(optimizer.param_groups[0]["lr"])
        for x, y in batches:
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
        scheduler.step()
    return rates
    ### END SOLUTION


def diagnose(history):
    """Say what the two curves of a training look like. The first rule that holds gives the label.

        "diverged": a loss is nan or inf, or the last training loss is above 1.5 times the first
        "suspicious": in each epoch the validation loss is below half of the training loss (are rows of the validation
            set in training, or does the training loss include heavy dropout?)
        "not learning": the last training loss is above 0.9 times the first
        "unstable": in more than a quarter of the epochs, the training loss is higher than that of the epoch before by
            more than a tenth of the first training loss (the rate is too large)
        "overfitting": the last validation loss is above 1.25 times the smallest
        "unfinished": both losses fell by more than a tenth over the last fifth of the epochs: each last loss is below
            0.9 times that of epochs // 5 epochs before
        "healthy": none of these

    Curves in tests are far from these limits.

    Args:
        history: dict with (at least) the keys "train" and "val": lists of one loss for each epoch, of the same length,
            10 epochs or more

    Returns:
        one of the seven labels
    """
    ### BEGIN SOLUTION
    train, val = (np.array(history[key], dtype=float) for key in ("train", "val"))
    fifth = len(train) // 5
    if not np.isfinite([train, val]).all() or train[-1] > 1.5 * train[0]:
        return "diverged"
    if (val < 0.5 * train).all():
        return "suspicious"
    if train[-1] > 0.9 * train[0]:
        return "not learning"
    if (np.diff(train) > 0.1 * train[0]).sum() > len(train) / 4:
        return "unstable"
    if val[-1] > 1.25 * val.min():
        return "overfitting"
    if train[-1] < 0.9 * train[-1 - fifth] and val[-1] < 0.9 * val[-1 - fifth]:
        return "unfinished"
    return "healthy"
    ### END SOLUTION


# ------------------------------------------------------------------------------------------------------------
# 8.8  Deployment
# ------------------------------------------------------------------------------------------------------------


def export_model(model, example, path):
    """Write a network to a file that runs without the code of its class, by torch.export.

    torch.export.load(path).module() gives a module that computes what the model computes *in eval mode*, for any number
    of rows from 1, also if the example has one row. Afterwards the model is as before, with the mode of each layer.

    Args:
        model: nn.Module with one argument
        example: a batch such as the model will get, (n, ...) float32 tensor, n at least 1
        path: where to write, str; by convention it ends in .pt2
    """
    ### BEGIN SOLUTION
    trial = copy.deepcopy(model).eval()
    rows = torch.cat([example, example])  # a size of 1 would be taken for a constant
    program = torch.export.export(trial, (rows,), dynamic_shapes=({0: torch.export.Dim("rows")},))
    torch.export.save(program, path)
    ### END SOLUTION


class InferenceModel:
    """A network with all that belongs to it in use: checks, preprocessing, eval mode, probabilities."""

    def __init__(self, model, shape, mean=0.0, std=1.0, high=255, temperature=1.0):
        """Keep what is needed.

        Args:
            model: nn.Module that gives raw scores (N, classes) for (N, C, H, W) float32. It may be in train mode here
                or later; it is always used in eval mode
            shape: of one image, (C, H, W), ints
            mean, std: numbers, or one for each channel: (C,) list or array
            high: the largest value that a pixel may have, int from 1 to 255
            temperature: the scores are divided by it, float
        """
        ### BEGIN SOLUTION
        self.model, self.shape, self.high, self.temperature = model, tuple(shape), high, temperature
        self.mean, self.std = (torch.tensor(value, dtype=torch.float32).reshape(-1, 1, 1) for value in (mean, std))
        ### END SOLUTION

    def predict(self, images):
        """Name images as they come from a file: whole numbers from 0 to high.

        The network gets (images / high - mean) / std. An image gets the same answer alone as among others (within
        1e-5). The images stay as they are.

        Args:
            images: (N, C, H, W) uint8 array, N at least 1

        Returns:
            labels: the most likely class of each image, (N,) int64 array
            probabilities: softmax of the scores, (N, classes) float32 array

        Raises:
            TypeError: images are no NumPy array, or not of dtype uint8
            ValueError: no image, images of another shape, or a pixel above high
        """
        ### BEGIN SOLUTION
        if not isinstance(images, np.ndarray) or images.dtype != np.uint8:
            raise TypeError("predict: images must be a NumPy array of uint8")
        if images.ndim != 4 or images.shape[1:] != self.shape or len(images) == 0:
            wanted = ", ".join(map(str, self.shape))
            raise ValueError(f"predict: images must have the shape (N, {wanted}), not {images.shape}")
        if images.max() > self.high:
            raise ValueError(f"predict: a pixel is above {self.high}")
        x = (torch.from_numpy(images.astype(np.float32)) / self.high - self.mean) / self.std
        self.model.eval()
        with torch.no_grad():
            probabilities = (self.model(x) / self.temperature).softmax(dim=1).numpy()
        return probabilities.argmax(axis=1), probabilities
        ### END SOLUTION


def quantise_weight(weight):
    """Round a matrix to whole numbers from -127 to 127, with one scale for each row.

    The scale of a row is its largest absolute value divided by 127, and 1 for a row of zeros. An entry becomes
    entry / scale, rounded to the nearest whole number.

    Args:
        weight: (rows, columns) float32 tensor

    Returns:
        q: (rows, columns) int8 tensor
        scale: (rows,) float32 tensor: q * scale[:, None] is close to weight
    """
    ### BEGIN SOLUTION
    scale = weight.detach().abs().amax(dim=1) / 127
    scale = torch.where(scale == 0, 1.0, scale)
    return (weight.detach() / scale[:, None]).round().to(torch.int8), scale
    ### END SOLUTION


def quantise(model):
    """Return a copy of a network in which each nn.Linear, wherever it is, computes with whole numbers of 8 bits.

    Such a layer keeps the int8 matrix and the scale of quantise_weight (as buffers, so that they are in the
    state_dict), and the bias as it is, if there is one. No float32 matrix stays. It quantises its input as it
    comes, each row (the last axis) by the rule of quantise_weight, and multiplies whole numbers:

        out = (q of the input @ q of the weight, transposed) * scale of the input row * scale of the weight row + bias

    so that a row is computed by itself. All other layers stay as they are. The copy is in eval mode.

    Args:
        model: nn.Module (or an nn.Linear itself); it stays as it is, also its mode

    Returns:
        the copy, nn.Module. Its state_dict takes about a quarter of the bytes if nearly all parameters are in nn.Linear
    """
    ### BEGIN SOLUTION
    if isinstance(model, nn.Linear):
        return _Linear8(model).eval()
    small = copy.deepcopy(model).eval()
    for name, layer in list(small.named_modules()):
        if isinstance(layer, nn.Linear):
            parent, _, own = name.rpartition(".")
            setattr(small.get_submodule(parent), own, _Linear8(layer).eval())
    return small
    ### END SOLUTION


### BEGIN SOLUTION
class _Linear8(nn.Module):
    """A linear layer of int8 weights."""

    def __init__(self, linear):
        super().__init__()
        q, scale = quantise_weight(linear.weight)
        self.register_buffer("q", q)
        self.register_buffer("scale", scale)
        self.register_buffer("bias", None if linear.bias is None else linear.bias.detach().clone())

    def forward(self, x):
        q, scale = quantise_weight(x.reshape(-1, x.shape[-1]))
        out = (q.int() @ self.q.int().T) * scale[:, None] * self.scale  # (rows, out features)
        out = out.reshape(*x.shape[:-1], -1)
        return out if self.bias is None else out + self.bias


### END SOLUTION


def ece(probabilities, y, bins=15):
    """Compute the expected calibration error: how far a network's confidence is from its accuracy.

    The confidence of a row is its largest probability. The rows are divided into `bins` bins of equal width: bin b,
    from 0, has the confidences above b / bins up to (b + 1) / bins, so that 1.0 is in the last bin. The error of a bin
    is the difference between its accuracy and its mean confidence, without sign. The result is the mean error, each
    bin weighted by its part of the rows; a bin without rows counts nothing.

    Args:
        probabilities: (N, C) float array, rows add up to 1
        y: labels, (N,) integer array
        bins: int from 1

    Returns:
        a number from 0 to 1
    """
    ### BEGIN SOLUTION
    confidence = probabilities.max(axis=1)
    is_right = probabilities.argmax(axis=1) == y
    number = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.bincount(number, weights=is_right - confidence.astype(float), minlength=bins)  # rows times gap
    return float(np.abs(gaps).sum() / len(y))
    ### END SOLUTION


def fit_temperature(logits, y):
    """Find the T for which softmax(logits / T) has the smallest mean cross-entropy (Guo et al., 2017).

    Args:
        logits: raw scores of the validation set, (N, C) float array, also large ones such as 1000
        y: labels, (N,) integer array

    Returns:
        T, within one percent; a number from 0.05 to 20, and one of these ends if the best T is beyond it
    """
    ### BEGIN SOLUTION
    logits = logits.astype(np.float64)
    own = logits[np.arange(len(y)), y]

    def slope(sharpness):
        """The derivative of the loss in 1 / T; it rises with 1 / T."""
        scaled = sharpness * logits
        weights = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        return ((weights * logits).sum(axis=1) / weights.sum(axis=1) - own).mean()

    low, high = 1 / 20, 1 / 0.05
    for _ in range(60):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if slope(middle) > 0 else (middle, high)
    return 1 / middle
    ### END SOLUTION
