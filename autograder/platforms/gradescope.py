"""Gradescope: examine the one submission of a Gradescope container, and write its results.json.

`run_autograder` starts this. The folder is Gradescope's: source/ (what the teacher uploaded), submission/,
submission_metadata.json, results/. A broken task has no score there. A container without isolation writes no result at
all. So a fault of ours never costs a mark.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from autograder.course import Course
from autograder.errors import AutograderError
from autograder.files import write_atomically
from autograder.grading.intake.collect import collect
from autograder.grading.mark.judge import Judge
from autograder.plain import one_line
from autograder.report import Report, TaskReport
from autograder.report.words import BROKEN, Words, said, told
from autograder.topic import Topic

SETTINGS = "settings.json"  #: in source/: the assignment, the class's seed, whether a wall may be missing


def main(root: Path, *, prepares: bool = False) -> int:
    """Examine `root`/submission under the settings of `root`/source; returns the exit code.

    Args:
        prepares: examine only the solution, while the image is built, and not again for each submission
    """
    try:
        settings = json.loads((root / "source" / SETTINGS).read_text(encoding="utf-8"))
        topic = Course(root / "source" / "course").topic(settings["assignment"])
        with Judge(topic, seed=settings["seed"], allow_unisolated=settings["allow_unisolated"]) as judge:
            if prepares:
                judge.manifest().complete()
                return 0
            student = _student(root / "submission_metadata.json")
            submission = collect(root / "submission", topic, student=student)
            report = judge.examine(submission)
    except (AutograderError, OSError, ValueError, KeyError) as error:
        print(f"autograder: {error}", file=sys.stderr)
        return 2
    folder = root / "results"
    folder.mkdir(exist_ok=True)
    text = json.dumps(as_results(report, topic), indent=1, ensure_ascii=False)
    write_atomically(folder / "results.json", text.encode("utf-8", "replace"))
    return 0


def as_results(report: Report, topic: Topic) -> dict[str, Any]:
    """Return a report as Gradescope's results.json: tasks for the student, hidden tests for the staff only."""
    notes = [one_line(text) for text in report.complaints]
    if report.isolation == "D":
        notes.append("This was examined without isolation.")
    for_staff = [
        {
            "name": result.test,
            "status": "passed" if result.outcome == "passed" else "failed",
            "output": one_line(f"{result.outcome}: {result.told or result.lesson}"),
            "output_format": "text",
            "visibility": "hidden",
            "tags": [result.task],
        }
        for task in report.tasks
        for result in task.results
        if result.is_hidden
    ]
    return {
        "output": "\n".join([*notes, "These are the points by tests. Written questions are graded by hand."]),
        "output_format": "text",
        "stdout_visibility": "hidden",
        "visibility": "visible",
        "execution_time": round(report.seconds),  # whole seconds: a finer time could tell what a test gave
        "extra_data": {"isolation": report.isolation, "status": report.status},
        "tests": [*(_task(task, topic, found) for task, found in told(report, topic)), *for_staff],
    }


def _task(task: TaskReport, topic: Topic, found: tuple[Words, ...]) -> dict[str, Any]:
    about = topic.task(task.task)
    entry: dict[str, Any] = {
        "name": about.title,
        "number": about.number or task.task,
        "output_format": "text",
        "visibility": "visible",
    }
    if task.missing:
        return {**entry, "output": f"This task is {task.hint}. It costs you nothing."}
    if task.status == "broken":
        return {**entry, "output": BROKEN}
    return {
        **entry,
        "score": task.score,
        "max_score": task.points,
        "status": "passed" if task.score == task.points else "failed",
        "output": said(task, topic, found),
    }


def _student(path: Path) -> str:
    """Who handed in, as far as Gradescope says."""
    try:
        users = json.loads(path.read_text(encoding="utf-8"))["users"]
        return ", ".join(str(user["email"]) for user in users) or "submission"
    except (OSError, ValueError, LookupError, TypeError):
        return "submission"


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), prepares="--prepare" in sys.argv[2:]))
