"""No word of a student's code comes back from a hidden test, in any report; and the sentences instead help."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from factory import HIDDEN, MANIFEST, SOLUTION, make_course, make_topic
from nbformat.v4 import new_code_cell

import autograder
from autograder.authoring.build import render
from autograder.classroom import tables
from autograder.classroom.page import page
from autograder.classroom.similarity import Comparison
from autograder.classroom.summary import summarise
from autograder.course import Course
from autograder.errors import AuthorError
from autograder.faults import KNOWN_ERRORS
from autograder.grading.intake.submission import Submission
from autograder.grading.mark.judge import Judge
from autograder.grading.mark.told import Fact, Teller, of_public
from autograder.platforms.gradescope import as_results
from autograder.recording.feedback import notice, write_outputs
from autograder.report import Report, TaskReport
from autograder.report.words import said, to_html, to_markdown, words
from autograder.screen import said as said_first
from autograder.topic import Topic

#: no report may hold this text: it represents a hidden input that the code has seen
WORD = "zzqx"
#: what a function does when it is called with a number that no public test passes
HOSTILE = {
    "raises with a text": "raise ValueError(f'zzqx {x}')",
    "raises a class of its own": "raise type('Zzqx', (Exception,), {})('zzqx')",
    "raises a class named like markup": "raise type('<b>zzqx</b>', (ValueError,), {})()",
    "raises in a helper of its own": "zzqx_helper(x)",
    "raises with a module's words": "raise AttributeError(\"module 'tiny' has no attribute 'zzqx'\")",
    "asks an object for a name": "return object().zzqx",
    "says that it is not started": "raise NotImplementedError('zzqx: not started')",
    "says that memory is used up": "raise MemoryError('zzqx')",
    "says that the disk is full": "raise OSError('No space left on device zzqx')",
    "raises a group": "raise ExceptionGroup('zzqx', [ValueError('zzqx')])",
    "ends with a text": "import sys; sys.exit('zzqx')",
    "ends the process": "import os; os._exit(0)",
    "dies by a signal": "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
    "calls itself without end": "return double(x)",
    "computes without end": "while True: pass",
    "waits": "import time; time.sleep(60)",
    "returns a text": "return 'zzqx'",
    "returns a key": "return {'zzqx': x}",
    "returns an object of a class of its own": "return type('Zzqx', (), {'zzqx': x})()",
    "returns an array of a dtype with names": "import numpy as np; return np.zeros(2, dtype=[('zzqx', 'f8')])",
    "returns too much": "return b'zzqx' * (1 << 28)",
    "answers with an unknown tag": "_worker().codec.encode = lambda value: ['zzqx' * 5, 1]; return x",
    "answers with a frame of another kind": "_worker().nonce = b'zzqx'; return x",
    "answers with a status of its own": "_worker()._changes = lambda scope: 'zzqx'; return x",
    "describes an error of its own": "_describe(['zzqx', ['zzqx'], 'zzqx', 'zzqx', 41, 'zzqx']); raise ValueError",
    "describes an error of a function that is there": "_describe(['ValueError', [], 'zzqx', 'double', 7, 'zzqx']); 1 / 0",
}
HEAD = """\
import sys

def _worker():
    frame = sys._getframe()
    while type(frame.f_locals.get("self")).__name__ != "Worker":
        frame = frame.f_back
    return frame.f_locals["self"]

def _describe(description):
    type(_worker()).answer.__globals__["describe"] = lambda error, module: description

def zzqx_helper(x):
    raise KeyError("zzqx")

"""


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judge]:
    manifest = MANIFEST.replace("seconds = 2", "seconds = 0.5").replace("memory = 1024", "memory = 1024\nanswers = 4")
    course = make_course(tmp_path_factory.mktemp("course"), manifest=manifest)
    with Judge(course.topic("01_tiny"), seed=11) as judge:
        yield judge


def examine(judge: Judge, body: str) -> Report:
    """Examine a module that passes the public tests and turns hostile with the first hidden input."""
    text = SOLUTION.replace("from __future__ import annotations", "").replace(
        "    doubled_at_last =", f"    if x != 3:\n        {body}\n    doubled_at_last ="
    )
    return judge.examine(Submission("mallory", "01_tiny", Path("tiny.py"), (HEAD + text).encode()))


def papers(report: Report, topic: Topic) -> dict[str, str]:
    """Everything that is made from a report, except the log."""
    found = words(report, topic)
    classroom = summarise(topic, [report], Comparison())
    cells = []
    for task in report.tasks:
        cell = new_code_cell(metadata={"nbgrader": {"points": task.points}})
        write_outputs(cell, topic, task)
        cells.append(cell)
    return {
        "JSON": json.dumps(report.to_json(), ensure_ascii=False),
        "Markdown": to_markdown(found),
        "HTML": to_html(found),
        "a grade cell": json.dumps(cells, ensure_ascii=False),
        "the notice": str(notice(report.complaints)),
        "Gradescope": json.dumps(as_results(report, topic), ensure_ascii=False),
        "plain text": "\n".join(said(task, topic) for task in report.tasks),
        "the terminal": said_first(report),
        "the class report": page(classroom),
        "its JSON": tables.to_json(classroom),
        "its CSV": tables.tests_csv(classroom) + tables.scores_csv(classroom),
    }


class TestHostileCode:
    @pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
    def test_its_words_are_on_no_paper(self, judge: Judge, body: str) -> None:
        report = examine(judge, body)

        double = report.tasks[0]
        assert double.results[0].outcome == "passed"  # the public test
        assert {result.outcome for result in double.results[1:] if "drawn" in result.test} == {"failed"}
        held = {name: text for name, text in papers(report, judge.topic).items() if WORD in text.lower()}
        assert held == {}

    def test_the_log_may_hold_them(self, judge: Judge) -> None:
        report = examine(judge, HOSTILE["raises with a text"])

        assert WORD in json.dumps(report.to_record())

    def test_the_word_is_found_where_it_may_be(self, judge: Judge) -> None:
        source = SOLUTION.replace("return doubled_at_last", "raise ValueError('zzqx')")
        report = judge.examine(Submission("mallory", "01_tiny", Path("tiny.py"), source.encode()))

        found = papers(report, judge.topic)
        assert {name for name, text in found.items() if WORD in text} >= {
            "JSON",
            "Markdown",
            "HTML",
            "Gradescope",
        }

    def test_an_import_that_fails_after_tests_have_run_says_nothing(
        self, judge: Judge, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        judge.manifest().complete()
        results = [
            {"test": test.test, "outcome": "failed", "kind": "import_failed", "sentence": "zzqx"}
            if test.is_hidden
            else {"test": test.test, "outcome": "passed", "kind": "", "sentence": ""}
            for test in judge.manifest().tests
        ]
        answer = {"results": results, "seconds": 1.0, "import_fault": "tiny.py raised zzqx"}
        monkeypatch.setattr(judge._examiner, "ask", lambda *_args, **_options: answer)

        report = examine(judge, "pass")

        assert {name for name, text in papers(report, judge.topic).items() if WORD in text} == set()
        assert any("could not be imported again" in complaint for complaint in report.complaints)


class TestWhatIsSaid:
    @pytest.mark.parametrize(
        ("body", "told"),
        [
            ("raise ValueError(x)", "double raises a ValueError for an input that the docstring allows."),
            ("zzqx_helper(x)", "zzqx_helper raises"),
            ("return [][x]", "double raises an IndexError for an input that the docstring allows."),
            (
                "raise type('Own', (Exception,), {})",
                "double raises an error for an input that the docstring allows.",
            ),
            ("while True: pass", "double: your code used more than 0.5 s of CPU time in a hidden test;"),
            ("import time; time.sleep(60)", "double: your code waited for too long without computing;"),
            (
                "import os; os._exit(0)",
                "double: your code ended the program (exit, quit, sys.exit or os._exit);",
            ),
            (
                "import sys; sys.exit()",
                "double: your code ended the program (exit, quit, sys.exit or os._exit);",
            ),
            ("raise MemoryError", "double: your code used more than 1024 MB of memory in a hidden test."),
            ("return double(x)", "double: your code calls itself without end in a hidden test."),
            ("return b'x' * (1 << 24)", "double: your code returned more than 4 MB in a hidden test."),
        ],
    )
    def test_a_fault_is_told_by_a_constant_with_numbers_of_the_manifest(
        self, judge: Judge, body: str, told: str
    ) -> None:
        hint = examine(judge, body).tasks[0].hint

        expected = "Your code raises a KeyError for an input" if "zzqx" in told else told
        assert hint.startswith(expected)
        assert hint.endswith(
            "A hidden test that fails is about this: Doubling works for any number, drawn at random too."
        )

    def test_a_wrong_value_is_told_by_the_lesson_of_the_test(self, judge: Judge) -> None:
        assert examine(judge, "return x").tasks[0].hint == (
            "A hidden test that fails is about this: Doubling works for any number, drawn at random too."
        )

    def test_a_result_that_the_test_cannot_use_does_not_say_that_the_code_raised(self, tmp_path: Path) -> None:
        edit = (
            "    expect.equal(halver_under_test.count, 1",
            "    expect.equal(halver_under_test.count + 0, 1",
        )
        with Judge(make_course(tmp_path, hidden=edit).topic("01_tiny"), seed=11) as judge:
            source = SOLUTION.replace("self.count = 0", "self.count = None").replace("self.count += 1", "pass")
            halve = judge.examine(Submission("ada", "01_tiny", Path("tiny.py"), source.encode())).tasks[1]

        assert halve.results[1].kind == "unusable"
        assert halve.status == "graded"
        assert halve.hint.startswith("A hidden test could not go on with what your code returned:")

    @pytest.mark.parametrize(
        ("quality", "told"),
        [
            ([0.7432, 0.85, True], "your code reaches 0.74, and at least 0.85 is asked for."),
            ([0.8499, 0.85, True], "your code reaches 0.84, and at least 0.85 is asked for."),
            ([0.9504, 0.95, False], "your code reaches 0.96, and at most 0.95 is asked for."),
            ([1e300, 0.9, False], "your code reaches 99.99, and at most 0.9 is asked for."),
        ],
    )
    def test_a_quality_is_told_with_its_number(self, judge: Judge, quality: list[float], told: str) -> None:
        fact = Fact.of({"kind": "mismatch", "quality": quality}, ())

        assert told in Teller(judge.topic).of_hidden(judge.topic.tasks[0], fact, "Enough is right.")

    def test_a_quality_goes_all_the_way(self, tmp_path: Path) -> None:
        edit = ('expect.equal(halver_under_test.count, 1, what="Halver.count")',
                'expect.at_least(halver_under_test.count, 1, what="Halver.count")')  # fmt: skip
        with Judge(make_course(tmp_path, hidden=edit).topic("01_tiny"), seed=11) as judge:
            source = SOLUTION.replace("self.count += 1", "self.count += 0.743")
            halve = judge.examine(Submission("ada", "01_tiny", Path("tiny.py"), source.encode())).tasks[1]

        assert halve.hint.startswith(
            "A quality that is asked for is missed: your code reaches 0.74, and at least 1 is asked for."
        )


class TestFacts:
    def test_what_is_in_no_list_of_ours_is_left_out(self) -> None:
        result = {"kind": WORD, "cause": WORD, "error": WORD, "function": WORD, "quality": None}

        assert Fact.of(result, ("double",)) == Fact()

    def test_what_is_in_one_is_the_list_s_own(self) -> None:
        result = {
            "kind": "raised",
            "cause": "",
            "error": "KeyError",
            "function": "Halver.halve",
            "quality": None,
        }

        assert Fact.of(result, ("Halver.halve",)) == Fact("raised", "", "KeyError", "Halver.halve")

    def test_a_hidden_tests_sentence_is_never_told(self) -> None:
        with pytest.raises(ValueError, match="for the log"):
            of_public(WORD, is_hidden=True)

    def test_only_one_module_makes_what_is_told(self) -> None:
        package = Path(autograder.__file__).parent
        makers = {
            path.name
            for path in package.rglob("*.py")
            if path.parent.name != "student"  # its Told is another class
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "Told"
        }

        assert makers == {"told.py", "model.py"}  # model.py makes the empty one
        assert len(KNOWN_ERRORS) <= 32  # docs/security.md says five bits


@pytest.fixture(scope="module")
def teller(tmp_path_factory: pytest.TempPathFactory) -> Teller:
    edit = ("Double a number.", "Double a number, as in `2 * x` with 1000 of them.")
    return Teller(make_topic(tmp_path_factory.mktemp("topic"), solution=edit))


class TestLessons:
    def test_a_case_may_name_the_function(self, teller: Teller) -> None:
        double = teller.topic.tasks[0]

        assert teller.about_test("test_unknown[0-double-1]", double) == "double"
        assert teller.about_test("test_unknown[0-doubles]", double) == ""
        assert teller.about_test("test_a_drawn_number_is_doubled", double) == "double"

    @pytest.mark.parametrize(
        ("lesson", "is_tellable"),
        [
            ("Every axis counts.", True),
            ("With 1000 of them nothing overflows.", True),
            ("At 0.1 it overflows.", False),
            ("Thirty steps back.", False),
            ("A million away from zero.", False),
            ("One or two more.", True),
            ("As in `2 * x`.", True),
            ("As in `x + y`.", False),
            ("What of 'abc'?", False),
            ("The student's own.", True),
            ("What of [a, b]?", False),
        ],
    )
    def test_what_could_be_an_input_is_told_only_where_the_stub_says_it(
        self, teller: Teller, lesson: str, is_tellable: bool
    ) -> None:
        assert teller.is_tellable(lesson, teller.topic.tasks[0]) is is_tellable

    def test_a_lesson_with_an_input_gives_way_to_the_functions_docstring(self, tmp_path: Path) -> None:
        edit = ("Doubling works for any number, drawn at random too.", "What is twice 314159?")
        with Judge(make_course(tmp_path, hidden=edit).topic("01_tiny"), seed=11) as judge:
            hint = examine(judge, "return x").tasks[0].hint

        assert hint == "A hidden test of double fails. Its docstring begins: Double a number. Read all of it again."

    def test_a_sentence_that_the_author_chose_goes_first(self, tmp_path: Path) -> None:
        hidden = HIDDEN.replace(
            'task("double")\ndef test_a_drawn', 'task("double", tells="x: any number")\ndef test_a_drawn'
        )
        with Judge(make_course(tmp_path, hidden=hidden).topic("01_tiny"), seed=11) as judge:
            hint = examine(judge, "return x").tasks[0].hint

        assert hint == "A hidden test that fails is about this: x: any number"

    def test_one_that_the_stub_does_not_say_is_refused(self, tmp_path: Path) -> None:
        hidden = HIDDEN.replace('task("double")\ndef test_a_drawn', 'task("double", tells="x is 5")\ndef test_a_drawn')

        with pytest.raises(
            AuthorError, match=r"test_a_drawn_number_is_doubled tells 'x is 5', which the stub does not"
        ):
            render(make_topic(tmp_path, hidden=hidden))


COURSE = Course(Path(__file__).resolve().parent.parent)


@pytest.mark.parametrize("topic_id", COURSE.topic_ids())
def test_every_hidden_test_of_the_course_says_what_it_is_about(topic_id: str) -> None:
    topic = COURSE.topic(topic_id)
    teller = Teller(topic)

    hidden = list(_hidden(topic))

    untold = {name: lesson for name, lesson, task in hidden if not teller.is_tellable(lesson, topic.task(task))}
    assert hidden
    assert untold == {}  # a lesson with an input, or none: write a sentence of the contract into the test's docstring
    assert [name for name, lesson, _task in hidden if len(lesson.split()) < 5] == []


def _hidden(topic: Topic) -> Iterator[tuple[str, str, str]]:
    from autograder.suite import read_suite

    for test in read_suite(topic):
        if test.is_hidden:
            yield test.name, " ".join(test.lesson.split()), test.task


def test_where_only_scores_are_told_nothing_else_is(judge: Judge) -> None:
    report = examine(judge, "raise ValueError(x)")

    found: TaskReport = report.tasks[0]
    assert "Hint" not in said(found, replace(judge.topic, feedback="scores"))
