# Give every thread a table of descriptors of its own, each with as many as the limit allows.
# kind: stdin
# expected: escaped
import ctypes
import os
import threading

CLOSE_RANGE, UNSHARE = 436, 2
libc = ctypes.CDLL(None, use_errno=True)
held = []
done = threading.Event()


def hold():
    libc.syscall(*map(ctypes.c_long, (CLOSE_RANGE, 3000, 3001, UNSHARE)))
    count = 0
    try:
        while count < 60:
            os.dup(0)
            count += 1
    except OSError:
        pass
    held.append(count)
    done.wait(1)


threads = [threading.Thread(target=hold) for _ in range(4)]
for thread in threads:
    thread.start()
while len(held) < 4:
    pass
done.set()
print("escaped" if sum(held) > 64 else "contained")
