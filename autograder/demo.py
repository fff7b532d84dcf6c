"""Demo: a whole class, from release to feedback, in a scratch course; a second run is fast."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from autograder.authoring.release import release
from autograder.classroom.class_report import write_class_report
from autograder.cohort import Member, cohort
from autograder.course import Course
from autograder.errors import CourseError
from autograder.grading.intake.collect import submissions
from autograder.grading.keep import store
from autograder.grading.keep.verdict import package
from autograder.grading.pool.fleet import examine_all
from autograder.recording import gradebook
from autograder.recording.summary import give_feedback
from autograder.screen import progress_bar, report_tables
from autograder.topic import Topic

DEFAULT = ("01_neural_network_basics", "04_convolutional_networks")
_HANDED_IN = "2027-01-29 17:30:00 UTC"
_STAMP = "demo"  #: the file in .autograder/ that marks a folder as a demo, and names its contents


def demo(
    repo: Course, scratch: Path, ids: tuple[str, ...], console: Console, *, allow_unisolated: bool = False
) -> None:
    """Grade an invented class in its own course, and show the result.

    Args:
        repo: the course that has the assignments; nothing in it is changed
        scratch: the folder of the demo; it is made, or made again
        ids: the assignments; if there are none, the first two of the course
        console: where to print
        allow_unisolated: judge without a sandbox if none works

    Raises:
        CourseError: the folder holds something that is no demo, or nbgrader cannot record
        SandboxError: no isolation works here
    """
    topics = repo.topics(ids or tuple(topic_id for topic_id in DEFAULT if topic_id in repo.topic_ids()))
    stamp = _stamp(repo, topics)
    course = Course(scratch)
    path = course.cache / _STAMP
    if not path.is_file() or path.read_text(encoding="utf-8") != stamp or not _has_reports(course, topics):
        _make(repo, scratch, topics, allow_unisolated)
        path.write_text(stamp, encoding="utf-8")
    for topic in course.topics(tuple(topic.id for topic in topics)):
        stories = {student.name: student.story for student in cohort(topic)}
        console.print(report_tables(topic, store.reports(course, topic.id), stories))
    _say_where(course, console)


def _has_reports(course: Course, topics: tuple[Topic, ...]) -> bool:
    return all(
        {student.name for student in cohort(topic)} <= {report.student for report in store.reports(course, topic.id)}
        for topic in topics
    )


def _stamp(repo: Course, topics: tuple[Topic, ...]) -> str:
    parts = [package()]
    for topic in topics:
        parts += [topic.id, store.suite(topic), hashlib.sha256(topic.lesson_path.read_bytes()).hexdigest()]
    return "\n".join(parts)


def _make(repo: Course, scratch: Path, topics: tuple[Topic, ...], allow_unisolated: bool) -> None:
    """Make the course, and take the class through every step."""
    _lay_out(repo, scratch, topics)
    course = Course(scratch)
    ids = tuple(topic.id for topic in topics)
    with progress_bar() as progress:
        step = progress.add_task("release the assignments", total=len(ids))
        for topic_id in ids:
            release(course, (topic_id,))
            gradebook.to_exchange(course, topic_id)
            progress.advance(step)
        topics = course.topics(ids)
        step = progress.add_task("hand in", total=None)
        for topic in topics:
            for student in cohort(topic):
                _hand_in(course, topic, student)
        everybody = [submission for topic in topics for submission in submissions(course, topic)]
        progress.update(step, total=len(everybody), completed=len(everybody))
        step = progress.add_task("examine", total=len(everybody))
        reports = examine_all(
            course,
            everybody,
            allow_unisolated=allow_unisolated,
            on_report=lambda _report: progress.advance(step),
        )
        step = progress.add_task("record with nbgrader", total=len(reports))
        gradebook.enrol(course, {student.name: student.full for topic in topics for student in cohort(topic)})
        gradebook.record(course, reports, lambda student: progress.advance(step))
        step = progress.add_task("write feedback with nbgrader", total=len(reports))
        for topic_id in ids:
            give_feedback(course, topic_id, lambda student: progress.advance(step))
            write_class_report(course, topic_id)
        gradebook.export(course, course.root / "grades.csv")


def _lay_out(repo: Course, scratch: Path, topics: tuple[Topic, ...]) -> None:
    """Make the folder a fresh course; reports of an earlier demo stay, and are used again if they are current."""
    if scratch.exists() and any(scratch.iterdir()) and not (scratch / ".autograder").is_dir():
        raise CourseError(f"{scratch}: holds files that are no demo; move them away")
    scratch.mkdir(parents=True, exist_ok=True)
    for path in scratch.iterdir():
        if path.name != ".autograder":
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    for topic in topics:
        shutil.copytree(topic.folder, scratch / "assignments" / topic.id, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(repo.root / "nbgrader_config.py", scratch)
    (scratch / ".autograder").mkdir(exist_ok=True)
    exchange = scratch / "exchange"
    exchange.mkdir()
    exchange.chmod(0o777)  # nbgrader wants an exchange in which every student can write


def _hand_in(course: Course, topic: Topic, student: Member) -> None:
    folder = course.submitted / student.name / topic.id
    folder.mkdir(parents=True)
    for name, content in student.files.items():
        (folder / name).write_bytes(content)
    (folder / "timestamp.txt").write_text(_HANDED_IN)  # as nbgrader's exchange does


def _say_where(course: Course, console: Console) -> None:
    rows = (
        ("what students got", course.release),
        ("the exchange, from which students fetch", course.root / "exchange"),
        ("what they handed in", course.submitted),
        ("reports", course.cache / "reports"),
        ("nbgrader's gradebook", course.root / "gradebook.db"),
        ("feedback pages", course.root / "feedback"),
        ("the class on one page", course.root / "class_report"),
        ("all grades", course.root / "grades.csv"),
    )
    table = Table.grid(padding=(0, 2))
    for what, path in rows:
        table.add_row(what, escape(str(path)))
    console.print(table)
