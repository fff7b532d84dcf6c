"""Hidden tests of model optimisation: plain training, torch's optimizers and the formulas are the oracles."""

import collections
import copy
import dataclasses
import itertools
import json
import math
import threading
import time
import warnings

import loops
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from autograder import expect, probe
from dlcourse import clock, spies
from dlcourse.data import fresh_digits

# ------------------------------------------------------------------------------------------------------------
# A1  Mixed precision
# ------------------------------------------------------------------------------------------------------------


def _state(module):
    """Parameters and buffers, as a plain dictionary, which can cross the wall."""
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


@probe
def reports_and_warnings(student, cases):
    """Reports of several arrays, and how many warnings there were."""
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        found = [student.float16_report(*case) for case in cases]
    return found, len(heard)


@pytest.mark.task("mixed_precision", weight=4)
def test_both_ends_are_counted(student, rng):
    """float16_report: shares of all entries, of both signs, after the scale; the error of those that are left."""
    signs = rng.choice([-1.0, 1.0], size=(4, 50))
    wide = signs * 10 ** rng.uniform(-9.5, 6.5, size=(4, 50))
    wide[0, :7] = 0.0
    cases = [(wide,), (wide, 300.0), (wide.astype(np.float32), 2.0**-7), (np.zeros((3, 2)),), (np.array([1e9, 1e-12]),)]
    cases += [(np.array([65504.0, 65519.0, -65519.9, 65520.0, -65521.0]),)]  # the largest number, and what rounds to it
    cases += [(np.array([2.0**-25, 1.01 * 2.0**-25, -(2.0**-24), 2.0**-15]),)]  # the same at the other end
    cases += [(np.array([1e-30, 1e19], dtype=np.float32), 1e-20), (np.array([1e-20, 1e30], dtype=np.float32), 1e20)]
    before = [case[0].copy() for case in cases]

    found, heard = reports_and_warnings(student, cases)

    for report, case, was in zip(found, cases, before, strict=True):
        exact = was.astype(np.float64) * (case[1] if len(case) > 1 else 1.0)
        limit = (abs(exact) >= 65520.0).mean()  # half way between the largest number and what would come next
        gone = ((abs(exact) <= 2.0**-25) & (exact != 0)).mean()
        left = exact[(abs(exact) < 65520.0) & (abs(exact) > 2.0**-25)]
        step = 2.0 ** np.maximum(np.floor(np.log2(abs(left))) - 10, -24)
        error = abs(np.round(left / step) * step - left) / abs(left)
        expect.close(report["overflow"], float(limit), "float16_report: overflow")
        expect.close(report["underflow"], float(gone), "float16_report: underflow")
        expect.close(report["error"], float(error.max(initial=0.0)), "float16_report: error", rtol=1e-6, atol=1e-12)
        expect.unchanged(case[0], was, "float16_report: x")
    expect.equal(heard, 0, "float16_report: number of warnings")


@probe
def driven(student, options, shapes, steps, momentum, unscales):
    """Drive a scaler through given true gradients; None in them is a parameter without a gradient."""
    parameters = [nn.Parameter(torch.ones(shape, dtype=torch.float64)) for shape in shapes]
    groups = [{"params": parameters[:1]}, {"params": parameters[1:], "lr": 0.3}]
    optimizer = torch.optim.SGD(groups, lr=0.1, momentum=momentum)
    scaler = student.DynamicLossScaler(**options)
    notes = []
    for gradients in steps:
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = None if gradient is None else gradient * scaler.get_scale()
        seen = []
        if unscales:
            scaler.unscale_(optimizer)
            seen = [None if p.grad is None else p.grad.clone() for p in parameters]
        made = scaler.step(optimizer)
        skipped = scaler.skipped
        scaler.update()
        values = [p.detach().clone() for p in parameters]
        notes.append((made, scaler.get_scale(), skipped, values, seen))
    return notes


def _wanted(options, shapes, steps, momentum):
    """The same by the rules of the docstring, with an optimizer of torch that makes the good steps only."""
    parameters = [nn.Parameter(torch.ones(shape, dtype=torch.float64)) for shape in shapes]
    optimizer = torch.optim.SGD(
        [{"params": parameters[:1]}, {"params": parameters[1:], "lr": 0.3}], lr=0.1, momentum=momentum
    )
    scale, good, skipped, notes = options["init_scale"], 0, 0, []
    for gradients in steps:
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        is_good = all(bool(gradient.isfinite().all()) for gradient in gradients if gradient is not None)
        if is_good:
            optimizer.step()
            good += 1
            if good == options["growth_interval"]:
                scale, good = scale * options["growth_factor"], 0
        else:
            scale, good, skipped = scale * options["backoff_factor"], 0, skipped + 1
        notes.append((is_good, scale, skipped, [p.detach().clone() for p in parameters]))
    return notes


def _gradients(rng, shapes, count, bad):
    """True gradients of some steps; those of the steps in `bad` have one inf, -inf or nan, anywhere."""
    steps = []
    for number in range(count):
        gradients = [torch.from_numpy(rng.normal(size=shape)) for shape in shapes]
        if number in bad:
            part = gradients[int(rng.integers(len(shapes)))].view(-1)
            part[int(rng.integers(len(part)))] = [math.inf, -math.inf, math.nan][number % 3]
        steps.append(gradients)
    return steps


@pytest.mark.task("mixed_precision", weight=3)
@pytest.mark.parametrize(("unscales", "scale"), [(False, 2.0), (True, 2.0**30)])
def test_the_rules_of_the_scale(student, rng, unscales, scale):
    """DynamicLossScaler: inf and nan anywhere skip the step and the scale falls; good steps in a row let it grow."""
    options = {"init_scale": scale, "growth_factor": 4.0, "backoff_factor": 0.25, "growth_interval": 3}
    shapes = [(3, 2), (5,), (2, 2)]
    steps = _gradients(rng, shapes, 18, {2, 3, 13})

    got = driven(student, options, shapes, steps, 0.9, unscales)

    want = _wanted(options, shapes, steps, 0.9)
    for (made, now, skipped, values, _), (is_good, right, missed, numbers) in zip(got, want, strict=True):
        expect.equal(made, is_good, "DynamicLossScaler.step: whether a step was made")
        expect.close(now, right, "DynamicLossScaler.get_scale")
        expect.equal(skipped, missed, "DynamicLossScaler.skipped after a step")
        for value, number in zip(values, numbers, strict=True):
            expect.close(value, number, "DynamicLossScaler: a parameter after a step", rtol=1e-6, atol=1e-8)


@pytest.mark.task("mixed_precision", weight=4)
def test_true_gradients_after_unscaling(student, rng):
    """unscale_: the gradients of all groups become the true ones, once; a parameter without a gradient keeps none."""
    shapes = [(3,), (2, 2), (4,)]
    steps = _gradients(rng, shapes, 2, set())
    for gradients in steps:
        gradients[1] = None
    options = {"init_scale": 1024.0, "growth_factor": 2.0, "backoff_factor": 0.5, "growth_interval": 50}

    got = driven(student, options, shapes, steps, 0.0, True)

    want = _wanted(options, shapes, steps, 0.0)
    for (*_, values, seen), gradients, (*_, numbers) in zip(got, steps, want, strict=True):
        expect.equal([grad is None for grad in seen], [False, True, False], "unscale_: whether a gradient is None")
        for grad, true in zip(seen, gradients, strict=True):
            if true is not None:
                expect.close(grad, true, "unscale_: a gradient", rtol=1e-6)
        for value, number in zip(values, numbers, strict=True):
            expect.close(value, number, "DynamicLossScaler: a parameter after a step", rtol=1e-6, atol=1e-8)


@probe
def misuse_of_a_scaler(student):
    """What is raised by calls in the wrong order, what a tiny scale makes of a large gradient, and large gradients."""
    said = []

    def attempt(*names):
        weight = nn.Parameter(torch.ones(2))
        weight.grad = torch.ones(2)
        optimizer, scaler = torch.optim.SGD([weight], lr=0.1), student.DynamicLossScaler()
        try:
            for name in names:
                scaler.update() if name == "update" else getattr(scaler, name)(optimizer)
            said.append("nothing")
        except Exception as error:
            said.append(type(error).__name__)

    attempt("unscale_", "unscale_")
    attempt("step", "unscale_")
    attempt("update")
    attempt("step", "update", "update")
    attempt("unscale_", "step", "update", "unscale_", "step", "update")
    weight = nn.Parameter(torch.ones(2))
    weight.grad = torch.full((2,), 1e37)
    scaler = student.DynamicLossScaler(1e-6)
    made = scaler.step(torch.optim.SGD([weight], lr=0.1))
    large = nn.Parameter(torch.ones(4))
    large.grad = torch.full((4,), 3e38)
    is_large_made = student.DynamicLossScaler(1.0).step(torch.optim.SGD([large], lr=1e-38))
    return said, made, weight.detach(), is_large_made


@pytest.mark.task("mixed_precision", weight=3)
def test_a_scaler_is_used_in_order(student):
    """DynamicLossScaler: unscaling twice, or an update without a gradient, is an error; look after the division."""
    said, made, weight, is_large_made = misuse_of_a_scaler(student)

    want = ["RuntimeError", "RuntimeError", "RuntimeError", "RuntimeError", "nothing"]
    expect.equal(said, want, "DynamicLossScaler: what calls in some orders raise")
    expect.equal(made, False, "DynamicLossScaler.step with a gradient that overflows when it is unscaled")
    expect.close(weight, torch.ones(2), "DynamicLossScaler: a parameter after a skipped step")
    expect.equal(is_large_made, True, "DynamicLossScaler.step with entries that are finite, but whose sum is not")


@probe
def scaled_losses(student):
    """The loss times the scale: its value, its gradient, its dtype; the loss itself."""
    found = []
    for dtype in (torch.float32, torch.float64):
        x = torch.tensor([1.5, -2.0], dtype=dtype, requires_grad=True)
        loss = x.square().sum()
        scaled = student.DynamicLossScaler(8.0).scale(loss)
        (gradient,) = torch.autograd.grad(scaled, x, allow_unused=True)
        found.append((scaled.detach(), torch.zeros_like(x) if gradient is None else gradient, loss.detach()))
    return found, student.DynamicLossScaler().get_scale()


@pytest.mark.task("mixed_precision", weight=2)
def test_a_scaled_loss(student):
    """DynamicLossScaler.scale: a new tensor in the graph and in the dtype of the loss, which stays as it is."""
    found, scale = scaled_losses(student)

    for (scaled, gradient, loss), dtype in zip(found, (torch.float32, torch.float64), strict=True):
        expect.close(scaled, torch.tensor(50.0, dtype=dtype), "DynamicLossScaler.scale", dtype=dtype)
        expect.close(gradient, torch.tensor([24.0, -32.0], dtype=dtype), "DynamicLossScaler.scale: gradient")
        expect.close(loss, torch.tensor(6.25, dtype=dtype), "DynamicLossScaler.scale: the loss itself")
    expect.close(scale, 2.0**16, "DynamicLossScaler().get_scale()")


@probe
def resumed(student, options, other, gradients, stop):
    """Steps of one scaler, interrupted once: its state goes through json into a scaler that was made otherwise."""

    def play(scaler, part):
        notes = []
        for gradient in part:
            weight = nn.Parameter(torch.zeros(1))
            weight.grad = torch.tensor([gradient])
            scaler.step(torch.optim.SGD([weight], lr=1.0))
            scaler.update()
            notes.append((scaler.get_scale(), scaler.skipped))
        return notes

    first = student.DynamicLossScaler(**options)
    play(first, gradients[:stop])
    state = first.state_dict()
    text = json.dumps(state)
    whole = play(first, gradients[stop:])
    same = json.dumps(state) == text
    second = student.DynamicLossScaler(**other)
    play(second, [math.inf, math.inf, 1.0])  # not as often as the first one has skipped
    second.load_state_dict(state)
    parts = play(second, gradients[stop:])
    return whole, parts, same, json.dumps(state) == text


@pytest.mark.task("mixed_precision", weight=4)
def test_a_scaler_goes_on_where_it_stopped(student):
    """state_dict: scale, count of good steps, skipped, factors and interval go into a scaler of other arguments."""
    options = {"init_scale": 32.0, "growth_factor": 8.0, "backoff_factor": 0.25, "growth_interval": 3}
    other = {"init_scale": 2.0, "growth_factor": 2.0, "backoff_factor": 0.5, "growth_interval": 100}
    gradients = [1.0, math.inf, 1.0, 1.0, 1.0, math.nan, 1.0, 1.0, 1.0]

    whole, parts, same, still = resumed(student, options, other, gradients, 4)

    expect.equal(parts, whole, "DynamicLossScaler: scale and skipped of the steps after load_state_dict")
    expect.is_true(same, "state_dict: later steps of the scaler change the state that it gave.")
    expect.is_true(still, "load_state_dict: the state is changed by the scaler that has loaded it.")


@probe
def watched_amp_step(student, x, y, state, dtype, scale, max_norm, inner):
    """One amp_step of a small network with momentum, with a scaler that notes what it is asked for."""
    model = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3))
    model.load_state_dict(state)
    model.train(False)
    events = []

    def under():
        return torch.is_autocast_enabled("cpu"), str(torch.get_autocast_dtype("cpu"))

    def note(given, out):
        return ("forward", *under(), str(out.dtype), str(given.dtype))

    model[0].register_forward_hook(lambda part, given, out: events.append(note(given[0], out)))
    model[0].weight.register_hook(lambda grad: events.append(("backward", under()[0], str(grad.dtype))))

    def loss_fn(scores, labels):
        events.append(("loss", *under()))
        return torch.nn.functional.cross_entropy(scores, labels)

    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    norms = []

    def stepping(*_):
        events.append(("step", under()[0]))
        norms.append(float(torch.stack([p.grad.norm() for p in model.parameters()]).norm()))

    optimizer.register_step_pre_hook(stepping)

    class Spy:
        def __init__(self):
            self.inner = student.DynamicLossScaler(scale) if inner else None
            self.unscaled = False

        def scale(self, loss):
            events.append(("scale", float(loss)))
            return self.inner.scale(loss) if inner else loss * scale

        def unscale_(self, optimizer):
            events.append(("unscale_",))
            self.unscaled = True
            if inner:
                return self.inner.unscale_(optimizer)
            for p in model.parameters():
                p.grad = p.grad / scale

        def step(self, optimizer):
            events.append(("scaler's step",))
            if inner:
                return self.inner.step(optimizer)
            if not self.unscaled:
                self.unscale_(optimizer)
                events.pop()
            optimizer.step()
            return True

        def update(self):
            events.append(("update",))
            if inner:
                self.inner.update()

    for p in model.parameters():
        p.grad = torch.full_like(p, 9.0)
    scaler = Spy() if scale else None
    loss = student.amp_step(model, x, y, loss_fn, optimizer, scaler, max_norm, dtype=getattr(torch, dtype))
    inside = scaler.inner.get_scale() if inner else None
    moments = [len(optimizer.state[p]) for p in model.parameters()]
    dtypes = {str(p.dtype) for p in model.parameters()}
    values = {name: value.clone() for name, value in model.state_dict().items()}
    return loss, values, events, norms, sorted(dtypes), inside, moments, model.training


def _small_network(rng):
    model = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3))
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.from_numpy(rng.normal(size=tuple(p.shape))))
    x = torch.from_numpy(rng.normal(size=(6, 5)).astype(np.float32))
    return model, x, torch.from_numpy(rng.integers(0, 3, size=6))


@pytest.mark.task("mixed_precision")
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("scale", [None, 512.0])
@pytest.mark.parametrize("max_norm", [None, 0.05])
def test_a_step_in_mixed_precision(student, rng, dtype, scale, max_norm):
    """amp_step: autocast for forward pass and loss alone, true gradients clipped, and one step of the optimizer."""
    model, x, y = _small_network(rng)
    state, kept = _state(model), (x.clone(), y.clone())

    found = watched_amp_step(student, x, y, state, dtype, scale, max_norm, False)
    loss, values, events, norms, dtypes, _, _, is_training = found

    with torch.autocast("cpu", dtype=getattr(torch, dtype)):
        want = F.cross_entropy(model(x), y)
    (want * (scale or 1.0)).backward()
    with torch.no_grad():
        for p in model.parameters():
            p.grad /= scale or 1.0
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm or math.inf)
        for p in model.parameters():
            p -= 0.1 * p.grad
    expect.close(loss, want.item(), "amp_step", rtol=1e-4)
    for name, value in model.state_dict().items():
        expect.close(values[name], value, f"amp_step: {name} after the step", rtol=1e-3, atol=1e-5)
    kinds = [event[0] for event in events]
    if not max_norm and "unscale_" in kinds:  # unscaling before a step without clipping is allowed
        kinds.remove("unscale_")
    with_scaler = ["unscale_", "scaler's step", "step", "update"] if max_norm else ["scaler's step", "step", "update"]
    order = ["forward", "loss", *(["scale"] if scale else []), "backward", *(with_scaler if scale else ["step"])]
    expect.equal(kinds, order, "amp_step: what happens, in this order")
    notes = {event[0]: event[1:] for event in events}
    name = f"torch.{dtype}"
    want = (True, name, name, "torch.float32")
    expect.equal(
        notes["forward"], want, "amp_step: autocast, its dtype, those of the first layer and of what it is given"
    )
    expect.equal(notes["loss"], (True, name), "amp_step: autocast and its dtype in loss_fn")
    expect.equal(notes["backward"], (False, "torch.float32"), "amp_step: autocast in the backward pass; its dtype")
    expect.equal(notes["step"], (False,), "amp_step: autocast while the optimizer makes its step")
    expect.close(
        norms[0], min(float(norm), max_norm or math.inf), "amp_step: norm of the gradient in the step", rtol=1e-3
    )
    expect.equal(dtypes, ["torch.float32"], "amp_step: dtypes of the parameters")
    expect.equal(is_training, False, "amp_step: mode of the model, which was in eval mode")
    expect.unchanged(x, kept[0], "amp_step: x")
    expect.unchanged(y, kept[1], "amp_step: y")


@pytest.mark.task("mixed_precision", weight=4)
def test_a_step_that_overflows(student, rng):
    """amp_step: a scale that is too large for float16 changes no parameter and no state, and the scale falls."""
    model, x, y = _small_network(rng)
    state = _state(model)

    for max_norm in (None, 1.0):
        found = watched_amp_step(student, x, y, state, "float16", 2.0**40, max_norm, True)
        loss, values, events, _, _, scale, moments, _ = found

        expect.finite(loss, "amp_step with a scale that is too large")
        for name, value in state.items():
            expect.close(values[name], value, f"amp_step: {name} after a step that overflows")
        expect.is_true("step" not in [event[0] for event in events], "amp_step: the optimizer made a bad step.")
        expect.equal(moments, [0] * 4, "amp_step: entries of the optimizer's state after a step that overflows")
        expect.close(scale, 2.0**39, "amp_step: scale after a step that overflows")


@probe
def mastered(student, start, gradients, dtype, momentum):
    """Steps of MasterWeights on given gradients; None is a parameter without a gradient."""
    parameters = [nn.Parameter(value.to(getattr(torch, dtype))) for value in start]
    kept, asked = list(parameters), []

    def make(copies):
        asked.append([(str(c.dtype), tuple(c.shape)) for c in copies])
        return torch.optim.SGD(copies, lr=0.01, momentum=momentum)

    made = student.MasterWeights((p for p in parameters), make)
    notes = []
    for step in gradients:
        made.zero_grad()
        cleared = all(p.grad is None or not bool(p.grad.any()) for p in parameters)
        for p, gradient in zip(parameters, step, strict=True):
            p.grad = None if gradient is None else gradient.to(p.dtype)
        made.step()
        same = all(
            (p.grad is None) == (g is None) and (g is None or torch.equal(p.grad, g.to(p.dtype)))
            for p, g in zip(parameters, step, strict=True)
        )
        values = [p.detach().clone() for p in kept], [m.detach().clone() for m in made.masters]
        notes.append((*values, cleared, same))
    return notes, asked, isinstance(made.optimizer, torch.optim.SGD)


@pytest.mark.task("mixed_precision", weight=3)
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_float32_copies_are_never_rounded(student, rng, dtype):
    """MasterWeights: the optimizer works in float32 on the given gradients, and each parameter is its copy, rounded."""
    half = getattr(torch, dtype)
    start = [torch.from_numpy(rng.uniform(1, 2, size=shape)).to(half).float() for shape in ((3, 4), (5,), (2,))]
    gradients = [[torch.from_numpy(rng.normal(size=tuple(v.shape))).to(half).float() for v in start] for _ in range(6)]
    gradients[3][1] = None

    notes, asked, is_made = mastered(student, start, gradients, dtype, 0.9)

    copies = [value.clone().requires_grad_() for value in start]
    optimizer = torch.optim.SGD(copies, lr=0.01, momentum=0.9)
    for (values, masters, cleared, same), step in zip(notes, gradients, strict=True):
        for c, gradient in zip(copies, step, strict=True):
            c.grad = gradient
        optimizer.step()
        for value, master, right in zip(values, masters, copies, strict=True):
            expect.close(master, right.detach(), "MasterWeights.masters", rtol=1e-5, dtype=torch.float32)
            expect.close(value, master.to(half), "MasterWeights: a parameter", rtol=0, atol=0, dtype=half)
        expect.is_true(cleared, "MasterWeights.zero_grad: a gradient is still there.")
        expect.is_true(same, "MasterWeights.step: a gradient has changed.")
    want = [[("torch.float32", tuple(value.shape)) for value in start]]
    expect.equal(asked, want, "MasterWeights: what make_optimizer is called with")
    expect.equal(is_made, True, "MasterWeights.optimizer: whether it is what make_optimizer gave")


# ------------------------------------------------------------------------------------------------------------
# A2  Gradient accumulation
# ------------------------------------------------------------------------------------------------------------


@probe
def trained_in_parts(student, state, batches, k, kind, loss, max_norm, training, dtype):
    """Accumulate over a generator; note the order of reading, calls, backward passes and steps."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 6), nn.Tanh(), nn.Linear(6, 4)).to(getattr(torch, dtype))
    model.load_state_dict(state)
    model.train(training)
    events, states = [], []

    def note(part, given, out):
        events.append(f"forward {len(given[0])}")
        if out.requires_grad:
            out.register_hook(lambda grad: events.append("backward"))

    model.register_forward_hook(note)
    made = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}
    optimizer = made[kind](model.parameters(), lr=0.05) if kind else None

    def stepped(*_):
        events.append("step")
        states.append({name: value.clone() for name, value in model.state_dict().items()})

    if optimizer is not None:
        optimizer.register_step_post_hook(stepped)

    def read():
        for number, batch in enumerate(batches):
            events.append(f"read {number}")
            yield batch

    for p in model.parameters():
        p.grad = torch.full_like(p, 7.0)
    given = {} if loss is None else {"loss_fn": getattr(torch.nn.functional, loss)}
    losses = student.train_step_accumulate(model, read(), k, optimizer, **given, max_norm=max_norm)
    states.append({name: value.clone() for name, value in model.state_dict().items()})
    return list(losses), states, events, model.training


def _parts(rng, sizes, labels, dtype):
    """Micro-batches of these sizes, with labels or with numbers to be met."""
    batches = []
    for n in sizes:
        x = torch.from_numpy(rng.normal(size=(n, 3))).to(dtype)
        y = torch.from_numpy(rng.integers(0, 4, size=n) if labels else 3 * rng.normal(size=(n, 4)))
        batches.append((x, y if labels else y.to(dtype)))
    return batches


def _plain_network(rng, dtype=torch.float64):
    model = nn.Sequential(nn.Linear(3, 6), nn.Tanh(), nn.Linear(6, 4)).to(dtype)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.from_numpy(rng.normal(size=tuple(p.shape))))
    return model


def _with_big_batches(model, batches, k, optimizer, loss_fn, max_norm):
    losses, states = [], []
    for start in range(0, len(batches), k):
        x, y = (torch.cat(part) for part in zip(*batches[start : start + k], strict=True))
        optimizer.zero_grad()
        loss = loss_fn(model(x), y)
        loss.backward()
        if max_norm:
            torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm)
        optimizer.step()
        losses.append(loss.item())
        states.append({name: value.clone() for name, value in model.state_dict().items()})
    return losses, states


@pytest.mark.task("accumulation", weight=2)
@pytest.mark.parametrize(
    ("sizes", "k", "kind", "loss", "max_norm", "dtype"),
    [
        ((4, 4, 2), 3, "sgd", "cross_entropy", None, "float64"),
        ((4, 1, 3, 5, 2, 2, 1), 2, "adam", "mse_loss", None, "float64"),
        ((1, 6, 2, 3, 3), 3, "sgd", "mse_loss", 0.4, "float64"),
        ((5, 2), 1, "adam", "cross_entropy", 0.2, "float64"),
        ((2, 7), 5, "sgd", "cross_entropy", None, "float32"),
    ],
)
def test_parts_equal_the_big_batch(student, rng, sizes, k, kind, loss, max_norm, dtype):
    """train_step_accumulate: each step and its loss are those of one batch of all samples, also at the ragged end."""
    kept = getattr(torch, dtype)
    model = _plain_network(rng, kept)
    batches = _parts(rng, sizes, loss == "cross_entropy", kept)
    before = [(x.clone(), y.clone()) for x, y in batches]

    losses, states, _, _ = trained_in_parts(student, _state(model), batches, k, kind, loss, max_norm, True, dtype)

    optimizer = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[kind](model.parameters(), lr=0.05)
    want, wanted = _with_big_batches(model, batches, k, optimizer, getattr(F, loss), max_norm)
    tight = 1e-6 if dtype == "float64" else 1e-4
    expect.equal(len(losses), len(want), "train_step_accumulate: number of losses")
    expect.equal(len(states) - 1, len(wanted), "train_step_accumulate: number of steps")
    for got, right in zip(losses, want, strict=True):
        expect.is_true(isinstance(got, float), "train_step_accumulate: a loss is no float.")
        expect.close(got, right, "train_step_accumulate", rtol=max(tight, 1e-5))
    for state, right in zip(states, wanted, strict=False):
        for name, value in right.items():
            expect.close(state[name], value, f"train_step_accumulate: {name} after a step", rtol=tight, atol=tight)
    for (x, y), (old_x, old_y) in zip(batches, before, strict=True):
        expect.unchanged(x, old_x, "train_step_accumulate: x")
        expect.unchanged(y, old_y, "train_step_accumulate: y")


@pytest.mark.task("accumulation", weight=5)
@pytest.mark.parametrize("training", [True, False])
def test_one_micro_batch_in_memory(student, rng, training):
    """train_step_accumulate: the backward pass of a micro-batch comes before the next call, and no batch too early."""
    model = _plain_network(rng)
    sizes = (2, 3, 1, 4, 2, 3, 2)
    batches = _parts(rng, sizes, True, torch.float64)

    _, _, events, mode = trained_in_parts(
        student, _state(model), batches, 3, "sgd", "cross_entropy", None, training, "float64"
    )

    work = [event for event in events if event.startswith(("forward", "backward", "step"))]
    want = []
    for start in range(0, 7, 3):
        want += [event for n in sizes[start : start + 3] for event in (f"forward {n}", "backward")] + ["step"]
    expect.equal(work, want, "train_step_accumulate: calls, backward passes and steps, in this order")
    steps = 0
    for event in events:
        steps += event == "step"
        early = event.startswith("read") and int(event.split()[1]) >= 3 * (steps + 1)
        expect.is_true(not early, "train_step_accumulate: a micro-batch is read before the step in front of it.")
    expect.equal(mode, training, "train_step_accumulate: mode of the model")


@pytest.mark.task("accumulation", weight=3)
def test_what_is_used_if_nothing_is_given(student, rng):
    """train_step_accumulate: without an optimizer it is SGD with the docstring's rate, without a loss cross-entropy."""
    model = _plain_network(rng)
    batches = _parts(rng, (3, 5, 2), True, torch.float64)

    losses, states, _, _ = trained_in_parts(student, _state(model), batches, 2, None, None, None, True, "float64")

    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    want, wanted = _with_big_batches(model, batches, 2, optimizer, F.cross_entropy, None)
    expect.close(np.array(losses), np.array(want), "train_step_accumulate", rtol=1e-6)
    for name, value in wanted[-1].items():
        expect.close(states[-1][name], value, f"train_step_accumulate: {name}", rtol=1e-6, atol=1e-8)


@probe
def nothing_to_accumulate(student):
    """No batch at all, and what a bad k raises."""
    model = nn.Linear(3, 4)
    before = [p.detach().clone() for p in model.parameters()]
    losses = student.train_step_accumulate(model, [], 2)
    same = all(torch.equal(p, old) for p, old in zip(model.parameters(), before, strict=True))
    said = []
    for k in (0, -1):
        try:
            student.train_step_accumulate(model, [(torch.ones(1, 3), torch.tensor([0]))], k)
            said.append("nothing")
        except Exception as error:
            said.append(type(error).__name__)
    return list(losses), same, said


@pytest.mark.task("accumulation", weight=2)
def test_the_ends_of_accumulation(student):
    """train_step_accumulate: without a batch there is no step and no loss; k below one is an error."""
    losses, same, said = nothing_to_accumulate(student)

    expect.equal(losses, [], "train_step_accumulate without a batch")
    expect.is_true(same, "train_step_accumulate: a parameter has changed, although there is no batch.")
    expect.equal(said, ["ValueError"] * 2, "train_step_accumulate with k = 0 and with k = -1: what it raises")


@probe
def mixing_layers(student):
    """Layers of many kinds, in both modes."""

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.plain = nn.Conv2d(2, 4, 1)
            self.norm = nn.BatchNorm2d(4)
            self.free = nn.BatchNorm1d(4, track_running_stats=False)
            self.others = nn.ModuleDict(
                {
                    "deep": nn.BatchNorm3d(4, affine=False),
                    "group": nn.GroupNorm(2, 4),
                    "instance": nn.InstanceNorm2d(4, track_running_stats=True),
                    "layer": nn.LayerNorm(4),
                    "sync": nn.SyncBatchNorm(4),
                    "drop": nn.Dropout(0.5),
                }
            )

    model = nn.Sequential(Block(), nn.BatchNorm1d(3)).train()
    found = [list(student.breaks_accumulation(model))]
    model[0].norm.eval()
    model[0].others["deep"].eval()
    found.append(list(student.breaks_accumulation(model)))
    modes = model.training, model[0].norm.training, model[1].training
    model.eval()
    found.append(list(student.breaks_accumulation(model)))
    found.append(list(student.breaks_accumulation(nn.BatchNorm1d(2))))
    return found, modes


@pytest.mark.task("accumulation", weight=4)
def test_which_layers_mix_samples(student):
    """breaks_accumulation: batch norms of all kinds, each by its own mode, and those without running statistics."""
    found, modes = mixing_layers(student)

    want = [
        ["0.norm", "0.free", "0.others.deep", "0.others.sync", "1"],
        ["0.free", "0.others.sync", "1"],
        ["0.free"],
        [""],
    ]
    for got, names in zip(found, want, strict=True):
        expect.equal(got, names, "breaks_accumulation")
    expect.equal(modes, (True, False, True), "breaks_accumulation: modes of some layers afterwards")


# ------------------------------------------------------------------------------------------------------------
# A3  Pruning
# ------------------------------------------------------------------------------------------------------------


@probe
def pruned_in_turns(student, weights, turns, changes):
    """Prune a network of three prunable layers again and again; note masks, weights, biases and other parameters."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(2, 3, (3, 2))
            self.norm = nn.BatchNorm2d(3)
            self.head = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2, bias=False))
            self.table = nn.Embedding(4, 3)

    torch.manual_seed(0)
    model = Net().double()
    layers = {"conv": model.conv, "head.0": model.head[0], "head.2": model.head[2]}
    others = [model.conv.bias, model.norm.weight, model.norm.bias, model.head[0].bias, model.table.weight]
    with torch.no_grad():
        for name, layer in layers.items():
            layer.weight.copy_(weights[name])
    kept = [p.detach().clone() for p in others]
    notes = []
    for amount, scope in turns:
        returned = student.magnitude_prune(model, amount, scope)
        masks = {name: mask.clone() for name, mask in returned.items()}
        notes.append((masks, {name: layer.weight.detach().clone() for name, layer in layers.items()}))
        if changes:
            for mask in returned.values():
                mask.fill_(False)
            notes.append((masks, {name: layer.weight.detach().clone() for name, layer in layers.items()}))
    others = [model.conv.bias, model.norm.weight, model.norm.bias, model.head[0].bias, model.table.weight]
    return notes, [torch.equal(p, old) for p, old in zip(others, kept, strict=True)]


def _random_weights(rng, ties=False):
    shapes = {"conv": (3, 2, 3, 2), "head.0": (5, 4), "head.2": (2, 5)}
    scales = {"conv": 0.3, "head.0": 1.0, "head.2": 2.0}
    weights = {name: scales[name] * rng.normal(size=shape) for name, shape in shapes.items()}
    if ties:
        weights = {name: np.sign(weight) * np.ceil(abs(weight)) for name, weight in weights.items()}
    return {name: torch.from_numpy(weight) for name, weight in weights.items()}


def _sizes(weights, scope):
    """Groups of layers that are ranked together."""
    return [list(weights)] if scope == "global" else [[name] for name in weights]


def _judge_masks(masks, after, weights, before, amount, scope, what):
    """Judge one call: the count is exact, the smallest went, nothing came back, weights agree with the masks."""
    expect.equal(sorted(masks), sorted(weights), f"{what}: names of the masks")
    for name, mask in masks.items():
        expect.is_true(isinstance(mask, torch.Tensor), f"{what}: a mask is no tensor.")
        expect.dtype(mask, torch.bool, f"{what}: mask of {name}")
        expect.shape(mask, tuple(weights[name].shape), f"{what}: mask of {name}")
    for names in _sizes(weights, scope):
        keep = torch.cat([masks[name].flatten() for name in names])
        old = torch.cat([before[name].flatten() for name in names])
        size = torch.cat([weights[name].abs().flatten() for name in names])
        count = max(round(amount * len(keep)), int((~old).sum()))
        expect.equal(int((~keep).sum()), count, f"{what}: number of pruned weights")
        expect.is_true(not bool((keep & ~old).any()), f"{what}: a pruned weight has come back.")
        fresh = size[~keep & old]
        smaller = not len(fresh) or not bool(keep.any()) or bool(fresh.max() <= size[keep].min())
        expect.is_true(smaller, f"{what}: a weight is kept, although a larger one of its group is pruned.")
    for name, mask in masks.items():
        expect.close(after[name], torch.where(mask, weights[name], 0.0), f"{what}: weight of {name}", rtol=0, atol=0)


@pytest.mark.task("pruning", weight=2)
@pytest.mark.parametrize("scope", ["global", "layer"])
@pytest.mark.parametrize("ties", [False, True])
def test_exactly_the_smallest_weights_go(student, rng, scope, ties):
    """magnitude_prune: the number is exact, also with equal weights, and of each group the smallest weights go."""
    weights = _random_weights(rng, ties)
    everything = {name: torch.ones_like(weight, dtype=torch.bool) for name, weight in weights.items()}

    for amount in (0.0, 0.37, 0.5, 0.9, 1.0):
        notes, same = pruned_in_turns(student, weights, [(amount, scope)], False)
        masks, after = notes[0]
        what = f"magnitude_prune({scope!r})"
        _judge_masks(masks, after, weights, everything, amount, scope, what)
        expect.is_true(all(same), f"{what}: a bias, or a layer that is not pruned, has changed.")


@pytest.mark.task("pruning", weight=2)
@pytest.mark.parametrize("scope", ["global", "layer"])
def test_pruning_again(student, rng, scope):
    """magnitude_prune: a later amount counts all weights, those that are pruned already first, and none comes back."""
    weights = _random_weights(rng)
    before = {name: torch.ones_like(weight, dtype=torch.bool) for name, weight in weights.items()}
    turns = [(0.3, scope), (0.7, "global"), (0.75, "layer"), (0.2, scope)]

    notes, _ = pruned_in_turns(student, weights, turns, False)

    for (masks, after), (amount, how) in zip(notes, turns, strict=True):
        _judge_masks(masks, after, weights, before, amount, how, "magnitude_prune of a pruned model")
        before = masks


@pytest.mark.task("pruning", weight=2)
def test_masks_are_copies(student, rng):
    """magnitude_prune: what happens to the masks that it returns does not change the model."""
    notes, _ = pruned_in_turns(student, _random_weights(rng), [(0.4, "layer"), (0.6, "global")], True)

    for (_, weights), (_, later) in (notes[:2], notes[2:]):
        for name, weight in weights.items():
            expect.close(later[name], weight, f"magnitude_prune: weight of {name} after its mask was changed")


@probe
def trained_while_pruned(student, state, amount, kind, before, after, data):
    """Train, prune, and train on with the same optimizer, or with a new one; note weights and outputs."""
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)).double()
    model.load_state_dict(state)
    x, y = data

    def made():
        if kind == "adam":
            return torch.optim.Adam(model.parameters(), lr=0.02, weight_decay=0.01)
        return torch.optim.SGD(
            model.parameters(), lr=0.05, momentum=0.9, weight_decay=0.01, nesterov=kind == "nesterov"
        )

    def train(optimizer, steps):
        for _ in range(steps):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()

    def look():
        with torch.no_grad():
            out = model(x)
        parts = {"0": model[0], "2": model[2]}
        return {name: (p.weight.detach().clone(), p.bias.detach().clone()) for name, p in parts.items()}, out

    optimizer = made()
    train(optimizer, before)
    masks = {name: mask.clone() for name, mask in student.magnitude_prune(model, amount).items()}
    first = look()
    train(optimizer if before else made(), after)
    early = {name: layer.weight.detach().clone() for name, layer in (("0", model[0]), ("2", model[2]))}
    return masks, first, look(), early


@pytest.mark.task("pruning", weight=2)
@pytest.mark.parametrize(("kind", "before"), [("adam", 3), ("sgd", 3), ("nesterov", 0), ("adam", 0)])
def test_pruned_weights_never_come_back(student, rng, kind, before):
    """magnitude_prune: momentum, weight decay, and an optimizer from before the pruning move no pruned weight."""
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)).double()
    data = torch.from_numpy(rng.normal(size=(20, 6))), torch.from_numpy(rng.integers(0, 3, size=20))

    found = trained_while_pruned(student, _state(model), 0.6, kind, before, 4, data)

    masks, (old, _), (new, out), early = found
    x = data[0]
    for name, mask in masks.items():
        for weight in (early[name], new[name][0]):
            gone = weight[~mask]
            expect.close(
                gone, torch.zeros_like(gone), f"magnitude_prune: pruned weights of layer {name} after training"
            )
        moved = [(new[name][0] != old[name][0])[mask], new[name][1] != old[name][1]]
        for part, what in zip(moved, ("a weight that is kept", "a bias"), strict=True):
            expect.is_true(bool(part.all()), f"magnitude_prune: {what} of layer {name} is not trained.")
    want = torch.tanh(x @ new["0"][0].T + new["0"][1]) @ new["2"][0].T + new["2"][1]
    expect.close(out, want, "magnitude_prune: what the trained model says, beside what its weights say", rtol=1e-6)


@pytest.mark.task("pruning", weight=2)
def test_kept_weights_learn_as_before(student, rng):
    """magnitude_prune: one step moves the kept weights and the biases as in a plain network with these zeros."""
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)).double()
    x, y = torch.from_numpy(rng.normal(size=(20, 6))), torch.from_numpy(rng.integers(0, 3, size=20))

    masks, _, (new, _), _ = trained_while_pruned(student, _state(model), 0.5, "sgd", 0, 1, (x, y))

    with torch.no_grad():
        for name, layer in (("0", model[0]), ("2", model[2])):
            layer.weight.mul_(masks[name])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=0.01)
    F.cross_entropy(model(x), y).backward()
    optimizer.step()
    for name, layer in (("0", model[0]), ("2", model[2])):
        want = layer.weight.detach() * masks[name]
        expect.close(new[name][0], want, f"magnitude_prune: weight of layer {name} after a step", rtol=1e-6, atol=1e-9)
        expect.close(
            new[name][1], layer.bias.detach(), f"magnitude_prune: bias of layer {name} after a step", rtol=1e-6
        )


@probe
def through_a_state(student, x):
    """Prune and train one model, load its state into another one that was pruned otherwise, and train that one."""

    def made(seed):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Conv2d(1, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2)).double()

    def train(model):
        optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
        for _ in range(3):
            optimizer.zero_grad()
            model(x).square().mean().backward()
            optimizer.step()

    first, second = made(1), made(2)
    student.magnitude_prune(first, 0.6)
    train(first)
    student.magnitude_prune(second, 0.1, "layer")
    second.load_state_dict({name: value.clone() for name, value in first.state_dict().items()})
    with torch.no_grad():
        outs = first(x), second(x)
    loaded = [(first[n].weight.detach().clone(), second[n].weight.detach().clone()) for n in (0, 3)]
    train(second)
    return outs, loaded, [second[n].weight.detach().clone() for n in (0, 3)]


@pytest.mark.task("pruning", weight=3)
def test_the_mask_is_saved(student, rng):
    """magnitude_prune: a state that another pruned model loads brings weights and mask, which hold from then on."""
    x = torch.from_numpy(rng.normal(size=(5, 1, 3, 3)))

    (one, other), loaded, trained = through_a_state(student, x)

    expect.close(other, one, "magnitude_prune: what a model says that has loaded the state of another", rtol=1e-6)
    for (was, now), later in zip(loaded, trained, strict=True):
        expect.close(now, was, "magnitude_prune: a weight that was loaded", rtol=1e-6)
        gone = later[was == 0]
        expect.close(gone, torch.zeros_like(gone), "magnitude_prune: pruned weights that were loaded, after training")
        expect.is_true(bool((later != was)[was != 0].any()), "magnitude_prune: loaded weights are not trained.")


@probe
def freed(student, x):
    """Take the masks away; compare names, weights, outputs; load into a new model; train."""

    def made(seed):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Conv2d(1, 3, 2), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(12, 2)).double().eval()

    def values(model):
        return {name: value.clone() for name, value in model.state_dict().items()}

    model, plain, fresh = made(1), made(2), made(3)
    untouched = values(plain)
    student.make_permanent(plain)
    same = all(torch.equal(value, untouched[name]) for name, value in plain.state_dict().items())
    student.magnitude_prune(model, 0.3)
    student.magnitude_prune(model, 0.6)
    with torch.no_grad():
        before = model(x)
    weights = [model[n].weight.detach().clone() for n in (0, 3)]
    student.make_permanent(model)
    with torch.no_grad():
        after = model(x)
    names = sorted(model.state_dict()), sorted(fresh.state_dict())
    if names[0] == names[1]:
        fresh.load_state_dict(values(model))
    with torch.no_grad():
        loaded = fresh(x)
    left = [model[n].weight.detach().clone() for n in (0, 3)]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model(x).sum().backward()
    optimizer.step()
    return (
        same and list(plain.state_dict()) == list(untouched),
        names,
        (before, after, loaded),
        weights,
        left,
        [model[n].weight.detach() for n in (0, 3)],
    )


@pytest.mark.task("pruning", weight=4)
def test_zeros_without_a_mask(student, rng):
    """make_permanent: a plain model with zeros remains, which a new model can load, and which training changes."""
    x = torch.from_numpy(rng.normal(size=(5, 1, 3, 3)))

    same, (names, want), (before, after, loaded), weights, left, trained = freed(student, x)

    expect.is_true(same, "make_permanent: a model without masks has changed.")
    expect.equal(names, want, "make_permanent: names in model.state_dict()")
    expect.close(after, before, "make_permanent: what the model says", rtol=1e-9)
    expect.close(loaded, before, "make_permanent: what a new model says that has loaded it", rtol=1e-9)
    for was, now, later in zip(weights, left, trained, strict=True):
        expect.close(now, was, "make_permanent: a weight", rtol=1e-9)
        expect.is_true(bool((later[was == 0] != 0).any()), "make_permanent: the zeros are still kept at 0.")


@probe
def errors_of_pruning(student):
    """What bad arguments raise."""
    said = []
    for arguments in ((-0.1,), (1.2,), (0.5, "row")):
        try:
            student.magnitude_prune(nn.Linear(3, 2), *arguments)
            said.append("nothing")
        except Exception as error:
            said.append(type(error).__name__)
    return said


@pytest.mark.task("pruning")
def test_amounts_and_scopes_are_checked(student):
    """magnitude_prune: an amount below 0 or above 1 is an error, and so is an unknown scope."""
    expect.equal(errors_of_pruning(student), ["ValueError"] * 3, "magnitude_prune: what bad arguments raise")


def _train(model, x, y, epochs, seed, decay, noise):
    """Train a network of the judge's own."""
    torch.manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=decay)
    steps = epochs * -(-len(x) // 64)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.01, total_steps=steps)
    for _ in range(epochs):
        for batch in torch.randperm(len(x)).split(64):
            loss = F.cross_entropy(model(x[batch] + noise * torch.randn_like(x[batch])), y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return model.eval()


@pytest.fixture(scope="module")
def expert(seed):
    """A network of the judge's that knows the digits of this seed, and these digits as rows."""
    (x, y), (unseen, truth) = fresh_digits(seed)
    x, unseen = x.reshape(-1, 64), unseen.reshape(-1, 64)
    torch.manual_seed(seed % 1000)
    model = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 10))
    _train(model, torch.from_numpy(x), torch.from_numpy(y), 25, seed % 1000, 0.3, 0.15)
    return model, (x, y), (unseen, truth)


@probe
def after_pruning(student, state, amount, scope, x):
    model = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 10))
    model.load_state_dict(state)
    student.magnitude_prune(model, amount, scope)
    with torch.no_grad():
        return model(x)


DROP = 0.03  # mean and spread of the reference: cd tests && python -m measure_optimization 20


@pytest.mark.task("pruning")
@pytest.mark.parametrize("scope", ["global", "layer"])
def test_half_of_the_weights_are_enough(student, expert, scope):
    """magnitude_prune: without the smaller half of its weights a trained network knows nearly as much as before."""
    model, _, (unseen, truth) = expert
    shown = torch.from_numpy(unseen)

    scores = after_pruning(student, _state(model), 0.5, scope, shown)

    expect.shape(scores, (len(truth), 10), "magnitude_prune: what the pruned network says")
    with torch.no_grad():
        whole = float((model(shown).argmax(dim=1).numpy() == truth).mean())
    share = float((scores.argmax(dim=1).numpy() == truth).mean())
    expect.at_least(share, whole - DROP, f"magnitude_prune({scope!r}): share of unseen digits that are right")


@probe
def smaller_networks(student, models, amount, x):
    """Prune the channels of networks that are given as a list of layers; say what is left of each layer."""
    found = []
    for recipe, state, training in models:
        model = nn.Sequential(*[getattr(nn, kind)(*args, **options) for kind, args, options in recipe]).double()
        model.load_state_dict(state)
        model.train(training)
        model[0].weight.requires_grad_(False)
        before = {name: value.clone() for name, value in model.state_dict().items()}
        places = {p.data_ptr() for p in model.parameters()}
        small = student.prune_channels(model, amount)
        kinds = [type(layer).__name__ for layer in small]
        modes = sorted({layer.training for layer in small.modules()})
        states = {name: value.clone() for name, value in small.state_dict().items()}
        shared = any(p.data_ptr() in places for p in small.parameters())
        same = all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
        texts = [repr(layer) for layer in small]
        counts = sum(p.numel() for p in small.parameters())
        try:
            with torch.no_grad():
                out = small.eval()(x)
        except RuntimeError:  # shapes or dtypes that do not fit
            out = torch.zeros(0)
        found.append((out, states, kinds, modes, shared, same, texts, counts))
    return found


def _conv_net(rng, deep, bias):
    """A recipe of a convolutional network, and a state with random batch norms."""
    recipe = [
        ("Conv2d", (2, 6, 3), {"padding": 1, "padding_mode": "reflect", "bias": bias}),
        *([("BatchNorm2d", (6,), {"eps": 1e-3, "momentum": 0.3})] if deep else []),
        ("ReLU", (), {}),
        ("MaxPool2d", (2,), {}),
        ("Conv2d", (6, 5, (2, 3)), {"stride": (1, 2), "bias": bias, "dilation": 1}),
        *([("BatchNorm2d", (5,), {"affine": False})] if deep else []),
        ("ReLU", (), {}),
        *([("Conv2d", (5, 4, 1), {}), ("AdaptiveAvgPool2d", (1,), {})] if deep else []),
        ("Flatten", (), {}),
        ("Linear", (4 if deep else 5 * 3 * 1, 7), {}),
        ("ReLU", (), {}),
        ("Linear", (7, 3), {}),
    ]
    model = nn.Sequential(*[getattr(nn, kind)(*args, **options) for kind, args, options in recipe]).double()
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                size = tuple(value.shape)
                drawn = rng.uniform(0.5, 2, size=size) if "var" in name else rng.normal(size=size)
                value.copy_(torch.from_numpy(np.asarray(drawn)))
    return recipe, model.eval()


def _blind_to_weak_channels(model, amount):
    """The same network with zeros where it reads weak channels; and how many channels each convolution keeps."""
    model, kept, weak, before = copy.deepcopy(model), [], None, 0
    strength = [m.weight.detach().abs().flatten(1).sum(dim=1) for m in model if isinstance(m, nn.Conv2d)]
    number = 0
    with torch.no_grad():
        for layer in model:
            if isinstance(layer, nn.Conv2d):
                if weak is not None:
                    layer.weight[:, weak] = 0.0
                gone = min(round(amount * layer.out_channels), layer.out_channels - 1)
                weak, before = strength[number].argsort()[:gone], layer.out_channels
                kept.append(layer.out_channels - gone)
                number += 1
            elif isinstance(layer, nn.Linear) and weak is not None:
                layer.weight.view(layer.out_features, before, -1)[:, weak] = 0.0
                weak = None
    return model, kept


def _smaller(recipe, kept):
    """What the layers of this recipe say of themselves, where each convolution has so many channels."""
    left, ins, before, texts = iter(kept), None, None, []
    for kind, args, options in recipe:
        if kind == "Conv2d":
            (was, before, *rest), out = args, next(left)
            args, ins = (ins or was, out, *rest), out
        elif kind == "BatchNorm2d":
            args = (ins,)
        elif kind == "Linear" and ins:
            args, ins = (args[0] // before * ins, *args[1:]), None
        texts.append(repr(getattr(nn, kind)(*args, **options)))
    return texts


@pytest.mark.task("pruning")
@pytest.mark.parametrize("amount", [0.0, 0.34, 0.6, 1.0])
@pytest.mark.parametrize("deep", [False, True])
def test_smaller_networks_compute_the_same(student, rng, amount, deep):
    """prune_channels: the outputs are those of the old network that does not read the channels that went."""
    made = [(*_conv_net(rng, deep, bias), training) for bias, training in ((True, False), (False, True))]
    x = torch.from_numpy(rng.normal(size=(3, 2, 8, 9)))
    models = [(recipe, _state(model), training) for recipe, model, training in made]

    found = smaller_networks(student, models, amount, x)

    for (out, states, kinds, modes, shared, same, texts, counts), (recipe, model, training) in zip(
        found, made, strict=True
    ):
        blind, kept = _blind_to_weak_channels(model, amount)
        with torch.no_grad():
            want = blind(x)
        expect.equal(kinds, [kind for kind, _, _ in recipe], "prune_channels: kinds of layers")
        sizes = [len(states[f"{n}.weight"]) for n, kind in enumerate(kinds) if kind == "Conv2d"]
        expect.equal(sizes, kept, "prune_channels: channels of each convolution")
        expect.is_true(
            out.numel() > 0, "prune_channels: the new network cannot be called: its shapes or dtypes do not fit."
        )
        expect.close(out, want, "prune_channels: what the new network says", rtol=1e-6, atol=1e-8)
        expect.equal(modes, [training], "prune_channels: modes of the new network's layers")
        expect.is_true(not shared, "prune_channels: old and new network share memory.")
        expect.is_true(same, "prune_channels: the old network has changed.")
        for text, right in zip(texts, _smaller(recipe, kept), strict=True):
            expect.equal(text, right, "prune_channels: what a layer says of its sizes and settings")
        for name, value in model.state_dict().items():  # what does not depend on channels stays as it is
            if amount == 0.0 or name.startswith(f"{len(recipe) - 1}."):
                expect.close(states[name], value, f"prune_channels: {name}")
        expect.is_true(counts <= sum(p.numel() for p in model.parameters()), "prune_channels: no smaller network.")


@probe
def counted(student, cases):
    """Costs of networks that are given as lists of layers; and whether such a network stays as it is."""
    found = []
    for recipe, shape, device in cases:
        with torch.device(device):
            model = nn.Sequential(*[getattr(nn, kind)(*args, **options) for kind, args, options in recipe])
        found.append(tuple(student.network_cost(model, shape)))
    shared = nn.Linear(4, 4)
    shared.bias.requires_grad_(False)
    found.append(tuple(student.network_cost(nn.Sequential(shared, nn.Tanh(), shared).double(), (4,))))
    found.append(tuple(student.network_cost(nn.Sequential(nn.Flatten(), nn.ReLU()), (2, 3))))
    model = nn.Sequential(nn.Conv2d(2, 3, 2), nn.BatchNorm2d(3), nn.Sequential(nn.Dropout(), nn.Flatten()))
    model[1].eval()
    model[0].weight.grad = torch.ones_like(model[0].weight)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [part.training for part in model.modules()]
    student.network_cost(model, (2, 5, 5))
    same_modes = modes == [part.training for part in model.modules()]
    model.train()
    student.network_cost(model, (2, 5, 5))
    same = all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    model[1].eval()
    hooks = sum(len(part._forward_hooks) + len(part._forward_pre_hooks) for part in model.modules())
    same = same and bool((model[0].weight.grad == 1).all()) and model[0].bias.grad is None
    return found, same, same_modes and modes == [part.training for part in model.modules()], hooks


@pytest.mark.task("pruning", weight=5)
def test_costs_of_many_layers(student):
    """network_cost: products of each output, by groups, strides and positions; the model stays as it is."""
    plain = [
        ("Conv2d", (4, 6, (3, 2)), {"stride": (2, 1), "padding": 1, "groups": 2}),
        ("BatchNorm2d", (6,), {}),
        ("MaxPool2d", (2,), {}),
        ("Flatten", (), {}),
        ("Linear", (6 * 2 * 4, 5), {"bias": False}),
    ]
    cases = [
        (plain, (4, 7, 8), "cpu"),
        ([("Linear", (5, 3), {}), ("LayerNorm", (3,), {})], (6, 5), "cpu"),
        ([("Linear", (4096, 50_000), {})], (4096,), "meta"),
    ]

    found, same, modes, hooks = counted(student, cases)

    want = [
        ((6 * 2 * 6 + 6) + 12 + 48 * 5, 6 * (4 * 9) * (2 * 6) + 48 * 5),
        (18 + 6, 6 * 15),
        (4097 * 50_000, 4096 * 50_000),
        (20, 2 * 16),
        (0, 0),
    ]
    expect.equal(found, want, "network_cost (parameters and multiply-adds of several networks)")
    expect.is_true(same, "network_cost: a parameter, a buffer or a gradient of the model has changed.")
    expect.is_true(modes, "network_cost: a layer of the model is in another mode.")
    expect.equal(hooks, 0, "network_cost: hooks that are left")


# ------------------------------------------------------------------------------------------------------------
# A4  Knowledge distillation
# ------------------------------------------------------------------------------------------------------------


def _distilled(s, t, y, T, alpha):
    """The formula, one row after another."""
    p, q = (t / T).softmax(dim=1), (s / T).softmax(dim=1)
    soft = sum((p[n] * (p[n].log() - q[n].log())).sum() for n in range(len(s))) / len(s)
    rows = [n for n in range(len(s)) if y[n] != -100]
    hard = sum(-s[n].log_softmax(dim=0)[y[n]] for n in rows) / max(len(rows), 1)
    return alpha * T**2 * soft + (1 - alpha) * hard


@pytest.mark.task("distillation")
@pytest.mark.parametrize(("T", "alpha"), [(1.0, 1.0), (4.0, 0.9), (2.5, 0.3), (0.5, 0.0), (8.0, 1.0)])
@pytest.mark.parametrize("unlabelled", [0, 3, 5])
def test_the_loss_follows_its_formula(student, rng, T, alpha, unlabelled):
    """distillation_loss: value and gradient, with some labels, all, or none; no gradient reaches the teacher."""
    s, t = (torch.from_numpy(2 * rng.normal(size=(5, 7))).requires_grad_() for _ in range(2))
    y = torch.from_numpy(rng.integers(0, 7, size=5))
    y[torch.from_numpy(rng.permutation(5)[:unlabelled])] = -100
    kept = y.clone()
    own = s.detach().clone().requires_grad_()

    loss = student.distillation_loss(s, t, y, T, alpha)

    want = _distilled(own, t.detach(), y, T, alpha)
    expect.close(loss.detach(), torch.as_tensor(want).detach(), "distillation_loss", rtol=1e-6, atol=1e-9)
    if not isinstance(want, torch.Tensor) or not want.requires_grad:
        return
    loss.backward()
    want.backward()
    grad = torch.zeros_like(s) if s.grad is None else s.grad
    expect.close(grad, own.grad, "distillation_loss: gradient of s", rtol=1e-5, atol=1e-8)
    expect.is_true(t.grad is None or not bool(t.grad.any()), "distillation_loss: a gradient reaches the teacher.")
    expect.unchanged(y, kept, "distillation_loss: y")


@pytest.mark.task("distillation", weight=3)
def test_defaults_and_types_of_the_loss(student, rng):
    """distillation_loss: the defaults are those of its signature, float32 stays float32, and agreeing costs nothing."""
    s, t = (torch.from_numpy(rng.normal(size=(3, 4)).astype(np.float32)) for _ in range(2))
    y = torch.tensor([3, 0, 2])
    kept = s.clone(), t.clone()

    loss = student.distillation_loss(s, t, y)
    same = student.distillation_loss(t.double() - 5.0, t.double(), y, 3.0, 1.0)

    want = _distilled(s.double(), t.double(), y, 4.0, 0.9).float()
    expect.close(loss, want, "distillation_loss", rtol=1e-4, atol=1e-5, dtype=torch.float32)
    expect.close(same, torch.tensor(0.0, dtype=torch.float64), "distillation_loss of a student that agrees", atol=1e-5)
    expect.unchanged(s, kept[0], "distillation_loss: s")
    expect.unchanged(t, kept[1], "distillation_loss: t")


@pytest.mark.task("distillation", weight=5)
def test_huge_scores_give_no_nan(student, rng):
    """distillation_loss: scores that are very large give finite losses and gradients, for every temperature."""
    s = torch.from_numpy(1e4 * rng.choice([-1.0, 1.0], size=(4, 5))).requires_grad_()
    t = torch.from_numpy(1e4 * rng.choice([-1.0, 1.0], size=(4, 5)))
    y = torch.tensor([0, 4, -100, 2])

    for T in (0.5, 4.0):
        loss = student.distillation_loss(s, t, y, T, 0.5)
        (grad,) = torch.autograd.grad(loss, s)
        expect.finite(loss.detach(), "distillation_loss of huge scores")
        expect.finite(grad, "distillation_loss of huge scores: gradient")
        said, wanted = (s.detach() / T).log_softmax(dim=1), (t / T).log_softmax(dim=1)
        soft = T**2 * (wanted.exp() * (wanted - said)).sum() / 4
        hard = -sum(s.detach().log_softmax(dim=1)[n, y[n]] for n in (0, 1, 3)) / 3
        expect.close(loss.detach(), 0.5 * soft + 0.5 * hard, "distillation_loss of huge scores", rtol=1e-6, atol=1e-6)


@probe
def watched_distillation(student, x, y, answers, opinions, options, seeds):
    """Distil with a student and a teacher that say what is prepared, and note what they see."""

    class Watcher(nn.Module):
        def __init__(self, answers):
            super().__init__()
            self.answers = answers
            self.weight = nn.Parameter(torch.zeros(3))
            self.inner = nn.Sequential(nn.BatchNorm1d(2), nn.Dropout(0.5))
            self.seen = []

        def forward(self, given):
            modes = [part.training for part in self.modules()]
            self.seen.append((given.detach().clone(), modes))
            rows = given.detach().flatten(1)[:, 0].round().long()
            return self.answers[rows] + 0.0 * self.weight.sum()

    found = []
    for number, seed in enumerate(seeds):
        torch.manual_seed(70 + number)
        np.random.seed(70 + number)
        pupil, teacher = Watcher(answers).eval(), Watcher(opinions).train()
        teacher.inner[0].eval()
        teacher.weight.grad = torch.full((3,), 2.0)
        modes = [part.training for part in teacher.modules()]
        losses = list(student.distill(pupil, teacher, x, y, seed=seed, **options))
        facts = {
            "its modes are others at the end": modes != [part.training for part in teacher.modules()],
            "its gradient has changed": teacher.weight.grad is None or not bool((teacher.weight.grad == 2.0).all()),
            "requires_grad has changed": not teacher.weight.requires_grad,
            "it is called in train mode": any(any(modes) for _, modes in teacher.seen),
            "it never sees some rows": len({int(r[0].round()) for g, _ in teacher.seen for r in g.flatten(1)})
            != len(x),
        }
        seen = torch.cat([given for given, _ in pupil.seen])[:, 0] if pupil.seen else torch.zeros(0)
        training = all(all(modes) for _, modes in pupil.seen)
        ends = [part.training for part in pupil.modules()]
        found.append((losses, seen, training, ends, len(pupil.seen), [name for name, is_so in facts.items() if is_so]))
    return found


def _followers(order, other):
    """How often two entries follow each other in one order as in the other; of two random ones about once."""
    return len(set(itertools.pairwise(order)) & set(itertools.pairwise(other)))


@pytest.mark.task("distillation", weight=7)
def test_the_rounds_of_distillation(student, rng):
    """distill: each row once in an epoch, in a new order that the seed decides; the teacher is frozen."""
    n = 237
    x = rng.normal(size=(n, 4)).astype(np.float32)
    x[:, 0] = np.arange(n)
    y = rng.integers(0, 3, size=n)
    answers, opinions = (torch.from_numpy((2 * rng.normal(size=(n, 3))).astype(np.float32)) for _ in range(2))
    kept = x.copy(), y.copy()
    options = {"T": 3.0, "alpha": 0.4, "epochs": 3}

    runs = watched_distillation(student, x, y, answers, opinions, options, [4, 4, 5])

    want = float(_distilled(answers.double(), opinions.double(), torch.from_numpy(y), 3.0, 0.4))
    orders = []
    for losses, seen, in_training, ends, calls, faults in runs:
        expect.equal(len(losses), 3, "distill: number of losses")
        for loss in losses:
            expect.is_true(isinstance(loss, float), "distill: a loss is no float.")
            expect.close(loss, want, "distill (mean loss of an epoch)", rtol=1e-4)
        expect.equal(len(seen), 3 * n, "distill: rows that the student is given")
        order = [row.round().long().tolist() for row in seen.split(n)]
        for epoch in order:
            expect.equal(sorted(epoch), list(range(n)), "distill: rows of an epoch")
        expect.is_true(calls > 3, "distill: all rows are in one batch.")
        expect.is_true(in_training, "distill: the student, or a layer of it, is not in train mode.")
        expect.equal(ends, [False] * len(ends), "distill: modes of the student's layers at the end")
        expect.is_true(not faults, f"distill: of the teacher, {', '.join(faults)}.")
        orders.append(order)
    expect.is_true(orders[0] == orders[1], "distill: the same seed gives another order.")
    expect.is_true(_followers(orders[0][0], orders[2][0]) < 15, "distill: another seed gives the same order.")
    for one, two in itertools.combinations([*orders[0], list(range(n))], 2):
        expect.is_true(_followers(one, two) < 15, "distill: the rows come in an order that is not new in each epoch.")
    expect.unchanged(x, kept[0], "distill: x")
    expect.unchanged(y, kept[1], "distill: y")


@probe
def distilled_twice(student, x, y):
    """Two distillations with networks that keep statistics; left-over gradients, what has changed, what is alike."""
    torch.manual_seed(1)
    teacher = nn.Sequential(nn.Linear(6, 9), nn.BatchNorm1d(9), nn.ReLU(), nn.Linear(9, 3))
    teacher[3].bias.requires_grad_(False)
    state = {name: value.clone() for name, value in teacher.state_dict().items()}
    ends = []
    with spies.watched() as notes:
        for start in (5, 6):
            torch.manual_seed(3)
            pupil = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))
            before = [p.detach().clone() for p in pupil.parameters()]
            torch.manual_seed(start)
            student.distill(pupil, teacher, x, y, epochs=2, seed=8)
            ends.append([p.detach().clone() for p in pupil.parameters()])
    moved = [not torch.equal(p, old) for p, old in zip(ends[0], before, strict=True)]
    same = all(torch.equal(value, state[name]) for name, value in teacher.state_dict().items())
    asks = [p.requires_grad for p in teacher.parameters()]
    without = all(p.grad is None for p in teacher.parameters())
    alike = all(torch.equal(p, other) for p, other in zip(*ends, strict=True))
    return list(notes.left_over), moved, same, asks, without, alike


@pytest.mark.task("distillation", weight=4)
def test_the_steps_of_distillation(student, rng):
    """distill: gradients are cleared, each parameter of the student moves, and nothing of the teacher does."""
    x = rng.normal(size=(150, 6)).astype(np.float32)
    y = np.where(x[:, 0] > 0, 1, -100)

    left_over, moved, same, asks, without, alike = distilled_twice(student, x, y)

    expect.is_true(not any(left_over), "distill: a backward pass began with the gradient of the last one.")
    expect.is_true(all(moved), "distill: a parameter of the student never changed.")
    expect.is_true(same, "distill: a parameter or a buffer of the teacher has changed.")
    expect.equal(asks, [True] * 5 + [False], "distill: requires_grad of the teacher's parameters")
    expect.is_true(without, "distill: a parameter of the teacher has a gradient.")
    expect.is_true(alike, "distill: the same seed ends in other parameters.")


@probe
def graphs_of_a_teacher(student):
    """Whether what autograd saved while the teacher spoke is still there when the optimizer makes a step."""
    import gc
    import weakref

    from torch.optim.optimizer import register_optimizer_step_pre_hook

    class Saved:
        def __init__(self, tensor):
            self.tensor = tensor

    class Teacher(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(6, 3) / 6)

        def forward(self, x):
            def pack(tensor):
                saved = Saved(tensor)
                notes.append(weakref.ref(saved))
                return saved

            with torch.autograd.graph.saved_tensors_hooks(pack, lambda saved: saved.tensor):
                return (x @ self.weight) ** 2

    def look(*_):
        gc.collect()
        alive.append(any(note() is not None for note in notes))

    notes, alive = [], []
    hook = register_optimizer_step_pre_hook(look)
    try:
        x = np.random.default_rng(5).normal(size=(150, 6)).astype(np.float32)
        student.distill(nn.Linear(6, 3), Teacher(), x, np.arange(150) % 3, epochs=1, seed=1)
    finally:
        hook.remove()
    return alive


@pytest.mark.task("distillation")
def test_no_graph_is_kept_for_the_teacher(student):
    """distill: what autograd would need to learn from the teacher is not kept while the student learns."""
    kept = graphs_of_a_teacher(student)

    expect.at_least(len(kept), 1, "distill: steps of the optimizer in an epoch")
    expect.is_true(not any(kept), "distill: a graph of the teacher is kept, although nothing is learned through it.")


@probe
def pupil_of(student, state, x, y, unseen, seed):
    """Distil a small network with the default number of epochs, and apply it."""
    teacher = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 10))
    teacher.load_state_dict(state)
    torch.manual_seed(seed)
    pupil = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    student.distill(pupil, teacher, x, y, seed=seed)
    with torch.no_grad():
        return pupil.eval()(torch.from_numpy(unseen))


DISTILLED_FLOOR = 0.93  # mean and spread of the reference: cd tests && python -m measure_optimization 20


@pytest.mark.task("distillation", weight=7)
def test_opinions_teach_more_than_labels(student, expert, seed):
    """distill: the docstring says what share of unseen digits the student must get right; labels alone teach less."""
    model, (x, y), (unseen, truth) = expert
    few = np.where(np.arange(len(y)) < 100, y, -100)

    scores = pupil_of(student, _state(model), x, few, unseen, seed % 1000)

    expect.shape(scores, (len(truth), 10), "distill: scores of the student")
    torch.manual_seed(seed % 1000)
    alone = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    _train(alone, torch.from_numpy(x[:100]), torch.from_numpy(y[:100]), 100, seed % 1000, 0.0, 0.0)
    with torch.no_grad():
        of_labels = float((alone(torch.from_numpy(unseen)).argmax(dim=1).numpy() == truth).mean())
    share = float((scores.argmax(dim=1).numpy() == truth).mean())
    expect.at_least(share, DISTILLED_FLOOR, "distill: share of unseen digits that the student gets right")
    expect.is_true(share > of_labels, "distill: the student is no better than one that learned from the labels alone.")


# ------------------------------------------------------------------------------------------------------------
# A5  Memory
# ------------------------------------------------------------------------------------------------------------


@probe
def staged(student, x, devices, kinds):
    """Send x through two stages; note where each of them gets its input, and compare gradients with one device."""
    torch.manual_seed(0)
    made = {
        "linear": lambda: nn.Linear(4, 4),
        "none": lambda: nn.Sequential(nn.Tanh(), nn.Flatten()),
        "buffer": lambda: nn.BatchNorm1d(4, affine=False).eval(),
    }
    stages = [made[kind]().to(device) for kind, device in zip(kinds, devices, strict=True)]
    seen = []
    for stage in stages:
        stage.register_forward_pre_hook(lambda part, given: seen.append(str(given[0].device)))
    out = student.two_stage_forward(*stages, x)
    where = [str(p.device) for stage in stages for p in (*stage.parameters(), *stage.buffers())]
    notes = tuple(out.shape), str(out.device), list(seen), where
    if "meta" in devices or x.device.type == "meta":
        return *notes, ()
    parameters = [p for stage in stages for p in stage.parameters()]
    weights = torch.linspace(-1, 2, out.numel()).view_as(out)
    plain = stages[1](stages[0](x))
    wanted = torch.autograd.grad((plain * weights).sum(), [x, *parameters])
    grads = [None] * len(wanted)
    if out.requires_grad:
        grads = torch.autograd.grad((out * weights).sum(), [x, *parameters], allow_unused=True)
    grads = [torch.zeros_like(right) if grad is None else grad for grad, right in zip(grads, wanted, strict=True)]
    return *notes, ((out.detach(), plain.detach()), *zip(grads, wanted, strict=True))


@pytest.mark.task("memory")
@pytest.mark.parametrize(
    ("devices", "kinds"),
    [
        (("cpu", "meta"), ("linear", "linear")),
        (("cpu", "meta"), ("none", "linear")),
        (("cpu", "meta"), ("linear", "buffer")),
        (("meta", "meta"), ("linear", "none")),
        (("cpu", "cpu"), ("linear", "linear")),
        (("cpu", "cpu"), ("none", "linear")),
    ],
)
def test_each_stage_is_fed_where_it_is(student, rng, devices, kinds):
    """two_stage_forward: each stage gets its input on its own device, once, stays there, and gradients go back."""
    x = torch.from_numpy(rng.normal(size=(3, 4)).astype(np.float32)).requires_grad_()

    shape, device, seen, where, pairs = staged(student, x, devices, kinds)

    expect.equal(shape, (3, 4), "two_stage_forward: shape of its output")
    expect.equal(device, devices[1], "two_stage_forward: device of its output")
    expect.equal(seen, list(devices), "two_stage_forward: devices on which the stages get their inputs")
    want = [
        d for d, kind in zip(devices, kinds, strict=True) for _ in range({"linear": 2, "none": 0, "buffer": 3}[kind])
    ]
    expect.equal(where, want, "two_stage_forward: devices of the stages' parameters and buffers afterwards")
    for got, right in pairs:
        expect.close(got, right, "two_stage_forward: its output, or a gradient", rtol=1e-5, atol=1e-7)


@probe
def recomputed(student, x, layers, segments, dropout, needs_gradient):
    """Plain and checkpointed passes from the same random state: outputs, gradients, bytes kept, and calls of layers."""
    torch.manual_seed(0)
    parts = [nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Dropout(0.5 * dropout)) for _ in range(layers)]
    model = nn.Sequential(*parts).double()
    events, found = [], []
    for number, part in enumerate(model):
        part.register_forward_pre_hook(lambda part, given, number=number: events.append(number))
        part[0].weight.register_hook(lambda grad: events.append("gradient"))
    parameters = {p.untyped_storage().data_ptr() for p in model.parameters()}
    for forward in (model, lambda given: student.checkpointed_forward(model, given, segments)):
        model.zero_grad()
        given = x.clone().requires_grad_(needs_gradient)
        torch.manual_seed(9)
        saved = {}

        def keep(tensor, saved=saved):
            saved[tensor.untyped_storage().data_ptr()] = tensor
            return tensor

        events.clear()
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            out = forward(given)
        size = sum(t.untyped_storage().nbytes() for place, t in saved.items() if place not in parameters)
        saved.clear()
        first = list(events)
        events.clear()
        after = torch.rand(3)
        if out.requires_grad:
            (out * torch.linspace(-1, 2, out.numel()).view_as(out)).sum().backward()
        grads = [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in model.parameters()]
        own = torch.zeros_like(x) if given.grad is None else given.grad.clone()
        found.append(((out.detach(), own, *grads), size, first, list(events), after))
    return found


@pytest.mark.task("memory")
@pytest.mark.parametrize(("layers", "segments"), [(6, 3), (7, 3), (5, 1), (4, 4), (9, 2), (11, 4)])
@pytest.mark.parametrize("dropout", [False, True])
def test_little_is_kept_and_nothing_changes(student, rng, layers, segments, dropout):
    """checkpointed_forward: outputs and gradients are those of the model, with less kept and one run at a time."""
    x = torch.from_numpy(rng.normal(size=(10, 6)))
    kept = x.clone()

    for needs in (True, False):
        plain, got = recomputed(student, x, layers, segments, dropout, needs)

        for one, other in zip(got[0], plain[0], strict=True):
            expect.close(one, other, "checkpointed_forward: its output, or a gradient", rtol=1e-6, atol=1e-12)
        expect.close(got[4], plain[4], "checkpointed_forward: what torch's generator draws next")
        expect.equal(got[2], list(range(layers)), "checkpointed_forward: layers that are computed in the forward pass")
        longest = -(-layers // segments)
        single = plain[1] / layers  # about what one layer keeps
        most = segments * x.numel() * 8 + longest * single
        if segments > 1:
            expect.is_true(got[1] <= 1.25 * most, "checkpointed_forward: too much is kept for the backward pass.")
        again = [event for event in got[3] if event != "gradient"]
        repeated = len(again) != len(set(again))
        expect.is_true(not repeated, "checkpointed_forward: a layer is computed more than once in the backward pass.")
        run, runs = 0, 0
        for event in got[3]:
            run = 0 if event == "gradient" else run + 1
            runs += run == 1
            expect.is_true(run <= longest, "checkpointed_forward: the backward pass computes too many layers at once.")
        expect.is_true(runs <= segments, "checkpointed_forward: there are more runs than asked for.")
    expect.unchanged(x, kept, "checkpointed_forward: x")


@probe
def other_ends_of_checkpoints(student, x):
    """Without a graph, and with numbers of segments that are not possible."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 2)).double().eval()
    with torch.no_grad():
        same = torch.equal(student.checkpointed_forward(model, x, 2), model(x))
    said = []
    for segments in (0, 4):
        try:
            student.checkpointed_forward(model, x, segments)
            said.append("nothing")
        except Exception as error:
            said.append(type(error).__name__)
    return same, said, model.training


@pytest.mark.task("memory", weight=2)
def test_segments_are_checked(student, rng):
    """checkpointed_forward: a number of segments below one, or above the number of layers, is an error."""
    same, said, training = other_ends_of_checkpoints(student, torch.from_numpy(rng.normal(size=(3, 6))))

    expect.is_true(same, "checkpointed_forward without a graph: another output than that of the model.")
    expect.equal(said, ["ValueError"] * 2, "checkpointed_forward: what impossible numbers of segments raise")
    expect.equal(training, False, "checkpointed_forward: mode of the model, which was in eval mode")


@probe
def kept_by(student, recipes):
    """Bytes that autograd keeps for some networks; and whether a network stays as it is."""
    found = []
    for recipe, shape, dtype in recipes:
        torch.manual_seed(0)
        model = nn.Sequential(*[getattr(nn, kind)(*args, **options) for kind, args, options in recipe])
        model = model.to(getattr(torch, dtype))
        buffers = [b.clone() for b in model.buffers()]
        count = student.saved_activations(model, torch.randn(shape, dtype=getattr(torch, dtype)))
        same = all(torch.equal(b, old) for b, old in zip(model.buffers(), buffers, strict=True))
        found.append((count, same and all(p.grad is None for p in model.parameters()), model.training))
    model = nn.Sequential(nn.Linear(4, 8), nn.Sigmoid(), nn.Linear(8, 8))
    model[0].weight.grad = torch.full_like(model[0].weight, 3.0)
    calls = []

    def twice(part, given):
        calls.append(part is model)
        return part[1](part[0](given)), part[0](given).sigmoid()

    with torch.no_grad():
        count = student.saved_activations(model, torch.ones(5, 4), twice)
    kept = bool((model[0].weight.grad == 3.0).all()) and model[2].weight.grad is None
    return found, (count, kept, calls)


@pytest.mark.task("memory", weight=7)
def test_saved_bytes_are_counted(student):
    """saved_activations: each storage counts once, those of the model not, in every dtype, and the model stays."""
    conv = [("Conv2d", (1, 2, 3), {}), ("BatchNorm2d", (2,), {}), ("ReLU", (), {}), ("MaxPool2d", (2,), {})]
    deep = [("Linear", (6, 6), {}), ("Tanh", (), {}), ("Linear", (6, 6), {}), ("Tanh", (), {}), ("Linear", (6, 6), {})]
    recipes = [
        (deep, (7, 6), "float32"),
        (deep, (7, 6), "float64"),
        (conv, (3, 1, 6, 6), "float32"),
        ([("Linear", (5, 3), {}), ("Dropout", (0.0,), {}), ("Softmax", (1,), {})], (4, 5), "float32"),
        ([("Linear", (5, 3), {}), ("Flatten", (), {}), ("Linear", (3, 2), {})], (4, 5), "bfloat16"),
    ]

    found, (count, kept, calls) = kept_by(student, recipes)

    want = []
    for recipe, shape, dtype in recipes:
        torch.manual_seed(0)
        model = nn.Sequential(*[getattr(nn, kind)(*args, **options) for kind, args, options in recipe])
        want.append(_kept(model.to(getattr(torch, dtype)), torch.randn(shape, dtype=getattr(torch, dtype))))
    for (got, same, training), right in zip(found, want, strict=True):
        expect.equal(got, right, "saved_activations")
        expect.is_true(same, "saved_activations: a buffer of the model has changed, or there is a gradient.")
        expect.equal(training, True, "saved_activations: mode of the model, which was in train mode")
    expect.equal(want[0], 7 * 6 * 4 * 3, "the oracle")  # x, and the output of each tanh
    expect.equal(count, 5 * (4 + 8 + 8) * 4, "saved_activations with a forward of its own")
    expect.is_true(kept, "saved_activations: a gradient has changed.")
    expect.equal(calls, [True], "saved_activations: calls of forward, and whether the model is given to it")


def _kept(model, x):
    """Bytes of all storages that autograd saves, but those of the model."""
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        out = model(x)
    own = {t.untyped_storage().data_ptr() for t in (*model.parameters(), *model.buffers())}
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in saved}
    del out
    return sum(size for place, size in storages.items() if place not in own)


OPTIMIZERS = {
    "sgd": lambda params: torch.optim.SGD(params, lr=0.1),
    "momentum": lambda params: torch.optim.SGD(params, lr=0.1, momentum=0.9),
    "rmsprop": lambda params: torch.optim.RMSprop(params, lr=0.1),
    "adam": lambda params: torch.optim.Adam(params, lr=0.1),
    "adamw": lambda params: torch.optim.AdamW(params, lr=0.1),
}


def _held(tensors):
    return sum(t.untyped_storage().nbytes() for t in {t.untyped_storage().data_ptr(): t for t in tensors}.values())


@probe
def estimates(student, recipe, names, batch, activations):
    """Estimates for a network with a shared, a frozen and a half-precision layer, on the CPU and without numbers."""
    found = []
    for device in ("cpu", "meta"):
        layers = [nn.Linear(*sizes, device=device, dtype=getattr(torch, dtype)) for sizes, dtype in recipe]
        layers[1].weight.requires_grad_(False)
        for name in names:
            params = (p for layer in (*layers, layers[0]) for p in layer.parameters())
            found.append(dict(student.estimate_memory(params, batch, name, activations)))
    try:
        student.estimate_memory([], 3, "adma")
        said = "nothing"
    except Exception as error:
        said = type(error).__name__
    return found, said


@pytest.mark.task("memory", weight=8)
def test_what_pytorch_holds(student):
    """estimate_memory: bytes of what torch holds after a step, with shared, frozen and half-precision parameters."""
    recipe = [((5, 7), "float32"), ((7, 3), "float64"), ((3, 4), "bfloat16")]

    found, said = estimates(student, recipe, list(OPTIMIZERS), 12, 250)

    for number, got in enumerate(found):
        name = list(OPTIMIZERS)[number % len(OPTIMIZERS)]
        layers = [nn.Linear(*sizes, dtype=getattr(torch, dtype)) for sizes, dtype in recipe]
        layers[1].weight.requires_grad_(False)
        params = [p for layer in layers for p in layer.parameters()]
        for p in params:
            p.grad = torch.ones_like(p) if p.requires_grad else None
        optimizer = OPTIMIZERS[name]([p for p in params if p.requires_grad])
        optimizer.step()
        state = [v for entry in optimizer.state.values() for v in entry.values() if isinstance(v, torch.Tensor)]
        want = {
            "parameters": _held(params),
            "gradients": _held(p.grad for p in params if p.grad is not None),
            "optimizer": _held(state),
            "activations": 3000,
        }
        want["total"] = sum(want.values())
        for key, value in want.items():
            expect.is_true(key in got, f"estimate_memory: its result has no {key!r}.")
            expect.equal(got[key], value, f"estimate_memory with {name}: {key}")
    expect.equal(said, "ValueError", "estimate_memory with an unknown optimizer: what it raises")


# ------------------------------------------------------------------------------------------------------------
# PF1  Devices, and loops
# ------------------------------------------------------------------------------------------------------------


@probe
def devices_of_machines(student, machines):
    """What is chosen on machines with and without CUDA and MPS, one after another, and on this one."""
    kept = torch.cuda.is_available, torch.backends.mps.is_available
    found = []
    try:
        for has_cuda, has_mps in machines:
            torch.cuda.is_available = lambda has=has_cuda: has
            torch.backends.mps.is_available = lambda has=has_mps: has
            device = student.select_device()
            found.append((isinstance(device, torch.device), str(device).partition(":")[0]))
    finally:
        torch.cuda.is_available, torch.backends.mps.is_available = kept
    device = student.select_device()
    return found, (str(device).partition(":")[0], kept[0](), kept[1]())


@pytest.mark.task("devices", weight=5)
def test_the_best_device_of_each_machine(student):
    """select_device: the machine is asked again with each call, and CUDA is better than MPS."""
    machines = [(False, False), (True, True), (False, True), (True, False), (False, False)]

    found, (here, has_cuda, has_mps) = devices_of_machines(student, machines)

    want = [(True, name) for name in ("cpu", "cuda", "mps", "cuda", "cpu")]
    expect.equal(found, want, "select_device: whether it is a torch.device, and its type, on five machines")
    expect.equal(here, "cuda" if has_cuda else "mps" if has_mps else "cpu", "select_device on this machine")


@probe
def moved_batches(student, device):
    """Move batches of all kinds; say what is wrong with the result, as names of facts."""
    Pair = collections.namedtuple("Pair", ["x", "y"])

    name = "name", str, dataclasses.field(default="none")
    Frozen = dataclasses.make_dataclass("Frozen", ["image", name], frozen=True)
    Open = dataclasses.make_dataclass("Open", ["parts", "inner"])
    t = torch.arange(6.0).view(2, 3)
    array, word, nothing, number, some = np.ones(3), "cuda", None, 3.5, {2, 5}
    parameter, labels = nn.Parameter(torch.ones(2)), torch.tensor([3, 1])
    batch = {
        "tensor": t,
        5: [t, (t, word), []],
        "pair": Pair(t, {"deep": (t,)}),
        "frozen": Frozen(t, "cat"),
        "open": Open([t, nothing], Frozen(t)),
        "rest": (array, word, nothing, number, Frozen, True, some),
        "parameter": parameter,
        "labels": labels,
        "empty": {},
    }
    there = student.move_to(batch, device)
    frozen, opened, rest = there["frozen"], there["open"], there["rest"]
    parts, inner = getattr(opened, "parts", [None]), getattr(opened, "inner", None)
    tensors = [
        there["tensor"], there[5][0], there[5][1][0], there["pair"][0], there["pair"][1]["deep"][0],
        getattr(frozen, "image", None), parts[0], getattr(inner, "image", None), there["parameter"], there["labels"],
    ]  # fmt: skip
    kinds = {getattr(getattr(x, "device", None), "type", None) for x in tensors}
    origin = batch["tensor"], batch[5][0], batch["frozen"].image, batch["open"].parts[0], batch["pair"].y["deep"][0]
    wrong = {
        "a tensor is on another device": kinds != {torch.device(device).type},
        "a tensor that was there already is a copy": device == "cpu"
        and (any(x is not t for x in tensors[:-2]) or there["labels"] is not labels),
        "a namedtuple has become something else": type(there["pair"]) is not Pair,
        "a dataclass has become something else": type(frozen) is not Frozen or type(opened) is not Open,
        "another field of a dataclass is lost": [getattr(part, "name", "") for part in (frozen, inner)]
        != ["cat", "none"],
        "a list or a tuple has become something else": [type(part) for part in there[5]] != [torch.Tensor, tuple, list],
        "a dict has other keys": list(there) != list(batch),
        "None, a text, a number, an array, a class or a set is changed": list(map(id, rest))
        != list(map(id, batch["rest"])),
        "the length of a container has changed": len(rest) != 7 or len(there[5]) != 3 or len(parts) != 2,
        "the batch itself has changed": any(x is not t for x in origin),
    }
    single = student.move_to(t, torch.device(device)), student.move_to(None, device), student.move_to("cpu", device)
    alone = single[0].device.type == torch.device(device).type and single[1] is None and single[2] == "cpu"
    return [name for name, is_so in wrong.items() if is_so], alone


@pytest.mark.task("devices", weight=4)
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_batches_of_all_kinds_move(student, device):
    """move_to: containers keep their types, tensors move wherever they are, and the rest is the same object."""
    wrong, alone = moved_batches(student, device)

    expect.is_true(not wrong, f"move_to: {', and '.join(wrong)}.")
    expect.is_true(alone, "move_to: a batch that is no container does not come back as it should.")


@pytest.mark.task("devices", weight=4)
def test_normalised_images(student, rng):
    """vectorise_normalise: each channel has a mean and a deviation of its own, whatever the sizes are."""
    for shape in ((1, 1, 1, 4), (3, 2, 5, 2), (2, 5, 5, 5)):
        images, mean, std = rng.normal(size=shape), rng.normal(size=shape[1]), rng.uniform(0.5, 2, size=shape[1])
        kept = images.copy(), mean.copy(), std.copy()

        got = student.vectorise_normalise(images, mean, std)

        expect.close(got, loops.normalise(*kept), "vectorise_normalise", rtol=1e-7)
        for now, was, name in zip((images, mean, std), kept, ("images", "mean", "std"), strict=True):
            expect.unchanged(now, was, f"vectorise_normalise: {name}")


@pytest.mark.task("devices", weight=4)
def test_means_of_classes(student, rng):
    """vectorise_class_means: a class without rows gets zeros, also the first and the last one."""
    for n, width, present, classes in ((12, 3, [1, 2, 4], 6), (1, 2, [0], 1), (40, 5, range(7), 7), (5, 1, [2], 3)):
        x, labels = rng.normal(size=(n, width)), rng.choice(np.array(present), size=n)
        kept = x.copy(), labels.copy()

        got = student.vectorise_class_means(x, labels, classes)

        expect.close(got, loops.class_means(*kept, classes), "vectorise_class_means", rtol=1e-7)
        expect.unchanged(x, kept[0], "vectorise_class_means: x")
        expect.unchanged(labels, kept[1], "vectorise_class_means: labels")


@pytest.mark.task("devices", weight=4)
def test_means_of_windows(student, rng):
    """vectorise_moving_average: all windows of each row, also those of one number and of the whole row."""
    for n, length, width in ((3, 10, 4), (1, 5, 1), (2, 6, 6), (4, 7, 6)):
        x = rng.normal(size=(n, length))
        kept = x.copy()

        got = student.vectorise_moving_average(x, width)

        expect.close(got, loops.moving_average(kept, width), "vectorise_moving_average", rtol=1e-6, atol=1e-9)
        expect.unchanged(x, kept, "vectorise_moving_average: x")


@probe
def seconds_of_both(student, name, arguments):
    """CPU seconds of whole arrays and of the given loop, one after the other."""
    function, loop = getattr(student, name), getattr(loops, name.removeprefix("vectorise_"))
    out = function(*arguments)
    whole = clock.cpu_seconds(lambda: function(*arguments))
    return out, whole, clock.cpu_seconds(lambda: loop(*arguments), 2)


@pytest.mark.task("devices", weight=3)
@pytest.mark.parametrize("name", ["vectorise_normalise", "vectorise_class_means", "vectorise_moving_average"])
def test_whole_arrays_are_fast(student, rng, name):
    """Whole arrays are many times as fast as the loop over entries; the docstring says which loops are too slow."""
    # loops over one axis that the docstring calls fine are 30 to 160 times as fast, those that it calls too slow 5 to 8
    arguments = {
        "vectorise_normalise": (rng.normal(size=(6, 3, 40, 40)), rng.normal(size=3), rng.uniform(1, 2, size=3)),
        "vectorise_class_means": (rng.normal(size=(1500, 16)), rng.integers(0, 10, size=1500), 10),
        "vectorise_moving_average": (rng.normal(size=(4, 2000)), 25),
    }[name]

    out, whole, loop = seconds_of_both(student, name, arguments)

    expect.close(out, getattr(loops, name.removeprefix("vectorise_"))(*arguments), name, rtol=1e-6, atol=1e-9)
    is_fast = loop >= 12 * whole  # less than is asked for, as a clock is never exact; no number in the sentence
    expect.is_true(is_fast, f"{name}: too slow. It is not 20 times as fast as the loop.")


# ------------------------------------------------------------------------------------------------------------
# PF2  Feeding the network
# ------------------------------------------------------------------------------------------------------------


@probe
def read_ahead(student, count, n, fails_at):
    """Take batches one by one; after each, wait until the loader was asked as often as it should be, and no more."""
    asked, came = [], threading.Condition()

    def loader():
        for number in range(count):
            with came:
                asked.append(number)
                came.notify_all()
            if number == fails_at:
                raise ValueError("a broken file")
            yield None if number % 3 == 1 else [number]

    def others():
        return [thread for thread in threading.enumerate() if thread not in before]

    before, got, late, most, said = threading.enumerate(), [], [], 0, ""
    start = threading.Thread.start

    def start_slowly_ending(thread):
        run = thread.run

        def run_and_linger():
            try:
                run()
            finally:
                time.sleep(0.1)  # whoever does not wait for the end of the thread is seen under every schedule

        thread.run = run_and_linger
        start(thread)

    threading.Thread.start = start_slowly_ending
    source = iter(student.prefetch(loader(), n))
    try:
        while True:
            got.append(next(source))
            due = min(len(got) + n, count if fails_at is None else fails_at + 1)
            with came:
                late.append(not came.wait_for(lambda due=due: len(asked) >= due, timeout=0.05 if any(late) else 5.0))
                patience = 0.3 if len(got) == 1 else 0.002  # time enough for a thread that reads too much
                came.wait_for(lambda: len(asked) - len(got) > n + 1, timeout=patience)
                most = max(most, len(asked) - len(got))
    except StopIteration:
        said = "the end"
    except ValueError as error:
        said = str(error)
    finally:
        threading.Thread.start = start
    left = len(others())
    after = []
    for _ in range(2):
        try:
            next(source)
            after.append("a batch")
        except StopIteration:
            after.append("the end")
        except Exception as error:
            after.append(type(error).__name__)
    return got, any(late), most, said, left, after


@pytest.mark.task("feeding", weight=2)
@pytest.mark.parametrize(("count", "n", "fails_at"), [(9, 2, None), (7, 4, None), (5, 1, None), (8, 3, 5), (4, 2, 0)])
def test_a_thread_reads_ahead(student, count, n, fails_at):
    """prefetch: batches come in order, also None; the thread reads ahead as far as it should, and no further."""
    got, is_late, most, said, left, after = read_ahead(student, count, n, fails_at)

    want = [None if number % 3 == 1 else [number] for number in range(count if fails_at is None else fails_at)]
    expect.equal(got, want, "prefetch: batches")
    expect.equal(said, "the end" if fails_at is None else "a broken file", "prefetch: what comes after the last batch")
    expect.is_true(not is_late, "prefetch: nobody reads the next batches while the caller works on one.")
    expect.is_true(most <= n + 1, "prefetch: more batches are read ahead than asked for.")
    expect.equal(left, 0, "prefetch: threads that have not ended at the end")
    expect.equal(after, ["the end"] * 2, "prefetch: what comes after its end")


@probe
def left_early(student, how, n, waits):
    """Leave a loader without an end in several ways; count threads that are left, and batches read afterwards."""
    asked, came = [], threading.Condition()

    def endless():
        number = 0
        while True:
            with came:
                asked.append(number)
                came.notify_all()
            yield np.full(3, number)
            number += 1

    def settle():
        """Wait until the thread has read all that it may, and waits itself: then somebody must wake it up."""
        if waits:
            with came:
                came.wait_for(lambda: len(asked) >= 5 + n, timeout=0.5)
            time.sleep(0.1)

    def others():
        return [thread for thread in threading.enumerate() if thread not in before]

    before, total = threading.enumerate(), 0
    if how == "break":
        for batch in student.prefetch(endless(), n):
            total += int(batch[0])
            if batch[0] == 4:
                settle()
                break
    elif how == "exception":
        try:
            for batch in student.prefetch(endless(), n):
                total += int(batch[0])
                if batch[0] == 4:
                    settle()
                    raise ZeroDivisionError
        except ZeroDivisionError:
            pass
    elif how == "never begun":
        unused = student.prefetch(endless(), n)
        del unused
    else:
        source = iter(student.prefetch(endless(), n))
        total += sum(int(next(source)[0]) for _ in range(5))
        settle()
        del source
    for _ in range(300):
        if not others():
            break
        time.sleep(0.01)
    left, count = len(others()), len(asked)
    time.sleep(0.02)
    return total, left, len(asked) - count


@pytest.mark.task("feeding")
@pytest.mark.parametrize("how", ["break", "exception", "never begun", "dropped"])
@pytest.mark.parametrize("n", [1, 3])
def test_no_thread_is_left(student, how, n):
    """prefetch: whoever leaves early leaves no thread behind, even if the loader has no end."""
    for waits in (False, True):  # while the thread reads, and while it waits for room
        total, left, more = left_early(student, how, n, waits)

        expect.equal(total, 0 if how == "never begun" else 10, "prefetch: sum of the batches that were read")
        expect.equal(left, 0, "prefetch: threads that are left")
        expect.equal(more, 0, "prefetch: batches that are read after the end")


@probe
def bad_prefetches(student):
    """What a bad n raises, and a loader that cannot be gone through."""
    said = []
    for loader, n in (([1, 2], 0), (5, 2)):
        try:
            next(iter(student.prefetch(loader, n)))
            said.append("nothing")
        except Exception as error:
            said.append(type(error).__name__)
    return said, list(student.prefetch([], 2)), list(student.prefetch(iter("abc")))


@pytest.mark.task("feeding", weight=2)
def test_the_ends_of_prefetching(student):
    """prefetch: n below one is an error; an empty loader gives nothing; what a loader raises at once comes too."""
    said, empty, letters = bad_prefetches(student)

    expect.equal(said, ["ValueError", "TypeError"], "prefetch: what n = 0, and a loader that is none, raise")
    expect.equal(empty, [], "prefetch of an empty loader")
    expect.equal(letters, ["a", "b", "c"], "prefetch of a generator")


@probe
def searched(student, cases):
    """Search for the largest batch where so many samples fit; several kinds of errors say that one does not."""
    kinds = [
        lambda: RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB"),
        lambda: MemoryError(),
        lambda: torch.OutOfMemoryError("CUDA out of memory."),
        lambda: RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ]
    found = []
    for number, (room, limit) in enumerate(cases):
        tried = []

        def fits(batch, room=room, tried=tried, number=number):
            tried.append(batch)
            if batch > room:
                raise kinds[number % 4]()

        try:
            found.append((student.largest_batch(fits, limit), tried))
        except Exception as error:  # an error that says too large, and was not taken for one
            found.append((type(error).__name__, tried))
    said = []
    for error in (ValueError("shapes"), RuntimeError("mat1 and mat2 shapes cannot be multiplied"), KeyError("memory")):

        def fails(batch, error=error):
            raise error

        try:
            student.largest_batch(fails, 8)
            said.append("nothing")
        except Exception as other:
            said.append(other is error)
    return found, said


@pytest.mark.task("feeding", weight=7)
def test_the_search_is_exact_and_short(student, rng):
    """largest_batch: the exact answer with few tries, never far above what fits; other errors pass through."""
    cases = [(0, 1), (1, 1), (5, 1), (0, 100), (1, 2), (64, 64), (63, 64), (1000, 37), (2, 3), (32, 33), (33, 33)]
    cases += [(int(rng.integers(1, 300)), int(rng.integers(1, 300))) for _ in range(12)]

    found, said = searched(student, cases)

    for (got, tried), (room, limit) in zip(found, cases, strict=True):
        expect.equal(got, min(room, limit), "largest_batch")
        expect.is_true(all(isinstance(batch, int) and 1 <= batch <= limit for batch in tried),
                       "largest_batch: it tries a size that is none from 1 to the limit.")  # fmt: skip
        expect.is_true(len(tried) <= 2 * math.log2(limit) + 3, "largest_batch: too many tries.")
        most = 1
        for batch in tried:
            expect.is_true(batch <= max(most, 1), "largest_batch: it tries more than twice of what fits.")
            if batch <= room:
                most = max(most, 2 * batch)
    expect.equal(said, [True] * 3, "largest_batch: whether an error that is none of memory passes through")


@pytest.mark.task("feeding", weight=5)
def test_the_best_of_a_table(student, rng):
    """best_batch_size: samples per second decide, the smallest that is near enough is taken, and None does not fit."""
    for turn in range(30):
        sizes = rng.permutation(2 ** np.arange(1, 9))[:6]
        table = {int(size): float(0.01 + size / rng.uniform(500, 2000)) for size in sizes}
        if turn % 2:
            table[4096] = None
        tolerance = float(rng.uniform(0, 0.5)) if turn % 3 else 0.05
        rates = {size: size / seconds for size, seconds in table.items() if seconds is not None}
        best = max(rates.values())
        if min(abs(rate / best - (1 - tolerance)) for rate in rates.values()) < 1e-6:
            continue  # too near to call
        kept = dict(table)

        got = student.best_batch_size(table, tolerance) if turn % 3 else student.best_batch_size(table)

        want = min(size for size, rate in rates.items() if rate >= (1 - tolerance) * best)
        expect.equal(got, want, "best_batch_size")
        expect.equal(table, kept, "best_batch_size: the table afterwards")
    with expect.refused(ValueError, "best_batch_size where nothing fits"):
        student.best_batch_size({8: None, 16: None})
