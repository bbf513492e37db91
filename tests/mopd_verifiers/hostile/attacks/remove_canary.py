# Delete somebody's file.
# kind: stdin
# expected: escaped
import os

os.unlink("@CANARY@")
print("escaped")
