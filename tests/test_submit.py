"""`autograder submit`: it finds what the grader finds, and packs what the grader takes."""

from __future__ import annotations

import ast
import json
import sys
import time
import zipfile
from pathlib import Path

import pytest
from factory import SOLUTION, make_course

import autograder
from autograder.authoring.build import build
from autograder.errors import SubmissionError
from autograder.grading.intake.collect import collect
from autograder.portable import habits
from autograder.stub import stub_of
from autograder.student.desk import submit_command
from autograder.student.look import examine
from autograder.student.submit import pack

ID = "01_tiny"


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A student's folder of the tiny topic: solved, with one of two questions answered."""
    monkeypatch.setenv("PYTHONPATH", str(Path(autograder.__file__).parents[1]))
    monkeypatch.setenv("NO_COLOR", "1")
    course = make_course(tmp_path / "course")
    build(course)
    home = tmp_path / "home" / ID
    home.parent.mkdir()
    (course.source / ID).rename(home)
    (home / "tiny.py").write_text(SOLUTION)
    notebook = json.loads((home / f"{ID}.ipynb").read_text())
    answers = [cell for cell in notebook["cells"] if cell["metadata"].get("nbgrader", {}).get("solution")]
    answers[0]["source"] = "Because it grows."
    (home / f"{ID}.ipynb").write_text(json.dumps(notebook))
    return home


def found(folder: Path) -> dict[str, str]:
    """Sentence -> level."""
    return {remark.sentence: remark.level for remark in examine(folder)}


def test_a_good_parcel_is_said_so(folder):
    assert found(folder) == {
        "tiny.py: valid Python, 1 kB.": "fine",
        "Every function and class that the tasks ask for is there.": "fine",
        "01_tiny.ipynb: the written question 'why_halve' has no answer yet.": "look",
    }


@pytest.mark.parametrize(
    ("old", "new", "level", "sentence"),
    [
        ("return x / 2", "return (", "stop", "tiny.py is not valid Python (line "),
        ("FACTOR = 2", "FACTOR = 1 / 0", "stop", "tiny.py cannot be imported. It raised ZeroDivisionError"),
        (
            "FACTOR = 2",
            "import sys; sys.exit()",
            "stop",
            "tiny.py ends the program when it is imported (line ",
        ),
        ("FACTOR = 2", "import os; os._exit(0)", "look", "FACTOR is missing in tiny.py"),
        (
            "FACTOR = 2",
            "FACTOR = 2\nif False:\n    import pandas",
            "look",
            "imports pandas, which is missing when",
        ),
        ("def double", "def doubled", "look", "double is missing in tiny.py: its tests will fail."),
        (
            "return x / 2",
            'raise NotImplementedError("Halver.halve: not started")',
            "look",
            "Not written yet: Halver.",
        ),
        ("FACTOR = 2", f"FACTOR = 2\nDATA = '{'x' * 1_000_001}'", "stop", "tiny.py: larger than 512 KB"),
    ],
)
def test_what_is_wrong_with_the_module_is_a_sentence(folder, old, new, level, sentence):
    (folder / "tiny.py").write_text(SOLUTION.replace(old, new))

    levels = {remark.level for remark in examine(folder) if sentence in remark.sentence}

    assert levels == {level}


def test_a_missing_module_stops_it(folder, capsys):
    (folder / "tiny.py").rename(folder / "notes.txt")

    assert submit_command(folder) == 1
    assert "STOP The grader would say: no tiny.py; found 01_tiny.ipynb" in " ".join(capsys.readouterr().out.split())
    assert not (folder.parent / f"{ID}.zip").exists()


@pytest.mark.parametrize(
    ("files", "taken"),
    [
        ({"tiny (1).py": SOLUTION}, "tiny (1).py was taken as tiny.py; use that name next time"),
        ({"homework.py": SOLUTION}, "homework.py was taken as tiny.py; use that name next time"),
        ({"a/b/c/Tiny.PY": SOLUTION}, "a/b/c/Tiny.PY was taken as tiny.py; use that name next time"),
        ({"tiny.py": None, "tiny_final.py": SOLUTION}, "nothing is written in tiny.py, so tiny_final.py was taken"),
        ({"tiny.py": SOLUTION, "old/tiny.py": "pass"}, "the one nearest the top, tiny.py, was taken"),
        ({"one.py": SOLUTION, "two.py": SOLUTION + "#"}, "no tiny.py, but 2 copies (one.py, two.py)"),
        ({"tiny.py": "x" * 1_000_000}, "tiny.py: larger than 512 KB; hand in code only, without data"),
    ],
)
def test_submit_says_what_the_grader_says_and_packs_what_it_takes(folder, monkeypatch, files, taken):
    topic = make_course(folder.parent / "again").topic(ID)
    (folder / "tiny.py").unlink()
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(stub_of(topic) if text is None else text)

    said = " ".join(found(folder))
    graded = collect(folder, topic)

    assert taken in said
    assert taken in " ".join(graded.complaints)
    if graded.source is not None:
        packed = collect(pack(folder), topic)
        assert (packed.source, packed.complaints) == (graded.source, ())


def test_a_helper_that_is_not_handed_in_is_missing_when_submit_imports_the_module(folder):
    (folder / "helpers.py").write_text("factor = 2\n")
    (folder / "tiny.py").write_text(SOLUTION.replace("FACTOR = 2", "from helpers import factor as FACTOR"))

    stopped = [said for said, level in found(folder).items() if level == "stop"]

    assert len(stopped) == 1
    assert "tiny.py cannot be imported. It raised ModuleNotFoundError: No module named 'helpers'" in stopped[0]


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("breakpoint()", "tiny.py:{} waits for a person, and nobody is there when it is graded"),
        ("def ask():\n    return input('x')", "waits for a person"),
        ("import torch\ndef f(m):\n    return m.cuda()", "asks for a GPU, and the grader has none"),
        ("import torch\ndef f(m):\n    return m.to('cuda:0')", "asks for a GPU, and the grader has none"),
        ("import torch\n@torch.compile\ndef f(m): ...", "uses torch.compile, which needs a compiler"),
        ("def f(d):\n    return DataLoader(d, num_workers=2)", "write num_workers=0"),
    ],
)
def test_what_works_at_home_only_is_worth_a_look(folder, code, sentence):
    (folder / "tiny.py").write_text(SOLUTION + "\ndef last():\n    " + code.replace("\n", "\n    ") + "\n")

    line = len(SOLUTION.splitlines()) + 3
    assert [level for said, level in found(folder).items() if sentence.format(line) in said] == ["look"]


@pytest.mark.parametrize(
    "code",
    [
        "device = 'cuda' if torch.cuda.is_available() else 'cpu'\n    return m.to(device)",
        "if torch.cuda.is_available():\n        m.cuda()",
        "return DataLoader(m, num_workers=0)",
        "m.compile()\n    m.input(1)",
    ],
)
def test_what_asks_first_is_no_remark(code):
    assert list(habits(ast.parse(f"def f(m):\n    {code}\n"))) == []


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_a_module_in_utf_16_is_told_how_to_save_it(folder, encoding):
    (folder / "tiny.py").write_bytes(SOLUTION.encode(encoding))

    assert (
        found(folder)["tiny.py is saved as UTF-16, which Python cannot read: save it as UTF-8 in your editor."]
        == "stop"
    )


@pytest.mark.skipif(sys.version_info < (3, 12), reason="this Python cannot read it either")
@pytest.mark.parametrize("line", ["type Row = list[int]", "def first[T](x: T) -> T: ...", "X = f'{'a'}'"])
def test_syntax_that_an_older_grader_cannot_read_is_worth_a_look(folder, line):
    (folder / "tiny.py").write_text(f"{line}\n{SOLUTION}".replace("from __future__ import annotations", ""))

    said = [said for said, level in found(folder).items() if "a newer Python than 3.11" in said and level == "look"]

    assert [text.partition(" ")[0] for text in said] == ["tiny.py:1"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[" * 100_000, "01_tiny.ipynb cannot be read as a notebook"),
        ('{"cells": [' + "[]," * 2_000_000 + "0]}", "too large; clear the outputs of its cells"),
        ('{"cells": [{"metadata": 3}]}', "holds none of the cells for written answers"),
        ("{", "01_tiny.ipynb cannot be read as a notebook"),
        ('{"cells": []}', "01_tiny.ipynb holds none of the cells for written answers"),
        (None, "01_tiny.ipynb is missing: your written answers are in it."),
    ],
)
def test_what_is_wrong_with_the_notebook_is_worth_a_look(folder, text, sentence):
    (folder / f"{ID}.ipynb").unlink()
    if text is not None:
        (folder / f"{ID}.ipynb").write_text(text)

    assert {level for said, level in found(folder).items() if sentence in said} == {"look"}


def test_the_zip_gives_the_grader_the_very_module(folder, capsys, monkeypatch):
    monkeypatch.setattr("autograder.student.submit.has_exchange", lambda folder: False)
    topic = make_course(folder.parent / "again").topic(ID)

    assert submit_command(folder) == 0

    parcel = folder.parent / f"{ID}.zip"
    assert f"Packed: {parcel}" in capsys.readouterr().out
    assert zipfile.ZipFile(parcel).namelist() == [f"{ID}/tiny.py", f"{ID}/{ID}.ipynb"]
    taken, lying = collect(parcel, topic), collect(folder, topic)
    assert taken.source == lying.source == SOLUTION.encode()
    assert taken.complaints == lying.complaints == ()


def test_a_folder_under_another_name_is_still_that_assignment(folder):
    moved = folder.rename(folder.with_name("my homework"))

    assert pack(moved).name == f"{ID}.zip"


def test_a_dry_run_hands_nothing_in(folder):
    assert submit_command(folder, is_dry=True) == 0

    assert not (folder.parent / f"{ID}.zip").exists()


def test_outside_of_an_assignment_it_is_misuse(tmp_path):
    with pytest.raises(SubmissionError, match="no assignment here; go into the folder of one"):
        examine(tmp_path)


def test_what_the_exchange_refuses_is_said_and_packed(folder, capsys, monkeypatch):
    monkeypatch.setattr("autograder.student.submit.has_exchange", lambda folder: True)
    monkeypatch.setattr("autograder.student.submit.to_exchange", lambda folder: "no course id")

    assert submit_command(folder) == 0

    said = capsys.readouterr().out
    assert "nbgrader's exchange did not take it: no course id" in said
    assert (folder.parent / f"{ID}.zip").is_file()


@pytest.mark.parametrize(
    "line",
    [
        "X = " + "1 + " * 1000 + "1",
        "X = 0x" + "f" * 100_000,
        "X = '" + "x" * 100_000 + "'",
        "X = 1\n" * 20_000,
    ],
    ids=["a long sum", "a large number", "a long text", "many lines"],
)
def test_an_odd_but_valid_module_is_looked_at(folder, line):
    (folder / "tiny.py").write_text(SOLUTION + "\n" + line + "\n")

    assert "valid Python" in " ".join(remark.sentence for remark in examine(folder))
    assert not [remark for remark in examine(folder) if remark.level == "stop"]


@pytest.mark.parametrize("line", ["X = " + "-" * 100_000 + "1", "X = " + "(" * 1000, "X = 1\0", "X = " + "9" * 9999])
def test_a_module_that_python_cannot_parse_is_a_sentence(folder, line):
    (folder / "tiny.py").write_text(SOLUTION + "\n" + line + "\n")

    assert "tiny.py is not valid Python" in " ".join(remark.sentence for remark in examine(folder))


def test_a_module_that_takes_long_to_read_is_a_sentence(folder):
    (folder / "tiny.py").write_text("x = f'" + "{a}" * 120_000 + "'")
    started = time.process_time()

    said = found(folder)

    assert said["tiny.py takes too long to read and was not read; a person will look at it."] == "look"
    assert time.process_time() - started < 5


def test_an_answer_that_will_be_cut_is_told_before(folder):
    path = folder / f"{ID}.ipynb"
    notebook = json.loads(path.read_text())
    for cell in notebook["cells"]:
        if cell["metadata"].get("nbgrader", {}).get("solution"):
            cell["source"] = "word " * 5000
    path.write_text(json.dumps(notebook))

    assert "is cut after 20000 letters" in " ".join(remark.sentence for remark in examine(folder))
