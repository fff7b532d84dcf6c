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
from collections.abc import Callable, Iterator
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
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    topic = Course(Path.cwd()).topic(name)
    with scratch_course(topic, parts_of(topic)[0]) as course:
        return _examine(course.topic(topic.id), count)


def _examine(topic: Topic, count: int) -> int:
    from autograder.grading.mark import integrity
    from autograder.grading.run.examination import Examination
    from autograder.grading.run.examiner import limits_of, run
    from autograder.sandbox.ladder import choose
    from autograder.sandbox.outside.zygotes import Zygote

    if topic.needs_torch:
        import torch

        torch.set_num_threads(1)
    workers: list[float] = []

    class Watched(Examination):
        @contextlib.contextmanager
        def opened(self, source: bytes | None) -> Iterator[Callable[[], str]]:
            with super().opened(source) as fault:
                yield fault
                if self._examinee is not None and self._examinee.is_alive:
                    workers.append(self._examinee.session().process.cpu_seconds())

    examiner: list[float] = []
    texts: list[float] = []

    def requests() -> Iterator[str]:
        for parcel in class_of(topic, count):
            source = parcel.source or b""
            start = time.process_time()
            list(integrity.complaints(source))
            texts.append(time.process_time() - start)
            start = time.process_time()
            yield request_of(source, SEED)
            examiner.append(time.process_time() - start)

    with (
        open(os.devnull, "w") as nowhere,
        Zygote(choose(allow_unisolated=False), topic.shown, limits_of(topic)) as z,
    ):
        code = run(Watched(topic, z, requests(), nowhere), topic)  # type: ignore[arg-type]
    last = -(-count // 3)
    for what, seconds in (("examiner", examiner), ("worker", workers), ("reading the text", texts)):
        print(f"{what}: {statistics.median(seconds[-last:]):.3f} CPU s a submission")
    return code


if __name__ == "__main__":
    sys.exit(main())
