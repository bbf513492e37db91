"""Where servers are and with which key they are asked, as a run's config says it.

section: the part of the config that the options stand in, for messages.
"""

from __future__ import annotations

import os
from urllib.parse import urlsplit

from mopd_core.errors import ConfigError


def api_key(variable: str | None, section: str) -> str | None:
    """The API key in an environment variable. Raises `ConfigError` where there is none that can be sent."""
    if variable is None:
        return None
    key = os.environ.get(variable, "").strip()
    if not key or not (key.isascii() and key.isprintable()):
        state = "holds something that cannot be sent in a header" if key else "is not set"
        raise ConfigError(
            f"{section}.api_key_env names the environment variable {variable!r}, which {state}; set it to "
            "the servers' API key, or remove the option"
        )
    return key


def checked_url(url: str, section: str) -> str:
    """The URL without a slash at its end. Raises `ConfigError` for what is no address of a server."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
        raise ConfigError(
            f"{section}.urls has {parts._replace(netloc=parts.netloc.rpartition('@')[2]).geturl()!r}; allowed are "
            f"addresses such as http://node1:8000, and the API key comes from {section}.api_key_env"
        )
    return url.rstrip("/")
