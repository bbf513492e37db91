"""What a resumed run may change, and what it may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from mopd_core.config.load import load_config
from mopd_core.config.resume import check_resumable, check_steps, load_resumed
from mopd_core.errors import CheckpointError
from mopd_core.registry import Registries, load_plugins
from mopd_core.tracking.run_folder import RunFolder


@pytest.fixture
def folder(registries: Registries, tmp_path: Path) -> Path:
    config = load_config(None, registries, options=["seed=5", "generator.batch=6"])
    with RunFolder.create(tmp_path / "run") as opened:
        opened.write_config(config.model_dump(mode="json"))
    return tmp_path / "run"


def test_the_stored_config_is_the_base(registries: Registries, folder: Path):
    assert load_resumed(folder, None, registries).seed == 5


@pytest.mark.parametrize(
    "option",
    [
        "training.steps=99",
        "generator.mode=exact",
        "training.micro_batch_tokens=7",
        "training.logits_memory_mib=7",
        "training.compile=true",
        "training.parallel=ddp",
        "evaluation.guard=stop",
        "evaluation.guard_drop=0.5",
        "tracking.rollouts_every=3",
        "tracking.trackers=[line]",
    ],
)
def test_what_no_result_depends_on_may_change(registries: Registries, folder: Path, option: str):
    stored, resumed = load_resumed(folder, None, registries), load_resumed(folder, None, registries, options=[option])
    assert resumed.model_dump() != stored.model_dump()


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("seed=6", "seed 5 -> 6"),
        ("training.lr=1", r"training\.lr 0\.0002 -> 1\.0"),
        ("generator.batch=null", r"generator\.batch 6 -> null"),
        ("rollout.sampling.top_k=4", r"rollout\.sampling\.top_k 0 -> 4"),
        ("generator=vllm", r'generator\.name "hf" -> "vllm"; .*generator\.url absent -> "localhost"'),
        ("training.betas=[0.1, 0.2]", r"training\.betas \[0\.9, 0\.999\] -> \[0\.1, 0\.2\]"),
        ("training.device=cpu", r'training\.device "auto" -> "cpu"\. .*What may change: .*generator\.mode'),
        ("evaluation.every=3", r"evaluation\.every 10 -> 3"),
    ],
)
def test_anything_else_is_listed_with_both_values(registries: Registries, folder: Path, option: str, words: str):
    with pytest.raises(CheckpointError, match=words) as caught:
        load_resumed(folder, None, registries, options=[option])
    assert caught.value.exit_code == 2


def test_steps_may_not_change_under_a_schedule_that_depends_on_them(registries: Registries, folder: Path):
    options = ["training.schedule=cosine", "training.steps=99"]
    with pytest.raises(CheckpointError, match=r"training\.steps 60 -> 99"):
        load_resumed(folder, None, registries, options=options)


@pytest.mark.parametrize("steps", [1, 6])
def test_a_run_is_not_ended_before_where_it_is(registries: Registries, steps: int):
    config = load_config(None, registries, options=[f"training.steps={steps}"])
    with pytest.raises(CheckpointError) as caught:
        check_steps(7, config)
    assert f"has already done 7 steps; training.steps is {steps}" in str(caught.value)


@pytest.mark.parametrize("steps", [7, 8])
def test_a_run_may_end_where_it_is_or_later(registries: Registries, steps: int):
    check_steps(7, load_config(None, registries, options=[f"training.steps={steps}"]))


def test_workers_and_generation_batches_of_the_built_in_plugins_may_change(tmp_path: Path):
    stored = load_config(None, load_plugins()).model_dump(mode="json")
    options = ["generator.batch_size=3", "verifier.workers=1"]
    check_resumable(stored, load_config(None, load_plugins(), options=options))
    with pytest.raises(CheckpointError, match=r"verifier\.timeout_s 5\.0 -> 6\.0"):
        check_resumable(stored, load_config(None, load_plugins(), options=["verifier.timeout_s=6"]))


def test_a_file_is_compared_as_well(registries: Registries, folder: Path, tmp_path: Path):
    (tmp_path / "other.yaml").write_text("data: {name: bundled}\n", encoding="utf-8")
    with pytest.raises(CheckpointError, match="seed 5 -> 0"):
        load_resumed(folder, tmp_path / "other.yaml", registries)


def test_a_folder_without_a_run_cannot_be_resumed(registries: Registries, tmp_path: Path):
    with pytest.raises(CheckpointError, match="holds no run"):
        load_resumed(tmp_path, None, registries)
