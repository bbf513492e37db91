# Take all memory, a little at a time.
# kind: stdin
# expected: escaped
held = []
while len(held) < 4_000_000:
    held.append(bytes(1000))
print("escaped")
