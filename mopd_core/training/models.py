"""Models: loading, the pass over flat sequences, and the output head, with a check that both are what the model does.

Weights are fp32; passes compute in `compute_dtype` through autocast. A family with an unusual head is added to `Head`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel
from transformers.utils import logging as transformers_logging

from mopd_core.bundled import model_path as bundled_model_path
from mopd_core.config.sections import ModelConfig, TrainingConfig
from mopd_core.errors import ConfigError, ModelError
from mopd_core.training import attention
from mopd_core.training.layout import FlatSequences, lay_out


def resolve_path(path: str) -> str:
    """The folder or Hugging Face name that a `path` in the config means; what it gives means itself.

    A folder that exists is one, and so is whatever cannot be a name: it starts with `.`, `/` or `~`, or holds more than
    one slash. Raises `ModelError` where such a folder is not there.
    """
    if path == "bundled":
        return str(bundled_model_path())
    folder = Path(path).expanduser()
    if folder.is_dir():
        return str(folder)
    if path.startswith((".", "/", "~")) or path.count("/") > 1:
        raise ModelError(
            f"there is no model folder {path!r}; paths start at {Path.cwd()}. "
            "Give a folder or a Hugging Face name of a causal language model"
        )
    return path


def choose_device(config: TrainingConfig) -> torch.device:
    """CUDA where there is one and `training.device` allows it."""
    if config.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            "training.device is cuda, but torch sees no CUDA device; use auto or cpu, or see `mopd doctor`"
        )
    return torch.device("cuda" if config.device != "cpu" and torch.cuda.is_available() else "cpu")


def choose_dtype(config: TrainingConfig, device: torch.device) -> torch.dtype:
    """bf16 on CUDA and fp32 on a CPU, unless `training.precision` says otherwise."""
    if config.precision == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    return torch.bfloat16 if config.precision == "bf16" else torch.float32


def autocast(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[Any]:
    """The context in which forward passes run."""
    return nullcontext() if dtype == torch.float32 else torch.autocast(device.type, dtype)


transformers_logging.disable_progress_bar()
"""Loading and saving shards draw bars of their own, across the run's."""


def _load(path: str, load: Callable[[], Any], what: str) -> Any:
    try:
        return load()
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).strip().split("\n", 1)[0]
        raise ModelError(
            f"cannot load the {what} of model {path!r}: {reason}. "
            "Give a folder or a Hugging Face name of a causal language model"
        ) from error


def load_tokenizer(config: ModelConfig) -> Any:
    """The tokenizer beside the model. Raises `ModelError` where it has no chat template."""
    path = resolve_path(config.path)
    tokenizer = _load(path, lambda: AutoTokenizer.from_pretrained(path, revision=config.revision), "tokenizer")
    if not tokenizer.chat_template:
        raise ModelError(f"model {path!r} has no chat template; prompts are chats. Use an instruction-tuned model")
    return tokenizer


def load_model(path: str, device: torch.device, revision: str | None = None) -> PreTrainedModel:
    """A causal language model in fp32 on `device`, in eval mode, that runs on flat sequences.

    path: as `resolve_path` takes it. revision: branch, tag or commit of a Hugging Face name.
    """
    path = resolve_path(path)
    options: dict[str, Any] = {"dtype": torch.float32, "attn_implementation": attention.NAME, "revision": revision}
    model = _load(path, lambda: AutoModelForCausalLM.from_pretrained(path, **options), "weights")
    model.to(device).eval()
    check_flat_forward(model)
    return model


def load_frozen(path: str, device: torch.device, revision: str | None = None) -> PreTrainedModel:
    """`load_model` without gradient; for teachers."""
    model = load_model(path, device, revision)
    model.requires_grad_(False)
    return model


def enable_checkpointing(model: PreTrainedModel) -> None:
    """Recompute activations in the backward pass. Raises `ModelError` where the architecture has no such mode.

    transformers recomputes in training mode alone, which also switches dropout and router noise on: draws that no seed
    of ours governs. So only the innermost modules that recompute are put in that mode, without dropout of their own.
    """
    if not model.supports_gradient_checkpointing:
        raise ModelError(
            f"{type(model).__name__} has no gradient checkpointing; set training.gradient_checkpointing=false"
        )
    renamed = getattr(model, "activation_checkpointing_enable", None)
    (renamed or model.gradient_checkpointing_enable)()
    for module in _innermost(model, "gradient_checkpointing"):
        module.training = True  # `train()` would reach the modules inside.
        rates = [name for name, value in vars(module).items() if "drop" in name and isinstance(value, float)]
        for name in rates:
            setattr(module, name, 0.0)


def _innermost(model: nn.Module, flag: str) -> list[nn.Module]:
    """The modules whose attribute `flag` is true, without those that hold another such module."""
    having = [module for module in model.modules() if getattr(module, flag, False)]
    return [module for module in having if not any(getattr(each, flag, False) for each in [*module.modules()][1:])]


def stop_ids(model: PreTrainedModel, tokenizer: Any) -> tuple[int, ...]:
    """The tokens that end a response: the generation config's and the tokenizer's."""
    configured = model.generation_config.eos_token_id if model.generation_config else None
    ids = configured if isinstance(configured, list) else [configured]
    return tuple(sorted({int(i) for i in (*ids, tokenizer.eos_token_id) if i is not None}))


def flat_hidden(model: nn.Module, sequences: FlatSequences) -> Tensor:
    """Final hidden states [n, D] of flat sequences; row i predicts the token after row i."""
    decoder = model.get_decoder()  # type: ignore[operator]
    output = decoder(
        input_ids=sequences.token_ids[None],
        position_ids=sequences.positions[None],
        use_cache=False,
        flat_layout=sequences,
    )
    return output.last_hidden_state[0]  # type: ignore[no-any-return]


class Head:
    """The output head: hidden states [n, D] to logits [n, V], scaled and soft-capped as the model's config says."""

    def __init__(self, model: nn.Module) -> None:
        config: Any = model.config
        self.linear: nn.Module = model.get_output_embeddings()  # type: ignore[operator]
        self.softcap: float | None = getattr(config, "final_logit_softcapping", None)
        self.scale = float(getattr(config, "logit_scale", None) or 1.0) / float(
            getattr(config, "logits_scaling", None) or 1.0
        )
        self.vocabulary: int = self.linear.weight.shape[0]

    def __call__(self, hidden: Tensor) -> Tensor:
        logits: Tensor = self.linear(hidden)
        if self.scale != 1.0:
            logits = logits * self.scale
        if self.softcap is not None:
            logits = torch.tanh(logits / self.softcap) * self.softcap
        return logits

    def parameters(self) -> list[nn.Parameter]:
        """What of the head is trained."""
        return [parameter for parameter in self.linear.parameters() if parameter.requires_grad]


@torch.no_grad()
def check_flat_forward(model: PreTrainedModel) -> None:
    """Compare the flat pass and `Head` with the model's own forward on two probes that share a prefix.

    Raises `ModelError` for an architecture that mixes tokens outside the attention interface, or whose head is another.
    """
    vocabulary = int(model.get_output_embeddings().weight.shape[0])
    probe = (torch.arange(48) * 7919 % vocabulary).int().numpy()
    other = probe.copy()
    other[24:] = other[24:][::-1]
    device = next(model.parameters()).device
    layout = lay_out([probe, other]).to(device)
    try:
        flat = Head(model)(flat_hidden(model, layout))
        _check_windows(model.config, layout)
        model.set_attn_implementation("sdpa")
        pairs = zip((probe, other), layout.rows, strict=True)
        worst = max(
            (flat[rows] - model(torch.from_numpy(ids).long()[None].to(device)).logits[0]).abs().max().item()
            for ids, rows in pairs
        )
    except (TypeError, ValueError, AttributeError) as error:
        raise _unsupported(model, f"{type(error).__name__}: {error}") from error
    finally:
        model.set_attn_implementation(attention.NAME)
    scale = flat.abs().max().item()
    if not worst <= 1e-3 * scale:
        raise _unsupported(model, f"logits of shared sequences differ by {worst:.3g} from the model's own")


def _check_windows(config: Any, layout: FlatSequences) -> None:
    """Raise `ValueError` where layers restrict attention by a mask alone: windows longer than a probe hide from it."""
    kinds = set(getattr(config, "layer_types", None) or ())
    window = getattr(config, "sliding_window", None)
    is_used = not kinds or "sliding_attention" in kinds
    handed_over = {window for _, _, window in layout.masks}
    if "chunked_attention" in kinds or (window is not None and is_used and window not in handed_over):
        raise ValueError("its layers do not hand the span of their attention to the attention interface")


def _unsupported(model: PreTrainedModel, reason: str) -> ModelError:
    return ModelError(
        f"{type(model).__name__} cannot be trained on flat, prefix-shared sequences ({reason}). Supported are "
        "decoder-only models whose layers mix tokens through transformers' attention interface alone"
    )


class StudentWeights:
    """The student's weights for `Generator.sync_weights`, under the names of its checkpoint; tied weights come once."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def named_tensors(self) -> Iterator[tuple[str, Tensor]]:
        for name, parameter in self.model.named_parameters():
            yield name, parameter.detach()
