"""An answer has one set of items, however it is read; honest ones notice nothing."""

from __future__ import annotations

import itertools
import operator
from collections import Counter

import pytest

NUMBERS = [3, 1, 2]
LIARS = {
    "by index": "class R(L):\n  def __getitem__(self, i): return self.tidy[i]\n  def __len__(self): return 3",
    "by slice": "class R(L):\n"
    "  def __getitem__(self, i): return (self.tidy if isinstance(i, slice) else self.items)[i]\n"
    "  def __len__(self): return 3",
    "slice is itself": "class R(L):\n"
    "  def __getitem__(self, i): return self if isinstance(i, slice) else self.items[i]\n"
    "  def __len__(self): return 3",
    "one part for all": "class R(L):\n  part = None\n  def __getitem__(self, i):\n"
    "    if not isinstance(i, slice): return self.items[i]\n"
    "    self.part = self.part or R(self.items[i])\n    return self.part\n"
    "  def __len__(self): return len(self.items)",
    "refuses index 0 once": "class R(L):\n  asked = 0\n  def __len__(self): return 3\n  def __getitem__(self, i):\n"
    "    self.asked += 1\n    if self.asked == 1: raise TypeError\n    return self.tidy[i]",
    "has keys": "class R(L):\n  keys = None\n  def __len__(self): return 3\n"
    "  def __getitem__(self, i): return self.tidy[i]",
    "by turns": "class R(L):\n  def __iter__(self):\n    self.items, self.tidy = self.tidy, self.items\n"
    "    return iter(self.tidy)\n  def __getitem__(self, i): return self.tidy[i]\n  def __len__(self): return 3",
    "no iteration of its own": "class R:\n  def __init__(self, items): self.items = [1, 3, 2]\n"
    "  def __getitem__(self, i): return self.items[i]\n  def __len__(self): return 2",
    "reversed": "class R(L):\n  def __reversed__(self): return iter([3, 2, 1])",
}
BASE = """
class L:
    def __init__(self, items): self.items, self.tidy = list(items), [0, 0, 0]
    def __iter__(self): return iter(self.items)
"""


def _by_index(result):
    return all(result[place] <= result[place + 1] for place in range(len(result) - 1))


def _by_slices(result):
    return all(map(operator.le, result[:-1], result[1:]))


def _by_first_and_rest(result):
    return all(map(operator.le, result, result[1:]))


def _by_iteration(result):
    return all(one <= other for one, other in itertools.pairwise(result))


def _reversed(result):
    return all(one >= other for one, other in itertools.pairwise(reversed(result)))


def _refuses(look, result):
    try:
        return not look(result)
    except (TypeError, LookupError):
        return True


@pytest.mark.parametrize("look", [_by_index, _by_slices, _by_first_and_rest, _by_iteration, _reversed])
@pytest.mark.parametrize("liar", LIARS)
@pytest.mark.parametrize("is_counted_first", [True, False])
def test_one_that_is_sorted_holds_what_is_sorted(load, liar, look, is_counted_first):
    result = load(f"{BASE}\n{LIARS[liar]}\ndef solve(items): return R(items)").solve(NUMBERS)
    looks = [lambda one: Counter(one) == Counter(NUMBERS), look]
    assert any(_refuses(each, result) for each in (looks if is_counted_first else looks[::-1]))


HONEST = """
from collections import OrderedDict, UserList, deque

class Row(UserList): pass

class Ring(deque): pass

class Table(dict):
    def __missing__(self, key): self[key] = key * 2; return self[key]

class Matrix:
    def __init__(self): self.cells = {(0, 0): 1, (0, 1): 2}
    def __len__(self): return 1
    def __getitem__(self, place): row, column = place; return self.cells[row, column]
    def __iter__(self): return iter([[1, 2]])

class Node:
    def __init__(self, value, rest=None): self.value, self.rest = value, rest
    def __iter__(self):
        node = self
        while node: yield node.value; node = node.rest

class Naturals:
    def __iter__(self):
        n = 0
        while True: yield n; n += 1

class Wheel(list):
    def __getitem__(self, i): return list.__getitem__(self, i % len(self))

class Graph:
    def __init__(self): self.next = {1: [2], 2: [1]}
    def __len__(self): return 2
    def __iter__(self): return iter(self.next)
    def __getitem__(self, node): return self.next[node]

class Forward:
    def __init__(self): self.items = [1, 2]
    def __len__(self): return 2
    def __getitem__(self, index):
        if index < 0: raise IndexError("negative")
        return self.items[index]
    def add(self, item): self.items.append(item); return self

class Span:
    def __init__(self, start, stop): self.range = range(start, stop)
    def __len__(self): return len(self.range)
    def __getitem__(self, key):
        got = self.range[key]
        return Span(got.start, got.stop) if isinstance(key, slice) else got
    def total(self): return sum(self.range)

def make(name, *args): return globals()[name](*args)
"""


@pytest.fixture
def make(load):
    return load(HONEST).make


def test_sequences(make):
    row, ring, wheel = make("Row", [1, 2, 3]), make("Ring", [1, 2]), make("Wheel", [4, 5])
    assert [list(row), list(row[1:]), row[-1], list(reversed(row))] == [[1, 2, 3], [2, 3], 3, [3, 2, 1]]
    assert type(row[1:]) is type(row)
    assert [list(ring), ring[-1], wheel[3]] == [[1, 2], 2, 5]
    assert [(one, other) for one in row for other in row][:4] == [(1, 1), (1, 2), (1, 3), (2, 1)]
    row.append(4)
    assert [list(row), row[-1], len(row[:])] == [[1, 2, 3, 4], 4, 4]
    with pytest.raises(IndexError):
        _ = row[9]


def test_slices_of_the_same_class(make):
    span = make("Span", 2, 8)
    middle = span[1:4]
    assert [list(middle), list(middle[1:]), middle.total(), len(span[5:5])] == [[3, 4, 5], [4, 5], 12, 0]
    assert list(map(operator.sub, span[1:3], span[:2])) == [1, 1]


def test_what_a_sequence_refuses_and_what_is_done_to_it(make):
    forward = make("Forward")
    with pytest.raises(IndexError, match="negative"):
        _ = forward[-1]
    assert list(forward) == [1, 2]
    assert forward.add(3) is forward
    assert [forward[1], forward[0]] == [2, 1]


def test_mappings_caches_and_matrices(make):
    table = make("Table", {1: "a", 7: "b"})
    assert [table[1], table[7], table[30], table[30], len(make("Table", {}))] == ["a", "b", 60, 60, 0]
    assert [make("Table", {0: 1})[0], list(make("OrderedDict", {"b": 1}).items())] == [1, [("b", 1)]]
    assert sorted(make("Table", {2: 1, 1: 2})) == [1, 2]
    matrix, graph = make("Matrix"), make("Graph")
    assert [matrix[0, 1], list(matrix), matrix[0, 0]] == [2, [[1, 2]], 1]
    assert {node: graph[node] for node in graph} == {1: [2], 2: [1]}
    with pytest.raises(TypeError):
        _ = matrix[0]
    with pytest.raises(KeyError):
        _ = graph[0]


def test_what_only_iterates(make):
    nodes, naturals = make("Node", 1, make("Node", 2)), make("Naturals")
    assert [list(nodes), list(nodes)] == [[1, 2], [1, 2]]
    assert [list(itertools.islice(naturals, count)) for count in (3, 2, 5)] == [[0, 1, 2], [0, 1], [0, 1, 2, 3, 4]]
