"""The documentation: the site builds without a warning, its links lead somewhere, its commands exist, its examples hold."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import click
import pytest

import autograder
from autograder import plan, topic
from autograder.cli import main
from autograder.student.public_tests import run_public_tests

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Links(HTMLParser):
    """The addresses that a page refers to, and the places in it that can be referred to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.places: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.places.add(found.get("id") or "")
        self.links += [found[key] for key in ("href", "src") if found.get(key)]


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> dict[Path, Links]:
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", DOCS, folder],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {path: Links(path.read_text(encoding="utf-8")) for path in folder.rglob("*.html")}


def test_every_page_is_on_the_site_and_every_link_leads_somewhere(site):
    assert {f"{page.stem}.html" for page in DOCS.glob("*.md")} <= {path.name for path in site}
    lost = []
    for page, found in site.items():
        for link in found.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            is_there = target.exists() and (
                not parts.fragment or target not in site or parts.fragment in site[target].places
            )
            if not is_there:
                lost.append(f"{page.name}: {link}")
    assert lost == []


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_a_link_between_files_leads_to_a_file(page):
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", FENCE.sub("", page.read_text(encoding="utf-8")))

    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []


def commands(page: Path) -> list[str]:
    """The command lines of a page's listings, without comments and prompts."""
    lines = [line for _, body in FENCE.findall(page.read_text(encoding="utf-8")) for line in body.splitlines()]
    heads = ("autograder ", "nbgrader ", "make ", "$ autograder ", "$ nbgrader ", "$ make ")
    return [line.removeprefix("$ ").partition(" #")[0].strip() for line in lines if line.startswith(heads)]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_every_command_in_a_listing_exists_with_its_options(page):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    unknown = []
    for line in commands(page):
        program, *words = shlex.split(line)
        if program == "make":
            verbs = [word for word in words if "=" not in word]
            known = all(re.search(rf"^{re.escape(verb)}:", makefile, re.MULTILINE) for verb in verbs)
        elif program == "nbgrader":
            known = words[0].replace("_", "").isalpha()
        else:
            known = is_command(words)
        if not known:
            unknown.append(line)
    assert unknown == []


def test_the_first_page_says_for_every_page_with_a_listing_what_was_run():
    index = (DOCS / "index.md").read_text(encoding="utf-8").partition("## Which listings were run")[2]
    included = {"contributing.md"}  # its text is in CONTRIBUTING.md
    pages = {path.name for path in DOCS.glob("*.md") if re.search(r"^```(sh.*|text)?$", path.read_text(), re.MULTILINE)}

    assert set(re.findall(r"\]\((\w+\.md)\)", index)) >= (pages | included) - {
        "index.md",
        "changelog.md",
        "command_line.md",
    }


def is_command(words: list[str]) -> bool:
    """Whether `autograder WORDS` is a verb with options that it has."""
    command: click.Command = main
    while isinstance(command, click.Group) and words and words[0] in command.commands:
        command, words = command.commands[words[0]], words[1:]
    options = {option for parameter in command.params for option in parameter.opts} | {"--help", "-h", "--version"}
    return command is not main and {word.partition("=")[0] for word in words if word.startswith("-")} <= options


@pytest.mark.parametrize("words", [["no_such_verb"], ["grade", "ID", "--no-such-option"]])
def test_a_command_that_does_not_exist_is_found(words):
    assert not is_command(words)


MESSAGES = re.findall(
    r"^## (.*?)\n\n```python\n(.*?)```\n\n```text\n(.*?)\n```$", (DOCS / "messages.md").read_text(), re.M | re.S
)
DOUBLE = '''
import numpy as np
import pytest
from autograder import expect


@pytest.mark.task("double")
def test_a_row_is_doubled(student):
    """Each entry is multiplied by two."""
    expect.close(student.double(np.array([1.0, 2.0, 3.0])), np.array([2.0, 4.0, 6.0]), "double")
'''


@pytest.mark.parametrize(("code", "said"), [row[1:] for row in MESSAGES], ids=[row[0] for row in MESSAGES])
def test_the_code_on_the_page_of_messages_gives_that_message(tmp_path, monkeypatch, code, said):
    monkeypatch.setenv("PYTHONPATH", str(Path(autograder.__file__).parents[1]))
    (tmp_path / "test_sums.py").write_text(DOUBLE)
    (tmp_path / "sums.py").write_text(code)

    progress = run_public_tests(tmp_path).progress

    assert progress
    assert progress.tasks[0].first_fault
    assert progress.tasks[0].first_fault.sentence == said.replace(
        "Python 3.11", "Python {}.{}".format(*sys.version_info)
    )


def test_the_page_of_messages_has_its_examples():
    assert len(MESSAGES) >= 15


def test_the_page_of_the_configuration_has_every_key():
    page = (DOCS / "configuration.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.*?) \|", page, re.MULTILINE)
    rows = [row for row in rows if not re.search(r"\.(csv|txt|toml)`", row)]  # files, not keys
    names = {name for row in rows for name in re.findall(r"`([\w.]+)`", row)}

    assert {name for name in names if "." not in name} == topic.KEYS | topic.TASK_KEYS | plan.KEYS
    policy = pytest.importorskip("autograder.recording.late").LatePolicy
    own = {f"c.LatePolicy.{name}" for name in policy.class_own_traits(config=True)}
    assert {name for name in names if "." in name} == own


def test_the_page_of_the_configuration_has_the_usual_values():
    page = (DOCS / "configuration.md").read_text(encoding="utf-8")
    said = dict(re.findall(r"^\| `(memory|disk|answers|processes)` \| (\d+) \|", page, re.MULTILINE))

    assert said == {key: str(values[0]) for key, values in topic._BUDGETS.items()}
    assert f"| `seconds` | {topic.TEST_SECONDS:g} |" in page
