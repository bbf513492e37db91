"""Which SGLang is supported: the versions that the tests ran with. Another one is refused before anything starts."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version

from packaging.specifiers import SpecifierSet

from mopd_core.errors import ConfigError

TESTED = SpecifierSet(">=0.5.21,<0.5.22")


def check_installed() -> None:
    """Raise `ConfigError` where SGLang is not installed here, or in a version that was not tested."""
    try:
        version = installed_version("sglang")
    except PackageNotFoundError:
        raise ConfigError(
            f"generator 'sglang' needs SGLang, and it is not installed here; supported is {TESTED}. Install "
            "mopd[sglang], give the addresses of servers in generator.urls, or, to start one, the interpreter of an "
            "environment that has it in generator.python"
        ) from None
    check_version(version, "this environment")


def check_version(version: str, where: str) -> None:
    """Raise `ConfigError` for a version outside of the tested range."""
    if version not in TESTED:
        raise ConfigError(
            f"SGLang {version} in {where} was not tested; supported is {TESTED}. Install a supported one, such as "
            "sglang==0.5.21"
        )
