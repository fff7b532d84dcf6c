"""Tools and visualization: five libraries that most projects use, each behind a small interface of your own.

TL1 and TL2 keep what a training run measured (TensorBoard, Weights & Biases), TL3 changes images (albumentations),
TL4 uses networks that others have written (timm), and TL5 draws (Matplotlib and Seaborn).

Letters: N images, C channels, H rows of pixels, W columns, K classes.

Rules for the whole file:
    * not every machine has all five libraries. Import each of them inside the functions that use it.
    * nothing is downloaded, and nothing is sent over a network.
    * no function changes its arguments, except where its docstring says so.
    * a "number" is a Python number, a NumPy number, or an array or tensor with one entry (with or without a gradient).
    * where several things are returned, a tuple or a list will do.
    * further arguments with defaults, further methods and further attributes are allowed.
"""

from __future__ import annotations

import math
import os

import numpy as np
import torch
from matplotlib.figure import Figure
from torch.nn import functional as F

#: mean and standard deviation of the three channels of ImageNet, for pixels in [0, 1]
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

# ------------------------------------------------------------------------------------------------------------
# TL1  TensorBoard: what a run measured, and how to read it again
# ------------------------------------------------------------------------------------------------------------


class MetricLogger:
    """Writes what a training run measures into a folder that TensorBoard shows. A context manager.

        with MetricLogger("runs/first") as logger:
            logger.scalars({"loss": 0.7, "accuracy": 0.5}, step=0, prefix="train")

    It writes with `torch.utils.tensorboard.SummaryWriter`. At the end of a `with` block the logger is closed, also
    after an exception, which then goes on as it was.
    """

    def __init__(self, directory, resume_step=None):
        """Start to write into a folder, which is made if it is missing.

        A run that stopped is resumed in the same folder. It goes on at the step of its last checkpoint, and has
        measured some steps after that already. These must not be there twice.

        Args:
            directory: str or Path
            resume_step: None, or an int: from this step on, what earlier loggers wrote into the folder no longer counts
                (TensorBoard calls this "purge")
        """
        raise NotImplementedError("MetricLogger.__init__: not started")

    def scalars(self, metrics, step, prefix=""):
        """Write one number for each name.

        The tag of a number is "prefix/name", or "name" if the prefix is empty. Either all numbers of a call are
        written or, if one of them is refused, none. nan and inf are written as they are.

        Args:
            metrics: dict, name -> number
            step: int

        Raises:
            ValueError: a value is not a number: its text names the metric
        """
        raise NotImplementedError("MetricLogger.scalars: not started")

    def histograms(self, model, step):
        """Write a histogram of each parameter, and of each gradient that is there.

        The tags are "weights/NAME" and "gradients/NAME", with the name that `named_parameters` gives. Entries that are
        nan or inf are left out; where nothing is left there is no histogram. The model and its gradients stay as they
        are.

        Args:
            model: nn.Module
            step: int
        """
        raise NotImplementedError("MetricLogger.histograms: not started")

    def images(self, tag, batch, step, mean=None, std=None):
        """Write a batch of images as one picture: side by side in their order, without borders.

        With mean and std, the pixels are brought back first: pixel * std + mean, for each channel. In the end pixels
        below 0 are 0, and pixels above 1 are 1.

        Args:
            tag: str
            batch: (N, C, H, W) float tensor, C = 1 or 3
            step: int
            mean, std: None, or C numbers each
        """
        raise NotImplementedError("MetricLogger.images: not started")

    def hparams(self, config, metrics):
        """Write the settings of this run and what it reached, for TensorBoard's table of runs.

        Both go into the logger's own folder, and not into a new folder inside it. A setting that is a bool, an int, a
        float or a text is given to TensorBoard as it is. Of any other it gets the text, as `str` gives it. The tag of a
        metric is "hparam/NAME".

        Args:
            config: dict, name -> setting
            metrics: dict, name -> number
        """
        raise NotImplementedError("MetricLogger.hparams: not started")

    def flush(self):
        """Have everything on the disk that was written so far, so that others can read it."""
        raise NotImplementedError("MetricLogger.flush: not started")

    def close(self):
        """Write what is left, and close the file. A second call does nothing.

        All other methods raise a RuntimeError from then on, and write nothing.
        """
        raise NotImplementedError("MetricLogger.close: not started")

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        self.close()


def read_scalars(directory):
    """Read all scalars that were written into a folder (not into folders inside it).

    Read them with `EventAccumulator` of `tensorboard.backend.event_processing.event_accumulator`. Every point is
    returned, however many there are. What a resumed run purged is not.

    Args:
        directory: str or Path

    Returns:
        dict, tag -> list of (step, value), in the order of the steps, as Python numbers; {} if there are none

    Raises:
        FileNotFoundError: there is no such folder
    """
    raise NotImplementedError("read_scalars: not started")


# ------------------------------------------------------------------------------------------------------------
# TL2  Weights & Biases: an experiment that needs no network
# ------------------------------------------------------------------------------------------------------------


class WandbRun:
    """One run of an experiment in Weights & Biases, always in offline mode. A context manager: `__exit__` is yours.

        with WandbRun("digits", {"lr": 0.1}, best={"accuracy": "max"}) as run:
            run.log({"accuracy": 0.5}, step=0)

    At the end of a `with` block the run is finished: with exit code 0, or with 1 after an exception (also after
    KeyboardInterrupt), which then goes on as it was.
    """

    def __init__(self, project, config=None, *, name=None, directory=".", best=None, client=None):
        """Start the run, by one call of `client.init`.

        It gets project, name, config, the folder as `dir`, and mode="offline". The mode is given in this call, and not
        by an environment variable or by another call. Further arguments of `wandb.init` are allowed. The folder is made
        if it is missing.

        Settings that are a bool, an int, a float, a text or None are kept as they are. A NumPy number, or an array or
        tensor with one entry, becomes a Python number. A dict inside is treated in the same way. Of any other setting
        the text is kept, as `str` gives it.

        Args:
            project: str
            config: dict, name -> setting; None for no setting
            name: str or None
            directory: str or Path
            best: dict, name of a metric -> "max" or "min"; see `log`
            client: an object with the functions of the package wandb; None for the package itself, which is imported
                only then. Runs are started, and written, through the client alone: two runs may be open at once, each
                with its own numbers

        Raises:
            ValueError: a value of best is neither "max" nor "min"; no run was started
        """
        raise NotImplementedError("WandbRun.__init__: not started")

    def log(self, metrics, step=None):
        """Write one row of numbers, by one call of the run's own `log`, with this step.

        W&B drops a row without a word if its step is lower than that of a row before. So such a step is refused here.
        The same step as before is allowed.

        For each metric in `best`, the summary of the run always has two entries: "best_NAME", the largest or smallest
        number so far, and "best_NAME_step", the first step that had it. nan is never the best.

        Args:
            metrics: dict, name -> number; given to W&B as Python numbers
            step: int; None for one more than the last step, and for 0 at first

        Raises:
            ValueError: a value is not a number, or the step is lower than the last one; nothing was written
            RuntimeError: the run is finished
        """
        raise NotImplementedError("WandbRun.log: not started")

    def finish(self, exit_code=0):
        """Finish the run with this exit code, by one call of the run's own `finish`. A second call does nothing."""
        raise NotImplementedError("WandbRun.finish: not started")

    def __enter__(self):
        return self

# ------------------------------------------------------------------------------------------------------------
# TL3  albumentations: one pipeline to learn from, one to look at
# ------------------------------------------------------------------------------------------------------------


def train_tf(size, seed=None, *, mean=MEAN, std=STD, boxes=False):
    """Make the pipeline for training images: a random crop, a flip, another light, and the scale of the network.

    It is an `albumentations.Compose`: called as pipeline(image=..., mask=...), it returns a dict with the same keys.
    Image and mask may have any size of at least 8 x 8. What is given is not changed.

    * crop: a part of the image with 0.5 to 1.0 of its area, at a random place, with random size and with random sides
      (the ratio of width to height is 3/4 to 4/3), scaled to size x size.
    * flip: left and right are exchanged in half of the calls.
    * light: brightness and contrast change at random in most calls (at least in half of them). The mean of an image
      moves by less than 0.4 of the full range.
    * scale: pixels become (pixel / 255 - mean) / std, for each channel.

    The mask moves in step with the image. Its numbers are classes: it gets no light and no scale, and no number that it
    did not have before. Boxes move in step too. They are cut off at the border. A box of which less than 0.3 of the
    area is still inside is dropped, and its label with it.

    With the same seed, two pipelines give the same results, call by call. Later calls of one pipeline differ from
    the first. With other seeds, or without a seed, pipelines differ. What others draw from `random`, NumPy or torch
    changes nothing.

    Args:
        size: int
        seed: int or None
        mean, std: three numbers each, for pixels in [0, 1]
        boxes: if True, the pipeline also takes bboxes=..., (x1, y1, x2, y2) in pixels, and labels=..., one for each box

    Returns:
        the pipeline; it takes image (H, W, 3) uint8 and, if there is one, mask (H, W) uint8, and gives an image
        (size, size, 3) float32 and a mask (size, size) uint8. Channels stay last.
    """
    raise NotImplementedError("train_tf: not started")


def val_tf(size, *, mean=MEAN, std=STD, boxes=False):
    """Make the pipeline for validation images, in which nothing is random.

    The image is scaled so that its shorter side has `size` pixels, and its longer side keeps the proportion. The middle
    of it, size x size, is cut out. Pixels are scaled as by `train_tf`, and mask, boxes and labels follow the same rules
    as there. The same input always gives the same result.

    Args:
        size: int
        mean, std, boxes: as for `train_tf`

    Returns:
        the pipeline; it takes and gives what that of `train_tf` takes and gives
    """
    raise NotImplementedError("val_tf: not started")


# ------------------------------------------------------------------------------------------------------------
# TL4  timm: networks that others have written
# ------------------------------------------------------------------------------------------------------------


def create_model(name, num_classes, in_chans=3):
    """Make a network of timm, with random weights. Nothing is downloaded.

    Args:
        name: a name that timm knows, such as "resnet18"
        num_classes: outputs of the head, an int; 0 for no head
        in_chans: channels of the images, an int

    Returns:
        the network, an nn.Module in training mode
    """
    raise NotImplementedError("create_model: not started")


def extract_features(model, images, depths):
    """Return what a network of timm computes on its way: maps at several depths, and the vector before the last layer.

    Everything is computed in eval mode and without gradients. Afterwards each layer has the mode that it had before.

    Args:
        model: a network that timm made
        images: (N, C, H, W) float tensor
        depths: list of int, into all the maps that `model.forward_intermediates` returns: 0 is the first of them, and
            -1 the last. In any order

    Returns:
        maps: for each depth, in the order of `depths`, a tensor (N, channels, rows, columns)
        vector: (N, width), the input of the head's last layer, `model.get_classifier()`
    """
    raise NotImplementedError("extract_features: not started")


def swap_head(model, num_classes, freeze=False):
    """Give a network of timm a new last layer for another number of classes. This changes the model.

    The rest keeps its parameters, the same objects with the same numbers. The new layer has random weights, the dtype
    and the device of the rest, and the mode of the model. `model.num_classes` says the new number.

    Args:
        model: a network that timm made
        num_classes: int; 0 for no last layer, so that the model returns the vector before it
        freeze: if True, only the parameters of the new layer, `model.get_classifier()`, need gradients afterwards. If
            False, this stays as it is for all other parameters, and the new layer needs gradients

    Returns:
        the same model
    """
    raise NotImplementedError("swap_head: not started")


# ------------------------------------------------------------------------------------------------------------
# TL5  Matplotlib and Seaborn: figures that show what is there
#
# For all six functions:
#     * they return a matplotlib Figure. They show nothing (plt.show is never called), and they save nothing.
#     * no new figure stays open in pyplot. Figures that were open stay open, and the current one stays the current one.
#     * the settings of Matplotlib (rcParams) stay as they are.
#     * arrays may be NumPy arrays or tensors (with or without a gradient).
#     * they draw in the first axes of the figure, figure.axes[0]; a colour bar may come after it. plot_feature_maps
#       and plot_filters draw in the first n axes.
#     * each may use Matplotlib alone, or Seaborn as well.
# ------------------------------------------------------------------------------------------------------------


def plot_curves(history, ylabel="loss", log=False):
    """Draw a line for each list of values, one value for each epoch.

    The first epoch is 1. The label of the x axis is "epoch". Each line has its name as its label, and a legend names
    all lines. Lists may have different lengths, and may hold nan, which leaves a gap. Further lines, such as a grid or
    a mark, have no label.

    Args:
        history: dict, name -> list of values, one or more
        ylabel: str, the label of the y axis
        log: whether the y axis is logarithmic

    Returns:
        the Figure
    """
    raise NotImplementedError("plot_curves: not started")


def plot_confusion(matrix, classes, normalise=False):
    """Draw a confusion matrix: a coloured cell for each pair of classes, with its number in it.

    True classes go down, with the first at the top, and predicted classes go to the right. The labels of the axes are
    "true" and "predicted". Each row and each column has a tick with the name of its class, in the order of `classes`.

    A cell shows its count as a whole number, such as "12". With normalise=True it shows the share of its row with two
    digits, such as "0.25"; in a row without a count all shares are 0. Colours stand for the same numbers as the
    texts: an image or a mesh with K x K values. There is no other text in the axes.

    Args:
        matrix: (K, K) int, matrix[i, j] is how often class i was taken for class j
        classes: K texts

    Returns:
        the Figure
    """
    raise NotImplementedError("plot_confusion: not started")


def plot_feature_maps(maps, columns=8):
    """Draw each channel of a feature map as an image of its own, in a grid, row by row.

    All images have the same limits of colour, the smallest and the largest value of all channels, so that they can be
    compared. The title of each is the number of its channel, "0" for the first. No ticks. Places of the grid that are
    left over show nothing: their axes are removed, or switched off.

    Args:
        maps: (C, H, W)
        columns: images in a row, at most; fewer if there are fewer channels

    Returns:
        the Figure
    """
    raise NotImplementedError("plot_feature_maps: not started")


def plot_filters(weight, columns=8):
    """Draw the filters of a convolution in a grid, as `plot_feature_maps` does: order, titles, ticks, places left over.

    m is the largest absolute value of all filters (1 if all are 0). With one input channel, a filter is drawn as an
    image of its numbers, with the limits of colour -m and m. With three, it is a colour image (KH, KW, 3) of the
    numbers 0.5 + w / (2 m): a weight of 0 is grey.

    Args:
        weight: (F, C, KH, KW)
        columns: filters in a row, at most

    Returns:
        the Figure

    Raises:
        ValueError: C is neither 1 nor 3
    """
    raise NotImplementedError("plot_filters: not started")


def plot_embedding(points, labels, classes):
    """Draw points in the plane, such as an embedding, in a colour for each class.

    All points of a class have the same colour, and no two classes that have points have the same one. A legend names
    exactly the classes that have points, in the order of `classes`. Both axes have the same scale (the aspect is
    "equal").

    Args:
        points: (N, 2)
        labels: (N,) int, indices into classes
        classes: K texts, at most 10

    Returns:
        the Figure
    """
    raise NotImplementedError("plot_embedding: not started")


def overlay_cam(image, cam, alpha=0.5):
    """Draw an image, and over it the map of a Grad-CAM, which says where the network looked.

    The map is first scaled up to H x W, as by `F.interpolate(mode="bilinear", align_corners=False)`. Then it is scaled
    to [0, 1]: (map - smallest) / (largest - smallest), and 0 everywhere if all numbers are the same. It is the second
    picture in the axes, (H, W), with the limits of colour 0 and 1 and with this alpha. The first picture is the image
    as it was given. Both cover the same rectangle. No ticks.

    Args:
        image: (H, W, 3), float in [0, 1] or uint8
        cam: (h, w) float, usually much smaller than the image
        alpha: number in [0, 1]

    Returns:
        the Figure
    """
    raise NotImplementedError("overlay_cam: not started")

