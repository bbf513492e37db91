# Write for ever.
# kind: stdin
while True:
    print("x" * 65536)
