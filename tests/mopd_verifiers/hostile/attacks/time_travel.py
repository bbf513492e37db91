# Change the clock.
# kind: stdin
# expected: escaped
import time

time.clock_settime(time.CLOCK_REALTIME, time.time())
print("escaped")
