"""The core's own plugin: what ships with `mopd_core`, registered through the hooks that third parties use.

A new built-in of the core is one line here; its config class is importable without torch, its factory imports the rest.
"""

from __future__ import annotations

from mopd_core.bundled.source import BundledConfig
from mopd_core.contexts import ModelContext, RunContext
from mopd_core.data.adapters import humaneval, livecodebench, tooluse
from mopd_core.data.adapters.competitions import AimeConfig, AmcConfig
from mopd_core.data.adapters.gsm8k import Gsm8kConfig
from mopd_core.data.adapters.sciknoweval import SciKnowEvalConfig
from mopd_core.data.table_config import TableConfig
from mopd_core.divergences import config as divergences
from mopd_core.divergences import factories
from mopd_core.hookspecs import hookimpl
from mopd_core.interfaces import Divergence, Objective, PeerSelector, PromptSource, Teacher, Tracker
from mopd_core.objectives.config import (
    DistillConfig,
    DpoConfig,
    GrpoConfig,
    OpdConfig,
    SimpoConfig,
    VerifiedSftConfig,
    WeightedSumConfig,
)
from mopd_core.peers import (
    contrastive,
    first_success,
    none,
    positive,
    random_peer,
    score_ordered,
    success_only_matched,
    summary,
    unrelated_prompt,
)
from mopd_core.registry import Registry, lazy
from mopd_core.teachers.config import EmaConfig, FrozenConfig, LiveConfig, TrustRegionConfig
from mopd_core.tracking.config import TensorBoardConfig


@hookimpl
def mopd_register_selectors(registry: Registry[PeerSelector, RunContext]) -> None:
    """Peer selectors, and the controls of a study."""
    registry.add("none", none.NoneConfig, none.build)
    registry.add("first-success", first_success.FirstSuccessConfig, first_success.build)
    registry.add("positive", positive.PositiveConfig, positive.build)
    registry.add("contrastive", contrastive.ContrastiveConfig, contrastive.build)
    registry.add("summary", summary.SummaryConfig, summary.build)
    registry.add("score-ordered", score_ordered.ScoreOrderedConfig, score_ordered.build)
    registry.add("random-peer", random_peer.RandomPeerConfig, random_peer.build)
    registry.add("unrelated-prompt", unrelated_prompt.UnrelatedPromptConfig, unrelated_prompt.build)
    registry.add("success-only-matched", success_only_matched.SuccessOnlyMatchedConfig, success_only_matched.build)


@hookimpl
def mopd_register_divergences(registry: Registry[Divergence, RunContext]) -> None:
    """Divergences between student and teacher."""
    registry.add("forward-kl", divergences.ForwardKLConfig, factories.build_forward_kl)
    registry.add("reverse-kl", divergences.ReverseKLConfig, factories.build_reverse_kl)
    registry.add("jsd", divergences.JSDConfig, factories.build_jsd)
    registry.add("skew-kl", divergences.SkewKLConfig, factories.build_skew_kl)
    registry.add("total-variation", divergences.TotalVariationConfig, factories.build_total_variation)
    registry.add("alpha", divergences.AlphaConfig, factories.build_alpha)


@hookimpl
def mopd_register_teachers(registry: Registry[Teacher, ModelContext]) -> None:
    """Teachers that are models in this process."""
    registry.add("ema", EmaConfig, lazy("mopd_core.teachers.ema:build"))
    registry.add("frozen", FrozenConfig, lazy("mopd_core.teachers.frozen:build"))
    registry.add("live", LiveConfig, lazy("mopd_core.teachers.live:build"))
    registry.add("trust-region", TrustRegionConfig, lazy("mopd_core.teachers.trust_region:build"))


@hookimpl
def mopd_register_objectives(registry: Registry[Objective, ModelContext]) -> None:
    """Distillation, the baselines on the same rollouts, and GRPO together with distillation."""
    registry.add("distill", DistillConfig, lazy("mopd_core.objectives.distill:build"))
    registry.add("opd", OpdConfig, lazy("mopd_core.objectives.distill:build"))
    registry.add("grpo", GrpoConfig, lazy("mopd_core.objectives.grpo:build"))
    registry.add("weighted-sum", WeightedSumConfig, lazy("mopd_core.objectives.weighted_sum:build"))
    registry.add("verified-sft", VerifiedSftConfig, lazy("mopd_core.objectives.verified_sft:build"))
    registry.add("dpo", DpoConfig, lazy("mopd_core.objectives.dpo:build"))
    registry.add("simpo", SimpoConfig, lazy("mopd_core.objectives.simpo:build"))


@hookimpl
def mopd_register_trackers(registry: Registry[Tracker, RunContext]) -> None:
    """Mirrors of metrics.jsonl."""
    registry.add("tensorboard", TensorBoardConfig, lazy("mopd_core.tracking.tensorboard:build"))


@hookimpl
def mopd_register_datasets(registry: Registry[PromptSource, RunContext]) -> None:
    """Tables of rows, published data sets over them, and the bundled tasks."""
    registry.add("bundled", BundledConfig, lazy("mopd_core.bundled.source:build"))
    registry.add("table", TableConfig, lazy("mopd_core.data.table:build"))
    registry.add("gsm8k", Gsm8kConfig, lazy("mopd_core.data.table:build"))
    registry.add("aime", AimeConfig, lazy("mopd_core.data.table:build"))
    registry.add("amc", AmcConfig, lazy("mopd_core.data.table:build"))
    registry.add("sciknoweval", SciKnowEvalConfig, lazy("mopd_core.data.table:build"))
    registry.add("tooluse", tooluse.ToolUseConfig, tooluse.build)
    registry.add("humaneval", humaneval.HumanEvalConfig, humaneval.build)
    registry.add("livecodebench", livecodebench.LiveCodeBenchConfig, livecodebench.build)
