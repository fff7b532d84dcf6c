"""Public tests of the advanced techniques: small numbers, most of which fit on paper.

pytest test_advanced_cnn_techniques.py -k boxes        only the tests of one task
"""

import collections

import numpy as np
import pytest
import torch
from torch import nn

from autograder import expect, probe
from dlcourse.data import shapes7_weights, shapes10, shapes10_boxes

# ------------------------------------------------------------------------------------------------------------
# 5.1  Data augmentation
# ------------------------------------------------------------------------------------------------------------


@pytest.mark.task("augmentation", weight=2)
def test_a_mirrored_box_still_lies_on_its_object(student, rng):
    """Left becomes right: what was x1 pixels from the left border is now x1 pixels from the right one."""
    x = np.zeros((1, 1, 2, 10))
    x[0, 0, :, 1:4] = 1
    box = np.array([[1.0, 0, 4, 2]])
    before = x.copy(), box.copy()

    images, boxes = student.random_hflip(x, rng, p=1.0, boxes=box)

    expect.close(images[0, 0, 0], np.array([0.0, 0, 0, 0, 0, 0, 1, 1, 1, 0]), "random_hflip, a row of it")
    expect.close(boxes, np.array([[6.0, 0, 9, 2]]), "random_hflip: boxes")
    expect.unchanged(x, before[0], "random_hflip: x")
    expect.unchanged(box, before[1], "random_hflip: boxes")


@pytest.mark.task("augmentation", weight=2)
def test_about_half_of_a_batch_is_mirrored(student, rng):
    """Toss a coin for each image, not one for the whole batch."""
    x = np.tile([0.0, 1.0], (200, 1, 1, 1))

    images = student.random_hflip(x, rng)

    expect.shape(images, (200, 1, 1, 2), "random_hflip")
    expect.between(images[:, 0, 0, 0].mean(), 0.3, 0.7, "random_hflip: share of mirrored images")


@pytest.mark.task("augmentation", weight=2)
def test_a_crop_moves_the_image_and_fills_with_zeros(student, rng):
    """With a border of one pixel the image moves by at most one, and zeros come in from outside."""
    x = np.zeros((300, 1, 3, 4))
    x[:, 0, 1, 2] = 1

    images = student.random_crop(x, 1, rng)

    expect.shape(images, (300, 1, 3, 4), "random_crop")
    expect.close(images.sum(axis=(1, 2, 3)), np.ones(300), "random_crop: sum of each image of one bright pixel")
    places = len({tuple(place) for place in np.argwhere(images)[:, 2:].tolist()})
    expect.equal(places, 9, "random_crop with a pad of 1: places where a pixel can come to lie")


@pytest.mark.task("augmentation", weight=2)
def test_jitter_is_one_line_for_each_image(student, rng):
    """Both changes together are out = a * x + d, with its own a and d for each image, but not for each channel."""
    x = rng.uniform(0.4, 0.6, size=(6, 3, 4, 5))
    before = x.copy()

    images = student.color_jitter(x, rng)

    expect.shape(images, before.shape, "color_jitter")
    slopes = (images.max(axis=(1, 2, 3)) - images.min(axis=(1, 2, 3))) / (
        before.max(axis=(1, 2, 3)) - before.min(axis=(1, 2, 3))
    )
    line = slopes[:, None, None, None] * (before - before[:, :1, :1, :1]) + images[:, :1, :1, :1]
    expect.close(images, line, "color_jitter", rtol=1e-6)
    expect.is_true(len(np.unique(slopes.round(9))) == 6, "color_jitter: two images were changed alike.")
    expect.unchanged(x, before, "color_jitter: x")


@pytest.mark.task("augmentation", weight=2)
def test_a_square_is_cut_out_of_each_image(student, rng):
    """Two by two pixels of each image are zero now, in every channel; the rest is as it was."""
    x = rng.uniform(0.1, 1, size=(20, 3, 6, 7))
    before = x.copy()

    images = student.cutout(x, 2, rng)

    expect.shape(images, before.shape, "cutout")
    holes = images == 0
    expect.equal(holes.sum(axis=(2, 3)), np.full((20, 3), 4), "cutout(size=2): zeros in each channel")
    expect.close(images[~holes], before[~holes], "cutout: what is not cut out")
    expect.unchanged(x, before, "cutout: x")


@pytest.mark.task("augmentation", weight=2)
def test_labels_are_mixed_as_the_images_are(student, rng):
    """An image that is 70 % cat is labelled 0.7 cat: here each image *is* its label."""
    x, y = np.eye(5).reshape(5, 1, 1, 5), np.eye(5)

    images, labels = student.mixup(x, y, 0.8, rng)

    expect.shape(images, (5, 1, 1, 5), "mixup: images")
    expect.shape(labels, (5, 5), "mixup: labels")
    expect.close(images.reshape(5, 5), labels, "mixup: images that show their own labels")
    expect.close(labels.sum(axis=1), np.ones(5), "mixup: sum of each label")
    expect.unchanged(x, np.eye(5).reshape(5, 1, 1, 5), "mixup: x")
    expect.unchanged(y, np.eye(5), "mixup: y")


@pytest.mark.task("augmentation", weight=2)
def test_validation_batches_are_as_they_were(student):
    """Two passes over validation data must see the same images: nothing is shuffled, nothing augmented."""
    x, y = np.arange(5.0).reshape(5, 1, 1, 1), np.arange(5)

    seen = list(student.batches(x, y, 2, None, lambda images, rng: -images, training=False))

    expect.equal([len(labels) for _, labels in seen], [2, 2, 1], "batches: their sizes")
    expect.close(np.concatenate([images for images, _ in seen]), x, "batches of validation: images")
    expect.equal(np.concatenate([labels for _, labels in seen]), y, "batches of validation: labels")


@pytest.mark.task("augmentation", weight=2)
def test_a_mirrored_shape_has_its_name_but_not_a_turned_one(student):
    """Go through the classes one by one: is there one whose image would now show another class?"""
    expect.equal(student.keeps_label("shapes10", "hflip"), True, 'keeps_label("shapes10", "hflip")')
    expect.equal(student.keeps_label("shapes10", "quarter_turn"), False, 'keeps_label("shapes10", "quarter_turn")')


# ------------------------------------------------------------------------------------------------------------
# 5.2  Batch normalisation
# ------------------------------------------------------------------------------------------------------------


@pytest.mark.task("batch_norm", weight=3)
def test_four_values_are_normalised_by_hand(student):
    """1, 3, 5, 7 have the mean 4 and the biased variance 5; with eps = 4 they are divided by 3."""
    bn = student.BatchNorm(1, eps=4.0)

    out, _ = bn.forward(np.array([[1.0], [3], [5], [7]]))

    expect.close(out, np.array([[-1.0], [-1 / 3], [1 / 3], [1]]), "BatchNorm.forward")


@pytest.mark.task("batch_norm", weight=3)
def test_running_statistics_move_a_tenth_of_the_way(student):
    """From mean 0 and variance 1 towards mean 4 and the unbiased variance 20/3 (divided by 3, not by 4)."""
    bn = student.BatchNorm(1)

    bn.forward(np.array([[1.0], [3], [5], [7]]))

    expect.close(bn.running_mean, np.array([0.4]), "BatchNorm.running_mean")
    expect.close(bn.running_var, np.array([0.9 + 2 / 3]), "BatchNorm.running_var")


@pytest.mark.task("batch_norm", weight=3)
def test_images_are_normalised_over_batch_height_and_width(student, rng):
    """A channel has one mean, over all images and all their pixels."""
    x = 3 * rng.normal(size=(4, 2, 3, 5)) + np.array([10.0, -5]).reshape(1, 2, 1, 1)
    before = x.copy()

    out, _ = student.BatchNorm(2, eps=0.0).forward(x)

    expect.shape(out, before.shape, "BatchNorm.forward")
    expect.close(out.mean(axis=(0, 2, 3)), np.zeros(2), "mean of each channel of the output", atol=1e-7)
    expect.close(out.var(axis=(0, 2, 3)), np.ones(2), "variance of each channel of the output")
    expect.unchanged(x, before, "BatchNorm.forward: x")


@pytest.mark.task("batch_norm", weight=3)
def test_eval_uses_what_was_learned_about_the_data(student):
    """A single example in eval mode: its own mean and variance say nothing, the running ones count."""
    bn = student.BatchNorm(2, eps=0.0)
    bn.running_mean, bn.running_var = np.array([1.0, 2]), np.array([4.0, 9])

    out, _ = bn.eval().forward(np.array([[5.0, -1]]))

    expect.close(out, np.array([[2.0, -1]]), "BatchNorm.forward in eval mode")
    expect.close(bn.running_mean, np.array([1.0, 2]), "BatchNorm.running_mean after eval")
    expect.equal(bn.training, False, "BatchNorm.training after eval()")


@pytest.mark.task("batch_norm", weight=3)
def test_the_gradient_cannot_move_all_examples_at_once(student, rng):
    """Adding a constant to all examples changes nothing, so dx adds up to zero; and dbeta is the sum of dout."""
    x, dout = rng.normal(size=(5, 3)), rng.normal(size=(5, 3))
    before = dout.copy()
    bn = student.BatchNorm(3)
    out, cache = bn.forward(x)

    dx, dgamma, dbeta = bn.backward(dout, cache)

    expect.shape(dx, (5, 3), "BatchNorm.backward: dx")
    expect.close(dx.sum(axis=0), np.zeros(3), "BatchNorm.backward: sum of dx", atol=1e-8)
    expect.close(dgamma, (before * out).sum(axis=0), "BatchNorm.backward: dgamma", rtol=1e-6, atol=1e-8)
    expect.close(dbeta, before.sum(axis=0), "BatchNorm.backward: dbeta")
    expect.unchanged(dout, before, "BatchNorm.backward: dout")


# ------------------------------------------------------------------------------------------------------------
# 5.3  Dropout
# ------------------------------------------------------------------------------------------------------------


@pytest.mark.task("dropout", weight=3)
def test_what_stays_is_scaled_up(student):
    """With p = 0.75 one entry of four stays, and counts four times."""
    x = np.ones((40, 50))

    out, _ = student.Dropout(0.75, np.random.default_rng(0)).forward(x)

    expect.equal(np.unique(out.round(9)).tolist(), [0.0, 4.0], "Dropout(0.75): the values that ones become")
    expect.between((out == 0).mean(), 0.7, 0.8, "Dropout(0.75): share of zeros")
    expect.unchanged(x, np.ones((40, 50)), "Dropout.forward: x")


@pytest.mark.task("dropout", weight=3)
def test_in_eval_mode_nothing_is_dropped(student, rng):
    """A network that is used, not trained, needs all its units."""
    x = rng.normal(size=(3, 4))
    before = x.copy()
    layer = student.Dropout(0.9, rng).eval()

    out, _ = layer.forward(x)

    expect.close(out, before, "Dropout in eval mode")
    expect.equal(layer.training, False, "Dropout.training after eval()")


@pytest.mark.task("dropout", weight=3)
def test_the_gradient_takes_the_same_way_as_the_values(student, rng):
    """What was dropped gets no gradient, what was scaled gets a scaled one: keep the mask."""
    layer = student.Dropout(0.5, rng)
    out, cache = layer.forward(np.ones((6, 7)))
    dout = np.full((6, 7), 3.0)

    dx = layer.backward(dout, cache)

    expect.close(dx, 3 * out, "Dropout.backward")
    expect.unchanged(dout, np.full((6, 7), 3.0), "Dropout.backward: dout")


# ------------------------------------------------------------------------------------------------------------
# 5.4  Freeze, replace, and learn at two speeds
# ------------------------------------------------------------------------------------------------------------


@probe
def after_freezing(student):
    """Freeze a small model, and say what each part is allowed."""
    model = student.ShapeNet(4).train()
    returned = student.freeze_backbone(model)
    learning = sorted(name for name, parameter in model.named_parameters() if parameter.requires_grad)
    norms = [part.training for part in model.modules() if isinstance(part, nn.BatchNorm2d)]
    return learning, norms, model.training, returned is model


@pytest.mark.task("freezing", weight=4)
def test_only_the_head_goes_on_learning(student):
    """Parameters are one thing; batch norm's running statistics move without any gradient."""
    learning, norms, training, returned = after_freezing(student)

    expect.equal(learning, ["head.bias", "head.weight"], "freeze_backbone: parameters that require a gradient")
    expect.equal(norms, [False, False, False], "freeze_backbone: training of the three batch norms")
    expect.equal(training, True, "freeze_backbone: model.training")
    expect.equal(returned, True, "freeze_backbone: whether it returns the model")


@probe
def after_replacing(student):
    """Replace the heads of two models, one of them nested."""
    net = student.ShapeNet(7)
    student.replace_head(net, 3)
    vgg = nn.Sequential(
        collections.OrderedDict(
            features=nn.Flatten(), classifier=nn.Sequential(nn.Linear(12, 5), nn.ReLU(), nn.Linear(5, 9))
        )
    )
    student.replace_head(vgg, 4, "classifier.2")
    return tuple(net(torch.zeros(2, 3, 8, 8)).shape), tuple(vgg(torch.zeros(2, 3, 4)).shape)


@pytest.mark.task("freezing", weight=4)
def test_a_new_head_gives_other_classes(student):
    """How many features must the new layer read? Ask the old one."""
    with expect.works("a model after replace_head"):
        plain, nested = after_replacing(student)

    expect.equal(plain, (2, 3), "replace_head(ShapeNet(7), 3): shape of the scores")
    expect.equal(nested, (2, 4), 'replace_head(model, 4, "classifier.2"): shape of the scores')


@probe
def sorted_parameters(student):
    """How many numbers learn at which rate."""
    net = student.ShapeNet(7)
    groups = student.param_groups(net, 0.1, 0.001)
    torch.optim.SGD(groups)
    found = {}
    for group in groups:
        found[group["lr"]] = found.get(group["lr"], 0) + sum(p.numel() for p in group["params"])
    return found


@pytest.mark.task("freezing", weight=4)
def test_each_part_has_its_rate(student):
    """64 * 7 + 7 numbers of the head learn fast, the 23,696 of the backbone slowly."""
    with expect.works("an optimiser of the groups of param_groups"):
        numbers = sorted_parameters(student)

    expect.equal(numbers, {0.1: 455, 0.001: 23_696}, "param_groups: numbers at each rate")


# ------------------------------------------------------------------------------------------------------------
# 5.5  Transfer learning, compared
# ------------------------------------------------------------------------------------------------------------


def course_weights():
    """The weights that the course gives, as a state dict of PyTorch."""
    return {name: torch.from_numpy(array) for name, array in shapes7_weights().items()}


@probe
def networks_of_one_epoch(student, state, x, y):
    """Learn for one epoch in three ways; return the scores and the weights of each network."""
    nets = student.compare_transfer(state, x, y, epochs=1)
    images = torch.from_numpy(x)
    with torch.no_grad():
        return {
            way: (net(images), dict(net.state_dict()), [part.training for part in net.modules()])
            for way, net in nets.items()
        }


@pytest.fixture(scope="module")
def three_networks(student, seed):
    """One epoch on twelve images of the classes that the course's weights have never seen."""
    x, y = shapes10(40, (seed, 50))
    x, y = x[y >= 7], y[y >= 7] - 7
    return networks_of_one_epoch(student, course_weights(), x, y)


@pytest.mark.task("transfer", weight=4)
def test_there_are_three_networks_for_three_classes(three_networks):
    """The heads are new: the old classes are gone."""
    expect.equal(sorted(three_networks), ["fine_tune", "linear_probe", "scratch"], "compare_transfer: its keys")
    for way, (scores, _, training) in three_networks.items():
        expect.shape(scores, (12, 3), f"compare_transfer: scores of {way}")
        expect.equal(training, [False] * len(training), f"compare_transfer: training of {way} and its layers")


@pytest.mark.task("transfer", weight=6)
def test_a_linear_probe_leaves_the_backbone_as_it_was(three_networks):
    """Bit for bit, and that includes the running statistics of batch norm."""
    _, probed, _ = three_networks["linear_probe"]

    for name, want in course_weights().items():
        if name.startswith("backbone.") and not name.endswith("num_batches_tracked"):
            expect.equal(probed[name], want, f"compare_transfer: {name} of the linear probe")


@pytest.mark.task("transfer", weight=6)
def test_fine_tuning_starts_where_the_old_training_ended(three_networks):
    """After one epoch the first kernels are still nearly those that were given; from scratch they are not."""
    given = course_weights()["backbone.0.weight"]

    for way, low, high in (("fine_tune", 1e-6, 0.5), ("scratch", 0.5, 100.0)):
        kernels = three_networks[way][1]["backbone.0.weight"]
        expect.shape(kernels, (16, 3, 3, 3), f"compare_transfer: first kernels of {way}")
        distance = float((kernels - given).norm() / given.norm())
        expect.between(distance, low, high, f"compare_transfer: distance of {way} from the given kernels")


# ------------------------------------------------------------------------------------------------------------
# 5.6  Boxes
# ------------------------------------------------------------------------------------------------------------


@pytest.mark.task("boxes", weight=3)
def test_two_squares_that_share_a_corner_have_an_iou_of_one_seventh(student):
    """Two squares of area 4 share 1: the union is 7, not 8. Boxes apart share nothing."""
    a = np.array([[0.0, 0, 2, 2], [5, 5, 6, 6]])
    b = np.array([[1.0, 1, 3, 3], [0, 0, 2, 2], [4, 0, 6, 2]])
    before = a.copy(), b.copy()

    iou = student.box_iou(a, b)

    expect.close(iou, np.array([[1 / 7, 1, 0], [0, 0, 0]]), "box_iou")
    expect.unchanged(a, before[0], "box_iou: a")
    expect.unchanged(b, before[1], "box_iou: b")


@pytest.mark.task("boxes", weight=3)
def test_the_best_box_of_each_heap_stays(student):
    """Three boxes lie on one object and one on another: the best of each is kept, the best one first."""
    boxes = np.array([[0.0, 0, 10, 10], [20, 20, 30, 30], [1, 0, 11, 10], [0, 1, 10, 11]])

    scores = np.array([0.5, 0.7, 0.9, 0.6])
    before = boxes.copy(), scores.copy()

    kept = student.nms(boxes, scores, 0.5)

    expect.equal(kept, np.array([2, 1]), "nms")
    expect.unchanged(boxes, before[0], "nms: boxes")
    expect.unchanged(scores, before[1], "nms: scores")


@pytest.mark.task("boxes", weight=3)
def test_a_dog_does_not_suppress_its_rider(student):
    """Boxes of different classes may lie on each other."""
    boxes = np.array([[0.0, 0, 10, 10], [0, 0, 10, 9]])

    kept = student.nms(boxes, np.array([0.8, 0.9]), labels=np.array([0, 1]))

    expect.equal(kept, np.array([1, 0]), "nms with labels")


@pytest.mark.task("boxes", weight=3)
def test_a_box_is_described_from_its_anchor(student):
    """The centre moves in units of the anchor, and the size is a logarithm: twice as wide is log 2."""
    anchor, box = np.array([[0.0, 0, 4, 8]]), np.array([[1.0, 2, 9, 10]])
    offsets = np.array([[3 / 4, 2 / 8, np.log(2), 0]])
    before = anchor.copy(), box.copy(), offsets.copy()

    expect.close(student.encode(box, anchor), before[2], "encode")
    expect.close(student.decode(offsets, anchor), before[1], "decode")
    for now, old, name in zip((anchor, box, offsets), before, ("anchors", "boxes", "offsets"), strict=True):
        expect.unchanged(now, old, f"encode and decode: {name}")


@pytest.mark.task("boxes", weight=3)
def test_anchors_sit_on_the_centres_of_cells(student):
    """One row of two cells, 8 pixels each; ratio 4 is twice as high and half as wide, with the same area."""
    anchors = student.make_anchors((1, 2), 8, [4.0], [1.0, 4.0])

    want = [[2.0, 2, 6, 6], [3, 0, 5, 8], [10, 2, 14, 6], [11, 0, 13, 8]]
    expect.close(anchors, np.array(want), "make_anchors")


# ------------------------------------------------------------------------------------------------------------
# 5.7  Average precision and a tiny detector
# ------------------------------------------------------------------------------------------------------------


@pytest.mark.task("detector", weight=4)
def test_a_hit_a_false_alarm_and_a_late_hit(student):
    """Precision is 1 at recall 1/2 and 2/3 at recall 1: half of each is 5/6."""
    gts = np.array([[0.0, 0, 0, 10, 10], [1, 0, 0, 10, 10]])
    dets = np.array([[1.0, 0.3, 0, 0, 10, 10], [0, 0.9, 0, 0, 10, 10], [0, 0.6, 20, 20, 30, 30]])
    before = dets.copy(), gts.copy()

    expect.close(student.average_precision(dets, gts), 5 / 6, "average_precision")
    expect.unchanged(dets, before[0], "average_precision: dets")
    expect.unchanged(gts, before[1], "average_precision: gts")


@pytest.mark.task("detector", weight=4)
def test_what_nobody_found_counts_as_well(student):
    """One perfect detection, but four true boxes: recall ends at a quarter."""
    gts = np.array([[image, 0.0, 0, 10, 10] for image in range(4)])

    expect.close(student.average_precision(np.array([[2.0, 0.9, 0, 0, 10, 10]]), gts), 0.25, "average_precision")


@probe
def untrained_outputs(student, x):
    """Scores and boxes of two untrained detectors."""
    torch.manual_seed(0)
    with torch.no_grad():
        return [student.TinyDetector(classes).eval()(torch.from_numpy(x)) for classes in (10, 4)]


@pytest.mark.task("detector", weight=4)
def test_a_detector_says_what_and_where(student):
    """Scores for each class and one box for each image, which is a proper box even before training."""
    outputs = untrained_outputs(student, shapes10(5, 0)[0])

    for (scores, boxes), classes in zip(outputs, (10, 4), strict=True):
        expect.shape(scores, (5, classes), f"TinyDetector({classes}): scores")
        expect.shape(boxes, (5, 4), f"TinyDetector({classes}): boxes")
        expect.is_true(bool((boxes[:, :2] <= boxes[:, 2:]).all()), "TinyDetector: a box has x1 > x2 or y1 > y2.")


@probe
def a_short_training(student, x, y, boxes):
    """Train for two epochs and detect on the images themselves."""
    model = student.train_detector(x, y, boxes, epochs=2)
    training = [part.training for part in model.modules()]
    with torch.no_grad():
        raw = model.eval()(torch.from_numpy(x))[0]
    return student.detect(model, x), training, student.detect(model.train(), x), raw


@pytest.mark.task("detector", weight=4)
def test_detections_are_labels_probabilities_and_boxes(student):
    """Three arrays, one entry or row for each image; a model in training mode detects the same as in eval mode."""
    x, y, boxes = shapes10_boxes(30, 1)

    (labels, scores, found), training, in_training, raw = a_short_training(student, x, y, boxes)

    expect.shape(labels, (30,), "detect: labels")
    expect.dtype(labels, np.int64, "detect: labels")
    expect.shape(found, (30, 4), "detect: boxes")
    expect.shape(scores, (30,), "detect: probabilities")
    want = raw.softmax(dim=1).amax(dim=1).numpy()
    expect.close(scores, want, "detect: probabilities", rtol=1e-3, atol=1e-4)
    expect.equal(training, [False] * len(training), "train_detector: training of the model and its layers")
    expect.close(in_training[2], found, "detect: boxes of a model in training mode", rtol=1e-3, atol=1e-2)


# ------------------------------------------------------------------------------------------------------------
# 5.8  Grad-CAM
# ------------------------------------------------------------------------------------------------------------


@probe
def map_of_two_channels(student, image, class_idx):
    """A model whose maps are its two input channels, whose means a linear head weighs: [[1, 0], [2, -4]]."""
    model = nn.Sequential(nn.Identity(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2, bias=False))
    with torch.no_grad():
        model[3].weight.copy_(torch.tensor([[1.0, 0.0], [2.0, -4.0]]))
    return student.grad_cam(model, "0", torch.from_numpy(image), class_idx)


@pytest.mark.task("grad_cam", weight=4)
def test_behind_a_mean_the_weights_are_those_of_the_head(student):
    """The score is a mean of four places, so each has a slope of a quarter of the head's weight."""
    image = np.array([[[[4.0, 0], [8, 0]], [[0, 0], [1, 3]]]], dtype=np.float32)

    maps = map_of_two_channels(student, image, 1)

    want = torch.tensor([[[2.0, 0], [3, 0]]])  # (2 * A0 - 4 * A1) / 4, and nothing below zero
    expect.close(maps, want, "grad_cam", rtol=1e-5, atol=1e-6)


@pytest.mark.task("grad_cam", weight=4)
def test_another_class_has_another_map(student):
    """The first class reads only the first channel."""
    image = np.array([[[[4.0, 0], [8, 0]], [[0, 0], [1, 3]]]], dtype=np.float32)

    maps = map_of_two_channels(student, image, 0)

    expect.close(maps, torch.tensor([[[1.0, 0], [2, 0]]]), "grad_cam", rtol=1e-5, atol=1e-6)


@probe
def hooks_after_a_map(student, x):
    """Ask for maps of a network in training mode, and look at what is left on it."""
    net = student.ShapeNet(7).train()
    maps = student.grad_cam(net, "backbone.7", torch.from_numpy(x), 3)
    hooks = sum(len(part._forward_hooks) + len(part._backward_hooks) for part in net.modules())
    gradients = sum(parameter.grad is not None for parameter in net.parameters())
    return maps, hooks, gradients, [part.training for part in net.modules()]


@pytest.mark.task("grad_cam", weight=4)
def test_looking_leaves_no_traces(student):
    """Hooks, gradients and a changed mode would surprise the next user of the model."""
    maps, hooks, gradients, training = hooks_after_a_map(student, shapes10(4, 2)[0])

    expect.shape(maps, (4, 8, 8), "grad_cam: maps of images of 32x32 behind two poolings")
    expect.equal(hooks, 0, "grad_cam: hooks left on the model")
    expect.equal(gradients, 0, "grad_cam: parameters with a gradient")
    expect.equal(training, [True] * len(training), "grad_cam: training of the model and its layers afterwards")
