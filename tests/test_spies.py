"""Spies see what a training loop does, and are gone afterwards."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dlcourse import spies


def train(*, clears: bool = True, squash: Callable[[torch.Tensor], torch.Tensor] = lambda scores: scores) -> None:
    """Four steps of a small network."""
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(4):
        if clears:
            optimizer.zero_grad()
        scores = squash(model(torch.randn(5, 3)))
        nn.CrossEntropyLoss()(scores, torch.tensor([0, 1, 0, 1, 1])).backward()
        optimizer.step()


def test_a_clean_training_leaves_clean_notes() -> None:
    with spies.watched() as notes:
        train()

    assert notes.left_over == [False] * 3
    assert notes.squashed == [False] * 4


def test_gradients_of_the_last_step_are_seen() -> None:
    with spies.watched() as notes:
        train(clears=False)

    assert notes.left_over == [True] * 3


def test_a_softmax_before_the_loss_is_seen() -> None:
    with spies.watched() as notes:
        train(squash=lambda scores: scores.softmax(dim=1))

    assert notes.squashed == [True] * 4


def test_a_log_softmax_before_the_loss_does_no_harm() -> None:
    with spies.watched() as notes:
        train(squash=lambda scores: scores.log_softmax(dim=1))

    assert notes.squashed == [False] * 4


def test_two_losses_of_one_step_may_add_up() -> None:
    weight = nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([weight], lr=0.1)

    with spies.watched() as notes:
        for _ in range(2):
            optimizer.zero_grad()
            weight.sum().backward()
            weight.square().sum().backward()
            optimizer.step()

    assert notes.left_over == [False]


def test_another_training_does_not_inherit_the_gradients_of_the_last() -> None:
    with spies.watched() as notes:
        train()
        train()

    assert not any(notes.left_over)


def test_each_backward_pass_is_announced() -> None:
    calls: list[int] = []

    with spies.watched(lambda: calls.append(1)):
        train()

    assert len(calls) == 4


def test_the_spies_leave_also_where_training_fails() -> None:
    before = torch.Tensor.backward, F.cross_entropy

    with pytest.raises(ZeroDivisionError), spies.watched():
        raise ZeroDivisionError

    assert (torch.Tensor.backward, F.cross_entropy) == before
