"""Hidden tests of the frameworks. Oracles are PyTorch itself, in the judge, and NumPy."""

import collections
import itertools
import math
import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from autograder import expect, probe
from dlcourse import clock
from dlcourse.data import fresh_digits


def _float32(rng, *shape):
    return torch.from_numpy(rng.normal(size=shape).astype(np.float32))


def _float64(rng, *shape):
    return torch.from_numpy(rng.normal(size=shape))


# ------------------------------------------------------------------------------------------------------------
# 3.1  Tensor warm-ups
# ------------------------------------------------------------------------------------------------------------


@pytest.mark.task("tensors")
def test_distances_agree_with_the_sum_over_coordinates(student, rng):
    """Entry (i, j) is the squared distance of row i of a from row j of b, in their dtype; a and b stay as they are."""
    for count, other, size in ((4, 3, 5), (1, 6, 2), (5, 1, 1), (6, 6, 3), (30, 41, 7)):
        a, b = _float64(rng, count, size), _float64(rng, size, other).T  # b is not contiguous
        a_before, b_before = a.clone(), b.clone()

        got = student.pairwise_sq_dist(a, b)

        want = ((a.numpy()[:, None] - b.numpy()[None]) ** 2).sum(axis=2)
        expect.close(got, torch.from_numpy(want), "pairwise_sq_dist", rtol=1e-7, atol=1e-9, dtype=torch.float64)
        expect.unchanged(a, a_before, "pairwise_sq_dist: a")
        expect.unchanged(b, b_before, "pairwise_sq_dist: b")
    a, b = _float32(rng, 3, 4), _float32(rng, 2, 4)
    want = (a[:, None] - b).square().sum(dim=2)
    expect.close(student.pairwise_sq_dist(a, b), want, "pairwise_sq_dist", rtol=1e-3, atol=1e-4, dtype=torch.float32)


@pytest.mark.task("tensors", weight=2)
def test_distances_have_gradients(student, rng):
    """Gradients flow to a and to b, so compute with tensors throughout; equal points have a slope of zero."""
    a, b = (_float64(rng, count, 3).requires_grad_(True) for count in (4, 5))
    cotangent = _float64(rng, 4, 5)

    got = student.pairwise_sq_dist(a, b)

    expect.shape(got, (4, 5), "pairwise_sq_dist")
    expect.is_true(got.requires_grad, "pairwise_sq_dist: no gradient flows through it.")
    gradients = torch.autograd.grad(got, (a, b), cotangent)
    difference = 2 * (a.detach()[:, None] - b.detach()) * cotangent[..., None]  # (4, 5, 3)
    expect.close(gradients[0], difference.sum(dim=1), "pairwise_sq_dist: gradient of a", rtol=1e-6, atol=1e-8)
    expect.close(gradients[1], -difference.sum(dim=0), "pairwise_sq_dist: gradient of b", rtol=1e-6, atol=1e-8)
    points = _float64(rng, 3, 2).requires_grad_(True)
    (gradient,) = torch.autograd.grad(student.pairwise_sq_dist(points, points.detach()).trace(), points)
    what = "pairwise_sq_dist: gradient of a, of the distance between equal points"
    expect.close(gradient, torch.zeros(3, 2, dtype=torch.float64), what, atol=1e-6)


@pytest.mark.task("tensors", weight=2)
def test_no_distance_is_below_zero(student, rng):
    """No distance is below zero, not even by rounding: think of points far from the origin and close to each other."""
    for scale in (1e-3, 1e-2, 0.1):
        points = 30 + scale * _float32(rng, 80, 3)

        got = student.pairwise_sq_dist(points, points.clone())

        expect.shape(got, (80, 80), "pairwise_sq_dist")
        expect.finite(got, "pairwise_sq_dist")
        lowest = float(got.min())
        expect.is_true(lowest >= 0, f"pairwise_sq_dist: a squared distance is below zero. Got {lowest:.3g}.")
        expect.between(float(got.max()), 0.0, 1000 * scale, "pairwise_sq_dist: largest of small distances")


@probe
def seconds_of_distances(student, a, b):
    """CPU seconds of the student's function, and of two nested loops (estimated from a corner of 30 x 30)."""

    def loops():
        for i in range(30):
            for j in range(30):
                ((a[i] - b[j]) ** 2).sum()

    own = clock.cpu_seconds(lambda: student.pairwise_sq_dist(a, b))
    return own, clock.cpu_seconds(loops) / 900 * len(a) * len(b)


@pytest.mark.task("tensors", weight=2)
def test_distances_take_no_loop_over_pairs(student, rng):
    """Speed is part of the task, 30 times that of two nested loops: let PyTorch loop over the pairs, not Python."""
    own, loops = seconds_of_distances(student, _float32(rng, 400, 8), _float32(rng, 400, 8))

    expect.is_true(
        30 * own <= loops,
        "pairwise_sq_dist: too slow. It is not 30 times as fast as two loops.",  # a number would differ from run to run
    )


@pytest.mark.task("tensors", weight=2)
def test_labels_of_any_shape_become_rows(student, rng):
    """The classes are a new last axis, whatever shape the labels have; -1 stands for the largest label plus one."""
    for shape, classes in (((7,), 5), ((2, 3), 4), ((), 3), ((1,), 6), ((2, 1, 4), 2)):
        labels = torch.from_numpy(np.array(rng.integers(classes, size=shape)))
        before = labels.clone()

        got = student.one_hot(labels, classes)

        expect.close(got, F.one_hot(labels, classes), f"one_hot of labels {shape}", dtype=torch.int64)
        expect.unchanged(labels, before, "one_hot: labels")
    labels = torch.tensor([0, 4, 2])
    expect.equal(student.one_hot(labels), F.one_hot(labels), "one_hot without num_classes")
    expect.equal(student.one_hot(labels, -1), F.one_hot(labels), "one_hot with num_classes=-1")
    expect.equal(student.one_hot(labels, num_classes=9), F.one_hot(labels, 9), "one_hot(num_classes=9)")
    zeros = torch.tensor([0, 0])
    expect.equal(student.one_hot(zeros), torch.ones(2, 1, dtype=torch.int64), "one_hot of labels that are all 0")
    turned = torch.from_numpy(rng.integers(4, size=(3, 2))).T  # not contiguous
    expect.equal(student.one_hot(turned, 4), F.one_hot(turned, 4), "one_hot of transposed labels")


@probe
def rows_before_and_after_a_change(student, labels, classes):
    """Rows of one call, changed in place, and then the rows of a second call."""
    student.one_hot(labels, classes).fill_(7)
    return student.one_hot(labels, classes)


@pytest.mark.task("tensors")
def test_one_hot_rows_are_in_new_memory(student, rng):
    """The rows are the caller's: in new memory, so that a change of them does not show in the next call."""
    for shape in ((), (4,), (2, 3)):
        labels = torch.from_numpy(np.array(rng.integers(5, size=shape)))

        got = rows_before_and_after_a_change(student, labels, 5)

        expect.close(got, F.one_hot(labels, 5), f"one_hot of labels {shape}, called again", dtype=torch.int64)


@pytest.mark.task("tensors", weight=2)
def test_a_label_that_is_no_class_is_refused(student):
    """A label below 0, or of num_classes or above, is a ValueError, and nothing else is."""
    for labels in ([0, 2, -1], [3, 0, 1], [[0, 1], [7, 2]], [-3, 0, 1]):
        with expect.refused(ValueError, f"one_hot({labels}, 3)"):
            student.one_hot(torch.tensor(labels), 3)
    with expect.refused(ValueError, "one_hot([1, -1])"):
        student.one_hot(torch.tensor([1, -1]))
    with expect.refused(ValueError, "one_hot([0, 1], 0)"):
        student.one_hot(torch.tensor([0, 1]), 0)


@pytest.mark.task("tensors", weight=3)
def test_scores_are_gathered_along_the_last_axis_and_gradients_flow_back(student, rng):
    """One score for each label, in (N, C) and in (N, T, C), in the logits' dtype; gradients flow to what was picked."""
    for shape in ((4, 6), (3, 3), (1, 5), (2, 3, 4), (3, 1, 2), (2, 1, 3, 4)):
        logits = _float64(rng, *shape).requires_grad_(True)
        labels = torch.from_numpy(np.array(rng.integers(shape[-1], size=shape[:-1])))
        cotangent = _float64(rng, *shape[:-1])
        logits_before, labels_before = logits.detach().clone(), labels.clone()

        got = student.gather_logits(logits, labels)

        picked = F.one_hot(labels, shape[-1]).to(torch.float64)
        expect.close(
            got.detach(),
            (logits.detach() * picked).sum(dim=-1),
            f"gather_logits of {shape}",
            dtype=torch.float64,
        )
        expect.is_true(got.requires_grad, "gather_logits: no gradient flows through it.")
        (gradient,) = torch.autograd.grad(got, logits, cotangent)
        expect.close(gradient, cotangent[..., None] * picked, f"gather_logits of {shape}: gradient")
        expect.unchanged(logits.detach(), logits_before, "gather_logits: logits")
        expect.unchanged(labels, labels_before, "gather_logits: labels")
    turned, labels = _float32(rng, 4, 5).T, torch.from_numpy(rng.integers(4, size=5))  # not contiguous
    got, want = student.gather_logits(turned, labels), turned[torch.arange(5), labels]
    expect.close(got, want, "gather_logits of a transposed tensor", dtype=torch.float32)
    logits, labels = _float32(rng, 2, 3, 4), torch.from_numpy(rng.integers(4, size=(3, 2))).T  # not contiguous
    want = (logits * F.one_hot(labels, 4)).sum(dim=-1)
    expect.close(student.gather_logits(logits, labels), want, "gather_logits with transposed labels")


# ------------------------------------------------------------------------------------------------------------
# 3.2  A network as a module
# ------------------------------------------------------------------------------------------------------------


@probe
def hidden_units_seen_through(student, rows, bias):
    """Make every hidden unit 1, out of all 784 inputs, and let output j show unit j, plus a bias."""
    model = student.SimpleNet()
    shapes = {name: tuple(value.shape) for name, value in model.named_parameters()}
    if shapes != {"fc1.weight": (128, 784), "fc1.bias": (128,), "fc2.weight": (10, 128), "fc2.bias": (10,)}:
        return None
    with torch.no_grad():
        model.fc1.weight.fill_(1.0)
        model.fc1.bias.fill_(-783.0)
        model.fc2.weight.copy_(torch.eye(10, 128))
        model.fc2.bias.fill_(bias)
        x = torch.ones(rows, 784)
        return model.train()(x), model.eval()(x)


@pytest.mark.task("simple_net", weight=2)
def test_a_fifth_of_the_hidden_units_is_dropped(student):
    """In training mode each hidden unit is dropped by itself, one in five, the others are scaled; in eval mode none."""
    found = hidden_units_seen_through(student, 3000, 3.0)

    expect.is_true(found is not None, "SimpleNet: its parameters have other names or shapes than the docstring says.")
    trained, at_rest = found
    expect.shape(trained, (3000, 10), "SimpleNet in training mode")
    expect.close(at_rest, torch.full((3000, 10), 4.0), "SimpleNet in eval mode: hidden unit + 3", rtol=1e-6)
    hidden = trained - 3
    kept = hidden > 0.5
    expect.close(
        hidden,
        1.25 * kept.to(torch.float32),
        "SimpleNet in training mode: hidden units",
        rtol=1e-5,
        atol=1e-5,
    )
    # 30,000 draws with a standard deviation of 0.0023: 0.014 is six of them
    share = 1 - float(kept.to(torch.float32).mean())
    expect.between(share, 0.186, 0.214, "SimpleNet in training mode: share of hidden units dropped")
    # of two units, or of two samples, both are dropped in 4 % of the cases; 0.008 is six standard deviations or more
    dropped = ~kept
    both_units = float((dropped[:, 1:] & dropped[:, :-1]).to(torch.float32).mean())
    both_samples = float((dropped[1:] & dropped[:-1]).to(torch.float32).mean())
    expect.is_true(
        len({tuple(row) for row in kept.tolist()}) > 200
        and 0.032 < both_units < 0.048
        and 0.032 < both_samples < 0.048,
        "SimpleNet: hidden units are not dropped independently of each other and of the other samples.",
    )


@probe
def gradients_and_names(student, x, y):
    torch.manual_seed(3)
    model = student.SimpleNet().train()
    F.cross_entropy(model(x), y).backward()
    moved = {name: p.grad is not None and bool((p.grad != 0).any()) for name, p in model.named_parameters()}
    names = {name for name, _ in model.named_children()}
    return moved, {"fc1", "dropout", "fc2"} - names, isinstance(model, nn.Module), sorted(model.state_dict())


@pytest.mark.task("simple_net")
def test_every_parameter_gets_a_gradient(student, rng):
    """The layers fc1, dropout and fc2 are attributes of the module; their state is all of its state, and trained."""
    moved, missing, is_module, state = gradients_and_names(student, _float32(rng, 9, 784), torch.arange(9))

    expect.is_true(is_module, "SimpleNet: it is no nn.Module.")
    expect.equal(
        moved,
        {"fc1.weight": True, "fc1.bias": True, "fc2.weight": True, "fc2.bias": True},
        "SimpleNet: which parameters get a gradient",
    )
    expect.equal(missing, set(), "SimpleNet: layers that are missing")
    expect.equal(state, ["fc1.bias", "fc1.weight", "fc2.bias", "fc2.weight"], "SimpleNet: names in its state")


@probe
def first_values(student, seeds):
    found = []
    for seed in seeds:
        torch.manual_seed(seed)
        found.append({name: p.detach() for name, p in student.SimpleNet().named_parameters()})
    return found


@pytest.mark.task("simple_net", weight=2)
def test_first_values_are_pytorchs_and_follow_its_seed(student):
    """The first values are those that nn.Linear draws by itself: leave them as PyTorch makes them."""
    once, again, other = first_values(student, [5, 5, 6])

    expect.equal(
        sorted(once),
        ["fc1.bias", "fc1.weight", "fc2.bias", "fc2.weight"],
        "SimpleNet: names of its parameters",
    )
    expect.equal(once, again, "SimpleNet: first values under the same seed")
    expect.is_true(
        not torch.equal(once["fc1.weight"], other["fc1.weight"]),
        "SimpleNet: first values do not follow torch.manual_seed.",
    )
    for name, inputs in (("fc1.weight", 784), ("fc1.bias", 784), ("fc2.weight", 128), ("fc2.bias", 128)):
        values, bound = once[name] * math.sqrt(inputs), 1 + 1e-4  # evenly spread from -1 to 1
        expect.between(float(values.abs().max()), 0.1, bound, f"{name} * sqrt(inputs): largest first value")
        if values.numel() > 1000:
            # the deviation of n such values is 1 / sqrt(3), with a deviation of its own of 0.26 / sqrt(n)
            room = 6 * 0.26 / math.sqrt(values.numel())
            spread, even = float(values.std()), 1 / math.sqrt(3)
            expect.between(spread, even - room, even + room, f"{name} * sqrt(inputs): spread of first values")
            share = len(values.unique()) / values.numel()
            expect.between(share, 0.95, 1.0, f"{name}: share of first values that are not there twice")


@probe
def of_one_and_of_many(student, x, state):
    model = student.SimpleNet()
    own = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    if own != {name: tuple(value.shape) for name, value in state.items()}:
        return None
    model.load_state_dict(state)
    model.eval()
    before = x.clone()
    with torch.no_grad():
        return model(x), [model(row[None]) for row in x], torch.equal(x, before)


@pytest.mark.task("simple_net")
def test_a_sample_is_judged_by_itself(student, rng):
    """In eval mode a row scores alone as it does among others; another SimpleNet's state fits, x stays as it is."""
    x = _float32(rng, 4, 784)
    state = {"fc1.weight": _float32(rng, 128, 784) / 28, "fc1.bias": 5 * _float32(rng, 128),
             "fc2.weight": _float32(rng, 10, 128), "fc2.bias": 5 * _float32(rng, 10)}  # fmt: skip

    found = of_one_and_of_many(student, x, state)

    expect.is_true(found is not None, "SimpleNet: a checkpoint of another SimpleNet does not fit it.")
    together, alone, is_unchanged = found
    hidden = (x @ state["fc1.weight"].T + state["fc1.bias"]).clamp(min=0)
    want = hidden @ state["fc2.weight"].T + state["fc2.bias"]
    expect.close(together, want, "SimpleNet()(x)", rtol=1e-4, atol=1e-4)
    for row, score in zip(alone, want, strict=True):
        expect.close(row, score[None], "SimpleNet of a single sample", rtol=1e-4, atol=1e-4)
    expect.is_true(is_unchanged, "SimpleNet: it changed its input.")


# ------------------------------------------------------------------------------------------------------------
# 3.3  From NumPy to PyTorch and back
# ------------------------------------------------------------------------------------------------------------


def _network(rng, *sizes, dtype=np.float64):
    pairs = itertools.pairwise(sizes)
    return [(rng.normal(size=(o, i)).astype(dtype), rng.normal(size=o).astype(dtype)) for i, o in pairs]


def _numpy_pass(params, x, cotangent):
    """Output of the NumPy network, and the gradients of <output, cotangent> in every W and b."""
    inputs, before = [], []
    for layer, (W, b) in enumerate(params):
        inputs.append(x)
        before.append(x @ W.T + b)
        x = np.maximum(before[-1], 0) if layer < len(params) - 1 else before[-1]
    gradients = []
    for layer in reversed(range(len(params))):
        if layer < len(params) - 1:
            cotangent = cotangent * (before[layer] > 0)
        gradients.append((cotangent.T @ inputs[layer], cotangent.sum(axis=0)))
        cotangent = cotangent @ params[layer][0]
    return x, gradients[::-1]


@probe
def passed_through(student, params, x, cotangent):
    model = student.export_to_torch(params)
    modules = list(model) if isinstance(model, nn.Sequential) else [model]
    kinds = [
        next(
            (kind.__name__ for kind in (nn.Linear, nn.ReLU) if isinstance(module, kind)),
            type(module).__name__,
        )
        for module in modules
    ]
    shapes = [tuple(value.shape) for pair in params for value in pair]
    parameters = list(model.parameters()) if isinstance(model, nn.Module) else []
    fits = [tuple(p.shape) for p in parameters] == shapes
    if not (fits and all(p.dtype == x.dtype and p.requires_grad for p in parameters)):
        return isinstance(model, nn.Sequential), kinds, None, []
    out = model(x)
    (out * cotangent).sum().backward()
    gradients = [
        tuple(None if p is None else p.grad for p in (module.weight, module.bias))
        for module in modules
        if isinstance(module, nn.Linear)
    ]
    return isinstance(model, nn.Sequential), kinds, out.detach(), gradients


@pytest.mark.task("numpy_bridge", weight=2)
def test_outputs_and_gradients_are_those_of_the_numpy_network(student, rng):
    """Linear layers with a ReLU between each two, and none after the last, with the weights where they belong."""
    for sizes, count in (((5, 4, 3, 2), 6), ((3, 2), 4), ((2, 7, 1), 1), ((3, 3, 3), 5)):
        params = _network(rng, *sizes)
        x, cotangent = rng.normal(size=(count, sizes[0])), rng.normal(size=(count, sizes[-1]))
        want, want_gradients = _numpy_pass(params, x, cotangent)

        is_sequential, modules, out, gradients = passed_through(
            student, params, torch.from_numpy(x), torch.from_numpy(cotangent)
        )

        layers = len(sizes) - 1
        expect.is_true(is_sequential, "export_to_torch: it gives no nn.Sequential.")
        expect.equal(modules, (["Linear", "ReLU"] * layers)[:-1], f"export_to_torch of {layers} layers")
        sentence = "export_to_torch: its parameters have other shapes or dtypes than the arrays, or need no gradients."
        expect.is_true(out is not None, sentence)
        expect.close(out, torch.from_numpy(want), "export_to_torch(params)(x)", rtol=1e-6, dtype=torch.float64)
        for layer, (got, wanted) in enumerate(zip(gradients, want_gradients, strict=True)):
            for name, one, other in zip("Wb", got, wanted, strict=True):
                what = f"export_to_torch: gradient of {name} in layer {layer}"
                expect.close(one, torch.from_numpy(other), what, rtol=1e-6, atol=1e-8)


@probe
def trained_and_compared(student, params):
    """Change the model and look at the arrays; change the arrays and look at the model."""
    before = [(W.copy(), b.copy()) for W, b in params]
    model = student.export_to_torch(params)
    if not isinstance(model, nn.Module):
        return [], True, [], []
    needs = [p.requires_grad for p in model.parameters()]
    with torch.no_grad():
        for p in model.parameters():
            p.add_(1.0)
    are_arrays_safe = len(params) == len(before) and all(
        np.array_equal(W, V) and np.array_equal(b, c) for (W, b), (V, c) in zip(params, before, strict=True)
    )
    for W, b in params:
        W += 7.0
        b += 7.0
    shifted = [p.detach().clone() for p in model.parameters()]
    dtypes = [str(p.dtype) for p in model.parameters()]
    return needs, are_arrays_safe, shifted, dtypes


@pytest.mark.task("numpy_bridge")
def test_a_model_and_its_arrays_go_separate_ways(student, rng):
    """The parameters have the arrays' dtype, need gradients, and share no memory with the arrays."""
    for dtype, name in ((np.float64, "torch.float64"), (np.float32, "torch.float32")):
        params = [(np.asfortranarray(W), b) for W, b in _network(rng, 3, 4, 2, dtype=dtype)]
        want = [torch.from_numpy(value + 1) for pair in params for value in pair]

        needs, are_arrays_safe, shifted, dtypes = trained_and_compared(student, params)

        expect.is_true(are_arrays_safe, "export_to_torch: it, or a step of the model, changed params.")
        expect.equal(needs, [True] * 4, "export_to_torch: requires_grad of its parameters")
        expect.equal(dtypes, [name] * 4, f"export_to_torch: dtypes for arrays of {dtype.__name__}")
        for got, wanted in zip(shifted, want, strict=True):
            expect.close(got, wanted, "export_to_torch: parameters, whose arrays were changed", rtol=0, atol=0)


@probe
def imported(student, state):
    """Import from a network with dropout, two linear layers in a row, and one without a bias."""
    model = nn.Sequential(
        nn.Linear(3, 4), nn.Dropout(0.5), nn.ReLU(), nn.Linear(4, 5, bias=False), nn.Linear(5, 2), nn.Tanh()
    )
    model.load_state_dict(state)
    model.train()
    got = student.import_from_torch(model)
    kinds = [
        [type(value).__name__ for value in pair] if isinstance(pair, (tuple, list)) else type(pair).__name__
        for pair in (got if isinstance(got, list) else [])
    ]
    needs = [p.requires_grad for p in model.parameters()]
    modes = [module.training for module in model.modules()]
    copies = []
    if all(names == ["ndarray", "ndarray"] for names in kinds):
        copies = [(W.copy(), b.copy()) for W, b in got]
        for array in (array for pair in got for array in pair if array.flags.writeable):
            array += 1.0
    same = [torch.equal(value, state[name]) for name, value in model.state_dict().items()]
    return type(got).__name__, kinds, copies, all(same), all(modes), all(needs)


@probe
def zeros_for_a_missing_bias(student):
    pairs = student.import_from_torch(nn.Sequential(nn.Linear(2, 3, bias=False)).double())
    return pairs[0][1] if len(pairs) == 1 and len(pairs[0]) == 2 else None


@pytest.mark.task("numpy_bridge")
def test_every_linear_layer_is_read_and_no_other(student, rng):
    """One pair for each nn.Linear, zeros for a missing bias, arrays in new memory; the model stays as it is."""
    state = {
        "0.weight": _float32(rng, 4, 3), "0.bias": _float32(rng, 4), "3.weight": _float32(rng, 5, 4),
        "4.weight": _float32(rng, 2, 5), "4.bias": _float32(rng, 2),
    }  # fmt: skip

    kind, kinds, got, same, is_training, needs_gradients = imported(student, state)

    expect.equal(kind, "list", "import_from_torch: type")
    expect.equal(len(kinds), 3, "import_from_torch: number of pairs")
    expect.equal(kinds, [["ndarray", "ndarray"]] * 3, "import_from_torch: types in its pairs")
    want = [
        (state["0.weight"], state["0.bias"]), (state["3.weight"], torch.zeros(5)),
        (state["4.weight"], state["4.bias"]),
    ]  # fmt: skip
    for layer, ((W, b), (want_W, want_b)) in enumerate(zip(got, want, strict=True)):
        for name, one, other in (("W", W, want_W), ("b", b, want_b)):
            what = f"import_from_torch: {name} of layer {layer}"
            expect.close(one, other.numpy(), what, rtol=0, atol=0, dtype=np.float32)
    expect.is_true(same, "import_from_torch: it, or a change of the arrays, changed the model.")
    expect.is_true(is_training, "import_from_torch: the model or a layer of it is in another mode than before.")
    expect.is_true(needs_gradients, "import_from_torch: the parameters need no gradients any more.")
    missing = zeros_for_a_missing_bias(student)
    want = np.zeros(3)
    what = "import_from_torch: b of a float64 layer without a bias"
    expect.close(missing, want, what, rtol=0, atol=0, dtype=np.float64)


# ------------------------------------------------------------------------------------------------------------
# 3.4  The loop that trains, the loop that evaluates
# ------------------------------------------------------------------------------------------------------------


@probe
def epoch_of(student, start, batches, scale, lr, momentum, stale, epochs):
    """Train a small network, from a state and with gradients left over; returns states, results and events."""
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))
    model.load_state_dict(start)
    model.eval()  # with all its layers
    for p in model.parameters():
        p.grad = torch.full_like(p, stale)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=momentum)

    def loss_fn(logits, y):
        return scale * F.cross_entropy(logits, y)

    modes, states, results = [], [], []
    model.register_forward_pre_hook(
        lambda module, args: modes.append((all(layer.training for layer in module.modules()), torch.is_grad_enabled()))
    )
    for _ in range(epochs):
        results.append(student.train_epoch(model, iter(batches), loss_fn, optimizer))
        states.append([p.detach().clone() for p in model.parameters()])
    kinds = [
        [type(value).__name__ for value in result] if isinstance(result, (tuple, list)) else type(result).__name__
        for result in results
    ]
    return states, results, kinds, modes


def _trained_by_hand(start, batches, scale, lr, momentum, epochs):
    """The same training, in the judge."""
    parameters = [start[name].clone() for name in ("0.weight", "0.bias", "2.weight", "2.bias")]
    velocity = [torch.zeros_like(p) for p in parameters]
    states, results = [], []
    for _ in range(epochs):
        total = correct = count = 0
        for x, y in batches:
            for p in parameters:
                p.requires_grad_(True)
            W1, b1, W2, b2 = parameters
            logits = torch.tanh(x @ W1.T + b1) @ W2.T + b2
            loss = scale * F.cross_entropy(logits, y)
            gradients = torch.autograd.grad(loss, parameters)
            velocity = [momentum * v + g for v, g in zip(velocity, gradients, strict=True)]
            parameters = [(p - lr * v).detach() for p, v in zip(parameters, velocity, strict=True)]
            total += float(loss.detach()) * len(y)
            correct += int((logits.argmax(dim=1) == y).sum())
            count += len(y)
        states.append(parameters)
        results.append((total / count, correct / count))
    return states, results


def _loss_and_accuracy(result, what):
    """The two numbers that train_epoch and evaluate return."""
    is_pair = type(result) in (tuple, list) and len(result) == 2
    expect.is_true(is_pair, f"{what}: it does not return two numbers, (loss, accuracy).")
    return result


def _start(rng):
    return {"0.weight": _float32(rng, 6, 4), "0.bias": _float32(rng, 6), "2.weight": _float32(rng, 3, 6),
            "2.bias": _float32(rng, 3)}  # fmt: skip


def _batches(rng, *sizes):
    return [(_float32(rng, size, 4), torch.from_numpy(rng.integers(3, size=size))) for size in sizes]


@pytest.mark.task("training_loop", weight=2)
def test_each_step_is_that_of_its_own_batch(student, rng):
    """In training mode, one step a batch, with the gradients of that batch alone; the means are over all samples."""
    start, batches = _start(rng), _batches(rng, 5, 3, 1, 4)

    # a loss a hundred times as large, and a rate that makes up for it: clipping of gradients is seen
    states, results, kinds, modes = epoch_of(student, start, batches, 100.0, 0.002, 0.9, 300.0, 2)

    want_states, want_results = _trained_by_hand(start, batches, 100.0, 0.002, 0.9, 2)
    for epoch, (got, want) in enumerate(zip(states, want_states, strict=True)):
        for name, one, other in zip(start, got, want, strict=True):
            what = f"train_epoch: {name} after epoch {epoch + 1}"
            expect.close(one, other, what, rtol=1e-3, atol=1e-4, hint="is every gradient that of one batch?")
    for epoch, (got, want) in enumerate(zip(results, want_results, strict=True)):
        expect.equal(kinds[epoch], ["float", "float"], "train_epoch: types of what it returns")
        expect.close(got[0], want[0], f"train_epoch: loss of epoch {epoch + 1}", rtol=1e-4)
        expect.close(got[1], want[1], f"train_epoch: accuracy of epoch {epoch + 1}", rtol=1e-6)
    what = "train_epoch: (model and layers in training mode, gradients on) at each forward pass"
    expect.equal(modes, [(True, True)] * 8, what)


@probe
def moved_to(student, device, x, y, call):
    """Which tensors reach the model and the loss_fn without having been moved by .to(device), in two batches."""
    unmoved, seen = [], []

    class Parcel(torch.Tensor):
        def to(self, *args, **options):
            where = [*args, *options.values()]
            moved = self.as_subclass(torch.Tensor).clone()
            return moved if any(str(value) == str(device) for value in where) else moved.as_subclass(Parcel)

    def look(name, value):
        seen.append(name)
        if isinstance(value, Parcel):
            unmoved.append(name)
        return value.as_subclass(torch.Tensor)

    class Once:
        def __init__(self, batches):
            self.batches = iter(batches)

        def __iter__(self):
            return self.batches

    model = nn.Linear(4, 3)
    model.to = lambda *args, **options: model  # it is there already, as the docstring says
    model.register_forward_pre_hook(lambda module, args: (look("x", args[0]),))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loader = Once([(x.clone().as_subclass(Parcel), y.clone().as_subclass(Parcel)) for _ in range(2)])

    def loss_fn(logits, labels):
        return F.cross_entropy(logits, look("y", labels))

    if call == "train_epoch":
        student.train_epoch(model, loader, loss_fn, optimizer, torch.device(device))
    else:
        student.evaluate(model, loader, loss_fn, device)
    return sorted(seen), sorted(unmoved)


@pytest.mark.task("training_loop")
def test_both_parts_of_a_batch_move_to_the_device(student, rng):
    """Both parts of each batch, x and y, have to be moved by .to(device) before the model and loss_fn see them."""
    ((x, y),) = _batches(rng, 5)
    for call in ("train_epoch", "evaluate"):
        seen, unmoved = moved_to(student, "cpu:0", x, y, call)  # a device's full name, and it is there

        expect.equal(seen, ["x", "x", "y", "y"], f"{call}: what the model and loss_fn got, in two batches")
        expect.equal(unmoved, [], f"{call}: what the model and loss_fn got that was not moved to the device")


@probe
def scheduled(student, batches, gamma, names):
    """The learning rate at each step of the optimiser, and the order of the two kinds of steps."""
    model = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma)
    rates, order = [], []
    real_step, real_schedule = optimizer.step, scheduler.step

    def step(*args, **options):
        rates.append(optimizer.param_groups[0]["lr"])
        order.append(names[0])
        return real_step(*args, **options)

    def schedule(*args, **options):
        order.append(names[1])
        return real_schedule(*args, **options)

    optimizer.step, scheduler.step = step, schedule
    student.train_epoch(model, batches, F.cross_entropy, optimizer, scheduler=scheduler)
    student.train_epoch(model, batches[:1], F.cross_entropy, optimizer)
    return rates, order


@pytest.mark.task("training_loop")
def test_the_schedule_follows_the_optimiser_step_by_step(student, rng):
    """The scheduler, if there is one, makes a step after each step of the optimiser."""
    rates, order = scheduled(student, _batches(rng, 2, 2, 1), 0.5, ["optimizer", "scheduler"])

    expect.close(np.array(rates), np.array([0.5, 0.25, 0.125, 0.0625]), "train_epoch: rate at each step")
    expect.equal(order, ["optimizer", "scheduler"] * 3 + ["optimizer"], "train_epoch: order of the steps")


@probe
def traces_of_an_evaluation(student, batches, training):
    """Evaluate a network with batch norm and dropout, twice; what it saw, and what it left behind."""
    torch.manual_seed(8)
    model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.5), nn.Linear(6, 3))
    model[0].bias.requires_grad_(False)  # frozen, and it stays so
    model.train()
    model(torch.randn(20, 4)).sum().backward()
    model.train(training)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    gradients = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
    learns = [p.requires_grad for p in model.parameters()]
    seen = []
    hook = model.register_forward_pre_hook(
        lambda module, args: seen.append((any(layer.training for layer in module.modules()), torch.is_grad_enabled()))
    )
    results = [student.evaluate(model, iter(batches), nn.CrossEntropyLoss(), "cpu") for _ in range(2)]
    hook.remove()
    is_untouched = all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    are_kept = all(
        p.grad is g if p.grad is None or g is None else torch.equal(p.grad, g)
        for p, g in zip(model.parameters(), gradients, strict=True)
    )
    modes = all(layer.training == training for layer in model.modules())
    after = modes, torch.is_grad_enabled(), [p.requires_grad for p in model.parameters()] == learns
    kinds = [
        [type(value).__name__ for value in result] if isinstance(result, (tuple, list)) else type(result).__name__
        for result in results
    ]
    with torch.no_grad():
        student.evaluate(model, iter(batches), nn.CrossEntropyLoss())
        after = *after, torch.is_grad_enabled()
        model.eval()
        logits = [model(x) for x, _ in batches]
    return results, kinds, seen, is_untouched, are_kept, after, logits


@pytest.mark.task("training_loop", weight=2)
def test_an_evaluation_leaves_no_trace(student, rng):
    """In eval mode and without gradients; modes, statistics, weights and gradients are afterwards what they were."""
    batches = _batches(rng, 3, 4, 1)
    for training in (True, False):
        results, kinds, seen, is_untouched, are_kept, after, logits = traces_of_an_evaluation(
            student, batches, training
        )

        labels = torch.cat([y for _, y in batches])
        scores = torch.cat(logits)
        want = float(F.cross_entropy(scores, labels)), float((scores.argmax(dim=1) == labels).double().mean())
        expect.equal(kinds, [["float", "float"]] * 2, "evaluate: types of what it returns, in two calls")
        for result in results:
            expect.close(result[0], want[0], "evaluate: loss", rtol=1e-4)
            expect.close(result[1], want[1], "evaluate: accuracy", rtol=1e-6)
        what = "evaluate: (model or a layer in training mode, gradients on) at each forward pass"
        expect.equal(seen, [(False, False)] * 6, what)
        expect.is_true(is_untouched, "evaluate: parameters or running statistics changed.")
        expect.is_true(are_kept, "evaluate: it touched the parameters' .grad.")
        expect.equal(
            after,
            (True, True, True, False),
            "after evaluate: (model and layers in the mode in which they came, gradients on, the same parameters "
            "need gradients, gradients on within no_grad)",
        )


@probe
def fixed_answers(student, batches):
    """Models whose logits are their inputs: what the two loops report of them."""
    model = nn.Linear(3, 3)
    with torch.no_grad():
        model.weight.copy_(torch.eye(3))
        model.bias.zero_()
    model.bias.requires_grad_(False)  # frozen, and it stays so
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    found = []
    for loss_fn in (F.cross_entropy, F.multi_margin_loss):
        found.append(("evaluate", student.evaluate(model, batches, loss_fn)))
        found.append(("train_epoch", student.train_epoch(model, batches, loss_fn, optimizer)))
    return found, model.bias.requires_grad


@pytest.mark.task("training_loop")
def test_classes_lie_along_the_second_axis_and_samples_weigh_the_same(student, rng):
    """Classes are the second axis, of equal logits the first is the largest; samples weigh the same; loss_fn counts."""
    batches = [(3 * _float32(rng, size, 3), torch.from_numpy(rng.integers(3, size=size))) for size in (3, 3, 7, 1)]
    equal = torch.tensor([[2.0, 2.0, -1.0], [0.0, 1.0, 1.0], [0.5, 0.5, 0.5], [3.0, 0.0, 3.0], [1.0, 1.0, 0.0]])
    batches.append((equal, torch.tensor([1, 2, 0, 2, 0])))

    x, y = torch.cat([x for x, _ in batches]), torch.cat([y for _, y in batches])
    wanted = [F.cross_entropy(x, y)] * 2 + [F.multi_margin_loss(x, y)] * 2
    found, is_thawed = fixed_answers(student, batches)
    for (name, result), want in zip(found, wanted, strict=True):
        loss, accuracy = _loss_and_accuracy(result, name)
        expect.close(accuracy, float((x.argmax(dim=1) == y).double().mean()), f"{name}: accuracy", rtol=1e-6)
        expect.close(loss, float(want), f"{name}: loss", rtol=1e-4, hint="is it the loss_fn that was given?")
    expect.is_true(not is_thawed, "train_epoch or evaluate: a parameter that needed no gradient needs one afterwards.")


@probe
def learning(student, x, y, unseen, epochs):
    """Train a network 64-64-10 on images; losses, and its scores for images whose labels are not here."""
    torch.manual_seed(11)
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.003)
    losses = []
    for _ in range(epochs):
        batches = [(x[i], y[i]) for i in torch.randperm(len(x)).split(50)]
        losses.append(student.train_epoch(model, batches, F.cross_entropy, optimizer))
    model.eval()
    with torch.no_grad():
        return losses, model(unseen).numpy()


@pytest.mark.task("training_loop")
def test_digits_are_learned(student, seed):
    """Some epochs of train_epoch teach a network to read: does every step of the loop happen, once a batch?"""
    (x, y), (unseen, labels) = fresh_digits(seed)
    x, unseen = torch.from_numpy(x.reshape(-1, 64)), torch.from_numpy(unseen.reshape(-1, 64))

    results, scores = learning(student, x, torch.from_numpy(y), unseen, 15)

    expect.accuracy(scores.argmax(axis=1), labels, FLOOR, "a network trained by train_epoch")
    losses = [_loss_and_accuracy(result, "train_epoch")[0] for result in results]
    expect.between(losses[0], *FIRST_LOSS, "train_epoch: loss of the first epoch")
    expect.between(losses[-1], *LAST_LOSS, "train_epoch: loss of the last epoch")


#: the reference under 120 seeds: accuracy 0.9630 (sd 0.0085), first loss 2.052 (0.022), last loss 0.144 (0.010);
#: the floor is the mean - 5 sd, the bands are the means -+ 4.5 sd or more
FLOOR, FIRST_LOSS, LAST_LOSS = 0.92, (1.9, 2.21), (0.1, 0.19)


# ------------------------------------------------------------------------------------------------------------
# 3.5  Data in batches
# ------------------------------------------------------------------------------------------------------------


@probe
def cut_into_batches(student, cases):
    found = []
    for count, options in cases:
        dataset = [
            (torch.tensor([i, i + 0.5], dtype=torch.float64), torch.tensor(i, dtype=torch.int16)) for i in range(count)
        ]
        loader = student.DataLoader(dataset, **options)
        batches = list(loader)
        found.append((len(loader), batches))
    return found


@pytest.mark.task("data_loading")
def test_batches_are_cut_and_counted_alike(student):
    """len(loader) is the number of batches of an epoch; drop_last leaves out the last one if it is smaller."""
    cases = [
        (count, {"batch_size": size, "drop_last": drop})
        for count, size in ((7, 3), (6, 3), (5, 1), (2, 4), (4, 4), (1, 1), (0, 3))
        for drop in (False, True)
    ]
    for (count, options), (length, batches) in zip(
        [(3, {}), *cases], cut_into_batches(student, [(3, {}), *cases]), strict=True
    ):
        size = options.get("batch_size", 1)
        want = [list(range(i, min(i + size, count))) for i in range(0, count, size)]
        if options.get("drop_last"):
            want = [rows for rows in want if len(rows) == size]
        what = f"DataLoader of {count} samples, {options}"
        expect.equal(length, len(want), f"{what}: len")
        expect.equal([y.tolist() for _, y in batches], want, f"{what}: labels")
        for (x, y), rows in zip(batches, want, strict=True):
            expect.close(y, torch.tensor(rows, dtype=torch.int16), f"{what}: y", dtype=torch.int16)
            wanted = torch.tensor([[i, i + 0.5] for i in rows], dtype=torch.float64)
            expect.close(x, wanted, f"{what}: x", dtype=torch.float64)


@probe
def orders_under_seeds(student, plans):
    """Labels in the order of two epochs under each plan: (seed of the generator, of the global one, shuffle)."""
    found = []
    for seed, ambient, shuffle in plans:
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        torch.manual_seed(ambient)
        dataset = [(torch.zeros(1), torch.tensor(i)) for i in range(20)]
        loader = student.DataLoader(dataset, batch_size=6, shuffle=shuffle, generator=generator)
        before = torch.get_rng_state()
        others = str(np.random.get_state()), random.getstate()
        drawn = None if generator is None else generator.get_state()
        epochs = [[int(i) for _, y in loader for i in y] for _ in range(2)]
        is_global_kept = torch.equal(before, torch.get_rng_state())
        is_own_kept = generator is not None and torch.equal(drawn, generator.get_state())
        are_others_kept = others == (str(np.random.get_state()), random.getstate())
        found.append((epochs, is_global_kept, is_own_kept, are_others_kept))
    return found


@pytest.mark.task("data_loading")
def test_a_seed_decides_the_order_and_nothing_else_does(student):
    """All draws come from the given generator, or from torch's global one; without shuffle nothing is drawn."""
    plans = [(1, 5, True), (1, 6, True), (2, 5, True), (None, 7, True), (None, 7, True), (None, 8, True),
             (3, 9, False)]  # fmt: skip

    first, again, other, ambient, ambient_again, other_ambient, plain = orders_under_seeds(student, plans)

    for epochs, _, _, are_others_kept in (first, other, ambient):
        expect.is_true(are_others_kept, "DataLoader: it draws from, or seeds, a generator of NumPy's or Python's.")
        expect.equal(sorted(epochs[0]), list(range(20)), "DataLoader(shuffle=True): labels of an epoch")
        expect.equal(sorted(epochs[1]), list(range(20)), "DataLoader(shuffle=True): labels of the next")
        expect.is_true(epochs[0] != epochs[1], "DataLoader(shuffle=True): two epochs have the same order.")
    expect.equal(again[0], first[0], "DataLoader: orders under generators of the same seed")
    expect.is_true(other[0] != first[0], "DataLoader: generators of two seeds give the same orders.")
    expect.is_true(first[1], "DataLoader: it draws from torch's global generator beside the given one.")
    expect.is_true(not ambient[1], "DataLoader without generator: it draws nothing from torch's global one.")
    expect.equal(ambient_again[0], ambient[0], "DataLoader without generator: orders under torch.manual_seed(7)")
    expect.is_true(other_ambient[0] != ambient[0], "DataLoader without generator: torch.manual_seed is ignored.")
    expect.equal(plain[0], [list(range(20))] * 2, "DataLoader without shuffle: labels of two epochs")
    expect.is_true(plain[1] and plain[2], "DataLoader without shuffle: it draws random numbers.")


@probe
def orders_from_states(student, seed):
    """Orders from a generator of this seed: fresh, after a draw of somebody else's, and set back to the start."""
    generator = torch.Generator().manual_seed(seed)
    loader = student.DataLoader(
        [(torch.zeros(1), torch.tensor(i)) for i in range(30)], 30, shuffle=True, generator=generator
    )

    def order():
        return next(iter(loader))[1].tolist()

    start = generator.get_state()
    fresh = order()
    second = order()
    generator.set_state(start)
    again = order()
    generator.set_state(start)
    torch.rand(5, generator=generator)
    return fresh, second, again, order()


@pytest.mark.task("data_loading")
def test_orders_come_from_where_the_generator_stands(student):
    """An order follows from the state of the generator: set back it gives the same order again, moved on another."""
    fresh, second, again, moved = orders_from_states(student, 4)

    for order in (fresh, second, again, moved):
        expect.equal(sorted(order), list(range(30)), "DataLoader(shuffle=True): labels of an epoch")
    expect.equal(again, fresh, "DataLoader: order of a generator that was set back")
    distinct = len({tuple(order) for order in (fresh, second, moved)})
    expect.is_true(distinct == 3, "DataLoader: a generator that was drawn from gives an order that it gave before.")


@probe
def many_orders(student, count, epochs, seed):
    loader = student.DataLoader(
        [(torch.zeros(1), torch.tensor(i)) for i in range(count)],
        batch_size=count,
        shuffle=True,
        generator=torch.Generator().manual_seed(seed),
    )
    return [next(iter(loader))[1].tolist() for _ in range(epochs)]


@pytest.mark.task("data_loading")
def test_every_order_is_equally_likely(student, rng):
    """In a shuffled epoch every order of the samples is equally likely, so each sample is as often at each place."""
    epochs = 8000
    found = many_orders(student, 3, epochs, int(rng.integers(2**31)))
    orders = collections.Counter(map(str, found))

    six = sorted(str(list(order)) for order in itertools.permutations(range(3)))
    expect.equal(sorted(orders), six, "DataLoader(shuffle=True): orders of three samples")
    # chi-square with 5 degrees of freedom: above 45 once in 70 million; swapping each place with any place gives 99
    misfit = sum((count - epochs / 6) ** 2 / (epochs / 6) for count in orders.values())
    sentence = "DataLoader(shuffle=True): some of the six orders of three samples come more often than others."
    expect.is_true(misfit < 45, sentence)

    count, epochs = 24, 1200
    found = many_orders(student, count, epochs, int(rng.integers(2**31)))
    for order in found:
        expect.equal(sorted(order), list(range(count)), "DataLoader(shuffle=True): labels of an epoch, sorted")
    places = np.array(found)
    table = np.zeros((count, count))
    np.add.at(table, (places, np.arange(count)), 1)
    # chi-square with 23 * 23 degrees of freedom: 529 with a standard deviation of 33
    misfit = float(((table - epochs / count) ** 2 / (epochs / count)).sum())
    sentence = "DataLoader(shuffle=True): some samples come early, or late, more often than others."
    expect.is_true(misfit < 529 + 7 * 33, sentence)


@probe
def watched_dataset(student, options, takes):
    """Which samples are asked for, what a collate_fn gets; loops that are broken off, started again, nested."""
    asked, lists = [], []

    class Words:
        def __len__(self):
            return 5

        def __getitem__(self, i):
            if not 0 <= i < 5:
                raise IndexError(i)
            asked.append(int(i))
            return "abcde"[int(i)]

    def join(samples):
        lists.append(type(samples).__name__)
        return "".join(map(str, samples))

    loader = student.DataLoader(Words(), collate_fn=join, **options)
    begun = iter(loader)
    head = [next(begun) for _ in range(takes)]
    asked_for_head = list(asked)
    del asked[:]
    whole = list(loader)
    asked_for_whole = list(asked)
    nested = [(outer, join(loader)) for outer in loader]
    del lists[:]
    mixed = student.DataLoader(Words(), collate_fn=join, shuffle=True, **options)
    shuffled = [[(outer, sorted("".join(map(str, mixed)))) for outer in mixed] for _ in range(6)]
    return head, asked_for_head, whole, asked_for_whole, (nested, shuffled), lists


@pytest.mark.task("data_loading")
def test_a_collate_function_gets_the_samples_and_loops_start_again(student):
    """collate_fn gets a list of samples of any kind, each asked for once an epoch; every loop starts again."""
    head, asked_for_head, whole, asked, (nested, shuffled), lists = watched_dataset(student, {"batch_size": 2}, 1)

    expect.equal(head, ["ab"], "DataLoader(collate_fn=...): its first batch")
    expect.is_true(len(asked_for_head) <= 5, "DataLoader: it asks for samples more than once.")
    expect.equal(whole, ["ab", "cd", "e"], "DataLoader after a loop that was broken off")
    expect.equal(sorted(asked), [0, 1, 2, 3, 4], "DataLoader: samples asked for in one epoch")
    expect.equal(nested, [("ab", "abcde"), ("cd", "abcde"), ("e", "abcde")], "DataLoader: a loop within a loop")
    for epoch in shuffled:  # six epochs: by chance, parts of different orders may hold each sample once, too
        outer = sorted("".join(str(batch) for batch, _ in epoch))
        expect.equal(outer, list("abcde"), "DataLoader, shuffled: the outer loop")
        inner = [batches for _, batches in epoch]
        expect.equal(inner, [list("abcde")] * 3, "DataLoader, shuffled: the inner loops, sorted")
    expect.equal(set(lists), {"list"}, "DataLoader: type of what collate_fn gets")
    _, _, whole, asked, _, _ = watched_dataset(student, {"batch_size": 2, "drop_last": True}, 0)
    expect.equal(whole, ["ab", "cd"], "DataLoader(drop_last=True) with collate_fn")
    what = "DataLoader(drop_last=True): samples asked for, the one that is left out aside"
    expect.equal(sorted(asked)[:4], [0, 1, 2, 3], what)
    expect.is_true(len(asked) <= 5, "DataLoader(drop_last=True): it asks for samples more than once.")


@probe
def samples_of_arrays(student, x, y, index):
    """A sample, what becomes of it and of the arrays when either is changed, and transformed ones."""
    x, y = x.copy(order="K"), y.copy()  # laid out in memory as they are
    keep = x.copy()
    dataset = student.ArrayDataset(x, y)
    pair = dataset[index]
    if not (isinstance(pair, (tuple, list)) and [torch.is_tensor(value) for value in pair] == [True, True]):
        return None
    sample, label = pair
    first = sample.clone(), label.clone()
    sample.add_(1)
    label.add_(1)
    are_arrays_kept = np.array_equal(x, keep)
    second = dataset[index]
    second = second[0].clone(), second[1].clone()
    x[index] += 1
    y[index] += 1
    later = [value.clone() for value in dataset[index]]
    calls = []

    def change(sample):
        calls.append((type(sample).__name__, str(sample.dtype), tuple(sample.shape)))
        sample += 1  # in place, as a transform may: a sample is in memory of its own
        return 2 * sample

    changed = student.ArrayDataset(keep, y, change)
    before_asking = len(calls)
    transformed = [changed[index][0] for _ in range(2)]
    rows = student.ArrayDataset(x, y, transform=lambda sample: sample[0])
    return (
        len(dataset),
        first,
        second,
        are_arrays_kept,
        later,
        transformed,
        before_asking,
        calls,
        rows[index][0],
    )


@pytest.mark.task("data_loading")
def test_samples_are_copies_in_the_dtypes_of_training(student, rng):
    """float32 samples and int64 labels, read and transformed when they are asked for, each time in new memory."""
    for dtype, labels in (
        (np.uint8, np.uint8),
        (np.float64, np.int64),
        (np.float32, np.int32),
        (np.int16, np.int64),
    ):
        x = np.asfortranarray((50 * rng.uniform(size=(6, 2, 3))).astype(dtype))
        y = rng.integers(4, size=6).astype(labels)
        index = int(rng.integers(6))

        found = samples_of_arrays(student, x, y, index)

        expect.is_true(found is not None, "ArrayDataset: a sample and its label are no pair of tensors.")
        length, first, second, are_kept, later, transformed, early, calls, row = found
        want = torch.from_numpy(x[index].astype(np.float32))
        expect.equal(length, 6, "len(ArrayDataset)")
        for sample, label in (first, second):
            expect.close(sample, want, f"ArrayDataset of {dtype.__name__}: sample", dtype=torch.float32)
            expect.close(label, torch.tensor(int(y[index])), "ArrayDataset: label", dtype=torch.int64)
        expect.is_true(are_kept, "ArrayDataset: who changes a sample changes the array.")
        expect.close(later[0], want + 1, "ArrayDataset: a sample of an array that changed since", rtol=1e-6)
        expect.equal(int(later[1]), int(y[index]) + 1, "ArrayDataset: a label of an array that changed since")
        for sample in transformed:
            expect.close(sample, 2 * (want + 1), "ArrayDataset with a transform: sample", dtype=torch.float32)
        expect.close(row, want[0] + 1, "ArrayDataset with a transform that gives another shape: sample", rtol=1e-6)
        expect.equal(early, 0, "ArrayDataset: calls of transform before a sample is asked for")
        expect.equal(calls, [("Tensor", "torch.float32", (2, 3))] * 2, "ArrayDataset: what transform gets, two samples")
    with expect.refused(ValueError, "ArrayDataset of 3 samples and 2 labels"):
        student.ArrayDataset(np.zeros((3, 2)), np.zeros(2, dtype=np.int64))
    with expect.refused(ValueError, "ArrayDataset of 2 samples and 3 labels"):
        student.ArrayDataset(np.zeros((2, 2)), np.zeros(3, dtype=np.int64))


@probe
def draws_of_workers(student, plans):
    """What NumPy and Python draw in a worker, for (seed that PyTorch gave it, its number)."""
    found = []
    for seed, number in plans:
        np.random.seed(1)
        random.seed(1)
        torch.manual_seed(seed)
        state = torch.get_rng_state()
        student.seed_worker(number)
        kept = torch.initial_seed() == seed and torch.equal(state, torch.get_rng_state())
        found.append((tuple(np.random.randint(10**9, size=3).tolist()), random.random(), kept))
    return found


@pytest.mark.task("data_loading")
def test_workers_draw_different_numbers_and_epochs_too(student):
    """torch.initial_seed() alone decides what NumPy and Python draw; PyTorch's own generator is left alone."""
    # as PyTorch draws them, of 63 bits; their remainders lie at the edge of NumPy's, and two end with the same digits
    big = 2**62 + 2**33 - 3
    plans = [(big + 1, 0), (big + 2, 1), (big + 1 + 2**16 * 1000, 2), (7, 0), (big + 1, 0), (big + 1, 5)]

    draws = draws_of_workers(student, plans)

    for name, place in (("np.random", 0), ("random", 1)):
        values = [draw[place] for draw in draws]
        expect.equal(values[4], values[0], f"seed_worker: draws of {name} under the same seed of PyTorch's")
        expect.equal(values[5], values[0], f"seed_worker: draws of {name} where only worker_id differs")
        expect.is_true(
            len(set(values[:4])) == 4,
            f"seed_worker: {name} draws the same under different seeds of PyTorch's.",
        )
    expect.is_true(all(draw[2] for draw in draws), "seed_worker: it changed PyTorch's own generator.")


# ------------------------------------------------------------------------------------------------------------
# 3.6  A function and a loss of your own
# ------------------------------------------------------------------------------------------------------------


@probe
def has_a_backward_of_its_own(student):
    """Whether autograd goes back through a Function that somebody wrote, and not through operations of torch."""
    out = student.Swish.apply(torch.ones(2, requires_grad=True))
    return isinstance(out.grad_fn, torch.autograd.function.BackwardCFunction)


@pytest.mark.task("custom_autograd", weight=2)
def test_swish_and_its_gradient_are_those_of_torch(student, rng):
    """Swish is x * sigmoid(x); its slope has two terms, times the gradient from above; x, shape and dtype stay."""
    for shape, dtype in (
        ((3, 4, 2), torch.float64),
        ((5,), torch.float32),
        ((), torch.float64),
        ((6, 3, 4), torch.float32),
    ):
        numbers, weights = 3 * _float64(rng, *shape), _float64(rng, *shape)
        if shape[:1] == (6,):  # not contiguous
            numbers, weights = numbers.transpose(0, 2), weights.transpose(0, 2)
        x, cotangent = numbers.to(dtype).requires_grad_(True), weights.to(dtype)
        before = x.detach().clone()
        other = before.clone().requires_grad_(True)
        near = {"rtol": 1e-4, "atol": 1e-5} if dtype == torch.float32 else {"rtol": 1e-10, "atol": 1e-12}

        got = student.Swish.apply(x)

        want = F.silu(other)
        expect.close(got.detach(), want.detach(), "Swish.apply", dtype=dtype, **near)
        (gradient,) = torch.autograd.grad(got, x, cotangent)
        (wanted,) = torch.autograd.grad(want, other, cotangent)
        expect.close(gradient, wanted, "Swish: gradient", dtype=dtype, **near)
        expect.unchanged(x.detach(), before, "Swish: x")
    expect.is_true(has_a_backward_of_its_own(student), "Swish: its backward pass is not the one written in it.")


@pytest.mark.task("custom_autograd", weight=2)
def test_swish_bears_large_numbers_and_two_losses(student):
    """At +-1000 there is neither nan nor inf, forward and backward; and each call keeps its own tensors, in ctx."""
    x = torch.tensor([1000.0, -1000.0, 88.0, -104.0, 0.0, 1.0, -0.5], requires_grad=True)
    other = x.detach().clone().requires_grad_(True)

    first, second = student.Swish.apply(x), student.Swish.apply(2 * x)
    expect.close(first.detach(), F.silu(x.detach()), "Swish.apply", rtol=1e-5, atol=1e-6)
    (first + 3 * second).sum().backward()

    (F.silu(other) + 3 * F.silu(2 * other)).sum().backward()
    expect.close(x.grad, other.grad, "Swish: gradient of swish(x) + 3 swish(2 x)", rtol=1e-4, atol=1e-5)


def _focal(logits, targets, gamma, alpha=None):
    log_p = F.log_softmax(logits, dim=1)[torch.arange(len(targets)), targets]
    losses = -((-torch.expm1(log_p)) ** gamma) * log_p
    return losses if alpha is None else losses * alpha[targets]


@pytest.mark.task("custom_autograd", weight=2)
def test_focal_losses_and_gradients_are_those_of_the_formula(student, rng):
    """alpha, (1 - p)^gamma and log p as the formula says, reduced as asked; gradients flow through both factors."""
    for count, classes, gamma in ((6, 4, 2.0), (3, 3, 0.5), (1, 5, 1.0), (5, 2, 0.0), (4, 3, 5.0)):
        logits, targets = _float64(rng, count, classes), torch.from_numpy(rng.integers(classes, size=count))
        alpha = torch.from_numpy(rng.uniform(0.2, 3.0, size=classes))
        for reduction in ("none", "sum", "mean"):
            for weights in (None, alpha):
                options = {"gamma": gamma, "reduction": reduction} | (
                    {} if weights is None else {"alpha": weights.tolist()}
                )
                x, other = logits.clone().requires_grad_(True), logits.clone().requires_grad_(True)

                got = student.FocalLoss(**options)(x, targets)

                losses = _focal(other, targets, gamma, weights)
                want = losses if reduction == "none" else losses.sum() / (count if reduction == "mean" else 1)
                what = f"FocalLoss(gamma={gamma}, reduction={reduction!r}{', alpha' if weights is not None else ''})"
                expect.close(got.detach(), want.detach(), what, rtol=1e-6, dtype=torch.float64)
                cotangent = _float64(rng, *want.shape)
                expect.is_true(got.requires_grad, f"{what}: no gradient flows through it.")
                (gradient,) = torch.autograd.grad(got, x, cotangent)
                (wanted,) = torch.autograd.grad(want, other, cotangent)
                expect.close(gradient, wanted, f"{what}: gradient", rtol=1e-5, atol=1e-9)


@pytest.mark.task("custom_autograd", weight=2)
def test_focal_losses_bear_large_logits(student):
    """Logits of +-1000 give neither nan nor inf, in the loss or its gradient: start from log probabilities."""
    logits = torch.tensor([[1000.0, -1000.0, 0.0], [1000.0, -1000.0, 0.0], [0.0, 0.0, 1000.0]])
    targets = torch.tensor([0, 1, 1])
    for gamma in (0.0, 1.0, 2.0):
        x = logits.clone().requires_grad_(True)

        got = student.FocalLoss(gamma, reduction="none")(x, targets)

        expect.close(got.detach(), torch.tensor([0.0, 2000.0, 1000.0]), f"FocalLoss({gamma})", rtol=1e-5, atol=1e-6)
        expect.is_true(got.requires_grad, f"FocalLoss({gamma}): no gradient flows through it.")
        got.sum().backward()
        want = torch.tensor([[0.0, 0.0, 0.0], [1.0, -1.0, 0.0], [0.0, -1.0, 1.0]])
        expect.close(x.grad, want, f"FocalLoss({gamma}): gradient", rtol=1e-4, atol=1e-5)


@probe
def state_of_focal_losses(student, alpha, logits, targets):
    plain, loss = student.FocalLoss(), student.FocalLoss(1.0, alpha.clone())
    if not torch.is_tensor(getattr(loss, "alpha", None)):
        return None
    with torch.no_grad():
        loss.alpha.mul_(2.0)
    doubled = loss(logits, targets).item()
    moved = student.FocalLoss(2.0, [1.0, 2.0, 3.0])
    buffers = {name: tuple(value.shape) for name, value in moved.named_buffers() if name == "alpha"}
    from_list = moved.alpha.tolist()
    kind = str(moved.double().alpha.dtype)
    device = str(moved.to("meta").alpha.device)
    parameters = sum(1 for module in (plain, loss, moved) for _ in module.parameters())
    return isinstance(loss, nn.Module), doubled, buffers, from_list, kind, device, parameters


@pytest.mark.task("custom_autograd", weight=2)
def test_class_weights_belong_to_the_module_and_not_to_training(student, rng):
    """alpha is a buffer of that name: it moves with the module, decides the loss, and no optimiser gets it."""
    alpha, logits = torch.tensor([1.0, 2.0, 0.5]), _float32(rng, 5, 3)
    targets = torch.from_numpy(rng.integers(3, size=5))

    found = state_of_focal_losses(student, alpha, logits, targets)

    expect.is_true(found is not None, "FocalLoss(1.0, alpha): it has no tensor `alpha`.")
    is_module, doubled, buffers, from_list, kind, device, parameters = found
    expect.is_true(is_module, "FocalLoss: it is no nn.Module.")
    expect.equal(buffers, {"alpha": (3,)}, "FocalLoss with alpha: its buffers")
    expect.equal(from_list, [1.0, 2.0, 3.0], "FocalLoss(2.0, [1.0, 2.0, 3.0]).alpha")
    expect.equal((kind, device), ("torch.float64", "meta"), "FocalLoss.double() and .to('meta'): alpha")
    expect.equal(parameters, 0, "FocalLoss: parameters")
    want = float(_focal(logits, targets, 1.0, 2 * alpha).mean())
    expect.close(doubled, want, "FocalLoss(1.0, alpha) after its alpha was doubled", rtol=1e-4)


@pytest.mark.task("custom_autograd", weight=0.5)
def test_focal_losses_have_defaults_and_the_dtype_of_the_logits(student, rng):
    """gamma is 2.0, alpha all ones, the reduction the mean, unless said otherwise; the loss has the logits' dtype."""
    logits, targets = _float32(rng, 5, 3), torch.from_numpy(rng.integers(3, size=5))
    alpha = torch.from_numpy(rng.uniform(0.2, 3.0, size=3))
    kept = [value.clone() for value in (logits, targets, alpha)]

    plain = student.FocalLoss()(logits.double(), targets)
    single = student.FocalLoss(1.0, alpha, "none")(logits, targets)
    double = student.FocalLoss(alpha=alpha.float())(logits.double(), targets)

    want = _focal(logits.double(), targets, 2.0).mean()
    expect.close(plain, want, "FocalLoss()(logits, targets)", rtol=1e-6, dtype=torch.float64)
    want = _focal(logits.double(), targets, 1.0, alpha).float()
    what = "FocalLoss(1.0, alpha, 'none') of float32 logits, alpha float64"
    expect.close(single, want, what, rtol=1e-4, atol=1e-6, dtype=torch.float32)
    want = _focal(logits.double(), targets, 2.0, alpha).mean()
    what = "FocalLoss(alpha=alpha) of float64 logits, alpha float32"
    expect.close(double, want, what, rtol=1e-5, dtype=torch.float64)
    for value, before, name in zip((logits, targets, alpha), kept, ("logits", "targets", "alpha"), strict=True):
        expect.unchanged(value, before, f"FocalLoss: {name}")


@pytest.mark.task("custom_autograd", weight=0.5)
def test_an_unknown_reduction_is_refused(student):
    """mean, sum and none are all there is: any other reduction is a ValueError when the loss is made."""
    for reduction in ("average", "", None, "Mean"):
        with expect.refused(ValueError, f"FocalLoss(reduction={reduction!r})"):
            student.FocalLoss(reduction=reduction)


# ------------------------------------------------------------------------------------------------------------
# 3.7  Devices and checkpoints
# ------------------------------------------------------------------------------------------------------------


@probe
def device_table(student, machines, wishes):
    """The devices chosen on machines (GPUs of NVIDIA's, Apple's) for each wish."""
    real = torch.cuda.is_available, torch.cuda.device_count, torch.backends.mps.is_available
    table = []
    try:
        for count, apple in machines:
            is_there, count = bool(count), 2 if count is None else count  # None: two GPUs without a driver
            torch.cuda.is_available, torch.cuda.device_count = lambda a=is_there: a, lambda n=count: n
            torch.backends.mps.is_available = lambda a=apple: a
            for wish in wishes:
                device = student.get_device() if wish == "" else student.get_device(prefer=wish)
                table.append((type(device).__name__, str(device)))
    finally:
        torch.cuda.is_available, torch.cuda.device_count, torch.backends.mps.is_available = real
    return table


@pytest.mark.task("checkpoints")
def test_a_device_is_the_wish_if_it_is_there_and_else_the_cpu(student):
    """The preferred device if it is available, by the docstring's rules, else the CPU; for None cuda, mps, cpu."""
    machines = [(0, False), (2, False), (0, True), (1, True), (None, False)]
    wishes = ["", None, "cuda", "cuda:0", "cuda:1", "cuda:2", "mps", "cpu", "meta"]
    names = [
        ["cpu", "cpu", "cpu", "cpu", "cpu", "cpu", "cpu", "cpu", "meta"],
        ["cuda", "cuda", "cuda", "cuda:0", "cuda:1", "cpu", "cpu", "cpu", "meta"],
        ["mps", "mps", "cpu", "cpu", "cpu", "cpu", "mps", "cpu", "meta"],
        ["cuda", "cuda", "cuda", "cuda:0", "cpu", "cpu", "mps", "cpu", "meta"],
        ["cpu", "cpu", "cpu", "cpu", "cpu", "cpu", "cpu", "cpu", "meta"],
    ]

    table = device_table(student, machines, wishes)

    for (machine, wish), want, (kind, got) in zip(
        [(machine, wish) for machine in machines for wish in wishes],
        itertools.chain(*names),
        table,
        strict=True,
    ):
        cuda = "CUDA not available" if machine[0] is None else f"{machine[0]} CUDA devices"
        where = f"get_device({'' if wish == '' else repr(wish)}) with {cuda} and mps {machine[1]}"
        expect.equal(kind, "device", f"{where}: type")
        expect.equal(got, want, where)


@probe
def prepared_models(student, device):
    """Model and optimiser on a device: what is where, and whose parameters the optimiser holds."""
    made = []

    def make(parameters):
        made.append("made")
        return torch.optim.AdamW(parameters, lr=0.03)

    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    model[0].weight.requires_grad_(False)  # frozen for now: it may be thawed later, and is trained then
    found = student.prepare(model, make, device)
    if not (type(found) in (tuple, list) and isinstance(found[-1], torch.optim.Optimizer)):
        return None
    given_back, optimizer = found
    places = sorted({value.device.type for value in model.state_dict().values()})
    held = sorted(id(p) for group in optimizer.param_groups for p in group["params"])
    own = sorted(id(p) for p in model.parameters())
    kind = type(optimizer).__name__, optimizer.param_groups[0]["lr"]
    is_kept = not model[0].weight.requires_grad and all(module.training for module in model.modules())
    return given_back is model, places, held == own, kind, len(made), is_kept


@pytest.mark.task("checkpoints")
def test_the_optimiser_is_made_of_what_lies_on_the_device(student):
    """Move parameters and buffers of the same model first, then make one optimiser of all its parameters."""
    for device in ("meta", "cpu"):
        found = prepared_models(student, device)

        expect.is_true(found is not None, "prepare: it does not return the pair (model, optimizer).")
        is_same, places, holds_all, kind, made, is_kept = found
        expect.is_true(is_same, "prepare: it gives back another model.")
        expect.equal(places, [device], f"prepare(..., {device!r}): devices of parameters and buffers")
        expect.is_true(holds_all, f"prepare(..., {device!r}): the optimiser holds other parameters than the model.")
        expect.equal(kind, ("AdamW", 0.03), "prepare: the optimiser")
        expect.equal(made, 1, "prepare: calls of make_optimizer")
        expect.is_true(is_kept, "prepare: it changed the model's mode, or which of its parameters need gradients.")


@probe
def run_in_two(student, x, y, optimizer_class, seeds, as_path):
    """Dropout, batch norm and shuffling, for 4 epochs; then 2, a stop, and 2 with everything new but the file."""
    import os
    import pathlib
    import tempfile

    def start(seed):
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3))
        optimizer = getattr(torch.optim, optimizer_class)(model.parameters(), lr=0.05)
        return model, optimizer, torch.Generator().manual_seed(seed)

    def go_on(model, optimizer, generator, epochs):
        model.train()
        for _ in range(epochs):
            for rows in torch.randperm(len(x), generator=generator).split(4):
                optimizer.zero_grad()
                F.cross_entropy(model(x[rows]), y[rows]).backward()
                optimizer.step()

    def state_of(model, optimizer, generator):
        values = [value.double().flatten() for value in model.state_dict().values()]
        for slots in optimizer.state_dict()["state"].values():
            values += [torch.as_tensor(slot).double().flatten() for slot in slots.values()]
        return torch.cat(values), generator.get_state(), torch.get_rng_state()

    def gradients_of(model):
        return torch.cat([torch.zeros(1) if p.grad is None else p.grad.flatten() for p in model.parameters()])

    path = os.path.join(tempfile.mkdtemp(), "a.run" if as_path else "run.pt")
    path = pathlib.Path(path) if as_path else path
    one = start(seeds[0])
    student.save_checkpoint(path, one[0], one[1], 99, one[2])
    go_on(*one, 2)
    one[1].param_groups[0]["lr"] = 0.02  # as a schedule does; the new optimiser is made with 0.05
    before, slopes = state_of(*one), gradients_of(one[0])
    student.save_checkpoint(path, one[0], one[1], 2, one[2])
    after = state_of(*one)
    is_kept = all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    is_kept = is_kept and all(layer.training for layer in one[0].modules())
    is_kept = is_kept and torch.equal(gradients_of(one[0]), slopes)
    go_on(*one, 2)
    whole = state_of(*one)
    two = start(seeds[1])
    two[0].train(as_path)
    other_place = os.path.join(tempfile.mkdtemp(), "moved.pt")
    os.rename(path, other_place)
    path = pathlib.Path(other_place) if as_path else other_place
    epoch = student.load_checkpoint(path, *two)
    modes = {layer.training for layer in two[0].modules()}
    loaded = state_of(*two)
    go_on(*two, 2)
    return (
        is_kept,
        epoch,
        modes,
        list(zip(before, loaded, strict=True)),
        list(zip(whole, state_of(*two), strict=True)),
    )


@pytest.mark.task("checkpoints", weight=2)
def test_a_resumed_run_is_the_uninterrupted_one_bit_for_bit(student, rng):
    """Saving changes nothing; loading brings back weights, buffers, optimiser, epoch and random states, and no mode."""
    x, y = _float32(rng, 12, 4), torch.from_numpy(rng.integers(3, size=12))
    for number, optimizer in enumerate(("Adam", "RMSprop")):
        is_kept, epoch, modes, loaded, ends = run_in_two(student, x, y, optimizer, [3, 40], bool(number))

        expect.is_true(is_kept, "save_checkpoint: it changed the run that it saved.")
        expect.equal(epoch, 2, "load_checkpoint: epochs done")
        what = f"load_checkpoint: modes of the model and its layers, all of which were {bool(number)}"
        expect.equal(modes, {bool(number)}, what)
        for (want, got), what in zip(
            loaded, ("model and optimiser", "the data's generator", "torch's generator"), strict=True
        ):
            expect.is_true(torch.equal(want, got), f"load_checkpoint: {what} is not as it was saved.")
        for (want, got), what in zip(
            ends, ("model and optimiser", "the data's generator", "torch's generator"), strict=True
        ):
            expect.is_true(torch.equal(want, got), f"after two more epochs {what} is not that of the whole run.")


@probe
def files_of_checkpoints(student):
    """Read the file as safely as torch can; load it alone, without an optimiser, and into other models."""
    import os
    import tempfile

    path = os.path.join(tempfile.mkdtemp(), "run.pt")
    torch.manual_seed(5)
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    student.save_checkpoint(path, model, optimizer, 7)
    try:
        torch.load(path, weights_only=True)
        is_safe = True
    except Exception:
        is_safe = False
    fresh, generator = nn.Linear(3, 2), torch.Generator().manual_seed(1)
    state = generator.get_state()
    wanted = torch.get_rng_state()
    student.save_checkpoint(path, model, optimizer, 7)
    torch.manual_seed(6)
    epoch = student.load_checkpoint(path, fresh, generator=generator)
    is_rng_set = torch.equal(torch.get_rng_state(), wanted)
    same = torch.equal(model.weight, fresh.weight) and torch.equal(model.bias, fresh.bias)
    is_own = fresh.weight.data_ptr() != model.weight.data_ptr()
    student.load_checkpoint(path, fresh, None, None)
    student.save_checkpoint(path, model, optimizer, 7, torch.Generator().manual_seed(2))
    try:
        student.load_checkpoint(path, fresh, torch.optim.SGD(fresh.parameters(), lr=0.1, momentum=0.9))
        without_generator = "loaded"
    except Exception as error:
        without_generator = f"{type(error).__name__}: {error}"
    refused = []
    for other in (nn.Linear(3, 4), nn.Sequential(nn.Linear(3, 2)), nn.Linear(3, 2, bias=False)):
        try:
            student.load_checkpoint(path, other)
            refused.append("nothing")
        except Exception as error:
            refused.append(type(error).__name__)
    is_generator_kept = torch.equal(state, generator.get_state())
    return is_safe, epoch, same and is_own, (is_generator_kept, is_rng_set), without_generator, refused


@pytest.mark.task("checkpoints")
def test_a_file_holds_states_and_not_objects(student):
    """The file holds tensors and plain values; optimiser and generator may be left out; other models are refused."""
    is_safe, epoch, same, (is_generator_kept, is_rng_set), without_generator, refused = files_of_checkpoints(student)

    expect.is_true(is_safe, "save_checkpoint: torch.load(path, weights_only=True) refuses the file.")
    expect.equal(epoch, 7, "load_checkpoint: epochs done")
    expect.is_true(same, "load_checkpoint without an optimiser: the weights are not those that were saved.")
    expect.is_true(is_rng_set, "load_checkpoint without an optimiser: torch's generator is not as it was saved.")
    expect.is_true(is_generator_kept, "load_checkpoint: it changed a generator of which the file holds nothing.")
    what = "load_checkpoint without a generator, of a file that holds a generator's state"
    expect.equal(without_generator, "loaded", what)
    expect.equal(refused, ["RuntimeError"] * 3, "load_checkpoint into models of other shapes or names: it raised")


@probe
def saved_on_a_gpu(student):
    """Write a file whose tensors say that they lay on a GPU, and load it on this machine without one."""
    import os
    import tempfile

    path = os.path.join(tempfile.mkdtemp(), "run.pt")
    model = nn.Linear(3, 2)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    real = torch.serialization.location_tag
    torch.serialization.location_tag = lambda storage: "cuda:0"
    try:
        student.save_checkpoint(path, model, optimizer, 1, torch.Generator())
    finally:
        torch.serialization.location_tag = real
    fresh = nn.Linear(3, 2)
    student.load_checkpoint(path, fresh, torch.optim.Adam(fresh.parameters(), lr=0.1), torch.Generator())
    return torch.equal(model.weight, fresh.weight), str(fresh.weight.device)


@probe
def moved_by_saving(student):
    """How often save_checkpoint moves or casts the model: each of .to, .cpu and .float goes through _apply."""
    import os
    import tempfile

    moved = []

    class Watched(nn.Linear):
        def _apply(self, *args, **options):
            moved.append(self is model)
            return super()._apply(*args, **options)

    model = Watched(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    student.save_checkpoint(os.path.join(tempfile.mkdtemp(), "run.pt"), model, optimizer, 1)
    return sum(moved)


@pytest.mark.task("checkpoints")
def test_a_file_from_a_gpu_loads_on_the_cpu(student):
    """A checkpoint saved on a GPU loads on a machine without one, and saving does not move the model."""
    expect.equal(saved_on_a_gpu(student), (True, "cpu"), "load_checkpoint of a file from a GPU: (weights, device)")
    expect.is_true(
        moved_by_saving(student) == 0,
        "save_checkpoint: it moved the model, which goes on training elsewhere.",
    )


# ------------------------------------------------------------------------------------------------------------
# 3.8  The same network in Keras
# ------------------------------------------------------------------------------------------------------------


@probe
def keras_model_at_work(student, sizes, weights, x, y):
    """Logits in inference, twice; loss and accuracy on integer labels; and the largest step of one batch."""
    import keras

    model = student.build_keras_mlp(*sizes)
    first = model.get_weights()
    if [w.shape for w in first] != [w.shape for w in weights]:
        return first, *[None] * 7
    model.set_weights(weights)
    logits = model.predict(x, verbose=0)
    again = model(x, training=False).detach().numpy()
    measured = model.evaluate(x, y, verbose=0, return_dict=True)
    again_measured = model.evaluate(x, y.astype(np.int32), verbose=0, return_dict=True)
    model.train_on_batch(x, y)
    steps = [after - before for after, before in zip(model.get_weights(), weights, strict=True)]
    settings, defaults = model.optimizer.get_config(), keras.optimizers.Adam(0.001).get_config()
    extras = [key for key in defaults if key not in ("name", "learning_rate") and settings.get(key) != defaults[key]]
    extras += ["a schedule"] if isinstance(settings.get("learning_rate"), dict) else []
    rule = type(model.optimizer).__name__, extras
    return first, logits, again, measured, again_measured, steps, len(model.trainable_weights), rule


def _keras_weights(rng, n_in, n_hidden, n_out):
    shapes = ((n_in, n_hidden), (n_hidden,), (n_hidden, n_out), (n_out,))
    return [rng.normal(size=shape).astype(np.float32) for shape in shapes]


@pytest.mark.task("keras_model", weight=2)
def test_it_gives_logits_and_is_compiled_for_integer_labels(student, rng):
    """Sizes as asked, ReLU, logits, Keras' first values; Adam at 0.001, sparse cross-entropy of logits, accuracy."""
    drawn = []
    for sizes, count in (((6, 5, 4), 9), ((3, 8, 2), 40)):
        weights = _keras_weights(rng, *sizes)
        x, y = rng.normal(size=(count, sizes[0])).astype(np.float32), rng.integers(sizes[2], size=count)

        first, logits, again, measured, again_measured, steps, trainable, rule = keras_model_at_work(
            student, sizes, weights, x, y
        )

        what = f"build_keras_mlp{sizes}"
        expect.equal([w.shape for w in first], [w.shape for w in weights], f"{what}: shapes of its weights")
        W1, b1, W2, b2 = weights
        want = np.maximum(x @ W1 + b1, 0) @ W2 + b2
        expect.equal(trainable, 4, f"{what}: trainable weights")
        kind, extras = rule
        expect.equal(kind, "Adam", f"{what}: the optimiser")
        expect.is_true(not extras, f"{what}: Adam has other settings than Keras' defaults: {', '.join(extras)}.")
        expect.is_true(np.abs(first[0]).max() > 0, f"{what}: all first kernels are zero.")
        expect.close(logits, want, f"{what}: logits", rtol=1e-4, atol=1e-4)
        expect.close(again, want, f"{what}: logits in inference, again", rtol=1e-4, atol=1e-4)
        loss = float(F.cross_entropy(torch.from_numpy(want), torch.from_numpy(y)))
        for found in (measured, again_measured):
            expect.is_true(
                {"loss", "accuracy"} <= set(found),
                f"{what}.evaluate: got {sorted(found)}, expected loss and accuracy.",
            )
            expect.close(found["loss"], loss, f"{what}.evaluate: loss", rtol=1e-3, atol=1e-4)
            accuracy = float((want.argmax(axis=1) == y).mean())
            expect.close(found["accuracy"], accuracy, f"{what}.evaluate: accuracy", rtol=1e-4)
        expect.is_true(not first[1].any() and not first[3].any(), f"{what}: a bias does not begin at zero.")
        # Keras draws a kernel evenly from -bound to bound, bound = sqrt(6 / (rows + columns))
        drawn.extend((kernel / math.sqrt(6 / sum(kernel.shape))).ravel() for kernel in (first[0], first[2]))
        largest = max(float(np.abs(step).max()) for step in steps)
        expect.between(largest, 0.00097, 0.00103, f"{what}: largest change in one step")
    values, even = np.concatenate(drawn), 1 / math.sqrt(3)
    expect.between(float(np.abs(values).max()), 0.5, 1 + 1e-4, "build_keras_mlp: largest first value / bound of Keras'")
    # the deviation of n such values has a deviation of its own of 0.26 / sqrt(n)
    room = 6 * 0.26 / math.sqrt(values.size)
    what = "build_keras_mlp: spread of the first values / bound of Keras'"
    expect.between(float(values.std()), even - room, even + room, what)


@probe
def keras_dropout(student, rows, training):
    """Every hidden unit is 1, out of all seven inputs, and output j shows unit j, plus 3."""
    model = student.build_keras_mlp(7, 40, 10)
    model.set_weights(
        [
            np.ones((7, 40), np.float32),
            np.full(40, -6.0, np.float32),
            np.eye(40, 10, dtype=np.float32),
            np.full(10, 3.0, np.float32),
        ]
    )
    return model(np.ones((rows, 7), np.float32), training=training).detach().numpy()


@pytest.mark.task("keras_model", weight=2)
def test_keras_drops_a_fifth_of_the_hidden_units_in_training(student):
    """Dropout with rate 0.2 is between the two dense layers: on hidden units, in training and only there."""
    hidden = keras_dropout(student, 3000, True) - 3

    kept = hidden > 0.5
    expect.close(
        hidden,
        1.25 * kept.astype(np.float32),
        "build_keras_mlp in training: hidden units",
        rtol=1e-5,
        atol=1e-5,
    )
    # 30,000 draws with a standard deviation of 0.0023: 0.014 is six of them
    expect.between(1 - float(kept.mean()), 0.186, 0.214, "build_keras_mlp in training: share dropped")
    rows = len({tuple(row) for row in kept.tolist()})
    expect.is_true(rows > 200, "build_keras_mlp in training: the same units are dropped in all samples, or in many.")
    rest = keras_dropout(student, 5, False)
    expect.close(rest, np.full((5, 10), 4.0, np.float32), "build_keras_mlp in inference", rtol=1e-6)


@probe
def weights_for_keras(student, kind):
    """Weights of a SimpleNet, of one input and one output, or in double precision; and whether it stays as it is."""
    torch.manual_seed(6)
    if kind == "SimpleNet":
        net = student.SimpleNet()
    elif kind == "one input, one output":  # a row turned is a column, with the same memory
        net = nn.Sequential(nn.Linear(1, 4), nn.ReLU(), nn.Linear(4, 1))
    else:
        net = nn.Sequential()
        for name, module in (
            ("second", nn.Linear(3, 4)), ("tanh", nn.Tanh()), ("last", nn.Sequential(nn.Linear(4, 4), nn.ReLU())),
            ("first", nn.Linear(4, 2)),
        ):  # fmt: skip
            net.add_module(name, module)
        net.double()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    modes = [module.training for module in net.modules()]
    got = student.torch_to_keras_weights(net)
    types = [type(w).__name__ for w in got] if isinstance(got, (list, tuple)) else []
    if set(types) != {"ndarray"}:
        return type(got).__name__, types, [], True, list(before.values())
    copies = [np.array(w) for w in got]
    for w in got:
        if w.flags.writeable:
            w += 1
    same = modes == [module.training for module in net.modules()] and all(
        value.dtype == before[name].dtype and torch.equal(value, before[name])
        for name, value in net.state_dict().items()
    )
    return type(got).__name__, types, copies, same, list(before.values())


@pytest.mark.task("keras_model")
def test_kernels_are_turned_and_copied(student):
    """(out, in) becomes (in, out), layer by layer as the model uses them, in float32 and in new memory."""
    for kind, layers in (("SimpleNet", 2), ("deeper", 3), ("one input, one output", 2)):
        name, types, got, same, state = weights_for_keras(student, kind)

        what = f"torch_to_keras_weights({kind})"
        expect.equal((name, len(types)), ("list", 2 * layers), f"{what}: type and length")
        expect.equal(set(types), {"ndarray"}, f"{what}: types in it")
        for place, (array, value) in enumerate(zip(got, state, strict=True)):
            want = value.numpy().T.astype(np.float32)
            expect.close(array, want, f"{what}[{place}]", rtol=1e-6, dtype=np.float32)
        expect.is_true(same, f"{what}: it, or a change of the arrays, changed the PyTorch model.")


@probe
def counts_of_models(student):
    import keras

    found = []
    net = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.Linear(8, 2))
    found.append(student.count_trainable(net))
    net[0].requires_grad_(False)
    found.append(student.count_trainable(net))
    shared = nn.Linear(4, 4)
    found.append(student.count_trainable(nn.Sequential(shared, nn.ReLU(), shared)))
    model = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(5, use_bias=False),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(2),
        ]
    )
    found.append(student.count_trainable(model))
    model.layers[0].trainable = False
    found.append(student.count_trainable(model))
    inputs, twice = keras.Input((3,)), keras.layers.Dense(3)
    found.append(student.count_trainable(keras.Model(inputs, twice(twice(inputs)))))
    found.append(student.count_trainable(nn.ReLU()))
    return found, [type(count).__name__ for count in found]


@pytest.mark.task("keras_model")
def test_statistics_frozen_and_shared_weights_are_counted_as_training_sees_them(student):
    """Running statistics never count, frozen layers do not, shared parameters count once, in either framework."""
    counts, types = counts_of_models(student)

    cases = (
        ("Conv2d(3, 8, 3, bias=False), BatchNorm2d(8), Linear(8, 2)", 216 + 16 + 18),
        ("the same with the convolution frozen", 16 + 18),
        ("the same Linear(4, 4) twice", 20),
        ("Keras: Dense(5) without bias on 6, BatchNormalization, Dense(2)", 30 + 10 + 12),
        ("the same with the first layer frozen", 10 + 12),
        ("Keras: the same Dense(3) twice, on 3", 12),
        ("ReLU", 0),
    )
    for (what, want), got, kind in zip(cases, counts, types, strict=True):
        expect.equal(kind, "int", f"count_trainable({what}): type")
        expect.equal(got, want, f"count_trainable({what})")


# ------------------------------------------------------------------------------------------------------------
# 3.9  One step of TensorFlow
# ------------------------------------------------------------------------------------------------------------


UNSEEN = "was all from the model's call to the loss computed by TensorFlow, and inside the tape?"


@probe
def tensorflow_run(student, weights, x, y, lr, steps, form):
    """Train a network in - hidden - out with a frozen scale; losses, weights and what was asked for."""
    import tensorflow as tf

    asked, pairs_seen = [], []

    class Net(tf.Module):
        def __init__(self):
            super().__init__()
            self.scale = tf.Variable(2.0, trainable=False)
            self.W1, self.b1, self.W2 = (tf.Variable(w) for w in weights)

        def __call__(self, x, training=False):
            asked.append(bool(training))
            hidden = tf.nn.relu(tf.linalg.matmul(x, self.W1) + self.b1)
            return self.scale * tf.linalg.matmul(hidden, self.W2)

    class Descent:
        def apply_gradients(self, pairs):
            pairs = list(pairs)
            pairs_seen.append([(g is not None and tuple(g.shape), tuple(v.shape)) for g, v in pairs])
            for gradient, variable in pairs:
                if gradient is not None:
                    variable.assign_sub(lr * gradient)

    model, optimizer = Net(), Descent()
    if form == "tensors":
        x, y = tf.constant(x), tf.constant(y, dtype=tf.int32)
    kept = np.array(x), np.array(y)
    losses = [student.tf_train_step(model, x, y, optimizer) for _ in range(steps)]
    is_kept = np.array_equal(kept[0], np.array(x)) and np.array_equal(kept[1], np.array(y))
    ends = [model.W1.numpy(), model.b1.numpy(), model.W2.numpy()]
    return (
        [type(loss).__name__ for loss in losses],
        [float(loss) for loss in losses],
        ends,
        asked,
        pairs_seen,
        is_kept,
        float(model.scale),
    )


def _torch_run(weights, x, y, lr, steps):
    parameters = [torch.from_numpy(w) for w in weights]
    losses = []
    for _ in range(steps):
        for p in parameters:
            p.requires_grad_(True)
        W1, b1, W2 = parameters
        loss = F.cross_entropy(2 * (torch.relu(torch.from_numpy(x) @ W1 + b1) @ W2), torch.from_numpy(y))
        gradients = torch.autograd.grad(loss, parameters)
        parameters = [(p - lr * g).detach() for p, g in zip(parameters, gradients, strict=True)]
        losses.append(float(loss.detach()))
    return losses, [p.numpy() for p in parameters]


@pytest.mark.task("tf_train_step")
def test_tensorflow_steps_are_those_of_pytorch(student, rng):
    """The mean loss before the step, one call of apply_gradients with all trainable variables, training=True."""
    for form, count in (("arrays", 7), ("tensors", 1)):
        weights = [rng.normal(size=shape).astype(np.float32) for shape in ((4, 5), (5,), (5, 3))]
        x, y = rng.normal(size=(count, 4)).astype(np.float32), rng.integers(3, size=count)

        kinds, losses, ends, asked, pairs, is_kept, scale = tensorflow_run(student, weights, x, y, 0.05, 4, form)

        want_losses, want_ends = _torch_run([w.copy() for w in weights], x, y, 0.05, 4)
        expect.equal(kinds, ["float"] * 4, "tf_train_step: type of the loss")
        expect.close(
            np.array(losses),
            np.array(want_losses),
            "tf_train_step: losses of four steps",
            rtol=1e-3,
            atol=1e-4,
        )
        for name, got, want in zip(("W1", "b1", "W2"), ends, want_ends, strict=True):
            expect.close(got, want, f"tf_train_step: {name} after four steps", rtol=1e-3, atol=1e-4)
        expect.equal(asked, [True] * 4, "tf_train_step: training, at each call of the model")
        expect.equal(len(pairs), 4, "tf_train_step: calls of apply_gradients in four steps")
        shapes = sorted([((4, 5), (4, 5)), ((5,), (5,)), ((5, 3), (5, 3))])
        expect.equal(sorted(pairs[0]), shapes, "tf_train_step: shapes of (gradient, variable)")
        expect.is_true(is_kept, "tf_train_step: it changed the batch.")
        expect.equal(scale, 2.0, "tf_train_step: a variable that is not trainable")


@probe
def tensorflow_extremes(student, logits, y):
    """One step in which the logits themselves are the variable."""
    import tensorflow as tf

    class Table(tf.Module):
        def __init__(self):
            super().__init__()
            self.logits = tf.Variable(logits)

        def __call__(self, x, training=False):
            return self.logits + 0.0 * tf.reduce_sum(x)

    class Keep:
        def apply_gradients(self, pairs):
            pairs = list(pairs)
            self.missing = [gradient is None for gradient, _ in pairs]
            for gradient, variable in pairs:
                if gradient is not None:
                    variable.assign(gradient)

    model, optimizer = Table(), Keep()
    loss = student.tf_train_step(model, np.zeros((len(y), 2), np.float32), y, optimizer)
    return float(loss), optimizer.missing, model.logits.numpy()


@pytest.mark.task("tf_train_step")
def test_tensorflow_logits_may_be_large(student):
    """Large logits give neither nan nor inf: compute the cross-entropy from logits, not from probabilities."""
    logits = np.array([[1000.0, -1000.0, 0.0], [0.0, 0.0, 0.0]], dtype=np.float32)

    loss, missing, gradient = tensorflow_extremes(student, logits, np.array([1, 2]))

    expect.equal(missing, [False], "tf_train_step: whether each gradient is None", hint=UNSEEN)
    expect.close(loss, (2000 + math.log(3)) / 2, "tf_train_step: loss", rtol=1e-5)
    want = np.array([[1, -1, 0], [1 / 3, 1 / 3, -2 / 3]], dtype=np.float32) / 2
    expect.close(gradient, want, "tf_train_step: gradient of the logits", rtol=1e-4, atol=1e-5)
