# A file of its own to execute from.
# kind: stdin
# expected: escaped
import os

os.memfd_create("x")
print("escaped")
