"""An answer counts only as data: what a candidate's object may and may not decide."""

from __future__ import annotations

import collections
import math
import unittest

import pytest

from mopd_verifiers.proxy.errors import UnsendableError

SNEAKY = """
class Sneaky:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __lt__(self, other): return True
    __le__ = __gt__ = __ge__ = __contains__ = __lt__
    def __sub__(self, other): return 0
    __rsub__ = __mod__ = __and__ = __xor__ = __floordiv__ = __isub__ = __divmod__ = __pow__ = __sub__
    def __hash__(self): return hash(3)
    def __iter__(self): return iter(())
    def __len__(self): return 3
    def startswith(self, other): return True
    issubset = isdigit = endswith = startswith

class Whole(int):
    def __eq__(self, other): return True
    __hash__ = int.__hash__

class Text(str):
    def __eq__(self, other): return True
    __hash__ = str.__hash__

def answer(*args): return Sneaky()
def whole(*args): return Whole(5)
def text(*args): return Text("x")
def nested(*args): return [Sneaky(), {"a": Sneaky()}]
"""


@pytest.fixture
def sneaky(load):
    return load(SNEAKY)


@pytest.mark.parametrize("name", ["answer", "whole", "text"])
@pytest.mark.parametrize("expected", [3, 5, "x", None, [1], {}, (), 2.5])
def test_an_answer_equals_no_data(sneaky, name, expected):
    answer = getattr(sneaky, name)()
    assert [answer == expected, expected == answer] == [False, False]
    assert [answer != expected, expected != answer] == [True, True]
    assert answer not in [expected]
    assert [answer] != [expected]


def test_an_answer_equals_itself(sneaky):
    answer = sneaky.answer()
    assert answer == answer
    assert answer != sneaky.answer()


def test_answers_within_data_equal_no_data(sneaky):
    assert sneaky.nested() != [1, {"a": 2}]
    assert sneaky.nested()[1] != {"a": 2}


@pytest.mark.parametrize(
    "use",
    [
        lambda answer: answer < 5,
        lambda answer: answer >= 5,
        lambda answer: 5 in answer,
        lambda answer: abs(answer - 3) < 1e-9,
        lambda answer: 3 - answer,
        lambda answer: answer % 2 == 0,
        lambda answer: answer & 1,
        lambda answer: answer // 2,
        lambda answer: divmod(answer, 2),
        lambda answer: answer**2,
        lambda answer: sorted([answer, 1]),
        lambda answer: max(answer, 1),
        lambda answer: answer < answer,
        lambda answer: list(answer),
        lambda answer: all(item > 0 for item in answer),
        lambda answer: math.isclose(answer, 3),
    ],
)
def test_operators_with_an_answer_are_refused(sneaky, use):
    with pytest.raises(TypeError):
        use(sneaky.answer())


def test_the_refusal_says_why(sneaky):
    with pytest.raises(TypeError, match=r"a `Whole` \(a subclass of int\), not an int"):
        _ = sneaky.whole() < 5
    assert repr(sneaky.whole()) == "<a `Whole` (a subclass of int), not an int: 5>"
    assert "not a str" in repr(sneaky.text())
    with pytest.raises(TypeError, match="holds 3 items, and gave 0"):
        list(sneaky.answer())


@pytest.mark.parametrize("name", ["startswith", "endswith", "issubset", "isdigit"])
def test_predicates_of_plain_data_are_not_an_answers(sneaky, name):
    assert not hasattr(sneaky.answer(), name)


def test_pytests_and_unittests_own_comparisons(sneaky):
    case, answer = unittest.TestCase(), sneaky.answer()
    for check, *operands in (
        (case.assertEqual, answer, 3),
        (case.assertEqual, 3, answer),
        (case.assertAlmostEqual, answer, 3),
        (case.assertIn, 3, answer),
        (case.assertGreater, answer, 3),
        (case.assertCountEqual, answer, [1, 2, 3]),
        (case.assertListEqual, answer, [1]),
        (case.assertSequenceEqual, answer, [1, 2, 3]),
    ):
        with pytest.raises((AssertionError, TypeError)):
            check(*operands)
    assert answer != pytest.approx(3)
    assert pytest.approx(3) != answer
    assert collections.Counter([3])[answer] == 0
    assert answer not in {3: "x"}
    assert not any(item == 3 for item in [answer])


def test_conversions_give_real_data(load):
    solution = load("class Five(int): pass\ndef five(): return Five(5)")
    five = solution.five()
    assert (int(five), float(five), str(five), abs(five), f"{five:03d}") == (5, 5.0, "5", 5, "005")
    assert type(int(five)) is int
    assert [0, 1, 2, 3, 4, 5][five] == 5


@pytest.mark.parametrize("more", ["", "class Sum(add): pass\nadd = Sum", "class Sum(add): pass", "Sum = add"])
def test_a_class_in_place_of_a_function_gains_nothing(load, more):
    solution = load(f"class add:\n    def __init__(self, *a): pass\n    def __eq__(self, o): return True\n{more}")
    if more:
        assert solution.Sum() == solution.Sum()
    assert solution.add(1, 2) != 3
    if more:
        assert solution.Sum() != 3


def test_a_subclass_of_a_named_class_in_place_of_a_function_gains_nothing(load):
    solution = load("class Sum:\n    def __eq__(self, o): return True\nclass add(Sum): pass")
    assert solution.Sum() == 3
    assert solution.add() != 3
    assert solution.Sum() == 3


STACK = """
class Stack:
    def __init__(self, items=()): self.items = list(items)
    def __eq__(self, other): return True
    def __contains__(self, item): return True
    def __sub__(self, other): return 0
    def __lt__(self, other): return True
    def startswith(self, text): return True
    def __getitem__(self, key): return self
    def __enter__(self): return self
    def __exit__(self, *error): pass
    def __ior__(self, other): return self
    def pop(self): return self
    def top(self): return Stack()
    @property
    def size(self): return self
    @classmethod
    def make(cls): return cls()
def solve(*args): return Stack()
"""


def test_what_the_tests_made_may_be_compared(load):
    stack = load(STACK).Stack([1])
    assert stack == [1]
    assert 1 in stack
    assert stack < 5
    assert stack - 1 == 0
    assert stack.startswith("x")
    stack |= {1}
    with stack:
        assert stack == [1]


@pytest.mark.parametrize(
    "answer",
    [
        lambda solution, stack: stack.pop(),
        lambda solution, stack: stack.top(),
        lambda solution, stack: stack.size,
        lambda solution, stack: stack[0],
        lambda solution, stack: solution.solve(),
        lambda solution, stack: solution.Stack.make(),
        lambda solution, stack: solution.Stack().pop(),
    ],
)
def test_what_it_hands_back_may_not(load, answer):
    solution = load(STACK)
    handed = answer(solution, solution.Stack())
    assert handed != 1
    with pytest.raises(TypeError):
        _ = 1 in handed
    with pytest.raises(TypeError):
        _ = handed - 1
    with pytest.raises(TypeError):
        _ = handed < 1
    assert not hasattr(handed, "startswith")
    assert handed == solution.Stack()


def test_once_an_answer_always_one(load):
    solution = load(
        "class One:\n  it = None\n  def __new__(cls):\n    cls.it = cls.it or object.__new__(cls)\n"
        "    return cls.it\n  def __eq__(self, other): return True\n  def me(self): return self\n"
    )
    one = solution.One()
    assert one == 1
    assert one.me() is one
    assert solution.One() is one
    assert one != 1


def test_listed_classes_are_compared_in_any_case_and_no_others(load):
    stack = load(STACK, classes={"Stack"}).Stack
    assert stack([1]).pop() == 5


@pytest.mark.parametrize("options", [{"classes": ()}, {"words": {"solve"}}])
def test_classes_that_the_tests_do_not_name_are_not(load, options):
    assert load(STACK, **options).Stack() != 1


def test_a_star_import_brings_only_what_the_tests_speak_of(open_session):
    source = "__test__ = False\nclass Stack: pass\ndef setup_module(m): pass\ndef test_mine(): pass\npytestmark = 1"
    with open_session(source, words={"Stack"}):
        space = {}
        exec("from solution import *", space)
    assert set(space) - {"__builtins__"} == {"Stack"}


def test_a_call_does_not_end_the_tests_iteration(load):
    solution = load("def f(*a): raise StopIteration\nclass Kind:\n    def __init__(self, *a): raise StopIteration")
    for call in (solution.f, solution.Kind):
        with pytest.raises(RuntimeError, match="StopIteration"):
            list(map(call, [1, 2]))


def test_a_class_that_lies_about_what_it_contains(load):
    solution = load("class Any(type):\n    def __contains__(cls, x): return True\nclass allowed(metaclass=Any): pass")
    with pytest.raises(TypeError, match="no container"):
        _ = "a" in solution.allowed


def test_a_large_answer_does_not_make_the_tests_unsendable(open_session):
    session = open_session(
        "def grow(): return 'x' * (8 << 20 - 100)\ndef deep():\n  x = []\n  for _ in range(98): x = [x]\n"
        "  return x\ndef take(x): return 1".replace("8 << 20 - 100", "(8 << 20) - 200")
    )
    solution = session.load("solution")
    for answer in (solution.grow() * 2, [[[solution.deep()]]]):
        with pytest.raises(UnsendableError, match="size"):
            solution.take(answer)
    session.link.check()


def test_exceptions_end_as_failures(load):
    solution = load(
        """
        import unittest
        class Skipped(BaseException): pass
        class Failed(AssertionError): pass
        def skip(): raise unittest.SkipTest("no need")
        def outcome(): raise Skipped("no need")
        def failed(): raise Failed("no")
        """
    )
    with pytest.raises(Exception, match="no need") as caught:
        solution.skip()
    assert not isinstance(caught.value, unittest.SkipTest)
    with pytest.raises(Exception, match="no need") as caught:
        solution.outcome()
    assert not isinstance(caught.value, pytest.skip.Exception)
    with pytest.raises(AssertionError):
        solution.failed()


def test_changes_reach_nothing_but_this_calls_arguments(load):
    solution = load(
        """
        kept = []
        def keep(items): kept.append(items)
        def spoil():
            for items in kept: items.append("spoilt")
        """
    )
    items = [1]
    solution.keep(items)
    solution.spoil()
    assert items == [1]


def test_an_answer_keeps_to_what_it_says_of_itself_until_something_is_done_to_it(load):
    solution = load(
        """
        class Box:
            def __init__(self): self.items, self.asked = [1, 2], 0
            def __len__(self): return len(self.items)
            def add(self, item): self.items.append(item)
        class Liar:
            asked = 0
            def __len__(self): self.asked += 1; return 3 if self.asked == 1 else 0
            def __float__(self): self.asked += 1; return float(self.asked)
            def __iter__(self): return iter(())
        def box(): return Box()
        def liar(): return Liar()
        """
    )
    box, liar = solution.box(), solution.liar()
    assert len(box) == 2
    box.add(5)
    assert len(box) == 3
    assert [len(liar), len(liar)] == [3, 3]
    assert float(liar) == float(liar)
    with pytest.raises(TypeError, match="3 items"):
        list(liar)


def test_a_difference_from_data_says_nothing_of_its_size(load):
    solution = load(
        """
        class Vector:
            def __init__(self, *items): self.items = items
            def __sub__(self, other): return self
            __rsub__ = __mod__ = __rmod__ = __isub__ = __mul__ = __sub__
            def __neg__(self): return self
            def __abs__(self): return 0
            __len__ = __abs__
            def __bool__(self): return False
        def answer(): return Vector(1)
        """
    )
    assert abs(solution.Vector(1) - 5) == 0
    assert abs(solution.answer() * 5) == 0
    for differ in (lambda x: x - 5, lambda x: 5 - x, lambda x: -(x % 5)):
        for size in (abs, len, bool):
            with pytest.raises(TypeError, match="plain data"):
                size(differ(solution.answer()))


def test_sets_differ_from_data_only_as_instances_of_a_named_class(load):
    solution = load(
        """
        class Bag:
            def difference(self, other): return set()
        def hidden(): return Sly()
        class Sly:
            def difference(self, other): return set()
        """
    )
    assert solution.Bag().difference({1}) == set()
    assert not hasattr(solution.hidden(), "difference")


def test_no_stop_iteration_ends_what_the_tests_go_through(load):
    solution = load(
        """
        class Stops:
            def __getitem__(self, key): raise StopIteration
            def __len__(self): raise StopIteration
            @property
            def value(self): raise StopIteration
        def answer(): return Stops()
        def numbers(): yield 1
        """
    )
    stops = solution.answer()
    for ask in (lambda: stops["a"], lambda: len(stops), lambda: stops.value):
        with pytest.raises(RuntimeError, match="StopIteration"):
            ask()
    assert list(solution.numbers()) == [1]


def test_a_with_of_the_candidates_cannot_swallow_a_failure(load):
    solution = load(
        """
        class Swallows:
            def __enter__(self): return self
            def __exit__(self, kind, error, trace): self.kind = kind; return True
        """
    )
    with solution.Swallows() as swallows:
        raise ValueError
    assert swallows.kind is ValueError
    for failure in (AssertionError, pytest.fail.Exception):
        with pytest.raises(failure), swallows:
            raise failure("no")
    solution._mopd_link.check()


def test_a_star_import_takes_no_name_from_the_tests(load):
    load("def abs(x): return 0\ndef math(): pass\ndef f(): return 1")
    names = {"math": math}
    exec("from solution import *", names)
    assert [names["math"], "abs" in names, names["f"]()] == [math, False, 1]
