# Write errors for ever.
# kind: stdin
import sys

while True:
    sys.stderr.write("x" * 65536)
