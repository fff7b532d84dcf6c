"""Public tests of the sentiment project: short texts and small numbers, most of which fit on paper.

pytest test_sentiment_analysis.py -k words        only the tests with "words" in their names
"""

import json
import os
import tempfile

import numpy as np
import pytest
import torch
from torch import nn

from autograder import expect, probe
from dlcourse import spies

# ------------------------------------------------------------------------------------------------------------
# P2.1  From raw text to numbers
# ------------------------------------------------------------------------------------------------------------


@pytest.mark.task("words", weight=3)
def test_a_web_page_leaves_nothing_behind(student):
    """Tags become a space, entities become characters, and white space shrinks; all that was written stays."""
    text = " It was <b>NOT</b> good!<br /><br />I &lt;3   Tom &amp; Jerry\n"

    expect.equal(student.clean(text), "It was NOT good! I <3 Tom & Jerry", "clean")


@pytest.mark.task("words", weight=3)
def test_small_words_and_signs_are_tokens(student):
    """Lower case; "not", "didn't" and "!" are tokens, and a comma only separates."""
    tokens = student.tokenize("I didn\u2019t like it,<br />it is NOT well-made!")

    want = ["i", "didn't", "like", "it", "it", "is", "not", "well", "made", "!"]
    expect.equal(tokens, want, "tokenize")


@probe
def a_small_vocabulary(student):
    vocab = student.Vocab(2).fit(["bad bad film!", "good film, bad end!"])
    return list(vocab.itos), dict(vocab.stoi), len(vocab), student.encode("A bad, bad film", vocab)


@pytest.mark.task("words", weight=3)
def test_ids_go_by_frequency(student):
    """Three times bad, twice "!" and film: ids from 2 on, equals in the order of str, and the rest is unknown."""
    itos, stoi, size, ids = a_small_vocabulary(student)

    want = ["<pad>", "<unk>", "bad", "!", "film"]
    expect.equal(itos, want, "Vocab(2).fit(...).itos")
    expect.equal(stoi, {token: number for number, token in enumerate(want)}, "Vocab(2).fit(...).stoi")
    expect.equal(size, 5, "len(vocab)")
    expect.equal(ids, [1, 2, 2, 4], "encode")


@pytest.mark.task("words", weight=2)
def test_zeros_fill_the_end(student):
    """Each sequence begins in column 0; the longest one has no zeros after it."""
    sequences = [[5, 6], [7], [2, 3, 4]]

    ids, lengths = student.pad_batch(sequences)

    expect.equal(ids, torch.tensor([[5, 6, 0], [7, 0, 0], [2, 3, 4]]), "pad_batch: ids")
    expect.equal(lengths, torch.tensor([2, 1, 3]), "pad_batch: lengths")
    expect.equal(sequences, [[5, 6], [7], [2, 3, 4]], "pad_batch: the given lists")


# ------------------------------------------------------------------------------------------------------------
# P2.2  A baseline
# ------------------------------------------------------------------------------------------------------------


@pytest.mark.task("baseline", weight=2)
def test_counting_words_finds_praise(student):
    """With one word of praise and one of blame, each text is clear, and a text without either is a coin."""
    train = ["good", "bad"] * 4, np.array([1, 0] * 4)
    kept = list(train[0]), train[1].copy()

    p = student.bag_of_words_baseline(train, ["good", "bad", "film", "good bad", "good good"])

    # w of good = -w of bad, b = 0: the slope 4 * 2 * (p - 1) / 2 + w must be 0, so w = 4 * (1 - p): w = 1.0699
    w = 1.0
    for _ in range(100):
        w = 0.5 * w + 2.0 * (1 - 1 / (1 + np.exp(-w)))
    want = 1 / (1 + np.exp(-np.array([w, -w, 0.0, 0.0, 2 * w])))
    expect.close(p, want, "bag_of_words_baseline", atol=2e-3)
    expect.unchanged(train[0], kept[0], "bag_of_words_baseline: training texts")
    expect.unchanged(train[1], kept[1], "bag_of_words_baseline: labels")


@pytest.mark.task("baseline", weight=2)
def test_order_means_nothing_to_a_bag(student):
    """Two texts with the same words get the same probability, whatever their order says."""
    train = ["not bad, good", "good, not bad!", "bad, not good", "not good: bad", "bad bad"], np.array([1, 1, 0, 0, 0])

    p = student.bag_of_words_baseline(train, ["good not bad", "bad not good", "nothing known here"])

    expect.shape(p, (3,), "bag_of_words_baseline")
    expect.close(float(p[0]), float(p[1]), "bag_of_words_baseline of the same words in another order", atol=1e-9)
    expect.between(float(p.min()), 0.0, 1.0, "bag_of_words_baseline: smallest probability")
    expect.between(float(p.max()), 0.0, 1.0, "bag_of_words_baseline: largest probability")
    expect.is_true(bool(p[2] != p[0]), "bag_of_words_baseline: known and unknown words give the same probability.")


# ------------------------------------------------------------------------------------------------------------
# P2.3  A network that reads
# ------------------------------------------------------------------------------------------------------------


@probe
def scores_of_a_network(student, batches):
    torch.manual_seed(0)
    model = student.SentimentLSTM(20, 6, 5).eval()
    with torch.no_grad():
        return [model(torch.tensor(ids), torch.tensor(lengths)) for ids, lengths in batches]


@pytest.mark.task("network", weight=3)
def test_a_text_has_one_score(student):
    """Three texts, three scores; a batch of one is a batch as well."""
    batches = [([[3, 4, 5], [6, 0, 0], [7, 8, 0]], [3, 1, 2]), ([[3, 4]], [2])]

    three, one = scores_of_a_network(student, batches)

    expect.shape(three, (3,), "SentimentLSTM.forward")
    expect.dtype(three, torch.float32, "SentimentLSTM.forward")
    expect.shape(one, (1,), "SentimentLSTM.forward of a single text")


@pytest.mark.task("network", weight=6)
def test_padding_changes_nothing(student):
    """The same text alone, beside a longer one, and with more padding: its score is the same."""
    batches = [([[3, 4]], [2]), ([[3, 4, 0, 0], [5, 6, 7, 8]], [2, 4]), ([[3, 4, 0, 0, 0, 0]], [2])]

    alone, beside, padded = scores_of_a_network(student, batches)

    expect.close(beside[:1], alone, "SentimentLSTM.forward beside a longer text", rtol=0, atol=2e-6)
    expect.close(padded, alone, "SentimentLSTM.forward with more padding", rtol=0, atol=2e-6)


# ------------------------------------------------------------------------------------------------------------
# P2.4  Training
# ------------------------------------------------------------------------------------------------------------


@probe
def scores_of_a_sum(student, sequences):
    """The model adds the ids of a text; dropout would change that in training mode."""

    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.drop = nn.Dropout(0.5)

        def forward(self, ids, lengths):
            return self.drop(ids.float()).sum(dim=1) - 5.0 * lengths

    model = Sum()
    return student.predict_scores(model, sequences), model.training, model.drop.training


@pytest.mark.task("training", weight=2)
def test_scores_come_as_an_array(student):
    """This model adds the ids of a text and takes 5 away for each token. It arrives, and leaves, in training mode."""
    sequences = [[4, 9], [2], [9, 9, 3]]

    scores, training, inner = scores_of_a_sum(student, sequences)

    expect.close(scores, np.array([3.0, -3.0, 6.0]), "predict_scores", rtol=1e-5)
    expect.equal([training, inner], [True, True], "predict_scores: modes of the model and its dropout afterwards")
    expect.equal(sequences, [[4, 9], [2], [9, 9, 3]], "predict_scores: the given lists")


@probe
def short_training(student, sequences, labels, options):
    """Train a small model; note what it is given, and whether gradients were cleared between the steps."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Embedding(60, 1, padding_idx=0)
            self.given = []

        def forward(self, ids, lengths):
            if self.training:
                self.given.append([row[:n].tolist() for row, n in zip(ids, lengths.tolist(), strict=True)])
            return self.table(ids).sum(dim=(1, 2))

    torch.manual_seed(0)
    model = Net().eval()
    config = student.Config("", "", **options)
    data = (sequences, labels), (sequences[:7], labels[:7])
    with spies.watched() as notes:
        history = student.train(model, data, config, np.random.default_rng(1))
    rows = [[float(value) for value in row] for row in history]
    return rows, model.training, model.given, any(notes.left_over)


@pytest.mark.task("training", weight=9)
def test_a_training_lowers_the_loss(student, rng):
    """Each text once an epoch, in a new order; gradients are cleared; two losses for each epoch, and they fall."""
    sequences = [[number, *rng.integers(30, 60, size=rng.integers(0, 4)).tolist()] for number in range(1, 24)]
    labels = np.array([number % 2 for number in range(23)])
    kept = [list(sequence) for sequence in sequences], labels.copy()

    history, training, given, left_over = short_training(
        student, sequences, labels, {"epochs": 4, "batch_size": 5, "lr": 0.1}
    )

    expect.shape(np.array(history), (4, 2), "train(epochs=4): history")
    expect.is_true(
        history[-1][0] < history[0][0], "train: four epochs do not lower the training loss of a small model."
    )
    expect.equal(training, False, "train: model.training afterwards")
    expect.equal([len(batch) for batch in given], [5, 5, 5, 5, 3] * 4, "train: sizes of the batches")
    epochs = [[row for batch in given[5 * e : 5 * e + 5] for row in batch] for e in range(4)]
    for epoch in epochs:
        expect.equal(sorted(epoch), sequences, "train: sequences of an epoch, sorted")
    members = [sorted(row[0] for row in batch) for batch in given]
    expect.is_true(members[:5] != members[5:10], "train: two epochs have the same batches.")
    expect.is_true(not left_over, "train: a backward pass began with the gradient of the last one.")
    expect.equal(sequences, kept[0], "train: sequences")
    expect.unchanged(labels, kept[1], "train: labels")


@probe
def gradients_at_the_step(student, factor, clip):
    """Two weights with gradients in the ratio of 3 to 4; note what the optimiser sees."""
    from torch.optim.optimizer import register_optimizer_step_pre_hook

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.three, self.four = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))

        def forward(self, ids, lengths):
            return factor * (3 * self.three + 4 * self.four) * lengths

    model, seen = Net(), []
    hook = register_optimizer_step_pre_hook(
        lambda optimizer, args, kwargs: seen.append((float(model.three.grad), float(model.four.grad)))
    )
    try:
        config = student.Config("", "", epochs=1, batch_size=4, lr=0.01, clip=clip)
        pair = [[5]] * 4, np.ones(4, dtype=np.int64)
        student.train(model, (pair, pair), config, np.random.default_rng(0))
    finally:
        hook.remove()
    return [list(row) for row in seen]


@pytest.mark.task("training", weight=3)
def test_one_long_gradient_is_cut_as_a_whole(student):
    """Gradients of -15 and -20 have the length 25. Cut to a length of 1, they are -0.6 and -0.8."""
    # scores of 0: the slope of the loss is -1/2, times the factor of 10, times 3 and 4
    cut = gradients_at_the_step(student, 10.0, 1.0)
    short = gradients_at_the_step(student, 0.1, 1.0)

    expect.equal([len(cut), len(short)], [1, 1], "train(epochs=1) with one batch: steps")
    expect.close(cut, [[-0.6, -0.8]], "train(clip=1): gradients at the step", rtol=1e-3, lists=True)
    expect.close(short, [[-0.15, -0.2]], "train(clip=1): gradients that are short already", rtol=1e-3, lists=True)


# ------------------------------------------------------------------------------------------------------------
# P2.5  Which word decides?
# ------------------------------------------------------------------------------------------------------------


@probe
def importance_to_a_simple_reader(student, texts):
    """good counts 2, bad -3, and a "not" right in front turns it round; everything else counts 0."""

    class Reader(nn.Module):
        def forward(self, ids, lengths):
            values = {2: 2.0, 3: -3.0}
            scores = []
            for row, n in zip(ids.tolist(), lengths.tolist(), strict=True):
                pairs = zip([0, *row], row[:n], strict=False)
                scores.append(sum(values.get(now, 0.0) * (-1 if before == 4 else 1) for before, now in pairs))
            return torch.tensor(scores)

    vocab = student.Vocab().fit(["good good good good bad bad bad not not film"])  # good 2, bad 3, not 4, film 5
    return [student.occlusion_importance(Reader(), vocab, tokens) for tokens in texts]


@pytest.mark.task("importance", weight=4)
def test_a_word_that_supports_the_prediction_is_important(student):
    """The score of "good film" is 2. Without "good" it is 0, and without "film" it is still 2."""
    tokens = ["good", "film"]

    (importance,) = importance_to_a_simple_reader(student, [tokens])

    expect.close(importance, np.array([2.0, 0.0]), "occlusion_importance", rtol=1e-5)
    expect.equal(tokens, ["good", "film"], "occlusion_importance: tokens")


@pytest.mark.task("importance", weight=4)
def test_not_is_the_word_that_decides(student):
    """The score of "film not good" is -2. Without "not" it is 2, without "good" 0: "not" matters more."""
    (importance,) = importance_to_a_simple_reader(student, [["film", "not", "good"]])

    expect.close(importance, np.array([0.0, 4.0, 2.0]), "occlusion_importance", rtol=1e-5)


# ------------------------------------------------------------------------------------------------------------
# P2.6  What goes wrong?
# ------------------------------------------------------------------------------------------------------------


@probe
def mistakes_of_a_simple_model(student, sequences, labels):
    class First(nn.Module):
        def forward(self, ids, lengths):
            return ids[:, 0].float() - 50.0

    return [list(row) for row in student.error_table(First(), (sequences, labels))]


@pytest.mark.task("errors", weight=4)
def test_the_surest_mistake_comes_first(student):
    """The score is the first id minus 50. Two of four are wrong, and the one with the score -9 is the surer one."""
    sequences = [[55, 3], [41], [60, 2, 2], [44, 7]]
    labels = np.array([0, 1, 1, 0])
    kept = labels.copy()

    rows = mistakes_of_a_simple_model(student, sequences, labels)

    expect.equal(len(rows), 2, "error_table: rows")
    expect.equal([len(row) for row in rows], [4, 4], "error_table: entries of each row")
    expect.equal([row[0] for row in rows], [1, 0], "error_table: indices")
    expect.equal([row[1] for row in rows], [1, 0], "error_table: labels")
    expect.close([row[2] for row in rows], [-9.0, 5.0], "error_table: scores", rtol=1e-5, lists=True)
    expect.equal([row[3] for row in rows], [1, 2], "error_table: numbers of tokens")
    expect.unchanged(labels, kept, "error_table: labels of the data")


# ------------------------------------------------------------------------------------------------------------
# P2.7  The whole project in one call
# ------------------------------------------------------------------------------------------------------------


@probe
def small_run(student, texts, labels, new):
    folder = tempfile.mkdtemp()
    data = os.path.join(folder, "texts.json")
    pairs = [[text, int(label)] for text, label in zip(texts, labels, strict=True)]
    with open(data, "w") as file:
        json.dump({"train": pairs[:20], "test": pairs[20:27]}, file)
    out = os.path.join(folder, "new", "out")
    config = student.Config(data, out, min_freq=1, emb=4, hidden=4, epochs=2, batch_size=8, held_out=0.1)
    results = student.run(config)
    files = ("model.pt", "vocab.json", "results.json", "errors.json", "training.png", "importance.png")
    missing = [name for name in files if not os.path.isfile(os.path.join(out, name))]
    written = {}
    for name in files[1:4]:
        if name not in missing:
            with open(os.path.join(out, name)) as file:
                written[name] = json.load(file)
    names = ("accuracy", "baseline_accuracy", "vocab_size", "parameters", "mistakes")
    told = {name: getattr(results, name) for name in names}
    return told, missing, written, student.predict(out, new)


@pytest.mark.task("run", weight=9)
def test_a_run_goes_from_raw_texts_to_numbers_and_files(student):
    """A small run: all files are there, they say what the Results say, and predict uses them."""
    texts = ["good film", "bad film", "a good plot", "a bad plot"] * 7
    labels = np.array([1, 0] * 14)

    results, missing, written, p = small_run(student, texts, labels, ["good", "bad"])

    expect.equal(missing, [], "run: files that are missing in the folder")
    expect.equal(results["vocab_size"], 7, "run: vocab_size")
    expect.close(results["baseline_accuracy"], 1.0, "run: baseline_accuracy")
    expect.close(results["accuracy"], 1 - results["mistakes"] / 7, "run: accuracy, beside mistakes")
    expect.equal(sorted(written["vocab.json"]), sorted(["<pad>", "<unk>", "good", "bad", "film", "a", "plot"]),
                 "run: tokens in vocab.json")  # fmt: skip
    for name, value in results.items():
        expect.close(written["results.json"].get(name), float(value), f"run: {name} in results.json", rtol=1e-6)
    expect.equal(len(written["errors.json"]), results["mistakes"], "run: rows of errors.json")
    expect.shape(p, (2,), "predict")
    expect.between(float(p.min()), 0.0, 1.0, "predict: smaller probability")
    expect.between(float(p.max()), 0.0, 1.0, "predict: larger probability")


@probe
def run_on_a_folder(student, files):
    home = os.path.join(tempfile.mkdtemp(), "aclImdb")
    for name, text in files.items():
        path = os.path.join(home, *name.split("/"))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    config = student.Config(home, os.path.join(home, "out"), emb=2, hidden=2, epochs=1, batch_size=4)
    results = student.run(config)
    return results.baseline_accuracy, results.vocab_size


@pytest.mark.task("run", weight=3)
def test_the_texts_may_be_a_folder_of_reviews(student):
    """A small folder like IMDB's: pos and neg in train and test, one file for each text."""
    files = {"README": "this is no review", "train/unsup/1_0.txt": "a review without a label"}
    for part in ("train", "test"):
        for number in range(8):
            files[f"{part}/pos/{number}_9.txt"] = "great film"
            files[f"{part}/neg/{number}_2.txt"] = "awful film"

    baseline, size = run_on_a_folder(student, files)

    expect.close(baseline, 1.0, "run on a folder: baseline_accuracy")
    expect.equal(size, 5, "run on a folder: vocab_size, for <pad>, <unk>, great, awful, film")


@probe
def refusals(student, faults):
    folder = tempfile.mkdtemp()
    data = os.path.join(folder, "texts.json")
    pairs = [["good", 1], ["bad", 0]]
    with open(data, "w") as file:
        json.dump({"train": pairs, "test": pairs}, file)
    said = []
    for fault in faults:
        values = {"data": data, "out": os.path.join(folder, "out"), **fault}
        try:
            student.check_config(student.Config(**values))
        except ValueError as error:
            said.append(str(error))
        else:
            said.append(None)
    return said


@pytest.mark.task("run", weight=5)
def test_a_faulty_config_is_refused_by_name(student):
    """A ValueError names the field; a config without a fault passes."""
    faults = [{}, {"hidden": 0}, {"held_out": 0.9}, {"epochs": 0}, {"data": "nowhere.json"}]

    good, *said = refusals(student, faults)

    expect.equal(good, None, "check_config of a good config: its error")
    for fault, sentence in zip(faults[1:], said, strict=True):
        (name,) = fault
        expect.is_true(sentence is not None, f"check_config: a faulty {name} is not refused.")
        expect.is_true(name in sentence, f"check_config: the error of a faulty {name} does not name it.")
