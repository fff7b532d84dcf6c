"""Compare what a student's code returned with what it should return, and say the first fault in words.

The order is always the same: type, number of axes, shape, dtype, finite, value. Types must be exact, so that no object
can decide its own mark. Shapes are compared before entries, so that nothing passes by broadcasting. A message looks
like this:

    conv2d: wrong shape. Got (2, 4, 6, 8), expected (2, 4, 3, 4): did you forget the stride?

This file is long because all assertions of all assignments are here; `values.py` reads the values.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import numpy as np

from autograder import values
from autograder.faults import Mismatch, Quality, is_no_answer, name_use, text_of, type_name
from autograder.plain import plain

__all__ = [
    "Mismatch", "accuracy", "at_least", "at_most", "between", "close", "dtype", "equal", "finite", "gradient",
    "is_true", "no_alias", "refused", "shape", "unchanged", "works",
]  # fmt: skip

Array = np.ndarray[Any, Any]
_SINGLE = "a single number, shape ()"
#: a bound may be missed by this part of its size: a mean of 0.9 may be 0.8999999999999999, or a float32
_SLACK = 1e-6
#: a gradient that does not agree is measured again with steps shorter by these factors, as f may have a kink nearby
_SHORTER = (0.1, 0.01)


def close(
    got: Any,
    want: Any,
    what: str,
    *,
    rtol: float = 1e-7,
    atol: float = 1e-9,
    dtype: Any = None,
    lists: bool = False,
    hint: str = "",
) -> None:
    """Expect numbers equal to `want` within atol + rtol * abs(want).

    Args:
        got: the student's value
        want: an ndarray (or a list, which is read as one), a torch tensor, or a number; `got` must be of the same kind,
            but a number may also be a NumPy scalar or a 0-d array
        what: the name that the message starts with, such as "softmax"
        dtype: the exact dtype; without it, `got` needs only the kind of `want` (float, int, bool, complex), and for
            Python ints in `want` any real number passes
        lists: also accept a list of numbers instead of an ndarray
        hint: what to think about, added to the message
    """
    any_real = type(want) is int or type(want) in (list, tuple)
    if type(want) in (list, tuple):
        want = np.array(want)
        any_real = want.dtype.kind == "i"
    if lists and type(got) in (list, tuple) and values.is_array(want):
        got = _array_of_list(got, what, hint)
    _check_type(got, want, what, hint)
    _check_shape(got, values.shape_of(want), what, hint)
    _check_kind(got, want, what, hint, any_real=any_real)
    if dtype is not None:
        _check_dtype(got, dtype, what, hint)
    _check_entries(values.as_array(got), values.as_array(want), what, hint, rtol=rtol, atol=atol)


def equal(got: Any, want: Any, what: str, *, hint: str = "") -> None:
    """Expect exactly `want`: a plain value, an array or tensor, or a list, tuple, dict or set of them."""
    _check_equal(got, want, what, "", hint)


def shape(got: Any, shape: tuple[int, ...], what: str, *, hint: str = "") -> None:
    """Expect an array or a tensor of exactly this shape (a number has the shape ())."""
    _need_numbers(got, what, hint)
    _check_shape(got, tuple(shape), what, hint)


def dtype(got: Any, dtype: Any, what: str, *, hint: str = "") -> None:
    """Expect exactly this dtype: np.float32, torch.float32 and "float32" mean the same."""
    _need_numbers(got, what, hint)
    _check_dtype(got, dtype, what, hint)


def finite(got: Any, what: str, *, hint: str = "") -> None:
    """Expect no nan and no inf."""
    _need_numbers(got, what, hint)
    entries = values.as_array(got)
    _check_finite(entries, np.isfinite(entries), what, hint)


def between(got: Any, low: float, high: float, what: str, *, hint: str = "") -> None:
    """Expect one number with low <= number <= high, within a millionth of the larger bound."""
    number = _finite_number(got, what, hint)
    slack = _SLACK * max(abs(bound) for bound in (low, high, 0.0) if np.isfinite(bound))
    if not low - slack <= number <= high + slack:
        wanted = f"a number from {values.show_number(low)} to {values.show_number(high)}"
        edge = low if number < low else high
        _fail(what, "out of range", values.show_pair(number, edge)[0], wanted, hint)


def at_least(got: Any, floor: float, what: str, *, asked: float | None = None, hint: str = "") -> None:
    """Expect one number >= floor, within a millionth of it.

    Use it for a quality that the docstring asks for, such as an accuracy. A student reads the value that was reached
    and the value that is asked for, both rounded to two decimals, also for a hidden test.

    Args:
        got: one number
        floor: the least that passes
        what: the name that the message starts with
        asked: the value in the docstring, if the floor is a little below it
        hint: what to think about, added to the message
    """
    number = float(_finite_number(got, what, hint))
    if number < floor - _SLACK * abs(floor):
        _miss(number, floor if asked is None else asked, what, "too little", hint, is_floor=True)


def at_most(got: Any, ceiling: float, what: str, *, asked: float | None = None, hint: str = "") -> None:
    """Expect one number <= ceiling, within a millionth of it: a quality, as in `at_least`."""
    number = float(_finite_number(got, what, hint))
    if number > ceiling + _SLACK * abs(ceiling):
        _miss(number, ceiling if asked is None else asked, what, "too much", hint, is_floor=False)


def is_true(claim: bool, sentence: str) -> None:
    """Expect the claim to be exactly True; if it is not, the student reads `sentence`."""
    if not (type(claim) in (bool, np.bool_) and claim):
        raise Mismatch(sentence)


def unchanged(now: Any, before: Any, what: str, *, hint: str = "") -> None:
    """Expect an argument to be the same as before the call, bit for bit."""
    hint = hint or "work on a copy"
    if not _is_plain_numbers(before):
        if type(before) in (list, tuple, dict):
            _check_contents_unchanged(now, before, what, hint)
        else:
            _check_equal(now, before, f"{what} (its input)", "", hint)
        return
    for fault, seen, wanted in (
        ("changed its input", values.describe(now), values.describe(before)),
        ("changed the shape of its input", values.shape_of(now), values.shape_of(before)),
        ("changed the dtype of its input", values.dtype_of(now), values.dtype_of(before)),
    ):
        if seen != wanted:
            _fail(what, fault, str(seen), str(wanted), hint)
    if values.raw_bytes(now) != values.raw_bytes(before):
        was, is_now = values.as_array(before), values.as_array(now)
        differ = (was != is_now) & ~(_is_nan(was) & _is_nan(is_now))
        if not differ.any():
            _fail(what, "changed its input", "other bits (0.0 and -0.0?)", "the same", hint)
        index = _first(differ)
        _fail(what, f"changed its input{_at(index)}", *values.show_pair(is_now[index], was[index]), hint)


def no_alias(out: Any, x: Any, what: str, *, hint: str = "") -> None:
    """Expect an output that shares no memory with the input `x`."""
    if out is x:
        _fail(what, "the output is the input itself", "the same object", "new memory", hint)
    if _is_plain_numbers(out) and _is_plain_numbers(x) and _share_memory(out, x):
        _fail(what, "the output shares its memory with the input", "a view", "new memory", hint)


def gradient(
    f: Callable[[Any], Any],
    x: Any,
    got: Any,
    cotangent: Any,
    what: str,
    *,
    h: float = 1e-5,
    rtol: float = 1e-6,
    atol: float = 1e-8,
    entries: int | None = None,
    rng: np.random.Generator | None = None,
    hint: str = "",
) -> None:
    """Expect `got` to be the gradient of <f(x), cotangent> in x, by central differences in float64.

    If a difference does not agree, shorter steps are tried, because f may have a kink within h of x, as relu has at 0.

    Args:
        f: the student's function of x alone, called with perturbed copies of x
        x: where the gradient is taken, an ndarray or a tensor
        got: the student's gradient, the shape of x
        cotangent: random weights with the shape of f(x): the gradient of the loss with respect to f(x)
        what: the name that the message starts with
        h: half the step of the difference
        entries: without it, every entry is checked; a number checks that many random directions, for a large x
        rng: draws those directions
    """
    point = np.array(values.as_array(x), dtype=np.float64)
    weights = np.asarray(values.as_array(cotangent), dtype=np.float64)
    if entries is not None and rng is None:
        raise TypeError("expect.gradient: entries= draws random directions; pass rng= too")

    def value(moved: Array) -> Array:
        out = f(_like(x, moved))
        forward = f"{what} (the value before its gradient)"
        _check_type(out, cotangent, forward, hint)
        _check_shape(out, weights.shape, forward, hint)
        _check_dtype(out, np.float64, forward, hint)
        numbers = values.as_array(out)
        _check_finite(numbers, np.isfinite(numbers), forward, hint)
        return numbers.astype(np.float64)

    def slope(direction: Array, step: float = h) -> float:
        rise = value(point + step * direction) - value(point - step * direction)
        return float(np.sum(rise * weights) / (2 * step))

    def agreeing(seen: float, direction: Array, reach: Callable[[float], float]) -> float:
        """The slope along a direction: with the first step that agrees with `seen`, else with the longest step."""
        longest = slope(direction)
        if abs(seen - longest) <= reach(longest):
            return longest
        shorter = (slope(direction, h * part) for part in _SHORTER)
        return next((found for found in shorter if abs(seen - found) <= reach(found)), longest)

    value(point.copy())
    _check_type(got, x, what, hint)
    _check_shape(got, point.shape, what, hint)
    _check_kind(got, point, what, hint)
    mine = values.as_array(got).astype(np.float64)
    _check_finite(mine, np.isfinite(mine), what, hint)
    if entries is None:
        wanted = np.empty_like(point)
        for index in np.ndindex(*point.shape):
            direction = np.zeros_like(point)
            direction[index] = 1
            wanted[index] = agreeing(float(mine[index]), direction, lambda found: atol + rtol * abs(found))
        _check_entries(mine, wanted, what, hint, rtol=rtol, atol=atol, fault="wrong gradient")
        return
    for _ in range(entries):
        assert rng is not None
        direction = rng.choice([-1.0, 1.0], size=point.shape)
        reach = atol + rtol * float(np.linalg.norm(mine))
        seen = float(np.sum(mine * direction))
        expected = agreeing(seen, direction, lambda _found, reach=reach: reach)  # type: ignore[misc]
        if not abs(seen - expected) <= reach:
            _fail(what, "wrong gradient along a random direction", *values.show_pair(seen, expected), hint)


def accuracy(
    predicted: Any, labels: Any, floor: float, what: str, *, asked: float | None = None, hint: str = ""
) -> None:
    """Expect integer predictions, (N,) like the labels, of which at least the share `floor` is right.

    A student reads the share that is right and the share that is asked for, also for a hidden test: see `at_least`.
    """
    _check_type(predicted, labels, what, hint)
    _check_shape(predicted, values.shape_of(labels), what, hint)
    if values.kind_of(predicted) != "int":
        _fail(what, "wrong dtype", values.dtype_of(predicted), "whole numbers, one class each", hint)
    right = int(np.count_nonzero(values.as_array(predicted) == values.as_array(labels)))
    total = max(int(np.prod(values.shape_of(labels))), 1)
    if right < floor * total - _SLACK * total:
        least = floor if asked is None else asked
        got, wanted = values.show_pair(right / total, least)
        said = f"at least {wanted} ({right} of {total} right)"
        sentence = _sentence(what, "too few right answers", got, said, hint)
        raise Mismatch(sentence, Quality(right / total, float(least)))


@contextmanager
def refused(
    error: type[Exception] | tuple[type[Exception], ...], what: str, match: str | None = None, hint: str = ""
) -> Iterator[None]:
    """Expect the student's code in this block to raise `error`, with `match` found in its text."""
    kinds = error if isinstance(error, tuple) else (error,)
    wanted = " or ".join(kind.__name__ for kind in kinds)
    try:
        yield
    except Exception as raised:
        if is_no_answer(raised):
            raise
        text = plain(text_of(raised), 200)
        if not isinstance(raised, kinds):
            got = f"{type_name(raised)} ({text})"
            raise Mismatch(_sentence(what, "wrong kind of error", got, wanted, hint)) from raised
        if match is not None and not re.search(match, text):
            said = _sentence(what, "wrong text in the error", f"'{text}'", f"'{match}' in it", hint)
            raise Mismatch(said) from raised
    else:
        _fail(what, "no error", "a result", wanted, hint)


@contextmanager
def works(what: str, hint: str = "") -> Iterator[None]:
    """Expect that what the student's code returned can be used: called, indexed, asked for an attribute.

    An error in this block that no line of the student's raised fails the test with a sentence that begins with `what`,
    such as "the model after replace_head". An error of the student's own line is told as everywhere.
    """
    try:
        yield
    except Exception as error:
        name_use(error, what, hint)
        raise


def _sentence(what: str, fault: str, got: str, expected: str, hint: str) -> str:
    return f"{what}: {fault}. Got {got}, expected {expected}" + (f": {hint}" if hint else ".")


def _fail(what: str, fault: str, got: str, expected: str, hint: str) -> NoReturn:
    raise Mismatch(_sentence(what, fault, got, expected, hint))


def _miss(number: float, asked: float, what: str, fault: str, hint: str, *, is_floor: bool) -> NoReturn:
    """Say that a quality was missed."""
    got, wanted = values.show_pair(number, asked)
    sentence = _sentence(what, fault, got, f"at {'least' if is_floor else 'most'} {wanted}", hint)
    raise Mismatch(sentence, Quality(number, float(asked), is_floor))


def _is_plain_numbers(value: Any) -> bool:
    return values.is_array(value) or values.is_tensor(value)


def _need_numbers(got: Any, what: str, hint: str) -> None:
    if not (_is_plain_numbers(got) or values.is_number(got)):
        _fail(what, "wrong type", values.describe(got), "an array of numbers", hint or _return_hint(got))
    _need_contents(got, what, hint)


def _need_contents(got: Any, what: str, hint: str) -> None:
    if not values.has_values(got):
        _fail(what, "wrong type", "a tensor whose entries cannot be read (sparse, quantised or meta)",
              "a plain torch tensor", hint)  # fmt: skip
    if not values.kind_of(got):
        _fail(what, "wrong dtype", f"{values.dtype_of(got)} entries", "numbers", hint)


def _return_hint(got: Any) -> str:
    return "is there a return?" if got is None else ""


def _check_type(got: Any, want: Any, what: str, hint: str) -> None:
    """Refuse a value that is not of the same kind as `want`."""
    if values.is_tensor(want):
        fits, wanted = values.is_tensor(got), "a torch tensor"
    elif values.is_array(want) and want.ndim:
        fits, wanted = values.is_array(got), "a NumPy array"
    elif values.is_array(want) or values.is_number(want):
        fits, wanted = values.is_number(got) or values.is_array(got), "a number"
    else:
        kind = values.describe(want)
        raise TypeError(f"expect: `want` for {what!r} is {kind}; pass an array, a tensor or a number")
    if not fits:
        _fail(what, "wrong type", values.describe(got), wanted, hint or _return_hint(got))
    _need_contents(got, what, hint)


def _check_shape(got: Any, wanted: tuple[int, ...], what: str, hint: str) -> None:
    seen = values.shape_of(got)
    if len(seen) != len(wanted):
        shown = str(wanted) if wanted else _SINGLE
        _fail(what, "wrong number of axes", str(seen), shown, hint)
    if seen != wanted:
        _fail(what, "wrong shape", str(seen), str(wanted), hint)


def _check_kind(got: Any, want: Any, what: str, hint: str, *, any_real: bool = False) -> None:
    seen, wanted = values.kind_of(got), values.kind_of(want)
    exact_whole = values.shape_of(want) == () and wanted == "float" and seen == "int"
    if seen != wanted and not exact_whole and not (any_real and seen in ("int", "float")):
        _fail(what, "wrong dtype", values.dtype_of(got), wanted, hint)


def _check_dtype(got: Any, wanted: Any, what: str, hint: str) -> None:
    seen = values.dtype_of(got)
    if seen != values.dtype_name(wanted):
        _fail(what, "wrong dtype", seen, values.dtype_name(wanted), hint)


def _check_finite(entries: Array, good: Array, what: str, hint: str) -> None:
    if not good.all():
        index = _first(~good)
        bad = int(good.size - np.count_nonzero(good))
        count = f" ({bad} of {good.size} entries)" if good.size > 1 else ""
        seen = values.show_number(entries[index])
        _fail(what, f"not finite{_at(index)}", seen, f"a finite number{count}", hint)


def _check_entries(
    got: Array, want: Array, what: str, hint: str, *, rtol: float, atol: float, fault: str = "wrong value"
) -> None:
    """Compare entries of equal shapes; nan equals nan, and inf equals only the same inf."""
    if "b" in (got.dtype.kind, want.dtype.kind):
        got, want = got.astype(np.int8), want.astype(np.int8)
    number = np.result_type(got.dtype, want.dtype, np.float64)
    got, want = got.astype(number, copy=False), want.astype(number, copy=False)
    wanted_finite = np.isfinite(want)
    _check_finite(got, np.isfinite(got) | ~wanted_finite, what, hint)
    with np.errstate(invalid="ignore", over="ignore"):
        difference = np.abs(got - want)
        good = (got == want) | ((difference <= atol + rtol * np.abs(want)) & wanted_finite)
    good |= np.isnan(got) & np.isnan(want)
    if good.all():
        return
    difference = np.where(np.isnan(difference), np.inf, difference)
    index = np.unravel_index(int(np.argmax(np.where(good, -1.0, difference))), got.shape)
    seen, wanted = values.show_pair(got[index], want[index])
    largest = f" (largest difference {difference[index]:.3g})" if got.ndim else ""
    _fail(what, fault + _at(index), seen, wanted + largest, hint)


def _check_equal(got: Any, want: Any, what: str, where: str, hint: str) -> None:
    """Compare exactly, going down into containers; `where` is the path so far, such as [1]['loss']."""
    at = f" at {where}" if where else ""
    if _is_plain_numbers(want):
        _check_equal_arrays(got, want, what, at, hint)
        return
    torch: Any = sys.modules.get("torch")
    if type(want) is tuple and torch is not None and type(got) is torch.Size:
        got = tuple(got)
    if not _same_sort(got, want):
        wanted = values.describe(want)
        _fail(what, f"wrong type{at}", values.describe(got), wanted, hint or _return_hint(got))
    if type(want) in (list, tuple):
        if len(got) != len(want):
            _fail(what, f"wrong length{at}", str(len(got)), str(len(want)), hint)
        for index, (one, other) in enumerate(zip(got, want, strict=True)):
            _check_equal(one, other, what, f"{where}[{index}]", hint)
    elif type(want) is dict:
        if not all(_is_plain(key) for key in got) or set(got) != set(want):
            _fail(what, f"wrong keys{at}", values.show(list(got)), values.show(list(want)), hint)
        for key in want:
            _check_equal(got[key], want[key], what, f"{where}[{values.show(key)}]", hint)
    else:
        got = got[()] if values.is_array(got) else got
        if type(want) in (set, frozenset) and not all(_is_plain(item) for item in got):
            _fail(what, f"wrong type{at}", f"{values.describe(got)} of other things", "plain values", hint)
        if not (got == want or (got != got and want != want)):
            write = values.show_pair if values.is_number(want) else values.show_both
            pair = write(got, want)
            _fail(what, f"wrong value{at}", *pair, hint)


def _check_equal_arrays(got: Any, want: Any, what: str, at: str, hint: str) -> None:
    what_here = f"{what}{at}"
    _check_type(got, want, what_here, hint)
    _check_shape(got, values.shape_of(want), what_here, hint)
    _check_kind(got, want, what_here, hint)
    seen, wanted = values.as_array(got), values.as_array(want)
    differ = (seen != wanted) & ~(_is_nan(seen) & _is_nan(wanted))
    if differ.any():
        index = _first(differ)
        count = f" ({np.count_nonzero(differ)} of {differ.size} entries differ)" if seen.ndim else ""
        pair = values.show_pair(seen[index], wanted[index])
        _fail(what_here, f"wrong value{_at(index)}", pair[0], pair[1] + count, hint)


def _is_plain(value: Any) -> bool:
    """True for values that Python's own rules compare: numbers, texts, None, and tuples of them."""
    if type(value) is tuple:
        return all(_is_plain(item) for item in value)
    return value is None or type(value) in (str, bytes) or values.is_number(value)


def _same_sort(got: Any, want: Any) -> bool:
    """The same exact type; a Python number also as a NumPy scalar or a 0-d array of its kind."""
    if values.is_number(want):
        single = values.is_number(got) or (values.is_array(got) and got.ndim == 0)
        return single and values.kind_of(got) == values.kind_of(want)
    return type(got) is type(want) or (type(want) is str and type(got) is np.str_)


def _check_contents_unchanged(now: Any, before: Any, what: str, hint: str) -> None:
    if type(now) is not type(before) or len(now) != len(before):
        _fail(what, "changed its input", values.show(now), values.show(before), hint)
    if type(before) is dict:
        if list(now) != list(before):
            _fail(what, "changed the keys of its input", *values.show_both(list(now), list(before)), hint)
        now, before = list(now.values()), list(before.values())
    for one, other in zip(now, before, strict=True):
        unchanged(one, other, what, hint=hint)


def _number(got: Any, what: str, hint: str) -> Any:
    """One number out of a Python or NumPy scalar, a 0-d array or a 0-d tensor."""
    _need_numbers(got, what, hint)
    if values.shape_of(got) != ():
        _fail(what, "wrong number of axes", str(values.shape_of(got)), _SINGLE, hint)
    if values.kind_of(got) not in ("int", "float"):
        _fail(what, "wrong dtype", values.dtype_of(got), "a real number", hint)
    return got if values.is_number(got) else values.as_array(got)[()]


def _finite_number(got: Any, what: str, hint: str) -> Any:
    """One number that is neither nan nor inf."""
    number = _number(got, what, hint)
    if not np.isfinite(number):
        _fail(what, "not finite", values.show_number(number), "a finite number", hint)
    return number


def _array_of_list(got: Any, what: str, hint: str) -> Array:
    """An array of a list of numbers (of lists of numbers), which must not be ragged."""

    def plain_numbers(item: Any, depth: int) -> bool:
        if type(item) in (list, tuple):
            return depth < 32 and all(plain_numbers(part, depth + 1) for part in item)
        return values.is_number(item)

    if not plain_numbers(got, 0):
        _fail(what, "wrong type", f"{values.describe(got)} of other things", "numbers", hint)
    try:
        return np.array(got)
    except ValueError:
        _fail(what, "wrong shape", "rows of different lengths", "rows of one length", hint)


def _share_memory(out: Any, x: Any) -> bool:
    one, other = (value.detach() if values.is_tensor(value) else value for value in (out, x))
    if values.is_tensor(one) != values.is_tensor(other):
        return False
    if not (values.has_values(one) and values.has_values(other)):
        return False
    if values.is_tensor(one):
        return bool(one.numel() and other.numel()) and (
            one.untyped_storage().data_ptr() == other.untyped_storage().data_ptr()
        )
    return bool(np.may_share_memory(one, other))


def _like(x: Any, entries: Array) -> Any:
    """The entries in the type of x: a tensor for a tensor, an array for an array."""
    return sys.modules["torch"].from_numpy(entries) if values.is_tensor(x) else entries


def _is_nan(entries: Array) -> Any:
    return np.isnan(entries) if entries.dtype.kind in "fc" else np.zeros(entries.shape, dtype=bool)


def _first(mask: Array) -> tuple[int, ...]:
    """The index of the first True."""
    return tuple(int(i) for i in np.unravel_index(int(np.argmax(mask)), mask.shape))


def _at(index: tuple[Any, ...]) -> str:
    return f" at [{', '.join(str(int(i)) for i in index)}]" if index else ""
