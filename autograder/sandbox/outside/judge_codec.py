"""The judge's side of the codec: values of a test on their way out, and answers that are checked on their way in.

This is the trusted side. What comes in becomes a plain value, a handle, the mirror of a parameter, or an argument of
the present call. Anything else is a WireError.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from autograder.errors import AuthorError
from autograder.limits import ANSWER_BYTES, HANDLES
from autograder.sandbox.both import wire
from autograder.sandbox.both.codec import TORCH_DTYPES, CannotCross, Codec, size_of
from autograder.sandbox.both.limits import DEPTH
from autograder.sandbox.outside.handle import Handle

if TYPE_CHECKING:
    from autograder.sandbox.outside.session import Session


class JudgeScope:
    """The mutable arguments of one call, by the order in which they were sent."""

    def __init__(self, called: frozenset[str] = frozenset()) -> None:
        """Args: called: the names by which the test has asked for the function that is called now."""
        self.cells: list[Any] = []
        self.numbers: dict[int, int] = {}  #: id of a cell -> its place in `cells`
        self.arguments: list[frozenset[str]] = []  #: of each cell: "function:argument"
        self.called = called
        self.argument = ""
        self._stand_ins: dict[int, Any] = {}  # id of a cell -> its changed value, if the change is held back

    def note(self, cell: Any) -> None:
        """Remember an argument, or a part of an argument."""
        self.numbers[id(cell)] = len(self.cells)
        self.cells.append(cell)
        self.arguments.append(frozenset(f"{name}:{self.argument}" for name in self.called or {""}))

    def hold_back(self, cell: Any) -> None:
        """Use another object instead of a changed cell in the answer, so that the answer shows the change."""
        if type(cell) in (list, dict):
            self._stand_ins[id(cell)] = type(cell)()  # before its contents, because a value may contain itself

    def stand_in(self, cell: Any, value: Any) -> None:
        """Give a held-back cell this value in the answer."""
        known = self._stand_ins.setdefault(id(cell), value)
        if known is not value and type(cell) is list:
            known[:] = value
        elif known is not value and type(cell) is dict:
            known.update(value)

    def as_returned(self, index: int) -> Any:
        """Return an argument as the answer shows it, with all changes that the code made."""
        cell = self.cells[index]
        return self._with_stand_ins(cell, set()) if self._stand_ins else cell

    def _with_stand_ins(self, part: Any, above: set[int]) -> Any:
        known = self._stand_ins.get(id(part))
        if known is not None or type(part) not in (list, dict, tuple) or id(part) in above:
            return part if known is None else known
        above = above | {id(part)}
        items = list(part.values()) if type(part) is dict else list(part)
        changed = [self._with_stand_ins(item, above) for item in items]
        if all(new is old for new, old in zip(changed, items, strict=True)):
            return part
        whole = dict(zip(part, changed, strict=True)) if type(part) is dict else type(part)(changed)
        self._stand_ins[id(part)] = whole  # one object in the worker is one object here
        return whole


class JudgeCodec(Codec):
    """A codec with the judge's tables: arguments, handles, mirrors of parameters, callbacks."""

    deepest_in = DEPTH // 2  # so that a received value can be sent back inside another one
    most_memory = ANSWER_BYTES

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.scope = JudgeScope()
        self._decoders |= {
            "x": self._decode_alias,
            "v": self._decode_view,
            "h": self._decode_handle,
            "P": self._decode_parameter,
            "O": self._decode_output,
        }

    # --- out ---------------------------------------------------------------------------------------------------

    def note_out(self, value: Any) -> Any:
        index = self.scope.numbers.get(id(value))
        if index is not None:
            return ["x", index]
        self.scope.note(value)
        return None

    def encode_tensor(self, tensor: Any) -> Any:
        if "torch" in self.session.absent:
            raise AuthorError("a test passes a tensor of torch to code of a task that forbids torch; pass an array")
        number = self.session.objects.mirror_numbers.get(id(tensor))
        if number is not None:
            return ["P", number, super().encode_tensor(tensor.detach()), self._encode_grad(tensor)]
        if not tensor.requires_grad:
            return super().encode_tensor(tensor)
        number = self.session.objects.note_argument(tensor)
        return [
            "A",
            number,
            super().encode_tensor(tensor.detach()),
            tensor.is_leaf,
            self._encode_grad(tensor),
        ]

    def _encode_grad(self, tensor: Any) -> Any:
        return super().encode_tensor(tensor.grad) if tensor.is_leaf and tensor.grad is not None else None

    def encode_other(self, value: Any) -> Any:
        if isinstance(value, Handle):
            return ["h", self.session.objects.number_of(value)]
        if hasattr(value, "__probe__"):
            return ["h", 0]
        home = _public_home(value)
        if home is not None and home[0].partition(".")[0] not in self.session.absent:
            return ["r", *home]
        if callable(value) and not hasattr(value, "parameters"):
            return ["k", self.session.objects.note_callback(value), getattr(value, "__name__", "function")]
        raise CannotCross(f"a test passes a {type(value).__name__}, which cannot cross the wall; build it in a probe")

    # --- in ----------------------------------------------------------------------------------------------------

    def begin_decoding(self, frame: wire.Frame) -> Any:
        self.handles_left = HANDLES
        return super().begin_decoding(frame)

    def _decode_alias(self, items: list[Any], depth: int) -> Any:
        return self.scope.as_returned(index_of(items[0]))

    def _decode_view(self, items: list[Any], depth: int) -> Any:
        index, offset, shape, strides = items
        cell = self.scope.as_returned(index_of(index))
        if type(cell) is not np.ndarray or not cell.flags.c_contiguous:
            raise wire.WireError("a view of what is no array")
        self.charge(cell.itemsize * size_of(shape, list(range(len(shape)))))
        return np.ndarray(shape, cell.dtype, cell, offset, strides)  # NumPy refuses a view that leaves the buffer

    def _decode_handle(self, items: list[Any], depth: int) -> Handle:
        (number,) = items
        if type(number) is not int or number < 0:
            raise wire.WireError("a malformed handle")
        self.handles_left -= 1
        if self.handles_left < 0:
            raise wire.WireError("too many objects at once")
        return self.session.objects.handle(number)

    def _decode_parameter(self, items: list[Any], depth: int) -> Any:
        number, tree, grad = items
        value = self._decode(tree, depth)
        if type(tree) is not list or tree[0] != "T":  # never an alias of an argument
            raise wire.WireError("a malformed parameter")
        mirror = self.session.objects.mirror(number, value.shape, value.dtype, is_parameter=tree[-1] is True)
        mirror.data = value.data
        if grad is not None:
            mirror.grad = self._decode(grad, depth)
        return mirror

    def _decode_output(self, items: list[Any], depth: int) -> Any:
        from autograder.sandbox.outside.autograd import attach

        number, tree, leaves = items
        if type(number) is not int or any(leaf[2] not in TORCH_DTYPES for leaf in leaves):
            raise wire.WireError("a malformed tensor")
        inputs = []
        for leaf_number, shape, dtype in leaves:
            known = self.session.objects.arguments.get(leaf_number)
            if known is None and type(leaf_number) is int and leaf_number > 0:
                known = self.session.objects.mirror(
                    leaf_number, tuple(shape), getattr(self._torch(), dtype), is_parameter=True
                )
            inputs.append(known)
        return attach(self._decode(tree, depth), inputs, self.session, number)


def index_of(value: Any) -> int:
    """Return an index of a list; a negative one is refused. Raises: WireError."""
    if type(value) is not int or value < 0:
        raise wire.WireError("a malformed reference")
    return value


def _public_home(value: Any) -> tuple[str, str] | None:
    """Return the module and the name of a public function or class of NumPy or torch, which the worker has too."""
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str) or module.partition(".")[0] not in ("numpy", "torch"):
        return None
    return (module, name) if getattr(sys.modules.get(module), name, None) is value else None
