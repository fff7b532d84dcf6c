"""Export: fill marks into a platform's roster, or make an assignment that a platform examines.

Every mark that finds no line is named, and so is everything that a person has not graded yet.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from autograder.course import Course
from autograder.errors import CourseError
from autograder.files import TEACHERS, write_atomically
from autograder.grading.keep import store
from autograder.people import gone
from autograder.platforms.github import write_template
from autograder.platforms.gradescope_zip import write_zip
from autograder.platforms.roster import PLATFORMS, fill
from autograder.report import Report
from autograder.report.csv_text import as_csv
from autograder.report.mark import Mark

_SECRET = (
    "This zip holds the solution, the hidden tests and the class's seed: upload it to Gradescope, never publish it. "
    "The build log and every result say which isolation works there (probably rung B)."
)
_PUBLIC = (
    "A template repository: release files and public tests only, examined without isolation in the student's own "
    "repository. For marks, clone what students push and run `autograder grade` here."
)


@dataclass(frozen=True)
class Exported:
    """What was written, and what a person should know about it."""

    paths: tuple[Path, ...]
    sentences: tuple[str, ...]
    is_whole: bool  #: whether every mark has found its line


def export(
    course: Course,
    topic_id: str,
    form: str,
    *,
    roster: Path | None = None,
    column: str = "",
    out: Path | None = None,
    allow_unisolated: bool = False,
) -> tuple[list[str], int]:
    """Export to a platform; returns what to print, and the exit code: 1 if a mark has no line.

    Raises:
        CourseError: as `export_marks`, `write_zip` and `write_template`, or a roster is missing
    """
    if form == "gradescope-zip":
        path = write_zip(course, topic_id, out, allow_unisolated=allow_unisolated)
        return [str(path), _SECRET], 0
    if form == "github":
        paths = write_template(course, topic_id, out)
        return [str(paths[0].parents[2]), _PUBLIC], 0
    if roster is None:
        raise CourseError(f"--format {form}: needs the CSV that the platform exports; name it with --roster FILE")
    done = export_marks(course, topic_id, form, roster, out=out, column=column)
    return [*map(str, done.paths), *done.sentences], 0 if done.is_whole else 1


def export_marks(
    course: Course, topic_id: str, platform: str, roster: Path, *, out: Path | None = None, column: str = ""
) -> Exported:
    """Fill the marks of an assignment into a roster.

    Args:
        platform: a key of PLATFORMS
        roster: the CSV that the platform exports
        out: where to write; else exports/<id>/<platform>.csv in the course
        column: the column to fill, if it is not the one with the assignment's title or id

    Raises:
        CourseError: there is no mark, or the roster cannot be read or is not a roster
    """
    topic = course.topic(topic_id)
    marks, source = _marks(course, topic.id)
    try:
        text = roster.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CourseError(f"{roster}: cannot be read ({error}); give the platform's CSV, as UTF-8") from error
    filled = fill(text, PLATFORMS[platform], marks, topic.title, column)
    path = out or course.root / "exports" / topic.id / f"{platform}.csv"
    beside = path.with_name(f"{path.stem}-unmatched.csv")
    path.parent.mkdir(parents=True, exist_ok=True)
    beside.unlink(missing_ok=True)
    write_atomically(path, filled.text.encode(), mode=TEACHERS)
    paths = [path]
    sentences = [f"{filled.filled} marks in the column {filled.column!r} ({source})"]
    most = max(mark.max_score for mark in marks)
    if filled.out_of is not None and filled.out_of != most:
        sentences.append(
            f"the roster gives {filled.out_of:g} points and the assignment {most:g}: the marks are not scaled"
        )
    away = gone(course)
    left = (*(mark for mark in filled.unmatched if mark.student not in away), *filled.locked)
    if left:
        table = as_csv(
            ("student", "score", "max_score", "why"),
            [(mark.student, mark.score, mark.max_score,
              "the platform does not allow a change" if mark in filled.locked else "nobody on the roster, or several")
             for mark in left],
        )  # fmt: skip
        write_atomically(beside, table.encode("utf-8", "replace"), mode=TEACHERS)
        paths.append(beside)
        sentences.append(f"{len(left)} marks without a line, all in {beside.name}: {_names([m.student for m in left])}")
    kept = [mark.student for mark in filled.unmatched if mark.student in away]
    if kept:
        sentences.append(f"students who have left, not on the roster, marks kept in the gradebook: {_names(kept)}")
    if filled.blank:
        sentences.append(f"students on the roster without a mark ({len(filled.blank)}): {_names(filled.blank)}")
    waiting = [mark for mark in marks if mark.open]
    if waiting:
        sentences.append(
            f"{len(waiting)} marks are not complete, because a person has not graded {', '.join(_open(waiting))} yet: "
            f"{_names([mark.student for mark in waiting])}"
        )
    sentences += [f"{mark.student}: {mark.note}" for mark in marks if mark.note]
    return Exported(tuple(paths), tuple(sentences), not left)


def _marks(course: Course, assignment: str) -> tuple[tuple[Mark, ...], str]:
    """Return the marks of the gradebook, or else of the kept reports, and words that say which."""
    from autograder.recording import gradebook  # it imports nbgrader, which takes a second

    found = gradebook.marks(course, assignment)
    if found:
        return found, "tests and written answers, from nbgrader's gradebook"
    reports = store.reports(course, assignment)
    if not reports:
        raise CourseError(f"{assignment}: nobody has a mark; run `autograder grade {assignment}` first")
    return tuple(_mark(report) for report in reports), "by tests only: no gradebook knows this assignment"


def _mark(report: Report) -> Mark:
    broken = tuple(task.task for task in report.tasks if task.status != "graded")
    return Mark(report.student, report.score, report.max_score, open=("written questions", *broken))


def _open(marks: list[Mark]) -> list[str]:
    return sorted({name for mark in marks for name in mark.open})


def _names(names: list[str] | tuple[str, ...]) -> str:
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
