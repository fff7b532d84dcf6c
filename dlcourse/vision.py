"""Import torchvision, also where its compiled operators do not load.

The torchvision of the package registry is linked against CUDA. Beside a CPU build of torch its C++ library
does not load, and `import torchvision` fails with "operator torchvision::nms does not exist". Models,
transforms and data sets need none of these operators. So if they are missing, this module declares `nms`
and `qnms`, defines `nms` in plain torch, and then imports torchvision. Image codecs and the other operators stay out.
"""

from __future__ import annotations

import importlib
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_library: Any = None  # torch forgets the operators once this object is gone


def import_torchvision() -> ModuleType:
    """Import torchvision and return it; a second call returns the same module.

    Raises:
        ModuleNotFoundError: torchvision is not installed
    """
    if "torchvision" in sys.modules:
        return sys.modules["torchvision"]
    spec = find_spec("torchvision")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(
            "torchvision is not installed; run pip install 'autograder[torch]'", name="torchvision"
        )
    if _native_operators_load(Path(spec.origin).parent):
        return importlib.import_module("torchvision")
    _declare_operators()
    torchvision = importlib.import_module("torchvision")
    extension = importlib.import_module("torchvision.extension")
    vars(extension)["_has_ops"] = lambda: True
    return torchvision


def _native_operators_load(folder: Path) -> bool:
    """Try the compiled library of torchvision, as torchvision itself would."""
    ops: Any = torch.ops
    for path in folder.glob("_C.*"):
        try:
            ops.load_library(str(path))
        except (OSError, RuntimeError):
            continue
    return _has_nms()


def _has_nms() -> bool:
    known = torch._C._dispatch_has_kernel("torchvision::nms")
    return known and torch._C._dispatch_has_kernel_for_dispatch_key("torchvision::nms", "CPU")


def _declare_operators() -> None:
    global _library
    if _library is None:
        library: Any = torch.library
        _library = library.Library("torchvision", "DEF")
        _library.define(f"nms{_SCHEMA}")
        _library.define(f"qnms{_SCHEMA}")
        _library.impl("nms", nms, "CPU")


def nms(boxes: torch.Tensor, scores: torch.Tensor, iou_threshold: float) -> torch.Tensor:
    """Keep the best of the boxes that overlap: non-maximum suppression in plain torch.

    Args:
        boxes: corners (x1, y1, x2, y2), (N, 4) float
        scores: (N,) float
        iou_threshold: a box that overlaps a better one by more than this is removed, in [0, 1]

    Returns:
        indices of the boxes kept, best first, (K,) int64
    """
    order = scores.argsort(descending=True, stable=True)
    boxes = boxes[order]
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])  # (N,)
    alive = torch.ones(len(boxes), dtype=torch.bool)
    for index in range(len(boxes)):
        if alive[index]:
            rest = boxes[index + 1 :]
            corner = torch.maximum(boxes[index, :2], rest[:, :2])
            far = torch.minimum(boxes[index, 2:], rest[:, 2:])
            shared = (far - corner).clamp(min=0).prod(dim=1)
            union = area[index] + area[index + 1 :] - shared
            alive[index + 1 :] &= shared <= iou_threshold * union
    return order[alive]
