# Fork past Python and past the C library's wrappers.
# kind: stdin
# expected: escaped
import ctypes
import os

libc = ctypes.CDLL(None, use_errno=True)
SIGCHLD = 17
for number, arguments in ((57, ()), (58, ()), (56, (SIGCHLD, 0, 0, 0, 0))):
    made = libc.syscall(number, *arguments)
    if made == 0:
        os._exit(0)
    if made > 0:
        print("escaped")
        break
