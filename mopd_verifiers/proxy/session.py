"""What an entry in the tests' process opens on its channel."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Collection, Sequence
from types import ModuleType

from mopd_verifiers.proxy.link import Link
from mopd_verifiers.proxy.modules import RemoteFinder, RemoteModule
from mopd_verifiers.proxy.trust import Trust
from mopd_verifiers.proxy.wire import Wire


class Session:
    """While it is entered, `modules` and what they hold are imported from the candidate.

    classes: names of the candidate's classes whose instances may be compared with the tests' data; None to go by what
    the tests reach (see `trust`), which `words`, those of the tests' own text, narrow down.
    """

    def __init__(
        self,
        channel: int,
        modules: Sequence[str],
        *,
        classes: Collection[str] | None = None,
        words: Collection[str] | None = None,
    ) -> None:
        self.link = Link(Wire(channel), Trust(classes, words))
        self._finder = RemoteFinder(self.link, modules)

    def load(self, module: str) -> ModuleType:
        """Import a module of the candidate's. Raises what it raises."""
        return importlib.import_module(module)

    def __enter__(self) -> Session:
        sys.meta_path.append(self._finder)
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Raises `ProtocolError` or `UnsendableError` for what went wrong, even if it was caught before."""
        sys.meta_path.remove(self._finder)
        for name in [name for name, module in sys.modules.items() if isinstance(module, RemoteModule)]:
            del sys.modules[name]
        self.link.close()
        if error is None:
            self.link.check()
