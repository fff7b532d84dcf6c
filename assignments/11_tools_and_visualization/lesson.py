# %% [markdown]
# # Tools and visualization
#
# A network that trains is half of the work. The other half is to know what happened: which run was it, with which
# settings, when was it best, what did it see, where did it look? There are good libraries for all of these questions.
# In this notebook you put five of them behind small interfaces of your own, and look at what each of them really keeps.
#
# **Not every machine has all five.** Each of them is installed by itself:
#
# | task | you write | library | points |
# |---|---|---|---|
# | TL1 | a logger of metrics, and a reader | `pip install tensorboard` | 24 |
# | TL2 | a run that is tracked without a network | `pip install wandb` | 16 |
# | TL3 | two pipelines for images | `pip install albumentations==2.0.8` | 16 |
# | TL4 | networks that others have written | `pip install timm` | 16 |
# | TL5 | six figures | `pip install seaborn` | 18 |
# | | two written questions | | 10 |
#
# Where a library is missing, its task is "not gradable here", which costs nobody a point. So the libraries are imported
# *inside* the functions that use them.
#
# **How to work.** Your code goes into `tools_and_visualization.py`, beside this notebook. Each function there has a
# docstring that says exactly what it must do: replace the line `raise NotImplementedError(...)`. Then run the cells
# here. A cell with `check(...)` runs the public tests of one task; hidden tests will look further, at edge cases that
# the docstring also describes. Cells that draw something say "not started" while the function they need is missing.

# %%
# %load_ext autoreload
# %autoreload 2
import copy
import os
import tempfile
from pathlib import Path

import numpy as np
import torch

import pictures
import readers
import tools_and_visualization as tools
from autograder import attempt, check
from dlcourse.data.shapes import SHAPES10, shapes10, shapes10_boxes
from dlcourse.figures import explore, use_style
from dlcourse.vision import import_torchvision
from fake_wandb import Client

torch.set_num_threads(1)
use_style()
x, labels = map(torch.from_numpy, shapes10(1500, 0))
unseen, unseen_labels = map(torch.from_numpy, shapes10(600, 1))

# %% [markdown]
# ## TL1 What did the run measure?
#
# `print(loss)` is gone when the window is closed. TensorBoard's `SummaryWriter` writes numbers, histograms and images
# into a file while the run goes on, and anybody can read it: a browser (`tensorboard --logdir runs`) or a program.

# %% task="tensorboard"
check("tensorboard")

# %% [markdown]
# **A run that is stopped.** A small network learns to tell ten shapes apart. After every fifth epoch it saves a
# checkpoint. After epoch 7 the power fails. The last checkpoint is that of epoch 4, so epochs 5 to 7 are done again.
# They come out different, because the random numbers are others. What does the reader of the curve see?

# %%
folders = {kind: Path(tempfile.mkdtemp()) for kind in ("twice", "once")}


def epochs(model, optimizer, loggers, first, last):
    """Train and log some epochs; return what the checkpoint after epoch 4 keeps."""
    kept = None
    for epoch in range(first, last):
        loss = pictures.train_epoch(model, x, labels, optimizer)
        val_loss, accuracy, _ = pictures.measure(model, unseen, unseen_labels)
        for logger in loggers:
            logger.scalars({"loss": loss}, epoch, prefix="train")
            logger.scalars({"loss": val_loss, "accuracy": accuracy}, epoch, prefix="val")
            logger.histograms(model, epoch)
        if epoch == 4:
            kept = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
    return kept


torch.manual_seed(0)
model = pictures.ShapeNet()
optimizer = torch.optim.Adam(model.parameters(), 3e-3)
is_logged = False
if pictures.has("tensorboard"):
    with attempt():
        loggers = [tools.MetricLogger(folder) for folder in folders.values()]
        kept = epochs(model, optimizer, loggers, 0, 8)
        for folder, logger in zip(folders.values(), loggers, strict=True):
            logger.close()
            readers.in_order(folder, 1)
        model.load_state_dict(kept[0])
        optimizer.load_state_dict(kept[1])
        loggers = [tools.MetricLogger(folders["twice"]), tools.MetricLogger(folders["once"], resume_step=5)]
        epochs(model, optimizer, loggers, 5, 12)
        loggers[1].images("shapes", x[:16], 12)
        for folder, logger in zip(folders.values(), loggers, strict=True):
            logger.close()
            readers.in_order(folder, 2)
        twice, once = (readers.read_events(folder)[0]["val/loss"] for folder in folders.values())
        pictures.two_readings(twice, once, 4)
        is_logged = True

# %% [markdown]
# On the left the line goes back: three epochs are there twice, and no reader can say which of them belong to the model
# that you have in the end. On the right they are purged. They are still in the file; the reader hides them.
#
# **Histograms** say what a loss does not. Of each gradient TensorBoard keeps the count, the sum, the sum of squares and
# the shape of the distribution; from them one sees which layer learns.

# %%
if is_logged:
    pictures.norms_of_layers(readers.read_events(folders["once"])[1])

# %% [markdown]
# **Images.** Look at what your network gets, once in each project: not at the files, but at the batch. Many long
# searches end with a picture like this one, in which colours are exchanged, or all images are black.

# %%
if is_logged:
    ((step, picture),) = readers.read_events(folders["once"])[2]["shapes"]
    pictures.picture_shown(picture, f"one batch, as the logger wrote it at step {step}")

# %% [markdown]
# ## TL2 Which run was it?
#
# After forty runs nobody knows which settings belong to which curve. Weights & Biases keeps them together: config,
# rows, summary, and whether the run failed. It is a service in the network, but with `mode="offline"` everything goes
# into a file, which `wandb sync` can send later, or never.

# %% task="wandb"
check("wandb")

# %% [markdown]
# **Four runs.** Each has another learning rate. If wandb is installed here, the runs are real ones in offline mode, and
# the numbers come from the files that wandb wrote. The client of W&B starts a second process, which writes the file;
# `teardown` waits for its end. A grader's sandbox starts no process. There your run gets a client that only keeps what
# it is told (`fake_wandb.py`), and the grader gives these rows to the real one.

# %%
os.environ |= {"WANDB_SILENT": "true", "WANDB_CONSOLE": "off", "WANDB_ERROR_REPORTING": "false"}
is_real = pictures.has("wandb")

with attempt():
    rows = []
    for lr in (3e-4, 3e-3, 3e-2, 0.3):
        torch.manual_seed(0)
        client, folder = None if is_real else Client(), tempfile.mkdtemp()
        model = pictures.ShapeNet()
        optimizer = torch.optim.Adam(model.parameters(), lr)
        config = {"lr": lr, "optimizer": optimizer, "data": {"images": len(x), "seed": 0}}
        options = {"name": f"lr {lr:g}", "directory": folder, "best": {"accuracy": "max"}, "client": client}
        with tools.WandbRun("shapes", config, **options) as run:
            for epoch in range(5):
                loss = pictures.train_epoch(model, x, labels, optimizer)
                accuracy = pictures.measure(model, unseen, unseen_labels)[1]
                run.log({"loss": loss, "accuracy": accuracy}, step=epoch)
        if is_real:
            import wandb

            wandb.teardown()
            about, kept, history, summary, exit_code = readers.read_run(folder)
        else:
            (done,) = client.runs
            about, kept, summary, exit_code = {"name": done.name}, done.config, done.summary, done.exit_codes[0]
            history = list(done.history.values())
        rows.append((about["name"], summary["best_accuracy"], history[-1]["accuracy"]))
        print(f"{about['name']:9} best at step {summary['best_accuracy_step']}, exit code {exit_code}, {list(kept)}")
    pictures.best_and_last(rows)

# %% [markdown]
# The last accuracy is not the best one: with a large learning rate they are far apart. W&B's own summary has the *last*
# number of each metric, unless you say otherwise. A table that is sorted by it compares how runs ended, and not how
# good they were. (Choosing by the best epoch has a price of its own: it is a choice by the validation images.)

# %% [markdown] question="what_to_keep" points=5
# **Question 1 (5 points).** Somebody shows you a curve of a run that is half a year old, and asks for the same model
# again. Config, rows and summary were kept as in TL2. Name three things that the run depended on and that are in none
# of them. For each, say how you would keep it, and what it costs to keep it for every run.

# %% [markdown]
# ## TL3 The same image, never twice
#
# Training images are changed at random, so that the network cannot learn them by heart. Two rules make this hard to do
# by hand: what belongs to the image (mask, boxes, labels) must move with it, and validation must see none of it.

# %% task="albumentations"
check("albumentations")

# %% [markdown]
# Move the sliders: each seed is another pipeline. The first image is what was given, the last one is what validation
# gets. Nobody looked for the mask and the box in the new image: they were moved.

# %%
images, names_of_images, corners = shapes10_boxes(40, 3, noise=0.03)


def a_sample(number):
    """One image as the libraries want it: rows, columns, channels, in bytes; with a mask and a box."""
    image = (255 * images[number].transpose(1, 2, 0)).astype(np.uint8)
    image = np.kron(image, np.ones((4, 4, 1), dtype=np.uint8))  # 128 x 128
    x1, y1, x2, y2 = (4 * corners[number]).astype(int)
    ground = np.median(image.reshape(-1, 3), axis=0) if names_of_images[number] != 8 else image[0, 0]
    mask = np.zeros(image.shape[:2], dtype=np.uint8)
    mask[y1:y2, x1:x2] = np.abs(image[y1:y2, x1:x2].astype(float) - ground).sum(axis=2) > 120
    wide = np.pad(image, ((0, 0), (32, 32), (0, 0)), mode="edge")
    box = [x1 + 32.0, float(y1), x2 + 32.0, float(y2)]
    return {"image": wide, "mask": np.pad(mask, ((0, 0), (32, 32))), "bboxes": [box], "labels": [1]}


def look(seed=0, number=4):
    """Draw one image, six of its training versions, and its validation version."""
    sample = a_sample(number)
    pipeline = tools.train_tf(64, seed, boxes=True)
    found = [sample, *(pipeline(**sample) for _ in range(6)), tools.val_tf(64, boxes=True)(**sample)]
    names = ["given", *(f"training {turn}" for turn in range(1, 7)), "validation"]
    pictures.samples_with_boxes(found, names, tools.MEAN, tools.STD)


os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # or its import asks the network for a newer version
if pictures.has("albumentations"):
    explore(look, seed=(0, 30, 1), number=(0, 39, 1))

# %% [markdown]
# A test for your own projects: give such a pipeline the same seed twice, and compare; then give validation the same
# image twice. The first must be equal because you asked for it, and the second because nothing in it is random. Many
# published comparisons fail the second one, because one list of transforms was used for both.

# %% [markdown]
# ## TL4 Networks that others have written
#
# timm has more than a thousand architectures with one interface: a name makes the network, `forward_features` and
# `forward_head` are its two halves, and `reset_classifier` changes the last layer. Usually one loads trained weights
# (`pretrained=True`), which are downloaded. Here nothing is: the interface is the same with random weights.

# %% task="timm"
check("timm")

# %% [markdown]
# **Four architectures of the same interface.** What does each make of an image on its way? (These are timm's smallest
# networks, which exist for tests.)

# %%
if pictures.has("timm"):
    import_torchvision()
    with attempt():
        for name in ("test_resnet", "test_efficientnet", "test_convnext", "test_vit"):
            net = tools.create_model(name, 10)
            maps, vector = tools.extract_features(net, torch.zeros(1, 3, 160, 160), [0, 1, -1])
            shapes = ", ".join(" x ".join(map(str, of.shape[1:])) for of in maps)
            count = sum(p.numel() for p in net.parameters())
            print(f"{name:18} {count:7,} parameters; maps {shapes}; vector {vector.shape[1]}")

# %% [markdown]
# **What a body is worth.** A network learns six of the ten shapes from 1,800 images. Then four *new* shapes come, of
# which there are very few images. Three ways to begin: a new head on the frozen body, a new head on a body that may go
# on learning, and a network with random weights. Guess before you look: which one wins with three images of each class?


# %%
def of_classes(x, labels, first, last):
    """The images of some classes, which get new numbers."""
    mine = (labels >= first) & (labels < last)
    return x[mine], labels[mine] - first


def fitted(net, x, labels, steps, lr):
    """Train what may be trained for about so many steps."""
    optimizer = torch.optim.AdamW([p for p in net.parameters() if p.requires_grad], lr)
    for _ in range(max(1, steps * 16 // len(x))):
        pictures.train_epoch(net, x, labels, optimizer, batch=16)
    return net


body = None
if pictures.has("timm"):
    with attempt():
        many = of_classes(*map(torch.from_numpy, shapes10(3000, 5)), 0, 6)
        torch.manual_seed(0)
        body = tools.create_model("test_resnet", 6)
        optimizer = torch.optim.AdamW(body.parameters(), 1e-3)
        for _ in range(4):
            pictures.train_epoch(body, *many, optimizer)
        accuracy = pictures.measure(body, *of_classes(unseen, unseen_labels, 0, 6))[1]
        print(f"accuracy of the body on its own six classes: {accuracy:.3f}")

# %%
if body is not None:
    with attempt():
        new, new_labels = of_classes(x, labels, 6, 10)
        ways = {
            "new head, frozen body": lambda: (tools.swap_head(copy.deepcopy(body), 4, freeze=True), 90, 1e-2),
            "new head, body learns on": lambda: (tools.swap_head(copy.deepcopy(body), 4), 60, 1e-3),
            "random weights": lambda: (tools.create_model("test_resnet", 4), 60, 1e-3),
        }
        results = {name: [] for name in ways}
        for count in (3, 10):
            few = torch.cat([torch.nonzero(new_labels == label)[:count, 0] for label in range(4)])
            for name, way in ways.items():
                reached = []
                for seed in (0, 1):
                    torch.manual_seed(seed)
                    net, steps, lr = way()
                    fitted(net, new[few], new_labels[few], steps, lr)
                    reached.append(pictures.measure(net, *of_classes(unseen, unseen_labels, 6, 10))[1])
                results[name].append(reached)
        pictures.few_images(results, (3, 10))

# %% [markdown]
# The dots are two seeds. A body that has seen *other* shapes is worth more than anything that twelve images can teach:
# random weights stay far behind. Between the two ways to use the body there is little difference here. The frozen one
# is cheaper: only the last layer has gradients, and the vectors before it could be computed once and kept.

# %% [markdown]
# ## TL5 Figures that you can trust
#
# A function that draws should do one thing: return a figure. Whether it is shown, saved or logged is for the caller to
# say. A figure that was made by `plt.figure` stays in memory until somebody closes it, so a loop with such a function
# fills the memory of a machine overnight.

# %% task="figures"
check("figures")

# %% [markdown]
# **Counts or shares?** Left: how often was each shape taken for each other one. Right: the same as shares of the rows.
# One class is rare here: of the disks only six are left.

# %%
torch.manual_seed(0)
model = pictures.ShapeNet()
optimizer = torch.optim.Adam(model.parameters(), 3e-3)
history = {"train": [], "validation": []}
for _ in range(8):
    history["train"].append(pictures.train_epoch(model, x, labels, optimizer))
    history["validation"].append(pictures.measure(model, unseen, unseen_labels)[0])
found = pictures.measure(model, unseen, unseen_labels)[2]
rare = torch.ones(len(unseen), dtype=torch.bool)
rare[torch.nonzero(unseen_labels == 0)[6:, 0]] = False
matrix = np.zeros((10, 10), dtype=int)
np.add.at(matrix, (unseen_labels[rare].numpy(), found[rare].numpy()), 1)

if pictures.has("seaborn"):
    with attempt():
        both = [tools.plot_confusion(matrix, SHAPES10), tools.plot_confusion(matrix, SHAPES10, normalise=True)]
        pictures.figures_shown(both, "the same matrix, as counts and as shares of the rows")

# %% [markdown]
# In the counts the row of the disks is pale: its mistakes look as if they did not happen. In the shares they have the
# same weight as all others; but a share of six images moves by 0.17 with each of them. Show both.
#
# **The curves, and where the classes are.** Left: the losses of both parts, on a logarithmic axis. Right: the 48
# numbers before the last layer, as two directions (PCA) of the unseen images.

# %%
if pictures.has("seaborn"):
    with attempt():
        with torch.no_grad():
            vectors = model.body(unseen).mean(dim=(2, 3))
        directions = torch.linalg.svd(vectors - vectors.mean(dim=0), full_matrices=False)[2][:2]
        points = (vectors - vectors.mean(dim=0)) @ directions.T
        both = [
            tools.plot_curves(history, ylabel="cross-entropy", log=True),
            tools.plot_embedding(points, unseen_labels, SHAPES10),
        ]
        pictures.figures_shown(both, "how it learned, and what it knows")

# %% [markdown]
# **What the layers hold.** The 16 filters of the first layer, with grey for a weight of 0. Below, the maps that they
# make of one image, with the same limits of colour in all of them.

# %%
with attempt():
    with torch.no_grad():
        maps = model.body[:3](unseen[7:8])[0]
    pictures.figures_shown([tools.plot_filters(model.body[0].weight, columns=16)], "filters of the first layer")
    pictures.figures_shown(
        [tools.plot_feature_maps(maps, columns=8)], f"what they make of one image ({SHAPES10[int(unseen_labels[7])]})"
    )

# %% [markdown]
# Some maps are almost empty for this image. If each map had limits of its own, noise in an empty map would look like a
# strong answer. That is the most common way in which figures of feature maps mislead.
#
# **Where did it look?** Grad-CAM weighs the last maps by their gradients. The map has 8 x 8 numbers; scaled up, it
# covers the image.

# %%
with attempt():
    shown = []
    for number in (0, 3, 5, 7, 11):
        seen, cam = pictures.grad_cam(model, unseen[number])
        figure = tools.overlay_cam(unseen[number].permute(1, 2, 0), cam)
        figure.axes[0].set_title(f"seen: {SHAPES10[seen]}", fontsize=16)
        shown.append(figure)
    pictures.figures_shown(shown, "Grad-CAM of five unseen images")

# %% [markdown]
# Each map is scaled to its own range, from 0 to 1. So it says *where* the network looked most, and not how sure it is.
# A network that sees nothing at all gets a map that is just as red.

# %% [markdown] question="honest_figures" points=5
# **Question 2 (5 points).** A paper shows validation curves of two methods: each is smoothed, each has a y axis of its
# own, and each is the best of five runs. Say for each of these three choices what a reader could believe that is not
# so. How would you draw the same runs, in one figure?

# %% [markdown]
# ## What you have now
#
# A logger whose runs can be resumed and read, a run that says what it was and how it ended, pipelines that are random
# only where they should be, networks of any architecture behind three functions, and figures that hold the data. None
# of them is tied to this course: take them with you.
