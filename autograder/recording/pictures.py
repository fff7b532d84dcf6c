"""Pictures: which pictures of a student's answer are shown. A small file can unpack to a picture of gigabytes."""

from __future__ import annotations

import base64
import binascii
import re
import struct

from autograder.limits import PIXELS

_SPACE = re.compile(r"\s+")


def picture(kind: object, data: object) -> str:
    """Return the base64 of a picture, without line ends; '' if it is not a PNG, JPEG or GIF, or is too large to unpack.

    Args:
        kind: the MIME type that an attachment claims
        data: its base64, or anything
    """
    if kind not in _SIZES or not isinstance(data, str):
        return ""
    joined = _SPACE.sub("", data)
    try:
        width, height = _SIZES[kind](base64.b64decode(joined, validate=True))
    except (binascii.Error, ValueError, struct.error, LookupError):
        return ""
    return joined if 0 < width * height <= PIXELS else ""


def _png(content: bytes) -> tuple[int, int]:
    if content[:8] != b"\x89PNG\r\n\x1a\n" or content[12:16] != b"IHDR":
        raise ValueError
    width, height = struct.unpack(">II", content[16:24])
    return width, height


def _gif(content: bytes) -> tuple[int, int]:
    if content[:6] not in (b"GIF87a", b"GIF89a"):
        raise ValueError
    width, height = struct.unpack("<HH", content[6:10])
    return width, height


def _jpeg(content: bytes) -> tuple[int, int]:
    """Walk over the segments to the one that holds the size."""
    if content[:2] != b"\xff\xd8":
        raise ValueError
    at = 2
    while True:
        mark, kind, length = struct.unpack(">BBH", content[at : at + 4])
        if mark != 0xFF or length < 2:
            raise ValueError
        if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", content[at + 5 : at + 9])
            return width, height
        at += 2 + length


_SIZES = {"image/png": _png, "image/jpeg": _jpeg, "image/gif": _gif}
