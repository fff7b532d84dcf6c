"""Project 3, transfer learning: a network that knows seven shapes learns three new ones from a few images.

From a file of weights and a file of raw images to a finished result: load what fits, put a new head on, freeze and
thaw, give each depth its own learning rate, adapt to another domain, compare with a start from scratch, and one
function `run` that does it all.

Images are (N, C, H, W) float32 in [0, 1], as NumPy arrays, except where a docstring says "raw".

Rules for the whole file:
    * no function changes its arguments, except where its docstring says so. A model that is "changed in place" keeps
      everything that its docstring does not name: values, requires_grad, the mode of each layer, gradients.
    * where several things are returned, a tuple or a list will do.
    * functions that train may set torch's and NumPy's global random states.
    * batch norm means nn.BatchNorm1d, nn.BatchNorm2d and nn.BatchNorm3d with running statistics.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

BATCH_NORM = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class ShapeNet(nn.Module):
    """The network whose trained weights the course gives (this class is complete).

    Three convolutions with batch norm and ReLU, the mean of each of the 64 maps, and a linear head.
    """

    def __init__(self, n_classes=7):
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU(),
        )  # fmt: skip
        self.head = nn.Linear(64, n_classes)

    def forward(self, x):
        """(N, 3, H, W) -> scores (N, n_classes)"""
        return self.head(self.backbone(x).mean(dim=(2, 3)))


def stages(model):
    """Return the stages of a model from its input to its head (this function is complete).

    A layer is a module with parameters or buffers of its own. A stage begins with each layer that has a parameter with
    two or more axes, such as a convolution or a linear layer. It goes on up to the next such layer, so a batch norm
    belongs to the stage of the convolution before it. The last stage begins with the head.

    A ShapeNet has four stages: three convolutions, each with its batch norm, and the head.

    Returns:
        a list of stages; each is a list of layers, in the order of model.modules()
    """
    found = []
    for layer in model.modules():
        own = list(layer.parameters(recurse=False))
        if own or list(layer.buffers(recurse=False)):
            if not found or any(parameter.dim() > 1 for parameter in own):
                found.append([])
            found[-1].append(layer)
    return found


# ------------------------------------------------------------------------------------------------------------
# P3.1  Load what fits
# ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LoadReport:
    """What became of each name when a state was loaded into a model (this class is complete).

    Each name of the model or of the state is in exactly one of the five. The order of names is yours.

    Attributes:
        loaded: names whose values were copied into the model
        missing: names of the model that the state does not have
        unexpected: names of the state that the model does not have
        other_shape: name -> (shape in the state, shape in the model), a dict; both shapes are tuples
        held_back: names that would fit, but belong to a layer that does not fit as a whole
    """

    loaded: list[str]
    missing: list[str]
    unexpected: list[str]
    other_shape: dict[str, tuple[tuple[int, ...], tuple[int, ...]]]
    held_back: list[str]


def load_pretrained(model, state):
    """Copy what fits of a trained state into a model, layer by layer, and say what became of each name.

    * Names are those of model.state_dict(): parameters and buffers. A layer is what has the same name up to the last
      dot: "head.weight" and "head.bias" belong to one layer. All names without a dot belong to one layer, too.
    * A layer is loaded as a whole or not at all. If one of its names is missing in the state, is unexpected, or has
      another shape, then its other names are held back. There is one exception: old files lack the counters of batch
      norm. If "num_batches_tracked" is missing, it is reported as missing, and holds nothing back.
    * The model keeps its tensors and gets new values in them, so an optimiser that was made before goes on with the
      same parameters. It keeps its dtypes too: values of another dtype are converted. Afterwards it shares no memory
      with the state.
    * If an entry of the state is not a tensor, or has a nan or an infinity in it, raise a ValueError that names the
      entry. Then nothing at all has been loaded. This holds for each entry, unexpected ones included.

    Args:
        model: an nn.Module, changed in place
        state: name -> tensor, a dict, such as the state_dict of another model

    Returns:
        a LoadReport
    """
    ### BEGIN SOLUTION
    for name, value in state.items():
        if not isinstance(value, torch.Tensor) or not torch.isfinite(value).all():
            raise ValueError(f"{name}: it holds something other than finite numbers; get the file again")
    own = model.state_dict()
    missing = [name for name in own if name not in state]
    unexpected = [name for name in state if name not in own]
    shapes = {name: (tuple(state[name].shape), tuple(own[name].shape)) for name in own if name in state}
    other_shape = {name: pair for name, pair in shapes.items() if pair[0] != pair[1]}
    misfits = [name for name in missing if not name.endswith("num_batches_tracked")]
    unfit = {name.rpartition(".")[0] for name in (*misfits, *unexpected, *other_shape)}
    fitting = [name for name in shapes if name not in other_shape]
    loaded = [name for name in fitting if name.rpartition(".")[0] not in unfit]
    with torch.no_grad():
        for name in loaded:
            own[name].copy_(state[name])
    held_back = [name for name in fitting if name.rpartition(".")[0] in unfit]
    return LoadReport(loaded, missing, unexpected, other_shape, held_back)
    ### END SOLUTION


# ------------------------------------------------------------------------------------------------------------
# P3.2  A new head, and a frozen backbone
# ------------------------------------------------------------------------------------------------------------


def modify_head(model, n_classes):
    """Replace the head of a model by a new linear layer for other classes.

    The head is the last nn.Linear in the order of model.named_modules(), whatever it is called and however deep it is.
    The new layer reads as many features as the old one and gives n_classes scores. It has a bias if the old one has
    one, and the old one's dtype. Its parameters require a gradient, and their initial values are random, from torch's
    global generator: two calls give different ones. All other modules stay the same objects.

    Args:
        model: an nn.Module, changed in place; it is not an nn.Linear itself
        n_classes: int, 1 or above

    Returns:
        the model

    Raises:
        ValueError: the model has no nn.Linear
    """
    ### BEGIN SOLUTION
    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise ValueError("modify_head: the model has no nn.Linear; name another model")
    parent, _, name = linear[-1].rpartition(".")
    old = model.get_submodule(linear[-1])
    new = nn.Linear(old.in_features, n_classes, bias=old.bias is not None, dtype=old.weight.dtype)
    setattr(model.get_submodule(parent), name, new)
    return model
    ### END SOLUTION


### BEGIN SOLUTION
def _stay_still(layer, _inputs):
    layer.training = False


### END SOLUTION
def freeze(model, n_free=1):
    """Freeze a model but for its last stages (see `stages`): what is frozen does not learn, batch norm included.

    * parameters: requires_grad is True in the last n_free stages and False in all others, whatever it was before.
    * batch norm in a frozen stage: whenever the model computes something, it normalises with its running statistics and
      does not change its buffers. This holds at once, and after each later call of train() or eval() on the model or on
      a part of it. (What its `training` says is free.)
    * everything else obeys train() and eval() as before, and keeps its mode now: dropout, the batch norm of free
      stages, and the model itself.
    * a later call with another n_free freezes and thaws: a batch norm that is free again obeys the next call of train()
      or eval(). With n_free = len(stages(model)) nothing is frozen any more.
    * no module is replaced, and the names of model.state_dict() stay the same.

    Args:
        model: an nn.Module, changed in place
        n_free: how many stages learn, from the head on, int from 0 to len(stages(model)); 1 is the head alone

    Returns:
        the model
    """
    ### BEGIN SOLUTION
    parts = stages(model)
    for number, part in enumerate(parts):
        is_free = number >= len(parts) - n_free
        for layer in part:
            for parameter in layer.parameters(recurse=False):
                parameter.requires_grad = is_free
            if isinstance(layer, BATCH_NORM):
                hooks = layer._forward_pre_hooks
                for key in [key for key, hook in hooks.items() if hook is _stay_still]:
                    del hooks[key]
                if not is_free:  # train() may put it in training mode, and it leaves that before it computes
                    layer.register_forward_pre_hook(_stay_still)
    return model
    ### END SOLUTION


# ------------------------------------------------------------------------------------------------------------
# P3.3  A rate for each depth, and an order of thawing
# ------------------------------------------------------------------------------------------------------------


def param_groups(model, lr=0.01, decay=0.3):
    """Sort the parameters of a model into groups for an optimiser: the nearer to the input, the slower.

    The last stage (see `stages`) has the rate lr, the one before it lr * decay, the one before that lr * decay ** 2,
    and so on to the first.

    * Each parameter is in exactly one group, whether it is frozen or not: an optimiser is made once, and passes over
      parameters without a gradient. A parameter that several stages share belongs to the first of them.
    * No group is empty. The parameters of one stage are in one group. Further keys in a group are allowed.

    Args:
        model: an nn.Module
        lr: float
        decay: float

    Returns:
        a list of dicts {"params": [parameters], "lr": rate}, as torch.optim takes them, in any order
    """
    ### BEGIN SOLUTION
    parts = stages(model)
    groups, seen = [], set()
    for number, part in enumerate(parts):
        own = [p for layer in part for p in layer.parameters(recurse=False)]
        new = [p for p in dict.fromkeys(own) if p not in seen]
        seen.update(new)
        if new:
            groups.append({"params": new, "lr": lr * decay ** (len(parts) - 1 - number)})
    return groups
    ### END SOLUTION


def schedule_unfreeze(epoch, n_stages=4, wait=5):
    """Return how many stages learn in an epoch, counted from the head: gradual unfreezing.

    In the first `wait` epochs it is the head alone, in the next `wait` epochs the last two stages, and so on, until
    all n_stages learn. The result is the n_free of `freeze`.

    Args:
        epoch: int, counted from 0
        n_stages: stages of the model, int, 1 or above
        wait: int, 1 or above

    Returns:
        int from 1 to n_stages
    """
    ### BEGIN SOLUTION
    return min(n_stages, 1 + epoch // wait)
    ### END SOLUTION


# ------------------------------------------------------------------------------------------------------------
# P3.4  Another domain
# ------------------------------------------------------------------------------------------------------------


### BEGIN SOLUTION
@contextmanager
def _used(model):
    """Put a model in eval mode without gradients, and each layer back afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    for module, _ in modes:
        module.training = False
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes:
            module.training = mode


def _measure(layer, inputs):
    """Take over the statistics of what is about to be normalised."""
    (x,) = inputs
    axes = [0, *range(2, x.dim())]
    layer.running_mean.copy_(x.mean(dim=axes))
    layer.running_var.copy_(x.var(dim=axes, correction=0))


### END SOLUTION
def adabn(model, images):
    """Adapt a model to another domain: give each batch norm the statistics of that domain (adaptive batch norm).

    The images need no labels. Afterwards running_mean and running_var of each batch norm are the mean and the variance
    of each channel of its input, over all of the images and all places, where the layers before it work in eval mode
    and the batch norms among them already have their new statistics. That is what one batch of all images gives, and
    not what the mean over several batches gives. The variance may be divided by n or by n - 1.

    * Only running_mean and running_var change (and the counter num_batches_tracked, if you like). Weights, biases,
      `momentum`, requires_grad, and the mode of each layer are as before.
    * It works in the same way for a model in training mode, with dropout, and for one that `freeze` has frozen. A
      frozen batch norm is adapted too, and stays frozen. Each batch norm is used once in a pass.

    With the weights of the course, which know seven shapes, two hundred unlabelled images are enough for a share of
    0.90 right on images of these domains: 0.15 * x (contrast lost), and 0.5 - 0.3 * x (inverted and pale). Before, it
    is less than 0.60.

    Args:
        model: an nn.Module, changed in place
        images: (N, C, H, W) float32, a NumPy array, N at least 2; as one batch they fit into memory

    Returns:
        the model
    """
    ### BEGIN SOLUTION
    norms = [layer for layer in model.modules() if isinstance(layer, BATCH_NORM) and layer.track_running_stats]
    handles = [layer.register_forward_pre_hook(_measure) for layer in norms]
    try:
        with _used(model):
            model(torch.from_numpy(np.ascontiguousarray(images)))
    finally:
        for handle in handles:
            handle.remove()
    return model
    ### END SOLUTION


# ------------------------------------------------------------------------------------------------------------
# P3.5  Is transfer worth it?
# ------------------------------------------------------------------------------------------------------------

WAYS = ("scratch", "linear_probe", "fine_tune")


def few_per_class(labels, size, seed):
    """Draw some images of each class, without repetition.

    Each choice of `size` images of a class is equally likely. The same arguments give the same indices, whatever the
    global random states are; another seed gives others.

    Args:
        labels: (N,) int, any whole numbers
        size: images of each class that occurs, int, 1 or above
        seed: int, 0 or above

    Returns:
        indices into labels, (size * number of classes,) int, in any order

    Raises:
        ValueError: a class has fewer than `size` images
    """
    ### BEGIN SOLUTION
    rng = np.random.default_rng(seed)
    chosen = []
    for label in np.unique(labels):
        of_class = np.flatnonzero(labels == label)
        if len(of_class) < size:
            raise ValueError(f"class {label} has {len(of_class)} images, and {size} are asked for")
        chosen.append(rng.choice(of_class, size, replace=False))
    return np.concatenate(chosen)
    ### END SOLUTION


def learn(way, state, x, y, n_classes=3, epochs=40, batch_size=10, lr=0.01, seed=0, checkpoint=None):
    """Train a ShapeNet on a few images of new classes, in one of three ways.

    * "scratch": random weights; everything learns. `state` is not used.
    * "linear_probe": the backbone of `state`; only a new head learns. The backbone stays as it is in `state`, bit for
      bit, the buffers of batch norm included.
    * "fine_tune": starts from the backbone of `state`, with a new head. The backbone learns too, and is slower than the
      head: its rates are lower, or it joins in later. With the default epochs each of its convolutions has changed at
      the end.

    * A new head is random, even if the head of `state` would fit.
    * In each epoch each image is used once, in a new random order, in batches of batch_size; the last batch may be
      smaller. For each batch there is one step of an optimiser of torch.optim. lr is the largest rate that a step has.
      A schedule of the rate, weight decay, and augmentation of each image by itself, with its label as it is, are
      yours.
    * The arguments decide all weights, whatever the global random states are. Another seed gives others.
    * With a checkpoint, the file of this name is written after each epoch. If it is there already, `learn` was stopped
      before, and goes on with the epoch after the last complete one. The result is exactly that of a training that was
      not stopped. If all epochs are done, nothing is trained. A caller uses the same arguments each time.

    The measure is: five images of each of three classes that `state` has never seen (classes 7, 8 and 9 of shapes10,
    drawn with noise=0.15), default arguments, and means over five draws. On unseen images, the linear probe and
    fine-tuning must each be right on a share of 0.80, and the linear probe must beat scratch by 0.10. Of its training
    images each way must get 0.80 right. A call must take less than 3 CPU seconds.

    Args:
        way: one of WAYS
        state: name -> tensor, the state_dict of a trained ShapeNet, whose head may have any number of classes
        x: images, (N, 3, H, W) float32
        y: (N,) int64 in 0..n_classes - 1
        n_classes, epochs, batch_size: int, 1 or above
        lr: float
        seed: int, 0 or above
        checkpoint: None, or the path of a file

    Returns:
        a ShapeNet with n_classes scores, all of it in eval mode, that shares no memory with `state`
    """
    ### BEGIN SOLUTION
    images, labels = torch.from_numpy(np.ascontiguousarray(x)), torch.from_numpy(np.ascontiguousarray(y))
    torch.manual_seed(seed)
    model = ShapeNet(n_classes)
    if way != "scratch":
        backbone = {name: value for name, value in state.items() if name.startswith("backbone.")}
        load_pretrained(model, backbone)
    count = len(stages(model))
    optimizer = torch.optim.Adam(param_groups(model, lr, 1.0 if way == "scratch" else 0.3))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    done = 0
    if checkpoint is not None and os.path.exists(checkpoint):
        kept = torch.load(checkpoint, weights_only=True)
        for part, name in ((model, "model"), (optimizer, "optimizer"), (schedule, "schedule")):
            part.load_state_dict(kept[name])
        done = kept["epochs"]
    for epoch in range(done, epochs):
        torch.manual_seed(1_000_003 * (seed + 1) + epoch)  # so an epoch draws the same, whatever was before it
        in_turn = schedule_unfreeze(epoch, count, wait=max(1, epochs // count))
        freeze(model, {"scratch": count, "linear_probe": 1, "fine_tune": in_turn}[way])
        model.train()
        for chosen in torch.randperm(len(images)).split(batch_size):
            optimizer.zero_grad()
            F.cross_entropy(model(images[chosen]), labels[chosen]).backward()
            optimizer.step()
        schedule.step()
        if checkpoint is not None:
            parts = {"model": model, "optimizer": optimizer, "schedule": schedule}
            kept = {name: part.state_dict() for name, part in parts.items()} | {"epochs": epoch + 1}
            torch.save(kept, f"{checkpoint}.part")
            os.replace(f"{checkpoint}.part", checkpoint)  # a stop while writing leaves the old file
    return freeze(model, count).eval()
    ### END SOLUTION


@dataclass(frozen=True)
class Config:
    """All that a comparison or a run depends on (this class is complete).

    Attributes:
        weights: path of a file by torch.save: the state_dict of a trained ShapeNet, with any number of classes
        data: path of an .npz file with four arrays: "train" and "test", raw images (N, H, W, 3) uint8 from 0 to 255,
            and "train_labels" and "test_labels", (N,) of some int dtype: any whole numbers, which name the classes.
            There are two classes or more in train_labels, and no other class in test_labels
        out: path of the folder for everything that a run writes; it is made if it is not there
        epochs, batch_size: int, 1 or above
        lr: learning rate, float above 0
        seed: int, 0 or above
        sizes: images of each class in the training sets of a comparison, a tuple or list of one int or more, 1 or above
        n_seeds: how often a comparison repeats each training, int, 2 or above
    """

    weights: str
    data: str
    out: str
    epochs: int = 40
    batch_size: int = 10
    lr: float = 0.01
    seed: int = 0
    sizes: tuple[int, ...] = (1, 3, 10)
    n_seeds: int = 3


@dataclass(frozen=True)
class Row:
    """One row of a comparison (this class is complete).

    Attributes:
        way: one of WAYS
        size: images of each class in the training set
        predictions: the label that each trained network gives each test image, (n_seeds, number of test images) int,
            one row for each seed; labels are those of the data file
        accuracies: for each seed the share of test images that have this label in the data file, a list of floats
        mean: their mean
        std: their spread, the standard deviation of a sample: the sum of squares is divided by n_seeds - 1
    """

    way: str
    size: int
    predictions: np.ndarray
    accuracies: list[float]
    mean: float
    std: float


def compare(config):
    """Train in each way, with each size of training set and several seeds, and measure on the test images.

    For each number k from 0 to config.n_seeds - 1, the seed is config.seed + k. The training set is
    few_per_class(train_labels, size, seed), in this order, and the same for all three ways. With it, the state of the
    weights file, this seed, and config's epochs, batch_size and lr, `learn` trains: images are divided by 255, and y is
    the place of a label among the classes in ascending order. The test labels are used for the accuracies and for
    nothing else. No file is written. The same config and files give the same table, whatever the global random states
    are.

    The config and its files are checked as in `run`. If a class has fewer training images than the largest size, raise
    a ValueError that names `sizes`, before anything is trained.

    Args:
        config: a Config

    Returns:
        a list with a Row for each way and each of config.sizes, in any order
    """
    ### BEGIN SOLUTION
    check_config(config)
    state, raw = _read(config)
    names, y = np.unique(raw["train_labels"], return_inverse=True)
    if np.bincount(y).min() < max(config.sizes):
        raise ValueError(f"sizes: a class has fewer than {max(config.sizes)} training images; ask for fewer")
    x, test = _floats(raw["train"]), _floats(raw["test"])
    table = []
    for size in config.sizes:
        for way in WAYS:
            predictions = []
            for seed in range(config.seed, config.seed + config.n_seeds):
                chosen = few_per_class(raw["train_labels"], size, seed)
                model = learn(
                    way, state, x[chosen], y[chosen], len(names), config.epochs, config.batch_size, config.lr, seed
                )
                predictions.append(names[_scores(model, test).argmax(axis=1)])
            accuracies = [float((labels == raw["test_labels"]).mean()) for labels in predictions]
            mean, std = float(np.mean(accuracies)), float(np.std(accuracies, ddof=1))
            table.append(Row(way, size, np.stack(predictions), accuracies, mean, std))
    return table
    ### END SOLUTION


def plot_comparison(table):
    """Draw a comparison: accuracy over the size of the training set, with the spread over the seeds.

    One axes holds a line for each way that occurs, through the means at its sizes, from the smallest size to the
    largest. At each size the spread is drawn from mean - std to mean + std, as error bars (`errorbar`) or as a band
    (`fill_between`), in the colour of the line. The lines have different colours. Both axes have a label, and a legend
    names each way as it is called in WAYS, or with a space for the underscore. Nothing that is drawn is cut off by the
    limits of the axes.

    The function does not call plt.show, and pyplot holds no further open figure afterwards (a Figure of your own, or
    plt.close). You may import matplotlib at the top of the file or in here.

    Args:
        table: a list of Row, in any order

    Returns:
        a matplotlib Figure
    """
    ### BEGIN SOLUTION
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    for number, way in enumerate(WAYS):
        rows = sorted((row for row in table if row.way == way), key=lambda row: row.size)
        if rows:
            sizes, means, spread = ([getattr(row, name) for row in rows] for name in ("size", "mean", "std"))
            axes.errorbar(sizes, means, spread, marker="o", capsize=3, color=f"C{number}", label=way.replace("_", " "))
    axes.set(xlabel="training images of each class", ylabel="share of test images that are right", xscale="log")
    ticks = sorted({row.size for row in table})
    axes.set_xticks(ticks, [str(size) for size in ticks])
    axes.minorticks_off()
    axes.legend()
    return figure
    ### END SOLUTION


# ------------------------------------------------------------------------------------------------------------
# P3.6  The whole project in one call
# ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Results:
    """The numbers of a run, measured on the test images (this class is complete).

    Attributes:
        classes: the labels that occur in train_labels, ascending, a tuple of ints
        accuracy: share of the test images that are right
        recall: for each of the classes the share of its test images that are right, a tuple of floats; nan for a class
            without test images
    """

    classes: tuple[int, ...]
    accuracy: float
    recall: tuple[float, ...]


def check_config(config):
    """Raise a ValueError, with a sentence that names the field, for the first field whose value is not allowed.

    The docstring of Config says what is allowed. Beyond that: `weights` and `data` must be paths of files that exist,
    and `out` must not be the path of a file. For an int field True, 3.0 and "3" are not allowed. For a float field an
    int is allowed, and True, "3", nan and infinity are not. One sentence may report several faulty fields, or only one.

    Args:
        config: a Config

    Returns:
        None
    """
    ### BEGIN SOLUTION
    for name in ("weights", "data"):
        path = getattr(config, name)
        if not isinstance(path, (str, os.PathLike)) or not os.path.isfile(path):
            raise ValueError(f"{name}: there is no file {path!r}; give the path of a file")
    if not isinstance(config.out, (str, os.PathLike)) or os.path.isfile(config.out):
        raise ValueError(f"out: {config.out!r} is no folder; give the path of a folder")
    for name, low in {"epochs": 1, "batch_size": 1, "seed": 0, "n_seeds": 2}.items():
        value = getattr(config, name)
        if type(value) is not int or value < low:
            raise ValueError(f"{name}: {value!r} is not allowed; give a whole number, {low} or above")
    if type(config.lr) not in (int, float) or not 0 < config.lr < math.inf:
        raise ValueError(f"lr: {config.lr!r} is not allowed; give a number above 0")
    sizes = config.sizes
    if type(sizes) not in (tuple, list) or not sizes or any(type(size) is not int or size < 1 for size in sizes):
        raise ValueError(f"sizes: {sizes!r} is not allowed; give a tuple of whole numbers, 1 or above")
    ### END SOLUTION


### BEGIN SOLUTION
def _read(config):
    """Return the state and the arrays of a config's files, or say in a ValueError what is wrong with them."""
    try:
        state = torch.load(config.weights, weights_only=True)
        report = load_pretrained(ShapeNet(), state)
    except Exception as error:
        raise ValueError(f"weights: {config.weights} is no state_dict that can be used ({error})") from error
    wanted = {name for name in ShapeNet().state_dict() if name.startswith("backbone.")}
    lacking = sorted(name for name in wanted - set(report.loaded) if not name.endswith("num_batches_tracked"))
    if lacking:
        raise ValueError(f"weights: {config.weights} does not fit a ShapeNet; it lacks {lacking[0]}")
    try:
        with np.load(config.data) as file:
            raw = {name: file[name] for name in ("train", "train_labels", "test", "test_labels")}
    except Exception as error:
        raise ValueError(f"data: {config.data} lacks one of its four arrays ({error})") from error
    for part in ("train", "test"):
        images, labels = raw[part], raw[f"{part}_labels"]
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
            raise ValueError(f"data: {part} is {images.dtype} {images.shape}; it must be (N, H, W, 3) uint8")
        if labels.dtype.kind not in "iu" or labels.shape != images.shape[:1]:
            raise ValueError(f"data: {part}_labels must hold a whole number for each image")
    known = np.unique(raw["train_labels"])
    if len(known) < 2 or not np.isin(raw["test_labels"], known).all():
        raise ValueError("data: train_labels must hold two classes or more, and all that test_labels hold")
    return state, raw


def _floats(raw):
    return np.ascontiguousarray((raw / 255).astype(np.float32).transpose(0, 3, 1, 2))


def _scores(model, x):
    with torch.no_grad():
        parts = [model(torch.from_numpy(x[start : start + 100])) for start in range(0, len(x), 100)]
    return torch.cat(parts).numpy()


def _digest(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


### END SOLUTION
def run(config):
    """Go from raw images and a file of weights to a model for new classes, its numbers and a picture.

    1. Check the config (check_config) and its files. If the weights file cannot be read, or a part of the backbone of a
       ShapeNet cannot be loaded from it, raise a ValueError that names `weights`. If the data file is not as Config
       says, raise a ValueError that names `data`. All this is before anything is trained and before `out` is made.
    2. Divide by 255; images are then (N, 3, H, W) float32.
    3. Learn the classes of the training images. How is your choice: which stages learn, when and how fast,
       augmentation, the statistics of batch norm, several networks that vote. Each step of learning is a step of an
       optimiser of torch.optim, in config.epochs epochs or more that use each training image once, in batches of
       config.batch_size, and config.lr is the largest rate. `sizes` and `n_seeds` are for `compare` alone.
    4. Measure on the test images: see Results. Nothing else depends on the test images or their labels: with others,
       `predict` says the same.
    5. Write into the folder `out`, and nowhere else:
           model.pt        what `predict` needs
           results.json    an object with the attributes of Results as keys; tuples as lists
           confusion.png   how many test images of each class were taken for which class
       Further files are allowed.

    The same config and files give the same Results and the same predictions, whatever the global random states are and
    whatever the folder is called. If a run was stopped at any point, even while it wrote a file, a second run with the
    same config goes on: it repeats at most the epoch in which the first one was stopped, and Results and predictions
    are the same as without the stop. If the run is complete, nothing is trained and the Results are the same. A folder
    may hold the files of a run with another config, or with files of the same name and another content. They are not
    used, and those named above are replaced.

    The measure is like that of `learn`: default config, and ten images of each of the three new classes. On images
    that no one has seen, the mean share of `predict` over three such runs earns a part of the points at 0.75, a
    part at 0.85, and the rest at 0.90. In another domain, 0.1 * x, the share must be 0.85. A run takes less than
    15 CPU seconds.

    Args:
        config: a Config

    Returns:
        a Results
    """
    ### BEGIN SOLUTION
    check_config(config)
    state, raw = _read(config)
    names, y = np.unique(raw["train_labels"], return_inverse=True)
    x = _floats(raw["train"])
    out = Path(config.out)
    out.mkdir(parents=True, exist_ok=True)
    key = json.dumps({**asdict(config), "out": "", "weights": _digest(config.weights), "data": _digest(config.data)})
    kept, checkpoint = out / "config.json", out / "training.checkpoint"
    if not kept.exists() or kept.read_text() != key:  # what is there belongs to another run
        checkpoint.unlink(missing_ok=True)
        kept.write_text(key)

    base = ShapeNet()
    load_pretrained(base, state)
    adapted = adabn(base, x).state_dict()
    model = learn(
        "fine_tune", adapted, x, y, len(names), config.epochs, config.batch_size, config.lr, config.seed, checkpoint
    )
    torch.save({"classes": names.tolist(), "model": model.state_dict()}, out / "model.pt")
    found, truth = predict(out, raw["test"]), raw["test_labels"]
    counts = np.array([[int(((truth == a) & (found == b)).sum()) for b in names] for a in names])
    _draw_confusion(counts, names).savefig(out / "confusion.png")
    with np.errstate(invalid="ignore"):
        recall = np.diag(counts) / counts.sum(axis=1)
    results = Results(tuple(names.tolist()), float((found == truth).mean()), tuple(recall.tolist()))
    (out / "results.json").write_text(json.dumps(asdict(results)))
    return results
    ### END SOLUTION


### BEGIN SOLUTION
def _draw_confusion(counts, names):
    """counts[a, b] images of class a were taken for class b."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4, 3.6), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(counts, cmap="Blues")
    for (row, column), count in np.ndenumerate(counts):
        colour = "white" if count > counts.max() / 2 else "black"
        axes.text(column, row, str(count), ha="center", va="center", color=colour)
    places = range(len(names))
    axes.set(xlabel="predicted class", ylabel="true class")
    axes.set_xticks(places, names)
    axes.set_yticks(places, names)
    return figure


### END SOLUTION
def predict(out, images):
    """Return the labels that the model of a run gives to raw images.

    It needs the folder that the run wrote and nothing else: the weights file and the data file may be gone, and the
    folder may have been moved. The label of an image does not depend on the other images.

    Args:
        out: path of the folder of a complete run
        images: raw images, (N, H, W, 3) uint8, N at least 1

    Returns:
        labels as in the data file of the run, (N,) int
    """
    ### BEGIN SOLUTION
    kept = torch.load(Path(out) / "model.pt", weights_only=True)
    model = ShapeNet(len(kept["classes"]))
    model.load_state_dict(kept["model"])
    return np.array(kept["classes"])[_scores(model.eval(), _floats(images)).argmax(axis=1)]
    ### END SOLUTION
