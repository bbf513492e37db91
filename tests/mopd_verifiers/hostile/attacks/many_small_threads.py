# More threads than anybody has a use for, each with the smallest stack.
# kind: stdin
# expected: escaped
import os
import sys
import threading

threading.stack_size(32768)
done = threading.Event()
count = 0
try:
    while count < 1500:
        threading.Thread(target=done.wait, args=(1,), daemon=True).start()
        count += 1
except (RuntimeError, MemoryError):
    pass
print("escaped" if count >= 1400 else "contained")
sys.stdout.flush()
os._exit(0)
