"""Handle: an object that stays in the worker, and that a test uses like an object of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeVar

T = TypeVar("T")

if TYPE_CHECKING:
    from autograder.sandbox.outside.session import Session


class Handle:
    """Represents one object of the student's code: every use of it is a request to the worker."""

    __slots__ = ("__weakref__", "_wall")
    __array_ufunc__ = None  # so that `array * handle` calls the handle

    def __init__(self, session: Session, number: int) -> None:
        object.__setattr__(self, "_wall", (session, number))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _ask(self, "get", name)

    def __setattr__(self, name: str, value: Any) -> None:
        _ask(self, "set", name, value)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        session, number = object.__getattribute__(self, "_wall")
        return session.request("call", number, "", args, kwargs)

    def __iter__(self) -> Iterator[Any]:
        items = _ask(self, "operate", "iter")
        while True:
            answer = _ask(items, "next") if isinstance(items, Handle) else None
            if type(answer) is not tuple or len(answer) != 2:
                raise TypeError("your code returned a broken iterator")
            if answer[0] is not True:
                return
            yield answer[1]

    def __next__(self) -> Any:
        answer = _ask(self, "next")
        if type(answer) is not tuple or len(answer) != 2 or answer[0] is not True:
            raise StopIteration
        return answer[1]

    def __len__(self) -> int:
        return _exactly(int, _ask(self, "operate", "len"))

    def __bool__(self) -> bool:
        return _exactly(bool, _ask(self, "operate", "bool"))

    def __contains__(self, item: Any) -> bool:
        return _exactly(bool, _ask(self, "operate", "contains", item))

    def __float__(self) -> float:
        return _exactly(float, _ask(self, "operate", "float"))

    def __int__(self) -> int:
        return _exactly(int, _ask(self, "operate", "int"))

    def __enter__(self) -> Any:
        return _ask(self, "operate", "enter")

    def __exit__(self, *_error: object) -> None:
        _ask(self, "operate", "exit")

    def __repr__(self) -> str:
        return "<an object of the student's module>"


def _ask(handle: Handle, op: str, name: str = "", *args: Any) -> Any:
    session, number = object.__getattribute__(handle, "_wall")
    return session.request(op, number, name, args)


def _exactly(kind: type[T], value: Any) -> T:
    if type(value) is not kind:
        raise TypeError(f"your code returned a {type(value).__name__} where Python asks for {kind.__name__}")
    return value


def _operator(name: str) -> Any:
    def operate(self: Handle, *operands: Any) -> Any:
        return _ask(self, "operate", name, *operands)

    return operate


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "matmul", "pow", "and_", "or_", "xor"):
    setattr(Handle, f"__{_name.rstrip('_')}__", _operator(_name))
    setattr(Handle, f"__r{_name.rstrip('_')}__", _operator(f"r{_name}"))
#: no comparisons: for `assert loss < 0.5`, an object whose `<` always says yes must not decide
for _name in ("neg", "pos", "abs", "invert", "getitem", "setitem", "delitem",
              "iadd", "isub", "imul", "itruediv", "imatmul", "ipow"):  # fmt: skip
    setattr(Handle, f"__{_name}__", _operator(_name))
