"""known.json says which state was verified in full, and it says so of no other state."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from factory import make_course
from test_verify import ENOUGH, few_seeds  # noqa: F401 (a fixture)

from autograder import extras, known
from autograder.authoring import gates, verified
from autograder.authoring.gates import DRAWN_MISTAKES
from autograder.authoring.verified import Difference, confirm, difference, last_verified, state, withdraw
from autograder.authoring.verify import verify
from autograder.errors import AuthorError
from autograder.grading.keep import store
from autograder.topic import Topic

SAME = Difference(files=False, lesson=False, engine=False)
USES = ("import pytest\n", "import pytest\nimport course_data\n")


@pytest.fixture
def topic(tmp_path: Path) -> Topic:
    """A topic after a verification in which every gate held; its hidden tests use a package of the course."""
    (tmp_path / "course_data").mkdir()
    (tmp_path / "course_data" / "__init__.py").write_text("SIZE = 3\n")
    topic = make_course(tmp_path, hidden=USES).topic("01_tiny")
    topic.known_path.write_bytes(
        known.write_known((), tests=["test_a"], cheap=(), slow=(), seeds=3, files="", changes={})
    )
    confirmed = confirm(topic, state(topic), 2)
    assert confirmed is not None
    topic.known_path.write_bytes(confirmed)
    return topic


def test_what_was_verified_is_the_same_until_something_changes(topic: Topic) -> None:
    before = last_verified(topic)

    assert before is not None
    assert (before.figures, before.left_out) == (2, ())
    assert difference(topic) == SAME
    assert known.read_known(topic).tests == ("test_a",)


@pytest.mark.parametrize(
    ("name", "is_lesson"),
    [
        ("topic.toml", True),
        ("tiny.py", True),
        ("lesson.py", True),
        ("test_tiny.py", True),
        ("test_tiny_hidden.py", False),
        ("mistakes.toml", False),
        ("data/digits.csv", True),
        ("../../course_data/__init__.py", False),
        ("../../course_data/weights.bin", False),
    ],
)
def test_each_file_belongs_to_the_state(topic: Topic, name: str, is_lesson: bool) -> None:
    path = topic.folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text((path.read_text() if path.exists() else "") + "\n")

    assert difference(topic) == Difference(files=True, lesson=is_lesson, engine=False)


def test_a_file_under_another_name_is_another_state(topic: Topic) -> None:
    (topic.folder / "a.csv").write_text("1\n")
    before = state(topic)

    (topic.folder / "a.csv").rename(topic.folder / "b.csv")

    assert state(topic).files != before.files


def test_caches_and_packages_that_nobody_imports_do_not_belong_to_it(topic: Topic) -> None:
    for folder in (
        topic.folder / "__pycache__",
        topic.folder / ".cache",
        topic.folder.parents[1] / "another",
    ):
        folder.mkdir()
        (folder / "__init__.py").write_text("")

    assert difference(topic) == SAME


@pytest.mark.parametrize(
    ("name", "belongs"),
    [
        ("used.py", True),
        ("used_by_used.py", True),
        ("inner/__init__.py", True),
        ("inner/weights.bin", True),
        ("inner/named.py", True),
        ("inner/tables/rows.csv", True),
        ("inner/.cache", False),
        ("nobody_imports_it.py", False),
        ("outer/__init__.py", False),
    ],
)
def test_of_a_package_the_modules_that_are_imported_belong_to_it(tmp_path: Path, name: str, belongs: bool) -> None:
    package = tmp_path / "course_data"
    for folder in ("inner", "outer"):
        (package / folder).mkdir(parents=True)
        (package / folder / "__init__.py").write_text("")
    (package / "inner" / "tables").mkdir()
    (package / "__init__.py").write_text("")
    (package / "used.py").write_text("from . import used_by_used\n")
    (package / "used_by_used.py").write_text("from .inner import named\n")
    for unread in ("inner/named.py", "inner/weights.bin", "inner/tables/rows.csv", "nobody_imports_it.py"):
        (package / unread).write_text("")
    topic = make_course(tmp_path, hidden=("import pytest\n", "import pytest\nimport course_data.used\n")).topic(
        "01_tiny"
    )
    before = state(topic)

    (package / name).write_text("SIZE = 4\n")

    assert (state(topic).files != before.files) == belongs


def test_a_typed_known_json_is_not_what_was_verified(topic: Topic) -> None:
    topic.known_path.write_text(topic.known_path.read_text().replace('["test_a"]', '["test_b"]'))

    assert difference(topic) == Difference(files=True, lesson=False, engine=False)


def test_another_engine_is_told_apart(topic: Topic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verified, "engine", lambda: "another")

    assert difference(topic) == Difference(files=False, lesson=False, engine=True)


def test_a_task_that_was_left_out_and_can_be_graded_now_is_a_change(topic: Topic) -> None:
    confirmed = known.with_line(
        "verified", vars(replace(state(topic), left_out=("halve",))), topic.known_path.read_bytes()
    )
    topic.known_path.write_bytes(confirmed)

    assert difference(topic).files


def test_a_task_that_is_left_out_now_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "is_installed", lambda _: False)
    topic = make_course(tmp_path, manifest=('names = ["Halver"]', 'names = ["Halver"]\nextra = "jax"')).topic("01_tiny")

    assert state(topic).left_out == ("halve",)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"verified": 1}', '{"verified": {"files": "x"}}'])
def test_a_damaged_known_json_was_not_verified(topic: Topic, text: str) -> None:
    topic.known_path.write_text(text)

    assert last_verified(topic) is None
    assert difference(topic) == Difference(files=True, lesson=True, engine=True)


def test_no_mark_follows_from_the_line(topic: Topic) -> None:
    marked = store.suite(topic)

    topic.known_path.write_bytes(withdraw(topic))

    assert last_verified(topic) is None
    assert store.suite(topic) == marked


@pytest.mark.usefixtures("few_seeds")
class TestVerify:
    @pytest.fixture
    def topic(self, tmp_path: Path) -> Topic:
        return make_course(tmp_path, mistakes=ENOUGH).topic("01_tiny")

    @pytest.fixture
    def lesson(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
        """Set what happens instead of the run of the lesson."""

        def happens(event: Callable[[], object]) -> None:
            def figures_of(*_: object) -> int:
                event()
                return 5

            monkeypatch.setattr(gates, "figures_of", figures_of)

        happens(lambda: None)
        return happens

    @pytest.mark.slow
    def test_a_verification_runs_the_lesson_and_says_so(self, topic: Topic) -> None:
        lesson = topic.lesson_path.read_text()
        figure = "# %%\nimport matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()\n\n# %% task"
        topic.lesson_path.write_text(lesson.replace("# %% task", figure, 1))

        assert verify(topic).findings == ()

        before = last_verified(topic)
        assert before is not None
        assert before.figures == 1
        assert difference(topic) == SAME

    @pytest.mark.slow
    def test_a_lesson_that_fails_is_found(self, topic: Topic) -> None:
        topic.lesson_path.write_text(topic.lesson_path.read_text().replace("with attempt():\n    ", ""))

        (finding,) = verify(topic).findings

        assert str(finding).startswith("the lesson runs: ")
        assert "this cell fails with the stub" in finding.sentence
        assert last_verified(topic) is None

    @pytest.mark.usefixtures("lesson")
    def test_a_gate_that_does_not_hold_withdraws_what_was_verified_before(self, topic: Topic) -> None:
        assert verify(topic).findings == ()
        said = known.said(topic)
        assert difference(topic) == SAME

        hidden = topic.hidden_tests_path.read_text()
        topic.hidden_tests_path.write_text(hidden.replace("student.FACTOR, 2,", "student.FACTOR, 3,"))
        assert verify(topic).findings
        topic.hidden_tests_path.write_text(hidden)

        assert last_verified(topic) is None
        assert known.said(topic) == said

    def test_a_lesson_that_fails_withdraws_it_too(
        self, topic: Topic, lesson: Callable[[Callable[[], object]], None]
    ) -> None:
        def fails() -> None:
            raise AuthorError("lesson.py:1: this cell fails")

        assert verify(topic).findings == ()
        lesson(fails)

        assert [str(finding) for finding in verify(topic).findings] == ["the lesson runs: lesson.py:1: this cell fails"]
        assert last_verified(topic) is None

    def test_an_edit_while_the_gates_are_tried_is_not_verified(
        self, topic: Topic, lesson: Callable[[Callable[[], object]], None]
    ) -> None:
        lesson(lambda: topic.mistakes_path.write_text(topic.mistakes_path.read_text() + "\n"))

        verdict = verify(topic)

        assert verdict.findings == ()
        assert "a file was changed while its gates were tried; verify it again" in verdict.remarks
        assert last_verified(topic) is None

    @pytest.mark.usefixtures("lesson")
    def test_a_run_without_the_lesson_and_a_quick_one_verify_nothing(self, topic: Topic) -> None:
        assert verify(topic, has_lesson=False).findings == ()
        before = topic.known_path.read_bytes()

        assert verify(topic, is_quick=True).findings == ()

        assert last_verified(topic) is None
        assert topic.known_path.read_bytes() == before

    def test_a_sample_is_drawn_and_the_same_draw_is_the_same_sample(
        self, topic: Topic, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(gates, "DRAWN_SEEDS", 0)
        verify(topic, has_lesson=False)
        steps: dict[int, list[str]] = {}
        for run, number in enumerate((1, 1, 2)):
            heard = steps.setdefault(run, [])
            verdict = verify(topic, is_quick=True, sample=random.Random(number), on_step=heard.append)
            assert verdict.findings == ()

        assert len(topic.mistakes) > DRAWN_MISTAKES
        assert sum(step.startswith("a mistake is caught") for step in steps[0]) == DRAWN_MISTAKES
        assert steps[0] == steps[1] != steps[2]
