# Change the mode of somebody's file: no file system rule of Landlock covers that.
# kind: stdin
# expected: escaped
import os

os.chmod("@CANARY@", 0o777)
print("escaped")
