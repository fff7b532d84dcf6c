# %% [markdown]
# # Deep learning frameworks
#
# In the last assignment you wrote an autograd engine, optimisers and a training loop in NumPy. A framework is
# exactly that, written once and well: tensors that remember how they were made, layers that know their
# parameters, and a loop. PyTorch leaves the loop to you; Keras hides it behind `fit`; TensorFlow is one of
# the three engines that Keras can use. In this notebook you write the parts that PyTorch leaves
# to you, and then the same network in the other two.
#
# **How to work.** Your code goes into `frameworks.py`, beside this notebook. Each function there has a docstring
# that says exactly what it must do: replace the line `raise NotImplementedError(...)`. Then run the cells here. A
# cell with `check(...)` runs the public tests of one task. Cells that draw something simply say "not started"
# while the function they need is missing.
#
# | task | you write | points |
# |---|---|---|
# | 3.1 | three functions of tensors | 9 |
# | 3.2 | a network as a module | 9 |
# | 3.3 | weights from NumPy to PyTorch and back | 9 |
# | 3.4 | the loop that trains, the loop that evaluates | 17 |
# | 3.5 | a dataset and a loader | 9 |
# | 3.6 | a function and a loss that autograd does not know | 9 |
# | 3.7 | devices and checkpoints | 9 |
# | 3.8 | the same network in Keras | 10 |
# | 3.9 | one step of TensorFlow (where it is installed) | 9 |
# | | two written questions | 10 |

# %%
# %load_ext autoreload
# %autoreload 2
import importlib.util
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

import frameworks
from autograder import attempt, check
from dlcourse.clock import cpu_seconds
from dlcourse.data import digits
from dlcourse.figures import BLUE, GREEN, GREY, INK, ORANGE, explore, use_style

torch.set_num_threads(1)
use_style()

# %% [markdown]
# The data: 1,797 handwritten digits. SimpleNet wants 784 inputs, so the 8x8 images are stretched to 28x28.


# %%
def stretched(images):
    """(N, 1, 8, 8) -> (N, 784)"""
    large = F.interpolate(torch.from_numpy(images), size=(28, 28), mode="bilinear", align_corners=False)
    return large.flatten(1).numpy()


images, labels = digits("train", seed=0)
unseen, unseen_labels = digits("test", seed=0)
x_train, x_test = stretched(images), stretched(unseen)
print(x_train.shape, x_train.dtype, labels.shape, labels.dtype)

# %% [markdown]
# ## 3.1 Tensors: arrays that remember
#
# A tensor is an array with three more properties: where it is stored (`device`), whether it takes part in a gradient
# (`requires_grad`), and how it was made (`grad_fn`). It shares one property with arrays: two of them may use the
# *same memory*. Before you run the cell: which of the four lines below changes `array`?

# %%
array = np.zeros(4)
torch.from_numpy(array)[0] = 1  # a view of the array
torch.tensor(array)[1] = 1  # a copy
torch.as_tensor(array)[2] = 1  # a view where it can be one
torch.from_numpy(array).clone()[3] = 1
print(array)

# %% [markdown]
# Task 3.1 asks for code without Python loops. The reason is measured below: a loop pays Python's price for each
# entry, and a tensor operation pays it once.

# %% task="tensors"
check("tensors")

# %%
with attempt():
    order = np.argsort(labels[:400], kind="stable")
    x = torch.from_numpy(images[:400].reshape(400, 64)[order])
    distances = frameworks.pairwise_sq_dist(x, x)
    counts = (20, 40, 80, 160, 320)
    tensor_ms, loop_ms = [], []
    for count in counts:
        few = x[:count]
        tensor_ms.append(1e3 * cpu_seconds(lambda few=few: frameworks.pairwise_sq_dist(few, few)))
        loop_ms.append(1e3 * cpu_seconds(lambda: [((x[i] - x[j]) ** 2).sum() for i in range(10) for j in range(10)]))
        loop_ms[-1] *= count**2 / 100
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6))
    shown = left.imshow(distances, cmap="Blues_r", interpolation="nearest")
    edges = np.cumsum(np.bincount(labels[:400], minlength=10))
    middles = edges - np.bincount(labels[:400], minlength=10) / 2
    left.set_xticks(middles, range(10))
    left.set_yticks(middles, range(10))
    left.set(title="400 digits, sorted by label", xlabel="digit", ylabel="digit")
    figure.colorbar(shown, ax=left, label="squared distance")
    right.loglog(counts, loop_ms, "o-", color=GREY, label="two loops (estimated from 100 pairs)")
    right.loglog(counts, tensor_ms, "o-", color=BLUE, label="one tensor expression")
    right.set(title="All pairs of N images", xlabel="N", ylabel="milliseconds")
    right.minorticks_off()
    right.set_xticks(counts, counts)
    right.legend()
    plt.show()

# %% [markdown]
# The dark squares on the diagonal are digits of one class: close to each other even as raw pixels. Which class is
# the most compact one, and which two are easily confused?

# %% [markdown]
# ## 3.2 A network as a module
#
# An `nn.Module` knows its parameters because you *assign* layers to attributes; `__setattr__` notes
# them, as your `Tensor` noted its parents. A layer in a plain Python list is not noted, so the optimiser never
# gets its parameters.

# %% task="simple_net"
check("simple_net")

# %% [markdown]
# Dropout makes a different network for every forward pass. Below, the same image is shown 400 times to a model in
# training mode and once in eval mode.

# %%
with attempt():
    torch.manual_seed(0)
    model = frameworks.SimpleNet()
    image = torch.from_numpy(x_train[:1])
    with torch.no_grad():
        model.train()
        noisy = torch.cat([model(image) for _ in range(400)])
        model.eval()
        steady = model(image)[0]
    figure, axis = plt.subplots(figsize=(8, 3.2))
    axis.violinplot([noisy[:, k].numpy() for k in range(10)], positions=range(10), showextrema=False)
    axis.plot(range(10), steady, "_", color=ORANGE, markersize=22, markeredgewidth=2.5, label="eval mode")
    axis.set(title="One image, an untrained network: logits of 400 passes", xlabel="class", ylabel="logit")
    axis.set_xticks(range(10))
    axis.legend()
    plt.show()

# %% [markdown]
# The middle of each cloud is at its bar: that is what the factor 1 / 0.8 is for. If you forget `model.eval()`
# when it matters, you get one point of a cloud instead of the bar.

# %% [markdown] question="mode_and_grad" points=5
# **Question 1 (5 points).** `model.eval()` and `torch.no_grad()` are often mistaken for each other. What does each of
# them change, and what goes wrong if, in an evaluation, only the first is used, or only the second? (Four sentences.)

# %% [markdown]
# ## 3.3 From NumPy to PyTorch and back
#
# The networks of assignments 01 and 02 are lists of pairs `(W, b)`. Nothing in them is NumPy's own: carried over
# into `nn.Linear`, the same numbers give the same outputs, and autograd gives the gradients that you derived by
# hand.

# %% task="numpy_bridge"
check("numpy_bridge")

# %%
with attempt():
    rng = np.random.default_rng(0)
    params = [
        (rng.normal(size=(16, 1)) * 3, rng.normal(size=16)),
        (rng.normal(size=(1, 16)) / 4, np.zeros(1)),
    ]
    line = np.linspace(-2, 2, 300)[:, None]
    by_hand = np.maximum(line @ params[0][0].T + params[0][1], 0) @ params[1][0].T + params[1][1]
    network = frameworks.export_to_torch(params)
    points = torch.from_numpy(line).requires_grad_(True)
    out = network(points)
    (slope,) = torch.autograd.grad(out.sum(), points)
    figure, axis = plt.subplots(figsize=(8, 3))
    axis.plot(line, by_hand, color=GREY, linewidth=6, label="NumPy")
    axis.plot(line, out.detach(), color=BLUE, label="PyTorch, same weights")
    axis.step(line[:, 0], slope[:, 0], color=ORANGE, where="mid", label="its slope, by autograd")
    axis.set(title="A network with 16 hidden units is a broken line", xlabel="x", ylabel="output, slope")
    axis.legend()
    plt.show()
    print("largest difference:", float(np.abs(out.detach().numpy() - by_hand).max()))

# %% [markdown]
# ## 3.5 Data in batches
#
# (The loader comes before the loop here, since the loop needs something to go through.) A `Dataset` answers "give
# me sample i"; a `DataLoader` decides which samples come together, and in which order.

# %% task="data_loading"
check("data_loading")

# %%
with attempt():
    dataset = frameworks.ArrayDataset(np.arange(60, dtype=np.float32)[:, None], np.arange(60) // 6)
    figure, axes = plt.subplots(1, 3, figsize=(9, 2.9), sharey=True)
    loader = frameworks.DataLoader(dataset, batch_size=10, shuffle=True, generator=torch.Generator().manual_seed(1))
    plain = frameworks.DataLoader(dataset, batch_size=10)
    for axis, source, title in zip(
        axes,
        (plain, loader, loader),
        ("shuffle=False", "shuffle=True, epoch 1", "shuffle=True, epoch 2"),
        strict=True,
    ):
        batches = [(x[:, 0].numpy(), y.numpy()) for x, y in source]
        for place, (rows, classes) in enumerate(batches):
            axis.scatter([place] * len(rows), rows, c=classes, cmap="tab10", vmin=0, vmax=9, s=16)
        axis.set(title=title, xlabel="batch")
    axes[0].set_ylabel("index in the dataset (colour: class)")
    plt.show()

# %% [markdown]
# On the left every batch knows one or two classes only: each step of the optimiser would forget what the last one
# learned. In the middle and on the right each batch is a small sample of everything.

# %% [markdown]
# ## 3.4 The loop
#
# Five lines, in this order: clear the gradients, forward, loss, backward, step. Every one of them can be left out
# without an error message.

# %% task="training_loop"
check("training_loop")

# %% [markdown]
# What does each line prevent? Below, *your* `train_epoch` and `evaluate` run with parts that were tampered with:
# an optimiser that ignores `zero_grad`, a model that ignores `eval`, a loader that never shuffles (and gets the
# digits sorted by class).


# %%
def run(epochs=8, forgets=None, sort=False, writer=None, net=None, lr=0.02, momentum=0.9):
    """Train a SimpleNet on the digits; returns (training loss, test loss, test accuracy) of each epoch."""
    torch.manual_seed(0)
    model = net or frameworks.SimpleNet()
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=momentum)
    if forgets == "zero_grad":
        optimizer.zero_grad = lambda *args, **options: None
    if forgets == "eval":
        model.eval = lambda: model
    order = np.argsort(labels, kind="stable") if sort else np.arange(len(labels))
    data = frameworks.ArrayDataset(x_train[order], labels[order])
    loader = frameworks.DataLoader(data, batch_size=50, shuffle=not sort, generator=torch.Generator().manual_seed(0))
    tests = frameworks.DataLoader(frameworks.ArrayDataset(x_test, unseen_labels), batch_size=100)
    history = []
    for epoch in range(1, epochs + 1):
        loss, accuracy = frameworks.train_epoch(model, loader, F.cross_entropy, optimizer)
        test_loss, test_accuracy = frameworks.evaluate(model, tests, F.cross_entropy)
        history.append((loss, test_loss, test_accuracy))
        if writer is not None:
            writer.add_scalars("loss", {"train": loss, "test": test_loss}, epoch)
            writer.add_scalars("accuracy", {"train": accuracy, "test": test_accuracy}, epoch)
            for name, parameter in model.named_parameters():
                writer.add_histogram(name, parameter, epoch)
    return np.array(history), model


with attempt():
    cases = {
        "as it should be": ({}, BLUE),
        "zero_grad forgotten": ({"forgets": "zero_grad"}, ORANGE),
        "eval forgotten": ({"forgets": "eval"}, GREEN),
        "sorted, not shuffled": ({"sort": True}, GREY),
    }
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4))
    for name, (options, colour) in cases.items():
        history, _ = run(**options)
        epochs = np.arange(1, len(history) + 1)
        left.plot(epochs, history[:, 0], "o-", color=colour, markersize=3, label=name)
        right.plot(epochs, history[:, 2], "o-", color=colour, markersize=3)
    left.set(title="Training loss", xlabel="epoch", ylabel="cross-entropy", yscale="log")
    right.set(title="Accuracy on unseen digits", xlabel="epoch", ylabel="share right", ylim=(0, 1.02))
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    plt.show()

# %% [markdown]
# Look at the orange curve: the loop without `zero_grad` steps along the *sum of all gradients so far*, a momentum
# that never fades. The green one trains well and is only *measured* badly.
#
# **Try it yourself.** Forgotten lines give no error message, but do they always show? Take a learning rate of 0.0002
# and look at the first two epochs only: which loop would you have believed, the right one or the one that forgets
# `zero_grad`? (Each change of a slider trains for four epochs, about a second.)


# %%
def draw_run(forgets="nothing", lr=0.02):
    """Train for four epochs with one line left out."""
    history, _ = run(epochs=4, forgets=forgets, lr=lr)
    epochs = np.arange(1, 5)
    _figure, (left, right) = plt.subplots(1, 2, figsize=(9, 2.6))
    left.plot(epochs, history[:, 0], "o-", color=BLUE)
    left.axhline(np.log(10), color=GREY, linestyle=":")
    left.text(4, np.log(10), "log 10: knowing nothing", color=INK, ha="right", va="bottom")
    left.set(title=f"Training loss; forgotten: {forgets}", xlabel="epoch", ylabel="cross-entropy")
    left.set(xticks=epochs, yscale="log", ylim=(0.1, 200))
    right.plot(epochs, history[:, 2], "o-", color=BLUE)
    right.set(title=f"Unseen digits; learning rate {lr:g}", xlabel="epoch", ylabel="share right")
    right.set(xticks=epochs, ylim=(0, 1.02))
    plt.show()


explore(draw_run, forgets=["nothing", "zero_grad", "eval"], lr=[0.0002, 0.002, 0.02, 0.2])

# %% [markdown]
# ## TensorBoard: watch a run
#
# A table of numbers scrolls by; a dashboard stays. TensorBoard reads *event files* that `SummaryWriter` appends to
# while the training runs: scalars, histograms of weights, images.

# %%
with attempt():
    from torch.utils.tensorboard import SummaryWriter

    runs = Path(tempfile.mkdtemp(prefix="runs-"))
    for rate in (0.002, 0.02, 0.2):
        with SummaryWriter(runs / f"lr={rate}") as writer:
            writer.add_image("a digit", torch.from_numpy(x_train[0]).reshape(1, 28, 28))
            run(epochs=6, lr=rate, writer=writer)
    print(f"tensorboard --logdir {runs}")

# %% [markdown]
# Run the printed command in a terminal and open the address that it names, or load it here with
# `%load_ext tensorboard` and `%tensorboard --logdir ...`. The files are no secret: what the dashboard draws can be
# read back.

# %%
with attempt():
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    if not any(runs.glob("lr=*/loss_test")):
        raise NotImplementedError("train_epoch: not started")
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2))
    for folder, colour in zip(sorted(runs.glob("lr=*")), (GREY, BLUE, ORANGE), strict=False):
        for part, axis in (("loss_test", left), ("accuracy_test", right)):
            (source,) = folder.glob(part)
            events = EventAccumulator(str(source)).Reload().Scalars(part.split("_")[0])
            axis.plot([e.step for e in events], [e.value for e in events], "o-", color=colour, label=folder.name)
    left.set(title="Test loss, from the event files", xlabel="epoch", ylabel="cross-entropy")
    right.set(title="Test accuracy", xlabel="epoch", ylabel="share right")
    right.legend()
    plt.show()

# %% [markdown]
# ## 3.6 A function and a loss of your own
#
# Autograd knows the derivative of every function of PyTorch. For a function of your own you write it:
# `forward` keeps what `backward` will need, and `backward` multiplies *the gradient that comes from above* by the
# local slope.

# %% task="custom_autograd"
check("custom_autograd")

# %%
with attempt():
    x = torch.linspace(-6, 6, 400, requires_grad=True)
    swish = frameworks.Swish.apply(x)
    (slope,) = torch.autograd.grad(swish.sum(), x)
    p = torch.linspace(0.01, 0.999, 300)
    two = torch.stack([torch.log(1 - p), torch.log(p)], dim=1)  # logits with softmax (1 - p, p)
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.3))
    left.plot(x.detach(), swish.detach(), color=BLUE, label="swish")
    left.plot(x.detach(), slope, color=ORANGE, label="its slope, from your backward")
    left.plot(x.detach(), x.detach().clamp(min=0), color=GREY, linestyle=":", label="ReLU")
    left.set(title="A ReLU with a soft knee", xlabel="x", ylabel="value", ylim=(-0.6, 3))
    left.legend()
    for gamma, colour in ((0.0, GREY), (1.0, GREEN), (2.0, BLUE), (5.0, ORANGE)):
        losses = frameworks.FocalLoss(gamma, reduction="none")(two, torch.ones(300, dtype=torch.int64))
        right.plot(p, losses, color=colour, label=f"gamma = {gamma:g}")
    right.set(
        title="The focal loss leaves sure samples alone",
        xlabel="p of the right class",
        ylabel="loss",
        ylim=(0, 3),
    )
    right.legend()
    plt.show()

# %% [markdown]
# ## 3.7 Stop, and go on
#
# Long runs are interrupted: by a power cut, by a queue that wants its machine back. A checkpoint that holds only
# the weights loses the state of the *optimiser* and the order of the data. The orange curve below shows a bad
# restart.

# %% task="checkpoints"
check("checkpoints")


# %%
def stopped_run(restart, epochs=8, stop=4):
    """Train with Adam, stop in the middle, restart with a full checkpoint or with the weights alone."""

    def new(seed):
        torch.manual_seed(seed)
        model = frameworks.SimpleNet()
        model, optimizer = frameworks.prepare(
            model, lambda parameters: torch.optim.Adam(parameters, lr=0.004, betas=(0.95, 0.999)), "cpu"
        )
        generator = torch.Generator().manual_seed(seed)
        data = frameworks.ArrayDataset(x_train, labels)
        loader = frameworks.DataLoader(data, batch_size=50, shuffle=True, generator=generator)
        return model, optimizer, generator, loader

    path = Path(tempfile.mkdtemp()) / "run.pt"
    model, optimizer, generator, loader = new(0)
    losses = []
    for epoch in range(epochs):
        if epoch == stop and restart:
            frameworks.save_checkpoint(path, model, optimizer, epoch, generator)
            model, optimizer, generator, loader = new(1)
            if restart == "everything":
                frameworks.load_checkpoint(path, model, optimizer, generator)
            else:
                frameworks.load_checkpoint(path, model)
        losses.append(frameworks.train_epoch(model, loader, F.cross_entropy, optimizer)[0])
    return losses


with attempt():
    print("This machine computes on:", frameworks.get_device())
    figure, axis = plt.subplots(figsize=(8, 3.2))
    for restart, style, name in (
        (None, {"color": GREY, "linewidth": 6}, "never stopped"),
        ("everything", {"color": BLUE}, "restarted from a full checkpoint"),
        ("weights", {"color": ORANGE}, "restarted from the weights alone"),
    ):
        axis.plot(range(1, 9), stopped_run(restart), **style, label=name)
    axis.axvline(4.5, color=INK, linewidth=0.8, linestyle=":")
    axis.set(title="A stop after four epochs", xlabel="epoch", ylabel="training loss", yscale="log")
    axis.legend()
    plt.show()

# %% [markdown]
# ## 3.8 Keras: the loop in a box
#
# Keras says *what* a model is and how it is trained (`compile`), and brings the loop along (`fit`). Keras 3 computes
# with PyTorch, TensorFlow or JAX; here with PyTorch, so a Keras model **is** an `nn.Module`. Two conventions
# differ: a kernel is `(in, out)`, and whether a loss takes logits or probabilities has to be said.

# %% task="keras_model"
check("keras_model")

# %%
with attempt():
    import keras

    keras.utils.set_random_seed(0)
    history, torch_model = run(epochs=6)
    carried = frameworks.build_keras_mlp(784, 128, 10)
    carried.set_weights(frameworks.torch_to_keras_weights(torch_model.eval()))
    with torch.no_grad():
        mine = torch_model(torch.from_numpy(x_test)).numpy()
    theirs = carried.predict(x_test, verbose=0)
    fresh = frameworks.build_keras_mlp(784, 128, 10)
    book = fresh.fit(x_train, labels, epochs=6, batch_size=50, validation_data=(x_test, unseen_labels), verbose=0)
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4))
    left.plot(mine.ravel(), theirs.ravel(), ".", color=BLUE, markersize=2)
    left.set(title="Same weights, same logits", xlabel="logit in PyTorch", ylabel="logit in Keras")
    epochs = range(1, 7)
    right.plot(epochs, history[:, 2], "o-", color=BLUE, label="your loop, SGD with momentum")
    right.plot(epochs, book.history["val_accuracy"], "o-", color=ORANGE, label="Keras' fit, Adam")
    right.set(title="Accuracy on unseen digits", xlabel="epoch", ylabel="share right")
    right.legend()
    plt.show()
    print("largest difference of the logits:", float(np.abs(mine - theirs).max()))
    print("is a Keras model on this backend an nn.Module?", isinstance(fresh, nn.Module))
    print("numbers to train:", frameworks.count_trainable(torch_model), frameworks.count_trainable(fresh))

# %% [markdown]
# ## 3.9 TensorFlow: the tape
#
# PyTorch records in every tensor; TensorFlow records on a *tape* that you switch on. This task is graded where
# TensorFlow is installed (`pip install 'autograder[tensorflow]'`, about 1.5 GB); elsewhere it costs you nothing.

# %% task="tf_train_step"
check("tf_train_step")


# %%
def tensorflow_run(steps=60):
    """Train a linear classifier on digits by your tf_train_step; returns the losses."""
    import tensorflow as tf

    class Linear(tf.Module):
        def __init__(self):
            super().__init__()
            self.W = tf.Variable(tf.zeros((784, 10)))
            self.b = tf.Variable(tf.zeros(10))

        def __call__(self, x, training=False):
            return tf.linalg.matmul(x, self.W) + self.b

    class Descent:
        def apply_gradients(self, pairs):
            for gradient, variable in pairs:
                variable.assign_sub(0.05 * gradient)

    model, optimizer = Linear(), Descent()
    batches = np.random.default_rng(0).integers(len(labels), size=(steps, 100))
    return [frameworks.tf_train_step(model, x_train[rows], labels[rows], optimizer) for rows in batches]


if importlib.util.find_spec("tensorflow") is None:
    print("TensorFlow is not installed here.")
else:
    with attempt():
        figure, axis = plt.subplots(figsize=(8, 2.8))
        axis.plot(tensorflow_run(), color=BLUE)
        axis.axhline(np.log(10), color=GREY, linestyle=":", label="log 10: knowing nothing")
        axis.set(title="A linear classifier, trained by a tape", xlabel="step", ylabel="cross-entropy")
        axis.legend()
        plt.show()

# %% [markdown]
# ## Which one?
#
# | | PyTorch | Keras 3 | TensorFlow |
# |---|---|---|---|
# | the loop | yours | `fit`, or yours | yours, on a tape |
# | a model | a class with `forward` | a list, a graph or a class | `tf.Module`, or Keras |
# | weight of a dense layer | `(out, in)` | `(in, out)` | as Keras |
# | training or not | `model.train()`, `model.eval()` | `training=` of each call | as Keras |
# | randomness | `torch.manual_seed`, generators | `keras.utils.set_random_seed` | `tf.random.set_seed` |
# | where you meet it | research | quick starts, one code for three engines | phones, browsers, older services |

# %% [markdown] question="which_framework" points=5
# **Question 2 (5 points).** A friend wants to train a standard image classifier by tomorrow; another wants to try a new
# kind of training step that alternates between two losses. Which of the three would you propose to each, and which
# line of *this notebook* supports your advice? (Four sentences.)
