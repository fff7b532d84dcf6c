"""Project 1, image classification: from raw images and their labels to a trained network, a report and figures.

Written for CIFAR-10 and for every data set of its form: small colour images, each of one class. The same functions
are used for the drawn shapes of the lesson and for your own images.

Raw images are (N, H, W, C) uint8. Preprocessed images are (N, C, H, W) float32. Both are NumPy arrays; inside of a
network there are torch tensors. Labels are (N,) int64 NumPy arrays, 0 to C - 1.

Rules for the whole file:
    * no function changes its arguments, except where its docstring says so (`fit` trains the model that it gets, and
      draws from its rng).
    * where several things are returned, a tuple or a list will do.
    * functions that train may set torch's global seed.
    * a dict that a function returns may have further keys.
"""

from __future__ import annotations

import json
import math
import os
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Config:
    """All that a run depends on. The fields are fixed; the default values from epochs to augment are your choice.

    Attributes:
        data: path of an .npz file: see run
        out: path of the folder for everything that a run writes; it is made if it is not there
        epochs: how many epochs a training may have, int, 1 or above
        batch_size: int, 1 or above
        lr: the largest learning rate, float above 0
        patience: after how many epochs without progress a training stops, int, 1 or above
        val_share: the share of the training images that is held out for validation, float above 0 and at most 0.5
        augment: whether training images are changed by augment, bool
        seed: int, 0 or above
    """

    data: str
    out: str
    epochs: int = 8
    batch_size: int = 50
    lr: float = 0.01
    patience: int = 5
    val_share: float = 0.1
    augment: bool = True
    seed: int = 0


# ------------------------------------------------------------------------------------------------------------
# P1.1  Preprocessing
# ------------------------------------------------------------------------------------------------------------


def channel_statistics(x):
    """Return the mean and the standard deviation of each channel, over all images and pixels, on the scale of 0 to 1.

    The standard deviation is that of all pixels together (divided by their number, not by one less). It is not the
    mean of the standard deviations of single images.

    Args:
        x: raw images, (N, H, W, C) uint8

    Returns:
        mean: (C,) float array, of the pixels divided by 255
        std: (C,) float array, of the pixels divided by 255; exactly 0 for a channel that is constant, where
            rounding could leave something like 1e-17
    """
    raise NotImplementedError("channel_statistics: not started")


def preprocess(x, mean, std):
    """Turn raw images into the input of a network.

    Divide by 255, subtract the mean of each channel, and divide by its standard deviation. A channel whose standard
    deviation is 0 is divided by 1. Then move the channels to the second axis. Mean and standard deviation are those of
    the training images, so that every image is treated in the same way: the result for one image does not depend on
    the other images.

    Args:
        x: raw images, (N, H, W, C) uint8
        mean, std: (C,) float arrays, as from channel_statistics

    Returns:
        (N, C, H, W) float32
    """
    raise NotImplementedError("preprocess: not started")


# ------------------------------------------------------------------------------------------------------------
# P1.2  Augmentation
# ------------------------------------------------------------------------------------------------------------


def augment(x, rng):
    """Return a random variant of each training image. Which variants (flips, shifts, cut-outs, ...) is your choice.

    What counts:
        * each image keeps its label, also where the class depends on a direction, such as horizontal stripes: no turn
          by more than 30 degrees, no exchange of the two axes, and what is above stays above. A mirror image, left for
          right, is allowed
        * at least half of each image stays in sight, after shifts and cut-outs together, and no image is shifted by
          more than a quarter of its height or width
        * colours stay much as they are: brightness and contrast may change a little, but no image becomes grey, no
          colours are inverted, and no channels are exchanged
        * each image has its own draws: one image, given 64 times, comes back in at least 8 variants, for images of
          16x16 pixels or more
        * the result for an image depends on the image and on the draws, and not on the other images
        * every value is between the smallest and the largest value of its image, where 0 counts as a value of each
          image: after preprocess, 0 is the mean colour, so a border may be filled with it
        * all draws come from rng, so the same rng gives the same images; the global random states are not touched

    Args:
        x: images, (N, C, H, W) float32, of any height, width and number of channels
        rng: np.random.Generator

    Returns:
        images, (N, C, H, W) float32, in new memory
    """
    raise NotImplementedError("augment: not started")


# ------------------------------------------------------------------------------------------------------------
# P1.3  The network
# ------------------------------------------------------------------------------------------------------------


def build_cnn(n_classes, in_channels=3):
    """Build a new convolutional network. The architecture is your choice.

    What counts:
        * at most 250,000 parameters, for n_classes up to 20 and in_channels up to 4
        * it takes images of every height and width from 16 pixels on, odd ones too, with the same parameters
        * it returns raw scores: no softmax, no log_softmax, and nothing else that limits their range or their signs
        * a batch may hold any number of images from one on, in training mode too
        * in eval mode an image gives the same scores each time, alone or in a batch
        * each channel of the image has an influence on the scores, and each parameter has one too
        * all random numbers come from torch's global generator: after the same torch.manual_seed two networks are
          equal, and without it they differ

    Args:
        n_classes: int, 2 or above
        in_channels: channels of the images, int, 1 or above

    Returns:
        nn.Module: images (N, in_channels, H, W) float32 -> scores (N, n_classes)
    """

    raise NotImplementedError("build_cnn: not started")


# ------------------------------------------------------------------------------------------------------------
# P1.4  Training
# ------------------------------------------------------------------------------------------------------------


def fit(model, train, val, config, rng, checkpoint=None):
    """Train a classifier, in place, and keep the weights that were best on the validation images.

    In each epoch:
        * Each training image is used once, in a new random order, in batches of config.batch_size. The last batch may
          be smaller. With config.augment, each batch goes through `augment` first; without it, images are used as they
          are. Validation images are never augmented.
        * model(batch) is called once for each batch, in training mode, and then an optimiser of torch.optim, of your
          choice, makes one step. The loss is the mean cross-entropy of the scores (plain, without label smoothing).
          Other penalties belong into the optimiser, such as weight decay.
        * The learning rate follows a schedule of your choice over the steps or epochs of config.epochs epochs. It is
          never above config.lr, at some step it is at least half of it, and if there are 8 epochs or more, the last
          step of the last one has at most a tenth of it. With lr=0 no parameter changes.
        * Then the model goes through all validation images once, in eval mode and without gradients, in batches of any
          size. It is called in eval mode for nothing else.

    Progress is a val_loss that is smaller than all before. After config.patience epochs in a row without progress, the
    training stops early. At the end, the model has the parameters and buffers that it had after the epoch with the
    smallest val_loss (the first of equals), and is in eval mode.

    All random numbers come from rng, those of augment too. torch's generator is seeded from rng before it is needed,
    for models with dropout. So the same model, arguments and state of rng give the same weights and history, whatever
    the global random states are.

    With a checkpoint, the file of this name is written after each epoch. If the file is there already, `fit` was
    stopped before: it takes all that it needs from the file and goes on with the next epoch. Weights and history are
    then exactly those of a training that was not stopped. If the training was complete (all epochs, or an early stop),
    nothing is trained and the result is the same. A caller uses the same arguments, a model of the same class, and an
    rng in the same state as at the first call. The model may be of any class, even one that pickle does not find: save
    its state_dict and not the model.

    Args:
        model: an nn.Module that maps images (N, C, H, W) to scores (N, n_classes), changed in place
        train: images (N, C, H, W) float32 and labels (N,) int64
        val: images (M, C, H, W) float32 and labels (M,) int64
        config: a Config; only epochs, batch_size, lr, patience and augment are used here
        rng: np.random.Generator
        checkpoint: None, or the path of a file

    Returns:
        history, a dict of lists of floats, with a number for each epoch that was trained:
            "train_loss": the mean cross-entropy of all training images, as measured during the epoch
            "val_loss": the mean cross-entropy of all validation images after the epoch
            "val_accuracy": the share of validation images whose highest score is that of their label
            "lr": the learning rate of the last step of the epoch
    """
    raise NotImplementedError("fit: not started")


# ------------------------------------------------------------------------------------------------------------
# P1.5  The report
# ------------------------------------------------------------------------------------------------------------


def evaluate_report(scores, y, class_names):
    """Say how good a classifier is, and what it confuses.

    The predicted class of an image is the one with the highest score, the first of equals. A class may be absent from
    the labels, from the predictions, or from both. A share of nothing (0 / 0) is 0.

    Args:
        scores: (N, C) float
        y: labels, (N,) int64
        class_names: names of the C classes, a list or tuple of str

    Returns:
        a dict of these keys, and of others if you like:
            "class_names": the names, a list of str
            "accuracy": the share of images that are predicted right, float
            "confusion": (C, C) int array: how many images of the class of the row are predicted as that of the column
            "precision": (C,) float array: of the images predicted as a class, the share that is of this class
            "recall": (C,) float array: of the images of a class, the share that is predicted as this class
            "f1": (C,) float array: the harmonic mean of precision and recall
            "support": (C,) int array: how many images each class has
            "macro_f1": the mean of f1 over all C classes, absent ones too, float
            "confused": the pairs of different classes of which at least one image was confused: a list of
                (true name, predicted name, number of images), the most images first; of equals, the one first whose
                row comes first in the confusion matrix, then the one whose column does
    """
    raise NotImplementedError("evaluate_report: not started")


# ------------------------------------------------------------------------------------------------------------
# P1.6  Figures
#
# Each function returns a matplotlib Figure. It does not call plt.show, and pyplot holds no further open figure
# afterwards (a Figure of your own, or plt.close). You may import matplotlib at the top of the file, or inside of these
# functions, so that the other tasks do not wait for it.
# ------------------------------------------------------------------------------------------------------------


def plot_history(history):
    """Draw the curves of a training, over the epochs 1, 2, 3, ...

    One axes holds two lines, train_loss and val_loss, and a legend that names both. Another axes holds the line of
    val_accuracy. Each of these axes has a label on both axes. Further lines, marks and axes are allowed, for example
    one for the learning rate.

    Args:
        history: as from fit; only its lists "train_loss", "val_loss" and "val_accuracy" are needed

    Returns:
        Figure
    """
    raise NotImplementedError("plot_history: not started")


def plot_confusion(report):
    """Draw a confusion matrix, by imshow.

    The colour of a cell shows its share of its row, from 0 to 1, whatever the number of images of the class: a row
    without images is 0. The colours begin at 0 and end at 1 (vmin=0, vmax=1). In the middle of each cell, a text shows
    the number of images; 0 may be left out. Each row and each column has a tick with the name of its class. The label
    of the vertical axis holds the word "true", that of the horizontal axis the word "predicted". Another axes for a
    colour bar is allowed.

    Args:
        report: as from evaluate_report; only "confusion" and "class_names" are needed

    Returns:
        Figure
    """
    raise NotImplementedError("plot_confusion: not started")


def plot_mistakes(x, y, scores, class_names):
    """Show the images that a classifier was most certain of and got wrong.

    The certainty of a prediction is the softmax of the scores, at the predicted class. The 12 images with the most
    certain wrong predictions are drawn by imshow, an axes for each, from the most certain one on (of equals, the one
    with the smaller index first): in rows from left to right, the first row at the top. If there are fewer mistakes,
    all are drawn; if there is none, no axes has an image. The title of an axes holds the name of the true class, and
    then the name of the predicted class.

    Args:
        x: raw images, (N, H, W, 3) uint8
        y: labels, (N,) int64
        scores: (N, C) float
        class_names: names of the C classes, a list or tuple of str

    Returns:
        Figure
    """
    raise NotImplementedError("plot_mistakes: not started")


# ------------------------------------------------------------------------------------------------------------
# P1.7  The whole project in one call
# ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Results:
    """The numbers of a run (this class is complete).

    Attributes:
        accuracy: the share of test images that the final model predicts right, float
        val_accuracy: the same for the validation images
        epochs: how many epochs were trained, int
        parameters: how many parameters the network has, int
    """

    accuracy: float
    val_accuracy: float
    epochs: int
    parameters: int


def check_config(config):
    """Raise a ValueError, with a sentence that names the field, for the first field whose value is not allowed.

    The docstring of Config says what is allowed. Beyond that: `data` must be the path of a file that exists, and `out`
    must not be the path of a file. For an int field True, 3.0 and "3" are not allowed. For a float field an int is
    allowed, and True, "3", nan and infinity are not. For a bool field only True and False are allowed. One sentence may
    report several faulty fields, or only one.

    Args:
        config: a Config

    Returns:
        None
    """
    raise NotImplementedError("check_config: not started")


def run(config):
    """Go from a file of raw images and labels to a trained network, a report and figures.

    The .npz file of config.data holds five arrays: "train_images" and "test_images", (N, H, W, C) uint8;
    "train_labels" and "test_labels", (N,) of any integer dtype, 0 to n_classes - 1; and "class_names", (n_classes,) of
    str. C is 3, and height and width are 16 pixels or more.

    1. Check the config (check_config). If the file lacks an array, if one has another kind of dtype or number of axes,
       if there are not as many labels as images, or if a label has no name, raise a ValueError that names `data`,
       before anything is trained and before `out` is made.
    2. Hold out the share config.val_share of the training images for validation, drawn at random (rounded, at least
       one image). The other ones are for training, and their mean and standard deviation are those of `preprocess`.
    3. Train a network of build_cnn with fit.
    4. Evaluate on the test images. Nothing else may depend on them.
    5. Write into the folder `out`, and nowhere else: report.json, with the attributes of Results as keys, and
       "confusion", "precision", "recall" and "f1" of evaluate_report as lists; the figures history.png, confusion.png
       and mistakes.png, each also written if there is nothing to show; and what `predict` needs. Further files are
       allowed.

    The same config gives the same Results and the same predictions, whatever the global random states are and whatever
    the folder is called. Another seed gives another network. If a run was stopped at any point, also while it wrote a
    file, a second run with the same config goes on: epochs that are done are not trained again, and the end is the
    same as without the stop. If the run is complete, nothing is trained and the Results are the same. A folder may
    hold the files of a run with another config. They are not used, and those named above are replaced.

    With the default config, the network learns from 1,200 images of shapes10 (32x32 pixels, ten classes) in at most 60
    CPU seconds. On images that no one has seen, it must be right on 0.94 of them for all points. At 0.55, about what a
    network without convolutions reaches, there is half of the points for accuracy, and more at 0.75 and 0.88.

    Args:
        config: a Config

    Returns:
        a Results
    """
    raise NotImplementedError("run: not started")


def predict(out, x):
    """Return the scores of raw images, by the network that `run` left in a folder.

    All that is needed is in the folder, the statistics for `preprocess` too. So it can be moved to another place, and
    used when the data file is gone and run was called in another process. The result for one image does not depend on
    the other images. Nothing in the folder is changed.

    Args:
        out: path of the folder of a complete run
        x: raw images, (N, H, W, C) uint8, N at least 1

    Returns:
        scores, (N, n_classes) float array
    """
    raise NotImplementedError("predict: not started")

