"""TRL's `SDPOTrainer` on the GPU benchmark's step, for `gpu.py --with-trl`; needs `pip install trl`.

The same model, precision, prompts, groups and response lengths, full-vocabulary jsd and an EMA teacher; rollouts are
given, and every other one is a success. TRL shows its teacher the first other success of the group, so ours is timed
with the selector `first-success` beside it. TRL takes text for questions and contexts: tokens are arithmetic that its
tokenizer reads back as it was written. TRL runs with SDPA, gradient checkpointing and a few rows a micro-batch: logits
of a whole row exist at once.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from importlib import import_module
from pathlib import Path
from random import Random
from typing import Any

import torch
from datasets import Dataset
from transformers import PreTrainedModel, TrainerCallback

from mopd_core.config.sections import ModelConfig
from mopd_core.peers.context import ContextConfig
from mopd_core.training.models import load_tokenizer

os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")


class StepTimes(TrainerCallback):  # type: ignore[misc]
    """Seconds of every step, generation's place included."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.taken: list[float] = []
        self.began = 0.0

    def now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def on_step_begin(self, *_: Any, **others: Any) -> None:
        self.began = self.now()

    def on_step_end(self, *_: Any, **others: Any) -> None:
        self.taken.append(self.now() - self.began)


def write(rng: Random, tokenizer: Any, count: int) -> list[int]:
    """Token ids of arithmetic."""
    text = " ".join(f"{rng.randrange(10)} + {rng.randrange(10)} = {rng.randrange(10)};" for _ in range(count))
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False)[:count]
    return ids


def step_seconds(
    model: PreTrainedModel, lengths: list[list[int]], question: int, rows: int, repeats: int, device: torch.device
) -> float:
    """The median of TRL's steps after the first. lengths: of every prompt's responses. rows: of a micro-batch."""
    sdpo = import_module("trl.experimental.sdpo")
    tokenizer, rng = load_tokenizer(ModelConfig(path="bundled")), Random(0)
    questions = [tokenizer.decode(write(rng, tokenizer, question)) for _ in lengths]
    responses = [[write(rng, tokenizer, count) for count in of_prompt] for of_prompt in lengths]
    group, times = len(lengths[0]), StepTimes(device)

    class Replaying(sdpo.SDPOTrainer):  # type: ignore[name-defined,misc]
        """Takes the given rollouts; all else is TRL's."""

        def _generate(self, prompt_ids: list[list[int]]) -> tuple[list[list[int]], list[list[int]]]:
            return prompt_ids, [ids for of_prompt in responses for ids in of_prompt]

    def reward(completions: list[Any], **others: Any) -> list[float]:
        return [float(number % group % 2 == 0) for number in range(len(completions))]

    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)  # TRL reads its teacher from where the student says that it is from.
        model.config._name_or_path = folder
        trainer = Replaying(
            model=model,
            reward_funcs=reward,
            args=_arguments(
                sdpo, Path(folder) / "run", len(lengths), group, rows, max(map(max, lengths)), repeats, device
            ),
            train_dataset=Dataset.from_list([{"prompt": [{"role": "user", "content": text}]} for text in questions]),
            processing_class=tokenizer,
        )
        trainer.add_callback(times)
        trainer.train()
    return statistics.median(times.taken[1:])


def _arguments(
    sdpo: Any, folder: Path, prompts: int, group: int, rows: int, longest: int, repeats: int, device: torch.device
) -> Any:
    wording = ContextConfig()
    return sdpo.SDPOConfig(
        output_dir=str(folder),
        per_device_train_batch_size=rows,
        gradient_accumulation_steps=prompts * group // rows,
        num_generations=group,
        max_steps=repeats + 1,
        max_prompt_length=None,
        max_completion_length=longest,
        temperature=1.0,
        distillation_mode="full_logits",
        distillation_alpha=0.5,
        distillation_is_clip=None,
        teacher_model_kind="ema",
        teacher_update_rate=0.05,
        solution_template="\n\n" + wording.success.format(text="{successful_previous_attempt}"),
        reprompt_template="{prompt}{solution}{feedback}\n\n" + wording.instruction,
        learning_rate=1e-12,
        lr_scheduler_type="constant",
        weight_decay=0.01,
        max_grad_norm=1.0,
        shuffle_dataset=False,
        gradient_checkpointing=device.type == "cuda",
        bf16=device.type == "cuda",
        use_cpu=device.type == "cpu",
        dataloader_pin_memory=False,
        disable_tqdm=True,
        logging_strategy="no",
        save_strategy="no",
        report_to="none",
    )
