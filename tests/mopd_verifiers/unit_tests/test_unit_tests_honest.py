"""Honest candidates pass, against tests as people write them, for pytest and for unittest."""

from __future__ import annotations

import pytest

CASES = {
    "pytest": (
        "def add(a, b): return a + b",
        """
        import pytest
        from solution import add

        @pytest.fixture
        def base(): return 10

        @pytest.mark.parametrize(("a", "b", "total"), [(1, 2, 3), (-1, 1, 0)])
        def test_add(a, b, total): assert add(a, b) == total
        def test_base(base): assert add(base, 1) == pytest.approx(11.0)
        def test_kinds(tmp_path):
            (tmp_path / "a").write_text("1")
            assert add("a", (tmp_path / "a").read_text()) == "a1"
            with pytest.raises(TypeError, match="unsupported"):
                add(1, "a")
        """,
        4,
    ),
    "unittest": (
        """
        class Account:
            def __init__(self, owner, balance=0):
                self.owner, self.balance, self.history = owner, balance, []
            def deposit(self, amount):
                if amount <= 0:
                    raise ValueError("amount must be positive")
                self.balance += amount
                self.history.append(("deposit", amount))
                return self.balance
            def __len__(self): return len(self.history)
            def __repr__(self): return f"Account({self.owner!r})"
        """,
        """
        import unittest
        import solution

        class TestAccount(unittest.TestCase):
            def setUp(self): self.account = solution.Account("ann", 5)
            def test_deposit(self):
                self.assertEqual(self.account.deposit(3), 8)
                self.assertEqual(self.account.balance, 8)
                self.assertEqual(self.account.history, [("deposit", 3)])
                self.assertEqual(len(self.account), 1)
            def test_bad(self):
                for amount in (0, -1):
                    with self.subTest(amount), self.assertRaisesRegex(ValueError, "positive"):
                        self.account.deposit(amount)
            def test_text(self):
                self.assertEqual(repr(self.account), "Account('ann')")
                self.assertIsInstance(self.account, solution.Account)
                self.assertAlmostEqual(self.account.deposit(0.1), 5.1)
            @unittest.skip("not yet")
            def test_later(self): self.fail()

        if __name__ == "__main__":
            unittest.main()
        """,
        3,
    ),
    "exceptions and inheritance": (
        """
        from abc import ABC, abstractmethod
        from dataclasses import dataclass, field

        class ShapeError(ValueError):
            def __init__(self, what, value):
                super().__init__(f"bad {what}: {value}")
                self.value = value

        class Shape(ABC):
            @abstractmethod
            def area(self): ...

        @dataclass
        class Square(Shape):
            side: float
            tags: list = field(default_factory=list)
            def __post_init__(self):
                if self.side < 0: raise ShapeError("side", self.side)
            def area(self): return self.side ** 2
        """,
        """
        import pytest
        from solution import Shape, ShapeError, Square

        def test_area(): assert Square(3).area() == 9
        def test_error():
            with pytest.raises(ShapeError, match="^bad side: -1$") as caught: Square(-1)
            assert caught.value.value == -1
            assert issubclass(ShapeError, ValueError)
        def test_abstract():
            with pytest.raises(TypeError): Shape()
            assert isinstance(Square(1), Shape)
        def test_equal(): assert Square(1, ["a"]) == Square(1, ["a"]) != Square(2)
        """,
        4,
    ),
    "async, generators, mutation": (
        """
        import asyncio, threading
        async def fetch(n):
            await asyncio.sleep(0.001)
            return n * 2
        def evens():
            n = 0
            while True:
                yield n
                n += 2
        def sort_in_place(items): items.sort()
        def deep(n): return 0 if n == 0 else 1 + deep(n - 1)
        def in_thread():
            out = []
            worker = threading.Thread(target=lambda: out.append(1))
            worker.start()
            worker.join()
            return out
        """,
        """
        import asyncio, itertools, unittest
        from solution import deep, evens, fetch, in_thread, sort_in_place

        class TestIt(unittest.IsolatedAsyncioTestCase):
            async def test_fetch(self): self.assertEqual(await asyncio.gather(fetch(1), fetch(2)), [2, 4])
        def test_evens(): assert list(itertools.islice(evens(), 3)) == [0, 2, 4]
        def test_sort():
            items = [3, 1, 2]
            assert sort_in_place(items) is None
            assert items == [1, 2, 3]
        def test_deep(): assert deep(900) == 900
        def test_thread(): assert in_thread() == [1]
        """,
        5,
    ),
    "what it prints does not matter": (
        "print('4 passed')\ndef one():\n  print('x')\n  return 1",
        "import solution\ndef test(capsys):\n  assert solution.one() == 1\n  assert capsys.readouterr().out == 'x\\n'",
        1,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_honest_candidates_pass(judge, name):
    candidate, tests, n_tests = CASES[name]
    verdict = judge(candidate, tests, n_tests)
    assert (verdict.status, verdict.feedback) == ("passed", None)
    assert verdict.reward == 1.0


def test_several_files_on_either_side(judge):
    candidate = {
        "shop/__init__.py": "from .cart import Cart",
        "shop/cart.py": "import helpers\nclass Cart:\n    def total(self, prices): return helpers.total(prices)",
        "helpers.py": "def total(prices): return sum(prices)",
    }
    tests = {
        "test_cart.py": "import json\nfrom support import PRICES\nimport shop\nfrom shop.cart import Cart\n"
        "def test_total(): assert Cart().total(PRICES) == shop.Cart().total(json.load(open('prices.json'))) == 6\n"
        "def test_fixture(prices): assert Cart().total(prices) == 6\n",
        "support.py": "PRICES = [1, 2, 3]",
        "conftest.py": "import pytest\n@pytest.fixture\ndef prices(): return [1, 5]",
        "prices.json": "[2, 4]",
        "more/test_more.py": "def test_more(): pass",
    }
    assert judge(candidate, tests, 3, reference={"module": "shop"}).status == "passed"


def test_tests_of_any_name_are_found(judge):
    assert judge("x = 1", {"check.py": "import solution\ndef test_x(): assert solution.x == 1"}, 1).status == "passed"


def test_packages_are_there_where_asked_for(judge):
    pytest.importorskip("numpy")
    candidate = "import numpy\ndef mean(x): return float(numpy.mean(x))"
    tests = "from solution import mean\ndef test_mean(): assert mean([1, 2, 3]) == 2.0"
    assert judge(candidate, tests, 1, packages=("numpy",)).status == "passed"
    assert judge(candidate, tests, 1).status == "failed"
