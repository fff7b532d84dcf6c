"""Deep learning frameworks: the parts of a training program in PyTorch, a model in Keras, a step of TensorFlow.

Rules for all tasks:
    * Tensors live on the CPU unless a docstring speaks of a device; shapes stand in brackets, N is the batch.
    * No function changes its arguments, unless its docstring says that it does (a model that is trained, say).
    * Whatever a docstring does not fix is yours: loops or none, torch.nn.functional or by hand, the order of draws.
    * Keras and TensorFlow are imported inside the functions that need them: each takes seconds to load.
"""

from __future__ import annotations

import os
import random

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

# Keras 3 computes with PyTorch, TensorFlow or JAX; it looks here when it is first imported, and never again.
os.environ.setdefault("KERAS_BACKEND", "torch")


# ------------------------------------------------------------------------------------------------------------
# 3.1  Tensor warm-ups
# ------------------------------------------------------------------------------------------------------------


def pairwise_sq_dist(a, b):
    """Return the squared Euclidean distance of every row of a from every row of b.

        d[i, j] = sum over k of (a[i, k] - b[j, k])^2

    Speed is part of the task: at 400 x 400 rows it must be at least 30 times as fast as two nested loops that
    compute one distance each. Gradients flow through it, so compute with tensors from beginning to end.

    Args:
        a: (N, D) float tensor
        b: (M, D) float tensor of the same dtype

    Returns:
        distances, (N, M) tensor of the same dtype; none is below zero, not even by rounding
    """
    ### BEGIN SOLUTION
    difference = a[:, None, :] - b[None, :, :]  # (N, M, D)
    return difference.square().sum(dim=-1)
    ### END SOLUTION


def one_hot(labels, num_classes=-1):
    """Return, for every label, a row of zeros with a single one at the index of the label.

    Args:
        labels: int64 tensor of any shape with one entry or more, entries in 0..num_classes - 1
        num_classes: number of classes C, int; -1 stands for the largest label plus one

    Returns:
        labels.shape + (C,) int64 tensor, in new memory

    Raises:
        ValueError: a label is below 0, or is num_classes or above
    """
    ### BEGIN SOLUTION
    if num_classes == -1:
        num_classes = int(labels.max()) + 1
    if int(labels.min()) < 0 or int(labels.max()) >= num_classes:
        raise ValueError(f"one_hot: labels must lie in 0..{num_classes - 1}")
    return (labels[..., None] == torch.arange(num_classes)).to(torch.int64)
    ### END SOLUTION


def gather_logits(logits, labels):
    """Pick from each row of scores the one that belongs to the row's label.

    It is the heart of every cross-entropy. Gradients flow through it: autograd knows indexing and gather.

    Args:
        logits: scores, (..., C) float tensor, such as (N, C), or (N, T, C) for sequences
        labels: int64 tensor, (...): the shape of logits without the last axis

    Returns:
        scores of the labels, (...) tensor of the dtype of logits
    """
    ### BEGIN SOLUTION
    return logits.gather(-1, labels[..., None]).squeeze(-1)
    ### END SOLUTION


# ------------------------------------------------------------------------------------------------------------
# 3.2  A network as a module
# ------------------------------------------------------------------------------------------------------------


class SimpleNet(nn.Module):
    """Linear 784 -> 128, ReLU, dropout of the hidden units, linear 128 -> 10.

    Its layers are the attributes `fc1`, `dropout` and `fc2`, so that a checkpoint of one SimpleNet fits another:
    its state holds fc1.weight, fc1.bias, fc2.weight and fc2.bias, 101,770 numbers, all of them trained. Their
    first values are PyTorch's defaults. Modules without parameters may stand beside them (an nn.ReLU, say).

    In training mode each hidden unit of each sample is dropped with probability 0.2, independently, and the
    others are scaled by 1 / 0.8; in eval mode none is.
    """

    def __init__(self):
        ### BEGIN SOLUTION
        super().__init__()
        self.fc1 = nn.Linear(784, 128)
        self.dropout = nn.Dropout(0.2)
        self.fc2 = nn.Linear(128, 10)
        ### END SOLUTION

    def forward(self, x):
        """(N, 784) float32 -> logits (N, 10): raw scores, no softmax."""
        ### BEGIN SOLUTION
        hidden = torch.relu(self.fc1(x))  # (N, 128)
        return self.fc2(self.dropout(hidden))  # (N, 10)
        ### END SOLUTION


# ------------------------------------------------------------------------------------------------------------
# 3.3  From NumPy to PyTorch and back
# ------------------------------------------------------------------------------------------------------------


def export_to_torch(params):
    """Make a PyTorch network of the weights of a NumPy network.

    The network is the one of assignment 01 with ReLU: h = relu(h @ W.T + b) in each layer but the last, which
    has no activation.

    Args:
        params: list of L pairs (W, b) of NumPy arrays, all float32 or all float64, W (out, in), b (out,); L is 1
            or more

    Returns:
        nn.Sequential (or a subclass of it) of L nn.Linear with an nn.ReLU between each two of them, 2 L - 1
        modules; its parameters have the dtype of the arrays, need gradients, and share no memory with the arrays
    """
    ### BEGIN SOLUTION
    layers = []
    for W, b in params:
        outputs, inputs = W.shape
        layer = nn.Linear(inputs, outputs, dtype=torch.from_numpy(np.zeros(0, W.dtype)).dtype)
        with torch.no_grad():
            layer.weight.copy_(torch.tensor(W))
            layer.bias.copy_(torch.tensor(b))
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers[:-1])
    ### END SOLUTION


def import_from_torch(model):
    """Read the weights of a PyTorch network into NumPy arrays: the way back from export_to_torch.

    Args:
        model: nn.Sequential of nn.Linear and modules without parameters (ReLU, Dropout, ...), in any number and
            order; it stays as it is

    Returns:
        list of pairs (W, b), one for each nn.Linear in their order: NumPy arrays of the dtype of the parameters,
        W (out, in), b (out,), in new memory; b is zeros where a layer has no bias
    """
    ### BEGIN SOLUTION
    params = []
    for layer in model:
        if isinstance(layer, nn.Linear):
            W = layer.weight.detach().numpy().copy()
            b = np.zeros(len(W), W.dtype) if layer.bias is None else layer.bias.detach().numpy().copy()
            params.append((W, b))
    return params
    ### END SOLUTION


# ------------------------------------------------------------------------------------------------------------
# 3.4  The loop that trains, the loop that evaluates
# ------------------------------------------------------------------------------------------------------------


def train_epoch(model, loader, loss_fn, optimizer, device="cpu", scheduler=None):
    """Go through the data once, with one step of the optimiser for each batch.

    The model and all its layers are in training mode during the whole epoch, whatever their mode was before.
    Each step uses the gradients of its own batch alone; what a parameter's `.grad` holds when the function is
    called must not count.

    Args:
        model: nn.Module on `device`, called as model(x); its parameters are changed in place
        loader: iterable of batches (x, y), which can perhaps be iterated only once, and may have neither a len() nor
            a `dataset`; x (B, ...) and y (B,) int64, where B may differ from batch to batch. Both have to be
            moved by .to(device)
        loss_fn: loss_fn(logits, y) gives the mean loss of the batch, a tensor () that needs a gradient
        optimizer: a torch.optim.Optimizer of the model's parameters (step takes no closure)
        device: name of a device, or torch.device
        scheduler: None, or a torch.optim.lr_scheduler: stepped once after each step of the optimiser

    Returns:
        (loss, accuracy), two Python floats: the means over all *samples* of the epoch of the loss and of "the
        largest of the C logits (the first of them, if several are equal) is that of the label", both from the
        forward passes that trained the model
    """
    ### BEGIN SOLUTION
    model.train()
    total_loss, correct, count = 0.0, 0, 0
    for inputs, labels in loader:
        x, y = inputs.to(device), labels.to(device)
        optimizer.zero_grad()
        logits = model(x)  # (B, C)
        loss = loss_fn(logits, y)
        loss.backward()
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
        total_loss += loss.item() * len(y)
        correct += int((logits.argmax(dim=1) == y).sum())
        count += len(y)
    return total_loss / count, correct / count
    ### END SOLUTION


def evaluate(model, loader, loss_fn, device="cpu"):
    """Measure a model on data, and leave no trace in it.

    The model and all its layers are in eval mode while it computes, and no gradient is recorded. Afterwards they
    are in the mode in which they came (one mode for all), and its parameters, their `.grad` and its buffers (such
    as batch norm's running statistics) are as they were. Whether torch records gradients is as it was, too: a
    caller's `torch.no_grad()` still holds.

    Args:
        model, loader, loss_fn, device: as for train_epoch

    Returns:
        (loss, accuracy), two Python floats: the means over all samples
    """
    ### BEGIN SOLUTION
    was_training = model.training
    model.eval()
    total_loss, correct, count = 0.0, 0, 0
    with torch.no_grad():
        for inputs, labels in loader:
            x, y = inputs.to(device), labels.to(device)
            logits = model(x)
            total_loss += loss_fn(logits, y).item() * len(y)
            correct += int((logits.argmax(dim=1) == y).sum())
            count += len(y)
    model.train(was_training)
    return total_loss / count, correct / count
    ### END SOLUTION


# ------------------------------------------------------------------------------------------------------------
# 3.5  Data in batches
# ------------------------------------------------------------------------------------------------------------


class ArrayDataset:
    """Pairs of a sample and its label out of two NumPy arrays, as tensors.

    Args:
        x: samples, (N, ...) array of any real dtype
        y: labels, (N,) array of any integer dtype
        transform: None, or a function that is called with the tensor of a sample each time that the sample is
            asked for, and returns the tensor to give in its place (augmentation, say)

    len(dataset) is N. dataset[i], i in 0..N - 1, is a pair (sample, label): a float32 tensor (...), and an int64
    tensor (). Both are in new memory each time: a change of a sample changes neither the arrays nor what the
    dataset gives next time. The arrays are read when a sample is asked for: memory-mapped ones of any size work.

    Raises:
        ValueError: x and y differ in length
    """

    def __init__(self, x, y, transform=None):
        ### BEGIN SOLUTION
        if len(x) != len(y):
            raise ValueError(f"ArrayDataset: {len(x)} samples, but {len(y)} labels")
        self.x, self.y, self.transform = x, y, transform
        ### END SOLUTION

    def __len__(self):
        ### BEGIN SOLUTION
        return len(self.x)
        ### END SOLUTION

    def __getitem__(self, i):
        ### BEGIN SOLUTION
        sample = torch.tensor(self.x[i], dtype=torch.float32)
        if self.transform is not None:
            sample = self.transform(sample)
        return sample, torch.tensor(self.y[i], dtype=torch.int64)
        ### END SOLUTION


class DataLoader:
    """Batches of a dataset, in order or shuffled.

    Write it yourself, without DataLoader, BatchSampler and default_collate of torch.utils.data.

    Args:
        dataset: has a len(), and gives a sample for each index 0..len - 1: a pair of tensors such as that of
            ArrayDataset, or anything that your collate_fn takes
        batch_size: samples in a batch, int of 1 or more
        shuffle: whether each epoch visits the samples in a new random order, in which every order of the
            samples is equally likely
        drop_last: whether to leave out the last batch of an epoch if it is smaller than batch_size
        generator: a torch.Generator from which all random draws come, and from nothing else; None stands for
            torch's global generator. An order follows from the state in which the generator is when the epoch
            begins, and moves it on. Without shuffle nothing is drawn
        collate_fn: makes a batch of a list of samples; None stands for (x, y), the samples' tensors stacked
            along a new first axis: x (B, ...) and y (B,), with their dtypes kept

    Each `for batch in loader` is one epoch: it starts from the beginning, also if the last one was broken off or
    is still running, and asks the dataset once for each sample that it gives. len(loader) is the number of
    batches of an epoch.
    """

    def __init__(self, dataset, batch_size=1, shuffle=False, drop_last=False, generator=None, collate_fn=None):
        ### BEGIN SOLUTION
        self.dataset, self.batch_size, self.shuffle = dataset, batch_size, shuffle
        self.drop_last, self.generator = drop_last, generator
        self.collate_fn = collate_fn or _stack
        ### END SOLUTION

    def __len__(self):
        ### BEGIN SOLUTION
        full, rest = divmod(len(self.dataset), self.batch_size)
        return full if self.drop_last or not rest else full + 1
        ### END SOLUTION

    def __iter__(self):
        ### BEGIN SOLUTION
        count = len(self.dataset)
        order = torch.randperm(count, generator=self.generator).tolist() if self.shuffle else range(count)
        for batch in range(len(self)):
            chosen = order[batch * self.batch_size : (batch + 1) * self.batch_size]
            yield self.collate_fn([self.dataset[i] for i in chosen])
        ### END SOLUTION


### BEGIN SOLUTION
def _stack(samples):
    x, y = zip(*samples, strict=True)
    return torch.stack(x), torch.stack(y)


### END SOLUTION


def seed_worker(worker_id):
    """Seed NumPy's and Python's global generators in a worker process of PyTorch's own DataLoader.

    PyTorch's DataLoader can load samples in several processes, and calls worker_init_fn(worker_id) in each when
    it starts. Forked processes start with *equal* states of np.random and random: an augmentation that draws
    from these makes the same draws in all of them. PyTorch seeds its own generator in each worker, and again each
    epoch (leave that one alone): torch.initial_seed() is another number in each worker and each epoch, and
    decides all that seed_worker does. (Given: np.random.seed takes numbers below 2**32 only.)

    Args:
        worker_id: number of the worker from 0 on, int; the same in every epoch
    """
    ### BEGIN SOLUTION
    seed = torch.initial_seed() % 2**32
    np.random.seed(seed)
    random.seed(seed)
    ### END SOLUTION


# ------------------------------------------------------------------------------------------------------------
# 3.6  A function and a loss of your own
# ------------------------------------------------------------------------------------------------------------


class Swish(torch.autograd.Function):
    """swish(x) = x * sigmoid(x), with a backward pass written by hand; used as Swish.apply(x).

    Works for any shape and float dtype, and for entries of +-1000 without nan or inf, forward and backward.
    (Ramachandran et al. 2017; torch calls it SiLU.)
    """

    @staticmethod
    def forward(ctx, x):
        """Return swish(x), and keep in ctx what backward needs.

        Args:
            ctx: backward gets the same one; see ctx.save_for_backward
            x: float tensor of any shape
        """
        ### BEGIN SOLUTION
        ctx.save_for_backward(x)
        return x * torch.sigmoid(x)
        ### END SOLUTION

    @staticmethod
    def backward(ctx, grad_output):
        """Return the gradient of the loss in x, from that in the output (of the same shape)."""
        ### BEGIN SOLUTION
        (x,) = ctx.saved_tensors
        gate = torch.sigmoid(x)
        return grad_output * (gate + x * gate * (1 - gate))
        ### END SOLUTION


class FocalLoss(nn.Module):
    """The focal loss: cross-entropy in which a sample counts less, the surer the model is (Lin et al. 2017).

        loss_i = -alpha[y_i] * (1 - p_i)^gamma * log(p_i),   p = softmax(logits) of sample i at its label y_i

    Gradients flow through both factors. With gamma = 0 and no alpha it is the cross-entropy. Logits of +-1000
    give neither nan nor inf, in the loss and (for gamma 0, and from 1 on) in its gradient.

    Args:
        gamma: how fast sure samples lose their weight, float of 0 or above
        alpha: None (all ones), or weights of the C classes: a list of floats or a float tensor (C,), which the
            module may keep or copy. It moves with the module: `.to(device)` and `.double()` take it along as a
            buffer named `alpha`, and no optimiser gets it
        reduction: "mean" (the sum of the losses divided by N, with or without alpha), "sum", or "none" (the N
            losses)

    Raises:
        ValueError: an unknown reduction, when the loss is made
    """

    def __init__(self, gamma=2.0, alpha=None, reduction="mean"):
        ### BEGIN SOLUTION
        super().__init__()
        if reduction not in ("mean", "sum", "none"):
            raise ValueError(f"FocalLoss: no reduction {reduction!r}; use 'mean', 'sum' or 'none'")
        self.gamma, self.reduction = gamma, reduction
        weights = None if alpha is None else torch.as_tensor(alpha, dtype=torch.get_default_dtype()).clone()
        self.register_buffer("alpha", weights)
        ### END SOLUTION

    def forward(self, logits, targets):
        """logits (N, C) float, targets (N,) int64 -> loss, a tensor () or for "none" (N,) of the logits' dtype"""
        ### BEGIN SOLUTION
        log_p = gather_logits(F.log_softmax(logits, dim=1), targets)  # (N,)
        losses = -((1 - log_p.exp()) ** self.gamma) * log_p
        if self.alpha is not None:
            losses = self.alpha.to(logits.dtype)[targets] * losses
        if self.reduction == "none":
            return losses
        return losses.mean() if self.reduction == "mean" else losses.sum()
        ### END SOLUTION


# ------------------------------------------------------------------------------------------------------------
# 3.7  Devices and checkpoints
# ------------------------------------------------------------------------------------------------------------


def get_device(prefer=None):
    """Choose the device to compute on.

    "cuda" is available where torch.cuda.is_available(), and "cuda:2" where torch.cuda.device_count() is 3 or more
    as well; "mps" is available where torch.backends.mps.is_available(); "cpu" and "meta" always are.

    Args:
        prefer: None, or the name of a device such as "cuda", "cuda:1", "mps", "cpu", "meta"

    Returns:
        torch.device: the preferred one if it is available, else the CPU; for None the first available one of
        cuda, mps, cpu
    """
    ### BEGIN SOLUTION
    if prefer is None:
        return next(device for device in map(torch.device, ("cuda", "mps", "cpu")) if _is_available(device))
    device = torch.device(prefer)
    return device if _is_available(device) else torch.device("cpu")
    ### END SOLUTION


### BEGIN SOLUTION
def _is_available(device):
    if device.type == "cuda":
        return torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count()
    return device.type != "mps" or torch.backends.mps.is_available()


### END SOLUTION


def prepare(model, make_optimizer, device):
    """Move a model to a device and make the optimiser that trains it there.

    The optimiser has to hold the parameters that the model has *on the device*: to move a model may replace its
    parameters by new ones (it does for the device "meta").

    Args:
        model: nn.Module, moved in place
        make_optimizer: function that takes the parameters and returns an optimiser, such as
            functools.partial(torch.optim.Adam, lr=0.01)
        device: name of a device, or torch.device

    Returns:
        (model, optimizer): the same model, every parameter and buffer on the device, and an optimiser of all its
        parameters, also of those with requires_grad = False
    """
    ### BEGIN SOLUTION
    model.to(device)
    return model, make_optimizer(model.parameters())
    ### END SOLUTION


def save_checkpoint(path, model, optimizer, epoch, generator=None):
    """Write all that a training run needs to go on as if it had never stopped.

    That is the state of the model and of the optimiser, the epoch, the state of torch's global random generator
    (dropout draws from it), and that of the data's generator. The file holds tensors and plain values only: it
    can be read by torch.load(path, weights_only=True), which runs no code of the file. You choose
    its layout: only load_checkpoint reads it. Saving changes nothing, so the run may go on.

    Args:
        path: the file to write, str or pathlib.Path; one that is there is replaced
        model: nn.Module
        optimizer: torch.optim.Optimizer
        epoch: how many epochs are done, int
        generator: the torch.Generator that shuffles the data, or None
    """
    ### BEGIN SOLUTION
    torch.save(
        {
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "epoch": epoch,
            "rng": torch.get_rng_state(),
            "generator": None if generator is None else generator.get_state(),
        },
        path,
    )
    ### END SOLUTION


def load_checkpoint(path, model, optimizer=None, generator=None):
    """Put a checkpoint's states into a model, and into an optimiser and a generator if they are given.

    The state of torch's global random generator is set as well. Training then goes on bit for bit as it would
    have done without the stop. A checkpoint saved on a GPU loads on a machine without one.

    Args:
        path: a file that save_checkpoint wrote, str or pathlib.Path
        model: a new nn.Module of the same architecture, in any mode; the mode stays as it is
        optimizer: a new optimiser of that model's parameters, of the same class; None for a model that will
            only predict
        generator: a torch.Generator; None to leave it out. It stays as it is if the checkpoint has none

    Returns:
        how many epochs were done, int

    Raises:
        RuntimeError: the model has other parameters or other shapes (as load_state_dict raises it)
    """
    ### BEGIN SOLUTION
    kept = torch.load(path, map_location="cpu", weights_only=True)
    model.load_state_dict(kept["model"])
    if optimizer is not None:
        optimizer.load_state_dict(kept["optimizer"])
    if generator is not None and kept["generator"] is not None:
        generator.set_state(kept["generator"])
    torch.set_rng_state(kept["rng"])
    return kept["epoch"]
    ### END SOLUTION


# ------------------------------------------------------------------------------------------------------------
# 3.8  The same network in Keras
# ------------------------------------------------------------------------------------------------------------


def build_keras_mlp(n_in, n_hidden, n_out):
    """Build and compile the network of 3.2, of any size, in Keras 3.

    A dense layer n_in -> n_hidden with ReLU, dropout of the hidden units with rate 0.2, and a dense layer
    n_hidden -> n_out that gives logits: no softmax. All dense layers have biases.

    It is compiled for training with `fit` on integer labels: Adam with a learning rate of 0.001, the sparse
    categorical cross-entropy *of logits*, and the metric "accuracy"; all other settings, and the first values of
    the weights, are Keras' defaults.

    Args:
        n_in, n_hidden, n_out: sizes, ints

    Returns:
        keras.Model, built (its weights exist at once): calls take (N, n_in) float32 and give (N, n_out)
    """
    import keras

    ### BEGIN SOLUTION
    model = keras.Sequential(
        [
            keras.Input((n_in,)),
            keras.layers.Dense(n_hidden, activation="relu"),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(n_out),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.Adam(0.001),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model
    ### END SOLUTION


def torch_to_keras_weights(model):
    """Return the weights of a PyTorch network in the form that Keras' model.set_weights takes.

    PyTorch computes x @ weight.T + bias with a weight (out, in); Keras computes x @ kernel + bias with a kernel
    (in, out).

    Args:
        model: nn.Module whose parameters are those of nn.Linear layers with biases, which it uses in the order
            of model.modules(); SimpleNet is one, and so is what export_to_torch makes

    Returns:
        list [kernel, bias, kernel, bias, ...] of float32 NumPy arrays in new memory, layer by layer
    """
    ### BEGIN SOLUTION
    weights = []
    for layer in model.modules():
        if isinstance(layer, nn.Linear):
            weights.append(layer.weight.detach().numpy().T.astype(np.float32, order="C", copy=True))
            weights.append(layer.bias.detach().numpy().astype(np.float32, copy=True))
    return weights
    ### END SOLUTION


def count_trainable(model):
    """Return how many numbers training changes in a PyTorch or a Keras model.

    Papers and frameworks count differently: a batch norm layer of C channels trains 2 C numbers, and keeps 2 C
    more, its running mean and variance, which no optimiser ever sees. Only what is trained counts here; layers
    that are frozen (requires_grad False in PyTorch, trainable False in Keras) do not, and parameters that two
    layers share count once.

    Args:
        model: nn.Module, or keras.Model that is built

    Returns:
        int
    """
    import keras

    ### BEGIN SOLUTION
    if isinstance(model, keras.Model):
        return int(sum(np.prod(weight.shape) for weight in model.trainable_weights))
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    ### END SOLUTION


# ------------------------------------------------------------------------------------------------------------
# 3.9  One step of TensorFlow
# ------------------------------------------------------------------------------------------------------------


def tf_train_step(model, x, y, optimizer):
    """Train a TensorFlow model by one step on one batch, with tf.GradientTape.

    What PyTorch records in every tensor, TensorFlow records on a tape, and only while the tape is open. The loss
    is the mean over the batch of the softmax cross-entropy of the logits and the labels; large logits (+-1000)
    give neither nan nor inf. Compute it with tf.nn: Keras, tf.keras too, computes with PyTorch in this module (see
    its first lines), and a tape does not see PyTorch.

    This task is graded where TensorFlow is installed: pip install 'autograder[tensorflow]'.

    Args:
        model: called as model(x, training=True) it gives logits (N, C), float32; model.trainable_variables lists
            what to train. A tf.Module with these two works, and so does a Keras model on the TensorFlow backend
        x: batch, (N, ...) float32 tf.Tensor or NumPy array
        y: labels, (N,) integer tf.Tensor or NumPy array, in 0..C - 1
        optimizer: has apply_gradients(pairs), which takes an iterable of pairs (gradient, variable), as Keras'
            optimisers do; called exactly once, with a pair for each of model.trainable_variables

    Returns:
        loss of the batch before the step, a Python float
    """
    import tensorflow as tf

    ### BEGIN SOLUTION
    with tf.GradientTape() as tape:
        logits = model(x, training=True)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=logits)  # (N,)
        loss = tf.reduce_mean(losses)
    variables = model.trainable_variables
    gradients = tape.gradient(loss, variables)
    optimizer.apply_gradients(zip(gradients, variables, strict=True))
    return float(loss)
    ### END SOLUTION
