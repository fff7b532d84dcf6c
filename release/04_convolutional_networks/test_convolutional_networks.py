"""Public tests of the convolutional networks: small numbers, most of which fit on paper.

pytest test_convolutional_networks.py -k pooling        only the tests of one task
"""

import numpy as np
import pytest
import torch
from torch import nn

from autograder import expect, probe
from dlcourse.data import digits

# ------------------------------------------------------------------------------------------------------------
# 4.1  Sizes, parameters and receptive fields
# ------------------------------------------------------------------------------------------------------------


@pytest.mark.task("conv_output_size")
def test_the_first_layer_of_alexnet_gives_55_positions(student):
    """A kernel of 11 with stride 4 on 227 pixels: how many places can it start from?"""
    expect.equal(student.conv_output_size(227, 11, 4), 55, "conv_output_size(227, 11, 4)")
    expect.equal(student.conv_output_size(28, 5, 1, 2), 28, "conv_output_size(28, 5, 1, 2)")


@pytest.mark.task("conv_output_size")
def test_a_last_window_that_does_not_fit_is_left_out(student):
    """Ten pixels, kernel 3, stride 2: windows start at 0, 2, 4 and 6, and the one from 8 does not fit."""
    expect.equal(student.conv_output_size(10, 3, 2), 4, "conv_output_size(10, 3, 2)")


@pytest.mark.task("conv_output_size")
def test_two_kernels_of_three_see_five_pixels(student):
    """Each layer adds its kernel less one, counted in steps of the input."""
    layers = [(3, 1), (3, 1)]
    expect.equal(student.receptive_field(layers), 5, "receptive_field([(3, 1), (3, 1)])")
    expect.unchanged(layers, [(3, 1), (3, 1)], "receptive_field: layers")
    expect.equal(student.receptive_field([(3, 1), (2, 2), (3, 1)]), 8, "receptive_field with a pooling between")


@pytest.mark.task("conv_output_size")
def test_alexnets_first_kernels_hold_34848_weights(student):
    """96 kernels of 11x11 on 3 channels, and one bias for each kernel."""
    expect.equal(student.conv_params(3, 96, 11, bias=False), 34_848, "conv_params without a bias")
    expect.equal(student.conv_params(3, 96, 11), 34_944, "conv_params with a bias")


# ------------------------------------------------------------------------------------------------------------
# 4.2  Convolution, forward
# ------------------------------------------------------------------------------------------------------------


@pytest.mark.task("conv2d_forward", weight=2)
def test_a_kernel_slides_over_a_small_image(student):
    """Work it out on paper: the kernel lies on the four corners of the image in turn, and is not flipped."""
    x = np.array([[[[1.0, 2, 3], [4, 5, 6], [7, 8, 9]]]])
    w, b = np.array([[[[1.0, 10], [100, 1000]]]]), np.array([0.5])
    before = [array.copy() for array in (x, w, b)]

    out, _ = student.conv2d_forward(x, w, b)

    expect.close(out, np.array([[[[5421.5, 6532.5], [8754.5, 9865.5]]]]), "conv2d_forward")
    for now, then, name in zip((x, w, b), before, "xwb", strict=True):
        expect.unchanged(now, then, f"conv2d_forward: {name}")


@pytest.mark.task("conv2d_forward", weight=2)
def test_channels_are_added_and_the_bias_comes_once(student):
    """One output entry is the sum over all input channels, plus one bias."""
    x = np.array([[[[1.0]], [[2]], [[3]]]])
    w = np.array([[[[1.0]], [[10]], [[100]]], [[[0.0]], [[0]], [[1]]]])

    out, _ = student.conv2d_forward(x, w, np.array([1000.0, 5]))

    expect.close(out, np.array([[[[1321.0]], [[8]]]]), "conv2d_forward")


@pytest.mark.task("conv2d_forward", weight=2)
def test_stride_and_padding_may_differ_in_rows_and_columns(student):
    """A pair is (rows, columns): the first number moves down, the second to the right."""
    x = np.arange(1.0, 13).reshape(1, 1, 3, 4)
    w = np.array([[[[1.0]]]])

    out, _ = student.conv2d_forward(x, w, np.zeros(1), stride=(2, 3), padding=(0, 1))

    expect.close(out, np.array([[[[0.0, 3], [0, 11]]]]), "conv2d_forward")


# ------------------------------------------------------------------------------------------------------------
# 4.3  Convolution, backward
# ------------------------------------------------------------------------------------------------------------


@pytest.mark.task("conv2d_backward", weight=2)
def test_one_output_entry_sends_its_gradient_to_one_window(student):
    """With dout zero but for one entry, dx is the kernel, and dw the image, under that one window."""
    x = np.arange(1.0, 10).reshape(1, 1, 3, 3)
    w = np.array([[[[1.0, 2], [3, 4]]]])
    _, cache = student.conv2d_forward(x, w, np.zeros(1))
    dout = np.array([[[[0.0, 10], [0, 0]]]])
    before = dout.copy()

    dx, dw, db = student.conv2d_backward(dout, cache)

    expect.close(dx, np.array([[[[0.0, 10, 20], [0, 30, 40], [0, 0, 0]]]]), "conv2d_backward: dx")
    expect.close(dw, np.array([[[[20.0, 30], [50, 60]]]]), "conv2d_backward: dw")
    expect.close(db, np.array([10.0]), "conv2d_backward: db")
    expect.unchanged(dout, before, "conv2d_backward: dout")


@pytest.mark.task("conv2d_backward", weight=2)
def test_a_pixel_in_two_windows_receives_both_gradients(student):
    """Two neighbouring windows share the pixel in the middle: what reaches it?"""
    _, cache = student.conv2d_forward(np.array([[[[5.0, 6, 7]]]]), np.array([[[[1.0, 10]]]]), np.zeros(1))

    dx, dw, _ = student.conv2d_backward(np.array([[[[2.0, 3]]]]), cache)

    expect.close(dx, np.array([[[[2.0, 23, 30]]]]), "conv2d_backward: dx")
    expect.close(dw, np.array([[[[28.0, 33]]]]), "conv2d_backward: dw")


@pytest.mark.task("conv2d_backward", weight=2)
def test_gradients_have_the_shapes_of_what_they_belong_to(student, rng):
    """dx is as large as x, not as the padded x, and db has one entry for each kernel."""
    x, w, b = rng.normal(size=(2, 3, 5, 6)), rng.normal(size=(4, 3, 3, 2)), rng.normal(size=4)
    out, cache = student.conv2d_forward(x, w, b, stride=2, padding=1)

    dx, dw, db = student.conv2d_backward(np.ones_like(out), cache)

    expect.shape(dx, (2, 3, 5, 6), "conv2d_backward: dx")
    expect.shape(dw, (4, 3, 3, 2), "conv2d_backward: dw")
    expect.close(db, np.full(4, 2.0 * 3 * 4), "conv2d_backward: db")


# ------------------------------------------------------------------------------------------------------------
# 4.4  Convolution as one matrix product
# ------------------------------------------------------------------------------------------------------------


@pytest.mark.task("im2col", weight=3)
def test_each_window_of_a_small_image_is_a_column(student):
    """Windows go row by row from the upper left, and so do the pixels inside a window."""
    x = np.arange(1.0, 10).reshape(1, 1, 3, 3)
    before = x.copy()

    cols = student.im2col(x, 2)

    expect.close(cols, np.array([[[1.0, 2, 4, 5], [2, 3, 5, 6], [4, 5, 7, 8], [5, 6, 8, 9]]]), "im2col")
    expect.unchanged(x, before, "im2col: x")


@pytest.mark.task("im2col", weight=3)
def test_channels_stand_below_each_other(student):
    """All pixels of the first channel of a window come first, as in w.reshape(O, -1)."""
    x = np.array([[[[1.0, 2]], [[30, 40]]]])

    expect.close(student.im2col(x, (1, 2)), np.array([[[1.0], [2], [30], [40]]]), "im2col")


@pytest.mark.task("im2col", weight=3)
def test_col2im_adds_where_windows_overlap(student):
    """The middle pixel is in all four windows, a corner in only one."""
    cols = np.ones((1, 4, 4))

    image = student.col2im(cols, (1, 1, 3, 3), 2)

    expect.close(image, np.array([[[[1.0, 2, 1], [2, 4, 2], [1, 2, 1]]]]), "col2im")
    expect.unchanged(cols, np.ones((1, 4, 4)), "col2im: cols")


@pytest.mark.task("im2col", weight=3)
def test_the_matrix_product_gives_the_convolution(student):
    """The same numbers as the sliding window, and only the output is returned."""
    x = np.arange(1.0, 10).reshape(1, 1, 3, 3)
    w, b = np.array([[[[1.0, 10], [100, 1000]]], [[[1.0, 0], [0, 0]]]]), np.array([0.0, 0.5])
    before = [array.copy() for array in (x, w, b)]

    out = student.conv2d_im2col(x, w, b)

    want = np.array([[[[5421.0, 6532], [8754, 9865]], [[1.5, 2.5], [4.5, 5.5]]]])
    expect.close(out, want, "conv2d_im2col")
    for now, then, name in zip((x, w, b), before, "xwb", strict=True):
        expect.unchanged(now, then, f"conv2d_im2col: {name}")


# ------------------------------------------------------------------------------------------------------------
# 4.5  Pooling
# ------------------------------------------------------------------------------------------------------------

IMAGE = np.array([[[[1.0, 2, 5, 6], [3, 4, 8, 7], [-1, -9, 0, 2], [-8, -2, 1, 3]]]])


@pytest.mark.task("pooling", weight=4)
def test_max_pooling_keeps_the_largest_of_each_window(student):
    """Four windows of 2x2, and in each the largest entry, also where all are negative."""
    x = IMAGE.copy()

    out, _ = student.max_pool2d_forward(x, 2)

    expect.close(out, np.array([[[[4.0, 8], [-1, 3]]]]), "max_pool2d_forward")
    expect.unchanged(x, IMAGE, "max_pool2d_forward: x")


@pytest.mark.task("pooling", weight=4)
def test_the_winner_takes_the_gradient(student):
    """The gradient of each window goes to its largest entry, and the others receive nothing."""
    _, cache = student.max_pool2d_forward(IMAGE.copy(), 2)
    dout = np.array([[[[1.0, -2], [3, 4]]]])
    before = dout.copy()

    dx = student.max_pool2d_backward(dout, cache)

    want = np.array([[[[0.0, 0, 0, 0], [0, 1, -2, 0], [3, 0, 0, 0], [0, 0, 0, 4]]]])
    expect.close(dx, want, "max_pool2d_backward")
    expect.unchanged(dout, before, "max_pool2d_backward: dout")


@pytest.mark.task("pooling", weight=4)
def test_average_pooling_takes_means_and_shares_the_gradient(student):
    """Each of the four entries of a window gives a quarter and receives a quarter."""
    x, dout = IMAGE.copy(), np.array([[[[4.0, 8], [12, 16]]]])
    before = dout.copy()

    out, cache = student.avg_pool2d_forward(x, 2)
    dx = student.avg_pool2d_backward(dout, cache)

    expect.close(out, np.array([[[[2.5, 6.5], [-5, 1.5]]]]), "avg_pool2d_forward")
    want = np.array([[[[1.0, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4]]]])
    expect.close(dx, want, "avg_pool2d_backward")
    expect.unchanged(x, IMAGE, "avg_pool2d_forward: x")
    expect.unchanged(dout, before, "avg_pool2d_backward: dout")


@pytest.mark.task("pooling", weight=4)
def test_global_pooling_leaves_one_number_of_each_map(student):
    """The mean of each map, and back: every pixel receives the same share."""
    x = np.array([[[[1.0, 2, 3], [4, 5, 9]], [[0, 0, 0], [0, 0, 6]]]])

    dout = np.array([[6.0, 12]])
    before = x.copy()

    out, cache = student.global_avg_pool2d_forward(x)
    dx = student.global_avg_pool2d_backward(dout, cache)

    expect.close(out, np.array([[4.0, 1]]), "global_avg_pool2d_forward")
    expect.close(dx, np.stack([np.full((2, 3), 1.0), np.full((2, 3), 2.0)])[np.newaxis], "global_avg_pool2d_backward")
    expect.unchanged(x, before, "global_avg_pool2d_forward: x")
    expect.unchanged(dout, np.array([[6.0, 12]]), "global_avg_pool2d_backward: dout")


# ------------------------------------------------------------------------------------------------------------
# 4.6  Filters and feature maps
# ------------------------------------------------------------------------------------------------------------


@pytest.mark.task("filters", weight=3)
def test_sobel_x_answers_to_an_edge_from_dark_to_bright(student):
    """A step in brightness from left to right: SOBEL_X is positive beside it, SOBEL_Y sees nothing."""
    image = np.array([[0.0, 0, 1, 1]] * 3)
    before = image.copy()

    expect.close(student.apply_filter(image, student.SOBEL_X), np.array([[0.0, 4, 4, 0]] * 3), "SOBEL_X on a step")
    expect.close(student.apply_filter(image, student.SOBEL_Y), np.zeros((3, 4)), "SOBEL_Y on the same step")
    expect.unchanged(image, before, "apply_filter: img")


@probe
def maps_of_a_small_model(student, x):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.Tanh(), nn.ReLU(inplace=True), nn.Conv2d(3, 2, 3))
    with torch.no_grad():
        want = model[1](model[0](x))
    return student.feature_maps(model, x, "1"), want


@pytest.mark.task("filters", weight=3, forbid=[])  # the model of this test convolves
def test_feature_maps_are_what_the_layer_gives(student):
    """The second layer of this model gives three maps: these, before the ReLU after it works on them in place."""
    maps, want = maps_of_a_small_model(student, torch.linspace(-1, 1, 40).reshape(2, 1, 4, 5))

    expect.close(maps, want, "feature_maps", rtol=1e-5, atol=1e-6)


# ------------------------------------------------------------------------------------------------------------
# 4.7  Architectures: counted on the meta device, where tensors have a shape but no memory
# ------------------------------------------------------------------------------------------------------------


@probe
def parameters_of_lenet(student):
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in student.LeNet5().parameters())


@probe
def parameters_of_alexnet(student):
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in student.AlexNet().parameters())


@probe
def parameters_of_vgg16(student):
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in student.VGG(student.VGG16).parameters())


@probe
def parameters_of_resnet18(student):
    with torch.device("meta"):
        model = student.ResNet(student.BasicBlock, [2, 2, 2, 2])
        return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.task("architectures", weight=6)
def test_lenet_has_its_61706_parameters_and_ten_scores(student):
    """An image of 28x28 must arrive at the first linear layer as 400 numbers."""
    expect.equal(parameters_of_lenet(student), 61_706, "LeNet5: parameters")
    expect.shape(student.LeNet5()(torch.zeros(2, 1, 28, 28)), (2, 10), "LeNet5()(x)")


@pytest.mark.task("architectures", weight=7)
def test_alexnet_and_vgg16_have_the_parameters_of_their_tables(student):
    """Most of the parameters stand in the first linear layer; count them layer by layer if yours differ."""
    expect.equal(parameters_of_alexnet(student), 61_100_840, "AlexNet: parameters")
    expect.equal(parameters_of_vgg16(student), 138_357_544, "VGG(VGG16): parameters")


@pytest.mark.task("architectures", weight=6)
def test_resnet18_has_its_11689512_parameters(student):
    """Batch norm has a shift of its own, and a shortcut has parameters only where shapes change."""
    expect.equal(parameters_of_resnet18(student), 11_689_512, "ResNet-18: parameters")


@probe
def block_with_a_silent_residual(student, x):
    block = student.BasicBlock(4, 4)
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.zero_()
        return block(x)


@pytest.mark.task("architectures", weight=6)
def test_a_block_with_a_silent_residual_hands_on_its_input(student, rng):
    """Add first, then ReLU: with a residual of zero, ReLU(x) is left."""
    x = torch.from_numpy(rng.normal(size=(2, 4, 5, 6)).astype(np.float32))

    expect.close(block_with_a_silent_residual(student, x), torch.relu(x), "BasicBlock with a residual of zero")


# ------------------------------------------------------------------------------------------------------------
# 4.8  A small network of your own
# ------------------------------------------------------------------------------------------------------------


@pytest.mark.task("small_cnn", weight=4)
def test_the_small_network_gives_features_and_scores(student):
    """Features are 2, 4 or 8 times smaller than the image; there is one score for each class."""
    model = student.SmallCNN(in_channels=3, num_classes=7)
    x = torch.zeros(2, 3, 16, 24)

    expect.shape(model(x), (2, 7), "SmallCNN(3, 7)(x)")
    batch, _, height, width = model.features(x).shape
    expect.is_true(
        (batch, height, width) in [(2, 8, 12), (2, 4, 6), (2, 2, 3)],
        f"SmallCNN.features: wrong shape. Got {batch} x ... x {height} x {width} for 2 images of 16x24.",
    )


@pytest.mark.task("small_cnn", weight=3)
def test_a_trained_network_reads_digits(student):
    """Train in your default number of epochs: nine of ten unseen digits should then be right."""
    x, y = digits("train", seed=0)
    unseen, labels = digits("test", seed=0)

    model = student.train_small_cnn(x, y, seed=1)

    predicted = student.predict_labels(model, unseen)
    expect.dtype(predicted, np.int64, "predict_labels")
    expect.accuracy(predicted, labels, 0.9, "train_small_cnn on digits")


@pytest.mark.task("small_cnn", weight=3)
def test_the_same_seed_trains_the_same_network(student):
    """Everything that is drawn must depend on the seed: the initial values and the order of the images."""
    x, y = digits("train", seed=0)

    first = student.train_small_cnn(x[:200], y[:200], epochs=1, seed=4)
    second = student.train_small_cnn(x[:200], y[:200], epochs=1, seed=4)

    scores = [model(torch.from_numpy(x[:5])).detach() for model in (first, second)]
    expect.close(scores[1], scores[0], "train_small_cnn with the same seed", rtol=1e-4, atol=1e-5)
