"""The worker's side of the codec: a value that cannot cross becomes a handle, and changes in place are found.

This is the untrusted side, and nothing here is believed: the judge checks all that this sends (judge_codec.py).
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from autograder.sandbox.both.codec import Codec, tensor_bytes
from autograder.sandbox.both.limits import DEPTH

if TYPE_CHECKING:
    from autograder.sandbox.inside.worker import Worker


class Exposed:
    """A function or class of the student's module, which the judge gets as an object."""

    def __init__(self, value: Any) -> None:
        self.value = value


class WorkerScope:
    """The arguments of one call that its code may change, with what they held before."""

    def __init__(self) -> None:
        self.cells: list[Any] = []
        self.before: list[Any] = []

    def freeze(self) -> None:
        """Remember the present value of every argument."""
        self.before = [_contents(cell) for cell in self.cells]

    def changed(self) -> list[int]:
        """Return the indices of the arguments whose values have changed since."""
        return [i for i, cell in enumerate(self.cells) if _contents(cell) != self.before[i]]


class WorkerCodec(Codec):
    """A codec that turns what cannot cross into handles, and remembers what belongs together."""

    deepest_out = DEPTH // 2

    def __init__(self, worker: Worker) -> None:
        super().__init__()
        self.worker = worker
        self.scope = WorkerScope()
        self.use_aliases = True
        self._decoders |= {
            "x": lambda items, depth: self.scope.cells[items[0]],
            "h": lambda items, depth: worker.objects[items[0]],
            "r": lambda items, depth: getattr(importlib.import_module(items[0]), items[1]),
            "k": lambda items, depth: worker.callback(items[0], items[1]),
            "A": self._decode_argument,
            "P": self._decode_leaf,
        }

    def note_in(self, value: Any) -> Any:
        self.scope.cells.append(value)
        return value

    def note_out(self, value: Any) -> Any:
        if not self.use_aliases:
            return None
        for index, cell in enumerate(self.scope.cells):
            if cell is value:
                return ["x", index]
        return self._view(value) if type(value) is np.ndarray and value.base is not None else None

    def _view(self, array: np.ndarray[Any, Any]) -> Any:
        for index, cell in enumerate(self.scope.cells):
            if (type(cell) is np.ndarray and cell.dtype == array.dtype and cell.flags.c_contiguous
                    and array.size and np.may_share_memory(array, cell)):  # fmt: skip
                offset = array.__array_interface__["data"][0] - cell.__array_interface__["data"][0]
                return ["v", index, offset, list(array.shape), list(array.strides)]
        return None

    def encode_other(self, value: Any) -> Any:
        return ["h", self.worker.handle(value.value if type(value) is Exposed else value)]

    # --- autograd ----------------------------------------------------------------------------------------------

    def _decode_argument(self, items: list[Any], depth: int) -> Any:
        """["A", number, tensor, is a leaf, grad]: an argument that needs a gradient."""
        number, tree, is_leaf, grad = items
        scope, self.scope = self.scope, WorkerScope()
        leaf = self._decode(tree, depth).requires_grad_(True)
        leaf.grad = self._decode(grad, depth)
        self.scope = scope
        self.worker.leaves[number] = leaf
        return self.note_in(leaf if is_leaf else leaf.clone())

    def _decode_leaf(self, items: list[Any], depth: int) -> Any:
        """["P", number, tensor, grad]: a parameter of the student's network that comes back."""
        number, tree, grad = items
        torch = self._torch()
        scope, self.scope = self.scope, WorkerScope()
        leaf = self.worker.leaves[number]
        with torch.no_grad():
            leaf.copy_(self._decode(tree, depth))
        leaf.grad = self._decode(grad, depth)
        self.scope = scope
        return self.note_in(leaf)

    def encode_tensor(self, tensor: Any) -> Any:
        if not tensor.requires_grad:
            return super().encode_tensor(tensor)
        data = super().encode_tensor(tensor)
        if tensor.is_leaf:
            grad = None if tensor.grad is None else super().encode_tensor(tensor.grad)
            return ["P", self.worker.leaf_number(tensor), data, grad]
        leaves = _leaves_of(tensor)
        number = self.worker.remember_output(tensor, leaves)
        shapes = [
            [self.worker.leaf_number(leaf), list(leaf.shape), str(leaf.dtype).removeprefix("torch.")] for leaf in leaves
        ]
        return ["O", number, data, shapes]


def _contents(cell: Any) -> Any:
    """Return an object to compare: it is equal if and only if a mutable value is the same as before."""
    if type(cell) is np.ndarray:
        return cell.shape, cell.dtype, cell.tobytes()
    if type(cell) is list:
        return [id(item) for item in cell]
    if type(cell) is dict:
        return [(id(key), id(value)) for key, value in cell.items()]
    if type(cell) is np.random.Generator:
        return repr(cell.bit_generator.state)
    torch = sys.modules["torch"]
    if type(cell) is torch.Generator:
        return cell.get_state().numpy().tobytes()
    grad = None if not cell.is_leaf or cell.grad is None else _bits(cell.grad)
    return cell.shape, cell.dtype, cell.requires_grad, grad, _bits(cell)


def _bits(tensor: Any) -> bytes:
    return b"" if tensor.device.type == "meta" else tensor_bytes(tensor).tobytes()


def _leaves_of(tensor: Any) -> list[Any]:
    """Return the leaf tensors that an output's graph ends in, each once."""
    leaves: dict[int, Any] = {}
    seen: set[Any] = set()
    stack = [tensor.grad_fn]
    while stack:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        variable = getattr(node, "variable", None)
        if variable is not None:
            leaves[id(variable)] = variable
        stack.extend(parent for parent, _ in node.next_functions)
    return list(leaves.values())
