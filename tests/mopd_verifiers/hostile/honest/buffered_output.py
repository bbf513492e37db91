# output: done
import sys

sys.stdout.write("done")
