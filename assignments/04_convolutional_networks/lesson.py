# %% [markdown]
# # Convolutional networks
#
# A network that looks at images needs one idea more than a perceptron: *what is worth finding here is worth
# finding there*. So it slides one small window of weights over the whole image. In this notebook you write
# that window by hand, forward and backward, make it fast, stack it into the networks that made history, and
# train one of your own.
#
# **How to work.** Your code goes into `convolutional_networks.py`, beside this notebook. Each docstring
# says exactly what is wanted: replace the line `raise NotImplementedError(...)`, then run the cells here. A
# cell with `check(...)` runs the public tests of one task; hidden tests look further, at edge cases
# that the docstring also describes. Cells that draw something simply say "not started" while what they
# need is missing.
#
# | task | you write | points |
# |---|---|---|
# | 4.1 | sizes, parameters and receptive fields | 8 |
# | 4.2 | convolution, forward | 13 |
# | 4.3 | convolution, backward | 15 |
# | 4.4 | convolution as one matrix product | 13 |
# | 4.5 | pooling, forward and backward | 13 |
# | 4.6 | filters and feature maps | 5 |
# | 4.7 | LeNet, AlexNet, VGG and ResNet | 13 |
# | 4.8 | a small network of your own | 10 |
# | | two written questions | 10 |

# %%
# %load_ext autoreload
# %autoreload 2

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.patches import Rectangle
from torch import nn
from torch.nn import functional as F

import convolutional_networks as cnn
from autograder import attempt, check
from dlcourse.clock import cpu_seconds
from dlcourse.data import SHAPES10, shapes10
from dlcourse.figures import BLUE, GREEN, GREY, INK, ORANGE, explore, show, use_style

use_style()

# %% [markdown]
# ## What makes images different
#
# Here are ten kinds of shapes. Place, size and colours are random; only the *form* tells the class. To a
# multi-layer perceptron a disk in the upper left and a disk in the lower right are different inputs with
# not a pixel in common: it must learn the disk again at each place.

# %%
images, labels = shapes10(400, seed=0)
figure, grid = plt.subplots(5, 10, figsize=(9.5, 5))
for label, column in enumerate(grid.T):
    for axes, index in zip(column, np.flatnonzero(labels == label), strict=False):
        show(axes, images[index])
    column[0].set_title(SHAPES10[label].replace(" ", "\n"), loc="center", fontsize=8)
figure.suptitle("shapes10: five of each class")
plt.show()

# %% [markdown]
# There is a second reason, and it is brutal: a photograph of 224x224 in colour has 150,528 numbers. *One*
# hidden layer of 1,000 units on it would have 150 million weights. A bank of 64 kernels of 3x3 has 1,792,
# whatever the size of the image.
#
# ## 4.1 Sizes, parameters and receptive fields
#
# A window of `k` pixels moves over `h` pixels in steps of `s`. How often does it fit? Draw it before you
# derive it: each row of the figure is one position of the window.


# %%
def draw_windows(axes, h, k, s, p):
    """Draw each position of a window of k pixels on a row of h pixels with padding p."""
    starts = range(-p, h + p - k + 1, s)
    for pixel in range(-p, h + p):
        outside = not 0 <= pixel < h
        axes.add_patch(Rectangle((pixel, 0.15), 0.92, 0.7, color="#e6e8ec" if outside else GREY))
    for row, start in enumerate(starts, start=1):
        axes.add_patch(Rectangle((start, row + 0.15), k - 0.08, 0.7, color=BLUE, alpha=0.8))
    axes.set(xlim=(-p - 0.3, h + p + 0.3), ylim=(len(starts) + 1.2, -0.2), yticks=[], xlabel="pixel")
    axes.set_title(f"{h} pixels, kernel {k}, stride {s}, padding {p}\nthe window fits {len(starts)} times")
    axes.spines[["left", "bottom"]].set_visible(False)


figure, grid = plt.subplots(1, 3, figsize=(9.5, 2.9))
for axes, case in zip(grid, [(7, 3, 1, 0), (7, 3, 2, 1), (8, 3, 2, 0)], strict=True):
    draw_windows(axes, *case)

# %% [markdown]
# Look at the right-hand picture: the last pixel is never seen. That is *floor mode*, and every framework
# does it.
#
# **Play with it.** Before you read the second line of the title, say what it will be. Which padding gives as many
# positions as there are pixels, at stride 1? Why is there none for an even kernel?


# %%
def draw_case(h=8, k=3, s=1, p=0):
    """Draw one row of pixels and all positions of the window."""
    _figure, axes = plt.subplots(figsize=(5, 2.9))
    draw_windows(axes, h, k, s, p)
    plt.show()


explore(draw_case, h=(5, 12, 1), k=(1, 5, 1), s=(1, 4, 1), p=(0, 3, 1))

# %% [markdown]
# **Task.** Write `conv_output_size`, `receptive_field` and `conv_params`.

# %% task="conv_output_size"
check("conv_output_size")

# %% [markdown]
# Now let your functions walk through the first layers of AlexNet, and compare three ways to see far.

# %%
with attempt():
    size = 227
    print("layer      kernel stride padding   size  sees")
    layers = []
    for name, k, s, p in [
        ("conv 1", 11, 4, 0),
        ("pool 1", 3, 2, 0),
        ("conv 2", 5, 1, 2),
        ("pool 2", 3, 2, 0),
    ]:
        size = cnn.conv_output_size(size, k, s, p)
        layers.append((k, s))
        print(f"{name:10} {k:6} {s:6} {p:7} {size:6} {cnn.receptive_field(layers):5} pixels")

# %%
with attempt():
    depths = np.arange(1, 9)
    ways = {
        "3x3, stride 1": [(3, 1)] * 8,
        "3x3, every second with stride 2": [(3, 1), (3, 2)] * 4,
        "3x3, dilation 1, 2, 4, 8, ...": [(3, 1, 2**i) for i in range(8)],
    }
    figure, axes = plt.subplots(figsize=(6.4, 3.4))
    for (name, layers), colour in zip(ways.items(), [GREY, BLUE, ORANGE], strict=True):
        axes.plot(depths, [cnn.receptive_field(layers[:d]) for d in depths], "o-", color=colour, label=name)
    axes.set(xlabel="layers", ylabel="receptive field (pixels)", yscale="log", title="How far the last unit sees")
    axes.set_yticks([3, 10, 30, 100, 300], labels=["3", "10", "30", "100", "300"])
    axes.minorticks_off()
    axes.legend()

# %% [markdown]
# A stack of plain 3x3 kernels sees two pixels more with each layer, which is slow. Strides and dilations
# multiply. *Before you read on:* all three ways have the same number of weights. What does each of them
# cost?
#
# ## 4.2 Convolution, forward
#
# Lay the kernel on the image, multiply each weight by the pixel under it, add up the products, write down the
# sum, move on. What deep learning calls convolution is a cross-correlation: the kernel is not flipped.
#
# **Task.** Write `conv2d_forward`. Begin with loops: clear first, fast in 4.4.

# %% task="conv2d_forward"
check("conv2d_forward")

# %%
with attempt():
    rows = ["001110", "011011", "010001", "011011", "001110"]
    image = np.array([[float(pixel) for pixel in row] for row in rows])
    kernel = np.array([[1.0, 0, -1], [2, 0, -2], [1, 0, -1]])
    out, _ = cnn.conv2d_forward(image[None, None], kernel[None, None], np.zeros(1))

    figure, grid = plt.subplots(1, 3, figsize=(9, 3.2), width_ratios=[6, 3, 4])
    panels = [(image, "image, 5x6", "Greys", 3), (kernel, "kernel, 3x3", "RdBu_r", 5)]
    panels.append((out[0, 0], "output, 3x4", "RdBu_r", 8))
    for axes, (values, title, colours, reach) in zip(grid, panels, strict=True):
        show(axes, values, title, cmap=colours, vmin=0 if colours == "Greys" else -reach, vmax=reach)
        for (i, j), value in np.ndenumerate(values):
            axes.text(j, i, f"{value:g}", ha="center", va="center", color=INK)
    grid[0].add_patch(Rectangle((0.5, 0.5), 3, 3, fill=False, edgecolor=ORANGE, linewidth=3))
    grid[2].add_patch(Rectangle((0.5, 0.5), 1, 1, fill=False, edgecolor=ORANGE, linewidth=3))
    figure.suptitle("Everything in the orange window becomes the one orange number")

# %% [markdown]
# ## 4.3 Convolution, backward
#
# You need no new idea for the backward pass, only the sum from 4.2, read from the other side. One output
# entry is a sum of products. So its gradient goes
#
# * to each pixel of its window, weighted with the kernel,
# * to each weight of its kernel, weighted with the window,
# * to its bias, as it is.
#
# A pixel that is in several windows, and a weight that is used at every place, collect *sums*.
#
# **Task.** Write `conv2d_backward`.

# %% task="conv2d_backward"
check("conv2d_backward")

# %% [markdown]
# With a kernel of ones and a gradient of ones from above, `dx` simply counts how many windows a pixel
# is in.

# %%
with attempt():
    figure, grid = plt.subplots(1, 4, figsize=(9.5, 2.9))
    for axes, (k, s, p) in zip(grid, [(3, 1, 0), (3, 1, 1), (3, 2, 0), (2, 3, 0)], strict=True):
        out, cache = cnn.conv2d_forward(np.zeros((1, 1, 8, 9)), np.ones((1, 1, k, k)), np.zeros(1), s, p)
        counts = cnn.conv2d_backward(np.ones_like(out), cache)[0][0, 0]
        show(axes, counts, f"kernel {k}, stride {s},\npadding {p}", cmap="Blues", vmin=0, vmax=10)
        for (i, j), value in np.ndenumerate(counts):
            axes.text(
                j,
                i,
                f"{value:.0f}",
                ha="center",
                va="center",
                fontsize=8,
                color="white" if value > 5 else INK,
            )
    figure.suptitle("How many windows see each pixel")

# %% [markdown]
# Two things to see: without padding the border is seen less often than the middle; and a stride that does
# not fit the kernel leaves a *checkerboard*, the same that haunts images made by networks that upsample
# this way.
#
# ## 4.4 Convolution as one matrix product
#
# Python loops are slow, matrix products are fast. `im2col` writes each window as a column; then all windows
# times all kernels is a single product. That is how the first GPU libraries did it.

# %%
with attempt():
    image = np.arange(1.0, 13).reshape(3, 4)
    columns = cnn.im2col(image[None, None], 2)[0]
    figure, grid = plt.subplots(1, 2, figsize=(8, 2.9), width_ratios=[4, 6])
    for axes, values, title in [
        (grid[0], image, "image, 3x4"),
        (grid[1], columns, "im2col with a 2x2 window: 4x6"),
    ]:
        show(axes, values, title, cmap="YlGnBu", vmin=0, vmax=22)
        for (i, j), value in np.ndenumerate(values):
            axes.text(j, i, f"{value:g}", ha="center", va="center", color=INK)
    grid[0].add_patch(Rectangle((0.5, -0.5), 2, 2, fill=False, edgecolor=ORANGE, linewidth=3))
    grid[1].add_patch(Rectangle((0.5, -0.5), 1, 4, fill=False, edgecolor=ORANGE, linewidth=3))
    grid[1].set_xlabel("position of the window, row by row")

# %% [markdown]
# The picture shows the price as well: most pixels are there several times. And the way back, `col2im`,
# must *add* them up again: it is the transpose of im2col, not its inverse.
#
# **Task.** Write `im2col`, `col2im` and `conv2d_im2col`.

# %% task="im2col"
check("im2col")


# %%
def seconds(function, *arguments):
    """CPU seconds of one call, the best of three."""
    return cpu_seconds(lambda: function(*arguments))


def one_entry_at_a_time(x, w, b):
    """As many small NumPy calls as the output has entries: the least that a loop over entries can cost."""
    for _ in range(len(x) * len(w) * (x.shape[2] - 2) * (x.shape[3] - 2)):
        (w[0] * w[0]).sum()


with attempt():
    rng = np.random.default_rng(0)
    sides, ways = [8, 12, 16, 24, 32], {}
    for name, function, colour in [
        ("one entry at a time", one_entry_at_a_time, GREY),
        ("your conv2d_forward", cnn.conv2d_forward, BLUE),
        ("your conv2d_im2col", cnn.conv2d_im2col, ORANGE),
    ]:
        taken = []
        for side in sides:
            x, w, b = rng.normal(size=(2, 8, side, side)), rng.normal(size=(8, 8, 3, 3)), np.zeros(8)
            taken.append(1000 * seconds(function, x, w, b))
        ways[name] = taken, colour
    figure, axes = plt.subplots(figsize=(6.4, 3.3))
    for name, (taken, colour) in ways.items():
        axes.plot(sides, taken, "o-", color=colour, label=name)
    axes.set(
        xlabel="side of the image (pixels)",
        ylabel="CPU time (ms)",
        yscale="log",
        title="The same convolution, three ways",
    )
    axes.legend()

# %% [markdown]
# ## 4.5 Pooling
#
# Pooling throws away *where* and keeps *whether*: the largest answer in a window (max), or the mean answer
# (average). It has no weights. Its backward pass asks who is responsible: with max pooling the winner alone,
# with average pooling everyone for the same share.
#
# **Task.** Write max, average and global average pooling, forward and backward. Beware of negative pixels
# beside a padded border, of windows that overlap, and of ties.

# %% task="pooling"
check("pooling")

# %% [markdown]
# What is it good for? Imagine a map that says where a feature was found: nothing nearly everywhere, and a few
# hits. Now everything moves to the right by a pixel or two. How similar is what the next layer gets?

# %%
with attempt():
    rng = np.random.default_rng(3)
    hits = (rng.uniform(size=(200, 1, 24, 24)) < 0.02).astype(np.float64)
    views = {
        "the map itself": (lambda x: x, GREY),
        "max pooling 2x2": (lambda x: cnn.max_pool2d_forward(x, 2)[0], BLUE),
        "max pooling 4x4": (lambda x: cnn.max_pool2d_forward(x, 4)[0], ORANGE),
        "global average": (lambda x: cnn.global_avg_pool2d_forward(x)[0], GREEN),
    }
    figure, grid = plt.subplots(1, 4, figsize=(9.8, 2.9), width_ratios=[2, 2, 2, 4])
    moved = np.roll(hits, 1, axis=3)
    show(
        grid[0],
        np.stack([1 - hits[4, 0], 1 - (hits + moved)[4, 0].clip(0, 1), 1 - moved[4, 0]]),
        "blue: hits, red: moved",
    )
    for axes, x, title in [(grid[1], hits, "pooled 4x4"), (grid[2], moved, "moved, then pooled")]:
        show(axes, cnn.max_pool2d_forward(x, 4)[0][4, 0], title, cmap="Greys", vmin=0, vmax=1.5)
    shifts = np.arange(7)
    for name, (view, colour) in views.items():
        still, similar = view(hits), []
        for shift in shifts:
            now = view(np.roll(hits, shift, axis=3))
            similar.append((still * now).sum() / np.sqrt((still**2).sum() * (now**2).sum()))
        grid[3].plot(shifts, similar, "o-", color=colour, label=name)
    grid[3].set(xlabel="shift (pixels)", ylabel="similarity (cosine)", title="What is left of it", ylim=(-0.05, 1.08))
    grid[3].legend(fontsize=8)

# %% [markdown]
# A sparse map that moves by one pixel has nothing in common with itself. The larger the pooling window, the
# longer the two stay alike. Global pooling does not notice a shift at all, but it has forgotten every place,
# so it belongs *behind* layers that have found something. *Question before you go on:* max pooling of 4x4 also
# makes unrelated maps alike. Where in the figure do you see that?
#
# ## 4.6 Filters and feature maps
#
# Long before networks learned their kernels, people designed them. The slope of brightness to the right,
# the slope downwards, their length: edges.
#
# **Task.** Write the four kernels, `apply_filter` and `feature_maps`.

# %% task="filters"
check("filters")

# %%
with attempt():
    from skimage.data import camera

    photo = camera()[40:340, 80:380].astype(np.float64)[::2, ::2] / 255
    across, down = cnn.apply_filter(photo, cnn.SOBEL_X), cnn.apply_filter(photo, cnn.SOBEL_Y)
    figure, grid = plt.subplots(2, 3, figsize=(9, 6.2))
    show(grid[0, 0], photo, "photograph", cmap="gray", vmin=0, vmax=1)
    show(grid[0, 1], across, "SOBEL_X: vertical edges", cmap="RdBu_r", vmin=-2, vmax=2)
    show(grid[0, 2], down, "SOBEL_Y: horizontal edges", cmap="RdBu_r", vmin=-2, vmax=2)
    show(grid[1, 0], np.hypot(across, down), "length of the slope", cmap="Greys", vmin=0, vmax=2.5)
    show(grid[1, 1], cnn.apply_filter(photo, cnn.GAUSSIAN_BLUR), "GAUSSIAN_BLUR", cmap="gray", vmin=0, vmax=1)
    show(grid[1, 2], cnn.apply_filter(photo, cnn.LAPLACIAN), "LAPLACIAN", cmap="RdBu_r", vmin=-1, vmax=1)
    figure.suptitle("Red: positive. Blue: negative. The tripod shows what SOBEL_X sees and SOBEL_Y does not")

# %% [markdown]
# ## 4.7 LeNet, AlexNet, VGG and ResNet
#
# Four networks, four ideas:
#
# * **LeNet-5** (1998) reads cheques: convolution, pooling, and again, then a perceptron.
# * **AlexNet** (2012) is LeNet made large: ReLU, dropout, GPUs. It brings the error on ImageNet from 26 down
#   to 15 % and ends a winter.
# * **VGG** (2014) asks how simple a network can be: 3x3 kernels only, and deep.
# * **ResNet** (2015) finds that deeper networks *train worse*, and cures it with a plus sign: a block
#   learns only what to add to its input.
#
# **Task.** Build them from the tables in the docstrings. Name the layers as you like.

# %% task="architectures"
check("architectures")

# %% [markdown]
# What does each cost? Parameters must be stored; multiplications must be done for every image. On the *meta*
# device tensors have shapes but no memory, so that counting is free.


# %%
def cost(build, size):
    """Parameters and multiplications (one image) of a network that is built on the meta device."""
    with torch.device("meta"):
        model, image = build().eval(), torch.empty(1, *size)
        products = []

        def count(layer, inputs, output):
            positions = output.shape[2] * output.shape[3] if output.dim() == 4 else 1
            products.append(layer.weight.numel() * positions)

        for layer in model.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                layer.register_forward_hook(count)
        model(image)
    return sum(parameter.numel() for parameter in model.parameters()), sum(products)


with attempt():
    photograph = (3, 224, 224)
    costs = {
        "LeNet-5\n1998": cost(cnn.LeNet5, (1, 28, 28)),
        "AlexNet\n2012": cost(cnn.AlexNet, photograph),
        "VGG-16\n2014": cost(lambda: cnn.VGG(cnn.VGG16), photograph),
        "ResNet-18\n2015": cost(lambda: cnn.ResNet(cnn.BasicBlock, [2, 2, 2, 2]), photograph),
        "ResNet-50\n2015": cost(lambda: cnn.ResNet(cnn.Bottleneck, [3, 4, 6, 3]), photograph),
    }
    figure, grid = plt.subplots(1, 2, figsize=(9.5, 3.4))
    for axes, which, unit, colour in [
        (grid[0], 0, "parameters (million)", BLUE),
        (grid[1], 1, "products (million)", ORANGE),
    ]:
        heights = [value[which] / 1e6 for value in costs.values()]
        bars = axes.bar(list(costs), heights, color=colour)
        axes.bar_label(bars, [f"{height:,.0f}" if height > 2 else f"{height:.2f}" for height in heights], padding=2)
        axes.set(
            ylabel=unit,
            title=f"{unit.split()[0].capitalize()} of one network",
            yscale="log",
            ylim=(0.03, 1e5),
        )
        axes.tick_params(axis="x", labelsize=8.5)

# %% [markdown]
# AlexNet has twice the parameters of ResNet-50 and a sixth of its work: where do AlexNet's parameters sit,
# and where does ResNet's work come from?
#
# Now the plus sign. Push a gradient back through 24 blocks, with and without a shortcut, and measure what
# arrives.


# %%
def gradient_by_depth(blocks):
    """Length of the gradient at the input of each block, relative to that at the output."""
    torch.manual_seed(0)
    passed = [torch.randn(8, 8, 12, 12).requires_grad_()]
    for block in blocks:
        passed.append(block(passed[-1]))
        passed[-1].retain_grad()
    (passed[-1] * torch.randn_like(passed[-1])).sum().backward()
    return [float(values.grad.norm() / passed[-1].grad.norm()) for values in passed]


def plain_block(norm):
    """The layers of a BasicBlock in a row, without a shortcut."""
    layers = []
    for _ in range(2):
        layers += [nn.Conv2d(8, 8, 3, padding=1, bias=False), norm(8), nn.ReLU()]
    return nn.Sequential(*layers)


with attempt():
    torch.manual_seed(1)
    curves = {
        "your BasicBlock": ([cnn.BasicBlock(8, 8) for _ in range(24)], BLUE),
        "without the shortcut": ([plain_block(nn.BatchNorm2d) for _ in range(24)], ORANGE),
        "without shortcut and batch norm": ([plain_block(nn.Identity) for _ in range(24)], GREY),
    }
    figure, axes = plt.subplots(figsize=(6.4, 3.4))
    for name, (blocks, colour) in curves.items():
        axes.plot(np.arange(24, -1, -1), gradient_by_depth(blocks), color=colour, label=name)
    axes.set(xlabel="blocks between here and the loss", ylabel="length of the gradient\n(relative)", yscale="log")
    axes.set_title("What arrives of a gradient")
    axes.legend()

# %% [markdown]
# The grey gradient vanishes. Batch norm cures that, and overdoes it: each block multiplies the gradient by the same
# factor, and after 24 blocks the first layers get steps that are far too large beside the last. With a
# shortcut the gradient has a way round each block.
#
# ## 4.8 A small network of your own
#
# Now train. Three convolutions with batch norm and ReLU are plenty; your network must shrink the image, find
# features and end in a mean of each map.
#
# **Task.** Write `SmallCNN`, `train_small_cnn` and `predict_labels`.

# %% task="small_cnn"
check("small_cnn")

# %% [markdown]
# Is it worth the trouble? Here is a perceptron with 789,258 weights on the same 2,000 shapes.


# %%
def train_perceptron(x, y, epochs=40):
    """A perceptron with one hidden layer, trained as well as it goes."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(x[0].size, 256), nn.ReLU(), nn.Linear(256, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    images, labels = torch.from_numpy(x), torch.from_numpy(y)
    for _ in range(epochs):
        for batch in torch.randperm(len(images)).split(64):
            optimizer.zero_grad()
            F.cross_entropy(model(images[batch]), labels[batch]).backward()
            optimizer.step()
    return model.eval()


x, y = shapes10(2000, seed=1)
unseen, truth = shapes10(1000, seed=2)
models = {}

with attempt():
    models = {"your network": cnn.train_small_cnn(x, y), "perceptron": train_perceptron(x, y)}
    shifts = np.arange(0, 17, 2)
    figure, grid = plt.subplots(1, 2, figsize=(9.5, 3.4), width_ratios=[2, 3])
    for (name, model), colour in zip(models.items(), [BLUE, ORANGE], strict=True):
        weights = sum(parameter.numel() for parameter in model.parameters())
        right = [np.mean(cnn.predict_labels(model, np.roll(unseen, shift, axis=3)) == truth) for shift in shifts]
        bar = grid[0].bar(f"{name}\n{weights:,} weights", right[0], color=colour)
        grid[0].bar_label(bar, [f"{right[0]:.2f}"], padding=2)
        grid[1].plot(shifts, right, "o-", color=colour, label=name)
    for axes in grid:
        axes.axhline(0.1, color=GREY, linestyle=":")
        axes.set(ylim=(0, 1.08), ylabel="right on unseen shapes")
    grid[0].set_title("2,000 images to learn from")
    grid[1].set(xlabel="shift to the right, round the edge (pixels)", title="... and when the test images are shifted")
    grid[1].legend(loc="center right")

# %% [markdown]
# The perceptron has learned forms at the places where it saw them. Yours has learned forms. (Dotted:
# guessing. What bends your curve a little is that a shape pushed over the edge is cut in two.)
#
# Look inside: what do the first layers of your trained network answer to?

# %%
with attempt():
    model = models.get("your network") or cnn.train_small_cnn(x, y)
    names = [name for name, layer in model.named_modules() if isinstance(layer, nn.Conv2d)][:2]
    chosen = [int(np.flatnonzero(truth == label)[0]) for label in (1, 4, 6)]
    figure, grid = plt.subplots(len(chosen), 13, figsize=(9.8, 2.9))
    for axes in grid.flat:
        axes.set_axis_off()
    for row, index in zip(grid, chosen, strict=True):
        show(row[0], unseen[index])
        for block, name in enumerate(names):
            maps = cnn.feature_maps(model, torch.from_numpy(unseen[[index]]), name)[0].numpy()
            for number, (axes, channel) in enumerate(zip(row[1 + 6 * block :], maps[:6], strict=False), start=1):
                reach = np.abs(channel).max()
                show(axes, channel, cmap="RdBu_r", vmin=-reach, vmax=reach)
                axes.set_title(f"{name}: {number}" if index == chosen[0] else "", fontsize=6.5)
    figure.suptitle("Six maps of each of two convolutions (red: positive, blue: negative)")

# %% [markdown]
# In the first layer you will find edges and plain colour; many of these kernels are cousins of your
# `SOBEL_X`, and nobody designed them. The second layer combines them.
#
# ## Two questions

# %% [markdown] question="why_convolution" points=5
# **Question 1 (5 points).** A convolution is a linear layer with two restrictions: each output looks only at a small
# window, and all outputs share the same weights. For each of the two: what does the network gain from it,
# and what kind of image or task would make it a bad idea? Use one of the figures above as evidence.

# %% [markdown] question="why_residual" points=5
# **Question 2 (5 points).** Plain networks of 56 layers had a *higher training error* than networks of 20 layers,
# although the deep one could copy the shallow one and pass everything on unchanged. Explain why the deep
# one does not simply learn this, and how `residual(x) + x` helps, both in the forward pass and for the
# gradient.

# %% [markdown]
# ## Where to go from here
#
# Next come the crafts that make such networks work on little data: augmentation, batch norm from the inside,
# dropout, transfer from a network that somebody else has trained, and boxes around what was found.
