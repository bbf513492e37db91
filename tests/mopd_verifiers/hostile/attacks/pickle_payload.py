# A result whose unpickling would run code in the grader.
# kind: function
import os


class Payload:
    def __reduce__(self):
        return os.mkdir, ("@FOLDER@/pickled",)


def solve(n):
    return Payload()
