# Use up all descriptors.
# kind: stdin
# expected: escaped
import os

count = 0
try:
    while count < 4096:
        os.dup(0)
        count += 1
except OSError:
    pass
print("escaped" if count >= 4096 else "contained")
