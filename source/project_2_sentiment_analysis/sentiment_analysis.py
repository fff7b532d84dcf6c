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
    raise NotImplementedError("clean: not started")


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
    raise NotImplementedError("tokenize: not started")


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
        raise NotImplementedError("Vocab.__init__: not started")

    def fit(self, texts):
        """Learn the tokens of some texts, and forget those of an earlier fit.

        Known is every token that comes at least min_freq times in all texts together. Ids go by frequency, the most
        frequent token first, from 2 on; of tokens that come equally often, the one that sorts first as a str is first.

        Args:
            texts: a list of strings, which `tokenize` cuts

        Returns:
            the vocabulary itself
        """
        raise NotImplementedError("Vocab.fit: not started")

    def __len__(self):
        """Return the number of ids, the two special ones included."""
        raise NotImplementedError("Vocab.__len__: not started")


def encode(text, vocab):
    """Return the ids of the tokens of a text, one for each; those that the vocabulary does not know become 1.

    Args:
        text: a string, may be empty
        vocab: a Vocab, which does not change

    Returns:
        a list of int, as long as tokenize(text)
    """
    raise NotImplementedError("encode: not started")


def pad_batch(sequences):
    """Put sequences of several lengths into one rectangle: each begins in column 0, and zeros fill its end.

    Args:
        sequences: a list of N lists of int, N at least 1; T is the length of the longest. A list may be empty

    Returns:
        ids: (N, T) torch.int64, 0 after the end of a sequence
        lengths: (N,) torch.int64, the length of every sequence
    """
    raise NotImplementedError("pad_batch: not started")


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
    raise NotImplementedError("bag_of_words_baseline: not started")


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
        raise NotImplementedError("SentimentLSTM.__init__: not started")

    def forward(self, ids, lengths):
        """Score a batch of texts.

        Args:
            ids: (N, T) int64, 0 after the end of a text, as pad_batch gives it, or with more padding; N at least 1
            lengths: (N,) int64, the number of tokens of each text, at least 1

        Returns:
            scores, (N,) float32
        """
        raise NotImplementedError("SentimentLSTM.forward: not started")


# ------------------------------------------------------------------------------------------------------------
# P2.4  Training
# ------------------------------------------------------------------------------------------------------------

def predict_scores(model, sequences):
    """Return the score of each sequence, computed in eval mode and without gradients.

    Args:
        model: a model, see the top of the file; it gets ids and lengths as pad_batch gives them
        sequences: a list of N lists of ids, N at least 1, none of them empty

    Returns:
        (N,) float, a NumPy array
    """
    raise NotImplementedError("predict_scores: not started")


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
    raise NotImplementedError("train: not started")


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
    raise NotImplementedError("occlusion_importance: not started")


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
    raise NotImplementedError("error_table: not started")


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
    raise NotImplementedError("check_config: not started")


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
    raise NotImplementedError("run: not started")


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
    raise NotImplementedError("predict: not started")

