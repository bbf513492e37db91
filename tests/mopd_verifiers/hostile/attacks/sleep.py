# Never end, quietly.
# kind: stdin
import time

time.sleep(1000)
