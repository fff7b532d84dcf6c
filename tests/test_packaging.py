"""The wheel as a student installs it: light, with nothing secret in it, and enough for a release folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from autograder.course import Course
from autograder.leak import leaks

COURSE = Course(Path(__file__).parent.parent)
TOPIC = "01_neural_network_basics"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    sources = folder / "sources"
    sources.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(COURSE.root / name, sources)
    shutil.copytree(
        COURSE.root / "autograder", sources / "autograder", ignore=shutil.ignore_patterns("__pycache__")
    )
    run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(folder), str(sources)])
    (built,) = folder.glob("*.whl")
    return built


def run(command: list[str], cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    clean = {
        key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "PYTEST", "VIRTUAL"))
    }
    done = subprocess.run(
        command, cwd=cwd, env=clean, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done


def test_the_wheel_holds_no_assignment_and_no_answer(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()

    assert all(name.startswith(("autograder/", "autograder-")) for name in names)
    assert "autograder/py.typed" in names
    assert "autograder/data/shapes7.safetensors" in names
    assert any(name.startswith("autograder/templates/new_topic/") for name in names)
    example = "autograder/templates/new_topic/mistakes.toml"  # of the template for new assignments: no secret
    for topic_id in COURSE.topic_ids():
        found = [str(leak) for leak in leaks(COURSE.topic(topic_id), [wheel])]
        assert [leak for leak in found if example not in leak] == []


def test_a_student_needs_the_wheel_and_a_release_folder(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "venv"
    venv.create(environment, with_pip=True)
    binaries = environment / "bin"
    run([str(binaries / "pip"), "install", "--quiet", str(wheel)])
    folder = tmp_path / TOPIC
    shutil.copytree(COURSE.release / TOPIC, folder)

    stub = run([str(binaries / "pytest")], folder)
    shutil.copy(COURSE.topic(TOPIC).solution_path, folder)
    solved = run([str(binaries / "autograder"), "check"], folder)
    installed = run([str(binaries / "pip"), "list"]).stdout

    assert "not started" in stub.stdout
    assert "Traceback" not in stub.stdout + stub.stderr
    assert solved.returncode == 0, solved.stdout
    assert not {"torch", "nbgrader", "jupytext", "msgpack"} & set(installed.split())
