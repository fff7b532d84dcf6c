"""The packages of a worker: what of an installation it sees, and what the zygote imports before the fork."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from autograder.grading.run.proxy import Examinee, Student
from autograder.report import Isolation
from autograder.sandbox.ladder import climb
from autograder.sandbox.outside import zygotes
from autograder.sandbox.outside.zygotes import Zygote
from autograder.sandbox.rungs import view
from autograder.sandbox.rungs.launch import Limits


@pytest.fixture(params=["A", "B", "D"])
def rung(request: pytest.FixtureRequest) -> Isolation:
    isolation: Isolation = request.param
    if isolation != "D" and not climb(isolation).holds:
        pytest.skip(climb(isolation).reason)
    return isolation


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Install a distribution of one package, in a folder of packages of its own."""

    def installed(name: str, package: str, text: str, requires: str = "") -> None:
        site = tmp_path / name
        (site / package).mkdir(parents=True)
        (site / package / "__init__.py").write_text(text)
        about = site / f"{name.replace('-', '_')}-1.0.dist-info"
        about.mkdir()
        needs = f"Requires-Dist: {requires}\n" if requires else ""
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{needs}")
        (about / "RECORD").write_text(f"{package}/__init__.py,,\n{about.name}/METADATA,,\n")
        monkeypatch.syspath_prepend(site)

    view._paths_of.cache_clear()  # another test installs a package of the same name elsewhere
    yield installed
    view._paths_of.cache_clear()


def found_by(rung: Isolation, package: str, body: str, imports: tuple[str, ...]) -> object:
    """What a student's function `look` returns in a worker to which one package is offered."""
    source = f"def look():\n    {body}\n"
    with Zygote(rung, ("numpy", package), Limits(memory_mb=1024)) as zygote:
        examinee = Examinee(zygote, module="answer", source=source.encode(), imports=imports)
        examinee.start("task", 10.0)
        found = Student(examinee).look()
        examinee.close()
    return found


def test_distributions_share_a_folder_without_init(rung: Isolation, install: Callable[..., None]) -> None:
    """Two installations, as of a venv that adds another's packages, may each have a part of a namespace."""
    install("shared-one", "shared/one", "NAME = 'one'\n", requires="shared-two")
    install("shared-two", "shared/two", "NAME = 'two'\n")
    body = "import shared.one, shared.two; return shared.one.NAME + shared.two.NAME"

    assert found_by(rung, "shared-one", body, ("shared",)) == "onetwo"


@pytest.mark.parametrize(("slow", "is_there"), [(("slow_one",), True), ((), False)])
def test_a_slow_package_is_imported_before_the_fork(
    rung: Isolation,
    install: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    slow: tuple[str, ...],
    is_there: bool,
) -> None:
    install("slow_one", "slow_one", "")
    monkeypatch.setattr(zygotes, "_WARM", slow)

    assert found_by(rung, "slow_one", "import sys; return 'slow_one' in sys.modules", ("slow_one",)) is is_there


def test_a_slow_package_finds_a_home_where_it_may_write(
    rung: Isolation, install: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Matplotlib keeps its list of fonts there. The home of the person who grades is not touched."""
    text = "import pathlib\nHOME = pathlib.Path.home()\n(HOME / 'mark').write_text('1')\nHOME = str(HOME)\n"
    install("slow_one", "slow_one", text)
    monkeypatch.setattr(zygotes, "_WARM", ("slow_one",))

    home = found_by(rung, "slow_one", "import slow_one; return slow_one.HOME", ("slow_one",))

    assert home != str(Path.home())
    assert not Path(str(home)).exists()  # it went with the zygote


def test_a_slow_package_that_is_broken_costs_only_who_imports_it(
    rung: Isolation, install: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    install("slow_one", "slow_one", "raise OSError('libGL.so.1 is missing')\n")
    monkeypatch.setattr(zygotes, "_WARM", ("slow_one",))
    body = "\n    ".join(["try:", "    import slow_one", "except OSError as error:", "    return str(error)"])

    assert found_by(rung, "slow_one", "return 7", ()) == 7
    assert found_by(rung, "slow_one", body, ("slow_one",)) == "libGL.so.1 is missing"
