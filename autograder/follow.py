"""Follow: answer each hand-in soon after it arrives, by the steps of `autograder grade`, for as long as a term lasts.

door.py says what has arrived. Each hand-in is copied into submitted/, examined by a judge that is already warm, and
recorded; its feedback is made and released; and at last a note says that it was answered. Every step before that note
may be done again. So if the program is killed at any moment, the next run answers what has no note, and the student
finds one answer. This file is long because the life of one hand-in, and all that can interrupt it, is told in one
place.
"""

from __future__ import annotations

import contextlib
import errno
import shutil
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from autograder.course import Course
from autograder.errors import AutograderError, CourseError
from autograder.grade import require_released
from autograder.grading.intake.attempts import admit
from autograder.grading.intake.collect import collect_in_place
from autograder.grading.intake.submission import Submission
from autograder.grading.keep import answered, store
from autograder.grading.keep.answered import PASSED_OVER, Answer
from autograder.grading.pool.fleet import Fleet
from autograder.groups import groups, receivers, share
from autograder.people import gone
from autograder.plain import one_line
from autograder.recording import connection, door, gradebook
from autograder.recording.door import HandIn
from autograder.recording.summary import write_summaries
from autograder.recording.take import take
from autograder.recording.warm import warm_gradebook
from autograder.report import Report

RETRY_SECONDS = 2.0  #: seconds until a hand-in that could not be answered is tried again; then twice as long
RETRY_SECONDS_AT_MOST = 300.0  #: seconds between two tries at last
TRIES = 5  #: after so many, a hand-in no longer holds up the next one of its student
ROOM_BYTES = 20_000_000  #: bytes that must be free on a disk before another hand-in is begun


def follow(
    course: Course,
    topic_id: str,
    folder: Path | None = None,
    *,
    every: float = 1.0,
    jobs: int = 0,
    is_once: bool = False,
    allow_unisolated: bool = False,
) -> int:
    """Answer the hand-ins of an assignment as they arrive, until SIGTERM or Ctrl-C.

    Args:
        folder: where parcels arrive as <student>/<id>/; None for nbgrader's exchange
        every: seconds between two looks
        jobs: how many hand-ins are examined at once; 0 for one for each core
        is_once: end as soon as every complete hand-in that waits was answered or failed

    Returns:
        the exit code: 0; 1 if a hand-in could not be answered

    Raises:
        CourseError: there is nothing to follow, marks cannot be recorded, or another program follows already
        SandboxError: no isolation works here
    """
    topic = course.topic(topic_id)
    with _alone(course, topic_id), _stopped_by_signals() as over:
        require_released(course, topic)
        follower = Follower(course, topic_id, folder, jobs=jobs, allow_unisolated=allow_unisolated)
        try:
            click.echo(f"{topic_id}: follows {follower.door.where}, {follower.judges.jobs} at once")
            while not over.is_set():
                follower.turn(every, over)
                if is_once and follower.is_done():
                    break
        finally:
            follower.close()
    click.echo(f"{topic_id}: {follower.count} answered, {follower.left()} left")
    return 1 if is_once and follower.left() else 0


@dataclass(frozen=True)
class _Work:
    """A hand-in that is being examined, and the copies of it for the other members of its student's group."""

    hand_in: HandIn
    copies: tuple[Future[Report], ...] = ()
    members: tuple[str, ...] = ()

    @property
    def students(self) -> set[str]:
        return {self.hand_in.student, *self.members}


class Follower:
    """The hand-ins of one assignment, from the door to the note that they were answered."""

    def __init__(
        self, course: Course, topic_id: str, folder: Path | None, *, jobs: int = 0, allow_unisolated: bool = False
    ) -> None:
        topic = course.topic(topic_id)
        self.door, self._rules = door.opened(course, topic, folder, _say)
        self._course = course
        self._id = topic_id
        self._jobs = jobs
        self._allow_unisolated = allow_unisolated
        noted = list(answered.answers(course, topic_id))
        self._answered = {answer.hand_in for answer in noted}
        self._met = {answer.student for answer in noted if answer.status != PASSED_OVER}
        self._waiting: list[HandIn] = []
        self._at_work: dict[Future[Report], _Work] = {}
        self._tries: Counter[str] = Counter()
        self._not_before: dict[str, float] = {}
        self._is_held_up = False
        self._said: set[str] = set()
        self._said_of_groups: set[str] = set()
        self.count = 0
        self._warm = contextlib.ExitStack()
        self.judges = Fleet(course, topic, jobs=jobs, allow_unisolated=allow_unisolated)
        self._warm.enter_context(warm_gradebook())

    def turn(self, every: float, over: threading.Event) -> None:
        """Look once, begin with what can be begun, and answer what is examined; take about `every` seconds."""
        try:
            self._waiting = self.door.look(self._answered | {work.hand_in.name for work in self._at_work.values()})
            self._is_held_up = bool(self._waiting) and not self._is_ready()
            if not self._is_held_up:
                self._begin(over)
        except (AutograderError, OSError) as error:
            self._is_held_up = True
            self._say_once(_why(error))
        if not self._at_work:
            over.wait(every)
            return
        done = wait(self._at_work, timeout=every, return_when=FIRST_COMPLETED).done
        for future in sorted(done, key=lambda future: self._at_work[future].hand_in.arrived):
            if not over.is_set():
                self._answer(self._at_work.pop(future), future)

    def is_done(self) -> bool:
        """Whether nothing is at work, and what is left was tried and failed, or cannot be begun."""
        return not self._at_work and (self._is_held_up or all(self._tries[one.name] for one in self._left()))

    def left(self) -> int:
        """Return how many complete hand-ins have no answer."""
        return len({one.name for one in self._left()}) + len(self._at_work)

    def close(self) -> None:
        """End the judges. What they were examining is examined by the next run."""
        self.judges.abandon()
        self._warm.close()

    def _left(self) -> list[HandIn]:
        at_work = {work.hand_in.name for work in self._at_work.values()}
        return [one for one in self._waiting if one.name not in self._answered and one.name not in at_work]

    def _is_ready(self) -> bool:
        """Whether another hand-in can be begun: there is room, and the judges have the present tests.

        Raises:
            AutograderError: the assignment or groups.txt was changed, and cannot be used as it is now
        """
        places = {self._course.root, self.door.where, Path(tempfile.gettempdir())}
        full = [place for place in sorted(places) if shutil.disk_usage(place).free < ROOM_BYTES]
        if full:
            self._say_once(f"{full[0]}: {_FULL}")
            return False
        groups(self._course, self._id)  # a slip in groups.txt holds up everybody, and costs nobody a try
        topic = self._course.topic(self._id)
        if topic == self.judges.topic and store.suite(topic) == self.judges.suite:
            return True
        if self._at_work:
            return False
        require_released(self._course, topic)
        before, self.judges = (
            self.judges,
            Fleet(self._course, topic, jobs=self._jobs, allow_unisolated=self._allow_unisolated),
        )
        before.close()
        _say("the tests were changed; from here on the new ones count")
        return True

    def _begin(self, over: threading.Event) -> None:
        """Begin with hand-ins in the order of arrival, as long as a judge is free.

        A student has one at a time at work. So whoever hands in often waits for the first hand-ins of others.
        """
        busy = {student for work in self._at_work.values() for student in work.students}
        for one in list(self._waiting):
            if over.is_set() or len(self._at_work) > self.judges.jobs:  # one more, so that no judge waits for us
                return
            if one.student not in busy and self._not_before.get(one.name, 0.0) <= time.monotonic():
                with self._trying(one):
                    if self._is_passed_over(one):
                        self._note(one, PASSED_OVER)
                        continue
                    future, work = self._examined(one)
                    self._at_work[future] = work
                    busy |= work.students
            busy.add(one.student)

    def _is_passed_over(self, one: HandIn) -> bool:
        """Whether a later hand-in of the student counts: it was collected before, or this one always fails."""
        if self._tries[one.name] >= TRIES and self._waiting_of(one.student) > 1:
            _say(f"{one_line(one.name)}: could not be answered, and a later one waits, so it is passed over")
            return True
        return one.student not in self._met and door.is_outdated(self._course, one, self._id)

    def _waiting_of(self, student: str) -> int:
        return len({one.name for one in self._left() if one.student == student})

    def _examined(self, one: HandIn) -> tuple[Future[Report], _Work]:
        """Copy a hand-in into submitted/, share it with the student's group, and begin to examine it."""
        folder = self._course.submitted / one.student / self._id
        if one.path != folder:
            take(one.path, folder, self._rules)
        for sentence in share(self._course, self._id):
            if sentence not in self._said_of_groups:
                self._said_of_groups.add(sentence)
                _say(sentence)
        members: tuple[str, ...] = ()
        if self.door.where != self._course.submitted.resolve():  # that door sees the copies itself
            left = gone(self._course)
            members = tuple(name for name in receivers(self._course, self._id, one.student) if name not in left)
        whole, *copies = [self.judges.begin(self._parcel_of(name)) for name in (one.student, *members)]
        return whole, _Work(one, tuple(copies), members)

    def _parcel_of(self, student: str) -> Submission:
        """Collect what is in submitted/ of a student, and count it as an attempt."""
        topic = self.judges.topic
        return admit(self._course, topic, collect_in_place(self._course.submitted / student / self._id, topic))

    def _answer(self, work: _Work, examined: Future[Report]) -> None:
        """Record a report, give the student the feedback, do the same for the group, and note it."""
        one = work.hand_in
        with self._trying(one), connection.opened(self._course):
            report = examined.result()
            self._give(report)
            if one.has_address:
                gradebook.release_feedback(self._course, self._id, one.student)
            for copy in work.copies:
                self._give(copy.result())
            self._note(one, report.status)
            self.count += 1
            self._said.clear()
            also = f", and for {one_line(', '.join(work.members))}" if work.members else ""
            _say(f"{one_line(one.student)}: answered {time.time() - one.arrived:.1f} s after it arrived{also}")
            if report.status == "broken":
                _say(f"{one_line(one.student)}: a person has to look at it; `autograder grade {self._id}` says why")

    def _give(self, report: Report) -> None:
        """Record a report, and make the pages of its student."""
        gradebook.record(self._course, [report])
        gradebook.feedback(self._course, self._id, only=report.student)
        who = gradebook.handed_in(self._course, self._id, report.student)
        write_summaries(self._course, self._id, who, [report])

    def _note(self, one: HandIn, status: str) -> None:
        """Note that a hand-in is answered: it is not tried again."""
        answered.note(self._course, self._id, Answer(one.name, one.student, one.arrived, time.time(), status))
        self._answered.add(one.name)
        if status != PASSED_OVER:
            self._met.add(one.student)
        self._tries.pop(one.name, None)
        self._not_before.pop(one.name, None)

    @contextlib.contextmanager
    def _trying(self, one: HandIn) -> Iterator[None]:
        """Try a step for one hand-in; if it fails, say why, and try the hand-in again later."""
        try:
            yield
        except Exception as error:  # nbgrader raises many kinds, and a fault with one hand-in must not stop the others
            pause = min(RETRY_SECONDS * 2 ** self._tries[one.name], RETRY_SECONDS_AT_MOST)
            self._tries[one.name] += 1
            self._not_before[one.name] = time.monotonic() + pause
            self._waiting.append(one)
            self._say_once(_why(error), f"{one_line(one.student)}: not answered yet, and tried again: ")

    def _say_once(self, sentence: str, before: str = "") -> None:
        """Say what is wrong, once until something goes right again."""
        if sentence not in self._said:
            self._said.add(sentence)
            _say(before + sentence)


_FULL = "the disk is full; make room, and it goes on by itself"


def _why(error: Exception) -> str:
    """Say in a sentence why a hand-in could not be answered."""
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return where + (_FULL if error.errno in (errno.ENOSPC, errno.EDQUOT) else str(error.strerror or error))
    return str(error) if isinstance(error, AutograderError) else f"{type(error).__name__}: {one_line(str(error))}"


def _say(sentence: str) -> None:
    """Print a line for a log at once; journald and docker add the time."""
    click.echo(sentence)


@contextlib.contextmanager
def _alone(course: Course, topic_id: str) -> Iterator[None]:
    """Make sure that one program follows an assignment; the lock ends with the process, however it ends.

    Raises:
        CourseError: another one does
    """
    import fcntl  # not on Windows, which has no exchange either

    course.cache.mkdir(exist_ok=True)
    path = course.cache / f"follow-{topic_id}.lock"
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            raise CourseError(
                f"{path}: another `autograder follow {topic_id}` is running; stop that one first"
            ) from None
        yield


@contextlib.contextmanager
def _stopped_by_signals() -> Iterator[threading.Event]:
    """Give an event that SIGTERM or Ctrl-C sets, so that no step is cut; a second signal stops at once."""
    over = threading.Event()
    before: dict[signal.Signals, Any] = {}

    def stop(_number: int, _frame: object) -> None:
        over.set()
        for number in before:
            signal.signal(number, signal.default_int_handler)

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            before[number] = signal.signal(number, stop)
    try:
        yield over
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
