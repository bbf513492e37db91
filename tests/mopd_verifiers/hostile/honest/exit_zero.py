# output: early
import sys

print("early")
sys.exit()
