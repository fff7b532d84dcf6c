"""Public tests of the frameworks: small numbers that you can follow on paper."""

import functools
import math
import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from autograder import expect, probe

# ------------------------------------------------------------------------------------------------------------
# 3.1  Tensor warm-ups
# ------------------------------------------------------------------------------------------------------------


@pytest.mark.task("tensors", weight=3)
def test_distances_between_points_on_paper(student):
    """Two points against three: one row for each of the two, one column for each of the three."""
    a = torch.tensor([[0.0, 0.0], [-3.0, 4.0]])
    b = torch.tensor([[3.0, 0.0], [0.0, 0.0], [6.0, -8.0]])
    a_before, b_before = a.clone(), b.clone()

    got = student.pairwise_sq_dist(a, b)

    want = torch.tensor([[9.0, 0.0, 100.0], [52.0, 25.0, 225.0]])
    expect.close(got, want, "pairwise_sq_dist", rtol=1e-6, dtype=torch.float32)
    expect.unchanged(a, a_before, "pairwise_sq_dist: a")
    expect.unchanged(b, b_before, "pairwise_sq_dist: b")


@pytest.mark.task("tensors", weight=3)
def test_a_label_becomes_a_row_with_a_single_one(student):
    """Label 2 of three classes is 0, 0, 1."""
    labels = torch.tensor([2, 0, 1, 2])

    got = student.one_hot(labels, 3)

    want = torch.tensor([[0, 0, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    expect.close(got, want, "one_hot", dtype=torch.int64)
    expect.unchanged(labels, torch.tensor([2, 0, 1, 2]), "one_hot: labels")


@pytest.mark.task("tensors", weight=3)
def test_each_row_gives_the_score_of_its_label(student):
    """From row i comes the entry in column labels[i]."""
    logits, labels = torch.tensor([[1.0, -2.0, 3.0], [-4.0, 5.0, 6.0]]), torch.tensor([2, 0])
    before = logits.clone()

    got = student.gather_logits(logits, labels)

    expect.close(got, torch.tensor([3.0, -4.0]), "gather_logits", dtype=torch.float32)
    expect.unchanged(logits, before, "gather_logits: logits")
    expect.unchanged(labels, torch.tensor([2, 0]), "gather_logits: labels")


# ------------------------------------------------------------------------------------------------------------
# 3.2  A network as a module
# ------------------------------------------------------------------------------------------------------------


@probe
def state_of_a_simple_net(student):
    model = student.SimpleNet()
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    return shapes, sum(p.numel() for p in model.parameters() if p.requires_grad)


@pytest.mark.task("simple_net")
def test_it_holds_four_tensors_with_101770_numbers(student):
    """784 * 128 + 128 in the first layer, 128 * 10 + 10 in the second, and PyTorch must know of them all."""
    shapes, count = state_of_a_simple_net(student)

    expect.equal(
        shapes,
        {"fc1.weight": (128, 784), "fc1.bias": (128,), "fc2.weight": (10, 128), "fc2.bias": (10,)},
        "SimpleNet: shapes in its state_dict",
    )
    expect.equal(count, 784 * 128 + 128 + 128 * 10 + 10, "SimpleNet: numbers to train")


@probe
def logits_and_weights(student, x):
    torch.manual_seed(4)
    model = student.SimpleNet().eval()
    before = x.clone()
    with torch.no_grad():
        logits = model(x)
    return logits, {name: value.clone() for name, value in model.state_dict().items()}, torch.equal(x, before)


@pytest.mark.task("simple_net")
def test_logits_are_those_of_the_formula(student, rng):
    """In eval mode it is relu(x @ W1.T + b1) @ W2.T + b2, and nothing after that."""
    x = torch.from_numpy(rng.normal(size=(5, 784)).astype(np.float32))

    logits, w, is_unchanged = logits_and_weights(student, x)

    expect.equal(sorted(w), ["fc1.bias", "fc1.weight", "fc2.bias", "fc2.weight"], "SimpleNet: names in its state")
    hidden = (x @ w["fc1.weight"].T + w["fc1.bias"]).clamp(min=0)
    want = hidden @ w["fc2.weight"].T + w["fc2.bias"]
    expect.close(logits, want, "SimpleNet()(x) in eval mode", rtol=1e-4, atol=1e-5)
    expect.is_true(is_unchanged, "SimpleNet: it changed its input; work on a copy.")


@probe
def outputs_in_both_modes(student, x):
    model = student.SimpleNet()
    with torch.no_grad():
        model.train()
        first, second = model(x), model(x)
        model.eval()
        return first, second, model(x), model(x)


@pytest.mark.task("simple_net")
def test_dropout_works_in_training_and_only_there(student, rng):
    """Two passes differ in training mode; in eval mode they are the same to the last bit."""
    x = torch.from_numpy(rng.normal(size=(3, 784)).astype(np.float32))

    first, second, once, twice = outputs_in_both_modes(student, x)

    expect.is_true(not torch.equal(first, second), "SimpleNet: in training mode two passes are the same.")
    expect.is_true(torch.equal(once, twice), "SimpleNet: in eval mode two passes differ.")


# ------------------------------------------------------------------------------------------------------------
# 3.3  From NumPy to PyTorch and back
# ------------------------------------------------------------------------------------------------------------

#: |x0 - x1| as a network: relu(x0 - x1) + relu(x1 - x0)
DISTANCE = [
    (np.array([[1.0, -1.0], [-1.0, 1.0]]), np.array([0.0, 0.0])),
    (np.array([[1.0, 1.0]]), np.array([0.5])),
]


@probe
def exported(student, params, x):
    kept = [(W.copy(), b.copy()) for W, b in params]
    model = student.export_to_torch(kept)
    if not isinstance(model, nn.Module):
        return type(model).__name__, None, True
    shapes = [tuple(value.shape) for pair in params for value in pair]
    fits = [tuple(p.shape) for p in model.parameters()] == shapes
    out = None
    if fits and all(p.dtype == x.dtype for p in model.parameters()):
        with torch.no_grad():
            out = model(x)
    same = len(kept) == len(params) and all(
        np.array_equal(W, V) and np.array_equal(b, c) for (W, b), (V, c) in zip(kept, params, strict=True)
    )
    names = [
        next(
            (kind.__name__ for kind in (nn.Linear, nn.ReLU) if isinstance(module, kind)),
            type(module).__name__,
        )
        for module in (model if isinstance(model, nn.Sequential) else [model])
    ]
    return names, out, same


@pytest.mark.task("numpy_bridge")
def test_a_network_on_paper_gives_the_same_in_torch(student):
    """|x0 - x1| + 0.5 from two hidden units: 3 and 1 give 2.5, and so do 1 and 3."""
    x = torch.tensor([[3.0, 1.0], [1.0, 3.0]], dtype=torch.float64)

    names, out, is_unchanged = exported(student, DISTANCE, x)

    expect.equal(names, ["Linear", "ReLU", "Linear"], "export_to_torch: its modules")
    sentence = "export_to_torch: its parameters have other shapes or another dtype than the arrays."
    expect.is_true(out is not None, sentence)
    expect.close(out, torch.tensor([[2.5], [2.5]], dtype=torch.float64), "export_to_torch(params)(x)")
    expect.is_true(is_unchanged, "export_to_torch: it changed params; work on copies.")


@probe
def there_and_back(student, params):
    """The arrays that come back; and whether the model between is the same after they were changed."""
    model = student.export_to_torch([(W.copy(), b.copy()) for W, b in params])
    if not isinstance(model, nn.Module):
        return [], False
    before = {name: value.clone() for name, value in model.state_dict().items()}
    got = student.import_from_torch(model)
    if any(type(value) is not np.ndarray for pair in got for value in pair):
        return got, True
    copies = [tuple(value.copy() for value in pair) for pair in got]
    for pair in got:
        for value in pair:
            if value.flags.writeable:
                value += 1
    return copies, all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.task("numpy_bridge")
def test_there_and_back_is_where_you_began(student):
    """What goes to PyTorch comes back bit for bit, as NumPy arrays in memory of their own."""
    got, is_unchanged = there_and_back(student, DISTANCE)

    expect.equal(len(got), 2, "import_from_torch(export_to_torch(params)): its length")
    for layer, ((W, b), (want_W, want_b)) in enumerate(zip(got, DISTANCE, strict=True)):
        expect.close(W, want_W, f"import_from_torch: W of layer {layer}", rtol=0, atol=0, dtype=np.float64)
        expect.close(b, want_b, f"import_from_torch: b of layer {layer}", rtol=0, atol=0, dtype=np.float64)
    expect.is_true(is_unchanged, "import_from_torch: a change of the arrays changes the model.")


# ------------------------------------------------------------------------------------------------------------
# 3.4  The loop that trains, the loop that evaluates
# ------------------------------------------------------------------------------------------------------------


@probe
def one_step_from_zero(student):
    """Two samples, two classes, all weights zero, one batch, SGD with a learning rate of 1."""
    model = nn.Linear(1, 2)
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    loader = [(torch.tensor([[2.0], [4.0]]), torch.tensor([0, 0]))]
    result = student.train_epoch(model, loader, F.cross_entropy, optimizer)
    return result, model.weight.detach(), model.bias.detach()


def _loss_and_accuracy(result, what):
    """The two numbers that train_epoch and evaluate return."""
    is_pair = type(result) in (tuple, list) and len(result) == 2
    expect.is_true(is_pair, f"{what}: it does not return two numbers, (loss, accuracy).")
    return result


@pytest.mark.task("training_loop", weight=2)
def test_one_step_on_paper(student):
    """Scores of zero are a chance of 1/2 each: the loss is log 2, and the gradient x * (1/2 - 1) for the label."""
    result, weight, bias = one_step_from_zero(student)

    loss, accuracy = _loss_and_accuracy(result, "train_epoch")
    expect.close(loss, math.log(2), "train_epoch: loss", rtol=1e-6)
    expect.close(accuracy, 1.0, "train_epoch: accuracy (the first of two equal scores is the largest)")
    expect.close(weight, torch.tensor([[1.5], [-1.5]]), "train_epoch: weight after one step", rtol=1e-6)
    expect.close(bias, torch.tensor([0.5, -0.5]), "train_epoch: bias after one step", rtol=1e-6)


@probe
def evaluated_identity(student, batches):
    return student.evaluate(nn.Identity(), batches, F.cross_entropy)


@pytest.mark.task("training_loop")
def test_a_small_last_batch_counts_for_what_it_holds(student):
    """Four samples that are right and a batch of one that is wrong make an accuracy of 4/5, not of 1/2."""
    sure = torch.tensor([[0.0, 3.0]])
    batches = [(sure.expand(4, 2), torch.ones(4, dtype=torch.int64)), (sure, torch.tensor([0]))]

    loss, accuracy = _loss_and_accuracy(evaluated_identity(student, batches), "evaluate")

    right, wrong = math.log(1 + math.exp(-3)), math.log(1 + math.exp(3))
    expect.close(accuracy, 0.8, "evaluate: accuracy")
    expect.close(loss, (4 * right + wrong) / 5, "evaluate: loss", rtol=1e-5)


@probe
def evaluated_with_dropout(student, x, y):
    model = nn.Sequential(nn.Linear(4, 30), nn.Dropout(0.5), nn.Linear(30, 3)).train()
    first = student.evaluate(model, [(x, y)], F.cross_entropy)
    second = student.evaluate(model, [(x, y)], F.cross_entropy)
    return first, second, [module.training for module in model.modules()]


@pytest.mark.task("training_loop")
def test_an_evaluation_is_the_same_twice(student, rng):
    """Dropout is for training: evaluate in eval mode, and give the model back in the mode in which it came."""
    x = torch.from_numpy(rng.normal(size=(6, 4)).astype(np.float32))

    first, second, modes = evaluated_with_dropout(student, x, torch.tensor([0, 1, 2, 0, 1, 2]))

    expect.equal(first, second, "evaluate: the second time")
    expect.equal(modes, [True] * 4, "evaluate: training mode of the model and its three layers afterwards")


# ------------------------------------------------------------------------------------------------------------
# 3.5  Data in batches
# ------------------------------------------------------------------------------------------------------------


@pytest.mark.task("data_loading")
def test_a_sample_and_its_label_are_tensors(student):
    """float32 for a network, int64 for cross-entropy, whatever the arrays hold."""
    x, y = np.array([[0, 128], [255, 1], [7, 8]], dtype=np.uint8), np.array([2, 0, 1], dtype=np.int32)

    x_before, y_before = x.copy(), y.copy()

    dataset = student.ArrayDataset(x, y)

    expect.equal(len(dataset), 3, "len(ArrayDataset)")
    sample, label = dataset[1]
    expect.close(sample, torch.tensor([255.0, 1.0]), "ArrayDataset[1][0]", dtype=torch.float32)
    expect.close(label, torch.tensor(0), "ArrayDataset[1][1]", dtype=torch.int64)
    expect.unchanged(x, x_before, "ArrayDataset: x")
    expect.unchanged(y, y_before, "ArrayDataset: y")


@probe
def batches_of_seven(student, options):
    dataset = [(torch.tensor([float(i), 10.0 * i]), torch.tensor(i)) for i in range(7)]
    loader = student.DataLoader(dataset, **options)
    return len(loader), [list(loader), list(loader)]


@pytest.mark.task("data_loading")
def test_seven_samples_make_batches_of_three_three_and_one(student):
    """In order, stacked along a new first axis, and the rest at the end is a batch too."""
    length, (batches, _again) = batches_of_seven(student, {"batch_size": 3})

    expect.equal(length, 3, "len(DataLoader)")
    expect.equal([len(y) for _, y in batches], [3, 3, 1], "DataLoader: sizes of the batches")
    x, y = batches[1]
    expect.close(x, torch.tensor([[3.0, 30.0], [4.0, 40.0], [5.0, 50.0]]), "DataLoader: x of batch 1")
    expect.close(y, torch.tensor([3, 4, 5]), "DataLoader: y of batch 1", dtype=torch.int64)


@pytest.mark.task("data_loading")
def test_a_shuffled_epoch_visits_every_sample_once_and_the_next_in_another_order(student):
    """A new permutation each time that the loop begins."""
    _length, epochs = batches_of_seven(student, {"batch_size": 2, "shuffle": True})

    first, second = ([int(i) for _, y in batches for i in y] for batches in epochs)
    expect.equal(sorted(first), list(range(7)), "DataLoader(shuffle=True): labels of an epoch, sorted")
    expect.equal(sorted(second), list(range(7)), "DataLoader(shuffle=True): labels of the next, sorted")
    more = [
        [int(i) for _, y in batches for i in y]
        for _ in range(3)
        for batches in batches_of_seven(student, {"batch_size": 2, "shuffle": True})[1]
    ]
    expect.is_true(
        any(epoch != first for epoch in [second, *more]), "DataLoader(shuffle=True): every epoch is the same."
    )


@probe
def draws_after_seeding(student, seeds):
    """What NumPy and Python draw after seed_worker, where PyTorch gave the worker this seed."""
    draws = []
    for seed in seeds:
        torch.manual_seed(seed)
        student.seed_worker(0)
        draws.append((float(np.random.rand()), random.random()))
    return draws


@pytest.mark.task("data_loading")
def test_the_seed_of_a_worker_decides_what_it_draws(student):
    """Where torch.initial_seed() is another, NumPy and Python draw other numbers; where it is the same, the same."""
    first, second, again = draws_after_seeding(student, [11, 12, 11])

    expect.equal(again, first, "seed_worker: draws of (np.random, random) under the same seed of PyTorch's")
    for name, one, other in zip(("np.random", "random"), first, second, strict=True):
        expect.is_true(one != other, f"seed_worker: {name} draws the same under two seeds of PyTorch's.")


# ------------------------------------------------------------------------------------------------------------
# 3.6  A function and a loss of your own
# ------------------------------------------------------------------------------------------------------------


@pytest.mark.task("custom_autograd", weight=2)
def test_swish_of_a_few_numbers(student):
    """x times the logistic function of x: half of x near zero, x far to the right, nothing far to the left."""
    x = torch.tensor([0.0, math.log(3.0), -math.log(3.0), 50.0, -50.0], dtype=torch.float64)
    before = x.clone()

    got = student.Swish.apply(x)

    want = torch.tensor([0.0, 0.75 * math.log(3.0), -0.25 * math.log(3.0), 50.0, 0.0], dtype=torch.float64)
    expect.close(got, want, "Swish.apply", dtype=torch.float64)
    expect.unchanged(x, before, "Swish.apply: x")


@pytest.mark.task("custom_autograd", weight=2)
def test_the_slope_of_swish_at_zero_is_one_half(student):
    """With the loss 3 * swish(x) it is three halves: what comes from above is passed on."""
    x = torch.zeros(2, dtype=torch.float64, requires_grad=True)

    (3 * student.Swish.apply(x)).sum().backward()

    expect.close(x.grad, torch.tensor([1.5, 1.5], dtype=torch.float64), "Swish: gradient of 3 * swish at 0")


@pytest.mark.task("custom_autograd", weight=3)
def test_a_sure_sample_counts_less(student):
    """At p = 1/2 and gamma = 2 a loss of log 2 is weighted by (1 - 1/2)^2; at gamma = 0 it is the cross-entropy."""
    logits, targets = torch.tensor([[1.0, 1.0], [0.0, math.log(3.0)]]), torch.tensor([0, 1])
    before = logits.clone()

    plain = student.FocalLoss(gamma=0.0)(logits, targets)
    focal = student.FocalLoss(gamma=2.0, reduction="none")(logits, targets)

    expect.close(plain, F.cross_entropy(logits, targets), "FocalLoss(gamma=0)", rtol=1e-5)
    want = torch.tensor([math.log(2) / 4, math.log(4 / 3) / 16])
    expect.close(focal, want, "FocalLoss(gamma=2, reduction='none')", rtol=1e-5)
    expect.unchanged(logits, before, "FocalLoss: logits")
    expect.unchanged(targets, torch.tensor([0, 1]), "FocalLoss: targets")


# ------------------------------------------------------------------------------------------------------------
# 3.7  Devices and checkpoints
# ------------------------------------------------------------------------------------------------------------


@probe
def devices(student, with_cuda, names):
    """Names of the devices that are chosen on a machine with two GPUs of NVIDIA's, or with none of any kind."""
    real = torch.cuda.is_available, torch.cuda.device_count, torch.backends.mps.is_available
    torch.cuda.is_available, torch.cuda.device_count = lambda: with_cuda, lambda: 2 * with_cuda
    torch.backends.mps.is_available = lambda: False
    try:
        chosen = [student.get_device(*name) for name in names]
    finally:
        torch.cuda.is_available, torch.cuda.device_count, torch.backends.mps.is_available = real
    return [(type(device).__name__, str(device)) for device in chosen]


@pytest.mark.task("checkpoints")
def test_without_a_gpu_it_is_the_cpu(student):
    """A program that asks for a GPU still runs where there is none."""
    expect.equal(devices(student, False, [()]), [("device", "cpu")], "get_device() without a GPU")
    expect.equal(devices(student, False, [("cuda",)]), [("device", "cpu")], "get_device('cuda') without one")
    expect.equal(devices(student, True, [()]), [("device", "cuda")], "get_device() with a GPU")


@probe
def resumed(student, x, y):
    """Train for four epochs; and for two, stop, and go on for two with everything new but the file."""
    import os
    import tempfile

    def start():
        model = nn.Linear(3, 2)
        return model, torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

    def go_on(model, optimizer, epochs):
        for _ in range(epochs):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()

    path = os.path.join(tempfile.mkdtemp(), "run.pt")
    torch.manual_seed(1)
    model, optimizer = start()
    go_on(model, optimizer, 2)
    student.save_checkpoint(path, model, optimizer, 2)
    go_on(model, optimizer, 2)
    fresh, optimizer = start()
    epoch = student.load_checkpoint(path, fresh, optimizer)
    go_on(fresh, optimizer, 2)
    return epoch, model.weight.detach(), fresh.weight.detach()


@pytest.mark.task("checkpoints")
def test_a_run_that_stopped_goes_on_as_if_it_had_not(student, rng):
    """Weights alone are not enough: momentum is a state of the optimiser's."""
    x = torch.from_numpy(rng.normal(size=(8, 3)).astype(np.float32))

    epoch, whole, in_two = resumed(student, x, torch.tensor([0, 1] * 4))

    expect.equal(epoch, 2, "load_checkpoint: epochs done")
    expect.close(in_two, whole, "weights after a stop and two more epochs", rtol=0, atol=0)


@probe
def prepared(student):
    model = nn.Linear(2, 3)
    found = student.prepare(model, functools.partial(torch.optim.SGD, lr=0.25), "meta")
    if not (type(found) in (tuple, list) and isinstance(found[-1], torch.optim.Optimizer)):
        return None
    given_back, optimizer = found
    held = [p for group in optimizer.param_groups for p in group["params"]]
    same = [any(p is q for q in model.parameters()) for p in held]
    return given_back is model, str(model.weight.device), same, optimizer.param_groups[0]["lr"]


@pytest.mark.task("checkpoints")
def test_an_optimiser_holds_the_parameters_that_the_model_has_on_the_device(student):
    """Which comes first, the move or the optimiser?"""
    found = prepared(student)

    expect.is_true(found is not None, "prepare: it does not return the pair (model, optimizer).")
    is_same, device, held, lr = found
    expect.equal(is_same, True, "prepare: the model given back is the one given")
    expect.equal(device, "meta", "prepare(..., 'meta'): device of the weight")
    expect.equal(held, [True, True], "prepare: is each parameter of the optimiser one of the model's?")
    expect.equal(lr, 0.25, "prepare: learning rate")


# ------------------------------------------------------------------------------------------------------------
# 3.8  The same network in Keras
# ------------------------------------------------------------------------------------------------------------


@probe
def keras_shapes(student, sizes):
    model = student.build_keras_mlp(*sizes)
    return model.count_params(), [tuple(w.shape) for w in model.get_weights()]


@pytest.mark.task("keras_model")
def test_the_keras_model_has_as_many_numbers_as_simple_net(student):
    """784-128-10 is 101,770 again, but Keras lays its kernels out as (in, out)."""
    count, shapes = keras_shapes(student, (784, 128, 10))

    expect.equal(count, 101770, "build_keras_mlp(784, 128, 10).count_params()")
    expect.equal(shapes, [(784, 128), (128,), (128, 10), (10,)], "build_keras_mlp: shapes of its weights")


@probe
def logits_of_both(student, x):
    torch.manual_seed(2)
    net = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Dropout(0.2), nn.Linear(4, 3)).eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with torch.no_grad():
        want = net(torch.from_numpy(x)).numpy()
    weights = student.torch_to_keras_weights(net)
    model = student.build_keras_mlp(5, 4, 3)
    model.set_weights(weights)
    got = model.predict(x, verbose=0)
    for value in weights:
        if value.flags.writeable:
            value *= 2
    return want, got, all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


@pytest.mark.task("keras_model")
def test_the_same_weights_give_the_same_logits(student, rng):
    """Carried over from PyTorch, as copies, the weights answer the same in Keras, row by row."""
    want, got, is_unchanged = logits_of_both(student, rng.normal(size=(6, 5)).astype(np.float32))

    expect.close(got, want, "build_keras_mlp with torch_to_keras_weights: logits", rtol=1e-4, atol=1e-5)
    expect.is_true(is_unchanged, "torch_to_keras_weights: a change of the arrays changes the PyTorch model.")


@probe
def counted(student):
    norm = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    return student.count_trainable(norm), student.count_trainable(student.build_keras_mlp(3, 4, 2))


@pytest.mark.task("keras_model")
def test_only_what_training_changes_counts(student):
    """3 * 4 + 4 of a linear layer and 2 * 4 of a batch norm; its running statistics are not trained."""
    in_torch, in_keras = counted(student)

    expect.equal(in_torch, 24, "count_trainable(Linear(3, 4) and BatchNorm1d(4))")
    expect.equal(in_keras, 3 * 4 + 4 + 4 * 2 + 2, "count_trainable(build_keras_mlp(3, 4, 2))")


# ------------------------------------------------------------------------------------------------------------
# 3.9  One step of TensorFlow
# ------------------------------------------------------------------------------------------------------------


@probe
def step_of_a_linear_model(student, x, y, classes, lr):
    """One step of gradient descent from weights of zero; the loss, its type, the new weights, and gradients of None."""
    import tensorflow as tf

    class Linear(tf.Module):
        def __init__(self):
            super().__init__()
            self.W = tf.Variable(tf.zeros((x.shape[1], classes)))

        def __call__(self, x, training=False):
            return tf.linalg.matmul(x, self.W)

    missing = []

    class Descent:
        def apply_gradients(self, pairs):
            for gradient, variable in pairs:
                missing.append(gradient is None)
                if gradient is not None:
                    variable.assign_sub(lr * gradient)

    model = Linear()
    loss = student.tf_train_step(model, x, y, Descent())
    return loss, type(loss).__name__, model.W.numpy(), any(missing)


@pytest.mark.task("tf_train_step")
def test_a_tensorflow_step_on_paper(student):
    """With weights of zero each of three classes has a chance of 1/3: the gradient is x * (1/3 - is it the label?)."""
    x, y = np.array([[3.0, 0.0], [0.0, 6.0]], dtype=np.float32), np.array([1, 2])

    loss, kind, W, is_none = step_of_a_linear_model(student, x, y, 3, 1.0)

    sentence = "tf_train_step: a gradient is None: the tape saw no way from the variable to the loss."
    expect.is_true(not is_none, sentence)
    expect.equal(kind, "float", "tf_train_step: type of the loss")
    expect.close(loss, math.log(3), "tf_train_step: loss", rtol=1e-5)
    want = np.array([[-0.5, 1.0, -0.5], [-1.0, -1.0, 2.0]], dtype=np.float32)
    expect.close(W, want, "tf_train_step: weights after one step", rtol=1e-5, atol=1e-6)
