"""Inside: what a submission costs on either side of the wall.

    python -m benchmarks.inside 01_neural_network_basics 60

Run it in the course's folder. It examines a class in this process, without the tests that train. It prints the medians
of the last third of the class, when everything is warm.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from autograder.course import Course
from autograder.grading.run.examiner_process import request_of
from benchmarks.parts import class_of, parts_of, scratch_course

if TYPE_CHECKING:
    from autograder.topic import Topic

SEED = 11


def main() -> int:
    """Examine a class, and print what each side of the wall used."""
    name, count = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 60
    topic = Course(Path.cwd()).topic(name)
    with scratch_course(topic, parts_of(topic)[0]) as course:
        return _examine(course.topic(topic.id), count)


def _examine(topic: Topic, count: int) -> int:
    last = -(-count // 3)
    for what, seconds in seconds_of(topic, [parcel.source or b"" for parcel in class_of(topic, count)]).items():
        print(f"{what}: {statistics.median(seconds[-last:]):.3f} CPU s a submission")
    return 0


def seconds_of(topic: Topic, sources: Sequence[bytes]) -> dict[str, list[float]]:
    """Examine submissions in this process; returns the CPU seconds of each in the examiner, in its workers, in reading.

    Raises:
        RuntimeError: the suite could not be run
    """
    from autograder.grading.mark import integrity
    from autograder.grading.run.examination import Examination
    from autograder.grading.run.examiner import enter, run, zygote_of
    from autograder.sandbox.ladder import choose

    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    found: dict[str, list[float]] = {"examiner": [], "worker": [], "reading the text": []}

    class Watched(Examination):
        @contextlib.contextmanager
        def opened(self, source: bytes | None) -> Iterator[Callable[[], str]]:
            with super().opened(source) as fault:
                yield fault
                if self._examinee is not None:
                    allowance = self._examinee.allowance
                    for session in self._examinee.sessions:
                        session.settle()
                    found["worker"].append(allowance.total - allowance.seconds)

    def requests() -> Iterator[str]:
        for source in sources:
            start = time.process_time()
            list(integrity.complaints(source))
            found["reading the text"].append(time.process_time() - start)
            start = time.process_time()
            yield request_of(source, SEED)
            found["examiner"].append(time.process_time() - start)

    enter(topic)
    with open(os.devnull, "w") as nowhere, zygote_of(topic, choose(allow_unisolated=False)) as z:
        if run(Watched(topic, z, requests(), nowhere), topic):  # type: ignore[arg-type]
            raise RuntimeError(f"{topic.id}: the suite could not be run")
    return found


if __name__ == "__main__":
    sys.exit(main())
