"""Public tests of model optimisation: small numbers that can be followed on paper."""

import math
import threading
import time

import loops
import numpy as np
import pytest
import torch
from torch import nn

from autograder import expect, probe


def _tensor(values):
    return torch.tensor(values, dtype=torch.float64)


# ------------------------------------------------------------------------------------------------------------
# A1  Mixed precision
# ------------------------------------------------------------------------------------------------------------


@pytest.mark.task("mixed_precision", weight=4)
def test_float16_has_two_ends(student):
    """70,000 is above the largest float16 number, and 1e-8 is below the smallest; 0 and 1 are exact."""
    x = np.array([[70_000.0, 1.0], [1e-8, 0.0]])
    before = x.copy()

    plain, scaled = student.float16_report(x), student.float16_report(x, 1024.0)

    expect.close(plain["overflow"], 0.25, "float16_report: overflow")
    expect.close(plain["underflow"], 0.25, "float16_report: underflow")
    expect.close(plain["error"], 0.0, "float16_report: error")
    expect.close(scaled["overflow"], 0.25, "float16_report with a scale: overflow")
    expect.close(scaled["underflow"], 0.0, "float16_report with a scale: underflow")
    expect.unchanged(x, before, "float16_report: x")


@probe
def scripted(student, options, gradients):
    """Give a scaler one gradient after another, multiplied by its scale; note what it does."""
    weight = nn.Parameter(torch.zeros(1, dtype=torch.float64))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    scaler = student.DynamicLossScaler(**options)
    scales, steps, weights = [scaler.get_scale()], [], []
    for gradient in gradients:
        loss = scaler.scale(gradient * weight.sum())
        optimizer.zero_grad()
        loss.backward()
        steps.append(scaler.step(optimizer))
        scaler.update()
        scales.append(scaler.get_scale())
        weights.append(weight.item())
    return scales, steps, weights, scaler.skipped


@pytest.mark.task("mixed_precision", weight=10)
def test_the_scale_grows_and_falls(student):
    """Two good steps double the scale, an inf or a nan halves it and is skipped, and the count begins again."""
    options = {"init_scale": 8.0, "growth_interval": 2}

    scales, steps, weights, skipped = scripted(student, options, [1.0, 2.0, 1.0, 3.0, math.inf, 1.0, math.nan])

    expect.equal(scales, [8.0, 8.0, 16.0, 16.0, 32.0, 16.0, 16.0, 8.0], "DynamicLossScaler: scales")
    expect.equal(steps, [True, True, True, True, False, True, False], "DynamicLossScaler.step: whether a step was made")
    expect.close(_tensor(weights), _tensor([-1.0, -3, -4, -7, -7, -8, -8]), "DynamicLossScaler: weight after each step")
    expect.equal(skipped, 2, "DynamicLossScaler.skipped")


@probe
def one_amp_step(student, x, y, scale, max_norm):
    """One step of a layer whose weights are one half; what is on meanwhile, and what comes of it."""
    layer = nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        layer.weight.fill_(0.5)
    modes = {}
    layer.register_forward_hook(lambda *_: modes.update(forward=torch.is_autocast_enabled("cpu")))
    layer.weight.register_hook(lambda _: modes.update(backward=torch.is_autocast_enabled("cpu")))

    def loss_fn(scores, y):
        return ((scores.float() - y) ** 2).mean()

    scaler = student.DynamicLossScaler(scale) if scale else None
    optimizer = torch.optim.SGD(layer.parameters(), lr=1.0)
    loss = student.amp_step(layer, x, y, loss_fn, optimizer, scaler, max_norm)
    return loss, layer.weight.detach(), modes


@pytest.mark.task("mixed_precision", weight=4)
@pytest.mark.parametrize("scale", [None, 1024.0])
def test_only_the_forward_pass_is_mixed(student, scale):
    """The score is 3.5 where 0.5 is wanted: the gradient is (18, 24), of length 30, and is clipped to length 5."""
    x, y = torch.tensor([[3.0, 4.0]]), torch.tensor([[0.5]])

    loss, weight, modes = one_amp_step(student, x, y, scale, 5.0)

    expect.equal(modes, {"forward": True, "backward": False}, "amp_step: whether autocast is on")
    expect.close(loss, 9.0, "amp_step")
    expect.close(weight, torch.tensor([[0.5 - 3.0, 0.5 - 4.0]]), "amp_step: weight after the step", rtol=1e-4)


@probe
def small_steps(student, count):
    """Steps of a quarter downwards from 256, in bfloat16."""
    weight = nn.Parameter(torch.tensor([256.0], dtype=torch.bfloat16))
    made = student.MasterWeights([weight], lambda copies: torch.optim.SGD(copies, lr=1.0))
    for _ in range(count):
        made.zero_grad()
        weight.sum().mul(0.25).backward()
        made.step()
    return weight.detach().float(), [master.detach() for master in made.masters]


@pytest.mark.task("mixed_precision", weight=7)
def test_small_steps_add_up(student):
    """Below 256 the next bfloat16 number is 255: three steps of a quarter are lost one by one, but not together."""
    weight, masters = small_steps(student, 3)

    expect.close(masters[0], torch.tensor([255.25]), "MasterWeights.masters")
    expect.close(weight, torch.tensor([255.0]), "MasterWeights: the parameter")


# ------------------------------------------------------------------------------------------------------------
# A2  Gradient accumulation
# ------------------------------------------------------------------------------------------------------------


@probe
def accumulated(student, batches, k):
    """Train one weight, which begins with 0, on the squared error; note the sizes of what the model is given."""
    layer = nn.Linear(1, 1, bias=False).double()
    with torch.no_grad():
        layer.weight.zero_()
    sizes, weights = [], []
    layer.register_forward_hook(lambda part, inputs, out: sizes.append(len(inputs[0])))
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    optimizer.register_step_post_hook(lambda *_: weights.append(layer.weight.item()))
    losses = student.train_step_accumulate(layer, batches, k, optimizer, nn.functional.mse_loss)
    return losses, weights, sizes


@pytest.mark.task("accumulation", weight=8)
def test_each_sample_counts_alike(student):
    """Two samples and one sample: with a weight of 0 the gradient is -2 times the mean of 1, 2 and 6, which is 3."""
    batches = [(_tensor([[1.0], [1]]), _tensor([[1.0], [2]])), (_tensor([[1.0]]), _tensor([[6.0]]))]
    before = [(x.clone(), y.clone()) for x, y in batches]

    losses, weights, _ = accumulated(student, batches, 2)

    expect.close(_tensor(weights), _tensor([0.6]), "train_step_accumulate: weight after the step")
    expect.close(_tensor(losses), _tensor([(1 + 4 + 36) / 3]), "train_step_accumulate")
    for (x, y), (old_x, old_y) in zip(batches, before, strict=True):
        expect.unchanged(x, old_x, "train_step_accumulate: x")
        expect.unchanged(y, old_y, "train_step_accumulate: y")


@pytest.mark.task("accumulation", weight=6)
def test_the_last_step_takes_what_is_left(student):
    """Five micro-batches and k = 2 are three steps; the model is given one micro-batch at a time."""
    batches = [(_tensor([[1.0]] * n), _tensor([[1.0]] * n)) for n in (2, 3, 1, 2, 4)]

    losses, weights, sizes = accumulated(student, batches, 2)

    expect.equal(sizes, [2, 3, 1, 2, 4], "train_step_accumulate: rows that the model is given")
    expect.equal(len(losses), 3, "train_step_accumulate: number of losses")
    want = [1 - 0.8**step for step in (1, 2, 3)]  # each step goes a fifth of the way to 1
    expect.close(_tensor(weights), _tensor(want), "train_step_accumulate: weight after each step")


@probe
def layers_that_mix(student):
    model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.LayerNorm(6), nn.Sequential(nn.BatchNorm1d(6)))
    in_train = student.breaks_accumulation(model)
    model[1].eval()
    return list(in_train), list(student.breaks_accumulation(model))


@pytest.mark.task("accumulation", weight=4)
def test_batch_norm_is_the_exception(student):
    """A batch norm in train mode looks at the whole batch; in eval mode it does not, and a layer norm never does."""
    in_train, one_in_eval = layers_that_mix(student)

    expect.equal(in_train, ["1", "3.0"], "breaks_accumulation")
    expect.equal(one_in_eval, ["3.0"], "breaks_accumulation with one batch norm in eval mode")


# ------------------------------------------------------------------------------------------------------------
# A3  Pruning
# ------------------------------------------------------------------------------------------------------------

FIRST, SECOND = [[1.0, -9.0], [2.0, 8.0]], [[-3.0, 0.5]]


@probe
def pruned(student, first, second, amount, scope, steps):
    """Prune two layers, then train them a little, with weight decay and momentum."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1)).double()
    with torch.no_grad():
        for layer, weight in zip(model, (first, second), strict=True):
            layer.weight.copy_(torch.tensor(weight))
    biases = [layer.bias.detach().clone() for layer in model]
    masks = dict(student.magnitude_prune(model, amount, scope))
    same = all(torch.equal(layer.bias, bias) for layer, bias in zip(model, biases, strict=True))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, weight_decay=0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.tensor([[1.0, 2.0], [3.0, -1.0]]).double()).square().mean().backward()
        optimizer.step()
    return masks, [layer.weight.detach().clone() for layer in model], same


@pytest.mark.task("pruning", weight=3)
@pytest.mark.parametrize(
    ("scope", "first", "second"),
    [("global", [[0.0, -9], [0, 8]], [[-3.0, 0]]), ("layer", [[0.0, -9], [0, 8]], [[-3.0, 0.0]])],
)
def test_the_smallest_weights_go(student, scope, first, second):
    """Half of the six weights are 0.5, 1 and 2, whatever their signs; biases stay."""
    masks, weights, same = pruned(student, FIRST, SECOND, 0.5, scope, 0)

    expect.equal(sorted(masks), ["0", "1"], "magnitude_prune: layers with a mask")
    for name, got, want in zip("01", weights, (first, second), strict=True):
        expect.close(got, _tensor(want), f"magnitude_prune: weight of layer {name}")
        expect.equal(masks[name], _tensor(want) != 0, f"magnitude_prune: mask of layer {name}")
    expect.is_true(same, "magnitude_prune: a bias has changed.")


@pytest.mark.task("pruning", weight=4)
def test_two_scopes_differ(student):
    """A third of all weights are 1 and 2, both in the first layer; a third of each layer is one weight in each."""
    together, _, _ = pruned(student, FIRST, [[-3.0, 2.5]], 1 / 3, "global", 0)
    apart, _, _ = pruned(student, FIRST, [[-3.0, 2.5]], 1 / 3, "layer", 0)

    kept = [[bool(mask.all()) for _, mask in sorted(masks.items())] for masks in (together, apart)]
    expect.equal(kept, [[False, True], [False, False]], "magnitude_prune: whether all weights of a layer are kept")


@pytest.mark.task("pruning", weight=6)
def test_zeros_stay_while_others_learn(student):
    """Three training steps later the pruned weights are still exactly 0, and every other weight has changed."""
    masks, weights, _ = pruned(student, FIRST, SECOND, 0.5, "global", 3)

    for name, got, old in zip("01", weights, (FIRST, SECOND), strict=True):
        zeros = got[~masks[name]]
        expect.close(zeros, torch.zeros_like(zeros), f"magnitude_prune: pruned weights of layer {name} after training")
        moved = (got != _tensor(old))[masks[name]]
        expect.is_true(bool(moved.all()), f"magnitude_prune: a weight of layer {name} that is kept was not trained.")


@probe
def made_permanent(student):
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    keys = list(model.state_dict())
    student.magnitude_prune(model, 0.5)
    weight = model[0].weight.detach().clone()
    student.make_permanent(model)
    return keys, list(model.state_dict()), bool(torch.equal(weight, model[0].weight)), bool((weight == 0).any())


@pytest.mark.task("pruning", weight=4)
def test_a_model_without_masks(student):
    """make_permanent: the names in its state are those of a new model, and the weights are those with zeros."""
    before, after, same, has_zeros = made_permanent(student)

    expect.equal(sorted(after), sorted(before), "make_permanent: names in model.state_dict()")
    expect.is_true(same and has_zeros, "make_permanent: the weights are not those that pruning had left.")


@probe
def costs(student, groups):
    conv = nn.Conv2d(2, 4, 3, groups=groups)
    return student.network_cost(nn.Sequential(conv, nn.ReLU(), nn.Flatten(), nn.Linear(48, 5)), (2, 6, 5))


@pytest.mark.task("pruning", weight=4)
def test_multiply_adds_are_counted(student):
    """A kernel of 3 x 3 over two channels needs 18 products at each of 4 x 3 places, for each of four channels."""
    parameters, products = costs(student, 1)

    expect.equal(parameters, (4 * 18 + 4) + (48 * 5 + 5), "network_cost (parameters)")
    expect.equal(products, 4 * (4 * 3) * 18 + 48 * 5, "network_cost (multiply-adds)")


@probe
def without_weak_channels(student, strengths, x):
    """Two layers; each filter of the first one has one value everywhere. Prune a third of three channels."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 4, 2)).double()
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor(strengths)[:, None, None, None].expand(3, 1, 2, 2))
    small = student.prune_channels(model, 1 / 3)
    whole = [value.clone() for value in model.state_dict().values()]
    with torch.no_grad():
        out = small(x)
        model[3].weight[:, 4:8] = 0.0  # what the second channel says is not read
        return out, model(x), small[0].weight.detach(), small[3].weight.shape[1], whole


@pytest.mark.task("pruning", weight=7)
def test_a_smaller_network_says_the_same(student, rng):
    """Filters of 3, -1 and 2: the second channel goes, and the four places at which the last layer reads it."""
    x = torch.from_numpy(rng.normal(size=(2, 1, 3, 3)))

    out, want, weight, inputs, whole = without_weak_channels(student, [3.0, -1.0, 2.0], x)

    expect.close(weight, _tensor([3.0, 2.0])[:, None, None, None].expand(2, 1, 2, 2), "prune_channels: filters")
    expect.equal(inputs, 8, "prune_channels: inputs of the last layer")
    expect.close(out, want, "prune_channels: what the new network says", rtol=1e-6)
    expect.equal([tuple(part.shape) for part in whole], [(3, 1, 2, 2), (3,), (2, 12), (2,)],
                 "prune_channels: shapes of the old network")  # fmt: skip


# ------------------------------------------------------------------------------------------------------------
# A4  Knowledge distillation
# ------------------------------------------------------------------------------------------------------------


@pytest.mark.task("distillation", weight=8)
def test_the_teacher_is_three_to_one(student):
    """The teacher says three quarters and a quarter, the student says a half each; the labels are two and one."""
    s, t = _tensor([[0.0, 0.0], [1.0, 1.0]]), _tensor([[math.log(3), 0.0], [5.0, 5.0 + math.log(3)]])
    y = torch.tensor([0, 1])

    soft, hard = student.distillation_loss(s, t, y, 1.0, 1.0), student.distillation_loss(s, t, y, 1.0, 0.0)
    mixed = student.distillation_loss(s, t, y, 1.0, 0.25)

    want = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    expect.close(soft, _tensor(want), "distillation_loss(T=1, alpha=1)", rtol=1e-6)
    expect.close(hard, _tensor(math.log(2)), "distillation_loss(T=1, alpha=0)", rtol=1e-6)
    expect.close(mixed, _tensor(0.25 * want + 0.75 * math.log(2)), "distillation_loss(T=1, alpha=0.25)", rtol=1e-6)


@pytest.mark.task("distillation", weight=8)
def test_temperature_softens_both(student):
    """Scores that are three times as large say the same at T = 3, and the loss is nine times as large."""
    s, t, y = _tensor([[0.0, 0.0]]), _tensor([[3 * math.log(3), 0.0]]), torch.tensor([0])

    soft = student.distillation_loss(s, t, y, T=3.0, alpha=1.0)
    same = student.distillation_loss(t + 7, t, y, T=3.0, alpha=1.0)

    want = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    expect.close(soft, _tensor(9 * want), "distillation_loss(T=3, alpha=1)", rtol=1e-6)
    expect.close(same, _tensor(0.0), "distillation_loss of a student that agrees", atol=1e-6)


@pytest.mark.task("distillation", weight=5)
def test_rows_without_a_label(student):
    """Of three rows one has the label 1, with the probability a half; the others do not count in the hard part."""
    s, t = _tensor([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]]), _tensor([[1.0, 2.0]] * 3)

    some = student.distillation_loss(s, t, torch.tensor([1, -100, -100]), alpha=0.0)
    none = student.distillation_loss(s, t, torch.tensor([-100] * 3), alpha=0.0)

    expect.close(some, _tensor(math.log(2)), "distillation_loss with one label", rtol=1e-6)
    expect.close(none, _tensor(0.0), "distillation_loss without a label")


@probe
def short_distillation(student, x, y):
    torch.manual_seed(0)
    teacher = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.ReLU(), nn.Linear(8, 3))
    pupil = nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.1))
    before = [p.detach().clone() for p in teacher.parameters()]
    losses = list(student.distill(pupil, teacher, x, y, epochs=4))
    same = all(torch.equal(p, old) for p, old in zip(teacher.parameters(), before, strict=True))
    return losses, same, [part.training for part in teacher.modules()], [part.training for part in pupil.modules()]


@pytest.mark.task("distillation", weight=8)
def test_the_teacher_stays_as_it_is(student, rng):
    """The losses fall, the teacher is in the mode in which it was, and the student is in eval mode at the end."""
    x, y = rng.normal(size=(150, 4)).astype(np.float32), rng.integers(0, 3, size=150)
    before = x.copy(), y.copy()

    losses, same, of_teacher, of_student = short_distillation(student, x, y)

    expect.equal(len(losses), 4, "distill: number of losses")
    expect.is_true(losses[-1] < losses[0], "distill: the losses do not fall.")
    expect.is_true(same, "distill: a parameter of the teacher has changed.")
    expect.equal(of_teacher, [True] * 5, "distill: modes of the teacher's layers at the end")
    expect.equal(of_student, [False] * 3, "distill: modes of the student's layers at the end")
    expect.unchanged(x, before[0], "distill: x")
    expect.unchanged(y, before[1], "distill: y")


# ------------------------------------------------------------------------------------------------------------
# A5  Memory
# ------------------------------------------------------------------------------------------------------------


@probe
def two_stages(student, x, device):
    """Two layers, the second one on a device of its own."""
    torch.manual_seed(0)
    first, second = nn.Linear(3, 4).double(), nn.Linear(4, 2).double().to(device)
    out = student.two_stage_forward(first, second, x)
    if device == "meta":
        return tuple(out.shape), str(out.device), ()
    parameters = [*first.parameters(), *second.parameters()]
    got = [None] * len(parameters)
    if out.requires_grad:
        got = torch.autograd.grad(out.square().sum(), parameters, allow_unused=True)
    want = torch.autograd.grad(second(first(x)).square().sum(), parameters)
    pairs = [(torch.zeros_like(w) if g is None else g, w) for g, w in zip(got, want, strict=True)]
    return tuple(out.shape), str(out.device), pairs


@pytest.mark.task("memory", weight=3)
@pytest.mark.parametrize("device", ["meta", "cpu"])
def test_the_second_stage_is_elsewhere(student, rng, device):
    """On a device without numbers only the shape comes out; on the same device the gradients are the usual ones."""
    x = torch.from_numpy(rng.normal(size=(5, 3)))

    shape, where, pairs = two_stages(student, x, device)

    expect.equal(shape, (5, 2), "two_stage_forward: shape of its output")
    expect.equal(where, device, "two_stage_forward: device of its output")
    for got, want in pairs:
        expect.close(got, want, "two_stage_forward: a gradient", rtol=1e-6)


@probe
def with_checkpoints(student, x, segments):
    """Outputs and gradients of a small network, plain and with checkpoints; how often its layers are called."""
    torch.manual_seed(0)
    model = nn.Sequential(*[part for _ in range(3) for part in (nn.Linear(4, 4), nn.Tanh())]).double()
    calls = []
    model[0].register_forward_pre_hook(lambda *_: calls.append(0))
    found = []
    for forward in (model, lambda x: student.checkpointed_forward(model, x, segments)):
        model.zero_grad()
        calls.clear()
        out = forward(x)
        if out.requires_grad:
            out.square().sum().backward()
        grads = (torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in model.parameters())
        found.append([out.detach(), *grads])
    return found, len(calls)


@pytest.mark.task("memory", weight=3)
@pytest.mark.parametrize("segments", [2, 6])
def test_checkpoints_change_no_gradient(student, rng, segments):
    """Output and gradients are those of the plain network, although the first layer is computed twice."""
    x = torch.from_numpy(rng.normal(size=(5, 4)))
    before = x.clone()

    (plain, got), calls = with_checkpoints(student, x, segments)

    for one, other in zip(got, plain, strict=True):
        expect.close(one, other, "checkpointed_forward: output, or a gradient", rtol=1e-6)
    expect.equal(calls, 2, "checkpointed_forward: how often the first layer is computed")
    expect.unchanged(x, before, "checkpointed_forward: x")


@probe
def bytes_saved(student, rows):
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    return student.saved_activations(model, torch.ones(rows, 4)), [p.grad is None for p in model.parameters()]


@pytest.mark.task("memory", weight=6)
def test_what_waits_for_the_backward_pass(student):
    """The first layer keeps its 4 inputs, the ReLU its 8 outputs, which are what the last layer keeps: 12 numbers."""
    count, without = bytes_saved(student, 5)

    expect.equal(count, 5 * 12 * 4, "saved_activations")
    expect.equal(without, [True] * 4, "saved_activations: whether each parameter is without a gradient")


@pytest.mark.task("memory", weight=7)
def test_bytes_of_a_step(student):
    """Six float32 numbers and four of two bytes: 32 bytes, and 32 of gradients; Adam keeps two more of each."""
    params = [torch.zeros(2, 3, requires_grad=True), torch.zeros(4, dtype=torch.bfloat16, requires_grad=True)]

    plain = student.estimate_memory(params, 10, "sgd", 100)
    adam = student.estimate_memory(params, 10, "adam")

    keys = ("parameters", "gradients", "optimizer", "activations", "total")
    expect.equal([plain[key] for key in keys], [32, 32, 0, 1000, 1064], "estimate_memory with sgd")
    expect.equal([adam[key] for key in keys], [32, 32, 2 * 32 + 2 * 4, 0, 136], "estimate_memory with adam")


# ------------------------------------------------------------------------------------------------------------
# PF1  Devices, and loops
# ------------------------------------------------------------------------------------------------------------


@probe
def chosen_device(student, has_cuda):
    """What is chosen where there is a GPU, and where there is none."""
    kept = torch.cuda.is_available, torch.backends.mps.is_available
    torch.cuda.is_available, torch.backends.mps.is_available = lambda: has_cuda, lambda: False
    try:
        device = student.select_device()
        return isinstance(device, torch.device), str(device).partition(":")[0]
    finally:
        torch.cuda.is_available, torch.backends.mps.is_available = kept


@pytest.mark.task("devices", weight=3)
@pytest.mark.parametrize(("has_cuda", "want"), [(True, "cuda"), (False, "cpu")])
def test_a_gpu_is_used_if_there_is_one(student, has_cuda, want):
    """A GPU is better than none, and the answer is a torch.device."""
    found = chosen_device(student, has_cuda)

    expect.equal(found, (True, want), "select_device: whether it is a torch.device, and its type")


@probe
def moved(student):
    """Move a nested batch to the device without numbers, and to the device where it is."""
    batch = {"x": torch.ones(2, 3), "pair": (torch.zeros(1), "text"), "more": [None, 5]}
    there, here = student.move_to(batch, "meta"), student.move_to(batch, "cpu")
    devices = str(there["x"].device), str(there["pair"][0].device)
    rest = there["pair"][1], there["more"], type(there["pair"]).__name__
    return devices, rest, here["x"] is batch["x"], str(batch["x"].device)


@pytest.mark.task("devices", weight=8)
def test_tensors_move_and_the_rest_stays(student):
    """Tensors are found in a dict, a tuple and a list; a tensor that is there already is not copied."""
    devices, rest, is_same, origin = moved(student)

    expect.equal(devices, ("meta", "meta"), "move_to: devices of the tensors")
    expect.equal(rest, ("text", [None, 5], "tuple"), "move_to: what is no tensor")
    expect.is_true(is_same, "move_to: a tensor that was there already was copied.")
    expect.equal(origin, "cpu", "move_to: device of a tensor of the batch itself")


def _arguments(rng, name):
    if name == "vectorise_normalise":
        return rng.normal(size=(2, 3, 4, 5)), rng.normal(size=3), rng.uniform(1, 2, size=3)
    if name == "vectorise_class_means":
        return rng.normal(size=(9, 4)), np.array([0, 1, 3, 3, 0, 0, 1, 3, 3]), 4
    return rng.normal(size=(3, 8)), 4


@pytest.mark.task("devices", weight=3)
@pytest.mark.parametrize("name", ["vectorise_normalise", "vectorise_class_means", "vectorise_moving_average"])
def test_whole_arrays_agree_with_the_loops(student, rng, name):
    """The same numbers as the loop gives, and the arguments stay as they are."""
    arguments = _arguments(rng, name)
    before = [part.copy() if isinstance(part, np.ndarray) else part for part in arguments]

    got = getattr(student, name)(*arguments)

    expect.close(got, getattr(loops, name.removeprefix("vectorise_"))(*before), name, rtol=1e-6, atol=1e-9)
    for now, was in zip(arguments, before, strict=True):
        expect.unchanged(now, was, f"{name}: an argument")


# ------------------------------------------------------------------------------------------------------------
# PF2  Feeding the network
# ------------------------------------------------------------------------------------------------------------


@probe
def prefetched(student, count, n, stop):
    """Read all batches of a loader that fails at the end, or only some of them; who is left then?"""

    def loader():
        for number in range(count):
            yield {"number": number}
        raise KeyError("the disk is full")

    def others():
        return [thread for thread in threading.enumerate() if thread not in before]

    before, got, said = threading.enumerate(), [], ""
    try:
        for batch in student.prefetch(loader(), n):
            got.append(batch["number"])
            if len(got) == stop:
                break
    except KeyError as error:
        said = str(error)
    del batch
    for _ in range(200):
        if not others():
            break
        time.sleep(0.01)
    return got, said, len(others())


@pytest.mark.task("feeding", weight=4)
@pytest.mark.parametrize("stop", [3, 99])
def test_batches_in_order_then_the_exception(student, stop):
    """All batches come in order, and then what the loader raised; no thread is left, also not after a break."""
    got, said, left = prefetched(student, 7, 2, stop)

    expect.equal(got, list(range(min(stop, 7))), "prefetch: batches")
    expect.is_true(("disk" in said) == (stop > 7), "prefetch: the loader's exception does not come at its place.")
    expect.equal(left, 0, "prefetch: threads that are left")


@probe
def batches_tried(student, room, limit):
    """Search where `room` samples fit."""
    tried = []

    def fits(batch):
        tried.append(batch)
        if batch > room:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")

    return student.largest_batch(fits, limit), tried


@pytest.mark.task("feeding", weight=2)
@pytest.mark.parametrize(("room", "limit", "want"), [(11, 64, 11), (100, 24, 24), (0, 8, 0)])
def test_the_largest_batch_is_found(student, room, limit, want):
    """With room for 11 the answer is 11, if the limit is above it; with room for none it is 0."""
    got, tried = batches_tried(student, room, limit)

    expect.equal(got, want, f"largest_batch with room for {room} and a limit of {limit}")
    expect.is_true(max(tried) <= limit, "largest_batch: it tries a batch above the limit.")


@pytest.mark.task("feeding", weight=6)
def test_samples_per_second_count(student):
    """One batch of 64 takes longest, and still gives the most samples; 32 gives nearly as many."""
    table = {64: 0.1, 8: 0.02, 32: 0.051, 128: None}

    expect.equal(student.best_batch_size(table), 32, "best_batch_size")
    expect.equal(student.best_batch_size(table, 0.0), 64, "best_batch_size without tolerance")
