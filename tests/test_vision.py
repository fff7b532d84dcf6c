"""dlcourse.vision: torchvision imports, and its nms answers, with or without its compiled operators."""

from __future__ import annotations

import sys
from importlib.util import find_spec

import pytest

if find_spec("torch") is None or find_spec("torchvision") is None:
    pytest.skip("needs the extra [torch]", allow_module_level=True)

import torch

from dlcourse import vision


def test_torchvision_is_imported_once() -> None:
    torchvision = vision.import_torchvision()

    assert torchvision.__name__ == "torchvision"
    assert vision.import_torchvision() is torchvision
    assert sys.modules["torchvision"] is torchvision


def test_models_can_be_counted() -> None:
    with torch.device("meta"):
        model = vision.import_torchvision().models.resnet18()

    assert sum(parameter.numel() for parameter in model.parameters()) == 11_689_512


def test_torchvision_suppresses_boxes_through_its_own_interface() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [1, 1, 11, 11], [20, 20, 30, 30]])

    kept = vision.import_torchvision().ops.nms(boxes, torch.tensor([0.6, 0.9, 0.3]), 0.5)

    assert kept.tolist() == [1, 2]


def test_a_box_just_at_the_threshold_stays() -> None:
    """Two boxes share a third of their union; a box is removed only if it shares more than the threshold."""
    boxes = torch.tensor([[0.0, 0, 2, 1], [1, 0, 3, 1]])
    scores = torch.tensor([0.5, 0.9])

    assert vision.nms(boxes, scores, 1 / 3 + 1e-6).tolist() == [1, 0]
    assert vision.nms(boxes, scores, 0.33).tolist() == [1]


def test_a_box_that_has_gone_suppresses_nobody() -> None:
    """The second box overlaps both others, but it is removed first, so the third stays."""
    boxes = torch.tensor([[0.0, 0, 10, 1], [4, 0, 14, 1], [8, 0, 18, 1]])

    assert vision.nms(boxes, torch.tensor([0.9, 0.8, 0.7]), 0.3).tolist() == [0, 2]


def test_no_boxes_are_no_trouble() -> None:
    assert vision.nms(torch.empty(0, 4), torch.empty(0), 0.5).tolist() == []


def test_a_missing_torchvision_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)
    monkeypatch.setattr(vision, "find_spec", lambda name: None)

    with pytest.raises(ModuleNotFoundError, match=r"autograder\[torch\]"):
        vision.import_torchvision()
