# No program at all where nothing is expected.
# kind: stdin
# expected:
def broken(:
