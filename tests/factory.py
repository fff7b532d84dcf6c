"""Make miniature courses for tests: one tiny, complete topic, with any file replaced or edited.

course = make_course(tmp_path)                                        a good one
course = make_course(tmp_path, solution=("return 2 * x", "pass"))     one edit: (find, replace)
course = make_course(tmp_path, hidden="")                             a whole file replaced
"""

from __future__ import annotations

from pathlib import Path

from autograder.course import Course
from autograder.topic import Topic, read_topic

Edit = str | tuple[str, str] | None  #: a whole text, a replacement, or None to leave the file out

MANIFEST = """\
title = "Tiny"
summary = "Double a number, and halve it again."
module = "tiny"
objectives = ["say what doubling does"]
imports = ["numpy"]
memory = 1024

[tasks.double]
number = "1.1"
title = "Double"
names = ["double", "FACTOR"]
points = 60
seconds = 2

[tasks.halve]
number = "1.2"
title = "Halve"
names = ["Halver"]
points = 30
"""

SOLUTION = '''\
"""Double and halve."""

from __future__ import annotations

### BEGIN SOLUTION
FACTOR = 2


def _secret_helper(x):
    return x * FACTOR
### END SOLUTION


def double(x):
    """Double a number.

    Args:
        x: any number

    Returns:
        twice x
    """
    ### BEGIN SOLUTION
    doubled_at_last = _secret_helper(x)
    return doubled_at_last
    ### END SOLUTION


class Halver:
    """Halve numbers, and count how many."""

    def __init__(self):
        self.count = 0

    def halve(self, x):
        """Return half of x."""
        ### BEGIN SOLUTION
        self.count += 1
        return x / 2
        ### END SOLUTION
'''

LESSON = """\
# %% [markdown]
# # Tiny
# A number, doubled.

# %%
# %load_ext autoreload
# %autoreload 2
from autograder import attempt, check
import tiny

# %%
with attempt():
    print("twice three is", tiny.double(3))

# %% task="double"
check("double")

# %% task="halve"
check("halve")

# %% [markdown] question="why_double" points=5
# Why would anyone double a number?

# %% [markdown] question="why_halve" points=5
# Why would anyone halve it again?
"""

PUBLIC = '''\
"""Public tests of the tiny topic."""

import pytest
from autograder import expect


@pytest.mark.task("double")
def test_three_doubled_is_six(student):
    """Twice a number is the number added to itself."""
    expect.equal(student.double(3), 6, what="double")


@pytest.mark.task("halve")
def test_half_of_six_is_three(student):
    """Half of a number, added to itself, is the number."""
    expect.equal(student.Halver().halve(6), 3.0, what="Halver.halve")
'''

HIDDEN = '''\
"""Hidden tests of the tiny topic."""

import pytest
from autograder import expect


@pytest.mark.task("double")
def test_a_drawn_number_is_doubled(student, reference, rng):
    """Doubling works for any number, drawn at random too."""
    number_nobody_knows = int(rng.integers(10, 1000))
    expect.equal(student.double(number_nobody_knows), reference.double(number_nobody_knows), what="double")


@pytest.mark.task("double")
def test_the_factor_is_two(student):
    """The factor of doubling is a whole number."""
    expect.equal(student.FACTOR, 2, what="FACTOR")


@pytest.mark.task("halve", weight=1.5)
def test_each_call_is_counted(student):
    """The count grows by one with each call."""
    halver_under_test = student.Halver()
    halver_under_test.halve(6)
    expect.equal(halver_under_test.count, 1, what="Halver.count")
'''

MISTAKES = """\
[[change]]
task = "double"
find = "return x * FACTOR"

[[change.mistake]]
name = "squared instead of doubled"
replace = "return x ** FACTOR"
hint = "Doubling adds a number to itself."

[[change.alternative]]
name = "adds the number to itself"
replace = "return x + x"

[[change]]
task = "halve"
find = "self.count += 1"

[[change.mistake]]
name = "never counted the calls"
replace = "pass"
hint = "Each call adds one to the count."
"""

TEXTS = {
    "manifest": MANIFEST,
    "solution": SOLUTION,
    "lesson": LESSON,
    "public": PUBLIC,
    "hidden": HIDDEN,
    "mistakes": MISTAKES,
}


def make_course(root: Path, topic_id: str = "01_tiny", **edits: Edit) -> Course:
    """Write a course of one topic below `root`; edits are named by the keys of TEXTS."""
    make_topic(root / "assignments" / topic_id, **edits)
    (root / "nbgrader_config.py").write_text('c = get_config()\nc.CourseDirectory.course_id = "tiny"\n')
    return Course(root)


def make_topic(folder: Path, **edits: Edit) -> Topic:
    """Write the six files of the tiny topic into a folder and read them."""
    write_files(folder, **edits)
    return read_topic(folder)


def write_files(folder: Path, **edits: Edit) -> None:
    """Write the files of the tiny topic, as they are named in its folder."""
    names = {
        "manifest": "topic.toml",
        "solution": "tiny.py",
        "lesson": "lesson.py",
        "public": "test_tiny.py",
        "hidden": "test_tiny_hidden.py",
        "mistakes": "mistakes.toml",
    }
    folder.mkdir(parents=True, exist_ok=True)
    assert set(edits) <= set(names), f"no such file to edit: {sorted(set(edits) - set(names))}"
    for key, name in names.items():
        text = _edited(TEXTS[key], edits.get(key, ("", "")))
        if text is not None:
            (folder / name).write_text(text, encoding="utf-8")


def _edited(text: str, edit: Edit) -> str | None:
    if not isinstance(edit, tuple):
        return edit
    find, replace = edit
    assert find in text, f"the tiny topic holds no {find!r} to replace"
    return text.replace(find, replace, 1)
