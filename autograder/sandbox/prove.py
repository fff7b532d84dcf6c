"""Prove a rung: start a worker that tries to escape, and see what it could do.

It tries what a submission would try first: read the tests, open a socket, see another student's files, use more memory
than it may, signal its parent, start a program.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from autograder.errors import SandboxError
from autograder.report.model import Isolation
from autograder.sandbox.outside.ends import Ended
from autograder.sandbox.outside.session import Session
from autograder.sandbox.outside.zygotes import Zygote
from autograder.sandbox.rungs.launch import Limits

_MEMORY_MB = 256

_BURGLAR = """
import os, socket, subprocess, sys

def answers(): return 42

def attempt(what, *args):
    try:
        return str(globals()["_" + what](*args))
    except MemoryError:
        return ""
    except Exception:
        return ""

def _read(path): return open(path).read()
def _write(path): open(path, "w").write("x"); return "written"
def _list(path): return os.listdir(path)
def _connect(port): socket.create_connection(("127.0.0.1", port), 1); return "connected"
def _listen():
    server = socket.socket(); server.bind(("127.0.0.1", 0)); server.listen(); return "listening"
def _signal(pid, number): os.kill(pid, number); return "sent"
def _parent(): os.kill(os.getppid(), 0); return "seen"
def _own(fd, pid):
    import fcntl
    fcntl.fcntl(fd, 8, pid); return "owned"
def _fork():
    pid = os.fork()
    if not pid: os._exit(0)
    return "forked"
def _run(): return subprocess.run(["/bin/true"]).returncode
def _fill(megabytes): return len(bytearray(megabytes << 20))
def _fork_bomb(): return _fork()
def _private(): open("mine", "w").write("x"); return os.getcwd()
"""


@dataclass(frozen=True)
class Attempt:
    """One thing that a worker tried."""

    what: str  #: "read the tests"
    is_held: bool


def prove(isolation: Isolation) -> list[Attempt]:
    """Start a rung, let a worker try to escape, and return what it tried and whether that failed.

    Raises:
        SandboxError: the rung does not start here, or honest code does not run on it
    """
    with (
        tempfile.TemporaryDirectory(prefix="autograder-secret-") as folder,
        Zygote(isolation, ("numpy",), Limits(cpu_seconds=60, memory_mb=_MEMORY_MB)) as zygote,
    ):
        os.chmod(folder, 0o755)
        secret, target = Path(folder) / "test_hidden.py", Path(folder) / "written"
        secret.write_text("the answer")
        secret.chmod(0o644)
        thief, sibling = _hire(zygote), _hire(zygote)
        parent = zygote.pid
        try:
            attempts = _attempts(thief, sibling, secret, target, parent)
            attempts.append(Attempt("end the process that starts all workers", _hire_is_possible(zygote)))
            return attempts
        except Ended as error:
            raise SandboxError(f"sandbox: rung {isolation} does not run honest code here ({error})") from None
        finally:
            thief.process.kill()
            sibling.process.kill()


def _attempts(thief: Session, sibling: Session, secret: Path, target: Path, parent: int) -> list[Attempt]:
    def fails(what: str, *args: object) -> bool:
        return bool(thief.request("get", name="attempt")(what, *args) == "")

    own = sibling.request("get", name="attempt")("private")
    neighbours = own == "" or thief.request("get", name="attempt")("private") == own
    held = [
        Attempt("read the tests", fails("read", str(secret))),
        Attempt("read /etc/passwd", fails("read", "/etc/passwd")),
        Attempt("write outside its folder", fails("write", str(target)) and not target.exists()),
        Attempt("open a connection", fails("connect", 9) and fails("listen")),
        Attempt("see other processes", fails("list", "/proc") or fails("read", f"/proc/{parent}/cmdline")),
        Attempt("read another student's files", neighbours or fails("read", f"{own}/mine")),
        Attempt("start a program or a process", fails("run") and fails("fork")),
        Attempt("signal its parent", fails("parent") and fails("signal", parent, 9)),
        Attempt("have the kernel signal it", fails("own", 3, parent)),
        Attempt("use more memory than it may", fails("fill", 4 * _MEMORY_MB)),
    ]
    if thief.request("get", name="answers")() != 42:
        raise SandboxError("sandbox: honest code does not run here")
    return held


def _hire(zygote: Zygote) -> Session:
    session = Session(zygote.spawn(), zygote.how_it_ended)
    session.start_budget("", 20.0)
    session.load(("burglar",), _BURGLAR.encode(), ("numpy",))
    return session


def _hire_is_possible(zygote: Zygote) -> bool:
    try:
        _hire(zygote).process.kill()
    except (SandboxError, Ended):
        return False
    return True
