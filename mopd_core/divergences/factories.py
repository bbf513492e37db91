"""What builds each divergence from its options. A formula's module, and torch with it, is imported when called."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mopd_core.contexts import RunContext
    from mopd_core.divergences.config import (
        AlphaConfig,
        ForwardKLConfig,
        JSDConfig,
        ReverseKLConfig,
        SkewKLConfig,
        TotalVariationConfig,
    )
    from mopd_core.interfaces import Divergence


def build_forward_kl(config: ForwardKLConfig, context: RunContext) -> Divergence:
    """Build `forward-kl`."""
    from mopd_core.divergences.forward_kl import ForwardKL

    return ForwardKL()


def build_reverse_kl(config: ReverseKLConfig, context: RunContext) -> Divergence:
    """Build `reverse-kl`."""
    from mopd_core.divergences.reverse_kl import ReverseKL

    return ReverseKL()


def build_jsd(config: JSDConfig, context: RunContext) -> Divergence:
    """Build `jsd`."""
    from mopd_core.divergences.jsd import JSD

    return JSD(config.weight)


def build_skew_kl(config: SkewKLConfig, context: RunContext) -> Divergence:
    """Build `skew-kl`."""
    from mopd_core.divergences.skew_kl import SkewForwardKL, SkewReverseKL

    return SkewForwardKL(config.skew) if config.direction == "forward" else SkewReverseKL(config.skew)


def build_total_variation(config: TotalVariationConfig, context: RunContext) -> Divergence:
    """Build `total-variation`."""
    from mopd_core.divergences.total_variation import TotalVariation

    return TotalVariation()


def build_alpha(config: AlphaConfig, context: RunContext) -> Divergence:
    """Build `alpha`."""
    from mopd_core.divergences.alpha import Renyi

    return Renyi(config.order, config.direction)
