"""An assignment of two modules, with a data file, an image folder and a given helper, from build to feedback."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile

import pytest
from shop import FILES, ID, make_shop

from autograder.authoring.build import build, render, stale
from autograder.authoring.leak import leaks
from autograder.authoring.mutants import mutants
from autograder.authoring.verify import verify
from autograder.errors import AuthorError
from autograder.grading.intake.collect import collect
from autograder.grading.keep import store
from autograder.grading.mark.judge import Judge
from autograder.grading.pool import cluster
from autograder.limits import GIVEN_BYTES
from autograder.platforms.gradescope_zip import write_zip
from autograder.sandbox.both.bundle import bundled, parted
from autograder.sandbox.ladder import climb
from autograder.student import look, submit
from autograder.student.check import check
from autograder.student.hint import give
from autograder.student.public_tests import find_public_tests, run_public_tests

MODULES = ("shop", "till")


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    course = make_shop(tmp_path_factory.mktemp("shops"))
    build(course)
    return course


@pytest.fixture(scope="module")
def topic(course):
    return course.topic(ID)


@pytest.fixture(params=["A", "B"], scope="module")
def judge(request, topic):
    if not climb(request.param).holds:
        pytest.skip(climb(request.param).reason)
    with Judge(topic, seed=3, only=request.param) as judge:
        yield judge


def home(course, folder):
    """A student's folder as it is released, before the student has written anything."""
    shutil.copytree(course.source / ID, folder)
    return folder


def solve(topic, folder, *names):
    for path in topic.module_paths:
        if path.stem in (names or MODULES):
            shutil.copy(path, folder / path.name)


def marks(judge, folder):
    report = judge.examine(collect(folder, judge.topic, "sam"))
    return {task.task: task.score for task in report.tasks}, report


# --- what an author writes, and what students get ----------------------------------------------------------------


def test_students_get_each_stub_and_each_given_file_under_its_own_path(course, topic):
    released = course.source / ID

    assert {str(path.relative_to(released)) for path in released.rglob("*") if path.is_file()} == {
        "01_shop.ipynb", "README.md", "shop.py", "till.py", "test_shop.py", "topic.toml", "helpers.py",
        "data/prices.csv", "signs/open.txt", "signs/door/closed.txt",
    }  # fmt: skip
    for name in topic.files:
        assert (released / name).read_text() == FILES[name]
    assert "the_sum_of_all" not in (released / "till.py").read_text()
    assert "not started" in (released / "till.py").read_text()
    assert stale(course) == []
    assert leaks(topic, [released]) == []


def test_a_file_that_goes_from_topic_toml_goes_from_source(tmp_path):
    course = make_shop(tmp_path)
    build(course)
    manifest = course.assignments / ID / "topic.toml"
    manifest.write_text(manifest.read_text().replace('"signs", ', ""))
    shutil.rmtree(course.assignments / ID / "signs")

    build(course)

    assert not (course.source / ID / "signs").exists()
    assert (course.source / ID / "data" / "prices.csv").is_file()


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (
            '"data/none.csv"',
            r"topic\.toml:5: files names 'data/none\.csv', and .*none\.csv is not there; add it",
        ),
        ('"../secret"', r"files names '\.\./secret'; give a path below"),
        ('"/etc/passwd"', r"files names '/etc/passwd'; give a path below"),
        ('"test_shop_hidden.py"', "which the assignment has already; leave it out"),
        ('"shop.py"', "which the assignment has already; leave it out"),
        ('"empty"', r"files names 'empty', a folder without a file"),
        ('"link.csv"', "is a link or no plain file; put a copy"),
        ('"large.bin"', r"files hold 50\.0 MB; give at most 50 MB"),
        ('"many"', "files are 2001 files; give at most 2000"),
        ('"hidden_numbers.csv"', "like a hidden test; give it another name"),
        (
            '"numpy.py"',
            r"topic\.toml:5: files names 'numpy', which is a package already; choose another name",
        ),
        ('"random.py"', "files names 'random', which is a package already; choose another name"),
    ],
)
def test_what_cannot_be_given_is_refused_with_its_place_and_a_cure(tmp_path, files, said):
    course = make_shop(tmp_path, topic_toml=FILES["topic.toml"].replace('"signs"', files))
    folder = course.assignments / ID
    (folder / "empty").mkdir()
    (folder / "link.csv").symlink_to(folder / "data" / "prices.csv")
    (folder / "hidden_numbers.csv").write_text("1")
    (folder / "numpy.py").write_text("")
    (folder / "random.py").write_text("")
    with open(folder / "large.bin", "wb") as large:
        large.truncate(GIVEN_BYTES)
    (folder / "many").mkdir()
    for number in range(1999 if files == '"many"' else 0):
        (folder / "many" / str(number)).touch()

    with pytest.raises(AuthorError, match=said):
        course.topic(ID)


@pytest.mark.parametrize(
    ("also", "said"),
    [
        ('["Till"]', "also names 'Till', no module name"),
        ('["shop"]', "which is another module already"),
        ('["random"]', "also names 'random', which is a package already"),
        ('["numpy"]', "also names 'numpy', which is a package already"),
        ('["till", "till"]', "also names a module twice"),
        ('["nowhere"]', r"nowhere\.py: no such file"),
    ],
)
def test_what_cannot_be_a_further_module_is_refused(tmp_path, also, said):
    course = make_shop(tmp_path, topic_toml=FILES["topic.toml"].replace('["till"]', also))

    with pytest.raises(AuthorError, match=said):
        course.topic(ID)


def test_a_file_that_topic_toml_does_not_name_is_refused(tmp_path):
    course = make_shop(tmp_path)
    (course.assignments / ID / "notes.txt").write_text("mine")

    with pytest.raises(AuthorError, match=r"notes\.txt: not one of the assignment's files; name it in topic\.toml"):
        render(course.topic(ID))


def test_a_given_helper_that_holds_the_answer_is_refused(tmp_path):
    answer = "def total(prices):\n    self.prices.append(cents(euros))\n    return total(self.prices)\n"
    three = FILES["till.py"].replace(
        "        self.prices.append(cents(euros))\n",
        "        self.prices.append(cents(euros))\n        print()\n",
    )
    copied = "        self.prices.append(cents(euros))\n        print()\n        return total(self.prices)\n"
    course = make_shop(tmp_path, till_py=three, helpers_py=FILES["helpers.py"] + f"def f(self):\n{copied}")

    with pytest.raises(AuthorError, match=r"helpers\.py:\d+: three lines in a row as in the solution"):
        render(course.topic(ID))
    assert answer  # a check that the search can find something


def test_a_bundle_gives_back_the_modules_that_it_is_made_of():
    modules = {"shop": b"import till\n", "till": b"# \xe4 in latin-1, no newline at the end"}

    assert parted(bundled(modules), ["shop", "till"]) == modules
    assert parted(modules["shop"], ["shop"]) == {"shop": modules["shop"]}
    assert parted(b"a\n\f# other.py\nb", ["shop", "till"]) == {"shop": b"a\n\f# other.py\nb"}


def test_mutants_are_made_of_every_module(topic):
    assert {mutant.tasks for mutant in mutants(topic)} >= {("till",), ("prices",)}


@pytest.mark.slow
def test_every_gate_holds(topic):
    verdict = verify(topic)

    assert [str(finding) for finding in verdict.findings if "known mistakes" not in finding.gate] == []


# --- behind the wall ---------------------------------------------------------------------------------------------


def test_the_solution_has_all_points_and_the_stub_none(judge, course, topic, tmp_path):
    folder = home(course, tmp_path / "sam")
    assert marks(judge, folder)[0] == {"prices": 0, "till": 0}
    solve(topic, folder)

    scores, report = marks(judge, folder)

    assert scores == {"prices": 45, "till": 45}
    assert report.complaints == ()


def test_each_module_earns_its_own_marks(judge, course, topic, tmp_path):
    folder = home(course, tmp_path / "sam")
    solve(topic, folder, "till")

    assert marks(judge, folder)[0] == {"prices": 0, "till": 45}


def test_who_forgot_a_further_module_keeps_what_is_in_the_other(judge, course, topic, tmp_path):
    folder = home(course, tmp_path / "sam")
    solve(topic, folder)
    (folder / "till.py").unlink()

    scores, report = marks(judge, folder)

    assert scores == {"prices": 45, "till": 0}
    assert any("no till.py" in said and "as it was handed out" in said for said in report.complaints)


def test_given_files_cannot_be_changed_and_students_own_do_not_count(judge, course, topic, tmp_path):
    folder = home(course, tmp_path / "sam")
    solve(topic, folder)
    (folder / "data" / "prices.csv").write_text("bread,9.99\n")
    (folder / "helpers.py").write_text("def cents(euros):\n    return 0\n")
    shop = folder / "shop.py"
    opened = "open('data/prices.csv', 'a').write('x,1\\n')"
    shop.write_text(shop.read_text() + f"\ntry:\n    {opened}\nexcept OSError:\n    pass\n")

    assert marks(judge, folder)[0] == {"prices": 45, "till": 45}


def test_students_may_write_beside_given_files(judge, course, topic, tmp_path):
    folder = home(course, tmp_path / "sam")
    solve(topic, folder)
    shop = folder / "shop.py"
    shop.write_text(shop.read_text() + "\nopen('data/cache.csv', 'w').write('1')\n")

    assert marks(judge, folder)[0]["till"] == 45


def test_a_further_module_has_no_package_that_its_task_forbids(judge, course, topic, tmp_path):
    folder = home(course, tmp_path / "sam")
    solve(topic, folder)
    till = folder / "till.py"
    text = till.read_text().replace("import numpy as np", "import numpy as np\nimport torch")
    till.write_text(text.replace("int(np.sum(prices", "int(torch.sum(prices"))

    assert marks(judge, folder)[0] == {"prices": 45, "till": 0}


def test_a_fault_names_the_module_in_which_it_is(judge, course, topic, tmp_path):
    folder = home(course, tmp_path / "sam")
    solve(topic, folder)
    till = folder / "till.py"
    till.write_text(till.read_text().replace("int(np.sum", "int(1 / 0 + np.sum"))
    report = marks(judge, folder)[1]
    said = next(task.hint for task in report.tasks if task.task == "till")
    assert "ZeroDivisionError" in said
    assert "of till.py" in said

    till.write_text("def total(:\n")
    report = marks(judge, folder)[1]
    assert any("till.py is not valid Python" in said and "(line 1 of till.py" in said for said in report.complaints)


def test_complaints_name_the_module(judge, course, topic, tmp_path):
    folder = home(course, tmp_path / "sam")
    solve(topic, folder)
    till = folder / "till.py"
    till.write_text(till.read_text() + "\nimport subprocess\nimport pandas\n")

    said = marks(judge, folder)[1].complaints

    assert any(text.startswith("till.py: Line") and "subprocess" in text for text in said)
    assert any(text.startswith("till.py: Line") and "pandas" in text for text in said)


def test_every_file_travels_to_other_machines(course, topic, tmp_path):
    there = cluster._laid_out(ID, tuple(sorted(cluster._files(topic).items()))).topic(ID)
    archive = write_zip(course, ID, tmp_path / "gradescope.zip")

    assert (there.files, store.suite(there)) == (topic.files, store.suite(topic))
    with zipfile.ZipFile(archive) as opened:
        names = {name.removeprefix(f"course/assignments/{ID}/") for name in opened.namelist()}
    assert names >= {*topic.files, "shop.py", "till.py"}


# --- a student's folder -------------------------------------------------------------------------------------------


def test_public_tests_open_the_same_paths_at_home(course, topic, tmp_path):
    folder = home(course, tmp_path / "home")
    solve(topic, folder)

    run = run_public_tests(folder)
    elsewhere = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", str(folder)], cwd=tmp_path, capture_output=True, text=True
    )

    assert run.progress is not None
    assert [(task.task, task.passed, task.is_done) for task in run.progress.tasks] == [
        ("prices", 1, True),
        ("till", 1, True),
    ]
    assert run.progress.warnings == ()
    assert "2 passed" in elsewhere.stdout


def test_a_failure_at_home_names_the_module_in_which_it_is(course, topic, tmp_path):
    folder = home(course, tmp_path / "home")
    solve(topic, folder)
    till = folder / "till.py"
    till.write_text(till.read_text().replace("int(np.sum", "int(1 / 0 + np.sum"))

    run = run_public_tests(folder, "till")

    assert run.progress is not None
    fault = run.progress.tasks[0].first_fault
    assert fault is not None
    assert "ZeroDivisionError" in fault.sentence
    assert "of till.py" in fault.sentence


def test_what_a_further_module_may_not_use_is_not_there_at_home_either(course, topic, tmp_path):
    folder = home(course, tmp_path / "home")
    solve(topic, folder)
    till = folder / "till.py"
    text = till.read_text().replace("import numpy as np", "import numpy as np\nimport torch")
    till.write_text(text.replace("int(np.sum(prices", "int(torch.sum(prices"))

    run = run_public_tests(folder, "till")

    assert run.progress is not None
    fault = run.progress.tasks[0].first_fault
    assert fault is not None
    assert "torch.sum" in fault.sentence
    assert "which this task does not allow" in fault.sentence


def test_a_hint_points_into_the_module_in_which_the_function_is(course, topic, tmp_path):
    folder = home(course, tmp_path / ID)
    tests = find_public_tests(folder)
    assert tests is not None

    assert "of till.py" in " ".join(give(folder, tests, "till").hints[0].sentences)


def test_submit_looks_at_every_module_and_packs_all(course, topic, tmp_path):
    folder = home(course, tmp_path / ID)
    solve(topic, folder)
    assert [finding.sentence for finding in look.examine(folder) if finding.level == "stop"] == []
    with zipfile.ZipFile(submit.pack(folder)) as archive:
        assert sorted(archive.namelist()) == [f"{ID}/{name}" for name in ("01_shop.ipynb", "shop.py", "till.py")]

    (folder / "till.py").write_text("def total(:\n")
    said = [finding.sentence for finding in look.examine(folder) if finding.level == "stop"]
    assert any(text.startswith("till.py is not valid Python") for text in said)

    (folder / "till.py").unlink()
    said = [finding.sentence for finding in look.examine(folder) if finding.level == "stop"]
    assert said == ["till.py is missing: shop.py and till.py are examined. Put it back under that name."]


def test_what_submit_packs_is_what_is_examined(judge, course, topic, tmp_path):
    folder = home(course, tmp_path / ID)
    solve(topic, folder)

    assert marks(judge, submit.pack(folder))[0] == {"prices": 45, "till": 45}


# --- a teacher's day ---------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_class_goes_from_release_to_feedback(course, topic, tmp_path):
    def autograder(*words):
        run = subprocess.run(
            [sys.executable, "-m", "autograder.cli", *words], cwd=course.root, capture_output=True, text=True
        )
        assert run.returncode == 0, run.stdout + run.stderr
        return run.stdout

    autograder("release", ID)
    released = course.release / ID
    assert (released / "signs" / "door" / "closed.txt").is_file()
    for student, modules in (("ann", MODULES), ("ben", ("till",))):
        folder = course.submitted / student / ID
        shutil.copytree(released, folder)
        for name in modules:
            shutil.copy(topic.folder / f"{name}.py", folder)

    autograder("grade", ID)
    autograder("feedback", ID)

    scores = {report.student: report.score for report in store.reports(course, ID)}
    assert scores == {"ann": 90.0, "ben": 45.0}
    page = (course.root / "feedback" / "ben" / ID / f"{ID}.html").read_text()
    assert "45" in page
    autograded = course.root / "autograded" / "ann" / ID
    assert (autograded / "till.py").read_bytes() == (topic.folder / "till.py").read_bytes()
    assert not (autograded / "data").exists()


def test_check_runs_in_a_notebook_beside_the_modules(course, topic, tmp_path, monkeypatch):
    folder = home(course, tmp_path / ID)
    solve(topic, folder)
    monkeypatch.chdir(folder)

    assert "1 of 1" in repr(check("till"))
