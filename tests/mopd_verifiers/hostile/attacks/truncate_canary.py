# Empty somebody's file.
# kind: stdin
# expected: escaped
import os

os.truncate("@CANARY@", 0)
print("escaped")
