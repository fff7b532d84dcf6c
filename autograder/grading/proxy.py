"""The student's module as a test in the judge sees it: a proxy with the module's own behaviour.

`Student` is what the fixture returns. Behind it an `Examinee` keeps one submission's worker: a fresh one at the start
and after every death, none at all for a module that cannot be imported.
"""

from __future__ import annotations

from typing import Any, cast

from autograder.errors import SandboxError
from autograder.faults import StudentError, explain_import
from autograder.grading.integrity import LARGEST_MODULE
from autograder.probe import Probe
from autograder.sandbox.allowance import MOST_BYTES_A_TEST, Allowance
from autograder.sandbox.changes import Changes
from autograder.sandbox.faults import Ended, ImportFailed, LimitExceeded
from autograder.sandbox.objects import NUMBERS_A_TEST
from autograder.sandbox.session import Session
from autograder.sandbox.transcripts import Dialogue
from autograder.sandbox.zygotes import Zygote

IMPORT_SECONDS = 10.0  #: CPU seconds that the import of a student's module may take


class Examinee:
    """One submission behind the wall."""

    def __init__(
        self,
        zygote: Zygote,
        *,
        module: str,
        source: bytes | None,
        imports: tuple[str, ...],
        seconds: float = 3600.0,
        is_fresh: bool = False,
        bytes_a_test: int = MOST_BYTES_A_TEST,
    ) -> None:
        """Prepare to examine.

        Args:
            is_fresh: whether every test gets a worker of its own, in which nothing has run before
            bytes_a_test: what the student's code may return in one test
        """
        self._zygote = zygote
        self._module = module
        self._source = source
        self._imports = imports
        self._is_fresh = is_fresh
        self._bytes_a_test = bytes_a_test
        self._session: Session | None = None
        self.import_fault = ""
        self.changes = Changes()
        self.allowance = Allowance(seconds=seconds)

    def start(self, what: str, seconds: float) -> None:
        """Have a worker ready for a test of the task `what`, with so much CPU time.

        Raises:
            SandboxError: no worker can be had (a fault of ours)
            LimitExceeded: the whole submission's budget is used up
        """
        if self._session is not None:
            self._session.settle()
            if self._is_fresh:
                self._session.process.kill()
        if used_up := self.allowance.used_up():
            self.close()
            raise LimitExceeded(f"{what}: {used_up}")
        if not self.import_fault and not self.is_alive:
            self._load()
        if self._session is not None:
            self._session.start_budget(what, seconds)

    def seed(self, seed: int, place: int) -> None:
        """Seed the global generators where the student's code runs; `place` is the test's in the suite."""
        if not self.import_fault:
            self.session().seed(seed, (1 + place) * NUMBERS_A_TEST)

    @property
    def is_alive(self) -> bool:
        """Whether there is a worker, which has not ended."""
        return self._session is not None and self._session.process.is_alive

    @property
    def is_as_new(self) -> bool:
        """Whether a test that begins now can tell this submission from another by its answers alone."""
        return self.is_alive and cast(Session, self._session).is_as_new

    def recall(self, dialogue: Dialogue) -> Any:
        """Go along what others heard in this test; return its verdict, if this submission answers as one of them."""
        return self.session().recall(dialogue)

    def start_call(self) -> None:
        """The test's fixtures are ready, the test itself begins."""
        if self._session is not None:
            self._session.start_call()

    def session(self) -> Session:
        """Return the live connection.

        Raises:
            ImportFailed: there is none, because the module cannot be imported
        """
        if self.import_fault or self._session is None:
            raise ImportFailed(self.import_fault or "no test is running")
        return self._session

    def close(self) -> None:
        """End the worker."""
        if self._session is not None:
            self._session.process.kill()

    def _load(self) -> None:
        if self._source is None:
            self.import_fault = f"{self._module}.py was not handed in"
            return
        if len(self._source) > LARGEST_MODULE:
            self.import_fault = f"{self._module}.py is larger than {LARGEST_MODULE >> 10} KB"
            return
        self._session = Session(
            self._zygote.spawn(), self._zygote.how_it_ended, self.allowance, self.changes, self._bytes_a_test
        )
        self._session.start_budget("", IMPORT_SECONDS)
        try:
            self._session.load(self._module, self._source, self._imports)
        except SandboxError:
            raise
        except (StudentError, Ended) as error:
            self.import_fault = explain_import(error, module=self._module).sentence
            self._session.process.kill()


class Student:
    """The fixture `student` in the judge."""

    def __init__(self, examinee: Examinee) -> None:
        object.__setattr__(self, "_examinee", examinee)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _session(self).get(name)

    def __setattr__(self, name: str, value: Any) -> None:
        _session(self).set(name, value)

    def __probe__(self, probe: Probe, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run a probe beside the module (see probe.py)."""
        return _session(self).request(
            "probe", name=probe.name, args=(probe.source, probe.modules, *args), kwargs=kwargs
        )

    def __repr__(self) -> str:
        return "<the student's module>"


def _session(student: Student) -> Session:
    examinee: Examinee = object.__getattribute__(student, "_examinee")
    return examinee.session()
