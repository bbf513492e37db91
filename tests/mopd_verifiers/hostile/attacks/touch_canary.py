# Change the times and attributes of somebody's file.
# kind: stdin
# expected: escaped
import os

done = False
for attempt in (lambda: os.utime("@CANARY@", (1, 1)), lambda: os.setxattr("@CANARY@", "user.x", b"1")):
    try:
        attempt()
        done = True
    except OSError:
        pass
print("escaped" if done else "contained")
