"""What a student sees in a pytest run, and that the plugin does nothing elsewhere."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET

import numpy  # noqa: F401 - pytester forgets what a run imports, and NumPy can be imported only once
import pytest

from autograder.student import (
    deadline,
    run,
)  # imported here for the same reason: the patched code must be the code that runs

pytest_plugins = ["pytester"]

TESTS = '''
import numpy as np
import pytest
from autograder import expect


@pytest.mark.task("relu", weight=3)
def test_negatives_become_zero(student):
    """What is left of a negative number?"""
    expect.close(student.relu(np.array([-1.0, 2.0])), [0, 2], "relu", hint="why?")


@pytest.mark.task("relu")
def test_positives_stay(student, rng):
    """Nothing happens to a positive number."""
    x = rng.uniform(1, 2, size=4)
    expect.close(student.relu(x), x, "relu")


@pytest.mark.task("softmax")
def test_the_shares_of_a_row_add_up_to_one(student):
    """Divide by the sum of the row."""
    expect.close(student.softmax(np.zeros((2, 4))), np.full((2, 4), 0.25), "softmax")
'''
STUB = """
def relu(x):
    raise NotImplementedError("relu: not started")


def softmax(x):
    raise NotImplementedError("softmax: not started")
"""
RIGHT = """
import numpy as np


def relu(x):
    return np.maximum(x, 0)


def softmax(x):
    e = np.exp(x)
    return e / e.sum(axis=1, keepdims=True)
"""
CARD = """
title = "First steps"
imports = ["numpy"]
[tasks.relu]
number = "1.1"
title = "ReLU"
points = 40
public_points = 20
[tasks.softmax]
number = "1.2"
title = "Softmax"
points = 50
public_points = 15.5
"""


@pytest.fixture
def folder(pytester, monkeypatch):
    """A topic's folder as a student has it; returns a function that writes the module and runs pytest."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("COLUMNS", "160")
    pytester.makepyfile(test_steps=TESTS)
    pytester.path.joinpath("topic.toml").write_text(CARD)

    def run_pytest(source, *arguments, tests=None):
        if tests is not None:
            pytester.makepyfile(test_steps=tests)
        if source is not None:
            pytester.path.joinpath("steps.py").write_text(source)
        return pytester.runpytest("-p", "autograder.plugin", "--strict-markers", *arguments)

    return run_pytest


def test_a_stub_reads_as_not_started_and_not_as_a_failure(folder):
    result = folder(STUB)

    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines([
        "test_steps.py ---*",
        "*1.1 ReLU*not started*0 of 20 points",
        "*Next: 1.1 ReLU",
        "    relu: not started yet.",
        "*3 not started in*",
    ])  # fmt: skip
    result.stdout.no_fnmatch_line("*FAILURES*")
    result.stdout.no_fnmatch_line("*Traceback*")


def test_a_right_module_passes_and_is_promised_nothing(folder):
    result = folder(RIGHT)

    assert result.ret == 0
    result.stdout.fnmatch_lines([
        "*ReLU*2 of 2 tests*20 of 20 points",
        "*Softmax*15.5 of 15.5 points",
        "*All of these tests pass. Hidden tests look further*",
        "*Public tests reach 35.5 of 90 points; hidden tests decide the rest.",
    ])  # fmt: skip


def test_a_wrong_value_is_one_sentence_with_the_lesson_and_the_place(folder):
    result = folder(RIGHT.replace("np.maximum(x, 0)", "x"))

    lines = result.outlines
    start = next(i for i, line in enumerate(lines) if "FAILURES" in line)
    assert lines[start + 2 : start + 7] == [
        "relu: wrong value at [0]. Got -1, expected 0 (largest difference 1): why?",
        "Think: What is left of a negative number?",
        '  > expect.close(student.relu(np.array([-1.0, 2.0])), [0, 2], "relu", hint="why?")',
        "The test: test_steps.py:9",
        "Run it alone: pytest -k test_negatives_become_zero",
    ]
    result.stdout.fnmatch_lines(["*ReLU*1 of 2 tests*5 of 20 points", "    pytest -k test_negatives_become_zero"])
    result.stdout.no_fnmatch_line("*short test summary*")
    result.stdout.no_fnmatch_line("*expect.py*")


def test_an_exception_shows_the_students_own_frames_only(folder):
    source = RIGHT.replace("return np.maximum(x, 0)", "return inner(x)") + (
        "\n\ndef inner(x):\n    return np.dot(x, np.ones(7))\n"
    )

    result = folder(source, "-k", "negatives")

    result.stdout.fnmatch_lines([
        "inner raised ValueError: shapes (2,) and (7,) not aligned:*(line 15 of steps.py: `return np.dot*",
        "  steps.py:6 in relu",
        "      return inner(x)",
        "  steps.py:15 in inner",
    ])  # fmt: skip
    result.stdout.no_fnmatch_line("*numpy/*")


def test_a_narrow_terminal_without_such_letters_is_written_to_as_well(folder, pytester, monkeypatch):
    pytester.path.joinpath("steps.py").write_text(STUB)
    monkeypatch.setenv("PYTHONPATH", ":".join(sys.path))
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")

    def shown(columns):
        monkeypatch.setenv("COLUMNS", columns)
        command = [sys.executable, "-m", "pytest", "-p", "autograder.plugin"]
        return subprocess.run(command, capture_output=True, text=True).stdout

    assert "  1.1 ReLU     ----------  not started  0 of 20 points" in shown("80").splitlines()
    assert "  1.1 ReLU     not started  0 of 20 points" in shown("45").splitlines()


def test_a_traceback_that_is_asked_for_shows_no_frame_of_ours(folder):
    source = RIGHT.replace("np.maximum(x, 0)", "x")
    for style in ("short", "long", "native"):
        result = folder(source, f"--tb={style}")
        result.stdout.fnmatch_lines(["*test_steps.py*", "*Mismatch: relu: wrong value*"])
        result.stdout.no_fnmatch_line("*expect.py*")

    folder(source, "--tb=long", "--full-trace").stdout.fnmatch_lines(["*expect.py*"])


def test_frames_of_ours_between_the_test_and_the_student_are_left_out(folder):
    tests = TESTS.replace(
        'expect.close(student.relu(np.array([-1.0, 2.0])), [0, 2], "relu", hint="why?")',
        "x = np.array([1.0, 2.0])\n    expect.gradient(lambda x: student.relu(x), x, x, x, 'relu')",
    )
    result = folder(RIGHT.replace("np.maximum(x, 0)", "x @ np.ones(7)"), "-k", "negatives", "--tb=short", tests=tests)

    result.stdout.fnmatch_lines(
        ["test_steps.py:10: in test_neg*", "test_steps.py:10: in <lambda>", "steps.py:6: in relu"]
    )
    result.stdout.no_fnmatch_line("*expect.py*")


def test_the_sizes_in_the_line_that_failed_are_said(folder):
    source = RIGHT.replace(
        "return np.maximum(x, 0)", "w = np.ones((7, 2))\n    n = 3\n    return x @ w.reshape(7, 2) * n"
    )

    result = folder(source, "-k", "negatives")

    result.stdout.fnmatch_lines(["There x is (2,), w is (7, 2), n is 3."])


def test_of_each_task_the_first_failing_test_is_shown_in_full(folder):
    result = folder(RIGHT.replace("np.maximum(x, 0)", "None"))

    shown = [line for line in result.outlines if line.startswith("  > ")]
    assert shown == ['  > expect.close(student.relu(np.array([-1.0, 2.0])), [0, 2], "relu", hint="why?")']
    result.stdout.fnmatch_lines(["Run it alone: pytest -k test_positives_stay"])


@pytest.mark.parametrize(
    "body",
    [
        "while True:\n        pass",
        "import time\n    time.sleep(9)",
        "while True:\n        try:\n            1 / 0\n        except Exception:\n            pass",
    ],
)
def test_a_loop_without_an_end_is_ended_and_its_line_is_named(folder, monkeypatch, body):
    monkeypatch.setattr(deadline, "_TIMES", 0.02)
    monkeypatch.setattr(deadline, "_SLEEPS", 2)
    monkeypatch.setattr(run, "_LEAST", 0.2)

    result = folder(RIGHT.replace("return np.maximum(x, 0)", body))

    result.stdout.fnmatch_lines([
        "test_steps.py Fx. *",
        "relu was still running after 0 seconds (line * of steps.py: *: is there a loop without an end[?]",
        "*1.2 Softmax*1 of 1 test*",
    ])  # fmt: skip


def _leave(number, frame):
    raise SystemExit


@pytest.mark.parametrize(
    "handler",
    [signal.SIG_IGN, _leave],
    ids=["ignored, as in a script's `pytest &`", "an exit, as a library's"],
)
def test_a_loop_is_ended_whatever_an_interrupt_does_otherwise(folder, monkeypatch, handler):
    monkeypatch.setattr(run, "_LEAST", 0.2)
    before = signal.signal(signal.SIGINT, handler)
    try:
        result = folder(RIGHT.replace("return np.maximum(x, 0)", "while True:\n        pass"))
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, before)

    result.stdout.fnmatch_lines(["relu was still running after 0 seconds*"])


def test_a_debugger_has_all_the_time_it_needs(folder, pytester, monkeypatch):
    monkeypatch.setattr(deadline, "_TIMES", 0.02)
    monkeypatch.setattr(deadline, "_SLEEPS", 1)
    monkeypatch.setattr(run, "_LEAST", 0.1)
    slow = RIGHT.replace("return np.m", "import time\n    time.sleep(0.6)\n    return np.m")

    assert folder(slow).ret == 1
    assert folder(slow, "--pdb").ret == 0


def test_k_finds_the_tests_of_a_function(folder, pytester):
    card = CARD.replace('title = "Softmax"', 'title = "Softmax"\nnames = ["softmax", "log_softmax"]')
    pytester.path.joinpath("topic.toml").write_text(card.replace("tasks.softmax", "tasks.shares"))

    result = folder(RIGHT, "-k", "softmax", tests=TESTS.replace('task("softmax")', 'task("shares")'))

    result.assert_outcomes(passed=1, deselected=2)


def test_k_without_a_test_is_answered_by_the_tasks(folder):
    result = folder(RIGHT, "-k", "sofmax")

    result.stdout.fnmatch_lines(["No test fits -k sofmax. Did you mean softmax? The tasks are relu, softmax."])


def test_the_tests_come_in_their_own_order_from_several_processes(folder, pytester, monkeypatch):
    pytest.importorskip("xdist")
    monkeypatch.setenv("PYTHONPATH", ":".join(sys.path))
    pytester.path.joinpath("steps.py").write_text(RIGHT.replace("np.maximum(x, 0)", "None"))

    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "autograder.plugin", "-p", "xdist", "-n", "2"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert "Think: What is left of a negative number?" in run.stdout
    assert "  Next: 1.1 ReLU\n    pytest -k test_negatives_become_zero" in run.stdout
    assert "    Nothing happens" not in run.stdout.split("Next:")[1]


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        (
            "def relu(x:\n    return x\n",
            "steps.py is not valid Python 3.*: * (line 1 of steps.py: `def relu(x:`).",
        ),
        (
            "import numpy as np\nnp.nothing\n",
            "steps.py cannot be imported. It raised AttributeError: *(line 2*",
        ),
        ("import sys\nsys.exit(0)\n", "steps.py ends the program when it is imported (line 2 of*"),
        ("print('spam ' * 100000)\n1 / 0\n", "steps.py cannot be imported. It raised ZeroDivisionError*"),
        (None, "steps.py is missing: keep it beside its tests in *"),
    ],
    ids=["syntax", "raises", "exits", "floods", "missing"],
)
def test_a_module_that_cannot_be_imported_is_one_sentence(folder, source, sentence):
    result = folder(source)

    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["test_steps.py Fxx*", sentence, "*1 failed, 2 not run in*"])
    result.stdout.no_fnmatch_line("*error*in*")
    assert len(result.stdout.str()) < 6000


def test_a_renamed_function_is_named(folder):
    result = folder(RIGHT.replace("def softmax", "def soft_max"))

    result.stdout.fnmatch_lines(["softmax: not found in steps.py. There is soft_max. Did you rename it?*"])


def test_k_with_a_task_runs_that_task_alone(folder):
    result = folder(RIGHT, "-k", "softmax")

    result.assert_outcomes(passed=1, deselected=2)
    result.stdout.fnmatch_lines(["*1.2 Softmax*15.5 of 15.5 points"])
    result.stdout.no_fnmatch_line("*ReLU*")


def test_points_are_not_shown_where_only_some_tests_ran(folder):
    result = folder(RIGHT, "-k", "positives")
    result.stdout.fnmatch_lines(["*ReLU*1 of 1 test"])
    result.stdout.no_re_match_line(r".*\d points")

    folder(RIGHT, "test_steps.py::test_positives_stay").stdout.no_re_match_line(r".*\d points")


def test_a_task_can_be_asked_for_exactly(folder):
    folder(RIGHT, "--autograder-task=relu").assert_outcomes(passed=2, deselected=1)


def test_without_a_card_tests_are_counted_and_no_points_are_shown(folder, pytester):
    pytester.path.joinpath("topic.toml").unlink()

    result = folder(STUB.replace('raise NotImplementedError("relu: not started")', "return x"))

    result.stdout.fnmatch_lines(["*= steps =*", "  relu *1 of 2 tests", "  softmax*not started"])
    result.stdout.no_re_match_line(r".*\d points")


def test_an_import_outside_the_topic_is_warned_of(folder):
    result = folder("import colorsys\nimport torch.nn as nn\n" + RIGHT, "--collect-only")
    result.stdout.no_fnmatch_line("*does not allow*")

    result = folder("import colorsys\n\nif False:\n    import pandas as pd\n" + RIGHT)
    result.stdout.fnmatch_lines(["*steps.py:4 imports pandas, which this topic does not allow*"])


def test_a_skipped_test_counts_as_not_passed(folder):
    result = folder("import pytest\n" + RIGHT.replace("return np.m", "pytest.skip('mine')\n    return np.m"))

    result.stdout.fnmatch_lines(["*ReLU*0 of 2 tests*0 of 20 points", "    Skipped, which counts as not passed."])


def test_a_shared_fixture_that_fails_in_the_students_code_is_a_failure(folder):
    tests = (
        TESTS
        + '''

@pytest.fixture(scope="module")
def trained(student):
    return student.train()


@pytest.mark.task("softmax")
def test_it_learns(trained):
    """Does it learn?"""
'''
    )
    result = folder(RIGHT + "\ndef train():\n    return 1 / 0\n", tests=tests)

    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines(["train raised ZeroDivisionError: division by zero (line *"])


def test_an_authors_broken_fixture_keeps_pytests_own_words(folder):
    tests = (
        TESTS
        + '''

@pytest.mark.task("softmax")
def test_it_learns(nothing_of_that_name):
    """Does it learn?"""
'''
    )
    result = folder(RIGHT, tests=tests)

    result.assert_outcomes(passed=3, errors=1)
    result.stdout.fnmatch_lines(["*fixture 'nothing_of_that_name' not found"])


def test_draws_are_the_same_in_every_run_and_follow_the_seed(folder, pytester):
    tests = """
import random
import numpy as np
import pytest

@pytest.fixture(scope="module")
def weights(seed):
    np.random.random()
    return np.random.default_rng([seed, 7]).random()

@pytest.mark.task("relu")
@pytest.mark.parametrize("n", [1, 2])
def test_draws(n, student, rng, seed, weights):
    with open("draws.txt", "a") as file:
        print(seed, weights, rng.random(), random.random(), np.random.random(), file=file)
"""

    def draws(*arguments):
        assert folder(RIGHT, *arguments, tests=tests).ret == 0
        text = pytester.path.joinpath("draws.txt").read_text().splitlines()
        pytester.path.joinpath("draws.txt").unlink()
        return text

    first = draws("--autograder-seed=3")

    assert first == draws("--autograder-seed=3")
    assert first[1:] == draws("--autograder-seed=3", "-k2")  # also if another test runs first, or does not
    assert first[0].split()[2] != first[1].split()[2]
    assert not set(first[0].split()[3:]) & set(first[1].split()[3:])  # nor do the global generators repeat
    assert not set(first[0].split()) & set(draws("--autograder-seed=4")[0].split())


def test_topics_in_several_folders_have_modules_of_their_own(pytester, monkeypatch):
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    for name, answer in (("one", 1), ("two", 2)):
        there = pytester.mkdir(name)
        there.joinpath("steps.py").write_text("import neighbour\nanswer = neighbour.answer\n")
        there.joinpath("neighbour.py").write_text(f"answer = {answer}\n")
        there.joinpath(f"test_steps_{name}.py").write_text("")
        there.joinpath("test_steps.py").write_text(
            f"import pytest\n\n@pytest.mark.task('t')\ndef test_it(student):\n    assert student.answer == {answer}\n"
        )

    result = pytester.runpytest("-p", "autograder.plugin", "--import-mode=importlib")

    result.assert_outcomes(passed=2)
    assert "steps" not in sys.modules
    assert "neighbour" not in sys.modules


def test_an_environment_within_the_folder_is_not_forgotten(folder, pytester):
    package = pytester.path / ".venv" / "lib" / "costly"
    package.mkdir(parents=True)
    package.joinpath("__init__.py").write_text("import sys\nassert not hasattr(sys, 'seen')\nsys.seen = 1\n")
    source = f"import sys\nsys.path.append({str(package.parent)!r})\nimport costly\n" + RIGHT
    pytester.makepyfile(test_steps_hidden=TESTS)

    folder(source).assert_outcomes(passed=6)
    del sys.seen


def test_the_hidden_tests_examine_the_same_module(folder, pytester):
    hidden = TESTS.replace("def test_", "def test_hidden_")
    pytester.makepyfile(test_steps_hidden=hidden)

    folder(RIGHT).assert_outcomes(passed=6)


def test_a_later_plugin_replaces_the_student(folder, pytester):
    pytester.makepyfile(
        judge="""
        import types, numpy, pytest

        class Judge:
            @pytest.fixture(scope="session")
            def student(self):
                right = dict(relu=lambda x: numpy.maximum(x, 0), softmax=lambda x: x * 0 + 0.25)
                return types.SimpleNamespace(**right)

        @pytest.hookimpl(trylast=True)
        def pytest_configure(config):
            config.pluginmanager.register(Judge())
        """
    )

    pytester.syspathinsert()
    folder(STUB, "-p", "judge").assert_outcomes(passed=3)


def test_a_debugger_opens_in_the_students_frame(folder, pytester, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", ":".join(sys.path))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.path.joinpath("steps.py").write_text(RIGHT.replace("np.maximum(x, 0)", "np.dot(x, np.ones(7))"))

    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "autograder.plugin", "--pdb", "-x"],
        input="print('here', x.shape)\nq\n", capture_output=True, text=True,
    )  # fmt: skip

    assert "relu raised ValueError" in run.stdout
    assert "here (2,)" in run.stdout


def test_other_ways_of_reporting_work_too(folder, pytester):
    wrong = RIGHT.replace("np.maximum(x, 0)", "x")

    assert folder(wrong, "-q").ret == 1
    assert folder(wrong, "-p", "no:terminal").ret == 1
    assert folder(wrong, "--collect-only", "-q").ret == 0
    assert "relu: wrong value" in folder(wrong, "--tb=line").stdout.str()
    assert "test_steps.py::test_negatives_become_zero - relu: wrong" in folder(wrong, "-rf").stdout.str()
    folder("1 / 0", "--junitxml=out.xml")
    failures = ET.parse(pytester.path / "out.xml").findall(".//failure")
    assert len(failures) == 3
    assert all("steps.py cannot be imported" in failure.get("message", "") for failure in failures)


def test_the_judge_can_do_without_the_reports(folder):
    result = folder(RIGHT.replace("np.maximum(x, 0)", "x"), "-p", "no:autograder-student-run")

    result.assert_outcomes(passed=2, failed=1)
    result.stdout.no_fnmatch_line("*First steps*")


def test_the_trials_can_be_read_by_a_program(folder, pytester):
    folder(STUB, "--autograder-trials=trials.json")

    trials = json.loads(pytester.path.joinpath("trials.json").read_text())
    assert [(trial["task"], trial["outcome"], trial["weight"]) for trial in trials] == [
        ("relu", "not_started", 3.0),
        ("relu", "not_started", 1.0),
        ("softmax", "not_started", 1.0),
    ]


def test_tests_without_the_marker_are_left_alone(folder):
    result = folder(RIGHT, tests="def test_it():\n    assert 1 == 2\n")

    result.stdout.fnmatch_lines(["E       assert 1 == 2", "*short test summary info*", "FAILED*"])
    result.stdout.no_fnmatch_line("*First steps*")


def test_a_run_of_a_numpy_topic_imports_nothing_costly(folder, pytester, monkeypatch):
    code = (
        "import sys, pytest\n"
        "pytest.main(['-q', '-p', 'autograder.plugin', '-p', 'no:cacheprovider'])\n"
        "print(sorted({'torch', 'nbgrader', 'rich', 'click', 'IPython'} & set(sys.modules)))"
    )
    pytester.path.joinpath("steps.py").write_text(RIGHT)
    monkeypatch.setenv("PYTHONPATH", ":".join(sys.path))

    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "3 passed" in run.stdout
    assert run.stdout.splitlines()[-1] == "[]"


def test_the_plugin_by_itself_imports_not_even_numpy():
    code = (
        "import sys, pytest\nbefore = set(sys.modules)\nimport autograder.plugin\n"
        "print(sorted(m for m in set(sys.modules) - before if 'autograder' not in m))"
    )

    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert run.stdout.strip() == "[]"


def test_one_thread_is_set_for_topics_only(pytester, monkeypatch):
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    pytester.makepyfile(test_it="import os\n\ndef test_it():\n    assert os.environ.get('OMP_NUM_THREADS') is None\n")
    pytester.runpytest("-p", "autograder.plugin").assert_outcomes(passed=1)

    pytester.path.joinpath("topic.toml").write_text(CARD)
    pytester.makepyfile(test_it="import os\n\ndef test_it():\n    assert os.environ['OMP_NUM_THREADS'] == '1'\n")
    pytester.runpytest("-p", "autograder.plugin").assert_outcomes(passed=1)


def test_a_message_stands_once_in_a_run(folder):
    """The failure says it; the table below only names what comes next."""
    text = folder("def relu(x):\n    return 4\n").stdout.str()
    brief = folder(None, "--tb=no").stdout.str()

    sentences = [row for row in text.splitlines() if row.strip().startswith("relu: wrong")]
    assert len(sentences) == len(set(sentences)) > 0
    assert "Next: " in text
    assert "relu: wrong" in brief[brief.index("Next: ") :]


def test_a_warning_of_a_package_is_left_out_and_one_of_the_students_line_stays(folder):
    run = folder(
        "import warnings\ndef relu(x):\n"
        "    warnings.warn('mine')\n"
        "    warnings.warn_explicit('of keras', UserWarning, '/site-packages/keras/dense.py', 3)\n"
        "    return x\n"
    )

    text = run.stdout.str()

    assert "UserWarning: mine" in text
    assert "of keras" not in text
