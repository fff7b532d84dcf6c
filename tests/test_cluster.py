"""A class on a Dask cluster: the same marks as on one machine, and each submission once, even if workers fail."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import subprocess
import sys
from pathlib import Path

import dask
import dask_jobqueue
import psutil
import pytest
import yaml
from click.testing import CliRunner
from distributed import LocalCluster, Security
from distributed.cli import dask_scheduler, dask_worker
from factory import SOLUTION, make_course

from autograder.cli import main
from autograder.course import Course
from autograder.errors import AuthorError, CourseError
from autograder.grading.intake.submission import Submission
from autograder.grading.keep import store
from autograder.grading.pool import cluster
from autograder.grading.pool.crew import Work
from autograder.grading.pool.fleet import examine_all

ID = "01_tiny"
EXAMPLES = Path(__file__).parent.parent / "docs" / "examples"
WRONG = SOLUTION.replace("return x / 2", "return x * 2")


@pytest.fixture(scope="module")
def graders():
    """Two worker processes of one thread each."""
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as graders:
        yield graders


@pytest.fixture
def address(graders):
    return graders.scheduler_address


@pytest.fixture
def course(tmp_path):
    return make_course(tmp_path)


def a_class(count):
    """Every third module is wrong; each has a different text."""
    return [
        Submission(f"s{number:02}", ID, None, f"{SOLUTION if number % 3 else WRONG}# {number}\n".encode())
        for number in range(count)
    ]


def expected(count):
    return [78.0 if number % 3 == 0 else 90.0 for number in range(count)]


@pytest.mark.slow
def test_a_worker_that_is_killed_costs_nobody_anything_and_nobody_is_graded_twice(course, address):
    heard, killed, left = [], [], []

    def hear(report):
        heard.append(report.student)
        if killed:
            return
        with cluster._client(address) as client:
            pids = client.run(os.getpid)
            busy = [worker for worker, tasks in client.processing().items() if tasks]
            killed.append(pids[busy[0]])
        left.extend(psutil.Process(killed[0]).children(recursive=True))
        os.kill(killed[0], signal.SIGKILL)

    reports = examine_all(course, a_class(40), cluster=address, seed=5, on_report=hear)

    assert killed
    assert sorted(heard) == [f"s{number:02}" for number in range(40)]
    assert [report.score for report in reports] == expected(40)
    assert {report.student for report in store.reports(course, ID)} == set(heard)
    assert left
    assert psutil.wait_procs(left, timeout=30)[1] == []  # its examiner and zygote ended by themselves


def test_reports_are_those_of_one_machine_and_are_kept_and_used_like_them(course, address):
    parcels = a_class(5)
    alone = examine_all(course, parcels, jobs=1, seed=7, is_kept=False)

    together = examine_all(course, parcels, seed=7, cluster=address)

    for one, other in zip(alone, together, strict=True):
        assert (one.student, one.isolation, one.complaints) == (
            other.student,
            other.isolation,
            other.complaints,
        )
        assert [(t.score, t.hint) for t in one.tasks] == [(t.score, t.hint) for t in other.tasks]
    assert examine_all(course, parcels, seed=7, cluster="tcp://nobody.invalid:1") == together  # nothing is left to do


def test_one_task_alone_can_be_examined_there(course, address):
    before = examine_all(course, a_class(3), jobs=1)
    path = course.topic(ID).hidden_tests_path
    path.write_text(path.read_text().replace("halver_under_test.count, 1,", "halver_under_test.count, 2,"))

    after = examine_all(course, a_class(3), cluster=address, again=frozenset({"halve"}), shelf="regrade/halve")

    assert [report.tasks[0] for report in after] == [report.tasks[0] for report in before]
    assert {report.tasks[1].status for report in after} == {"broken"}  # the solution fails the changed test


def test_a_fault_of_the_author_is_told_as_on_one_machine(course, address):
    path = course.topic(ID).hidden_tests_path
    path.write_text(f"import nowhere_at_all\n{path.read_text()}")

    with pytest.raises(AuthorError, match="the suite cannot be collected.*nowhere_at_all"):
        examine_all(course, a_class(2), cluster=address)


def test_a_worker_of_another_engine_is_refused_by_what_differs(course, address, monkeypatch):
    really = cluster.versions
    monkeypatch.setattr(cluster, "versions", lambda topic: really(topic) | {"numpy": "1.0"})

    with pytest.raises(CourseError, match=r"is another engine: numpy \S+ \(here 1\.0\); install the same there"):
        examine_all(course, a_class(2), cluster=address)

    assert store.reports(course, ID) == ()


@pytest.mark.slow
def test_a_submission_whose_workers_all_die_is_named_and_stops_nobody(course, graders, monkeypatch):
    monkeypatch.setattr(cluster, "examine_batch", _dies_at_s00)
    monkeypatch.setattr(graders.scheduler, "allowed_failures", 0)  # Dask allows three, and a worker starts slowly

    with pytest.raises(CourseError, match=r"every worker died that examined s00; .* run it again without --dask"):
        examine_all(course, a_class(3), cluster=graders.scheduler_address)

    assert {report.student for report in store.reports(course, ID)} == {"s01", "s02"}


def _dies_at_s00(job):
    if any(work["student"] == "s00" for work in job["works"]):
        os._exit(1)
    return cluster.examine_batch(job)


@pytest.mark.parametrize(
    ("count", "threads", "sizes"),
    [
        (1, 2, [1]),
        (15, 2, [8, 7]),
        (100, 2, [13, 13, 13, 13, 12, 12, 12, 12]),
        (1000, 4, [50] * 20),
        (100, 64, [2] * 50),
    ],
)
def test_work_is_dealt_in_batches_that_keep_every_thread_busy(course, count, threads, sizes):
    topic = course.topic(ID)
    todo = [Work(number, parcel, topic, 1) for number, parcel in enumerate(a_class(count))]

    batches = cluster._batches(todo, threads)

    assert [len(batch) for batch in batches] == sizes
    assert sorted(work.number for batch in batches for work in batch) == list(range(count))
    assert [batch[0].number for batch in batches] == list(range(len(batches)))  # each has another of the slowest


def test_where_no_scheduler_is_the_command_says_where_to_read_how(course, monkeypatch):
    monkeypatch.setattr(cluster, "CLUSTER_SECONDS", 1)
    monkeypatch.chdir(course.root)
    (course.root / "tiny.py").write_text(SOLUTION)

    done = CliRunner().invoke(main, ["grade", ID, "tiny.py", "--dask", "tcp://127.0.0.1:9"])

    assert done.exit_code == 2
    assert "--dask tcp://127.0.0.1:9: no scheduler answers there" in done.stderr
    assert "docs/cluster.md" in done.stderr


def test_without_dask_it_says_what_to_install(course, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)

    with pytest.raises(CourseError, match=r"Dask is not installed .*pip install 'autograder\[cluster\]'"):
        examine_all(course, a_class(1), cluster="tcp://127.0.0.1:9")


def test_nothing_of_dask_is_imported_without_an_address():
    program = "import sys, autograder.cli, autograder.grading.pool.fleet, autograder.grade; sys.exit('distributed' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def example(name):
    spec = importlib.util.spec_from_file_location("example", EXAMPLES / name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_slurm_example_asks_for_jobs_that_fit_an_assignment():
    workers = example("slurm.py").WORKERS

    with dask_jobqueue.SLURMCluster(**workers, scheduler_options={"dashboard_address": ":0"}) as jobs:
        script = jobs.job_script().splitlines()

    assert {"#SBATCH -p cpu", "#SBATCH -t 01:00:00", "#SBATCH --cpus-per-task=4"} <= set(script)
    assert "export OMP_NUM_THREADS=1" in script
    assert "-m distributed.cli.dask_worker" in script[-1]
    assert f"--nthreads {workers['cores']}" in script[-1]
    assert int(workers["memory"].removesuffix(" GB")) * 1000 >= workers["cores"] * hungriest() + 2000


def test_the_slurm_example_grades_on_the_jobs_it_started(monkeypatch):
    slurm, run = example("slurm.py"), []

    class Jobs(contextlib.nullcontext):
        scheduler_address = "tcp://login:8786"

        def __init__(self, **workers):
            super().__init__(self)

        def scale(self, jobs):
            run.append(jobs)

    monkeypatch.setattr(slurm, "SLURMCluster", Jobs)
    monkeypatch.setattr(
        slurm.subprocess,
        "run",
        lambda command, **_: run.append(command) or subprocess.CompletedProcess(command, 1),
    )

    assert slurm.main([ID, "--quiet"]) == 1
    grade = [sys.executable, "-m", "autograder.cli", "grade", ID, "--quiet", "--dask", "tcp://login:8786"]
    assert run == [slurm.JOBS, grade]
    with main.make_context("autograder", grade[3:], resilient_parsing=True) as context:
        assert main.commands["grade"].make_context("grade", grade[4:], parent=context).params["dask"] == grade[-1]


def test_the_kubernetes_example_is_a_cluster_of_graders_behind_a_policy():
    graders, policy = yaml.safe_load_all((EXAMPLES / "kubernetes.yaml").read_text())
    (worker,) = graders["spec"]["worker"]["spec"]["containers"]
    (scheduler,) = graders["spec"]["scheduler"]["spec"]["containers"]

    assert (graders["apiVersion"], graders["kind"]) == ("kubernetes.dask.org/v1", "DaskCluster")
    assert (worker["args"][:2], scheduler["args"][:2]) == (["dask", "worker"], ["dask", "scheduler"])
    options = dask_worker.main.make_context("worker", worker["args"][2:], resilient_parsing=True).params
    assert dask_scheduler.main.make_context("scheduler", scheduler["args"][2:], resilient_parsing=True)
    memory = int(worker["resources"]["limits"]["memory"].removesuffix("Gi")) * 1024
    assert memory >= options["nthreads"] * hungriest() + 2000
    assert options["nthreads"] == int(worker["resources"]["limits"]["cpu"])
    assert {"name": "OMP_NUM_THREADS", "value": "1"} in worker["env"]
    pods = {"dask.org/cluster-name": graders["metadata"]["name"]}
    assert policy["spec"]["podSelector"]["matchLabels"] == pods
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    service = graders["spec"]["scheduler"]["service"]
    assert service["selector"] == pods | {"dask.org/component": "scheduler"}
    assert {port["targetPort"] for port in service["ports"]} == {port["name"] for port in scheduler["ports"]}


def hungriest():
    """The memory of the assignment that needs most, in MB."""
    return max(topic.memory for topic in Course(EXAMPLES.parent.parent).topics())


def test_the_tls_example_sets_all_that_dask_asks_for():
    settings = yaml.safe_load((EXAMPLES / "tls.yaml").read_text())

    with dask.config.set(dask.config.merge(dask.config.config, settings)):
        security = Security()

    assert security.require_encryption
    assert security.tls_ca_file == "/etc/autograder/tls/ca.pem"
    for role in ("scheduler", "worker", "client"):
        assert getattr(security, f"tls_{role}_cert") == "/etc/autograder/tls/grader.pem"
        assert getattr(security, f"tls_{role}_key") == "/etc/autograder/tls/grader.key"
