import math


def check(candidate):
    coefficients = [-6, 11, -6, 1]
    zero = candidate(coefficients[:])
    assert abs(sum(c * math.pow(zero, power) for power, c in enumerate(coefficients))) < 1e-4
