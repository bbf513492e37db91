# Take all memory.
# kind: stdin
# expected: escaped
held = []
for _ in range(64):
    held.append(bytearray(b"x" * (64 << 20)))
print("escaped")
