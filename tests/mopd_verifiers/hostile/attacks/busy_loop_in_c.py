# A computation that no Python-level interruption reaches.
# kind: stdin
print(10 ** (10**9) % 7)
