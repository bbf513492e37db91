"""How many rows of a file are judged at once, and what a verifier's own option `workers` has to do with it."""

from __future__ import annotations

import os

from mopd_core.config.base import PluginChoice
from mopd_core.config.load import load_verifier
from mopd_core.errors import ConfigError
from mopd_core.registry import Registries

_MOST_BY_DEFAULT = 4


def choose_workers(
    name: str, registries: Registries, options: tuple[str, ...], workers: int | None
) -> tuple[PluginChoice, int]:
    """A verifier's options and how many rows to judge at once: as many as it has workers, so that no row waits in it.

    `workers` is passed on to the verifier's own option of that name; `ConfigError` where `options` set that too.
    """
    choice = load_verifier(name, registries, options)
    default = min(_MOST_BY_DEFAULT, os.cpu_count() or 1)
    if "workers" not in type(choice).model_fields:
        return choice, workers or default
    if "workers" in choice.model_fields_set and workers is not None:
        raise ConfigError(f"--workers {workers} and -o verifier.workers=... set the same thing; give one of them")
    own = choice.model_dump()["workers"]
    if workers is None and ("workers" in choice.model_fields_set or own is not None):
        return choice, own or default
    at_once = workers or default
    return load_verifier(name, registries, (*options, f"verifier.workers={at_once}")), at_once
