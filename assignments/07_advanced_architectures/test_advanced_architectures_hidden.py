"""Hidden tests of the advanced architectures: torch's own attention and Transformer are the oracles, in the judge."""

import itertools

import numpy as np
import pytest
import torch
from sequences import moving_shapes, reversals
from torch import nn
from torch.nn import functional as F

from autograder import expect, probe
from dlcourse import spies
from dlcourse.data import fresh_digits

# ------------------------------------------------------------------------------------------------------------
# What several tasks share
# ------------------------------------------------------------------------------------------------------------


@probe
def computed(student, make, args, state, inputs, options, cotangents=None, dtype="float64"):
    """Make a module, set its parameters (of an attention in either form), compute, and go back.

    Returns what was wrong ("" if nothing), the outputs, and the gradients of inputs and of parameters.
    """
    module = getattr(student, make)(*args).to(getattr(torch, dtype)).train()
    own = dict(module.named_parameters())
    wanted = {}
    for name, value in state.items():
        prefix, packed, last = name.rpartition("in_proj_")
        if name in own or not packed:
            wanted[name] = value
        else:
            for part, rows in zip("qkv", value.chunk(3), strict=True):
                wanted[f"{prefix}{part}_proj.{last}"] = rows
    for name, value in wanted.items():
        if name not in own:
            return f"it has no parameter {name!r}.", (), [], {}
        if own[name].shape != value.shape:
            return f"its parameter {name!r} has the shape {tuple(own[name].shape)}.", (), [], {}
    further = sorted(set(own) - set(wanted))
    if further and state:
        return f"it has a parameter {further[0]!r}, which its docstring does not name.", (), [], {}
    with torch.no_grad():
        for name, value in wanted.items():
            own[name].copy_(value)
    given = [x.clone().requires_grad_() if cotangents is not None else x for x in inputs]
    found = module(*given, **options)
    found = tuple(found) if isinstance(found, (tuple, list)) else (found,)
    grads, of_parameters = [], {}
    if cotangents is not None:
        total = sum((out * cotangent).sum() for out, cotangent in zip(found, cotangents, strict=False))
        total.backward()
        grads = [torch.zeros_like(x) if x.grad is None else x.grad for x in given]
        of_parameters = {
            name: torch.zeros_like(p) if p.grad is None else p.grad for name, p in module.named_parameters()
        }
    return "", tuple(out.detach() for out in found), grads, of_parameters


def _made(found, what):
    """Outputs and gradients of `computed`, if the module was as it should be."""
    expect.is_true(found[0] == "", f"{what}: {found[0]}")
    return found[1], found[2]


def _normal(rng, *shape):
    return torch.from_numpy(rng.normal(size=shape))


def _scrambled(module, rng):
    """Give a module of torch random parameters, biases and norms included; return it in float64."""
    module = module.double()
    with torch.no_grad():
        for parameter in module.parameters():
            scale = 0.6 / parameter.shape[-1] ** 0.5 if parameter.dim() > 1 else 0.5
            parameter.copy_(torch.from_numpy(rng.normal(scale=scale, size=tuple(parameter.shape))))
            if parameter.dim() == 1:
                parameter.add_(0.3)
    return module


def _state(module):
    return {name: value.detach().clone() for name, value in module.named_parameters()}


def _compare(found, want_outputs, want_grads, what):
    outputs, grads = found
    for got, want in zip(outputs, want_outputs, strict=False):
        expect.close(got, want, what, rtol=1e-6, atol=1e-8)
    for number, (got, want) in enumerate(zip(grads, want_grads, strict=True)):
        expect.close(got, want, f"{what}: gradient of input {number + 1}", rtol=1e-5, atol=1e-7)


def _oracle(function, inputs, cotangent):
    """Output of an oracle, and the gradients of its inputs."""
    given = [x.clone().requires_grad_() for x in inputs]
    out = function(*given)
    return out.detach(), torch.autograd.grad((out * cotangent).sum(), given)


@probe
def watched_training(student, fit, x, answers, data, options, seeds, scale):
    """Train a model that cannot learn and looks at what it is given: the first number of a row says which row it is."""

    class Watcher(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(3))
            self.inner = nn.Sequential(nn.Dropout(0.5))
            self.seen = []

        def forward(self, given):
            if torch.is_grad_enabled():
                is_training = all(part.training for part in self.modules())
                self.seen.append((given.detach().clone(), is_training))
            rows = (given.detach().flatten(1)[:, 0].double() / scale).round().long()
            return answers[rows] + 0.0 * self.weight.sum()

    found = []
    for number, seed in enumerate(seeds):
        torch.manual_seed(50 + number)
        np.random.seed(50 + number)
        model = Watcher().eval()
        losses = getattr(student, fit)(model, x, *data, seed=seed, **options)
        modes = [part.training for part in model.modules()]
        seen = torch.cat([rows for rows, _ in model.seen]) if model.seen else torch.zeros(0)
        found.append((list(losses), seen, all(mode for _, mode in model.seen), modes, len(model.seen)))
    return found


@probe
def watched_steps(student, fit, x, data, sizes, options):
    """Train a small network twice; note left-over gradients, and its parameters before and after."""
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(sizes[0], 5), nn.Tanh(), nn.Linear(5, sizes[1]))
    values = [[p.detach().clone() for p in model.parameters()]]
    with spies.watched() as notes:
        for _ in range(2):
            losses = getattr(student, fit)(model, x, *data, **options)
            values.append([p.detach().clone() for p in model.parameters()])
    moved = [not torch.equal(one, other) for one, other in zip(values[0], values[1], strict=True)]
    return notes.left_over, moved, list(losses)


def _followers(order, other):
    """How often two entries follow each other in one order as in the other; of two random ones about once."""
    return len(set(itertools.pairwise(order)) & set(itertools.pairwise(other)))


def _judge_rounds(runs, fit, n, epochs, losses, scale):
    """Judge three trainings of a watcher on n rows, of which the first two have the same seed."""
    orders = []
    for got, seen, in_training, modes, calls in runs:
        expect.equal(len(got), epochs, f"{fit}: number of losses")
        for loss in got:
            expect.is_true(isinstance(loss, float), f"{fit}: a loss is no float.")
            expect.close(loss, losses, f"{fit} (mean loss of an epoch)", rtol=2e-5)
        expect.equal(len(seen), n * epochs, f"{fit}: rows that the model was given")
        order = (seen.flatten(1)[:, 0].double() / scale).round().long().tolist()
        for epoch in range(epochs):
            part = order[n * epoch : n * (epoch + 1)]
            expect.equal(sorted(part), list(range(n)), f"{fit}: rows of epoch {epoch + 1}")
        expect.is_true(calls > epochs, f"{fit}: all rows are in one batch.")
        expect.is_true(in_training, f"{fit}: the model, or a layer of it, is not in train mode.")
        expect.equal(modes, [False] * len(modes), f"{fit}: training of the model and its layers afterwards")
        orders.append([order[n * epoch : n * (epoch + 1)] for epoch in range(epochs)])
    first, again, other = orders
    expect.is_true(first == again, f"{fit}: the same seed gives another order.")
    expect.is_true(torch.equal(runs[0][1], runs[1][1]), f"{fit}: the same seed gives the model other inputs.")
    expect.is_true(_followers(first[0], other[0]) < 15, f"{fit}: another seed gives the same order.")
    for one, two in itertools.combinations([*first, list(range(n))], 2):
        expect.is_true(_followers(one, two) < 15, f"{fit}: the rows come in an order that is not new in each epoch.")


@probe
def recorded_training(student, fit, x, data, sizes, epochs):
    """Train one linear layer; note what it was given, what it said, and the gradient that came back to that."""

    class Recorder(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(*sizes)
            self.notes = []

        def forward(self, given):
            out = self.layer(given)
            if torch.is_grad_enabled():
                note = [given.detach().clone(), out.detach().clone(), torch.zeros_like(out)]
                self.notes.append(note)
                out.register_hook(lambda grad: note[2].copy_(grad))
            return out

    torch.manual_seed(3)
    model = Recorder()
    weight, bias = (p.detach().clone() for p in model.layer.parameters())
    losses = getattr(student, fit)(model, x, *data, epochs=epochs)
    said = model.notes[0][0] @ weight.T + bias if model.notes else torch.zeros(0)
    return list(losses), model.notes, said


def _judge_record(found, fit, n, epochs, loss_of):
    """Judge a recorded training on rows whose first number is 0.01 times their own; loss_of gives sum and count."""
    losses, notes, said = found
    expect.equal(len(losses), epochs, f"{fit}: number of losses")
    expect.equal(sum(len(given) for given, _, _ in notes), n * epochs, f"{fit}: rows that the model was given")
    what = f"{fit}: what the model says of the first batch (it is trained from the state that it is in)"
    expect.close(notes[0][1], said, what, rtol=1e-4, atol=1e-5)
    paid, counted, seen, means = 0.0, 0, 0, []
    for given, out, grad in notes:
        rows = (given.flatten(1)[:, 0].double() / 0.01).round().long()
        out = out.double().requires_grad_()
        total, count = loss_of(out, rows)
        (want,) = torch.autograd.grad(total / count, out)
        scale = float(want.abs().max()) + 1e-12
        expect.close(grad.double() / scale, want / scale, f"{fit}: gradient of the loss of a batch, over its largest",
                     rtol=1e-3, atol=1e-4)  # fmt: skip
        paid, counted, seen = paid + float(total.detach()), counted + count, seen + len(rows)
        if seen % n == 0:
            means.append(paid / counted)
            paid, counted = 0.0, 0
    for got, want in zip(losses, means, strict=True):
        expect.close(got, want, f"{fit} (mean loss of an epoch, as it was during training)", rtol=1e-4)


def _squares(clean):
    def loss_of(out, rows):
        return ((out - torch.from_numpy(clean)[rows].double()) ** 2).sum(), out.numel()

    return loss_of


@probe
def passes_in_training(student, make, args, x):
    """Two passes of a fresh module in train mode, and what decode says of encode, if it has these."""
    torch.manual_seed(8)
    model = getattr(student, make)(*args).train()
    with torch.no_grad():
        again = model.decode(model.encode(x)) if hasattr(model, "decode") else model(x)
        return model(x), model(x), again


def _judge_passes(found, what):
    one, two, again = found
    expect.close(two, one, f"{what} in train mode, a second time (there is no dropout)", rtol=1e-4, atol=1e-6)
    expect.close(again, one, f"{what} in train mode, computed again", rtol=1e-4, atol=1e-6)


# ------------------------------------------------------------------------------------------------------------
# 7.1  Autoencoders
# ------------------------------------------------------------------------------------------------------------


def _pca(train, x, k):
    """By the eigenvectors of the covariance matrix."""
    train, x = train.astype(np.float64), x.astype(np.float64)
    mean = train.mean(axis=0)
    _, vectors = np.linalg.eigh((train - mean).T @ (train - mean))
    kept = vectors[:, ::-1][:, :k]
    return mean + (x - mean) @ kept @ kept.T


@pytest.mark.task("autoencoder", weight=3)
@pytest.mark.parametrize("k", [1, 3, 6])
def test_components_come_from_the_training_rows(student, rng, k):
    """pca_reconstruct: mean and directions come from train alone, strongest first; what comes in stays."""
    mixing = rng.normal(size=(7, 7)) * np.array([4.0, 3, 2, 1.5, 1, 0.7, 0.4])
    train = rng.normal(size=(40, 7)) @ mixing.T + rng.normal(scale=5, size=7)
    x = rng.normal(size=(9, 7)) @ mixing.T + rng.normal(scale=5, size=7)
    before = train.copy(), x.copy()

    near, alone = student.pca_reconstruct(train, x, k), student.pca_reconstruct(train, x[:1], k)

    expect.close(near, _pca(*before, k), "pca_reconstruct", rtol=1e-4, atol=1e-4)
    expect.close(alone, _pca(before[0], before[1][:1], k), "pca_reconstruct of one row", rtol=1e-4, atol=1e-4)
    expect.unchanged(train, before[0], "pca_reconstruct: train")
    expect.unchanged(x, before[1], "pca_reconstruct: x")
    expect.no_alias(near, x, "pca_reconstruct")


@probe
def inside_an_autoencoder(student, x, linear):
    """Codes, outputs, Jacobians and the size of an autoencoder."""
    torch.manual_seed(4)
    model = student.Autoencoder(9, 3, 20, linear).double().eval()
    code = model.encode(x).detach()
    whole = torch.autograd.functional.jacobian(lambda row: model(row[None])[0], x[0])
    alone = torch.cat([model(row[None]) for row in x]).detach()
    count = sum(parameter.numel() for parameter in model.parameters())
    steps = torch.tensor([[-10.0], [30.0], [10.0]], dtype=torch.float64)  # the last one is half way
    middle = model.encode(steps * x[:1]), model.decode(steps * code[:1])
    high = 3 * torch.rand(8, 9, dtype=torch.float64)  # none is below 0, so an activation of the input does not bend it
    deep = 3 * torch.rand(8, 3, dtype=torch.float64)
    bends = [float((f((a[:4] + a[4:]) / 2) - (f(a[:4]) + f(a[4:])) / 2).abs().max())
             for f, a in ((model.encode, high), (model.decode, deep))]  # fmt: skip
    return code, model.decode(code).detach(), model(x).detach(), alone, whole, count, middle, bends


@pytest.mark.task("autoencoder", weight=3)
@pytest.mark.parametrize("linear", [False, True])
def test_nothing_passes_beside_the_code(student, rng, linear):
    """Autoencoder: all that decode knows of a row is its code, and a row is computed by itself."""
    x = _normal(rng, 5, 9)

    code, again, out, alone, whole, *_ = inside_an_autoencoder(student, x, linear)

    expect.shape(code, (5, 3), "Autoencoder.encode")
    expect.close(out, again, "Autoencoder, beside decode(encode(x))", rtol=1e-6)
    expect.close(alone, out, "Autoencoder of one row", rtol=1e-6)
    strengths = np.linalg.svd(whole.numpy(), compute_uv=False)
    expect.is_true(
        bool(strengths[3] < 1e-9 * max(strengths[0], 1e-9)),
        "Autoencoder(9, 3): more than 3 numbers of a row reach its reconstruction.",
    )
    expect.is_true(bool(strengths[2] > 0), "Autoencoder(9, 3): fewer than 3 numbers of a row reach its reconstruction.")


@pytest.mark.task("autoencoder", weight=2)
def test_linear_means_one_matrix_each(student, rng):
    """Autoencoder: a linear one has one matrix and one bias in each half; the other one bends in both halves."""
    x = _normal(rng, 2, 9)

    *_, count, middle, _ = inside_an_autoencoder(student, x, True)
    *_, bent, bends = inside_an_autoencoder(student, x, False)

    expect.equal(count, 2 * 9 * 3 + 3 + 9, "Autoencoder(9, 3, linear=True): number of parameters")
    for part, got in zip(("encode", "decode"), middle, strict=True):
        expect.close(got[2], (got[0] + got[1]) / 2, f"Autoencoder(linear=True).{part} half way", rtol=1e-6, atol=1e-9)
    for part, got in zip(("encode", "decode"), bent, strict=True):
        expect.is_true(
            not torch.allclose(got[2], (got[0] + got[1]) / 2, rtol=1e-6, atol=1e-9),
            f"Autoencoder.{part}: it is linear, although a hidden layer with an activation was asked for.",
        )
    for part, bend in zip(("encode", "decode"), bends, strict=True):
        expect.is_true(bend > 1e-9, f"Autoencoder.{part}: it is linear for numbers above 0. Where is the activation?")


@probe
def hidden_layers(student):
    """Sizes for two widths; directions in which a code grows; how much the numbers of a code act on each other."""
    sizes = [sum(p.numel() for p in student.Autoencoder(9, 3, hidden).parameters()) for hidden in (20, 50)]
    torch.manual_seed(4)
    model = student.Autoencoder(9, 3, 20).double().eval()
    rows = 5 * torch.randn(60, 9, dtype=torch.float64)
    slopes = torch.stack([torch.autograd.functional.jacobian(lambda r: model.encode(r[None])[0, 0], r) for r in rows])
    with torch.no_grad():
        z = 5 * torch.randn(60, 3, dtype=torch.float64)
        one, two = torch.tensor([8.0, 0, 0]).double(), torch.tensor([0, 8.0, 0]).double()
        mixed = model.decode(z + one + two) - model.decode(z + one) - model.decode(z + two) + model.decode(z)
    return sizes, slopes, float(mixed.abs().max())


@pytest.mark.task("autoencoder")
def test_each_half_has_a_hidden_layer(student):
    """Autoencoder: encode and decode have at least one hidden layer each, of as many units as were asked for."""
    sizes, slopes, mixed = hidden_layers(student)

    expect.is_true(sizes[0] < sizes[1], "Autoencoder: more units in the hidden layers give no more parameters.")
    strengths = np.linalg.svd(slopes.numpy(), compute_uv=False)
    expect.is_true(
        bool(strengths[1] > 1e-6 * strengths[0]), "Autoencoder.encode: no hidden layer comes before the code."
    )
    expect.is_true(mixed > 1e-6, "Autoencoder.decode: no hidden layer comes after the code.")


@pytest.mark.task("autoencoder")
@pytest.mark.parametrize("linear", [False, True])
def test_an_autoencoder_has_no_dropout(student, rng, linear):
    """Autoencoder: there is no dropout anywhere, and forward is decode(encode(x)) in train mode too."""
    x = 5 * _normal(rng, 40, 9).float()

    _judge_passes(passes_in_training(student, "Autoencoder", (9, 3, 20, linear), x), "Autoencoder")


@pytest.mark.task("autoencoder")
def test_all_components_give_a_new_array(student, rng):
    """pca_reconstruct: the result is a new array, also with as many components as columns."""
    train, x = rng.normal(size=(9, 4)), rng.normal(size=(3, 4))

    near = student.pca_reconstruct(train, x, 4)

    expect.close(near, x, "pca_reconstruct with all components", rtol=1e-4, atol=1e-4)
    expect.no_alias(near, x, "pca_reconstruct with all components")


@probe
def reach_of_outputs(student):
    """Outputs of an autoencoder for huge codes, of both signs."""
    torch.manual_seed(5)
    model = student.Autoencoder(6, 2).eval()
    with torch.no_grad():
        out = model.decode(1e4 * torch.randn(400, 2))
        return float(out.min()), float(out.max())


@pytest.mark.task("autoencoder")
def test_outputs_have_no_ends(student):
    """Autoencoder: nothing squashes the output; it may be any number."""
    low, high = reach_of_outputs(student)

    expect.is_true(
        low < -0.001 and max(high, -low) > 1.001, "Autoencoder.decode: its output never leaves a small range."
    )


def _numbered_rows(rng, n, d, scale=1.0):
    """Rows of which the first number says which row it is, and the sizes of the others differ greatly."""
    x = (rng.normal(size=(n, d)) * rng.uniform(0, 3, size=(n, 1))).astype(np.float32)
    x[:, 0] = scale * np.arange(n)
    return x


@pytest.mark.task("autoencoder", weight=3)
def test_the_rounds_of_an_autoencoder(student, rng):
    """fit_autoencoder: each row once in an epoch, in a new order that the seed decides; the mean loss of all rows."""
    x = _numbered_rows(rng, 237, 6)
    answers = torch.from_numpy(x) + (_normal(rng, *x.shape) * 2).float()
    before = x.copy()

    runs = watched_training(student, "fit_autoencoder", x, answers, (), {"epochs": 3}, [0, 0, 5], 1.0)

    want = float(((answers.double() - torch.from_numpy(x)) ** 2).mean())
    _judge_rounds(runs, "fit_autoencoder", 237, 3, want, 1.0)
    expect.equal(runs[0][1][:237].sort(dim=0).values, torch.from_numpy(before).sort(dim=0).values,
                 "fit_autoencoder: what the model was given in an epoch")  # fmt: skip
    expect.unchanged(x, before, "fit_autoencoder: x")


def _judge_steps(found, fit):
    left_over, moved, losses = found
    expect.is_true(not any(left_over), f"{fit}: a backward pass began with the gradient of the last one.")
    expect.is_true(all(moved), f"{fit}: a parameter of the model never changed.")
    return losses


@pytest.mark.task("autoencoder", weight=2)
def test_the_steps_of_an_autoencoder(student, rng):
    """fit_autoencoder: clear the gradients before each backward pass, and train the model that was given, in place."""
    x = rng.normal(size=(150, 6)).astype(np.float32)

    _judge_steps(watched_steps(student, "fit_autoencoder", x, (), (6, 6), {"epochs": 2}), "fit_autoencoder")


@pytest.mark.task("autoencoder")
@pytest.mark.parametrize(("n", "epochs"), [(257, 2), (3, 1)])
def test_the_losses_of_an_autoencoder(student, rng, n, epochs):
    """fit_autoencoder: start from the state that the model is in; the loss is that of training, over all rows."""
    x = rng.normal(size=(n, 6)).astype(np.float32)
    x[:, 0] = 0.01 * np.arange(n)

    found = recorded_training(student, "fit_autoencoder", x, (), (6, 6), epochs)

    _judge_record(found, "fit_autoencoder", n, epochs, _squares(x))


@probe
def trained_on_rows(student, make, args, fit, x, data, unseen, seed):
    """Train a new module with the default number of epochs, and apply it to unseen rows."""
    torch.manual_seed(seed)
    model = getattr(student, make)(*args)
    losses = getattr(student, fit)(model, x, *data, seed=seed)
    with torch.no_grad():
        return model.eval()(torch.from_numpy(unseen)), list(losses)


def _digit_rows(seed):
    (x, _), (unseen, _) = fresh_digits(seed % 100_000)
    return x.reshape(len(x), 64), unseen.reshape(len(unseen), 64)


# A few seeds only were measured so far, as a ratio to PCA's error: Autoencoder(64, 8) 0.53 to 0.59, a linear one 1.018,
# 1.038 and 1.065. The docstring asks for 1.08; the ceiling of the linear one allows for the spread of the digits.
AE_CEILING, LINEAR_CEILING = 0.75, 1.12


@pytest.fixture(scope="module")
def bent(student, seed):
    x, unseen = _digit_rows(seed)
    out, _ = trained_on_rows(student, "Autoencoder", (64, 8), "fit_autoencoder", x, (), unseen, seed % 1000)
    return out, x, unseen


@pytest.fixture(scope="module")
def straight(student, seed):
    x, unseen = _digit_rows(seed)
    args = (64, 8, 128, True)
    out, _ = trained_on_rows(student, "Autoencoder", args, "fit_autoencoder", x, (), unseen, seed % 1000)
    return out, x, unseen


def _ratio(found, what):
    """Mean squared error on unseen rows, over that of the PCA of the training rows, and over that of their own PCA."""
    out, x, unseen = found
    expect.shape(out, unseen.shape, what)
    expect.finite(out, what)
    error = ((out.double().numpy() - unseen) ** 2).mean()
    return tuple(float(error / ((_pca(rows, unseen, 8) - unseen) ** 2).mean()) for rows in (x, unseen))


@pytest.mark.task("autoencoder", weight=4)
def test_an_autoencoder_beats_pca(bent):
    """fit_autoencoder: the docstring says how much of PCA's error an Autoencoder may make on unseen digits."""
    ratio, _ = _ratio(bent, "Autoencoder(64, 8)")

    expect.at_most(ratio, AE_CEILING, "fit_autoencoder: error of Autoencoder(64, 8), over that of PCA")


@pytest.mark.task("autoencoder", weight=4)
def test_a_linear_autoencoder_comes_near_pca(straight):
    """fit_autoencoder: the docstring says how near a linear one comes to PCA; it can never beat the best directions."""
    ratio, of_itself = _ratio(straight, "Autoencoder(64, 8, linear=True)")

    what = "fit_autoencoder: error of a linear Autoencoder(64, 8), over that of PCA"
    expect.at_most(ratio, LINEAR_CEILING, what, asked=1.08)
    expect.is_true(
        of_itself >= 1 - 1e-6,
        "Autoencoder(linear=True): its error is below that of the best 8 directions, so it is not linear.",
    )


# ------------------------------------------------------------------------------------------------------------
# 7.2  Denoising
# ------------------------------------------------------------------------------------------------------------


@pytest.mark.task("denoising", weight=2)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_each_entry_has_noise_of_its_own(student, rng, dtype):
    """add_noise: normal noise, drawn for each entry by itself and not clipped, in the dtype of x, which stays."""
    x = rng.uniform(size=(60, 5, 40)).astype(dtype)
    before = x.copy()

    noisy = student.add_noise(x, 0.7, rng)

    expect.dtype(noisy, dtype, "add_noise")
    expect.shape(noisy, x.shape, "add_noise")
    expect.unchanged(x, before, "add_noise: x")
    expect.no_alias(noisy, x, "add_noise")
    noise = (noisy - before).astype(np.float64) / 0.7  # 12,000 draws; all bounds are five and a half deviations wide
    expect.between(noise.mean(), -0.0503, 0.0503, "add_noise: mean of the noise, over std")
    expect.between(noise.std(), 0.9645, 1.0355, "add_noise: spread of the noise, over std")
    expect.between((noise**4).mean(), 2.5, 3.5, "add_noise: fourth moment of the noise (3 if it is normal)")
    expect.is_true(bool(np.abs(noise).max() > 3), "add_noise: none of 12,000 draws is above 3 standard deviations.")
    for axis in range(3):
        one, other = np.split(noise, [noise.shape[axis] // 2], axis=axis)
        shorter = min(one.shape[axis], other.shape[axis])
        one, other = (np.take(part, range(shorter), axis=axis) for part in (one, other))
        reach = 5.5 / one.size**0.5
        expect.between(
            (one * other).mean(), -reach, reach, "add_noise: how much the noise of two entries has in common"
        )


@probe
def noise_of_generators(student, x):
    np.random.seed(3)
    start = np.random.get_state()[1].copy()
    one, two, other = (student.add_noise(x, 1.0, np.random.default_rng(seed)) for seed in (1, 1, 2))
    rng = np.random.default_rng(1)
    student.add_noise(x, 1.0, rng)
    later = student.add_noise(x, 1.0, rng)
    return one, two, other, later, bool((np.random.get_state()[1] == start).all())


@pytest.mark.task("denoising")
def test_noise_comes_from_the_generator(student):
    """add_noise: all chance comes from rng."""
    one, two, other, later, quiet = noise_of_generators(student, np.zeros((8, 9)))

    expect.close(two, one, "add_noise with generators in the same state")
    expect.is_true(not np.array_equal(one, other), "add_noise: two generators give the same noise.")
    expect.is_true(not np.array_equal(one, later), "add_noise: a generator gives the same noise twice.")
    expect.is_true(quiet, "add_noise: it uses NumPy's global generator.")


@pytest.mark.task("denoising", weight=5)
def test_the_rounds_of_a_denoiser(student, rng):
    """fit_denoiser: noisy rows go in, with new noise in each epoch, and the clean rows are what should come out."""
    x = _numbered_rows(rng, 237, 6, 20.0)
    answers = torch.from_numpy(x) + (_normal(rng, *x.shape) * 2).float()
    before = x.copy()

    runs = watched_training(student, "fit_denoiser", x, answers, (0.5,), {"epochs": 3}, [0, 0, 5], 20.0)

    want = float(((answers.double() - torch.from_numpy(x)) ** 2).mean())
    _judge_rounds(runs, "fit_denoiser", 237, 3, want, 20.0)
    expect.unchanged(x, before, "fit_denoiser: x")
    clean, noises = torch.from_numpy(before).double(), []
    for epoch in range(3):
        seen = runs[0][1][237 * epoch : 237 * (epoch + 1)].double()
        noise = torch.empty(237, 6, dtype=torch.float64)
        rows = (seen[:, 0] / 20).round().long()
        noise[rows] = seen - clean[rows]
        noises.append(noise / 0.5)
        drawn = (seen - clean[rows]) / 0.5  # in the order in which the model was given them
        expect.between(float((drawn[:-1] * drawn[1:]).mean()), -0.146, 0.146,
                       "fit_denoiser: how much the noise of two rows of a batch has in common")  # fmt: skip
        # 1,422 draws; bounds are five and a half deviations wide
        expect.between(float(noises[-1].std()), 0.897, 1.103, "fit_denoiser: spread of the noise, over std")
        expect.between(float(noises[-1].mean()), -0.146, 0.146, "fit_denoiser: mean of the noise, over std")
    for one, other in itertools.combinations(noises, 2):
        expect.between(float((one * other).mean()), -0.146, 0.146,
                       "fit_denoiser: how much the noise of two epochs has in common")  # fmt: skip
    for one, other in ((noise[:-1], noise[1:]), (noise[:, :-1], noise[:, 1:])):
        expect.between(float((one * other).mean()), -0.17, 0.17,
                       "fit_denoiser: how much the noise of two entries has in common")  # fmt: skip


@pytest.mark.task("denoising", weight=2)
def test_the_steps_of_a_denoiser(student, rng):
    """fit_denoiser: clear the gradients before each backward pass, and train the model that was given, in place."""
    x = rng.normal(size=(150, 6)).astype(np.float32)

    _judge_steps(watched_steps(student, "fit_denoiser", x, (0.2,), (6, 6), {"epochs": 2}), "fit_denoiser")


@pytest.mark.task("denoising")
@pytest.mark.parametrize(("n", "epochs"), [(257, 2), (3, 1)])
def test_the_losses_of_a_denoiser(student, rng, n, epochs):
    """fit_denoiser: start from the state that the model is in; the loss is the one during training, over all rows."""
    x = rng.normal(size=(n, 6)).astype(np.float32)
    x[:, 0] = 0.01 * np.arange(n)

    found = recorded_training(student, "fit_denoiser", x, (0.0005,), (6, 6), epochs)

    _judge_record(found, "fit_denoiser", n, epochs, _squares(x))


@pytest.mark.task("denoising")
def test_rows_are_denoised_by_themselves(student, rng):
    """DenoisingAE: each row is computed by itself, and there is no dropout anywhere."""
    x = 5 * _normal(rng, 40, 9).float()

    _judge_passes(passes_in_training(student, "DenoisingAE", (9,), x), "DenoisingAE")
    together, alone = denoised_alone(student, x)
    expect.close(alone, together, "DenoisingAE of one row", rtol=1e-4, atol=1e-4)


@probe
def denoised_alone(student, x):
    torch.manual_seed(8)
    model = student.DenoisingAE(x.shape[1]).eval()
    with torch.no_grad():
        return model(x), torch.cat([model(row[None]) for row in x])


DENOISED_CEILING = 0.4  # the reference reaches 0.21 to 0.24 on the few seeds that were measured


@pytest.mark.task("denoising", weight=4)
def test_most_of_the_noise_goes(student, rng, seed):
    """fit_denoiser: the docstring says how much of the noise's error a DenoisingAE may leave on unseen digits."""
    x, unseen = _digit_rows(seed)
    noisy = (unseen + rng.normal(scale=0.3, size=unseen.shape)).astype(np.float32)

    out, _ = trained_on_rows(student, "DenoisingAE", (64,), "fit_denoiser", x, (0.3,), noisy, seed % 1000)

    expect.shape(out, unseen.shape, "DenoisingAE(64)")
    error = float(((out.double().numpy() - unseen) ** 2).mean() / ((noisy - unseen) ** 2).mean())
    expect.at_most(error, DENOISED_CEILING, "fit_denoiser: error of the denoised digits, over that of the noisy ones")


# ------------------------------------------------------------------------------------------------------------
# 7.3  Additive attention
# ------------------------------------------------------------------------------------------------------------


def _additive(state, hidden, outputs, mask):
    """The formula, one place after another, over the places that may be looked at."""
    contexts, rows = [], []
    for n in range(len(hidden)):
        places = [t for t in range(outputs.shape[1]) if mask is None or mask[n, t]]
        row = outputs.new_zeros(outputs.shape[1])
        if places:
            scores = [
                torch.tanh(state["attn.weight"] @ torch.cat([hidden[n], outputs[n, t]]) + state["attn.bias"])
                @ state["v"]
                for t in places
            ]
            row = row.index_put((torch.tensor(places),), torch.stack(scores).softmax(dim=0))
        rows.append(row)
        contexts.append(row @ outputs[n])
    return torch.stack(contexts), torch.stack(rows)


def _additive_state(rng, H):
    return {"attn.weight": _normal(rng, H, 2 * H), "attn.bias": _normal(rng, H), "v": _normal(rng, H)}


@pytest.mark.task("additive_attention", weight=3)
@pytest.mark.parametrize(("N", "T", "H"), [(3, 5, 4), (1, 7, 3), (4, 1, 2)])
@pytest.mark.parametrize("masked", [False, True])
def test_additive_attention_follows_its_formula(student, rng, N, T, H, masked):
    """AdditiveAttention: each place is compared with the state of its own sample; gradients reach both."""
    state, hidden, outputs = _additive_state(rng, H), _normal(rng, N, H), _normal(rng, N, T, H)
    mask = torch.from_numpy(rng.random((N, T)) < 0.6) if masked else None
    if masked:
        mask[:, 0] = True
    cotangents = _normal(rng, N, H), _normal(rng, N, T)

    found = computed(student, "AdditiveAttention", (H,), state, (hidden, outputs), {"mask": mask}, cotangents)

    given = [x.clone().requires_grad_() for x in (hidden, outputs)]
    want = _additive(state, *given, mask)
    total = sum((out * cotangent).sum() for out, cotangent in zip(want, cotangents, strict=True))
    grads = torch.autograd.grad(total, given)
    _compare(_made(found, "AdditiveAttention"), [out.detach() for out in want], grads, "AdditiveAttention")


@pytest.mark.task("additive_attention", weight=3)
def test_additive_attention_with_nothing_to_look_at(student, rng):
    """AdditiveAttention: a sample whose mask has no True gets weights and a context of 0, and no nan in gradients."""
    state, hidden, outputs = _additive_state(rng, 3), _normal(rng, 2, 3), _normal(rng, 2, 4, 3)
    mask = torch.tensor([[False] * 4, [True, False, True, True]])
    kept = hidden.clone(), outputs.clone(), mask.clone()
    cotangents = _normal(rng, 2, 3), _normal(rng, 2, 4)

    found = computed(student, "AdditiveAttention", (3,), state, (hidden, outputs), {"mask": mask}, cotangents)

    outs, grads = _made(found, "AdditiveAttention")
    for got, want in zip(outs, _additive(state, hidden, outputs, mask), strict=True):
        expect.close(got, want, "AdditiveAttention", rtol=1e-6, atol=1e-8)
    for grad in (*grads, *found[3].values()):
        expect.finite(grad, "AdditiveAttention: a gradient")
    expect.close(grads[1][0], torch.zeros_like(grads[1][0]), "AdditiveAttention: gradient of what is masked")
    for now, was, name in zip((hidden, outputs, mask), kept, ("hidden", "encoder_outputs", "mask"), strict=True):
        expect.unchanged(now, was, f"AdditiveAttention: {name}")


@pytest.mark.task("additive_attention", weight=2)
def test_masked_places_are_as_if_they_were_not_there(student, rng):
    """AdditiveAttention: what is at a masked place changes nothing, and the result has the dtype of the input."""
    state = {name: value.float() for name, value in _additive_state(rng, 3).items()}
    hidden, outputs = _normal(rng, 2, 3).float(), _normal(rng, 2, 4, 3).float()
    mask = torch.tensor([[True, True, False, False], [True, False, True, False]])
    other = torch.where(mask[:, :, None], outputs, 1e6 * torch.ones_like(outputs))

    one, two = (
        _made(
            computed(student, "AdditiveAttention", (3,), state, (hidden, given), {"mask": mask}, None, "float32"),
            "AdditiveAttention",
        )[0]
        for given in (outputs, other)
    )

    expect.close(two[0], one[0], "AdditiveAttention (context)", rtol=1e-5, dtype=torch.float32)
    expect.close(two[1], one[1], "AdditiveAttention (weights)", rtol=1e-5, dtype=torch.float32)


@pytest.mark.task("additive_attention")
def test_additive_attention_with_a_loud_v(student, rng):
    """AdditiveAttention: large scores give no nan and no inf, also where a masked place has the largest one."""
    state = {"attn.weight": torch.tensor([[0.0, 1.0]]), "attn.bias": torch.zeros(1), "v": torch.tensor([1000.0])}
    outputs = torch.from_numpy(rng.uniform(4, 5, size=(2, 4, 1))).float() * torch.tensor([[1.0], [-1], [1], [-1]])
    mask = torch.tensor([[False, True, False, False], [True, True, False, True]])

    found = computed(student, "AdditiveAttention", (1,), state, (torch.zeros(2, 1), outputs), {"mask": mask}, None,
                     "float32")  # fmt: skip

    outs, _ = _made(found, "AdditiveAttention")
    what = "AdditiveAttention (weights) with scores around 1000"
    expect.close(outs[1], torch.tensor([[0.0, 1, 0, 0], [1, 0, 0, 0]]), what, rtol=1e-5)


@probe
def parameters_of_attention(student):
    module = student.AdditiveAttention(5)
    return {name: tuple(p.shape) for name, p in module.named_parameters()}, isinstance(module.v, nn.Parameter)


@pytest.mark.task("additive_attention")
def test_v_is_a_parameter(student):
    """AdditiveAttention: its parameters are those of the linear layer attn, and v."""
    shapes, is_parameter = parameters_of_attention(student)

    want = {"attn.weight": (5, 10), "attn.bias": (5,), "v": (5,)}
    expect.equal(shapes, want, "AdditiveAttention(5): shapes of its parameters")
    expect.equal(is_parameter, True, "AdditiveAttention: whether v is an nn.Parameter")


# ------------------------------------------------------------------------------------------------------------
# 7.4  Scaled dot-product attention
# ------------------------------------------------------------------------------------------------------------


def _weights(q, k, mask):
    scores = q @ k.transpose(-2, -1) / np.sqrt(q.shape[-1])
    if mask is None:
        return scores.softmax(dim=-1)
    return torch.where(mask, scores, -torch.inf).softmax(dim=-1).nan_to_num(0.0)


@pytest.mark.task("scaled_dot_product", weight=2)
@pytest.mark.parametrize(
    ("q", "k", "v", "mask"),
    [
        ((3, 4), (5, 4), (5, 2), None),
        ((2, 3, 4), (2, 5, 4), (2, 5, 6), (3, 5)),
        ((2, 3, 1, 7), (2, 3, 4, 7), (2, 3, 4, 7), (2, 1, 1, 4)),
        ((3, 1, 2, 5), (2, 4, 5), (2, 4, 3), (3, 1, 1, 4)),
        ((2, 1, 6, 3), (4, 2, 3), (1, 4, 2, 5), (4, 6, 2)),
    ],
)
def test_dot_product_attention_agrees_with_torch(student, rng, q, k, v, mask):
    """scaled_dot_product_attention: scale by the root of the last axis, normalise over the keys, broadcast in front."""
    q, k, v = 2 * _normal(rng, *q), 2 * _normal(rng, *k), _normal(rng, *v)
    if mask is not None:
        mask = torch.from_numpy(rng.random(mask) < 0.6)
        mask[..., 0] = True
    cotangent = _normal(
        rng, *torch.broadcast_shapes(q.shape[:-2], k.shape[:-2], v.shape[:-2]), q.shape[-2], v.shape[-1]
    )
    own = [x.clone().requires_grad_() for x in (q, k, v)]

    out, weights = student.scaled_dot_product_attention(*own, mask)
    grads = torch.autograd.grad((out * cotangent).sum(), own)

    lead = cotangent.shape[:-2]
    spread = [x.expand(*lead, *x.shape[-2:]) for x in (q, k, v)]
    want, want_grads = _oracle(lambda q, k, v: (_weights(q, k, mask) @ v).expand(cotangent.shape), (q, k, v), cotangent)
    reference = F.scaled_dot_product_attention(*spread, attn_mask=mask)
    expect.close(want, reference, "the oracle", rtol=1e-6, atol=1e-9)
    expect.close(weights.detach(), _weights(q, k, mask), "scaled_dot_product_attention (weights)", rtol=1e-6)
    expect.close(out.detach(), want, "scaled_dot_product_attention (out)", rtol=1e-6)
    for got, wanted, name in zip(grads, want_grads, "qkv", strict=True):
        expect.close(got, wanted, f"scaled_dot_product_attention: gradient of {name}", rtol=1e-5, atol=1e-8)


@pytest.mark.task("scaled_dot_product", weight=5)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_row_without_true_is_zero(student, rng, dtype):
    """scaled_dot_product_attention: where a query may look at nothing, weights, output and gradients are 0."""
    q, k, v = (_normal(rng, 2, 3, 4).to(dtype).requires_grad_() for _ in range(3))
    mask = torch.tensor([[True, False, True], [False, False, False], [True, True, True]])

    out, weights = student.scaled_dot_product_attention(q, k, v, mask)
    grads = torch.autograd.grad((out.square().sum() + weights[..., 0].sum()), (q, k, v))

    want = _weights(q.detach(), k.detach(), mask)
    expect.close(weights.detach(), want, "scaled_dot_product_attention (weights)", rtol=1e-4, atol=1e-6, dtype=dtype)
    expect.close(
        out.detach(),
        want @ v.detach(),
        "scaled_dot_product_attention (out)",
        rtol=1e-4,
        atol=1e-6,
        dtype=dtype,
    )
    for grad, name in zip(grads, "qkv", strict=True):
        expect.finite(grad, f"scaled_dot_product_attention: gradient of {name}")
    expect.close(grads[0][:, 1], torch.zeros(2, 4, dtype=dtype),
                 "scaled_dot_product_attention: gradient of a query that may look at nothing")  # fmt: skip


@pytest.mark.task("scaled_dot_product", weight=2)
def test_huge_scores_are_no_problem(student, rng):
    """scaled_dot_product_attention: huge scores give no nan, and huge numbers that are masked change nothing."""
    q, k, v = (_normal(rng, 3, 4) for _ in range(3))
    mask = torch.tensor([[True, True, False]] * 3)
    other_k, other_v = k.clone(), v.clone()
    other_k[2], other_v[2] = 1e30, -1e30

    out, weights = student.scaled_dot_product_attention(1e3 * q, 1e3 * k, v)
    one = student.scaled_dot_product_attention(q, k, v, mask)
    other = student.scaled_dot_product_attention(q, other_k, other_v, mask)

    expect.close(weights, _weights(1e3 * q, 1e3 * k, None), "scaled_dot_product_attention (weights)", rtol=1e-5)
    expect.close(out, _weights(1e3 * q, 1e3 * k, None) @ v, "scaled_dot_product_attention (out)", rtol=1e-5)
    expect.close(other[0], one[0], "scaled_dot_product_attention (out) beside huge masked values", rtol=1e-6)
    expect.close(other[1], one[1], "scaled_dot_product_attention (weights) beside huge masked keys", rtol=1e-6)


@pytest.mark.task("scaled_dot_product")
def test_masks_hold_beside_very_low_scores(student):
    """scaled_dot_product_attention: a key that may be looked at gets the whole weight, however low its score is."""
    q, k, v = torch.full((1, 1), 1e3), torch.tensor([[-1e3], [1.0], [10.0]]), torch.tensor([[3.0], [5.0], [7.0]])

    out, weights = student.scaled_dot_product_attention(q, k, v, torch.tensor([[True, False, False]]))

    expect.close(weights, torch.tensor([[1.0, 0, 0]]), "scaled_dot_product_attention (weights)", rtol=1e-5)
    expect.close(out, torch.tensor([[3.0]]), "scaled_dot_product_attention (out)", rtol=1e-5)


@pytest.mark.task("scaled_dot_product")
def test_half_precision_has_masks_too(student, rng):
    """scaled_dot_product_attention: what hides a key must be a number that the dtype can hold."""
    q, k, v = (_normal(rng, 3, 4).half() for _ in range(3))
    mask = torch.tensor([[True, False, False], [False, False, False], [True, False, True]])

    out, weights = student.scaled_dot_product_attention(q, k, v, mask)

    want = _weights(q.double(), k.double(), mask)
    expect.dtype(out, torch.float16, "scaled_dot_product_attention (out)")
    expect.close(weights.double(), want, "scaled_dot_product_attention of float16 (weights)", rtol=0.02, atol=2e-3)
    expect.close(out.double(), want @ v.double(), "scaled_dot_product_attention of float16 (out)", rtol=0.02, atol=1e-2)


@pytest.mark.task("scaled_dot_product", weight=2)
@pytest.mark.parametrize("T", [1, 2, 6])
def test_a_causal_mask_is_a_triangle(student, T):
    """causal_mask: bool, True on the diagonal and below it."""
    expect.equal(student.causal_mask(T), torch.arange(T) <= torch.arange(T)[:, None], f"causal_mask({T})")


@pytest.mark.task("scaled_dot_product", weight=2)
def test_lengths_become_a_mask(student):
    """padding_mask: bool, True up to the length of each sequence; T may be above all lengths, which may be 0."""
    lengths = torch.tensor([3, 0, 5, 1])

    for T in (5, 7):
        want = torch.arange(T) < lengths[:, None]
        expect.equal(student.padding_mask(lengths, T), want, f"padding_mask(lengths, {T})")
        expect.equal(student.padding_mask(lengths.tolist(), T), want, f"padding_mask(a list, {T})")
    expect.equal(student.padding_mask(lengths), torch.arange(5) < lengths[:, None], "padding_mask(lengths)")
    expect.unchanged(lengths, torch.tensor([3, 0, 5, 1]), "padding_mask: lengths")


# ------------------------------------------------------------------------------------------------------------
# 7.5  Multi-head attention
# ------------------------------------------------------------------------------------------------------------


def _torch_attention(rng, d, h, bias=True):
    return _scrambled(nn.MultiheadAttention(d, h, bias=bias, batch_first=True), rng).train()


def _asked(module, query, key, value, mask=None, key_mask=None):
    """What torch's attention says; its masks are True where a query may *not* look."""
    h, N = module.num_heads, len(query)
    hidden = torch.zeros(N, h, query.shape[1], key.shape[1], dtype=torch.bool)
    if mask is not None:
        hidden = hidden | ~mask
    if key_mask is not None:
        hidden = hidden | ~key_mask[:, None, None]
    return module(query, key, value, attn_mask=hidden.flatten(0, 1), average_attn_weights=False)


@pytest.mark.task("multi_head", weight=3)
@pytest.mark.parametrize(("d", "h", "bias"), [(6, 3, True), (8, 2, True), (4, 4, False), (5, 1, True)])
def test_self_attention_agrees_with_torch(student, rng, d, h, bias):
    """MultiHeadAttention: with the same weights it says the same as nn.MultiheadAttention, and goes back the same."""
    oracle, query, cotangent = _torch_attention(rng, d, h, bias), _normal(rng, 2, 5, d), _normal(rng, 2, 5, d)

    found = computed(student, "MultiHeadAttention", (d, h, bias), _state(oracle), (query,), {}, (cotangent,))

    want, grads = _oracle(lambda x: _asked(oracle, x, x, x)[0], (query,), cotangent)
    weights = _asked(oracle, query, query, query)[1].detach()
    _compare(_made(found, "MultiHeadAttention"), (want, weights), grads, "MultiHeadAttention")
    expect.equal(len(found[1]), 2, "MultiHeadAttention: how many things it returns")


@pytest.mark.task("multi_head", weight=4)
@pytest.mark.parametrize("masks", ["none", "mask", "key_mask", "both", "each"])
def test_cross_attention_agrees_with_torch(student, rng, masks):
    """MultiHeadAttention: queries, keys and values of different lengths; each mask belongs to its own axes."""
    oracle = _torch_attention(rng, 6, 3)
    query, key, value = _normal(rng, 4, 2, 6), _normal(rng, 4, 5, 6), _normal(rng, 4, 5, 6)
    shape = (4, 3, 2, 5) if masks == "each" else (2, 5)
    mask = torch.from_numpy(rng.random(shape) < 0.6) if masks in ("mask", "both", "each") else None
    key_mask = torch.from_numpy(rng.random((4, 5)) < 0.6) if masks in ("key_mask", "both") else None
    for part in (mask, key_mask):
        if part is not None:
            part[..., 1] = True
    kept = [None if part is None else part.clone() for part in (query, key, value, mask, key_mask)]
    cotangent = _normal(rng, 4, 2, 6)
    options = {"mask": mask, "key_mask": key_mask}

    found = computed(student, "MultiHeadAttention", (6, 3), _state(oracle), (query, key, value), options, (cotangent,))

    want, grads = _oracle(lambda *given: _asked(oracle, *given, mask, key_mask)[0], (query, key, value), cotangent)
    weights = _asked(oracle, query, key, value, mask, key_mask)[1].detach()
    _compare(_made(found, "MultiHeadAttention"), (want, weights), grads, "MultiHeadAttention")
    names = ("query", "key", "value", "mask", "key_mask")
    for now, was, name in zip((query, key, value, mask, key_mask), kept, names, strict=True):
        if was is not None:
            expect.unchanged(now, was, f"MultiHeadAttention: {name}")


@pytest.mark.task("multi_head", weight=2)
def test_values_default_to_the_keys(student, rng):
    """MultiHeadAttention: without values the keys are the values, and a batch may hold one sample of one query."""
    oracle = _torch_attention(rng, 4, 2)
    query, key = (
        _normal(rng, 1, 4, 1).transpose(1, 2),
        _normal(rng, 1, 4, 3).transpose(1, 2),
    )  # not contiguous

    found = computed(student, "MultiHeadAttention", (4, 2), _state(oracle), (query, key), {})

    want = [part.detach() for part in _asked(oracle, query, key, key)]
    _compare(_made(found, "MultiHeadAttention"), want, (), "MultiHeadAttention(query, key)")


@pytest.mark.task("multi_head", weight=2)
def test_a_query_of_padding_gets_the_bias(student, rng):
    """MultiHeadAttention: with nothing to look at, the weights are zero, and the output is the last layer's bias."""
    oracle, query = _torch_attention(rng, 4, 2), _normal(rng, 2, 3, 4)
    key_mask = torch.tensor([[False] * 3, [True, True, False]])
    options, cotangent = {"key_mask": key_mask}, _normal(rng, 2, 3, 4)

    found = computed(student, "MultiHeadAttention", (4, 2), _state(oracle), (query,), options, (cotangent,))

    (out, weights), grads = _made(found, "MultiHeadAttention")
    expect.close(weights[0], torch.zeros(2, 3, 3, dtype=torch.float64), "MultiHeadAttention (weights)")
    bias = oracle.out_proj.bias.detach()
    expect.close(out[0], bias.expand(3, 4), "MultiHeadAttention (out)", rtol=1e-6)
    for grad in (*grads, *found[3].values()):
        expect.finite(grad, "MultiHeadAttention: a gradient")


@pytest.mark.task("multi_head")
@pytest.mark.parametrize("shape", [(2, 4, 4), (3, 1, 1, 4), (1, 2, 1, 4), (4,)])
def test_a_mask_is_broadcast(student, rng, shape):
    """MultiHeadAttention: a mask broadcasts to (N, h, T, S): which of these axes does a shorter mask have?"""
    oracle, query = _torch_attention(rng, 4, 2), _normal(rng, 3, 4, 4)
    mask = torch.from_numpy(rng.random(shape) < 0.5)
    mask[..., 1] = True

    found = computed(student, "MultiHeadAttention", (4, 2), _state(oracle), (query,), {"mask": mask})

    want = [part.detach() for part in _asked(oracle, query, query, query, mask)]
    _compare(_made(found, "MultiHeadAttention"), want, (), "MultiHeadAttention with a mask to be broadcast")


@pytest.mark.task("multi_head")
def test_padding_in_front(student, rng):
    """MultiHeadAttention: a query that may look at nothing, by both masks together, gives the bias and no nan."""
    oracle, query = _torch_attention(rng, 4, 2), _normal(rng, 2, 3, 4)
    options = {"mask": torch.ones(3, 3, dtype=torch.bool).tril(),
               "key_mask": torch.tensor([[False, False, True], [True] * 3])}  # fmt: skip

    found = computed(student, "MultiHeadAttention", (4, 2), _state(oracle), (query,), options, (_normal(rng, 2, 3, 4),))

    (out, weights), grads = _made(found, "MultiHeadAttention")
    what = "MultiHeadAttention (weights of queries that see nothing)"
    expect.close(weights[0, :, :2], torch.zeros(2, 2, 3, dtype=torch.float64), what)
    last = torch.tensor([0.0, 0, 1], dtype=torch.float64).expand(2, 3)
    expect.close(weights[0, :, 2], last, "MultiHeadAttention (weights of a query that sees itself)", rtol=1e-6)
    bias = oracle.out_proj.bias.detach().expand(2, 4)
    expect.close(out[0, :2], bias, "MultiHeadAttention (out of queries that see nothing)", rtol=1e-6)
    for grad in (*grads, *found[3].values()):
        expect.finite(grad, "MultiHeadAttention: a gradient")


@pytest.mark.task("multi_head")
def test_values_without_keys(student, rng):
    """MultiHeadAttention: without keys the queries are the keys, and values that are given are used."""
    oracle = _torch_attention(rng, 4, 2)
    query, value = _normal(rng, 2, 3, 4), _normal(rng, 2, 3, 4)

    found = computed(student, "MultiHeadAttention", (4, 2), _state(oracle), (query,), {"value": value})

    want = [part.detach() for part in _asked(oracle, query, query, value)]
    _compare(_made(found, "MultiHeadAttention"), want, (), "MultiHeadAttention(query, value=value)")


@probe
def attention_calls(student, query, masks):
    """Weights of one attention, called with one mask after the other, and of itself without one."""
    torch.manual_seed(6)
    attention = student.MultiHeadAttention(4, 2).double()
    with torch.no_grad():
        return [attention(query, mask=mask)[1] for mask in masks], attention(query)[1]


@pytest.mark.task("multi_head")
def test_each_call_has_its_own_mask(student, rng):
    """MultiHeadAttention: a mask holds for one call, and no call remembers that of an earlier one."""
    query, masks = _normal(rng, 2, 3, 4), [torch.eye(3, dtype=torch.bool), torch.eye(3, dtype=torch.bool).flip(0)]

    masked, plain = attention_calls(student, query, masks)

    for got, mask in zip(masked, masks, strict=True):
        want = mask.double().expand(2, 2, 3, 3)
        expect.close(got, want, "MultiHeadAttention (weights), called again with another mask", rtol=1e-6)
    expect.is_true(bool((plain > 0).all()), "MultiHeadAttention: without a mask a weight is 0 after a call with one.")


@probe
def sizes_of_attention(student, d, h):
    """Numbers of parameters with and without bias, dtype of an output, and the error of a wrong number of heads."""
    module = student.MultiHeadAttention(d, h)
    counts = [sum(p.numel() for p in student.MultiHeadAttention(d, h, bias=b).parameters()) for b in (True, False)]
    out, _ = module(torch.ones(2, 3, d))
    try:
        student.MultiHeadAttention(d, h + 1)
        said = "nothing"
    except Exception as error:
        said = type(error).__name__
    return counts, str(out.dtype), said


@pytest.mark.task("multi_head")
def test_attention_has_its_size(student):
    """MultiHeadAttention: four square matrices, with or without a bias each; h must divide d."""
    counts, dtype, said = sizes_of_attention(student, 12, 4)

    expect.equal(counts, [4 * (144 + 12), 4 * 144], "MultiHeadAttention(12, 4): parameters with and without bias")
    expect.equal(dtype, "torch.float32", "MultiHeadAttention: dtype of what it makes of float32")
    expect.equal(said, "ValueError", "MultiHeadAttention(12, 5): what it raises")


# ------------------------------------------------------------------------------------------------------------
# 7.6  Positions, and layer normalisation
# ------------------------------------------------------------------------------------------------------------


def _clock(T, d):
    table = np.zeros((T, d))
    for t in range(T):
        for j in range(d):
            angle = t / 10000 ** ((j - j % 2) / d)
            table[t, j] = np.sin(angle) if j % 2 == 0 else np.cos(angle)
    return torch.from_numpy(table).float()


@pytest.mark.task("positions_and_norm", weight=3)
@pytest.mark.parametrize(("T", "d"), [(50, 8), (7, 5), (1, 6), (40, 1), (6, 33), (3, 2)])
def test_positions_follow_their_formula(student, T, d):
    """sinusoidal_encoding: follow the closed form, for even and odd d; float32, and nothing to be learned."""
    table = student.sinusoidal_encoding(T, d)

    expect.close(table, _clock(T, d), f"sinusoidal_encoding({T}, {d})", rtol=1e-4, atol=1e-4, dtype=torch.float32)
    expect.is_true(not table.requires_grad, "sinusoidal_encoding: the table wants a gradient.")


@pytest.mark.task("positions_and_norm", weight=2)
@pytest.mark.parametrize(
    ("shape", "spread", "middle"),
    [
        ((2, 3, 5), 1.0, 0.0),
        ((4, 7), 1e-3, 0.0),
        ((1, 6), 1.0, 50.0),
        ((2, 1, 3, 4), 0.01, -3.0),
        ((3,), 2.0, 0.0),
    ],
)
def test_norm_agrees_with_torch(student, rng, shape, spread, middle):
    """LayerNorm: mean and biased variance of the last axis, eps inside the root, weight and bias; gradients too."""
    d, x = shape[-1], spread * _normal(rng, *shape) + middle
    state = {"weight": _normal(rng, d), "bias": _normal(rng, d)}
    cotangent = _normal(rng, *shape)
    kept = x.clone()

    found = computed(student, "LayerNorm", (d,), state, (x,), {}, (cotangent,))

    want, grads = _oracle(lambda x: F.layer_norm(x, (d,), state["weight"], state["bias"]), (x,), cotangent)
    outputs, got_grads = _made(found, "LayerNorm")
    expect.close(outputs[0], want, "LayerNorm", rtol=1e-6, atol=1e-8)
    scale = float(grads[0].abs().max())
    expect.close(got_grads[0] / scale, grads[0] / scale, "LayerNorm: gradient of x, over its largest entry",
                 rtol=1e-5, atol=1e-7)  # fmt: skip
    expect.unchanged(x, kept, "LayerNorm: x")


@pytest.mark.task("positions_and_norm")
def test_norm_of_numbers_far_from_zero(student, rng):
    """LayerNorm: mean and var are those of the d numbers, also if these are large and in float32."""
    x = (3000 + _normal(rng, 20, 8)).float()

    found = computed(student, "LayerNorm", (8,), {}, (x,), {}, None, "float32")

    want = F.layer_norm(x.double(), (8,)).float()
    what = "LayerNorm of float32 numbers around 3000 (how is the variance computed?)"
    expect.close(_made(found, "LayerNorm")[0][0], want, what, rtol=1e-2, atol=1e-2)


@pytest.mark.task("positions_and_norm")
def test_norm_of_equal_numbers(student, rng):
    """LayerNorm: where all numbers of a position are equal, its gradient is no nan."""
    x, cotangent = _normal(rng, 3, 4), _normal(rng, 3, 4)
    x[1] = 2.0

    found = computed(student, "LayerNorm", (4,), {}, (x,), {}, (cotangent,))

    _, grads = _oracle(lambda x: F.layer_norm(x, (4,)), (x,), cotangent)
    got = _made(found, "LayerNorm")[1][0]
    expect.finite(got, "LayerNorm: gradient of equal numbers")
    expect.close(got, grads[0], "LayerNorm: gradient of equal numbers", rtol=1e-4, atol=1e-5)


@probe
def norm_as_made(student, x, eps):
    """A fresh norm, one without bias, its modes, and what names its parameters have."""
    module, bare = student.LayerNorm(x.shape[-1], eps), student.LayerNorm(x.shape[-1], eps, bias=False)
    trained, evaluated, plain = module.train()(x), module.eval()(x), bare(x)
    names = [sorted(name for name, _ in made.named_parameters()) for made in (module, bare)]
    return trained.detach(), evaluated.detach(), plain.detach(), names, bare.bias is None


@pytest.mark.task("positions_and_norm", weight=2)
@pytest.mark.parametrize("eps", [1e-5, 0.5])
def test_a_fresh_norm_only_normalises(student, rng, eps):
    """LayerNorm: eps is an argument; weight begins with ones and bias with zeros, in both modes, in float32."""
    x = (_normal(rng, 4, 6) * 0.3).float()
    x[2] = 1.0

    trained, evaluated, plain, names, has_none = norm_as_made(student, x, eps)

    want = F.layer_norm(x, (6,), eps=eps)
    for got, what in ((trained, "in train mode"), (evaluated, "in eval mode"), (plain, "without bias")):
        expect.close(got, want, f"LayerNorm {what}", rtol=1e-4, atol=1e-5, dtype=torch.float32)
    expect.equal(names, [["bias", "weight"], ["weight"]], "LayerNorm: its parameters with and without bias")
    expect.equal(has_none, True, "LayerNorm(bias=False): whether its bias is None")


# ------------------------------------------------------------------------------------------------------------
# 7.7  The Transformer
# ------------------------------------------------------------------------------------------------------------


def _hidden(mask):
    return None if mask is None else ~mask


def _torch_layer(rng, kind, d, h, d_ff, pre_norm, bias=True):
    made = kind(d, h, d_ff, dropout=0.0, batch_first=True, norm_first=pre_norm, bias=bias)
    return _scrambled(made, rng).train()


@pytest.mark.task("transformer", weight=2)
@pytest.mark.parametrize("pre_norm", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_an_encoder_block_agrees_with_torch(student, rng, pre_norm, bias):
    """EncoderBlock: with the same weights it says the same as nn.TransformerEncoderLayer, under both masks."""
    oracle = _torch_layer(rng, nn.TransformerEncoderLayer, 6, 2, 9, pre_norm, bias)
    x, cotangent = _normal(rng, 3, 4, 6), _normal(rng, 3, 4, 6)
    mask = torch.ones(4, 4, dtype=torch.bool).tril()
    key_mask = torch.tensor([[True] * 4, [True, True, True, False], [True, False, True, True]])
    options, kept = {"mask": mask, "key_mask": key_mask}, x.clone()

    args = (6, 2, 9, pre_norm, bias)
    found = computed(student, "EncoderBlock", args, _state(oracle), (x,), options, (cotangent,))

    want, grads = _oracle(lambda x: oracle(x, ~mask, ~key_mask), (x,), cotangent)
    _compare(_made(found, "EncoderBlock"), (want,), grads, f"EncoderBlock(pre_norm={pre_norm})")
    expect.unchanged(x, kept, "EncoderBlock: x")


@pytest.mark.task("transformer", weight=2)
@pytest.mark.parametrize("final_norm", [True, False])
def test_an_encoder_agrees_with_torch(student, rng, final_norm):
    """TransformerEncoder: the masks serve in each block, each block has parameters of its own, and the norm is last."""
    layer = _torch_layer(rng, nn.TransformerEncoderLayer, 4, 2, 16, True)
    norm = nn.LayerNorm(4) if final_norm else None
    oracle = _scrambled(nn.TransformerEncoder(layer, 3, norm, enable_nested_tensor=False), rng).train()
    x, mask = _normal(rng, 2, 5, 4), torch.ones(5, 5, dtype=torch.bool).tril()
    key_mask = torch.tensor([[True, True, True, False, False], [True] * 5])

    args, options = (4, 2, 3, None, True, final_norm), {"mask": mask, "key_mask": key_mask}
    found = computed(student, "TransformerEncoder", args, _state(oracle), (x,), options)

    want = oracle(x, ~mask, ~key_mask).detach()
    _compare(_made(found, "TransformerEncoder"), (want,), (), f"TransformerEncoder(final_norm={final_norm})")


@pytest.mark.task("transformer", weight=2)
@pytest.mark.parametrize("pre_norm", [True, False])
@pytest.mark.parametrize("masked", [True, False])
def test_a_decoder_block_agrees_with_torch(student, rng, pre_norm, masked):
    """DecoderBlock: queries from x, keys and values from the memory; each mask belongs to its own attention."""
    oracle = _torch_layer(rng, nn.TransformerDecoderLayer, 6, 3, 24, pre_norm)
    x, memory, cotangent = _normal(rng, 3, 4, 6), _normal(rng, 3, 5, 6), _normal(rng, 3, 4, 6)
    mask = key_mask = memory_key_mask = None
    if masked:
        mask = torch.ones(4, 4, dtype=torch.bool).tril()
        key_mask = torch.tensor([[True] * 4, [True, True, True, False], [True, False, True, True]])
        memory_key_mask = torch.tensor(
            [[True, True, False, False, True], [True] * 5, [False, True, True, False, False]]
        )
    options = {"mask": mask, "key_mask": key_mask, "memory_key_mask": memory_key_mask}

    args = (6, 3, None, pre_norm)
    found = computed(student, "DecoderBlock", args, _state(oracle), (x, memory), options, (cotangent,))

    want, grads = _oracle(
        lambda x, memory: oracle(x, memory, _hidden(mask), None, _hidden(key_mask), _hidden(memory_key_mask)),
        (x, memory),
        cotangent,
    )
    _compare(_made(found, "DecoderBlock"), (want,), grads, f"DecoderBlock(pre_norm={pre_norm})")


@pytest.mark.task("transformer", weight=2)
@pytest.mark.parametrize("pre_norm", [True, False])
def test_a_transformer_agrees_with_torch(student, rng, pre_norm):
    """Transformer: encoder and decoder with a final norm each, and no look at later positions of the target."""
    made = nn.Transformer(4, 2, 2, 2, 10, dropout=0.0, batch_first=True, norm_first=pre_norm)
    oracle = _scrambled(made, rng).train()
    source, target = _normal(rng, 3, 5, 4), _normal(rng, 3, 4, 4)
    of_source = torch.tensor([[True] * 5, [True, True, False, False, False], [True, True, True, False, False]])
    of_target = torch.tensor([[True] * 4, [True, True, True, False], [True] * 4])
    options = {"source_key_mask": of_source, "target_key_mask": of_target}

    args = (4, 2, 2, 10, pre_norm)
    found = computed(student, "Transformer", args, _state(oracle), (source, target), options)
    bare = computed(student, "Transformer", args, _state(oracle), (source, target), {})

    later = torch.ones(4, 4, dtype=torch.bool).triu(1)
    want = oracle(source, target, tgt_mask=later, src_key_padding_mask=~of_source, tgt_key_padding_mask=~of_target,
                  memory_key_padding_mask=~of_source).detach()  # fmt: skip
    _compare(_made(found, "Transformer"), (want,), (), f"Transformer(pre_norm={pre_norm}) with masks")
    want = oracle(source, target, tgt_mask=later).detach()
    _compare(_made(bare, "Transformer"), (want,), (), f"Transformer(pre_norm={pre_norm})")


@probe
def transformer_calls(student, pairs):
    """Outputs of one Transformer, call after call, and of a copy of it that is called for the first time."""
    torch.manual_seed(6)
    model = student.Transformer(4, 2, 1, 6).double()
    state, kept, fresh = model.state_dict(), [], []
    with torch.no_grad():
        for pair in pairs:
            kept.append(model.train()(*pair))
            other = student.Transformer(4, 2, 1, 6).double()
            other.load_state_dict(state)
            fresh.append(other(*pair))
        evaluated = [model.eval()(*pair) for pair in pairs]
    return kept, evaluated, fresh


@pytest.mark.task("transformer", weight=2)
def test_a_second_call_begins_again(student, rng):
    """Transformer: nothing is left of an earlier call, whatever the lengths, in train mode and in eval mode."""
    lengths = ((5, 3), (4, 6), (4, 4), (2, 1))
    pairs = [(_normal(rng, n, S, 4), _normal(rng, n, T, 4)) for n, (S, T) in zip((2, 3, 3, 1), lengths, strict=True)]

    kept, later, fresh = transformer_calls(student, pairs)

    for trained, evaluated, want in zip(kept, later, fresh, strict=True):
        expect.close(trained, want, "Transformer, called again", rtol=1e-6, atol=1e-8)
        expect.close(evaluated, want, "Transformer in eval mode, called again", rtol=1e-6, atol=1e-8)


@pytest.mark.task("transformer")
def test_gradients_reach_source_and_target(student, rng):
    """Transformer: gradients reach the source, the target and all parameters; masks belong to their own sequence."""
    oracle = _scrambled(nn.Transformer(4, 2, 2, 2, 10, dropout=0.0, batch_first=True), rng).train()
    source, target, cotangent = (_normal(rng, 2, 4, 4) for _ in range(3))  # of one length
    real = torch.tensor([[False, True, True, True], [True, True, True, False]])

    args, options = (4, 2, 2, 10), {"source_key_mask": real}
    found = computed(student, "Transformer", args, _state(oracle), (source, target), options, (cotangent,))

    later = torch.ones(4, 4, dtype=torch.bool).triu(1)
    want, grads = _oracle(
        lambda *given: oracle(*given, tgt_mask=later, src_key_padding_mask=~real, memory_key_padding_mask=~real),
        (source, target),
        cotangent,
    )
    _compare(_made(found, "Transformer"), (want,), grads, "Transformer")
    for name, grad in found[3].items():
        expect.is_true(
            bool(grad.any()) or name.endswith("bias"), "Transformer: no gradient reaches one of its parameters."
        )


@probe
def blind_to(student, x, other, options):
    """An encoder of two blocks on two inputs, without and with matrices of zero."""
    torch.manual_seed(6)
    found = []
    for pre_norm in (True, False):
        model = student.TransformerEncoder(6, 3, 2, pre_norm=pre_norm).double()
        with torch.no_grad():
            found.append((model(x, **options), model(other, **options)))
    model = student.TransformerEncoder(6, 3, 2).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        return found, model(x, **options)


@pytest.mark.task("transformer", weight=2)
@pytest.mark.parametrize("kind", ["future", "padding"])
def test_what_is_masked_changes_nothing(student, rng, kind):
    """TransformerEncoder: the future, or padding, changes nothing at the other positions, however large it is."""
    x = _normal(rng, 2, 5, 6)
    other = x.clone()
    other[:, 3:] = 100 * _normal(rng, 2, 2, 6)
    options = (
        {"mask": torch.ones(5, 5, dtype=torch.bool).tril()}
        if kind == "future"
        else {"key_mask": torch.tensor([[True, True, True, False, False]] * 2)}
    )

    found, still = blind_to(student, x, other, options)

    for one, two in found:
        expect.shape(one, (2, 5, 6), "TransformerEncoder")
        expect.close(two[:, :3], one[:, :3], f"TransformerEncoder: real positions before another {kind}", rtol=1e-6)
    expect.close(still, x, "TransformerEncoder with zeros in all parameters", rtol=1e-6)


@probe
def counted(student):
    """Count parameters on the meta device, where they have no numbers."""
    with torch.device("meta"):
        models = (
            student.Transformer(),
            student.Transformer(64, 4, 3, 100, True),
            student.EncoderBlock(768, 12, bias=False),
            student.EncoderBlock(768, 12),
            student.TransformerEncoder(768, 12, 12, bias=False, final_norm=True),
            student.DecoderBlock(64, 4, 100, True, False),
            student.DecoderBlock(64, 4, bias=False),
        )
    return [sum(p.numel() for p in model.parameters()) for model in models]


@pytest.mark.task("transformer", weight=3)
def test_known_models_have_their_sizes(student):
    """Transformer and EncoderBlock: count the parameters of the paper's base model, and of a block of GPT-2."""
    counts = counted(student)

    attention, norm = 4 * (64 * 64 + 64), 2 * 64
    network = 64 * 100 + 100 + 100 * 64 + 64
    small = 3 * (attention + network + 2 * norm) + 3 * (2 * attention + network + 3 * norm) + 2 * norm
    block = 12 * 768**2 + 2 * 768
    biases = 4 * 768 + 4 * 768 + 768 + 2 * 768
    names = ("Transformer()", "Transformer(64, 4, 3, 100, True)", "EncoderBlock(768, 12, bias=False)",
             "EncoderBlock(768, 12)", "TransformerEncoder(768, 12, 12, bias=False, final_norm=True)",
             "DecoderBlock(64, 4, 100, True, False)", "DecoderBlock(64, 4, bias=False)")  # fmt: skip
    bare = 8 * 64 * 64 + 3 * 64  # two attentions and three norms without biases
    wanted = (44_140_544, small, block, block + biases, 12 * block + 768, bare + 2 * 64 * 100, bare + 2 * 64 * 256)
    for got, want, name in zip(counts, wanted, names, strict=True):
        expect.equal(got, want, f"{name}: number of parameters")


# ------------------------------------------------------------------------------------------------------------
# 7.8  Training them
# ------------------------------------------------------------------------------------------------------------


@probe
def tagger_scores(student, batches, positions):
    torch.manual_seed(2)
    model = student.SequenceTagger(9, 12, 3, 2, positions=positions).double().eval()
    with torch.no_grad():
        return [model(ids) for ids in batches]


@pytest.mark.task("training", weight=3)
@pytest.mark.parametrize("positions", [True, False])
def test_padding_is_not_read(student, rng, positions):
    """SequenceTagger: padding, and the other sequences of a batch, change nothing; a row of padding gives no nan."""
    ids = torch.from_numpy(rng.integers(1, 9, size=(3, 5)))
    ids[0, 3:], ids[2] = 0, 0
    kept = ids.clone()
    wide = torch.cat([ids, torch.zeros(3, 4, dtype=torch.int64)], dim=1)

    plain, padded, alone, short = tagger_scores(student, [ids, wide, ids[1:2], ids[:1, :3]], positions)

    what = f"SequenceTagger(positions={positions})"
    expect.shape(plain, (3, 5, 9), what)
    expect.finite(plain, f"{what} beside a row of padding")
    expect.close(padded[1, :5], plain[1], f"{what} with more padding", rtol=1e-5, atol=1e-7)
    expect.close(alone[0], plain[1], f"{what} of one sequence", rtol=1e-5, atol=1e-7)
    expect.close(short[0], plain[0, :3], f"{what} without padding", rtol=1e-5, atol=1e-7)
    expect.unchanged(ids, kept, "SequenceTagger: ids")


@pytest.mark.task("training", weight=2)
def test_positions_tell_the_order(student, rng):
    """SequenceTagger: without positions a permutation permutes the scores, with positions equal tokens differ."""
    ids = torch.from_numpy(rng.permutation(np.arange(1, 7))[None])
    order = torch.from_numpy(np.roll(np.arange(6), 2))
    same = torch.full((1, 60), 4)

    loose, turned, flat = tagger_scores(student, [ids, ids[:, order], same], False)
    tied, moved, steps = tagger_scores(student, [ids, ids[:, order], same], True)

    expect.close(turned, loose[:, order], "SequenceTagger(positions=False), permuted", rtol=1e-5, atol=1e-7)
    expect.close(
        flat,
        flat[:, :1].expand_as(flat),
        "SequenceTagger(positions=False) of equal tokens",
        rtol=1e-5,
        atol=1e-7,
    )
    expect.is_true(
        not torch.allclose(moved, tied[:, order], atol=1e-3), "SequenceTagger: it does not notice the order."
    )
    apart = (steps[0][:, None] - steps[0]).abs().amax(dim=2) + torch.eye(60)
    expect.is_true(bool(apart.min() > 1e-6), "SequenceTagger: two positions with the same token get the same scores.")


@pytest.mark.task("training")
def test_padding_may_be_anywhere(student, rng):
    """SequenceTagger: id 0 is padding wherever it is, and no position looks at it."""
    ids = torch.from_numpy(rng.integers(1, 9, size=(2, 6)))
    ids[0, 2], ids[1, :2] = 0, 0

    gaps, *alone = tagger_scores(student, [ids, ids[:1, [0, 1, 3, 4, 5]], ids[1:, 2:]], False)

    what = "SequenceTagger(positions=False) without the padding"
    expect.close(alone[0][0], gaps[0, [0, 1, 3, 4, 5]], what, rtol=1e-5, atol=1e-7)
    expect.close(alone[1][0], gaps[1, 2:], what, rtol=1e-5, atol=1e-7)


@probe
def parts_of_a_tagger(student):
    """Scores of a long row; and the numbers of blocks and of heads in the student's own encoder."""
    torch.manual_seed(2)
    with torch.no_grad():
        long = student.SequenceTagger(9, 4, 1, 1).eval()(torch.ones(1, 5001, dtype=torch.int64))
        model, heads = student.SequenceTagger(9, 12, 3, 4).eval(), []
        encoders = [part for part in model.modules() if isinstance(part, student.TransformerEncoder)]
        for part in model.modules():
            if isinstance(part, student.MultiHeadAttention):
                part.register_forward_hook(lambda part, given, out: heads.append(out[1].shape[1]))
        model(torch.tensor([[1, 2, 3]]))
    return tuple(long.shape), [len(getattr(encoder, "layers", ())) for encoder in encoders], heads


@pytest.mark.task("training")
def test_a_tagger_is_made_as_asked(student):
    """SequenceTagger: your TransformerEncoder with the number of blocks and heads that was asked for, and any T."""
    shape, blocks, heads = parts_of_a_tagger(student)

    expect.equal(shape, (1, 5001, 9), "SequenceTagger(9, 4, 1, 1): shape of the scores of 5001 tokens")
    expect.equal(blocks, [4], "SequenceTagger(9, layers=4): blocks of each TransformerEncoder in it")
    expect.is_true(set(heads) <= {3}, "SequenceTagger(9, 12, 3): an attention in it has another number of heads.")


@probe
def scores_as_made(student, ids, clips):
    """Scores of two fresh networks, each with 60 scores, and those of a CNNLSTM in float64 on clips in other memory."""
    torch.manual_seed(2)
    tagger, reader = student.SequenceTagger(60, 12, 3, 1).eval(), student.CNNLSTM(60).eval()
    with torch.no_grad():
        scores = tagger(ids)[:, 0], reader(clips)
        turned = clips.double().permute(1, 0, 2, 4, 3).contiguous().permute(1, 0, 2, 4, 3)
        return scores, reader.double()(turned), reader(clips[:2].double())


@pytest.mark.task("training")
def test_scores_are_raw(student, rng):
    """SequenceTagger and CNNLSTM: raw scores, no softmax; in float64 after .double(); nothing is left of a call."""
    ids = torch.from_numpy(rng.integers(1, 60, size=(4, 5)))
    clips = _normal(rng, 4, 3, 1, 9, 10).float()

    scores, doubled, fewer = scores_as_made(student, ids, clips)

    for got, what in zip(scores, ("SequenceTagger(60)", "CNNLSTM(60)"), strict=True):
        expect.is_true(bool((got < 0).any()), f"{what}: no score is negative. Are these raw scores?")
        whole = float(got.double().exp().sum(dim=1).log().abs().max())
        expect.is_true(whole > 1e-3, f"{what}: the scores are logarithms of probabilities, no raw scores.")
    expect.close(doubled, scores[1].double(), "CNNLSTM in float64", rtol=1e-3, atol=1e-4, dtype=torch.float64)
    expect.close(fewer, doubled[:2], "CNNLSTM of two clips", rtol=1e-6, atol=1e-8)


@pytest.mark.task("training")
def test_taggers_and_readers_have_no_dropout(student, rng):
    """SequenceTagger and CNNLSTM: there is no dropout anywhere."""
    ids, clips = torch.from_numpy(rng.integers(1, 9, size=(4, 5))), _normal(rng, 4, 3, 1, 9, 10).float()

    _judge_passes(passes_in_training(student, "SequenceTagger", (9, 12, 3, 1), ids), "SequenceTagger")
    _judge_passes(passes_in_training(student, "CNNLSTM", (40,), clips), "CNNLSTM")


@probe
def positions_in_memory(student):
    """The size of a tagger with and without positions, and what its encoder is given by a known embedding."""
    sizes, inputs = [], []
    for positions in (True, False):
        torch.manual_seed(2)
        model = student.SequenceTagger(9, 10, 2, 1, positions=positions).eval()
        sizes.append(sum(p.numel() for p in model.parameters()))
        tables = [part for part in model.modules() if isinstance(part, nn.Embedding)]
        encoders = [part for part in model.modules() if isinstance(part, student.TransformerEncoder)]
        if len(tables) == 1 and encoders:
            with torch.no_grad():
                tables[0].weight.fill_(0.25)
                encoders[0].register_forward_pre_hook(lambda part, given: inputs.append(given))
                model(torch.tensor([[1, 2, 3]]))
    return sizes, [given[0].detach() for given in inputs if given]


@pytest.mark.task("training", weight=2)
def test_positions_are_added_to_scaled_embeddings(student):
    """SequenceTagger: the encoder is given embedding * sqrt(d) plus the table of positions, which is not learned."""
    sizes, inputs = positions_in_memory(student)

    expect.equal(sizes[0], sizes[1], "SequenceTagger: parameters with positions, beside those without")
    if len(inputs) == 2:  # another kind of embedding, or of call, gives nothing to look at
        plain = torch.full((1, 3, 10), 0.25 * 10**0.5)
        expect.close(inputs[1], plain, "SequenceTagger(positions=False): what its encoder is given", rtol=1e-4)
        expect.close(
            inputs[0],
            plain + _clock(3, 10),
            "SequenceTagger: what its encoder is given",
            rtol=1e-4,
            atol=1e-5,
        )


@probe
def frames_and_clips(student, clips, channels):
    """Features of clips and of their frames alone, scores of clips and of each alone; and which parts there are."""
    torch.manual_seed(0)
    model = student.CNNLSTM(5, channels).eval()
    with torch.no_grad():
        frames = clips.reshape(-1, 1, *clips.shape[2:])
        alone = model.features(frames).reshape(*clips.shape[:2], -1)
        parts = [any(isinstance(part, kind) for part in model.modules()) for kind in (nn.Conv2d, nn.LSTM)]
        scores = model(clips)
        return model.features(clips), alone, scores, torch.cat([model(clip[None]) for clip in clips]), parts


@pytest.mark.task("training", weight=2)
@pytest.mark.parametrize("shape", [(3, 4, 2, 8, 11), (1, 1, 1, 12, 9)])
def test_frames_do_not_mix(student, rng, shape):
    """CNNLSTM: features of a frame are those of the frame alone, and scores of a clip those of the clip alone."""
    clips = torch.from_numpy(rng.normal(size=shape).astype(np.float32))
    kept = clips.clone()

    together, alone, scores, single, parts = frames_and_clips(student, clips, shape[2])

    expect.equal(parts, [True, True], "CNNLSTM: whether it has an nn.Conv2d, and an nn.LSTM")
    expect.close(together, alone, "CNNLSTM.features", rtol=1e-4, atol=1e-5)
    expect.shape(scores, (shape[0], 5), "CNNLSTM(5)")
    expect.close(single, scores, "CNNLSTM of one clip", rtol=1e-4, atol=1e-5)
    expect.unchanged(clips, kept, "CNNLSTM: clips")


@pytest.mark.task("training", weight=3)
@pytest.mark.parametrize("many", [False, True])
def test_the_rounds_of_scores(student, rng, many):
    """fit_scores: each row once in an epoch, in a new order; the mean loss of all labels that count."""
    x = rng.integers(0, 50, size=(237, 5)) if many else _numbered_rows(rng, 237, 5)
    x[:, 0] = np.arange(237)
    shape = (237, 5) if many else (237,)
    y = rng.integers(0, 4, size=shape)
    if many:
        y[rng.random(shape) < 0.5] = -100
        y[:, 2] = 1
    answers = torch.from_numpy((rng.normal(size=(*shape, 4)) * rng.uniform(0, 4, size=(*shape, 1))).astype(np.float32))
    kept = x.copy(), y.copy()

    runs = watched_training(student, "fit_scores", x, answers, (y,), {"epochs": 3}, [0, 0, 5], 1.0)

    each = F.cross_entropy(answers.double().flatten(0, -2), torch.from_numpy(y).flatten(), reduction="none")
    want = float(each.sum() / (y != -100).sum())
    _judge_rounds(runs, "fit_scores", 237, 3, want, 1.0)
    expect.unchanged(x, kept[0], "fit_scores: x")
    expect.unchanged(y, kept[1], "fit_scores: y")


@pytest.mark.task("training", weight=2)
def test_the_steps_of_scores(student, rng):
    """fit_scores: clear the gradients before each backward pass, and train the model that was given, in place."""
    x = rng.normal(size=(150, 6)).astype(np.float32)
    y = (x[:, 0] > 0).astype(np.int64)

    _judge_steps(watched_steps(student, "fit_scores", x, (y,), (6, 2), {"epochs": 2}), "fit_scores")


@pytest.mark.task("training")
@pytest.mark.parametrize(("n", "epochs"), [(257, 2), (3, 1)])
def test_the_losses_of_scores(student, rng, n, epochs):
    """fit_scores: the loss of a batch is the mean over its labels that count, and it is the one during training."""
    x = rng.normal(size=(n, 4, 6)).astype(np.float32)
    x[:, 0, 0] = 0.01 * np.arange(n)
    y = rng.integers(0, 3, size=(n, 4))
    y[rng.random(y.shape) < 0.5] = -100
    y[:, 2] = 1

    def loss_of(out, rows):
        wanted = torch.from_numpy(y)[rows].flatten()
        return F.cross_entropy(out.flatten(0, -2), wanted, reduction="sum"), int((wanted != -100).sum())

    found = recorded_training(student, "fit_scores", x, (y,), (6, 3), epochs)

    _judge_record(found, "fit_scores", n, epochs, loss_of)


# On the few seeds that were measured the reference gets 1.00 of the tokens and 1.00 of the clips, backwards too.
TAGGED_FLOOR, CLIP_FLOOR = 0.97, 0.90


@probe
def trained_tagger(student, x, y, unseen, positions, seed):
    torch.manual_seed(seed)
    model = student.SequenceTagger(11, positions=positions)
    student.fit_scores(model, x, y, seed=seed)
    with torch.no_grad():
        return model.eval()(torch.from_numpy(unseen))


@pytest.mark.task("training", weight=4)
def test_rows_are_turned_round(student, seed):
    """fit_scores: the docstring says what share of the tokens of unseen rows must be right with positions."""
    x, y = reversals(1000, seed=(seed, 1))
    unseen, truth = reversals(300, seed=(seed, 2))

    scores = trained_tagger(student, x, y, unseen, True, seed % 1000)

    expect.shape(scores, (300, 8, 11), "SequenceTagger(11)")
    share = float((scores.argmax(dim=2).numpy() == truth).mean())
    expect.at_least(share, TAGGED_FLOOR, "fit_scores: share of the tokens of unseen rows that are right")


@probe
def trained_reader(student, clips, labels, unseen, seed):
    """Train on clips; score unseen ones, the same backwards, and with each part switched off."""
    torch.manual_seed(seed)
    model = student.CNNLSTM(4)
    student.fit_scores(model, clips, labels, seed=seed)
    model.eval()
    shown = torch.from_numpy(unseen)

    def silenced(kind):
        def nothing(part, given, out):
            return (
                (torch.zeros_like(out[0]), tuple(torch.zeros_like(s) for s in out[1])) if kind is nn.LSTM else 0 * out
            )

        hooks = [part.register_forward_hook(nothing) for part in model.modules() if isinstance(part, kind)]
        scores = model(shown)
        for hook in hooks:
            hook.remove()
        return scores

    with torch.no_grad():
        return model(shown), model(shown.flip(1)), silenced(nn.Conv2d), silenced(nn.LSTM)


@pytest.fixture(scope="module")
def clips_read(student, seed):
    clips, labels = moving_shapes(600, seed=(seed, 3))
    unseen, truth = moving_shapes(400, seed=(seed, 4))
    order = np.argsort(labels, kind="stable")
    found = trained_reader(student, clips[order], labels[order], unseen, seed % 1000)
    for scores in found:
        expect.shape(scores, (400, 4), "CNNLSTM(4)")
    return [scores.argmax(dim=1).numpy() for scores in found], truth


@pytest.mark.task("training", weight=4)
def test_clips_are_understood(clips_read):
    """fit_scores: the docstring says what share of unseen clips a CNNLSTM must get right."""
    (named, *_), truth = clips_read

    expect.accuracy(named, truth, CLIP_FLOOR, "fit_scores: a CNNLSTM on unseen clips")


@pytest.mark.task("training", weight=3)
def test_both_parts_are_needed(clips_read):
    """CNNLSTM: without convolutions, or without LSTM, it knows little; backwards, the shape moves the other way."""
    (_, backwards, blind, forgetful), truth = clips_read

    turned = float((backwards == (truth ^ 1)).mean())
    expect.is_true(
        turned >= 0.7,
        "CNNLSTM: of a clip that runs backwards it does not say that the shape moves the other way.",
    )
    for named, part in ((blind, "convolutions"), (forgetful, "LSTM")):
        share = float((named == truth).mean())
        expect.is_true(share <= 0.6, f"CNNLSTM: it is as good without its {part}.")
