# Print the answer and never end.
# kind: stdin
import time

print("@TOKEN@", flush=True)
time.sleep(1000)
