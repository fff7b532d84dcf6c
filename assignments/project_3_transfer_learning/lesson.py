# %% [markdown]
# # Project 3: transfer learning
#
# Ten images of each class are all that you have. A network that starts with random weights learns little from them. But
# somebody has trained a network on thousands of *other* images, and it has learned what edges, corners and textures
# look like. You take this network, and you teach it something new.
#
# You will build the whole project: load what fits, put on a new head, freeze and thaw, give each depth its own
# learning rate, adapt the network to a domain with other colours, find out whether all this was worth it, and put it
# into one function that goes from files to a result and survives a stop.
#
# **How to work.** Your code goes into `transfer_learning.py`, beside this notebook. Each docstring says exactly what is
# wanted. Replace the line `raise NotImplementedError(...)`, then run the cells here. A cell with `check(...)` runs the
# public tests of one task. Hidden tests look further, at cases that the docstring also describes. Cells that draw
# something say "not started" while what they need is missing.
#
# | task | you write | points |
# |---|---|---|
# | P3.1 | load what fits | 10 |
# | P3.2 | a new head, and a frozen backbone | 12 |
# | P3.3 | a rate for each depth, and an order of thawing | 12 |
# | P3.4 | another domain | 14 |
# | P3.5 | is transfer worth it? | 18 |
# | P3.6 | the whole project in one call | 24 |
# | | two written questions | 10 |

# %%
# %load_ext autoreload
# %autoreload 2
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import Image, display
from torch import nn
from torch.nn import functional as F
from torch.optim.optimizer import register_optimizer_step_pre_hook

import pictures
import transfer_learning as tl
from autograder import attempt, check
from dlcourse.data import SHAPES10, shapes7_weights, shapes10
from dlcourse.figures import explore, use_style

use_style()

# %% [markdown]
# The course has trained a `ShapeNet` on the first seven kinds of `shapes10`. It has never seen the last three. They are
# your new classes, with ten images each. The other images only tell how good a network is.

# %%
state = {name: torch.from_numpy(value) for name, value in shapes7_weights().items()}


def new_shapes(per_class, seed):
    """Draw noisy images of the three kinds that the weights do not know, with labels 0, 1 and 2."""
    x, y = shapes10(10 * per_class, seed, noise=0.15)
    return x[y >= 7], y[y >= 7] - 7


few, few_labels = new_shapes(10, 1)
unseen, unseen_labels = new_shapes(100, 2)
known, known_labels = shapes10(300, 3)
known, known_labels = known[known_labels < 7], known_labels[known_labels < 7]


def first_of_each(x, y):
    """The first image of each class."""
    return x[[int(np.flatnonzero(y == label)[0]) for label in np.unique(y)]]


pictures.rows_of_images(
    {
        "known": (first_of_each(known, known_labels), SHAPES10[:7]),
        "new": (first_of_each(few, few_labels), SHAPES10[7:]),
    },
    "Seven kinds that the network knows, and three new ones, with more noise",
)

# %% [markdown]
# ## P3.1 Load what fits
#
# A file of weights seldom fits exactly. Its head has another number of classes, or a layer has another name. PyTorch's
# `load_state_dict` then raises an error. With `strict=False` it says nothing about what you lost, which is worse: a
# backbone with one wrong name stays random, and the training still runs.
#
# So load what fits and say what became of each name. And load a layer as a whole or not at all: the trained bias of a
# layer is worth nothing beside random weights.
#
# **Task.** Write `load_pretrained`.

# %% task="loading"
check("loading")

# %%
with attempt():
    model = tl.ShapeNet(3)
    report = tl.load_pretrained(model, state)
    print(f"loaded:      {len(report.loaded)} names, from {report.loaded[0]} to {report.loaded[-1]}")
    print(f"missing:     {report.missing}")
    print(f"unexpected:  {report.unexpected}")
    print(f"other shape: {report.other_shape}")
    pictures.filters(
        {
            "random": tl.ShapeNet(3).backbone[0].weight.detach().numpy(),
            "loaded": model.backbone[0].weight.detach().numpy(),
        },
        "The sixteen filters of the first convolution: those that were trained have less colour",
    )

# %% [markdown]
# Why less colour? In `shapes10` all colours are random, so a filter that sees light and dark in whatever colour helps
# most. That is knowledge about the images, and the three new kinds can use it.

# %% [markdown]
# ## P3.2 A new head, and a frozen backbone
#
# `requires_grad = False` stops the optimiser. Is the backbone frozen then? It has batch norms, and a batch norm in
# training mode does two things without any gradient: it normalises with the statistics of the *batch*, and it moves its
# running statistics towards them. Ten images are a poor sample.
#
# *Guess first:* how far do the running statistics go in one hundred steps if only `requires_grad` is set?
#
# **Task.** Write `modify_head` and `freeze`. A frozen batch norm keeps still after each later `model.train()`.

# %% task="freezing"
check("freezing")


# %%
def drift(freeze_it, steps=100):
    """How far the running means go from those that were loaded, in a training with batches of ten images."""
    torch.manual_seed(0)
    model = tl.ShapeNet(7)
    tl.load_pretrained(model, state)
    freeze_it(tl.modify_head(model, 3))
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=0.01)
    norms = [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)]
    start = torch.cat([layer.running_mean.clone() for layer in norms])
    scale = torch.cat([layer.running_var.sqrt() for layer in norms])
    far = []
    for _ in range(steps):
        model.train()
        far.append(float(((torch.cat([layer.running_mean for layer in norms]) - start) / scale).abs().mean()))
        batch = torch.randint(len(few), (10,))
        optimizer.zero_grad()
        F.cross_entropy(model(torch.from_numpy(few)[batch]), torch.from_numpy(few_labels)[batch]).backward()
        optimizer.step()
    return far


def only_requires_grad(model):
    """What many people call freezing."""
    for parameter in model.backbone.parameters():
        parameter.requires_grad = False


with attempt():
    pictures.lines(
        {"requires_grad = False": drift(only_requires_grad), "freeze": drift(tl.freeze)},
        "A backbone that does not learn can still move",
        "steps of training",
        "mean shift of the running means,\nin standard deviations",
    )

# %% [markdown]
# ## P3.3 A rate for each depth, and an order of thawing
#
# The first convolution knows edges, and edges are the same in all pictures. The last one knows what a disk looks like.
# So what is deep (near to the input) should change little, and what is near to the head may change a lot. And a new
# head is random at first: its gradients would pull the whole backbone in random directions. So the head learns alone
# for some epochs, and then one stage after the other joins in.
#
# **Task.** Write `param_groups` and `schedule_unfreeze`.

# %% task="rates"
check("rates")


# %%
def draw_plan(decay=0.3, wait=10):
    """Which stage of a ShapeNet learns when, and how fast."""
    model = tl.ShapeNet(3)
    rate_of = {id(p): group["lr"] for group in tl.param_groups(model, 0.01, decay) for p in group["params"]}
    rates = [rate_of[id(next(stage[0].parameters()))] for stage in tl.stages(model)]
    schedule = [tl.schedule_unfreeze(epoch, len(rates), wait) for epoch in range(40)]
    pictures.rates_in_time(rates, schedule, f"Gradual unfreezing: decay {decay:g}, wait {wait}")


explore(draw_plan, decay=(0.1, 1.0, 0.1), wait=(1, 15, 1))

# %% [markdown]
# ## P3.4 Another domain
#
# Now the seven *known* shapes, through another camera: dark, inverted and pale, or in fog. Each pixel x becomes
# `offset + factor * x`. No shape has changed, and you can read all of them, at least with some effort.


# %%
DOMAINS = {
    "as before": (0.0, 1.0),
    "dark": (0.0, 0.15),
    "inverted": (1.0, -1.0),
    "inverted, pale": (0.5, -0.3),
    "fog": (0.7, 0.25),
}
shown = first_of_each(known, known_labels)
pictures.rows_of_images(
    {name: (offset + factor * shown, SHAPES10[:7]) for name, (offset, factor) in DOMAINS.items()},
    "The same shapes in five domains",
)

# %% [markdown]
# The running statistics of the network belong to the old domain. In the dark, everything is far below its means, so
# every channel says "nothing here". The weights are still right. AdaBN gives each batch norm the statistics of the new
# domain. It needs some images, and no labels.
#
# *Guess first:* which of these domains does a network not even notice? Which one does AdaBN not repair?
#
# **Task.** Write `adabn`.

# %% task="domains"
check("domains")


# %%
def share_right(model, x, y):
    """The share of images that a network gets right, in eval mode."""
    with torch.no_grad():
        return float((model.eval()(torch.from_numpy(x)).argmax(dim=1).numpy() == y).mean())


def before_and_after(offset, factor):
    """The share of known shapes that is right in a domain, before and after AdaBN with 200 other images."""
    model = tl.ShapeNet(7)
    tl.load_pretrained(model, state)
    x = (offset + factor * known).astype(np.float32)
    before = share_right(model, x, known_labels)
    tl.adabn(model, (offset + factor * shapes10(200, 4)[0]).astype(np.float32))
    return before, share_right(model, x, known_labels)


with attempt():
    shares = {name: before_and_after(*domain) for name, domain in DOMAINS.items()}
    pictures.bars(
        {
            "as loaded": {name: pair[0] for name, pair in shares.items()},
            "after adabn": {name: pair[1] for name, pair in shares.items()},
        },
        "New statistics, old weights, no labels",
        "share of images that are right",
        (1 / 7, "guessing"),
    )

# %% [markdown]
# Make a domain of your own. Where does the network fail, and where does AdaBN help? Question 1 is about the fog.


# %%
def draw_domain(offset=0.3, factor=0.4):
    """Some shapes in a domain, and what the network makes of them."""
    before, after = before_and_after(offset, factor)
    pictures.rows_of_images(
        {"": (offset + factor * shown, SHAPES10[:7])},
        f"{offset:g} + {factor:g} x: {before:.0%} right as loaded, {after:.0%} after adabn",
    )


explore(draw_domain, offset=(0.0, 1.0, 0.1), factor=(-1.0, 1.0, 0.1))

# %% [markdown]
# ## P3.5 Is transfer worth it?
#
# A claim such as "transfer is better" needs a comparison: the same few images, the same epochs, and several seeds,
# because with ten images luck is large. Three ways: from **scratch**; a **linear probe**, which trains a head on a
# backbone that keeps still; and **fine-tuning**, in which the backbone learns too.
#
# **Task.** Write `few_per_class`, `learn`, `compare` and `plot_comparison`.

# %% task="comparison"
check("comparison")

# %% [markdown]
# *Guess first:* with one image of each class, how far above chance (0.33) is each way?


# %%
def raw(x):
    """Images as a camera gives them: (N, H, W, 3) uint8."""
    return (255 * x).round().astype(np.uint8).transpose(0, 2, 3, 1)


folder = Path(tempfile.mkdtemp())
torch.save(state, folder / "shapes7.pt")
pool, pool_labels = new_shapes(30, 5)
arrays = {"test": raw(unseen), "test_labels": unseen_labels + 7}
np.savez(folder / "pool.npz", train=raw(pool), train_labels=pool_labels + 7, **arrays)
np.savez(folder / "few.npz", train=raw(few), train_labels=few_labels + 7, **arrays)

with attempt():
    config = tl.Config(str(folder / "shapes7.pt"), str(folder / "pool.npz"), str(folder / "out"), sizes=(1, 3, 10, 30))
    table = tl.compare(config)
    figure = tl.plot_comparison(table)
    figure.axes[0].set_title("Three ways, three seeds: mean and standard deviation")
    display(figure)
    for row in table:
        print(f"{row.way:13} {row.size:3} images of each class: {row.mean:.2f} +- {row.std:.2f}")

# %% [markdown]
# The weights are worth most where images are few. A network from scratch needs thirty images of each class for what a
# linear probe does with ten, and with thirty it has caught up. And look at the bars: with one image of each class, two
# runs of one way differ by more than fine-tuning and the linear probe do. A single run would have shown whatever you
# like.

# %% [markdown]
# ## P3.6 The whole project in one call
#
# `run` takes a config and goes from two files to a model, numbers and a picture. Now the choices are yours. The label
# of each test image is in the file, but nothing may depend on it except the numbers that you report. The judge has
# other images, which no one has seen.
#
# **Task.** Write `check_config`, `run` and `predict`.

# %% task="run"
check("run")

# %%
with attempt():
    config = tl.Config(str(folder / "shapes7.pt"), str(folder / "few.npz"), str(folder / "out"))
    results = tl.run(config)
    print(results)
    display(Image(folder / "out" / "confusion.png", width=360))

# %% [markdown]
# Which images did it get wrong?

# %%
with attempt():
    found = tl.predict(folder / "out", arrays["test"])
    wrong = np.flatnonzero(found != arrays["test_labels"])[:8]
    if len(wrong):
        texts = [f"{SHAPES10[found[k]]}?" for k in wrong]
        pictures.rows_of_images({"": (unseen[wrong], texts)}, "Some test images, and what the network takes them for")

# %% [markdown]
# Now stop it. This run is interrupted in its thirteenth epoch, as if the power had failed, and then started again.

# %%
with attempt():
    config = tl.Config(str(folder / "shapes7.pt"), str(folder / "few.npz"), str(folder / "stopped"))
    steps = {"before the stop": 0, "after it": 0}

    class PowerCut(Exception):
        """What ends the first run."""

    def count(name):
        """Count the steps of an optimiser, and cut the power in the first run."""
        if name == "before the stop" and steps[name] == 38:
            raise PowerCut
        steps[name] += 1

    for name in steps:
        hook = register_optimizer_step_pre_hook(lambda *_, name=name: count(name))
        try:
            again = tl.run(config)
        except PowerCut:
            print("stopped")
        finally:
            hook.remove()
    figure, axes = plt.subplots(figsize=(6.6, 1.8))
    bars = axes.barh(list(steps), list(steps.values()), color=pictures.COLOURS[1:3])
    axes.bar_label(bars, padding=3)
    axes.invert_yaxis()
    axes.set(xlabel="steps of the optimiser", title=f"Same results as without a stop: {again == results}")
    plt.show()

# %% [markdown]
# ## A real backbone
#
# Your functions ask nothing of a ShapeNet that other networks do not have. The package `timm` has about a thousand
# architectures. It is not part of this course; `pip install timm` brings it. With `pretrained=False` nothing is
# downloaded, and the weights come from a file of yours. A large network has many stages, so `decay` is near to 1. If
# timm is not installed, this cell does nothing.

# %%
with attempt():
    try:
        from dlcourse.vision import import_torchvision

        import_torchvision()  # timm needs it
        import timm
    except ImportError:
        print("timm is not installed, and nothing here needs it")
    else:
        donor = timm.create_model("resnet18", pretrained=False)  # or torch.load("your_file.pt", weights_only=True)
        net = timm.create_model("resnet18", pretrained=False, num_classes=5)
        report = tl.load_pretrained(net, donor.state_dict())
        print(f"{len(report.loaded)} names loaded; other shape: {report.other_shape}")
        tl.modify_head(net, 3)
        tl.freeze(net, 2)
        groups = tl.param_groups(net, lr=0.001, decay=0.8)
        learning = sum(p.numel() for p in net.parameters() if p.requires_grad)
        print(
            f"{len(groups)} groups, from {groups[0]['lr']:.1e} to {groups[-1]['lr']:.1e}; {learning:,} parameters learn"
        )
        tl.adabn(net, unseen[:20])
        print(net(torch.from_numpy(few[:4])).shape)

# %% [markdown]
# ## Two questions

# %% [markdown] question="fog" points=5
# **Question 1 (5 points).** Each domain of P3.4 is `offset + factor * x`. If a convolution had no borders, AdaBN would
# repair each of them *exactly*, up to the sign of the factor. Explain why, with the formula of batch norm. Then explain
# why it repairs the dark and not the fog: what does a convolution with `padding=1` see at the border of an image, and
# what does this do to the statistics? Name one change of the network or of the images that would help, and say how you
# would find out whether it does.

# %% [markdown] question="honest_transfer" points=5
# **Question 2 (5 points).** A report says: "Fine-tuning reaches 0.97 and scratch 0.94, so transfer is better. We used
# the best of five seeds for each, chose the learning rate of fine-tuning on the test images, and took the default rate
# for scratch. The pre-training set contains our three classes among its thousand." Name each fault, say in which
# direction it moves the claim and why, and describe the comparison that you would make instead, with all that is kept
# equal.

# %% [markdown]
# ## Where to go from here
#
# You froze or thawed whole stages. Large networks are often adapted by a few new parameters beside frozen ones (LoRA,
# adapters). And AdaBN needs no labels, but it needs to know where one domain ends: what would you do if each image came
# from another camera?
