"""What can go wrong between us and a server, in two kinds: it may pass, or it will not.

`Unavailable` passes: another server may answer, or this one later. `GeneratorError` does not: asking again gives the
same. No text of either has the API key in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from mopd_core.errors import GeneratorError

_PASSING = frozenset({408, 429})
_LONGEST = 500
"""Characters of a server's own message that are shown."""


class Unavailable(Exception):
    """A server cannot answer now. timed_out: it took the request, and nothing came in time."""

    def __init__(self, reason: str, timed_out: bool = False) -> None:
        super().__init__(reason)
        self.timed_out = timed_out


@contextmanager
def told_apart(url: str, key: str | None, section: str) -> Iterator[None]:
    """Turn what asking a server raises into one of the two kinds; what they replace is not chained, as it may hold
    the key. section: where the server's options stand in a run's config."""
    try:
        yield
    except httpx.HTTPStatusError as error:
        raise _of_status(url, error.response, key, section) from None
    except TimeoutError:
        raise Unavailable("no answer in time", timed_out=True) from None
    except httpx.RequestError as error:
        raise Unavailable(_shown(f"{type(error).__name__} {error}", key)) from None
    except GeneratorError as error:
        raise GeneratorError(f"server {url}: {_shown(str(error), key)}") from None


def _of_status(url: str, response: httpx.Response, key: str | None, section: str) -> Exception:
    said = _shown(f"{response.status_code} {response.reason_phrase}: {response.text}", key)
    if response.status_code in _PASSING or response.is_server_error:
        return Unavailable(said)
    advice = f"check {section}.api_key_env" if response.status_code in (401, 403) else "see the server's log"
    return GeneratorError(f"server {url} refuses a request: {said}; {advice}")


def _shown(text: str, key: str | None) -> str:
    """One line of bounded length without the key."""
    line = " ".join(text.split())
    if key:
        line = line.replace(key, "***")
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]} ..."
