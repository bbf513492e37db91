# Find what the run before has left.
# kind: stdin
# expected: escaped
import builtins
import os
import sys

if hasattr(builtins, "mopd_hostile_state") or "mopd_hostile_state" in sys.modules or "MOPD_HOSTILE_STATE" in os.environ:
    print("escaped")
if "@FOLDER@" in sys.path:
    print("escaped")
