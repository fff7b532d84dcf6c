# %% [markdown]
# # Advanced architectures
#
# An LSTM knows of a whole sentence what fits into one vector. The last assignment ended with a question: what if a
# network could look back at *every* word, and choose? This notebook answers it. But it begins with the opposite: what
# a network learns if it must squeeze all that it knows through a few numbers.
#
# * 7.1 and 7.2: autoencoders, which learn without labels what is worth keeping, and take noise away.
# * 7.3 to 7.5: attention, from one score for each word to many heads at once.
# * 7.6 and 7.7: what a Transformer is made of.
# * 7.8: train one, and a network for short films made of two kinds.
#
# **How to work.** Your code goes into `advanced_architectures.py`, beside this notebook. Each function there has a
# docstring that says exactly what it must do: replace the line `raise NotImplementedError(...)`. Then run the cells
# here. A cell with `check(...)` runs the public tests of one task; hidden tests will look further, at edge cases that
# the docstring also describes. Cells that draw something simply say "not started" while the function they need is
# missing.
#
# | task | you write | points |
# |---|---|---|
# | 7.1 | an autoencoder, and PCA beside it | 10 |
# | 7.2 | a network that takes noise away | 8 |
# | 7.3 | additive attention | 10 |
# | 7.4 | scaled dot-product attention, and masks | 13 |
# | 7.5 | multi-head attention | 15 |
# | 7.6 | positions, and layer normalisation | 10 |
# | 7.7 | the Transformer | 13 |
# | 7.8 | training: a sequence turned round, and short films | 11 |
# | | two written questions | 10 |

# %%
# %load_ext autoreload
# %autoreload 2
import matplotlib.pyplot as plt
import numpy as np
import torch

import advanced_architectures as aa
from autograder import attempt, check
from dlcourse.data import digits
from dlcourse.figures import BLUE, GREEN, INK, ORANGE, RED, explore, show, use_style
from sequences import CLIPS, moving_shapes, reversals

torch.set_num_threads(1)
use_style()

# %% [markdown]
# ## 7.1 Squeeze, and say it again
#
# An autoencoder is two networks with a narrow place between them. The first one turns 64 pixels into a *code* of a
# few numbers, the second one turns the code back into 64 pixels, and the only thing asked of both is that the picture
# comes back. No labels are needed. If it works with 8 numbers, then these 8 numbers hold what digits have in common
# and where they differ.
#
# PCA does the same with straight lines: it keeps the k directions in which the data vary most. A *linear* autoencoder
# can at best find the same directions. So PCA is the measure of what the bends are worth.

# %% task="autoencoder"
check("autoencoder")

# %% [markdown]
# **What the bends are worth.** Digits that none of the three has seen, reconstructed from 8 numbers each.

# %%
(train_images, _), (images, names) = digits("train"), digits("test")
train_rows, rows = train_images.reshape(-1, 64), images.reshape(-1, 64)
models = {}


def trained(latent, linear=False):
    """An autoencoder of the digits, trained once."""
    if (latent, linear) not in models:
        torch.manual_seed(0)
        model = aa.Autoencoder(64, latent, linear=linear)
        aa.fit_autoencoder(model, train_rows, epochs=30, seed=0)
        models[latent, linear] = model
    return models[latent, linear]


def through(model, given):
    """What a model makes of rows."""
    with torch.no_grad():
        return model(torch.from_numpy(given)).numpy()


with attempt():
    kinds = {
        "original": rows,
        "PCA": aa.pca_reconstruct(train_rows, rows, 8),
        "linear autoencoder": through(trained(8, True), rows),
        "autoencoder": through(trained(8), rows),
    }
    figure, axes = plt.subplots(4, 12, figsize=(11, 4.6), constrained_layout=False)
    figure.subplots_adjust(left=0.01, right=0.99, bottom=0.02, top=0.93, hspace=0.35, wspace=0.1)
    for line, (name, given) in zip(axes, kinds.items(), strict=True):
        for ax, row in zip(line, given, strict=False):
            show(ax, row.reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
        error = ((given - rows) ** 2).mean()
        line[0].set_title(name if name == "original" else f"{name}: mean squared error {error:.4f}")
    plt.show()

# %% [markdown]
# The linear autoencoder makes a little more than the error of PCA, and it can never make less than the best eight
# directions. The other one makes about half of that error with the same eight numbers.
#
# **A space that one can walk through.** With a code of *two* numbers the space of all codes is a map. Each dot below is
# an unseen digit. Move the sliders: the decoder draws a picture for any place on the map, also where no digit is.

# %%
with attempt():
    flat = trained(2)
    with torch.no_grad():
        codes = flat.encode(torch.from_numpy(rows)).numpy()
    low, high = np.percentile(codes, [1, 99], axis=0)

colours = plt.colormaps["tab10"]


def walk(across=0.5, up=0.8):
    """Draw the map of codes, and what the decoder says at one place of it."""
    place = low + (high - low) * np.array([across, up])
    flat = trained(2)
    with torch.no_grad():
        picture = flat.decode(torch.tensor(place[None], dtype=torch.float32))[0].numpy()
    _, axes = plt.subplots(1, 2, figsize=(9.5, 4.4), width_ratios=[1.6, 1])
    for name in range(10):
        axes[0].scatter(*codes[names == name].T, s=9, color=colours(name), label=str(name))
    axes[0].plot(*place, "*", color=INK, ms=17, mec="white")
    axes[0].set(title="codes of unseen digits", xlabel="first number of the code", ylabel="second number of the code")
    axes[0].legend(ncols=5, loc="upper center", bbox_to_anchor=(0.5, -0.13), markerscale=2, title="digit")
    show(axes[1], picture.reshape(8, 8), "what the decoder draws at the star", cmap="gray_r", vmin=0, vmax=1)
    plt.show()


explore(walk, across=(0.0, 1.0, 0.05), up=(0.0, 1.0, 0.05))

# %% [markdown]
# Walk slowly from one colour to another. The picture changes smoothly, and in between it is no digit at all: nothing
# ever asked the decoder to draw something sensible there. Networks that are asked to (variational autoencoders) are a
# matter of the next module.

# %% [markdown]
# ## 7.2 Take the noise away
#
# Change one thing: what goes in is noisy, what should come out is clean. To do that well a network must know which
# pictures are likely. The noise must be new each time, or the network learns it by heart.

# %% task="denoising"
check("denoising")

# %%
with attempt():
    noisy = aa.add_noise(rows, 0.3, np.random.default_rng(0))
    torch.manual_seed(0)
    cleaner = aa.DenoisingAE(64)
    aa.fit_denoiser(cleaner, train_rows, 0.3, epochs=20, seed=0)
    kinds = {"noisy": noisy, "denoised": through(cleaner, noisy), "clean, never shown to the network": rows}
    figure, axes = plt.subplots(3, 12, figsize=(11, 3.5), constrained_layout=False)
    figure.subplots_adjust(left=0.01, right=0.99, bottom=0.02, top=0.93, hspace=0.35, wspace=0.1)
    for line, (name, given) in zip(axes, kinds.items(), strict=True):
        for ax, row in zip(line, given, strict=False):
            show(ax, row.reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
        error = ((given - rows) ** 2).mean()
        line[0].set_title(f"{name}: mean squared error {error:.3f}" if error else name)
    plt.show()

# %% [markdown]
# ## 7.3 Look back, and choose
#
# A recurrent decoder has a state (what am I about to say?), and the encoder has an output for each word. Additive
# attention gives each word a score, turns the scores into weights that add up to 1, and hands on the weighted mean.
# The weights are learned, as everything else: the softmax is a choice that has a gradient.

# %% task="additive_attention"
check("additive_attention")

# %% [markdown]
# ## 7.4 A query, some keys, and what they hold
#
# The same idea with one product instead of a small network. Each position sends out a *query*: what do I look for? Each
# position shows a *key*: what am I? Where query and key fit, their product is large, and the *value* of that position
# is taken in.
#
# $$\text{attention}(Q, K, V) = \text{softmax}\left(\frac{Q K^T}{\sqrt d}\right) V$$

# %% task="scaled_dot_product"
check("scaled_dot_product")

# %% [markdown]
# **Attention made by hand.** No training: we say what each word is, and what it looks for. Four numbers describe a
# word: animal, thing, verb, property. "It" looks for an animal, a verb for whoever acts, a property for what it
# belongs to. Each row of the picture is one word's view of the sentence. Move `sharpness`, and hide the future.

# %%
WORDS = "the cat watched the old mouse because it was hungry".split()
IS = {"cat": [1, 0, 0, 0], "mouse": [1, 0, 0, 0], "watched": [0, 0, 1, 0], "was": [0, 0, 1, 0],
      "old": [0, 0, 0, 1], "hungry": [0, 0, 0, 1], "it": [0.6, 0, 0, 0]}  # fmt: skip
SEEKS = {"it": [1, 0, 0, 0], "watched": [1, 0, 0, 0], "old": [1, 0, 0, 0], "hungry": [1, 0, 0.6, 0],
         "was": [0, 0, 0, 1], "cat": [0, 0, 1, 0], "mouse": [0, 0, 1, 1]}  # fmt: skip


def views(sharpness=6.0, future="visible"):
    """Draw which word looks at which."""
    keys = torch.tensor([IS.get(word, [0.0] * 4) for word in WORDS])
    queries = sharpness * torch.tensor([SEEKS.get(word, [0.0] * 4) for word in WORDS])
    mask = aa.causal_mask(len(WORDS)) if future == "hidden" else None
    _, weights = aa.scaled_dot_product_attention(queries, keys, keys, mask)
    figure, ax = plt.subplots(figsize=(6.6, 5.4))
    shown = ax.imshow(weights, cmap="depth", vmin=0, vmax=1)
    ax.set_xticks(range(len(WORDS)), WORDS, rotation=50, ha="right")
    ax.set_yticks(range(len(WORDS)), WORDS)
    ax.set(title="each row: where this word looks", xlabel="is looked at", ylabel="looks")
    figure.colorbar(shown, ax=ax, label="weight")
    plt.show()


explore(views, sharpness=(0.0, 20.0, 0.5), future=["visible", "hidden"])

# %% [markdown]
# With a sharpness of 0 each word sees the mean of all. With a large one it chooses. "The" looks for nothing, so it
# looks everywhere alike. And "it" cannot tell the cat from the mouse: both are animals, and nothing here says which
# of them came first. That is what positions are for (7.6).
#
# **Think.** Why is the score divided by $\sqrt d$? What happens to the softmax, and to its gradient, if d = 512 and
# nobody divides?

# %% [markdown]
# ## 7.5 Several heads
#
# One softmax makes one choice. A verb wants to know who acts *and* on whom, so a layer has several heads, each with
# queries, keys and values of its own, on its own part of the numbers. The price is nothing: h heads of d / h numbers
# cost as much as one head of d.

# %% task="multi_head"
check("multi_head")

# %% [markdown] question="permuted" points=5
# **Question 1 (5 points).** Somebody permutes the words of a sentence and gives them to a self-attention layer without
# positions and without a mask. What happens to the outputs, and why? Say where in the formula one sees it. Then: what
# does the same layer do under a causal mask, is the order of the words still unknown to it, and why (not)?

# %% [markdown]
# ## 7.6 A clock for positions
#
# Attention alone knows no order. So each position gets a vector that says where it is: a clock with many hands, from
# one that turns by 1 with each position to one that hardly moves. And each position is normalised by itself, so that no
# layer has to cope with numbers that grow from block to block.

# %% task="positions_and_norm"
check("positions_and_norm")

# %%
with attempt():
    table = aa.sinusoidal_encoding(100, 64)
    figure, axes = plt.subplots(1, 2, figsize=(11.5, 3.7), width_ratios=[1.2, 1])
    shown = axes[0].imshow(table.T, cmap="between", vmin=-1, vmax=1, aspect="auto", interpolation="nearest")
    axes[0].set(title="the table: each column is a position", xlabel="position", ylabel="number of the vector")
    figure.colorbar(shown, ax=axes[0], label="value")
    for place, colour in ((20, BLUE), (50, ORANGE), (80, GREEN)):
        axes[1].plot(table @ table[place], color=colour, lw=2, label=f"position {place}")
    axes[1].set(title="how well two positions fit", xlabel="other position", ylabel="product of the two vectors")
    axes[1].legend(loc="lower center", ncols=3)
    axes[1].set_ylim(0, None)
    plt.show()

# %% [markdown]
# The three curves are one curve, moved: how well two positions fit depends on their distance alone. That is the
# property for which this table was chosen. A move by s positions turns each hand by a fixed angle, whatever the
# position is, and a turn is a matrix, which a linear layer can learn.

# %% [markdown]
# ## 7.7 The Transformer
#
# A block is attention, then a small network for each position, each with a way around it. The order of norm and sum is
# the one thing in which the paper of 2017 (post-norm) and nearly all models since then (pre-norm) differ.

# %% task="transformer"
check("transformer")

# %% [markdown]
# **Why the order matters.** Stack 24 blocks of each kind, as they are made, and send a gradient back. How much of it
# arrives at each block's first matrix?

# %%
with attempt():
    figure, axes = plt.subplots(1, 2, figsize=(11.5, 3.6))
    for pre_norm, colour in ((True, BLUE), (False, ORANGE)):
        torch.manual_seed(0)
        stack = aa.TransformerEncoder(32, 4, 24, pre_norm=pre_norm, final_norm=True)
        out = stack(torch.randn(8, 10, 32))
        (out * torch.randn_like(out)).sum().backward()
        sizes = [float(block.linear1.weight.grad.norm()) for block in stack.layers]
        label = "pre-norm" if pre_norm else "post-norm, as in 2017"
        axes[0].plot(range(1, 25), sizes, "-o", ms=4, color=colour, lw=2, label=label)
    axes[0].set(title="gradients of 24 blocks before training", xlabel="block", ylabel="length of the gradient")
    axes[0].set_ylim(0, None)
    axes[0].legend(loc="lower center")
    with torch.device("meta"):
        base = aa.Transformer()
    parts = {"attention": 0, "networks": 0, "norms": 0}
    for name, parameter in base.named_parameters():
        kind = "networks" if "linear" in name else "norms" if "norm" in name else "attention"
        parts[kind] += parameter.numel() / 1e6
    bars = axes[1].barh(list(parts), list(parts.values()), color=[BLUE, ORANGE, GREEN])
    axes[1].bar_label(bars, fmt=" %.2f")
    total = sum(parts.values())
    axes[1].set(title=f"the base model of the paper: {total:.2f} million parameters", xlabel="million parameters",
                xlim=(0, 1.2 * max(parts.values())))  # fmt: skip
    axes[1].invert_yaxis()
    plt.show()

# %% [markdown]
# In the post-norm stack the last blocks get the largest gradients, nearly twice those of the pre-norm stack, so the
# first steps of training change them most. In the pre-norm stack the sums are a straight road, and the gradient grows
# gently towards the first block. Xiong et al. (2020) explain with this why the paper of 2017 needed a learning rate
# that begins small, a warm-up, and why pre-norm networks do without it.
#
# The second picture: more than half of the parameters are in the small networks, not in attention. (The model was
# counted on the device "meta", where tensors have shapes and no numbers: it took no memory.)

# %% [markdown]
# ## 7.8 Train them
#
# A task that is nothing without order: turn a row of eight tokens round. Each output must find the token at the other
# end of the row. One network is given positions, the other one is not.

# %% task="training"
check("training")

# %%
looks = []
with attempt():
    given, wanted = reversals(1000)
    unseen, truth = reversals(200, seed=1)
    figure, axes = plt.subplots(1, 3, figsize=(12, 3.6), width_ratios=[1.25, 1, 1])
    for positions, colour in ((True, BLUE), (False, ORANGE)):
        torch.manual_seed(0)
        tagger = aa.SequenceTagger(11, positions=positions)
        losses = aa.fit_scores(tagger, given, wanted, epochs=7, seed=0)
        for part in tagger.modules() if positions else ():
            if isinstance(part, aa.MultiHeadAttention):
                part.register_forward_hook(lambda part, inputs, out: looks.append(out[1].detach()))
        with torch.no_grad():
            right = (tagger(torch.from_numpy(unseen)).argmax(dim=2).numpy() == truth).mean()
        label = f"{'with' if positions else 'without'} positions: {right:.2f} right"
        axes[0].plot(range(1, 8), losses, "-o", ms=4, color=colour, lw=2, label=label)
    axes[0].set(title="turn eight tokens round", xlabel="epoch", ylabel="cross-entropy", ylim=(-0.1, 2.5))
    axes[0].legend(loc="upper right", bbox_to_anchor=(1.0, 0.62))
    for ax, weights, name in zip(axes[1:], looks, ("first", "second"), strict=False):
        shown = ax.imshow(weights.mean(dim=(0, 1)), cmap="depth", vmin=0, vmax=0.6)
        ax.set(title=f"{name} block: who looks where", xlabel="is looked at", ylabel="looks")
    figure.colorbar(shown, ax=axes[2], label="mean weight")
    plt.show()

# %% [markdown]
# Nobody told the network where to look. The dark line of the second block is the answer that it found: position t looks
# at position 7 - t. Without positions it can only learn which tokens are in the row at all.
#
# **Two kinds in one network.** A frame of a film is an image, so a convolutional network reads it. The frames come in
# an order, so an LSTM reads what the first network says of each. Below are two films of the given data.

# %%
films, labels = moving_shapes(600)
figure, axes = plt.subplots(2, 6, figsize=(9, 3.5), constrained_layout=False)
figure.subplots_adjust(left=0.01, right=0.99, bottom=0.02, top=0.92, hspace=0.25, wspace=0.1)
for line, kind in zip(axes, (0, 3), strict=True):
    number = int(np.flatnonzero(labels == kind)[0])
    for ax, frame in zip(line, films[number], strict=True):
        show(ax, frame[0], cmap="gray_r", vmin=-0.3, vmax=1.3)
    line[0].set_title(CLIPS[kind])
plt.show()

# %% [markdown]
# **Which part knows what?** Train it, and then take something away: play the film backwards, show one frame again and
# again, or shuffle the frames. The share of right answers, for the shape and for the direction.

# %%
with attempt():
    torch.manual_seed(0)
    watcher = aa.CNNLSTM(4)
    aa.fit_scores(watcher, films, labels, epochs=8, seed=0)
    new_films, new_labels = moving_shapes(400, seed=1)
    source = np.random.default_rng(0)
    orders = np.argsort(source.random((400, 6)), axis=1)
    shown_as = {
        "as it is": new_films,
        "backwards": new_films[:, ::-1].copy(),
        "one frame, six times": np.repeat(new_films[:, 2:3], 6, axis=1),
        "shuffled": np.take_along_axis(new_films, orders[:, :, None, None, None], axis=1),
    }
    shapes, ways = [], []
    for clips in shown_as.values():
        with torch.no_grad():
            said = watcher(torch.from_numpy(clips)).argmax(dim=1).numpy()
        shapes.append((said // 2 == new_labels // 2).mean())
        ways.append((said % 2 == new_labels % 2).mean())
    figure, ax = plt.subplots(figsize=(9, 3.5))
    place = np.arange(4)
    for shift, heights, colour, label in ((-0.2, shapes, BLUE, "shape"), (0.2, ways, ORANGE, "direction")):
        bars = ax.bar(place + shift, heights, 0.38, color=colour, label=label)
        ax.bar_label(bars, fmt="%.2f")
    ax.axhline(0.5, color=RED, ls=":", lw=1.4, label="a coin")
    ax.set_xticks(place, shown_as)
    ax.set(
        title="400 unseen films",
        xlabel="what the network is shown",
        ylabel="share of right answers",
        ylim=(0, 1.3),
    )
    ax.legend(ncols=3, loc="upper right")
    plt.show()

# %% [markdown]
# The shape survives all of it: each frame shows it. The direction is in the order alone. Backwards, the network says
# the opposite direction each time. In a random order it is as good as a coin, and one frame, repeated, leads it astray.

# %% [markdown] question="which_architecture" points=5
# **Question 2 (5 points).** A hospital records the heartbeat: one number, 250 times a second, for 24 hours, and wants
# to find the minutes in which the rhythm is wrong. Compare three designs: an LSTM on the raw numbers, a Transformer
# on the raw numbers, and a convolutional network followed by one of the two. For each say what it costs in the length
# of the recording, what it can and cannot connect over time, and what could go wrong in training. Which one would you
# try first, and what would you measure before you trust it?

# %% [markdown]
# ## What you have now
#
# A way to learn without labels, attention from its formula up to the whole Transformer, and a network made of two
# kinds. All the large language models of today are stacks of the block that you wrote in 7.7. What keeps such a
# network from failing in practice (splits, metrics, schedules, and faults that nobody sees) is the next assignment.
