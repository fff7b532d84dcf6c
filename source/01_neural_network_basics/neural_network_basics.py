"""Neural network basics: from one artificial neuron to a multilayer network, in NumPy.

Letters: N samples, D features, C classes, H hidden units. The first axis of a batch counts samples, so a
batch of inputs is (N, D). A layer's weight is W (out, in), one row a neuron, and its bias is b (out,).
Numbers are float64.

Rules for the whole file: no function changes its arguments; results are new arrays. *How* you compute
something is yours to choose (loops or whole arrays, own helper functions, another formula), except that the
activation functions of task 1.2 must work on whole arrays, without a Python loop over entries or rows. Use
NumPy and Python's standard library only. A RuntimeWarning on the way to a right value (an overflow in a branch
that is then thrown away) costs nothing.
"""

import math
from itertools import pairwise

import numpy as np

# --- 1.1 One neuron -----------------------------------------------------------------------------------------


def mcculloch_pitts(x, w, threshold):
    """Return 1 where a neuron of McCulloch and Pitts (1943) fires and 0 where it stays silent.

    It fires when the weighted sum of its inputs reaches the threshold: x @ w >= threshold (equality fires).

    Args:
        x: inputs, (N, D), or one input (D,); usually zeros and ones, but any number will do
        w: weights, (D,); positive ones excite, negative ones inhibit
        threshold: a number

    Returns:
        0 and 1 of any dtype (int, float or bool): an array (N,) for x (N, D), a single number for x (D,)
    """
    raise NotImplementedError("mcculloch_pitts: not started")


class Perceptron:
    """Rosenblatt's perceptron: a neuron that learns from its mistakes.

    Attributes:
        w: weights, (D,) float64; zeros in a new perceptron
        b: bias, a number; zero in a new perceptron
        converged: True if the last call of `fit` ended with an epoch without an update; False in a new
            perceptron
    """

    def __init__(self, n_features, lr=1.0):
        """Start with zero weights, a zero bias and converged = False.

        Args:
            n_features: D, the number of inputs
            lr: learning rate, a positive number: the size of one update
        """
        raise NotImplementedError("Perceptron.__init__: not started")

    def fit(self, X, y, max_epochs=100):
        """Learn from labelled samples, one sample after the other, and return the number of updates made.

        An epoch visits every sample once, in the given order. A sample (x, y) with y * (w @ x + b) <= 0 (on
        the wrong side, or exactly on the boundary) causes one update, at once, before the next sample is
        looked at:

            w <- w + lr * y * x
            b <- b + lr * y

        Any other sample changes nothing. Stop after the first epoch without an update and set converged =
        True. If max_epochs epochs have been made and each of them had an update, stop with converged =
        False. (The epoch without an update counts as one of the max_epochs.)

        Learning goes on from the present w and b, and nothing is shuffled: two calls with max_epochs=1 do the
        same as one with max_epochs=2.

        Args:
            X: samples, (N, D) float64
            y: labels, (N,), each -1 or +1 (integers or floats)
            max_epochs: the largest number of epochs in this call, at least 1

        Returns:
            the number of updates in this call, over all of its epochs, a whole number (int or float)
        """
        raise NotImplementedError("Perceptron.fit: not started")

    def predict(self, X):
        """Return the side of the boundary on which each sample lies.

        Args:
            X: samples, (N, D) float64

        Returns:
            array (N,), +1 where w @ x + b >= 0 (so also on the boundary itself) and -1 elsewhere, int or float
        """
        raise NotImplementedError("Perceptron.predict: not started")


# --- 1.2 Activation functions -------------------------------------------------------------------------------
#
# Every function takes a float64 array x of any shape (one axis or more) and returns a new float64 array; x
# stays as it is. It must be right, and never nan or inf, for entries from -1100 to 1100. Work on whole
# arrays: a test counts the Python steps that your function takes, and they must not grow with the size of x.
# Where an axis is to be given, it may be any axis of x, counted from the front or from the back.
#
# `<name>_backward(dout, x)` is the vector-Jacobian product: given x (the *input* of the forward function)
# and dout, the gradient of some number L with respect to the forward function's output, return the gradient
# of L with respect to x, a new array of the shape of x. Forward and backward each work on their own:
# nothing is remembered between the calls.


def erf(x):
    """Return the error function of every entry of x (given here, since NumPy has none)."""
    return np.vectorize(math.erf, otypes=[np.float64])(x)


def sigmoid(x):
    """Return 1 / (1 + exp(-x)) of every entry of x, float64 of the shape of x."""
    raise NotImplementedError("sigmoid: not started")


def sigmoid_backward(dout, x):
    """Return the gradient with respect to x, the input of `sigmoid`; dout and x have the same shape."""
    raise NotImplementedError("sigmoid_backward: not started")


def tanh(x):
    """Return the hyperbolic tangent of every entry of x, float64 of the shape of x (np.tanh is allowed)."""
    raise NotImplementedError("tanh: not started")


def tanh_backward(dout, x):
    """Return the gradient with respect to x, the input of `tanh`; dout and x have the same shape."""
    raise NotImplementedError("tanh_backward: not started")


def relu(x):
    """Return max(x, 0) of every entry of x, float64 of the shape of x, in a new array."""
    raise NotImplementedError("relu: not started")


def relu_backward(dout, x):
    """Return the gradient with respect to x, the input of `relu`; at x = 0 the slope is 0."""
    raise NotImplementedError("relu_backward: not started")


def leaky_relu(x, negative_slope=0.01):
    """Return x where x is positive and negative_slope * x elsewhere.

    Args:
        x: float64 array of any shape
        negative_slope: slope of the left side, a number between 0 and 1

    Returns:
        float64 of the shape of x
    """
    raise NotImplementedError("leaky_relu: not started")


def leaky_relu_backward(dout, x, negative_slope=0.01):
    """Return the gradient with respect to x, the input of `leaky_relu`; at x = 0 take negative_slope."""
    raise NotImplementedError("leaky_relu_backward: not started")


def gelu(x):
    """Return x * Phi(x) of every entry, Phi being the standard normal distribution function.

    Phi(x) = (1 + erf(x / sqrt(2))) / 2. This is the exact form (errors up to 1e-6 pass); the well-known
    formula with tanh is off by up to 5e-4 and does not pass.
    """
    raise NotImplementedError("gelu: not started")


def gelu_backward(dout, x):
    """Return the gradient with respect to x, the input of `gelu`; dout and x have the same shape.

    The derivative of Phi(x) is the normal density exp(-x^2 / 2) / sqrt(2 pi). Errors up to 1e-6 pass.
    """
    raise NotImplementedError("gelu_backward: not started")


def logsumexp(x, axis=-1):
    """Return log(sum(exp(x))) along one axis, without overflow.

    Args:
        x: float64 array of any shape
        axis: the axis to sum over, an integer that may be negative

    Returns:
        float64 of the shape of x without that axis (for x (N, C) and axis=1: (N,))
    """
    raise NotImplementedError("logsumexp: not started")


def logsumexp_backward(dout, x, axis=-1):
    """Return the gradient with respect to x, the input of `logsumexp`.

    Args:
        dout: gradient with respect to the output, so of the shape of x without that axis
        x: float64 array of any shape
        axis: the axis that was summed over

    Returns:
        float64 of the shape of x
    """
    raise NotImplementedError("logsumexp_backward: not started")


def softmax(x, axis=-1):
    """Return exp(x) / sum(exp(x)) along one axis: positive numbers which add up to 1 along it.

    Args:
        x: float64 array of any shape
        axis: the axis along which the result adds up to 1, an integer that may be negative

    Returns:
        float64 of the shape of x
    """
    raise NotImplementedError("softmax: not started")


def softmax_backward(dout, x, axis=-1):
    """Return the gradient with respect to x, the input of `softmax` along the same axis.

    dout and x have the same shape. Every output depends on every input along the axis, so this is more than
    an entry-wise product.
    """
    raise NotImplementedError("softmax_backward: not started")


def log_softmax(x, axis=-1):
    """Return the logarithm of softmax along one axis, finite even where softmax itself rounds to zero.

    For x = [0, 1000] it is [-1000, 0].

    Args:
        x: float64 array of any shape
        axis: the axis of the softmax, an integer that may be negative

    Returns:
        float64 of the shape of x
    """
    raise NotImplementedError("log_softmax: not started")


def log_softmax_backward(dout, x, axis=-1):
    """Return the gradient with respect to x, the input of `log_softmax` along the same axis.

    dout and x have the same shape.
    """
    raise NotImplementedError("log_softmax_backward: not started")


# --- 1.3 A layer of neurons ---------------------------------------------------------------------------------


def linear_forward(x, W, b):
    """Return the outputs of a layer of neurons: each row of W, times the sample, plus that neuron's bias.

    Args:
        x: samples, (N, D) or with more axes, (N, ...): then every sample is first flattened in C order
            (NumPy's usual order, the last axis fastest) to D numbers
        W: weights, (out, D), one row a neuron
        b: biases, (out,)

    Returns:
        (N, out) float64, a new array; x, W and b keep their values and shapes
    """
    raise NotImplementedError("linear_forward: not started")


# --- 1.4 A network of layers --------------------------------------------------------------------------------


def mlp_forward(x, params, activation, return_cache=False):
    """Return the logits of a multilayer network, and on request every value on the way.

    With L layers and a0 = x, for l = 1 ... L:  z_l = a_(l-1) @ W_l.T + b_l, and for every l but the last
    a_l = activation(z_l). The last layer has no activation: its z_L are the logits. With L = 1 there is no
    activation at all.

    Args:
        x: samples, (N, D)
        params: list of L pairs (W, b) from the first layer to the last, each W (out, in), b (out,)
        activation: a function from an array to a new array of the same shape, such as `relu`
        return_cache: whether to return the cache as well

    Returns:
        logits (N, C) float64, or the pair (logits, cache) if return_cache is true. The cache is a new dict of
        arrays: "a0" is the input, each z the value *before* the activation and each a the value after it,
        up to the logits. Two layers make the keys "a0", "z1", "a1", "z2", three make "a0", "z1", "a1", "z2",
        "a2", "z3". (Further keys are allowed; an entry may be x or the logits itself, or a copy.)
    """
    raise NotImplementedError("mlp_forward: not started")


# --- 1.5 Initial weights ------------------------------------------------------------------------------------


def init_params(sizes, scheme, rng):
    """Return random weights and zero biases for a multilayer network.

    The entries of a W are independent draws with mean zero and the variance that the scheme asks for;
    whether from a normal or from a uniform distribution is free. fan_in and fan_out are the layer's numbers
    of inputs and outputs:

        "xavier"   variance 2 / (fan_in + fan_out)   (Glorot and Bengio 2010, for tanh and sigmoid)
        "he"       variance 2 / fan_in               (He et al. 2015, for ReLU)
        "zeros"    every weight is zero              (to see why this is a bad idea)

    Args:
        sizes: [D, H1, ..., C], numbers of units from the input to the output, a list or tuple of at least
            two integers
        scheme: "xavier", "he" or "zeros"
        rng: np.random.Generator, the only source of random numbers: the same state of rng gives the same
            weights, and two calls one after the other give different ones

    Returns:
        list of len(sizes) - 1 pairs (W, b) from the first layer to the last, W (out, in) float64, b (out,)
        float64 zeros

    Raises:
        ValueError: the scheme is none of the three
    """
    raise NotImplementedError("init_params: not started")


def count_parameters(sizes):
    """Return how many numbers, weights and biases, the network of `init_params(sizes, ...)` learns.

    Args:
        sizes: [D, H1, ..., C], numbers of units from the input to the output

    Returns:
        a whole number (int or float); 26 for [3, 4, 2] and 41 for [3, 4, 4, 1]
    """
    raise NotImplementedError("count_parameters: not started")


# --- 1.6 XOR by hand ----------------------------------------------------------------------------------------


def xor_weights():
    """Return weights, found by thinking and not by training, with which a network of two layers computes XOR.

    The test runs its own network with them, on x = (0,0), (0,1), (1,0), (1,1), and wants 0, 1, 1, 0:

        h = step(x @ W1.T + b1)        (N, H)
        y = step(h @ W2.T + b2)        (N, 1)        step(z) = 1 where z >= 0, else 0 (so step(0) = 1)

    The number H of hidden units is yours: at least 2, at most 16.

    Returns:
        (W1, b1, W2, b2): a tuple of four NumPy arrays of finite numbers (integers or floats),
        W1 (H, 2), b1 (H,), W2 (1, H), b2 (1,)
    """
    raise NotImplementedError("xor_weights: not started")


# --- 1.7 Properties of activations --------------------------------------------------------------------------


def activation_report(name):
    """Return what one should know of an activation function before using it.

    Args:
        name: "sigmoid", "tanh", "relu", "leaky_relu" (negative_slope 0.01) or "gelu"

    Returns:
        a dict with three keys:
        "range": a pair (low, high), the greatest lower and the least upper bound of the outputs over all
            real inputs, -np.inf or np.inf where there is none; right to 0.001 (for gelu's lowest value a
            number such as -0.170 will do)
        "zero_centered": bool, True if the outputs of inputs that lie symmetrically about zero average to
            zero, that is if f(-x) = -f(x) for all x
        "saturates": bool, True if the slope goes to zero on *both* sides, far to the left and far to the
            right

    Raises:
        ValueError: the name is none of the five
    """
    raise NotImplementedError("activation_report: not started")


def saturation_fraction(a, limits=(-1.0, 1.0), margin=0.01):
    """Return the share of activations that are stuck near an end of their range.

    An entry is stuck if it lies less than `margin` above the lower limit or less than `margin` below the
    upper one. (An entry exactly at the distance `margin` may count either way.) A limit of -np.inf or
    np.inf is never near. For tanh the limits are (-1, 1), the default; for sigmoid they are (0, 1); for
    ReLU (0, np.inf), and then it is the share of silent units.

    Args:
        a: activations (outputs of an activation function), float64 of any shape, at least one entry
        limits: the pair (low, high) of the activation function's range
        margin: how near is too near, a positive number

    Returns:
        the share, a number from 0 to 1
    """
    raise NotImplementedError("saturation_fraction: not started")


# --- 1.8 Predictions ----------------------------------------------------------------------------------------


def predict_proba(X, params, activation=relu):
    """Return the probability of each class: the softmax over the classes of the network's logits.

    Args:
        X: samples, (N, D)
        params: list of pairs (W, b), as for `mlp_forward`
        activation: the activation of the hidden layers, as for `mlp_forward`

    Returns:
        (N, C) float64; every row adds up to 1 and depends on its own sample only
    """
    raise NotImplementedError("predict_proba: not started")


def predict(X, params, activation=relu):
    """Return the most probable class of every sample.

    Args:
        X, params, activation: as for `predict_proba`

    Returns:
        array (N,) of integers from 0 to C - 1; of equally probable classes the one with the smallest number
    """
    raise NotImplementedError("predict: not started")


def accuracy(predicted, labels):
    """Return the share of predictions that equal their label.

    Args:
        predicted: classes, (N,) integers, N at least 1
        labels: true classes, (N,) integers

    Returns:
        a number from 0 to 1

    Raises:
        ValueError: the two arrays have different shapes ((N, 1) beside (N,) would broadcast to (N, N))
    """
    raise NotImplementedError("accuracy: not started")
