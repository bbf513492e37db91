import unittest

from solution import solve


class Case(unittest.TestCase):
    def test_colours(self):
        self.assertSetEqual(solve(7), {"red", "green"})
