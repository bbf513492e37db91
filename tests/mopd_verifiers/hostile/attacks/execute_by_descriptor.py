# Become another program without naming its path.
# kind: stdin
# expected: escaped
import ctypes
import os

libc = ctypes.CDLL(None, use_errno=True)
descriptor = os.open("/bin/echo", os.O_RDONLY | os.O_PATH)
arguments = (ctypes.c_char_p * 3)(b"echo", b"escaped", None)
environment = (ctypes.c_char_p * 1)(None)
libc.syscall(322, descriptor, b"", arguments, environment, 0x1000)
