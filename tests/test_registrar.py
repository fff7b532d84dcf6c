"""nbgrader records reports: to the last digit, for folders with any contents, and one student at a time."""

import base64
import json
import os
import re
import shutil
import sqlite3
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest
from factory import make_course

from autograder.course import Course
from autograder.errors import CourseError, SandboxError
from autograder.grading.intake import written
from autograder.grading.keep import store
from autograder.grading.mark import examine
from autograder.limits import ANSWER_LETTERS
from autograder.recording import answers, autograde, connection, gradebook, laid, registrar
from autograder.recording.feedback import markdown_to_html
from autograder.recording.pictures import picture
from autograder.report import Report, TaskReport, TestResult

ID = "01_tiny"
ODD = 0.1 + 0.2  #: a score whose digits show any rounding


@pytest.fixture
def course(released, tmp_path):
    shutil.copytree(released.root, tmp_path / "course")
    return Course(tmp_path / "course")


def hand_in(course: Course, student: str = "ada", notebook: object = None, **files: str) -> Path:
    """Put a folder into submitted/; the notebook is the released one if None, left out if ''."""
    folder = course.submitted / student / ID
    folder.mkdir(parents=True)
    (folder / "tiny.py").write_text("def double(x):\n    return 2 * x\n")
    if notebook is None:
        notebook = pristine(course)
    if notebook:
        (folder / f"{ID}.ipynb").write_text(notebook if isinstance(notebook, str) else json.dumps(notebook))
    for name, text in files.items():
        (folder / name.replace("_txt", ".txt")).write_text(text)
    return folder


#: one black pixel
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="


def pristine(course: Course) -> dict:
    return json.loads((course.release / ID / f"{ID}.ipynb").read_text())


def cell_of(notebook: dict, grade_id: str) -> dict:
    return next(cell for cell in notebook["cells"] if cell["metadata"].get("nbgrader", {}).get("grade_id") == grade_id)


def answered(course: Course, text: str) -> dict:
    notebook = pristine(course)
    cell_of(notebook, "why_double")["source"] = text
    return notebook


def report_of(student: str = "ada", double: float = ODD, halve: float = 30.0, outcome: str = "failed") -> Report:
    results = (
        TestResult(
            "test_three_doubled_is_six",
            "double",
            1.0,
            False,
            outcome,
            "double: wrong <b>value</b>.",
            "Think.",
            0.0,
        ),
        TestResult("test_hidden_name", "double", 1.0, True, outcome, "hidden sentence", "hidden lesson", 0.0),
    )
    tasks = (
        TaskReport("double", double, 60.0, results, "Twice, not thrice."),
        TaskReport("halve", halve, 30.0, (), ""),
    )
    return Report(student, ID, 7, "A", 0.1, (), tasks)


def grades_of(course: Course, student: str = "ada") -> dict:
    """Each cell's automatic score, or None, and whether a person has to look at it."""
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{course.root / 'gradebook.db'}") as book:
        (notebook,) = book.find_submission(ID, student).notebooks
        return {grade.name: (grade.auto_score, grade.needs_manual_grade) for grade in notebook.grades}


def page_of(course: Course, student: str = "ada") -> str:
    gradebook.feedback(course, ID)
    return (course.root / "feedback" / student / ID / f"{ID}.html").read_text()


def tree_of(folder: Path) -> dict:
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_scores_arrive_to_the_last_digit(course):
    hand_in(course)

    gradebook.record(course, [report_of(double=ODD, halve=10 / 3)])

    assert grades_of(course)["double"] == (ODD, False)
    assert grades_of(course)["halve"] == (10 / 3, False)


@pytest.mark.parametrize("score", [0.0, 60.0, 1e-9, 59.99999999999999])
def test_none_full_and_nearly_either_are_what_they_are(course, score):
    hand_in(course)

    gradebook.record(course, [report_of(double=score)])

    assert grades_of(course)["double"] == (score, False)


def test_a_task_without_a_verdict_waits_for_a_person(course):
    hand_in(course)

    gradebook.record(course, [report_of(outcome="broken")])

    assert grades_of(course)["double"] == (None, True)
    assert grades_of(course)["halve"] == (30.0, False)
    assert "a fault of the grader, not of your code" in page_of(course)


def test_a_verdict_that_comes_later_settles_it(course):
    hand_in(course)
    gradebook.record(course, [report_of(outcome="broken")])

    gradebook.record(course, [report_of()])

    assert grades_of(course)["double"] == (ODD, False)


@pytest.mark.parametrize("score", [61.0, -1.0, float("nan")])
def test_an_impossible_score_waits_for_a_person(course, score):
    hand_in(course)

    gradebook.record(course, [report_of(double=score)])

    assert grades_of(course)["double"] == (None, True)


def test_points_changed_since_the_release_wait_for_a_person(course):
    hand_in(course)
    report = report_of()
    changed = replace(report, tasks=(replace(report.tasks[0], points=50.0), report.tasks[1]))

    gradebook.record(course, [changed])

    assert grades_of(course)["double"] == (None, True)
    assert "has 50 points here and 60 in the gradebook" in page_of(course)


def test_a_score_given_by_hand_stays(course):
    from nbgrader.api import Gradebook

    hand_in(course, notebook=answered(course, "Because."))
    gradebook.record(course, [report_of()])
    with Gradebook(f"sqlite:///{course.root / 'gradebook.db'}") as book:
        book.find_grade("why_double", ID, ID, "ada").manual_score = 4.5
        book.db.commit()

    gradebook.record(course, [report_of()])

    with Gradebook(f"sqlite:///{course.root / 'gradebook.db'}") as book:
        assert book.find_submission(ID, "ada").score == ODD + 30.0 + 4.5


def many_cells(notebook):
    notebook["cells"] *= 2


def fewer_cells(notebook):
    notebook["cells"] = notebook["cells"][:2]


def other_points(notebook):
    for cell in notebook["cells"]:
        if "points" in cell["metadata"].get("nbgrader", {}):
            cell["metadata"]["nbgrader"]["points"] = 1000


def other_ids(notebook):
    for cell in notebook["cells"]:
        if "nbgrader" in cell["metadata"]:
            cell["metadata"]["nbgrader"]["grade_id"] = "double"


def other_types(notebook):
    for cell in notebook["cells"]:
        cell["cell_type"] = "raw"


def other_schema(notebook):
    for cell in notebook["cells"]:
        if "nbgrader" in cell["metadata"]:
            cell["metadata"]["nbgrader"]["schema_version"] = 99


def other_kernel(notebook):
    notebook["metadata"] = {"kernelspec": {"name": "evil", "display_name": "Evil", "language": "c"}}


def own_score(notebook):
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell["source"] = "100.0"
            result = {
                "output_type": "execute_result",
                "data": {"text/plain": "60.0"},
                "metadata": {},
                "execution_count": 1,
            }
            cell["outputs"] = [result]


def nonsense(notebook):
    notebook["cells"] += [None, 3, {}, {"metadata": 3}, {"metadata": {"nbgrader": []}, "source": [1, None]}]


@pytest.mark.parametrize(
    "change",
    [
        many_cells,
        fewer_cells,
        other_points,
        other_ids,
        other_types,
        other_schema,
        other_kernel,
        own_score,
        nonsense,
    ],
    ids=lambda change: change.__name__,
)
def test_a_doctored_notebook_changes_no_score(course, change):
    notebook = pristine(course)
    change(notebook)
    hand_in(course, notebook=notebook)

    gradebook.record(course, [report_of()])

    assert grades_of(course)["double"] == (ODD, False)
    assert grades_of(course)["halve"] == (30.0, False)


@pytest.mark.parametrize(
    "text", ["", " ", "not JSON", "[]", "3", '{"cells": 3}', "[" * 100_000, '{"cells": [' * 5_000, "\x00"]
)
def test_a_broken_notebook_costs_nothing_and_its_answers_wait_for_a_person(course, text):
    folder = hand_in(course, notebook="")
    (folder / f"{ID}.ipynb").write_text(text)

    gradebook.record(course, [report_of()])

    assert grades_of(course)["double"] == (ODD, False)
    assert grades_of(course)["why_double"] == (None, True)
    assert "a person will look for the written answers" in page_of(course)


def test_a_missing_notebook_costs_its_written_answers_only(course):
    hand_in(course, notebook="")

    gradebook.record(course, [report_of()])

    grades = grades_of(course)
    assert (grades["double"], grades["why_double"]) == ((ODD, False), (0.0, False))
    assert f"{ID}.ipynb is missing" in page_of(course)


def test_a_huge_notebook_is_not_read(course, monkeypatch):
    monkeypatch.setattr(written, "NOTEBOOK_BYTES", 10)
    hand_in(course)

    gradebook.record(course, [report_of()])

    assert grades_of(course)["why_double"] == (None, True)


def test_an_empty_folder_is_graded_too(course):
    (course.submitted / "ada" / ID).mkdir(parents=True)

    gradebook.record(course, [report_of(double=0.0, halve=0.0)])

    assert grades_of(course)["double"] == (0.0, False)


def test_a_written_answer_reaches_the_page_and_waits_for_a_person(course):
    hand_in(course, notebook=answered(course, "Because **two** is $1 + 1$."))

    gradebook.record(course, [report_of()])

    assert grades_of(course)["why_double"] == (None, True)
    assert grades_of(course)["why_halve"] == (0.0, False)
    page = page_of(course)
    assert "Because <strong>two</strong> is " in page
    assert '<span class="tex2jax_process mathjax_process">$1 + 1$</span>.' in page


def test_an_answer_is_found_by_its_cells_own_id_where_metadata_was_stripped(course):
    notebook = answered(course, "Because of the doubling.")
    for cell in notebook["cells"]:
        cell["metadata"] = {}
    hand_in(course, notebook=notebook)

    gradebook.record(course, [report_of()])

    assert "Because of the doubling." in page_of(course)


def test_of_a_duplicated_answer_nothing_is_lost(course):
    notebook = answered(course, "My first thought.")
    copied = json.loads(json.dumps(cell_of(notebook, "why_double")))
    notebook["cells"].append({**copied, "source": ["My second\n", "thought."]})
    hand_in(course, notebook=notebook)

    gradebook.record(course, [report_of()])

    page = page_of(course)
    assert "My first thought." in page
    assert "My second\nthought." in page


def _lay(tmp_path, **parts):
    """Lay one answer, whose cell has these parts; returns its cell and the complaints."""
    marks = {"nbgrader": {"grade_id": "why", "solution": True}}
    cell = {"cell_type": "markdown", "metadata": marks, "source": "YOUR ANSWER HERE"}
    (tmp_path / "x.ipynb").write_text(json.dumps({"cells": [cell | parts]}))
    laid, complaints = answers.lay({"cells": [cell]}, tmp_path / "x.ipynb")
    return laid["cells"][0], " ".join(complaints)


def test_a_picture_in_an_answer_is_kept_and_nothing_else_attached(tmp_path):
    attachments = {
        "plot.png": {"image/png": PNG[:40] + "\n" + PNG[40:], "text/html": "PHNjcmlwdD4="},
        'x" onload="alert(1)': {"image/png": PNG},
        "y.png": {"image/png": '"><script>'},
    }

    cell, complaints = _lay(tmp_path, source="x", attachments=attachments)

    assert cell["attachments"] == {"plot.png": {"image/png": PNG}}
    assert "3 pictures in the answer to why are not shown" in complaints


@pytest.mark.parametrize(
    ("kind", "head"),
    [
        ("image/png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (30_000).to_bytes(4) * 2),
        ("image/gif", b"GIF89a" + b"\xff\xff\xff\xff"),
        ("image/jpeg", b"\xff\xd8\xff\xe0\0\4JF\xff\xc0\0\x0b\x08\xff\xff\xff\xff"),
        ("image/jpeg", b"\xff\xd8" + b"\xff\xe0\0\2" * 10),
        ("image/png", b"<svg onload=alert(1)>"),
        ("image/svg+xml", b"<svg onload=alert(1)>"),
    ],
)
def test_a_picture_that_unpacks_to_gigabytes_or_is_none_is_not_shown(kind, head):
    assert picture(kind, base64.b64encode(head + bytes(100)).decode()) == ""


def test_the_pictures_of_an_answer_have_one_bound_together_and_each_is_shown_once(tmp_path, monkeypatch):
    monkeypatch.setattr(answers, "ATTACHMENT_BYTES", 2 * len(PNG))
    attachments = {f"{number}.png": {"image/png": PNG} for number in range(5)}

    cell, _ = _lay(tmp_path, source="![](attachment:0.png)" * 9, attachments=attachments)

    assert list(cell["attachments"]) == ["0.png", "1.png"]
    assert markdown_to_html({"cell": cell}, cell["source"]).count("<img") == 1


@pytest.mark.parametrize(
    "source",
    ["![x](http://example.org/a.png)", "<img src=http://example.org/a.png>", "![a][b]\n\n[b]: http://example.org",
     "```mermaid\nA@{ img: 'http://example.org' }\n```", r"$\href{javascript:alert(1)}{x}$"],
)  # fmt: skip
def test_a_laid_answer_is_inert_in_any_program(tmp_path, source):
    cell, _ = _lay(tmp_path, source=source)

    assert cell["source"] != source
    assert cell["source"].replace("\N{WORD JOINER}", "") == source
    assert not re.search(r"!\[|<\w|\\href|mermaid", cell["source"])


@pytest.mark.parametrize(
    "source",
    ["a < b, 3<4, `x <= y`", r"$\frac{a}{b} \in \mathbb{R}$", "![my own](attachment:my%20own.png) [a](b)"],
)
def test_an_ordinary_answer_is_laid_as_it_was_written(tmp_path, source):
    cell, complaints = _lay(tmp_path, source=source)

    assert (cell["source"], complaints) == (source, "")


def test_a_long_answer_is_cut_and_told(tmp_path):
    cell, complaints = _lay(tmp_path, source=["word "] * 20_000)

    assert len(cell["source"]) == ANSWER_LETTERS
    assert "The answer to why has more than 20000 letters" in complaints


@pytest.mark.parametrize("unit", ["{}", "[]", "1.5", '{"a":0}', '"\\ud83d"', "[[]]"])
def test_a_notebook_of_tiny_parts_is_a_sentence_and_costs_little_memory(tmp_path, unit):
    path = tmp_path / "x.ipynb"
    path.write_text('{"cells":[' + ",".join([unit] * (24_000_000 // (len(unit) + 1))) + "]}")
    tracemalloc.start()

    cells, complaint = written.read_cells(path)

    assert cells == []
    assert "too large; clear the outputs of its cells" in complaint
    assert tracemalloc.get_traced_memory()[1] < 50_000_000
    tracemalloc.stop()


@pytest.mark.parametrize(
    "text", ['{"cells": [], "n": ' + "9" * 10_000 + "}", '{"cells": ' + "[" * 90_000, '{"cells": [NaN, 1e999]}',
             '{"cells": [{"metadata": {"nbgrader": {"grade_id": "why"}}, "source": "\\ud800\\udfffx"}], "cells": []}',
             '{"cells": [{"source": {}}, {"metadata": 3}, {"attachments": 3}, {"attachments": {"a": 3}}]}'],
)  # fmt: skip
def test_a_notebook_of_odd_values_stops_nothing(tmp_path, text):
    (tmp_path / "x.ipynb").write_text(text)
    marks = {"nbgrader": {"grade_id": "why", "solution": True}}

    laid, _ = answers.lay({"cells": [{"cell_type": "markdown", "metadata": marks, "source": ""}]}, tmp_path / "x.ipynb")

    assert laid["cells"][0]["source"] == ""


def test_the_page_says_score_public_fault_and_hint_and_nothing_hidden(course):
    hand_in(course)

    gradebook.record(course, [report_of()])

    page = page_of(course)
    assert "1.1 Double: 0 of 2 tests passed" in page
    assert "<strong>0.30</strong> of 60 points" in page
    assert "double: wrong &lt;b&gt;value&lt;/b&gt;." in page
    assert "Hint: Twice, not thrice." in page
    assert ">1.1 Double</a> (Score: 0.30 / 60.00)" in page
    assert ">Question: why double</a> (Score: 0.00 / 5.00)" in page
    assert "Test cell" not in page
    assert "hidden" not in page.split("<body>")[1]


def test_the_code_of_a_figure_is_folded_on_nbgraders_pages():
    from autograder.recording.warm import highlight

    folded, open_ = highlight("x = 1", metadata={"jupyter": {"source_hidden": True}}), highlight("x = 1", metadata={})

    assert folded.startswith('<details><summary style="display: list-item;')
    assert ">The code of this figure</summary>" in folded
    assert "details" not in open_
    assert "highlight" in open_


def test_the_page_says_each_fault_once_and_not_too_many(course):
    hand_in(course)
    report = report_of()
    (double, halve), (public, _) = report.tasks, report.tasks[0].results
    faults = tuple(replace(public, sentence=f"fault {number // 2}") for number in range(20))
    report = replace(report, tasks=(replace(double, results=faults, hint="fault 0"), halve))

    gradebook.record(course, [report])

    page = page_of(course)
    assert [page.count(f"fault {number}\n") for number in range(6)] == [1, 1, 1, 1, 1, 0]
    assert "and 5 more, which `autograder check double` shows" in page


def test_the_page_runs_nothing_that_a_student_wrote(course):
    evil = "<script>alert(1)</script> <img src=x onerror=alert(1)> [x](javascript:alert(1)) <javascript:1>"
    hand_in(course, "<b>ada", notebook=answered(course, evil))
    report = replace(report_of("<b>ada"), complaints=("<script>alert(2)</script> was found",))

    gradebook.record(course, [report])

    body = page_of(course, "<b>ada").split("<body>")[1]
    assert "<script>alert" not in body
    assert "<img src=x" not in body
    assert 'href="javascript' not in body


@pytest.mark.parametrize(
    ("source", "shown", "absent"),
    [
        ("![mine](attachment:gone.png)", "picture gone.png is missing, or shown above: mine]", "<img"),
        ('![x](attachment:a"onerror="alert(1))', "or shown above: x]", '"onerror'),
        (
            r"$\href{javascript:alert(1)}{x}$",
            r"<code>$\href{javascript:alert(1)}{x}$</code>",
            "mathjax_process",
        ),
        (r"$\hrefs + \stylex$", r"<code>$\hrefs + \stylex$</code>", "mathjax_process"),
        ("![x](<attachment:my own.png>)", f'src="data:image/png;base64,{PNG}"', "missing"),
        ("[x](data:text/html,<script>)", "x (data:text/html,%3Cscript%3E)", "href="),
        ("![x](http://example.org/a.png)", "picture: x (http://example.org/a.png)]", "<img"),
    ],
)
def test_an_answer_is_shown_whatever_it_holds(source, shown, absent):
    pictures = {"my own.png": {"image/png": PNG}}
    cell = {"cell_type": "markdown", "metadata": {"nbgrader": {"solution": True}}, "attachments": pictures}

    page = markdown_to_html({"cell": cell}, source)

    assert shown in page
    assert absent not in page


def test_a_graders_comment_keeps_its_link_beside_an_answer():
    marks = {"nbgrader": {"solution": True, "comment": "Read [this](https://example.org)."}}
    cell = {"cell_type": "markdown", "metadata": marks, "source": "x"}

    assert '<a href="https://example.org">' in markdown_to_html({"cell": cell}, marks["nbgrader"]["comment"])


def test_a_parcel_is_left_as_it_was_and_only_plain_known_files_are_copied(course):
    folder = hand_in(course, timestamp_txt="2026-01-02 03:04:05 UTC", submission_secret_txt="abc", conftest_txt="x")
    os.mkfifo(folder / "pipe")
    (folder / "zero").symlink_to("/dev/zero")
    (folder / "numpy.py").write_text("raise SystemExit")
    before = tree_of(folder / "tiny.py") | {path: path.lstat().st_mtime_ns for path in folder.iterdir()}

    gradebook.record(course, [report_of()])

    assert tree_of(folder / "tiny.py") | {path: path.lstat().st_mtime_ns for path in folder.iterdir()} == before
    copied = {path.name for path in (course.root / "autograded/ada" / ID).iterdir()}
    public = {path.name for path in course.release.joinpath(ID).iterdir()}
    assert copied == public | {"timestamp.txt", "submission_secret.txt"}
    assert "return 2 * x" in (course.root / "autograded/ada" / ID / "tiny.py").read_text()


def test_the_module_that_was_examined_lies_in_autograded(course):
    folder = hand_in(course)
    (folder / "tiny.py").rename(folder / "tiny (1).py")

    gradebook.record(course, [report_of()])

    assert "return 2 * x" in (course.root / "autograded/ada" / ID / "tiny.py").read_text()


@pytest.mark.parametrize(
    "text",
    [
        "garbage",
        "",
        "2026-99-99 00:00:00 UTC",
        "9999-12-31 23:59:59 -9999",
        "1" * 500,
        "\x00",
        "0001-01-01 00:00 +2300",
    ],
)
def test_a_timestamp_without_a_time_is_the_time_of_its_writing(course, text):
    folder = hand_in(course, timestamp_txt=text)
    os.utime(folder / "timestamp.txt", (1_700_000_000, 1_700_000_000))

    gradebook.record(course, [report_of()])

    assert grades_of(course)["double"] == (ODD, False)
    with connection.opened(course) as api:
        (submission,) = api.get_submissions(ID)
    assert submission["timestamp"] == "2023-11-14T22:13:20"


def test_a_timestamp_is_read_as_nbgrader_wrote_it(course):
    folder = hand_in(course, timestamp_txt="2026-01-02 03:04:05.000678 UTC")

    assert registrar.read_timestamp(folder).isoformat() == "2026-01-02T03:04:05.000678"
    assert registrar.read_timestamp(folder.parent) is None


def test_a_pipe_for_a_timestamp_holds_nobody_up(course):
    folder = hand_in(course)
    os.mkfifo(folder / "timestamp.txt")

    gradebook.record(course, [report_of()])

    assert grades_of(course)["double"] == (ODD, False)


@pytest.mark.parametrize("student", ["ada lovelace", "[a-z]*", "a+b", "名前", "o'hara", "-rf"])
def test_a_students_name_may_be_odd(course, student):
    hand_in(course, student)
    hand_in(course, "z")

    gradebook.record(course, [report_of(student)])

    assert grades_of(course, student)["double"] == (ODD, False)
    assert not (course.root / "autograded/z").exists()


def test_what_stops_one_stops_nobody_else(course, monkeypatch):
    for student in ("ada", "bob", "cyd"):
        hand_in(course, student)
    real = laid.collect_in_place

    def failing(folder, topic):
        if folder.parent.name == "bob":
            raise ZeroDivisionError("a bug of ours")
        return real(folder, topic)

    monkeypatch.setattr(laid, "collect_in_place", failing)

    with pytest.raises(CourseError, match=r"1 of 1 not graded: bob \(ZeroDivisionError: a bug of ours\)"):
        gradebook.record(course, [report_of(student) for student in ("ada", "bob", "cyd")])

    assert grades_of(course, "ada")["double"] == grades_of(course, "cyd")["double"] == (ODD, False)


class CountingJudge:
    """A fake judge, for tests of the way to the judge."""

    asked: list[str] = []  # noqa: RUF012

    def __init__(self, topic, *, seed, allow_unisolated):
        self.seed = seed

    def examine(self, submission):
        self.asked.append(submission.student)
        if submission.student == "dan":
            raise SandboxError("no isolation works here; install bubblewrap")
        return replace(report_of(submission.student), seed=self.seed)

    def close(self):
        pass


@pytest.fixture
def judge(monkeypatch):
    monkeypatch.setattr(examine, "Judge", CountingJudge)
    monkeypatch.setattr(CountingJudge, "asked", [])
    yield CountingJudge
    examine.close_judges()


def test_nbgrader_asks_the_judge_once_and_keeps_the_report(course, judge):
    hand_in(course)

    with connection.opened(course) as api:
        results = [api.autograde(ID, "ada") for _ in range(2)]

    assert all(result["success"] for result in results)
    assert judge.asked == ["ada"]
    (kept,) = store.reports(course, ID)
    assert kept == replace(report_of(), seed=store.class_seed(course, ID))


def test_a_whole_class_is_graded_by_one_call_of_nbgrader(course, judge):
    for student in ("ada", "bob", "cyd"):
        hand_in(course, student, notebook="" if student == "bob" else None)

    with connection.opened(course) as api:
        result = api.autograde(ID, "*")

    assert result["success"], result["error"]
    assert judge.asked == ["ada", "bob", "cyd"]
    assert grades_of(course, "bob")["double"] == (ODD, False)


def test_a_sandbox_that_does_not_work_stops_the_class_with_one_sentence(course, judge):
    for student in ("ada", "dan", "eve"):
        hand_in(course, student)

    with connection.opened(course) as api:
        result = api.autograde(ID, "*")

    assert not result["success"]
    assert "no isolation works here; install bubblewrap" in result["error"]
    assert judge.asked == ["ada", "dan"]


def test_an_assignment_that_is_none_of_the_courses_is_never_run(course, judge):
    shutil.copytree(course.source / ID, course.source / "02_other")
    (course.source / "02_other" / f"{ID}.ipynb").rename(course.source / "02_other/02_other.ipynb")
    with connection.opened(course) as api:
        api.generate_assignment("02_other")
        shutil.copytree(course.release / "02_other", course.submitted / "ada/02_other")
        result = api.autograde("02_other", "ada")

    assert "no assignment '02_other'" in result["error"]


def test_a_gradebook_without_the_assignment_says_what_to_run(course):
    hand_in(course)
    (course.root / "gradebook.db").unlink()

    with pytest.raises(CourseError, match="knows no assignment '01_tiny'; run `autograder release 01_tiny`"):
        gradebook.record(course, [report_of()])


@pytest.mark.slow
def test_a_locked_gradebook_is_waited_for_and_loses_nothing(course, judge, monkeypatch):
    monkeypatch.setattr(autograde, "LOCK_SECONDS", 1.0)
    hand_in(course)
    with connection.opened(course) as api:
        holder = sqlite3.connect(course.root / "gradebook.db", isolation_level=None)
        holder.execute("BEGIN EXCLUSIVE")
        locked = api.autograde(ID, "ada")
        with pytest.raises(CourseError, match="database is locked; close the program that holds it"):
            gradebook.record(course, [report_of()])
        holder.execute("ROLLBACK")
        free = api.autograde(ID, "ada")

    assert "the gradebook was locked by another program" in locked["error"]
    assert free["success"]
    assert grades_of(course)["double"] == (ODD, False)


def test_a_configuration_that_fails_ends_the_program(course, monkeypatch):
    monkeypatch.setattr(registrar, "bind", lambda: 1 / 0)

    with pytest.raises(SystemExit, match=r"nbgrader_config\.py: division by zero"):
        registrar.configure(registrar_config(), course.root)


def test_an_assignment_that_its_author_broke_stops_no_other(course):
    (course.assignments / ID / "topic.toml").write_text("title = ")
    shutil.copytree(make_course(course.root / "x").assignments / ID, course.assignments / "02_whole")
    config = registrar_config()

    registrar.configure(config, course.root)

    assert config.Autograde.exclude_overwriting == {"02_whole": ["tiny.py"]}


def registrar_config():
    from traitlets.config import Config

    return Config()


def test_all_grades_are_exported(course):
    hand_in(course)
    gradebook.record(course, [report_of()])

    lines = gradebook.export(course, course.root / "grades.csv").read_text().splitlines()

    row = dict(zip(lines[0].split(","), lines[1].split(","), strict=True))
    assert (row["student_id"], float(row["score"])) == ("ada", ODD + 30.0)


def test_a_long_sentence_is_broken_where_the_page_would_cut_it_off(course):
    from nbformat.v4 import new_code_cell

    from autograder.recording.feedback import WIDTH, write_outputs

    cell = new_code_cell(metadata={"nbgrader": {"points": 60}})
    task = replace(report_of().tasks[0], hint="Twice, not thrice; " * 20)

    write_outputs(cell, course.topic(ID), task)

    lines = cell.outputs[0].text.splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert " ".join(" ".join(lines).split()).endswith(("Twice, not thrice; " * 20).strip())


def test_a_students_name_is_no_formula_in_the_export(course):
    hand_in(course, "=1+1")
    gradebook.record(course, [report_of("=1+1")])

    lines = gradebook.export(course, course.root / "grades.csv").read_text().splitlines()

    row = dict(zip(lines[0].split(","), lines[1].split(","), strict=True))
    assert (row["student_id"], float(row["score"])) == ("'=1+1", ODD + 30.0)
