"""What a worker may see of this machine: an interpreter, its libraries, and the packages on offer."""

from __future__ import annotations

import re
import site
import sys
import sysconfig
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import autograder
from autograder.errors import SandboxError

#: what the engine itself needs in addition to the student's packages
_ENGINE = ("numpy", "msgpack")


@dataclass(frozen=True)
class View:
    """The paths of the host that the box shows."""

    python: Path  #: the interpreter
    prefix: Path  #: its installation, shown without site-packages
    hidden: tuple[Path, ...]  #: folders of foreign packages inside what is shown
    packages: dict[str, Path]  #: what to show of site-packages: its place in the box's folder of packages -> its path
    package: Path  #: the folder of this package

    def openly(self) -> tuple[list[str], list[str]]:
        """Return which paths of the host a worker may read and which it may list: only packages on offer."""
        library = Path(self.stdlib[0])
        whole = [
            Path("/usr/lib"),
            Path("/lib"),
            Path("/lib64"),
            Path("/usr/lib64"),
            library,
            self.prefix / "lib",
        ]
        files = [Path("/etc/ld.so.cache"), Path("/etc/localtime"), Path("/usr/share/zoneinfo")]
        hidden = (*self.hidden, Path("/usr/local/lib/python3"))
        readable: list[str] = [str(path) for path in (*files, *self.packages.values(), self.package) if path.exists()]
        listable: list[str] = []
        for path in dict.fromkeys(path.resolve() for path in whole if path.is_dir()):
            _open(path, hidden, readable, listable)
        return readable, listable

    @property
    def stdlib(self) -> tuple[str, ...]:
        library = sysconfig.get_path("stdlib")
        return library, f"{library}/lib-dynload"


def view_for(imports: tuple[str, ...]) -> View:
    """Return the view of the workers of a topic that offers these packages.

    Raises:
        SandboxError: one of them is not installed here
    """
    packages: dict[str, Path] = {}
    for name in dict.fromkeys((*_ENGINE, *(name for name in imports if name != "autograder"))):
        if name not in sys.stdlib_module_names:
            packages |= _own_paths(name) or _paths_of(name)
    prefix = Path(sys.base_prefix).resolve()
    folders = [Path(path) for path in (*site.getsitepackages([str(prefix)]), "/usr/lib/python3/dist-packages")]
    return View(
        python=Path(getattr(sys, "_base_executable", sys.executable)).resolve(),
        prefix=prefix,
        hidden=tuple(folder for folder in dict.fromkeys(folders) if folder.is_dir()),
        packages=packages,
        package=Path(autograder.__file__).resolve().parent,
    )


def requires(name: str, packages: frozenset[str]) -> bool:
    """Whether a package is one of these, or requires one of them.

    Raises:
        SandboxError: it is not installed here
    """
    if name in packages:
        return True
    if not packages or name == "autograder" or name in sys.stdlib_module_names:
        return False
    return not {Path(place.partition("/")[0]).stem for place in _paths_of(name)}.isdisjoint(packages)


def _own_paths(name: str) -> dict[str, Path]:
    """Return the folder of a package that is installed together with this one; nothing for any other package."""
    if _distribution_name(name) != autograder.__name__:
        return {}
    spec = find_spec(name)
    folders = [Path(path).resolve() for path in (spec.submodule_search_locations or ())] if spec else []
    return {folder.name: folder for folder in folders}


@cache
def _paths_of(name: str) -> dict[str, Path]:
    """Return the top-level paths of the distribution of a package, and of all distributions that it requires.

    Several distributions may share a folder without an `__init__.py` (`google`), and each may be in another folder of
    packages. So of such a folder the paths one level below are returned.
    """
    paths: dict[str, Path] = {}
    pending, seen = [_distribution_name(name)], set()
    while pending:
        current = pending.pop()
        if current in seen:
            continue
        seen.add(current)
        try:
            distribution = metadata.distribution(current)
        except metadata.PackageNotFoundError:
            if current == _distribution_name(name):
                raise SandboxError(
                    f"package {name!r}: not installed here, but an assignment offers it; install it beside autograder"
                ) from None
            continue  # a requirement for another platform
        for file in distribution.files or ():
            if not file.parts[0].startswith(("..", "__pycache__")):
                place = _top_of(file.parts, Path(str(distribution.locate_file(file.parts[0]))))
                paths.setdefault(place, Path(str(distribution.locate_file(place))))
        for requirement in distribution.requires or ():
            if "extra ==" not in requirement:
                pending.append(re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0])
    return {place: path for place, path in paths.items() if path.exists() and path.suffix != ".pth"}


def _top_of(parts: tuple[str, ...], top: Path) -> str:
    """Return the first part of a file's path in a distribution; the first two if the first is shared with others."""
    is_shared = len(parts) > 1 and parts[0].isidentifier() and not (top / "__init__.py").exists()
    return "/".join(parts[:2] if is_shared else parts[:1])


def _distribution_name(name: str) -> str:
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return next(iter(metadata.packages_distributions().get(name, [name])))
    return name


def _open(path: Path, hidden: tuple[Path, ...], readable: list[str], listable: list[str]) -> None:
    """Allow reading a folder, except the hidden folders in it."""
    if path in hidden:
        return
    if not any(path in other.parents for other in hidden):
        readable.append(str(path))
        return
    listable.append(str(path))
    for inside in sorted(path.iterdir()):
        if not inside.is_symlink():
            _open(inside, hidden, readable, listable)
