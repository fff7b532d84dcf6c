# %% [markdown]
# # Deep-learning projects
#
# A network is a small part of a project. Around it are questions that no loss function asks: what did it have to beat?
# Did it see something that it will not have later? How wrong will it be? Could somebody else do it again? This notebook
# is about those questions, in two projects that you write from beginning to end.
#
# * P5.1 to P5.3: a forecast of a series of numbers, with baselines, and with an interval that says how far to trust it.
# * P5.4 to P5.6: a pipeline. A config and a CSV file go in; a model, numbers, figures and a card come out. It refuses
#   bad input, it gives the same result each time, and it goes on where it was stopped.
#
# Four more projects belong to this part of the course, each an assignment of its own. They are one story:
#
# | project | data | what it adds to the story |
# |---|---|---|
# | image classification | images | augmentation, training with a checkpoint, and looking at what goes wrong |
# | sentiment analysis | texts | from raw text to numbers, and asking which word decided |
# | transfer learning | few images | beginning with what another network has learned |
# | an autoencoder | images without labels | learning without labels, and finding what is strange |
# | this one | series and tables | time, uncertainty, and a run that can be trusted |
#
# Each of them has the same parts: data, a split, a baseline, training, an honest evaluation, and files that are still
# there when the notebook is closed. In this assignment these parts are the subject.
#
# **How to work.** Your code goes into `deep_learning_projects.py`, beside this notebook. Each function there has a
# docstring that says exactly what it must do: replace the line `raise NotImplementedError(...)`. Then run the cells
# here. A cell with `check(...)` runs the public tests of one task; hidden tests will look further, at edge cases that
# the docstring also describes. Cells that draw something say "not started" while the function they need is missing.
#
# | task | you write | points |
# |---|---|---|
# | P5.1 | windows, a split in time, and three baselines | 14 |
# | P5.2 | a network that forecasts | 16 |
# | P5.3 | intervals, and how often they hold | 10 |
# | P5.4 | checks of a config and of a table | 14 |
# | P5.5 | the pipeline | 26 |
# | P5.6 | a run that goes on where it stopped | 10 |
# | | two written questions | 10 |

# %%
# %load_ext autoreload
# %autoreload 2
import tempfile
from pathlib import Path

import numpy as np
import torch

import deep_learning_projects as dlp
import drawn
import pictures
import stops
from autograder import attempt, check
from dlcourse.figures import explore, use_style

torch.set_num_threads(1)
use_style()

# %% [markdown]
# ## P5.1 What must a forecast beat?
#
# Four series. Two are real: sunspots, counted since 1700, and carbon dioxide in the air over Mauna Loa. Two are drawn:
# a wave of twelve steps with noise, and the size of a population, in which many parents this year mean few children
# in the next one. (`data/SOURCES.md` says where the real ones come from.)
#
# Time gives the split. You learn from the past, choose with later values, and are judged by the latest ones.

# %%
years, spots = np.loadtxt("data/sunspots.csv", delimiter=",", skiprows=1, unpack=True)
year, month, ppm = np.loadtxt("data/co2.csv", delimiter=",", skiprows=1, unpack=True)
SERIES = {
    "sunspots": (years, spots, "spots"),
    "carbon dioxide": (year + (month - 1) / 12, ppm, "ppm"),
    "seasonal (drawn)": (np.arange(900), drawn.seasonal(900, 1), "value"),
    "population (drawn)": (np.arange(900), drawn.population(900, 1), "animals"),
}
#: for each series: window, season, values for validation and for the test
PLANS = {
    "sunspots": (22, 11, 50, 80),
    "carbon dioxide": (24, 12, 90, 130),
    "seasonal (drawn)": (24, 12, 200, 250),
    "population (drawn)": (6, 2, 200, 250),
}
pictures.series_and_cuts(SERIES, {name: plan[2:] for name, plan in PLANS.items()})

# %% task="windows"
check("windows")

# %% [markdown]
# **Why not split at random?** In all assignments before, rows were shuffled and cut. Try that with windows. The model
# here is the simplest that there is: it finds the window in the training part that looks most like the given one, and
# says what came after that. Once the windows are cut at random, and once in time.

# %%
STEPS = 3


def nearest(X, Y, given):
    """What came after the most similar window."""
    return Y[((given[:, None] - X[None]) ** 2).sum(axis=2).argmin(axis=1)]


with attempt():
    groups = {}
    for name in ("sunspots", "carbon dioxide"):
        values, (window, *_, n_test) = SERIES[name][1], PLANS[name]
        X, Y = dlp.make_windows(values, window, STEPS)
        order = np.random.default_rng(0).permutation(len(X))
        first, last = order[n_test:], order[:n_test]
        at_random = np.abs(nearest(X[first], Y[first], X[last]) - Y[last]).mean()
        train, _, test = dlp.time_split(values, 1, n_test, context=window)
        past, future = dlp.make_windows(test, window, STEPS)
        in_time = np.abs(nearest(*dlp.make_windows(train, window, STEPS), past) - future).mean()
        naive = np.abs(dlp.seasonal_naive(past, STEPS) - future).mean()
        groups[name] = {"last value": naive, "cut at random": at_random, "cut in time": in_time}
    pictures.bars(groups, "the same model, judged in two ways", "mean absolute error, three steps")

# %% [markdown]
# Cut at random, the model of carbon dioxide seems to halve the error of the last value: of each test window it has seen
# neighbours that overlap with it, on *both* sides. Nobody has such neighbours of tomorrow. Cut in time, the same model
# is far worse than the last value, because it has never seen air like that of today.
#
# **Think.** Which other leaks can a series have? What if you scale it with its mean, before you cut it?

# %% [markdown]
# ## P5.2 A network that forecasts
#
# The network takes a window and gives several steps at once. It scales inside, with the mean and the deviation of the
# training part, so that nobody who uses it must think of that. And it keeps its best epoch, by the validation part.

# %% task="forecasting"
check("forecasting")

# %% [markdown]
# **What is it worth?** Errors on the last part of each series, as a multiple of the error of the last value (the dotted
# line). The network is trained once for each series.

# %%
models = {}


def trained(name, steps=STEPS):
    """A network for a series, trained once."""
    if (name, steps) not in models:
        window, _, n_val, n_test = PLANS[name]
        train, val, _ = dlp.time_split(SERIES[name][1], n_val, n_test, context=window)
        torch.manual_seed(0)
        model = dlp.Forecaster(window, steps)
        dlp.fit(model, train, val, seed=0)
        models[name, steps] = model
    return models[name, steps]


with attempt():
    groups = {}
    for name, (window, season, n_val, n_test) in PLANS.items():
        train, _, test = dlp.time_split(SERIES[name][1], n_val, n_test, context=window)
        past, future = dlp.make_windows(test, window, STEPS)
        said = {
            "last season": dlp.seasonal_naive(past, STEPS, season),
            "linear": dlp.linear_ar(train, past, STEPS, window),
            "network": dlp.forecast(trained(name), past, STEPS),
        }
        naive = np.abs(dlp.seasonal_naive(past, STEPS) - future).mean()
        groups[name] = {kind: np.abs(values - future).mean() / naive for kind, values in said.items()}
    pictures.bars(
        groups, "error on the future, as a multiple of the last value's", "relative mean absolute error", line=1
    )

# %% [markdown]
# Four series, and the network is clearly the best on one of them. The population follows a curve, and only the network
# can bend. The drawn seasons are waves plus noise, and a line does all that can be done. On the two real series the
# line wins: there are few years of sunspots to learn a curve from, and all of carbon dioxide's future is above
# everything that the network has seen. Compared with the last value alone, the network would look good on each of them.
#
# **Think.** What would you change, so that the network forecasts carbon dioxide better? (What is it that repeats?)
#
# **Direct or recursive?** A network that gives one step can forecast six: it takes its own forecasts for values. A
# network that gives six steps at once needs no such trick. On the population:

# %%
with attempt():
    name = "population (drawn)"
    window, _, _, n_test = PLANS[name]
    *_, test = dlp.time_split(SERIES[name][1], 1, n_test, context=window)
    past, future = dlp.make_windows(test, window, 6)
    errors = {
        "recursive: one step, six times": np.abs(dlp.forecast(trained(name, 1), past, 6) - future).mean(axis=0),
        "direct: six steps at once": np.abs(dlp.forecast(trained(name, 6), past, 6) - future).mean(axis=0),
    }
    mean = np.abs(future.mean() - future).mean()
    pictures.errors_by_step(errors, "a population in six years", "mean absolute error", (mean, "always the mean"))

# %% [markdown]
# One step is easy for both, and after five years neither is better than the mean: this population is chaotic, and a
# small error of today is a large one in some years. The recursive forecast is the worse one, because it is fed with its
# own errors. But it can go on for as long as you like, and the direct one cannot: `forecast` combines the two.

# %% [markdown]
# ## P5.3 How wrong will it be?
#
# A forecast without an error is half of an answer. Split conformal intervals need no theory of the errors: look at how
# wrong the model was on values from which it did not learn, and take the size that nine of ten errors did not exceed.

# %% task="intervals"
check("intervals")

# %% [markdown]
# **Forecast the sun.** Choose a year, as if it were today, and how sure you want to be.

# %%


def sun(today=1985, level=0.9):
    """Forecast the sunspots of six years, with intervals."""
    window, _, n_val, n_test = PLANS["sunspots"]
    _, val, _ = dlp.time_split(spots, n_val, n_test, context=window)
    at = int(today - years[0]) + 1
    model = trained("sunspots", 6)
    lower, upper = dlp.prediction_interval(model, val, spots[None, at - window : at], level)
    shown = slice(at - 30, at + 6)
    pictures.fan(
        years[shown], spots[at - 30 : at], spots[at : at + 6], (lower + upper)[0] / 2, lower[0], upper[0],
        f"sunspots, seen from the end of {today}", "spots",
    )  # fmt: skip


explore(sun, today=(1930, 2002, 1), level=(0.5, 0.95, 0.05))

# %% [markdown]
# The interval is wider for later years, because each step has errors of its own. And it reaches below zero, which
# the number of spots cannot: nobody told the interval what a spot is.
#
# **Does it hold?** An interval is a promise, so count how often it is kept.

# %%
with attempt():
    levels = [0.5, 0.6, 0.7, 0.8, 0.9, 0.95]
    held = {}
    for name in ("seasonal (drawn)", "sunspots", "carbon dioxide"):
        window, _, n_val, n_test = PLANS[name]
        _, val, test = dlp.time_split(SERIES[name][1], n_val, n_test, context=window)
        past, future = dlp.make_windows(test, window, STEPS)
        ends = [dlp.prediction_interval(trained(name), val, past, level) for level in levels]
        held[name] = [dlp.coverage(*pair, future).mean() for pair in ends]
    pictures.promises(levels, held)

# %% [markdown]
# Where the future is like the past, as in the drawn series, about as much is inside as was promised. For the real
# series it is less. The method needs one thing: the errors of tomorrow must be like those of the calibration part. But
# the sun was more active after 1930 than in the fifty years before, and carbon dioxide rises above what was seen. No
# interval shows that by itself. You must count, and count again when new values arrive.

# %% [markdown] question="honest_forecast" points=5
# **Question 1 (5 points).** A supermarket wants to know how many loaves of bread to bake in each of 40 shops on each
# of the next seven days. You have three years of daily sales, the weather of each day, and the dates of holidays. Say
# how you would split these data, name two baselines, and name two ways in which the future could leak into training
# (one of them through the weather). What would you tell the baker besides one number a day, and why?

# %% [markdown]
# ## P5.4 Check what comes in
#
# A pipeline runs at night, on a file that somebody else has made. What is wrong should be said at once, all of it,
# and in words. The alternative is a model full of nan in the morning, or, worse, one that looks fine.

# %% task="checks"
check("checks")

# %%
BROKEN = """height,weight,kind
1.71,70,a
1.62,sixty,b
1.80,,a
1.71,70,a
1.75,81
1.69,inf,
"""
with attempt():
    folder = Path(tempfile.mkdtemp())
    (folder / "broken.csv").write_text(BROKEN)
    try:
        dlp.load_table(folder / "broken.csv", target="kind", features=("height", "weight", "age"))
    except dlp.Faults as faults:
        print(faults)

# %% [markdown]
# **Think.** Why is a row that comes twice a fault at all? Where could the two copies end up after the split?

# %% [markdown]
# ## P5.5 The pipeline
#
# Five steps, each of which leaves its result in a file. The next step reads only files, so you can look at everything,
# and go on from anywhere. The test rows wait in a `Holdout`, which can be read once.

# %% task="pipeline"
check("pipeline")

# %% [markdown]
# **A run.** 178 wines of one region, from three cultivars; what tells them apart is chemistry. The defaults of `Config`
# are made for this file.

# %%
with attempt():
    out = Path(tempfile.mkdtemp()) / "wine"
    report = dlp.run_pipeline(dlp.Config(out=out))
    print((out / "card.md").read_text())
    pictures.files_shown([out / "figures" / "learning_curve.png", out / "figures" / "confusion.png"])

# %% [markdown]
# **What reading the test rows often does.** Here is a small table, and a run for each of sixteen seeds: another split,
# other first weights. Each run reads its own test rows once, as it should. Somebody now takes the seed with the best
# test accuracy, and reports that number. The truth is known here, because rows can be drawn without end.

# %%
with attempt():
    folder = Path(tempfile.mkdtemp())
    x, labels = drawn.table(90, 8)
    drawn.write_table(folder / "small.csv", x, labels)
    unseen, names = drawn.table(2000, 4)
    test, truth = [], []
    for seed in range(16):
        config = dlp.Config(folder / "small.csv", folder / str(seed), target="target", seed=seed)
        report = dlp.run_pipeline(config)
        said = np.array(report.classes)[dlp.predict(config.out, unseen).argmax(axis=1)]
        test.append(report.test_accuracy)
        truth.append((said == np.array(names)).mean())
    pictures.often_read(test, truth)

# %% [markdown]
# Eighteen test rows are few, so the test accuracies spread much more widely than the truth, and a seed with a perfect
# score may be one of the worst. Each number by itself is honest; the largest of sixteen is not. Whoever chooses a seed
# by its test rows has used them for training: they have chosen a parameter with them.

# %% [markdown]
# ## P5.6 Go on where it stopped
#
# A training that takes a week will be stopped: by a power cut, by a full disk, by a colleague. `stops.py` cuts the
# power at any place that you name. What was finished must not be done again, and the end must be the same *exactly*:
# otherwise nobody can say which of two results is the right one.

# %% task="resume"
check("resume")

# %%
with attempt():
    folder = Path(tempfile.mkdtemp())
    x, labels = drawn.table(150, 5)
    drawn.write_table(folder / "rows.csv", x, labels)
    runs, found = {}, []
    for place, cut in (("whole", None), ("cut", 40), ("cut", None), ("cut", None)):
        config = dlp.Config(folder / "rows.csv", folder / place, target="target", batch_size=30)
        with stops.watched(config.out, batch=cut) as notes:
            report = dlp.run_pipeline(config)
        found.append((place, notes.batches, len(notes.writes), ", ".join(dlp.steps_done(config))))
    for name, batches, writes, done in found:
        print(f"{name:6} {batches:4} batches, {writes:3} files written; finished: {done}")
    per_epoch = 90 / 30
    losses = {
        place: dlp.json.loads((folder / place / "history.json").read_text())["val_loss"] for place in ("whole", "cut")
    }
    names = {"without a stop": losses["whole"], "stopped, and continued": losses["cut"]}
    pictures.curves(names, 40 / per_epoch)

# %% [markdown]
# The narrow line is exactly on the wide one. For that, an epoch after the stop must begin with the parameters, with the
# optimiser's memory, with the best state so far, *and* with the random numbers that it would have had.

# %% [markdown] question="what_a_run_depends_on" points=5
# **Question 2 (5 points).** `steps_done` compares the config and the content of the data file. Somebody changes the
# training loop in `deep_learning_projects.py`, calls `run_pipeline` with the same config and the same folder, and gets
# the old numbers. Why? What else does the result of a run depend on that is in neither the config nor the data? Say
# which of these things you would make part of a run's identity, which you would write on the card, and what each
# choice costs the people who use the pipeline.

# %% [markdown]
# ## What you have now
#
# A forecast that knows what it had to beat and how wrong it will be, and a pipeline that you can leave alone at night.
# The other projects use the same parts for images and texts. Before you trust any of their numbers, ask what you
# asked here: what is the baseline, which rows did it see, and could I do it again?
