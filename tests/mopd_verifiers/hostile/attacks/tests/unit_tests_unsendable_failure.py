import pytest
import solution


def test_value():
    with solution.Timer() as timer, pytest.raises(ValueError):
        timer.solve(-1)
