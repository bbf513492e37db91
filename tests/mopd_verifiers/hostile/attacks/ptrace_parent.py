# Take over another process.
# kind: stdin
# expected: escaped
import ctypes
import os

libc = ctypes.CDLL(None, use_errno=True)
PTRACE_SEIZE = 0x4206
for process in (os.getppid(), @GRADER@):
    if libc.ptrace(PTRACE_SEIZE, process, 0, 0) == 0:
        print("escaped")
        break
