"""An outage leaves half a file, and nothing of it stays after its block."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import torch

from dlcourse import outage

STATE = {"weight": torch.arange(600.0)}


def size_of(state: dict[str, torch.Tensor]) -> int:
    whole = io.BytesIO()
    torch.save(state, whole)
    return len(whole.getvalue())


def test_half_a_file_is_there_and_cannot_be_loaded(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"

    with pytest.raises(outage.Stop), outage.in_save(lambda: True):
        torch.save(obj=STATE, f=path)

    assert 0.4 < path.stat().st_size / size_of(STATE) < 0.6
    with pytest.raises(RuntimeError):
        torch.load(path)


def test_an_open_file_has_half_of_it_too() -> None:
    opened = io.BytesIO()

    with pytest.raises(outage.Stop), outage.in_save(lambda: True):
        torch.save(STATE, opened, _use_new_zipfile_serialization=True)

    assert 0.4 < len(opened.getvalue()) / size_of(STATE) < 0.6


def test_the_power_fails_only_when_it_is_told_to(tmp_path: Path) -> None:
    answers = iter([False, True, False])
    of_torch = torch.save

    with outage.in_save(lambda: next(answers)):
        torch.save(STATE, tmp_path / "first.pt")
        with pytest.raises(outage.Stop):
            torch.save(STATE, tmp_path / "second.pt")
        torch.save(STATE, tmp_path / "third.pt")

    assert torch.save is of_torch
    for name in ("first.pt", "third.pt"):
        assert torch.equal(torch.load(tmp_path / name)["weight"], STATE["weight"])


def test_torch_is_itself_again_after_an_error() -> None:
    of_torch = torch.save

    with pytest.raises(ZeroDivisionError), outage.in_save(lambda: True):
        _ = 1 // 0

    assert torch.save is of_torch


def test_any_content_is_written_by_half(tmp_path: Path) -> None:
    with pytest.raises(outage.Stop):
        outage.write_half(b"abcdefgh", tmp_path / "picture.png")

    assert (tmp_path / "picture.png").read_bytes() == b"abcd"
