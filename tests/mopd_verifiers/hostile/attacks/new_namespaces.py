# Be root in a place of one's own.
# kind: stdin
# expected: escaped
import ctypes

if ctypes.CDLL(None, use_errno=True).unshare(0x10000000 | 0x00020000) == 0:
    print("escaped")
