"""Cheats: modules without any right code, which earn nothing in any assignment.

`autograder verify` runs them against each suite. A test that one of them passes is cheap: "the inputs stay as they
are" holds for a function that returns None. Such a test counts only for who passes a test of the same task that no
cheat passes; signatures.json lists them.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator

from autograder.topic import Topic

_START = '''
import numpy as np

try:
    import torch
except ImportError:
    torch = None


def _is_array(value):
    return isinstance(value, np.ndarray) or (torch is not None and not isinstance(torch, type) and _is_tensor(value))


def _is_tensor(value):
    return type(value).__module__.startswith("torch") and hasattr(value, "detach")


def _arrays(values):
    for value in values:
        if _is_array(value):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from _arrays(value)
        elif isinstance(value, dict):
            yield from _arrays(value.values())


def _like_first(values, number):
    first = next(_arrays(values), None)
    if first is None:
        return number
    return first * 0 + number if _is_tensor(first) else np.full(first.shape, number, float)


def _wipe(values, number):
    for array in _arrays(values):
        try:
            if _is_tensor(array):
                array.detach().fill_(number)
            else:
                array[...] = number
        except Exception:
            pass


class _Agrees:
    """Says yes to every question."""

    shape, dtype, ndim, size = (), np.dtype(float), 0, 1

    def __init__(self, *args, **options):
        pass

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def _yes(self, *args):
        return True

    def _self(self, *args, **options):
        return self

    def _nothing(self, *args):
        return 0.0

    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __contains__ = _yes
    __call__ = __getitem__ = __enter__ = __add__ = __radd__ = __mul__ = __rmul__ = __matmul__ = _self
    __sub__ = __rsub__ = __abs__ = __float__ = __truediv__ = __mod__ = _nothing
    __hash__ = None

    def __bool__(self):
        return True

    def __len__(self):
        return 1

    def __int__(self):
        return 1

    def __iter__(self):
        return iter(())

    def __exit__(self, *error):
        return True


'''

#: name -> what every function of the module does with its arguments
CHEATS = {
    "does nothing": "return None",
    "returns True": "return True",
    "returns one": "return 1",
    "returns a text": "return 'correct'",
    "returns nothing at all": "return {}",
    "returns an empty array": "return np.empty((0,))",
    "returns a huge number": "return 10 ** 300",
    "returns a large array": "return np.full((300, 300), 1e300)",
    "returns zeros": "return _like_first(args, 0.0)",
    "returns ones": "return _like_first(args, 1.0)",
    "returns nan": "return _like_first(args, float('nan'))",
    "returns infinity": "return _like_first(args, float('inf'))",
    "returns its first argument": "return args[0] if args else None",
    "returns its last argument": "return args[-1] if args else None",
    "returns its arguments": "return args",
    "fills its arguments with zeros and returns zeros": "_wipe(args, 0); return _like_first(args, 0.0)",
    "fills its arguments with ones and returns ones": "_wipe(args, 1); return _like_first(args, 1.0)",
    "fills its arguments with zeros and returns them": "_wipe(args, 0); return args[0] if args else None",
    "fills its arguments with nan and returns nan": "_wipe(args, float('nan')); return _like_first(args, float('nan'))",
    "fills its arguments with infinity": "_wipe(args, float('inf')); return _like_first(args, float('inf'))",
    "returns what agrees with everything": "return _Agrees()",
    "raises ValueError": "raise ValueError('no')",
    "raises TypeError": "raise TypeError('no')",
    "raises AssertionError": "raise AssertionError('no')",
    "raises StopIteration": "raise StopIteration",
    "raises MemoryError": "raise MemoryError",
}


def cheap_tests(topic: Topic) -> frozenset[str]:
    """Return the tests that some cheat passes, as `autograder verify` found them."""
    try:
        kept = json.loads((topic.folder / "signatures.json").read_text(encoding="utf-8"))
        return frozenset(kept["cheap"])
    except (OSError, ValueError, TypeError, KeyError):
        return frozenset()


def cheats(topic: Topic) -> Iterator[tuple[str, str]]:
    """Give each cheat's name and its module, with the names that the topic's solution defines."""
    tree = ast.parse(topic.solution_path.read_text(encoding="utf-8"))
    functions = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    classes = [node.name for node in tree.body if isinstance(node, ast.ClassDef)]
    for name, body in CHEATS.items():
        yield name, _module(body, functions, classes)


def _module(body: str, functions: list[str], classes: list[str]) -> str:
    statements = body.replace("; ", "\n    ")
    parts = [
        _START,
        f"def _cheat(*args, **options):\n    args += tuple(options.values())\n    {statements}\n\n",
    ]
    parts += [f"{name} = _cheat\n" for name in functions]
    parts += [
        f"\n\nclass {name}(_Agrees):\n    def __getattr__(self, name):\n        if name.startswith('__'):\n"
        "            raise AttributeError(name)\n        return _cheat\n\n    __call__ = _cheat\n"
        for name in classes
    ]
    return "".join(parts)
