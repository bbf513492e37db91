# Fork and fork again.
# kind: stdin
# expected: escaped
import os
import time

made = 0
for _ in range(50):
    try:
        if os.fork() == 0:
            time.sleep(2)
            os._exit(0)
        made += 1
    except OSError:
        pass
print("escaped" if made else "contained")
