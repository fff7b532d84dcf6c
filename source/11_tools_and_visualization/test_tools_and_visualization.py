"""Public tests of the tools: small runs, images and figures, most of which can be followed by hand.

pytest test_tools_and_visualization.py -k tensorboard        only the tests with "tensorboard" in their names
"""

import os
import tempfile

import artists
import fake_wandb
import numpy as np
import pytest
import readers
import torch

from autograder import expect, probe
from dlcourse import vision

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # or its import asks the network for a newer version

# ------------------------------------------------------------------------------------------------------------
# TL1  TensorBoard
# ------------------------------------------------------------------------------------------------------------


@probe
def two_epochs(student):
    folder = tempfile.mkdtemp()
    with student.MetricLogger(folder) as logger:
        logger.scalars({"loss": 0.75, "accuracy": 0.5}, step=0, prefix="train")
        logger.scalars({"loss": torch.tensor(0.25), "accuracy": np.float32(0.875)}, step=1, prefix="train")
        logger.scalars({"lr": 0.125}, 1)
    return readers.read_events(folder)[0]


@pytest.mark.task("tensorboard", weight=4)
def test_tensorboard_has_the_scalars_of_two_epochs(student):
    """Numbers of two steps, under tags that begin with the prefix; without one a tag is the name alone."""
    scalars = two_epochs(student)

    want = {"train/loss": [(0, 0.75), (1, 0.25)], "train/accuracy": [(0, 0.5), (1, 0.875)], "lr": [(1, 0.125)]}
    expect.equal(scalars, want, "MetricLogger.scalars: tags, steps and values")


@probe
def a_resumed_run(student):
    folder = tempfile.mkdtemp()
    with student.MetricLogger(folder) as logger:
        for step in range(5):
            logger.scalars({"loss": 8.0 - step}, step)
    readers.in_order(folder, 1)
    with student.MetricLogger(folder, resume_step=3) as logger:
        for step in (3, 4, 5):
            logger.scalars({"loss": 0.5 * step}, step)
    readers.in_order(folder, 2)
    return readers.read_events(folder)[0]


@pytest.mark.task("tensorboard", weight=3)
def test_tensorboard_shows_a_resumed_run_once(student):
    """The first run stops after step 4, the second goes on at step 3: steps 3 and 4 are those of the second."""
    scalars = a_resumed_run(student)

    want = {"loss": [(0, 8.0), (1, 7.0), (2, 6.0), (3, 1.5), (4, 2.0), (5, 2.5)]}
    expect.equal(scalars, want, "MetricLogger(resume_step=3): the scalars of both runs")


@probe
def one_histogram(student):
    folder = tempfile.mkdtemp()
    model = torch.nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0, 3.0]]))
    with student.MetricLogger(folder) as logger:
        logger.histograms(model, 0)
        (2 * model.weight).sum().backward()
        logger.histograms(model, 7)
    return readers.read_events(folder)[1]


@pytest.mark.task("tensorboard", weight=2)
def test_tensorboard_has_histograms_of_a_layer(student):
    """A layer with the weights 1 and 3. It has a gradient only at the second step: 2 and 2."""
    histograms = one_histogram(student)

    expect.equal(set(histograms), {"weights/weight", "gradients/weight"}, "MetricLogger.histograms: tags")
    want = [(0, 2.0, 4.0, 1.0, 3.0, 10.0), (7, 2.0, 4.0, 1.0, 3.0, 10.0)]
    what = "step, count, sum, smallest, largest, sum of squares"
    expect.equal(histograms["weights/weight"], want, f"histogram of the weight ({what})")
    expect.equal(histograms["gradients/weight"], [(7, 2.0, 4.0, 2.0, 2.0, 8.0)], f"histogram of the gradient ({what})")


@probe
def two_pictures(student):
    folder = tempfile.mkdtemp()
    batch = torch.zeros(2, 1, 2, 3)
    batch[0, 0, 0, 0], batch[1, 0, 1, 2] = 1.0, 5.0
    with student.MetricLogger(folder) as logger:
        logger.images("digits", batch, 4)
    return readers.read_events(folder)[2]


@pytest.mark.task("tensorboard", weight=2)
def test_tensorboard_has_two_images_side_by_side(student):
    """Two images of 2 x 3 pixels: white is the first pixel of the first one, and the last pixel of the second one."""
    images = two_pictures(student)

    expect.equal(
        [(tag, [step for step, _ in of]) for tag, of in images.items()], [("digits", [4])], "images: tag, step"
    )
    want = np.zeros((2, 6, 3))
    want[0, 0] = want[1, 5] = 1
    expect.close(images["digits"][0][1], want, "MetricLogger.images: the picture", atol=0.01, dtype=np.float32)


@probe
def after_the_end(student):
    folder = tempfile.mkdtemp()
    logger = student.MetricLogger(folder)
    logger.scalars({"loss": 1.0}, 0)
    logger.close()
    logger.close()
    try:
        logger.scalars({"loss": 2.0}, 1)
    except RuntimeError:
        return True, readers.read_events(folder)[0]
    return False, readers.read_events(folder)[0]


@pytest.mark.task("tensorboard", weight=2)
def test_tensorboard_logger_is_closed_once_and_for_all(student):
    """close may be called twice; a number after it is a RuntimeError, and is not in the file."""
    is_refused, scalars = after_the_end(student)

    expect.is_true(is_refused, "MetricLogger: scalars after close raises no RuntimeError.")
    expect.equal(scalars, {"loss": [(0, 1.0)]}, "MetricLogger: scalars after close")


@probe
def read_again(student):
    from torch.utils.tensorboard import SummaryWriter

    folder = tempfile.mkdtemp()
    with SummaryWriter(folder) as writer:
        for step in range(4):
            writer.add_scalar("a/b", step / 2, step)
        writer.add_scalar("c", 7, 0)
    return student.read_scalars(folder)


@pytest.mark.task("tensorboard", weight=2)
def test_tensorboard_scalars_are_read(student):
    """Five numbers that SummaryWriter wrote."""
    scalars = read_again(student)

    want = {"a/b": [(0, 0.0), (1, 0.5), (2, 1.0), (3, 1.5)], "c": [(0, 7.0)]}
    expect.equal({tag: [tuple(pair) for pair in of] for tag, of in scalars.items()}, want, "read_scalars")


# ------------------------------------------------------------------------------------------------------------
# TL2  Weights & Biases
# ------------------------------------------------------------------------------------------------------------


@probe
def a_short_run(student):
    client = fake_wandb.Client()
    folder = os.path.join(tempfile.mkdtemp(), "new")
    with student.WandbRun("digits", {"lr": 0.5, "width": 8}, name="first", directory=folder, client=client) as run:
        run.log({"loss": 0.75}, step=0)
        run.log({"loss": torch.tensor(0.5), "accuracy": np.float32(0.25)}, step=2)
        run.log({"loss": 0.25})
    (kept,) = client.runs
    return (
        (kept.project, kept.name, kept.mode, kept.had_folder, str(kept.dir) == folder),
        dict(kept.config),
        kept.history,
        kept.exit_codes,
    )


@pytest.mark.task("wandb", weight=4)
def test_wandb_gets_a_whole_run(student):
    """Project, name, offline mode, a folder that is there; the config; three rows, the last without a step; the end."""
    start, config, history, exit_codes = a_short_run(student)

    expect.equal(start, ("digits", "first", "offline", True, True), "init: project, name, mode, folder exists, folder")
    expect.equal(config, {"lr": 0.5, "width": 8}, "the config of the run")
    want = {0: {"loss": 0.75}, 2: {"loss": 0.5, "accuracy": 0.25}, 3: {"loss": 0.25}}
    expect.equal(history, want, "the rows of the run, by their steps")
    expect.equal(exit_codes, [0], "finish: exit codes")


@probe
def a_run_that_fails(student):
    client = fake_wandb.Client()
    seen = ""
    try:
        with student.WandbRun("digits", directory=tempfile.mkdtemp(), client=client) as run:
            run.log({"loss": 1.0})
            raise OverflowError("the loss is infinite")
    except OverflowError as error:
        seen = str(error)
    run.finish()
    return seen, client.runs[0].exit_codes


@pytest.mark.task("wandb", weight=2)
def test_wandb_is_told_that_a_run_failed(student):
    """A run that ends by an exception is finished once, with exit code 1, and the exception goes on."""
    seen, exit_codes = a_run_that_fails(student)

    expect.equal(seen, "the loss is infinite", "WandbRun: the exception that comes out of the with block")
    expect.equal(exit_codes, [1], "finish: exit codes after an exception, and after one more call of finish")


@probe
def best_of_four(student):
    client = fake_wandb.Client()
    best = {"accuracy": "max", "loss": "min"}
    with student.WandbRun("digits", best=best, directory=tempfile.mkdtemp(), client=client) as run:
        for accuracy, loss in ((0.5, 2.0), (0.75, 1.0), (0.75, 0.5), (0.25, 4.0)):
            run.log({"accuracy": accuracy, "loss": loss})
    summary = client.runs[0].summary
    return {name: summary[name] for name in summary if name.startswith("best_")}


@pytest.mark.task("wandb", weight=2)
def test_wandb_has_the_best_and_not_the_last(student):
    """The accuracy is best at steps 1 and 2, of which the first counts. The loss is best at step 2."""
    summary = best_of_four(student)

    want = {"best_accuracy": 0.75, "best_accuracy_step": 1, "best_loss": 0.5, "best_loss_step": 2}
    expect.equal(summary, want, "the summary of the run: best values")


@probe
def steps_that_go_back(student):
    client = fake_wandb.Client()
    run = student.WandbRun("digits", directory=tempfile.mkdtemp(), client=client)
    run.log({"loss": 1.0}, step=5)
    try:
        run.log({"loss": 2.0}, step=4)
    except ValueError:
        refused = True
    else:
        refused = False
    run.log({"accuracy": 3.0}, step=5)
    run.finish()
    return refused, client.runs[0].history


@pytest.mark.task("wandb", weight=2)
def test_wandb_steps_do_not_go_back(student):
    """Step 4 after step 5 is a ValueError, because W&B would drop the row. Step 5 again is allowed."""
    refused, history = steps_that_go_back(student)

    expect.is_true(refused, "WandbRun.log: a step that is lower than the last one raises no ValueError.")
    expect.equal(history, {5: {"loss": 1.0, "accuracy": 3.0}}, "the rows of the run, by their steps")


# ------------------------------------------------------------------------------------------------------------
# TL3  albumentations
# ------------------------------------------------------------------------------------------------------------


@probe
def validated(student, image, mask, boxes, labels):
    out = student.val_tf(4, boxes=True)(image=image, mask=mask, bboxes=boxes, labels=labels)
    return (
        out["image"],
        out["mask"],
        [[float(x) for x in box] for box in out["bboxes"]],
        [int(x) for x in out["labels"]],
    )


@pytest.mark.task("albumentations", weight=5)
def test_albumentations_validation_takes_the_middle(student):
    """An image of 8 x 12 becomes 4 x 6, and of its six columns the middle four are kept. A box at the left is gone."""
    image = np.zeros((8, 12, 3), dtype=np.uint8)
    image[:, 6:] = 255
    mask = np.zeros((8, 12), dtype=np.uint8)
    mask[:, 6:] = 9
    boxes = [[6.0, 0.0, 12.0, 8.0], [0.0, 0.0, 2.0, 4.0]]

    out, classes, kept, labels = validated(student, image, mask, boxes, [3, 5])

    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    want = np.zeros((4, 4, 3))
    want[:, 2:] = 1
    expect.close(out, (want - mean) / std, "val_tf(4): image", rtol=1e-4, atol=1e-4, dtype=np.float32)
    expect.equal(classes, np.tile(np.array([0, 0, 9, 9], dtype=np.uint8), (4, 1)), "val_tf(4): mask")
    expect.equal(labels, [3], "val_tf(4): labels that are left")
    expect.close(np.array(kept), np.array([[2.0, 0.0, 4.0, 4.0]]), "val_tf(4): boxes that are left", atol=1e-3)


@probe
def trained_on(student, image, mask, seed, times):
    pipeline = student.train_tf(16, seed)
    found = [pipeline(image=image, mask=mask) for _ in range(times)]
    return np.stack([one["image"] for one in found]), np.stack([one["mask"] for one in found])


@pytest.mark.task("albumentations", weight=6)
def test_albumentations_training_is_random_and_repeatable(student, seed):
    """Six calls give six different images, and a second pipeline with the same seed gives the same six."""
    rng = np.random.default_rng(0)
    image, mask = rng.integers(0, 256, (40, 30, 3), dtype=np.uint8), rng.integers(0, 3, (40, 30), dtype=np.uint8)

    images, masks = trained_on(student, image, mask, seed % 1000, 6)
    again, _ = trained_on(student, image, mask, seed % 1000, 6)
    other, _ = trained_on(student, image, mask, seed % 1000 + 1, 6)

    expect.shape(images, (6, 16, 16, 3), "train_tf(16): six images")
    expect.dtype(images, np.float32, "train_tf(16): images")
    expect.shape(masks, (6, 16, 16), "train_tf(16): six masks")
    expect.equal(again, images, "train_tf: images of a second pipeline with the same seed")
    expect.is_true(not np.array_equal(other, images), "train_tf: another seed gives the same images.")
    expect.is_true(len({one.tobytes() for one in images}) == 6, "train_tf: two calls give the same image.")


@pytest.mark.task("albumentations", weight=2)
def test_albumentations_mask_moves_in_step(student, seed):
    """The mask says where the image is bright: after six calls, it still does."""
    image = np.full((32, 32, 3), 20, dtype=np.uint8)
    image[4:20, 10:24] = 235
    mask = (image[:, :, 0] > 100).astype(np.uint8) * 2

    images, masks = trained_on(student, image, mask, seed % 1000, 6)

    expect.shape(images, (6, 16, 16, 3), "train_tf(16): six images")
    bright = images.mean(axis=3) > 0
    expect.is_true(set(np.unique(masks)) <= {0, 2}, "train_tf: the mask has numbers that it did not have before.")
    expect.at_least(float((bright == (masks == 2)).mean()), 0.9, "train_tf: share of pixels that agree with the mask")


# ------------------------------------------------------------------------------------------------------------
# TL4  timm
# ------------------------------------------------------------------------------------------------------------


@probe
def a_network(student, images):
    vision.import_torchvision()
    torch.manual_seed(0)
    model = student.create_model("test_resnet", 7, in_chans=2)
    takes = next(p.shape[1] for p in model.parameters())
    return tuple(model(images).shape) if takes == images.shape[1] else None, takes, model.training


@pytest.mark.task("timm", weight=3)
def test_timm_network_for_two_channels(student):
    """A small residual network for images with two channels, and seven classes."""
    shape, takes, training = a_network(student, torch.zeros(3, 2, 64, 64))

    expect.equal(takes, 2, "create_model: channels that the first layer takes")
    expect.equal(shape, (3, 7), "create_model: shape of the output")
    expect.equal(training, True, "create_model: training mode")


@probe
def features_of_a_network(student, images):
    vision.import_torchvision()
    import timm

    torch.manual_seed(0)
    model = timm.create_model("test_resnet", num_classes=7)
    maps, vector = student.extract_features(model, images, [4, 0, 2])
    with torch.no_grad():
        logits = model.eval()(images)
        again = model.get_classifier()(vector) if vector.shape == (len(images), model.num_features) else None
    return [tuple(of.shape) for of in maps], vector, logits, again


@pytest.mark.task("timm", weight=4)
def test_timm_features_at_three_depths(student):
    """Maps become smaller with depth: 1/2, 1/8 and 1/32 of the image. The head turns the vector into the logits."""
    shapes, vector, logits, again = features_of_a_network(student, torch.rand(2, 3, 64, 96))

    want = [(2, 96, 2, 3), (2, 32, 32, 48), (2, 48, 8, 12)]
    expect.equal(shapes, want, "extract_features(depths=[4, 0, 2]): shapes of the maps")
    expect.shape(vector, (2, 96), "extract_features: vector")
    expect.close(again, logits, "extract_features: the head's last layer, applied to the vector", rtol=1e-4, atol=1e-5)


@probe
def a_new_head(student):
    vision.import_torchvision()
    import timm

    torch.manual_seed(0)
    model = timm.create_model("test_resnet", num_classes=7)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    found = student.swap_head(model, 3, freeze=True)
    changed = [name for name, p in model.named_parameters() if name in before and not torch.equal(p, before[name])]
    trained = [name for name, p in model.named_parameters() if p.requires_grad]
    return found is model, sorted(name for name in changed if not name.startswith("fc.")), trained, model.num_classes


@pytest.mark.task("timm", weight=3)
def test_timm_head_is_swapped_and_the_rest_frozen(student):
    """Of this network, the last layer has the name fc. With freeze=True nothing else is trained."""
    is_same, changed, trained, num_classes = a_new_head(student)

    expect.equal(is_same, True, "swap_head: it returns the same model")
    expect.equal(changed, [], "swap_head: other parameters that changed")
    expect.equal(sorted(trained), ["fc.bias", "fc.weight"], "swap_head(freeze=True): parameters that need gradients")
    expect.equal(num_classes, 3, "swap_head(model, 3): model.num_classes")


# ------------------------------------------------------------------------------------------------------------
# TL5  Matplotlib and Seaborn
# ------------------------------------------------------------------------------------------------------------


@probe
def read_curves(student, history, options):
    return artists.curves(student.plot_curves(history, **options))


@pytest.mark.task("figures", weight=4)
def test_figures_of_two_curves(student):
    """Two lines, the second one shorter. Epochs are counted from 1."""
    found = read_curves(student, {"train": [4.0, 2.0, 1.0], "validation": [5.0, 3.0]}, {"ylabel": "error"})

    expect.is_true(found is not None, "plot_curves: it returns no Figure with axes.")
    expect.equal(set(found["lines"]), {"train", "validation"}, "plot_curves: labels of the lines")
    for name, values in (("train", [4.0, 2.0, 1.0]), ("validation", [5.0, 3.0])):
        x, y = found["lines"][name]
        expect.close(y, np.array(values), f"plot_curves: values of {name}")
        expect.close(x, np.arange(1.0, 1 + len(values)), f"plot_curves: epochs of {name}")
    expect.equal(found["labels"], ("epoch", "error"), "plot_curves: labels of the axes")
    expect.equal(set(found["legend"]), {"train", "validation"}, "plot_curves: the legend")


@probe
def read_confusion(student, matrix, classes, options):
    return artists.cells(student.plot_confusion(matrix, classes, **options))


@pytest.mark.task("figures", weight=4)
def test_figures_of_a_confusion_matrix(student):
    """Three cats were taken for dogs: the 3 is in the row of the cats and in the column of the dogs."""
    found = read_confusion(student, np.array([[7, 3], [0, 12]]), ["cat", "dog"], {})

    expect.is_true(found is not None, "plot_confusion: it returns no Figure with axes.")
    expect.equal(found["texts"], ["7", "3", "0", "12"], "plot_confusion: texts, row by row")
    expect.close(found["values"], np.array([7.0, 3.0, 0.0, 12.0]), "plot_confusion: numbers of the colours, row by row")
    expect.equal(found["rows"], ["cat", "dog"], "plot_confusion: ticks from top to bottom")
    expect.equal(found["columns"], ["cat", "dog"], "plot_confusion: ticks from left to right")
    expect.equal(found["labels"], ("predicted", "true"), "plot_confusion: labels of the x axis and the y axis")


@probe
def read_maps(student, maps, columns):
    return artists.pictures(student.plot_feature_maps(maps, columns))


@pytest.mark.task("figures", weight=3)
def test_figures_of_three_feature_maps(student):
    """Three channels in rows of two. The colours go from 0 to 11 in all of them."""
    maps = np.arange(12.0).reshape(3, 2, 2)

    found = read_maps(student, maps, 2)

    expect.is_true(found is not None, "plot_feature_maps: it returns no Figure with axes.")
    expect.equal(found["titles"], ["0", "1", "2"], "plot_feature_maps: titles")
    for got, want in zip(found["arrays"], maps, strict=True):
        expect.close(got, want, "plot_feature_maps: an image")
    expect.equal(found["limits"], [(0.0, 11.0)] * 3, "plot_feature_maps: limits of colour")
    expect.equal((found["in order"], found["in the first row"]), (True, 2), "plot_feature_maps: row by row, first row")
    expect.equal((found["ticks"], found["left over"]), (0, 0), "plot_feature_maps: ticks, axes left over")


@probe
def read_layers(student, image, cam):
    return artists.layers(student.overlay_cam(image, cam, 0.25))


@pytest.mark.task("figures", weight=3)
def test_figures_of_a_map_over_an_image(student):
    """A map of 1 x 2 numbers over an image of 2 x 4 pixels: it grows from 0 at the left to 1 at the right."""
    image = np.zeros((2, 4, 3))

    found = read_layers(student, image, np.array([[2.0, 6.0]]))

    expect.is_true(found is not None and len(found["arrays"]) == 2, "overlay_cam: there are not two pictures.")
    expect.close(found["arrays"][0], image, "overlay_cam: the first picture")
    expect.close(
        found["arrays"][1], np.tile([0.0, 0.25, 0.75, 1.0], (2, 1)), "overlay_cam: the second picture", atol=1e-5
    )
    expect.equal(found["alphas"][1], 0.25, "overlay_cam(alpha=0.25): alpha of the map")


@probe
def traces(student, history):
    return artists.left_behind(lambda: student.plot_curves(history))


@pytest.mark.task("figures", weight=2)
def test_figures_leave_no_trace(student):
    """Two figures are open before. plot_curves returns its own, and nothing else changes in pyplot."""
    found = traces(student, {"train": [2.0, 1.0]})

    expect.is_true(not found, f"plot_curves: {' and '.join(found)}.")
