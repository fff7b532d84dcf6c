"""Reports are used again if they are current, and only then."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from factory import make_course

from autograder.errors import CourseError
from autograder.grading.intake.submission import Submission
from autograder.grading.keep import store
from autograder.report import Report, TaskReport, TestResult

SEED = 7


@pytest.fixture
def course(tmp_path):
    return make_course(tmp_path)


@pytest.fixture
def topic(course):
    return course.topic("01_tiny")


def handed_in(student="ada", source=b"pass"):
    return Submission(student, "01_tiny", None, source)


def report_of(student="ada", outcome="passed"):
    result = TestResult("test_x", "double", 1.0, False, outcome, "", "Think.", 0.1)
    tasks = (TaskReport("double", 0.1 + 0.2, 60.0, (result,), ""),)
    return Report(student, "01_tiny", SEED, "A", 0.1, ("a complaint",), tasks)


def test_a_kept_report_comes_back_to_the_last_digit(course, topic):
    store.save(course, topic, handed_in(), report_of())

    assert store.load(course, topic, handed_in(), SEED) == report_of()


@pytest.mark.parametrize(
    "change",
    [
        {"source": b"pass  # changed"},
        {"source": None},
        {"complaints": ("taken under another name",)},
    ],
)
def test_another_submission_is_judged_again(course, topic, change):
    store.save(course, topic, handed_in(), report_of())

    assert store.load(course, topic, replace(handed_in(), **change), SEED) is None


def test_another_seed_suite_or_engine_is_judged_again(course, topic, monkeypatch):
    store.save(course, topic, handed_in(), report_of())

    assert store.load(course, topic, handed_in(), SEED + 1) is None
    with monkeypatch.context() as patch:
        patch.setattr(store, "engine", lambda: "another")
        assert store.load(course, topic, handed_in(), SEED) is None
    topic.hidden_tests_path.write_text(topic.hidden_tests_path.read_text() + "\n# changed\n")
    assert store.load(course, topic, handed_in(), SEED) is None


def test_a_broken_report_is_kept_to_be_read_and_not_used_again(course, topic):
    broken = report_of(outcome="broken")
    store.save(course, topic, handed_in(), broken)

    assert store.load(course, topic, handed_in(), SEED) is None
    assert store.reports(course, "01_tiny") == (broken,)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"fingerprint": 1}', '{"fingerprint": "x", "report": {}}'])
def test_a_damaged_file_counts_as_no_report(course, topic, text):
    path = store.save(course, topic, handed_in(), report_of())
    path.write_text(text)

    assert store.load(course, topic, handed_in(), SEED) is None
    assert store.reports(course, "01_tiny") == ()


def leaves(record, way=()):
    """Every place in a record, as a list of keys."""
    items = record.items() if isinstance(record, dict) else enumerate(record) if isinstance(record, list) else ()
    for key, value in items:
        yield (*way, key)
        yield from leaves(value, (*way, key))


@pytest.mark.parametrize("value", ["a text", [], {}, None, 10**400, float("nan"), float("inf"), True, [[]], -1.5])
def test_a_report_with_any_damaged_value_counts_as_none_or_can_be_used(course, topic, value):
    path = store.save(course, topic, handed_in(), report_of())
    whole = json.loads(path.read_text())
    for way in list(leaves(whole["report"])):
        damaged = json.loads(json.dumps(whole))
        place = damaged["report"]
        for key in way[:-1]:
            place = place[key]
        place[way[-1]] = value
        path.write_text(json.dumps(damaged))

        for report in store.reports(course, "01_tiny"):
            assert report.score + report.seconds < 1e9
            assert json.dumps(report.to_json())
            results = [result for task in report.tasks for result in task.results]
            assert all(isinstance(result.sentence + result.lesson + result.told, str) for result in results)


def test_a_report_that_nests_without_end_counts_as_none(course, topic):
    path = store.save(course, topic, handed_in(), report_of())
    path.write_text("[" * 1_000_000)

    assert store.reports(course, "01_tiny") == ()


def test_a_damaged_seed_is_a_sentence_and_is_not_drawn_again(course):
    store.class_seed(course, "01_tiny")
    path = course.cache / "reports" / "01_tiny" / "seed"
    path.write_text("x")

    with pytest.raises(CourseError, match="seed: holds no number; write the seed from a report into it"):
        store.class_seed(course, "01_tiny")
    assert path.read_text() == "x"


@pytest.mark.parametrize("student", ["..", "a/b", "../../x", "ä ö", "x" * 300, "seed", "a\x00b", "a\udcffb"])
def test_any_name_has_a_file_of_its_own_in_the_folder(course, topic, student):
    path = store.save(course, topic, handed_in(student), report_of("ada"))

    assert path.parent == course.cache / "reports/01_tiny"
    assert store.load(course, topic, handed_in(student), SEED) is not None


def test_reports_come_in_the_order_of_names(course, topic):
    for name in ("cyd", "ada", "bob"):
        store.save(course, topic, handed_in(name), report_of(name))

    assert [report.student for report in store.reports(course, "01_tiny")] == ["ada", "bob", "cyd"]


def test_the_seed_is_drawn_once_for_the_class_however_many_ask_at_once(course):
    with ThreadPoolExecutor(16) as pool:
        drawn = set(pool.map(lambda _: store.class_seed(course, "01_tiny"), range(64)))

    assert len(drawn) == 1
    assert sorted(path.name for path in (course.cache / "reports/01_tiny").iterdir()) == ["seed"]


def test_each_assignment_has_its_own_seed(course):
    seeds = {store.class_seed(course, f"0{number}_x") for number in range(8)}

    assert len(seeds) > 1
