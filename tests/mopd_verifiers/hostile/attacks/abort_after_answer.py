# Print the answer, then die by a signal: an answer from a crashed program is none.
# kind: stdin
import os

print("@TOKEN@", flush=True)
os.abort()
