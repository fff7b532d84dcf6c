"""Every budget of a test or a submission ends in a sentence that names it; for a test it also names the task."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from examining import examine
from factory import SOLUTION, make_course

from autograder.explain import explain
from autograder.grading.intake.submission import Submission
from autograder.grading.mark.judge import Judge
from autograder.grading.run.proxy import Examinee, Student
from autograder.sandbox.ladder import climb
from autograder.sandbox.outside import line
from autograder.sandbox.outside.allowance import Allowance
from autograder.sandbox.outside.ends import LimitExceeded, WorkerDied
from autograder.sandbox.outside.zygotes import Zygote
from autograder.sandbox.rungs.launch import Limits

pytest_plugins = ["pytester"]

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
        opened.append(Examinee(zygote, module="basics", source=source.encode(), imports=("numpy",), seconds=of_all))
        try:
            for _ in range(2):  # the second test of a submission has what the first has left of its budget
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
        ("return bytes(16 << 20)", "softmax: your code returned more than 256 MB at once"),
        ("np.zeros((1 << 20, 1 << 20))", " used more memory than this assignment allows (line 3"),
        ("open('f', 'wb').write(bytes(1 << 26))", "f wrote more to files than a test may (line 3"),
        ("import threading as t, time; [t.Thread(target=time.sleep, args=(1,), daemon=True).start() for _ in range(99)]",
         " started more threads than a test may (line 3"),
        ("import os; os.fork()", "f raised PermissionError"),
        ("print('x' * 10**6); return 1", ""),  # it is thrown away, so it costs nothing
    ],
)  # fmt: skip
def test_over_a_budget_is_a_sentence(said: Said, body: str, words: str) -> None:
    assert words in said(body)
    assert words or said(body) == ""


@pytest.fixture(scope="module")
def frugal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judge]:
    """Judges a topic whose topic.toml allows little."""
    little = "memory = 512\ndisk = 2\nprocesses = 4\nanswers = 3"
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
def test_each_budget_of_topic_toml_holds_and_names_task_and_amount(frugal: Judge, body: str, words: str) -> None:
    source = SOLUTION.replace("doubled_at_last = _secret_helper(x)", body)

    report = frugal.examine(Submission("zoe", "01_tiny", Path("tiny.py"), source.encode()))

    assert words in report.tasks[0].results[0].sentence
    assert report.tasks[1].score == 30


def test_a_submission_has_a_budget_of_cpu_time_over_all_tests(said: Said) -> None:
    body = "import time\n    while time.process_time() < 0.6: pass"

    assert said(body, of_all=0.5) == ("softmax: your code has used up the 0.5 s of CPU time of the whole submission")


def test_a_submission_has_a_budget_of_bytes_over_all_tests() -> None:
    left = Allowance(seconds=1.0, bytes=0)

    assert left.used_up() == "your code has used up the 4096 MB that a whole submission may return"


def test_a_test_has_a_budget_of_steps(said: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line, "CALLS", 50)

    sentence = said("for _ in range(100): a[0](1)", lambda x: x)

    assert sentence == "softmax: more than 50 steps; does a loop never end?"


# --- idle time --------------------------------------------------------------------------------------------------------

NAPS = """
import time
def nap(seconds):
    time.sleep(seconds)
def spin(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end: pass
def echo(x): return x
"""


@pytest.fixture
def napping(zygote: Zygote) -> Iterator[Examinee]:
    examinee = Examinee(zygote, module="naps", source=NAPS.encode(), imports=("numpy",), idle=2.0)
    yield examinee
    examinee.close()


def test_a_submission_has_a_budget_of_waiting_over_all_tests_however_short_each_nap(
    napping: Examinee,
) -> None:
    started, naps = time.monotonic(), 0

    def nap() -> None:
        nonlocal naps
        while True:
            napping.start("softmax", 5.0)
            Student(napping).nap(0.05)
            naps += 1

    with pytest.raises(LimitExceeded) as caught:
        nap()

    assert str(caught.value) == (
        "softmax: your code has waited for 30 s without computing, over all tests of the submission; "
        "remove sleeps, input() and locks"
    )
    assert 15 <= naps <= 60  # 40 if nothing else runs
    assert time.monotonic() - started < 60.0


def test_a_wait_is_ended_where_the_budget_of_waiting_is(napping: Examinee) -> None:
    napping.allowance.idle = 1.0
    napping.start("softmax", 5.0)
    started = time.monotonic()

    with pytest.raises(LimitExceeded, match="has waited for 30 s without computing"):
        Student(napping).nap(60.0)

    assert time.monotonic() - started < 30.0


def test_computing_is_no_waiting_however_busy_the_machine_is(zygote: Zygote) -> None:
    budget = 600.0
    napping = Examinee(zygote, module="naps", source=NAPS.encode(), imports=("numpy",), idle=budget)
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(8)]
    try:
        napping.start("softmax", 20.0)
        started = time.monotonic()
        Student(napping).spin(1.0)
        for number in range(500):
            assert Student(napping).echo(number) == number
        elapsed = time.monotonic() - started
        napping.start("softmax", 20.0)  # settles
    finally:
        for process in busy:
            process.kill()
            process.wait()
        napping.close()

    assert budget - napping.allowance.idle < elapsed / 4  # the host may take a core from this machine unnoticed


def test_a_test_that_is_slow_here_is_no_waiting_there(napping: Examinee) -> None:
    napping.start("softmax", 20.0)
    Student(napping).echo(1)
    time.sleep(1.0)
    Student(napping).echo(1)
    napping.start("softmax", 20.0)

    assert napping.allowance.idle > 1.5


def test_a_worker_that_does_not_read_is_ended_in_time(zygote: Zygote) -> None:
    """The code calls the test's function, and sleeps with the interpreter's lock before the answer comes."""
    source = (
        "import ctypes, threading\n"
        "def f(ask):\n"
        "    threading.Timer(0.2, lambda: ctypes.PyDLL(None).sleep(60)).start()\n"
        "    return len(ask())\n"
    )
    examinee = Examinee(zygote, module="stops", source=source.encode(), imports=("numpy",), idle=1.0)
    examinee.start("softmax", 20.0)
    started = time.monotonic()

    def answer() -> Any:
        time.sleep(0.5)
        return np.zeros(1 << 20)

    with pytest.raises((LimitExceeded, WorkerDied)):
        Student(examinee).f(answer)
    assert time.monotonic() - started < 30.0
    examinee.close()


# --- patience ---------------------------------------------------------------------------------------------------------

TWO = """
import time
import numpy as np

def double(x):
    \"\"\"Twice x.\"\"\"
    return 2 * x

def triple(x):
    \"\"\"Three times x.\"\"\"
    return 3 * x

FACTOR = 2

class Halver:
    \"\"\"Halve.\"\"\"
    def __init__(self): self.count = 0
    def halve(self, x): return x / 2
"""
TESTS_OF_TWO = """
import numpy as np
import pytest
from autograder import probe

task = pytest.mark.task("double")

@task
@pytest.mark.parametrize("x", range(4))
def test_double(student, x):
    \"\"\"Two?\"\"\"
    assert student.double(x) == 2 * x

@task
@pytest.mark.parametrize("name", ["double", "triple"])
def test_by_name(student, name):
    \"\"\"Which?\"\"\"
    assert getattr(student, name)(1) in (2, 3)

@task
def test_triple(student):
    \"\"\"Three?\"\"\"
    assert student.triple(2) == 6

@task
def test_in_a_helper(student):
    \"\"\"Three?\"\"\"
    assert thrice(student) == 9

def thrice(student):
    return student.triple(3)

@task
def test_in_a_probe(student):
    \"\"\"Two?\"\"\"
    assert twice(student) == 8

@probe
def twice(module):
    return module.double(4)

@task
def test_both(student):
    \"\"\"Both?\"\"\"
    assert student.triple(student.double(1)) == 6

@task
def test_neither(student):
    \"\"\"Neither?\"\"\"
    assert student is not None
"""
NAMED = ('names = ["double", "FACTOR"]', 'names = ["double", "triple", "FACTOR"]')


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Any:
    course = make_course(tmp_path_factory.mktemp("two"), solution=TWO, hidden=TESTS_OF_TWO, manifest=NAMED)
    return course.topic("01_tiny")


def results_of(pytester: pytest.Pytester, topic: Any, zygote: Zygote, source: str) -> dict[str, dict[str, Any]]:
    _, (answer,) = examine(pytester, topic, zygote, [source])
    return {result["test"]: result for result in answer["results"]}


def test_what_a_function_does_costs_only_the_tests_of_that_function(
    pytester: pytest.Pytester, two: Any, zygote: Zygote
) -> None:
    source = TWO.replace("return 2 * x", "time.sleep(60)")

    results = results_of(pytester, two, zygote, source)

    outcomes = {test: result["outcome"] for test, result in results.items()}
    assert {test for test, outcome in outcomes.items() if outcome == "passed"} == {
        "test_by_name[triple]", "test_triple", "test_in_a_helper", "test_neither", "test_half_of_six_is_three",
    }  # fmt: skip
    ended = "your code waited for too long without computing; remove sleeps, input() and locks"
    tried = [test for test, result in results.items() if result["sentence"] == f"double: {ended}"]
    assert len(tried) == 2
    for test in ("test_in_a_probe", "test_both", "test_double[3]"):
        assert results[test]["sentence"] == (
            f"double: this test was not run: 2 tests of double were ended before it. The last one: {ended}"
        )
        assert (results[test]["kind"], results[test]["cause"]) == ("limit", "not_run")


def test_what_is_called_last_is_blamed_and_not_all_that_a_test_uses(
    pytester: pytest.Pytester, two: Any, zygote: Zygote
) -> None:
    both = TWO.replace("return 3 * x", "__import__('os')._exit(0)")

    results = results_of(pytester, two, zygote, both)

    assert results["test_in_a_probe"]["outcome"] == "passed"
    assert all(results[f"test_double[{x}]"]["outcome"] == "passed" for x in range(4))
    assert results["test_both"]["sentence"].startswith("double: this test was not run: 2 tests of triple were")


def test_all_waits_of_a_submission_together_end_in_time(
    pytester: pytest.Pytester, two: Any, zygote: Zygote, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autograder.grading.run.examination.IDLE_SECONDS", 2.0)
    source = TWO.replace("return 2 * x", "time.sleep(0.3); return 2 * x")
    started = time.monotonic()

    results = results_of(pytester, two, zygote, source.replace("return x / 2", "time.sleep(60)"))

    assert time.monotonic() - started < 50.0
    assert results["test_three_doubled_is_six"]["outcome"] == "passed"
    assert "over all tests of the submission" in results["test_in_a_probe"]["sentence"]
    assert {result.get("cause") for result in results.values()} == {None, "all_waited", "not_run"}


def test_an_answer_too_large_for_the_test_is_the_students(
    pytester: pytest.Pytester, two: Any, zygote: Zygote, tmp_path: Path
) -> None:
    """A MemoryError in the test itself, caused by what the student's code returned, breaks no report."""
    hidden = TESTS_OF_TWO.replace(
        "assert student.triple(2) == 6", "assert np.zeros((student.triple(2), 1 << 50)).any()"
    ).replace("assert student is not None", "np.zeros((9, 1 << 50)).any()")
    topic = make_course(tmp_path, solution=TWO, hidden=hidden, manifest=NAMED).topic("01_tiny")

    results = results_of(pytester, topic, zygote, TWO)

    assert (results["test_triple"]["outcome"], results["test_triple"]["kind"]) == ("failed", "limit")
    assert results["test_triple"]["sentence"] == (
        "double: what your code returned is too large for the test; return less"
    )
    assert results["test_triple"]["cause"] == "large"
    assert results["test_neither"]["outcome"] == "broken"  # the student's code was not called in it


@pytest.mark.parametrize("error", ["MemoryError", "RecursionError", "SystemError", "AssertionError"])
def test_whatever_reading_an_answer_raises_is_the_students(
    said: Said, error: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise getattr(__import__("builtins"), error)

    monkeypatch.setattr("autograder.sandbox.both.codec.size_of", fail)

    sentence = said("return np.zeros(2)")

    assert sentence in (
        "softmax: your code returned more than fits into memory",
        "softmax: your code answered with a malformed answer; return plain values",
        "softmax: your code answered with a malformed value (RecursionError); return plain values",
    )
