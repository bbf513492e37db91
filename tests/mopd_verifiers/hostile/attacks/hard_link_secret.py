# Give a readable name to a file that may not be read.
# kind: stdin
# expected: @SECRET@
import os

for folder in (".", "/tmp", "@FOLDER@"):
    try:
        os.link("@SECRET_FILE@", os.path.join(folder, "mopd-hostile-link"))
        print(open(os.path.join(folder, "mopd-hostile-link")).read())
        break
    except OSError:
        continue
