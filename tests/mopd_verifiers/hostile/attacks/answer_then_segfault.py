# Print the answer, then read address zero.
# kind: stdin
import ctypes

print("@TOKEN@", flush=True)
ctypes.string_at(0)
