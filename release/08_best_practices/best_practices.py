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
    raise NotImplementedError("train_val_test_split: not started")


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
    raise NotImplementedError("kfold: not started")


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
        raise NotImplementedError("Standardizer.fit: not started")

    def transform(self, x):
        """Return (x - mean) / std as a new array with the shape and dtype of x, (M, D).

        Raises:
            RuntimeError: fit was not called before
        """
        raise NotImplementedError("Standardizer.transform: not started")

    def inverse_transform(self, z):
        """Return what transform made z from, as a new array with the shape and dtype of z, (M, D).

        Raises:
            RuntimeError: fit was not called before
        """
        raise NotImplementedError("Standardizer.inverse_transform: not started")


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
    raise NotImplementedError("confusion_matrix: not started")


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
    raise NotImplementedError("precision_recall_f1: not started")


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
    raise NotImplementedError("roc_auc: not started")


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
    raise NotImplementedError("top_k: not started")


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
    raise NotImplementedError("r2: not started")


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
        raise NotImplementedError("EarlyStopping.__init__: not started")

    def reset(self):
        """Forget all epochs and all weights, so that another training can begin."""
        raise NotImplementedError("EarlyStopping.reset: not started")

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
        raise NotImplementedError("EarlyStopping.step: not started")

    def restore(self, model):
        """Write the remembered weights into the parameters and buffers of model, which stay the same tensors.

        It can be called at any time and any number of times, before a stop too. What is remembered stays as it is
        when the model is trained on. Without remembered weights it does nothing.
        """
        raise NotImplementedError("EarlyStopping.restore: not started")


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
    raise NotImplementedError("step_lr: not started")


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
    raise NotImplementedError("cosine_lr: not started")


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
    raise NotImplementedError("warmup_cosine: not started")


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
    raise NotImplementedError("one_cycle: not started")


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
    raise NotImplementedError("lr_range_test: not started")


# ------------------------------------------------------------------------------------------------------------
# 8.5  Hyper-parameter search
# ------------------------------------------------------------------------------------------------------------


def log_uniform(low, high, rng):
    """Draw a float from low to high whose logarithm is uniformly distributed; 0 < low < high."""
    raise NotImplementedError("log_uniform: not started")


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
    raise NotImplementedError("sample: not started")


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
    raise NotImplementedError("random_search: not started")


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
        raise NotImplementedError("GuardedTestSet.__init__: not started")

    def evaluate(self, predict):
        """Return the share of rows that `predict` names correctly. This is one reading, also if predict fails.

        Args:
            predict: function; given a copy of x it returns labels, (N,)

        Raises:
            RuntimeError: the budget is used up; then predict is not called, and reads stays as it is
            ValueError: predict returned another shape than (N,)
        """
        raise NotImplementedError("GuardedTestSet.evaluate: not started")


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
    raise NotImplementedError("tune: not started")


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
    raise NotImplementedError("check_initial_loss: not started")


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
    raise NotImplementedError("overfit_one_batch: not started")


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
    raise NotImplementedError("dead_relu_fraction: not started")


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
    raise NotImplementedError("gradient_flow: not started")


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
    raise NotImplementedError("update_ratio: not started")


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
    raise NotImplementedError("fix_1: not started")


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
    raise NotImplementedError("fix_2: not started")


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
    raise NotImplementedError("fix_3: not started")


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
    raise NotImplementedError("fix_4: not started")


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
    raise NotImplementedError("fix_5: not started")


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
    raise NotImplementedError("fix_6: not started")


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
    raise NotImplementedError("fix_7: not started")


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
    raise NotImplementedError("fix_8: not started")


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
    raise NotImplementedError("diagnose: not started")


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
    raise NotImplementedError("export_model: not started")


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
        raise NotImplementedError("InferenceModel.__init__: not started")

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
        raise NotImplementedError("InferenceModel.predict: not started")


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
    raise NotImplementedError("quantise_weight: not started")


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
    raise NotImplementedError("quantise: not started")


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
    raise NotImplementedError("ece: not started")


def fit_temperature(logits, y):
    """Find the T for which softmax(logits / T) has the smallest mean cross-entropy (Guo et al., 2017).

    Args:
        logits: raw scores of the validation set, (N, C) float array, also large ones such as 1000
        y: labels, (N,) integer array

    Returns:
        T, within one percent; a number from 0.05 to 20, and one of these ends if the best T is beyond it
    """
    raise NotImplementedError("fit_temperature: not started")
