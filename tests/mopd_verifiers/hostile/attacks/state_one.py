# Leave something for the next run: on the machine, in the interpreter, anywhere.
# kind: stdin
# expected: escaped
import builtins
import os
import sys

builtins.mopd_hostile_state = 1
sys.modules["mopd_hostile_state"] = sys
sys.path.insert(0, "@FOLDER@")
sys.stdout.mopd_hostile_state = 1
os.environ["MOPD_HOSTILE_STATE"] = "1"
