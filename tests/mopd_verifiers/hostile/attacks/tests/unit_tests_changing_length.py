from solution import solve


def test_squares():
    result, expected = solve([1, 2, 3]), [1, 4, 9]
    assert len(result) == len(expected)
    for index in range(len(result)):
        assert result[index] == expected[index]
