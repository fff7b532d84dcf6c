"""Spies: notes of what a training loop does. For probes of hidden tests; needs torch.

A probe is sent as source and may name only modules. So this module has what several suites watch for. The worker has
this package too, and it holds no answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Notes:
    """The notes of one training."""

    #: for each step of the parameters of the step before: whether its first backward pass found gradients of that one
    left_over: list[bool] = field(default_factory=list)
    #: for each call of cross_entropy: whether its scores had been through a softmax already
    squashed: list[bool] = field(default_factory=list)


@contextmanager
def watched(on_backward: Callable[[], Any] = lambda: None) -> Iterator[Notes]:
    """Watch every optimiser of torch, every backward pass and every cross-entropy until the block ends.

    A second backward pass before a step may add its gradient to that of the first: only the first one is looked at.

    Args:
        on_backward: called as each backward pass begins
    """
    import torch
    from torch.nn import functional
    from torch.optim.optimizer import register_optimizer_step_pre_hook

    notes = Notes()
    last: list[Any] = []  # parameters of the last step
    first: list[bool] = []  # what the first backward pass since then began with
    backward_of_torch, cross_entropy_of_torch = torch.Tensor.backward, functional.cross_entropy

    def backward(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not first:
            first.append(any(p.grad is not None and bool(p.grad.any()) for p in last))
        on_backward()
        return backward_of_torch(self, *args, **kwargs)  # type: ignore[no-untyped-call]

    def cross_entropy(input: Any, *args: Any, **kwargs: Any) -> Any:
        scores = input.detach()
        sums = scores.sum(dim=1) if scores.dim() > 1 else scores.new_zeros(1)
        notes.squashed.append(bool((scores >= 0).all()) and torch.allclose(sums, torch.ones_like(sums), atol=1e-4))
        return cross_entropy_of_torch(input, *args, **kwargs)

    def stepping(optimizer: Any, args: Any, kwargs: Any) -> None:
        stepped = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        if first and [id(p) for p in stepped] == [id(p) for p in last]:
            notes.left_over.append(first[0])
        last[:] = stepped
        first.clear()

    hook = register_optimizer_step_pre_hook(stepping)
    torch.Tensor.backward, functional.cross_entropy = backward, cross_entropy  # type: ignore[method-assign]
    try:
        yield notes
    finally:
        torch.Tensor.backward, functional.cross_entropy = backward_of_torch, cross_entropy_of_torch  # type: ignore[method-assign]
        hook.remove()
