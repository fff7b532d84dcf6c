"""Every budget of a test or a submission ends in a sentence that names it, and the task where it is a test's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from factory import SOLUTION, make_course

from autograder.faults import explain
from autograder.grading.judge import Judge
from autograder.grading.proxy import Examinee, Student
from autograder.grading.submission import Submission
from autograder.sandbox import line
from autograder.sandbox.allowance import Allowance
from autograder.sandbox.ladder import climb
from autograder.sandbox.rungs import Limits
from autograder.sandbox.zygotes import Zygote

Said = Callable[..., str]


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    rung = climb("A")
    if not rung.holds:
        pytest.skip(rung.reason)
    with Zygote("A", ("numpy",), Limits(memory_mb=1024, scratch_mb=16)) as zygote:
        yield zygote


@pytest.fixture
def said(zygote: Zygote) -> Iterator[Said]:
    """Calls f of a module in a test of the task `softmax`, and returns what the student is told."""
    opened: list[Examinee] = []

    def call(body: str, *arguments: Any, seconds: float = 1.0, of_all: float = 60.0) -> str:
        source = f"import numpy as np\ndef f(*a):\n    {body}\n"
        opened.append(
            Examinee(zygote, module="basics", source=source.encode(), imports=("numpy",), seconds=of_all)
        )
        try:
            for _ in range(2):  # the second test of a submission finds what the first has left of its budget
                opened[0].start("softmax", seconds)
                Student(opened[0]).f(*arguments)
        except BaseException as error:
            return explain(error, module="basics").sentence
        return ""

    yield call
    for examinee in opened:
        examinee.close()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("while True: pass", "softmax: your code used more than 1 s of CPU time; look for an endless"),
        ("import time; time.sleep(60)", "softmax: your code waited for too long without computing"),
        ("return np.zeros(40 << 20)", "softmax: your code returned more than 256 MB at once"),
        ("np.zeros((1 << 20, 1 << 20))", " used more memory than this assignment allows (line 3"),
        ("open('f', 'wb').write(bytes(1 << 26))", "f wrote more to files than a test may (line 3"),
        ("import threading as t, time; [t.Thread(target=time.sleep, args=(1,), daemon=True).start() for _ in range(99)]",
         " started more threads than a test may (line 3"),
        ("import os; os.fork()", "f raised PermissionError"),
        ("print('x' * 10**6); return 1", ""),  # goes nowhere, so it costs nobody anything
    ],
)  # fmt: skip
def test_over_a_budget_is_a_sentence(said: Said, body: str, words: str) -> None:
    assert words in said(body)
    assert words or said(body) == ""


@pytest.fixture(scope="module")
def frugal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judge]:
    """Judges a topic whose topic.toml allows little."""
    little = "memory = 512\nfiles = 2\nprocesses = 4\nanswers = 3"
    course = make_course(tmp_path_factory.mktemp("course"), manifest=("memory = 1024", little))
    with Judge(course.topic("01_tiny"), seed=1) as judge:
        yield judge


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("return bytearray(1 << 30)", "double: double used more memory than this assignment allows, 512 MB (line"),
        ("open('f', 'wb').write(bytes(3 << 20))", "double: double wrote more to files than a test may, 2 MB (line"),
        ("import threading as t, time; [t.Thread(target=time.sleep, args=(1,), daemon=True).start() for _ in range(9)]",
         " started more threads than a test may, 4 at once (line"),
        ("import numpy as np; return np.zeros(1 << 19)", "double: your code returned more than 256 MB at once, or 3 MB in one test"),
    ],
)  # fmt: skip
def test_each_budget_of_topic_toml_holds_and_names_task_and_amount(
    frugal: Judge, body: str, words: str
) -> None:
    source = SOLUTION.replace("doubled_at_last = _secret_helper(x)", body)

    report = frugal.examine(Submission("zoe", "01_tiny", Path("tiny.py"), source.encode()))

    assert words in report.tasks[0].results[0].sentence
    assert report.tasks[1].score == 30


def test_a_submission_has_a_budget_of_cpu_time_over_all_tests(said: Said) -> None:
    body = "import time\n    while time.process_time() < 0.6: pass"

    assert said(body, of_all=0.5) == (
        "softmax: your code has used up the 0.5 s of CPU time of the whole submission"
    )


def test_a_submission_has_a_budget_of_bytes_over_all_tests() -> None:
    left = Allowance(seconds=1.0, bytes=0)

    assert left.used_up() == "your code has used up the 4096 MB that a whole submission may return"


def test_a_test_has_a_budget_of_steps(said: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line, "_MAX_CALLS", 50)

    sentence = said("for _ in range(100): a[0](1)", lambda x: x)

    assert sentence == "softmax: more than 50 steps; does a loop never end?"
