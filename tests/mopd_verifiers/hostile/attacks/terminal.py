# Type into the grader's terminal.
# kind: stdin
# expected: escaped
import fcntl
import os
import termios

done = False
for path in (0, 1, 2, "/dev/tty", "/dev/console", "/dev/pts/0"):
    try:
        descriptor = path if isinstance(path, int) else os.open(path, os.O_RDWR)
        fcntl.ioctl(descriptor, termios.TIOCSTI, b"x")
        done = True
    except OSError:
        pass
print("escaped" if done else "contained")
