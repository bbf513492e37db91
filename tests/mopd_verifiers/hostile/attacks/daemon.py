# Leave a process behind that outlives the run.
# kind: stdin
# expected: escaped
import os
import time

if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(20)
    os._exit(0)
print("escaped")
