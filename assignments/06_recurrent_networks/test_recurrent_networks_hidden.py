"""Hidden tests: random numbers and sizes, PyTorch as an oracle, what must stay as it is, and what training reaches."""

import itertools
import math
import re
import time

import numpy as np
import pytest
import torch
import torch.optim.optimizer as optimizers
from torch import nn

from autograder import expect, probe
from dlcourse import spies
from dlcourse.data import sentiment, waves

SIZES = [(2, 5, 3, 4), (1, 4, 3, 2), (4, 1, 2, 3), (3, 3, 3, 3), (5, 2, 1, 1)]  # N, T, D, H


def _tensor(array):
    return torch.from_numpy(np.ascontiguousarray(array))


def _inputs(rng, N, T, D, H, gates=1):
    """x, state, Wx, Wh, b: states and weights of such a size that nothing saturates."""
    return (
        rng.normal(size=(N, T, D)),
        rng.uniform(-0.9, 0.9, size=(N, H)),
        rng.normal(size=(gates * H, D)) / math.sqrt(D),
        rng.normal(size=(gates * H, H)) / math.sqrt(H),
        rng.normal(scale=0.5, size=gates * H),
    )


def _strided(array):
    """The same numbers, with a gap after each of them in memory."""
    wide = np.zeros((*array.shape[:-1], 2 * array.shape[-1]))
    wide[..., ::2] = array
    return wide[..., ::2]


def _oracle(kind, x, states, Wx, Wh, b):
    """Outputs of nn.RNN or nn.LSTM with these weights, (N, T, H)."""
    network = kind(x.shape[2], states[0].shape[1], batch_first=True).double()
    with torch.no_grad():
        network.weight_ih_l0.copy_(_tensor(Wx))
        network.weight_hh_l0.copy_(_tensor(Wh))
        network.bias_ih_l0.copy_(_tensor(b))
        network.bias_hh_l0.zero_()
        first = [_tensor(state)[None] for state in states]
        out, _ = network(_tensor(x), tuple(first) if len(first) > 1 else first[0])
    return out.numpy()


# --- 6.1 rnn_forward


@pytest.mark.task("rnn_forward")
def test_single_steps_of_random_numbers(student, rng):
    """rnn_step_forward: follow the formula for all sizes of N, D and H, in float64."""
    for N, _, D, H in SIZES:
        x, h_prev, Wx, Wh, b = _inputs(rng, N, 1, D, H)

        want = np.tanh(np.einsum("nd,hd->nh", x[:, 0], Wx) + np.einsum("nk,hk->nh", h_prev, Wh) + b)

        h, _ = student.rnn_step_forward(x[:, 0], h_prev, Wx, Wh, b)

        expect.close(h, want, f"rnn_step_forward for N={N}, D={D}, H={H}", dtype=np.float64)


@pytest.mark.task("rnn_forward", weight=3)
def test_whole_sequences_agree_with_pytorch(student, rng):
    """rnn_forward: out[:, t] is the state after x[:, t]; a step starts from the state before it, the first from h0."""
    for N, T, D, H in SIZES:
        x, h0, Wx, Wh, b = _inputs(rng, N, T, D, H)

        out, _ = student.rnn_forward(x, h0, Wx, Wh, b)

        want = _oracle(nn.RNN, x, [h0], Wx, Wh, b)
        expect.close(out, want, f"rnn_forward for N={N}, T={T}, D={D}, H={H}", dtype=np.float64)


@pytest.mark.task("rnn_forward")
def test_the_past_does_not_see_the_future(student, rng):
    """rnn_forward: a state depends on its own sequence and on the inputs up to its step, on all of them."""
    x, h0, Wx, Wh, b = _inputs(rng, 2, 6, 3, 4)
    other = x.copy()
    other[0, 3] += 1.0

    before, _ = student.rnn_forward(x, h0, Wx, Wh, b)
    after, _ = student.rnn_forward(other, h0, Wx, Wh, b)

    expect.close(after[0, :3], before[0, :3], "rnn_forward (states before the changed input)")
    expect.close(after[1], before[1], "rnn_forward (the other sequence)")
    moved = np.abs(after[0, 3:] - before[0, 3:]).max(axis=1) > 1e-12
    expect.is_true(bool(moved.all()), "rnn_forward: a later state does not feel an earlier input.")


@probe
def states_before_and_after_a_step(student, name, x, states, weights):
    """The states that a step returned, as they came, and after the next step, which began with them."""
    step = getattr(student, name)
    result = step(x, *states, *weights)
    found = list(result[: len(states)]) if isinstance(result, tuple) else [result]
    before = [np.array(state) for state in found]
    step(x, *found, *weights)
    return before, found


def _expect_states_stay(student, name, x, states, weights):
    before, after = states_before_and_after_a_step(student, name, x, states, weights)
    for now, was, what in zip(after, before, ("hidden state", "cell state"), strict=False):
        expect.unchanged(now, was, f"{name} (the {what} of the step before)")


@pytest.mark.task("rnn_forward")
def test_a_forward_pass_changes_nothing(student, rng):
    """rnn_step_forward and rnn_forward change no argument, and each call starts from the state it is given."""
    inputs = _inputs(rng, 3, 4, 2, 5)
    before = [array.copy() for array in inputs]
    step = (inputs[0][:, 0].copy(), *inputs[1:])

    first, _ = student.rnn_forward(*inputs)
    kept = first.copy()
    second, _ = student.rnn_forward(*inputs)
    step_before = [array.copy() for array in step]
    h, _ = student.rnn_step_forward(*step)

    for now, was, name in zip(step, step_before, ("x", "h_prev", "Wx", "Wh", "b"), strict=True):
        expect.unchanged(now, was, f"rnn_step_forward ({name})")
    for now, was, name in zip(inputs, before, ("x", "h0", "Wx", "Wh", "b"), strict=True):
        expect.unchanged(now, was, f"rnn_forward ({name})")
    expect.close(second, kept, "rnn_forward, called again")
    expect.close(first, kept, "rnn_forward (its first result after a second call)")
    expect.no_alias(h, step[1], "rnn_step_forward (h)")
    _expect_states_stay(student, "rnn_step_forward", step[0], step[1:2], step[2:])


@pytest.mark.task("rnn_forward")
def test_the_layout_of_sequences_in_memory_is_free(student, rng):
    """rnn_forward: read the arrays by their axes; how they are laid out in memory is free."""
    x, h0, Wx, Wh, b = _inputs(rng, 2, 4, 3, 5)

    out, _ = student.rnn_forward(_strided(x), _strided(h0), np.asfortranarray(Wx), Wh.T.copy().T, _strided(b))

    expect.close(out, _oracle(nn.RNN, x, [h0], Wx, Wh, b), "rnn_forward of slices")


@pytest.mark.task("rnn_forward")
def test_large_sums_are_squashed(student):
    """rnn_forward: tanh is the last thing that happens to a state, also to large sums."""
    out, _ = student.rnn_forward(
        np.array([[[1e4], [-1e4], [0.0]]]),
        np.zeros((1, 1)),
        np.ones((1, 1)),
        np.full((1, 1), 0.5),
        np.zeros(1),
    )

    expect.close(out, np.array([[[1.0], [-1.0], [math.tanh(-0.5)]]]), "rnn_forward of huge inputs")


# --- 6.2 rnn_backward

GRADIENTS = ("dx", "dh0", "dWx", "dWh", "db")


def _from_zero(rng, N, T, D, H):
    """The same, with states that start from zero: h0 has a test of its own, and its own share of the task."""
    x, h0, *weights = _inputs(rng, N, T, D, H)
    return x, 0.0 * h0, *weights


@pytest.mark.task("rnn_backward", weight=3)
@pytest.mark.parametrize("which", GRADIENTS)
def test_gradients_of_random_sequences(student, reference, rng, which):
    """rnn_backward: two gradients arrive at a state and add up; those of the weights add up over steps and batch."""
    place = GRADIENTS.index(which)
    for N, T, D, H in SIZES:
        inputs = _from_zero(rng, N, T, D, H)
        dout = rng.normal(size=(N, T, H))

        out, cache = student.rnn_forward(*inputs)
        got = student.rnn_backward(dout, cache)[place]

        want_out, want_cache = reference.rnn_forward(*inputs)
        expect.close(out, want_out, "rnn_forward (before its gradient)")
        want = reference.rnn_backward(dout, want_cache)[place]
        expect.close(got, want, f"rnn_backward ({which}) for N={N}, T={T}, D={D}, H={H}", dtype=np.float64)


@pytest.mark.task("rnn_backward", weight=2)
def test_a_state_that_is_given_has_its_part_in_the_gradients(student, reference, rng):
    """rnn_backward: the first step starts from h0: so h0 has a gradient, and it is a factor in that of Wh."""
    for N, T, D, H in SIZES:
        inputs = _inputs(rng, N, T, D, H)
        dout = rng.normal(size=(N, T, H))

        _, cache = student.rnn_forward(*inputs)
        _, dh0, _, dWh, _ = student.rnn_backward(dout, cache)

        _, true_dh0, _, true_dWh, _ = reference.rnn_backward(dout, reference.rnn_forward(*inputs)[1])
        expect.close(dh0, true_dh0, f"rnn_backward (dh0) for N={N}, T={T}, D={D}, H={H} and a given h0")
        expect.close(dWh, true_dWh, f"rnn_backward (dWh) for N={N}, T={T}, D={D}, H={H} and a given h0")


@pytest.mark.task("rnn_backward", weight=2)
def test_gradients_of_long_sequences_are_not_cut_short(student, reference, rng):
    """rnn_backward: the gradient goes back through all steps, however many there are."""
    N, T, D, H = 2, 120, 3, 4
    x, h0, Wx, _, _ = _inputs(rng, N, T, D, H)
    Wh = np.linalg.qr(rng.normal(size=(H, H)))[0]
    inputs = (0.01 * x, 0.0 * h0, Wx, Wh, np.zeros(H))
    dout = np.zeros((N, T, H))
    dout[:, -1] = rng.normal(size=(N, H))

    _, cache = student.rnn_forward(*inputs)
    got = student.rnn_backward(dout, cache)

    want = reference.rnn_backward(dout, reference.rnn_forward(*inputs)[1])
    for mine, true, name in zip(got, want, GRADIENTS, strict=True):
        expect.close(mine, true, f"rnn_backward of {T} steps ({name})")


@pytest.mark.task("rnn_backward")
def test_the_same_sequences_twice_have_twice_the_gradient(student, rng):
    """rnn_backward: gradients of the weights are sums over the batch, no means; dx belongs to its own sequence."""
    x, h0, Wx, Wh, b = _inputs(rng, 2, 3, 4, 5)
    dout = rng.normal(size=(2, 3, 5))

    _, cache = student.rnn_forward(x, h0, Wx, Wh, b)
    single = student.rnn_backward(dout, cache)
    _, cache = student.rnn_forward(np.concatenate([x, x]), np.concatenate([h0, h0]), Wx, Wh, b)
    double = student.rnn_backward(np.concatenate([dout, dout]), cache)

    for k in (2, 3, 4):
        expect.close(double[k], 2.0 * single[k], f"rnn_backward ({GRADIENTS[k]} of a batch twice as large)")
    expect.close(double[0], np.concatenate([single[0], single[0]]), "rnn_backward (dx of it)")


@pytest.mark.task("rnn_backward")
def test_a_loss_at_an_early_step_sees_no_later_input(student, reference, rng):
    """rnn_backward: dout[:, t] arrives at step t, and moves that input and earlier ones, none after it."""
    inputs = _from_zero(rng, 3, 5, 2, 4)
    dout = np.zeros((3, 5, 4))
    dout[:, 1] = rng.normal(size=(3, 4))

    _, cache = student.rnn_forward(*inputs)
    dx = student.rnn_backward(dout, cache)[0]

    expect.close(dx[:, 2:], np.zeros((3, 3, 2)), "rnn_backward (dx after the loss)")
    want = reference.rnn_backward(dout, reference.rnn_forward(*inputs)[1])[0]
    expect.close(dx, want, "rnn_backward (dx)")


@pytest.mark.task("rnn_backward")
def test_one_cache_serves_twice(student, reference, rng):
    """rnn_backward: a cache may be used several times and beside other caches; dout stays as it is."""
    first, second = _from_zero(rng, 2, 4, 3, 5), _from_zero(rng, 2, 4, 3, 5)
    dout = rng.normal(size=(2, 4, 5))
    before = dout.copy()

    caches = [student.rnn_forward(*first)[1], student.rnn_forward(*second)[1]]
    answers = [student.rnn_backward(dout, cache) for cache in (caches[0], caches[1], caches[0])]

    for inputs, got in zip((first, second, first), answers, strict=True):
        want = reference.rnn_backward(dout, reference.rnn_forward(*inputs)[1])
        for mine, true, name in zip(got, want, GRADIENTS, strict=True):
            expect.close(mine, true, f"rnn_backward ({name}) with several caches")
    expect.unchanged(dout, before, "rnn_backward (dout)")


@pytest.mark.task("rnn_backward")
def test_a_gradient_from_above_may_be_a_slice(student, reference, rng):
    """rnn_backward: read dout by its axes; how it is laid out in memory is free."""
    inputs, dout = _from_zero(rng, 3, 4, 2, 5), rng.normal(size=(3, 4, 5))

    _, cache = student.rnn_forward(*inputs)
    got = student.rnn_backward(_strided(dout), cache)

    want = reference.rnn_backward(dout, reference.rnn_forward(*inputs)[1])
    for mine, true, name in zip(got, want, GRADIENTS, strict=True):
        expect.close(mine, true, f"rnn_backward ({name}) of a sliced dout")


# --- 6.3 lstm

LSTM_GRADIENTS = ("dx", "dh_prev", "dc_prev", "dWx", "dWh", "db")


def _lstm_inputs(rng, N, T, D, H):
    """x, h, c, Wx, Wh, b with cells that reach beyond 1."""
    x, h, Wx, Wh, b = _inputs(rng, N, T, D, H, gates=4)
    return x, h, rng.normal(scale=1.5, size=(N, H)), Wx, Wh, b


@pytest.mark.task("lstm", weight=2)
def test_lstm_steps_of_random_numbers(student, reference, rng):
    """lstm_step_forward: four blocks in the order i, f, g, o, and both states, for all sizes, in float64."""
    for N, _, D, H in SIZES:
        x, h_prev, c_prev, Wx, Wh, b = _lstm_inputs(rng, N, 1, D, H)

        h, c, _ = student.lstm_step_forward(x[:, 0], h_prev, c_prev, Wx, Wh, b)

        want_h, want_c, _ = reference.lstm_step_forward(x[:, 0], h_prev, c_prev, Wx, Wh, b)
        expect.close(c, want_c, f"lstm_step_forward (c) for N={N}, D={D}, H={H}", dtype=np.float64)
        expect.close(h, want_h, f"lstm_step_forward (h) for N={N}, D={D}, H={H}", dtype=np.float64)


@pytest.mark.task("lstm")
@pytest.mark.parametrize("block", ["i", "f", "g", "o"])
def test_each_block_of_the_bias_moves_its_own_gate(student, block):
    """lstm_step_forward: which block of the sum opens which gate, and which of them is the candidate?"""
    place = "ifgo".index(block)
    b = np.repeat([0.2, 0.4, 0.6, 0.8], 2)
    b[2 * place : 2 * place + 2] = [-1000.0, 1000.0]
    c_prev, zeros = np.array([[1.5, -0.5]]), np.zeros((8, 2))

    h, c, _ = student.lstm_step_forward(np.ones((1, 2)), np.zeros((1, 2)), c_prev, zeros, zeros, b)

    gates = {"i": 0.2, "f": 0.4, "g": 0.6, "o": 0.8}
    two = {name: np.full(2, np.tanh(a) if name == "g" else 1 / (1 + np.exp(-a))) for name, a in gates.items()}
    two[block] = np.array([-1.0, 1.0]) if block == "g" else np.array([0.0, 1.0])
    want = two["f"] * c_prev + two["i"] * two["g"]
    expect.close(c, want, f"lstm_step_forward (c) with block {block} at -1000 and 1000")
    expect.close(h, two["o"] * np.tanh(want), f"lstm_step_forward (h) with block {block} at -1000 and 1000")


@pytest.mark.task("lstm", weight=3)
def test_lstm_sequences_agree_with_pytorch(student, rng):
    """lstm_forward: both states are handed from step to step, from h0 and c0 on; out holds the hidden one."""
    for N, T, D, H in SIZES:
        x, h0, c0, Wx, Wh, b = _lstm_inputs(rng, N, T, D, H)

        out, _ = student.lstm_forward(x, h0, c0, Wx, Wh, b)

        want = _oracle(nn.LSTM, x, [h0, c0], Wx, Wh, b)
        expect.close(out, want, f"lstm_forward for N={N}, T={T}, D={D}, H={H}", dtype=np.float64)


@pytest.mark.task("lstm", weight=3)
@pytest.mark.parametrize("which", LSTM_GRADIENTS)
def test_lstm_gradients_of_random_numbers(student, reference, rng, which):
    """lstm_step_backward: h depends on c, so c has two gradients; each block has the slope of its own function."""
    place = LSTM_GRADIENTS.index(which)
    for N, _, D, H in SIZES:
        x, *rest = _lstm_inputs(rng, N, 1, D, H)
        dh, dc = rng.normal(scale=30.0, size=(N, H)), rng.normal(scale=30.0, size=(N, H))  # clipping is seen

        *_, cache = student.lstm_step_forward(x[:, 0], *rest)
        got = student.lstm_step_backward(dh, dc, cache)[place]

        *_, want_cache = reference.lstm_step_forward(x[:, 0], *rest)
        want = reference.lstm_step_backward(dh, dc, want_cache)[place]
        expect.close(got, want, f"lstm_step_backward ({which}) for N={N}, D={D}, H={H}", dtype=np.float64)


@pytest.mark.task("lstm", weight=2)
def test_a_gradient_at_one_state_alone(student, rng):
    """lstm_step_backward: dh reaches c_prev through c as well, and dc reaches h_prev through the gates."""
    x, h_prev, c_prev, Wx, Wh, b = _lstm_inputs(rng, 2, 1, 3, 2)
    x, zeros, cotangent = x[:, 0], np.zeros((2, 2)), rng.normal(size=(2, 2))
    *_, cache = student.lstm_step_forward(x, h_prev, c_prev, Wx, Wh, b)
    for place, name in ((0, "dh"), (1, "dc")):
        above = (cotangent, zeros) if place == 0 else (zeros, cotangent)

        _, dh_prev, dc_prev, *_ = student.lstm_step_backward(*above, cache)

        for start, got, label in ((1, dh_prev, "dh_prev"), (2, dc_prev, "dc_prev")):
            arguments = [x, h_prev, c_prev, Wx, Wh, b]

            def forward(moved, arguments=arguments, start=start, place=place):
                return student.lstm_step_forward(*arguments[:start], moved, *arguments[start + 1 :])[place]

            expect.gradient(
                forward, arguments[start], got, cotangent, f"lstm_step_backward ({label} from {name} alone)"
            )


@pytest.mark.task("lstm", weight=2)
def test_a_gradient_travels_far_along_open_cells(student, reference, rng):
    """lstm_step_backward: handed from step to step, its gradients must stay right over many steps."""
    N, T, D, H = 2, 30, 3, 4
    x, h, c, Wx, Wh, b = _lstm_inputs(rng, N, T, D, H)
    b[H : 2 * H] += 5.0
    gradients = []
    for module in (student, reference):
        hidden, cell, caches = h, c, []
        for t in range(T):
            hidden, cell, cache = module.lstm_step_forward(x[:, t], hidden, cell, Wx, Wh, b)
            caches.append(cache)
        dh, dc, dWx = np.ones((N, H)), np.zeros((N, H)), np.zeros(Wx.shape)
        for cache in reversed(caches):
            _, dh, dc, step, _, _ = module.lstm_step_backward(dh, dc, cache)
            dWx += step
        gradients.append((dh, dc, dWx))

    for mine, true, name in zip(*gradients, ("dh0", "dc0", "dWx"), strict=True):
        expect.close(mine, true, f"lstm_step_backward, thirty times ({name})")


@pytest.mark.task("lstm")
def test_huge_sums_do_not_overflow(student, rng):
    """lstm_step_forward and lstm_step_backward: no nan and no inf for any sum that the docstring allows."""
    b = np.array([1000.0, -1000.0] * 4)
    zeros = np.zeros((8, 2))
    c_prev = rng.normal(size=(1, 2))

    h, c, cache = student.lstm_step_forward(np.ones((1, 2)), np.zeros((1, 2)), c_prev, zeros, zeros, b)
    grads = student.lstm_step_backward(np.ones((1, 2)), np.ones((1, 2)), cache)

    want = np.array([[c_prev[0, 0] + 1.0, 0.0]])
    expect.close(c, want, "lstm_step_forward (c) of sums of +-1000")
    expect.close(h, np.tanh(want), "lstm_step_forward (h) of sums of +-1000")
    for got, name in zip(grads, LSTM_GRADIENTS, strict=True):
        expect.finite(got, f"lstm_step_backward ({name}) of sums of +-1000")
    expect.close(grads[2], np.array([[2.0 - np.tanh(want[0, 0]) ** 2, 0.0]]), "lstm_step_backward (dc_prev)")


@pytest.mark.task("lstm")
def test_an_lstm_changes_nothing(student, reference, rng):
    """The LSTM functions change no argument, c_prev included, and a cache may be used several times."""
    inputs = [_lstm_inputs(rng, 3, 1, 2, 4) for _ in range(2)]
    steps = [(x[:, 0].copy(), *rest) for x, *rest in inputs]
    before = [array.copy() for array in steps[0]]
    dh, dc = rng.normal(size=(3, 4)), rng.normal(size=(3, 4))
    dh_before, dc_before = dh.copy(), dc.copy()

    caches = [student.lstm_step_forward(*step)[2] for step in steps]
    answers = [student.lstm_step_backward(dh, dc, caches[k]) for k in (0, 1, 0)]
    sequence = (inputs[0][0], *steps[0][1:])
    x_before = sequence[0].copy()
    first, second = (student.lstm_forward(*sequence)[0] for _ in range(2))

    for k, got in zip((0, 1, 0), answers, strict=True):
        want = reference.lstm_step_backward(dh, dc, reference.lstm_step_forward(*steps[k])[2])
        for mine, true, name in zip(got, want, LSTM_GRADIENTS, strict=True):
            expect.close(mine, true, f"lstm_step_backward ({name}) with several caches")
    expect.close(second, first, "lstm_forward, called again")
    expect.unchanged(sequence[0], x_before, "lstm_forward (x)")
    _expect_states_stay(student, "lstm_step_forward", steps[0][0], steps[0][1:3], steps[0][3:])
    for now, was, name in zip(steps[0], before, ("x", "h_prev", "c_prev", "Wx", "Wh", "b"), strict=True):
        expect.unchanged(now, was, f"lstm_step_forward and lstm_forward ({name})")
    expect.unchanged(dh, dh_before, "lstm_step_backward (dh)")
    expect.unchanged(dc, dc_before, "lstm_step_backward (dc)")


@pytest.mark.task("lstm")
def test_an_lstm_takes_slices(student, rng):
    """lstm_forward: read the arrays by their axes; how they are laid out in memory is free."""
    x, h0, c0, Wx, Wh, b = _lstm_inputs(rng, 2, 4, 3, 2)

    out, _ = student.lstm_forward(_strided(x), _strided(h0), _strided(c0), np.asfortranarray(Wx), Wh, _strided(b))

    expect.close(out, _oracle(nn.LSTM, x, [h0, c0], Wx, Wh, b), "lstm_forward of slices")


# --- 6.4 gru_step


def _gru_params(rng, D, H, scale=1.0):
    return {
        "weight_ih": scale * rng.normal(size=(3 * H, D)),
        "weight_hh": scale * rng.normal(size=(3 * H, H)),
        "bias_ih": scale * rng.normal(size=3 * H),
        "bias_hh": scale * rng.normal(size=3 * H),
    }


def _gru_oracle(x, h, params):
    cell = nn.GRUCell(x.shape[1], h.shape[1]).double()
    cell.load_state_dict({name: _tensor(array) for name, array in params.items()})
    with torch.no_grad():
        return cell(_tensor(x), _tensor(h)).numpy()


@pytest.mark.task("gru_step", weight=4)
@pytest.mark.parametrize("sizes", [(4, 3, 2), (1, 2, 5), (3, 3, 3), (2, 1, 1)])
def test_a_gru_step_agrees_with_pytorch(student, rng, sizes):
    """gru_step: follow the formula for all sizes: blocks in the order r, z, n, and two biases; float64."""
    N, D, H = sizes
    x, h, params = rng.normal(size=(N, D)), rng.normal(size=(N, H)), _gru_params(rng, D, H)

    new = student.gru_step(x, h, params)

    expect.close(new, _gru_oracle(x, h, params), f"gru_step for N={N}, D={D}, H={H}", dtype=np.float64)


@pytest.mark.task("gru_step")
@pytest.mark.parametrize("name", ["bias_ih", "bias_hh"])
def test_each_bias_of_a_gru_counts(student, rng, name):
    """gru_step: both biases count, and of the candidate's two only bhn is inside of r * (...)."""
    x, h, params = rng.normal(size=(2, 3)), rng.normal(size=(2, 4)), _gru_params(rng, 3, 4)
    params["bias_ih" if name == "bias_hh" else "bias_hh"][:] = 0.0

    expect.close(student.gru_step(x, h, params), _gru_oracle(x, h, params), f"gru_step with {name} alone")


@pytest.mark.task("gru_step")
def test_a_gru_with_its_gates_at_the_ends(student, rng):
    """gru_step: z shares between candidate and old state, r acts on the candidate alone; no large sum gives nan."""
    x, h = rng.normal(size=(2, 3)), rng.normal(scale=2.0, size=(2, 2))
    for r in (-1000.0, 1000.0):
        for z in (-1000.0, 1000.0):
            params = _gru_params(rng, 3, 2)
            for rows, value in ((slice(0, 2), r), (slice(2, 4), z)):
                params["weight_ih"][rows] = params["weight_hh"][rows] = params["bias_hh"][rows] = 0.0
                params["bias_ih"][rows] = value

            new = student.gru_step(x, h, params)

            expect.close(new, _gru_oracle(x, h, params), f"gru_step with sums {r:.0f} of r and {z:.0f} of z")
            if z > 0:
                expect.close(new, h, "gru_step with z = 1")
    for n in (-1000.0, 1000.0):
        params = _gru_params(rng, 3, 2)
        for block in params.values():
            block[:] = 0.0
        params["bias_ih"][4:] = n

        new = student.gru_step(x, h, params)

        expect.close(new, _gru_oracle(x, h, params), f"gru_step with sums {n:.0f} of the candidate")


@pytest.mark.task("gru_step")
def test_a_gru_can_be_run_over_a_sequence(student, rng):
    """gru_step: the new state is the next step's old one, and must stay right over many steps."""
    x, h, params = rng.normal(size=(2, 20, 3)), rng.normal(size=(2, 4)), _gru_params(rng, 3, 4, scale=0.5)
    mine = true = h
    for t in range(20):
        mine, true = student.gru_step(x[:, t], mine, params), _gru_oracle(x[:, t], true, params)

    expect.close(mine, true, "gru_step, twenty times")


@pytest.mark.task("gru_step")
def test_a_gru_step_changes_nothing(student, rng):
    """gru_step: no argument is changed, and the result is a new array, also where it equals the old state."""
    x, h, params = rng.normal(size=(2, 3)), rng.normal(size=(2, 4)), _gru_params(rng, 3, 4)
    params["bias_ih"][4:8] = 1000.0
    before = x.copy(), h.copy(), {name: array.copy() for name, array in params.items()}

    new = student.gru_step(_strided(x), h, params)
    student.gru_step(x, h, params)

    expect.close(new, _gru_oracle(*before), "gru_step of a sliced input")
    expect.no_alias(new, h, "gru_step")
    _expect_states_stay(student, "gru_step", x, [h], [_gru_params(rng, 3, 4)])
    expect.unchanged(x, before[0], "gru_step (x)")
    expect.unchanged(h, before[1], "gru_step (h)")
    expect.unchanged(params, before[2], "gru_step (params)")


# --- 6.5 gradients_through_time


@probe
def clipped_parameters(student, values, grads, max_norm):
    """Clip through an iterator that can be walked through once; grads may hold None."""
    parameters = [value.clone().requires_grad_() for value in values]
    for parameter, grad in zip(parameters, grads, strict=True):
        parameter.grad = None if grad is None else grad.clone()
    held = [parameter.grad for parameter in parameters]
    length = student.clip_grad_norm(iter(parameters), max_norm)
    same = all(now.grad is was for now, was in zip(parameters, held, strict=True))
    return (
        length.item() if isinstance(length, torch.Tensor) and length.dim() == 0 else length,
        [parameter.grad for parameter in parameters],
        [parameter.detach() for parameter in parameters],
        same,
    )


def _gradients(rng, dtype="float64"):
    shapes = ((4, 3), (5,), (2, 1, 3), ())
    values, grads = (
        [torch.tensor(rng.normal(scale=3.0, size=shape), dtype=getattr(torch, dtype)) for shape in shapes]
        for _ in range(2)
    )
    return values, grads


@pytest.mark.task("gradients_through_time", weight=2)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_long_gradients_are_shortened_together(student, rng, dtype):
    """clip_grad_norm: one length and one factor for all gradients together, changed in place; parameters stay."""
    values, grads = _gradients(rng, dtype)
    length = math.sqrt(sum(float((grad.double() ** 2).sum()) for grad in grads))
    for share in (0.02, 0.7):
        got, clipped, after, same = clipped_parameters(student, values, grads, share * length)

        expect.close(got, length, "clip_grad_norm (the length before)", rtol=2e-5)
        for mine, grad, value, kept in zip(clipped, grads, values, after, strict=True):
            expect.close(mine, share * grad, "clip_grad_norm (a gradient)", rtol=2e-5, dtype=grad.dtype)
            expect.unchanged(kept, value, "clip_grad_norm (a parameter)")
        expect.is_true(same, "clip_grad_norm: .grad is another tensor than before; change it in place.")


@pytest.mark.task("gradients_through_time")
def test_short_gradients_are_never_made_longer(student, rng):
    """clip_grad_norm: if the length is not above max_norm, no gradient changes at all."""
    values, grads = _gradients(rng)
    length = math.sqrt(sum(float((grad**2).sum()) for grad in grads))
    for max_norm in (1.001 * length, 1000.0 * length):
        got, clipped, _, _ = clipped_parameters(student, values, grads, max_norm)

        expect.close(got, length, "clip_grad_norm (the length before)", rtol=2e-5)
        for mine, grad in zip(clipped, grads, strict=True):
            expect.equal(mine, grad, "clip_grad_norm (a gradient that was short enough)")


@pytest.mark.task("gradients_through_time")
def test_just_above_the_limit_is_above_it(student, rng):
    """clip_grad_norm: a length just above max_norm is shortened to max_norm, too."""
    values, grads = _gradients(rng)
    length = math.sqrt(sum(float((grad**2).sum()) for grad in grads))

    _, clipped, _, _ = clipped_parameters(student, values, grads, length / 1.01)

    for mine, grad in zip(clipped, grads, strict=True):
        expect.close(mine, grad / 1.01, "clip_grad_norm (a gradient)", rtol=2e-5)


@pytest.mark.task("gradients_through_time")
def test_parameters_without_a_gradient_are_left_alone(student, rng):
    """clip_grad_norm: a grad of None stays None and counts nothing; other grads stay the tensors that they were."""
    values, grads = _gradients(rng)
    holes = [None, grads[1], None, grads[3]]
    length = math.sqrt(sum(float((grad**2).sum()) for grad in holes if grad is not None))

    got, clipped, _, same = clipped_parameters(student, values, holes, length / 2)
    nothing, none, _, _ = clipped_parameters(student, values, [None] * 4, 1.0)

    expect.close(got, length, "clip_grad_norm with some gradients None (the length before)", rtol=2e-5)
    expect.is_true(
        clipped[0] is None and clipped[2] is None, "clip_grad_norm: a gradient of None became something else."
    )
    expect.close(clipped[1], grads[1] / 2, "clip_grad_norm with some gradients None", rtol=2e-5)
    expect.is_true(same, "clip_grad_norm: .grad is another tensor than before; change it in place.")
    expect.close(nothing, 0.0, "clip_grad_norm without any gradient (the length)")
    expect.is_true(all(grad is None for grad in none), "clip_grad_norm: a gradient of None became something else.")


@pytest.mark.task("gradients_through_time")
def test_gradients_of_zero_stay_zero(student):
    """clip_grad_norm: where all gradients are zero there is nothing to divide by."""
    values = [torch.ones(3), torch.ones(2, 2)]

    length, grads, _, _ = clipped_parameters(student, values, [torch.zeros(3), torch.zeros(2, 2)], 1.0)

    expect.close(length, 0.0, "clip_grad_norm of zeros (the length)")
    expect.equal(grads[0], torch.zeros(3), "clip_grad_norm of zeros")
    expect.equal(grads[1], torch.zeros(2, 2), "clip_grad_norm of zeros")


@probe
def norms_of_linear_memories(student, keep, mix, offset, T, training):
    """Norms for a linear network whose gradients do not depend on the input; what it was given; and its own grad."""
    given = []  # beside the network, so that a copy of it notes what it is given, too

    class Linear(nn.Module):
        def __init__(self):
            super().__init__()
            self.input_size = mix.shape[1]
            self.keep, self.mix = nn.Parameter(keep), nn.Parameter(mix)
            self.offset = nn.Parameter(torch.full((len(keep),), offset, dtype=keep.dtype))  # without a gradient
            self.inner = nn.Sequential(nn.Dropout(0.5), nn.Dropout(0.5))

        def forward(self, x):
            given.append(x.detach().clone())
            state, outputs = torch.zeros(len(x), len(keep), dtype=keep.dtype), []
            for t in range(x.shape[1]):
                state = state @ self.keep.T + x[:, t] @ self.mix.T + self.offset
                outputs.append(torch.cat([2.0 * state, state], dim=1))
            return torch.stack(outputs, dim=1), state

    model = Linear()
    model.keep.grad = torch.full_like(keep, 7.0)
    model.mix.requires_grad_(False)
    model.train(training)
    modes = [part.training for part in model.modules()]
    norms = student.gradient_norms_through_time(model, T)
    is_kept = model.keep.grad is not None and bool((model.keep.grad == 7.0).all())
    is_kept = is_kept and model.mix.grad is None and model.offset.grad is None
    untouched = is_kept and [part.training for part in model.modules()] == modes
    unmoved = torch.equal(model.keep.detach(), keep) and not model.mix.requires_grad
    return norms, given, untouched and unmoved and model.keep.requires_grad and model.offset.requires_grad


@pytest.mark.task("gradients_through_time", weight=3)
@pytest.mark.parametrize("T", [1, 2, 9])
def test_norms_of_a_network_that_is_linear(student, rng, T):
    """gradient_norms_through_time: L is the sum of out[:, -1], entry t is for x[:, t]; the model stays as it was."""
    keep, mix = rng.normal(size=(4, 4)) / 2.0, rng.normal(size=(4, 3))

    norms, _, is_as_before = norms_of_linear_memories(student, _tensor(keep), _tensor(mix), 0.3, T, T == 2)

    wanted, above = [], np.full(4, 3.0)  # each entry of the state is handed out twice: doubled, and as it is
    for _ in range(T):
        wanted.insert(0, float(np.linalg.norm(above @ mix)))
        above = above @ keep
    expect.close(norms, np.array(wanted), f"gradient_norms_through_time for T={T}", rtol=1e-6, lists=True)
    expect.is_true(is_as_before, "gradient_norms_through_time: the model is not as it was (parameters, .grad, mode).")


@pytest.mark.task("gradients_through_time")
def test_the_sequence_is_drawn_as_asked(student, rng):
    """gradient_norms_through_time: one sequence of standard normal numbers, in the dtype of the parameters."""
    keep, mix = _tensor(0.1 * rng.normal(size=(4, 4))), _tensor(rng.normal(size=(4, 50)))

    _, given, _ = norms_of_linear_memories(student, keep, mix, 0.0, 40, True)

    expect.is_true(len(given) > 0, "gradient_norms_through_time: the model was never called.")
    x = given[-1]
    expect.shape(x, (1, 40, 50), "gradient_norms_through_time (what the model was given)")
    expect.dtype(x, torch.float64, "gradient_norms_through_time (what the model was given)")
    # 2000 standard normal numbers: mean within 5.5 / sqrt(2000), variance within 5.5 * sqrt(2 / 2000); that none of
    # them is beyond 2.4, or one beyond 7, has a probability of 1e-14 and 1e-8
    expect.between(float(x.mean()), -0.123, 0.123, "gradient_norms_through_time (mean of the sequence)")
    expect.between(float(x.var()), 0.826, 1.174, "gradient_norms_through_time (variance of the sequence)")
    expect.between(float(x.abs().max()), 2.4, 7.0, "gradient_norms_through_time (largest number of the sequence)")
    expect.is_true(
        len(torch.unique(x)) > 1990,
        "gradient_norms_through_time: the numbers of the sequence repeat themselves.",
    )
    step_means = x.mean(dim=(0, 2)).abs().max()
    expect.between(float(step_means), 0.0, 0.95, "gradient_norms_through_time (mean of a step)")


@probe
def norms_of_networks(student, T, seed):
    """An RNN, an LSTM as it comes, and an LSTM whose forget gates begin near 1."""
    answers = []
    for kind, forget in ((nn.RNN, 0.0), (nn.LSTM, 0.0), (nn.LSTM, 3.0), (nn.GRU, 0.0)):
        torch.manual_seed(seed)
        model = kind(8, 16, batch_first=True)
        if forget:
            with torch.no_grad():
                model.bias_ih_l0[16:32] = forget
        answers.append(student.gradient_norms_through_time(model, T))
    return answers


@pytest.mark.task("gradients_through_time", weight=2)
def test_an_open_gate_keeps_a_gradient_alive(student, seed):
    """gradient_norms_through_time: T lengths in float64, all finite; they fade in an RNN, not in an open LSTM."""
    rnn, lstm, gated, gru = norms_of_networks(student, 100, seed % 1000)

    for norms in (rnn, lstm, gated, gru):
        values = np.asarray(norms)
        expect.shape(values, (100,), "gradient_norms_through_time")
        expect.dtype(values, np.float64, "gradient_norms_through_time of networks in float32")
        expect.finite(values, "gradient_norms_through_time")
        expect.is_true(values[-1] > 1e-3, "gradient_norms_through_time: the last step has no gradient.")
    # over 250 seeds: at most 1e-16 for the RNN; for the open gates 10 to the power of -1.2 (sd 0.65), 0.001 to 5
    ratio = [float(norms[0]) / float(norms[-1]) for norms in (rnn, gated)]
    expect.between(ratio[0], 0.0, 1e-6, "gradient_norms_through_time of an RNN (first / last)")
    expect.between(ratio[1], 1e-6, 1e3, "gradient_norms_through_time of an LSTM, forget bias 3 (first / last)")


# --- 6.6 text

TEXTS = {
    "": [],
    " \n\t ": [],
    "...": [],
    "Good": ["good"],
    "No! NO!! no?!": ["no", "!", "no", "!", "!", "no", "?", "!"],
    "I don't, can't and won't.": ["i", "don't", "can't", "and", "won't"],
    "It\u2019s the actors\u2019 film": ["it's", "the", "actors", "film"],
    "'fine' 'n' 'twas": ["fine", "n", "twas"],
    "rock'n'roll o''clock": ["rock'n'roll", "o", "clock"],
    "well-made, half_baked/raw": ["well", "made", "half", "baked", "raw"],
    "3.5 stars of 10; 2nd film": ["3", "5", "stars", "of", "10", "2nd", "film"],
    "Caf\u00e9 \u00dcber \u043a\u0438\u043d\u043e": ["caf\u00e9", "\u00fcber", "\u043a\u0438\u043d\u043e"],
    "what?that": ["what", "?", "that"],
    "not a bad film, nor a good one, never": ["not", "a", "bad", "film", "nor", "a", "good", "one", "never"],
    "good good  good": ["good", "good", "good"],
    "<pad> <unk> (ok) \"ok\" [x] *y*": ["pad", "unk", "ok", "ok", "x", "y"],
    "a'!b": ["a", "!", "b"],
    "Stra\u00dfe ma\u00dfvoll": ["stra\u00dfe", "ma\u00dfvoll"],
    "o\u2018clock it`s \u2018fine\u2019": ["o", "clock", "it", "s", "fine"],
    "\u0663\u0664 stars \u0434\u0432\u0430": ["\u0663\u0664", "stars", "\u0434\u0432\u0430"],
    "Good.<br /><br />Q&amp;A": ["good", "br", "br", "q", "amp", "a"],
    "1,000 times in the U.S., e.g. on http://x.org": [
        "1", "000", "times", "in", "the", "u", "s", "e", "g", "on", "http", "x", "org"
    ],
    "a \ufb01lm; it\u00b4s": ["a", "\ufb01lm", "it", "s"],
    "Sooooo antidisestablishmentarian": ["sooooo", "antidisestablishmentarian"],
}  # fmt: skip


@probe
def tokens_of(student, texts):
    return [student.tokenize(text) for text in texts]


@pytest.mark.task("text", weight=4)
@pytest.mark.parametrize("half", ["first", "second"])
def test_texts_of_many_kinds_are_cut(student, half):
    """tokenize: go through the docstring's rules one by one: case, words, apostrophes, '!' and '?', all the rest."""
    texts = list(TEXTS)[::2] if half == "first" else list(TEXTS)[1::2]

    for text, tokens in zip(texts, tokens_of(student, texts), strict=True):
        expect.equal(tokens, TEXTS[text], f"tokenize({text!r})")


@probe
def vocabularies(student, min_freq, texts, again):
    """itos and stoi of a new vocabulary, after a fit by an iterator, and after another fit; two at the same time."""
    vocab, untouched = student.Vocab(min_freq), student.Vocab(min_freq)
    states = [(list(vocab.itos), dict(vocab.stoi), len(vocab))]
    returned = vocab.fit(iter(texts))
    states.append((list(vocab.itos), dict(vocab.stoi), len(vocab)))
    vocab.fit(again)
    states.append((list(vocab.itos), dict(vocab.stoi), len(vocab)))
    return states, returned is vocab, (list(untouched.itos), len(untouched))


def _vocabulary(texts, min_freq):
    counts = {}
    for text in texts:
        for token in re.findall(r"[a-z]+|!", text.lower()):
            counts[token] = counts.get(token, 0) + 1
    known = sorted((-count, token) for token, count in counts.items() if count >= min_freq)
    return ["<pad>", "<unk>", *(token for _, token in known)]


@pytest.mark.task("text", weight=4)
@pytest.mark.parametrize("min_freq", [1, 2, 3, 50])
def test_vocabularies_by_frequency_then_alphabet(student, rng, min_freq):
    """Vocab: min_freq counts, the most frequent token comes first, then str order; fit forgets earlier fits."""
    words = np.array("the a film was good bad not never it dull end plot Zebra applesauce".split())
    texts, again = (
        [" ".join(rng.choice(words, size=5, p=np.arange(1, 15) / 105)) + "!" for _ in range(12)] for _ in range(2)
    )

    (new, fitted, refitted), is_itself, untouched = vocabularies(student, min_freq, texts, again)

    for state, want, when in (
        (new, ["<pad>", "<unk>"], "before fit"),
        (fitted, _vocabulary(texts, min_freq), f"with min_freq={min_freq}"),
        (refitted, _vocabulary(again, min_freq), "after a second fit"),
    ):
        expect.equal(state[0], want, f"Vocab.itos {when}")
        expect.equal(state[1], {token: number for number, token in enumerate(want)}, f"Vocab.stoi {when}")
        expect.equal(state[2], len(want), f"len(vocab) {when}")
    if min_freq == 1:  # once, as this is one sentence of the docstring
        expect.is_true(is_itself, "Vocab.fit: it does not return the vocabulary itself.")
    expect.equal(untouched, (["<pad>", "<unk>"], 2), "Vocab: another vocabulary that was never fitted")


@pytest.mark.task("text")
def test_one_token_counts_once_in_a_thousand_places(student):
    """Vocab: min_freq is 1 unless told otherwise, and then every token is known."""
    vocab = student.Vocab()
    vocab.fit(["b a", "c"])

    expect.equal(list(vocab.itos), ["<pad>", "<unk>", "a", "b", "c"], "Vocab().fit(...).itos")
    words = ["zoo", "\u00e9t\u00e9", "eta", "donald", "don't", "7", *(f"w{k}" for k in range(60000))]
    vocab.fit([" ".join(words)])
    expect.equal(len(vocab), len(words) + 2, "len(Vocab().fit(...)) of many tokens")
    few = ["<pad>", "<unk>", "7", "don't", "donald", "eta"]
    expect.equal(list(vocab.itos)[:6], few, "the first of Vocab().fit(...).itos")
    expect.equal(list(vocab.itos)[-2:], ["zoo", "\u00e9t\u00e9"], "the last of Vocab().fit(...).itos")


@probe
def encoded(student, known, min_freq, texts):
    vocab = student.Vocab(min_freq)
    vocab.fit(known)
    before = list(vocab.itos), dict(vocab.stoi)
    ids = [student.encode(text, vocab) for text in texts]
    again = [student.encode(text, vocab) for text in texts]
    return ids, again, len(vocab), list(vocab.itos), before == (list(vocab.itos), dict(vocab.stoi))


@pytest.mark.task("text", weight=2)
def test_unseen_words_teach_the_vocabulary_nothing(student):
    """encode: one id for each token, 1 for each that is not known, and the vocabulary does not change."""
    texts = ["", "Bad GOOD", "the dreadful dreadful film!", "<pad> <unk>", "rare good", "bad, " * 3000]

    ids, again, size, itos, is_unchanged = encoded(student, ["good bad the", "bad bad the film", "rare film"], 2, texts)

    # bad 3, film 2, the 2
    expect.equal(itos, ["<pad>", "<unk>", "bad", "film", "the"], "Vocab(2).fit(...).itos")
    expect.equal(ids, [[], [2, 1], [4, 1, 1, 3, 1], [1, 1], [1, 1], [2] * 3000], "encode")
    expect.equal(again, ids, "encode, a second time")
    expect.equal(size, 5, "len(vocab) after encode")
    expect.is_true(is_unchanged, "encode: it changed the vocabulary (itos or stoi).")


@pytest.mark.task("text", weight=3)
def test_batches_of_many_lengths(student, rng):
    """pad_batch: every sequence begins in column 0, zeros follow; ids, mask and lengths have the docstring's dtypes."""
    for lengths in ([3, 1, 4, 2], [5, 5, 5], [2, 7], [4], [1], [0, 3, 0], [6, 0], [3000, 2]):
        sequences = [rng.integers(1, 50, size=length).tolist() for length in lengths]
        before = [list(sequence) for sequence in sequences]

        ids, mask, got = student.pad_batch(sequences)

        want = np.zeros((len(lengths), max(lengths)), dtype=np.int64)
        for row, sequence in zip(want, sequences, strict=True):
            row[: len(sequence)] = sequence
        place = np.arange(max(lengths)) < np.array(lengths)[:, np.newaxis]
        expect.close(ids, torch.from_numpy(want), f"pad_batch of lengths {lengths} (ids)", dtype=torch.int64)
        expect.dtype(mask, torch.bool, f"pad_batch of lengths {lengths} (mask)")
        expect.equal(mask, torch.from_numpy(place), f"pad_batch of lengths {lengths} (mask)")
        expect.dtype(got, torch.int64, f"pad_batch of lengths {lengths} (lengths)")
        expect.equal(got, torch.tensor(lengths), f"pad_batch of lengths {lengths} (lengths)")
        expect.equal(sequences, before, "pad_batch (the given lists)")


@pytest.mark.task("text")
def test_a_batch_of_nothing_is_refused(student):
    """pad_batch: no sequences are a ValueError; lengths and mask come from the lists, not from looking for zeros."""
    with expect.refused(ValueError, "pad_batch of no sequences"):
        student.pad_batch([])
    ids, mask, lengths = student.pad_batch([[0, 3], [2]])
    expect.equal(lengths, torch.tensor([2, 1]), "pad_batch of a sequence with a 0 in it (lengths)")
    expect.equal(mask, torch.tensor([[True, True], [True, False]]), "pad_batch of a sequence with a 0 in it (mask)")
    expect.equal(ids, torch.tensor([[0, 3], [2, 0]]), "pad_batch of a sequence with a 0 in it (ids)")


# --- 6.7 sequence_classifier

# Over 20 seeds (2,000 sentences to learn from, 1,000 unseen) the reference is right on 0.9999 of all and on
# 0.9999 of the negated ones (standard deviations 0.0003 and 0.0004): the floors are those of the docstring, far
# below the mean less four of these. Counting words gets 0.51 right.
FLOOR, NEGATED_FLOOR = 0.97, 0.95
# The docstrings promise CPU seconds; a machine may be half as fast as the one they were measured on.
SLOW_MACHINE = 2

CONFIGURATIONS = [
    ("rnn", 1, False), ("lstm", 1, False), ("gru", 1, False), ("lstm", 2, True), ("gru", 2, False), ("rnn", 1, True),
]  # fmt: skip


@probe
def anatomy(student, configurations):
    """Of each model: its embeddings, recurrent networks, the width of its scores, and whether its padding is zero."""
    found = []
    for cell, layers, both in configurations:
        model = student.SequenceClassifier(11, 3, 5, cell, 4, num_layers=layers, bidirectional=both)
        tables = [module for module in model.modules() if isinstance(module, nn.Embedding)]
        readers = [module for module in model.modules() if isinstance(module, nn.RNNBase)]
        kinds = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
        scores = model(torch.tensor([[2, 3, 4], [5, 6, 0], [7, 8, 9]]), torch.tensor([3, 2, 3]))
        found.append(
            (
                [tuple(table.weight.shape) for table in tables],
                [
                    (isinstance(r, kinds[cell]), r.input_size, r.hidden_size, r.num_layers, r.bidirectional)
                    for r in readers
                ],
                tuple(scores.shape),
                str(scores.dtype),
                bool((tables[0].weight[0] == 0).all()) if tables else False,
            )
        )
    default = student.SequenceClassifier(7, 3, 4)
    are_lstms = [isinstance(module, nn.LSTM) for module in default.modules() if isinstance(module, nn.RNNBase)]
    shape = tuple(default(torch.tensor([[2, 3]]), torch.tensor([2])).shape)
    return found, (are_lstms, shape)


@pytest.mark.task("sequence_classifier", weight=16.5)
def test_the_network_is_built_as_asked(student):
    """SequenceClassifier: every argument counts: rows, sizes, cell, layers, directions, classes; row 0 is zero."""
    found, default = anatomy(student, CONFIGURATIONS)

    for (cell, layers, both), (tables, readers, shape, dtype, is_zero) in zip(CONFIGURATIONS, found, strict=True):
        what = f"SequenceClassifier(11, 3, 5, {cell!r}, 4, num_layers={layers}, bidirectional={both})"
        expect.equal(tables, [(11, 3)], f"{what}: its embeddings")
        expect.equal(
            readers,
            [(True, 3, 5, layers, both)],
            f"{what}: its recurrent networks (is it an nn.{cell.upper()}, input, hidden, layers, bidirectional)",
        )
        expect.equal(shape, (3, 4), f"{what}: shape of the scores")
        expect.equal(dtype, "torch.float32", f"{what}: dtype of the scores")
        expect.is_true(is_zero, f"{what}: row 0 of the embedding, the padding, is not zero.")
    expect.equal(
        default,
        ([True], (1, 2)),
        "SequenceClassifier(7, 3, 4): is its network an LSTM, and shape of the scores",
    )


@probe
def readings(student, configurations, sequences, extra):
    """Scores of the sentences: together, with more padding, in reverse order, one by one; and called again."""
    found = []
    width = max(len(sequence) for sequence in sequences)
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    ids = torch.tensor([sequence + [0] * (width - len(sequence)) for sequence in sequences])
    wide = torch.nn.functional.pad(ids, (0, extra))
    given = wide.clone(), lengths.clone()
    for cell, layers, both in configurations:
        torch.manual_seed(5)
        model = student.SequenceClassifier(20, 6, 7, cell, 3, num_layers=layers, bidirectional=both).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(2.0)
            together = model(ids, lengths)
            padded = model(wide, lengths)
            turned = model(ids.flip(0), lengths.flip(0)).flip(0)
            single = torch.cat(
                [model(torch.tensor([sequence]), torch.tensor([len(sequence)])) for sequence in sequences]
            )
            found.append([scores.numpy() for scores in (together, padded, turned, single, model(ids, lengths))])
    return found, torch.equal(wide, given[0]) and torch.equal(lengths, given[1])


def _sentences(rng, lengths):
    return [rng.integers(1, 20, size=length).tolist() for length in lengths]


@pytest.mark.task("sequence_classifier", weight=3)
@pytest.mark.parametrize("lengths", [[2, 7, 4, 1, 5], [6, 3, 3]])
def test_a_sentence_is_read_for_itself(student, rng, lengths):
    """SequenceClassifier.forward: padding, order and company of a sentence change nothing; its own tokens do."""
    found, is_unchanged = readings(student, CONFIGURATIONS, _sentences(rng, lengths), 4)

    for (cell, layers, both), (together, padded, turned, single, again) in zip(CONFIGURATIONS, found, strict=True):
        what = f"SequenceClassifier({cell!r}, num_layers={layers}, bidirectional={both})"
        for scores, how in (
            (padded, "with more padding"),
            (turned, "in reverse order"),
            (single, "one by one"),
            (again, "called again"),
        ):
            expect.close(scores, together, f"{what} {how}", rtol=1e-5, atol=2e-6)
        spread = np.abs(together - together[:1]).max()
        expect.is_true(bool(spread > 1e-3), f"{what}: all sentences have the same scores.")
    expect.is_true(is_unchanged, "SequenceClassifier: it changed its ids or lengths.")


@probe
def influences(student, configurations, ids, changed_first, changed_last, swapped):
    """How much scores move when a token changes; where there are two directions, also with one of them silent."""
    found = []
    lengths = torch.full((len(ids),), ids.shape[1])
    for cell, layers, both in configurations:
        row = []
        for silent in ("", "forward", "backward") if both else ("",):
            torch.manual_seed(6)
            model = student.SequenceClassifier(20, 6, 7, cell, 3, num_layers=layers, bidirectional=both).eval()
            with torch.no_grad():
                for module in model.modules():
                    if isinstance(module, nn.RNNBase):
                        for name, parameter in module.named_parameters():
                            backward = name.endswith("_reverse")
                            if silent and backward == (silent == "backward"):
                                parameter.zero_()
                            else:
                                parameter.mul_(2.0)
                plain = model(ids, lengths)
                row.append(
                    [
                        float((model(other, lengths) - plain).abs().max())
                        for other in (changed_first, changed_last, swapped)
                    ]
                )
        found.append(row)
    return found


@pytest.mark.task("sequence_classifier", weight=8.25)
def test_every_token_has_a_say_and_so_has_the_order(student, rng):
    """SequenceClassifier.forward: all tokens and their order count, in each direction that the network reads."""
    # twelve sentences: in one alone a maximum over the tokens may not hear of a change
    ids = torch.from_numpy(np.stack([rng.permutation(np.arange(1, 20))[:5] for _ in range(12)]))
    first, last, swapped = ids.clone(), ids.clone(), ids[:, [0, 2, 1, 3, 4]]
    first[:, 0], last[:, -1] = ids[:, 0] % 19 + 1, ids[:, -1] % 19 + 1

    found = influences(student, CONFIGURATIONS, ids, first, last, swapped)

    for (cell, layers, both), rows in zip(CONFIGURATIONS, found, strict=True):
        what = f"SequenceClassifier({cell!r}, num_layers={layers}, bidirectional={both})"
        for row, way in zip(rows, ("", " read backward alone", " read forward alone"), strict=False):
            for moved, change in zip(row, ("first token", "last token", "order of two tokens"), strict=True):
                expect.is_true(moved > 1e-7, f"{what}{way}: the {change} makes no difference to the scores.")


@probe
def scores_of_single_words(student, configurations, words):
    """Scores of sentences of one word, and what the model's own layers make of them, one after the other."""
    found = []
    for cell, layers, both in configurations:
        torch.manual_seed(9)
        model = student.SequenceClassifier(20, 6, 7, cell, 3, num_layers=layers, bidirectional=both).eval()
        kinds = (nn.Embedding, nn.RNNBase, nn.Linear)
        parts = [[module for module in model.modules() if isinstance(module, kind)] for kind in kinds]
        scores, want = [], []
        if [len(part) for part in parts] == [1, 1, 1]:
            (table,), (reader,), (head,) = parts
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.mul_(2.0)
                for word in words:
                    scores.append(model(torch.tensor([[word]]), torch.tensor([1])))
                    state = reader(table(torch.tensor([[word]])))[0][:, 0]
                    want.append(head(state) if head.in_features == state.shape[1] else scores[-1])
        found.append(([len(part) for part in parts], scores, want))
    return found


@pytest.mark.task("sequence_classifier")
def test_a_sentence_of_one_word_goes_straight_through_the_layers(student, rng):
    """SequenceClassifier: one embedding, one recurrent network, one linear layer; of one word, all vectors agree."""
    words = (rng.permutation(19)[:4] + 1).tolist()
    found = scores_of_single_words(student, CONFIGURATIONS, words)

    for (cell, layers, both), (counts, scores, want) in zip(CONFIGURATIONS, found, strict=True):
        what = f"SequenceClassifier({cell!r}, num_layers={layers}, bidirectional={both})"
        expect.equal(counts, [1, 1, 1], f"{what}: its embeddings, recurrent networks, and linear layers")
        for got, wanted in zip(scores, want, strict=True):
            expect.close(
                got, wanted, f"{what}: scores of one word", rtol=1e-4, atol=1e-5,
                hint="is there nothing else between embedding, recurrent network, linear layer and scores?",
            )  # fmt: skip


@probe
def learning_parameters(student, configurations, ids, lengths):
    """Names of parameters without a gradient, and the gradient of the padding's row."""
    found = []
    for cell, layers, both in configurations:
        torch.manual_seed(7)
        model = student.SequenceClassifier(20, 6, 7, cell, 3, num_layers=layers, bidirectional=both)
        scores = model(ids, lengths)
        (scores * torch.randn(scores.shape)).sum().backward()
        idle = [name for name, p in model.named_parameters() if p.grad is None or not bool(p.grad.any())]
        tables = [module.weight for module in model.modules() if isinstance(module, nn.Embedding)]
        padding = [bool(table.grad[0].any()) for table in tables if table.grad is not None]
        found.append((idle, any(padding), len(tables)))
    return found


@pytest.mark.task("sequence_classifier", weight=8.25)
def test_everything_learns_but_the_padding(student, rng):
    """SequenceClassifier: a loss reaches all parameters: layers, directions, embedding; row 0 of it never learns."""
    ids, lengths = torch.from_numpy(rng.integers(1, 20, size=(3, 6))), torch.tensor([4, 6, 2])
    ids[0, 4:], ids[2, 2:] = 0, 0

    found = learning_parameters(student, CONFIGURATIONS, ids, lengths)

    for (cell, layers, both), (idle, padding, tables) in zip(CONFIGURATIONS, found, strict=True):
        what = f"SequenceClassifier({cell!r}, num_layers={layers}, bidirectional={both})"
        expect.is_true(tables > 0 and not idle, f"{what}: no gradient reaches {', '.join(idle) or 'an nn.Embedding'}.")
        expect.is_true(not padding, f"{what}: the embedding of the padding has a gradient.")


@pytest.mark.task("sequence_classifier")
def test_scores_are_raw_and_cells_are_known(student, rng):
    """SequenceClassifier: the scores are raw, without softmax, and another cell is a ValueError."""
    torch.manual_seed(3)
    model = student.SequenceClassifier(20, 6, 7, "lstm", 4)
    ids = torch.from_numpy(rng.integers(1, 20, size=(5, 6)))

    scores = model(ids, torch.tensor([6, 5, 4, 3, 2])).detach()

    sums = (scores.sum(dim=1), scores.exp().sum(dim=1))
    are_raw = not any(torch.allclose(total, torch.ones(5), atol=1e-4) for total in sums)
    expect.is_true(are_raw, "SequenceClassifier: its scores are probabilities. Leave the softmax to the loss.")
    for cell in ("transformer", "LSTMs", ""):
        with expect.refused(ValueError, f"SequenceClassifier(cell={cell!r})"):
            student.SequenceClassifier(20, 6, 7, cell)


@probe
def a_trained_reader(student, sequences, labels, unseen, size, seed):
    """Train with the default number of epochs; predict; and say what moved, and in which mode it ended."""
    torch.manual_seed(seed)
    model = student.SequenceClassifier(size, 16, 32, "lstm")
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    start = time.process_time()
    losses = student.train_classifier(model, sequences, labels, seed=seed)
    seconds = time.process_time() - start
    modes = [part.training for part in model.modules()]
    predicted = student.predict_classes(model, unseen)
    idle = [name for name, parameter in model.named_parameters() if torch.equal(parameter, before[name])]
    tables = [module.weight for module in model.modules() if isinstance(module, nn.Embedding)]
    padding = bool(tables[0][0].any())
    going_on = student.train_classifier(model, sequences, labels, epochs=1, seed=seed + 1)
    return list(losses), predicted, modes, idle, padding, list(going_on), seconds


@pytest.fixture(scope="module")
def reading(student, seed):
    """One training run on sentences that come sorted by label, and the truth about unseen ones."""
    texts, labels, _ = sentiment(2000, seed=(seed, 1))
    unseen, truth, negated = sentiment(1000, seed=(seed, 2))
    ids = {}
    rows = [
        [ids.setdefault(word, len(ids) + 2) for word in re.findall(r"[a-z']+", text.lower())] for text in texts + unseen
    ]
    order = np.argsort(labels, kind="stable")
    found = a_trained_reader(student, [rows[k] for k in order], labels[order], rows[2000:], len(ids) + 2, seed % 1000)
    return found, truth, negated


@pytest.mark.task("sequence_classifier", weight=3)
def test_unseen_opinions_are_understood(reading):
    """train_classifier: the docstring says what share of unseen and of negated opinions must be right."""
    (_, predicted, *_), truth, negated = reading

    expect.dtype(predicted, np.int64, "predict_classes")
    expect.accuracy(predicted, truth, FLOOR, "train_classifier on sentiment")
    expect.accuracy(
        predicted[negated], truth[negated], NEGATED_FLOOR, "train_classifier on negated opinions of sentiment"
    )


@pytest.mark.task("sequence_classifier")
def test_training_moves_everything_and_reports_its_losses(reading):
    """train_classifier: all parameters learn from where they are, the losses fall, and the model ends in eval mode."""
    (losses, _, modes, idle, padding, going_on, _), _, _ = reading

    expect.is_true(all(isinstance(loss, float) for loss in losses), "train_classifier: the losses are no floats.")
    # over 20 seeds the first epoch of the reference costs 0.67 to 0.70 on the mean, the last at most 0.007
    expect.is_true(
        len(losses) >= 1 and losses[0] < 0.85 and losses[-1] < 0.3 and losses[-1] == min(losses[0], losses[-1]),
        f"train_classifier: wrong losses. Got {[round(loss, 4) for loss in losses[:8]]}, expected to fall from 0.7.",
    )
    expect.equal(modes, [False] * len(modes), "train_classifier: training of the model and its layers afterwards")
    expect.is_true(not idle, f"train_classifier: {', '.join(idle)} never changed.")
    expect.is_true(not padding, "train_classifier: the embedding of the padding is no longer zero.")
    expect.is_true(
        len(going_on) == 1 and going_on[0] < losses[0] / 2,
        "train_classifier: a model that was trained before begins from new parameters.",
    )


@pytest.mark.task("sequence_classifier")
def test_a_lesson_takes_seconds(reading):
    """train_classifier: the docstring says how long it may take; read the sentences of a batch together."""
    (*_, seconds), _, _ = reading

    expect.at_most(seconds, 20 * SLOW_MACHINE, "train_classifier: CPU seconds of a training", asked=20)


@probe
def watched_lessons(student, sequences, labels, scores, epochs, seeds):
    """Train a model that cannot learn and looks at what it is given: the first id of a sentence is its number."""

    class Watcher(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(3))
            self.inner = nn.Sequential(nn.Dropout(0.5))
            self.seen = []

        def forward(self, ids, lengths):
            rows = [row[:length].tolist() for row, length in zip(ids, lengths.tolist(), strict=True)]
            is_padded = bool((ids.sum(1) == torch.tensor([sum(row) for row in rows])).all())
            if torch.is_grad_enabled():
                self.seen.append((rows, all(part.training for part in self.modules()), is_padded))
            return scores[ids[:, 0]] + 0.0 * self.weight.sum()

    found = []
    for number, seed in enumerate(seeds):
        torch.manual_seed(50 + number)
        np.random.seed(50 + number)
        model = Watcher().eval()
        losses = student.train_classifier(model, sequences, labels, epochs=epochs, seed=seed)
        found.append((list(losses), model.seen, [part.training for part in model.modules()]))
    return found


def _followers(order, other):
    """How often two entries follow each other in one order as in the other; of two random ones about once."""
    return len(set(itertools.pairwise(order)) & set(itertools.pairwise(other)))


@pytest.mark.task("sequence_classifier", weight=6)
def test_each_epoch_visits_every_sentence_once(student, rng):
    """train_classifier: all sentences in a new random order in each epoch, in train mode; the mean loss of all."""
    sequences = [[k, *rng.integers(1, 30, size=rng.integers(0, 6)).tolist()] for k in range(1, 302)]
    labels = rng.integers(0, 3, size=301)
    scores = torch.from_numpy(rng.normal(scale=2.0, size=(302, 3)).astype(np.float32))
    kept = [list(sequence) for sequence in sequences], labels.copy()

    first, again, other = watched_lessons(student, sequences, labels, scores, 3, [4, 4, 5])

    want = float(nn.functional.cross_entropy(scores[1:], torch.from_numpy(labels)))
    expect.equal(len(first[0]), 3, "train_classifier(epochs=3): number of losses")
    for loss in first[0]:
        expect.close(loss, want, "train_classifier (mean loss of an epoch)", rtol=1e-5)
    orders = []
    for _, seen, modes in (first, again, other):
        visits = [row for rows, _, _ in seen for row in rows]
        expect.equal(len(visits), 903, "train_classifier(epochs=3) with 301 sentences: sentences visited")
        for epoch in range(3):
            part = visits[301 * epoch : 301 * (epoch + 1)]
            expect.equal(sorted(part), kept[0], f"train_classifier: sentences of epoch {epoch + 1}")
        expect.is_true(
            all(mode for _, mode, _ in seen),
            "train_classifier: the model, or a layer of it, is not in train mode.",
        )
        expect.is_true(all(padded for *_, padded in seen), "train_classifier: padding is not 0.")
        expect.equal(modes, [False] * len(modes), "train_classifier: training of the model and its layers afterwards")
        orders.append([row[0] for row in visits])
    epochs = [orders[0][301 * epoch : 301 * (epoch + 1)] for epoch in range(3)]
    for one, other_one in ((0, 1), (0, 2), (1, 2)):
        expect.is_true(
            _followers(epochs[one], epochs[other_one]) < 15,
            "train_classifier: the sentences come in the same order in each epoch.",
        )
    for epoch in epochs:
        expect.is_true(
            _followers(epoch, list(range(1, 302))) < 15,
            "train_classifier: the sentences come in the order in which they were given, or in pieces of it.",
        )
    sizes = {row[0]: len(row) for row in sequences}
    for epoch in epochs:  # a third has 100 lengths from 1 to 6: the means differ by 0 with a deviation of 0.24
        early, late = (float(np.mean([sizes[k] for k in part])) for part in (epoch[:100], epoch[-100:]))
        expect.is_true(abs(early - late) < 1.7, "train_classifier: the sentences come sorted by their length.")
    expect.is_true(orders[0] == orders[1], "train_classifier: the same seed gives another order.")
    expect.is_true(
        _followers(orders[0][:301], orders[2][:301]) < 15,
        "train_classifier: another seed gives the same order.",
    )
    expect.equal(sequences, kept[0], "train_classifier (sequences)")
    expect.unchanged(labels, kept[1], "train_classifier (labels)")
    sure = torch.zeros(302, 3)
    sure[torch.arange(1, 302), torch.from_numpy(labels)] = 20.0
    ((losses, seen, _),) = watched_lessons(student, sequences[:20], labels[:20], sure, 8, [4])
    what = "train_classifier(epochs=8) of a model that is right already"
    expect.equal(len(losses), 8, f"{what}: number of losses")
    expect.equal(sum(len(rows) for rows, _, _ in seen), 160, f"{what}: sentences visited, of 20")


@probe
def watched_steps(student, sequences, labels, slope):
    """Train with an enormous slope and note gradients: before the backward pass, after it, at the step."""
    model = student.SequenceClassifier(12, 4, 5, "gru")
    head = [module for module in model.modules() if isinstance(module, nn.Linear)][-1]
    head.register_forward_hook(lambda module, given, out: out * slope)
    parameters = list(model.parameters())
    before, after, at_step, turned, whole = [], [], [], [], []

    def flat():
        grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        return torch.cat([grad.detach().double().flatten() for grad in grads])

    def length():
        return float(flat().norm())

    def stepping(*given):
        at_step.append(length())
        turned.append(float(nn.functional.cosine_similarity(flat(), whole[-1], dim=0)) if whole else 1.0)

    original = torch.Tensor.backward

    def backward(self, *args, **kwargs):
        before.append(length())
        answer = original(self, *args, **kwargs)
        after.append(length())
        whole.append(flat())
        return answer

    hook = optimizers.register_optimizer_step_pre_hook(stepping)
    torch.Tensor.backward = backward
    try:
        with spies.watched() as notes:
            student.train_classifier(model, sequences, labels, epochs=1, seed=2)
    finally:
        torch.Tensor.backward = original
        hook.remove()
    return before, after, at_step, turned, notes.squashed


@pytest.mark.task("sequence_classifier", weight=6)
def test_gradients_are_cleared_and_clipped_in_time(student, rng):
    """train_classifier: clear, backward, clip all gradients by one factor as in 6.5, step; raw scores for the loss."""
    sequences = [rng.integers(1, 12, size=rng.integers(1, 7)).tolist() for _ in range(400)]

    labels = rng.integers(0, 2, size=400)

    before, after, at_step, turned, squashed = watched_steps(student, sequences, labels, 1e6)

    expect.is_true(not any(before), "train_classifier: a backward pass began with the gradient of the last one.")
    expect.is_true(
        not all(squashed) or not squashed,
        "train_classifier: cross-entropy does the softmax itself; give it raw scores.",
    )
    if at_step and after:
        longest = max(after)
        expect.is_true(longest > 1e3, "train_classifier: no gradient reached the parameters.")
        expect.is_true(
            max(at_step) < 0.02 * longest,
            f"train_classifier: the gradient was not clipped before the step. Got a length of {max(at_step):.3g} "
            f"there, after {longest:.3g} in the backward pass.",
        )
        expect.is_true(
            min(turned) > 0.999,
            "train_classifier: clipping turned the gradient. Shorten all gradients by one factor, as in 6.5.",
        )


@probe
def parameters_of_seeds(student, sequences, labels, seeds):
    """Train equal models briefly under each seed, with other draws before each; all parameters in a row."""
    rows = []
    for number, seed in enumerate(seeds):
        torch.manual_seed(9)
        model = student.SequenceClassifier(12, 4, 5)
        torch.manual_seed(100 + number)
        np.random.seed(100 + number)
        options = {} if seed is None else {"seed": seed}
        student.train_classifier(model, sequences, labels, epochs=1, **options)
        rows.append(torch.cat([parameter.detach().flatten() for parameter in model.parameters()]).numpy())
    return rows


@pytest.mark.task("sequence_classifier")
def test_the_same_model_and_seed_end_in_the_same_place(student, rng):
    """train_classifier: the seed alone decides what is drawn, whatever was drawn before; another ends elsewhere."""
    sequences = [rng.integers(1, 12, size=rng.integers(1, 7)).tolist() for _ in range(80)]

    labels = rng.integers(0, 2, size=80)
    first, again, other, plain, zero = parameters_of_seeds(student, sequences, labels, [5, 5, 6, None, 0])

    expect.close(again, first, "train_classifier: parameters under the same seed", rtol=1e-4, atol=1e-6)
    expect.is_true(not np.allclose(other, first), "train_classifier: two seeds end in the same parameters.")
    expect.close(plain, zero, "train_classifier: parameters without a seed, beside seed=0", rtol=1e-4, atol=1e-6)


@probe
def classes_in_both_modes(student, sequences, scores):
    """Classes of a model that drops and looks at its mode, of all sentences and of one, from both modes."""

    class Dropping(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(()))
            self.drop = nn.Dropout(0.5)
            self.recorded = []

        def forward(self, ids, lengths):
            picked = scores[ids[torch.arange(len(ids)), lengths - 1]]
            out = self.drop(picked * self.weight)
            self.recorded.append(out.requires_grad)
            return out

    model = Dropping()
    model.weight.grad = torch.tensor(7.0)
    found = []
    for training in (True, False):
        model.train(training)
        together = student.predict_classes(model, sequences)
        single = [student.predict_classes(model, [sequence]) for sequence in sequences[:3]]
        found.append((together, single, [part.training for part in model.modules()]))
    records = torch.is_grad_enabled()
    with torch.no_grad():
        student.predict_classes(model, sequences)
        records = records, torch.is_grad_enabled()
    torch.set_grad_enabled(True)
    grad = model.weight.grad
    is_kept = model.weight.requires_grad and grad is not None and float(grad) == 7.0 and float(model.weight) == 1.0
    return found, any(model.recorded), records, is_kept


@pytest.mark.task("sequence_classifier", weight=4.5)
def test_classes_do_not_depend_on_mode_or_company(student, rng):
    """predict_classes: eval mode and no gradients; then model, layers and recording are as they were before."""
    sequences = [[*rng.integers(1, 30, size=rng.integers(0, 6)).tolist(), k] for k in rng.permutation(29) + 1]
    scores = torch.from_numpy(rng.normal(size=(30, 4)).astype(np.float32))
    truth = scores.numpy()[[sequence[-1] for sequence in sequences]].argmax(axis=1)
    kept = [list(sequence) for sequence in sequences]

    found, with_gradients, (records, within), is_kept = classes_in_both_modes(student, sequences, scores)

    for (together, single, modes), training in zip(found, (True, False), strict=True):
        expect.dtype(together, np.int64, "predict_classes")
        expect.equal(together, truth, "predict_classes")
        for label, want in zip(single, truth, strict=False):
            expect.equal(label, np.array([want]), "predict_classes of a single sentence")
        expect.equal(modes, [training] * len(modes), "predict_classes: training of the model and its layers afterwards")
    expect.is_true(not with_gradients, "predict_classes: it keeps a graph for gradients.")
    expect.is_true(records, "predict_classes: afterwards nothing keeps a graph for gradients any more.")
    expect.is_true(not within, "predict_classes: afterwards a caller's torch.no_grad() does not hold any more.")
    expect.is_true(is_kept, "predict_classes: it changed the model's parameter, its .grad or its requires_grad.")
    expect.equal(sequences, kept, "predict_classes (sequences)")


# --- 6.8 forecasting


@pytest.mark.task("forecasting", weight=2)
def test_windows_of_random_series(student, rng):
    """make_windows: a pair for every i for which X[i] and y[i] are inside the series, which stays as it is."""
    series = rng.normal(size=(13, 2))[:, 0]
    before = series.copy()
    for window, horizon in ((1, 1), (3, 1), (4, 3), (1, 5), (12, 1), (6, 7)):
        X, y = student.make_windows(series, window, horizon)

        count = 13 - window - horizon + 1
        want_X = np.array([series[i : i + window] for i in range(count)])
        want_y = np.array([series[i + window + horizon - 1] for i in range(count)])
        expect.close(X, want_X, f"make_windows(window={window}, horizon={horizon}) (X)", dtype=np.float64)
        expect.close(y, want_y, f"make_windows(window={window}, horizon={horizon}) (y)", dtype=np.float64)
    expect.unchanged(series, before, "make_windows (series)")


@pytest.mark.task("forecasting")
def test_a_series_too_short_for_a_pair_is_refused(student):
    """make_windows: a ValueError where window and target do not both fit."""
    for length, window, horizon in ((5, 5, 1), (5, 3, 3), (2, 4, 1)):
        with expect.refused(ValueError, f"make_windows of {length} values, window={window}, horizon={horizon}"):
            student.make_windows(np.arange(float(length)), window, horizon)


@pytest.mark.task("forecasting", weight=2)
def test_time_is_cut_once(student, rng):
    """time_split: train is the first L - n_test values whatever context is; what is out of range is a ValueError."""
    series = rng.normal(size=11)
    before = series.copy()
    for n_test, context in ((3, 0), (3, 4), (1, 0), (1, 10), (10, 1), (10, 0), (4, 7)):
        train, test = student.time_split(series, n_test, context)

        what = f"time_split(n_test={n_test}, context={context})"
        expect.close(train, before[: 11 - n_test], f"{what} (train)")
        expect.close(test, before[11 - n_test - context :], f"{what} (test)")
    expect.unchanged(series, before, "time_split (series)")
    for n_test, context in ((0, 0), (11, 0), (12, 0), (-1, 0), (4, 8), (4, -1)):
        with expect.refused(ValueError, f"time_split of 11 values with n_test={n_test}, context={context}"):
            student.time_split(series, n_test, context)


@pytest.mark.task("forecasting")
def test_naive_forecasts_look_back_one_season(student, rng):
    """naive_forecast: the value `season` steps before the one to forecast; a season out of range is a ValueError."""
    X = rng.normal(size=(5, 4))
    before = X.copy()
    for season in (1, 2, 3, 4):
        got = student.naive_forecast(X, season)

        expect.close(got, before[:, 4 - season], f"naive_forecast(season={season})")
    expect.close(student.naive_forecast(X), before[:, 3], "naive_forecast (season left out)")
    expect.unchanged(X, before, "naive_forecast (X)")
    for season in (0, 5, -1):
        with expect.refused(ValueError, f"naive_forecast of windows of 4 with season={season}"):
            student.naive_forecast(X, season)


@pytest.mark.task("forecasting", weight=2)
def test_errors_of_random_forecasts(student, rng):
    """mae and mase: means of absolute values; the scale of mase is the naive error in the training series."""
    y, forecast = rng.normal(size=7), rng.normal(size=7)
    train = np.cumsum(rng.normal(size=12))
    before = y.copy(), forecast.copy(), train.copy()
    error = float(np.abs(y - forecast).mean())

    expect.close(student.mae(y, forecast), error, "mae")
    expect.close(student.mae(forecast, y), error, "mae (arguments changed over)")
    expect.close(student.mae(y, y.copy()), 0.0, "mae of a perfect forecast")
    for season in (1, 2, 5, 11):
        scale = np.mean([abs(train[t] - train[t - season]) for t in range(season, 12)])
        got = student.mase(y, forecast, train, season)
        expect.close(got, error / scale, f"mase(season={season})")
    scale = np.abs(np.diff(before[2])).mean()
    expect.close(student.mase(y, forecast, train), error / scale, "mase (season left out)")
    for now, was, name in zip((y, forecast, train), before, ("y", "forecast", "train"), strict=True):
        expect.unchanged(now, was, f"mae and mase ({name})")


@pytest.mark.task("forecasting")
def test_shapes_that_would_broadcast_have_no_error_to_report(student, rng):
    """mae and mase: a ValueError where shapes differ, and in mase where the naive error is 0."""
    y, train = rng.normal(size=7), rng.normal(size=9)
    for forecast in (rng.normal(size=(7, 1)), rng.normal(size=1), rng.normal(size=(1, 7))):
        with expect.refused(ValueError, f"mae of shapes (7,) and {forecast.shape}"):
            student.mae(y, forecast)
        with expect.refused(ValueError, f"mase of shapes (7,) and {forecast.shape}"):
            student.mase(y, forecast, train)
    for flat, season in ((np.full(9, 3.0), 1), (np.tile([1.0, 5.0, 2.0], 3), 3)):
        with expect.refused(ValueError, "mase where the naive forecast makes no error"):
            student.mase(y, y + 1.0, flat, season)


@probe
def forecasts_of_a_new_model(student, X, means, stds):
    """Parts of a new LSTMForecaster, its forward, and its forecasts in the units that mean and std say."""
    torch.manual_seed(4)
    model = student.LSTMForecaster(X.shape[1], hidden=6)
    networks = [m for m in model.modules() if isinstance(m, nn.LSTM)]
    parts = [(m.input_size, m.hidden_size) for m in networks]
    first = float(model.mean), float(model.std)
    found = []
    for mean, std in zip(means, stds, strict=True):
        for name, value in (("mean", mean), ("std", std)):
            if isinstance(getattr(model, name), torch.Tensor):
                getattr(model, name).fill_(value)  # a buffer
            else:
                setattr(model, name, value)
        scaled = torch.from_numpy((X - mean) / std).float().requires_grad_()
        out = model(scaled)
        (slope,) = torch.autograd.grad(out.sum(), scaled)
        single = model.predict(X[:1])
        found.append((out.detach().numpy(), slope.abs().amax(dim=0).numpy(), model.predict(X), single))
    biases = [m.bias for m in model.modules() if isinstance(m, nn.Linear) and m.bias is not None]
    with torch.no_grad():
        before = model(scaled)
        for bias in biases[-1:]:
            bias.add_(50.0)
        risen = float((model(scaled) - before).abs().min()) if biases else math.inf
    default = [m.hidden_size for m in student.LSTMForecaster(3).modules() if isinstance(m, nn.LSTM)]
    return parts, default, first, found, risen


@pytest.mark.task("forecasting", weight=2)
def test_forecasts_come_in_the_units_of_the_series(student, rng):
    """LSTMForecaster: sizes as asked, mean 0 and std 1 at first; predict scales in and out, and knows its window."""
    X = rng.normal(loc=7.0, scale=2.0, size=(5, 8))
    before = X.copy()
    means, stds = [0.0, 7.0, -3.0], [1.0, 2.0, 10.0]

    parts, default, first, found, risen = forecasts_of_a_new_model(student, X, means, stds)

    expect.equal(parts, [(1, 6)], "LSTMForecaster(8, hidden=6): its LSTMs (input, hidden)")
    expect.equal(default, [24], "LSTMForecaster(3): hidden units")
    expect.equal(first, (0.0, 1.0), "LSTMForecaster: mean and std of a new one")
    for (out, slopes, forecast, single), mean, std in zip(found, means, stds, strict=True):
        what = f"LSTMForecaster with mean {mean} and std {std}"
        expect.shape(out, (5,), f"{what} (forward)")
        expect.is_true(bool((slopes > 0).all()), f"{what}: a value of the window makes no difference.")
        expect.close(forecast, out.astype(float) * std + mean, f"{what} (predict)", rtol=1e-5, dtype=np.float64)
        expect.close(single, forecast[:1], f"{what} (predict of one window)", rtol=1e-5)
    expect.is_true(risen > 2.5, "LSTMForecaster.forward: something holds its forecasts in narrow bounds.")
    expect.unchanged(X, before, "LSTMForecaster.predict (X)")
    for length in (7, 9):
        with expect.refused(ValueError, f"LSTMForecaster(8).predict of windows of {length}"):
            student.LSTMForecaster(8).predict(np.zeros((2, length)))


# Over 10 seeds the error of the reference is 0.51 of the naive one (standard deviation 0.035): the mean and four
# of these make 0.65, and the docstring asks for 0.75.
FORECAST_CEILING = 0.75


@probe
def forecasts_after_training(student, train, X, seed):
    start = time.process_time()
    model = student.train_forecaster(train, X.shape[1], seed=seed)
    seconds = time.process_time() - start
    return model.predict(X), float(model.mean), float(model.std), seconds


@pytest.fixture(scope="module")
def forecaster(student, seed):
    """One default training on 800 values of another level and scale, and its forecasts of the 200 after them."""
    series = -300.0 + 20.0 * waves(1000, seed=(seed, 3))
    train = series[:800].copy()
    X = np.lib.stride_tricks.sliding_window_view(series, 24)[776:-1].copy()
    return forecasts_after_training(student, train, X, seed % 1000), train, series


@pytest.mark.task("forecasting")
def test_a_forecaster_takes_seconds(forecaster):
    """train_forecaster: the docstring says how long it may take; read the windows of a batch together."""
    (*_, seconds), _, _ = forecaster

    expect.at_most(seconds, 20 * SLOW_MACHINE, "train_forecaster: CPU seconds of a training", asked=20)


@pytest.mark.task("forecasting", weight=3)
def test_a_forecaster_of_your_default_training(forecaster):
    """train_forecaster: mean and std of train, and forecasts as good as the docstring asks, in the series' units."""
    (forecast, mean, std, _), train, series = forecaster
    before = series[:800]

    expect.close(mean, float(before.mean()), "train_forecaster (mean)")
    expect.close(std, float(before.std()), "train_forecaster (std)")
    expect.shape(forecast, (200,), "train_forecaster(...).predict(X)")
    expect.finite(forecast, "train_forecaster(...).predict(X)")
    error = float(np.abs(series[800:] - forecast).mean())
    naive = float(np.abs(series[800:] - series[799:-1]).mean())
    expect.at_most(error / naive, FORECAST_CEILING, "train_forecaster (its error over the naive one)")
    expect.unchanged(train, before, "train_forecaster (train)")


@probe
def brief_forecasters(student, train, X, seeds):
    """Train briefly under each seed, with other draws before each; and once on a series that never changes."""
    rows = []
    for number, seed in enumerate(seeds):
        torch.manual_seed(100 + number)
        np.random.seed(100 + number)
        options = {} if seed is None else {"seed": seed}
        rows.append(student.train_forecaster(train, X.shape[1], epochs=1, **options).predict(X))
    scaled = student.train_forecaster(64.0 * train + 512.0, X.shape[1], epochs=1, seed=seeds[0])
    rows.append((scaled.predict(64.0 * X + 512.0) - 512.0) / 64.0)
    flat = student.train_forecaster(np.full(40, 6.0), 5, epochs=1, seed=0)
    return rows, (float(flat.mean), float(flat.std)), flat.predict(np.full((2, 5), 6.0))


@pytest.mark.task("forecasting", weight=2)
def test_the_seed_decides_and_units_do_not(student, seed):
    """train_forecaster: the seed alone decides; units change nothing; a series that never changes has an std of 1."""
    series = waves(200, seed=(seed, 4))
    X = np.lib.stride_tricks.sliding_window_view(series, 9)[-20:].copy()

    rows, flat, of_flat = brief_forecasters(student, series, X, [5, 5, 6, None, 0])
    first, again, other, plain, zero, scaled = rows

    expect.close(again, first, "train_forecaster under the same seed", rtol=1e-4, atol=1e-5)
    expect.is_true(not np.allclose(other, first), "train_forecaster: two seeds give the same forecasts.")
    expect.close(plain, zero, "train_forecaster without a seed, beside seed=0", rtol=1e-4, atol=1e-5)
    expect.close(scaled, first, "train_forecaster in other units", rtol=1e-2, atol=1e-2)
    expect.equal(flat, (6.0, 1.0), "train_forecaster of a series that never changes (mean, std)")
    expect.finite(of_flat, "train_forecaster of a series that never changes (forecasts)")


@probe
def forecasts_of_rare_events(student, series, X):
    """Forecasts for noise in which most values are 0 and a few are large."""
    return student.train_forecaster(series, X.shape[1], epochs=20, seed=2).predict(X)


@pytest.mark.task("forecasting")
def test_the_squared_error_aims_at_the_mean(student, rng):
    """train_forecaster: minimise the squared error, which aims at the mean of what may come."""
    series = rng.permutation(np.repeat([0.0, 10.0], [255, 45]))
    X = np.lib.stride_tricks.sliding_window_view(series, 3)[:-1].copy()

    forecast = forecasts_of_rare_events(student, series, X)

    # the mean is 1.5; a network that has learned nothing yet begins within 0.8 of it
    expect.between(float(np.mean(forecast)), 0.7, 2.7, "train_forecaster on values of 0 and 10 (mean forecast)")


@probe
def windows_of_a_training(student, train, window, epochs, scaled):
    """Numbers of the windows that forward was given, and whether a backward pass found gradients left over."""
    visited, forward = [], student.LSTMForecaster.forward

    def watching(self, x):
        if torch.is_grad_enabled():
            rows = x.detach().numpy().reshape(len(x), -1)
            visited.extend(int(abs(scaled - row).max(axis=1).argmin()) for row in rows)
        return forward(self, x)

    student.LSTMForecaster.forward = watching
    try:
        with spies.watched() as notes:
            student.train_forecaster(train, window, epochs=epochs, seed=1)
    finally:
        student.LSTMForecaster.forward = forward
    return visited, notes.left_over


@pytest.mark.task("forecasting", weight=4)
def test_each_epoch_sees_every_window_once(student, rng):
    """train_forecaster: all windows in each epoch, in a new random order, and each step from a clean gradient."""
    series = rng.normal(size=105)
    scaled = np.lib.stride_tricks.sliding_window_view((series - series.mean()) / series.std(), 5)[:-1].copy()

    visited, left_over = windows_of_a_training(student, series, 5, 3, scaled)
    of_flat, _ = windows_of_a_training(student, np.full(25, 3.0), 5, 8, np.zeros((20, 5)))

    expect.is_true(not any(left_over), "train_forecaster: a backward pass began with the gradient of the last one.")
    if visited:
        expect.equal(len(visited), 300, "train_forecaster(epochs=3) of 100 windows: windows visited")
        expect.equal(len(of_flat), 160, "train_forecaster(epochs=8) of 20 windows, all the same: windows visited")
        epochs = [visited[100 * epoch : 100 * (epoch + 1)] for epoch in range(3)]
        for number, epoch in enumerate(epochs, start=1):
            expect.equal(sorted(epoch), list(range(100)), f"train_forecaster: windows of epoch {number}")
        for one, other in ((0, 1), (0, 2), (1, 2)):
            expect.is_true(
                _followers(epochs[one], epochs[other]) < 15,
                "train_forecaster: the windows come in the same order in each epoch.",
            )
        for epoch in epochs:
            expect.is_true(
                _followers(epoch, list(range(100))) < 15,
                "train_forecaster: the windows come in the order of time, or in pieces of it.",
            )


@probe
def reports(student, series, tampered, n_test, window):
    """The report of a series, of one whose last values were tampered with, and what the parts say by themselves."""
    names = ("forecast", "mae", "naive_mae", "skill")
    found = []
    for values in (series, tampered):
        report = student.backtest(values, n_test, window, epochs=2, seed=3)
        found.append([report[name] for name in names])
    model = student.train_forecaster(series[:-n_test], window, epochs=2, seed=3)
    X = np.stack([series[k - window : k] for k in range(len(series) - n_test, len(series))])
    return found, model.predict(X)


@pytest.mark.task("forecasting", weight=3)
@pytest.mark.parametrize("sizes", [(30, 8, 1), (20, 25, 20), (1, 6, 1)])
def test_no_forecast_sees_its_own_future(student, seed, sizes):
    """backtest: all that is learned comes from the first L - n_test values; errors and skill in the series' units."""
    n_test, window, k = sizes
    series = 50.0 + 4.0 * waves(160, seed=(seed, 5))
    tampered = series.copy()
    tampered[-k:] += 1000.0
    before = series.copy()

    (honest, other), parts = reports(student, series, tampered, n_test, window)

    expect.shape(honest[0], (n_test,), "backtest (forecast)")
    expect.dtype(honest[0], np.float64, "backtest (forecast)")
    expect.close(
        other[0][: n_test - k + 1], honest[0][: n_test - k + 1],
        "backtest (forecasts made before the values that were tampered with)", rtol=1e-4,
    )  # fmt: skip
    expect.close(honest[0], parts, "backtest (forecast, beside train_forecaster and predict)", rtol=1e-4)
    for forecast, error, naive_error, skill in (honest, other):
        truth, last = (series, series) if forecast is honest[0] else (tampered, tampered)
        want = float(np.abs(truth[-n_test:] - forecast).mean())
        naive = float(np.abs(truth[-n_test:] - last[-n_test - 1 : -1]).mean())
        expect.close(error, want, "backtest (mae)")
        expect.close(naive_error, naive, "backtest (naive_mae)")
        expect.close(skill, 1.0 - want / naive, "backtest (skill)")
    expect.unchanged(series, before, "backtest (series)")


@probe
def detached(student):
    """Detach a state of each kind: numbers, and graphs of the new and the old tensors."""
    h, c = torch.arange(3.0, requires_grad=True) * 2.0, torch.ones(2, 2, requires_grad=True) * 3.0
    alone, pair = student.detach_state(h), student.detach_state((h, c))
    nested = student.detach_state(((h, c), (c, h)))
    flat = [alone, *pair, *nested[0], *nested[1]]
    attached = [tensor.requires_grad or tensor.grad_fn is not None for tensor in flat]
    kinds = [type(value).__name__ for value in (alone, pair, nested, nested[1], student.detach_state(None))]
    old = [tensor.grad_fn is not None for tensor in (h, c)]
    return kinds, attached, old, [tensor.detach().clone() for tensor in flat]


@pytest.mark.task("forecasting", weight=2)
def test_states_of_every_kind_are_cut_off(student):
    """detach_state: the same structure and numbers for all kinds of state, no graph; the given state keeps its own."""
    kinds, attached, old, numbers = detached(student)

    expect.equal(kinds, ["Tensor", "tuple", "tuple", "tuple", "NoneType"], "detach_state (types)")
    expect.equal(attached, [False] * 7, "detach_state: is there still a graph behind a tensor")
    expect.equal(old, [True, True], "detach_state: has the given state kept its graph")
    h, c = torch.tensor([0.0, 2.0, 4.0]), torch.full((2, 2), 3.0)
    for got, want in zip(numbers, (h, h, c, h, c, c, h), strict=True):
        expect.close(got, want, "detach_state (numbers)")


@probe
def gradients_of_chunks(student, chunks):
    """Gradients of an LSTM that reads chunk after chunk, each with a backward pass of its own."""
    torch.manual_seed(8)
    model, state = nn.LSTM(2, 3, batch_first=True).double(), None
    for chunk in chunks:
        out, state = model(chunk, student.detach_state(state))
        out.sum().backward()
    return model.weight_hh_l0.grad, state[0].detach()


@pytest.mark.task("forecasting")
def test_a_long_sequence_can_be_read_in_chunks(student, rng):
    """detach_state: the numbers go on into the next chunk, the gradients do not."""
    chunks = [_tensor(rng.normal(size=(1, 4, 2))) for _ in range(3)]

    with expect.works("an LSTM that reads on from what detach_state returns"):
        grad, last = gradients_of_chunks(student, chunks)

    torch.manual_seed(8)
    model, state = nn.LSTM(2, 3, batch_first=True).double(), None
    for chunk in chunks:
        out, (h, c) = model(chunk, state)
        out.sum().backward()
        state = torch.from_numpy(h.detach().numpy()), torch.from_numpy(c.detach().numpy())
    expect.close(last, state[0], "detach_state between chunks (last state)")
    expect.close(grad, model.weight_hh_l0.grad, "detach_state between chunks (gradient of a weight)")
