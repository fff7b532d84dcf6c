"""States of random generators that a worker sends. They are checked before a generator on the trusted side uses them.

If a test passes a generator to the student's code, the generator comes back in the state in which the code left it. An
invented state could yield only zeros, so that every later input of the test is zero; some states would even make NumPy
read beyond an array. So a state is accepted only if it is well formed, and if draws lead to it from the state that was
sent.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from autograder.sandbox.both.limits import NORMAL, PCG_STEPS, TWISTER_BLOCKS
from autograder.sandbox.both.wire import WireError

#: name -> for each part of the state: its key, the number of words, the bits of each word; and the limit of a position
_STATES: dict[str, tuple[dict[str, tuple[int, int]], str, int]] = {
    "PCG64": ({"state": (0, 128), "inc": (0, 128)}, "", 0),
    "PCG64DXSM": ({"state": (0, 128), "inc": (0, 128)}, "", 0),
    "MT19937": ({"key": (624, 32)}, "pos", 624),
    "Philox": ({"counter": (4, 64), "key": (2, 64)}, "buffer_pos", 4),
    "SFC64": ({"state": (4, 64)}, "", 0),
}
BIT_GENERATORS = tuple(_STATES)
#: the factor of each PCG64's steps
_PCG = {"PCG64": 0x2360ED051FC65DA44385DF649FCCF645, "PCG64DXSM": 0xDA942042E4DD58B5}
#: torch's CPU state: seed, left, seeded, next, 624 words of 8 bytes, normal samples kept for later
_TORCH_KEY, _TORCH_SAMPLES, _TORCH_FLOAT = slice(24, 24 + 8 * 624), 24 + 8 * 624, 5048


def numpy_generator(state: Any) -> np.random.Generator:
    """Return a generator in a state that came as JSON.

    Raises:
        WireError: no generator has this state
    """
    name = state.get("bit_generator") if type(state) is dict else None
    if type(name) is not str or name not in _STATES or type(state.get("state")) is not dict:
        raise WireError("an unknown generator")
    parts, position, last = _STATES[name]
    clean: dict[str, Any] = {"bit_generator": name, "state": {}}
    for key, (count, bits) in parts.items():
        clean["state"][key] = _words(state["state"].get(key), count, bits)
    if name == "Philox":
        clean["buffer"] = _words(state.get("buffer"), 4, 64)
    if position:  # with a position outside this range, NumPy reads beyond its array
        holder = clean["state"] if name == "MT19937" else clean
        given = state["state"] if name == "MT19937" else state
        holder[position] = _whole(given.get(position), last)
    if name != "MT19937":
        clean["has_uint32"] = _whole(state.get("has_uint32"), 1)
        clean["uinteger"] = _whole(state.get("uinteger"), (1 << 32) - 1)
    bit_generator = getattr(np.random, name)(0)
    bit_generator.state = clean
    return np.random.Generator(bit_generator)


def go_on(generator: np.random.Generator, later: np.random.Generator) -> None:
    """Put a generator of the test into a later state of the same generator.

    Raises:
        WireError: no draw leads from the one to the other
    """
    now: Any = generator.bit_generator.state
    then: Any = later.bit_generator.state
    name = now["bit_generator"]
    if then["bit_generator"] != name:
        raise WireError("another random generator")
    here, there = now["state"], then["state"]
    if name.startswith("PCG64"):
        is_ahead = here["inc"] == there["inc"] and (
            _steps(here["state"], there["state"], _PCG[name], here["inc"]) <= PCG_STEPS
        )
    elif name == "Philox":
        is_ahead = np.array_equal(here["key"], there["key"]) and _number(here["counter"]) <= _number(there["counter"])
    elif name == "SFC64":
        drawn = int(there["state"][3]) - int(here["state"][3])  # the last word counts
        is_ahead = 0 <= drawn <= 624 * TWISTER_BLOCKS
        if is_ahead:
            copy: Any = np.random.SFC64(0)
            copy.state = now
            copy.random_raw(drawn, output=False)
            is_ahead = np.array_equal(copy.state["state"]["state"], there["state"])
    else:
        is_ahead = _twists_to(now, there["key"])
    if not is_ahead:
        raise WireError("a random state that no draw leads to")
    generator.bit_generator.state = then


def _steps(here: int, there: int, factor: int, summand: int) -> int:
    """Return how many steps x -> factor * x + summand, modulo 2**128, lead from one state to another.

    A step changes the lowest bit of the state every time, the next bit every second time, and so on. So the lowest bit
    in which two states differ gives one bit of the distance. And 2**k steps together have the same form as one step.
    """
    steps = 0
    for bit in range(128):
        if (here ^ there) >> bit & 1:
            here = (factor * here + summand) % (1 << 128)
            steps |= 1 << bit
        summand = (factor + 1) * summand % (1 << 128)
        factor = factor * factor % (1 << 128)
    return steps


def _twists_to(now: dict[str, Any], key: Any) -> bool:
    copy: Any = np.random.MT19937(0)
    copy.state = now
    wanted = np.asarray(key)
    for _ in range(TWISTER_BLOCKS):
        if np.array_equal(copy.state["state"]["key"], wanted):
            return True
        copy.random_raw(624, output=False)
    return False


def torch_state_lies_ahead(torch: Any, now: bytes, then: bytes) -> bool:
    """Whether draws, or a `manual_seed` and draws, lead from one state of torch's CPU generator to another."""
    try:
        claimed = torch_generator(torch, then)
    except (RuntimeError, TypeError):
        return False
    samples = (
        np.frombuffer(then, np.float64, 2, _TORCH_SAMPLES),
        np.frombuffer(then, np.float32, 1, _TORCH_FLOAT),
    )
    if not all(np.all(np.abs(sample) < NORMAL) for sample in samples):
        return False
    here, seed = torch_generator(torch, now), claimed.initial_seed()
    reseeded = torch.Generator().manual_seed(seed)
    ways = (reseeded, here) if seed == here.initial_seed() else (reseeded,)  # draws keep the seed
    for _ in range(TWISTER_BLOCKS):
        for generator in ways:  # both walk step by step together: each whole walk takes a tenth of a second
            if generator.get_state().numpy().tobytes()[_TORCH_KEY] == then[_TORCH_KEY]:
                return True
            torch.empty(624, dtype=torch.int32).random_(generator=generator)
    return False


def torch_generator(torch: Any, state: bytes) -> Any:
    """Return a torch.Generator in this state; torch refuses a malformed state."""
    generator = torch.Generator()
    generator.set_state(torch.frombuffer(bytearray(state), dtype=torch.uint8))
    return generator


def _words(value: Any, count: int, bits: int) -> Any:
    """Check `count` words of `bits` bits each; for a count of 0, check a single number."""
    if not count:
        return _whole(value, (1 << bits) - 1)
    if type(value) is not list or len(value) != count:
        raise WireError("a malformed random state")
    return np.array([_whole(word, (1 << bits) - 1) for word in value], np.uint32 if bits == 32 else np.uint64)


def _whole(value: Any, most: int) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise WireError("a malformed random state")
    return value


def _number(words: Any) -> int:
    return sum(int(word) << 64 * place for place, word in enumerate(words))
