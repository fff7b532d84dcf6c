"""check() in a notebook and `autograder check` in a terminal: the same table, and never a traceback."""

from __future__ import annotations

import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path

import pytest

import autograder
from autograder import attempt, check
from autograder.student.check import Checked, check_command
from autograder.student.progress import Progress, TaskProgress
from autograder.student.public_tests import PublicRun, run_public_tests
from autograder.student.trial import Trial

TESTS = '''
import pytest
from autograder import expect


@pytest.mark.task("double")
def test_twice_two(student):
    """Two & two."""
    expect.equal(student.double(2), 4, "double")


@pytest.mark.task("halve")
def test_half_of_two(student):
    """One <each>."""
    expect.equal(student.halve(2), 1.0, "halve")
'''
MODULE = """
def double(x):
    print("x is", x)
    return x + x


def halve(x):
    raise NotImplementedError("halve: not started")
"""


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("PYTHONPATH", str(Path(autograder.__file__).parents[1]))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "test_sums.py").write_text(TESTS)
    (tmp_path / "sums.py").write_text(MODULE)
    return tmp_path


def test_a_task_is_checked_alone(folder):
    assert repr(check("double")).splitlines() == [
        "sums",
        "  double  ██████████  1 of 1 test",
        "",
        "  All of these tests pass. Hidden tests look further: read the docstrings once",
        "  more.",
    ]


def test_all_tasks_are_checked_without_a_name(folder):
    shown = repr(check())

    assert "  halve   ░░░░░░░░░░  not started" in shown.splitlines()
    assert "    halve: not started yet." in shown.splitlines()


def test_the_module_is_read_afresh_each_time(folder):
    (folder / "sums.py").write_text(MODULE.replace("x + x", "x + 3"))
    assert "double: wrong value. Got 5, expected 4." in repr(check("double"))

    (folder / "sums.py").write_text(MODULE)
    assert "1 of 1 test" in repr(check("double"))
    assert "sums" not in sys.modules


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("def double(x:\n", "sums.py is not valid Python"),
        ("import sys\nsys.exit()\n", "sums.py ends the program when it is imported"),
        ("import os\nos._exit(0)\n", "does sums.py end the program, or crash?"),
        ("import os\nos.kill(os.getpid(), 11)\n", "does sums.py end the program, or crash?"),
        ("print('spam ' * 10**6)\nraise SystemError('\\x1b[2J')\n", "It raised SystemError (line 2"),
    ],
)
def test_a_students_fault_is_a_sentence_and_no_exception(folder, source, sentence):
    (folder / "sums.py").write_text(source)

    checked = check("double")

    assert sentence in " ".join(repr(checked).split())
    assert len(checked._repr_html_()) < 5000
    assert "\x1b" not in repr(checked)


def test_a_run_without_an_end_is_ended(folder, monkeypatch):
    monkeypatch.setattr("autograder.student.public_tests.PUBLIC_RUN_SECONDS", 1)
    (folder / "sums.py").write_text("while True:\n    pass\n")

    assert "still running after 1 seconds: is there a loop without an end?" in repr(check())


def test_a_notebooks_settings_do_not_reach_the_tests(folder, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    monkeypatch.setenv("PYTEST_ADDOPTS", "--no-such-option")
    (folder / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n")
    source = MODULE + "\nimport os\nassert os.environ['MPLBACKEND'] == 'Agg'\n"
    (folder / "sums.py").write_text(source)

    assert "1 of 1 test" in repr(check("double"))


def test_an_unknown_task_is_answered_by_those_there_are(folder):
    said = repr(check("doubel"))

    assert said == "There is no task 'doubel' here. Did you mean 'double'? The tasks are double, halve."
    assert check_command("doubel", folder) == 2


def test_a_folder_without_tests_is_said_so(tmp_path, capsys):
    assert check_command(None, tmp_path) == 2

    assert capsys.readouterr().out.startswith(f"No tests in {tmp_path}: open the folder of an assignment")


def test_the_command_tells_by_its_exit_code(folder, capsys):
    assert check_command("double", folder) == 0
    assert check_command(None, folder) == 1

    assert "  halve   ░░░░░░░░░░  not started" in capsys.readouterr().out.splitlines()


def test_hidden_tests_that_lie_about_are_not_run(folder):
    (folder / "test_sums_hidden.py").write_text(TESTS.replace("double", "hidden"))

    assert "hidden" not in repr(check()).replace("hidden tests", "")
    assert run_public_tests(folder).progress.tasks[0].task == "double"


class Texts(HTMLParser):
    """Collects the tags and the text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.text += data


def test_every_text_in_the_page_is_escaped():
    evil = "<script>alert(1)</script>&"
    trial = Trial("t", "f", "m", evil, 1.0, "failed", evil, evil, 1, printed=evil)
    progress = Progress(evil, (TaskProgress(evil, evil, evil, (trial,), 3.0, 9.0),), (evil,))

    page = Texts(Checked(PublicRun(progress))._repr_html_())

    assert "script" not in page.tags
    assert page.text.count(evil) >= 7
    assert "script" not in Texts(Checked(PublicRun(None, evil))._repr_html_()).tags


def test_the_page_shows_what_is_next(folder):
    page = Texts(check("halve")._repr_html_())

    assert page.tags.count("tr") == 1
    assert "halve: not started yet." in page.text
    assert "One <each>." in page.text


def test_what_a_failing_test_printed_is_shown_for_debugging(folder):
    (folder / "sums.py").write_text(MODULE.replace("x + x", "x").replace('"x is"', '"\\x1b[31m<b>x is"'))

    checked = check("double")

    assert "    It printed:\n      <b>x is 2\n    pytest -k test_twice_two" in repr(checked)
    assert "<b>x is 2" in Texts(checked._repr_html_()).text


def test_attempt_lets_a_lesson_go_on_where_a_function_is_not_started(capsys):
    with attempt():
        raise NotImplementedError("softmax: not started")

    assert capsys.readouterr().out == "not started: softmax\n"


def test_attempt_lets_other_errors_show():
    with pytest.raises(ValueError, match="mine"), attempt():
        raise ValueError("mine")


def test_a_check_of_a_small_topic_is_quick(folder):
    started = time.process_time()
    check("double")

    assert time.process_time() - started < 6


def test_the_package_imports_nothing_costly():
    code = (
        "import sys\nbefore = set(sys.modules)\n"
        "from autograder import check, attempt, probe\n"
        "import autograder.student.check, autograder.probe, autograder.student.public_tests\n"
        "from autograder import check, probe\nassert callable(check) and callable(probe)\n"
        "print({'numpy', 'torch', 'pytest', 'rich', 'click'} & (set(sys.modules) - before))\n"
        "import autograder\nprint(autograder.expect.__name__)"
    )

    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert run.stdout.split() == ["set()", "autograder.expect"]
