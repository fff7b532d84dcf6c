"""Read a value that a student's code returned, without trust: accept exact types only, and call none of its methods.

Nothing here imports torch: without torch no tensor can exist.
"""

from __future__ import annotations

import sys
from functools import lru_cache
from typing import Any

import numpy as np

_NUMPY_SCALARS = frozenset(kind for kind in np.sctypeDict.values() if issubclass(kind, np.generic))
_PYTHON_SCALARS = (bool, int, float, complex)
_KINDS = {"b": "bool", "i": "int", "u": "int", "f": "float", "c": "complex"}
_name_of_class = type.__dict__["__name__"].__get__  # a metaclass cannot change its result


def is_array(value: object) -> bool:
    """True for an ndarray itself: no matrix, masked array or other subclass."""
    return type(value) is np.ndarray


def is_tensor(value: object) -> bool:
    """True for a torch.Tensor or a torch.nn.Parameter itself."""
    torch: Any = sys.modules.get("torch")
    return torch is not None and (type(value) is torch.Tensor or type(value) is torch.nn.Parameter)


def is_number(value: object) -> bool:
    """True for a plain Python or NumPy number or bool; 0-d arrays are arrays."""
    return type(value) in _PYTHON_SCALARS or (type(value) in _NUMPY_SCALARS and np.dtype(type(value)).kind in _KINDS)


def shape_of(value: Any) -> tuple[int, ...]:
    """The shape of an array, a tensor or a number."""
    return () if is_number(value) else tuple(int(size) for size in value.shape)


@lru_cache(maxsize=256)  # NumPy makes a name from many parts, and a suite asks for a few thousand of them
def dtype_name(dtype: Any) -> str:
    """The name of a dtype: 'float32' for np.float32, torch.float32, 'float32' and np.dtype('float32')."""
    text = str(dtype)
    return text.removeprefix("torch.") if text.startswith("torch.") else np.dtype(dtype).name


def dtype_of(value: Any) -> str:
    """The dtype's name of an array, a tensor or a number (a Python float is a float64)."""
    if is_array(value) or is_tensor(value):
        return dtype_name(value.dtype)
    return dtype_name(type(value))  # type: ignore[arg-type]  # mypy does not know that a class can be hashed


def kind_of(value: Any) -> str:
    """'float', 'int', 'bool' or 'complex'; '' for any other contents (objects, texts, records)."""
    if type(value) is int:
        return "int"
    if is_tensor(value):
        name = dtype_name(value.dtype)
        for kind in ("float", "int", "complex", "bool"):
            if kind in name:
                return kind
        return ""
    return _KINDS.get(np.dtype(value.dtype if is_array(value) else type(value)).kind, "")


def as_array(value: Any) -> np.ndarray[Any, Any]:
    """The entries of an array, tensor or number as an ndarray, without a copy if possible."""
    if is_array(value):
        return value  # type: ignore[no-any-return]
    if is_tensor(value):
        tensor = value.detach().cpu().resolve_conj().resolve_neg()
        if dtype_name(tensor.dtype) not in np.sctypeDict:  # bfloat16 and the 8-bit floats
            tensor = tensor.cdouble() if tensor.is_complex() else tensor.double()
        return tensor.numpy()  # type: ignore[no-any-return]
    if type(value) is int and abs(value) >= 2**63:
        return np.asarray(np.inf if value > 0 else -np.inf)
    return np.asarray(value)


def has_values(value: Any) -> bool:
    """False for a tensor that `as_array` cannot read: sparse, quantised, or without storage."""
    return not is_tensor(value) or (
        str(value.layout) == "torch.strided" and not value.is_quantized and not value.is_meta
    )


def raw_bytes(value: Any) -> bytes:
    """The entries of an array or a tensor, bit for bit."""
    if is_array(value):
        return value.tobytes()  # type: ignore[no-any-return]
    torch: Any = sys.modules["torch"]
    flat = value.detach().cpu().resolve_conj().resolve_neg().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().tobytes()  # type: ignore[no-any-return]


def class_name(value: object) -> str:
    """The real name of a value's class, even if the class gives a false one."""
    return str(_name_of_class(type(value)))


def describe(value: object) -> str:
    """Say what a value is, for 'Got ...': 'a NumPy array', 'a list', 'None'."""
    if value is None:
        return "None"
    if is_array(value):
        return "a NumPy array"
    if is_tensor(value):
        return "a torch tensor"
    if type(value) in _NUMPY_SCALARS:
        return f"a NumPy {class_name(value).rstrip('_')}"
    name = class_name(value)
    if issubclass(type(value), np.ndarray):
        return f"a {name} (a special kind of NumPy array)"
    torch: Any = sys.modules.get("torch")
    if torch is not None and issubclass(type(value), torch.Tensor):
        return f"a {name} (a special kind of torch tensor)"
    if name == "builtin_function_or_method":
        return "a function"
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"


def show(value: Any, longest: int = 80) -> str:
    """Write a plain value for a message; any other value is only described."""
    if is_number(value):
        return show_number(value)
    if value is None or type(value) in (str, bytes, np.str_):
        text = repr(value if type(value) is not np.str_ else str(value))
    elif type(value) in (list, tuple, set, frozenset, dict) and len(value) <= 20 and longest > 10:
        text = _show_container(value, longest)
    else:
        return describe(value)
    return text if len(text) <= longest else text[: longest - 4] + " ..."


def show_both(got: Any, want: Any) -> tuple[str, str]:
    """Write any two plain values."""
    return show(got), show(want)


def _show_container(value: Any, longest: int) -> str:
    if type(value) is dict:
        pairs = (f"{show(key, longest // 2)}: {show(item, longest // 2)}" for key, item in value.items())
        return "{" + ", ".join(pairs) + "}"
    items = ", ".join(show(item, longest // 2) for item in value)
    if type(value) is list:
        return f"[{items}]"
    if type(value) is tuple:
        return f"({items},)" if len(value) == 1 else f"({items})"
    return "{" + items + "}" if value else "an empty set"


def show_number(value: Any, digits: int = 4) -> str:
    """Write a number in a short form: 0.7311, 3, nan, (1+2j)."""
    if type(value) in (bool, int) or np.dtype(type(value)).kind in "biu":
        text = str(value)
        return text if len(text) <= 40 else f"{text[:12]}... ({len(text)} digits)"
    return f"{value:.{digits}g}"


def show_pair(got: Any, want: Any) -> tuple[str, str]:
    """Write two numbers with enough digits to show their difference."""
    for digits in range(4, 18):
        texts = show_number(got, digits), show_number(want, digits)
        if texts[0] != texts[1]:
            break
    return texts
