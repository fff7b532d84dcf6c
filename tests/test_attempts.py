"""The number of attempts can be limited, and students can be told only the score of hidden tests."""

from dataclasses import replace

import pytest
from factory import make_course, make_topic

from autograder.authoring.build import render
from autograder.authoring.release import release
from autograder.errors import AuthorError
from autograder.grade import _class
from autograder.grading.intake.attempts import admit
from autograder.grading.intake.submission import Submission
from autograder.recording.feedback import said
from autograder.report import TaskReport, TestResult

ID = "01_tiny"
LIMIT = ("memory = 1024", "memory = 1024\nattempts = 2")
SCORES = ("memory = 1024", 'memory = 1024\nfeedback = "scores"')


@pytest.fixture
def course(tmp_path):
    return make_course(tmp_path, manifest=LIMIT)


def parcel(course, code, student="ada"):
    return Submission(student, ID, course.root, code if code is None else code.encode())


def test_beyond_the_limit_the_last_module_that_counted_is_used_and_a_sentence_says_so(course):
    topic = course.topic(ID)
    for code in ("a = 1", "a = 2"):
        assert admit(course, topic, parcel(course, code)) == parcel(course, code)

    admitted = admit(course, topic, parcel(course, "a = 3"))

    assert admitted.source == b"a = 2"
    assert admitted.complaints == (
        "You may hand in tiny.py 2 times, and you did. This one was not examined; the mark of the last one that "
        "counted stays.",
    )


def test_the_same_module_again_is_no_new_attempt(course):
    topic = course.topic(ID)

    for code in ("a = 1", "a = 1", "a = 2", "a = 1"):
        assert admit(course, topic, parcel(course, code)) == parcel(course, code)


def test_a_parcel_without_a_module_is_no_attempt(course):
    topic = course.topic(ID)
    for _ in range(3):
        assert admit(course, topic, parcel(course, None)).source is None

    assert admit(course, topic, parcel(course, "a = 1")).source == b"a = 1"


def test_each_student_has_attempts_of_their_own(course):
    topic = course.topic(ID)
    for code in ("a = 1", "a = 2"):
        admit(course, topic, parcel(course, code))

    assert admit(course, topic, parcel(course, "a = 3", student="bob")).source == b"a = 3"


def test_ten_attempts_are_counted_as_numbers(tmp_path):
    course = make_course(tmp_path, manifest=("memory = 1024", "memory = 1024\nattempts = 11"))
    topic = course.topic(ID)
    for number in range(11):
        admit(course, topic, parcel(course, f"a = {number}"))

    assert admit(course, topic, parcel(course, "a = 99")).source == b"a = 10"


def test_without_a_limit_nothing_is_counted(tmp_path):
    course = make_course(tmp_path)

    assert admit(course, course.topic(ID), parcel(course, "a = 1")) == parcel(course, "a = 1")
    assert not course.cache.exists()


@pytest.mark.slow
def test_grading_a_class_counts(course):
    release(course)
    module = course.submitted / "ada" / ID / "tiny.py"
    module.parent.mkdir(parents=True)
    for code in ("a = 1", "a = 2"):
        module.write_text(code)
        _class(course, course.topic(ID))
    module.write_text("a = 3")

    (taken,) = _class(course, course.topic(ID))

    assert taken.source == b"a = 2"


def test_students_read_the_limit_on_their_first_page(course, tmp_path):
    unlimited = make_topic(tmp_path / "other" / ID)

    assert "You may hand in 2 different versions." in render(course.topic(ID))["README.md"].decode()
    assert "different versions" not in render(unlimited)["README.md"].decode()


def test_feedback_of_scores_only_tells_what_the_public_tests_tell(tmp_path):
    topic = make_topic(tmp_path, manifest=SCORES)
    public = TestResult("test_a", "double", 1.0, False, "failed", "double: wrong value.", "Think.", 0.0)
    hidden = replace(public, test="test_b", is_hidden=True, sentence="secret", lesson="secret")
    task = TaskReport("double", 20.0, 60.0, (public, hidden), "Doubling adds a number to itself.")

    words = said(task, topic)

    assert words == ("1.1 Double: the score, and what the public tests say\n- double: wrong value.\n  Think.")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("attempts = -1", r"topic\.toml: attempts is -1; give a number such as 5"),
        ('feedback = "none"', r"""topic\.toml: feedback is 'none'; write "hints" or "scores\""""),
    ],
)
def test_a_policy_that_is_none_is_refused(tmp_path, line, message):
    with pytest.raises(AuthorError, match=message):
        make_topic(tmp_path, manifest=("memory = 1024", f"memory = 1024\n{line}"))


def test_files_that_are_no_attempts_do_not_count_and_nothing_is_overwritten(course):
    topic = course.topic(ID)
    admit(course, topic, parcel(course, "a = 1"))
    folder = course.cache / "attempts" / ID / "ada"
    (folder / "1.py").rename(folder / "2.py")
    (folder / "copy of 1.py").write_text("a = 9")

    assert admit(course, topic, parcel(course, "a = 3")).source == b"a = 3"
    assert {path.name for path in folder.iterdir()} == {"2.py", "3.py", "copy of 1.py"}
    assert (folder / "2.py").read_text() == "a = 1"
