"""Cheats: modules without any right code, which get no points in any assignment.

`autograder verify` runs each suite on them. A test that one of them passes is cheap: for example, a function that
returns None leaves its inputs as they are. A cheap test counts only for a student who also passes a test of the same
task that no cheat passes. known.json lists the cheap tests.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from autograder.topic import Topic

_START = '''
import copy

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


def _chance(values):
    first = next(_arrays(values), None)
    if first is None:
        return np.random.random()
    return torch.rand(first.shape) if _is_tensor(first) else np.random.random(first.shape)


def _a_row(values, number):
    first = next(_arrays(values), None)
    if first is None or not first.ndim:
        return number
    rows = np.full(len(first), number)
    return torch.from_numpy(rows) if _is_tensor(first) else rows


def _shares(values):
    first = next(_arrays(values), None)
    if first is None or not first.ndim:
        return 0.5
    return torch.softmax(first.double(), -1) if _is_tensor(first) else np.full(first.shape, 1 / first.shape[-1])


class _AnyError(ValueError, TypeError, KeyError, IndexError, NotImplementedError, RuntimeError, AttributeError,
                ZeroDivisionError, AssertionError):
    pass


class _Plain:
    def __init__(self, *args, **options):
        super().__init__()
        self.args = args
        for name, value in options.items():
            setattr(self, name, value)


if torch is not None and isinstance(getattr(torch.nn, "Module", None), type):

    class _Plain(torch.nn.Module):
        def __init__(self, *args, **options):
            super().__init__()
            self.args, self.weight = args, torch.nn.Parameter(torch.zeros(3, 3))
            for name, value in options.items():
                setattr(self, name, value)


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
    "returns one half": "return np.array(0.5)",
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
#: the same, in modules whose classes have attributes and methods (and weights, if there is torch)
PLAIN_CHEATS = {
    "has methods that do nothing": "return None",
    "has methods that raise NotImplementedError": "raise NotImplementedError('later')",
    "has methods that raise every error": "raise _AnyError('axis dtype empty label mean negative range shape unknown')",
    "has methods that return True": "return True",
    "has methods that return zero": "return 0",
    "has methods that return minus one": "return -1",
    "has methods that return an empty list": "return []",
    "has methods that return a text": "return ''",
    "has methods that return a function": "return lambda *args, **options: args[0] if args else None",
    "has methods that return a dict": "import collections; return collections.defaultdict(float)",
    "has methods that return zeros": "return _like_first(args, 0.0)",
    "has methods that return ones": "return _like_first(args, 1.0)",
    "has methods that return nan": "return _like_first(args, float('nan'))",
    "has methods that return chance": "return _chance(args)",
    "has methods that return chance twice": "return _chance(args), _chance(args)",
    "has methods that return their first argument": "return args[0] if args else None",
    "has methods that return a copy of it": "return copy.deepcopy(args[0]) if args else None",
    "has methods that return it twice": "return (args[0], args[0]) if args else None",
    "has methods that return it three times": "return (args[0],) * 3 if args else None",
    "has methods that return copies of all": "return copy.deepcopy(tuple(_arrays(args)))",
    "has methods that return their second argument": "return args[1] if len(args) > 1 else None",
    "has methods that return zeros twice": "return _like_first(args, 0.0), _like_first(args, 0.0)",
    "has methods that return zeros three times": "return (_like_first(args, 0.0),) * 3",
    "has methods that return zeros four times": "return (_like_first(args, 0.0),) * 4",
    "has methods that return zero and zeros": "return 0.0, _like_first(args, 0.0)",
    "has methods that return zero and zeros twice": "return 0.0, _like_first(args, 0.0), _like_first(args, 0.0)",
    "has methods that return zeros and a cache": "return _like_first(args, 0.0), args",
    "has methods that return a zero a row": "return _a_row(args, 0)",
    "has methods that return a one a row": "return _a_row(args, 1)",
    "has methods that return shares": "return _shares(args)",
    "has methods that return the mean": "return next((array.mean() for array in _arrays(args)), None)",
    "calls what it is given": "return args[0](*args[1:]) if args and callable(args[0]) else None",
}


def cheats(topic: Topic) -> Iterator[tuple[str, str]]:
    """Give the name and the module of each cheat; the module defines the names of the topic's solution."""
    tree = ast.parse(topic.solution)
    functions = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    for name, body in CHEATS.items():
        yield name, _module(body, functions, "".join(_agreeing(node) for node in classes))
    for name, body in PLAIN_CHEATS.items():
        yield name, _module(body, functions, "".join(_plain(node) for node in classes))


def _module(body: str, functions: list[str], classes: str) -> str:
    statements = body.replace("; ", "\n    ")
    cheat = f"def _cheat(*args, **options):\n    args += tuple(options.values())\n    {statements}\n\n"
    return "".join([_START, cheat, *(f"{name} = _cheat\n" for name in functions), classes])


def _agreeing(node: ast.ClassDef) -> str:
    return (
        f"\n\nclass {node.name}(_Agrees):\n    def __getattr__(self, name):\n        if name.startswith('__'):\n"
        "            raise AttributeError(name)\n        return _cheat\n\n    __call__ = _cheat\n"
    )


def _plain(node: ast.ClassDef) -> str:
    methods = [item.name for item in node.body if isinstance(item, ast.FunctionDef) and item.name != "__init__"]
    defined = "".join(
        f"    def {name}(self, *args, **options):\n        return _cheat(*args, **options)\n\n" for name in methods
    )
    return f"\n\nclass {node.name}(_Plain):\n    pass\n\n{defined}"
