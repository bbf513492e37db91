from solution import solve


def test_values():
    result, expected = solve(7), {"a": 5, "b": 6}
    assert all(map(lambda key: result[key] == expected[key], expected))
