# Raise where nothing is expected: an empty output is not an answer.
# kind: stdin
# expected:
raise RuntimeError("nothing to say")
