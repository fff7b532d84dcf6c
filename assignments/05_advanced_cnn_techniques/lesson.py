# %% [markdown]
# # Advanced CNN techniques
#
# A convolutional network that works on a benchmark is one thing; one that works on *your* three hundred images
# is another. This notebook is about the craft in between: more from few images, steadier training, knowledge
# borrowed from another network, boxes around what was found, and a look at where a network looks.
#
# **How to work.** Your code goes into `advanced_cnn_techniques.py`, beside this notebook. Each docstring says
# exactly what is wanted: replace the line `raise NotImplementedError(...)`, then run the cells here. A cell
# with `check(...)` runs the public tests of one task; hidden tests look further, at edge cases that the
# docstring also describes. Cells that draw something simply say "not started" while what they need is missing.
#
# | task | you write | points |
# |---|---|---|
# | 5.1 | data augmentation | 10 |
# | 5.2 | batch normalisation, forward and backward | 15 |
# | 5.3 | dropout | 8 |
# | 5.4 | freeze, replace, and learn at two speeds | 10 |
# | 5.5 | transfer learning, compared | 13 |
# | 5.6 | boxes, anchors and non-maximum suppression | 13 |
# | 5.7 | average precision and a tiny detector | 11 |
# | 5.8 | Grad-CAM | 10 |
# | | two written questions | 10 |

# %%
# %load_ext autoreload
# %autoreload 2
import importlib

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.patches import Rectangle
from torch.nn import functional as F

import advanced_cnn_techniques as act
from autograder import attempt, check
from dlcourse.data import SHAPES10, shapes7_weights, shapes10, shapes10_boxes
from dlcourse.figures import BLUE, GREEN, GREY, INK, ORANGE, RED, explore, show, use_style
from dlcourse.vision import import_torchvision

torchvision = import_torchvision()
v2 = importlib.import_module("torchvision.transforms.v2")
use_style()

# %% [markdown]
# One helper that draws.


# %%
def outline(axes, box, colour, **options):
    """Draw a box x1, y1, x2, y2. Pixel k of an image is drawn from k - 0.5 to k + 0.5."""
    x1, y1, x2, y2 = np.asarray(box, dtype=float)
    style = {"linewidth": 2, "fill": False, **options}
    axes.add_patch(Rectangle((x1 - 0.5, y1 - 0.5), x2 - x1, y2 - y1, edgecolor=colour, **style))


# %% [markdown]
# ## 5.1 Data augmentation
#
# A cat that looks to the left is a cat. You know that; a network has to learn it, from images of cats that look
# to the left. Augmentation makes such images out of those you have. It adds no information about cats. It adds
# what *you* know about images: what may change without changing the label.
#
# **Task.** Write the five augmentations, `batches`, which knows where they belong, and `keeps_label`.

# %% task="augmentation"
check("augmentation")

# %% [markdown]
# A real photograph, from scikit-image, eight times each:

# %%
from skimage.data import chelsea

cat = chelsea()[::3, ::3].transpose(2, 0, 1).astype(np.float64) / 255  # (3, 100, 151)
with attempt():
    rng = np.random.default_rng(0)
    eight = np.repeat(cat[None], 8, axis=0)
    rows = {
        "random_hflip": act.random_hflip(eight, rng),
        "random_crop(pad=20)": act.random_crop(eight, 20, rng),
        "color_jitter(0.5, 0.5)": act.color_jitter(eight, rng, 0.5, 0.5),
        "cutout(40)": act.cutout(eight, 40, rng),
    }
    figure, grid = plt.subplots(4, 8, figsize=(10, 4.2))
    for row, (name, changed) in zip(grid, rows.items(), strict=True):
        for axes, image in zip(row, changed, strict=True):
            show(axes, image)
        row[0].set_title(name)
    figure.suptitle("One cat, 32 images, one label")

# %% [markdown]
# *Mixup* goes further and makes images that nobody ever saw, of labels that nobody ever wrote. Move the slider:
# with a small `alpha` most images stay nearly pure, with a large one most are half and half.

# %%
tac = np.flip(cat, axis=2) * np.array([1.0, 0.55, 0.3])[:, None, None]


def draw_mixup(alpha=0.4):
    """Blends of two images, and the distribution of their shares."""
    rng = np.random.default_rng(5)
    both, labels = np.repeat(np.stack([cat, tac]), 60, axis=0), np.repeat(np.eye(2), 60, axis=0)
    images, mixed = act.mixup(both, labels, alpha, rng)
    _figure, grid = plt.subplots(1, 6, figsize=(10, 1.9), width_ratios=[3, 3, 3, 3, 3, 5])
    for axes, k in zip(grid, range(0, 60, 12), strict=False):
        show(axes, images[k])
        axes.set_title(f"{mixed[k, 0]:.2f} cat, {mixed[k, 1]:.2f} tac", fontsize=9)
    shares = rng.beta(alpha, alpha, size=4000)
    grid[5].hist(shares, bins=30, range=(0, 1), color=BLUE, density=True)
    grid[5].set(xlabel="lam", ylabel="density", title=f"Beta({alpha:g}, {alpha:g})", ylim=(0, 6))
    plt.show()


explore(draw_mixup, alpha=[0.1, 0.2, 0.4, 0.7, 1.0, 2.0, 4.0, 10.0])

# %% [markdown]
# The same functions exist in libraries, of course. Here is a pipeline of torchvision's `transforms.v2`: it
# knows images, boxes and masks, and moves them together, as your `random_hflip` does with boxes.

# %%
images, labels, boxes = shapes10_boxes(12, seed=3)
pipeline = v2.Compose([v2.RandomHorizontalFlip(1.0), v2.RandomCrop(32, padding=4), v2.ColorJitter(0.3, 0.3)])
torch.manual_seed(1)
tv_tensors = importlib.import_module("torchvision.tv_tensors")
figure, grid = plt.subplots(2, 6, figsize=(9, 3.2))
for column, image, box in zip(grid.T, images, boxes, strict=False):
    wrapped = tv_tensors.BoundingBoxes(torch.from_numpy(box)[None], format="XYXY", canvas_size=(32, 32))
    changed, moved = pipeline(torch.from_numpy(image), wrapped)
    for axes, picture, place in ((column[0], image, box), (column[1], changed.numpy(), moved[0].numpy())):
        show(axes, picture)
        outline(axes, place, ORANGE)
grid[0, 0].set_title("before")
grid[1, 0].set_title("after: the boxes came along")
figure.suptitle("torchvision.transforms.v2 on images and their boxes")
plt.show()

# %% [markdown]
# Does it help? A small network learns shapes10 from 200 images, once as they are and once augmented. *Guess
# first:* which of the two will be better on its training images, and which on new ones?


# %%
def train_on(x, y, augment, epochs=30):
    """Train a new network; return epochs and shares of right answers on training and on new images."""
    new, truth = shapes10(500, seed=(11, 1))
    rng, net = np.random.default_rng(0), act.ShapeNet(10)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    history = []
    for epoch in range(1, epochs + 1):
        net.train()
        for images, labels in act.batches(x, y, 25, rng, augment):
            optimizer.zero_grad()
            F.cross_entropy(net(torch.from_numpy(images)), torch.from_numpy(labels)).backward()
            optimizer.step()
        schedule.step()
        if epoch % 3 == 0:
            net.eval()
            with torch.no_grad():
                guesses = [net(torch.from_numpy(images)).argmax(dim=1).numpy() for images in (x, new)]
            history.append((epoch, (guesses[0] == y).mean(), (guesses[1] == truth).mean()))
    return np.array(history).T


def flip_and_shift(images, rng):
    """What shapes allow: mirror them, and move them a little."""
    return act.random_crop(act.random_hflip(images, rng), 2, rng)


with attempt():
    x, y = shapes10(200, seed=11)
    figure, axes = plt.subplots(figsize=(6.6, 3.3))
    for augment, name, colour in ((None, "as they are", ORANGE), (flip_and_shift, "augmented", BLUE)):
        torch.manual_seed(1)
        epochs, own, new = train_on(x, y, augment)
        axes.plot(epochs, new, "o-", color=colour, label=f"{name}: new images")
        axes.plot(epochs, own, "--", color=colour, label=f"{name}: its training images")
    axes.set(xlabel="epoch", ylabel="share of right answers", ylim=(0, 1.03), title="200 images of shapes10")
    axes.legend(loc="lower right", fontsize=8.5)

# %% [markdown]
# The gap between a dashed and a full line of one colour is what was learned by heart. Augmentation narrows it:
# each epoch shows other images, so there is less to learn by heart. But it is no magic: add
# `act.color_jitter(images, rng, 0.6, 0.6)` to `flip_and_shift`, and the result gets *worse*. These shapes come in
# all colours anyway, and what jitter takes from their contrast, thirty epochs cannot make up for. Which change is
# worth its price is an experiment, not a rule.
#
# ## 5.2 Batch normalisation
#
# Each layer learns on what the layers before it give, and those change at every step. Batch normalisation takes
# the scale out of the game: whatever comes, each channel leaves with mean `beta` and standard deviation
# `gamma`.
#
# **Task.** Write `BatchNorm`, forward and backward. Beware of three things: which axes, which variance, and
# which mode.

# %% task="batch_norm"
check("batch_norm")

# %% [markdown]
# What does it do to activations? Send random data through twenty layers of ReLU whose weights are a little too
# small, right, or a little too large, and watch the spread after each.

# %%
with attempt():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 64))
    act.BatchNorm(64).forward(x)
    figure, grid = plt.subplots(1, 2, figsize=(9.4, 3.4), sharey=True)
    for axes, with_norm in zip(grid, (False, True), strict=True):
        for gain, colour in ((0.7, BLUE), (1.0, GREEN), (1.4, ORANGE)):
            h, spread = x, []
            for _ in range(20):
                h = h @ (rng.normal(size=(64, 64)) * gain * np.sqrt(2 / 64))
                if with_norm:
                    h, _ = act.BatchNorm(64).forward(h)
                h = np.maximum(h, 0)
                spread.append(h.std())
            axes.plot(range(1, 21), spread, "o-", color=colour, markersize=4, label=f"weights x {gain:g}")
        axes.set(xlabel="layer", yscale="log", title="with batch norm (three lines)" if with_norm else "without")
        axes.set_xticks([1, 5, 10, 15, 20])
    grid[0].set_ylabel("spread of the activations (standard deviation)")
    grid[0].legend()

# %% [markdown]
# Without it a factor of 1.4 for each layer is a factor of 800 after twenty layers. With it the initial scale does
# not matter at all, in either direction, and large learning rates matter little.
#
# The price: in training an example's output depends on *the rest of its batch*. So in use the layer needs
# other numbers, the running ones. How good are they? Normalise batches of four, follow the statistics, and
# compare with the truth (mean 3, variance 4).

# %%
with attempt():
    rng = np.random.default_rng(1)
    steps = np.arange(1, 121)
    figure, grid = plt.subplots(1, 2, figsize=(9.4, 3.2))
    for momentum, colour in ((0.5, GREY), (0.1, BLUE), (0.01, ORANGE)):
        bn, followed = act.BatchNorm(1, momentum=momentum), []
        for _ in steps:
            bn.forward(rng.normal(3, 2, size=(4, 1)))
            followed.append((bn.running_mean[0], bn.running_var[0]))
        for axes, values in zip(grid, np.array(followed).T, strict=True):
            axes.plot(steps, values, color=colour, label=f"momentum {momentum:g}")
    for axes, truth, name in zip(grid, (3, 4), ("running_mean", "running_var"), strict=True):
        axes.axhline(truth, color=INK, linestyle=":", label="truth")
        axes.set(xlabel="step (a batch of four)", ylabel=name, ylim=(0, 2.4 * truth))
    grid[0].legend(fontsize=8.5)
    figure.suptitle("A large momentum forgets, a small one is late")

# %% [markdown]
# ## 5.3 Dropout
#
# A unit that may be gone at any moment cannot be relied on. So with dropout a network learns the same thing in
# several ways, and what one unit knows by heart is worth little.
#
# **Task.** Write `Dropout`: inverted, that is, with all the scaling done in training.

# %% task="dropout"
check("dropout")

# %% [markdown]
# Here is one unit that adds up a hundred inputs of 0.01 each: its value is 1. Drop inputs, a thousand times.

# %%
with attempt():
    figure, grid = plt.subplots(1, 3, figsize=(9.4, 2.9), sharex=True)
    for axes, p in zip(grid, (0.1, 0.5, 0.9), strict=True):
        layer = act.Dropout(p, np.random.default_rng(0))
        sums = layer.forward(np.full((1000, 100), 0.01))[0].sum(axis=1)
        axes.hist(sums, bins=np.linspace(0, 2.5, 26) - 0.001, color=BLUE)
        axes.axvline(sums.mean(), color=ORANGE, label=f"mean {sums.mean():.2f}")
        axes.axvline(
            layer.eval().forward(np.full((1, 100), 0.01))[0].sum(),
            color=INK,
            linestyle=":",
            label="eval mode",
        )
        axes.set(xlabel="value of the unit", ylabel="passes", title=f"p = {p}")
        axes.legend(fontsize=8.5)
    figure.suptitle("The mean stays, the noise grows: dropout is noise that a network must learn to live with")

# %% [markdown]
# ## 5.4 Freeze, replace, and learn at two speeds
#
# Most of a network describes images, and only its last layer talks about classes. So a network that was trained
# for a thousand classes can be taught your three: keep the *backbone*, replace the *head*. Three decisions:
# what is frozen, what is new, and who learns how fast.
#
# **Task.** Write `freeze_backbone`, `replace_head` and `param_groups`. Parameters are not the only thing in a
# network that moves.

# %% task="freezing"
check("freezing")

# %% [markdown]
# Your functions know nothing of a special network, so they work on torchvision's as well. (On the *meta* device
# tensors have shapes but no memory. With the internet at hand you would write
# `resnet18(weights="IMAGENET1K_V1")` and have the trained weights.)

# %%
with attempt():
    heads = {
        "resnet18": "fc",
        "vgg11_bn": "classifier.6",
        "mobilenet_v3_small": "classifier.3",
        "resnet50": "fc",
    }
    counts = {}
    for name, head in heads.items():
        with torch.device("meta"):
            model = getattr(torchvision.models, name)()
            act.freeze_backbone(act.replace_head(model, 3, head).train(), head)
        learning = sum(p.numel() for p in model.parameters() if p.requires_grad)
        counts[name] = learning, sum(p.numel() for p in model.parameters())
        groups = act.param_groups(model, 1e-2, 1e-4, head)
        print(f"{name:20} {len(groups)} group, {learning:7,} of {counts[name][1]:12,} numbers learn")

    figure, axes = plt.subplots(figsize=(6.8, 2.8))
    places = np.arange(len(counts))
    axes.barh(places, [total for _, total in counts.values()], color=GREY, label="frozen backbone")
    axes.barh(places, [learning for learning, _ in counts.values()], color=ORANGE, label="new head")
    axes.set_yticks(places, list(counts))
    axes.set(
        xscale="log",
        xlabel="parameters",
        title="What learns in a linear probe for three classes",
        xlim=(1e3, 1e10),
    )
    axes.legend(loc="lower right", fontsize=8.5)

# %% [markdown]
# ## 5.5 Transfer learning, compared
#
# The course gives you the weights of a small network, `ShapeNet`. It has seen thousands of images of seven
# shapes, but never a checker, dots or a gradient bar. You have ten images of each of these, with a lot of
# noise:


# %%
def three_new_shapes(n, seed):
    """n images each of checker, dots and gradient bar, and labels 0, 1, 2."""
    images, labels = shapes10(10 * n, seed, noise=0.25)
    chosen = np.concatenate([np.flatnonzero(labels == label) for label in (7, 8, 9)])
    return images[chosen], labels[chosen] - 7


few, few_labels = three_new_shapes(10, seed=21)
figure, grid = plt.subplots(3, 10, figsize=(9, 2.9))
for axes, image in zip(grid.flat, few, strict=True):
    show(axes, image)
figure.suptitle(f"All there is to learn from: {', '.join(SHAPES10[7:])}")
plt.show()

# %% [markdown]
# **Task.** Write `compare_transfer`: from scratch, with a linear probe, with fine-tuning. Which one would you bet
# on?

# %% task="transfer"
check("transfer")

# %% [markdown]
# Note what is compared here, and on what: the images below are unseen, and no decision is made on them. If you
# want to *choose* between the three ways, choose on validation data, and use the test images once, at the end.

# %%
state = {name: torch.from_numpy(array) for name, array in shapes7_weights().items()}
with attempt():
    unseen, truth = three_new_shapes(100, seed=22)
    sizes, found = [2, 5, 10, 20], {"scratch": [], "linear_probe": [], "fine_tune": []}
    for size in sizes:
        x, y = three_new_shapes(size, seed=23)
        for way, net in act.compare_transfer(state, x, y).items():
            with torch.no_grad():
                labels = net(torch.from_numpy(unseen)).argmax(dim=1).numpy()
            found[way].append((labels == truth).mean())
    figure, axes = plt.subplots(figsize=(6.4, 3.3))
    for (way, shares), colour in zip(found.items(), (GREY, BLUE, ORANGE), strict=True):
        axes.plot(sizes, shares, "o-", color=colour, label=way)
    axes.axhline(1 / 3, color=INK, linestyle=":", label="chance")
    axes.set(
        xlabel="training images of each class",
        ylabel="share of right answers",
        ylim=(0.2, 1.03),
        xticks=sizes,
    )
    axes.set_title("Three new classes, three ways")
    axes.legend(loc="center right", fontsize=8.5)

# %% [markdown]
# With two images for each class nobody can train a network, but a linear probe is already useful. And the curve from
# scratch would get there in the end: transfer is worth most where data are few.
#
# ## 5.6 Boxes
#
# *What* is in the image is half of the answer; detection asks *where* as well. The answer is a box, and a box is
# judged by its overlap with the true one: intersection over union.
#
# **Task.** Write `box_iou`, `nms`, `encode`, `decode` and `make_anchors`.

# %% task="boxes"
check("boxes")

# %% [markdown]
# How much is an IoU of 0.5? Less than it sounds like: look at these.

# %%
with attempt():
    truth = np.array([[4.0, 4, 20, 20]])
    others = np.array([[5.0, 5, 21, 21], [7.0, 6, 22, 23], [4.0, 4, 20, 12], [10, 8, 26, 24], [21, 21, 27, 27]])
    figure, grid = plt.subplots(1, 5, figsize=(9.4, 2.2))
    for axes, box, iou in zip(grid, others, act.box_iou(truth, others)[0], strict=True):
        outline(axes, truth[0], GREEN, fill=True, facecolor=GREEN, alpha=0.35)
        outline(axes, box, ORANGE)
        axes.set(xlim=(0, 30), ylim=(30, 0), aspect="equal", title=f"IoU {iou:.2f}", xticks=[], yticks=[])
    figure.suptitle("Green: the true box. Orange: a prediction")

# %% [markdown]
# A detector looks everywhere at once and reports the same object many times. Non-maximum suppression keeps the
# best report of each. Move the threshold: too low, and neighbours swallow each other; too high, and every
# object is counted twice.

# %%
coffee = importlib.import_module("skimage.data").coffee()[::2, ::2].transpose(2, 0, 1)  # (3, 200, 300)
rng = np.random.default_rng(4)
objects = np.array([[91.0, 19, 203, 150], [42, 44, 237, 198], [160, 128, 206, 177]])  # cup, saucer, spoon
extent = np.tile(objects[:, 2:] - objects[:, :2], 2)
reports = np.repeat(objects, 7, axis=0) + 0.05 * np.repeat(extent, 7, axis=0) * rng.normal(size=(21, 4))
belief = np.clip(rng.normal(0.7, 0.15, size=21), 0.05, 0.99)


def draw_nms(threshold=0.45):
    """All reports, and those that are kept."""
    kept = act.nms(reports, belief, threshold)
    _figure, grid = plt.subplots(1, 2, figsize=(9.4, 3.3))
    for axes, chosen in zip(grid, (np.arange(21), kept), strict=True):
        show(axes, coffee)
        for k in chosen:
            outline(axes, reports[k], ORANGE, linewidth=1 + 2 * belief[k], alpha=0.3 + 0.7 * belief[k])
    grid[0].set_title(f"{len(reports)} reports of three things on a table")
    grid[1].set_title(f"{len(kept)} are left with a threshold of {threshold:.2f}")
    plt.show()


explore(draw_nms, threshold=(0.0, 0.95, 0.05))

# %% [markdown]
# How can one network report any number of boxes? It says something about *every* anchor of a fixed set: how the
# nearest object lies, seen from there. That is what `encode` and `decode` are for.

# %%
with attempt():
    image, box = images[1], boxes[1].astype(float)
    anchors = act.make_anchors((4, 4), 8, [12.0, 20.0], [0.5, 1.0, 2.0])
    overlap = act.box_iou(box[None], anchors)[0]
    best = overlap.argmax()
    figure, grid = plt.subplots(1, 3, figsize=(9.4, 3.2))
    for axes, chosen, title in (
        (grid[0], np.arange(36, 42), "the six anchors of one cell"),
        (grid[1], np.flatnonzero(overlap > 0.4), "anchors with an IoU above 0.4"),
        (grid[2], [best], "the best one, and the box"),
    ):
        show(axes, image, title)
        for k in chosen:
            outline(axes, anchors[k], GREEN, linewidth=1.5)
        middles = anchors[::6].reshape(-1, 2, 2).mean(axis=1)
        axes.plot(*(middles.T - 0.5), ".", color="white", markersize=4)
        axes.set(xlim=(-6, 38), ylim=(38, -6))
    outline(grid[2], box, ORANGE)
    offsets = act.encode(box[None], anchors[[best]])[0]
    grid[2].set_xlabel("tx, ty, tw, th = " + ", ".join(f"{value:.2f}" for value in offsets))

# %% [markdown]
# The four numbers under the last picture are small, and that is the point: an anchor turns "find the box" into
# "correct this box a little".
#
# ## 5.7 Average precision and a tiny detector
#
# A detector is right when box *and* class are right, and it may be silent or say too much. Average precision
# puts all that into one number: go through its reports from the surest to the least sure, and watch precision
# while recall grows.
#
# **Task.** Write `average_precision`, and build and train a detector for images with one shape each.

# %% task="detector"
check("detector")

# %%
scores = None
with attempt():
    x, y, true_boxes = shapes10_boxes(1000, seed=31)
    detector = act.train_detector(x, y, true_boxes)
    new, names, places = shapes10_boxes(400, seed=32)
    labels, scores, guesses = act.detect(detector, new)
    figure, grid = plt.subplots(2, 8, figsize=(9.8, 3))
    for axes, k in zip(grid.flat, range(16), strict=True):
        show(axes, new[k])
        colour = INK if labels[k] == names[k] else RED
        axes.set_title(f"{SHAPES10[labels[k]].split()[0]} {scores[k]:.2f}", fontsize=9, color=colour)
        outline(axes, places[k], "white", linewidth=1.5, linestyle=":")
        outline(axes, guesses[k], ORANGE)
    figure.suptitle("Unseen images: true boxes dotted, yours orange, a wrong name red")

# %% [markdown]
# How demanding may we be? Average precision of each class, as the required IoU rises. Benchmarks such as COCO
# report the mean of this curve from 0.5 to 0.95.

# %%
with attempt():
    if scores is None:
        raise NotImplementedError("train_detector: not started")
    levels = np.linspace(0.3, 0.95, 14)
    curves = np.zeros((10, len(levels)))
    for label in range(10):
        mine, true = labels == label, names == label
        dets = np.c_[np.flatnonzero(mine), scores[mine], guesses[mine]].astype(float)
        gts = np.c_[np.flatnonzero(true), places[true]].astype(float)
        curves[label] = [act.average_precision(dets, gts, level) for level in levels]
    figure, axes = plt.subplots(figsize=(6.6, 3.4))
    axes.plot(levels, curves.T, color=GREY, linewidth=1)
    axes.plot(levels, curves.mean(axis=0), "o-", color=BLUE, label="mean over the classes")
    worst = int(curves[:, 8].argmin())
    axes.plot(levels, curves[worst], color=ORANGE, label=f"{SHAPES10[worst]}, the hardest at {levels[8]:.2f}")
    coco = curves[:, levels >= 0.499].mean()
    axes.set(xlabel="required IoU", ylabel="average precision", ylim=(0, 1.03))
    axes.set_title(f"Mean from 0.5 to 0.95: {coco:.2f}")
    axes.legend(loc="lower left")

# %% [markdown]
# One class falls behind long before the others: at one end it fades into the ground, so nobody can say where its
# box ends, not even with better training. Look at the data before you blame the network.
#
# ## 5.8 Where does a network look?
#
# A network may be right for the wrong reason: huskies were told from wolves by the snow. Grad-CAM asks which
# places of a layer's maps the score of a class depends on.
#
# **Task.** Write `grad_cam`, and leave no traces.

# %% task="grad_cam"
check("grad_cam")

# %%
with attempt():
    net = act.ShapeNet(7)
    net.load_state_dict(state)
    net.eval()
    pictures, kinds, around = shapes10_boxes(200, seed=41)
    chosen = [int(np.flatnonzero(kinds == label)[1]) for label in range(7)]
    x, y = torch.from_numpy(pictures[chosen]), torch.from_numpy(kinds[chosen])
    layers = {"backbone.2": "first maps", "backbone.6": "second maps", "backbone.10": "last maps"}
    figure, grid = plt.subplots(4, 7, figsize=(9.6, 5.8))
    for axes, image, label in zip(grid[0], pictures[chosen], kinds[chosen], strict=True):
        show(axes, image, SHAPES10[label].split()[0])
    for row, (layer, name) in zip(grid[1:], layers.items(), strict=True):
        maps = act.grad_cam(net, layer, x, y)
        large = F.interpolate(maps[:, None], size=(32, 32), mode="bilinear")[:, 0].numpy()
        for axes, image, heat in zip(row, pictures[chosen], large, strict=True):
            show(axes, image.mean(axis=0), cmap="gray", vmin=-0.5, vmax=1.5)
            axes.imshow(heat / max(heat.max(), 1e-9), cmap="inferno", alpha=0.6)
        row[0].set_ylabel(name)
    figure.suptitle("Where the score of the true class comes from")

# %% [markdown]
# Early maps see edges everywhere, and none of them speaks for a class by itself: of a disk or a ring hardly
# anything is left there. The last ones know where the shape is. Nobody told this network anything about places,
# only names. How often does the highest point lie on the shape?

# %%
with attempt():
    known = kinds < 7
    maps = act.grad_cam(net, "backbone.10", torch.from_numpy(pictures[known]), torch.from_numpy(kinds[known]))
    wrong = act.grad_cam(
        net, "backbone.10", torch.from_numpy(pictures[known]), torch.from_numpy((kinds[known] + 3) % 7)
    )
    hits = []
    for heat in (maps, wrong):
        large = F.interpolate(heat[:, None], size=(32, 32), mode="bilinear")[:, 0].flatten(1).argmax(dim=1).numpy()
        row, column = large // 32 + 0.5, large % 32 + 0.5
        x1, y1, x2, y2 = around[known].T
        hits.append(((x1 <= column) & (column <= x2) & (y1 <= row) & (row <= y2)).mean())
    area = ((around[:, 2] - around[:, 0]) * (around[:, 3] - around[:, 1])).mean() / 32**2
    figure, axes = plt.subplots(figsize=(5.8, 2.6))
    bars = axes.barh(
        ["map of the true class", "map of another class", "a random point"],
        [*hits, area],
        color=[BLUE, ORANGE, GREY],
    )
    axes.bar_label(bars, [f"{value:.2f}" for value in (*hits, area)], padding=3)
    axes.invert_yaxis()
    axes.set(xlabel="share of images where the point lies in the box", xlim=(0, 1.12), title="The pointing game")

# %% [markdown]
# ## Two questions

# %% [markdown] question="honest_validation" points=5
# **Question 1 (5 points).** A colleague fine-tunes a network on 200 X-ray images. The validation images go through
# the same random augmentation as the training images, the best of three strategies is chosen by its score on the
# test set, and that score is reported. Name each thing that is wrong with this, say in which direction it moves the
# reported number and why, and describe how you would do it.

# %% [markdown] question="train_and_eval" points=5
# **Question 2 (5 points).** Batch norm and dropout both compute something else in training than in use. For each of
# the two: what differs, why is it needed in training, and what would a user notice if `model.eval()` were
# forgotten? Then explain why freezing all parameters of a backbone is not enough to keep it as it is.

# %% [markdown]
# ## Where to go from here
#
# Images have two axes along which things move. The next notebook has one, and it only runs forward: time.
