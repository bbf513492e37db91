# File operations that no system call filter sees one by one.
# kind: stdin
# expected: escaped
import ctypes

parameters = (ctypes.c_char * 248)()
if ctypes.CDLL(None, use_errno=True).syscall(425, 4, parameters) >= 0:
    print("escaped")
