# The x32 range of numbers: the same calls under another number.
# kind: stdin
# expected: escaped
import ctypes
import os

made = ctypes.CDLL(None, use_errno=True).syscall(0x40000000 | 57)
if made == 0:
    os._exit(0)
if made > 0:
    print("escaped")
