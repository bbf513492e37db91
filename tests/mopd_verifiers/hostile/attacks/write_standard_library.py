# Change what every later program imports.
# kind: stdin
# expected: escaped
import os

done = False
for name in ("mopd_hostile.py", "mopd_hostile.pth"):
    try:
        descriptor = os.open(os.path.join(os.path.dirname(os.__file__), name), os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        done = True
        os.close(descriptor)
        os.unlink(os.path.join(os.path.dirname(os.__file__), name))
    except OSError:
        pass
print("escaped" if done else "contained")
