import math

from pytest import approx
from solution import *


def test_value():
    assert abs(solve(7) - 4.0) < 1e-6 or math.isclose(solve(7), 4.0) or solve(7) == approx(4.0)
