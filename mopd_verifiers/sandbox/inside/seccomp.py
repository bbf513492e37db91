"""The layer `seccomp`: which system calls a program may make. All others fail with EPERM.

A list of what is allowed, not of what is not: a call that a new kernel brings is refused. A call that honest programs
turn out to need goes into `ALWAYS`, or into `IN_SCRATCH` if it makes or changes files. Nothing here may let a program
reach another process, start one, open a connection, or end itself by a signal that looks like somebody else's.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
from dataclasses import dataclass
from typing import TypeAlias

from mopd_verifiers.sandbox.inside import kernel

_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_LOAD, _AND, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_X32 = 0x40000000
_SET_MODE_FILTER = 1
_WORD = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Is:
    """A condition: the low 32 bits of argument number `argument`, masked, are `value`. `high`: look at the upper 32."""

    argument: int
    value: int
    mask: int = _WORD
    high: bool = False


Alternatives: TypeAlias = tuple[tuple[Is, ...], ...]
"""A call is allowed if all conditions of one alternative hold."""

_ALWAYS = """
read write readv writev pread64 pwrite64 preadv pwritev close lseek fstat newfstatat stat lstat statx
access faccessat faccessat2 readlink readlinkat open openat getdents64 getcwd chdir fchdir fadvise64 umask dup dup2
dup3 pipe pipe2 poll ppoll select pselect6 epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2
eventfd eventfd2 timerfd_create timerfd_settime timerfd_gettime recvfrom getsockname getpeername getsockopt shutdown
mmap munmap mprotect mremap madvise brk msync membarrier exit exit_group getpid getppid gettid getuid geteuid getgid
getegid getgroups getresuid getresgid getpgid getpgrp getsid getrusage times uname sysinfo sched_yield
sched_getaffinity getcpu getpriority set_tid_address set_robust_list rseq futex arch_prctl getrlimit restart_syscall
wait4 waitid rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigtimedwait rt_sigsuspend sigaltstack pause
alarm setitimer getitimer clock_gettime clock_getres clock_nanosleep nanosleep gettimeofday time getrandom
"""
ALWAYS = _ALWAYS.split()

_IN_SCRATCH = """
mkdir mkdirat unlink unlinkat rmdir rename renameat renameat2 symlink symlinkat truncate ftruncate flock fsync
fdatasync
"""
IN_SCRATCH = _IN_SCRATCH.split()
"""For interpreters with a folder of their own. Landlock confines these; it would not confine chmod, chown or utime."""


def _one_of(argument: int, values: tuple[int, ...], *also: Is) -> Alternatives:
    return tuple((*also, Is(argument, value)) for value in values)


def _null(argument: int) -> tuple[Is, Is]:
    return Is(argument, 0), Is(argument, 0, high=True)


_CLONE_THREAD, _CLONE_NAMESPACES = 0x10F00, 0x7E020080
"""A thread shares memory, files, folders and signal handlers: one with a table of files of its own could open anew as
many as the limit allows."""
_CLOSE_RANGE = (0, 4)  # CLOEXEC; UNSHARE would give the thread such a table
_AF_UNIX, _SOCK_STREAM, _SOCK_TYPE = 1, 1, 0xF
_FCNTL = (0, 1, 2, 3, 4, 5, 6, 7, 1030, 1032, 1034)  # DUPFD, GETFD, SETFD, GETFL, SETFL, GETLK, SETLK, SETLKW, ...
_IOCTL = (0x5421, 0x5451, 0x5450, 0x541B, 0x5401, 0x5413)  # FIONBIO, FIOCLEX, FIONCLEX, FIONREAD, TCGETS, TIOCGWINSZ
_PRCTL = (15, 16, 0x53564D41)  # SET_NAME, GET_NAME, SET_VMA
_SETTABLE = (1, 2, 3, 4, 7, 9)  # FSIZE, DATA, STACK, CORE, NOFILE, AS; not CPU, which would kill as if from outside

CONDITIONAL: dict[str, Alternatives] = {
    "clone": ((Is(0, _CLONE_THREAD, _CLONE_THREAD | _CLONE_NAMESPACES),),),
    "socketpair": ((Is(0, _AF_UNIX), Is(1, _SOCK_STREAM, _SOCK_TYPE)),),
    "sendto": (_null(4),),
    "close_range": _one_of(2, _CLOSE_RANGE),
    "fcntl": _one_of(1, _FCNTL),
    "ioctl": _one_of(1, _IOCTL),
    "prctl": _one_of(0, _PRCTL),
    "prlimit64": ((Is(0, 0), *_null(2)), *_one_of(1, _SETTABLE, Is(0, 0))),
    "setrlimit": _one_of(0, _SETTABLE),
}


def build(scratch: bool, machine: str = "") -> bytes:
    """The filter for this machine (or another, by name) as the kernel takes it."""
    machine = machine or platform.machine()
    table = kernel.NUMBERS[machine]
    lines = [*_guard(machine), *_refuse(table["clone3"], errno.ENOSYS)]
    for name in (*ALWAYS, *(IN_SCRATCH if scratch else ())):
        if name in table:
            lines += [_line(_EQUAL, table[name], 0, 1), _line(_RETURN, _ALLOW)]
    for name, alternatives in CONDITIONAL.items():
        block = [line for conditions in alternatives for line in _alternative(conditions)]
        block.append(_line(_RETURN, _ERRNO | errno.EPERM))
        lines += [_line(_EQUAL, table[name], 0, len(block)), *block]
    return b"".join([*lines, _line(_RETURN, _ERRNO | errno.EPERM)])


def apply(program: bytes) -> None:
    """Put the filter on this process, for good. Needs `no_new_privs`. Raises `OSError`."""
    code = ctypes.create_string_buffer(program, len(program))
    head = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code))
    kernel.syscall("seccomp", _SET_MODE_FILTER, 0, ctypes.create_string_buffer(head, len(head)))


def _guard(machine: str) -> list[bytes]:
    """Refuse calls of another architecture and of the x32 range; leave the call's number loaded."""
    return [
        _line(_LOAD, 4),
        _line(_EQUAL, _AUDIT_ARCH[machine], 1, 0),
        _line(_RETURN, _ERRNO | errno.EPERM),
        _line(_LOAD, 0),
        _line(_AT_LEAST, _X32, 0, 1),
        _line(_RETURN, _ERRNO | errno.EPERM),
    ]


def _refuse(number: int, error: int) -> list[bytes]:
    return [_line(_EQUAL, number, 0, 1), _line(_RETURN, _ERRNO | error)]


def _alternative(conditions: tuple[Is, ...]) -> list[bytes]:
    """Allow if all hold; else go on behind it."""
    lines: list[bytes] = [_line(_RETURN, _ALLOW)]
    for condition in reversed(conditions):
        lines = [*_test(condition, otherwise=len(lines)), *lines]
    return lines


def _test(condition: Is, otherwise: int) -> list[bytes]:
    load = _line(_LOAD, 16 + 8 * condition.argument + 4 * condition.high)
    mask = [] if condition.mask == _WORD else [_line(_AND, condition.mask)]
    return [load, *mask, _line(_EQUAL, condition.value, 0, otherwise)]


def _line(code: int, value: int, then: int = 0, otherwise: int = 0) -> bytes:
    """One instruction; `then` and `otherwise` say how many to skip."""
    return struct.pack("HBBI", code, then, otherwise, value)
