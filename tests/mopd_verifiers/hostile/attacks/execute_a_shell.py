# Become another program.
# kind: stdin
# expected: escaped
import os

os.execv("/bin/echo", ["echo", "escaped"])
