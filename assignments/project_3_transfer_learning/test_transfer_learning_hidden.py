"""Hidden tests of the transfer project: labels, unseen images and formulas stay with the judge."""

import copy
import json
import os
import shutil
import tempfile

import numpy as np
import pytest
import torch
from torch import nn

from autograder import expect, probe
from dlcourse import outage
from dlcourse.data import shapes7_weights, shapes10

# `cd tests && python -m measure_transfer` says what the solution reaches, and how far above the floors that is.
NEW = (7, 8, 9)  #: the kinds of shapes10 that the weights have never seen


def _new_shapes(per_class, seed, noise=0.15):
    """Images of the three new kinds, as many of each as you ask for: (images, labels from 0 to 2)."""
    x, y = shapes10(10 * per_class, seed, noise=noise)
    is_new = y >= NEW[0]
    return x[is_new], y[is_new] - NEW[0]


def _raw(x):
    return (255 * x).round().astype(np.uint8).transpose(0, 2, 3, 1)


# ------------------------------------------------------------------------------------------------------------
# P3.1  Load what fits
# ------------------------------------------------------------------------------------------------------------


@probe
def loaded(student, layers, state):
    """Load arrays into a model of some named shapes; return the report, the values, and whether tensors were kept."""
    model = nn.Module()
    for name, shape in layers:
        owner = model
        *path, last = name.split(".")
        for part in path:
            if part not in owner._modules:
                owner.add_module(part, nn.Module())
            owner = owner._modules[part]
        owner.register_parameter(last, nn.Parameter(torch.zeros(shape)))
    held = {name: value.data_ptr() for name, value in model.state_dict().items()}
    report = student.load_pretrained(model, {name: torch.from_numpy(value) for name, value in state.items()})
    named = {name: sorted(getattr(report, name)) for name in ("loaded", "missing", "unexpected", "held_back")}
    named["other_shape"] = {
        name: [list(shape) if isinstance(shape, tuple) else f"a {type(shape).__name__}" for shape in pair]
        for name, pair in dict(report.other_shape).items()
    }
    values = {name: float(value.mean()) for name, value in model.state_dict().items()}
    return named, values, all(value.data_ptr() == held[name] for name, value in model.state_dict().items())


@pytest.mark.task("loading", weight=6)
def test_a_layer_is_loaded_as_a_whole_or_not_at_all(student, rng):
    """load_pretrained: if one name of a layer does not fit, its other names are held back; other layers are loaded."""
    a, b, c, d = (int(size) for size in rng.permutation(np.arange(2, 6)))
    layers = [
        ("mark", (a,)), ("deep.a.weight", (a, b)), ("deep.a.bias", (a,)), ("deep.b.weight", (b, c)),
        ("deep.b.bias", (b,)), ("deep.c.weight", (c, d)), ("deep.c.bias", (c,)), ("head.weight", (a, d)),
        ("head.scale", (a,)), ("headless.weight", (a, a)), ("row.weight", (1, a)),
    ]  # fmt: skip
    shapes = dict(layers)
    del shapes["deep.a.bias"]  # missing
    shapes["deep.b.extra"] = (2,)  # unexpected
    shapes["head.weight"] = (d, a)  # of another shape, with as many entries
    shapes["row.weight"] = (a,)  # one axis less, with as many entries
    state = {name: np.full(shape, 2.0, dtype=np.float32) for name, shape in shapes.items()}

    report, values, _ = loaded(student, layers, state)

    fits = ["deep.c.bias", "deep.c.weight", "headless.weight", "mark"]
    expect.equal(report["loaded"], fits, "load_pretrained: loaded")
    expect.equal(report["missing"], ["deep.a.bias"], "load_pretrained: missing")
    expect.equal(report["unexpected"], ["deep.b.extra"], "load_pretrained: unexpected")
    other_shape = {"head.weight": [[d, a], [a, d]], "row.weight": [[a], [1, a]]}
    expect.equal(report["other_shape"], other_shape, "load_pretrained: other_shape")
    held_back = ["deep.a.weight", "deep.b.bias", "deep.b.weight", "head.scale"]
    expect.equal(report["held_back"], held_back, "load_pretrained: held_back")
    for name, value in values.items():
        expect.close(value, 2.0 if name in fits else 0.0, f"load_pretrained: values of {name}")


@pytest.mark.task("loading", weight=0.5)
def test_nothing_in_common_is_a_report_too(student):
    """load_pretrained: with an empty state each name of the model is missing, and nothing changes."""
    report, values, _ = loaded(student, [("a.weight", (2, 3)), ("a.bias", (2,))], {})

    want = {
        "loaded": [], "missing": ["a.bias", "a.weight"], "unexpected": [], "held_back": [], "other_shape": {},
    }  # fmt: skip
    expect.equal(report, want, "load_pretrained of an empty state: the report")
    expect.equal(values, {"a.weight": 0.0, "a.bias": 0.0}, "load_pretrained of an empty state: values of the model")


@pytest.mark.task("loading", weight=0.5)
def test_large_numbers_are_finite(student):
    """load_pretrained: only nan and infinity are refused; large numbers are loaded."""
    shapes = {"a.weight": (2, 3), "a.bias": (2,)}
    state = {name: np.full(shape, 3e38, dtype=np.float32) for name, shape in shapes.items()}  # their sum is too large

    report, _, _ = loaded(student, list(shapes.items()), state)

    expect.equal(report["loaded"], sorted(shapes), "load_pretrained of large numbers: loaded")


@pytest.mark.task("loading", weight=0.5)
def test_names_without_a_dot_are_one_layer(student):
    """load_pretrained: names without a dot belong to one layer, which is loaded as a whole or not at all."""
    layers = [("scale", (2,)), ("shift", (3,)), ("part.scale", (2,))]
    state = {name: np.full(2, 2.0, dtype=np.float32) for name in ("scale", "part.scale")}

    report, values, _ = loaded(student, layers, state)

    expect.equal(report["loaded"], ["part.scale"], "load_pretrained: loaded")
    expect.equal(report["missing"], ["shift"], "load_pretrained: missing")
    expect.equal(report["held_back"], ["scale"], "load_pretrained: held_back")
    expect.close(values["scale"], 0.0, "load_pretrained: values of a name without a dot that was held back")


@probe
def loaded_without_counters(student):
    """A batch norm whose counter is missing, one that lacks more, one that is whole, and a layer without a counter."""

    def make():
        layers = {name: nn.BatchNorm1d(3) for name in ("old", "worse", "whole")}
        return nn.ModuleDict({**layers, "plain": nn.Linear(3, 3)})

    model, source = make(), make()
    with torch.no_grad():
        for value in source.state_dict().values():
            value.fill_(7)
    state = source.state_dict()
    for name in ("old.num_batches_tracked", "worse.num_batches_tracked", "worse.running_mean"):
        del state[name]
    state["plain.num_batches_tracked"] = torch.tensor(7)
    report = student.load_pretrained(model, state)
    values = {name: float(value.double().mean()) for name, value in model.state_dict().items()}
    return sorted(report.loaded), sorted(report.missing), sorted(report.held_back), values


@pytest.mark.task("loading", weight=0.5)
def test_a_counter_may_be_missing(student):
    """load_pretrained: a missing counter is reported and holds nothing back; one that is unexpected holds back."""
    named, missing, held_back, values = loaded_without_counters(student)

    kinds = ("bias", "running_mean", "running_var", "weight")
    want = [f"old.{kind}" for kind in kinds] + [f"whole.{kind}" for kind in (*kinds, "num_batches_tracked")]
    expect.equal(named, sorted(want), "load_pretrained: loaded")
    lacking = ["old.num_batches_tracked", "worse.num_batches_tracked", "worse.running_mean"]
    expect.equal(missing, lacking, "load_pretrained: missing")
    rest = ["plain.bias", "plain.weight", "worse.bias", "worse.running_var", "worse.weight"]
    expect.equal(held_back, rest, "load_pretrained: held_back")
    for name in want:
        expect.close(values[name], 7.0, f"load_pretrained: values of {name}")
    expect.close(values["worse.weight"], 1.0, "load_pretrained: values of a layer that was held back")


@probe
def broken_states(student):
    """Load states with one broken entry; note the errors, and whether anything was loaded."""
    found = []
    numbers = [float("nan"), float("inf"), -float("inf")]
    for place in ("first.weight", "norm.running_var", "last.bias", "stranger"):
        for broken in (*numbers, "words", [1.0, 2.0], 3, None, np.ones(2, dtype=np.float32)):
            model = nn.ModuleDict({"first": nn.Linear(2, 2), "norm": nn.BatchNorm1d(2), "last": nn.Linear(2, 2)})
            before = copy.deepcopy(model.state_dict())
            state = {name: value + 1 for name, value in before.items()}
            state["stranger"] = torch.ones(2, dtype=torch.float64)
            if isinstance(broken, float):
                state[place].flatten()[-1] = broken
            else:
                state[place] = broken
            said = None
            try:
                student.load_pretrained(model, state)
            except ValueError as error:
                said = str(error)
            except NotImplementedError:
                raise
            except Exception:
                said = ""
            is_same = all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
            found.append((place, said, is_same))
    return found


@pytest.mark.task("loading", weight=6)
def test_a_broken_state_loads_nothing(student):
    """load_pretrained: an entry that is no tensor or not finite is a ValueError that names it; nothing is loaded."""
    for place, said, is_same in broken_states(student):
        expect.is_true(said is not None, "load_pretrained: a state with a broken entry is not refused.")
        expect.is_true(place in said, "load_pretrained: there is no ValueError that names the broken entry.")
        expect.is_true(is_same, "load_pretrained: a state with a broken entry is loaded in part.")


@probe
def manners_of_loading(student):
    model = nn.Sequential(nn.Linear(2, 2).double(), nn.BatchNorm1d(2), nn.Linear(2, 2))
    model[1].eval()
    model[0].bias.requires_grad_(False)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    state = {name: torch.full_like(value, 3, dtype=torch.float32 if value.is_floating_point() else None)
             for name, value in model.state_dict().items()}  # fmt: skip
    kept = {name: value.clone() for name, value in state.items()}
    model[0].weight.grad = torch.full_like(model[0].weight, 2.0)
    student.load_pretrained(model, state)
    has_gradient = model[0].weight.grad is not None and bool((model[0].weight.grad == 2).all())
    held = [float(p.detach().mean()) for p in optimizer.param_groups[0]["params"]]
    model[2].weight.sum().backward()
    optimizer.step()
    stepped = float(model[2].weight.detach().mean())
    return (
        held,
        stepped,
        [str(value.dtype) for value in model.state_dict().values()],
        [module.training for module in model.modules()],
        [parameter.requires_grad for parameter in model.parameters()],
        all(torch.equal(value, kept[name]) for name, value in state.items()) and list(state) == list(kept),
        has_gradient,
    )


@pytest.mark.task("loading", weight=6)
def test_the_model_keeps_its_tensors(student):
    """load_pretrained: new values in the same tensors, with their dtypes; no memory is shared with the state."""
    held, stepped, dtypes, modes, asks, is_kept, has_gradient = manners_of_loading(student)

    expect.equal(held, [3.0] * 6, "load_pretrained: values of the parameters that an optimiser holds")
    expect.close(stepped, 2.0, "load_pretrained, then a step of that optimiser: weights of the model")
    doubles = ["torch.float64"] * 2 + ["torch.float32"] * 4 + ["torch.int64"] + ["torch.float32"] * 2
    expect.equal(dtypes, doubles, "load_pretrained: dtypes of the model")
    expect.equal(modes, [True, True, False, True], "load_pretrained: modes of the layers")
    expect.equal(asks, [True, False, True, True, True, True], "load_pretrained: requires_grad of the parameters")
    expect.equal(is_kept, True, "load_pretrained, then a step: whether the state is as it was")
    expect.equal(has_gradient, True, "load_pretrained: whether a gradient of the model is as it was")


# ------------------------------------------------------------------------------------------------------------
# P3.2  A new head, and a frozen backbone
# ------------------------------------------------------------------------------------------------------------


@probe
def new_heads(student):
    """Change the heads of several models; compare the new layers and what is around them."""
    found = []
    for head, bias, dtype in (
        ("fc", True, torch.float32),
        ("top.1.out", False, torch.float64),
        ("9", True, torch.float32),
    ):
        model = nn.Sequential()
        model.add_module("stem", nn.Linear(3, 5))
        model.add_module("0", nn.Sequential(nn.BatchNorm1d(5), nn.Linear(5, 5), nn.Dropout(0.5)))
        model.get_submodule("0")[0].running_mean.fill_(0.5)
        owner = model
        *path, last = head.split(".")
        for part in path:
            owner.add_module(part, nn.Sequential(nn.Linear(5, 5)) if part == "top" else nn.Sequential())
            owner = owner._modules[part]
        owner.add_module(last, nn.Linear(5, 4, bias=bias, dtype=dtype))
        model.add_module("end", nn.Identity())
        model.eval()
        model.stem.requires_grad_(False)
        model.get_submodule(head).requires_grad_(False)
        before = dict(model.named_modules())
        values = {name: value.clone() for name, value in model.state_dict().items()}
        student.modify_head(model, 6)
        after = dict(model.named_modules())
        new = after.get(head)
        changed = sorted(name for name in set(before) | set(after) if before.get(name) is not after.get(name))
        around = all(
            torch.equal(value, values[name])
            for name, value in model.state_dict().items()
            if not name.startswith(head + ".")
        )
        if not isinstance(new, nn.Linear):
            found.append(None)
            continue
        asks = [p.requires_grad for p in new.parameters()], model.stem.weight.requires_grad
        modes = [module.training for name, module in model.named_modules() if name != head]
        first = new.weight.detach().double()
        student.modify_head(model, 6)
        second = model.get_submodule(head).weight.detach().double()
        drawn = []
        for _ in range(2):
            torch.manual_seed(11)
            student.modify_head(model, 6)
            drawn.append(model.get_submodule(head).weight.detach().double())
        found.append(
            (
                changed,
                around,
                [new.in_features, new.out_features, new.bias is not None, str(new.weight.dtype)],
                asks,
                any(modes),
                bool(torch.equal(first, second)),
                float(first.std()),
                bool(torch.equal(*drawn)),
            )
        )
    try:
        student.modify_head(nn.Sequential(nn.ReLU()), 2)
        is_refused = False
    except ValueError:
        is_refused = True
    return found, is_refused


@pytest.mark.task("freezing", weight=5)
def test_the_last_linear_layer_is_replaced(student):
    """modify_head: the last linear layer is replaced by a new one like it; all other modules stay as they are."""
    found, is_refused = new_heads(student)

    cases = (("fc", True, "torch.float32"), ("top.1.out", False, "torch.float64"), ("9", True, "torch.float32"))
    for case, (head, bias, dtype) in zip(found, cases, strict=True):
        expect.is_true(case is not None, "modify_head: a head with another name or deep in the model is no nn.Linear.")
        changed, around, made, (asks, stem), modes, is_same, spread, is_drawn_again = case
        expect.equal(changed, [head], "modify_head: modules that were replaced")
        expect.equal(around, True, "modify_head: whether everything else has its values")
        expect.equal(made, [5, 6, bias, dtype], "modify_head: in_features, out_features, bias and dtype of the head")
        expect.equal(asks, [True] * len(asks), "modify_head: requires_grad of the new head")
        expect.equal(stem, False, "modify_head: requires_grad of a frozen layer that is not the head")
        expect.equal(modes, False, "modify_head of a model in eval mode: whether another layer is in training mode")
        expect.is_true(not is_same, "modify_head: two calls give the same initial weights.")
        expect.is_true(spread > 0.01, "modify_head: the initial weights are not random.")
        expect.is_true(is_drawn_again, "modify_head: after the same torch.manual_seed the initial weights differ.")
    expect.equal(is_refused, True, "modify_head of a model without nn.Linear: whether it raises a ValueError")


_STAGES = 5


@probe
def frozen_models(student, plan, x):
    """Freeze a model with all kinds of batch norm again and again; look at what learns and what moves."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.one = nn.Sequential(nn.Conv3d(1, 2, 1), nn.BatchNorm3d(2))
            self.two = nn.Sequential(nn.Conv2d(2, 3, 1), nn.Sequential(nn.BatchNorm2d(3, affine=False)))
            self.three = nn.Sequential(nn.Conv1d(3, 4, 1), nn.BatchNorm1d(4), nn.Dropout(0.5))
            self.four = nn.Linear(4, 5)
            self.norm = nn.BatchNorm1d(5)
            self.head = nn.Linear(5, 2)

        def forward(self, x):
            x = self.one(x).flatten(3)
            x = self.two(x).flatten(2)
            return self.head(self.norm(self.four(self.three(x).mean(dim=2))))

    torch.manual_seed(3)
    model = Net()
    names = list(model.state_dict())
    layers = [id(module) for module in model.modules()]
    norms = {
        name: module for name, module in model.named_modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)
    }
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 2.0)
    found = []
    for n_free, calls in plan:
        held = {name: value.clone() for name, value in model.state_dict().items()}
        returned = student.freeze(model) if n_free is None else student.freeze(model, n_free)
        is_held = all(torch.equal(value, held[name]) for name, value in model.state_dict().items())
        is_held &= all(p.grad is not None and bool((p.grad == 2).all()) for p in model.parameters())
        for part, mode in calls:
            (model.get_submodule(part) if part else model).train(mode)
        before = {name: value.clone() for name, value in model.state_dict().items()}
        used, hooks = {}, []
        for name, norm in norms.items():

            def look(layer, inputs, output, name=name, before=before, used=used):
                shape = [1, -1] + [1] * (output.dim() - 2)
                weight, bias = (torch.ones(1), torch.zeros(1)) if layer.weight is None else (layer.weight, layer.bias)
                old = [before[f"{name}.{kind}"].reshape(shape) for kind in ("running_mean", "running_var")]
                want = (inputs[0] - old[0]) / (old[1] + layer.eps).sqrt() * weight.reshape(shape) + bias.reshape(shape)
                used[name] = bool(torch.allclose(output, want, rtol=1e-3, atol=1e-4))

            hooks.append(norm.register_forward_hook(look))
        torch.manual_seed(5)
        scores = [model(torch.from_numpy(x)) for _ in range(2)]
        for hook in hooks:
            hook.remove()
        now = model.state_dict()
        moved = sorted({name.rpartition(".")[0] for name in now if not torch.equal(now[name], before[name])})
        found.append({
            "learns": [name for name, parameter in model.named_parameters() if parameter.requires_grad],
            "moved": moved,
            "still": sorted(name for name, is_still in used.items() if is_still),
            "dropped": not torch.equal(*scores),
            "training": [model.training, model.three[2].training, model.head.training],
            "kept": list(model.state_dict()) == names and [id(module) for module in model.modules()] == layers,
            "held": is_held,
            "returned": returned is model,
        })  # fmt: skip
    return found


_NORMS = ("one.1", "two.1.0", "three.1", "norm")
_PARTS = (("one.0", "one.1"), ("two.0",), ("three.0", "three.1"), ("four", "norm"), ("head",))


def _learning(n_free):
    layers = [name for part in _PARTS[_STAGES - n_free :] for name in part]
    return [f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")]


def _images(rng):
    return (rng.normal(size=(6, 1, 2, 2, 3)) * 3 + 1).astype(np.float32)


@pytest.mark.task("freezing", weight=5)
def test_the_last_stages_learn(student, rng):
    """freeze: parameters of the last n_free stages require a gradient, all others do not, whatever it was before."""
    plan = [(n_free, [("", True)]) for n_free in (None, 3, 0, 2, _STAGES, 1)]

    found = frozen_models(student, plan, _images(rng))

    for (n_free, _), case in zip(plan, found, strict=True):
        free = 1 if n_free is None else n_free
        expect.equal(sorted(case["learns"]), sorted(_learning(free)), f"freeze(n_free={free}): parameters that learn")
        expect.equal(case["kept"], True, "freeze: whether modules and names of the state_dict are the same")
        expect.equal(case["held"], True, "freeze: whether values and gradients are as before")
        expect.equal(case["returned"], True, "freeze: whether it returns the model")


@pytest.mark.task("freezing", weight=6)
def test_a_frozen_batch_norm_stays_still(student, rng):
    """freeze: a frozen batch norm uses its running statistics and moves no buffer, whatever train() is called on."""
    plan = [
        (1, []), (1, [("", True)]), (1, [("", False), ("", True)]), (1, [("one", True), ("two.1", True)]),
        (1, [(name, True) for name in _NORMS]), (3, [("", True)]), (0, [("", True)]),
    ]  # fmt: skip

    found = frozen_models(student, plan, _images(rng))

    for (n_free, _), case in zip(plan, found, strict=True):
        free = {1: [], 0: [], 3: ["norm", "three.1"]}[n_free]
        expect.equal(case["moved"], free, f"freeze(n_free={n_free}): batch norms whose buffers a pass changes")
        still = sorted(set(_NORMS) - set(free))
        for name in still:
            expect.is_true(
                name in case["still"], f"freeze(n_free={n_free}): a frozen batch norm uses statistics of the batch."
            )


@pytest.mark.task("freezing", weight=3)
def test_what_is_thawed_obeys_again(student, rng):
    """freeze: a batch norm that is free again obeys the next call of train() or eval()."""
    plan = [(1, [("", True)]), (4, [("", True)]), (2, [("", True)]), (_STAGES, [("", True)]), (_STAGES, [("", False)])]

    found = frozen_models(student, plan, _images(rng))

    for (n_free, calls), case in zip(plan, found, strict=True):
        mode = calls[-1][1]
        free = {1: (), 4: ("norm", "three.1", "two.1.0"), 2: ("norm",), _STAGES: _NORMS}[n_free] if mode else ()
        expect.equal(case["moved"], sorted(free), f"freeze(n_free={n_free}): batch norms whose buffers a pass changes")


@pytest.mark.task("freezing", weight=2)
def test_other_layers_keep_their_modes(student, rng):
    """freeze: dropout, the batch norm of free stages and the model keep their modes, and obey train() and eval()."""
    plan, x = [(1, []), (1, [("", False)]), (2, []), (0, [("", True)]), (1, [])], _images(rng)

    found = frozen_models(student, plan, x)

    for number, (case, mode) in enumerate(zip(found, (True, False, False, True, True), strict=True)):
        expect.equal(case["training"], [mode] * 3, f"freeze, call {number + 1}: modes of the model, dropout and head")
        expect.equal(case["dropped"], mode, f"freeze, call {number + 1}: whether dropout acts")

    free = [("", False), ("three.1", True)]  # of the two batch norms that are free, one is in training mode
    found = frozen_models(student, [(2, [("", False)]), (2, []), (3, [("", True)]), (3, []), (3, free), (3, [])], x)

    both = ["norm", "three.1"]
    for number, (case, moved) in enumerate(zip(found, ([], [], both, both, both[1:], both[1:]), strict=True)):
        expect.equal(case["moved"], moved, f"freeze, call {number + 1}: free batch norms whose buffers a pass changes")


# ------------------------------------------------------------------------------------------------------------
# P3.3  A rate for each depth, and an order of thawing
# ------------------------------------------------------------------------------------------------------------


@probe
def sorted_parameters(student, frozen, options):
    """A model of six stages with shared parameters, a batch norm without parameters, and one of the model's own."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.start = nn.Parameter(torch.zeros(1, 2))
            self.a = nn.Conv2d(1, 2, 1)
            self.norm = nn.BatchNorm2d(2, affine=False)
            self.b = nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3))
            self.twin = nn.Linear(3, 3)
            self.twin.weight = self.b[0].weight
            self.copy = nn.Linear(3, 3)
            self.copy.weight, self.copy.bias = self.b[0].weight, self.twin.bias
            self.head = nn.Linear(3, 2)

    model = Net()
    names = {}
    for name, parameter in model.named_parameters():
        names.setdefault(id(parameter), name)
    for name in frozen:
        model.get_parameter(name).requires_grad_(False)
    groups = student.param_groups(model, **options)
    try:
        torch.optim.SGD([dict(group) for group in groups])
        is_taken = True
    except Exception:
        is_taken = False
    asks = [name for name, parameter in model.named_parameters() if not parameter.requires_grad]
    return [[[names[id(p)] for p in group["params"]], float(group["lr"])] for group in groups], asks, is_taken


@pytest.mark.task("rates", weight=4)
def test_each_parameter_is_in_one_group(student):
    """param_groups: each parameter is in exactly one group, frozen ones and shared ones too, and no group is empty."""
    groups, asks, is_taken = sorted_parameters(student, ["a.weight", "a.bias", "head.bias"], {})

    every = ["start", "a.weight", "a.bias", "b.0.weight", "b.0.bias", "b.1.weight", "b.1.bias", "twin.bias"]
    every += ["head.weight", "head.bias"]
    expect.equal(sorted(name for names, _ in groups for name in names), sorted(every), "param_groups: parameters")
    expect.is_true(all(names for names, _ in groups), "param_groups: a group is empty.")
    expect.is_true(is_taken, "param_groups: an optimiser of torch.optim does not take the groups.")
    expect.equal(
        sorted(asks), ["a.bias", "a.weight", "head.bias"], "param_groups: parameters that are frozen afterwards"
    )


@pytest.mark.task("rates", weight=4)
def test_rates_fall_with_the_depth(student, rng):
    """param_groups: the rate falls by the same factor from stage to stage; a shared parameter is in the first stage."""
    lr, decay = (float(value) for value in rng.uniform(0.2, 0.8, size=2))
    stage = {"start": 0, "a.weight": 1, "a.bias": 1, "twin.bias": 3, "head.weight": 5, "head.bias": 5}
    stage |= {f"b.{place}.{kind}": 2 for place in (0, 1) for kind in ("weight", "bias")}
    for options, top, factor in (({"lr": lr, "decay": decay}, lr, decay), ({}, 0.01, 0.3), ({"decay": 1.0}, 0.01, 1.0)):
        groups, *_ = sorted_parameters(student, [], options)

        for names, rate in groups:
            for name in names:
                want = top * factor ** (5 - stage[name])
                expect.close(rate, want, f"param_groups: rate of {name}, stage {stage[name] + 1} of 6", rtol=1e-6)
        where = {name: number for number, (names, _) in enumerate(groups) for name in names}
        for one, other in (("a.weight", "a.bias"), ("b.0.weight", "b.1.bias"), ("head.weight", "head.bias")):
            expect.is_true(where[one] == where[other], "param_groups: a stage is in two groups.")


@pytest.mark.task("rates", weight=3)
def test_the_schedule_ends_with_all_stages(student):
    """schedule_unfreeze: one stage more after each wait, and never more than there are; four stages by default."""
    for n_stages in (1, 2, 6):
        for wait in (1, 3):
            for epoch in range(22):
                found = student.schedule_unfreeze(epoch, n_stages, wait)
                expect.equal(int(found), min(n_stages, epoch // wait + 1), "schedule_unfreeze")
    found = [int(student.schedule_unfreeze(epoch)) for epoch in (0, 4, 5, 14, 15, 99)]
    expect.equal(found, [1, 1, 2, 3, 4, 4], "schedule_unfreeze with its defaults")


# ------------------------------------------------------------------------------------------------------------
# P3.4  Another domain
# ------------------------------------------------------------------------------------------------------------


@probe
def adapted_chain(student, x, training, n_free):
    """Adapt a chain of layers with three batch norms and a dropout, and return what it is made of."""
    torch.manual_seed(4)
    model = nn.Sequential(
        nn.Conv2d(2, 3, 2), nn.BatchNorm2d(3, momentum=0.3), nn.Dropout(0.5), nn.ReLU(), nn.Conv2d(3, 4, 2),
        nn.BatchNorm2d(4, affine=False), nn.Flatten(), nn.Linear(4, 3), nn.BatchNorm1d(3, momentum=None),
        nn.Linear(3, 2),
    )  # fmt: skip
    with torch.no_grad():
        model[1].weight.copy_(torch.tensor([2.0, -1.0, 0.5]))
        model[1].bias.copy_(torch.tensor([0.5, 1.0, -0.5]))
    model.train(training)
    model[2].train(not training)
    model[4].weight.requires_grad_(False)
    model[0].weight.grad = torch.full_like(model[0].weight, 2.0)
    if n_free is not None:
        student.freeze(model, n_free)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    asks = [parameter.requires_grad for parameter in model.parameters()]
    student.adabn(model, x)
    found = {name: value.numpy() for name, value in model.state_dict().items()}
    free = ("running_mean", "running_var", "num_batches_tracked")
    is_kept = all(
        torch.equal(value, before[name]) for name, value in model.state_dict().items() if not name.endswith(free)
    )
    manners = (
        is_kept,
        [model[place].momentum for place in (1, 5, 8)] == [0.3, 0.1, None],
        [module.training for module in model.modules()] == modes,
        [parameter.requires_grad for parameter in model.parameters()] == asks,
        bool((model[0].weight.grad == 2).all()) and sum(p.grad is not None for p in model.parameters()) == 1,
        torch.is_grad_enabled(),
    )
    torch.set_grad_enabled(True)
    stays = None
    if n_free is not None:
        model.train()
        held = {name: value.clone() for name, value in model.state_dict().items()}
        model(torch.from_numpy(x))
        stays = all(torch.equal(value, held[name]) for name, value in model.state_dict().items())
    return found, manners, stays


def _convolved(x, weight, bias):
    N, _, H, W = x.shape
    out = np.zeros((N, len(weight), H - 1, W - 1))
    for row in range(2):
        for column in range(2):
            window = x[:, :, row : row + H - 1, column : column + W - 1]
            out += np.einsum("nchw,fc->nfhw", window, weight[:, :, row, column])
    return out + bias.reshape(1, -1, 1, 1)


def _inputs_of_batch_norms(found, x, is_one_pass):
    """Follow the chain by hand: what each of the three batch norms gets, (N, C, ...) each.

    Those before have their new statistics. A pass in training mode normalises with variances divided by n, and keeps
    those divided by n - 1: with is_one_pass the variance is that of the input, otherwise the one that was kept.
    """

    def normalised(values, name):
        axes = (0, *range(2, values.ndim))
        var = values.var(axis=axes) if is_one_pass else found[f"{name}.running_var"].astype(np.float64)
        mean = found[f"{name}.running_mean"].astype(np.float64)
        shape = (1, -1) + (1,) * (values.ndim - 2)
        return (values - mean.reshape(shape)) / np.sqrt(var.reshape(shape) + 1e-5)

    first = _convolved(x.astype(np.float64), found["0.weight"], found["0.bias"])
    values = normalised(first, "1") * found["1.weight"].reshape(1, -1, 1, 1) + found["1.bias"].reshape(1, -1, 1, 1)
    second = _convolved(np.maximum(values, 0), found["4.weight"], found["4.bias"])
    last = normalised(second, "5").reshape(len(x), -1) @ found["7.weight"].T + found["7.bias"]
    return first, second, last


def _statistics_agree(found, x):
    ways = zip(*(_inputs_of_batch_norms(found, x, is_one_pass) for is_one_pass in (False, True)), strict=True)
    for (name, what), inputs in zip((("1", "first"), ("5", "second"), ("8", "last")), ways, strict=True):
        mean, var = found[f"{name}.running_mean"], found[f"{name}.running_var"]
        means, variances = [], []
        for values in inputs:
            axes = (0, *range(2, values.ndim))
            count = values.size // values.shape[1]
            means.append(values.mean(axis=axes))
            variances += [values.var(axis=axes), values.var(axis=axes) * count / (count - 1)]
        is_mean = any(np.allclose(mean, want, rtol=1e-3, atol=1e-4) for want in means)
        is_var = any(np.allclose(var, want, rtol=1e-3, atol=1e-5) for want in variances)
        expect.is_true(is_mean, f"adabn: running_mean of the {what} batch norm is not the mean of its input.")
        expect.is_true(is_var, f"adabn: running_var of the {what} batch norm is not the variance of its input.")


def _domain(rng):
    # more than a usual batch, and the first images are darker than the last
    return (rng.uniform(size=(600, 2, 3, 3)) * np.linspace(0.5, 3, 600)[:, None, None, None] + 2).astype(np.float32)


@pytest.mark.task("domains", weight=6)
def test_each_batch_norm_sees_the_new_statistics_of_those_before(student, rng):
    """adabn: mean and variance of the input of each batch norm over all images, with new statistics before it."""
    x = _domain(rng)
    before = x.copy()

    found, *_ = adapted_chain(student, x, True, None)

    expect.unchanged(x, before, "adabn: images")
    _statistics_agree(found, x)


@pytest.mark.task("domains", weight=3)
def test_modes_and_frozen_layers_do_not_disturb(student, rng):
    """adabn: it gives the same for a model in eval mode and for a frozen one, which stays frozen."""
    x = _domain(rng)

    for training, n_free in ((False, None), (True, 0)):
        found, _, stays = adapted_chain(student, x, training, n_free)

        _statistics_agree(found, x)
        if n_free is not None:
            expect.equal(stays, True, "adabn of a frozen model, then a pass in training mode: whether buffers stay")


@pytest.mark.task("domains", weight=3)
def test_only_the_statistics_change(student, rng):
    """adabn: weights, biases, momentum, modes and requires_grad are as before, and no gradient is recorded."""
    names = ("weights and biases", "momentum", "modes of the layers", "requires_grad", "gradients")
    for training in (True, False):
        _, manners, _ = adapted_chain(student, _domain(rng), training, None)

        for name, is_kept in zip(names, manners, strict=False):
            expect.is_true(is_kept, f"adabn: {name} are not as before.")
        expect.is_true(manners[-1], "adabn: afterwards nothing records gradients any more.")


@probe
def other_batch_norms(student, x):
    """Adapt a batch norm for volumes behind one that keeps no running statistics."""
    norm, first = nn.BatchNorm3d(2), nn.BatchNorm2d(2, track_running_stats=False)
    with torch.no_grad():
        first.weight.fill_(2)
        first.bias.fill_(1)
    model = nn.Sequential(first, nn.Unflatten(1, (2, 1)), norm)
    student.adabn(model, x)
    return norm.running_mean.numpy(), norm.running_var.numpy()


@pytest.mark.task("domains")
def test_any_kind_of_batch_norm_is_adapted(student, rng):
    """adabn: batch norm means all three kinds, with running statistics; one without them has none to change."""
    mean, var = other_batch_norms(student, _domain(rng))

    expect.close(mean, np.ones(2), "adabn: running_mean of a BatchNorm3d whose input has this mean", atol=1e-3)
    expect.close(var, np.full(2, 4.0), "adabn: running_var of a BatchNorm3d whose input has this variance", rtol=1e-2)


@probe
def adapted_scores(student, weights, images, x):
    model = student.ShapeNet(7)
    model.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    model.eval()
    student.adabn(model, images)
    with torch.no_grad():
        return model.eval()(torch.from_numpy(x)).argmax(dim=1).numpy()


@pytest.mark.task("domains", weight=2)
@pytest.mark.parametrize(("offset", "factor"), [(0.0, 0.15), (0.5, -0.3)])
def test_another_domain_is_read_again(student, seed, offset, factor):
    """adabn: the docstring says how many images must be right in a pale and in an inverted domain."""
    images, _ = shapes10(200, [seed, 2])
    x, y = shapes10(400, [seed, 3])
    known = y < NEW[0]

    found = adapted_scores(
        student,
        shapes7_weights(),
        (offset + factor * images).astype(np.float32),
        (offset + factor * x[known]).astype(np.float32),
    )

    expect.accuracy(found, y[known], 0.90, "adabn: known shapes in another domain")


# ------------------------------------------------------------------------------------------------------------
# P3.5  Is transfer worth it?
# ------------------------------------------------------------------------------------------------------------


@probe
def drawings(student, labels, size, seeds):
    found = []
    for number, seed in enumerate(seeds):
        np.random.seed(number)
        torch.manual_seed(number)
        found.append(np.asarray(student.few_per_class(labels, size, seed)))
    return found


@pytest.mark.task("comparison", weight=5)
def test_each_image_of_a_class_is_as_likely(student, rng, seed):
    """few_per_class: without repetition, each image as likely as any other, decided by the seed."""
    labels = rng.permutation(np.repeat([-3, 0, 12], [5, 9, 20]))
    first = seed % 2**31  # np.random.RandomState takes no larger one than 2**32 - 1

    found = drawings(student, labels, 4, [first + k for k in range(300)])
    one, same, other = drawings(student, labels, 4, [first, first, first + 1])

    for indices in found:
        expect.equal(len(set(indices.tolist())), 12, "few_per_class(size=4) of three classes: different indices")
        drawn = np.bincount(labels[indices] + 3, minlength=16)[[0, 3, 15]].tolist()
        expect.equal(drawn, [4, 4, 4], "few_per_class(size=4): images of each class")
    counts = np.bincount(np.concatenate(found), minlength=len(labels))
    share = 4 / np.array([(labels == label).sum() for label in labels])
    # six standard deviations of 300 draws with this chance
    reach = 6 * np.sqrt(300 * share * (1 - share))
    expect.is_true(
        bool((np.abs(counts - 300 * share) <= reach).all()),
        "few_per_class: some images are drawn more often than others.",
    )
    of_class = np.flatnonzero(labels == 0)
    drawn = np.array([np.isin(of_class, indices) for indices in found], dtype=float)  # (300, 9)
    together = (drawn.T @ drawn)[np.triu_indices(9, 1)]  # how often two of the nine are drawn in one draw of four
    share = 4 * 3 / (9 * 8)
    expect.is_true(
        bool((np.abs(together - 300 * share) <= 6 * np.sqrt(300 * share * (1 - share))).all()),
        "few_per_class: some images are drawn together more often than others.",
    )
    expect.equal(sorted(same.tolist()), sorted(one.tolist()), "few_per_class with the same seed: indices")
    differ = any(set(indices.tolist()) != set(one.tolist()) for indices in (other, *found[2:5]))
    expect.is_true(differ, "few_per_class: five seeds give the same images.")


@pytest.mark.task("comparison")
def test_too_few_images_are_refused(student):
    """few_per_class: all images of a class may be asked for, and one more is a ValueError."""
    labels = np.array([5, 6, 5, 6, 6])

    chosen = student.few_per_class(labels, 2, 3)

    expect.equal(sorted(labels[np.asarray(chosen)].tolist()), [5, 5, 6, 6], "few_per_class(size=2): labels")
    with expect.refused(ValueError, "few_per_class(size=3) where a class has two images"):
        student.few_per_class(labels, 3, 3)


@probe
def ways_of_learning(student, weights, x, y):
    """Learn in each way from two states; say what became of the backbone, and what is shared with the state.

    For scratch all values of the second state are others, and for the other ways only its head.
    """
    from torch.optim.optimizer import register_optimizer_step_pre_hook

    state = {name: torch.from_numpy(value) for name, value in weights.items()}
    kept = {name: value.clone() for name, value in state.items()}
    twisted = {name: value.flip(0) if value.dim() else value for name, value in state.items()}
    fitting = state | {"head.weight": torch.ones(4, 64), "head.bias": torch.ones(4)}  # a head for as many classes
    found = {}
    for way in ("scratch", "linear_probe", "fine_tune"):
        steps, options = [], {} if way == "fine_tune" else {"epochs": 3}
        hook = register_optimizer_step_pre_hook(lambda *_, steps=steps: steps.append(1))
        try:
            torch.manual_seed(1)
            model = student.learn(way, state, x, y, n_classes=4, **options)
        finally:
            hook.remove()
        torch.manual_seed(2)
        other = student.learn(way, twisted if way == "scratch" else fitting, x, y, n_classes=4, **options)
        own = model.state_dict()
        places = {value.untyped_storage().data_ptr() for value in state.values()}
        found[way] = {
            "changed": [name for name in kept if name[:8] == "backbone" and not torch.equal(own[name], kept[name])],
            "weights": {name: value.numpy() for name, value in own.items() if value.dim() == 4},
            "same": all(torch.equal(value, own[name]) for name, value in other.state_dict().items()),
            "shared": any(value.untyped_storage().data_ptr() in places for value in own.values()),
            "eval": not any(module.training for module in model.modules()),
            "classes": tuple(model(torch.zeros(1, 3, 32, 32)).shape),
            "steps": len(steps),
            "is_net": isinstance(model, student.ShapeNet),
        }  # fmt: skip
    return found, all(torch.equal(value, kept[name]) for name, value in state.items())


@pytest.fixture(scope="module")
def ways(student, seed):
    x, y = _new_shapes(6, [seed, 4])
    weights = shapes7_weights()
    return *ways_of_learning(student, weights, x[:17], y[:17]), weights


@pytest.mark.task("comparison", weight=17)
def test_three_ways_differ_in_what_they_take_and_what_learns(ways):
    """learn: scratch ignores the state, a linear probe keeps its backbone, fine-tuning begins with it and moves it."""
    found, is_kept, weights = ways

    expect.equal(found["scratch"]["same"], True, "learn('scratch'): whether another state gives the same network")
    expect.equal(found["linear_probe"]["changed"], [], "learn('linear_probe'): what changed in the backbone")
    for place in (0, 4, 8):
        name = f"backbone.{place}.weight"
        old = weights[name]
        expect.is_true(
            name in found["fine_tune"]["changed"],
            "learn('fine_tune'): with the default epochs a convolution has not changed at the end.",
        )
        for way, is_near in (("fine_tune", True), ("scratch", False)):
            alike = float(np.corrcoef(found[way]["weights"][name].ravel(), old.ravel())[0, 1])
            if is_near:
                expect.is_true(alike > 0.5, "learn('fine_tune'): a convolution has nothing of the state any more.")
            else:
                expect.is_true(alike < 0.5, "learn('scratch'): a convolution is that of the state.")
    expect.equal(is_kept, True, "learn: whether the state is as it was")
    for way, case in found.items():
        expect.equal(case["is_net"], True, f"learn('{way}'): whether it returns a ShapeNet")
        expect.equal(case["shared"], False, f"learn('{way}'): whether the network shares memory with the state")
        expect.equal(case["eval"], True, f"learn('{way}'): whether all of the network is in eval mode")
        expect.equal(case["classes"], (1, 4), f"learn('{way}', n_classes=4): shape of the scores of one image")


@pytest.mark.task("comparison")
def test_the_head_of_the_state_is_not_used(ways):
    """learn: the new head is random, even if the state has a head that would fit."""
    found, *_ = ways

    for way in ("linear_probe", "fine_tune"):
        same = found[way]["same"]
        expect.equal(same, True, f"learn('{way}'): whether a state with another head gives the same network")


@pytest.mark.task("comparison", weight=2)
def test_each_batch_makes_a_step(ways):
    """learn: there is one step for each batch of each epoch, the smaller last batch included."""
    found, *_ = ways

    for way, steps in (("scratch", 6), ("linear_probe", 6), ("fine_tune", 80)):
        expect.equal(found[way]["steps"], steps, f"learn('{way}') with 17 images: steps of the optimiser")


@probe
def steps_of_learning(student, weights, x, y, options):
    """Learn in each way, each image with a class of its own; note rates and gradients of each step.

    The gradient of the head's biases says which classes are in a batch: those whose scores shall rise.
    """
    from torch.optim.optimizer import register_optimizer_step_pre_hook

    state = {name: torch.from_numpy(value) for name, value in weights.items()}
    heads = {(len(y),), (len(y), 64)}
    found = {}
    for way in ("scratch", "linear_probe", "fine_tune"):
        case = found[way] = {"largest": 0.0, "head": {}, "backbone": {}, "rising": []}

        def look(optimizer, _args, _kwargs, case=case):
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    if parameter.grad is None or not parameter.requires_grad:
                        continue
                    rate, shape = float(group["lr"]), tuple(parameter.shape)
                    case["largest"] = max(case["largest"], rate)
                    rates = case["head" if shape in heads else "backbone"]
                    rates[id(parameter)] = rates.get(id(parameter), 0.0) + rate
                    if shape == (len(y),):
                        case["rising"].append(parameter.grad.detach().numpy().argsort().tolist())

        hook = register_optimizer_step_pre_hook(look)
        try:
            student.learn(way, state, x, y, n_classes=len(y), **options)
        finally:
            hook.remove()
        case["head"], case["backbone"] = list(case["head"].values()), list(case["backbone"].values())
    return found


@pytest.fixture(scope="module")
def steps(student, seed):
    """Steps of trainings with four epochs of twelve images in batches of five; no rate is a default."""
    x, _ = shapes10(20, [seed, 14])
    y = np.random.default_rng([seed, 15]).permutation(12)
    options = {"epochs": 4, "batch_size": 5, "lr": 0.002, "seed": 1}
    return steps_of_learning(student, shapes7_weights(), x[:12, :, ::2, ::2].copy(), y, options)


@pytest.mark.task("comparison", weight=2)
def test_the_largest_rate_is_lr(steps):
    """learn: lr is the largest rate that a step has, in each of the three ways."""
    for way, case in steps.items():
        expect.is_true(bool(case["head"]), f"learn('{way}'): no step of an optimiser of torch.optim moves the head.")
        expect.is_true(case["largest"] <= 0.002 * (1 + 1e-6), f"learn('{way}'): the rate of a step is above lr.")
        # the steps of a schedule with a summit may be on both sides of it
        expect.is_true(case["largest"] >= 0.001, f"learn('{way}'): no step has a rate near lr.")


@pytest.mark.task("comparison")
def test_from_scratch_everything_learns(steps):
    """learn: from scratch, the whole network learns, and not its head alone."""
    moved = len(steps["scratch"]["backbone"]), len(steps["scratch"]["head"])

    expect.equal(moved, (9, 2), "learn('scratch'): parameters that learn in the backbone and in the head")


@pytest.mark.task("comparison")
def test_the_backbone_is_slower_than_the_head(steps):
    """learn: in fine-tuning the backbone is slower than the head, by lower rates or because it joins in later."""
    case = steps["fine_tune"]

    expect.is_true(bool(case["head"]), "learn('fine_tune'): no step of an optimiser of torch.optim moves the head.")
    is_slower = max(case["backbone"], default=0.0) < 0.999 * min(case["head"], default=0.0)
    expect.is_true(is_slower, "learn('fine_tune'): a part of the backbone is as fast as the head from the first step.")


@pytest.mark.task("comparison", weight=3)
def test_each_epoch_uses_each_image_once(steps):
    """learn: in each epoch each image is used once, in a new random order."""
    for way, case in steps.items():
        expect.equal(len(case["rising"]), 12, f"learn('{way}'): steps of four epochs of three batches")
        batches = [order[:size] for order, size in zip(case["rising"], [5, 5, 2] * 4, strict=True)]
        epochs = [batches[start : start + 3] for start in range(0, 12, 3)]
        for epoch in epochs:
            used = sorted(label for batch in epoch for label in batch)
            expect.is_true(used == list(range(12)), f"learn('{way}'): in an epoch some image is not used exactly once.")
        orders = {tuple(tuple(sorted(batch)) for batch in epoch) for epoch in epochs}
        expect.is_true(len(orders) > 1, f"learn('{way}'): the order of the images is the same in each epoch.")


@probe
def stopped_learning(student, weights, x, y, stop):
    """Learn in each way: twice, with another seed, and with a stop; count the steps."""
    from torch.optim.optimizer import register_optimizer_step_pre_hook

    state = {name: torch.from_numpy(value) for name, value in weights.items()}
    steps, limit = [0], [None]

    def count(*_):
        if steps[0] == limit[0]:
            raise outage.Stop
        steps[0] += 1

    def flat(model):
        return np.concatenate([value.double().numpy().ravel() for value in model.state_dict().values()])

    found = {}
    hook = register_optimizer_step_pre_hook(count)
    try:
        for way in ("scratch", "linear_probe", "fine_tune"):
            folder = tempfile.mkdtemp()
            path = os.path.join(folder, "state")
            case = found[way] = {}
            plan = [("whole", 4, None, None), ("again", 4, None, None), ("other", 5, None, None),
                    ("stopped", 4, path, stop), ("resumed", 4, path, None), ("finished", 4, path, None)]  # fmt: skip
            for number, (name, seed, checkpoint, at) in enumerate(plan):
                torch.manual_seed(number)
                np.random.seed(number)
                steps[0], limit[0] = 0, at
                try:
                    model = student.learn(
                        way, state, x, y, n_classes=3, epochs=5, batch_size=6, seed=seed, checkpoint=checkpoint
                    )
                    case[name] = flat(model), steps[0]
                except outage.Stop:
                    case[name] = None
            case["there"] = os.path.isfile(path)
    finally:
        hook.remove()
    return found


@pytest.fixture(scope="module")
def stopped(student, seed):
    x, y = _new_shapes(6, [seed, 5])
    return stopped_learning(
        student, shapes7_weights(), x[:16, :, ::2, ::2].copy(), y[:16], 10
    )  # three batches an epoch


@pytest.mark.task("comparison", weight=2)
def test_the_seed_decides_a_training(stopped):
    """learn: the arguments decide all weights, whatever the global random states are; another seed gives others."""
    for way, case in stopped.items():
        expect.close(case["again"][0], case["whole"][0], f"learn('{way}'): weights, a second time", rtol=0, atol=0)
        expect.is_true(not np.allclose(case["other"][0], case["whole"][0]), "learn: two seeds give the same weights.")


@pytest.mark.task("comparison", weight=17)
def test_a_stopped_training_goes_on_where_it_was(stopped):
    """learn with a checkpoint: after a stop it goes on with the next epoch, and ends as if there had been no stop."""
    for way, case in stopped.items():
        what = f"learn('{way}')"
        expect.equal(case["whole"][1], 15, f"{what}: steps of five epochs of three batches")
        is_stopped = case["stopped"] is None and case["there"]
        expect.is_true(is_stopped, f"{what}: a stop in the fourth epoch leaves no checkpoint.")
        expect.equal(case["resumed"][1], 6, f"{what}: steps after a stop in the fourth of five epochs")
        expect.close(case["resumed"][0], case["whole"][0], f"{what}: weights after a stop", rtol=0, atol=0)
        expect.equal(case["finished"][1], 0, f"{what}: steps when all epochs are done")
        expect.close(case["finished"][0], case["whole"][0], f"{what}, all epochs done: weights", rtol=0, atol=0)


@probe
def learned(student, way, weights, draws, n_classes):
    """Learn from each draw with default arguments; what each network says about unseen and its images, and CPU s."""
    import time

    state = {name: torch.from_numpy(value) for name, value in weights.items()}
    found, longest = [], 0.0
    for number, (x, y, unseen) in enumerate(draws):
        start = time.process_time()
        model = student.learn(way, state, x, y, n_classes, seed=number)
        longest = max(longest, time.process_time() - start)
        with torch.no_grad():
            found.append([model(torch.from_numpy(images)).argmax(dim=1).numpy() for images in (unseen, x)])
    return found, longest


DRAWS = 5


@pytest.fixture(scope="module")
def accuracies(student, seed):
    """For each way the mean shares of unseen images, and of its training images, that are right; and CPU seconds."""
    few = [_new_shapes(5, [seed, 6, number]) for number in range(DRAWS)]
    many = [_new_shapes(60, [seed, 7, number]) for number in range(DRAWS)]
    draws = [(x, y, unseen) for (x, y), (unseen, _) in zip(few, many, strict=True)]
    truths = [(truth, y) for (_, y), (_, truth) in zip(few, many, strict=True)]
    shares = {}
    for way in ("scratch", "linear_probe", "fine_tune"):
        found, longest = learned(student, way, shapes7_weights(), draws, 3)
        for labels, (truth, _) in zip(found, truths, strict=True):
            expect.shape(labels[0], truth.shape, f"learn('{way}'): predictions")
        shares[way] = [
            float(np.mean([(labels[part] == truth[part]).mean() for labels, truth in zip(found, truths, strict=True)]))
            for part in (0, 1)
        ] + [longest]
    return shares


@pytest.mark.task("comparison", weight=2)
@pytest.mark.parametrize("way", ["linear_probe", "fine_tune"])
def test_transfer_learns_from_five_images(accuracies, way):
    """learn: the docstring says what share of unseen images the linear probe and fine-tuning must get right."""
    expect.at_least(accuracies[way][0], 0.80, f"learn('{way}'): share of unseen images that are right")


@pytest.mark.task("comparison", weight=2)
def test_transfer_is_compared_with_an_honest_scratch(accuracies):
    """learn: the docstring says by how much the linear probe must beat scratch, and what each way must have learned."""
    for way, (_, seen, _) in accuracies.items():
        expect.at_least(seen, 0.80, f"learn('{way}'): share of its training images that are right")
    gain = accuracies["linear_probe"][0] - accuracies["scratch"][0]
    expect.at_least(gain, 0.10, "learn: gain of the linear probe over scratch")


@pytest.mark.task("comparison")
def test_a_training_is_quick(accuracies):
    """learn: the docstring says how many CPU seconds a call may take."""
    for way, (*_, seconds) in accuracies.items():
        expect.at_most(seconds, 3.0, f"learn('{way}'): CPU seconds of a call")


@probe
def true_comparison(student, weights, arrays, options):
    """Compare twice; make its rows again with the student's own functions; note steps, rates and what is written."""
    from torch.optim.optimizer import register_optimizer_step_pre_hook

    folder = tempfile.mkdtemp()
    paths = [os.path.join(folder, name) for name in ("weights.pt", "images.npz")]
    state = {name: torch.from_numpy(value) for name, value in weights.items()}
    torch.save(state, paths[0])
    np.savez(paths[1], **arrays)
    tables, rates = [], {"compare": [], "learn": []}

    def watch(name):
        def look(optimizer, _args, _kwargs):
            rates[name].append(max(float(group["lr"]) for group in optimizer.param_groups))

        return register_optimizer_step_pre_hook(look)

    for number in range(2):
        torch.manual_seed(number)
        np.random.seed(number)
        rates["compare"].clear()
        hook = watch("compare")
        try:
            table = student.compare(student.Config(*paths, os.path.join(folder, "out"), **options))
        finally:
            hook.remove()
        tables.append([
            (
                str(row.way), int(row.size), np.asarray(row.predictions), [float(value) for value in row.accuracies],
                float(row.mean), float(row.std),
            )
            for row in table
        ])  # fmt: skip
    written = sorted(os.listdir(folder))
    x, test = (
        np.ascontiguousarray((arrays[name] / 255).astype(np.float32).transpose(0, 3, 1, 2))
        for name in ("train", "test")
    )
    names, y = np.unique(arrays["train_labels"], return_inverse=True)
    made = {}
    hook = watch("learn")
    try:
        for way in ("scratch", "linear_probe", "fine_tune"):
            for size in options["sizes"]:
                for seed in range(options["seed"], options["seed"] + options["n_seeds"]):
                    chosen = np.asarray(student.few_per_class(arrays["train_labels"], size, seed))
                    training = {name: options[name] for name in ("epochs", "batch_size", "lr")}
                    model = student.learn(way, state, x[chosen], y[chosen], len(names), seed=seed, **training)
                    with torch.no_grad():
                        found = names[model(torch.from_numpy(test)).argmax(dim=1).numpy()]
                    made.setdefault((way, size), []).append(found)
    finally:
        hook.remove()
    effort = {name: (len(values), max(values, default=0.0)) for name, values in rates.items()}
    return tables, written, (made, effort)


@pytest.fixture(scope="module")
def comparison(student, seed):
    """A comparison in which half of the labels of the test images are wrong: only the judge knows the true ones."""
    (x, y), (unseen, truth) = _new_shapes(9, [seed, 8]), _new_shapes(30, [seed, 9])
    names = np.array([40, -2, 7])
    given = truth.copy()
    given[::2] = (given[::2] + 1) % 3
    arrays = {"train": _raw(x), "train_labels": names[y], "test": _raw(unseen), "test_labels": names[given]}
    options = {"epochs": 6, "batch_size": 5, "lr": 0.02, "seed": 3, "sizes": [6, 2], "n_seeds": 2}
    found = true_comparison(student, shapes7_weights(), arrays, options)
    return *found, names[truth], names[given], names


@pytest.mark.task("comparison", weight=4)
def test_the_numbers_of_a_comparison_are_true(comparison):
    """compare: accuracies are those of the predictions, with their mean and spread, in each way and at each size."""
    (table, again), written, _, _, given, names = comparison

    pairs = sorted((way, size) for way in ("scratch", "linear_probe", "fine_tune") for size in (2, 6))
    expect.equal(sorted((way, size) for way, size, *_ in table), pairs, "compare: ways and sizes of the rows")
    for way, size, predictions, accuracies, mean, std in table:
        what = f"compare: row of {way}, size {size}"
        expect.shape(predictions, (2, len(given)), f"{what}, predictions")
        expect.is_true(bool(np.isin(predictions, names).all()), "compare: a prediction is no label of the data file.")
        right = (predictions == given).mean(axis=1)
        expect.close(accuracies, right, f"{what}, accuracies", lists=True)
        expect.close(mean, float(right.mean()), f"{what}, mean")
        expect.close(std, float(right.std(ddof=1)), f"{what}, std", atol=1e-7)
    for (way, size, predictions, *_), (_, _, later, *_) in zip(
        sorted(table, key=_key), sorted(again, key=_key), strict=True
    ):
        expect.equal(later, predictions, f"compare, a second time: predictions of {way}, size {size}")
    expect.equal(written, ["images.npz", "weights.pt"], "compare: files beside its own input")


def _key(row):
    return row[:2]


@pytest.mark.task("comparison", weight=6)
def test_a_comparison_trains_on_what_was_drawn(comparison):
    """compare: seed, training set, rate, epochs and batches are those of the docstring, the same for all three ways."""
    (table, _), _, (made, effort), *_ = comparison

    rows = {(way, size): predictions for way, size, predictions, *_ in table}
    (steps, rate), (own_steps, own_rate) = effort["compare"], effort["learn"]
    expect.equal(steps, own_steps, "compare: steps of its trainings, beside those of the same calls of learn")
    expect.close(rate, own_rate, "compare: largest rate of its trainings, beside that of the same calls of learn")
    for (way, size), predictions in made.items():
        expect.is_true((way, size) in rows, f"compare: there is no row of {way} with size {size}.")
        expect.shape(rows[way, size], np.stack(predictions).shape, f"compare: predictions of {way}, size {size}")
        agree = float((rows[way, size] == np.stack(predictions)).mean())
        expect.is_true(
            agree > 0.97, f"compare: the predictions of {way} are not those of the networks that learn makes."
        )


@pytest.mark.task("comparison", weight=3)
def test_test_labels_do_not_help(comparison):
    """compare: the test labels are used for the accuracies and for nothing else; predictions are those of a network."""
    (table, _), _, _, truth, _, _ = comparison

    rows = {(way, size): predictions for way, size, predictions, *_ in table}
    expect.is_true(("linear_probe", 6) in rows, "compare: there is no row of linear_probe with size 6.")
    share = float((rows["linear_probe", 6] == truth).mean())
    expect.is_true(share > 0.7, "compare: the linear probe is not right on unseen images whose labels are unknown.")


@probe
def refused_comparison(student, weights, arrays):
    from torch.optim.optimizer import register_optimizer_step_pre_hook

    folder = tempfile.mkdtemp()
    paths = [os.path.join(folder, name) for name in ("weights.pt", "images.npz")]
    torch.save({name: torch.from_numpy(value) for name, value in weights.items()}, paths[0])
    np.savez(paths[1], **arrays)
    steps, said = [], []
    hook = register_optimizer_step_pre_hook(lambda *_: steps.append(1))
    try:
        for changes in (
            {"sizes": (1, 4)}, {"sizes": (4, 1)}, {"n_seeds": 1}, {"data": paths[0]}, {"weights": paths[1]},
        ):  # fmt: skip
            options = {
                "weights": paths[0],
                "data": paths[1],
                "out": os.path.join(folder, "out"),
                "epochs": 1,
                **changes,
            }
            try:
                student.compare(student.Config(**options))
                said.append("")
            except ValueError as error:
                said.append(str(error))
    finally:
        hook.remove()
    return said, len(steps)


@pytest.mark.task("comparison", weight=2)
def test_a_comparison_that_cannot_be_made_is_refused(student, rng):
    """compare: too few images for a size, a faulty config or a faulty file is a ValueError before any training."""
    images = rng.integers(0, 256, size=(8, 8, 8, 3)).astype(np.uint8)
    labels = np.array([1, 2, 1, 2, 1, 2, 1, 1])  # one class has too few, though there are enough images in all
    arrays = {"train": images, "train_labels": labels, "test": images, "test_labels": labels}

    said, steps = refused_comparison(student, shapes7_weights(), arrays)

    for name, text in zip(("sizes", "sizes", "n_seeds", "data", "weights"), said, strict=True):
        expect.is_true(name in text, f"compare: there is no ValueError that names {name}.")
    expect.equal(steps, 0, "compare with a fault: steps of training")


@probe
def picture(student, rows):
    """The lines, spreads, limits and words of a picture, and what pyplot holds."""
    import matplotlib.pyplot as plt
    from matplotlib.colors import to_rgba

    opened, shown = plt.get_fignums(), []
    show = plt.show
    plt.show = lambda *args, **kwargs: shown.append(1)
    table = [
        student.Row(way, size, np.zeros((2, 1), dtype=int), [mean, mean], mean, std) for way, size, mean, std in rows
    ]
    try:
        figure = student.plot_comparison(table)
    finally:
        plt.show = show
    left = len(set(plt.get_fignums()) - set(opened))
    figure.canvas.draw()
    axes = figure.axes[0]
    lines = [
        (np.asarray(line.get_xydata(), dtype=float), list(to_rgba(line.get_color())), line.get_linestyle())
        for line in axes.lines
    ]
    spreads = []
    for artist in axes.collections:
        colours = np.concatenate([artist.get_edgecolor(), artist.get_facecolor()]).reshape(-1, 4)
        for path in artist.get_paths():
            spreads.append((np.asarray(path.vertices, dtype=float), colours[:, :3].tolist()))
    legends = [legend for legend in (axes.get_legend(), *figure.legends) if legend is not None]
    return {
        "lines": lines,
        "spreads": spreads,
        "limits": [*sorted(axes.get_xlim()), *sorted(axes.get_ylim())],
        "labels": [axes.get_xlabel(), axes.get_ylabel()],
        "legend": [text.get_text() for legend in legends for text in legend.get_texts()],
        "open": left,
        "rows": [(row.way, row.size) for row in table],
        "shown": len(shown),
    }


@pytest.mark.task("comparison", weight=4)
def test_a_picture_shows_means_and_spread(student, rng):
    """plot_comparison: a line for each way in order of size, its spread in its colour, labels, legend, nothing cut."""
    sizes, names = [1, 4, 30], ["linear_probe", "scratch", "fine_tune"]
    rows = [(way, size, float(rng.uniform(0.2, 0.8)), float(rng.uniform(0.05, 0.3))) for way in names for size in sizes]
    rows[0], rows[-1] = (*rows[0][:2], 0.1, 0.2), (*rows[-1][:2], 0.95, 0.2)  # both spreads leave 0 to 1
    shuffled = [rows[index] for index in rng.permutation(len(rows))]

    seen = picture(student, shuffled)

    low_x, high_x, low_y, high_y = seen["limits"]
    colours = []
    for way in names:
        own = [row for row in rows if row[0] == way]
        want = np.array([[size, mean] for _, size, mean, _ in own])
        found = [case for case in seen["lines"] if case[0].shape == want.shape and np.allclose(case[0], want)]
        expect.is_true(bool(found), f"plot_comparison: no line goes through the means of {way}, in order of size.")
        is_line = any(style not in ("None", "none", " ", "") for *_, style in found)
        expect.is_true(is_line, f"plot_comparison: the means of {way} are points without a line.")
        fitting = [colour for _, colour, _ in found]
        colours.append(tuple(fitting[0][:3]))
        for _, size, mean, std in own:
            for end in (mean - std, mean + std):
                near = [
                    colour
                    for points, several in seen["spreads"]
                    if (np.isclose(points[:, 0], size) & np.isclose(points[:, 1], end, atol=1e-6)).any()
                    for colour in several
                ]
                expect.is_true(
                    bool(near), f"plot_comparison: the spread of {way} is not drawn from mean - std to mean + std."
                )
                is_own = any(np.allclose(colour, fitting[0][:3], atol=1e-3) for colour in near)
                expect.is_true(is_own, f"plot_comparison: the spread of {way} has not the colour of its line.")
                is_inside = low_x <= size <= high_x and low_y - 1e-9 <= end <= high_y + 1e-9
                expect.is_true(is_inside, "plot_comparison: the limits of the axes cut something off.")
        is_named = sum(way in text.strip().replace(" ", "_") for text in seen["legend"]) == 1
        expect.is_true(is_named, f"plot_comparison: the legend has not one entry for {way}.")
    expect.equal(len(set(colours)), 3, "plot_comparison: different colours of three lines")
    expect.is_true(all(text.strip() for text in seen["labels"]), "plot_comparison: an axis has no label.")
    expect.equal(seen["rows"], [row[:2] for row in shuffled], "plot_comparison: rows of the table, afterwards")
    expect.equal([seen["open"], seen["shown"]], [0, 0], "plot_comparison: figures that stay open, calls of plt.show")


# ------------------------------------------------------------------------------------------------------------
# P3.6  The whole project in one call
# ------------------------------------------------------------------------------------------------------------


@probe
def config_refusals(student, faults):
    folder = tempfile.mkdtemp()
    path = os.path.join(folder, "a file")
    with open(path, "w") as file:
        file.write("check_config does not look into files")
    said = []
    for fault in faults:
        values = {"weights": path, "data": path, "out": os.path.join(folder, "out"), **fault}
        known = {"a file": path, "a folder": folder}
        values = {name: known.get(value, value) if isinstance(value, str) else value for name, value in values.items()}
        try:
            student.check_config(student.Config(**values))
        except ValueError as error:
            said.append(str(error))
        except NotImplementedError:
            raise
        except Exception:
            said.append("")
        else:
            said.append(None)
    return said


@pytest.mark.task("run", weight=5)
def test_each_fault_of_a_config_is_named(student):
    """check_config: a ValueError names the field, for values out of range and of another type; others pass."""
    good = [
        {}, {"epochs": 1}, {"batch_size": 1}, {"lr": 1}, {"lr": 1e-6}, {"seed": 0}, {"seed": 10**6}, {"sizes": (1,)},
        {"sizes": [3, 2, 50]}, {"n_seeds": 2}, {"lr": 5.0}, {"out": "a folder"},
    ]  # fmt: skip
    bad = [
        {"epochs": 0}, {"epochs": -3}, {"epochs": 2.0}, {"epochs": True}, {"epochs": "3"}, {"batch_size": 0},
        {"batch_size": None}, {"lr": 0.0}, {"lr": -1.0}, {"lr": float("inf")}, {"lr": float("nan")}, {"lr": True},
        {"lr": "0.1"}, {"seed": -1}, {"seed": 1.5}, {"sizes": ()}, {"sizes": (3, 0)}, {"sizes": (3, 2.0)}, {"sizes": 5},
        {"sizes": (True, 2)}, {"sizes": None}, {"n_seeds": 1}, {"n_seeds": 3.0}, {"data": "missing.npz"},
        {"weights": "missing.pt"}, {"weights": None}, {"out": "a file"}, {"out": 3}, {"out": None},
        {"weights": "a folder"}, {"data": "a folder"}, {"data": None}, {"batch_size": True}, {"batch_size": 2.0},
        {"batch_size": "2"}, {"seed": True}, {"seed": "1"}, {"n_seeds": "3"}, {"n_seeds": True}, {"lr": None},
        {"sizes": "12"}, {"sizes": {1, 2}}, {"sizes": (-1,)}, {"sizes": ("1",)},
    ]  # fmt: skip

    said = config_refusals(student, good + bad)

    for config, text in zip(good, said, strict=False):
        name = next(iter(config), "nothing special")
        expect.equal(text, None, f"check_config of an allowed config ({name}): its error")
    for config, text in zip(bad, said[len(good) :], strict=True):
        (name,) = config
        expect.is_true(text is not None, f"check_config: a value of {name} that is not allowed passes.")
        expect.is_true(name in text, f"check_config: there is no ValueError that names a faulty {name}.")


@probe
def bad_files(student, weights, arrays, states):
    """Run with faulty files; note the errors, the steps of training, and whether the folder was made."""
    from torch.optim.optimizer import register_optimizer_step_pre_hook

    root = tempfile.mkdtemp()
    good = {
        "weights": {name: torch.from_numpy(value) for name, value in weights.items()},
        "data": arrays[0],
    }
    cases = [("data", held) for held in arrays[1:]] + [("data", None)]
    for change in states:
        state = dict(good["weights"])
        for name, value in change.items():
            if value is None:
                del state[name]
            else:
                state[name] = torch.from_numpy(value)
        cases.append(("weights", state))
    cases += [("weights", None), ("weights", [1, 2])]
    steps, told, made = [], [], []
    hook = register_optimizer_step_pre_hook(lambda *_: steps.append(1))
    try:
        for number, (field, content) in enumerate(cases):
            folder = os.path.join(root, str(number))
            os.mkdir(folder)
            held = {**good, field: content}
            paths = {name: os.path.join(folder, f"{place}.file") for place, name in enumerate(held)}
            for name, value in held.items():
                with open(paths[name], "wb") as file:
                    if value is None:
                        file.write(b"these are no arrays")
                    elif name == "data":
                        np.savez(file, **value)
                    else:
                        torch.save(value, file)
            out = os.path.join(folder, "out")
            try:
                student.run(student.Config(paths["weights"], paths["data"], out, epochs=1))
                told.append((field, False))
            except ValueError as error:
                told.append((field, field in str(error)))
            except NotImplementedError:
                raise
            except Exception:
                told.append((field, False))
            made.append(os.path.exists(out))
    finally:
        hook.remove()
    return told, len(steps), any(made)


@pytest.mark.task("run", weight=4)
def test_a_faulty_file_is_refused(student, rng):
    """run: a file that is not as Config says is a ValueError that names its field, before training and before out."""
    images = rng.integers(0, 256, size=(6, 8, 8, 3)).astype(np.uint8)
    labels = np.array([4, 9, 4, 9, 4, 9])
    good = {"train": images, "train_labels": labels, "test": images, "test_labels": labels}
    changes = [
        {"train": images.astype(np.float32)}, {"test": images.astype(np.int64)}, {"train": images[..., :1]},
        {"test": images[0]}, {"train": images.transpose(0, 3, 1, 2)}, {"train_labels": labels[:-1]},
        {"train_labels": labels.astype(np.float64)}, {"train_labels": labels * 0 + 4, "test_labels": labels * 0 + 4},
        {"test_labels": labels + 1}, {"test_labels": labels[:, None]},
    ]  # fmt: skip
    arrays = [good, *({**good, **change} for change in changes)]
    arrays += [{name: value for name, value in good.items() if name != left} for left in good]
    weights = shapes7_weights()
    states = [
        {"backbone.4.weight": None}, {"backbone.9.running_var": None},
        {"backbone.0.weight": weights["backbone.0.weight"][:, :1].copy()},
        {"backbone.8.weight": weights["backbone.8.weight"] * np.float32(np.nan)},
    ]  # fmt: skip

    told, steps, is_made = bad_files(student, weights, arrays, states)

    for field, is_named in told:
        expect.is_true(
            is_named, f"run: for some fault of the file of {field} there is no ValueError that names {field}."
        )
    expect.equal(steps, 0, "run with a faulty file: steps of training")
    expect.is_true(not is_made, "run: with a faulty file it makes the folder out.")


@probe
def several_runs(student, weights, arrays, other, shown, unseen, stop):
    """Run a small config in several folders, with and without a stop; count the steps of training, note the rates."""
    from matplotlib.figure import Figure
    from torch.optim.optimizer import register_optimizer_step_pre_hook

    steps, limit, rates = [0], [None], []

    def count(optimizer, _args, _kwargs):
        if steps[0] == limit[0]:
            raise outage.Stop
        steps[0] += 1
        rates.extend(float(group["lr"]) for group in optimizer.param_groups)

    def no_picture(*_args, **_kwargs):
        raise outage.Stop

    def is_outage_in_save():
        return limit[0] == "save" and steps[0] >= stop

    root = tempfile.mkdtemp()
    paths = [os.path.join(root, name) for name in ("weights.pt", "images.npz")]
    state = {name: torch.from_numpy(value) for name, value in weights.items()}
    twisted = {name: value.flip(0) if value.dim() else value for name, value in state.items()}
    here, old, found, save = os.path.join(root, "here"), os.getcwd(), {}, Figure.savefig
    os.mkdir(here)
    os.chdir(here)
    os.mkdir(os.path.join(root, "b"))
    for name in ("model.pt", "results.json", "confusion.png"):
        with open(os.path.join(root, "b", name), "w") as file:
            file.write("of another program")
    hook = register_optimizer_step_pre_hook(count)
    try:
        plan = [
            ("whole", "a", {}, arrays, None), ("stopped", "c", {}, arrays, stop), ("resumed", "c", {}, arrays, None),
            ("finished", "c", {}, arrays, None), ("other", "a", {"seed": 5}, arrays, None),
            ("content", "a", {"seed": 5}, other, None), ("fresh", "b", {"seed": 5}, other, None),
            ("back", "a", {}, arrays, None), ("shown", "d", {}, shown, None), ("twisted", "d", {}, shown, None),
            ("fewer", "d", {"epochs": 2}, shown, None), ("unwritten", "e", {}, arrays, "picture"),
            ("written", "e", {}, arrays, None), ("slower", "c", {"lr": 0.01}, arrays, None),
            ("larger", "c", {"lr": 0.01, "batch_size": 7}, arrays, None),
            ("shorter", "c", {"lr": 0.01, "batch_size": 7, "epochs": 2}, arrays, None),
            ("halved", "f", {}, arrays, "save"), ("recovered", "f", {}, arrays, None),
        ]  # fmt: skip
        for number, (name, folder, changes, held, at) in enumerate(plan):
            torch.save(twisted if name == "twisted" else state, paths[0])
            np.savez(paths[1], **held)
            torch.manual_seed(number)
            np.random.seed(number)
            steps[0], limit[0] = 0, at
            rates.clear()
            out = os.path.join(root, folder)
            options = {"epochs": 4, "batch_size": 4, "lr": 0.03, "seed": 2, **changes}
            Figure.savefig = no_picture if at == "picture" else save
            try:
                with outage.in_save(is_outage_in_save):
                    results = student.run(student.Config(*paths, out, **options))
            except outage.Stop:
                found[name] = None
                continue
            except Exception:
                if name != "recovered":
                    raise
                found[name] = None
                continue
            finally:
                Figure.savefig = save
            numbers = [float(results.accuracy), *(float(value) for value in results.recall)]
            found[name] = (
                [int(label) for label in results.classes],
                numbers,
                steps[0],
                np.asarray(student.predict(out, unseen)),
                max(rates, default=0.0),
            )
    finally:
        hook.remove()
        os.chdir(old)
    files = sorted(os.path.relpath(os.path.join(at, name), root) for at, _, names in os.walk(root) for name in names)
    folders = {"a": "back", "b": "fresh", "c": "shorter", "e": "written"}
    outside = [name for name in files if name.split(os.sep)[0] not in (*folders, "d", "f", "images.npz", "weights.pt")]
    written, pictures = dict.fromkeys(folders.values()), []
    for folder, name in folders.items():
        if os.path.join(folder, "results.json") in files:
            with open(os.path.join(root, folder, "results.json")) as file:
                text = file.read()
            written[name] = json.loads(text) if text[:1] == "{" else None
        pictures.append(False)
        if os.path.join(folder, "confusion.png") in files:
            with open(os.path.join(root, folder, "confusion.png"), "rb") as file:
                pictures[-1] = file.read(4) == b"\x89PNG"
    return found, outside, written, all(pictures)


@pytest.fixture(scope="module")
def runs(student, seed):
    (x, y), (test, truth), (unseen, _) = (_new_shapes(n, [seed, 10, n], noise=0.08) for n in (5, 6, 20))
    names = np.array([11, 300, -4])
    arrays = {
        "train": _raw(x)[:14], "train_labels": names[y[:14]].astype(np.int32),
        "test": _raw(test)[truth < 2], "test_labels": names[truth[truth < 2]],
    }  # fmt: skip
    other = {**arrays, "train_labels": np.roll(arrays["train_labels"], 1)}
    # test images of another domain, with labels that are wrong
    shown = {**arrays, "test": 255 - arrays["test"][:7] // 2, "test_labels": np.full(7, -4)}
    return *several_runs(student, shapes7_weights(), arrays, other, shown, _raw(unseen), 10), arrays


@pytest.mark.task("run", weight=5)
def test_a_run_is_decided_by_its_config(runs):
    """run: config and content of the files decide everything, not the folder, what is in it, or global states."""
    found, *_ = runs

    is_whole = all(
        found[name] is not None for name in found if name not in ("stopped", "unwritten", "halved", "recovered")
    )
    expect.is_true(is_whole, "run: it was stopped before its end.")
    whole = found["whole"]
    for name, what in (("resumed", "in another folder"), ("back", "after runs with other configs in the folder")):
        expect.close(found[name][1], whole[1], f"run, {what}: Results", lists=True)
        expect.equal(found[name][3], whole[3], f"run, {what}: predictions")
    for name, what in (
        ("other", "another seed"),
        ("content", "another content of the data file"),
        ("twisted", "another content of the weights file"),
    ):
        expect.equal(found[name][2], whole[2], f"run with {what} in a used folder: steps of training")
    for name, what, least in (("slower", "lr", 16), ("larger", "batch_size", 8), ("shorter", "epochs", 4)):
        expect.is_true(found[name][2] >= least, f"run with another {what} in a used folder: it trains too little.")
    expect.equal(found["content"][3], found["fresh"][3], "run with another content of the data file: predictions")


@pytest.mark.task("run", weight=2)
def test_a_run_takes_rate_epochs_and_batches_from_its_config(runs):
    """run: epochs, batch_size and lr of the config decide how long and how fast it learns."""
    found, *_ = runs
    whole, fewer = found["whole"], found["fewer"]

    expect.is_true(whole is not None and fewer is not None, "run: it was stopped before its end.")
    expect.is_true(whole[2] >= 16, "run: four epochs of four batches have too few steps.")
    expect.is_true(fewer[2] < whole[2], "run: with half of the epochs it has as many steps.")
    expect.is_true(whole[4] <= 0.03 * (1 + 1e-6), "run: the rate of a step is above config.lr.")
    expect.is_true(whole[4] >= 0.015, "run: no step has a rate near config.lr.")


@pytest.mark.task("run", weight=3)
def test_test_images_decide_nothing_but_numbers(runs):
    """run: with other test images and labels, predict says the same."""
    found, *_ = runs

    expect.is_true(found["whole"] is not None and found["shown"] is not None, "run: it was stopped before its end.")
    expect.equal(found["shown"][3], found["whole"][3], "run with other test images: predictions")


@pytest.mark.task("run", weight=8)
def test_a_stopped_run_goes_on(runs):
    """run: after a stop it repeats at most the epoch of the stop, and the end is the same; a complete run rests."""
    found, *_ = runs
    whole, resumed, finished, written = (found[name] for name in ("whole", "resumed", "finished", "written"))

    expect.is_true(
        whole is not None and found["stopped"] is None, "run: it went on after an error in a step, or stopped."
    )
    expect.is_true(whole[2] > 10, "run: it has too few steps to be stopped in its third epoch.")
    repeated = 10 + resumed[2] - whole[2]
    expect.is_true(0 <= repeated <= 3, "run: after a stop it does not go on with the epoch in which it was stopped.")
    recovered = found["recovered"]
    expect.is_true(recovered is not None, "run: after a stop while a file was written it does not come to its end.")
    again = found["halved"] is None  # a student who does not use torch.save was not stopped
    expect.is_true(not again or recovered[2] <= whole[2] - 4, "run, stopped while it wrote a file: it starts again.")
    expect.equal(finished[2], 0, "run, already complete: steps of training")
    expect.is_true(written[2] <= 4, "run, stopped when it was drawing: it does more than an epoch again.")
    for what, case in (
        ("after a stop", resumed),
        ("already complete", finished),
        ("stopped when it was drawing", written),
        ("stopped while it wrote a file", recovered),
    ):
        expect.close(case[1], whole[1], f"run, {what}: Results", lists=True)
        expect.equal(case[3], whole[3], f"run, {what}: predictions")


@probe
def measured_run(student, weights, arrays):
    """Run, move the folder, delete the input, and predict in it, alone and in company."""
    from pathlib import Path

    root = tempfile.mkdtemp()
    paths = [os.path.join(root, name) for name in ("weights.pt", "images.npz")]
    torch.save({name: torch.from_numpy(value) for name, value in weights.items()}, paths[0])
    np.savez(paths[1], **arrays)
    out, moved = os.path.join(root, "out"), os.path.join(root, "moved")
    results = student.run(student.Config(*paths, out, epochs=8))
    shutil.move(out, moved)
    for path in paths:
        os.remove(path)
    test = arrays["test"]
    found = np.asarray(student.predict(moved, test))
    alone = np.concatenate([np.asarray(student.predict(Path(moved), test[k : k + 1])) for k in range(12)])
    numbers = float(results.accuracy), [float(value) for value in results.recall]
    return [int(label) for label in results.classes], numbers, found, alone


@pytest.mark.task("run", weight=4)
def test_the_numbers_of_a_run_are_true(student, runs, seed):
    """run: accuracy and recall are those of predict on the test images, for any labels, and results.json agrees."""
    _, outside, written, is_picture, _ = runs
    (x, y), (test, truth) = (_new_shapes(n, [seed, 11, n], noise=0.08) for n in (4, 15))
    names = np.array([900, -7, 12])
    keep = truth != 1  # no test image of the class in the middle
    given = names[truth[keep]]
    given[np.flatnonzero(given == 900)[::3]] = 12  # so accuracy and the mean of the recalls differ
    arrays = {"train": _raw(x), "train_labels": names[y], "test": _raw(test)[keep], "test_labels": given}

    classes, (accuracy, recall), found, alone = measured_run(student, shapes7_weights(), arrays)

    expect.equal(classes, [-7, 12, 900], "run: classes")
    expect.shape(found, given.shape, "predict")
    expect.is_true(bool(np.isin(found, names).all()), "predict: a label that the data file does not have.")
    expect.equal(alone, found[:12], "predict, one image at a time, in a folder that was moved")
    expect.close(accuracy, float((found == given).mean()), "run: accuracy")
    expect.equal(len(recall), 3, "run: numbers of recall")
    expect.is_true(recall[0] != recall[0], "run: recall of a class without test images is not nan.")
    for place, label in ((1, 12), (2, 900)):
        want = float((found[given == label] == label).mean())
        expect.close(recall[place], want, "run: recall of a class with test images")
    expect.equal(outside, [], "run: files outside of the folder out")
    expect.equal(is_picture, True, "run: whether confusion.png is a PNG file in each folder, new and used")
    for name, content in written.items():
        expect.is_true(type(content) is dict, "run: results.json is missing, is old, or holds no object.")
        results = runs[0][name]
        expect.is_true(results is not None, "run: it was stopped before its end.")
        expect.equal(content.get("classes"), results[0], "run: classes in results.json")
        expect.close(content.get("accuracy"), results[1][0], "run: accuracy in results.json")


@probe
def predicted(student, weights, draws):
    """Run with the default config on each draw; return the labels of the unseen images, and CPU seconds."""
    import time

    root = tempfile.mkdtemp()
    state = os.path.join(root, "weights.pt")
    torch.save({name: torch.from_numpy(value) for name, value in weights.items()}, state)
    found, longest = [], 0.0
    for number, (arrays, unseen) in enumerate(draws):
        data, out = (os.path.join(root, f"{number}{end}") for end in (".npz", ""))
        np.savez(data, **arrays)
        start = time.process_time()
        student.run(student.Config(state, data, out))
        longest = max(longest, time.process_time() - start)
        found.append(np.asarray(student.predict(out, unseen)))
    return found, longest


def _share(student, seed, numbers, change=lambda x: x):
    """The mean share of unseen images that runs on these draws get right, and CPU seconds. Test labels are wrong."""
    draws, truths = [], []
    for number in numbers:
        (x, y), (unseen, truth) = _new_shapes(10, [seed, 12, number]), _new_shapes(80, [seed, 13, number])
        x, unseen = _raw(change(x)), _raw(change(unseen))
        decoy = {"test": unseen[:60], "test_labels": (truth[:60] + 1) % 3 + 7}
        draws.append(({"train": x, "train_labels": y + 7, **decoy}, unseen[60:]))
        truths.append(truth[60:] + 7)
    found, longest = predicted(student, shapes7_weights(), draws)
    for labels, truth in zip(found, truths, strict=True):
        expect.shape(labels, truth.shape, "predict")
    return float(np.mean([(labels == truth).mean() for labels, truth in zip(found, truths, strict=True)])), longest


@pytest.fixture(scope="module")
def share(student, seed):
    return _share(student, seed, range(3))


@pytest.mark.task("run", weight=9)
@pytest.mark.parametrize("floor", [0.75, 0.85, 0.90])
def test_new_classes_are_learned_from_ten_images_each(share, floor):
    """run: the docstring says which shares of unseen images earn which part of the points."""
    expect.at_least(share[0], floor, "run: share of unseen images that are right")


@pytest.mark.task("run")
def test_a_run_is_quick(share):
    """run: the docstring says how many CPU seconds a run may take."""
    expect.at_most(share[1], 15.0, "run: CPU seconds")


@pytest.mark.task("run", weight=5)
def test_another_domain_is_learned_too(student, seed):
    """run: the docstring says which share of unseen images must be right in another domain."""
    share, _ = _share(student, seed, [3], lambda x: 0.1 * x)

    expect.at_least(share, 0.85, "run, in another domain: share of unseen images that are right")
