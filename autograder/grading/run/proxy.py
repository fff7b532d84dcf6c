"""The student's module as a test in the examiner sees it: a proxy that behaves like the module.

The fixture returns a `Student`. Its `Examinee` keeps the worker of one submission: it starts a new worker at the
beginning and each time a worker dies, and none for a module that cannot be imported.
"""

from __future__ import annotations

from typing import Any

from autograder.errors import SandboxError
from autograder.explain import explain_import
from autograder.faults import StudentError
from autograder.forbidden import packages_of
from autograder.limits import IDLE_SECONDS, IMPORT_SECONDS, MODULE_BYTES, TEST_BYTES, UNSET_SECONDS
from autograder.probe import Probe
from autograder.sandbox.both.bundle import parted
from autograder.sandbox.outside.allowance import Allowance
from autograder.sandbox.outside.changes import Changes
from autograder.sandbox.outside.ends import Ended, ImportFailed, LimitExceeded
from autograder.sandbox.outside.session import Session
from autograder.sandbox.outside.zygotes import Zygote
from autograder.syntax import NOT_UTF8, is_utf16


class Examinee:
    """One submission behind the wall."""

    def __init__(
        self,
        zygote: Zygote,
        *,
        module: str,
        source: bytes | None,
        imports: tuple[str, ...],
        seconds: float = UNSET_SECONDS,
        is_fresh: bool = False,
        bytes_a_test: int = TEST_BYTES,
        idle: float = IDLE_SECONDS,
        also: tuple[str, ...] = (),
        given: tuple[str, ...] = (),
    ) -> None:
        """Prepare to examine.

        Args:
            module: the name of the main module
            source: the student's modules, as a bundle (sandbox/both/bundle.py)
            also: the names of the further modules
            given: the names of given modules
            is_fresh: whether every test gets a new worker, in which nothing has run before
            bytes_a_test: what the student's code may return in one test
            idle: seconds that it may wait without computing, over all tests
        """
        self._zygote = zygote
        self._modules = (module, *also)
        self._given = given
        self._source = source
        self._imports = imports
        self._is_fresh = is_fresh
        self._bytes_a_test = bytes_a_test
        self._sessions: dict[tuple[str, ...], Session] = {}  #: a worker for each world (see forbidden.py)
        self._forbid: tuple[str, ...] = ()  #: of the present test
        self._import_faults: dict[tuple[str, ...], str] = {}
        self.changes = Changes()
        self.allowance = Allowance(seconds=seconds, idle=idle)

    @property
    def _session(self) -> Session | None:
        return self._sessions.get(self._forbid)

    @property
    def sessions(self) -> tuple[Session, ...]:
        """The connection to the worker of each world."""
        return tuple(self._sessions.values())

    @property
    def import_fault(self) -> str:
        """Why the module cannot be imported, as far as is known; '' if it can be."""
        return next(iter(self._import_faults.values()), "")

    def start(self, what: str, seconds: float, forbid: tuple[str, ...] = ()) -> None:
        """Prepare a worker for a test of the task `what`, with `seconds` of CPU time, in the world without `forbid`.

        Raises:
            SandboxError: no worker can be started (a fault of ours)
            LimitExceeded: the whole submission's budget is used up
        """
        for session in self._sessions.values():  # one budget for all worlds
            session.settle()
            if self._is_fresh:
                session.process.kill()
        self._forbid = forbid
        if used_up := self.allowance.used_up():
            self.close()
            raise LimitExceeded(f"{what}: {used_up}")
        if forbid not in self._import_faults and not self.is_alive:
            self._load()
        if self._session is not None:
            self._session.start_budget(what, seconds)

    def seed(self, seed: int) -> None:
        """Seed the global generators where the student's code runs."""
        if self._forbid not in self._import_faults:
            self.session().seed(seed)

    @property
    def is_alive(self) -> bool:
        """Whether there is a worker that has not ended."""
        return self._session is not None and self._session.process.is_alive

    @property
    def was_answered(self) -> bool:
        """Whether the student's code has answered anything in this test."""
        return self._session is not None and self._session.was_answered

    @property
    def called_last(self) -> frozenset[str]:
        """The names in the student's module of what a test has used last; none if that has no name."""
        return frozenset() if self._session is None else self._session.called_last

    def start_call(self) -> None:
        """Note that the test's fixtures are ready, and the test itself begins."""
        if self._session is not None:
            self._session.start_call()

    def session(self) -> Session:
        """Return the live connection.

        Raises:
            ImportFailed: there is none, because the module cannot be imported
        """
        fault = self._import_faults.get(self._forbid, "")
        if fault or self._session is None:
            raise ImportFailed(fault or "no test is running")
        return self._session

    def close(self) -> None:
        """End the workers."""
        for session in self._sessions.values():
            session.process.kill()

    def _load(self) -> None:
        if self._source is None:
            self._import_faults[self._forbid] = f"{self._modules[0]}.py was not handed in"
            return
        for name, text in parted(self._source, self._modules).items():
            if len(text) > MODULE_BYTES:
                self._import_faults[self._forbid] = f"{name}.py is larger than {MODULE_BYTES >> 10} KB"
                return
            if is_utf16(text):
                self._import_faults[self._forbid] = f"{name}.py {NOT_UTF8}"
                return
        zygote = self._zygote.without(packages_of(self._forbid))
        self._sessions[self._forbid] = session = Session(
            zygote.spawn(tuple(name for name in self._forbid if "." in name)), zygote.how_it_ended,
            self.allowance, self.changes, self._bytes_a_test, self._forbid,
        )  # fmt: skip
        session.start_budget("", IMPORT_SECONDS)
        try:
            session.load(self._modules, self._source, self._imports, self._given)
        except SandboxError:
            raise
        except (StudentError, Ended) as error:
            self._import_faults[self._forbid] = explain_import(
                error, module=self._modules[0], also=self._modules[1:]
            ).sentence
            session.process.kill()


class Student:
    """The fixture `student` in the examiner."""

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
