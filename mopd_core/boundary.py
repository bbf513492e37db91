"""Where third-party code is called: what it raises becomes one line that names it; its traceback goes to the log.

An error that names a plugin calls it by kind and name, such as `selector 'nearest'`. `sources_named` adds where a third
party's plugin comes from.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mopd_core.errors import GeneratorError, MopdError, PluginError, SelectorError, TrainingError, VerifierError

if TYPE_CHECKING:
    from mopd_core.registry import Registries

log = logging.getLogger(__name__)

LONGEST_MESSAGE = 500
"""Characters that are kept of what third-party code says of its own error."""


@contextmanager
def plugin_boundary(who: str) -> Iterator[None]:
    """Turn what is raised into a `PluginError` that starts with `who`, such as "selector 'contrastive'".

    Our own errors pass, and so does torch's lack of memory: that is nobody's fault, and the loop has advice for it.
    """
    try:
        yield
    except MopdError:
        raise
    except (Exception, SystemExit) as error:  # The named boundary: plugins may raise anything.
        if is_out_of_memory(error):
            raise
        log.info("%s failed", who, exc_info=True)
        raise PluginError(f"{who} failed: {said_by(error)}") from error


def said_by(error: BaseException) -> str:
    """An exception's type and message, on one line."""
    return f"{type(error).__name__}: {message_of(error)}".removesuffix(": ")


def message_of(error: BaseException) -> str:
    """An exception's message on one line, its end left out where it is long."""
    message = " ".join(str(error).split())
    return message if len(message) <= LONGEST_MESSAGE else f"{message[:LONGEST_MESSAGE]} ..."


@contextmanager
def sources_named(registries: Registries) -> Iterator[None]:
    """Add to an error about a third party's plugin which distribution that is from, and what to do about it."""
    try:
        yield
    except (PluginError, GeneratorError, SelectorError, VerifierError, TrainingError) as error:
        said = with_sources(str(error), registries)
        if said == str(error):
            raise
        raise type(error)(said) from error


def with_sources(text: str, registries: Registries) -> str:
    """The text, and a sentence for each plugin of a third party that it names and does not say the source of."""
    for entry in registries.third_party():
        who, source = f"{entry.kind[:-1]} {entry.name!r}", f"{entry.source.name} {entry.source.version}"
        if who in text and source not in text:
            text = (
                f"{text}. {who} is from {source}: if the fault is its own, report it there, or choose another "
                f"{entry.kind[:-1]}"
            )
    return text


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device had no memory left; without importing torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(error, torch.OutOfMemoryError)
