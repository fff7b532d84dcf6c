"""Public tests of the projects: small series and tables, most of which fit on paper.

pytest test_deep_learning_projects.py -k windows        only the tests with "windows" in their names
"""

import os
import tempfile

import drawn
import numpy as np
import pytest
import stops
import torch
from torch import nn

from autograder import expect, probe

# ------------------------------------------------------------------------------------------------------------
# P5.1  Windows, and three baselines
# ------------------------------------------------------------------------------------------------------------


@pytest.mark.task("windows", weight=2)
def test_five_values_give_two_windows(student):
    """Windows of two values and two steps: (1, 2) is followed by (4, 8), and (2, 4) by (8, 16)."""
    series = np.array([1.0, 2.0, 4.0, 8.0, 16.0])
    before = series.copy()

    X, Y = student.make_windows(series, 2, 2)

    expect.close(X, np.array([[1.0, 2.0], [2.0, 4.0]]), "make_windows: X")
    expect.close(Y, np.array([[4.0, 8.0], [8.0, 16.0]]), "make_windows: Y")
    expect.unchanged(series, before, "make_windows: series")


@pytest.mark.task("windows", weight=2)
def test_ten_values_are_cut_in_time(student):
    """Ten years: five to learn from, two to choose with, three to judge with. A context reaches back."""
    series = np.arange(2000.0, 2010.0)

    train, val, test = student.time_split(series, 2, 3)
    with_past = student.time_split(series, 2, 3, context=1)

    expect.close(train, np.arange(2000.0, 2005.0), "time_split: train")
    expect.close(val, np.arange(2005.0, 2007.0), "time_split: val")
    expect.close(test, np.arange(2007.0, 2010.0), "time_split: test")
    expect.equal(len(with_past), 3, "time_split(context=1): number of parts")
    expect.close(with_past[0], train, "time_split(context=1): train", hint="the context changes nothing here")
    expect.close(with_past[1], np.arange(2004.0, 2007.0), "time_split(context=1): val")
    expect.close(with_past[2], np.arange(2006.0, 2010.0), "time_split(context=1): test")


@pytest.mark.task("windows", weight=2)
def test_the_last_season_comes_again(student):
    """After 1, 2, 3, 4, 5 with a season of three, 3, 4, 5 comes again; with a season of one, 5 comes for ever."""
    history = np.array([[1.0, 2.0, 3.0, 4.0, 5.0], [9.0, 8.0, 7.0, 6.0, 5.0]])

    seasons, last = student.seasonal_naive(history, 4, 3), student.seasonal_naive(history, 2)

    want = np.array([[3.0, 4.0, 5.0, 3.0], [7.0, 6.0, 5.0, 7.0]])
    expect.close(seasons, want, "seasonal_naive(steps=4, season=3)")
    expect.close(last, np.full((2, 2), 5.0), "seasonal_naive(steps=2)")


@pytest.mark.task("windows", weight=3)
def test_a_line_is_found_and_goes_on(student):
    """In training each value is twice the one before, minus one. The second forecast goes on from the first one."""
    train = np.array([2.0, 3.0, 5.0, 9.0, 17.0])
    history = np.array([[7.0, 4.0], [1.0, 1.0], [0.0, -2.0]])
    kept = train.copy(), history.copy()

    values = student.linear_ar(train, history, 3, 1)

    # 4 -> 7 -> 13 -> 25, 1 -> 1 -> 1 -> 1, -2 -> -5 -> -11 -> -23
    want = np.array([[7.0, 13.0, 25.0], [1.0, 1.0, 1.0], [-5.0, -11.0, -23.0]])
    expect.close(values, want, "linear_ar(steps=3, order=1)", rtol=1e-6, atol=1e-6)
    expect.unchanged(train, kept[0], "linear_ar: train")
    expect.unchanged(history, kept[1], "linear_ar: history")


# ------------------------------------------------------------------------------------------------------------
# P5.2  A network that forecasts
# ------------------------------------------------------------------------------------------------------------


@probe
def scaled_and_not(student, x):
    """What a new Forecaster says, and what it says with another mean and std."""
    torch.manual_seed(0)
    model = student.Forecaster(5, 3)
    start = float(model.mean), float(model.std)
    with torch.no_grad():
        plain = model(x)
        model.mean.fill_(10.0)
        model.std.fill_(2.0)
        return start, plain, model(10 + 2 * x), (model.window, model.steps)


@pytest.mark.task("forecasting", weight=4)
def test_a_forecaster_scales_inside(student, rng):
    """With a mean of 10 and a std of 2, values that are twice as large and 10 higher give such forecasts."""
    x = torch.from_numpy(rng.normal(size=(4, 5)).astype(np.float32))

    start, plain, scaled, sizes = scaled_and_not(student, x)

    expect.equal(sizes, (5, 3), "Forecaster: window and steps")
    expect.close(list(start), [0.0, 1.0], "Forecaster: mean and std of a new one", lists=True)
    expect.shape(plain, (4, 3), "Forecaster")
    expect.close(scaled, 10 + 2 * plain, "Forecaster with a mean of 10 and a std of 2", rtol=1e-4, atol=1e-4)


@probe
def a_small_training(student, train, val, epochs):
    torch.manual_seed(1)
    model = student.Forecaster(4, 2)
    errors = student.fit(model, train, val, epochs=epochs)
    X, Y = torch.tensor(val).unfold(0, 6, 1).float().split([4, 2], dim=1)
    with torch.no_grad():
        reached = float((model(X) - Y).abs().mean())
    return [float(error) for error in errors], reached, (float(model.mean), float(model.std)), model.training


@pytest.mark.task("forecasting", weight=5)
def test_a_training_keeps_its_best_epoch(student):
    """One error for each epoch. Train goes up and down, and val does not, so an early one is the best."""
    train, val = 15 + 5.0 * (-1) ** np.arange(100), 15 + 5.0 * (-1) ** (np.arange(50) // 5)

    errors, reached, (mean, std), training = a_small_training(student, train, val, 8)

    expect.equal(len(errors), 8, "fit(epochs=8): number of errors")
    expect.close(mean, float(train.mean()), "fit: model.mean", rtol=1e-5, hint="the mean of train")
    expect.close(std, float(train.std()), "fit: model.std", rtol=1e-5, hint="the standard deviation of train")
    expect.close(reached, min(errors), "fit: mean absolute error on val afterwards", rtol=1e-3)
    expect.equal(training, False, "fit: model.training afterwards")


@probe
def sums_as_forecasts(student, history, steps):
    class Sums(nn.Module):
        """Of a window (a, b) it says a + b, a - b."""

        window, steps = 2, 2

        def forward(self, x):
            a, b = x.unbind(dim=1)
            return torch.stack([a + b, a - b], dim=1)

    return [student.forecast(Sums(), history, count) for count in steps]


@pytest.mark.task("forecasting", weight=4)
def test_two_steps_at_a_time(student):
    """After (3, 1) this model says (4, 2), and after (4, 2) it says (6, 2): for three steps it is asked twice."""
    history = np.array([[9.0, 3.0, 1.0]])

    one, three = sums_as_forecasts(student, history, [1, 3])

    expect.close(one, np.array([[4.0]]), "forecast(steps=1)", rtol=1e-6)
    expect.close(three, np.array([[4.0, 2.0, 6.0]]), "forecast(steps=3)", rtol=1e-6)


# ------------------------------------------------------------------------------------------------------------
# P5.3  How wrong will it be?
# ------------------------------------------------------------------------------------------------------------


@probe
def interval_around_the_last_value(student, calibration, history, level):
    class Last(nn.Module):
        window, steps = 1, 1

        def forward(self, x):
            return x[:, -1:]

    return student.prediction_interval(Last(), calibration, history, level)


@pytest.mark.task("intervals", weight=4)
def test_past_errors_make_the_width(student):
    """Today's value for tomorrow was wrong by 1, 2, 5, 3 and 4. At a level of one half k is 3: the third smallest."""
    calibration = np.array([0.0, 1.0, -1.0, 4.0, 1.0, 5.0])
    history = np.array([[2.0, 10.0], [5.0, -1.0]])
    before = calibration.copy()

    lower, upper = interval_around_the_last_value(student, calibration, history, 0.5)

    expect.close(lower, np.array([[7.0], [-4.0]]), "prediction_interval: lower", rtol=1e-6)
    expect.close(upper, np.array([[13.0], [2.0]]), "prediction_interval: upper", rtol=1e-6)
    expect.unchanged(calibration, before, "prediction_interval: calibration")


@pytest.mark.task("intervals", weight=2)
def test_ends_are_inside(student):
    """Of the intervals from 0 to 1, those with 0.5 and 1 hold, and the one with 1.5 does not."""
    lower, upper = np.zeros((3, 2)), np.ones((3, 2))
    actual = np.array([[0.5, -1.0], [1.0, 2.0], [1.5, 0.0]])

    expect.close(student.coverage(lower, upper, actual), np.array([2 / 3, 1 / 3]), "coverage")


# ------------------------------------------------------------------------------------------------------------
# P5.4  Check what comes in
# ------------------------------------------------------------------------------------------------------------


@probe
def said_of_configs(student, changes):
    """For each change of a good config: the sentences of its Faults, or None."""
    folder = tempfile.mkdtemp()
    data = os.path.join(folder, "rows.csv")
    with open(data, "w") as file:
        file.write("a,target\n1,x\n")
    said = []
    for change in changes:
        values = {"data": data, "out": os.path.join(folder, "out"), **change}
        try:
            student.validate(student.Config(**values))
        except student.Faults as faults:
            said.append(list(faults.sentences))
        else:
            said.append(None)
    return said


@pytest.mark.task("checks", weight=3)
def test_two_faults_of_a_config_are_two_sentences(student):
    """A config with two faulty fields is refused once, with a sentence for each of them that shows the value."""
    good, both = said_of_configs(student, [{}, {"epochs": 0, "lr": -0.5}])

    expect.equal(good, None, "validate of a good config: what it raises")
    expect.is_true(both is not None, "validate: a config with faults passes.")
    expect.equal([line.split(":")[0] for line in both], ["epochs", "lr"], "validate: names before the colons")
    expect.is_true("-0.5" in both[1], "validate: the sentence about lr does not show its value.")


@probe
def read_tables(student, texts, options):
    """For each text of a CSV file: the Table as plain values, or the sentences of its Faults."""
    folder = tempfile.mkdtemp()
    found = []
    for number, text in enumerate(texts):
        path = os.path.join(folder, f"{number}.csv")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        try:
            table = student.load_table(path, **options)
        except student.Faults as faults:
            found.append(list(faults.sentences))
        else:
            found.append((tuple(table.features), tuple(table.classes), table.x, table.y))
    return found


@pytest.mark.task("checks", weight=2)
def test_a_file_becomes_numbers(student):
    """Features are numbers, and a label becomes its place among the sorted labels."""
    (table,) = read_tables(student, ["wide,target,high\n1,pear,2.5\n3, apple ,-4\n1e2,pear,0\n"], {})

    expect.is_true(type(table) is tuple, "load_table: a good file is refused.")
    features, classes, x, y = table
    expect.equal(features, ("wide", "high"), "load_table: features")
    expect.equal(classes, ("apple", "pear"), "load_table: classes")
    expect.close(x, np.array([[1.0, 2.5], [3.0, -4.0], [100.0, 0.0]]), "load_table: x")
    expect.equal(y, np.array([1, 0, 1]), "load_table: y")


@pytest.mark.task("checks", weight=3)
def test_all_faults_of_a_file_are_told_at_once(student):
    """This file has four faulty lines: a text, an empty cell, a row that comes twice, and a row that is too short."""
    text = "wide,high,target\n1,2,a\n1,two,b\n3,,b\n1,2,a\n5,b\n"

    (said,) = read_tables(student, [text], {})

    expect.is_true(type(said) is list, "load_table: a file with faults is not refused.")
    want = ["line 3, column high", "line 4, column high", "line 5", "line 6"]
    expect.equal(sorted(line.split(":")[0] for line in said), want, "load_table: places before the colons")
    about = {line.split(":")[0]: line for line in said}
    expect.is_true("two" in about["line 3, column high"], "load_table: a sentence does not show the faulty cell.")
    expect.is_true("line 2" in about["line 5"], "load_table: a sentence does not say where the row came first.")


# ------------------------------------------------------------------------------------------------------------
# P5.5  The pipeline
# ------------------------------------------------------------------------------------------------------------


@probe
def a_small_run(student, x, labels, options):
    """Run a small config; return its Report and files as plain values, and what `predict` says of all rows."""
    import json
    from dataclasses import asdict

    folder = tempfile.mkdtemp()
    data, out = os.path.join(folder, "rows.csv"), os.path.join(folder, "runs", "first")
    drawn.write_table(data, x, labels)
    with stops.watched(out, draw=False, holdout=student.Holdout) as notes:
        report = student.run_pipeline(student.Config(data, out, target="target", **options))
    found = {"files": sorted(name.replace(os.sep, "/") for name in stops.files_in(out)), "reads": len(notes.reads)}
    for name in ("split", "statistics", "history", "metrics"):
        if f"{name}.json" in found["files"]:
            with open(os.path.join(out, f"{name}.json")) as file:
                found[name] = json.load(file)
    return asdict(report), found, student.predict(out, x)


@pytest.fixture(scope="module")
def small(student):
    x, labels = drawn.table(60, 1)
    options = {"epochs": 3, "hidden": 8, "seed": 4}
    return *a_small_run(student, x, labels, options), x, np.unique(labels, return_inverse=True)[1]


@pytest.mark.task("pipeline", weight=5)
def test_a_run_leaves_its_files(small):
    """All files of STEPS are there. Of 60 rows 12 are for validation, 12 for the test, and none is in two parts."""
    report, found, *_ = small

    wanted = ["split.json", "statistics.json", "model.pt", "history.json", "metrics.json", "card.md"]
    wanted += ["figures/learning_curve.png", "figures/confusion.png"]
    missing = [name for name in wanted if name not in found["files"]]
    expect.equal(missing, [], "run_pipeline: files that are missing in out")
    split = found["split"]
    expect.equal([len(split[name]) for name in ("train", "val", "test")], [36, 12, 12], "split.json: rows of the parts")
    expect.equal(
        sorted(split["train"] + split["val"] + split["test"]), list(range(60)), "split.json: all row numbers, sorted"
    )
    expect.equal(list(report["rows"]), [36, 12, 12], "Report.rows")
    expect.equal(len(found["history"]["train_loss"]), report["epochs"], "history.json: number of training losses")


@pytest.mark.task("pipeline", weight=5)
def test_the_statistics_are_those_of_training_rows(small):
    """Mean and standard deviation come from the rows that split.json names for training."""
    _, found, _, x, _ = small

    expect.is_true(
        "statistics" in found and "split" in found, "run_pipeline: split.json or statistics.json is missing."
    )
    train = x[found["split"]["train"]]
    hint = "of the training rows alone"
    expect.close(found["statistics"]["mean"], train.mean(axis=0), "statistics.json: mean", lists=True, hint=hint)
    expect.close(found["statistics"]["std"], train.std(axis=0), "statistics.json: std", lists=True, hint=hint)


@pytest.mark.task("pipeline", weight=6)
def test_the_report_says_what_the_model_does(small):
    """The accuracy and the confusion are those of the test rows, which are read once; metrics.json says the same."""
    report, found, said, _, y = small

    expect.shape(said, (60, 3), "predict")
    expect.is_true("split" in found and "metrics" in found, "run_pipeline: split.json or metrics.json is missing.")
    rows = found["split"]["test"]
    guessed = said[rows].argmax(axis=1)
    confusion = np.zeros((3, 3), dtype=int)
    np.add.at(confusion, (y[rows], guessed), 1)
    expect.close(report["test_accuracy"], float((guessed == y[rows]).mean()), "Report.test_accuracy")
    expect.equal([list(row) for row in report["confusion"]], confusion.tolist(), "Report.confusion")
    expect.equal(found["reads"], 1, "run_pipeline: reads of the Holdout")
    expect.close(found["metrics"].get("test_accuracy"), report["test_accuracy"], "metrics.json: test_accuracy")


# ------------------------------------------------------------------------------------------------------------
# P5.6  Go on where it stopped
# ------------------------------------------------------------------------------------------------------------


@probe
def stopped_and_resumed(student, x, labels, options):
    """Run without a stop; then with a stop in a batch, again, and a third time. Note what each run does."""
    from dataclasses import asdict

    folder = tempfile.mkdtemp()
    data = os.path.join(folder, "rows.csv")
    drawn.write_table(data, x, labels)
    found = []
    for name, batch in (("a", None), ("b", 7), ("b", None), ("b", None)):
        config = student.Config(data, os.path.join(folder, name), target="target", **options)
        report = None
        with stops.watched(config.out, batch=batch, draw=False, holdout=student.Holdout) as notes:
            report = asdict(student.run_pipeline(config))
        found.append((report, notes.batches, tuple(student.steps_done(config)), notes.writes, len(notes.reads)))
    return found


@pytest.fixture(scope="module")
def resumed(student):
    x, labels = drawn.table(40, 2)
    # 24 training rows are three batches in each of four epochs
    return stopped_and_resumed(student, x, labels, {"epochs": 4, "hidden": 8, "batch_size": 8, "patience": 9})


@pytest.mark.task("resume", weight=7)
def test_a_stopped_run_goes_on(resumed):
    """Three batches an epoch, and the power fails in the third epoch: two epochs are kept, six batches are left."""
    whole, stopped, later, _ = resumed

    expect.equal(
        [whole[1], stopped[1], later[1]], [12, 7, 6], "run_pipeline: batches without a stop, before and after it"
    )
    expect.equal(stopped[2], ("split", "prepare"), "steps_done after a stop in the training")
    expect.equal(later[2], ("split", "prepare", "train", "evaluate", "present"), "steps_done after the end")
    expect.equal(later[0], whole[0], "run_pipeline: Report after a stop")


@pytest.mark.task("resume", weight=7)
def test_a_complete_run_does_nothing_again(resumed):
    """A run of a complete folder trains nothing, writes nothing, leaves the test rows alone, and says the same."""
    whole, _, _, again = resumed

    expect.equal(again[1], 0, "run_pipeline of a complete folder: batches")
    expect.equal(again[3], [], "run_pipeline of a complete folder: files that it writes")
    expect.equal(again[4], 0, "run_pipeline of a complete folder: reads of the Holdout")
    expect.equal(again[0], whole[0], "run_pipeline of a complete folder: Report")
