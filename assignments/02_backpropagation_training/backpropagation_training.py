"""Backpropagation and training: losses, gradients, an autograd engine, optimisers and a training loop, in NumPy.

Letters: N samples, D features, C classes. The first axis of a batch counts samples, so a batch of inputs is
(N, D). A layer's weight is W (out, in), one row a neuron, and its bias is b (out,); the layer computes
x @ W.T + b. Numbers are float64.

A gradient always has the shape of what it belongs to: the gradient of a number L with respect to an array x
holds, at each place, how fast L grows with that entry of x. `dout` is the gradient of L with respect to the
output of a function, "what comes from above".

Rules for the whole file: no function changes its arguments, except where its docstring says so (the
optimisers move parameters in place). *How* you compute something is yours to choose: loops or whole arrays,
own helper functions, another formula. Loops over single numbers are slower, and fast enough for every test.
Where "a number" is to be returned, a Python float, a NumPy scalar or an array of shape () will do. Use NumPy
and Python's standard library only. A RuntimeWarning on the way to a right value costs nothing.
"""

import math
from itertools import pairwise

import numpy as np

# --- 2.1 Loss functions -------------------------------------------------------------------------------------
#
# Every loss returns the pair (loss, grad): the loss is a number, the *mean* over all samples (or entries, as
# the docstring says), and grad is the gradient of that very number with respect to the first argument:
# float64, a new array of the shape of the first argument. As the loss is a mean, so is its gradient's scale.

### BEGIN SOLUTION


def _need_equal_shapes(what, first, second):
    if np.shape(first) != np.shape(second):
        raise ValueError(f"{what}: shapes {np.shape(first)} and {np.shape(second)} differ; give equal ones")


def _sigmoid(z):
    return 0.5 * (1.0 + np.tanh(0.5 * z))


### END SOLUTION


def mse_loss(pred, target):
    """Return the mean squared error, the mean over all entries of (pred - target)^2, and its gradient.

    There is no factor 1/2: the loss of pred = [3.0] and target = [1.0] is 4.

    Args:
        pred: predictions, float64 of any shape with at least one axis
        target: what they should have been, of the same shape

    Returns:
        (loss, grad): a number, and its gradient with respect to pred, float64 of the shape of pred

    Raises:
        ValueError: the shapes differ ((N, 1) beside (N,) would broadcast to (N, N))
    """
    ### BEGIN SOLUTION
    _need_equal_shapes("mse_loss", pred, target)
    error = pred - target
    return float(np.mean(error**2)), 2.0 * error / error.size
    ### END SOLUTION


def bce_with_logits(logits, y):
    """Return the binary cross-entropy of logits, and its gradient.

    For one logit z with target y, with p = sigmoid(z) = 1 / (1 + exp(-z)):

        -(y log p + (1 - y) log(1 - p))

    and the loss is the mean over all entries. It must be right, and never nan or inf, for logits from -1000
    to 1000: the loss of z = 1000 with y = 0 is 1000, that of z = -1000 with y = 0 is 0.

    Args:
        logits: float64 of any shape with at least one axis; raw numbers, before any sigmoid
        y: targets, of the same shape, 0 or 1 (integers or floats) or anything between (floats)

    Returns:
        (loss, grad): a number, and its gradient with respect to the logits, float64 of the shape of logits

    Raises:
        ValueError: the shapes differ
    """
    ### BEGIN SOLUTION
    _need_equal_shapes("bce_with_logits", logits, y)
    losses = np.maximum(logits, 0.0) - logits * y + np.log1p(np.exp(-np.abs(logits)))
    return float(np.mean(losses)), (_sigmoid(logits) - y) / logits.size
    ### END SOLUTION


def cross_entropy(logits, y):
    """Return the cross-entropy of class labels under softmax(logits), and its gradient.

    For one sample with logits z (C,) and class y it is -log(p[y]) with p = softmax(z) = exp(z) / sum(exp(z)).
    The loss is the mean over the N samples. It must be right, and never nan or inf, for logits from -1000 to
    1000: the loss of z = (0, 1000) with y = 0 is 1000.

    Args:
        logits: (N, C) float64; raw numbers, before any softmax
        y: classes, (N,) integers from 0 to C - 1

    Returns:
        (loss, grad): a number, and its gradient with respect to the logits, (N, C) float64

    Raises:
        ValueError: y is not of shape (N,), for example (N, 1) or one-hot rows (N, C)
    """
    ### BEGIN SOLUTION
    if np.shape(y) != logits.shape[:1]:
        raise ValueError(f"cross_entropy: labels {np.shape(y)}; give {logits.shape[:1]} class numbers")
    N = logits.shape[0]
    rows = np.arange(N)
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))  # (N, C)
    grad = np.exp(log_p)
    grad[rows, y] -= 1.0
    return float(-np.mean(log_p[rows, y])), grad / N
    ### END SOLUTION


def huber_loss(pred, target, delta=1.0):
    """Return the Huber loss, a square near zero and a straight line further out, and its gradient.

    For one entry with the error e = pred - target (as torch.nn.HuberLoss has it):

        e^2 / 2                          where |e| <= delta
        delta * (|e| - delta / 2)        elsewhere

    and the loss is the mean over all entries.

    Args:
        pred: predictions, float64 of any shape with at least one axis
        target: what they should have been, of the same shape
        delta: where the line begins, a positive number

    Returns:
        (loss, grad): a number, and its gradient with respect to pred, float64 of the shape of pred

    Raises:
        ValueError: the shapes differ
    """
    ### BEGIN SOLUTION
    _need_equal_shapes("huber_loss", pred, target)
    error = pred - target
    size = np.abs(error)
    losses = np.where(size <= delta, 0.5 * error**2, delta * (size - 0.5 * delta))
    return float(np.mean(losses)), np.clip(error, -delta, delta) / error.size
    ### END SOLUTION


# --- 2.2 Gradients by measuring -----------------------------------------------------------------------------


def numerical_gradient(f, x, h=1e-5):
    """Return the gradient of f at x, measured by central differences.

    Entry i of it is (f(x + h e_i) - f(x - h e_i)) / (2 h), where x + h e_i is x with h added to that entry
    alone. Its error is of the order h^2; a one-sided difference has an error of the order h.

    Args:
        f: a function that takes an array of the shape of x and returns a number
        x: where to measure, an array of any shape with at least one axis. It may be float32 or have a gap
            between its entries in memory (a slice of another array)
        h: the step, a positive number

    Returns:
        float64 of the shape of x. Work in float64 also when x is float32, that is, call f with float64
        arrays (float32 would drown the difference in rounding errors)

    x holds its old values when the function returns, bit for bit. Whether f was given x itself, changed for
    a moment, or copies of it, is free.
    """
    ### BEGIN SOLUTION
    point = np.array(x, dtype=np.float64)
    grad = np.zeros_like(point)
    for index in np.ndindex(point.shape):
        centre = point[index]
        point[index] = centre + h
        above = f(point)
        point[index] = centre - h
        below = f(point)
        point[index] = centre
        grad[index] = (above - below) / (2.0 * h)
    return grad
    ### END SOLUTION


def grad_check(f, df, x, h=1e-5):
    """Return the largest relative error of a gradient, compared with central differences.

    With a = df(x), the gradient to be checked, and n = the numerical gradient of f at x with step h, the
    relative error of entry i is

        |a_i - n_i| / max(1e-8, |a_i| + |n_i|)

    and the result is the largest of them over *all* entries. It is 0 where both gradients are zero, 1 where
    the sign is wrong, and far below 1e-5 where df is right.

    Args:
        f: a function that takes an array of the shape of x and returns a number
        df: a function that takes such an array and returns an array of its shape: the gradient of f, or
            what somebody believes it to be. That array is not yours: it stays as it is
        x: where to compare, float64 of any shape with at least one axis; it holds its old values afterwards
        h: the step, a positive number

    Returns:
        a number from 0 to 1
    """
    ### BEGIN SOLUTION
    claimed = df(x)
    measured = numerical_gradient(f, x, h)
    scale = np.maximum(1e-8, np.abs(claimed) + np.abs(measured))
    return float(np.max(np.abs(claimed - measured) / scale))
    ### END SOLUTION


# --- 2.3 Backward through one layer -------------------------------------------------------------------------
#
# `<layer>_backward(dout, cache)` gets dout, the gradient of a number L with respect to the layer's output,
# and cache, what the forward pass has kept. It returns the gradient of L with respect to the layer's input
# (and parameters): new float64 arrays. dout and cache stay as they are. Nothing is divided by N here: a mean
# belongs to the loss, and its 1/N has arrived with dout.


def linear_backward(dout, cache):
    """Return the gradients of a layer out = x @ W.T + b.

    Args:
        dout: gradient with respect to the output, (N, out)
        cache: the pair (x, W): the layer's input (N, D) and its weight (out, D)

    Returns:
        (dx, dW, db): gradients with respect to x (N, D), W (out, D) and b (out,)
    """
    ### BEGIN SOLUTION
    x, W = cache
    return dout @ W, dout.T @ x, dout.sum(axis=0)
    ### END SOLUTION


def relu_backward(dout, cache):
    """Return the gradient with respect to the input of ReLU, out = max(x, 0); at x = 0 the slope is 0.

    Args:
        dout: gradient with respect to the output, any shape
        cache: x, the *input* of the ReLU, of the same shape

    Returns:
        float64 of the shape of x
    """
    ### BEGIN SOLUTION
    x = cache
    return dout * (x > 0)
    ### END SOLUTION


def sigmoid_backward(dout, cache):
    """Return the gradient with respect to the input x of a sigmoid, out = 1 / (1 + exp(-x)).

    Args:
        dout: gradient with respect to the output, any shape
        cache: out, the *output* of the sigmoid (not its input), of the same shape

    Returns:
        float64 of the shape of out
    """
    ### BEGIN SOLUTION
    out = cache
    return dout * out * (1.0 - out)
    ### END SOLUTION


def tanh_backward(dout, cache):
    """Return the gradient with respect to the input x of out = tanh(x).

    Args:
        dout: gradient with respect to the output, any shape
        cache: out, the *output* of the tanh (not its input), of the same shape

    Returns:
        float64 of the shape of out
    """
    ### BEGIN SOLUTION
    out = cache
    return dout * (1.0 - out**2)
    ### END SOLUTION


def softmax_backward(dout, cache):
    """Return the gradient with respect to the input x of a softmax along the last axis.

    Args:
        dout: gradient with respect to the output, (N, C)
        cache: p, the *output* of the softmax, (N, C): each row is positive and adds up to 1

    Returns:
        (N, C) float64. Every p of a row depends on every x of that row, so this is more than an entry-wise
        product
    """
    ### BEGIN SOLUTION
    p = cache
    return p * (dout - (dout * p).sum(axis=-1, keepdims=True))
    ### END SOLUTION


# --- 2.4 An autograd engine ---------------------------------------------------------------------------------

### BEGIN SOLUTION


class _Tape:
    is_on = True


def _as_tensor(value):
    return value if isinstance(value, Tensor) else Tensor(value)


def _sum_to(grad, shape):
    """Sum a gradient over the axes along which its operand was broadcast."""
    grad = grad.sum(axis=tuple(range(grad.ndim - len(shape))))
    stretched = tuple(axis for axis, size in enumerate(shape) if size == 1)
    return grad.sum(axis=stretched, keepdims=True)


### END SOLUTION


class no_grad:
    """Switch recording off: `with no_grad():` lets Tensors compute without remembering how.

    Inside the block every result has requires_grad = False and counts as a constant for whatever is computed
    from it later. When the block ends, also when it ends with an exception, recording is as it was before
    the block, so blocks may be nested. (A function made with contextlib.contextmanager may take the place of
    this class.)
    """

    def __enter__(self):
        ### BEGIN SOLUTION
        self.before = _Tape.is_on
        _Tape.is_on = False
        return self
        ### END SOLUTION

    def __exit__(self, kind, error, traceback):
        ### BEGIN SOLUTION
        _Tape.is_on = self.before
        ### END SOLUTION


class Tensor:
    """An array that remembers how it was computed, so that it can send gradients back.

    Attributes:
        data: the values, a float64 array
        requires_grad: bool. For a result: True if recording is on (see `no_grad`) and at least one of its
            operands has requires_grad = True
        grad: None, or the gradient as a NumPy array (not a Tensor), float64 of the shape of data. None in
            every new Tensor; `backward` fills it; code that uses a Tensor may set it to None again

    A Tensor made by `Tensor(...)` is a leaf. Whether results (Tensors that are no leaves) also get a grad
    is free; tests look at leaves only. A leaf with requires_grad = False keeps grad = None.

    The operands of + - * / @ are Tensors; the right one may also be a number or a NumPy array, the left one
    also a number, and these count as constants. + - * / broadcast as NumPy does. Every operation returns a
    new Tensor and leaves its operands as they are, so `a += 1` makes `a` another Tensor and what was computed
    from the old one stays right.
    """

    def __init__(self, data, requires_grad=False):
        """Make a leaf.

        Args:
            data: an array, a (nested) list or a number, of floats or integers; it may or may not be copied
            requires_grad: whether `backward` shall fill this Tensor's grad
        """
        ### BEGIN SOLUTION
        self.data = np.asarray(data, dtype=np.float64)
        self.requires_grad = requires_grad
        self.grad = None
        self._links = ()  # pairs (operand, function from this result's gradient to the operand's)
        ### END SOLUTION

    ### BEGIN SOLUTION
    @staticmethod
    def _result(data, *links):
        out = Tensor(data)
        if _Tape.is_on:
            out._links = tuple(link for link in links if link[0].requires_grad)
            out.requires_grad = bool(out._links)
        return out

    ### END SOLUTION

    def __add__(self, other):
        """Return self + other."""
        ### BEGIN SOLUTION
        other = _as_tensor(other)
        return Tensor._result(
            self.data + other.data,
            (self, lambda grad: _sum_to(grad, self.data.shape)),
            (other, lambda grad: _sum_to(grad, other.data.shape)),
        )
        ### END SOLUTION

    def __mul__(self, other):
        """Return self * other, entry by entry."""
        ### BEGIN SOLUTION
        other = _as_tensor(other)
        return Tensor._result(
            self.data * other.data,
            (self, lambda grad: _sum_to(grad * other.data, self.data.shape)),
            (other, lambda grad: _sum_to(grad * self.data, other.data.shape)),
        )
        ### END SOLUTION

    def __truediv__(self, other):
        """Return self / other, entry by entry."""
        ### BEGIN SOLUTION
        other = _as_tensor(other)
        return Tensor._result(
            self.data / other.data,
            (self, lambda grad: _sum_to(grad / other.data, self.data.shape)),
            (other, lambda grad: _sum_to(-grad * self.data / other.data**2, other.data.shape)),
        )
        ### END SOLUTION

    def __pow__(self, exponent):
        """Return self to the power of a number (an integer or a float, positive or negative), entry by entry."""
        ### BEGIN SOLUTION
        return Tensor._result(self.data**exponent, (self, lambda grad: grad * exponent * self.data ** (exponent - 1.0)))
        ### END SOLUTION

    def __matmul__(self, other):
        """Return the matrix product of self (n, k) and other (k, m); both have two axes."""
        ### BEGIN SOLUTION
        other = _as_tensor(other)
        return Tensor._result(
            self.data @ other.data,
            (self, lambda grad: grad @ other.data.T),
            (other, lambda grad: self.data.T @ grad),
        )
        ### END SOLUTION

    # The next six are given: they follow from those above.

    def __neg__(self):
        return self * -1.0

    def __sub__(self, other):
        return self + (-other)

    def __radd__(self, other):
        return self + other

    def __rsub__(self, other):
        return (-self) + other

    def __rmul__(self, other):
        return self * other

    def __rtruediv__(self, other):
        return self**-1.0 * other

    def exp(self):
        """Return the exponential of every entry."""
        ### BEGIN SOLUTION
        out = np.exp(self.data)
        return Tensor._result(out, (self, lambda grad: grad * out))
        ### END SOLUTION

    def log(self):
        """Return the natural logarithm of every entry; all entries are positive."""
        ### BEGIN SOLUTION
        return Tensor._result(np.log(self.data), (self, lambda grad: grad / self.data))
        ### END SOLUTION

    def relu(self):
        """Return max(x, 0) of every entry; at 0 the slope is 0."""
        ### BEGIN SOLUTION
        return Tensor._result(np.maximum(self.data, 0.0), (self, lambda grad: grad * (self.data > 0)))
        ### END SOLUTION

    def sum(self, axis=None, keepdims=False):
        """Return the sum along one axis, or over all entries.

        Args:
            axis: an integer, which may be negative, or None for all entries (a result of shape ())
            keepdims: keep the summed axis (or, with axis=None, all axes) with length 1
        """
        ### BEGIN SOLUTION
        shape = self.data.shape

        def spread(grad):
            if axis is not None and not keepdims:
                grad = np.expand_dims(grad, axis)
            return np.broadcast_to(grad, shape)

        return Tensor._result(self.data.sum(axis=axis, keepdims=keepdims), (self, spread))
        ### END SOLUTION

    def reshape(self, *shape):
        """Return the same entries in another shape, in C order, as NumPy does.

        Both a.reshape(2, 3) and a.reshape((2, 3)) work, and one of the lengths may be -1.
        """
        ### BEGIN SOLUTION
        before = self.data.shape
        return Tensor._result(self.data.reshape(*shape), (self, lambda grad: grad.reshape(before)))
        ### END SOLUTION

    def broadcast_to(self, shape):
        """Return self repeated to a larger shape by NumPy's rules of broadcasting.

        Args:
            shape: a tuple; (4,) can become (3, 4), (3, 1) can become (2, 3, 5)
        """
        ### BEGIN SOLUTION
        before = self.data.shape
        return Tensor._result(np.broadcast_to(self.data, shape), (self, lambda grad: _sum_to(grad, before)))
        ### END SOLUTION

    def backward(self, grad=None):
        """Add to the grad of every leaf, on which self depends and which requires it, its gradient.

        The gradient is that of the number sum(grad * self): of self itself, if self is a single number and
        grad is left out. It is *added* to what a leaf's grad already holds (None counts as zero).

        A Tensor that is used several times gets the sum over all its uses. Every node of the graph is worked
        off once, after all nodes that use it, so the time is proportional to the size of the graph, however
        many paths lead through it. A chain of 20,000 operations must work: Python's recursion limit is far
        below that.

        Gradients of results do not pile up between calls: calling backward twice on the same Tensor gives
        the leaves twice the gradient, and two different results that share a part of the graph each add
        their own gradient.

        Args:
            grad: what comes from above, a float64 array of the shape of self.data, which stays as it is and
                shares no memory with any leaf's grad. It may be left out if self.data has the shape (), and
                counts as 1 then

        Raises:
            RuntimeError: self does not require a gradient, or grad is left out and self.data has more than
                one entry
        """
        ### BEGIN SOLUTION
        if not self.requires_grad:
            raise RuntimeError("backward: this Tensor requires no gradient; was it computed from constants?")
        if grad is None:
            if self.data.size != 1:
                raise RuntimeError(f"backward: shape {self.data.shape} is no single number; pass grad")
            grad = np.ones_like(self.data)
        gradients = {id(self): np.asarray(grad)}
        for node in reversed(self._graph()):
            above = gradients.pop(id(node))
            if not node._links:
                node.grad = above.copy() if node.grad is None else node.grad + above
            for operand, pull_back in node._links:
                share = pull_back(above)
                gradients[id(operand)] = gradients[id(operand)] + share if id(operand) in gradients else share
        ### END SOLUTION

    ### BEGIN SOLUTION
    def _graph(self):
        """Return all nodes below this one, each after the nodes that it was computed from."""
        order, seen, stack = [], {id(self)}, [(self, iter(self._links))]
        while stack:
            node, links = stack[-1]
            for operand, _ in links:
                if id(operand) not in seen:
                    seen.add(id(operand))
                    stack.append((operand, iter(operand._links)))
                    break
            else:
                order.append(node)
                stack.pop()
        return order

    ### END SOLUTION

    def zero_grad(self):
        """Forget the gradient: grad is None again."""
        ### BEGIN SOLUTION
        self.grad = None
        ### END SOLUTION


# --- 2.5 A network with its gradients -----------------------------------------------------------------------


class MLP:
    """A multilayer network for classification: linear layers with ReLU between them, logits at the end.

    With a_0 = X, for every layer l = 1 ... L: z_l = a_(l-1) @ W_l.T + b_l, and for every layer but the last
    a_l = max(z_l, 0). The logits are z_L.

    Attributes:
        params: the list [W_1, b_1, W_2, b_2, ..., W_L, b_L] of float64 arrays, W (out, in), b (out,). These
            are the arrays that the network computes with: code that changes one of them in place changes the
            network
    """

    def __init__(self, sizes, l1=0.0, l2=0.0, rng=None):
        """Draw random weights and set the biases to zero.

        The entries of a W are independent draws with mean zero and variance 2 / in (He et al. 2015), where
        `in` is the layer's number of inputs; from a normal or a uniform distribution, as you like.

        Args:
            sizes: [D, H_1, ..., C], numbers of units from the input to the output, at least two integers
            l1: strength of the L1 penalty, a number from 0
            l2: strength of the L2 penalty, a number from 0
            rng: np.random.Generator, the only source of random numbers: the same state of rng gives the
                same weights. None stands for a fresh np.random.default_rng()
        """
        ### BEGIN SOLUTION
        rng = np.random.default_rng() if rng is None else rng
        self.l1, self.l2 = l1, l2
        self.params = []
        for fan_in, fan_out in pairwise(sizes):
            self.params.append(math.sqrt(2.0 / fan_in) * rng.standard_normal((fan_out, fan_in)))
            self.params.append(np.zeros(fan_out))
        ### END SOLUTION

    def forward(self, X):
        """Return the logits, (N, C) float64, of samples X (N, D)."""
        ### BEGIN SOLUTION
        return self._activations(X)[-1]
        ### END SOLUTION

    ### BEGIN SOLUTION
    def _activations(self, X):
        """Return [X, a_1, ..., a_(L-1), logits]."""
        steps = [X]
        for W, b in zip(self.params[::2], self.params[1::2], strict=True):
            if len(steps) > 1:
                steps[-1] = np.maximum(steps[-1], 0.0)
            steps.append(steps[-1] @ W.T + b)
        return steps

    ### END SOLUTION

    def predict(self, X):
        """Return the class with the largest logit of every sample, (N,) integers."""
        ### BEGIN SOLUTION
        return np.argmax(self.forward(X), axis=1)
        ### END SOLUTION

    def loss(self, X, y):
        """Return the objective of training, and its gradient with respect to every parameter.

        The objective is the mean cross-entropy over the N samples (as `cross_entropy`) plus the penalties

            l1 * sum |w|  +  (l2 / 2) * sum w^2

        over all entries w of all *weights* W_1 ... W_L. Biases are not penalised. For the slope of |w| at
        w = 0 take 0. The penalties are not divided by N.

        Args:
            X: samples, (N, D) float64
            y: classes, (N,) integers from 0 to C - 1

        Returns:
            (loss, grads): a number, and a list of new float64 arrays in the order and with the shapes of
            params. The parameters themselves stay as they are
        """
        ### BEGIN SOLUTION
        steps = self._activations(X)
        value, above = cross_entropy(steps[-1], y)
        grads = []
        for layer in reversed(range(len(steps) - 1)):
            W = self.params[2 * layer]
            below, dW, db = linear_backward(above, (steps[layer], W))
            dW = dW + self.l1 * np.sign(W) + self.l2 * W
            value += self.l1 * np.sum(np.abs(W)) + 0.5 * self.l2 * np.sum(W**2)
            grads = [dW, db, *grads]
            above = relu_backward(below, steps[layer])  # 0 just where the unit was silent
        return float(value), grads
        ### END SOLUTION

    def evaluate(self, X, y):
        """Return how good the network is, without the penalties: they steer training and measure nothing.

        Args:
            X: samples, (N, D) float64
            y: classes, (N,) integers

        Returns:
            (loss, accuracy): the mean cross-entropy, a number, and the share of samples whose predicted
            class is right, a number from 0 to 1
        """
        ### BEGIN SOLUTION
        logits = self.forward(X)
        return cross_entropy(logits, y)[0], float(np.mean(np.argmax(logits, axis=1) == y))
        ### END SOLUTION


# --- 2.6 Optimisers -----------------------------------------------------------------------------------------
#
# All four work alike. `opt.step(params, grads)` gets two lists of equal length: float64 arrays of any
# shapes, and their gradients. It moves every parameter *in place* (the arrays in the list are the same
# objects afterwards, with new values) and leaves the gradients as they are. What it returns does not matter.
#
# An optimiser keeps its state (velocities, averages, the number of steps) from one step to the next,
# separately for every parameter: the k-th array of the list always is the k-th parameter, and one optimiser
# serves one list of parameters. Two optimisers share nothing. The state starts at zero. It holds arrays of its
# own: between two steps the caller may write the next gradients into the same arrays. `opt.lr` holds the
# learning rate and may be set to another number between two steps.
#
# Below, p is a parameter, g its gradient, and all operations are entry by entry.


class SGD:
    """Stochastic gradient descent, with momentum, Nesterov momentum and weight decay, as torch.optim.SGD.

        g <- g + weight_decay * p
        v <- momentum * v + g                  (v starts at zero, so v = g in the first step)
        p <- p - lr * v                        or, with nesterov:  p <- p - lr * (g + momentum * v)

    With momentum = 0 this is p <- p - lr * g.

    Attributes:
        lr: the learning rate
    """

    def __init__(self, lr=1e-3, momentum=0.0, nesterov=False, weight_decay=0.0):
        """Keep the settings: numbers from 0, and nesterov a bool (True only with momentum > 0)."""
        ### BEGIN SOLUTION
        self.lr = lr
        self.momentum = momentum
        self.nesterov = nesterov
        self.weight_decay = weight_decay
        self.velocities = None
        ### END SOLUTION

    def step(self, params, grads):
        """Move every parameter in place by one step."""
        ### BEGIN SOLUTION
        if self.velocities is None:
            self.velocities = [np.zeros_like(p) for p in params]
        for p, grad, v in zip(params, grads, self.velocities, strict=True):
            g = grad + self.weight_decay * p
            v[...] = self.momentum * v + g
            p -= self.lr * (g + self.momentum * v if self.nesterov else v)
        ### END SOLUTION


class RMSprop:
    """Divide every gradient by a running average of its size, as torch.optim.RMSprop.

        s <- alpha * s + (1 - alpha) * g^2     (s starts at zero)
        p <- p - lr * g / (sqrt(s) + eps)

    Attributes:
        lr: the learning rate
    """

    def __init__(self, lr=1e-2, alpha=0.99, eps=1e-8):
        """Keep the settings."""
        ### BEGIN SOLUTION
        self.lr = lr
        self.alpha = alpha
        self.eps = eps
        self.squares = None
        ### END SOLUTION

    def step(self, params, grads):
        """Move every parameter in place by one step."""
        ### BEGIN SOLUTION
        if self.squares is None:
            self.squares = [np.zeros_like(p) for p in params]
        for p, g, s in zip(params, grads, self.squares, strict=True):
            s[...] = self.alpha * s + (1.0 - self.alpha) * g**2
            p -= self.lr * g / (np.sqrt(s) + self.eps)
        ### END SOLUTION


class Adam:
    """Momentum and a running size, both corrected for their start at zero, as torch.optim.Adam.

    In step t = 1, 2, 3, ... with betas = (beta1, beta2):

        g <- g + weight_decay * p
        m <- beta1 * m + (1 - beta1) * g                (m and s start at zero)
        s <- beta2 * s + (1 - beta2) * g^2
        p <- p - lr * (m / (1 - beta1^t)) / (sqrt(s / (1 - beta2^t)) + eps)

    t counts the calls of `step`, for all parameters alike.

    Attributes:
        lr: the learning rate
    """

    def __init__(self, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0):
        """Keep the settings."""
        ### BEGIN SOLUTION
        self.lr = lr
        self.betas = betas
        self.eps = eps
        self.weight_decay = weight_decay
        self.steps = 0
        self.means = self.squares = None
        ### END SOLUTION

    def step(self, params, grads):
        """Move every parameter in place by one step."""
        ### BEGIN SOLUTION
        self._move(params, [g + self.weight_decay * p for p, g in zip(params, grads, strict=True)])
        ### END SOLUTION

    ### BEGIN SOLUTION
    def _move(self, params, grads):
        if self.means is None:
            self.means = [np.zeros_like(p) for p in params]
            self.squares = [np.zeros_like(p) for p in params]
        self.steps += 1
        beta1, beta2 = self.betas
        for p, g, m, s in zip(params, grads, self.means, self.squares, strict=True):
            m[...] = beta1 * m + (1.0 - beta1) * g
            s[...] = beta2 * s + (1.0 - beta2) * g**2
            size = np.sqrt(s / (1.0 - beta2**self.steps)) + self.eps
            p -= self.lr * (m / (1.0 - beta1**self.steps)) / size

    ### END SOLUTION


class AdamW:
    """Adam with decoupled weight decay (Loshchilov and Hutter 2017), as torch.optim.AdamW.

    The decay never meets m and s:

        p <- p * (1 - lr * weight_decay)
        then the step of Adam with weight_decay = 0, from the same gradient g

    Attributes:
        lr: the learning rate
    """

    def __init__(self, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2):
        """Keep the settings."""
        ### BEGIN SOLUTION
        self.lr = lr
        self.weight_decay = weight_decay
        self.adam = Adam(lr, betas, eps)
        ### END SOLUTION

    def step(self, params, grads):
        """Move every parameter in place by one step."""
        ### BEGIN SOLUTION
        for p in params:
            p *= 1.0 - self.lr * self.weight_decay
        self.adam.lr = self.lr
        self.adam.step(params, grads)
        ### END SOLUTION


# --- 2.7 The training loop ----------------------------------------------------------------------------------


def train(model, X, y, epochs, batch_size, opt, rng, callbacks=(), X_val=None, y_val=None):
    """Train a model in shuffled batches and return the history.

    An epoch visits every sample exactly once: draw a new order of the N samples from rng, the same for X and
    y, and cut it into batches of batch_size samples; the last batch holds what is left over and may be
    smaller (N = 10 and batch_size = 4 makes 4, 4, 2). For each batch call model.loss(X_batch, y_batch) once,
    and then opt.step(model.params, grads) once.

    At the end of an epoch, record it in the history and then call callback(epoch, model, history) for every
    callback, in their order; epoch is 1 for the first epoch. If one of them returns True, training ends
    after this epoch (whether callbacks further back in the list are still called is free). It ends for no other
    reason, and nothing but opt.step moves the parameters: they are left as the last step left them.

    Args:
        model: any object with `params` and `loss(X, y) -> (loss, grads)`, and, if X_val is given,
            `evaluate(X, y) -> (loss, accuracy)`, such as an `MLP`
        X: samples, (N, D)
        y: their classes, (N,)
        epochs: the largest number of epochs
        batch_size: samples in a batch, at least 1; it may be larger than N
        opt: any object with `step(params, grads)`, such as an `Adam`
        rng: np.random.Generator, the only source of randomness: the same state gives the same batches
        callbacks: a list or tuple of functions
        X_val, y_val: samples that are not trained on, and their classes, or None

    Returns:
        history, a dict of lists with one number for each epoch that was made:
        "loss": the mean loss of the epoch *per sample*, made of the numbers that model.loss returned for its
            batches; a batch of 4 counts twice as much as a batch of 2
        "val_loss", "val_accuracy": model.evaluate(X_val, y_val) after the last step of the epoch; only if
            X_val is given
        (Further keys are allowed.) X, y, X_val and y_val stay as they are.
    """
    ### BEGIN SOLUTION
    N = len(X)
    history = {"loss": []}
    if X_val is not None:
        history.update(val_loss=[], val_accuracy=[])
    for epoch in range(1, epochs + 1):
        order = rng.permutation(N)
        total = 0.0
        for start in range(0, N, batch_size):
            batch = order[start : start + batch_size]
            loss, grads = model.loss(X[batch], y[batch])
            opt.step(model.params, grads)
            total += loss * len(batch)
        history["loss"].append(total / N)
        if X_val is not None:
            loss, accuracy = model.evaluate(X_val, y_val)
            history["val_loss"].append(loss)
            history["val_accuracy"].append(accuracy)
        answers = [callback(epoch, model, history) for callback in callbacks]
        if any(answers):
            break
    return history
    ### END SOLUTION


# --- 2.8 How large may a step be? ---------------------------------------------------------------------------


def gradient_descent(f, df, x0, lr, steps):
    """Walk downhill from x0 and return every point on the way.

    A step goes from x to x - lr * df(x). If f is not finite at a new point (the walk has blown up), the walk
    ends there and this point is left out, so every point that is returned has a finite value. It ends for no
    other reason: at the bottom, too, all steps are made, though they lead nowhere.

    Args:
        f: the function that is to become small, from an array (D,) to a number
        df: its gradient, from an array (D,) to an array (D,)
        x0: the start, (D,) float64, where f is finite; it stays as it is
        lr: the learning rate, a positive number
        steps: the number of steps (if the walk does not blow up), an integer from 0

    Returns:
        (K + 1, D) float64, where K is the number of steps made: row 0 is x0, row k the point after k steps
    """
    ### BEGIN SOLUTION
    points = [np.array(x0, dtype=np.float64)]
    for _ in range(steps):
        new = points[-1] - lr * df(points[-1])
        if not np.isfinite(f(new)):
            break
        points.append(new)
    return np.array(points)
    ### END SOLUTION


def max_stable_lr(A):
    """Return the learning rate at which gradient descent on f(x) = x @ A @ x / 2 stops to converge.

    Below it the walk from any start goes to zero; above it the walk from almost any start grows without
    bound.

    Args:
        A: (D, D) float64, symmetric, with positive eigenvalues

    Returns:
        a positive number (right to one part in a million)
    """
    ### BEGIN SOLUTION
    return float(2.0 / np.max(np.linalg.eigvalsh(A)))
    ### END SOLUTION
