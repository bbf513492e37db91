"""Where third-party code is called: what it raises becomes one line that names it; its traceback goes to the log."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from mopd_core.errors import MopdError, PluginError

log = logging.getLogger(__name__)


@contextmanager
def plugin_boundary(who: str) -> Iterator[None]:
    """Turn what is raised into a `PluginError` that starts with `who`, such as "selector 'contrastive'".

    Our own errors pass, and so does torch's lack of memory: that is nobody's fault, and the loop has advice for it.
    """
    try:
        yield
    except MopdError:
        raise
    except Exception as error:  # The named boundary: plugins may raise anything.
        if is_out_of_memory(error):
            raise
        log.info("%s failed", who, exc_info=True)
        raise PluginError(f"{who} failed: {type(error).__name__}: {error}") from error


def is_out_of_memory(error: Exception) -> bool:
    """Whether a device had no memory left; without importing torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(error, torch.OutOfMemoryError)
