"""The tasks of 11 that need the extra `tools` are graded: `make test-tools` runs this with all five libraries.

Weights & Biases keeps its files by a second process, and a worker may start none. So behind the wall a run is written
through a client that only keeps what it is told, and the judge plays it to the real client, in offline mode.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from autograder import extras
from autograder.course import Course
from autograder.grading.intake.submission import Submission
from autograder.grading.mark.judge import Judge
from autograder.grading.run.examiner_process import ExaminerProcess
from autograder.grading.run.proxy import Examinee, Student
from autograder.replacements import Alternative, Mistake
from autograder.sandbox.ladder import choose, climb
from autograder.sandbox.outside.zygotes import Zygote
from autograder.sandbox.rungs.launch import Limits
from autograder.stub import stub_of

TOPIC = Course(Path(__file__).parent.parent).topic("11_tools_and_visualization")
DRAWN_OF_A_TASK = 3  #: mistakes of each task that one run tries

pytestmark = [
    pytest.mark.slow,
    *(
        pytest.mark.skipif(not extras.is_installed(extra), reason=extras.sentence(extra))
        for extra in ("wandb", "albumentations", "timm", "seaborn")
    ),
]


@pytest.fixture(scope="module")
def examiner() -> Iterator[ExaminerProcess]:
    process = ExaminerProcess.behind_the_wall(TOPIC, choose())
    yield process
    process.close()


def outcomes(examiner: ExaminerProcess, edit: Mistake | Alternative, seed: int) -> set[str]:
    """How the tests of its task end for a variation of the solution."""
    names = [test["test"] for test in examiner.collected() if test["task"] == edit.task]
    answer = examiner.ask(TOPIC.solution.replace(edit.find, edit.replace).encode(), seed, names)
    assert answer is not None
    return {result["outcome"] for result in answer["results"]}


def test_a_solution_gets_all_points_and_a_stub_none() -> None:
    assert all(task.is_gradable for task in TOPIC.tasks)
    with Judge(TOPIC, seed=1) as judge:
        reports = [
            judge.examine(Submission("ada", TOPIC.id, Path("x"), text.encode()))
            for text in (TOPIC.solution, stub_of(TOPIC))
        ]

    assert [(report.score, report.max_score, report.status) for report in reports] == [
        (90.0, 90.0, "graded"),
        (0.0, 90.0, "graded"),
    ]


def test_the_solution_passes_under_any_seed(examiner: ExaminerProcess, draw: int) -> None:
    answer = examiner.ask(TOPIC.solution.encode(), draw)

    assert answer is not None
    failed = [f"{of['test']}: {of['sentence']}" for of in answer["results"] if of["outcome"] != "passed"]
    assert failed == [], f"repeat it: pytest --draw {draw}"


def test_every_different_right_answer_passes(examiner: ExaminerProcess) -> None:
    ends = {edit.name: outcomes(examiner, edit, 1) for edit in TOPIC.alternatives}

    assert {name: end for name, end in ends.items() if end != {"passed"}} == {}


def test_drawn_mistakes_are_caught(examiner: ExaminerProcess, draw: int) -> None:
    generator = random.Random(draw)
    drawn = [
        mistake
        for task in TOPIC.tasks
        for mistake in generator.sample([of for of in TOPIC.mistakes if of.task == task.id], DRAWN_OF_A_TASK)
    ]

    missed = [mistake.name for mistake in drawn if "failed" not in outcomes(examiner, mistake, 1)]

    assert missed == [], f"repeat it: pytest --draw {draw}"


RUN = """
def start(mode):
    import os, wandb
    os.environ["WANDB_SILENT"] = "true"
    try:
        run = wandb.init(project="p", mode=mode, dir=os.getcwd())
    except OSError as error:
        return type(error).__name__
    run.finish()
    return type(run).__name__
"""


@pytest.mark.parametrize("rung", ["A", "B"])
def test_a_worker_cannot_start_the_process_of_wandb(rung: str) -> None:
    if not climb(rung).holds:
        pytest.skip(climb(rung).reason)
    with Zygote(rung, ("numpy", "wandb"), Limits(memory_mb=2048)) as zygote:
        ends = []
        for mode in ("offline", "disabled"):
            examinee = Examinee(zygote, module="answer", source=RUN.encode(), imports=("wandb",))
            examinee.start("task", 30.0)
            ends.append(Student(examinee).start(mode))
            examinee.close()

    assert ends == ["PermissionError", "NoopRun"]


#: runs the solution with the real client, and prints what its file holds
REAL = """
import json, pathlib
import numpy as np, readers, wandb
import tools_and_visualization as tools

try:
    with tools.WandbRun("digits", {"lr": np.float64(0.5), "path": pathlib.PurePosixPath("a")}, name="first",
                        directory="runs", best={"loss": "min"}) as run:
        for loss in (3.0, 1.0, 2.0):
            run.log({"loss": loss})
        raise KeyError("stop")
except KeyError:
    pass
wandb.teardown()
print(json.dumps(readers.read_run("runs")))
"""


def test_the_solution_and_the_real_client_keep_a_run_without_a_network(tmp_path: Path) -> None:
    path = os.pathsep.join([str(TOPIC.folder), str(TOPIC.folder.parent.parent)])
    environment = os.environ | {
        "PYTHONPATH": path,
        "WANDB_SILENT": "true",
        "WANDB_MODE": "online",
        "HOME": str(tmp_path),
    }

    alone = ["bwrap", "--dev-bind", "/", "/", "--unshare-net"] if climb("A").holds else []  # all its processes
    command = [*alone, sys.executable, "-c", REAL]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=120)

    assert done.returncode == 0, done.stderr
    run, config, history, summary, exit_code = json.loads(done.stdout.splitlines()[-1])
    assert run == {"project": "digits", "name": "first"}
    assert config == {"lr": 0.5, "path": "a"}
    assert [(row["_step"], row["loss"]) for row in history] == [(0, 3), (1, 1), (2, 2)]
    assert (summary["best_loss"], summary["best_loss_step"], exit_code) == (1, 1, 1)
