"""What the fuzzer starts from, and all that it ever found: `make fuzz` looks for more."""

from __future__ import annotations

import pytest
from fuzz.target import INPUTS, one_input, seeds


@pytest.mark.parametrize("data", list(seeds()), ids=lambda data: data[:40].hex())
def test_a_well_formed_answer_is_taken(data: bytes) -> None:
    one_input(data)


@pytest.mark.parametrize("path", sorted(INPUTS.iterdir()), ids=lambda path: path.name)
def test_what_was_found_once_ends_in_words(path: object) -> None:
    one_input(path.read_bytes())  # type: ignore[attr-defined]
