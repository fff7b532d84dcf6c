"""What judge and worker have in common: each object there has one number, and one thing here that stands for it.

Trusted side. A worker's objects are handles, the leaves of its networks mirrors; a test's tensors and functions that
went there are known by the numbers under which they went.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from autograder.sandbox import wire
from autograder.sandbox.codec import size_of
from autograder.sandbox.faults import WorkerDied
from autograder.sandbox.handle import Handle

if TYPE_CHECKING:
    from autograder.sandbox.session import Session

#: an object's number, or those of a whole test: the first, and the one behind the last
Freed = int | list[int]
#: a test's objects are numbered from its place in the suite, times this
NUMBERS_A_TEST = 1 << 24
_MAX_MIRRORS = 20_000
_MAX_FREED = 100_000  #: objects that the worker is told with one request to forget


class Objects:
    """The objects of one session, by number."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._handles: weakref.WeakValueDictionary[int, Handle] = weakref.WeakValueDictionary()
        self._freed: dict[int, None] = {}
        self._tests_freed: list[list[int]] = []
        self._names: dict[int, frozenset[str]] = {}  # handle -> the names under which it was asked for
        self._loaded: dict[int, str] = {}  # handle -> the last of them, of what the module's import left
        self._names_of_fixtures = self._names, self._loaded
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
        """Return the handle of that number: one object there is one object here."""
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
        """Return the names under which a handle was asked for."""
        return self._names.get(number, frozenset())

    def name_of(self, number: int) -> int | str:
        """Return what a request calls a handle: the name that a test asked for, the same for every submission."""
        return self._loaded.get(number, number)

    def note_name(self, value: Any, name: str, *, is_loaded: bool = False) -> None:
        """Remember every name of an object in this test: one function under two names may change what both may."""
        if type(value) is Handle:
            number = self.number_of(value)
            self._names[number] = self.names_of(number) | {name}
            if is_loaded:
                self._loaded[number] = name

    def note_callback(self, function: Any) -> int:
        for number, known in self._callbacks.items():
            if known is function:
                return number
        self._callback_count += 1
        self._callbacks[self._callback_count] = function
        return self._callback_count

    def keep_from_fixtures(self) -> None:
        """Keep what was given away or came until now, and the names asked for: later tests may need them."""
        self._lasting |= set(self._callbacks)
        self._lasting_mirrors |= set(self.mirrors)
        self._names_of_fixtures = dict(self._names), dict(self._loaded)

    def forget_test(self) -> None:
        """Forget the functions and mirrors of a test that is over, and the names that it asked for."""
        for number in set(self._callbacks) - self._lasting:
            del self._callbacks[number]
        for number in set(self.mirrors) - self._lasting_mirrors:
            del self.mirror_numbers[id(self.mirrors.pop(number))]
        names, loaded = self._names_of_fixtures
        self._names, self._loaded = dict(names), dict(loaded)

    def forget_names(self) -> None:
        """Forget, for one test, the names that fixtures asked for: it uses none of their objects."""
        self._names, self._loaded = {}, {}

    def number_from(self, first: int) -> None:
        """Number what a test sends from `first` on (and below its negative), unless it has begun already."""
        self._callback_count = max(self._callback_count, first)
        self._argument_numbers = min(self._argument_numbers, -first)

    def free_since(self, first: int) -> None:
        """Have the worker forget every object of the test whose first number this is."""
        self._tests_freed.append([first, first + NUMBERS_A_TEST])

    def callback(self, number: Any) -> Callable[..., Any]:
        """Return a function of this test; one of an earlier test only says so."""
        if type(number) is not int or not 0 < number <= self._callback_count:
            raise wire.WireError("a call of no function")
        known: Callable[..., Any] = self._callbacks.get(number, _of_an_earlier_test)
        return known

    def note_argument(self, tensor: Any) -> int:
        """Return the number (below zero) of a tensor of the test's that needs a gradient."""
        self._argument_numbers -= 1
        number = self._argument_numbers
        self.arguments[number] = tensor
        weakref.finalize(tensor, _FreeLater(self), number)
        return number

    def mirror(self, number: Any, shape: Any, dtype: Any, *, is_parameter: bool) -> Any:
        """Return the judge's stand-in for a leaf tensor of the worker's: gradients land in it."""
        torch = sys.modules["torch"]
        if type(number) is not int:
            raise wire.WireError("a malformed parameter")
        known = self.mirrors.get(number)
        if known is None:
            size_of(list(shape), list(range(len(shape))))
            empty = torch.empty((), dtype=dtype).expand(
                tuple(shape)
            )  # no memory until its values are asked for
            known = torch.nn.Parameter(empty) if is_parameter else empty.detach().requires_grad_(True)
            if len(self.mirrors) >= _MAX_MIRRORS:
                raise wire.WireError("too many parameters")
            self.mirrors[number] = known
            self.mirror_numbers[id(known)] = number
        return known

    def free(self, number: int) -> None:
        """Remember, for the next request, that something is not needed there any more."""
        if len(self._freed) < _MAX_FREED:
            self._freed[number] = None
        self._names.pop(number, None)

    def take_freed(self) -> list[Freed]:
        """Return what the worker may forget, once."""
        freed: list[Freed] = [*self._freed, *self._tests_freed]
        if freed:
            self._freed, self._tests_freed = {}, []
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
