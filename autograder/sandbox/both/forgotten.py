"""Forgotten: a name that is not defined, and that the method's own object has: `self.` was forgotten.

Both sides ask, because only the process that runs the student's code has the object. No code of the student runs here.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any

_dict_of = vars(type)["__dict__"].__get__  # read through `type`, since a class may say something false about itself
_PARTS = ("_modules", "_parameters", "_buffers")  # in which torch keeps the attributes of a network


def forgotten_self(error: BaseException) -> str:
    """Return ". Did you mean self.count?" for `count` in a method whose object has a `count`; '' for all else."""
    if type(error) is not NameError or type(error.name) is not str:
        return ""
    trace: TracebackType | None = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    names = trace.tb_frame.f_locals if trace is not None else {}
    if "self" not in names:
        return ""
    return f". Did you mean self.{error.name}?" if _has(names["self"], error.name) else ""


def _has(value: Any, name: str) -> bool:
    try:
        own = object.__getattribute__(value, "__dict__")
    except AttributeError:
        own = {}
    found = [own] if type(own) is dict else []
    found += [own[part] for part in _PARTS if found and type(own.get(part)) is dict]
    return any(name in part for part in found) or any(name in _dict_of(kind) for kind in type.mro(type(value)))
