# %% [markdown]
# # Backpropagation and training
#
# A network with random weights knows nothing. Everything that it will ever know comes from one loop: ask,
# measure how wrong the answer is, find out *which way every single weight should move*, and move them all a
# little. In this notebook you build that loop, and every part of it, down to the engine that finds gradients
# by itself, as PyTorch's does.
#
# **How to work.** Your code goes into `backpropagation_training.py`, beside this notebook. Each function
# there has a docstring that says exactly what it must do: replace the line `raise NotImplementedError(...)`.
# Then run the cells here. A cell with `check(...)` runs the public tests of one task; hidden tests will look
# further, at edge cases of which the docstring speaks as well. Cells that draw something simply say "not
# started" while the function they need is missing.
#
# | task | you write | points |
# |---|---|---|
# | 2.1 | four losses and their gradients | 13 |
# | 2.2 | gradients by measuring | 8 |
# | 2.3 | five backward passes | 10 |
# | 2.4 | an autograd engine | 18 |
# | 2.5 | a network with its gradients | 10 |
# | 2.6 | four optimisers | 15 |
# | 2.7 | the training loop | 11 |
# | 2.8 | how large a step may be | 5 |
# | | two written questions | 10 |

# %%
# %load_ext autoreload
# %autoreload 2
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import FancyBboxPatch
from sklearn.datasets import load_digits, make_moons

import backpropagation_training as bp
from autograder import attempt, check
from dlcourse.figures import BLUE, GREEN, GREY, INK, ORANGE, RED, explore, use_style

use_style()

# %% [markdown]
# ## 2.1 How wrong is an answer?
#
# A **loss** turns "wrong" into one number. Training only ever sees that number and its slope, so the choice
# of a loss is a statement of what you care about:
#
# * the **squared error** for quantities: twice as wrong is four times as bad;
# * **Huber's loss** for quantities with outliers: square near zero, straight further out;
# * **binary cross-entropy** for yes and no, **cross-entropy** for one of many: the price of a probability
#   $p$ that was given to the truth is $-\log p$. Being right with certainty is free; being wrong with
#   certainty is very expensive.
#
# Every loss here is a *mean*, so its gradient carries a factor of one over the number of samples. And
# every loss works on **logits**, not on probabilities: a probability can round to 0 or 1, a logit cannot.

# %% task="losses"
check("losses")

# %% [markdown]
# **Price and pull.** The upper row is what an error costs, the lower row is how hard it pulls.

# %%
errors, logits = np.linspace(-4.0, 4.0, 161), np.linspace(-8.0, 8.0, 161)
with attempt():

    def one_by_one(loss, inputs, *targets):
        """Loss and slope of each input alone."""
        both = [loss(np.array([value]), *targets) for value in inputs]
        return np.array([float(loss) for loss, _ in both]), np.array([grad[0] for _, grad in both])

    zero, yes, no = np.zeros(1), np.ones(1), np.zeros(1)
    columns = [
        ("quantities", "prediction - target", errors, [
            ("squared error", BLUE, one_by_one(bp.mse_loss, errors, zero)),
            ("Huber, delta = 1", ORANGE, one_by_one(bp.huber_loss, errors, zero)),
        ]),
        ("yes or no", "logit", logits, [
            ("the truth is yes", BLUE, one_by_one(bp.bce_with_logits, logits, yes)),
            ("the truth is no", ORANGE, one_by_one(bp.bce_with_logits, logits, no)),
        ]),
    ]  # fmt: skip
    three = [bp.cross_entropy(np.array([[z, 0.0, 0.0]]), np.array([0])) for z in logits]
    loss, grad = np.array([float(loss) for loss, _ in three]), np.array([grad[0] for _, grad in three])
    columns.append(("one of three classes", "logit of the right class", logits, [
        ("right class", BLUE, (loss, grad[:, 0])), ("each wrong class", ORANGE, (None, grad[:, 1])),
    ]))  # fmt: skip
    figure, axes = plt.subplots(2, 3, figsize=(11, 4.6), sharex="col", height_ratios=[1.25, 1])
    for (upper, lower), (title, label, x, curves) in zip(axes.T, columns, strict=True):
        for name, colour, (values, slopes) in curves:
            if values is not None:
                upper.plot(x, values, color=colour, lw=2.2)
            lower.plot(x, slopes, color=colour, lw=2.2, label=name)
        lower.axhline(0.0, color=GREY, lw=0.8, zorder=0)
        upper.set(title=title, ylim=(-0.3, 9))
        lower.set(xlabel=label)
        lower.legend(loc="best", handlelength=1.2)
    axes[0, 0].set_ylabel("loss")
    axes[1, 0].set_ylabel("gradient")
    axes[1, 0].set_ylim(-5, 5)
    plt.show()

# %% [markdown]
# Look at the lower row. The squared error pulls without limit; Huber's pull is never above delta; the pull
# of cross-entropy is at most 1 and dies out once the answer is right.
#
# **One bad measurement.** Thirty points lie on a line, and three were written down wrongly. We fit a line
# by walking against the gradient of two losses. Which fit do you trust?

# %%
rng = np.random.default_rng(3)
t = np.sort(rng.uniform(0.0, 10.0, size=30))
measured = 0.8 * t + 1.0 + rng.normal(0.0, 0.3, size=30)
measured[[24, 26, 28]] -= 9.0
with attempt():
    figure, ax = plt.subplots(figsize=(6.6, 3.5))
    ax.plot(t, measured, "o", color=INK, ms=4.5, alpha=0.8)
    for loss, colour in ((bp.mse_loss, BLUE), (bp.huber_loss, ORANGE)):
        slope, offset = 0.0, 0.0
        for _ in range(4000):
            _, pull = loss(slope * t + offset, measured)
            slope, offset = slope - 0.02 * pull @ t, offset - 0.02 * pull.sum()
        ax.plot(t, slope * t + offset, color=colour, lw=2.4, label=f"{loss.__name__}: slope {slope:.2f}")
    ax.plot(t, 0.8 * t + 1.0, ":", color=GREY, lw=2.4, zorder=0, label="the truth: slope 0.80")
    ax.set(title="three wrong measurements", xlabel="$t$", ylabel="measured")
    ax.legend(loc="upper left")
    plt.show()

# %% [markdown]
# **Think.** Cross-entropy of three equal logits is $\log 3 = 1.0986$. A network of ten classes that has just
# been drawn at random should start with a loss of about what? You can check this in section 2.7, and it is
# the cheapest test in deep learning: a first loss far from that value means that something is wrong.

# %% [markdown]
# ## 2.2 Gradients by measuring
#
# A gradient is a bold claim: "if this weight grows by a little, the loss grows by that much". So measure it:
# move the weight, look at the loss, move it back. *Central* differences, one step up and one step down, let
# the curvature cancel: their error is of the order $h^2$.
#
# This is far too slow for training (think: how many evaluations of the loss for a million weights?), but it
# needs no mathematics at all, so it is the perfect judge of those gradients that do. Every backward pass
# that you write from here on can be checked by your own `grad_check`.

# %% task="numerical_gradient"
check("numerical_gradient")

# %% [markdown]
# **How small should h be?** Smaller is better, until it is not. The slope of $e^{\sin x}$ at $x = 1$,
# measured with steps from 1 down to $10^{-13}$:

# %%
steps = np.logspace(-13, 0, 79)


def wave(x):
    return np.exp(np.sin(x)).sum()


with attempt():
    start = np.array([1.0])
    truth = np.cos(1.0) * np.exp(np.sin(1.0))
    central = [abs(bp.numerical_gradient(wave, start, h)[0] - truth) for h in steps]
    one_sided = [abs((wave(start + h) - wave(start)) / h - truth) for h in steps]
    small = np.float32(1.0)
    single = [
        abs(float((np.exp(np.sin(small + np.float32(h))) - np.exp(np.sin(small))) / np.float32(h)) - truth)
        for h in steps[steps > 1e-8]
    ]
    figure, ax = plt.subplots(figsize=(7.4, 3.9))
    ax.loglog(steps[steps > 1e-8], single, color=GREY, lw=1.6, label="one-sided, float32")
    ax.loglog(steps, one_sided, color=ORANGE, lw=1.8, label="one-sided: error ~ $h$")
    ax.loglog(steps, np.maximum(central, 1e-13), color=BLUE, lw=2.4, label="central (yours): error ~ $h^2$")
    ax.axvline(1e-5, color=INK, ls=":", lw=1.4)
    ax.text(1.25e-5, 3e-1, "$h = 10^{-5}$", color=INK)
    ax.text(1e-13, 3e-10, "too small:\nrounding errors,\ndivided by $h$", color=INK, va="top")
    ax.text(5e-3, 3e-8, "too large:\nthe curve bends", color=INK)
    ax.set(title="a valley between two kinds of error", xlabel="step $h$", ylabel="error of the slope",
           ylim=(1e-13, 30))  # fmt: skip
    ax.legend(loc="upper left")
    plt.show()

# %% [markdown]
# **Think.** Where is the lowest point of each curve, and why is it further to the left for the one-sided
# difference? What would a check in float32 tell you about a backward pass that is right?

# %% [markdown]
# ## 2.3 Backward through one layer
#
# A layer's backward pass answers one question: *if the loss wants my outputs to change like this (`dout`),
# what does it want of my inputs and my weights?* The chain rule says: multiply by the slope. With matrices
# two tricks replace most of the thinking:
#
# * **Shapes.** A gradient has the shape of what it belongs to. With `dout` (N, out), `x` (N, D) and `W`
#   (out, D) there is hardly more than one way to build something of the shape of `W`.
# * **Sharing adds up.** One bias serves N samples, so N gradients arrive at it, and they are added.
#
# There is no 1/N in a layer: the mean was taken by the loss, and its 1/N is inside of `dout` already.

# %% task="layer_backward"
check("layer_backward")

# %% [markdown]
# **A signal on its way home.** We send a gradient back through thirty layers of a hundred units, with three
# activations, and measure what is left of it after each. This is the *vanishing gradient*, in one picture.

# %%
WIDTH, DEPTH = 100, 30


def journey(activation, backward, keeps, gain):
    """The size of the gradient at every layer, from the last to the first."""
    source = np.random.default_rng(0)
    a, layers = source.normal(size=(32, WIDTH)), []
    for _ in range(DEPTH):
        W = gain * source.normal(size=(WIDTH, WIDTH)) / np.sqrt(WIDTH)
        z = a @ W.T
        out = activation(z)
        layers.append((a, W, z if keeps == "input" else out))
        a = out
    dout, sizes = source.normal(size=a.shape), []
    for a, W, kept in reversed(layers):
        dout, _, _ = bp.linear_backward(backward(dout, kept), (a, W))
        sizes.append(np.sqrt(np.mean(dout**2)))
    return sizes


with attempt():
    figure, ax = plt.subplots(figsize=(7.4, 3.5))
    for name, colour, settings in (
        (
            "ReLU, weights after He",
            GREEN,
            (lambda z: np.maximum(z, 0), bp.relu_backward, "input", np.sqrt(2)),
        ),
        ("tanh", BLUE, (np.tanh, bp.tanh_backward, "output", 1.0)),
        ("sigmoid", ORANGE, (lambda z: 1 / (1 + np.exp(-z)), bp.sigmoid_backward, "output", 1.0)),
    ):
        ax.semilogy(range(1, DEPTH + 1), journey(*settings), color=colour, lw=2.4, label=name)
    ax.set(title="what is left of a gradient", xlabel="layers travelled, from the last one back",
           ylabel="root mean square", ylim=(1e-20, 1e2))  # fmt: skip
    ax.legend(loc="lower left")
    plt.show()

# %% [markdown]
# **Think.** A sigmoid is never steeper than 1/4. How does that number explain the orange line?

# %% [markdown]
# ## 2.4 An engine that finds every gradient
#
# Chaining backward passes by hand is dull and full of traps. Let the program do it. The idea of **automatic
# differentiation** is simple: let every number remember where it came from.
#
# * An operation such as `a * b` makes a new `Tensor`, and notes its operands and how to pull a gradient back
#   to each of them. So a formula, while it is being computed, draws a **graph**.
# * `backward` walks through that graph from the result to the leaves. A node may pass its gradient on only
#   when *all* of its users have spoken. A value that is used twice gets both gradients, added.
# * Where NumPy has stretched an operand (broadcasting), one number was used in many places: add up again.
#
# The walk must not call itself for every node: a training step of a long text has far more nodes than
# Python allows calls inside one another.

# %% task="autograd"
check("autograd")

# %% [markdown]
# **The graph of a formula.** Black is the forward pass, the value; orange is the backward pass, how fast the
# result grows with this node. Change the numbers and run it again.

# %%
BOXES = {
    "a": (0.0, 2.0), "b": (0.0, 0.9), "c": (0.0, -0.6),
    "p = a b": (2.1, 1.45), "s = p + c": (4.2, 0.5), "r = relu s": (6.3, 1.2), "y = r s": (8.4, 0.5),
}  # fmt: skip
ARROWS = ["a>p = a b", "b>p = a b", "p = a b>s = p + c", "c>s = p + c", "s = p + c>r = relu s",
          "r = relu s>y = r s", "s = p + c>y = r s"]  # fmt: skip


def values_and_gradients(numbers):
    """Compute y once for each node, with that node as a leaf: its gradient is then what backward finds."""
    found = {}
    for name in BOXES:
        known = {key: bp.Tensor(value, requires_grad=(key == name)) for key, value in numbers.items()}

        def node(key, value, known=known, name=name):
            known[key] = bp.Tensor(value.data, requires_grad=True) if key == name else value
            return known[key]

        p = node("p = a b", known["a"] * known["b"])
        s = node("s = p + c", p + known["c"])
        r = node("r = relu s", s.relu())
        y = node("y = r s", r * s)
        y.backward()
        found[name] = (float(known[name].data), float(known[name].grad))
    return found


with attempt():
    found = values_and_gradients({"a": 2.0, "b": -1.5, "c": 5.0})
    figure, ax = plt.subplots(figsize=(10.5, 3.6))
    for arrow in ARROWS:
        (x0, y0), (x1, y1) = (BOXES[name] for name in arrow.split(">"))
        ax.annotate("", (x1 - 0.78, y1), (x0 + 0.78, y0), arrowprops={"arrowstyle": "-|>", "color": GREY, "lw": 1.6})
    for name, (x, y) in BOXES.items():
        is_leaf = len(name) == 1
        ax.add_patch(FancyBboxPatch((x - 0.66, y - 0.36), 1.32, 0.72, boxstyle="round,pad=0.07",
                                    lw=1.4, fc="#eef3f9" if is_leaf else "white",
                                    ec=BLUE if is_leaf else INK))  # fmt: skip
        value, gradient = found[name]
        ax.text(x, y + 0.25, name, ha="center", va="center", color=BLUE if is_leaf else INK)
        ax.text(x, y - 0.02, f"{value:g}", ha="center", va="center", weight="bold")
        ax.text(x, y - 0.29, f"slope {gradient:g}", ha="center", va="center", color=ORANGE)
    ax.set(xlim=(-1.0, 9.4), ylim=(-1.25, 2.65), aspect="equal")
    ax.axis("off")
    plt.show()

# %% [markdown]
# Two ways lead from `s` to `y`, one straight and one through the ReLU, and the gradient of `s` is the sum
# of both. Make `c` smaller until `s` is negative: what happens to every orange number, and why is a unit in
# that state called *dead*?
#
# **It learns.** Twenty lines with your engine, and a network of thirty ReLU units bends itself into a wave.
# No formula of a gradient is written anywhere in this cell.

# %%
x = np.linspace(-3.0, 3.0, 80)[:, None]
wanted = np.sin(2.0 * x) + 0.3 * x
with attempt():
    source = np.random.default_rng(2)
    V = bp.Tensor(source.choice([-1.0, 1.0], size=(1, 30)), requires_grad=True)
    b = bp.Tensor(source.uniform(-3.0, 3.0, size=30), requires_grad=True)
    w = bp.Tensor(source.normal(size=(30, 1)) * 0.1, requires_grad=True)
    leaves, stages, losses = [V, b, w], {}, []
    for step in range(2001):
        out = (bp.Tensor(x) @ V + b).relu() @ w
        loss = ((out - wanted) ** 2).sum() / len(x)
        loss.backward()
        losses.append(float(loss.data))
        if step in (0, 50, 300, 2000):
            stages[step] = out.data.copy()
        for leaf in leaves:
            leaf.data = leaf.data - 0.01 * leaf.grad
            leaf.zero_grad()
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.4), width_ratios=[1.6, 1])
    left.plot(x, wanted, color=GREY, lw=6, solid_capstyle="round", label="wanted")
    for (step, curve), shade in zip(stages.items(), (0.25, 0.45, 0.65, 0.95), strict=True):
        left.plot(x, curve, color=plt.get_cmap("Blues")(shade), lw=2, label=f"after {step} steps")
    left.set(title="thirty ReLU units learn a wave", xlabel="$x$", ylabel="output", ylim=(-3.0, 3.6))
    left.legend(loc="upper left", ncols=2, fontsize=8.5)
    right.loglog(np.arange(1, len(losses) + 1), losses, color=BLUE, lw=2)
    right.set(title="its loss", xlabel="step", ylabel="squared error")
    plt.show()

# %% [markdown]
# **Think.** Take out the line `leaf.zero_grad()` and run the cell once more. What happens, and why? (PyTorch
# behaves in the same way, and this is one of the most common mistakes made with it.)

# %% [markdown] question="why_backward" points=5
# **Question 1 (5 points).** A network has a million weights, and one forward pass takes a hundredth of a
# second. Estimate how long it takes to find all gradients (a) by central differences, (b) by
# backpropagation. Explain in your own words what the backward pass *reuses* so that it is so much faster,
# and what it must keep in memory for that. Why is the walk from the loss to the weights, and not the other
# way round?

# %% [markdown]
# ## 2.5 A network with its gradients
#
# Now put layers, ReLU and cross-entropy together to an `MLP` that knows its own gradients. Chain your
# backward passes by hand, or let your engine do it: both are right.
#
# One thing is new, the **penalties**. A weight that is larger than it needs to be makes a network nervous.
# L2 adds $\frac{\lambda}{2} \sum w^2$ to the loss and pulls every weight towards zero, the large ones most.
# L1 adds $\lambda \sum |w|$ and pulls all of them with the same force, so that the useless ones arrive at
# zero. Penalties steer training; when you *report* a loss, leave them out.

# %% task="mlp"
check("mlp")

# %% [markdown]
# **Trust, but measure.** Your gradients against your measurements, parameter by parameter, with penalties.
# Around $10^{-7}$ or below is agreement.

# %%
with attempt():
    source = np.random.default_rng(4)
    model = bp.MLP([5, 8, 6, 3], l1=0.01, l2=0.1, rng=source)
    X, y = source.normal(size=(12, 5)), source.integers(0, 3, size=12)
    for k, parameter in enumerate(model.params):

        def objective(value, parameter=parameter):
            kept = parameter.copy()
            parameter[...] = value
            loss = model.loss(X, y)[0]
            parameter[...] = kept
            return loss

        error = bp.grad_check(objective, lambda value, k=k: model.loss(X, y)[1][k], parameter.copy())
        print(f"{'Wb'[k % 2]}{k // 2 + 1} {parameter.shape!s:8s}  relative error {error:.1e}")

# %% [markdown]
# ## 2.6 Optimisers
#
# The gradient says which way is down *here*. How far to go is another question, and a mean one: the loss of
# a network is a landscape of long narrow valleys. Across the valley it is steep, along the valley it is
# nearly flat. A step that is small enough not to bounce off the walls is much too small to get anywhere.
#
# * **Momentum** keeps a velocity: what points the same way every time adds up, what points to and fro
#   cancels.
# * **RMSprop** gives each parameter a step of its own, divided by the usual size of its gradient.
# * **Adam** does both, and corrects both averages for having started at zero.
# * **AdamW** is Adam with the weight decay taken out of the gradient, where Adam's division would distort it.

# %% task="optimizers"
check("optimizers")

# %% [markdown]
# **A race through a valley.** It is thirty times as steep across as along; the star is the bottom. Sixty
# steps each.


# %%
def valley(p):
    """Height and slope of a narrow valley."""
    u, v = p
    return 0.5 * (0.3 * u**2 + 9.0 * v**2), np.array([0.3 * u, 9.0 * v])


with attempt():
    racers = {
        "SGD": (bp.SGD(lr=0.2), INK),
        "SGD + momentum 0.85": (bp.SGD(lr=0.05, momentum=0.85), BLUE),
        "RMSprop": (bp.RMSprop(lr=0.25, alpha=0.9), GREEN),
        "Adam": (bp.Adam(lr=0.4), ORANGE),
    }
    paths = {}
    for name, (optimizer, _) in racers.items():
        params = [np.array([-9.0, 1.6])]
        path = [params[0].copy()]
        for _ in range(60):
            optimizer.step(params, [valley(params[0])[1]])
            path.append(params[0].copy())
        paths[name] = np.array(path)
    u, v = np.meshgrid(np.linspace(-10.2, 3.4, 200), np.linspace(-2.3, 2.3, 100))
    figure = plt.figure(figsize=(11, 5.2))
    grid = figure.add_gridspec(2, 3, width_ratios=[1, 1, 0.95])
    for place, (name, path) in zip([(0, 0), (0, 1), (1, 0), (1, 1)], paths.items(), strict=True):
        ax = figure.add_subplot(grid[place])
        height = valley(np.stack([u, v]))[0]
        ax.contourf(u, v, np.sqrt(height), levels=14, cmap="height")
        ax.plot(*path.T, "-o", color=racers[name][1], ms=2.6, lw=1.3)
        ax.plot(0, 0, "*", color=RED, ms=12, mec="white", zorder=5)
        ax.set(title=name, xlim=(-10.2, 3.4), ylim=(-2.3, 2.3))
        if place[0] == 1:
            ax.set_xlabel("along the valley")
        if place[1] == 0:
            ax.set_ylabel("across")
    ax = figure.add_subplot(grid[:, 2])
    for name, path in paths.items():
        ax.semilogy([valley(p)[0] for p in path], color=racers[name][1], lw=2, label=name)
    ax.set(title="height above the bottom", xlabel="step", ylabel="loss", ylim=(1e-7, 1e2))
    ax.legend(loc="lower left", fontsize=8.5)
    plt.show()

# %% [markdown]
# **Your turn.** Sixty steps of your `SGD` once more, with a learning rate and a momentum of your choice. There are
# pairs that end below $10^{-12}$. What goes wrong beside them, on each of the four sides?


# %%
def draw_walk(lr=0.1, momentum=0.0):
    """Walk down the valley, from above and by its height."""
    optimizer, params = bp.SGD(lr=lr, momentum=momentum), [np.array([-9.0, 1.6])]
    path = [params[0].copy()]
    for _ in range(60):
        optimizer.step(params, [valley(params[0])[1]])
        path.append(params[0].copy())
    along, across = np.meshgrid(np.linspace(-10.2, 3.4, 200), np.linspace(-2.3, 2.3, 100))
    heights = [valley(p)[0] for p in path]
    _figure, (left, right) = plt.subplots(1, 2, figsize=(10, 2.9), width_ratios=[1.6, 1])
    left.contourf(along, across, np.sqrt(valley(np.stack([along, across]))[0]), levels=14, cmap="height")
    left.plot(*np.array(path).T, "-o", color=BLUE, ms=2.6, lw=1.3)
    left.plot(0, 0, "*", color=RED, ms=12, mec="white", zorder=5)
    left.set(title=f"lr = {lr:g}, momentum = {momentum:g}", xlim=(-10.2, 3.4), ylim=(-2.3, 2.3),
             xlabel="along the valley", ylabel="across")  # fmt: skip
    right.semilogy(np.maximum(heights, 1e-30), color=BLUE, lw=2)
    right.set(title=f"height after 60 steps: {heights[-1]:.0e}", xlabel="step", ylabel="loss", ylim=(1e-16, 1e4))
    plt.show()


explore(draw_walk, lr=(0.01, 0.5, 0.01), momentum=(0.0, 0.95, 0.05))

# %% [markdown]
# **Where does weight decay belong?** Two weights start at 1. The first gets large random gradients, the
# second tiny ones; on average both are zero, so only the decay is left to decide. Adam with L2 in the
# gradient divides the decay by the size of the gradient as well.

# %%
with attempt():
    figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.1), sharey=True)
    for ax, make in zip(axes, (bp.Adam, bp.AdamW), strict=True):
        source = np.random.default_rng(1)
        optimizer, params, path = make(lr=0.01, weight_decay=0.1), [np.ones(2)], []
        for _ in range(800):
            optimizer.step(params, [source.choice([-1.0, 1.0], size=2) * np.array([10.0, 0.001])])
            path.append(params[0].copy())
        ax.axhline(0.0, color=GREY, lw=0.8)
        ax.plot(np.exp(-0.001 * np.arange(800)), ":", color=INK, lw=1.6, label="decay alone")
        for k, (name, colour) in enumerate((("large gradients", BLUE), ("tiny gradients", ORANGE))):
            ax.plot(np.array(path)[:, k], color=colour, lw=1.8, label=name)
        ax.set(title=make.__name__, xlabel="step", ylim=(-0.15, 1.45))
    axes[0].set_ylabel("weight")
    axes[0].legend(loc="upper right", ncols=2, fontsize=8.5)
    plt.show()

# %% [markdown]
# **Think.** In Adam the weight with tiny gradients is driven to zero at full speed while the other hardly
# decays. Which of the two pictures would you expect from the words "weight decay"?

# %% [markdown]
# ## 2.7 The training loop
#
# All parts are there. An **epoch** shows every sample once, in a new order, in small **batches**: a batch
# gives a gradient that is noisy, but cheap, and many cheap steps beat few exact ones.
#
# Keep the books honestly: the loss of an epoch is a mean over *samples*, so a small last batch counts less;
# and whatever you report as quality is measured on data that were not trained on.

# %% task="train"
check("train")

# %% [markdown]
# **Two moons.** The same network, looked at through a callback after epochs 1, 5, 20 and 150.

# %%
moons, moon = make_moons(300, noise=0.2, random_state=1)
across, up = np.meshgrid(np.linspace(-1.7, 2.7, 180), np.linspace(-1.3, 1.8, 140))
plane = np.column_stack([across.ravel(), up.ravel()])
with attempt():
    shots = {}

    def photograph(epoch, model, history):
        if epoch in (1, 5, 20, 150):
            z = model.forward(plane)
            shots[epoch] = (z[:, 1] - z[:, 0]).reshape(across.shape), history["loss"][-1]

    model = bp.MLP([2, 24, 24, 2], rng=np.random.default_rng(0))
    history = bp.train(model, moons, moon, 150, 32, bp.Adam(lr=0.01), np.random.default_rng(1), callbacks=[photograph])
    figure, axes = plt.subplots(1, 4, figsize=(12, 2.9), sharey=True)
    for ax, (epoch, (margin, loss)) in zip(axes, shots.items(), strict=True):
        ax.contourf(across, up, np.tanh(margin / 3), levels=np.linspace(-1, 1, 21), cmap="between", alpha=0.8)
        ax.contour(across, up, margin, [0.0], colors=INK, linewidths=1.8)
        ax.scatter(*moons.T, c=np.where(moon, ORANGE, BLUE), s=9, ec="white", lw=0.3)
        ax.set(title=f"epoch {epoch}: loss {loss:.3f}", xlabel="$x_1$")
    axes[0].set_ylabel("$x_2$")
    plt.show()

# %% [markdown]
# **Handwritten digits**, 8 by 8 pixels. To see *overfitting* we train on 150 pictures only, nineteen of them
# with a label drawn by lot, without and with an L2 penalty. We validate on 600 others with right labels.

# %%
pictures, digit = load_digits().data / 16.0, load_digits().target  # (1797, 64), (1797,)
order = np.random.default_rng(0).permutation(len(digit))
few, others = order[:150], order[150:750]
noisy = digit[few].copy()
noisy[::8] = np.random.default_rng(5).integers(0, 10, size=19)
with attempt():
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6))
    for l2, colour in ((0.0, BLUE), (0.01, ORANGE)):
        model = bp.MLP([64, 64, 10], l2=l2, rng=np.random.default_rng(1))
        first = model.evaluate(pictures[few], noisy)[0]
        seen = []
        history = bp.train(
            model, pictures[few], noisy, 120, 16, bp.Adam(lr=3e-3), np.random.default_rng(2),
            callbacks=[lambda epoch, model, history, seen=seen: seen.append(
                float(model.evaluate(pictures[few], noisy)[0]))],
            X_val=pictures[others], y_val=digit[others],
        )  # fmt: skip
        name = f"l2 = {l2:g}"
        epochs = np.arange(1, 121)
        left.plot(epochs, seen, ":", color=colour, lw=2, label=f"{name}: training")
        left.plot(epochs, history["val_loss"], color=colour, lw=2.2, label=f"{name}: validation")
        right.plot(epochs, history["val_accuracy"], color=colour, lw=2.2,
                   label=f"{name}: {history['val_accuracy'][-1]:.3f} at the end")  # fmt: skip
    left.set(title=f"loss (before training: {first:.2f}; log 10 is {np.log(10):.2f})", xlabel="epoch",
             ylabel="cross-entropy", ylim=(0.0, 1.6))  # fmt: skip
    right.set(title="accuracy on pictures not trained on", xlabel="epoch", ylabel="accuracy", ylim=(0.7, 1.0))
    left.legend(loc="upper right", fontsize=8.5)
    right.legend(loc="lower right")
    plt.show()

# %% [markdown]
# The dotted blue line runs to zero: the network knows its 150 pictures by heart, the wrong labels among
# them, and the solid blue lines pay for it. With the penalty it cannot afford to remember each exception.
#
# **What have the penalties done to the weights?** Each square below is one hidden unit of a network of
# twelve, trained on 1,200 pictures: the weights with which it looks at the 64 pixels.

# %%
with attempt():
    figure = plt.figure(figsize=(11, 3.9))
    for part, (name, strengths) in zip(
        figure.subfigures(3, 1),
        (("no penalty", {}), ("l2 = 0.003", {"l2": 0.003}), ("l1 = 0.001", {"l1": 0.001})),
        strict=True,
    ):
        model = bp.MLP([64, 12, 10], rng=np.random.default_rng(3), **strengths)
        train, rest = order[:1200], order[1200:]
        bp.train(model, pictures[train], digit[train], 60, 32, bp.Adam(lr=5e-3), np.random.default_rng(4))
        right_share = np.mean(model.predict(pictures[rest]) == digit[rest])
        weights = np.array(model.params[0])
        for ax, unit in zip(part.subplots(1, 12), weights, strict=True):
            ax.imshow(unit.reshape(8, 8), cmap="between", vmin=-0.8, vmax=0.8)
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
        near_zero = np.mean(np.abs(weights) < 0.01)
        part.suptitle(f"{name}: {right_share:.1%} right, {near_zero:.0%} of the weights near 0", x=0.01, ha="left")
    plt.show()

# %% [markdown]
# **Think.** Which penalty makes weights *small*, and which makes them *few*? The pixels at the left and
# right edge are nearly always empty: what do the weights of the first row say there, and why are they not
# zero?

# %% [markdown]
# ## 2.8 How large may a step be?
#
# Near its lowest point every smooth function looks like a bowl, $f(x) = \frac12 x^\top A x$. There, a step
# of gradient descent multiplies the distance to the bottom by $1 - \eta \lambda$ in a direction of
# curvature $\lambda$. That is a harmless sentence with a hard consequence: as soon as $|1 - \eta \lambda| >
# 1$ in *one* direction, the walk explodes.

# %% task="gradient_descent"
check("gradient_descent")

# %%
A = np.array([[5.0, 2.4], [2.4, 2.0]])
with attempt():
    limit = bp.max_stable_lr(A)

    def bowl(x):
        return 0.5 * x @ A @ x

    def slope(x):
        return A @ x

    side = np.linspace(-4.0, 4.0, 200)
    u, v = np.meshgrid(side, side)
    height = 0.5 * (A[0, 0] * u**2 + 2 * A[0, 1] * u * v + A[1, 1] * v**2)
    figure, axes = plt.subplots(1, 4, figsize=(12.5, 3.2), width_ratios=[1, 1, 1, 1.35])
    for ax, factor, colour in zip(axes, (0.25, 0.97, 1.03), (GREEN, BLUE, RED), strict=False):
        points = bp.gradient_descent(bowl, slope, np.array([-1.0, 2.5]), factor * limit, 40)
        ax.contourf(u, v, np.sqrt(height), levels=14, cmap="height")
        ax.plot(*points.T, "-o", color=colour, ms=2.6, lw=1.2)
        ax.plot(0, 0, "*", color=INK, ms=10, mec="white", zorder=5)
        ax.set(title=f"lr = {factor:g} of the limit", xlabel="$x_1$", xlim=(-4, 4), ylim=(-4, 4), aspect="equal")
    axes[0].set_ylabel("$x_2$")
    rates = np.linspace(0.02, 1.15, 120) * limit
    left_over = []
    for lr in rates:
        points = bp.gradient_descent(bowl, slope, np.array([-1.0, 2.5]), lr, 60)
        left_over.append(np.linalg.norm(points[-1]))
    axes[3].semilogy(rates, left_over, color=INK, lw=2)
    axes[3].axvline(limit, color=RED, ls=":", lw=1.8)
    axes[3].text(limit * 0.985, 1e3, "2 / largest\neigenvalue", color=RED, ha="right", va="top")
    axes[3].set(title="distance after 60 steps", xlabel="learning rate", ylabel="distance to the bottom")
    plt.show()

# %% [markdown]
# The best learning rate lies just below the one that ruins everything. That is why people look for the
# largest learning rate at which a network still trains, and then take a third of it.

# %% [markdown] question="which_step" points=5
# **Question 2 (5 points).** Three friends train the same network. (a) Ann's loss falls a little in every
# epoch, and after an hour it is still high. (b) Ben's loss is 2.3, then 7.9, then 412, then `nan`. (c)
# Cleo's training loss is nearly zero and her validation loss has been rising for thirty epochs. Say for each
# of them what is probably going on, explain it with what you have seen in this notebook (curvature, steps,
# penalties), and name one thing that they should try first, and how they would notice that it helped.

# %% [markdown]
# ## What you have now
#
# Losses, a judge for gradients, an engine that finds them, four ways to use them, and a loop that ties all
# of it together: this is a small deep-learning framework, and you know every line of it. In the next
# assignment you meet the large ones, and you will recognise almost everything.
