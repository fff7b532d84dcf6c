"""The inputs with which the fuzzer starts, and all that it has found; `make fuzz` looks for more."""

from __future__ import annotations

import pytest
from fuzz.target import INPUTS, one_input, seeds


@pytest.mark.parametrize(
    "data",
    [*seeds(), *(path.read_bytes() for path in sorted(INPUTS.glob("*")))],
    ids=lambda data: data[:40].hex(),
)
def test_an_answer_is_taken_or_refused_in_words(data: bytes) -> None:
    one_input(data)
