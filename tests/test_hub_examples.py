"""The example files for JupyterHub and Kubernetes agree with each other and with the command; no cluster is asked."""

from __future__ import annotations

from pathlib import Path

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
