"""Every attack of the corpus gets no points, harms nobody, and changes nothing outside its scratch folder.

`make test` tries them on the rung that this machine offers, and `make attacks` on rung B too.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest

from attacks.corpus import ATTACKS, FAMILIES, Attack
from attacks.ground import make_ground
from autograder.grading.intake.submission import Submission
from autograder.grading.mark.judge import Judge
from autograder.report import Isolation, Report
from autograder.sandbox.ladder import climb

Judges = Callable[[str], tuple[Judge, Report]]
#: processes of each zygote without a worker: twice bubblewrap and the zygote; a suite that forbids torch has two zygotes
_AT_REST = 3
RUNGS = [pytest.param("A"), pytest.param("B", marks=pytest.mark.attacks)]


@pytest.fixture(scope="module", params=RUNGS)
def judges(request: pytest.FixtureRequest) -> Iterator[Judges]:
    """Gives each assignment's one warm judge, and its report on the solution before any attack."""
    isolation: Isolation = request.param
    if not climb(isolation).holds:
        pytest.skip(climb(isolation).reason)
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("SECRET_TOKEN", "the token")

        @cache
        def judge_of(topic_id: str) -> tuple[Judge, Report]:
            root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            topic = make_ground(root, topic_id)
            (root / "tmp").mkdir()
            patch.setenv("TMPDIR", str(root / "tmp"))
            judge = stack.enter_context(Judge(topic, seed=20, only=isolation))
            return judge, judge.examine(_submission(judge, topic.solution_path.read_bytes()))

        yield judge_of


@pytest.fixture(scope="module")
def deserved(judges: Judges) -> Callable[[Attack], float]:
    """Gives the points of an attack's honest part, examined once for all attacks with the same honest part."""

    @cache
    def score_of(topic_id: str, module: str) -> float:
        judge, _ = judges(topic_id)
        return judge.examine(_submission(judge, module.encode())).score

    def of(attack: Attack) -> float:
        judge, _ = judges(attack.topic_id)
        return score_of(attack.topic_id, attack.honest_part(judge.topic))

    return of


def _submission(judge: Judge, source: bytes) -> Submission:
    return Submission("mallory", judge.topic.id, Path("module.py"), source)


def _world(judge: Judge) -> dict[str, object]:
    """Everything that an attack must not change."""
    process = judge._examiner._process
    assert process is not None
    root = judge.topic.folder.parent.parent
    files = {
        str(path): (path.lstat().st_size, path.lstat().st_mtime_ns, path.lstat().st_mode)
        for path in root.rglob("*")
        if not path.is_dir()
    }
    return {
        "examiner": process.pid,
        "processes": _descendants(process.pid),
        "descriptors": len(os.listdir(f"/proc/{process.pid}/fd")),
        "files": files,
    }


def _descendants(pid: int) -> list[int]:
    """The processes below an examiner that have not ended."""
    for _ in range(3000):  # the last worker may need some time to end, and more on a busy machine
        found = _living(pid)
        if len(found) <= _AT_REST * len(_children(pid)):
            break
        time.sleep(0.01)
    else:
        pytest.fail(f"{len(found)} processes of the examiner are left; has a worker not ended?")
    return found


def _living(pid: int) -> list[int]:
    return sorted(found for child in _children(pid) for found in [child, *_living(child)])


def _children(pid: int) -> list[int]:
    """The children of a process that have not ended."""
    found = []
    for task in os.listdir(f"/proc/{pid}/task"):
        for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split():
            if Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                found.append(int(child))
    return found


@pytest.mark.parametrize("attack", ATTACKS, ids=[f"{attack.family}: {attack.name}" for attack in ATTACKS])
def test_an_attack_earns_nothing_and_harms_nobody(
    judges: Judges, deserved: Callable[[Attack], float], attack: Attack
) -> None:
    judge, honest = judges(attack.topic_id)
    before = _world(judge)

    report = judge.examine(_submission(judge, attack.source(judge.topic).encode()))
    after = _world(judge)
    following = judge.examine(_submission(judge, judge.topic.solution_path.read_bytes()))

    assert (following.complaints, following.tasks[0].hint) == (honest.complaints, honest.tasks[0].hint)
    assert report.score <= deserved(attack) + 1e-9
    assert report.status == "graded"
    assert (following.score, following.status) == (honest.score, "graded")
    assert after == before
    said = " ".join([*report.complaints, *(task.hint for task in report.tasks)])
    assert said.isprintable()


def test_the_ground_is_worth_an_attack(judges: Judges) -> None:
    for topic_id in sorted({attack.topic_id for attack in ATTACKS}):
        judge, honest = judges(topic_id)

        assert (honest.score, honest.status) == (judge.topic.points, "graded")


def test_the_corpus_is_broad() -> None:
    assert len(ATTACKS) >= 80
    assert {attack.family for attack in ATTACKS} == set(FAMILIES)
    assert len({attack.name for attack in ATTACKS}) == len(ATTACKS)
