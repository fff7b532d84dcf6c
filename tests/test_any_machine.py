"""A student's machine may have no POSIX: what a student runs works without its modules, on a console of cp1252."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from factory import SOLUTION, make_course

import autograder
from autograder.authoring.build import render

#: makes Python look like that of Windows, as far as a program asks
WITHOUT_POSIX = """
import os
import signal
import sys

GONE = {"fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "syslog", "readline", "posixshmem"}


class Gone:
    def find_spec(self, name, path=None, target=None):
        if name in GONE:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


for name in GONE:
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Gone())
for name in ("fork", "forkpty", "getpgid", "killpg", "setsid", "sched_getaffinity",
             "wait3", "wait4", "mkfifo", "chown", "symlink"):
    if hasattr(os, name):
        delattr(os, name)
for name in ("SIGALRM", "SIGKILL", "SIGHUP", "SIGUSR1", "SIGPROF", "setitimer", "alarm", "pthread_kill", "ITIMER_REAL"):
    if hasattr(signal, name):
        delattr(signal, name)
"""


@pytest.fixture
def folder(tmp_path) -> Path:
    """The released folder of the tiny assignment, with one task solved, and its text files with CRLF."""
    topic = make_course(tmp_path / "course").topic("01_tiny")
    folder = tmp_path / "Übung 1" / "01_tiny"
    folder.mkdir(parents=True)
    for name, content in render(topic).items():
        is_text = name.endswith((".py", ".toml", ".md"))
        (folder / name).write_bytes(content.replace(b"\n", b"\r\n") if is_text else content)
    module = folder / "tiny.py"
    text = module.read_text(encoding="utf-8")
    solved = text.replace('raise NotImplementedError("double: not started")', "return 2 * x  # ü")
    assert solved != text
    module.write_bytes(solved.replace("\n", "\r\n").encode())
    return folder


def run(folder: Path, *words: str) -> tuple[int, str]:
    hooks = folder.parent.parent / "hooks"
    hooks.mkdir(exist_ok=True)
    (hooks / "sitecustomize.py").write_text(WITHOUT_POSIX)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(hooks), str(Path(autograder.__file__).parents[1])]),
        "PYTHONIOENCODING": "cp1252",
        "PYTHONUTF8": "0",
        "LC_ALL": "C",
        "NO_COLOR": "1",
    }
    done = subprocess.run([sys.executable, *words], cwd=folder, env=environment, capture_output=True, check=False)
    return done.returncode, (done.stdout + done.stderr).decode("cp1252").replace("\r\n", "\n")


def test_the_hooks_take_posix_away(folder):
    code, text = run(
        folder, "-c", "import os, signal; print(hasattr(os, 'fork'), hasattr(signal, 'SIGALRM')); import fcntl"
    )

    assert code == 1
    assert text.startswith("False False\n")
    assert "No module named 'fcntl'" in text


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("pytest", "-q"), 1, "halve"),
        (("pytest", "-q", "-k", "double"), 0, "1 passed"),
        (("autograder", "check"), 1, "Tiny"),
        (("autograder", "check", "double"), 0, "1 of 1 test"),
        (("autograder", "status"), 0, "01_tiny"),
        (("autograder", "hint", "halve"), 0, "For the next hint"),
        (("autograder", "--help"), 0, "submit"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_what_a_student_types_works_without_posix(folder, words, code, said):
    module = "autograder.cli" if words[0] == "autograder" else words[0]
    start = ("-c", "from autograder.cli import main; main()") if module == "autograder.cli" else ("-m", module)

    found, text = run(folder, *start, *words[1:])

    assert said in text
    assert "Traceback" not in text
    assert found == code


def test_a_submission_is_packed_without_posix(folder):
    code, text = run(folder, "-c", "from autograder.cli import main; main()", "submit")

    assert code == 0, text
    (packed,) = folder.parent.rglob("*.zip")
    with zipfile.ZipFile(packed) as archive:
        assert "01_tiny/tiny.py" in archive.namelist()


def test_a_module_with_another_line_end_and_a_byte_order_mark_is_examined_the_same(tmp_path):
    from autograder.grading.intake.submission import Submission
    from autograder.grading.mark.judge import Judge

    topic = make_course(tmp_path).topic("01_tiny")
    forms = [SOLUTION, SOLUTION.replace("\n", "\r\n"), SOLUTION.replace("\n", "\r"), "\ufeff" + SOLUTION]
    with Judge(topic, seed=3) as judge:
        scores = [judge.examine(Submission("ada", topic.id, Path("tiny.py"), form.encode())).score for form in forms]

    assert scores == [90.0] * 4
