"""The same examination without a wall, for an author's own code: `autograder verify` compares the two.

    python -m autograder.grading.inprocess FOLDER

A test that behaves differently in the two modes is a fault of the proxy. Only what stands in assignments/ ever runs
here: the solution, its stub, mistakes and alternatives. No submission does.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from autograder.grading.examination import Examination
from autograder.grading.examiner import answer_requests, run
from autograder.student.module import imported
from autograder.topic import Topic


class OpenExamination(Examination):
    """An examination whose `student` is the module itself, as in a student's folder, and whose tests pytest runs."""

    is_direct = False

    @contextlib.contextmanager
    def opened(self, source: bytes | None) -> Iterator[Callable[[], str]]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{self._topic.module}.py"
            path.write_bytes(source or b"")
            with imported(path) as module:
                self._student = module
                yield lambda: ""


def main() -> int:
    def hold(topic: Topic, requests: IO[str], answers: IO[str]) -> int:
        return run(OpenExamination(topic, None, requests, answers), topic)

    return answer_requests(Path(sys.argv[1]), hold)


if __name__ == "__main__":
    sys.exit(main())
