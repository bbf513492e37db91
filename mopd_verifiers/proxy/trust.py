"""Which of the candidate's objects may be compared with the tests' data: an answer counts only as data.

A candidate can return an object whose `==` says True to everything. So an operator that hands the tests' data to one of
its objects is honoured only where the object is what is tested, not what answers:

* A class is *named* when the tests reach it, as an attribute of the module or of a named class, by the name of a class:
  one of the names listed for it, or without a list a capitalised word that occurs in the tests' own text; and by no
  other name. A candidate that makes a class of the function `add` gains nothing, nor by having `add` be a class `Sum`.
* An instance is a *subject* as long as the tests have it from calling a named class; once a function, a method or an
  attribute hands it back it is an answer for good. Every instance of a listed class is a subject.
* Between a subject and data all operators are honoured. Between an instance of a named class and another object of the
  candidate's too. An instance of a named class may be added to, multiplied by and so on with data as long as an object
  comes of it; what an answer's difference from data (`-`, `%`, `^`) says of itself in data (`abs`, `len`) is refused.
* Everything else is an answer: it equals only itself, and ordering, `in`, arithmetic, and the predicates that str, set
  and their like have (`startswith`, `issubset`, `isdigit`) raise an error that says why.

What hands over nothing that decides (attributes, calls, `len`, items, iteration, conversions) is honoured for all.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

_DATA = (str, bytes, set, int, float)
PREDICATES = frozenset(
    name for kind in _DATA for name in dir(kind) if name.startswith("is") or name in ("startswith", "endswith")
)
"""Methods of plain data that are true or false about it."""
DIFFERENCES = frozenset({"difference", "symmetric_difference", "intersection"})
"""Methods of sets that say how two of them differ: for instances of a named class."""


@dataclass(slots=True)
class Trust:
    """What is named and what answered so far.

    listed: the names of classes whose instances are all subjects, and of no others; None to go by the look of a name.
    words: those that occur in the tests; None for any.
    """

    listed: Collection[str] | None = None
    words: Collection[str] | None = None
    _named: set[type] = field(default_factory=set)
    _misnamed: set[type] = field(default_factory=set)
    _made: set[int] = field(default_factory=set)
    _answered: set[int] = field(default_factory=set)
    _differences: set[int] = field(default_factory=set)

    def reach(self, name: str, one: type) -> None:
        """The tests reached a class by this name."""
        (self._named if self._is_class_name(name) else self._misnamed).add(one)

    def make(self, kind: type, number: int) -> None:
        """The tests have this object from calling a class."""
        if kind in self._named - self._misnamed:
            self._made.add(number)

    def answer(self, number: int) -> None:
        """The candidate handed this object back."""
        self._answered.add(number)

    def keep(self, number: int) -> None:
        """The object came back from an operator that gives the object itself, such as `+=` or `with`."""
        self._answered.discard(number)

    def differ(self, number: int) -> None:
        """The object tells how an answer differs from the tests' data."""
        self._differences.add(number)

    def is_difference(self, number: int) -> bool:
        return number in self._differences

    def is_named(self, kind: type) -> bool:
        """Whether a class, or one that it derives from, is named."""
        return not self._named.isdisjoint(kind.__mro__) and self._misnamed.isdisjoint(kind.__mro__)

    def is_subject(self, kind: type, number: int) -> bool:
        """Whether an object of this class is what is tested."""
        return self.is_named(kind) and (
            self.listed is not None or (number in self._made and number not in self._answered)
        )

    def _is_class_name(self, name: str) -> bool:
        if self.listed is not None:
            return name in self.listed
        bare = name.lstrip("_")
        return bare[:1].isupper() and not bare.isupper() and (self.words is None or name in self.words)
