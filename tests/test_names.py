"""All that docs, docstrings and comments name exists: files, modules and their names, verbs of make and autograder."""

from __future__ import annotations

import ast
import io
import re
import subprocess
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from autograder.cli import main

ROOT = Path(__file__).parent.parent
PACKAGES = ("autograder", "dlcourse", "benchmarks")
PAGES = sorted(
    path
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md"))
    # written from the assignments; two that include another page; and one about an invented module
    if path.name not in ("course.md", "contributing.md", "changelog.md", "messages.md")
)
MODULES = sorted(path for name in PACKAGES for path in (ROOT / name).rglob("*.py") if "templates" not in path.parts)
ENDINGS = "py|md|toml|json|ipynb|csv|html|txt|xml|png|npz|safetensors|db|zip|yml|yaml|sh|pth"
#: a file, with or without folders; a star or a word in angle brackets means any name
FILE = re.compile(rf"(?<![\w/.:~-])(?:[\w.<>*-]+/)*[\w<>*-][\w.<>*-]*\.(?:{ENDINGS})\b(?!\w|/|\()")
FOLDER = re.compile(r"(?<![\w/.:<~-])(?:\.?[\w<>*-]+/)+(?![\w<>*.-])")
NAME = re.compile(r"`([A-Za-z_]\w*)\.([A-Za-z_]\w*)")


@cache
def words_of(path: Path) -> str:
    """Return a page, or the docstrings and comments of a module."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return text
    found = [
        ast.get_docstring(node) or ""
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return "\n".join([*found, *(token.string for token in tokens if token.type == tokenize.COMMENT)])


@cache
def tracked() -> tuple[str, ...]:
    """Return every file of the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return tuple(name for name in listed.stdout.splitlines() if (ROOT / name).exists())


#: folders and files that a run writes, or that belong to a platform or an example; none is in the repository
MADE = re.compile(
    r"(.*/)?(\.autograder|submitted|autograded|feedback|exports|class_report|demo|submission|course|engine|files|etc"
    r"|\.github|results|12_dropout|FOLDER_OF_TESTS)/.*|(.*/)?<id>(\.\w+|/.*)"
    r"|(index|summary)\.(html|md)|(canvas-gradebook|moodle-grades|roster|scores|term|tests|students|extensions)\.csv"
    r"|(assignments/|release/)?(dates\.toml|01_first_steps/.*)|groups\.txt|(vision-)?(gradebook|grades|after)\.\w+|(solutions|<?downloaded>?|exchange|home|student|\.\.)/.*"
    r"|.*(_LATE_|assignsubmission_|_attempt_|submitted/<).*|softmax.*\.py|.*<assignment>/"
    r"|(marks|report|results|settings|term|submission_metadata)\.json|(bob|gradescope|submissions)\.zip|report\.xml|timestamp\.txt"
    r"|12_dropout\.ipynb|(test_)?(dropout|softmax)(_hidden)?\.py|(numpy|helpers|trainer)\.py|data/reviews\.csv"
)
#: words before a dot that are not our modules or classes: packages, variables of examples, parts of certificates
FOREIGN = set(
    "F nn torch gc sys pytest dtype x c ca grader extra_data ExecutePreprocessor GenerateAssignment NbGraderAPI".split()
)


@cache
def folders() -> tuple[str, ...]:
    """Return every folder of the repository, with a slash at its end."""
    return tuple({f"{parent}/" for name in tracked() for parent in Path(name).parents})


@cache
def is_there(named: str) -> bool:
    """Whether a path, starting in any folder of the repository, is one of its files or folders."""
    listed = folders() if named.endswith("/") else tracked()
    if "*" not in named:
        return any(name == named or name.endswith(f"/{named}") for name in listed)
    pattern = re.compile(r"(?:.*/)?" + re.escape(named).replace(r"\*", "[^/]*"))
    return any(map(pattern.fullmatch, listed))


@cache
def defined() -> dict[str, set[str]]:
    """Return the names in each of our modules and classes; a class that inherits has "*", too."""
    found: dict[str, set[str]] = {}
    for path in MODULES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        stem = path.parent.name if path.stem == "__init__" else path.stem
        found.setdefault(stem, set()).update(_bound(tree.body), _inside(path))
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                own = {a.attr for a in ast.walk(node) if isinstance(a, ast.Attribute) and isinstance(a.ctx, ast.Store)}
                found.setdefault(node.name, set()).update(_bound(node.body), own, {"*"} if node.bases else ())
    return found


def _inside(path: Path) -> Iterator[str]:
    """Give the modules in a package."""
    if path.stem == "__init__":
        yield from (other.stem for other in path.parent.iterdir())


def _bound(body: list[ast.stmt]) -> Iterator[str]:
    """Give the names that statements bind."""
    for statement in body:
        for node in ast.walk(statement):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                yield node.name
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield node.id
            elif isinstance(node, ast.alias):
                yield node.asname or node.name


def is_defined(owner: str, name: str) -> bool:
    """Whether one of our modules or classes has a name; for other packages this is not checked."""
    return owner in FOREIGN or not {name, "*"}.isdisjoint(defined().get(owner, ()))


def named(pattern: re.Pattern[str], pages: list[Path]) -> set[tuple[str, str]]:
    """Return all that the pages name, each with its page."""
    return {
        (path.relative_to(ROOT).as_posix(), found[0] if not found.lastindex else ".".join(found.groups()))
        for path in pages
        for found in pattern.finditer(words_of(path))
    }


@pytest.mark.parametrize("pattern", [FILE, FOLDER], ids=["files", "folders"])
def test_every_path_that_is_named_is_there(pattern):
    paths = named(pattern, [*PAGES, *MODULES])

    assert len(paths) > 30
    assert sorted((page, path) for page, path in paths if not is_there(path) and not MADE.fullmatch(path)) == []


def test_every_name_of_a_module_or_class_is_there():
    names = named(NAME, [*PAGES, *MODULES])

    gone = {(page, name) for page, name in names if not FILE.fullmatch(name) and not is_defined(*name.split("."))}
    assert len(names) > 20
    assert sorted(gone) == []


def test_every_module_with_its_package_is_there():
    dotted = named(re.compile(rf"(?<![\w./-])(?:{'|'.join(PACKAGES)})(?:\.\w+)+"), [*PAGES, *MODULES])

    def leads_somewhere(name: str) -> bool:
        parts = name.split(".")
        paths = [ROOT.joinpath(*parts[:count]) for count in range(len(parts), 0, -1)]
        depth, path = next(
            (len(path.parts), path) for path in paths if path.is_dir() or path.with_suffix(".py").is_file()
        )
        left = parts[depth - len(ROOT.parts) :]
        return not left or (len(left) == 1 and is_defined(path.name, left[0]))

    assert len(dotted) > 5
    assert sorted((page, name) for page, name in dotted if not FILE.fullmatch(name) and not leads_somewhere(name)) == []


def test_every_verb_is_there():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):.*##", makefile, re.MULTILINE))
    pages = [*PAGES, *MODULES, ROOT / "CHANGELOG.md"]
    made = {name for _, name in named(re.compile(r"`make ([a-z-]+)"), pages)}
    typed = {name for _, name in named(re.compile(r"`autograder ([a-z-]+)"), pages)}

    assert made - targets == set()
    assert typed - set(main.commands) == set()
    assert len(made) > 5
    assert len(typed) > 10


def test_no_two_classes_of_ours_have_one_name():
    places: dict[str, list[str]] = {}
    for path in MODULES:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(path.relative_to(ROOT).as_posix())

    assert len(places) > 100
    assert {name: found for name, found in places.items() if len(found) > 1} == {}
