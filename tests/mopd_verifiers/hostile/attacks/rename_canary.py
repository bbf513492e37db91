# Move somebody's file.
# kind: stdin
# expected: escaped
import os

os.rename("@CANARY@", "@CANARY@.moved")
print("escaped")
