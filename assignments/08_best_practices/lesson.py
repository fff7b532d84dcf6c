# %% [markdown]
# # Deep learning best practices
#
# A network that trains is not yet a network that works. Most of the time in practice goes into the questions of this
# notebook: is the score true, why is the loss what it is, when is training over, and what happens when a stranger
# sends an image?
#
# * 8.1 and 8.2: splits and metrics, so that a number means what you think.
# * 8.3 to 8.5: when to stop, which learning rate, and how to search for the rest.
# * 8.6 and 8.7: find faults that raise no error.
# * 8.8: a network in use: exported, checked, small, and honest about how sure it is.
#
# **How to work.** Your code goes into `best_practices.py`, beside this notebook. Each function there has a docstring
# that says exactly what it must do: replace the line `raise NotImplementedError(...)`. Then run the cells here. A
# cell with `check(...)` runs the public tests of one task; hidden tests will look further, at edge cases that the
# docstring also describes. Cells that draw something simply say "not started" while the function they need is
# missing. The code of the figures is in `drawing.py`.
#
# | task | you write | points |
# |---|---|---|
# | 8.1 | splits, with classes and groups | 10 |
# | 8.2 | metrics | 13 |
# | 8.3 | early stopping | 10 |
# | 8.4 | learning rates | 10 |
# | 8.5 | a search for hyper-parameters | 10 |
# | 8.6 | diagnostics | 10 |
# | 8.7 | a bug hunt | 13 |
# | 8.8 | deployment | 14 |
# | | two written questions | 10 |

# %%
# %load_ext autoreload
# %autoreload 2
import copy
import io
import json
import tempfile
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

import best_practices as bp
import broken
import drawing
from autograder import attempt, check
from dlcourse.data import digits
from dlcourse.figures import explore, use_style

torch.set_num_threads(1)
use_style()

(x_train, y_train), (x_test, y_test) = digits("train"), digits("test")
rows_train, rows_test = x_train.reshape(-1, 64), x_test.reshape(-1, 64)


def network(width=64, depth=1, act=nn.ReLU, inputs=64, classes=10, seed=0):
    """A network of linear layers, the same one for the same seed."""
    torch.manual_seed(seed)
    layers = []
    for layer in range(depth):
        layers += [nn.Linear(inputs if layer == 0 else width, width), act()]
    return nn.Sequential(*layers, nn.Linear(width, classes))


def learn(model, optimizer, x, y):
    """One step on all rows; the loss before it."""
    loss = F.cross_entropy(model(x), y)
    model.zero_grad()
    loss.backward()
    optimizer.step()
    return float(loss.detach())


def train(model, x, y, steps=60, lr=0.01):
    """Some steps of Adam on all rows."""
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    for _ in range(steps):
        learn(model, optimizer, torch.as_tensor(x), torch.as_tensor(y))
    return model


def scores_of(model, x):
    """Raw scores of rows, as an array."""
    with torch.no_grad():
        return model(torch.as_tensor(x)).numpy()


def accuracy(model, x, y):
    return float((scores_of(model, x).argmax(axis=1) == y).mean())


# %% [markdown]
# ## 8.1 Is the score true?
#
# The test score answers one question: how good will the network be on data that it has never met? It answers it only
# if the test rows are as strange to the network as those data will be.

# %% task="splits"
check("splits")

# %% [markdown]
# **A leak.** Forty people come to a clinic, each of them twelve times. A row of measurements is mostly about the
# *person*, and only a little about the illness. We split the rows at random, then by groups (a group is a person),
# and compare both scores with the truth: forty new people.


# %%
def clinic(people, seed):
    """Twelve rows of each person; one number of twenty says a little about the illness."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(people), 12)
    ill = rng.integers(0, 2, size=people)
    person = rng.normal(size=(people, 20)) * 2
    person[:, 0] += 2.0 * ill
    return (person[groups] + 0.5 * rng.normal(size=(len(groups), 20))).astype(np.float32), ill[groups], groups


with attempt():
    x, y, groups = clinic(40, seed=1)
    shares = {}
    for name, given in (("rows are split", None), ("people are split", groups)):
        found = []
        for seed in range(5):
            parts = bp.train_val_test_split(y, (0.7, 0.0, 0.3), groups=given, rng=np.random.default_rng(seed))
            model = train(network(inputs=20, classes=2, seed=seed), x[parts[0]], y[parts[0]])
            found.append(accuracy(model, x[parts[2]], y[parts[2]]))
        shares[name] = np.mean(found)
    x_new, y_new, _ = clinic(400, seed=2)
    shares["the truth: new people"] = accuracy(train(network(inputs=20, classes=2), x, y), x_new, y_new)

    labels = np.array([0] * 480 + [1] * 20)
    rare = {}
    for name, stratify in (("at random", False), ("with stratify", True)):
        splits = (
            bp.train_val_test_split(labels, (0.6, 0.2, 0.2), stratify, rng=np.random.default_rng(seed))
            for seed in range(200)
        )
        rare[name] = [int(labels[test].sum()) for _, _, test in splits]
    drawing.leak(shares, rare)

# %% [markdown]
# With rows split at random, the network has met each person of the test set: it recognises *people*, and the score is
# close to 1. The split by people tells nearly the truth. On the right: without stratify the number of rare rows in
# the test part is a matter of luck, and a recall that is computed from one or two rows means nothing.

# %% [markdown]
# ## 8.2 Which number?
#
# If one row in twenty is positive, a network that never says "positive" is right in 95 of 100 cases. Precision asks:
# of those that I called positive, how many are? Recall asks: of the positive ones, how many did I find? They pull in
# opposite directions, and a threshold decides. The AUC looks at all thresholds at once.

# %% task="metrics"
check("metrics")

# %% [markdown]
# **Move the threshold**, and make the positive rows rarer. Which of the numbers changes with the rarity, and which
# does not?

# %%


def choose(cut=1.5, positives=100):
    """Draw the scores of 1,000 negative rows and some positive rows, and what a threshold makes of them."""
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], [1000, positives])
    scores = rng.normal(size=len(y)) + 2.0 * y
    said = (scores > cut).astype(int)
    precision, recall, f1 = bp.precision_recall_f1(y, said, average="binary")
    right = float((said == y).mean())
    order = np.argsort(-scores)
    curve = np.cumsum(y[order] == 0) / 1000, np.cumsum(y[order]) / positives
    point = (scores[y == 0] > cut).mean(), (scores[y == 1] > cut).mean()
    numbers = f"accuracy {right:.2f}   precision {precision:.2f}   recall {recall:.2f}   F1 {f1:.2f}"
    drawing.threshold(scores[y == 0], scores[y == 1], cut, numbers, curve, point, bp.roc_auc(y, scores))


explore(choose, cut=(-2.0, 5.0, 0.25), positives=(10, 1000, 10))

# %% [markdown]
# Precision depends on how rare the positive rows are; recall and the ROC curve do not. So a network with a wonderful
# AUC can still be wrong in most of its alarms.

# %% [markdown]
# ## 8.3 When to stop
#
# The training loss falls on and on. The validation loss falls, and then rises: from there on the network learns its
# training rows by heart. Early stopping watches the validation loss, and gives the best weights back.

# %% task="early_stopping"
check("early_stopping")

# %%
with attempt():
    chance = np.random.default_rng(0)
    few, few_labels = torch.from_numpy(rows_train[:100]), y_train[:100].copy()
    wrong = chance.choice(100, 20, replace=False)
    few_labels[wrong] = chance.integers(0, 10, size=20)
    few_labels, val_rows, val_labels = torch.from_numpy(few_labels), rows_train[900:], torch.from_numpy(y_train[900:])
    model, stopper = network(128, depth=2), bp.EarlyStopping(patience=15)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.003)
    paid, val_paid, stop, copies = [], [], None, {}
    for epoch in range(90):
        paid.append(learn(model, optimizer, few, few_labels))
        val_paid.append(float(F.cross_entropy(torch.from_numpy(scores_of(model, val_rows)), val_labels)))
        last = copy.deepcopy(model)
        if stop is None and stopper.step(val_paid[-1], model):
            stop = epoch
            copies = {"the best epoch": copy.deepcopy(model), "the stop": last}
            model.load_state_dict(last.state_dict())  # only to see what would have come
    copies["the end"] = model
    found = {name: accuracy(own, rows_test, y_test) for name, own in copies.items()}
    drawing.stopping(paid, val_paid, stopper.best_epoch, stop, found)

# %% [markdown]
# ## 8.4 Which learning rate?
#
# Too small, and nothing happens. Too large, and the loss explodes. In between, the best rate at the beginning is not
# the best one at the end. A schedule is a formula of the step; a range test finds where to begin.

# %% task="schedules"
check("schedules")

# %%
with attempt():
    curves = {
        "step_lr": [bp.step_lr(1.0, step, 30, 0.5) for step in range(100)],
        "cosine_lr": [bp.cosine_lr(1.0, step, 99) for step in range(100)],
        "warmup_cosine": [bp.warmup_cosine(1.0, step, 15, 99) for step in range(100)],
        "one_cycle": [bp.one_cycle(1.0, step, 100) for step in range(100)],
    }
    batches = [
        (torch.from_numpy(rows_train[start : start + 64]), torch.from_numpy(y_train[start : start + 64]))
        for start in range(0, 1280, 64)
    ]
    rates, losses, suggestion = bp.lr_range_test(network(), batches, F.cross_entropy, low=1e-3, high=100.0)
    drawing.schedules(curves, rates, losses, suggestion)

# %% [markdown]
# ## 8.5 Search
#
# A learning rate of 0.001 and one of 0.002 differ as much as 0.1 and 0.2: what matters is the factor. So a rate is
# drawn log-uniformly. And random draws beat a grid: if only one of two hyper-parameters matters, a grid of 25 trials
# tries five values of it, 25 random trials try 25 (Bergstra and Bengio, 2012).
#
# The search looks at the validation set again and again, and so its best score is a little too good: it is the
# luckiest of many. The test set is read **once**, after everything is decided.

# %% task="search"
check("search")

# %%
with attempt():
    chance = np.random.default_rng(0)
    uniform = chance.uniform(1e-4, 10, size=1000)
    logarithmic = [bp.log_uniform(1e-4, 10, chance) for _ in range(1000)]
    space = {
        "width": ("int", 4, 64),
        "optimizer": ("choice", [
            {"name": "sgd", "lr": ("log_uniform", 1e-4, 10.0), "momentum": ("uniform", 0.0, 0.9)},
            {"name": "adam", "lr": ("log_uniform", 1e-4, 10.0)},
        ]),
    }  # fmt: skip
    tried = []

    def fit(config, seed):
        """Train a network with this configuration, and return its predict function."""
        model = network(config["width"], seed=seed % 1000)
        options = {key: value for key, value in config["optimizer"].items() if key != "name"}
        make = torch.optim.SGD if config["optimizer"]["name"] == "sgd" else torch.optim.Adam
        optimizer = make(model.parameters(), **options)
        given, wanted = torch.from_numpy(rows_train[:600]), torch.from_numpy(y_train[:600])
        for _ in range(40):
            learn(model, optimizer, given, wanted)
        tried.append((config, accuracy(model, rows_train[900:], y_train[900:])))
        return lambda rows: scores_of(model, rows).argmax(axis=1)

    guard = bp.GuardedTestSet(rows_test, y_test)
    val = rows_train[900:], y_train[900:]
    found = bp.tune(space, fit, val, guard, 30, np.random.default_rng(1))
    drawing.search(tried, (found["config"]["optimizer"]["lr"], found["val"]), uniform, logarithmic)
    print(f"the best of 30 trials: {found['val']:.3f} on the validation set, {found['test']:.3f} on the test set")
    print(f"readings of the test set: {guard.reads}")

# %% [markdown]
# A library such as Optuna does the same, and learns from the trials so far where to draw next. It is not installed
# here; with it, the search would be:
#
# ```python
# def objective(trial):
#     lr = trial.suggest_float("lr", 1e-4, 10.0, log=True)
#     name = trial.suggest_categorical("optimizer", ["sgd", "adam"])
#     momentum = trial.suggest_float("momentum", 0.0, 0.9) if name == "sgd" else None   # a conditional space
#     return validation_accuracy(lr, name, momentum)
#
# study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
# study.optimize(objective, n_trials=30)
# ```

# %% [markdown] question="too_good" points=5
# **Question 1 (5 points).** A colleague reports 0.99 on the test set and is asked how it was made. "We scaled all
# columns to mean 0, split the rows at random, tried 300 configurations, and report the best one." Name the places at
# which the number may be too good, say for each how large the effect could be and on what it depends, and say how you
# would find out without new data.

# %% [markdown]
# ## 8.6 What does the network say about itself?
#
# Before you change anything, measure. Five numbers find most faults: the first loss, the loss on one batch that
# should be learned by heart, the dead units, the gradients along the layers, and the size of an update beside its
# weight.

# %% task="diagnostics"
check("diagnostics")

# %%
with attempt():
    batch, names = torch.from_numpy(rows_train[:128]), torch.from_numpy(y_train[:128])
    norms = {}
    for name, act in (("ReLU", nn.ReLU), ("sigmoid", nn.Sigmoid)):
        found, label = bp.gradient_flow(network(32, 8, act), batch, names)
        norms[f"{name}: {label}"] = [norm for key, norm in found.items() if key.endswith("weight")]
    dead, ratios = {}, {}
    for lr in np.geomspace(0.001, 100, 11):
        model = network(64, 2)
        optimizer = torch.optim.SGD(model.parameters(), lr=float(lr))
        changes, _ = bp.update_ratio(model, optimizer, batch, names)
        ratios[lr] = float(np.median(list(changes.values())))
        for _ in range(20):
            learn(model, optimizer, batch, names)
        dead[lr] = float(np.mean(list(bp.dead_relu_fraction(model, batch).values())))
    drawing.diagnostics(norms, dead, ratios)
    for name, model in (("healthy", network()), ("with a softmax", nn.Sequential(network(), nn.Softmax(dim=1)))):
        loss, expected, _ = bp.check_initial_loss(model, batch, names)
        losses, is_ok = bp.overfit_one_batch(model, batch[:16], names[:16])
        print(f"{name}: first loss {loss:.2f} (log 10 = {expected:.2f}), sixteen rows by heart: {losses[-1]:.3f}")

# %% [markdown]
# Each layer of the sigmoid network takes most of the gradient away. A large rate kills units: one huge step moves
# their bias so far down that they are 0 for every row, and then their gradient is 0 forever.
#
# And look at the softmax: its first loss is *perfectly* fine. Only the second test, by heart, shows it.

# %% [markdown]
# ## 8.7 Bug hunt
#
# Each function of `broken.py` has cost somebody days. None of them raises an error, most of them even learn
# something. Read the docstring of `fix_1` (what should happen, and what is seen instead), then the code of
# `broken.broken_1`, and write the repaired function. Measure before you guess.

# %% task="bug_hunt"
check("bug_hunt")

# %%


def compare(number):
    """Run the broken function and your fix on the same data, and return what both show."""
    own, theirs = getattr(bp, f"fix_{number}"), getattr(broken, f"broken_{number}")
    x, y = torch.from_numpy(rows_train[:256]), torch.from_numpy(y_train[:256])
    batches = [(x[start : start + 32], y[start : start + 32]) for start in range(0, 256, 32)]
    found = []
    for function in (theirs, own):
        chance = np.random.default_rng(0)
        if number == 1:
            found.append(function(network(), x, y, 80, 0.5))
        elif number == 2:
            model, losses = network(), []
            for _ in range(6):
                given = function(rows_train[:512], y_train[:512], 32, chance)
                losses += bp.fix_3(model, [(torch.from_numpy(a), torch.from_numpy(b)) for a, b in given], 0.5)
            found.append(losses)
        elif number == 3:
            found.append(function(network(), batches * 8, 0.5))
        elif number == 4:
            model = nn.Sequential(network(64), nn.Dropout(0.3))
            train(model, rows_train[:600], y_train[:600])
            found.append(
                [function(model.train(), torch.from_numpy(rows_test), torch.from_numpy(y_test)) for _ in range(8)]
            )
        elif number == 5:

            def augment(rows, source):
                return np.clip(rows + source.normal(scale=0.4, size=rows.shape), 0, 1).astype(np.float32)

            shares = []
            for seed in range(6):
                parts = function(rows_train[:900], y_train[:900], 600, augment, np.random.default_rng(seed))
                shares.append(accuracy(train(network(), *parts[:2]), *parts[2:]))
            found.append(shares)
        elif number == 6:
            encoder, head = network(32, classes=16), nn.Linear(16, 10)
            found.append([function(encoder, head, x, y, 0.5) for _ in range(80)])
        elif number == 7:
            found.append(function(network(classes=1), x, y.float(), 150, 0.02))
        else:
            model, losses = network(), []
            rates = function(copy.deepcopy(model), batches, 20, 0.5, 0.9)
            for rate in rates:
                losses += bp.fix_3(model, batches, rate)
            found.append(losses)
    return found


with attempt():
    KINDS = {
        1: ("curve", "loss"), 2: ("curve", "loss"), 3: ("curve", "loss"), 4: ("points", "accuracy, 8 times"),
        5: ("points", "validation accuracy"), 6: ("curve", "loss"), 7: ("curve", "loss"), 8: ("curve", "loss"),
    }  # fmt: skip
    panels = {}
    for number, (kind, label) in KINDS.items():
        panels[f"number {number}"] = (kind, *compare(number), label)
    drawing.hunt(panels)

# %% [markdown]
# ## 8.8 In use
#
# The notebook is closed, and the network must work without it: as a file that needs no class, behind a function that
# checks what comes in, small enough, and with probabilities that mean something.

# %% task="deployment"
check("deployment")

# %% [markdown]
# **How sure is it?** A network is trained until its training loss is almost 0. It is right nearly as often as before,
# but ever more certain. One number, the temperature, fitted on the *validation* set, repairs that: it changes no
# answer.

# %%
with attempt():
    chance = np.random.default_rng(0)
    noisy = {
        name: (rows + chance.normal(scale=0.35, size=rows.shape)).astype(np.float32)
        for name, rows in (("train", rows_train), ("test", rows_test))
    }
    served = train(network(128), noisy["train"][:500], y_train[:500], steps=300)
    val_scores, test_scores = scores_of(served, noisy["train"][700:]), scores_of(served, noisy["test"])
    temperature = bp.fit_temperature(val_scores, y_train[700:])
    found, titles = [], []
    for own, name in ((1.0, "as trained"), (temperature, f"temperature {temperature:.2f}")):
        shares = torch.from_numpy(test_scores / own).softmax(dim=1).numpy()
        found.append((shares.max(axis=1), shares.argmax(axis=1) == y_test))
        titles.append(f"{name}: calibration error {bp.ece(shares, y_test):.3f}")
    drawing.calibration(*found, titles)

# %% [markdown]
# **Smaller.** Eight bits for a weight instead of 32.

# %%
with attempt():
    large = train(nn.Sequential(network(256, 2)), rows_train, y_train)
    small = bp.quantise(large)
    sizes = []
    for model in (large, small):
        file = io.BytesIO()
        torch.save(model.state_dict(), file)
        sizes.append(len(file.getvalue()) / 1024)
    same = (scores_of(large, rows_test).argmax(axis=1) == scores_of(small, rows_test).argmax(axis=1)).mean()
    print(f"{sizes[0]:.0f} KB -> {sizes[1]:.0f} KB; {100 * same:.1f} % of the answers are the same")

# %% [markdown]
# **A real server.** The file of the exported network, an `InferenceModel` around it, and the HTTP server of the
# standard library. A client sends pixels as JSON, over the network of this machine alone, and gets an answer, or a
# reason.


# %%
class Handler(BaseHTTPRequestHandler):
    """POST a JSON list of images, get their labels; what is no image gets the status 400 and the reason."""

    predictor = None

    def do_POST(self):
        try:
            given = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            labels, shares = self.predictor.predict(np.array(given, dtype=np.uint8))
            status, said = (
                200,
                {"labels": labels.tolist(), "confidence": [round(float(share), 3) for share in shares.max(axis=1)]},
            )
        except (TypeError, ValueError, OverflowError) as error:
            status, said = 400, {"error": str(error)}
        body = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        """Keep the notebook quiet."""


def ask(port, images):
    """Send images to the server, and return its status and what it says."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}", data=json.dumps(images).encode(), method="POST")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


with attempt():
    model = train(nn.Sequential(nn.Flatten(), network()), x_train, y_train).eval()
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "digits.pt2")
        bp.export_model(model, torch.from_numpy(x_train[:1]), path)
        exported = torch.export.load(path).module()
    predictor = bp.InferenceModel(copy.deepcopy(model), (1, 8, 8), high=16)
    difference = np.abs(scores_of(exported, x_test) - scores_of(model, x_test)).max()
    print(f"largest difference between the exported network and the model: {difference:.1e}")
    Handler.predictor = predictor
    server = HTTPServer(("127.0.0.1", 0), Handler)  # port 0: any free one
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        images = (x_test[:5] * 16).astype(int)
        print("five digits:", ask(server.server_port, images.tolist()), "- true:", y_test[:5].tolist())
        print("too bright: ", ask(server.server_port, (images + 100).tolist()))
        print("one row:    ", ask(server.server_port, images[0, 0, 0].tolist()))
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

# %% [markdown] question="monitoring" points=5
# **Question 2 (5 points).** Your network has been in use for three months, and the labels of what it sees arrive only
# weeks later. Which of the things that you wrote in this assignment can be measured on unlabelled requests, which
# cannot, and what would a change in each of them tell you? Name two faults that none of them would show.

# %% [markdown]
# ## What you have now
#
# Splits that can be trusted, numbers that mean something, a way to choose rates and everything else, five
# measurements that find faults, eight faults that you will recognise, and a network in use. The projects that follow
# need all of it.
