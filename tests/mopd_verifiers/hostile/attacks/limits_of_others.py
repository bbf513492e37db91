# Starve the grader: limits and priorities of other processes.
# kind: stdin
# expected: escaped
import os
import resource

done = False
for process in (os.getppid(), @GRADER@):
    for attempt in (
        lambda: resource.prlimit(process, resource.RLIMIT_NOFILE, (3, 3)),
        lambda: os.sched_setaffinity(process, {0}),
        lambda: os.setpriority(os.PRIO_PROCESS, process, 19),
    ):
        try:
            attempt()
            done = True
        except (OSError, ValueError):
            pass
print("escaped" if done else "contained")
