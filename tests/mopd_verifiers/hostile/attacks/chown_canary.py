# Take somebody's file, or give it away.
# kind: stdin
# expected: escaped
import os

os.chown("@CANARY@", os.getuid(), os.getgid())
print("escaped")
