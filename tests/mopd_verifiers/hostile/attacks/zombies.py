# Fill the process table with the dead.
# kind: stdin
# expected: escaped
import os

made = 0
for _ in range(50):
    try:
        if os.posix_spawn("/bin/true", ["true"], {}) > 0:
            made += 1
    except OSError:
        pass
print("escaped" if made else "contained")
