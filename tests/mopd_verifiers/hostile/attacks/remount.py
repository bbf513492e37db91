# Change what the file system looks like.
# kind: stdin
# expected: escaped
import ctypes

libc = ctypes.CDLL(None, use_errno=True)
if libc.mount(b"none", b"@FOLDER@", b"tmpfs", 0, None) == 0 or libc.chroot(b"@FOLDER@") == 0:
    print("escaped")
