"""What the core requires of every data set, built-in or not, before a run uses its prompts."""

from __future__ import annotations

from collections.abc import Sequence

from mopd_core.errors import PluginError
from mopd_core.interfaces import PromptSets
from mopd_core.types import Prompt


def check_prompts(dataset_name: str, sets: PromptSets) -> None:
    """Raise `PluginError` naming the data set unless both of its sets hold prompts, and no id comes twice."""
    places: dict[str, str] = {}
    for part in ("train", "held_out"):
        prompts: object = getattr(sets, part, None)
        if not isinstance(prompts, Sequence):
            raise PluginError(
                f"dataset {dataset_name!r} returned {part} as a {type(prompts).__name__}; load() has to return an "
                "object with train and held_out, sequences of Prompt"
            )
        for number, prompt in enumerate(prompts):
            where = f"{part}[{number}]"
            if fault := _fault(prompt):
                raise PluginError(f"dataset {dataset_name!r} returned {where} {fault}")
            first = places.setdefault(prompt.id, where)
            if first != where:
                raise PluginError(
                    f"dataset {dataset_name!r} gives {where} the id {prompt.id!r}, and so it does {first}; ids have to "
                    "be unique over train and held_out"
                )


def _fault(prompt: object) -> str | None:
    """What is wrong with what should be a prompt."""
    if not isinstance(prompt, Prompt):
        return f"as a {type(prompt).__name__}; it has to be a mopd_core.types.Prompt"
    if not isinstance(prompt.id, str) or not prompt.id:
        return f"with the id {prompt.id!r}; it has to be text that is not empty"
    if not isinstance(prompt.messages, Sequence) or not prompt.messages:
        return f"(id {prompt.id!r}) without messages; it needs at least one"
    verifier: object = prompt.verifier
    if verifier is not None and not isinstance(verifier, str):
        return f"(id {prompt.id!r}) with the verifier {verifier!r:.100}; it has to be a name, or None"
    for message in prompt.messages:
        if not _is_message(message):
            return (
                f"(id {prompt.id!r}) with the message {message!r:.100}; it has to be a mapping with role and content, "
                "both text"
            )
    return None


def _is_message(message: object) -> bool:
    return (
        isinstance(message, dict)
        and message.keys() == {"role", "content"}
        and all(isinstance(value, str) for value in message.values())
    )
