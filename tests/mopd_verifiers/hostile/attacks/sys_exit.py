# Success without an answer.
# kind: stdin
import sys

sys.exit(0)
