"""Probe: a function of a test that runs in the same process as the student's code.

In the student's folder a probe is an ordinary function. The judge's proxy has a method `__probe__(probe, args,
kwargs)`. It takes source and modules from the `Probe`, and runs the source in the worker. So the source must hold no
answer, and may use only its arguments and the modules that the test file imports. `import autograder` loads this file,
so slow imports are inside the functions that need them.
"""

from __future__ import annotations

import builtins
import functools
from types import FunctionType, ModuleType

from autograder.errors import AuthorError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    F = TypeVar("F", bound=Callable[..., Any])

_GENERATOR_OR_ASYNC = 0x20 | 0x80 | 0x200  # inspect.CO_GENERATOR, CO_COROUTINE, CO_ASYNC_GENERATOR
_STAYS_WITH_THE_JUDGE = ("autograder.expect", "autograder.probe", "pytest")
_UNKNOWN = object()


def probe(function: F) -> F:
    """Mark a function of a test file as a probe; its first parameter is the student's module.

    Raises:
        AuthorError: the function cannot run in another process; says file:line and what to do
    """
    if not isinstance(function, FunctionType):
        raise AuthorError(f"@probe: {function!r} is no plain function; put @probe directly above a def")
    sent = Probe(function)

    @functools.wraps(function)
    def call(student: Any, /, *args: Any, **kwargs: Any) -> Any:
        if hasattr(type(student), "__probe__"):
            return type(student).__probe__(student, sent, args, kwargs)
        sent.modules  # noqa: B018 - refuse here what the judge could not run
        return function(student, *args, **kwargs)

    return call  # type: ignore[return-value]


class Probe:
    """A probe's function, and what is needed to run it in another process."""

    def __init__(self, function: FunctionType) -> None:
        self.function = function
        self.name = function.__name__
        code = function.__code__
        if code.co_freevars:
            names = ", ".join(code.co_freevars)
            raise self._error(f"uses {names} of the function around it; pass it as an argument")
        if code.co_flags & _GENERATOR_OR_ASYNC:
            raise self._error("is a generator or async; return a list")
        if not code.co_argcount:
            raise self._error("takes no argument; its first parameter is the student's module")

    @functools.cached_property
    def source(self) -> str:
        """The function as one `def`, without decorators, docstrings, comments and annotations."""
        from autograder.probe_source import stripped

        source = stripped(self.function.__code__)
        if source is None:
            raise self._error("is not in its file as it was read; define it with `def` and save the file")
        return source

    @functools.cached_property
    def modules(self) -> dict[str, str]:
        """The modules of the test file that the source uses, such as {"F": "torch.nn.functional"}.

        Raises:
            AuthorError: it uses something else of the test file
        """
        from autograder.probe_source import outside_names

        found: dict[str, str] = {}
        for name in outside_names(self.source):
            value = self.function.__globals__.get(name, _UNKNOWN)
            if isinstance(value, ModuleType):
                if value.__name__.startswith(_STAYS_WITH_THE_JUDGE):
                    raise self._error(f"uses {name}, which stays with the judge; return values and judge there")
                found[name] = value.__name__
            elif value is _UNKNOWN and not hasattr(builtins, name):
                raise self._error(f"uses {name}, which is not defined; pass it as an argument")
            elif value is not _UNKNOWN and name != self.name:
                raise self._error(f"uses {name} of the test file; pass it as an argument")
        return found

    def _error(self, sentence: str) -> AuthorError:
        code = self.function.__code__
        return AuthorError(f"{code.co_filename}:{code.co_firstlineno}: probe {self.name} {sentence}")
