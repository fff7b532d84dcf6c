"""A deep-learning course whose hidden pytest suites examine student code behind a wall.

Read five files to know what happens to a zip file:

    topic.py      one folder of assignments/, read and checked: what a task is, and what it is worth
    collect.py    a folder or an archive becomes a Submission, whatever is in it
    sandbox/      the wall: the student's module runs in a worker that knows no test and no answer
    judge.py      Submission x Topic -> Report: the tests run here, and every mark is made here
    gradebook.py  Report -> nbgrader, which keeps the marks and writes the feedback

What a student uses is `check` and `attempt`; what a test uses is `expect` and `probe`.
"""

from __future__ import annotations

from autograder.check import attempt, check
from autograder.probe import probe

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
