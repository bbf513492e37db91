# See what lies around.
# kind: stdin
# expected: escaped
import os

found = []
for folder in ("/", "/root", "/home", "/tmp", "@FOLDER@", "/proc", os.getcwd()):
    try:
        found += os.listdir(folder)
    except OSError:
        continue
print("escaped" if found else "contained")
