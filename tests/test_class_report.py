"""The class report: what it counts, how it looks in a browser, and that no text of a student runs in it."""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from browser import chromium  # noqa: F401
from classes import SUITE, keep, report
from click.testing import CliRunner
from factory import make_course
from playwright.sync_api import Browser, Page

from autograder.classroom import similarity, tables
from autograder.classroom.class_report import write_class_report
from autograder.classroom.page import _SCRIPT, page
from autograder.classroom.similarity import Comparison, compare
from autograder.classroom.summary import ClassReport, summarise
from autograder.cli import main
from autograder.course import Course
from autograder.errors import CourseError
from autograder.report import Report
from autograder.report.csv_text import cell
from autograder.topic import Topic

HOSTILE = (
    "<script>document.title = 'taken'</script>",
    "</title></svg><img src=x onerror=alert(1)>",
    '=HYPERLINK("http://evil.example")',
    "{{ 7 * 7 }}{% raw %}",
    "\"' onmouseover='alert(1)",
    "Zoë \N{RIGHT-TO-LEFT OVERRIDE} 名前 \udcff",
)


@pytest.fixture(scope="module")
def topic(tmp_path_factory: pytest.TempPathFactory) -> Topic:
    return make_course(tmp_path_factory.mktemp("course")).topic("01_tiny")


def gathered(topic: Topic, *reports: Report, comparison: Comparison | None = None) -> ClassReport:
    return summarise(topic, reports, comparison or Comparison())


def test_who_waited_too_long_during_the_import_reached_a_limit(topic: Topic) -> None:
    waited = "tiny.py could not be imported: your code waited for too long without computing."
    found = gathered(
        topic,
        report("hana", tuple(SUITE), kind="import_failed", sentence=waited),
        report("goran", tuple(SUITE), kind="import_failed", sentence="tiny.py is not valid Python 3.11: no."),
    )

    assert {row.student: sum(cell.limits for cell in row.cells) for row in found.rows} == {"goran": 0, "hana": 5}
    limits = page(found).partition("Reached a limit, or died")[2].partition("</table>")[0]
    assert "hana" in limits
    assert "goran" not in limits


def test_a_person_is_needed_for_a_broken_report_and_for_written_answers(topic: Topic) -> None:
    reports = [report("amara"), report("bjorn", broken=("test_the_factor_is_two",)), report("chen")]

    found = summarise(topic, reports, Comparison(), ungraded=("amara", "bjorn"))

    assert found.waiting == ("amara", "bjorn")
    text = page(found)
    assert "<dt>need a person</dt><dd>2</dd>" in text
    assert "A person has to look at 1 broken report." in text
    assert "A person has to grade the written answers of 2 students, in the formgrader." in text
    assert "seed" not in text.partition("</dl>")[0].partition("<dl")[2]


class TestNumbers:
    def test_the_discrimination_is_that_of_the_rest_without_the_test_itself(self, topic: Topic) -> None:
        fails = [
            (),
            ("test_the_factor_is_two",),
            tuple(SUITE)[:3],
            tuple(SUITE),
            ("test_each_call_is_counted",),
        ]
        found = gathered(topic, *(report(f"s{number}", failed) for number, failed in enumerate(fails)))

        passed = np.array([[test not in failed for test in SUITE] for failed in fails], dtype=float)
        worth = np.array([20.0, 20.0, 20.0, 12.0, 18.0])
        for number, item in enumerate(found.items):
            rest = (passed * worth).sum(axis=1) - passed[:, number] * worth[number]
            wanted = np.corrcoef(passed[:, number], rest)[0, 1]
            assert item.difficulty == passed[:, number].mean()
            assert item.discrimination == pytest.approx(wanted, abs=1e-4)

    def test_a_test_that_all_pass_has_no_discrimination(self, topic: Topic) -> None:
        found = gathered(topic, report("a"), report("b"), report("c", ("test_the_factor_is_two",)))

        by_name = {item.test: item for item in found.items}
        assert by_name["test_three_doubled_is_six"].difficulty == 1.0
        assert by_name["test_three_doubled_is_six"].discrimination is None

    def test_broken_ones_stand_first_and_count_nowhere(self, topic: Topic) -> None:
        found = gathered(topic, report("a"), report("z", broken=("test_the_factor_is_two",)))

        assert [row.student for row in found.rows] == ["z", "a"]
        assert (found.tasks[0].decided, found.tasks[0].broken, found.tasks[0].mean) == (1, 1, 1.0)
        assert found.tasks[1].decided == 2

    def test_misconceptions_are_counted_and_ties_say_so(self, topic: Topic) -> None:
        failed = tuple(test for test, (task, _, _) in SUITE.items() if task == "double")
        tie = "one of: squared instead of doubled; added three"
        reports = [report(name, failed, diagnosis=tie, hint="Not by adding.") for name in ("a", "b")]

        found = summarise(topic, [*reports, report("c")], Comparison())

        (entry,) = found.misconceptions
        assert entry.students == ("a", "b")
        assert entry.is_tie
        assert (entry.name, entry.hint) == (tie, "Not by adding.")

    def test_a_test_that_ended_by_an_error_of_its_own_is_counted_for_the_teacher(self, topic: Topic) -> None:
        found = gathered(topic, report("a", ("test_each_call_is_counted",), kind="unusable"), report("b"))

        assert {item.test: item.unusable for item in found.items if item.unusable} == {"test_each_call_is_counted": 1}

    def test_a_stub_is_no_misconception(self, topic: Topic) -> None:
        found = gathered(topic, report("a", tuple(SUITE), kind="not_started"))

        assert found.misconceptions == ()
        assert found.undiagnosed == {}

    def test_limits_are_counted(self, topic: Topic) -> None:
        found = gathered(topic, report("a", ("test_each_call_is_counted",), kind="limit"))

        assert [cell.limits for cell in found.rows[0].cells] == [0, 1]


OWN = '''
def running(values, start=0.0):
    """Add up."""
    total, seen = start, []
    for index, value in enumerate(values):
        if value is None or index % 7 == 3:
            continue
        total = total * 0.5 + value ** 2 - len(seen)
        if abs(total) > 10.0 and not seen:
            start, total = total, min(total - 1, max(start, 3))
        while total < start / 4 or total == index:
            total += 0.25 * (index + 1) - start % 3
        seen.append((index, total))
    return {key: found for key, found in seen if found > start}
'''
OTHER = """
class Meter:
    def __init__(self, unit):
        self.unit = unit
        self.readings = dict()

    def read(self, *names):
        while names:
            name, *names = names
            self.readings[name] = self.readings.get(name, 0) + 1
        return sorted(self.readings.items(), key=lambda pair: -pair[1])

    def merged(self, other, *, keep=True):
        both = Meter(self.unit or other.unit)
        for readings in (self.readings, other.readings if keep else {}):
            both.readings |= {name: both.readings.get(name, 0) + n for name, n in readings.items()}
        return both

    def __repr__(self):
        return f"{self.unit}: " + ", ".join(str(count) for _, count in self.read())
"""
STUB = "import numpy as np\n\n\ndef given(x, y):\n" + "".join(
    f"    if x > {n}:\n        y = np.sin(y) + x * {n}\n" for n in range(30)
)


class TestSimilarity:
    def test_what_everybody_was_given_is_no_likeness(self) -> None:
        found = compare({"a": STUB, "b": STUB + OWN, "c": STUB + OTHER}, STUB)

        assert found.pairs == ()
        assert found.compared == 2

    def test_a_copy_with_other_names_and_comments_is_alike_and_what_it_shares_is_marked(self) -> None:
        renamed = re.sub(r"\btotal\b", "sum_of_all", OWN).replace("    total", "    # my own idea\n    total")
        found = compare({"a": STUB + OWN, "b": STUB + renamed, "c": STUB + OTHER}, STUB)

        (pair,) = found.pairs
        assert (pair.one, pair.other) == ("a", "b")
        assert pair.share > 0.9
        assert "".join(part.text for part in pair.one_parts) == STUB + OWN
        assert "seen.append" in "".join(part.text for part in pair.one_parts if part.is_shared)

    def test_pairs_of_three_make_one_group(self) -> None:
        found = compare(dict.fromkeys(("a", "b", "c"), STUB + OWN), STUB)

        assert len(found.pairs) == 3
        assert found.groups == (("a", "b", "c"),)
        assert sum(bool(pair.one_parts) for pair in found.pairs) == 2

    def test_a_module_that_is_no_python_is_compared_like_any_other(self) -> None:
        found = compare({"a": STUB + OWN + "\n\x00((((\udcff", "b": STUB + OWN}, STUB)

        assert len(found.pairs) == 1

    def test_what_two_modules_share_is_counted_as_sets_are(self) -> None:
        draw = np.random.default_rng(0)
        prints = [np.unique(draw.integers(0, 20_000, size, dtype=np.uint64)) for size in (1, 9, 9000, 9000, 300)]

        shared = similarity._shared(prints)

        sets = [set(found.tolist()) for found in prints]
        pairs = list(itertools.combinations(range(5), 2))
        assert [shared[one, other] for one, other in pairs] == [len(sets[one] & sets[other]) for one, other in pairs]

    def test_a_class_that_hands_in_one_module_has_one_group_and_a_list_that_ends(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(similarity, "LISTED", 50)
        found = compare({f"s{number:03}": STUB + OWN for number in range(150)}, STUB)

        assert found.alike == 150 * 149 // 2
        assert 149 <= len(found.pairs) <= 50 + 149
        assert [len(group) for group in found.groups] == [150]

    def test_of_too_many_fingerprints_a_share_still_finds_a_copy(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(similarity, "FINGERPRINTS", 500)
        found = compare({"a": STUB + OWN, "b": STUB + OWN, "c": STUB + OTHER}, STUB)

        assert [(pair.one, pair.other) for pair in found.pairs] == [("a", "b")]

    def test_a_module_that_takes_too_long_is_left_out_and_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(similarity, "COMPARED_SECONDS", 0.1)
        dense = "".join(f"x{number}=a*b+{number}\n" for number in range(9_000))
        found = compare({"a": STUB + OWN, "b": STUB + OWN, "slow": dense}, STUB)

        assert found.left_out == ("slow",)
        assert [(pair.one, pair.other) for pair in found.pairs] == [("a", "b")]


class TestTables:
    @pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "  =1", "＝1"])
    def test_a_text_is_no_formula(self, text: str) -> None:
        assert cell(text) == f"'{text}"

    @pytest.mark.parametrize("value", [-1.5, 0, "a=b", "O'Brien"])
    def test_numbers_and_names_stay_as_they_are(self, value: object) -> None:
        assert cell(value) == value

    def test_hostile_names_stand_in_one_cell_each(self, topic: Topic) -> None:
        found = gathered(topic, *(report(name, complaints=(name,)) for name in HOSTILE))

        rows = list(csv.DictReader(io.StringIO(tables.scores_csv(found))))

        assert len(rows) == len(HOSTILE)
        assert not any(value.startswith(("=", "+", "@")) for row in rows for value in row.values())

    def test_the_json_holds_no_module(self, topic: Topic) -> None:
        alike = compare({"a": STUB + OWN, "b": STUB + OWN}, STUB)
        text = tables.to_json(gathered(topic, report("a"), comparison=alike))

        assert json.loads(text)["comparison"]["groups"] == [["a", "b"]]
        assert "seen.append" not in text


class TestFiles:
    def test_the_command_writes_a_page_json_and_csv(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        course = make_course(tmp_path)
        keep(course, course.topic("01_tiny"), report("amara"), report("bjorn", tuple(SUITE)))
        monkeypatch.chdir(tmp_path)

        done = CliRunner().invoke(main, ["report", "01_tiny", "--out", "there"])

        assert done.exit_code == 0, done.output
        assert {path.name for path in (tmp_path / "there").iterdir()} == {
            "index.html", "report.json", "scores.csv", "tests.csv",
        }  # fmt: skip
        assert (tmp_path / "there" / "index.html").stat().st_mode & 0o007 == 0

    def test_without_a_report_it_says_what_to_do(self, tmp_path: Path) -> None:
        with pytest.raises(CourseError, match="no report; run `autograder grade 01_tiny` first"):
            write_class_report(make_course(tmp_path), "01_tiny")

    def test_what_was_handed_in_since_is_told(self, tmp_path: Path) -> None:
        course = make_course(tmp_path)
        topic = course.topic("01_tiny")
        keep(course, topic, report("amara"), report("zoe"), source=b"x = 1\n")
        for name in ("amara", "late"):
            folder = course.submitted / name / topic.id
            folder.mkdir(parents=True)
            (folder / "tiny.py").write_text("x = 2\n")

        text = re.sub(r"<[^>]+>", "", write_class_report(course, topic.id)[0].read_text())

        assert "the engine: amara." in text
        assert "not examined yet: late." in text


def hostile_class(topic: Topic) -> ClassReport:
    """A class in which everything that students can write is hostile, and every section has something to show."""
    double = tuple(test for test, (task, _, _) in SUITE.items() if task == "double")
    reports = [
        *(
            report(
                name,
                double,
                complaints=(name * 3,),
                hint=name,
                sentence=name,
                diagnosis=topic.mistakes[0].name,
            )
            for name in HOSTILE
        ),
        report("a" * 90, ("test_each_call_is_counted",), kind="limit", seconds=3.0),
        report("broken", broken=("test_the_factor_is_two",), isolation="D", seed=8),
        *(report(f"student {number}") for number in range(8)),
    ]
    modules = {
        HOSTILE[0]: STUB + OWN + HOSTILE[1],
        HOSTILE[1]: STUB + OWN + "# </mark></pre><script>alert(2)</script>",
    }
    return summarise(topic, reports, compare(modules, STUB), outdated=HOSTILE[:2], unexamined=HOSTILE[2:4])


class Tags(HTMLParser):
    """The addresses that a page asks a browser to load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        if tag in (
            "script",
            "link",
            "img",
            "iframe",
            "object",
            "embed",
            "base",
            "form",
            "audio",
            "video",
            "image",
        ):
            self.asked.append(tag)
        self.asked += [name for name in names if name in ("src", "srcset", "action") or name.startswith("on")]


def test_a_page_needs_nothing_else(topic: Topic) -> None:
    text = page(hostile_class(topic))

    assert Tags(text).asked == ["script"]
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    assert script == _SCRIPT  # and the page lets no other run
    assert f"script-src 'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" in text
    assert re.findall(r"@import|url\(", text) == []


@pytest.fixture(scope="module")
def shown(chromium: Browser, topic: Topic, tmp_path_factory: pytest.TempPathFactory) -> Page:  # noqa: F811
    """The hostile class's page on a phone; the browser's complaints are in `page.complaints`."""
    path = tmp_path_factory.mktemp("page") / "index.html"
    path.write_bytes(page(hostile_class(topic)).encode("utf-8", "replace"))
    tab = chromium.new_page(viewport={"width": 375, "height": 800})
    tab.complaints = []  # type: ignore[attr-defined]
    tab.on("console", lambda message: tab.complaints.append(message.text))  # type: ignore[attr-defined]
    tab.on("pageerror", lambda error: tab.complaints.append(str(error)))  # type: ignore[attr-defined]
    tab.on("dialog", lambda dialog: tab.complaints.append(dialog.message))  # type: ignore[attr-defined]
    tab.on(
        "request",
        lambda request: tab.complaints.append(request.url) if not request.url.startswith("file:") else None,
    )  # type: ignore[attr-defined]
    tab.goto(path.as_uri())
    tab.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    return tab


class TestInABrowser:
    def test_nothing_runs_nothing_is_fetched_and_nothing_is_complained_about(self, shown: Page) -> None:
        assert shown.title() == "01_tiny: class report"
        assert shown.complaints == []  # type: ignore[attr-defined]
        assert shown.get_by_text(HOSTILE[0], exact=False).count() > 0

    def test_a_click_on_a_title_sorts(self, chromium: Browser, topic: Topic, tmp_path: Path) -> None:  # noqa: F811
        found = gathered(topic, report("zoe"), report("ada"), report("mia", ("test_three_doubled_is_six",)))
        (tmp_path / "index.html").write_text(page(found))
        tab = chromium.new_page()
        tab.goto((tmp_path / "index.html").as_uri())

        def students() -> list[str]:
            return [cell.strip() for cell in tab.locator(".heat tbody th").all_inner_texts()]

        assert students() == ["mia", "ada", "zoe"]
        tab.get_by_role("button", name="student").click()
        assert students() == ["ada", "mia", "zoe"]
        tab.get_by_role("button", name="points").first.click()
        assert students()[-1] == "mia"
        tab.get_by_role("button", name="points").first.click()
        assert students()[0] == "mia"

    @pytest.mark.parametrize("width", [375, 768, 1280])
    def test_nothing_stands_out_sideways(self, shown: Page, width: int) -> None:
        shown.set_viewport_size({"width": width, "height": 800})

        assert shown.evaluate("document.documentElement.scrollWidth") <= width
        assert shown.evaluate(OUTSIDE) == []

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_every_text_stands_out_from_its_ground(self, shown: Page, scheme: str) -> None:
        shown.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]

        assert shown.evaluate(FAINT) == []

    def test_a_screen_reader_finds_its_way(self, shown: Page) -> None:
        assert shown.evaluate(LOST) == []


#: elements that are wider than the window, and are in no box that scrolls
OUTSIDE = """() => [...document.querySelectorAll('body *')].filter(one => {
  if (one.closest('.wide, pre, .skip, svg')) return false;
  const box = one.getBoundingClientRect();
  return box.width > 0 && (box.right > innerWidth + 1 || box.left < -1);
}).map(one => one.tagName + '.' + one.className)"""

#: texts with a contrast below 4.5 to 1 (WCAG 2.2, AA)
FAINT = """() => {
  const rgba = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const ground = one => { for (; one; one = one.parentElement) {
    const [r, g, b, a = 1] = rgba(getComputedStyle(one).backgroundColor); if (a === 1) return [r, g, b]; } return [255, 255, 255]; };
  const under = one => { const own = one.className.baseVal || ''; if (!own.startsWith('on-')) return ground(one.closest('svg'));
    return rgba(getComputedStyle(one.closest('svg').querySelector('.' + own.slice(3))).fill); };
  const faint = new Set();
  for (const one of document.querySelectorAll('body *')) {
    if (![...one.childNodes].some(node => node.nodeType === 3 && node.textContent.trim())) continue;
    if (['title', 'desc'].includes(one.tagName) || !one.getClientRects().length) continue;
    const style = getComputedStyle(one), inSvg = one.closest('svg');
    const [a, b] = [light(rgba(inSvg ? style.fill : style.color)), light(inSvg ? under(one) : ground(one))].sort((x, y) => y - x);
    if ((a + .05) / (b + .05) < 4.5) faint.add(`${one.tagName}.${one.className.baseVal ?? one.className}: ${((a + .05) / (b + .05)).toFixed(2)}`);
  }
  return [...faint];
}"""

#: elements without the text that a reader who cannot see the page needs
LOST = """() => {
  const found = [], all = query => [...document.querySelectorAll(query)];
  const named = one => one.getAttribute('aria-label') || (one.getAttribute('aria-labelledby') || '').split(' ').filter(Boolean)
    .map(id => document.getElementById(id)?.textContent || '').join('').trim();
  if (!document.documentElement.lang) found.push('no language');
  for (const tag of ['header', 'nav', 'main', 'footer', 'h1']) if (all(tag).length !== 1) found.push(`${all(tag).length} of ${tag}`);
  const ids = all('[id]').map(one => one.id);
  for (const id of ids) if (ids.filter(other => other === id).length > 1) found.push(`two of #${id}`);
  let level = 1;
  for (const one of all('h1, h2, h3, h4')) { const own = Number(one.tagName[1]); if (own > level + 1) found.push(`${one.textContent} skips a level`); level = own; }
  for (const one of all('section, [role=region], nav, svg')) if (!named(one)) found.push(`${one.tagName} without a name`);
  for (const one of all('svg')) if (one.getAttribute('role') !== 'img') found.push('svg is no img');
  for (const one of all('table')) {
    if (!one.caption?.textContent.trim()) found.push('table without a caption');
    if (![...one.tHead.rows[0].cells].every(cell => cell.scope === 'col')) found.push(`${one.caption.textContent}: heads without scope`);
  }
  for (const one of all('a')) { if (!one.textContent.trim()) found.push('link without words');
    const to = one.getAttribute('href'); if (to.startsWith('#') && !document.getElementById(to.slice(1))) found.push(`${to} leads nowhere`); }
  for (const one of all('.wide, pre')) if (one.tabIndex !== 0) found.push('a box that scrolls and takes no key');
  for (const one of all('.heat td')) if (!one.textContent.trim()) found.push('a cell that is colour alone');
  return found;
}"""


def test_a_class_of_nobody_with_a_verdict_has_a_page(topic: Topic) -> None:
    found = gathered(topic, report("a", broken=tuple(SUITE)))

    assert "No report has a verdict." in page(found)


def test_a_course_elsewhere_stays_untouched(tmp_path: Path) -> None:
    course: Course = make_course(tmp_path / "course")
    keep(course, course.topic("01_tiny"), report("amara"))
    before = {path for path in course.root.rglob("*") if path.is_file()}

    write_class_report(course, "01_tiny", tmp_path / "elsewhere")

    assert {path for path in course.root.rglob("*") if path.is_file()} == before
