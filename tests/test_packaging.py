"""The wheel as a student installs it: small, without secrets, and enough for a release folder."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
from wheels import build_wheel

from autograder.authoring.leak import leaks
from autograder.course import Course

COURSE = Course(Path(__file__).parent.parent)
TOPIC = "01_neural_network_basics"
EXPLORED = f"{TOPIC}/test_neural_network_basics.py::test_three_neurons_look_at_two_samples"  # as VS Code names it
KEYS = "  h hint   n next task   a all tasks   Enter again   q quit\n"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


def run(command: list[str], cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "PYTEST", "VIRTUAL"))}
    done = subprocess.run(command, cwd=cwd, env=clean, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done


def test_the_wheel_holds_no_assignment_and_no_answer(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()

    assert all(name.startswith(("autograder/", "autograder-", "dlcourse/")) for name in names)
    assert "autograder/py.typed" in names
    assert "dlcourse/data/shapes7.safetensors" in names
    assert any(name.startswith("autograder/templates/new_topic/") for name in names)
    assert any(name.endswith(".data/data/etc/jupyter/nbgrader_config.json") for name in names)  # it loads the guard
    example = "autograder/templates/new_topic/mistakes.toml"  # of the template for new assignments: no secret
    for topic_id in COURSE.topic_ids():
        found = [str(leak) for leak in leaks(COURSE.topic(topic_id), [wheel])]
        assert [leak for leak in found if example not in leak] == []


def test_a_student_needs_the_wheel_and_a_release_folder(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "venv"
    venv.create(environment, with_pip=False)
    binaries = environment / "bin"
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(environment),
    ]  # this pip, and no other one's ten seconds
    run([*pip, "install", "--quiet", "--no-compile", str(wheel)])
    folder = tmp_path / TOPIC
    shutil.copytree(COURSE.release / TOPIC, folder)

    stub = run([str(binaries / "pytest")], folder)
    one = run([str(binaries / "python"), "-X", "importtime", "-m", "pytest", "-k", "linear_forward"], folder)
    listed = run([str(binaries / "pytest"), "--collect-only", "-q"], folder.parent)
    above = run([str(binaries / "python"), "-m", "pytest", f"--rootdir={folder.parent}", EXPLORED], folder.parent)
    hint = run([str(binaries / "autograder"), "hint", "linear_forward"], folder)
    stub_parcel = run([str(binaries / "autograder"), "submit"], folder)
    shutil.copy(COURSE.topic(TOPIC).solution_path, folder)
    solved = run([str(binaries / "autograder"), "check"], folder)
    status = run([str(binaries / "autograder"), "status"], folder.parent)
    parcel = run([str(binaries / "autograder"), "submit"], folder)
    watching = subprocess.Popen([str(binaries / "autograder"), "watch"], cwd=folder, stdout=subprocess.PIPE, text=True)
    assert watching.stdout is not None
    watched = "".join(iter(watching.stdout.readline, KEYS))
    watching.send_signal(signal.SIGINT)
    installed = run([*pip, "list"]).stdout

    assert "not started" in stub.stdout
    assert "Traceback" not in stub.stdout + stub.stderr
    assert "3 not started" in one.stdout
    assert not re.search(r"\| +(torch|nbgrader|rich|click|IPython)$", one.stderr, re.MULTILINE)
    assert EXPLORED in listed.stdout.splitlines()
    assert "1 not started" in above.stdout
    assert "hint 1 of 3" in hint.stdout
    assert "Not written yet: mcculloch_pitts, Perceptron" in stub_parcel.stdout
    assert solved.returncode == 0, solved.stdout
    assert "100%  all public tests pass" in status.stdout
    assert "Every function and class that the tasks ask for is there." in parcel.stdout
    assert zipfile.is_zipfile(tmp_path / f"{TOPIC}.zip")
    assert "8 of 8 tasks pass their public tests" in watched
    assert watching.wait(60) == 0
    assert not {"torch", "nbgrader", "jupytext", "msgpack"} & set(installed.split())
