# Send signals to the parent, the grader, and whoever is there.
# kind: stdin
# expected: escaped
import os
import signal

done = False
for process in (os.getppid(), @GRADER@):
    if process <= 1:
        continue
    for number in (0, signal.SIGTERM, signal.SIGKILL):
        try:
            os.kill(process, number)
            done = True
        except OSError:
            pass
print("escaped" if done else "contained")
