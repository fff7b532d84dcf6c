"""Manifest: the tests that can cost a mark, because the solution passes them under the class's seed.

The solution is examined only with tests that a submission has failed, each test once: a passed test costs nobody a
mark. What else a submission's examination needs (the tests, and the arguments that the solution changes in each) is in
known.json if `verify` has run since the last edit. Otherwise the whole solution is examined first.

What was found is kept on disk, for the next run and for other judges. It depends on the suite, the engine and the seed.
"""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence, Set
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from autograder.errors import SandboxError
from autograder.files import TEACHERS, write_atomically
from autograder.grading.run.examiner_process import allowed_changes
from autograder.known import Known
from autograder.topic import Topic

_PASSED, _SKIPPED = "passed", "skipped"
#: the judges of one process do not examine the solution twice with the same test
_ONE_AT_A_TIME: defaultdict[Path, threading.Lock] = defaultdict(threading.Lock)

Answer = dict[str, Any]
#: asks an examiner about the solution, with these tests, or with all
Ask = Callable[[list[str] | None], Answer | None]


@dataclass(frozen=True)
class ManifestTest:
    """One test of a suite, as a mark depends on it."""

    test: str
    task: str
    weight: float
    is_hidden: bool
    lesson: str
    is_broken: bool = False  #: a submission and the solution fail it: it counts only after a person has looked
    changes: tuple[str, ...] = ()  #: the arguments that the solution changes
    tells: str = ""  #: what its author tells students about it instead of the lesson


class Manifest:
    """The tests of one topic under one seed, and what the solution did with those that were asked about."""

    def __init__(self, topic: Topic, path: Path, ask: Ask, collected: Sequence[dict[str, Any]], known: Known) -> None:
        """Read what is kept at `path`; else take known.json's word, or examine the solution.

        Args:
            topic: whose suite was collected
            path: the file in which the manifest of this suite, engine and seed is kept
            ask: asks an examiner about the solution
            collected: the suite's tests, as the examiner collects them
            known: the contents of known.json

        Raises:
            SandboxError: the examiner crashed on the solution
        """
        self._topic, self._path, self._ask = topic, path, ask
        self._known: dict[str, str] = {}  # test -> what the solution did with it
        with _ONE_AT_A_TIME[path]:
            if (kept := self._read()) is not None:
                self.tests = kept
                return
            changes = known.changes
            if changes is None or not {test["test"] for test in collected} <= set(known.tests):
                found = self._examine(None)
                changes = {name: tuple(result["changes"]) for name, result in found.items()}
            self.tests = tuple(ManifestTest(**test, changes=changes.get(test["test"], ())) for test in collected)
            self._write()

    @property
    def changes(self) -> dict[str, list[str]]:
        """What a submission may change, for a request."""
        return allowed_changes({test.test: test.changes for test in self.tests})

    def judged(self, failed: Set[str]) -> tuple[ManifestTest, ...]:
        """Return the tests that count for a submission that failed some; those that the solution fails too are broken.

        A test that is skipped for the solution counts for nobody.

        Raises:
            SandboxError: the examiner crashed on the solution
        """
        if not failed <= self._known.keys():
            with _ONE_AT_A_TIME[self._path]:
                self._read()
                if asked := [test.test for test in self.tests if test.test in failed and test.test not in self._known]:
                    self._examine(asked)
                    self._write()
        did = {test: self._known.get(test, "") for test in failed}
        return tuple(
            replace(test, is_broken=did.get(test.test, _PASSED) != _PASSED)
            for test in self.tests
            if did.get(test.test) != _SKIPPED
        )

    def complete(self) -> None:
        """Examine the solution with all tests now, so that no later judge has to."""
        self.judged({test.test for test in self.tests})

    def _examine(self, tests: list[str] | None) -> dict[str, dict[str, Any]]:
        answer = self._ask(tests)
        if answer is None:
            raise SandboxError(f"{self._topic.id}: the examiner crashed on the solution; see `autograder verify`")
        found: dict[str, dict[str, Any]] = {result["test"]: result for result in answer["results"]}
        for name, result in found.items():
            self._known[name] = _SKIPPED if result["kind"] == _SKIPPED else result["outcome"]
        return found

    def _read(self) -> tuple[ManifestTest, ...] | None:
        try:
            kept = json.loads(self._path.read_bytes())
            tests = tuple(ManifestTest(**(test | {"changes": tuple(test["changes"])})) for test in kept["tests"])
            self._known |= {str(test): str(outcome) for test, outcome in kept["solution"].items()}
        except (OSError, ValueError, TypeError, LookupError, AttributeError):
            return None
        return tests

    def _write(self) -> None:
        """Keep it, without the tests that the solution failed: the cause may be repaired before the next run."""
        passed = {test: outcome for test, outcome in self._known.items() if outcome in (_PASSED, _SKIPPED)}
        record = {"tests": [asdict(test) for test in self.tests], "solution": passed}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self._path, json.dumps(record).encode(), mode=TEACHERS)
