"""A probe runs in place with a real module, and gives the judge's proxy a source that needs nothing else."""

from __future__ import annotations

import ast
import asyncio
import functools
import math
import math as maths
from types import SimpleNamespace

import numpy as np
import pytest

from autograder import expect, probe
from autograder.errors import AuthorError
from autograder.probe import Probe

ANSWER = 42


def helper(x):
    return x


class Proxy:
    """A fake of the judge's proxy: it keeps what it gets, and runs the source as a worker would."""

    def __init__(self, **names):
        self.module = SimpleNamespace(**names)

    def __probe__(self, sent, args, kwargs):
        assert isinstance(sent, Probe)
        self.sent = sent
        names = {name: __import__(path, fromlist=["*"]) for name, path in sent.modules.items()}
        exec(compile(sent.source, "<worker>", "exec"), names)
        return names[sent.name](self.module, *args, **kwargs)


@probe
def everything(student, x: list[int], *rest, scale: float = 1.0, **options) -> list[float]:
    """The docstring names the answer, 42, and must not travel."""
    total: float = 0.0  # neither must this comment: 42

    def inner(value: int) -> float:
        """Nor this one: 42."""
        nonlocal total
        total += value
        return student.double(value) * scale

    class Box:
        """Nor this: 42."""

        size: int = 2

        def __init__(self, value):
            self.value = value

    boxes = [Box(inner(v)) for v in x]
    key = lambda box: box.value  # noqa: E731
    text = f"""{Box.size}
  kept as it is"""
    return [max(boxes, key=key).value, math.sqrt(total), *rest, len(text), *sorted(options)]


def both(decorated, *args, **kwargs):
    """The result in place and beside the worker, which must agree."""
    proxy = Proxy(double=lambda v: 2 * v)
    here = decorated(proxy.module, *args, **kwargs)
    there = decorated(proxy, *args, **kwargs)
    assert here == there
    return here


def test_a_probe_gives_the_same_in_place_and_through_a_proxy():
    assert both(everything, [1, 3, 5], 7, scale=0.5, b=1, a=2) == [5.0, 3.0, 7, 17, "a", "b"]


def test_no_docstring_comment_or_annotation_travels():
    proxy = Proxy(double=abs)
    everything(proxy, [1])

    assert "42" not in proxy.sent.source
    assert "float" not in proxy.sent.source
    assert "@" not in proxy.sent.source
    assert "size: int = 2" in proxy.sent.source  # a field of a class is more than an annotation
    assert isinstance(ast.parse(proxy.sent.source).body[0], ast.FunctionDef)


def test_only_the_modules_that_are_used_are_named():
    assert Probe(everything.__wrapped__).modules == {"math": "math"}


def test_a_probe_may_be_defined_in_a_function_and_import_by_itself():
    @probe
    def local(student, n):
        import copy

        return copy.copy([student.double(n), np.float64(maths.pi) > 3, [maths.floor(i) for i in range(n)]])

    assert both(local, 3) == [6, True, [0, 1, 2]]


def test_a_probe_may_call_itself():
    assert both(countdown, 3) == 3


@probe
def countdown(student, n):
    return 0 if n == 0 else 1 + countdown(student, n - 1)


def test_a_probe_keeps_its_name_and_takes_a_parameter_called_student_twice():
    assert everything.__name__ == "everything"
    assert "must not travel" in everything.__doc__


def refused(call, *args):
    with pytest.raises(AuthorError) as caught:
        call(*args)
    return str(caught.value)


def test_a_variable_of_the_function_around_it_is_refused():
    secret = 3

    def closes(student):
        return secret

    line = closes.__code__.co_firstlineno
    assert refused(probe, closes) == (
        f"{__file__}:{line}: probe closes uses secret of the function around it; pass it as an argument"
    )


def test_generators_and_async_functions_are_refused():
    def yields(student):
        yield 1

    async def waits(student):
        await asyncio.sleep(0)

    assert "is a generator or async; return a list" in refused(probe, yields)
    assert "is a generator or async" in refused(probe, waits)


def test_whatever_is_no_plain_function_is_refused():
    assert "no plain function" in refused(probe, functools.partial(helper, 1))
    assert "takes no argument" in refused(probe, lambda: 1)


def uses_a_constant(student):
    return [ANSWER for _ in range(2)]


def uses_a_function(student):
    class Box:
        value = helper(3)

    return Box.value


def uses_a_default(student, answer=ANSWER):
    return answer


def uses_expect(student):
    expect.equal(student.double(1), 2, "double")


def uses_nothing_known(student):
    return missing(student)  # noqa: F821


@pytest.mark.parametrize(
    ("function", "fault"),
    [
        (uses_a_constant, "uses ANSWER of the test file; pass it as an argument"),
        (uses_a_function, "uses helper of the test file; pass it as an argument"),
        (uses_a_default, "uses ANSWER of the test file; pass it as an argument"),
        (uses_expect, "uses expect, which stays with the judge; return values and judge there"),
        (uses_nothing_known, "uses missing, which is not defined; pass it as an argument"),
    ],
)
@pytest.mark.parametrize("student", [Proxy(), math], ids=["behind the wall", "in place"])
def test_a_name_of_the_test_file_that_is_no_module_is_refused_at_the_first_call(function, fault, student):
    said = refused(probe(function), student)

    assert said.endswith(f"probe {function.__name__} {fault}")
    assert said.startswith(f"{__file__}:{function.__code__.co_firstlineno}: ")
