"""Advanced CNN techniques: more from few images, steadier training, borrowed knowledge, boxes, and a look inside.

5.1, 5.2, 5.3, 5.6 and `average_precision` are NumPy: write them with NumPy alone, no call of torch. The rest is
PyTorch. Images are (N, C, H, W): height first, then width. A box is (x1, y1, x2, y2) in pixels, x to the right and y
down, as continuous coordinates: pixel k reaches from k to k + 1, and a box from 3 to 6 is 3 wide.

No function here changes its arguments, unless its docstring says so.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

# ------------------------------------------------------------------------------------------------------------
# 5.1  Data augmentation
#
# `x` is always a batch of images, (N, C, H, W) float32 or float64 in [0, 1], and `rng` a np.random.Generator from
# which all random numbers come, drawn separately for each image of the batch. You choose the order of the draws. The
# result is a new array of the shape and dtype of x; x stays as it is.
# ------------------------------------------------------------------------------------------------------------


def random_hflip(x, rng, p=0.5, boxes=None):
    """Mirror some images left to right, each with probability p and independently of the others.

    Args:
        x: images, (N, C, H, W)
        rng: np.random.Generator
        p: probability of a flip, in [0, 1]
        boxes: None, or one box for each image, (N, 4) float: x1, y1, x2, y2 with x1 < x2

    Returns:
        the images; with boxes a pair (images, boxes), where the box of a mirrored image is mirrored with it
        (again x1 < x2), in a new array of the dtype of boxes
    """
    ### BEGIN SOLUTION
    flip = rng.random(len(x)) < p  # (N,)
    images = np.where(flip[:, None, None, None], x[..., ::-1], x)
    if boxes is None:
        return images
    mirrored = boxes.copy()
    mirrored[:, [0, 2]] = x.shape[3] - boxes[:, [2, 0]]
    return images, np.where(flip[:, None], mirrored, boxes)
    ### END SOLUTION


def random_crop(x, pad, rng):
    """Put a border of zeros around each image, and cut a window of the old size out of it at a random place.

    Args:
        x: images, (N, C, H, W)
        pad: width of the border on each of the four sides, int, 0 or above
        rng: np.random.Generator

    Returns:
        images, (N, C, H, W): each of the (2 * pad + 1)**2 places of the window is equally likely
    """
    ### BEGIN SOLUTION
    N, _, H, W = x.shape
    padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    top, left = rng.integers(0, 2 * pad + 1, size=(2, N))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (H, W), axis=(2, 3))
    return windows[np.arange(N), :, top, left]
    ### END SOLUTION


def color_jitter(x, rng, brightness=0.2, contrast=0.2):
    """Change the brightness, then the contrast of each image by random factors.

        bright = b * x                          b uniform in [1 - brightness, 1 + brightness]
        out    = m + c * (bright - m)           c uniform in [1 - contrast, 1 + contrast]

    b and c are one number each for an image, and m is the mean of all pixels and channels of that image's `bright`.
    Only `out` is clipped to [0, 1].

    Args:
        x: images, (N, C, H, W)
        rng: np.random.Generator
        brightness, contrast: half the width of each range, in [0, 1]; 0 leaves the image as it is in this respect

    Returns:
        images, (N, C, H, W) in [0, 1]
    """
    ### BEGIN SOLUTION
    shape = (len(x), 1, 1, 1)
    b = rng.uniform(1 - brightness, 1 + brightness, size=shape)
    c = rng.uniform(1 - contrast, 1 + contrast, size=shape)
    bright = b * x
    m = bright.mean(axis=(1, 2, 3), keepdims=True)
    return np.clip(m + c * (bright - m), 0, 1).astype(x.dtype)
    ### END SOLUTION


def cutout(x, size, rng):
    """Set a square of each image to zero, in all channels, so that no single spot can be relied on.

    The square lies wholly inside the image, and each such place is equally likely. (DeVries and Taylor 2017 draw the
    centre instead and let squares hang over the border.)

    Args:
        x: images, (N, C, H, W)
        size: side of the square in pixels, int, at most H and W; 0 leaves the images as they are
        rng: np.random.Generator

    Returns:
        images, (N, C, H, W)
    """
    ### BEGIN SOLUTION
    N, _, H, W = x.shape
    top = rng.integers(0, H - size + 1, size=N)[:, None]
    left = rng.integers(0, W - size + 1, size=N)[:, None]
    rows = (np.arange(H) >= top) & (np.arange(H) < top + size)  # (N, H)
    columns = (np.arange(W) >= left) & (np.arange(W) < left + size)  # (N, W)
    hole = rows[:, None, :, None] & columns[:, None, None, :]  # (N, 1, H, W)
    return np.where(hole, x.dtype.type(0), x)
    ### END SOLUTION


def mixup(x, y, alpha, rng):
    """Blend each image and its label with a random partner of the batch (Zhang et al. 2018).

        x'[i] = lam[i] * x[i] + (1 - lam[i]) * x[partner[i]]           y' the same, with the same lam and partner

    lam[i] is drawn from Beta(alpha, alpha), separately for each image. The partners are a random permutation
    of the batch, or drawn one by one from the whole batch: as you like. An image may be its own partner.

    Args:
        x: images, (N, C, H, W)
        y: labels as probabilities, (N, K) float, such as one-hot rows
        alpha: float above 0: small values leave most images nearly pure
        rng: np.random.Generator

    Returns:
        images, (N, C, H, W) of the dtype of x, and labels, (N, K) of the dtype of y
    """
    ### BEGIN SOLUTION
    lam = rng.beta(alpha, alpha, size=len(x))
    partner = rng.permutation(len(x))
    of_image, of_label = lam[:, None, None, None], lam[:, None]
    images = of_image * x + (1 - of_image) * x[partner]
    labels = of_label * y + (1 - of_label) * y[partner]
    return images.astype(x.dtype), labels.astype(y.dtype)
    ### END SOLUTION


def batches(x, y, batch_size, rng, augment=None, training=True):
    """Yield batches of images and labels: shuffled and augmented for training, untouched for validation.

    Args:
        x: images, (N, C, H, W)
        y: labels, (N,) int64
        batch_size: images in a batch, int; the last batch holds what is left
        rng: np.random.Generator; in validation it is never used and may be None
        augment: None, or a function: augment(images, rng) gives new images. In training it sees each batch, once
        training: True: each image once, in a new random order at each call. False: in the order of x, as they are

    Yields:
        pairs (images, labels), where each label still belongs to its image
    """
    ### BEGIN SOLUTION
    order = rng.permutation(len(x)) if training else np.arange(len(x))
    for start in range(0, len(x), batch_size):
        chosen = order[start : start + batch_size]
        images = x[chosen]
        if training and augment is not None:
            images = augment(images, rng)
        yield images, y[chosen]
    ### END SOLUTION


def keeps_label(dataset, change):
    """Say whether a change leaves the label of *every* class of a data set right. One that does not must not be used.

    Args:
        dataset: "digits": handwritten digits 0 to 9, or "shapes10": disk, ring, square, triangle, cross, horizontal
            stripes, vertical stripes, checker, dots, gradient bar (a bar that fades from one end to the other, either
            way; a triangle may point anywhere)
        change: "hflip": mirror left to right, "half_turn": turn by 180 degrees, "quarter_turn": turn by 90 degrees,
            "shift": move by two pixels, "brighter": raise the brightness by a tenth

    Returns:
        bool
    """
    ### BEGIN SOLUTION
    breaking = {"digits": {"hflip", "half_turn", "quarter_turn"}, "shapes10": {"quarter_turn"}}
    return change not in breaking[dataset]
    ### END SOLUTION


# ------------------------------------------------------------------------------------------------------------
# 5.2 and 5.3  Batch normalisation and dropout
#
# Both are layers in NumPy and float64. A new layer is in training mode; train() and eval() switch, return the layer
# itself, and `training` (a bool) tells. `forward` gives (out, cache), and the cache is whatever your backward needs:
# it goes unread from your forward to your backward, where it may be used several times and later on, also after
# other calls of forward or a change of mode.
# ------------------------------------------------------------------------------------------------------------


class BatchNorm:
    """Batch normalisation (Ioffe and Szegedy 2015) of (N, C) activations or (N, C, H, W) feature maps.

        out = gamma * (x - mean) / sqrt(var + eps) + beta         one mean, var, gamma and beta for each channel

    In training mean and var are those of the batch, over all axes but the channel's; var is the biased one (divided
    by the number n of values of a channel). Each forward in training also moves the running statistics:

        running_mean = (1 - momentum) * running_mean + momentum * mean
        running_var  = (1 - momentum) * running_var  + momentum * unbiased var       (divided by n - 1)

    In eval mode mean and var are the running ones, and nothing is updated. All as in torch.nn.BatchNorm1d and 2d.

    Args:
        num_features: number of channels C, int
        momentum: how far the running statistics move at a step, float
        eps: float added to the variance

    Attributes:
        gamma, beta: (C,) float64, ones and zeros at first: what is learned; an optimiser changes these two arrays in
            place, and the next forward uses them as they are then
        running_mean, running_var: (C,) float64, zeros and ones at first: not learned, only followed
        training: bool
    """

    def __init__(self, num_features, momentum=0.1, eps=1e-5):
        ### BEGIN SOLUTION
        self.momentum = momentum
        self.eps = eps
        self.gamma = np.ones(num_features)
        self.beta = np.zeros(num_features)
        self.running_mean = np.zeros(num_features)
        self.running_var = np.ones(num_features)
        self.training = True
        ### END SOLUTION

    def train(self):
        """Switch to training mode and return self."""
        ### BEGIN SOLUTION
        self.training = True
        return self
        ### END SOLUTION

    def eval(self):
        """Switch to eval mode and return self."""
        ### BEGIN SOLUTION
        self.training = False
        return self
        ### END SOLUTION

    def parameters(self):
        """Return what an optimiser may change: the list [gamma, beta] of the layer's own two arrays, no copies."""
        ### BEGIN SOLUTION
        return [self.gamma, self.beta]
        ### END SOLUTION

    def forward(self, x):
        """Normalise each channel.

        Args:
            x: (N, C) or (N, C, H, W) float64

        Returns:
            out: the shape of x, float64, new memory
            cache: whatever backward needs

        Raises:
            ValueError: x has neither two nor four axes; or, in training mode, a channel has only one value, whose
                variance means nothing (the running statistics stay as they are then)
        """
        ### BEGIN SOLUTION
        if x.ndim not in (2, 4):
            raise ValueError(f"BatchNorm: x has {x.ndim} axes; use (N, C) or (N, C, H, W)")
        axes = (0,) if x.ndim == 2 else (0, 2, 3)
        n = x.size // x.shape[1]
        if self.training:
            if n < 2:
                raise ValueError("BatchNorm: one value in a channel has no variance; use a larger batch")
            mean, var = x.mean(axis=axes), x.var(axis=axes)
            self.running_mean = (1 - self.momentum) * self.running_mean + self.momentum * mean
            self.running_var = (1 - self.momentum) * self.running_var + self.momentum * var * n / (n - 1)
        else:
            mean, var = self.running_mean, self.running_var
        channel = (-1,) + (1,) * (x.ndim - 2)  # (C,) -> (C, 1, 1) for images
        scale = (1 / np.sqrt(var + self.eps)).reshape(channel)
        normal = (x - mean.reshape(channel)) * scale
        out = self.gamma.reshape(channel) * normal + self.beta.reshape(channel)
        return out, (normal, scale, self.gamma.reshape(channel), axes, self.training)
        ### END SOLUTION

    def backward(self, dout, cache):
        """Carry the gradient of a loss back through the forward that made the cache, in the mode which it had.

        In training mode the mean and the variance depend on x as well. In eval mode they are constants.

        Args:
            dout: gradient with respect to out, the shape of x, float64
            cache: the second value that forward returned

        Returns:
            dx: gradient with respect to x, the shape of x
            dgamma, dbeta: gradients with respect to gamma and beta, (C,) each
        """
        ### BEGIN SOLUTION
        normal, scale, gamma, axes, was_training = cache
        dgamma, dbeta = (dout * normal).sum(axis=axes), dout.sum(axis=axes)
        dnormal = dout * gamma
        if was_training:
            slope = (dnormal * normal).mean(axis=axes, keepdims=True)
            dnormal = dnormal - dnormal.mean(axis=axes, keepdims=True) - normal * slope
        return dnormal * scale, dgamma, dbeta
        ### END SOLUTION


class Dropout:
    """Inverted dropout (Srivastava 2014): in training each entry is dropped (set to zero) with probability p.

    Entries are dropped independently of each other, with new draws at each forward, and those that stay are
    divided by the probability of staying, so that the mean is what it was. In eval mode x passes as it is.
    With p = 1 all is zero.

    Args:
        p: probability to be dropped, in [0, 1]
        rng: np.random.Generator from which all draws come; None: a generator of your own with a fresh seed.
            NumPy's global random state is neither set nor used, and eval mode draws nothing

    Attributes:
        p: float
        training: bool

    Raises:
        ValueError: p outside [0, 1]
    """

    def __init__(self, p=0.5, rng=None):
        ### BEGIN SOLUTION
        if not 0 <= p <= 1:
            raise ValueError(f"Dropout: p is {p}; use a probability in [0, 1]")
        self.p = p
        self.rng = np.random.default_rng() if rng is None else rng
        self.training = True
        ### END SOLUTION

    def train(self):
        """Switch to training mode and return self."""
        ### BEGIN SOLUTION
        self.training = True
        return self
        ### END SOLUTION

    def eval(self):
        """Switch to eval mode and return self."""
        ### BEGIN SOLUTION
        self.training = False
        return self
        ### END SOLUTION

    def forward(self, x):
        """Drop entries in training mode; return (out, cache), where out is float64 and has the shape of x.

        x is a float64 array of any shape. In eval mode out may be x itself.
        """
        ### BEGIN SOLUTION
        if not self.training:
            return x, np.ones(x.shape)
        kept = self.rng.random(x.shape) >= self.p
        mask = kept / (1 - self.p) if self.p < 1 else np.zeros(x.shape)
        return x * mask, mask
        ### END SOLUTION

    def backward(self, dout, cache):
        """Return the gradient with respect to x, given the gradient with respect to out and forward's cache.

        dout has the shape of out and stays as it is. What was not dropped has a gradient, also where x is 0.
        """
        ### BEGIN SOLUTION
        return dout * cache
        ### END SOLUTION


# ------------------------------------------------------------------------------------------------------------
# 5.4 and 5.5  Transfer learning
#
# A model has a head, its last linear layer, and everything else is its backbone. `head` is the name of the head as
# model.named_modules() gives it: "head", "fc" (ResNet), "classifier.6" (VGG). Other layers may have similar names:
# "fc2" does not belong to the head "fc". For freeze_backbone and param_groups the head may also be another part of the
# model, such as an nn.Sequential of several layers with a batch norm among them: all of it is head then.
# ------------------------------------------------------------------------------------------------------------


def freeze_backbone(model, head="head"):
    """Stop the backbone from learning; only the head goes on.

    * parameters: requires_grad is False in the backbone, and True in the head.
    * batch norm: the backbone's batch norm layers (nn.BatchNorm1d, 2d and 3d) are put in eval mode, so that they use
      their running statistics and no longer move them. model.train() would put them back into training mode, so
      this function is called after each call of model.train().
    * everything else keeps its mode: the head, and `model.training` itself. (For the backbone's other layers and
      containers either mode is fine.)

    Args:
        model: an nn.Module, changed in place
        head: name of the head

    Returns:
        the model
    """
    ### BEGIN SOLUTION
    kept = model.get_submodule(head)
    of_head = set(kept.modules())
    for parameter in model.parameters():
        parameter.requires_grad = False
    for parameter in kept.parameters():
        parameter.requires_grad = True
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)) and module not in of_head:
            module.eval()
    return model
    ### END SOLUTION


def replace_head(model, num_classes, head="head"):
    """Replace the head by a new linear layer with new random weights.

    It reads as many features as the old one and gives num_classes scores. It has a bias if the old one has one, and
    the old one's dtype; its parameters require a gradient, and each call draws other weights. Everything else in the
    model stays as it is.

    Args:
        model: an nn.Module, changed in place
        num_classes: int
        head: name of the head, which is an nn.Linear

    Returns:
        the model
    """
    ### BEGIN SOLUTION
    *path, name = head.split(".")
    parent = model.get_submodule(".".join(path))
    old = model.get_submodule(head)
    new = nn.Linear(old.in_features, num_classes, bias=old.bias is not None, dtype=old.weight.dtype)
    setattr(parent, name, new)
    return model
    ### END SOLUTION


def param_groups(model, lr_head, lr_backbone, head="head"):
    """Sort a model's parameters into groups for an optimiser: the head learns at its own rate.

    Args:
        model: an nn.Module
        lr_head, lr_backbone: learning rates, float
        head: name of the head

    Returns:
        a list of dicts {"params": [parameters], "lr": rate}, as torch.optim takes them. Each parameter that requires a
        gradient is in exactly one group, frozen ones are in none, and no group is empty. The order is yours.
    """
    ### BEGIN SOLUTION
    of_head = set(model.get_submodule(head).parameters())
    sorted_out = {lr: [] for lr in ("backbone", "head")}
    for parameter in model.parameters():
        if parameter.requires_grad:
            sorted_out["head" if parameter in of_head else "backbone"].append(parameter)
    rates = {"backbone": lr_backbone, "head": lr_head}
    return [{"params": group, "lr": rates[part]} for part, group in sorted_out.items() if group]
    ### END SOLUTION


class ShapeNet(nn.Module):
    """The network whose trained weights the course gives (this class is complete).

    Three convolutions with batch norm and ReLU, the mean of each of the 64 maps, and a linear head.
    """

    def __init__(self, num_classes=7):
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU(),
        )  # fmt: skip
        self.head = nn.Linear(64, num_classes)

    def forward(self, x):
        """(N, 3, H, W) -> scores (N, num_classes)"""
        return self.head(self.backbone(x).mean(dim=(2, 3)))


def compare_transfer(state, x, y, num_classes=3, epochs=40, seed=0):
    """Learn new classes from a few images in three ways, and return the three networks.

    * "scratch": a new ShapeNet with random weights, trained as a whole. It never sees `state`.
    * "linear_probe": the backbone of `state`, bit for bit, batch norm's running statistics included; only a new head
      is trained.
    * "fine_tune": starts from the backbone of `state` with a new head; everything is trained, the backbone at a lower
      learning rate than the head.

    No augmentation. The measure: ten images each of three classes that `state` has never seen (classes 7, 8 and 9 of
    shapes10, drawn with noise=0.25), your default number of epochs, and means over three such draws. On unseen images
    the linear probe must be right on 0.90 and fine-tuning on 0.85, and the linear probe must beat the network from
    scratch by 0.08 (0.3 is usual). Of its training images each way must get 0.75 right. A call must take less than 15
    seconds on one CPU thread.

    Args:
        state: weights of a trained ShapeNet, as its state_dict() gives them: name -> tensor. Its head may have been
            made for another number of classes. It stays as it is
        x: images, (N, 3, 32, 32) float32, a NumPy array
        y: labels, (N,) int64 in 0..num_classes - 1, a NumPy array
        num_classes: int
        epochs: how often to go through all images, each of them once, int; you may choose another default, and other
            numbers of epochs for the three ways in proportion to it
        seed: decides the initial values and the order of the images: the same seed gives the same networks, whatever
            was drawn from torch's or NumPy's global generator before; another seed gives others

    Returns:
        {"scratch": ShapeNet, "linear_probe": ShapeNet, "fine_tune": ShapeNet}, in eval mode with all their layers, with
        num_classes scores each; no two of them share a tensor, nor does one with `state`
    """
    ### BEGIN SOLUTION
    images, labels = torch.from_numpy(np.ascontiguousarray(x)), torch.from_numpy(np.ascontiguousarray(y))
    old_classes = len(state["head.weight"])
    torch.manual_seed(seed)
    nets = {}
    for way, lr_backbone in (("scratch", 0.01), ("linear_probe", 0.0), ("fine_tune", 0.001)):
        net = ShapeNet(old_classes)
        if way != "scratch":
            net.load_state_dict(state)
        replace_head(net, num_classes).train()
        inputs, forward = images, net
        if way == "linear_probe":  # nothing in front of the head changes: compute it once
            freeze_backbone(net)
            inputs, forward = net.backbone(images).mean(dim=(2, 3)), net.head
        optimizer = torch.optim.Adam(param_groups(net, 0.01, lr_backbone))
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(epochs, 1))
        for _ in range(epochs):
            for batch in torch.randperm(len(images)).split(10):
                optimizer.zero_grad()
                F.cross_entropy(forward(inputs[batch]), labels[batch]).backward()
                optimizer.step()
            schedule.step()
        nets[way] = net.eval()
    return nets
    ### END SOLUTION


# ------------------------------------------------------------------------------------------------------------
# 5.6  Boxes (NumPy, float64)
# ------------------------------------------------------------------------------------------------------------


def box_iou(a, b):
    """Return the intersection over union of each box of a with each box of b.

    Args:
        a: boxes, (N, 4) float64: x1, y1, x2, y2 with x1 <= x2 and y1 <= y2
        b: boxes, (M, 4) float64; N and M may be 0

    Returns:
        (N, M) float64 in [0, 1]; 0 where the union has no area
    """
    ### BEGIN SOLUTION
    corner = np.maximum(a[:, None, :2], b[None, :, :2])  # (N, M, 2)
    far = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.clip(far - corner, 0, None).prod(axis=2)  # (N, M)
    area_a, area_b = ((boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (a, b))
    union = area_a[:, None] + area_b[None, :] - shared
    return shared / np.where(union > 0, union, 1.0)
    ### END SOLUTION


def nms(boxes, scores, iou_threshold=0.5, labels=None):
    """Keep the best of the boxes that overlap: non-maximum suppression.

    Go through the boxes from the highest score to the lowest. A box is kept, unless its IoU with a box that was kept
    before is *greater* than iou_threshold. Of two boxes with the same score, the one with the lower index comes first.
    With labels, a box is only compared with boxes of its own class.

    Args:
        boxes: (N, 4) float64; N may be 0
        scores: (N,) float64
        iou_threshold: float in [0, 1]
        labels: None, or classes, (N,) int64

    Returns:
        indices of the boxes that are kept, in the order of their scores, highest first, (K,) int64
    """
    ### BEGIN SOLUTION
    overlaps = box_iou(boxes, boxes) > iou_threshold
    if labels is not None:
        overlaps &= labels[:, None] == labels[None, :]
    kept = []
    for index in np.argsort(-scores, kind="stable"):
        if not overlaps[index, kept].any():
            kept.append(index)
    return np.array(kept, dtype=np.int64)
    ### END SOLUTION


def encode(boxes, anchors):
    """Describe each box as seen from its anchor (Girshick 2014): what a detector learns to predict.

        tx = (x - xa) / wa      ty = (y - ya) / ha      tw = log(w / wa)      th = log(h / ha)

    with the centre (x, y), the width w and the height h of the box, and xa, ya, wa, ha those of its anchor.

    Args:
        boxes: (N, 4) float64, x1, y1, x2, y2, with some width and height
        anchors: (N, 4) float64, one for each box, in the same form

    Returns:
        offsets tx, ty, tw, th, (N, 4) float64
    """
    ### BEGIN SOLUTION
    size, anchor_size = boxes[:, 2:] - boxes[:, :2], anchors[:, 2:] - anchors[:, :2]
    centre, anchor_centre = (boxes[:, :2] + boxes[:, 2:]) / 2, (anchors[:, :2] + anchors[:, 2:]) / 2
    return np.concatenate([(centre - anchor_centre) / anchor_size, np.log(size / anchor_size)], axis=1)
    ### END SOLUTION


def decode(offsets, anchors):
    """Turn offsets back into boxes: the inverse of encode.

    Args:
        offsets: tx, ty, tw, th, (N, 4) float64
        anchors: x1, y1, x2, y2, (N, 4) float64, one for each row of offsets

    Returns:
        boxes x1, y1, x2, y2, (N, 4) float64
    """
    ### BEGIN SOLUTION
    anchor_size = anchors[:, 2:] - anchors[:, :2]
    middle = (anchors[:, :2] + anchors[:, 2:]) / 2 + offsets[:, :2] * anchor_size
    half = np.exp(offsets[:, 2:]) * anchor_size / 2
    return np.concatenate([middle - half, middle + half], axis=1)
    ### END SOLUTION


def make_anchors(shape, stride, scales, ratios):
    """Lay a set of anchors over each cell of a feature map.

    The cell in row i and column j has its centre at x = (j + 0.5) * stride, y = (i + 0.5) * stride. An anchor of
    scale s and ratio r = height / width has the area s**2. Anchors may reach beyond the image.

    Args:
        shape: (rows, columns) of the feature map, ints
        stride: pixels from one cell to the next, int
        scales: list of floats
        ratios: list of floats

    Returns:
        anchors x1, y1, x2, y2, (rows * columns * len(scales) * len(ratios), 4) float64: row by row, in a row column by
        column, in a cell scale by scale, for a scale ratio by ratio
    """
    ### BEGIN SOLUTION
    rows, columns = shape
    scale, root = np.array(scales), np.sqrt(ratios)
    sizes = np.stack([scale[:, None] / root, scale[:, None] * root], axis=-1).reshape(-1, 2)  # w, h
    y, x = np.meshgrid((np.arange(rows) + 0.5) * stride, (np.arange(columns) + 0.5) * stride, indexing="ij")
    centres = np.stack([x, y], axis=-1).reshape(-1, 1, 2)  # (rows * columns, 1, 2)
    return np.concatenate([centres - sizes / 2, centres + sizes / 2], axis=2).reshape(-1, 4)
    ### END SOLUTION


# ------------------------------------------------------------------------------------------------------------
# 5.7  A detector, and how good it is
# ------------------------------------------------------------------------------------------------------------


def average_precision(dets, gts, iou=0.5):
    """Return the area under the curve of precision over recall, for one class (NumPy).

    Go through the detections from the highest score to the lowest (of equal scores the earlier row first). Each looks
    at the true boxes of its own image that no detection has taken before, and chooses the one with the largest IoU. If
    that IoU is at least `iou` it takes this box and is a hit; otherwise it is a false alarm.

    After k detections, recall is hits / all true boxes and precision is hits / k. The curve is first made to fall: at
    each recall it takes the best precision reached at that recall or any higher one. Then

        AP = sum over the detections of (recall - recall before it) * best precision from there on

    Args:
        dets: detections, (D, 6) float64: image, score, x1, y1, x2, y2; D may be 0
        gts: true boxes, (G, 5) float64: image, x1, y1, x2, y2; G may be 0. `image` is a whole number that says which
            image it is, not a position in an array
        iou: float in (0, 1]

    Returns:
        float in [0, 1]; 0.0 where there is no true box
    """
    ### BEGIN SOLUTION
    if len(gts) == 0:
        return 0.0
    order = np.argsort(-dets[:, 1], kind="stable")
    overlaps = box_iou(dets[:, 2:], gts[:, 1:])  # (D, G)
    overlaps[dets[:, :1] != gts[:, 0]] = -1
    hits = np.zeros(len(dets))
    for place, index in enumerate(order):
        best = overlaps[index].argmax()
        if overlaps[index, best] >= iou:
            hits[place] = 1
            overlaps[:, best] = -1  # taken
    found = hits.cumsum()
    precision = found / np.arange(1, len(dets) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float((hits / len(gts) * envelope).sum())
    ### END SOLUTION


class TinyDetector(nn.Module):
    """A network that says what is in an image of 32x32, and where: one object in each image.

    Its layers are your choice.
    """

    def __init__(self, num_classes=10):
        ### BEGIN SOLUTION
        super().__init__()
        layers = []
        for narrow, wide in ((3, 16), (16, 32), (32, 64)):
            layers += [nn.Conv2d(narrow, wide, 3, padding=1, bias=False), nn.BatchNorm2d(wide)]
            layers += [nn.ReLU(), nn.MaxPool2d(2)]
        self.maps = nn.Sequential(*layers)  # (N, 64, 4, 4)
        self.scores = nn.Linear(64, num_classes)  # what: wherever it is
        self.places = nn.Sequential(nn.Conv2d(64, 8, 1), nn.Flatten(), nn.Linear(8 * 16, 4))  # where
        ### END SOLUTION

    def forward(self, x):
        """Score the classes and place the box.

        Args:
            x: images, (N, 3, 32, 32) float32 tensor

        Returns:
            scores: (N, num_classes): raw, no softmax
            boxes: (N, 4): x1, y1, x2, y2 in pixels, with x1 <= x2 and y1 <= y2 whatever the weights are
        """
        ### BEGIN SOLUTION
        maps = self.maps(x)
        middle, half = (32 * self.places(maps).sigmoid()).split(2, dim=1)  # (N, 2) each
        return self.scores(maps.amax(dim=(2, 3))), torch.cat([middle - half, middle + half], dim=1)
        ### END SOLUTION


def train_detector(x, y, boxes, num_classes=10, epochs=6, seed=0):
    """Train a new TinyDetector on labels and boxes at once, and return it.

    The images may come sorted by class. With your default number of epochs and 1,000 images of shapes10 it must, on
    unseen images, name 0.80 of the shapes and reach a mean IoU of 0.55 between predicted and true boxes, in less than
    30 seconds on one CPU thread. The boxes must follow the shapes: their centres correlate with the true ones by 0.4 or
    more, in x and in y (a box that never moves has a mean IoU of 0.6, and a correlation of none). Gradients are cleared
    before each step, and every parameter learns.

    Args:
        x: images, (N, 3, 32, 32) float32 in [0, 1], a NumPy array
        y: labels, (N,) int64 in 0..num_classes - 1, a NumPy array
        boxes: one true box for each image, (N, 4) float32: x1, y1, x2, y2 in pixels, a NumPy array
        num_classes: int
        epochs: how often to go through all images, each of them once, int; you may choose another default
        seed: decides the initial values and the order of the images: the same seed gives the same detector, whatever
            was drawn from torch's or NumPy's global generator before; another seed gives another one

    Returns:
        the trained TinyDetector in eval mode with all its layers
    """
    ### BEGIN SOLUTION
    images, labels, targets = (torch.from_numpy(np.ascontiguousarray(array)) for array in (x, y, boxes))
    torch.manual_seed(seed)
    model = TinyDetector(num_classes).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.005)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(epochs, 1))
    for _ in range(epochs):
        for batch in torch.randperm(len(images)).split(25):
            optimizer.zero_grad()
            scores, found = model(images[batch])
            loss = F.cross_entropy(scores, labels[batch]) + F.smooth_l1_loss(found, targets[batch]) / 8
            loss.backward()
            optimizer.step()
        schedule.step()
    return model.eval()
    ### END SOLUTION


def detect(model, x):
    """Run a detector on images, as it would be used.

    The model predicts in eval mode and without recording gradients (afterwards they are recorded as before), and is
    left in the mode in which it came, with all its layers.

    Args:
        model: a module such as TinyDetector: model(images) gives (scores, boxes)
        x: images, (N, 3, 32, 32) float32, a NumPy array

    Returns:
        three NumPy arrays: labels, (N,) int64, the classes with the highest scores; their probabilities (softmax of the
        scores), (N,) float32; and boxes, (N, 4) float32
    """
    ### BEGIN SOLUTION
    was_training = model.training
    model.eval()
    with torch.no_grad():
        scores, boxes = model(torch.from_numpy(np.ascontiguousarray(x)))
    model.train(was_training)
    probability, label = scores.softmax(dim=1).max(dim=1)
    return label.numpy(), probability.numpy(), boxes.numpy()
    ### END SOLUTION


# ------------------------------------------------------------------------------------------------------------
# 5.8  Where does a network look?
# ------------------------------------------------------------------------------------------------------------


def grad_cam(model, layer, x, class_idx):
    """Draw where in each image the evidence for a class lies (Selvaraju et al. 2017).

        weight[k] = mean over all places (i, j) of  d score[class] / d A[k, i, j]
        map[i, j] = max(0, sum over k of weight[k] * A[k, i, j])

    where A is what the layer gives for the image (its feature maps), and score the model's raw output for the class.

    The model computes in eval mode. Afterwards all is as it was, also if its forward raises an error: the mode of each
    module, the hooks, `grad` and requires_grad of each parameter, and x. It also works where all parameters are frozen,
    where the caller is in torch.no_grad() (and still is afterwards), and where the layer is followed by one that works
    in place, such as nn.ReLU(inplace=True).

    Args:
        model: an nn.Module that gives scores (N, num_classes)
        layer: one of its layers, as a name as in model.named_modules() or as the nn.Module itself; it gives maps
            (N, K, h, w)
        x: images, (N, C, H, W) tensor
        class_idx: the class, an int for all images, or one for each image, (N,) int64 tensor

    Returns:
        maps, (N, h, w) tensor, without gradient: not scaled, not enlarged
    """
    ### BEGIN SOLUTION
    module = model.get_submodule(layer) if isinstance(layer, str) else layer
    modes = {part: part.training for part in model.modules()}
    seen = []

    def watch(_module, _inputs, output):
        seen.append(output.detach().requires_grad_())
        return seen[0].clone()  # what follows starts here, and may work in place

    hook = module.register_forward_hook(watch)
    try:
        model.eval()
        with torch.enable_grad():
            scores = model(x)
            classes = torch.as_tensor(class_idx).expand(len(x))
            chosen = scores.gather(1, classes[:, None]).sum()
            (slopes,) = torch.autograd.grad(chosen, seen[0])
    finally:
        hook.remove()
        for part, training in modes.items():
            part.training = training
    weights = slopes.mean(dim=(2, 3), keepdim=True)  # (N, K, 1, 1)
    return (weights * seen[0].detach()).sum(dim=1).relu()
    ### END SOLUTION
