"""What this machine offers of the layers, found out by attempting what each forbids; once in a process.

`missing_layers` is for a sandbox that is being made: it refuses what the config does not allow. `examine` lists all.
"""

from __future__ import annotations

import functools
import json
import subprocess
import sys
import tempfile

from mopd_core.errors import ConfigError
from mopd_verifiers.sandbox.bubblewrap import wrapper
from mopd_verifiers.sandbox.config import SandboxConfig
from mopd_verifiers.sandbox.inside.setup import LAYERS
from mopd_verifiers.sandbox.process import ENVIRONMENT, command

_TIMEOUT_S, _WORDS = 60.0, 500


def examine() -> list[tuple[str, bool, str]]:
    """Each layer, whether it holds here, and if not, why."""
    try:
        return [(layer, not why, why or "holds") for layer, why in _findings(bubblewrap=False).items()]
    except ConfigError as error:
        return [(layer, False, str(error)) for layer in LAYERS]


def missing_layers(config: SandboxConfig) -> dict[str, str]:
    """The layers that this machine lacks, and why. Raises `ConfigError` if one of them is required."""
    missing = {layer: why for layer, why in _findings(config.bubblewrap).items() if why}
    for layer in config.require:
        if layer in missing:
            raise ConfigError(refusal(layer, missing[layer]))
    return missing


def refusal(layer: str, why: str) -> str:
    """What to tell somebody whose config requires a layer that is missing."""
    return (
        f"the sandbox needs the layer {layer!r}, which is missing here: {why}; run on a machine that offers it (Linux "
        "5.13 or later), or leave it out of the verifier's `sandbox.require`: verdicts then carry a caveat"
    )


@functools.cache
def _findings(bubblewrap: bool) -> dict[str, str]:
    """Layer -> why it is missing, empty if it holds. Raises `ConfigError` where not even trying works."""
    if sys.platform != "linux":
        raise ConfigError(f"programs can be confined on Linux alone, and this is {sys.platform}; run this on Linux")
    with tempfile.TemporaryDirectory(prefix="mopd-probe-") as folder:
        around = wrapper([], folder) if bubblewrap else []
        done = subprocess.run(
            [*around, *command("attempt", folder)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=ENVIRONMENT,
            timeout=_TIMEOUT_S,
            check=False,
        )
    if done.returncode:
        why = done.stderr.decode(errors="replace").strip()[-_WORDS:]
        raise ConfigError(f"the sandbox's layers could not be tried {'in bubblewrap' * bubblewrap}: {why}")
    found: dict[str, str] = json.loads(done.stdout)
    return found | {"namespaces": ""} if bubblewrap else found
