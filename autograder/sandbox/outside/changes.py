"""Changes: what a student's code may write into the arguments of a test, and how that is undone.

If a test computes the expected values after the call, from an array that it passed to the call, code could fool it by
filling the array with zeros. So the examiner protects every argument that the solution does not change in that test.
What the code returns shows its changes; the argument itself does not. If changes were held back in a test, the test is
run again with them, and must pass both times. A change never lasts longer than its test: an array at the top of a test
file is the same for the next test and student.

An argument is named "function:argument", such as "step:0".
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from autograder.sandbox.both.randomness import go_on, torch_state_lies_ahead
from autograder.sandbox.both.wire import WireError


class Changes:
    """The rule for changes in one examination, the changes that were held back, and how to undo the others."""

    def __init__(self) -> None:
        self.allowed: frozenset[str] | None = None  #: arguments that may be changed; None for all
        self.arguments: set[str] = set()  #: arguments that the code changed, or would have changed
        self.are_held_back = False
        self._ways_back: dict[int, tuple[Any, Callable[[], None]]] = {}
        self._kept: list[dict[int, tuple[Any, Callable[[], None]]]] = []

    def begin(self, allowed: frozenset[str] | None) -> None:
        """Start a phase of a test in which these arguments may be changed."""
        self.allowed, self.arguments, self.are_held_back = allowed, set(), False

    def may(self, arguments: frozenset[str]) -> bool:
        """Whether a cell may be changed; it has one argument for each name of its function."""
        return self.allowed is None or arguments <= self.allowed

    def apply(self, arguments: frozenset[str], cell: Any, value: Any, *, is_students: bool) -> bool:
        """Write the code's change into an argument, if that is allowed.

        Args:
            arguments: those of the cell, one for each name of the function that changed it
            is_students: the cell represents an object of the student's code

        Returns:
            whether it was written; otherwise the change is held back

        Raises:
            WireError: no code could have made this change
        """
        write = _writer(cell, value)
        if is_students:
            write()
            return True
        self.arguments |= arguments
        if not self.may(arguments):
            self.are_held_back = True
            return False
        if id(cell) not in self._ways_back and (back := way_back(cell)) is not None:
            self._ways_back[id(cell)] = cell, back
        write()
        return True

    def keep(self) -> None:
        """Let the changes so far, which fixtures asked for, last longer than this test."""
        self._kept.append(self._ways_back)
        self._ways_back = {}

    def undo(self) -> None:
        """Give every argument the value that it had before this test changed it."""
        ways, self._ways_back = self._ways_back, {}
        for _, back in reversed(ways.values()):
            back()

    def undo_all(self) -> None:
        """Give every argument the value that it had before this submission."""
        self.undo()
        while self._kept:
            self._ways_back = self._kept.pop()
            self.undo()


def _writer(cell: Any, value: Any) -> Callable[[], None]:
    """Check that `value` fits into `cell`, and return a function that writes it there."""
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


def way_back(cell: Any) -> Callable[[], None] | None:
    """Return a function that gives a cell its present value again; None for a value that cannot change.

    Raises:
        WireError: it is read-only
    """
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
    torch = sys.modules.get("torch")
    if torch is None or not issubclass(kind, (torch.Generator, torch.Tensor)):
        return None
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
