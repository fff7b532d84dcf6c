"""Hollows: modules whose functions return the right types and shapes, but no right numbers.

Each runs the solution on copies of the arguments, and replaces every number that a function returns by zero, one, nan
or a random number. A test that one of them passes looks only at shapes, or at values that must not change. `autograder
verify` calls it cheap (see cheats.py).

A function that gets functions or objects does nothing, because what it would pass to them, such as the batches of a
training, would be right. What a class's `__init__` decides, such as the number of a network's weights, is right too. So
a hollow keeps only `__init__` of a class, and a test that `__init__` alone passes is not cheap.
"""

from __future__ import annotations

from collections.abc import Iterator

from autograder.sandbox.both.bundle import bundled_texts, parted_text
from autograder.topic import Topic

_START = """
import copy as _copy
import functools as _functools
import sys as _sys
import types as _types

import numpy as _np

try:
    import torch as _torch
except ImportError:
    _torch = None

_ONLY_INIT = {only_init}
_MODULES = {modules}
_PLAIN = ("builtins", "numpy", "numpy.random._generator", "torch")
_solution = _types.ModuleType("solution_of_a_hollow")
_sys.modules["solution_of_a_hollow"] = _solution
exec(compile({source!r}, "solution_of_a_hollow.py", "exec"), vars(_solution))


def _array(value):
    return {array}


def _tensor(value):
    return {tensor}


def _number(value):
    return {number}


def _hollow(value):
    if type(value).__module__ == "torch" and isinstance(value, _torch.Tensor):
        return _tensor(value)
    if isinstance(value, _np.ndarray):
        return _array(value)
    if isinstance(value, (bool, _np.bool_)):
        return bool(_number(0.0))
    if isinstance(value, (int, _np.integer, float, _np.floating)):
        number = _number(float(value))
        return number if isinstance(value, (float, _np.floating)) else int(number) if number == number else -1
    if isinstance(value, str):
        return ""
    if type(value) in (list, tuple):
        return type(value)(_hollow(item) for item in value)
    if type(value) is dict:
        return {{key: _hollow(item) for key, item in value.items()}}
    return None


def _copied(value):
    if type(value) in (list, tuple):
        return type(value)(_copied(item) for item in value)
    if type(value) is dict:
        return {{key: _copied(item) for key, item in value.items()}}
    if callable(value) or type(value).__module__ not in _PLAIN:
        raise TypeError("a function or an object that could be told what it wants to hear")
    return _copy.deepcopy(value)


def _hollowed(function):
    @_functools.wraps(function)
    def call(*args, **options):
        if _ONLY_INIT:
            raise RuntimeError("only __init__ is right here")
        try:
            answer = function(*_copied(args), **_copied(options))
        except Exception:
            return None
        return _hollow(answer)

    return call


def _missing(self, *args, **options):
    raise RuntimeError("only __init__ is right here")


for _name, _value in list(vars(_solution).items()):
    if isinstance(_value, _types.FunctionType) and _value.__module__ in _MODULES:
        globals()[_name] = _hollowed(_value)
    elif isinstance(_value, type) and _value.__module__ in _MODULES:
        _methods = {{
            _key: _missing
            for _key, _method in vars(_value).items()
            if isinstance(_method, _types.FunctionType) and _key != "__init__"
        }}
        globals()[_name] = type(_name, (_value,), _methods)
"""

_ZEROS = ("value * 0", "value * 0", "0.0")
#: name -> what becomes of an array, of a tensor, and of a number
HOLLOWS = {
    "has the right shapes, and zeros in them": _ZEROS,
    "has the right shapes, and ones in them": ("_np.ones_like(value)", "value * 0 + 1", "1.0"),
    "has the right shapes, and nan in them": (
        "value * float('nan') if value.dtype.kind == 'f' else value * 0 - 1",
        "value * float('nan') if value.is_floating_point() else value * 0",
        "float('nan')",
    ),
    "has the right shapes, and large numbers in them": (
        "value * 0 + (1e6 if value.dtype.kind == 'f' else 1)",
        "value * 0 + (1e6 if value.is_floating_point() else 1)",
        "1e6",
    ),
    "has the right shapes, and chance in them": (
        "_np.random.random(value.shape).astype(value.dtype) + value * 0",
        "value * 0 + _torch.rand(value.shape).to(value.dtype)",
        "float(_np.random.random())",
    ),
}


def hollows(topic: Topic) -> Iterator[tuple[str, str]]:
    """Give each hollow's name and its module, with the solution's further modules."""
    for name, words in HOLLOWS.items():
        yield name, _module(topic, words, only_init=False)


def only_init(topic: Topic) -> str:
    """Return the module in which only the `__init__` of the classes are right."""
    return _module(topic, _ZEROS, only_init=True)


def _module(topic: Topic, words: tuple[str, str, str], *, only_init: bool) -> str:
    array, tensor, number = words
    texts = parted_text(topic.solution, topic.modules)
    modules = ("solution_of_a_hollow", *topic.also)
    texts[topic.module] = _START.format(
        source=texts[topic.module],
        array=array,
        tensor=tensor,
        number=number,
        only_init=only_init,
        modules=modules,
    )
    return bundled_texts(texts)
