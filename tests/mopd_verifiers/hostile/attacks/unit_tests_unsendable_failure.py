# Have the tests hand over a failure that cannot be sent, so that nothing can be decided.
# kind: unit-tests
class Timer:
    def __enter__(self):
        return self

    def __exit__(self, *error):
        return False

    def solve(self, n):
        return 1
