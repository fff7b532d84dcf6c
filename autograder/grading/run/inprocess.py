"""The same examination without a wall, for an author's own code: `autograder verify` compares the two modes.

    python -m autograder.grading.run.inprocess FOLDER

If a test behaves differently in the two modes, the proxy has a fault. Only code of assignments/ runs here: the
solution, its stub, mistakes and alternatives. A submission never does.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from autograder.given import modules_among
from autograder.grading.run.examination import Examination
from autograder.grading.run.examiner import answer_requests, run
from autograder.plugin import forbidden_in, task_of
from autograder.sandbox.both.bundle import parted
from autograder.student.worlds import entered, opened
from autograder.topic import Topic


class OpenExamination(Examination):
    """An examination whose `student` is the module itself, as in a student's folder, and whose tests pytest runs."""

    is_direct = False

    @contextlib.contextmanager
    def opened(self, source: bytes | None) -> Iterator[Callable[[], str]]:
        with tempfile.TemporaryDirectory() as scratch:
            topic, home = self._topic, Path(scratch)
            for name, text in parted(source or b"", topic.modules).items():
                (home / f"{name}.py").write_bytes(text)
            for file in topic.files:
                (home / file).parent.mkdir(parents=True, exist_ok=True)
                (home / file).symlink_to(topic.folder / file)
            main, given = home / f"{topic.module}.py", modules_among(topic.files)
            with contextlib.chdir(home), opened(main, also=topic.also, given=given) as module:
                self._student = module
                yield lambda: ""

    def _run(self, item: pytest.Item, following: pytest.Item | None) -> dict[str, Any]:
        """Run one test in its own world."""
        forbid = forbidden_in(item, self._topic.task(task_of(item)).forbid)
        with entered(forbid, self._topic.modules):
            return super()._run(item, following)


def main() -> int:
    def hold(topic: Topic, requests: IO[str], answers: IO[str]) -> int:
        return run(OpenExamination(topic, None, requests, answers), topic)

    return answer_requests(Path(sys.argv[1]), hold)


if __name__ == "__main__":
    sys.exit(main())
