"""Project 2, sentiment analysis: does the writer of a text like what the text is about?

From a file of raw texts to a finished result: clean words, a baseline that counts them, a network that reads them in
order, its training, an explanation of what it does, a list of its worst mistakes, and one function `run` that does it
all.

A text is a string. A sequence is the list of the ids of its tokens. A label is 1 if the writer likes it, else 0. A
score is any real number: above 0 it means label 1, otherwise label 0, and the farther from 0, the surer.

Rules for the whole file:
    * no function changes its arguments, except where its docstring says so (`train` trains the model that it gets, and
      draws from the rng that it gets).
    * a "model" is any nn.Module with forward(ids, lengths) -> scores, as SentimentLSTM has it. Functions that only use
      a model (predict_scores, occlusion_importance, error_table) use it in eval mode and without gradients, and leave
      each of its layers in the mode in which it was.
    * where several things are returned, a tuple or a list will do.
    * functions that train may set torch's global seed.
"""

from __future__ import annotations

import html
import json
import math
import os
import re
from collections import Counter
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Config:
    """All that a run depends on (this class is complete; you may choose other defaults below `out`).

    Attributes:
        data: path of the texts, a file or a folder.
            A JSON file, in UTF-8: an object with two keys, "train" and "test". Each holds a list of at least two pairs
            [text, label], a string and 0 or 1. Further keys do not count.
            A folder, as IMDB's reviews are published (aclImdb): it has the folders train/neg, train/pos, test/neg and
            test/pos. Each file *.txt in them is one text, in UTF-8, and each of them has at least one. The label is 1
            in pos and 0 in neg. All other files and folders do not count, among them train/unsup
        out: path of the folder for everything that a run writes; it is made if it is not there
        min_freq: a token that comes less often than this in the training texts is unknown, int, 1 or above
        emb, hidden: numbers in an embedding and in the state of the network, int from 1 to 128
        epochs, batch_size: int, 1 or above
        lr: largest learning rate, float above 0
        clip: longest gradient, float above 0
        held_out: share of the training texts that are kept for validation, above 0 and at most 0.5
        seed: int, 0 or above
    """

    data: str
    out: str
    min_freq: int = 1
    emb: int = 16
    hidden: int = 40
    epochs: int = 14
    batch_size: int = 32
    lr: float = 0.01
    clip: float = 1.0
    held_out: float = 0.1
    seed: int = 0


# ------------------------------------------------------------------------------------------------------------
# P2.1  From raw text to numbers
# ------------------------------------------------------------------------------------------------------------

PAD, UNK = "<pad>", "<unk>"  # their ids are 0 and 1, always


def clean(text):
    """Remove what a web page adds to a text, and nothing that the writer wrote.

    1. Each tag becomes a space. A tag begins with "<" and a letter from a to z or A to Z, or with "</" and such a
       letter, and ends with the next ">". Other "<" stay: "<3" and "a < b" are no tags, nor is "<i" without ">".
    2. Then each HTML entity becomes its character, as html.unescape does it: "&amp;" becomes "&". What comes out is
       not read again: "&lt;br&gt;" becomes the text "<br>", which stays, and "&amp;lt;" becomes "&lt;".
    3. Each run of white space (str.isspace) becomes one space, and there is none at either end.

    Case, punctuation and all words stay as they are: "NOT" and "!" say something.

    Args:
        text: a string, may be empty

    Returns:
        a string
    """
    ### BEGIN SOLUTION
    without_tags = re.sub(r"</?[a-zA-Z][^>]*>", " ", text)
    return " ".join(html.unescape(without_tags).split())
    ### END SOLUTION


def tokenize(text):
    """Clean a text (see `clean`), and cut it into tokens, all of them, in order.

    * The text is put into lower case, as str.lower does.
    * A word is a run of letters and digits (of any language), as long as possible. Single apostrophes *inside* a word
      belong to it: "don't" is one token. Apostrophes at its ends do not: "'fine'" gives "fine". The typographic
      apostrophe (U+2019) counts as "'" and comes out as "'".
    * "!" and "?" are tokens of their own, each sign one token.
    * Everything else (blanks, other punctuation, hyphens, underscores) only separates.

    No word is left out, however small: "not" may turn the meaning of a sentence round.

    Args:
        text: a string, may be empty

    Returns:
        the tokens, a list of str
    """
    ### BEGIN SOLUTION
    text = clean(text).lower().replace("\u2019", "'")
    return re.findall(r"[^\W_]+(?:'[^\W_]+)*|[!?]", text)
    ### END SOLUTION


class Vocab:
    """A vocabulary: which token has which id.

    Attributes:
        itos: list of str, the token of every id: itos[0] is "<pad>", itos[1] is "<unk>", then the known tokens
        stoi: dict from token to id, the inverse of itos
    """

    def __init__(self, min_freq=1):
        """Begin with "<pad>" and "<unk>" alone.

        Args:
            min_freq: a token that comes less often than this in the texts of `fit` is not known, int, 1 or above
        """
        ### BEGIN SOLUTION
        self.min_freq = min_freq
        self._set([])
        ### END SOLUTION

    ### BEGIN SOLUTION
    def _set(self, known):
        self.itos = [PAD, UNK, *known]
        self.stoi = {token: number for number, token in enumerate(self.itos)}

    ### END SOLUTION

    def fit(self, texts):
        """Learn the tokens of some texts, and forget those of an earlier fit.

        Known is every token that comes at least min_freq times in all texts together. Ids go by frequency, the most
        frequent token first, from 2 on; of tokens that come equally often, the one that sorts first as a str is first.

        Args:
            texts: a list of strings, which `tokenize` cuts

        Returns:
            the vocabulary itself
        """
        ### BEGIN SOLUTION
        counts = Counter(token for text in texts for token in tokenize(text))
        frequent = [token for token, count in counts.items() if count >= self.min_freq]
        self._set(sorted(frequent, key=lambda token: (-counts[token], token)))
        return self
        ### END SOLUTION

    def __len__(self):
        """Return the number of ids, the two special ones included."""
        ### BEGIN SOLUTION
        return len(self.itos)
        ### END SOLUTION


def encode(text, vocab):
    """Return the ids of the tokens of a text, one for each; those that the vocabulary does not know become 1.

    Args:
        text: a string, may be empty
        vocab: a Vocab, which does not change

    Returns:
        a list of int, as long as tokenize(text)
    """
    ### BEGIN SOLUTION
    return [vocab.stoi.get(token, 1) for token in tokenize(text)]
    ### END SOLUTION


def pad_batch(sequences):
    """Put sequences of several lengths into one rectangle: each begins in column 0, and zeros fill its end.

    Args:
        sequences: a list of N lists of int, N at least 1; T is the length of the longest. A list may be empty

    Returns:
        ids: (N, T) torch.int64, 0 after the end of a sequence
        lengths: (N,) torch.int64, the length of every sequence
    """
    ### BEGIN SOLUTION
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    ids = torch.zeros(len(sequences), int(lengths.max()), dtype=torch.int64)
    for row, sequence in zip(ids, sequences, strict=True):
        row[: len(sequence)] = torch.tensor(sequence)
    return ids, lengths
    ### END SOLUTION


# ------------------------------------------------------------------------------------------------------------
# P2.2  A baseline
# ------------------------------------------------------------------------------------------------------------


def bag_of_words_baseline(train, test):
    """Predict labels from how often each word comes, without its place: a logistic regression on counts.

    Each text becomes a row x: for each token that comes in the training texts, how often it comes in this text. Other
    tokens do not count. The probability of label 1 is p(x) = 1 / (1 + exp(-(w @ x + b))). Of all w and b, take those
    that make this sum smallest (it has one smallest value; Newton's method finds it in a few steps, and so does
    torch.optim.LBFGS):

        - sum over the training texts of log(probability of the label of the text)  +  0.5 * (w @ w)

    The bias b is not in the penalty. The result must be within 1e-3 of the exact one. With 200 texts and 60 tokens,
    more than 5 CPU seconds are too slow. Real reviews have many different words: 150 texts with 25,000 tokens must fit
    into memory as well. A table of 25,000 x 25,000 numbers takes 5 GB and does not.

    Args:
        train: a pair: a list of texts, and their labels, (N,) int64, with at least one 0 and one 1
        test: a list of M texts, M at least 1

    Returns:
        the probability of label 1 for each text of `test`, (M,) float, a NumPy array
    """
    ### BEGIN SOLUTION
    texts, labels = train
    vocab = Vocab().fit(texts)
    targets = torch.tensor(labels, dtype=torch.float64)
    weight = torch.zeros(len(vocab), 1, dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=1000, line_search_fn="strong_wolfe")
    ids, starts = _bags(texts, vocab)

    def scores(ids, starts):  # a sum of weights, one for each token: w @ x without the zeros of x
        return F.embedding_bag(ids, weight, starts, mode="sum")[:, 0] + bias

    def total():
        optimizer.zero_grad()
        loss = F.binary_cross_entropy_with_logits(scores(ids, starts), targets, reduction="sum")
        loss = loss + 0.5 * (weight**2).sum()
        loss.backward()
        return loss

    optimizer.step(total)
    with torch.no_grad():
        return torch.sigmoid(scores(*_bags(test, vocab))).numpy()
    ### END SOLUTION


### BEGIN SOLUTION
def _bags(texts, vocab):
    """Return the ids of all texts in one row, and where each text begins; the weight of "<unk>" stays zero."""
    bags = [torch.tensor(encode(text, vocab), dtype=torch.int64) for text in texts]
    lengths = torch.tensor([len(bag) for bag in bags])
    return torch.cat(bags), lengths.cumsum(0) - lengths


### END SOLUTION
# ------------------------------------------------------------------------------------------------------------
# P2.3  A network that reads
# ------------------------------------------------------------------------------------------------------------


class SentimentLSTM(nn.Module):
    """Embedding -> LSTM or GRU -> one score.

    * An nn.Embedding of `vocab_size` rows of `emb` numbers. Row 0 belongs to the padding: it is zero, and an optimiser
      that gets all parameters never moves it.
    * An nn.LSTM or nn.GRU of `hidden` units reads the embeddings in order. One direction or two, and dropout or none,
      is your choice.
    * An nn.Linear makes one score of what was read. All tokens of a text have an effect on it, and so has their order:
      a long text is read to its end.
    * The padding after a text and the other texts of a batch change nothing (beyond 1e-6), in eval mode. The texts of
      a batch may come in any order of their lengths.
    * At most 250,000 parameters with vocab_size=1,000, emb=64 and hidden=64.
    * All random numbers come from torch's global generator.

    Args:
        vocab_size: number of ids, int
        emb: numbers in an embedding, int
        hidden: units of state, int
    """

    def __init__(self, vocab_size, emb, hidden):
        ### BEGIN SOLUTION
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, emb, padding_idx=0)
        self.reader = nn.GRU(emb, hidden, batch_first=True)  # learns sooner than an LSTM here
        self.drop = nn.Dropout(0.3)
        self.head = nn.Linear(hidden, 1)
        ### END SOLUTION

    def forward(self, ids, lengths):
        """Score a batch of texts.

        Args:
            ids: (N, T) int64, 0 after the end of a text, as pad_batch gives it, or with more padding; N at least 1
            lengths: (N,) int64, the number of tokens of each text, at least 1

        Returns:
            scores, (N,) float32
        """
        ### BEGIN SOLUTION
        vectors = self.drop(self.embedding(ids))  # (N, T, emb)
        packed = nn.utils.rnn.pack_padded_sequence(vectors, lengths, batch_first=True, enforce_sorted=False)
        _, state = self.reader(packed)  # (1, N, hidden): the state after the last token of each text
        return self.head(self.drop(state[-1]))[:, 0]
        ### END SOLUTION


# ------------------------------------------------------------------------------------------------------------
# P2.4  Training
# ------------------------------------------------------------------------------------------------------------

### BEGIN SOLUTION


@contextmanager
def _used(model):
    """Put a model in eval mode without gradients, and each layer back afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes:
            module.training = mode


### END SOLUTION


def predict_scores(model, sequences):
    """Return the score of each sequence, computed in eval mode and without gradients.

    Args:
        model: a model, see the top of the file; it gets ids and lengths as pad_batch gives them
        sequences: a list of N lists of ids, N at least 1, none of them empty

    Returns:
        (N,) float, a NumPy array
    """
    ### BEGIN SOLUTION
    with _used(model):
        parts = [sequences[start : start + 256] for start in range(0, len(sequences), 256)]
        return np.concatenate([model(*pad_batch(part)).numpy() for part in parts])
    ### END SOLUTION


def train(model, data, config, rng, checkpoint=None):
    """Train a model, in place, and leave it as it was after its best epoch.

    * In each of config.epochs epochs each training sequence is used once, in a new random order, in batches of
      config.batch_size; the last one may be smaller. Within a batch the order is free.
    * model(ids, lengths) is called once for each batch, in training mode. The loss is the mean binary cross-entropy of
      scores and labels (F.binary_cross_entropy_with_logits), and each step uses the gradient of its own batch alone.
    * Between the backward pass and the step of the optimiser, gradients are clipped: if the length of all gradients
      together is above config.clip, all are multiplied by config.clip / length.
    * The optimiser is your choice, of torch.optim. The learning rate may follow a schedule: it is never above
      config.lr, and at some step it is at least half of it.
    * After each epoch the loss on the validation sequences is measured in eval mode. At the end all parameters and
      buffers are those after the epoch with the smallest validation loss (the first one of equals), and the model is in
      eval mode.
    * The same model, arguments and state of the rng give the same weights and history, whatever torch's and NumPy's
      global random states are, for a model with dropout too. Another seed of the rng gives another order.

    With a checkpoint, the file of this name is written after each epoch. If the file is there already, `train` was
    stopped before: it takes the state from the file and goes on with the next epoch. Weights and history are then
    exactly those of a training that was not stopped. If all epochs are done, nothing is trained. A caller uses the
    same arguments, a new rng with the same seed, and a model of the same class, each time.

    Args:
        model: a model, changed in place
        data: two pairs, for training and for validation: a list of sequences, none of them empty, and their labels,
            (N,) int64
        config: a Config, of which only epochs, batch_size, lr and clip are used
        rng: np.random.Generator; all random numbers come from it
        checkpoint: None, or the path of a file

    Returns:
        history, a list with a pair of floats for each epoch: the mean loss of the training sequences, as it was during
        the epoch, and the mean loss of the validation sequences after it
    """
    ### BEGIN SOLUTION
    (sequences, labels), (val_sequences, val_labels) = data
    targets = torch.tensor(labels, dtype=torch.float32)
    optimizer = torch.optim.Adam(model.parameters(), lr=config.lr)
    history, best = [], None
    if checkpoint is not None and os.path.exists(checkpoint):
        kept = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(kept["model"])
        optimizer.load_state_dict(kept["optimizer"])
        history, best = kept["history"], kept["best"]
        rng.bit_generator.state = json.loads(kept["rng"])
    for epoch in range(len(history), config.epochs):
        torch.manual_seed(int(rng.integers(2**31)))  # for dropout
        model.train()
        total = 0.0
        for group in optimizer.param_groups:  # a whole number of epochs at the full rate, then less
            group["lr"] = config.lr * min(1.0, 2 * (1 - epoch / config.epochs))
        for start in range(0, len(sequences), config.batch_size):
            if start == 0:
                order = rng.permutation(len(sequences))
            chosen = order[start : start + config.batch_size]
            ids, lengths = pad_batch([sequences[number] for number in chosen])
            loss = F.binary_cross_entropy_with_logits(model(ids, lengths), targets[chosen])
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), config.clip)
            optimizer.step()
            total += loss.item() * len(chosen)
        val_loss = _mean_loss(predict_scores(model, val_sequences), val_labels)
        if best is None or val_loss < min(loss for _, loss in history):
            best = {name: value.clone() for name, value in model.state_dict().items()}
        history.append((total / len(sequences), val_loss))
        if checkpoint is not None:
            kept = {
                "model": model.state_dict(),
                "optimizer": optimizer.state_dict(),
                "best": best,
                "history": history,
                "rng": json.dumps(rng.bit_generator.state),
            }
            torch.save(kept, f"{checkpoint}.part")
            os.replace(f"{checkpoint}.part", checkpoint)  # a stop while writing leaves the old file
    model.load_state_dict(best)
    model.eval()
    return history
    ### END SOLUTION


### BEGIN SOLUTION
def _mean_loss(scores, labels):
    """Return the mean binary cross-entropy, a float."""
    targets = torch.tensor(labels, dtype=torch.float64)
    return float(F.binary_cross_entropy_with_logits(torch.from_numpy(scores).double(), targets))


### END SOLUTION
# ------------------------------------------------------------------------------------------------------------
# P2.5  Which word decides?
# ------------------------------------------------------------------------------------------------------------


def occlusion_importance(model, vocab, tokens):
    """Say how much each token of a text supports what the model says about it.

    Take the token at one place away, so that those after it move up, and look at the score again. For a predicted
    label of 1, the importance is (score of the text) - (score without the token). For a predicted label of 0, it is the
    negative of that. So a positive importance means that the model is less sure without the token, and an importance
    above |score of the text| means that the prediction changes. A text of one token cannot lose it: there, "<unk>"
    takes its place.

    Tokens that the vocabulary does not know have the id 1. The importances do not add up to the score, because words
    work together.

    Args:
        model: a model
        vocab: a Vocab
        tokens: a list of str as tokenize gives it, at least one; the same token may come several times

    Returns:
        one importance for each place, (len(tokens),) float, a NumPy array
    """
    ### BEGIN SOLUTION
    ids = [vocab.stoi.get(token, 1) for token in tokens]
    without = [ids[:place] + ids[place + 1 :] or [1] for place in range(len(ids))]
    scores = predict_scores(model, [ids, *without])
    sign = 1.0 if scores[0] > 0 else -1.0
    return sign * (scores[0] - scores[1:])
    ### END SOLUTION


# ------------------------------------------------------------------------------------------------------------
# P2.6  What goes wrong?
# ------------------------------------------------------------------------------------------------------------


def error_table(model, data):
    """List the sequences that a model gets wrong, the surest mistake first.

    How sure a model is, is |score|. (Do not compare probabilities: those of the scores 40 and 50 are both 1.0.) Of
    mistakes that are equally sure, the one with the smaller index comes first.

    Args:
        model: a model
        data: a pair: a list of sequences, none of them empty, and their labels, (N,) int64

    Returns:
        a list with a row for each mistake: (index in data, label, score, number of tokens); int, int, float, int. It is
        empty if there is no mistake
    """
    ### BEGIN SOLUTION
    sequences, labels = data
    scores = predict_scores(model, sequences)
    wrong = np.flatnonzero((scores > 0) != (labels == 1))
    surest = wrong[np.argsort(-np.abs(scores[wrong]), kind="stable")]
    return [(int(row), int(labels[row]), float(scores[row]), len(sequences[row])) for row in surest]
    ### END SOLUTION


# ------------------------------------------------------------------------------------------------------------
# P2.7  The whole project in one call
# ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Results:
    """The numbers of a run (this class is complete).

    Attributes:
        accuracy: share of the test texts that the network gets right
        baseline_accuracy: the same of bag_of_words_baseline, which learns from all training texts; a probability above
            0.5 means label 1
        vocab_size: len(vocab)
        parameters: number of parameters of the network
        mistakes: number of test texts that the network gets wrong
    """

    accuracy: float
    baseline_accuracy: float
    vocab_size: int
    parameters: int
    mistakes: int


def check_config(config):
    """Raise a ValueError, with a sentence that names the field, for the first field whose value is not allowed.

    The docstring of Config says what is allowed. Beyond that: `data` must be the path of a file or folder that exists,
    and `out` must not be the path of a file. For an int field True, 3.0 and "3" are not allowed. For a float field an
    int in the range is allowed, and True, "3", nan and infinity are not. One sentence may report several faulty fields,
    or one.

    Args:
        config: a Config

    Returns:
        None
    """
    ### BEGIN SOLUTION
    if not isinstance(config.data, (str, os.PathLike)) or not os.path.exists(config.data):
        raise ValueError(f"data: there is no {config.data!r}; give the path of a JSON file, or of a folder of reviews")
    if not isinstance(config.out, (str, os.PathLike)) or os.path.isfile(config.out):
        raise ValueError(f"out: {config.out!r} is no folder; give the path of a folder")
    lowest = {"min_freq": 1, "emb": 1, "hidden": 1, "epochs": 1, "batch_size": 1, "seed": 0}
    highest = {"emb": 128, "hidden": 128}
    for name, low in lowest.items():
        value = getattr(config, name)
        if type(value) is not int or not low <= value <= highest.get(name, math.inf):
            raise ValueError(f"{name}: {value!r} is not allowed; give a whole number in the range of Config")
    for name, high in {"lr": math.inf, "clip": math.inf, "held_out": 0.5}.items():
        value = getattr(config, name)
        if type(value) not in (int, float) or not (0 < value <= high and math.isfinite(value)):
            raise ValueError(f"{name}: {value!r} is not allowed; give a number above 0 in the range of Config")
    ### END SOLUTION


def run(config):
    """Go from a file of raw texts to numbers, pictures and a saved model.

    1. Check the config (check_config). If the file or folder of `data` is not as Config says (no JSON, no object, a
       key is missing, a pair has another form or type; a folder is missing or empty, a text is no UTF-8), raise a
       ValueError that names `data`, before `out` is made.
    2. Draw config.held_out of the training texts, rounded to a whole number and at least one, for validation. The
       vocabulary comes from the other training texts, with config.min_freq. A text without any token is read as one
       "<unk>".
    3. Train a SentimentLSTM with config's sizes on the other training texts.
    4. Measure on the test texts: see Results. They are used for nothing else.
    5. Write into the folder `out`, and nowhere else:
           model.pt         the state_dict of the network, by torch.save
           vocab.json       the list itos of the vocabulary
           results.json     an object with the attributes of Results as keys
           errors.json      for each row of error_table on the test texts, in its order, an object with the keys "text"
                            (as it was in the file), "label" and "score"
           training.png     both losses of the history over the epochs
           importance.png   the importance of each token of one test text of your choice
       Further files are allowed.

    The same config gives the same Results and model, whatever the global random states are and whatever the folder is
    called. If a run was stopped at any point, even while it wrote a file, a second run with the same config goes on:
    epochs that are done are not trained again (one whose files were not whole yet may be), and Results and files are
    the same as without the stop. If the run is complete, nothing is trained and the Results are the same. A folder may
    hold the files of a run with another config. They are not used, and those named above are replaced.

    The default config learns the sentences of dlcourse.data.sentiment from 2,000 of them: 0.97 of unseen ones are
    right, and 0.95 of those in which the writer's opinion is negated. A judge also tries 2,000 sentences of a grammar
    that you do not know. They are longer, with two clauses that a word such as "but" joins, some of their words are
    rare, and, as in real data, some labels of the training sentences are wrong (6 of 100). There, 0.65, 0.80, 0.92
    and 0.97 of unseen ones, whose labels are right, give each a part of the points. Counting words gives about 0.5.
    Each run takes at most 60 CPU seconds, and the network has at most 60,000 parameters.

    Args:
        config: a Config

    Returns:
        a Results
    """
    ### BEGIN SOLUTION
    check_config(config)
    (texts, labels), (test_texts, test_labels) = _raw_texts(config.data)
    out = Path(config.out)
    out.mkdir(parents=True, exist_ok=True)
    checkpoint = out / "train.checkpoint"
    key = json.dumps({**asdict(config), "out": "", "data": str(config.data)})
    kept = out / "config.json"
    if not kept.exists() or kept.read_text() != key:  # what is there belongs to another run
        checkpoint.unlink(missing_ok=True)
        kept.write_text(key)

    rng = np.random.default_rng(config.seed)
    order = rng.permutation(len(texts))
    count = max(1, round(config.held_out * len(texts)))
    held_out, used = order[:count], order[count:]
    vocab = Vocab(config.min_freq).fit([texts[row] for row in used])
    data = [(_sequences([texts[row] for row in rows], vocab), labels[rows]) for rows in (used, held_out)]
    torch.manual_seed(config.seed)
    model = SentimentLSTM(len(vocab), config.emb, config.hidden)
    history = train(model, data, config, rng, checkpoint)

    sequences = _sequences(test_texts, vocab)
    errors = error_table(model, (sequences, test_labels))
    baseline = bag_of_words_baseline((texts, labels), test_texts)
    results = Results(
        accuracy=1 - len(errors) / len(test_texts),
        baseline_accuracy=float(((baseline > 0.5) == (test_labels == 1)).mean()),
        vocab_size=len(vocab),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        mistakes=len(errors),
    )
    torch.save(model.state_dict(), out / "model.pt")
    (out / "vocab.json").write_text(json.dumps(vocab.itos))
    rows = [{"text": test_texts[row], "label": label, "score": score} for row, label, score, _ in errors]
    (out / "errors.json").write_text(json.dumps(rows))
    tokens = min(map(tokenize, test_texts), key=lambda tokens: abs(len(tokens) - 20)) or [UNK]  # a text to read at once
    _draw(history, tokens, occlusion_importance(model, vocab, tokens), out)
    (out / "results.json").write_text(json.dumps(asdict(results)))
    return results
    ### END SOLUTION


def predict(out, texts):
    """Say what the network of a finished run thinks of new texts.

    It uses only the files in the folder, which may have been moved since the run. A text may hold markup, unknown words
    or no token at all (then it is read as one "<unk>"). The result for one text does not depend on the other texts.

    Args:
        out: the folder of a finished run
        texts: a list of N strings, N at least 1

    Returns:
        the probability of label 1 for each text, 1 / (1 + exp(-score)), (N,) float, a NumPy array
    """
    ### BEGIN SOLUTION
    out = Path(out)
    vocab = Vocab()
    vocab._set(json.loads((out / "vocab.json").read_text())[2:])
    sizes = json.loads((out / "config.json").read_text())
    model = SentimentLSTM(len(vocab), sizes["emb"], sizes["hidden"])
    model.load_state_dict(torch.load(out / "model.pt", weights_only=True))
    scores = predict_scores(model, _sequences(texts, vocab))
    return torch.from_numpy(scores).double().sigmoid().numpy()
    ### END SOLUTION


### BEGIN SOLUTION
def _sequences(texts, vocab):
    """Encode texts; one without a token is read as one unknown word."""
    return [encode(text, vocab) or [1] for text in texts]


def _raw_texts(path):
    """Return (texts, labels) for train and test, or say what is wrong with the file or folder."""
    try:
        parts = _reviews(Path(path)) if os.path.isdir(path) else json.loads(Path(path).read_text(encoding="utf-8"))
        found = []
        for name in ("train", "test"):
            for text, label in parts[name]:
                if type(text) is not str or type(label) is not int or label not in (0, 1):
                    raise ValueError(f"{name} holds {[text, label]!r}, which is no pair of a text and 0 or 1")
            if type(parts[name]) is not list or len(parts[name]) < 2:
                raise ValueError(f"{name} holds no list of at least two pairs")
            found.append(([text for text, _ in parts[name]], np.array([label for _, label in parts[name]])))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"data: {path} does not hold what Config says ({error})") from error
    return found


def _reviews(folder):
    """Read a folder of reviews into the form of the JSON file."""
    parts = {"train": [], "test": []}
    for name, pairs in parts.items():
        for label, kind in enumerate(("neg", "pos")):
            files = sorted((folder / name / kind).glob("*.txt"))
            if not files:
                raise ValueError(f"there is no text in {name}/{kind}")
            pairs += [[file.read_text(encoding="utf-8"), label] for file in files]
    return parts


def _draw(history, tokens, importance, out):
    """Write the two pictures of a run."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.add_subplot()
    epochs = range(1, len(history) + 1)
    for losses, name in zip(zip(*history, strict=True), ("training", "validation"), strict=True):
        axes.plot(epochs, losses, "o-", label=name)
    axes.set(xlabel="epoch", ylabel="loss", ylim=(0, None))
    axes.legend()
    figure.savefig(out / "training.png")

    figure = Figure(figsize=(6, 1 + 0.25 * min(len(tokens), 100)), layout="constrained")
    axes = figure.add_subplot()
    axes.barh(range(len(tokens)), importance)
    axes.set(xlabel="importance", ylabel="token", yticks=range(len(tokens)), yticklabels=tokens)
    axes.invert_yaxis()
    figure.savefig(out / "importance.png")


### END SOLUTION
