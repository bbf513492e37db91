"""The first half of a step: prompts to judged groups, peer selections and the teacher's prompts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mopd_core.boundary import plugin_boundary
from mopd_core.chat import TemplateOptions, encode_chat
from mopd_core.errors import ConfigError, DataError, GeneratorError
from mopd_core.interfaces import Generator, PeerSelector, Tokenizer
from mopd_core.peers.check import check_selections
from mopd_core.peers.teacher_prompt import TeacherPrompt, TeacherPrompts
from mopd_core.seeds import derive_random, derive_seed
from mopd_core.types import PeerSelection, Prompt, Rollout, RolloutGroup, Sampling
from mopd_core.verification.groups import verify_groups
from mopd_core.verification.router import VerifierRouter


@dataclass(frozen=True, slots=True)
class Contexts:
    """What the teacher is shown: for every group and rollout the selection and the prompt, None where nothing is."""

    selections: list[list[PeerSelection]]
    prompts: list[list[TeacherPrompt | None]]


def encode_prompts(
    prompts: Sequence[Prompt], tokenizer: Tokenizer, options: TemplateOptions, longest: int, drop: bool
) -> list[Prompt]:
    """Fill in the token ids; prompts over `longest` tokens are left out if `drop`, and else raise `ConfigError`."""
    encoded = [prompt.with_token_ids(encode_chat(tokenizer, prompt.messages, options)) for prompt in prompts]
    kept = [prompt for prompt in encoded if len(prompt.token_ids) <= longest]
    if len(kept) < len(encoded) and not drop:
        worst = max(encoded, key=lambda prompt: len(prompt.token_ids))
        raise ConfigError(
            f"{len(encoded) - len(kept)} of {len(encoded)} prompts are longer than rollout.max_prompt_tokens = "
            f"{longest}; the longest, {worst.id!r}, has {len(worst.token_ids)} tokens. Raise it, or leave them out "
            "with rollout.overlong_prompts=drop"
        )
    if encoded and not kept:
        raise DataError(f"all {len(encoded)} prompts are longer than rollout.max_prompt_tokens = {longest}; raise it")
    return kept


def sample(
    generator: Generator,
    name: str,
    prompts: Sequence[Prompt],
    sampling: Sampling,
    group_size: int,
    seed: int,
    step: int,
) -> list[list[Rollout]]:
    """Sample a group for every prompt, each rollout with a seed of its own."""
    seen: Counter[str] = Counter()
    seeds = []
    for prompt in prompts:
        turn = seen[prompt.id]
        seen[prompt.id] += 1
        seeds.append([derive_seed(seed, step, prompt.id, f"rollout {turn} {index}") for index in range(group_size)])
    return generate(generator, name, prompts, sampling, seeds)


def generate(
    generator: Generator, name: str, prompts: Sequence[Prompt], sampling: Sampling, seeds: Sequence[Sequence[int]]
) -> list[list[Rollout]]:
    """Call the generator and check that a rollout came back for every seed."""
    with plugin_boundary(f"generator {name!r}"):
        rollouts = generator.generate(prompts, sampling, seeds=seeds)
    found, wanted = [len(group) for group in rollouts], [len(group) for group in seeds]
    if found != wanted:
        raise GeneratorError(f"generator {name!r} returned groups of {found} rollouts; asked for were {wanted}")
    return rollouts


def judge(
    router: VerifierRouter, prompts: Sequence[Prompt], rollouts: list[list[Rollout]], threshold: float
) -> list[RolloutGroup]:
    """Verdicts for every rollout."""
    return verify_groups(router, prompts, rollouts, threshold)


def choose_contexts(
    selector: PeerSelector, name: str, builder: TeacherPrompts, groups: Sequence[RolloutGroup], seed: int, step: int
) -> Contexts:
    """Select peers for every target, check them, and render what the teacher reads."""
    with plugin_boundary(f"selector {name!r}"):
        selections = selector.select(groups, derive_random(seed, step, "", "peers"))
    check_selections(name, groups, selections)
    prompts = [[builder.build(groups, number, selection) for selection in row] for number, row in enumerate(selections)]
    return Contexts(selections, prompts)


def group_metrics(groups: Sequence[RolloutGroup]) -> dict[str, float]:
    """Rewards, lengths and the make-up of the groups; shares in [0, 1], lengths in tokens."""
    rollouts = [rollout for group in groups for rollout in group.rollouts]
    known = [group.verdicts[i].reward for group in groups for i in group.known]
    n_known = max(len(known), 1)
    lengths = [len(rollout.token_ids) for rollout in rollouts]
    return {
        "rollout/success_rate": sum(len(group.successes) for group in groups) / n_known,
        "rollout/reward": sum(known) / n_known,
        "rollout/unknown": float(len(rollouts) - len(known)),
        "rollout/length_mean": sum(lengths) / max(len(lengths), 1),
        "rollout/length_max": float(max(lengths, default=0)),
        "rollout/truncated": _share(rollout.finish_reason == "length" for rollout in rollouts),
        "groups/mixed": _share(bool(group.successes) and bool(group.failures) for group in groups),
        "groups/all_success": _share(bool(group.successes) and not group.failures for group in groups),
        "groups/all_failure": _share(bool(group.failures) and not group.successes for group in groups),
    }


def context_metrics(contexts: Contexts) -> dict[str, float]:
    """How much the teacher was shown; lengths in tokens, means over the targets that have a context."""
    prompts = [prompt for row in contexts.prompts for prompt in row]
    shown = [prompt for prompt in prompts if prompt is not None]
    n_shown = max(len(shown), 1)
    return {
        "context/share": len(shown) / max(len(prompts), 1),
        "context/tokens": sum(prompt.n_context_tokens for prompt in shown) / n_shown,
        "context/blocks": sum(prompt.n_blocks for prompt in shown) / n_shown,
        "context/trimmed_tokens": sum(prompt.n_trimmed_tokens for prompt in shown) / n_shown,
    }


def _share(flags: Iterable[bool]) -> float:
    values = list(flags)
    return sum(values) / len(values) if values else 0.0
