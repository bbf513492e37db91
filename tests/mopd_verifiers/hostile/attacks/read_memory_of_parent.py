# Read another process's memory.
# kind: stdin
# expected: escaped
import ctypes
import os

libc = ctypes.CDLL(None, use_errno=True)


class Vector(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


buffer = ctypes.create_string_buffer(8)
here = Vector(ctypes.addressof(buffer), 8)
there = Vector(id(object), 8)
for process in (os.getppid(), @GRADER@):
    if libc.process_vm_readv(process, ctypes.byref(here), 1, ctypes.byref(there), 1, 0) == 8:
        print("escaped")
        break
    try:
        with open(f"/proc/{process}/mem", "rb"):
            print("escaped")
            break
    except OSError:
        continue
