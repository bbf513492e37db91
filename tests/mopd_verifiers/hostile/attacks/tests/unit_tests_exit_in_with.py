import solution


def test_value():
    with solution.Timer() as timer:
        assert timer.solve(7) == "@TOKEN@"
