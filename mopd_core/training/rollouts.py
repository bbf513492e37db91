"""The first half of a step: prompts to judged groups, peer selections and the teacher's prompts.

Sampling and judging overlap: a rollout goes to its verifier as soon as the generator hands it over.
"""

from __future__ import annotations

from collections import Counter, abc
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TypeAlias

from mopd_core.boundary import plugin_boundary, said_by
from mopd_core.chat import TemplateOptions, encode_chat
from mopd_core.errors import ConfigError, DataError, GeneratorError
from mopd_core.interfaces import Generator, PeerSelector, Tokenizer
from mopd_core.peers.check import check_selections
from mopd_core.peers.teacher_prompt import TeacherPrompt, TeacherPrompts
from mopd_core.seeds import derive_random, derive_seed
from mopd_core.training.rollout_check import check_rollout
from mopd_core.types import PeerSelection, Prompt, Rollout, RolloutGroup, Sampling
from mopd_core.verification.groups import PendingGroups
from mopd_core.verification.scheduler import Scheduler

Arrivals: TypeAlias = abc.Generator[tuple[int, int, Rollout], None, None]
"""Rollouts as they come: the number of the prompt, the rollout's index in its group, and the rollout."""


@dataclass(frozen=True, slots=True)
class Contexts:
    """What the teacher is shown: for every group and rollout the selection and the prompt, None where nothing is."""

    selections: list[list[PeerSelection]]
    prompts: list[list[TeacherPrompt | None]]


def encode_prompts(
    prompts: Sequence[Prompt], source: str, tokenizer: Tokenizer, options: TemplateOptions, longest: int, drop: bool
) -> list[Prompt]:
    """Fill in the token ids; prompts over `longest` tokens are left out if `drop`, and else raise `ConfigError`.

    source: the data set's name. Raises `DataError` for a prompt that the model's chat template or tokenizer refuses.
    """
    encoded = [_encode(prompt, source, tokenizer, options) for prompt in prompts]
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


def _encode(prompt: Prompt, source: str, tokenizer: Tokenizer, options: TemplateOptions) -> Prompt:
    try:
        ids = encode_chat(tokenizer, prompt.messages, options)
    except Exception as error:  # A boundary: a chat template is a program of the model's, and refuses as it likes.
        half = not all(_is_whole(message["content"]) for message in prompt.messages)
        why = "its text holds half of a surrogate pair, which is no character" if half else said_by(error)
        raise DataError(
            f"prompt {prompt.id!r} of dataset {source!r} cannot be put into the model's chat template: {why}. Repair "
            "its messages or model.chat_template_options, or take another model"
        ) from error
    return prompt.with_token_ids(ids)


def _is_whole(text: str) -> bool:
    """Whether all of a text can be encoded."""
    return text == text.encode("utf-8", "ignore").decode()


def training_seeds(prompts: Sequence[Prompt], group_size: int, seed: int, step: int) -> list[list[int]]:
    """A seed for every rollout of a step: P lists of `group_size`."""
    seen: Counter[str] = Counter()
    seeds = []
    for prompt in prompts:
        turn = seen[prompt.id]
        seen[prompt.id] += 1
        seeds.append([derive_seed(seed, step, prompt.id, f"rollout {turn} {index}") for index in range(group_size)])
    return seeds


def sample(
    generator: Generator,
    name: str,
    prompts: Sequence[Prompt],
    sampling: Sampling,
    seeds: Sequence[Sequence[int]],
    scheduler: Scheduler,
    vocabulary: int,
    is_wanted: Callable[[], bool] = lambda: True,
) -> PendingGroups:
    """Sample a rollout for every seed, and have each judged from when it is there. Returns when the last one is.

    Once `is_wanted()` is false it returns with the next rollout, and the groups never fill.
    vocabulary: how many tokens the student knows. Raises what a verifier raises meanwhile, and `GeneratorError` unless
    every rollout comes exactly once and can be used.
    """
    pending = PendingGroups(scheduler, prompts, [len(group) for group in seeds])
    with closing(generate(generator, name, prompts, sampling, seeds)) as arriving:
        for prompt, index, rollout in arriving:
            if not is_wanted():
                break
            check_rollout(name, prompts[prompt].id, rollout, vocabulary)
            pending.add(prompt, index, rollout)
    return pending


def generate(
    generator: Generator, name: str, prompts: Sequence[Prompt], sampling: Sampling, seeds: Sequence[Sequence[int]]
) -> Arrivals:
    """Every rollout exactly once: as they come where the generator streams, else at the end.

    What the generator raises names it; so does `GeneratorError` where something is missing or was not asked for.
    """
    stream = getattr(generator, "stream", None)
    with plugin_boundary(f"generator {name!r}"):
        if stream is not None:
            yield from _checked(name, stream(prompts, sampling, seeds=seeds), seeds)
            return
        rollouts = generator.generate(prompts, sampling, seeds=seeds)
        found, wanted = [len(group) for group in rollouts], [len(group) for group in seeds]
    if found != wanted:
        raise GeneratorError(f"generator {name!r} returned groups of {found} rollouts; asked for were {wanted}")
    for prompt, group in enumerate(rollouts):
        for index, rollout in enumerate(group):
            yield prompt, index, rollout


def _checked(name: str, stream: Iterable[tuple[int, int, Rollout]], seeds: Sequence[Sequence[int]]) -> Arrivals:
    """The stream, as long as it gives what was asked for."""
    missing = {(prompt, index) for prompt, group in enumerate(seeds) for index in range(len(group))}
    wanted = len(missing)
    for prompt, index, rollout in stream:
        if (prompt, index) not in missing:
            raise GeneratorError(
                f"generator {name!r} streamed rollout {index} of prompt number {prompt}, which was not asked for or "
                "had come before; a stream gives every rollout exactly once"
            )
        missing.remove((prompt, index))
        yield prompt, index, rollout
    if missing:
        prompt, index = min(missing)
        raise GeneratorError(
            f"generator {name!r} streamed {wanted - len(missing)} of {wanted} rollouts; the first that is missing is "
            f"rollout {index} of prompt number {prompt}"
        )


def choose_contexts(
    groups: Sequence[RolloutGroup],
    selector: PeerSelector,
    builder: TeacherPrompts,
    *,
    seed: int,
    step: int,
    name: str = "selector",
) -> Contexts:
    """Select peers for every target of a step, check them, and render what the teacher reads.

    seed, step: where the selector's draws are derived from. name: what to call it in an error. Raises `SelectorError`
    for a selection that may not be shown, and `ConfigError` for a question that is over the budget of `builder`.
    """
    with plugin_boundary(f"selector {name!r}"):
        selections = selector.select(groups, derive_random(seed, step, "", "peers"))
    check_selections(name, groups, selections)
    prompts = [builder.build_group(groups, number, row) for number, row in enumerate(selections)]
    return Contexts(selections, prompts)


def group_metrics(groups: Sequence[RolloutGroup]) -> dict[str, float]:
    """Rewards, lengths and the make-up of the groups; shares in [0, 1], lengths in tokens.

    Where no rollout was judged, there is neither a success rate nor a reward.
    """
    rollouts = [rollout for group in groups for rollout in group.rollouts]
    known = [group.verdicts[i].reward for group in groups for i in group.known]
    successes = sum(len(group.successes) for group in groups)
    of_known = (
        {"rollout/success_rate": successes / len(known), "rollout/reward": sum(known) / len(known)} if known else {}
    )
    lengths = [len(rollout.token_ids) for rollout in rollouts]
    return {
        **of_known,
        "rollout/unknown": float(len(rollouts) - len(known)),
        "rollout/caveats": _share(bool(verdict.caveats) for group in groups for verdict in group.verdicts),
        "rollout/length_mean": sum(lengths) / max(len(lengths), 1),
        "rollout/length_max": float(max(lengths, default=0)),
        "rollout/truncated": _share(rollout.finish_reason == "length" for rollout in rollouts),
        "groups/mixed": _share(bool(group.successes) and bool(group.failures) for group in groups),
        "groups/all_success": _share(bool(group.successes) and not group.failures for group in groups),
        "groups/all_failure": _share(bool(group.failures) and not group.successes for group in groups),
    }


def context_metrics(contexts: Contexts) -> dict[str, float]:
    """How much the teacher was shown; lengths in tokens, means over the targets that have a context, if any has."""
    prompts = [prompt for row in contexts.prompts for prompt in row]
    shown = [prompt for prompt in prompts if prompt is not None]
    share = {"context/share": len(shown) / max(len(prompts), 1)}
    if not shown:
        return share
    return share | {
        "context/tokens": sum(prompt.n_context_tokens for prompt in shown) / len(shown),
        "context/blocks": sum(prompt.n_blocks for prompt in shown) / len(shown),
        "context/trimmed_tokens": sum(prompt.n_trimmed_tokens for prompt in shown) / len(shown),
    }


def _share(flags: Iterable[bool]) -> float:
    values = list(flags)
    return sum(values) / len(values) if values else 0.0
