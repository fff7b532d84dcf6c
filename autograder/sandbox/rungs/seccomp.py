"""The system calls that a worker may make: a list of those that NumPy and torch need. All others are refused.

The list was measured: every assignment's suite, the training probes and the standard library's ways to use files and
threads ran under the filter. A refused call returns EPERM, so a library that tries a better call first uses its
fallback.
"""

from __future__ import annotations

import contextlib
import errno
import tempfile
from functools import cache

from autograder.errors import SandboxError

_ALLOWED = """
    read write readv writev pread64 pwrite64 lseek close close_range
    open openat stat lstat fstat newfstatat statx access faccessat faccessat2 readlink readlinkat getdents getdents64
    getcwd chdir umask unlink unlinkat mkdir mkdirat rmdir rename renameat renameat2 ftruncate truncate fallocate fsync
    link linkat symlink symlinkat sendfile copy_file_range fdatasync dup dup2 dup3 pipe pipe2 flock statfs fstatfs
    fadvise64
    poll ppoll select pselect6 epoll_create1 epoll_ctl epoll_wait epoll_pwait eventfd2
    recvfrom recvmsg sendto sendmsg getsockopt getsockname getpeername
    mmap munmap mremap mprotect madvise brk msync mincore membarrier get_mempolicy
    futex set_robust_list get_robust_list rseq set_tid_address sched_yield sched_getaffinity getcpu
    clock_gettime clock_getres clock_nanosleep nanosleep gettimeofday time times getrusage sysinfo uname
    getitimer setitimer alarm timer_create timer_settime timer_delete
    getpid getppid gettid getuid geteuid getgid getegid getgroups getresuid getresgid getpgrp getpgid getsid
    rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigtimedwait sigaltstack restart_syscall
    arch_prctl getrandom getrlimit exit exit_group wait4 waitid capget
""".split()
#: modes and times of files, which copying and touching set; a rung that does not hide other files of this user pretends
#: to do it, because Landlock does not limit these calls to the worker's own folder
_OF_FILES = "chmod fchmod fchmodat fchmodat2 utime utimes utimensat futimesat".split()
#: further attributes of files: the scratch folder has none
_ATTRIBUTES = [f"{prefix}{verb}xattr" for prefix in ("", "l", "f") for verb in ("list", "get", "set", "remove")]

_AF_UNIX = 1
_CLONE_THREAD = 0x00010000
_TCGETS, _FIONBIO, _FIOCLEX, _FIONCLEX = 0x5401, 0x5421, 0x5451, 0x5450
_PR_SET_NAME, _PR_GET_NAME = 15, 16
#: flags and copies of descriptors, and locks; not F_SETOWN and F_SETSIG, which let the kernel signal other processes
_FCNTL = (0, 1, 2, 3, 4, 5, 6, 7, 36, 37, 38, 1030, 1032)


@cache
def build_filter(*, is_alone: bool) -> bytes:
    """Return the filter as BPF code.

    Args:
        is_alone: whether the worker sees no file that it may change, except its own

    Raises:
        SandboxError: libseccomp or its binding is not installed
    """
    try:
        import pyseccomp
    except (ImportError, OSError, RuntimeError) as error:
        raise SandboxError(f"seccomp: {error}; install libseccomp2 and the package's [teacher] extra") from None

    rules = pyseccomp.SyscallFilter(pyseccomp.ERRNO(errno.EPERM))
    of_files = pyseccomp.ALLOW if is_alone else pyseccomp.ERRNO(0)
    answers = ((pyseccomp.ALLOW, _ALLOWED), (of_files, _OF_FILES), (pyseccomp.ERRNO(errno.ENOTSUP), _ATTRIBUTES))
    for answer, names in answers:
        for name in names:
            with contextlib.suppress(OSError, ValueError, RuntimeError):  # not a call of this architecture
                rules.add_rule(answer, name)
    rules.add_rule(pyseccomp.ALLOW, "socketpair", pyseccomp.Arg(0, pyseccomp.EQ, _AF_UNIX))  # asyncio makes one
    rules.add_rule(pyseccomp.ERRNO(errno.ENOSYS), "clone3")  # so that libc uses clone, whose flags can be checked
    rules.add_rule(pyseccomp.ALLOW, "clone", pyseccomp.Arg(0, pyseccomp.MASKED_EQ, _CLONE_THREAD, _CLONE_THREAD))
    for request in (_TCGETS, _FIONBIO, _FIOCLEX, _FIONCLEX):
        rules.add_rule(pyseccomp.ALLOW, "ioctl", pyseccomp.Arg(1, pyseccomp.EQ, request))
    for command in _FCNTL:
        rules.add_rule(pyseccomp.ALLOW, "fcntl", pyseccomp.Arg(1, pyseccomp.EQ, command))
    for option in (_PR_SET_NAME, _PR_GET_NAME):
        rules.add_rule(pyseccomp.ALLOW, "prctl", pyseccomp.Arg(0, pyseccomp.EQ, option))
    rules.add_rule(pyseccomp.ALLOW, "prlimit64", pyseccomp.Arg(2, pyseccomp.EQ, 0))  # limits may be read, not set
    with tempfile.TemporaryFile() as file:
        rules.export_bpf(file)
        file.seek(0)
        return file.read()
