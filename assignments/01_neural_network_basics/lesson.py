# %% [markdown]
# # Neural network basics
#
# A neural network is a heap of very simple parts. By the end of this notebook you will have built every one
# of them with your own hands: the neuron, the activation, the layer, the network, its first weights and its
# answers.
#
# **How to work.** Your code goes into `neural_network_basics.py`, beside this notebook. Each function there
# has a docstring that says exactly what it must do: replace the line `raise NotImplementedError(...)`. Then
# run the cells here. A cell with `check(...)` runs the public tests of one task; hidden tests will look
# further, at edge cases that the docstring also describes. Cells that draw something simply say "not
# started" while the function they need is missing.
#
# | task | you write | points |
# |---|---|---|
# | 1.1 | a neuron, and one that learns | 13 |
# | 1.2 | activation functions and their slopes | 20 |
# | 1.3 | a layer | 10 |
# | 1.4 | a network | 13 |
# | 1.5 | its first weights | 13 |
# | 1.6 | XOR, by thinking | 8 |
# | 1.7 | a report on activations | 5 |
# | 1.8 | predictions | 8 |
# | | two written questions | 10 |

# %%
# %load_ext autoreload
# %autoreload 2
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Circle, Ellipse, FancyBboxPatch

import neural_network_basics as nn
from autograder import attempt, check
from dlcourse.figures import BLUE, GREEN, GREY, INK, ORANGE, STEEL, explore, use_style

use_style()

# %% [markdown]
# ## From a living neuron to an artificial one
#
# A nerve cell listens with its **dendrites**. Thousands of other cells touch them at **synapses**, and
# every synapse has its own strength; some excite the cell, some calm it down. The cell body adds up what
# arrives. When the sum passes a threshold, the cell **fires**: a pulse runs down the **axon** and reaches
# the next cells. It fires or it does not; there is no half pulse.
#
# In 1943 Warren McCulloch and Walter Pitts threw away the chemistry, the timing and the shape, and kept
# three things: *weights*, a *sum*, a *threshold*. What is left is not a model of the brain any more, but it
# can compute.

# %%
WEIGHTS = (1.6, -1.1, 0.7)  # of the artificial neuron


def grow(ax, rng, x, y, angle, length, width, depth, colour):
    """Draw a branch and the branches that grow out of its end."""
    bend = angle + rng.normal(0.0, 0.18)
    x_end, y_end = x + length * np.cos(bend), y + length * np.sin(bend)
    ax.plot([x, x_end], [y, y_end], color=colour, lw=width, solid_capstyle="round", zorder=2)
    if depth == 0:
        ax.plot(x_end, y_end, "o", color=colour, ms=2.6, zorder=2)
        return
    for turn in (-0.42, 0.42):
        grow(ax, rng, x_end, y_end, bend + turn, 0.74 * length, 0.68 * width, depth - 1, colour)


def draw_living_neuron(ax):
    """Draw dendrites, cell body, axon and terminals."""
    rng = np.random.default_rng(4)
    for angle in np.linspace(0.62 * np.pi, 1.38 * np.pi, 5):
        grow(ax, rng, 0.42 * np.cos(angle), 0.42 * np.sin(angle), angle, 0.62, 4.2, 3, BLUE)
    t = np.linspace(0.0, 1.0, 60)
    axon_x, axon_y = 0.35 + 3.1 * t, 0.10 * np.sin(5.2 * t)
    ax.plot(axon_x, axon_y, color=ORANGE, lw=2.6, zorder=1)
    for centre in (0.22, 0.42, 0.62, 0.82):
        k = int(centre * 59)
        tilt = np.degrees(np.arctan2(axon_y[k + 1] - axon_y[k], axon_x[k + 1] - axon_x[k]))
        ax.add_patch(Ellipse((axon_x[k], axon_y[k]), 0.50, 0.20, angle=tilt, fc="#f6c79b", ec=ORANGE, lw=0.8, zorder=3))
    for angle in (-0.75, -0.25, 0.25, 0.75):
        grow(ax, rng, axon_x[-1], axon_y[-1], angle, 0.42, 2.2, 1, ORANGE)
    ax.add_patch(Ellipse((0.0, 0.0), 1.12, 1.00, fc="#cfe0f3", ec=BLUE, lw=2.0, zorder=4))
    ax.add_patch(Circle((-0.05, 0.04), 0.17, fc=BLUE, ec="none", alpha=0.75, zorder=5))
    for text, x, y in (
        ("dendrites\nlisten", -1.75, -1.95),
        ("cell body\nadds up", 1.05, 0.95),
        ("axon\ncarries the pulse", 1.95, -0.72),
        ("terminals\npass it on", 3.95, -1.25),
    ):
        ax.text(x, y, text, ha="center", va="center", color=INK)
    ax.set(title="a living neuron", xlim=(-2.9, 4.7), ylim=(-2.35, 2.45), aspect="equal")
    ax.axis("off")


def draw_artificial_neuron(ax):
    """Draw inputs, weights, sum, threshold and output."""
    for k, (weight, y) in enumerate(zip(WEIGHTS, (1.35, 0.0, -1.35), strict=True), start=1):
        colour = ORANGE if weight > 0 else BLUE
        ax.plot([-1.7, 0.6], [y, 0.0], color=colour, lw=2.6 * abs(weight), zorder=1, solid_capstyle="round")
        ax.add_patch(Circle((-2.0, y), 0.33, fc="white", ec=INK, lw=1.4, zorder=3))
        ax.text(-2.0, y, f"$x_{k}$", ha="center", va="center", zorder=4)
        ax.text(-0.75, 0.587 * y, f"$w_{k}$ = {weight:+.1f}", ha="center", va="center", color=INK, zorder=4,
                bbox={"fc": "white", "ec": "none", "pad": 1.5})  # fmt: skip
    ax.add_patch(Circle((0.85, 0.0), 0.52, fc="#cfe0f3", ec=BLUE, lw=2.0, zorder=3))
    ax.text(0.85, 0.0, r"$\sum$", ha="center", va="center", fontsize=17, zorder=4)
    ax.plot([1.37, 1.95], [0, 0], color=INK, lw=1.6, zorder=1)
    ax.add_patch(FancyBboxPatch((1.95, -0.48), 0.98, 0.96, boxstyle="round,pad=0.03", fc="#f6c79b", ec=ORANGE, lw=1.6))
    ax.plot([2.08, 2.44, 2.44, 2.80], [-0.26, -0.26, 0.28, 0.28], color=INK, lw=1.8, zorder=4)
    ax.annotate("", (4.0, 0.0), (2.97, 0.0), arrowprops={"arrowstyle": "-|>", "color": INK, "lw": 1.6})
    ax.text(4.12, 0.0, "0 or 1", va="center", color=INK)
    for text, x, y in (("inputs", -2.0, -2.05), ("weights", -0.6, -1.55), ("sum", 0.85, -0.95),
                       ("threshold", 2.44, -0.95)):  # fmt: skip
        ax.text(x, y, text, ha="center", va="center", color=INK)
    ax.set(title="its caricature", xlim=(-2.6, 5.0), ylim=(-2.35, 2.45), aspect="equal")
    ax.axis("off")


figure, axes = plt.subplots(1, 2, figsize=(10.5, 3.3))
draw_living_neuron(axes[0])
draw_artificial_neuron(axes[1])
plt.show()

# %% [markdown]
# ## 1.1 One neuron
#
# A McCulloch-Pitts neuron fires when the weighted sum of its inputs reaches its threshold. With inputs of 0
# and 1 that makes logic: one neuron is an AND, an OR or a NAND, and with enough NANDs one can build a
# computer.
#
# In geometry, the inputs are a point in space, and the equation *sum = threshold* is a line through that
# space (in more than two dimensions: a hyperplane). The neuron only says on which side of its line a point
# lies.
#
# McCulloch and Pitts chose the weights by hand. In 1958 Frank Rosenblatt let the neuron find them: show it
# a sample; if it is right, change nothing; if it is wrong, turn the line a little towards being right. That
# is the whole **perceptron** rule. Write `mcculloch_pitts` and `Perceptron` now.

# %% task="perceptron"
check("perceptron")

# %% [markdown]
# **Watch it learn.** The pale lines below are boundaries on the way, the dark one is the last. The arrow is
# $w$: it is at a right angle to the line and points to the side that is called +1.

# %%
rng = np.random.default_rng(8)
GAP, CENTRE = 0.2, np.array([5.0, 3.0])
cloud = rng.normal(size=(90, 2)) * np.array([1.0, 1.3]) + CENTRE
distance = (cloud - CENTRE) @ np.array([0.8, -0.6])
cloud, label = cloud[np.abs(distance) > GAP], np.sign(distance[np.abs(distance) > GAP])


def draw_boundary(ax, w, b, **style):
    """Draw the line w @ x + b = 0."""
    if np.any(w):
        foot, along = -b * w / (w @ w), np.array([-w[1], w[0]]) / np.hypot(*w)
        ends = np.stack([foot - 30 * along, foot + 30 * along])
        ax.plot(*ends.T, **style)


with attempt():
    neuron, updates, history = nn.Perceptron(2), [], []
    while not neuron.converged and len(updates) < 300:
        updates.append(neuron.fit(cloud, label, max_epochs=1))
        history.append((neuron.w.copy(), neuron.b))
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), width_ratios=[1, 1.3])
    shown = sorted({int(k) for k in np.geomspace(1, len(history), 14)})
    for k in shown[:-1]:
        shade = plt.get_cmap("Greens")(0.25 + 0.55 * shown.index(k) / len(shown))
        draw_boundary(left, *history[k - 1], color=shade, lw=1.3, zorder=1)
    draw_boundary(left, neuron.w, neuron.b, color=INK, lw=2.6, zorder=3)
    for sign, colour in ((1, ORANGE), (-1, BLUE)):
        left.scatter(*cloud[label == sign].T, color=colour, s=24, ec="white", lw=0.5, label=f"{sign:+d}")
    foot = CENTRE - (neuron.w @ CENTRE + neuron.b) * neuron.w / (neuron.w @ neuron.w)
    tip = foot + 1.1 * neuron.w / np.hypot(*neuron.w)
    left.annotate("", tip, foot, arrowprops={"arrowstyle": "-|>", "color": INK, "lw": 2}, zorder=4)
    left.text(*(tip + 0.2), "$w$", fontsize=13, ha="center", va="center", zorder=4)
    left.set(title="the boundary, from pale to dark", xlabel="$x_1$", ylabel="$x_2$")
    left.set(xlim=(2.0, 8.0), ylim=(-0.6, 6.6), aspect="equal")
    left.legend(loc="upper left", title="label")
    right.bar(np.arange(1, len(updates) + 1), updates, color=GREEN, width=1.0)
    right.set(title=f"{sum(updates)} updates in {len(updates)} epochs", xlabel="epoch", ylabel="updates")
    plt.show()

# %% [markdown]
# **Then came XOR.** "One or the other, but not both": no line has (0,1) and (1,0) on one side and (0,0) and
# (1,1) on the other. When Minsky and Papert wrote a book about such limits in 1969, much of the interest in
# neurons that learn dried up for fifteen years.

# %%
corners = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
gates = {"AND": [-1, -1, -1, 1], "OR": [-1, 1, 1, 1], "XOR": [-1, 1, 1, -1]}
with attempt():
    neurons = [nn.Perceptron(2) for _ in gates]
    counts = [neuron.fit(corners, np.array(y)) for neuron, y in zip(neurons, gates.values(), strict=True)]
    figure, axes = plt.subplots(1, 3, figsize=(10, 3.4))
    for ax, neuron, n_updates, gate in zip(axes, neurons, counts, gates, strict=True):
        draw_boundary(ax, neuron.w, neuron.b, color=INK, lw=2)
        ax.scatter(*corners.T, c=gates[gate], cmap="between", vmin=-1, vmax=1, s=190, ec=INK, zorder=3)
        if not np.any(neuron.w):
            ax.text(0.5, 0.5, "w = (0, 0):\nback where it began", ha="center", va="center", color=INK)
        verdict = f"learnt with {n_updates} updates" if neuron.converged else f"still lost after {n_updates} updates"
        ax.set(title=f"{gate}: {verdict}", xlabel="$x_1$", xlim=(-0.6, 1.6), ylim=(-0.6, 1.6), aspect="equal",
               xticks=[0, 1], yticks=[0, 1])  # fmt: skip
    axes[0].set_ylabel("$x_2$")
    plt.show()

# %% [markdown]
# **Try it yourself.** Turn the line and push it: for AND and for OR there is a place where no corner is wrong.
# How few can be wrong for XOR?


# %%
def draw_gate(gate="XOR", angle=20, push=0.2):
    """Draw a line at an angle, pushed away from the middle, and count the corners on its wrong side."""
    turn = np.radians(angle)
    neuron = nn.Perceptron(2)
    neuron.w = np.array([np.cos(turn), np.sin(turn)])
    neuron.b = -float(neuron.w @ [0.5, 0.5]) - push
    across, up = np.meshgrid(np.linspace(-0.6, 1.6, 221), np.linspace(-0.6, 1.6, 221))
    sides = neuron.predict(np.column_stack([across.ravel(), up.ravel()])).reshape(across.shape)
    wrong = int(np.sum(neuron.predict(corners) != gates[gate]))
    _figure, ax = plt.subplots(figsize=(3.4, 3.4))
    ax.pcolormesh(across, up, sides, cmap="between", vmin=-1, vmax=1, alpha=0.35)
    draw_boundary(ax, neuron.w, neuron.b, color=INK, lw=2)
    ax.scatter(*corners.T, c=gates[gate], cmap="between", vmin=-1, vmax=1, s=190, ec=INK, zorder=3)
    ax.set(title=f"{gate}: {wrong} of 4 corners wrong", xlabel="$x_1$", ylabel="$x_2$", aspect="equal",
           xlim=(-0.6, 1.6), ylim=(-0.6, 1.6), xticks=[0, 1], yticks=[0, 1])  # fmt: skip
    plt.show()


explore(draw_gate, gate=list(gates), angle=(0, 360, 5), push=(-1.0, 1.0, 0.05))

# %% [markdown]
# **Think.** Rosenblatt proved that on separable data the number of updates is at most $(R / \gamma)^2$,
# where $R$ is the length of the longest sample and $\gamma$ the gap between the line and the nearest
# sample. Halve the gap in the cell further up (`GAP`): what happens to the number of epochs? And why does
# the learning rate not matter at all for *which* samples cause an update?

# %% [markdown]
# ## 1.2 Activation functions
#
# A threshold jumps, and a jump has no slope: nudge a weight and the output does not move at all, until it
# moves all the way. To learn by small steps we want a *smooth* decision, one that answers a nudge with a
# nudge. So the step is replaced by an **activation function**, and with every one of them we need its
# slope.
#
# Two warnings before you start:
#
# * **Large numbers are normal.** `np.exp(1000)` is infinite and infinity divided by infinity is `nan`. A
#   network that meets one `nan` is lost. So compute the same value along another way: $\mathrm{softmax}(x)
#   = \mathrm{softmax}(x - c)$ for any $c$.
# * **A backward pass is a product.** If a number $L$ depends on $y = f(x)$, then $\partial L / \partial x$
#   is $\partial L / \partial y$ (this is `dout`) times the slope of $f$ *at the input x*. For softmax,
#   where every output depends on every input of the row, the slope is a matrix $J_{ij} = \partial p_i /
#   \partial x_j = p_i ([i = j] - p_j)$, and the product is $J^\top \mathrm{dout}$. Nobody builds that
#   matrix: write the product down and simplify.

# %% task="activations"
check("activations")

# %%
shapes = ["sigmoid", "tanh", "relu", "leaky_relu", "gelu"]
x = np.linspace(-4.0, 4.0, 401)
with attempt():
    curves = [(getattr(nn, name)(x), getattr(nn, f"{name}_backward")(np.ones_like(x), x)) for name in shapes]
    figure, axes = plt.subplots(1, 5, figsize=(12, 2.9), sharex=True)
    for ax, name, (y, slope) in zip(axes, shapes, curves, strict=True):
        ax.axhline(0.0, color=GREY, lw=0.8)
        ax.fill_between(x, slope, color=ORANGE, alpha=0.22, lw=0)
        ax.plot(x, slope, color=ORANGE, lw=1.3, label="slope")
        ax.plot(x, y, color=BLUE, lw=2.2, label="value")
        ax.set(title=name.replace("_", " "), xlabel="$x$", ylim=(-1.25, 2.2), xticks=range(-4, 5, 2))
    axes[0].set_ylabel("value and slope")
    axes[0].legend(loc="upper left")
    plt.show()

# %% [markdown]
# The orange area is what a gradient may pass through. A sigmoid lets through a quarter at best, and nearly
# nothing beyond $\pm 4$; ReLU lets through all or nothing.
#
# **Softmax** turns a row of any numbers (the *logits*) into shares that add up to one. Multiplying the
# logits makes it bolder, dividing them makes it more careful; adding a constant changes nothing, not even a
# constant of 1000.

# %%
logits = np.array([2.0, 1.0, 0.1, -1.0])
settings = {
    "logits / 4": logits / 4,
    "logits": logits,
    "4 x logits": 4 * logits,
    "logits + 1000": logits + 1000,
}
with attempt():
    shares = {name: nn.softmax(row) for name, row in settings.items()}
    figure, axes = plt.subplots(1, 4, figsize=(10, 2.6), sharey=True)
    for ax, (name, p) in zip(axes, shares.items(), strict=True):
        bars = ax.bar(range(4), p, color=[BLUE, ORANGE, GREEN, GREY])
        ax.bar_label(bars, fmt="%.2f", padding=2)
        ax.set(title=name, xlabel="class", xticks=range(4), ylim=(0, 1.15))
    axes[0].set_ylabel("probability")
    plt.show()

# %% [markdown]
# **Think.** The gradient of a network is a product of such slopes, one from each layer. How large can it be
# after ten layers of sigmoids? Why does ReLU not have this problem, and which other problem does it have
# instead?

# %% [markdown]
# ## 1.3 A layer
#
# Put several neurons side by side and let all of them look at the same input: a **layer**. Each neuron has
# a row of weights, so the layer has a matrix $W$ with one row a neuron. A whole batch goes through in a
# single matrix product; that is why graphics cards, which do little else, are so good at this.

# %% task="linear_forward"
check("linear_forward")

# %% [markdown]
# **A neuron is a template.** A weighted sum is large when the input looks like the weights. So we need not
# learn anything to read digits: as weights of ten neurons take the *average picture* of each digit, and as
# bias minus half its squared length (then the neuron with the largest output is the one whose template is
# nearest).

# %%
from sklearn.datasets import load_digits

digits, digit = load_digits().images / 16.0, load_digits().target  # (1797, 8, 8), (1797,)
train, test = slice(0, 1200), slice(1200, None)
templates = np.stack([digits[train][digit[train] == k].mean(axis=0) for k in range(10)])
W = templates.reshape(10, 64)
b = -0.5 * np.sum(W**2, axis=1)

with attempt():
    scores = nn.linear_forward(digits[test], W, b)  # the (8, 8) pictures are flattened there
    right = np.mean(scores.argmax(axis=1) == digit[test])
    figure, axes = plt.subplots(2, 10, figsize=(11, 2.9), height_ratios=[1, 1.25], sharey="row")
    for k in range(10):
        axes[0, k].imshow(templates[k], cmap="Blues")
        axes[0, k].set(title=f"neuron {k}", xticks=[], yticks=[])
        outputs = scores[digit[test] == k].mean(axis=0)
        axes[1, k].bar(range(10), outputs - outputs.min(), color=[ORANGE if j == k else GREY for j in range(10)])
        axes[1, k].set(xlabel=f"shown a {k}", xticks=[])
    axes[0, 0].set_ylabel("template")
    axes[1, 0].set_ylabel("mean output,\nabove the lowest")
    figure.suptitle(f"Ten neurons that have learnt nothing read {right:.0%} of new digits", x=0.01, ha="left")
    plt.show()

# %% [markdown]
# **Think.** Compare the grey bars: the neuron for 8 (the last but one) answers to most other digits as
# well. Why? And what could a neuron do with *negative* weights that an average picture, which has none,
# cannot?

# %% [markdown]
# ## 1.4 A network
#
# Feed the outputs of one layer into the next: a **multilayer perceptron**. Between two layers there is
# an activation; after the last one there is none, and its outputs are the *logits*. Computing from the
# input to the logits is the **forward pass**.
#
# Keep every value on the way. For each layer that is $z$, what goes *into* the activation, and $a$, what
# comes *out*. The next assignment runs the network backwards and will need all of them.

# %% task="mlp_forward"
check("mlp_forward")

# %% [markdown]
# **A layer bends space.** Below, a sheet of squared paper goes through a layer of two neurons: the linear
# part turns, stretches and shears it, and straight lines stay straight. Only the activation *bends* it, and
# only then can the straight cut of the next neuron (dark, on the right) be a curved cut of the inputs (on
# the left).

# %%
side, fine = np.linspace(-1.0, 1.0, 15), np.linspace(-1.0, 1.0, 101)
paper = [np.column_stack([np.full_like(fine, v), fine]) for v in side]
paper += [np.column_stack([fine, np.full_like(fine, v)]) for v in side]
paper = np.concatenate(paper)  # 30 lines of 101 points: (3030, 2)
square = np.stack(np.meshgrid(fine, fine), axis=-1).reshape(-1, 2)
bending = [
    (np.array([[2.1, 0.9], [-1.0, 1.9]]), np.array([0.3, -0.4])),  # two neurons bend the sheet
    (np.array([[1.0, -1.1]]), np.array([-0.35])),  # one neuron cuts it
]
with attempt():
    _, cache = nn.mlp_forward(paper, bending, nn.tanh, return_cache=True)
    logits, at = nn.mlp_forward(square, bending, nn.tanh, return_cache=True)
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.7))
    titles = {"a0": "a0: the sheet", "z1": "z1: turned and stretched", "a1": "a1: bent by the activation"}
    for ax, (key, title) in zip(axes, titles.items(), strict=True):
        for k in range(30):
            piece = cache[key][101 * k : 101 * (k + 1)]
            ax.plot(*piece.T, color=BLUE if k < 15 else ORANGE, lw=0.9, alpha=0.7)
        u, v = (at[key][:, axis].reshape(101, 101) for axis in (0, 1))
        ax.contour(u, v, logits.reshape(101, 101), [0.0], colors=INK, linewidths=2.6)
        ax.set(title=title, xlabel="unit 1", aspect="equal")
    axes[0].set_ylabel("unit 2")
    plt.show()

# %% [markdown]
# **Think.** Replace `nn.tanh` by `nn.relu` in the cell above (or by `lambda z: z`) and look at the third
# picture. What does ReLU do to the quarter of the sheet where both units are negative? Can a later layer
# ever get it back?

# %% [markdown] question="why_nonlinear" points=5
# **Question 1 (5 points).** A friend builds a network of ten layers, forgets the activations, and finds
# that it is never better than a network of one layer. Show with a short calculation why this must be so
# (two layers are enough), and explain in your own words what an activation such as ReLU changes. Use XOR as
# an example.

# %% [markdown]
# ## 1.5 Where to start
#
# Learning begins somewhere. If the weights are too small, the signal dies out from layer to layer; if they
# are too large, it explodes or drives every tanh into its flat ends. The output of a unit is a sum of
# `fan_in` products: the variance of such a sum is `fan_in` times the variance of a weight, times the mean
# square of the inputs. To keep the signal as it is, that factor must be about one. That is all the theory
# behind the schemes of Glorot ("Xavier") and He.

# %% task="init_params"
check("init_params")

# %% [markdown]
# **Twenty layers deep.** We send the same random inputs through twenty layers of 200 units and look at the
# spread of the activations after each one. The dotted lines are weights drawn with a standard deviation
# that somebody made up.

# %%
WIDTH, DEPTH = 200, 20
sizes = [WIDTH] * (DEPTH + 2)
inputs = np.random.default_rng(1).normal(size=(100, WIDTH))


def spread(params, activation):
    """The root mean square of the activations after each hidden layer."""
    _, cache = nn.mlp_forward(inputs, params, activation, return_cache=True)
    return [np.sqrt(np.mean(cache[f"a{k}"] ** 2)) for k in range(DEPTH + 1)]


def made_up(std):
    """Weights with the same standard deviation in every layer."""
    source = np.random.default_rng(2)
    return [(std * source.normal(size=(WIDTH, WIDTH)), np.zeros(WIDTH)) for _ in range(DEPTH + 1)]


with attempt():
    networks = {scheme: nn.init_params(sizes, scheme, np.random.default_rng(3)) for scheme in ("xavier", "he")}
    networks |= {f"std = {std}": made_up(std) for std in (0.02, 0.2)}
    curves = {f: {name: spread(params, f) for name, params in networks.items()} for f in (nn.tanh, nn.relu)}
    styles = [(BLUE, "-"), (ORANGE, "-"), (STEEL, ":"), (INK, ":")]
    figure, axes = plt.subplots(1, 2, figsize=(10.5, 3.7), sharey=True)
    for ax, (activation, by_name) in zip(axes, curves.items(), strict=True):
        for (name, curve), (colour, line) in zip(by_name.items(), styles, strict=True):
            ax.semilogy(curve, line, color=colour, lw=2.3, label=name)
        ax.set(title=activation.__name__, xlabel="layer", xticks=range(0, DEPTH + 1, 5), ylim=(1e-8, 1e5))
    axes[0].set_ylabel("root mean square of a")
    axes[0].legend(loc="lower left", ncols=2)
    plt.show()

# %% [markdown]
# With ReLU, Xavier loses half of the signal's power in every layer: that is the factor of two that He put
# back. With tanh nothing can explode; there, weights that are too large drive the units into the flat ends
# instead. Task 1.7 counts them.
#
# **How many numbers is that?** A network with a million parameters is small today; count yours.

# %%
with attempt():
    for network in ([64, 10], [784, 128, 10], [784, 512, 512, 10], sizes):
        name = " - ".join(map(str, network)) if len(network) < 6 else f"{DEPTH + 1} layers of {WIDTH}"
        print(f"{name:24s} {nn.count_parameters(network):>10,} parameters")

# %% [markdown] question="why_random" points=5
# **Question 2 (5 points).** Suppose that all weights of a hidden layer start with the same value (zero, or
# 0.1). Describe what the units of this layer compute, what the gradient tells each of them, and what they
# look like after a thousand steps of learning. Why is it enough to draw the *weights* at random, while the
# biases may all start at zero?

# %% [markdown]
# ## 1.6 XOR by hand
#
# Back to the problem that stopped the perceptron. One line is not enough, but a second layer can *combine*
# what several lines say. Take paper, draw the four corners, draw two lines, and write under each corner on
# which sides it lies. Then find one more neuron that tells the corners apart by those answers.
#
# No training here: `xor_weights` returns numbers that you have thought out. Mind the sums that are exactly
# zero: `step(0) = 1`.

# %% task="xor_weights"
check("xor_weights")

# %% [markdown]
# The lines are your hidden units (each arrow points to the side where its unit fires); orange is where the
# whole network fires.

# %%
grid = np.linspace(-0.6, 1.6, 401)
points = np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2)
with attempt():
    W1, b1, W2, b2 = nn.xor_weights()
    hidden = (points @ W1.T >= -b1).astype(float)
    fires = (hidden @ W2.T >= -b2).reshape(401, 401)
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4))
    left.imshow(fires, extent=(-0.6, 1.6, -0.6, 1.6), origin="lower", cmap="between", vmin=-0.6, vmax=1.6, alpha=0.75)
    for k in range(len(b1)):
        draw_boundary(left, W1[k], b1[k], color=INK, lw=1.6)
        if np.any(W1[k]):
            near = np.array([0.5, 0.5]) - (W1[k] @ [0.5, 0.5] + b1[k]) * W1[k] / (W1[k] @ W1[k])
            tip = near + 0.22 * W1[k] / np.hypot(*W1[k])
            left.annotate("", tip, near, arrowprops={"arrowstyle": "-|>", "color": INK, "lw": 1.4})
    left.scatter(*corners.T, c=[0, 1, 1, 0], cmap="between", s=170, ec=INK, lw=1.5, zorder=3)
    left.set(title="in the plane of the inputs", xlabel="$x_1$", ylabel="$x_2$", xticks=[0, 1], yticks=[0, 1])
    left.set(xlim=(-0.6, 1.6), ylim=(-0.6, 1.6))
    codes = (corners @ W1.T >= -b1).astype(int)
    right.pcolormesh(codes, cmap="Oranges", vmin=-0.4, vmax=2.4, edgecolors="white", lw=4)
    for n in range(4):
        for k in range(len(b1)):
            right.text(k + 0.5, n + 0.5, codes[n, k], ha="center", va="center", fontsize=12)
    right.set(title="what the hidden units say", xlabel="hidden unit", ylabel="input", ylim=(4, 0))
    right.set_xticks(np.arange(len(b1)) + 0.5, range(1, len(b1) + 1))
    right.set_yticks(np.arange(4) + 0.5, ["(0,0)", "(0,1)", "(1,0)", "(1,1)"])
    plt.show()

# %% [markdown]
# **Think.** Two of the four corners want the same answer from your network. Do your hidden units still tell
# these two apart? Must they?

# %% [markdown]
# ## 1.7 Which activation does what
#
# Three properties decide how an activation behaves deep inside a network. Its **range**: can it grow
# without bound? Is it **zero-centred**, or does every layer pass on a mean that the next one has to undo?
# Does it **saturate**: are there inputs, on either side, at which its slope is practically zero, so that
# nothing more is learnt there?

# %% task="activation_report"
check("activation_report")

# %%
with attempt():
    reports = {name: nn.activation_report(name) for name in shapes}
    print(f"{'activation':12s} {'range':>18s}   zero-centred   saturates")
    for name, report in reports.items():
        low, high = report["range"]
        outputs = f"{low:.3g} to {high:.3g}"
        print(f"{name:12s} {outputs:>18s}   {report['zero_centered']!s:12s}   {report['saturates']!s}")

# %% [markdown]
# **How many units are stuck?** In a layer of 200 tanh units on random inputs we turn up the weights. The
# histograms show what the units say: first whispers, then the whole range, then nothing but -1 and 1.

# %%
gains = np.geomspace(0.1, 20.0, 30)
base = np.random.default_rng(5).normal(size=(WIDTH, WIDTH)) / np.sqrt(WIDTH)
with attempt():
    outputs = [nn.tanh(nn.linear_forward(inputs, gain * base, np.zeros(WIDTH))) for gain in gains]
    stuck = [nn.saturation_fraction(a) for a in outputs]
    figure, axes = plt.subplots(1, 4, figsize=(12, 3), width_ratios=[1.7, 1, 1, 1])
    axes[0].semilogx(gains, stuck, color=BLUE, lw=2.4)
    axes[0].set(
        title="stuck within 0.01 of an end",
        xlabel="gain of the weights",
        ylabel="share of units",
        ylim=(-0.02, 1),
    )
    for ax, k in zip(axes[1:], (2, 13, 28), strict=True):
        ax.hist(outputs[k].ravel(), bins=41, range=(-1, 1), color=BLUE, alpha=0.85)
        axes[0].plot(gains[k], stuck[k], "o", color=ORANGE, ms=7)
        ax.set(title=f"gain {gains[k]:.2g}", xlabel="activation", yticks=[])
    axes[1].set_ylabel("how often")
    plt.show()

# %% [markdown]
# **Think.** With sigmoid, the limits are 0 and 1. What would the default limits of `saturation_fraction`
# say of a layer of sigmoids in which half of the units are stuck at 0?

# %% [markdown]
# ## 1.8 From logits to answers
#
# The last steps: softmax turns the logits into probabilities, the largest one is the prediction, and the
# share of right predictions is the **accuracy**.

# %% task="predict"
check("predict")

# %% [markdown]
# **A network that is trained only at the end.** How to train all layers is the next assignment. But here is
# a trick that needs nothing new: draw the hidden layer at random, leave it as it is, and fit only the last
# layer, by least squares. Even random bends of space make room for a good straight cut, if there are enough
# of them.

# %%
from sklearn.datasets import make_moons

moons, moon = make_moons(400, noise=0.18, random_state=0)


def fit_last_layer(X, y, n_hidden, source):
    """A network with a random hidden layer and a last layer by (ridge) least squares."""
    n_classes = int(y.max()) + 1
    (W, _), (_, b_last) = nn.init_params([X.shape[1], n_hidden, n_classes], "he", source)
    centres = X[source.integers(0, len(X), size=n_hidden)]
    b = -np.sum(W * centres, axis=1)  # every unit bends space at one of the samples
    _, cache = nn.mlp_forward(X, [(W, b), (np.zeros((n_classes, n_hidden)), b_last)], nn.relu, return_cache=True)
    features = np.column_stack([cache["a1"], np.ones(len(X))])
    target = 5.0 * (np.eye(n_classes)[y] - 1.0 / n_classes)
    solved = np.linalg.solve(features.T @ features + 0.1 * np.eye(n_hidden + 1), features.T @ target).T
    return [(W, b), (solved[:, :-1].copy(), solved[:, -1].copy())]


grid_x, grid_y = np.meshgrid(np.linspace(-1.8, 2.8, 220), np.linspace(-1.4, 1.9, 180))
plane = np.column_stack([grid_x.ravel(), grid_y.ravel()])
with attempt():
    surfaces = {}
    for n_hidden in (2, 8, 200):
        params = fit_last_layer(moons, moon, n_hidden, np.random.default_rng(3))
        surfaces[n_hidden] = (
            nn.predict_proba(plane, params)[:, 1],
            nn.accuracy(nn.predict(moons, params), moon),
        )
    figure, axes = plt.subplots(1, 3, figsize=(12, 3.4), sharey=True)
    for ax, (n_hidden, (p, right)) in zip(axes, surfaces.items(), strict=True):
        shade = ax.contourf(grid_x, grid_y, p.reshape(grid_x.shape), np.linspace(0, 1, 21), cmap="between", alpha=0.85)
        ax.contour(grid_x, grid_y, p.reshape(grid_x.shape), [0.5], colors=INK, linewidths=1.6)
        ax.scatter(*moons.T, c=moon, cmap="between", s=13, ec="white", lw=0.4)
        ax.set(title=f"{n_hidden} hidden units: {right:.1%} right", xlabel="$x_1$")
    axes[0].set_ylabel("$x_2$")
    figure.colorbar(shade, ax=axes, label="probability of the orange moon", ticks=[0, 0.5, 1])
    plt.show()

# %% [markdown]
# The same trick on the digits, judged on pictures that the last layer has not seen:

# %%
flat = digits.reshape(len(digits), -1)
with attempt():
    widths, seen, unseen = [5, 10, 20, 50, 100, 200, 500, 1000], [], []
    for n_hidden in widths:
        params = fit_last_layer(flat[train], digit[train], n_hidden, np.random.default_rng(6))
        seen.append(nn.accuracy(nn.predict(flat[train], params), digit[train]))
        unseen.append(nn.accuracy(nn.predict(flat[test], params), digit[test]))
    figure, ax = plt.subplots(figsize=(6.5, 3.4))
    ax.semilogx(widths, seen, "o-", color=BLUE, lw=2, label="1200 pictures used for the fit")
    ax.semilogx(widths, unseen, "o-", color=ORANGE, lw=2, label="597 new pictures")
    ax.axhline(0.1, color=STEEL, ls=":")
    ax.text(5, 0.115, "guessing", color="#6a7080")
    ax.set(title="random hidden units read digits", xlabel="hidden units", ylabel="accuracy", ylim=(0, 1.03))
    ax.legend(loc="center right")
    plt.show()

# %% [markdown]
# **Think.** A thousand random units do what a few dozen *learnt* ones can do. What would a unit have to
# know about the task in order to be worth more than a random one, and who could tell it? That is the story
# of the next assignment: backpropagation.
