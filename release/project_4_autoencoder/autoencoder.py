"""Project 4, an autoencoder: images become a few numbers and images again.

From a file of raw images to a finished result: a network, its training, a denoiser, a picture of the codes, a score
for strange images, and one function `run` that does it all.

Images are (N, C, H, W) float32 in [0, 1]. Inside of a network they are torch tensors, everywhere else NumPy arrays.

Rules for the whole file:
    * no function changes its arguments, except where its docstring says so (`fit` trains the model that it gets).
    * a "model" is any nn.Module that maps images to images of the same shape. Functions that only use a model
      (reconstruction_error, denoise, denoising_table, encode_images, interpolate, anomaly_scores) use it in eval mode
      and without gradients, and leave each of its layers in the mode in which it was. The result for one image does
      not depend on the other images.
    * where several things are returned, a tuple or a list will do.
    * functions that train may set torch's global seed.
"""

from __future__ import annotations

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

# ------------------------------------------------------------------------------------------------------------
# P4.1  The network
# ------------------------------------------------------------------------------------------------------------


class Autoencoder(nn.Module):
    """An encoder that turns an image into `latent` numbers, its code, and a decoder that turns a code into an image.

    The layers are yours. What counts:
        * at most 60,000 parameters, for each shape with C * H * W <= 784 and each latent from 1 to 32
        * the decoder sees the code and nothing else of the image
        * encoder and decoder are both nonlinear
        * each pixel of a decoded image is in [0, 1], for each code with entries between -1e6 and 1e6
        * a batch may hold any number of images from one on, in training mode too
        * in eval mode an image gives the same result each time, alone or in a batch
        * all random numbers come from torch's global generator: after the same torch.manual_seed two networks are
          equal, and without it they differ

    Args:
        shape: (C, H, W) of an image
        latent: numbers in a code, int
    """

    def __init__(self, shape, latent):
        raise NotImplementedError("Autoencoder.__init__: not started")

    def encode(self, x):
        """Return the codes, (N, latent), of images, (N, C, H, W). A code may hold any real numbers."""
        raise NotImplementedError("Autoencoder.encode: not started")

    def decode(self, z):
        """Return the images, (N, C, H, W) in [0, 1], of codes, (N, latent)."""
        raise NotImplementedError("Autoencoder.decode: not started")

    def forward(self, x):
        """Return the reconstructions of images: the decoded codes, (N, C, H, W)."""
        raise NotImplementedError("Autoencoder.forward: not started")


# ------------------------------------------------------------------------------------------------------------
# P4.2  Training, and a baseline
# ------------------------------------------------------------------------------------------------------------


def fit(model, x, epochs=30, batch_size=50, lr=0.008, seed=0, noise=0.0, checkpoint=None):
    """Train a model, in place, to give back each image.

    * In each epoch each image is used once, in a new random order. The last batch may be smaller.
    * model(batch) is called once for each batch, in training mode. Then there is one step of an optimiser of your
      choice. The learning rate may follow a schedule; lr is its largest value, and with lr=0 no weight moves.
    * The loss is the mean squared error between the output and the clean images (times a constant, if you like).
    * With noise > 0 the input is the clean images plus normal noise of this standard deviation, not clipped. It is
      drawn again for each batch of each epoch. The target remains the clean images.
    * The same model, arguments and seed give the same weights and history, whatever torch's and NumPy's global
      random states are, for a model with dropout too. Another seed gives another order.
    * Afterwards the model is in eval mode.

    With a checkpoint, the file of this name is written after each epoch. If the file is there already, `fit` was
    stopped before, at any point, even while it wrote the file: it takes the state from the file and goes on with the
    next epoch. Weights and history are then exactly those of a training that was not stopped. If all epochs are done,
    nothing is trained. A caller uses the same arguments, and a model of the same class, each time.

    With the default arguments, an Autoencoder with a latent of 8 that learned from 1,300 digits of 8x8 pixels has at
    most 0.75 times the mean squared error of PCA with 8 components, on digits that it has not seen. With a latent of 2
    and epochs=100, its codes separate digits better than those of PCA: see knn_accuracy.

    Args:
        model: an nn.Module, changed in place
        x: images, (N, C, H, W) float32
        epochs, batch_size: int, 1 or above
        lr: float
        seed: int, 0 or above
        noise: float, 0 or above
        checkpoint: None, or the path of a file, a str or a Path

    Returns:
        history: for each epoch the mean squared error of a pixel against the clean images, measured during the
            training of this epoch: the mean over all images, as a list of floats
    """
    raise NotImplementedError("fit: not started")


def reconstruction_error(model, x):
    """Return the mean squared error of each image, over its channels and pixels.

    Args:
        model: a model
        x: images, (N, C, H, W) float32

    Returns:
        (N,) float
    """
    raise NotImplementedError("reconstruction_error: not started")


def pca(train, x, k):
    """Encode images with the first k principal components of the training images, and decode them again.

    Subtract the mean training image. The components are the k orthonormal directions in which the training images
    vary most. A code holds the products of an image with the components; each component may have either sign. The
    reconstruction is the mean image plus the components times the code, not clipped.

    Args:
        train: images, (M, C, H, W) float32, from which mean and components come
        x: images, (N, C, H, W) float32
        k: number of components, int, at most M and C * H * W

    Returns:
        codes: (N, k) float
        rebuilt: (N, C, H, W) float
    """
    raise NotImplementedError("pca: not started")


# ------------------------------------------------------------------------------------------------------------
# P4.3  A denoiser
# ------------------------------------------------------------------------------------------------------------


def noisy_pairs(x, std, rng):
    """Make pairs to learn from or to be tried on: noisy images, and the clean ones.

    Args:
        x: images, (N, C, H, W) float32
        std: standard deviation of the normal noise, float, 0 or above; each pixel has its own draw
        rng: np.random.Generator from which all noise comes

    Returns:
        noisy: x plus noise, (N, C, H, W) float32, new memory, not clipped
        clean: the images x, or a copy of them
    """
    raise NotImplementedError("noisy_pairs: not started")


def denoise(model, x):
    """Return what a denoiser makes of noisy images, clipped to [0, 1].

    A denoiser is a model that `fit` trained with noise. An Autoencoder with a latent of 8 that learned from 1,300
    digits of 8x8 pixels with the defaults of `fit` and noise=0.3 leaves at most 0.4 times the mean squared error of the
    noise, on digits and noise that it has not seen. At half of that noise, it leaves at most the error of the noisy
    images.

    Args:
        model: a model
        x: noisy images, (N, C, H, W) float32

    Returns:
        images, (N, C, H, W) float32 in [0, 1]
    """
    raise NotImplementedError("denoise: not started")


def denoising_table(model, x, levels, rng):
    """Try a denoiser at several levels of noise.

    For each level, in the given order, the clean images get noise by noisy_pairs, and `denoise` is applied.

    Args:
        model: a model
        x: clean images, (N, C, H, W) float32
        levels: standard deviations of the noise, a list of floats
        rng: np.random.Generator from which all noise comes

    Returns:
        for each level a tuple of three floats: the level, and the mean squared error of the noisy images and of the
        denoised ones, both against the clean images
    """
    raise NotImplementedError("denoising_table: not started")


# ------------------------------------------------------------------------------------------------------------
# P4.4  What a code is worth
# ------------------------------------------------------------------------------------------------------------


def encode_images(model, x):
    """Return the codes of images as an array: those of model.encode, in eval mode and without gradients.

    Args:
        model: an nn.Module with a method `encode`, such as an Autoencoder
        x: images, (N, C, H, W) float32

    Returns:
        codes, (N, latent) float32
    """
    raise NotImplementedError("encode_images: not started")


def knn_accuracy(codes, labels, k=5):
    """Return the share of images whose k nearest other images vote for the right class.

    Distances are Euclidean. An image never votes for itself. Of images at the same distance, the one with the smaller
    index is nearer. If several classes have the most votes, the smallest label wins.

    The codes of 497 digits, by an Autoencoder with a latent of 2 that `fit` trained with epochs=100 on 1,300 other
    digits, reach an accuracy that is at least 0.05 above that of the codes of PCA with 2 components.

    Args:
        codes: (N, D) float
        labels: (N,) int, 0 or above
        k: number of neighbours that vote, int, 1 <= k <= N - 1

    Returns:
        float in [0, 1]
    """
    raise NotImplementedError("knn_accuracy: not started")


def compression_ratio(images, codes, decoder=None):
    """Return how many times smaller the codes are than the images, in bytes.

    Bytes are the number of entries times the bytes of one entry, which depends on the dtype. A receiver cannot read
    codes without the decoder. With a decoder, the bytes of its parameters and buffers are added to those of the codes.

    Args:
        images: array of any shape and dtype
        codes: array of any shape and dtype
        decoder: None, or an nn.Module

    Returns:
        bytes of the images / bytes of the codes (and of the decoder), float
    """
    raise NotImplementedError("compression_ratio: not started")


# ------------------------------------------------------------------------------------------------------------
# P4.5  Pictures
#
# Each function returns a matplotlib Figure. It does not call plt.show, and pyplot holds no further open figure
# afterwards (a Figure of your own, or plt.close). You may import matplotlib at the top of the file, or inside of these
# functions, so that the other tasks do not wait for it.
# ------------------------------------------------------------------------------------------------------------


def plot_latent(codes, labels):
    """Draw codes of two numbers as points in a plane, in a colour for each class.

    One axes holds the points, with the first number to the right and the second one upwards. All points of a class
    have one colour, and no two of up to ten classes have the same. One unit is equally long on both axes (aspect
    "equal"). Both axes have a label, and a legend names each class that occurs by its number, such as 3 or "digit 3",
    and no other.

    Args:
        codes: (N, 2) float
        labels: (N,) int

    Returns:
        Figure
    """
    raise NotImplementedError("plot_latent: not started")


def plot_reconstructions(x, rebuilt):
    """Draw images of one channel in an upper row, and what became of each one below it.

    All are drawn with imshow, in grey, with black at 0 and white at 1 (vmin=0, vmax=1), so that all images of the
    figure can be compared. A title or a label names each of the two rows.

    Args:
        x: images, (N, 1, H, W) float32, N at least 1
        rebuilt: images of the same shape

    Returns:
        Figure with 2 * N axes
    """
    raise NotImplementedError("plot_reconstructions: not started")


def interpolate(model, a, b, steps):
    """Walk from one image to another: decode codes at equal distances on the straight line between their codes.

    Args:
        model: an nn.Module with methods `encode` and `decode`, such as an Autoencoder
        a, b: two images, (C, H, W) float32
        steps: number of images, int, 2 or above

    Returns:
        images, (steps, C, H, W) float32: the first is the reconstruction of a, and the last that of b
    """
    raise NotImplementedError("interpolate: not started")


# ------------------------------------------------------------------------------------------------------------
# P4.6  Strangers
# ------------------------------------------------------------------------------------------------------------


def anomaly_scores(model, x):
    """Say how strange each image is for a model: the worse the model gives it back, the higher the score.

    A score is the reconstruction error of the image, or something that grows with it. An Autoencoder with a latent of
    8 that learned nine of the ten digits with the defaults of `fit` gives the tenth higher scores: the ROC AUC is at
    least 0.90, and higher than with the reconstruction error of PCA with 8 components. (The judge leaves out
    0, 2, 3 or 8. Others, such as 1 and 6, look like parts of other digits, and both areas are closer together.)

    Args:
        model: a model
        x: images, (N, C, H, W) float32

    Returns:
        (N,) float
    """
    raise NotImplementedError("anomaly_scores: not started")


def roc_auc(scores, is_strange):
    """Return the area under the ROC curve: the chance that a strange image has a higher score than a usual one.

    Over all pairs of one strange and one usual image, it is the share of pairs in which the strange one has the higher
    score. A pair with equal scores counts one half.

    Args:
        scores: (N,) float
        is_strange: (N,) bool, with at least one True and one False

    Returns:
        float in [0, 1]
    """
    raise NotImplementedError("roc_auc: not started")


def threshold_for(scores, rate):
    """Return a threshold that gives an alarm on no more than a share of usual images.

    An image gives an alarm if its score is above the threshold. The result is the smallest of the given scores for
    which at most the share `rate` of these scores is above it.

    Args:
        scores: scores of usual images, (N,) float
        rate: float in [0, 1)

    Returns:
        float
    """
    raise NotImplementedError("threshold_for: not started")


# ------------------------------------------------------------------------------------------------------------
# P4.7  The whole project in one call
# ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Config:
    """All that a run depends on (this class is complete).

    Attributes:
        data: path of an .npz file with two arrays, "train" and "test": raw images, (N, H, W) uint8, 0 to 255
        out: path of the folder for everything that a run writes; it is made if it is not there
        latent: numbers in a code, int from 2 to 32
        noise: standard deviation of the noise for the denoiser, above 0 and at most 1
        epochs, batch_size: int, 1 or above
        lr: learning rate, float above 0
        seed: int, 0 or above
    """

    data: str
    out: str
    latent: int = 8
    noise: float = 0.3
    epochs: int = 30
    batch_size: int = 50
    lr: float = 0.008
    seed: int = 0


@dataclass(frozen=True)
class Results:
    """The numbers of a run, all of them measured on the test images (this class is complete).

    Attributes:
        mse: mean squared error of the autoencoder
        pca_mse: the same of PCA with as many numbers in a code, from the training images
        compression: compression_ratio of the raw images and their codes, without the decoder
        noisy_mse: error of the noisy images, for config.noise and for half of it, a tuple of two floats
        denoised_mse: error of what the denoiser makes of them, a tuple of two floats
    """

    mse: float
    pca_mse: float
    compression: float
    noisy_mse: tuple[float, float]
    denoised_mse: tuple[float, float]


def check_config(config):
    """Raise a ValueError, with a sentence that names the field, for the first field whose value is not allowed.

    The docstring of Config says what is allowed. Beyond that: `data` must be the path of a file that exists, and `out`
    must not be the path of a file. For an int field True, 3.0 and "3" are not allowed. For a float field an int is
    allowed, and True, "3", nan and infinity are not. One sentence may report several faulty fields, or only one.

    Args:
        config: a Config

    Returns:
        None
    """
    raise NotImplementedError("check_config: not started")


def run(config):
    """Go from a file of raw images to numbers, pictures and saved models.

    1. Check the config (check_config). If the file of `data` lacks an array, or one has another dtype or number of
       axes than Config says, raise a ValueError that names `data`, before anything is trained and before `out` is made.
       (All images have one size, and there are at least config.latent training images, and pixels.)
    2. Divide by 255; the images are then (N, 1, H, W) float32.
    3. Train an Autoencoder, then a second one as a denoiser with noise=config.noise, both with config's latent, epochs,
       batch_size and lr.
    4. Measure: see Results. Noise for the test images comes from the seed as well.
    5. Write into the folder `out`, and nowhere else:
           autoencoder.pt, denoiser.pt   their state_dict, by torch.save
           results.json                  an object with the attributes of Results as keys; tuples as lists
           reconstructions.png           some test images above their reconstructions
           latent.png                    the codes of the test images, as points: the first two numbers of each
       Further files are allowed.

    The same config gives the same Results and models, whatever the global random states are and whatever the folder is
    called. If a run was stopped at any point, even while it wrote a file, a second run with the same config goes on:
    epochs that are done are not trained again, and Results and files are the same as without the stop. If the run is
    complete, nothing is trained and the Results are the same. A folder may hold the files of a run with another config.
    They are not used, and those named above are replaced.

    For 1,300 training digits of 8x8 pixels the default config reaches the qualities that `fit` and `denoise` ask for,
    with its saved models on images that no one has seen. It takes at most 60 CPU seconds.

    Args:
        config: a Config

    Returns:
        a Results
    """
    raise NotImplementedError("run: not started")

