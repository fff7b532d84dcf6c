"""Convolutional networks: from a window that slides over an image to a trained network.

Part one (4.1 to 4.5 and `apply_filter`) is NumPy: float64, batch first, images (N, C, H, W) and kernels
(O, C, KH, KW). Write it with NumPy alone: no call of torch. Part two (`feature_maps`, 4.7, 4.8) is PyTorch.

Rules for all layers of part one:
    * `stride`, `padding` and `kernel_size` are an int, or a pair (rows, columns) of ints; `pair` reads both.
    * padding adds that many rows above *and* below, and columns left *and* right.
    * floor mode: a window must lie wholly inside the padded image; rows and columns that remain are left out.
    * no function changes its arguments, and a backward may be called several times with one cache.
    * a cache is whatever your backward needs: it goes from your forward to your backward, unread by others.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F


def pair(value):
    """Read an int or a pair of ints as a pair (given): pair(3) == (3, 3) and pair((2, 5)) == (2, 5)."""
    return (value, value) if isinstance(value, (int, np.integer)) else (value[0], value[1])


# ------------------------------------------------------------------------------------------------------------
# 4.1  Sizes, parameters and receptive fields
# ------------------------------------------------------------------------------------------------------------


def conv_output_size(h, k, s=1, p=0, d=1):
    """Return how many positions a window has along one axis, in floor mode.

    Args:
        h: size of the image along this axis, int
        k: size of the kernel, int
        s: stride, int
        p: padding on each of the two sides, int
        d: dilation, int: neighbouring taps of the kernel lie d pixels apart (1: side by side)

    Returns:
        size of the output along this axis, int (the window always fits at least once)
    """
    ### BEGIN SOLUTION
    span = d * (k - 1) + 1
    return (h + 2 * p - span) // s + 1
    ### END SOLUTION


def receptive_field(layers):
    """Return how many input pixels along one axis one unit of the last layer can see.

    Args:
        layers: the convolution and pooling layers along this axis, first layer first: a list of pairs
            (kernel, stride) or triples (kernel, stride, dilation) of ints; one list may hold both forms

    Returns:
        size of the receptive field in input pixels, int; 1 for an empty list
    """
    ### BEGIN SOLUTION
    field = 1
    jump = 1  # input pixels between two neighbouring units of the present layer
    for kernel, stride, *dilation in layers:
        field += (dilation[0] if dilation else 1) * (kernel - 1) * jump
        jump *= stride
    return field
    ### END SOLUTION


def conv_params(c_in, c_out, k, bias=True, groups=1):
    """Return how many numbers a convolution learns.

    Args:
        c_in: input channels, int
        c_out: output channels, int
        k: kernel size, int or pair (rows, columns)
        bias: whether each output channel has a bias
        groups: the channels are cut into this many equal groups, and each output channel sees only the input
            channels of its own group; divides c_in and c_out

    Returns:
        number of weights and biases, int
    """
    ### BEGIN SOLUTION
    kh, kw = pair(k)
    weights = c_out * (c_in // groups) * kh * kw
    return weights + (c_out if bias else 0)
    ### END SOLUTION


# ------------------------------------------------------------------------------------------------------------
# 4.2 and 4.3  Convolution by hand
# ------------------------------------------------------------------------------------------------------------


def conv2d_forward(x, w, b, stride=1, padding=0):
    """Slide each kernel over each image (cross-correlation: the kernel is not flipped).

        out[n, o, i, j] = b[o]
                          + sum over c, u, v of padded[n, c, i * stride + u, j * stride + v] * w[o, c, u, v]

    where `padded` is x with zeros around it, and stride is that of the rows for i and of the columns for j.

    Args:
        x: images, (N, C, H, W) float64
        w: kernels, (O, C, KH, KW) float64
        b: one bias for each kernel, (O,) float64
        stride: step of the window, int or pair (rows, columns)
        padding: width of the border of zeros, int or pair (rows, columns)

    Returns:
        out: feature maps, (N, O, OH, OW) float64, with OH = (H + 2 * padding - KH) // stride + 1 and OW alike
        cache: whatever conv2d_backward needs
    """
    ### BEGIN SOLUTION
    (sh, sw), (ph, pw) = pair(stride), pair(padding)
    N, _, H, W = x.shape
    maps, _, KH, KW = w.shape
    padded = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    OH, OW = (H + 2 * ph - KH) // sh + 1, (W + 2 * pw - KW) // sw + 1
    out = np.empty((N, maps, OH, OW))
    for i in range(OH):
        for j in range(OW):
            window = padded[:, :, i * sh : i * sh + KH, j * sw : j * sw + KW]  # (N, C, KH, KW)
            out[:, :, i, j] = np.tensordot(window, w, axes=((1, 2, 3), (1, 2, 3))) + b  # (N, O)
    return out, (padded, w, (sh, sw), (ph, pw))
    ### END SOLUTION


def conv2d_backward(dout, cache):
    """Carry the gradient of a loss back through conv2d_forward.

    Args:
        dout: gradient with respect to out, (N, O, OH, OW) float64
        cache: the second value that conv2d_forward returned

    Returns:
        dx: gradient with respect to x, (N, C, H, W) float64; zero where no window ever came
        dw: gradient with respect to w, (O, C, KH, KW) float64, summed over the batch
        db: gradient with respect to b, (O,) float64, summed over the batch
    """
    ### BEGIN SOLUTION
    padded, w, (sh, sw), (ph, pw) = cache
    KH, KW = w.shape[2:]
    OH, OW = dout.shape[2:]
    dpadded = np.zeros_like(padded)
    dw = np.zeros_like(w)
    for i in range(OH):
        for j in range(OW):
            rows, columns = slice(i * sh, i * sh + KH), slice(j * sw, j * sw + KW)
            above = dout[:, :, i, j]  # (N, O)
            dw += np.tensordot(above, padded[:, :, rows, columns], axes=(0, 0))
            dpadded[:, :, rows, columns] += np.tensordot(above, w, axes=(1, 0))
    H, W = padded.shape[2] - 2 * ph, padded.shape[3] - 2 * pw
    return dpadded[:, :, ph : ph + H, pw : pw + W], dw, dout.sum(axis=(0, 2, 3))
    ### END SOLUTION


# ------------------------------------------------------------------------------------------------------------
# 4.4  Convolution as one matrix product
# ------------------------------------------------------------------------------------------------------------


def im2col(x, kernel_size, stride=1, padding=0):
    """Write every window of an image as a column.

    Args:
        x: images, (N, C, H, W) float64
        kernel_size: size of the window, int or pair (KH, KW)
        stride: step of the window, int or pair (rows, columns)
        padding: width of the border of zeros, int or pair (rows, columns)

    Returns:
        columns, (N, C * KH * KW, OH * OW) float64: column i * OW + j is the window at output position (i, j),
        flattened in the order of w.reshape(O, -1): channel, then row, then column of the window
    """
    ### BEGIN SOLUTION
    (kh, kw), (sh, sw), (ph, pw) = pair(kernel_size), pair(stride), pair(padding)
    N, C, H, W = x.shape
    rows, columns = (H + 2 * ph - kh) // sh + 1, (W + 2 * pw - kw) // sw + 1
    framed = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    cols = np.empty((N, C, kh, kw, rows, columns))
    for u in range(kh):
        for v in range(kw):
            down, across = slice(u, u + sh * rows, sh), slice(v, v + sw * columns, sw)
            cols[:, :, u, v] = framed[:, :, down, across]  # (N, C, OH, OW)
    return cols.reshape(N, C * kh * kw, rows * columns)
    ### END SOLUTION


def col2im(cols, x_shape, kernel_size, stride=1, padding=0):
    """Add every column back to where im2col took it from: the transpose (adjoint) of im2col, not its inverse.

    A pixel that is in several windows receives the sum of them; what falls on the border is dropped.

    Args:
        cols: columns, (N, C * KH * KW, OH * OW) float64, ordered as im2col orders them
        x_shape: the shape (N, C, H, W) of the images
        kernel_size, stride, padding: as for im2col

    Returns:
        images, (N, C, H, W) float64
    """
    ### BEGIN SOLUTION
    (kh, kw), (sh, sw), (ph, pw) = pair(kernel_size), pair(stride), pair(padding)
    N, C, H, W = x_shape
    rows, columns = (H + 2 * ph - kh) // sh + 1, (W + 2 * pw - kw) // sw + 1
    parts = cols.reshape(N, C, kh, kw, rows, columns)
    total = np.zeros((N, C, H + 2 * ph, W + 2 * pw))
    for u in range(kh):
        for v in range(kw):
            below, right = u + sh * (rows - 1) + 1, v + sw * (columns - 1) + 1
            total[:, :, u:below:sh, v:right:sw] += parts[:, :, u, v]
    return total[:, :, ph : ph + H, pw : pw + W]
    ### END SOLUTION


def conv2d_im2col(x, w, b, stride=1, padding=0):
    """Return what conv2d_forward returns first, through im2col and a matrix product.

    It must be at least ten times faster than a loop that computes one entry of the output at a time: a loop
    over the few taps of a kernel is fine, a loop over the positions of the window is too slow.

    Args:
        x, w, b, stride, padding: as for conv2d_forward

    Returns:
        feature maps, (N, O, OH, OW) float64, and nothing else
    """
    ### BEGIN SOLUTION
    maps = w.shape[0]
    height = (x.shape[2] + 2 * pair(padding)[0] - w.shape[2]) // pair(stride)[0] + 1
    flat = w.reshape(maps, -1) @ im2col(x, w.shape[2:], stride, padding)  # (N, O, OH * OW)
    return (flat + b[:, np.newaxis]).reshape(x.shape[0], maps, height, -1)
    ### END SOLUTION


# ------------------------------------------------------------------------------------------------------------
# 4.5  Pooling
# ------------------------------------------------------------------------------------------------------------


def max_pool2d_forward(x, kernel_size, stride=None, padding=0):
    """Keep the largest entry of each window, in each channel by itself.

    The border never wins: it counts as minus infinity, also where all pixels are negative.

    Args:
        x: images, (N, C, H, W) float64
        kernel_size: size of the window, int or pair (rows, columns)
        stride: step of the window, int or pair (rows, columns); None means kernel_size
        padding: width of the border, int or pair (rows, columns), at most half the kernel

    Returns:
        out: (N, C, OH, OW) float64, sizes in floor mode as for a convolution
        cache: whatever max_pool2d_backward needs
    """
    ### BEGIN SOLUTION
    (kh, kw), (ph, pw) = pair(kernel_size), pair(padding)
    sh, sw = pair(kernel_size if stride is None else stride)
    padded = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)), constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (kh, kw), axis=(2, 3))[:, :, ::sh, ::sw]
    flat = windows.reshape(*windows.shape[:4], kh * kw)  # (N, C, OH, OW, KH * KW)
    winner = flat.argmax(axis=-1)
    out = np.take_along_axis(flat, winner[..., np.newaxis], axis=-1)[..., 0]
    return out, (winner, x, (kh, kw), (sh, sw), (ph, pw))
    ### END SOLUTION


def max_pool2d_backward(dout, cache):
    """Carry the gradient of a loss back through max_pool2d_forward.

    Each window hands its whole gradient to the one entry that won. Where several entries of a window are
    equally large, exactly one of them receives it (whichever you like). An entry that won several windows
    receives the sum.

    Args:
        dout: gradient with respect to out, (N, C, OH, OW) float64
        cache: the second value that max_pool2d_forward returned

    Returns:
        gradient with respect to x, (N, C, H, W) float64
    """
    ### BEGIN SOLUTION
    winner, x, (_, kw), (sh, sw), (ph, pw) = cache
    n, c, i, j = np.ogrid[tuple(slice(size) for size in winner.shape)]
    dx = np.zeros(x.shape)
    np.add.at(dx, (n, c, i * sh - ph + winner // kw, j * sw - pw + winner % kw), dout)
    return dx
    ### END SOLUTION


def avg_pool2d_forward(x, kernel_size, stride=None, padding=0):
    """Take the mean of each window, in each channel by itself.

    The border counts as zeros, and its zeros count in the mean: every sum is divided by KH * KW.

    Args:
        x: images, (N, C, H, W) float64
        kernel_size: size of the window, int or pair (rows, columns)
        stride: step of the window, int or pair (rows, columns); None means kernel_size
        padding: width of the border, int or pair (rows, columns), at most half the kernel

    Returns:
        out: (N, C, OH, OW) float64, sizes in floor mode as for a convolution
        cache: whatever avg_pool2d_backward needs
    """
    ### BEGIN SOLUTION
    (kh, kw), (ph, pw) = pair(kernel_size), pair(padding)
    step_h, step_w = pair(kernel_size) if stride is None else pair(stride)
    bordered = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    tiles = np.lib.stride_tricks.sliding_window_view(bordered, (kh, kw), axis=(2, 3))[:, :, ::step_h, ::step_w]
    return tiles.mean(axis=(-2, -1)), (x.shape, (kh, kw), (step_h, step_w), (ph, pw))
    ### END SOLUTION


def avg_pool2d_backward(dout, cache):
    """Carry the gradient of a loss back through avg_pool2d_forward.

    Args:
        dout: gradient with respect to out, (N, C, OH, OW) float64
        cache: the second value that avg_pool2d_forward returned

    Returns:
        gradient with respect to x, (N, C, H, W) float64
    """
    ### BEGIN SOLUTION
    (N, C, H, W), (kh, kw), (step_h, step_w), (ph, pw) = cache
    OH, OW = dout.shape[2:]
    share = dout / (kh * kw)
    spread = np.zeros((N, C, H + 2 * ph, W + 2 * pw))
    for u in range(kh):
        for v in range(kw):
            down, across = u + step_h * (OH - 1) + 1, v + step_w * (OW - 1) + 1
            spread[:, :, u:down:step_h, v:across:step_w] += share
    return spread[:, :, ph : ph + H, pw : pw + W]
    ### END SOLUTION


def global_avg_pool2d_forward(x):
    """Take the mean of each feature map.

    Args:
        x: feature maps, (N, C, H, W) float64

    Returns:
        out: (N, C) float64
        cache: whatever global_avg_pool2d_backward needs
    """
    ### BEGIN SOLUTION
    return x.mean(axis=(2, 3)), x.shape
    ### END SOLUTION


def global_avg_pool2d_backward(dout, cache):
    """Carry the gradient of a loss back through global_avg_pool2d_forward.

    Args:
        dout: gradient with respect to out, (N, C) float64
        cache: the second value that global_avg_pool2d_forward returned

    Returns:
        gradient with respect to x, (N, C, H, W) float64
    """
    ### BEGIN SOLUTION
    H, W = cache[2:]
    return np.tile(dout[:, :, np.newaxis, np.newaxis], (1, 1, H, W)) / (H * W)
    ### END SOLUTION


# ------------------------------------------------------------------------------------------------------------
# 4.6  Filters and feature maps
# ------------------------------------------------------------------------------------------------------------

# Four classic kernels, each a NumPy array (3, 3), for cross-correlation (`apply_filter` does not flip them):
# SOBEL_X        answers to vertical edges: positive where the image becomes brighter to the right. The
#                columns (left, middle, right) count -1, 0, +1, the rows (top, middle, bottom) weigh 1, 2, 1.
# SOBEL_Y        answers to horizontal edges: positive where it becomes brighter downwards; the same weights.
# GAUSSIAN_BLUR  the outer product of (1, 2, 1) with itself, scaled so that a flat image stays as it was.
# LAPLACIAN      the sum of the four neighbours (above, below, left, right) less four times the centre.
### BEGIN SOLUTION
SOBEL_X = np.array([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])
SOBEL_Y = np.array([[-1.0, -2, -1], [0, 0, 0], [1, 2, 1]])
GAUSSIAN_BLUR = np.outer([1.0, 2, 1], [1.0, 2, 1]) / 16
LAPLACIAN = np.array([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]])
### END SOLUTION


def apply_filter(img, kernel):
    """Slide one kernel over a grey image and return an image of the same size (cross-correlation, no flip).

    Beyond its border the image goes on with the nearest pixel of its edge (np.pad's mode "edge"), so that
    a flat image stays flat: blurring keeps it, and an edge filter answers zero everywhere.

    Args:
        img: grey image, (H, W) float64
        kernel: (KH, KW) float64, both sizes odd; its centre lies on the pixel that is computed

    Returns:
        filtered image, (H, W) float64, not clipped
    """
    ### BEGIN SOLUTION
    kh, kw = kernel.shape
    wider = np.pad(img, ((kh // 2, kh // 2), (kw // 2, kw // 2)), mode="edge")
    patches = np.lib.stride_tricks.sliding_window_view(wider, (kh, kw))  # (H, W, KH, KW)
    return np.einsum("ijuv,uv->ij", patches, kernel)
    ### END SOLUTION


def feature_maps(model, x, layer):
    """Return what one layer inside a model gives while the model looks at x.

    The model is run once, in the mode (train or eval) in which it is, and is left as it was found: same mode,
    no gradients in its parameters, and no hook of yours on it, also when its forward pass fails. Afterwards
    gradients are recorded as before.

    Args:
        model: any nn.Module
        x: the input of the model, a tensor
        layer: a layer inside the model that is called once in a forward pass: its name as in
            model.named_modules(), such as "features.3", or the nn.Module itself

    Returns:
        the layer's output as the layer gave it, a tensor without gradient; a later layer that works in place
        (such as nn.ReLU(inplace=True)) must not show in it
    """
    ### BEGIN SOLUTION
    module = model.get_submodule(layer) if isinstance(layer, str) else layer
    seen = []
    hook = module.register_forward_hook(lambda _module, _inputs, output: seen.append(output.clone()))
    try:
        with torch.no_grad():
            model(x)
    finally:
        hook.remove()
    return seen[0]
    ### END SOLUTION


# ------------------------------------------------------------------------------------------------------------
# 4.7  Architectures
#
# All of them are nn.Modules that take float images (N, C, H, W) and return raw scores (N, num_classes): no
# softmax. How you name the layers and draw their initial values is yours. What is not mentioned is not there.
# "conv 6@5x5" is a convolution with 6 output channels and a 5x5 kernel: stride 1, no padding and with a bias,
# unless said otherwise; pooling has no padding unless said so. Batch norm is nn.BatchNorm2d as it comes.
# ------------------------------------------------------------------------------------------------------------


class LeNet5(nn.Module):
    """LeNet-5 (LeCun 1998) for grey images of 28x28, (N, 1, 28, 28).

    conv 6@5x5 with padding 2 - tanh - average pool 2x2, stride 2
    conv 16@5x5 - tanh - average pool 2x2, stride 2
    flatten - linear 120 - tanh - linear 84 - tanh - linear num_classes

    61,706 parameters with ten classes.
    """

    def __init__(self, num_classes=10):
        ### BEGIN SOLUTION
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 6, 5, padding=2), nn.Tanh(), nn.AvgPool2d(2),
            nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2),
            nn.Flatten(),
            nn.Linear(400, 120), nn.Tanh(),
            nn.Linear(120, 84), nn.Tanh(),
            nn.Linear(84, num_classes),
        )  # fmt: skip
        ### END SOLUTION

    def forward(self, x):
        """(N, 1, 28, 28) -> (N, num_classes)"""
        ### BEGIN SOLUTION
        return self.layers(x)
        ### END SOLUTION


class AlexNet(nn.Module):
    """AlexNet (Krizhevsky 2012, in the one-column form of 2014) for colour images, 63x63 or more.

    conv 64@11x11, stride 4, padding 2 - ReLU - max pool 3x3, stride 2
    conv 192@5x5, padding 2 - ReLU - max pool 3x3, stride 2
    conv 384@3x3, padding 1 - ReLU
    conv 256@3x3, padding 1 - ReLU
    conv 256@3x3, padding 1 - ReLU - max pool 3x3, stride 2
    adaptive average pool to 6x6 - flatten
    dropout - linear 4096 - ReLU - dropout - linear 4096 - ReLU - linear num_classes

    61,100,840 parameters with 1000 classes. Dropout drops with probability `dropout`, in training mode only.
    """

    def __init__(self, num_classes=1000, dropout=0.5):
        ### BEGIN SOLUTION
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, 11, stride=4, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
            nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
            nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(),
            nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2),
            nn.AdaptiveAvgPool2d(6),
        )  # fmt: skip
        self.classifier = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(256 * 6 * 6, 4096), nn.ReLU(),
            nn.Dropout(dropout), nn.Linear(4096, 4096), nn.ReLU(),
            nn.Linear(4096, num_classes),
        )  # fmt: skip
        ### END SOLUTION

    def forward(self, x):
        """(N, 3, H, W) -> (N, num_classes)"""
        ### BEGIN SOLUTION
        return self.classifier(self.features(x).flatten(1))
        ### END SOLUTION


VGG11 = [64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"]
VGG16 = [64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M"]


class VGG(nn.Module):
    """VGG (Simonyan 2014), built from a list, for colour images of 32x32 and more with five "M".

    for each entry of cfg: an int F is conv F@3x3, padding 1 (with a bias, also where batch norm follows)
        - batch norm if bn - ReLU; "M" is max pool 2x2, stride 2. Any such list works: [8, "M", 16]; it stays
        as it is.
    adaptive average pool to 7x7 - flatten
    linear 4096 - ReLU - dropout 0.5 - linear 4096 - ReLU - dropout 0.5 - linear num_classes

    With 1000 classes VGG(VGG16) has 138,357,544 parameters, and VGG(VGG16, bn=True) 138,365,992.
    """

    def __init__(self, cfg, bn=False, num_classes=1000):
        ### BEGIN SOLUTION
        super().__init__()
        layers, channels = [], 3
        for entry in cfg:
            if entry == "M":
                layers.append(nn.MaxPool2d(2))
                continue
            layers.append(nn.Conv2d(channels, entry, 3, padding=1))
            if bn:
                layers.append(nn.BatchNorm2d(entry))
            layers.append(nn.ReLU())
            channels = entry
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.AdaptiveAvgPool2d(7), nn.Flatten(),
            nn.Linear(channels * 49, 4096), nn.ReLU(), nn.Dropout(),
            nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(),
            nn.Linear(4096, num_classes),
        )  # fmt: skip
        ### END SOLUTION

    def forward(self, x):
        """(N, 3, H, W) -> (N, num_classes)"""
        ### BEGIN SOLUTION
        return self.classifier(self.features(x))
        ### END SOLUTION


class BasicBlock(nn.Module):
    """The residual block of ResNet-18 and ResNet-34: out = ReLU(residual(x) + shortcut(x)).

    residual: conv channels@3x3 with the stride, padding 1 - batch norm - ReLU
              - conv channels@3x3, padding 1 - batch norm
    shortcut: x itself where the stride is 1 and the number of channels stays; else
              conv 1x1 with the stride - batch norm, to bring x to the shape of the residual

    The output has channels * expansion channels. No convolution has a bias.
    """

    expansion = 1

    def __init__(self, in_channels, channels, stride=1):
        ### BEGIN SOLUTION
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.shortcut = nn.Identity()
        if stride != 1 or in_channels != channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )
        ### END SOLUTION

    def forward(self, x):
        """(N, in_channels, H, W) -> (N, channels, H / stride, W / stride), halves rounded up"""
        ### BEGIN SOLUTION
        residual = torch.relu(self.bn1(self.conv1(x)))
        residual = self.bn2(self.conv2(residual))
        return torch.relu(residual + self.shortcut(x))
        ### END SOLUTION


class Bottleneck(nn.Module):
    """The residual block of ResNet-50 and deeper: out = ReLU(residual(x) + shortcut(x)).

    residual: conv channels@1x1 - batch norm - ReLU
              - conv channels@3x3 with the stride, padding 1 - batch norm - ReLU
              - conv 4 * channels@1x1 - batch norm
    shortcut: x itself where the stride is 1 and in_channels is 4 * channels; else
              conv 1x1 with the stride - batch norm, to bring x to the shape of the residual

    The output has channels * expansion channels. No convolution has a bias.
    """

    expansion = 4

    def __init__(self, in_channels, channels, stride=1):
        ### BEGIN SOLUTION
        super().__init__()
        wide = channels * self.expansion
        self.residual = nn.Sequential(
            nn.Conv2d(in_channels, channels, 1, bias=False), nn.BatchNorm2d(channels), nn.ReLU(),
            nn.Conv2d(channels, channels, 3, stride, padding=1, bias=False), nn.BatchNorm2d(channels),
            nn.ReLU(), nn.Conv2d(channels, wide, 1, bias=False), nn.BatchNorm2d(wide),
        )  # fmt: skip
        self.shortcut = nn.Identity()
        if stride != 1 or in_channels != wide:
            self.shortcut = nn.Sequential(nn.Conv2d(in_channels, wide, 1, stride, bias=False), nn.BatchNorm2d(wide))
        ### END SOLUTION

    def forward(self, x):
        """(N, in_channels, H, W) -> (N, 4 * channels, H / stride, W / stride), halves rounded up"""
        ### BEGIN SOLUTION
        return F.relu(self.residual(x) + self.shortcut(x))
        ### END SOLUTION


class ResNet(nn.Module):
    """ResNet (He 2015) for colour images of 32x32 and more, made for 224x224.

    conv 64@7x7, stride 2, padding 3, no bias - batch norm - ReLU - max pool 3x3, stride 2, padding 1
    four stages: stage k has layers[k] blocks of 64, 128, 256, 512 channels; the first block of stages two to
        four has stride 2, every other block stride 1; a block takes the channels that the last one gave
    mean of each feature map - linear num_classes

    Args:
        block: BasicBlock or Bottleneck, or another class of the same form: `expansion`, and called as
            block(in_channels, channels, stride)
        layers: four ints, blocks in each stage; a list that stays as it is
        num_classes: number of scores

    ResNet(BasicBlock, [2, 2, 2, 2]) is ResNet-18, with 11,689,512 parameters for 1000 classes;
    ResNet(Bottleneck, [3, 4, 6, 3]) is ResNet-50, with 25,557,032.
    """

    def __init__(self, block, layers, num_classes=1000):
        ### BEGIN SOLUTION
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False), nn.BatchNorm2d(64), nn.ReLU(),
            nn.MaxPool2d(3, stride=2, padding=1),
        )  # fmt: skip
        blocks, channels = [], 64
        for stage, count in enumerate(layers):
            for index in range(count):
                width = 64 * 2**stage
                blocks.append(block(channels, width, 2 if stage > 0 and index == 0 else 1))
                channels = width * block.expansion
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(channels, num_classes)
        ### END SOLUTION

    def forward(self, x):
        """(N, 3, H, W) -> (N, num_classes)"""
        ### BEGIN SOLUTION
        return self.head(self.blocks(self.stem(x)).mean(dim=(2, 3)))
        ### END SOLUTION


# ------------------------------------------------------------------------------------------------------------
# 4.8  A small network of your own
# ------------------------------------------------------------------------------------------------------------


class SmallCNN(nn.Module):
    """A small convolutional network for images whose height and width are multiples of 8, from 8x8.

    Its layers are your choice, within these rules:
        * it holds at least one nn.Conv2d;
        * `features`, the method or an nn.Module of this name in its place, is convolutional all the way and
          shrinks height and width by a factor s, which is 2, 4 or 8 and the same for images of all sizes: each
          pooling or stride of 2 halves them, and padding keeps them elsewhere. A shift of the image by s pixels
          then shifts its features by one;
        * `forward` reads its scores from `self.features(x)` only, through a mean of each map or some other
          pooling that takes maps of any size.
    """

    def __init__(self, in_channels=1, num_classes=10):
        ### BEGIN SOLUTION
        super().__init__()
        layers = []
        for narrow, wide, pool in ((in_channels, 16, 2), (16, 32, 2), (32, 64, 1)):
            layers += [nn.Conv2d(narrow, wide, 3, padding=1, bias=False), nn.BatchNorm2d(wide), nn.ReLU()]
            if pool > 1:
                layers.append(nn.MaxPool2d(pool))
        self.maps = nn.Sequential(*layers)
        self.head = nn.Linear(64, num_classes)
        ### END SOLUTION

    def features(self, x):
        """(N, in_channels, H, W) -> feature maps (N, any number, H // s, W // s)"""
        ### BEGIN SOLUTION
        return self.maps(x)
        ### END SOLUTION

    def forward(self, x):
        """(N, in_channels, H, W) -> raw scores (N, num_classes): no softmax"""
        ### BEGIN SOLUTION
        return self.head(self.features(x).mean(dim=(2, 3)))
        ### END SOLUTION


def train_small_cnn(x, y, num_classes=10, epochs=10, seed=0):
    """Train a new SmallCNN with mini-batches and cross-entropy, and return it.

    The images may come sorted by class, so visit them in a new random order in each epoch, all of them, and
    clear the gradients before each step; the model is in training mode meanwhile, and every parameter learns.
    With your default number of epochs it must be right on 0.965 of unseen digits (1,300 images of 8x8 to learn
    from) and on 0.93 of unseen shapes10 (2,000 of 32x32). A test has 120 seconds of CPU time, on one thread, to
    train and predict: a network that needs ten seconds for digits and a minute for shapes has room to spare.

    Args:
        x: images, (N, C, H, W) float32 in [0, 1], a NumPy array
        y: labels, (N,) int64 in 0..num_classes - 1, a NumPy array
        num_classes: number of classes
        epochs: how often to go through all images, int; you may choose another default
        seed: decides the initial values and the order of the images: the same seed gives the same model,
            whatever was drawn from torch's or NumPy's global generator before; another seed gives another
            model

    Returns:
        the trained SmallCNN, with in_channels = C, in eval mode
    """
    ### BEGIN SOLUTION
    images, labels = torch.from_numpy(np.ascontiguousarray(x)), torch.from_numpy(np.ascontiguousarray(y))
    images = images.contiguous(memory_format=torch.channels_last)  # on a CPU twice as fast
    torch.manual_seed(seed)
    model = SmallCNN(x.shape[1], num_classes)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(epochs, 1))
    model.train()
    for _ in range(epochs):
        for batch in torch.randperm(len(images)).split(50):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(images[batch]), labels[batch])
            loss.backward()
            optimizer.step()
        schedule.step()
    return model.eval()
    ### END SOLUTION


def predict_labels(model, x):
    """Return the class with the highest score for each image.

    The model predicts in eval mode, so that an image's label does not depend on the other images, and without
    recording anything for gradients (afterwards they are recorded as before); it is left in the mode in which
    it came.

    Args:
        model: a model such as SmallCNN that gives scores (N, num_classes)
        x: images, (N, C, H, W) float32, a NumPy array

    Returns:
        labels, (N,) int64, a NumPy array
    """
    ### BEGIN SOLUTION
    was_training = model.training
    model.eval()
    with torch.no_grad():
        scores = torch.cat([model(images) for images in torch.from_numpy(np.ascontiguousarray(x)).split(200)])
    model.train(was_training)
    return scores.argmax(dim=1).numpy()
    ### END SOLUTION
