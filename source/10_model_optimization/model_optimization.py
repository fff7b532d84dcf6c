"""Model optimisation: the same network with fewer bits, less memory, fewer weights, and no waiting.

PyTorch, except where a docstring says NumPy. Letters: N samples in a batch, C classes, D numbers in a row.

Rules for the whole file:
    * no function changes its arguments, except where its docstring says so, and except that training changes the
      parameters of a model, their gradients, and the state of an optimizer.
    * no device is named: a function works on the device of the model's parameters and of the data, which are together
      unless its docstring says otherwise. So the same code runs on "cpu" and on "cuda".
    * a model is any nn.Module, unless a docstring says more; it stays in the mode (train or eval) in which it is.
    * how you compute something is free. Where several things are returned, a tuple or a list will do; a dictionary has
      the keys that the docstring names, and may have further ones. A helper, a class or an optional argument may be
      added.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import itertools
import queue
import threading

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrize
from torch.utils import checkpoint

# ------------------------------------------------------------------------------------------------------------
# A1  Mixed precision
# ------------------------------------------------------------------------------------------------------------


def float16_report(x, scale=1.0):
    """Say what float16 makes of the numbers of an array, each of them multiplied by `scale` first.

    The products are computed in float64, and then rounded to float16 as NumPy's astype does. Do it without a warning.

    Args:
        x: a NumPy array of any shape with at least one entry, float32 or float64, all entries finite
        scale: float above 0

    Returns:
        a dictionary of floats:
            "overflow": the share of all entries that become inf or -inf
            "underflow": the share of all entries that become 0, though they are not 0
            "error": the largest |rounded - product| / |product| among the entries that are not 0 and become neither
                of the two; 0.0 if there is no such entry
    """
    raise NotImplementedError("float16_report: not started")


class DynamicLossScaler:
    """Keep small gradients alive in float16: multiply the loss, divide the gradients, and find the factor on the way.

    A training step with a scaler:

        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)          only if somebody looks at the gradients or clips them before the step
        scaler.step(optimizer)
        scaler.update()

    A scaler serves one optimizer. It follows torch.amp.GradScaler, and does not use it.

    Attributes:
        skipped: how many steps were left out because of an inf or nan, int
    """

    def __init__(self, init_scale=2.0**16, growth_factor=2.0, backoff_factor=0.5, growth_interval=2000):
        """Begin with the scale init_scale.

        Args:
            init_scale: float above 0
            growth_factor: by what the scale is multiplied after growth_interval good steps in a row, float
            backoff_factor: by what the scale is multiplied after a step that was skipped, float
            growth_interval: int
        """
        raise NotImplementedError("DynamicLossScaler.__init__: not started")

    def get_scale(self):
        """Return the scale of now, a float."""
        raise NotImplementedError("DynamicLossScaler.get_scale: not started")

    def scale(self, loss):
        """Return loss times the scale, a new tensor in the graph of the loss."""
        raise NotImplementedError("DynamicLossScaler.scale: not started")

    def unscale_(self, optimizer):
        """Divide the gradients of all parameters of the optimizer by the scale, and note if one is not finite.

        The gradients are changed: afterwards p.grad is the true gradient of each parameter p of the optimizer, in all
        its groups. A parameter without a gradient (p.grad is None) keeps none.

        Raises:
            RuntimeError: unscale_ or step was called before, and no update since
        """
        raise NotImplementedError("DynamicLossScaler.unscale_: not started")

    def step(self, optimizer):
        """Let the optimizer make its step, unless a gradient is inf or nan.

        Unscale the gradients first, if this did not happen since the last update. If every entry of every gradient was
        finite after unscaling, call optimizer.step(). Otherwise the step is skipped: parameters and the state of the
        optimizer stay as they are, and `skipped` grows by 1.

        Returns:
            whether the optimizer made its step, bool
        """
        raise NotImplementedError("DynamicLossScaler.step: not started")

    def update(self):
        """Find the scale of the next step.

        After a skipped step the scale is multiplied by backoff_factor, and the count of good steps begins again at 0.
        After a good step the count grows by 1; when it reaches growth_interval, the scale is multiplied by
        growth_factor, and the count begins again at 0.

        Raises:
            RuntimeError: nothing was unscaled since the last update
        """
        raise NotImplementedError("DynamicLossScaler.update: not started")

    def state_dict(self):
        """Return all that a scaler needs to go on, as it is after an update.

        Returns:
            a new dictionary of plain Python numbers and texts, which json can write. Its keys are your choice. What
            happens to the scaler afterwards does not change it
        """
        raise NotImplementedError("DynamicLossScaler.state_dict: not started")

    def load_state_dict(self, state):
        """Go on as the scaler would have that gave this state.

        Scale, count of good steps, skipped, factors and interval are those of the state, whatever this scaler was made
        with. The state stays as it is.
        """
        raise NotImplementedError("DynamicLossScaler.load_state_dict: not started")


def amp_step(model, x, y, loss_fn, optimizer, scaler=None, max_norm=None, dtype=torch.bfloat16):
    """Make one training step in mixed precision.

    The forward pass and the loss are computed under torch.autocast, for the device of x and with `dtype`; backward
    pass, clipping and step are outside of it. Parameters and gradients stay float32. Gradients that were there before
    do not count. The model is called once.

    With a scaler the loss is scaled for the backward pass, an optimizer's step that the scaler skips changes nothing,
    and the scaler is updated once. With max_norm the *true* gradients of all parameters together are clipped to this
    norm, as torch.nn.utils.clip_grad_norm_ does, before the step.

    Args:
        model: called as model(x); its parameters are float32
        x: (N, ...) tensor
        y: what loss_fn compares with, a tensor
        loss_fn: called as loss_fn(scores, y), gives the mean loss
        optimizer: a torch.optim.Optimizer that has all parameters of the model
        scaler: None, or an object with the methods scale, unscale_, step and update of DynamicLossScaler; use no other
            part of it
        max_norm: None, or float
        dtype: torch.bfloat16 or torch.float16

    Returns:
        the loss, a float: not scaled, and from before the step
    """
    raise NotImplementedError("amp_step: not started")


class MasterWeights:
    """An optimizer for parameters in half precision: it works on float32 copies, and rounds them after each step.

    A step that is smaller than the distance to the next float16 or bfloat16 number would be rounded away each time. In
    the float32 copies such steps add up.

    Attributes:
        masters: the float32 copies, a list of tensors in the order of the parameters
        optimizer: what make_optimizer gave
    """

    def __init__(self, parameters, make_optimizer):
        """Copy the parameters, and make an optimizer of the copies.

        Args:
            parameters: a list or a generator of nn.Parameter, float16 or bfloat16
            make_optimizer: called once with the list of copies, gives a torch.optim.Optimizer
        """
        raise NotImplementedError("MasterWeights.__init__: not started")

    def zero_grad(self):
        """Clear the gradients of the parameters: None or zeros."""
        raise NotImplementedError("MasterWeights.zero_grad: not started")

    def step(self):
        """Make a step of the optimizer on the copies, with the gradients of the parameters, and round the result.

        The gradient of each parameter, in float32, is that of its copy; a parameter whose gradient is None does not
        move, even if it had a gradient before. Afterwards each parameter is its copy, rounded to the parameter's dtype;
        the copies are not rounded. The parameters are the same objects as before, and their gradients stay.
        """
        raise NotImplementedError("MasterWeights.step: not started")


# ------------------------------------------------------------------------------------------------------------
# A2  Gradient accumulation
# ------------------------------------------------------------------------------------------------------------


def train_step_accumulate(model, batches, k, optimizer=None, loss_fn=F.cross_entropy, max_norm=None):
    """Train with large batches that come in parts: one step of the optimizer after every k micro-batches.

    The last step has the micro-batches that are left, if they are fewer than k. Each step is the step that one batch
    of all *samples* of its micro-batches would make: its gradient is that of the mean loss over these samples, also if
    the micro-batches have different sizes. (Layers such as batch norm, which mix the samples of a batch, are the
    exception: see breaks_accumulation.)

    The memory is that of one micro-batch: the model is called once for each micro-batch, with this micro-batch alone,
    and its backward pass comes before the next call. Gradients that were there before do not count.

    Args:
        model: called as model(x)
        batches: pairs (x, y) of tensors, x (n, ...) and y (n, ...), n at least 1: a list, or a generator of any length
            that can be read once. No more than k micro-batches are read before the step that they belong to
        k: micro-batches for each step, int
        optimizer: a torch.optim.Optimizer that has all parameters of the model; None: torch.optim.SGD of all
            parameters, with a learning rate of 0.1
        loss_fn: called as loss_fn(scores, y), gives the mean loss over the n samples
        max_norm: None, or float: the gradient of each step is clipped to this norm, as clip_grad_norm_ does

    Returns:
        for each step the mean loss over its samples, from before the step: a list of floats, empty without a batch

    Raises:
        ValueError: k is below 1
    """
    raise NotImplementedError("train_step_accumulate: not started")


def breaks_accumulation(model):
    """Name the layers because of which accumulation differs from a big batch: batch norms that look at the batch.

    These are all layers of the kinds nn.BatchNorm1d, 2d and 3d and nn.SyncBatchNorm that normalise with the statistics
    of the batch: those in train mode, and those without running statistics (track_running_stats=False) in both modes.
    Each layer's own mode counts. Layer norm, group norm and instance norm work within each sample.

    Returns:
        the names, as model.named_modules() gives them and in its order: a list of texts
    """
    raise NotImplementedError("breaks_accumulation: not started")


# ------------------------------------------------------------------------------------------------------------
# A3  Pruning
# ------------------------------------------------------------------------------------------------------------


def magnitude_prune(model, amount, scope="global"):
    """Set the smallest weights of a network to 0, and keep them there. The model is changed.

    The `weight` of each nn.Linear and nn.Conv2d of the model is pruned; biases and other layers are not. Smallest means
    the smallest absolute value. With the scope "global" round(amount * n) weights become 0, where n counts the weights
    of all these layers together; with "layer" the same is done in each layer by itself. round is Python's; of equal
    weights any may go. Weights that an earlier call has pruned are the first to go, and count: 0.5 and then 0.8 leaves
    0.8 of all weights pruned. A pruned weight never comes back.

    The mask stays. Whatever optimizer trains the model from now on, made before this call or after it, with momentum or
    weight decay: pruned weights are exactly 0, in the forward pass and where `layer.weight` is read. The others, and
    the biases, are trained as before. model.state_dict() holds the mask too: another model of the same kind, which was
    pruned by a call with any amount, and then loads it, has the same weights and the same mask from then on.

    Args:
        model: its layers keep their names. (How a layer holds its weight is free: its parameter may be called "weight"
            or something else, as with torch.nn.utils.parametrize, or with the masks of torch.nn.utils.prune. The
            functions of that module which choose weights are forbidden here.)
        amount: float from 0 to 1
        scope: "global" or "layer"

    Returns:
        for the name of each pruned layer (as in model.named_modules()) its mask: a dictionary of bool tensors of the
        shape of the weight, True where a weight is kept. Changes to it do not change the model

    Raises:
        ValueError: amount is not from 0 to 1, or there is no such scope
    """
    raise NotImplementedError("magnitude_prune: not started")


def make_permanent(model):
    """Take the masks of magnitude_prune away, and leave the zeros. The model is changed.

    Afterwards the model is as if it had never been pruned, but for the zeros: model.state_dict() has the keys of a new
    model, a new model can load it, and nothing keeps the zeros at 0 if it is trained. A model without masks stays as
    it is.
    """
    raise NotImplementedError("make_permanent: not started")


def prune_channels(model, amount):
    """Make a convolutional network that is really smaller: without the weakest channels of each nn.Conv2d.

    Of each nn.Conv2d with C output channels the round(amount * C) channels go whose filters (all weights of the channel
    in `model`, without its bias) have the smallest sum of absolute values; round is Python's, of equal channels any may
    go, and at least one channel stays. The others stay in their order. So the layers behind it shrink too: a batch norm
    has fewer channels, and the next nn.Conv2d or nn.Linear has fewer inputs. The outputs of an nn.Linear all stay.

    The new network computes what `model` would compute if the weights with which the next nn.Conv2d or nn.Linear reads
    the removed channels were 0.

    Args:
        model: an nn.Sequential of nn.Conv2d (groups=1), nn.BatchNorm2d, nn.ReLU, nn.MaxPool2d, nn.AdaptiveAvgPool2d,
            nn.Flatten and nn.Linear, without masks of magnitude_prune. Behind the last nn.Conv2d there is an
            nn.Flatten, and later an nn.Linear
        amount: float from 0 to 1

    Returns:
        a new nn.Sequential of the same kinds of layers with the same settings, in the same mode, with the same dtype,
        on the same device, in new memory. `model` stays as it is
    """
    raise NotImplementedError("prune_channels: not started")


def network_cost(model, shape):
    """Count what a network costs: its parameters, and the multiply-adds of one sample.

    A multiply-add is one product that is added up: an nn.Linear needs in_features for each number of its output, an
    nn.Conv2d needs in_channels / groups * kernel height * kernel width. Biases and all other layers count as nothing. A
    layer that is used twice is counted twice, but its parameters once.

    The model stays as it is: its modes, its buffers (also those of batch norms), its gradients, and no hook is left.

    Args:
        model: called with one sample; its parameters may be on any device, also on "meta", and of any float
            dtype. The sample must have this dtype too
        shape: shape of one sample, without the axis of the batch, a tuple of ints

    Returns:
        parameters, multiply_adds: two ints
    """
    raise NotImplementedError("network_cost: not started")


# ------------------------------------------------------------------------------------------------------------
# A4  Knowledge distillation
# ------------------------------------------------------------------------------------------------------------


def distillation_loss(s, t, y, T=4.0, alpha=0.9):
    """Say how far a student is from its teacher's opinion, and from the labels (Hinton et al., 2015).

        soft = T ** 2 * mean over the N rows of KL(softmax(t / T) || softmax(s / T))
        hard = cross-entropy of the scores s, a mean over the rows that have a label; 0 if no row has one
        loss = alpha * soft + (1 - alpha) * hard

    KL(p || q) is the sum over the classes of p * log(p / q). Scores may be as large as 1e4: no inf and no nan, also in
    the gradient. No gradient reaches t.

    Args:
        s: raw scores of the student, (N, C) float32 or float64
        t: raw scores of the teacher, (N, C)
        y: labels, (N,) int64; -100 for a row without a label
        T: temperature, float above 0
        alpha: share of the soft part, float from 0 to 1

    Returns:
        the loss, a tensor without axes, in the dtype of s
    """
    raise NotImplementedError("distillation_loss: not started")


def distill(student, teacher, x, y, T=4.0, alpha=0.9, epochs=40, seed=0):
    """Train a student to say what its teacher says, with distillation_loss.

    All rows are visited once in each epoch, in mini-batches, in a new random order (of the rows, not only of batches
    that stay the same); the gradients are cleared before each backward pass. The student is trained from the state that
    it is in; all its layers are in train mode meanwhile, and in eval mode at the end. The seed decides the result: the
    same student and seed end in the same parameters, whatever was drawn from torch's or NumPy's global generator
    before; another seed ends in others.

    The teacher is frozen: whenever it is called, all its layers are in eval mode, and no graph is kept for it. It may
    be called for each batch, or once for all rows. At the end each of its layers is in the mode in which it was, and
    its parameters, their requires_grad and their gradients, and its buffers are as they were.

    With your default number of epochs, on 1,300 rows of dlcourse.data.digits of which 100 have a label, and with a
    teacher that knows all labels, a network of 64, 32 and 10 units gets at least 0.93 of unseen digits right, and more
    than the same network that was trained on the 100 labels alone. It takes less than 10 CPU seconds on one thread.

    Args:
        student, teacher: models that take rows (n, ...) and give scores (n, C), both on the same device
        x: (N, ...) float32, a NumPy array; N need not be a multiple of your batch size
        y: labels, (N,) int64, a NumPy array; -100 for a row without a label
        T, alpha: as for distillation_loss
        epochs: how often to go through all rows, int; you may choose another default
        seed: decides the order of the rows, int

    Returns:
        for each epoch the mean of the batches' losses, each weighted by its number of rows: a list of floats
    """
    raise NotImplementedError("distill: not started")


# ------------------------------------------------------------------------------------------------------------
# A5  Memory
# ------------------------------------------------------------------------------------------------------------


def two_stage_forward(first, second, x):
    """Send x through a network that is cut in two, each half on a device of its own (model parallelism).

    x goes to the device of the first stage, and what the first stage gives goes to the device of the second one. The
    stages stay where they are. Gradients go back the same way: they are those of second(first(x)) on one device. The
    device of a stage is that of its parameters or buffers; a stage without any works where its input is.

    Args:
        first, second: models, on any devices ("cpu", "cuda:1", "meta", ...), each called once
        x: a tensor on any device

    Returns:
        what the second stage gives, on its device
    """
    raise NotImplementedError("two_stage_forward: not started")


def checkpointed_forward(model, x, segments):
    """Compute model(x), and keep little for the backward pass: compute the rest again when it is needed.

    The layers are cut into `segments` runs of neighbours, whose lengths differ by at most 1. Between the forward and
    the backward pass nothing is kept but the input of each run, and the activations of at most one run. The backward
    pass computes the others again, one run after another. Output and gradients, of the parameters and of x, are those
    of model(x), also with dropout (the second pass draws the same numbers), also if x needs no gradient itself.

    torch.utils.checkpoint.checkpoint may be used, checkpoint_sequential not.

    Args:
        model: an nn.Sequential, without layers that keep statistics, such as batch norm: they would see a batch twice
        x: (N, ...) tensor
        segments: number of runs, int from 1 to len(model)

    Returns:
        the output, in the graph of x and of the parameters

    Raises:
        ValueError: segments is not from 1 to len(model)
    """
    raise NotImplementedError("checkpointed_forward: not started")


def saved_activations(model, x, forward=None):
    """Count the bytes that autograd keeps for the backward pass of a model, besides the model itself.

    Every tensor counts that autograd saves during the call (torch.autograd.graph.saved_tensors_hooks shows them), with
    all bytes of its storage. Storage that several tensors share counts once, and that of the model's parameters and
    buffers not at all. x counts if it is saved.

    The count is the same if the caller has switched gradients off with torch.no_grad().

    No backward pass is made, no gradient appears, and the model's buffers (also those of batch norms) stay as they are.

    Args:
        model: a module with parameters that need gradients
        x: a tensor, as the model takes it
        forward: None: count during model(x). Otherwise count during forward(model, x), which is called once and gets
            the model itself, not a copy

    Returns:
        the number of bytes, int
    """
    raise NotImplementedError("saved_activations: not started")


def estimate_memory(params, batch, optimizer, activations=0):
    """Say how many bytes a training step holds, as PyTorch holds them, without allocating any of them.

    Args:
        params: the parameters of a model, an iterable of tensors, on any device (also "meta") and of any float dtype.
            One that comes twice is held once. One with requires_grad=False has no gradient and no optimizer state
        batch: number of samples in a batch, int
        optimizer: what torch.optim keeps for each parameter that is trained, in the dtype and shape of the parameter:
            "sgd" nothing, "momentum" (SGD with momentum) one tensor, "rmsprop" one, "adam" and "adamw" two. The last
            three also keep a count of steps for each parameter, a float32 number
        activations: bytes that are saved for the backward pass of one sample, int

    Returns:
        a dictionary of ints:
            "parameters", "gradients", "optimizer", "activations": bytes of each kind; a gradient has the dtype of its
                parameter, and activations are those of the whole batch
            "total": the sum of the four

    Raises:
        ValueError: there is no such optimizer
    """
    raise NotImplementedError("estimate_memory: not started")


# ------------------------------------------------------------------------------------------------------------
# PF1  Devices, and loops
# ------------------------------------------------------------------------------------------------------------


def select_device():
    """Return the best device of this machine, a torch.device.

    "cuda" if torch.cuda.is_available() says True, otherwise "mps" if torch.backends.mps.is_available() does, otherwise
    "cpu". Ask these two functions by these names, again with each call.
    """
    raise NotImplementedError("select_device: not started")


def move_to(batch, device):
    """Move all tensors of a batch to a device, whatever holds them.

    Containers are a dict, a list, a tuple, a namedtuple, or an instance of a dataclass (frozen or not, made of its
    fields), nested as deep as you like. Each comes back as the same type, with its parts moved; the keys of a dict stay
    as they are. A tensor that is on the device already is returned itself, not a copy. Everything else (None, numbers,
    texts, NumPy arrays, classes, ...) is returned itself. The batch stays as it is.

    Args:
        batch: a tensor, a container, or anything else
        device: a torch.device, or a text such as "cuda"

    Returns:
        the batch on the device
    """
    raise NotImplementedError("move_to: not started")


def vectorise_normalise(images, mean, std):
    """Compute what loops.normalise computes, for NumPy arrays of the same shapes, at least 20 times as fast.

    The speed is measured in CPU time on one thread, with 6 images of 3 channels and 40 x 40 pixels. A loop over images
    and channels is fine; one over pixels, or over rows of pixels, is too slow.
    """
    raise NotImplementedError("vectorise_normalise: not started")


def vectorise_class_means(x, labels, classes):
    """Compute what loops.class_means computes, for NumPy arrays of the same shapes, at least 20 times as fast.

    The speed is measured in CPU time on one thread, with 1,500 rows of 16 numbers in 10 classes. A loop over classes is
    fine; one over rows is too slow.
    """
    raise NotImplementedError("vectorise_class_means: not started")


def vectorise_moving_average(x, width):
    """Compute what loops.moving_average computes, for NumPy arrays of the same shapes, at least 20 times as fast.

    The speed is measured in CPU time on one thread, with 4 rows of 2,000 numbers and windows of 25. A loop over rows,
    or over the places of a window, is fine; one over the windows is too slow.
    """
    raise NotImplementedError("vectorise_moving_average: not started")


# ------------------------------------------------------------------------------------------------------------
# PF2  Feeding the network
# ------------------------------------------------------------------------------------------------------------


def prefetch(loader, n=2):
    """Give the batches of a loader, while a thread reads the next ones already.

    The batches come in the order of the loader, each once, and each is the object that the loader gave (which may be
    None). While the caller works on a batch, the thread reads the next n batches, if there are so many, and no more: at
    no time more than n batches were read that the caller did not get yet (one more is allowed, which the thread holds
    in its hand). If the loader raises an exception, the caller gets all batches from before it, and then this
    exception.

    No thread is left: it has ended when the last batch was asked for and there is none, when the exception was raised,
    and soon after the caller drops the result or closes it, for example by a `break`.

    Args:
        loader: anything that `for` can go through, also a generator without an end
        n: int

    Returns:
        an iterator over the batches, such as a generator

    Raises:
        ValueError: n is below 1; raised by the call, or when the first batch is asked for
    """
    raise NotImplementedError("prefetch: not started")


def largest_batch(fits, limit):
    """Find the largest batch that fits into memory, by trying.

    If a batch fits, every smaller one fits too. Batches are tried from small ones to larger ones: the largest batch
    that is tried is at most twice as large as one that fits, or 1. At most 2 * log2(limit) + 3 batches are tried.

    Args:
        fits: called with a batch size, makes one training step with it. It returns if the batch fits. If not, it
            raises a MemoryError, or a RuntimeError whose text has the word "memory" in it, as
            torch.OutOfMemoryError does
        limit: the largest size to try, int at least 1

    Returns:
        the largest size from 1 to limit that fits, int; 0 if not even 1 does

    Raises:
        every other exception of `fits` is none of memory, and passes through
    """

    raise NotImplementedError("largest_batch: not started")


def best_batch_size(throughput, tolerance=0.05):
    """Choose a batch size from measurements: what counts is samples per second, not seconds per batch.

    Args:
        throughput: for each batch size that was tried, the seconds that one batch took, or None if it did not fit: a
            dictionary {int: float or None} in any order
        tolerance: float from 0 to 1

    Returns:
        the smallest batch size that has at least (1 - tolerance) times the samples per second of the best one, int

    Raises:
        ValueError: no batch size fits
    """
    raise NotImplementedError("best_batch_size: not started")
