"""Where third-party code is called: what it raises becomes one line that names it; its traceback is logged."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from mopd_core.errors import MopdError, PluginError

log = logging.getLogger(__name__)


@contextmanager
def plugin_boundary(who: str) -> Iterator[None]:
    """Turn any exception but our own into a `PluginError` that starts with `who`, such as "selector 'contrastive'"."""
    try:
        yield
    except MopdError:
        raise
    except Exception as error:  # The named boundary: plugins may raise anything.
        log.exception("%s failed", who)
        raise PluginError(f"{who} failed: {type(error).__name__}: {error}. The log has the traceback") from error
