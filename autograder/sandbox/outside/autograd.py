"""Autograd across the wall: a tensor that the worker computed keeps its chain, backward included.

The worker keeps the graph. On this side an output is the result of a Function. Its inputs are the arguments that the
output depends on, and the mirrors of the student's parameters, so autograd puts the gradients there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.autograd.function import once_differentiable

if TYPE_CHECKING:
    from autograder.sandbox.outside.session import Session


class _Graph:
    """Keeps an output's graph in the worker as long as autograd may ask for it."""

    def __init__(self, session: Session, number: int) -> None:
        self.session = session
        self.number = number

    def __del__(self) -> None:
        self.session.objects.free(self.number)


class _AcrossTheWall(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Any, graph: _Graph, positions: list[int | None], *inputs: Any) -> Any:
        ctx.graph = graph
        ctx.positions = positions
        ctx.shapes = [tensor.shape for tensor in inputs]
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Any) -> Any:
        answers = ctx.graph.session.request("backward", ctx.graph.number, "", (gradient,))
        if type(answers) is not list or len(answers) != len(ctx.positions):
            raise RuntimeError("the gradients of your tensors are lost; keep the graph of what you return")
        gradients: list[Any] = [None] * len(ctx.shapes)
        for position, answer in zip(ctx.positions, answers, strict=True):
            if position is None or answer is None:
                continue
            if not isinstance(answer, torch.Tensor) or answer.shape != ctx.shapes[position]:
                raise RuntimeError("a gradient of your tensors has another shape than its tensor")
            gradients[position] = answer.detach()
        return None, None, None, *gradients


def attach(value: Any, inputs: list[Any], session: Session, number: int) -> Any:
    """Return `value` as an output of the worker's graph.

    Args:
        inputs: the leaves that it depends on, as the judge knows them; None for a leaf that the test no longer has
    """
    known = [tensor for tensor in inputs if tensor is not None]
    positions, count = [], 0
    for tensor in inputs:
        positions.append(None if tensor is None else count)
        count += tensor is not None
    with torch.enable_grad():
        return _AcrossTheWall.apply(  # type: ignore[no-untyped-call]
            value, _Graph(session, number), positions, *known
        )
