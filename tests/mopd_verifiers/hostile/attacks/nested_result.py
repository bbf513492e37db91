# A result as deep as the recursion limit allows, and deeper.
# kind: function
def solve(n):
    value = []
    for _ in range(100_000):
        value = [value]
    return value
