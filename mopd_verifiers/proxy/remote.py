"""Proxies: an object in the tests' process for each object, and a class for each class, of the candidate's.

A proxy's class has those special methods that the candidate's has (`classes` puts them on); the rest is here. What an
operator may do is for `trust` to say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, cast

from mopd_verifiers.proxy.trust import DIFFERENCES, PREDICATES

if TYPE_CHECKING:
    from mopd_verifiers.proxy.link import Link

_FORWARDED = frozenset(
    {"__name__", "__qualname__", "__module__", "__doc__", "__dict__", "__annotations__", "__wrapped__", "__self__"}
    | {"__func__", "__members__", "__dataclass_fields__", "__match_args__", "__defaults__", "__abstractmethods__"}
)
"""Names with two underscores that are fetched. Those that frameworks look for to be told something are not."""
_MAX_SHOWN_CHARS = 2000


def is_forwarded(name: str) -> bool:
    """Whether an attribute of this name is the candidate's to give."""
    return not (name.startswith("__") and name.endswith("__")) or name in _FORWARDED


class RemoteMeta(type):
    """The type of the tests' own classes for the candidate's classes."""

    _mopd_link: Link
    _mopd_class: int

    def __new__(mcs, name: str, bases: tuple[Any, ...], namespace: dict[str, Any]) -> RemoteMeta:
        """A test that derives from a candidate's class cannot be proxied."""
        for base in bases:
            if isinstance(base, RemoteMeta):
                raise base._mopd_link.refuse(f"the tests derive the class {name} from one of the candidate's")
        return super().__new__(mcs, name, bases, namespace)

    def __call__(cls, *operands: Any, **named: Any) -> Any:
        """Make an instance, which is what the tests test if the class is named."""
        link = cls._mopd_link
        made = link.ask("call", cls, *operands, named=named, is_answer=False)
        if isinstance(made, Remote) and issubclass(type(made), cls):
            link.trust.make(cls, made._mopd_number)
        return made

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("_mopd_") or not is_forwarded(name):
            raise AttributeError(f"type object {cls.__name__!r} has no attribute {name!r}")
        return cls._mopd_link.mirror.reach(name, cls._mopd_link.ask("getattr", cls, name))

    def __setattr__(cls, name: str, value: object) -> None:
        cls._mopd_link.ask("setattr", cls, name, value)

    def __delattr__(cls, name: str) -> None:
        cls._mopd_link.ask("delattr", cls, name)

    def __dir__(cls) -> list[str]:
        return [name for name in cls._mopd_link.ask("dir", cls) if type(name) is str]

    def __bool__(cls) -> bool:
        return True

    def __iter__(cls) -> Any:
        return cls._mopd_link.ask("__iter__", cls)

    def __len__(cls) -> int:
        return cast("int", cls._mopd_link.ask("__len__", cls))

    def __getitem__(cls, key: object) -> Any:
        return cls._mopd_link.ask("__getitem__", cls, key)

    def __contains__(cls, item: object) -> bool:
        if not (cls._mopd_link.trust.is_named(cls) or isinstance(item, Remote)):
            raise TypeError(f"the candidate's class `{cls.__name__}` is no container that the tests know of")
        return cast("bool", cls._mopd_link.ask("__contains__", cls, item))


class Remote(metaclass=RemoteMeta):
    """A proxy for one object."""

    __slots__ = ("__weakref__", "_mopd_number")
    _mopd_number: int
    _mopd_link: ClassVar[Link]
    _mopd_data: ClassVar[str | None] = None
    """The type of plain data that the candidate's class derives from."""

    @staticmethod
    def _mopd_make(kind: type[Remote], number: int) -> Remote:
        remote = object.__new__(kind)
        object.__setattr__(remote, "_mopd_number", number)
        return remote

    def _mopd_is_subject(self) -> bool:
        return self._mopd_link.trust.is_subject(type(self), self._mopd_number)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_mopd_") or not is_forwarded(name):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        is_subject = self._mopd_is_subject()
        is_named = self._mopd_link.trust.is_named(type(self))
        if (name in PREDICATES and not is_subject) or (name in DIFFERENCES and not is_named):
            raise AttributeError(f"{describe(self)} cannot answer {name!r} for plain data")
        value = self._mopd_link.ask("getattr", self, name)
        return self._mopd_link.mirror.reach(name, value) if is_subject else value

    def __setattr__(self, name: str, value: object) -> None:
        self._mopd_link.ask("setattr", self, name, value, is_blamed=self._mopd_is_subject())

    def __delattr__(self, name: str) -> None:
        self._mopd_link.ask("delattr", self, name)

    def __dir__(self) -> list[str]:
        return [name for name in self._mopd_link.ask("dir", self) if type(name) is str]

    def __repr__(self) -> str:
        text = str(self._mopd_link.ask("__repr__", self))
        if self._mopd_data is None or self._mopd_link.trust.is_named(type(self)):
            return text
        return f"<{describe(self)}: {text[:_MAX_SHOWN_CHARS]}>"

    def __str__(self) -> str:
        return cast("str", self._mopd_link.ask("__str__", self))

    def __format__(self, spec: str) -> str:
        return cast("str", self._mopd_link.ask("__format__", self, spec))

    def __hash__(self) -> int:
        if self._mopd_link.trust.is_named(type(self)):
            return cast("int", self._mopd_link.ask("__hash__", self))
        return hash(self._mopd_number)

    def __copy__(self) -> Any:
        return self._mopd_link.ask("__copy__", self)

    def __deepcopy__(self, memo: object) -> Any:
        return self._mopd_link.ask("__deepcopy__", self)


def describe(remote: Remote) -> str:
    """What an answer is, for a message about what it is not."""
    name, data = type(remote).__name__, type(remote)._mopd_data
    if data is None:
        return f"an object of the candidate's class `{name}`"
    return f"a `{name}` (a subclass of {data}), not {'an' if data[0] in 'aeiou' else 'a'} {data}"
