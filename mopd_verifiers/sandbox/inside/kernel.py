"""System calls by name, through libc, without a dependency. A call that is missing here gets its numbers in `NUMBERS`.

The tables hold only the names that the layers use or that the system-call filter allows; x86_64 has old names that
aarch64 never had. Importable everywhere; on another system or machine `NUMBERS` has no row and the layers say so.
"""

from __future__ import annotations

import ctypes
import os
import platform

_X86_64 = """
read=0 write=1 readv=19 writev=20 pread64=17 pwrite64=18 preadv=295 pwritev=296 close=3 close_range=436 lseek=8
fstat=5 newfstatat=262 stat=4 lstat=6 statx=332 access=21 faccessat=269 faccessat2=439 readlink=89 readlinkat=267
open=2 openat=257 getdents64=217 dup=32 dup2=33 dup3=292 pipe=22 pipe2=293 fcntl=72 ioctl=16 poll=7 ppoll=271
select=23 pselect6=270 epoll_create=213 epoll_create1=291 epoll_ctl=233 epoll_wait=232 epoll_pwait=281
epoll_pwait2=441 eventfd=284 eventfd2=290 timerfd_create=283 timerfd_settime=286 timerfd_gettime=287 getcwd=79
chdir=80 fchdir=81 fadvise64=221 fsync=74 fdatasync=75 flock=73 umask=95 mkdir=83 mkdirat=258 unlink=87 unlinkat=263
rmdir=84 rename=82 renameat=264 renameat2=316 symlink=88 symlinkat=266 truncate=76 ftruncate=77 socketpair=53
sendto=44 recvfrom=45 getsockname=51 getpeername=52 getsockopt=55 shutdown=48 mmap=9 munmap=11 mprotect=10 mremap=25
madvise=28 brk=12 msync=26 membarrier=324 exit=60 exit_group=231 getpid=39 getppid=110 gettid=186 getuid=102
geteuid=107 getgid=104 getegid=108 getgroups=115 getresuid=118 getresgid=120 getpgid=121 getpgrp=111 getsid=124
getrusage=98 times=100 uname=63 sysinfo=99 sched_yield=24 sched_getaffinity=204 getcpu=309 getpriority=140
set_tid_address=218 set_robust_list=273 rseq=334 futex=202 arch_prctl=158 clone=56 clone3=435 prlimit64=302
getrlimit=97 setrlimit=160 prctl=157 restart_syscall=219 wait4=61 waitid=247 rt_sigaction=13 rt_sigprocmask=14
rt_sigreturn=15 rt_sigpending=127 rt_sigtimedwait=128 rt_sigsuspend=130 sigaltstack=131 pause=34 alarm=37
setitimer=38 getitimer=36 clock_gettime=228 clock_getres=229 clock_nanosleep=230 nanosleep=35 gettimeofday=96
time=201 getrandom=318 seccomp=317 landlock_create_ruleset=444 landlock_add_rule=445 landlock_restrict_self=446
capset=126
"""
_AARCH64 = """
read=63 write=64 readv=65 writev=66 pread64=67 pwrite64=68 preadv=69 pwritev=70 close=57 close_range=436 lseek=62
fstat=80 newfstatat=79 statx=291 faccessat=48 faccessat2=439 readlinkat=78 openat=56 getdents64=61 dup=23 dup3=24
pipe2=59 fcntl=25 ioctl=29 ppoll=73 pselect6=72 epoll_create1=20 epoll_ctl=21 epoll_pwait=22 epoll_pwait2=441
eventfd2=19 timerfd_create=85 timerfd_settime=86 timerfd_gettime=87 getcwd=17 chdir=49 fchdir=50 fadvise64=223
fsync=82 fdatasync=83 flock=32 umask=166 mkdirat=34 unlinkat=35 renameat=38 renameat2=276 symlinkat=36 truncate=45
ftruncate=46 socketpair=199 sendto=206 recvfrom=207 getsockname=204 getpeername=205 getsockopt=209 shutdown=210
mmap=222 munmap=215 mprotect=226 mremap=216 madvise=233 brk=214 msync=227 membarrier=283 exit=93 exit_group=94
getpid=172 getppid=173 gettid=178 getuid=174 geteuid=175 getgid=176 getegid=177 getgroups=158 getresuid=148
getresgid=150 getpgid=155 getsid=156 getrusage=165 times=153 uname=160 sysinfo=179 sched_yield=124
sched_getaffinity=123 getcpu=168 getpriority=141 set_tid_address=96 set_robust_list=99 rseq=293 futex=98 clone=220
clone3=435 prlimit64=261 getrlimit=163 setrlimit=164 prctl=167 restart_syscall=128 wait4=260 waitid=95
rt_sigaction=134 rt_sigprocmask=135 rt_sigreturn=139 rt_sigpending=136 rt_sigtimedwait=137 rt_sigsuspend=133
sigaltstack=132 setitimer=103 getitimer=102 clock_gettime=113 clock_getres=114 clock_nanosleep=115 nanosleep=101
gettimeofday=169 getrandom=278 seccomp=277 landlock_create_ruleset=444 landlock_add_rule=445
landlock_restrict_self=446 capset=91
"""


def _table(text: str) -> dict[str, int]:
    return {name: int(number) for name, number in (entry.split("=") for entry in text.split())}


NUMBERS = {"x86_64": _table(_X86_64), "aarch64": _table(_AARCH64)}
"""Machine -> name -> number."""

_libc = ctypes.CDLL(None, use_errno=True)


def numbers() -> dict[str, int]:
    """This machine's table; `OSError` where there is none."""
    machine = platform.machine()
    if machine not in NUMBERS:
        raise OSError(f"system calls of {machine} are not known, only of {' and '.join(NUMBERS)}")
    return NUMBERS[machine]


def syscall(name: str, *arguments: int | ctypes.Array[ctypes.c_char] | bytes | None) -> int:
    """Make a system call; integers are passed as longs. Raises `OSError` naming the call."""
    return _checked(name, _libc.syscall(ctypes.c_long(numbers()[name]), *(_long(value) for value in arguments)))


def prctl(option: int, *arguments: int) -> int:
    """`prctl` with all of its five arguments, as it wants them. Raises `OSError`."""
    values = (*arguments, 0, 0, 0, 0)[:4]
    return _checked(f"prctl({option})", _libc.prctl(option, *(ctypes.c_ulong(value) for value in values)))


def unshare(flags: int) -> None:
    """Leave the namespaces that the flags name. Raises `OSError`."""
    _checked("unshare", _libc.unshare(ctypes.c_int(flags)))


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    """Mount a file system. Raises `OSError`."""
    words = (source.encode(), os.fsencode(target), kind.encode())
    _checked(f"mount {target}", _libc.mount(*words, ctypes.c_ulong(flags), options.encode() or None))


def _long(value: object) -> object:
    return ctypes.c_long(value) if isinstance(value, int) else value


def _checked(what: str, result: int) -> int:
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result
