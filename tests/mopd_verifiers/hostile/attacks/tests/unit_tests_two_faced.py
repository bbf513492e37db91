from collections import Counter

from solution import solve


def test_sorts():
    numbers = [3, 1, 2, 3]
    result = solve(numbers)
    assert len(result) == len(numbers)
    assert all(result[index] <= result[index + 1] for index in range(len(result) - 1))
    assert Counter(result) == Counter(numbers)
