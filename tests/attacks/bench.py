"""Bench: try the same cheats on stock pytest, stock nbgrader and this project.

    python -m attacks.bench [FILE]          prints a table, and writes it to FILE

Each cheat is a module whose functions return None, and a few lines. It is graded together with an honest student, whose
module comes after it. For stock pytest the tests are beside the module, and a mark is the share of tests that passed,
by report.xml. For stock nbgrader the tests are in cells, and a mark is what the gradebook says. Both run in bubblewrap,
for a minute at most, without a network. They can write only to a temporary folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import nbformat

import autograder
from attacks.attack import FAMILIES

_REPOSITORY = Path(__file__).parents[2]
_SECONDS = 60
_TOKEN, _HIDDEN = "token-of-the-grader", "the-hidden-tests-say"
_FAR = "#\n" * 12  #: keeps the code out of the excerpt in a traceback, which nbgrader shows for every failure

_STUB = (
    "import numpy as np\n\n\ndef softmax(x):\n    return None\n\n\ndef accuracy(predicted, labels):\n    return None\n"
)
_SOLUTION = '''import numpy as np


def softmax(x):
    """Turn each row of logits into probabilities."""
    ### BEGIN SOLUTION
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)
    ### END SOLUTION


def accuracy(predicted, labels):
    """Return the share of equal labels."""
    ### BEGIN SOLUTION
    return float(np.mean(predicted == labels))
    ### END SOLUTION
'''
#: (task, is hidden, name, body): the same four tests in each harness, as teachers write them
_TESTS = (
    ("softmax", False, "test_logarithms_become_shares",
     "expected = np.array([[0.25, 0.75]])\nassert np.allclose({m}softmax(np.log(np.array([[1.0, 3.0]]))), expected)"),
    ("softmax", True, "test_a_drawn_matrix",
     "x = np.random.default_rng(7).normal(size=(5, 3)) * 100\nexpected = np.exp(x - x.max(1, keepdims=True))\n"
     "expected = expected / expected.sum(1, keepdims=True)\nassert np.allclose({m}softmax(x), expected)"),
    ("accuracy", False, "test_three_of_four",
     "expected = 0.75\nassert np.allclose({m}accuracy(np.array([1, 2, 3, 4]), np.array([1, 2, 3, 0])), expected)"),
    ("accuracy", True, "test_drawn_labels",
     "rng = np.random.default_rng(8)\na, b = rng.integers(0, 3, 50), rng.integers(0, 3, 50)\nexpected = float(np.mean(a == b))\n"
     "assert np.allclose({m}accuracy(a, b), expected)"),
)  # fmt: skip

_YES = """
class Yes:
    def __array_function__(self, f, types, args, kwargs): return True
    def __array_ufunc__(self, *args, **kwargs): return True
    __eq__ = lambda self, other: True
    __hash__ = None
softmax = accuracy = lambda *a: Yes()
"""
_WALK = """
import json, os
for _folder, _, _files in os.walk('{course}'):
    for _name in _files:
        try:
            _text = open(os.path.join(_folder, _name)).read()
            _cells = json.loads(_text)['cells'] if _name.endswith('.ipynb') else [{'source': _text}]
            for _cell in _cells:
                _code = ''.join(_cell['source'])
                if 'keepdims' in _code and 'def softmax' in _code and 'os.walk' not in _code and CONDITION:
                    exec(_code, globals())
        except Exception: pass
"""
#: (family, what it does, lines at the end of the stub)
CHEATS: tuple[tuple[int, str, str], ...] = (
    (1, "ends the process with success", "import os\nos._exit(0)"),
    (1, "never ends", "def softmax(x):\n    while True:\n        try:\n            while True: pass\n        except BaseException: pass"),
    (1, "kills its parent", "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)"),
    (2, "writes the report itself, as the last word", """
import atexit, glob
def _last():
    for path in glob.glob('{course}/**/report.xml', recursive=True) + ['{course}/report.xml', 'report.xml']:
        try: open(path, 'w').write('<testsuite tests="4" failures="0">' + ''.join(f'<testcase name="{n}"/>' for n in range(4)) + '</testsuite>')
        except OSError: pass
atexit.register(_last)"""),
    (2, "prints that all is well", "print('4 passed in 0.01s')\nsoftmax = accuracy = lambda *a: print('PASSED')"),
    (3, "makes NumPy's comparisons say yes", "np.allclose = np.array_equal = np.isclose = lambda *a, **k: True"),
    (3, "makes pytest skip its tests' bodies", "try:\n    import importlib; importlib.import_module('_pytest.python').Function.runtest = lambda self: None\nexcept Exception: pass"),
    (3, "has the notebook swallow errors", "try: get_ipython().set_custom_exc((Exception,), lambda *a, **k: None)\nexcept Exception: pass"),
    (3, "leaves a conftest.py behind", "import os\nfor _d in ('.', '..', '{course}', '{course}/tests'):\n    try: open(_d + '/conftest.py', 'w').write('def pytest_runtest_call(item): raise SystemExit(1)')\n    except OSError: pass"),
    (4, "leaves a numpy.py behind", "for _d in ('.', '{course}/tests', '{course}'):\n    try: open(_d + '/numpy.py', 'w').write('raise SystemExit(1)')\n    except OSError: pass"),
    (5, "reads the expected value from the caller's frame", """
import sys
def softmax(*a):
    frame = sys._getframe(1)
    while frame:
        if 'expected' in frame.f_locals: return frame.f_locals['expected']
        frame = frame.f_back
accuracy = softmax"""),
    (5, "reads the solution from the disk", _WALK.replace("CONDITION", "'BEGIN SOLUTION' in _code")),
    (5, "copies another student's work", _WALK.replace("CONDITION", "'zoe' in _folder + _name")),
    (5, "sends a secret home in an error", "import os\ndef softmax(x): raise ValueError(os.environ.get('GRADER_TOKEN'))"),
    (5, "sends the hidden tests home in an error", """
import glob
def softmax(x):
    for path in glob.glob('{course}/**/*', recursive=True):
        try: text = open(path).read()
        except Exception: continue
        if MARK in text: raise ValueError('the-hidden' + text[text.index(MARK) + 10:][:200])
MARK = 'the-' + 'hidden-tests-say'"""),
    (6, "returns what is equal to everything", _YES),
    (6, "makes its arguments equal", """
def softmax(x):
    x[...] = 0
    return np.full(x.shape, 1 / x.shape[1])
def accuracy(a, b):
    b[...] = a
    return 1.0"""),
    (7, "calls a library that is not offered", "try:\n    import importlib; softmax = lambda x: importlib.import_module('scipy.special').softmax(x, axis=1)\nexcept Exception: pass"),
    (8, "changes its mark in the gradebook", """
import sqlite3
for _path in ('{course}/gradebook.db', 'gradebook.db'):
    try:
        with sqlite3.connect(_path) as _db:
            _db.execute('update grade_cells set max_score = 0.001'); _db.execute('update base_cell set name = name')
            _db.execute('update grade set manual_score = 1, auto_score = 1')
    except Exception: pass
import os
for _path in ('{course}/gradebook.db',):
    try: open(_path, 'ab').write(b' ')
    except OSError: pass"""),
    (8, "changes what another student handed in", "import glob\nfor _p in glob.glob('{course}/**/zoe/**/*.*', recursive=True) + glob.glob('{course}/**/zoe.py', recursive=True):\n    try: open(_p, 'w').write('')\n    except OSError: pass"),
)  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """The result for the cheat, for the honest student after it, and for the course."""

    cheat: float
    honest: float
    is_changed: bool
    is_late: bool
    said: str

    def __str__(self) -> str:
        harms = []
        if self.is_late:
            harms.append("the run never ends")
        elif self.honest < 1:
            harms.append("the next student loses marks")
        if self.is_changed:
            harms.append("the course is changed")
        if _TOKEN in self.said or "the-hidden-tests-say" in self.said:
            harms.append("a secret is told")
        marks = "**full marks**" if self.cheat >= 0.99 else f"**{self.cheat:.0%} of the marks**" if self.cheat else ""
        return ", ".join([*filter(None, [marks]), *(f"**{harm}**" for harm in harms)]) or "held"


def _sources(course: Path, code: str) -> dict[str, str]:
    return {
        "mallory": _STUB + code.replace("{course}", str(course)) + "\n",
        "zoe": _SOLUTION.replace("    ### BEGIN SOLUTION\n", "").replace("    ### END SOLUTION\n", ""),
    }


def _state(course: Path, *names: str) -> list[tuple[str, str]]:
    files = (path for name in names for path in (course / name).rglob("*") if path.is_file())
    return sorted((str(path), hashlib.sha256(path.read_bytes()).hexdigest()) for path in files if path.suffix != ".pyc")


def _contained(course: Path, command: list[str]) -> bool:
    """Run a stock grader in a box; returns whether it ended in time."""
    box = ["bwrap", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp"]
    for needed in {sys.prefix, sys.base_prefix, str(Path(autograder.__file__).parent.parent)}:
        box += ["--ro-bind", needed, needed]  # it may be under /tmp
    if (Path.home() / ".local").is_dir():
        box += ["--tmpfs", str(Path.home() / ".local")]
    box += ["--bind", str(course), str(course)]
    box += ["--unshare-pid", "--unshare-net", "--unshare-ipc", "--die-with-parent"]
    box += ["--cap-drop", "ALL", "--new-session", "--chdir", str(course)]
    environment = {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": str(course / "home"), "GRADER_TOKEN": _TOKEN,
        "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1", "JUPYTER_PLATFORM_DIRS": "1",
    }  # fmt: skip
    limits = ["prlimit", f"--as={4 << 30}", f"--fsize={64 << 20}", "--"]
    with subprocess.Popen([*box, *limits, *command], env=environment, stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:  # fmt: skip
        try:
            run.wait(_SECONDS)
            return True
        except subprocess.TimeoutExpired:
            run.kill()
            return False


def with_pytest(course: Path, code: str) -> Outcome:
    """One folder for each student, with the tests beside the module; zoe's is run after mallory's."""
    body = "".join(
        f"def {name}():\n    " + body.format(m="shares.").replace("\n", "\n    ") + "\n\n"
        for _, _, name, body in _TESTS
    )
    (course / "tests").mkdir()
    (course / "tests" / "test_shares.py").write_text(f"# {_HIDDEN}\nimport numpy as np\nimport shares\n\n{body}")
    (course / "solution").mkdir()
    (course / "solution" / "shares.py").write_text(_SOLUTION)
    (course / "gradebook.db").write_bytes(b"marks")
    for name, source in _sources(course, code).items():
        (course / "submitted" / name).mkdir(parents=True)
        (course / "submitted" / name / "shares.py").write_text(source)
    kept = ("solution", "submitted/zoe", "tests")
    before, marks, is_late, said = (
        (_state(course, *kept), (course / "gradebook.db").read_bytes()),
        {},
        False,
        "",
    )
    for name in ("mallory", "zoe"):
        report = course / "report.xml"
        report.unlink(missing_ok=True)
        script = f"cp submitted/{name}/shares.py tests/ && cd tests && {sys.executable} -m pytest -q -p no:cacheprovider -p no:autograder --junitxml=../report.xml"
        is_late |= not _contained(course, ["sh", "-c", script])
        with contextlib.suppress(OSError):
            said += report.read_text(errors="replace")
        marks[name] = _share_passed(report)
        (course / "tests" / "shares.py").unlink(missing_ok=True)
    after = (_state(course, *kept), (course / "gradebook.db").read_bytes())
    return Outcome(marks["mallory"], marks["zoe"], before != after, is_late, said)


def _share_passed(report: Path) -> float:
    try:
        cases = list(ElementTree.parse(report).iter("testcase"))
    except (OSError, ElementTree.ParseError):
        return 0.0
    passed = [case for case in cases if not any(child.tag in ("failure", "error", "skipped") for child in case)]
    return len(passed) / len(_TESTS)


def _notebook(source: str) -> nbformat.NotebookNode:
    marks = {"schema_version": 3, "locked": False, "task": False}
    cells = [
        nbformat.v4.new_code_cell(
            source, metadata={"nbgrader": {**marks, "grade": False, "solution": True, "grade_id": "module"}}
        )
    ]
    for _, is_hidden, name, body in _TESTS:
        body = body.format(m="")
        text = f"### BEGIN HIDDEN TESTS\n# {_HIDDEN}\n{_FAR}{body}\n### END HIDDEN TESTS" if is_hidden else body
        metadata = {**marks, "locked": True, "grade": True, "solution": False, "grade_id": name, "points": 1}
        cells.append(nbformat.v4.new_code_cell(text, metadata={"nbgrader": metadata}))
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})


def with_nbgrader(course: Path, code: str) -> Outcome:
    """The module in one cell, the tests in others; `nbgrader autograde` takes mallory, then zoe."""
    (course / "source" / "shares").mkdir(parents=True)
    nbformat.write(_notebook(_SOLUTION), course / "source" / "shares" / "shares.ipynb")
    (course / "nbgrader_config.py").write_text(
        "c = get_config()\nc.CourseDirectory.course_id = 'shares'\nc.ClearSolutions.code_stub = {'python': 'pass'}\n"
    )
    nbgrader = [sys.executable, "-m", "nbgrader"]
    _contained(course, [*nbgrader, "generate_assignment", "shares", "--create"])
    released = nbformat.read(course / "release" / "shares" / "shares.ipynb", as_version=4)
    for name, source in _sources(course, code).items():
        released.cells[0].source = source
        folder = course / "submitted" / name / "shares"
        folder.mkdir(parents=True)
        nbformat.write(released, folder / "shares.ipynb")
    before = _state(course, "source", "release", "submitted/zoe"), _foreign_scores(course / "gradebook.db")
    is_late = not _contained(course, [*nbgrader, "autograde", "shares"])
    after = _state(course, "source", "release", "submitted/zoe"), _foreign_scores(course / "gradebook.db")
    said = ""
    for path in (course / "autograded").glob("mallory/*/*.ipynb"):
        with contextlib.suppress(Exception):
            said += json.dumps([cell.get("outputs") for cell in nbformat.read(path, as_version=4).cells])
    marks = {name: _score(course / "gradebook.db", name) for name in ("mallory", "zoe")}
    return Outcome(marks["mallory"], marks["zoe"], before != after, is_late, said)


def _foreign_scores(path: Path) -> list[tuple[object, ...]]:
    """The points of each cell, which must not change in the gradebook."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        return database.execute("select id, max_score from grade_cells order by id").fetchall()


def _score(path: Path, student: str) -> float:
    query = """select sum(coalesce(g.manual_score, g.auto_score, 0)) from grade g
        join submitted_notebook n on g.notebook_id = n.id join submitted_assignment a on n.assignment_id = a.id
        where a.student_id = ?"""
    with contextlib.closing(sqlite3.connect(path)) as database:
        return float(database.execute(query, [student]).fetchone()[0] or 0) / len(_TESTS)


def with_ours(course: Path, code: str) -> Outcome:
    """The same tests with the fixture `student`; `autograder grade` takes mallory, then zoe."""
    folder = course / "assignments" / "01_shares"
    folder.mkdir(parents=True)
    tasks = "".join(
        f'[tasks.{task}]\nnumber = "1.{n}"\ntitle = "{task}"\nnames = ["{task}"]\npoints = 45\nseconds = 2\n'
        for n, task in enumerate(("softmax", "accuracy"), 1)
    )
    (folder / "topic.toml").write_text(
        f'title = "Shares"\nsummary = "Shares."\nmodule = "shares"\nobjectives = ["share"]\nimports = ["numpy"]\n\n{tasks}'
    )
    (folder / "shares.py").write_text(_SOLUTION)
    (folder / "lesson.py").write_text("# %% [markdown]\n# # Shares\n")
    (folder / "mistakes.toml").write_text("")
    for file, hidden in (("test_shares.py", False), ("test_shares_hidden.py", True)):
        body = "".join(
            f'@pytest.mark.task("{task}")\ndef {name}(student):\n    """It is {task}."""\n    '
            + body.format(m="student.").replace("\n", "\n    ") + "\n\n"
            for task, is_hidden, name, body in _TESTS if is_hidden == hidden
        )  # fmt: skip
        (folder / file).write_text(f"# {_HIDDEN if hidden else ''}\nimport numpy as np\nimport pytest\n\n{body}")
    (course / "nbgrader_config.py").write_text("c = get_config()\n")
    (course / "gradebook.db").write_bytes(b"marks")
    paths = []
    for name, source in _sources(course, code).items():
        (course / "submitted" / name / "01_shares").mkdir(parents=True)
        paths.append(course / "submitted" / name / "01_shares" / "shares.py")
        paths[-1].write_text(source)
    before = _state(course, "assignments", "submitted"), (course / "gradebook.db").read_bytes()
    command = [
        sys.executable,
        "-m",
        "autograder.cli",
        "grade",
        "01_shares",
        *map(str, paths),
        "--json",
        "out.json",
        "--jobs",
        "1",
    ]
    environment = os.environ | {"PYTHONPATH": str(_REPOSITORY), "GRADER_TOKEN": _TOKEN}
    is_late = False
    try:
        subprocess.run(command, cwd=course, env=environment, capture_output=True, timeout=2 * _SECONDS, check=False)
    except subprocess.TimeoutExpired:
        is_late = True
    after = _state(course, "assignments", "submitted"), (course / "gradebook.db").read_bytes()
    try:
        said = (course / "out.json").read_text()
        marks = [report["score"] / report["max_score"] for report in json.loads(said)]
    except OSError:
        said, marks = "", [0.0, 0.0]
    return Outcome(marks[0], marks[1], before != after, is_late, said)


_PAGE = """# Who falls to what

Written by `make bench-attacks`. Each row is a submission whose functions
return None, with a few more lines that cheat. Three graders grade it, and after it the submission of an honest student:

* *stock pytest*: the tests are beside the module; the mark is the share of tests that passed in `report.xml`;
* *stock nbgrader*: the module is in one cell, the tests in other cells; `nbgrader autograde` puts the mark into the gradebook;
* *autograder*: the same four tests with the fixture `student`, run by `autograder grade`.

*held* means: the cheat gets no marks, the honest student gets full marks, the course's files are unchanged, no message holds a
secret, and the run ends. Both stock graders ran with their usual settings. With one container for each student they would
protect the course and the next student. But they would still give the marks, because the tests share a process with the
module.

{table}
"""
HARNESSES = (("stock pytest", with_pytest), ("stock nbgrader", with_nbgrader), ("autograder", with_ours))


def table(cheats: tuple[tuple[int, str, str], ...] = CHEATS) -> str:
    """Run every cheat against every harness and return the table."""
    rows = [
        "| family | a submission that | " + " | ".join(name for name, _ in HARNESSES) + " |",
        "|---|---|---|---|---|",
    ]
    fallen = dict.fromkeys((name for name, _ in HARNESSES), 0)
    for family, what, code in cheats:
        outcomes = []
        for name, harness in HARNESSES:
            root = Path(tempfile.mkdtemp(prefix="bench-", dir="/var/tmp"))
            try:
                root.chmod(0o755)
                (root / "home").mkdir()
                outcomes.append(str(harness(root, code)))
            finally:
                shutil.rmtree(root, ignore_errors=True)
            fallen[name] += outcomes[-1] != "held"
        rows.append(f"| {FAMILIES[family]} | {what} | {' | '.join(outcomes)} |")
        print(rows[-1], flush=True)
    totals = " | ".join(f"falls to {count} of {len(cheats)}" for count in fallen.values())
    return "\n".join([*rows, f"| | | {totals} |"])


def main() -> None:
    """Print the table, and write it to the file on the command line."""
    if shutil.which("bwrap") is None:
        sys.exit("bubblewrap is not installed, and a stock grader runs cheats in the open; apt install bubblewrap")
    text = table()
    print(text.splitlines()[-1])
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(_PAGE.format(table=text), encoding="utf-8")


if __name__ == "__main__":
    main()
