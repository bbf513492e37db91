"""The method and its loop: multi-rollout, peer-conditioned on-policy distillation.

Generators live in `mopd_backends`, verifiers in `mopd_verifiers`; this package imports neither.
"""

from mopd_core.config.base import PluginConfig
from mopd_core.divergences.config import DivergenceConfig
from mopd_core.hookspecs import hookimpl

__all__ = ["DivergenceConfig", "PluginConfig", "hookimpl"]

__version__ = "0.1.0"
