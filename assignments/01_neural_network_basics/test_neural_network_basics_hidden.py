"""Hidden tests: random numbers, extreme numbers, every axis, and what a function must leave alone."""

import math
import sys
from itertools import pairwise

import numpy as np
import pytest

from autograder import expect, probe

ENTRYWISE = ["sigmoid", "tanh", "relu", "leaky_relu", "gelu"]
ALONG_AN_AXIS = ["logsumexp", "softmax", "log_softmax"]


def _xor_inputs():
    """(0,0), (0,1), (1,0), (1,1): new arrays for every test, since a wrong answer may write into them."""
    return np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])


def _numbers(got):
    """True and False as 1 and 0; everything else as it is."""
    return got * 1 if isinstance(got, (bool, np.bool_, np.ndarray)) else got


# --- 1.1 perceptron


def _learn(X, y, lr, max_epochs):
    """Rosenblatt's rule, written down once more: (w, b, updates, converged, epochs made)."""
    w, b, updates = np.zeros(X.shape[1]), 0.0, 0
    for epoch in range(1, max_epochs + 1):
        is_clean = True
        for n in range(len(X)):
            if y[n] * (float(np.dot(X[n], w)) + b) <= 0:
                w, b, updates, is_clean = w + lr * y[n] * X[n], b + lr * y[n], updates + 1, False
        if is_clean:
            return w, b, updates, True, epoch
    return w, b, updates, False, max_epochs


def _separable_integers(rng):
    """Whole numbers on both sides of a plane that misses the origin, hard enough for several epochs."""
    while True:
        X = rng.integers(-4, 5, size=(60, 3)).astype(float)
        side = X @ np.array([2.0, -3.0, 1.0]) + 5.0
        X, y = X[side != 0], np.sign(side[side != 0]).astype(int)
        if 4 <= _learn(X, y, 1.0, 5000)[4] < 5000:
            return X, y


def _expect_state(neuron, w, b, converged, what):
    expect.close(neuron.w, w, f"{what} (w)")
    expect.close(neuron.b, float(b), f"{what} (b)")
    expect.equal(neuron.converged, converged, f"{what} (converged)")


@pytest.mark.task("perceptron")
def test_a_threshold_neuron_fires_at_the_threshold_itself(student, rng):
    """mcculloch_pitts fires where x @ w >= threshold: reaching the threshold is enough, whatever the signs
    of weights and threshold.
    """
    x, w = rng.integers(-3, 4, size=(9, 4)).astype(float), np.array([2.0, -3.0, 1.0, -1.0])
    for threshold in (x[4] @ w, -2.0, 0.5):
        fired = student.mcculloch_pitts(x, w, float(threshold))

        expect.close(_numbers(fired), [int(s >= threshold) for s in x @ w], "mcculloch_pitts")


@pytest.mark.task("perceptron")
def test_a_threshold_neuron_weighs_any_numbers(student, rng):
    """Inputs and weights of mcculloch_pitts may be any numbers, not only zeros and ones: nothing is rounded, and
    a sum just below the threshold does not reach it.
    """
    x, w = rng.normal(size=(12, 3)), rng.normal(size=3)
    for shift in (1e-4, -1e-4):
        threshold = float(x[5] @ w) + shift

        fired = student.mcculloch_pitts(x, w, threshold)

        expect.close(_numbers(fired), [int(s >= threshold) for s in x @ w], "mcculloch_pitts of real numbers")


@pytest.mark.task("perceptron")
def test_a_threshold_neuron_takes_a_single_input(student):
    """mcculloch_pitts gives a single number for one input (D,), and an array (N,) for a batch (N, D), also
    for a batch of one.
    """
    w = np.array([1.0, -2.0, 1.0])

    expect.close(_numbers(student.mcculloch_pitts(np.array([1.0, 0.0, 1.0]), w, 2)), 1, "mcculloch_pitts")
    expect.close(_numbers(student.mcculloch_pitts(np.array([1.0, 1.0, 1.0]), w, 1)), 0, "mcculloch_pitts")
    expect.close(_numbers(student.mcculloch_pitts(np.array([[1.0, 0.0, 0.0]]), w, 1)), [1], "mcculloch_pitts")


@pytest.mark.task("perceptron", weight=2)
@pytest.mark.parametrize("lr", [1.0, 0.25])
def test_fit_makes_the_updates_of_the_rule_in_the_given_order(student, rng, lr):
    """fit visits the samples in the given order and makes each update at once; the learning rate scales the
    change of w and of b.
    """
    X, y = _separable_integers(rng)
    w, b, updates, _, _ = _learn(X, y, lr, 5000)
    neuron = student.Perceptron(3, lr)

    n_updates = neuron.fit(X, y, 5000)

    expect.close(n_updates, updates, "Perceptron.fit (number of updates)")
    _expect_state(neuron, w, b, True, "Perceptron.fit")


@pytest.mark.task("perceptron")
def test_fit_learns_real_numbers_far_from_the_origin(student, rng):
    """The boundary need not go through the origin: fit moves w and b by the rule, and predict uses both."""
    X = rng.normal(size=(40, 2))
    X = X[np.abs(X[:, 0] - X[:, 1]) > 0.3] + np.array([3.0, -2.0])
    y = np.where(X[:, 0] - X[:, 1] > 5.0, 1.0, -1.0)
    w, b, updates, converged, _ = _learn(X, y, 0.3, 2000)
    neuron = student.Perceptron(2, lr=0.3)

    n_updates = neuron.fit(X, y, max_epochs=2000)

    expect.close(n_updates, updates, "Perceptron.fit (number of updates)")
    _expect_state(neuron, w, b, converged, "Perceptron.fit")
    sides = [1 if side >= 0 else -1 for side in X @ w + b]
    expect.close(neuron.predict(X), sides, "Perceptron.predict (training samples)")


@pytest.mark.task("perceptron")
def test_weights_keep_their_sixteen_digits(student, rng):
    """w is float64: the updates of fit must not be rounded to fewer digits."""
    X, y = rng.normal(size=(30, 3)), rng.choice([-1.0, 1.0], size=30)
    w = _learn(X, y, 0.1, 40)[0]
    neuron = student.Perceptron(3, lr=0.1)
    expect.dtype(neuron.w, np.float64, "Perceptron.w")

    neuron.fit(X, y, 40)

    expect.dtype(neuron.w, np.float64, "Perceptron.fit (w)")
    expect.close(neuron.w, w, "Perceptron.fit (w)", rtol=1e-12, atol=1e-12)


@pytest.mark.task("perceptron")
def test_xor_uses_up_all_epochs(student):
    """Where every epoch has an update, fit makes all max_epochs epochs, none more, and converged is False."""
    y = np.array([-1, 1, 1, -1])
    for max_epochs in (1, 7):
        w, b, updates, _, _ = _learn(_xor_inputs(), y, 1.0, max_epochs)
        neuron = student.Perceptron(2)

        n_updates = neuron.fit(_xor_inputs(), y, max_epochs)

        expect.close(n_updates, updates, f"Perceptron.fit (updates in {max_epochs} epochs of XOR)")
        _expect_state(neuron, w, b, False, "Perceptron.fit on XOR")


@pytest.mark.task("perceptron")
def test_a_hundred_epochs_unless_told_otherwise(student):
    """If max_epochs is left out, fit makes at most 100 epochs."""
    y = np.array([-1, 1, 1, -1])
    neuron = student.Perceptron(2)

    n_updates = neuron.fit(_xor_inputs(), y)

    expect.close(n_updates, _learn(_xor_inputs(), y, 1.0, 100)[2], "Perceptron.fit (updates in 100 epochs of XOR)")


@pytest.mark.task("perceptron")
def test_nothing_moves_once_all_samples_are_right(student, rng):
    """A sample on the right side changes nothing: fit on what is learnt already returns 0 updates and leaves
    w and b.
    """
    X, y = _separable_integers(rng)
    w, b, _, _, _ = _learn(X, y, 1.0, 5000)
    neuron = student.Perceptron(3)
    neuron.fit(X, y, 5000)

    n_updates = neuron.fit(X, y, 3)

    expect.close(n_updates, 0, "Perceptron.fit (updates when all is right)")
    _expect_state(neuron, w, b, True, "Perceptron.fit, called again")


@pytest.mark.task("perceptron")
def test_fit_goes_on_where_it_stopped(student, rng):
    """Learning goes on from the present w and b: several calls of one epoch do the same as one call of
    several epochs.
    """
    X, y = _separable_integers(rng)
    w, b, updates, _, _ = _learn(X, y, 1.0, 3)
    neuron = student.Perceptron(3)

    counts = [neuron.fit(X, y, 1) for _ in range(3)]

    expect.close(sum(counts), updates, "Perceptron.fit (updates in three calls)")
    _expect_state(neuron, w, b, False, "Perceptron.fit, three times one epoch")


@probe
def python_steps_of_fit(student, X, y, max_epochs):
    neuron = student.Perceptron(X.shape[1])
    neuron.fit(X, y, 50)
    steps = 0

    def count(frame, event, argument):
        nonlocal steps
        steps += 1
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        neuron.fit(X, y, max_epochs)
    finally:
        sys.settrace(before)
    return steps


@pytest.mark.task("perceptron")
def test_fit_stops_where_nothing_is_left_to_learn(student):
    """fit stops after the first epoch without an update; it makes no further epochs."""
    X, y = np.array([[2.0, 1.0], [-1.0, 0.5]]), np.array([1, -1])

    few, many = (python_steps_of_fit(student, X, y, max_epochs) for max_epochs in (2, 2000))

    sentence = "Perceptron.fit: it goes on after an epoch without an update; stop there"
    expect.is_true(many < few + 1000, sentence)


@pytest.mark.task("perceptron")
def test_converged_needs_an_epoch_without_an_update(student, rng):
    """converged is True only if the last epoch had no update, and that epoch counts as one of max_epochs."""
    X, y = _separable_integers(rng)
    epochs = _learn(X, y, 1.0, 5000)[4]
    early, just = student.Perceptron(3), student.Perceptron(3)

    early.fit(X, y, epochs - 1)
    just.fit(X, y, epochs)

    expect.equal(early.converged, False, "Perceptron.fit (converged, one epoch too early)")
    expect.equal(just.converged, True, "Perceptron.fit (converged)")


@pytest.mark.task("perceptron")
def test_converged_speaks_of_the_last_call(student, rng):
    """converged tells of the last call of fit: every call sets it, to True or to False."""
    neuron = student.Perceptron(2)
    neuron.fit(np.array([[2.0, 1.0], [-1.0, 0.5]]), np.array([1, -1]), 100)
    was_converged = neuron.converged

    neuron.fit(_xor_inputs(), np.array([-1, 1, 1, -1]), 5)

    expect.equal(was_converged, True, "Perceptron.fit (converged on two points)")
    expect.equal(neuron.converged, False, "Perceptron.fit (converged on XOR, after a fit that did converge)")


@pytest.mark.task("perceptron")
@pytest.mark.parametrize("label", [1, -1])
def test_one_sample_moves_the_weights_once(student, label):
    """A sample with y * (w @ x + b) <= 0 causes one update, after which w is y * x: follow one sample by
    hand.
    """
    neuron = student.Perceptron(2)

    n_updates = neuron.fit(np.array([[2.0, 1.0]]), np.array([label]), 5)

    expect.close(n_updates, 1, "Perceptron.fit (updates for one sample)")
    expect.close(neuron.w, label * np.array([2.0, 1.0]), "Perceptron.fit (w after one sample)")


@pytest.mark.task("perceptron", weight=6)
@pytest.mark.parametrize("what", ["w", "b"])
def test_the_learning_rate_is_the_size_of_a_step(student, what):
    """One update moves w by lr * y * x and b by lr * y."""
    neuron = student.Perceptron(2, lr=0.125)

    neuron.fit(np.array([[8.0, -4.0]]), np.array([1]), 1)

    got, want = (neuron.w, np.array([1.0, -0.5])) if what == "w" else (neuron.b, 0.125)
    expect.close(got, want, f"Perceptron.fit ({what} after one update with lr = 1/8)")


@pytest.mark.task("perceptron")
def test_predict_answers_in_the_labels_of_fit(student):
    """predict answers with the labels of fit, -1 and +1."""
    neuron = student.Perceptron(2)
    neuron.fit(np.array([[2.0, 1.0]]), np.array([-1]), 5)

    sides = neuron.predict(np.array([[2.0, 1.0], [-4.0, -2.0]]))

    expect.close(sides, [-1, 1], "Perceptron.predict")


@pytest.mark.task("perceptron", weight=6)
def test_predict_uses_weights_and_bias(student, rng):
    """predict looks at the side on which w @ x + b lies, for any number of samples, even one, however near the
    boundary; it changes nothing.
    """
    X, y = _separable_integers(rng)
    w, b, _, _, _ = _learn(X, y, 1.0, 5000)
    neuron = student.Perceptron(3)
    neuron.fit(X, y, 5000)
    new = rng.integers(-9, 10, size=(50, 3)).astype(float)
    want = [1 if side >= 0 else -1 for side in new @ w + b]

    expect.close(neuron.predict(new), want, "Perceptron.predict")
    expect.close(neuron.predict(new[:1]), want[:1], "Perceptron.predict (one sample)")
    near = (np.array([[1e-4], [-1e-4]]) - b) * w / (w @ w)
    expect.close(neuron.predict(near), [1, -1], "Perceptron.predict (near the boundary)")
    _expect_state(neuron, w, b, True, "Perceptron.predict, the neuron afterwards")


@pytest.mark.task("perceptron")
def test_the_boundary_itself_counts_as_plus_one(student, rng):
    """predict gives +1 where w @ x + b >= 0, so also on the boundary itself."""
    neuron = student.Perceptron(2)

    sides = neuron.predict(rng.normal(size=(4, 2)))

    expect.close(sides, [1, 1, 1, 1], "Perceptron.predict (on the boundary)")


@pytest.mark.task("perceptron")
def test_perceptrons_do_not_share_what_they_learn_nor_change_their_samples(student, rng):
    """Every perceptron has its own w, b and lr, and fit and predict only read X and y."""
    X, y = _separable_integers(rng)
    X_before, y_before = X.copy(), y.copy()
    w, b, _, converged, _ = _learn(X, y, 0.5, 4)
    one, other = student.Perceptron(3, lr=0.5), student.Perceptron(3, lr=0.25)

    one.fit(X, y, 4)
    one.predict(X)

    expect.unchanged(X, X_before, "Perceptron.fit (X)")
    expect.unchanged(y, y_before, "Perceptron.fit (y)")
    _expect_state(one, w, b, converged, "Perceptron.fit, beside another perceptron")
    _expect_state(other, np.zeros(3), 0.0, False, "Perceptron (another one)")


# --- 1.2 activations


def _extremes():
    """Numbers that overflow or underflow when somebody takes their exp."""
    return np.array([[-1100.0, -745.0, -100.0, -30.0, -16.0, -2.0], [1100.0, 710.0, 100.0, 30.0, 15.5, 0.5]])


def _rows_far_apart():
    """Rows near 1000, near 0, near -1000, and rows that go from end to end of what must work."""
    return np.array(
        [
            [1000.0, 999.0, 998.5, -1000.0],
            [0.5, -1.0, 2.0, 0.0],
            [-1000.0, -1001.0, -999.5, -1000.0],
            [-1100.0, 1100.0, -1099.0, -1100.0],
            [1100.0, 1099.0, -1100.0, 1100.0],
        ]
    )


def _away_from_zero(rng, shape):
    """Random numbers of both signs that no difference quotient carries across zero."""
    return rng.choice([-1.0, 1.0], size=shape) * rng.uniform(0.05, 3.0, size=shape)


def _tolerance(name):
    return {"atol": 1e-6} if name.startswith("gelu") else {}


@pytest.mark.task("activations")
@pytest.mark.parametrize("name", ENTRYWISE)
def test_entrywise_values(student, reference, rng, name):
    """The function works on every entry by itself, for an array of any shape."""
    x = 3.0 * rng.normal(size=(3, 2, 5))

    out = getattr(student, name)(x)

    expect.close(out, getattr(reference, name)(x), name, **_tolerance(name))


@pytest.mark.task("activations")
@pytest.mark.parametrize("name", ENTRYWISE + ALONG_AN_AXIS)
def test_numbers_keep_their_sixteen_digits(student, reference, rng, name):
    """Numbers keep double precision from beginning to end, in the forward and in the backward pass: nothing is
    rounded to single precision.
    """
    x = 3.0 * rng.normal(size=(3, 8))
    dout = rng.normal(size=getattr(reference, name)(x).shape)

    out = getattr(student, name)(x)
    dx = getattr(student, f"{name}_backward")(dout, x)

    expect.dtype(out, np.float64, name)
    expect.dtype(dx, np.float64, f"{name}_backward")
    precise = {"atol": 1e-6} if name == "gelu" else {"rtol": 1e-10, "atol": 1e-11}
    expect.close(out, getattr(reference, name)(x), name, **precise)
    expect.close(dx, getattr(reference, f"{name}_backward")(dout, x), f"{name}_backward", **precise)


@pytest.mark.task("activations", weight=4)
@pytest.mark.parametrize("name", ENTRYWISE)
def test_entrywise_extremes(student, reference, name):
    """The value must be right, and never nan or inf, for very large and very small entries too: which
    exponential overflows?
    """
    out = getattr(student, name)(_extremes())

    expect.close(out, getattr(reference, name)(_extremes()), f"{name} of large numbers", **_tolerance(name))


@pytest.mark.task("activations")
@pytest.mark.parametrize("name", ENTRYWISE)
def test_entrywise_gradients(student, reference, rng, name):
    """A backward pass multiplies dout by the slope at the input x, entry by entry."""
    x, dout = _away_from_zero(rng, (2, 3, 4)), rng.normal(size=(2, 3, 4))

    dx = getattr(student, f"{name}_backward")(dout, x)

    tolerance = {"atol": 1e-5} if name == "gelu" else {}
    expect.gradient(getattr(reference, name), x, dx, dout, f"{name}_backward", **tolerance)


@pytest.mark.task("activations", weight=5)
@pytest.mark.parametrize("name", ENTRYWISE)
def test_entrywise_gradients_at_extremes(student, reference, rng, name):
    """The gradient must be right, and never nan or inf, for very large and very small entries too: what is the
    slope far out?
    """
    dout = rng.normal(size=_extremes().shape)

    dx = getattr(student, f"{name}_backward")(dout, _extremes())

    want = getattr(reference, f"{name}_backward")(dout, _extremes())
    expect.close(dx, want, f"{name}_backward of large numbers", **_tolerance(name))


@pytest.mark.task("activations")
@pytest.mark.parametrize("name", ALONG_AN_AXIS)
def test_values_along_every_axis(student, reference, rng, name):
    """The axis may be any axis of x, counted from the front or from the back; left out, it is the last."""
    x = 2.0 * rng.normal(size=(2, 3, 4))
    expect.close(getattr(student, name)(x), getattr(reference, name)(x), f"{name} (axis left out)")
    for axis in (0, 1, 2, -1, -2, -3):
        out = getattr(student, name)(x, axis=axis)

        expect.close(out, getattr(reference, name)(x, axis), f"{name} with axis={axis} of (2, 3, 4)")


@pytest.mark.task("activations", weight=5)
@pytest.mark.parametrize("name", ALONG_AN_AXIS)
def test_extremes_along_an_axis(student, reference, name):
    """The value must be right, and never nan or inf, for very large and very small entries too: take
    each row's own maximum out before the exponential.
    """
    for axis, x in ((1, _rows_far_apart()), (0, _rows_far_apart().T.copy())):
        out = getattr(student, name)(x, axis)

        expect.close(out, getattr(reference, name)(x, axis), f"{name} of large numbers")


@pytest.mark.task("activations")
@pytest.mark.parametrize("name", ALONG_AN_AXIS)
def test_gradients_along_every_axis(student, reference, rng, name):
    """Every input along the axis moves every output along it; the axis may be any, and is the last if left
    out.
    """
    x = rng.normal(size=(2, 3, 4))
    dout = rng.normal(size=getattr(reference, name)(x).shape)
    dx = getattr(student, f"{name}_backward")(dout, x)
    want = getattr(reference, f"{name}_backward")(dout, x)
    expect.close(dx, want, f"{name}_backward of (2, 3, 4), axis left out")
    for axis in (0, 1, 2, -1, -2, -3):
        dout = rng.normal(size=getattr(reference, name)(x, axis).shape)

        dx = getattr(student, f"{name}_backward")(dout, x, axis)

        what = f"{name}_backward with axis={axis} of (2, 3, 4)"
        expect.gradient(lambda z, axis=axis: getattr(reference, name)(z, axis), x, dx, dout, what)


@pytest.mark.task("activations", weight=0.5)
@pytest.mark.parametrize("name", ALONG_AN_AXIS)
def test_four_axes(student, reference, rng, name):
    """x may have any number of axes, and the axis may be any of them, forward and backward."""
    x = 2.0 * rng.normal(size=(2, 3, 1, 4))
    for axis in (0, 1, -2, 3):
        want = getattr(reference, name)(x, axis)
        dout = rng.normal(size=want.shape)

        out = getattr(student, name)(x, axis)
        dx = getattr(student, f"{name}_backward")(dout, x, axis)

        expect.close(out, want, f"{name} with axis={axis} of (2, 3, 1, 4)")
        want = getattr(reference, f"{name}_backward")(dout, x, axis)
        expect.close(dx, want, f"{name}_backward with axis={axis} of (2, 3, 1, 4)")


@pytest.mark.task("activations", weight=4)
@pytest.mark.parametrize("name", ALONG_AN_AXIS)
def test_gradients_at_extremes_along_an_axis(student, reference, rng, name):
    """The gradient must be right, and never nan or inf, for very large and very small entries too; if
    the axis is left out, it is the last.
    """
    dout = rng.normal(size=getattr(reference, name)(_rows_far_apart()).shape)

    dx = getattr(student, f"{name}_backward")(dout, _rows_far_apart())

    want = getattr(reference, f"{name}_backward")(dout, _rows_far_apart())
    expect.close(dx, want, f"{name}_backward of large numbers")


@pytest.mark.task("activations")
@pytest.mark.parametrize("name", ENTRYWISE + ALONG_AN_AXIS)
def test_one_row_alone_and_one_class_alone(student, reference, rng, name):
    """x may have any shape with one axis or more: also a single axis, and also axes of length one."""
    for x in (rng.normal(size=5), rng.normal(size=(3, 1)), rng.normal(size=(1, 4)), rng.normal(size=1)):
        dout = np.asarray(rng.normal(size=np.shape(getattr(reference, name)(x))))

        out = getattr(student, name)(x)
        dx = getattr(student, f"{name}_backward")(dout, x)

        expect.close(out, getattr(reference, name)(x), f"{name} of shape {x.shape}", **_tolerance(name))
        want = getattr(reference, f"{name}_backward")(dout, x)
        expect.close(dx, want, f"{name}_backward of shape {x.shape}", **_tolerance(name))


@pytest.mark.task("activations", weight=3)
def test_the_slope_at_the_kink(student):
    """At x = 0 the slope of relu is 0, and that of leaky_relu is negative_slope."""
    dout, x = np.array([3.0, -2.0, 5.0]), np.array([0.0, 0.0, 1.0])

    expect.close(student.relu_backward(dout, x), np.array([0.0, 0.0, 5.0]), "relu_backward at zero")
    want = np.array([0.3, -0.2, 5.0])
    expect.close(student.leaky_relu_backward(dout, x, 0.1), want, "leaky_relu_backward at zero")


@pytest.mark.task("activations")
def test_the_slope_of_leaky_relu_is_an_argument(student, rng):
    """negative_slope is an argument of leaky_relu and leaky_relu_backward, and it scales the left side only."""
    x, dout, slope = _away_from_zero(rng, (5, 2)), rng.normal(size=(5, 2)), float(rng.uniform(0.1, 0.9))

    out = student.leaky_relu(x, negative_slope=slope)
    dx = student.leaky_relu_backward(dout, x, negative_slope=slope)

    expect.close(out, np.maximum(x, 0.0) + slope * np.minimum(x, 0.0), "leaky_relu")
    expect.close(dx, np.where(x > 0, 1.0, slope) * dout, "leaky_relu_backward")


@pytest.mark.task("activations")
@pytest.mark.parametrize("name", ENTRYWISE + ALONG_AN_AXIS)
def test_no_gradient_from_above_no_gradient_below(student, reference, rng, name):
    """A backward pass is a product with dout: where dout is zero everywhere, the result is zero."""
    x = rng.normal(size=(3, 4))
    dout = np.zeros_like(getattr(reference, name)(x))

    dx = getattr(student, f"{name}_backward")(dout, x)

    expect.close(dx, np.zeros((3, 4)), f"{name}_backward with dout = 0")


@pytest.mark.task("activations")
@pytest.mark.parametrize("name", ["sigmoid", "tanh"])
def test_s_curves_are_as_steep_at_minus_x_as_at_x(student, rng, name):
    """The slope of sigmoid and of tanh is the same at x and at -x, and dout is multiplied by it."""
    x, dout = rng.uniform(0.5, 3.0, size=6), rng.normal(size=6)
    backward = getattr(student, f"{name}_backward")

    expect.close(backward(dout, -x), backward(dout, x), f"{name}_backward at -x beside x")


@pytest.mark.task("activations")
@pytest.mark.parametrize("name", ["relu", "leaky_relu"])
def test_the_positive_side_is_a_line_of_slope_one(student, rng, name):
    """Where x is positive, the output is x and the gradient is dout, both in new arrays."""
    x, dout = rng.uniform(0.1, 3.0, size=(2, 5)), rng.normal(size=(2, 5))

    out = getattr(student, name)(x)
    dx = getattr(student, f"{name}_backward")(dout, x)

    expect.close(out, x, f"{name} of positive numbers")
    expect.no_alias(out, x, f"{name} of positive numbers")
    expect.close(dx, dout, f"{name}_backward at positive numbers")
    expect.no_alias(dx, dout, f"{name}_backward at positive numbers")


@pytest.mark.task("activations")
def test_gelu_is_near_its_curve(student, reference, rng):
    """gelu is x * Phi(x), with Phi(x) = (1 + erf(x / sqrt(2))) / 2: is each factor there?"""
    x = 3.0 * rng.normal(size=12)

    expect.close(student.gelu(x), reference.gelu(x), "gelu", rtol=0, atol=2e-3)


@pytest.mark.task("activations")
def test_gelu_of_x_and_of_minus_x_differ_by_x(student, rng):
    """Phi(x) and Phi(-x) add up to 1 in the exact form of gelu: what does that say of gelu(x) - gelu(-x)?"""
    x = 2.0 * rng.normal(size=12)

    expect.close(student.gelu(x) - student.gelu(-x), x, "gelu(x) - gelu(-x)", atol=3e-6)


@pytest.mark.task("activations")
def test_gelu_is_steeper_than_one_somewhere(student, reference):
    """The slope of x * Phi(x) has two terms, Phi(x) and x times the density: together they exceed 1 for some
    x.
    """
    x, ones = np.array([1.0, 1.4, 1.8]), np.ones(3)

    dx = student.gelu_backward(ones, x)

    expect.is_true(bool(np.all(dx > 1.0)), "gelu_backward: the slope at 1, 1.4 and 1.8 is not above 1")


@pytest.mark.task("activations")
def test_gelu_backward_is_near_its_curve(student, reference, rng):
    """The slope of x * Phi(x) is Phi(x) + x times the normal density: is each part there?"""
    x, ones = np.linspace(-3.0, 3.0, 25), np.ones(25)

    expect.close(student.gelu_backward(ones, x), reference.gelu_backward(ones, x), "gelu_backward", atol=0.03)


@pytest.mark.task("activations")
@pytest.mark.parametrize("name", ALONG_AN_AXIS)
def test_a_whole_array_may_be_moved(student, reference, rng, name):
    """A number added to all of x adds the same number to logsumexp and changes neither softmax nor
    log_softmax, however large it is.
    """
    x = rng.normal(size=(2, 4))
    for shift in (1000.0, -1000.0):
        out = getattr(student, name)(x + shift)

        expect.close(out, getattr(reference, name)(x + shift), f"{name} of x {shift:+.0f}")


@pytest.mark.task("activations")
def test_logsumexp_has_no_summed_axis(student, rng):
    """The result of logsumexp has the shape of x without the axis that was summed."""
    x = rng.normal(size=(2, 3, 4))

    expect.shape(student.logsumexp(x, 1), (2, 4), "logsumexp with axis=1 of (2, 3, 4)")
    expect.shape(student.logsumexp(x), (2, 3), "logsumexp of (2, 3, 4)")


@pytest.mark.task("activations")
def test_log_softmax_is_never_minus_infinity(student):
    """log_softmax is finite even where softmax itself rounds to zero."""
    expect.finite(student.log_softmax(_rows_far_apart()), "log_softmax of large numbers")


@pytest.mark.task("activations")
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_moving_all_logits_changes_nothing_so_the_gradient_adds_up_to_zero(student, rng, name):
    """A number added to a whole row does not change its softmax, so along the axis the gradient adds up to
    zero.
    """
    x, dout = rng.normal(size=(3, 5)), rng.normal(size=(3, 5))

    dx = getattr(student, f"{name}_backward")(dout, x)

    expect.shape(dx, (3, 5), f"{name}_backward")
    expect.close(dx.sum(axis=1), np.zeros(3), f"{name}_backward (sum along the axis)")


@pytest.mark.task("activations")
def test_a_logit_raises_its_own_probability(student, reference, rng):
    """dp_i / dx_i = p_i (1 - p_i): raising one logit raises its own probability by that slope."""
    x, dout = rng.normal(size=(1, 4)), np.array([[0.0, 0.0, 1.0, 0.0]])
    p = float(reference.softmax(x)[0, 2])

    dx = student.softmax_backward(dout, x)

    expect.shape(dx, (1, 4), "softmax_backward")
    expect.close(dx[0, 2], p * (1.0 - p), "softmax_backward (dp_2 / dx_2)")


@pytest.mark.task("activations")
@pytest.mark.parametrize("name", ALONG_AN_AXIS)
def test_the_gradient_of_a_single_row(student, reference, rng, name):
    """A batch of one row has the gradient of that row, and keeps its two axes."""
    x = rng.normal(size=(1, 4))
    dout = rng.normal(size=getattr(reference, name)(x).shape)

    dx = getattr(student, f"{name}_backward")(dout, x)

    expect.close(dx, getattr(reference, f"{name}_backward")(dout, x), f"{name}_backward of one row")


@pytest.mark.task("activations")
@pytest.mark.parametrize("name", ENTRYWISE + ALONG_AN_AXIS)
def test_inputs_stay_as_they_are(student, reference, rng, name):
    """x and dout stay as they are, also where entries are large or zero, and results are new arrays."""
    x = rng.normal(size=(3, 4))
    x[1] = (-1100.0, 0.0, 1100.0, -30.0)  # where somebody might clip, or cut off, in place
    dout = rng.normal(size=getattr(reference, name)(x).shape)
    x_before, dout_before = x.copy(), dout.copy()

    out = getattr(student, name)(x)
    dx = getattr(student, f"{name}_backward")(dout, x)

    expect.unchanged(x, x_before, f"{name} and {name}_backward (x)")
    expect.unchanged(dout, dout_before, f"{name}_backward (dout)")
    for result, given in ((out, x), (dx, x), (dx, dout)):
        expect.no_alias(result, given, name)


@pytest.mark.task("activations", weight=0.5)
@pytest.mark.parametrize("name", ENTRYWISE + ALONG_AN_AXIS)
def test_the_layout_in_memory_does_not_matter(student, reference, rng, name):
    """x may be any array: also a transposed one, or every second column of another."""
    wide = rng.normal(size=(4, 10))
    for x in (wide.T, wide[:, ::2], np.asfortranarray(wide)):
        dout = rng.normal(size=getattr(reference, name)(x).shape)

        out = getattr(student, name)(x)
        dx = getattr(student, f"{name}_backward")(dout, x)

        expect.close(out, getattr(reference, name)(x), name, **_tolerance(name))
        want = getattr(reference, f"{name}_backward")(dout, x)
        expect.close(dx, want, f"{name}_backward", **_tolerance(name))


@pytest.mark.task("activations", weight=0.5)
@pytest.mark.parametrize("name", ENTRYWISE + ALONG_AN_AXIS)
def test_a_backward_pass_needs_no_forward_pass_before_it(student, reference, rng, name):
    """Forward and backward each work on their own: all that a backward pass needs is in its arguments, and every
    result is a new array that no later call changes.
    """
    x, elsewhere = _away_from_zero(rng, (2, 6)), _away_from_zero(rng, (2, 6))
    dout = rng.normal(size=getattr(reference, name)(x).shape)
    early = getattr(student, name)(elsewhere)
    early_dx = getattr(student, f"{name}_backward")(dout, elsewhere)

    dx = getattr(student, f"{name}_backward")(dout, x)
    getattr(student, name)(x)

    backward = getattr(reference, f"{name}_backward")
    expect.close(dx, backward(dout, x), f"{name}_backward", **_tolerance(name))
    expect.close(early, getattr(reference, name)(elsewhere), f"{name}, after another call", **_tolerance(name))
    expect.close(early_dx, backward(dout, elsewhere), f"{name}_backward, after another call", **_tolerance(name))


@probe
def python_steps(student, name, arguments):
    function = getattr(student, name)
    function(*arguments)
    steps = 0

    def count(frame, event, argument):
        nonlocal steps
        steps += 1
        frame.f_trace_opcodes = True
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        function(*arguments)
    finally:
        sys.settrace(before)
    return steps


@pytest.mark.task("activations")
@pytest.mark.parametrize("name", ENTRYWISE + ALONG_AN_AXIS)
def test_a_large_array_takes_no_more_python_steps_than_a_small_one(student, reference, rng, name):
    """Work on whole arrays: the number of Python steps must not grow with the size of x, so no loop over
    entries or rows, and none along the axis.
    """
    arrays = rng.normal(size=(20, 3)), rng.normal(size=(3000, 3)), rng.normal(size=(3, 1000))
    inputs = [(np.ones_like(getattr(reference, name)(x)), x) for x in arrays]

    forward = [python_steps(student, name, [x]) for x in arrays]
    back = [python_steps(student, f"{name}_backward", [dout, x]) for dout, x in inputs]

    for what, (few, *many) in ((name, forward), (f"{name}_backward", back)):
        sentence = f"{what}: it loops over the array in Python; use whole-array operations"
        expect.is_true(max(many) < few + 2000, sentence)


# --- 1.3 linear_forward


def _weighted_sums(x, W, b):
    """Every output written as the sum that it is."""
    rows = [np.ravel(sample, order="C") for sample in x]
    return np.array([[math.fsum(row * W[k]) + b[k] for k in range(len(b))] for row in rows])


@pytest.mark.task("linear_forward")
def test_a_layer_wider_than_its_input(student, rng):
    """W is (out, D), one row a neuron: each output is the sum of a sample times a row of W, plus that
    neuron's bias.
    """
    x, W, b = rng.normal(size=(4, 3)), rng.normal(size=(5, 3)), rng.normal(size=5)

    expect.close(student.linear_forward(x, W, b), _weighted_sums(x, W, b), "linear_forward")


@pytest.mark.task("linear_forward")
def test_a_square_weight_hides_no_transposition(student, rng):
    """W is (out, D), one row a neuron: where all sizes are equal, a wrong order of the product still has a
    fitting shape.
    """
    x, W, b = rng.normal(size=(3, 3)), rng.normal(size=(3, 3)), rng.normal(size=3)

    expect.close(student.linear_forward(x, W, b), _weighted_sums(x, W, b), "linear_forward")


@pytest.mark.task("linear_forward")
def test_further_axes_are_flattened_in_c_order(student, rng):
    """A sample with several axes is flattened to D numbers in C order, the last axis fastest."""
    for shape in ((2, 3, 4), (3, 2, 2, 5), (2, 1, 4), (3, 4, 1), (2, 2, 3, 1, 2)):
        x = rng.normal(size=shape)
        W, b = rng.normal(size=(6, x[0].size)), rng.normal(size=6)

        expect.close(student.linear_forward(x, W, b), _weighted_sums(x, W, b), f"linear_forward of {shape}")


@pytest.mark.task("linear_forward")
def test_flattening_does_not_depend_on_the_layout_in_memory(student, rng):
    """Samples are flattened in C order by their indices, however the array lies in memory."""
    x = rng.normal(size=(4, 3, 2))
    W, b = rng.normal(size=(5, 6)), rng.normal(size=5)
    turned, every_second = rng.normal(size=(2, 4, 3)).transpose(1, 2, 0), rng.normal(size=(8, 3, 2))[::2]
    for batch in (np.asfortranarray(x), turned, every_second):
        expect.close(student.linear_forward(batch, W, b), _weighted_sums(batch, W, b), "linear_forward")


@pytest.mark.task("linear_forward")
def test_one_sample_one_neuron(student, rng):
    """The result is (N, out): one sample, or one neuron, keeps its axis of length one."""
    x, W, b = rng.normal(size=(1, 2, 3)), rng.normal(size=(1, 6)), rng.normal(size=1)

    expect.close(student.linear_forward(x, W, b), _weighted_sums(x, W, b), "linear_forward")


@pytest.mark.task("linear_forward")
def test_a_bias_makes_a_difference(student, rng):
    """Each neuron adds its own bias to its weighted sum, and the result is (N, out)."""
    x, W, b = rng.normal(size=(3, 2)), rng.normal(size=(4, 2)), rng.uniform(1.0, 2.0, size=4)

    with_bias, without = student.linear_forward(x, W, b), student.linear_forward(x, W, np.zeros(4))

    expect.shape(with_bias, (3, 4), "linear_forward")
    expect.close(without, _weighted_sums(x, W, np.zeros(4)), "linear_forward with a zero bias")
    expect.is_true(bool(np.all(with_bias != without)), "linear_forward: b changes nothing; add it")


@pytest.mark.task("linear_forward")
def test_a_layer_changes_none_of_its_arguments(student, rng):
    """x, W and b keep their values and shapes, and the result is a new array."""
    x, W, b = rng.normal(size=(4, 2, 3)), rng.normal(size=(4, 6)), rng.normal(size=4)
    before = [array.copy() for array in (x, W, b)]

    first = student.linear_forward(x, W, b)
    second = student.linear_forward(x, W, b)

    for now, was, name in zip((x, W, b), before, ("x", "W", "b"), strict=True):
        expect.unchanged(now, was, f"linear_forward ({name})")
        expect.no_alias(first, now, "linear_forward")
    expect.close(second, first, "linear_forward, called twice")


# --- 1.4 mlp_forward


def _random_params(rng, sizes):
    return [(rng.normal(size=(out, n)), rng.normal(size=out)) for n, out in pairwise(sizes)]


def _relu(z):
    return np.maximum(z, 0.0)


def _tanh(z):
    return np.tanh(z)


def _square(z):
    return z * z


def _network(x, params, activation):
    """Every value of a network, by the names that the cache has."""
    steps = {"a0": x}
    for k, (W, b) in enumerate(params, start=1):
        steps[f"z{k}"] = np.einsum("ni,oi->no", steps[f"a{k - 1}"], W) + b
        if k < len(params):
            steps[f"a{k}"] = activation(steps[f"z{k}"])
    return steps


@pytest.mark.task("mlp_forward")
def test_three_layers_apply_the_activation_twice(student, rng):
    """Every layer but the last applies the given activation; the last one gives the logits as they are."""
    x, params = rng.normal(size=(5, 3)), _random_params(rng, [3, 6, 4, 2])
    for activation in (_tanh, _relu, _square):
        want = _network(x, params, activation)["z3"]

        expect.close(student.mlp_forward(x, params, activation), want, "mlp_forward", rtol=1e-9)


@pytest.mark.task("mlp_forward")
def test_equal_widths_hide_no_transposition(student, rng):
    """z_l = a_(l-1) @ W_l.T + b_l, from the first pair of params to the last: equal widths do not show a
    wrong order.
    """
    x, params = rng.normal(size=(4, 4)), _random_params(rng, [4, 4, 4, 4])

    expect.close(student.mlp_forward(x, params, _tanh), _network(x, params, _tanh)["z3"], "mlp_forward")


@pytest.mark.task("mlp_forward")
@pytest.mark.parametrize("sizes", [[3, 5, 2], [2, 3, 4, 5, 3]])
@pytest.mark.parametrize("letter", ["a0", "z", "a"])
def test_every_step_is_in_the_cache(student, rng, sizes, letter):
    """The cache holds a0, and for every layer z before the activation and a after it, up to the logits; the
    docstring lists the keys.
    """
    x, params = rng.normal(size=(4, sizes[0])), _random_params(rng, sizes)
    steps = _network(x, params, _relu)

    logits, cache = student.mlp_forward(x, params, _relu, return_cache=True)

    expect.close(logits, steps[f"z{len(params)}"], "mlp_forward (logits)")
    for key in [key for key in steps if key == letter or (key.startswith(letter) and key != "a0")]:
        expect.is_true(key in cache, f"mlp_forward: the cache has no key {key!r}")
        expect.close(cache[key], steps[key], f"mlp_forward (cache[{key!r}])")


@pytest.mark.task("mlp_forward")
def test_one_layer_has_no_activation(student, rng):
    """With a single pair (W, b) there is no activation at all, and the cache holds a0 and z1."""
    x, params = rng.normal(size=(3, 4)), _random_params(rng, [4, 2])

    logits, cache = student.mlp_forward(x, params, _square, return_cache=True)

    want = _network(x, params, _square)
    expect.close(logits, want["z1"], "mlp_forward with one layer")
    expect.is_true("a0" in cache and "z1" in cache, "mlp_forward with one layer: no 'a0' or no 'z1'")
    expect.close(cache["a0"], x, "mlp_forward with one layer (cache['a0'])")
    expect.close(cache["z1"], want["z1"], "mlp_forward with one layer (cache['z1'])")
    expect.close(student.mlp_forward(x, params, _square), want["z1"], "mlp_forward with one layer")


@pytest.mark.task("mlp_forward")
def test_one_sample_gets_the_answer_that_it_gets_in_a_batch(student, rng):
    """The logits are (N, C), and each sample's logits do not depend on the other samples."""
    x, params = rng.normal(size=(6, 3)), _random_params(rng, [3, 4, 2])
    want = _network(x, params, _tanh)["z2"]
    for n in (0, 5):
        logits = student.mlp_forward(x[n : n + 1], params, _tanh)

        expect.close(logits, want[n : n + 1], "mlp_forward of one sample")


@probe
def cache_before_and_after_another_call(student, x, other, params, activation):
    _, cache = student.mlp_forward(x, params, activation, return_cache=True)
    before = {key: cache[key].copy() for key in ("a0", "z1", "a1", "z2")}
    student.mlp_forward(other, params, activation, return_cache=True)
    return before, {key: cache[key] for key in before}


@pytest.mark.task("mlp_forward")
def test_a_cache_is_not_overwritten_by_the_next_call(student, rng):
    """The cache is a new dict of arrays in every call: a later call must not change an earlier cache."""
    x, other, params = rng.normal(size=(4, 3)), rng.normal(size=(4, 3)), _random_params(rng, [3, 5, 2])

    before, after = cache_before_and_after_another_call(student, x, other, params, _tanh)

    expect.close(before["z2"], _network(x, params, _tanh)["z2"], "mlp_forward (cache['z2'])")
    for key, values in before.items():
        expect.close(after[key], values, f"mlp_forward (cache[{key!r}], after another call)")


@pytest.mark.task("mlp_forward")
def test_a_forward_pass_changes_neither_samples_nor_parameters(student, rng):
    """mlp_forward only reads x and params, so a second call gives the same logits."""
    x, params = rng.normal(size=(3, 4)), _random_params(rng, [4, 4, 4])
    x_before, params_before = x.copy(), [(W.copy(), b.copy()) for W, b in params]

    student.mlp_forward(x, params, _relu)
    logits, _ = student.mlp_forward(x, params, _relu, return_cache=True)

    expect.unchanged(x, x_before, "mlp_forward (x)")
    expect.unchanged(params, params_before, "mlp_forward (params)")
    expect.close(logits, _network(x, params, _relu)["z2"], "mlp_forward, called twice")


# --- 1.5 init_params


def _expect_variance(W, shape, variance, what):
    """Within five standard deviations of the variance of a normal sample; a uniform one varies less."""
    expect.shape(W, shape, f"{what} (shape of W)")
    expect.finite(W, f"{what} (W)")
    margin = 5.0 * math.sqrt(2.0 / W.size)
    share = float(W.var()) / variance
    expect.between(share, 1.0 - margin, 1.0 + margin, f"{what} (variance, in units of the one wanted)")


@pytest.mark.task("init_params", weight=10)
def test_he_has_variance_two_over_fan_in(student, rng):
    """The scheme "he" asks for the variance 2 / fan_in, and fan_in is the layer's own number of inputs; a
    variance is the square of a standard deviation.
    """
    params = student.init_params([400, 800, 300], "he", rng)

    _expect_variance(params[0][0], (800, 400), 2.0 / 400, "init_params 'he', 400 to 800")
    _expect_variance(params[1][0], (300, 800), 2.0 / 800, "init_params 'he', 800 to 300")


@pytest.mark.task("init_params", weight=10)
def test_xavier_looks_both_ways(student, rng):
    """The scheme "xavier" asks for the variance 2 / (fan_in + fan_out), with the layer's own numbers of
    inputs and outputs.
    """
    params = student.init_params([900, 300, 1000], "xavier", rng)

    _expect_variance(params[0][0], (300, 900), 2.0 / 1200, "init_params 'xavier', 900 to 300")
    _expect_variance(params[1][0], (1000, 300), 2.0 / 1300, "init_params 'xavier', 300 to 1000")


@pytest.mark.task("init_params")
@pytest.mark.parametrize("scheme", ["xavier", "he"])
def test_a_layer_as_wide_as_its_input(student, rng, scheme):
    """The entries of W are independent draws, and have exactly the variance that the scheme asks for, also where
    fan_in equals fan_out.
    """
    W = student.init_params([500, 500], scheme, rng)[0][0]

    variance = 2.0 / 1000 if scheme == "xavier" else 2.0 / 500
    _expect_variance(W, (500, 500), variance, f"init_params {scheme!r}, 500 to 500")
    products = (W @ W.T)[np.triu_indices(500, 1)] / variance  # of independent rows: mean square 500
    share = float(np.mean(products**2)) / 500
    expect.between(share, 0.9, 1.1, f"init_params {scheme!r} (mean square of products of two rows, 1 for free draws)")


@pytest.mark.task("init_params", weight=0.5)
def test_every_layer_has_arrays_of_its_own(student, rng):
    """Results are new arrays: no two W or b share their numbers, whatever the scheme, in one call or in two."""
    for scheme in ("xavier", "he", "zeros"):
        params = [*student.init_params([4, 4, 4], scheme, rng), *student.init_params([4, 4, 4], scheme, rng)]

        for W, b in params:
            expect.shape(W, (4, 4), f"init_params {scheme!r} (W)")
            expect.shape(b, (4,), f"init_params {scheme!r} (b)")
        arrays = [array for pair in params for array in pair]
        is_shared = any(np.shares_memory(a, b) for k, a in enumerate(arrays) for b in arrays[:k])
        sentence = f"init_params {scheme!r}: two of the arrays are the same in memory; make a new one for each"
        expect.is_true(not is_shared, sentence)


@pytest.mark.task("init_params")
@pytest.mark.parametrize("scheme", ["xavier", "he"])
def test_weights_have_mean_zero(student, rng, scheme):
    """The entries of a W have mean zero: about half of them are negative."""
    W, _ = student.init_params([300, 200], scheme, rng)[0]

    expect.finite(W, f"init_params {scheme!r} (W)")
    error = float(W.std()) / math.sqrt(W.size)
    expect.between(float(W.mean()), -5 * error, 5 * error, f"init_params {scheme!r} (mean of W)")


@pytest.mark.task("init_params")
def test_zeros_are_zeros(student, rng):
    """With "zeros" every weight and every bias is zero, in W (out, in) and b (out,) of every layer."""
    params = student.init_params((3, 5, 2), "zeros", rng)

    expect.is_true(len(params) == 2, f"init_params: {len(params)} layers for sizes (3, 5, 2), expected 2")
    for (W, b), fans in zip(params, [(5, 3), (2, 5)], strict=True):
        expect.close(W, np.zeros(fans), "init_params 'zeros' (W)")
        expect.close(b, np.zeros(fans[0]), "init_params 'zeros' (b)")


@pytest.mark.task("init_params")
def test_every_bias_is_zero(student, rng):
    """Every b is (out,) float64 zeros, and every W is float64."""
    for scheme in ("xavier", "he"):
        for k, (W, b) in enumerate(student.init_params((6, 5, 4, 3), scheme, rng)):
            expect.dtype(W, np.float64, f"init_params {scheme!r} (W of layer {k + 1})")
            what = f"init_params {scheme!r} (b of layer {k + 1})"
            expect.close(b, np.zeros(5 - k), what, rtol=0, atol=0, dtype=np.float64)


@pytest.mark.task("init_params", weight=9)
def test_no_two_units_and_no_two_layers_start_alike(student, rng):
    """The entries of all W are independent draws: no number comes twice, and a second call draws other ones."""
    for scheme in ("xavier", "he"):
        params = student.init_params([4, 4, 4], scheme, rng)
        more = student.init_params([4, 4, 4], scheme, rng)

        weights = np.concatenate([W.ravel() for W, _ in [*params, *more]])
        twice = weights.size - np.unique(weights).size
        expect.is_true(twice == 0, f"init_params {scheme!r}: {twice} of the weights of two calls are repeated")


@probe
def weights_and_global_state(student, sizes, scheme, numpy_seed):
    np.random.seed(numpy_seed)
    before = np.random.get_state()
    params = student.init_params(sizes, scheme, np.random.default_rng(77))
    after = np.random.get_state()
    untouched = bool(np.array_equal(before[1], after[1])) and before[2:] == after[2:]
    return [W for W, b in params], untouched


@pytest.mark.task("init_params", weight=8)
def test_the_generator_is_the_only_source_of_chance(student):
    """rng is the only source of random numbers: the same state of rng gives the same weights, and NumPy's
    global generator is not touched.
    """
    for scheme in ("xavier", "he"):
        first, untouched = weights_and_global_state(student, [5, 4, 3], scheme, 1)
        again, _ = weights_and_global_state(student, [5, 4, 3], scheme, 2)

        expect.is_true(untouched, "init_params: it moved NumPy's global random state; draw from rng")
        for W, W_again in zip(first, again, strict=True):
            expect.close(W_again, W, "init_params (W, from the same state of rng)", rtol=0, atol=0)


@pytest.mark.task("init_params")
def test_unknown_schemes_are_refused_and_sizes_left_alone(student, rng):
    """A scheme that is none of the three, spelled exactly so, raises ValueError; sizes is only read."""
    sizes = [3, 4, 2]
    for scheme in ("orthogonal", "Xavier", ""):
        with expect.refused(ValueError, f"init_params with the scheme {scheme!r}"):
            student.init_params(sizes, scheme, rng)

    student.init_params(sizes, "he", rng)
    student.count_parameters(sizes)

    expect.equal(sizes, [3, 4, 2], "init_params and count_parameters (sizes afterwards)")


@pytest.mark.task("init_params", weight=2)
def test_count_parameters_of_layers_of_one_width(student):
    """Each layer has a weight for every pair of its inputs and outputs, and a bias for every output."""
    expect.close(student.count_parameters([4, 4, 4]), 40, "count_parameters([4, 4, 4])")


@pytest.mark.task("init_params", weight=2)
def test_count_parameters_of_a_single_neuron(student):
    """Each layer has a weight for every pair of its inputs and outputs, and a bias for every output, even if
    it is a single neuron.
    """
    expect.close(student.count_parameters([7, 1]), 8, "count_parameters([7, 1])")


@pytest.mark.task("init_params", weight=2)
def test_count_parameters_for_any_number_of_layers(student, rng):
    """Add up, over all layers, a weight for every pair of inputs and outputs and a bias for every output."""
    for n_layers in (1, 2, 3, 5):
        sizes = [int(size) for size in rng.integers(2, 40, size=n_layers + 1)]
        want = sum(sizes[k] * sizes[k + 1] + sizes[k + 1] for k in range(n_layers))

        expect.close(student.count_parameters(sizes), want, f"count_parameters({sizes})")
    expect.close(student.count_parameters([784, 128, 10]), 101_770, "count_parameters([784, 128, 10])")


# --- 1.6 xor_weights


def _fires(weights, x):
    """Run the network of the docstring on one input; return the output unit's 0 or 1."""
    W1, b1, W2, b2 = weights
    for array, name, axes in ((W1, "W1", 2), (b1, "b1", 1), (W2, "W2", 2), (b2, "b2", 1)):
        expect.finite(array, f"xor_weights ({name})")
        expect.is_true(array.ndim == axes, f"xor_weights ({name}): {array.ndim} axes, expected {axes}")
    h = (x @ W1.T + b1 >= 0).astype(float)
    y = (h @ W2.T + b2 >= 0).astype(float)
    expect.shape(y, (1,), "xor_weights (output of the network for one input)")
    return int(y[0])


@pytest.mark.task("xor_weights", weight=5)
def test_the_network_computes_xor(student):
    """The network must fire for exactly one input that is on, with step(0) = 1 in both layers: follow all
    four inputs on paper.
    """
    weights = student.xor_weights()

    answers = [_fires(weights, x) for x in _xor_inputs()]

    expect.equal(answers, [0, 1, 1, 0], "xor_weights (the network on (0,0), (0,1), (1,0), (1,1))")


@pytest.mark.task("xor_weights")
@pytest.mark.parametrize(("first", "second"), [(0, 0), (1, 0), (1, 1)])
def test_the_network_answers_one_input(student, first, second):
    """Follow each input through both layers on paper; a sum of exactly zero fires."""
    answer = _fires(student.xor_weights(), np.array([float(first), float(second)]))

    expect.equal(answer, first ^ second, f"xor_weights (the network on ({first},{second}))")


# --- 1.7 activation_report


@pytest.mark.task("activation_report")
@pytest.mark.parametrize("name", ENTRYWISE)
def test_the_reported_range_is_the_range(student, reference, name):
    """The range is the pair of the greatest lower and the least upper bound of the outputs, -np.inf or
    np.inf where there is none: draw the curve.
    """
    values = getattr(reference, name)(np.append(np.linspace(-8.0, 8.0, 3201), [-1e6, 1e6]))
    low = -np.inf if values.min() < -100 else float(values.min())
    high = np.inf if values.max() > 100 else float(values.max())

    got_low, got_high = student.activation_report(name)["range"]

    for got, want, end in ((got_low, low, "lower"), (got_high, high, "upper")):
        expect.close(got, want, f"activation_report({name!r}) ({end} end of the range)", rtol=0, atol=0.0015)


@pytest.mark.task("activation_report")
@pytest.mark.parametrize("name", ENTRYWISE)
def test_zero_centered_means_odd(student, reference, name):
    """zero_centered is True only if f(-x) = -f(x) for all x."""
    x = np.linspace(-8.0, 8.0, 161)
    is_odd = bool(np.allclose(getattr(reference, name)(-x), -getattr(reference, name)(x)))

    report = student.activation_report(name)

    expect.equal(report["zero_centered"], is_odd, f"activation_report({name!r}) (zero_centered)")


@pytest.mark.task("activation_report")
@pytest.mark.parametrize("name", ENTRYWISE)
def test_saturates_means_flat_on_both_sides(student, reference, name):
    """saturates is True only if the slope goes to zero on both sides, far to the left and far to the right."""
    slopes = getattr(reference, f"{name}_backward")(np.ones(2), np.array([-60.0, 60.0]))
    is_flat = bool(np.all(np.abs(slopes) < 1e-9))

    report = student.activation_report(name)

    expect.equal(report["saturates"], is_flat, f"activation_report({name!r}) (saturates)")


@pytest.mark.task("activation_report")
def test_there_is_no_report_of_an_unknown_activation(student):
    """A name that is none of the five, spelled exactly so, raises ValueError."""
    for name in ("softplus", "softmax", "linear", "ReLU", " tanh", ""):
        with expect.refused(ValueError, f"activation_report({name!r})"):
            student.activation_report(name)


@pytest.mark.task("activation_report", weight=2)
def test_sigmoid_is_stuck_at_zero_and_at_one(student):
    """An entry is stuck if it lies less than margin (0.01 if left out) from one of the two limits that are
    given.
    """
    a = np.array([0.009, 0.5, 0.011, 0.991, 0.999, 0.989, 1e-9, 0.9])

    expect.close(student.saturation_fraction(a, (0.0, 1.0)), 0.5, "saturation_fraction with limits (0, 1)")


@pytest.mark.task("activation_report", weight=2)
def test_relu_is_stuck_at_zero_only(student):
    """A limit of -np.inf or np.inf is never near: only the other limit counts, within the margin that is given."""
    a = np.array([[0.0, 5.0, 0.004], [1e6, 0.5, 0.0], [3.0, 0.02, 2.0], [1.0, 1.0, 0.99]])

    share = student.saturation_fraction(a, (0.0, np.inf))

    expect.close(share, 0.25, "saturation_fraction with limits (0, inf)")
    share = student.saturation_fraction(-a, (-np.inf, 0.0))
    expect.close(share, 0.25, "saturation_fraction with limits (-inf, 0)")
    share = student.saturation_fraction(a, (0.0, np.inf), 0.05)
    expect.close(share, 1 / 3, "saturation_fraction with limits (0, inf) and margin 0.05")
    expect.close(student.saturation_fraction(a, (-np.inf, np.inf)), 0, "saturation_fraction without limits")


@pytest.mark.task("activation_report")
def test_the_share_of_stuck_units_on_random_activations(student, rng):
    """Both limits, all entries of an array of any shape, and any margin count, an entry that is near both limits
    once; a stays as it is.
    """
    a = np.tanh(2.0 * rng.normal(size=(6, 5, 4)))
    a_before = a.copy()
    for margin in (0.01, 0.15, 0.4, 1.2):
        want = sum(1 for v in a.ravel() if v < -1 + margin or v > 1 - margin) / a.size

        share = student.saturation_fraction(a, margin=margin)
        expect.close(share, want, f"saturation_fraction with margin {margin}")
    expect.unchanged(a, a_before, "saturation_fraction (a)")


@pytest.mark.task("activation_report")
def test_a_share_lies_between_zero_and_one(student, rng):
    """saturation_fraction returns a share, a number from 0 to 1: divide by the number of all entries."""
    share = student.saturation_fraction(np.tanh(5.0 * rng.normal(size=(20, 3))))

    expect.between(share, 0, 1, "saturation_fraction")


@pytest.mark.task("activation_report")
def test_all_stuck_and_none_stuck(student):
    """The share is 1 where every entry is stuck, and 0 where none is."""
    expect.close(student.saturation_fraction(np.array([[1.0, -1.0]])), 1, "saturation_fraction (all stuck)")
    expect.close(student.saturation_fraction(np.array([0.1, -0.3])), 0, "saturation_fraction (none stuck)")


# --- 1.8 predict


def _shares(logits):
    """Softmax over the last axis."""
    exp = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exp / exp.sum(axis=-1, keepdims=True)


@pytest.mark.task("predict", weight=4)
def test_probabilities_of_a_network(student, rng):
    """The probabilities are the softmax, over the classes, of the logits of mlp_forward with the given
    activation.
    """
    X, params = rng.normal(size=(6, 3)), _random_params(rng, [3, 5, 4])

    p = student.predict_proba(X, params, _tanh)

    expect.close(p, _shares(_network(X, params, _tanh)["z2"]), "predict_proba")


@pytest.mark.task("predict")
def test_probabilities_of_a_sample_add_up_to_one(student, rng):
    """predict_proba gives (N, C): every row is positive and adds up to 1."""
    X, params = rng.normal(size=(5, 3)), _random_params(rng, [3, 5, 4])

    p = student.predict_proba(X, params, _tanh)

    expect.shape(p, (5, 4), "predict_proba")
    expect.is_true(bool(np.all(p >= 0)), "predict_proba: a probability is negative")
    expect.close(p.sum(axis=1), np.ones(5), "predict_proba (sum of each row)")


@pytest.mark.task("predict")
def test_relu_is_the_activation_unless_another_is_given(student, rng):
    """If it is left out, the activation of the hidden layers is relu, in predict_proba and in predict."""
    X, params = rng.normal(size=(30, 3)), _random_params(rng, [3, 6, 4])
    want = _shares(_network(X, params, _relu)["z2"])

    expect.close(student.predict_proba(X, params), want, "predict_proba")
    expect.equal(student.predict(X, params), want.argmax(axis=1), "predict")


@pytest.mark.task("predict", weight=3)
def test_predict_uses_the_activation_that_it_is_given(student, rng):
    """predict uses the activation that it is given, as predict_proba does, and returns (N,) classes."""
    X, params = rng.normal(size=(60, 3)), _random_params(rng, [3, 6, 5])

    classes = student.predict(X, params, _square)

    expect.equal(classes, _network(X, params, _square)["z2"].argmax(axis=1), "predict")


@pytest.mark.task("predict")
def test_any_number_of_classes(student, rng):
    """The softmax runs over the classes, however many there are, even if there is only one; predict returns
    integers from 0 to C - 1.
    """
    for C in (1, 2, 7):
        X, params = rng.normal(size=(5, 3)), _random_params(rng, [3, 4, C])
        want = _shares(_network(X, params, _tanh)[f"z{len(params)}"])

        expect.close(student.predict_proba(X, params, _tanh), want, f"predict_proba of {C} classes")
        expect.equal(student.predict(X, params, _tanh), want.argmax(axis=1), f"predict of {C} classes")
    for C, classes in ((300, [299, 130, 0]), (2, [0, 1, 0])):
        logits = 5.0 * np.eye(C)[classes]
        logits[-1] = 0.0  # a tie: the smallest number wins

        got = student.predict(logits, [(np.eye(C), np.zeros(C))])

        expect.equal(got, np.array(classes), f"predict of {C} classes")


@pytest.mark.task("predict")
def test_large_logits_are_certain_not_nan(student):
    """Large logits give probabilities of one and zero, never nan: the softmax must not overflow."""
    params = [(1000.0 * np.eye(3), np.zeros(3))]
    X = np.array([[1.0, -1.0, 0.0], [-1.0, 0.0, 1.0]])

    expect.close(student.predict_proba(X, params), np.array([[1.0, 0, 0], [0, 0, 1.0]]), "predict_proba")
    expect.equal(student.predict(X, params), np.array([0, 2]), "predict")


@pytest.mark.task("predict", weight=4)
def test_a_row_of_small_logits_beside_a_row_of_large_ones(student):
    """Every row depends on its own sample only: take each row's own maximum out in the softmax, not that of
    all rows.
    """
    logits = np.array([[1000.0, 999.0, 998.0], [-1000.0, -998.0, -999.0], [0.5, 0.0, -0.5]])

    p = student.predict_proba(logits, [(np.eye(3), np.zeros(3))])

    expect.close(p, _shares(logits), "predict_proba")


@pytest.mark.task("predict")
def test_the_smallest_lead_decides(student, rng):
    """The most probable class wins, by however little; of equally probable classes the one with the smallest
    number.
    """
    X = 2.0 + 1e-6 * rng.normal(size=(30, 4))

    classes = student.predict(X, [(np.eye(4), np.zeros(4))])

    expect.equal(classes, X.argmax(axis=1), "predict of logits that hardly differ")
    ties = student.predict(np.zeros((30, 4)), [(np.eye(4), np.zeros(4))])
    expect.equal(ties, np.zeros(30, dtype=int), "predict of logits that are all equal")


@pytest.mark.task("predict")
def test_a_sample_alone_gets_the_same_probabilities(student, rng):
    """Every row of predict_proba is (C,) long and depends on its own sample only, not on the others in the
    batch.
    """
    X, params = rng.normal(size=(7, 3)), _random_params(rng, [3, 4, 4])
    together = student.predict_proba(X, params, _tanh)
    expect.shape(together, (7, 4), "predict_proba")
    for n in (0, 3):
        alone = student.predict_proba(X[n : n + 1], params, _tanh)

        expect.close(alone, together[n : n + 1], "predict_proba of one sample, beside the same in a batch")


@pytest.mark.task("predict")
def test_one_sample_gets_one_class(student, rng):
    """predict returns an array (N,), also for a batch of one sample."""
    X, params = rng.normal(size=(7, 3)), _random_params(rng, [3, 4, 4])
    want = _network(X, params, _tanh)["z2"].argmax(axis=1)
    for n in (0, 3):
        expect.equal(student.predict(X[n : n + 1], params, _tanh), want[n : n + 1], "predict of one sample")


@pytest.mark.task("predict")
def test_classes_are_whole_numbers_below_the_number_of_classes(student, rng):
    """predict returns (N,) integers from 0 to C - 1, not probabilities."""
    X, params = rng.normal(size=(4, 3)), _random_params(rng, [3, 5, 4])

    classes = student.predict(X, params, _tanh)

    expect.shape(classes, (4,), "predict")
    expect.is_true(classes.dtype.kind in "iu", f"predict: entries of type {classes.dtype}, expected integers")
    expect.is_true(bool(np.all((classes >= 0) & (classes < 4))), "predict: a class is not one of 0, 1, 2, 3")


@pytest.mark.task("predict")
def test_measuring_changes_nothing(student, rng):
    """accuracy is the share of equal entries, and it leaves both arrays as they are."""
    predicted, labels = rng.integers(0, 3, size=20), rng.integers(0, 3, size=20)
    predicted_before, labels_before = predicted.copy(), labels.copy()
    want = float(np.mean(predicted == labels))

    first, second = student.accuracy(predicted, labels), student.accuracy(predicted, labels)

    expect.close(first, want, "accuracy")
    expect.close(second, want, "accuracy, called again")
    expect.unchanged(predicted, predicted_before, "accuracy (predicted)")
    expect.unchanged(labels, labels_before, "accuracy (labels)")


@pytest.mark.task("predict")
def test_predicting_changes_nothing(student, rng):
    """predict_proba and predict only read X and params."""
    X, params = rng.normal(size=(4, 3)), _random_params(rng, [3, 3, 3])
    X_before, params_before = X.copy(), [(W.copy(), b.copy()) for W, b in params]

    student.predict_proba(X, params, _relu)
    student.predict(X, params, _relu)

    expect.unchanged(X, X_before, "predict (X)")
    expect.unchanged(params, params_before, "predict (params)")


@pytest.mark.task("predict")
def test_accuracy_counts_equal_classes(student, rng):
    """accuracy is the share of predictions that equal their label; how far a wrong class is from the right
    one does not matter.
    """
    labels = rng.integers(0, 5, size=37)
    predicted = np.where(rng.random(37) < 0.4, (labels + rng.integers(1, 5, size=37)) % 5, labels)
    right = sum(1 for p, t in zip(predicted, labels, strict=True) if p == t)

    expect.close(student.accuracy(predicted, labels), right / 37, "accuracy")
    expect.close(student.accuracy(labels, labels), 1, "accuracy (all right)")
    expect.close(student.accuracy(labels + 1, labels), 0, "accuracy (all wrong)")
    share = student.accuracy(np.array([250, 1000, 7]), np.array([250, 999, 7]))
    expect.close(share, 2 / 3, "accuracy of classes with large numbers")


@pytest.mark.task("predict")
def test_accuracy_of_one_sample_that_is_right(student):
    """accuracy is the share of predictions that equal their label, also of a single one."""
    expect.close(student.accuracy(np.array([3]), np.array([3])), 1, "accuracy (one sample)")


@pytest.mark.task("predict")
def test_accuracy_lies_between_zero_and_one(student, rng):
    """accuracy returns a share, a number from 0 to 1."""
    share = student.accuracy(rng.integers(0, 3, size=50), rng.integers(0, 3, size=50))

    expect.between(share, 0, 1, "accuracy")


@pytest.mark.task("predict", weight=2)
def test_accuracy_refuses_shapes_that_differ(student):
    """accuracy raises ValueError where the shapes differ, since (N, 1) beside (N,) would broadcast to (N,
    N).
    """
    labels = np.array([0, 1, 1])
    for predicted in (labels[:, None], labels[None, :], labels[:1]):
        with expect.refused(ValueError, f"accuracy of shapes {predicted.shape} and {labels.shape}"):
            student.accuracy(predicted, labels)
