"""A task that needs an extra is graded if it is installed, and otherwise left out everywhere, with the same words."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from factory import MANIFEST, SOLUTION, make_course, make_topic
from test_registrar import course, grades_of, hand_in, page_of, report_of  # noqa: F401
from test_verify import ENOUGH, few_seeds  # noqa: F401

import autograder
from autograder import extras
from autograder.authoring import build
from autograder.authoring.verify import verify
from autograder.course import Course
from autograder.errors import AuthorError
from autograder.grading.intake.submission import Submission
from autograder.grading.keep import store
from autograder.grading.mark.judge import Judge, not_gradable
from autograder.known import without_line
from autograder.recording import gradebook
from autograder.report import Report
from autograder.screen import report_tables
from autograder.student.check import check
from autograder.student.progress import Progress
from autograder.topic import Topic

SENTENCE = "not gradable here: install the no_such_package extra"


def with_extra(extra: str) -> str:
    return MANIFEST.replace("points = 30\n", f'points = 30\nextra = "{extra}"\n')


@pytest.fixture
def lacking(tmp_path: Path) -> Topic:
    """The tiny topic; its second task needs a package that does not exist."""
    return make_course(tmp_path, manifest=with_extra("no_such_package")).topic("01_tiny")


def examined(topic: Topic, source: str = SOLUTION) -> Report:
    with Judge(topic, seed=3) as judge:
        return judge.examine(Submission("ada", "01_tiny", Path("tiny.py"), source.encode()))


def test_without_the_extra_a_task_is_neither_passed_nor_failed(lacking: Topic) -> None:
    report = examined(lacking)

    assert (report.score, report.max_score, report.status) == (60.0, 60.0, "graded")
    assert report.tasks[1].status == "not gradable here"
    assert report.tasks[1].to_json() == {
        "task": "halve", "score": 0.0, "points": 0.0, "tests_passed": 0, "tests_total": 0, "hint": SENTENCE,
        "status": "not gradable here",
    }  # fmt: skip
    assert Report.from_record(json.loads(json.dumps(report.to_record()))) == report


def test_without_the_extra_nothing_can_be_lost_in_its_task(lacking: Topic) -> None:
    report = examined(lacking, SOLUTION.replace("return x / 2", "return 7"))

    assert (report.score, report.max_score) == (60.0, 60.0)


def test_each_task_names_its_own_extra_and_nobody_gets_a_zero(tmp_path: Path) -> None:
    manifest = with_extra("no_such_package").replace("seconds = 2\n", 'seconds = 2\nextra = "nor_this_one"\n')
    report = examined(make_course(tmp_path, manifest=manifest).topic("01_tiny"), SOLUTION.replace("x * FACTOR", "x"))

    assert [task.hint for task in report.tasks] == [SENTENCE.replace("no_such_package", "nor_this_one"), SENTENCE]
    assert {task.status for task in report.tasks} == {"not gradable here"}
    assert (report.score, report.max_score) == (0.0, 0.0)


def test_with_the_extra_its_task_is_graded_and_may_import_it(tmp_path: Path) -> None:
    topic = make_course(tmp_path, manifest=with_extra("msgpack")).topic("01_tiny")
    right = SOLUTION.replace("return x / 2", "import msgpack\n        return x / len(msgpack.packb([1]))")

    report = examined(topic, right)

    assert (report.score, report.max_score, report.complaints) == (90.0, 90.0, ())
    assert examined(topic, SOLUTION.replace("return x / 2", "return 7")).tasks[1].score < 30.0


def test_an_extra_is_offered_where_it_is_missing_too(lacking: Topic) -> None:
    source = SOLUTION.replace("return x / 2", "import no_such_package\n        return x / 2")

    assert examined(lacking, source).complaints == ()


def test_a_report_without_the_extra_is_not_used_where_it_is_there(
    lacking: Topic, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, parcel = Course(lacking.folder.parent.parent), Submission("ada", "01_tiny", Path("tiny.py"), b"")
    report = Report("ada", "01_tiny", 3, "A", 0.1, (), (not_gradable(lacking.tasks[1]),))
    store.save(home, lacking, parcel, report)
    assert store.load(home, lacking, parcel, 3) == report

    monkeypatch.setattr(extras, "version", lambda extra: f"{extra} 1.0")

    assert store.load(home, lacking, parcel, 3) is None


def test_the_gradebook_waits_and_a_later_verdict_settles_it(course: Course) -> None:  # noqa: F811
    hand_in(course)
    graded = report_of()
    halve = Topic.task(make_topic(course.root / "other", manifest=with_extra("no_such_package")), "halve")
    open_one = Report("ada", "01_tiny", 7, "A", 0.1, (), (graded.tasks[0], not_gradable(halve)))

    gradebook.record(course, [open_one])

    assert grades_of(course)["halve"] == (None, True)
    assert SENTENCE in page_of(course)

    gradebook.record(course, [graded])

    assert grades_of(course)["halve"] == (30.0, False)


def test_the_teachers_table_shows_a_dash_and_says_why(lacking: Topic) -> None:
    from rich.console import Console

    console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(report_tables(lacking, [examined(lacking)]))

    text = console.export_text()
    assert f"1.2: {SENTENCE}; it is left out of every total" in text
    assert "All tests passed." in text


def test_what_students_get_names_the_extra(lacking: Topic) -> None:
    files = build.render(lacking)

    assert 'extra = "no_such_package"' in files["topic.toml"].decode()
    assert "1.2 needs `no_such_package`. Install it with pip." in files["README.md"].decode()
    assert "1.1 needs" not in files["README.md"].decode()


@pytest.mark.usefixtures("few_seeds")
def test_verify_leaves_the_task_out_and_keeps_its_signatures(tmp_path: Path) -> None:
    course = make_course(tmp_path, mistakes=ENOUGH)  # noqa: F811
    assert verify(course.topic("01_tiny"), has_lesson=False).findings == ()
    path = course.topic("01_tiny").known_path
    computed = path.read_bytes()
    assert b'"halve"' in computed
    (path.parent / "topic.toml").write_text(with_extra("no_such_package"))

    assert verify(Course(tmp_path).topic("01_tiny"), is_full=True, has_lesson=False).findings == ()

    assert found(path.read_bytes()) == found(computed)


def found(known: bytes) -> bytes:
    """A known.json without what holds for exactly these files only: topic.toml was changed in between."""
    return without_line("files", without_line("changes", known))


def test_an_extra_that_is_no_package_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AuthorError, match=r"task 'halve': extra 'no-such' is no package; name one"):
        make_topic(tmp_path, manifest=with_extra("no-such"))


def test_a_folder_of_that_name_is_no_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "runs_of_a_tool").mkdir()  # as W&B leaves a folder `wandb` beside the module
    monkeypatch.syspath_prepend(tmp_path)

    assert not extras.is_installed("runs_of_a_tool")


class TestAStudent:
    """Students read the same sentence, and need not do what they cannot try."""

    @pytest.fixture
    def folder(self, tmp_path: Path, lacking: Topic, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setenv("PYTHONPATH", str(Path(autograder.__file__).parents[1]))
        folder = tmp_path / "mine"
        folder.mkdir()
        for name, content in build.render(lacking).items():
            (folder / name).write_bytes(content)
        (folder / "tiny.py").write_text(SOLUTION)
        monkeypatch.chdir(folder)
        return folder

    @staticmethod
    def progress(task: str | None = None) -> Progress:
        found = check(task).progress
        assert found is not None
        return found

    def test_everything_else_done_is_all_done(self, folder: Path) -> None:
        assert self.progress().next_task is None
        text = repr(check())
        assert f"1.2 Halve: {SENTENCE}." in text
        assert "All of these tests pass." in text
        assert "reach 20 of 60 points" in text

    def test_its_import_is_no_fault(self, folder: Path) -> None:
        (folder / "tiny.py").write_text(f"{SOLUTION}\n\ndef later():\n    import no_such_package, no_other\n")

        (warning,) = self.progress().warnings

        assert "imports no_other, which this topic does not allow" in warning

    def test_the_task_alone_promises_nothing(self, folder: Path) -> None:
        text = repr(check("halve"))

        assert SENTENCE in text
        assert "pass" not in text
        assert SENTENCE in check("halve")._repr_html_()

    def test_pytest_calls_it_not_gradable_here(self, folder: Path) -> None:
        import subprocess

        command = [sys.executable, "-m", "pytest", "-p", "autograder.plugin", "-rs", "test_tiny.py"]
        environment = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment)

        assert done.returncode == 0
        assert "1 passed, 1 not gradable here" in done.stdout
