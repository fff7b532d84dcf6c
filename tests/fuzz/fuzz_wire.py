"""Fuzz the wire and the codec, guided by coverage:   python -m fuzz.fuzz_wire [seconds] [folder for what is found]

It needs atheris (the extra `fuzz`). It keeps what it finds in the folder. Copy it to tests/fuzz/inputs/, so that
tests/test_fuzz.py runs it from then on.
"""

from __future__ import annotations

import random
import sys
import tempfile
from pathlib import Path
from typing import Any

import atheris
import msgpack

with atheris.instrument_imports(include=["autograder.sandbox", "autograder.expect", "autograder.values"]):
    from fuzz.target import BODY, INPUTS, VALUES, one_input, seeds

#: odd values that may replace any part
_ODD: tuple[Any, ...] = (
    *VALUES, -1, 0, 2, 7, 1 << 31, 1 << 40, (1 << 63) - 1, -(1 << 63), (1 << 64) - 1, 1e300, float("nan"), True, None,
    "", "f8", "U9", "float16", "bfloat16", "complex128", "uint64", "meta", "__class__", "\x00", b"", b"x" * 5056, [], [[]],
)  # fmt: skip


def mutate(data: bytes, size: int, seed: int) -> bytes:
    """Change one part of an answer's tree, or sometimes some of its bytes."""
    chance = random.Random(seed)
    header, mark, body = data.partition(BODY)
    try:
        tree = msgpack.unpackb(header, strict_map_key=False)
        if chance.random() < 0.2:
            raise ValueError
        for _ in range(chance.randint(1, 3)):
            tree = _changed(tree, chance)
        changed: bytes = msgpack.packb(tree) + mark + body
    except Exception:  # it is no tree any more, so only its bytes can be changed
        changed = atheris.Mutate(data, size)
    return changed[:size]


def _changed(tree: Any, chance: random.Random) -> Any:
    if not isinstance(tree, list) or not tree or chance.random() < 0.15:
        return chance.choice(_ODD)
    place = chance.randrange(len(tree))
    match chance.random():
        case few if few < 0.1:
            return tree[:place] + tree[place + 1 :]
        case few if few < 0.2:
            return [*tree[:place], chance.choice(_ODD), *tree[place:]]
        case _:
            return [*tree[:place], _changed(tree[place], chance), *tree[place + 1 :]]


def main() -> None:
    """Start from the well-formed answers and from all that was found before."""
    seconds = sys.argv[1] if len(sys.argv) > 1 else "60"
    found = Path(sys.argv[2] if len(sys.argv) > 2 else tempfile.mkdtemp(prefix="fuzz-"))
    found.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for number, data in enumerate(seeds()):
            (Path(folder) / str(number)).write_bytes(data)
        options = [f"-max_total_time={seconds}", "-max_len=8000", "-timeout=10", "-rss_limit_mb=3000"]
        command = [sys.argv[0], *options, f"-artifact_prefix={found}/", folder, str(INPUTS)]
        atheris.Setup(command, one_input, custom_mutator=mutate)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
