"""System-call numbers are those of the kernel's headers; and the filter decides as its lists say."""

from __future__ import annotations

import errno
import re
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mopd_verifiers.sandbox.inside import kernel, seccomp

HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}
ALLOW, REFUSE, ABSENT = 0x7FFF0000, 0x00050000 | errno.EPERM, 0x00050000 | errno.ENOSYS
ARCHES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}


@pytest.mark.parametrize("machine", HEADERS)
def test_numbers_are_the_headers(machine: str) -> None:
    if not HEADERS[machine].exists():
        pytest.skip("no kernel headers")
    text = HEADERS[machine].read_text()
    there = {name: int(number) for name, number in re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", text)}
    there |= {"newfstatat": there["fstatat"]} if "fstatat" in there else {}
    assert {name: there.get(name) for name in kernel.NUMBERS[machine]} == kernel.NUMBERS[machine]


def decide(code: bytes, arch: int, number: int, arguments: tuple[int, ...] = ()) -> int:
    """What the filter answers: its instructions, done here."""
    data = struct.pack("<iIQ6Q", number & 0x7FFFFFFF, arch, 0, *(arguments + (0,) * 6)[:6])
    lines = [struct.unpack_from("HBBI", code, at) for at in range(0, len(code), 8)]
    at = value = 0
    while True:
        kind, then, otherwise, operand = lines[at]
        at += 1
        if kind == 0x20:
            (value,) = struct.unpack_from("<I", data, operand)
        elif kind == 0x54:
            value &= operand
        elif kind == 0x15:
            at += then if value == operand else otherwise
        elif kind == 0x35:
            at += then if value >= operand else otherwise
        else:
            assert kind == 0x06
            return operand


CASES = [
    ("read", (), ALLOW),
    ("clone3", (), ABSENT),
    ("clone", (0x11,), REFUSE),
    ("clone", (0x3D0F00,), ALLOW),
    ("clone", (0x3D0F00 | 0x40000000,), REFUSE),
    ("clone", (0x4111,), REFUSE),
    ("clone", (0x3D0F00 & ~0x400,), REFUSE),
    ("close_range", (6, 1024, 0), ALLOW),
    ("close_range", (6, 1024, 4), ALLOW),
    ("close_range", (6, 1024, 2), REFUSE),
    ("close_range", (6, 1024, 6), REFUSE),
    ("socketpair", (1, 1), ALLOW),
    ("socketpair", (1, 0x80801), ALLOW),
    ("socketpair", (1, 2), REFUSE),
    ("socketpair", (2, 1), REFUSE),
    ("sendto", (5, 1, 1, 0, 0), ALLOW),
    ("sendto", (5, 1, 1, 0, 1), REFUSE),
    ("sendto", (5, 1, 1, 0, 1 << 32), REFUSE),
    ("fcntl", (0, 4), ALLOW),
    ("fcntl", (0, 8), REFUSE),
    ("fcntl", (0, 10), REFUSE),
    ("fcntl", (0, 15), REFUSE),
    ("fcntl", (0, 1024), REFUSE),
    ("fcntl", (0, 1026), REFUSE),
    ("ioctl", (0, 0x5401), ALLOW),
    ("ioctl", (0, 0x5412), REFUSE),
    ("ioctl", (0, 0x5452), REFUSE),
    ("prctl", (15,), ALLOW),
    ("prctl", (4, 1), REFUSE),
    ("prlimit64", (0, 0, 0), ALLOW),
    ("prlimit64", (1, 7, 0), REFUSE),
    ("prlimit64", (0, 7, 1), ALLOW),
    ("prlimit64", (0, 0, 1), REFUSE),
    ("prlimit64", (0, 0, 1 << 32), REFUSE),
]


@pytest.mark.parametrize("machine", ARCHES)
@pytest.mark.parametrize(("name", "arguments", "answer"), CASES)
def test_calls_with_arguments_are_decided_by_them(
    machine: str, name: str, arguments: tuple[int, ...], answer: int
) -> None:
    code = seccomp.build(False, machine)
    assert decide(code, ARCHES[machine], kernel.NUMBERS[machine][name], arguments) == answer


@pytest.mark.parametrize("machine", ARCHES)
@given(number=st.integers(0, 600) | st.integers(0, 2**31 - 1), scratch=st.booleans())
def test_only_what_is_listed_is_allowed(machine: str, number: int, scratch: bool) -> None:
    table = kernel.NUMBERS[machine]
    names = {name for name, known in table.items() if known == number}
    answer = decide(seccomp.build(scratch, machine), ARCHES[machine], number, ((1 << 64) - 1,) * 6)
    allowed = bool(names & {*seccomp.ALWAYS, *(seccomp.IN_SCRATCH if scratch else ())})
    assert (answer == ALLOW) == allowed


def test_another_architecture_and_the_x32_range_are_refused() -> None:
    code = seccomp.build(True, "x86_64")
    read = kernel.NUMBERS["x86_64"]["read"]
    assert decide(code, 0x40000003, read) == REFUSE
    assert decide(code, ARCHES["aarch64"], read) == REFUSE
    assert decide(code, ARCHES["x86_64"], read | 0x40000000) == REFUSE


FORBIDDEN = """
fork vfork execve execveat kill tkill tgkill rt_sigqueueinfo rt_tgsigqueueinfo pidfd_open pidfd_send_signal pidfd_getfd
ptrace process_vm_readv process_vm_writev io_uring_setup memfd_create memfd_secret socket bind connect listen accept
accept4 sendmsg recvmsg sched_setaffinity sched_setscheduler setpriority shmget msgget semget mq_open splice tee
vmsplice sendfile copy_file_range bpf keyctl add_key mount umount2 chroot pivot_root unshare setns chmod fchmod
fchmodat chown fchown fchownat lchown utimensat utime utimes setxattr link linkat mknod mknodat setuid setgid
setresuid setresgid setgroups capset personality userfaultfd perf_event_open open_by_handle_at name_to_handle_at
inotify_init1 fanotify_init timer_create seccomp reboot swapon init_module iopl ioperm modify_ldt prlimit kcmp
"""


def test_what_must_never_be_allowed_is_not() -> None:
    allowed = {*seccomp.ALWAYS, *seccomp.IN_SCRATCH, *seccomp.CONDITIONAL}
    assert allowed.isdisjoint(FORBIDDEN.split())
