# Never end, at full speed.
# kind: stdin
while True:
    pass
