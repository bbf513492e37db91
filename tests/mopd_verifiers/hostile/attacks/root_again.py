# Become root.
# kind: stdin
# expected: escaped
import os

was_root = os.getuid() == 0
for attempt in (lambda: os.setuid(0), lambda: os.setresuid(0, 0, 0), lambda: os.seteuid(0), lambda: os.setgid(0)):
    try:
        attempt()
        if not was_root:
            print("escaped")
            break
    except OSError:
        continue
