"""GitHub Classroom: a template repository for students whose workflow runs the public tests. Nothing hidden is in it.

A workflow runs in a student's own repository, on everything that the student pushes. A student could read hidden
tests, solution or seed there. So the workflow runs only what students may see, as their own pytest does. The mark
comes from the teacher's machine, where `autograder grade` examines the cloned repositories behind the wall.
"""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

from autograder.authoring import build
from autograder.course import Course
from autograder.errors import CourseError
from autograder.files import write_atomically
from autograder.grading.keep.engine import engine_files, requirements
from autograder.topic import Topic

WORKFLOW = ".github/workflows/classroom.yml"
_ENGINE = ".github/autograder"
_HEAD = """\
# Made by `autograder export {id} --format github`. It runs the public tests; no hidden test is here.
# Anybody who can push can change this file. It shows a student the progress of the work; it is not the mark.
name: Public tests
on: [push, workflow_dispatch, repository_dispatch]
permissions:
  checks: write
  actions: read
  contents: read
jobs:
  public-tests:
    runs-on: ubuntu-latest
    if: github.actor != 'github-classroom[bot]'
    env:
      OMP_NUM_THREADS: "1"
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with:
          python-version: "3.12"
      - name: Install
        run: |
          python -m pip install --quiet -r {engine}/requirements.txt
          python -m pip install --quiet --no-deps ./{engine}
"""
_STEP = """\
      - name: {name}
        id: {id}
        uses: classroom-resources/autograding-command-grader@v1
        with:
          test-name: {name}
          command: autograder check {id}
          timeout: 10
          max-score: {points}
"""
_TAIL = """\
      - name: Report
        uses: classroom-resources/autograding-grading-reporter@v1
        env:
{results}
        with:
          runners: {runners}
"""


def write_template(course: Course, topic_id: str, folder: Path | None = None) -> list[Path]:
    """Write the template repository of an assignment; returns the paths, the workflow first.

    Args:
        folder: where to; else exports/<id>/github/ in the course

    Raises:
        CourseError: it is not released, or what is released is not what its files build now
    """
    topic = course.topic(topic_id)
    released = course.release / topic.id
    if not released.is_dir() or build.stale(course, (topic.id,)):
        raise CourseError(f"{released}: not released, or not fresh; run `autograder release {topic.id}` first")
    given = {
        path.relative_to(released).as_posix(): path.read_bytes()
        for path in sorted(released.rglob("*"))
        if path.is_file()
        and not any(part.startswith((".", "__pycache__")) for part in path.relative_to(released).parts)
    }
    files = {
        WORKFLOW: workflow(topic, tomllib.loads(given["topic.toml"].decode())).encode(),
        f"{_ENGINE}/requirements.txt": requirements(topic, for_judge=False).encode(),
        **{f"{_ENGINE}/{name}": content for name, content in engine_files(topic).items()},
        **given,
    }
    folder = folder or course.root / "exports" / topic.id / "github"
    if folder.exists() and any(folder.iterdir()) and not (folder / WORKFLOW).is_file():
        raise CourseError(f"{folder}: holds something that is no such template; give another --out")
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
    return [folder / name for name in files]


def workflow(topic: Topic, released: dict[str, dict[str, dict[str, float]]]) -> str:
    """Return the workflow: a step for each task that can be examined without an extra, worth its public points."""
    tasks = [task for task in topic.tasks if not task.extra]
    steps = [
        _STEP.format(
            name=json.dumps(f"{task.number} {task.title}".strip()),
            id=task.id,
            points=max(round(released["tasks"][task.id].get("public_points", 1)), 1),
        )
        for task in tasks
    ]
    results = "\n".join(
        f'          {task.id.upper()}_RESULTS: "${{{{ steps.{task.id}.outputs.result }}}}"' for task in tasks
    )
    runners = ",".join(task.id for task in tasks)
    return _HEAD.format(id=topic.id, engine=_ENGINE) + "".join(steps) + _TAIL.format(results=results, runners=runners)
