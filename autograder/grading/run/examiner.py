"""The examiner: a separate process that holds the tests, the solution and the seed, and runs pytest.

    python -m autograder.grading.run.examiner FOLDER --isolation A

It collects the suite once. Then it reads requests, each one JSON line on standard input. For each request it runs the
tests on the submission behind the wall, and answers with one JSON line. It never imports student code.

    request  {"source": base64 or null, "seed": int, "tests": names to run, or null for all,
              "stops": whether to end with the first test that does not pass, "changes": see below}
    answer   {"results": [{"test", "outcome", "kind", "sentence", "seconds", "seconds_alone", "changes"}], "seconds",
              "import_fault"}

"seconds_alone" is the time that the test would take alone: shared fixtures that an earlier test set up count too.
In a result, "changes" are the arguments that the code changed in that test ("function:argument", with "setup " before
it for a fixture). In a request, they are the arguments that the solution changes in each test. All other arguments are
protected: the test gets what the code returns, and its argument stays as it was. If something was held back in a test,
the test is run again with every change, and passes if it passes both times (changes.py).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, cast

import pytest

from autograder.errors import AutograderError
from autograder.forbidden import packages_of
from autograder.grading.run import fixtures
from autograder.grading.run.examination import Examination
from autograder.grading.run.examiner_process import SCRATCH
from autograder.limits import submission_seconds, worker_seconds
from autograder.report.model import Isolation
from autograder.sandbox.outside import core
from autograder.sandbox.outside.zygotes import Zygote
from autograder.sandbox.rungs.launch import Limits
from autograder.topic import Topic, read_topic

#: plugins of pytest and of ours that only cost time here, or print something for a person
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
        config.option.tbstyle = "native"  # nobody reads the traceback, and pytest needs 50 ms to write its own kind
        config.pluginmanager.register(self._examination, "examination")
        config.pluginmanager.register(fixtures, "examination-fixtures")


def pytest_arguments(topic: Topic) -> list[str]:
    """Return the command line that collects a topic's suite; no configuration file around it has any effect."""
    arguments = [str(topic.public_tests_path), str(topic.hidden_tests_path)]
    arguments += ["-c", os.devnull, f"--rootdir={topic.folder}", "--noconftest", "--import-mode=importlib"]
    for plugin in _UNUSED:
        arguments += ["-p", f"no:{plugin}"]
    return [*arguments, "-p", "autograder.plugin", "--capture=no"]


def answer_requests(folder: Path, hold: Callable[[Topic, IO[str], IO[str]], int]) -> int:
    """Read a topic and let `hold` examine what comes in on standard input; what tests print goes elsewhere."""
    answers = os.fdopen(os.dup(1), "w")
    requests = os.fdopen(os.dup(0), "r")
    os.dup2(2, 1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.dont_write_bytecode = True
    for name in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS"):
        os.environ.pop(name, None)
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    threading.Thread(target=_end_after, args=(os.getppid(),), daemon=True).start()
    try:
        topic = read_topic(folder.resolve())
        enter(topic)
        return hold(topic, requests, answers)
    except AutograderError as error:
        answers.write(json.dumps({"error": str(error), "kind": type(error).__name__}) + "\n")
        answers.flush()
        return 2


def enter(topic: Topic) -> None:
    """Work in a topic's folder: a test opens a given file under the same path as in a student's folder."""
    os.chdir(topic.folder)
    sys.path.append(str(topic.folder))  # to import the solution's further modules, and given modules


def zygote_of(topic: Topic, isolation: Isolation) -> Zygote:
    """Start the zygotes of all worlds of a topic; they become warm while this process imports the suite."""
    given = {file: topic.folder / file for file in topic.files}
    zygote = Zygote(isolation, topic.shown, limits_of(topic), given)
    for task in topic.tasks:
        zygote.without(packages_of(task.forbid))
    return zygote


def _end_after(owner: int) -> None:
    """End this process soon after its owner: a submission may take minutes, and nobody would read its answer.

    Its zygote and its workers end with it. The scratch folder was the owner's, who cannot remove it any more.
    """
    while os.getppid() == owner:
        time.sleep(1)
    scratch = os.environ.get("TMPDIR", "")
    if Path(scratch).name.startswith(SCRATCH):
        shutil.rmtree(scratch, ignore_errors=True)
    os.kill(os.getpid(), signal.SIGKILL)


def run(examination: Examination, topic: Topic) -> int:
    """Run pytest with an examination instead of its own run loop."""
    if topic.needs_torch:
        import torch

        torch.set_num_threads(1)
    return int(pytest.main(pytest_arguments(topic), plugins=[_Hire(examination)]))


def limits_of(topic: Topic) -> Limits:
    """Return what one worker may use in this topic. The kernel allows it at least the CPU time of a submission."""
    seconds = submission_seconds(task.seconds for task in topic.tasks)
    return Limits(worker_seconds(seconds), topic.memory, topic.disk, topic.processes)


def main() -> int:
    parser = argparse.ArgumentParser(prog="autograder.grading.run.examiner")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--isolation", required=True)
    parser.add_argument("--seat", type=int)
    options = parser.parse_args()
    if options.seat is not None:
        core.take_seat(options.seat)

    def hold(topic: Topic, requests: IO[str], answers: IO[str]) -> int:
        with zygote_of(topic, cast(Isolation, options.isolation)) as zygote:
            return run(Examination(topic, zygote, requests, answers), topic)

    return answer_requests(options.folder, hold)


if __name__ == "__main__":
    sys.exit(main())
