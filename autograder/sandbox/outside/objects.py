"""The objects that judge and worker share: each has one number, and one object on this side represents it.

This is the trusted side. A worker's objects are handles here, and the leaves of its networks are mirrors. Tensors and
functions of a test that were sent to the worker have the numbers that they were sent with.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from autograder.limits import FREED, MIRRORS
from autograder.sandbox.both import wire
from autograder.sandbox.both.codec import size_of
from autograder.sandbox.outside.ends import WorkerDied
from autograder.sandbox.outside.handle import Handle

if TYPE_CHECKING:
    from autograder.sandbox.outside.session import Session


class Objects:
    """The objects of one session, by number."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._handles: weakref.WeakValueDictionary[int, Handle] = weakref.WeakValueDictionary()
        self._freed: dict[int, None] = {}
        self._names: dict[int, frozenset[str]] = {}  # handle -> the names by which tests asked for it
        self._names_of_fixtures = self._names
        self._callbacks: dict[int, Any] = {}
        self._callback_count = 0
        #: callbacks and mirrors of fixtures, which later tests may need
        self._lasting: frozenset[int] = frozenset()
        self._lasting_mirrors: frozenset[int] = frozenset()
        self.arguments: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()
        self._argument_numbers = 0
        self.mirrors: dict[int, Any] = {}
        self.mirror_numbers: dict[int, int] = {}

    def handle(self, number: int) -> Handle:
        """Return the handle of that number: one object in the worker is one object here."""
        known = self._handles.get(number)
        if known is None:
            known = self._handles[number] = Handle(self._session, number)
            if number:
                weakref.finalize(known, _FreeLater(self), number)
        self._freed.pop(number, None)
        return known

    def number_of(self, handle: Handle) -> int:
        session, number = object.__getattribute__(handle, "_wall")
        if session is not self._session:
            raise WorkerDied("an object of an earlier step is lost: your code ended the process that held it")
        return int(number)

    def names_of(self, number: int) -> frozenset[str]:
        """Return the names by which the test asked for a handle."""
        return self._names.get(number, frozenset())

    def note_name(self, value: Any, name: str) -> None:
        """Remember every name of an object in this test: a function with two names may change what either may."""
        if type(value) is Handle:
            number = self.number_of(value)
            self._names[number] = self.names_of(number) | {name}

    def note_callback(self, function: Any) -> int:
        for number, known in self._callbacks.items():
            if known is function:
                return number
        self._callback_count += 1
        self._callbacks[self._callback_count] = function
        return self._callback_count

    def keep_from_fixtures(self) -> None:
        """Keep all objects and names that were exchanged so far: later tests may need them."""
        self._lasting |= set(self._callbacks)
        self._lasting_mirrors |= set(self.mirrors)
        self._names_of_fixtures = dict(self._names)

    def forget_test(self) -> None:
        """Forget the functions and mirrors of a test that has ended, and the names that it asked for."""
        for number in set(self._callbacks) - self._lasting:
            del self._callbacks[number]
        for number in set(self.mirrors) - self._lasting_mirrors:
            del self.mirror_numbers[id(self.mirrors.pop(number))]
        self._names = dict(self._names_of_fixtures)

    def callback(self, number: Any) -> Callable[..., Any]:
        """Return a function of this test; for a function of an earlier test, one that raises an error."""
        if type(number) is not int or not 0 < number <= self._callback_count:
            raise wire.WireError("a call of no function")
        known: Callable[..., Any] = self._callbacks.get(number, _of_an_earlier_test)
        return known

    def note_argument(self, tensor: Any) -> int:
        """Return the number (below zero) of a tensor that belongs to the test and needs a gradient."""
        self._argument_numbers -= 1
        number = self._argument_numbers
        self.arguments[number] = tensor
        weakref.finalize(tensor, _FreeLater(self), number)
        return number

    def mirror(self, number: Any, shape: Any, dtype: Any, *, is_parameter: bool) -> Any:
        """Return the mirror of a leaf tensor in the worker; it receives the gradients."""
        torch = sys.modules["torch"]
        if type(number) is not int:
            raise wire.WireError("a malformed parameter")
        known = self.mirrors.get(number)
        if known is None:
            size_of(list(shape), list(range(len(shape))))
            empty = torch.empty((), dtype=dtype).expand(tuple(shape))  # no memory until its values are asked for
            known = torch.nn.Parameter(empty) if is_parameter else empty.detach().requires_grad_(True)
            if len(self.mirrors) >= MIRRORS:
                raise wire.WireError("too many parameters")
            self.mirrors[number] = known
            self.mirror_numbers[id(known)] = number
        return known

    def free(self, number: int) -> None:
        """Remember, for the next request, that the worker no longer needs an object."""
        if len(self._freed) < FREED:
            self._freed[number] = None
        self._names.pop(number, None)

    def take_freed(self) -> list[int]:
        """Return what the worker may forget; each number only once."""
        freed, self._freed = list(self._freed), {}
        return freed


class _FreeLater:
    """A reference to the objects of a session that keeps nothing alive."""

    def __init__(self, objects: Objects) -> None:
        self._objects = weakref.ref(objects)

    def __call__(self, number: int) -> None:
        objects = self._objects()
        if objects is not None:
            objects.free(number)


def _of_an_earlier_test(*_args: Any, **_kwargs: Any) -> Any:
    raise RuntimeError("this function was an argument of an earlier call; do not keep it")
