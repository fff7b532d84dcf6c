"""A module can be imported even if its names hold objects of any kind."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator

import pytest

from autograder.grading.run.proxy import Examinee, Student
from autograder.sandbox.ladder import choose
from autograder.sandbox.outside.zygotes import Zygote
from autograder.sandbox.rungs.launch import Limits

Open = Callable[[str], Student]

PUBLIC_OF = {
    "numpy": "numpy numpy.linalg numpy.random numpy.fft numpy.ma numpy.polynomial numpy.testing numpy.lib.stride_tricks",
    "stdlib": "math cmath random itertools functools collections collections.abc typing types dataclasses contextlib abc enum "
    "re json os os.path sys io time datetime pathlib copy operator warnings string decimal fractions statistics threading "
    "inspect heapq bisect array struct queue textwrap weakref gc traceback unittest unittest.mock logging pickle numbers "
    "builtins ast ctypes socket concurrent.futures asyncio csv hashlib secrets uuid zlib pprint timeit argparse",
    "torch": "torch torch.nn torch.nn.functional torch.nn.init torch.optim torch.optim.lr_scheduler torch.utils.data "
    "torch.autograd torch.distributions torch.linalg torch.fft torch.func torch.jit torch.nn.utils torch.nn.utils.rnn",
}

HOSTILE = {
    "a class that lies": """
        class Liar:
            @property
            def __class__(self): return type
        thing = Liar()
        """,
    "a class that is called a function": """
        import types
        class Liar:
            @property
            def __class__(self): return types.FunctionType
        thing = Liar()
        """,
    "no class to be had": """
        class Shy:
            @property
            def __class__(self): raise MemoryError("class")
        thing = Shy()
        """,
    "no attribute to be had": """
        class Shy:
            def __getattribute__(self, name): raise MemoryError(name)
        thing = Shy()
        """,
    "a metaclass that raises": """
        class Meta(type):
            def _no(cls, *_): raise MemoryError
            __getattribute__ = __eq__ = __ne__ = __hash__ = __repr__ = __instancecheck__ = __subclasscheck__ = __call__ = _no
        class Odd(metaclass=Meta): pass
        thing = type.__call__(Odd)
        """,
    "a metaclass that exits": """
        class Meta(type):
            def __eq__(cls, other): raise SystemExit
            def __hash__(cls): raise KeyboardInterrupt
        class Odd(metaclass=Meta): pass
        thing = Odd()
        """,
    "comparisons that raise": """
        class Odd:
            def __eq__(self, other): raise ValueError
            def __hash__(self): raise ValueError
            def __bool__(self): raise ValueError
            def __len__(self): raise ValueError
            def __repr__(self): raise ValueError
            __str__ = __repr__
        thing = Odd()
        """,
    "subclasses of plain values": """
        import numpy as np
        class Text(str):
            def __hash__(self): return 1
        class Number(np.float64): pass
        class Numbers(np.ndarray): pass
        class Abstract(np.floating): pass
        thing, number, rows = Text("x"), Number(1.0), np.zeros(3).view(Numbers)
        classes = [np.inexact, np.generic, np.number, np.void, np.character, np.flexible, np.object_]
        a, b, c, d, e, f, g = classes
        """,
    "arrays of objects": """
        import numpy as np
        thing = np.array([object(), None], dtype=object)
        when, record, empty = np.datetime64("2020-01-01"), np.zeros(2, dtype=[("a", "f4")]), np.array(None)
        """,
    "names that are none": """
        def f(): return 1
        class Text(str): pass
        globals()[1] = globals()[None] = globals()[(1, 2)] = globals()[Text("g")] = f
        """,
    "a module of another class": """
        import sys, types
        class Mine(types.ModuleType):
            @property
            def __dict__(self): raise MemoryError
            def __getattribute__(self, name):
                return types.ModuleType.__getattribute__(self, name)
        sys.modules[__name__].__class__ = Mine
        """,
    "thousands of names": "globals().update({f'f{n}': (lambda n: lambda: n)(n) for n in range(5000)})",
    "what holds itself": """
        mine = []
        mine.append(mine)
        other = {"self": mine}
        other["other"] = other
        """,
    "a builtin of its own": "len = type = isinstance = getattr = issubclass = vars = lambda *_: 1 / 0",
    "a generator, a file, a lock": """
        import io, threading, re, weakref, contextlib
        thing, lock, pattern, files = (n for n in range(3)), threading.Lock(), re.compile("x"), io.BytesIO(b"x")
        """,
}


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    with Zygote(choose(allow_unisolated=False), ("numpy", "torch"), Limits(memory_mb=2048)) as zygote:
        yield zygote


@pytest.fixture
def open_module(zygote: Zygote) -> Iterator[Open]:
    opened: list[Examinee] = []

    def load(source: str) -> Student:
        text = f"{source}\ndef double(x): return 2 * x\n"
        opened.append(Examinee(zygote, module="m", source=text.encode(), imports=("numpy", "torch")))
        opened[-1].start("task", 20.0)
        return Student(opened[-1])

    yield load
    for examinee in opened:
        examinee.close()


@pytest.mark.parametrize("group", PUBLIC_OF)
def test_every_public_object_of_a_package_can_be_a_global(open_module: Open, group: str) -> None:
    lines = []
    for name in PUBLIC_OF[group].split():
        lines.append(f"import {name}")
        lines.append(f"globals().update({{f'{name}_{{k}}': v for k, v in vars({name}).items() if k[:1] != '_'}})")

    assert open_module("\n".join(lines)).double(3) == 6


@pytest.mark.parametrize(
    "line", ["from numpy import *", "from torch import *", "from torch.nn import *", "from math import *"]
)
def test_all_of_a_package_can_be_imported_by_a_star(open_module: Open, line: str) -> None:
    assert open_module(line).double(3) == 6


@pytest.mark.parametrize("name", HOSTILE)
def test_no_global_fails_the_import(open_module: Open, name: str) -> None:
    student = open_module(textwrap.dedent(HOSTILE[name]))

    assert student.double(3) == 6
    if "thing =" in HOSTILE[name]:
        assert student.thing is not None


def test_an_abstract_class_of_numpy_is_an_object_like_any_other(open_module: Open) -> None:
    student = open_module("import numpy as np\nkind = np.inexact\ndef same(x): return x is np.inexact")

    assert student.same(student.kind)
