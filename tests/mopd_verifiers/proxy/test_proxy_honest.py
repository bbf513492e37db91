"""What honest candidates do, and what their tests write, works across the channel as it does in one process."""

from __future__ import annotations

import asyncio
import copy
import datetime
import inspect
import io
import json
import math
import operator
from collections import Counter, OrderedDict, defaultdict, deque
from decimal import Decimal
from fractions import Fraction

import pytest

from mopd_verifiers.proxy.errors import UnsendableError


def test_functions(load):
    solution = load("def add(a, b=1, *, c=0):\n    'Adds.'\n    return a + b + c")
    assert solution.add(1, 2) == 3
    assert solution.add(1, c=5) == 7
    assert solution.add("a", "b", c="c") == "abc"
    assert (solution.add.__name__, solution.add.__doc__) == ("add", "Adds.")
    assert callable(solution.add)


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        10**400,
        -1.5,
        math.inf,
        1 + 2j,
        "\ud83d\ude00 \ud800 é",
        b"\x00\xff",
        (1, (2,)),
        [1, [2.0, None]],
        {1: "a", (2, 3): [4], None: {}},
        {1, "a"},
        frozenset({(1, 2)}),
        range(1, 9, 2),
        bytearray(b"ab"),
        deque([1, 2], 5),
        defaultdict(list, a=[1]),
        OrderedDict(b=1, a=2),
        Counter("aab"),
        Decimal("1.50"),
        Fraction(1, 3),
        datetime.datetime(2024, 2, 29, 1, 2, 3, 4, datetime.UTC),
        datetime.date(2024, 2, 29),
        datetime.timedelta(1, 2, 3),
        ...,
        int,
        ValueError,
    ],
)
def test_plain_data_crosses_both_ways_as_it_is(load, value):
    back = load("def same(value): return value").same([value])
    assert back == [value]
    assert type(back[0]) is type(value)


def test_numbers_that_compare_oddly(load):
    same = load("def same(value): return value").same
    assert math.isnan(same(math.nan))
    assert math.copysign(1, same(-0.0)) == -1


def test_arguments_are_written_back_into_the_tests_own_objects(load):
    solution = load(
        """
        def grow(items, table, seen, raw, text):
            items.append(4)
            items[0][:] = [0]
            table["new"] = items
            seen.add(1)
            raw += b"!"
            text.write("more")
        def swap(pair): pair[0], pair[1] = pair[1], pair[0]
        def fail(items):
            items.clear()
            raise ValueError("after")
        """
    )
    inner = [1]
    items, table, seen, raw, text = [inner], {}, set(), bytearray(b"a"), io.StringIO()
    solution.grow(items, table, seen, raw, text)
    assert items == [[0], 4]
    assert items[0] is inner
    assert table["new"] is items
    assert (seen, raw, text.getvalue()) == ({1}, b"a!", "more")
    first, second = [1], [2]
    pair = [first, second]
    solution.swap(pair)
    assert pair[0] is second
    assert pair[1] is first
    with pytest.raises(ValueError, match=r"^after$"):
        solution.fail(items)
    assert items == []


def test_shared_and_cyclic_containers_stay_so(load):
    solution = load(
        """
        def same(value): return value
        def twice(): one = []; return [one, one]
        def cycle():
            one = [1]
            one.append(one)
            return one
        """
    )
    argument = [1]
    assert solution.same(argument) is argument
    first, second = solution.twice()
    assert first is second
    loop = solution.cycle()
    assert loop[1] is loop
    argument.append(argument)
    assert solution.same(argument) is argument


ACCOUNTS = """
class Overdrawn(ValueError):
    code = 7
    def __init__(self, short, by):
        super().__init__(short, by)
        self.by = by
    def __str__(self): return f"short by {self.by}"

class Account:
    "Money."
    opened = 0
    rate: float = 0.5

    def __init__(self, balance=0):
        type(self).opened += 1
        self.balance = balance
        self.log = []

    def withdraw(self, amount):
        if amount > self.balance:
            raise Overdrawn("x", amount - self.balance)
        self.balance -= amount
        return self

    @classmethod
    def parse(cls, text): return cls(int(text))

    @staticmethod
    def bank(): return "ours"

    @property
    def is_empty(self): return self.balance == 0

    def __repr__(self): return f"Account({self.balance})"

class Savings(Account):
    pass

def open_savings(): return Savings(5)
"""


def test_classes(load):
    solution = load(ACCOUNTS)
    account = solution.Account(10)
    assert isinstance(account, solution.Account)
    assert not isinstance(account, solution.Savings)
    assert type(account) is solution.Account
    assert issubclass(solution.Savings, solution.Account)
    assert isinstance(solution.open_savings(), solution.Account)
    assert account.withdraw(3) is account
    assert account.balance == 7
    account.balance = 0
    assert account.is_empty is True
    assert (solution.Account.opened, solution.Account.bank(), solution.Account.parse("3").balance) == (1, "ours", 3)
    solution.Account.rate = 1.5
    assert account.rate == 1.5
    assert (repr(account), str(account), f"{account}") == ("Account(0)",) * 3
    assert (solution.Account.__name__, solution.Account.__module__) == ("Account", "solution")
    assert hasattr(account, "log")
    assert not hasattr(account, "nothing")
    assert not callable(account)
    assert "withdraw" in dir(account)
    del account.log
    assert vars(account) == {"balance": 0}
    with pytest.raises(AttributeError):
        _ = account.log
    with pytest.raises(TypeError, match="positional argument"):
        solution.Account(1, 2, 3)


def test_exceptions_by_name(load):
    solution = load(ACCOUNTS)
    with pytest.raises(solution.Overdrawn, match=r"^short by 4$") as caught:
        solution.Account(1).withdraw(5)
    assert isinstance(caught.value, ValueError)
    assert (caught.value.args, caught.value.by, caught.value.code) == (("x", 4), 4, 7)
    raised = solution.Overdrawn("y", 1)
    with pytest.raises(ValueError, match="short by 1"):
        raise raised


@pytest.mark.parametrize(
    ("source", "kind", "text"),
    [
        ("1 / 0", ZeroDivisionError, "division by zero"),
        ("{}['a']", KeyError, "'a'"),
        ("[][1]", IndexError, "list index out of range"),
        ("int('x')", ValueError, "invalid literal"),
        ("b'\\xff'.decode()", UnicodeDecodeError, "invalid start byte"),
        ("open('/no/such')", FileNotFoundError, "No such file"),
        ("__import__('json').loads('{')", json.JSONDecodeError, "Expecting property name"),
        ("__import__('sys').exit(3)", SystemExit, "3"),
        ("(lambda f: f(f))(lambda f: f(f))", RecursionError, "maximum recursion depth"),
    ],
)
def test_exceptions_of_the_standard_library(load, source, kind, text):
    with pytest.raises(kind, match=text) as caught:
        load(f"def fail(): {source}").fail()
    assert type(caught.value) is kind


def test_an_exit_and_an_interrupt_stay_what_they_may_be(load):
    solution = load("def fail(): raise KeyboardInterrupt\nclass Stop(BaseException): pass\ndef stop(): raise Stop(1)")
    with pytest.raises(Exception, match=r"^$") as caught:
        solution.fail()
    assert type(caught.value).__name__ == "KeyboardInterrupt"
    assert isinstance(caught.value, Exception)
    with pytest.raises(solution.Stop):
        solution.stop()


def test_generators_are_lazy(load):
    solution = load(
        """
        seen = []
        def count():
            n = 0
            while True:
                seen.append(n)
                got = yield n
                n = got if got is not None else n + 1
        """
    )
    numbers = solution.count()
    assert [next(numbers), next(numbers), numbers.send(7), next(numbers)] == [0, 1, 7, 8]
    assert solution.seen == [0, 1, 7, 8]
    numbers.close()
    assert list(numbers) == []
    assert iter(numbers) is numbers


CONTAINER = """
class Bag:
    def __init__(self, items=()): self.items = list(items)
    def __len__(self): return len(self.items)
    def __iter__(self): return iter(self.items)
    def __contains__(self, item): return item in self.items
    def __getitem__(self, key): return self.items[key]
    def __setitem__(self, key, item): self.items[key] = item
    def __delitem__(self, key): del self.items[key]
    def __eq__(self, other): return isinstance(other, Bag) and self.items == other.items
    def __call__(self, x): return x in self.items
    def __enter__(self): return self
    def __exit__(self, kind, error, trace):
        self.items.append(kind.__name__ if kind else None)
        return kind is KeyError
def bag(*items): return Bag(items)
"""


def test_containers(load):
    solution = load(CONTAINER)
    bag = solution.Bag([3, 1, 2])
    assert len(bag) == 3
    assert 3 in bag
    assert 9 not in bag
    assert (bag[0], bag[-1], bag[1:]) == (3, 2, [1, 2])
    bag[0] = 5
    del bag[1]
    assert list(bag) == [5, 2]
    assert sorted(bag) == [2, 5]
    assert bag(5)
    assert callable(bag)
    assert not solution.Bag()
    assert bag == solution.bag(5, 2)
    assert bag != solution.bag(5)
    with pytest.raises(TypeError, match="unhashable"):
        hash(bag)
    with bag as entered, pytest.raises(IndexError):
        _ = entered[9]
    with bag:
        raise KeyError("swallowed")
    assert bag.items == [5, 2, None, "KeyError"]
    assert copy.copy(bag) == copy.deepcopy(bag)
    assert 5 in bag


VECTOR = """
from dataclasses import dataclass
from enum import Enum
from functools import total_ordering
from typing import NamedTuple

@dataclass(frozen=True)
class Vector:
    x: float
    y: float
    def __add__(self, other): return Vector(self.x + other.x, self.y + other.y)
    def __mul__(self, k): return Vector(self.x * k, self.y * k)
    __rmul__ = __mul__
    def __matmul__(self, other): return self.x * other.x + self.y * other.y
    def __neg__(self): return Vector(-self.x, -self.y)
    def __abs__(self): return (self.x ** 2 + self.y ** 2) ** 0.5
    def __round__(self, n=None): return Vector(round(self.x, n), round(self.y, n))
    def __float__(self): return abs(self)

@total_ordering
class Version:
    def __init__(self, text): self.parts = [int(p) for p in text.split(".")]
    def __eq__(self, other): return self.parts == _parts(other)
    def __lt__(self, other): return self.parts < _parts(other)
    def __hash__(self): return hash(tuple(self.parts))

def _parts(v): return v.parts if isinstance(v, Version) else Version(v).parts

class Color(Enum):
    RED = 1
    BLUE = 2

class Point(NamedTuple):
    x: int
    y: int = 0
    def norm(self): return self.x + self.y

def zero(): return Vector(0, 0)
def corner(): return Point(1, 2)
"""


def test_operators(load):
    solution = load(VECTOR)
    one, two = solution.Vector(1, 2), solution.Vector(3, 4)
    assert one + two == solution.Vector(4, 6)
    assert one * 2 == 2 * one == solution.Vector(2, 4)
    assert one @ two == 11
    assert -one == solution.Vector(-1, -2)
    assert abs(two) == float(two) == 5
    assert round(solution.Vector(1.26, 0), 1) == solution.Vector(1.3, 0)
    assert solution.zero() * 3 + one == one
    assert len({one, solution.Vector(1, 2), two}) == 2
    assert repr(one) == "Vector(x=1, y=2)"
    assert one != two
    with pytest.raises(TypeError):
        _ = one < two
    with pytest.raises(Exception, match="cannot assign") as caught:
        one.x = 5
    assert type(caught.value).__name__ == "FrozenInstanceError"


def test_ordering_of_what_the_tests_made(load):
    version = load(VECTOR).Version
    assert version("1.10") > version("1.9") >= "1.9"
    assert version("2.0") == "2.0"
    assert sorted([version("2.1"), version("1.0")])[0] == version("1.0")


def test_enums_and_named_tuples(load):
    solution = load(VECTOR)
    assert solution.Color.RED is solution.Color(1) is solution.Color["RED"]
    assert solution.Color.RED != solution.Color.BLUE
    assert [color.name for color in solution.Color] == ["RED", "BLUE"]
    assert len(solution.Color) == 2
    assert solution.corner() == (1, 2) == solution.Point(1, 2)
    assert isinstance(solution.corner(), solution.Point)
    x, y = solution.corner()
    assert (x, y, solution.corner().y, solution.Point(5).norm()) == (1, 2, 2, 5)
    assert solution.corner()._replace(x=9) == (9, 2)
    assert repr(solution.corner()) == "Point(x=1, y=2)"


def test_async(load):
    solution = load(
        """
        import asyncio
        lock = asyncio.Lock()
        async def double(x):
            async with lock:
                await asyncio.sleep(0.001)
            if x < 0:
                raise ValueError("negative")
            return 2 * x
        async def numbers():
            for n in range(3):
                await asyncio.sleep(0)
                yield n
        class Pool:
            async def __aenter__(self): return self
            async def __aexit__(self, *error): return error[0] is KeyError
        """
    )

    async def use():
        assert await solution.double(2) == 4
        assert await asyncio.gather(solution.double(1), solution.double(3)) == [2, 6]
        assert [n async for n in solution.numbers()] == [0, 1, 2]
        async with solution.Pool() as pool:
            assert type(pool) is solution.Pool
            raise KeyError

    asyncio.run(use())
    assert asyncio.run(solution.double(5)) == 10
    assert inspect.isawaitable(solution.double(1))
    with pytest.raises(ValueError, match="negative"):
        asyncio.run(solution.double(-1))


def test_views_and_what_is_printed(load, capsys):
    solution = load(
        "TABLE = {'a': 1}\ndef keys(): return TABLE.keys()\ndef items(): return TABLE.items()\n"
        "def hello(): print('hello', end='!')"
    )
    assert solution.keys() == {"a"}
    assert list(solution.keys()) == ["a"]
    assert list(solution.items()) == [("a", 1)]
    solution.hello()
    assert capsys.readouterr().out == "hello!"


def test_state_closures_and_decorated_functions(load):
    solution = load(
        """
        import functools, threading
        LIMIT = 3
        count = 0
        def bump():
            global count
            count += 1
            return count
        def limit(): return LIMIT
        def adder(n): return lambda x: x + n
        @functools.lru_cache
        def slow(n): return n * n
        def threads():
            out = []
            workers = [threading.Thread(target=out.append, args=(n,)) for n in range(4)]
            for worker in workers: worker.start()
            for worker in workers: worker.join()
            return sorted(out)
        solve = sorted
        """
    )
    assert [solution.bump(), solution.bump(), solution.count] == [1, 2, 2]
    solution.LIMIT = 9
    assert solution.limit() == 9
    assert solution.adder(2)(3) == 5
    assert [solution.slow(3), solution.slow(3), solution.slow.cache_info().hits] == [9, 9, 1]
    assert solution.threads() == [0, 1, 2, 3]
    assert solution.solve([2, 1], reverse=True) == [2, 1]
    assert "bump" in dir(solution)


def test_functions_that_both_sides_have_can_be_passed(load):
    solution = load("def apply(f, *args): return f(*args)\ndef double(x): return 2 * x")
    assert solution.apply(len, [1, 2]) == 2
    assert solution.apply(math.sqrt, 9) == 3
    assert solution.apply(operator.add, 1, 2) == 3
    assert solution.apply(str.upper, "a") == "A"
    assert solution.apply(solution.double, 4) == 8
    assert solution.apply(int, "5") == 5
    assert list(map(solution.double, [1, 2])) == [2, 4]


def test_several_files_and_packages(open_session):
    files = {
        "shop/__init__.py": "from .cart import Cart\nNAME = 'shop'",
        "shop/cart.py": "from helpers import price\nclass Cart:\n    def total(self): return price() * 2",
        "helpers.py": "def price(): return 3",
    }
    with open_session(files, ["shop"]):
        import shop
        from shop import NAME, cart
        from shop.cart import Cart

        assert shop.Cart is Cart is cart.Cart
        assert (Cart().total(), NAME) == (6, "shop")
        with pytest.raises(ModuleNotFoundError):
            import helpers  # noqa: F401
        with pytest.raises(ImportError):
            from shop import nothing  # noqa: F401


@pytest.mark.parametrize(
    ("source", "kind", "text"),
    [
        ("def broken(:", SyntaxError, "invalid syntax"),
        ("raise SystemExit(0)", ImportError, "exits"),
        ("1 / 0", ZeroDivisionError, "division"),
        ("import no_such", ModuleNotFoundError, "no_such"),
    ],
)
def test_a_module_that_cannot_be_imported_says_why(load, source, kind, text):
    with pytest.raises(kind, match=text):
        load(source)


@pytest.mark.parametrize(
    "unsendable", [lambda x: x, object(), io.TextIOWrapper(io.BytesIO())], ids=["function", "object", "file"]
)
def test_what_cannot_be_sent_is_the_tests_fault(open_session, unsendable):
    session = open_session("def f(x): return 1")
    solution = session.load("solution")
    with pytest.raises(UnsendableError, match="in_process"):
        solution.f([unsendable])
    assert solution.f(1) == 1
    with pytest.raises(UnsendableError):
        session.link.check()
    session.link.unsendable = None


def test_a_class_of_the_candidates_cannot_be_derived_from(open_session):
    session = open_session("class Base: pass")
    solution = session.load("solution")
    with pytest.raises(UnsendableError, match="derive"):

        class Mine(solution.Base):
            pass

    session.link.unsendable = None
