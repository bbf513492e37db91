# Enter the kernel as a 32-bit program, whose system calls have other numbers.
# kind: stdin
# expected: escaped
import ctypes
import mmap
import os
import platform

if platform.machine() == "x86_64":
    code = bytes([0x53, 0xB8, 2, 0, 0, 0, 0xCD, 0x80, 0x5B, 0xC3])  # push rbx; mov eax, 2; int 0x80; pop rbx; ret
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(code)
    call = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
    made = call()
    if made == 0:
        os._exit(0)
    if made > 0:
        print("escaped")
