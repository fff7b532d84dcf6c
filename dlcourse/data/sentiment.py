"""Opinions about films, written by a small grammar in which the order of the words decides.

Each sentence holds two opinions, one of the writer and one of somebody else, with one adjective of praise and one of
blame between them; either may be negated. The writer's opinion is the label. The same bag of words comes with both
labels, so counting words is no better than a coin. A reader must understand who has which opinion, and which word a
"not" negates.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

PRAISE = ("good", "great", "wonderful", "moving", "funny", "clever", "charming", "brilliant")
BLAME = ("bad", "awful", "dull", "boring", "clumsy", "silly", "weak", "dreadful")
NEGATIONS = ("not", "never", "wasn't")  #: "wasn't" takes the place of "was"

_THINGS = ("film", "movie", "story", "plot", "acting", "ending", "music", "cast")
_OTHERS = ("critics said", "my friends thought", "people claimed", "the posters promised")
_MINE = ("I found", "I thought", "for me", "I felt")
_LINKS = ("but", "while", "and", "yet")
_DEGREES = ("", "", "really ", "very ", "so ")


def sentiment(n: int, seed: int | Sequence[int]) -> tuple[list[str], npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Write n sentences about films; the same n and seed always write the same ones.

    Args:
        n: how many sentences, 1 or above
        seed: which sentences: an int, 0 or above, or several of them

    Returns:
        texts, a list of n strings of 10 to 16 words, such as
            "Critics said the plot was dull, but for me the plot was not very funny."
        labels, (n,) int64: 1 where the writer liked it, 0 where not (the sentence above: 0); half of each
        negated, (n,) bool: whether the writer's own opinion is negated (the sentence above: True); about half

    Raises:
        ValueError: n below 1
    """
    if n < 1:
        raise ValueError(f"sentiment: n is {n}; ask for at least one sentence")
    rng = np.random.default_rng(seed=seed)
    labels = rng.permutation(np.arange(n) % 2)
    negated = rng.random(n) < 0.5
    texts = [_sentence(bool(label), bool(flip), rng) for label, flip in zip(labels, negated, strict=True)]
    return texts, labels.astype(np.int64), negated


def _sentence(liked: bool, negated: bool, rng: np.random.Generator) -> str:
    """Write one sentence; the opinion of the others has the other kind of adjective, negated half the time."""
    mine_praises = liked != negated
    thing = _one_of(_THINGS, rng)
    mine = f"{_one_of(_MINE, rng)} the {thing} {_opinion(mine_praises, negated, rng)}"
    theirs = f"{_one_of(_OTHERS, rng)} the {thing} {_opinion(not mine_praises, bool(rng.random() < 0.5), rng)}"
    first, second = (mine, theirs) if rng.random() < 0.5 else (theirs, mine)
    text = f"{first}, {_one_of(_LINKS, rng)} {second}."
    return text[0].upper() + text[1:]


def _opinion(praises: bool, negated: bool, rng: np.random.Generator) -> str:
    word = _one_of(PRAISE if praises else BLAME, rng)
    verb = "was"
    if negated:
        negation = _one_of(NEGATIONS, rng)
        verb = negation if negation == "wasn't" else f"was {negation}"
    return f"{verb} {_one_of(_DEGREES, rng)}{word}"


def _one_of(words: Sequence[str], rng: np.random.Generator) -> str:
    return words[int(rng.integers(len(words)))]
