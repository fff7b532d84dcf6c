"""A deep-learning course whose hidden pytest suites examine student code behind a wall.

The rooms, in the order in which an assignment passes through them:

    authoring/    one folder of assignments/ -> what students get, and the gates that it passes first
    student/      what runs in a student's own folder: tests in words, hints, handing in
    grading/      a parcel -> a Submission -> a Report: tests, solution, labels and every mark are here
    sandbox/      the wall: a student's module runs in a worker that knows no test and no answer
    report/       Report, and its output as text, JSON, CSV, HTML
    recording/    Report -> nbgrader, which keeps marks, written answers and feedback
    platforms/    marks and tests to Canvas, Moodle, Gradescope and GitHub Classroom

The modules beside this file serve all rooms: a Topic (topic.py, suite.py), what tests use (expect.py, probe.py), the
pytest plugin, the errors, each bound with its unit (limits.py), and plain.py, which makes other people's texts safe to
show. cli.py has the verbs.

Read five files to know what happens to a zip file:

    topic.py                      one folder of assignments/, read and checked: what a task is, and what it is worth
    grading/intake/collect.py    a folder or an archive becomes a Submission, even a bad one
    sandbox/outside/session.py    the student's module answers from a worker, in plain values
    grading/mark/judge.py         Submission x Topic -> Report: every mark is made here
    recording/gradebook.py        Report -> nbgrader, which keeps the marks and writes the feedback

Students use `check` and `attempt`; tests use `expect` and `probe`.
"""

from __future__ import annotations

from autograder.probe import probe
from autograder.student.check import attempt, check

TYPE_CHECKING = False
if TYPE_CHECKING:
    from autograder import expect

__all__ = ["attempt", "check", "expect", "probe"]
__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """Import `expect`, and NumPy with it, when it is first asked for."""
    if name == "expect":
        import importlib

        return importlib.import_module("autograder.expect")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
