"""Alone: run the test functions alone, and with pytest, in this process and without a wall. `bench` compares with this.

    python -m benchmarks.alone FOLDER COUNT

It prints one line of JSON: the cost of a submission for the test functions themselves, and for the whole run of pytest.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from autograder.grading.run.examiner_process import request_of
from benchmarks.parts import class_of

if TYPE_CHECKING:
    from autograder.topic import Topic


def main() -> int:
    """Examine a class in this process, and print the cost of a submission: of the tests alone, and of the whole run."""
    import pytest

    from autograder.grading.run.examiner import answer_requests, run
    from autograder.grading.run.inprocess import OpenExamination

    class TimedRun(OpenExamination):
        cpu = wall = 0.0

        @pytest.hookimpl(wrapper=True)
        def pytest_pyfunc_call(self) -> Iterator[object]:
            cpu, wall = time.process_time(), time.perf_counter()
            try:
                return (yield None)
            finally:
                self.cpu += time.process_time() - cpu
                self.wall += time.perf_counter() - wall

    def hold(topic: Topic, _requests: object, answers: object) -> int:
        count = int(sys.argv[2])
        spent: list[tuple[float, float, float, float]] = []

        def requests() -> Iterator[str]:
            for parcel in class_of(topic, 1 + count):
                if parcel.student == "s0001":  # the first one warms up
                    spent.append((time.process_time(), time.perf_counter(), timed.cpu, timed.wall))
                yield request_of(parcel.source or b"", 0)

        with open(os.devnull, "w") as nowhere:
            timed = TimedRun(topic, None, requests(), nowhere)  # type: ignore[arg-type]
            code = run(timed, topic)
        cpu, wall, alone_cpu, alone_wall = spent[0]
        found = {
            "alone": {"cpu": (timed.cpu - alone_cpu) / count, "wall": (timed.wall - alone_wall) / count},
            "pytest": {
                "cpu": (time.process_time() - cpu) / count,
                "wall": (time.perf_counter() - wall) / count,
            },
        }
        print(json.dumps(found), file=answers)  # type: ignore[call-overload]
        return code

    return answer_requests(Path(sys.argv[1]), hold)


if __name__ == "__main__":
    sys.exit(main())
