# Look for secrets in the environment, its own and others'.
# kind: stdin
# expected: @SECRET@
import os
from pathlib import Path

print(os.environ.get("MOPD_TEST_SECRET", ""))
for process in ("self", "1", str(os.getppid()), "thread-self", "@GRADER@"):
    try:
        text = Path("/proc", process, "environ").read_bytes()
    except OSError:
        continue
    if b"@SECRET@" in text:
        print("@SECRET@")
        break
