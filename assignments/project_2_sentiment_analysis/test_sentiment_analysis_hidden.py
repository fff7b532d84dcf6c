"""Hidden tests of the sentiment project: labels, formulas and one grammar stay with the judge."""

import json
import os
import re
import tempfile

import numpy as np
import pytest
import torch
import torch.nn.modules.module as modules
from torch import nn

from autograder import expect, probe
from dlcourse import outage
from dlcourse.data import sentiment
from dlcourse.data.sentiment import BLAME, PRAISE

# The command `cd tests && python -m measure_sentiment 8` measures what the solution reaches.
ALL, NEGATED = 0.97, 0.95
STEPS = [0.65, 0.80, 0.92, 0.97]

# ------------------------------------------------------------------------------------------------------------
# P2.1  From raw text to numbers
# ------------------------------------------------------------------------------------------------------------

CLEANED = {
    "": "",
    "  \n\t ": "",
    "Plain text, as it is!": "Plain text, as it is!",
    "one<br>two<BR/>three": "one two three",
    "<p class='x y'>in</p> <a href=\"u\">link</a>": "in link",
    "I <3 it, a < b and b > a": "I <3 it, a < b and b > a",
    "an open <i and no end": "an open <i and no end",
    "</ p> and <!-- note -->": "</ p> and <!-- note -->",
    "&lt;br&gt; is a tag": "<br> is a tag",
    "&amp;lt;": "&lt;",
    "caf&eacute; &#33; &quot;so&quot; &nbsp; so": "caf\u00e9 ! \"so\" so",
    "NOT\u00a0\u2003GOOD": "NOT GOOD",
    "<b>not</b><i>good</i>": "not good",
    "x<y and z>w": "x w",
    "<two\nlines>end": "end",
    "the <\u00e9l\u00e9gant> film": "the <\u00e9l\u00e9gant> film",
    "it is <a < b> good": "it is good",
    "see <a title='x>y'>this": "see y'>this",
    "by <joe@mail.org> today": "by today",
    "a\u3000b\x85c\u2028d": "a b c d",
    "AT&ampT &hellip; &#x41;&nbspB": "AT&T \u2026 A B",
    "x\u00b2 \ufb01ne\u200b, so\u2026": "x\u00b2 \ufb01ne\u200b, so\u2026",
    '"all of it, quoted"': '"all of it, quoted"',
}  # fmt: skip

TOKENS = {
    "": [],
    "...": [],
    "Good": ["good"],
    "No! NO!! no?!": ["no", "!", "no", "!", "!", "no", "?", "!"],
    "I don't, can't and won't.": ["i", "don't", "can't", "and", "won't"],
    "It\u2019s the actors\u2019 film": ["it's", "the", "actors", "film"],
    "'fine' 'n' 'twas": ["fine", "n", "twas"],
    "rock'n'roll o''clock": ["rock'n'roll", "o", "clock"],
    "well-made, half_baked/raw": ["well", "made", "half", "baked", "raw"],
    "3.5 stars of 10": ["3", "5", "stars", "of", "10"],
    "Caf\u00e9 \u00dcber \u043a\u0438\u043d\u043e": ["caf\u00e9", "\u00fcber", "\u043a\u0438\u043d\u043e"],
    "not a bad film, nor a good one, never": ["not", "a", "bad", "film", "nor", "a", "good", "one", "never"],
    "bad.<br /><br />Not &quot;good&quot; &amp; dull": ["bad", "not", "good", "dull"],
    "&lt;br&gt;!": ["br", "!"],
    "good good": ["good", "good"],
    "It&rsquo;s fine": ["it's", "fine"],
    "&#66;AD": ["bad"],
    "Stra\u00dfe": ["stra\u00dfe"],
    "o\u2018clock it`s": ["o", "clock", "it", "s"],
    "\u00a1Bien! wait\u2026 \u00bfso?": ["bien", "!", "wait", "so", "?"],
    "\u03ba\u03b1\u03bb\u03cc, \u6620\u753b": ["\u03ba\u03b1\u03bb\u03cc", "\u6620\u753b"],
    "\u0641\u064a\u0644\u0645": ["\u0641\u064a\u0644\u0645"],
    "l'\u00e9t\u00e9": ["l'\u00e9t\u00e9"],
}  # fmt: skip


@probe
def texts_through(student, name, texts):
    return [getattr(student, name)(text) for text in texts]


@pytest.mark.task("words", weight=2)
@pytest.mark.parametrize("half", [0, 1])
def test_only_markup_is_removed(student, half):
    """clean: what exactly is a tag, in which order do tags and entities go, and what stays as it was?"""
    texts = list(CLEANED)[half::2]

    for text, got in zip(texts, texts_through(student, "clean", texts), strict=True):
        expect.equal(got, CLEANED[text], "clean")


@pytest.mark.task("words", weight=2)
@pytest.mark.parametrize("half", [0, 1])
def test_texts_of_many_kinds_are_cut(student, half):
    """tokenize: go through the rules one by one: markup, case, words, apostrophes, signs, and all the rest."""
    texts = list(TOKENS)[half::2]

    for text, got in zip(texts, texts_through(student, "tokenize", texts), strict=True):
        expect.equal(got, TOKENS[text], "tokenize")


@probe
def vocabularies(student, min_freq, texts, again, unseen):
    vocab, other = student.Vocab(min_freq), student.Vocab()
    returned = vocab.fit(texts)
    first = list(vocab.itos), dict(vocab.stoi), len(vocab)
    ids = [student.encode(text, vocab) for text in unseen]
    still = first == (list(vocab.itos), dict(vocab.stoi), len(vocab))
    vocab.fit(again)
    second = list(vocab.itos), dict(vocab.stoi), len(vocab)
    empty = list(other.itos), dict(other.stoi), len(other)
    return first, second, empty, list(student.Vocab().fit(["b a", "c"]).itos), returned is vocab, ids, still


def _known(texts, min_freq):
    words = " ".join(texts).lower().replace("!", " ! ").split()
    counts = {word: words.count(word) for word in words}
    return ["<pad>", "<unk>", *sorted((w for w in counts if counts[w] >= min_freq), key=lambda w: (-counts[w], w))]


@pytest.mark.task("words", weight=2)
@pytest.mark.parametrize("min_freq", [1, 3])
def test_a_vocabulary_depends_on_its_texts_alone(student, rng, min_freq):
    """Vocab: min_freq, order by frequency and then as a str, fit forgets; encode leaves the vocabulary as it is."""
    words = np.array("the a film was good bad not never it dull end plot Zebra apple".split())
    texts, again = (
        [" ".join(rng.choice(words, size=5, p=np.arange(1, 15) / 105)) + "!" for _ in range(12)] for _ in range(2)
    )

    first, second, empty, default, is_itself, ids, still = vocabularies(
        student, min_freq, texts, again, ["", "dreadful", *again]
    )

    for got, want, when in (
        (first, _known(texts, min_freq), "after fit"),
        (second, _known(again, min_freq), "after a second fit"),
        (empty, ["<pad>", "<unk>"], "before fit"),
    ):
        expect.equal(got[0], want, f"Vocab.itos {when}")
        expect.equal(got[1], {token: number for number, token in enumerate(want)}, f"Vocab.stoi {when}")
        expect.equal(got[2], len(want), f"len(vocab) {when}")
    expect.equal(default, ["<pad>", "<unk>", "a", "b", "c"], "Vocab().fit(...).itos")
    expect.is_true(is_itself, "Vocab.fit: it does not return the vocabulary itself.")
    known = {token: number for number, token in enumerate(_known(texts, min_freq))}
    want = [[], [1], *([known.get(w, 1) for w in text.lower().replace("!", " !").split()] for text in again)]
    expect.equal(ids, want, "encode")
    expect.is_true(still, "encode: it changed the vocabulary.")


@pytest.mark.task("words", weight=2)
def test_batches_of_many_lengths(student, rng):
    """pad_batch: every sequence begins in the first column, zeros follow, and lengths come from the lists."""
    for lengths in ([3, 1, 4, 2], [5, 5], [2, 7], [4], [1], [0, 3, 0], [1100, 2], [0, 0]):
        sequences = [rng.integers(0, 50, size=length).tolist() for length in lengths]
        kept = [list(sequence) for sequence in sequences]

        ids, got = student.pad_batch(sequences)

        want = np.zeros((len(lengths), max(lengths)), dtype=np.int64)
        for row, sequence in zip(want, sequences, strict=True):
            row[: len(sequence)] = sequence
        expect.close(ids, torch.from_numpy(want), "pad_batch: ids", dtype=torch.int64)
        expect.close(got, torch.tensor(lengths), "pad_batch: lengths", dtype=torch.int64)
        expect.equal(sequences, kept, "pad_batch: the given lists")


# ------------------------------------------------------------------------------------------------------------
# P2.2  A baseline
# ------------------------------------------------------------------------------------------------------------


def _drawn_texts(rng, n, words):
    return [" ".join(rng.choice(words, size=rng.integers(1, 9))) for _ in range(n)]


def _by_counts(texts, labels, unseen):
    """The exact probabilities, by Newton's method with steps that are halved until the sum becomes smaller."""

    def tokens(text):
        return re.findall(r"[a-z']+|!", text.lower())

    known = {token: k for k, token in enumerate(sorted({token for text in texts for token in tokens(text)}))}

    def rows(texts):
        x = np.zeros((len(texts), len(known) + 1))
        for row, text in zip(x, texts, strict=True):
            for token in tokens(text):
                if token in known:
                    row[known[token]] += 1
        x[:, -1] = 1
        return x

    x, penalty, sign = rows(texts), np.append(np.ones(len(known)), 0.0), 2.0 * labels - 1

    def total(w):
        return np.logaddexp(0, -sign * (x @ w)).sum() + 0.5 * (penalty * w * w).sum()

    w = np.zeros(x.shape[1])
    for _ in range(60):
        p = 0.5 * (1 + np.tanh(0.5 * (x @ w)))
        slope = x.T @ (p - labels) + penalty * w
        step = np.linalg.solve((x.T * (p * (1 - p))) @ x + np.diag(penalty + 1e-10), slope)
        while total(w - step) > total(w) + 1e-12 and np.abs(step).max() > 1e-12:
            step = step / 2
        w = w - step
    return 0.5 * (1 + np.tanh(0.5 * (rows(unseen) @ w)))


@pytest.mark.task("baseline", weight=2)
@pytest.mark.parametrize("share", [0.5, 0.85])
def test_the_smallest_sum_is_found(student, rng, share):
    """bag_of_words_baseline: how often and not only whether, a sum and no mean, a penalty, and a bias outside of it."""
    words = np.array("good bad not never the film a dull ! don't end".split())
    texts, unseen = _drawn_texts(rng, 60, words), _drawn_texts(rng, 25, words)
    texts[3], unseen[0] = f"{texts[3]} once", f"{unseen[0]} once"  # a token that comes once counts as well
    texts[7], unseen[1] = "...", ".."  # without any token: a row of zeros
    labels = (rng.random(60) < share).astype(np.int64)
    labels[:2] = 0, 1

    p = student.bag_of_words_baseline((texts, labels), unseen)

    want = _by_counts(texts, labels, unseen)
    expect.close(p, want, "bag_of_words_baseline", rtol=0, atol=1.2e-3)


@pytest.mark.task("baseline")
def test_only_training_words_count(student, rng):
    """bag_of_words_baseline: words that come only in the test texts change nothing, and each text is by itself."""
    texts = _drawn_texts(rng, 40, np.array("good bad not film the".split()))
    labels = np.arange(40) % 2
    unseen = ["good film", "bad film", "not good"]

    alone = student.bag_of_words_baseline((texts, labels), unseen)
    beside = student.bag_of_words_baseline(
        (texts, labels), [*unseen, "good dreadful wonderful film", "<b>GOOD</b><br />film"]
    )

    expect.close(beside[:3], alone, "bag_of_words_baseline beside other test texts", atol=2e-3)
    expect.close(float(beside[3]), float(alone[0]), "bag_of_words_baseline with unknown words", atol=2e-3)
    expect.close(float(beside[4]), float(alone[0]), "bag_of_words_baseline with markup", atol=2e-3)


@pytest.mark.task("baseline")
def test_a_large_vocabulary_fits(student, reference, rng):
    """bag_of_words_baseline: real reviews have many different words; which table is too large for them?"""
    words = [f"w{number}" for number in range(25_000)]
    parts = np.split(rng.permutation(25_000), 125)
    labels = rng.permutation(np.arange(125) % 2)
    texts = [
        " ".join([*(words[k] for k in part), *rng.choice(words[:40], size=30), ("awful", "great")[label]])
        for part, label in zip(parts, labels, strict=True)
    ]
    unseen = [" ".join([*rng.choice(words, size=60), "great"]) for _ in range(20)]

    p = student.bag_of_words_baseline((texts, labels), unseen)

    want = reference.bag_of_words_baseline((texts, labels), unseen)
    expect.close(p, want, "bag_of_words_baseline with many different words", rtol=0, atol=2e-3)


@probe
def seconds_of_the_baseline(student, texts, labels, unseen):
    import time

    start = time.process_time()
    p = student.bag_of_words_baseline((texts, labels), unseen)
    return p, time.process_time() - start


@pytest.mark.task("baseline")
def test_a_bag_does_not_see_who_says_what(student, seed):
    """bag_of_words_baseline: it stays near chance where the order decides, it is not slow, and long texts are texts."""
    texts, labels, _ = sentiment(200, seed=(seed, 1))
    unseen = ["good " * 3000, "bad " * 3000, *sentiment(20, seed=(seed, 2))[0]]

    p, seconds = seconds_of_the_baseline(student, texts, labels, unseen)

    expect.finite(p, "bag_of_words_baseline of long texts")
    want = _by_counts(texts, labels, unseen)
    expect.close(p, want, "bag_of_words_baseline", rtol=0, atol=1.2e-3)
    expect.at_most(seconds, 12.0, "bag_of_words_baseline: CPU seconds", asked=5.0)


# ------------------------------------------------------------------------------------------------------------
# P2.3  A network that reads
# ------------------------------------------------------------------------------------------------------------


@probe
def readings(student, sequences, padding):
    """Scores of sequences: together, in reverse order, with more padding, alone, and with one token changed."""
    torch.manual_seed(7)
    model = student.SentimentLSTM(30, 6, 9)
    model.eval()

    def score(rows, more=0):
        width = max(len(row) for row in rows) + more
        ids = torch.zeros(len(rows), width, dtype=torch.int64)
        for line, row in zip(ids, rows, strict=True):
            line[: len(row)] = torch.tensor(row)
        lengths = torch.tensor([len(row) for row in rows])
        kept = ids.clone(), lengths.clone()
        with torch.no_grad():
            got = model(ids, lengths)
        same.append(torch.equal(ids, kept[0]) and torch.equal(lengths, kept[1]))
        return got

    same = []
    together = score(sequences)
    backwards = score(sequences[::-1])
    padded = score(sequences, padding)
    alone = [score([row]) for row in sequences]
    moved = []  # for each place: how much the scores of texts of six tokens move
    six = [row for row in sequences if len(row) == 6]
    base = score(six)
    for place in range(6):
        other = [[*row[:place], row[place] % 29 + 1, *row[place + 1 :]] for row in six]
        moved.append(float((score(other) - base).abs().max()))
    turned = float((score([row[::-1] for row in six]) - base).abs().max())
    long = torch.randint(1, 30, (16, 1100)).tolist()
    ends = [[*row[:-40], *(number % 29 + 1 for number in row[-40:])] for row in long]
    moved.append(float((score(ends) - score(long)).abs().max()))
    return together, backwards, padded, alone, moved, turned, all(same)


@pytest.fixture(scope="module")
def read(student, seed):
    rng = np.random.default_rng([seed, 2])
    lengths = [3, 1, 6, 6, 2, 12, 6, 6, 1, 6, 6, 40, 6]
    sequences = [rng.integers(1, 30, size=length).tolist() for length in lengths]
    return readings(student, sequences, 25)


@pytest.mark.task("network", weight=5)
def test_a_text_is_read_for_itself(read):
    """SentimentLSTM: padding, order and company of a text change nothing in its score, and ids stay as they are."""
    together, backwards, padded, alone, _, _, same = read

    expect.shape(together, (13,), "SentimentLSTM.forward")
    expect.is_true(float(together.max() - together.min()) > 1e-4, "SentimentLSTM.forward: all texts have one score.")
    expect.close(backwards.flip(0), together, "SentimentLSTM.forward, texts in reverse order", rtol=0, atol=2e-6)
    expect.close(padded, together, "SentimentLSTM.forward with more padding", rtol=0, atol=2e-6)
    for number, score in enumerate(alone):
        expect.close(score, together[number : number + 1], "SentimentLSTM.forward of a text alone", rtol=0, atol=2e-6)
    expect.is_true(same, "SentimentLSTM.forward: it changed ids or lengths.")


@pytest.mark.task("network", weight=6)
def test_all_tokens_and_their_order_count(read):
    """SentimentLSTM: each token of a text has an effect on its score, from the first to the last, and so has order."""
    *_, moved, turned, _ = read

    for place, distance in enumerate(moved):
        where = {0: "first token", 5: "last token", 6: "end of a text of 1,100 tokens"}.get(
            place, "inner token of a text"
        )
        expect.is_true(distance > 1e-6, f"SentimentLSTM.forward: the {where} has no effect.")
    expect.is_true(turned > 1e-5, "SentimentLSTM.forward: the order of the tokens has no effect.")


@probe
def scores_of_many_networks(student):
    """Scores of one text by twenty networks, and of thirteen texts by a network with large parameters."""
    torch.manual_seed(11)
    ids, lengths = torch.randint(1, 30, (13, 8)), torch.full((13,), 8)
    with torch.no_grad():
        many = [float(student.SentimentLSTM(30, 6, 9).eval()(ids[:1], lengths[:1]).ravel()[0]) for _ in range(20)]
        large = []
        for _ in range(3):
            model = student.SentimentLSTM(30, 6, 9).eval()
            for parameter in model.parameters():
                parameter *= 100
            large.append(float(model(ids, lengths).abs().max()))
    return many, large


@pytest.mark.task("network")
def test_a_score_is_any_real_number(student):
    """SentimentLSTM: a score is any real number, above 0 or not, and no probability."""
    many, large = scores_of_many_networks(student)

    expect.is_true(min(many) < 0, "SentimentLSTM.forward: twenty networks give no score below 0.")
    expect.is_true(max(many) > 0, "SentimentLSTM.forward: twenty networks give no score above 0.")
    expect.is_true(max(large) > 20, "SentimentLSTM.forward: a network with large parameters gives no large score.")


@probe
def score_of_one_text_in_training(student):
    return student.SentimentLSTM(30, 6, 9).train()(torch.tensor([[4, 7, 0]]), torch.tensor([2]))


@pytest.mark.task("network")
def test_a_batch_of_training_may_hold_one_text(student):
    """SentimentLSTM: N is at least 1, in training mode too: the last batch of an epoch may hold one text."""
    score = score_of_one_text_in_training(student)

    expect.shape(score, (1,), "SentimentLSTM.forward of a single text, in training mode")
    expect.finite(score.detach(), "SentimentLSTM.forward of a single text, in training mode")


@probe
def insides_of_a_network(student):
    torch.manual_seed(3)
    model = student.SentimentLSTM(25, 7, 4)
    torch.manual_seed(3)
    twin = student.SentimentLSTM(25, 7, 4)
    third = student.SentimentLSTM(25, 7, 4)

    def flat(model):
        return np.concatenate([p.detach().numpy().ravel() for p in model.parameters()])

    weights = flat(model), flat(twin), flat(third)
    one, other = ([m.weight.detach() for m in of.modules() if isinstance(m, nn.Embedding)] for of in (model, third))
    drawn = not all(bool(torch.isclose(a, b).all()) for a, b in zip(one, other, strict=True))
    tables = [tuple(m.weight.shape) for m in model.modules() if isinstance(m, nn.Embedding)]
    cells = [m.hidden_size for m in model.modules() if isinstance(m, (nn.LSTM, nn.GRU))]
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    zero = [bool((m.weight[0] == 0).all()) for m in model.modules() if isinstance(m, nn.Embedding)]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    ids = torch.randint(1, 25, (6, 9))
    lengths = torch.tensor([9, 2, 5, 1, 3, 9])
    ids[torch.arange(9) >= lengths[:, None]] = 0
    for _ in range(3):
        optimizer.zero_grad()
        scores = model.train()(ids, lengths)
        ((scores - torch.arange(float(len(scores)))) ** 2).mean().backward()
        optimizer.step()
    still = [bool((m.weight[0] == 0).all()) for m in model.modules() if isinstance(m, nn.Embedding)]
    idle = [name for name, p in model.named_parameters() if torch.equal(p, before[name])]
    count = sum(p.numel() for p in student.SentimentLSTM(1000, 64, 64).parameters())
    return weights, tables, cells, zero, still, idle, drawn, count


@pytest.fixture(scope="module")
def insides(student):
    return insides_of_a_network(student)


@pytest.mark.task("network", weight=6)
def test_the_row_of_the_padding_stays_zero(insides):
    """SentimentLSTM: row 0 of the embedding is zero, and no step of an optimiser moves it; all others may learn."""
    _, tables, _, zero, still, idle, *_ = insides

    expect.equal(tables, [(25, 7)], "SentimentLSTM: shapes of its embeddings")
    expect.equal(zero, [True], "SentimentLSTM: whether the row of the padding is zero at the start")
    expect.equal(still, [True], "SentimentLSTM: whether the row of the padding is zero after three steps")
    expect.equal(idle, [], "SentimentLSTM: parameters that no step moves")


@pytest.mark.task("network")
def test_a_network_of_the_sizes_asked_for(insides):
    """SentimentLSTM: an LSTM or GRU of hidden units, within the budget, from torch's global generator."""
    (one, same, other), _, cells, *_, drawn, count = insides

    expect.is_true(len(cells) > 0, "SentimentLSTM: it has no nn.LSTM and no nn.GRU.")
    expect.equal(cells, [4] * len(cells), "SentimentLSTM: units of its recurrent layers")
    expect.close(same, one, "SentimentLSTM: parameters after the same seed", rtol=0, atol=0)
    expect.is_true(not np.allclose(other, one), "SentimentLSTM: two networks after one seed are equal.")
    expect.is_true(drawn, "SentimentLSTM: two networks after one seed have the same embeddings.")
    expect.is_true(count <= 250_000, "SentimentLSTM: it has more parameters than the docstring allows.")


# ------------------------------------------------------------------------------------------------------------
# P2.4  Training
# ------------------------------------------------------------------------------------------------------------


@probe
def watched_training(student, sequences, labels, val_sequences, val_labels, scores, seeds):
    """Train a model that cannot learn and looks at what it is given: the first id of a text is its number."""

    class Watcher(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(3))
            self.inner = nn.Sequential(nn.Dropout(0.5))
            self.seen, self.tests, self.masks = [], [], []

        def forward(self, ids, lengths):
            rows = [row[:n].tolist() for row, n in zip(ids, lengths.tolist(), strict=True)]
            is_padded = bool((ids.sum(1) == torch.tensor([sum(row) for row in rows])).all())
            note = rows, is_padded, torch.is_grad_enabled(), {part.training for part in self.modules()}
            (self.seen if self.training else self.tests).append(note)
            if self.training:
                self.masks.append(self.inner(torch.ones(64)).tolist())
            return scores[ids[:, 0]] + 0.0 * self.weight.sum()

    found = []
    for number, seed in enumerate(seeds):
        torch.manual_seed(50 + number)
        np.random.seed(50 + number)
        model = Watcher().eval()
        config = student.Config("", "", epochs=3, batch_size=16, lr=0.1)
        data = (sequences, labels), (val_sequences, val_labels)
        history = student.train(model, data, config, np.random.default_rng(seed))
        told = [[float(loss) for loss in row] for row in history]
        seen = [(rows, padded, grads, sorted(modes)) for rows, padded, grads, modes in model.seen]
        tests = [(rows, padded, grads, sorted(modes)) for rows, padded, grads, modes in model.tests]
        found.append((told, seen, tests, [part.training for part in model.modules()], model.masks))
    return found


@pytest.mark.task("training", weight=5)
def test_each_epoch_uses_each_text_once(student, rng):
    """train: each text once an epoch in a new random order, in training mode; both losses are means over texts."""
    sequences = [[k, *rng.integers(1, 50, size=rng.integers(0, 6)).tolist()] for k in range(1, 102)]
    sequences[60] += [7] * 700  # a long text is used as a whole
    val_sequences = [[k, 3] for k in range(102, 139)]
    labels, val_labels = rng.integers(0, 2, size=101), rng.integers(0, 2, size=37)
    scores = torch.from_numpy(rng.normal(scale=2.0, size=139).astype(np.float32))
    kept = [list(sequence) for sequence in sequences], labels.copy()

    first, again, other = watched_training(student, sequences, labels, val_sequences, val_labels, scores, [4, 4, 5])

    numbers = scores.double().numpy()
    losses = np.log1p(np.exp(-np.where(np.concatenate([[0], labels, val_labels]) == 1, numbers, -numbers)))
    want = [[losses[1:102].mean(), losses[102:].mean()]] * 3
    expect.close(first[0], want, "train: history of a model that cannot learn", rtol=1e-4, lists=True)
    orders = []
    for _, seen, tests, modes, _ in (first, again, other):
        batches = [rows for rows, *_ in seen]
        expect.equal([len(rows) for rows in batches], [16, 16, 16, 16, 16, 16, 5] * 3, "train: sizes of the batches")
        for epoch in range(3):
            visits = [row for rows in batches[7 * epoch : 7 * epoch + 7] for row in rows]
            expect.equal(sorted(visits), kept[0], "train: sequences of an epoch, sorted")
        expect.is_true(all(padded for _, padded, *_ in seen), "train: padding is not 0.")
        expect.is_true(
            all(grads and list(parts) == [True] for _, _, grads, parts in seen),
            "train: while it trains, the model or a layer of it is not in training mode.",
        )
        expect.is_true(len(tests) > 0, "train: the validation sequences are not scored in eval mode.")
        expect.is_true(
            all(not grads and list(parts) == [False] for _, _, grads, parts in tests),
            "train: validation is not in eval mode, or records gradients.",
        )
        expect.equal(modes, [False] * 3, "train: modes of the model and its layers afterwards")
        orders.append([sorted(row[0] for row in rows) for rows in batches])
    one = orders[0]
    expect.is_true(
        one[:7] != one[7:14] and one[7:14] != one[14:] and one[:7] != one[14:], "train: two epochs have one order."
    )
    # a batch of the first epoch that comes again as a whole was not drawn again
    repeated = [batch for batch in one[7:14] if batch in one[:7]]
    expect.is_true(not repeated, "train: the batches stay together, only their order is new.")
    expect.equal(orders[1], orders[0], "train: batches under the same seed of the rng")
    expect.is_true(orders[2] != orders[0], "train: another seed of the rng gives the same batches.")
    # which batch a text is in tells little about its place, length or label: 0.06 of their variance, 0.4 is far off
    traits = np.array([[k, min(len(row), 6), y] for k, (row, y) in enumerate(zip(kept[0], labels, strict=True), 1)])
    for order in orders:
        for epoch in range(3):
            means = np.zeros((101, 3))
            for batch in order[7 * epoch : 7 * epoch + 7]:
                rows = np.array(batch) - 1
                means[rows] = traits[rows].mean(axis=0)
            shares = means.var(axis=0) / traits.var(axis=0)
            expect.is_true(bool(shares.max() < 0.4), "train: the order of an epoch is not random.")
    masks = first[4]
    expect.is_true(masks[:7] != masks[7:14], "train: two epochs leave the same numbers out by dropout.")
    expect.is_true(masks[:7] != other[4][:7], "train: another seed of the rng gives the same dropout.")
    expect.equal(sequences, kept[0], "train: sequences")
    expect.unchanged(labels, kept[1], "train: labels")


@probe
def the_best_epoch(student, script):
    """A model whose validation scores follow a script, with a parameter and a buffer that each batch changes."""

    class Scripted(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(2))
            self.register_buffer("batches", torch.zeros((), dtype=torch.int64))
            self.after, self.scores = {}, []

        def forward(self, ids, lengths):
            if self.training:
                self.batches += 1
                self.scores.append(float(self.weight.detach().sum()))
                return self.weight.sum() * lengths
            self.after[int(self.batches)] = self.weight.detach().clone()
            epoch = int(self.batches) // 2
            return torch.full(lengths.shape, script[min(epoch, len(script)) - 1])

    model = Scripted()
    config = student.Config("", "", epochs=len(script), batch_size=2, lr=0.05)
    pair = [[3], [4], [5], [6]], np.ones(4, dtype=np.int64)
    val = [[7], [8], [9]], np.ones(3, dtype=np.int64)
    history = student.train(model, (pair, val), config, np.random.default_rng(2))
    is_plain = all(isinstance(loss, (float, np.floating)) for row in history for loss in row)
    after = {int(batches): weight.numpy() for batches, weight in model.after.items()}
    return (
        [[float(loss) for loss in row] for row in history],
        is_plain,
        model.scores,
        model.weight.detach().numpy(),
        int(model.batches),
        after,
    )


@pytest.mark.task("training", weight=3)
@pytest.mark.parametrize(
    "script", [[0.0, 2.0, 1.0, 2.0, -1.0], [3.0 - 0.5 * k for k in range(14)], [0.0, 1.0, 2.0], [1.0, 2.0, 0.0]]
)
def test_the_best_epoch_is_kept(student, script):
    """train: parameters and buffers are those after the epoch of the smallest validation loss, the first of equals."""
    _, _, _, weight, batches, after = the_best_epoch(student, script)

    best = 2 * (script.index(max(script)) + 1)
    expect.is_true(best in after, "train: the validation loss is not measured after each epoch.")
    expect.equal(batches, best, "train: a buffer that counts batches, afterwards")
    expect.close(weight, after[best], "train: parameters afterwards", rtol=0, atol=0)


@pytest.mark.task("training")
def test_the_history_tells_each_epoch(student):
    """train: all epochs are trained; the history holds floats, and the training losses as they were in the epoch."""
    script = [3.0 - 0.5 * epoch for epoch in range(14)]

    history, is_plain, scores, *_ = the_best_epoch(student, script)

    expect.equal(len(history), 14, "train(epochs=14), while the validation loss rises: length of the history")
    during = np.log1p(np.exp(-np.array(scores))).reshape(14, 2).mean(axis=1)  # two batches of two texts an epoch
    val = np.log1p(np.exp(-np.array(script)))
    expect.close([row[0] for row in history], during, "train: training losses of the history", rtol=1e-4, lists=True)
    expect.close([row[1] for row in history], val, "train: validation losses of the history", rtol=1e-4, lists=True)
    expect.is_true(is_plain, "train: a loss of the history is no float.")


@probe
def gradients_at_the_step(student, first, second, clip):
    from torch.optim.optimizer import register_optimizer_step_pre_hook

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.one = nn.Parameter(torch.full((3,), 0.03))
            self.two = nn.Parameter(torch.tensor([[1.0, -1.0], [-1.0, 1.0]]))

        def forward(self, ids, lengths):
            return ((self.one * first).sum() + (self.two * second).sum()) * lengths

    model, seen = Net(), []
    hook = register_optimizer_step_pre_hook(
        lambda optimizer, args, kwargs: seen.append(torch.cat([model.one.grad, model.two.grad.flatten()]).clone())
    )
    try:
        config = student.Config("", "", epochs=1, batch_size=4, lr=0.01, clip=clip)
        pair = [[5]] * 4, np.ones(4, dtype=np.int64)
        student.train(model, (pair, pair), config, np.random.default_rng(0))
    finally:
        hook.remove()
    return seen


@pytest.mark.task("training")
@pytest.mark.parametrize("clip", [0.02, 2.0, 1000.0])
def test_all_gradients_are_cut_together(student, rng, clip):
    """train: each step uses the gradient of the loss alone, cut to the length clip, in the same direction."""
    first, second = rng.normal(scale=8, size=3), rng.normal(scale=0.5, size=(2, 2))

    seen = gradients_at_the_step(
        student, torch.tensor(first, dtype=torch.float32), torch.tensor(second, dtype=torch.float32), clip
    )

    expect.equal(len(seen), 1, "train(epochs=1) with one batch: steps")
    score = 0.03 * first.sum() + second[0, 0] - second[0, 1] - second[1, 0] + second[1, 1]
    raw = -np.concatenate([first, second.ravel()]) / (1 + np.exp(score))
    want = raw * min(1.0, clip / np.linalg.norm(raw))
    expect.close(seen[0].double(), torch.from_numpy(want), "train: gradients at the step", rtol=1e-3, atol=1e-6)


@probe
def rates_of_a_training(student, lr, batch_size):
    """The learning rates of each step of an optimiser."""
    from torch.optim.optimizer import register_optimizer_step_pre_hook

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.one = nn.Parameter(torch.zeros(3))

        def forward(self, ids, lengths):
            return self.one.sum() * lengths

    rates = []
    hook = register_optimizer_step_pre_hook(
        lambda optimizer, args, kwargs: rates.append(max(float(group["lr"]) for group in optimizer.param_groups))
    )
    try:
        config = student.Config("", "", epochs=6, batch_size=batch_size, lr=lr)
        pair = [[5]] * 7, np.array([0, 1, 0, 1, 0, 1, 0])
        student.train(Net(), (pair, pair), config, np.random.default_rng(0))
    finally:
        hook.remove()
    return rates


@pytest.mark.task("training")
@pytest.mark.parametrize(("lr", "batch_size"), [(0.002, 2), (0.05, 1)])
def test_the_learning_rate_is_that_of_the_config(student, lr, batch_size):
    """train: a step for each batch; its learning rate is never above config.lr, and once at least half of it."""
    rates = rates_of_a_training(student, lr, batch_size)

    expect.equal(len(rates), 6 * -(-7 // batch_size), "train(epochs=6) with seven texts: steps")
    expect.is_true(max(rates) <= lr * 1.00001, "train: the learning rate of a step is above config.lr.")
    expect.is_true(max(rates) >= lr * 0.49999, "train: no step has half of config.lr or more.")


@probe
def stopped_training(student, sequences, labels, stop):
    """Train a model with dropout without a stop, with one, and once more; count what the model is given.

    The labels of the validation are turned round, so that the first epoch is the best one.
    """

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Embedding(60, 5, padding_idx=0)
            self.body = nn.Sequential(nn.BatchNorm1d(5), nn.Dropout(0.3), nn.Linear(5, 1))
            self.calls, self.limit = 0, None

        def forward(self, ids, lengths):
            if self.training:
                if self.calls == self.limit:
                    raise outage.Stop
                self.calls += 1
            return self.body(self.table(ids).sum(dim=1))[:, 0]

    def new():
        torch.manual_seed(8)
        return Net()

    def flat(model):
        return np.concatenate([value.double().numpy().ravel() for value in model.state_dict().values()])

    def told(history):
        return [[float(loss) for loss in row] for row in history]

    config = student.Config("", "", epochs=5, batch_size=6, lr=0.05)
    data = {name: ((sequences, labels), (sequences, labels if name == "up" else 1 - labels)) for name in ("up", "down")}
    found = {"calls": []}
    for number, name in enumerate(("whole", "again", "other")):
        model = new()
        torch.manual_seed(100 + number)
        np.random.seed(100 + number)
        history = student.train(model, data["up"], config, np.random.default_rng(4 + (name == "other")))
        found[name] = told(history), flat(model)
    model = new()
    torch.manual_seed(103)
    found["down"] = told(student.train(model, data["down"], config, np.random.default_rng(4))), flat(model)
    is_stopped = is_there = True
    for kind in ("up", "down"):
        path = os.path.join(tempfile.mkdtemp(), "state")
        model = new()
        model.limit = stop
        try:
            student.train(model, data[kind], config, np.random.default_rng(4), checkpoint=path)
            is_stopped = False
        except outage.Stop:
            is_there = is_there and os.path.isfile(path)
        for name in ("resumed", "finished"):
            torch.manual_seed(len(found))
            model = Net()
            torch.manual_seed(99)
            history = student.train(model, data[kind], config, np.random.default_rng(4), checkpoint=path)
            found[f"{name} {kind}"] = told(history), flat(model)
            found["calls"].append(model.calls)
    return found, is_stopped, is_there


@pytest.fixture(scope="module")
def stopped(student, seed):
    rng = np.random.default_rng([seed, 3])
    sequences = [rng.integers(1, 60, size=rng.integers(1, 5)).tolist() for _ in range(22)]
    return stopped_training(student, sequences, np.arange(22) % 2, 10)  # four batches an epoch: in the third epoch


@pytest.mark.task("training", weight=2)
def test_the_rng_decides_a_training(stopped):
    """train: rng and arguments decide weights and history, dropout too; another seed gives another order."""
    found, *_ = stopped

    expect.close(found["again"][0], found["whole"][0], "train: history under the same seed", rtol=0, atol=0, lists=True)
    expect.close(found["again"][1], found["whole"][1], "train: weights under the same seed", rtol=0, atol=0)
    expect.is_true(not np.allclose(found["other"][1], found["whole"][1]), "train: two seeds give the same weights.")


@pytest.mark.task("training", weight=3)
def test_a_stopped_training_goes_on_where_it_was(stopped):
    """train with a checkpoint: after a stop it goes on with the next epoch, and ends as if there had been no stop."""
    found, is_stopped, is_there = stopped

    expect.is_true(is_stopped and is_there, "train: a stop in the third epoch leaves no checkpoint.")
    expect.equal(found["calls"], [12, 0, 12, 0], "train: batches after a stop, and after the end, in two trainings")
    for name, whole, what in (
        ("resumed up", "whole", "after a stop"),
        ("finished up", "whole", "all epochs done"),
        ("resumed down", "down", "after a stop, best epoch before it"),
        ("finished down", "down", "all epochs done, best epoch before a stop"),
    ):
        expect.close(found[name][0], found[whole][0], f"train, {what}: history", rtol=0, atol=0, lists=True)
        expect.close(found[name][1], found[whole][1], f"train, {what}: weights", rtol=0, atol=0)


@probe
def used_in_both_modes(student, sequences, labels, tokens, names):
    """Use a model with batch norm and dropout from both modes; note results, modes and gradients."""

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.drop = nn.BatchNorm1d(1), nn.Dropout(0.5)
            self.norm.running_mean.fill_(0.5)
            self.records = []

        def forward(self, ids, lengths):
            self.records.append(torch.is_grad_enabled())
            values = torch.sin(ids.float() * 7.3).sum(dim=1) * (1 + 0.1 * lengths)
            return self.drop(self.norm(values[:, None]))[:, 0]

    model = Model()
    vocab = student.Vocab().fit([" ".join(tokens)])
    calls = {
        "predict_scores": lambda: student.predict_scores(model, sequences).tolist(),
        "occlusion_importance": lambda: student.occlusion_importance(model, vocab, tokens).tolist(),
        "error_table": lambda: [list(row) for row in student.error_table(model, (sequences, labels))],
    }
    found = {}
    for name in names:
        rows = []
        for training in (True, False):
            model.train(training)
            model.drop.train(not training)
            value = calls[name]()
            rows.append((value, [model.training, model.norm.training, model.drop.training]))
        found[name] = rows, any(model.records), torch.is_grad_enabled(), int(model.norm.num_batches_tracked)
        del model.records[:]
        torch.set_grad_enabled(True)
    return found


def _scores(sequences):
    """What the model of used_in_both_modes says in eval mode."""
    sums = [np.sin(np.float32(7.3) * np.array(row, dtype=np.float32)).sum() * (1 + 0.1 * len(row)) for row in sequences]
    return (np.array(sums) - 0.5) / np.sqrt(1 + 1e-5)


def _used(student, rng, name):
    """Check the manners of one function; return what it gave in both modes, and the sequences."""
    sequences = [rng.integers(1, 90, size=rng.integers(1, 8)).tolist() for _ in range(300)]
    sequences[200] = [3] * 700
    kept = [list(sequence) for sequence in sequences]
    labels = rng.integers(0, 2, size=300)

    rows, records, still, counted = used_in_both_modes(student, sequences, labels, ["good", "bad", "film"], [name])[
        name
    ]

    for (_, modes), training in zip(rows, (True, False), strict=True):
        expect.equal(modes, [training, training, not training], f"{name}: modes of the model and two layers afterwards")
    expect.equal(counted, 0, f"{name}: batches that batch norm has counted")
    expect.is_true(not records, f"{name}: what the model computes records gradients.")
    expect.is_true(still, f"{name}: afterwards nothing records gradients any more.")
    expect.equal(sequences, kept, f"{name}: sequences")
    return [value for value, _ in rows], sequences, labels


@pytest.mark.task("training", weight=2)
def test_scores_are_computed_in_eval_mode(student, rng):
    """predict_scores: eval mode, no gradients, each layer back in its mode, and the scores in order of the texts."""
    values, sequences, _ = _used(student, rng, "predict_scores")

    for value in values:
        expect.close(value, _scores(sequences), "predict_scores", rtol=1e-4, atol=2e-5, lists=True)


# ------------------------------------------------------------------------------------------------------------
# P2.5  Which word decides?
# ------------------------------------------------------------------------------------------------------------


@probe
def importance_to_a_placed_reader(student, values, base, texts):
    """Each id has a value, which counts more the later it comes; the padding counts a lot if it is read."""

    class Reader(nn.Module):
        def forward(self, ids, lengths):
            places = torch.arange(1, ids.shape[1] + 1)
            inside = places <= lengths[:, None]
            return base + (values[ids] * places * inside).sum(dim=1)

    vocab = student.Vocab().fit(["a a a a a b b b b c c c d d e"])
    kept = dict(vocab.stoi)
    found = [student.occlusion_importance(Reader(), vocab, tokens) for tokens in texts]
    return found, list(vocab.itos), kept == vocab.stoi


def _score(values, base, tokens, ids):
    return base + sum(float(values[ids.get(token, 1)]) * place for place, token in enumerate(tokens, 1))


def _importance(values, base, tokens, ids):
    score = _score(values, base, tokens, ids)
    sign = 1.0 if score > 0 else -1.0
    without = [[*tokens[:place], *tokens[place + 1 :]] or ["<unk>"] for place in range(len(tokens))]
    return np.array([sign * (score - _score(values, base, rest, ids)) for rest in without])


@pytest.mark.task("importance", weight=5)
@pytest.mark.parametrize("base", [200.0, -200.0])
def test_a_place_is_taken_away_and_not_a_word(student, rng, base):
    """occlusion_importance: one place goes, those after it move up, and the sign follows the predicted label."""
    values = torch.from_numpy(rng.integers(1, 9, size=7).astype(np.float32))
    texts = [
        ["a", "b", "a", "c", "a"],
        ["e", "d", "zzz", "c"],
        ["b", "b"],
        ["a", "b", "c", "d", "e", "never", "a", "e"],
        rng.choice(["a", "b", "c", "never"], size=600).tolist(),
    ]
    kept = [list(tokens) for tokens in texts]

    found, itos, same = importance_to_a_placed_reader(student, values, base, texts)

    expect.equal(itos, ["<pad>", "<unk>", "a", "b", "c", "d", "e"], "Vocab.itos")
    ids = {token: number for number, token in enumerate(itos)}
    for tokens, importance in zip(texts, found, strict=True):
        expect.close(importance, _importance(values, base, tokens, ids), "occlusion_importance", rtol=1e-4, atol=1e-3)
    expect.equal(texts, kept, "occlusion_importance: tokens")
    expect.is_true(same, "occlusion_importance: it changed the vocabulary.")


@pytest.mark.task("importance", weight=3)
def test_a_text_of_one_token_becomes_unknown(student, rng):
    """occlusion_importance: a text of one token, a token that is not known, and a score of exactly 0."""
    values = torch.from_numpy(rng.integers(2, 9, size=7).astype(np.float32))
    values[1] = 11.0
    texts = [["a"], ["zzz"], ["e"]]

    for base in (1.0, -30.0, -float(values[2])):  # with the last one the score of "a" is 0, which means label 0
        found, itos, _ = importance_to_a_placed_reader(student, values, base, texts)
        ids = {token: number for number, token in enumerate(itos)}
        for tokens, importance in zip(texts, found, strict=True):
            want = _importance(values, base, tokens, ids)
            expect.close(importance, want, "occlusion_importance of a single token", rtol=1e-4, atol=1e-4)


@pytest.mark.task("importance", weight=2)
def test_importance_is_measured_in_eval_mode(student, rng):
    """occlusion_importance: eval mode, no gradients, and each layer back in its mode."""
    values, *_ = _used(student, rng, "occlusion_importance")

    whole, *rest = _scores([[4, 2, 3], [2, 3], [4, 3], [4, 2]])  # ids by alphabet: bad 2, film 3, good 4
    sign = 1.0 if whole > 0 else -1.0
    for value in values:
        want = sign * (whole - np.array(rest))
        expect.close(value, want, "occlusion_importance", rtol=1e-3, atol=1e-3, lists=True)


# ------------------------------------------------------------------------------------------------------------
# P2.6  What goes wrong?
# ------------------------------------------------------------------------------------------------------------


@probe
def mistakes_of_a_table(student, scores, sequences, labels):
    class Table(nn.Module):
        def forward(self, ids, lengths):
            return scores[ids[:, 0]]

    rows = student.error_table(Table(), (sequences, labels))
    is_list, rows = isinstance(rows, (list, tuple)), [list(row) for row in rows]
    return rows, is_list and all([type(entry) for entry in row] == [int, int, float, int] for row in rows)


@pytest.mark.task("errors", weight=4)
def test_mistakes_are_in_order(student, rng):
    """error_table: the surest mistake first, by the score and not by a probability; equals in the order of the data."""
    pool = np.array([0.0, 0.5, -0.5, 2.0, -2.0, 40.0, -40.0, 50.0, -50.0, 300.0, -300.0, 1e-9, -1e-9])
    scores = rng.choice(pool, size=90)
    labels = rng.integers(0, 2, size=90)
    scores[4], labels[4] = 1.2345678, 0
    sequences = [[k, *[1] * int(rng.integers(0, 5))] for k in range(90)]
    kept = labels.copy()

    rows, _ = mistakes_of_a_table(student, torch.from_numpy(scores.astype(np.float32)), sequences, labels)

    wrong = [k for k in range(90) if (scores[k] > 0) != (labels[k] == 1)]
    want = sorted(wrong, key=lambda k: (-abs(scores[k]), k))
    expect.equal([row[0] for row in rows], want, "error_table: indices")
    expect.equal([row[1] for row in rows], [int(labels[k]) for k in want], "error_table: labels")
    got = [row[2] for row in rows]
    expect.close(got, np.array([scores[k] for k in want]), "error_table: scores", rtol=1e-5, lists=True)
    expect.equal([row[3] for row in rows], [len(sequences[k]) for k in want], "error_table: numbers of tokens")
    expect.unchanged(labels, kept, "error_table: labels of the data")


@pytest.mark.task("errors", weight=2)
def test_a_score_of_zero_means_label_zero(student):
    """error_table: think of a score of exactly zero; without a mistake the list is empty, entries are plain."""
    scores = torch.tensor([0.0, 0.0, 3.0, -3.0])
    sequences = [[0], [1, 1], [2, 2, 2], [3]]

    right, _ = mistakes_of_a_table(student, scores, sequences, np.array([0, 0, 1, 0]))
    rows, is_plain = mistakes_of_a_table(student, scores, sequences, np.array([1, 0, 0, 0]))

    expect.equal(right, [], "error_table without a mistake")
    expect.equal([row[0] for row in rows], [2, 0], "error_table: indices")
    expect.is_true(is_plain, "error_table: it is no list, or its rows are not int, int, float, int.")


@pytest.mark.task("errors", weight=2)
def test_errors_are_measured_in_eval_mode(student, rng):
    """error_table: eval mode, no gradients, and each layer back in its mode."""
    values, sequences, labels = _used(student, rng, "error_table")

    scores = _scores(sequences)
    clear = {k for k in range(300) if abs(scores[k]) > 1e-3}
    want = sorted(k for k in clear if (scores[k] > 0) != (labels[k] == 1))
    for rows in values:
        expect.equal(sorted(row[0] for row in rows if row[0] in clear), want, "error_table: indices, sorted")


# ------------------------------------------------------------------------------------------------------------
# P2.7  The whole project in one call
# ------------------------------------------------------------------------------------------------------------


@probe
def config_refusals(student, faults):
    folder = tempfile.mkdtemp()
    data = os.path.join(folder, "texts.json")
    pairs = [["good", 1], ["bad", 0]]
    with open(data, "w") as file:
        json.dump({"train": pairs, "test": pairs}, file)
    said = []
    for fault in faults:
        values = {"data": data, "out": os.path.join(folder, "out"), **fault}
        if values["out"] == "the data file":
            values["out"] = data
        try:
            student.check_config(student.Config(**values))
        except ValueError as error:
            said.append(str(error))
        except NotImplementedError:
            raise
        except Exception:
            said.append("")
        else:
            said.append(None)
    return said


@pytest.mark.task("run", weight=3)
def test_each_fault_of_a_config_is_named(student):
    """check_config: a ValueError names the field, for values out of range and of another type; others pass."""
    good = [
        {}, {"emb": 1}, {"emb": 128}, {"hidden": 1}, {"hidden": 128}, {"held_out": 0.5}, {"held_out": 1e-3},
        {"epochs": 1}, {"lr": 1}, {"clip": 5}, {"batch_size": 1}, {"min_freq": 1}, {"seed": 2**31},
        {"epochs": 10**6}, {"batch_size": 10**6}, {"min_freq": 10**4}, {"lr": 30.0}, {"clip": 1e6},
    ]  # fmt: skip
    bad = [
        {"emb": 0}, {"emb": 129}, {"emb": 8.0}, {"emb": True}, {"emb": "8"}, {"hidden": 129}, {"hidden": -1},
        {"held_out": 0}, {"held_out": 0.51}, {"held_out": float("nan")}, {"held_out": "0.3"}, {"epochs": 0},
        {"epochs": 2.0}, {"epochs": True}, {"batch_size": 0}, {"batch_size": None}, {"min_freq": 0}, {"min_freq": 1.0},
        {"seed": True}, {"hidden": True}, {"batch_size": True}, {"min_freq": True},
        {"lr": 0.0}, {"lr": -1.0}, {"lr": float("inf")}, {"lr": float("nan")}, {"lr": True}, {"clip": 0.0},
        {"clip": float("inf")}, {"clip": "1"}, {"seed": -1}, {"seed": 1.5}, {"data": "missing.json"}, {"data": 7},
        {"out": "the data file"}, {"out": 7},
    ]  # fmt: skip

    said = config_refusals(student, good + bad)

    for config, text in zip(good, said, strict=False):
        name = next(iter(config), "nothing special")
        expect.equal(text, None, f"check_config of an allowed config ({name}): its error")
    for config, text in zip(bad, said[len(good) :], strict=True):
        (name,) = config
        expect.is_true(text is not None, f"check_config: a value of {name} that is not allowed passes.")
        expect.is_true(name in text, f"check_config: a ValueError for a faulty {name} does not name it.")


@probe
def bad_data(student, contents):
    told, written = [], []
    for number, content in enumerate(contents):
        folder = tempfile.mkdtemp()
        data = os.path.join(folder, f"d{number}.json")
        with open(data, "w", encoding="latin-1") as file:
            file.write(content)
        try:
            student.run(student.Config(data, os.path.join(folder, "out"), epochs=1))
        except ValueError as error:
            told.append("data" in str(error))
        except NotImplementedError:
            raise
        except Exception:
            told.append(False)
        else:
            told.append(False)
        written.append(os.path.exists(os.path.join(folder, "out")))
    try:
        student.run(student.Config(data, os.path.join(folder, "out"), epochs=0))
    except ValueError as error:
        told.append("epochs" in str(error))
    else:
        told.append(False)
    return told, any(written)


@pytest.mark.task("run", weight=3)
def test_a_faulty_data_file_is_refused(student):
    """run: a file with another content than Config says is a ValueError that names data, before out is made."""
    good = [["good", 1], ["bad", 0]]
    contents = [
        "no JSON {", "[1, 2]", json.dumps({"train": good}), json.dumps({"test": good}),
        json.dumps({"train": good, "test": [["good", 2], ["bad", 0]]}),
        json.dumps({"train": [["good", "1"], ["bad", 0]], "test": good}),
        json.dumps({"train": [[1, 1], ["bad", 0]], "test": good}),
        json.dumps({"train": [["good"], ["bad", 0]], "test": good}),
        json.dumps({"train": good, "test": [["good", True], ["bad", 0]]}),
        json.dumps({"train": [["good", 1, 1], ["bad", 0]], "test": good}),
        json.dumps({"train": good, "test": good[:1]}),
        json.dumps({"train": [*good, ["bad", -1]], "test": good}),
        json.dumps({"train": good, "test": [*good, [None, 1]]}),
        json.dumps({"train": [*good, ["caf\u00e9", 1]], "test": good}, ensure_ascii=False),  # no UTF-8, see bad_data
    ]  # fmt: skip

    told, is_written = bad_data(student, contents)

    expect.equal(told, [True] * 15, "run: faulty data files, and a faulty config, that are refused by name")
    expect.is_true(not is_written, "run: with a faulty data file it makes the folder out.")


@probe
def a_folder_of_reviews(student, files, faulty):
    """Run on a folder as IMDB's reviews come, and on others that have a fault."""

    def written(files):
        home = os.path.join(tempfile.mkdtemp(), "aclImdb")
        for place, content in files.items():
            path = os.path.join(home, *place.split("/"))
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(content)
        return home, os.path.join(os.path.dirname(home), "out")

    options = {"emb": 3, "hidden": 3, "epochs": 1, "batch_size": 4}
    home, out = written(files)
    results = student.run(student.Config(home, out, **options))
    read = []
    for name in ("vocab.json", "errors.json"):
        with open(os.path.join(out, name)) as file:
            read.append(json.load(file))
    told = []
    for content in faulty:
        home, out = written(content)
        try:
            student.run(student.Config(home, out, **options))
        except ValueError as error:
            told.append("data" in str(error) and not os.path.exists(out))
        except NotImplementedError:
            raise
        except Exception:
            told.append(False)
        else:
            told.append(False)
    return results.accuracy, results.baseline_accuracy, *read, told


@pytest.mark.task("run", weight=2)
def test_a_folder_of_reviews_is_read(student, rng):
    """run: data may be a folder as IMDB's reviews are published; which files count, and which label do they have?"""
    files = {"README": b"no text", "train/unsup/0_0.txt": b"unlabelled", "train/pos/list.csv": b"comma"}
    files |= {"imdb.vocab": b"no text", "train/neg/more/1_1.txt": b"nested"}
    for part, count in (("train", 12), ("test", 4)):
        for kind, words in (("neg", "awful dull"), ("pos", "great d\u00e9licieux")):
            for number in range(count):
                text = f"A film<br />and {words} {rng.choice(['plot', 'end'])}, number{part}{number}"
                files[f"{part}/{kind}/{number}_{rng.integers(1, 11)}.txt"] = text.encode()
    # the same tokens with both labels: one of the two is a mistake, whatever the network says
    files |= {"test/neg/same_4.txt": b"the same film", "test/pos/same_7.txt": b"The <i>same</i> film"}
    missing = ("train/pos/", "test/neg/", "test/")
    faulty = [{name: of for name, of in files.items() if not name.startswith(part)} for part in missing]
    faulty.append({name: b"caf\xe9" if name.startswith("test/pos/1_") else of for name, of in files.items()})

    accuracy, baseline, itos, errors, told = a_folder_of_reviews(student, files, faulty)

    expect.close(baseline, 0.9, "run on a folder: baseline_accuracy, where one word tells nine of ten labels")
    for token in ("awful", "great", "d\u00e9licieux", "and"):
        expect.is_true(token in itos, "run on a folder: the vocabulary lacks a token that half of the texts have.")
    for token in ("unlabelled", "comma", "text", "br", "nested"):
        expect.is_true(token not in itos, "run on a folder: the vocabulary has a token of a file that does not count.")
    known = {content.decode(): int("/pos/" in name) for name, content in files.items() if name.startswith("test/")}
    expect.close(accuracy, 1 - len(errors) / 10, "run on a folder: accuracy, beside the rows of errors.json")
    for row in errors:
        expect.equal(row["label"], known.get(row["text"]), "run on a folder: label of a text in errors.json")
    expect.equal(told, [True] * 4, "run: three folders without a part, and one with a text that is no UTF-8, refused")


@probe
def several_runs(student, train, test, new, stop):
    """Run small configs in several folders, with and without a stop; count the batches of training."""
    count, limit = [0], [None]

    def is_outage_in_save():
        return limit[0] == "save" and count[0] >= stop

    def look(module, inputs):
        if isinstance(module, student.SentimentLSTM) and module.training and torch.is_grad_enabled():
            if count[0] == limit[0]:
                raise outage.Stop
            count[0] += 1

    names = ("accuracy", "baseline_accuracy", "vocab_size", "parameters", "mistakes")

    def told(results):
        return [float(getattr(results, name)) for name in names]

    def state(out):
        weights = torch.load(os.path.join(out, "model.pt"), weights_only=True)
        return np.concatenate([weights[key].double().numpy().ravel() for key in sorted(weights)])

    def listing(folder):
        return sorted(
            os.path.relpath(os.path.join(at, name), folder) for at, _, names in os.walk(folder) for name in names
        )

    root = tempfile.mkdtemp()
    data = os.path.join(root, "texts.json")
    with open(data, "w") as file:
        json.dump({"train": train, "test": test}, file)
    here = os.path.join(root, "here")
    os.mkdir(here)
    old = os.getcwd()
    os.chdir(here)
    found = {}
    eye = modules.register_module_forward_pre_hook(look)
    try:
        plan = [
            ("whole", "a", {}, None),
            ("again", "b", {}, None),
            ("stopped", "c", {}, stop),
            ("resumed", "c", {}, None),
            ("finished", "c", {}, None),
            ("other stopped", "b", {"seed": 5}, stop),
            ("other", "b", {"seed": 5}, None),
            ("back", "b", {}, None),
            ("halved", "d", {}, "save"),
            ("recovered", "d", {}, None),
        ]
        for number, (name, folder, changes, at) in enumerate(plan):
            torch.manual_seed(number)
            np.random.seed(number)
            count[0], limit[0] = 0, at
            out = os.path.join(root, folder)
            options = {"emb": 4, "hidden": 5, "epochs": 4, "batch_size": 8, "held_out": 0.24, "seed": 2, "min_freq": 2}
            try:
                with outage.in_save(is_outage_in_save):
                    results = told(student.run(student.Config(data, out, **{**options, **changes})))
                found[name] = results, count[0], state(out)
            except outage.Stop:
                found[name] = None
            except Exception:
                if name != "recovered":
                    raise
                found[name] = None
    finally:
        eye.remove()
        os.chdir(old)
    files = listing(root)
    outside = [name for name in files if name.split(os.sep)[0] not in ("a", "b", "c", "d") and name != "texts.json"]
    written = []
    for name in ("results.json", "errors.json", "vocab.json"):
        with open(os.path.join(root, "c", name)) as file:
            written.append(json.load(file))
    pictures = []
    for name in ("training.png", "importance.png"):
        with open(os.path.join(root, "c", name), "rb") as file:
            pictures.append(file.read(4) == b"\x89PNG")
    moved = os.path.join(root, "moved")
    os.rename(os.path.join(root, "c"), moved)
    os.remove(data)
    together = student.predict(moved, new)
    alone = [student.predict(moved, [text]) for text in new]
    return found, outside, written, pictures, together, alone, student.predict(moved, [text for text, _ in test])


@pytest.fixture(scope="module")
def runs(student, seed):
    rng = np.random.default_rng([seed, 6])
    words = np.array("good bad not never the film a dull end plot".split())

    def texts(n, *more):  # each text has a word of its own: with min_freq=2 it is unknown
        rare = [f"rare{'abcdefgh'[k % 8]}{'abcdefgh'[k // 8]}" for k in range(n)]
        return [[" ".join([*rng.choice(words, size=rng.integers(1, 6)), rare[k], *more]), k % 2] for k in range(n)]

    train, test = texts(32, "well"), texts(17, "unheard")
    test[3][0], test[5][0] = "...", "<br />Dull &amp; BAD!"
    new = ["good film", "", "...", "xyzzy", "<b>GOOD</b>&nbsp;film", "xyzzy plugh plugh", "good film " * 40, "!"]
    found = several_runs(student, train, test, new, 9)  # 24 texts to learn from: three batches an epoch
    return *found, train, test


@pytest.mark.task("run", weight=3)
def test_a_run_is_decided_by_its_config(runs):
    """run: the config decides Results and model, not the folder, and not what is in it or in global states."""
    found, *_ = runs
    whole = found["whole"]

    expect.is_true(whole is not None, "run: it was stopped before its end.")
    expect.equal(whole[1], 12, "run: batches of four epochs of three batches, where 0.24 of 32 texts are held out")
    for name, what in (("again", "a second time"), ("back", "after a run with another config in the folder")):
        expect.is_true(found[name] is not None, "run: it was stopped before its end.")
        expect.close(found[name][0], whole[0], f"run, {what}: Results", rtol=1e-6, atol=0, lists=True)
        expect.close(found[name][2], whole[2], f"run, {what}: weights", rtol=0, atol=0)
    is_trained = found["other stopped"] is None  # the stop is in its training
    expect.is_true(is_trained, "run: with another config in a used folder it does not train from the beginning.")
    expect.is_true(found["other"] is not None, "run: it was stopped before its end.")
    expect.equal(found["other"][1], 3, "run with another config in a used folder, after a stop: batches of training")
    same = found["other"][2].shape == whole[2].shape and np.allclose(found["other"][2], whole[2])
    expect.is_true(not same, "run: two seeds give the same model.")


@pytest.mark.task("run", weight=4)
def test_a_stopped_run_goes_on(runs):
    """run: after a stop, epochs that are done are not trained again, and the end is the same; a complete run rests."""
    found, *_ = runs
    whole, resumed, finished = found["whole"], found["resumed"], found["finished"]

    expect.is_true(found["stopped"] is None, "run: it went on after an error in a batch.")
    expect.equal(resumed[1], 3, "run: batches after a stop at the begin of the fourth epoch")
    expect.equal(finished[1], 0, "run, already complete: batches of training")
    recovered = found["recovered"]
    expect.is_true(recovered is not None, "run: after a stop while a file was written it does not come to its end.")
    expect.is_true(recovered[1] <= 6, "run, stopped while it wrote a file after the third epoch: it starts again.")
    for name, run in (
        ("after a stop", resumed),
        ("already complete", finished),
        ("stopped while it wrote a file", recovered),
    ):
        expect.close(run[0], whole[0], f"run, {name}: Results", rtol=1e-6, atol=0, lists=True)
        expect.close(run[2], whole[2], f"run, {name}: weights", rtol=0, atol=0)


@pytest.mark.task("run", weight=4)
def test_the_numbers_of_a_run_are_true(runs):
    """run: test texts serve for measuring alone, and Results, errors and vocabulary are what the docstrings say."""
    found, outside, (results, errors, itos), pictures, _, _, p, train, test = runs
    accuracy, baseline, vocab_size, parameters, mistakes = found["finished"][0]
    labels = np.array([label for _, label in test])
    wrong = [k for k in range(len(test)) if (p[k] > 0.5) != (labels[k] == 1)]

    expect.close(accuracy, 1 - len(wrong) / len(test), "run: accuracy", atol=1e-6)
    expect.equal(int(mistakes), len(wrong), "run: mistakes")
    texts, truth = [text for text, _ in train], np.array([label for _, label in train])
    by_counts = _by_counts(texts, truth, [text for text, _ in test])
    share = float(((by_counts > 0.5) == (labels == 1)).mean())
    coins = float((np.abs(by_counts - 0.5) < 2e-3).mean())  # texts that the tolerance of the baseline may turn round
    expect.between(baseline, share - coins, share + coins, "run: baseline_accuracy")
    expect.equal(int(vocab_size), len(itos), "run: vocab_size, beside vocab.json")
    expect.is_true("unheard" not in itos, "run: the vocabulary has a token that only test texts have.")
    rare = [token for token in itos if token.startswith("rare")]
    expect.is_true(not rare, "run: the vocabulary has a token that comes less often than min_freq.")
    expect.is_true("well" in itos, "run: the vocabulary lacks a token that all training texts have.")
    expect.equal(sorted(row["text"] for row in errors), sorted(test[k][0] for k in wrong), "run: texts in errors.json")
    sure = [abs(float(row["score"])) for row in errors]
    expect.equal(sure, sorted(sure, reverse=True), "run: how sure the mistakes of errors.json are, in order")
    for row in errors:
        expect.is_true(
            (float(row["score"]) > 0) != (row["label"] == 1), "run: a row of errors.json is no mistake by its score."
        )
        k = [text for text, _ in test].index(row["text"])
        want = 1 / (1 + float(np.exp(-float(row["score"]))))
        expect.close(float(p[k]), want, "predict, beside a score in errors.json", rtol=0, atol=1e-5)
    expect.close(results.get("accuracy"), accuracy, "run: accuracy in results.json", rtol=1e-6)
    numbers = {"baseline_accuracy": baseline, "vocab_size": vocab_size, "parameters": parameters, "mistakes": mistakes}
    for name, number in numbers.items():
        expect.close(float(results.get(name, -1)), float(number), f"run: {name} in results.json", rtol=1e-6)
    expect.equal(outside, [], "run: files outside of the folder out")
    expect.equal(pictures, [True, True], "run: whether the pictures are PNG files")


@probe
def vocabularies_of_runs(student, many):
    """The vocabularies of small runs: each list of training texts, with the share that is held out."""
    found = []
    for train, held_out in many:
        folder = tempfile.mkdtemp()
        data, out = os.path.join(folder, "texts.json"), os.path.join(folder, "out")
        with open(data, "w", encoding="utf-8") as file:
            parts = {"about": ["further keys do not count"], "train": train, "test": [["film", 0], ["", 1]]}
            json.dump(parts, file, ensure_ascii=False)
        options = {"emb": 3, "hidden": 3, "epochs": 1, "batch_size": 50, "min_freq": 1, "held_out": held_out}
        student.run(student.Config(data, out, **options))
        with open(os.path.join(out, "vocab.json")) as file:
            found.append(json.load(file))
    return found


@pytest.mark.task("run", weight=2)
def test_words_of_held_out_texts_are_not_known(student):
    """run: which texts does the vocabulary come from? At least one text is held out, and the number is rounded."""
    shares = ((32, 0.24, 8), (2, 0.1, 1), (10, 0.5, 5))
    own = [f"f\u00eflm own{'abcdefgh'[k % 8]}{'abcdefgh'[k // 8]}" for k in range(32)]
    many = [([[own[k], k % 2] for k in range(n)], share) for n, share, _ in shares]

    found = vocabularies_of_runs(student, many)

    for itos, (n, share, count) in zip(found, shares, strict=True):
        expect.is_true(
            "f\u00eflm" in itos, "run: the vocabulary lacks a token of all texts, which has a letter with dots."
        )
        known = sum(token.startswith("own") for token in itos)  # each text has a word of its own
        expect.equal(known, n - count, f"run(held_out={share}) with {n} training texts: texts whose own word is known")


@probe
def weights_of_runs(student, train, tests, changes):
    """The weights of small runs: with each list of test texts, and with each change of the config in a used folder."""
    root = tempfile.mkdtemp()
    plan = [(number, number, {}) for number in range(len(tests))] + [(0, 0, change) for change in changes]
    found = []
    for number, folder, change in plan:
        data, out = os.path.join(root, f"{number}.json"), os.path.join(root, f"out{folder}")
        with open(data, "w") as file:
            json.dump({"train": train, "test": tests[number]}, file)
        options = {"emb": 4, "hidden": 4, "epochs": 5, "batch_size": 8, "lr": 0.05, "held_out": 0.2, **change}
        student.run(student.Config(data, out, **options))
        weights = torch.load(os.path.join(out, "model.pt"), weights_only=True)
        found.append(np.concatenate([weights[key].double().numpy().ravel() for key in sorted(weights)]))
    return found


@pytest.mark.task("run", weight=2)
def test_test_texts_decide_nothing_and_the_config_does(student, rng):
    """run: test texts serve for measuring alone, and each field of the config has an effect, in a used folder too."""
    train = [[f"{'good' if k % 2 else 'bad'} {rng.choice(['film', 'plot', 'end'])}", k % 2] for k in range(24)]
    test = [["a good film", 1], ["bad", 0], ["good end", 1], ["bad plot", 0]]
    turned = [[text, 1 - label] for text, label in test]
    changes = [{"lr": 0.02}, {"clip": 0.01}, {"batch_size": 5}]

    first, other, *changed = weights_of_runs(student, train, [test, turned], changes)

    expect.close(other, first, "run with other labels of the test texts: weights", rtol=0, atol=0)
    for weights, change in zip(changed, changes, strict=True):
        same = weights.shape == first.shape and np.allclose(weights, first, rtol=1e-6, atol=1e-9)
        expect.is_true(not same, f"run: another {next(iter(change))} gives the same weights.")


@pytest.mark.task("run", weight=3)
def test_new_texts_are_predicted_from_the_folder(runs):
    """predict: it needs the folder alone, wherever it is; markup, unknown words and no words are texts as well."""
    _, _, _, _, together, alone, *_ = runs

    expect.shape(together, (8,), "predict")
    expect.finite(together, "predict")
    expect.between(float(together.min()), 0.0, 1.0, "predict: smallest probability")
    expect.between(float(together.max()), 0.0, 1.0, "predict: largest probability")
    for one, among_others in zip(alone, together, strict=True):
        expect.close(one, np.array([among_others]), "predict of each text alone", rtol=0, atol=2e-6)
    expect.close(float(together[4]), float(together[0]), "predict of a text with markup", rtol=0, atol=2e-6)
    expect.close(float(together[1]), float(together[3]), "predict of no token, and of an unknown one", atol=2e-6)
    expect.close(float(together[2]), float(together[3]), "predict of no token, and of an unknown one", atol=2e-6)


_PRAISE = [*PRAISE, *"lovely fresh gripping honest elegant warm superb witty tender bold subtle splendid".split()]
_BLAME = [*BLAME, *"stale lazy tedious cheap hollow cold dire flat bland messy crude pointless".split()]
_OFTEN = 1 / np.arange(1, 21) / (1 / np.arange(1, 21)).sum()  # the first adjective of each list is the most frequent
_VERBS = {
    True: ("was not", "wasn't", "was never", "was hardly", "was anything but"),
    False: ("was", "was really", "was so", "was simply", "was, as always,"),
}
_FORMS = (
    "{other}, but {mine}", "although {other}, {mine}", "{mine}, although {other}", "{mine}, even if {other}",
    "{other}; still, {mine}", "even if {other}, {mine}",
)  # fmt: skip
_THINGS = ("film", "plot", "acting", "ending", "music", "cast", "story", "camera work")
_BEGINS = ("to be honest, ", "last night we saw it, and ", "as my sister said, ", "after a long week, ", "")
_ENDS = (
    "",
    "",
    " from the first minute on",
    " for two whole hours",
    ", which I did not expect",
    ", and I was not alone",
)


def _longer(n, seed):
    """Two clauses, one of which decides: what comes after "but" or "still", and what "although" does not begin.

    The other clause has the other kind of adjective, and either may be negated, so that counting words does not help.
    """
    rng = np.random.default_rng(seed)
    labels, negated = rng.permutation(np.arange(n) % 2), rng.random(n) < 0.5

    def one_of(words):
        return str(rng.choice(words))

    def clause(praises, is_negated):
        word = rng.choice(_PRAISE if praises else _BLAME, p=_OFTEN)
        return f"the {one_of(_THINGS)} {one_of(_VERBS[is_negated])} {word}{one_of(_ENDS)}"

    sentences = []
    for label, is_negated in zip(labels, negated, strict=True):
        praises = bool(label) != bool(is_negated)
        mine, other = clause(praises, bool(is_negated)), clause(not praises, bool(rng.random() < 0.5))
        sentences.append(f"{one_of(_BEGINS)}{one_of(_FORMS).format(mine=mine, other=other)}.".capitalize())
    return sentences, labels.astype(np.int64), negated


@probe
def a_whole_run(student, train, labels, test, test_labels, unseen):
    """Run the default config; return probabilities, CPU seconds, number of parameters and the baseline's accuracy."""
    import time

    folder = tempfile.mkdtemp()
    data, out = os.path.join(folder, "texts.json"), os.path.join(folder, "out")
    parts = {"train": (train, labels), "test": (test, test_labels)}
    pairs = {name: [[text, int(label)] for text, label in zip(*part, strict=True)] for name, part in parts.items()}
    with open(data, "w") as file:
        json.dump(pairs, file)
    start = time.process_time()
    results = student.run(student.Config(data, out))
    seconds = time.process_time() - start
    state = torch.load(os.path.join(out, "model.pt"), weights_only=True)
    size = sum(value.numel() for value in state.values())
    return student.predict(out, unseen), seconds, size, float(results.baseline_accuracy)


def _judged(student, drawn, noise, seed):
    """Train on 2,000 texts with a share of wrong labels; judge on 1,000 others, whose labels stay here."""
    texts, labels, _ = drawn(2000, (seed, 11))
    labels = np.where(np.random.default_rng([seed, 13]).random(2000) < noise, 1 - labels, labels)
    test, test_labels, _ = drawn(400, (seed, 14))
    unseen, truth, negated = drawn(1000, (seed, 12))
    p, seconds, size, baseline = a_whole_run(student, texts, labels, test, test_labels, unseen)
    expect.shape(p, (1000,), "predict")
    return (np.asarray(p) > 0.5).astype(np.int64), truth, negated, seconds, size, baseline


@pytest.fixture(scope="module")
def opinions(student, seed):
    return _judged(student, sentiment, 0.0, seed)


@pytest.fixture(scope="module")
def longer_opinions(student, seed):
    return _judged(student, _longer, 0.06, seed)


@pytest.mark.task("run", weight=5)
def test_unseen_opinions_are_understood(opinions):
    """run: the default config reaches what the docstring asks for on unseen sentences, negated ones too."""
    predicted, truth, negated, seconds, size, baseline = opinions

    expect.accuracy(predicted, truth, ALL, "run on sentiment: unseen sentences")
    expect.accuracy(predicted[negated], truth[negated], NEGATED, "run on sentiment: unseen negated sentences")
    expect.at_most(seconds, 90.0, "run on sentiment: CPU seconds", asked=60.0)
    expect.at_most(float(size), 60_000, "run on sentiment: parameters of the network")
    # five standard deviations of 400 coins: order decides, and a bag has none
    expect.between(baseline, 0.375, 0.625, "run on sentiment: baseline_accuracy, of a bag of words")


@pytest.mark.task("run", weight=2)
@pytest.mark.parametrize("floor", STEPS)
def test_longer_opinions_are_understood(longer_opinions, floor):
    """run: the default config also learns longer sentences, in which one of two clauses decides."""
    predicted, truth, *_ = longer_opinions

    expect.accuracy(predicted, truth, floor, "run on longer sentences: unseen sentences")
