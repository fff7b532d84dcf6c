"""The examiner as its owner sees it: a process that answers questions. If it crashes, the owner goes on."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import autograder
from autograder import errors
from autograder.errors import AutograderError, SandboxError
from autograder.limits import GOODBYE_SECONDS, STARTS
from autograder.report import Isolation
from autograder.topic import Topic

SCRATCH = "autograder-"  #: how the name of an examiner's scratch folder begins


class ExaminerProcess:
    """One examiner of one topic, started by the first question and started again after a crash."""

    def __init__(self, topic: Topic, command: list[str]) -> None:
        self._topic = topic
        self._command = [sys.executable, "-P", "-m", *command]  # -P: nothing is imported from the current folder
        self._process: subprocess.Popen[str] | None = None
        self._collected: list[dict[str, Any]] = []
        self.is_abandoned = False

    @classmethod
    def behind_the_wall(cls, topic: Topic, isolation: Isolation, *, seat: int | None = None) -> ExaminerProcess:
        """An examiner for submissions; `seat` is its number among several that work at once (see core.py)."""
        command = ["autograder.grading.run.examiner", str(topic.folder.resolve()), "--isolation", isolation]
        return cls(topic, command if seat is None else [*command, "--seat", str(seat)])

    @classmethod
    def in_process(cls, topic: Topic) -> ExaminerProcess:
        """An examiner without a wall, only for the author's own code (see inprocess.py)."""
        return cls(topic, ["autograder.grading.run.inprocess", str(topic.folder.resolve())])

    def another(self) -> ExaminerProcess:
        """An examiner like this one, which has examined nothing yet."""
        return ExaminerProcess(self._topic, self._command[3:])

    def collected(self) -> list[dict[str, Any]]:
        """Return test, task, weight, is_hidden and lesson of each test of the suite.

        Raises:
            AuthorError, SandboxError: the examiner cannot start, and why
        """
        if self._process is None:
            self._started()
        return self._collected

    def ask(
        self,
        source: bytes | None,
        seed: int,
        tests: list[str] | None = None,
        *,
        stops: bool = False,
        changes: dict[str, list[str]] | None = None,
    ) -> dict[str, Any] | None:
        """Return the examiner's answer on a module's source, or None if it crashed.

        Args:
            source: the module
            seed: the number from which the tests draw their inputs
            tests: the names of the tests to run; None for all
            stops: whether to end with the first test that does not pass
            changes: for each test the arguments that may be changed directly (`allowed_changes`); None for all

        Raises:
            AuthorError, SandboxError: the examiner cannot start, and why
        """
        process = self._process or self._started()
        try:
            assert process.stdin is not None
            process.stdin.write(request_of(source, seed, tests, stops=stops, changes=changes) + "\n")
            process.stdin.flush()
            return self._read(process)
        except (OSError, ValueError):
            self.close()
            return None

    def _started(self) -> subprocess.Popen[str]:
        """Start it; start it again if it or its zygote was killed meanwhile, because the wall was proved before."""
        for _ in range(STARTS - 1):
            with contextlib.suppress(SandboxError):
                return self._start()
        return self._start()

    def _start(self) -> subprocess.Popen[str]:
        try:
            self._errors = tempfile.TemporaryFile(mode="w+")  # noqa: SIM115 (closed with the process)
            self._scratch = tempfile.mkdtemp(prefix=SCRATCH)  # we remove it, however the examiner ends
            os.chmod(self._scratch, 0o711)  # a worker without rights has its folder in it
        except OSError as error:
            raise SandboxError(
                f"{self._topic.id}: no scratch folder can be made ({error.strerror}); make room, or set TMPDIR"
            ) from error
        environment = os.environ | {
            "OMP_NUM_THREADS": "1",
            "PYTHONHASHSEED": "0",  # a set of texts has the same order in every examiner
            "PYTHONPATH": str(Path(autograder.__file__).parent.parent),
            "TMPDIR": self._scratch,
        }
        self._process = process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=environment,
            start_new_session=True,  # Ctrl-C reaches its owner only, who then ends it
        )
        if self.is_abandoned:
            process.kill()
        try:
            answer = self._read(process)
        except (OSError, ValueError):
            self._errors.seek(0)
            words = self._errors.read()[-2000:].strip()
            self.close()
            if process.returncode == -signal.SIGKILL:
                raise SandboxError(f"{self._topic.id}: the examiner was killed as it started") from None
            raise AutograderError(
                f"{self._topic.id}: the suite cannot be collected; {words or 'see the test files'}"
            ) from None
        if "error" in answer:
            self.close()
            kind = getattr(errors, str(answer.get("kind")), AutograderError)
            raise kind(answer["error"])
        self._collected = answer["collected"]
        return process

    @staticmethod
    def _read(process: subprocess.Popen[str]) -> dict[str, Any]:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line.endswith("\n"):
            raise ValueError("the examiner is gone")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def abandon(self) -> None:
        """End it at once and for good, from any thread: the present question and all later ones get no answer."""
        self.is_abandoned = True
        if process := self._process:
            process.kill()

    def close(self) -> None:
        """End the process, with its zygote and its workers."""
        if self._process is not None:
            process, self._process = self._process, None
            assert process.stdin is not None
            with contextlib.suppress(OSError):
                process.stdin.close()  # it then ends by itself, and removes all that it made
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(GOODBYE_SECONDS)
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()
            self._errors.close()
            shutil.rmtree(self._scratch, ignore_errors=True)


def request_of(
    source: bytes | None,
    seed: int,
    tests: list[str] | None = None,
    *,
    stops: bool = False,
    changes: dict[str, list[str]] | None = None,
) -> str:
    """Return a request as an examiner reads it (see examiner.py); the arguments are those of `ask`."""
    encoded = None if source is None else base64.b64encode(source).decode()
    request = {"source": encoded, "seed": seed, "tests": tests, "stops": stops, "changes": changes}
    return json.dumps(request)


def allowed_changes(changes: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    """Return what submissions may change, from what the solution changes in each test; "" means all fixtures."""
    in_setups = {name for of_a_test in changes.values() for name in of_a_test if name.startswith("setup ")}
    return {"": sorted(in_setups)} | {test: sorted(of_a_test) for test, of_a_test in changes.items()}
