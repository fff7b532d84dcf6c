"""Changes: what a student's code may write into the arguments of a test, and how that is undone.

A test that computes what it expects after the call, from an array that the call was given, could be fooled by code
that fills the array with zeros first. So the examiner examines a submission with every argument protected that the
solution leaves alone in that test; a test that passes, and had changes held back, must pass with the changes too.
A change never outlives its test: an array at the top of a test file is the same for the next test and student.

A place is named "function:argument", such as "step:0".
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from autograder.sandbox.randomness import go_on, torch_state_lies_ahead
from autograder.sandbox.wire import WireError


class Changes:
    """One examination's rule for changes, what it held back, and the way back."""

    def __init__(self) -> None:
        self.allowed: frozenset[str] | None = None  #: places that may be changed; None for all
        self.places: set[str] = set()  #: places that the code changed, or would have
        self.are_held_back = False
        self._ways_back: dict[int, tuple[Any, Callable[[], None]]] = {}
        self._kept: list[dict[int, tuple[Any, Callable[[], None]]]] = []

    def begin(self, allowed: frozenset[str] | None) -> None:
        """Start a phase of a test, under a rule."""
        self.allowed, self.places, self.are_held_back = allowed, set(), False

    def apply(self, places: frozenset[str], cell: Any, value: Any, *, is_students: bool) -> None:
        """Write into an argument what the code made of it, if it may.

        Args:
            places: of the cell, one for each name of the function that changed it
            is_students: the cell stands for an object of the student's own

        Raises:
            WireError: it could not have been changed into this
        """
        write = _writer(cell, value)
        if is_students:
            write()
            return
        self.places |= places
        if self.allowed is not None and not places <= self.allowed:
            self.are_held_back = True
            return
        if id(cell) not in self._ways_back:
            self._ways_back[id(cell)] = cell, _way_back(cell)
        write()

    def keep(self) -> None:
        """Let the changes made so far, which fixtures asked for, outlive this test."""
        self._kept.append(self._ways_back)
        self._ways_back = {}

    @property
    def outlast(self) -> bool:
        """Whether a fixture's changes are kept, which a later test of this submission may see."""
        return any(self._kept)

    def undo(self) -> None:
        """Put every argument back to what it held before this test changed it first."""
        ways, self._ways_back = self._ways_back, {}
        for _, way_back in reversed(ways.values()):
            way_back()

    def undo_all(self) -> None:
        """Put every argument back to what it held before this submission."""
        self.undo()
        while self._kept:
            self._ways_back = self._kept.pop()
            self.undo()


def _writer(cell: Any, value: Any) -> Callable[[], None]:
    """Return what writes `value` into `cell`, once it is clear that it fits."""
    kind = type(cell)
    if kind is np.random.Generator and type(value) is kind:
        return lambda: go_on(cell, value)
    if kind is np.ndarray and type(value) is kind:
        if cell.dtype != value.dtype or cell.size != value.size or not cell.flags.writeable:
            raise WireError("a change of the dtype or size of an argument")
        return lambda: _write_array(cell, value)
    if kind is list and type(value) is kind:
        return lambda: cell.__setitem__(slice(None), value)
    if kind is dict and type(value) is kind:
        return lambda: _write_dict(cell, value)
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(cell, torch.Generator) and type(value) is torch.Generator:
        now, then = (generator.get_state().numpy().tobytes() for generator in (cell, value))
        if not torch_state_lies_ahead(torch, now, then):
            raise WireError("a random state that no draw leads to")
        return lambda: cell.set_state(value.get_state())
    if torch is not None and isinstance(cell, torch.Tensor) and isinstance(value, torch.Tensor):
        if cell.dtype != value.dtype or cell.device != value.device:
            raise WireError("a change of the dtype of an argument")
        return lambda: _write_tensor(cell, value)
    raise WireError("a change of what cannot change")


def _write_array(cell: Any, value: Any) -> None:
    cell.shape = value.shape  # `x.shape = ...` in place
    np.copyto(cell, value, casting="no")


def _write_dict(cell: dict[Any, Any], value: dict[Any, Any]) -> None:
    cell.clear()
    cell.update(value)


def _write_tensor(cell: Any, value: Any) -> None:
    cell.data = value.data
    if cell.is_leaf:
        cell.requires_grad_(value.requires_grad or cell.requires_grad)
        if value.is_leaf and value.grad is not None:
            cell.grad = value.grad


def _way_back(cell: Any) -> Callable[[], None]:
    """Return what gives a cell back what it holds now."""
    kind = type(cell)
    if kind is list:
        return _writer(cell, list(cell))
    if kind is dict:
        return _writer(cell, dict(cell))
    if kind is np.ndarray:
        return _writer(cell, cell.copy())
    if kind is np.random.Generator:
        bits, state = cell.bit_generator, cell.bit_generator.state
        return lambda: setattr(bits, "state", state)
    torch = sys.modules["torch"]
    if kind is torch.Generator:
        state = cell.get_state()
        return lambda: cell.set_state(state)
    data, grad, needs_grad = cell.data, cell.grad if cell.is_leaf else None, cell.requires_grad
    entries = data.clone()

    def back() -> None:
        cell.data = data
        if cell.device.type != "meta":
            data.copy_(entries)
        if cell.is_leaf:
            cell.requires_grad_(needs_grad)
            cell.grad = grad

    return back
