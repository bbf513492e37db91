# Return more than anybody wants to read.
# kind: function
def solve(n):
    return ["x" * 1000] * 1_000_000
