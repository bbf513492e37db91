# The reader sees the end of the stream; the process stays.
# kind: stdin
import os
import time

os.write(1, b"@TOKEN@\n")
for descriptor in range(64):
    try:
        os.close(descriptor)
    except OSError:
        pass
time.sleep(1000)
