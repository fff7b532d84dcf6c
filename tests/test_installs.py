"""What is installed: one set of versions for a class, and a table of sizes that a command writes."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from autograder.course import Course

ROOT = Path(__file__).parent.parent


def requirements() -> list[tuple[str, Requirement]]:
    """What the project requires directly, each with its extra ("" for none), but not its own extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = {"": project["dependencies"], **project["optional-dependencies"]}
    found = [(extra, Requirement(text)) for extra, texts in extras.items() for text in texts]
    return [(extra, need) for extra, need in found if need.name != "autograder"]


def test_the_versions_for_a_class_are_those_that_the_project_allows():
    pins = [Requirement(line) for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()]
    version = {canonicalize_name(pin.name): str(pin.specifier).removeprefix("==") for pin in pins}

    elsewhere = {"tensorflow", "fuzz", "hub", "wandb", "albumentations", "timm", "seaborn"}
    missing = [
        need.name
        for extra, need in requirements()
        if canonicalize_name(need.name) not in version and extra not in elsewhere
    ]
    assert missing == []
    outside = [
        str(need)
        for _, need in requirements()
        if (name := canonicalize_name(need.name)) in version and not need.specifier.contains(version[name])
    ]
    assert outside == []


def test_every_extra_that_a_task_asks_for_can_be_installed():
    course = Course(ROOT)
    asked = {extra for topic_id in course.topic_ids() for extra in course.topic(topic_id).extras}

    assert {"tensorflow", "wandb", "albumentations", "timm", "seaborn"} <= asked
    assert asked <= {extra for extra, _ in requirements()}


def test_every_extra_is_explained_on_the_page_of_installs():
    page = (ROOT / "docs" / "installs.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(\w+)`", page)) | set(",".join(re.findall(r"\[([\w,]+)\]", page)).split(","))

    assert {extra for extra, _ in requirements() if extra} - {"fuzz"} <= named
