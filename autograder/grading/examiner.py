"""The examiner: a process of its own that holds the tests, the reference and the seed, and runs pytest over them.

    python -m autograder.grading.examiner FOLDER --isolation A

It collects the suite once. Then, for every request (one JSON line on standard input) it runs the tests against that
submission behind the wall and answers with one JSON line. It never imports student code.

    request  {"source": base64 or null, "seed": int, "tests": names to run, or null for all,
              "stops": whether to end with the first test that does not pass, "changes": see below}
    answer   {"results": [{"test", "outcome", "kind", "sentence", "seconds", "changes"}], "seconds", "import_fault",
              "unsteady": tests that hang on something else than the seed and the answers (transcripts.py)}

"changes" of a result are the places ("function:argument", with "setup " in front for those of a fixture) that the
code changed in that test. Of a request they are, for each test, the places that the solution changes: others are
protected, and a test that passes while something was held back must pass once more with every change (changes.py).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, cast

import pytest

from autograder.errors import AutograderError
from autograder.grading import fixtures
from autograder.grading.examination import Examination
from autograder.report.model import Isolation
from autograder.sandbox import core
from autograder.sandbox.rungs import Limits
from autograder.sandbox.zygotes import Zygote
from autograder.topic import Topic, read_topic

#: plugins of pytest's and ours that only cost time here, or speak to a person
_UNUSED = (
    "cacheprovider",
    "unraisableexception",
    "threadexception",
    "faulthandler",
    "terminal",
    "logging",
    "warnings",
    "autograder-student-run",
)


class _Hire:
    """Registers the examination last, so that its fixtures win over the plugin's."""

    def __init__(self, examination: Examination) -> None:
        self._examination = examination

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        config.option.tbstyle = "native"  # nobody reads the traceback, and pytest's own takes 50 ms to write
        config.pluginmanager.register(self._examination, "examination")
        config.pluginmanager.register(fixtures, "examination-fixtures")


def pytest_arguments(topic: Topic) -> list[str]:
    """Return the command line under which a topic's suite is collected, untouched by any file around it."""
    arguments = [str(topic.public_tests_path), str(topic.hidden_tests_path)]
    arguments += ["-c", os.devnull, f"--rootdir={topic.folder}", "--noconftest", "--import-mode=importlib"]
    for plugin in _UNUSED:
        arguments += ["-p", f"no:{plugin}"]
    return [*arguments, "-p", "autograder.plugin", "--capture=no"]


def answer_requests(folder: Path, hold: Callable[[Topic, IO[str], IO[str]], int]) -> int:
    """Read a topic and have `hold` examine what comes in on standard input, undisturbed by what tests print."""
    answers = os.fdopen(os.dup(1), "w")
    requests = os.fdopen(os.dup(0), "r")
    os.dup2(2, 1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.dont_write_bytecode = True
    for name in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS"):
        os.environ.pop(name, None)
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    try:
        topic = read_topic(folder)
        if topic.needs_torch:
            import torch

            torch.set_num_threads(1)
        return hold(topic, requests, answers)
    except AutograderError as error:
        answers.write(json.dumps({"error": str(error), "kind": type(error).__name__}) + "\n")
        answers.flush()
        return 2


def run(examination: Examination, topic: Topic) -> int:
    """Run pytest with an examination in the place of its loop."""
    return int(pytest.main(pytest_arguments(topic), plugins=[_Hire(examination)]))


def main() -> int:
    parser = argparse.ArgumentParser(prog="autograder.grading.examiner")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--isolation", required=True)
    parser.add_argument("--place", type=int)
    options = parser.parse_args()
    if options.place is not None:
        core.take_place(options.place)

    def hold(topic: Topic, requests: IO[str], answers: IO[str]) -> int:
        limits = Limits(memory_mb=topic.memory, scratch_mb=topic.files, processes=topic.processes)
        with Zygote(cast(Isolation, options.isolation), topic.packages, limits) as zygote:
            return run(Examination(topic, zygote, requests, answers), topic)

    return answer_requests(options.folder, hold)


if __name__ == "__main__":
    sys.exit(main())
