"""Where servers are and with which key they are asked, as a run's config says it.

section: the part of the config that the options stand in, for messages.
"""

from __future__ import annotations

import os
import re
from urllib.parse import urlsplit

import httpx

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
    if not _is_address(url):
        raise ConfigError(
            f"{section}.urls has {_without_secrets(url)!r}; allowed are addresses such as http://node1:8000, and the "
            f"API key comes from {section}.api_key_env"
        )
    return url.rstrip("/")


def _is_address(url: str) -> bool:
    try:
        parts, known = urlsplit(url), httpx.URL(url)
        has_port = parts.port is None or parts.port > 0
    except (ValueError, httpx.InvalidURL):
        return False
    is_plain = not (parts.username or parts.password or parts.query or parts.fragment)
    return parts.scheme in ("http", "https") and bool(known.host) and has_port and is_plain


def _without_secrets(url: str) -> str:
    """The URL without a password, and without a query, which may hold a key."""
    return re.sub(r"//.*@", "//", re.split(r"[?#]", url)[0])
