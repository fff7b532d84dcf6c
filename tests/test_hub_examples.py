"""The example files for JupyterHub and Kubernetes agree with each other and with the command; no cluster is asked."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from autograder.cli import main

EXAMPLES = Path(__file__).parent.parent / "docs" / "examples"
HUB = EXAMPLES / "jupyterhub"


def options(verb: str) -> set[str]:
    """Return the options of a verb."""
    return {name for parameter in main.commands[verb].params for name in (*parameter.opts, *parameter.secondary_opts)}


def test_the_pod_that_follows_runs_an_existing_command_on_its_own_volume() -> None:
    pod = yaml.safe_load((HUB / "follow-deployment.yaml").read_text())["spec"]["template"]["spec"]
    follow, collect = pod["containers"]
    image = (EXAMPLES / "follow.Dockerfile").read_text()

    assert 'ENTRYPOINT ["autograder", "follow"]' in image
    assert {word for word in follow["args"] if word.startswith("--")} <= options("follow")
    assert follow["args"][0] in collect["command"][-1]
    assert {volume["name"] for volume in pod["volumes"]} == {
        mount["name"] for container in (follow, collect) for mount in container["volumeMounts"]
    }
    assert pod["automountServiceAccountToken"] is False


def test_a_students_pod_mounts_nothing_of_the_course() -> None:
    values = yaml.safe_load((HUB / "zero-to-jupyterhub.yaml").read_text())
    files = values["singleuser"]["extraFiles"]

    assert "storage" not in values["singleuser"]
    assert [file["mountPath"] for file in files.values()] == ["/etc/jupyter/nbgrader_config.py"]
    assert values["hub"]["services"].keys() == {"ngshare"}
    compile(files["nbgrader"]["stringData"], "nbgrader_config.py", "exec")


def test_the_hubs_configuration_is_python_and_the_unit_starts_the_service_that_it_names() -> None:
    text = (HUB / "jupyterhub_config.py").read_text()
    unit = (HUB / "formgrader.service").read_text()

    compile(text, "jupyterhub_config.py", "exec")
    assert "JUPYTERHUB_SERVICE_NAME=deep_learning\n" in unit
    assert 'COURSE = "deep_learning"' in text
    for same in ("http://127.0.0.1:9999", "/etc/jupyterhub/formgrader.env"):
        assert same in text
        assert same in unit
    assert "follow %i" in (EXAMPLES / "autograder-follow@.service").read_text()


def read_yaml(path: Path) -> None:
    assert all(isinstance(part, dict) for part in yaml.safe_load_all(path.read_text()))


def read_python(path: Path) -> None:
    compile(path.read_text(), path.name, "exec")


def read_unit(path: Path) -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None, delimiters="=", comment_prefixes="#")
    unit.read_string(path.read_text())
    assert {"Unit", "Service", "Install"} <= set(unit.sections())
    if shutil.which("systemd-analyze"):
        said = subprocess.run(["systemd-analyze", "verify", path], capture_output=True, text=True).stderr
        assert [line for line in said.splitlines() if path.name in line and "is not executable" not in line] == []


def read_dockerfile(path: Path) -> None:
    text = re.sub(r"^#.*\n", "", path.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    lines = [line.split(maxsplit=1) for line in text.splitlines() if line.strip()]
    assert lines[0][0] == "FROM"
    assert {verb for verb, _ in lines} <= {"FROM", "RUN", "COPY", "ENV", "WORKDIR", "ENTRYPOINT"}
    copied = [name for verb, rest in lines if verb == "COPY" for name in rest.split()[:-1]]
    assert copied
    assert [name for name in copied if not (EXAMPLES.parent.parent / name).exists()] == []
    for command in (rest for verb, rest in lines if verb == "RUN"):
        subprocess.run(["sh", "-n", "-c", command], check=True)


READERS = {".yaml": read_yaml, ".py": read_python, ".service": read_unit, ".Dockerfile": read_dockerfile}


FILES = [path for path in sorted(EXAMPLES.rglob("*")) if path.is_file() and "__pycache__" not in path.parts]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_example_has_the_form_of_its_kind_and_a_page_that_names_it(path: Path) -> None:
    READERS[path.suffix](path)

    assert any(f"examples/{path.relative_to(EXAMPLES)}" in page.read_text() for page in EXAMPLES.parent.glob("*.md"))


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("jupyterhub.md", "Neither was run on a cluster."),
        ("cluster.md", "We have not run them on a Slurm or Kubernetes cluster."),
        ("follow.md", "the container was not built"),
    ],
)
def test_a_page_says_what_was_never_run(page: str, words: str) -> None:
    assert words in " ".join((EXAMPLES.parent / page).read_text().split())
