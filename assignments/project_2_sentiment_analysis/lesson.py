# %% [markdown]
# # Project 2: sentiment analysis
#
# *"Critics said the plot was dull, but for me the plot was not very funny."* Did the writer like the film? The sentence
# has a word of blame and a word of praise, and the answer is no. To find it, a reader must know **who** says what, and
# what the word *not* turns round. Counting words cannot do this. A network that reads the words in order can.
#
# You will build the whole project: from raw text with HTML in it to numbers; an honest baseline; a recurrent network
# and its training; an explanation of what the network looks at; a list of its worst mistakes; and one function
# that does it all and survives a stop.
#
# **How to work.** Your code goes into `sentiment_analysis.py`, beside this notebook. Each docstring says exactly what
# is wanted. Replace the line `raise NotImplementedError(...)`, then run the cells here. A cell with `check(...)` runs
# the public tests of one task. Hidden tests look further, at cases that the docstring also describes. Cells that draw
# something say "not started" while what they need is missing.
#
# | task | you write | points |
# |---|---|---|
# | P2.1 | from raw text to numbers | 10 |
# | P2.2 | a baseline that counts words | 8 |
# | P2.3 | a network that reads | 14 |
# | P2.4 | its training | 14 |
# | P2.5 | which word decides | 12 |
# | P2.6 | what goes wrong | 8 |
# | P2.7 | the whole project in one call | 24 |
# | | two written questions | 10 |

# %%
# %load_ext autoreload
# %autoreload 2
import json
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import Image, display

import sentiment_analysis as sa
from autograder import attempt, check
from dlcourse.data import sentiment
from dlcourse.figures import BLUE, GREEN, GREY, INK, ORANGE, RED, explore, use_style

use_style()

# %% [markdown]
# The texts come from a small grammar: 1,500 to learn from, 300 for validation, and 500 that nothing here sees in
# training. Each holds the opinion of the writer and that of somebody else. The label is the writer's. The third array
# says whether the writer's opinion is negated.

# %%
train_texts, train_labels, _ = sentiment(1500, seed=1)
val_texts, val_labels, _ = sentiment(300, seed=2)
test_texts, test_labels, negated = sentiment(500, seed=3)
for text, label in zip(test_texts[:4], test_labels[:4], strict=True):
    print("likes it:   " if label else "does not:   ", text)

# %% [markdown]
# To use real reviews, replace the cell above. `dlcourse.data.imdb` reads the 50,000 reviews of IMDB if you have the
# files; `folder` says where they are. Reviews have some hundred words, so a training takes minutes, not seconds:
#
# ```python
# from dlcourse.data import imdb
# texts, labels = imdb("train", folder="my/data", limit=3000)
# train_texts, train_labels, val_texts, val_labels = texts[:2500], labels[:2500], texts[2500:], labels[2500:]
# test_texts, test_labels = imdb("test", folder="my/data", limit=1000)
# negated = np.zeros(len(test_labels), dtype=bool)
# ```
#
# At the end, your own `run` reads all of them: `run(Config("my/data/aclImdb", "out"))`.

# %% [markdown]
# ## P2.1 From raw text to numbers
#
# Each step can lose the meaning. A list of "stop words" often holds *not*. A tokenizer that cuts at apostrophes turns
# *wasn't* into *wasn* and *t*. A line break of HTML glues two words together, or becomes the word *br*.
#
# **Task.** Write `clean`, `tokenize`, `Vocab`, `encode` and `pad_batch`.

# %% task="words"
check("words")

# %%
with attempt():
    raw = "It wasn&#39;t good.<br /><br />I &lt;3 the music, <b>not</b> the plot!"
    print("raw:    ", raw)
    print("clean:  ", sa.clean(raw))
    print("tokens: ", sa.tokenize(raw))
    vocab = sa.Vocab(2).fit(train_texts)
    print("ids:    ", sa.encode(raw, vocab), "  (1 is an unknown token)")

# %% [markdown]
# ## P2.2 A baseline that counts words
#
# Before you train a network, ask what the simplest reasonable method does. Here: count how often each word comes, and
# let a logistic regression give each word a weight. On real reviews this is hard to beat, because most of them say
# what they mean many times. Here it must fail: each sentence has one word of praise and one of blame.
#
# **Task.** Write `bag_of_words_baseline`.

# %% task="baseline"
check("baseline")

# %% [markdown]
# *Guess first:* what share of the unseen sentences does the baseline get right? And of those in which the writer's
# opinion is negated? And with easy sentences, in which only the writer speaks and nobody negates anything?


# %%
def easy(n, seed):
    """Sentences in which nobody negates anything, and only the writer speaks."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, size=n)
    words = (("bad", "awful", "dull", "boring", "clumsy"), ("good", "great", "moving", "funny", "clever"))
    return [f"I thought the film was {rng.choice(words[label])}." for label in labels], labels


with attempt():
    unseen, truth = easy(300, 2)
    plain = (sa.bag_of_words_baseline(easy(300, 1), unseen) > 0.5) == (truth == 1)
    counted = (sa.bag_of_words_baseline((train_texts, train_labels), test_texts) > 0.5) == (test_labels == 1)
    found = {
        "easy sentences": plain.mean(),
        "two opinions, all": counted.mean(),
        "two opinions, the writer's is not negated": counted[~negated].mean(),
        "two opinions, the writer's is negated": counted[negated].mean(),
    }
    figure, axes = plt.subplots(figsize=(7.4, 2.4))
    bars = axes.barh(list(found), list(found.values()), color=[GREEN, ORANGE, ORANGE, ORANGE])
    axes.bar_label(bars, fmt="%.2f", label_type="center", color="white")
    axes.axvline(0.5, color=INK, linestyle=":", label="a coin")
    axes.invert_yaxis()
    axes.set(xlabel="accuracy on unseen sentences", xlim=(0, 1.1), title="A bag of words")
    figure.legend(loc="outside lower right")
    plt.show()

# %% [markdown]
# ## P2.3 A network that reads
#
# An embedding gives each token a vector. A recurrent layer reads the vectors in order. Its state after the *last token
# of each text* goes into a linear layer. The one difficulty is padding: in a batch, short texts end with zeros, and the
# last column is no longer the last word.
#
# **Task.** Write `SentimentLSTM`.

# %% task="network"
check("network")

# %% [markdown]
# Padding must not change a score. This figure adds more and more zeros to one sentence. For comparison, it shows what
# happens if the same network reads the zeros as well.

# %%
with attempt():
    torch.manual_seed(0)
    fresh = sa.SentimentLSTM(80, 16, 32).eval()
    ids, lengths = sa.pad_batch([[5, 9, 4, 12, 30, 7]])
    amounts = range(0, 25, 2)
    right, wrong = [], []
    with torch.no_grad():
        for amount in amounts:
            padded = torch.nn.functional.pad(ids, (0, amount))
            right.append(float(fresh(padded, lengths)[0]))
            wrong.append(float(fresh(padded, lengths + amount)[0]))
    figure, axes = plt.subplots(figsize=(6.6, 2.8))
    axes.plot(amounts, right, "o-", color=BLUE, markersize=4, label="reads its own tokens")
    axes.plot(amounts, wrong, "o-", color=RED, markersize=4, label="reads the zeros too")
    axes.set(xlabel="zeros after the text", ylabel="score", title="One sentence, one network, more and more padding")
    axes.legend()
    plt.show()

# %% [markdown]
# ## P2.4 Training
#
# Two things keep this training safe. Gradients through many steps can become long, and one long step can destroy what
# was learned: so they are cut to a length of `clip`. And the last epoch is not always the best one: so the weights of
# the best epoch are kept, by a loss on sentences that are not trained on.
#
# **Task.** Write `train` and `predict_scores`. `train` can be stopped, and goes on exactly where it was.

# %% task="training"
check("training")

# %%
model = None
with attempt():
    vocab = sa.Vocab().fit(train_texts)
    sequences, val_sequences, test_sequences = (
        [sa.encode(text, vocab) for text in texts] for texts in (train_texts, val_texts, test_texts)
    )
    torch.manual_seed(0)
    fresh = sa.SentimentLSTM(len(vocab), 16, 32)
    data = (sequences, train_labels), (val_sequences, val_labels)
    history = sa.train(fresh, data, sa.Config("", "", epochs=8), np.random.default_rng(0))
    model = fresh
    losses = np.array(history)
    epochs = np.arange(1, len(losses) + 1)
    right = (sa.predict_scores(model, test_sequences) > 0) == (test_labels == 1)
    figure, axes = plt.subplots(figsize=(6.6, 3.2))
    axes.plot(epochs, losses[:, 0], "o-", color=BLUE, markersize=4, label="training")
    axes.plot(epochs, losses[:, 1], "o-", color=ORANGE, markersize=4, label="validation")
    axes.axhline(np.log(2), color=GREY, linestyle="--", label="a coin")
    axes.plot(
        epochs[losses[:, 1].argmin()], losses[:, 1].min(), "*", color=INK, markersize=13, label="kept", clip_on=False
    )
    axes.set(xlabel="epoch", ylabel="loss", ylim=(0, None), title="A network learns who says what")
    axes.legend()
    plt.show()
    print(f"unseen sentences: {right.mean():.3f} are right; negated ones: {right[negated].mean():.3f}")

# %% [markdown]
# ## P2.5 Which word decides?
#
# A network that is right for a wrong reason fails later. Occlusion asks a simple question: what happens to the score if
# a word is not there?
#
# **Task.** Write `occlusion_importance`.

# %% task="importance"
check("importance")

# %% [markdown]
# Blue words support what the network says, orange words speak against it. Type a sentence of your own: turn *not*
# round, exchange the two opinions, repeat a word. Which word decides?


# %%
def draw_importance(text="Critics said the plot was dull, but for me the plot was not very funny."):
    """The importance of each token of a text."""
    if model is None:
        raise NotImplementedError("train: not started")
    tokens = sa.tokenize(text) or ["<unk>"]
    importance = sa.occlusion_importance(model, vocab, tokens)
    score = float(sa.predict_scores(model, [[vocab.stoi.get(token, 1) for token in tokens]])[0])
    figure, axes = plt.subplots(figsize=(6.6, 1.2 + 0.22 * len(tokens)))
    axes.barh(range(len(tokens)), importance, color=[BLUE if value > 0 else ORANGE for value in importance])
    axes.axvline(abs(score), color=INK, linestyle=":", label="beyond this line, the prediction changes")
    axes.set(xlabel="importance", yticks=range(len(tokens)), yticklabels=tokens)
    axes.set_title(f"The network says: {'likes it' if score > 0 else 'does not like it'} (score {score:.1f})")
    axes.invert_yaxis()
    figure.legend(loc="outside lower center")
    plt.show()


explore(draw_importance, text=str)

# %% [markdown]
# **Is the explanation true?** Test it: remove the most important word of each sentence, and, for comparison, a random
# one. If the explanation says something about the network, the first changes far more predictions. And which words are
# the most important ones?

# %%
with attempt():
    if model is None:
        raise NotImplementedError("train: not started")
    rng = np.random.default_rng(0)
    flips, top = {"the most important word": 0, "a random word": 0}, {}
    for text in test_texts[:200]:
        tokens = sa.tokenize(text)
        importance = sa.occlusion_importance(model, vocab, tokens)
        best = int(np.argmax(importance))
        top[tokens[best]] = top.get(tokens[best], 0) + 1
        score = float(sa.predict_scores(model, [sa.encode(text, vocab)])[0])
        for name, place in (("the most important word", best), ("a random word", int(rng.integers(len(tokens))))):
            flips[name] += bool(importance[place] > abs(score))
    first = dict(sorted(top.items(), key=lambda item: -item[1])[:8])
    figure, (axes, beside) = plt.subplots(1, 2, figsize=(9, 2.8))
    bars = axes.barh(list(flips), [count / 200 for count in flips.values()], color=[BLUE, GREY])
    axes.bar_label(bars, fmt="%.2f", padding=3)
    axes.invert_yaxis()
    axes.set(xlabel="share of predictions that change", xlim=(0, 1.15), title="Remove ...")
    beside.barh(list(first), list(first.values()), color=BLUE)
    beside.invert_yaxis()
    beside.set(xlabel="sentences out of 200", title="The most important word is ...")
    plt.show()

# %% [markdown]
# Did you expect a word such as *was* among them? It says nothing about the film. But without it, the sentence is of a
# kind that the network has never read, and then its score may be anything. So an importance tells what the network
# does with a sentence that nobody writes. Keep this in mind for question 2.
#
# A gradient is another way to explain: how fast does the score change with the embedding of a word? It needs one
# backward pass instead of one forward pass for each word. You are free to try it, and question 2 asks you to compare.
#
# ## P2.6 What goes wrong?
#
# One number says how often a network is wrong. A table of its *surest* mistakes says how. They are worth reading: a
# label may be wrong, a word unknown, or a kind of sentence missing from the training.
#
# **Task.** Write `error_table`.

# %% task="errors"
check("errors")

# %% [markdown]
# The network has learned its grammar. So give it sentences of another kind: with a double negation, or with a third
# opinion, or with words that it does not know. Which ones fail, and how sure is the network of them?

# %%
STRANGE = [
    ("For me the film was not never good.", 1, "double negation"),
    ("I felt the plot was good.", 1, "one opinion"),
    (
        "I thought the cast was not bad, and the music was not bad, but critics said the story was awful.",
        1,
        "three opinions",
    ),
    ("I felt the story was terrific, but critics said the story was bad.", 1, "unknown word"),
    ("Critics said the story was good, and they were wrong.", 0, "disagreement"),
    ("For me the acting was hardly good, but critics said the acting was dull.", 0, "unknown negation"),
    ("Nobody could say that I found the ending dull.", 1, "unknown negation"),
    ("I found the music was great, while people claimed the music was weak.", 1, "as learned"),
]
with attempt():
    if model is None:
        raise NotImplementedError("train: not started")
    strange = [sa.encode(text, vocab) for text, _, _ in STRANGE]
    truth = np.array([label for _, label, _ in STRANGE])
    rows = sa.error_table(model, (strange, truth))
    print(f"{len(rows)} of {len(STRANGE)} sentences are wrong; the surest mistake first:")
    for row, label, score, length in rows:
        kind = STRANGE[row][2]
        print(f"  score {score:6.1f}, label {label}, {length:2} tokens, {kind}: {STRANGE[row][0]}")

# %% [markdown]
# ## P2.7 The whole project in one call
#
# `run` takes a config and goes from raw texts (a file, or a folder of reviews as IMDB's are published) to numbers,
# pictures and a model, and `predict` uses what it left. The same config gives the same result; a faulty config is
# refused in a sentence; and a run that was stopped goes on.
#
# A judge runs your default config on data that you have not seen, of two kinds. The second kind is harder: longer
# sentences, rare words, and some wrong labels. A network that only just works gets a part of the points, and a better
# one gets more. So do not fit your choices to one set of test texts. When some labels are wrong, which epoch is best?
#
# **Task.** Write `check_config`, `run` and `predict`.

# %% task="run"
check("run")

# %%
with attempt():
    folder = Path(tempfile.mkdtemp())
    pairs = {
        "train": [[text, int(label)] for text, label in zip(train_texts, train_labels, strict=True)],
        "test": [[text, int(label)] for text, label in zip(test_texts, test_labels, strict=True)],
    }
    (folder / "texts.json").write_text(json.dumps(pairs))
    config = sa.Config(str(folder / "texts.json"), str(folder / "out"))
    results = sa.run(config)
    print(results)
    print(sa.predict(folder / "out", ["I found the film was good, but critics said the film was bad."]))
    display(Image(folder / "out" / "training.png"))
    display(Image(folder / "out" / "importance.png"))

# %% [markdown]
# *Guess first:* how many sentences does the network need until it understands the grammar? The baseline never does.

# %%
with attempt():
    counts, by_network, by_words = (100, 400, 800, 1500), [], []
    for count in counts:
        part = {"train": pairs["train"][:count], "test": pairs["test"]}
        (folder / f"{count}.json").write_text(json.dumps(part))
        few = sa.run(sa.Config(str(folder / f"{count}.json"), str(folder / f"out{count}")))
        by_network.append(few.accuracy)
        by_words.append(few.baseline_accuracy)
    figure, axes = plt.subplots(figsize=(6.6, 3))
    axes.plot(counts, by_network, "o-", color=BLUE, label="network")
    axes.plot(counts, by_words, "o-", color=ORANGE, label="bag of words")
    axes.axhline(0.5, color=GREY, linestyle="--", label="a coin")
    axes.set(xlabel="training sentences", ylabel="accuracy on unseen sentences", xscale="log", ylim=(0.35, 1.05))
    axes.set(xticks=counts, xticklabels=[str(count) for count in counts], title="Order must be learned")
    axes.minorticks_off()
    axes.legend()
    plt.show()

# %% [markdown]
# ## Two questions

# %% [markdown] question="choices" points=5
# **Question 1 (5 points).** Name three choices of your project (of the tokens, the network, its training or the config)
# that you made yourself. For each, say which alternative you tried or considered, which measurement on which texts
# decided, and what you would choose differently for real reviews of several hundred words. One of the three must be a
# choice that you would not make again.

# %% [markdown] question="explanations" points=5
# **Question 2 (5 points).** Occlusion removes one word at a time. Give a sentence in which the importances mislead a
# reader, and explain why. Then compare with another method (the gradient of the score with respect to the embeddings,
# or the weights of an attention layer): what does each one measure, what does it cost, and how would you test whether
# one of them describes the network better? A figure or a small table of your own is welcome.

# %% [markdown]
# ## Where to go from here
#
# Real reviews have hundreds of words, and most of them say nothing. An attention layer over the states can pick those
# that matter (assignment 7). A pretrained network already knows what *terrific* means.
