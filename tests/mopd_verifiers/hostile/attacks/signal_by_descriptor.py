# Have the kernel send a signal to the grader when a descriptor is ready.
# kind: stdin
# expected: escaped
import fcntl
import os
import signal
import socket

one, other = socket.socketpair()
done = False
for process in (os.getppid(), @GRADER@):
    try:
        fcntl.fcntl(one, fcntl.F_SETOWN, process)
        fcntl.fcntl(one, 10, signal.SIGTERM)
        done = True
        fcntl.fcntl(one, fcntl.F_SETFL, fcntl.fcntl(one, fcntl.F_GETFL) | os.O_ASYNC)
        other.send(b"x")
    except OSError:
        pass
print("escaped" if done else "contained")
