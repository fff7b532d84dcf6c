"""Recurrent networks: from one step of a loop by hand to sentences that are read and series that are forecast.

Part one (6.1 to 6.4) is NumPy: write it with NumPy alone, no call of torch. Part two (6.5 to 6.8) is PyTorch
beside NumPy and Python's own strings and lists.

Letters: N sequences in a batch, T steps, D numbers a step, H units of state. Sequences are (N, T, D), batch
first; step t of all of them is x[:, t]. A weight is (out, in), one row for each unit, so that a layer computes
x @ W.T + b. In part one all numbers are float64.

Rules for the whole file:
    * no function changes its arguments, except where its docstring says so.
    * a cache is whatever your backward needs: it goes from your forward to your backward, unread by others,
      and a backward may be called several times with one cache.
    * how you compute something is free: loops or whole arrays, own helper functions, a formula of your own.
      A loop over the T steps cannot be avoided, and need not be. Where several things are returned, a tuple
      or a list will do.
"""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

# ------------------------------------------------------------------------------------------------------------
# 6.1  A recurrent network, forward
# ------------------------------------------------------------------------------------------------------------


def rnn_step_forward(x, h_prev, Wx, Wh, b):
    """Take one step: mix the input with the previous state, and squash the sum (Elman, 1990).

        h = tanh(x @ Wx.T + h_prev @ Wh.T + b)

    Args:
        x: the input of this step, (N, D) float64
        h_prev: the state before it, (N, H) float64
        Wx: weight of the input, (H, D) float64
        Wh: weight of the state, (H, H) float64: row j holds what unit j takes from each unit of h_prev
        b: bias, (H,) float64

    Returns:
        h: the state after this step, (N, H) float64
        cache: whatever a backward pass would need
    """
    raise NotImplementedError("rnn_step_forward: not started")


def rnn_forward(x, h0, Wx, Wh, b):
    """Run rnn_step_forward over a whole batch of sequences, with the same weights at every step.

    Args:
        x: sequences, (N, T, D) float64, T at least 1
        h0: the state before the first step, (N, H) float64
        Wx, Wh, b: as for rnn_step_forward

    Returns:
        out: the state after every step, (N, T, H) float64: out[:, t] is the state after x[:, t] was read
        cache: whatever rnn_backward needs
    """
    raise NotImplementedError("rnn_forward: not started")


# ------------------------------------------------------------------------------------------------------------
# 6.2  Backpropagation through time
# ------------------------------------------------------------------------------------------------------------


def rnn_backward(dout, cache):
    """Carry the gradient of a loss back through rnn_forward: backpropagation through time (Werbos, 1990).

    A state is used twice: it is handed out as out[:, t], and it goes into the next step. So two gradients
    arrive at it, and they add up. The weights are used at every step, so theirs add up over all steps and
    over the batch (a sum, no mean).

    Args:
        dout: gradient of the loss with respect to out, (N, T, H) float64
        cache: the second value that rnn_forward returned

    Returns:
        dx: gradient with respect to x, (N, T, D) float64
        dh0: gradient with respect to h0, (N, H) float64
        dWx: gradient with respect to Wx, (H, D) float64
        dWh: gradient with respect to Wh, (H, H) float64
        db: gradient with respect to b, (H,) float64
    """
    raise NotImplementedError("rnn_backward: not started")


# ------------------------------------------------------------------------------------------------------------
# 6.3  Long short-term memory
# ------------------------------------------------------------------------------------------------------------

def lstm_step_forward(x, h_prev, c_prev, Wx, Wh, b):
    """Take one step of an LSTM (Hochreiter and Schmidhuber, 1997; its forget gate: Gers et al., 2000).

        a = x @ Wx.T + h_prev @ Wh.T + b                 (N, 4H), four blocks of H columns: i, f, g, o
        i = sigmoid(a_i)    f = sigmoid(a_f)    g = tanh(a_g)    o = sigmoid(a_o)
        c = f * c_prev + i * g
        h = o * tanh(c)

    The blocks are in PyTorch's order: input gate, forget gate, candidate, output gate. Sums `a` may lie
    anywhere from -1000 to 1000: no nan, no inf.

    Args:
        x: the input of this step, (N, D) float64
        h_prev: the hidden state before it, (N, H) float64
        c_prev: the cell state before it, (N, H) float64
        Wx: weight of the input, (4H, D) float64
        Wh: weight of the hidden state, (4H, H) float64
        b: bias, (4H,) float64

    Returns:
        h: the hidden state after this step, (N, H) float64
        c: the cell state after this step, (N, H) float64
        cache: whatever lstm_step_backward needs
    """
    raise NotImplementedError("lstm_step_forward: not started")


def lstm_step_backward(dh, dc, cache):
    """Carry gradients back through one step of an LSTM.

    Args:
        dh: gradient of the loss with respect to h, (N, H) float64: through the output and the next step's gates
        dc: gradient of the loss with respect to c, (N, H) float64, from the next step alone: what reaches c
            through h is in dh, and is yours to add
        cache: the third value that lstm_step_forward returned

    Returns:
        dx: gradient with respect to x, (N, D) float64
        dh_prev: gradient with respect to h_prev, (N, H) float64
        dc_prev: gradient with respect to c_prev, (N, H) float64
        dWx: gradient with respect to Wx, (4H, D) float64, summed over the batch
        dWh: gradient with respect to Wh, (4H, H) float64, summed over the batch
        db: gradient with respect to b, (4H,) float64, summed over the batch
    """
    raise NotImplementedError("lstm_step_backward: not started")


def lstm_forward(x, h0, c0, Wx, Wh, b):
    """Run lstm_step_forward over a whole batch of sequences, with the same weights at every step.

    Args:
        x: sequences, (N, T, D) float64, T at least 1
        h0: the hidden state before the first step, (N, H) float64
        c0: the cell state before the first step, (N, H) float64
        Wx, Wh, b: as for lstm_step_forward

    Returns:
        out: the hidden state after every step, (N, T, H) float64
        cache: whatever a backward pass would need
    """
    raise NotImplementedError("lstm_forward: not started")


# ------------------------------------------------------------------------------------------------------------
# 6.4  The gated recurrent unit
# ------------------------------------------------------------------------------------------------------------


def gru_step(x, h, params):
    """Take one step of a gated recurrent unit (Cho et al., 2014), in the variant of PyTorch's nn.GRUCell.

        r = sigmoid(x @ Wir.T + bir + h @ Whr.T + bhr)          reset gate
        z = sigmoid(x @ Wiz.T + biz + h @ Whz.T + bhz)          update gate
        n = tanh(x @ Win.T + bin + r * (h @ Whn.T + bhn))       candidate: r acts after the product
        new h = (1 - z) * n + z * h

    Each entry of `params` holds its three blocks of H rows in the order r, z, n: Wir is the first H rows of
    weight_ih, bhn the last H entries of bias_hh. The sums inside of sigmoid and tanh may lie anywhere from
    -1000 to 1000: no nan, no inf.

    Args:
        x: the input of this step, (N, D) float64
        h: the state before it, (N, H) float64
        params: a dict of NumPy arrays with the names that nn.GRUCell gives them:
            "weight_ih" (3H, D), "weight_hh" (3H, H), "bias_ih" (3H,), "bias_hh" (3H,), all float64

    Returns:
        the state after this step, (N, H) float64, a new NumPy array, and nothing else
    """
    raise NotImplementedError("gru_step: not started")


# ------------------------------------------------------------------------------------------------------------
# 6.5  Gradients through time
# ------------------------------------------------------------------------------------------------------------


def clip_grad_norm(parameters, max_norm):
    """Shorten the gradients of all parameters together, if they are too long (Pascanu et al., 2013).

    All gradients are read as one long vector, and its length (2-norm) is the norm of all entries of all
    gradients. If it is above max_norm, every gradient is multiplied by max_norm / length, so that the length
    becomes max_norm and the direction stays. If not, no gradient changes.

    Args:
        parameters: the parameters, tensors of any shapes: a list, or anything that can be walked through
            once, such as model.parameters(). Their `.grad` is changed in place, which means that `.grad`
            is the same tensor object afterwards; parameters whose `.grad` is None are left
            alone. The parameters themselves do not change.
        max_norm: the greatest length allowed, a positive number

    Returns:
        the length *before* clipping, a float or a tensor of shape (); 0 if no parameter has a gradient

    Do it without torch.nn.utils. A relative error of 1e-5 is fine (PyTorch adds 1e-6 to the length), so long
    as gradients of zero stay zero.
    """
    raise NotImplementedError("clip_grad_norm: not started")


def gradient_norms_through_time(model, T):
    """Measure how much of a gradient that starts at the last step is left at every step before it.

    Draw one sequence of standard normal numbers x, (1, T, model.input_size), in the dtype of the model's
    parameters; run the model on it; take L = the sum of all entries of the *last* output, out[:, -1]; and
    return the length (2-norm) of the gradient of L with respect to x[:, t], for every t.

    Args:
        model: nn.RNN, nn.LSTM, nn.GRU or another module with an attribute input_size which takes sequences
            (1, T, input_size), batch first, and returns a pair: the outputs of all steps (1, T, any size),
            and its last state
        T: the number of steps, at least 1

    Returns:
        (T,) float64, a NumPy array or a list of floats: entry t belongs to x[:, t], so the last entry is the
        shortest way back, and entry 0 the longest. The model is left as it was: no parameter changes, no `.grad`
        of a parameter appears or changes, and the mode (training or eval) of the model and of its layers stays.
    """
    raise NotImplementedError("gradient_norms_through_time: not started")


# ------------------------------------------------------------------------------------------------------------
# 6.6  From text to numbers
# ------------------------------------------------------------------------------------------------------------

PAD, UNK = "<pad>", "<unk>"  # their ids are 0 and 1, always


def tokenize(text):
    """Cut a text into tokens, all of them, in order.

    * The text is put into lower case first, as str.lower does.
    * A word is a run of letters and digits (of any language), as long as possible. Single apostrophes *inside*
      a word belong to it: "don't" is one token. Apostrophes at its ends do not: "'fine'" gives "fine". The
      typographic apostrophe (U+2019) counts as "'" and comes out as "'".
    * "!" and "?" are tokens of their own, each sign one token.
    * Everything else (blanks, other punctuation and quotation marks, hyphens, underscores) only separates.

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
        stoi: dict from token to id, the inverse of itos, with the same len(vocab) entries
    """

    def __init__(self, min_freq=1):
        """Begin with "<pad>" and "<unk>" alone.

        Args:
            min_freq: a token that comes less often than this in the texts of `fit` is not known, int >= 1
        """
        raise NotImplementedError("Vocab.__init__: not started")

    def fit(self, texts):
        """Learn the tokens of some texts, the training texts and no others, and forget those of an earlier fit.

        Known is every token that comes at least min_freq times in all texts together. Ids go by frequency,
        the most frequent token first, from 2 on; of tokens that come equally often, the one that sorts first
        as a str comes first. So the order of the texts does not matter.

        Args:
            texts: strings, which `tokenize` cuts: a list, or anything that can be walked through once

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
        mask: (N, T) torch.bool, True at a token of the sequence, False at padding
        lengths: (N,) torch.int64, the length of every sequence

    Raises:
        ValueError: no sequences at all
    """
    raise NotImplementedError("pad_batch: not started")


# ------------------------------------------------------------------------------------------------------------
# 6.7  A network that reads sentences
# ------------------------------------------------------------------------------------------------------------


class SequenceClassifier(nn.Module):
    """Embedding -> recurrent network -> one score for each class.

    * An nn.Embedding of `vocab` rows of `emb` numbers. Row 0 belongs to the padding: it is zero, and never
      learns.
    * One nn.RNN, nn.LSTM or nn.GRU of `hidden` units, with the number of layers and directions asked for.
    * One vector for each sentence: either the state after its own last token (of the last layer; of both
      directions where there are two, the backward one having read from the last token to the first), or the
      mean or the maximum of the last layer's outputs over its own tokens. The choice is yours.
    * An nn.Linear from that vector to the scores.

    The padding after a sentence and the other sentences of the batch change nothing (beyond 1e-6).
    """

    def __init__(self, vocab, emb, hidden, cell="lstm", num_classes=2, num_layers=1, bidirectional=False):
        """Make the layers.

        Args:
            vocab: number of ids, int
            emb: size of an embedding, int
            hidden: units of each layer and direction, int
            cell: "rnn", "lstm" or "gru"
            num_classes: number of classes, int
            num_layers: recurrent layers on top of each other, int
            bidirectional: whether a second network in every layer reads from the end to the beginning

        Raises:
            ValueError: another cell
        """
        raise NotImplementedError("SequenceClassifier.__init__: not started")

    def forward(self, ids, lengths):
        """Score a batch of sentences.

        Args:
            ids: (N, T) int64, 0 after the end of a sentence, as pad_batch gives it, or with more padding
            lengths: (N,) int64, the length of every sentence, at least 1, in any order

        Returns:
            raw scores, no softmax, (N, num_classes) float32, in the order of the sentences
        """
        raise NotImplementedError("SequenceClassifier.forward: not started")


def train_classifier(model, sequences, labels, epochs=6, seed=0):
    """Train a SequenceClassifier with mini-batches and cross-entropy, in place.

    Put the model into train mode; visit all sentences in each epoch, in a new random order (of the sentences, not
    only of batches that stay the same); clear the gradients before each backward pass; clip them (6.5) between
    the backward pass and the step.

    With your default number of epochs a SequenceClassifier(vocab, 16, 32, "lstm") must be right on 0.97 of
    unseen sentences of dlcourse.data.sentiment, and on 0.95 of those whose opinion is negated (2,000
    sentences to learn from, in under 20 seconds on one CPU thread). Counting words gets 0.5 of them right.

    Args:
        model: a SequenceClassifier, or another module with the same forward; it is trained from the state that
            it is in
        sequences: a list of N lists of ids, none of them empty
        labels: (N,) int64 in 0..num_classes - 1, a NumPy array; N need not be a multiple of your batch size
        epochs: how often to go through all sentences, int; you may choose another default
        seed: decides the order of the sentences: the same model and seed end in the same parameters, whatever
            was drawn from torch's or NumPy's global generator before; another seed ends in other ones

    Returns:
        the mean loss over the sentences of every epoch, a list of `epochs` floats. The model and its layers are in
        eval mode then.
    """
    raise NotImplementedError("train_classifier: not started")


def predict_classes(model, sequences):
    """Return the class with the highest score for each sentence.

    The sentences are scored in eval mode and without recording gradients (afterwards they are recorded as
    before); at the end the model and its layers are in the mode in which they came.

    Args:
        model: a SequenceClassifier, or another module with the same forward
        sequences: a list of N lists of ids, none of them empty

    Returns:
        classes, (N,) int64, a NumPy array
    """
    raise NotImplementedError("predict_classes: not started")


# ------------------------------------------------------------------------------------------------------------
# 6.8  Forecasting a series
# ------------------------------------------------------------------------------------------------------------


def make_windows(series, window, horizon=1):
    """Cut a series into pairs of a window of past values and the value that is to be forecast from it.

        X[i] = series[i], ..., series[i + window - 1]
        y[i] = series[i + window - 1 + horizon], the value `horizon` steps after the last one of X[i]

    There is a pair for every i for which both lie inside the series.

    Args:
        series: (L,) float64, oldest value first
        window: number of past values, int >= 1
        horizon: how many steps ahead, int >= 1

    Returns:
        X: (L - window - horizon + 1, window) float64
        y: (L - window - horizon + 1,) float64

    Raises:
        ValueError: the series is too short for one pair
    """
    raise NotImplementedError("make_windows: not started")


def time_split(series, n_test, context=0):
    """Cut a series in time: the past to learn from, the future to be tested on. Never shuffle.

    Args:
        series: (L,) float64, oldest value first
        n_test: how many values, the last ones, are for the test, int from 1 to L - 1
        context: how many values before these the test part holds as well, so that the first test value can be
            forecast from its past; int from 0 to L - n_test. It changes nothing in the training part.

    Returns:
        train: the first L - n_test values
        test: the last n_test + context values

    Raises:
        ValueError: n_test or context out of range
    """
    raise NotImplementedError("time_split: not started")


def naive_forecast(X, season=1):
    """Forecast the next value (horizon 1) without a model: it will be what it was `season` steps before it.

    With season 1 that is the last value of the window ("tomorrow is like today"), with season 12 and monthly
    values that of the same month a year ago.

    Args:
        X: windows, (M, window), as make_windows gives them
        season: length of the season in steps, int from 1 to window

    Returns:
        forecasts, (M,)

    Raises:
        ValueError: season out of range
    """
    raise NotImplementedError("naive_forecast: not started")


def mae(y, forecast):
    """Return the mean absolute error, a number.

    Args:
        y: the true values, (M,) float64
        forecast: what was forecast, (M,) float64

    Raises:
        ValueError: the shapes differ ((M, 1) beside (M,) would broadcast)
    """
    raise NotImplementedError("mae: not started")


def mase(y, forecast, train, season=1):
    """Return the mean absolute scaled error (Hyndman and Koehler, 2006), a number.

    It is mae(y, forecast) divided by the mean of |train[t] - train[t - season]| over all t from `season` on:
    the mean error of the naive forecast in the training series. Below 1 is better than that.

    Args:
        y, forecast: as for mae
        train: the training series, (L,) float64, with more than `season` values
        season: length of the season in steps, int >= 1

    Raises:
        ValueError: the shapes of y and forecast differ, or the naive error is 0
    """
    raise NotImplementedError("mase: not started")


class LSTMForecaster(nn.Module):
    """An nn.LSTM that reads a window value by value, and an nn.Linear that says what comes next.

    It works on scaled values, (value - mean) / std, and `predict` scales back: its forecasts
    are in the units of the series.

    Attributes:
        mean, std: floats, what the series is scaled with; 0 and 1 until train_forecaster sets them
    """

    def __init__(self, window, hidden=24):
        """Make the layers: an LSTM of one number a step and `hidden` units, for windows of `window` values."""
        raise NotImplementedError("LSTMForecaster.__init__: not started")

    def forward(self, x):
        """(M, window) float32, scaled -> forecasts (M,) float32, scaled"""
        raise NotImplementedError("LSTMForecaster.forward: not started")

    def predict(self, X):
        """Forecast the value after each window, in the units of the series.

        Args:
            X: windows, (M, window) float64, a NumPy array, in the units of the series

        Returns:
            forecasts, (M,) float64, a NumPy array: (forward of the scaled windows) * std + mean

        Raises:
            ValueError: windows of another length than the one that the model was made for
        """
        raise NotImplementedError("LSTMForecaster.predict: not started")


def train_forecaster(train, window, epochs=20, seed=0):
    """Train a new LSTMForecaster to forecast one step ahead, and return it.

    Scale with the mean and the standard deviation (divided by L) of `train`, window the scaled series, and
    minimise the mean squared error in mini-batches: all windows in each epoch, in a new random order (of the
    windows, not only of batches that stay the same), and the gradients cleared before each backward pass.

    With your default number of epochs and a window of 24, on 800 values of dlcourse.data.waves, its mean
    absolute error on the 200 values after these must be at most 0.75 times that of the naive forecast, in
    under 20 seconds on one CPU thread.

    Args:
        train: the training series, (L,) float64, a NumPy array of any level and scale
        window: number of past values, int >= 1
        epochs: how often to go through all windows, int; you may choose another default
        seed: decides the initial values and the order of the windows: the same seed gives the same model,
            whatever was drawn from torch's or NumPy's global generator before; another seed gives another one

    Returns:
        the trained LSTMForecaster, its mean and std set. A series that never changes has a std of 0: then std
        is set to 1.
    """
    raise NotImplementedError("train_forecaster: not started")


def backtest(series, n_test, window, epochs=20, seed=0):
    """Train on the past of a series, forecast each of its last n_test values, and compare with the baseline.

    Each forecast is made one step ahead, from the `window` true values before it, by the model that
    train_forecaster returns for the past. Whatever is learned (weights, mean, std) is learned from the first
    L - n_test values alone: a forecast depends on no value of its own time or later.

    Args:
        series: (L,) float64, a NumPy array, oldest value first
        n_test: how many values, the last ones, to forecast; L - n_test is greater than window
        window: number of past values that a forecast is made from, int >= 1
        epochs, seed: as for train_forecaster

    Returns:
        a dict with these entries, all in the units of the series:
            "forecast": the forecasts of the last n_test values, (n_test,) float64
            "mae": their mean absolute error, a number
            "naive_mae": that of naive_forecast for the same values, a number
            "skill": 1 - mae / naive_mae, a number: above 0 is better than the baseline
    """
    raise NotImplementedError("backtest: not started")


def detach_state(state):
    """Cut a state off from the graph that made it, for truncated backpropagation through time.

    A long sequence is cut into chunks; the state that ends one chunk begins the next. Its numbers go on, but
    the backward pass of the next chunk must stop there.

    Args:
        state: a tensor (the state of an RNN or GRU), a tuple of states (h, c) as an LSTM has it, which may
            hold tuples itself (one for each layer), or None (no state yet)

    Returns:
        the same structure (tensor, tuple or None) with the same numbers, and no graph behind any tensor of it.
        The given state keeps its graph.
    """
    raise NotImplementedError("detach_state: not started")
