# Memory tricks of kernel exploits.
# kind: stdin
# expected: escaped
import ctypes

libc = ctypes.CDLL(None, use_errno=True)
for number, arguments in (
    (323, (1,)),
    (321, (0, (ctypes.c_char * 128)(), 128)),
    (298, ((ctypes.c_char * 128)(), 0, -1, -1, 0)),
    (250, (0, 0, 0)),
    (248, (b"user", b"x", b"x", 1, -2)),
    (175, (0, 0, b"")),
    (246, (0, 0, 0, 0)),
    (434, (1, 0)),
    (424, (0, 0, 0, 0)),
    (135, (0x0040000,)),
    (308, (0, 0)),
):
    if libc.syscall(number, *arguments) >= 0:
        print("escaped")
        break
