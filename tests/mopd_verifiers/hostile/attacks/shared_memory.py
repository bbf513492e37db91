# Leave something in memory that outlives the process.
# kind: stdin
# expected: escaped
import ctypes
import mmap
from multiprocessing import shared_memory

libc = ctypes.CDLL(None, use_errno=True)
if libc.shmget(0x6D6F7064, 4096, 0o1600) >= 0:
    print("escaped")
else:
    shared_memory.SharedMemory("mopd-hostile", create=True, size=4096)
    print("escaped")
