"""A remark about a parcel, before it is handed in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Remark:
    """One remark about a parcel: it is fine, or the student should look at it, or it stops the submission."""

    level: Literal["fine", "look", "stop"]
    sentence: str
