"""Disguises: random transformations of modules, which keep or break their meaning, for test_alone.py."""

from __future__ import annotations

import ast
import random

#: what a text at the end of a module may do to a function f, another g, and a class K of it; all use `np`
OF_FUNCTIONS = {
    "one object under two names": "{f} = {g}",
    "two names swapped": "{f}, {g} = {g}, {f}",
    "returns an object of import time": "_kept_{n} = {f}\ndef {f}(*a, **k): return _kept_{n}",
    "returns another function": "def {f}(*a, _g={g}, **k): return _g",
    "one answer for all": """
def _first_{n}(function, known):
    def call(*a, **k):
        known.append(known[0] if known else function(*a, **k))
        return known[0]
    return call
{f} = _first_{n}({f}, [])""",
    "one answer for each number of arguments, shared by two": """
def _shared_{n}(function, known={{}}):
    def call(*a, **k):
        key = len(a), tuple(sorted(k))
        if key not in known: known[key] = function(*a, **k)
        return known[key]
    return call
{f}, {g} = _shared_{n}({f}), _shared_{n}({g})""",
    "a partial": "import functools\n{f} = functools.partial({f})",
    "a bound method": """
class _Holder_{n}:
    def __init__(self, function): self.function = function
    def call(self, *a, **k): return self.function(*a, **k)
{f} = _Holder_{n}({f}).call""",
    "an object that can be called": """
class _Callable_{n}:
    def __init__(self, function): self.function = function
    def __call__(self, *a, **k): return self.function(*a, **k)
{f} = _Callable_{n}({f})""",
    "wrapped": """
import functools
def _wrapped_{n}(function):
    @functools.wraps(function)
    def call(*a, **k): return function(*a, **k)
    return call
{f} = _wrapped_{n}({f})""",
    "callbacks stored, and called later": """
_heard_{n} = []
def _later_{n}(function):
    def call(*a, **k):
        _heard_{n}.extend(x for x in [*a, *k.values()] if callable(x))
        for heard in _heard_{n}[:1]:
            try: heard(1.0)
            except Exception: pass
        return function(*a, **k)
    return call
{f} = _later_{n}({f})""",
    "arguments stored, and changed later": """
_seen_{n} = []
def _keeps_{n}(function):
    def call(*a, **k):
        for x in _seen_{n}:
            if x.flags.writeable: x[...] = 0
        _seen_{n}.extend(x for x in a if type(x) is np.ndarray and x.size)
        return function(*a, **k)
    return call
{f} = _keeps_{n}({f})""",
    "writes into its argument": """
def _into_{n}(function):
    def call(*a, **k):
        out = function(*a, **k)
        for x in a:
            if type(x) is type(out) is np.ndarray and x.shape == out.shape and x.dtype == out.dtype and x.flags.writeable:
                x[...] = out
                return x
        return out
    return call
{f} = _into_{n}({f})""",
    "binds its name again": """
def _once_{n}(function):
    def call(*a, **k):
        globals()['{f}'] = {g}
        return function(*a, **k)
    return call
{f} = _once_{n}({f})""",
    "raises at the second call": """
def _second_{n}(function, calls=[]):
    def call(*a, **k):
        calls.append(1)
        if len(calls) == 2: raise KeyError('second')
        return function(*a, **k)
    return call
{f} = _second_{n}({f})""",
    "ends the process at the third call": """
def _third_{n}(function, calls=[]):
    def call(*a, **k):
        calls.append(1)
        if len(calls) == 3: __import__('os')._exit(0)
        return function(*a, **k)
    return call
{f} = _third_{n}({f})""",
    "seeds and draws": """
def _draws_{n}(function):
    def call(*a, **k):
        np.random.seed(0); np.random.normal(); np.random.default_rng().random()
        np.seterr(all='ignore'); np.set_printoptions(precision=2)
        return function(*a, **k)
    return call
{f} = _draws_{n}({f})""",
    "the order of a set": "def {f}(*a, _f={f}, **k): return _f(*a, **k) if min(set('abc'), key=hash) != 'a' else None",
}
OF_CLASSES = {
    "a subclass": "class {K}({K}): pass",
    "a subclass by another name": "class _Sub_{n}({K}): pass\n{K} = _Sub_{n}",
    "one object for all": """
def _one_{n}(cls, known=[]):
    def make(*a, **k):
        known.append(known[0] if known else cls(*a, **k))
        return known[0]
    return make
{K} = _one_{n}({K})""",
    "made by a function": "def {K}(*a, _K={K}, **k): return _K(*a, **k)",
    "all equal": "class {K}({K}):\n    def __eq__(self, other): return True\n    __hash__ = None",
}


def disguised(source: str, names: frozenset[str], draw: random.Random) -> tuple[str, str]:
    """Return a module with one or two drawn transformations at its end, and what they are.

    Args:
        source: the module
        names: the names that its tests ask for
    """
    body = ast.parse(source).body
    functions = [node.name for node in body if isinstance(node, ast.FunctionDef) and node.name in names]
    classes = [node.name for node in body if isinstance(node, ast.ClassDef) and node.name in names]
    said = []
    source += "\nimport numpy as np\n"
    for n in range(draw.randint(1, 2)):
        kind = draw.choice([*([OF_FUNCTIONS] * 3 if functions else []), *([OF_CLASSES] if classes else [])])
        what = draw.choice(sorted(kind))
        f, g = (draw.sample(functions, 2) if len(functions) > 1 else functions * 2) or ("", "")
        cls = draw.choice(classes) if classes else ""
        source += kind[what].format(f=f, g=g, K=cls, n=n) + "\n"
        said.append(f"{cls if kind is OF_CLASSES else f}: {what}")
    return source, ", ".join(said)
