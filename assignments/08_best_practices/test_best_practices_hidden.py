"""Hidden tests of the best practices: scikit-learn, torch's schedulers and the solution itself are the oracles."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from autograder import expect, probe
from dlcourse.data import fresh_digits

# ------------------------------------------------------------------------------------------------------------
# 8.1  Splits that can be trusted
# ------------------------------------------------------------------------------------------------------------


def _parts(found, n, what, names=("train", "val", "test")):
    """The parts of a split, if each of n rows is in exactly one."""
    expect.equal(len(found), len(names), f"{what}: number of parts")
    for part, name in zip(found, names, strict=True):
        is_rows = isinstance(part, np.ndarray) and part.dtype.kind in "iu" and part.ndim == 1
        expect.is_true(is_rows, f"{what}: {name} is no integer array of row numbers.")
    together = np.sort(np.concatenate(found))
    is_complete = len(together) == n and bool((together == np.arange(n)).all())
    expect.is_true(is_complete, f"{what}: a row is in no part, or in two.")
    return found


def _near_share(count, share, miss, what):
    """A count is its share rounded down or up (miss 0), or misses it by at most so many rows."""
    low, high = (math.floor(share + 1e-9), math.ceil(share - 1e-9)) if miss == 0 else (share - miss, share + miss)
    expect.is_true(low - 1e-9 <= count <= high + 1e-9, f"{what}: the number of rows is too far from the share.")


def _groups(rng, y, largest):
    """Groups of random sizes, each within one class, with numbers in no order."""
    groups = np.zeros(len(y), dtype=np.int64)
    number = 0
    for label in np.unique(y):
        rows = rng.permutation(np.flatnonzero(y == label))
        while len(rows):
            size = int(rng.integers(1, largest + 1))
            groups[rows[:size]], rows, number = number, rows[size:], number + 1
    return (rng.permutation(number) * 7 - 20)[groups]


def _labels(rng, counts):
    return rng.permutation(np.repeat(np.arange(len(counts)), counts))


def _largest(groups):
    return int(np.unique(groups, return_counts=True)[1].max())


@pytest.mark.task("splits", weight=2)
def test_the_sizes_of_parts(student, rng):
    """train_val_test_split: counts are met exactly, and fractions of the rows are rounded down or up."""
    for _ in range(8):
        n = int(rng.integers(20, 90))
        y = _labels(rng, [n - 9, 9])
        val, test = (int(size) for size in rng.integers(0, n // 3, size=2))
        counts = n - val - test, val, test
        for sizes in (counts, tuple(rng.dirichlet([8, 3, 3]).tolist())):
            what = f"train_val_test_split with {'counts' if sizes is counts else 'fractions'}"
            found = _parts(student.train_val_test_split(y, sizes, rng=rng), n, what)
            for part, size in zip(found, sizes, strict=True):
                _near_share(len(part), size if sizes is counts else size * n, 0, what)


@pytest.mark.task("splits", weight=2)
def test_strata_of_a_split(student, rng):
    """train_val_test_split: with stratify each class is divided by itself, and train has a row of each class."""
    for turn in range(6):
        counts = [1, 1, 2, 3, int(rng.integers(5, 12)), int(rng.integers(20, 60))]
        y = _labels(rng, counts)
        sizes = (0.25, 0.4, 0.35) if turn % 2 else tuple(rng.dirichlet([6, 4, 4]).tolist())
        what = "train_val_test_split(stratify=True)"
        found = _parts(student.train_val_test_split(y, sizes, stratify=True, rng=rng), len(y), what)
        for label, count in enumerate(counts):
            for part, size in zip(found, sizes, strict=True):
                _near_share(int((y[part] == label).sum()), size * count, 0, what)
            expect.is_true(bool((y[found[0]] == label).any()), f"{what}: a class has no row in train.")


@pytest.mark.task("splits", weight=2)
@pytest.mark.parametrize("stratify", [False, True])
def test_groups_of_a_split(student, rng, stratify):
    """train_val_test_split: all rows of a group are in the same part, also with stratify, and sizes fit as asked."""
    what = f"train_val_test_split(stratify={stratify}, groups=...)"
    for turn in range(6):
        y = _labels(rng, [3, 40, 70])
        groups = _groups(rng, y, 7)
        groups[y == 0] = 999  # a class of one group
        before = y.copy(), groups.copy()
        sizes = ((60, 30, 23), (30, 60, 23))[turn % 2]  # the largest part is not always train
        found = _parts(student.train_val_test_split(y, sizes, stratify, groups, rng), len(y), what)
        for one, other in ((0, 1), (0, 2), (1, 2)):
            both = np.intersect1d(groups[found[one]], groups[found[other]])
            expect.is_true(len(both) == 0, f"{what}: a group is in two parts.")
        for label in (0, 1, 2) if stratify else (None,):
            own = y == label if stratify else np.ones(len(y), dtype=bool)
            for part, size in zip(found, sizes, strict=True):
                _near_share(int(own[part].sum()), size * own.mean(), 2 * _largest(groups[own]), what)
        if stratify:
            expect.is_true(bool((y[found[0]] == 0).any()), f"{what}: a class with one group has no row in train.")
        expect.unchanged(y, before[0], f"{what}: y")
        expect.unchanged(groups, before[1], f"{what}: groups")


@probe
def many_splits(student, y, sizes, seeds, options):
    """The train, val and test rows of a split for each seed."""
    return [student.train_val_test_split(y, sizes, rng=np.random.default_rng(seed), **options) for seed in seeds]


@pytest.mark.task("splits", weight=4)
def test_chance_divides_the_rows(student):
    """train_val_test_split: rows are divided at random, all chance comes from rng, and no class or row is preferred."""
    y = np.repeat([0, 1], 60)
    groups = np.arange(120) // 4
    for options in ({}, {"stratify": True}, {"groups": groups}):
        what = f"train_val_test_split({', '.join(options)})"
        firsts, trains = set(), []
        for found in many_splits(student, y, (60, 30, 30), list(range(10)), options):
            train = set(_parts(found, 120, what)[0].tolist())
            firsts.add(tuple(row in train for row in (0, 4, 8, 12, 16)))
            trains.append(train)
            # a hypergeometric count around 30, with groups of four its standard deviation is 5.6
            expect.between(sum(row < 60 for row in train), 1, 59, f"{what}: rows of the first half in train")
        expect.is_true(len(firsts) > 1, f"{what}: each row is in the same part for each seed.")
        np.random.seed(1)
        again = student.train_val_test_split(y, (60, 30, 30), rng=np.random.default_rng(3), **options)
        expect.is_true(set(again[0].tolist()) == trains[3], f"{what}: the same seed gives another split.")
    one, other = (student.train_val_test_split(y, (60, 30, 30))[0] for _ in range(2))
    expect.is_true(set(one.tolist()) != set(other.tolist()), "train_val_test_split without rng: the same split twice.")


@pytest.mark.task("splits", weight=1)
def test_splits_that_cannot_be(student):
    """train_val_test_split and kfold: sizes, folds and groups that do not fit are refused with a ValueError."""
    y = np.repeat([0, 1], 5)
    for sizes in ((5, 5), (5, 4, 2), (0.5, 0.2, 0.2), (0.5, 0.3, 0.199), (0.6, 0.6, -0.2), (12, -1, -1)):
        with expect.refused(ValueError, "train_val_test_split with sizes that do not fit"):
            student.train_val_test_split(y, sizes, rng=np.random.default_rng(0))
    mixed = np.array([1, 1, 2, 2, 3, 3, 4, 4, 5, 5])
    with expect.refused(ValueError, "train_val_test_split with a group of two classes"):
        student.train_val_test_split(y, (6, 2, 2), stratify=True, groups=mixed, rng=np.random.default_rng(0))
    with expect.refused(ValueError, "kfold with a group of two classes"):
        student.kfold(y, 2, stratify=True, groups=mixed, rng=np.random.default_rng(0))
    for k, groups in ((1, None), (11, None), (0, None), (6, mixed)):
        with expect.refused(ValueError, "kfold with a number of folds that does not fit"):
            student.kfold(y, k, groups=groups, rng=np.random.default_rng(0))


@pytest.mark.task("splits", weight=2)
@pytest.mark.parametrize("stratify", [False, True])
def test_folds_of_rows(student, rng, stratify):
    """kfold: each row is validated once, folds have the same size, with stratify in each class, and none is empty."""
    what = f"kfold(stratify={stratify})"
    for k, counts in ((2, [9, 4]), (5, [11, 23, 9]), (3, [1, 1, 1]), (7, [3, 2, 2])):
        y = _labels(rng, counts)
        folds = student.kfold(y, k, stratify=stratify, rng=rng)
        expect.equal(len(folds), k, f"{what}: number of folds")
        vals = _parts([val for _, val in folds], len(y), what, names=["val"] * k)
        for (train, _), val in zip(folds, vals, strict=True):
            _parts([train, val], len(y), f"{what}: one pair", names=("train", "val"))
            expect.is_true(len(val) > 0, f"{what}: a fold is empty.")
            for label in range(len(counts)) if stratify else (None,):
                own = y == label if stratify else np.ones(len(y), dtype=bool)
                _near_share(int(own[val].sum()), own.sum() / k, 0, what)
    y = np.repeat([0, 1], 50)
    draws = [student.kfold(y, 5, stratify, rng=np.random.default_rng(seed)) for seed in (1, 1, 2)]
    one, again, other = ([set(val.tolist()) for _, val in folds] for folds in draws)
    expect.is_true(one == again, f"{what}: the same seed gives other folds.")
    expect.is_true(one[0] != other[0], f"{what}: another seed gives the same folds.")


@pytest.mark.task("splits", weight=2)
@pytest.mark.parametrize("stratify", [False, True])
def test_folds_of_groups(student, rng, stratify):
    """kfold: all rows of a group are in the same fold, also with stratify, and no fold is empty."""
    what = f"kfold(stratify={stratify}, groups=...)"
    for k in (3, 5):
        y = _labels(rng, [40, 60])
        groups = _groups(rng, y, 8)
        folds = student.kfold(y, k, stratify, groups, rng)
        vals = _parts([val for _, val in folds], len(y), what, names=["val"] * k)
        for (train, _), val in zip(folds, vals, strict=True):
            _parts([train, val], len(y), f"{what}: one pair", names=("train", "val"))
            expect.is_true(len(np.intersect1d(groups[train], groups[val])) == 0, f"{what}: a group is in two folds.")
            expect.is_true(len(val) > 0, f"{what}: a fold is empty.")
            for label in (0, 1) if stratify else (None,):
                own = y == label if stratify else np.ones(len(y), dtype=bool)
                _near_share(int(own[val].sum()), own.sum() / k, 2 * _largest(groups[own]), what)
    y, groups = np.repeat([0, 1], 60), np.arange(120) // 2
    draws = [student.kfold(y, 3, stratify, groups, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    draws += [student.kfold(y, 3, stratify, groups) for _ in range(2)]
    one, again, other, free, free_again = ([set(val.tolist()) for _, val in folds] for folds in draws)
    expect.is_true(one == again, f"{what}: the same seed gives other folds.")
    expect.is_true(one[0] != other[0], f"{what}: another seed gives the same folds.")
    expect.is_true(free[0] != free_again[0], f"{what} without rng: the same folds twice.")


@probe
def scaled(student, train, others):
    """Fit on train, then transform train and others; note the statistics before and after."""
    scaler = student.Standardizer()
    scaler.fit(train)
    first = np.array(scaler.mean), np.array(scaler.std)
    there = [scaler.transform(rows) for rows in (train, *others)]
    back = [scaler.inverse_transform(rows) for rows in there]
    return first, there, back, np.array(scaler.mean), np.array(scaler.std)


@pytest.mark.task("splits", weight=2)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_other_rows_teach_nothing(student, rng, dtype):
    """Standardizer: all that it knows comes from the rows that fit was given, in each column by itself."""
    train = (rng.normal(size=(40, 5)) * [1, 5, 0.1, 30, 2] + [0, 4, -3, 100, 1]).astype(dtype)
    train[:, 3] = rng.normal(size=40) * 1e-5  # small, and not constant
    train[:, 4] = 0.1  # its computed deviation is not exactly 0
    other = (rng.normal(size=(6, 5)) * 50 + 300).astype(dtype)
    tampered = np.full((3, 5), np.nan, dtype=dtype)
    before = train.copy(), other.copy()
    tolerance = 1e-4 if dtype == "float32" else 1e-9

    (mean, std), there, back, mean_after, std_after = scaled(student, train, [other, tampered])

    wide = before[0].astype(float)
    want_std = np.append(wide[:, :4].std(axis=0), 1.0)
    expect.close(mean.astype(float), wide.mean(axis=0), "Standardizer.mean", rtol=tolerance, atol=1e-6)
    expect.close(std.astype(float), want_std, "Standardizer.std", rtol=tolerance)
    for got, rows, name in zip(there, before, ("the training rows", "other rows"), strict=False):
        want = (rows - wide.mean(axis=0)) / want_std
        expect.close(got, want, f"Standardizer.transform of {name}", rtol=tolerance, atol=tolerance, dtype=dtype)
    for got, rows in zip(back, before, strict=False):
        expect.close(got, rows, "Standardizer.inverse_transform", rtol=tolerance, atol=tolerance, dtype=dtype)
    expect.equal(mean_after, mean, "Standardizer.mean after other rows were transformed")
    expect.equal(std_after, std, "Standardizer.std after other rows were transformed")
    expect.unchanged(train, before[0], "Standardizer: the training rows")
    expect.unchanged(other, before[1], "Standardizer: other rows")


@pytest.mark.task("splits", weight=1)
def test_a_standardizer_before_and_after_fit(student, rng):
    """Standardizer: it needs a fit, and a second fit forgets the first."""
    x = rng.normal(size=(9, 2))
    scaler = student.Standardizer()
    for name in ("transform", "inverse_transform"):
        with expect.refused(RuntimeError, f"Standardizer.{name} before fit"):
            getattr(scaler, name)(x)
    scaler.fit(x + 100)
    scaler.fit(x)
    expect.close(scaler.transform(x), (x - x.mean(axis=0)) / x.std(axis=0), "Standardizer after a second fit")


# ------------------------------------------------------------------------------------------------------------
# 8.2  Metrics
# ------------------------------------------------------------------------------------------------------------


def _predictions(rng, n=60, classes=5, absent=(3,)):
    """Labels and predictions of some classes, of which the last may be absent from one of them."""
    there = [label for label in range(classes) if label not in absent]
    y = rng.choice(there, size=n, p=rng.dirichlet([2] * len(there)))
    said = np.where(rng.random(n) < 0.5, y, rng.choice(there, size=n))
    return y.astype(np.int64), said.astype(np.int64)


@pytest.mark.task("metrics", weight=3)
@pytest.mark.parametrize("is_weighted", [False, True])
def test_the_matrix_of_confusions(student, rng, is_weighted):
    """confusion_matrix: rows are the true classes, classes without rows are there too, and weights are added up."""
    from sklearn.metrics import confusion_matrix

    y, said = _predictions(rng)
    y[y == 4] = 2  # the last class is predicted, and never true
    said[0] = 4
    weights = rng.uniform(0, 3, size=60) if is_weighted else None

    for count in (None, 7):
        got = student.confusion_matrix(y, said, count, weights)
        want = confusion_matrix(y, said, labels=range(count or 5), sample_weight=weights)
        dtype = np.float64 if is_weighted else np.int64
        expect.close(got, want.astype(dtype), "confusion_matrix", dtype=dtype, rtol=1e-9)
    one = student.confusion_matrix(np.zeros(3, dtype=int), np.zeros(3, dtype=int))
    expect.close(one, np.array([[3]]), "confusion_matrix of one class", dtype=np.int64)
    whole = student.confusion_matrix(np.array([0, 1, 1]), np.array([1, 1, 1]), sample_weight=np.array([2, 3, 4]))
    want = np.array([[0.0, 2], [0, 7]])
    expect.close(whole, want, "confusion_matrix with weights that are whole numbers", dtype=np.float64)
    with expect.refused(ValueError, "confusion_matrix of different lengths"):
        student.confusion_matrix(y, said[:-1])
    for count in (59, 1):
        with expect.refused(ValueError, "confusion_matrix with too few weights"):
            student.confusion_matrix(y, said, sample_weight=np.ones(count))


@pytest.mark.task("metrics", weight=3)
@pytest.mark.parametrize("average", [None, "macro", "weighted", "micro"])
def test_averages_are_those_of_scikit_learn(student, rng, average):
    """precision_recall_f1: of each class, macro, weighted and micro, with weights and absent classes as well."""
    from sklearn.metrics import precision_recall_fscore_support

    parts = rng.dirichlet(np.full(60, 3.0))  # weights that add up to 1
    for weights in (None, rng.uniform(0.1, 3, size=60), parts):
        y, said = _predictions(rng)
        said[said == 1] = 2  # class 1 is never predicted
        found = student.precision_recall_f1(y, said, average, 6, weights)
        want = precision_recall_fscore_support(
            y, said, labels=range(6), average=average, zero_division=0, sample_weight=weights
        )
        for got, wanted, name in zip(found, want, ("precision", "recall", "F1"), strict=False):
            wanted = wanted if average is None else float(wanted)
            tolerance = 1e-6 if weights is parts else 1e-9
            expect.close(got, wanted, f"precision_recall_f1(average={average!r}) ({name})", rtol=tolerance)


@probe
def warned(student, y, said):
    """Precision and so on of labels with 0 / 0; the number of warnings, and the kinds of numbers."""
    import warnings

    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always")
        found = student.precision_recall_f1(y, said, None, 4)
    return len(notes), [np.asarray(part, dtype=float) for part in found]


@pytest.mark.task("metrics", weight=2)
def test_binary_and_nothing_by_nothing(student, rng):
    """precision_recall_f1: binary is about class 1, 0 / 0 is 0 without a warning, and other averages are refused."""
    from sklearn.metrics import precision_recall_fscore_support

    y, said = rng.integers(0, 2, size=30), rng.integers(0, 2, size=30)
    y[:2], said[:2] = [1, 0], [1, 0]
    found = student.precision_recall_f1(y, said, average="binary")
    want = precision_recall_fscore_support(y, said, average="binary")
    for got, wanted, name in zip(found, want, ("precision", "recall", "F1"), strict=False):
        expect.close(got, float(wanted), f"precision_recall_f1(average='binary') ({name})", rtol=1e-9)
    count, parts = warned(student, np.array([0, 0, 2]), np.array([1, 1, 0]))
    expect.equal(count, 0, "precision_recall_f1: number of warnings")
    for part in parts:
        expect.close(part, np.zeros(4), "precision_recall_f1 without any hit")
    nobody = np.zeros(5, dtype=int)
    for got in student.precision_recall_f1(nobody, nobody.copy(), average="binary"):
        expect.close(got, 0.0, "precision_recall_f1(average='binary') without any row of class 1")
    with expect.refused(ValueError, "precision_recall_f1 of different lengths"):
        student.precision_recall_f1(y, said[:-1])
    with expect.refused(ValueError, "precision_recall_f1 with too few weights"):
        student.precision_recall_f1(y, said, sample_weight=np.ones(29))
    for average, labels, count in (("mean", y, None), ("binary", np.where(y == 1, 2, 0), None), ("binary", y, 3)):
        with expect.refused(ValueError, f"precision_recall_f1(average={average!r}, n_classes={count})"):
            student.precision_recall_f1(labels, labels, average=average, n_classes=count)


@pytest.mark.task("metrics", weight=2)
@pytest.mark.parametrize("is_weighted", [False, True])
def test_pairs_in_the_right_order(student, rng, is_weighted):
    """roc_auc: the share of pairs in the right order, where a tie is one half, with weights and with any scores."""
    from sklearn.metrics import roc_auc_score

    for _ in range(4):
        y = _labels(rng, [23, 9])
        weights = rng.uniform(0.1, 3, size=32) if is_weighted else None
        for scores in (rng.normal(size=32), rng.integers(-2, 3, size=32) * 1e6, np.full(32, 0.25)):
            got = student.roc_auc(y, scores.astype(float), weights)
            want = float(roc_auc_score(y, scores, sample_weight=weights))
            expect.close(got, want, "roc_auc", rtol=1e-9, hint="a tie is half a pair")
        near = 1 + rng.permutation(32) * 1e-9  # no two of them are equal
        pairs = np.subtract.outer(near[y == 1], near[y == 0]) > 0
        factors = np.ones(32) if weights is None else weights
        shares = np.multiply.outer(factors[y == 1], factors[y == 0])
        want = float((pairs * shares).sum() / shares.sum())
        got = student.roc_auc(y, near, weights)
        expect.close(got, want, "roc_auc of scores that are close to each other", rtol=1e-9)


@probe
def seconds_of_auc(student, y, scores):
    import time

    start = time.process_time()
    area = float(student.roc_auc(y, scores))
    return area, time.process_time() - start


@pytest.mark.task("metrics", weight=2)
def test_many_rows_are_sorted_not_paired(student, rng):
    """roc_auc: comparing all pairs is too slow for many rows; and one class alone is refused with a ValueError."""
    from sklearn.metrics import roc_auc_score

    y = rng.integers(0, 2, size=40_000)
    scores = np.round(rng.normal(size=40_000) + 0.3 * y, 2)

    area, seconds = seconds_of_auc(student, y, scores)

    expect.close(area, float(roc_auc_score(y, scores)), "roc_auc of many rows", rtol=1e-9)
    expect.is_true(seconds < 3, "roc_auc: too slow for 40,000 rows.")
    with expect.refused(ValueError, "roc_auc with one class"):
        student.roc_auc(np.ones(5, dtype=int), np.arange(5.0))
    with expect.refused(ValueError, "roc_auc of different lengths"):
        student.roc_auc(np.array([0, 1, 1]), np.arange(4.0))
    for count in (2, 1):
        with expect.refused(ValueError, "roc_auc with too few weights"):
            student.roc_auc(np.array([0, 1, 1]), np.arange(3.0), np.ones(count))


@pytest.mark.task("metrics", weight=2)
def test_a_tie_does_not_help(student, rng):
    """top_k: a score that ties with that of the true class counts as higher, and the share may be one of weights."""
    for _ in range(3):
        scores = rng.integers(0, 4, size=(30, 6)).astype(float)
        y, weights = rng.integers(0, 6, size=30), rng.uniform(0, 2, size=30)
        before = scores.copy()
        for k in (1, 3, 6):
            rivals = [
                sum(row[other] >= row[own] for other in range(6) if other != own)
                for row, own in zip(scores, y, strict=True)
            ]
            is_in = np.array(rivals) < k
            expect.close(student.top_k(y, scores, k), float(is_in.mean()), f"top_k(k={k})")
            want = float((is_in * weights).sum() / weights.sum())
            expect.close(student.top_k(y, scores, k, weights), want, f"top_k(k={k}) with weights")
        expect.unchanged(scores, before, "top_k: scores")


@pytest.mark.task("metrics", weight=2)
def test_how_much_is_explained(student, rng):
    """r2: compare the squared error with that of the mean; think about equal targets, weights, and shapes."""
    from sklearn.metrics import r2_score

    y = rng.normal(size=20) + 50
    said, weights = y + rng.normal(size=20), rng.uniform(0, 2, size=20)
    before = y.copy(), said.copy()

    expect.close(student.r2(y, said), float(r2_score(y, said)), "r2", rtol=1e-7)
    want = float(r2_score(y, said, sample_weight=weights))
    expect.close(student.r2(y, said, weights), want, "r2 with weights", rtol=1e-7)
    for scale, shift in ((1e-6, 0.0), (1e-3, 1000.0)):  # other units change nothing, and such targets are not equal
        got = student.r2((y - 50) * scale + shift, (said - 50) * scale + shift)
        expect.close(got, float(r2_score(y, said)), "r2 of targets that are close to each other", rtol=1e-5)
    equal = np.full(7, 0.1)
    expect.close(student.r2(equal, equal.copy()), 1.0, "r2 of equal targets without error")
    expect.close(student.r2(equal, equal + 1), 0.0, "r2 of equal targets with errors")
    with expect.refused(ValueError, "r2 of two different shapes"):
        student.r2(y, said[:, None])
    expect.unchanged(y, before[0], "r2: y_true")
    expect.unchanged(said, before[1], "r2: y_pred")


# ------------------------------------------------------------------------------------------------------------
# 8.3  Early stopping
# ------------------------------------------------------------------------------------------------------------


@probe
def told_each_epoch(student, values, options):
    """Give an EarlyStopping the values until it stops; its attributes after each."""
    stopper = student.EarlyStopping(**options)
    notes = [(None, stopper.best, stopper.best_epoch, stopper.stopped)]
    for value in values:
        said = stopper.step(value)
        notes.append((said, stopper.best, stopper.best_epoch, stopper.stopped))
        if said:
            break
    return notes


def _scripted(values, patience, min_delta, mode):
    """What should be said in each epoch, by the definition."""
    best = best_epoch = None
    notes, waited = [(None, None, None, False)], 0
    for epoch, value in enumerate(values):
        sign = 1 if mode == "max" else -1
        is_better = math.isfinite(value) and (best is None or sign * value > sign * best + min_delta)
        if is_better:
            best, best_epoch, waited = value, epoch, 0
        else:
            waited += 1
        notes.append((waited >= patience, best, best_epoch, waited >= patience))
        if waited >= patience:
            break
    return notes


def _same_story(got, want, what):
    expect.equal(len(got) - 1, len(want) - 1, f"{what}: epochs until the stop")
    for one, other in zip(got, want, strict=True):
        for seen, wanted, name in zip(one, other, ("step", "best", "best_epoch", "stopped"), strict=True):
            if wanted is None or seen is None:
                expect.is_true(seen is wanted, f"{what}: {name} is {'not ' if wanted is None else ''}None.")
            elif isinstance(wanted, bool):
                expect.equal(bool(seen), wanted, f"{what}: {name}")
            else:
                expect.close(seen, wanted, f"{what}: {name}", rtol=1e-9)


@pytest.mark.task("early_stopping", weight=3)
@pytest.mark.parametrize("mode", ["min", "max"])
def test_random_stories(student, rng, mode):
    """EarlyStopping: think about patience, min_delta and mode, one epoch after the other."""
    for _ in range(12):
        patience, min_delta = int(rng.integers(1, 6)), float(rng.choice([0.0, 0.15]))
        values = (rng.normal(size=40).cumsum() * 0.1).tolist()
        options = {"patience": patience, "min_delta": min_delta, "mode": mode}
        got = told_each_epoch(student, values, options)
        _same_story(got, _scripted(values, patience, min_delta, mode), f"EarlyStopping(mode={mode!r})")


@pytest.mark.task("early_stopping", weight=2)
def test_small_steps_do_not_add_up_unseen(student):
    """EarlyStopping: an epoch without an improvement leaves best as it is, also if its value is a little better."""
    values = [1.0, 0.96, 0.92, 0.88, 0.84, 0.80]

    got = told_each_epoch(student, values, {"patience": 4, "min_delta": 0.1})
    equal = told_each_epoch(student, [1.0, 1.0, 1.0, 1.0], {"patience": 3})

    _same_story(got, _scripted(values, 4, 0.1, "min"), "EarlyStopping(min_delta)")
    _same_story(equal, _scripted([1.0] * 4, 3, 0.0, "min"), "EarlyStopping of equal values")
    for mode, sign in (("min", 1.0), ("max", -1.0)):
        exact = [sign * value for value in (2.0, 1.5, 1.0, 0.5)]  # the second is better by min_delta, not by more
        got = told_each_epoch(student, exact, {"patience": 2, "min_delta": 0.5, "mode": mode})
        _same_story(got, _scripted(exact, 2, 0.5, mode), f"EarlyStopping(mode={mode!r}) and exactly min_delta")
        zero = [sign * value for value in (0.0, 0.5, 0.25, 0.125)]
        got = told_each_epoch(student, zero, {"patience": 3, "mode": mode})
        _same_story(got, _scripted(zero, 3, 0.0, mode), f"EarlyStopping(mode={mode!r}) with 0 as the best value")


@pytest.mark.task("early_stopping", weight=3)
@pytest.mark.parametrize("mode", ["min", "max"])
def test_what_is_no_number_is_no_improvement(student, mode):
    """EarlyStopping: nan, inf and -inf never are an improvement, not even in the first epoch."""
    for values in (
        [math.nan, 0.5, math.nan, 0.4, 0.6, math.nan, math.nan, math.nan],
        [math.inf, -math.inf, 0.5, 0.5, math.inf, -math.inf, 0.5],
        [0.5, -math.inf, math.inf, math.nan, 0.5],
    ):
        got = told_each_epoch(student, values, {"patience": 3, "mode": mode})
        _same_story(got, _scripted(values, 3, 0.0, mode), f"EarlyStopping(mode={mode!r}) with nan and inf")


@probe
def weights_over_time(student, values, options, further):
    """Train a network with batch norm whose parameters and buffers are the number of the epoch."""
    stopper = student.EarlyStopping(**options)
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    tensors = list(model.state_dict(keep_vars=True).values())

    def fill(number):
        with torch.no_grad():
            for tensor in tensors:
                tensor.fill_(number)

    def read():
        return [float(tensor.detach().double().mean()) for tensor in tensors]

    notes = []
    for epoch, value in enumerate(values):
        fill(epoch + 1)
        if stopper.step(value, model):
            break
    notes.append(read())
    for number in range(further):
        fill(100 + number)
        stopper.restore(model)
        notes.append(read())
    own = list(model.state_dict(keep_vars=True).values())
    is_training = all(layer.training for layer in model.modules())
    return notes, all(one is other for one, other in zip(own, tensors, strict=True)), is_training


@pytest.mark.task("early_stopping", weight=5)
def test_parameters_and_buffers_of_the_best_epoch(student):
    """EarlyStopping: a copy of all parameters and buffers is remembered, and stays as it is when training goes on."""
    values = [5.0, 3.0, 4.0, 2.0, 4.0, 4.0, 1.0]
    notes, is_same, is_training = weights_over_time(student, values, {"patience": 2}, 2)

    for number, found in enumerate(notes):
        what = "after the stop" if number == 0 else "after restore"
        for value in found:
            expect.close(value, 4.0, f"EarlyStopping: parameters and buffers {what}", hint="they hold their epoch here")
    expect.is_true(is_same, "EarlyStopping: the model has other tensors than before.")
    expect.is_true(is_training, "EarlyStopping: the model was in train mode, and is not any more.")


@pytest.mark.task("early_stopping", weight=2)
def test_restore_before_a_stop(student):
    """EarlyStopping.restore: it works before a stop too; without restore_best nothing comes back by itself."""
    notes, *_ = weights_over_time(student, [5.0, 3.0, 4.0], {"patience": 9}, 1)
    kept, *_ = weights_over_time(student, [5.0, 3.0, 4.0, 4.0], {"patience": 2, "restore_best": False}, 1)

    for value in notes[0]:
        expect.close(value, 3.0, "EarlyStopping: parameters and buffers while training goes on")
    for value in notes[1]:
        expect.close(value, 2.0, "EarlyStopping.restore: parameters and buffers")
    for value in kept[0]:
        expect.close(value, 4.0, "EarlyStopping(restore_best=False): parameters and buffers after the stop")
    for value in kept[1]:
        expect.close(value, 2.0, "EarlyStopping(restore_best=False): parameters and buffers after restore")


@pytest.mark.task("early_stopping", weight=2)
def test_another_training(student):
    """EarlyStopping: after a stop a step is refused with a RuntimeError; reset forgets all epochs and all weights."""
    stopper = student.EarlyStopping(patience=1)
    stopper.step(1.0)
    expect.equal(bool(stopper.step(2.0)), True, "EarlyStopping.step with patience 1")
    with expect.refused(RuntimeError, "EarlyStopping.step after the stop"):
        stopper.step(0.5)
    stopper.reset()
    expect.is_true(
        stopper.best is None and stopper.best_epoch is None, "EarlyStopping.reset: it still has a best value."
    )
    expect.equal(bool(stopper.stopped), False, "EarlyStopping.stopped after reset")
    expect.equal(bool(stopper.step(7.0)), False, "EarlyStopping.step after reset")
    expect.equal(stopper.best_epoch, 0, "EarlyStopping.best_epoch after reset")
    waiting = student.EarlyStopping(patience=2)
    waiting.step(1.0)
    waiting.step(2.0)
    waiting.reset()
    said = waiting.step(math.nan)
    expect.equal(bool(said), False, "EarlyStopping.step: the first epoch without an improvement after reset")
    for options in ({"patience": 0}, {"min_delta": -0.1}, {"mode": "best"}):
        with expect.refused(ValueError, "EarlyStopping with a wrong argument"):
            student.EarlyStopping(**options)


@probe
def forgotten(student):
    """After a reset nothing is restored."""
    stopper = student.EarlyStopping(patience=3)
    model = nn.Linear(1, 1)
    with torch.no_grad():
        model.weight.fill_(1.0)
        stopper.step(1.0, model)
        stopper.reset()
        model.weight.fill_(2.0)
    stopper.restore(model)
    return float(model.weight.detach())


@pytest.mark.task("early_stopping", weight=1)
def test_reset_forgets_the_weights(student):
    """EarlyStopping.reset: without remembered weights, restore does nothing."""
    expect.close(forgotten(student), 2.0, "EarlyStopping.restore after reset: the weight of the model")


# ------------------------------------------------------------------------------------------------------------
# 8.4  Learning rates
# ------------------------------------------------------------------------------------------------------------


def _by_torch(make, base, steps):
    """The rates of a scheduler of torch."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=base)
    scheduler = make(optimizer)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return np.array(rates)


def _rates(schedule, steps, base, *args):
    return np.array([float(schedule(base, step, *args)) for step in range(steps)])


@pytest.mark.task("schedules", weight=2)
def test_steps_of_a_rate(student, rng):
    """step_lr: the rate is computed from base_lr, and changes after every step_size steps."""
    for size, gamma in ((1, 0.9), (4, 0.3), (7, 0.1)):
        base = float(rng.uniform(0.01, 2))
        want = _by_torch(lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, size, gamma), base, 23)  # noqa: B023
        expect.close(_rates(student.step_lr, 23, base, size, gamma), want, "step_lr", rtol=1e-6)


@pytest.mark.task("schedules", weight=2)
def test_a_cosine_from_end_to_end(student, rng):
    """cosine_lr: think about both ends, and about what is after the last one."""
    for total in (1, 7, 20):
        base, low = float(rng.uniform(0.5, 2)), float(rng.uniform(0, 0.3))
        want = _by_torch(
            lambda optimizer: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, total, low),  # noqa: B023
            base,
            total + 1,
        )
        got = _rates(student.cosine_lr, total + 4, base, total, low)
        expect.close(got, np.append(want, [low] * 3), "cosine_lr", rtol=1e-6, atol=1e-9)


@pytest.mark.task("schedules", weight=2)
def test_a_rise_before_the_cosine(student, rng):
    """warmup_cosine: the first step is not lost, the cosine begins at step warmup, and it ends at step total."""
    for warmup, total in ((5, 17), (1, 6), (0, 9), (8, 9)):
        base, low = float(rng.uniform(0.5, 2)), float(rng.uniform(0, 0.3))
        rise = [base * (step + 1) / warmup for step in range(warmup)]
        fall = [
            low + (base - low) * 0.5 * (1 + math.cos(math.pi * step / (total - warmup)))
            for step in range(total - warmup + 1)
        ]
        got = _rates(student.warmup_cosine, total + 3, base, warmup, total, low)
        expect.close(got, np.array([*rise, *fall, low, low]), "warmup_cosine", rtol=1e-6, atol=1e-9)


@pytest.mark.task("schedules", weight=2)
def test_one_cycle_of_torch(student, rng):
    """one_cycle: the peak may be between two steps, and the last rate is that of step total - 1."""
    for total, part, div, final in ((20, 0.3, 25.0, 1e4), (17, 0.45, 10.0, 50.0), (31, 0.71, 4.0, 3.0)):
        top = float(rng.uniform(0.1, 2))
        want = _by_torch(
            lambda optimizer: torch.optim.lr_scheduler.OneCycleLR(
                optimizer, top, total_steps=total, pct_start=part, div_factor=div, final_div_factor=final,  # noqa: B023
                cycle_momentum=False,
            ),
            top,
            total - 1,
        )  # fmt: skip
        last = top / (div * final)
        got = _rates(student.one_cycle, total + 2, top, total, part, div, final)
        expect.close(got, np.append(want, [last] * 3), "one_cycle", rtol=1e-6, atol=1e-12)
    default = student.one_cycle(1.0, 0, 100), student.one_cycle(1.0, 99, 100), student.one_cycle(1.0, 29, 100)
    expect.close(np.array([float(rate) for rate in default]), np.array([1 / 25, 1 / 25e4, 1.0]), "one_cycle", rtol=1e-6)


@probe
def ranged(student, kind, seed, options):
    """Apply a range test to a network of this kind; note its state before and after."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(4, 12), nn.BatchNorm1d(12), nn.Tanh(), nn.Linear(12, 3))
    if kind == "no norm":
        model = nn.Sequential(nn.Linear(4, 12), nn.Tanh(), nn.Linear(12, 3))
        model[0].bias.requires_grad_(False)  # it is not trained
    model.eval()
    model[1].train()
    x, y = torch.randn(24, 4), torch.arange(24) % 3
    batches = [(x[:8], y[:8]), (x[8:16], y[8:16]), (x[16:], y[16:])]
    F.cross_entropy(model(x), y).backward()
    list(model.parameters())[-1].grad = None
    modes = [layer.training for layer in model.modules()]
    inside = []

    def loss_fn(scores, labels):
        return F.cross_entropy(scores, labels)

    def look(layer, inputs):
        inside.append(layer.training)

    hook = torch.nn.modules.module.register_module_forward_pre_hook(look)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    grads = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
    try:
        rates, losses, suggestion = student.lr_range_test(model, batches, loss_fn, **options)
    finally:
        hook.remove()
    faults = []
    if any(not torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items()):
        faults.append("parameters and buffers")
    if [layer.training for layer in model.modules()] != modes:
        faults.append("the mode of each layer")
    for parameter, grad in zip(model.parameters(), grads, strict=True):
        if (parameter.grad is None) != (grad is None) or (grad is not None and not torch.equal(parameter.grad, grad)):
            faults.append("the gradients")
            break
    return np.array(rates, dtype=float), np.array(losses, dtype=float), float(suggestion), faults, all(inside)


@pytest.mark.task("schedules", weight=3)
@pytest.mark.parametrize("kind", ["norm", "no norm"])
def test_rates_and_losses_of_the_range(student, reference, rng, kind):
    """lr_range_test: rates grow by the same factor, a loss is that before the update, and batches take turns."""
    options = {"low": 1e-3, "high": 2.0, "steps": 14}
    seed = int(rng.integers(1000))

    rates, losses, suggestion, _, is_training = ranged(student, kind, seed, options)
    wanted = ranged(reference, kind, seed, options)

    expect.close(rates, 1e-3 * 2000 ** (np.arange(14) / 13), "lr_range_test (rates)", rtol=1e-6)
    expect.close(losses, wanted[1], "lr_range_test (losses)", rtol=1e-3)
    expect.between(suggestion, 1e-3, 2.0, "lr_range_test (suggestion)")
    expect.is_true(is_training, "lr_range_test: the model, or a layer of it, is not in train mode meanwhile.")


@pytest.mark.task("schedules", weight=3)
def test_the_model_is_as_it_was(student, rng):
    """lr_range_test: at the end parameters, buffers, modes and gradients are as before."""
    *_, faults, _ = ranged(student, "norm", int(rng.integers(1000)), {"low": 1e-3, "high": 1.0, "steps": 6})

    expect.is_true(not faults, f"lr_range_test: afterwards {', '.join(faults)} are not as before.")


@probe
def tried_on_a_line(student, x, y, seed, options, is_trained):
    """Apply a range test to a linear regression, and train it with the suggested rate."""
    torch.manual_seed(seed)
    model = nn.Linear(x.shape[1], 1)
    batches = [(x[part], y[part]) for part in (slice(0, 100), slice(100, 200), slice(200, 300))]
    rates, losses, suggestion = student.lr_range_test(model, batches, F.mse_loss, **options)
    path = []
    for i in range(100 if is_trained else 0):
        loss = F.mse_loss(model(batches[i % 3][0]), batches[i % 3][1])
        path.append(float(loss.detach()))
        model.zero_grad()
        loss.backward()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter -= float(suggestion) * parameter.grad
    return len(rates), list(map(float, losses)), float(suggestion), path


@pytest.mark.task("schedules", weight=1.5)
@pytest.mark.parametrize("scale", [0.3, 1.0, 8.0], ids=["small", "usual", "large"])
def test_the_suggested_rate_trains(student, rng, scale):
    """lr_range_test: the rule of the suggestion is your choice, but plain SGD must learn with the suggested rate."""
    x = torch.from_numpy(rng.normal(size=(300, 3)) * scale).float()
    weight = rng.normal(size=(3, 1))
    y = torch.from_numpy(x.numpy() @ weight / np.linalg.norm(weight) * 3 / scale).float()

    _, _, suggestion, path = tried_on_a_line(student, x, y, 1, {}, True)

    expect.between(suggestion, 1e-5, 10.0, "lr_range_test (suggestion)")
    is_good = math.isfinite(path[-1]) and max(path[-3:]) < 0.5 * path[0]
    expect.is_true(is_good, "lr_range_test: plain SGD with the suggested rate does not halve the loss.")


@pytest.mark.task("schedules", weight=1)
def test_the_range_ends_when_the_loss_explodes(student, rng):
    """lr_range_test: it ends at the first loss above four times the smallest one, and this loss is the last."""
    x = torch.from_numpy(rng.normal(size=(300, 3)) * 3).float()
    y = torch.from_numpy(x.numpy().sum(axis=1, keepdims=True)).float()

    count, losses, _, _ = tried_on_a_line(student, x, y, 1, {"low": 0.001, "high": 1e6}, False)

    expect.equal(len(losses), count, "lr_range_test: number of losses")
    expect.is_true(count < 100, "lr_range_test: it goes on after the loss has exploded.")
    for i, loss in enumerate(losses):
        is_end = not loss <= 4 * min(losses[: i + 1])
        expect.equal(is_end, i == len(losses) - 1, "lr_range_test: whether a loss is the last one")


@probe
def ended(student, losses):
    """Apply a range test to batches whose losses are given, whatever the network says."""
    model = nn.Linear(1, 1)
    batches = [(torch.ones(2, 1), torch.full((2,), loss)) for loss in losses]

    def loss_fn(scores, y):
        return y.mean() + 0 * scores.sum()

    rates, found, suggestion = student.lr_range_test(model, batches, loss_fn, 0.01, 1.0, len(losses))
    return len(rates), list(map(float, found)), float(suggestion)


@pytest.mark.task("schedules", weight=0.4)
@pytest.mark.parametrize("kind", ["nan", "inf", "slow", "fall", "exactly four times"])
def test_the_loss_that_ends_the_range(student, kind):
    """lr_range_test: it ends at the first loss that is nan, inf, or above four times the smallest loss so far."""
    losses, count = {
        "nan": ([3.0, 2.0, math.nan, 2.0, 2.0], 3),
        "inf": ([3.0, 2.0, math.inf, 2.0, 2.0], 3),
        "slow": ([1.0, 2.0, 3.0, 3.5, 5.0, 6.0], 5),  # no loss is much above the one before
        "fall": ([8.0, 1.0, 3.0, 5.0, 1.0], 4),  # the smallest loss is not the first
        "exactly four times": ([1.0, 4.0, 1.0, 4.0], 4),
    }[kind]

    rates, found, suggestion = ended(student, losses)

    expect.equal((rates, len(found)), (count, count), "lr_range_test: number of rates and of losses")
    expect.equal(
        [loss for loss in found if math.isfinite(loss)],
        [loss for loss in losses[:count] if math.isfinite(loss)],
        "lr_range_test (losses)",
    )
    expect.between(suggestion, 0.01, 1.0, "lr_range_test (suggestion)")


# ------------------------------------------------------------------------------------------------------------
# 8.5  Hyper-parameter search
# ------------------------------------------------------------------------------------------------------------


@probe
def drawn(student, name, args, n, seed):
    """Many draws from one generator."""
    rng = np.random.default_rng(seed)
    return [getattr(student, name)(*args, rng) for _ in range(n)]


@pytest.mark.task("search", weight=2)
def test_the_logarithm_is_uniform(student, rng):
    """log_uniform: it is the logarithm that is uniformly distributed, whatever the two ends are."""
    for low, high in ((1e-5, 10.0), (0.5, 2.0), (1e3, 1e9)):
        seed = int(rng.integers(10**6))
        draws = np.array(drawn(student, "log_uniform", (low, high), 600, seed), dtype=float)
        again = np.array(drawn(student, "log_uniform", (low, high), 600, seed), dtype=float)
        expect.is_true(bool((draws == again).all()), "log_uniform: the same seed gives other draws.")
        place = (np.log(draws) - math.log(low)) / math.log(high / low)
        expect.is_true(bool((place > -1e-9).all() and (place < 1 + 1e-9).all()), "log_uniform: a draw is out of range.")
        counts, _ = np.histogram(place, bins=4, range=(0, 1))
        for count in counts:  # 150 expected, standard deviation 10.6
            expect.between(int(count), 90, 210, "log_uniform: draws in a quarter of the exponents")


@pytest.mark.task("search", weight=2)
def test_each_rule_of_a_space(student, rng):
    """sample: both ends of an int are included, each option is as likely as the others, and constants stay."""
    space = {
        "width": ("int", 2, 5),
        "rate": ("log_uniform", 1e-4, 1e-1),
        "drop": ("uniform", -1.0, 3.0),
        "kind": ("choice", ["a", "b", None]),
        "fixed": 3,
        "sizes": [4, 5],
        "ends": ["uniform", 0, 1],  # a list is no rule
        "pair": ("relu", 2),  # a tuple that begins with no rule's name is none either
        "deep": {"deeper": {"n": ("int", 7, 7)}},
    }
    configs = drawn(student, "sample", (space,), 300, int(rng.integers(10**6)))

    for config in configs:
        expect.is_true(type(config) is dict and sorted(config) == sorted(space), "sample: keys that the space lacks.")
        expect.equal((config["fixed"], config["sizes"]), (3, [4, 5]), "sample: constants")
        expect.is_true(
            config["ends"] == ["uniform", 0, 1], "sample: a list is a constant, whatever its first entry is."
        )
        expect.is_true(config["pair"] == ("relu", 2), "sample: a tuple that is no rule is a constant.")
        expect.equal(config["deep"], {"deeper": {"n": 7}}, "sample: a space in a space")
        expect.between(config["rate"], 1e-4, 1e-1, "sample: a log_uniform value")
        expect.between(config["drop"], -1.0, 3.0, "sample: a uniform value")
        expect.is_true(isinstance(config["width"], (int, np.integer)), "sample: an int is no whole number.")
    many = drawn(student, "sample", ({"width": ("int", 2, 5)},), 2400, int(rng.integers(10**6)))
    widths = [int(config["width"]) for config in many]
    for width in (2, 3, 4, 5):  # 600 expected, standard deviation 21
        expect.between(widths.count(width), 480, 720, "sample: how often each int is drawn")
    expect.is_true(set(widths) == {2, 3, 4, 5}, "sample: an int is out of its range.")
    kinds = [config["kind"] for config in configs]
    for kind in ("a", "b", None):  # 100 expected, standard deviation 8.2
        expect.between(kinds.count(kind), 58, 142, "sample: how often each option is drawn")
    drops = np.array([config["drop"] for config in configs])  # mean 1, its standard deviation is 0.067
    expect.between(float(drops.mean()), 0.62, 1.38, "sample: mean of the uniform values")
    rates = np.array([config["rate"] for config in configs])
    expect.between(float((rates < 10**-2.5).mean()), 0.33, 0.67, "sample: share of small log_uniform values")


@pytest.mark.task("search", weight=4)
def test_an_option_brings_its_own_space(student, rng):
    """sample: an option that is a dict is a space, and a configuration of it is drawn if it is chosen."""
    space = {
        "net": (
            "choice",
            [{"cells": ("int", 1, 9), "more": {"gate": ("uniform", 0.0, 1.0)}}, {"heads": ("choice", [1, 2])}],
        )
    }
    configs = [config["net"] for config in drawn(student, "sample", (space,), 200, int(rng.integers(10**6)))]

    cells = [config["cells"] for config in configs if "cells" in config]
    heads = [config["heads"] for config in configs if "heads" in config]
    expect.equal(len(cells) + len(heads), 200, "sample: number of options drawn")
    expect.between(len(cells), 62, 138, "sample: how often the first option is chosen")
    for config in configs:
        keys = ["cells", "more"] if "cells" in config else ["heads"]
        expect.equal(sorted(config), keys, "sample: keys of the chosen option")
        if "more" in config:
            expect.between(config["more"]["gate"], 0.0, 1.0, "sample: a value deep in the chosen option")
    expect.is_true(len(set(cells)) > 5 and set(heads) == {1, 2}, "sample: the values of an option do not vary.")
    one, again = (student.sample(space, np.random.default_rng(4)) for _ in range(2))
    expect.is_true(one == again, "sample: the same seed gives another configuration.")


@probe
def changed_afterwards(student):
    """Change what sample and random_search have returned, and what the objective got."""
    space = {"sizes": [1, 2], "deep": {"list": ("choice", [[3]])}, "option": ("choice", [{"names": ["x"]}])}
    space |= {"nested": [[1], [2]], "nested option": ("choice", [[[3]]])}
    config = student.sample(space, np.random.default_rng(0))
    if not isinstance(config["deep"]["list"], list) or not isinstance(config["option"], dict):
        return None
    config["sizes"].append(9)
    config["deep"]["list"].append(9)
    config["option"]["names"].append("y")
    config["nested"][0].append(9)
    config["nested option"][0].append(9)

    def objective(config, seed):
        config["sizes"].append(7)
        config["seen"] = True
        return 1.0

    found = student.random_search({"sizes": [1, 2], "u": ("uniform", 0.0, 1.0)}, objective, 3, np.random.default_rng(0))
    kept = [found["config"], *(config for config, _ in found["trials"])]
    return (
        space["sizes"],
        space["deep"]["list"][1],
        space["option"][1],
        [sorted(c) for c in kept],
        [c["sizes"] for c in kept],
        (space["nested"], space["nested option"][1]),
    )


@pytest.mark.task("search", weight=2)
def test_configurations_share_nothing(student):
    """sample and random_search: a caller may change a configuration; the space and what is kept of a trial stay."""
    found = changed_afterwards(student)
    expect.is_true(found is not None, "sample: a space in a space is not drawn.")
    sizes, listed, options, keys, kept, nested = found

    expect.equal(sizes, [1, 2], "sample: a list of the space, after the configuration was changed")
    expect.equal(listed, [[3]], "sample: the options of the space, after the configuration was changed")
    expect.equal(options, [{"names": ["x"]}], "sample: a space in the options, after the configuration was changed")
    expect.is_true(
        nested[0] == [[1], [2]] and nested[1] == [[[3]]],
        "sample: a list in a list of the space has changed with the configuration: how deep is the copy?",
    )
    expect.equal(keys, [["sizes", "u"]] * 4, "random_search: keys of the configurations that are kept")
    expect.equal(kept, [[1, 2]] * 4, "random_search: a list of the configurations that are kept")


def _searched(student, values, seed=0):
    """A search whose objective returns these values."""
    given = iter(values)
    seeds = []

    def objective(config, seed):
        seeds.append(seed)
        return next(given)

    found = student.random_search({"x": ("uniform", 0.0, 1.0)}, objective, len(values), np.random.default_rng(seed))
    return found, seeds


@pytest.mark.task("search", weight=2)
def test_failed_and_equal_trials(student):
    """random_search: the largest value wins, the first of equals, and a trial that returns nan never is the best."""
    found, _ = _searched(student, [math.nan, -3.0, -1.0, math.nan, -1.0, -2.0])
    trials = found["trials"]

    expect.equal(len(trials), 6, "random_search: number of trials")
    expect.close(found["value"], -1.0, "random_search: the best value")
    expect.equal(found["config"], trials[2][0], "random_search: the best configuration")
    expect.is_true(
        math.isnan(trials[0][1]) and trials[5][1] == -2.0, "random_search: the values of the trials are not kept."
    )
    nothing, _ = _searched(student, [math.nan, math.nan])
    is_none = nothing["config"] is None and nothing["value"] is None
    expect.is_true(is_none, "random_search: config and value are not None if all trials failed.")
    low, _ = _searched(student, [-math.inf, -5.0])
    expect.close(low["value"], -5.0, "random_search: the best value beside -inf")
    for values, best in (([-math.inf, -math.inf], 0), ([math.nan, -math.inf], 1), ([1.0, math.inf, 2.0], 1)):
        found, _ = _searched(student, values)
        is_best = found["value"] == values[best] and found["config"] == found["trials"][best][0]
        expect.is_true(is_best, "random_search: a trial with inf or -inf has not failed, but was not the best.")
    zero, _ = _searched(student, [0.0, -1.0, -2.0])
    expect.close(zero["value"], 0.0, "random_search: the best value, which is 0")


@pytest.mark.task("search", weight=4)
def test_each_trial_has_its_own_draw(student):
    """random_search: each trial has a configuration and a seed of its own, both from rng."""
    runs = []
    for seed in (1, 1, 2):
        np.random.seed(len(runs))
        found, seeds = _searched(student, [0.0] * 30, seed)
        runs.append(([config["x"] for config, _ in found["trials"]], seeds))

    for draws, seeds in runs:
        expect.is_true(len(set(draws)) == 30, "random_search: two trials have the same configuration.")
        expect.is_true(len(set(seeds)) > 27, "random_search: trials have the same seed.")
        is_seed = all(isinstance(seed, (int, np.integer)) and 0 <= seed < 2**31 for seed in seeds)
        expect.is_true(is_seed, "random_search: a seed is no int in its range.")
    expect.is_true(runs[0] == runs[1], "random_search: the same seed gives another search.")
    expect.is_true(runs[0][0] != runs[2][0], "random_search: another seed gives the same configurations.")
    expect.is_true(runs[0][1] != runs[2][1], "random_search: another seed gives the same seeds.")


@pytest.mark.task("search", weight=2)
def test_readings_of_the_test_set(student):
    """GuardedTestSet: a reading counts also if predict fails, and what becomes of x and y later changes nothing."""
    x, y = np.arange(8.0).reshape(4, 2), np.array([1, 0, 2, 1])
    guard = student.GuardedTestSet(x, y, budget=4)
    want = x.copy()
    x[:], y[:] = -1, 9
    seen = []

    def spoil(rows):
        seen.append(np.array(rows))
        rows[:] = 77.0
        return np.array([1, 0, 2, 0])

    def fail(rows):
        raise ArithmeticError("no prediction")

    expect.close(guard.evaluate(spoil), 0.75, "GuardedTestSet.evaluate")
    with expect.refused(ArithmeticError, "GuardedTestSet.evaluate of a predict that fails"):
        guard.evaluate(fail)
    expect.equal(guard.reads, 2, "GuardedTestSet.reads after a predict that failed")
    with expect.refused(ValueError, "GuardedTestSet.evaluate of predictions with another shape"):
        guard.evaluate(lambda rows: np.zeros((4, 1), dtype=int))
    expect.close(guard.evaluate(spoil), 0.75, "GuardedTestSet.evaluate once more")
    for rows in seen:
        expect.close(rows, want, "GuardedTestSet: the rows that predict gets")
    with expect.refused(RuntimeError, "GuardedTestSet beyond its budget"):
        guard.evaluate(spoil)
    expect.equal((guard.reads, len(seen)), (4, 2), "GuardedTestSet: readings, and calls of predict")


@probe
def tuned_on_digits(student, train, val, test, n, seed):
    """Tune a linear classifier (ridge regression), whose strength is a hyper-parameter, and note what happens."""
    (x, y), notes, shares = train, [], []
    guard = student.GuardedTestSet(*test)

    def fit(config, seed):
        used = config["features"]
        rows, wanted = x[:, :used], np.eye(10)[y]
        weight = np.linalg.solve(rows.T @ rows + config["strength"] * np.eye(used), rows.T @ wanted)
        notes.append(guard.reads)

        def predict(given):
            return (given[:, :used] @ weight).argmax(axis=1)

        shares.append(float((predict(val[0]) == val[1]).mean()))
        return predict

    space = {"strength": ("log_uniform", 1e-3, 1e6), "features": ("int", 4, 64)}
    found = student.tune(space, fit, val, guard, n, np.random.default_rng(seed))
    return found["config"], float(found["val"]), float(found["test"]), notes, shares, guard.reads


@pytest.mark.task("search", weight=3)
def test_tuning_on_real_digits(student, rng, seed):
    """tune: the validation set alone chooses, and the test set is read once, after all fits."""
    (x, y), (x_test, y_test) = fresh_digits(seed % 100_000)
    x, x_test = x.reshape(-1, 64)[:400].astype(float), x_test.reshape(-1, 64)[:150].astype(float)
    parts = (x[:250], y[:250]), (x[250:], y[250:400]), (x_test, y_test[:150])

    config, val, test, notes, shares, reads = tuned_on_digits(student, *parts, 15, seed % 1000)

    expect.equal(notes, [0] * 15, "tune: readings of the test set before each fit", hint="n fits, then one reading")
    expect.equal(reads, 1, "tune: readings of the test set in the end")
    expect.close(val, max(shares), "tune: share on the validation set", rtol=1e-9)
    expect.is_true(val >= float(np.median(shares)), "tune: the result is no better than the median of its draws.")
    used, wanted = int(config["features"]), np.eye(10)[parts[0][1]]
    rows = parts[0][0][:, :used]
    weight = np.linalg.solve(rows.T @ rows + config["strength"] * np.eye(used), rows.T @ wanted)
    share = float(((x_test[:, :used] @ weight).argmax(axis=1) == y_test[:150]).mean())
    expect.close(test, share, "tune: share on the test set", atol=0.015, hint="which trial is tested?")


@probe
def first_of_equals(student):
    """Tune with trials that are all alike on the validation set; each predict knows its number."""
    counted, seeds = [], []

    class Guard:
        def evaluate(self, predict):
            return float(np.asarray(predict(np.zeros((2, 1))))[0])

    def fit(config, seed):
        number = len(counted)
        seeds.append(seed)
        counted.append(config["x"])
        return lambda rows: np.full(len(rows), 1 if len(rows) == 3 else number)

    val = np.zeros((3, 1)), np.array([1, 1, 0])
    found = student.tune({"x": ("uniform", 0.0, 1.0)}, fit, val, Guard(), 5, np.random.default_rng(0))
    return found["config"]["x"] == counted[0], float(found["test"]), len(counted), len(set(seeds))


@pytest.mark.task("search", weight=1)
def test_the_first_of_equal_trials(student):
    """tune: of equal trials the first one is tested, with the predict function that it has made already."""
    is_first, tested, fits, seeds = first_of_equals(student)

    expect.equal(fits, 5, "tune: number of fits", hint="the best trial is not fitted again")
    expect.is_true(seeds > 3, "tune: trials have the same seed.")
    expect.is_true(is_first, "tune: the configuration is not that of the first of equal trials.")
    expect.close(tested, 0.0, "tune: number of the trial that was tested")


# ------------------------------------------------------------------------------------------------------------
# 8.6  Diagnostics
# ------------------------------------------------------------------------------------------------------------


@probe
def diagnosed(student, name, fault, seed, args):
    """Apply a diagnosis to a network with this fault (or a healthy one), and say what of the network was changed."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            wide, deep = 24, 7 if fault in ("sigmoids", "deep") else 2
            act = nn.Sigmoid if fault == "sigmoids" else nn.ReLU
            has_conv = fault in ("conv", "stiff conv")
            first = [nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU()] if has_conv else []
            size = 6 * 4 if has_conv else 16
            body = [nn.Flatten()]
            for layer in range(deep):
                body += [nn.Linear(size if layer == 0 else wide, wide), act()]
            self.body = nn.Sequential(*first, *body)
            self.head = nn.Linear(wide, 5)  # the batch has no row of the last class
            self.root = nn.Parameter(torch.zeros(1)) if fault == "inf" else None

        def forward(self, x):
            hidden = self.body(x)
            if fault == "blind":
                hidden = hidden * 0 + 1
            scores = self.head(hidden.detach() if fault == "cut" else hidden)
            if fault == "inf":  # the slope of a square root at 0
                scores = scores + self.root.sqrt() * torch.eye(5)[0]
            return scores.softmax(dim=1) if fault == "softmax" else scores

    torch.manual_seed(seed)
    model = Net()
    linears = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
    with torch.no_grad():
        if fault == "confident":
            model.head.weight.mul_(60)
        if fault == "wrong bias":
            model.head.bias[0] = 9.0
        if fault == "small":
            model.head.weight.mul_(1e-6)
        if fault == "large":
            model.head.weight.mul_(1e6)
        if fault == "quiet":  # all gradients of weights are small, and alike
            linears[1].weight.mul_(1e-6)
            linears[1].bias.abs_().mul_(1e-6)
        if fault == "stiff conv":  # batch norm makes the same of its output, but the gradient is small
            model.body[0].weight.mul_(1e6)
        if fault == "nan":
            linears[0].bias[0] = float("nan")
        if fault == "deep":
            for layer in linears:
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    x, y = torch.randn(16, 1, 4, 4), torch.arange(16) % 4
    F.cross_entropy(model(x), y).backward()
    model.head.bias.grad = None
    model.eval()
    model.body[-1 if name == "gradient_flow" else 1].train()  # a batch norm is in the wrong mode for each diagnosis
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    grads = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
    modes = [layer.training for layer in model.modules()]
    found = getattr(student, name)(model, x, y, *args)
    faults = []
    if any(
        not torch.equal(tensor.nan_to_num(7.0), before[key].nan_to_num(7.0))
        for key, tensor in model.state_dict().items()
    ):
        faults.append("parameters or buffers")
    if [layer.training for layer in model.modules()] != modes:
        faults.append("modes")
    if any(layer._forward_hooks or layer._backward_hooks or layer._forward_pre_hooks for layer in model.modules()):
        faults.append("hooks")
    for parameter, grad in zip(model.parameters(), grads, strict=True):
        same = parameter.grad is grad or (
            parameter.grad is not None
            and grad is not None
            and torch.equal(parameter.grad.nan_to_num(7.0), grad.nan_to_num(7.0))
        )
        if not same:
            faults.append("gradients")
            break
    with torch.no_grad():
        loss = float(F.cross_entropy(model.eval()(x), y))
    copied = model.train()
    copied.zero_grad()
    F.cross_entropy(copied(x), y).backward()
    norms = {key: 0.0 if p.grad is None else float(p.grad.norm()) for key, p in copied.named_parameters()}
    return tuple(found), faults, loss, norms


def _diagnosed(student, name, fault, seed, *args):
    found, faults, loss, norms = diagnosed(student, name, fault, seed, args)
    expect.is_true(not faults, f"{name}: of the model, {', '.join(faults)} are not as before.")
    return found, loss, norms


@pytest.mark.task("diagnostics", weight=0.6)
@pytest.mark.parametrize("fault", ["healthy", "conv", "confident", "wrong bias", "nan"])
def test_the_first_loss(student, rng, fault):
    """check_initial_loss: compare the loss in eval mode with log C; a loss that is nan is not ok."""
    is_healthy = fault in ("healthy", "conv")
    (loss, expected, is_ok), want, _ = _diagnosed(student, "check_initial_loss", fault, int(rng.integers(1000)))

    expect.close(expected, math.log(5), "check_initial_loss (expected)", hint="how many scores has a row?")
    if fault != "nan":
        expect.close(loss, want, "check_initial_loss (loss)", rtol=1e-4)
    expect.equal(
        bool(is_ok),
        is_healthy,
        f"check_initial_loss (is_ok) of a {'healthy' if is_healthy else 'faulty'} network",
    )
    if fault == "healthy":
        (loss, expected, _), _, _ = _diagnosed(student, "check_initial_loss", fault, 3)
        for part, want in ((0.8, False), (1.25, True)):  # of the distance of the two losses
            tolerance = part * abs(float(loss) - float(expected))
            (_, _, is_ok), _, _ = _diagnosed(student, "check_initial_loss", fault, 3, tolerance)
            size = "smaller" if part < 1 else "larger"
            what = f"check_initial_loss (is_ok) with a tolerance {size} than the difference of the two losses"
            expect.equal(bool(is_ok), want, what)
    if fault == "confident":
        (_, _, is_ok), _, _ = _diagnosed(student, "check_initial_loss", fault, 3, 1e6)
        expect.equal(bool(is_ok), True, "check_initial_loss (is_ok) with a huge tolerance")


@pytest.mark.task("diagnostics", weight=0.6)
@pytest.mark.parametrize("fault", ["healthy", "conv", "softmax", "blind", "nan"])
def test_one_batch_by_heart(student, rng, fault):
    """overfit_one_batch: a healthy network learns it by heart, a broken one does not; only a copy is trained."""
    is_healthy = fault in ("healthy", "conv")
    steps = 200 if fault == "conv" else 40
    (losses, is_ok), _, _ = _diagnosed(student, "overfit_one_batch", fault, int(rng.integers(1000)), steps)

    expect.equal(len(losses), steps, "overfit_one_batch: number of losses")
    if fault == "healthy":
        is_healthy = losses[-1] <= 0.05  # so few steps may be too few
    expect.equal(
        bool(is_ok), is_healthy, f"overfit_one_batch (is_ok) of a {'healthy' if is_healthy else 'faulty'} network"
    )
    if fault == "healthy":
        expect.is_true(losses[0] > 1.0, "overfit_one_batch: the first loss is not that before the first step.")
        (short, is_short_ok), _, _ = _diagnosed(student, "overfit_one_batch", fault, 5, 2)
        expect.equal((len(short), bool(is_short_ok)), (2, False), "overfit_one_batch of two steps: losses, and is_ok")


@probe
def forgotten_batch(student, steps):
    """Train a network that knows all labels in its first five calls, and nothing afterwards."""

    class Forgetful(nn.Module):
        def __init__(self):
            super().__init__()
            self.line = nn.Linear(3, 3)
            self.calls = 0

        def forward(self, x):
            self.calls += 1
            return 0 * self.line(x) + (50 * x if self.calls <= 5 else 0)

    x = torch.eye(3)
    losses, is_ok = student.overfit_one_batch(Forgetful(), x, torch.arange(3), steps)
    return list(map(float, losses)), bool(is_ok)


@pytest.mark.task("diagnostics", weight=0.6)
def test_the_last_loss_decides(student):
    """overfit_one_batch: is_ok says whether the last loss is small, not one on the way."""
    losses, is_ok = forgotten_batch(student, 20)

    expect.equal(len(losses), 20, "overfit_one_batch: number of losses")
    expect.is_true(losses[0] < 0.01, "overfit_one_batch: the first loss is not that before the first step.")
    expect.close(losses[-1], math.log(3), "overfit_one_batch: the last loss", rtol=1e-4)
    expect.equal(is_ok, False, "overfit_one_batch (is_ok) of a network whose last loss is large")


@probe
def units_of_relus(student, seed):
    """Dead units of a network with a convolution, dropout and an inplace ReLU; and what a batch says about them."""
    torch.manual_seed(seed)
    first = nn.Sequential(nn.Conv2d(2, 8, 2), nn.BatchNorm2d(8), nn.ReLU())
    model = nn.Sequential(
        first, nn.Dropout(0.5), nn.Flatten(), nn.Linear(32, 10), nn.ReLU(inplace=True), nn.Linear(10, 3)
    )
    x = torch.randn(12, 2, 3, 3)
    with torch.no_grad():
        first[1].bias[1:4] = -1e6  # dead in eval mode and in train mode
        first[1].bias[4] = -20.0  # alive at one place of one image
        pattern = first[0].weight[4]
        x[0, :, :2, :2] = 50 * pattern / (pattern**2).sum()
        model[3].bias[0] = -1e6
        model[3].bias[1] = -0.7
        model[3].weight[2] = 0
        model[3].bias[2] = 1e-5  # it says little, but not nothing
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    found = {name: float(part) for name, part in student.dead_relu_fraction(model, x).items()}
    same = all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())
    left = any(layer._forward_hooks for layer in model.modules())
    is_training = all(layer.training for layer in model.modules())
    model.eval()
    with torch.no_grad():
        maps = first(x)
        rows = torch.relu(model[3](maps.flatten(1)))
    return found, maps, rows, same and not left and is_training


@pytest.mark.task("diagnostics", weight=3)
def test_units_that_never_speak(student, rng):
    """dead_relu_fraction: a unit is dead if it is 0 for all rows of the batch, and at all places of its channel."""
    for _ in range(3):
        found, maps, rows, is_same = units_of_relus(student, int(rng.integers(1000)))

        expect.equal(sorted(found), ["0.2", "4"], "dead_relu_fraction: names of the layers")
        dead = float((maps == 0).all(dim=0).all(dim=2).all(dim=1).float().mean())
        expect.close(found["0.2"], dead, "dead_relu_fraction of a convolution's channels", rtol=1e-5)
        dead = float((rows == 0).all(dim=0).float().mean())
        expect.close(found["4"], dead, "dead_relu_fraction of the units of a linear layer", rtol=1e-5)
        expect.is_true(is_same, "dead_relu_fraction: the model has changed, a mode or a hook of it too.")


@pytest.mark.task("diagnostics", weight=0.5)
@pytest.mark.parametrize(
    ("fault", "want"),
    [
        ("healthy", "healthy"),
        ("conv", "healthy"),
        ("deep", "healthy"),
        ("sigmoids", "vanishing"),
        ("small", "vanishing"),
        ("cut", "vanishing"),
        ("large", "exploding"),
        ("nan", "exploding"),
        ("inf", "exploding"),
        ("quiet", "healthy"),
        ("stiff conv", "vanishing"),
    ],
)
def test_gradients_from_the_end_to_the_beginning(student, rng, fault, want):
    """gradient_flow: compare the gradients of the first weight and of the last one, and look for nan and inf."""
    (norms, label), _, wanted = _diagnosed(student, "gradient_flow", fault, int(rng.integers(1000)))

    expect.equal(sorted(norms), sorted(wanted), "gradient_flow: names of the parameters")
    if fault not in ("nan", "inf"):
        for name, norm in wanted.items():
            expect.close(norms[name], norm, "gradient_flow: norm of a gradient", rtol=1e-3, atol=1e-7)
    expect.equal(label, want, "gradient_flow (label)")


@probe
def updated(student, kind, lr, seed):
    """One step with an optimiser of this kind; what was before, and what is afterwards."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(5, 12), nn.ReLU(), nn.Dropout(0.3), nn.Linear(12, 12), nn.ReLU(), nn.Linear(12, 3))
    if kind == "zeros":
        nn.init.zeros_(model[5].weight)
        model[0].weight.requires_grad_(False)
    make = torch.optim.Adam if kind == "adam" else torch.optim.SGD
    optimizer = make([p for p in model.parameters() if p.requires_grad], lr=lr)
    x, y = torch.randn(32, 5), torch.arange(32) % 3
    (100 * F.cross_entropy(model(x), y)).backward()  # old gradients, which must be cleared
    model.train(kind == "adam")
    before = {key: p.detach().clone() for key, p in model.named_parameters()}
    modes = [layer.training for layer in model.modules()]
    ratios, label = student.update_ratio(model, optimizer, x, y)
    after = {key: p.detach().clone() for key, p in model.named_parameters()}
    same = modes == [layer.training for layer in model.modules()]
    with torch.no_grad():
        for key, p in model.named_parameters():
            p.copy_(before[key])
    optimizer.zero_grad()
    F.cross_entropy(model(x), y).backward()
    step = {key: None if p.grad is None else p.grad.clone() for key, p in model.named_parameters()}
    return {key: float(ratio) for key, ratio in ratios.items()}, label, before, after, step, same


@pytest.mark.task("diagnostics", weight=0.6)
@pytest.mark.parametrize(
    ("kind", "lr", "want"),
    [
        ("sgd", 0.05, "healthy"),
        ("sgd", 5e-6, "too small"),
        ("sgd", 50.0, "too large"),
        ("adam", 1e-3, "healthy"),
        ("adam", 1e-7, "too small"),
        ("zeros", 0.05, "too small"),  # 0, 0 and inf: neither the mean nor the largest
    ],
)
def test_how_much_a_step_changes(student, rng, kind, lr, want):
    """update_ratio: the change of a weight by a real step of its optimiser, divided by the norm before."""
    ratios, label, before, after, step, same = updated(student, kind, lr, int(rng.integers(1000)))

    names = [name for name, value in before.items() if value.dim() >= 2]
    expect.equal(sorted(ratios), sorted(names), "update_ratio: names of the parameters")
    for name in names:
        change, size = float((after[name] - before[name]).norm()), float(before[name].norm())
        ratio = 0.0 if change == 0 else change / size if size else math.inf
        expect.close(ratios[name], ratio, "update_ratio", rtol=0.02)
        if kind == "sgd" and want != "too small" and step[name] is not None:
            moved = before[name] - lr * step[name]
            expect.close(after[name], moved, "update_ratio: a weight after the step", rtol=1e-3, atol=1e-5 * max(lr, 1))
    expect.equal(label, want, "update_ratio (label)", hint="the median of the ratios decides")
    if kind == "zeros":
        expect.is_true(
            ratios["5.weight"] == math.inf, "update_ratio: a weight that was 0 and changed must have the ratio inf."
        )
        expect.equal(ratios["0.weight"], 0.0, "update_ratio of a weight that did not change")
    expect.is_true(same, "update_ratio: the mode of the model has changed.")


# ------------------------------------------------------------------------------------------------------------
# 8.7  Bug hunt
# ------------------------------------------------------------------------------------------------------------


@probe
def run_fix(student, name, kind, seed, numbers):
    """Call a fix with new networks and data of this seed; return what it returns, the weights, and modes."""
    torch.manual_seed(seed)
    x = torch.randn(30, 4)
    y = (x[:, 0] > 0).long() + (x[:, 1] > 0).long()
    net = nn.Sequential(nn.Linear(4, 9), nn.Tanh(), nn.Linear(9, 1 if kind == "regression" else 3)).eval()
    batches = [(x[:11], y[:11]), (x[11:20], y[11:20]), (x[20:], y[20:])]
    if kind == "huge":  # scores of some thousands
        x = 1000 * x
        with torch.no_grad():
            net[2].weight.mul_(5000)
    if kind == "regression":
        args = (net, x, x[:, 0] * 2 - x[:, 2] + 3)
    elif kind == "batches":
        args = (net, batches)
    elif kind == "two parts":
        args = (net[:2], net[2:], x, y)
    else:
        args = (net, x, y)
    F.cross_entropy(net(x), y % net(x).shape[1]).backward()  # an old gradient
    found = getattr(student, name)(*args, *numbers)
    weights = [p.detach().clone() for p in net.parameters()]
    return found, weights, any(layer.training for layer in net.modules())


def _as_reference(student, reference, rng, name, kind, numbers, hint):
    """A fix must return the same numbers as the solution, and leave the same weights."""
    seed = int(rng.integers(1000))
    found, weights, is_training = run_fix(student, name, kind, seed, numbers)
    wanted, wanted_weights, _ = run_fix(reference, name, kind, seed, numbers)

    got = np.array([found] if isinstance(found, float) else list(found), dtype=float)
    expect.close(got, np.atleast_1d(np.array(wanted)), f"{name}: what it returns", rtol=1e-3, atol=1e-6, hint=hint)
    for one, other in zip(weights, wanted_weights, strict=True):
        expect.close(one, other, f"{name}: the weights afterwards", rtol=1e-3, atol=1e-5, hint=hint)
    expect.is_true(not is_training, f"{name}: the mode of the network has changed.")


@pytest.mark.task("bug_hunt", weight=1.5)
def test_scores_and_probabilities(student, reference, rng):
    """fix_1: which of the two does the cross-entropy of torch take, and what does it do with it?"""
    _as_reference(student, reference, rng, "fix_1", "classes", (6, 0.4), "how many softmaxes are there?")
    _as_reference(student, reference, rng, "fix_1", "huge", (1, 0.1), "the logarithm of a softmax can be -inf")


@pytest.mark.task("bug_hunt", weight=1.5)
def test_each_row_keeps_its_label(student, rng):
    """fix_2: the rows are shuffled together with their labels, in an order that rng decides, and none is lost."""
    x, y = rng.normal(size=(50, 3, 2)), np.arange(50)
    before = x.copy(), y.copy()
    orders = []
    for seed in (1, 1, 2):
        batches = student.fix_2(x, y, 8, np.random.default_rng(seed))
        expect.equal([len(labels) for _, labels in batches], [8] * 6 + [2], "fix_2: rows of the batches")
        for rows, labels in batches:
            expect.equal(rows, before[0][labels], "fix_2: rows, beside their labels")
        orders.append(np.concatenate([labels for _, labels in batches]).tolist())
    expect.equal(sorted(orders[0]), list(range(50)), "fix_2: all rows")
    expect.is_true(orders[0] == orders[1] and orders[0] != orders[2], "fix_2: the order is not decided by rng.")
    expect.is_true(orders[0] != list(range(50)), "fix_2: the rows are not shuffled.")
    expect.unchanged(x, before[0], "fix_2: x")
    expect.unchanged(y, before[1], "fix_2: y")


@pytest.mark.task("bug_hunt", weight=1.5)
def test_one_gradient_for_each_batch(student, reference, rng):
    """fix_3: each step has the gradient of its batch alone, in the order of the batches."""
    _as_reference(
        student, reference, rng, "fix_3", "batches", (0.7,), "which gradients are there when backward begins?"
    )


@probe
def accuracy_in_use(student, seed):
    """Evaluate a network with dropout and batch norm, twice; what is right in use; and its state afterwards."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(4, 12), nn.BatchNorm1d(12), nn.Dropout(0.6), nn.ReLU(), nn.Linear(12, 3))
    for _ in range(5):
        model(torch.randn(40, 4) * 3 + 2)
    x = torch.randn(60, 4) - 1
    model.train()
    model[1].eval()
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    modes = [layer.training for layer in model.modules()]
    y = torch.randint(0, 3, (60,))
    found = float(student.fix_4(model, x, y)), float(student.fix_4(model.train(), x, y))
    whole = [layer.training for layer in model.modules()]
    model[1].eval()
    alone = float(student.fix_4(model, x[:1], y[:1]))
    same = all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())
    kept = [layer.training for layer in model.modules()] == modes and all(whole)
    with torch.no_grad():
        scores = model.eval()(x)
    return found, alone, scores, y, same, kept


@pytest.mark.task("bug_hunt", weight=1.5)
def test_accuracy_as_in_use(student, rng):
    """fix_4: dropout drops nothing, batch norm uses its running statistics, and each layer's mode is as before."""
    found, alone, scores, y, same, kept = accuracy_in_use(student, int(rng.integers(1000)))

    right = scores.argmax(dim=1) == y
    for accuracy in found:
        expect.close(accuracy, float(right.float().mean()), "fix_4: accuracy", rtol=1e-5)
    expect.close(alone, float(right[0]), "fix_4: accuracy of one row", rtol=1e-5)
    expect.is_true(same, "fix_4: parameters or buffers have changed.")
    expect.is_true(kept, "fix_4: a layer is not in the mode in which it was.")


@pytest.mark.task("bug_hunt", weight=1.5)
def test_validation_rows_as_they_are(student, rng):
    """fix_5: augment is called once, with the training rows; the validation rows stay as they are."""
    x, y = rng.normal(size=(40, 3)), np.arange(40)
    before = x.copy(), y.copy()
    calls, splits, draws = [], [], []

    def augment(rows, source):
        calls.append(np.array(rows))
        draws.append(float(source.normal()))
        return rows + 100

    for seed in (1, 1, 2):
        found = student.fix_5(x, y, 29, augment, np.random.default_rng(seed))
        x_train, y_train, x_val, y_val = found
        expect.equal((len(y_train), len(y_val)), (29, 11), "fix_5: rows of both parts")
        expect.close(x_train, before[0][y_train] + 100, "fix_5: training rows, beside their labels")
        expect.equal(x_val, before[0][y_val], "fix_5: validation rows, beside their labels")
        expect.equal(sorted([*y_train.tolist(), *y_val.tolist()]), list(range(40)), "fix_5: all rows")
        splits.append(y_val.tolist())
    expect.equal([len(rows) for rows in calls], [29] * 3, "fix_5: rows that augment gets in each call")
    expect.is_true(splits[0] == splits[1] and splits[0] != splits[2], "fix_5: the split is not decided by rng.")
    expect.is_true(draws[0] == draws[1] and draws[0] != draws[2], "fix_5: augment does not get rng.")
    expect.is_true(sorted(splits[0]) != list(range(29, 40)), "fix_5: the rows are not split at random.")
    expect.unchanged(x, before[0], "fix_5: x")


@pytest.mark.task("bug_hunt", weight=1.5)
def test_the_gradient_reaches_the_encoder(student, reference, rng):
    """fix_6: encoder and head are trained together; follow the gradient from the loss to the first layer."""
    _as_reference(student, reference, rng, "fix_6", "two parts", (0.5,), "where does the graph end?")


@pytest.mark.task("bug_hunt", weight=1.5)
def test_one_error_for_each_row(student, reference, rng):
    """fix_7: each prediction is compared with its own target; the loss is the mean squared error."""
    _as_reference(student, reference, rng, "fix_7", "regression", (8, 0.05), "look at the shapes of what is subtracted")


@pytest.mark.task("bug_hunt", weight=1.5)
def test_one_rate_for_each_epoch(student, reference, rng):
    """fix_8: all steps of an epoch have the same rate, and those of the first epoch have lr."""
    _as_reference(student, reference, rng, "fix_8", "batches", (5, 0.6, 0.7), "when is the schedule moved on?")


def _curve(rng, kind, n, shape):
    """Two curves of n epochs that are far from all limits but that of their label."""
    t = np.arange(n) / (n - 1)
    high, low = rng.uniform(1.5, 3), rng.uniform(0.3, 0.5)
    jitter = 1 + 0.01 * rng.normal(size=(2, n))
    fall = low + (high - low) * np.exp(-12 * t)  # flat in its last fifth
    train, val = fall, fall * rng.uniform(1.1, 1.3)
    if kind == "diverged":
        train = train.copy()
        if shape == 0:
            train = high * np.exp(rng.uniform(1.5, 4) * t)
            val = np.full(n, high)
        elif shape == 1:
            train[-1] = np.inf
        else:
            val = val.copy()
            val[int(n * 0.6)] = np.nan if shape == 2 else np.inf
    if kind == "suspicious":
        val = train * rng.uniform(0.1, 0.35)
    if kind == "not learning":
        train, val = np.full(n, high), np.full(n, high * rng.uniform(0.9, 1.4))
    if kind == "unstable":
        train = high * np.where(np.arange(n) % 2 == 0, 1.0, 0.4)
        train[-1] = 0.4 * high
        val = np.full(n, 0.7 * high)
    if kind == "overfitting":
        train = high * np.exp(-4 * t)
        val = high * (0.4 + 2 * (t - 0.35) ** 2)
    if kind == "unfinished":
        rate = (2.5, 1.5)[shape % 2]
        train, val = high * np.exp(-rate * t), 1.2 * high * np.exp(-rate * t)
    if kind == "val stays":  # the training loss falls on, the validation loss does not
        kind, train, val = "healthy", high * np.exp(-2.5 * t), np.full(n, high)
    if kind == "one bad epoch":  # a single training loss is high
        kind, train, val = "healthy", train.copy(), val.copy()
        train[n // 2] = 3 * high
    if kind == "falls and comes back":
        kind, train, val = "not learning", high * (1 - 0.5 * np.sin(np.pi * t)), high * (1.2 - 0.4 * np.sin(np.pi * t))
    if kind == "small swings":  # large beside the loss of the epoch before, small beside the first
        kind, train, val = "healthy", high * np.where(np.arange(n) % 2 == 0, 0.03, 0.06), np.full(n, 0.5 * high)
        train[0] = high
    if (
        kind == "val falls further"
    ):  # at last the validation loss is below half of the training loss, at first it is not
        kind, train, val = "healthy", high * (0.6 + 0.4 * np.exp(-12 * t)), high * (0.15 + np.exp(-12 * t))
    return kind, (train * jitter[0]).tolist(), (val * jitter[1]).tolist()


@pytest.mark.task("bug_hunt", weight=0.5)
@pytest.mark.parametrize(
    "kind",
    [
        "diverged", "suspicious", "not learning", "unstable", "overfitting", "unfinished", "healthy", "val stays",
        "one bad epoch", "falls and comes back", "small swings", "val falls further",
    ],
)  # fmt: skip
def test_curves_of_all_kinds(student, rng, kind):
    """diagnose: go through the rules from the top; the first one that holds gives the label."""
    for n in (10, 20, 63):
        for shape in range(4):
            label, train, val = _curve(rng, kind, n, shape)
            history = {"train": train, "val": val, "lr": [0.1] * n}
            expect.equal(student.diagnose(history), label, "diagnose")
            expect.equal(len(history["train"]), n, "diagnose: epochs of the history afterwards")


# ------------------------------------------------------------------------------------------------------------
# 8.8  Deployment
# ------------------------------------------------------------------------------------------------------------


@probe
def exported_and_loaded(student, seed, example_rows):
    """Export a network with batch norm and dropout, forget its class, and load the file."""
    import os
    import tempfile

    class Shy(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 4, 3)
            self.norm = nn.BatchNorm2d(4)
            self.drop = nn.Dropout(0.5)
            self.head = nn.Linear(4 * 4, 3)

        def forward(self, x):
            return self.head(self.drop(torch.relu(self.norm(self.conv(x)))).flatten(1))

    torch.manual_seed(seed)
    model = Shy()
    for _ in range(3):
        model(torch.randn(20, 1, 4, 4) * 2 + 1)
    model.norm.eval()
    modes = [layer.training for layer in model.modules()]
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "net.pt2")
        student.export_model(model, torch.randn(example_rows, 1, 4, 4), path)
        same = modes == [layer.training for layer in model.modules()]
        same = same and all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())
        Shy.forward = None  # whoever needs the class finds nothing to call
        x = torch.randn(700, 1, 4, 4)
        loaded = torch.export.load(path).module()
    outs = []
    with torch.no_grad():
        for count in (37, 1, 2, 5, 700):
            try:
                outs.append(loaded(x[:count]))
            except Exception:  # a file for one number of rows alone
                outs.append(None)
        maps = torch.relu(model.norm.eval()(model.conv(x)))
        want = model.head(maps.flatten(1))
    return outs, want, same


@pytest.mark.task("deployment", weight=4)
@pytest.mark.parametrize("example_rows", [1, 6], ids=["one", "more"])
def test_the_file_runs_without_the_class(student, rng, example_rows):
    """export_model: the file computes in eval mode, for any number of rows, and the model is as before."""
    outs, want, same = exported_and_loaded(student, int(rng.integers(1000)), example_rows)

    for out in outs:
        expect.is_true(out is not None, "export_model: the file refuses another number of rows than the example had.")
        what = "export_model: scores of one row" if len(out) == 1 else "export_model: scores"
        expect.close(out, want[: len(out)], what, rtol=1e-4, atol=1e-5)
    expect.is_true(same, "export_model: the model is not as before, with the mode of each layer.")


@probe
def in_use(student, images, seed, options, is_training):
    """Predict with a network with batch norm and dropout, all images together and one by one; and its scores."""
    torch.manual_seed(seed)
    channels, height, width = images.shape[1:]
    model = nn.Sequential(
        nn.Conv2d(channels, 6, 2), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(),
        nn.Linear(6 * (height - 1) * (width - 1), 5),
    )  # fmt: skip
    for _ in range(3):
        model(torch.randn(20, channels, height, width))
    predictor = student.InferenceModel(model.train(), (channels, height, width), **options)
    if is_training:
        model.train()
    together = predictor.predict(images)
    if is_training:
        model.train()
    alone = [predictor.predict(images[i : i + 1]) for i in range(len(images))]
    mean, std = (
        torch.tensor(options.get(key, value)).reshape(-1, 1, 1) for key, value in (("mean", 0.0), ("std", 1.0))
    )
    x = (torch.from_numpy(images.astype(np.float32)) / options.get("high", 255) - mean) / std
    with torch.no_grad():
        scores = model.eval()(x)
    return tuple(together), [label for label, _ in alone], [row for _, row in alone], scores


@pytest.mark.task("deployment", weight=4)
@pytest.mark.parametrize("is_training", [False, True], ids=["as made", "set to train mode"])
def test_an_image_alone_and_among_others(student, rng, is_training):
    """InferenceModel: an image gets the same answer alone as among others, with preprocessing, in eval mode."""
    for options in (
        {},
        {"mean": [0.2, 0.5, 0.4], "std": [0.1, 0.3, 0.7], "high": 16},
        {"mean": 0.3, "std": 0.5, "temperature": 3.0},
    ):
        images = rng.integers(0, options.get("high", 255) + 1, size=(7, 3, 4, 5)).astype(np.uint8)
        before = images.copy()

        (labels, shares), alone, alone_shares, scores = in_use(
            student, images, int(rng.integers(1000)), options, is_training
        )

        want = (scores / options.get("temperature", 1.0)).softmax(dim=1).numpy()
        expect.close(shares, want, "InferenceModel.predict (probabilities)", rtol=1e-3, atol=1e-5, dtype=np.float32)
        expect.close(labels, want.argmax(axis=1), "InferenceModel.predict (labels)", dtype=np.int64)
        expect.equal(np.concatenate(alone), labels, "InferenceModel.predict (labels) of single images")
        expect.close(np.concatenate(alone_shares), shares, "InferenceModel.predict of single images", atol=1e-5)
        expect.unchanged(images, before, "InferenceModel.predict: images")


@probe
def certain(student, images):
    """Predict with a network whose scores are sums of pixels, a thousand times larger by the temperature."""

    class Sums(nn.Module):
        def forward(self, x):
            return x.sum(dim=(2, 3))

    return student.InferenceModel(Sums(), (2, 3, 4), temperature=1e-3).predict(images)


@pytest.mark.task("deployment", weight=1)
def test_scores_of_some_thousands(student):
    """InferenceModel: the softmax of large scores has numbers from 0 to 1 too."""
    images = np.zeros((2, 2, 3, 4), dtype=np.uint8)
    images[0, 0] = images[1, 1] = 255

    labels, probabilities = certain(student, images)

    expect.close(probabilities, np.eye(2), "InferenceModel.predict (probabilities) of large scores", dtype=np.float32)
    expect.close(labels, np.array([0, 1]), "InferenceModel.predict (labels) of large scores", dtype=np.int64)


@probe
def refusals(student, cases):
    """The names of the errors that predict raises for these inputs."""

    class Sums(nn.Module):
        def forward(self, x):
            return x.sum(dim=(2, 3))

    predictor = student.InferenceModel(Sums(), (2, 3, 4), high=200)
    found = []
    for case in cases:
        try:
            predictor.predict(case)
        except Exception as error:
            kinds = [kind.__name__ for kind in type(error).__mro__]
            found.append("TypeError" if "TypeError" in kinds else "ValueError" if "ValueError" in kinds else kinds[0])
        else:
            found.append("")
    return found


@pytest.mark.task("deployment", weight=3)
def test_whatever_a_stranger_sends(student):
    """InferenceModel: think about another type, another dtype, another shape, no image, and a pixel above high."""
    good = np.zeros((2, 2, 3, 4), dtype=np.uint8)
    loud = good.copy()
    loud[1, 1, 2, 3] = 201
    edge = good.copy()
    edge[0, 0, 0, 0] = 200
    cases = {
        "a list": (good.tolist(), "TypeError"),
        "a tensor": (torch.from_numpy(good), "TypeError"),
        "floats": (good.astype(np.float32), "TypeError"),
        "int64": (good.astype(np.int64), "TypeError"),
        "bool": (good.astype(bool), "TypeError"),
        "one image without a batch axis": (good[0], "ValueError"),
        "channels last": (np.ascontiguousarray(good.transpose(0, 2, 3, 1)), "ValueError"),
        "another size": (good[:, :, :, :3], "ValueError"),
        "one channel": (good[:, :1], "ValueError"),
        "one axis too many": (good[None], "ValueError"),
        "no image": (good[:0], "ValueError"),
        "a pixel above high": (loud, "ValueError"),
        "the largest pixel that is allowed": (edge, ""),
        "black images": (good, ""),
    }

    found = refusals(student, [case for case, _ in cases.values()])

    for (name, (_, want)), got in zip(cases.items(), found, strict=True):
        said = f"it raises no {want}" if want else "it is refused"
        expect.is_true(got == want, f"InferenceModel.predict: {said} ({name}).")


@pytest.mark.task("deployment", weight=2)
def test_whole_numbers_for_weights(student, rng):
    """quantise_weight: each row has its own scale, also a row of zeros; entries are rounded to the nearest."""
    for shape in ((5, 7), (1, 3), (9, 1)):
        weight = torch.from_numpy(rng.normal(size=shape) * 10.0 ** rng.integers(-4, 4, size=(shape[0], 1))).float()
        if len(weight) > 1:
            weight[1] = 0
        before = weight.clone()

        q, scale = student.quantise_weight(weight)

        want = torch.where(before.abs().amax(dim=1) == 0, 1.0, before.abs().amax(dim=1) / 127)
        expect.close(scale, want, "quantise_weight (scale)", rtol=1e-5)
        expect.dtype(scale, torch.float32, "quantise_weight (scale)")
        expect.dtype(q, torch.int8, "quantise_weight (q)")
        exact = (before / want[:, None]).double()
        expect.shape(q, shape, "quantise_weight (q)")
        is_near = bool(((q.double() - exact).abs() <= 0.5 + 1e-3).all())
        expect.is_true(is_near, "quantise_weight (q): an entry is not rounded to the nearest whole number.")
        expect.unchanged(weight, before, "quantise_weight: weight")


@probe
def quantised(student, kind, seed, x):
    """Quantise a network of this kind; outputs of rows together and alone, and what is in its state_dict."""
    torch.manual_seed(seed)

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.ModuleDict({"up": nn.Linear(6, 10), "down": nn.Linear(10, 6, bias=False)})
            self.norm = nn.LayerNorm(6)
            self.drop = nn.Dropout(0.5)

        def forward(self, x):
            return self.norm(x + self.drop(self.inner["down"](torch.relu(self.inner["up"](x)))))

    model = {
        "layer": lambda: nn.Linear(6, 4),
        "no bias": lambda: nn.Linear(6, 4, bias=False),
        "block": lambda: nn.Sequential(Block(), nn.Linear(6, 4)),
    }[kind]()
    model.train()
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    small = student.quantise(model)
    same = model.training and sorted(before) == sorted(model.state_dict())
    same = same and all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())
    wide = [tensor.dtype.is_floating_point for tensor in small.state_dict().values() if tensor.numel() >= 24]
    with torch.no_grad():
        outs = small(x), torch.cat([small(row[None]) for row in x])
    training = any(layer.training for layer in small.modules())
    kept = [tensor.detach().reshape(-1).float() for tensor in small.state_dict().values()]
    return outs, before, same, any(wide) or not wide, training, kept


def _linear8(x, weight, bias):
    """A linear layer in whole numbers, in float64."""
    rows = x.reshape(-1, x.shape[-1]).float()

    def whole(matrix):
        scale = matrix.abs().amax(dim=1) / 127
        scale = torch.where(scale == 0, 1.0, scale)
        return (matrix / scale[:, None]).round().double(), scale.double()

    (q, s), (w, t) = whole(rows), whole(weight)
    out = (q @ w.T) * s[:, None] * t + (0 if bias is None else bias.double())
    return out.reshape(*x.shape[:-1], -1).float()


@pytest.mark.task("deployment", weight=3)
@pytest.mark.parametrize("kind", ["layer", "no bias", "block"])
def test_a_layer_of_whole_numbers(student, rng, kind):
    """quantise: each linear layer, wherever it is, quantises its input row by row and keeps no float matrix."""
    x = torch.from_numpy(rng.normal(size=(5, 3, 6)) * 10.0 ** rng.integers(-2, 3, size=(5, 3, 1))).float()
    x[0, 0] = 0

    (out, alone), state, same, is_wide, training, kept = quantised(student, kind, int(rng.integers(1000)), x)

    if kind == "block":
        up = _linear8(x, state["0.inner.up.weight"], state["0.inner.up.bias"])
        hidden = x + _linear8(up.relu(), state["0.inner.down.weight"], None)
        hidden = F.layer_norm(hidden, (6,), state["0.norm.weight"], state["0.norm.bias"])
        want = _linear8(hidden, state["1.weight"], state["1.bias"])
    else:
        want = _linear8(x, state["weight"], state.get("bias"))
    # a rounding that falls the other way in a later layer moves an output by a part of a step
    loose = {"rtol": 0.02, "atol": 0.03} if kind == "block" else {"rtol": 1e-3, "atol": 1e-3}
    expect.close(out, want, "quantise: outputs", **loose)
    expect.close(alone, out, "quantise: outputs of single rows", **loose)
    if kind == "layer":  # the first row is 0
        expect.close(out[0, 0], state["bias"], "quantise: the output of a row of zeros", rtol=1e-5, atol=1e-6)
    expect.is_true(not is_wide, "quantise: a float matrix is still in the state_dict.")
    if kind != "block":
        scale = state["weight"].abs().amax(dim=1) / 127
        has_scale = any(len(one) == len(scale) and torch.allclose(one, scale, rtol=1e-3, atol=0) for one in kept)
        expect.is_true(has_scale, "quantise: the scale of the weight is not in the state_dict.")
    expect.is_true(not training, "quantise: the copy is not in eval mode.")
    expect.is_true(same, "quantise: the model itself is not as before.")


@probe
def trained_and_quantised(student, x, y, unseen, seed):
    """Train a network on digits, quantise it, and compare answers and bytes."""
    import io

    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10)
    )
    x, y = torch.from_numpy(x), torch.from_numpy(y)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(30):
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    small = student.quantise(model.eval())
    sizes = []
    for net in (model, small):
        file = io.BytesIO()
        torch.save(net.state_dict(), file)
        sizes.append(len(file.getvalue()))
    with torch.no_grad():
        given = torch.from_numpy(unseen)
        return model(given).argmax(dim=1).numpy(), small(given).argmax(dim=1).numpy(), sizes


@pytest.mark.task("deployment", weight=2)
def test_a_quarter_of_the_bytes(student, seed):
    """quantise: a trained network says the same, and its state_dict takes about a quarter of the bytes."""
    (x, y), (unseen, _) = fresh_digits(seed % 100_000)

    said, small_said, sizes = trained_and_quantised(student, x[:700], y[:700], unseen, seed % 1000)

    expect.accuracy(small_said, said, 0.98, "quantise: answers that agree with those of the network", asked=0.99)
    expect.is_true(sizes[1] < 0.4 * sizes[0], "quantise: the state_dict takes too many bytes.")


@pytest.mark.task("deployment", weight=2)
def test_bins_of_confidence(student, rng):
    """ece: bins have equal width and are weighted by their rows; a bin without rows counts nothing; 1.0 has a bin."""
    for bins in (1, 4, 10, 15):
        logits = rng.normal(size=(80, 4)) * 3
        shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        shares[0] = [0, 1, 0, 0]
        y = np.where(rng.random(80) < 0.6, shares.argmax(axis=1), rng.integers(0, 4, size=80))
        before = shares.copy()
        top, is_right = shares.max(axis=1), shares.argmax(axis=1) == y
        total = 0.0
        for number in range(bins):
            inside = (top > number / bins) & (top <= (number + 1) / bins)
            if inside.any():
                total += inside.mean() * abs(is_right[inside].mean() - top[inside].mean())
        expect.close(student.ece(shares, y, bins), float(total), f"ece(bins={bins})", atol=1e-9)
        expect.unchanged(shares, before, "ece: probabilities")
    wide = np.eye(3)[[0, 1, 2, 0]]
    expect.close(student.ece(wide, np.array([0, 1, 2, 1])), 0.25, "ece of rows that are all certain")
    # 0.5 and 0.75 are the upper ends of their bins: each of the three rows is in a bin by itself
    edges = np.array([[0.5, 0.3, 0.2], [0.75, 0.15, 0.1], [0.8, 0.1, 0.1]])
    found = student.ece(edges, np.array([0, 1, 0]), 4)
    expect.close(found, (0.5 + 0.75 + 0.2) / 3, "ece of rows at the ends of bins")
    single = student.ece(np.array([[0.62, 0.38]]), np.array([1]))
    expect.close(single, 0.62, "ece of one row")


@pytest.mark.task("deployment", weight=2)
def test_the_best_temperature(student, rng):
    """fit_temperature: the scores are divided by T; the smallest cross-entropy decides, also for large scores."""
    for factor in (0.4, 3.0, 8.0):
        logits = rng.normal(size=(300, 4)) * 1.5
        shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        y = np.array([rng.choice(4, p=row) for row in shares])
        given = logits * factor
        if factor == 3.0:  # what is added to all scores of a row changes nothing
            given = given + rng.choice([-1000.0, 0.0, 1000.0], size=(300, 1))
        before = given.copy()

        found = float(student.fit_temperature(given, y))

        def loss(temperature, given=given, y=y):
            return float(F.cross_entropy(torch.from_numpy(given) / temperature, torch.from_numpy(y)))

        expect.between(found, 0.05, 20.0, "fit_temperature")
        near = [loss(found * step) for step in (0.97, 1.03)]
        is_best = loss(found) <= min(near) and loss(found) <= loss(1.0) + 1e-9
        expect.is_true(is_best, "fit_temperature: another temperature has a smaller cross-entropy.")
        expect.unchanged(given, before, "fit_temperature: logits")
    huge = np.array([[2000.0, 0, 0], [0, 2000, 0], [0, 0, 2000], [2000, 0, 0]])
    certain = float(student.fit_temperature(huge, np.array([0, 1, 2, 0])))
    expect.close(
        float(student.fit_temperature(huge, np.array([1, 2, 0, 1]))), 20.0, "fit_temperature at its end", rtol=0.01
    )
    expect.between(certain, 0.05, 20.0, "fit_temperature of certain and right scores")
    small = np.tile([0.001, 0.0], (10, 1))
    expect.close(
        float(student.fit_temperature(small, np.array([0] * 9 + [1]))), 0.05, "fit_temperature at its end", rtol=0.01
    )
