"""`autograder follow`: every hand-in is answered once, in order of arrival, whatever stops the program."""

from __future__ import annotations

import configparser
import errno
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from factory import SOLUTION

from autograder import follow as following
from autograder.cli import main
from autograder.course import Course
from autograder.errors import CourseError
from autograder.follow import follow
from autograder.grading.intake.submission import Submission
from autograder.grading.keep import answered, store
from autograder.grading.pool.fleet import examine_all
from autograder.recording import door, gradebook, summary
from autograder.recording.take import Rules, take
from autograder.topic import Topic
from benchmarks import following as following_bench
from benchmarks.following import open_exchange, secret_of

pytestmark = pytest.mark.slow
ID = "01_tiny"
ROOT = Path(__file__).parent.parent
WRONG = SOLUTION.replace("return x / 2", "return x / 3")


@pytest.fixture
def course(released: Course, tmp_path: Path) -> Course:
    """A released course with an exchange."""
    shutil.copytree(released.root, tmp_path / "course")
    open_exchange(Course(tmp_path / "course"))
    return Course(tmp_path / "course")


def hand_in(course: Course, student: str, source: str = SOLUTION, *, number: int = 0) -> Path:
    """Hand in as `nbgrader submit` does; returns the folder in the exchange."""
    return following_bench.hand_in(course, ID, "tiny", student, source.encode(), number)


def inbound(course: Course) -> Path:
    return course.root / "exchange" / "deep_learning" / "inbound"


def page_of(course: Course, student: str, number: int = 0) -> Path:
    """The page that `nbgrader fetch_feedback` looks for."""
    from nbgrader.utils import notebook_hash

    name = notebook_hash(secret=secret_of(student, number), notebook_id=ID)
    return course.root / "exchange" / "deep_learning" / "feedback" / f"{name}.html"


def order(course: Course) -> list[tuple[str, str]]:
    """Who was answered, in the order of the answers, and how."""
    answers = sorted(answered.answers(course, ID), key=lambda one: one.answered)
    return [(one.student, one.status) for one in answers]


def score(course: Course, student: str) -> float:
    (mark,) = [mark for mark in gradebook.marks(course, ID) if mark.student == student]
    return mark.score


def test_each_is_recorded_and_gets_a_page_in_order_of_arrival(
    course: Course, capsys: pytest.CaptureFixture[str]
) -> None:
    for student, source in (("cyd", SOLUTION), ("ada", WRONG), ("bob", "not Python")):
        hand_in(course, student, source)
        time.sleep(0.02)

    code = follow(course, ID, is_once=True, jobs=1)

    assert code == 0
    assert order(course) == [("cyd", "graded"), ("ada", "graded"), ("bob", "graded")]
    assert score(course, "cyd") == 90.0 > score(course, "ada") > score(course, "bob") == 0.0
    assert "<strong>60.00</strong> of 60 points" in page_of(course, "cyd").read_text()
    assert (course.root / "feedback" / "ada" / ID / "summary.md").is_file()
    assert re.search(r"^cyd: answered \d+\.\d s after it arrived$", capsys.readouterr().out, re.MULTILINE)


def test_reports_are_those_of_grade(course: Course) -> None:
    hand_in(course, "ada", WRONG)
    follow(course, ID, is_once=True)
    (mine,) = store.reports(course, ID)

    (other,) = examine_all(
        course, [Submission("ada", ID, Path("tiny.py"), WRONG.encode())], seed=mine.seed, is_kept=False
    )

    assert [(task.score, task.hint) for task in mine.tasks] == [(task.score, task.hint) for task in other.tasks]


def test_a_second_run_answers_only_what_is_new_and_each_of_a_students_hand_ins_has_its_page(course: Course) -> None:
    hand_in(course, "ada", WRONG)
    hand_in(course, "ada", SOLUTION, number=1)
    follow(course, ID, is_once=True)
    before = page_of(course, "ada").stat().st_mtime_ns
    hand_in(course, "bob", number=2)

    follow(course, ID, is_once=True)

    assert order(course) == [("ada", "graded"), ("ada", "graded"), ("bob", "graded")]
    assert page_of(course, "ada").stat().st_mtime_ns == before
    assert "<strong>30.00</strong> of 30 points" not in page_of(course, "ada").read_text()
    assert "<strong>30.00</strong> of 30 points" in page_of(course, "ada", 1).read_text()
    assert score(course, "ada") == 90.0


def test_attempts_and_feedback_are_limited_as_in_grade(course: Course) -> None:
    from autograder.authoring.release import release

    manifest = course.assignments / ID / "topic.toml"
    manifest.write_text(
        manifest.read_text().replace("memory = 1024", 'memory = 1024\nattempts = 1\nfeedback = "scores"')
    )
    release(course)
    hand_in(course, "ada", WRONG)
    hand_in(course, "ada", SOLUTION, number=1)

    follow(course, ID, is_once=True)

    assert score(course, "ada") < 90.0
    assert "This one was not examined" in page_of(course, "ada", 1).read_text()
    assert "the score, and what the public tests say" in page_of(course, "ada").read_text()


def test_a_changed_folder_is_a_new_hand_in(course: Course) -> None:
    folder = course.submitted / "ada" / ID
    folder.mkdir(parents=True)
    shutil.copy(course.release / ID / f"{ID}.ipynb", folder)
    for source in (WRONG, SOLUTION):
        (folder / "tiny.py").write_text(source)
        time.sleep(door.SETTLED_SECONDS + 0.1)
        for _ in range(2):
            follow(course, ID, course.submitted, is_once=True)

    assert order(course) == [("ada", "graded"), ("ada", "graded")]
    assert score(course, "ada") == 90.0


def test_older_hand_ins_than_the_collected_one_are_passed_over(course: Course) -> None:
    hand_in(course, "ada", WRONG)
    time.sleep(0.02)
    newest = hand_in(course, "ada", SOLUTION, number=1)
    shutil.copytree(newest, course.submitted / "ada" / ID)

    follow(course, ID, is_once=True)

    assert order(course) == [("ada", "passed over"), ("ada", "graded")]


def test_tests_that_are_changed_meanwhile_count_from_then_on(
    course: Course, capsys: pytest.CaptureFixture[str]
) -> None:
    over = threading.Event()
    hand_in(course, "ada", WRONG)
    follower = following.Follower(course, ID, None)
    try:
        while not order(course):
            follower.turn(0.1, over)
        hidden = course.assignments / ID / "test_tiny_hidden.py"
        hidden.write_text(hidden.read_text() + "\n# read again\n")
        hand_in(course, "bob", WRONG, number=1)
        while len(order(course)) < 2:
            follower.turn(0.1, over)
    finally:
        follower.close()

    assert "the tests were changed" in capsys.readouterr().out
    topic = course.topic(ID)
    (bob,) = [report for report in store.reports(course, ID) if report.student == "bob"]
    parcel = Submission("bob", ID, Path("tiny.py"), WRONG.encode())
    assert store.load(course, topic, parcel, bob.seed) == bob


def test_a_gradebook_that_is_replaced_meanwhile_gets_the_next_marks(course: Course, tmp_path: Path) -> None:
    over = threading.Event()
    restored = shutil.copy(course.root / "gradebook.db", course.root / "restored.db")
    hand_in(course, "ada")
    follower = following.Follower(course, ID, None)
    try:
        while not order(course):
            follower.turn(0.1, over)
        Path(restored).replace(course.root / "gradebook.db")
        hand_in(course, "bob", number=1)
        while len(order(course)) < 2:
            follower.turn(0.1, over)
    finally:
        follower.close()

    assert {mark.student for mark in gradebook.marks(course, ID)} == {"bob"}


# --- groups -----------------------------------------------------------------------------------------------------------


def group(course: Course, text: str) -> None:
    (course.root / "groups.txt").write_text(text)


def test_the_other_members_of_a_group_have_a_mark_and_a_page(
    course: Course, capsys: pytest.CaptureFixture[str]
) -> None:
    group(course, "01_tiny: ada, bob, cyd\n")
    hand_in(course, "ada")

    code = follow(course, ID, is_once=True)

    assert code == 0
    assert order(course) == [("ada", "graded")]
    assert {score(course, student) for student in ("ada", "bob", "cyd")} == {90.0}
    assert all((course.root / "feedback" / name / ID / "summary.html").is_file() for name in ("ada", "bob", "cyd"))
    assert re.search(r"^ada: answered \S+ s after it arrived, and for bob, cyd$", capsys.readouterr().out, re.MULTILINE)


def test_a_member_who_hands_in_alone_keeps_that_and_nobody_is_told_twice(
    course: Course, capsys: pytest.CaptureFixture[str]
) -> None:
    group(course, "all: ada, bob\n")
    hand_in(course, "ada", WRONG)
    time.sleep(0.02)
    hand_in(course, "bob", number=1)
    time.sleep(0.02)
    hand_in(course, "ada", f"{WRONG}# again", number=2)

    follow(course, ID, is_once=True)

    assert sorted(order(course)) == [("ada", "graded"), ("ada", "graded"), ("bob", "graded")]
    assert score(course, "ada") < 90.0 == score(course, "bob")
    assert capsys.readouterr().out.count("ada, bob are one group and each handed in") == 1


def test_a_slip_in_the_file_of_groups_holds_up_everybody_until_it_is_corrected(
    course: Course, capsys: pytest.CaptureFixture[str]
) -> None:
    group(course, "01_tiny ada, bob\n")
    hand_in(course, "ada")

    code = follow(course, ID, is_once=True)
    said = capsys.readouterr().out
    group(course, "01_tiny: ada, bob\n")
    follow(course, ID, is_once=True)

    assert code == 1
    assert "groups.txt:1: no group; write it as all: ada, grace" in said
    assert {score(course, student) for student in ("ada", "bob")} == {90.0}


def test_in_a_folder_the_copies_of_a_group_are_hand_ins_themselves(course: Course) -> None:
    group(course, "all: ada, bob\n")
    folder = course.submitted / "ada" / ID
    folder.mkdir(parents=True)
    shutil.copy(course.release / ID / f"{ID}.ipynb", folder)
    (folder / "tiny.py").write_text(SOLUTION)
    for _ in range(3):
        time.sleep(door.SETTLED_SECONDS + 0.1)
        follow(course, ID, course.submitted, is_once=True)

    assert order(course) == [("ada", "graded"), ("bob", "graded")]
    assert {score(course, student) for student in ("ada", "bob")} == {90.0}


def test_a_second_program_for_the_same_assignment_is_refused(course: Course) -> None:
    with following._alone(course, ID), pytest.raises(CourseError, match="another `autograder follow 01_tiny` is run"):
        follow(course, ID, is_once=True)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda course: shutil.rmtree(course.root / "exchange"), "inbound: there is no such folder; run `nbgrader rel"),
        (lambda course: (course.source / ID / "README.md").write_text("old"), "not what assignments/01_tiny builds"),
    ],
)
def test_what_cannot_be_followed_is_said_at_once(course: Course, spoil: object, message: str) -> None:
    spoil(course)  # type: ignore[operator]

    with pytest.raises(CourseError, match=message):
        follow(course, ID, is_once=True)


# --- the door ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def exchange(course: Course) -> door.Exchange:
    said: list[str] = []
    found = door.Exchange(inbound(course), ID, said.append, checks_owner=True)
    found.said = said  # type: ignore[attr-defined]
    return found


def test_a_hand_in_is_seen_when_nbgrader_has_finished_it(course: Course, exchange: door.Exchange) -> None:
    folder = hand_in(course, "ada")
    folder.chmod(0o755)
    (folder / "submission_secret.txt").rename(folder / "elsewhere")
    unfinished = exchange.look(())
    (folder / "elsewhere").rename(folder / "submission_secret.txt")
    folder.chmod(0o777)

    (one,) = exchange.look(())

    assert unfinished == []
    assert (one.student, one.name, one.has_address) == ("ada", folder.name, True)
    assert exchange.look({one.name}) == []


def test_what_nobody_finished_is_seen_after_a_while(
    course: Course, exchange: door.Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = hand_in(course, "ada")
    (folder / "submission_secret.txt").unlink()
    now = time.time()
    monkeypatch.setattr(door.time, "time", lambda: now + door.ABANDONED_SECONDS + 1)

    (one,) = exchange.look(())

    assert not one.has_address


def test_other_assignments_and_strange_names_are_not_taken(course: Course, exchange: door.Exchange) -> None:
    for name in ("ada+02_other+2026", f"..+{ID}+2026+x", f"+{ID}+2026", "notes"):
        (inbound(course) / name).mkdir()

    assert exchange.look(()) == []


def test_nobody_hands_in_for_somebody_else(
    course: Course, exchange: door.Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = hand_in(course, "ada")
    if os.getuid() == 0:
        os.chown(folder, 65534, 65534)
    monkeypatch.setattr(door.os, "getuid", lambda: -1)

    assert exchange.look(()) == []
    assert exchange.look(()) == []
    (sentence,) = exchange.said  # type: ignore[attr-defined]
    assert "handed in for ada by the account" in sentence
    assert "`c.ExchangeCollect.check_owner = False`" in sentence


RULES = Rules(("tiny.py", "01_tiny.ipynb"), ("__pycache__",), 1000)


def test_a_copy_follows_no_link_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    secret = tmp_path / "solution.py"
    secret.write_text("secret")
    parcel = tmp_path / "parcel"
    (parcel / "data" / "__pycache__").mkdir(parents=True)
    (parcel / "data" / "a.txt").write_text("a")
    (parcel / "tiny.py").symlink_to(secret)
    (parcel / "folder").symlink_to(tmp_path)
    os.mkfifo(parcel / "pipe")
    (tmp_path / "submitted").mkdir()
    (tmp_path / "submitted" / f".{ID}.killed").mkdir()

    for _ in range(2):
        take(parcel, tmp_path / "submitted" / ID, RULES)

    copied = sorted(str(path.relative_to(tmp_path / "submitted")) for path in (tmp_path / "submitted").rglob("*"))
    assert copied == [ID, f"{ID}/data", f"{ID}/data/a.txt"]


def test_of_a_parcel_that_is_too_large_only_what_is_needed_is_copied(tmp_path: Path) -> None:
    parcel = tmp_path / "parcel"
    parcel.mkdir()
    (parcel / "tiny.py").write_text("x = 1")
    (parcel / "weights.bin").write_bytes(bytes(2000))

    take(parcel, tmp_path / ID, RULES)

    assert [path.name for path in (tmp_path / ID).iterdir()] == ["tiny.py"]


# --- what goes wrong --------------------------------------------------------------------------------------------------


def test_a_fault_with_one_hand_in_stops_no_other_and_is_said_once(
    course: Course, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    really = gradebook.record

    def record(course: Course, reports: list) -> None:
        if reports[0].student == "ada":
            raise ValueError("nbgrader is surprised")
        really(course, reports)

    for number, student in enumerate(("ada", "bob")):
        hand_in(course, student, number=number)
    monkeypatch.setattr(gradebook, "record", record)
    code = follow(course, ID, is_once=True)
    out = capsys.readouterr().out
    monkeypatch.setattr(gradebook, "record", really)
    follow(course, ID, is_once=True)

    assert code == 1
    assert "ada: not answered yet, and tried again: ValueError: nbgrader is surprised" in out
    assert order(course) == [("bob", "graded"), ("ada", "graded")]


def test_a_hand_in_that_always_fails_does_not_hold_up_the_next_one_of_its_student(
    course: Course, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = following.collect_in_place

    def collect(folder: Path, topic: Topic) -> Submission:
        found = really(folder, topic)
        if found.source and b"unlucky" in found.source:
            raise ValueError("no")
        return found

    monkeypatch.setattr(following, "collect_in_place", collect)
    monkeypatch.setattr(following, "RETRY_SECONDS", 0.01)
    hand_in(course, "ada", f"{SOLUTION}# unlucky")
    hand_in(course, "ada", number=1)
    over = threading.Event()
    follower = following.Follower(course, ID, None)
    try:
        while len(order(course)) < 2:
            follower.turn(0.1, over)
    finally:
        follower.close()

    assert order(course) == [("ada", "passed over"), ("ada", "graded")]


@pytest.mark.parametrize(
    "where", [(store, "write_atomically"), (summary, "write_atomically"), (answered, "write_atomically")]
)
def test_a_disk_that_fills_up_in_any_step_costs_nobody_the_answer(
    course: Course, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], where: tuple[object, str]
) -> None:
    def no_room(path: Path, *_rest: object, **_named: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    hand_in(course, "ada")
    with monkeypatch.context() as patch:
        patch.setattr(*where, no_room)
        code = follow(course, ID, is_once=True)
    said = capsys.readouterr().out
    follow(course, ID, is_once=True)

    assert code == 1
    assert "make room" in said
    assert order(course) == [("ada", "graded")]
    assert page_of(course, "ada").is_file()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("only root can mount a small disk")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


class Program:
    """`autograder follow` as a program of its own, with what it says."""

    def __init__(self, course: Course) -> None:
        command = [sys.executable, "-m", "autograder.cli", "follow", ID, "--every", "0.2"]
        environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        self._log = course.root / f"follow-{time.monotonic_ns()}.txt"
        with self._log.open("w") as log:
            self.process = subprocess.Popen(command, cwd=course.root, env=environment, stdout=log, stderr=log)

    def said(self) -> str:
        return self._log.read_text()

    def wait_until(self, is_true: object, seconds: float = 120) -> None:
        until = time.monotonic() + seconds
        while not is_true():  # type: ignore[operator]
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < until, self.said()
            time.sleep(0.1)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def test_on_a_full_disk_it_says_so_and_goes_on_when_there_is_room(course: Course, small_disk: Path) -> None:
    root = shutil.copytree(course.root, small_disk / "course")
    (root / "exchange").chmod(0o777)
    course = Course(root)
    filler = small_disk / "filler"
    filler.write_bytes(bytes(shutil.disk_usage(small_disk).free - 200_000))
    program = Program(course)
    try:
        program.wait_until(lambda: "follows" in program.said())
        hand_in(course, "ada")
        program.wait_until(lambda: "the disk is full; make room, and it goes on by itself" in program.said())
        nobody = order(course)
        filler.unlink()
        program.wait_until(lambda: "ada: answered" in program.said())
    finally:
        code = program.stop()

    assert nobody == []
    assert order(course) == [("ada", "graded")]
    assert program.said().count("the disk is full") == 1
    assert code == 0


def test_killed_at_random_moments_it_loses_nobody_and_answers_each_once(course: Course) -> None:
    chance = random.Random(20)
    written: Counter[str] = Counter()
    total, kills = 12, 0
    handing_in = threading.Thread(target=lambda: [_slowly(course, number) for number in range(total)])
    handing_in.start()
    while kills < 3 or handing_in.is_alive() or len(order(course)) < total:
        said = _killed_after(course, chance.uniform(0.0, 2.0 + 2 * kills))  # so it comes to an end
        written.update(re.findall(r"^(\S+): answered", said, re.MULTILINE))
        kills += 1
        assert kills < 30, said
    handing_in.join()
    at_last = {path: path.stat().st_mtime_ns for path in (course.cache / "answered" / ID).glob("*.json")}
    follow(course, ID, is_once=True)

    assert Counter(student for student, _ in order(course)) == Counter(f"s{n % 4}" for n in range(total))
    assert all(page_of(course, f"s{n % 4}", n).is_file() for n in range(total))
    assert {path: path.stat().st_mtime_ns for path in (course.cache / "answered" / ID).glob("*.json")} == at_last
    assert all(count <= total // 4 for count in written.values())  # nobody is told of an answer twice
    assert {score(course, f"s{n}") for n in range(4)} == {90.0}
    pages = list((course.root / "exchange/deep_learning/feedback").glob("*.html"))
    assert not [page for page in pages if "tmp" in page.name]


def _killed_after(course: Course, seconds: float) -> str:
    """Let it follow for so many seconds, and kill it; returns what it said."""
    program = Program(course)
    try:
        program.wait_until(lambda: "follows" in program.said())
        time.sleep(seconds)
    finally:
        program.kill()
    return program.said()


def _slowly(course: Course, number: int) -> None:
    source = WRONG if number < 8 else SOLUTION  # the last of each student is right
    hand_in(course, f"s{number % 4}", f"{source}# {number}\n", number=number)
    time.sleep(0.5)


def test_a_signal_ends_it_between_two_steps_and_the_next_run_goes_on(course: Course) -> None:
    for number in range(4):
        hand_in(course, f"s{number}", f"{SOLUTION}# {number}\n", number=number)
    program = Program(course)
    program.wait_until(lambda: "answered" in program.said())

    code = program.stop()
    follow(course, ID, is_once=True)

    assert code == 0
    assert re.search(r"01_tiny: [1-4] answered, [0-3] left", program.said())
    assert sorted(order(course)) == [(f"s{number}", "graded") for number in range(4)]


def test_what_it_remembers_is_plain_and_a_damaged_note_counts_as_none(course: Course) -> None:
    hand_in(course, "ada")
    follow(course, ID, is_once=True)
    (note,) = (course.cache / "answered" / ID).glob("*.json")
    before = json.loads(note.read_text())

    note.write_text("{")
    follow(course, ID, is_once=True)

    assert before["student"] == "ada"
    assert before["arrived"] <= before["answered"]
    assert order(course) == [("ada", "graded")]


def test_the_unit_of_systemd_is_one_and_runs_an_existing_command() -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None, delimiters="=")
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(ROOT / "docs" / "examples" / "autograder-follow@.service")
    program, verb, what = unit["Service"]["ExecStart"].split()

    assert (Path(program).name, what) == ("autograder", "%i")
    assert verb in main.commands
    assert (unit["Service"]["Restart"], unit["Service"]["KillMode"]) == ("always", "mixed")
    if shutil.which("systemd-analyze"):
        said = subprocess.run(
            ["systemd-analyze", "verify", ROOT / "docs/examples/autograder-follow@.service"],
            capture_output=True,
            text=True,
        ).stderr.splitlines()
        assert [line for line in said if "autograder-follow" in line and "is not executable" not in line] == []
