"""Values as trees: what may cross the wall, and how it is checked on arrival.

A scalar is sent as it is; everything else is an array whose first item is a tag. Arrays and tensors put their data into
the frame's body; the header says their dtype, shape and layout. Each side extends `Codec` with what only it knows: the
worker turns what cannot cross into handles, the judge turns callables into callbacks.

This file is long because it says of every kind of value how it is sent and how it is checked: the two change together.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from autograder.sandbox.both.limits import BODY_BYTES, DEPTH, DIGITS, DIMENSIONS, KEYS, MEMORY_BYTES, NODES
from autograder.sandbox.both.randomness import BIT_GENERATORS, numpy_generator
from autograder.sandbox.both.standin import real
from autograder.sandbox.both.wire import Frame, WireError

_PLAIN = (bool, float, str, bytes, type(None))
_NUMERIC = {"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1", "c8", "c16"}
#: the name of each of these dtypes; the same as `dtype.str[1:]`, but faster
_NAMES = {np.dtype("<" + name): name for name in sorted(_NUMERIC)}
#: the class of a number of each of these dtypes; any other class, abstract ones too, is an ordinary object
_NUMBERS = tuple((dtype.type, name) for dtype, name in _NAMES.items())
_TORCH = {
    "float16": 2, "bfloat16": 2, "float32": 4, "float64": 8, "complex64": 8, "complex128": 16,
    "int8": 1, "int16": 2, "int32": 4, "int64": 8, "uint8": 1, "uint16": 2, "uint32": 4, "uint64": 8, "bool": 1,
}  # fmt: skip
TORCH_DTYPES = frozenset(_TORCH)
_NOT_NUMPYS = {"bfloat16"}
_IN_ORDER = [list(range(count)) for count in range(DIMENSIONS + 1)]  #: axes of an array in C order


class CannotCross(TypeError):
    """A value that has no form on the wire."""


class Codec:
    """Encode and decode values. Each connection has one instance, and each frame starts with a `begin_*`."""

    #: how deep a value may be nested that is sent, and one that is received
    deepest_out, deepest_in = DEPTH, DEPTH
    #: bytes of memory that the arrays of one received frame may take in this process
    most_memory = MEMORY_BYTES

    def __init__(self) -> None:
        self.buffers: list[memoryview] = []
        self._body = memoryview(b"")
        self._offset = 0
        self._memory = self._nodes = self._keys = 0
        self._decoders: dict[str, Callable[[list[Any], int], Any]] = {
            "l": self._decode_list,
            "t": lambda items, depth: tuple(self._decode(item, depth) for item in items),
            "s": lambda items, depth: self._hashed(set, items, depth),
            "z": lambda items, depth: self._hashed(frozenset, items, depth),
            "d": self._decode_dict,
            "i": self._decode_big_int,
            "c": self._decode_complex,
            "a": lambda items, depth: self._decode_array(items),
            "n": self._decode_numpy_scalar,
            "T": lambda items, depth: self._decode_tensor(items),
            "y": self._decode_numpy_dtype,
            "Y": self._decode_torch_name,
            "S": lambda items, depth: self._decode_slice(items, depth),
            "E": lambda items, depth: Ellipsis,
            "g": self._decode_generator,
            "G": self._decode_torch_generator,
        }

    # --- out ---------------------------------------------------------------------------------------------------

    def begin_encoding(self) -> None:
        """Start a new frame; `buffers` then fills with its body."""
        self.buffers = []

    def encode(self, value: Any, depth: int = 0) -> Any:
        """Return the tree of a value.

        Raises:
            CannotCross: it has no form on the wire (and `encode_other` knew none)
        """
        kind = type(value)
        if type(kind) is not type:  # such a class may answer any question about itself with an error
            return self._encode_of_odd_class(value, kind)
        if kind in _PLAIN:
            return value
        if kind is int:
            return value if -(1 << 63) <= value < 1 << 63 else ["i", hex(value)]
        if depth > self.deepest_out:
            raise CannotCross(f"nested more than {self.deepest_out} deep")
        if kind is tuple or kind is set or kind is frozenset:
            tag = "t" if kind is tuple else "s" if kind is set else "z"
            return [tag, *(self.encode(item, depth + 1) for item in value)]
        if kind in (list, dict, np.ndarray):
            alias = self.note_out(value)
            if alias is not None:
                return alias
        if kind is list:
            return ["l", *(self.encode(item, depth + 1) for item in value)]
        if kind is dict:
            return ["d", *(self.encode(part, depth + 1) for item in value.items() for part in item)]
        if kind is np.ndarray:
            return self.encode_array(value)
        if kind is complex:
            return ["c", value.real, value.imag]
        if issubclass(kind, np.generic) and value.dtype.str[1:] in _NUMERIC:  # ask its type: `__class__` may be false
            return ["n", value.dtype.str[1:], value.tobytes()]
        if issubclass(kind, type) and issubclass(value, np.generic):
            name = next((name for known, name in _NUMBERS if known is value), None)
            return self.encode_other(value) if name is None else ["y", name, 1]
        if kind is slice:
            return ["S", *(self.encode(part, depth + 1) for part in (value.start, value.stop, value.step))]
        if value is Ellipsis:
            return ["E"]
        if kind is np.random.Generator:
            return self.note_out(value) or self._encode_generator(value)
        return self._encode_torchs(value, kind)

    def _encode_of_odd_class(self, value: Any, kind: Any) -> Any:
        """Encode a value whose class has a metaclass: a tensor, a dtype, or an object of unknown code."""
        if issubclass(kind, np.dtype) and value.str[1:] in _NUMERIC:
            return ["y", value.str[1:], 0]
        return self._encode_torchs(value, kind)

    def _encode_torchs(self, value: Any, kind: Any) -> Any:
        """Encode a value of torch, or a value that is not plain; compare its class by identity alone."""
        torch = real("torch")
        if torch is not None:
            if kind is torch.Tensor or kind is torch.nn.Parameter:
                return self.note_out(value) or self.encode_tensor(value)
            if kind is torch.dtype or kind is torch.device:
                return ["Y", kind.__name__, str(value).removeprefix("torch.")]
            if kind is torch.Size:
                return ["t", *value]
            if kind is torch.Generator:
                return self.note_out(value) or self._encode_torch_generator(value)
        return self.encode_other(value)

    def note_out(self, value: Any) -> Any:
        """Note a mutable value before it is encoded; return the tree to send instead of it, or None."""
        return None

    def note_in(self, value: Any) -> Any:
        """Note a mutable value that was decoded (a list or dict before its items), and return it."""
        return value

    def encode_other(self, value: Any) -> Any:
        """Encode a value that is not plain; each side overrides this."""
        raise CannotCross(f"{type(value).__name__} is no plain value")

    def encode_array(self, array: np.ndarray[Any, Any]) -> Any:
        """Encode an array: ["a", dtype, shape, order of axes in memory, dense, writable]."""
        name, shape = _NAMES.get(array.dtype), array.shape
        if name and array.flags.c_contiguous and array.size and 1 not in shape:  # most arrays; this way is fast
            self.buffers.append(array.reshape(-1).view(np.uint8).data)
            return ["a", name, list(shape), _IN_ORDER[len(shape)], True, array.flags.writeable]
        kind = array.dtype.str[1:]
        if kind not in _NUMERIC and array.dtype.kind not in "US":
            return self.encode_other(array)
        order, dense = _layout(shape, array.strides, array.itemsize)
        rows = array.transpose(order)
        if array.dtype.byteorder == ">":
            rows = rows.astype(array.dtype.newbyteorder("<"))
        flat = np.require(rows, requirements=["C"]).reshape(-1)
        self.buffers.append(flat.view(np.uint8).data if flat.size else memoryview(b""))
        return ["a", kind, list(shape), order, dense, array.flags.writeable]

    def encode_tensor(self, tensor: Any) -> Any:
        """Encode a tensor: ["T", dtype, shape, order of axes in memory, dense, device, is a Parameter]."""
        import torch

        name = str(tensor.dtype).removeprefix("torch.")
        if name not in _TORCH or tensor.layout is not torch.strided:
            return self.encode_other(tensor)
        shape = list(tensor.shape)
        is_parameter = type(tensor) is torch.nn.Parameter
        if (name not in _NOT_NUMPYS and tensor.is_cpu and tensor.is_contiguous() and 1 not in shape
                and tensor.numel() and not tensor.is_neg() and not tensor.is_conj()):  # fmt: skip
            flat = tensor.detach().numpy().reshape(-1)  # most tensors; this way is fast
            self.buffers.append(flat.view(np.uint8).data)
            return ["T", name, shape, _IN_ORDER[len(shape)], True, "cpu", is_parameter]
        order, dense = _layout(
            tuple(shape), tuple(s * tensor.element_size() for s in tensor.stride()), tensor.element_size()
        )
        is_meta = tensor.device.type == "meta"
        if not is_meta:
            self.buffers.append(tensor_bytes(tensor.permute(order)).data)
        return ["T", name, shape, order, dense, "meta" if is_meta else "cpu", is_parameter]

    def _encode_generator(self, generator: np.random.Generator) -> Any:
        state = generator.bit_generator.state
        if state["bit_generator"] not in BIT_GENERATORS:
            return self.encode_other(generator)
        return ["g", json.dumps(state, default=lambda array: array.tolist())]

    def _encode_torch_generator(self, generator: Any) -> Any:
        return ["G", generator.get_state().numpy().tobytes()]

    # --- in ----------------------------------------------------------------------------------------------------

    def begin_decoding(self, frame: Frame) -> Any:
        """Take a frame's body, and return its header for `decode`, part by part. Raises: WireError."""
        self._body, self._offset = frame.body, 0
        self._memory, self._nodes, self._keys = self.most_memory, NODES, KEYS
        return frame.tree()

    def decode(self, tree: Any) -> Any:
        """Return the value of a tree.

        Raises:
            WireError: no codec would have written this tree
        """
        try:
            return self._decode(tree, 0)
        except WireError:
            raise
        except (
            TypeError,
            ValueError,
            KeyError,
            IndexError,
            OverflowError,
            AttributeError,
            RuntimeError,
        ) as error:
            raise WireError(f"a malformed value ({type(error).__name__})") from None

    def _decode(self, tree: Any, depth: int) -> Any:
        if type(tree) is not list:
            if type(tree) in _PLAIN or type(tree) is int:
                return tree
            raise WireError(f"a {type(tree).__name__} in a header")
        self._nodes -= 1
        if depth > self.deepest_in or self._nodes < 0:
            raise WireError("a value nested too deep" if self._nodes >= 0 else "too many values at once")
        if not tree or type(tree[0]) is not str:
            raise WireError("a value without a tag")
        decoder = self._decoders.get(tree[0])
        if decoder is None:
            raise WireError(f"an unknown tag {tree[0][:20]!r}")
        return decoder(tree[1:], depth + 1)

    def _hashed(self, kind: type, items: list[Any], depth: int) -> Any:
        decoded = [self._decode(item, depth) for item in items]
        self._check_keys(decoded)
        return kind(decoded)

    def _check_keys(self, keys: list[Any]) -> None:
        """Refuse many keys whose hashes a sender could have made equal: a table of them takes quadratic time."""
        self._keys -= sum(not (type(key) in (str, bytes) or (type(key) is int and abs(key) < 1 << 60)) for key in keys)
        if self._keys < 0:
            raise WireError("too many unusual keys")

    def _decode_list(self, items: list[Any], depth: int) -> list[Any]:
        out: list[Any] = self.note_in([])
        out.extend(self._decode(item, depth) for item in items)
        return out

    def _decode_dict(self, items: list[Any], depth: int) -> dict[Any, Any]:
        out: dict[Any, Any] = self.note_in({})
        parts = [self._decode(item, depth) for item in items]
        self._check_keys(parts[::2])
        out.update(zip(parts[::2], parts[1::2], strict=True))
        return out

    def _decode_big_int(self, items: list[Any], depth: int) -> int:
        (text,) = items
        if type(text) is not str or len(text) > DIGITS:
            raise WireError("an integer too large")
        return int(text, 16)

    def _decode_complex(self, items: list[Any], depth: int) -> complex:
        real, imag = items
        return complex(float(real), float(imag))

    def _decode_numpy_scalar(self, items: list[Any], depth: int) -> Any:
        name, data = items
        if type(data) is not bytes or name not in _NUMERIC or len(data) != np.dtype(name).itemsize:
            raise WireError("a malformed number")
        return np.bool_(data != b"\0") if name == "b1" else np.frombuffer(data, _dtype(name))[0]

    def _decode_numpy_dtype(self, items: list[Any], depth: int) -> Any:
        name, is_class = items
        return _dtype(name).type if is_class else _dtype(name)

    def _decode_torch_name(self, items: list[Any], depth: int) -> Any:
        kind, name = items
        torch = self._torch()
        if kind == "dtype" and name in _TORCH:
            return getattr(torch, name)
        if kind == "device" and name in ("cpu", "meta"):
            return torch.device(name)
        raise WireError("an unknown dtype or device")

    def _decode_slice(self, items: list[Any], depth: int) -> slice:
        start, stop, step = (self._decode(item, depth) for item in items)
        return slice(start, stop, step)

    def _decode_array(self, items: list[Any]) -> Any:
        name, shape, order, dense, writable = items
        dtype = _dtype(name)
        size = size_of(shape, order)
        data = self._take(size * dtype.itemsize, 1 if dense else 2)
        if size and dense and dtype.kind in "fiuc" and order == _IN_ORDER[len(shape)]:
            plain = np.ndarray(shape, dtype, data).copy()
            if not writable:
                plain.flags.writeable = False
            return self.note_in(plain)
        array = np.frombuffer(data, dtype)
        if dtype.kind == "b":
            array = np.frombuffer(data, np.uint8) != 0  # a byte of 2 is neither True nor False
        if dtype.kind == "U" and array.size and array.view(np.uint32).max() > 0x10FFFF:
            raise WireError("text that is no text")
        rows = _spread(array.reshape([shape[axis] for axis in order]), dense)
        out = rows.transpose(_inverse(order)) if order else rows
        out.flags.writeable = bool(writable)
        return self.note_in(out)

    def _decode_tensor(self, items: list[Any]) -> Any:
        name, shape, order, dense, device, is_parameter = items
        torch = self._torch()
        if name not in _TORCH:
            raise WireError("an unknown dtype")
        dtype = getattr(torch, name)
        size = size_of(shape, order)
        if device == "meta":
            tensor = torch.empty(shape, dtype=dtype, device="meta")
        elif device == "cpu" and size and dense and name != "bool" and order == _IN_ORDER[len(shape)]:
            data = self._take(size * _TORCH[name], 2)
            tensor = torch.frombuffer(bytearray(data), dtype=dtype).view(shape)
        elif device == "cpu":
            rows = np.frombuffer(self._take(size * _TORCH[name], 2 if dense else 3), np.uint8)
            if name == "bool":
                rows = (rows != 0).view(np.uint8)
            spread = _spread(rows.reshape(*(shape[axis] for axis in order), _TORCH[name]), True)
            tensor = (
                torch.from_numpy(spread).view(dtype).squeeze(-1)
                if size
                else torch.empty(spread.shape[:-1], dtype=dtype)
            )
            if not dense and tensor.ndim:
                wide = torch.empty((*tensor.shape[:-1], 2 * tensor.shape[-1]), dtype=dtype)
                wide[..., ::2] = tensor
                tensor = wide[..., ::2]
            tensor = tensor.permute(*_inverse(order)) if order else tensor
        else:
            raise WireError("an unknown device")
        return self.note_in(torch.nn.Parameter(tensor, requires_grad=False) if is_parameter is True else tensor)

    def _decode_generator(self, items: list[Any], depth: int) -> Any:
        (text,) = items
        if type(text) is not str or len(text) > 1 << 16:
            raise WireError("an unknown generator")
        return self.note_in(numpy_generator(json.loads(text)))

    def _decode_torch_generator(self, items: list[Any], depth: int) -> Any:
        (state,) = items
        if type(state) is not bytes:
            raise WireError("an unknown generator")
        torch = self._torch()
        generator = torch.Generator()
        generator.set_state(torch.frombuffer(bytearray(state), dtype=torch.uint8))
        return self.note_in(generator)

    def charge(self, size: int) -> None:
        """Take this many bytes from the memory that the frame's arrays may use."""
        self._memory -= size
        if self._memory < 0:
            raise WireError("arrays larger than any task needs")

    def _take(self, size: int, copies: int) -> memoryview:
        self.charge(size * copies)
        if self._offset + size > len(self._body):
            raise WireError("an array larger than its data")
        self._offset += size
        return self._body[self._offset - size : self._offset]

    @staticmethod
    def _torch() -> Any:
        torch = real("torch")
        if torch is None:
            raise WireError("a tensor where there is no torch")
        return torch


def tensor_bytes(tensor: Any) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return a tensor's data in C order, as bytes; as a view if that is possible."""
    torch = sys.modules["torch"]
    flat = tensor.detach().resolve_conj().resolve_neg().cpu().contiguous().reshape(-1)
    if not flat.numel():
        return np.empty(0, np.uint8)
    if flat.stride(0) != 1:  # a single entry, expanded
        flat = flat.clone(memory_format=torch.contiguous_format)
    data: np.ndarray[Any, np.dtype[np.uint8]] = flat.view(torch.uint8).numpy()
    return data


def _dtype(name: Any) -> np.dtype[Any]:
    if type(name) is not str:
        raise WireError("an unknown dtype")
    if name in _NUMERIC:
        return np.dtype("<" + name)
    if name[:1] in ("U", "S") and name[1:].isdecimal() and 0 < int(name[1:]) <= 1 << 16:
        return np.dtype("<" + name)
    raise WireError("an unknown dtype")


def size_of(shape: Any, order: Any) -> int:
    """Return the number of entries of an array that a header describes. Raises: WireError: there is no such array."""
    if type(shape) is not list or type(order) is not list or len(shape) > DIMENSIONS:
        raise WireError("an impossible shape")
    size = extent = 1
    for length in shape:
        if type(length) is not int or not 0 <= length < 1 << 40:
            raise WireError("an impossible shape")
        size *= length
        extent *= length or 1  # an array without entries has no size, but its sum along an axis has one
    for axis in order:
        if type(axis) is not int:
            raise WireError("an impossible layout")
    if order != _IN_ORDER[len(shape)] and sorted(order) != _IN_ORDER[len(shape)]:
        raise WireError("an impossible layout")
    if extent > BODY_BYTES:
        raise WireError("an impossible shape")
    return size


def _layout(shape: tuple[int, ...], strides: tuple[int, ...], itemsize: int) -> tuple[list[int], bool]:
    """Return the axes from the slowest to the fastest in memory, and whether the entries have no gaps between them."""
    order = sorted(range(len(shape)), key=lambda axis: (-abs(strides[axis]), axis))
    expected = itemsize
    dense = True
    for axis in reversed(order):
        if shape[axis] > 1:
            dense = dense and strides[axis] == expected
            expected *= shape[axis]
    return (order, dense) if math.prod(shape) else (list(range(len(shape))), True)


def _spread(rows: np.ndarray[Any, Any], dense: bool) -> np.ndarray[Any, Any]:
    """Copy `rows` into new memory, with gaps between the entries if there were gaps."""
    if dense or not rows.ndim:
        return np.array(rows)
    wide = np.empty((*rows.shape[:-1], 2 * rows.shape[-1]), rows.dtype)
    wide[..., ::2] = rows
    return wide[..., ::2]


def _inverse(order: list[int]) -> list[int]:
    inverse = [0] * len(order)
    for position, axis in enumerate(order):
        inverse[axis] = position
    return inverse
