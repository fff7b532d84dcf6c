"""Every error that the package raises on purpose, as one small tree.

    AutograderError                 what a command prints as one sentence, exit code 2
    ├── AuthorError                 an assignment's own files are wrong: where, what, what to do
    ├── SubmissionError             a parcel that cannot be taken as it is
    ├── SandboxError                the wall cannot be raised here
    └── CourseError                 the course folder, the gradebook or the exchange

A message has the form "where: what is wrong; what to do". An error of a student's code is none of these: it is a
`Fault` (see faults.py). A crash of our own code is neither, so it is reported as broken.
"""

from __future__ import annotations


class AutograderError(Exception):
    """The base of every error with a sentence for the person at the keyboard."""


class AuthorError(AutograderError):
    """A file of an assignment breaks a rule; the message starts with file:line if there is a line."""


class SubmissionError(AutograderError):
    """A submission that cannot be examined as it is."""


class SandboxError(AutograderError):
    """No allowed isolation works on this machine, or the sandbox broke."""


class CourseError(AutograderError):
    """The course folder, its gradebook or its exchange is not as it must be."""
