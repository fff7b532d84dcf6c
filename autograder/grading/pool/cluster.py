"""Cluster: a class examined by the workers of a Dask cluster, which are trusted graders like this machine.

A batch of submissions is sent with the assignment's files, so the machines need no common disk. Reports come back as
plain records; a student's values are decoded and judged on the machine that examines. If a worker is lost, Dask gives
its batch to another one. A worker whose engine differs from ours in any way is refused, because its marks might differ
too.
"""

from __future__ import annotations

import contextlib
import math
import platform
import sys
import tempfile
from collections.abc import Generator, Iterator, Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from autograder import extras
from autograder.course import Course
from autograder.errors import AutograderError, CourseError
from autograder.grading.intake.submission import Submission
from autograder.grading.keep import verdict
from autograder.grading.pool.crew import Crew, Work
from autograder.limits import CLUSTER_SECONDS
from autograder.report import Report
from autograder.topic import Topic

SMALLEST, LARGEST = 10, 50  #: submissions in a batch
_Finished = tuple[Work, Report]


def examine_on(
    address: str, todo: Sequence[Work], *, allow_unisolated: bool = False
) -> Generator[_Finished, None, None]:
    """Examine on the cluster at this address; give each report when its batch comes back.

    Args:
        address: that of the scheduler, such as tcp://grader.example.edu:8786; tls:// with certificates in Dask's
            settings
        todo: what to examine, the slowest first
        allow_unisolated: let a worker judge without a sandbox if none works there

    Raises:
        CourseError: Dask is not installed, or the cluster does not answer, has no worker or has another engine
        SandboxError, AuthorError: as Judge
    """
    if not todo:
        return
    distributed = _distributed()
    with _client(address) as client:
        threads = sum(client.nthreads().values())
        waiting = {_submit(client, batch, allow_unisolated): batch for batch in _batches(todo, threads)}
        coming = distributed.as_completed(list(waiting), loop=client.loop)
        doubtful: list[Work] = []  # every worker died that had their batch; they are sent one by one, to find the cause
        single, lost = None, []
        try:
            for future in coming:
                batch = waiting.pop(future)
                error = future.exception() if future.status == "error" else None
                if not isinstance(error, distributed.scheduler.KilledWorker):
                    yield from _received(batch, _answer(future, address), address)
                elif future is single:
                    lost += batch
                else:
                    doubtful += batch
                single = None if future is single else single
                if doubtful and single is None:
                    work = doubtful.pop(0)
                    single = _submit(client, [work], allow_unisolated)
                    waiting[single] = [work]
                    coming.add(single)
        finally:
            client.cancel(list(waiting))
    if lost:
        names = ", ".join(sorted(work.submission.student for work in lost))
        raise CourseError(
            f"{address}: every worker died that examined {names}; all others are examined and kept, "
            "so run it again without --dask"
        )


def _distributed() -> Any:
    try:
        import distributed
    except ImportError as error:
        raise CourseError(
            f"--dask: Dask is not installed ({error}); install the extra: pip install 'autograder[cluster]'"
        ) from None
    return distributed


@contextlib.contextmanager
def _client(address: str) -> Iterator[Any]:
    """Connect to the scheduler; if that fails, say why in a sentence."""
    distributed = _distributed()
    try:
        client = distributed.Client(address, timeout=CLUSTER_SECONDS, set_as_default=False, name="autograder")
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        raise CourseError(
            f"--dask {address}: no scheduler answers there ({error}); start one, see docs/cluster.md"
        ) from None
    with client:
        try:
            client.wait_for_workers(1, timeout=CLUSTER_SECONDS)
        except TimeoutError:
            raise CourseError(
                f"--dask {address}: no worker has come to that scheduler within {CLUSTER_SECONDS} s; "
                "start some, see docs/cluster.md"
            ) from None
        yield client


def _batches(todo: Sequence[Work], threads: int) -> list[list[Work]]:
    """Divide the work: some batches for each thread, slow submissions spread over all batches, one topic in each."""
    size = min(LARGEST, max(SMALLEST, math.ceil(len(todo) / (4 * threads))))
    size = min(size, math.ceil(len(todo) / threads))
    batches = []
    for topic_id in dict.fromkeys(work.topic.id for work in todo):
        works = [work for work in todo if work.topic.id == topic_id]
        count = math.ceil(len(works) / size)
        batches += [works[number::count] for number in range(count)]
    return batches


def _submit(client: Any, batch: list[Work], allow_unisolated: bool) -> Any:
    topic = batch[0].topic
    job = {
        "assignment": topic.id,
        "files": _files(topic),
        "versions": versions(topic),
        "allow_unisolated": allow_unisolated,
        "works": [
            {
                "student": work.submission.student,
                "source": work.submission.source,
                "complaints": list(work.submission.complaints),
                "seed": work.seed,
                "kept": work.kept and work.kept.to_record(),
                "tasks": sorted(work.tasks),
            }
            for work in batch
        ],
    }
    return client.submit(examine_batch, job, pure=False)


def _answer(future: Any, address: str) -> dict[str, Any]:
    distributed = _distributed()
    try:
        answer: dict[str, Any] = future.result()
    except AutograderError:
        raise
    except ImportError as error:
        raise CourseError(f"{address}: a worker cannot import autograder ({error}); install it there") from None
    except (OSError, RuntimeError, distributed.client.FutureCancelledError) as error:
        raise CourseError(
            f"{address}: the cluster was lost ({error or type(error).__name__}); "
            "what came back is kept, so run it again"
        ) from None
    return answer


def _received(batch: list[Work], answer: dict[str, Any], address: str) -> Iterator[_Finished]:
    ours = versions(batch[0].topic)
    theirs = answer["versions"]
    if theirs != ours:
        differ = ", ".join(
            f"{name} {theirs.get(name)} (here {ours[name]})" for name in ours if theirs.get(name) != ours[name]
        )
        raise CourseError(
            f"{address}: the worker on {answer['host']} is another engine: {differ}; install the same there"
        )
    reports = [Report.from_record(record) for record in answer["reports"]]
    for work, report in zip(batch, reports, strict=True):
        if (report.student, report.assignment, report.seed) != (
            work.submission.student,
            work.topic.id,
            work.seed,
        ):
            raise CourseError(f"{address}: a worker answered for somebody else; nothing of that batch is kept")
        yield work, report


def versions(topic: Topic) -> dict[str, str]:
    """Name what a mark depends on beside the files and the seed, part by part."""
    parts = {"autograder": verdict.engine()[:12], "python": platform.python_version()}
    for name in ("numpy", "torch"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            parts[name] = metadata.version(name)
    return parts | {extra: extras.version(extra) for extra in topic.extras}


def _files(topic: Topic) -> dict[str, bytes]:
    return {name: path.read_bytes() for name, path in topic.all_files.items()}


# --- what a worker does ---------------------------------------------------------------------------------------


def examine_batch(job: dict[str, Any]) -> dict[str, Any]:
    """Examine a batch in a worker, with judges that stay warm for the next batch."""
    course = _laid_out(job["assignment"], tuple(sorted(job["files"].items())))
    topic = course.topic(job["assignment"])
    records: list[dict[str, Any]] = []
    answer = {"versions": versions(topic), "host": platform.node(), "reports": records}
    if answer["versions"] != job["versions"]:
        return answer
    crew = _crew(allow_unisolated=job["allow_unisolated"])
    for number, work in enumerate(job["works"]):
        submission = Submission(work["student"], topic.id, course.root, work["source"], tuple(work["complaints"]))
        kept = work["kept"] and Report.from_record(work["kept"])
        report = crew.examine(Work(number, submission, topic, work["seed"], kept, frozenset(work["tasks"])))
        records.append(report.to_record())
    return answer


@cache
def _crew(*, allow_unisolated: bool) -> Crew:
    return Crew(allow_unisolated=allow_unisolated)


@cache
def _laid_out(assignment: str, files: tuple[tuple[str, bytes], ...]) -> Course:
    """Write an assignment's files into this worker's folder, once for each state of them."""
    folder = None
    if "distributed" in sys.modules:
        with contextlib.suppress(ValueError):  # not in a worker
            folder = _distributed().get_worker().local_directory
    course = Course(Path(tempfile.mkdtemp(prefix="autograder-", dir=folder)))
    folder = course.assignments / assignment
    for name, content in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return course
