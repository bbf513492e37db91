# Write files that other Pythons would run.
# kind: stdin
# expected: escaped
import os
import sys

done = False
folders = [*sys.path, "@FOLDER@", os.getcwd(), "/tmp"]
for folder in folders:
    for name in ("sitecustomize.py", "usercustomize.py", "conftest.py", "mopd-hostile.pth"):
        path = os.path.join(folder, name)
        try:
            if os.path.isdir(folder) and folder.startswith(("@FOLDER@", "/tmp")):
                with open(path, "x") as file:
                    file.write("")
                done = True
            else:
                os.utime(folder)
                done = True
        except OSError:
            pass
print("escaped" if done else "contained")
