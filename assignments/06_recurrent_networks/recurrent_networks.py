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
    ### BEGIN SOLUTION
    h = np.tanh(x @ Wx.T + h_prev @ Wh.T + b)
    return h, (x, h_prev, h, Wx, Wh)
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    N, T, _ = x.shape
    states = np.empty((N, T + 1, h0.shape[1]))  # states[:, t] is the state before step t
    states[:, 0] = h0
    for t in range(T):
        states[:, t + 1], _ = rnn_step_forward(x[:, t], states[:, t], Wx, Wh, b)
    return states[:, 1:], (x, states, Wx, Wh)
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    x, states, Wx, Wh = cache
    dx, dWx, dWh, db = np.empty(x.shape), np.zeros(Wx.shape), np.zeros(Wh.shape), np.zeros(len(Wh))
    carried = np.zeros((len(x), len(Wh)))  # what comes back from the later steps, (N, H)
    for t in reversed(range(x.shape[1])):
        above = dout[:, t] + carried
        dsum = above * (1.0 - states[:, t + 1] ** 2)  # before the tanh, (N, H)
        dx[:, t] = dsum @ Wx
        dWx += dsum.T @ x[:, t]
        dWh += dsum.T @ states[:, t]
        db += dsum.sum(axis=0)
        carried = dsum @ Wh
    return dx, carried, dWx, dWh, db
    ### END SOLUTION


# ------------------------------------------------------------------------------------------------------------
# 6.3  Long short-term memory
# ------------------------------------------------------------------------------------------------------------

### BEGIN SOLUTION


def _sigmoid(z):
    return 0.5 * (1.0 + np.tanh(0.5 * z))  # the same as 1 / (1 + exp(-z)), and never an overflow


### END SOLUTION


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
    ### BEGIN SOLUTION
    sums = x @ Wx.T + h_prev @ Wh.T + b
    in_sum, forget_sum, new_sum, out_sum = np.split(sums, 4, axis=1)  # (N, H) each
    i, f, o = _sigmoid(in_sum), _sigmoid(forget_sum), _sigmoid(out_sum)
    g = np.tanh(new_sum)
    c = f * c_prev + i * g
    squashed = np.tanh(c)
    h = o * squashed
    return h, c, (x, h_prev, c_prev, Wx, Wh, i, f, g, o, squashed)
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    x, h_prev, c_prev, Wx, Wh, i, f, g, o, squashed = cache
    dcell = dc + dh * o * (1.0 - squashed**2)
    di = dcell * g * i * (1.0 - i)
    df = dcell * c_prev * f * (1.0 - f)
    dg = dcell * i * (1.0 - g**2)
    do = dh * squashed * o * (1.0 - o)
    dsums = np.concatenate([di, df, dg, do], axis=1)  # (N, 4H)
    return dsums @ Wx, dsums @ Wh, dcell * f, dsums.T @ x, dsums.T @ h_prev, dsums.sum(axis=0)
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    hidden, cell, outputs, caches = h0, c0, [], []
    for t in range(x.shape[1]):
        hidden, cell, kept = lstm_step_forward(x[:, t], hidden, cell, Wx, Wh, b)
        outputs.append(hidden)
        caches.append(kept)
    return np.stack(outputs, axis=1), caches
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    from_input = x @ params["weight_ih"].T + params["bias_ih"]  # (N, 3H)
    from_state = h @ params["weight_hh"].T + params["bias_hh"]  # (N, 3H)
    input_r, input_z, input_n = np.split(from_input, 3, axis=1)  # (N, H) each
    state_r, state_z, state_n = np.split(from_state, 3, axis=1)
    r = _sigmoid(input_r + state_r)
    z = _sigmoid(input_z + state_z)
    n = np.tanh(input_n + r * state_n)
    return (1.0 - z) * n + z * h
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    grads = [parameter.grad for parameter in parameters if parameter.grad is not None]
    total = float(sum(float((grad.double() ** 2).sum()) for grad in grads)) ** 0.5
    if total > max_norm:
        for grad in grads:
            grad.mul_(max_norm / total)
    return total
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    dtype = next(model.parameters()).dtype
    x = torch.randn(1, T, model.input_size, dtype=dtype, requires_grad=True)
    out, _ = model(x)
    (slope,) = torch.autograd.grad(out[:, -1].sum(), x)
    return slope[0].norm(dim=1).double().numpy()
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    text = text.lower().replace("\u2019", "'")
    return re.findall(r"[^\W_]+(?:'[^\W_]+)*|[!?]", text)
    ### END SOLUTION


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
        """Learn the tokens of some texts, the training texts and no others, and forget those of an earlier fit.

        Known is every token that comes at least min_freq times in all texts together. Ids go by frequency,
        the most frequent token first, from 2 on; of tokens that come equally often, the one that sorts first
        as a str comes first. So the order of the texts does not matter.

        Args:
            texts: strings, which `tokenize` cuts: a list, or anything that can be walked through once

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
        mask: (N, T) torch.bool, True at a token of the sequence, False at padding
        lengths: (N,) torch.int64, the length of every sequence

    Raises:
        ValueError: no sequences at all
    """
    ### BEGIN SOLUTION
    if not sequences:
        raise ValueError("pad_batch: no sequences; give at least one")
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    ids = torch.zeros(len(sequences), int(lengths.max()), dtype=torch.int64)
    for row, sequence in zip(ids, sequences, strict=True):
        row[: len(sequence)] = torch.tensor(sequence)
    mask = torch.arange(ids.shape[1]) < lengths[:, None]  # (N, T)
    return ids, mask, lengths
    ### END SOLUTION


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
        ### BEGIN SOLUTION
        super().__init__()
        kinds = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
        if cell not in kinds:
            raise ValueError(f"SequenceClassifier: no cell {cell!r}; use one of {', '.join(kinds)}")
        self.embedding = nn.Embedding(vocab, emb, padding_idx=0)
        self.reader = kinds[cell](emb, hidden, num_layers, batch_first=True, bidirectional=bidirectional)
        self.directions = 2 if bidirectional else 1
        self.head = nn.Linear(self.directions * hidden, num_classes)
        ### END SOLUTION

    def forward(self, ids, lengths):
        """Score a batch of sentences.

        Args:
            ids: (N, T) int64, 0 after the end of a sentence, as pad_batch gives it, or with more padding
            lengths: (N,) int64, the length of every sentence, at least 1, in any order

        Returns:
            raw scores, no softmax, (N, num_classes) float32, in the order of the sentences
        """
        ### BEGIN SOLUTION
        vectors = self.embedding(ids)  # (N, T, emb)
        packed = nn.utils.rnn.pack_padded_sequence(vectors, lengths, batch_first=True, enforce_sorted=False)
        _, state = self.reader(packed)
        last = state[0] if isinstance(state, tuple) else state  # (layers * directions, N, hidden)
        return self.head(torch.cat(tuple(last[-self.directions :]), dim=1))
        ### END SOLUTION


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
    ### BEGIN SOLUTION
    targets = torch.from_numpy(np.ascontiguousarray(labels))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    torch.manual_seed(seed)
    model.train()
    losses = []
    for _ in range(epochs):
        paid = 0.0
        for batch in torch.randperm(len(sequences)).split(32):
            ids, _, lengths = pad_batch([sequences[number] for number in batch.tolist()])
            loss = F.cross_entropy(model(ids, lengths), targets[batch])
            optimizer.zero_grad()
            loss.backward()
            clip_grad_norm(model.parameters(), 1.0)
            optimizer.step()
            paid += loss.item() * len(batch)
        losses.append(paid / len(sequences))
    model.eval()
    return losses
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    was_training = model.training
    model.eval()
    ids, _, lengths = pad_batch(sequences)
    with torch.no_grad():
        scores = model(ids, lengths)
    model.train(was_training)
    return scores.argmax(dim=1).numpy()
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    count = len(series) - window - horizon + 1
    if count < 1:
        raise ValueError(f"make_windows: {len(series)} values give no pair of {window} and {horizon} ahead")
    starts = np.arange(count)
    return series[starts[:, None] + np.arange(window)], series[starts + window - 1 + horizon]
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    cut = len(series) - n_test
    if n_test < 1 or cut < 1 or not 0 <= context <= cut:
        raise ValueError(f"time_split: {n_test} test values and {context} before them, of {len(series)}")
    return series[:cut], series[cut - context :]
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    if not 1 <= season <= X.shape[1]:
        raise ValueError(f"naive_forecast: season {season} for windows of {X.shape[1]} values")
    return X[:, -season]
    ### END SOLUTION


def mae(y, forecast):
    """Return the mean absolute error, a number.

    Args:
        y: the true values, (M,) float64
        forecast: what was forecast, (M,) float64

    Raises:
        ValueError: the shapes differ ((M, 1) beside (M,) would broadcast)
    """
    ### BEGIN SOLUTION
    if np.shape(y) != np.shape(forecast):
        raise ValueError(f"mae: shapes {np.shape(y)} and {np.shape(forecast)} differ")
    return float(np.abs(y - forecast).mean())
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    scale = np.abs(train[season:] - train[:-season]).mean()
    if scale == 0:
        raise ValueError("mase: the naive forecast makes no error in the training series, so there is no scale")
    return mae(y, forecast) / float(scale)
    ### END SOLUTION


class LSTMForecaster(nn.Module):
    """An nn.LSTM that reads a window value by value, and an nn.Linear that says what comes next.

    It works on scaled values, (value - mean) / std, and `predict` scales back: its forecasts
    are in the units of the series.

    Attributes:
        mean, std: floats, what the series is scaled with; 0 and 1 until train_forecaster sets them
    """

    def __init__(self, window, hidden=24):
        """Make the layers: an LSTM of one number a step and `hidden` units, for windows of `window` values."""
        ### BEGIN SOLUTION
        super().__init__()
        self.window = window
        self.mean, self.std = 0.0, 1.0
        self.lstm = nn.LSTM(1, hidden, batch_first=True)
        self.head = nn.Linear(hidden, 1)
        ### END SOLUTION

    def forward(self, x):
        """(M, window) float32, scaled -> forecasts (M,) float32, scaled"""
        ### BEGIN SOLUTION
        out, _ = self.lstm(x[:, :, None])  # (M, window, hidden)
        return self.head(out[:, -1])[:, 0]
        ### END SOLUTION

    def predict(self, X):
        """Forecast the value after each window, in the units of the series.

        Args:
            X: windows, (M, window) float64, a NumPy array, in the units of the series

        Returns:
            forecasts, (M,) float64, a NumPy array: (forward of the scaled windows) * std + mean

        Raises:
            ValueError: windows of another length than the one that the model was made for
        """
        ### BEGIN SOLUTION
        if X.shape[1] != self.window:
            raise ValueError(f"predict: windows of {X.shape[1]} values for a model of {self.window}")
        scaled = torch.from_numpy((X - self.mean) / self.std).float()
        with torch.no_grad():
            return self(scaled).double().numpy() * self.std + self.mean
        ### END SOLUTION


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
    ### BEGIN SOLUTION
    torch.manual_seed(seed)
    model = LSTMForecaster(window)
    model.mean, model.std = float(train.mean()), float(train.std()) or 1.0
    X, y = make_windows((train - model.mean) / model.std, window)
    inputs, targets = torch.from_numpy(X).float(), torch.from_numpy(y).float()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(epochs):
        for batch in torch.randperm(len(inputs)).split(32):
            optimizer.zero_grad()
            F.mse_loss(model(inputs[batch]), targets[batch]).backward()
            optimizer.step()
    return model
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    past, future = time_split(series, n_test, context=window)
    X, y = make_windows(future, window)
    forecast = train_forecaster(past, window, epochs, seed).predict(X)
    error, naive_error = mae(y, forecast), mae(y, naive_forecast(X))
    return {
        "forecast": forecast,
        "mae": error,
        "naive_mae": naive_error,
        "skill": 1.0 - error / naive_error,
    }
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    if state is None:
        return None
    if isinstance(state, tuple):
        return tuple(detach_state(part) for part in state)
    return state.detach()
    ### END SOLUTION
