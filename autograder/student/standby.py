"""Standby: a process that has imported everything and waits for its one run, so that the run starts at once.

    python -m autograder.student.standby FOLDER_OF_TESTS/test_x.py REPORT PACKAGE...

It reads the tasks from its input, runs their public tests, and ends. If the student's code hangs, exits or crashes
there, the waiting process goes on. It does not fork, so it works the same on Linux, macOS and Windows.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from autograder.student.public_tests import QUICKLY, PublicRun, arguments, environment, what_came

#: packages that take long to import; nothing else is imported ahead
COSTLY = ("numpy", "torch", "torchvision", "keras", "sklearn.datasets")


class Standby:
    """One process for one run."""

    def __init__(self, tests: Path, packages: tuple[str, ...]) -> None:
        self._tests = tests
        self._scratch = tempfile.TemporaryDirectory()
        self._report = Path(self._scratch.name) / "trials.json"
        self._output = (Path(self._scratch.name) / "output").open("w+b")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "autograder.student.standby", str(tests), str(self._report), *packages],
            cwd=tests.parent,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches only the watcher, which ends all that this starts
        )

    def start(self, tasks: list[str]) -> None:
        """Run the tests of these tasks, or of all tasks if the list is empty."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # it has already ended: `result` says how
            self._process.stdin.write(json.dumps(tasks).encode() + b"\n")
            self._process.stdin.close()

    def result(self) -> PublicRun | None:
        """The result of the run; None while it is running."""
        code = self._process.poll()
        if code is None:
            return None
        self._output.seek(0)
        run = what_came(self._tests, self._report, code, self._output.read()[-20_000:])
        self.end()
        return run

    def end(self) -> None:
        """End it at once."""
        if self._process.poll() is None:
            if hasattr(os, "killpg"):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, 9)
            else:
                self._process.kill()
            self._process.wait()
        if self._process.stdin:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        self._output.close()
        self._scratch.cleanup()


def main(tests: Path, report: Path, packages: list[str]) -> int:
    """Import, wait for the tasks, run them."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("KERAS_BACKEND", "torch")
    for name in ("autograder.expect", "autograder.student.report", *packages):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    import pytest

    pytest.main([*QUICKLY, "--version"])  # this imports what pytest needs later
    line = sys.stdin.readline()
    if not line:
        return 0  # the watcher has ended
    sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115 - a student's input() must not wait
    return int(pytest.main(arguments(tests, report, json.loads(line))))


if __name__ == "__main__":
    code = main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # a person waits, so skip the cleaning up of the interpreter
