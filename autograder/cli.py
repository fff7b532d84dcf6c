"""The command line: verbs. Each parses, calls one function and prints. Exit 0 done, 1 something is wrong, 2 misuse.

This file is long because all verbs and their help are here, which are one page for the reader.
"""

from __future__ import annotations

import io
import signal
import sys
from pathlib import Path
from typing import Any

import click

from autograder.course import Course, find_course
from autograder.errors import AutograderError

_WHO = {
    "For students, in an assignment's folder": ("check", "watch", "hint", "status", "submit"),
    "For teachers, in the course's folder": (
        "students",
        "due",
        "extension",
        "collect",
        "grade",
        "follow",
        "report",
        "feedback",
        "solution",
        "export",
        "demo",
        "doctor",
    ),
    "For authors": ("init", "rollover", "new", "build", "release", "verify", "costs"),
}
#: what a person types, below the help of each verb
_EXAMPLES = {
    "check": "autograder check softmax",
    "watch": "autograder watch",
    "hint": "autograder hint softmax",
    "status": "autograder status",
    "submit": "autograder submit --dry-run",
    "students": "autograder students import canvas.csv",
    "due": 'autograder due 01_neural_network_basics "2030-01-31 23:59"',
    "extension": "autograder extension set 01_neural_network_basics ada --days 2",
    "collect": "autograder collect 01_neural_network_basics --from canvas downloads/",
    "grade": "autograder grade 01_neural_network_basics",
    "follow": "autograder follow 01_neural_network_basics",
    "report": "autograder report 01_neural_network_basics",
    "feedback": "autograder feedback 01_neural_network_basics",
    "export": "autograder export 01_neural_network_basics --format canvas --roster grades.csv",
    "solution": "autograder solution 01_neural_network_basics",
    "demo": "autograder demo 01_neural_network_basics",
    "doctor": "autograder doctor",
    "init": "autograder init my_course",
    "rollover": "autograder rollover ../next_year",
    "new": "autograder new 12_dropout",
    "build": "autograder build 12_dropout",
    "release": "autograder release 12_dropout",
    "verify": "autograder verify 12_dropout",
    "costs": "autograder costs 12_dropout",
}


class _Verbs(click.Group):
    """A group that lists its verbs by who types them, and turns our own errors into one sentence and exit code 2."""

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Add a verb, and its example below its help."""
        example = _EXAMPLES.get(name or cmd.name or "")
        cmd.epilog = f"Example: {example}" if example else cmd.epilog
        super().add_command(cmd, name)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        for who, verbs in _WHO.items():
            known = [(verb, self.commands[verb]) for verb in verbs]
            with formatter.section(who):
                formatter.write_dl([(verb, command.get_short_help_str(limit=200)) for verb, command in known])

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except AutograderError as error:
            click.echo(f"autograder: {error}", err=True)
            sys.exit(2)


def _course() -> Course:
    return find_course(Path.cwd())


def _say_paths(paths: list[Path], nothing: str) -> None:
    for path in paths:
        click.echo(path)
    if not paths:
        click.echo(nothing)


@click.group(
    cls=_Verbs,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="autograder")
@click.pass_context
def main(context: click.Context) -> None:
    """Author, release and grade deep-learning assignments; check your own answers."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a console may lack a letter of a path
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@main.command()
@click.argument("task", required=False)
def check(task: str | None) -> None:
    """Run the public tests of TASK, or of all tasks, in this folder."""
    from autograder.student.check import check_command

    sys.exit(check_command(task, Path.cwd()))


@main.command()
def status() -> None:
    """Show your progress in every assignment here, and what comes next."""
    from autograder.student.check import status_command

    sys.exit(status_command(Path.cwd()))


@main.command()
@click.argument("ids", nargs=-1, metavar="[ID]...")
def build(ids: tuple[str, ...]) -> None:
    """Compile assignments/ into source/: stubs, notebooks, public tests."""
    from autograder.authoring.build import build

    _say_paths(build(_course(), ids), "source/ is fresh")


@main.command()
@click.argument("ids", nargs=-1, metavar="[ID]...")
def release(ids: tuple[str, ...]) -> None:
    """Make release/ from source/ with nbgrader, and search it for leaks."""
    from autograder.authoring.release import release

    _say_paths(release(_course(), ids), "release/ is fresh")


@main.command()
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option(
    "--full",
    is_flag=True,
    help="Run the tests that train under all seeds too, and the mutants.",
)
@click.option("--allow-unisolated", is_flag=True, help="Go on without a sandbox if none works.")
def verify(ids: tuple[str, ...], full: bool, allow_unisolated: bool) -> None:
    """Try every gate of assignments: stub, solution, mistakes, answers.

    The stub earns 0, the solution 100 %, every known mistake fails a test, and every right answer passes.
    The result goes to docs/verification.md.
    """
    from autograder.screen import verify_all

    sys.exit(verify_all(_course(), ids, is_full=full, allow_unisolated=allow_unisolated))


@main.command()
@click.argument("topic_id", metavar="ID")
def costs(topic_id: str) -> None:
    """Say what each known mistake of ID costs.

    In points, and as its share of the function's tests.
    """
    from autograder.authoring.costs import as_table, costs
    from autograder.known import read_known

    topic = _course().topic(topic_id)
    found = costs(topic, read_known(topic).failing)
    click.echo(as_table(found) or f"no known mistake was tried yet: run autograder verify {topic_id}")
    sys.exit(1 if any(cost.is_too_low for cost in found) else 0)


@main.command()
@click.argument("folder", default=".", type=click.Path(path_type=Path), metavar="[FOLDER]")
def init(folder: Path) -> None:
    """Start a course in FOLDER.

    It gets settings, a first assignment that passes `verify`, and a page with the next steps.
    """
    from autograder.authoring.init import init

    _say_paths(init(folder), "nothing written")


@main.command()
@click.argument("folder", metavar="FOLDER", type=click.Path(path_type=Path))
def rollover(folder: Path) -> None:
    """Copy this course to FOLDER for the next class.

    The copy has the assignments and the settings, and no dates, people and marks.
    """
    from autograder.authoring.rollover import roll_over

    click.echo("\n".join(roll_over(_course(), folder)))


@main.command()
@click.argument("topic_id", metavar="ID")
def new(topic_id: str) -> None:
    """Write the six files of a new assignment; it passes `verify`."""
    from autograder.authoring.new import new

    _say_paths(new(_course(), topic_id), "nothing written")


@main.command()
@click.argument("topic_id", required=False, metavar="[ID]")
@click.argument("date", required=False, metavar="[DATE]")
@click.option("--remove", is_flag=True, help="ID has no due date any more.")
def due(topic_id: str | None, date: str | None, remove: bool) -> None:
    """Say when assignments are due, or set it."""
    from autograder.dates import read_date
    from autograder.recording.extended import due_lines, set_due

    if topic_id and (date or remove):
        said = set_due(_course(), topic_id, read_date(date) if date and not remove else None)
    else:
        said = due_lines(_course(), (topic_id,) if topic_id else ())
    click.echo("\n".join(said))


@main.group()
def extension() -> None:
    """Give one student more time, show who has it, or take it back."""


@extension.command("set")
@click.argument("topic_id", metavar="ID")
@click.argument("student")
@click.option("--days", type=click.FloatRange(0), default=0.0, help="After the due date.")
@click.option("--hours", type=click.FloatRange(0), default=0.0, help="After the due date.")
@click.option("--until", default="", metavar="DATE", help='The new date, such as "2030-02-02 12:00".')
def extension_set(topic_id: str, student: str, days: float, hours: float, until: str) -> None:
    """Give STUDENT more time for ID; it replaces an earlier extension."""
    from datetime import timedelta

    from autograder.dates import read_date
    from autograder.recording.extended import grant

    given = read_date(until) if until else timedelta(days=days, hours=hours)
    click.echo("\n".join(grant(_course(), topic_id, student, given)))


@extension.command("show")
@click.argument("topic_id", required=False, metavar="[ID]", default="")
def extension_show(topic_id: str) -> None:
    """List who has more time, and until when."""
    from autograder.recording.extended import extension_lines

    click.echo("\n".join(extension_lines(_course(), topic_id)) or "nobody has an extension")


@extension.command("remove")
@click.argument("topic_id", metavar="ID")
@click.argument("student")
def extension_remove(topic_id: str, student: str) -> None:
    """Take STUDENT's extension for ID back."""
    from autograder.recording.extended import withdraw

    click.echo("\n".join(withdraw(_course(), topic_id, student)))


@main.group()
def students() -> None:
    """Enter the class from a platform's CSV, and list it."""


@students.command("import")
@click.argument("file", metavar="CSV", type=click.Path(path_type=Path))
@click.option("--column", default="", help="The column with the names of students' folders, if it is not a known one.")
@click.option("--whole-email", is_flag=True, help="An e-mail address is the whole name, not only what is before the @.")
@click.option("--add", "is_more", is_flag=True, help="The CSV holds only some of the class: nobody else has left.")
def students_import(file: Path, column: str, whole_email: bool, is_more: bool) -> None:
    """Enter the students of the CSV that Canvas, Moodle, Sakai or Gradescope exports."""
    from autograder.platforms.students import enter

    click.echo("\n".join(enter(_course(), file, column, is_whole=whole_email, is_more=is_more).sentences()))


@students.command("list")
@click.option("--section", default="", help="Only this section.")
@click.option("--left", "is_gone", is_flag=True, help="Those who have left the class.")
def students_list(section: str, is_gone: bool) -> None:
    """List the class: id, name, section."""
    from autograder.platforms.students import class_lines

    click.echo("\n".join(class_lines(_course(), section, is_gone=is_gone)) or "nobody")


@main.command()
@click.argument("topic_id", metavar="ID")
@click.argument("download", metavar="FOLDER", type=click.Path(path_type=Path))
@click.option(
    "--from",
    "platform",
    required=True,
    type=click.Choice(["canvas", "moodle", "blackboard"]),
    help="The platform whose bulk download it is.",
)
def collect(topic_id: str, download: Path, platform: str) -> None:
    """Take a platform's bulk download of ID into submitted/.

    FOLDER may also be a zip. Every file that belongs to no student is named.
    """
    from autograder.platforms.collecting import collect_download, replaced_folder

    course = _course()
    found = collect_download(course, topic_id, platform, download)
    click.echo("\n".join(found.sentences(str(replaced_folder(course, topic_id)))))
    sys.exit(1 if found.unmatched else 0)


@main.command()
@click.argument("topic_id", metavar="ID")
@click.argument("submissions", nargs=-1, metavar="[SUBMISSION]...", type=click.Path(path_type=Path))
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the reports to this file.")
@click.option(
    "--seed",
    type=click.IntRange(0, 2**53 - 1),
    help="Draw the tests' inputs from this seed, not from the class's seed.",
)
@click.option("--jobs", type=click.IntRange(1), help="Examine this many at once (the number of cores).")
@click.option("--quiet", "-q", is_flag=True, help="Print one line at the end, for a log.")
@click.option("--allow-unisolated", is_flag=True, help="Go on without a sandbox if none works.")
@click.option(
    "--regrade",
    "tasks",
    multiple=True,
    metavar="TASK",
    help="Examine only this task again, after a changed test; show whose marks change before they are recorded.",
)
@click.option("--yes", is_flag=True, help="Record what --regrade found without asking.")
@click.option(
    "--dask",
    default="",
    metavar="ADDRESS",
    help="Examine on the workers of this Dask scheduler, such as tcp://HOST:8786.",
)
def grade(
    topic_id: str,
    submissions: tuple[Path, ...],
    json_path: Path | None,
    seed: int | None,
    jobs: int | None,
    quiet: bool,
    allow_unisolated: bool,
    tasks: tuple[str, ...],
    yes: bool,
    dask: str,
) -> None:
    """Examine what was handed in for ID, and record the marks.

    If SUBMISSIONs are given (folder, .py, .zip, .tar.gz), they are examined and nothing is recorded; else all of
    submitted/STUDENT/ID.
    """
    from autograder.grade import grade

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a scheduler's SIGTERM stops it as Ctrl-C does
    code = grade(
        _course(),
        topic_id,
        submissions,
        json_path,
        seed=seed,
        jobs=jobs or 0,
        is_quiet=quiet,
        allow_unisolated=allow_unisolated,
        tasks=tasks,
        is_agreed=yes,
        cluster=dask,
    )
    sys.exit(code)


@main.command()
@click.argument("topic_id", metavar="ID")
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    help="Follow this folder of STUDENT/ID/, such as submitted/, not nbgrader's exchange.",
)
@click.option(
    "--every", type=click.FloatRange(0.1, 3600), default=1.0, show_default=True, help="Seconds between looks."
)
@click.option("--jobs", type=click.IntRange(1), help="Examine this many at once (the number of cores).")
@click.option("--once", is_flag=True, help="Answer what has arrived, and end.")
@click.option("--allow-unisolated", is_flag=True, help="Go on without a sandbox if none works.")
def follow(
    topic_id: str, folder: Path | None, every: float, jobs: int | None, once: bool, allow_unisolated: bool
) -> None:
    """Answer each new hand-in of ID as it arrives.

    It collects, examines, records and releases the feedback, until you stop it.
    """
    from autograder.follow import follow

    code = follow(
        _course(), topic_id, folder, every=every, jobs=jobs or 0, is_once=once, allow_unisolated=allow_unisolated
    )
    sys.exit(code)


@main.command()
def doctor() -> None:
    """Say which isolation of student code works here."""
    from autograder.doctor import examine

    lines, code = examine()
    click.echo("\n".join(lines))
    sys.exit(code)


@main.command()
@click.argument("ids", nargs=-1, metavar="[ID]...")
def demo(ids: tuple[str, ...]) -> None:
    """Take an invented class from release to feedback, in demo/."""
    from autograder.screen import run_demo

    run_demo(_course(), ids)


@main.command()
@click.argument("topic_id", required=False, metavar="[ID]")
@click.option("--out", "folder", type=click.Path(path_type=Path), help="Write into this folder (class_report/ID).")
@click.option("--section", default="", help="Only the students of this section.")
def report(topic_id: str | None, folder: Path | None, section: str) -> None:
    """Write the class report of ID, or the marks of the whole term.

    It is a page with JSON and CSV, made from the gradebook and the kept reports. Do not publish it.
    """
    from autograder.classroom.class_report import write_class_report
    from autograder.classroom.term_report import write_term_report

    if topic_id:
        written = write_class_report(_course(), topic_id, folder, section=section)
    else:
        written = write_term_report(_course(), folder, section=section)
    _say_paths(written, "nothing written")


@main.command()
@click.argument("topic_id", metavar="ID")
def feedback(topic_id: str) -> None:
    """Make the feedback pages of ID.

    These are nbgrader's pages, and beside each a short page and Markdown with the same words.
    """
    from autograder.recording.summary import give_feedback
    from autograder.screen import progress_bar

    with progress_bar() as progress:
        step = progress.add_task("write feedback", total=None)
        written = give_feedback(
            _course(),
            topic_id,
            lambda _student: progress.advance(step),
            lambda count: progress.update(step, total=count),
        )
    click.echo(f"{len(written) // 2} students: feedback/*/{topic_id}/")


@main.command()
@click.argument("topic_id", metavar="ID")
@click.option("--early", is_flag=True, help="Write it although ID is not due yet, or has no date.")
def solution(topic_id: str, early: bool) -> None:
    """Write a worked solution of ID for students whose time is over.

    It has explanations, and is refused before the due date.
    """
    from autograder.authoring.solution import give_solution

    click.echo("\n".join(give_solution(_course(), topic_id, is_early=early).sentences()))


@main.command()
@click.argument("topic_id", metavar="ID")
@click.option(
    "--format",
    "form",
    required=True,
    type=click.Choice(["canvas", "moodle", "gradescope", "gradescope-zip", "github"]),
    help="A platform's roster with marks, a Gradescope autograder, or a GitHub Classroom template.",
)
@click.option(
    "--roster",
    type=click.Path(path_type=Path),
    help="The CSV that the platform exports; it is not changed.",
)
@click.option("--column", default="", help="The roster's column to fill (the one with the assignment's title).")
@click.option("--out", type=click.Path(path_type=Path), help="Where to write (exports/ID/).")
@click.option("--allow-unisolated", is_flag=True, help="Let a Gradescope container examine without a wall.")
def export(
    topic_id: str, form: str, roster: Path | None, column: str, out: Path | None, allow_unisolated: bool
) -> None:
    """Take the marks or tests of ID to another platform.

    The marks to Canvas, Moodle or Gradescope, or the tests to Gradescope or GitHub Classroom.
    """
    from autograder.platforms.export import export

    sentences, code = export(
        _course(), topic_id, form, roster=roster, column=column, out=out, allow_unisolated=allow_unisolated
    )
    click.echo("\n".join(sentences))
    sys.exit(code)


@main.command()
@click.argument("task", required=False)
def hint(task: str | None) -> None:
    """Give a hint on TASK, or on the next task; each call gives one more.

    None of them gives the answer.
    """
    from autograder.student.desk import hint_command

    sys.exit(hint_command(task, Path.cwd()))


@main.command()
def watch() -> None:
    """Run the tests of what you change, each time you save.

    Keys give a hint, go on or end.
    """
    from autograder.student.watch import watch

    sys.exit(watch(Path.cwd()))


@main.command()
@click.option("--dry-run", is_flag=True, help="Look only; hand nothing in.")
def submit(dry_run: bool) -> None:
    """Look at this folder as the grader will, and hand it in.

    It is handed in through nbgrader's exchange if that is set up, else packed as a zip.
    """
    from autograder.student.desk import submit_command

    sys.exit(submit_command(Path.cwd(), is_dry=dry_run))


if __name__ == "__main__":
    main()
