"""Public tests of the recurrent networks: small numbers, most of which fit on paper.

pytest test_recurrent_networks.py -k lstm        only the tests with "lstm" in their names
"""

import math

import numpy as np
import pytest
import torch
from torch import nn

from autograder import expect, probe
from dlcourse.data import waves

# ------------------------------------------------------------------------------------------------------------
# 6.1  A recurrent network, forward
# ------------------------------------------------------------------------------------------------------------


@pytest.mark.task("rnn_forward", weight=2)
def test_one_step_mixes_input_and_state(student):
    """On paper: 0.5 * 1 - 0.25 * 2 from the input, 0.1 * 3 from the state, 0.2 from the bias; then tanh."""
    x, h_prev = np.array([[1.0, 2.0]]), np.array([[3.0]])
    Wx, Wh, b = np.array([[0.5, -0.25]]), np.array([[0.1]]), np.array([0.2])

    given = (x, h_prev, Wx, Wh, b)
    before = [array.copy() for array in given]

    h, _ = student.rnn_step_forward(*given)

    expect.close(h, np.array([[math.tanh(0.5)]]), "rnn_step_forward")
    for now, was, name in zip(given, before, ("x", "h_prev", "Wx", "Wh", "b"), strict=True):
        expect.unchanged(now, was, f"rnn_step_forward ({name})")


@pytest.mark.task("rnn_forward")
def test_a_row_of_the_weight_belongs_to_one_unit(student):
    """Only the first unit listens here, and it listens to the second one."""
    h_prev, Wh = np.array([[0.25, 0.75]]), np.array([[0.0, 1.0], [0.0, 0.0]])

    h, _ = student.rnn_step_forward(np.zeros((1, 2)), h_prev, np.eye(2), Wh, np.zeros(2))

    expect.close(h, np.array([[math.tanh(0.75), 0.0]]), "rnn_step_forward")


@pytest.mark.task("rnn_forward", weight=2)
def test_each_step_starts_from_the_state_of_the_last(student):
    """Three steps by hand: the state is handed on, and every one of them is returned."""
    x, h0 = np.array([[[1.0], [0.0], [-1.0]]]), np.array([[0.5]])

    out, _ = student.rnn_forward(x, h0, np.array([[1.0]]), np.array([[2.0]]), np.array([0.0]))

    first = math.tanh(1 + 2 * 0.5)
    second = math.tanh(2 * first)
    third = math.tanh(-1 + 2 * second)
    expect.close(out, np.array([[[first], [second], [third]]]), "rnn_forward")
    expect.unchanged(x, np.array([[[1.0], [0.0], [-1.0]]]), "rnn_forward (x)")
    expect.unchanged(h0, np.array([[0.5]]), "rnn_forward (h0)")


@pytest.mark.task("rnn_forward")
def test_a_batch_of_sequences_comes_first(student, rng):
    """Two sequences of five steps of three numbers, and four units: (2, 5, 4)."""
    x = rng.normal(size=(2, 5, 3))

    out, _ = student.rnn_forward(x, np.zeros((2, 4)), rng.normal(size=(4, 3)), rng.normal(size=(4, 4)), np.zeros(4))

    expect.shape(out, (2, 5, 4), "rnn_forward")


# ------------------------------------------------------------------------------------------------------------
# 6.2  Backpropagation through time
# ------------------------------------------------------------------------------------------------------------


def _small_rnn(student, T, first=0.5):
    """One unit, one input, and states that start from `first`: (x, h0, Wx, Wh, b), out, cache."""
    inputs = (
        np.array([[[1.0], [-0.5], [0.25]]])[:, :T],
        np.array([[first]]),
        np.array([[0.8]]),
        np.array([[-0.6]]),
        np.array([0.1]),
    )
    out, cache = student.rnn_forward(*inputs)
    return inputs, out, cache


@pytest.mark.task("rnn_backward", weight=2)
def test_one_step_back(student):
    """The slope of tanh, written with its output h, is 1 - h^2; then each factor gets the other one."""
    _, out, cache = _small_rnn(student, 1)

    dx, dh0, dWx, dWh, db = student.rnn_backward(np.array([[[10.0]]]), cache)

    slope = 10 * (1 - math.tanh(0.8 - 0.3 + 0.1) ** 2)
    expect.close(out, np.array([[[math.tanh(0.6)]]]), "rnn_forward")
    expect.close(dx, np.array([[[slope * 0.8]]]), "rnn_backward (dx)")
    expect.close(dh0, np.array([[slope * -0.6]]), "rnn_backward (dh0)")
    expect.close(dWx, np.array([[slope * 1.0]]), "rnn_backward (dWx)")
    expect.close(dWh, np.array([[slope * 0.5]]), "rnn_backward (dWh)")
    expect.close(db, np.array([slope]), "rnn_backward (db)")


@pytest.mark.task("rnn_backward", weight=2)
def test_the_last_output_pulls_at_the_first_input(student):
    """The loss sees the second state alone, and the first input moves it through the state between."""
    _, _, cache = _small_rnn(student, 2, first=0.0)
    dout = np.array([[[0.0], [1.0]]])

    dx, _, _, _, _ = student.rnn_backward(dout, cache)

    second = 1 - math.tanh(-0.4 + 0.1 - 0.6 * math.tanh(0.9)) ** 2
    first = second * -0.6 * (1 - math.tanh(0.9) ** 2)
    expect.close(dx, np.array([[[first * 0.8], [second * 0.8]]]), "rnn_backward (dx)")
    expect.unchanged(dout, np.array([[[0.0], [1.0]]]), "rnn_backward (dout)")


@pytest.mark.task("rnn_backward", weight=3)
@pytest.mark.parametrize("which", ["dx", "dh0", "dWx", "dWh", "db"])
def test_gradients_agree_with_measured_ones(student, rng, which):
    """Move one entry at a time and see how the loss moves: three steps, so that gradients must add up."""
    inputs, _, cache = _small_rnn(student, 3)
    dout = rng.normal(size=(1, 3, 1))
    place = ("dx", "dh0", "dWx", "dWh", "db").index(which)

    got = student.rnn_backward(dout.copy(), cache)[place]

    def forward(moved):
        return student.rnn_forward(*inputs[:place], moved, *inputs[place + 1 :])[0]

    expect.gradient(forward, inputs[place], got, dout, f"rnn_backward ({which})")


# ------------------------------------------------------------------------------------------------------------
# 6.3  Long short-term memory
# ------------------------------------------------------------------------------------------------------------


@pytest.mark.task("lstm", weight=5)
def test_half_open_gates_by_hand(student):
    """All sums but the candidate's are 0, so the gates stand at one half; the candidate is tanh(1)."""
    Wx = np.array([[0.0], [0.0], [1.0], [0.0]])

    h_prev, c_prev = np.zeros((1, 1)), np.array([[2.0]])

    h, c, _ = student.lstm_step_forward(np.array([[1.0]]), h_prev, c_prev, Wx, np.zeros((4, 1)), np.zeros(4))

    cell = 0.5 * 2 + 0.5 * math.tanh(1)
    expect.close(c, np.array([[cell]]), "lstm_step_forward (c)")
    expect.close(h, np.array([[0.5 * math.tanh(cell)]]), "lstm_step_forward (h)")
    expect.unchanged(h_prev, np.zeros((1, 1)), "lstm_step_forward (h_prev)")
    expect.unchanged(c_prev, np.array([[2.0]]), "lstm_step_forward (c_prev)")


@pytest.mark.task("lstm", weight=5)
def test_an_open_forget_gate_keeps_the_cell(student):
    """Input gate shut, forget gate open, output gate open: the old cell stays, and is shown."""
    bias = np.array([-1000.0, 1000.0, 0.5, 1000.0])

    h, c, _ = student.lstm_step_forward(
        np.array([[7.0]]), np.zeros((1, 1)), np.array([[0.7]]), np.zeros((4, 1)), np.zeros((4, 1)), bias
    )

    expect.close(c, np.array([[0.7]]), "lstm_step_forward (c)")
    expect.close(h, np.array([[math.tanh(0.7)]]), "lstm_step_forward (h)")


@pytest.mark.task("lstm", weight=5)
def test_the_way_back_along_the_cell_is_one_product(student):
    """With the input gate shut, c = f * c_prev: a gradient that arrives at c leaves times f."""
    bias = np.array([-1000.0, 0.0, 0.5, 1000.0])
    _, _, cache = student.lstm_step_forward(
        np.array([[7.0]]), np.zeros((1, 1)), np.array([[0.7]]), np.zeros((4, 1)), np.zeros((4, 1)), bias
    )

    dh, dc = np.zeros((1, 1)), np.array([[3.0]])

    _, _, dc_prev, _, _, db = student.lstm_step_backward(dh, dc, cache)

    expect.close(dc_prev, np.array([[1.5]]), "lstm_step_backward (dc_prev)")
    expect.close(db, np.array([0.0, 3 * 0.7 * 0.25, 0.0, 0.0]), "lstm_step_backward (db)")
    expect.unchanged(dh, np.zeros((1, 1)), "lstm_step_backward (dh)")
    expect.unchanged(dc, np.array([[3.0]]), "lstm_step_backward (dc)")


@pytest.mark.task("lstm", weight=5)
def test_a_cell_counts_up_step_by_step(student):
    """All gates open and a candidate near 1: the cell grows by one each step, from c0 on."""
    bias = np.array([1000.0, 1000.0, 1000.0, 1000.0])
    zeros = np.zeros((4, 1))

    out, _ = student.lstm_forward(np.zeros((1, 3, 1)), np.zeros((1, 1)), np.array([[-2.0]]), zeros, zeros, bias)

    want = np.array([[[math.tanh(-1)], [math.tanh(0)], [math.tanh(1)]]])
    expect.close(out, want, "lstm_forward")


# ------------------------------------------------------------------------------------------------------------
# 6.4  The gated recurrent unit
# ------------------------------------------------------------------------------------------------------------


def _gru(bias_ih, bias_hh, state_weight=0.0):
    """Parameters of one unit with one input that it does not look at."""
    return {
        "weight_ih": np.zeros((3, 1)),
        "weight_hh": np.full((3, 1), state_weight) * np.array([[0.0], [0.0], [1.0]]),
        "bias_ih": np.array(bias_ih),
        "bias_hh": np.array(bias_hh),
    }


@pytest.mark.task("gru_step", weight=4)
def test_an_update_gate_of_one_keeps_the_state(student):
    """z decides how much of the old state stays: with z = 1, all of it."""
    params = _gru([0.0, 1000.0, 0.3], [0.0, 0.0, 0.0])

    expect.close(student.gru_step(np.ones((1, 1)), np.array([[0.4]]), params), np.array([[0.4]]), "gru_step")


@pytest.mark.task("gru_step", weight=4)
def test_half_an_update(student):
    """z = 1/2: the mean of the old state and the candidate, which is tanh(0.3) here."""
    params, h = _gru([0.0, 0.0, 0.3], [0.0, 0.0, 0.0]), np.array([[0.4]])

    new = student.gru_step(np.ones((1, 1)), h, params)

    expect.close(new, np.array([[0.5 * 0.4 + 0.5 * math.tanh(0.3)]]), "gru_step")
    expect.unchanged(h, np.array([[0.4]]), "gru_step (h)")
    expect.unchanged(params, _gru([0.0, 0.0, 0.3], [0.0, 0.0, 0.0]), "gru_step (params)")


@pytest.mark.task("gru_step", weight=4)
def test_the_reset_gate_acts_on_the_product_and_its_bias(student):
    """z = 0 and r = 1/2: half of (2 * 0.4 + 0.6) reaches the candidate, and all of 0.3."""
    params = _gru([0.0, -1000.0, 0.3], [0.0, 0.0, 0.6], state_weight=2.0)

    h = student.gru_step(np.ones((1, 1)), np.array([[0.4]]), params)

    expect.close(h, np.array([[math.tanh(0.3 + 0.5 * (2 * 0.4 + 0.6))]]), "gru_step")


# ------------------------------------------------------------------------------------------------------------
# 6.5  Gradients through time
# ------------------------------------------------------------------------------------------------------------


@probe
def clipped(student, grads, max_norm):
    """Give parameters these gradients, clip, and return the length and the gradients."""
    parameters = [torch.zeros_like(grad, requires_grad=True) for grad in grads]
    for parameter, grad in zip(parameters, grads, strict=True):
        parameter.grad = grad.clone()
    length = student.clip_grad_norm(parameters, max_norm)
    length = length.item() if isinstance(length, torch.Tensor) and length.dim() == 0 else length
    return length, [parameter.grad for parameter in parameters]


@pytest.mark.task("gradients_through_time", weight=4)
def test_two_gradients_have_one_length(student):
    """3 in one tensor and 4 in another: the length of both together is 5, and half of 5 leaves half of each."""
    length, grads = clipped(student, [torch.tensor([3.0, 0.0]), torch.tensor([[4.0]])], 2.5)

    expect.close(length, 5.0, "clip_grad_norm (the length before)", rtol=1e-5)
    expect.close(grads[0], torch.tensor([1.5, 0.0]), "clip_grad_norm (first gradient)", rtol=1e-5)
    expect.close(grads[1], torch.tensor([[2.0]]), "clip_grad_norm (second gradient)", rtol=1e-5)


@pytest.mark.task("gradients_through_time", weight=4)
def test_a_short_gradient_stays_as_it_is(student):
    """Clipping only ever shortens."""
    length, grads = clipped(student, [torch.tensor([0.3, -0.4])], 1.0)

    expect.close(length, 0.5, "clip_grad_norm (the length before)", rtol=1e-5)
    expect.equal(grads[0], torch.tensor([0.3, -0.4]), "clip_grad_norm (the gradient)")


@probe
def norms_of_a_fading_memory(student, T):
    """A 'network' whose state is half of the last one plus the input: its gradients are known."""

    class Fading(nn.Module):
        input_size = 3

        def __init__(self):
            super().__init__()
            self.keep = nn.Parameter(torch.tensor(0.5))

        def forward(self, x):
            state, outputs = torch.zeros_like(x[:, 0]), []
            for t in range(x.shape[1]):
                state = self.keep * state + x[:, t]
                outputs.append(state)
            return torch.stack(outputs, dim=1), state

    return student.gradient_norms_through_time(Fading(), T)


@pytest.mark.task("gradients_through_time", weight=4)
def test_a_memory_that_fades_by_half_a_step(student):
    """The last input counts fully, the one before half, then a quarter; the oldest comes first."""
    norms = norms_of_a_fading_memory(student, 4)

    want = math.sqrt(3) * np.array([0.125, 0.25, 0.5, 1.0])
    expect.close(norms, want, "gradient_norms_through_time", rtol=1e-5, lists=True)


# ------------------------------------------------------------------------------------------------------------
# 6.6  From text to numbers
# ------------------------------------------------------------------------------------------------------------


@pytest.mark.task("text", weight=5)
def test_a_sentence_becomes_tokens(student):
    """Lower case, no commas and full stops, and the small words that turn a meaning round are kept."""
    tokens = student.tokenize("It wasn't good, not at all!")

    expect.equal(tokens, ["it", "wasn't", "good", "not", "at", "all", "!"], "tokenize")


@pytest.mark.task("text", weight=5)
def test_frequent_tokens_have_small_ids(student):
    """Ids 0 and 1 are taken; then comes the most frequent token, and of equals the first in the alphabet."""
    vocab = student.Vocab(min_freq=2)

    fitted = vocab.fit(["the end was the end", "was it good"])

    expect.is_true(fitted is not None, "Vocab.fit: it returns nothing. Does it end with `return self`?")
    expect.equal(list(vocab.itos), ["<pad>", "<unk>", "end", "the", "was"], "Vocab.itos")
    expect.equal(dict(vocab.stoi), {"<pad>": 0, "<unk>": 1, "end": 2, "the": 3, "was": 4}, "Vocab.stoi")
    expect.equal(len(vocab), 5, "len(vocab)")


@pytest.mark.task("text", weight=5)
def test_what_is_unknown_becomes_one(student):
    """A token that the vocabulary has never seen still stands for one place in the sentence."""
    vocab = student.Vocab()
    vocab.fit(["good good bad"])

    expect.equal(student.encode("Bad, dreadful, good!", vocab), [3, 1, 2, 1], "encode")


@pytest.mark.task("text", weight=5)
def test_a_batch_is_padded_at_its_end(student):
    """Zeros fill up the short ones; the mask is True where there is a token, so each row of it adds up to a length."""
    sequences = [[5, 6], [7, 8, 9], [4]]

    ids, mask, lengths = student.pad_batch(sequences)

    expect.equal(ids, torch.tensor([[5, 6, 0], [7, 8, 9], [4, 0, 0]]), "pad_batch (ids)")
    expect.equal(lengths, torch.tensor([2, 3, 1]), "pad_batch (lengths)")
    wanted = torch.tensor([[True, True, False], [True, True, True], [True, False, False]])
    expect.equal(mask, wanted, "pad_batch (mask)")
    expect.equal(sequences, [[5, 6], [7, 8, 9], [4]], "pad_batch (the given lists)")


# ------------------------------------------------------------------------------------------------------------
# 6.7  A network that reads sentences
# ------------------------------------------------------------------------------------------------------------


@probe
def cells_and_scores(student, ids, lengths):
    """For each kind of cell: the scores, and whether the model holds a network of that kind."""
    found = []
    for cell, kind in (("rnn", nn.RNN), ("lstm", nn.LSTM), ("gru", nn.GRU)):
        model = student.SequenceClassifier(7, 3, 4, cell, num_classes=5)
        found.append((cell, model(ids, lengths).detach(), any(isinstance(m, kind) for m in model.modules())))
    return found


@pytest.mark.task("sequence_classifier", weight=8.5)
def test_there_is_a_score_for_every_class(student):
    """Two sentences in, five scores for each of them out, for each kind of cell."""
    ids, lengths = torch.tensor([[2, 3, 4], [5, 6, 0]]), torch.tensor([3, 2])

    for cell, scores, is_there in cells_and_scores(student, ids, lengths):
        expect.shape(scores, (2, 5), f"SequenceClassifier(cell={cell!r})")
        expect.is_true(is_there, f"SequenceClassifier(cell={cell!r}): it has no nn.{cell.upper()}.")


@pytest.mark.task("sequence_classifier", weight=10.5)
def test_more_padding_changes_nothing(student):
    """The same two sentences with three more columns of zeros: the network must not read them."""
    model = student.SequenceClassifier(7, 3, 4).eval()
    ids, lengths = torch.tensor([[2, 3, 4], [5, 6, 0]]), torch.tensor([3, 2])
    wide = torch.cat([ids, torch.zeros(2, 3, dtype=torch.int64)], dim=1)

    plain, padded = model(ids, lengths).detach(), model(wide, lengths).detach()

    expect.close(padded, plain, "SequenceClassifier with more padding", rtol=1e-5, atol=1e-6)


@probe
def classes_after_training(student, sequences, labels, unseen, size):
    """Train with the default number of epochs and predict."""
    torch.manual_seed(1)
    model = student.SequenceClassifier(size, 16, 32, "lstm")
    losses = student.train_classifier(model, sequences, labels, seed=1)
    return list(losses), student.predict_classes(model, unseen)


@pytest.mark.task("sequence_classifier", weight=10)
def test_a_trained_network_reads_negated_opinions(student, rng):
    """'Good' and 'not good' share a word: only who reads in order can tell them apart."""
    words = {
        "good": 2,
        "great": 3,
        "funny": 4,
        "bad": 5,
        "dull": 6,
        "awful": 7,
        "not": 8,
        "film": 9,
        "plot": 10,
    }
    rows, labels = [], []
    for _ in range(1300):
        parts = []
        for thing in rng.permutation(["film", "plot"]):
            is_good, is_negated = rng.integers(2, size=2)
            word = rng.choice(["good", "great", "funny"] if is_good else ["bad", "dull", "awful"])
            parts += [thing, *["not"] * is_negated, word]
            if thing == "film":
                label = int(is_good != is_negated)
        rows.append([words[word] for word in parts])
        labels.append(label)

    losses, predicted = classes_after_training(student, rows[:1200], np.array(labels[:1200]), rows[1200:], 11)

    expect.is_true(
        len(losses) > 0 and losses[-1] < losses[0],
        "train_classifier: the loss of the last epoch is not below that of the first.",
    )
    expect.dtype(predicted, np.int64, "predict_classes")
    expect.accuracy(predicted, np.array(labels[1200:]), 0.85, "train_classifier: is it the film that is good?")


# ------------------------------------------------------------------------------------------------------------
# 6.8  Forecasting a series
# ------------------------------------------------------------------------------------------------------------


@pytest.mark.task("forecasting", weight=3)
def test_windows_and_what_comes_after_them(student):
    """Five values, windows of two: three of them have a value after them."""
    series = np.array([1.0, 2, 4, 8, 16])

    X, y = student.make_windows(series, 2)
    ahead_X, ahead_y = student.make_windows(series, 2, horizon=3)

    expect.close(X, np.array([[1.0, 2], [2, 4], [4, 8]]), "make_windows (X)")
    expect.close(y, np.array([4.0, 8, 16]), "make_windows (y)")
    expect.close(ahead_X, np.array([[1.0, 2]]), "make_windows with horizon=3 (X)")
    expect.close(ahead_y, np.array([16.0]), "make_windows with horizon=3 (y)")
    expect.unchanged(series, np.array([1.0, 2, 4, 8, 16]), "make_windows (series)")


@pytest.mark.task("forecasting", weight=3)
def test_the_future_is_at_the_end(student):
    """The last two values are for the test; the one before them may be looked at to forecast the first."""
    series = np.array([1.0, 2, 4, 8, 16])

    train, test = student.time_split(series, 2)
    same, wider = student.time_split(series, 2, context=1)

    expect.close(train, np.array([1.0, 2, 4]), "time_split (train)")
    expect.close(test, np.array([8.0, 16]), "time_split (test)")
    expect.close(same, np.array([1.0, 2, 4]), "time_split with context=1 (train)")
    expect.close(wider, np.array([4.0, 8, 16]), "time_split with context=1 (test)")


@pytest.mark.task("forecasting", weight=3)
def test_a_forecast_is_compared_with_doing_nothing(student):
    """Tomorrow is like today: how far off is that, and how far off is a forecast beside it?"""
    X = np.array([[1.0, 2], [2, 4], [4, 8]])
    y, forecast, train = np.array([4.0, 8, 16]), np.array([5.0, 6, 16]), np.array([1.0, 3, 2, 5])
    given = {"X": X, "y": y, "forecast": forecast, "train": train}
    before = {name: array.copy() for name, array in given.items()}

    expect.close(student.naive_forecast(X), np.array([2.0, 4, 8]), "naive_forecast")
    expect.close(student.naive_forecast(X, season=2), np.array([1.0, 2, 4]), "naive_forecast with season=2")
    expect.close(student.mae(y, forecast), 1.0, "mae")
    expect.close(student.mase(y, forecast, train), 0.5, "mase (naive errors 2, 1, 3)")
    for name, now in given.items():
        expect.unchanged(now, before[name], f"naive_forecast, mae and mase ({name})")


@pytest.mark.task("forecasting", weight=3)
def test_a_trained_forecaster_beats_the_naive_forecast(student):
    """In the units of the series, with everything learned from its past alone."""
    series = 40 + 5 * waves(500, seed=3)

    before = series.copy()

    report = student.backtest(series, 100, 24, seed=1)

    expect.unchanged(series, before, "backtest (series)")
    naive = float(np.abs(series[-100:] - series[-101:-1]).mean())
    expect.close(report["naive_mae"], naive, "backtest (naive_mae)")
    expect.shape(report["forecast"], (100,), "backtest (forecast)")
    error = float(np.abs(series[-100:] - report["forecast"]).mean())
    expect.at_most(error / naive, 0.9, "backtest (error of its forecasts over the naive one)")
    expect.close(report["mae"], error, "backtest (mae)")
    expect.close(report["skill"], 1 - error / naive, "backtest (skill)")


@probe
def state_after_detaching(student):
    weight = torch.ones(2, requires_grad=True)
    h, c = 2 * weight, 3 * weight
    new_h, new_c = student.detach_state((h, c))
    return new_h.detach(), new_c.detach(), [new_h.requires_grad, new_c.requires_grad, h.requires_grad]


@pytest.mark.task("forecasting", weight=3)
def test_a_detached_state_goes_on_without_its_past(student):
    """Both halves of an LSTM's state keep their numbers and lose their graph."""
    h, c, attached = state_after_detaching(student)

    expect.close(h, torch.full((2,), 2.0), "detach_state (h)")
    expect.close(c, torch.full((2,), 3.0), "detach_state (c)")
    expect.equal(attached, [False, False, True], "detach_state: does (new h, new c, old h) need a gradient")
