"""The warm parent of all workers: it imports once, forks on request, and never runs student code.

It is started inside the box as `python -I -S -B zygote.py FD`. On FD (a SEQPACKET socket) it reads one JSON
configuration, answers "ready", and then serves {"op": "spawn"} with a connection attached (answer: the worker's pid,
and its pidfd) and {"op": "reap", "pid": n} (answer: how that worker ended).

This file is long because the steps that shut a worker in belong to one fork, in one order.
"""

from __future__ import annotations

import os
import sys

for _variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_variable] = "1"  # before any import: two threads before a fork make the child's matmul hang

import contextlib  # noqa: E402
import gc  # noqa: E402
import importlib  # noqa: E402
import json  # noqa: E402
import select  # noqa: E402
import signal  # noqa: E402
import socket  # noqa: E402
import tempfile  # noqa: E402
from typing import Any  # noqa: E402

#: variables that large packages read when they are imported or first used: one thread, no folder of settings, no log
_SETTINGS = {
    "OMP_NUM_THREADS": "1",
    "KERAS_BACKEND": "torch",
    "KERAS_HOME": os.devnull,
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "NO_ALBUMENTATIONS_UPDATE": "1",
    "LOGNAME": "student",  # getpass.getuser() asks for it; the worker's user has no name
}
#: where multiprocessing.pool.ThreadPool keeps its semaphores; on rung A each worker has one of its own
_SHARED = "/dev/shm"
#: users of workers, if the zygote is root and there are no namespaces
_FIRST_UID, _LAST_UID = 61184, 65000


#: how workers ended, as long as the judge may ask
_ENDED: dict[int, int] = {}
_REMEMBERED = 64


def main(control: socket.socket) -> None:
    """Warm up, then fork workers until the judge closes the connection."""
    config = json.loads(control.recv(1 << 16))
    program = bytes.fromhex(config["seccomp"])
    os.environ.update(_SETTINGS, HOME=config["scratch"])  # where Matplotlib keeps its list of fonts
    sys.path[:] = config["path"]
    if config["isolation"] in ("A", "B"):
        from autograder.sandbox.inside import harden

        if config["isolation"] == "A":
            if os.getuid() == 0:
                harden.become(config["uid"])
            harden.adopt_orphans()
        harden.hide_from_siblings()
    _warm_up(config["warm"])
    config["memory_mb"] += _address_space_mb()
    gc.collect()
    gc.freeze()
    control.send(b"ready")
    while True:
        message, descriptors, _flags, _address = socket.recv_fds(control, 1 << 16, 1)
        if not message:
            os._exit(0)
        request = json.loads(message)
        if request["op"] == "spawn":
            _spawn(control, descriptors[0], config | {"trapped": request["trapped"]}, program)
        else:
            control.send(json.dumps(_reap(request["pid"])).encode())


def _address_space_mb() -> int:
    """Return the megabytes that this process has mapped so far, so that a limit is what a student's code may add."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE") >> 20
    except OSError:
        return 1024


def _warm_up(packages: list[str]) -> None:
    """Import what the workers need, and run each lazy import once."""
    import numpy as np

    import autograder.sandbox.inside.worker  # noqa: F401

    np.random.default_rng(0).normal(size=(4, 4)) @ np.linalg.svd(np.eye(4))[0]
    if "torch" in packages:
        _warm_up_torch()
    for name in packages:
        with contextlib.suppress(Exception):  # what cannot be imported here fails in the worker, with a sentence
            importlib.import_module(name)


def _warm_up_torch() -> None:
    import torch
    import torch.nn.functional as F

    torch.set_num_threads(1)
    with contextlib.suppress(RuntimeError):
        torch.set_num_interop_threads(1)
    model = torch.nn.Sequential(
        torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2), torch.nn.Flatten(), torch.nn.Linear(72, 2)
    )
    for optimizer in (
        torch.optim.SGD(model.parameters(), 0.1, momentum=0.9),
        torch.optim.Adam(model.parameters()),
    ):
        loss: Any = F.cross_entropy(model(torch.randn(2, 1, 8, 8)), torch.tensor([0, 1]))
        loss.backward()
        optimizer.step()
    torch.nn.LSTM(4, 4)(torch.randn(3, 1, 4))[0].sum().backward()


def _spawn(control: socket.socket, connection: int, config: dict[str, Any], program: bytes) -> None:
    """Fork one worker that serves `connection`; answer with its pid, and with its pidfd if the system has them."""
    _bury()
    read_end, write_end = os.pipe()
    scratch, uid = config["scratch"], 0
    if config["isolation"] != "A":
        scratch = tempfile.mkdtemp(dir=scratch)
        if config["isolation"] == "B" and os.getuid() == 0:
            uid = config["uid"] = config["uid"] + 1 if config["uid"] < _LAST_UID else _FIRST_UID
            os.chown(scratch, uid, uid)
    child = os.fork()
    if child == 0:
        os.close(read_end)
        control.close()
        _become_worker(connection, write_end, config, program, scratch, uid)
    os.close(write_end)
    os.close(connection)
    with os.fdopen(read_end) as said:
        words = said.read().splitlines()  # until the end: by then every writer has closed its end
    worker = child
    for word in list(words):
        if word.startswith("pid "):  # the child only made the PID namespace: its own child is the worker
            os.waitpid(child, 0)
            worker = int(word[4:])
            words.remove(word)
    if words != ["ok"]:
        control.send(json.dumps({"error": " ".join(words)}).encode())
        return
    answer = json.dumps({"pid": worker, "scratch": "" if config["isolation"] == "A" else scratch}).encode()
    if hasattr(os, "pidfd_open"):
        pidfd = os.pidfd_open(worker)
        socket.send_fds(control, [answer], [pidfd])
        os.close(pidfd)
    else:
        control.send(answer)


def _become_worker(
    connection: int, write_end: int, config: dict[str, Any], program: bytes, scratch: str, uid: int
) -> None:
    """In the forked child: give up every right, report that, then serve."""
    try:
        with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")  # if memory runs out, the kernel should kill this process
        if config["isolation"] == "A":
            from autograder.sandbox.inside import harden

            harden.enter_namespaces()
            worker = os.fork()  # PID 1 of the new namespace
            if worker:
                os.write(write_end, b"pid %d\n" % worker)
                os._exit(0)
            harden.mount_scratch(scratch, config["scratch_mb"])
            harden.mount_scratch("/proc", 1)
            harden.mount_scratch(_SHARED, 1)
            os.mkdir("/proc/self")
            os.symlink("/worker", "/proc/self/exe")  # TensorFlow ends a process that cannot name its program
        connection, write_end = _keep_only(connection, write_end)
        os.environ.clear()
        os.environ.update(_SETTINGS, HOME=scratch, TMPDIR=scratch, PATH="")
        tempfile.tempdir = scratch
        os.chdir(scratch)
        _link_to(config["given"])
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        _harden(config, scratch, program, uid)
        os.write(write_end, b"ok\n")
        os.close(write_end)
    except BaseException as error:
        os.write(write_end, f"{type(error).__name__}: {error}".encode()[:4096])
        os._exit(1)
    from autograder.sandbox.inside import worker as serving

    serving.main(socket.socket(fileno=connection), scratch)


def _link_to(given: str) -> None:
    """Make links in the current folder to all files below another folder, in the same folders as there."""
    for folder, _, names in os.walk(given) if given else ():
        here = os.path.relpath(folder, given)
        if here != ".":
            os.mkdir(here)
            os.chmod(here, 0o777)  # the worker that serves here may write beside the links
        for name in names:
            os.symlink(os.path.join(folder, name), os.path.join(here, name))


def _harden(config: dict[str, Any], scratch: str, program: bytes, uid: int) -> None:
    try:
        from autograder.sandbox.inside import harden
    except ImportError:  # no `resource` module: not a Unix
        return
    cpu, memory, tasks = config["cpu_seconds"], config["memory_mb"], config["processes"]
    if config["isolation"] in ("C", "D"):
        with contextlib.suppress(OSError, ValueError):
            harden.limit_resources(cpu_seconds=cpu, memory_mb=memory, scratch_mb=config["scratch_mb"])
        return
    if uid:
        harden.become_another(uid, may_search=config["may_search"])
    elif config["isolation"] == "B":
        tasks = harden.no_more_than(tasks)  # this user's other processes count too
    if config["isolation"] == "B":
        harden.die_with_parent()
    harden.limit_resources(cpu_seconds=cpu, memory_mb=memory, scratch_mb=config["scratch_mb"], tasks=tasks)
    own = ["/proc/self/cmdline"] if config["isolation"] == "B" else []  # TensorFlow ends a process that cannot read it
    readable, listable = config["readable"], config["listable"]
    if config["trapped"]:
        from autograder.sandbox.both.traps import files_of

        readable, listable = harden.all_but(files_of(config["trapped"]), readable, listable)
    writable = [scratch, "/dev/null", *([_SHARED] if config["isolation"] == "A" else ())]
    harden.restrict_files([*readable, "/dev/null", "/dev/urandom", *own], writable, listable)
    harden.hide_from_siblings()
    harden.drop_capabilities(but_search=bool(uid) and config["may_search"])
    harden.filter_system_calls(program)


def _keep_only(connection: int, write_end: int) -> tuple[int, int]:
    """Close every descriptor except these two; 0, 1 and 2 lead nowhere."""
    connection, write_end = os.dup(connection), os.dup(write_end)
    high = max(connection, write_end) + 1
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    os.dup2(connection, high + 1)
    os.dup2(write_end, high + 2)
    os.dup2(high + 1, 3)
    os.dup2(high + 2, 4)
    os.closerange(5, 65536)
    return 3, 4


def _reap(pid: int) -> dict[str, int | None]:
    """Return how a worker ended: an exit code, or minus the signal that killed it."""
    for _ in range(100):
        _bury()
        if pid in _ENDED:
            return {"code": _ENDED.pop(pid)}
        select.select([], [], [], 0.01)
    return {"code": None}


def _bury() -> None:
    """Note every worker that has ended, so that none stays as a zombie."""
    with contextlib.suppress(ChildProcessError):
        while True:
            found, status = os.waitpid(-1, os.WNOHANG)
            if not found:
                return
            _ENDED[found] = os.waitstatus_to_exitcode(status)
            while len(_ENDED) > _REMEMBERED:
                del _ENDED[next(iter(_ENDED))]


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
