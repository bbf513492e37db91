def check(candidate):
    numbers = [3, 1, 2]
    candidate(numbers)
    assert candidate([numbers]) == 5
