# %% [markdown]
# # Project 1: image classification
#
# A photograph comes in, a name comes out. CIFAR-10 asks for this in its smallest serious form: 32x32 pixels, three
# colours, ten classes. You build all that a result needs: preprocessing, augmentation, a network within a budget, a
# training that can stop and go on, a report that names the mistakes, and one function that does it all.
#
# In a project the *choices* are yours: the architecture, the augmentation, the schedule, the default values of the
# config. Small parts are judged exactly. The result is judged on images that your code has never seen.
#
# **How to work.** Your code goes into `image_classification.py`, beside this notebook. Each docstring says exactly what
# is wanted. Replace the line `raise NotImplementedError(...)`, then run the cells here. A cell with `check(...)` runs
# the public tests of one task. Hidden tests look further, at cases that the docstring also describes. Cells that draw
# something say "not started" while what they need is missing.
#
# | task | you write | points |
# |---|---|---|
# | P1.1 | preprocessing | 8 |
# | P1.2 | augmentation | 8 |
# | P1.3 | the network | 8 |
# | P1.4 | training | 16 |
# | P1.5 | the report | 10 |
# | P1.6 | figures | 8 |
# | P1.7 | the whole project in one call | 32 |
# | | two written questions | 10 |

# %%
# %load_ext autoreload
# %autoreload 2
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from IPython.display import display

import image_classification as ic
import pictures
from autograder import attempt, check
from dlcourse.figures import explore, use_style

use_style()

# %% [markdown]
# The images are drawn here: ten kinds of coloured shapes, of random places, sizes and colours. Nothing is downloaded.
# Only the form tells the class, so a network that looks at colours alone learns nothing.
#
# **CIFAR-10.** If you have its files (`dlcourse.data.cifar10` says where they belong), change one word:
# `SOURCE = "cifar10"`. All that follows then uses photographs. How many of them this code gets right was not measured.
# Others have published what can be reached with all 50,000 training images. A network with six convolutions got 75 % of
# its validation images right after ten epochs (arXiv:2606.18565). ResNet-20, which has 0.27 million parameters, got
# 91.25 % of the test images right. It made 64,000 steps with 128 images each, and its only augmentation were shifts and
# mirror images (He, Zhang, Ren and Sun, 2016, "Deep Residual Learning for Image Recognition", table 6).
#
# %%
SOURCE = "shapes"  # or "cifar10"

data = pictures.load(SOURCE)
names = [str(name) for name in data["class_names"]]
first = [np.flatnonzero(data["train_labels"] == label)[k] for k in (0, 1) for label in range(10)]
pictures.draw_images(data["train_images"][first], names * 2, "Two images of each class")

# %% [markdown]
# ## P1.1 Preprocessing
#
# A network learns fastest from inputs around 0 that vary by about 1. So each channel is shifted and scaled. The two
# numbers for this come from the training images, and from then on they belong to the network, like its weights. If you
# compute them again from the test images, the network gets other inputs than those that it learned from. And an image
# that is alone in a batch has no useful statistics at all.
#
# **Task.** Write `channel_statistics` and `preprocess`.

# %% task="preprocessing"
check("preprocessing")

# %%
with attempt():
    mean, std = ic.channel_statistics(data["train_images"])
    print("mean of red, green, blue:", np.round(mean, 3), " deviation:", np.round(std, 3))
    pictures.draw_histograms(data["train_images"][:500], ic.preprocess(data["train_images"][:500], mean, std))

# %% [markdown]
# ## P1.2 Augmentation
#
# A disk that moves three pixels to the right is a disk. The network does not know this: it must see it. Augmentation
# shows each image in a new variant in each epoch, and the label says that it is still the same. So the one question for
# each change is: *does the label stay right?* It depends on your classes.

# %%
shown = ["horizontal stripes", "triangle", "disk"] if SOURCE == "shapes" else ["ship", "cat", "frog"]
upright = [data["train_images"][first[names.index(name)]] for name in shown]
turned = [np.rot90(image) for image in upright]
pictures.draw_images(
    [image for pair in zip(upright, turned, strict=True) for image in pair],
    [word for name in shown for word in (name, "turned")],
    "A quarter turn: which labels are still right?",
    columns=6,
)

# %% [markdown]
# **Task.** Write `augment`.

# %% task="augmentation"
check("augmentation")

# %% [markdown]
# Move the sliders. Could you still give each variant its label?


# %%
def draw_variants(image=3, seed=0):
    """One training image, and nine variants of it."""
    one = ic.preprocess(data["train_images"][image : image + 1], *ic.channel_statistics(data["train_images"][:500]))
    variants = ic.augment(np.repeat(one, 9, axis=0), np.random.default_rng(seed))
    label = names[data["train_labels"][image]]
    pictures.draw_images(
        pictures.for_the_eye(np.concatenate([one, variants])),
        ["original"] + [""] * 9,
        f"{label}: an image and nine variants of it",
    )


explore(draw_variants, image=(0, 40, 1), seed=(0, 20, 1))

# %% [markdown]
# ## P1.3 The network
#
# Each layer looks at places that are next to each other, and uses the same weights everywhere. Pooling lets the next
# layer see further. At the end a mean over all places leaves one number for each channel, whatever the size of the
# image, and one linear layer makes scores of them.
#
# *Guess first:* which layer has the most parameters?
#
# **Task.** Write `build_cnn`.

# %% task="network"
check("network")

# %%
with attempt():
    pictures.draw_parameters(ic.build_cnn(10), 10)

# %% [markdown]
# ## P1.4 Training
#
# The training loss nearly always falls. The validation loss says when the network begins to learn images by heart. The
# weights of that epoch are the best ones, and some epochs later the training may stop. The network must never learn
# from the validation images: they would no longer show what it learned by heart.
#
# **Task.** Write `fit`. Begin with one epoch, and leave the checkpoint for the end.

# %% task="training"
check("training")

# %% [markdown]
# *Guess first:* with only 100 images, what happens to the two losses without augmentation, and what with it?

# %%
histories = {}
with attempt():
    config = ic.Config("", "", epochs=40, batch_size=10, lr=0.01, patience=40, augment=False)
    mean, std = ic.channel_statistics(data["train_images"][:100])
    few, held_out = (
        (ic.preprocess(data["train_images"][rows], mean, std), data["train_labels"][rows])
        for rows in (slice(0, 100), slice(100, 500))
    )
    for name, augment in (("without augmentation", False), ("with augmentation", True)):
        torch.manual_seed(0)
        network = ic.build_cnn(10)
        chosen = replace(config, augment=augment)
        histories[name] = ic.fit(network, few, held_out, chosen, np.random.default_rng(0))
    pictures.draw_curves(histories, "100 training images")

# %% [markdown]
# Compare the distance between the dashes and the line of one colour: that is what the network knows by heart and cannot
# use. Which of the two trainings would you give more epochs?

# %% [markdown]
# ## P1.5 The report
#
# One number hides which mistakes are made. *Precision* asks: if the network says "ring", how often is it one? *Recall*
# asks: of all rings, how many are found? A network that calls everything a ring finds all rings.
#
# **Task.** Write `evaluate_report`.

# %% task="report"
check("report")

# %%
report = None
with attempt():
    if not histories:
        raise NotImplementedError("fit: not started")
    network.eval()
    raw, y = data["test_images"], data["test_labels"]
    with torch.no_grad():
        scores = network(torch.from_numpy(ic.preprocess(raw, mean, std))).numpy()
    report = ic.evaluate_report(scores, y, names)
    print(f"accuracy {report['accuracy']:.3f}, macro F1 {report['macro_f1']:.3f}; the most confused pairs:")
    for true, guess, count in report["confused"][:5]:
        print(f"  {count:3d} of class {true} taken for {guess}")
    pictures.draw_shares(report)

# %% [markdown]
# ## P1.6 Figures
#
# A figure answers a question: has the training ended, or was it stopped? Which classes are confused? What do the worst
# mistakes look like? The last one often teaches most: some labels are wrong, and some images nobody could name.
#
# **Task.** Write `plot_history`, `plot_confusion` and `plot_mistakes`.

# %% task="figures"
check("figures")

# %%
with attempt():
    if not histories:
        raise NotImplementedError("fit: not started")
    display(ic.plot_history(histories["with augmentation"]))

# %%
with attempt():
    if report is None:
        raise NotImplementedError("evaluate_report: not started")
    display(ic.plot_confusion(report))
    display(ic.plot_mistakes(raw, y, scores, names))

# %% [markdown]
# ## P1.7 The whole project in one call
#
# `run` takes a config and goes from the raw file to a network, numbers and figures. The same config gives the same
# result; a faulty config is refused in a sentence; and a run that was stopped goes on. `predict` is what a user of your
# network calls: it has the folder and nothing else.
#
# This is where your choices count. The hidden tests draw new images and let `run` learn from 1,200 of them with *your*
# default values of `Config`. Then they ask `predict` about images that your code has never seen.
#
# **Task.** Write `check_config`, `run` and `predict`. Then change your network, your augmentation and your default
# values until the validation accuracy is good.

# %% task="run"
check("run")

# %%
results = None
with attempt():
    folder = Path(tempfile.mkdtemp())
    np.savez(folder / "images.npz", **data)
    results = ic.run(ic.Config(str(folder / "images.npz"), str(folder / "out"), epochs=6))
    print(results)

# %% [markdown]
# What `predict` must not depend on: the other images of a call. Here the same twenty test images are predicted together
# and one by one.

# %%
with attempt():
    if results is None:
        raise NotImplementedError("run: not started")
    some = data["test_images"][:20]
    together = ic.predict(folder / "out", some)
    alone = np.concatenate([ic.predict(folder / "out", some[k : k + 1]) for k in range(20)])
    print(f"largest difference of two scores: {np.abs(together - alone).max():.1e}")
    pictures.draw_images(
        some, [names[label] for label in together.argmax(axis=1)], "Test images, and what predict says of them"
    )

# %% [markdown]
# ## Two questions

# %% [markdown] question="your_choices" points=5
# **Question 1 (5 points).** Describe your network, your augmentation and your schedule. For two of your choices, name
# an alternative that you tried, the numbers of both (on validation images), and whether their difference is larger
# than the one between two seeds. Then name one change that you expect to help on photographs of CIFAR-10 and not on
# the drawn shapes, or the other way round, and say why.

# %% [markdown] question="a_good_accuracy" points=5
# **Question 2 (5 points).** A report says: "Our network recognises skin cancer with an accuracy of 0.97. We normalised
# all images with the mean of the whole data set, made six variants of each image by turns and mirrors, divided the
# images at random into training and test images, and kept the weights of the epoch with the best test accuracy." Of
# its images, 4 % show cancer. Name each fault, say in which direction it moves the number and why, and say which
# numbers you would ask for instead.

# %% [markdown]
# ## Where to go from here
#
# Residual connections allow deeper networks (lesson 4), and a network that was trained on a million photographs needs
# far fewer of yours (project 3).
