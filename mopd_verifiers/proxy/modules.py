"""The candidate's modules as the tests import them."""

from __future__ import annotations

import builtins
import sys
from collections.abc import Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from mopd_verifiers.proxy.link import Link

_FETCHED = frozenset({"__version__", "__author__"})
"""Names with two underscores that are the candidate's; what machinery looks for in a module is not."""


class RemoteModule(ModuleType):
    """A module whose attributes are fetched from the candidate, one request each; plain data comes as a copy."""

    _mopd_link: Link

    def __init__(self, name: str, link: Link) -> None:
        super().__init__(name)
        vars(self)["_mopd_link"] = link

    def __getattr__(self, name: str) -> Any:
        if name == "__all__":
            return self._exported(sys._getframe(1).f_globals)
        if _is_own(name):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return self._mopd_link.mirror.reach(name, self._mopd_link.ask("getattr", self, name))

    def __setattr__(self, name: str, value: object) -> None:
        if _is_own(name) or (isinstance(value, ModuleType) and "_mopd_link" in vars(value)):
            vars(self)[name] = value
        else:
            self._mopd_link.ask("setattr", self, name, value)

    def __delattr__(self, name: str) -> None:
        self._mopd_link.ask("delattr", self, name)

    def __dir__(self) -> list[str]:
        return [name for name in self._mopd_link.ask("dir", self) if type(name) is str]

    def _exported(self, importer: Mapping[str, object]) -> list[str]:
        """What `import *` brings: names that occur in the tests, so that a candidate cannot plant others there.

        What the importing module has already stays, and so do Python's own names: the tests judge by these.
        """
        words = self._mopd_link.trust.words
        taken = importer.keys() | vars(builtins).keys()
        names = [name for name in dir(self) if not name.startswith("_") and name not in taken]
        return [name for name in names if words is None or name in words]


class RemoteFinder(MetaPathFinder, Loader):
    """Finds the candidate's modules. It comes last: no name that anything else has is the candidate's."""

    def __init__(self, link: Link, modules: Sequence[str]) -> None:
        self._link = link
        self._modules = tuple(modules)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """A spec for a module that the tests may import, for what it holds, and for the packages it is in."""
        is_ours = any(_is_within(fullname, module) or _is_within(module, fullname) for module in self._modules)
        return ModuleSpec(fullname, self) if is_ours else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return RemoteModule(spec.name, self._link)

    def exec_module(self, module: ModuleType) -> None:
        """Raises what the candidate's module raises; one that exits cannot be imported."""
        try:
            is_package = self._link.ask("import", module.__name__)
        except SystemExit as error:
            raise ImportError(f"the candidate exits ({error.code!r}) while it is imported") from error
        if is_package is True:
            module.__path__ = []


def _is_within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def _is_own(name: str) -> bool:
    return name.startswith("_mopd_") or (name.startswith("__") and name.endswith("__") and name not in _FETCHED)
