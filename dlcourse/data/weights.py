"""Weights that the course trained, as safetensors files: a JSON header of names and positions, then raw numbers.

Reading and writing takes a dozen lines each, so nobody needs a package for it. The format is that of
https://github.com/huggingface/safetensors, of which only float32 and int64 are used here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Tensors = dict[str, npt.NDArray[Any]]

SHAPES7 = Path(__file__).with_name("shapes7.safetensors")
_DTYPES: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "I64": np.dtype("<i8")}


def shapes7_weights() -> Tensors:
    """Return the weights of a small network that tells the first seven kinds of shapes10 apart.

    Made by `tests/train_shapes7.py`. The names are those of a state dict of PyTorch: "backbone.*"
    for three convolutions of 16, 32 and 64 maps, each with batch norm, and "head.*" for seven scores.

    Returns:
        name -> array, float32 (int64 for the counters of batch norm); new arrays at each call
    """
    return read_safetensors(SHAPES7)


def read_safetensors(path: Path) -> Tensors:
    """Return name -> array of a safetensors file, as new arrays.

    Raises:
        ValueError: the file is cut short, or holds something other than float32 and int64
    """
    raw = path.read_bytes()
    start = 8 + int.from_bytes(raw[:8], "little")
    if len(raw) < max(start, 9):
        raise ValueError(f"{path}: {len(raw)} bytes are too few for its header; get the file again")
    found: Tensors = {}
    for name, entry in json.loads(raw[8:start]).items():
        if name == "__metadata__":
            continue
        if entry["dtype"] not in _DTYPES:
            raise ValueError(f"{path}: {name} is {entry['dtype']}; only {', '.join(_DTYPES)} are read here")
        first, last = (start + offset for offset in entry["data_offsets"])
        if last > len(raw):
            raise ValueError(f"{path}: {name} ends at byte {last} of {len(raw)}; get the file again")
        found[name] = np.frombuffer(raw[first:last], _DTYPES[entry["dtype"]]).reshape(entry["shape"]).copy()
    return found


def write_safetensors(path: Path, tensors: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write arrays of float32 and int64 into a safetensors file; equal arrays give equal bytes."""
    names = {dtype: name for name, dtype in _DTYPES.items()}
    header, parts, offset = {}, [], 0
    for name, array in tensors.items():
        raw = np.ascontiguousarray(array).tobytes()
        places = [offset, offset + len(raw)]
        header[name] = {"dtype": names[array.dtype], "shape": list(array.shape), "data_offsets": places}
        parts.append(raw)
        offset += len(raw)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(parts))
