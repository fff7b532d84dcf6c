"""Public tests: small numbers that you can follow on paper."""

import math

import numpy as np
import pytest

from autograder import expect

LN2, LN3 = math.log(2.0), math.log(3.0)


def _numbers(got):
    """True and False as 1 and 0; everything else as it is."""
    return got * 1 if isinstance(got, (bool, np.bool_, np.ndarray)) else got


def _corners():
    """The four inputs of a gate: (0,0), (0,1), (1,0), (1,1)."""
    return np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])


# --- 1.1 perceptron -----------------------------------------------------------------------------------------


@pytest.mark.task("perceptron", weight=3)
def test_one_threshold_neuron_computes_and_or_and_nand(student):
    """With x1 + x2 as the sum, which threshold makes AND, which makes OR, and which weights make NAND?"""
    ones, minus_ones = np.array([1.0, 1.0]), np.array([-1.0, -1.0])

    and_gate = student.mcculloch_pitts(_corners(), ones, 2)
    or_gate = student.mcculloch_pitts(_corners(), ones, 1)
    nand_gate = student.mcculloch_pitts(_corners(), minus_ones, -1)

    expect.close(_numbers(and_gate), [0, 0, 0, 1], "mcculloch_pitts (AND)")
    expect.close(_numbers(or_gate), [0, 1, 1, 1], "mcculloch_pitts (OR)")
    expect.close(_numbers(nand_gate), [1, 1, 1, 0], "mcculloch_pitts (NAND)")


@pytest.mark.task("perceptron", weight=2)
def test_a_new_perceptron_knows_nothing(student):
    """A new perceptron has zero weights, one for each feature, a zero bias, and has not converged."""
    neuron = student.Perceptron(3)

    expect.close(neuron.w, np.zeros(3), "Perceptron.w")
    expect.close(neuron.b, 0, "Perceptron.b")
    expect.equal(neuron.converged, False, "Perceptron.converged")


@pytest.mark.task("perceptron", weight=4)
def test_two_samples_take_five_updates(student):
    """Follow it on paper: every sample that is wrong or on the boundary adds y * x to w and y to b, at once.

    (2, 1) is +1 and (1, 3) is -1. From w = (0, 0), b = 0 the updates lead to
    w, b = (2, 1), 1 -> (1, -2), 0 -> (3, -1), 1 -> (2, -4), 0 -> (4, -3), 1.
    """
    X, y = np.array([[2.0, 1.0], [1.0, 3.0]]), np.array([1, -1])
    neuron = student.Perceptron(2)

    n_updates = neuron.fit(X, y, 10)

    expect.close(n_updates, 5, "Perceptron.fit (number of updates)")
    expect.close(neuron.w, np.array([4.0, -3.0]), "Perceptron.fit (w)")
    expect.close(neuron.b, 1, "Perceptron.fit (b)")
    expect.equal(neuron.converged, True, "Perceptron.fit (converged)")


@pytest.mark.task("perceptron", weight=4)
def test_a_perceptron_learns_and(student):
    """AND can be cut by a line, but not by a line through the origin: what must move?"""
    neuron = student.Perceptron(2)

    neuron.fit(_corners(), np.array([-1, -1, -1, 1]), 50)

    expect.close(neuron.predict(_corners()), [-1, -1, -1, 1], "Perceptron.predict")


@pytest.mark.task("perceptron", weight=2)
def test_xor_never_converges_but_ends(student):
    """No line separates XOR: the last of max_epochs epochs must be the end, with converged = False."""
    neuron = student.Perceptron(2)

    neuron.fit(_corners(), np.array([-1, 1, 1, -1]), 20)

    expect.equal(neuron.converged, False, "Perceptron.fit (converged on XOR)")


@pytest.mark.task("perceptron")
def test_a_threshold_neuron_only_reads_its_inputs(student):
    """x and w belong to the caller: both hold the same numbers after the call."""
    x, w = np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]]), np.array([2.0, -3.0, 0.5])
    x_before, w_before = x.copy(), w.copy()

    fired = student.mcculloch_pitts(x, w, 1)

    expect.close(_numbers(fired), [1, 0], "mcculloch_pitts")
    expect.unchanged(x, x_before, "mcculloch_pitts (x)")
    expect.unchanged(w, w_before, "mcculloch_pitts (w)")


@pytest.mark.task("perceptron")
def test_a_perceptron_only_reads_its_samples(student):
    """Samples and labels belong to the caller: fit and predict leave them as they are."""
    X, y = np.array([[2.0, -1.0], [-1.0, 3.0], [0.5, 0.0]]), np.array([1, -1, 1])
    X_before, y_before = X.copy(), y.copy()
    neuron = student.Perceptron(2, lr=0.5)

    neuron.fit(X, y, 10)
    neuron.predict(X)

    expect.unchanged(X, X_before, "Perceptron.fit and predict (X)")
    expect.unchanged(y, y_before, "Perceptron.fit (y)")


# --- 1.2 activations ----------------------------------------------------------------------------------------


@pytest.mark.task("activations", weight=4)
def test_sigmoid_of_log_three_is_three_quarters(student):
    """exp(-ln 3) is 1/3, so sigmoid(ln 3) is 1 / (1 + 1/3)."""
    out = student.sigmoid(np.array([-LN3, 0.0, LN3]))

    expect.close(out, np.array([0.25, 0.5, 0.75]), "sigmoid")


@pytest.mark.task("activations", weight=4)
def test_sigmoid_backward_at_log_three(student):
    """The slope of a sigmoid is s * (1 - s), with s its output: at ln 3 that is 3/4 * 1/4."""
    dx = student.sigmoid_backward(np.array([1.0, 2.0, -16.0]), np.array([0.0, LN3, LN3]))

    expect.close(dx, np.array([0.25, 0.375, -3.0]), "sigmoid_backward")


@pytest.mark.task("activations", weight=4)
def test_tanh_of_log_three_is_four_fifths(student):
    """tanh(ln 3) = (3 - 1/3) / (3 + 1/3)."""
    out = student.tanh(np.array([-LN3, 0.0, LN3]))

    expect.close(out, np.array([-0.8, 0.0, 0.8]), "tanh")


@pytest.mark.task("activations", weight=4)
def test_tanh_backward_at_log_three(student):
    """The slope of tanh is 1 - tanh(x)^2: at ln 3 that is 1 - 0.64."""
    dx = student.tanh_backward(np.array([2.0, 1.0, 100.0]), np.array([0.0, LN3, -LN3]))

    expect.close(dx, np.array([2.0, 0.36, 36.0]), "tanh_backward")


@pytest.mark.task("activations", weight=4)
def test_relu_cuts_off_what_is_negative(student):
    """ReLU lets positive numbers through and stops the others."""
    out = student.relu(np.array([[-2.0, 0.0], [0.5, 3.0]]))

    expect.close(out, np.array([[0.0, 0.0], [0.5, 3.0]]), "relu")


@pytest.mark.task("activations", weight=4)
def test_relu_backward_opens_the_gate_where_the_input_was_positive(student):
    """The gradient passes where x was positive, whatever the sign of the gradient itself."""
    dx = student.relu_backward(np.array([5.0, -6.0, 7.0]), np.array([-2.0, 3.0, 0.5]))

    expect.close(dx, np.array([0.0, -6.0, 7.0]), "relu_backward")


@pytest.mark.task("activations", weight=4)
def test_leaky_relu_scales_only_what_is_negative(student):
    """A leaky ReLU lets a little of the negative side through: 0.01 of it unless told otherwise."""
    x = np.array([-2.0, 0.0, 3.0])

    expect.close(student.leaky_relu(x), np.array([-0.02, 0.0, 3.0]), "leaky_relu")
    expect.close(student.leaky_relu(x, 0.25), np.array([-0.5, 0.0, 3.0]), "leaky_relu with slope 0.25")


@pytest.mark.task("activations", weight=4)
def test_leaky_relu_backward_scales_the_gradient_on_the_negative_side(student):
    """On the left the slope is negative_slope, on the right it is 1."""
    dout, x = np.array([5.0, -6.0]), np.array([-2.0, 3.0])

    expect.close(student.leaky_relu_backward(dout, x), np.array([0.05, -6.0]), "leaky_relu_backward")
    expect.close(student.leaky_relu_backward(dout, x, 0.5), np.array([2.5, -6.0]), "leaky_relu_backward with slope 0.5")


@pytest.mark.task("activations", weight=4)
def test_gelu_weighs_its_input_with_the_normal_distribution(student):
    """84.13 % of a normal distribution lies below 1, so gelu(1) is 0.8413 and gelu(-1) is 0.8413 - 1."""
    below_one = 0.5 * (1.0 + math.erf(1.0 / math.sqrt(2.0)))

    out = student.gelu(np.array([-1.0, 0.0, 1.0]))

    expect.close(out, np.array([below_one - 1.0, 0.0, below_one]), "gelu", atol=1e-6)


@pytest.mark.task("activations", weight=4)
def test_gelu_backward_is_a_half_at_zero(student):
    """(x Phi(x))' = Phi(x) + x Phi'(x): at 0 only Phi(0) = 1/2 is left."""
    density = math.exp(-0.5) / math.sqrt(2.0 * math.pi)
    below_one = 0.5 * (1.0 + math.erf(1.0 / math.sqrt(2.0)))

    dx = student.gelu_backward(np.array([3.0, 1.0]), np.array([0.0, 1.0]))

    expect.close(dx, np.array([1.5, below_one + density]), "gelu_backward", atol=1e-6)


@pytest.mark.task("activations", weight=4)
def test_logsumexp_of_logarithms_is_the_logarithm_of_the_sum(student):
    """exp undoes log: logsumexp of (ln 1, ln 2, ln 3) is ln 6, one number for each row."""
    x = np.array([[0.0, LN2, LN3], [0.0, 0.0, 0.0]])

    expect.close(student.logsumexp(x, 1), np.array([math.log(6.0), LN3]), "logsumexp")


@pytest.mark.task("activations", weight=4)
def test_logsumexp_backward_gives_each_entry_its_share(student):
    """The larger an entry, the larger its share in the sum of the exponentials, and so in the gradient."""
    x = np.array([[0.0, LN2, LN3], [0.0, 0.0, 0.0]])

    dx = student.logsumexp_backward(np.array([6.0, -3.0]), x, 1)

    expect.close(dx, np.array([[1.0, 2.0, 3.0], [-1.0, -1.0, -1.0]]), "logsumexp_backward")


@pytest.mark.task("activations", weight=4)
def test_softmax_turns_logarithms_into_shares(student):
    """exp of (ln 1, ln 2, ln 3) is (1, 2, 3): divide by the sum along the axis that is asked for."""
    x = np.array([[0.0, LN2, LN3], [0.0, 0.0, 0.0]])

    expect.close(student.softmax(x), np.array([[1, 2, 3], [2, 2, 2]]) / 6.0, "softmax")
    columns = np.array([[1 / 2, 2 / 3, 3 / 4], [1 / 2, 1 / 3, 1 / 4]])
    expect.close(student.softmax(x, 0), columns, "softmax with axis=0")


@pytest.mark.task("activations", weight=4)
def test_softmax_backward_of_two_equal_classes(student):
    """Raising one logit raises its own probability and lowers the others: dp1/dx1 = 1/4, dp2/dx1 = -1/4."""
    dx = student.softmax_backward(np.array([[4.0, 0.0], [1.0, 1.0]]), np.zeros((2, 2)))

    expect.close(dx, np.array([[1.0, -1.0], [0.0, 0.0]]), "softmax_backward")


@pytest.mark.task("activations", weight=4)
def test_log_softmax_is_the_logarithm_of_softmax(student):
    """The same as ln(softmax(x)) for tame numbers, and right for wild ones as well."""
    x = np.array([[0.0, LN2, LN3], [0.0, 0.0, 1000.0]])

    want = np.array([[-math.log(6.0), -LN3, -LN2], [-1000.0, -1000.0, 0.0]])
    expect.close(student.log_softmax(x), want, "log_softmax")


@pytest.mark.task("activations", weight=4)
def test_log_softmax_backward_of_two_equal_classes(student):
    """d log p_i / d x_j is 1 - p_j for i = j, and -p_j otherwise."""
    dx = student.log_softmax_backward(np.array([[4.0, 0.0], [1.0, 3.0]]), np.zeros((2, 2)))

    expect.close(dx, np.array([[2.0, -2.0], [-1.0, 1.0]]), "log_softmax_backward")


_ENTRYWISE = ["sigmoid", "tanh", "relu", "leaky_relu", "gelu"]
_ALONG_AN_AXIS = ["logsumexp", "softmax", "log_softmax"]


@pytest.mark.task("activations")
@pytest.mark.parametrize("name", _ENTRYWISE + _ALONG_AN_AXIS)
def test_an_activation_only_reads_its_arguments(student, name):
    """x and dout belong to the caller: neither the forward nor the backward pass writes into them."""
    x = np.array([[-3.0, 0.0, 2.0], [-1100.0, -0.5, 1100.0]])
    dout = np.array([[1.0, -2.0, 3.0], [-4.0, 5.0, -6.0]]) if name != "logsumexp" else np.array([2.0, -3.0])
    x_before, dout_before = x.copy(), dout.copy()

    out = getattr(student, name)(x)
    dx = getattr(student, f"{name}_backward")(dout, x)

    expect.shape(out, dout.shape, name)
    expect.shape(dx, (2, 3), f"{name}_backward")
    expect.unchanged(x, x_before, f"{name} and {name}_backward (x)")
    expect.unchanged(dout, dout_before, f"{name}_backward (dout)")


# --- 1.3 linear_forward -------------------------------------------------------------------------------------


@pytest.mark.task("linear_forward", weight=2)
def test_three_neurons_look_at_two_samples(student):
    """One row of W is one neuron: out[n, k] is the sum of x[n] * W[k], plus b[k]."""
    x = np.array([[1.0, 2.0], [3.0, 4.0]])
    W = np.array([[1.0, 0.0], [0.0, 1.0], [10.0, 1.0]])
    b = np.array([0.0, 0.5, -1.0])

    out = student.linear_forward(x, W, b)

    expect.close(out, np.array([[1.0, 2.5, 11.0], [3.0, 4.5, 33.0]]), "linear_forward")


@pytest.mark.task("linear_forward", weight=2)
def test_a_small_picture_is_flattened_first(student):
    """A sample of shape (2, 2) becomes four numbers, row by row, before the neuron weighs them."""
    x = np.array([[[1.0, 2.0], [3.0, 4.0]]])
    W = np.array([[1.0, 10.0, 100.0, 1000.0]])

    out = student.linear_forward(x, W, np.array([0.5]))

    expect.close(out, np.array([[4321.5]]), "linear_forward")


@pytest.mark.task("linear_forward")
def test_a_layer_only_reads_its_arguments(student):
    """x, W and b belong to the caller: values and shapes are the same after the call."""
    x, W = np.array([[[1.0, -2.0], [3.0, 4.0]]]), np.array([[1.0, -1.0, 0.5, 2.0], [3.0, 0.0, -2.0, 1.0]])
    b = np.array([0.5, -4.0])
    before = x.copy(), W.copy(), b.copy()

    out = student.linear_forward(x, W, b)

    expect.close(out, np.array([[13.0, -3.0]]), "linear_forward")
    for now, was, name in zip((x, W, b), before, ("x", "W", "b"), strict=True):
        expect.unchanged(now, was, f"linear_forward ({name})")


# --- 1.4 mlp_forward ----------------------------------------------------------------------------------------


def _two_layers():
    """Two inputs, three hidden units, one output."""
    return [
        (np.array([[1.0, -1.0], [2.0, 0.0], [0.0, -1.0]]), np.array([0.0, -1.0, 0.5])),
        (np.array([[1.0, 2.0, 3.0]]), np.array([-4.0])),
    ]


def _relu(z):
    return np.maximum(z, 0.0)


@pytest.mark.task("mlp_forward", weight=2)
def test_two_layers_by_hand(student):
    """x = (3, 1): z1 = (2, 5, -0.5), after ReLU (2, 5, 0), and the logit is 2 + 10 + 0 - 4."""
    logits = student.mlp_forward(np.array([[3.0, 1.0]]), _two_layers(), _relu)

    expect.close(logits, np.array([[8.0]]), "mlp_forward")


@pytest.mark.task("mlp_forward", weight=2)
def test_the_cache_names_every_step(student):
    """z is what goes into an activation, a is what comes out; the last z, the logits, has no a."""
    logits, cache = student.mlp_forward(np.array([[3.0, 1.0]]), _two_layers(), _relu, return_cache=True)

    expect.close(logits, np.array([[8.0]]), "mlp_forward")
    steps = {"a0": [[3.0, 1.0]], "z1": [[2.0, 5.0, -0.5]], "a1": [[2.0, 5.0, 0.0]], "z2": [[8.0]]}
    for key, want in steps.items():
        expect.is_true(key in cache, f"mlp_forward: the cache has no key {key!r}")
        expect.close(cache[key], np.array(want), f"mlp_forward (cache[{key!r}])")


@pytest.mark.task("mlp_forward", weight=2)
def test_logits_may_be_negative(student):
    """The last layer has no activation: x = (0, 0) gives z1 = (0, -1, 0.5) and the logit 1.5 - 4."""
    logits = student.mlp_forward(np.array([[0.0, 0.0]]), _two_layers(), _relu)

    expect.close(logits, np.array([[-2.5]]), "mlp_forward")


@pytest.mark.task("mlp_forward")
def test_a_network_only_reads_its_arguments(student):
    """The samples and all weights and biases belong to the caller: they are the same after the call."""
    x, params = np.array([[3.0, 1.0], [-1.0, 2.0]]), _two_layers()

    student.mlp_forward(x, params, _relu, return_cache=True)
    logits = student.mlp_forward(x, params, _relu)

    expect.unchanged(x, np.array([[3.0, 1.0], [-1.0, 2.0]]), "mlp_forward (x)")
    expect.unchanged(params, _two_layers(), "mlp_forward (params)")
    expect.close(logits, np.array([[8.0], [-4.0]]), "mlp_forward")


# --- 1.5 init_params ----------------------------------------------------------------------------------------


@pytest.mark.task("init_params", weight=3)
def test_every_layer_has_a_weight_and_a_zero_bias(student):
    """Three sizes make two layers, W (out, in) and b (out,); biases are zero."""
    params = student.init_params([4, 3, 2], "he", np.random.default_rng(1))

    expect.is_true(len(params) == 2, f"init_params: {len(params)} layers for sizes [4, 3, 2], expected 2")
    for (W, b), shape in zip(params, [(3, 4), (2, 3)], strict=True):
        expect.shape(W, shape, "init_params (W)")
        expect.finite(W, "init_params (W)")
        expect.close(b, np.zeros(shape[0]), "init_params (b)")


@pytest.mark.task("init_params", weight=5)
def test_every_weight_is_a_draw_of_its_own(student):
    """No number appears twice: not in a row, not in two rows, not in two layers."""
    for scheme in ("he", "xavier"):
        params = student.init_params([3, 3, 3, 3], scheme, np.random.default_rng(2))

        weights = np.concatenate([np.ravel(W) for W, _ in params])
        expect.shape(weights, (27,), f"init_params {scheme!r} (all weights of three layers)")
        is_random = np.unique(weights).size == weights.size
        expect.is_true(is_random, f"init_params {scheme!r}: two weights are equal; draw each on its own")


@pytest.mark.task("init_params", weight=4)
@pytest.mark.parametrize(("scheme", "fans"), [("he", 400), ("xavier", 500)])
def test_the_variance_of_the_weights(student, scheme, fans):
    """400 inputs and 100 outputs: the variance is 2 / 400 for "he" and 2 / (400 + 100) for "xavier"."""
    W, _ = student.init_params([400, 100], scheme, np.random.default_rng(3))[0]

    share = float(np.var(W)) / (2.0 / fans)  # of 40,000 draws: 1 within 0.035, five standard deviations
    expect.between(share, 0.96, 1.04, f"init_params {scheme!r} (variance of W, times {fans} / 2)")


@pytest.mark.task("init_params", weight=6)
def test_the_same_generator_state_gives_the_same_weights(student):
    """Draw from the generator that is passed in, and from nothing else."""
    first = student.init_params([4, 3], "xavier", np.random.default_rng(5))
    again = student.init_params([4, 3], "xavier", np.random.default_rng(5))
    other = student.init_params([4, 3], "xavier", np.random.default_rng(6))

    expect.close(again[0][0], first[0][0], "init_params (W, the same seed again)", rtol=0, atol=0)
    is_new = not np.array_equal(other[0][0], first[0][0])
    expect.is_true(is_new, "init_params: another seed gave the same weights; draw from the rng argument")


@pytest.mark.task("init_params", weight=2)
def test_an_unknown_scheme_is_refused(student):
    """A typing error in the name must not train a network silently."""
    with expect.refused(ValueError, "init_params with the scheme 'hee'"):
        student.init_params([4, 3], "hee", np.random.default_rng(0))


@pytest.mark.task("init_params")
def test_sizes_are_only_read(student):
    """The list of sizes belongs to the caller: neither function changes it."""
    sizes = [4, 3, 2]

    params = student.init_params(sizes, "xavier", np.random.default_rng(0))
    count = student.count_parameters(sizes)

    expect.equal(len(params), 2, "init_params (number of layers for sizes [4, 3, 2])")
    expect.close(count, 23, "count_parameters([4, 3, 2])")
    expect.equal(sizes, [4, 3, 2], "init_params and count_parameters (sizes afterwards)")


@pytest.mark.task("init_params", weight=5)
def test_count_parameters_counts_weights_and_biases(student):
    """[3, 4, 2]: 12 + 4 for the first layer and 8 + 2 for the second."""
    expect.close(student.count_parameters([3, 4, 2]), 26, "count_parameters([3, 4, 2])")
    expect.close(student.count_parameters([3, 4, 4, 1]), 41, "count_parameters([3, 4, 4, 1])")


# --- 1.6 xor_weights ----------------------------------------------------------------------------------------


@pytest.mark.task("xor_weights")
def test_the_xor_weights_fit_together(student):
    """W1 has a row and b1 an entry for each hidden unit, W2 a column for each; there is one output."""
    W1, b1, W2, b2 = student.xor_weights()

    for array, name in ((W1, "W1"), (b1, "b1"), (W2, "W2"), (b2, "b2")):
        expect.finite(array, f"xor_weights ({name})")
    H = b1.size
    expect.shape(b1, (H,), "xor_weights (b1)")
    expect.shape(W1, (H, 2), "xor_weights (W1)")
    expect.shape(W2, (1, H), "xor_weights (W2)")
    expect.shape(b2, (1,), "xor_weights (b2)")
    expect.between(H, 2, 16, "xor_weights (number of hidden units)")


@pytest.mark.task("xor_weights", weight=3)
def test_the_xor_network_fires_for_one_input_and_not_for_none(student):
    """Work out by hand what your hidden units do on (0,0) and on (0,1); a sum of exactly zero fires."""
    W1, b1, W2, b2 = student.xor_weights()

    h = (_corners()[:2] @ W1.T + b1 >= 0).astype(float)
    y = (h @ W2.T + b2 >= 0).astype(float)

    expect.close(y, np.array([[0.0], [1.0]]), "xor_weights (the network on (0,0), (0,1))")


# --- 1.7 activation_report ----------------------------------------------------------------------------------


@pytest.mark.task("activation_report", weight=7)
def test_the_report_of_sigmoid(student):
    """Sigmoid lies between 0 and 1, so its outputs cannot average to zero, and it is flat on both sides."""
    report = student.activation_report("sigmoid")

    low, high = report["range"]
    expect.close(low, 0, "activation_report('sigmoid') (lower end of the range)")
    expect.close(high, 1, "activation_report('sigmoid') (upper end of the range)")
    expect.equal(report["zero_centered"], False, "activation_report('sigmoid') (zero_centered)")
    expect.equal(report["saturates"], True, "activation_report('sigmoid') (saturates)")


@pytest.mark.task("activation_report", weight=7)
def test_two_of_four_tanh_units_are_stuck(student):
    """-0.999 and 0.995 are within 0.01 of an end of (-1, 1); 0.9 and 0 are not."""
    share = student.saturation_fraction(np.array([[-0.999, 0.9], [0.0, 0.995]]))

    expect.close(share, 0.5, "saturation_fraction")


@pytest.mark.task("activation_report")
def test_activations_are_only_read(student):
    """The array of activations belongs to the caller: counting does not change it."""
    a = np.array([[-0.999, 0.9], [0.0, 0.995]])
    before = a.copy()

    share = student.saturation_fraction(a, (-1.0, 1.0), 0.2)

    expect.close(share, 0.75, "saturation_fraction with margin 0.2")
    expect.unchanged(a, before, "saturation_fraction (a)")


# --- 1.8 predict --------------------------------------------------------------------------------------------


def _identity_layer():
    """One layer that passes its input through."""
    return [(np.eye(3), np.zeros(3))]


@pytest.mark.task("predict", weight=4)
def test_probabilities_of_logits_that_are_logarithms(student):
    """With one layer that passes its input through, the logits are x and the probabilities softmax(x)."""
    x = np.array([[0.0, LN2, LN3], [0.0, 0.0, 0.0]])

    p = student.predict_proba(x, _identity_layer())

    expect.close(p, np.array([[1, 2, 3], [2, 2, 2]]) / 6.0, "predict_proba")


@pytest.mark.task("predict", weight=3.5)
def test_the_prediction_is_the_most_probable_class(student):
    """The largest probability wins, also when it is below one half; the first of equals wins."""
    x = np.array([[0.0, 0.3, 0.1], [2.0, -1.0, 0.0], [0.0, 0.5, 0.5], [-3.0, -2.0, -1.0]])

    classes = student.predict(x, _identity_layer())

    expect.equal(classes, np.array([1, 0, 1, 2]), "predict")


@pytest.mark.task("predict", weight=2)
def test_three_of_four_are_right(student):
    """Accuracy is the share of predictions that equal their label."""
    share = student.accuracy(np.array([2, 0, 1, 1]), np.array([2, 0, 1, 0]))

    expect.close(share, 0.75, "accuracy")


@pytest.mark.task("predict")
def test_predictions_only_read_their_arguments(student):
    """Samples and parameters belong to the caller: predict_proba and predict leave them as they are."""
    X, params = np.array([[-1.0, 2.0, 0.5], [3.0, -2.0, 0.0]]), _identity_layer()
    before = X.copy()

    student.predict_proba(X, params)
    classes = student.predict(X, params)

    expect.equal(classes, np.array([1, 0]), "predict")
    expect.unchanged(X, before, "predict_proba and predict (X)")
    expect.unchanged(params, _identity_layer(), "predict_proba and predict (params)")


@pytest.mark.task("predict")
def test_accuracy_only_reads_its_arguments(student):
    """Predictions and labels belong to the caller: comparing them changes neither."""
    predicted, labels = np.array([2, 0, 1]), np.array([0, 0, 2])

    share = student.accuracy(predicted, labels)

    expect.close(share, 1 / 3, "accuracy")
    expect.unchanged(predicted, np.array([2, 0, 1]), "accuracy (predicted)")
    expect.unchanged(labels, np.array([0, 0, 2]), "accuracy (labels)")
