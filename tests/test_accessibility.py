"""What people read in a browser, as a keyboard, a screen reader and tired eyes find it: axe-core in a real browser.

docs/accessibility.md says the same in words.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from axe_playwright_python.sync_playwright import Axe
from browser import chromium  # noqa: F401 (a fixture)
from playwright.sync_api import Browser, Page

from autograder.authoring.release import release
from autograder.classroom.class_report import write_class_report
from autograder.classroom.term_report import write_term_report
from autograder.course import Course
from autograder.grade import grade
from autograder.recording.summary import give_feedback
from autograder.topic import read_topic
from benchmarks.parts import scratch_course

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
ID = "01_neural_network_basics"
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="
ANSWER = """\
### Why

| layer | units |
|---|---|
| first | 2 |

![](attachment:plot.png) and [a page](https://example.org), $x^2$, `code`:

```
y = x
```
"""
PAGES = {
    "feedback": f"feedback/ada/{ID}/{ID}.html",
    "feedback of a stub": f"feedback/bob/{ID}/{ID}.html",
    "summary": f"feedback/ada/{ID}/summary.html",
    "summary of a stub": f"feedback/bob/{ID}/summary.html",
    "class report": f"class_report/{ID}/index.html",
    "report of the term": "class_report/index.html",
}


@pytest.fixture(scope="module")
def graded() -> Iterator[Course]:
    """A course in which Ada solved the assignment, with an answer that holds everything, and Bob handed in the stub."""
    topic = read_topic(ROOT / "assignments" / ID)
    with scratch_course(topic) as course:
        shutil.copy(ROOT / "nbgrader_config.py", course.root)
        release(course)
        for student, above in (("ada", topic.folder), ("bob", course.release / ID)):
            folder = course.submitted / student / ID
            folder.mkdir(parents=True)
            shutil.copy(above / f"{topic.module}.py", folder)
            notebook = json.loads((course.release / ID / f"{ID}.ipynb").read_text())
            for cell in notebook["cells"]:
                if cell["metadata"].get("nbgrader", {}).get("solution"):
                    cell["source"], cell["attachments"] = ANSWER, {"plot.png": {"image/png": PIXEL}}
            (folder / f"{ID}.ipynb").write_text(json.dumps(notebook))
        assert grade(course, ID, (), None, is_quiet=True) == 0
        give_feedback(course, ID, lambda _student: None)
        write_class_report(course, ID)
        write_term_report(course)
        yield course


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The documentation site."""
    folder = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "sphinx", "-q", "-b", "html", ROOT / "docs", folder]
    subprocess.run(build, check=True, capture_output=True)
    return folder


@pytest.fixture
def shown(chromium: Browser) -> Iterator[SimpleNamespace]:  # noqa: F811
    """Opens a page of this machine, and nothing of the network; `at` says how wide, how light, and with what motion."""
    tabs = []

    def at(path: Path, *, width: int = 1280, scheme: str = "light") -> Page:
        tab = chromium.new_page(
            viewport={"width": width, "height": 900},
            color_scheme=scheme,  # type: ignore[arg-type]
            reduced_motion="reduce",
        )
        tabs.append(tab)
        tab.route("**/*", lambda route: route.continue_() if route.request.url.startswith("file:") else route.abort())
        tab.goto(path.as_uri())
        tab.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        return tab

    yield SimpleNamespace(at=at)
    for tab in tabs:
        tab.close()


def faults(page: Page) -> list[str]:
    """Return what axe-core finds: all rules of WCAG 2.2 A and AA, and its best practices."""
    found = Axe().run(page).response["violations"]
    return [f"{rule['id']}: {node['html'][:160]}" for rule in found for node in rule["nodes"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_about_students_has_no_fault(graded: Course, shown: SimpleNamespace, name: str, scheme: str) -> None:
    assert faults(shown.at(graded.root / PAGES[name], scheme=scheme)) == []


#: of the elements with text: those of which paper (an A4 page, less its margins) shows only a part
CUT_ON_PAPER = """() => [...document.body.querySelectorAll("*")]
    .filter(one => one.innerText && !one.closest("svg, .skip") && getComputedStyle(one).display !== "inline")
    .filter(one => one.scrollWidth > one.clientWidth + 1 && getComputedStyle(one).overflowX !== "visible"
                || one.scrollHeight > one.clientHeight + 1 && getComputedStyle(one).overflowY !== "visible")
    .map(one => one.outerHTML.slice(0, 160))"""


@pytest.mark.parametrize("name", PAGES)
def test_paper_shows_all_of_a_page_about_students(graded: Course, shown: SimpleNamespace, name: str) -> None:
    page = shown.at(graded.root / PAGES[name], width=720)
    page.emulate_media(media="print")

    assert page.evaluate(CUT_ON_PAPER) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 720


def test_no_page_of_the_documentation_has_a_fault_on_a_phone(site: Path, shown: SimpleNamespace) -> None:
    pages = sorted(site.rglob("*.html"))
    found = [f"{path.name}: {fault}" for path in pages for fault in faults(shown.at(path, width=375))]

    assert len(pages) > 20
    assert found == []


@pytest.mark.parametrize("name", ["index", "follow", "api", "command_line", "search"])
def test_the_documentation_has_no_fault_on_a_wide_dark_screen(site: Path, shown: SimpleNamespace, name: str) -> None:
    assert faults(shown.at(site / f"{name}.html", scheme="dark")) == []


@pytest.mark.parametrize(
    ("html", "rule"),
    [
        ("<main><h1>A</h1><img src='data:,'></main>", "image-alt"),
        ("<main><h1>A</h1><h3>B</h3></main>", "heading-order"),
        ("<main><h1>A</h1><p style='color: #999; background: #fff'>Grey words</p></main>", "color-contrast"),
        ("<main><h1>A</h1><a href='#'></a></main>", "link-name"),
    ],
)
def test_a_fault_would_be_found(tmp_path: Path, shown: SimpleNamespace, html: str, rule: str) -> None:
    path = tmp_path / "page.html"
    path.write_text(f"<!doctype html><html lang='en'><title>A</title><body>{html}</body></html>")

    assert [fault.partition(":")[0] for fault in faults(shown.at(path))] == [rule]


#: elements that are wider than the window, and are in no box that scrolls
OUTSIDE = """() => [...document.querySelectorAll('body *')].filter(one => {
  for (let box = one; box; box = box.parentElement)
    if (['auto', 'scroll', 'hidden'].includes(getComputedStyle(box).overflowX) && box !== document.body) return false;
  const box = one.getBoundingClientRect();
  return box.width > 0 && box.right > innerWidth + 1;
}).map(one => one.tagName + '.' + one.className + ': ' + one.textContent.slice(0, 60))"""


@pytest.mark.parametrize("name", PAGES)
def test_a_page_about_students_fits_a_screen_of_320_pixels(graded: Course, shown: SimpleNamespace, name: str) -> None:
    page = shown.at(graded.root / PAGES[name], width=320)

    assert page.evaluate(OUTSIDE) == []


def test_the_documentation_fits_a_screen_of_320_pixels(site: Path, shown: SimpleNamespace) -> None:
    pages = [path for path in sorted(site.glob("*.html")) if path.stem not in ("genindex", "py-modindex")]

    assert {path.name: found for path in pages if (found := shown.at(path, width=320).evaluate(OUTSIDE))} == {}


#: what has the focus: its tag and words, and whether a line around it, or another change, shows that
FOCUS = """() => { const one = document.activeElement, style = getComputedStyle(one);
  return [one.tagName, one.textContent.trim().slice(0, 30), style.outlineStyle !== 'none' && style.outlineWidth !== '0px']; }"""
#: what a click or a key can act on, and what scrolls
REACHABLE = """() => [...document.querySelectorAll('a[href], button, summary, input, [tabindex="0"]')]
  .filter(one => one.getClientRects().length && getComputedStyle(one).visibility === 'visible' && one.tabIndex >= 0).length"""


@pytest.mark.parametrize("name", PAGES)
def test_the_tab_key_reaches_everything_and_shows_where_it_is(
    graded: Course, shown: SimpleNamespace, name: str
) -> None:
    page = shown.at(graded.root / PAGES[name])
    expected, seen = page.evaluate(REACHABLE), []
    for _ in range(expected):
        page.keyboard.press("Tab")
        seen.append(page.evaluate(FOCUS))

    assert [focus for focus in seen if focus[0] == "BODY"] == []
    assert [focus for focus in seen if not focus[2]] == []


def test_nothing_moves_for_a_reader_who_does_not_want_it(graded: Course, site: Path, shown: SimpleNamespace) -> None:
    for path in (graded.root / PAGES["class report"], graded.root / PAGES["feedback"], site / "index.html"):
        page = shown.at(path)

        assert page.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == "auto"
        assert page.evaluate("document.getAnimations().length") == 0
        moving = "[...document.querySelectorAll('*')].filter(one => getComputedStyle(one).transitionDuration !== '0s').length"
        assert page.evaluate(moving) == 0
