"""Public tests: small numbers that you can follow on paper."""

import math

import numpy as np
import pytest

from autograder import expect, probe

LN2, LN3 = math.log(2.0), math.log(3.0)


# --- 2.1 losses ---------------------------------------------------------------------------------------------


@pytest.mark.task("losses", weight=5)
def test_the_mean_of_two_squared_errors(student):
    """Errors of 2 and -4 have the squares 4 and 16: the mean is 10, and each entry has a share of 1/2 in it."""
    loss, grad = student.mse_loss(np.array([3.0, 1.0]), np.array([1.0, 5.0]))

    expect.close(loss, 10.0, "mse_loss (loss)")
    expect.close(grad, np.array([2.0, -4.0]), "mse_loss (grad)")


@pytest.mark.task("losses", weight=5)
def test_a_coin_flip_costs_log_two(student):
    """A logit of 0 means p = 1/2, whatever the answer is; a logit of ln 3 means p = 3/4."""
    loss, grad = student.bce_with_logits(np.array([0.0, LN3]), np.array([1.0, 0.0]))

    expect.close(loss, (LN2 + math.log(4.0)) / 2, "bce_with_logits (loss)")
    expect.close(grad, np.array([-0.5, 0.75]) / 2, "bce_with_logits (grad)")


@pytest.mark.task("losses", weight=5)
def test_three_equal_logits_cost_log_three(student):
    """A model that knows nothing gives every class 1/C, with loss log C; the gradient lifts the right class only."""
    loss, grad = student.cross_entropy(np.array([[0.0, 0.0, 0.0], [0.0, LN2, LN3]]), np.array([1, 2]))

    expect.close(loss, (LN3 + LN2) / 2, "cross_entropy (loss)")
    want = np.array([[1 / 3, -2 / 3, 1 / 3], [1 / 6, 1 / 3, -1 / 2]]) / 2
    expect.close(grad, want, "cross_entropy (grad)")


@pytest.mark.task("losses", weight=5)
def test_huber_is_a_square_inside_and_a_line_outside(student):
    """Errors of 1 and -6 with delta = 2: 1/2 inside; outside 2 * (6 - 1) = 10, where the slope is 2."""
    loss, grad = student.huber_loss(np.array([1.0, -6.0]), np.array([0.0, 0.0]), delta=2.0)

    expect.close(loss, 5.25, "huber_loss (loss)")
    expect.close(grad, np.array([0.5, -1.0]), "huber_loss (grad)")


@pytest.mark.task("losses", weight=3)
def test_a_logit_of_a_thousand_has_a_finite_binary_loss(student):
    """exp(1000) is infinite, the loss is not: a logit of 1000 for the wrong answer costs 1000, for the right one 0."""
    loss, grad = student.bce_with_logits(np.array([1000.0, -1000.0]), np.array([0.0, 0.0]))

    expect.close(loss, 500.0, "bce_with_logits of logits of 1000 and -1000 (loss)")
    expect.close(grad, np.array([0.5, 0.0]), "bce_with_logits of logits of 1000 and -1000 (grad)")


@pytest.mark.task("losses", weight=3)
def test_a_lead_of_a_thousand_has_a_finite_cross_entropy(student):
    """exp(1000) is infinite, the loss is not: a lead of 1000 for the wrong class costs 1000, for the right one 0."""
    loss, grad = student.cross_entropy(np.array([[0.0, 1000.0], [1000.0, 0.0]]), np.array([0, 0]))

    expect.close(loss, 500.0, "cross_entropy of logits of 0 and 1000 (loss)")
    expect.close(grad, np.array([[-0.5, 0.5], [0.0, 0.0]]), "cross_entropy of logits of 0 and 1000 (grad)")


@pytest.mark.task("losses")
def test_losses_only_read_their_arguments(student):
    """Predictions, logits and targets belong to the caller: they hold the same numbers after the call."""
    for name in ("mse_loss", "bce_with_logits", "huber_loss", "cross_entropy"):
        first = np.array([[-2.5, 0.5, 3.0], [0.1, -0.7, 1.5]])
        second = np.array([2, 0]) if name == "cross_entropy" else np.array([[0.0, 1.0, 0.3], [1.0, 0.0, 0.9]])
        first_before, second_before = first.copy(), second.copy()

        getattr(student, name)(first, second)

        expect.unchanged(first, first_before, f"{name} (first argument)")
        expect.unchanged(second, second_before, f"{name} (second argument)")


@pytest.mark.task("losses", weight=3)
def test_a_column_beside_a_row_is_refused(student):
    """Shapes (3, 1) and (3,) would broadcast to (3, 3) without a word: refuse them."""
    column, row = np.zeros((3, 1)), np.zeros(3)
    for name in ("mse_loss", "bce_with_logits", "huber_loss"):
        with expect.refused((ValueError, AssertionError), f"{name} of shapes (3, 1) and (3,)"):
            getattr(student, name)(column, row)


# --- 2.2 numerical_gradient ---------------------------------------------------------------------------------


@pytest.mark.task("numerical_gradient", weight=6)
def test_the_slope_of_a_square_is_measured_without_error(student):
    """f(x, y) = x^2 + 3 y at (2, 5): the gradient is (4, 3), and for a square central differences are exact."""
    grad = student.numerical_gradient(lambda x: x[0] ** 2 + 3.0 * x[1], np.array([2.0, 5.0]), 0.5)

    expect.close(grad, np.array([4.0, 3.0]), "numerical_gradient")


@pytest.mark.task("numerical_gradient", weight=6)
def test_x_is_as_it_was(student):
    """Every entry that was moved must be put back before the next one is."""
    x = np.array([[2.0, -1.0, 0.5]])
    before = x.copy()

    grad = student.numerical_gradient(lambda x: x[0, 0] * x[0, 1] * x[0, 2], x)

    expect.unchanged(x, before, "numerical_gradient (x)")
    expect.close(grad, np.array([[-0.5, 1.0, -2.0]]), "numerical_gradient", rtol=1e-6)


@pytest.mark.task("numerical_gradient", weight=3)
def test_x_in_single_precision_is_measured_in_double(student):
    """float32 has seven digits, so x + 0.00001 is rounded: f must get float64 arrays to see the difference."""
    x = np.array([1.0, 1.5], dtype=np.float32)

    grad = student.numerical_gradient(lambda x: x[0] ** 2 + 3.0 * x[1], x)

    expect.close(grad, np.array([2.0, 3.0]), "numerical_gradient of a float32 x", rtol=1e-6, dtype=np.float64)


@pytest.mark.task("numerical_gradient", weight=6)
def test_a_gradient_that_is_a_third_too_large(student):
    """df says (4, 4) where (4, 3) is right: |4 - 3| / (4 + 3) = 1/7, and the worst entry counts."""
    error = student.grad_check(
        lambda x: x[0] ** 2 + 3.0 * x[1], lambda x: np.array([2.0 * x[0], 4.0]), np.array([2.0, 5.0])
    )

    expect.close(error, 1 / 7, "grad_check", rtol=1e-5)


@pytest.mark.task("numerical_gradient", weight=3)
def test_a_gradient_that_points_the_other_way(student):
    """df says (-4, 3) where (4, 3) is right: the difference 8 is as large as both sizes together."""
    error = student.grad_check(
        lambda x: x[0] ** 2 + 3.0 * x[1], lambda x: np.array([-2.0 * x[0], 3.0]), np.array([2.0, 5.0])
    )

    expect.close(error, 1.0, "grad_check of a gradient with a wrong sign", rtol=1e-5)


# --- 2.3 layer_backward -------------------------------------------------------------------------------------


@pytest.mark.task("layer_backward", weight=3)
def test_a_layer_of_two_neurons_backwards(student):
    """One sample (1, 2, 3) and dout = (10, -1): each row of dW is the sample, times what its neuron is told."""
    x, W = np.array([[1.0, 2.0, 3.0]]), np.array([[1.0, 0.0, 2.0], [5.0, 1.0, 0.0]])

    dx, dW, db = student.linear_backward(np.array([[10.0, -1.0]]), (x, W))

    expect.close(dx, np.array([[5.0, -1.0, 20.0]]), "linear_backward (dx)")
    expect.close(dW, np.array([[10.0, 20.0, 30.0], [-1.0, -2.0, -3.0]]), "linear_backward (dW)")
    expect.close(db, np.array([10.0, -1.0]), "linear_backward (db)")


@pytest.mark.task("layer_backward", weight=3)
def test_a_bias_hears_every_sample(student):
    """The bias of a neuron takes part in every sample's output, so it collects every sample's gradient."""
    x, W = np.array([[1.0], [0.0], [2.0]]), np.array([[1.0], [1.0]])
    dout = np.array([[1.0, 0.0], [2.0, 4.0], [3.0, -8.0]])

    _, dW, db = student.linear_backward(dout, (x, W))

    expect.close(db, np.array([6.0, -4.0]), "linear_backward (db)")
    expect.close(dW, np.array([[7.0], [-16.0]]), "linear_backward (dW)")


@pytest.mark.task("layer_backward", weight=3)
def test_relu_lets_a_gradient_pass_where_its_input_was_positive(student):
    """Whether the gate is open depends on the input, not on the gradient."""
    dx = student.relu_backward(np.array([5.0, -6.0, 7.0, 8.0]), np.array([-2.0, 3.0, 0.5, 0.0]))

    expect.close(dx, np.array([0.0, -6.0, 7.0, 0.0]), "relu_backward")


@pytest.mark.task("layer_backward", weight=3)
def test_sigmoid_backward_of_an_output_of_three_quarters(student):
    """The cache is the output: at 3/4 the slope is 3/4 * 1/4."""
    dx = student.sigmoid_backward(np.array([1.0, -16.0]), np.array([0.5, 0.75]))

    expect.close(dx, np.array([0.25, -3.0]), "sigmoid_backward")


@pytest.mark.task("layer_backward", weight=3)
def test_tanh_backward_of_an_output_of_four_fifths(student):
    """The cache is the output: at 0.8 the slope is 1 - 0.64."""
    dx = student.tanh_backward(np.array([2.0, 100.0]), np.array([0.0, -0.8]))

    expect.close(dx, np.array([2.0, 36.0]), "tanh_backward")


@pytest.mark.task("layer_backward", weight=3)
def test_softmax_backward_of_shares(student):
    """Raising x_1 raises p_1 and lowers all the others: with p = (1/4, 3/4), dp_1/dx_1 = 3/16 = -dp_2/dx_1."""
    dx = student.softmax_backward(np.array([[16.0, 0.0], [1.0, 1.0]]), np.array([[0.25, 0.75], [0.5, 0.5]]))

    expect.close(dx, np.array([[3.0, -3.0], [0.0, 0.0]]), "softmax_backward")


@pytest.mark.task("layer_backward")
@pytest.mark.parametrize("name", ["relu", "sigmoid", "tanh", "softmax"])
def test_backward_passes_only_read_their_arguments(student, name):
    """dout and cache belong to the caller: both hold the same numbers after the call."""
    dout = np.array([[5.0, -6.0, 7.0], [-1.0, 2.0, -3.0]])
    cache = np.array([[-0.5, 0.9, 0.0], [0.3, -0.2, 0.4]] if name in ("relu", "tanh") else [[0.5, 0.3, 0.2]] * 2)
    dout_before, cache_before = dout.copy(), cache.copy()

    getattr(student, f"{name}_backward")(dout, cache)

    expect.unchanged(dout, dout_before, f"{name}_backward (dout)")
    expect.unchanged(cache, cache_before, f"{name}_backward (cache)")


@pytest.mark.task("layer_backward")
def test_a_layer_backwards_only_reads_its_arguments(student):
    """dout, x and W belong to the caller: they hold the same numbers after the call."""
    dout, x, W = (
        np.array([[10.0, -1.0]]),
        np.array([[1.0, -2.0, 3.0]]),
        np.array([[1.0, 0.0, 2.0], [5.0, 1.0, 0.0]]),
    )
    before = dout.copy(), x.copy(), W.copy()

    student.linear_backward(dout, (x, W))

    for now, was, name in zip((dout, x, W), before, ("dout", "x", "W"), strict=True):
        expect.unchanged(now, was, f"linear_backward ({name})")


# --- 2.4 autograd -------------------------------------------------------------------------------------------


@pytest.mark.task("autograd", weight=6)
def test_a_new_tensor_is_a_float_array_without_a_gradient(student):
    """Integers become floats; there is no gradient before anybody asks for one."""
    a = student.Tensor([[1, 2], [3, 4]])

    expect.close(a.data, np.array([[1.0, 2.0], [3.0, 4.0]]), "Tensor.data", dtype=np.float64)
    expect.equal(a.requires_grad, False, "Tensor.requires_grad")
    expect.equal(a.grad, None, "Tensor.grad")


@pytest.mark.task("autograd", weight=8)
def test_a_graph_by_hand(student):
    """y = (a * b + c)^2 with a = 2, b = -3, c = 10: the inside is 4, so dy/dc is 8; then the chain goes on."""
    a, b, c = (student.Tensor(value, requires_grad=True) for value in (2.0, -3.0, 10.0))

    y = (a * b + c) ** 2
    y.backward()

    expect.close(y.data, 16.0, "Tensor: (a * b + c) ** 2")
    expect.close(c.grad, 8.0, "Tensor.backward (dy/dc)")
    expect.close(a.grad, -24.0, "Tensor.backward (dy/da)")
    expect.close(b.grad, 16.0, "Tensor.backward (dy/db)")


@pytest.mark.task("autograd", weight=8)
def test_two_ways_lead_back_to_a(student):
    """y = b * b + b with b = 3 a: a moves y along every path, and the paths add up: (2 b + 1) * 3."""
    a = student.Tensor(2.0, requires_grad=True)
    b = a * 3.0

    y = b * b + b
    y.backward()

    expect.close(y.data, 42.0, "Tensor: b * b + b")
    expect.close(a.grad, 39.0, "Tensor.backward (two paths)")


@pytest.mark.task("autograd", weight=8)
def test_a_row_that_was_added_to_every_row(student):
    """b (3,) was used in both rows of a (2, 3), so it collects the gradient of both."""
    a = student.Tensor(np.zeros((2, 3)), requires_grad=True)
    b = student.Tensor([1.0, 2.0, 3.0], requires_grad=True)

    (a + b).backward(np.array([[1.0, 2.0, 3.0], [10.0, 20.0, 30.0]]))

    expect.close(b.grad, np.array([11.0, 22.0, 33.0]), "Tensor.backward (+ with broadcasting)")
    expect.close(a.grad, np.array([[1.0, 2.0, 3.0], [10.0, 20.0, 30.0]]), "Tensor.backward (+)")


@pytest.mark.task("autograd", weight=8)
def test_a_matrix_product_backwards(student):
    """(1, 2) @ (2, 3): which shape must each gradient have, and which product has that shape?"""
    a = student.Tensor([[1.0, 2.0]], requires_grad=True)
    b = student.Tensor([[1.0, 0.0, 2.0], [0.0, 1.0, 3.0]], requires_grad=True)

    out = a @ b
    out.backward(np.array([[1.0, 10.0, 100.0]]))

    expect.close(out.data, np.array([[1.0, 2.0, 8.0]]), "Tensor: a @ b")
    expect.close(a.grad, np.array([[201.0, 310.0]]), "Tensor.backward (left of @)")
    expect.close(b.grad, np.array([[1.0, 10.0, 100.0], [2.0, 20.0, 200.0]]), "Tensor.backward (right of @)")


@pytest.mark.task("autograd", weight=8)
def test_exp_log_relu_and_sum(student):
    """d exp = exp, d log = 1/x, d relu = 0 or 1, and a sum passes its gradient on to every entry."""
    a = student.Tensor([LN2, LN3], requires_grad=True)
    b = student.Tensor([2.0, 4.0], requires_grad=True)
    c = student.Tensor([-1.0, 5.0], requires_grad=True)

    total = (a.exp() + b.log() + c.relu()).sum()
    total.backward()

    expect.close(total.data, 5.0 + math.log(8.0) + 5.0, "Tensor: exp, log, relu, sum")
    expect.close(a.grad, np.array([2.0, 3.0]), "Tensor.exp (gradient)")
    expect.close(b.grad, np.array([0.5, 0.25]), "Tensor.log (gradient)")
    expect.close(c.grad, np.array([0.0, 1.0]), "Tensor.relu (gradient)")


@pytest.mark.task("autograd", weight=6)
def test_gradients_pile_up_until_they_are_forgotten(student):
    """backward adds to what is there; zero_grad forgets it."""
    a = student.Tensor([1.0, 2.0], requires_grad=True)

    (a * 3.0).sum().backward()
    (a * 4.0).sum().backward()
    piled = a.grad
    a.zero_grad()
    forgotten = a.grad

    expect.close(piled, np.array([7.0, 7.0]), "Tensor.backward, twice")
    expect.equal(forgotten, None, "Tensor.zero_grad")


@pytest.mark.task("autograd", weight=2)
def test_a_graph_only_reads_what_it_is_made_of(student):
    """No operation changes its operands, and backward leaves the gradient from above as it is."""
    a = student.Tensor([[-1.0, 2.0]], requires_grad=True)
    factor, above = np.array([[3.0, -4.0]]), np.array([[5.0, -6.0]])

    (a.relu() * factor + a).backward(above)

    expect.close(a.data, np.array([[-1.0, 2.0]]), "Tensor.data of an operand")
    expect.close(a.grad, np.array([[5.0, 18.0]]), "Tensor.backward")
    expect.unchanged(factor, np.array([[3.0, -4.0]]), "Tensor: a * array (the array)")
    expect.unchanged(above, np.array([[5.0, -6.0]]), "Tensor.backward (grad)")


@pytest.mark.task("autograd", weight=8)
def test_nothing_is_remembered_inside_no_grad(student):
    """What was computed inside no_grad is a constant afterwards: 9 here, and dy/da is 9, not 18."""
    a = student.Tensor(3.0, requires_grad=True)

    with student.no_grad():
        square = a * a
    y = square * a
    y.backward()

    expect.equal(square.requires_grad, False, "no_grad (requires_grad of a result)")
    expect.close(y.data, 27.0, "no_grad (value)")
    expect.close(a.grad, 9.0, "no_grad (gradient)")


# --- 2.5 mlp ------------------------------------------------------------------------------------------------


@probe
def network_with(student, sizes, values, penalties, X, y):
    """Give a new network these parameters; return its logits, loss, gradients, and evaluation."""
    model = student.MLP(sizes, rng=np.random.default_rng(0), **penalties)
    for parameter, value in zip(model.params, values, strict=True):
        parameter[...] = value
    loss, grads = model.loss(X, y)
    return model.forward(X), loss, list(grads), model.evaluate(X, y)


def _small_network():
    """Two inputs, two hidden units, two classes."""
    return [
        np.array([[1.0, -1.0], [2.0, 0.0]]),
        np.array([0.0, -1.0]),
        np.array([[1.0, 0.0], [0.0, 2.0]]),
        np.array([0.0, 0.5]),
    ]


@pytest.mark.task("mlp", weight=5)
def test_a_network_lists_its_parameters(student):
    """W and b of each layer in turn: random weights, biases of zero."""
    model = student.MLP([4, 3, 2], rng=np.random.default_rng(1))

    params = list(model.params)

    expect.equal(len(params), 4, "MLP.params (length for sizes [4, 3, 2])")
    for parameter, shape in zip(params, [(3, 4), (3,), (2, 3), (2,)], strict=True):
        expect.shape(parameter, shape, "MLP.params")
    for weight, bias in (params[:2], params[2:]):
        expect.is_true(np.unique(weight).size == weight.size, "MLP.params: two weights are equal; draw each")
        expect.close(bias, np.zeros(bias.shape), "MLP.params (bias)")


@pytest.mark.task("mlp", weight=5)
def test_a_small_network_by_hand(student):
    """x = (3, 4): the hidden units say (0, 5), the logits are (0, 10.5), and class 1 is nearly certain."""
    X, y = np.array([[3.0, 4.0]]), np.array([0])

    logits, loss, grads, _ = network_with(student, [2, 2, 2], _small_network(), {}, X, y)

    p = 1.0 / (1.0 + math.exp(10.5))  # the probability of class 0
    expect.close(logits, np.array([[0.0, 10.5]]), "MLP.forward")
    expect.close(loss, -math.log(p), "MLP.loss (loss)")
    want = [
        [[0.0, 0.0], [6.0 * (1 - p), 8.0 * (1 - p)]],  # the first hidden unit is silent
        [0.0, 2.0 * (1 - p)],
        [[0.0, 5.0 * (p - 1)], [0.0, 5.0 * (1 - p)]],
        [p - 1, 1 - p],
    ]
    for got, wanted, name in zip(grads, want, ("W1", "b1", "W2", "b2"), strict=True):
        expect.close(got, np.array(wanted), f"MLP.loss (gradient of {name})")


@pytest.mark.task("mlp", weight=5)
def test_penalties_by_hand(student):
    """The weights' sizes add up to 7, their squares to 11; biases do not count, and evaluate counts neither."""
    X, y = np.array([[3.0, 4.0]]), np.array([0])
    strengths = {"l1": 0.5, "l2": 4.0}

    _, bare, _, _ = network_with(student, [2, 2, 2], _small_network(), {}, X, y)
    _, loss, _, (data_loss, accuracy) = network_with(student, [2, 2, 2], _small_network(), strengths, X, y)

    expect.close(loss - bare, 0.5 * 7.0 + 2.0 * 11.0, "MLP.loss (penalties)")
    expect.close(data_loss, math.log1p(math.exp(10.5)), "MLP.evaluate (loss)")
    expect.close(accuracy, 0.0, "MLP.evaluate (accuracy)")


@pytest.mark.task("mlp", weight=6)
def test_weights_are_drawn_with_the_variance_of_he(student):
    """300 inputs: the weights are independent draws, with the mean 0 and the variance 2 / 300."""
    weight = np.array(student.MLP([300, 200], rng=np.random.default_rng(2)).params[0])

    expect.close(float(weight.var()), 2.0 / 300, "MLP.params (variance of the weights)", rtol=0.03)
    expect.between(float(weight.mean()), -0.002, 0.002, "MLP.params (mean of the weights)")
    is_drawn = np.unique(weight).size > 0.99 * weight.size
    expect.is_true(is_drawn, "MLP.params: many weights are equal; draw each of them")


@pytest.mark.task("mlp", weight=6)
def test_the_same_generator_gives_the_same_weights(student):
    """Every random number comes from rng: the same state gives the same weights, another state gives others."""
    one, again, other = (np.array(student.MLP([3, 2], rng=np.random.default_rng(seed)).params[0]) for seed in (5, 5, 6))

    expect.close(again, one, "MLP.params (the same seed again)", rtol=0, atol=0)
    expect.is_true(not np.array_equal(one, other), "MLP: another seed gave the same weights; draw from rng")


# --- 2.6 optimizers -----------------------------------------------------------------------------------------


@probe
def steps_of(student, name, settings, params, gradients):
    """Make one step for each list of gradients; return the parameters after every step."""
    optimizer = getattr(student, name)(**settings)
    params = [np.array(p) for p in params]
    path = []
    for grads in gradients:
        optimizer.step(params, [np.array(g) for g in grads])
        path.append([p.copy() for p in params])
    return path


@pytest.mark.task("optimizers", weight=8)
def test_plain_sgd_walks_against_the_gradient(student):
    """p - lr * g, in the array itself; the gradient stays as it is."""
    params, grads = [np.array([1.0, 2.0]), np.array([[3.0]])], [np.array([10.0, -10.0]), np.array([[5.0]])]

    student.SGD(lr=0.1).step(params, grads)

    expect.close(params[0], np.array([0.0, 3.0]), "SGD.step (first parameter)")
    expect.close(params[1], np.array([[2.5]]), "SGD.step (second parameter)")
    expect.close(grads[0], np.array([10.0, -10.0]), "SGD.step (the gradient, afterwards)")


@pytest.mark.task("optimizers", weight=8)
def test_momentum_gathers_speed(student):
    """With momentum 1/2 and a gradient of 1 the velocity is 1, 1.5, 1.75; Nesterov looks ahead: 1.5, 1.75."""
    settings = {"lr": 1.0, "momentum": 0.5}

    heavy = steps_of(student, "SGD", settings, [np.zeros(1)], [[np.ones(1)]] * 3)
    ahead = steps_of(student, "SGD", {**settings, "nesterov": True}, [np.zeros(1)], [[np.ones(1)]] * 2)

    expect.close(np.array([p[0][0] for p in heavy]), np.array([-1.0, -2.5, -4.25]), "SGD with momentum")
    expect.close(np.array([p[0][0] for p in ahead]), np.array([-1.5, -3.25]), "SGD with nesterov")


@pytest.mark.task("optimizers", weight=8)
def test_rmsprop_divides_by_the_size_of_the_gradient(student):
    """With alpha = 3/4 and g = 4 the average of g^2 is 4 after one step and 7 after two."""
    path = steps_of(student, "RMSprop", {"lr": 0.5, "alpha": 0.75}, [np.zeros(1)], [[np.full(1, 4.0)]] * 2)

    want = np.array([-0.5 * 4 / 2, -0.5 * 4 / 2 - 0.5 * 4 / math.sqrt(7.0)])
    expect.close(np.array([p[0][0] for p in path]), want, "RMSprop.step")


@pytest.mark.task("optimizers", weight=8)
def test_the_first_step_of_adam_has_the_length_of_the_learning_rate(student):
    """Both averages are corrected for their start at zero, so the first step is lr, whatever the gradient."""
    path = steps_of(student, "Adam", {"lr": 0.01}, [np.zeros(3)], [[np.array([100.0, -0.5, 3.0])]])

    expect.close(path[0][0], np.array([-0.01, 0.01, -0.01]), "Adam.step (first step)", rtol=1e-6)


@pytest.mark.task("optimizers", weight=8)
def test_adamw_shrinks_a_weight_that_has_no_gradient(student):
    """Without a gradient only the decay is left: every step multiplies by 1 - lr * weight_decay."""
    settings = {"lr": 0.1, "weight_decay": 0.5}

    path = steps_of(student, "AdamW", settings, [np.array([2.0])], [[np.zeros(1)]] * 2)

    expect.close(np.array([p[0][0] for p in path]), np.array([1.9, 1.805]), "AdamW.step")


@pytest.mark.task("optimizers", weight=6)
def test_weight_decay_is_added_to_the_gradient(student):
    """In SGD and Adam the decay joins the gradient: with g = 0 and p = 2, g becomes 0.5 * 2 = 1."""
    settings = {"lr": 0.1, "weight_decay": 0.5}

    plain, adam = (steps_of(student, name, settings, [np.array([2.0])], [[np.zeros(1)]]) for name in ("SGD", "Adam"))

    expect.close(plain[0][0], np.array([1.9]), "SGD.step with weight decay")
    expect.close(adam[0][0], np.array([1.9]), "Adam.step with weight decay (the first step has the length lr)")


@pytest.mark.task("optimizers", weight=2)
@pytest.mark.parametrize("name", ["SGD", "RMSprop", "Adam", "AdamW"])
def test_gradients_are_only_read(student, name):
    """The gradients belong to the caller: later steps, too, leave them as they are."""
    settings = {"momentum": 0.5, "weight_decay": 0.5} if name == "SGD" else {}
    optimizer, params = getattr(student, name)(lr=0.1, **settings), [np.array([2.0, -1.0])]
    grads = [np.array([4.0, -3.0])]

    for _ in range(3):
        optimizer.step(params, grads)

    expect.unchanged(grads[0], np.array([4.0, -3.0]), f"{name}.step (the gradient, after three steps)")


# --- 2.7 train ----------------------------------------------------------------------------------------------


@probe
def epochs_of(student, X, y, epochs, batch_size, seed, stop_after):
    """Train a stand-in for a model; return the batches it saw, the history, and the calls of a callback."""

    class Model:
        def __init__(self):
            self.params = [np.zeros(1)]
            self.batches = []

        def loss(self, X, y):
            self.batches.append((np.array(X), np.array(y)))
            return float(np.mean(y)), [np.ones(1)]

    class Optimizer:
        steps = 0

        def step(self, params, grads):
            self.steps += 1

    def watch(epoch, model, history):
        calls.append((epoch, len(history["loss"])))
        return epoch == stop_after

    calls, model, optimizer = [], Model(), Optimizer()
    rng = np.random.default_rng(seed)
    history = student.train(model, X, y, epochs, batch_size, optimizer, rng, callbacks=[watch])
    return model.batches, list(history["loss"]), calls, optimizer.steps


@pytest.mark.task("train", weight=7)
def test_ten_samples_make_batches_of_four_four_and_two(student):
    """Every sample once an epoch, its label with it, and the small rest is a batch like the others."""
    X, y = np.arange(10.0)[:, None], np.arange(10) * 3

    batches, _, _, steps = epochs_of(student, X, y, 2, 4, 0, 0)

    expect.equal([len(labels) for _, labels in batches], [4, 4, 2, 4, 4, 2], "train (batch sizes)")
    expect.equal(steps, 6, "train (steps of the optimiser)")
    for samples, labels in batches:
        expect.close(samples[:, 0] * 3, labels * 1.0, "train (each sample with its own label)")
    for epoch in (batches[:3], batches[3:]):
        seen = np.sort(np.concatenate([labels for _, labels in epoch]))
        expect.equal(seen, np.arange(10) * 3, "train (samples of one epoch)")


@pytest.mark.task("train", weight=10)
def test_a_large_batch_counts_more_than_a_small_one(student):
    """The loss of an epoch is a mean over samples: here the mean of all labels, however they were cut."""
    y = np.array([0, 0, 0, 0, 6])

    _, losses, _, _ = epochs_of(student, np.zeros((5, 1)), y, 3, 4, 1, 0)

    expect.close(np.array(losses), np.full(3, 1.2), "train (history['loss'])")


@pytest.mark.task("train", weight=10)
def test_a_callback_hears_of_every_epoch_and_can_end_the_training(student):
    """Epochs count from 1, the history is up to date when a callback sees it, and True means: enough."""
    X, y = np.zeros((4, 1)), np.arange(4)

    _, losses, calls, _ = epochs_of(student, X, y, 3, 2, 0, 0)
    _, short, _, _ = epochs_of(student, X, y, 9, 2, 0, 2)

    expect.equal(calls, [(1, 1), (2, 2), (3, 3)], "train (epoch and length of the history in a callback)")
    expect.equal(len(losses), 3, "train (length of history['loss'])")
    expect.equal(len(short), 2, "train (length of history['loss'], ended by a callback after epoch 2)")


@pytest.mark.task("train", weight=9)
def test_every_epoch_has_an_order_of_its_own(student):
    """Each epoch draws a new order from rng, so the same state of rng gives the same orders."""
    X, y = np.arange(20.0)[:, None], np.arange(20)

    first, again, other = (epochs_of(student, X, y, 2, 20, seed, 0)[0] for seed in (3, 3, 4))

    expect.equal([len(run) for run in (first, again, other)], [2, 2, 2], "train (batches in 2 epochs of one batch)")
    orders = {tuple(labels) for _, labels in (*first, *other)} | {tuple(range(20))}
    expect.equal(len(orders), 5, "train (different orders of four epochs, and the given one)")
    for (_, now), (_, was) in zip(again, first, strict=True):
        expect.equal(now, was, "train (order of the samples, the same seed again)")


@probe
def data_after_training(student, X, y):
    """Train a stand-in for a model; return the samples and labels as they are afterwards."""

    class Model:
        def __init__(self):
            self.params = [np.zeros(1)]

        def loss(self, X, y):
            return 1.0, [np.ones(1)]

    class Optimizer:
        def step(self, params, grads):
            return None

    student.train(Model(), X, y, 2, 4, Optimizer(), np.random.default_rng(0))
    return X, y


@pytest.mark.task("train")
def test_samples_and_labels_stay_in_their_order(student):
    """X and y belong to the caller: they hold the same numbers, in the same order, after the training."""
    X, y = data_after_training(student, np.arange(20.0).reshape(10, 2), np.arange(10))

    expect.equal(X, np.arange(20.0).reshape(10, 2), "train (X, afterwards)")
    expect.equal(y, np.arange(10), "train (y, afterwards)")


# --- 2.8 gradient_descent -----------------------------------------------------------------------------------


@pytest.mark.task("gradient_descent", weight=4)
def test_three_steps_down_a_parabola(student):
    """f(x) = x^2 from 8 with lr = 1/4: every step halves x."""
    points = student.gradient_descent(lambda x: x[0] ** 2, lambda x: 2.0 * x, np.array([8.0]), 0.25, 3)

    expect.close(points, np.array([[8.0], [4.0], [2.0], [1.0]]), "gradient_descent")


@pytest.mark.task("gradient_descent", weight=4)
def test_the_steepest_direction_decides(student):
    """With curvatures 1 and 10, x shrinks by 1 - lr * 1 and 1 - lr * 10: when does the second leave (-1, 1)?"""
    lr = student.max_stable_lr(np.array([[1.0, 0.0], [0.0, 10.0]]))

    expect.close(lr, 0.2, "max_stable_lr", rtol=1e-6)


@pytest.mark.task("gradient_descent")
def test_a_walk_only_reads_its_start(student):
    """x0 and A belong to the caller: both hold the same numbers after the call."""
    x0, A = np.array([8.0, -2.0]), np.array([[2.0, -1.0], [-1.0, 2.0]])

    student.gradient_descent(lambda x: x @ x, lambda x: 2.0 * x, x0, 0.25, 3)
    student.max_stable_lr(A)

    expect.unchanged(x0, np.array([8.0, -2.0]), "gradient_descent (x0)")
    expect.unchanged(A, np.array([[2.0, -1.0], [-1.0, 2.0]]), "max_stable_lr (A)")
