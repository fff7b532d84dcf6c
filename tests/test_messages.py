"""What a student reads about common slips, in the folder and from the grader: the same sentence, and what to do."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from factory import SOLUTION, make_course

import autograder
from autograder.authoring.build import build
from autograder.course import Course
from autograder.explain import explain
from autograder.grading.intake.submission import Submission
from autograder.grading.mark.judge import Judge
from autograder.student.look import examine
from autograder.student.public_tests import run_public_tests

ID = "01_tiny"
SLIPS = {
    "self forgotten before an attribute": (
        "return x / 2",
        "return x / 2 + count",
        "name 'count' is not defined. Did you mean self.count? (line 39 of tiny.py: `return x / 2 + count`).",
    ),
    "self forgotten before a method": ("return x / 2", "return halve(x)", "Did you mean self.halve? (line 39"),
    "self forgotten as a parameter": (
        "def halve(self, x):",
        "def halve(x):",
        "Halver.halve() takes 1 positional argument but 2 were given: is self its first parameter?",
    ),
    "a debugger": (
        "return doubled_at_last",
        "breakpoint()\n    return doubled_at_last",
        "double stops for a debugger, and nobody is there: remove breakpoint() and set_trace() (line 26",
    ),
    "a question": (
        "return doubled_at_last",
        "return int(input())",
        "double waits for input(): remove it (line 25 of tiny.py: `return int(input())`).",
    ),
    "the module imports itself": (
        "FACTOR = 2",
        "from tiny import double\nFACTOR = 2",
        "tiny.py imports itself: leave that import out, because all that tiny.py defines is there by its own name "
        "(line 6 of tiny.py: `from tiny import double`).",
    ),
    "not Python": (
        "FACTOR = 2",
        "FACTOR = 2 2",
        "tiny.py is not valid Python {}.{}: invalid syntax (line 6 of tiny.py: `FACTOR = 2 2`).".format(
            *sys.version_info
        ),
    ),
}


@pytest.fixture(scope="module")
def course(tmp_path_factory) -> Course:
    course = make_course(tmp_path_factory.mktemp("messages") / "course")
    build(course)
    return course


@pytest.fixture(scope="module")
def judge(course) -> Iterator[Judge]:
    with Judge(course.topic(ID), seed=1) as judge:
        yield judge


@pytest.fixture
def home(course, tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("PYTHONPATH", str(Path(autograder.__file__).parents[1]))
    folder = tmp_path / ID
    folder.mkdir()
    for path in (course.source / ID).iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "tiny.py").write_text(SOLUTION)
    return folder


def said_by(judge: Judge, source: bytes) -> set[str]:
    report = judge.examine(Submission("ada", ID, Path("ada"), source))
    return {
        result.sentence
        for task in report.tasks
        for result in task.results
        if result.outcome == "failed" and not result.is_hidden
    }


def said_at(home: Path) -> set[str]:
    run = run_public_tests(home)
    assert run.progress is not None, run.sentence
    return {task.first_fault.sentence for task in run.progress.tasks if task.first_fault}


@pytest.mark.parametrize(("old", "new", "sentence"), SLIPS.values(), ids=SLIPS)
def test_a_slip_is_told_with_what_to_do_in_the_folder_and_by_the_grader(judge, home, old, new, sentence):
    source = SOLUTION.replace(old, new)
    (home / "tiny.py").write_text(source)

    for said in (said_by(judge, source.encode()), said_at(home)):
        assert len(said) == 1
        assert sentence in said.pop()


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le"])
def test_a_module_in_utf_16_is_told_in_the_folder_and_by_the_grader(judge, home, encoding):
    (home / "tiny.py").write_bytes(SOLUTION.encode(encoding))
    sentence = "tiny.py is saved as UTF-16, which Python cannot read: save it as UTF-8 in your editor."

    assert said_by(judge, SOLUTION.encode(encoding)) == said_at(home) == {sentence}


def test_a_module_may_import_itself_inside_a_function(judge, home):
    source = SOLUTION.replace("return doubled_at_last", "import tiny\n    return tiny.FACTOR * x")
    (home / "tiny.py").write_text(source)

    assert said_by(judge, source.encode()) == said_at(home) == set()


@pytest.mark.parametrize(
    ("name", "message", "words"),
    [
        ("AssertionError", "Torch not compiled with CUDA enabled", "asks for a GPU, and there is none here"),
        ("RuntimeError", "Found no NVIDIA driver on your system.", "asks for a GPU, and there is none here"),
        (
            "InductorError",
            "PermissionError: Set TORCHDYNAMO_VERBOSE=1 for the trace",
            "uses torch.compile, which needs",
        ),
        ("PermissionError", "[Errno 13] Permission denied", "Then write num_workers=0"),
    ],
)
def test_what_the_grader_does_not_have_is_told_with_what_to_do(tmp_path, name, message, words):
    path = tmp_path / "basics.py"
    code = f"{name} = type({name!r}, (Exception,), {{}})\ndef train():\n    raise {name}({message!r})\n"
    space: dict[str, object] = {}
    exec(compile(code, str(path), "exec"), space)

    with pytest.raises(Exception, match=re.escape(message)) as raised:
        space["train"]()  # type: ignore[operator]

    sentence = explain(raised.value, module="basics").sentence
    assert sentence.startswith("train ")
    assert words in sentence
    assert "(line 3 of basics.py" in sentence


@pytest.mark.parametrize("name", ["numpy", "random", "autograder"])
def test_a_file_with_the_name_of_a_package_is_told(home, name):
    (home / f"{name}.py").write_text("x = 1\n")
    sentence = f"{name}.py in {home.name}/ hides the package {name}: give it another name."

    checked = run_public_tests(home)
    pytest_alone = subprocess.run(
        [sys.executable, "-m", "pytest", "-q"], cwd=home, capture_output=True, text=True, env=dict(os.environ)
    )

    assert checked.progress is None
    assert checked.sentence == sentence
    assert {level.level for level in examine(home) if level.sentence == sentence} == {"look"}
    if name == "numpy":  # pytest itself imports the others
        said = pytest_alone.stdout + pytest_alone.stderr
        assert sentence in said
        assert "Traceback" not in said
