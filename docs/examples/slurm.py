"""Grade one assignment on a Slurm cluster: start workers by dask-jobqueue, grade on them, and give them back.

    python docs/examples/slurm.py 04_convolutional_networks

Run it on the login node, in the course's folder, with the course's Python (`pip install '.[teacher,cluster]'`). What
stands in WORKERS is all that another cluster needs changed. Ctrl-C ends the jobs; what was finished is kept.
"""

from __future__ import annotations

import subprocess
import sys

from dask_jobqueue import SLURMCluster

JOBS = 8
WORKERS = {
    "queue": "cpu",  # the partition
    "walltime": "01:00:00",
    "cores": 4,  # of one job: so many submissions at once
    "processes": 1,
    "memory": "20 GB",  # 4 GB for each thread and 4 GB for Dask: topic.toml says what a submission may use
    "local_directory": "$TMPDIR",
    "job_extra_directives": ["--job-name=autograder"],
    # one thread a submission; student code then uses the core that it was given and no other
    "job_script_prologue": ["export OMP_NUM_THREADS=1"],
}


def main(arguments: list[str]) -> int:
    """Run `autograder grade ARGUMENTS --dask ...` with workers for as long as it takes."""
    with SLURMCluster(**WORKERS) as cluster:
        cluster.scale(jobs=JOBS)
        command = [sys.executable, "-m", "autograder.cli", "grade", *arguments]
        return subprocess.run([*command, "--dask", cluster.scheduler_address], check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
