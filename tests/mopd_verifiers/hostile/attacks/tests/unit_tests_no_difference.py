import unittest

from solution import Vector, norm


class Case(unittest.TestCase):
    def test_norm(self):
        self.assertAlmostEqual(norm(Vector(3, 4)), 5.0)
