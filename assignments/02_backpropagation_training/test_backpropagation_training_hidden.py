"""Hidden tests: random numbers, extreme numbers, every operation, and what a function must leave alone."""

import functools
import math
from itertools import pairwise

import numpy as np
import pytest

from autograder import expect, probe
from autograder.data import fresh_digits

ENTRYWISE_LOSSES = ["mse_loss", "bce_with_logits", "huber_loss"]
REFUSALS = (ValueError, AssertionError)


# --- 2.1 losses


def _pair(name, rng, shape):
    """Predictions (or logits) and targets of a shape, with errors on both sides of 1."""
    first = 2.0 * rng.normal(size=shape)
    second = rng.uniform(size=shape) if name == "bce_with_logits" else rng.normal(size=shape)
    return first, second


def _logits_far_apart():
    """One row near 1000, one near 0, one near -1000, one from end to end."""
    return np.array(
        [[1000.0, 999.0, 998.5], [0.5, -1.0, 2.0], [-1000.0, -1001.0, -999.5], [1000.0, -1000.0, 0.0]]
    )


@pytest.mark.task("losses")
@pytest.mark.parametrize("name", ENTRYWISE_LOSSES)
def test_the_loss_is_a_mean_over_all_entries(student, reference, rng, name):
    """Whatever the shape, every entry counts the same."""
    for shape in ((7,), (4, 3), (2, 3, 5)):
        first, second = _pair(name, rng, shape)

        loss, _ = getattr(student, name)(first, second)

        expect.close(loss, getattr(reference, name)(first, second)[0], f"{name} of shape {shape} (loss)")


@pytest.mark.task("losses")
@pytest.mark.parametrize("name", ENTRYWISE_LOSSES)
def test_the_gradient_is_that_of_the_mean(student, reference, rng, name):
    """The loss has a 1 / (number of entries) in it: so has its gradient."""
    for shape in ((7,), (4, 3), (2, 3, 5), (4, 1)):
        first, second = _pair(name, rng, shape)

        _, grad = getattr(student, name)(first, second)

        want = getattr(reference, name)(first, second)[1]
        expect.close(grad, want, f"{name} of shape {shape} (grad)", dtype=np.float64)


@pytest.mark.task("losses")
@pytest.mark.parametrize("name", ENTRYWISE_LOSSES)
def test_the_gradient_of_a_single_entry(student, reference, rng, name):
    """One entry: the mean is the entry itself."""
    first, second = _pair(name, rng, (1,))

    loss, grad = getattr(student, name)(first, second)

    want_loss, want = getattr(reference, name)(first, second)
    expect.close(loss, want_loss, f"{name} of one entry (loss)")
    expect.close(grad, want, f"{name} of one entry (grad)")


@pytest.mark.task("losses")
@pytest.mark.parametrize("name", ["mse_loss", "huber_loss"])
def test_a_perfect_prediction_costs_nothing(student, rng, name):
    """Where prediction and target agree, the loss is 0 and nothing pulls."""
    x = rng.normal(size=(3, 4))

    loss, grad = getattr(student, name)(x, x.copy())

    expect.close(loss, 0.0, f"{name} of a perfect prediction (loss)")
    expect.close(grad, np.zeros((3, 4)), f"{name} of a perfect prediction (grad)")


@pytest.mark.task("losses")
@pytest.mark.parametrize("name", ["mse_loss", "huber_loss"])
def test_too_much_costs_as_much_as_too_little(student, rng, name):
    """Swap prediction and target: the loss stays, the gradient turns round."""
    a, b = 2.0 * rng.normal(size=(5, 2)), 2.0 * rng.normal(size=(5, 2))

    loss, grad = getattr(student, name)(a, b)
    swapped, turned = getattr(student, name)(b, a)

    expect.close(swapped, float(loss), f"{name} (loss, arguments swapped)")
    expect.close(turned, -grad, f"{name} (grad, arguments swapped)")
    expect.is_true(
        bool(np.all(grad * (a - b) > 0)), f"{name}: the gradient points away from raising the loss"
    )


@pytest.mark.task("losses")
def test_huber_has_a_delta(student, reference, rng):
    """delta is 1 unless told otherwise, and decides where the line begins and how steep it is."""
    pred, target = 3.0 * rng.normal(size=(6, 2)), rng.normal(size=(6, 2))
    for delta in (0.3, 2.5):
        loss, grad = student.huber_loss(pred, target, delta=delta)

        want_loss, want = reference.huber_loss(pred, target, delta)
        expect.close(loss, want_loss, f"huber_loss with delta={delta} (loss)")
        expect.close(grad, want, f"huber_loss with delta={delta} (grad)")


@pytest.mark.task("losses")
def test_huber_with_a_wide_delta_is_half_the_squared_error(student, rng):
    """Inside delta there is nothing but e^2 / 2."""
    pred, target = rng.normal(size=8), rng.normal(size=8)

    loss, grad = student.huber_loss(pred, target, delta=100.0)

    expect.close(loss, float(np.mean((pred - target) ** 2)) / 2, "huber_loss with delta=100 (loss)")
    expect.close(grad, (pred - target) / 8, "huber_loss with delta=100 (grad)")


@pytest.mark.task("losses")
def test_huber_far_outside_is_a_line(student):
    """Two steps of 1 on the line cost the same, delta each, and the pieces meet at delta."""
    delta = 0.5
    values = [student.huber_loss(np.array([e]), np.zeros(1), delta)[0] for e in (0.5, 10.0, 11.0, -11.0)]

    expect.close(values[0], 0.125, "huber_loss at e = delta (loss)")
    expect.close(float(values[2]) - float(values[1]), 0.5, "huber_loss from e = 10 to 11 (difference)")
    expect.close(values[3], float(values[2]), "huber_loss at e = -11 beside 11 (loss)")


@pytest.mark.task("losses")
@pytest.mark.parametrize("target", [0, 1])
def test_huge_logits_have_a_finite_binary_loss(student, target):
    """A logit of 1000 for the wrong answer costs 1000, for the right one nothing; neither is inf or nan."""
    z = np.array([-1000.0, -745.0, -100.0, 100.0, 745.0, 1000.0])
    y = np.full(6, float(target))
    for k in range(6):
        loss, _ = student.bce_with_logits(z[k : k + 1], y[k : k + 1])

        wrong = max(-z[k], 0.0) if target else max(z[k], 0.0)
        expect.close(loss, wrong, f"bce_with_logits at a logit of {z[k]:.0f} with y = {target} (loss)")


@pytest.mark.task("losses")
def test_huge_logits_have_a_finite_binary_gradient(student):
    """Far out the gradient of one entry is -1, 0 or 1."""
    z = np.array([-1000.0, -1000.0, 1000.0, 1000.0])

    _, grad = student.bce_with_logits(z, np.array([0.0, 1.0, 0.0, 1.0]))

    expect.close(grad, np.array([0.0, -0.25, 0.25, 0.0]), "bce_with_logits at logits of +-1000 (grad)")


@pytest.mark.task("losses")
def test_a_confident_right_answer_keeps_a_small_loss(student):
    """At a logit of 20 the loss is about 2e-9, not 0 and not 1e-7."""
    for z, y in ((20.0, 1.0), (-20.0, 0.0)):
        loss, _ = student.bce_with_logits(np.array([z]), np.array([y]))

        expect.close(loss, math.log1p(math.exp(-20.0)), "bce_with_logits (loss)", rtol=1e-5, atol=0.0)


@pytest.mark.task("losses")
def test_targets_may_be_integers_or_shares(student, reference, rng):
    """0 and 1 as integers mean the same as floats; a target of 0.3 is least costly at p = 0.3."""
    z = rng.normal(size=(5, 1))
    y = np.array([[0], [1], [1], [0], [1]])
    want_loss, want = reference.bce_with_logits(z, y.astype(float))

    loss, grad = student.bce_with_logits(z, y)
    _, at_best = student.bce_with_logits(np.array([math.log(0.3 / 0.7)]), np.array([0.3]))

    expect.close(loss, want_loss, "bce_with_logits with integer targets (loss)")
    expect.close(grad, want, "bce_with_logits with integer targets (grad)")
    expect.close(at_best, np.zeros(1), "bce_with_logits at p = y = 0.3 (grad)")


@pytest.mark.task("losses", weight=2)
def test_cross_entropy_of_random_logits(student, reference, rng):
    """Mean over the samples of -log p of the right class."""
    logits, y = 2.0 * rng.normal(size=(6, 4)), rng.integers(0, 4, size=6)

    loss, _ = student.cross_entropy(logits, y)

    expect.close(loss, reference.cross_entropy(logits, y)[0], "cross_entropy (loss)")


@pytest.mark.task("losses", weight=2)
def test_the_gradient_of_cross_entropy(student, reference, rng):
    """Every sample has a share of 1 / N in the loss, so also in the gradient."""
    for N, C in ((6, 4), (3, 3), (1, 5)):
        logits, y = 2.0 * rng.normal(size=(N, C)), rng.integers(0, C, size=N)

        _, grad = student.cross_entropy(logits, y)

        want = reference.cross_entropy(logits, y)[1]
        expect.close(grad, want, f"cross_entropy of {N} samples (grad)", dtype=np.float64)


@pytest.mark.task("losses")
def test_knowing_nothing_costs_log_c(student):
    """Equal logits, whatever their height and however many samples: log C."""
    for N, C, height in ((1, 2, 0.0), (5, 10, 3.0), (4, 7, -2.0)):
        loss, _ = student.cross_entropy(np.full((N, C), height), np.arange(N) % C)

        expect.close(loss, math.log(C), f"cross_entropy of {C} equal logits (loss)")


@pytest.mark.task("losses")
def test_a_large_margin_costs_next_to_nothing(student):
    """Logits are raw numbers: a margin of 12 must bring the loss far below 0.001."""
    loss, _ = student.cross_entropy(12.0 * np.eye(3), np.arange(3))

    expect.close(loss, math.log1p(2.0 * math.exp(-12.0)), "cross_entropy (loss)", rtol=1e-6, atol=1e-13)


@pytest.mark.task("losses")
def test_huge_logits_have_a_finite_cross_entropy(student, reference):
    """Rows near 1000 and rows near -1000 in one batch: finite, and right."""
    for y in ([0, 1, 2, 0], [2, 0, 1, 1]):
        loss, _ = student.cross_entropy(_logits_far_apart(), np.array(y))

        want = reference.cross_entropy(_logits_far_apart(), np.array(y))[0]
        expect.close(loss, want, "cross_entropy of huge logits (loss)")


@pytest.mark.task("losses")
def test_huge_logits_have_a_finite_gradient(student, reference):
    """The gradient of a softmax cross-entropy lies between -1/N and 1/N, never nan."""
    y = np.array([2, 0, 1, 1])

    _, grad = student.cross_entropy(_logits_far_apart(), y)

    want = reference.cross_entropy(_logits_far_apart(), y)[1]
    expect.close(grad, want, "cross_entropy of huge logits (grad)")


@pytest.mark.task("losses")
def test_moving_a_row_of_logits_changes_nothing(student, rng):
    """softmax(z + c) = softmax(z): the loss stays, and each row of the gradient adds up to zero."""
    logits, y = rng.normal(size=(4, 5)), rng.integers(0, 5, size=4)

    loss, grad = student.cross_entropy(logits, y)
    moved, _ = student.cross_entropy(logits + np.array([[300.0], [-300.0], [5.0], [0.0]]), y)

    expect.close(moved, float(loss), "cross_entropy (loss, rows moved)")
    expect.close(grad.sum(axis=1), np.zeros(4), "cross_entropy (grad, sum of a row)")


@pytest.mark.task("losses")
@pytest.mark.parametrize("name", ENTRYWISE_LOSSES)
def test_shapes_that_would_broadcast_are_refused(student, rng, name):
    """NumPy would stretch one array along the other and take a mean over entries that nobody asked for."""
    for first, second in (((6,), (6, 1)), ((4, 3), (3,)), ((5,), (1,)), ((1, 4), (3, 4)), ((1, 5), (5, 1))):
        with expect.refused(REFUSALS, f"{name} of shapes {first} and {second}"):
            getattr(student, name)(rng.normal(size=first), rng.uniform(size=second))


@pytest.mark.task("losses")
def test_labels_of_another_shape_are_refused(student, rng):
    """cross_entropy takes class numbers (N,): no column, no one-hot rows, no other length."""
    logits, square = rng.normal(size=(4, 3)), rng.normal(size=(3, 3))
    for scores, y in (
        (logits, np.array([[0], [1], [2], [0]])),
        (logits, np.eye(3, dtype=int)[[0, 1, 2, 0]]),
        (square, np.eye(3, dtype=int)),
        (logits, np.array([1])),
    ):
        with expect.refused(REFUSALS, f"cross_entropy of labels {y.shape} for logits {scores.shape}"):
            student.cross_entropy(scores, y)


@pytest.mark.task("losses")
def test_losses_change_nothing_and_hand_out_new_arrays(student, rng):
    """Somebody else still needs the logits: they are there to be read only."""
    for name in (*ENTRYWISE_LOSSES, "cross_entropy"):
        first, second = _pair(name, rng, (4, 3))
        if name == "cross_entropy":
            second = np.array([2, 0, 1, 2])
        before = first.copy(), second.copy()

        loss, grad = getattr(student, name)(first, second)
        again, _ = getattr(student, name)(first, second)

        expect.unchanged(first, before[0], f"{name} (first argument)")
        expect.unchanged(second, before[1], f"{name} (second argument)")
        expect.no_alias(grad, first, f"{name} (grad)")
        expect.close(again, float(loss), f"{name}, called again (loss)")


@pytest.mark.task("losses")
def test_losses_do_not_care_about_the_layout_in_memory(student, reference, rng):
    """A transposed array is an array like any other."""
    for name in ENTRYWISE_LOSSES:
        first, second = (array.T for array in _pair(name, rng, (3, 5)))

        loss, grad = getattr(student, name)(first, np.ascontiguousarray(second))

        want_loss, want = getattr(reference, name)(first, second)
        expect.close(loss, want_loss, f"{name} of a transposed array (loss)")
        expect.close(grad, want, f"{name} of a transposed array (grad)")


# --- 2.2 numerical_gradient


def _curved(weights):
    """A function of every entry, each with its own weight, with neighbours that depend on each other."""

    def f(x):
        flat = np.ravel(x)
        return float(np.sum(np.ravel(weights) * np.sin(flat)) + np.sum(flat[1:] * flat[:-1] ** 2))

    return f


def _slope_of_curved(weights):
    def df(x):
        flat = np.ravel(x)
        grad = np.ravel(weights) * np.cos(flat)
        grad[:-1] += 2.0 * flat[1:] * flat[:-1]
        grad[1:] += flat[:-1] ** 2
        return grad.reshape(x.shape)

    return df


@pytest.mark.task("numerical_gradient")
def test_the_error_shrinks_with_the_square_of_h(student, rng):
    """For x^3 a central difference is off by h^2; a one-sided one is off by about 3 x h."""
    x = rng.uniform(1.0, 2.0, size=3)
    for h in (0.1, 0.01):
        grad = student.numerical_gradient(lambda x: float(np.sum(x**3)), x, h)

        expect.close(grad, 3.0 * x**2, f"numerical_gradient of x^3 with h={h}", rtol=0, atol=1.001 * h**2)


@pytest.mark.task("numerical_gradient", weight=2)
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_arrays_of_any_shape(student, rng, axes):
    """Every entry of every axis is moved once up and once down."""
    shape = (4, 2, 3)[-axes:]
    x, weights = rng.normal(size=shape), rng.uniform(1.0, 3.0, size=shape)

    grad = student.numerical_gradient(_curved(weights), x)

    expect.close(
        grad, _slope_of_curved(weights)(x), f"numerical_gradient of shape {shape}", rtol=1e-7, atol=1e-8
    )


@pytest.mark.task("numerical_gradient")
def test_one_entry_alone(student):
    """The smallest array has one entry."""
    grad = student.numerical_gradient(lambda x: x[0] ** 2, np.array([-3.0]))

    expect.close(grad, np.array([-6.0]), "numerical_gradient of shape (1,)", rtol=1e-7)


@pytest.mark.task("numerical_gradient")
def test_a_slice_of_a_larger_array(student, rng):
    """Entries need not lie side by side in memory; what lies between them stays as it is."""
    large, weights = rng.normal(size=(4, 6)), rng.uniform(1.0, 3.0, size=(2, 3))
    before = large.copy()
    for view in (large[::2, ::2], large.T[:2, :3], np.asfortranarray(large[:2, :3])):
        grad = student.numerical_gradient(_curved(weights), view)

        want = _slope_of_curved(weights)(np.ascontiguousarray(view))
        expect.close(grad, want, "numerical_gradient of a slice", rtol=1e-7, atol=1e-8)
    expect.unchanged(large, before, "numerical_gradient (x)")


@pytest.mark.task("numerical_gradient")
def test_single_precision_is_not_enough(student, rng):
    """float32 has seven digits: a difference of 1e-5 drowns in it unless the work is done in float64."""
    x = rng.uniform(1.0, 2.0, size=(2, 3)).astype(np.float32)
    before = x.copy()

    grad = student.numerical_gradient(lambda x: (x**2).sum(), x)

    expect.close(
        grad, 2.0 * x.astype(np.float64), "numerical_gradient of a float32 x", rtol=1e-6, dtype=np.float64
    )
    expect.unchanged(x, before, "numerical_gradient (x)")


@pytest.mark.task("numerical_gradient")
def test_f_sees_one_entry_moved_by_h_at_a_time(student, rng):
    """Look at the points at which f is asked: each differs from x in one entry, by h."""
    x, h = rng.normal(size=(2, 2)), 0.25
    moves = []

    def f(point):
        moves.append(np.array(point) - x)
        return float(np.sum(point))

    grad = student.numerical_gradient(f, x.copy(), h)

    expect.close(grad, np.ones((2, 2)), "numerical_gradient of a sum")
    for move in moves:
        expect.shape(move, (2, 2), "numerical_gradient (the array given to f)")
        moved = np.abs(move) > 1e-12
        expect.is_true(moved.sum() <= 1, "numerical_gradient: several entries were moved at the same time")
        expect.close(np.abs(move[moved]), np.full(moved.sum(), h), "numerical_gradient (how far x was moved)")
    is_complete = len({tuple(np.sign(np.round(move, 9)).ravel()) for move in moves} - {(0.0,) * 4}) == 8
    expect.is_true(is_complete, "numerical_gradient: not every entry was moved once up and once down")


@pytest.mark.task("numerical_gradient")
def test_x_comes_back_bit_for_bit(student, rng):
    """x + h - h is not x: keep the old value and put that back."""
    x = rng.normal(size=(3, 4)) * 10.0 ** rng.integers(-9, 9, size=(3, 4))
    before = x.copy()

    student.numerical_gradient(lambda x: np.array(x.sum()), x, 1e-4)
    student.grad_check(lambda x: x.sum(), lambda x: np.ones(x.shape), x)

    expect.unchanged(x, before, "numerical_gradient and grad_check (x)")


@pytest.mark.task("numerical_gradient")
def test_the_default_step_is_neither_too_large_nor_too_small(student):
    """Near 1e-5 truncation and rounding are both small: nine digits are right."""
    x = np.array([0.3, 1.0, 2.0])

    grad = student.numerical_gradient(lambda x: float(np.sum(np.exp(x))), x)

    expect.close(grad, np.exp(x), "numerical_gradient of exp", rtol=2e-9, atol=0)


@pytest.mark.task("numerical_gradient", weight=2)
@pytest.mark.parametrize("shape", [(5,), (2, 3), (3, 2, 2)])
def test_a_right_gradient_has_no_error(student, rng, shape):
    """Agreement to many digits: rounding is all that is left."""
    x, weights = rng.uniform(0.5, 1.0, size=shape), rng.uniform(1.0, 3.0, size=shape)

    error = student.grad_check(_curved(weights), _slope_of_curved(weights), x)

    expect.between(error, 0.0, 1e-7, "grad_check of a right gradient")


@pytest.mark.task("numerical_gradient", weight=2)
@pytest.mark.parametrize("place", [0, -1])
def test_one_wrong_entry_is_enough(student, rng, place):
    """A tenth too much in one single entry, the first or the last: the largest error counts, over all axes."""
    x, weights = rng.uniform(0.5, 1.0, size=(3, 2, 2)), rng.uniform(1.0, 3.0, size=(3, 2, 2))

    def df(x):
        grad = _slope_of_curved(weights)(x)
        grad.flat[place] *= 1.1
        return grad

    error = student.grad_check(_curved(weights), df, x)

    expect.close(error, 0.1 / 2.1, "grad_check (one entry ten per cent too large)", rtol=1e-4)


@pytest.mark.task("numerical_gradient")
def test_a_small_entry_can_be_wrong_beside_a_large_one(student):
    """Errors are relative, entry by entry: 1000 beside 0.001 hides nothing."""
    slopes = np.array([1000.0, 0.001, -50.0])
    claimed = np.array([1000.0, 0.003, -50.0])

    error = student.grad_check(lambda x: float(slopes @ x), lambda x: claimed, np.array([0.001, 1.0, 0.01]))

    expect.close(error, 0.5, "grad_check (0.003 where 0.001 is right)", rtol=1e-3)


@pytest.mark.task("numerical_gradient")
def test_a_wrong_sign_is_an_error_of_one(student, rng):
    """The difference of a and -a is as large as the sum of their sizes; the same holds for 0 beside a."""
    x, weights = rng.uniform(0.5, 1.0, size=4), rng.uniform(1.0, 3.0, size=4)
    slope = _slope_of_curved(weights)

    turned = student.grad_check(_curved(weights), lambda x: -slope(x), x)
    absent = student.grad_check(_curved(weights), lambda x: np.zeros(4), x)

    expect.close(turned, 1.0, "grad_check (wrong sign)", rtol=1e-6)
    expect.close(absent, 1.0, "grad_check (0 where the slope is not 0)", rtol=1e-6)


@pytest.mark.task("numerical_gradient")
def test_too_small_is_an_error_as_well(student):
    """An error has no sign: 0.9 where 1 is right counts like 1 where 0.9 is."""
    error = student.grad_check(lambda x: float(np.sum(x)), lambda x: np.array([1.0, 0.9]), np.ones(2))

    expect.close(error, 0.1 / 1.9, "grad_check (ten per cent too small)", rtol=1e-4)


@pytest.mark.task("numerical_gradient")
def test_errors_of_falling_functions_are_measured_alike(student):
    """Both slopes are negative: the denominator is made of their sizes."""
    error = student.grad_check(
        lambda x: float(np.sum(-3.0 * x)), lambda x: np.array([-3.0, -4.0]), np.ones(2)
    )

    expect.close(error, 1.0 / 7.0, "grad_check (-4 where -3 is right)", rtol=1e-4)


@pytest.mark.task("numerical_gradient")
def test_the_floor_of_the_denominator(student):
    """Below 1e-8 a gradient counts as noise: 4e-9 where 0 is right is divided by 1e-8."""
    error = student.grad_check(lambda x: 7.0, lambda x: np.array([0.0, 4e-9]), np.ones(2))

    expect.close(error, 0.4, "grad_check (4e-9 where 0 is right)", rtol=1e-6)


@pytest.mark.task("numerical_gradient")
def test_two_zero_gradients_agree(student):
    """0 / 0 is no number: the floor in the denominator makes it 0."""
    error = student.grad_check(lambda x: 7.0, lambda x: np.zeros(3), np.array([1.0, 2.0, 3.0]))

    expect.close(error, 0.0, "grad_check of a constant")


@pytest.mark.task("numerical_gradient")
def test_the_step_of_a_check_can_be_chosen(student):
    """With h = 1/2 the numerical gradient of x^3 at 1 is 3 + 1/4 (unless x is measured more finely)."""
    error = student.grad_check(lambda x: float(x[0] ** 3), lambda x: 3.0 * x**2, np.ones(1), 0.5)

    expect.close(error, 0.25 / 6.25, "grad_check of x^3 with h=0.5", rtol=1e-6)


@pytest.mark.task("numerical_gradient")
def test_the_gradient_under_test_stays_as_it_is(student):
    """df may hand out an array that it still needs."""
    kept = np.array([1.0, 2.0, 3.0])

    student.grad_check(lambda x: float(kept @ x), lambda x: kept, np.array([0.1, 0.2, 0.3]))

    expect.unchanged(kept, np.array([1.0, 2.0, 3.0]), "grad_check (the array that df returned)")


# --- 2.3 layer_backward


def _softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def _linear_case(rng, N, D, out):
    return rng.normal(size=(N, D)), rng.normal(size=(out, D)), rng.normal(size=(N, out))


@pytest.mark.task("layer_backward", weight=2)
@pytest.mark.parametrize("which", ["dx", "dW", "db"])
def test_gradients_of_a_linear_layer(student, rng, which):
    """Each gradient has the shape of what it belongs to; all sizes differ here."""
    x, W, dout = _linear_case(rng, 4, 3, 5)
    b = rng.normal(size=5)
    place = ("dx", "dW", "db").index(which)

    got = student.linear_backward(dout, (x, W))[place]

    point = (x, W, b)[place]
    forward = (lambda z: z @ W.T + b, lambda z: x @ z.T + b, lambda z: x @ W.T + z)[place]
    expect.gradient(forward, point, got, dout, f"linear_backward ({which})")


@pytest.mark.task("layer_backward")
def test_a_square_layer_hides_no_transposition(student, rng):
    """With N = D = out every product fits, and one of them is right."""
    x, W, dout = _linear_case(rng, 3, 3, 3)

    dx, dW, db = student.linear_backward(dout, (x, W))

    for got, want, name in ((dx, np.einsum("no,od->nd", dout, W), "dx"),
                            (dW, np.einsum("no,nd->od", dout, x), "dW"),
                            (db, np.einsum("no->o", dout), "db")):  # fmt: skip
        expect.close(got, want, f"linear_backward of a square layer ({name})")


@pytest.mark.task("layer_backward")
def test_one_sample_one_input_one_neuron(student, rng):
    """The smallest layers keep their axes."""
    for N, D, out in ((1, 3, 2), (4, 1, 2), (4, 3, 1)):
        x, W, dout = _linear_case(rng, N, D, out)

        dx, dW, db = student.linear_backward(dout, (x, W))

        expect.close(dx, np.einsum("no,od->nd", dout, W), "linear_backward (dx)")
        expect.close(dW, np.einsum("no,nd->od", dout, x), "linear_backward (dW)")
        expect.close(db, np.einsum("no->o", dout), "linear_backward (db)")


@pytest.mark.task("layer_backward")
def test_the_same_batch_twice_has_twice_the_gradient(student, rng):
    """Samples add up; the mean is the business of the loss."""
    x, W, dout = _linear_case(rng, 3, 2, 4)

    dx, dW, db = student.linear_backward(dout, (x, W))
    dx2, dW2, db2 = student.linear_backward(np.concatenate([dout, dout]), (np.concatenate([x, x]), W))

    expect.close(dx2, np.concatenate([dx, dx]), "linear_backward (dx of a batch twice as large)")
    expect.close(dW2, 2.0 * dW, "linear_backward (dW of a batch twice as large)")
    expect.close(db2, 2.0 * db, "linear_backward (db of a batch twice as large)")


@pytest.mark.task("layer_backward", weight=2)
def test_relu_gradients_of_any_shape(student, rng):
    """The input decides, entry by entry, whatever the sign of dout."""
    x, dout = rng.normal(size=(2, 3, 4)), rng.normal(size=(2, 3, 4))
    x[0, 0, 0], x[1, 2, 3] = 0.0, 0.0

    dx = student.relu_backward(dout, x)

    expect.close(dx, np.where(x > 0, dout, 0.0), "relu_backward")


@pytest.mark.task("layer_backward", weight=2)
@pytest.mark.parametrize("name", ["sigmoid", "tanh"])
def test_gradients_of_s_curves_from_their_outputs(student, rng, name):
    """The cache is the output of the forward pass: write the slope with it."""
    forward = {"sigmoid": lambda x: 1.0 / (1.0 + np.exp(-x)), "tanh": np.tanh}[name]
    x, dout = rng.normal(size=(3, 2, 4)), rng.normal(size=(3, 2, 4))

    dx = getattr(student, f"{name}_backward")(dout, forward(x))

    expect.gradient(forward, x, dx, dout, f"{name}_backward")


@pytest.mark.task("layer_backward")
def test_saturated_outputs_let_nothing_through(student):
    """At the flat ends the slope is 0, and a certain softmax has no slope at all."""
    dout = np.array([3.0, -2.0])

    expect.close(student.sigmoid_backward(dout, np.array([0.0, 1.0])), np.zeros(2), "sigmoid_backward")
    expect.close(student.tanh_backward(dout, np.array([-1.0, 1.0])), np.zeros(2), "tanh_backward")
    certain = student.softmax_backward(np.array([[3.0, -2.0]]), np.array([[1.0, 0.0]]))
    expect.close(certain, np.zeros((1, 2)), "softmax_backward of a certain row")


@pytest.mark.task("layer_backward", weight=2)
@pytest.mark.parametrize("N", [1, 4])
def test_gradients_of_softmax(student, rng, N):
    """Every probability of a row depends on every logit of that row, and on no other row."""
    x, dout = rng.normal(size=(N, 3)), rng.normal(size=(N, 3))

    dx = student.softmax_backward(dout, _softmax(x))

    expect.gradient(_softmax, x, dx, dout, f"softmax_backward of {N} rows")


@pytest.mark.task("layer_backward")
def test_a_constant_from_above_moves_no_probability(student, rng):
    """The shares of a row add up to 1 always: equal gradients for all of them cancel, in every row."""
    p = _softmax(rng.normal(size=(3, 3)))

    dx = student.softmax_backward(np.full((3, 3), 2.5), p)
    row_sums = student.softmax_backward(rng.normal(size=(3, 3)), p).sum(axis=1)

    expect.close(dx, np.zeros((3, 3)), "softmax_backward of a constant dout")
    expect.close(row_sums, np.zeros(3), "softmax_backward (sum of a row)")


@pytest.mark.task("layer_backward")
def test_backward_passes_change_nothing(student, rng):
    """dout and cache are there to be read only; what comes back is new; a second call says the same."""
    for name in ("relu", "sigmoid", "tanh", "softmax"):
        cache, dout = _softmax(rng.normal(size=(3, 4))), rng.normal(size=(3, 4))
        before = cache.copy(), dout.copy()
        backward = getattr(student, f"{name}_backward")

        first, second = backward(dout, cache), backward(dout, cache)

        expect.unchanged(cache, before[0], f"{name}_backward (cache)")
        expect.unchanged(dout, before[1], f"{name}_backward (dout)")
        expect.no_alias(first, dout, f"{name}_backward")
        expect.close(second, first, f"{name}_backward, called again")


@pytest.mark.task("layer_backward")
def test_a_linear_layer_changes_nothing(student, rng):
    """x, W and dout are the same afterwards."""
    x, W, dout = _linear_case(rng, 4, 3, 2)
    before = x.copy(), W.copy(), dout.copy()

    student.linear_backward(dout, (x, W))

    for now, was, name in zip((x, W, dout), before, ("x", "W", "dout"), strict=True):
        expect.unchanged(now, was, f"linear_backward ({name})")


@pytest.mark.task("layer_backward")
def test_backward_passes_do_not_care_about_the_layout_in_memory(student, rng):
    """Transposed and strided arrays are arrays like others."""
    dout, p = rng.normal(size=(4, 3)).T, np.asfortranarray(_softmax(rng.normal(size=(3, 4))))

    expect.close(student.sigmoid_backward(dout, p), dout * p * (1 - p), "sigmoid_backward")
    want = np.array([(np.diag(row) - np.outer(row, row)) @ above for row, above in zip(p, dout, strict=True)])
    expect.close(student.softmax_backward(dout, p), want, "softmax_backward")
    x, W = rng.normal(size=(3, 10))[:, ::2], rng.normal(size=(5, 4)).T
    dx, dW, _ = student.linear_backward(dout, (x, W))
    expect.close(dx, np.einsum("no,od->nd", dout, W), "linear_backward (dx)")
    expect.close(dW, np.einsum("no,nd->od", dout, x), "linear_backward (dW)")


# --- 2.4 autograd

#: name: (of Tensors, of arrays, shapes of the leaves); all entries are between 0.5 and 2
GRAPHS = {
    "a + b": (lambda a, b: a + b, None, ((3, 4), (3, 4))),
    "a - b": (lambda a, b: a - b, None, ((3, 4), (3, 4))),
    "a * b": (lambda a, b: a * b, None, ((3, 4), (3, 4))),
    "a / b": (lambda a, b: a / b, None, ((3, 4), (3, 4))),
    "-a": (lambda a: -a, None, ((2, 3),)),
    "a ** 3": (lambda a: a**3, None, ((2, 3),)),
    "a ** -2": (lambda a: a**-2, None, ((2, 3),)),
    "a ** 0.5": (lambda a: a**0.5, None, ((2, 3),)),
    "a @ b": (lambda a, b: a @ b, None, ((2, 3), (3, 4))),
    "a @ b, square": (lambda a, b: a @ b, None, ((3, 3), (3, 3))),
    "(4, 1) @ (1, 3)": (lambda a, b: a @ b, None, ((4, 1), (1, 3))),
    "exp": (lambda a: a.exp(), np.exp, ((2, 3),)),
    "log": (lambda a: a.log(), np.log, ((2, 3),)),
    "relu": (lambda a: (a - 1.2).relu(), lambda a: np.maximum(a - 1.2, 0.0), ((3, 5),)),
    "sum of all": (lambda a: a.sum(), np.sum, ((2, 3, 4),)),
    "sum of all, keepdims": (lambda a: a.sum(keepdims=True), lambda a: np.sum(a, keepdims=True), ((2, 3),)),
    "sum along axis 0": (lambda a: a.sum(axis=0), lambda a: np.sum(a, axis=0), ((2, 3, 4),)),
    "sum along axis 1": (lambda a: a.sum(axis=1), lambda a: np.sum(a, axis=1), ((2, 3, 4),)),
    "sum along axis -1": (lambda a: a.sum(axis=-1), lambda a: np.sum(a, axis=-1), ((2, 3, 4),)),
    "sum along axis 1, keepdims": (
        lambda a: a.sum(axis=1, keepdims=True),
        lambda a: np.sum(a, axis=1, keepdims=True),
        ((3, 4),),
    ),
    "sum along an axis of a square": (lambda a: a.sum(axis=1), lambda a: np.sum(a, axis=1), ((3, 3),)),
    "reshape(4, 3)": (lambda a: a.reshape(4, 3), None, ((2, 6),)),
    "reshape((3, -1))": (lambda a: a.reshape((3, -1)), None, ((2, 6),)),
    "broadcast_to, a new axis": (
        lambda a: a.broadcast_to((3, 4)),
        lambda a: np.broadcast_to(a, (3, 4)),
        ((4,),),
    ),
    "broadcast_to, a stretched axis": (
        lambda a: a.broadcast_to((2, 3, 4)),
        lambda a: np.broadcast_to(a, (2, 3, 4)),
        ((3, 1),),
    ),
    "(3, 4) + (4,)": (lambda a, b: a + b, None, ((3, 4), (4,))),
    "(4,) - (3, 4)": (lambda a, b: a - b, None, ((4,), (3, 4))),
    "(3, 1) * (1, 4)": (lambda a, b: a * b, None, ((3, 1), (1, 4))),
    "(2, 3, 4) * (3, 1)": (lambda a, b: a * b, None, ((2, 3, 4), (3, 1))),
    "(3, 4) / (3, 1)": (lambda a, b: a / b, None, ((3, 4), (3, 1))),
    "() / (3, 4)": (lambda a, b: a / b, None, ((), (3, 4))),
    "(3, 3) * (3,)": (lambda a, b: a * b, None, ((3, 3), (3,))),
    "(1,) * (5,)": (lambda a, b: a * b, None, ((1,), (5,))),
    "a + 2.5": (lambda a: a + 2.5, None, ((2, 3),)),
    "2 + a": (lambda a: 2 + a, None, ((2, 3),)),
    "a - 3": (lambda a: a - 3, None, ((2, 3),)),
    "3 - a": (lambda a: 3 - a, None, ((2, 3),)),
    "a * 4": (lambda a: a * 4, None, ((2, 3),)),
    "4 * a": (lambda a: 4 * a, None, ((2, 3),)),
    "a / 4": (lambda a: a / 4, None, ((2, 3),)),
    "4 / a": (lambda a: 4 / a, None, ((2, 3),)),
    "a * array": (lambda a: a * np.arange(1.0, 4.0), None, ((2, 3),)),
    "a + array that is larger": (lambda a: a + np.ones((4, 2, 3)), None, ((2, 3),)),
    "a @ array": (lambda a: a @ np.arange(12.0).reshape(3, 4), None, ((2, 3),)),
}
#: the same, of graphs of several nodes
LARGER_GRAPHS = {
    "a * a": (lambda a: a * a, None, ((2, 3),)),
    "a + a": (lambda a: a + a, None, ((2, 3),)),
    "a @ a": (lambda a: a @ a, None, ((3, 3),)),
    "a / a.sum()": (lambda a: a / a.sum(), None, ((2, 3),)),
    "diamond": (lambda a: (a * a) * (a + 1.0), None, ((2, 3),)),
    "long and short path": (lambda a, b: ((a * b + a) * b + a) * a, None, ((2,), (2,))),
    "diamond after diamond": (lambda a: _diamonds(a, 6), lambda a: _diamonds(a, 6), ((2,),)),
    "used before and after": (lambda a, b: _used_before_and_after(a, b), None, ((2,), (2,))),
    "two layers": (
        lambda x, v, b, w: (x @ v + b - 4.0).relu() @ w,
        lambda x, v, b, w: np.maximum(x @ v + b - 4.0, 0.0) @ w,
        ((5, 3), (3, 4), (4,), (4, 2)),
    ),
    "log of a softmax": (
        lambda z: (z.exp() / z.exp().sum(axis=1, keepdims=True)).log(),
        lambda z: z - np.log(np.exp(z).sum(axis=1, keepdims=True)),
        ((4, 3),),
    ),
    "variance of rows": (
        lambda a: ((a - a.sum(axis=1, keepdims=True) / 5) ** 2).sum(axis=1) / 5,
        lambda a: np.var(a, axis=1),
        ((3, 5),),
    ),
    "outer sum by reshaping": (
        lambda a, b: (a.reshape(3, 1) + b.reshape(1, -1)).exp().sum(axis=0),
        lambda a, b: np.exp(a.reshape(3, 1) + b.reshape(1, -1)).sum(axis=0),
        ((3,), (4,)),
    ),
}


def _diamonds(a, count):
    for _ in range(count):
        a = a * 0.5 + a * a * 0.125
    return a


def _used_before_and_after(a, b):
    early = a * b
    late = early * early + a
    return late * early + b


def _run_graph(student, graph, rng):
    """Build a graph of leaves; return arrays, leaves, result, and the same function of arrays."""
    of_tensors, of_arrays, shapes = graph
    arrays = [np.array(rng.uniform(0.5, 2.0, size=shape)) for shape in shapes]
    leaves = [student.Tensor(array.copy(), requires_grad=True) for array in arrays]
    return arrays, leaves, of_tensors(*leaves), of_arrays or of_tensors


def _check_graph(student, name, graph, rng):
    arrays, leaves, out, function = _run_graph(student, graph, rng)
    value = np.asarray(function(*arrays))
    expect.close(out.data, value, f"Tensor: {name}")
    expect.equal(out.requires_grad, True, f"Tensor: {name} (requires_grad)")
    cotangent = rng.normal(size=value.shape)

    out.backward(cotangent)

    for k, (leaf, array) in enumerate(zip(leaves, arrays, strict=True)):

        def moved(x, k=k):
            return np.asarray(function(*arrays[:k], x, *arrays[k + 1 :]))

        what = f"Tensor.backward of {name} (operand {k + 1})"
        got = np.asarray(leaf.grad) if array.shape == () else leaf.grad
        expect.gradient(moved, array, got, np.asarray(cotangent), what, rtol=1e-6, atol=1e-7)


@pytest.mark.task("autograd")
@pytest.mark.parametrize("name", list(GRAPHS))
def test_one_operation_forward_and_back(student, rng, name):
    """The value is NumPy's, and every operand gets a gradient of its own shape."""
    _check_graph(student, name, GRAPHS[name], rng)


@pytest.mark.task("autograd", weight=2)
@pytest.mark.parametrize("name", list(LARGER_GRAPHS))
def test_graphs_of_several_nodes(student, rng, name):
    """A node passes its gradient on once everything that uses it has been heard, and adds up what it hears."""
    _check_graph(student, name, LARGER_GRAPHS[name], rng)


@pytest.mark.task("autograd", weight=2)
def test_a_network_in_tensors_has_the_gradients_of_its_layers(student, reference, rng):
    """The engine finds by itself what linear_backward and relu_backward compute by hand."""
    x, V, w, y = (
        rng.normal(size=(6, 3)),
        rng.normal(size=(3, 4)),
        rng.normal(size=(4, 2)),
        np.eye(2)[[0, 1, 1, 0, 1, 0]],
    )
    hidden, out = student.Tensor(V, requires_grad=True), student.Tensor(w, requires_grad=True)

    logits = (student.Tensor(x) @ hidden).relu() @ out
    log_p = logits - logits.exp().sum(axis=1, keepdims=True).log()
    loss = (log_p * y).sum() * (-1.0 / 6)
    loss.backward()

    z = x @ V
    want_loss, above = reference.cross_entropy(np.maximum(z, 0.0) @ w, y.argmax(axis=1))
    below, dw, _ = reference.linear_backward(above, (np.maximum(z, 0.0), w.T))
    _, dV, _ = reference.linear_backward(reference.relu_backward(below, z), (x, V.T))
    expect.close(loss.data, want_loss, "Tensor: cross-entropy of a network")
    expect.close(out.grad, dw.T, "Tensor.backward (last layer)")
    expect.close(hidden.grad, dV.T, "Tensor.backward (first layer)")


@probe
def chain_of(student, links, kind):
    x = student.Tensor(np.array([1.5, -0.5]), requires_grad=True)
    y = x
    for _ in range(links):
        y = y + 0.001 if kind == "+" else y * 1.0001
    y.sum().backward()
    return y.data, x.grad


@pytest.mark.task("autograd", weight=2)
@pytest.mark.parametrize("kind", ["+", "*"])
def test_a_chain_of_twenty_thousand_operations(student, kind):
    """A function that calls itself for every node runs into Python's limit: keep a list of what is left to do."""
    value, grad = chain_of(student, 20_000, kind)

    start, factor = np.array([1.5, -0.5]), 1.0 if kind == "+" else math.exp(20_000 * math.log1p(0.0001))
    want = start + 20.0 if kind == "+" else start * factor
    expect.close(value, want, "Tensor: 20,000 operations")
    expect.close(grad, np.full(2, factor), "Tensor.backward through 20,000 operations")


@probe
def doublings(student, times):
    x = student.Tensor(1.0, requires_grad=True)
    y = x
    for _ in range(times):
        y = y + y
    y.backward()
    return y.data, x.grad


@pytest.mark.task("autograd")
def test_every_node_is_worked_off_once(student):
    """Through y = y + y, fifty times, lead 2^50 paths, but there are only fifty nodes."""
    value, grad = doublings(student, 50)

    expect.close(value, 2.0**50, "Tensor: fifty doublings")
    expect.close(grad, 2.0**50, "Tensor.backward through fifty doublings")


@pytest.mark.task("autograd")
def test_leaves_collect_from_several_backward_calls(student, rng):
    """A gradient is added to what is there already, from whichever graph it comes."""
    a = student.Tensor(rng.normal(size=3), requires_grad=True)
    first, second = rng.normal(size=3), rng.normal(size=3)

    (a * first).backward(np.ones(3))
    (a * second).sum().backward()

    expect.close(a.grad, first + second, "Tensor.backward, of two graphs")


@pytest.mark.task("autograd")
def test_calling_backward_twice_doubles_the_gradient(student):
    """The graph stays, and nothing of the first call is left in it: twice 2 a b, not more."""
    a, b = student.Tensor(3.0, requires_grad=True), student.Tensor(5.0, requires_grad=True)
    y = (a * b) * a + b

    y.backward()
    y.backward()

    expect.close(a.grad, 60.0, "Tensor.backward, twice (a)")
    expect.close(b.grad, 20.0, "Tensor.backward, twice (b)")


@pytest.mark.task("autograd")
def test_two_results_share_a_part_of_the_graph(student):
    """h = a * a is used by two results: each adds its own gradient, 2 * 6 and 3 * 6."""
    a = student.Tensor(3.0, requires_grad=True)
    h = a * a
    first, second = h * 2.0, h * 3.0

    first.backward()
    second.backward()

    expect.close(a.grad, 30.0, "Tensor.backward of two results that share h")


@pytest.mark.task("autograd")
def test_a_gradient_can_be_set_to_none(student):
    """Between two steps of a training the old gradient is forgotten: a.grad = None, or zero_grad()."""
    a = student.Tensor([1.0, 2.0], requires_grad=True)
    (a * 3.0).sum().backward()

    a.grad = None
    (a * 5.0).sum().backward()
    after_none = np.array(a.grad)
    a.zero_grad()
    (a * 7.0).sum().backward()

    expect.close(after_none, np.array([5.0, 5.0]), "Tensor.backward after grad = None")
    expect.close(a.grad, np.array([7.0, 7.0]), "Tensor.backward after zero_grad")


@pytest.mark.task("autograd")
def test_two_leaves_never_share_one_gradient_array(student):
    """What is added to a's gradient later must not turn up in b's, nor in the array passed to backward."""
    a, b = student.Tensor([1.0, 2.0], requires_grad=True), student.Tensor([3.0, 4.0], requires_grad=True)
    above = np.array([1.0, 10.0])

    (a + b).backward(above)
    (a * 2.0).backward(np.array([100.0, 100.0]))

    expect.close(a.grad, np.array([201.0, 210.0]), "Tensor.backward (a, used again)")
    expect.close(b.grad, np.array([1.0, 10.0]), "Tensor.backward (b, used once)")
    expect.unchanged(above, np.array([1.0, 10.0]), "Tensor.backward (grad)")


@probe
def leaf_itself(student):
    a = student.Tensor([1.0, 2.0], requires_grad=True)
    above = np.array([3.0, 4.0])
    a.backward(above)
    above[0] = 99.0
    a.backward(np.array([10.0, 10.0]))
    return a.grad, above


@pytest.mark.task("autograd")
def test_backward_of_a_leaf(student):
    """The smallest graph is a leaf: its gradient is what comes from above, in an array of its own."""
    grad, above = leaf_itself(student)

    expect.close(above, np.array([99.0, 4.0]), "Tensor.backward of a leaf (the array that was passed)")
    expect.close(grad, np.array([13.0, 14.0]), "Tensor.backward of a leaf")


@pytest.mark.task("autograd")
def test_constants_have_no_gradient(student):
    """A leaf that does not require a gradient gets none, and results of constants are constants."""
    a, c = student.Tensor([1.0, 2.0], requires_grad=True), student.Tensor([3.0, 4.0])

    out = a * c + c
    out.backward(np.ones(2))

    expect.equal(out.requires_grad, True, "Tensor.requires_grad of a result with a leaf that requires it")
    expect.equal((c * 2.0).requires_grad, False, "Tensor.requires_grad of a result of constants")
    expect.equal(c.grad, None, "Tensor.grad of a constant")
    expect.close(a.grad, np.array([3.0, 4.0]), "Tensor.backward beside a constant")


@pytest.mark.task("autograd")
def test_backward_needs_something_to_start_from(student):
    """An array of several numbers needs a gradient from above; a constant has no gradient at all."""
    a = student.Tensor([1.0, 2.0], requires_grad=True)
    errors = (RuntimeError, ValueError, AssertionError)

    with expect.refused(errors, "Tensor.backward() of shape (2,)"):
        (a * 2.0).backward()
    with expect.refused(errors, "Tensor.backward() of a constant"):
        student.Tensor(3.0).backward()
    with expect.refused(errors, "Tensor.backward() of what was computed from constants"):
        (student.Tensor(3.0) * 2.0).backward()


@pytest.mark.task("autograd")
def test_the_gradient_is_an_array_of_floats(student):
    """Not a Tensor, not a list: float64, of the shape of data, also for a single number."""
    a, b = student.Tensor([[1, 2, 3]], requires_grad=True), student.Tensor(2, requires_grad=True)

    (a * b).sum().backward()

    expect.close(a.grad, np.array([[2.0, 2.0, 2.0]]), "Tensor.grad", dtype=np.float64)
    expect.close(b.grad, 6.0, "Tensor.grad of a single number", dtype=np.float64)
    expect.dtype(a.data, np.float64, "Tensor.data of integers")
    single = student.Tensor(np.ones((2, 3), dtype=np.float32))
    expect.dtype(single.data, np.float64, "Tensor.data of float32 numbers")


@pytest.mark.task("autograd")
def test_powers_of_zero_and_large_exponentials(student):
    """Zero has powers, and their slopes, like any other number; exp(20) is large, not strange."""
    x = np.array([0.0, -2.0, 3.0])
    for exponent, slope in ((2, 2.0 * x), (3, 3.0 * x**2), (1, np.ones(3))):
        a = student.Tensor(x.copy(), requires_grad=True)

        out = a**exponent
        out.backward(np.ones(3))

        expect.close(out.data, x**exponent, f"Tensor: a ** {exponent}")
        expect.close(a.grad, slope, f"Tensor.backward of a ** {exponent}")
    large = student.Tensor(np.array([20.0, 30.0]), requires_grad=True)
    risen = large.exp()
    risen.backward(np.array([1.0, 2.0]))
    expect.close(risen.data, np.exp([20.0, 30.0]), "Tensor.exp of large numbers")
    expect.close(large.grad, np.exp([20.0, 30.0]) * np.array([1.0, 2.0]), "Tensor.backward of exp")


@pytest.mark.task("autograd")
def test_operations_leave_their_operands_alone(student, rng):
    """An operation makes a new Tensor; data of the operands, and arrays beside them, stay."""
    x, c = rng.uniform(0.5, 2.0, size=(2, 3)), rng.normal(size=3)
    before, kept = x.copy(), c.copy()
    a = student.Tensor(x, requires_grad=True)

    out = ((a * c).exp() + a.log() + (a - 1.0).relu()).sum()
    out.backward()

    expect.close(a.data, before, "Tensor.data after a graph was built and run backwards", rtol=0, atol=0)
    expect.unchanged(c, kept, "Tensor: a * array (the array)")


@probe
def in_place(student):
    a = student.Tensor([3.0, 4.0], requires_grad=True)
    first = a
    b = a * a
    a += 1.0
    a *= 2.0
    c = b + a
    c.sum().backward()
    return b.data, a.data, first.data, first.grad


@pytest.mark.task("autograd")
def test_plus_equals_makes_another_tensor(student):
    """After b = a * a, `a += 1` must not reach back into b, nor into b's slope 2 a."""
    b, moved, first, grad = in_place(student)

    expect.close(b, np.array([9.0, 16.0]), "Tensor: b = a * a, before a += 1")
    expect.close(moved, np.array([8.0, 10.0]), "Tensor: a after a += 1 and a *= 2")
    expect.close(first, np.array([3.0, 4.0]), "Tensor: the old a after a += 1")
    expect.close(grad, np.array([8.0, 10.0]), "Tensor.backward (the old a)")


@pytest.mark.task("autograd")
def test_relu_has_no_slope_at_zero(student):
    """At the kink the slope is that of the left side."""
    a = student.Tensor([-1.0, 0.0, 2.0], requires_grad=True)

    a.relu().backward(np.array([5.0, 6.0, -7.0]))

    expect.close(a.grad, np.array([0.0, 0.0, -7.0]), "Tensor.relu (gradient at -1, 0 and 2)")


@probe
def recording(student):
    a = student.Tensor(2.0, requires_grad=True)
    seen = [(a * a).requires_grad]
    with student.no_grad():
        seen.append((a * a).requires_grad)
        with student.no_grad():
            seen.append((a * a).requires_grad)
        seen.append((a + 1.0).requires_grad)
    seen.append((a * a).requires_grad)
    try:
        with student.no_grad():
            raise KeyError("on the way")
    except KeyError:
        seen.append("seen")
    seen.append((a * a).requires_grad)
    return seen


@pytest.mark.task("autograd", weight=2)
def test_recording_is_as_before_when_no_grad_ends(student):
    """Blocks may be nested, and may end with an exception, which goes on its way."""
    seen = recording(student)

    expect.equal(seen[0], True, "Tensor.requires_grad outside no_grad")
    expect.equal(seen[1:4], [False, False, False], "Tensor.requires_grad inside (nested) no_grad")
    expect.equal(seen[4], True, "Tensor.requires_grad after no_grad")
    expect.equal(seen[5:], ["seen", True], "Tensor.requires_grad after no_grad that ended with an exception")


@pytest.mark.task("autograd")
def test_every_operation_is_silent_inside_no_grad(student, rng):
    """Inside no_grad nothing is recorded, whichever operation it is; leaves can still be made."""
    a = student.Tensor(rng.uniform(0.5, 2.0, size=(2, 2)), requires_grad=True)
    with student.no_grad():
        results = [a + a, a * 2, a / a, a - 1, a**2, a @ a, -a, a.exp(), a.log(), a.relu(), a.sum(),
                   a.reshape(4, 1), a.broadcast_to((3, 2, 2))]  # fmt: skip
        new = student.Tensor([1.0], requires_grad=True)

    for number, result in enumerate(results):
        expect.equal(result.requires_grad, False, f"no_grad (requires_grad of operation {number + 1} of 13)")
    expect.equal(new.requires_grad, True, "no_grad (requires_grad of a leaf made inside)")


@pytest.mark.task("autograd")
def test_backward_works_inside_no_grad_on_a_graph_from_outside(student):
    """no_grad switches recording off; what was recorded before can still be run backwards."""
    a = student.Tensor([2.0, 5.0], requires_grad=True)
    y = (a * a).sum()

    with student.no_grad():
        y.backward()

    expect.close(a.grad, np.array([4.0, 10.0]), "Tensor.backward inside no_grad")


# --- 2.5 mlp


@probe
def model_with(student, sizes, values, penalties, X, y):
    model = student.MLP(sizes, rng=np.random.default_rng(0), **penalties)
    for parameter, value in zip(model.params, values, strict=True):
        parameter[...] = value
    held = [np.array(X), np.array(y)]
    loss, grads = model.loss(X, y)
    again, _ = model.loss(X, y)
    return {
        "logits": model.forward(X),
        "loss": loss,
        "again": again,
        "grads": list(grads),
        "predicted": model.predict(X),
        "evaluated": tuple(model.evaluate(X, y)),
        "params": [np.array(p) for p in model.params],
        "shared": any(np.shares_memory(g, p) for g in grads for p in model.params),
        "inputs are unchanged": bool(np.array_equal(held[0], X) and np.array_equal(held[1], y)),
    }


def _random_network(rng, sizes):
    params = []
    for fan_in, fan_out in pairwise(sizes):
        params += [rng.normal(size=(fan_out, fan_in)), rng.normal(size=fan_out)]
    return params


def _objective(params, X, y, l1=0.0, l2=0.0):
    """What MLP.loss shall return, sample by sample."""
    total = 0.0
    for sample, label in zip(X, y, strict=True):
        a = sample
        for k in range(0, len(params), 2):
            a = np.dot(params[k], a if k == 0 else np.where(a > 0, a, 0.0)) + params[k + 1]
        top = max(a)
        total += top + math.log(math.fsum(math.exp(z - top) for z in a)) - a[label]
    size = sum(np.abs(W).sum() for W in params[::2])
    square = sum((W**2).sum() for W in params[::2])
    return np.float64(total / len(X) + l1 * size + 0.5 * l2 * square)


def _logits(params, X):
    a = X
    for k in range(0, len(params), 2):
        a = np.einsum("nd,od->no", a if k == 0 else np.maximum(a, 0.0), params[k]) + params[k + 1]
    return a


def _mlp_case(student, rng, sizes, N, **penalties):
    X, y = rng.normal(size=(N, sizes[0])), rng.integers(0, sizes[-1], size=N)
    params = _random_network(rng, sizes)
    return params, X, y, model_with(student, sizes, params, penalties, X, y)


def _check_gradients(params, X, y, got, sizes, **penalties):
    expect.equal(len(got["grads"]), len(params), "MLP.loss (number of gradients)")
    for k, value in enumerate(params):

        def moved(p, k=k):
            return _objective([*params[:k], p, *params[k + 1 :]], X, y, **penalties)

        name = f"{'Wb'[k % 2]}{k // 2 + 1}"
        one = np.float64(1.0)
        expect.gradient(moved, value, got["grads"][k], one, f"MLP.loss (gradient of {name}, sizes {sizes})",
                        rtol=1e-5, atol=1e-7)  # fmt: skip


@pytest.mark.task("mlp", weight=2)
@pytest.mark.parametrize("sizes", [[3, 2], [4, 5, 3], [2, 6, 4, 3]])
def test_the_gradients_of_a_network(student, rng, sizes):
    """From the loss back through every layer, however many there are."""
    params, X, y, got = _mlp_case(student, rng, sizes, 5)

    expect.close(got["loss"], float(_objective(params, X, y)), f"MLP.loss (sizes {sizes})")
    _check_gradients(params, X, y, got, sizes)


@pytest.mark.task("mlp", weight=2)
@pytest.mark.parametrize(("l1", "l2"), [(0.3, 0.0), (0.0, 0.7), (0.2, 0.5)])
def test_the_gradients_of_a_network_with_penalties(student, rng, l1, l2):
    """A penalty of the loss has its own gradient, added once, for the weights of every layer."""
    sizes = [4, 5, 3]
    params, X, y, got = _mlp_case(student, rng, sizes, 6, l1=l1, l2=l2)

    expect.close(got["loss"], float(_objective(params, X, y, l1, l2)), f"MLP.loss with l1={l1}, l2={l2}")
    _check_gradients(params, X, y, got, sizes, l1=l1, l2=l2)


@pytest.mark.task("mlp")
def test_logits_and_predictions(student, rng):
    """The last layer has no activation; the prediction is the class with the largest logit."""
    params, X, _, got = _mlp_case(student, rng, [3, 4, 5, 4], 9)

    want = _logits(params, X)
    expect.close(got["logits"], want, "MLP.forward")
    expect.equal(got["predicted"], want.argmax(axis=1), "MLP.predict")


@pytest.mark.task("mlp")
def test_evaluation_knows_no_penalty(student, rng):
    """Penalties steer the training; a network is measured by what it says of data."""
    params, X, y, got = _mlp_case(student, rng, [3, 4, 3], 8, l1=2.0, l2=10.0)

    loss, accuracy = got["evaluated"]
    expect.close(loss, float(_objective(params, X, y)), "MLP.evaluate (loss)")
    right = float(np.mean(_logits(params, X).argmax(axis=1) == y))
    expect.close(accuracy, right, "MLP.evaluate (accuracy)")


@pytest.mark.task("mlp")
def test_biases_are_not_penalised(student, rng):
    """A bias only moves a boundary: its gradient is the same with and without penalties, and so is the loss."""
    sizes, X, y = [3, 4, 2], rng.normal(size=(5, 3)), np.array([0, 1, 1, 0, 1])
    params = _random_network(rng, sizes)
    for weight in params[::2]:
        weight[...] = 0.0

    bare = model_with(student, sizes, params, {}, X, y)
    heavy = model_with(student, sizes, params, {"l1": 3.0, "l2": 5.0}, X, y)

    expect.close(heavy["loss"], float(bare["loss"]), "MLP.loss with penalties, all weights being 0")
    for k in (1, 3):
        expect.close(heavy["grads"][k], bare["grads"][k], f"MLP.loss (gradient of b{k // 2 + 1})")


@pytest.mark.task("mlp")
def test_the_slope_of_l1_is_a_sign(student, rng):
    """|w| has the slope -1 or 1, whatever the size of w, and 0 is to be taken at w = 0."""
    X, y = np.zeros((2, 3)), np.array([0, 1])
    W, b = np.array([[5.0, -0.01, 0.0], [-3.0, 0.0, 2.0]]), np.zeros(2)

    got = model_with(student, [3, 2], [W, b], {"l1": 0.5}, X, y)

    want = np.array([[0.5, -0.5, 0.0], [-0.5, 0.0, 0.5]])
    expect.close(got["grads"][0], want, "MLP.loss (gradient of W1 with l1=0.5, for X = 0)")


@pytest.mark.task("mlp")
def test_penalties_do_not_depend_on_the_batch(student, rng):
    """The same samples twice: the mean stays, the penalty stays, and so does every gradient."""
    sizes, params = [3, 4, 2], _random_network(rng, [3, 4, 2])
    X, y = rng.normal(size=(4, 3)), np.array([0, 1, 1, 0])
    strengths = {"l1": 0.1, "l2": 0.4}

    once = model_with(student, sizes, params, strengths, X, y)
    twice = model_with(student, sizes, params, strengths, np.tile(X, (2, 1)), np.tile(y, 2))

    expect.close(twice["loss"], float(once["loss"]), "MLP.loss of the same samples twice")
    for one, two in zip(once["grads"], twice["grads"], strict=True):
        expect.close(two, one, "MLP.loss (gradients of the same samples twice)")


@pytest.mark.task("mlp")
def test_one_sample_and_huge_logits(student, rng):
    """A batch of one, with logits in the thousands, has a finite loss and finite gradients."""
    params = [1000.0 * p for p in _random_network(rng, [3, 4])]
    X = rng.normal(size=(1, 3))
    y = np.array([int(np.argmin(_logits(params, X)))])

    got = model_with(student, [3, 4], params, {}, X, y)

    expect.close(got["loss"], float(_objective(params, X, y)), "MLP.loss of huge logits")
    for grad in got["grads"]:
        expect.finite(grad, "MLP.loss (gradients of huge logits)")


@pytest.mark.task("mlp")
def test_loss_changes_nothing(student, rng):
    """Measuring is not moving: parameters and samples stay, and the second answer is the first."""
    params, _, _, got = _mlp_case(student, rng, [3, 4, 2], 5, l1=0.1, l2=0.2)

    for now, was in zip(got["params"], params, strict=True):
        expect.unchanged(now, was, "MLP (params after loss, forward, predict and evaluate)")
    expect.equal(got["inputs are unchanged"], True, "MLP (X and y are unchanged)")
    expect.close(got["again"], float(got["loss"]), "MLP.loss, called again")
    expect.is_true(
        not got["shared"], "MLP.loss: a gradient shares its memory with a parameter; make new arrays"
    )


@probe
def gradients_of_two_batches(student, X, y, other, labels):
    model = student.MLP([3, 4, 2], l2=0.1, rng=np.random.default_rng(8))
    grads = model.loss(X, y)[1]
    before = [np.array(g) for g in grads]
    model.loss(other, labels)
    return before, [np.array(g) for g in grads]


@pytest.mark.task("mlp")
def test_gradients_are_not_overwritten_by_the_next_batch(student, rng):
    """The gradients of two batches can be kept side by side, and added: every call makes new arrays."""
    (X, other), y = rng.normal(size=(2, 5, 3)), np.array([0, 1, 1, 0, 1])

    before, after = gradients_of_two_batches(student, X, y, other, 1 - y)

    expect.is_true(any(np.any(g != 0) for g in before), "MLP.loss: all gradients are zero")
    for k, (now, was) in enumerate(zip(after, before, strict=True)):
        expect.close(now, was, f"MLP.loss (gradient {k} of a batch, after the next batch)", rtol=0, atol=0)


@pytest.mark.task("mlp")
def test_weights_start_with_the_variance_of_he(student, rng):
    """Mean 0 and variance 2 / fan_in, in every layer; biases start at 0."""
    model = student.MLP([400, 300, 200], rng=rng)

    params = list(model.params)

    for weight, fan_in in ((params[0], 400), (params[2], 300)):
        what = f"MLP.params (weights with {fan_in} inputs"
        expect.close(float(weight.var()), 2.0 / fan_in, f"{what}, variance)", rtol=0.05)
        expect.between(
            float(weight.mean()) * math.sqrt(fan_in / 2.0), -0.03, 0.03, f"{what}, mean in units of std)"
        )
    for bias in params[1::2]:
        expect.close(bias, np.zeros(bias.shape), "MLP.params (bias)")


@pytest.mark.task("mlp")
def test_the_generator_decides_about_the_weights(student):
    """The same state of rng gives the same weights, another one gives others; without rng they are new each time."""

    def first_weights(**settings):
        return np.array(student.MLP([4, 3, 2], **settings).params[0])

    one, again = (first_weights(rng=np.random.default_rng(5)) for _ in range(2))
    other = first_weights(rng=np.random.default_rng(6))

    expect.close(again, one, "MLP.params (the same seed again)", rtol=0, atol=0)
    expect.is_true(not np.array_equal(one, other), "MLP: another seed gave the same weights; draw from rng")
    is_new = not np.array_equal(first_weights(), first_weights())
    expect.is_true(is_new, "MLP: two networks without rng have the same weights; make a fresh generator")


@probe
def two_networks(student, X):
    one, other = (
        student.MLP([3, 2], rng=np.random.default_rng(1)),
        student.MLP([3, 2], rng=np.random.default_rng(2)),
    )
    before = other.forward(X)
    W, b = one.params
    W += 1.0
    b[...] = 5.0
    return one.forward(X), np.array(W), before, other.forward(X)


@pytest.mark.task("mlp")
def test_a_network_computes_with_its_params(student, rng):
    """Whoever moves an array of params in place moves the network, and no other network."""
    X = rng.normal(size=(4, 3))

    out, W, before, after = two_networks(student, X)

    expect.close(out, X @ W.T + 5.0, "MLP.forward after params were changed in place")
    expect.close(after, before, "MLP.forward of another network")


# --- 2.6 optimizers

#: name, settings: every rule with the settings that change its path
OPTIMIZERS = {
    "SGD": ("SGD", {"lr": 0.05}),
    "SGD, momentum": ("SGD", {"lr": 0.05, "momentum": 0.9}),
    "SGD, nesterov": ("SGD", {"lr": 0.05, "momentum": 0.8, "nesterov": True}),
    "SGD, weight decay": ("SGD", {"lr": 0.05, "weight_decay": 0.3}),
    "SGD, everything": ("SGD", {"lr": 0.02, "momentum": 0.7, "nesterov": True, "weight_decay": 0.2}),
    "RMSprop": ("RMSprop", {"lr": 0.03}),
    "RMSprop, alpha and eps": ("RMSprop", {"lr": 0.03, "alpha": 0.6, "eps": 0.05}),
    "Adam": ("Adam", {"lr": 0.02}),
    "Adam, betas and eps": ("Adam", {"lr": 0.02, "betas": (0.6, 0.8), "eps": 0.03}),
    "Adam, weight decay": ("Adam", {"lr": 0.02, "weight_decay": 0.4}),
    "AdamW": ("AdamW", {"lr": 0.02}),
    "AdamW, everything": ("AdamW", {"lr": 0.05, "betas": (0.7, 0.9), "eps": 0.02, "weight_decay": 0.6}),
}
DEFAULTS = {
    "SGD": {"lr": 1e-3, "momentum": 0.0, "nesterov": False, "weight_decay": 0.0},
    "RMSprop": {"lr": 1e-2, "alpha": 0.99, "eps": 1e-8},
    "Adam": {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0},
    "AdamW": {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 1e-2},
}


def _discounted(past, beta):
    """The sum of beta^(age) g over all gradients so far, the newest with age 0."""
    return sum(beta**age * g for age, g in enumerate(reversed(past)))


def _next_point(name, s, p, past):
    """The point after a step from p with the gradients `past` (the newest last, decay already added)."""
    t, g = len(past), past[-1]
    if name == "SGD":
        v = _discounted(past, s["momentum"])
        return p - s["lr"] * (g + s["momentum"] * v if s["nesterov"] else v)
    if name == "RMSprop":
        size = (1 - s["alpha"]) * _discounted([g**2 for g in past], s["alpha"])
        return p - s["lr"] * g / (size**0.5 + s["eps"])
    beta1, beta2 = s["betas"]
    mean = (1 - beta1) * _discounted(past, beta1) / (1 - beta1**t)
    size = (1 - beta2) * _discounted([g**2 for g in past], beta2) / (1 - beta2**t)
    kept = p - s["lr"] * s["weight_decay"] * p if name == "AdamW" else p
    return kept - s["lr"] * mean / (size**0.5 + s["eps"])


def _wanted_path(name, settings, params, gradients):
    """The parameters after every step, each from all the gradients that it has seen."""
    s = {**DEFAULTS[name], **settings}
    path, points, pasts = [], list(params), [[] for _ in params]
    for grads in gradients:
        for k, g in enumerate(grads):
            decay = s["weight_decay"] * points[k] if name in ("SGD", "Adam") else 0.0
            pasts[k].append(g + decay)
            points[k] = _next_point(name, s, points[k], pasts[k])
        path.append(list(points))
    return path


@probe
def walk(student, name, settings, params, gradients, later_lr):
    optimizer = getattr(student, name)(**settings)
    params = [np.array(p) for p in params]
    held, path, are_kept = list(params), [], True
    for number, grads in enumerate(gradients):
        grads = [np.array(g) for g in grads]
        before = [g.copy() for g in grads]
        if later_lr is not None and number == 2:
            optimizer.lr = later_lr
        optimizer.step(params, grads)
        are_kept = are_kept and all(np.array_equal(g, b) for g, b in zip(grads, before, strict=True))
        path.append([p.copy() for p in held])
    is_in_place = all(p is h for p, h in zip(params, held, strict=True))
    return {"path": path, "in place": is_in_place, "gradients are kept": are_kept}


def _some_params(rng, steps):
    """Parameters of different shapes, and gradients of different sizes for some steps."""
    shapes = ((2, 3), (4,), (2, 2, 3), (4,))
    params = [rng.normal(size=shape) for shape in shapes]
    gradients = [
        [10.0 ** (k % 2) * rng.normal(size=shape) for k, shape in enumerate(shapes)] for _ in range(steps)
    ]
    return params, gradients


def _check_path(got, want, what):
    for number, (points, wanted) in enumerate(zip(got, want, strict=True), start=1):
        for k, (p, w) in enumerate(zip(points, wanted, strict=True), start=1):
            expect.close(p, w, f"{what}: parameter {k} after step {number}", rtol=1e-10, atol=1e-11)


@pytest.mark.task("optimizers", weight=2)
@pytest.mark.parametrize("rule", list(OPTIMIZERS))
def test_twenty_steps(student, rng, rule):
    """Twenty steps with ever new gradients: every setting and every memory of the past counts."""
    name, settings = OPTIMIZERS[rule]
    params, gradients = _some_params(rng, 20)

    got = walk(student, name, settings, params, gradients, None)

    _check_path(got["path"], _wanted_path(name, settings, params, gradients), rule)


@pytest.mark.task("optimizers")
@pytest.mark.parametrize("name", list(DEFAULTS))
def test_settings_that_are_left_out(student, rng, name):
    """Defaults are those of PyTorch."""
    params, gradients = _some_params(rng, 3)

    got = walk(student, name, {}, params, gradients, None)

    _check_path(got["path"], _wanted_path(name, {}, params, gradients), f"{name}() with its defaults")


@pytest.mark.task("optimizers")
@pytest.mark.parametrize("name", list(DEFAULTS))
def test_parameters_move_in_place_and_gradients_stay(student, rng, name):
    """The network holds these very arrays: new arrays in the list would leave it as it was."""
    params, gradients = _some_params(rng, 3)
    settings = {"lr": 0.1, **({} if name == "RMSprop" else {"weight_decay": 0.1})}

    got = walk(student, name, settings, params, gradients, None)

    moved = all(not np.array_equal(p, was) for p, was in zip(got["path"][-1], params, strict=True))
    expect.is_true(moved, f"{name}.step: the arrays that were passed did not move; change them in place")
    expect.is_true(
        got["in place"], f"{name}.step: the list holds other arrays now; change the old ones in place"
    )
    expect.is_true(
        got["gradients are kept"], f"{name}.step: a gradient was changed; it is there to be read only"
    )


@pytest.mark.task("optimizers")
@pytest.mark.parametrize("name", ["RMSprop", "Adam", "AdamW"])
def test_tiny_gradients_show_where_eps_stands(student, name):
    """sqrt(s) + eps is not sqrt(s + eps): with g = 1e-6 the two differ by a factor of a hundred."""
    settings = {"lr": 0.1, **({"weight_decay": 0.0} if name == "AdamW" else {})}
    params, gradients = [np.zeros(2)], [[np.array([1e-6, -1e-7])]] * 2

    got = walk(student, name, settings, params, gradients, None)

    _check_path(got["path"], _wanted_path(name, settings, params, gradients), f"{name} with tiny gradients")


@pytest.mark.task("optimizers")
@pytest.mark.parametrize("name", list(DEFAULTS))
def test_without_a_gradient_nothing_moves(student, name):
    """A gradient of zero gives a step of zero (and never 0 / 0), apart from weight decay."""
    settings = {} if name == "RMSprop" else {"weight_decay": 0.0}
    params = [np.array([1.0, -2.0])]

    got = walk(student, name, settings, params, [[np.zeros(2)]] * 2, None)

    expect.close(got["path"][-1][0], params[0], f"{name}.step with a gradient of zero", rtol=0, atol=0)


@pytest.mark.task("optimizers")
@pytest.mark.parametrize("rule", ["SGD, momentum", "SGD, nesterov", "RMSprop", "Adam"])
def test_the_past_counts_where_the_gradient_is_zero(student, rng, rule):
    """Velocities and averages go on, and fade, while the gradient is zero; so does the count of steps."""
    name, settings = OPTIMIZERS[rule]
    params, grad = [rng.normal(size=3)], rng.normal(size=3)
    gradients = [[g] for g in (grad, np.zeros(3), np.zeros(3), 2.0 * grad)]

    got = walk(student, name, settings, params, gradients, None)

    _check_path(got["path"], _wanted_path(name, settings, params, gradients), f"{rule}, gradients of zero")


@pytest.mark.task("optimizers")
@pytest.mark.parametrize("name", ["Adam", "AdamW"])
def test_the_first_step_is_as_long_as_the_learning_rate(student, rng, name):
    """-lr * sign(g), for large gradients and for small ones."""
    grad = rng.choice([-1.0, 1.0], size=6) * 10.0 ** np.arange(-3.0, 3.0)

    got = walk(student, name, {"lr": 0.01, "weight_decay": 0.0}, [np.zeros(6)], [[grad]], None)

    expect.close(got["path"][0][0], -0.01 * np.sign(grad), f"{name}.step (first step)", rtol=2e-5)


@pytest.mark.task("optimizers")
@pytest.mark.parametrize("name", ["Adam", "AdamW"])
def test_decay_with_and_without_adam_in_between(student, name):
    """With a gradient of zero, AdamW shrinks by lr * weight_decay; in Adam the decay goes through m and s."""
    settings = {"lr": 0.01, "weight_decay": 0.1}
    params, gradients = [np.array([2.0, -0.5])], [[np.zeros(2)]] * 5

    got = walk(student, name, settings, params, gradients, None)

    _check_path(got["path"], _wanted_path(name, settings, params, gradients), f"{name}, weight decay alone")


@pytest.mark.task("optimizers")
def test_nesterov_looks_ahead(student, rng):
    """The step uses the gradient and the *new* velocity: already the first step differs from plain momentum."""
    g = rng.normal(size=3)
    settings = {"lr": 0.1, "momentum": 0.9, "nesterov": True}

    got = walk(student, "SGD", settings, [np.zeros(3)], [[g], [2.0 * g]], None)

    _check_path(
        got["path"], _wanted_path("SGD", settings, [np.zeros(3)], [[g], [2.0 * g]]), "SGD with nesterov"
    )


@pytest.mark.task("optimizers")
@pytest.mark.parametrize("rule", ["SGD, momentum", "RMSprop", "Adam", "AdamW"])
def test_every_parameter_has_its_own_memory(student, rng, rule):
    """Parameters of the same shape, with gradients of different size: none feels the other's past."""
    name, settings = OPTIMIZERS[rule]
    params = [np.zeros(2), np.zeros(2), np.zeros(2)]
    gradients = [[scale * rng.normal(size=2) for scale in (0.1, 1.0, 30.0)] for _ in range(4)]

    got = walk(student, name, settings, params, gradients, None)

    _check_path(got["path"], _wanted_path(name, settings, params, gradients), rule)


@pytest.mark.task("optimizers")
@pytest.mark.parametrize("rule", ["SGD, momentum", "RMSprop", "Adam", "AdamW"])
def test_the_learning_rate_may_change_on_the_way(student, rng, rule):
    """Whoever sets opt.lr between two steps wants the next step to know it."""
    name, settings = OPTIMIZERS[rule]
    params, gradients = _some_params(rng, 4)

    got = walk(student, name, settings, params, gradients, 0.004)

    first = _wanted_path(name, settings, params, gradients)[:2]
    _check_path(got["path"][:2], first, rule)
    s = {**DEFAULTS[name], **settings, "lr": 0.004}
    points, pasts = first[1], [[grads[k] for grads in gradients[:2]] for k in range(len(params))]
    for number in (2, 3):
        for k in range(len(params)):
            pasts[k].append(gradients[number][k])
        points = [_next_point(name, s, p, past) for p, past in zip(points, pasts, strict=True)]
        _check_path([got["path"][number]], [points], f"{rule}, with a new lr")


@probe
def two_optimizers(student, name, settings, gradients):
    make = getattr(student, name)
    alone, one, other = (make(**settings) for _ in range(3))
    by_itself, first, second = [np.zeros(3)], [np.zeros(3)], [np.zeros(3)]
    for g in gradients:
        alone.step(by_itself, [g])
    for g in gradients:
        one.step(first, [g])
        other.step(second, [-50.0 * g])
    return by_itself[0], first[0]


@pytest.mark.task("optimizers")
@pytest.mark.parametrize("rule", ["SGD, momentum", "RMSprop", "Adam", "AdamW"])
def test_two_optimisers_share_nothing(student, rng, rule):
    """Velocities, averages and the count of steps belong to one optimiser."""
    name, settings = OPTIMIZERS[rule]

    alone, beside = two_optimizers(student, name, settings, [rng.normal(size=3) for _ in range(4)])

    expect.close(beside, alone, f"{rule}: steps beside another optimiser")


@pytest.mark.task("optimizers")
@pytest.mark.parametrize("name", list(DEFAULTS))
def test_settings_can_be_read(student, name):
    """opt.lr is the learning rate."""
    optimizer = getattr(student, name)(lr=0.125)

    expect.close(optimizer.lr, 0.125, f"{name}.lr")


# --- 2.7 train


@probe
def spied_run(student, X, y, epochs, batch_size, seed, n_callbacks, stop_after, X_val, y_val, global_seed):
    class Model:
        def __init__(self):
            self.params = [np.zeros(2), np.zeros((1, 3))]

        def loss(self, X, y):
            log.append(("loss", len(X)))
            batches.append((np.array(X), np.array(y)))
            grads = [np.full(2, float(len(log))), np.ones((1, 3))]
            offered.append(grads)
            return self.params[0][0] + np.mean(X[:, 0]), grads

        def evaluate(self, X, y):
            if X_val is not None and len(X) == len(X_val):
                log.append(("evaluate", len(X)))
            return 100.0 + self.params[0][0] + float(np.sum(X)), float(np.mean(y))

    class Optimizer:
        def step(self, params, grads):
            right = len(params) == 2 and all(a is b for a, b in zip(params, model.params, strict=True))
            fresh = all(np.array_equal(a, b) for a, b in zip(grads, offered[-1], strict=True))
            log.append(("step", bool(right), bool(fresh)))
            model.params[0] += 1.0

    def watcher(number):
        def callback(epoch, seen_model, history):
            lengths = sorted((key, len(values)) for key, values in history.items())
            log.append(("callback", number, epoch, seen_model is model, lengths))
            return True if number == n_callbacks - 1 and epoch == stop_after else None

        return callback

    np.random.seed(global_seed)
    log, batches, offered, model = [], [], [], Model()
    callbacks = [watcher(number) for number in range(n_callbacks)]
    more = {"callbacks": callbacks} if n_callbacks else {}
    if X_val is not None:
        more.update(X_val=X_val, y_val=y_val)
    rng = np.random.default_rng(seed)
    history = student.train(model, X, y, epochs, batch_size, Optimizer(), rng, **more)
    return {
        "log": log,
        "batches": batches,
        "history": {k: list(v) for k, v in history.items()},
        "moved": float(model.params[0][0]),
        "X": X,
        "y": y,
    }


def _spied(student, N, epochs, batch_size, seed=0, *, callbacks=0, stop_after=0, n_val=0, global_seed=0):
    X = np.arange(2.0 * N).reshape(N, 2)
    val = (np.ones((n_val, 2)), np.zeros(n_val, dtype=int)) if n_val else (None, None)
    return spied_run(
        student, X, np.arange(N), epochs, batch_size, seed, callbacks, stop_after, *val, global_seed
    )


def _orders(run, N):
    """The order of the samples in each epoch."""
    return np.concatenate([labels for _, labels in run["batches"]]).reshape(-1, N)


@pytest.mark.task("train")
@pytest.mark.parametrize(
    ("N", "batch_size", "sizes"), [(11, 4, [4, 4, 3]), (6, 3, [3, 3]), (5, 9, [5]), (3, 1, [1, 1, 1])]
)
def test_the_sizes_of_the_batches(student, N, batch_size, sizes):
    """Full batches, then what is left over: nothing is dropped and nothing is padded."""
    run = _spied(student, N, 2, batch_size)

    expect.equal([len(labels) for _, labels in run["batches"]], sizes * 2, f"train (batch sizes for N={N})")
    for order in _orders(run, N):
        expect.equal(np.sort(order), np.arange(N), "train (samples of one epoch)")


@pytest.mark.task("train")
def test_every_sample_keeps_its_label(student):
    """One order for both: X and y go through the same permutation, in every epoch."""
    run = _spied(student, 23, 3, 5)

    for samples, labels in run["batches"]:
        expect.close(samples, np.stack([2.0 * labels, 2.0 * labels + 1.0], axis=1), "train (X beside y)")


@pytest.mark.task("train")
def test_every_epoch_has_a_new_order(student):
    """Shuffled, and shuffled anew: no epoch repeats the given order or the one before."""
    orders = _orders(_spied(student, 40, 4, 8), 40)

    distinct = {tuple(order) for order in orders} | {tuple(range(40))}
    expect.equal(len(distinct), 5, "train (different orders of 4 epochs, and the given one)")
    is_mixed = all(np.corrcoef(order, np.arange(40))[0, 1] < 0.9 for order in orders)
    expect.is_true(is_mixed, "train: an epoch is nearly in the given order; shuffle all samples")
    firsts = {int(order[:8].min()) // 8 * 8 for order in orders if np.ptp(order[:8]) < 8}
    expect.is_true(not firsts, "train: batches are shuffled as blocks; shuffle the samples")


@pytest.mark.task("train")
def test_the_generator_decides_about_the_order(student):
    """The same state of rng gives the same batches; another one gives others; global seeds do not matter."""
    one, again = (_orders(_spied(student, 30, 2, 7, seed=3, global_seed=k), 30) for k in (0, 1))
    other = _orders(_spied(student, 30, 2, 7, seed=4), 30)

    expect.equal(again, one, "train (order of the samples, the same seed again)")
    expect.is_true(not np.array_equal(one, other), "train: another seed of rng gave the same order")


@pytest.mark.task("train")
def test_one_loss_and_one_step_a_batch(student):
    """Compute the gradients of a batch, then step with them, on model.params, before the next batch."""
    run = _spied(student, 10, 2, 4)

    kinds = [entry[0] for entry in run["log"]]
    expect.equal(kinds, ["loss", "step"] * 6, "train (order of calls)")
    steps = [entry for entry in run["log"] if entry[0] == "step"]
    expect.is_true(all(right for _, right, _ in steps), "train: opt.step did not get model.params")
    expect.is_true(
        all(fresh for _, _, fresh in steps), "train: opt.step did not get the gradients of its batch"
    )


@pytest.mark.task("train")
def test_the_model_is_left_as_the_last_step_left_it(student):
    """Six steps of one each: train moves the parameters by opt.step alone, also where the loss gets worse."""
    run = _spied(student, 10, 2, 4, n_val=3)

    expect.equal(len(run["history"]["loss"]), 2, "train (epochs, while the loss gets worse)")
    expect.close(run["moved"], 6.0, "train (a parameter that every step raises by one)")


@pytest.mark.task("train", weight=2)
def test_the_loss_of_an_epoch_is_a_mean_over_samples(student):
    """Every batch counts with its size, and with the loss that model.loss returned for it."""
    run = _spied(student, 10, 3, 4)

    want = []
    for epoch in range(3):
        batches = run["batches"][3 * epoch : 3 * epoch + 3]
        total = sum(len(x) * (3 * epoch + k + x[:, 0].mean()) for k, (x, _) in enumerate(batches))
        want.append(total / 10)
    expect.is_true("loss" in run["history"], "train: the history has no key 'loss'")
    expect.close(run["history"]["loss"], np.array(want), "train (history['loss'])", lists=True)


@pytest.mark.task("train", weight=2)
def test_validation_follows_every_epoch(student):
    """Measured by model.evaluate on the samples that are not trained on, after the epoch's last step."""
    run = _spied(student, 10, 3, 4, n_val=7)

    for key in ("loss", "val_loss", "val_accuracy"):
        expect.is_true(key in run["history"], f"train: the history has no key {key!r}")
    want = 114.0 + 3.0 * np.arange(1, 4)
    expect.close(run["history"]["val_loss"], want, "train (history['val_loss'])", lists=True)
    expect.close(run["history"]["val_accuracy"], np.zeros(3), "train (history['val_accuracy'])", lists=True)
    losses = [entry for entry in run["log"] if entry[0] == "loss"]
    expect.equal(len(losses), 9, "train (calls of model.loss, with validation data)")


@pytest.mark.task("train")
def test_without_validation_data_there_is_no_validation(student):
    """A stand-in model without validation data: loss only."""
    history = _spied(student, 6, 2, 4)["history"]

    expect.equal(len(history["loss"]), 2, "train (length of history['loss'])")
    expect.is_true("val_loss" not in history, "train: history['val_loss'] without validation data")


@pytest.mark.task("train")
def test_callbacks_are_called_in_their_order_after_each_epoch(student):
    """Each gets the epoch, counted from 1, the model itself, and the history with this epoch in it."""
    run = _spied(student, 6, 3, 4, callbacks=2, n_val=3)

    calls = [entry[1:] for entry in run["log"] if entry[0] == "callback"]
    expect.equal([(number, epoch) for number, epoch, _, _ in calls],
                 [(0, 1), (1, 1), (0, 2), (1, 2), (0, 3), (1, 3)], "train (callback and epoch)")  # fmt: skip
    expect.is_true(all(same for _, _, same, _ in calls), "train: a callback got another model")
    for _, epoch, _, lengths in calls:
        found = dict(map(tuple, lengths))
        for key in ("loss", "val_loss", "val_accuracy"):
            expect.equal(found.get(key), epoch, f"train (length of history[{key!r}] in a callback)")
    kinds = [entry[0] for entry in run["log"] if entry[0] in ("step", "callback")]
    expect.equal(kinds, ["step", "step", "callback", "callback"] * 3, "train (callbacks after the steps)")


@pytest.mark.task("train")
def test_a_callback_can_end_the_training(student):
    """True means: enough. The epoch that has just ended is the last; None means: go on."""
    run = _spied(student, 6, 50, 4, callbacks=2, stop_after=3)

    expect.equal(len(run["history"]["loss"]), 3, "train (epochs, ended by a callback after the third)")
    expect.equal(len(run["batches"]), 6, "train (batches, ended by a callback after the third epoch)")


@pytest.mark.task("train")
def test_one_callback_of_several_is_enough_to_end(student):
    """It need not be the last in the list that says so."""
    lengths = callbacks_that_say(student, [[None, True, None], [True, False], [False, None]])

    expect.equal(lengths, [1, 1, 4], "train (epochs, of 4, with callbacks of different opinions)")


@probe
def callbacks_that_say(student, opinions):
    class Model:
        def __init__(self):
            self.params = [np.zeros(1)]

        def loss(self, X, y):
            return 1.0, [np.ones(1)]

    class Optimizer:
        def step(self, params, grads):
            return None

    def saying(answer):
        return lambda epoch, model, history: answer

    lengths = []
    for answers in opinions:
        callbacks = tuple(saying(answer) for answer in answers)
        rng = np.random.default_rng(0)
        X, y = np.zeros((3, 1)), np.zeros(3, dtype=int)
        lengths.append(len(student.train(Model(), X, y, 4, 2, Optimizer(), rng, callbacks)["loss"]))
    return lengths


@pytest.mark.task("train")
def test_the_data_are_left_in_their_order(student):
    """Shuffle an index, not the samples themselves."""
    run = _spied(student, 12, 2, 5)

    expect.unchanged(run["X"], np.arange(24.0).reshape(12, 2), "train (X)")
    expect.unchanged(run["y"], np.arange(12), "train (y)")


@probe
def learn_by_heart(student, X, y):
    model = student.MLP([X.shape[1], 64, 4], rng=np.random.default_rng(1))
    rng = np.random.default_rng(2)
    history = student.train(model, X, y, 60, 16, student.Adam(lr=1e-2), rng)
    return model.predict(X), list(history["loss"])


@pytest.mark.task("train")
def test_fifty_samples_are_learnt_by_heart(student, rng):
    """A network with more weights than samples must get all of them right, even with labels drawn by lot."""
    X, y = rng.normal(size=(50, 20)), rng.integers(0, 4, size=50)

    predicted, losses = learn_by_heart(student, X, y)

    expect.accuracy(predicted, y, 1.0, "train: fifty samples learnt by heart")
    expect.equal(len(losses), 60, "train (length of history['loss'])")
    expect.is_true(
        losses[-1] < 0.1 * losses[0], "train: the loss of the last epoch is not far below the first"
    )


#: below mean - 4 sd of the reference over 100 seeds: 0.9771 - 4 * 0.0070
DIGITS_FLOOR = 0.945


@probe
def read_digits(student, X, y, X_val, y_val, X_test, seed):
    model = student.MLP([64, 128, 10], l2=1e-4, rng=np.random.default_rng([seed, 1]))
    optimizer = student.Adam(lr=3e-3)
    history = student.train(
        model, X, y, 25, 32, optimizer, np.random.default_rng([seed, 2]), X_val=X_val, y_val=y_val
    )
    return model.predict(X_test), model.predict(X_val), {key: list(values) for key, values in history.items()}


@pytest.fixture(scope="module")
def digits_run(student, seed):
    """One training on handwritten digits, made by the first test that asks and shared by the others."""

    @functools.cache
    def run():
        cut = int(np.random.default_rng([seed, 7]).integers(1_000_000))
        (images, labels), (test_images, test_labels) = fresh_digits(cut)
        X = images.reshape(len(images), 64).astype(np.float64)
        X_test = test_images.reshape(len(test_images), 64).astype(np.float64)
        fit, val = slice(0, 1220), slice(1220, None)
        predicted, on_val, history = read_digits(
            student, X[fit], labels[fit], X[val], labels[val], X_test, seed
        )
        return predicted, test_labels, float(np.mean(on_val == labels[val])), history

    return run


@pytest.mark.task("train", weight=2)
def test_a_network_learns_to_read_digits(digits_run):
    """Your network, your Adam and your loop, on 1,220 handwritten digits: most of the others must be read."""
    predicted, labels, _, _ = digits_run()

    expect.accuracy(predicted, labels, DIGITS_FLOOR, "train: new digits")


@pytest.mark.task("train")
def test_the_history_of_the_digits_tells_the_truth(digits_run):
    """One entry an epoch, falling losses, and the validation accuracy that the network really has."""
    _, _, right, history = digits_run()

    for key in ("loss", "val_loss", "val_accuracy"):
        expect.equal(len(history[key]), 25, f"train (length of history[{key!r}])")
    expect.close(history["val_accuracy"][-1], right, "train (history['val_accuracy'], last entry)")
    expect.is_true(history["loss"][-1] < 0.2 * history["loss"][0], "train: the loss on digits hardly falls")


# --- 2.8 gradient_descent


def _hill(rng, curvatures):
    """A symmetric matrix with these eigenvalues, and a start with a share in every direction."""
    Q, _ = np.linalg.qr(rng.normal(size=(len(curvatures), len(curvatures))))
    A = (Q * np.array(curvatures)) @ Q.T
    return (A + A.T) / 2, Q @ rng.uniform(0.5, 1.0, size=len(curvatures))


@pytest.mark.task("gradient_descent")
def test_every_point_of_the_walk(student, rng):
    """Row k is the point after k steps, row 0 the start: in the eigenvectors of A a step is a multiplication."""
    A, x0 = _hill(rng, [0.5, 1.0, 4.0])

    points = student.gradient_descent(lambda x: 0.5 * x @ A @ x, lambda x: A @ x, x0, 0.3, 12)

    step = np.eye(3) - 0.3 * A
    want = np.array([np.linalg.matrix_power(step, k) @ x0 for k in range(13)])
    expect.close(points, want, "gradient_descent", dtype=np.float64)


@pytest.mark.task("gradient_descent")
def test_the_walk_goes_downhill(student, rng):
    """With a small step the value falls at every step."""
    A, x0 = _hill(rng, [1.0, 2.0])
    c = rng.normal(size=2)

    points = student.gradient_descent(lambda x: 0.5 * x @ A @ x + c @ x, lambda x: A @ x + c, x0, 0.1, 20)

    expect.shape(points, (21, 2), "gradient_descent")
    values = [0.5 * x @ A @ x + c @ x for x in points]
    expect.is_true(
        bool(np.all(np.diff(values) < 0)), "gradient_descent: the value does not fall at every step"
    )


@pytest.mark.task("gradient_descent")
def test_no_steps_and_one_step(student):
    """Zero steps leave the start alone; the result always has two axes."""
    for steps, want in ((0, [[3.0]]), (1, [[3.0], [2.4]])):
        points = student.gradient_descent(lambda x: x[0] ** 2, lambda x: 2.0 * x, np.array([3.0]), 0.1, steps)

        expect.close(points, np.array(want), f"gradient_descent with steps={steps}")


@pytest.mark.task("gradient_descent")
def test_a_walk_at_the_bottom_goes_on_standing_there(student):
    """Where the gradient is zero a step leads nowhere, and it is a step all the same."""
    points = student.gradient_descent(lambda x: x @ x, lambda x: 2.0 * x, np.zeros(2), 0.1, 4)

    expect.close(points, np.zeros((5, 2)), "gradient_descent from the bottom")


@pytest.mark.task("gradient_descent")
def test_the_start_stays_where_it_is(student, rng):
    """x0 belongs to the caller."""
    x0 = rng.normal(size=3)
    before = x0.copy()

    points = student.gradient_descent(lambda x: x @ x, lambda x: 2.0 * x, x0, 0.2, 5)

    expect.unchanged(x0, before, "gradient_descent (x0)")
    expect.close(points[0], before, "gradient_descent (row 0)")


@pytest.mark.task("gradient_descent")
def test_a_walk_that_blows_up_ends(student):
    """With lr = 10 every step multiplies x by -19: x^2 is infinite after 121 steps, and no such point counts."""
    points = student.gradient_descent(
        lambda x: float(x[0]) * float(x[0]), lambda x: 2.0 * x, np.ones(1), 10.0, 400
    )

    expect.shape(points, (121, 1), "gradient_descent that blows up")
    expect.finite(points, "gradient_descent that blows up")


@pytest.mark.task("gradient_descent")
def test_a_walk_ends_where_the_function_has_no_value(student):
    """nan is not finite either: log x has no value where the second step would lead."""
    points = student.gradient_descent(
        lambda x: math.log(x[0]) if x[0] > 0 else math.nan, lambda x: 1.0 / x, np.array([2.0]), 3.0, 10
    )

    expect.close(points, np.array([[2.0], [0.5]]), "gradient_descent of log x")


@pytest.mark.task("gradient_descent", weight=2)
@pytest.mark.parametrize("curvatures", [[3.0], [0.5, 1.0, 2.0, 8.0], [0.01, 0.02, 0.3]])
def test_the_largest_curvature_limits_the_step(student, rng, curvatures):
    """Not the diagonal, not the sum: the largest eigenvalue."""
    A, _ = _hill(rng, curvatures)
    before = A.copy()

    limit = student.max_stable_lr(A)

    expect.close(limit, 2.0 / max(curvatures), "max_stable_lr", rtol=2e-6)
    expect.unchanged(A, before, "max_stable_lr (A)")


@pytest.mark.task("gradient_descent")
def test_curvatures_that_hardly_differ(student):
    """The steepest direction may be none of the axes nor their sum, and another may be nearly as steep."""
    apart = np.array([[2.0, -1.0], [-1.0, 2.0]])  # curvature 3 along (1, -1), 1 along (1, 1)
    near = np.diag([1.96, 2.0, 1.9])

    expect.close(student.max_stable_lr(apart), 2.0 / 3.0, "max_stable_lr", rtol=2e-6)
    expect.close(student.max_stable_lr(near), 1.0, "max_stable_lr of curvatures 1.9, 1.96 and 2", rtol=2e-6)


@pytest.mark.task("gradient_descent")
def test_just_below_the_limit_it_converges_and_just_above_it_does_not(student, rng):
    """Two per cent decide: after five hundred steps one walk is at the bottom, the other far away."""
    A, x0 = _hill(rng, [1.0, 2.0, 5.0])
    limit = float(student.max_stable_lr(A))

    below, above = (
        student.gradient_descent(lambda x: 0.5 * x @ A @ x, lambda x: A @ x, x0, factor * limit, 500)
        for factor in (0.98, 1.02)
    )

    expect.between(
        float(np.linalg.norm(below[-1])), 0.0, 1e-6, "gradient_descent (distance left, lr below the limit)"
    )
    expect.is_true(
        bool(np.linalg.norm(above[-1]) > 1e3), "gradient_descent: above max_stable_lr the walk stays small"
    )
