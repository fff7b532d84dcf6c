# %% [markdown]
# # Recurrent networks
#
# "The film was not good." Leave out one word, or move it, and the sentence says the opposite. Everything
# that you have built so far takes all of its input at once, each number at its own place. A sentence, a
# melody, a series of measurements has an *order*, and no fixed length. A recurrent network reads such things
# as you read this line: one step after the other, with a memory of what came before.
#
# That memory is the subject of this notebook: how it is made (6.1), how a gradient travels back through it
# (6.2) and dies on the way (6.5), how gates keep it alive (6.3, 6.4), and what it is good for: sentences in
# which the order decides (6.6, 6.7), and the future of the sun (6.8).
#
# **How to work.** Your code goes into `recurrent_networks.py`, beside this notebook. Each function there has
# a docstring that says exactly what it must do: replace the line `raise NotImplementedError(...)`. Then run
# the cells here. A cell with `check(...)` runs the public tests of one task; hidden tests will look further,
# at edge cases that the docstring also describes. Cells that draw something simply say "not started"
# while the function they need is missing.
#
# | task | you write | points |
# |---|---|---|
# | 6.1 | a recurrent network, forward | 10 |
# | 6.2 | backpropagation through time | 13 |
# | 6.3 | an LSTM, forward and one step back | 16 |
# | 6.4 | a GRU | 8 |
# | 6.5 | clipping, and gradients measured through time | 10 |
# | 6.6 | from text to numbers | 10 |
# | 6.7 | a network that reads sentences | 13 |
# | 6.8 | forecasts, and honest ways to judge them | 10 |
# | | two written questions | 10 |

# %%
# %load_ext autoreload
# %autoreload 2
import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn

import recurrent_networks as rn
from autograder import attempt, check
from dlcourse.data import co2, sentiment, sunspots
from dlcourse.figures import BLUE, GREEN, GREY, INK, ORANGE, RED, explore, use_style

torch.set_num_threads(1)
use_style()

# %% [markdown]
# ## 6.1 A loop with a memory
#
# One step of a recurrent network mixes two things: what comes in, $x_t$, and what it remembers, $h_{t-1}$.
#
# $$h_t = \tanh(W_x x_t + W_h h_{t-1} + b)$$
#
# That is all. The same three parameters serve at every step, so a network with a handful of weights reads a
# sequence of any length. Unrolled in time it is a very deep network whose layers all share their weights.

# %% task="rnn_forward"
check("rnn_forward")

# %% [markdown]
# **How long does an echo last?** We clap once, at step 0, in front of a network of twenty units, and then
# listen for sixty steps. The weight $W_h$ is a random rotation times a factor, and the curves differ only in
# that factor.

# %%
STEPS, UNITS = 60, 20
source = np.random.default_rng(1)
rotation = np.linalg.qr(source.normal(size=(UNITS, UNITS)))[0]
clap = np.zeros((1, STEPS, 1))
clap[0, 0] = 1.0
with attempt():
    ears = 0.8 * source.normal(size=(UNITS, 1))
    echoes = {
        factor: rn.rnn_forward(clap, np.zeros((1, UNITS)), ears, factor * rotation, np.zeros(UNITS))[0][0]
        for factor in (0.8, 1.0, 1.25)
    }
    figure, axes = plt.subplots(1, 4, figsize=(12.5, 3.1), width_ratios=[1, 1, 1, 1.25])
    for ax, (factor, states) in zip(axes, echoes.items(), strict=False):
        shown = ax.imshow(states.T, cmap="between", vmin=-0.6, vmax=0.6, aspect="auto", interpolation="nearest")
        ax.set(title=f"factor {factor:g}", xlabel="step", yticks=range(0, UNITS, 5))
    axes[0].set_ylabel("unit")
    figure.colorbar(shown, ax=axes[2], label="state")
    for (factor, states), colour in zip(echoes.items(), (BLUE, INK, ORANGE), strict=True):
        axes[3].semilogy(np.linalg.norm(states, axis=1), color=colour, lw=2.2, label=f"factor {factor:g}")
    axes[3].set(title="length of the state", xlabel="step", ylabel="length")
    axes[3].legend(loc="lower left")
    plt.show()

# %% [markdown]
# Below 1 the echo dies at an even pace: after twenty steps nobody could say that there was a clap. Above 1 it
# never dies, because tanh catches it, but then the network talks to itself and hardly listens. A memory that is
# neither lost nor a monologue needs a factor near 1, and training has to find it.
#
# **Think.** Why does the curve of factor 1 fall at all, although a rotation keeps every length?

# %% [markdown]
# ## 6.2 Backpropagation through time
#
# Unroll the loop, and the backward pass is the one that you know: walk back through the layers. Two things
# are new, and both are the same old rule, *what is used twice receives two gradients*:
#
# * a state $h_t$ is an output **and** the input of the next step;
# * the weights are used at **every** step.

# %% task="rnn_backward"
check("rnn_backward")

# %% [markdown]
# **Who is to blame?** The loss looks at the last of fifty states alone. How strongly does it pull at the input
# of each step before? Every curve is one network, with its own factor in front of the same rotation; the states
# are kept small, so that tanh is nearly a straight line.

# %%
LENGTH = 50
quiet = 1e-6 * source.normal(size=(1, LENGTH, 3))
with attempt():
    into = source.normal(size=(UNITS, 3))
    pull = np.zeros((1, LENGTH, UNITS))
    pull[0, -1] = source.normal(size=UNITS) / np.sqrt(UNITS)
    colours = (BLUE, "#6d9ad0", GREY, INK, "#f0b184", ORANGE)
    pulls = {}
    for factor in (0.5, 0.8, 0.95, 1.0, 1.05, 1.15):
        _, cache = rn.rnn_forward(quiet, np.zeros((1, UNITS)), into, factor * rotation, np.zeros(UNITS))
        pulls[factor] = np.linalg.norm(rn.rnn_backward(pull, cache)[0][0], axis=1)
    figure, ax = plt.subplots(figsize=(8.2, 3.6))
    for (factor, lengths), colour in zip(pulls.items(), colours, strict=True):
        ax.semilogy(np.arange(LENGTH) - LENGTH + 1, lengths, color=colour, lw=2.2)
        ax.text(-LENGTH + 0.2, lengths[0], f"{factor:g}", color=colour, ha="right", va="center")
    ax.set(title="how hard the last state pulls at each input", xlabel="steps before the loss",
           ylabel="length of the gradient", xlim=(-54, 0.5))  # fmt: skip
    plt.show()

# %% [markdown]
# A straight line on a logarithmic axis is a geometric series: each step back multiplies by the same factor.
# 0.5 to the power of 50 is $10^{-15}$. With 1.15 the oldest input pulls a thousand times harder than the
# newest. This is the **vanishing** and the **exploding gradient** (Hochreiter 1991; Bengio et al. 1994), and it
# is not a fault of backpropagation: the loss really does not depend on those inputs, or depends on them wildly.

# %% [markdown]
# ## 6.3 A memory with doors
#
# The remedy is a memory that is *added to* instead of being multiplied at every step. An LSTM keeps a second
# state, the cell $c$, and three gates between 0 and 1, which read the input and the hidden state and decide:
#
# | gate | question |
# |---|---|
# | forget $f$ | how much of the old cell stays? |
# | input $i$ | how much of the candidate $g$ is written? |
# | output $o$ | how much of the cell is shown? |
#
# While $f = 1$ and $i = 0$ the cell stays as it is, and a gradient runs back along it unchanged, over any
# distance.

# %% task="lstm"
check("lstm")

# %% [markdown]
# **An LSTM made by hand.** Can two units count how deep the brackets are, and remember whether an exclamation
# mark was seen? No training: we set the weights. The input has four entries, one each for `(`, `)`, `!`
# and all other signs.

# %%
text = "sin(max(a, b) + c) ! done (x)"
kinds = ["(", ")", "!"]
signs = np.array([[[sign == kind for kind in kinds] + [sign not in kinds] for sign in text]], dtype=float)
# columns of a weight: "(", ")", "!", other; rows: two units for each of i, f, g, o
open_, shut = 12.0, -12.0
looks = np.array(
    [
        [open_, open_, shut, shut],  # i of unit 0: write at brackets
        [shut, shut, open_, shut],  # i of unit 1: write at an exclamation mark
        [open_, open_, open_, open_],  # f of unit 0: never forget
        [open_, open_, open_, open_],  # f of unit 1: never forget
        [open_, shut, 0.0, 0.0],  # g of unit 0: plus one or minus one
        [0.0, 0.0, open_, 0.0],  # g of unit 1: one
        [open_, open_, open_, open_],  # o of unit 0: always shown
        [open_, open_, open_, open_],  # o of unit 1: always shown
    ]
)
with attempt():
    h, c, cells = np.zeros((1, 2)), np.zeros((1, 2)), []
    for t in range(len(text)):
        h, c, _ = rn.lstm_step_forward(signs[:, t], h, c, looks, np.zeros((8, 2)), np.zeros(8))
        cells.append(c[0])
    figure, ax = plt.subplots(figsize=(10.5, 2.9))
    ax.step(range(len(text)), np.array(cells)[:, 0], where="mid", color=BLUE, lw=2.4, label="unit 0: depth")
    ax.step(range(len(text)), np.array(cells)[:, 1], where="mid", color=ORANGE, lw=2.4, label="unit 1: '!' seen")
    ax.set_xticks(range(len(text)), text, family="monospace", fontsize=12)
    ax.set(title="the cell of an LSTM whose weights were set by hand", ylabel="cell", ylim=(-0.15, 2.3),
           xlabel="what it reads, sign by sign")  # fmt: skip
    ax.legend(loc="upper right")
    plt.show()

# %% [markdown]
# **Think.** How would you change the weights so that an exclamation mark is forgotten at the next closing
# bracket? Which single entry of `looks` is it?

# %% [markdown]
# ## 6.4 One door less
#
# A gated recurrent unit has no second state. Its update gate $z$ shares between old and new, and so sets how
# *slow* each unit is; its reset gate $r$ decides how much of the old state the candidate may see.

# %% task="gru_step"
check("gru_step")

# %% [markdown]
# **Slow and quick units.** Three units read the same noisy signal, which jumps twice. They differ in nothing
# but the bias of the update gate.

# %%
noise = np.random.default_rng(4)
signal = np.where((np.arange(150) > 25) & (np.arange(150) < 95), 0.7, -0.5) + noise.normal(scale=0.25, size=150)
with attempt():
    zeros = np.zeros((3, 3))
    units = {
        "weight_ih": np.concatenate([np.zeros((6, 1)), np.ones((3, 1))]),
        "weight_hh": np.concatenate([zeros, zeros, zeros]),
        "bias_ih": np.concatenate([np.zeros(3), [-1.0, 1.5, 4.0], np.zeros(3)]),
        "bias_hh": np.zeros(9),
    }
    state, path = np.zeros((1, 3)), []
    for value in signal:
        state = rn.gru_step(np.array([[value]]), state, units)
        path.append(state[0])
    figure, ax = plt.subplots(figsize=(9.5, 3.2))
    ax.plot(signal, ".", color=GREY, ms=5, label="signal")
    for unit, (bias, colour) in enumerate(zip((-1.0, 1.5, 4.0), (BLUE, GREEN, ORANGE), strict=True)):
        ax.plot(np.array(path)[:, unit], color=colour, lw=2, label=f"bias {bias:g}")
    ax.set(
        title="the bias of the update gate is how slow a unit is",
        xlabel="step",
        ylabel="state",
        ylim=(-1.3, 1.75),
    )
    ax.legend(loc="upper right", ncols=4)
    plt.show()

# %% [markdown]
# ## 6.5 Gradients through time
#
# Now measure what 6.2 drew for a toy, on real networks, with PyTorch's autograd. And learn the oldest remedy
# for the other evil: if the gradient is too long, shorten it (Pascanu et al. 2013).

# %% task="gradients_through_time"
check("gradients_through_time")

# %% [markdown]
# **A hundred steps back.** Five networks of 32 units, as PyTorch makes them; in one LSTM we only add to the bias
# of the forget gate, so that it begins open.

# %%
with attempt():
    curves = []
    for name, kind, forget, colour in (
        ("RNN", nn.RNN, 0.0, RED),
        ("GRU", nn.GRU, 0.0, GREY),
        ("LSTM", nn.LSTM, 0.0, BLUE),
        ("LSTM, forget bias 1", nn.LSTM, 1.0, GREEN),
        ("LSTM, forget bias 3", nn.LSTM, 3.0, ORANGE),
    ):
        torch.manual_seed(0)
        network = kind(8, 32, batch_first=True).double()
        if forget:
            with torch.no_grad():
                network.bias_ih_l0[32:64] = forget  # the second of four blocks: i, f, g, o
        norms = np.mean([rn.gradient_norms_through_time(network, 100) for _ in range(8)], axis=0)
        curves.append((norms, colour, name))
    figure, ax = plt.subplots(figsize=(8.6, 3.9))
    for norms, colour, name in curves:
        ax.semilogy(np.arange(-99, 1), norms, color=colour, lw=2.3, label=name)
    ax.set(title="what is left of a gradient", xlabel="steps before the loss", ylabel="length of the gradient",
           ylim=(1e-26, 50))  # fmt: skip
    ax.legend(loc="lower right")
    plt.show()

# %% [markdown]
# An LSTM with its default values is no magic: its forget gates begin near one half, and one half to the power of 100 is
# nothing. One number, set before training begins, makes the difference between a memory of ten steps and one of
# hundreds.
#
# **A cliff.** The other evil. A network of one unit, $h_t = \tanh(w h_{t-1} + b)$, runs for twelve steps and
# should end at 0.3. Its loss as a landscape over $w$ and $b$ has a cliff, where one kind of long-run behaviour
# turns into another; on the cliff the gradient is enormous. From the star we walk downhill, sixty steps with a
# learning rate of 0.1, with and without your `clip_grad_norm`.


# %%
def end_of_a_run(w, b):
    state = torch.full_like(w, 0.1)
    for _ in range(12):
        state = torch.tanh(w * state + b)
    return state


def descend(clip, steps=60, rate=0.1):
    """The path of plain gradient descent from a place at the foot of the cliff."""
    place = nn.Parameter(torch.tensor([2.2, -0.25], dtype=torch.float64))
    path, lengths = [place.detach().numpy().copy()], []
    for _ in range(steps):
        place.grad = None
        error = (end_of_a_run(place[0], place[1]) - 0.3) ** 2
        error.backward()
        lengths.append(float(place.grad.norm()))
        if clip:
            rn.clip_grad_norm([place], 0.3)
        with torch.no_grad():
            place -= rate * place.grad
        path.append(place.detach().numpy().copy())
    return np.array(path), lengths


with attempt():
    w, b = torch.meshgrid(torch.linspace(0.2, 4.2, 161), torch.linspace(-1.0, 0.6, 161), indexing="ij")
    height = (end_of_a_run(w.double(), b.double()) - 0.3) ** 2
    walks = [("clipped at 0.3", BLUE, *descend(clip=True)), ("plain", RED, *descend(clip=False))]
    figure, axes = plt.subplots(1, 3, figsize=(12.5, 3.6), width_ratios=[1.15, 1.15, 1])
    for ax, (title, colour, path, lengths) in zip((axes[1], axes[0]), walks, strict=True):
        shown = ax.contourf(w, b, height, levels=24, cmap="depth")
        ax.plot(*path.T, "-o", color=ORANGE, ms=3, lw=1.3)
        ax.plot(*path[0], "*", color=RED, ms=13, mec="white")
        if path[-1, 1] > 0.6:
            ax.text(2.15, 0.5, f"off the map: b = {path[-1, 1]:.1f}", color=ORANGE)
        ax.set(title=title, xlabel="$w$", ylabel="$b$", xlim=(0.2, 4.2), ylim=(-1.0, 0.6))
        axes[2].semilogy(lengths, color=colour, lw=2.2, label=title)
    figure.colorbar(shown, ax=axes[1], label="loss")
    axes[2].set(title="length of the gradient, before clipping", xlabel="step", ylabel="length")
    axes[2].legend()
    plt.show()

# %% [markdown]
# The direction of the gradient on the cliff is right, only its length is absurd: one step of 0.1 times 100. Clipped,
# the walk stays at the edge and follows it down to the valley. Clipping does nothing at all for a gradient that is too
# *short*.

# %% [markdown] question="why_gates" points=5
# **Question 1 (5 points).** A friend trains a plain RNN to tell whether the *first* word of a text of 100
# words was "not". The loss stays at $\log 2$. He says: "The gradient vanishes, so I clip it, and I make the
# learning rate a hundred times larger." Explain what each of the two changes does to the gradient with
# respect to the first input and to that with respect to the last, and why neither helps. Then say what you
# would change, and how you would *measure*, before any training, that it should help.

# %% [markdown]
# ## 6.6 From text to numbers
#
# A network reads numbers. So a text is cut into tokens, each known token has a number, and sentences of several
# lengths are put into one rectangle, with a mask that says what is real.
#
# This is where most of the meaning is lost in practice, silently. Cut "wasn't" at its apostrophe and drop "t",
# and the sentence says the opposite. Build the vocabulary from the test texts too, and the test is no test.

# %% task="text"
check("text")

# %% [markdown]
# **What padding costs.** Our sentences come from a small grammar. Each holds two opinions, the writer's and
# somebody else's, and the label is what the *writer* thinks.

# %%
texts, labels, negated = sentiment(2000, seed=1)
unseen, truth, is_negated = sentiment(1000, seed=2)
for text, label in zip(texts[:4], labels[:4], strict=True):
    print("liked   " if label else "disliked", "|", text)

# %%
vocab = None
with attempt():
    vocab = rn.Vocab(min_freq=2).fit(texts)
    sequences, unseen_sequences = ([rn.encode(text, vocab) for text in part] for part in (texts, unseen))
    ids, mask, lengths = rn.pad_batch(sequences[:6])
    figure, axes = plt.subplots(1, 2, figsize=(12, 3.6), width_ratios=[2, 1])
    ax = axes[0]
    shade = np.where(mask.numpy(), np.log(np.maximum(ids.numpy(), 1)), np.nan)
    ax.imshow(shade, cmap="Blues", vmin=0, vmax=7, aspect="auto")
    for row in range(len(ids)):
        for column in range(int(lengths[row])):
            word = vocab.itos[int(ids[row, column])]
            ax.text(column, row, word, ha="center", va="center", fontsize=6.6, color=INK)
    ax.set(title="a batch: what is white is padding", xlabel="column", ylabel="sentence", yticks=range(6))
    share, sizes = [], (1, 2, 4, 8, 16, 32, 64, 128)
    by_length = sorted(sequences, key=len)
    for batches in (sequences, by_length):
        share.append(
            [
                np.mean([1 - float(rn.pad_batch(batches[k : k + n])[1].float().mean()) for k in range(0, 1024, n)])
                for n in sizes
            ]
        )
    axes[1].semilogx(sizes, share[0], "-o", color=ORANGE, base=2, label="as they come")
    axes[1].semilogx(sizes, share[1], "-o", color=BLUE, base=2, label="sorted by length")
    axes[1].set(title="share of the rectangle that is padding", xlabel="sentences in a batch", ylabel="share",
                ylim=(-0.01, None))  # fmt: skip
    axes[1].legend()
    plt.show()

# %% [markdown]
# ## 6.7 A network that reads sentences
#
# Embedding, recurrent network, one score for each class. The one trap is the padding: a network that reads the
# last *column* reads zeros for all sentences but the longest, and its accuracy suffers only a little, so
# nobody notices. Feed it more padding, and look whether anything moves.

# %% task="sequence_classifier"
check("sequence_classifier")

# %% [markdown]
# **Does order matter?** Four models on the same sentences. The bag of words takes the mean of the embeddings,
# and puts two dense layers on top: it has as many parameters as the LSTM, and no idea of order.


# %%
class BagOfWords(nn.Module):
    """The mean of the embeddings of a sentence, and a small network on top of it."""

    def __init__(self, size, emb=16, hidden=340):
        super().__init__()
        self.table = nn.EmbeddingBag(size, emb, mode="mean", padding_idx=0)
        self.layers = nn.Sequential(nn.Linear(emb, hidden), nn.ReLU(), nn.Linear(hidden, 2))

    def forward(self, ids, lengths):
        return self.layers(self.table(ids))


readers, curves, marks = {}, {}, {}
with attempt():
    if vocab is None:
        raise NotImplementedError("Vocab: not started")
    for name in ("bag of words", "rnn", "gru", "lstm"):
        torch.manual_seed(0)
        size = len(vocab)
        readers[name] = BagOfWords(size) if name == "bag of words" else rn.SequenceClassifier(size, 16, 32, name)
        curves[name] = rn.train_classifier(readers[name], sequences, labels, epochs=8, seed=0)
        right = rn.predict_classes(readers[name], unseen_sequences) == truth
        marks[name] = (right[~is_negated].mean(), right[is_negated].mean())
    figure, axes = plt.subplots(1, 2, figsize=(11.5, 3.6))
    for (name, losses), colour in zip(curves.items(), (GREY, RED, GREEN, BLUE), strict=True):
        axes[0].plot(range(1, len(losses) + 1), losses, "-o", ms=4, color=colour, lw=2, label=name)
    axes[0].axhline(np.log(2), color=INK, ls=":", lw=1.2)
    axes[0].text(8, np.log(2) + 0.01, "log 2: a coin", ha="right", color=INK)
    axes[0].set(title="training", xlabel="epoch", ylabel="cross-entropy")
    axes[0].legend(loc="center right")
    place = np.arange(len(marks))
    for shift, column, colour, label in (
        (-0.2, 0, BLUE, "plain opinion"),
        (0.2, 1, ORANGE, "negated opinion"),
    ):
        heights = [mark[column] for mark in marks.values()]
        bars = axes[1].bar(place + shift, heights, 0.38, color=colour, label=label)
        axes[1].bar_label(bars, fmt="%.2f", fontsize=8.5)
    axes[1].set_xticks(place, marks)
    axes[1].set(title="1,000 unseen sentences", xlabel="model", ylabel="accuracy", ylim=(0, 1.25))
    axes[1].legend(loc="upper left", ncols=2)
    plt.show()

# %% [markdown]
# The bag is a coin: by construction every sentence praises once and blames once.
#
# **Watch it read.** The LSTM's verdict after each word: we show it the first word, the first two, and so on.
# It was only ever asked at the end of a sentence, so what it says in the middle is no opinion yet; look at the
# last point, and at the words that turn it round.


# %%
def verdicts(text):
    """How sure the LSTM is, after each word, that the writer liked it."""
    if "lstm" not in readers:
        raise NotImplementedError("SequenceClassifier: not started")
    tokens, ids = rn.tokenize(text), rn.encode(text, vocab)
    starts, _, counts = rn.pad_batch([ids[: k + 1] for k in range(len(ids))])
    with torch.no_grad():
        return tokens, readers["lstm"](starts, counts).softmax(dim=1)[:, 1].numpy()


with attempt():
    stories = (
        ("Critics said the film was dull, but I thought the film was very good.", BLUE),
        ("Critics said the film was dull, but I thought the film was never very good.", RED),
        ("I thought the film was not boring, but critics said the film was never moving.", GREEN),
    )
    read_out = [(*verdicts(text), colour) for text, colour in stories]
    figure, axes = plt.subplots(3, 1, figsize=(10.5, 5.6))
    for ax, (tokens, sure, colour) in zip(axes, read_out, strict=True):
        ax.axhline(0.5, color=GREY, lw=1, ls=":")
        ax.plot(sure, "-o", color=colour, lw=2.2)
        ax.set_xticks(range(len(tokens)), tokens)
        ax.set(ylim=(-0.08, 1.08), ylabel="P(liked)")
    axes[0].set_title("the verdict after each word")
    axes[2].set_xlabel("word by word")
    plt.show()

# %% [markdown]
# Now look inside. The gates are computed here from the weights that training found; each row is one of the 32
# units, sorted by how open its forget gate is on average.

# %%
with attempt():
    if "lstm" not in readers:
        raise NotImplementedError("SequenceClassifier: not started")
    model = readers["lstm"]
    table = next(module for module in model.modules() if isinstance(module, nn.Embedding))
    network = next(module for module in model.modules() if isinstance(module, nn.LSTM))
    text = "Critics said the film was dull, but I thought the film was never very good."
    tokens, ids = rn.tokenize(text), rn.encode(text, vocab)
    weights = [network.weight_ih_l0, network.weight_hh_l0, network.bias_ih_l0 + network.bias_hh_l0]
    Wx, Wh, bias = (weight.detach().double().numpy() for weight in weights)
    vectors = table(torch.tensor([ids])).detach().double().numpy()
    h, c = np.zeros((1, 32)), np.zeros((1, 32))
    kept, cells = [], []
    for t in range(len(ids)):
        forget_sums = (vectors[:, t] @ Wx.T + h @ Wh.T + bias)[0, 32:64]
        kept.append(1 / (1 + np.exp(-forget_sums)))
        h, c, _ = rn.lstm_step_forward(vectors[:, t], h, c, Wx, Wh, bias)
        cells.append(c[0])
    order = np.argsort(np.mean(kept, axis=0))
    figure, axes = plt.subplots(1, 2, figsize=(12.5, 4.2), sharey=True)
    for ax, values, title, colours, low, label in (
        (axes[0], kept, "forget gates", "depth", 0, "open"),
        (axes[1], cells, "cells", "between", -3, "cell"),
    ):
        shown = ax.imshow(
            np.array(values)[:, order].T, cmap=colours, vmin=low, vmax=1 if low == 0 else 3, aspect="auto"
        )
        ax.set_xticks(range(len(tokens)), tokens, rotation=60, ha="right")
        ax.set(title=f"{title} of the LSTM", xlabel="word by word")
        figure.colorbar(shown, ax=ax, label=label)
    axes[0].set_ylabel("unit, sorted")
    plt.show()

# %% [markdown]
# Rows that stay dark hold on to what they know through the whole sentence. Others go pale at "but" and at "I", where
# somebody else begins to speak: what the critics thought is wiped, for the label does not depend on it. Nobody told
# the network to do so.
#
# **Try to fool it.** Write a sentence of your own. Words that training never saw become `<unk>`: what happens if the
# only word that matters is one of them? What if both opinions are the writer's?


# %%
def read(text="I felt the music was not awful, yet people claimed the music was bad."):
    """Print the LSTM's verdict after each word."""
    tokens, sure = verdicts(text)
    known = [token if token in vocab.stoi else f"<{token}?>" for token in tokens]
    print("  ".join(f"{token} {share:.2f}" for token, share in zip(known, sure, strict=True)))


explore(read, text=str)

# %% [markdown]
# ## 6.8 What comes next?
#
# A series of numbers is a sentence too. To forecast it with a network takes ten lines; to know whether the
# forecast is any good takes care, for there are more ways to fool yourself here than anywhere else:
#
# * **The baseline.** "Tomorrow is like today" costs nothing. A model that does not beat it is worth nothing.
# * **The future.** The test part is the *end* of the series. Shuffle before you cut, scale with the mean of
#   everything, or let a window reach across the cut, and your model has seen the future.

# %% task="forecasting"
check("forecasting")

# %% [markdown]
# **The sun.** Every eleven years or so the sun has spots. Three hundred years of counting, and the last sixty to
# be forecast, each from the twenty-two years before it.

# %%
years, spots = sunspots()
with attempt():
    report = rn.backtest(spots, 60, 22, epochs=40, seed=0)
    naive = rn.naive_forecast(rn.make_windows(rn.time_split(spots, 60, context=22)[1], 22)[0])
    scaled = rn.mase(spots[-60:], report["forecast"], spots[:-60])
    figure, axes = plt.subplots(2, 1, figsize=(11.5, 5.2), height_ratios=[1, 1.3])
    axes[0].plot(years, spots, color=INK, lw=1.2)
    axes[0].axvspan(years[-60], years[-1], color=ORANGE, alpha=0.18, lw=0)
    axes[0].text(years[-62], 175, "to be forecast", color=ORANGE, va="top", ha="right")
    axes[0].set(title="sunspots", ylabel="mean number a year", xlim=(1700, 2009))
    axes[1].plot(years[-60:], spots[-60:], "o", color=INK, ms=4, label="what came")
    axes[1].plot(
        years[-60:],
        naive,
        color=GREY,
        lw=1.6,
        label=f"like last year: {report['naive_mae']:.1f} off on average",
    )
    axes[1].plot(years[-60:], report["forecast"], color=ORANGE, lw=2.2, label=f"LSTM: {report['mae']:.1f} off")
    axes[1].set(title=f"one year ahead: skill {report['skill']:.2f}, MASE {scaled:.2f}", xlabel="year",
                ylabel="mean number a year", xlim=(1948.5, 2008.5))  # fmt: skip
    axes[1].legend(loc="upper right")
    plt.show()

# %% [markdown]
# **The air.** Carbon dioxide over Mauna Loa rises, and breathes once a year. The same model, the same window of two
# years, the last ten years for the test; but one model gets the series as it is, and the other gets its change
# against the same month of the year before.

# %%
months, carbon = co2()
with attempt():
    n_test, season = 120, 12
    level = rn.backtest(carbon, n_test, 24, epochs=15, seed=0)
    change = carbon[season:] - carbon[:-season]
    yearly = rn.backtest(change, n_test, 24, epochs=15, seed=0)
    last_year = carbon[-n_test - season : -season]
    truth_now = carbon[-n_test:]
    found = {
        "like last month": (carbon[-n_test - 1 : -1], GREY),
        "like last year's month": (last_year, GREEN),
        "LSTM on the level": (level["forecast"], RED),
        "LSTM on the yearly change": (last_year + yearly["forecast"], ORANGE),
    }
    figure, axes = plt.subplots(1, 2, figsize=(12.5, 4), width_ratios=[1.7, 1])
    axes[0].plot(months, carbon, color=INK, lw=1.2, label="what came")
    for name in ("LSTM on the level", "LSTM on the yearly change"):
        forecast, colour = found[name]
        axes[0].plot(months[-n_test:], forecast, color=colour, lw=1.8, label=name)
    axes[0].axvline(months[-n_test], color=GREY, ls=":")
    axes[0].set(title="carbon dioxide over Mauna Loa", xlabel="year", ylabel="parts per million", xlim=(1982, 2002.2),
                xticks=range(1982, 2003, 4),
                ylim=(338, 376))  # fmt: skip
    axes[0].legend(loc="upper left")
    errors = [rn.mae(truth_now, forecast) for forecast, _ in found.values()]
    bars = axes[1].barh(list(found), errors, color=[colour for _, colour in found.values()])
    axes[1].bar_label(bars, fmt=" %.2f")
    axes[1].set(title="mean absolute error", xlabel="parts per million", xlim=(0, max(errors) * 1.18))
    axes[1].invert_yaxis()
    plt.show()

# %% [markdown]
# On the level the network fails, worse than the naive forecast: the test part is higher than anything that
# it ever saw, and a tanh can only bend flat out there. No number of epochs cures that. The change against
# last year, though, stays in the range that training knew. *What* you forecast matters more than with what.
#
# **Cutting the past off.** A series of a million steps does not fit into one backward pass. So it is read in
# chunks: the state goes on, the graph is cut by your `detach_state`. What does the gradient lose?


# %%
class InChunks(nn.Module):
    """An LSTM that lets go of its past every `size` steps."""

    def __init__(self, network, size):
        super().__init__()
        self.network, self.size, self.input_size = network, size, network.input_size

    def forward(self, x):
        state, outs = None, []
        for chunk in x.split(self.size, dim=1):
            out, state = self.network(chunk, rn.detach_state(state))
            outs.append(out)
        return torch.cat(outs, dim=1), state


with attempt():
    torch.manual_seed(0)
    network = nn.LSTM(8, 32, batch_first=True).double()
    with torch.no_grad():
        network.bias_ih_l0[32:64] = 3.0
    norms_of = {}
    for size in (100, 50, 20):
        torch.manual_seed(1)
        norms_of[size] = np.array(rn.gradient_norms_through_time(InChunks(network, size), 100))
    figure, ax = plt.subplots(figsize=(8.6, 3.3))
    for (size, norms), colour in zip(norms_of.items(), (BLUE, GREEN, ORANGE), strict=True):
        ax.plot(np.arange(-99, 1), norms, color=colour, lw=2.3, label=f"chunks of {size} steps")
    ax.set(
        title="truncated backpropagation through time",
        xlabel="steps before the loss",
        ylabel="length of the gradient",
    )
    ax.legend(loc="upper left")
    plt.show()

# %% [markdown]
# The state still carries *information* across the cuts; the network only cannot learn, from this loss, to
# put it there. A chunk should be longer than the longest dependency that you hope to learn.

# %% [markdown] question="honest_forecast" points=5
# **Question 2 (5 points).** "Our LSTM forecasts tomorrow's price with an error of only 1.3 %", says a
# report. Its method: scale the whole series to mean 0 and standard deviation 1; cut it into windows of 30
# days; shuffle the windows and keep 20 % of them for the test; train until the test error no longer falls;
# report the best test error. Name four faults, say for each of them in which direction it moves the reported
# error and why, and say how you would do it. Why is "1.3 %" meaningless even if all four are corrected,
# and which number would you ask for?

# %% [markdown]
# ## What you have now
#
# A network with a memory, by hand and with PyTorch; an eye for gradients that vanish, and the gates against
# it; a reader that is not fooled by "not"; and forecasts that you can defend. One thing is still odd:
# everything that the LSTM knows about a sentence must squeeze through one vector, the last state. What if it
# could look *back* at every word, and choose? That is attention, and it is where the next assignment begins.
