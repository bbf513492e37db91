# Leave a link to a secret where somebody may follow it.
# kind: stdin
# expected: escaped
import os

done = False
for folder in (".", "/tmp", "@FOLDER@"):
    try:
        os.symlink("@SECRET_FILE@", os.path.join(folder, "mopd-hostile-symlink"))
        done = True
    except OSError:
        continue
print("escaped" if done else "contained")
