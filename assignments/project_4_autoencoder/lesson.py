# %% [markdown]
# # Project 4: an autoencoder
#
# An image of 8x8 pixels is 64 numbers. But 64 random numbers never look like a digit. Digits fill only a thin part of
# the space of all images, so a few numbers should be enough to say *which* digit this is and how it was written. An
# autoencoder finds such numbers. It gets no labels. It gets images, and a bottleneck.
#
# You will build the whole project: the network, its training, and an honest comparison with PCA; a denoiser; a map of
# the codes; a detector of strange images; and one function that goes from a file of raw images to a finished result,
# and survives a stop.
#
# **How to work.** Your code goes into `autoencoder.py`, beside this notebook. Each docstring says exactly what is
# wanted. Replace the line `raise NotImplementedError(...)`, then run the cells here. A cell with `check(...)` runs the
# public tests of one task. Hidden tests look further, at cases that the docstring also describes. Cells that draw
# something say "not started" while what they need is missing.
#
# | task | you write | points |
# |---|---|---|
# | P4.1 | the network | 12 |
# | P4.2 | training, and PCA as a baseline | 16 |
# | P4.3 | a denoiser | 14 |
# | P4.4 | what a code is worth | 14 |
# | P4.5 | pictures of the latent space | 10 |
# | P4.6 | strange images | 10 |
# | P4.7 | the whole project in one call | 14 |
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

import autoencoder as ae
from autograder import attempt, check
from dlcourse.data import digits
from dlcourse.figures import BLUE, GREEN, GREY, INK, ORANGE, RED, explore, show, use_style

use_style()

# %% [markdown]
# The images are scikit-learn's handwritten digits: 1,300 to learn from, and 497 that no model here sees in training.
# The labels are only for pictures and for judging.

# %%
train, train_labels = digits("train")
test, test_labels = digits("test")
GREYS = {"cmap": "gray", "vmin": 0, "vmax": 1}

# %% [markdown]
# To use other images, replace the cell above. `dlcourse.data.mnist` and `fashion_mnist` read the true MNIST and
# Fashion-MNIST if you have the files. With 28x28 pixels a training takes some minutes, and the budget of parameters
# becomes tight:
#
# ```python
# from dlcourse.data import fashion_mnist
# train, train_labels = fashion_mnist("train", limit=5000)
# test, test_labels = fashion_mnist("test", limit=500)
# ```

# %% [markdown]
# ## P4.1 The network
#
# The encoder goes from 64 numbers down to `latent` numbers, and the decoder goes back. Between them there is nothing
# else. If anything of the image gets around the bottleneck, the network copies its input, and the code means nothing.
#
# **Task.** Write `Autoencoder`. Count the parameters before you choose a width.

# %% task="network"
check("network")

# %% [markdown]
# ## P4.2 Training, and PCA as a baseline
#
# PCA is an autoencoder too: its encoder and decoder are one matrix each, and no *linear* network gives back the
# training images better. So it is the baseline: an autoencoder that does not beat PCA with equally many numbers has
# learned nothing new.
#
# **Task.** Write `fit`, `reconstruction_error` and `pca`. `fit` can be stopped and goes on exactly where it was.

# %% task="training"
check("training")

# %% [markdown]
# *Guess first:* with eight numbers for an image, by how much does the autoencoder beat PCA?

# %%
model = None
with attempt():
    torch.manual_seed(0)
    fresh = ae.Autoencoder(train.shape[1:], 8)
    history = ae.fit(fresh, train)
    model = fresh
    errors = ae.reconstruction_error(model, test)
    _, by_pca = ae.pca(train, test, 8)
    pca_errors = ((by_pca - test) ** 2).mean(axis=(1, 2, 3))
    figure, axes = plt.subplots(figsize=(6.6, 3.2))
    axes.plot(range(1, len(history) + 1), history, "o-", color=BLUE, markersize=3, label="autoencoder, training")
    axes.axhline(errors.mean(), color=BLUE, linestyle="--", label="autoencoder, unseen digits")
    axes.axhline(pca_errors.mean(), color=ORANGE, linestyle="--", label="PCA, unseen digits")
    axes.set(xlabel="epoch", ylabel="mean squared error", ylim=(0, None), title="Eight numbers for an image")
    axes.legend()
    plt.show()
    print(f"the error on unseen digits is {errors.mean() / pca_errors.mean():.2f} times that of PCA")

# %% [markdown]
# The same in images. Look at thin strokes and gaps: PCA can only add and subtract fixed images, so it leaves shadows.

# %%
with attempt():
    if model is None:
        raise NotImplementedError("fit: not started")
    with torch.no_grad():
        rebuilt = model(torch.from_numpy(test[:10])).numpy()
    rows = {"original": test[:10], "autoencoder": rebuilt, "PCA": by_pca[:10]}
    figure, grid = plt.subplots(3, 10, figsize=(9.5, 3.1))
    for row, (name, images) in zip(grid, rows.items(), strict=True):
        for axes, image in zip(row, images, strict=True):
            show(axes, image[0], **GREYS)
        row[0].set_ylabel(name)
    figure.suptitle("Unseen digits from eight numbers")
    plt.show()

# %% [markdown]
# ## P4.3 A denoiser
#
# Give the network noisy images, and ask for the clean ones. Noise cannot be predicted, so nothing but the digit helps
# to get the error down. The target decides: with noisy targets, the same network learns to give back noise.
#
# **Task.** Write `noisy_pairs`, `denoise` and `denoising_table`.

# %% task="denoiser"
check("denoiser")

# %%
denoiser = None
with attempt():
    torch.manual_seed(0)
    fresh = ae.Autoencoder(train.shape[1:], 8)
    ae.fit(fresh, train, noise=0.3)
    denoiser = fresh
    levels = [0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8]
    table = np.array(ae.denoising_table(denoiser, test, levels, np.random.default_rng(1)))
    figure, axes = plt.subplots(figsize=(6.6, 3.4))
    axes.plot(table[:, 0], table[:, 1], "o-", color=GREY, label="noisy images")
    axes.plot(table[:, 0], table[:, 2], "o-", color=BLUE, label="denoised images")
    axes.axvline(0.3, color=INK, linestyle=":", label="level of the training")
    axes.set(xlabel="standard deviation of the noise", ylabel="mean squared error", yscale="log")
    axes.set_title("A denoiser on noise that it has not seen")
    axes.legend()
    plt.show()

# %% [markdown]
# Below some level the denoiser makes images *worse*: it must press each image through eight numbers, noise or not.
# Move the slider, and find the level at which you cannot read the digits yourself.


# %%
def draw_noise(std=0.3):
    """Ten digits: clean, noisy, and denoised."""
    if denoiser is None:
        raise NotImplementedError("fit: not started")
    noisy, clean = ae.noisy_pairs(test[20:30], std, np.random.default_rng(3))
    _figure, grid = plt.subplots(3, 10, figsize=(9.5, 3.1))
    rows = {"clean": clean, "noisy": noisy, "denoised": ae.denoise(denoiser, noisy)}
    for row, (name, images) in zip(grid, rows.items(), strict=True):
        for axes, image in zip(row, images, strict=True):
            show(axes, image[0], **GREYS)
        row[0].set_ylabel(name)
    plt.show()


explore(draw_noise, std=(0.0, 1.0, 0.05))

# %% [markdown]
# ## P4.4 What a code is worth
#
# A small error is one thing. Do the codes also *mean* something? Two questions with a number as an answer: do images
# with similar codes show the same digit? And how many bytes does a code save?
#
# **Task.** Write `encode_images`, `knn_accuracy` and `compression_ratio`.

# %% task="codes"
check("codes")

# %% [markdown]
# Two numbers for each image are few, but they fit on a map. This training takes longer, because a narrow bottleneck
# learns slowly.

# %%
flat = None
with attempt():
    torch.manual_seed(0)
    fresh = ae.Autoencoder(train.shape[1:], 2)
    ae.fit(fresh, train, epochs=100)
    flat = fresh
    codes, pca_codes = ae.encode_images(flat, test), ae.pca(train, test, 2)[0]
    print(f"5 nearest neighbours, autoencoder: {ae.knn_accuracy(codes, test_labels):.2f} are right")
    print(f"5 nearest neighbours, PCA:         {ae.knn_accuracy(pca_codes, test_labels):.2f} are right")

# %% [markdown]
# Now the bytes. The digits have 64 pixels, of one byte each. A code of eight float32 numbers has 32 bytes. And a
# receiver needs the decoder.

# %%
with attempt():
    if model is None:
        raise NotImplementedError("fit: not started")
    decoder = ae.Autoencoder(train.shape[1:], 8)
    counts = 10 ** np.arange(1, 8)
    raw, pressed = np.zeros((1, 64), dtype=np.uint8), np.zeros((1, 8), dtype=np.float32)
    ratio = ae.compression_ratio(raw, pressed)
    half = sum(parameter.numel() * 4 for parameter in decoder.parameters()) / 2  # about half of it is the decoder
    with_decoder = counts * 64 / (counts * 32 + half)
    figure, axes = plt.subplots(figsize=(6.6, 3.2))
    axes.axhline(ratio, color=BLUE, label="codes alone")
    axes.plot(counts, with_decoder, "o-", color=ORANGE, label="codes and decoder")
    axes.axhline(1, color=GREY, linestyle=":", label="nothing saved")
    axes.set(xlabel="images that are sent", ylabel="bytes of images / bytes sent", xscale="log", yscale="log")
    axes.set_title("Small images and float32 codes save little")
    axes.legend(loc="lower right")
    plt.show()

# %% [markdown]
# ## P4.5 Pictures of the latent space
#
# A map helps only if a reader can use it: a colour for each class, a legend, names on the axes, and the same unit on
# both, because distances are what we look at.
#
# **Task.** Write `plot_latent`, `plot_reconstructions` and `interpolate`.

# %% task="pictures"
check("pictures")

# %%
with attempt():
    if flat is None:
        raise NotImplementedError("fit: not started")
    for points, name in ((codes, "The map of the autoencoder"), (pca_codes, "The map of PCA")):
        figure = ae.plot_latent(points, test_labels)
        figure.axes[0].set_title(name)
        display(figure)

# %% [markdown]
# PCA puts most digits on top of each other. The autoencoder bends the plane, and gives most digits a place of their
# own. Nobody told it which image shows which digit.
#
# **Walk through it.** Every point of the map is an image, also where no image was. Move the sliders to walk from one
# digit to another: where do images change slowly, and where suddenly?


# %%
def draw_place(right=0.0, up=0.0):
    """A place on the map, and the image that the decoder draws there."""
    if flat is None:
        raise NotImplementedError("fit: not started")
    low, high = np.quantile(codes, [0.01, 0.99], axis=0)
    place = (low + high) / 2 + np.array([right, up]) * (high - low) / 2
    with torch.no_grad():
        image = flat.decode(torch.tensor(place[None], dtype=torch.float32))[0, 0].numpy()
    _figure, (axes, beside) = plt.subplots(1, 2, figsize=(9, 4), width_ratios=[1.6, 1])
    axes.scatter(*codes.T, c=test_labels, cmap="tab10", s=8, alpha=0.6)
    axes.plot(*place, "P", color=INK, markersize=14, markeredgecolor="white")
    axes.set(xlabel="first number", ylabel="second number", title="You are at the cross", aspect="equal")
    axes.set(xlim=(low[0] - 1, high[0] + 1), ylim=(low[1] - 1, high[1] + 1))
    show(beside, image, "The image at this place", **GREYS)
    plt.show()


explore(draw_place, right=(-1.0, 1.0, 0.05), up=(-1.0, 1.0, 0.05))

# %% [markdown]
# A walk on a straight line between two *codes*, and below it the straight mixture of the two *images*. Look at the
# middle: a mixture of images shows both digits at once, a mixture of codes is one image that the decoder draws.

# %%
with attempt():
    if model is None:
        raise NotImplementedError("fit: not started")
    one, other = (test[np.flatnonzero(test_labels == label)[2]] for label in (4, 9))
    walk = ae.interpolate(model, one, other, 9)
    share = np.linspace(0, 1, 9)[:, None, None, None]
    figure, grid = plt.subplots(2, 9, figsize=(9.5, 2.4))
    for row, images, name in (
        (grid[0], walk, "codes"),
        (grid[1], (1 - share) * one + share * other, "images"),
    ):
        for axes, image in zip(row, images, strict=True):
            show(axes, image[0], **GREYS)
        row[0].set_ylabel(name)
    figure.suptitle("From a 4 to a 9: mixed codes, mixed images")
    plt.show()

# %% [markdown]
# ## P4.6 Strange images
#
# A network that has never seen a 2 has no code for it. It gives back something else, and the error is large. So the
# error finds images unlike those of the training, without a single label: broken parts, new diseases, fraud.
#
# **Task.** Write `anomaly_scores`, `roc_auc` and `threshold_for`.

# %% task="anomalies"
check("anomalies")

# %%
watcher = None
with attempt():
    usual = train[train_labels != 2]
    torch.manual_seed(0)
    fresh = ae.Autoencoder(train.shape[1:], 8)
    ae.fit(fresh, usual)
    watcher = fresh
    scores, strange = ae.anomaly_scores(watcher, test), test_labels == 2
    limit = ae.threshold_for(ae.anomaly_scores(watcher, usual), 0.05)
    figure, axes = plt.subplots(figsize=(6.6, 3.2))
    bins = np.linspace(0, np.quantile(scores, 0.995), 40)
    axes.hist(scores[~strange], bins=bins, color=BLUE, alpha=0.75, density=True, label="digits that were learned")
    axes.hist(scores[strange], bins=bins, color=ORANGE, alpha=0.75, density=True, label="the digit 2")
    axes.axvline(limit, color=RED, linestyle="--", label="threshold: 5 % of the training images")
    axes.set(xlabel="score", ylabel="density")
    axes.set_title(f"No 2 was in training: ROC AUC {ae.roc_auc(scores, strange):.2f}")
    axes.legend()
    plt.show()
    print(f"alarms: {(scores[strange] > limit).mean():.0%} of the digits 2, and")
    print(f"        {(scores[~strange] > limit).mean():.0%} of the other unseen digits")

# %% [markdown]
# More than 5 % of the usual digits give an alarm: the threshold comes from images of the training, and those are given
# back a little better than others. Where should it come from?
#
# What did the network make of the strangest images?

# %%
with attempt():
    if watcher is None:
        raise NotImplementedError("fit: not started")
    order = np.argsort(ae.anomaly_scores(watcher, test))[::-1][:10].copy()
    with torch.no_grad():
        drawn = watcher(torch.from_numpy(test[order])).numpy()
    figure = ae.plot_reconstructions(test[order], drawn)
    figure.suptitle("The ten strangest images, and what the network made of them")
    display(figure)

# %% [markdown]
# ## P4.7 The whole project in one call
#
# A result that nobody can repeat is an anecdote. `run` takes a config and goes from the raw file to numbers, pictures
# and models. The same config gives the same result; a faulty config is refused in a sentence; and a run that was
# stopped goes on.
#
# **Task.** Write `check_config` and `run`.

# %% task="run"
check("run")

# %%
with attempt():
    folder = Path(tempfile.mkdtemp())
    raw_train, raw_test = ((255 * images[:, 0]).round().astype(np.uint8) for images in (train, test))
    np.savez(folder / "digits.npz", train=raw_train, test=raw_test)
    results = ae.run(ae.Config(str(folder / "digits.npz"), str(folder / "out"), epochs=10))
    print(results)
    display(Image(folder / "out" / "reconstructions.png"))

# %% [markdown]
# Now stop it. This run is interrupted in its fourth epoch, as if the power had failed, and then started again.

# %%
with attempt():
    config = ae.Config(str(folder / "digits.npz"), str(folder / "stopped"), epochs=10)
    steps = {"before the stop": 0, "after it": 0}

    class PowerCut(Exception):
        """What ends the first run."""

    def count(module, _inputs, name):
        if isinstance(module, ae.Autoencoder) and module.training:
            steps[name] += 1
            if name == "before the stop" and steps[name] == 90:
                raise PowerCut

    for name in steps:
        hook = torch.nn.modules.module.register_module_forward_pre_hook(lambda m, x, name=name: count(m, x, name))
        try:
            again = ae.run(config)
        except PowerCut:
            print("stopped")
        finally:
            hook.remove()
    figure, axes = plt.subplots(figsize=(6.6, 1.8))
    bars = axes.barh(list(steps), list(steps.values()), color=[ORANGE, GREEN])
    axes.bar_label(bars, padding=3)
    axes.invert_yaxis()
    axes.set(xlabel="batches of training", title=f"Same results as without a stop: {again == results}")
    plt.show()

# %% [markdown]
# ## Two questions

# %% [markdown] question="honest_compression" points=5
# **Question 1 (5 points).** A report says: "Our autoencoder compresses images by a factor of 8 with almost no loss. It
# has an error of 0.01, while PCA has 1.9." Its images are float32, its codes too, the error of PCA was measured on
# pixels from 0 to 16, and both errors are those of the training images. Name each fault, say in which direction it
# moves the claim and why, and say which numbers you would report instead.

# %% [markdown] question="when_the_error_fails" points=5
# **Question 2 (5 points).** With the digit 1 left out of training, the reconstruction error finds it badly: the ROC AUC
# is only about 0.85. Explain why a network that never saw a 1 can still draw one. What does this say about the
# detection of strange images by reconstruction, what would a wider bottleneck change, and how would you notice the
# problem in an application in which you do not know what strange images look like?

# %% [markdown]
# ## Where to go from here
#
# You can decode any point of the map, but points between the islands give images that nobody would write. A
# *variational* autoencoder asks for codes that fill the plane evenly, so that a random point gives a new digit.
