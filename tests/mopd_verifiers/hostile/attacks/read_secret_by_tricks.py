# The same file, by other ways to open.
# kind: stdin
# expected: @SECRET@
import ctypes
import mmap
import os

libc = ctypes.CDLL(None, use_errno=True)
for attempt in (
    lambda: os.open("@SECRET_FILE@", os.O_RDONLY | os.O_NOATIME),
    lambda: os.open(os.path.basename("@SECRET_FILE@"), os.O_RDONLY, dir_fd=os.open(os.path.dirname("@SECRET_FILE@"), os.O_PATH)),
    lambda: os.open("/proc/self/fd/%d" % os.open("@SECRET_FILE@", os.O_PATH), os.O_RDONLY),
    lambda: libc.syscall(437, -100, b"@SECRET_FILE@", (ctypes.c_uint64 * 3)(0, 0, 0), 24),
    lambda: os.open("/proc/1/root@SECRET_FILE@", os.O_RDONLY),
    lambda: os.open("/proc/self/root@SECRET_FILE@", os.O_RDONLY),
):
    try:
        descriptor = attempt()
        if descriptor >= 0:
            print(os.read(descriptor, 100).decode())
            break
    except OSError:
        continue
