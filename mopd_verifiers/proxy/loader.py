"""Imports the candidate's files from memory: nothing of them is on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from types import CodeType, ModuleType

_INIT = "/__init__.py"


class MemoryFinder(MetaPathFinder):
    """Finds modules among sources by relative path; folders are packages, with or without `__init__.py`."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self.files = dict(files)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of a module whose file is here."""
        base = fullname.replace(".", "/")
        if f"{base}{_INIT}" in self.files:
            return self._spec(fullname, f"{base}{_INIT}", is_package=True)
        if f"{base}.py" in self.files:
            return self._spec(fullname, f"{base}.py", is_package=False)
        if any(name.startswith(f"{base}/") for name in self.files):
            return self._spec(fullname, f"{base}{_INIT}", is_package=True)
        return None

    def _spec(self, fullname: str, file: str, *, is_package: bool) -> ModuleSpec | None:
        return spec_from_loader(fullname, _Loader(self.files.get(file, ""), file), is_package=is_package)


class _Loader(InspectLoader):
    def __init__(self, source: str, file: str) -> None:
        self._source = source
        self._file = file

    def is_package(self, fullname: str) -> bool:
        return self._file.endswith(_INIT)

    def get_source(self, fullname: str) -> str:
        return self._source

    def get_code(self, fullname: str) -> CodeType:
        return compile(self._source, self._file, "exec", dont_inherit=True)
