"""Exports work on the other platform: the tests run them as that platform does."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml
from classes import SUITE, keep, report
from click.testing import CliRunner
from factory import SOLUTION, make_course

from autograder.authoring.leak import leaks
from autograder.cli import main
from autograder.course import Course
from autograder.errors import CourseError, SandboxError
from autograder.known import Sign, Signature, write_known
from autograder.platforms import gradescope
from autograder.platforms.export import export, export_marks
from autograder.platforms.github import WORKFLOW, write_template
from autograder.platforms.gradescope_zip import write_zip

COURSE = Course(Path(__file__).resolve().parent.parent)
TOPIC = "01_neural_network_basics"
ROSTER = "Student,ID,SIS Login ID,Section,Tiny (5)\r\n    Points Possible,,,,100\r\nAda,1,ada,A,\r\nBob,2,bob,A,\r\n"
CLEAN = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST", "COV_"))}


class TestMarks:
    @pytest.fixture
    def course(self, tmp_path: Path) -> Course:
        course = make_course(tmp_path)
        (tmp_path / "roster.csv").write_text(ROSTER)
        return course

    @pytest.mark.filterwarnings("ignore:Object of type <Submitted")  # nbgrader's, about its own tables
    def test_the_gradebook_s_marks_hold_what_was_graded_by_hand_and_say_what_was_not(
        self, course: Course, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)  # nbgrader runs alembic
        graded_by_hand(course, ada=4.0, bob=None)

        done = export_marks(course, "01_tiny", "canvas", course.root / "roster.csv")

        lines = list(csv.DictReader(done.paths[0].open()))
        assert [line["Tiny (5)"] for line in lines] == ["100", "61", "60"]
        assert "1 marks are not complete, because a person has not graded why_double yet: bob" in done.sentences
        assert "ada: 3 points less, late" in done.sentences
        assert not any("not scaled" in sentence for sentence in done.sentences)

    def test_without_a_gradebook_marks_are_those_of_the_tests_and_say_so(self, course: Course) -> None:
        keep(course, course.topic("01_tiny"), report("ada"), report("eve", tuple(SUITE)))

        done = export_marks(course, "01_tiny", "canvas", course.root / "roster.csv")

        assert "by tests only: no gradebook knows this assignment" in done.sentences[0]
        assert any("not graded written questions yet: ada, eve" in sentence for sentence in done.sentences)
        assert "students on the roster without a mark (1): bob" in done.sentences
        assert any(
            "gives 100 points and the assignment 90: the marks are not scaled" in said for said in done.sentences
        )
        assert not done.is_whole
        assert "eve,0.0,90.0" in done.paths[1].read_text()

    def test_the_command_ends_with_one_where_a_mark_found_no_line(
        self, course: Course, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        keep(course, course.topic("01_tiny"), report("=eve()"))
        monkeypatch.chdir(course.root)

        done = CliRunner().invoke(main, ["export", "01_tiny", "--format", "canvas", "--roster", "roster.csv"])

        assert done.exit_code == 1
        assert "'=eve()," in (course.root / "exports" / "01_tiny" / "canvas-unmatched.csv").read_text()
        assert (course.root / "roster.csv").read_text() == ROSTER.replace("\r\n", "\n")

    def test_a_roster_has_to_be_named_and_there(self, course: Course) -> None:
        with pytest.raises(CourseError, match="needs the CSV that the platform exports; name it with --roster FILE"):
            export(course, "01_tiny", "moodle")
        keep(course, course.topic("01_tiny"), report("ada"))
        with pytest.raises(CourseError, match=r"nowhere\.csv: cannot be read"):
            export_marks(course, "01_tiny", "moodle", course.root / "nowhere.csv")

    def test_nobody_has_a_mark_yet(self, course: Course) -> None:
        with pytest.raises(CourseError, match="nobody has a mark; run `autograder grade 01_tiny` first"):
            export_marks(course, "01_tiny", "canvas", course.root / "roster.csv")


def graded_by_hand(course: Course, **scores: float | None) -> None:
    """A gradebook with 60 points by tests for everyone, and a written question's score for some."""
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{course.root / 'gradebook.db'}") as book:
        book.add_assignment("01_tiny")
        book.add_notebook("01_tiny", "01_tiny")
        book.add_grade_cell("double", "01_tiny", "01_tiny", max_score=90, cell_type="code")
        book.add_grade_cell("why_double", "01_tiny", "01_tiny", max_score=10, cell_type="markdown")
        for student, score in scores.items():
            book.add_student(student)
            book.add_submission("01_tiny", student)
            notebook = book.find_submission_notebook("01_tiny", "01_tiny", student)
            notebook.late_submission_penalty = 3.0 if score is not None else None
            by_test = book.find_grade("double", "01_tiny", "01_tiny", student)
            by_test.auto_score, by_test.needs_manual_grade = 60.0, False
            by_hand = book.find_grade("why_double", "01_tiny", "01_tiny", student)
            by_hand.manual_score, by_hand.needs_manual_grade = score, score is None
        book.db.commit()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a container: the zip unpacked, a mistake handed in, run_autograder run."""
    course = make_course(tmp_path_factory.mktemp("course"))
    fails = ["test_three_doubled_is_six", "test_a_drawn_number_is_doubled"]
    topic = course.topic("01_tiny")
    squared = Signature(topic.mistakes[0], {test: Sign() for test in fails})
    topic.known_path.write_bytes(write_known([squared], tests=fails, cheap=(), slow=(), seeds=1, files="", changes={}))
    root = tmp_path_factory.mktemp("autograder")
    with zipfile.ZipFile(write_zip(course, "01_tiny")) as archive:
        archive.extractall(root / "source")
    (root / "submission").mkdir()
    (root / "submission" / "tiny.py").write_text(SOLUTION.replace("return x * FACTOR", "return x ** FACTOR"))
    (root / "submission_metadata.json").write_text(json.dumps({"users": [{"email": "ada@uni.example"}]}))
    command = ["bash", str(root / "source" / "run_autograder")]
    environment = {**CLEAN, "AUTOGRADER_ROOT": str(root), "AUTOGRADER_PYTHON": sys.executable}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return root


class TestGradescope:
    def test_the_result_is_what_gradescope_takes(self, root: Path) -> None:
        found = json.loads((root / "results" / "results.json").read_text())

        assert complaints(found) == []
        shown = {test["number"]: test for test in found["tests"] if test["visibility"] == "visible"}
        assert (shown["1.1"]["score"], shown["1.1"]["max_score"]) == (20.0, 60.0)
        assert (shown["1.2"]["score"], shown["1.2"]["status"]) == (30.0, "passed")
        assert found["extra_data"]["isolation"] in ("A", "B")

    def test_students_see_the_hint_and_no_hidden_test(self, root: Path) -> None:
        found = json.loads((root / "results" / "results.json").read_text())

        shown = json.dumps([test for test in found["tests"] if test["visibility"] == "visible"]) + found["output"]
        assert "double: wrong value. Got 9, expected 6." in shown
        assert "Hint: Doubling adds a number to itself." in shown
        hidden = [test["name"] for test in found["tests"] if test["visibility"] == "hidden"]
        assert "test_a_drawn_number_is_doubled" in hidden
        assert not any(name in shown for name in hidden)
        assert not any("score" in test for test in found["tests"] if test["visibility"] == "hidden")
        assert found["stdout_visibility"] == "hidden"

    def test_a_broken_task_has_no_score_there(self, tmp_path: Path) -> None:
        topic = make_course(tmp_path).topic("01_tiny")

        found = gradescope.as_results(report("ada", broken=("test_the_factor_is_two",)), topic)

        assert complaints(found) == []
        assert "score" not in found["tests"][0]
        assert "max_score" not in found["tests"][0]
        assert "a person will look at it" in found["tests"][0]["output"]

    def test_without_isolation_there_is_no_result(
        self, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def no_rung(**_options: object) -> str:
            raise SandboxError("no isolation works here")

        monkeypatch.setattr("autograder.grading.mark.judge.choose", no_rung)
        shutil.copytree(root / "source", tmp_path / "source")
        (tmp_path / "submission").mkdir()

        assert gradescope.main(tmp_path) == 2
        assert "no isolation works here" in capsys.readouterr().err
        assert not (tmp_path / "results").exists()

    def test_the_same_course_gives_the_same_zip_which_only_the_teacher_may_read(self, tmp_path: Path) -> None:
        course = make_course(tmp_path)

        first = write_zip(course, "01_tiny", tmp_path / "a.zip")
        second = write_zip(course, "01_tiny", tmp_path / "b.zip")

        assert first.read_bytes() == second.read_bytes()
        assert first.stat().st_mode & 0o007 == 0
        with zipfile.ZipFile(first) as archive:
            modes = {info.filename: info.external_attr >> 16 for info in archive.infolist()}
        assert modes["run_autograder"] & 0o111
        assert modes["setup.sh"] & 0o111

    def test_the_setup_installs_here_s_versions_and_closes_the_source(self, root: Path, tmp_path: Path) -> None:
        """Run setup.sh with an interpreter and programs that only record how they are called."""
        shutil.copytree(root / "source", tmp_path / "source")
        programs = tmp_path / "programs"
        programs.mkdir()
        log, note = tmp_path / "log", f'echo "$(basename "$0") $*" >> {tmp_path / "log"}'
        fake = f'[ "$1" = -c ] && exit 0\n{note}\nmkdir -p {tmp_path}/venv/bin\nfor name in pip python autograder; do cp {programs}/pip {tmp_path}/venv/bin/$name; done'
        for name, text in {"python3.13": fake, "pip": note, "bwrap": note}.items():
            (programs / name).write_text(f"#!/bin/bash\n{text}\n")
            (programs / name).chmod(0o755)

        done = subprocess.run(
            ["bash", str(tmp_path / "source" / "setup.sh")],
            env={"PATH": f"{programs}:/usr/bin:/bin", "AUTOGRADER_ROOT": str(tmp_path)},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

        assert done.returncode == 0, done.stderr
        said = log.read_text()
        assert f"-r {tmp_path}/source/requirements.txt" in said
        assert f"--no-deps {tmp_path}/source/engine" in said
        assert f"autograder.platforms.gradescope {tmp_path} --prepare" in said
        assert stat.S_IMODE((tmp_path / "source" / "course").stat().st_mode) & 0o077 == 0
        wanted = (tmp_path / "source" / "requirements.txt").read_text()
        assert re.search(r"^numpy==\d", wanted, re.MULTILINE)
        assert {"msgpack", "pytest", "click", "rich"} <= {line.partition("==")[0] for line in wanted.splitlines()}


def complaints(results: dict[str, object]) -> list[str]:
    """What Gradescope would refuse in a results.json, by its documented keys, types and values."""
    seen = {"visible", "hidden", "after_due_date", "after_published"}
    formats = {"text", "html", "simple_format", "md", "ansi"}
    top = {"score": float, "execution_time": (int, float), "output": str, "output_format": formats, "visibility": seen,
           "stdout_visibility": seen, "extra_data": dict, "tests": list, "leaderboard": list}  # fmt: skip
    each = {"score": (int, float), "max_score": (int, float), "status": {"passed", "failed"}, "name": str,
            "name_format": formats, "number": str, "output": str, "output_format": formats, "tags": list,
            "visibility": seen, "extra_data": dict}  # fmt: skip
    found = []
    for what, rules in [(results, top), *((test, each) for test in results["tests"])]:  # type: ignore[attr-defined]
        for key, value in what.items():
            rule = rules.get(key)
            is_right = rule is not None and (value in rule if isinstance(rule, set) else isinstance(value, rule))
            if not is_right:
                found.append(f"{key}: {value!r}")
    if "score" not in results and not results["tests"]:
        found.append("neither a score nor tests")
    return found


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template") / "github"
    write_template(COURSE, TOPIC, folder)
    return folder


class TestGitHubClassroom:
    def test_nothing_hidden_is_in_it(self, template: Path) -> None:
        given = [path for path in template.iterdir() if path.name != ".github"]

        # the engine in .github/autograder is the same as in the wheel, which test_packaging searches
        assert leaks(COURSE.topic(TOPIC), [*given, template / WORKFLOW]) == []
        assert not (template / f"test_{COURSE.topic(TOPIC).module}_hidden.py").exists()

    def test_the_workflow_has_a_step_for_each_task_and_its_public_points(self, template: Path) -> None:
        job = yaml.safe_load((template / WORKFLOW).read_text())["jobs"]["public-tests"]

        graders = [step for step in job["steps"] if "command-grader" in step.get("uses", "")]
        assert [step["id"] for step in graders] == [task.id for task in COURSE.topic(TOPIC).tasks]
        assert all(1 <= step["with"]["max-score"] <= 20 for step in graders)
        report_step = job["steps"][-1]
        assert report_step["with"]["runners"].split(",") == [step["id"] for step in graders]
        assert all(f"{step['id'].upper()}_RESULTS" in report_step["env"] for step in graders)

    def test_its_commands_pass_a_right_module_and_fail_a_stub(self, template: Path, tmp_path: Path) -> None:
        """Run the steps in a repository, as the runner does, with the engine in it."""
        job = yaml.safe_load((template / WORKFLOW).read_text())["jobs"]["public-tests"]
        commands = {step["id"]: step["with"]["command"] for step in job["steps"] if "command" in step.get("with", {})}
        topic = COURSE.topic(TOPIC)
        for name, text in {"right": topic.solution_path.read_text(), "stub": None}.items():
            shutil.copytree(template, tmp_path / name)
            if text:
                (tmp_path / name / f"{topic.module}.py").write_text(text)

        outcomes = {
            name: [run_step(commands[task], tmp_path / name) for task in tasks]
            for name, tasks in {"right": list(commands)[:3], "stub": list(commands)[:1]}.items()
        }

        assert outcomes == {"right": [0, 0, 0], "stub": [1]}

    def test_what_is_not_released_is_not_given_out(self, tmp_path: Path) -> None:
        with pytest.raises(CourseError, match="not released, or not fresh; run `autograder release 01_tiny` first"):
            write_template(make_course(tmp_path), "01_tiny")

    def test_a_folder_that_holds_something_else_is_left_alone(self, tmp_path: Path) -> None:
        (tmp_path / "thesis.tex").write_text("years of work")

        with pytest.raises(CourseError, match="holds something that is no such template; give another --out"):
            write_template(COURSE, TOPIC, tmp_path)


def run_step(command: str, folder: Path) -> int:
    """Run a step's command as the runner's shell does."""
    program = f"import sys; sys.argv[:] = {command.split()!r}; from autograder.cli import main; main()"
    environment = {**CLEAN, "PYTHONPATH": str(folder / ".github" / "autograder")}
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env=environment,
        capture_output=True,
        timeout=300,
        check=False,
    ).returncode
