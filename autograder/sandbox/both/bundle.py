r"""Bundle: the modules that a student hands in, as one text.

An assignment has one main module; `also` in topic.toml names further ones. A bundle is the text of the main module,
followed by each further module. Before each of these is a line that begins with a form feed:

    \f# trainer.py

Code that keeps, compares, sends or changes a student's text works on the bundle, and need not know how many modules
there are. Code that reads Python takes the bundle apart first. If an assignment has one module, the text of that module
is the bundle.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence


def bundled(modules: Mapping[str, bytes]) -> bytes:
    """Return the bundle of some modules: name -> text, the main module first."""
    (_, main), *further = modules.items()
    return main + b"".join(_head(name).encode() + source for name, source in further)


def bundled_texts(modules: Mapping[str, str]) -> str:
    """Return the bundle of modules as a text."""
    (_, main), *further = modules.items()
    return main + "".join(_head(name) + text for name, text in further)


def parted(bundle: bytes, names: Sequence[str]) -> dict[str, bytes]:
    """Return the modules of a bundle as name -> text. `names` lists them, the main module first."""
    main, *further = names
    first, *rest = re.split(_heads(further).encode(), bundle) if further else [bundle]
    return {main: first} | {name.decode(): source for name, source in zip(rest[::2], rest[1::2], strict=True)}


def parted_text(bundle: str, names: Sequence[str]) -> dict[str, str]:
    """Return the modules of a bundle that is a text."""
    main, *further = names
    first, *rest = re.split(_heads(further), bundle) if further else [bundle]
    return {main: first} | dict(zip(rest[::2], rest[1::2], strict=True))


def texts_in(bundle: str) -> list[str]:
    """Return the texts of the modules in an author's bundle, for modules of any names."""
    return re.split(_heads(["[a-z0-9_]+"]).replace("(", "(?:", 1), bundle)


def _head(name: str) -> str:
    return f"\n\f# {name}.py\n"


def _heads(names: Sequence[str]) -> str:
    return f"\n\f# ({'|'.join(names)})\\.py\n"
