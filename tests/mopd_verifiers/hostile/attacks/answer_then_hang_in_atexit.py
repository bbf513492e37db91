# End, but not quite.
# kind: stdin
import atexit
import time

atexit.register(time.sleep, 1000)
print("@TOKEN@", flush=True)
