"""Every attack of the corpus: it earns nothing, harms nobody, and changes nothing outside its scratch folder."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from attacks.corpus import ATTACKS, FAMILIES, Attack, as_table
from autograder.judge import Judge
from autograder.report import Isolation, Report
from autograder.sandbox.ladder import climb
from autograder.submission import Submission
from autograder.topic import read_topic

COURSE = Path(__file__).parents[2]
pytestmark = pytest.mark.attacks
TOPIC = "01_neural_network_basics"
_AT_REST = 3  #: processes below an examiner without a worker: twice bubblewrap and the zygote
RUNGS = [pytest.param("A"), pytest.param("B", marks=pytest.mark.slow)]


@pytest.fixture(scope="module", params=RUNGS)
def judge(request: pytest.FixtureRequest) -> Iterator[Judge]:
    """One warm judge for all attacks, in a course that anybody on the host may read."""
    isolation: Isolation = request.param
    if not climb(isolation).holds:
        pytest.skip(climb(isolation).reason)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        root = Path(folder)
        root.chmod(0o755)
        (root / "tmp").mkdir()
        patch.setenv("TMPDIR", str(root / "tmp"))
        patch.setenv("SECRET_TOKEN", "the token")
        assignment = root / "assignments" / TOPIC
        shutil.copytree(COURSE / "assignments" / TOPIC, assignment)
        topic = (assignment / "topic.toml").read_text()
        (assignment / "topic.toml").write_text(re.sub(r"(?m)^seconds = \d+$", "seconds = 1", topic))
        (root / "gradebook.db").write_bytes(b"marks")
        with Judge(read_topic(assignment), seed=20, only=isolation) as judge:
            yield judge


@pytest.fixture(scope="module")
def honest(judge: Judge) -> Report:
    """The report of the solution, before any attack."""
    return judge.examine(_submission(judge, judge.topic.solution_path.read_bytes()))


def _submission(judge: Judge, source: bytes) -> Submission:
    return Submission("mallory", judge.topic.id, Path("module.py"), source)


def _world(judge: Judge) -> dict[str, object]:
    """Everything that an attack must leave as it is."""
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
    """The processes below one that have not ended."""
    for _ in range(200):  # the last worker may take a moment to end
        found = _living(pid)
        if len(found) <= _AT_REST:
            break
        time.sleep(0.01)
    return found


def _living(pid: int) -> list[int]:
    found = []
    for task in os.listdir(f"/proc/{pid}/task"):
        for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split():
            if Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                found += [int(child), *_living(int(child))]
    return sorted(found)


@pytest.mark.parametrize("attack", ATTACKS, ids=[f"{attack.family}: {attack.name}" for attack in ATTACKS])
def test_an_attack_earns_nothing_and_harms_nobody(judge: Judge, honest: Report, attack: Attack) -> None:
    before = _world(judge)

    report = judge.examine(_submission(judge, attack.source(judge.topic).encode()))
    after = _world(judge)
    following = judge.examine(_submission(judge, judge.topic.solution_path.read_bytes()))

    assert (following.complaints, following.tasks[0].hint) == (honest.complaints, honest.tasks[0].hint)
    assert report.score <= attack.deserves(judge.topic) + 1e-9
    assert report.status == "graded"
    assert (following.score, following.status) == (honest.score, "graded")
    assert after == before
    said = " ".join([*report.complaints, *(task.hint for task in report.tasks)])
    assert said.isprintable()


def test_the_corpus_is_broad() -> None:
    assert len(ATTACKS) >= 80
    assert {attack.family for attack in ATTACKS} == set(FAMILIES)
    assert len({attack.name for attack in ATTACKS}) == len(ATTACKS)


def test_the_table_in_the_docs_is_the_corpus() -> None:
    assert as_table() in (COURSE / "docs" / "security.md").read_text(encoding="utf-8")
